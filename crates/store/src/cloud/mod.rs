//! Objects in the buckets of a cloud: what S3, GCS and Azure have in common.
//!
//! **Put-if-absent** is a conditional put (`If-None-Match: *`, `x-goog-if-generation-match: 0`).
//! Some servers that speak S3 take the condition and ignore it. The first small object that a
//! process puts is therefore put twice: a storage that then answers "created" again does not honour
//! it. From then on an object is looked for before it is put, and
//! [`Capabilities::atomic_put_if_absent`] says that of several puts at one moment more than one may
//! win.
//!
//! Nothing is tried twice here: [`crate::Guarded`] does that, with what [`answer`] says of each
//! failure.

pub(crate) mod answer;
pub(crate) mod as_of;
mod azure;
mod gcs;
mod process;
pub(crate) mod s3;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    RetryConfig,
};

use crate::condition::Condition;
use crate::http::{Wire, listening};
use crate::runtime::Engine;
use crate::traffic::{Traffic, TrafficReport};
use crate::{Cancel, Capabilities, Cause, ObjectMeta, PutOutcome, Retention, Store, StoreError, name};

pub(crate) use azure::open as open_azure;
pub(crate) use gcs::open as open_gcs;
pub(crate) use s3::open as open_s3;

/// What lies between two ranges is fetched with them if it is at most this: a request costs more.
const GAP: u64 = 256 << 10;

/// A list that brings so many objects again, one after the other, brings the same page forever. Of
/// a folder of someone else no more are looked at.
const AGAIN: usize = 1000;
const SAME_PAGE: &str = "the storage returns the same page of its list again and again";

/// A bucket.
pub(crate) struct CloudStore {
    pub(crate) engine: Engine,
    pub(crate) client: Arc<dyn ObjectStore>,
    /// For messages: the URL.
    pub(crate) shown: String,
    /// Where it is, if not at the cloud's own address.
    endpoint: Option<String>,
    /// The folder in the bucket; may be empty.
    pub(crate) prefix: String,
    /// Storage class.
    pub(crate) attributes: Attributes,
    pub(crate) traffic: Arc<Traffic>,
    /// What only S3 can: retention, versions.
    pub(crate) s3: Option<s3::Bucketed>,
    condition: Condition,
}

/// What the openers of the three clouds hand over.
pub(crate) struct Parts {
    pub engine: Engine,
    pub client: Arc<dyn ObjectStore>,
    pub shown: String,
    /// Where it was asked for, if not at the cloud's own address.
    pub endpoint: Option<String>,
    pub prefix: String,
    pub storage_class: Option<String>,
    pub wire: Wire,
    pub s3: Option<s3::Bucketed>,
}

/// The clients' own retries are off: one layer decides.
pub(crate) fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() }
}

/// An error of a client that could not even be made.
pub(crate) fn refused(what: impl std::fmt::Display) -> StoreError {
    StoreError::Unsupported {
        what: format!("open the storage: {what}"),
        hint: "check the storage options and the credentials".into(),
    }
}

impl CloudStore {
    pub(crate) fn new(parts: Parts) -> CloudStore {
        let mut attributes = Attributes::new();
        if let Some(class) = parts.storage_class {
            attributes.insert(Attribute::StorageClass, class.into());
        }
        CloudStore {
            engine: parts.engine,
            client: parts.client,
            shown: parts.shown,
            endpoint: parts.endpoint,
            prefix: parts.prefix,
            attributes,
            traffic: parts.wire.traffic,
            s3: parts.s3,
            condition: Condition::default(),
        }
    }

    /// Where an object lies in the bucket.
    pub(crate) fn path(&self, name: &str) -> Result<Path, StoreError> {
        name::check(name)?;
        self.key(name)
    }

    fn key(&self, below: &str) -> Result<Path, StoreError> {
        let whole = match (self.prefix.is_empty(), below.is_empty()) {
            (true, _) => below.to_string(),
            (false, true) => self.prefix.clone(),
            (false, false) => format!("{}/{below}", self.prefix),
        };
        Path::parse(&whole).map_err(|_| StoreError::InvalidName { name: whole })
    }

