//! Which backup a person means: an id, a unique prefix or `latest`, and with `:DB` which database
//! of it (trap 28).

use std::collections::BTreeSet;

use pgark_repo::{BackupHead, BackupId, RepoError, Repository};

use crate::OpsError;
use crate::advice::{Advice, Operation, Setting, advice};
use crate::facts::{About, BackupKind};
use crate::nearest::{did_you_mean, nearest, some_of};

/// What a person calls a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupName {
    /// An id, a unique prefix of one or `latest`; with `:DB` one that holds this database.
    pub text: String,
    /// Only of this cluster.
    pub cluster: Option<String>,
    /// Backups that were made with filters may be `latest`, too.
    pub partial: bool,
    /// `latest` is the newest masked backup; without it none of them.
    pub masked: bool,
    /// What is wanted of it: these databases. Filters of others then make it no part. Empty: all
    /// that it holds.
    pub databases: Vec<String>,
}

impl BackupName {
    /// The database that the name itself says, behind its colon.
    pub fn database(&self) -> Option<&str> {
        let (_, database) = self.text.split_once(':')?;
        Some(database).filter(|name| !name.is_empty() && !name.starts_with('/'))
    }

    /// Whether it is the newest of several, and no backup by its id.
    pub(crate) fn is_latest(&self) -> bool {
        self.without_database() == "latest"
    }

    /// The name without its database.
    fn without_database(&self) -> &str {
        match self.database() {
            Some(_) => self.text.split_once(':').map_or(self.text.as_str(), |(backup, _)| backup),
            None => &self.text,
        }
    }

    /// Whether a text can name a backup at all.
    pub fn is_possible(text: &str) -> bool {
        text.contains(':') || text.starts_with("latest") || is_prefix(text)
    }

    /// The same wish with another text.
    pub(crate) fn with_text(&self, text: &str) -> BackupName {
        BackupName { text: text.into(), ..self.clone() }
    }
}

/// Backups of which kinds a command can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those that hold databases as SQL shows them.
    Logical,
    /// Those that hold a data directory.
    Physical,
    /// All. `latest` is still none of a kind that this version does not know: what it holds is a
    /// guess.
    Any,
}

impl Wanted {
    fn may_be_latest(self, kind: &BackupKind) -> bool {
        match self {
            Wanted::Logical => kind.is_logical(),
            Wanted::Physical => *kind == BackupKind::Physical,
            Wanted::Any => kind.is_known(),
        }
    }

    /// Refuses a backup that was named and that the command cannot use.
    fn refuse_other(self, head: BackupHead) -> Result<BackupHead, OpsError> {
        let kind = BackupKind::of(&head);
        if self == Wanted::Any || self.may_be_latest(&kind) {
            return Ok(head);
        }
        if kind == BackupKind::Physical {
            return Err(OpsError::refused(
                format!("backup {} is physical: it holds a data directory, not databases", head.id),
                advice![Operation::Restore, " brings it back with ", Setting::ToDirectory.to("PATH")],
            ));
        }
        if self == Wanted::Physical && kind.is_known() {
            return Err(OpsError::refused(
                format!("backup {} is {kind}: it holds databases, not a data directory", head.id),
                advice![Operation::Restore, " brings it back into a server, with ", Setting::Database],
            ));
        }
        Err(OpsError::refused(
            format!(
                "backup {} is of the kind {:?}, which this version cannot read",
                head.id,
                kind.to_string()
            ),
            "it was made by a newer version of pgark: use that version",
        ))
    }
}

/// Finds the backup that a name means.
///
/// `latest` is the newest complete backup of a kind that the command can use, and that was not
/// imported (unless all were); `latest:DB` the newest complete one of these that holds database DB.
/// Masked backups are among them only if that is wished, and then alone. Neither is ever one that
/// was made with filters (unless that is wished), nor one whose time lies ahead of the storage's
/// clock. Where backups of several clusters could be meant, that is an error: a restore of the
/// wrong cluster is worse than a question.
pub(crate) fn find_backup(
    repository: &Repository,
    name: &BackupName,
    wanted: Wanted,
) -> Result<BackupHead, OpsError> {
    choose(repository.backups()?, name, wanted, &|text| repository.warn(text))
        .map_err(|error| or_set_aside(repository, name, error))
}

