//! Block references from records that are made by hand, and their form as bytes. `wal_server.rs`
//! judges them by real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/wal_fixtures.rs"]
mod wal_fixtures;

use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal::encoding::ReferencesError;
use pgark_bytes::wal::heads::{RelationFork, read_heads};
use pgark_bytes::wal::record::RecordHeader;
use pgark_bytes::wal::references::{Changed, Collector, References};
use pgark_bytes::wal::{Record, Walk};
use proptest::prelude::*;
use regex::Regex;
use wal_fixtures::{FIXTURES, fixture, format};

const XLOG: u8 = 0;
const XACT: u8 = 1;
const SMGR: u8 = 2;
const DATABASE: u8 = 4;
const TABLESPACE: u8 = 5;
const HEAP: u8 = 10;

fn record(resource_manager: u8, info: u8, length: usize) -> Record {
    let total_length = 24 + length as u32;
    let header = RecordHeader { total_length, xid: 7, previous: Lsn(8), info, resource_manager, crc: 0 };
    Record { lsn: Lsn(0x100), end: Lsn(0x200), header }
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn main_data(data: &[u8]) -> Vec<u8> {
    [&[254][..], &(data.len() as u32).to_le_bytes(), data].concat()
}

/// What records of main data only tell of.
fn found(major: i32, records: &[(u8, u8, Vec<u8>)]) -> References {
    let mut collector = Collector::default();
    for (manager, info, data) in records {
        let body = main_data(data);
        collector.add(major, &record(*manager, *info, body.len()), &body);
    }
    collector.finish()
}

fn fork(relation: u32, fork: u8) -> RelationFork {
    RelationFork { tablespace: 1663, database: 5, relation, fork }
}

fn changed(limit: Option<u32>, blocks: &[u32]) -> Changed {
    Changed { limit, blocks: blocks.to_vec() }
}

fn of_forks(forks: &[(RelationFork, Changed)]) -> References {
    References { forks: forks.iter().cloned().collect(), ..References::default() }
}

/// Three blocks: one with an image and a hole, one of the same relation with data, one of another
/// fork; and main data.
fn blocks(image: u8, hole: bool) -> Vec<u8> {
    let mut heads = vec![0, 0x10, 0, 0, 50, 0, 0, 0, image];
    if hole {
        heads.extend([9, 9]);
    }
    heads.extend(numbers(&[1663, 5, 16384, 77]));
    heads.extend([1, 0x20 | 0x80, 3, 0]);
    heads.extend(numbers(&[78]));
    heads.extend([2, 0x02, 0, 0]);
    heads.extend(numbers(&[1663, 5, 16384, 1]));
    heads.extend([253, 1, 0, 255, 4]);
    heads.extend([0xAA; 50 + 3]);
    heads.extend(*b"main");
    heads
}

#[test]
fn heads_of_blocks() {
    // Whether a hole's length follows depends on the version: 2 meant compressed, and means apply.
    for (major, image, hole) in [
        (14, 1, false),
        (14, 3, true),
        (14, 2, false),
        (15, 3, false),
        (15, 5, true),
        (18, 17, true),
        (18, 8, false),
    ] {
        let body = blocks(image, hole);
        let mut seen = Vec::new();
        let data = read_heads(major, &record(HEAP, 0, body.len()), &body, &mut |fork, block| {
            seen.push((fork, block))
        });
        assert_eq!(data, Ok(&b"main"[..]), "{major} {image}");
        assert_eq!(seen, [(fork(16384, 0), 77), (fork(16384, 0), 78), (fork(16384, 2), 1)]);
        // The heads suffice.
        let heads = body.len() - 57;
        assert_eq!(
            read_heads(major, &record(HEAP, 0, body.len()), &body[..heads], &mut |_, _| ()),
            Ok(&b""[..])
        );
        for cut in 0..heads {
            let result = read_heads(major, &record(HEAP, 0, body.len()), &body[..cut], &mut |_, _| ());
            assert!(result.is_err(), "{major} {cut}");
        }
        // A record that is longer or shorter than its heads say.
        for length in [body.len() - 1, body.len() + 1, heads, 5, 0] {
            let result = read_heads(major, &record(HEAP, 0, length), &body, &mut |_, _| ());
            assert_eq!(result.is_err(), length > 0, "{major} {length}");
        }
    }
    // The same relation as none.
    let body = [&[0, 0x80, 0, 0][..], &numbers(&[1])].concat();
    assert!(read_heads(18, &record(HEAP, 0, body.len()), &body, &mut |_, _| ()).is_err());
}

#[test]
fn blocks_and_limits() {
    let mut collector = Collector::default();
    let body = blocks(1, false);
    for _ in 0..3 {
        collector.add(18, &record(HEAP, 0, body.len()), &body);
    }
    let all = [(fork(16384, 0), changed(None, &[77, 78])), (fork(16384, 2), changed(None, &[1]))];
    assert_eq!(collector.clone().finish(), of_forks(&all));
    // Truncated to 78 blocks, with both maps.
    let data = main_data(&numbers(&[78, 1663, 5, 16384, 7]));
    collector.add(18, &record(SMGR, 0x21, data.len()), &data);
    let all = [
        (fork(16384, 0), changed(Some(78), &[77])),
        (fork(16384, 1), changed(Some(0), &[])),
        (fork(16384, 2), changed(Some(0), &[])),
    ];
    assert_eq!(collector.clone().finish(), of_forks(&all));
    // What comes behind the limit is said already; a higher limit says nothing.
    collector.add(18, &record(HEAP, 0, body.len()), &body);
    let data = main_data(&numbers(&[100, 1663, 5, 16384, 1]));
    collector.add(18, &record(SMGR, 0x21, data.len()), &data);
    assert_eq!(collector.finish(), of_forks(&all));
    // Created.
    for fork_number in 0..4 {
        let data = numbers(&[1663, 5, 16385, fork_number]);
        let all = [(fork(16385, fork_number as u8), changed(Some(0), &[]))];
        assert_eq!(found(13, &[(SMGR, 0x11, data)]), of_forks(&all));
    }
    // Dropped by the end of a transaction, prepared or not.
    let mut data = 5i64.to_le_bytes().to_vec();
    data.extend(numbers(&[7, 5, 1663, 2, 900, 901, 2, 1663, 5, 16386, 1663, 5, 16387]));
    let whole = |relation| (0..4).map(move |number| (fork(relation, number), changed(Some(0), &[])));
    let dropped: Vec<_> = whole(16386).chain(whole(16387)).collect();
    for info in [0x81, 0xA1, 0xB1, 0xC1] {
        assert_eq!(found(17, &[(XACT, info, data.clone())]), of_forks(&dropped), "{info:x}");
    }
    assert_eq!(found(17, &[(XACT, 0, data[..8].to_vec())]), References::default());
    // A list of which not all is there.
    assert_eq!(found(17, &[(XACT, 0x81, data[..data.len() - 1].to_vec())]), References::unknown());
}

#[test]
fn whole_databases_and_tablespaces() {
    let databases = |pairs: &[(u32, u32)]| References {
        databases: pairs.iter().copied().collect(),
        ..References::default()
    };
    let create = numbers(&[16400, 1663, 1, 1663]);
    let drop = numbers(&[16400, 2, 1663, 17000]);
    for (major, info, data, pairs) in [
        (13, 0x01, &create, &[(1663, 16400)][..]),
        (14, 0x11, &drop, &[(1663, 16400), (17000, 16400)]),
        (15, 0x01, &create, &[(1663, 16400)]),
        (15, 0x11, &create, &[(1663, 16400)]),
        (18, 0x21, &drop, &[(1663, 16400), (17000, 16400)]),
    ] {
        assert_eq!(found(major, &[(DATABASE, info, data.clone())]), databases(pairs), "{major} {info:x}");
    }
    let tablespaces = References { tablespaces: [17000].into(), ..References::default() };
    for info in [0x00, 0x10] {
        let data = [&numbers(&[17000])[..], b"/path\0"].concat();
        assert_eq!(found(15, &[(TABLESPACE, info, data)]), tablespaces);
    }
    let short = numbers(&[16400, 3, 1663, 17000]);
    assert_eq!(found(18, &[(DATABASE, 0x21, short)]), References::unknown());
}

#[test]
fn what_the_server_wrote_less_of() {
    let minimal = References { is_minimal: true, ..References::default() };
    let off = References { full_pages_off: true, ..References::default() };
    let parameters = |level| numbers(&[100, 8, 10, 0, 64, level, 0]);
    let mut checkpoint = numbers(&[0; 22]);
    assert_eq!(found(13, &[(XLOG, 0x60, parameters(0))]), minimal);
    assert_eq!(found(13, &[(XLOG, 0x60, parameters(1))]), References::default());
    assert_eq!(found(18, &[(XLOG, 0xE0, numbers(&[0]))]), minimal);
    assert_eq!(found(18, &[(XLOG, 0xE0, numbers(&[2]))]), References::default());
    // A checkpoint says it from 17 on; before, there is nothing in its place.
    assert_eq!(found(17, &[(XLOG, 0x00, checkpoint.clone())]), minimal);
    assert_eq!(found(16, &[(XLOG, 0x00, checkpoint.clone())]), References::default());
    checkpoint[20] = 1;
    assert_eq!(found(17, &[(XLOG, 0x00, checkpoint)]), References::default());
    assert_eq!(found(17, &[(XLOG, 0x90, numbers(&[1, 1, 2, 1, 0]))]), minimal);
    assert_eq!(found(15, &[(XLOG, 0x80, vec![0])]), off);
    assert_eq!(found(15, &[(XLOG, 0x80, vec![1])]), References::default());
}

#[test]
fn what_is_not_understood_is_unknown() {
    let create = (SMGR, 0x11, numbers(&[1663, 5, 16385, 0]));
    for odd in [
        // The mark of records that change files otherwise, where none is known.
        (HEAP, 0x01, Vec::new()),
        (XLOG, 0x21, Vec::new()),
        (XACT, 0x11, Vec::new()),
        (200, 0x01, Vec::new()),
        // Kinds that no version has.
        (SMGR, 0x31, numbers(&[1663, 5, 16385, 0])),
        (DATABASE, 0x31, numbers(&[1663, 5, 16385, 0])),
        (TABLESPACE, 0x20, numbers(&[1663])),
        // A fork that there is not.
        (SMGR, 0x11, numbers(&[1663, 5, 16385, 4])),
    ] {
        assert_eq!(
            found(18, &[create.clone(), odd.clone(), create.clone()]),
            References::unknown(),
            "{odd:?}"
        );
        let other = found(18, std::slice::from_ref(&odd));
        let mut known = found(18, std::slice::from_ref(&create));
        known.merge(&other);
        assert_eq!(known, References::unknown());
    }
    assert_eq!(found(14, &[(DATABASE, 0x21, numbers(&[16400, 0]))]), References::unknown());
    assert_eq!(found(18, &[(200, 0x10, Vec::new())]), References::default());
}

#[test]
fn memory_is_bounded() {
    let mut collector = Collector::default();
    let mut add = |range: std::ops::Range<u32>| {
        for block in range {
            let body = [&[0, 0, 0, 0][..], &numbers(&[1663, 5, 16384, block])].concat();
            collector.add(18, &record(HEAP, 0, body.len()), &body);
        }
        collector.clone().finish()
    };
    for _ in 0..5 {
        assert_eq!(add(0..1_500_000).forks[&fork(16384, 0)].blocks.len(), 1_500_000);
    }
    assert_eq!(add(1_500_000..5_000_000), References::unknown());
    let relations: Vec<_> =
        (0..300_000).map(|relation| (SMGR, 0x11, numbers(&[1663, 5, relation, 0]))).collect();
    assert_eq!(found(18, &relations[..200_000]).forks.len(), 200_000);
    assert_eq!(found(18, &relations), References::unknown());
}

/// What backups of each major wrote, against what its own `pg_waldump` said (see `wal.rs`).
#[test]
fn every_major() {
    let pattern = Regex::new(r"blkref #\d+: rel (\d+)/(\d+)/(\d+) blk (\d+)").unwrap();
    let mut blocks = 0;
    for (major, system_identifier, segment) in FIXTURES {
        let text = String::from_utf8(fixture(&format!("{major}.txt"))).unwrap();
        let mut expected = References::default();
        for found in pattern.captures_iter(&text) {
            let [tablespace, database, relation, block] = [1, 2, 3, 4].map(|at| found[at].parse().unwrap());
            let fork = RelationFork { tablespace, database, relation, fork: 0 };
            expected.forks.entry(fork).or_default().blocks.push(block);
            blocks += 1;
        }
        let mut walk = Walk::new(format(major, system_identifier), Lsn(segment)).unwrap();
        let mut collector = Collector::default();
        let mut add = |record: &Record, body: &[u8]| collector.add(major, record, body);
        for piece in fixture(&major.to_string()).chunks(100) {
            walk.feed_bodies(walk.expects(), piece, &mut add).unwrap();
        }
        assert_eq!(collector.finish(), expected, "PostgreSQL {major}");
    }
    assert!(blocks > 0);
}

fn any_references() -> impl Strategy<Value = References> {
    let number = || prop_oneof![0u32..6, any::<u32>(), Just(u32::MAX)];
    let fork = (0u32..3, 0u32..3, number(), 0u8..4).prop_map(|(tablespace, database, relation, fork)| {
        RelationFork { tablespace, database, relation, fork }
    });
    let changed = (prop::option::of(number()), prop::collection::btree_set(number(), 0..20)).prop_map(
        |(limit, blocks)| {
            let is_before = |block: &u32| limit.is_none_or(|limit| *block < limit);
            Changed { limit, blocks: blocks.into_iter().filter(is_before).collect() }
        },
    );
    let says = |changed: &Changed| changed.limit.is_some() || !changed.blocks.is_empty();
    let forks = prop::collection::btree_map(fork, changed.prop_filter("it says nothing", says), 0..20);
    let databases = prop::collection::btree_set((number(), number()), 0..4);
    let tablespaces = prop::collection::btree_set(number(), 0..4);
    (any::<bool>(), any::<bool>(), tablespaces, databases, forks).prop_map(
        |(is_minimal, full_pages_off, tablespaces, databases, forks)| References {
            is_unknown: false,
            is_minimal,
            full_pages_off,
            tablespaces,
            databases,
            forks,
        },
    )
}

#[test]
fn bytes_of_references() {
    let all = [
        (fork(16384, 0), changed(Some(78), &[5, 7, 8])),
        (fork(16384, 2), changed(Some(0), &[])),
        (fork(16390, 0), changed(None, &[300])),
    ];
    let references = References {
        is_minimal: true,
        tablespaces: [17000, 17001].into(),
        databases: [(1663, 5)].into(),
        ..of_forks(&all)
    };
    let bytes = [
        &[1, 2, 2, 0xE8, 0x84, 1, 0, 1, 0xFF, 12, 5][..],
        &[1, 0xFF, 12, 5, 2],
        &[0x80, 0x80, 1, 0b0100_0001, 79, 3, 5, 1, 0],
        &[5, 0b0000_0001, 0, 1, 0xAC, 2],
    ]
    .concat();
    assert_eq!(references.encode(), bytes);
    assert_eq!(References::decode(&bytes), Ok(references));
    assert_eq!(References::unknown().encode(), [1, 1]);
    assert_eq!(References::decode(&[1, 1]), Ok(References::unknown()));
    assert_eq!(References::default().encode(), [1, 0, 0, 0, 0]);
    assert_eq!(References::decode(&[2, 0, 0, 0, 0]), Err(ReferencesError::Version { version: 2 }));
    for cut in 0..bytes.len() {
        assert_eq!(References::decode(&bytes[..cut]), Err(ReferencesError::Form), "{cut}");
    }
    for wrong in [
        &[1, 0, 0, 0, 0, 0][..],
        // Flags that there are not, or not together.
        &[1, 3],
        &[1, 8, 0, 0, 0],
        // A number that is not in its shortest form; numbers above 32 bits.
        &[1, 0, 0x80, 0, 0, 0],
        &[1, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F, 0, 0],
        &[1, 0, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0],
        // Databases that do not rise.
        &[1, 0, 0, 2, 7, 7, 7, 7, 0],
        // No relations; no forks; a fork of which nothing is said; a limit of 0; a block behind.
        &[1, 0, 0, 0, 1, 7, 7, 0],
        &[1, 0, 0, 0, 1, 7, 7, 1, 9, 0],
        &[1, 0, 0, 0, 1, 7, 7, 1, 9, 1, 0, 0],
        &[1, 0, 0, 0, 1, 7, 7, 1, 9, 1, 1, 0],
        &[1, 0, 0, 0, 1, 7, 7, 1, 9, 1, 3, 1, 2],
        // Named, and whole.
        &[1, 0, 0, 0, 1, 7, 7, 1, 9, 0x11, 3, 1, 1],
        // More blocks than bytes.
        &[1, 0, 0, 0, 1, 7, 7, 1, 9, 1, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1],
    ] {
        assert_eq!(References::decode(wrong), Err(ReferencesError::Form), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn bytes_and_back(references in any_references(), other in any_references()) {
        let bytes = references.encode();
        prop_assert_eq!(References::decode(&bytes), Ok(references.clone()));
        // In any order, and twice.
        let mut merged = references.clone();
        merged.merge(&other);
        let mut reversed = other.clone();
        reversed.merge(&references);
        prop_assert_eq!(&merged, &reversed);
        reversed.merge(&other);
        prop_assert_eq!(&merged, &reversed);
        prop_assert_eq!(References::decode(&merged.encode()), Ok(merged.clone()));
        for (fork, changed) in references.forks.iter().chain(&other.forks) {
            let all = &merged.forks[fork];
            let limit = u64::from(all.limit.unwrap_or(u32::MAX)) + u64::from(all.limit.is_none());
            prop_assert!(changed.limit.is_none_or(|own| u64::from(own) >= limit));
            for block in &changed.blocks {
                prop_assert!(u64::from(*block) >= limit || all.blocks.contains(block));
            }
        }
    }

    #[test]
    fn any_bytes(
        references in any_references(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut damaged = references.encode();
        let at = at.index(damaged.len());
        damaged[at] = byte;
        for bytes in [damaged, bytes] {
            if let Ok(references) = References::decode(&bytes) {
                prop_assert_eq!(references.encode(), bytes);
            }
        }
    }

    #[test]
    fn any_record(
        major in 13i32..=18, manager in 0u8..6, info in any::<u8>(), longer in 0usize..50,
        body in prop::collection::vec(any::<u8>(), 0..80), has_data in any::<bool>(),
    ) {
        let body = if has_data { main_data(&body) } else { body };
        let mut collector = Collector::default();
        collector.add(major, &record(manager, info, body.len() + longer), &body);
        let references = collector.finish();
        prop_assert_eq!(References::decode(&references.encode()), Ok(references));
    }
}
