//! Retention: which backups a policy keeps, and why.
//!
//! Backups are judged in series: all that hold one database of one cluster, made with the same
//! filters. A backup of several databases is in several series, and stays if one of them needs it.
//! So a part (made with filters) keeps and replaces only parts of the same selection, and a backup
//! of the whole cluster and one of a single database replace each other where they hold the same.
//! Dumps that were imported are in series of their own, and so are the physical backups of a
//! cluster. One in which pages were damaged on the server already is never the last good one.
//!
//! Only good backups (complete, and not found damaged by a check) count towards what is kept; an
//! incomplete one goes as soon as a newer good one is there. The newest good one of a series always
//! stays, and so does what is tagged `pinned`. Hours, days, weeks (ISO 8601, from Monday), months
//! and years are those of UTC, so that every host decides alike; in each the newest is kept.
//!
//! **Other groups.** An operator may want the rules to count in other groups ([`GroupBy`]): all
//! that hold the very same databases, all of one selection, or all of a cluster. Parts are still
//! judged apart. What always stays is told by the series alone, so no way of counting takes the
//! newest good backup of a database away.
//!
//! **Databases that are gone.** A good backup that would have taken a database (`--all`, or a
//! pattern that matches) and does not hold it proves that it was dropped. Such a backup takes a
//! place in the series as if it held the database, so that databases which come and go do not keep
//! a backup each forever. The last backup of a database that was dropped stays for a week more
//! ([`Policy::dropped`]), and when it is removed, that is reported.
//!
//! **Clocks.** A backup whose time lies ahead of the storage's clock is judged by no rule and
//! stays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pgark_repo::{BackupHead, BackupId, Repository};
use schemars::JsonSchema;
use serde::Serialize;

use crate::advice::{Operation, Setting, advice};
use crate::facts::{About, BackupKind, BackupStatus};
use crate::nearest::did_you_mean;
use crate::select::{BackupName, Wanted, find_backup, refuse_unknown_cluster};
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
    /// All that are not older than this, seen from the newest good one of the series.
    pub within: Option<Duration>,
    /// Never fewer good ones than this.
    pub min: u32,
    /// Those with any of these tags.
    pub tags: Vec<String>,
    /// How long the last backup of a database stays after the first one that shows that it was
    /// dropped; None: a week.
    pub dropped: Option<Duration>,
    /// Among which backups the rules count.
    pub group_by: GroupBy,
}

/// Among which backups of a cluster the rules of a policy count. Those of other filters are always
/// others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupBy {
    /// Those that hold one database: a backup of several is in several groups. So neither a
    /// database that is new nor another choice of databases starts the counting again.
    #[default]
    Database,
    /// Those of one selection: what was asked for, whatever databases there were then.
    Selection,
    /// Those that hold the very same databases.
    Databases,
    /// All of the cluster.
    Cluster,
}

/// What series of physical backups are called.
const DATA_DIRECTORY: &str = "the data directory";

/// How long the last backup of a dropped database stays.
pub const DROPPED: Duration = Duration::from_secs(7 * 24 * 3600);

impl Policy {
    /// Whether it says anything at all.
    pub fn is_empty(&self) -> bool {
        Policy { dropped: None, group_by: GroupBy::default(), ..self.clone() } == Policy::default()
    }
}

/// Whether a backup is kept, and why.
#[derive(Clone, Debug, Serialize, JsonSchema, PartialEq, Eq)]
pub struct Decision {
    /// Id of the backup: 16 hex digits.
    pub id: String,
    /// When it was made: RFC 3339, UTC.
    pub time: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Names of the databases in it.
    pub databases: Vec<String>,
    /// Whether it contains everything that was asked for.
    pub status: BackupStatus,
    /// Whether it was made with filters.
    pub partial: bool,
    /// Whether its time is ahead of the storage's clock.
    pub ahead: bool,
    /// Names of databases that no remaining backup contains, if this one is forgotten. Absent:
    /// none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_of: Vec<String>,
    /// Whether it is kept; false: it was forgotten, or would be in a dry run.
    pub keep: bool,
    /// The rules that keep it, or why it is forgotten.
    pub reasons: Vec<String>,
}

/// What to forget.
pub enum WhatToForget {
    /// These, whatever a policy would say; the last good one of a series only with `even_last`.
    These {
        /// The backups.
        names: Vec<BackupName>,
        /// The last complete one may be removed, too.
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
    /// It has tags that cannot be read, and may be pinned.
    tags_unreadable: bool,
    /// A check found that something of it cannot be read.
    damaged: bool,
}

/// One database of one cluster, with the same filters each time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    cluster: String,
    kind: BackupKind,
    database: String,
    filters: String,
    /// The rules file of masked backups.
    rules: Option<String>,
}

