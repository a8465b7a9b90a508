//! A map of one repository, written into another: the same units and runs, under the other's keys.
//!
//! What is there already is not stored again, because equal units have equal ids there, too. Everything read is verified on the
//! way: a map whose items are not those that were backed up is not copied.
//!
//! Item lists are not made: they serve the next backup of the cluster alone, which a copy rarely sees (its first then stores each
//! part whole), and would cost every copy 8 bytes for each row of a group that lost a unit.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use minicbor::bytes::{ByteArray, ByteVec};

use super::items::{self, ItemHash, Totals};
use super::read::{self, NOT_WHOLE};
use super::{Group, Keep, MapRef, Part, Record, Unit, UnitChunk, decode_keeps, encode_keeps, group, records};
use crate::cut::Cut;
use crate::object::damaged;
use crate::reader::{ChunkReader, StreamReader};
use crate::stream::{ChunkKind, Class};
use crate::writer::{Lane, PartSummary, Session, StreamWriter};
use crate::{RepoError, codec};

struct Copying<'c, 'a> {
    session: &'c Session<'a>,
    lane: Lane<'a>,
    reader: &'c ChunkReader<'c>,
    map: &'c MapRef,
    label: &'c str,
    added: Arc<AtomicU64>,
    /// By the hashes of the repository that it comes from, and of the one that it goes to.
    totals: (Totals, Totals),
}

pub(crate) fn copy<'a>(
    session: &'a Session<'a>,
    reader: &ChunkReader<'_>,
    map: &MapRef,
    label: &str,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<PartSummary, RepoError> {
    let totals = Default::default();
    let mut copying =
        Copying { session, lane: session.lane(), reader, map, label, added: Arc::default(), totals };
    let mut stream = StreamWriter::new(session, Class::Metadata, Cut::Content);
    for record in records(reader, map)? {
        let group = group(reader, &record)?;
        let keeps = decode_keeps(&record.kept, &group.units).map_err(|what| damaged(label, what))?;
        let kept: Vec<(Unit, Keep)> =
            group.units.into_iter().zip(keeps).filter(|(_, keep)| *keep != Keep::Nothing).collect();
        stream.write(&codec::encode(&copying.group(kept, on_bytes)?))?;
    }
    read::compare(&copying.totals.0, map).map_err(|what| damaged(label, what))?;
    let (units, added) = stream.finish_stream()?;
    let own = copying.totals.1;
    let map = MapRef {
        units,
        items: own.items,
        bytes: own.bytes,
        sum: ByteArray::from(own.sum.to_le_bytes()),
        ..map.clone()
    };
    Ok(PartSummary::new(Part::Map(map), vec![copying.added, added]))
}

impl Copying<'_, '_> {
    fn group(&mut self, kept: Vec<(Unit, Keep)>, on_bytes: &mut dyn FnMut(u64)) -> Result<Record, RepoError> {
        let children = kept.iter().flat_map(|(unit, _)| &unit.chunks).map(UnitChunk::child).collect();
        let mut chunks = self.reader.read_chunks(children, ChunkKind::Data);
        let (mut units, mut keeps) = (Vec::new(), Vec::new());
        for (unit, keep) in kept {
            self.session.check()?;
            on_bytes(unit.bytes());
            units.push(self.unit(&unit, &keep, &mut chunks)?);
            keeps.push(keep);
        }
        let raw = codec::encode(&Group { list: None, units });
        let raw_len =
            u32::try_from(raw.len()).map_err(|_| RepoError::TooLarge { what: "a group of units".into() })?;
        let group = self.store(ChunkKind::Group, &[], &raw)?;
        Ok(Record { group, raw_len, kept: ByteVec::from(encode_keeps(&keeps)) })
    }

    fn unit(&mut self, unit: &Unit, keep: &Keep, chunks: &mut StreamReader<'_>) -> Result<Unit, RepoError> {
        let ended = || damaged(self.label, "its chunks end before its units");
        let domain = &self.map.domain;
        let (from, to) = (self.reader.hasher(domain), self.session.hasher(domain));
        // Both hashes and the length of every item.
        let mut hashes: Vec<(ItemHash, ItemHash, u64)> = Vec::with_capacity(unit.items as usize);
        let mut stored = Vec::with_capacity(unit.chunks.len());
        if unit.chunks.len() == 1 {
            let raw = chunks.next_chunk()?.ok_or_else(ended)?;
            let raw = read::take_items(raw, unit, &Keep::All, |item| {
                hashes.push((from.hash(item), to.hash(item), item.len() as u64));
            });
            stored.push(self.store_data(&raw.map_err(|what| damaged(self.label, what))?)?);
        } else {
            let (mut of_source, mut of_target, mut ends) = (from.begin(), to.begin(), false);
            for _ in &unit.chunks {
                let raw = chunks.next_chunk()?.ok_or_else(ended)?;
                items::piece(&mut of_source, &raw);
                items::piece(&mut of_target, &raw);
                ends = raw.ends_with(b"\n");
                stored.push(self.store_data(&raw)?);
            }
            if !ends {
                return Err(damaged(self.label, NOT_WHOLE));
            }
            hashes.push((items::finish(&of_source), items::finish(&of_target), unit.bytes()));
        }
        for at in keep.ranges(unit.items).into_iter().flatten() {
            if let Some((of_source, of_target, len)) = hashes.get(at as usize) {
                self.totals.0.add(*of_source, *len);
                self.totals.1.add(*of_target, *len);
            }
        }
        Ok(Unit { chunks: stored, items: unit.items })
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
