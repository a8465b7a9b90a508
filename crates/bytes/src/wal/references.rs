//! Which blocks of relations the records of a run of WAL change, so that a later backup reads these
//! and no others.
//!
//! Three things are known of a run:
//!
//! * of each fork of a relation the **blocks** that records name, and a **limit**, if it was
//!   created, truncated or dropped: at the limit and behind it every block counts as changed,
//!   whether it is named or not. So blocks there are not kept;
//! * **whole** databases and tablespaces: they were created or dropped, and any of their files may
//!   be another than before. A database that is copied file by file names no block, and its pages
//!   keep their old LSNs;
//! * whether the server wrote less than that is true of: `wal_level = minimal`, where new relations
//!   are not logged, and `full_page_writes = off`.
//!
//! A run of which not all is understood is **unknown** as a whole, and names nothing.
//!
//! **Not named** although they change are blocks of the free space map (it is logged by halves),
//! and of the visibility map: records that insert, update or delete rows clear its bits and name
//! the blocks of the table only. Whoever uses this copies both maps whole. Hint bits are changes,
//! too, that no record tells of, unless checksums or `wal_log_hints` are on.
//!
//! The rules are those of src/backend/postmaster/walsummarizer.c, except that the limit of a
//! truncated map is 0: how many of its blocks remain depends on the size of a block, which the WAL
//! does not say. Which records change files otherwise: `extractPageInfo` in
//! src/bin/pg_rewind/parsexlog.c.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::{self, u32_at};
use super::heads::{self, RelationFork};
use super::record::{
    RM_DATABASE, RM_SMGR, RM_TABLESPACE, RM_XACT, RM_XLOG, Record, RecordHeader, XLOG_CHECKPOINT_REDO,
    XLOG_CHECKPOINT_SHUTDOWN, XLOG_END_OF_RECOVERY, XLOG_FPW_CHANGE, XLOG_PARAMETER_CHANGE,
};

/// A flag in the info of every record: it changes files in a way that its blocks do not tell.
const SPECIAL_RELATION_UPDATE: u8 = 0x01;
/// The upper half of the info is the resource manager's.
const KIND: u8 = 0xF0;

const SMGR_CREATE: u8 = 0x10;
const SMGR_TRUNCATE: u8 = 0x20;
const TRUNCATE_HEAP: u32 = 1;
const TRUNCATE_VM: u32 = 2;
const TRUNCATE_FSM: u32 = 4;

/// Of a tablespace, and of a database, that is created.
const CREATE: u8 = 0x00;
const DROP_TABLESPACE: u8 = 0x10;
/// From 15 on, a database can be created in two ways.
const DROP_DATABASE_TO_14: u8 = 0x10;
const CREATE_DATABASE_LOGGED: u8 = 0x10;
const DROP_DATABASE: u8 = 0x20;

const WAL_LEVEL_MINIMAL: u32 = 0;

const MAIN: u8 = 0;
const FSM: u8 = 1;
const VM: u8 = 2;
/// There are four forks: these, and the initial one of unlogged relations.
pub(super) const FORKS: u8 = 4;

/// So many blocks are kept before those that came twice are sorted out; a run that names half as
/// many different ones is unknown. That is 16 GiB of blocks, and 16 MiB here.
pub(super) const MOST_BLOCKS: usize = 4 << 20;
/// So many forks, databases and tablespaces are kept.
pub(super) const MOST_FORKS: usize = 1 << 18;

/// What of a fork changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// From this block on, all of it.
    pub limit: Option<u32>,
    /// In front of that these blocks, each above the one before.
    pub blocks: Vec<u32>,
}

/// The blocks that a run of WAL changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Not all of the run is understood: anything may have changed. The rest is empty then.
    pub is_unknown: bool,
    /// `wal_level` was `minimal` at some time: then what fills a new relation is not logged.
    pub is_minimal: bool,
    /// `full_page_writes` was off at some time.
    pub full_pages_off: bool,
    /// Tablespaces that were created or dropped.
    pub tablespaces: BTreeSet<u32>,
    /// Databases, by tablespace and oid, that were created or dropped there.
    pub databases: BTreeSet<(u32, u32)>,
    /// What of each fork changed.
    pub forks: BTreeMap<RelationFork, Changed>,
}

impl References {
    /// References that say nothing but that anything may have changed.
    pub fn unknown() -> References {
        References { is_unknown: true, ..References::default() }
    }

