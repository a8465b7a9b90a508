//! Files of pages that are read while they change.
//!
//! What a server does at the worst moment is done in the question whether to stop: a reader asks it
//! before each piece and in each pause.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{Made, PAGE, SetAtEnd, fifo, page_of, pages, with_checksum};
use pgark_bytes::lsn::Lsn;
use pgark_bytes::page::{HeaderFault, checksum};
use pgark_datadir::names::{DEFAULT_SEGMENT_BLOCKS, RelationFile};
use pgark_datadir::read::{Checks, Failure, FailureKind, MOST_NOTED, PageFile, ReadOptions, Report, Wanted};
use pgark_datadir::{Error, Stop};
use proptest::prelude::*;

const START: u64 = 0x1_0000_0000;
const OLD: u64 = START - 8;
const IN_WAL: u64 = START + 8;

fn checked() -> ReadOptions {
    let checks = Checks { checksums: true, start_lsn: Lsn(START), end_of_wal: None };
    ReadOptions { checks: Some(checks), pause: Duration::from_millis(1), ..ReadOptions::default() }
}

fn until(end: u64) -> ReadOptions {
    let checks = Checks { checksums: true, start_lsn: Lsn(START), end_of_wal: Some(Lsn(end)) };
    ReadOptions { checks: Some(checks), ..checked() }
}

/// Opens `base/5/NAME`.
fn open(made: &Made, name: &str, bytes: Option<u64>, options: &ReadOptions) -> Option<PageFile> {
    let folder = made.directory().folder(b"base/5").unwrap().unwrap();
    let file = RelationFile::parse(name.as_bytes()).unwrap();
    let first_block = file.first_block(DEFAULT_SEGMENT_BLOCKS).unwrap();
    PageFile::open(&folder, &Wanted { name: name.as_bytes(), bytes, first_block }, options).unwrap()
}

/// Reads all of it.
fn rest(mut file: PageFile, stop: Stop<'_>) -> (Vec<u8>, Report) {
    let (mut all, mut buffer) = (Vec::new(), Vec::new());
    while let Some(block) = file.next_piece(&mut buffer, stop).unwrap() {
        assert_eq!(block as usize * PAGE, all.len());
        all.extend_from_slice(&buffer);
    }
    assert_eq!(file.next_piece(&mut buffer, stop).unwrap(), None);
    assert!(buffer.is_empty());
    assert_eq!(file.report().bytes, all.len() as u64);
    (all, file.into_report())
}

fn read(made: &Made, name: &str, options: &ReadOptions) -> (Vec<u8>, Report) {
    rest(open(made, name, None, options).unwrap(), &|| false)
}

fn write_at(path: &Path, bytes: &[u8], at: usize) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, at as u64).unwrap();
}

#[test]
fn a_right_file_is_given_as_it_is() {
    let made = Made::new();
    let mut bytes = pages(0, 300, OLD);
    bytes[PAGE * 9..PAGE * 11].fill(0);
    bytes[PAGE * 200..PAGE * 201].copy_from_slice(&page_of(PAGE, 200, IN_WAL, 1));
    made.file("data/base/5/16384", &bytes);
    let (read, report) = read(&made, "16384", &checked());
    assert!(read == bytes);
    let newest = Some((Lsn(IN_WAL), 200));
    let expected = Report { bytes: bytes.len() as u64, pages: 300, zero: 2, newest, ..Report::default() };
    assert_eq!(report, expected);

    // Without checks, pages of any content are counted.
    let junk = vec![0xEE; PAGE * 3];
    made.file("data/base/5/16385", &junk);
    let (read, report) = self::read(&made, "16385", &ReadOptions::default());
    assert!(read == junk);
    assert_eq!(report, Report { bytes: junk.len() as u64, pages: 3, ..Report::default() });
}

#[test]
fn blocks_of_later_segments_count_on() {
    let made = Made::new();
    made.file("data/base/5/16384.2", &pages(2 * DEFAULT_SEGMENT_BLOCKS, 130, OLD));
    let (_, report) = read(&made, "16384.2", &checked());
    assert_eq!((report.pages, report.failed, report.newest), (130, 0, Some((Lsn(OLD), 0))));
    // As the first segment every page is at a wrong place.
    fs::rename(made.path("data/base/5/16384.2"), made.path("data/base/5/16384")).unwrap();
    assert_eq!(read(&made, "16384", &checked()).1.failed, 130);
}

