//! What someone who holds a writer key may put, and a reader must not pay with its memory or
//! forever: trees that repeat one chunk, maps of very many units, objects of any size (FORMAT.md
//! states the limits).

use std::borrow::Cow;
use std::sync::Arc;

use minicbor::bytes::{ByteArray, ByteVec};

use super::{BackupWriter, NewBackup, PartSummary, WriteOptions};
use crate::cut::{Cut, LARGEST};
use crate::ids::{ChunkId, Hash};
use crate::manifest::{self, Additions, BackupHead, Entry, ListBuilder, Parts, Record};
use crate::map::{self, Group, ItemKind, Keep, MOST_KEPT, MapRef, Part, Rows, Unit, UnitChunk};
use crate::object::{self, Kind};
use crate::properties::repository;
use crate::repository::Repository;
use crate::stream::{Child, ChunkKind, Class, Node, StreamRef};
use crate::{CheckLevel, CheckOptions, PruneOptions, RepoError, codec};

impl BackupWriter<'_> {
    pub(crate) fn put(&self, kind: ChunkKind, raw: &[u8]) -> ChunkId {
        let key = self.session.id_key(kind, &[]);
        let added = Arc::default();
        self.session.lane().store(kind, &[], &key, Cow::Borrowed(raw), &added).unwrap()
    }

    /// A tree of this level whose nodes name one child each, 1024 times.
    fn tower(&self, class: Class, raw: &[u8], level: u8) -> StreamRef {
        let len = raw.len() as u32;
        let id = self.put(class.into(), raw);
        let mut child = Child { id, bytes: u64::from(len), raw_len: len };
        for level in 1..=level {
            let node = Node { level, children: vec![child.clone(); 1024] };
            let raw = node.encode();
            let id = self.put(ChunkKind::Tree, &raw);
            child = Child { id, bytes: child.bytes * 1024, raw_len: raw.len() as u32 };
        }
        StreamRef { root: child.id, level, class: ChunkKind::from(class) as u8, bytes: child.bytes }
    }

    pub(crate) fn metadata(&self, raw: &[u8]) -> StreamRef {
        let mut stream = self.stream(Class::Metadata, Cut::Content);
        stream.write(raw).unwrap();
        stream.finish_stream().unwrap().0
    }
}

/// A backup of these parts, one entry each.
fn backup(repository: &Repository, parts: impl FnOnce(&BackupWriter<'_>) -> Vec<Part>) -> BackupHead {
    let options = WriteOptions::of("c", "test");
    let written = repository.write_backup::<(), RepoError>(&options, |writer| {
        for (number, part) in parts(writer).into_iter().enumerate() {
            let mut entry = writer.entry(format!("/{number}"), Class::Data);
            entry.add(PartSummary::new(part, Vec::new()));
            entry.finish(Vec::new())?;
        }
        let (kind, about) = ("x".into(), Vec::new());
        Ok((NewBackup { kind, complete: true, about, time: None }, ()))
    });
    written.unwrap().0
}

fn entry(parts: Vec<Part>) -> Entry {
    let bytes_raw = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.bytes_raw()));
    Entry { path: "/a".into(), class: Class::Data, parts, bytes_raw, about: Vec::new() }
}

