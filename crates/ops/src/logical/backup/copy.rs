//! Copies one piece of work over one connection, straight into the repository.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pgark_pg::{Connection, CopyEvent};
use pgark_repo::{Class, Cut};

use super::destination::{Destination, DestinationRows, InEach, MaskedRows};
use super::large_objects::{self, Content};
use super::mapping::RowMapping;
use super::masking::{DatabasePlan, KeyNumbers, RowMasker};
use super::work::{Copying, Source, Work};
use crate::error::{Doing, with_causes};
use crate::facts::Missing;
use crate::lock::lock;
use crate::logical::rowmap::StoredCopy;
use crate::{Job, OpsError};

/// How a piece of work ended that did not fail.
pub(super) enum Fate {
    /// Copied, or named as missing.
    Done,
    /// Not copied; to be done as these smaller pieces.
    Again(Vec<Work>),
    /// Not copied: only the lead, which holds the lock, gets past the DDL that queues behind it.
    ForLead(Work),
}

/// What copying needs in addition to a connection and the work.
pub(super) struct Copier<'a> {
    pub destination: &'a Destination<'a>,
    pub job: &'a Job,
    /// What cannot be read is named, and the rest goes on.
    pub keep_going: bool,
    /// Everything ends.
    stopped: AtomicBool,
    bytes: AtomicU64,
}

