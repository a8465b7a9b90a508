//! What is said about a request, and what could be done: sentences in which everything that only
//! the program can name is data. The command line says `--keep-going`, a web page shows a box to
//! tick, a program that uses this library sets a field.

use std::fmt;

/// Something that a request can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setting {
    /// Go on without WAL that the server does not have any more.
    AcceptGap,
    /// Drop for good what a restore does not bring back.
    AcceptLoss,
    /// The second repository of a backup.
    Also,
    /// The name of the database to restore into.
    As,
    /// Drop what the backup holds, before it is restored.
    Clean,
    /// Which cluster.
    Cluster,
    /// How an export is compressed.
    Compress,
    /// Create the database.
    Create,
    /// Create the replication slot.
    CreateSlot,
    /// Rows alone.
    DataOnly,
    /// The data directory on this host.
    DataDirectory,
    /// Which database.
    Database,
    /// Restore over a data directory, and write what differs.
    Delta,
    /// Look and tell, and change nothing.
    DryRun,
    /// Forget even the last good backup.
    EvenLast,
    /// Restore over the data directory of another cluster.
    Force,
    /// Roles and tablespaces too.
    Globals,
    /// Roles and tablespaces alone.
    GlobalsOnly,
    /// How many workers.
    Jobs,
    /// Go on without what cannot be had.
    KeepGoing,
    /// How long a lock is waited for.
    LockWaitTimeout,
    /// Where to connect first.
    MaintenanceDatabase,
    /// Objects belong to whoever restores.
    NoOwner,
    /// Without privileges.
    NoPrivileges,
    /// What is done about rows that already exist.
    OnConflict,
    /// Where an export goes.
    Output,
    /// Inserts bring their own values of identity columns.
    OverridingSystemValue,
    /// Masked backups count, and no others.
    Masked,
    /// Backups that hold a part count, too.
    Partial,
    /// How long the pause of a standby's replay is waited for.
    PauseTimeout,
    /// Which pg_dump.
    PgDump,
    /// The repository.
    Repository,
    /// Definitions alone.
    SchemaOnly,
    /// All in one transaction.
    SingleTransaction,
    /// When the databases' snapshots are taken.
    Snapshots,
    /// Where the files of a physical backup come from.
    Source,
    /// The folder in which received WAL waits.
    Spool,
    /// Recover to the end of the backup.
    TargetImmediate,
    /// Recover to the end of the archived WAL.
    TargetLatest,
    /// Recover to a position of the WAL.
    TargetLsn,
    /// The timeline to recover along.
    TargetTimeline,
    /// Where a tablespace goes.
    Tablespace,
    /// A tag to put on.
    TagAdded,
    /// A tag to take off.
    TagRemoved,
    /// Where a data directory is restored to.
    ToDirectory,
}

/// Another operation than the one that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Archive the WAL of another system under a cluster's name.
    AdoptWal {
        /// The system.
        system_identifier: u64,
        /// The cluster.
        cluster: String,
    },
    /// Make a backup.
    Backup,
    /// Look for damage by names and lists alone.
    Check,
    /// Look for damage by reading all data.
    CheckData,
    /// Look whether archived WAL is missing.
    CheckWal,
    /// Make a repository.
    Init,
    /// List the backups.
    List,
    /// List the entries of a backup.
    ListEntries {
        /// Which; none: whichever is meant.
        backup: Option<String>,
    },
    /// List key slots and writers.
    ListKeys,
    /// List what a restore would bring back.
    ListRestore,
    /// List the moments that can be recovered.
    ListTimes,
    /// Archive a file of WAL.
    PushWal,
    /// Replace damaged backups by ones without what is lost.
    RepairBackups,
    /// Put damaged objects back from their second copies.
    RepairObjects,
    /// Restore a backup.
    Restore,
    /// Show what a backup holds.
    Show,
    /// Show the roles and tablespaces of a backup.
    ShowGlobals,
    /// Take a tag off a backup.
    Untag {
        /// The tag.
        tag: String,
        /// The backup's id.
        backup: String,
    },
}

