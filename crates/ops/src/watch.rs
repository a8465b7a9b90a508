//! Ends conversations and children when the job is cancelled: a thread that blocks in a read does
//! not look at a flag.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pgark_pg::Canceller;
use pgark_store::Cancel;

use crate::OpsError;

/// How often the flag is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long a server may take to answer a cancel request before its socket is shut.
const PATIENCE: Duration = Duration::from_secs(3);

/// The databases whose way was proved to be one server per session.
#[derive(Default)]
pub(crate) struct Proved(Mutex<BTreeSet<String>>);

impl Proved {
    pub(crate) fn has(&self, database: &str) -> bool {
        self.0.lock().unwrap_or_else(|poison| poison.into_inner()).contains(database)
    }

    pub(crate) fn add(&self, database: &str) {
        self.0.lock().unwrap_or_else(|poison| poison.into_inner()).insert(database.to_string());
    }
}

/// Everything that must be told of a cancel.
pub(crate) struct Watch {
    cancel: Cancel,
    connections: Mutex<Vec<Canceller>>,
    /// The databases that are reached over one server per session.
    pub(crate) proved: Proved,
    ended: AtomicBool,
}

impl Watch {
    pub(crate) fn new(cancel: &Cancel) -> Watch {
        Watch {
            cancel: cancel.clone(),
            connections: Mutex::new(Vec::new()),
            proved: Proved::default(),
            ended: AtomicBool::new(false),
        }
    }

    /// Adds a connection. If the job is cancelled already, it is told at once.
    pub(crate) fn add(&self, canceller: Canceller) {
        if self.cancel.is_cancelled() {
            canceller.shutdown();
        }
        self.connections.lock().unwrap_or_else(|poison| poison.into_inner()).push(canceller);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Runs `work` while watching.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Ends<'a>(&'a AtomicBool);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        thread::scope(|scope| {
            scope.spawn(|| self.wait());
            let _ends = Ends(&self.ended);
            work()
        })
    }

    /// The same for a job: a connection that was shut by a cancel reports a broken socket, and the
    /// cause is the cancel. Whether a commit succeeded is told all the same.
    pub(crate) fn during_job<T>(&self, work: impl FnOnce() -> Result<T, OpsError>) -> Result<T, OpsError> {
        match self.during(work) {
            Err(error) if self.is_cancelled() && !error.is_unsure() => Err(OpsError::Cancelled),
            other => other,
        }
    }

    fn wait(&self) {
        while !self.ended.load(Ordering::Acquire) {
            if self.cancel.is_cancelled() {
                return self.stop_all();
            }
            thread::sleep(TICK);
        }
    }

    fn stop_all(&self) {
        for canceller in self.snapshot() {
            // A server that cannot be asked is shut below.
            let _ = canceller.cancel();
        }
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if self.ended.load(Ordering::Acquire) {
                return;
            }
            thread::sleep(TICK);
        }
        for canceller in self.snapshot() {
            canceller.shutdown();
        }
    }

    fn snapshot(&self) -> Vec<Canceller> {
        self.connections.lock().unwrap_or_else(|poison| poison.into_inner()).clone()
    }
}