/// Backups among which the rules count, where that is not a series.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    cluster: String,
    kind: BackupKind,
    /// Of each database that has some.
    filters: Vec<(String, String)>,
    /// The rules file of masked backups.
    rules: Option<String>,
    of: String,
}

impl Candidate {
    /// Every series that it is in. Physical backups hold all databases of their cluster, whichever
    /// there are.
    fn series(&self) -> impl Iterator<Item = Series> {
        let of = match self.is_physical() {
            true => vec![DATA_DIRECTORY.to_string()],
            false => self.about.databases.clone(),
        };
        of.into_iter().map(|database| Series {
            cluster: self.head.cluster.clone(),
            kind: BackupKind::of(&self.head),
            filters: self.filters(&database),
            database,
            rules: self.rules(),
        })
    }

    fn is_physical(&self) -> bool {
        BackupKind::of(&self.head) == BackupKind::Physical
    }

    /// The rules file that it was masked by.
    fn rules(&self) -> Option<String> {
        self.about.masked.as_ref().map(|masked| masked.rules.clone())
    }

    /// In one form; empty where there are none.
    fn filters(&self, database: &str) -> String {
        let filters = self.about.reads.get(database).map(|read| read.filters.normal());
        let filters = filters.filter(|filters| !filters.is_default());
        filters.map(|filters| serde_json::to_string(&filters).unwrap_or_default()).unwrap_or_default()
    }

    /// The group that it is in; none where the rules count by series.
    fn group(&self, by: GroupBy) -> Option<Group> {
        let mut databases = self.about.databases.clone();
        databases.sort();
        let json = |databases: &[String]| serde_json::to_string(databases).unwrap_or_default();
        let of = match (by, &self.about.selection) {
            (GroupBy::Database, _) => return None,
            _ if self.is_physical() => DATA_DIRECTORY.to_string(),
            (GroupBy::Selection, Some(selection)) => selection.normal(),
            // The connection named it, or an import brought it.
            (GroupBy::Selection, None) | (GroupBy::Databases, _) => json(&databases),
            (GroupBy::Cluster, _) => String::new(),
        };
        let filters = databases.into_iter().map(|database| (self.filters(&database), database));
        let filters = filters.filter(|(filters, _)| !filters.is_empty());
        Some(Group {
            cluster: self.head.cluster.clone(),
            kind: BackupKind::of(&self.head),
            filters: filters.map(|(filters, database)| (database, filters)).collect(),
            rules: self.rules(),
            of,
        })
    }

    /// Everything that was asked for is in it, as far as is known, and no page was damaged on the
    /// server already.
    fn is_good(&self) -> bool {
        let is_sound = self.about.physical.as_ref().is_none_or(|physical| physical.pages.failed == 0);
        self.head.complete && !self.damaged && is_sound
    }

    /// Good, and its time can be believed.
    fn counts(&self) -> bool {
        self.is_good() && !self.head.is_ahead()
    }

    /// Whether it proves that the database of a series was not there when it was made.
    fn proves_gone(&self, series: &Series) -> bool {
        let database = &series.database;
        self.head.cluster == series.cluster
            && BackupKind::of(&self.head) == series.kind
            && self.rules() == series.rules
            && self.counts()
            && !self.about.holds(database)
            && self.about.selection.as_ref().is_some_and(|selection| selection.takes(database))
    }

    fn decision(&self, keep: bool, reasons: Vec<String>) -> Decision {
        Decision {
            id: self.head.id.to_string(),
            time: self.head.time.to_string(),
            cluster: self.head.cluster.clone(),
            databases: self.about.databases.clone(),
            status: self.status(),
            partial: self.about.is_part(),
            ahead: self.head.is_ahead(),
            last_of: Vec::new(),
            keep,
            reasons,
        }
    }

    fn status(&self) -> BackupStatus {
        if self.damaged { BackupStatus::Damaged } else { BackupStatus::of(&self.head) }
    }
}

fn candidates(repository: &Repository, job: &Job) -> Result<Vec<Candidate>, OpsError> {
    let tags = repository.tags()?;
    let damaged = repository.quarantined_backups()?;
    repository
        .backups()?
        .into_iter()
        .map(|head| {
            if let Some(why) = tags.unreadable(&head.id) {
                job.progress.warn(&format!("the tags of backup {} cannot be read: {why}", head.id));
            }
            let (id, own) = (head.id, tags.get(&head.id).cloned().unwrap_or_default());
            Ok(Candidate {
                about: About::of(&head)?,
                damaged: damaged.contains(&id),
                head,
                tags: own,
                tags_unreadable: tags.unreadable(&id).is_some(),
            })
        })
        .collect()
}

