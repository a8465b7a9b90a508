//! The pages of one file that a server sends, judged as they come.
//!
//! Nothing can be read again here. The server reads a page again that it finds wrong, and sends
//! what it read last; what is still wrong then is judged by the rules of [`super::PageFile`].
//!
//! **The end of the WAL** moves meanwhile. A page that is newer than the end that is known waits:
//! the caller asks the server how far it is *now*, which is later than the moment when the page was
//! read, and [`ArrivingFile::settle`] decides. So the server is asked once for a file at most, or
//! once for each [`MOST_NOTED`] such pages.

use pgark_bytes::lsn::Lsn;
use pgark_bytes::page::Header;

use super::checks::{Checks, Verdict};
use super::report::{Failure, FailureKind, MOST_NOTED, Report};

/// A file that arrives.
#[derive(Debug)]
pub struct ArrivingFile {
    page_size: usize,
    checks: Checks,
    first_block: u32,
    /// The number in the file of the next page.
    next: u32,
    /// The WAL was at least so long when the file began to arrive.
    known_end: Lsn,
    late: Vec<(u32, Lsn, Verdict)>,
    report: Report,
}

impl ArrivingFile {
    /// For a file whose pages have headers. `first_block`: the number that its first block has in
    /// the fork. `checks.end_of_wal` is how far the WAL is known to be.
    pub fn new(page_size: usize, checks: Checks, first_block: u32) -> ArrivingFile {
        ArrivingFile {
            page_size: page_size.max(1),
            checks: Checks { end_of_wal: None, ..checks },
            first_block,
            next: 0,
            known_end: checks.end_of_wal.unwrap_or(Lsn(u64::MAX)),
            late: Vec::new(),
            report: Report::default(),
        }
    }

    /// Judges the next pages. Only behind the last one can there be a part of a page, which is not
    /// judged.
    pub fn see(&mut self, bytes: &[u8]) {
        self.report.bytes += bytes.len() as u64;
        for page in bytes.chunks_exact(self.page_size) {
            let block = self.next;
            self.next = self.next.saturating_add(1);
            self.report.pages += 1;
            let verdict = self.checks.judge(page, self.first_block.saturating_add(block));
            match Header::read(page).filter(|header| header.is_beyond(self.known_end)) {
                Some(header) if verdict != Verdict::Zero => self.late.push((block, header.lsn, verdict)),
                _ => self.note(block, verdict),
            }
        }
    }

    /// Whether so many pages wait that [`ArrivingFile::settle`] is due.
    pub fn is_full(&self) -> bool {
        self.late.len() >= MOST_NOTED
    }

    /// Whether any page waits.
    pub fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// The WAL is so long now: decides about all pages that wait.
    pub fn settle(&mut self, end: Lsn) {
        self.known_end = self.known_end.max(end);
        for (block, lsn, verdict) in std::mem::take(&mut self.late) {
            match verdict {
                _ if lsn <= self.known_end => self.note(block, verdict),
                Verdict::Doubtful { kind, .. } => self.report.saw_failure(Failure { block, kind }),
                _ => {
                    let kind = FailureKind::LsnBeyondEnd { lsn };
                    self.report.saw_failure(Failure { block, kind });
                }
            }
        }
    }

    /// What was seen. Pages that still wait are not in it.
    pub fn into_report(self) -> Report {
        self.report
    }

    fn note(&mut self, block: u32, verdict: Verdict) {
        match verdict {
            Verdict::Zero => self.report.saw_zero(),
            Verdict::Right(lsn) => self.report.saw_right(block, lsn),
            Verdict::Doubtful { is_in_wal: true, .. } => self.report.saw_rewritten(block),
            Verdict::Doubtful { kind, .. } => self.report.saw_failure(Failure { block, kind }),
        }
    }
}

#[cfg(test)]
mod tests {
    use pgark_bytes::page::checksum;

    use super::*;

    const SIZE: usize = 8192;

    fn page(block: u32, lsn: u64) -> Vec<u8> {
        let mut page = vec![0; SIZE];
        page[0..4].copy_from_slice(&((lsn >> 32) as u32).to_le_bytes());
        page[4..8].copy_from_slice(&(lsn as u32).to_le_bytes());
        for (at, value) in [(12, 24u16), (14, 8000), (16, 8192), (18, 8192 | 4)] {
            page[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        let sum = checksum(&page, block);
        page[8..10].copy_from_slice(&sum.to_le_bytes());
        page
    }

    fn wrong(block: u32, lsn: u64) -> Vec<u8> {
        let mut page = page(block, lsn);
        page[8100] ^= 1;
        page
    }

    #[test]
    fn pages_are_judged_when_the_end_of_the_wal_is_known() {
        let checks = Checks { checksums: true, start_lsn: Lsn(1000), end_of_wal: Some(Lsn(2000)) };
        let mut file = ArrivingFile::new(SIZE, checks, 100);
        file.see(&[page(100, 5), vec![0; SIZE], wrong(102, 999), wrong(103, 1500)].concat());
        assert!(!file.has_late());
        // Newer than what is known: right or not, it waits.
        file.see(&[page(104, 2500), wrong(105, 2500), page(106, 9000), wrong(107, 9000)].concat());
        file.see(&[1; 7]);
        assert!(file.has_late() && !file.is_full());
        file.settle(Lsn(3000));
        // From now on that is known.
        file.see(&page(108, 3000));
        assert!(!file.has_late());
        let report = file.into_report();
        let blocks: Vec<u32> = report.failures.iter().map(|failure| failure.block).collect();
        assert_eq!((report.pages, report.zero, report.failed), (9, 1, 3));
        assert_eq!(blocks, [2, 6, 7]);
        assert_eq!(report.failures[1].kind, FailureKind::LsnBeyondEnd { lsn: Lsn(9000) });
        assert!(matches!(report.failures[2].kind, FailureKind::Checksum { .. }));
        assert_eq!((report.rewritten_blocks, report.newest), (vec![3, 5], Some((Lsn(3000), 8))));
        assert_eq!(report.bytes, 9 * SIZE as u64 + 7);
    }
}