    /// Adds those of another run of WAL. The order does not matter.
    pub fn merge(&mut self, other: &References) {
        let mut collector = Collector::of(std::mem::take(self));
        collector.add_references(other);
        *self = collector.finish();
    }
}

/// Collects references record by record, with bounded memory.
#[derive(Clone, Debug, Default)]
pub struct Collector {
    /// Blocks are neither sorted nor different, and may lie behind a limit that came later.
    found: References,
    blocks: usize,
}

/// How many bytes behind the header of a record are worth keeping.
pub(super) fn worth(header: &RecordHeader) -> usize {
    match header.resource_manager {
        // The lists of what is dropped.
        RM_DATABASE => contents::LONGEST_END,
        _ => heads::LONGEST_HEADS,
    }
}

impl Collector {
    /// One that goes on with what was found.
    pub fn of(found: References) -> Collector {
        let blocks = found.forks.values().map(|changed| changed.blocks.len()).sum();
        Collector { found, blocks }
    }

    /// Takes a record, and the first bytes behind its header as [`super::Walk::feed_bodies`] hands
    /// them on. `major`: of the server.
    pub fn add(&mut self, major: i32, record: &Record, body: &[u8]) {
        if self.found.is_unknown {
            return;
        }
        let heads = heads::read_heads(major, record, body, &mut |fork, block| self.add_block(fork, block));
        let is_known = heads.ok().and_then(|data| self.add_special(major, record, data)).is_some();
        if !is_known {
            self.forget();
        }
    }

    /// What was found.
    pub fn finish(mut self) -> References {
        if self.found.is_unknown {
            return References::unknown();
        }
        self.sort();
        self.found
    }

    fn add_references(&mut self, other: &References) {
        if other.is_unknown {
            return self.forget();
        }
        self.found.is_minimal |= other.is_minimal;
        self.found.full_pages_off |= other.full_pages_off;
        other.tablespaces.iter().for_each(|tablespace| self.add_tablespace(*tablespace));
        other.databases.iter().for_each(|(tablespace, database)| self.add_database(*tablespace, *database));
        for (fork, changed) in &other.forks {
            if let Some(limit) = changed.limit {
                self.add_limit(*fork, limit);
            }
            changed.blocks.iter().for_each(|block| self.add_block(*fork, *block));
        }
    }

    /// What a record changes besides its blocks. None: it is not understood.
    fn add_special(&mut self, major: i32, record: &Record, data: &[u8]) -> Option<()> {
        let kind = record.header.info & KIND;
        match record.header.resource_manager {
            RM_XLOG => {
                self.add_of_log(major, kind, data)?;
                is_plain(&record.header)
            }
            RM_XACT => self.add_of_transaction(record, data),
            RM_SMGR => self.add_of_storage(kind, data),
            RM_DATABASE => self.add_of_database(major, kind, data),
            RM_TABLESPACE => self.add_of_tablespace(kind, data),
            _ => is_plain(&record.header),
        }
    }

    fn add_of_log(&mut self, major: i32, kind: u8, data: &[u8]) -> Option<()> {
        if kind == XLOG_FPW_CHANGE {
            self.found.full_pages_off |= *data.first()? == 0;
        }
        let level_at = match kind {
            XLOG_PARAMETER_CHANGE => 20,
            XLOG_CHECKPOINT_SHUTDOWN if major >= 17 => 20,
            XLOG_END_OF_RECOVERY if major >= 17 => 16,
            XLOG_CHECKPOINT_REDO => 0,
            _ => return Some(()),
        };
        self.found.is_minimal |= u32_at(data, level_at)? == WAL_LEVEL_MINIMAL;
        Some(())
    }

    /// Relations that a transaction drops as it ends.
    fn add_of_transaction(&mut self, record: &Record, data: &[u8]) -> Option<()> {
        if !contents::is_end(&record.header) {
            return is_plain(&record.header);
        }
        let dropped = contents::dropped_relations(&record.header, data)?;
        for relation in dropped.chunks_exact(12) {
            let relation = relation_at(relation, 0)?;
            (0..FORKS).for_each(|fork| self.add_limit(RelationFork { fork, ..relation }, 0));
        }
        Some(())
    }

