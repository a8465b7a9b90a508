//! What the user typed, exactly: parsing touches nothing. Help, man pages, completions and
//! docs/cli.md come from here, and so do the keys of `pgark.toml`: an option is declared once.
//!
//! One file for each command; what commands share has its own (`repository`, `server`, `which`,
//! `filters`, `selection`, `keep`).

mod backup;
mod cat;
mod check;
mod config;
mod copy;
mod diff;
#[cfg(test)]
mod examples;
mod export;
mod filters;
mod forget;
#[cfg(test)]
pub mod handbook;
mod help;
mod hooks;
mod import;
mod init;
mod keep;
mod key;
mod list;
mod ls;
mod mask;
mod order;
mod prune;
mod repair;
mod repository;
mod restore;
mod restore_point;
mod selection;
mod server;
mod sessions;
mod shell;
mod show;
mod stats;
mod storage;
mod tag;
mod target;
mod text;
mod trust;
mod wal;
mod wal_receive;
mod which;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

pub use backup::{Backup, Checkpoint, DATABASES, Snapshots, Source};
pub use cat::Cat;
pub use check::{Check, Level};
pub use config::{Config, ConfigAction, ConfigCheck, ConfigInit, ConfigShow, Convert, Foreign};
pub use copy::Copy;
pub use diff::Diff;
pub use export::{Export, Format};
pub use filters::{Filters, RowMap};
pub use forget::Forget;
pub use help::{command, short_help};
pub use import::Import;
pub use init::Init;
pub use keep::{GroupBy, Keep, POLICY};
pub use key::{Key, KeyAction, KeyAdd, KeyList, KeyRevoke, KeyRotate, KeyWriter};
pub use list::{List, Status};
pub use ls::Ls;
pub use mask::{
    Against, Mask, MaskAction, MaskCheck, MaskList, MaskLock, MaskPreview, MaskShow, MaskTest, MaskValue,
};
pub use order::options_behind_command;
pub use prune::Prune;
pub use repair::{Repair, RepairAction, RepairBackups, RepairIndex, RepairObjects};
pub use repository::{Past, Repository, SECRET, Storage};
pub use restore::{DatabaseArgs, OnConflict, Restore};
pub use restore_point::RestorePoint;
pub use selection::{Section, Selection};
pub use server::Server;
pub use sessions::Sessions;
pub use shell::{Completions, Man};
pub use show::Show;
pub use stats::Stats;
pub use storage::{StorageAction, StorageCommand, StorageTest};
pub use tag::Tag;
pub use target::{Action as TargetAction, Point, Timeline, Xid};
pub use trust::Trust;
pub use wal::{Wal, WalAction, WalAdopt, WalFetch, WalPush};
pub use wal_receive::{AckAt, WalReceive};

const EXIT_CODES: &str = "Exit codes:
  0    all done
  1    failed; nothing incomplete counts
  2    wrong usage
  3    finished, but something that was asked for is missing (it is named)
  130  interrupted";

/// Backs up PostgreSQL databases and restores them.
///
/// Backs up live databases into an encrypted, deduplicated repository, and restores any backup,
/// whole or in part.
#[derive(Debug, Parser)]
#[command(name = "pgark", version = crate::version::version(), after_help = EXIT_CODES, arg_required_else_help = true, propagate_version = true)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub action: Action,
}

/// Heading of the options of every command.
pub const GLOBAL: &str = "Global options";

/// Options of every command.
#[derive(Debug, ClapArgs)]
pub struct Common {
    /// Print only warnings and errors
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub quiet: bool,
    /// Print more detail (repeat for debug output)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = GLOBAL)]
    pub verbose: u8,
    /// Show and read times in UTC instead of this host's time zone
    #[arg(long, global = true, help_heading = GLOBAL, hide_short_help = true)]
    pub utc: bool,
    /// Format of the log on standard error
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text, help_heading = GLOBAL, hide_short_help = true)]
    pub log_format: LogFormat,
    /// Also append the log to this file, whatever --quiet says
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL, hide_short_help = true)]
    pub log_file: Option<PathBuf>,
    /// Configuration file (default: ~/.config/pgark/pgark.toml, else /etc/pgark/pgark.toml)
    #[arg(long, global = true, value_name = "FILE", env = "PGARK_CONFIG", help_heading = GLOBAL, hide_short_help = true)]
    pub config: Option<PathBuf>,
}

