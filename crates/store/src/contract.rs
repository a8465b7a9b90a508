//! The contract of [`crate::Store`] as tests: each storage calls [`all`] with an empty instance of
//! itself.
//!
//! Everything here panics on a broken promise; it is called from tests only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken contract fails the test by panic"
)]

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::{PutOutcome, Storage, StoreError};

/// Objects of one folder: more than a page of any storage holds (1000 on S3 and GCS, 5000 on Azure
/// unless asked for fewer).
const MANY: usize = 1100;
/// An object that is larger than any pack.
const LARGE: usize = 40 << 20;
/// Clocks of tests and of their storages run on one host.
const CLOCK: Duration = Duration::from_secs(5);

/// Every promise, one after the other, on an empty storage.
pub fn all(store: &Storage) {
    an_empty_storage_lists_nothing(store);
    an_object_comes_back(store);
    an_object_is_never_changed(store);
    a_second_put_of_the_same_bytes_finds_them(store);
    ranges_are_exact(store);
    beginnings_are_bounded(store);
    what_was_put_is_listed_at_once(store);
    lists_are_complete_and_sorted(store);
    other_folders_are_found(store);
    deletes_are_idempotent(store);
    bad_names_are_refused(store);
    times_are_the_storages(store);
    large_objects_come_back(store);
    many_objects_are_listed_once(store);
    many_threads_do_not_disturb_each_other(store);
    if store.capabilities().atomic_put_if_absent {
        of_many_puts_one_wins(store);
    }
}

/// Puts bytes.
pub fn put(store: &Storage, name: &str, bytes: &[u8]) -> Result<PutOutcome, StoreError> {
    store.put_if_absent(name, Bytes::copy_from_slice(bytes))
}

fn names(store: &Storage, prefix: &str) -> Vec<String> {
    store.list(prefix).unwrap().into_iter().map(|meta| meta.name).collect()
}

fn an_empty_storage_lists_nothing(store: &Storage) {
    assert!(names(store, "").is_empty());
    assert!(names(store, "nothing/here/").is_empty());
}

fn an_object_comes_back(store: &Storage) {
    for (name, bytes) in [("a/empty", vec![]), ("a/small", b"x".to_vec()), ("a/b/large", vec![7u8; 3 << 20])]
    {
        assert!(matches!(store.get(name), Err(StoreError::NotFound { .. })));
        assert!(matches!(store.stat(name), Err(StoreError::NotFound { .. })));
        assert_eq!(put(store, name, &bytes).unwrap(), PutOutcome::Created);
        assert_eq!(store.get(name).unwrap(), bytes);
        assert_eq!(store.stat(name).unwrap().size, bytes.len() as u64);
    }
}

fn an_object_is_never_changed(store: &Storage) {
    assert_eq!(put(store, "once", b"first").unwrap(), PutOutcome::Created);
    assert_eq!(put(store, "once", b"second").unwrap(), PutOutcome::AlreadyExists);
    assert_eq!(store.get("once").unwrap(), b"first");
}

/// An answer that was lost: the put is tried again, and what is there tells that it worked.
fn a_second_put_of_the_same_bytes_finds_them(store: &Storage) {
    assert_eq!(put(store, "ambiguous", b"bytes").unwrap(), PutOutcome::Created);
    assert_eq!(put(store, "ambiguous", b"bytes").unwrap(), PutOutcome::AlreadyExists);
    assert_eq!(store.get("ambiguous").unwrap(), b"bytes");
}

fn beginnings_are_bounded(store: &Storage) {
    put(store, "beginning", b"0123456789").unwrap();
    put(store, "emptiness", b"").unwrap();
    assert_eq!(store.get_at_most("beginning", 4).unwrap(), b"0123");
    assert_eq!(store.get_at_most("beginning", 10).unwrap(), b"0123456789");
    assert_eq!(store.get_at_most("beginning", 1000).unwrap(), b"0123456789");
    assert_eq!(store.get_at_most("emptiness", 10).unwrap(), b"");
    assert!(matches!(store.get_at_most("none", 10), Err(StoreError::NotFound { .. })));
}

