//! The list of entries: it comes back, a change of one entry costs little, and no bytes do harm.

use std::cell::RefCell;
use std::collections::HashMap;

use proptest::prelude::*;

use super::entries::{AdditionDecoder, encode_addition};
use super::sublists::{ListBuilder, ListRef, decode_leaf, decode_node};
use super::{Addition, Parts, Record};
use crate::ids::{ChunkId, Hash};
use crate::map::Part;
use crate::stream::{Class, StreamRef};
use crate::{RepoError, codec};

/// Chunks by id.
type Chunks = RefCell<HashMap<ChunkId, Vec<u8>>>;

fn record(path: &str, seed: u64) -> Record {
    let root = Hash::of(&seed.to_le_bytes());
    let parts = Parts::Here(vec![Part::Stream(StreamRef { root, level: 0, class: 1, bytes: 5 })]);
    Record { path: path.into(), class: Class::Data, parts, about: b"{}".to_vec() }
}

fn build(chunks: &Chunks, records: &[Record]) -> Result<(ListRef, u64), RepoError> {
    let mut list = ListBuilder::new(|raw: Vec<u8>| {
        let id = Hash::of(&raw);
        chunks.borrow_mut().insert(id, raw);
        Ok(id)
    });
    records.iter().try_for_each(|record| list.add(record))?;
    list.finish()
}

/// All records below a list, and every chunk of it; what the decoders refuse panics.
fn walk(chunks: &Chunks, list: &ListRef) -> (Vec<Record>, Vec<ChunkId>) {
    let (mut records, mut ids) = (Vec::new(), Vec::new());
    if list.raw_len == 0 {
        return (records, ids);
    }
    let mut open = vec![(list.root, list.level, list.raw_len)];
    while let Some((id, level, raw_len)) = open.pop() {
        let raw = chunks.borrow()[&id].clone();
        assert_eq!(raw.len(), raw_len as usize);
        ids.push(id);
        match level {
            0 => records.extend(decode_leaf(&raw).unwrap()),
            level => {
                let subs = decode_node(&raw, level).unwrap();
                open.extend(subs.iter().rev().map(|sub| (sub.id, level - 1, sub.raw_len)));
            }
        }
    }
    (records, ids)
}

