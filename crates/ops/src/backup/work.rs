//! Copies every table's rows: one queue, largest first, taken by workers that share the lead's snapshot.
//!
//! A worker holds a short transaction per item: it imports the snapshot, locks NOWAIT, copies, commits, so that its locks
//! never pile up. What cannot be locked goes to the lead (see `backup`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use pgark_bytes::archive::TocEntry;
use pgark_bytes::sql::quote_ident_bytes;
use pgark_pg::{Connection, CopyEvent};
use pgark_repo::{BackupWriter, Class, Cut, NewEntry, StreamRef, StreamSummary, StreamWriter};

use super::catalog::{Catalog, Table, TableName};
use super::lead::{self, Lead};
use super::tap::Tapped;
use super::watch::Watch;
use super::{Report, Request, large_objects};
use crate::error::Doing;
use crate::record::Note;
use crate::{Job, OpsError, paths};

/// A part's rows at most (TRAPS 9): one stream is cut into successive parts.
const ROWS_PER_PART: u64 = 500_000;
/// Heap pages of one ctid range at most: 32 MiB. With 64 MiB the last ranges left connections idle for longer.
const PAGES_PER_RANGE: u64 = 4096;
/// Main fork and TOAST of one range, about.
const BYTES_PER_RANGE: u64 = 32 << 20;
/// Tables smaller than this are copied many to a round trip.
const TINY_BYTES: u64 = 256 << 10;
/// Tables in one such batch at most.
const BATCH_TABLES: usize = 50;
/// Large objects in one item.
const OBJECTS_PER_ITEM: usize = 1000;

/// A table whose rows the archive promises.
struct Source {
    dump_id: i32,
    /// For people and paths.
    name: TableName,
    /// `"s"."t"` in the database's encoding.
    relation: Vec<u8>,
    /// `a, b` in the database's encoding; empty for a table without columns.
    columns: Vec<u8>,
    /// `WHERE …` of an extension's configuration table.
    condition: Option<String>,
    bytes: u64,
    /// First page of each ctid range; empty: copied whole.
    ranges: Vec<u64>,
}

/// One thing for one worker.
enum Work {
    Range { source: usize, range: usize },
    Whole { source: usize },
    Batch(Vec<usize>),
    LargeObjects { first: u32, last: u32, number: usize },
}

/// What one COPY gave.
struct Copy {
    summaries: Vec<StreamSummary>,
    rows: u64,
}

/// The copied data of the database, before it becomes entries.
pub(crate) struct Copied {
    pub tables: Vec<CopiedTable>,
    pub large_objects: u64,
    object_parts: Vec<StreamSummary>,
}

pub(crate) struct CopiedTable {
    pub rows: u64,
    dump_id: i32,
    name: TableName,
    parts: Vec<StreamSummary>,
}

impl Copied {
    /// Call after `settle`: only then are the added bytes known.
    pub(crate) fn into_entries(self, database: &str) -> Vec<NewEntry> {
        let mut entries: Vec<NewEntry> = self
            .tables
            .into_iter()
            .map(|table| {
                let note = Note::Table {
                    database: database.to_string(),
                    dump_id: table.dump_id,
                    rows: table.rows,
                    schema: String::from_utf8_lossy(&table.name.schema).into_owned(),
                    name: String::from_utf8_lossy(&table.name.name).into_owned(),
                };
                let path = paths::table(database, &table.name.schema, &table.name.name);
                entry(path, table.parts, &note)
            })
            .collect();
        if self.large_objects > 0 {
            let note = Note::LargeObjects { database: database.to_string(), objects: self.large_objects };
            entries.push(entry(paths::large_objects(database), self.object_parts, &note));
        }
        entries
    }
}

fn entry(path: String, parts: Vec<StreamSummary>, note: &Note) -> NewEntry {
    NewEntry {
        path,
        class: Class::Data,
        bytes_raw: parts.iter().map(|part| part.bytes_raw).sum(),
        bytes_added: parts.iter().map(StreamSummary::bytes_added).sum(),
        parts: parts.into_iter().map(|part| part.stream).collect::<Vec<StreamRef>>(),
        about: note.to_bytes(),
    }
}

