//! How a map is written down at its end: groups that are put together, records, and what is kept.

use std::sync::Arc;

use super::MapRef;
use super::address::{self, Addresses, Names};
use super::kind::{AnyKind, check_map};
use super::shape::{Group, Keep, MOST_RECORDS, Record, Unit, encode_keeps};
use crate::cut::{Cut, LARGEST};
use crate::ids::ChunkId;
use crate::object::damaged;
use crate::stream::{Class, StreamRef};
use crate::writer::{Added, Session, StreamWriter};
use crate::{RepoError, codec};

/// Units of one group at most.
const MOST_UNITS: usize = 64 << 10;
/// Bytes of a group's encoding at most, about: it must fit a chunk.
const MOST_BYTES: usize = LARGEST - (1 << 20);

/// A group that is being put together.
#[derive(Default)]
pub(super) struct NewGroup {
    units: Vec<Unit>,
    keeps: Vec<Keep>,
    list: Vec<u8>,
    names: Names,
    /// What its encoding takes at most.
    bytes: usize,
}

/// A group that is put together: what to store, the item list first.
pub(super) struct ReadyGroup {
    pub list: Vec<u8>,
    pub group: Group,
    pub keeps: Vec<Keep>,
}

impl NewGroup {
    /// Whether so long a list of one more unit does not fit in.
    pub(super) fn is_full_for(&self, list: &[u8]) -> bool {
        let is_long = self.list.len() + list.len() > LARGEST;
        is_long || self.units.len() >= MOST_UNITS || self.bytes > MOST_BYTES
    }

    /// Adds a unit, whose runs speak of these names.
    pub(super) fn add(
        &mut self,
        mut unit: Unit,
        names: &[minicbor::bytes::ByteVec],
        keep: Keep,
        list: &[u8],
    ) {
        let known = self.names.as_slice().len();
        unit.runs = self.names.adopt(names, &unit.runs);
        let new = self.names.as_slice().get(known..).unwrap_or_default();
        self.bytes += unit.chunks.len() * 40 + unit.runs.len() * 16 + 16;
        self.bytes += new.iter().map(|name| name.len() + 8).sum::<usize>();
        self.units.push(unit);
        self.keeps.push(keep);
        self.list.extend_from_slice(list);
    }

    /// What was put together, if anything. The list's id is not known yet.
    pub(super) fn ready(self, kind: &dyn AnyKind) -> Option<ReadyGroup> {
        let (names, units) = (self.names.into_vec(), self.units);
        let group = Group { kind: kind.number(), list: None, names, units };
        (!group.units.is_empty()).then_some(ReadyGroup { list: self.list, group, keeps: self.keeps })
    }
}

/// The description of a map that grows group by group.
#[derive(Default)]
pub(super) struct Description {
    records: Vec<u8>,
    count: usize,
    keeps: Vec<Keep>,
    addresses: Addresses,
}

/// The streams of a description, and what they took.
pub(super) struct Described {
    pub units: StreamRef,
    pub keeps: StreamRef,
    pub addresses: Addresses,
    pub added: Vec<Arc<Added>>,
}

impl Description {
    /// Adds a group of which something is kept.
    pub(super) fn add(
        &mut self,
        id: ChunkId,
        raw_len: u32,
        group: &Group,
        keeps: Vec<Keep>,
    ) -> Result<(), RepoError> {
        self.count += 1;
        if self.count > MOST_RECORDS {
            return Err(RepoError::TooLarge { what: "a map's number of groups".into() });
        }
        self.records.extend(codec::encode(&Record::new(id, raw_len, &keeps)));
        for (unit, keep) in group.units.iter().zip(&keeps).filter(|(unit, _)| !unit.runs.is_empty()) {
            let runs = address::at(&unit.runs, &keep.ranges(unit.items));
            self.addresses.add(&group.names, &runs).map_err(|what| damaged("a map", what))?;
        }
        self.keeps.extend(keeps.into_iter().filter(|keep| *keep != Keep::Nothing));
        Ok(())
    }

    /// Stores it.
    pub(super) fn finish(self, session: &Session<'_>) -> Result<Described, RepoError> {
        let (units, added_units) = stored(session, &self.records)?;
        let (keeps, added_keeps) = stored(session, &encode_keeps(self.keeps.iter()))?;
        Ok(Described { units, keeps, addresses: self.addresses, added: vec![added_units, added_keeps] })
    }
}

/// A metadata stream of these bytes. One that is a single chunk is kept on this host for the next
/// backup.
pub(super) fn stored(session: &Session<'_>, bytes: &[u8]) -> Result<(StreamRef, Arc<Added>), RepoError> {
    let mut stream = StreamWriter::new(session, Class::Metadata, Cut::Content);
    stream.write(bytes)?;
    let (stream, added) = stream.finish_stream()?;
    if stream.level == 0 && !bytes.is_empty() {
        session.items().put(&stream.root, bytes);
    }
    Ok((stream, added))
}

/// A map that breaks its own rules is refused before it is committed.
pub(super) fn check(
    kind: &dyn AnyKind,
    map: &MapRef,
    more: &[u8],
    mut addresses: Addresses,
) -> Result<(), RepoError> {
    check_map(kind, map, more, &mut addresses).map_err(|what| damaged("a map", what))
}
