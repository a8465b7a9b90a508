//! What there is to copy of one database: every table that the archive promises, as pieces of work,
//! and what came of them.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use pgark_bytes::copy_text::row_hash;
use pgark_bytes::names::shown;
use pgark_pg::ConnInfo;
use pgark_repo::{Class, PartSummary};

use super::catalog::{Catalog, Table, TableName};
use super::destination::{Destination, InEach};
use super::large_objects::{self, Listed};
use super::lead::Lead;
use super::mapping::RowMapping;
use super::masking::{self, DatabasePlan};
use super::tap::Tapped;
use super::toc_entry::{columns, relation};
use crate::advice::{Setting, advice};
use crate::cluster::Report;
use crate::facts::{MapsDone, Missing, Note};
use crate::lock::lock;
use crate::logical::rowmap::{Rows, StoredCopy, Way};
use crate::{OpsError, paths};

/// Heap pages of one ctid range at most: 32 MiB. With 64 MiB the last ranges left connections idle
/// for longer.
const PAGES_PER_RANGE: u64 = 4096;
/// Main fork and TOAST of one range, about.
const BYTES_PER_RANGE: u64 = 32 << 20;
/// Tables smaller than this are copied many to a round trip.
const TINY_BYTES: u64 = 256 << 10;
/// Tables in one such batch at most.
const BATCH_TABLES: usize = 50;
/// If there are others, a database of so many bytes at most is copied over its lead connection.
const SMALL_DATABASE: u64 = 16 << 20;
/// Large objects in one item.
const OBJECTS_PER_ITEM: usize = 1000;

/// A table whose rows the archive promises.
pub(super) struct Source {
    pub(super) oid: u32,
    /// For people and paths.
    pub(super) name: TableName,
    /// `"s"."t"` in the database's encoding.
    pub(super) relation: Vec<u8>,
    /// `a, b` in the database's encoding; empty for a table without columns.
    columns: Vec<u8>,
    /// `WHERE …` of an extension's configuration table.
    condition: Option<String>,
    /// Row-level security hides rows of it from the role: none are copied.
    hides_rows: bool,
    /// Its rows are on another server: they are read by a query, under no lock.
    pub(super) is_foreign: bool,
    /// Stored whole and salted.
    is_salted: bool,
    /// Whether its rows are updated or deleted, where that is known.
    changes: Option<bool>,
    bytes: u64,
    /// First page of each ctid range; empty: copied whole.
    ranges: Vec<u64>,
    /// What fixes the text of its rows: settings in the first half, columns in the second.
    identity: [u8; 16],
}

/// One thing for one worker.
pub(super) enum Work {
    Range { source: usize, range: usize },
    Whole { source: usize },
    Batch(Vec<usize>),
    LargeObjects { first: u32, last: u32, number: usize },
}

/// The copied data of a database, before it becomes entries.
pub(super) struct Copied {
    tables: Vec<CopiedTable>,
    large_objects: u64,
    object_parts: InEach<Vec<PartSummary>>,
}

struct CopiedTable {
    oid: u32,
    name: TableName,
    /// What its COPYs gave, in the order of its rows.
    sunk: InEach<Vec<StoredCopy>>,
}

/// What is known of the data of a database whose entries are written.
pub(super) struct Stored {
    pub(super) tables: Vec<StoredTable>,
    pub(super) large_objects: u64,
}

pub(super) struct StoredTable {
    pub(super) oid: u32,
    pub(super) rows: u64,
    pub(super) bytes_raw: u64,
    /// Of each part of its entry; none of salted ones.
    pub(super) digests: InEach<Vec<String>>,
}

impl Copied {
    /// Makes entries of it: its database is whole.
    pub(super) fn store(self, database: &str, destination: &Destination<'_>) -> Result<Stored, OpsError> {
        let tables = self.tables.into_iter().map(|table| table.store(database, destination));
        let tables = tables.collect::<Result<_, _>>()?;
        if self.large_objects > 0 {
            let note = Note::LargeObjects { database: database.to_string(), objects: self.large_objects };
            let mut entry = destination.entry(&paths::large_objects(database), Class::Data);
            entry.add(self.object_parts);
            entry.finish(InEach::same(note))?;
        }
        Ok(Stored { tables, large_objects: self.large_objects })
    }
}

