//! Archives what comes into the spool: whole segments, and pieces of the last one.
//!
//! **One after the other**, in the order of the WAL: so what is committed is without a gap, and a
//! segment is there before anything behind it.
//!
//! **Small pieces become larger ones.** After [`MERGED`] of a size, the next piece begins where the
//! first of them does, and replaces them. So a segment has few pieces, however often one is put,
//! and each byte is put a few times at most. Pieces that were replaced, and all of a segment that
//! is there, are deleted by a thread of its own: nothing waits for that, and where the storage does
//! not allow it, they stay and mean nothing.
//!
//! **Failures.** While the storage fails, it is tried again: the server keeps its WAL, and the
//! spool what came.

use std::cell::Cell;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::Duration;

use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal::WalFormat;
use pgark_bytes::wal_name::SegmentName;
use pgark_repo::{RepoError, WalArchive, WalDigest, WalName};

use super::super::facts::{Reader, SegmentFacts};
use super::super::file::{FRONT, SegmentHead};
use super::flow::{Flow, Task};
use super::spool::Spool;
use crate::error::with_causes;
use crate::{Job, OpsError};

/// So many pieces of one size are replaced by a larger one.
const MERGED: usize = 32;
/// Between two attempts, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];
/// Lists of pieces that wait to be deleted.
pub(super) const TRASH: usize = 64;

/// What archives.
pub(super) struct Uploader<'a> {
    pub archive: &'a WalArchive<'a>,
    /// That of the server; each segment has its own timeline.
    pub format: WalFormat,
    pub spool: &'a Spool,
    pub flow: &'a Flow,
    pub compression_level: i32,
    /// Pieces that are to be deleted.
    pub trash: SyncSender<Vec<WalName>>,
    /// Not that of the whole job: what is there is still archived when that ends.
    pub job: &'a Job,
    /// The first segment was begun.
    pub is_on: Cell<bool>,
}

/// The segment that is not whole.
struct Current {
    segment: SegmentName,
    digest: WalDigest,
    reader: Option<Reader>,
    /// The repository has it up to this offset.
    end: u64,
    /// Of its pieces those that were not replaced, in their order: larger ones come first.
    pieces: Vec<Piece>,
    /// Pieces that an earlier receiver put.
    earlier: Vec<WalName>,
}

struct Piece {
    name: WalName,
    from: u64,
    /// How many times smaller ones became larger ones.
    size: u32,
}

impl Uploader<'_> {
    /// Archives until nothing more comes. What ends it before is told to the flow.
    pub(super) fn run(self) {
        if let Err(error) = self.work() {
            self.flow.fail(error);
        }
    }

    fn work(&self) -> Result<(), OpsError> {
        let mut current: Option<Current> = None;
        loop {
            match self.flow.next() {
                Task::Done => return Ok(()),
                Task::Segment { timeline, start, lost_from } => {
                    let own = self.current(&mut current, timeline, start)?;
                    self.segment(own, start, lost_from)?;
                    current = None;
                    self.flow.committed(Lsn(start.0 + u64::from(self.format.segment_size.bytes())));
                }
                Task::Piece { timeline, from, to, lost_from } => {
                    let own = self.current(&mut current, timeline, from)?;
                    self.piece(own, to, lost_from)?;
                    self.flow.committed(to);
                }
            }
        }
    }

    /// The segment of a position, of which `current` has what was done of it before.
    fn current<'c>(
        &self,
        current: &'c mut Option<Current>,
        timeline: u32,
        at: Lsn,
    ) -> Result<&'c mut Current, OpsError> {
        let segment = SegmentName::of(timeline, at, self.format.segment_size);
        if let Some(left) = current.take_if(|current| current.segment != segment) {
            // Its timeline was left: it stays as it is.
            self.spool.remove(left.segment)?;
        }
        match current {
            Some(current) => Ok(current),
            None => Ok(current.insert(Current {
                segment,
                digest: self.archive.begin_digest(),
                reader: Reader::new(self.of(timeline), self.format.segment_size.start_of(at), None).ok(),
                end: 0,
                pieces: Vec::new(),
                earlier: self.earlier(segment)?,
            })),
        }
    }

    /// Pieces of the first segment, which an earlier receiver may have begun; there are none of the
    /// others.
    fn earlier(&self, segment: SegmentName) -> Result<Vec<WalName>, OpsError> {
        if self.is_on.replace(true) {
            return Ok(Vec::new());
        }
        let segment = name_of(segment)?;
        let pieces = self.insist(|| self.archive.pieces(&segment))?;
        Ok(pieces.into_iter().map(|listed| listed.name).collect())
    }

    fn of(&self, timeline: u32) -> WalFormat {
        WalFormat { timeline, ..self.format }
    }

    fn segment(&self, current: &mut Current, start: Lsn, lost_from: Option<Lsn>) -> Result<(), OpsError> {
        let size = self.format.segment_size;
        let segment = current.segment;
        let content = self.spool.read(segment, 0, size.bytes().into())?;
        let head = SegmentHead { format: self.of(segment.timeline), start };
        let mut next = segment.next(size);
        let facts = SegmentFacts::of(&head, &content, &mut || {
            let front = self.spool.front(next?, FRONT)?;
            next = next?.next(size);
            Some(front)
        });
        if let Some(damaged) = &facts.damaged {
            self.job.progress.warn(&format!(
                "{segment} is damaged on the server ({damaged}): recovery ends there. Make a physical backup now, and look at the disk"
            ));
        }
        let name = name_of(segment)?;
        let facts = SegmentFacts { lost_from: lost_from.map(|lsn| lsn.to_string()), ..facts }.to_bytes();
        self.insist(|| self.archive.put(&name, &content, &facts, self.compression_level))?;
        self.job.progress.advance(content.len() as u64);
        self.job.progress.detail(&format!("{segment} is archived"));
        let own = current.pieces.drain(..).map(|piece| piece.name);
        self.delete(own.chain(current.earlier.drain(..)).collect());
        self.spool.remove(segment)
    }

    fn piece(&self, current: &mut Current, to: Lsn, lost_from: Option<Lsn>) -> Result<(), OpsError> {
        let segment = current.segment;
        let to = to.0 - self.format.segment_size.start_of(Lsn(to.0.saturating_sub(1))).0;
        let new = self.spool.read(segment, current.end, to)?;
        current.digest.feed(&new);
        let facts = current.reader.as_mut().map(|reader| {
            reader.feed(&new);
            let lost_from = lost_from.map(|lsn| lsn.to_string());
            SegmentFacts { lost_from, ..reader.facts() }.to_bytes()
        });
        let (from, size, kept) = merged(&current.pieces, current.end);
        let content = if from == current.end { new } else { self.spool.read(segment, from, to)? };
        let offset = |offset: u64| u32::try_from(offset).ok();
        let name = offset(from)
            .zip(offset(to))
            .and_then(|(from, to)| WalName::piece(&WalName::parse(&segment.to_string())?, from, to));
        let name = name.ok_or_else(|| no_name(segment))?;
        let facts = facts.unwrap_or_default();
        self.insist(|| {
            self.archive.put_piece(&name, &content, &current.digest, &facts, self.compression_level)
        })?;
        self.job.progress.advance(content.len() as u64);
        let replaced = current.pieces.split_off(kept);
        self.delete(replaced.into_iter().map(|piece| piece.name).collect());
        current.pieces.push(Piece { name, from, size });
        current.end = to;
        Ok(())
    }

    /// Does it again while the storage fails.
    fn insist<T>(&self, put: impl Fn() -> Result<T, RepoError>) -> Result<T, OpsError> {
        let [mut pause, longest] = PAUSES;
        loop {
            let error = match put() {
                Err(error @ RepoError::Store(_)) => error,
                other => return Ok(other?),
            };
            self.job.progress.warn(&format!(
                "the WAL waits in the spool, and is tried again in {} s: {}",
                pause.as_secs_f32(),
                with_causes(&error)
            ));
            self.job.cancel.sleep(pause).map_err(|_| OpsError::Cancelled)?;
            pause = (pause * 2).min(longest);
        }
    }

    fn delete(&self, pieces: Vec<WalName>) {
        if pieces.is_empty() {
            return;
        }
        match self.trash.try_send(pieces) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(pieces)) => {
                self.job
                    .progress
                    .detail(&format!("{} pieces stay: too many wait to be deleted", pieces.len()));
            }
        }
    }
}