/// What the workers share.
struct Shared<'a> {
    writer: &'a BackupWriter<'a>,
    sources: &'a [Source],
    queue: Mutex<VecDeque<Work>>,
    /// Per source and range.
    done: Mutex<Vec<Vec<Option<Copy>>>>,
    objects: Mutex<ObjectParts>,
    lost: Mutex<Vec<(String, String)>>,
    /// Set by the first failure: the others stop at the next row.
    stop: AtomicBool,
    job: &'a Job,
    keep_going: bool,
    bytes: AtomicU64,
}

/// Copies all tables and large objects that the archive's table of contents promises.
#[allow(clippy::too_many_arguments)]
pub(crate) fn copy_all(
    writer: &BackupWriter<'_>,
    lead: &mut Lead,
    catalog: &Catalog,
    tapped: &Tapped,
    request: &Request,
    job: &Job,
    watch: &Watch,
    report: &mut Report,
) -> Result<Copied, OpsError> {
    let sources = sources(catalog, tapped, lead)?;
    let objects = large_objects::list(lead, &tapped.archive)?;
    job.progress.phase("copy tables");
    job.progress.total_bytes(sources.iter().map(|source| source.bytes).sum());
    let shared = Shared {
        writer,
        queue: Mutex::new(queue(&sources, &objects)),
        done: Mutex::new(sources.iter().map(|source| vacant(source.ranges.len().max(1))).collect()),
        objects: Mutex::new((0..objects.len().div_ceil(OBJECTS_PER_ITEM)).map(|_| None).collect()),
        sources: &sources,
        lost: Mutex::new(Vec::new()),
        stop: AtomicBool::new(false),
        job,
        keep_going: request.keep_going,
        bytes: AtomicU64::new(0),
    };
    run_workers(&shared, lead, request, watch).map_err(|error| lead.cause_of(error))?;
    for (object, why) in take(&shared.lost).drain(..) {
        report.lost(&object, &why);
    }
    collect(shared)
}

/// The large objects of each item: its streams and how many objects they hold.
type ObjectParts = Vec<Option<(Vec<StreamSummary>, u64)>>;

fn vacant(ranges: usize) -> Vec<Option<Copy>> {
    (0..ranges).map(|_| None).collect()
}

fn take<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// Every TABLE DATA entry with its relation, columns and ranges.
fn sources(catalog: &Catalog, tapped: &Tapped, lead: &Lead) -> Result<Vec<Source>, OpsError> {
    let mut found = Vec::new();
    for toc in tapped.archive.entries.iter().filter(|toc| toc.kind() == "TABLE DATA" && toc.had_dumper) {
        let table = catalog.table(toc.oid).ok_or_else(|| {
            lead::stale(format!("pg_dump found table {}, which the catalog does not hold", toc.tag_str()))
        })?;
        found.push(Source {
            dump_id: toc.dump_id,
            name: table.name.clone(),
            relation: relation(toc),
            columns: columns(toc),
            condition: table.extension_condition.clone().filter(|condition| !condition.trim().is_empty()),
            bytes: table.bytes,
            ranges: ranges(table, lead.server_version),
        });
    }
    Ok(found)
}

/// `"s"."t"` from the entry's own names: the COPY statement may name a partition's root instead.
fn relation(toc: &TocEntry) -> Vec<u8> {
    let mut name = quote_ident_bytes(toc.namespace.as_deref().unwrap_or_default());
    name.push(b'.');
    name.extend(quote_ident_bytes(toc.tag_bytes()));
    name
}