impl<'a> Copier<'a> {
    pub(super) fn new(destination: &'a Destination<'a>, job: &'a Job, keep_going: bool) -> Copier<'a> {
        let (stopped, bytes) = (AtomicBool::new(false), AtomicU64::new(0));
        Copier { destination, job, keep_going, stopped, bytes }
    }

    /// Ends everything: what is running stops at the next row.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Whether work is to go on.
    pub(super) fn check(&self) -> Result<(), OpsError> {
        if self.stopped.load(Ordering::Relaxed) || self.job.cancel.is_cancelled() {
            return Err(OpsError::Cancelled);
        }
        Ok(())
    }

    /// Whether work on this database is to go on.
    pub(super) fn check_stop(&self, of: &Copying) -> Result<(), OpsError> {
        if of.stop.load(Ordering::Relaxed) {
            return Err(OpsError::Cancelled);
        }
        self.check()
    }

    /// Progress in steps of at least 1 MiB: one call per row would cost more than the row.
    pub(super) fn told(&self, bytes: usize) {
        const STEP: u64 = 1 << 20;
        let bytes = bytes as u64;
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let steps = (before + bytes) / STEP - before / STEP;
        if steps > 0 {
            self.job.progress.advance(steps * STEP);
        }
    }
}

/// Copies in a worker's transaction. Locks come first, NOWAIT: waiting behind DDL that waits for
/// the lead's lock would be a deadlock that the server cannot see (trap 1).
pub(super) fn by_worker(
    copier: &Copier<'_>,
    of: &Copying,
    connection: &mut Connection,
    work: Work,
) -> Result<Fate, OpsError> {
    match lock_nowait(of, connection, &work) {
        Ok(()) => {}
        Err(error) if error.sqlstate() == Some("55P03") => {
            return Ok(match work {
                // One of the batch is contended: find out which.
                Work::Batch(batch) if batch.len() > 1 => Fate::Again(one_by_one(batch)),
                work => Fate::ForLead(work),
            });
        }
        Err(error) if error.is_refusal() => return refused(copier, of, work, error),
        Err(error) => return failed(copier, of, &work, error),
    }
    let Err(error) = copy(copier, of, connection, &work, true) else { return Ok(Fate::Done) };
    if copier.job.cancel.is_cancelled() || error.sqlstate().is_none() {
        return Err(of.named(&work, error));
    }
    if connection.execute("ROLLBACK; BEGIN").is_err() {
        // The connection is gone, and the error says why.
        return Err(of.named(&work, error));
    }
    refused(copier, of, work, error)
}

/// Copies over the lead connection: its transaction holds the locks and the snapshot, and cannot be
/// rolled back and gone on with. Where pg_dump holds the locks instead, the wait is bounded.
pub(super) fn by_lead(
    copier: &Copier<'_>,
    of: &Copying,
    connection: &mut Connection,
    work: Work,
) -> Result<Fate, OpsError> {
    copier.check_stop(of)?;
    match copy(copier, of, connection, &work, false) {
        Ok(()) => Ok(Fate::Done),
        Err(error) => Err(of.named(&work, error)),
    }
}

/// Copies over the lead connection, which is there anyway, what a small database has, and what no
/// worker has a connection for. What the server refuses is undone, tried again table by table, and
/// then named.
pub(super) fn tried_by_lead(
    copier: &Copier<'_>,
    of: &Copying,
    connection: &mut Connection,
    work: Work,
) -> Result<Fate, OpsError> {
    copier.check_stop(of)?;
    let result = connection
        .execute("SAVEPOINT pgark")
        .doing("set a savepoint")
        .and_then(|()| copy(copier, of, connection, &work, true));
    let Err(error) = result else { return Ok(Fate::Done) };
    let is_over = copier.job.cancel.is_cancelled() || !error.is_refusal();
    if is_over || connection.execute("ROLLBACK TO SAVEPOINT pgark").is_err() {
        return Err(of.named(&work, error));
    }
    refused(copier, of, work, error)
}

/// The server refused it. Which table of a batch that was is found out by trying each alone.
fn refused(copier: &Copier<'_>, of: &Copying, work: Work, error: OpsError) -> Result<Fate, OpsError> {
    match work {
        Work::Batch(batch) if batch.len() > 1 => Ok(Fate::Again(one_by_one(batch))),
        work => failed(copier, of, &work, error),
    }
}

fn one_by_one(batch: Vec<usize>) -> Vec<Work> {
    batch.into_iter().map(|source| Work::Whole { source }).collect()
}

/// A table that cannot be read ends its database, or is named as missing if that was asked for.
fn failed(copier: &Copier<'_>, of: &Copying, work: &Work, error: OpsError) -> Result<Fate, OpsError> {
    if !copier.keep_going || error.is_cancelled() {
        return Err(of.named(work, error));
    }
    let reason = with_causes(&error);
    let mut lost = lock(&of.lost);
    match work {
        Work::LargeObjects { .. } => lost.push(Missing::large_objects(&of.database, None, reason)),
        _ => lost.extend(of.sources_of(work).map(|source| source.rows_missing(&of.database, reason.clone()))),
    }
    Ok(Fate::Done)
}

fn lock_nowait(of: &Copying, connection: &mut Connection, work: &Work) -> Result<(), OpsError> {
    let mut sql = b"LOCK TABLE ".to_vec();
    let names: Vec<Vec<u8>> = work
        .sources()
        .iter()
        .filter_map(|at| of.sources.get(*at))
        // A foreign table takes no lock.
        .filter(|source| !source.is_foreign)
        .map(|source| [b"ONLY ".as_slice(), &source.relation].concat())
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    sql.extend(names.join(b", ".as_slice()));
    sql.extend_from_slice(b" IN ACCESS SHARE MODE NOWAIT");
    connection.simple_bytes(&sql).map(|_| ()).doing("lock a table")
}

/// `may_batch`: several tables may go in one round trip; their errors then do not tell which of
/// them it was.
fn copy(
    copier: &Copier<'_>,
    of: &Copying,
    connection: &mut Connection,
    work: &Work,
    may_batch: bool,
) -> Result<(), OpsError> {
    copy_unshown(copier, of, connection, work, may_batch).map_err(|error| of.showable(error))
}

fn copy_unshown(
    copier: &Copier<'_>,
    of: &Copying,
    connection: &mut Connection,
    work: &Work,
    may_batch: bool,
) -> Result<(), OpsError> {
    match work {
        Work::Range { source, range } => copy_one(copier, of, connection, *source, *range),
        Work::Whole { source } => copy_one(copier, of, connection, *source, 0),
        Work::Batch(batch) if batch.len() == 1 || !may_batch => {
            batch.iter().try_for_each(|source| copy_one(copier, of, connection, *source, 0))
        }
        Work::Batch(batch) => copy_batch(copier, of, connection, batch),
        Work::LargeObjects { first, last, number } => {
            let mut stream = copier.destination.stream(Class::Data, Cut::Content);
            let is_emptied = of.masking.as_ref().is_some_and(DatabasePlan::empties_large_objects);
            let content = if is_emptied { Content::Empty } else { Content::Whole };
            let objects = large_objects::copy(
                connection,
                (*first, *last),
                &of.closed_objects,
                content,
                &mut |frame| {
                    copier.check_stop(of)?;
                    copier.told(frame.len());
                    stream.write(frame)
                },
            )?;
            of.keep_objects(*number, stream.finish()?, objects);
            Ok(())
        }
    }
}

fn copy_one(
    copier: &Copier<'_>,
    of: &Copying,
    connection: &mut Connection,
    at: usize,
    range: usize,
) -> Result<(), OpsError> {
    let Some(source) = of.sources.get(at) else { return Ok(()) };
    if source.is_foreign {
        // Closed by `Use::Read`, as pg_dump does where the server knows it; what was asked for is
        // opened, as pg_dump does.
        let open = "SELECT pg_catalog.set_config(name, 'view', true) FROM pg_catalog.pg_settings \
                    WHERE name = 'restrict_nonsystem_relation_kind'";
        connection.execute(open).doing("open foreign tables")?;
    }
    let sql = source.copy_statement(range);
    copier.job.progress.object_started(&of.shown(source));
    let mut parts = Parts::new(copier, of, source, range)?;
    let mut rows = 0;
    let result = connection.copy_out_many::<OpsError>(&sql, &mut |event| match event {
        CopyEvent::Data(row) => parts.write(row, true),
        CopyEvent::Piece(piece) => parts.write(piece, false),
        CopyEvent::End { rows: counted } => {
            rows = counted;
            Ok(())
        }
        CopyEvent::Begin(_) => Ok(()),
    });
    copier.job.progress.object_done(&of.shown(source));
    result?;
    let (copy, numbers) = parts.finish(rows)?;
    prove_later(of, numbers)?;
    of.keep(at, range, copy);
    Ok(())
}

fn copy_batch(
    copier: &Copier<'_>,
    of: &Copying,
    connection: &mut Connection,
    batch: &[usize],
) -> Result<(), OpsError> {
    let mut sql = Vec::new();
    for source in batch.iter().filter_map(|at| of.sources.get(*at)) {
        sql.extend(source.copy_statement(0));
        sql.push(b';');
    }
    let mut open: Option<Parts<'_>> = None;
    let mut number = 0;
    // A batch that fails is copied again, table by table: what its rows are to unique keys counts
    // once it is whole.
    let mut numbers: Vec<KeyNumbers> = Vec::new();
    connection.copy_out_many::<OpsError>(&sql, &mut |event| {
        match event {
            CopyEvent::Begin(at) => {
                number = at;
                let source = batch.get(at).and_then(|at| of.sources.get(*at));
                open = source.map(|source| Parts::new(copier, of, source, 0)).transpose()?;
            }
            CopyEvent::Data(row) => {
                if let Some(parts) = open.as_mut() {
                    parts.write(row, true)?;
                }
            }
            CopyEvent::Piece(piece) => {
                if let Some(parts) = open.as_mut() {
                    parts.write(piece, false)?;
                }
            }
            CopyEvent::End { rows } => {
                if let (Some(parts), Some(at)) = (open.take(), batch.get(number)) {
                    let (copy, own) = parts.finish(rows)?;
                    numbers.extend(own);
                    of.keep(*at, 0, copy);
                }
            }
        }
        Ok(())
    })?;
    prove_later(of, numbers)
}

/// What rows that are stored are to unique keys.
fn prove_later(of: &Copying, mut numbers: Vec<KeyNumbers>) -> Result<(), OpsError> {
    of.masking.as_ref().map_or(Ok(()), |masking| masking.add_to_proofs(&mut numbers))
}

/// One COPY's rows on their way into the repository.
struct Parts<'s> {
    copier: &'s Copier<'s>,
    of: &'s Copying,
    rows: Rows<'s>,
    /// Bytes that progress has not heard of.
    unreported: usize,
}

