//! The directory storage keeps the contract, and what is its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use pgark_store::{DirStore, Fault, Faulty, Operation, Storage, StoreError, contract};

#[test]
fn the_contract_holds() {
    let folder = tempfile::TempDir::new().unwrap();
    contract::all(&Storage::uncancelled(DirStore::create(folder.path().join("store")).unwrap()));
}

#[test]
fn the_contract_holds_through_a_wrapper_without_fault() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = DirStore::create(folder.path()).unwrap();
    contract::all(&Storage::uncancelled(Faulty::new(store, Operation::Put, Fault::FailsAt(usize::MAX))));
}

#[test]
fn leftovers_of_a_crash_are_not_objects() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = Storage::uncancelled(DirStore::create(folder.path()).unwrap());
    store.put_if_absent("a", "a".into()).unwrap();
    let left = folder.path().join(".tmp/left");
    std::fs::write(&left, b"half").unwrap();
    let names: Vec<String> = store.list("").unwrap().into_iter().map(|meta| meta.name).collect();
    assert_eq!(names, ["a"]);
    // Young leftovers may belong to a put that runs; day-old ones are swept.
    DirStore::open(folder.path()).unwrap();
    assert!(left.exists());
    assert!(Command::new("touch").args(["-d", "2 days ago"]).arg(&left).status().unwrap().success());
    DirStore::open(folder.path()).unwrap();
    assert!(!left.exists());
}

#[test]
fn a_file_that_is_no_object_is_not_read() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = Storage::uncancelled(DirStore::create(folder.path()).unwrap());
    // Sparse: takes no space.
    std::fs::File::create(folder.path().join("large")).unwrap().set_len(1 << 40).unwrap();
    let error = store.get("large").unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("large: the object exceeds the 256 MiB limit"));
}

#[test]
fn a_missing_directory_is_named() {
    let error = DirStore::open("/nowhere/at/all").unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }));
    assert!(error.to_string().contains("/nowhere/at/all"));
}

#[test]
fn a_directory_that_vanishes_is_not_made_again() {
    let folder = tempfile::TempDir::new().unwrap();
    let root = folder.path().join("mounted");
    let store = Storage::uncancelled(DirStore::create(&root).unwrap());
    std::fs::remove_dir_all(&root).unwrap();
    assert!(matches!(store.put_if_absent("a", "a".into()), Err(StoreError::NotFound { .. })));
    assert!(!root.exists());
}