fn many(count: u64) -> Vec<Record> {
    (0..count).map(|number| record(&format!("/db/d/data/public.t_{number:07}"), number)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lists_come_back(paths in prop::collection::btree_set("/[a-c]{1,3}(/[a-z]{0,5}){0,2}", 0..400), long in any::<bool>()) {
        let records: Vec<Record> = paths
            .iter()
            .enumerate()
            .map(|(number, path)| {
                let tail = if long && number % 3 == 0 { "x".repeat(4096 - path.len()) } else { String::new() };
                record(&format!("{path}{tail}"), number as u64)
            })
            .collect();
        let sorted = records.windows(2).all(|two| two[0].path < two[1].path);
        let chunks = Chunks::default();
        match build(&chunks, &records) {
            Ok((list, count)) => {
                prop_assert!(sorted && count == records.len() as u64);
                prop_assert_eq!(walk(&chunks, &list).0, records);
            }
            Err(_) => prop_assert!(!sorted),
        }
    }

    #[test]
    fn additions_come_back_however_their_bytes_come(count in 0u64..300, piece in 1usize..500) {
        let addition = |number: u64| Addition {
            path: format!("/{number:05}"),
            bytes: number * 1000,
            changed: (0..number % 4).collect(),
            about: vec![b'x'; number as usize % 50],
        };
        let all: Vec<Addition> = (0..count).map(addition).collect();
        let bytes: Vec<u8> = all.iter().flat_map(|one| encode_addition(one).unwrap()).collect();
        let (mut decoder, mut read) = (AdditionDecoder::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            decoder.feed(piece);
            while let Some(addition) = decoder.next().unwrap() {
                read.push(addition);
            }
        }
        prop_assert!(decoder.is_done());
        prop_assert_eq!(read, all);
    }

    /// One flipped bit: refused, or a list of the same shape; never a panic.
    #[test]
    fn rotten_lists_do_no_harm(flip in any::<prop::sample::Index>(), bit in 0u8..8) {
        let chunks = Chunks::default();
        build(&chunks, &many(600)).unwrap();
        for raw in chunks.borrow().values() {
            let mut raw = raw.clone();
            let at = flip.index(raw.len());
            raw[at] ^= 1 << bit;
            if let Ok(records) = decode_leaf(&raw) {
                prop_assert!(records.windows(2).all(|two| two[0].path < two[1].path));
            }
            let _ = decode_node(&raw, 1);
        }
    }
}

#[test]
fn a_change_of_one_entry_changes_few_sublists() {
    let mut records = many(50_000);
    let chunks = Chunks::default();
    let (list, _) = build(&chunks, &records).unwrap();
    assert_eq!(list.level, 2);
    let (_, before) = walk(&chunks, &list);
    let new = |records: &[Record]| -> (usize, usize) {
        let chunks = Chunks::default();
        let (list, _) = build(&chunks, records).unwrap();
        let new: Vec<usize> = walk(&chunks, &list)
            .1
            .iter()
            .filter(|id| !before.contains(id))
            .map(|id| chunks.borrow()[id].len())
            .collect();
        (new.len(), new.iter().sum())
    };
    assert_eq!(new(&records), (0, 0));
    let old = std::mem::replace(&mut records[31_234], record("/db/d/data/public.t_0031234", 1));
    // A sublist, and one node of each level.
    let (count, bytes) = new(&records);
    assert!(count == 3 && bytes < 60_000, "{count} chunks, {bytes} bytes");
    records[31_234] = old;
    records.insert(31_234, record("/db/d/data/public.t_0031233b", 2));
    assert!(new(&records).0 <= 5, "{:?}", new(&records));
    records.remove(31_234);
    records.remove(40_000);
    assert!(new(&records).0 <= 6, "{:?}", new(&records));
}

/// What is too large for a list is refused by writers and by readers.
#[test]
fn limits_of_a_list() {
    let chunks = Chunks::default();
    let refused = |record: Record| {
        assert!(matches!(build(&chunks, std::slice::from_ref(&record)), Err(RepoError::TooLarge { .. })));
        assert!(decode_leaf(&codec::encode(&(0u8, vec![record]))).is_err());
    };
    refused(record("", 1));
    refused(record(&"x".repeat(4097), 1));
    refused(Record { about: vec![0; (64 << 10) + 1], ..record("/a", 1) });
    let long = StreamRef { root: Hash([1; 32]), level: 1, class: 2, bytes: (1 << 30) + 1 };
    refused(Record { parts: Parts::Apart(long), ..record("/a", 1) });
    assert!(build(&chunks, &[record("/b", 1), record("/a", 2)]).is_err());
    assert!(decode_leaf(&codec::encode(&(0u8, vec![record("/a", 1), record("/a", 1)]))).is_err());
    assert!(decode_leaf(&codec::encode(&(1u8, vec![record("/a", 1)]))).is_err());
    assert!(decode_leaf(&codec::encode(&(0u8, Vec::<Record>::new()))).is_err());
    let few = many(257);
    assert!(decode_leaf(&codec::encode(&(0u8, few))).is_err());
    let (list, count) = build(&chunks, &[]).unwrap();
    assert_eq!((list.level, list.raw_len, count), (0, 0, 0));
}

/// Entries as large as entries may be: every sublist stays within its limit.
#[test]
fn the_largest_entries() {
    let records: Vec<Record> = (0..600)
        .map(|number| Record {
            about: vec![b'x'; 64 << 10],
            ..record(&format!("/{number:04}{}", "y".repeat(4091)), number)
        })
        .collect();
    let chunks = Chunks::default();
    let (list, _) = build(&chunks, &records).unwrap();
    assert!(list.level >= 2);
    assert_eq!(walk(&chunks, &list).0, records);
}