#[test]
fn a_file_that_is_gone_is_told() {
    let made = Made::new();
    made.file("data/base/5/16384", &pages(0, 200, OLD));
    assert!(open(&made, "16385", None, &checked()).is_none());
    // One that is removed while it is read is read to its end.
    let file = open(&made, "16384", None, &checked()).unwrap();
    fs::remove_file(made.path("data/base/5/16384")).unwrap();
    assert_eq!(rest(file, &|| false).1.pages, 200);
}

#[test]
fn what_is_not_a_file_is_never_waited_for() {
    let made = Made::new();
    made.file("data/base/5/16384", b"");
    fifo(&made.path("data/base/5/16385"));
    symlink("16384", made.path("data/base/5/16386")).unwrap();
    let folder = made.directory().folder(b"base/5").unwrap().unwrap();
    for name in [&b"16385"[..], b"16386"] {
        let wanted = Wanted { name, bytes: None, first_block: 0 };
        assert!(matches!(PageFile::open(&folder, &wanted, &checked()), Err(Error::NotAFile { .. })));
    }
    assert_eq!(read(&made, "16384", &checked()), (vec![], Report::default()));
}

#[test]
fn a_file_that_is_cut_off_ends_where_it_ends() {
    let made = Made::new();
    let bytes = pages(0, 400, OLD);
    for left in [PAGE * 128, PAGE * 130, PAGE * 256, PAGE * 257 + 100, 0] {
        let path = made.file("data/base/5/16384", &bytes);
        let asked = Cell::new(0);
        let cut = || {
            if asked.replace(asked.get() + 1) == 1 {
                File::options().write(true).open(&path).unwrap().set_len(left as u64).unwrap();
            }
            false
        };
        let (read, report) = rest(open(&made, "16384", None, &checked()).unwrap(), &cut);
        // The first piece was read before.
        let expected = left.max(PAGE * 128);
        assert!(read == bytes[..expected], "{left}: {}", read.len());
        assert_eq!((report.pages, report.failed), (expected as u64 / PAGE as u64, 0));
    }
}

#[test]
fn a_file_that_grows_is_read_as_far_as_it_was() {
    let made = Made::new();
    let bytes = pages(0, 300, OLD);
    made.file("data/base/5/16384", &bytes);
    let file = open(&made, "16384", Some(PAGE as u64 * 150), &checked()).unwrap();
    assert!(rest(file, &|| false).0 == bytes[..PAGE * 150]);
    // By the length when it was opened, where no other is known.
    let file = open(&made, "16384", None, &checked()).unwrap();
    made.file("data/base/5/16384", &pages(0, 500, OLD));
    assert_eq!(rest(file, &|| false).1.pages, 300);
}

#[test]
fn a_page_that_was_being_appended_is_read_on() {
    let made = Made::new();
    let bytes = pages(0, 131, OLD);
    for torn in [1, 4096, 8191] {
        let path = made.file("data/base/5/16384", &bytes[..PAGE * 130 + torn]);
        let asked = Cell::new(0);
        let grow = || {
            // One question for each piece, and three pauses.
            if asked.replace(asked.get() + 1) == 4 {
                write_at(&path, &bytes[PAGE * 130 + torn..], PAGE * 130 + torn);
            }
            false
        };
        let seen = (PAGE * 130 + torn) as u64;
        let (read, report) = rest(open(&made, "16384", Some(seen), &checked()).unwrap(), &grow);
        assert!(read == bytes);
        assert_eq!((report.pages, report.failed), (131, 0));
        assert!((1..=5).contains(&report.rereads), "{}", report.rereads);
    }
    // It never comes: the part is given.
    made.file("data/base/5/16384", &bytes[..PAGE * 130 + 4096]);
    let (read, report) = read(&made, "16384", &checked());
    assert!(read == bytes[..PAGE * 130 + 4096]);
    assert_eq!((report.pages, report.rereads, report.failed), (130, 5, 0));
    // It goes: the whole pages are given.
    let path = made.file("data/base/5/16384", &bytes[..PAGE * 2 + 4096]);
    let asked = Cell::new(0);
    let cut = || {
        if asked.replace(asked.get() + 1) == 2 {
            File::options().write(true).open(&path).unwrap().set_len(PAGE as u64 * 2).unwrap();
        }
        false
    };
    assert!(rest(open(&made, "16384", None, &checked()).unwrap(), &cut).0 == bytes[..PAGE * 2]);
}