/// Where the next piece begins, of which size it is, and how many of those before it stay.
fn merged(pieces: &[Piece], end: u64) -> (u64, u32, usize) {
    let (mut from, mut size, mut kept) = (end, 0, pieces.len());
    loop {
        let same = pieces[..kept].iter().rev().take_while(|piece| piece.size == size).count();
        if same < MERGED {
            return (from, size, kept);
        }
        kept -= same;
        from = pieces[kept].from;
        size += 1;
    }
}

/// Deletes pieces that mean nothing any more, until no more come.
pub(super) fn delete(archive: &WalArchive<'_>, trash: &Receiver<Vec<WalName>>, job: &Job) {
    for pieces in trash {
        if let Err(error) = archive.delete_pieces(&pieces) {
            job.progress.detail(&format!("{} pieces of WAL stay: {}", pieces.len(), with_causes(&error)));
        }
    }
}

fn name_of(segment: SegmentName) -> Result<WalName, OpsError> {
    WalName::parse(&segment.to_string()).ok_or_else(|| no_name(segment))
}

fn no_name(segment: SegmentName) -> OpsError {
    OpsError::refused(format!("name a part of {segment}"), "this is a defect of pgark")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many pieces are put: few stay, they are without a gap, and each byte was put a few
    /// times.
    #[test]
    fn few_pieces_stay() {
        let mut pieces: Vec<Piece> = Vec::new();
        let segment = WalName::parse("000000010000000000000001").unwrap();
        let (mut end, mut put) = (0, 0);
        for _ in 0..40_000 {
            let (from, size, kept) = merged(&pieces, end);
            pieces.truncate(kept);
            let to = end + 100;
            assert!(kept > 0 || from == 0);
            let name = WalName::piece(&segment, from as u32, to as u32).unwrap();
            pieces.push(Piece { name, from, size });
            (end, put) = (to, put + to - from);
            assert!(pieces.len() <= 4 * MERGED, "{}", pieces.len());
        }
        let ends: Vec<u32> = pieces.iter().map(|piece| piece.name.piece_of().unwrap().2).collect();
        let froms: Vec<u32> = pieces.iter().map(|piece| piece.from as u32).collect();
        assert_eq!(froms[0], 0);
        assert_eq!(froms[1..], ends[..ends.len() - 1]);
        assert_eq!(*ends.last().unwrap() as u64, end);
        assert!(put <= 4 * end, "{put} bytes for {end}");
    }
}
