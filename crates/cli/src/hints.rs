//! What a person can do about an error, where the answer is an option or a command of this program.
//! The libraries know neither: their errors say by their kind what went wrong.

use pgark_ops::storage::{Cause, StoreError};
use pgark_ops::{OpsError, RepoError};

/// SQLSTATE lock_not_available.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// The hint of an error, if there is one.
pub fn of(error: &OpsError) -> Option<String> {
    by_option(error).map(str::to_string).or_else(|| error.hint())
}

fn by_option(error: &OpsError) -> Option<&'static str> {
    match error {
        OpsError::Table { source, .. } => by_option(source),
        OpsError::Repository(error) => of_repository(error),
        OpsError::Storage(error) => of_storage(error),
        _ if error.sqlstate() == Some(LOCK_NOT_AVAILABLE) => {
            Some("another session holds a lock; wait for it, or give a longer --lock-wait-timeout")
        }
        _ => None,
    }
}

fn of_repository(error: &RepoError) -> Option<&'static str> {
    Some(match error {
        RepoError::NoRepository { .. } => "check --repo; `pgark init --repo URL` makes a new repository",
        RepoError::AlreadyARepository { .. } => "nothing was changed; use it, or give another --repo",
        RepoError::WrongKey => {
            "check that --identity, --passphrase-file or --writer-key is this repository's"
        }
        RepoError::NeedsKey => "give --identity FILE, --passphrase-file FILE or --writer-key FILE",
        RepoError::KeyOfOlderEpoch { .. } => {
            "get a new writer key from the owner: `pgark key writer NAME --out FILE`"
        }
        RepoError::NeedsReaderSecret => "give --identity FILE or --passphrase-file FILE",
        RepoError::Damaged { .. } | RepoError::Missing { .. } => {
            "run `pgark check --read-data` to see which backups are touched"
        }
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

    /// Their texts would be wrong in any other program, and in a web page.
    #[test]
    fn libraries_name_no_option() {
        for library in ["pg", "store", "repo"] {
            let folder = format!("{}/../{library}/src", env!("CARGO_MANIFEST_DIR"));
            for file in sources(folder.as_ref()) {
                let text = std::fs::read_to_string(&file).unwrap();
                // What stands behind is tests.
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
                    let names_one = line.match_indices("--").any(|(at, _)| {
                        let begins = line[..at].ends_with(['"', ' ', '`', '(']);
                        begins && line[at + 2..].starts_with(|sign: char| sign.is_ascii_lowercase())
                    });
                    // The comment of an SQL script, what libpq's tests call, and the programs of
                    // others.
                    let is_of_others = ["pg_config", "ssh"].iter().any(|word| line.contains(word));
                    assert!(!names_one || is_of_others, "{}: {line}", file.display());
                }
            }
        }
    }

    fn sources(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                found.extend(sources(&path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
        found
    }
}
