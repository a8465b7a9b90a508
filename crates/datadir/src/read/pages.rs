//! The reader of one file.

use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use pgark_bytes::page::is_zero;
use rustix::fs::{Advice, fadvise};

use super::checks::{Checks, Verdict};
use super::report::{Failure, FailureKind, Report};
use crate::stop::{check, wait};
use crate::{Error, OpenFile, OpenFolder, Stop};

/// How files are read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Bytes of a page (`block_size` of the server).
    pub page_size: usize,
    /// Pages of a piece.
    pub piece_pages: usize,
    /// None: pages are not checked, only counted.
    pub checks: Option<Checks>,
    /// How often a page that is not right, or not whole, is read again.
    pub rereads: u32,
    /// The pause before each such read.
    pub pause: Duration,
}

impl Default for ReadOptions {
    /// Pages of 8 KiB, 128 in a piece, not checked; read again five times, 20 ms each.
    fn default() -> ReadOptions {
        ReadOptions {
            page_size: 8192,
            piece_pages: 128,
            checks: None,
            rereads: 5,
            pause: Duration::from_millis(20),
        }
    }
}

/// Which file is read, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its name in the folder.
    pub name: &'a [u8],
    /// The length that the scan saw. None: that which it has when it is opened.
    pub bytes: Option<u64>,
    /// The number that its first block has in the fork, which checksums are made with
    /// ([`crate::names::RelationFile::first_block`]).
    pub first_block: u32,
}

/// A file that is being read.
#[derive(Debug)]
pub struct PageFile {
    opened: OpenFile,
    path: PathBuf,
    options: ReadOptions,
    first_block: u32,
    /// Where the next piece begins.
    at: u64,
    /// Where the last one ends at most: the end of a page.
    limit: u64,
    report: Report,
}

/// A page that is not right so far.
struct Doubt {
    /// Its number in the piece.
    number: usize,
    kind: FailureKind,
    /// It need not be right.
    is_in_wal: bool,
}

impl PageFile {
    /// Opens a file of `folder`. None: it is gone.
    pub fn open(
        folder: &OpenFolder,
        wanted: &Wanted<'_>,
        options: &ReadOptions,
    ) -> Result<Option<PageFile>, Error> {
        let Some(opened) = folder.file(wanted.name)? else { return Ok(None) };
        let page_size = options.page_size.max(1);
        let options = ReadOptions { page_size, piece_pages: options.piece_pages.max(1), ..*options };
        let bytes = wanted.bytes.unwrap_or(opened.about.bytes);
        // Blocks are numbered in 32 bits.
        let limit = bytes.div_ceil(count(page_size)).min(u32::MAX.into()).saturating_mul(count(page_size));
        let file = PageFile {
            opened,
            path: folder.shown(wanted.name),
            options,
            first_block: wanted.first_block,
            at: 0,
            limit,
            report: Report::default(),
        };
        if file.limit > count(file.piece()) {
            file.advise(0, limit, Advice::Sequential);
        }
        Ok(Some(file))
    }

    /// Reads the next piece into `buffer`, whose content is replaced. Gives the number of its first
    /// page in the file; none: it was the last one.
    ///
    /// Pieces begin where the one before ends. Only the last page of a file can be a part of a
    /// page. `buffer` is worth being used again, for any file.
    pub fn next_piece(&mut self, buffer: &mut Vec<u8>, stop: Stop<'_>) -> Result<Option<u32>, Error> {
        check(stop)?;
        let rest = self.limit.saturating_sub(self.at);
        let wanted = usize::try_from(rest).unwrap_or(usize::MAX).min(self.piece());
        // What is in it from the last time is overwritten, not cleared first.
        buffer.resize(wanted, 0);
        let mut read = self.read_at(buffer, self.at)?;
        if read % self.options.page_size != 0 {
            read = self.read_on(buffer, read, stop)?;
        }
        buffer.truncate(read);
        if read == 0 {
            self.limit = self.at;
            return Ok(None);
        }
        let start = self.at;
        self.at += count(read);
        if read % self.options.page_size != 0 {
            self.limit = self.at;
        } else if self.at < self.limit {
            self.advise(self.at, count(self.piece()), Advice::WillNeed);
        }
        self.report.bytes += count(read);
        self.examine(buffer, start, stop)?;
        Ok(Some(self.block(start)))
    }