impl CopiedTable {
    fn store(self, database: &str, destination: &Destination<'_>) -> Result<StoredTable, OpsError> {
        let path = paths::table(database, &self.name.schema, &self.name.name);
        let whole = self.sunk.map(|sunk| StoredCopy::joined(sunk));
        let (rows, bytes_raw) = (whole.main.rows, whole.main.parts.iter().map(|part| part.bytes_raw).sum());
        let digests =
            whole.map(|whole| whole.parts.iter().filter_map(|part| part.part.digest()).collect::<Vec<_>>());
        let note = Note::Table {
            database: database.to_string(),
            oid: self.oid,
            rows,
            schema: shown(&self.name.schema).into_owned(),
            name: shown(&self.name.name).into_owned(),
        };
        let notes = whole.map(|whole| (note.clone(), MapsDone::to_bytes(&whole.maps)));
        let mut entry = destination.entry(&path, Class::Data);
        entry.add(whole.map(|whole| whole.parts.clone()));
        entry.finish_with(notes)?;
        Ok(StoredTable { oid: self.oid, rows, bytes_raw, digests })
    }
}

/// One database while its rows are copied: what its workers share.
pub(super) struct Copying {
    pub(super) database: String,
    /// The server that holds the snapshot, and the database.
    pub(super) pinned: ConnInfo,
    pub(super) snapshot: String,
    pub(super) encoding: String,
    pub(super) sources: Vec<Source>,
    /// Of all sources, about.
    pub(super) bytes: u64,
    /// Its tables are named with it.
    several: bool,
    /// Its lead copies it: another connection would cost more than the rows.
    pub(super) is_small: bool,
    /// Per source and range.
    done: Mutex<Vec<Vec<Option<InEach<StoredCopy>>>>>,
    objects: Mutex<ObjectParts>,
    /// Large objects that the role has no right to read.
    pub(super) closed_objects: Vec<u32>,
    pub(super) lost: Mutex<Vec<Missing>>,
    /// Set by the first failure: the others stop at the next row.
    pub(super) stop: AtomicBool,
    /// How its rows are masked.
    pub(super) masking: Option<DatabasePlan>,
}

/// What is to be heeded while a database is copied.
pub(super) struct Orders {
    /// Tables that are stored whole and salted.
    pub(super) salted: HashSet<u32>,
    /// There are other databases, with which its tables are named.
    pub(super) several: bool,
    /// What cannot be read is named, and the rest goes on.
    pub(super) keep_going: bool,
    /// How rows are masked.
    pub(super) masking: Option<DatabasePlan>,
}

impl Copying {
    /// Everything that the archive promises, and the order in which it is copied. What the role has
    /// no right to read is refused here, or noted as missing.
    pub(super) fn new(
        catalog: &Catalog,
        tapped: &Tapped,
        lead: &mut Lead,
        pinned: &ConnInfo,
        orders: Orders,
    ) -> Result<(Copying, VecDeque<Work>), OpsError> {
        let Orders { several, keep_going, .. } = orders;
        let sources = sources(catalog, tapped, lead, &orders)?;
        let listed = large_objects::list(lead, &tapped.archive)?;
        if let Some(masking) = &orders.masking {
            masking.refuse_large_objects(&listed)?;
        }
        if !keep_going {
            refuse_hidden(&sources, &lead.role)?;
            listed.refuse_closed(&lead.role)?;
        }
        let mut lost = listed.lost(&lead.database, &lead.role);
        let Listed { readable: objects, closed: closed_objects } = listed;
        let hidden = sources.iter().filter(|source| source.hides_rows);
        lost.extend(hidden.map(|source| source.rows_missing(&lead.database, hidden_from(&lead.role))));
        let queue = queue(&sources, &objects);
        let bytes = sources.iter().map(|source| source.bytes).sum();
        let is_plain = |source: &Source| source.ranges.is_empty() && !source.is_foreign;
        let is_small =
            several && bytes <= SMALL_DATABASE && objects.is_empty() && sources.iter().all(is_plain);
        let copying = Copying {
            database: lead.database.clone(),
            pinned: pinned.clone(),
            snapshot: lead.snapshot.clone(),
            encoding: lead.encoding.clone(),
            bytes,
            several,
            is_small,
            done: Mutex::new(sources.iter().map(|source| vacant(source.ranges.len().max(1))).collect()),
            objects: Mutex::new((0..objects.len().div_ceil(OBJECTS_PER_ITEM)).map(|_| None).collect()),
            closed_objects,
            lost: Mutex::new(lost),
            stop: AtomicBool::new(false),
            masking: orders.masking,
            sources,
        };
        Ok((copying, queue))
    }