fn unpin(id: &BackupId) -> Operation {
    Operation::Untag { tag: PINNED.to_string(), backup: id.to_string() }
}

/// Decides, and forgets what does not stay unless `dry_run`. Decisions are in the order of time,
/// oldest first; with [`WhatToForget::These`] only of those.
pub fn forget(
    repository: &Repository,
    choice: &WhatToForget,
    dry_run: bool,
    job: &Job,
) -> Result<Vec<Decision>, OpsError> {
    let repository = &job.on(repository);
    let decisions = match choice {
        WhatToForget::These { names, even_last } => these(repository, names, *even_last, job)?,
        WhatToForget::Policy { policy, cluster } => {
            let mut all = candidates(repository, job)?;
            let heads: Vec<BackupHead> = all.iter().map(|candidate| candidate.head.clone()).collect();
            refuse_unknown_cluster(&heads, cluster.as_deref())?;
            if let Some(cluster) = cluster {
                all.retain(|candidate| candidate.head.cluster == *cluster);
            }
            decide(&all, policy)
        }
    };
    if !dry_run {
        let gone = decisions.iter().filter(|decision| !decision.keep);
        let gone: Vec<BackupId> = gone.filter_map(|decision| decision.id.parse().ok()).collect();
        repository.forget_all(&gone)?;
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
    let set_aside = repository.set_aside()?;
    let mut chosen = BTreeSet::new();
    let mut decisions = Vec::new();
    for name in names {
        match crate::select::find_set_aside(&set_aside, &all_heads(&all), name) {
            Some((id, _)) => decisions.push(of_set_aside(*id)),
            None => drop(chosen.insert(find_backup(repository, name, Wanted::Any)?.id)),
        }
    }
    for candidate in all.iter().filter(|candidate| chosen.contains(&candidate.head.id)) {
        let id = candidate.head.id;
        if candidate.tags.contains(PINNED) {
            return Err(OpsError::refused(
                format!("backup {id} is pinned"),
                advice![unpin(&id), " unpins it; nothing was removed"],
            ));
        }
        if candidate.tags_unreadable {
            return Err(OpsError::refused(
                format!("the tags of backup {id} cannot be read: it could be pinned"),
                advice![
                    Operation::RepairObjects,
                    " restores them from their second copy; ",
                    unpin(&id),
                    " confirms that it is not pinned; nothing was removed",
                ],
            ));
        }
        let mut last_of = Vec::new();
        for series in candidate.series().filter(|_| candidate.is_good()) {
            let another = all.iter().any(|other| {
                other.counts() && !chosen.contains(&other.head.id) && other.series().any(|own| own == series)
            });
            if !another {
                last_of.push(series.database);
            }
        }
        if !last_of.is_empty() && !even_last {
            let part = if candidate.about.is_part() { " made with the same filters" } else { "" };
            return Err(OpsError::refused(
                format!("backup {id} is the last complete one of {}{part}", last_of.join(", ")),
                advice!["give ", Setting::EvenLast, " to remove it anyway; nothing was removed"],
            ));
        }
        decisions.push(candidate.decision(false, vec!["named".into()]));
    }
    Ok(decisions)
}

/// Why a backup stays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// A rule, in words; it may apply to some of the backup's databases only.
    Rule(String),
    /// It is the last one of a database that is gone since a day.
    LastOf(String, jiff::civil::Date),
}

/// Each reason, in the order in which they were found, with the databases that it applies to.
type Reasons = BTreeMap<(usize, Reason), BTreeSet<String>>;

fn all_heads(all: &[Candidate]) -> Vec<BackupId> {
    all.iter().map(|candidate| candidate.head.id).collect()
}

/// A backup whose manifest cannot be read: nothing else is known of it.
fn of_set_aside(id: BackupId) -> Decision {
    Decision {
        id: id.to_string(),
        time: String::new(),
        cluster: String::new(),
        databases: Vec::new(),
        status: BackupStatus::Damaged,
        partial: false,
        ahead: false,
        last_of: Vec::new(),
        keep: false,
        reasons: vec!["named".into()],
    }
}

