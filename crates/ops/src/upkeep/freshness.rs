//! Freshness: is the newest complete backup young enough? For monitors: only the list of backups is
//! read.
//!
//! What counts is what a restore of `latest` would take: complete backups, not made with filters
//! (unless that is wished), not imported, whose time can be believed; and none that a check found
//! damaged. Each cluster is judged by itself, or each database that is named, in every cluster that
//! holds it. What was asked for and is not there at all is not fresh.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use pgark_repo::{BackupHead, BackupId, Repository};
use schemars::JsonSchema;
use serde::Serialize;

use crate::facts::{About, BackupKind};
use crate::{Job, OpsError};

/// How young what has to be.
#[derive(Clone, Debug)]
pub struct Wish {
    /// No older than this.
    pub max_age: Duration,
    /// Only this cluster.
    pub cluster: Option<String>,
    /// These databases, each by itself; empty: each cluster as a whole.
    pub databases: Vec<String>,
    /// Backups that were made with filters count, too.
    pub partial: bool,
    /// The moment from which ages are counted.
    pub now: Timestamp,
}

/// How old the newest backups are.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Freshness {
    /// Whether every newest backup is young enough.
    pub fresh: bool,
    /// The greatest age that is allowed (`--max-age`), in seconds.
    pub max_age_seconds: u64,
    /// The newest backup of each cluster, or of each named database in each cluster.
    pub judged: Vec<Newest>,
}

/// The newest backup of one cluster or database.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "NewestBackup")]
pub struct Newest {
    /// Name of the cluster. Null: there is no such backup in any cluster.
    pub cluster: Option<String>,
    /// Name of the database. Absent: no database was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Id of the newest complete backup. Null: there is none.
    pub backup: Option<String>,
    /// When it was made: RFC 3339, UTC. Null: there is no complete backup.
    pub time: Option<String>,
    /// Its age in seconds. Null: there is no complete backup.
    pub age_seconds: Option<u64>,
    /// Id of a newer backup that does not count because it was made with filters. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newer_part: Option<String>,
    /// Whether it is young enough.
    pub fresh: bool,
}

/// Judges what the wish is about.
pub fn judge(repository: &Repository, wish: &Wish, job: &Job) -> Result<Freshness, OpsError> {
    let repository = &job.on(repository);
    let damaged = repository.quarantined_backups()?;
    let mut backups = Vec::new();
    for head in repository.backups()? {
        backups.push((About::of(&head)?, head));
    }
    Ok(judge_these(&backups, &damaged, wish))
}

fn judge_these(backups: &[(About, BackupHead)], damaged: &BTreeSet<BackupId>, wish: &Wish) -> Freshness {
    let mut judged = Vec::new();
    let databases: Vec<Option<&str>> = match wish.databases.as_slice() {
        [] => vec![None],
        named => named.iter().map(|name| Some(name.as_str())).collect(),
    };
    for database in databases {
        // By cluster: the newest that counts, and the newest part.
        let mut found: BTreeMap<Option<&str>, [Option<&BackupHead>; 2]> = BTreeMap::new();
        for (about, head) in backups {
            let is_asked_for = wish.cluster.as_ref().is_none_or(|cluster| *cluster == head.cluster)
                && database.is_none_or(|database| about.holds(database))
                && !matches!(BackupKind::of(head), BackupKind::Imported | BackupKind::Masked);
            if !is_asked_for {
                continue;
            }
            let [newest, part] = found.entry(Some(&head.cluster)).or_default();
            let is_part = match database {
                Some(database) => about.is_part_of(database),
                None => about.is_part(),
            };
            let counts = head.complete
                && BackupKind::of(head).is_known()
                && !head.is_ahead()
                && !damaged.contains(&head.id);
            let place = if is_part && !wish.partial { part } else { newest };
            if counts && place.is_none_or(|newest| newest.time <= head.time) {
                *place = Some(head);
            }
        }
        if found.is_empty() {
            found.insert(wish.cluster.as_deref(), [None, None]);
        }
        judged.extend(found.into_iter().map(|(cluster, [newest, part])| {
            let is_newer = |part: &&BackupHead| newest.is_none_or(|newest| newest.time < part.time);
            let age = newest.map(|newest| age(newest.time, wish.now));
            Newest {
                cluster: cluster.map(str::to_string),
                database: database.map(str::to_string),
                backup: newest.map(|newest| newest.id.to_string()),
                time: newest.map(|newest| format!("{:.0}", newest.time)),
                age_seconds: age.map(|age| age.as_secs()),
                newer_part: part.filter(is_newer).map(|part| part.id.to_string()),
                fresh: age.is_some_and(|age| age <= wish.max_age),
            }
        }));
    }
    Freshness {
        fresh: judged.iter().all(|newest| newest.fresh),
        max_age_seconds: wish.max_age.as_secs(),
        judged,
    }
}