#[test]
fn flipped_bits_are_found_with_file_and_block() {
    let made = Made::new();
    let good = pages(0, 300, OLD);
    for (block, byte, bit) in [(0, 4000, 0), (127, 8, 7), (128, 8191, 3), (255, 21, 1), (299, 100, 6)] {
        let mut bytes = good.clone();
        bytes[block * PAGE + byte] ^= 1 << bit;
        made.file("data/base/5/16384", &bytes);
        let (read, report) = read(&made, "16384", &checked());
        assert!(read == bytes, "bytes are kept as they are");
        let page = &bytes[block * PAGE..(block + 1) * PAGE];
        let stored = u16::from_le_bytes([page[8], page[9]]);
        let computed = checksum(page, block as u32);
        let kind = FailureKind::Checksum { stored, computed };
        assert_eq!(report.failures, [Failure { block: block as u32, kind }]);
        assert_eq!((report.failed, report.rereads, report.rewritten), (1, 5, 0));
        let said = kind.to_string();
        assert!(said.starts_with("checksum verification failed: calculated "), "{said}");
    }
}

#[test]
fn each_kind_of_damage_has_its_name() {
    let made = Made::new();
    let mut bytes = pages(0, 6, OLD);
    let mut put =
        |block: usize, page: Vec<u8>| bytes[block * PAGE..(block + 1) * PAGE].copy_from_slice(&page);
    // A page of another block, with an old LSN.
    put(1, page_of(PAGE, 2, OLD, 9));
    // A page from the future.
    put(2, page_of(PAGE, 2, IN_WAL + 1, 9));
    // A new page that is not empty: its header alone is zero.
    let mut new = vec![0; PAGE];
    new[5000] = 1;
    put(3, new);
    // A header that no server writes, under a right checksum.
    let mut odd = page_of(PAGE, 4, IN_WAL, 9);
    odd[18] = 5;
    put(4, with_checksum(odd, 4));
    made.file("data/base/5/16384", &bytes);
    let (_, report) = read(&made, "16384", &until(IN_WAL));
    let kinds: Vec<(u32, String)> =
        report.failures.iter().map(|failure| (failure.block, failure.kind.to_string())).collect();
    assert!(kinds[0].0 == 1 && kinds[0].1.starts_with("checksum verification failed"));
    assert_eq!(report.failures[1].kind, FailureKind::LsnBeyondEnd { lsn: Lsn(IN_WAL + 1) });
    assert_eq!(kinds[1], (2, "its LSN 1/9 is beyond the end of the WAL".to_string()));
    assert_eq!(kinds[2], (3, "it is a new page that is not all zeros".to_string()));
    assert_eq!(report.failures[3].kind, FailureKind::Header(HeaderFault::Version { version: 5 }));
    assert_eq!((report.failed, report.failures.len(), report.newest), (4, 4, Some((Lsn(OLD), 0))));
}

#[test]
fn what_the_wal_has_is_taken_and_noted() {
    let made = Made::new();
    let mut bytes = pages(0, 140, OLD);
    let mut torn = page_of(PAGE, 130, IN_WAL, 1);
    torn[4096..].copy_from_slice(&bytes[PAGE * 130 + 4096..PAGE * 131]);
    bytes[PAGE * 130..PAGE * 131].copy_from_slice(&torn);
    made.file("data/base/5/16384", &bytes);
    for options in [checked(), until(IN_WAL)] {
        let (read, report) = read(&made, "16384", &options);
        assert!(read == bytes);
        assert_eq!((report.failed, report.rewritten, report.rewritten_blocks.as_slice()), (0, 1, &[130][..]));
    }
    // Behind the end of the WAL it is damage.
    let (_, report) = read(&made, "16384", &until(IN_WAL - 1));
    assert!(matches!(report.failures[..], [Failure { block: 130, kind: FailureKind::Checksum { .. } }]));
}

/// A write is seen half, and is complete in the third pause; another page stays damaged.
#[test]
fn a_torn_page_is_read_again_until_it_is_whole() {
    let made = Made::new();
    let mut bytes = pages(0, 140, OLD);
    let new = page_of(PAGE, 131, OLD + 1, 99);
    bytes[PAGE * 131..PAGE * 131 + 4096].copy_from_slice(&new[..4096]);
    bytes[PAGE * 132 + 77] ^= 1;
    let path = made.file("data/base/5/16384", &bytes);
    let asked = Cell::new(0);
    let complete = || {
        // Twice for pieces, then once or twice a pause.
        if asked.replace(asked.get() + 1) == 5 {
            write_at(&path, &new[4096..], PAGE * 131 + 4096);
        }
        false
    };
    let (read, report) = rest(open(&made, "16384", None, &checked()).unwrap(), &complete);
    bytes[PAGE * 131..PAGE * 132].copy_from_slice(&new);
    assert!(read == bytes);
    assert_eq!((report.failed, report.failures[0].block, report.rewritten), (1, 132, 0));
    assert!((7..10).contains(&report.rereads), "{}", report.rereads);
    assert_eq!(report.newest, Some((Lsn(OLD + 1), 131)));
}

