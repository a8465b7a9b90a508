//! What a person can do about an error, where the answer is an option or a command of this program.
//! The libraries know neither: their errors say by their kind what went wrong, and their advice
//! names settings and operations as data ([`Advice`]). Here these get the names that they have on
//! the command line.

use pgark_ops::storage::{Cause, StoreError};
use pgark_ops::{Advice, Operation, OpsError, RepoError, Setting, Way};

/// The hint of an error, if there is one.
pub fn of(error: &OpsError) -> Option<String> {
    by_option(error).map(str::to_string).or_else(|| error.hint().map(|advice| in_words(&advice)))
}

/// What an error says, without its causes.
pub fn words_of(error: &OpsError) -> String {
    match error {
        OpsError::Usage(advice) => in_words(advice),
        error => error.to_string(),
    }
}

/// Advice in the words of the command line.
pub fn in_words(advice: &Advice) -> String {
    advice.in_words(|way| match way {
        Way::Set(setting, None) => option(*setting).to_string(),
        Way::Set(setting, Some(value)) => format!("{} {value}", option(*setting)),
        Way::Do(operation) => format!("`pgark {}`", command(operation)),
    })
}

fn option(setting: Setting) -> &'static str {
    match setting {
        Setting::AcceptLoss => "--accept-loss",
        Setting::Also => "--also",
        Setting::As => "--as",
        Setting::Clean => "--clean",
        Setting::Cluster => "--cluster",
        Setting::Compress => "--compress",
        Setting::Create => "--create",
        Setting::DataOnly => "--data-only",
        Setting::DataDirectory => "--pgdata",
        Setting::Database => "--database",
        Setting::Delta => "--delta",
        Setting::DryRun => "--dry-run",
        Setting::EvenLast => "--even-last",
        Setting::Force => "--force",
        Setting::Globals => "--globals",
        Setting::GlobalsOnly => "--globals-only",
        Setting::Jobs => "--jobs",
        Setting::KeepGoing => "--keep-going",
        Setting::LockWaitTimeout => "--lock-wait-timeout",
        Setting::MaintenanceDatabase => "--maintenance-db",
        Setting::NoOwner => "--no-owner",
        Setting::NoPrivileges => "--no-privileges",
        Setting::OnConflict => "--on-conflict",
        Setting::Output => "--output",
        Setting::OverridingSystemValue => "--overriding-system-value",
        Setting::Masked => "--masked",
        Setting::Partial => "--partial",
        Setting::PauseTimeout => "--pause-timeout",
        Setting::PgDump => "--pg-dump",
        Setting::Source => "--source",
        Setting::Spool => "--spool",
        Setting::AcceptGap => "--accept-gap",
        Setting::CreateSlot => "--create-slot",
        Setting::Repository => "--repo",
        Setting::SchemaOnly => "--schema-only",
        Setting::SingleTransaction => "--single-transaction",
        Setting::Snapshots => "--snapshots",
        Setting::TargetImmediate => "--target-immediate",
        Setting::TargetLatest => "--target-latest",
        Setting::TargetLsn => "--target-lsn",
        Setting::TargetTimeline => "--target-timeline",
        Setting::Tablespace => "--tablespace",
        Setting::TagAdded => "--add",
        Setting::TagRemoved => "--remove",
        Setting::ToDirectory => "--to-dir",
    }
}

fn command(operation: &Operation) -> String {
    let fixed = match operation {
        Operation::AdoptWal { system_identifier, cluster } => {
            return format!("wal adopt {system_identifier} --cluster {cluster}");
        }
        Operation::Backup => "backup",
        Operation::Check => "check",
        Operation::CheckData => "check --read-data",
        Operation::CheckWal => "wal check",
        Operation::Init => "init --repo URL",
        Operation::List => "list",
        Operation::ListEntries { backup: Some(backup) } => return format!("ls {backup}"),
        Operation::ListEntries { backup: None } => "ls",
        Operation::ListKeys => "key list",
        Operation::ListRestore => "restore ID --list",
        Operation::ListTimes => "list --times",
        Operation::RepairBackups => "repair backups",
        Operation::RepairObjects => "repair objects",
        Operation::PushWal => "wal push %p",
        Operation::Restore => "restore",
        Operation::Show => "show ID",
        Operation::ShowGlobals => "cat ID:/globals.sql",
        Operation::Untag { tag, backup } => return format!("tag --remove {tag} {backup}"),
    };
    fixed.to_string()
}

fn by_option(error: &OpsError) -> Option<&'static str> {
    match error {
        OpsError::Table { source, .. } => by_option(source),
        OpsError::Repository(error) => of_repository(error),
        OpsError::Storage(error) => of_storage(error),
        _ => None,
    }
}

