//! What a storage was asked and what moved: for reports, and for the bill.

use std::sync::atomic::{AtomicU64, Ordering};

/// Kinds of requests, as storages bill them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Writes an object.
    Put,
    /// Reads an object or a part of it.
    Get,
    /// Asks for one page of a list.
    List,
    /// Asks for size and time.
    Head,
    /// Deletes.
    Delete,
}

/// Counters that many threads add to.
#[derive(Debug, Default)]
pub struct Traffic {
    puts: AtomicU64,
    gets: AtomicU64,
    lists: AtomicU64,
    heads: AtomicU64,
    deletes: AtomicU64,
    retries: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// Counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficReport {
    /// Requests that write.
    pub puts: u64,
    /// Requests that read.
    pub gets: u64,
    /// Pages of lists.
    pub lists: u64,
    /// Requests for size and time.
    pub heads: u64,
    /// Requests that delete.
    pub deletes: u64,
    /// Operations that were tried again.
    pub retries: u64,
    /// Bytes of objects sent.
    pub bytes_sent: u64,
    /// Bytes of objects and lists received.
    pub bytes_received: u64,
}

impl TrafficReport {
    /// All requests.
    pub fn requests(&self) -> u64 {
        self.puts + self.gets + self.lists + self.heads + self.deletes
    }
}

impl Traffic {
    /// One request.
    pub fn count(&self, request: Request) {
        let counter = match request {
            Request::Put => &self.puts,
            Request::Get => &self.gets,
            Request::List => &self.lists,
            Request::Head => &self.heads,
            Request::Delete => &self.deletes,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// An operation is tried again.
    pub fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes that went out.
    pub fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that came in.
    pub fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The counts now.
    pub fn report(&self) -> TrafficReport {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TrafficReport {
            puts: read(&self.puts),
            gets: read(&self.gets),
            lists: read(&self.lists),
            heads: read(&self.heads),
            deletes: read(&self.deletes),
            retries: read(&self.retries),
            bytes_sent: read(&self.sent),
            bytes_received: read(&self.received),
        }
    }
}