    /// What was seen so far; after the last piece, of the whole file.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The same, to keep.
    pub fn into_report(self) -> Report {
        self.report
    }

    fn piece(&self) -> usize {
        self.options.page_size.saturating_mul(self.options.piece_pages)
    }

    /// The number in the file of the page that begins at `at`.
    fn block(&self, at: u64) -> u32 {
        u32::try_from(at / count(self.options.page_size)).unwrap_or(u32::MAX)
    }

    /// It does not matter where the kernel knows better.
    fn advise(&self, at: u64, bytes: u64, advice: Advice) {
        let _ = fadvise(&self.opened, at, std::num::NonZeroU64::new(bytes), advice);
    }

    /// Fills `buffer` from there; less only where the file ends.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<usize, Error> {
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.opened.file.read_at(rest, at + count(read)) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", self.path.clone(), error)),
            }
        }
        Ok(read)
    }

    /// The file ended inside a page. Looks whether the rest of that page comes.
    fn read_on(&mut self, buffer: &mut [u8], read: usize, stop: Stop<'_>) -> Result<usize, Error> {
        let whole = read - read % self.options.page_size;
        let mut part = read - whole;
        for _ in 0..self.options.rereads {
            wait(self.options.pause, stop)?;
            self.report.rereads += 1;
            let Some(page) = buffer.get_mut(whole..).and_then(|rest| rest.get_mut(..self.options.page_size))
            else {
                break;
            };
            part = self.read_at(page, self.at + count(whole))?;
            if part == 0 || part == self.options.page_size {
                break;
            }
        }
        Ok(whole + part)
    }

    /// Judges the pages of a piece that begins at `start`, and reads again what is not right.
    fn examine(&mut self, bytes: &mut [u8], start: u64, stop: Stop<'_>) -> Result<(), Error> {
        let page_size = self.options.page_size;
        let first = self.block(start);
        let mut doubts = Vec::new();
        for (number, page) in bytes.chunks_exact(page_size).enumerate() {
            self.report.pages += 1;
            doubts.extend(self.judge(page, number, first));
        }
        let mut again = Vec::new();
        for _ in 0..self.options.rereads {
            if doubts.is_empty() {
                break;
            }
            wait(self.options.pause, stop)?;
            again.resize(page_size, 0);
            for doubt in std::mem::take(&mut doubts) {
                let from = doubt.number.saturating_mul(page_size);
                let Some(page) = bytes.get_mut(from..from.saturating_add(page_size)) else { continue };
                self.report.rereads += 1;
                let read = self.read_at(&mut again, start + count(from))?;
                if read < page_size {
                    // Cut off meanwhile.
                    doubts.push(Doubt { is_in_wal: true, ..doubt });
                } else if again == page {
                    doubts.push(doubt);
                } else {
                    page.copy_from_slice(&again);
                    let still = self.judge(page, doubt.number, first);
                    doubts.extend(still.map(|still| Doubt { is_in_wal: true, ..still }));
                }
            }
        }
        for doubt in doubts {
            let block = first.saturating_add(u32::try_from(doubt.number).unwrap_or(u32::MAX));
            if doubt.is_in_wal {
                self.report.saw_rewritten(block);
            } else {
                self.report.saw_failure(Failure { block, kind: doubt.kind });
            }
        }
        Ok(())
    }

    /// Notes a page that is right; gives one that is not.
    fn judge(&mut self, page: &[u8], number: usize, first: u32) -> Option<Doubt> {
        let block = first.saturating_add(u32::try_from(number).unwrap_or(u32::MAX));
        let verdict = match &self.options.checks {
            Some(checks) => checks.judge(page, self.first_block.saturating_add(block)),
            None if is_zero(page) => Verdict::Zero,
            None => return None,
        };
        match verdict {
            Verdict::Zero => self.report.saw_zero(),
            Verdict::Right(lsn) => self.report.saw_right(block, lsn),
            Verdict::Doubtful { kind, is_in_wal } => return Some(Doubt { number, kind, is_in_wal }),
        }
        None
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