/// The column list of `COPY s.t (a, "b)") FROM stdin;`, without its parentheses.
fn columns(toc: &TocEntry) -> Vec<u8> {
    let statement = toc.copy_stmt.as_deref().unwrap_or_default();
    let mut in_quotes = false;
    let mut start = None;
    for (at, byte) in statement.iter().enumerate() {
        match byte {
            b'"' => in_quotes = !in_quotes,
            b'(' if !in_quotes && start.is_none() => start = Some(at + 1),
            b')' if !in_quotes => {
                return start.map(|start| statement[start..at].to_vec()).unwrap_or_default();
            }
            _ => {}
        }
    }
    Vec::new()
}

/// First pages of the ranges of a big heap. Tid range scans exist from PostgreSQL 14; a range holds about 64 MiB of heap
/// and TOAST, in powers of two of pages, so that the ranges of a growing table stay where they are.
fn ranges(table: &Table, server_version: i32) -> Vec<u64> {
    if server_version < 140_000 || !table.is_heap || table.kind != 'r' || table.extension_condition.is_some()
    {
        return Vec::new();
    }
    let mut pages = PAGES_PER_RANGE;
    while pages > 64 && table.heap_pages > 0 && table.bytes / table.heap_pages * pages > BYTES_PER_RANGE * 2 {
        pages /= 2;
    }
    if table.heap_pages <= pages + pages / 2 {
        return Vec::new();
    }
    (0..table.heap_pages).step_by(usize::try_from(pages).unwrap_or(usize::MAX)).collect()
}

/// All work, largest first; the tiny tables in batches at the end.
fn queue(sources: &[Source], objects: &[u32]) -> VecDeque<Work> {
    let mut big: Vec<(u64, Work)> = Vec::new();
    let mut tiny = Vec::new();
    for (at, source) in sources.iter().enumerate() {
        if !source.ranges.is_empty() {
            // Ranges weigh as their whole table: the table that bounds the run goes first.
            big.extend(
                (0..source.ranges.len()).map(|range| (source.bytes, Work::Range { source: at, range })),
            );
        } else if source.bytes >= TINY_BYTES || source.condition.is_some() {
            big.push((source.bytes, Work::Whole { source: at }));
        } else {
            tiny.push(at);
        }
    }
    for (number, batch) in objects.chunks(OBJECTS_PER_ITEM).enumerate() {
        if let (Some(first), Some(last)) = (batch.first(), batch.last()) {
            big.push((BYTES_PER_RANGE, Work::LargeObjects { first: *first, last: *last, number }));
        }
    }
    big.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    let mut queue: VecDeque<Work> = big.into_iter().map(|(_, work)| work).collect();
    queue.extend(tiny.chunks(BATCH_TABLES).map(|batch| Work::Batch(batch.to_vec())));
    queue
}

/// Starts the workers; the lead copies what they could not lock, until the last of them ended.
fn run_workers(
    shared: &Shared<'_>,
    lead: &mut Lead,
    request: &Request,
    watch: &Watch,
) -> Result<(), OpsError> {
    let pinned = request.conninfo.for_host_of(&lead.connection);
    let (contended, to_lead) = mpsc::channel::<Work>();
    let (snapshot, encoding) = (lead.snapshot.clone(), lead.encoding.clone());
    let workers = request.jobs.max(1).min(take(&shared.queue).len().max(1));
    thread::scope(|scope| {
        let mut handles = Vec::new();
        for _ in 0..workers {
            let contended = contended.clone();
            let (pinned, snapshot, encoding) = (&pinned, &snapshot, &encoding);
            handles.push(scope.spawn(move || {
                let result = lead::connect_reader(pinned, encoding, watch)
                    .and_then(|mut connection| work_off(shared, &mut connection, snapshot, &contended));
                if result.is_err() {
                    shared.stop.store(true, Ordering::Release);
                }
                result
            }));
        }
        drop(contended);
        let mut result = copy_contended(shared, lead, &to_lead);
        if result.is_err() {
            shared.stop.store(true, Ordering::Release);
        }
        for handle in handles {
            let ended = handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // The first real cause wins over the `Cancelled` of those that were stopped because of it.
            if ended.is_err() && result.as_ref().map_or_else(OpsError::is_cancelled, |()| true) {
                result = ended;
            }
        }
        result
    })
}

