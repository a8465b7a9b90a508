//! What a storage behind a network was asked: that is what clouds bill.

use pgark_repo::Repository;
use serde::Serialize;

/// Counts of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Requests {
    /// Requests that write.
    pub put: u64,
    /// Requests that read.
    pub get: u64,
    /// Pages of lists.
    pub list: u64,
    /// Requests for size and time.
    pub head: u64,
    /// Requests that delete.
    pub delete: u64,
    /// Operations that were tried again.
    pub retries: u64,
    /// Bytes of objects sent.
    pub bytes_sent: u64,
    /// Bytes of objects and lists received.
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
#[derive(Debug, Serialize)]
pub struct WithRequests<'a, T> {
    /// The report.
    #[serde(flatten)]
    pub report: &'a T,
    /// The counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Requests>,
}
