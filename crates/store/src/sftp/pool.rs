//! Connections that are kept. What moves many bytes gets one of its own; small requests share one,
//! since a new one costs ten round trips. A request that is broken off (its job was cancelled)
//! takes its connection out of the pool: files that it opened stay open there. Others that use it
//! finish, and it ends with the last of them.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::connect::{Connection, connect};
use crate::target::SftpConfig;
use crate::{StoreError, lock};

/// So many small requests share one connection.
const SHARED: usize = 32;
/// Connections that are made beforehand, where many requests are to be expected.
const BEFOREHAND: usize = 2;

/// How much a request moves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    Small,
    Large,
}

struct Kept {
    connection: Connection,
    small: AtomicUsize,
    large: AtomicUsize,
}

impl Kept {
    fn users(&self, load: Load) -> &AtomicUsize {
        match load {
            Load::Small => &self.small,
            Load::Large => &self.large,
        }
    }

    fn busy(&self) -> (usize, usize) {
        (self.large.load(Ordering::Relaxed), self.small.load(Ordering::Relaxed))
    }
}

pub(super) struct Pool {
    config: SftpConfig,
    /// For messages: the URL.
    shown: String,
    stall: Duration,
    most: usize,
    kept: Mutex<Vec<Arc<Kept>>>,
    has_begun: AtomicBool,
}

/// A connection that is used for one request. Unless that was answered, no later one gets it.
pub(super) struct Lease {
    pool: Arc<Pool>,
    kept: Arc<Kept>,
    load: Load,
    was_answered: bool,
}

impl Lease {
    fn new(pool: &Arc<Pool>, kept: &Arc<Kept>, load: Load) -> Lease {
        kept.users(load).fetch_add(1, Ordering::Relaxed);
        Lease { pool: Arc::clone(pool), kept: Arc::clone(kept), load, was_answered: false }
    }

    /// The request was answered, in whatever way: the connection is of use to the next.
    pub(super) fn answered(&mut self) {
        self.was_answered = true;
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.kept.connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.kept.users(self.load).fetch_sub(1, Ordering::Relaxed);
        if !self.was_answered {
            lock(&self.pool.kept).retain(|kept| !Arc::ptr_eq(kept, &self.kept));
        }
    }
}

impl Pool {
    pub(super) fn new(config: SftpConfig, shown: String, stall: Duration, most: usize) -> Pool {
        Pool { config, shown, stall, most, kept: Mutex::default(), has_begun: AtomicBool::new(false) }
    }

    /// A connection that is free enough, or a new one.
    pub(super) async fn take(self: &Arc<Pool>, load: Load) -> Result<Lease, StoreError> {
        match self.free(load) {
            Some(lease) => Ok(lease),
            None => Ok(Lease::new(self, &self.add().await?, load)),
        }
    }

    fn free(self: &Arc<Pool>, load: Load) -> Option<Lease> {
        let mut kept = lock(&self.kept);
        kept.retain(|kept| !kept.connection.is_closed());
        let best = kept.iter().min_by_key(|kept| kept.busy())?;
        let (large, small) = best.busy();
        let fits = match load {
            Load::Large => large == 0,
            Load::Small => small < SHARED,
        };
        (fits || kept.len() >= self.most).then(|| Lease::new(self, best, load))
    }

    async fn add(&self) -> Result<Arc<Kept>, StoreError> {
        let connection = connect(&self.config, &self.shown, self.stall).await?;
        let kept = Arc::new(Kept { connection, small: AtomicUsize::new(0), large: AtomicUsize::new(0) });
        lock(&self.kept).push(Arc::clone(&kept));
        Ok(kept)
    }

    /// An object is deleted: nobody reads it any more.
    pub(super) fn forget(&self, path: &str) {
        for kept in &*lock(&self.kept) {
            kept.connection.files.forget(path);
        }
    }

    /// Makes a few connections beforehand, once. Where that fails, whoever needs one hears why.
    pub(super) fn begin(self: &Arc<Pool>) {
        if self.has_begun.swap(true, Ordering::Relaxed) {
            return;
        }
        for _ in 0..BEFOREHAND.min(self.most.saturating_sub(1)) {
            let pool = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = pool.add().await {
                    tracing::debug!(%error, "no connection was made beforehand");
                }
            });
        }
    }
}