fn work_off(
    shared: &Shared<'_>,
    connection: &mut Connection,
    snapshot: &str,
    contended: &mpsc::Sender<Work>,
) -> Result<(), OpsError> {
    loop {
        if shared.stop.load(Ordering::Acquire) || shared.job.cancel.is_cancelled() {
            return Err(OpsError::Cancelled);
        }
        let Some(work) = take(&shared.queue).pop_front() else { return Ok(()) };
        let begin =
            format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{snapshot}'");
        connection.execute(&begin).doing("import the backup's snapshot")?;
        match lock_nowait(shared, connection, &work) {
            Ok(()) => copy(shared, connection, work, true)?,
            Err(error) if error.sqlstate() == Some("55P03") => match work {
                // One of the batch is contended: find out which.
                Work::Batch(batch) if batch.len() > 1 => {
                    take(&shared.queue).extend(batch.into_iter().map(|source| Work::Whole { source }));
                }
                work => {
                    // The lead receives until every worker ended: this send cannot fail.
                    let _ = contended.send(work);
                }
            },
            Err(error) => shared.table_failed(&work, error)?,
        }
        connection.execute("COMMIT").doing("end a worker's transaction")?;
    }
}

/// The lead holds the locks already, so its COPY waits for nobody. Where pg_dump holds them instead, the wait is bounded.
fn copy_contended(
    shared: &Shared<'_>,
    lead: &mut Lead,
    to_lead: &mpsc::Receiver<Work>,
) -> Result<(), OpsError> {
    let mut prepared = false;
    for work in to_lead {
        if shared.stop.load(Ordering::Acquire) {
            return Err(OpsError::Cancelled);
        }
        if !prepared {
            lead.use_own_encoding()?;
            prepared = true;
        }
        copy(shared, &mut lead.connection, work, false)?;
    }
    Ok(())
}

fn lock_nowait(shared: &Shared<'_>, connection: &mut Connection, work: &Work) -> Result<(), OpsError> {
    let mut sql = b"LOCK TABLE ".to_vec();
    let names: Vec<Vec<u8>> = work
        .sources()
        .iter()
        .filter_map(|at| shared.sources.get(*at))
        .map(|source| [b"ONLY ".as_slice(), &source.relation].concat())
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    sql.extend(names.join(b", ".as_slice()));
    sql.extend_from_slice(b" IN ACCESS SHARE MODE NOWAIT");
    connection.simple_bytes(&sql).map(|_| ()).doing("lock a table")
}

/// Copies one item. A worker may retry: a failed batch is split so that the failing table is named; the lead may not.
fn copy(
    shared: &Shared<'_>,
    connection: &mut Connection,
    work: Work,
    may_retry: bool,
) -> Result<(), OpsError> {
    let result = match &work {
        Work::Range { source, range } => copy_one(shared, connection, *source, *range),
        Work::Whole { source } => copy_one(shared, connection, *source, 0),
        Work::Batch(batch) if batch.len() == 1 || !may_retry => {
            batch.iter().try_for_each(|source| copy_one(shared, connection, *source, 0))
        }
        Work::Batch(batch) => copy_batch(shared, connection, batch),
        Work::LargeObjects { first, last, number } => {
            let mut stream = shared.writer.stream(Class::Data, Cut::Content);
            large_objects::copy(connection, *first, *last, &mut |frame| {
                shared.check_stop()?;
                shared.told(frame.len());
                Ok(stream.write(frame)?)
            })
            .and_then(|objects| {
                let summary = stream.finish()?;
                if let Some(place) = take(&shared.objects).get_mut(*number) {
                    *place = Some((vec![summary], objects));
                }
                Ok(())
            })
        }
    };
    match (result, work) {
        (Ok(()), _) => Ok(()),
        (Err(error), work) if shared.job.cancel.is_cancelled() || error.sqlstate().is_none() => {
            Err(shared.named(&work, error))
        }
        // The lead's transaction holds the locks and the snapshot: it cannot be rolled back and gone on with.
        (Err(error), work) if !may_retry => Err(shared.named(&work, error)),
        (Err(_), Work::Batch(batch)) if batch.len() > 1 => {
            take(&shared.queue).extend(batch.into_iter().map(|source| Work::Whole { source }));
            connection.execute("ROLLBACK; BEGIN").doing("leave a failed batch")
        }
        (Err(error), work) => {
            shared.table_failed(&work, error)?;
            connection.execute("ROLLBACK; BEGIN").doing("leave a failed copy")
        }
    }
}