    /// For messages.
    pub(crate) fn object(&self, name: &str) -> String {
        if name.is_empty() { self.shown.clone() } else { format!("{}/{name}", self.shown) }
    }

    /// Runs one request.
    pub(crate) fn ask<T>(
        &self,
        cancel: &Cancel,
        operation: &'static str,
        name: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        self.engine.run(cancel, async {
            let (done, answer) = listening(work).await;
            done.map_err(|error| answer::sort(operation, self.object(name), &answer, &error))
        })
    }

    /// A conditional put, or a plain one.
    fn put(
        &self,
        name: &str,
        path: &Path,
        bytes: &Bytes,
        mode: PutMode,
        cancel: &Cancel,
    ) -> Result<PutOutcome, StoreError> {
        let put = async {
            if let Some(s3) = self.s3.as_ref().filter(|s3| s3.locks(name)) {
                return s3.put_locked(path, bytes, mode == PutMode::Create).await;
            }
            let options = PutOptions { mode, attributes: self.attributes.clone(), ..PutOptions::default() };
            self.client.put_opts(path, bytes.clone().into(), options).await.map(|_| ())
        };
        self.engine.run(cancel, async {
            let (done, answer) = listening(put).await;
            match done {
                Ok(()) => Ok(PutOutcome::Created),
                Err(_) if answer::exists_already(&answer) => Ok(PutOutcome::AlreadyExists),
                Err(error) => Err(answer::sort("write", self.object(name), &answer, &error)),
            }
        })
    }

    fn put_unconditionally(
        &self,
        name: &str,
        path: &Path,
        bytes: &Bytes,
        cancel: &Cancel,
    ) -> Result<PutOutcome, StoreError> {
        match self.stat(name, cancel) {
            Ok(_) => Ok(PutOutcome::AlreadyExists),
            Err(StoreError::NotFound { .. }) => self.put(name, path, bytes, PutMode::Overwrite, cancel),
            Err(error) => Err(error),
        }
    }

    /// Reads an object, or a version of it.
    pub(crate) fn read(
        &self,
        name: &str,
        range: Option<std::ops::Range<u64>>,
        version: Option<String>,
        cancel: &Cancel,
    ) -> Result<Vec<u8>, StoreError> {
        let path = self.path(name)?;
        let options = GetOptions { range: range.map(GetRange::Bounded), version, ..GetOptions::default() };
        let bytes = self.ask(cancel, "read", name, async {
            let answer = self.client.get_opts(&path, options).await?;
            answer.bytes().await
        })?;
        Ok(bytes.into())
    }

    /// A range, whole or not at all.
    pub(crate) fn read_range(
        &self,
        name: &str,
        offset: u64,
        len: u64,
        version: Option<String>,
        size: impl Fn() -> Result<u64, StoreError>,
        cancel: &Cancel,
    ) -> Result<Vec<u8>, StoreError> {
        let end = offset.saturating_add(len);
        let too_short = || StoreError::TooShort { object: self.object(name), end };
        // A length from a damaged index must not take the memory: what is unusual is looked up
        // first.
        if (len == 0 || len > LARGE || end == u64::MAX) && size()? < end {
            return Err(too_short());
        }
        if len == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.read(name, Some(offset..end), version, cancel).map_err(|error| match error {
            StoreError::TooShort { .. } => too_short(),
            // Some servers answer a range that begins at the end with the whole object.
            StoreError::Failed { cause: Cause::Unknown, .. } if size().is_ok_and(|size| size < end) => {
                too_short()
            }
            other => other,
        })?;
        if bytes.len() as u64 == len { Ok(bytes) } else { Err(too_short()) }
    }