#[test]
fn a_page_that_changes_and_is_never_right_is_taken() {
    let made = Made::new();
    let mut bytes = pages(0, 3, OLD);
    bytes[PAGE + 500] ^= 1;
    let path = made.file("data/base/5/16384", &bytes);
    let asked = Cell::new(0u8);
    let change = || {
        asked.set(asked.get() + 1);
        write_at(&path, &[asked.get()], PAGE + 6000);
        false
    };
    let (read, report) = rest(open(&made, "16384", None, &checked()).unwrap(), &change);
    assert_eq!((report.failed, report.rewritten_blocks.as_slice(), report.rereads), (0, &[1][..], 5));
    // What is given is one of its states, the rest is as it was.
    assert!(read[PAGE + 6000] > 1);
    bytes[PAGE + 6000] = read[PAGE + 6000];
    assert!(read == bytes);
    // Cut off in a pause: recovery drops it.
    bytes[PAGE * 2 + 500] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let asked = Cell::new(0);
    let cut = || {
        if asked.replace(asked.get() + 1) == 3 {
            File::options().write(true).open(&path).unwrap().set_len(PAGE as u64 + 1).unwrap();
        }
        false
    };
    let (read, report) = rest(open(&made, "16384", None, &checked()).unwrap(), &cut);
    assert_eq!((report.failed, report.rewritten_blocks.as_slice(), read.len()), (0, &[1, 2][..], PAGE * 3));
}

/// A writer that rewrites all pages by halves, as fast as it can. Each page that is given as right
/// is one of its versions, and none is damaged.
#[test]
fn pages_that_are_rewritten_by_halves_are_not_damaged() {
    const BLOCKS: u32 = 4;
    let made = Made::new();
    let path = made.file("data/base/5/16384", &pages(0, BLOCKS, OLD));
    let is_done = AtomicBool::new(false);
    let writes = AtomicU64::new(0);
    let (mut rereads, mut missed) = (0, 0);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let file = File::options().write(true).open(&path).unwrap();
            for version in 1.. {
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
                for block in 0..BLOCKS {
                    let page = page_of(PAGE, block, OLD, version as u8);
                    let at = u64::from(block) * PAGE as u64;
                    file.write_all_at(&page[..4096], at).unwrap();
                    file.write_all_at(&page[4096..], at + 4096).unwrap();
                    writes.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let _ended = SetAtEnd(&is_done);
        // A writer that does not get the processor between two halves is waited for.
        let written = Cell::new(0);
        let wait_for_writes = || {
            while writes.load(Ordering::Relaxed) < written.get() + u64::from(BLOCKS) {
                std::thread::yield_now();
            }
            written.set(writes.load(Ordering::Relaxed));
            false
        };
        for _ in 0..300 {
            let (read, report) = rest(open(&made, "16384", None, &checked()).unwrap(), &wait_for_writes);
            assert_eq!((report.failed, report.pages), (0, u64::from(BLOCKS)), "{report:?}");
            for (block, page) in (0..).zip(read.chunks(PAGE)) {
                let is_right = page == page_of(PAGE, block, OLD, page[PAGE - 1]);
                missed += u32::from(is_right == report.rewritten_blocks.contains(&block));
            }
            rereads += report.rereads;
        }
    });
    assert!(rereads > 0, "no read ever saw half a write");
    // Of 65,536 torn pages one has a right checksum.
    assert!(missed <= 2, "{missed} torn pages were taken for right ones");
}

#[test]
fn many_failures_are_counted_and_the_first_are_named() {
    let made = Made::new();
    let blocks = MOST_NOTED as u32 + 200;
    made.file("data/base/5/16384", &pages(1, blocks, OLD));
    let options = ReadOptions { pause: Duration::ZERO, rereads: 1, ..checked() };
    let (_, report) = read(&made, "16384", &options);
    assert_eq!((report.failed, report.failures.len()), (u64::from(blocks), MOST_NOTED));
    assert!(report.failures.iter().zip(0..).all(|(failure, block)| failure.block == block));
    made.file("data/base/5/16384", &pages(1, blocks, IN_WAL));
    let (_, report) = read(&made, "16384", &options);
    assert_eq!((report.failed, report.rewritten), (0, u64::from(blocks)));
    assert_eq!(report.rewritten_blocks.len(), MOST_NOTED);
}

