//! Deletes archived WAL that no backup needs.
//!
//! Which files that are only the maker of the backups can say. What is made sure of here:
//!
//! * **Age.** Nothing is deleted that the storage received within the grace time, by its own clock.
//! * **Backups that are being made.** Nothing is deleted that was received after the session of one
//!   that is alive began: it may need what follows it. Sessions are listed first, then the caller
//!   reads the backups: one that is no longer among the sessions is among the backups by then.
//! * **Order.** The oldest go first, some at once: who is broken off leaves what is newer.

use std::time::{Duration, SystemTime};

use super::{WalArchive, WalListed};
use crate::at_once::each;
use crate::prune::storage_clock;
use crate::repository::Repository;
use crate::rights::{Right, Scope};
use crate::{RepoError, random, sessions};

/// So many are deleted before it is looked whether that was allowed.
const AT_ONCE: usize = 64;

/// What may be deleted of an archive at all.
pub struct WalRetirement<'a, 'r> {
    archive: &'a WalArchive<'r>,
    /// Received before this.
    before: SystemTime,
    dry_run: bool,
}

/// What was deleted, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalRetired {
    /// Files.
    pub files: u64,
    /// Bytes of their objects.
    pub bytes: u64,
    /// Files that are not old enough yet.
    pub waiting: u64,
    /// Objects that the storage did not let us delete; the first of them ended it.
    pub refused: Vec<String>,
}

impl Repository {
    /// The time, by the storage's clock: that of an object that is put for it. A dry run puts none,
    /// and asks this host.
    pub fn time(&self, dry_run: bool) -> Result<SystemTime, RepoError> {
        match dry_run {
            true => Ok(SystemTime::now()),
            false => Ok(storage_clock(self, &random::backup_id()?.to_string())?.0),
        }
    }
}

impl<'r> WalArchive<'r> {
    /// Begins to delete at this time: after this the backups are to be read that need WAL.
    ///
    /// # Errors
    /// The key at hand may not prune this cluster's backups; what the storage says.
    pub fn retire<'a>(
        &'a self,
        now: SystemTime,
        grace: Duration,
        dry_run: bool,
    ) -> Result<WalRetirement<'a, 'r>, RepoError> {
        let compartment = self.unlocked.compartment_of(&self.cluster)?;
        self.unlocked.refuse_stranger(Right::Prune, &[Scope::Compartment(compartment)])?;
        let alive = sessions::alive(self.unlocked, compartment, now)?;
        let oldest = alive.iter().map(|session| session.began).min();
        let before = now.checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let before = oldest.map_or(before, |oldest| oldest.min(before));
        Ok(WalRetirement { archive: self, before, dry_run })
    }
}

impl WalRetirement<'_, '_> {
    /// The archive.
    pub fn archive(&self) -> &WalArchive<'_> {
        self.archive
    }

    /// Deletes these files, the first ones first.
    ///
    /// # Errors
    /// What the storage says, other than that it does not allow it; cancelled.
    pub fn delete(&self, files: &[WalListed]) -> Result<WalRetired, RepoError> {
        let mut report = WalRetired::default();
        let (old, young): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.received < self.before);
        report.waiting = young.len() as u64;
        let store = &self.archive.unlocked.store;
        for some in old.chunks(AT_ONCE) {
            store.cancel().check()?;
            let names: Vec<String> = some.iter().map(|file| file.name.below(&self.archive.folder)).collect();
            let answers = each(&names, |name| if self.dry_run { Ok(()) } else { store.delete(name) });
            for ((file, name), answer) in some.iter().zip(&names).zip(answers) {
                match answer {
                    Ok(()) => {
                        report.files += 1;
                        report.bytes += file.stored;
                    }
                    Err(error) if error.is_denied() => report.refused.push(name.clone()),
                    Err(error) => return Err(error.into()),
                }
            }
            if !report.refused.is_empty() {
                break;
            }
        }
        Ok(report)
    }
}