/// The backup that a name means among those that cannot be read, if it means no other.
pub(crate) fn find_set_aside<'a>(
    set_aside: &'a [(BackupId, RepoError)],
    good: &[BackupId],
    name: &BackupName,
) -> Option<&'a (BackupId, RepoError)> {
    let wanted = name.without_database().to_ascii_lowercase();
    if wanted.len() < 4 || !wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let is_meant = |id: &BackupId| id.to_string().starts_with(&wanted);
    if good.iter().any(is_meant) {
        return None;
    }
    let mut meant = set_aside.iter().filter(|(id, _)| is_meant(id));
    meant.next().filter(|(first, _)| meant.all(|(id, _)| id == first))
}

/// Where a name means no backup: what is wrong with the one that it means, if that is there and
/// cannot be read.
pub(crate) fn or_set_aside(repository: &Repository, name: &BackupName, error: OpsError) -> OpsError {
    let Ok(mut set_aside) = repository.set_aside() else { return error };
    let Some((id, _)) = find_set_aside(&set_aside, &[], name) else { return error };
    let id = *id;
    match set_aside.iter().position(|(other, _)| *other == id) {
        Some(at) => OpsError::Repository(set_aside.swap_remove(at).1),
        None => error,
    }
}

/// A name that no backup's cluster has is a mistake, and not a choice of nothing. Where there is no
/// backup at all nothing can be said against it.
pub(crate) fn refuse_unknown_cluster(heads: &[BackupHead], cluster: Option<&str>) -> Result<(), OpsError> {
    let Some(cluster) = cluster else { return Ok(()) };
    let known: BTreeSet<String> = heads.iter().map(|head| head.cluster.clone()).collect();
    if known.is_empty() || known.contains(cluster) {
        return Ok(());
    }
    let near = did_you_mean(cluster, known.iter().map(String::as_str));
    Err(OpsError::refused(
        format!("no backup of cluster {cluster:?} is in this repository"),
        format!("{near}there are backups of {}", some_of(&known)),
    ))
}

/// [`find_backup`] among these. `warn` hears of a newer one that `latest` does not mean.
pub(crate) fn choose(
    mut heads: Vec<BackupHead>,
    name: &BackupName,
    wanted: Wanted,
    warn: &dyn Fn(&str),
) -> Result<BackupHead, OpsError> {
    refuse_unknown_cluster(&heads, name.cluster.as_deref())?;
    heads.retain(|head| name.cluster.as_ref().is_none_or(|cluster| head.cluster == *cluster));
    let (text, database) = (name.without_database(), name.database());
    if name.is_latest() {
        heads.retain(|head| head.complete && wanted.may_be_latest(&BackupKind::of(head)));
        let is_masked = |head: &BackupHead| BackupKind::of(head) == BackupKind::Masked;
        let (masked, plain): (Vec<_>, Vec<_>) = heads.into_iter().partition(is_masked);
        return match name.masked {
            true => {
                latest(masked, database, name, warn).map_err(|error| masked_is_not_plain(error, name, &plain))
            }
            false => {
                latest(plain, database, name, warn).map_err(|error| masked_is_not_plain(error, name, &masked))
            }
        };
    }
    let head = wanted.refuse_other(by_prefix(heads, text)?)?;
    if let Some(database) = database {
        refuse_unknown_database(&head, database)?;
    }
    Ok(head)
}

