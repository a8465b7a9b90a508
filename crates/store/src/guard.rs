//! What every storage needs around it: tries again what may pass, bounds how many requests run at
//! once, keeps the pace, ends with the job that asks: its cancel ends its own requests, those of
//! other jobs go on.
//!
//! **Retries** wait a random time that doubles, from 0.2 s to 15 s (full jitter), for as long as
//! [`Usage::retry_for`] allows; of a storage that has never answered, or not since an operation was
//! given up, for 20 s, and for 4 s where nobody answers at that name and port at all: there is
//! nothing to lose, and someone may be waiting at a terminal. All
//! operations draw on one budget: when nearly everything fails, not every thread hammers on for its
//! full time. The first operation to give up names its cause, and how often it tried. **After a
//! cancel** nothing is tried twice, and an operation gets a few seconds, so that a job can remove
//! what it no longer needs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use crate::cancel::{LOOK, TIDY};
use crate::pace::Pace;
use crate::target::Usage;
use crate::traffic::{Traffic, TrafficReport};
use crate::{Cancel, Capabilities, Cause, ObjectMeta, PutOutcome, Retention, Store, StoreError, lock};

const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(15);
/// A storage that has not answered is given up after so long.
const FIRST: Duration = Duration::from_secs(20);
/// The same where no connection is made: most often the name or the port is wrong.
const UNREACHED: Duration = Duration::from_secs(4);
/// Retries that are allowed without any success between.
const BUDGET: i64 = 200;

/// A storage with all that around it.
pub struct Guarded {
    inner: Box<dyn Store>,
    connections: usize,
    retry_for: Duration,
    /// The same for a storage that has not answered.
    first: Duration,
    /// Upload and download, where the storage does not keep them itself.
    paced: Option<(Arc<Pace>, Arc<Pace>)>,
    traffic: Option<Arc<Traffic>>,
    running: Mutex<usize>,
    ended: Condvar,
    budget: AtomicI64,
    has_answered: AtomicBool,
}

/// One of the requests that may run.
struct Turn<'g>(&'g Guarded);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.0.running) -= 1;
        self.0.ended.notify_one();
    }
}

impl Guarded {
    /// Guards a storage.
    pub fn new(
        inner: Box<dyn Store>,
        usage: &Usage,
        paced: Option<(Arc<Pace>, Arc<Pace>)>,
        traffic: Option<Arc<Traffic>>,
    ) -> Guarded {
        Guarded {
            inner,
            connections: usage.connections.max(1),
            retry_for: usage.retry_for,
            first: usage.retry_for.min(FIRST),
            paced,
            traffic,
            running: Mutex::new(0),
            ended: Condvar::new(),
            budget: AtomicI64::new(BUDGET),
            has_answered: AtomicBool::new(false),
        }
    }

    /// Waits until one more request may run. Others may hold every turn for long: a cancel ends the
    /// wait, and one that came before it leaves a short time.
    fn turn(&self, cancel: &Cancel) -> Result<Turn<'_>, StoreError> {
        let tidied_by = cancel.is_cancelled().then(|| Instant::now() + TIDY);
        let mut running = lock(&self.running);
        while *running >= self.connections {
            if tidied_by.map_or_else(|| cancel.is_cancelled(), |until| Instant::now() >= until) {
                return Err(StoreError::Cancelled);
            }
            let waited = self.ended.wait_timeout(running, LOOK);
            running = waited.unwrap_or_else(|poison| poison.into_inner()).0;
        }
        *running += 1;
        Ok(Turn(self))
    }

    /// Does it, and again where that may help. `what` and `name` are for the log.
    fn again<T>(
        &self,
        cancel: &Cancel,
        what: &str,
        name: &str,
        work: impl Fn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        let may_go_on = |waited: Duration, error: &StoreError| {
            let patience = match self.has_answered.load(Ordering::Relaxed) {
                true => self.retry_for,
                false => at_first(self.first, error),
            };
            let goes_on = waited <= patience && self.take_from_budget();
            match (goes_on, &self.traffic) {
                (true, Some(traffic)) => traffic.count_retry(),
                (true, None) => {}
                (false, _) => self.has_answered.store(false, Ordering::Relaxed),
            }
            goes_on
        };
        let done = retry(cancel, &may_go_on, || {
            let _turn = self.turn(cancel)?;
            let done = work();
            if !done.as_ref().is_err_and(is_no_answer) {
                self.has_answered.store(true, Ordering::Relaxed);
            }
            done
        });
        let outcome = done.as_ref().err().map_or_else(|| "done".into(), ToString::to_string);
        tracing::trace!("{what} {name}: {outcome}, {:.1} ms", started.elapsed().as_secs_f64() * 1000.0);
        if done.is_ok() {
            let more = |left: i64| (left < BUDGET).then_some(left + 1);
            let _ = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        }
        done
    }

    fn take_from_budget(&self) -> bool {
        let less = |left: i64| (left > 0).then_some(left - 1);
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn pace(&self, upload: bool, bytes: usize, cancel: &Cancel) -> Result<(), StoreError> {
        let Some((up, down)) = &self.paced else { return Ok(()) };
        let pace = if upload { up } else { down };
        if !pace.is_limited() {
            return Ok(());
        }
        pace.wait(bytes, cancel).map_err(|_| StoreError::Cancelled)
    }
}