    fn add_of_storage(&mut self, kind: u8, data: &[u8]) -> Option<()> {
        match kind {
            SMGR_CREATE => {
                let fork = u8::try_from(u32_at(data, 12)?).ok().filter(|fork| *fork < FORKS)?;
                self.add_limit(RelationFork { fork, ..relation_at(data, 0)? }, 0);
            }
            SMGR_TRUNCATE => {
                let (block, relation, flags) = (u32_at(data, 0)?, relation_at(data, 4)?, u32_at(data, 16)?);
                for (flag, fork, limit) in
                    [(TRUNCATE_HEAP, MAIN, block), (TRUNCATE_VM, VM, 0), (TRUNCATE_FSM, FSM, 0)]
                {
                    if flags & flag != 0 {
                        self.add_limit(RelationFork { fork, ..relation }, limit);
                    }
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn add_of_database(&mut self, major: i32, kind: u8, data: &[u8]) -> Option<()> {
        let database = u32_at(data, 0)?;
        match kind {
            CREATE => self.add_database(u32_at(data, 4)?, database),
            DROP_DATABASE_TO_14 if major < 15 => self.drop_database(database, data)?,
            CREATE_DATABASE_LOGGED if major >= 15 => self.add_database(u32_at(data, 4)?, database),
            DROP_DATABASE if major >= 15 => self.drop_database(database, data)?,
            _ => return None,
        }
        Some(())
    }

    fn drop_database(&mut self, database: u32, data: &[u8]) -> Option<()> {
        let count = usize::try_from(u32_at(data, 4)?).ok()?;
        let tablespaces = data.get(8..count.checked_mul(4)?.checked_add(8)?)?;
        for tablespace in tablespaces.chunks_exact(4) {
            self.add_database(u32_at(tablespace, 0)?, database);
        }
        Some(())
    }

    fn add_of_tablespace(&mut self, kind: u8, data: &[u8]) -> Option<()> {
        match kind {
            CREATE | DROP_TABLESPACE => self.add_tablespace(u32_at(data, 0)?),
            _ => return None,
        }
        Some(())
    }

    fn add_tablespace(&mut self, tablespace: u32) {
        self.found.tablespaces.insert(tablespace);
        self.check();
    }

    fn add_database(&mut self, tablespace: u32, database: u32) {
        self.found.databases.insert((tablespace, database));
        self.check();
    }

    fn add_limit(&mut self, fork: RelationFork, limit: u32) {
        if fork.fork >= FORKS {
            return self.forget();
        }
        let changed = self.found.forks.entry(fork).or_default();
        changed.limit = Some(changed.limit.map_or(limit, |before| before.min(limit)));
        self.check();
    }

    fn add_block(&mut self, fork: RelationFork, block: u32) {
        if self.found.is_unknown {
            return;
        }
        if fork.fork >= FORKS {
            return self.forget();
        }
        let changed = self.found.forks.entry(fork).or_default();
        let is_said = changed.limit.is_some_and(|limit| limit <= block);
        if is_said || changed.blocks.last() == Some(&block) {
            return;
        }
        changed.blocks.push(block);
        self.blocks += 1;
        self.check();
    }

    /// Keeps the memory bounded.
    fn check(&mut self) {
        let References { tablespaces, databases, forks, .. } = &self.found;
        if tablespaces.len() + databases.len() + forks.len() > MOST_FORKS {
            self.forget();
        } else if self.blocks > MOST_BLOCKS {
            self.sort();
            if self.blocks > MOST_BLOCKS / 2 {
                self.forget();
            }
        }
    }

    fn sort(&mut self) {
        self.blocks = 0;
        for Changed { limit, blocks } in self.found.forks.values_mut() {
            blocks.sort_unstable();
            blocks.dedup();
            let before_limit =
                limit.map_or(blocks.len(), |limit| blocks.partition_point(|block| *block < limit));
            blocks.truncate(before_limit);
            self.blocks += blocks.len();
        }
    }

    fn forget(&mut self) {
        *self = Collector { found: References::unknown(), blocks: 0 };
    }
}

/// A record that changes nothing but the blocks that it names.
fn is_plain(header: &RecordHeader) -> Option<()> {
    (header.info & SPECIAL_RELATION_UPDATE == 0).then_some(())
}

fn relation_at(data: &[u8], at: usize) -> Option<RelationFork> {
    let [tablespace, database, relation] = [u32_at(data, at)?, u32_at(data, at + 4)?, u32_at(data, at + 8)?];
    Some(RelationFork { tablespace, database, relation, fork: MAIN })
}