/// Where `latest` means nothing: whether there are others, which it never means.
fn masked_is_not_plain(error: OpsError, name: &BackupName, others: &[BackupHead]) -> OpsError {
    match others.last() {
        Some(other) if matches!(error, OpsError::Refused { .. }) && !name.masked => OpsError::refused(
            format!("`latest` is never a masked backup, and there is no other; the newest is {}", other.id),
            advice!["name the backup by its id, or give ", Setting::Masked],
        ),
        Some(other) if matches!(error, OpsError::Refused { .. }) => OpsError::refused(
            format!("this repository has no complete masked backup; the newest plain one is {}", other.id),
            advice!["make one with ", Operation::Backup, " and a rules file"],
        ),
        _ => error,
    }
}

/// Refuses a database that the backup does not hold.
pub(crate) fn refuse_unknown_database(head: &BackupHead, database: &str) -> Result<(), OpsError> {
    let databases = About::of(head)?.databases;
    if databases.iter().any(|name| name == database) {
        return Ok(());
    }
    let near = did_you_mean(database, databases.iter().map(String::as_str));
    Err(OpsError::refused(
        format!("backup {} has no database {database:?}", head.id),
        format!("{near}it holds {}", some_of(&databases.into_iter().collect())),
    ))
}

/// The newest of these, which are complete and of a kind that can be meant.
fn latest(
    heads: Vec<BackupHead>,
    database: Option<&str>,
    name: &BackupName,
    warn: &dyn Fn(&str),
) -> Result<BackupHead, OpsError> {
    let mut candidates = Vec::new();
    let mut databases = BTreeSet::new();
    for head in heads {
        let about = About::of(&head)?;
        databases.extend(about.databases.iter().cloned());
        if database.is_none_or(|database| about.databases.iter().any(|name| name == database)) {
            candidates.push((about, head));
        }
    }
    // What an import brought is as old as the dump was: it is the latest only where there is
    // nothing else.
    let is_imported = |head: &BackupHead| BackupKind::of(head) == BackupKind::Imported;
    if candidates.iter().any(|(_, head)| !is_imported(head)) {
        candidates.retain(|(_, head)| !is_imported(head));
    }
    let is_part = |about: &About| match database {
        _ if name.partial => false,
        Some(database) => about.is_part_of(database),
        None if name.databases.is_empty() => about.is_part(),
        None => name.databases.iter().any(|database| about.is_part_of(database)),
    };
    let mut found: Option<BackupHead> = None;
    let mut passed_over: Option<(About, BackupHead)> = None;
    for (about, head) in candidates {
        if head.is_ahead() || is_part(&about) {
            passed_over = Some((about, head));
            continue;
        }
        if let Some(other) = found.as_ref().filter(|other| other.cluster != head.cluster) {
            return Err(OpsError::refused(
                format!(
                    "`latest` is ambiguous: this repository has backups of the clusters {} and {}",
                    other.cluster, head.cluster
                ),
                advice![
                    "choose with ",
                    Setting::Cluster.to("NAME"),
                    ", or name the backup by its id; ",
                    Operation::List,
                    " shows them",
                ],
            ));
        }
        found = Some(head);
    }
    let of = database.map(|database| format!(" of database {database:?}")).unwrap_or_default();
    match (found, passed_over) {
        (Some(found), None) => Ok(found),
        (Some(found), Some((about, passed))) => {
            if passed.is_ahead() || passed.moment() > found.moment() {
                warn(&format!("`latest` skips backup {}: {}", passed.id, why_passed(&about, &passed)));
            }
            Ok(found)
        }
        (None, Some((about, passed))) => Err(OpsError::refused(
            format!(
                "`latest` cannot be used: every complete backup{of} is partial. The newest, {}: {}",
                passed.id,
                why_passed(&about, &passed)
            ),
            match passed.is_ahead() {
                true => Advice::from("name the backup by its id"),
                false => advice!["name the backup by its id, or give ", Setting::Partial],
            },
        )),
        (None, None) => Err(OpsError::refused(
            format!("this repository has no complete backup{of}"),
            match database {
                Some(database) => advice![
                    did_you_mean(database, databases.iter().map(String::as_str)),
                    Operation::List,
                    " shows what is there",
                ],
                None => advice!["make one with ", Operation::Backup],
            },
        )),
    }
}

