//! What is written comes back; what is known is not stored again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use pgark_repo::*;

#[test]
fn a_backup_comes_back() {
    for place in [Place::encrypted(), Place::plain()] {
        let repository = place.open();
        assert!(repository.backups().unwrap().is_empty());
        let head = backup(&repository, 2, &content(1));
        let heads = repository.backups().unwrap();
        assert_eq!(heads, std::slice::from_ref(&head));
        assert_eq!((head.sequence, head.cluster.as_str(), head.kind.as_str()), (1, "shop", "logical"));
        compare(&repository, head.id, &content(1)).unwrap();
        assert_clean(&repository);
        let names: Vec<_> = place.objects().into_iter().map(|meta| meta.name).collect();
        assert!(
            !names.iter().any(|name| name.starts_with("sessions/") || name.starts_with("drafts/")),
            "{names:?}"
        );
        // With another process's eyes, with and without a cache.
        compare(&place.open(), head.id, &content(1)).unwrap();
        let bare = place.open_on(std::sync::Arc::new(place.store()), LocalFolders::default());
        compare(&bare, head.id, &content(1)).unwrap();
        assert!(matches!(
            bare.open_backup("0123456789abcdef".parse().unwrap()),
            Err(RepoError::UnknownBackup { .. })
        ));
    }
}

#[test]
fn bytes_added_are_all_the_bytes_that_were_put() {
    let place = Place::encrypted();
    let repository = place.open();
    let before: u64 = place.objects().iter().map(|meta| meta.size).sum();
    let head = backup(&repository, 2, &content(1));
    let after: u64 = place.objects().iter().map(|meta| meta.size).sum();
    // The session object and the draft were put, and are gone.
    let gone = before + head.bytes_added - after;
    assert!((100..2000).contains(&gone), "{gone}");
}

#[test]
fn the_second_backup_adds_little() {
    let place = Place::encrypted();
    let repository = place.open();
    let first = backup(&repository, 2, &content(1));
    let second = backup(&repository, 2, &content(1));
    assert_eq!(second.sequence, 2);
    assert!(second.bytes_added < 6000, "{}", second.bytes_added);
    assert!(first.bytes_added > 1_000_000);
    for (path, bytes) in added(&repository.open_backup(second.id).unwrap()) {
        assert_eq!(bytes, 0, "{path}");
    }
    // A change in the middle costs a chunk or two.
    let mut changed = content(1);
    changed[0].2[1_500_000] ^= 1;
    let third = backup(&place.open(), 2, &changed);
    assert!(third.bytes_added < 200_000, "{}", third.bytes_added);
    compare(&repository, first.id, &content(1)).unwrap();
    compare(&repository, third.id, &changed).unwrap();
    assert_clean(&repository);
}

#[test]
fn equal_streams_of_one_backup_are_stored_once() {
    let place = Place::encrypted();
    let repository = place.open();
    let content: Content =
        (0..12).map(|number| (format!("/{number}"), Class::Data, rows(7, 2 << 20))).collect();
    let head = backup(&repository, 3, &content);
    assert!(head.bytes_added < 2 << 20, "{}", head.bytes_added);
    compare(&repository, head.id, &content).unwrap();
    assert_clean(&repository);
}

#[test]
fn many_threads_and_many_packs() {
    let place = Place::encrypted();
    let repository = place.open();
    let content: Content =
        (0..8).map(|number| (format!("/{number}"), Class::Data, rows(number, 12 << 20))).collect();
    let head = backup(&repository, 4, &content);
    assert!(place.objects().iter().filter(|meta| meta.name.starts_with("packs/")).count() > 2);
    compare(&repository, head.id, &content).unwrap();
    assert_clean(&repository);
}

#[test]
fn a_long_row_is_cut_into_fragments() {
    let place = Place::encrypted();
    let repository = place.open();
    let mut long = rows(1, 300_000);
    long.extend(rows(2, 21 << 20).into_iter().map(|byte| if byte == b'\n' { b' ' } else { byte }));
    long.push(b'\n');
    long.extend(rows(3, 300_000));
    let content = vec![("/long".to_string(), Class::Data, long)];
    let head = backup(&repository, 2, &content);
    compare(&repository, head.id, &content).unwrap();
    assert_clean(&repository);
}

#[test]
fn deep_trees_and_raw_chunks() {
    let place = Place::encrypted();
    let repository = place.open();
    let bytes = rows(9, 40 << 20);
    let plain = WriteOptions { compression_level: 0, ..options(2) };
    let mut told = Vec::new();
    let work = |writer: &BackupWriter<'_>| {
        let mut entry = writer.entry("/a", Class::Data);
        let mut stream = entry.stream(Cut::Content);
        stream.write(&bytes)?;
        let summary = stream.finish()?;
        entry.add(summary.clone());
        entry.add(summary);
        entry.finish_with(b"what".to_vec(), b"done".to_vec())?;
        let (kind, about) = ("x".into(), Vec::new());
        Ok::<_, RepoError>((NewBackup { kind, complete: false, about, time: None }, ()))
    };
    let (head, ()) = repository
        .write_backup_told(&plain, work, &mut |entry, addition| told.push((entry.clone(), addition.clone())))
        .unwrap();
    let opened = repository.open_backup(head.id).unwrap();
    assert_eq!(told, opened.entries_with_additions().unwrap().map(Result::unwrap).collect::<Vec<_>>());
    assert_eq!((&*told[0].0.about, &*told[0].1.about), (&b"what"[..], &b"done"[..]));
    assert!(!head.complete && head.bytes_added > 40 << 20);
    let mut twice = bytes.clone();
    twice.extend_from_slice(&bytes);
    compare(&repository, head.id, &vec![("/a".into(), Class::Data, twice)]).unwrap();
    assert_clean(&repository);
}