/// What of these (oldest first) stays.
fn decide(all: &[Candidate], policy: &Policy) -> Vec<Decision> {
    let mut members: BTreeMap<Series, Vec<usize>> = BTreeMap::new();
    for (at, candidate) in all.iter().enumerate() {
        for series in candidate.series() {
            members.entry(series).or_default().push(at);
        }
    }
    let mut reasons: Vec<Reasons> = vec![Reasons::new(); all.len()];
    let mut note = |order: usize, at: usize, reason: Reason, databases: &[String]| {
        if let Some(reasons) = reasons.get_mut(at) {
            let known = reasons.keys().find(|(_, known)| *known == reason).cloned();
            let own = reasons.entry(known.unwrap_or((order, reason))).or_default();
            own.extend(databases.iter().cloned());
        }
    };
    let mut most = 0;
    for (series, members) in &members {
        let mut order = 0;
        keep_of_series(all, series, members, policy, &mut |at, reason| {
            order += 1;
            note(order, at, reason, std::slice::from_ref(&series.database));
        });
        most = most.max(order);
    }
    for places in groups(all, policy.group_by).values() {
        let mut order = most;
        by_rules(all, places, policy, &mut |at, rule| {
            order += 1;
            let databases = all.get(at).map(|own| own.about.databases.as_slice()).unwrap_or_default();
            note(order, at, Reason::Rule(rule), databases);
        });
    }
    let mut decisions: Vec<Decision> = all
        .iter()
        .zip(reasons)
        .map(|(candidate, reasons)| {
            let mut reasons: Vec<String> =
                reasons.into_iter().map(|((_, reason), of)| of_databases(candidate, reason, &of)).collect();
            reasons.extend(of_itself(candidate, policy));
            let keep = !reasons.is_empty();
            if !keep {
                reasons.push(match candidate.is_good() {
                    true => "no rule keeps it".to_string(),
                    false => format!("{}, and there is a newer complete one", candidate.status()),
                });
            }
            candidate.decision(keep, reasons)
        })
        .collect();
    // Newest first: of several that go, only the last one is the last.
    for (series, members) in &members {
        let stays = |at: &usize| decisions.get(*at).is_none_or(|decision| decision.keep);
        if members.iter().any(stays) {
            continue;
        }
        let good = members.iter().rev().find(|at| all.get(**at).is_some_and(Candidate::is_good));
        let Some(decision) = good.or(members.last()).and_then(|last| decisions.get_mut(*last)) else {
            continue;
        };
        if good.is_none() {
            decision.reasons = vec![decision.status.to_string()];
        }
        decision.last_of.push(series.database.clone());
        let of_its_kind =
            series.rules.as_ref().map(|rules| format!(" masked by {rules}")).unwrap_or_default();
        decision.reasons.push(format!("no newer backup{of_its_kind} contains database {}", series.database));
    }
    decisions
}

/// A reason, and of which of a backup's databases if not of all.
fn of_databases(candidate: &Candidate, reason: Reason, of: &BTreeSet<String>) -> String {
    const TOLD: usize = 3;
    let reason = match reason {
        Reason::LastOf(database, day) => {
            return format!("the last one of database {database}, dropped by {day}");
        }
        Reason::Rule(rule) if of.len() == candidate.about.databases.len() => return rule,
        Reason::Rule(rule) => rule,
    };
    let told: Vec<&str> = of.iter().take(TOLD).map(String::as_str).collect();
    let more = match of.len() - told.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{reason} of {}{more}", told.join(", "))
}

/// What keeps a backup, whatever others there are.
fn of_itself(candidate: &Candidate, policy: &Policy) -> Vec<String> {
    let tags = &candidate.tags;
    let mut reasons = Vec::new();
    if candidate.tags_unreadable {
        reasons.push("its tags cannot be read".to_string());
    }
    if tags.contains(PINNED) {
        reasons.push(PINNED.to_string());
    }
    reasons.extend(policy.tags.iter().filter(|tag| tags.contains(*tag)).map(|tag| format!("tag {tag}")));
    if !BackupKind::of(&candidate.head).is_known() {
        reasons.push("no rule applies: a newer version of pgark made it".into());
    }
    if candidate.head.is_ahead() {
        reasons.push("no rule applies: its time is ahead of the storage's clock".into());
    }
    reasons
}

/// The good ones of each group, the newest first; nothing where the rules count by series.
fn groups(all: &[Candidate], by: GroupBy) -> BTreeMap<Group, Vec<usize>> {
    let mut groups: BTreeMap<Group, Vec<usize>> = BTreeMap::new();
    for (at, candidate) in all.iter().enumerate().rev().filter(|(_, candidate)| candidate.counts()) {
        if let Some(group) = candidate.group(by) {
            groups.entry(group).or_default().push(at);
        }
    }
    groups
}

type Period = fn(DateTime) -> (i16, i16);