/// Why a backup is not `latest`.
fn why_passed(about: &About, head: &BackupHead) -> String {
    if head.is_ahead() {
        return format!("its time {} is ahead of the storage's clock", head.time);
    }
    let part = about.reads.iter().find(|(_, read)| read.filters.is_part());
    part.map_or_else(String::new, |(database, read)| {
        format!("it contains only a part of database {database}: {}", read.filters.describe())
    })
}

/// An id, or the beginning of one that is long enough.
pub(crate) fn is_prefix(text: &str) -> bool {
    (4..=16).contains(&text.len()) && text.bytes().all(|sign| sign.is_ascii_hexdigit())
}

fn by_prefix(heads: Vec<BackupHead>, text: &str) -> Result<BackupHead, OpsError> {
    let wanted = text.to_ascii_lowercase();
    if !is_prefix(&wanted) {
        return Err(OpsError::NoName {
            what: format!("{text:?} does not name a backup"),
            hint: "give an id of 16 hex digits, a unique prefix of at least 4, or `latest`; with `:DB` behind it for one database"
                .into(),
        });
    }
    let known: Vec<String> = heads.iter().map(|head| head.id.to_string()).collect();
    let mut matching: Vec<BackupHead> =
        heads.into_iter().filter(|head| head.id.to_string().starts_with(&wanted)).collect();
    match matching.len() {
        1 => Ok(matching.remove(0)),
        0 => Err(OpsError::refused(
            format!("this repository has no backup {text}"),
            advice![near_id(&wanted, &known), Operation::List, " shows the ids"],
        )),
        _ => Err(OpsError::refused(
            format!(
                "{text} is ambiguous: {}",
                matching.iter().map(|head| head.id.to_string()).collect::<Vec<_>>().join(", ")
            ),
            "give more digits",
        )),
    }
}

