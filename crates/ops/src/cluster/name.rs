//! What a cluster is called in a repository, where nobody says it.
//!
//! A cluster gets its name at its first backup: `--cluster`, else the place of its server, as in
//! `db1:5432`. From then on its system identifier finds the name. Clones have one identifier: of
//! several clusters with it, the one is meant whose last backup was made of this server. If it was
//! none of them, the newest is taken, and [`Server::compare`] asks who this is.

use pgark_repo::{BackupHead, CacheFile, RepoError, Repository};

use super::server::HERE;
use crate::OpsError;
use crate::facts::{About, Server};

/// Names of clusters that this host has looked up.
pub(crate) const PURPOSE: &str = "clusters";

/// Who is backed up.
#[derive(Clone, Copy)]
pub(crate) struct Who<'s> {
    pub system_identifier: &'s str,
    pub server: &'s Server,
}

/// The name of the cluster: the one that is given, else the one that it has.
///
/// # Errors
/// What the repository says.
pub(crate) fn of(repository: &Repository, given: Option<&str>, who: Who<'_>) -> Result<String, OpsError> {
    if let Some(given) = given {
        return Ok(given.to_string());
    }
    // A key for one cluster can write under no other name.
    if let Some([only]) = repository.clusters_of_key().as_deref() {
        return Ok(only.clone());
    }
    let file = cache_file(repository, who)?;
    let noted = file.as_ref().and_then(CacheFile::read).and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some(name) = noted {
        return Ok(name);
    }
    let newest = repository.newest_of_each_cluster()?;
    let known = known(newest, who.system_identifier, who.server);
    Ok(known.or_else(|| place(who.server)).unwrap_or_else(|| who.system_identifier.to_string()))
}

/// Notes the name on this host, for the next backup of this server: it need not look at each
/// cluster's backups then. The backup is good without.
pub(crate) fn note(repository: &Repository, who: Who<'_>, name: &str) {
    if let Ok(Some(file)) = cache_file(repository, who) {
        file.write(name.as_bytes().to_vec());
    }
}

fn cache_file(repository: &Repository, who: Who<'_>) -> Result<Option<CacheFile>, RepoError> {
    let Server { hosts, ports, data_directory, .. } = who.server;
    let server = format!("{}\0{hosts:?}\0{ports:?}\0{data_directory:?}", who.system_identifier);
    repository.cache_file(PURPOSE, server.as_bytes())
}

/// The name among the newest backups of each cluster.
fn known(newest: Vec<BackupHead>, identifier: &str, server: &Server) -> Option<String> {
    let mut own: Vec<(bool, jiff::Timestamp, String)> = newest
        .into_iter()
        .filter_map(|head| {
            let about = About::of(&head).ok().filter(|about| about.system_identifier == identifier)?;
            let is_same = about.server.is_some_and(|known| server.differences(&known).is_empty());
            Some((is_same, head.moment(), head.cluster))
        })
        .collect();
    own.sort();
    own.pop().map(|(_, _, name)| name)
}

/// `db1:5432`.
fn place(server: &Server) -> Option<String> {
    let host = server.hosts.first()?.trim_start_matches(HERE);
    let port = server.ports.first()?;
    Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str) -> Server {
        Server { hosts: vec![host.into()], ports: vec![5432], ..Server::default() }
    }

    /// A backup of this cluster, made of the server at this host.
    fn head(number: u64, cluster: &str, identifier: &str, host: &str) -> BackupHead {
        let about =
            About { system_identifier: identifier.into(), server: Some(server(host)), ..About::default() };
        BackupHead {
            id: format!("{number:016x}").parse().unwrap(),
            time: jiff::Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
            stored: None,
            cluster: cluster.into(),
            kind: "logical".into(),
            complete: true,
            sequence: number,
            bytes_added: 0,
            entries: 0,
            about: about.to_bytes(),
        }
    }

    #[test]
    fn the_identifier_finds_the_name_and_the_place_tells_clones_apart() {
        let newest = || {
            vec![head(1, "prod", "7", "db1"), head(2, "staging", "7", "db2"), head(3, "other", "8", "db1")]
        };
        let name = |identifier: &str, host: &str| known(newest(), identifier, &server(host));
        assert_eq!(name("7", "db1").as_deref(), Some("prod"));
        assert_eq!(name("7", "db2").as_deref(), Some("staging"));
        assert_eq!(name("7", "db3").as_deref(), Some("staging"), "the newest; the server is compared later");
        assert_eq!(name("9", "db1"), None);
    }

    #[test]
    fn a_new_cluster_is_called_by_its_place() {
        assert_eq!(place(&server("db1")).as_deref(), Some("db1:5432"));
        assert_eq!(place(&server("@machine")).as_deref(), Some("machine:5432"));
        assert_eq!(place(&server("::1")).as_deref(), Some("[::1]:5432"));
        assert_eq!(place(&Server::default()), None);
    }
}
