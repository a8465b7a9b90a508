//! The list of entries: what it costs to find one among very many, and to write it again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::*;
use pgark_repo::*;
use pgark_store::{Fault, Faulty, Operation};

fn path(number: u64) -> String {
    format!("/db/{:03}/data/public.table_{number:07}", number % 1000)
}

/// A backup of so many entries; each differs from every other, but for their content.
fn write(repository: &Repository, count: u64, changed: Option<u64>) -> BackupHead {
    let made = repository.write_backup::<(), RepoError>(&options(2), |writer| {
        let mut stream = writer.stream(Class::Data, Cut::Content);
        stream.write(b"rows")?;
        let part = stream.finish()?;
        for number in 0..count {
            let mut entry = writer.entry(path(number), Class::Data);
            entry.add(part.clone());
            let seed = if changed == Some(number) { number + count } else { number };
            let about = blake3::hash(&seed.to_le_bytes());
            entry.finish(about.as_bytes().to_vec())?;
        }
        let (kind, about) = ("x".into(), Vec::new());
        Ok((NewBackup { kind, complete: true, about, time: None }, ()))
    });
    made.unwrap().0
}

/// 100,000 entries; with PGARK_TEST_FULL a million.
#[test]
fn one_path_among_very_many_costs_six_gets() {
    let count = if std::env::var_os("PGARK_TEST_FULL").is_some() { 1_000_000 } else { 100_000 };
    let place = Place::encrypted();
    let repository = place.open();
    let first = write(&repository, count, None);
    // It counts what is got, and never fails.
    let open = || {
        let store = Arc::new(Faulty::new(place.store(), Operation::Get, Fault::GoneFrom(usize::MAX)));
        (place.open_on(Arc::clone(&store) as Arc<dyn Store>, LocalFolders::default()), store)
    };
    for number in [0, 1, count / 2 + 77, count - 1] {
        let (repository, store) = open();
        let backup = repository.open_backup(first.id).unwrap();
        let before = store.calls();
        let entry = backup.entry(&path(number)).unwrap().expect("the entry");
        assert_eq!(entry.about, blake3::hash(&number.to_le_bytes()).as_bytes());
        let needed = store.calls() - before;
        assert!(needed <= 6, "{needed} gets for {number} of {count}");
        assert!(backup.entry("/db/000/data/public.none").unwrap().is_none());
        assert!(backup.entry("/").unwrap().is_none() && backup.entry("/zzz").unwrap().is_none());
    }
    // What lies below one folder: its own sublists, and no others.
    let (reader, store) = open();
    let backup = reader.open_backup(first.id).unwrap();
    let before = store.calls();
    let below: Vec<Entry> = backup.entries_below("/db/042/").map(Result::unwrap).collect();
    assert_eq!(below.len() as u64, count / 1000);
    assert!(below.iter().all(|entry| entry.path.starts_with("/db/042/")));
    let needed = store.calls() - before;
    assert!(needed < 40, "{needed} gets");
    assert!(backup.entries_below("/nowhere").next().is_none());
    // All of them, sorted.
    let mut last = String::new();
    let mut seen = 0;
    for entry in backup.entries() {
        let entry = entry.unwrap();
        assert!(entry.path > last);
        last = entry.path;
        seen += 1;
    }
    assert_eq!((seen, backup.head.entries), (count, count));

    // The same again costs nothing of that; one entry that changed, a sublist and its way up.
    let again = write(&repository, count, None);
    assert!(again.bytes_added < 5000, "{}", again.bytes_added);
    let changed = write(&repository, count, Some(count / 3));
    assert!(changed.bytes_added < 30_000, "{}", changed.bytes_added);
    // Prune and check go over all three, and what they share once.
    let pruned = repository.prune(&PruneOptions::default(), &|_| {}).unwrap();
    assert!(pruned.held_by.is_empty(), "{pruned:?}");
    let report = check(&repository, CheckLevel::Structure);
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
}

/// An entry of very many parts: they stand apart, and come back, in a backup, a kept entry and a
/// check; so do their facts.
#[test]
fn an_entry_of_very_many_parts() {
    let place = Place::encrypted();
    let repository = place.open();
    let write = |kept: Option<(Entry, Addition)>| {
        let made = repository.write_backup::<(), RepoError>(&options(1), |writer| {
            if let Some((entry, addition)) = &kept {
                writer.keep_entry(entry, Some(addition))?;
            }
            let mut entry = writer.entry("/many", Class::Data);
            for number in 0..2000u32 {
                let mut stream = entry.stream(Cut::Content);
                stream.write(&number.to_le_bytes())?;
                entry.add(stream.finish()?);
            }
            if kept.is_none() {
                entry.finish_with(b"many".to_vec(), b"new".to_vec())?;
            }
            let mut few = writer.entry("/zero", Class::Metadata);
            few.write(b"few")?;
            few.finish(Vec::new())?;
            let (kind, about) = ("x".into(), Vec::new());
            Ok((NewBackup { kind, complete: true, about, time: None }, ()))
        });
        made.unwrap().0
    };
    let first = write(None);
    let backup = repository.open_backup(first.id).unwrap();
    let entry = backup.entry("/many").unwrap().unwrap();
    assert_eq!((entry.parts.len(), entry.bytes_raw, &*entry.about), (2000, 8000, &b"many"[..]));
    let content: Vec<u8> = (0..2000u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(
        read_entry(&repository.reader(&repository.backups().unwrap()[0]).unwrap(), &entry).unwrap(),
        content
    );
    let additions: Vec<Addition> = backup.additions().unwrap().map(Result::unwrap).collect();
    assert_eq!((&*additions[0].path, &*additions[0].about), ("/many", &b"new"[..]));
    assert!(additions[0].bytes > 8000 && additions[0].changed.is_empty());
    let second = write(Some((entry.clone(), additions[0].clone())));
    let kept = repository.open_backup(second.id).unwrap();
    assert_eq!(kept.entry("/many").unwrap().unwrap(), entry);
    assert_eq!(kept.additions().unwrap().next().unwrap().unwrap(), additions[0]);
    repository.forget(first.id).unwrap();
    let all = PruneOptions { grace: std::time::Duration::ZERO, ..PruneOptions::default() };
    repository.prune(&all, &|_| {}).unwrap();
    assert_clean(&place.open());
    let kept = place.open();
    let entry = kept.open_backup(second.id).unwrap().entry("/many").unwrap().unwrap();
    assert_eq!(read_entry(&kept.reader(&kept.backups().unwrap()[0]).unwrap(), &entry).unwrap(), content);
}