    /// What a COPY of one range brings, and what is known of its rows.
    ///
    /// # Errors
    /// Failures of the storage.
    pub(super) fn rows(
        &self,
        source: &Source,
        range: usize,
        maps: &RowMapping<'_>,
    ) -> Result<Rows, OpsError> {
        let (from, to) = source.pages(range);
        let mut rules = maps.rules(&self.database, &source.name, source.changes);
        if source.is_salted {
            rules.way = Way::Salted;
        }
        let path = paths::table(&self.database, &source.name.schema, &source.name.name);
        let is_mapped = matches!(rules.way, Way::Mapped | Way::AsItPays);
        let earlier = maps.earlier.as_ref().filter(|_| is_mapped);
        let earlier = match earlier {
            Some(earlier) => earlier.table(&self.database, &path)?,
            None => None,
        };
        Ok(Rows { identity: source.identity, from, to, earlier, rules })
    }

    /// An error that may be shown: of masked rows nothing is.
    pub(super) fn showable(&self, error: OpsError) -> OpsError {
        if self.masking.is_some() { error.without_values() } else { error }
    }

    /// A table's name for people.
    pub(super) fn shown(&self, source: &Source) -> String {
        if self.several { format!("{}: {}", self.database, source.name) } else { source.name.to_string() }
    }

    pub(super) fn keep(&self, source: usize, range: usize, copy: InEach<StoredCopy>) {
        if let Some(place) = lock(&self.done).get_mut(source).and_then(|ranges| ranges.get_mut(range)) {
            *place = Some(copy);
        }
    }

    pub(super) fn keep_objects(&self, number: usize, part: InEach<PartSummary>, objects: u64) {
        if let Some(place) = lock(&self.objects).get_mut(number) {
            *place = Some((part, objects));
        }
    }

    /// The tables of a piece of work.
    pub(super) fn sources_of(&self, work: &Work) -> impl Iterator<Item = &Source> {
        work.sources().into_iter().filter_map(|at| self.sources.get(at))
    }

