//! Retention: which backups a policy keeps, and why.
//!
//! Backups are judged in groups of one cluster, one set of databases and one kind; dumps that were imported are a group of
//! their own. Only good backups (complete, and not found damaged by a check) count towards what is kept; an incomplete one goes as soon as a newer good one
//! is there. The newest good one of a group always stays, and so does what is tagged `pinned`. Hours, days, weeks (ISO 8601, from
//! Monday), months and years are those of UTC, so that every host decides alike; in each the newest is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pgark_repo::{BackupHead, BackupId, Repository};
use serde::Serialize;

use crate::record::About;
use crate::select::{BackupName, find_backup};
use crate::{Job, OpsError};

/// The tag that keeps a backup whatever a policy says.
pub const PINNED: &str = "pinned";

/// What to keep. Every rule adds to what the others keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The newest so many.
    pub last: u32,
    /// The newest of so many hours that have a backup.
    pub hourly: u32,
    /// Of so many days.
    pub daily: u32,
    /// Of so many weeks.
    pub weekly: u32,
    /// Of so many months.
    pub monthly: u32,
    /// Of so many years.
    pub yearly: u32,
    /// All that are not older than this, seen from the newest good one of the group.
    pub within: Option<Duration>,
    /// Never fewer good ones than this.
    pub min: u32,
    /// Those with any of these tags.
    pub tags: Vec<String>,
}

impl Policy {
    /// Whether it says anything at all.
    pub fn is_empty(&self) -> bool {
        *self == Policy::default()
    }
}

/// What becomes of one backup, and why.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Decision {
    /// 16 hex digits.
    pub id: String,
    /// When it was made.
    pub time: String,
    /// Its cluster.
    pub cluster: String,
    /// Its databases.
    pub databases: Vec<String>,
    /// `complete` or `incomplete`.
    pub status: String,
    /// Whether it stays.
    pub keep: bool,
    /// The rules that keep it, or why it goes.
    pub reasons: Vec<String>,
}

/// What to forget.
pub enum Choice {
    /// These, whatever a policy would say; the newest good one of its group only with `even_last`.
    These {
        /// The backups.
        names: Vec<BackupName>,
        /// The last good one may go, too.
        even_last: bool,
    },
    /// What the policy does not keep, of one cluster or of all.
    Policy {
        /// The policy.
        policy: Policy,
        /// Only backups of this cluster.
        cluster: Option<String>,
    },
}

/// A backup as a policy sees it.
struct Candidate {
    head: BackupHead,
    about: About,
    tags: BTreeSet<String>,
    /// A check found that something of it cannot be read.
    damaged: bool,
}

/// Backups are compared within these only.
type Group = (String, String, Vec<String>, bool);

impl Candidate {
    fn group(&self) -> Group {
        let mut databases = self.about.databases.clone();
        databases.sort();
        (self.head.cluster.clone(), self.head.kind.clone(), databases, self.about.imported)
    }

    /// Everything that was asked for is in it, as far as is known.
    fn is_good(&self) -> bool {
        self.head.complete && !self.damaged
    }

    fn decision(&self, keep: bool, reasons: Vec<String>) -> Decision {
        Decision {
            id: self.head.id.to_string(),
            time: self.head.time.to_string(),
            cluster: self.head.cluster.clone(),
            databases: self.about.databases.clone(),
            status: match (self.damaged, self.head.complete) {
                (true, _) => "damaged",
                (false, true) => "complete",
                (false, false) => "incomplete",
            }
            .into(),
            keep,
            reasons,
        }
    }
}

fn candidates(repository: &Repository, job: &Job) -> Result<Vec<Candidate>, OpsError> {
    let mut tags = repository.tags()?;
    let damaged = repository.quarantined_backups(&job.cancel)?;
    repository
        .backups()?
        .into_iter()
        .map(|head| {
            let tags = tags.remove(&head.id).unwrap_or_default();
            Ok(Candidate { about: About::of(&head)?, damaged: damaged.contains(&head.id), head, tags })
        })
        .collect()
}

/// Decides, and forgets what does not stay unless `dry_run`. Decisions are in the order of time, oldest first; with
/// [`Choice::These`] only of those.
pub fn forget(
    repository: &Repository,
    choice: &Choice,
    dry_run: bool,
    job: &Job,
) -> Result<Vec<Decision>, OpsError> {
    let decisions = match choice {
        Choice::These { names, even_last } => these(repository, names, *even_last, job)?,
        Choice::Policy { policy, cluster } => {
            let mut all = candidates(repository, job)?;
            if let Some(cluster) = cluster {
                all.retain(|candidate| candidate.head.cluster == *cluster);
            }
            decide(&all, policy)
        }
    };
    if !dry_run {
        for decision in decisions.iter().filter(|decision| !decision.keep) {
            job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            if let Ok(id) = decision.id.parse::<BackupId>() {
                match repository.forget(id) {
                    // Somebody else was faster.
                    Err(pgark_repo::RepoError::UnknownBackup { .. }) => {}
                    other => other?,
                }
            }
        }
    }
    Ok(decisions)
}