fn ranges_are_exact(store: &Storage) {
    put(store, "range", b"0123456789").unwrap();
    assert_eq!(store.get_range("range", 2, 3).unwrap(), b"234");
    assert_eq!(store.get_range("range", 0, 10).unwrap(), b"0123456789");
    assert_eq!(store.get_range("range", 9, 1).unwrap(), b"9");
    assert_eq!(store.get_range("range", 10, 0).unwrap(), b"");
    for (offset, len) in
        [(0, 11), (9, 2), (10, 1), (11, 1), (11, 0), (u64::MAX, 1), (0, u64::MAX), (0, 1 << 40)]
    {
        assert!(
            matches!(store.get_range("range", offset, len), Err(StoreError::TooShort { .. })),
            "{offset} {len}"
        );
    }
    assert!(matches!(store.get_range("none", 0, 1), Err(StoreError::NotFound { .. })));
}

fn what_was_put_is_listed_at_once(store: &Storage) {
    for number in 0..20 {
        let name = format!("late/{number:02}");
        put(store, &name, b"").unwrap();
        assert!(names(store, "late/").contains(&name), "{name}");
        store.delete(&name).unwrap();
        assert!(!names(store, "late/").contains(&name), "{name}");
        assert!(matches!(store.get(&name), Err(StoreError::NotFound { .. })));
    }
}

fn lists_are_complete_and_sorted(store: &Storage) {
    let own = ["list/1", "list/10", "list/2", "list/sub/x", "listing"];
    for name in own {
        put(store, name, name.as_bytes()).unwrap();
    }
    assert_eq!(names(store, "list/"), &own[..4]);
    assert_eq!(names(store, "list/sub/"), ["list/sub/x"]);
    assert!(store.list("").unwrap().iter().any(|meta| meta.name == "listing" && meta.size == 7));
    assert!(store.list("nothing/").unwrap().is_empty());
    // Behind a name that is there, behind one that is not, behind all.
    let after = |after: &str| -> Vec<String> {
        store.list_after("list/", after).unwrap().into_iter().map(|meta| meta.name).collect()
    };
    assert_eq!(after("list/1"), &own[1..4]);
    assert_eq!(after("list/11"), &own[2..4]);
    assert_eq!(after("list/"), &own[..4]);
    assert!(after("list/sub/x").is_empty() && after("list/z").is_empty());
}

/// Folders at the top are told without what is in them; files there are none.
fn other_folders_are_found(store: &Storage) {
    let all = store.list("").unwrap();
    let mut known: Vec<&str> = all.iter().filter_map(|meta| Some(meta.name.split_once('/')?.0)).collect();
    known.dedup();
    assert!(known.len() > 1, "{known:?}");
    assert_eq!(store.other_folders(&known).unwrap(), [""; 0]);
    for name in ["top-1/x/y/z", "top-1/other", "top-2/x", "top-file"] {
        put(store, name, b"x").unwrap();
    }
    assert_eq!(store.other_folders(&known).unwrap(), ["top-1", "top-2"]);
    assert_eq!(store.other_folders(&[&known[..], &["top-2"]].concat()).unwrap(), ["top-1"]);
    let mut whole = [&known[..], &["top-1", "top-2"]].concat();
    whole.sort_unstable();
    assert_eq!(store.other_folders(&[]).unwrap(), whole);
    for name in ["top-1/x/y/z", "top-1/other", "top-file"] {
        store.delete(name).unwrap();
    }
    // A folder that is empty now can be there, and holds no object.
    assert_eq!(store.other_folders(&known).unwrap(), ["top-2"]);
    store.delete("top-2/x").unwrap();
}

