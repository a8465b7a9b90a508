//! Whether a page is right.

use pgark_bytes::lsn::Lsn;
use pgark_bytes::page::{Header, checksum, is_zero};

use super::report::FailureKind;

/// What is checked of each page. Only for files whose pages have headers
/// ([`crate::scan::FolderKind::has_headers`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// The cluster has data checksums.
    pub checksums: bool,
    /// The start of the backup: a page changed at or behind it is in the backup's WAL.
    pub start_lsn: Lsn,
    /// The end of the WAL, behind which no page can be. None: not known, as while a server writes.
    pub end_of_wal: Option<Lsn>,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Zero,
    Right(Lsn),
    Doubtful {
        kind: FailureKind,
        /// By its LSN the page is in the backup's WAL.
        is_in_wal: bool,
    },
}

impl Checks {
    /// Judges a page. `block` is its number in the fork, not in the file.
    pub(super) fn judge(&self, page: &[u8], block: u32) -> Verdict {
        if is_zero(page) {
            return Verdict::Zero;
        }
        let doubtful = |kind, is_in_wal| Verdict::Doubtful { kind, is_in_wal };
        let Some(header) = Header::read(page).filter(|header| !header.is_new()) else {
            return doubtful(FailureKind::NewNotZero, false);
        };
        let lsn = header.lsn;
        let is_beyond = self.end_of_wal.is_some_and(|end| header.is_beyond(end));
        let is_in_wal = lsn >= self.start_lsn && !is_beyond;
        if self.checksums {
            let computed = checksum(page, block);
            if computed != header.checksum {
                return doubtful(FailureKind::Checksum { stored: header.checksum, computed }, is_in_wal);
            }
        }
        if is_beyond {
            return doubtful(FailureKind::LsnBeyondEnd { lsn }, false);
        }
        match header.fault(page.len()) {
            // With a right checksum the server itself wrote it so: its WAL may have the same.
            Some(fault) => doubtful(FailureKind::Header(fault), is_in_wal && !self.checksums),
            None => Verdict::Right(lsn),
        }
    }
}

#[cfg(test)]
mod tests {
    use pgark_bytes::page::HeaderFault;

    use super::*;

    const SIZE: usize = 8192;
    const BLOCK: u32 = 131_072 + 7;

    fn page(lsn: u64) -> Vec<u8> {
        let mut page = vec![0; SIZE];
        page[0..4].copy_from_slice(&((lsn >> 32) as u32).to_le_bytes());
        page[4..8].copy_from_slice(&(lsn as u32).to_le_bytes());
        for (at, value) in [(12, 24u16), (14, 8000), (16, 8192), (18, 8192 | 4)] {
            page[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        page[8000..].fill(7);
        summed(page)
    }

    fn summed(mut page: Vec<u8>) -> Vec<u8> {
        let sum = checksum(&page, BLOCK);
        page[8..10].copy_from_slice(&sum.to_le_bytes());
        page
    }

    fn checks(checksums: bool, end: Option<u64>) -> Checks {
        Checks { checksums, start_lsn: Lsn(1000), end_of_wal: end.map(Lsn) }
    }

    #[test]
    fn right_pages() {
        for checksums in [true, false] {
            let checks = checks(checksums, Some(2000));
            assert_eq!(checks.judge(&[0; SIZE], BLOCK), Verdict::Zero);
            for lsn in [0, 999, 1000, 2000] {
                assert_eq!(checks.judge(&page(lsn), BLOCK), Verdict::Right(Lsn(lsn)));
            }
        }
        assert_eq!(checks(true, None).judge(&page(u64::MAX), BLOCK), Verdict::Right(Lsn(u64::MAX)));
    }

    #[test]
    fn a_wrong_checksum_is_excused_by_what_the_wal_has() {
        for (lsn, end, excused) in [
            (999, None, false),
            (1000, None, true),
            (u64::MAX, None, true),
            (2000, Some(2000), true),
            (2001, Some(2000), false),
        ] {
            let mut wrong = page(lsn);
            wrong[8100] ^= 1;
            let verdict = checks(true, end).judge(&wrong, BLOCK);
            let Verdict::Doubtful { kind: FailureKind::Checksum { stored, computed }, is_in_wal } = verdict
            else {
                panic!("{verdict:?}")
            };
            assert_eq!((stored, computed), (checksum(&page(lsn), BLOCK), checksum(&wrong, BLOCK)));
            assert_eq!(is_in_wal, excused, "{lsn} {end:?}");
            let without = checks(false, None).judge(&wrong, BLOCK);
            assert_eq!(without, Verdict::Right(Lsn(lsn)));
        }
        // The page of another block.
        let moved = checks(true, None).judge(&page(5), BLOCK - 131_072);
        assert!(matches!(moved, Verdict::Doubtful { kind: FailureKind::Checksum { .. }, is_in_wal: false }));
    }

    #[test]
    fn new_foreign_and_impossible_pages() {
        let mut new = page(1500);
        new[14..16].fill(0);
        let verdict = checks(true, None).judge(&summed(new), BLOCK);
        assert_eq!(verdict, Verdict::Doubtful { kind: FailureKind::NewNotZero, is_in_wal: false });

        let foreign = checks(true, Some(2000)).judge(&page(2001), BLOCK);
        let kind = FailureKind::LsnBeyondEnd { lsn: Lsn(2001) };
        assert_eq!(foreign, Verdict::Doubtful { kind, is_in_wal: false });

        let mut impossible = page(1500);
        impossible[12..14].copy_from_slice(&8100u16.to_le_bytes());
        let impossible = summed(impossible);
        let kind = FailureKind::Header(HeaderFault::Bounds { lower: 8100, upper: 8000, special: 8192 });
        for (checksums, is_in_wal) in [(true, false), (false, true)] {
            let verdict = checks(checksums, None).judge(&impossible, BLOCK);
            assert_eq!(verdict, Verdict::Doubtful { kind, is_in_wal });
        }
        // Too short for a header, as no file with a sensible page size has them.
        assert_eq!(
            checks(true, None).judge(&[1; 8], BLOCK),
            Verdict::Doubtful { kind: FailureKind::NewNotZero, is_in_wal: false }
        );
    }
}
