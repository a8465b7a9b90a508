//! A storage that looks like that of a large repository: beside what is there it lists packs and
//! backups that nobody has put, in pages, and counts what it is asked.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use pgark_store::{Cancel, Capabilities, ObjectMeta, PutOutcome, Store, StoreError};

/// What a storage answers to one request of a list.
const PAGE: usize = 1000;

pub struct Large<S> {
    pub inner: S,
    /// Of each request.
    pub latency: Duration,
    /// Names and sizes of objects that are listed beside those that are there.
    pub made_up: Mutex<BTreeMap<String, u64>>,
    /// The made-up ones are gone.
    pub is_lost: AtomicBool,
    pub requests: AtomicU64,
    /// What was asked, a line each.
    pub log: Mutex<Vec<String>>,
}

impl<S: Store> Large<S> {
    pub fn new(inner: S, latency: Duration) -> Large<S> {
        let (made_up, log) = (Mutex::default(), Mutex::default());
        Large { inner, latency, made_up, is_lost: AtomicBool::new(false), requests: AtomicU64::new(0), log }
    }

    /// So many backups of the cluster of this folder, the older half of them forgotten.
    pub fn pretend_backups(&self, cluster: &str, count: u64) {
        let mut made_up = self.made_up.lock().unwrap();
        for sequence in 1..=count {
            let name = format!("{cluster}/{sequence:016}-{sequence:016x}");
            let folders: &[&str] =
                if sequence <= count / 2 { &["forgotten/"] } else { &["manifests/", "copies/manifests/"] };
            made_up.extend(folders.iter().map(|folder| (format!("{folder}{name}"), 2000)));
        }
    }

    pub fn take_requests(&self) -> (u64, Vec<String>) {
        (self.requests.swap(0, Ordering::Relaxed), std::mem::take(&mut self.log.lock().unwrap()))
    }

    fn ask(&self, what: &str, name: &str, times: usize) {
        self.requests.fetch_add(times as u64, Ordering::Relaxed);
        self.log.lock().unwrap().push(format!("{times} x {what} {name}"));
        std::thread::sleep(self.latency * u32::try_from(times).unwrap());
    }
}

impl<S: Store> Store for Large<S> {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities { remote: true, ..self.inner.capabilities() }
    }
    fn put_if_absent(&self, name: &str, bytes: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
        self.ask("put", name, 1);
        self.inner.put_if_absent(name, bytes, cancel)
    }
    fn get(&self, name: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.ask("get", name, 1);
        self.inner.get(name, cancel)
    }
    fn get_range(&self, name: &str, offset: u64, len: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.ask("get a range of", name, 1);
        self.inner.get_range(name, offset, len, cancel)
    }
    fn get_at_most(&self, name: &str, most: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.ask("get the beginning of", name, 1);
        self.inner.get_at_most(name, most, cancel)
    }
    fn stat(&self, name: &str, cancel: &Cancel) -> Result<ObjectMeta, StoreError> {
        self.ask("stat", name, 1);
        self.inner.stat(name, cancel)
    }
    fn list(&self, prefix: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        self.list_after(prefix, prefix, cancel)
    }
    fn list_after(&self, prefix: &str, after: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        let mut listed = self.inner.list_after(prefix, after, cancel)?;
        if !self.is_lost.load(Ordering::Relaxed) {
            let made_up = self.made_up.lock().unwrap();
            let below = made_up.range(after.to_string()..).take_while(|(name, _)| name.starts_with(prefix));
            let long_ago = SystemTime::now() - Duration::from_secs(100 * 24 * 3600);
            listed.extend(below.map(|(name, size)| ObjectMeta {
                name: name.clone(),
                size: *size,
                modified: long_ago,
            }));
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        self.ask("list", prefix, listed.len().div_ceil(PAGE).max(1));
        Ok(listed)
    }
    fn delete(&self, name: &str, cancel: &Cancel) -> Result<(), StoreError> {
        self.ask("delete", name, 1);
        self.inner.delete(name, cancel)
    }
}