/// A list of chunks that repeats one: 8 EiB out of 8 MiB, or 8 TiB, which some table may have.
#[test]
fn a_tree_that_repeats_one_chunk() {
    let (_dir, repository) = repository();
    let raw = vec![b'\n'; LARGEST];
    let (mut towers, mut lists) = (Vec::new(), Vec::new());
    let head = backup(&repository, |writer| {
        towers = vec![writer.tower(Class::Data, &raw, 4), writer.tower(Class::Data, &raw, 2)];
        lists = vec![writer.tower(Class::Metadata, &raw, 2)];
        vec![Part::Stream(towers[1].clone())]
    });
    assert_eq!(towers[0].bytes, 1 << 63);
    // No list holds the one of 8 EiB, for writers and readers alike.
    let parts = Parts::Here(vec![Part::Stream(towers[0].clone())]);
    let record = Record { path: "/a".into(), class: Class::Data, parts, about: Vec::new() };
    assert!(matches!(ListBuilder::new(|_| Ok(Hash([0; 32]))).add(&record), Err(RepoError::TooLarge { .. })));
    assert!(manifest::decode_leaf(&codec::encode(&(0u8, vec![record]))).is_err());
    // And one that is held whole is refused by what it says, and by what it is.
    let reader = repository.reader(&repository.backups().unwrap()[0]).unwrap();
    for bytes in [towers[1].bytes, 1000] {
        let claimed = StreamRef { bytes, ..towers[1].clone() };
        let read = reader.read_whole(&entry(vec![Part::Stream(claimed)]), 32 << 20);
        assert!(read.is_err(), "{bytes}");
    }
    let many = entry(vec![Part::Stream(StreamRef { bytes: 0, ..towers[1].clone() }); 3]);
    assert!(reader.read_whole(&many, 32 << 20).unwrap().is_empty());
    // What a backup added, parts apart, or a map of such a length is never read.
    let chunks = {
        let compartment = repository.unlocked.compartment_of("c").unwrap();
        repository.chunks(repository.index(compartment).unwrap()).unwrap()
    };
    let long = StreamRef { bytes: 2 << 30, ..lists[0].clone() };
    assert!(matches!(Additions::new(&chunks, &long), Err(RepoError::Damaged { .. })));
    let apart =
        Record { path: "/a".into(), class: Class::Data, parts: Parts::Apart(long), about: Vec::new() };
    assert!(apart.check().is_err() && apart.read(&chunks).is_err());
    let map = map_of(lists[0].clone(), 1);
    assert!(matches!(map::records(&chunks, &map), Err(RepoError::Damaged { .. })));
    // Everything that walks trees walks each node once.
    let all = CheckOptions::all(CheckLevel::Data);
    assert!(repository.check(&all, &|_| {}).unwrap().problems.is_empty());
    repository.prune(&PruneOptions::default(), &|_| {}).unwrap();
    assert_eq!(repository.contents().unwrap().bytes_unique >> 20, 8);
    let opened = repository.open_backup(head.id).unwrap();
    backup(&repository, |writer| {
        let part = opened.entry("/0").unwrap().unwrap().parts[0].clone();
        writer.lean_on(&part).unwrap();
        vec![part]
    });
}

fn map_of(units: StreamRef, items: u64) -> MapRef {
    MapRef {
        kind: Rows::NUMBER,
        units,
        // Every unit is kept whole.
        keeps: StreamRef { root: Hash([0; 32]), level: 0, class: 2, bytes: 0 },
        more: None,
        identity: ByteArray::from([1; 16]),
        domain: ByteVec::from(Vec::new()),
        from: 0,
        items,
        bytes: items * 2,
        sum: ByteArray::from([0; 16]),
        facts: ByteVec::from(Vec::new()),
    }
}

/// Groups of so many units of one chunk each; no two groups are alike.
fn groups(writer: &BackupWriter<'_>, count: u32, units: u32) -> Vec<map::Record> {
    let chunk = UnitChunk { id: writer.put(ChunkKind::Data, b"x\n"), raw_len: 2 };
    let group = |number: u32| {
        let unit = Unit { chunks: vec![chunk.clone()], items: 1, runs: Vec::new() };
        let mut own = vec![unit; units as usize];
        own[0].chunks[0].raw_len = number + 1;
        let group = Group { kind: Rows::NUMBER, list: None, names: Vec::new(), units: own };
        let raw = codec::encode(&group);
        let keeps = vec![Keep::All; units as usize];
        map::Record::new(writer.put(ChunkKind::Group, &raw), raw.len() as u32, &keeps)
    };
    (0..count).map(group).collect()
}