    /// What is below the repository's own prefix; None: it is not below it.
    pub(crate) fn below<'k>(&self, key: &'k str) -> Option<&'k str> {
        match self.prefix.as_str() {
            "" => Some(key),
            prefix => key.strip_prefix(prefix)?.strip_prefix('/'),
        }
    }

    /// What was listed that is an object of ours, in the order of names.
    fn objects(&self, listed: BTreeMap<Path, object_store::ObjectMeta>) -> Vec<ObjectMeta> {
        let mut found: Vec<ObjectMeta> = listed
            .into_iter()
            .filter_map(|(path, meta)| {
                let name = self.below(path.as_ref())?;
                let modified: SystemTime = meta.last_modified.into();
                // What others put there is none of ours.
                name::check(name).ok()?;
                Some(ObjectMeta { name: name.to_string(), size: meta.size, modified })
            })
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }
}

/// The list, each object once; an error where a storage gives the same page again and again, as one
/// does that does not know how to go on.
async fn listed_once(
    mut list: impl Stream<Item = object_store::Result<object_store::ObjectMeta>> + Unpin,
) -> object_store::Result<BTreeMap<Path, object_store::ObjectMeta>> {
    let mut listed = BTreeMap::new();
    let mut again = 0;
    while let Some(meta) = list.try_next().await? {
        let is_new = listed.insert(meta.location.clone(), meta).is_none();
        again = if is_new { 0 } else { again + 1 };
        if again >= AGAIN {
            return Err(object_store::Error::Generic { store: "list", source: SAME_PAGE.into() });
        }
    }
    Ok(listed)
}

/// Ranges larger than this are asked for only when the object is known to be as large.
const LARGE: u64 = 64 << 20;

impl Store for CloudStore {
    fn location(&self) -> String {
        self.shown.clone()
    }