fn of_repository(error: &RepoError) -> Option<&'static str> {
    Some(match error {
        RepoError::NoRepository { .. } => "check --repo; `pgark init --repo URL` creates a new repository",
        RepoError::AlreadyARepository { .. } => "nothing was changed; use it, or give another --repo",
        RepoError::WrongKey => {
            "check that --identity, --passphrase-file, --passphrase or --writer-key is this repository's"
        }
        RepoError::NeedsKey => {
            "give --identity FILE, --passphrase-file FILE, --passphrase (asks on the terminal) or --writer-key FILE"
        }
        RepoError::KeyOfOlderEpoch { .. } => {
            "get a new writer key from the owner: `pgark key writer NAME --output FILE`"
        }
        RepoError::BadSecret { what: "recipient", .. } => {
            "a recipient begins with age1 or ssh-ed25519; `age-keygen -y FILE` prints the one of an identity file"
        }
        RepoError::NeedsReaderSecret => {
            "give --identity FILE, --passphrase-file FILE or --passphrase (asks on the terminal)"
        }
        RepoError::NeedsOwner => {
            "give the owner's identity, --identity FILE (or PGARK_IDENTITY), --passphrase-file FILE or --passphrase: with none of them \
             the writer key is used that `pgark init` left on this host"
        }
        RepoError::OtherCluster { .. } => {
            "use a key that is for that cluster: the owner makes one with `pgark key writer NAME --cluster CLUSTER --output FILE`"
        }
        RepoError::FingerprintChanged { .. } => {
            "someone put another repository there; if it was you, compare the fingerprint with the one that `pgark init` printed: \
             `pgark trust --repo URL` shows both and replaces what this host remembers"
        }
        RepoError::NoMemory => "set HOME, or XDG_STATE_HOME",
        RepoError::Damaged { .. } | RepoError::Missing { .. } => {
            "run `pgark check --read-data` to see which backups are affected"
        }
        RepoError::AnotherBackup { .. } => {
            "--wait waits until it has ended, --allow-concurrent runs at the same time; if it was killed on another host, it is waited for \
             until fifteen minutes have passed: `pgark sessions` shows it, `pgark sessions --end ID` ends it"
        }
        RepoError::UnknownSession { .. } => "`pgark sessions` lists those that there are",
        RepoError::SessionAtWork { .. } => {
            "wait until it is done; --force ends it all the same: it then commits a backup only if nothing that it needs was deleted"
        }
        RepoError::CommitUnsure { .. } => "`pgark list` shows it if it was",
        RepoError::Store(error) => return of_storage(error),
        _ => return None,
    })
}

fn of_storage(error: &StoreError) -> Option<&'static str> {
    match error {
        StoreError::Failed { cause: Cause::Credentials, .. } => {
            Some("check the credentials: `pgark storage test --help` lists where they come from")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_named_here_and_the_rest_is_the_librarys() {
        let hint = |error| of(&OpsError::Repository(error)).unwrap_or_default();
        assert!(hint(RepoError::NeedsReaderSecret).contains("--identity"));
        assert!(hint(RepoError::WeakPassphrase { why: "it is short" }).contains("random words"));
        assert_eq!(of(&OpsError::Cancelled), None);
    }

    #[test]
    fn advice_names_options_that_there_are() {
        fn options(command: &clap::Command) -> Vec<String> {
            let own = command.get_arguments().filter_map(|arg| arg.get_long().map(str::to_string));
            own.chain(command.get_subcommands().flat_map(options)).collect()
        }
        let declared = options(&<crate::args::Args as clap::CommandFactory>::command());
        let named = include_str!("hints.rs").lines().filter_map(|line| {
            line.trim().strip_prefix("Setting::")?.split_once(" => \"--")?.1.strip_suffix("\",")
        });
        for option in named {
            assert!(declared.iter().any(|known| known == option), "{option}");
        }
    }

    /// Their texts would be wrong in any other program, and in a web page. What they hand to
    /// PostgreSQL's programs is in one file that holds nothing else; where a text is about an
    /// option of such a program, the program's name comes before it.
    #[test]
    fn libraries_name_no_option() {
        for library in ["bytes", "pg", "store", "repo", "ops"] {
            let folder = format!("{}/../{library}/src", env!("CARGO_MANIFEST_DIR"));
            for file in sources(folder.as_ref()) {
                let text = std::fs::read_to_string(&file).unwrap();
                let is_of_children = file.ends_with("ops/src/options.rs");
                // What comes after is tests.
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
                    let names_one = line.match_indices("--").any(|(at, _)| {
                        let begins = line[..at].ends_with(['"', ' ', '`', '(']);
                        let of_others = ["pg_dump ", "pg_dumpall ", "pg_restore "];
                        let is_of_another = of_others.iter().any(|program| line[..at].ends_with(program));
                        let is_one = line[at + 2..].starts_with(|sign: char| sign.is_ascii_lowercase());
                        begins && is_one && !is_of_another
                    });
                    if is_of_children && names_one {
                        assert!(is_argument(line), "{}: {line}", file.display());
                        continue;
                    }
                    // The comment of an SQL script, what libpq's tests call, and the programs of
                    // others.
                    let is_of_others =
                        ["pg_config", "ssh", "--age-plugin"].iter().any(|word| line.contains(word));
                    assert!(!names_one || is_of_others, "{}: {line}", file.display());
                }
            }
        }
    }

    /// A constant that is an option and no sentence.
    fn is_argument(line: &str) -> bool {
        let value = line.strip_prefix("pub(crate) const ").and_then(|rest| rest.split_once(": &str = \"--"));
        value
            .and_then(|(_, rest)| rest.strip_suffix("\";"))
            .is_some_and(|option| option.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
    }

    fn sources(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                found.extend(sources(&path));
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("tests.rs")
            {
                found.push(path);
            }
        }
        found
    }
}