/// Maps of very many units: one group again and again, very many groups, very many units kept.
#[test]
fn a_map_of_very_many_units() {
    let (_dir, repository) = repository();
    let mut maps = Vec::new();
    backup(&repository, |writer| {
        let few = groups(writer, 2, 3);
        let twice: Vec<map::Record> = few.iter().chain(&few[..1]).cloned().collect();
        let many: Vec<map::Record> = (0..=map::MOST_RECORDS as u32)
            .map(|number| map::Record {
                group: Hash::of(&number.to_le_bytes()),
                raw_len: 9,
                used: vec![1].into(),
            })
            .collect();
        let per_group = 64u32 << 10;
        let large = vec![groups(writer, 1, per_group).remove(0); MOST_KEPT / per_group as usize + 1];
        for (records, items) in [(&few, 6), (&twice, 9), (&many, 5000), (&large, 2 << 20), (&few, 5)] {
            let raw: Vec<u8> = records.iter().flat_map(codec::encode).collect();
            maps.push(map_of(writer.metadata(&raw), items));
        }
        maps.iter().map(|map| Part::Map(Box::new(map.clone()))).collect()
    });
    backup(&repository, |writer| {
        let earlier = |map: &MapRef| writer.earlier_map::<Rows>(map).unwrap();
        // Groups of equal content have one id: a map may name it twice.
        assert_eq!(earlier(&maps[1]).group_count(), 3);
        // A map that keeps more than it says is reused by nobody.
        assert_eq!((earlier(&maps[0]).group_count(), earlier(&maps[4]).group_count()), (2, 0));
        Vec::new()
    });
    let reader = repository.reader(&repository.backups().unwrap()[0]).unwrap();
    let read = |map: &MapRef| reader.read_whole(&entry(vec![Part::Map(Box::new(map.clone()))]), 1 << 30);
    for (number, what) in [(2, "more groups"), (3, "more chunks")] {
        let said = read(&maps[number]).unwrap_err().to_string();
        assert!(said.contains(what), "{said}");
    }
    // The check names them, and whom they hurt; a prune deletes nothing meanwhile.
    let report = repository.check(&CheckOptions::all(CheckLevel::Structure), &|_| {}).unwrap();
    assert!(!report.hurt.is_empty());
    let pruned = repository.prune(&PruneOptions::default(), &|_| {}).unwrap();
    assert!(!pruned.held_by.is_empty(), "{pruned:?}");
}

/// Objects that are larger than any of their kind, whole and sealed as they should be.
#[test]
fn objects_larger_than_their_kind() {
    let (_dir, repository) = repository();
    let name = format!("x/{}/name", "5a".repeat(16));
    for kind in [Kind::Session, Kind::Marks, Kind::Intents, Kind::Tombstone, Kind::Tags] {
        let fits = vec![0; kind.largest() - 1000];
        let bytes = object::seal(repository.keys(), kind, &name, &fits).unwrap();
        assert!(object::open(repository.keys(), kind, &name, &bytes).is_ok(), "{kind:?}");
        let bytes = object::seal(repository.keys(), kind, &name, &vec![0; kind.largest()]).unwrap();
        assert!(
            matches!(object::open(repository.keys(), kind, &name, &bytes), Err(RepoError::Damaged { .. })),
            "{kind:?}"
        );
    }
}

/// Very many tiny chunks make several packs, each with a directory that its readers take.
#[test]
fn very_many_tiny_chunks() {
    let (_dir, repository) = repository();
    let head = backup(&repository, |writer| {
        let part = |number: u32| Part::Stream(writer.tower(Class::Data, &number.to_le_bytes(), 0));
        (0..70_000).map(part).collect()
    });
    let packs = repository.store().list("packs/").unwrap();
    assert!(packs.len() >= 3, "{packs:?}");
    assert_eq!(repository.open_backup(head.id).unwrap().entries().map(Result::unwrap).count(), 70_000);
    let all = CheckOptions::all(CheckLevel::Data);
    assert!(repository.check(&all, &|_| {}).unwrap().problems.is_empty());
}