/// Formats of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people; with time and level unless standard error is a terminal
    Text,
    /// One JSON object per line: time, level, message
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Create a repository
    Init(Init),
    /// Back up databases
    Backup(Box<Backup>),
    /// Restore a backup into a database, or a data directory
    Restore(Box<Restore>),
    /// Make a named point in the WAL of a server, to which it can be recovered
    RestorePoint(RestorePoint),
    /// Write a backup as files for stock pg_restore
    Export(Export),
    /// Import a dump of another program
    Import(Import),
    /// List the backups of a repository
    List(List),
    /// Show one backup and its tables
    Show(Show),
    /// Show what changed from one backup to another
    Diff(Diff),
    /// List the entries of a backup
    Ls(Ls),
    /// Write one entry of a backup to standard output
    Cat(Cat),
    /// Check that everything stored is intact
    Check(Check),
    /// Remove backups: those named by id, or those that no retention rule keeps
    Forget(Forget),
    /// Delete data that no backup needs
    Prune(Prune),
    /// Copy backups into another repository, encrypted with its keys
    Copy(Copy),
    /// Rebuild the index, or replace damaged backups with incomplete ones
    Repair(Repair),
    /// List, add, remove and rotate keys; make keys for hosts that back up
    Key(Key),
    /// Accept a repository in a place where this host knows another one
    Trust(Trust),
    /// Add and remove tags of backups
    Tag(Tag),
    /// List the backups that are being made, and end the session of one that crashed
    Sessions(Sessions),
    /// Archive WAL, give it back to a server, and prove that none is missing
    Wal(Wal),
    /// Show what the repository contains, and how it grows
    Stats(Stats),
    /// Check mask rules, show what they do, list transformers
    Mask(Mask),
    /// Test whether a storage is reliable, and how fast it is
    Storage(StorageCommand),
    /// Show, check, print or convert configuration files
    Config(Config),
    /// Print completions for a shell
    Completions(Completions),
    /// Write man pages
    Man(Man),
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use clap::{Args as _, Command, CommandFactory};

    use super::filters::FILTERS;
    use super::hooks::{HOOKS, Hooks};
    use super::keep::KEEP;
    use super::repository::{REPOSITORY, STORAGE};
    use super::restore::{CHOICE, DIRECTORY};
    use super::selection::SELECTION;
    use super::server::SERVER;
    use super::target::POINT;
    use super::*;

    /// Every command, with its subcommands.
    fn commands() -> Vec<Command> {
        fn below(command: &Command, found: &mut Vec<Command>) {
            for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
                found.push(inner.clone());
                below(inner, found);
            }
        }
        let mut root = Args::command();
        root.build();
        let mut found = vec![root.clone()];
        below(&root, &mut found);
        found
    }

    /// An option is under the heading of the file that declares it, and nothing else does.
    #[test]
    fn headings_do_not_leak() {
        let ids = |command: Command| -> BTreeSet<String> {
            command.get_arguments().map(|arg| arg.get_id().to_string()).collect()
        };
        let empty = || Command::new("x");
        let storage = ids(Storage::augment_args(empty()));
        let selection = ids(Selection::augment_args(empty()));
        let of =
            |all: BTreeSet<String>, without: &BTreeSet<String>| all.difference(without).cloned().collect();
        let mut under: BTreeMap<&str, BTreeSet<String>> = BTreeMap::from([
            (REPOSITORY, of(ids(Repository::augment_args(empty())), &storage)),
            (STORAGE, storage),
            (SERVER, ids(Server::augment_args(empty()))),
            (FILTERS, ids(Filters::augment_args(empty()))),
            (KEEP, ids(Keep::augment_args(empty()))),
            (HOOKS, ids(Hooks::augment_args(empty()))),
            (CHOICE, of(ids(DatabaseArgs::augment_args(empty())), &selection)),
            (SELECTION, selection),
            (GLOBAL, ids(Common::augment_args(empty()))),
        ]);
        let of_directories = ["tablespace", "all_tablespaces", "waldir", "no_sparse", "with_config"];
        let of_directories = of_directories
            .into_iter()
            .chain(["keep_archiving", "delta", "force", "start"])
            .map(str::to_string);
        under.insert(DIRECTORY, of_directories.collect());
        under.insert(POINT, ids(Point::augment_args(empty())));
        under.get_mut(SERVER).unwrap().insert("dbname".into());
        let mut seen = BTreeSet::new();
        for command in commands() {
            for arg in command.get_arguments() {
                let (id, name) = (arg.get_id().as_str(), command.get_name());
                if let Some(heading) = arg.get_help_heading() {
                    assert!(under[heading].contains(id), "{name}: --{id} stands under {heading}");
                    seen.insert(heading.to_string());
                }
                if ["jobs", "json", "cluster", "dry_run", "output", "help"].contains(&id) {
                    assert_eq!(arg.get_help_heading(), None, "{name}: {id}");
                }
            }
        }
        assert_eq!(seen.len(), under.len());
    }

    /// As in psql, where a server is named; elsewhere `-h` is help.
    #[test]
    fn short_options_of_servers_are_psqls() {
        for command in commands() {
            let short = |short: char| {
                command
                    .get_arguments()
                    .find(|arg| arg.get_short() == Some(short))
                    .map(|arg| arg.get_id().as_str())
            };
            if command.get_arguments().any(|arg| arg.get_id() == "host") {
                let found = ['h', 'p', 'U', 'd'].map(short);
                assert_eq!(found, ["host", "port", "username", "dbname"].map(Some), "{}", command.get_name());
            } else {
                assert_eq!(short('h'), Some("help"), "{}", command.get_name());
            }
            assert!(
                command.get_arguments().any(|arg| arg.get_long() == Some("help")),
                "{}",
                command.get_name()
            );
        }
    }

    #[test]
    fn the_arguments_are_sound() {
        super::Args::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in super::Args::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:"), "{} has none", command.get_name());
        }
    }
}
