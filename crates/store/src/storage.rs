//! A storage as one job sees it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::traffic::TrafficReport;
use crate::{Cancel, Capabilities, ObjectMeta, PutOutcome, Retention, Store, StoreError};

/// A storage and the job that asks it: every request made through this handle ends when that job is
/// cancelled, and no other job's cancel touches it. Cheap to clone; any number of jobs share one
/// [`Store`] and what it holds (connections, limits, counters).
///
/// After its cancel a job can still make requests, to remove what it no longer needs: each is tried
/// once and gets a few seconds.
#[derive(Clone)]
pub struct Storage {
    store: Arc<dyn Store>,
    cancel: Cancel,
    listener: Option<Arc<dyn Listener>>,
}

/// Hears what is to be told of a job. Called from many threads at once.
pub trait Listener: Send + Sync {
    /// Something the operator should know, which does not stop the job.
    fn warn(&self, text: &str);
    /// A detail, for those who look for the cause of something.
    fn detail(&self, text: &str);
}

impl Storage {
    /// A storage for the job that this cancel ends.
    pub fn new(store: Arc<dyn Store>, cancel: Cancel) -> Storage {
        Storage { store, cancel, listener: None }
    }

    /// A storage for a job that nobody cancels.
    pub fn uncancelled(store: impl Store + 'static) -> Storage {
        Storage::new(Arc::new(store), Cancel::new())
    }

    /// The same storage for another job, of which nobody hears yet.
    pub fn for_job(&self, cancel: &Cancel) -> Storage {
        Storage { store: Arc::clone(&self.store), cancel: cancel.clone(), listener: None }
    }

    /// The same, for a job whose listener this is.
    #[must_use]
    pub fn heard_by(self, listener: Arc<dyn Listener>) -> Storage {
        Storage { listener: Some(listener), ..self }
    }

    /// Tells the job's listener what an operator should know; before there is a job, the log.
    pub fn warn(&self, text: &str) {
        match &self.listener {
            Some(listener) => listener.warn(text),
            None => tracing::warn!("{text}"),
        }
    }

    /// Tells the job's listener a detail; before there is a job, the log.
    pub fn detail(&self, text: &str) {
        match &self.listener {
            Some(listener) => listener.detail(text),
            None => tracing::debug!("{text}"),
        }
    }

    /// What ends the requests made here.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// [`Store::location`].
    pub fn location(&self) -> String {
        self.store.location()
    }

    /// [`Store::place`].
    pub fn place(&self) -> String {
        self.store.place()
    }

    /// [`Store::folder`].
    pub fn folder(&self) -> Option<PathBuf> {
        self.store.folder()
    }

    /// [`Store::capabilities`].
    pub fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    /// [`Store::put_if_absent`].
    pub fn put_if_absent(&self, name: &str, bytes: Bytes) -> Result<PutOutcome, StoreError> {
        self.store.put_if_absent(name, bytes, &self.cancel)
    }

    /// [`Store::get`].
    pub fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.store.get(name, &self.cancel)
    }

    /// [`Store::get_range`].
    pub fn get_range(&self, name: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        self.store.get_range(name, offset, len, &self.cancel)
    }

    /// [`Store::get_at_most`].
    pub fn get_at_most(&self, name: &str, most: u64) -> Result<Vec<u8>, StoreError> {
        self.store.get_at_most(name, most, &self.cancel)
    }

    /// [`Store::stat`].
    pub fn stat(&self, name: &str) -> Result<ObjectMeta, StoreError> {
        self.store.stat(name, &self.cancel)
    }

    /// [`Store::list`].
    pub fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        self.store.list(prefix, &self.cancel)
    }

    /// [`Store::list_after`].
    pub fn list_after(&self, prefix: &str, after: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        self.store.list_after(prefix, after, &self.cancel)
    }

    /// [`Store::foreign`].
    pub fn foreign(&self) -> Result<Vec<String>, StoreError> {
        self.store.foreign(&self.cancel)
    }

    /// [`Store::other_folders`].
    pub fn other_folders(&self, known: &[&str]) -> Result<Vec<String>, StoreError> {
        self.store.other_folders(known, &self.cancel)
    }

    /// [`Store::top`].
    pub fn top(&self) -> Result<Vec<String>, StoreError> {
        self.store.top(&self.cancel)
    }

    /// [`Store::delete`].
    pub fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.store.delete(name, &self.cancel)
    }

    /// [`Store::traffic`].
    pub fn traffic(&self) -> Option<TrafficReport> {
        self.store.traffic()
    }

    /// [`Store::retention`].
    pub fn retention(&self) -> Option<Retention> {
        self.store.retention()
    }

    /// [`Store::retain`].
    pub fn retain(&self, name: &str, until: SystemTime) -> Result<(), StoreError> {
        self.store.retain(name, until, &self.cancel)
    }

    /// [`Store::keeps_versions`].
    pub fn keeps_versions(&self) -> Result<Option<bool>, StoreError> {
        self.store.keeps_versions(&self.cancel)
    }

    /// [`Store::can_lock`].
    pub fn can_lock(&self) -> Result<Option<bool>, StoreError> {
        self.store.can_lock(&self.cancel)
    }

    /// [`Store::is_past`].
    pub fn is_past(&self) -> bool {
        self.store.is_past()
    }
}