#[test]
fn a_writer_key_backs_up_and_lists_and_reads_no_data() {
    let place = Place::encrypted();
    let writer = place.open_as_writer();
    assert!(!writer.can_read_data() && writer.encrypted());
    let head = backup(&writer, 2, &content(1));
    assert_eq!(writer.backups().unwrap().len(), 1);
    assert_eq!(entries(&writer.open_backup(head.id).unwrap()).unwrap().len(), content(1).len());
    assert!(matches!(writer.reader(&head), Err(RepoError::NeedsReaderSecret)));
    let checked = writer.check(&CheckOptions::all(CheckLevel::Data), &|_| {});
    assert!(matches!(checked, Err(RepoError::NeedsReaderSecret)));
    assert!(check(&writer, CheckLevel::Objects).problems.is_empty());
    let second = backup(&writer, 2, &content(1));
    assert!(second.bytes_added < 6000);
    compare(&place.open(), head.id, &content(1)).unwrap();
    assert_clean(&place.open());
}

#[test]
fn paths_are_unique() {
    let place = Place::plain();
    let mut twice = content(1);
    twice.push(twice[0].clone());
    assert!(try_backup(&place.open(), 1, &twice, &Cancel::new()).is_err());
    assert!(place.open().backups().unwrap().is_empty());
}

/// Manifests that were read before are not read again; a damaged cache is as good as none.
#[test]
fn manifests_are_remembered() {
    let place = Place::encrypted();
    let heads: Vec<BackupHead> = (0..3)
        .map(|seed| backup(&place.open(), 1, &vec![("/a".into(), Class::Data, rows(seed, 50_000))]))
        .collect();
    // The files are written again below: the storage then says another time.
    let timeless = |heads: Vec<BackupHead>| -> Vec<BackupHead> {
        heads.into_iter().map(|head| BackupHead { stored: None, ..head }).collect()
    };
    let listed = |repository: Repository| timeless(repository.backups().unwrap());
    let heads = timeless(heads);
    assert_eq!(listed(place.open()), heads);
    // Without their objects they are not listed at all; with other bytes the cache knows better,
    // and the check tells.
    let root = place.dir.path().join("repo");
    let manifest = place.storage().list("manifests/").unwrap().remove(1).name;
    let good = std::fs::read(root.join(&manifest)).unwrap();
    for name in [manifest.clone(), format!("copies/{manifest}")] {
        std::fs::write(root.join(name), b"rot").unwrap();
    }
    assert_eq!(listed(place.open()), heads);
    let bare = place.open_on(std::sync::Arc::new(place.store()), LocalFolders::default());
    assert_eq!(timeless(bare.backups().unwrap()), [heads[0].clone(), heads[2].clone()]);
    assert!(
        matches!(bare.set_aside().unwrap().as_slice(), [(id, RepoError::Damaged { .. })] if *id == heads[1].id)
    );
    assert!(!check(&place.open(), CheckLevel::Structure).problems.is_empty());
    let cache = std::fs::read_dir(place.dir.path().join("cache")).unwrap();
    let file = cache
        .map(|entry| entry.unwrap().path())
        .find(|path| path.display().to_string().contains("manifests-"))
        .unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(listed(place.open()), [heads[0].clone(), heads[2].clone()]);
    for name in [manifest.clone(), format!("copies/{manifest}")] {
        std::fs::write(root.join(name), &good).unwrap();
    }
    assert_eq!(listed(place.open()), heads);
}

#[test]
fn files_of_the_cache_are_whole_and_ours_or_not_there() {
    let place = Place::encrypted();
    let kept = |name: &[u8]| place.open().cache_file("facts", name).unwrap().unwrap();
    assert_eq!(kept(b"a").read(), None);
    kept(b"a").write(b"something".to_vec());
    kept(b"b").write(Vec::new());
    assert_eq!(kept(b"a").read().unwrap(), b"something");
    assert_eq!(kept(b"b").read().unwrap(), b"");

    let folder = std::fs::read_dir(place.dir.path().join("cache")).unwrap();
    let is_ours = |path: &std::path::PathBuf| path.display().to_string().contains("/facts-");
    let folder = folder.map(|entry| entry.unwrap().path()).find(is_ours).unwrap();
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [one, other] = files.as_slice() else { panic!("{files:?}") };
    let whole = [std::fs::read(one).unwrap(), std::fs::read(other).unwrap()];
    // One in the place of the other.
    std::fs::write(one, &whole[1]).unwrap();
    std::fs::write(other, &whole[0]).unwrap();
    assert_eq!((kept(b"a").read(), kept(b"b").read()), (None, None));
    for at in 0..whole[0].len() {
        let mut torn = whole[0].clone();
        torn[at] ^= 1;
        for bytes in [torn, whole[0][..at].to_vec()] {
            std::fs::write(one, bytes).unwrap();
            assert!(kept(b"a").read().is_none() && kept(b"b").read().is_none(), "byte {at}");
        }
    }

    kept(b"a").write(b"again".to_vec());
    let hour = std::time::Duration::from_secs(3600);
    for file in &files {
        let long_ago = std::time::SystemTime::now() - 2 * hour;
        std::fs::File::options().append(true).open(file).unwrap().set_modified(long_ago).unwrap();
    }
    // What was read is in use.
    assert_eq!(kept(b"a").read().unwrap(), b"again");
    place.open().tidy_cache_files("facts", hour);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!(kept(b"a").read().unwrap(), b"again");

    let bare = place.open_on(std::sync::Arc::new(place.store()), LocalFolders::default());
    assert!(bare.cache_file("facts", b"a").unwrap().is_none());
}