/// Whether the storage was not heard: what may pass, and what a cancel broke off.
fn is_no_answer(error: &StoreError) -> bool {
    error.is_retryable() || matches!(error, StoreError::Cancelled)
}

/// How long a storage is waited for that has not answered.
fn at_first(first: Duration, error: &StoreError) -> Duration {
    match error {
        StoreError::Failed { cause: Cause::Unreachable, .. } => first.min(UNREACHED),
        _ => first,
    }
}

/// Does it, and again after a while where that may help. `may_go_on` hears how long it will have
/// taken by then, and why it is to be done again.
fn retry<T>(
    cancel: &Cancel,
    may_go_on: &dyn Fn(Duration, &StoreError) -> bool,
    work: impl Fn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let started = Instant::now();
    let mut tries = 1;
    loop {
        let error = match work() {
            Err(error) if error.is_retryable() && !cancel.is_cancelled() => error,
            done => return done,
        };
        let (wait, spent) = (pause(tries), started.elapsed());
        if !may_go_on(spent + wait, &error) {
            return Err(gave_up(error, tries, spent));
        }
        tracing::warn!("{error}; retrying in {:.1} s", wait.as_secs_f64());
        tries += 1;
        cancel.sleep(wait).map_err(|_| StoreError::Cancelled)?;
    }
}

/// Opens a storage that must be reached to be opened: as patiently as one that has never answered
/// is asked.
pub(crate) fn reach<T>(
    cancel: &Cancel,
    usage: &Usage,
    open: impl Fn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let first = usage.retry_for.min(FIRST);
    retry(cancel, &|waited, error| waited <= at_first(first, error), open)
}

/// A random time up to one that doubles with each try.
fn pause(tries: u32) -> Duration {
    let most = SHORTEST.saturating_mul(1 << tries.min(10)).min(LONGEST);
    // Never nothing: a storage that fails at once would be asked at once again.
    SHORTEST / 2 + most.mul_f64(fastrand::f64())
}

/// The last failure, with how often it was tried.
fn gave_up(error: StoreError, tries: u32, spent: Duration) -> StoreError {
    match error {
        StoreError::Failed { operation, object, answer, cause, .. } => StoreError::Failed {
            operation,
            object,
            answer: format!("{answer} (tried {tries} times in {:.0} s)", spent.as_secs_f64()),
            cause,
            passing: false,
        },
        other => other,
    }
}

impl Store for Guarded {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn folder(&self) -> Option<PathBuf> {
        self.inner.folder()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn put_if_absent(&self, name: &str, bytes: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
        self.pace(true, bytes.len(), cancel)?;
        self.again(cancel, "put", name, || self.inner.put_if_absent(name, bytes.clone(), cancel))
    }

    fn get(&self, name: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        let bytes = self.again(cancel, "get", name, || self.inner.get(name, cancel))?;
        self.pace(false, bytes.len(), cancel)?;
        Ok(bytes)
    }

    fn get_range(&self, name: &str, offset: u64, len: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        let bytes =
            self.again(cancel, "get a range of", name, || self.inner.get_range(name, offset, len, cancel))?;
        self.pace(false, bytes.len(), cancel)?;
        Ok(bytes)
    }