    /// An error with the table that it hit.
    pub(super) fn named(&self, work: &Work, error: OpsError) -> OpsError {
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

    /// The finished copies as tables; a table with a missing range is not a table, and the report
    /// hears of it.
    pub(super) fn collect(&self, keep_going: bool, report: &mut Report) -> Result<Copied, OpsError> {
        let lost = std::mem::take(&mut *lock(&self.lost));
        let done = std::mem::take(&mut *lock(&self.done));
        let mut tables = Vec::with_capacity(done.len());
        for (source, copies) in self.sources.iter().zip(done) {
            if copies.iter().any(Option::is_none) {
                continue;
            }
            let mut sunk = InEach::none();
            copies.into_iter().flatten().for_each(|copy| sunk.push(copy));
            tables.push(CopiedTable { oid: source.oid, name: source.name.clone(), sunk });
        }
        if tables.len() < self.sources.len() && lost.is_empty() && !keep_going {
            return Err(OpsError::refused(
                "a table was not copied",
                "this is a defect of pgark; please report it",
            ));
        }
        lost.into_iter().for_each(|missing| report.lost(missing));
        let (mut large_objects, mut object_parts) = (0, InEach::none());
        for (part, objects) in std::mem::take(&mut *lock(&self.objects)).into_iter().flatten() {
            large_objects += objects;
            object_parts.push(part);
        }
        Ok(Copied { tables, large_objects, object_parts })
    }
}

/// The large objects of each item: its stream, and how many objects it holds.
type ObjectParts = Vec<Option<(InEach<PartSummary>, u64)>>;

fn vacant(ranges: usize) -> Vec<Option<InEach<StoredCopy>>> {
    (0..ranges).map(|_| None).collect()
}

/// Every TABLE DATA entry with its relation, columns and ranges.
fn sources(
    catalog: &Catalog,
    tapped: &Tapped,
    lead: &Lead,
    orders: &Orders,
) -> Result<Vec<Source>, OpsError> {
    let mut found = Vec::new();
    for toc in tapped.archive.entries.iter().filter(|toc| toc.kind() == "TABLE DATA" && toc.had_dumper) {
        let table = catalog.table(toc.oid).ok_or_else(|| {
            let what = format!("pg_dump found table {}, which is not in the catalog", toc.tag_str());
            OpsError::Stale { what }
        })?;
        let columns = columns(toc);
        let mut identity = identity(lead, table, &columns);
        if let Some(masking) = &orders.masking {
            let plan = masking.table(toc.oid, &table.name.to_string(), &columns, &lead.encoding)?;
            identity = masking::identity(identity, plan);
        }
        found.push(Source {
            oid: toc.oid,
            hides_rows: table.hides_rows,
            is_foreign: table.kind == 'f',
            is_salted: orders.salted.contains(&toc.oid),
            changes: table.changes,
            name: table.name.clone(),
            relation: relation(toc),
            columns,
            identity,
            condition: table.extension_condition.clone().filter(|condition| !condition.trim().is_empty()),
            bytes: table.bytes,
            ranges: ranges(table, lead.server_version),
        });
    }
    Ok(found)
}

/// Names every table whose rows the role sees only in part, before one is copied.
fn refuse_hidden(sources: &[Source], role: &str) -> Result<(), OpsError> {
    let names: Vec<String> =
        sources.iter().filter(|source| source.hides_rows).map(|source| source.name.to_string()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(OpsError::refused(
        format!("row-level security hides rows of {} from the role", names.join(", ")),
        advice![
            format!(
                "ALTER ROLE {role} BYPASSRLS (pg_read_all_data does not do that), or back up the rest with "
            ),
            Setting::KeepGoing,
        ],
    ))
}

fn hidden_from(role: &str) -> String {
    format!("row-level security hides rows of it from the role: ALTER ROLE {role} BYPASSRLS")
}

/// Rows of one identity have the same text if they are the same.
fn identity(lead: &Lead, table: &Table, columns: &[u8]) -> [u8; 16] {
    let columns = [table.columns.as_bytes(), columns].join(b" ".as_slice());
    let (settings, columns) = (row_hash(lead.row_settings.as_bytes()), row_hash(&columns));
    let mut identity = [0; 16];
    identity[..8].copy_from_slice(&settings.to_le_bytes());
    identity[8..].copy_from_slice(&columns.to_le_bytes());
    identity
}

/// First pages of the ranges of a big heap. Tid range scans exist from PostgreSQL 14; a range holds
/// about 64 MiB of heap and TOAST, in powers of two of pages, so that the ranges of a growing table
/// stay where they are.
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
    for (at, source) in sources.iter().enumerate().filter(|(_, source)| !source.hides_rows) {
        if !source.ranges.is_empty() {
            // Ranges weigh as their whole table: the table that bounds the run goes first.
            big.extend(
                (0..source.ranges.len()).map(|range| (source.bytes, Work::Range { source: at, range })),
            );
        } else if source.bytes >= TINY_BYTES || source.condition.is_some() || source.is_foreign {
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

impl Work {
    pub(super) fn sources(&self) -> Vec<usize> {
        match self {
            Work::Range { source, .. } | Work::Whole { source } => vec![*source],
            Work::Batch(batch) => batch.clone(),
            Work::LargeObjects { .. } => Vec::new(),
        }
    }
}

impl Source {
    /// That its rows are not in the backup.
    pub(super) fn rows_missing(&self, database: &str, reason: String) -> Missing {
        Missing::rows(database, &shown(&self.name.schema), &shown(&self.name.name), reason)
    }

    /// The first heap page of a range, and the first behind it.
    fn pages(&self, range: usize) -> (u64, Option<u64>) {
        (self.ranges.get(range).copied().unwrap_or(0), self.ranges.get(range + 1).copied())
    }

    /// Plain `COPY t` for whole tables: it locks the table alone, a query locks its indexes too.
    pub(super) fn copy_statement(&self, range: usize) -> Vec<u8> {
        let mut sql = b"COPY ".to_vec();
        let filter = match (&self.condition, self.ranges.get(range)) {
            (Some(condition), _) => Some(format!(" {condition}")),
            (None, Some(first)) => {
                let mut filter = format!(" WHERE ctid >= '({first},0)'::pg_catalog.tid");
                // The last range is open: the table may have grown, and rows beyond are not visible
                // anyway.
                if let Some(end) = self.ranges.get(range + 1) {
                    filter.push_str(&format!(" AND ctid < '({end},0)'::pg_catalog.tid"));
                }
                Some(filter)
            }
            // Rows of a foreign table, which `COPY t` refuses.
            (None, None) if self.is_foreign => Some(String::new()),
            (None, None) => None,
        };
        if let Some(filter) = filter {
            sql.extend_from_slice(b"(SELECT ");
            sql.extend_from_slice(&self.columns);
            // ONLY: a query would return the rows of inheritance children, which have entries of
            // their own (trap 3).
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

#[cfg(test)]
mod tests {
    use super::{Source, ranges};
    use crate::logical::backup::catalog::{Table, TableName};

    fn source(ranges: Vec<u64>, condition: Option<&str>, columns: &str) -> Source {
        Source {
            oid: 1,
            hides_rows: false,
            is_foreign: false,
            is_salted: false,
            changes: None,
            name: TableName { schema: b"s".to_vec(), name: b"t".to_vec() },
            relation: b"\"s\".\"t\"".to_vec(),
            columns: columns.as_bytes().to_vec(),
            condition: condition.map(str::to_string),
            bytes: 0,
            ranges,
            identity: [0; 16],
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