/// As they come, or masked.
enum Rows<'s> {
    Plain(DestinationRows<'s>),
    Masked { masker: Box<RowMasker<'s>>, rows: MaskedRows<'s> },
}

impl<'s> Parts<'s> {
    /// Rows are few bytes: what costs more than a row is done once for this many of them.
    const STEP: usize = 64 << 10;

    fn new(
        copier: &'s Copier<'s>,
        of: &'s Copying,
        source: &Source,
        range: usize,
    ) -> Result<Parts<'s>, OpsError> {
        let known = |maps: &RowMapping<'_>| of.rows(source, range, maps);
        let rows = match &of.masking {
            None => Rows::Plain(copier.destination.rows(known)?),
            Some(masking) => {
                let masker = Box::new(masking.masker(source.oid)?);
                Rows::Masked { masker, rows: copier.destination.masked_rows(known)? }
            }
        };
        Ok(Parts { copier, of, rows, unreported: 0 })
    }

    /// One row, or a piece of one; `ends`: the last.
    #[inline]
    fn write(&mut self, row: &[u8], ends: bool) -> Result<(), OpsError> {
        self.unreported += row.len();
        if self.unreported >= Self::STEP {
            self.tell()?;
        }
        match &mut self.rows {
            Rows::Plain(rows) => rows.write(row, ends),
            Rows::Masked { masker, rows } => masker.row(row, ends, &mut |masked| rows.write(masked)),
        }
    }

    fn tell(&mut self) -> Result<(), OpsError> {
        self.copier.check_stop(self.of)?;
        self.copier.told(self.unreported);
        self.unreported = 0;
        Ok(())
    }

    /// `rows` is the server's own count. Returns also what is to be proved of the last of them.
    fn finish(mut self, rows: u64) -> Result<(InEach<StoredCopy>, Vec<KeyNumbers>), OpsError> {
        self.tell()?;
        match self.rows {
            Rows::Plain(stored) => Ok((stored.finish(rows)?, Vec::new())),
            Rows::Masked { masker, rows: stored } => {
                let (dropped, numbers) = masker.finish();
                // What a condition left out was not to be stored.
                Ok((stored.finish(rows.saturating_sub(dropped))?, numbers))
            }
        }
    }
}
