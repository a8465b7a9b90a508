//! Which archive is a server's: the cluster's name in the repository, and its system identifier.

use pgark_repo::{Repository, WalArchive};

use crate::advice::{Operation, Setting, advice};
use crate::facts::About;
use crate::{OpsError, cluster};

/// The name of the cluster of a system: the one that is given, else the only one whose backups are
/// of this system.
///
/// # Errors
/// There is none, or there are several: WAL under a wrong name is of no use.
pub(super) fn cluster_of(
    repository: &Repository,
    given: Option<&str>,
    system_identifier: u64,
) -> Result<String, OpsError> {
    if let Some(given) = given {
        return Ok(given.to_string());
    }
    if let Some([only]) = repository.clusters_of_key().as_deref() {
        return Ok(only.clone());
    }
    let identifier = system_identifier.to_string();
    // Looked up once: it takes the newest backup of each cluster.
    let noted = repository.cache_file(cluster::name::PURPOSE, format!("wal of {identifier}").as_bytes())?;
    let known = noted.as_ref().and_then(|file| String::from_utf8(file.read()?).ok());
    if let Some(known) = known {
        return Ok(known);
    }
    let mut names: Vec<String> = Vec::new();
    for head in repository.newest_of_each_cluster()? {
        if About::of(&head).is_ok_and(|about| about.system_identifier == identifier) {
            names.push(head.cluster);
        }
    }
    names.sort();
    names.dedup();
    match names.as_slice() {
        [] => Err(OpsError::refused(
            format!("no cluster in the repository has a backup of the system {identifier}"),
            advice!["name the cluster with ", Setting::Cluster.to("NAME"), ", or make a backup of it first"],
        )),
        [only] => {
            if let Some(file) = &noted {
                file.write(only.clone().into_bytes());
            }
            Ok(only.clone())
        }
        several => Err(OpsError::refused(
            format!("several clusters are of the system {identifier}: {}", several.join(", ")),
            advice!["say which one with ", Setting::Cluster.to("NAME")],
        )),
    }
}

/// The archive of a system, which must have been begun.
///
/// # Errors
/// There is none: then nothing can be said of what is in it.
pub(super) fn existing<'r>(
    repository: &'r Repository,
    given: Option<&str>,
    system_identifier: u64,
) -> Result<WalArchive<'r>, OpsError> {
    let cluster = cluster_of(repository, given, system_identifier)?;
    let archive = repository.wal(&cluster, system_identifier)?;
    match archive.exists()? {
        true => Ok(archive),
        false => Err(OpsError::refused(
            format!("the repository has no WAL of cluster {cluster} and the system {system_identifier}"),
            advice![
                "was its WAL archived under another name? Say which one with ",
                Setting::Cluster.to("NAME")
            ],
        )),
    }
}

/// The cluster, and the system whose WAL it has.
pub(super) fn whose(repository: &Repository, given: Option<&str>) -> Result<(String, u64), OpsError> {
    let none = |what: String| {
        OpsError::refused(what, advice![Operation::PushWal, " as archive_command archives it"])
    };
    let mut found = repository.wal_clusters()?;
    found.retain(|(cluster, _)| given.is_none_or(|given| given == cluster));
    match (found.as_slice(), given) {
        ([only], _) => Ok(only.clone()),
        ([], Some(given)) => Err(none(format!("no WAL of cluster {given} is archived in this repository"))),
        ([], None) => Err(none("no WAL is archived in this repository".into())),
        (several, _) => {
            let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
            Err(OpsError::refused(
                format!("several clusters have archived WAL: {}", names.join(", ")),
                advice!["say which one with ", Setting::Cluster.to("NAME")],
            ))
        }
    }
}