/// What only the program can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Something that a request can say, and what it would say: a value, or in capitals what sort
    /// of one.
    Set(Setting, Option<String>),
    /// Another operation.
    Do(Operation),
}

/// A piece of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Words(String),
    Way(Way),
}

/// A sentence. Shown as it is, it names settings and operations as this library does; a program
/// that has other names for them puts those in ([`Advice::in_words`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advice(Vec<Piece>);

impl Advice {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The settings and operations that it names, in order.
    pub fn ways(&self) -> impl Iterator<Item = &Way> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Way(way) => Some(way),
            Piece::Words(_) => None,
        })
    }

    /// The sentence, in which `name` names settings and operations.
    pub fn in_words(&self, name: impl Fn(&Way) -> String) -> String {
        let said = self.0.iter().map(|piece| match piece {
            Piece::Words(words) => words.clone(),
            Piece::Way(way) => name(way),
        });
        said.collect()
    }

    /// Says more behind it.
    pub(crate) fn and(mut self, more: impl Into<Advice>) -> Advice {
        self.0.extend(more.into().0);
        self
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_words(ToString::to_string))
    }
}

/// A plain text.
impl serde::Serialize for Advice {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Names as this library has them: `keep going`, `cluster NAME`.
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Set(setting, None) => f.write_str(&spaced(setting)),
            Way::Set(setting, Some(value)) => write!(f, "{} {value}", spaced(setting)),
            Way::Do(Operation::AdoptWal { system_identifier, cluster }) => {
                write!(f, "adopt WAL of {system_identifier} for {cluster}")
            }
            Way::Do(Operation::Untag { tag, backup }) => write!(f, "untag {tag} of {backup}"),
            Way::Do(Operation::ListEntries { backup: Some(backup) }) => write!(f, "list entries of {backup}"),
            Way::Do(Operation::ListEntries { backup: None }) => f.write_str("list entries"),
            Way::Do(operation) => f.write_str(&spaced(operation)),
        }
    }
}

/// The name of a variant as words.
fn spaced(variant: &dyn fmt::Debug) -> String {
    let mut words = String::new();
    for letter in format!("{variant:?}").chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

impl Setting {
    /// What it would say.
    pub(crate) fn to(self, value: impl Into<String>) -> Way {
        Way::Set(self, Some(value.into()))
    }
}

impl From<String> for Advice {
    fn from(words: String) -> Advice {
        match words.is_empty() {
            true => Advice::default(),
            false => Advice(vec![Piece::Words(words)]),
        }
    }
}

impl From<&str> for Advice {
    fn from(words: &str) -> Advice {
        words.to_string().into()
    }
}

impl From<Way> for Advice {
    fn from(way: Way) -> Advice {
        Advice(vec![Piece::Way(way)])
    }
}

impl From<Setting> for Advice {
    fn from(setting: Setting) -> Advice {
        Way::Set(setting, None).into()
    }
}

impl From<Operation> for Advice {
    fn from(operation: Operation) -> Advice {
        Way::Do(operation).into()
    }
}

/// A sentence of its pieces: texts, settings (with [`Setting::to`] and a value) and operations.
macro_rules! advice {
    ($($piece:expr),+ $(,)?) => {
        $crate::advice::Advice::default()$(.and($piece))+
    };
}
pub(crate) use advice;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_names_what_the_library_means() {
        let said = advice![
            "give ",
            Setting::KeepGoing,
            ", or ",
            Setting::Cluster.to("NAME"),
            "; ",
            Operation::CheckData,
            String::from(" shows more"),
        ];
        assert_eq!(said.to_string(), "give keep going, or cluster NAME; check data shows more");
        assert_eq!(said.ways().count(), 3);
        let named = said.in_words(|way| match way {
            Way::Set(..) => "-x".into(),
            Way::Do(_) => "look".into(),
        });
        assert_eq!(named, "give -x, or -x; look shows more");
        assert!(Advice::from("").is_empty() && !said.is_empty());
    }
}
