//! Jobs beside one another on one open repository: each ends by its own cancel, in whatever request
//! it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::*;
use pgark_repo::*;
use pgark_store::{Capabilities, DirStore, ObjectMeta, PutOutcome, StoreError};

/// Answers no request for packs before it is opened; only the cancel of its job ends one earlier.
struct Stalling {
    inner: DirStore,
    is_open: AtomicBool,
    /// Requests that wait.
    inside: AtomicUsize,
}

impl Stalling {
    fn pass(&self, name: &str, cancel: &Cancel) -> Result<(), StoreError> {
        if !name.starts_with("packs/") {
            return Ok(());
        }
        self.inside.fetch_add(1, Ordering::SeqCst);
        let mut passed = Ok(());
        while passed.is_ok() && !self.is_open.load(Ordering::SeqCst) {
            passed = cancel.sleep(Duration::from_millis(5));
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
        passed.map_err(|_| StoreError::Cancelled)
    }

    /// Until so many requests are inside.
    fn wait_for(&self, requests: usize) {
        while self.inside.load(Ordering::SeqCst) < requests {
            std::thread::yield_now();
        }
    }
}

impl Store for Stalling {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn put_if_absent(&self, name: &str, bytes: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
        self.pass(name, cancel)?;
        self.inner.put_if_absent(name, bytes, cancel)
    }
    fn get(&self, name: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.pass(name, cancel)?;
        self.inner.get(name, cancel)
    }
    fn get_range(&self, name: &str, offset: u64, len: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.pass(name, cancel)?;
        self.inner.get_range(name, offset, len, cancel)
    }
    fn stat(&self, name: &str, cancel: &Cancel) -> Result<ObjectMeta, StoreError> {
        self.inner.stat(name, cancel)
    }
    fn list(&self, prefix: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        self.pass(prefix, cancel)?;
        self.inner.list(prefix, cancel)
    }
    fn delete(&self, name: &str, cancel: &Cancel) -> Result<(), StoreError> {
        self.inner.delete(name, cancel)
    }
}

/// What a job does with a repository.
type Work = fn(&Repository) -> Result<(), RepoError>;

fn write(repository: &Repository) -> Result<(), RepoError> {
    let (_, ()) = repository.write_backup(&options(2), |writer| {
        let mut entry = writer.entry("/own", Class::Data);
        entry.write(&rows(9, 1 << 20))?;
        entry.finish(Vec::new())?;
        let (kind, about) = ("x".into(), Vec::new());
        Ok::<_, RepoError>((NewBackup { kind, complete: true, about, time: None }, ()))
    })?;
    Ok(())
}

fn read(repository: &Repository) -> Result<(), RepoError> {
    let first = repository.backups()?[0].id;
    compare(repository, first, &content(1))
}

fn check_all(repository: &Repository) -> Result<(), RepoError> {
    let report = repository.check(&CheckOptions::all(CheckLevel::Data), &|_| {})?;
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
    Ok(())
}

fn prune(repository: &Repository) -> Result<(), RepoError> {
    repository.prune(&PruneOptions::default(), &|_| {}).map(drop)
}

/// Two jobs of each kind are in a request when one is cancelled: it ends there, and the other ends
/// whole.
#[test]
fn a_cancel_ends_one_job_of_a_repository_and_no_other() {
    let works: [(&str, Work); 4] = [("write", write), ("read", read), ("check", check_all), ("prune", prune)];
    for (number, (what, cancelled)) in works.iter().enumerate() {
        // Every kind is the one that goes on, too.
        let (beside, goes_on) = works[(number + 1) % works.len()];
        let place = Place::encrypted();
        let first = backup(&place.open(), 1, &content(1));
        let store = Arc::new(Stalling {
            inner: place.store(),
            is_open: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
        });
        // The job that opened the repository is over, and was cancelled: nobody else minds.
        let opening = Cancel::new();
        let storage = Storage::new(Arc::clone(&store) as Arc<dyn Store>, opening.clone());
        let opened = Repository::open(storage, place.unlock(), LocalFolders::default()).unwrap();
        opening.cancel();
        let (one, other) = (Cancel::new(), Cancel::new());
        std::thread::scope(|scope| {
            let stopped = scope.spawn(|| cancelled(&opened.for_job(&one)));
            store.wait_for(1);
            let whole = scope.spawn(|| goes_on(&opened.for_job(&other)));
            store.wait_for(2);
            one.cancel();
            let ended = stopped.join().unwrap();
            assert!(matches!(ended, Err(RepoError::Cancelled)), "{what}: {ended:?}");
            assert!(!whole.is_finished(), "{what} was cancelled, and {beside} ended");
            store.is_open.store(true, Ordering::SeqCst);
            whole.join().unwrap().unwrap_or_else(|error| panic!("{beside} beside {what}: {error}"));
        });
        // What ended left nothing that is counted, and nothing that is in anybody's way.
        let heads = place.open().backups().unwrap();
        assert_eq!(heads.len(), 1 + usize::from(beside == "write"), "{what} beside {beside}");
        assert!(place.storage().list("sessions/").unwrap().is_empty(), "{what} beside {beside}");
        compare(&place.open(), first.id, &content(1)).unwrap();
        assert_clean(&place.open());
    }
}

/// Not answered, or not even heard: what becomes of one put.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lost {
    /// The manifest had arrived.
    Answer,
    /// It had not.
    Question,
}

