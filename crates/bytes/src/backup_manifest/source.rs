//! The bytes of a manifest on their way to the JSON parser: hashed, and bounded between two
//! entries.

use std::cell::Cell;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;
/// An entry has one path. Linux allows 4096 bytes, of which JSON makes at most six times as many.
const LARGEST_ENTRY: usize = 64 << 10;

/// How far the parser is.
#[derive(Debug)]
pub(super) struct Progress {
    /// How many bytes may come before the entry at hand ends: a parser keeps what it has not
    /// understood yet.
    left: Cell<usize>,
    /// The number of the line, from 1. A parser's own number can be that of the next line, because
    /// it looks ahead before it tells of an error in a list.
    line: Cell<usize>,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { left: Cell::new(LARGEST_ENTRY), line: Cell::new(1) }
    }

    /// An entry was read.
    pub(super) fn next_entry(&self) {
        self.left.set(LARGEST_ENTRY);
    }

    pub(super) fn is_too_long(&self) -> bool {
        self.left.get() == 0
    }

    pub(super) fn line(&self) -> usize {
        self.line.get()
    }

    fn take(&self, bytes: &[u8]) -> io::Result<()> {
        let left = self.left.get().checked_sub(bytes.len()).filter(|left| *left > 0);
        self.left.set(left.unwrap_or(0));
        self.line.set(self.line.get() + bytes.iter().filter(|byte| **byte == b'\n').count());
        left.map(drop).ok_or_else(|| io::Error::other("an entry has no end"))
    }
}

/// What is read from.
pub(super) struct Source<'a, R> {
    input: R,
    progress: &'a Progress,
    buffer: Box<[u8]>,
    /// The bytes of the buffer that were not handed on yet.
    ready: std::ops::Range<usize>,
    hash: Lines,
}

impl<'a, R: Read> Source<'a, R> {
    pub(super) fn new(input: R, progress: &'a Progress) -> Source<'a, R> {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Source { input, progress, buffer, ready: 0..0, hash: Lines::default() }
    }

    /// The SHA-256 of all lines but the last, once all was read; `None` where there are not two
    /// lines, or the last has no end.
    pub(super) fn digest(self) -> Option<[u8; 32]> {
        if self.hash.is_at_line_end { self.hash.before_last.map(|hash| hash.finalize().into()) } else { None }
    }
}

impl<R: Read> Read for Source<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty() {
            let count = self.input.read(&mut self.buffer)?;
            self.ready = 0..count;
            self.hash.update(self.buffer.get(..count).unwrap_or_default());
        }
        let from = self.buffer.get(self.ready.clone()).unwrap_or_default();
        let count = from.len().min(to.len());
        self.progress.take(from.get(..count).unwrap_or_default())?;
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        self.ready.start += count;
        Ok(count)
    }
}

/// The hash of lines. A line is known to be the last only at the end of the file, so that the hash
/// is kept as it was in front of it.
#[derive(Default)]
struct Lines {
    /// Of all bytes.
    all: Sha256,
    /// Up to the last line break.
    last: Option<Sha256>,
    /// Up to the last but one.
    before_last: Option<Sha256>,
    is_at_line_end: bool,
}

impl Lines {
    fn update(&mut self, bytes: &[u8]) {
        let Some(last_byte) = bytes.last() else { return };
        self.is_at_line_end = *last_byte == b'\n';
        let mut breaks = memchr::memrchr_iter(b'\n', bytes);
        let (last, before) = (breaks.next(), breaks.next());
        let mut from = 0;
        for end in [before, last].into_iter().flatten() {
            self.all.update(bytes.get(from..=end).unwrap_or_default());
            self.before_last = self.last.replace(self.all.clone());
            from = end + 1;
        }
        self.all.update(bytes.get(from..).unwrap_or_default());
    }
}
