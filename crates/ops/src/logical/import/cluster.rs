//! Which cluster a dump is of, where nobody says it.

use pgark_repo::{BackupHead, Repository};

use crate::OpsError;
use crate::facts::{About, BackupKind};

/// The name that the repository has for the cluster with this system identifier; else the
/// identifier itself, or `imported` if the dump does not say it.
///
/// # Errors
/// What the repository says.
pub(super) fn name(repository: &Repository, identifier: &str) -> Result<String, OpsError> {
    if identifier.is_empty() {
        return Ok("imported".into());
    }
    let known = known(repository.newest_of_each_cluster()?, identifier);
    Ok(known.unwrap_or_else(|| identifier.to_string()))
}

/// The name among the newest backups of each cluster. Clones have one identifier: of several
/// clusters with it, the one with the newest backup is meant, and one that has only imports last.
fn known(newest: Vec<BackupHead>, identifier: &str) -> Option<String> {
    let own = newest
        .into_iter()
        .filter(|head| About::of(head).is_ok_and(|about| about.system_identifier == identifier));
    own.max_by_key(|head| (BackupKind::of(head) != BackupKind::Imported, head.moment()))
        .map(|head| head.cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(number: u64, cluster: &str, identifier: &str, kind: BackupKind) -> BackupHead {
        let about = About { system_identifier: identifier.into(), ..About::default() };
        BackupHead {
            id: format!("{number:016x}").parse().unwrap(),
            time: jiff::Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
            stored: None,
            cluster: cluster.into(),
            kind: kind.into(),
            complete: true,
            sequence: number,
            bytes_added: 0,
            entries: 0,
            about: about.to_bytes(),
        }
    }

    #[test]
    fn the_identifier_finds_the_name() {
        let newest = vec![
            head(1, "staging", "7", BackupKind::Logical),
            head(2, "prod", "7", BackupKind::Logical),
            head(3, "7", "7", BackupKind::Imported),
            head(4, "other", "8", BackupKind::Logical),
            head(5, "imported", "", BackupKind::Imported),
        ];
        assert_eq!(known(newest.clone(), "7").as_deref(), Some("prod"));
        assert_eq!(known(newest.clone(), "9"), None);
        assert_eq!(known(newest.into_iter().skip(2).collect(), "7").as_deref(), Some("7"));
    }
}