fn these(
    repository: &Repository,
    names: &[BackupName],
    even_last: bool,
    job: &Job,
) -> Result<Vec<Decision>, OpsError> {
    let all = candidates(repository, job)?;
    let mut chosen = BTreeSet::new();
    for name in names {
        chosen.insert(find_backup(repository, name)?.id);
    }
    let mut decisions = Vec::new();
    for candidate in all.iter().filter(|candidate| chosen.contains(&candidate.head.id)) {
        let id = candidate.head.id;
        if candidate.tags.contains(PINNED) {
            return Err(OpsError::refused(
                format!("backup {id} is pinned"),
                format!("`pgark tag --remove {PINNED} {id}` takes the pin off; nothing was forgotten"),
            ));
        }
        let another = all.iter().any(|other| {
            other.is_good() && !chosen.contains(&other.head.id) && other.group() == candidate.group()
        });
        if candidate.is_good() && !another && !even_last {
            return Err(OpsError::refused(
                format!("backup {id} is the last good one of {}", candidate.about.databases.join(", ")),
                "give --even-last if it is to go all the same; nothing was forgotten",
            ));
        }
        decisions.push(candidate.decision(false, vec!["named".into()]));
    }
    Ok(decisions)
}

/// What of these (oldest first) stays.
fn decide(all: &[Candidate], policy: &Policy) -> Vec<Decision> {
    let mut groups: BTreeMap<Group, Vec<usize>> = BTreeMap::new();
    for (at, candidate) in all.iter().enumerate() {
        groups.entry(candidate.group()).or_default().push(at);
    }
    let mut reasons: Vec<Vec<String>> = vec![Vec::new(); all.len()];
    for members in groups.values() {
        keep_of_group(all, members, policy, &mut reasons);
    }
    all.iter()
        .zip(reasons)
        .map(|(candidate, mut reasons)| {
            let keep = !reasons.is_empty();
            if !keep {
                reasons.push(match candidate.is_good() {
                    true => "no rule keeps it".to_string(),
                    false => format!(
                        "{}, and a newer good one is there",
                        candidate.decision(false, Vec::new()).status
                    ),
                });
            }
            candidate.decision(keep, reasons)
        })
        .collect()
}

type Period = fn(DateTime) -> (i16, i16);

fn keep_of_group(all: &[Candidate], members: &[usize], policy: &Policy, reasons: &mut [Vec<String>]) {
    let mut note = |at: usize, reason: String| {
        if let Some(reasons) = reasons.get_mut(at) {
            reasons.push(reason);
        }
    };
    let get = |at: &usize| all.get(*at);
    let good: Vec<usize> =
        members.iter().rev().filter(|at| get(at).is_some_and(Candidate::is_good)).copied().collect();
    let time = |at: usize| all.get(at).map_or(Timestamp::UNIX_EPOCH, |own| own.head.time);
    if let Some(newest) = good.first() {
        note(*newest, "the newest good one".into());
    }
    for (number, at) in good.iter().enumerate().take(policy.last as usize) {
        note(*at, format!("last {}", number + 1));
    }
    let periods: [(&str, u32, Period); 5] = [
        ("hourly", policy.hourly, |time| {
            (
                time.date().year() * 12 + i16::from(time.month()),
                i16::from(time.day()) * 24 + i16::from(time.hour()),
            )
        }),
        ("daily", policy.daily, |time| (time.year(), time.date().day_of_year())),
        ("weekly", policy.weekly, |time| {
            let week = time.date().iso_week_date();
            (week.year(), i16::from(week.week()))
        }),
        ("monthly", policy.monthly, |time| (time.year(), i16::from(time.month()))),
        ("yearly", policy.yearly, |time| (time.year(), 0)),
    ];
    for (name, count, period) in periods {
        let mut seen = BTreeSet::new();
        for at in &good {
            let now = time(*at).to_zoned(TimeZone::UTC).datetime();
            if seen.len() < count as usize && seen.insert(period(now)) {
                note(*at, format!("{name} {}", seen.len()));
            }
        }
    }
    if let (Some(within), Some(newest)) = (policy.within, good.first()) {
        let newest = time(*newest);
        for at in &good {
            let age = newest.duration_since(time(*at)).unsigned_abs();
            if age <= within {
                note(*at, "within".into());
            }
        }
    }
    for (number, at) in good.iter().enumerate().take(policy.min as usize) {
        note(*at, format!("one of at least {}, number {}", policy.min, number + 1));
    }
    for at in members {
        let Some(candidate) = get(at) else { continue };
        if candidate.tags.contains(PINNED) {
            note(*at, PINNED.into());
        }
        for tag in policy.tags.iter().filter(|tag| candidate.tags.contains(*tag)) {
            note(*at, format!("tag {tag}"));
        }
        // Half a backup is better than none.
        let newer_good = good.first().is_some_and(|newest| time(*newest) >= candidate.head.time);
        if !candidate.is_good() && !newer_good {
            note(*at, "not whole, but nothing good is newer".into());
        }
    }
}

