//! Object lock: what a backup depends on must not become deletable before the backup itself does.
//!
//! What a backup puts is locked from its put on. Packs of earlier backups were locked earlier, so
//! their locks are extended before the manifest is put; so are the index, the key slots, the header
//! and the lists of writers, without which no backup opens. One request for each object, many at
//! once: on a public cloud 100,000 packs (1.6 TB) cost about half a dollar.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

use pgark_store::StoreError;

use super::session::Session;
use crate::RepoError;
use crate::index;
use crate::lock::lock;
use crate::names;
use crate::pack;
use crate::secrets::HEADERS;

/// Folders that every backup needs.
const FOR_ALL: [&str; 4] = ["keys/", "keys-copy/", "writers/", "copies/writers/"];
const REQUESTS: usize = 16;

/// Extends the locks of everything that this backup needs and did not put itself.
pub(super) fn extend(session: &Session<'_>) -> Result<(), RepoError> {
    let store = session.repository.store();
    let Some(retention) = store.retention() else { return Ok(()) };
    let until = SystemTime::now() + retention.period;
    let mut names: Vec<String> =
        session.older_packs().iter().map(|pack| pack::name(session.compartment, pack)).collect();
    let index = index::object::folder(session.compartment);
    for folder in FOR_ALL.into_iter().chain([index.as_str()]) {
        names.extend(names::list(store, folder)?.into_iter().map(|meta| meta.name));
    }
    for header in HEADERS {
        match store.stat(header) {
            Ok(_) => names.push(header.to_string()),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let next = AtomicUsize::new(0);
    let failure: Mutex<Option<StoreError>> = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..REQUESTS.min(names.len()) {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if lock(&failure).is_some() || session.check().is_err() {
                        return;
                    }
                    if let Err(error) = store.retain(name, until) {
                        lock(&failure).get_or_insert(error);
                    }
                }
            });
        }
    });
    session.check()?;
    match lock(&failure).take() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
