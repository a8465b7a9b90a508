//! What is reported of a file.

use pgark_bytes::lsn::Lsn;
use pgark_bytes::page::HeaderFault;

/// So many failures, and so many rewritten blocks, of one file are noted; more are only counted.
pub const MOST_NOTED: usize = 4096;

/// What was seen in one file. Blocks are numbered from the file's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many bytes were given.
    pub bytes: u64,
    /// How many whole pages.
    pub pages: u64,
    /// How many of them were all zeros.
    pub zero: u64,
    /// How many pages were read again, each time.
    pub rereads: u64,
    /// How many pages are damaged.
    pub failed: u64,
    /// The first of them.
    pub failures: Vec<Failure>,
    /// How many pages are not right, and were taken because the WAL has them.
    pub rewritten: u64,
    /// The first of them.
    pub rewritten_blocks: Vec<u32>,
    /// The newest LSN of the pages that are right, and the first block that has it.
    pub newest: Option<(Lsn, u32)>,
}

/// A damaged page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its number in the file.
    pub block: u32,
    /// What is wrong with it.
    pub kind: FailureKind,
}

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FailureKind {
    /// The checksum is wrong.
    #[error("checksum verification failed: calculated {computed:X} but expected {stored:X}")]
    Checksum {
        /// What the page has.
        stored: u16,
        /// What its content gives.
        computed: u16,
    },
    /// The LSN is one that the server has not reached: the page is another server's.
    #[error("its LSN {lsn} is beyond the end of the WAL")]
    LsnBeyondEnd {
        /// What the page has.
        lsn: Lsn,
    },
    /// The header is one that no server writes.
    #[error(transparent)]
    Header(HeaderFault),
    /// It is a new page (`pd_upper` is 0), and not all zeros.
    #[error("it is a new page that is not all zeros")]
    NewNotZero,
}

impl Report {
    pub(super) fn saw_zero(&mut self) {
        self.zero += 1;
    }

    pub(super) fn saw_right(&mut self, block: u32, lsn: Lsn) {
        if self.newest.is_none_or(|(newest, _)| newest < lsn) {
            self.newest = Some((lsn, block));
        }
    }

    pub(super) fn saw_rewritten(&mut self, block: u32) {
        self.rewritten += 1;
        if self.rewritten_blocks.len() < MOST_NOTED {
            self.rewritten_blocks.push(block);
        }
    }

    pub(super) fn saw_failure(&mut self, failure: Failure) {
        self.failed += 1;
        if self.failures.len() < MOST_NOTED {
            self.failures.push(failure);
        }
    }
}