/// `members`: those that hold the series, oldest first.
fn keep_of_series(
    all: &[Candidate],
    series: &Series,
    members: &[usize],
    policy: &Policy,
    note: &mut dyn FnMut(usize, Reason),
) {
    let time = |at: usize| all.get(at).map_or(Timestamp::UNIX_EPOCH, |own| own.head.moment());
    let counts = |at: &usize| all.get(*at).is_some_and(Candidate::counts);
    let good: Vec<usize> = members.iter().rev().filter(|at| counts(at)).copied().collect();
    let first = members.first().copied().unwrap_or(0);
    let proves = |at: &usize| all.get(*at).is_some_and(|candidate| candidate.proves_gone(series));
    // Newest first: what holds it, and what shows that it was not there any more.
    let mut places: Vec<usize> = (first..all.len()).filter(proves).chain(good.iter().copied()).collect();
    places.sort_unstable_by(|a, b| b.cmp(a));
    let is_held = |at: usize| members.binary_search(&at).is_ok();
    // Half a backup is better than none.
    let newest_good = good.first().copied();
    let halves: Vec<usize> = members
        .iter()
        .filter(|at| all.get(**at).is_some_and(|candidate| !candidate.is_good()))
        .filter(|at| newest_good.is_none_or(|newest| time(newest) < time(**at)))
        .copied()
        .collect();
    let last_held = newest_good.into_iter().chain(halves.iter().copied()).max();
    let proofs: Vec<usize> = places.iter().filter(|at| !is_held(**at)).copied().collect();
    let after = |at: &&usize| last_held.is_some_and(|last| **at > last);
    let dropped = proofs.iter().rfind(after).copied();
    let (held, why) = match (dropped, places.first()) {
        (Some(dropped), Some(newest)) => {
            let gone_for = time(*newest).duration_since(time(dropped)).unsigned_abs();
            let since = time(dropped).to_zoned(TimeZone::UTC).date();
            let why = Reason::LastOf(series.database.clone(), since);
            (gone_for < policy.dropped.unwrap_or(DROPPED), Some(why))
        }
        _ => (true, None),
    };
    if held {
        if let Some(newest) = newest_good {
            note(newest, why.clone().unwrap_or_else(|| Reason::Rule("the newest complete one".into())));
        }
        for at in halves {
            let halfway = || Reason::Rule("incomplete, but there is no newer complete one".into());
            note(at, why.clone().unwrap_or_else(halfway));
        }
    }
    if policy.group_by == GroupBy::Database {
        by_rules(all, &places, policy, &mut |at, rule| {
            if is_held(at) {
                note(at, Reason::Rule(rule));
            }
        });
    }
}

/// What the rules keep of these, the newest first.
fn by_rules(all: &[Candidate], places: &[usize], policy: &Policy, keep: &mut dyn FnMut(usize, String)) {
    let time = |at: usize| all.get(at).map_or(Timestamp::UNIX_EPOCH, |own| own.head.moment());
    for (number, at) in places.iter().enumerate().take(policy.last as usize) {
        keep(*at, format!("last {}", number + 1));
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
        for at in places {
            let now = time(*at).to_zoned(TimeZone::UTC).datetime();
            if seen.len() < count as usize && seen.insert(period(now)) {
                keep(*at, format!("{name} {}", seen.len()));
            }
        }
    }
    if let (Some(within), Some(newest)) = (policy.within, places.first()) {
        let newest = time(*newest);
        for at in places {
            if newest.duration_since(time(*at)).unsigned_abs() <= within {
                keep(*at, "within".into());
            }
        }
    }
    for (number, at) in places.iter().enumerate().take(policy.min as usize) {
        keep(*at, format!("one of at least {}, number {}", policy.min, number + 1));
    }
}

/// A backup's tags.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Tagged {
    /// Id of the backup.
    pub id: String,
    /// Its tags, sorted.
    pub tags: Vec<String>,
}

