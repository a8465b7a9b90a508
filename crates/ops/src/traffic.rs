//! What a storage behind a network was asked: that is what clouds bill.

use pgark_repo::Repository;
use schemars::JsonSchema;
use serde::Serialize;

/// Requests to the storage in one run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Requests {
    /// Number of requests that write.
    pub put: u64,
    /// Number of requests that read.
    pub get: u64,
    /// Number of list requests (one for each page).
    pub list: u64,
    /// Number of requests for size and time of an object.
    pub head: u64,
    /// Number of requests that delete.
    pub delete: u64,
    /// Number of operations that were retried.
    pub retries: u64,
    /// Bytes of objects that were sent.
    pub bytes_sent: u64,
    /// Bytes of objects and lists that were received.
    pub bytes_received: u64,
}

impl Requests {
    /// Until now; none where there is no network.
    pub fn of(repository: &Repository) -> Option<Requests> {
        let traffic = repository.traffic()?;
        Some(Requests {
            put: traffic.puts,
            get: traffic.gets,
            list: traffic.lists,
            head: traffic.heads,
            delete: traffic.deletes,
            retries: traffic.retries,
            bytes_sent: traffic.bytes_sent,
            bytes_received: traffic.bytes_received,
        })
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        self.put + self.get + self.list + self.head + self.delete
    }
}

/// A report with what its storage was asked.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WithRequests<'a, T> {
    /// The report.
    #[serde(flatten)]
    pub report: &'a T,
    /// Requests to the repository's storage. Absent if there is no network in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Requests>,
}
