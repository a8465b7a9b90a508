//! Who is at work in a repository: its sessions, and an end for those whose writer is gone.
//!
//! **Ending a session** deletes its objects: prunes and later backups of the cluster do not wait
//! for it any more. Nothing can be lost by that, though its writer be alive after all. A prune
//! deletes only what is dead once its intents were put, and intents stay for days. The writer looks
//! at them behind its draft and before its manifest, as always; where its first session object is
//! gone, it looks for every pack that it needs, too. So it commits a backup of which everything is
//! there, or none (FORMAT.md, section 8). Its draft, which that depends on, is never deleted here.

use std::time::SystemTime;

use jiff::Timestamp;

use crate::announcement::Announcement;
use crate::ids::{BackupId, Compartment};
use crate::repository::Repository;
use crate::rights::{Right, Scope};
use crate::sessions::{self, IS_DEAD, IS_SILENT, Listed};
use crate::{RepoError, names};

/// The state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It was renewed within fifteen minutes.
    AtWork,
    /// It was not: its writer, its host or the network between has stopped. A prune waits for it
    /// until an hour has passed.
    Silent,
    /// Its process ran on this host and is gone. A prune waits until an hour has passed.
    Gone,
    /// It was not renewed for an hour: nobody waits for it.
    Dead,
    /// Its backup is committed or forgotten: nobody waits for it. A key that may not delete leaves
    /// such sessions behind.
    Over,
}

/// One session.
#[derive(Clone, Debug)]
pub struct WriterSession {
    /// The id that the backup has, or will have.
    pub id: BackupId,
    /// The cluster's name; empty where an older program does not say it.
    pub cluster: String,
    /// What is being done, in the word of whoever does it; empty: not said.
    pub purpose: String,
    /// The host's name; empty: not said.
    pub host: String,
    /// When it began, by the storage's clock.
    pub began: Timestamp,
    /// When it was last heard of, by the storage's clock.
    pub heard: Timestamp,
    /// Its state.
    pub state: SessionState,
    compartment: Compartment,
}

impl WriterSession {
    /// Whether a prune waits for it: what was marked after it began is not deleted.
    pub fn is_waited_for(&self) -> bool {
        matches!(self.state, SessionState::AtWork | SessionState::Silent | SessionState::Gone)
            && Timestamp::now().duration_since(self.heard).unsigned_abs() <= IS_DEAD
    }

    fn new(listed: &Listed, said: Announcement, compartment: Compartment, state: SessionState) -> Self {
        let time = |time: SystemTime| Timestamp::try_from(time).unwrap_or_default();
        WriterSession {
            id: listed.id,
            began: time(listed.began),
            heard: time(listed.heard),
            cluster: said.cluster,
            purpose: said.purpose,
            host: said.host,
            state,
            compartment,
        }
    }
}

fn state(listed: &Listed, said: &Announcement, is_over: bool) -> SessionState {
    let silent_for = SystemTime::now().duration_since(listed.heard).unwrap_or_default();
    if is_over {
        SessionState::Over
    } else if silent_for > IS_DEAD {
        SessionState::Dead
    } else if said.is_gone() {
        SessionState::Gone
    } else if silent_for > IS_SILENT {
        SessionState::Silent
    } else {
        SessionState::AtWork
    }
}