/// The id that was probably meant: one of which the beginning differs by a digit or two. Of few
/// digits too many ids are near.
fn near_id(wanted: &str, known: &[String]) -> String {
    const DIGITS: usize = 6;
    let beginnings = known.iter().filter_map(|id| id.get(..wanted.len()));
    let near = nearest(wanted, beginnings).filter(|_| wanted.len() >= DIGITS);
    let meant = near.and_then(|near| known.iter().find(|id| id.starts_with(near)));
    meant.map(|id| format!("did you mean {id}? ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A complete backup of database `d`; the higher the number, the newer.
    fn head(number: u64, kind: &str) -> BackupHead {
        let about = About { databases: vec!["d".into()], ..About::default() };
        BackupHead {
            id: format!("{number:016x}").parse().unwrap(),
            time: jiff::Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
            stored: None,
            cluster: "c".into(),
            kind: kind.into(),
            complete: true,
            sequence: number,
            bytes_added: 0,
            entries: 0,
            about: about.to_bytes(),
        }
    }

    fn chosen(heads: &[BackupHead], text: &str, wanted: Wanted) -> Result<u64, String> {
        let (cluster, partial, databases) = (None, false, Vec::new());
        let masked = false;
        let name = BackupName { text: text.into(), cluster, partial, masked, databases };
        let found = choose(heads.to_vec(), &name, wanted, &|_| {}).map_err(|error| error.to_string())?;
        Ok(found.sequence)
    }

    #[test]
    fn latest_is_of_the_kind_of_the_command() {
        let heads =
            [head(1, "imported"), head(2, "logical"), head(3, "imported"), head(4, "masked physical")];
        for (heads, latest) in [(&heads[..], Ok(2)), (&heads[2..], Ok(3)), (&heads[..1], Ok(1))] {
            for text in ["latest", "latest:d"] {
                assert_eq!(chosen(heads, text, Wanted::Logical), latest);
                // What a newer version made is never meant, whatever the command.
                assert_eq!(chosen(heads, text, Wanted::Any), latest);
            }
        }
        let masked = [head(1, "logical"), head(2, "masked logical")];
        assert_eq!(chosen(&masked, "latest", Wanted::Logical), Ok(1));
        assert_eq!(chosen(&masked, "latest", Wanted::Any), Ok(1));
        assert!(chosen(&masked[1..], "latest", Wanted::Any).unwrap_err().contains("never a masked backup"));
        // By its id, or where masked ones are asked for.
        assert_eq!(chosen(&masked, "0000000000000002", Wanted::Logical), Ok(2));
        let mut name = BackupName {
            text: "latest".into(),
            cluster: None,
            partial: false,
            masked: true,
            databases: Vec::new(),
        };
        let choose = |heads: &[BackupHead], name: &BackupName| {
            choose(heads.to_vec(), name, Wanted::Logical, &|_| {}).map(|head| head.sequence).ok()
        };
        assert_eq!(choose(&masked, &name), Some(2));
        name.text = "latest:d".into();
        assert_eq!((choose(&masked, &name), choose(&masked[..1], &name)), (Some(2), None));
        let mut half = head(3, "logical");
        half.complete = false;
        assert_eq!(chosen(&[masked[0].clone(), half], "latest", Wanted::Logical), Ok(1));
    }

    #[test]
    fn physical_backups_are_for_commands_of_directories() {
        let heads = [head(1, "logical"), head(2, "physical"), head(3, "logical")];
        assert_eq!(chosen(&heads, "latest", Wanted::Logical), Ok(3));
        assert_eq!(chosen(&heads, "latest", Wanted::Physical), Ok(2));
        assert_eq!(chosen(&heads[..2], "latest", Wanted::Any), Ok(2));
        assert!(chosen(&heads[..1], "latest", Wanted::Physical).is_err());
        for (id, wanted, says) in [
            ("0000000000000002", Wanted::Logical, "it holds a data directory"),
            ("0000000000000003", Wanted::Physical, "it holds databases"),
        ] {
            let refused = chosen(&heads, id, wanted).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }

    #[test]
    fn a_backup_of_a_newer_version_is_found_by_its_id_alone() {
        let mut newer = head(7, "masked physical");
        newer.about = b"[\"not facts of ours\"]".to_vec();
        let heads = [head(1, "logical"), newer];
        assert_eq!(chosen(&heads, "0000000000000007", Wanted::Any), Ok(7));
        let refused = chosen(&heads, "0000000000000007", Wanted::Logical).unwrap_err();
        assert!(refused.contains("of the kind \"masked physical\""), "{refused}");
        assert_eq!(chosen(&heads, "latest", Wanted::Any), Ok(1));
        // It is in the list as it is.
        let record = crate::BackupRecord::of(&heads[1]).unwrap();
        assert_eq!((record.kind.to_string().as_str(), record.databases.len()), ("masked physical", 0));
    }

    #[test]
    fn a_name_that_there_is_not_brings_the_nearest() {
        let heads = [head(0x3a_1234_5678, "logical"), head(2, "logical")];
        let said = |text: &str, cluster: Option<&str>| {
            let cluster = cluster.map(str::to_string);
            let (partial, masked, databases) = (false, false, Vec::new());
            let name = BackupName { text: text.into(), cluster, partial, masked, databases };
            let error = choose(heads.to_vec(), &name, Wanted::Logical, &|_| {}).unwrap_err();
            format!("{error}: {}", error.hint().unwrap_or_default())
        };
        for (text, cluster, words) in [
            ("latest", Some("C1"), "did you mean \"c\"? there are backups of c"),
            ("latest", Some("shop"), "this repository: there are backups of c"),
            ("latest:dd", None, "did you mean \"d\"? list shows what is there"),
            ("0000003a13", None, "did you mean 0000003a12345678? list shows the ids"),
            ("4f0d", None, "this repository has no backup 4f0d: list shows the ids"),
        ] {
            let said = said(text, cluster);
            assert!(said.contains(words), "{said}");
        }
    }
}
