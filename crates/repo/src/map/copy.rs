//! A map of one repository, written into another: the same units and runs, under the other's keys.
//!
//! What already exists is not stored again, because equal units have equal ids there, too.
//! Everything read is verified on the way: a map whose items are not those that were backed up is
//! not copied.
//!
//! Of rows, item lists are not made: they serve the next backup of the cluster alone, which a copy
//! rarely sees (its first then stores each part whole), and would cost every copy 8 bytes for each
//! row of a group that lost a unit. Kinds whose readers need lists get them, under the other's
//! keys.

use std::borrow::Cow;
use std::sync::Arc;

use minicbor::bytes::{ByteArray, ByteVec};

use super::describe::{self, Description, NewGroup, ReadyGroup};
use super::items::{self, Totals};
use super::kind::{AnyKind, Hashes, NOT_WHOLE, Tally, UnitOf, tell_kept};
use super::{Keep, Keeping, MapRef, Part, Unit, UnitChunk, group};
use super::{description, read};
use crate::object::damaged;
use crate::reader::{ChunkReader, StreamReader};
use crate::stream::ChunkKind;
use crate::writer::{Added, Lane, PartSummary, Session};
use crate::{RepoError, codec};

struct Copying<'c, 'a> {
    session: &'c Session<'a>,
    lane: Lane<'a>,
    reader: &'c ChunkReader<'c>,
    kind: &'static dyn AnyKind,
    map: &'c MapRef,
    label: &'c str,
    added: Arc<Added>,
    /// By the hashes of the repository that it comes from, and of the one that it goes to.
    totals: (Totals, Totals),
    /// What else the items must come to.
    tally: Option<Box<dyn Tally>>,
}

pub(crate) fn copy<'a>(
    session: &'a Session<'a>,
    reader: &ChunkReader<'_>,
    map: &MapRef,
    label: &str,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<PartSummary, RepoError> {
    let (mut keeping, records) = Keeping::open(reader, map)?;
    let (kind, totals, added) = (keeping.kind, Default::default(), Arc::default());
    let more = match &map.more {
        Some(more) => description::read(reader, more)?,
        None => Vec::new(),
    };
    let tally = kind.tally(map, &more);
    let lane = session.lane().of(kind.grain());
    let mut copying = Copying { session, lane, reader, kind, map, label, added, totals, tally };
    let mut description = Description::default();
    for record in records {
        let group = group(reader, &record, kind)?;
        let keeps = keeping.take(&record, &group)?;
        let kept: Vec<(Unit, Keep)> =
            group.units.into_iter().zip(keeps).filter(|(_, keep)| *keep != Keep::Nothing).collect();
        copying.group(kept, &group.names, &mut description, on_bytes)?;
    }
    keeping.end(reader)?;
    read::compare(kind, &copying.totals.0, copying.tally.as_deref(), map)
        .map_err(|what| damaged(label, what))?;
    let described = description.finish(session)?;
    let mut added = described.added;
    added.push(copying.added);
    let (own, mut stored) = (copying.totals.1, None);
    if map.more.is_some() {
        let (stream, of_more) = describe::stored(session, &more)?;
        stored = Some(stream);
        added.push(of_more);
    }
    let map = MapRef {
        units: described.units,
        keeps: described.keeps,
        more: stored,
        items: own.items,
        bytes: own.bytes,
        sum: ByteArray::from(own.sum.to_le_bytes()),
        ..map.clone()
    };
    Ok(PartSummary::new(Part::Map(Box::new(map)), added))
}

impl Copying<'_, '_> {
    fn group(
        &mut self,
        kept: Vec<(Unit, Keep)>,
        names: &[ByteVec],
        description: &mut Description,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), RepoError> {
        let children = kept.iter().flat_map(|(unit, _)| &unit.chunks).map(UnitChunk::child).collect();
        let mut chunks = self.reader.read_chunks(children, ChunkKind::Data);
        let mut new = NewGroup::default();
        for (unit, keep) in kept {
            self.session.check()?;
            on_bytes(unit.bytes());
            let (stored, list) = self.unit(UnitOf { unit: &unit, names }, &keep, &mut chunks)?;
            new.add(stored, names, keep, &list);
        }
        let Some(ReadyGroup { list, mut group, keeps }) = new.ready(self.kind) else { return Ok(()) };
        if self.kind.keeps_lists() {
            group.list = Some(self.store(ChunkKind::ItemList, &[], &list)?);
        }
        let raw = codec::encode(&group);
        let raw_len =
            u32::try_from(raw.len()).map_err(|_| RepoError::TooLarge { what: "a group of units".into() })?;
        let id = self.store(ChunkKind::Group, &[], &raw)?;
        description.add(id, raw_len, &group, keeps)
    }

    /// Copies the chunks of a unit. Returns it, and what the other repository's list holds of it.
    fn unit(
        &mut self,
        of: UnitOf<'_>,
        keep: &Keep,
        chunks: &mut StreamReader<'_>,
    ) -> Result<(Unit, Vec<u8>), RepoError> {
        let unit = of.unit;
        let ended = || damaged(self.label, "its chunks end before its units");
        let wrong = |what| damaged(self.label, what);
        let domain = &self.map.domain;
        let (from, to) = (self.reader.hasher(domain), self.session.hasher(domain));
        // Of every item its length and the hash there, and the hash here.
        let (source, target): (Hashes, Hashes);
        let mut list = Vec::new();
        let mut stored = Vec::with_capacity(unit.chunks.len());
        if unit.chunks.len() == 1 {
            let raw = chunks.next_chunk()?.ok_or_else(ended)?;
            source = self.kind.hashes(&from, of, &raw, None).map_err(wrong)?;
            let wanted = self.kind.keeps_lists().then_some(&mut list);
            target = self.kind.hashes(&to, of, &raw, wanted).map_err(wrong)?;
            if let Some(tally) = &mut self.tally {
                tell_kept(tally.as_mut(), of, keep, &source, &raw);
            }
            stored.push(self.store_data(&raw)?);
        } else {
            let (mut of_source, mut of_target, mut ends) = (from.begin(), to.begin(), false);
            for _ in &unit.chunks {
                let raw = chunks.next_chunk()?.ok_or_else(ended)?;
                items::piece(&mut of_source, &raw);
                items::piece(&mut of_target, &raw);
                ends = self.kind.ends_item(&raw);
                stored.push(self.store_data(&raw)?);
            }
            if !ends {
                return Err(wrong(NOT_WHOLE));
            }
            source = vec![(items::finish(&of_source), unit.bytes())];
            target = vec![(items::finish(&of_target), unit.bytes())];
        }
        for at in keep.ranges(unit.items).into_iter().flatten() {
            if let (Some((there, len)), Some((here, _))) = (source.get(at as usize), target.get(at as usize))
            {
                self.totals.0.add(*there, *len);
                self.totals.1.add(*here, *len);
            }
        }
        Ok((Unit { chunks: stored, items: unit.items, runs: unit.runs.clone() }, list))
    }

    fn store_data(&self, raw: &[u8]) -> Result<UnitChunk, RepoError> {
        let raw_len = u32::try_from(raw.len()).map_err(|_| RepoError::TooLarge { what: "a chunk".into() })?;
        Ok(UnitChunk { id: self.store(ChunkKind::Data, &self.map.domain, raw)?, raw_len })
    }

    fn store(&self, kind: ChunkKind, domain: &[u8], raw: &[u8]) -> Result<crate::ids::ChunkId, RepoError> {
        let key = self.session.id_key(kind, domain);
        self.lane.store(kind, domain, &key, Cow::Borrowed(raw), &self.added)
    }
}