fn copy_one(
    shared: &Shared<'_>,
    connection: &mut Connection,
    at: usize,
    range: usize,
) -> Result<(), OpsError> {
    let Some(source) = shared.sources.get(at) else { return Ok(()) };
    let sql = source.copy_statement(range);
    shared.job.progress.object_started(&source.name.to_string());
    let mut parts = Parts::new(shared);
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
    shared.job.progress.object_done(&source.name.to_string());
    result?;
    shared.keep(at, range, parts.finish(rows)?);
    Ok(())
}

fn copy_batch(shared: &Shared<'_>, connection: &mut Connection, batch: &[usize]) -> Result<(), OpsError> {
    let mut sql = Vec::new();
    for source in batch.iter().filter_map(|at| shared.sources.get(*at)) {
        sql.extend(source.copy_statement(0));
        sql.push(b';');
    }
    let mut open: Option<Parts<'_>> = None;
    let mut number = 0;
    connection.copy_out_many::<OpsError>(&sql, &mut |event| {
        match event {
            CopyEvent::Begin(at) => {
                number = at;
                open = Some(Parts::new(shared));
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
                    shared.keep(*at, 0, parts.finish(rows)?);
                }
            }
        }
        Ok(())
    })
}

/// One COPY's bytes, cut into successive streams of at most [`ROWS_PER_PART`] rows.
struct Parts<'s> {
    shared: &'s Shared<'s>,
    open: StreamWriter<'s>,
    /// Bytes that progress has not heard of.
    untold: usize,
    rows_in_open: u64,
    rows: u64,
    finished: Vec<StreamSummary>,
}

impl<'s> Parts<'s> {
    /// Rows are few bytes: what costs more than a row is done once for this many of them.
    const STEP: usize = 64 << 10;

    fn new(shared: &'s Shared<'s>) -> Parts<'s> {
        Parts {
            shared,
            open: shared.writer.stream(Class::Data, Cut::Rows),
            untold: 0,
            rows_in_open: 0,
            rows: 0,
            finished: Vec::new(),
        }
    }

    /// One row: "messages sent from the backend will always correspond to single data rows" (PostgreSQL documentation,
    /// Message Formats, CopyData).
    /// `ends`: it is a row's last piece.
    #[inline]
    fn write(&mut self, row: &[u8], ends: bool) -> Result<(), OpsError> {
        self.open.write(row)?;
        self.untold += row.len();
        if self.untold >= Self::STEP {
            self.tell()?;
        }
        if !ends {
            return Ok(());
        }
        self.rows_in_open += 1;
        self.rows += 1;
        if self.rows_in_open == ROWS_PER_PART {
            let full = std::mem::replace(&mut self.open, self.shared.writer.stream(Class::Data, Cut::Rows));
            self.finished.push(full.finish()?);
            self.rows_in_open = 0;
        }
        Ok(())
    }

    fn tell(&mut self) -> Result<(), OpsError> {
        self.shared.check_stop()?;
        self.shared.told(self.untold);
        self.untold = 0;
        Ok(())
    }

    /// `rows` is the server's own count: a difference means that bytes were lost on the way.
    fn finish(mut self, rows: u64) -> Result<Copy, OpsError> {
        if rows != self.rows {
            return Err(OpsError::refused(
                format!("the server counts {rows} rows, {} arrived", self.rows),
                "this is a defect of pgark; please report it",
            ));
        }
        self.tell()?;
        if self.rows_in_open > 0 || self.finished.is_empty() {
            self.finished.push(self.open.finish()?);
        }
        Ok(Copy { summaries: self.finished, rows })
    }
}

