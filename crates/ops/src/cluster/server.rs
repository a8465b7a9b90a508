//! Which server of a cluster was read: two servers with one system identifier must not count as one
//! cluster unnoticed.
//!
//! A clone for tests, a restored server and a standby all have the system identifier of the server
//! that they were made of, and with it, where nobody says otherwise, the cluster's name. So each
//! backup notes where its server was, and the next one compares: another host, port or data
//! directory, or WAL that goes back, is refused until `--cluster` says which is which.
//!
//! The host is the one that the user named: what a server says of its own address is often private
//! (in a container), and changes with each start of it. A `hostaddr` next to the name counts as
//! well: the connection goes there, and the name is only what the certificate must say. Where the
//! connection does not leave this machine, the machine's name takes its place.

use pgark_pg::ConnInfo;
use pgark_pg::Connection;
use pgark_repo::BackupHead;

use crate::OpsError;
use crate::advice::{Setting, advice};
use crate::error::Doing;
use crate::facts::{About, Server};

impl Server {
    /// What is known of the server behind a connection.
    pub(crate) fn of(
        connection: &mut Connection,
        conninfo: &ConnInfo,
        timeline: Option<i64>,
    ) -> Result<Server, OpsError> {
        let doing = "read where the server is";
        let rows = connection
            .query(
                "SELECT pg_catalog.pg_is_in_recovery(), \
                 CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
                      ELSE pg_catalog.pg_current_wal_lsn() END, \
                 (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'data_directory')",
                &[],
            )
            .doing(doing)?;
        let row = rows.first().ok_or_else(|| OpsError::refused(doing, "this is a defect of pgark"))?;
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        // A name may lead to this machine by its hosts file.
        let reached = connection.address().filter(|address| is_here(address));
        let reached = reached.map(|address| (address.to_owned(), connection.port()));
        let mut places = Vec::new();
        for (host, port) in conninfo.named_hosts().into_iter().chain(reached) {
            let place = (if is_here(&host) { format!("{HERE}{machine}") } else { host }, port);
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let (hosts, ports) = places.into_iter().unzip();
        Ok(Server {
            hosts,
            ports,
            data_directory: row.opt_str(2).doing(doing)?.map(str::to_string),
            standby: row.str(0).doing(doing)? == "t",
            timeline,
            lsn: row.opt_str(1).doing(doing)?.map(str::to_string),
        })
    }

    /// Refuses a backup under the name of a cluster whose last backup was of another server, unless
    /// the name was given: then it is only told.
    pub(crate) fn compare(
        &self,
        given: Option<&str>,
        identifier: &str,
        newest: &[BackupHead],
    ) -> Result<Vec<String>, OpsError> {
        let last = newest.iter().rev().find_map(|head| {
            let about = About::of(head).ok()?;
            Some((head, about.server.clone()?, about.system_identifier))
        });
        let Some((head, known, known_identifier)) = last else { return Ok(Vec::new()) };
        let mut differences = self.differences(&known);
        if known_identifier != identifier && !known_identifier.is_empty() && !identifier.is_empty() {
            differences.insert(0, format!("system identifier {identifier} instead of {known_identifier}"));
        }
        if differences.is_empty() {
            return Ok(Vec::new());
        }
        let what = format!(
            "the last backup of cluster {}, {}, was made from another server: {}",
            head.cluster,
            head.id,
            differences.join(", ")
        );
        match given {
            Some(_) => Ok(vec![what]),
            None => Err(OpsError::refused(
                what,
                advice![
                    "a clone, a standby and a restored server have the system identifier of the server they were made from. \
                     Say which one this is: ",
                    Setting::Cluster.to(&head.cluster),
                    " if it is the same cluster (it was moved, or a standby took over), or ",
                    Setting::Cluster,
                    " with a new name",
                ],
            )),
        }
    }

    /// What is not as it was.
    pub(super) fn differences(&self, known: &Server) -> Vec<String> {
        let mut found = Vec::new();
        let (now, before) = (named(self), named(known));
        if !is_same_place(self, known) && !now.is_empty() && !before.is_empty() {
            found.push(format!("{now} instead of {before}"));
        }
        if let (Some(now), Some(before)) = (&self.data_directory, &known.data_directory)
            && now != before
        {
            found.push(format!("data directory {now} instead of {before}"));
        }
        // A standby may be late. A new timeline may begin before the end of the one that it left.
        let goes_on = self.standby
            || match (self.timeline, known.timeline) {
                (Some(now), Some(before)) => now > before,
                _ => false,
            };
        let older = matches!((self.timeline, known.timeline), (Some(now), Some(before)) if now < before);
        if !self.standby && older {
            found.push(format!(
                "timeline {} instead of {}",
                self.timeline.unwrap_or_default(),
                known.timeline.unwrap_or_default()
            ));
        } else if let (false, Some(now), Some(before)) = (goes_on, &self.lsn, &known.lsn)
            && let (Some(at), Some(was)) = (position(now), position(before))
            && at < was
        {
            found.push(format!("its WAL is at {now}, which is before {before}"));
        }
        found
    }
}

/// Before the name of a machine that the connection does not leave.
pub(super) const HERE: &str = "@";

/// A socket, or the loopback.
fn is_here(host: &str) -> bool {
    let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    host.starts_with(['/', '@']) || host.eq_ignore_ascii_case("localhost") || is_loopback
}

fn named(server: &Server) -> String {
    let one = |(host, port): (&String, &u16)| match host.strip_prefix(HERE) {
        Some(machine) => format!("{machine}:{port} (from itself)"),
        None => format!("{host}:{port}"),
    };
    server.hosts.iter().zip(&server.ports).map(one).collect::<Vec<_>>().join(", ")
}

/// Whether any place of the one is a place of the other: a list of hosts names the members of one
/// cluster.
fn is_same_place(one: &Server, other: &Server) -> bool {
    let places = |server: &Server| -> Vec<(String, u16)> {
        server.hosts.iter().cloned().zip(server.ports.iter().copied()).collect()
    };
    let others = places(other);
    places(one)
        .iter()
        .any(|(host, port)| others.iter().any(|(known, at)| port == at && is_same_host(host, known)))
}

/// `db1` and `db1.example.com` may be one, and a name in a container says nothing.
fn is_same_host(one: &str, other: &str) -> bool {
    let (local, other_local) = (one.strip_prefix(HERE), other.strip_prefix(HERE));
    let is_unnamed = |name: Option<&str>| {
        name.is_some_and(|name| name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    if local.is_some() && other_local.is_some() && (is_unnamed(local) || is_unnamed(other_local)) {
        return true;
    }
    let bare = |name: &str| name.trim_start_matches(HERE).trim_end_matches('.').to_ascii_lowercase();
    let (one, other) = (bare(one), bare(other));
    let is_address = |name: &str| name.parse::<std::net::IpAddr>().is_ok();
    let (short, long) = if one.len() <= other.len() { (&one, &other) } else { (&other, &one) };
    short == long
        || (!is_address(short)
            && !is_address(long)
            && !short.contains('.')
            && long.split('.').next() == Some(short))
}

/// `16/B374D848` as a number.
fn position(lsn: &str) -> Option<u64> {
    let (high, low) = lsn.split_once('/')?;
    Some(u64::from_str_radix(high, 16).ok()? << 32 | u64::from(u32::from_str_radix(low, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(hosts: &[(&str, u16)], data: &str, timeline: i64, lsn: &str) -> Server {
        Server {
            hosts: hosts.iter().map(|(host, _)| (*host).to_string()).collect(),
            ports: hosts.iter().map(|(_, port)| *port).collect(),
            data_directory: Some(data.to_string()),
            standby: false,
            timeline: Some(timeline),
            lsn: Some(lsn.to_string()),
        }
    }

    #[test]
    fn another_server_is_told_by_its_place_or_its_wal() {
        let known = server(&[("db1", 5432)], "/data", 2, "1/A0");
        let same = |now: &Server| now.differences(&known).is_empty();
        assert!(same(&known) && same(&server(&[("DB1.example.com", 5432)], "/data", 2, "1/A0")));
        assert!(same(&server(&[("db2", 5432), ("db1", 5432)], "/data", 2, "1/B0")));
        // After a promotion, WAL may begin before the end of the old timeline.
        assert!(same(&server(&[("db1", 5432)], "/data", 3, "0/F0")));
        let standby = Server { standby: true, ..server(&[("db1", 5432)], "/data", 2, "1/90") };
        assert!(same(&standby), "a standby may be late");
        let unknown = Server { data_directory: None, lsn: None, ..known.clone() };
        assert!(same(&unknown) && unknown.differences(&Server::default()).is_empty());
        for (other, what) in [
            (server(&[("db2", 5432)], "/data", 2, "1/B0"), "db2:5432 instead of db1:5432"),
            (server(&[("db1", 5433)], "/data", 2, "1/B0"), "db1:5433 instead of db1:5432"),
            (server(&[("@db2", 5432)], "/data", 2, "1/B0"), "db2:5432 (from itself) instead of db1:5432"),
            (server(&[("db1", 5432)], "/copy", 2, "1/B0"), "data directory /copy instead of /data"),
            (
                server(&[("db1", 5432)], "/data", 2, "0/FFFFFFFF"),
                "its WAL is at 0/FFFFFFFF, which is before 1/A0",
            ),
            (server(&[("db1", 5432)], "/data", 1, "1/B0"), "timeline 1 instead of 2"),
        ] {
            assert_eq!(other.differences(&known), [what]);
        }
        let here = server(&[("@db1", 5432)], "/data", 2, "1/B0");
        assert!(same(&here), "the same machine, from itself");
        let (one, other) = (
            server(&[("@0123456789ab", 5432)], "/d", 1, "0/1"),
            server(&[("@a123456789ab", 5432)], "/d", 1, "0/1"),
        );
        assert!(one.differences(&other).is_empty(), "a container's name is another each time");
        assert!(is_here("127.0.0.1") && is_here("/tmp") && is_here("::1") && !is_here("10.0.0.1"));
        assert!(!is_same_host("10.0.0.1", "10"));
    }
}