/// Two hosts' clocks may differ a little: what is not there yet is new.
fn age(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(time)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{DatabaseRead, Filters};

    const NOW: &str = "2026-11-30T12:00:00Z";

    fn backup(id: u8, cluster: &str, hours_ago: i64, databases: &[&str]) -> (About, BackupHead) {
        let reads = databases.iter().map(|name| ((*name).to_string(), DatabaseRead::default())).collect();
        let about = About {
            databases: databases.iter().map(|name| (*name).to_string()).collect(),
            reads,
            ..About::default()
        };
        let head = BackupHead {
            id: format!("{id:016x}").parse().unwrap(),
            time: NOW.parse::<Timestamp>().unwrap() - jiff::SignedDuration::from_hours(hours_ago),
            stored: None,
            cluster: cluster.into(),
            kind: BackupKind::Logical.into(),
            complete: true,
            sequence: u64::from(id),
            bytes_added: 0,
            entries: 0,
            about: Vec::new(),
        };
        (about, head)
    }

    fn wish(cluster: Option<&str>, databases: &[&str]) -> Wish {
        Wish {
            max_age: Duration::from_secs(26 * 3600),
            cluster: cluster.map(str::to_string),
            databases: databases.iter().map(|name| (*name).to_string()).collect(),
            partial: false,
            now: NOW.parse().unwrap(),
        }
    }

    /// Cluster, database, hours, fresh.
    fn told(found: &Freshness) -> Vec<(String, String, Option<u64>, bool)> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let told = found.judged.iter().map(|newest| {
            let hours = newest.age_seconds.map(|seconds| seconds / 3600);
            (text(&newest.cluster), text(&newest.database), hours, newest.fresh)
        });
        told.collect()
    }

    fn one(
        cluster: &str,
        database: &str,
        hours: Option<u64>,
        fresh: bool,
    ) -> (String, String, Option<u64>, bool) {
        (cluster.into(), database.into(), hours, fresh)
    }

    #[test]
    fn only_what_a_restore_would_take_is_fresh() {
        let mut backups = vec![
            backup(1, "a", 30, &["shop", "crm"]),
            backup(2, "a", 3, &["shop"]),
            backup(3, "b", 27, &["shop"]),
        ];
        let none = BTreeSet::new();
        let judge = |backups: &[(About, BackupHead)], wish: &Wish| judge_these(backups, &none, wish);
        let all = judge(&backups, &wish(None, &[]));
        assert_eq!(told(&all), [one("a", "", Some(3), true), one("b", "", Some(27), false)]);
        assert!(!all.fresh && judge(&backups, &wish(Some("a"), &[])).fresh);
        let databases = judge(&backups, &wish(Some("a"), &["shop", "crm", "typo"]));
        assert_eq!(
            told(&databases),
            [
                one("a", "shop", Some(3), true),
                one("a", "crm", Some(30), false),
                one("a", "typo", None, false)
            ]
        );
        assert_eq!(told(&judge(&backups, &wish(None, &["typo"]))), [one("", "typo", None, false)]);
        assert_eq!(told(&judge(&[], &wish(None, &[]))), [one("", "", None, false)]);
        // One that a check found damaged.
        let damaged = BTreeSet::from([backups[1].1.id]);
        assert_eq!(
            told(&judge_these(&backups, &damaged, &wish(Some("a"), &[]))),
            [one("a", "", Some(30), false)]
        );
        // Incomplete, of a clock that is ahead, with filters, imported.
        for spoil in 0..4 {
            let (mut about, mut head) = backup(9, "a", -2, &["shop"]);
            match spoil {
                0 => head.complete = false,
                1 => head.stored = Some(NOW.parse().unwrap()),
                2 => {
                    let filters = Filters { schema_only: true, ..Filters::default() };
                    about.reads.insert("shop".into(), DatabaseRead { filters, ..DatabaseRead::default() });
                }
                _ => head.kind = BackupKind::Imported.into(),
            }
            backups.push((about, head));
            let found = judge(&backups, &wish(Some("a"), &[]));
            assert_eq!(told(&found), [one("a", "", Some(3), true)], "{spoil}");
            let parts = judge(&backups, &Wish { partial: true, ..wish(Some("a"), &[]) });
            assert_eq!(parts.judged[0].age_seconds == Some(0), spoil == 2, "{spoil}");
            assert_eq!(found.judged[0].newer_part.is_some(), spoil == 2, "{spoil}");
            backups.pop();
        }
    }
}