#[test]
fn a_reader_can_be_stopped_between_pieces_and_in_a_pause() {
    let made = Made::new();
    let mut bytes = pages(0, 300, OLD);
    bytes[PAGE * 200 + 99] ^= 1;
    made.file("data/base/5/16384", &bytes);
    for last in 0..5 {
        let left = Cell::new(last);
        let stop = || left.replace(left.get() - 1) == 0;
        let options = ReadOptions { pause: Duration::from_secs(3600), ..checked() };
        let mut file = open(&made, "16384", None, &options).unwrap();
        let mut buffer = Vec::new();
        let ended = loop {
            match file.next_piece(&mut buffer, &stop) {
                Ok(Some(_)) => {}
                ended => break ended,
            }
        };
        assert!(matches!(ended, Err(Error::Cancelled)), "{last}: {ended:?}");
    }
}

#[test]
fn other_page_sizes() {
    let made = Made::new();
    for size in [1024, 4096, 32768] {
        let mut bytes: Vec<u8> = (0..50).flat_map(|block| page_of(size, block, OLD, 3)).collect();
        bytes[size * 40 + 600] ^= 1;
        made.file("data/base/5/16384", &bytes);
        let options = ReadOptions { page_size: size, piece_pages: 7, ..checked() };
        let mut file = open(&made, "16384", None, &options).unwrap();
        let (mut buffer, mut blocks) = (Vec::new(), Vec::new());
        while let Some(block) = file.next_piece(&mut buffer, &|| false).unwrap() {
            assert!(buffer == bytes[block as usize * size..][..buffer.len()]);
            blocks.push(block);
        }
        assert_eq!(blocks, [0, 7, 14, 21, 28, 35, 42, 49]);
        let report = file.into_report();
        assert_eq!((report.pages, report.failed, report.failures[0].block), (50, 1, 40));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Any content, any length, any pieces: what is given is the file, and every page is one of
    /// zero, right, rewritten, failed.
    #[test]
    fn pieces_make_up_the_file(
        kinds in proptest::collection::vec(0u8..5, 0..40), torn in 0usize..PAGE, piece_pages in 1usize..20,
        seen in proptest::option::of(0u64..41 * PAGE as u64),
    ) {
        let made = Made::new();
        let mut bytes = Vec::new();
        for (block, kind) in (0..).zip(&kinds) {
            let mut page = page_of(PAGE, block, if *kind == 3 { IN_WAL } else { OLD }, 5);
            match kind {
                0 => page.fill(0),
                1 => {}
                _ => page[3000] ^= 0x40,
            }
            bytes.extend_from_slice(&page);
        }
        let whole = bytes.len();
        bytes.extend(std::iter::repeat_n(1, torn));
        made.file("data/base/5/16384", &bytes);
        let options = ReadOptions { piece_pages, pause: Duration::ZERO, rereads: 2, ..checked() };
        let (read, report) = rest(open(&made, "16384", seen, &options).unwrap(), &|| false);
        // To the end of the page that the seen length ends in.
        let limit = seen.map_or(usize::MAX, |seen| (seen as usize).next_multiple_of(PAGE));
        prop_assert!(read == bytes[..bytes.len().min(limit)]);
        let seen = &kinds[..kinds.len().min(limit.min(whole) / PAGE)];
        let count = |wanted: &[u8]| seen.iter().filter(|kind| wanted.contains(kind)).count() as u64;
        prop_assert_eq!(report.pages, seen.len() as u64);
        prop_assert_eq!((report.zero, report.rewritten, report.failed), (count(&[0]), count(&[3]), count(&[2, 4])));
    }
}

/// Two readers of one file do not disturb each other, and buffers go from file to file.
#[test]
fn buffers_are_used_again() {
    let made = Made::new();
    let (long, short) = (pages(0, 300, OLD), pages(0, 3, OLD));
    made.file("data/base/5/16384", &long);
    made.file("data/base/5/16385", &short);
    let buffer = RefCell::new(Vec::new());
    for _ in 0..2 {
        for (name, expected) in [("16384", &long), ("16385", &short)] {
            let mut file = open(&made, name, None, &checked()).unwrap();
            let mut other = open(&made, name, None, &checked()).unwrap();
            let mut all = Vec::new();
            while file.next_piece(&mut buffer.borrow_mut(), &|| false).unwrap().is_some() {
                all.extend_from_slice(&buffer.borrow());
                other.next_piece(&mut Vec::new(), &|| false).unwrap();
            }
            assert!(all == *expected);
        }
    }
}