    fn get_at_most(&self, name: &str, most: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        let bytes =
            self.again(cancel, "get the beginning of", name, || self.inner.get_at_most(name, most, cancel))?;
        self.pace(false, bytes.len(), cancel)?;
        Ok(bytes)
    }

    fn stat(&self, name: &str, cancel: &Cancel) -> Result<ObjectMeta, StoreError> {
        self.again(cancel, "stat", name, || self.inner.stat(name, cancel))
    }

    fn list(&self, prefix: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        self.again(cancel, "list", prefix, || self.inner.list(prefix, cancel))
    }

    fn list_after(&self, prefix: &str, after: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        self.again(cancel, "list", prefix, || self.inner.list_after(prefix, after, cancel))
    }

    fn foreign(&self, cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        self.again(cancel, "list", "", || self.inner.foreign(cancel))
    }

    fn other_folders(&self, known: &[&str], cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        self.again(cancel, "list", "", || self.inner.other_folders(known, cancel))
    }

    fn top(&self, cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        self.again(cancel, "list", "", || self.inner.top(cancel))
    }

    fn delete(&self, name: &str, cancel: &Cancel) -> Result<(), StoreError> {
        self.again(cancel, "delete", name, || self.inner.delete(name, cancel))
    }

    fn traffic(&self) -> Option<TrafficReport> {
        self.traffic.as_ref().map(|traffic| traffic.report())
    }

    fn retention(&self) -> Option<Retention> {
        self.inner.retention()
    }

    fn retain(&self, name: &str, until: SystemTime, cancel: &Cancel) -> Result<(), StoreError> {
        self.again(cancel, "retain", name, || self.inner.retain(name, until, cancel))
    }

    fn keeps_versions(&self, cancel: &Cancel) -> Result<Option<bool>, StoreError> {
        self.again(cancel, "query versions", "", || self.inner.keeps_versions(cancel))
    }

    fn can_lock(&self, cancel: &Cancel) -> Result<Option<bool>, StoreError> {
        self.again(cancel, "query locks", "", || self.inner.can_lock(cancel))
    }