impl Work {
    fn sources(&self) -> Vec<usize> {
        match self {
            Work::Range { source, .. } | Work::Whole { source } => vec![*source],
            Work::Batch(batch) => batch.clone(),
            Work::LargeObjects { .. } => Vec::new(),
        }
    }
}

impl Source {
    /// Plain `COPY t` for whole tables: it locks the table alone, a query locks its indexes too.
    fn copy_statement(&self, range: usize) -> Vec<u8> {
        let mut sql = b"COPY ".to_vec();
        let filter = match (&self.condition, self.ranges.get(range)) {
            (Some(condition), _) => Some(format!(" {condition}")),
            (None, Some(first)) => {
                let mut filter = format!(" WHERE ctid >= '({first},0)'::pg_catalog.tid");
                // The last range is open: the table may have grown, and rows beyond are not visible anyway.
                if let Some(end) = self.ranges.get(range + 1) {
                    filter.push_str(&format!(" AND ctid < '({end},0)'::pg_catalog.tid"));
                }
                Some(filter)
            }
            (None, None) => None,
        };
        if let Some(filter) = filter {
            sql.extend_from_slice(b"(SELECT ");
            sql.extend_from_slice(&self.columns);
            // ONLY: a query would return the rows of inheritance children, which have entries of their own (TRAPS 3).
            sql.extend_from_slice(b" FROM ONLY ");
            sql.extend_from_slice(&self.relation);
            sql.extend_from_slice(filter.as_bytes());
            sql.push(b')');
        } else {
            sql.extend_from_slice(&self.relation);
            if !self.columns.is_empty() {
                sql.extend_from_slice(b" (");
                sql.extend_from_slice(&self.columns);
                sql.push(b')');
            }
        }
        sql.extend_from_slice(b" TO STDOUT");
        sql
    }
}

impl Shared<'_> {
    fn check_stop(&self) -> Result<(), OpsError> {
        if self.stop.load(Ordering::Relaxed) || self.job.cancel.is_cancelled() {
            return Err(OpsError::Cancelled);
        }
        Ok(())
    }

    /// Progress in steps of at least 1 MiB: one call per row would cost more than the row.
    fn told(&self, bytes: usize) {
        const STEP: u64 = 1 << 20;
        let bytes = bytes as u64;
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let steps = (before + bytes) / STEP - before / STEP;
        if steps > 0 {
            self.job.progress.advance(steps * STEP);
        }
    }

    fn keep(&self, source: usize, range: usize, copy: Copy) {
        if let Some(place) = take(&self.done).get_mut(source).and_then(|ranges| ranges.get_mut(range)) {
            *place = Some(copy);
        }
    }

    fn named(&self, work: &Work, error: OpsError) -> OpsError {
        if error.is_cancelled() {
            return error;
        }
        let name = match (work, work.sources().first().and_then(|at| self.sources.get(*at))) {
            (Work::Batch(batch), Some(first)) if batch.len() > 1 => {
                format!("table {} or one of the {} small ones copied with it", first.name, batch.len() - 1)
            }
            (_, Some(source)) => format!("table {}", source.name),
            (_, None) => "the large objects".to_string(),
        };
        OpsError::Table { table: name, source: Box::new(error) }
    }

    fn table_failed(&self, work: &Work, error: OpsError) -> Result<(), OpsError> {
        let error = self.named(work, error);
        if !self.keep_going {
            return Err(error);
        }
        if let OpsError::Table { table, source } = &error {
            let cause = std::error::Error::source(source.as_ref())
                .map_or_else(|| source.to_string(), |cause| format!("{source}: {cause}"));
            take(&self.lost).push((table.clone(), cause));
        }
        Ok(())
    }
}