/// Adds and removes tags of backups; returns each backup's tags.
pub fn tag(
    repository: &Repository,
    names: &[BackupName],
    add: &[String],
    remove: &[String],
) -> Result<Vec<Tagged>, OpsError> {
    let mut heads = Vec::new();
    for name in names {
        heads.push(find_backup(repository, name, Wanted::Any)?);
    }
    let mut found = Vec::new();
    if add.is_empty() && remove.is_empty() {
        let tags = repository.tags()?;
        for head in heads {
            if let Some(why) = tags.unreadable(&head.id) {
                return Err(OpsError::refused(
                    format!("the tags of backup {} cannot be read: {why}", head.id),
                    advice![
                        Operation::RepairObjects,
                        " restores them from their second copy; ",
                        Setting::TagAdded,
                        " or ",
                        Setting::TagRemoved,
                        " replaces them",
                    ],
                ));
            }
            let own = tags.get(&head.id).cloned().unwrap_or_default();
            found.push(Tagged { id: head.id.to_string(), tags: own.into_iter().collect() });
        }
        return Ok(found);
    }
    // Of one that cannot be read nobody knows what it had.
    let before = if remove.is_empty() { None } else { Some(repository.tags()?) };
    for head in heads {
        let readable = before.as_ref().filter(|tags| tags.unreadable(&head.id).is_none());
        let had = readable.map(|tags| tags.get(&head.id).cloned().unwrap_or_default());
        let tags = repository.change_tags(head.id, |tags| {
            tags.extend(add.iter().cloned());
            tags.retain(|tag| !remove.contains(tag));
        })?;
        for tag in remove.iter().filter(|tag| had.as_ref().is_some_and(|had| !had.contains(*tag))) {
            let near = had.iter().flatten().map(String::as_str);
            let near = did_you_mean(tag, near);
            repository.warn(format!("backup {} had no tag {tag:?}. {near}", head.id).trim_end());
        }
        found.push(Tagged { id: head.id.to_string(), tags: tags.into_iter().collect() });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{DatabaseRead, Filters, Selection};
    use crate::facts::{Masked, Physical};

    fn candidate(number: u64, time: &str, complete: bool, tags: &[&str]) -> Candidate {
        Candidate {
            head: BackupHead {
                id: format!("{number:016x}").parse().unwrap(),
                time: time.parse().unwrap(),
                cluster: "c".into(),
                kind: "logical".into(),
                complete,
                stored: None,
                sequence: number,
                bytes_added: 0,
                entries: 0,
                about: Vec::new(),
            },
            about: About { databases: vec!["shop".into()], ..About::default() },
            tags: tags.iter().map(|tag| (*tag).to_string()).collect(),
            tags_unreadable: false,
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
        assert_eq!(decisions[4].reasons, ["incomplete, and there is a newer complete one"]);
        assert!(kept(&[], &policy()).is_empty());
        // What a check found damaged counts for nothing either.
        let mut damaged = all;
        damaged[6].damaged = true;
        assert_eq!(kept(&damaged, &policy()), [4, 6, 7, 8]);
        // Who may be pinned stays.
        damaged[0].tags_unreadable = true;
        assert_eq!(kept(&damaged, &policy()), [1, 4, 6, 7, 8]);
    }

    #[test]
    fn groups_are_judged_apart() {
        let mut other = candidate(2, "2025-01-01T00:00:00Z", true, &[]);
        other.about.databases = vec!["crm".into()];
        let mut imported = candidate(3, "2025-01-02T00:00:00Z", true, &[]);
        imported.head.kind = BackupKind::Imported.into();
        let all = [candidate(1, "2020-01-01T00:00:00Z", true, &[]), other, imported];
        assert_eq!(kept(&all, &Policy { last: 1, ..Policy::default() }), [1, 2, 3]);
    }

    /// Databases come and go, the data directory stays; one with damaged pages is not the last
    /// good.
    #[test]
    fn physical_backups_of_a_cluster_are_a_series() {
        let mut all: Vec<Candidate> = (1..=5)
            .map(|number| {
                let mut own = candidate(number, &format!("2025-01-0{number}T00:00:00Z"), true, &[]);
                own.head.kind = BackupKind::Physical.into();
                own.about.databases = vec![format!("d{number}")];
                own.about.physical = Some(Physical::default());
                own
            })
            .collect();
        let last = Policy { last: 1, ..Policy::default() };
        assert_eq!(kept(&all, &last), [5]);
        all[4].about.physical.as_mut().unwrap().pages.failed = 1;
        assert_eq!(kept(&all, &last), [4, 5]);
        let by_databases = Policy { group_by: GroupBy::Databases, ..last };
        assert_eq!(kept(&all, &by_databases), [4, 5]);
        all.push(candidate(6, "2025-01-06T00:00:00Z", true, &[]));
        assert_eq!(kept(&all, &by_databases), [4, 5, 6]);
    }

    #[test]
    fn no_rule_judges_a_kind_of_a_newer_version() {
        let all: Vec<Candidate> = (1..=4)
            .map(|number| {
                let mut own = candidate(number, &format!("2025-01-0{number}T00:00:00Z"), true, &[]);
                own.head.kind = if number < 3 { "masked physical" } else { "logical" }.into();
                own
            })
            .collect();
        assert_eq!(kept(&all, &Policy { last: 1, ..Policy::default() }), [1, 2, 4]);
    }

    /// Of each rules file the newest stays, and the newest plain one.
    #[test]
    fn masked_backups_of_a_rules_file_are_a_series() {
        let rules = [None, Some("a.toml"), Some("a.toml"), Some("b.toml"), None, Some("a.toml")];
        let all: Vec<Candidate> = (1..)
            .zip(rules)
            .map(|(number, rules)| {
                let mut own = candidate(number, &format!("2025-01-0{number}T00:00:00Z"), true, &[]);
                let masked = rules.map(|rules| Masked { rules: rules.into(), ..Masked::default() });
                own.head.kind =
                    if masked.is_some() { BackupKind::Masked } else { BackupKind::Logical }.into();
                own.about.masked = masked;
                own
            })
            .collect();
        for group_by in [GroupBy::Database, GroupBy::Databases, GroupBy::Cluster] {
            let policy = Policy { last: 1, group_by, ..Policy::default() };
            assert_eq!(kept(&all, &policy), [4, 5, 6]);
        }
    }

    /// A backup of these databases, each with its filters.
    fn holding(number: u64, time: &str, of: &[(&str, Filters)]) -> Candidate {
        let mut own = candidate(number, time, true, &[]);
        own.about.databases = of.iter().map(|(name, _)| (*name).to_string()).collect();
        let read = |filters: &Filters| DatabaseRead { filters: filters.clone(), ..DatabaseRead::default() };
        own.about.reads = of.iter().map(|(name, filters)| ((*name).to_string(), read(filters))).collect();
        own
    }

    fn whole(number: u64, time: &str, databases: &[&str]) -> Candidate {
        let of: Vec<_> = databases.iter().map(|name| (*name, Filters::default())).collect();
        holding(number, time, &of)
    }

    /// The same, of all databases that there were.
    fn all_of(number: u64, time: &str, databases: &[&str]) -> Candidate {
        let mut own = whole(number, time, databases);
        own.about.selection = Some(Selection::default());
        own
    }

    const LAST: Policy = Policy {
        last: 1,
        hourly: 0,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
        within: None,
        min: 0,
        tags: Vec::new(),
        dropped: None,
        group_by: GroupBy::Database,
    };

    #[test]
    fn rules_count_in_the_groups_that_are_asked_for() {
        let of = |number: u64, day: u64, databases: &[&str], include: &[&str]| {
            let mut own = whole(number, &format!("2025-01-{day:02}T00:00:00Z"), databases);
            let include: Vec<String> = include.iter().map(|text| (*text).to_string()).collect();
            let all = Selection { include, ..Selection::default() };
            own.about.selection = Some(all);
            own
        };
        let mut all = vec![
            of(1, 1, &["crm", "shop"], &[]),
            of(2, 2, &["crm", "shop"], &[]),
            of(3, 3, &["shop"], &["shop"]),
            // A new database.
            of(4, 4, &["crm", "new", "shop"], &[]),
            of(5, 5, &["shop"], &["shop"]),
            of(6, 6, &["crm", "new", "shop"], &[]),
        ];
        let kept_by = |all: &[Candidate], group_by| kept(all, &Policy { last: 2, group_by, ..LAST });
        // The newest two of each database.
        assert_eq!(kept_by(&all, GroupBy::Database), [4, 5, 6]);
        // The new database splits nothing.
        assert_eq!(kept_by(&all, GroupBy::Selection), [3, 4, 5, 6]);
        assert_eq!(kept_by(&all, GroupBy::Databases), [1, 2, 3, 4, 5, 6]);
        assert_eq!(kept_by(&all, GroupBy::Cluster), [5, 6]);
        let decisions = decide(&all, &Policy { last: 2, group_by: GroupBy::Cluster, ..LAST });
        assert_eq!(decisions[5].reasons, ["the newest complete one", "last 1"]);
        assert_eq!(decisions[4].reasons, ["last 2"]);
        // The order of patterns is no other selection.
        let (mut one, mut other) =
            (of(7, 7, &["crm", "shop"], &["crm", "sh*"]), of(8, 8, &["crm", "shop"], &["sh*", "crm"]));
        assert!(one.group(GroupBy::Selection) == other.group(GroupBy::Selection));
        // Parts are judged apart, and in every way of counting the newest of each database stays.
        let schema = Filters { schema_only: true, ..Filters::default() };
        for own in [&mut one, &mut other] {
            own.about
                .reads
                .insert("shop".into(), DatabaseRead { filters: schema.clone(), ..DatabaseRead::default() });
        }
        all.extend([one, other, of(9, 9, &["crm"], &["crm"]), of(10, 10, &["crm"], &["crm"])]);
        assert_eq!(kept_by(&all, GroupBy::Cluster), [6, 7, 8, 9, 10]);
        assert!(Policy { group_by: GroupBy::Cluster, ..Policy::default() }.is_empty());
    }

    #[test]
    fn a_part_replaces_only_parts_of_the_same_selection() {
        let schema = Filters { schema_only: true, ..Filters::default() };
        let tables = |names: &[&str]| Filters {
            table: names.iter().map(|name| (*name).to_string()).collect(),
            ..Filters::default()
        };
        let all = [
            whole(1, "2025-01-01T00:00:00Z", &["shop"]),
            holding(2, "2025-01-02T00:00:00Z", &[("shop", schema.clone())]),
            holding(3, "2025-01-03T00:00:00Z", &[("shop", tables(&["a", "b"]))]),
            holding(4, "2025-01-04T00:00:00Z", &[("shop", tables(&["b", "a"]))]),
            holding(5, "2025-01-05T00:00:00Z", &[("shop", schema)]),
        ];
        assert_eq!(kept(&all, &LAST), [1, 4, 5]);
        // In a backup of several databases a part of one is none of the other.
        let rowless = Filters { exclude_table_data: vec!["log".into()], ..Filters::default() };
        let all = [
            whole(1, "2025-01-01T00:00:00Z", &["crm", "shop"]),
            holding(2, "2025-01-02T00:00:00Z", &[("crm", Filters::default()), ("shop", rowless.clone())]),
            holding(3, "2025-01-03T00:00:00Z", &[("crm", Filters::default()), ("shop", rowless)]),
        ];
        assert_eq!(kept(&all, &LAST), [1, 3]);
        assert_eq!(decide(&all, &LAST)[0].reasons, ["the newest complete one of shop", "last 1 of shop"]);
    }

    #[test]
    fn what_holds_the_same_replaces_each_other() {
        let all = [
            all_of(1, "2025-01-01T00:00:00Z", &["crm", "shop"]),
            whole(2, "2025-01-02T00:00:00Z", &["shop"]),
            all_of(3, "2025-01-03T00:00:00Z", &["crm", "shop"]),
            whole(4, "2025-01-03T01:00:00Z", &["shop"]),
        ];
        // The newest of crm is in 3, that of shop is 4.
        assert_eq!(kept(&all, &LAST), [3, 4]);
    }

    #[test]
    fn databases_that_come_and_go_keep_no_backup_for_ever() {
        let night = |day: u64, own: &str| {
            all_of(day, &format!("2025-01-{day:02}T00:00:00Z"), &["shop", &format!("ci_{own}")])
        };
        let mut all: Vec<Candidate> = (1..=20).map(|day| night(day, &day.to_string())).collect();
        // Of the databases that were dropped within the last week, the last backup is there still.
        let dropped: Vec<u64> = (13..=20).collect();
        assert_eq!(kept(&all, &LAST), dropped);
        assert_eq!(
            decide(&all, &LAST)[18].reasons,
            ["the last one of database ci_19, dropped by 2025-01-20"]
        );
        let none = Policy { dropped: Some(Duration::ZERO), ..LAST };
        assert_eq!(kept(&all, &none), [20]);
        assert_eq!(decide(&all, &none)[18].last_of, ["ci_19"], "it goes, and that is told");
        // Days without the database count as days.
        assert_eq!(kept(&all, &Policy { last: 0, daily: 3, ..none.clone() }), [18, 19, 20]);
        // A backup of one database proves nothing of another, and a selection only of what it
        // takes.
        all.push(whole(21, "2025-03-01T00:00:00Z", &["crm"]));
        assert_eq!(kept(&all, &none), [20, 21]);
        let mut some = all_of(22, "2025-03-02T00:00:00Z", &["shop"]);
        some.about.selection = serde_json::from_str(r#"{"exclude": ["ci_*"]}"#).unwrap();
        all.push(some);
        assert_eq!(kept(&all, &none), [20, 22], "crm is gone, of ci_20 that is not known");
        // What is not good proves nothing.
        let mut failed = all_of(23, "2025-03-03T00:00:00Z", &["shop"]);
        failed.head.complete = false;
        all.push(failed);
        assert_eq!(kept(&all, &none), [20, 22, 23]);
        all.push(all_of(24, "2025-03-04T00:00:00Z", &["shop"]));
        assert_eq!(kept(&all, &none), [24]);
    }

    #[test]
    fn a_time_ahead_of_the_storage_counts_for_nothing() {
        let mut future = candidate(3, "2036-01-01T00:00:00Z", true, &[]);
        future.head.stored = Some("2025-01-03T00:00:00Z".parse().unwrap());
        let all = [
            candidate(1, "2025-01-01T00:00:00Z", true, &[]),
            candidate(2, "2025-01-02T00:00:00Z", true, &[]),
            future,
            candidate(4, "2025-01-04T00:00:00Z", true, &[]),
        ];
        let within = Policy { last: 0, within: Some(Duration::from_secs(3 * 86_400)), ..LAST };
        assert_eq!(kept(&all, &within), [1, 2, 3, 4]);
        assert_eq!(kept(&all, &LAST), [3, 4]);
        assert!(decide(&all, &LAST)[2].ahead && !decide(&all, &LAST)[3].ahead);
        let mut early = all;
        early[2].head.time = "2025-01-03T00:59:00Z".parse().unwrap();
        assert_eq!(kept(&early, &LAST), [4], "within an hour clocks may differ");
    }
}
