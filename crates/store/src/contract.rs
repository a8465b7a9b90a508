//! The contract of [`Store`] as tests: each storage calls [`all`] with an empty instance of itself.
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

use crate::{PutOutcome, Store, StoreError};

/// Every promise, one after the other, on an empty storage.
pub fn all(store: &dyn Store) {
    an_object_comes_back(store);
    an_object_is_never_changed(store);
    ranges_are_exact(store);
    lists_are_complete_and_sorted(store);
    deletes_are_idempotent(store);
    bad_names_are_refused(store);
    if store.capabilities().atomic_put_if_absent {
        of_many_puts_one_wins(store);
    }
}

fn an_object_comes_back(store: &dyn Store) {
    for (name, bytes) in [("a/empty", vec![]), ("a/small", b"x".to_vec()), ("a/b/large", vec![7u8; 3 << 20])]
    {
        assert!(matches!(store.get(name), Err(StoreError::NotFound { .. })));
        assert_eq!(store.put_if_absent(name, &bytes).unwrap(), PutOutcome::Created);
        assert_eq!(store.get(name).unwrap(), bytes);
        assert_eq!(store.stat(name).unwrap().size, bytes.len() as u64);
    }
}

fn an_object_is_never_changed(store: &dyn Store) {
    assert_eq!(store.put_if_absent("once", b"first").unwrap(), PutOutcome::Created);
    assert_eq!(store.put_if_absent("once", b"second").unwrap(), PutOutcome::AlreadyExists);
    assert_eq!(store.get("once").unwrap(), b"first");
}

fn ranges_are_exact(store: &dyn Store) {
    store.put_if_absent("range", b"0123456789").unwrap();
    assert_eq!(store.get_range("range", 2, 3).unwrap(), b"234");
    assert_eq!(store.get_range("range", 0, 10).unwrap(), b"0123456789");
    assert_eq!(store.get_range("range", 10, 0).unwrap(), b"");
    for (offset, len) in [(0, 11), (9, 2), (11, 1), (u64::MAX, 1), (0, u64::MAX)] {
        assert!(
            matches!(store.get_range("range", offset, len), Err(StoreError::TooShort { .. })),
            "{offset} {len}"
        );
    }
    assert!(matches!(store.get_range("none", 0, 1), Err(StoreError::NotFound { .. })));
}

fn lists_are_complete_and_sorted(store: &dyn Store) {
    let names = ["list/1", "list/10", "list/2", "list/sub/x", "listing"];
    for name in names {
        store.put_if_absent(name, name.as_bytes()).unwrap();
    }
    let listed: Vec<String> = store.list("list/").unwrap().into_iter().map(|meta| meta.name).collect();
    assert_eq!(listed, &names[..4]);
    assert!(store.list("").unwrap().iter().any(|meta| meta.name == "listing" && meta.size == 7));
    assert!(store.list("nothing/").unwrap().is_empty());
}

fn deletes_are_idempotent(store: &dyn Store) {
    store.put_if_absent("delete/me", b"x").unwrap();
    store.delete("delete/me").unwrap();
    store.delete("delete/me").unwrap();
    assert!(matches!(store.stat("delete/me"), Err(StoreError::NotFound { .. })));
    assert_eq!(store.put_if_absent("delete/me", b"y").unwrap(), PutOutcome::Created);
}

fn bad_names_are_refused(store: &dyn Store) {
    for name in ["", "../x", "/x", "x/", "X", ".hidden"] {
        assert!(matches!(store.put_if_absent(name, b""), Err(StoreError::InvalidName { .. })), "{name}");
        assert!(matches!(store.get(name), Err(StoreError::InvalidName { .. })), "{name}");
    }
}

fn of_many_puts_one_wins(store: &dyn Store) {
    for round in 0..20 {
        let name = format!("race/{round}");
        let start = Barrier::new(8);
        let created: usize = thread::scope(|scope| {
            let putters: Vec<_> = (0..8u8)
                .map(|number| {
                    let (name, start) = (&name, &start);
                    scope.spawn(move || {
                        start.wait();
                        let outcome = store.put_if_absent(name, &[number; 1000]).unwrap();
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
