//! One table that would bound the whole restore, loaded over several connections.
//!
//! **When.** A table of this restore's own whose bytes are more than one job's share of all.
//! Workers that find nothing else ready take groups of its parts, each by a COPY of its own.
//!
//! **What it costs.** The table cannot be emptied and filled frozen in one transaction, which
//! belongs to one connection: rows are not frozen, and are logged also under `wal_level=minimal`.
//! So only a table that others would wait for is loaded like this.
//!
//! **Failure.** The first error stops everybody at the next group; the table is then emptied, so
//! that no half of it stays.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pgark_bytes::archive::TocEntry;
use pgark_bytes::archive::statements::qualified_name;
use pgark_pg::Connection;
use pgark_repo::Entry;

use super::data::{Loader, copy_statement};
use crate::OpsError;
use crate::lock::lock;

/// A smaller table is loaded by one.
const LEAST_BYTES: u64 = 64 << 20;
/// Bytes of one group of parts, about.
const GROUP_BYTES: u64 = 32 << 20;

/// Those who may help.
pub(super) trait Helpers {
    /// Offers a table to whoever has nothing to do.
    fn offer(&self, table: &Arc<Shared>);
    /// Offers it no more, and waits until nobody works on it.
    fn take_back(&self, table: &Arc<Shared>);
}

/// A table that is open for helpers.
pub(super) struct Shared {
    entry: Entry,
    sql: Vec<u8>,
    groups: Vec<Range<usize>>,
    next: AtomicUsize,
    stopped: AtomicBool,
    rows: AtomicU64,
    failed: Mutex<Option<OpsError>>,
    /// Changed under the board's lock only.
    helpers: AtomicUsize,
}

impl Shared {
    /// Whether a table is worth it; `all`: bytes of every table that is restored.
    pub(super) fn pays(entry: &Entry, jobs: usize, all: u64) -> bool {
        let share = all / jobs.max(1) as u64;
        jobs > 1 && entry.parts.len() > 1 && entry.bytes_raw >= LEAST_BYTES && entry.bytes_raw > share
    }

    pub(super) fn new(toc: &TocEntry, entry: &Entry) -> Arc<Shared> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        let mut bytes = GROUP_BYTES;
        for (number, part) in entry.parts.iter().enumerate() {
            match groups.last_mut() {
                Some(group) if bytes < GROUP_BYTES => group.end = number + 1,
                _ => {
                    groups.push(number..number + 1);
                    bytes = 0;
                }
            }
            bytes += part.bytes_raw();
        }
        Arc::new(Shared {
            entry: entry.clone(),
            sql: copy_statement(toc, false),
            groups,
            next: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            rows: AtomicU64::new(0),
            failed: Mutex::new(None),
            helpers: AtomicUsize::new(0),
        })
    }

    /// Whether a helper finds something to do.
    pub(super) fn has_more(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.groups.len() && !self.stopped.load(Ordering::Relaxed)
    }

    fn take(&self) -> Option<Range<usize>> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        self.groups.get(self.next.fetch_add(1, Ordering::Relaxed)).cloned()
    }

    /// Loads groups until there are none. False if that failed, and the connection is not to be
    /// used any more.
    pub(super) fn help(&self, loader: &Loader<'_>, connection: &mut Connection) -> bool {
        while let Some(parts) = self.take() {
            match loader.copy(connection, &self.sql, &self.entry, parts) {
                Ok(rows) => drop(self.rows.fetch_add(rows, Ordering::Relaxed)),
                Err(error) => {
                    self.stopped.store(true, Ordering::Relaxed);
                    lock(&self.failed).get_or_insert(error);
                    return false;
                }
            }
        }
        true
    }

    /// Whether someone helps; ask with the board locked.
    pub(super) fn is_helped(&self) -> bool {
        self.helpers.load(Ordering::Relaxed) > 0
    }

    /// A helper begins; call with the board locked.
    pub(super) fn join(&self) {
        self.helpers.fetch_add(1, Ordering::Relaxed);
    }

    /// A helper ends; call with the board locked.
    pub(super) fn leave(&self) {
        self.helpers.fetch_sub(1, Ordering::Relaxed);
    }

    /// The part of the worker that the table was given to: loads with whoever joins, and answers
    /// for all. Returns rows.
    pub(super) fn load(
        self: &Arc<Self>,
        loader: &Loader<'_>,
        connection: &mut Connection,
        toc: &TocEntry,
        helpers: &dyn Helpers,
    ) -> Result<u64, OpsError> {
        helpers.offer(self);
        self.help(loader, connection);
        helpers.take_back(self);
        let Some(error) = lock(&self.failed).take() else { return Ok(self.rows.load(Ordering::Relaxed)) };
        let mut truncate = b"TRUNCATE TABLE ONLY ".to_vec();
        truncate.extend(qualified_name(toc));
        // If the connection is gone, the restore ends with the error that it is gone by.
        if let Err(second) = connection.simple_bytes(&truncate) {
            let told = format!("{} could not be emptied: {second}", toc.describe());
            loader.job.progress.detail(&told);
        }
        Err(error)
    }
}
