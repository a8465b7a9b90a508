//! What was copied of a data directory, and which pages of it are damaged.

use pgark_bytes::lsn::Lsn;
use pgark_datadir::read::Report;
use pgark_repo::PagesDone;

use crate::Job;
use crate::facts::ChecksumFailure;

/// Blocks of one file that are named.
const MOST_BLOCKS: usize = 100;
/// Files with damaged pages that are named.
const MOST_DAMAGED: usize = 1000;

/// What was copied in all.
#[derive(Default)]
pub(super) struct Copied {
    pub pages: PagesDone,
    pub failed: u64,
    pub files: u64,
    pub bytes: u64,
    pub failures: Vec<ChecksumFailure>,
    /// Files with damaged pages that are not among the failures.
    pub more_failures: u64,
    /// Files with pages that were written after the start: by folder, number, and newest LSN.
    pub written: Vec<(usize, u32, Lsn)>,
}

impl Copied {
    /// Notes the damaged pages of a file, whose path in the data directory `path` gives.
    pub(super) fn note(&mut self, job: &Job, report: &Report, path: impl FnOnce() -> String) {
        self.failed += report.failed;
        let Some(first) = report.failures.first() else { return };
        let path = path();
        job.progress.warn(&format!(
            "{path}: {} damaged pages on the server, the first is block {}: {}",
            report.failed, first.block, first.kind
        ));
        if self.failures.len() >= MOST_DAMAGED {
            self.more_failures += 1;
            return;
        }
        self.failures.push(ChecksumFailure {
            path,
            blocks: report.failures.iter().take(MOST_BLOCKS).map(|failure| failure.block).collect(),
            count: report.failed,
            reason: first.kind.to_string(),
        });
    }

    /// Forgets the damaged pages of a file, which is read again.
    pub(super) fn forget(&mut self, path: &str) {
        let known = self.failures.iter().position(|failure| failure.path == path);
        if let Some(known) = known.map(|at| self.failures.swap_remove(at)) {
            self.failed = self.failed.saturating_sub(known.count);
        }
    }
}