/// The finished copies as tables; a table with a missing range is not a table.
fn collect(shared: Shared<'_>) -> Result<Copied, OpsError> {
    let done = shared.done.into_inner().unwrap_or_else(|poison| poison.into_inner());
    let mut tables = Vec::with_capacity(done.len());
    for (source, copies) in shared.sources.iter().zip(done) {
        if copies.iter().any(Option::is_none) {
            continue;
        }
        let mut table =
            CopiedTable { rows: 0, dump_id: source.dump_id, name: source.name.clone(), parts: Vec::new() };
        for copy in copies.into_iter().flatten() {
            table.rows += copy.rows;
            table.parts.extend(copy.summaries);
        }
        tables.push(table);
    }
    let lost = shared.lost.into_inner().unwrap_or_else(|poison| poison.into_inner());
    if tables.len() < shared.sources.len() && lost.is_empty() && !shared.keep_going {
        return Err(OpsError::refused(
            "a table was not copied",
            "this is a defect of pgark; please report it",
        ));
    }
    let mut large_objects = 0;
    let mut object_parts = Vec::new();
    for (parts, objects) in
        shared.objects.into_inner().unwrap_or_else(|poison| poison.into_inner()).into_iter().flatten()
    {
        large_objects += objects;
        object_parts.extend(parts);
    }
    Ok(Copied { tables, large_objects, object_parts })
}

#[cfg(test)]
mod tests {
    use super::{Source, ranges};
    use crate::backup::catalog::{Table, TableName};

    fn source(ranges: Vec<u64>, condition: Option<&str>, columns: &str) -> Source {
        Source {
            dump_id: 1,
            name: TableName { schema: b"s".to_vec(), name: b"t".to_vec() },
            relation: b"\"s\".\"t\"".to_vec(),
            columns: columns.as_bytes().to_vec(),
            condition: condition.map(str::to_string),
            bytes: 0,
            ranges,
        }
    }

    fn text(source: &Source, range: usize) -> String {
        String::from_utf8(source.copy_statement(range)).unwrap()
    }

    #[test]
    fn whole_tables_are_copied_plainly() {
        assert_eq!(text(&source(vec![], None, "a, b"), 0), "COPY \"s\".\"t\" (a, b) TO STDOUT");
        assert_eq!(text(&source(vec![], None, ""), 0), "COPY \"s\".\"t\" TO STDOUT");
    }

    #[test]
    fn the_last_range_is_open() {
        let source = source(vec![0, 8192], None, "a");
        assert_eq!(
            text(&source, 0),
            "COPY (SELECT a FROM ONLY \"s\".\"t\" WHERE ctid >= '(0,0)'::pg_catalog.tid \
             AND ctid < '(8192,0)'::pg_catalog.tid) TO STDOUT"
        );
        assert!(text(&source, 1).ends_with("WHERE ctid >= '(8192,0)'::pg_catalog.tid) TO STDOUT"));
    }

    #[test]
    fn configuration_tables_keep_their_condition() {
        let source = source(vec![], Some("WHERE NOT builtin"), "a");
        assert_eq!(text(&source, 0), "COPY (SELECT a FROM ONLY \"s\".\"t\" WHERE NOT builtin) TO STDOUT");
    }

    #[test]
    fn ranges_need_a_heap_and_version_14() {
        let table = Table::for_tests(100_000, 100_000 * 8192);
        assert_eq!(ranges(&table, 150_000).len(), 25);
        assert!(ranges(&table, 130_000).is_empty());
        let toasted = Table::for_tests(1_000, 10 << 30);
        assert!(ranges(&toasted, 150_000).len() > 5, "TOAST counts: {:?}", ranges(&toasted, 150_000));
    }
}