    fn is_past(&self) -> bool {
        self.inner.is_past()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Fails so many times, then works.
    struct Flaky {
        failures: usize,
        calls: Arc<AtomicUsize>,
        passing: bool,
    }

    impl Store for Flaky {
        fn location(&self) -> String {
            "flaky".into()
        }
        fn capabilities(&self) -> Capabilities {
            Capabilities { atomic_put_if_absent: true, list_lateness: Duration::ZERO, gap: 0, remote: true }
        }
        fn put_if_absent(&self, _: &str, _: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
            self.get("", cancel).map(|_| PutOutcome::Created)
        }
        fn get(&self, name: &str, _: &Cancel) -> Result<Vec<u8>, StoreError> {
            if self.calls.fetch_add(1, Ordering::Relaxed) < self.failures {
                return Err(StoreError::Failed {
                    operation: "read",
                    object: name.into(),
                    answer: "the storage answered 503".into(),
                    cause: Cause::Overloaded,
                    passing: self.passing,
                });
            }
            Ok(vec![1])
        }
        fn get_range(&self, name: &str, _: u64, _: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
            self.get(name, cancel)
        }
        fn stat(&self, _: &str, _: &Cancel) -> Result<ObjectMeta, StoreError> {
            Err(StoreError::Cancelled)
        }
        fn list(&self, _: &str, _: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
            Ok(Vec::new())
        }
        fn delete(&self, _: &str, _: &Cancel) -> Result<(), StoreError> {
            Ok(())
        }
    }

    fn guarded(failures: usize, passing: bool, retry_for: Duration) -> (Guarded, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let flaky = Flaky { failures, calls: Arc::clone(&calls), passing };
        let usage = Usage { retry_for, ..Usage::default() };
        (Guarded::new(Box::new(flaky), &usage, None, None), calls)
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_not() {
        let (store, calls) = guarded(2, true, Duration::from_secs(60));
        assert_eq!(store.get("x", &Cancel::new()).unwrap(), [1]);
        assert_eq!(calls.load(Ordering::Relaxed), 3);
        let (store, calls) = guarded(2, false, Duration::from_secs(60));
        store.get("x", &Cancel::new()).unwrap_err();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn giving_up_says_how_often_it_was_tried() {
        let (store, calls) = guarded(usize::MAX, true, Duration::from_secs(1));
        let error = store.get("x", &Cancel::new()).unwrap_err();
        let tries = calls.load(Ordering::Relaxed);
        assert!(error.to_string().contains(&format!("tried {tries} times")), "{error}");
        assert!(!error.is_retryable());
    }

    #[test]
    fn nobody_at_a_name_and_port_is_given_up_soon() {
        let failed = |cause| StoreError::Failed {
            operation: "connect to",
            object: "x".into(),
            answer: "refused".into(),
            cause,
            passing: true,
        };
        assert_eq!(at_first(FIRST, &failed(Cause::Unreachable)), UNREACHED);
        assert_eq!(at_first(FIRST, &failed(Cause::Network)), FIRST);
        assert_eq!(at_first(Duration::ZERO, &failed(Cause::Unreachable)), Duration::ZERO);
        let (tries, started) = (AtomicUsize::new(0), Instant::now());
        let opened = reach(&Cancel::new(), &Usage::default(), || {
            tries.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(failed(Cause::Unreachable))
        });
        opened.unwrap_err();
        assert!(tries.into_inner() > 1 && started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn what_was_given_up_is_not_waited_for_as_long_again() {
        let (mut store, calls) = guarded(usize::MAX, true, Duration::from_secs(3));
        store.first = Duration::ZERO;
        store.has_answered.store(true, Ordering::Relaxed);
        store.get("x", &Cancel::new()).unwrap_err();
        assert!(calls.swap(0, Ordering::Relaxed) > 1);
        // To tidy up, say.
        store.get("x", &Cancel::new()).unwrap_err();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_cancel_ends_the_waiting() {
        let cancel = Cancel::new();
        let (store, _) = guarded(usize::MAX, true, Duration::from_secs(3600));
        std::thread::scope(|scope| {
            let job = scope.spawn(|| store.get("x", &cancel));
            std::thread::sleep(Duration::from_millis(300));
            cancel.cancel();
            job.join().unwrap().unwrap_err();
        });
        // Tidying up is tried once.
        store.delete("x", &cancel).unwrap();
    }

    /// Answers nobody before the cancel of the job that asks.
    struct Hanging;

    impl Store for Hanging {
        fn location(&self) -> String {
            "hanging".into()
        }
        fn capabilities(&self) -> Capabilities {
            Capabilities { atomic_put_if_absent: true, list_lateness: Duration::ZERO, gap: 0, remote: true }
        }
        fn put_if_absent(&self, _: &str, _: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
            self.get("", cancel).map(|_| PutOutcome::Created)
        }
        fn get(&self, _: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
            cancel.sleep(Duration::from_secs(3600)).map(|()| Vec::new()).map_err(|_| StoreError::Cancelled)
        }
        fn get_range(&self, name: &str, _: u64, _: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
            self.get(name, cancel)
        }
        fn stat(&self, _: &str, _: &Cancel) -> Result<ObjectMeta, StoreError> {
            Err(StoreError::Cancelled)
        }
        fn list(&self, _: &str, _: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
            Ok(Vec::new())
        }
        fn delete(&self, _: &str, _: &Cancel) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn who_waits_for_a_turn_is_cancelled_too() {
        let usage = Usage { connections: 1, ..Usage::default() };
        let store = Guarded::new(Box::new(Hanging), &usage, None, None);
        let (one, other) = (Cancel::new(), Cancel::new());
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| store.get("x", &one));
            while *lock(&store.running) == 0 {
                std::thread::yield_now();
            }
            let waiting = scope.spawn(|| store.get("x", &other));
            other.cancel();
            assert!(matches!(waiting.join().unwrap(), Err(StoreError::Cancelled)));
            assert!(!asking.is_finished(), "another job's cancel ended it");
            one.cancel();
            assert!(matches!(asking.join().unwrap(), Err(StoreError::Cancelled)));
        });
        // Every turn came back.
        assert!(store.list("", &Cancel::new()).unwrap().is_empty());
    }
}