/// Loses the manifest's put; with `deaf` no later question about it is answered either. `stops`:
/// the job that is cancelled meanwhile.
struct Losing {
    inner: DirStore,
    lost: Lost,
    deaf: bool,
    stops: Option<Cancel>,
}

impl Losing {
    fn gone(&self) -> StoreError {
        match self.stops {
            Some(_) => StoreError::Cancelled,
            None => StoreError::Failed {
                operation: "write",
                object: "a manifest".into(),
                answer: "the connection was lost".into(),
                cause: pgark_store::Cause::Network,
                passing: false,
            },
        }
    }
}

impl Store for Losing {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn put_if_absent(&self, name: &str, bytes: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
        if !name.starts_with("manifests/") {
            return self.inner.put_if_absent(name, bytes, cancel);
        }
        if let Some(stops) = &self.stops {
            stops.cancel();
        }
        if self.lost == Lost::Answer {
            self.inner.put_if_absent(name, bytes, cancel)?;
        }
        Err(self.gone())
    }
    fn get(&self, name: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        match name.starts_with("manifests/") && self.deaf {
            true => Err(self.gone()),
            false => self.inner.get(name, cancel),
        }
    }
    fn get_range(&self, name: &str, offset: u64, len: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.inner.get_range(name, offset, len, cancel)
    }
    fn stat(&self, name: &str, cancel: &Cancel) -> Result<ObjectMeta, StoreError> {
        self.inner.stat(name, cancel)
    }
    fn list(&self, prefix: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        self.inner.list(prefix, cancel)
    }
    fn delete(&self, name: &str, cancel: &Cancel) -> Result<(), StoreError> {
        self.inner.delete(name, cancel)
    }
}

/// The answer to the commit is lost: the writer asks whether the manifest is there. If it hears
/// nothing, it says that it does not know, and of which backup; never that there is one, nor that
/// there is none.
#[test]
fn a_commit_without_an_answer_is_told_as_what_it_is() {
    for (lost, deaf, stopped) in [Lost::Answer, Lost::Question]
        .into_iter()
        .flat_map(|lost| [(lost, false), (lost, true)])
        .flat_map(|(lost, deaf)| [(lost, deaf, false), (lost, deaf, true)])
    {
        let what = format!("{lost:?} lost, deaf: {deaf}, stopped: {stopped}");
        let place = Place::encrypted();
        let cancel = Cancel::new();
        let stops = stopped.then(|| cancel.clone());
        let store = Arc::new(Losing { inner: place.store(), lost, deaf, stops });
        let repository = place.open_on(store, LocalFolders::default());
        let ended = try_backup(&repository, 1, &content(1), &cancel);
        let there: Vec<BackupId> = place.open().backups().unwrap().iter().map(|head| head.id).collect();
        assert_eq!(there.len(), usize::from(lost == Lost::Answer), "{what}");
        match ended {
            Ok(head) => {
                assert!(lost == Lost::Answer && !deaf, "{what}: {head:?}");
                assert_eq!(there, [head.id], "{what}");
            }
            Err(error @ RepoError::CommitUnsure { .. }) => {
                assert!(deaf, "{what}: {error}");
                assert_eq!(error.is_cancelled(), stopped, "{what}");
                // Whoever looks later finds the one that was named.
                let named = there.iter().all(|id| error.to_string().contains(&id.to_string()));
                assert!(named, "{what}: {error}, and there is {there:?}");
            }
            Err(error) => {
                assert!(lost == Lost::Question && !deaf, "{what}: {error}");
                assert_eq!(error.is_cancelled(), stopped, "{what}: {error}");
            }
        }
        for id in there {
            compare(&place.open(), id, &content(1)).unwrap();
        }
        // The next writer is in nobody's way.
        backup(&place.open(), 1, &content(2));
        assert_clean(&place.open());
    }
}