    fn place(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{} at {}", self.shown, endpoint.trim_end_matches('/')),
            None => self.shown.clone(),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            atomic_put_if_absent: !self.condition.is_ignored(),
            list_lateness: Duration::ZERO,
            gap: GAP,
            remote: true,
        }
    }

    fn put_if_absent(&self, name: &str, bytes: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
        let path = self.path(name)?;
        if self.condition.is_ignored() {
            return self.put_unconditionally(name, &path, &bytes, cancel);
        }
        let first = match self.put(name, &path, &bytes, PutMode::Create, cancel) {
            Err(error) if answer::condition_not_implemented(&error) => {
                self.condition.set_ignored(&self.shown);
                return self.put_unconditionally(name, &path, &bytes, cancel);
            }
            other => other?,
        };
        let unknown = self.condition.is_unknown();
        if unknown && first == PutOutcome::AlreadyExists {
            self.condition.set_honoured();
        } else if unknown && bytes.len() <= Condition::SMALL {
            match self.put(name, &path, &bytes, PutMode::Create, cancel) {
                Ok(PutOutcome::AlreadyExists) => self.condition.set_honoured(),
                Ok(PutOutcome::Created) => self.condition.set_ignored(&self.shown),
                // The object is there; the question stays open.
                Err(error) => tracing::debug!(%error, "it is not known yet whether put-if-absent works"),
            }
        }
        Ok(first)
    }

    fn get(&self, name: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.read(name, None, None, cancel)
    }

    fn get_range(&self, name: &str, offset: u64, len: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.read_range(name, offset, len, None, || Ok(self.stat(name, cancel)?.size), cancel)
    }

    /// One request where two would do.
    fn get_at_most(&self, name: &str, most: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        match self.read(name, Some(0..most), None, cancel) {
            // Of an empty object no range can be asked for, and servers say so in several ways.
            Err(StoreError::TooShort { .. }) => Ok(Vec::new()),
            Err(error @ StoreError::Failed { cause: Cause::Unknown, .. }) => match self.stat(name, cancel) {
                Ok(meta) if meta.size == 0 => Ok(Vec::new()),
                _ => Err(error),
            },
            other => other,
        }
    }

    fn stat(&self, name: &str, cancel: &Cancel) -> Result<ObjectMeta, StoreError> {
        let path = self.path(name)?;
        let meta = self.ask(cancel, "look at", name, self.client.head(&path)).map_err(|error| {
            // An answer to a HEAD has no body: what a denial is about, only a GET is told.
            match error.is_denied().then(|| self.read(name, Some(0..1), None, cancel)) {
                Some(Err(told)) => told,
                _ => error,
            }
        })?;
        Ok(ObjectMeta { name: name.to_string(), size: meta.size, modified: meta.last_modified.into() })
    }

    fn list(&self, prefix: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        name::check_prefix(prefix)?;
        let key = self.key(prefix.trim_end_matches('/'))?;
        let listed = self.ask(cancel, "list", prefix, listed_once(self.client.list(Some(&key))))?;
        Ok(self.objects(listed))
    }

    fn list_after(&self, prefix: &str, after: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        name::check_prefix(prefix)?;
        let (key, offset) = (self.key(prefix.trim_end_matches('/'))?, self.key(after.trim_end_matches('/'))?);
        let list = listed_once(self.client.list_with_offset(Some(&key), &offset));
        let mut found = self.objects(self.ask(cancel, "list", prefix, list)?);
        // A server that does not know how to begin there gives all.
        found.retain(|meta| meta.name.as_str() > after);
        Ok(found)
    }

    fn foreign(&self, cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        let key = self.key("")?;
        let listed = self.ask(cancel, "list", "", listed_once(self.client.list(Some(&key))))?;
        let names = listed.keys().filter_map(|path| self.below(path.as_ref()));
        Ok(names.filter(|name| name::check(name).is_err()).map(str::to_string).collect())
    }

    fn other_folders(&self, known: &[&str], cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        let key = self.key("")?;
        let top = self.ask(cancel, "list", "", self.client.list_with_delimiter(Some(&key)))?;
        let mut found = Vec::new();
        for folder in &top.common_prefixes {
            let Some(name) = self.below(folder.as_ref()) else { continue };
            if known.contains(&name) || name::check(name).is_err() {
                continue;
            }
            // Perhaps there are only markers of folders in it, or names that are none of objects.
            let is_object = |meta: &object_store::ObjectMeta| {
                self.below(meta.location.as_ref()).is_some_and(|name| name::check(name).is_ok())
            };
            let first = self
                .client
                .list(Some(folder))
                .take(AGAIN)
                .try_any(|meta| std::future::ready(is_object(&meta)));
            if self.ask(cancel, "list", name, first)? {
                found.push(name.to_string());
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn top(&self, cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        let key = self.key("")?;
        let listed = self.ask(cancel, "list", "", self.client.list_with_delimiter(Some(&key)))?;
        let folders = listed.common_prefixes.iter().filter_map(|path| self.below(path.as_ref()));
        let mut found: Vec<String> = folders.map(|name| format!("{name}/")).collect();
        let files = listed.objects.iter().filter_map(|meta| self.below(meta.location.as_ref()));
        // A marker of the folder itself has no name below it.
        found.extend(files.filter(|name| !name.is_empty()).map(str::to_string));
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn delete(&self, name: &str, cancel: &Cancel) -> Result<(), StoreError> {
        let path = self.path(name)?;
        match self.ask(cancel, "delete", name, self.client.delete(&path)) {
            Err(StoreError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    fn traffic(&self) -> Option<TrafficReport> {
        Some(self.traffic.report())
    }

    fn retention(&self) -> Option<Retention> {
        self.s3.as_ref().and_then(|s3| s3.retention())
    }

    fn retain(&self, name: &str, until: SystemTime, cancel: &Cancel) -> Result<(), StoreError> {
        let path = self.path(name)?;
        match &self.s3 {
            Some(s3) => self.ask(cancel, "extend the lock of", name, s3.retain(&path, until)),
            None => Ok(()),
        }
    }

    fn keeps_versions(&self, cancel: &Cancel) -> Result<Option<bool>, StoreError> {
        let ask = |s3: &s3::Bucketed| self.ask(cancel, "query the versioning of", "", s3.keeps_versions());
        self.s3.as_ref().map(ask).transpose()
    }

    fn can_lock(&self, cancel: &Cancel) -> Result<Option<bool>, StoreError> {
        let ask = |s3: &s3::Bucketed| self.ask(cancel, "query the object lock of", "", s3.can_lock());
        self.s3.as_ref().map(ask).transpose()
    }
}