fn deletes_are_idempotent(store: &Storage) {
    put(store, "delete/me", b"x").unwrap();
    store.delete("delete/me").unwrap();
    store.delete("delete/me").unwrap();
    store.delete("delete/never/was").unwrap();
    assert!(matches!(store.stat("delete/me"), Err(StoreError::NotFound { .. })));
    assert_eq!(put(store, "delete/me", b"y").unwrap(), PutOutcome::Created);
    assert_eq!(store.get("delete/me").unwrap(), b"y");
}

fn bad_names_are_refused(store: &Storage) {
    for name in ["", "../x", "/x", "x/", "X", ".hidden", "a//b", "a b"] {
        assert!(matches!(put(store, name, b""), Err(StoreError::InvalidName { .. })), "{name}");
        assert!(matches!(store.get(name), Err(StoreError::InvalidName { .. })), "{name}");
        assert!(matches!(store.delete(name), Err(StoreError::InvalidName { .. })), "{name}");
    }
}

fn times_are_the_storages(store: &Storage) {
    let before = SystemTime::now();
    put(store, "clock", b"tick").unwrap();
    let modified = store.stat("clock").unwrap().modified;
    assert!(modified + CLOCK > before && modified < SystemTime::now() + CLOCK, "{modified:?}");
    // Lists may round to seconds, or say it more finely than a stat.
    let listed = store.list("").unwrap().into_iter().find(|meta| meta.name == "clock").unwrap().modified;
    assert!(listed + CLOCK > modified && listed < modified + CLOCK);
}

fn large_objects_come_back(store: &Storage) {
    let bytes: Vec<u8> =
        (0..LARGE as u64 / 8).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    assert_eq!(store.put_if_absent("large", bytes.clone().into()).unwrap(), PutOutcome::Created);
    assert!(store.get("large").unwrap() == bytes);
    let (from, len) = (17 << 20, 3 << 20);
    assert!(store.get_range("large", from, len).unwrap() == bytes[from as usize..(from + len) as usize]);
}

fn many_objects_are_listed_once(store: &Storage) {
    let wanted: Vec<String> =
        (0..MANY).map(|number| format!("many/{:02x}/{number:08}", number % 16)).collect();
    thread::scope(|scope| {
        for part in wanted.chunks(MANY.div_ceil(8)) {
            scope.spawn(move || {
                part.iter().for_each(|name| assert_eq!(put(store, name, b"m").unwrap(), PutOutcome::Created))
            });
        }
    });
    let mut sorted = wanted;
    sorted.sort();
    assert_eq!(names(store, "many/"), sorted);
}

fn many_threads_do_not_disturb_each_other(store: &Storage) {
    thread::scope(|scope| {
        for thread in 0..8u8 {
            scope.spawn(move || {
                for round in 0..5 {
                    let (name, bytes) = (format!("threads/{thread}/{round}"), vec![thread; 100_000 + round]);
                    assert_eq!(put(store, &name, &bytes).unwrap(), PutOutcome::Created);
                    assert!(store.get(&name).unwrap() == bytes);
                    assert_eq!(store.get_range(&name, 99_999, 1).unwrap(), [thread]);
                }
            });
        }
    });
}

fn of_many_puts_one_wins(store: &Storage) {
    for round in 0..20 {
        let name = format!("race/{round}");
        let start = Barrier::new(8);
        let created: usize = thread::scope(|scope| {
            let putters: Vec<_> = (0..8u8)
                .map(|number| {
                    let (name, start) = (&name, &start);
                    scope.spawn(move || {
                        start.wait();
                        let outcome = put(store, name, &[number; 1000]).unwrap();
                        usize::from(outcome == PutOutcome::Created)
                    })
                })
                .collect();
            putters.into_iter().map(|putter| putter.join().unwrap()).sum()
        });
        assert_eq!(created, 1);
        let bytes = store.get(&name).unwrap();
        assert!(bytes.len() == 1000 && bytes.iter().all(|byte| *byte == bytes[0]), "a torn object");
    }
}