/// Adds and removes tags of backups; returns each backup's tags.
pub fn tag(
    repository: &Repository,
    names: &[BackupName],
    add: &[String],
    remove: &[String],
) -> Result<Vec<(String, Vec<String>)>, OpsError> {
    let mut heads = Vec::new();
    for name in names {
        heads.push(find_backup(repository, name)?);
    }
    let mut found = Vec::new();
    for head in heads {
        let tags = repository.change_tags(head.id, |tags| {
            tags.extend(add.iter().cloned());
            tags.retain(|tag| !remove.contains(tag));
        })?;
        found.push((head.id.to_string(), tags.into_iter().collect()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(number: u64, time: &str, complete: bool, tags: &[&str]) -> Candidate {
        Candidate {
            head: BackupHead {
                id: format!("{number:016x}").parse().unwrap(),
                time: time.parse().unwrap(),
                cluster: "c".into(),
                kind: "logical".into(),
                complete,
                sequence: number,
                bytes_added: 0,
                entries: 0,
                about: Vec::new(),
            },
            about: About {
                databases: vec!["shop".into()],
                bytes_raw: 0,
                seconds: 0.0,
                warnings: Vec::new(),
                missing: Vec::new(),
                imported: false,
                copied: None,
                reads: BTreeMap::new(),
                server_version: 0,
                system_identifier: String::new(),
            },
            tags: tags.iter().map(|tag| (*tag).to_string()).collect(),
            damaged: false,
        }
    }

    fn kept(all: &[Candidate], policy: &Policy) -> Vec<u64> {
        let decisions = decide(all, policy);
        decisions
            .iter()
            .filter(|decision| decision.keep)
            .map(|decision| u64::from_str_radix(&decision.id, 16).unwrap())
            .collect()
    }

    #[test]
    fn rules_add_up() {
        let all = [
            candidate(1, "2024-12-30T01:00:00Z", true, &[]),
            candidate(2, "2025-01-05T01:00:00Z", true, &["release"]),
            candidate(3, "2025-01-06T01:00:00Z", true, &[]),
            candidate(4, "2025-01-06T02:00:00Z", true, &["pinned"]),
            candidate(5, "2025-01-06T23:00:00Z", false, &[]),
            candidate(6, "2025-01-07T01:00:00Z", true, &[]),
            candidate(7, "2025-01-07T01:30:00Z", true, &[]),
            candidate(8, "2025-01-07T02:00:00Z", false, &[]),
        ];
        let policy = Policy::default;
        // The newest good one, the pin, and the incomplete one that nothing good follows.
        assert_eq!(kept(&all, &policy()), [4, 7, 8]);
        assert_eq!(kept(&all, &Policy { last: 2, ..policy() }), [4, 6, 7, 8]);
        assert_eq!(kept(&all, &Policy { hourly: 3, ..policy() }), [3, 4, 7, 8]);
        assert_eq!(kept(&all, &Policy { daily: 3, ..policy() }), [2, 4, 7, 8]);
        // 2024-12-30 and 2025-01-05 are of one ISO week.
        assert_eq!(kept(&all, &Policy { weekly: 9, ..policy() }), [2, 4, 7, 8]);
        assert_eq!(kept(&all, &Policy { monthly: 2, ..policy() }), [1, 4, 7, 8]);
        assert_eq!(kept(&all, &Policy { yearly: 2, ..policy() }), [1, 4, 7, 8]);
        assert_eq!(
            kept(&all, &Policy { within: Some(Duration::from_secs(86_400)), ..policy() }),
            [4, 6, 7, 8]
        );
        assert_eq!(kept(&all, &Policy { min: 4, ..policy() }), [3, 4, 6, 7, 8]);
        assert_eq!(kept(&all, &Policy { tags: vec!["release".into()], ..policy() }), [2, 4, 7, 8]);
        let decisions = decide(&all, &policy());
        assert_eq!(decisions[4].reasons, ["incomplete, and a newer good one is there"]);
        assert!(kept(&[], &policy()).is_empty());
        // What a check found damaged counts for nothing either.
        let mut damaged = all;
        damaged[6].damaged = true;
        assert_eq!(kept(&damaged, &policy()), [4, 6, 7, 8]);
    }

    #[test]
    fn groups_are_judged_apart() {
        let mut other = candidate(2, "2025-01-01T00:00:00Z", true, &[]);
        other.about.databases = vec!["crm".into()];
        let mut imported = candidate(3, "2025-01-02T00:00:00Z", true, &[]);
        imported.about.imported = true;
        let all = [candidate(1, "2020-01-01T00:00:00Z", true, &[]), other, imported];
        assert_eq!(kept(&all, &Policy { last: 1, ..Policy::default() }), [1, 2, 3]);
    }
}