impl Repository {
    /// Every session that is there, the oldest first; of clusters that the keys at hand open. What
    /// someone without a right has put is ignored, with a warning.
    pub fn sessions(&self) -> Result<Vec<WriterSession>, RepoError> {
        let mut found = Vec::new();
        for compartment in self.compartments_in(&["sessions/"])? {
            let all = sessions::all(self.store(), compartment)?;
            let over = sessions::over(&self.unlocked, compartment, all.keys().copied().collect())?;
            for listed in all.values() {
                match listed.read(&self.unlocked, compartment) {
                    Ok(Some(said)) => {
                        let state = state(listed, &said, over.contains(&listed.id));
                        found.push(WriterSession::new(listed, said, compartment, state));
                    }
                    // It has ended just now.
                    Ok(None) => {}
                    Err(error) if error.is_of_object() => {
                        self.unlocked.warn_once(format!("a session is ignored: {error}"));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        found.sort_by_key(|session| (session.began, session.id));
        Ok(found)
    }

    /// The refusal that a backup of this cluster which is to be alone would meet now, if any.
    pub fn refusal_of_another_backup(&self, cluster: &str) -> Result<Option<RepoError>, RepoError> {
        let (compartment, now) = (self.unlocked.compartment_of(cluster)?, SystemTime::now());
        let alive = sessions::alive(&self.unlocked, compartment, now)?;
        Ok(sessions::in_the_way(&self.unlocked, &alive, cluster, now))
    }

    /// Ends a session (see the head of this file). One that seems to be at work only with `force`.
    /// Returns its last state.
    ///
    /// # Errors [`RepoError::UnknownSession`], [`RepoError::SessionAtWork`]; a key or a storage
    /// that does not let us.
    pub fn end_session(&self, id: BackupId, force: bool) -> Result<WriterSession, RepoError> {
        let session = self.sessions()?.into_iter().find(|session| session.id == id);
        let session = session.ok_or(RepoError::UnknownSession { id })?;
        if session.state == SessionState::AtWork && !force {
            return Err(RepoError::SessionAtWork { id, heard: session.heard });
        }
        let compartment = session.compartment;
        self.unlocked.refuse_stranger(Right::Backup, &[Scope::Compartment(compartment)])?;
        // In the order of their numbers: its writer looks for the first.
        for meta in names::list(self.store(), &sessions::folder_of(compartment, id))? {
            self.store().delete(&meta.name)?;
        }
        Ok(session)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::SessionState;
    use crate::announcement::Announcement;
    use crate::properties::repository;
    use crate::repository::Repository;
    use crate::{
        BackupHead, BackupId, BackupWriter, CheckLevel, CheckOptions, Class, Cut, Host, NewBackup,
        PruneOptions, RepoError, WriteOptions, host_is, object, sessions,
    };

    fn options(alone: bool) -> WriteOptions {
        WriteOptions { alone, ..WriteOptions::of("c", "backup") }
    }

    fn back_up(
        repository: &Repository,
        alone: bool,
        meanwhile: impl FnOnce(&BackupWriter<'_>),
    ) -> Result<BackupHead, RepoError> {
        let written = repository.write_backup(&options(alone), |writer| {
            let mut stream = writer.stream(Class::Data, Cut::Content);
            stream.write(&[7; 5000])?;
            let mut entry = writer.entry("/a", Class::Data);
            entry.add(stream.finish()?);
            entry.finish(Vec::new())?;
            meanwhile(writer);
            Ok::<_, RepoError>((
                NewBackup { kind: "x".into(), complete: true, about: Vec::new(), time: None },
                (),
            ))
        });
        written.map(|(head, ())| head)
    }

    /// A session that somebody else has put, not heard of for so long.
    fn session_of(repository: &Repository, folder: &Path, said: &Announcement, silent_for: u64) -> BackupId {
        let id = crate::random::backup_id().unwrap();
        let compartment = repository.unlocked.compartment_of("c").unwrap();
        let (name, bytes) = sessions::next_object(repository.keys(), compartment, id, 0, said).unwrap();
        object::put(repository.store(), &name, bytes).unwrap();
        let file = File::options().write(true).open(folder.join("r").join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(silent_for)).unwrap();
        id
    }

    fn prune(repository: &Repository) -> u64 {
        let options = PruneOptions { grace: Duration::ZERO, ..PruneOptions::default() };
        repository.prune(&options, &|_| {}).unwrap().sessions
    }

    #[test]
    fn one_backup_of_a_cluster_at_a_time() {
        let process = "this one".into();
        host_is(Host { name: "here".into(), process, is_alive: |process| process != "gone" });
        let (dir, repository) = repository();
        let said = |host: &str, process: &str| Announcement {
            cluster: "c".into(),
            purpose: "backup".into(),
            host: host.into(),
            process: process.into(),
            alone: true,
        };
        let elsewhere = said("elsewhere", "gone");
        // Of sessions of one moment the older goes on. A file that is written now can have a time
        // of some milliseconds ago, since the kernel's clock for files has ticks: a second is none.
        for (said, silent_for, state, refused) in [
            (elsewhere.clone(), 1, SessionState::AtWork, true),
            (elsewhere.clone(), 14 * 60, SessionState::AtWork, true),
            (elsewhere.clone(), 16 * 60, SessionState::Silent, false),
            (elsewhere.clone(), 61 * 60, SessionState::Dead, false),
            (said("here", "there"), 60, SessionState::AtWork, true),
            (said("here", "gone"), 60, SessionState::Gone, false),
            (Announcement { cluster: "d".into(), ..elsewhere.clone() }, 0, SessionState::AtWork, false),
            (Announcement { alone: false, ..elsewhere.clone() }, 0, SessionState::AtWork, false),
            // Of an older program.
            (Announcement::default(), 0, SessionState::AtWork, false),
        ] {
            let id = session_of(&repository, dir.path(), &said, silent_for);
            let found = repository.sessions().unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].id, found[0].state), (id, state), "{said:?}");
            assert_eq!(found[0].is_waited_for(), state != SessionState::Dead, "{said:?}");
            assert_eq!(found[0].host, said.host);
            assert_eq!(repository.refusal_of_another_backup("c").unwrap().is_some(), refused, "{said:?}");
            match back_up(&repository, true, |_| {}) {
                Err(RepoError::AnotherBackup { id: other, host, .. }) => {
                    assert!(refused && other == id.to_string() && host == said.host, "{said:?}");
                }
                other => assert!(!refused && other.is_ok(), "{said:?}"),
            }
            // Who does not ask to be alone is never refused, and neither leaves a session behind.
            back_up(&repository, false, |_| {}).unwrap();
            assert_eq!(repository.sessions().unwrap().len(), 1);
            repository.end_session(id, true).unwrap();
        }
        // Of two that are at work the older one goes on, and the younger one gives way.
        let mut second = None;
        let first = back_up(&repository, true, |writer| {
            assert_eq!(repository.sessions().unwrap()[0].id, writer.id());
            second = Some(back_up(&repository, true, |_| {}));
        });
        assert!(first.is_ok() && matches!(second, Some(Err(RepoError::AnotherBackup { .. }))));
    }

    #[test]
    fn a_session_that_is_over_or_alive_is_not_ended_by_mistake() {
        let (dir, repository) = repository();
        let id = session_of(&repository, dir.path(), &Announcement::default(), 0);
        assert!(
            matches!(repository.end_session(id, false), Err(RepoError::SessionAtWork { id: other, .. }) if other == id)
        );
        assert_eq!(prune(&repository), 1);
        assert_eq!(repository.end_session(id, true).unwrap().state, SessionState::AtWork);
        assert_eq!(prune(&repository), 0);
        assert!(matches!(repository.end_session(id, true), Err(RepoError::UnknownSession { .. })));
        let id = session_of(&repository, dir.path(), &Announcement::default(), 20 * 60);
        assert_eq!(repository.end_session(id, false).unwrap().state, SessionState::Silent);
    }

    /// The session of a writer that lives is ended, and prunes take away what it depends on: it
    /// commits nothing. Without that it would have been waited for.
    #[test]
    fn a_writer_whose_session_was_ended_commits_nothing_that_lacks_something() {
        for ended in [false, true] {
            let (_dir, repository) = repository();
            let old = back_up(&repository, false, |_| {}).unwrap();
            let written = back_up(&repository, true, |writer| {
                if ended {
                    repository.end_session(writer.id(), true).unwrap();
                }
                repository.forget(old.id).unwrap();
                for _ in 0..3 {
                    assert_eq!(prune(&repository), u64::from(!ended));
                }
            });
            match ended {
                false => drop(written.unwrap()),
                true => assert!(matches!(written, Err(RepoError::PrunedAway { .. })), "{written:?}"),
            }
            let options = CheckOptions { level: CheckLevel::Data, since: None, percent: 100 };
            assert!(repository.check(&options, &|_| {}).unwrap().problems.is_empty(), "{ended}");
            assert_eq!(repository.backups().unwrap().len(), usize::from(!ended));
        }
    }

    /// One whose session was ended and of which nothing was taken away commits as ever.
    #[test]
    fn a_writer_whose_session_was_ended_commits_what_is_whole() {
        let (_dir, repository) = repository();
        let written = back_up(&repository, true, |writer| {
            repository.end_session(writer.id(), true).unwrap();
        });
        let options = CheckOptions { level: CheckLevel::Data, since: None, percent: 100 };
        assert!(written.is_ok() && repository.check(&options, &|_| {}).unwrap().problems.is_empty());
    }
}
