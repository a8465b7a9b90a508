//! Rows and large objects of a dump on their way into the repository.

use std::io::Read;

use pgark_bytes::copy_text::END_MARKER;
use pgark_bytes::large_objects::write_frame;
use pgark_repo::{BackupWriter, Class, Cut, PartSummary, StreamWriter};

use crate::{Job, OpsError};

/// A part's rows at most, as in a backup of ours.
const ROWS_PER_PART: u64 = 500_000;
/// Bytes read at once.
const STEP: usize = 256 << 10;
/// A row cannot be longer: PostgreSQL's own messages end at 1 GiB, escapes at most double it.
const LONGEST_ROW: usize = 2 << 30;

/// Takes one table's data file.
pub(super) struct RowSink<'w, 'j> {
    writer: &'w BackupWriter<'w>,
    job: &'j Job,
}

impl<'w, 'j> RowSink<'w, 'j> {
    pub(super) fn new(writer: &'w BackupWriter<'w>, job: &'j Job) -> RowSink<'w, 'j> {
        RowSink { writer, job }
    }

    /// Stores the rows up to the end mark. Only line feeds are allowed after it.
    pub(super) fn take(
        &mut self,
        content: &mut dyn Read,
        name: &str,
    ) -> Result<(Vec<PartSummary>, u64), OpsError> {
        let mut finished = Vec::new();
        let mut open: StreamWriter<'_> = self.writer.stream(Class::Data, Cut::Rows);
        let (mut rows, mut rows_in_open) = (0u64, 0u64);
        let mut buffer: Vec<u8> = Vec::new();
        let mut piece = vec![0; STEP];
        let mut ended = false;
        loop {
            self.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            let read = content.read(&mut piece).map_err(|source| unreadable(name, source))?;
            if read == 0 {
                break;
            }
            self.job.progress.advance(read as u64);
            buffer.extend_from_slice(piece.get(..read).unwrap_or_default());
            if buffer.len() > LONGEST_ROW {
                return Err(damaged(name, "contains a row that is longer than any row can be"));
            }
            let mut at = 0;
            while let Some(end) = memchr::memchr(b'\n', buffer.get(at..).unwrap_or_default()) {
                let row = buffer.get(at..=at + end).unwrap_or_default();
                at += end + 1;
                if ended {
                    if row != b"\n" {
                        return Err(damaged(name, "continues after its end mark"));
                    }
                    continue;
                }
                if row.strip_suffix(b"\n") == Some(END_MARKER) {
                    ended = true;
                    continue;
                }
                open.write(row)?;
                rows += 1;
                rows_in_open += 1;
                if rows_in_open == ROWS_PER_PART {
                    let full = std::mem::replace(&mut open, self.writer.stream(Class::Data, Cut::Rows));
                    finished.push(full.finish()?);
                    rows_in_open = 0;
                }
            }
            buffer.drain(..at);
        }
        if !ended || !buffer.is_empty() {
            return Err(damaged(name, "ends before its end mark"));
        }
        if rows_in_open > 0 || finished.is_empty() {
            finished.push(open.finish()?);
        }
        Ok((finished, rows))
    }
}

/// Takes large objects, one after the other.
pub(super) struct ObjectSink<'w> {
    writer: &'w BackupWriter<'w>,
    open: Option<StreamWriter<'w>>,
    count: u64,
}

impl<'w> ObjectSink<'w> {
    pub(super) fn new(writer: &'w BackupWriter<'w>) -> ObjectSink<'w> {
        ObjectSink { writer, open: None, count: 0 }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn take(&mut self, oid: u32, content: &mut dyn Read) -> Result<(), OpsError> {
        let name = format!("large object {oid}");
        let stream = self.open.get_or_insert_with(|| self.writer.stream(Class::Data, Cut::Content));
        let mut frame = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        let mut offset = 0u64;
        loop {
            let read = fill(content, &mut buffer).map_err(|source| unreadable(&name, source))?;
            // An empty object has one frame too.
            if read > 0 || offset == 0 {
                write_frame(&mut frame, oid, offset, buffer.get(..read).unwrap_or_default());
                stream.write(&frame)?;
            }
            offset += read as u64;
            if read < buffer.len() {
                break;
            }
        }
        self.count += 1;
        Ok(())
    }

    /// What they became, and how many they are; nothing if there was none.
    pub(super) fn finish(self) -> Result<Option<(PartSummary, u64)>, OpsError> {
        match self.open {
            None => Ok(None),
            Some(stream) => Ok(Some((stream.finish()?, self.count))),
        }
    }
}

/// Reads until the buffer is full or the content ends.
fn fill(content: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match content.read(rest)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

pub(super) fn damaged(name: &str, what: &str) -> OpsError {
    OpsError::refused(format!("{name} {what}"), "the dump is damaged or incomplete; nothing was imported")
}

pub(super) fn unreadable(name: &str, source: std::io::Error) -> OpsError {
    OpsError::refused(
        format!("{name} cannot be read: {source}"),
        "the dump is damaged or incomplete; nothing was imported",
    )
}
