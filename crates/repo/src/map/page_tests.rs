//! Folders of files under maps of pages.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{FileDifference, Files, MapRef, PagesDone, PagesOf, Part};
use crate::manifest::BackupHead;
use crate::pack;
use crate::properties::{Random, repository};
use crate::repository::Repository;
use crate::stream::{ChunkKind, Class};
use crate::writer::{NewBackup, WriteOptions};
use crate::{CheckLevel, CheckOptions, PruneOptions, RepoError};

/// Bytes of a page here.
const PAGE: usize = 1024;
/// Files of at least so many pages have a map of their own.
const OWN: usize = 600;
/// Files that share a map.
const BUNDLE: usize = 7;

/// Files by name.
type Folder = BTreeMap<Vec<u8>, Vec<u8>>;

fn page(seed: u64) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut page[..200]);
    page
}

/// A file of so many pages, of which each fifth one is zeros.
fn file(seed: u64, pages: usize) -> Vec<u8> {
    let one = |number: usize| if number % 5 == 4 { vec![0; PAGE] } else { page(seed << 32 | number as u64) };
    (0..pages).flat_map(one).collect()
}

fn folder() -> Folder {
    let mut folder = Folder::new();
    for number in 0..20u64 {
        folder.insert(format!("{}", 1000 + number).into_bytes(), file(number, 3 * number as usize));
    }
    folder.insert(b"2000".to_vec(), file(77, 2000));
    folder.insert(b"2000_vm".to_vec(), file(78, 1));
    // Its last page is not whole.
    folder.insert(b"2001".to_vec(), file(79, 1000)[..999 * PAGE + 17].to_vec());
    folder
}

/// Changes, adds and drops files and pages.
fn change(folder: &mut Folder, random: &mut Random) {
    for _ in 0..12 {
        let names: Vec<Vec<u8>> = folder.keys().cloned().collect();
        let name = names[random.below(names.len())].clone();
        let seed = random.next();
        let bytes = folder.get_mut(&name).unwrap();
        let pages = bytes.len() / PAGE;
        match random.below(8) {
            0 => drop(folder.remove(&name)),
            1 => drop(
                folder.insert(format!("{}", 1000 + seed % 90).into_bytes(), file(seed, random.below(40))),
            ),
            2 => bytes.truncate(random.below(pages + 1) * PAGE),
            3 => bytes.extend(file(seed, random.below(90))),
            _ if pages > 0 => {
                for _ in 0..1 + pages / 40 {
                    let at = random.below(pages) * PAGE;
                    bytes[at..at + PAGE].copy_from_slice(&page(random.next()));
                }
            }
            _ => {}
        }
    }
}

/// A backup of a folder, each part of which is compared with those of the newest backup that have
/// its files.
fn backup(repository: &Repository, folder: &Folder) -> (BackupHead, PagesDone) {
    let earlier: Vec<(MapRef, Files)> = match repository.backups().unwrap().pop() {
        Some(head) => maps(repository, &head),
        None => Vec::new(),
    };
    let (own, small): (Vec<_>, Vec<_>) = folder.iter().partition(|(_, bytes)| bytes.len() >= OWN * PAGE);
    let bundles = small.chunks(BUNDLE).map(|files| (files.to_vec(), true));
    let parts: Vec<(Vec<_>, bool)> = bundles.chain(own.into_iter().map(|file| (vec![file], false))).collect();
    let written = repository.write_backup::<_, RepoError>(&WriteOptions::of("c", "test"), |writer| {
        writer.look_up(&earlier.iter().map(|(map, _)| map).collect::<Vec<_>>())?;
        let mut entry = writer.entry("/pgdata/base/5", Class::Data);
        let mut all = PagesDone::default();
        for (files, is_bundle) in parts {
            let has =
                |of: &Files| files.iter().any(|(name, _)| of.files.iter().any(|file| file.name == **name));
            let earlier: Vec<&MapRef> =
                earlier.iter().filter(|(_, of)| has(of)).map(|(map, _)| map).collect();
            let of = PagesOf { page_size: PAGE as u32, from: 0, is_bundle };
            let mut pages = writer.pages(of, &earlier)?;
            for (name, bytes) in files {
                pages.begin_file(name)?;
                // In pieces of any length.
                for piece in bytes.chunks(700_001) {
                    pages.write(piece)?;
                }
            }
            let (part, done) = pages.finish()?;
            entry.add(part);
            all += done;
        }
        entry.finish(Vec::new())?;
        Ok((NewBackup { kind: "x".into(), complete: true, about: Vec::new(), time: None }, all))
    });
    written.unwrap()
}

fn maps(repository: &Repository, head: &BackupHead) -> Vec<(MapRef, Files)> {
    let backup = repository.open_head(head).unwrap();
    let entry = backup.entry("/pgdata/base/5").unwrap().unwrap();
    let maps = entry.parts.into_iter().map(|part| match part {
        Part::Map(map) => *map,
        _ => panic!("no map"),
    });
    maps.map(|map| (map.clone(), backup.page_files(&map).unwrap())).collect()
}

/// The files, put together from what a backup holds.
fn read(repository: &Repository, head: &BackupHead) -> Result<Folder, RepoError> {
    let reader = repository.reader(head)?;
    let mut folder = Folder::new();
    for (map, files) in maps(repository, head) {
        for file in &files.files {
            assert!(folder.insert(file.name.clone(), vec![0; file.bytes as usize]).is_none());
        }
        let mut items = reader.read_items(&map, "the pages")?;
        while let Some(kept) = items.next_items()? {
            let mut bytes = kept.bytes.chunks(PAGE);
            for run in kept.addresses {
                let file = folder.get_mut(&run.name).unwrap();
                for number in run.first..run.first + run.items {
                    let (page, at) = (bytes.next().unwrap(), number as usize * PAGE);
                    let length = PAGE.min(file.len() - at);
                    file[at..at + length].copy_from_slice(&page[..length]);
                }
            }
        }
    }
    Ok(folder)
}

fn problems(repository: &Repository, level: CheckLevel) -> Vec<String> {
    let report = repository.check(&CheckOptions::all(level), &|_| {}).unwrap();
    report.problems.into_iter().map(|problem| format!("{problem:?}")).collect()
}

fn prune(repository: &Repository) {
    let options = PruneOptions { grace: Duration::ZERO, repack_below: 99, ..PruneOptions::default() };
    for _ in 0..2 {
        let report = repository.prune(&options, &|_| {}).unwrap();
        assert!(report.held_by.is_empty(), "{report:?}");
    }
}

#[test]
fn folders_of_files_come_back() {
    let (_dir, repository) = repository();
    let (mut folder, mut random) = (folder(), Random(7));
    let mut backups = Vec::new();
    for _ in 0..20 {
        let (head, done) = backup(&repository, &folder);
        let pages: u64 = folder.values().map(|bytes| bytes.len().div_ceil(PAGE) as u64).sum();
        assert_eq!(done.total, pages);
        backups.push((head, folder.clone()));
        change(&mut folder, &mut random);
    }
    for (head, folder) in &backups {
        assert_eq!(read(&repository, head).unwrap(), *folder);
    }
    assert_eq!(problems(&repository, CheckLevel::Data), [""; 0]);
    for number in [0, 5, 6, 18] {
        repository.forget(backups[number].0.id).unwrap();
    }
    prune(&repository);
    assert_eq!(problems(&repository, CheckLevel::Data), [""; 0]);
    for (number, (head, folder)) in backups.iter().enumerate() {
        if ![0, 5, 6, 18].contains(&number) {
            assert_eq!(read(&repository, head).unwrap(), *folder);
        }
    }
}

#[test]
fn what_did_not_change_is_not_stored() {
    let (_dir, repository) = repository();
    let mut folder = folder();
    let (first, done) = backup(&repository, &folder);
    assert_eq!(done.new + done.zero, done.total);
    let (second, done) = backup(&repository, &folder);
    assert_eq!((done.new, done.rewritten), (0, 0), "{done:?}");
    assert!(second.bytes_added * 50 < first.bytes_added, "{} of {}", second.bytes_added, first.bytes_added);
    // One page of a large file, and one of a small one.
    folder.get_mut(b"2000".as_slice()).unwrap()[1000 * PAGE] ^= 1;
    folder.get_mut(b"1009".as_slice()).unwrap()[PAGE] ^= 1;
    let (third, done) = backup(&repository, &folder);
    assert_eq!((done.new, done.rewritten), (2, 0), "{done:?}");
    assert_eq!(read(&repository, &third).unwrap(), folder);
    // Zeros where a page was, and a page where zeros were.
    let file = folder.get_mut(b"2000".as_slice()).unwrap();
    file[7 * PAGE..8 * PAGE].fill(0);
    file[4 * PAGE] = 1;
    let (fourth, done) = backup(&repository, &folder);
    assert_eq!(done.new, 1, "{done:?}");
    assert_eq!(read(&repository, &fourth).unwrap(), folder);
}

/// Files below a folder.
fn walk(folder: &std::path::Path) -> std::collections::BTreeSet<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { [path].into() }).collect()
}

/// Units of a pack that is gone are not kept, although all were looked up together: their pages are
/// stored again, and no others.
#[test]
fn pages_of_a_pack_that_is_gone_are_stored_again() {
    let (dir, repository) = repository();
    let packs = dir.path().join("r/packs");
    let mut folder = folder();
    backup(&repository, &folder);
    let before = walk(&packs);
    for number in 0..50 {
        let at = (number * 20 + 1) * PAGE;
        folder.get_mut(b"2000".as_slice()).unwrap()[at..at + PAGE]
            .copy_from_slice(&page(7000 + number as u64));
    }
    let (second, done) = backup(&repository, &folder);
    assert_eq!(done.new, 50);
    // Kind 2: of metadata.
    let is_data = |path: &&std::path::PathBuf| std::fs::read(path).unwrap().get(5) != Some(&2);
    let after = walk(&packs);
    let lost: Vec<_> = after.difference(&before).filter(is_data).collect();
    assert_eq!(lost.len(), 1);
    std::fs::remove_file(lost[0]).unwrap();
    assert!(read(&repository, &second).is_err());
    let (third, done) = backup(&repository, &folder);
    assert_eq!((done.new, done.rewritten), (50, 0), "{done:?}");
    assert_eq!(read(&repository, &third).unwrap(), folder);
    // The older one is whole again: the same pages are the same chunks.
    assert_eq!(read(&repository, &second).unwrap(), folder);
    assert_eq!(problems(&repository, CheckLevel::Data), [""; 0]);
}

/// What a backup depends on after units were looked up together is known to a prune: it spares
/// their packs.
#[test]
fn packs_of_units_that_were_looked_up_are_spared() {
    let (_dir, repository) = repository();
    let folder = folder();
    let (first, _) = backup(&repository, &folder);
    let (second, done) = backup(&repository, &folder);
    assert_eq!((done.new, done.rewritten), (0, 0));
    repository.forget(first.id).unwrap();
    prune(&repository);
    assert_eq!(read(&repository, &second).unwrap(), folder);
    assert_eq!(problems(&repository, CheckLevel::Data), [""; 0]);
}

/// Which files differ, and in how many pages, by comparing bytes.
fn differing(a: &Folder, b: &Folder) -> Vec<FileDifference> {
    let names: std::collections::BTreeSet<&Vec<u8>> = a.keys().chain(b.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let (a, b) = (a.get(name), b.get(name));
        if a == b {
            continue;
        }
        let pages = |file: Option<&Vec<u8>>| -> Vec<Vec<u8>> {
            file.map(|file| file.chunks(PAGE).map(<[u8]>::to_vec).collect()).unwrap_or_default()
        };
        let (own, others) = (pages(a), pages(b));
        let all = 0..own.len().max(others.len());
        let pages = all.filter(|number| own.get(*number) != others.get(*number)).count() as u64;
        let bytes = (a.map(|file| file.len() as u64), b.map(|file| file.len() as u64));
        found.push(FileDifference { name: name.clone(), bytes, pages: Some(pages) });
    }
    found
}

/// What the lists of two backups say of the folder.
fn told(repository: &Repository, a: &BackupHead, b: &BackupHead) -> Vec<FileDifference> {
    let [a, b] = [a, b].map(|head| repository.open_head(head).unwrap());
    let [own, other] = [&a, &b].map(|backup| backup.entry("/pgdata/base/5").unwrap().unwrap());
    a.differing_files(&own, &b, &other, &mut || Ok(())).unwrap()
}

/// Any two backups, also far from each other and with others forgotten in between, differ in what
/// their bytes differ in.
#[test]
fn lists_tell_which_pages_differ() {
    let (_dir, repository) = repository();
    let (mut folder, mut random) = (folder(), Random(11));
    let mut backups = Vec::new();
    for round in 0..14 {
        backups.push((backup(&repository, &folder).0, folder.clone()));
        // Three times nothing changes.
        if round % 5 != 1 {
            change(&mut folder, &mut random);
        }
    }
    for number in [3, 8] {
        repository.forget(backups[number].0.id).unwrap();
    }
    prune(&repository);
    let left: Vec<_> = (0..14).filter(|number| ![3, 8].contains(number)).collect();
    let mut equal = 0;
    for a in &left {
        for b in &left {
            let ((a, of_a), (b, of_b)) = (&backups[*a], &backups[*b]);
            let expected = differing(of_a, of_b);
            equal += usize::from(expected.is_empty());
            assert_eq!(told(&repository, a, b), expected);
        }
    }
    assert!(equal > left.len(), "no two equal backups were compared");
}

/// Lengths that differ within a page, and pages of zeros that come or go.
#[test]
fn ends_of_files_are_compared_too() {
    let (_dir, repository) = repository();
    let mut folder = folder();
    let (first, before) = (backup(&repository, &folder).0, folder.clone());
    folder.get_mut(b"2001".as_slice()).unwrap().resize(999 * PAGE + 400, 0);
    folder.get_mut(b"2000".as_slice()).unwrap().resize(2010 * PAGE, 0);
    folder.get_mut(b"1019".as_slice()).unwrap().truncate(2 * PAGE + 100);
    folder.insert(b"1003x".to_vec(), Vec::new());
    let second = backup(&repository, &folder).0;
    let expected = differing(&before, &folder);
    let pages: Vec<u64> = expected.iter().map(|of| of.pages.unwrap()).collect();
    assert_eq!(pages, [0, 55, 10, 1]);
    assert_eq!(told(&repository, &first, &second), expected);
}

/// Damages every item list.
fn damage_lists(dir: &std::path::Path, repository: &Repository) {
    let compartment = repository.unlocked.compartment_of("c").unwrap();
    let index = repository.index(compartment).unwrap();
    let mut hit = 0;
    for entry in &index.packs.packs {
        let name = pack::name(compartment, &entry.hash);
        let range = |offset, len| pack::range(repository.store(), &name, offset, len);
        let keys = repository.keys();
        let (_, directory) =
            pack::read_directory_by(keys, compartment, &entry.hash, entry.size, &range).unwrap();
        let path = dir.join("r").join(&name);
        let mut bytes = std::fs::read(&path).unwrap();
        for chunk in directory.chunks.iter().filter(|chunk| chunk.kind == ChunkKind::ItemList as u8) {
            bytes[chunk.offset as usize] ^= 1;
            hit += 1;
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(hit > 0);
}

/// Without lists the CRC32C of a file tells whether it changed, and nobody knows where.
#[test]
fn without_lists_files_are_compared_as_a_whole() {
    let (dir, repository) = repository();
    let mut folder = folder();
    let first = backup(&repository, &folder).0;
    folder.get_mut(b"2000".as_slice()).unwrap()[300 * PAGE + 5] ^= 1;
    folder.get_mut(b"1012".as_slice()).unwrap()[PAGE] ^= 1;
    folder.remove(b"1003".as_slice());
    let second = backup(&repository, &folder).0;
    let known = told(&repository, &first, &second);
    assert_eq!(known.iter().map(|of| of.pages).collect::<Vec<_>>(), [Some(9), Some(1), Some(1)]);
    damage_lists(dir.path(), &repository);
    let unknown = told(&repository, &first, &second);
    let names = |of: &[FileDifference]| of.iter().map(|of| of.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&unknown), names(&known));
    assert_eq!(unknown.iter().map(|of| of.pages).collect::<Vec<_>>(), [Some(9), None, None]);
}

/// A file of several maps that grows by one, of which the others stay.
#[test]
fn parts_of_a_file_are_compared_by_their_places() {
    let (_dir, repository) = repository();
    let write = |pages: usize| {
        let bytes = file(5, pages);
        let written = repository.write_backup::<(), RepoError>(&WriteOptions::of("c", "test"), |writer| {
            let mut entry = writer.entry("/pgdata/base/5", Class::Data);
            for (from, part) in bytes.chunks(1024 * PAGE).enumerate() {
                let from = from as u32 * 1024;
                let of = PagesOf { page_size: PAGE as u32, from, is_bundle: false };
                let mut pages = writer.pages(of, &[])?;
                pages.begin_file(b"1")?;
                pages.write(part)?;
                entry.add(pages.finish()?.0);
            }
            entry.finish(Vec::new())?;
            Ok((NewBackup { kind: "x".into(), complete: true, about: Vec::new(), time: None }, ()))
        });
        (written.unwrap().0, Folder::from([(b"1".to_vec(), bytes)]))
    };
    let (short, long) = (write(1024), write(2600));
    assert_eq!(told(&repository, &short.0, &long.0), differing(&short.1, &long.1));
    assert_eq!(told(&repository, &long.0, &short.0), differing(&long.1, &short.1));
    assert_eq!(told(&repository, &long.0, &write(2600).0), []);
}

/// A server sends the files of a folder in any order, and which earlier maps have them is known one
/// by one. Such a backup is compared with one whose files come by name, and the other way round.
#[test]
fn files_of_a_bundle_come_in_any_order() {
    let (_dir, repository) = repository();
    let mut folder: Folder = folder().into_iter().filter(|(_, bytes)| bytes.len() < OWN * PAGE).collect();
    let (sorted, _) = backup(&repository, &folder);
    folder.get_mut(b"1009".as_slice()).unwrap()[PAGE] ^= 1;
    let mut names: Vec<&Vec<u8>> = folder.keys().collect();
    names.reverse();
    names.rotate_left(5);
    let earlier = maps(&repository, &sorted);
    assert!(earlier.len() > 2);
    let write = |names: &[&Vec<u8>]| {
        repository.write_backup::<_, RepoError>(&WriteOptions::of("c", "test"), |writer| {
            let mut entry = writer.entry("/pgdata/base/5", Class::Data);
            let of = PagesOf { page_size: PAGE as u32, from: 0, is_bundle: true };
            let mut pages = writer.pages(of, &[])?;
            let mut compared = Vec::new();
            for name in names {
                let has = |(_, files): &&(MapRef, Files)| files.files.iter().any(|file| file.name == **name);
                let (map, files) = earlier.iter().find(has).unwrap();
                assert_eq!(writer.earlier_files(map)?.as_ref(), Some(files));
                if !compared.contains(&map) {
                    writer.compare(&mut pages, map)?;
                    compared.push(map);
                }
                pages.begin_file(name)?;
                for piece in folder[*name].chunks(3333) {
                    pages.write(piece)?;
                }
            }
            let (part, done) = pages.finish()?;
            entry.add(part);
            entry.finish(Vec::new())?;
            Ok((NewBackup { kind: "x".into(), complete: true, about: Vec::new(), time: None }, done))
        })
    };
    let (mixed, done) = write(&names).unwrap();
    assert_eq!((done.new, done.rewritten), (1, 0), "{done:?}");
    assert_eq!(read(&repository, &mixed).unwrap(), folder);
    let (again, done) = backup(&repository, &folder);
    assert_eq!((done.new, done.rewritten), (0, 0), "{done:?}");
    assert_eq!(read(&repository, &again).unwrap(), folder);
    assert_eq!(problems(&repository, CheckLevel::Data), [""; 0]);
    // No file can be there twice.
    names.push(names[0]);
    assert!(matches!(write(&names), Err(RepoError::Damaged { .. })));
}

/// Copies of a folder share chunks: their files have the same names and pages.
#[test]
fn equal_folders_have_equal_chunks() {
    let (_dir, repository) = repository();
    let folder = folder();
    let mut added = Vec::new();
    let written = repository.write_backup::<(), RepoError>(&WriteOptions::of("c", "test"), |writer| {
        for copy in 0..3u8 {
            let mut entry = writer.entry(format!("/pgdata/base/{copy}"), Class::Data);
            let mut pages =
                writer.pages(PagesOf { page_size: PAGE as u32, from: 0, is_bundle: true }, &[])?;
            for (name, bytes) in &folder {
                pages.begin_file(name)?;
                let mut bytes = bytes.clone();
                // One page of each copy is its own.
                if name == b"1010" {
                    bytes[0] = copy;
                }
                pages.write(&bytes)?;
            }
            entry.add(pages.finish()?.0);
            entry.finish(Vec::new())?;
            added.push(writer.bytes_added());
        }
        Ok((NewBackup { kind: "x".into(), complete: true, about: Vec::new(), time: None }, ()))
    });
    let head = written.unwrap().0;
    let backup = repository.open_head(&head).unwrap();
    let stored: Vec<u64> = backup.additions().unwrap().map(|addition| addition.unwrap().bytes).collect();
    assert_eq!(stored.len(), 3);
    assert!(stored[1] * 5 < stored[0] && stored[2] * 5 < stored[0], "{stored:?}");
}

/// Two hashes that say nothing: the sum, which is made from them, does not notice a page that was
/// taken for another one, and the CRC32C of its file does.
#[test]
fn a_page_that_was_taken_for_another_one_is_noticed() {
    let (_dir, repository) = repository();
    repository.cut_item_hashes(1);
    let mut folder = folder();
    backup(&repository, &folder);
    let mut noticed = 0;
    // Half of all pages have the hash of the one before.
    for round in 0..64u64 {
        if noticed == 3 {
            break;
        }
        let file = folder.get_mut(b"2000".as_slice()).unwrap();
        let at = (11 + round as usize * 5) * PAGE;
        file[at..at + PAGE].copy_from_slice(&page(900 + round));
        let (head, done) = backup(&repository, &folder);
        if done.new == 1 && noticed == 0 {
            assert_eq!(read(&repository, &head).unwrap(), folder);
            continue;
        }
        // It was believed to be the old one, now or before.
        noticed += 1;
        let said = read(&repository, &head).unwrap_err().to_string();
        assert!(said.contains("the bytes of file \"2000\" are not those that were backed up"), "{said}");
        let found = problems(&repository, CheckLevel::Data).join("\n");
        assert!(found.contains("the bytes of file"), "{found}");
    }
    assert!(noticed > 0, "a hash of one bit has to collide");
}

/// What a maker gets wrong is refused before it is committed; what another one wrote, by readers.
#[test]
fn what_a_map_of_pages_must_not_say() {
    let (_dir, repository) = repository();
    let folder = folder();
    let (head, _) = backup(&repository, &folder);
    let (good, files) = maps(&repository, &head).into_iter().find(|(_, files)| !files.is_bundle).unwrap();
    let reader = repository.reader(&head).unwrap();
    let read = |map: &MapRef| {
        let mut items = reader.read_items(map, "the pages")?;
        while items.next_items()?.is_some() {}
        Ok::<_, RepoError>(())
    };
    read(&good).unwrap();
    let with = |change: &dyn Fn(&mut Files)| {
        let mut files = files.clone();
        change(&mut files);
        let (facts, _) = files.encode();
        MapRef { facts: facts.into(), ..good.clone() }
    };
    let said = |map: &MapRef| read(map).unwrap_err().to_string();
    for (map, says) in [
        (with(&|files| files.files[0].bytes -= 3 * PAGE as u64), "outside of what it covers"),
        (with(&|files| files.files[0].name.push(b'x')), "files that it does not name"),
        (with(&|files| files.files[0].name.clear()), "impossible shape"),
        (with(&|files| files.files[0].bytes = 1 << 60), "impossible shape"),
        (with(&|files| files.page_size = 3000), "impossible size"),
        (with(&|files| files.page_size = 2048), "impossible size"),
        (with(&|files| files.is_bundle = true), "impossible shape"),
        (with(&|files| files.files[0].crc32c ^= 1), "are not those that were backed up"),
        (with(&|files| files.files[0].bytes += 1), "are not those that were backed up"),
        (MapRef { from: 1, ..good.clone() }, "outside of what it covers"),
        (MapRef { from: u64::MAX, ..good.clone() }, "impossible shape"),
        (MapRef { bytes: good.bytes + 1, ..good.clone() }, "not as long as it says"),
        (MapRef { facts: vec![0x80].into(), ..good.clone() }, "impossible shape"),
    ] {
        assert!(said(&map).contains(says), "{says}: {}", said(&map));
    }
}

/// A file of several maps.
#[test]
fn parts_of_a_file() {
    let (_dir, repository) = repository();
    let bytes = file(5, 1500);
    let written = repository.write_backup::<(), RepoError>(&WriteOptions::of("c", "test"), |writer| {
        let mut entry = writer.entry("/pgdata/base/5", Class::Data);
        for (from, part) in [(0, &bytes[..1024 * PAGE]), (1024, &bytes[1024 * PAGE..])] {
            let mut pages = writer.pages(PagesOf { page_size: PAGE as u32, from, is_bundle: false }, &[])?;
            pages.begin_file(b"1")?;
            pages.write(part)?;
            entry.add(pages.finish()?.0);
        }
        entry.finish(Vec::new())?;
        Ok((NewBackup { kind: "x".into(), complete: true, about: Vec::new(), time: None }, ()))
    });
    let head = written.unwrap().0;
    let reader = repository.reader(&head).unwrap();
    let mut back = vec![0; bytes.len()];
    for (map, files) in maps(&repository, &head) {
        assert_eq!(files.end(&files.files[0]), if files.from == 0 { 1024 } else { 1500 });
        let mut items = reader.read_items(&map, "the pages").unwrap();
        while let Some(kept) = items.next_items().unwrap() {
            let mut pages = kept.bytes.chunks(PAGE);
            for run in kept.addresses {
                for number in run.first..run.first + run.items {
                    let at = number as usize * PAGE;
                    back[at..at + PAGE].copy_from_slice(pages.next().unwrap());
                }
            }
        }
    }
    assert!(back == bytes);
    assert_eq!(problems(&repository, CheckLevel::Data), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn any_history_of_a_folder_comes_back(seed in 1u64..u64::MAX) {
        let (_dir, repository) = repository();
        let (mut folder, mut random) = (folder(), Random(seed));
        let mut backups = Vec::new();
        for _ in 0..5 {
            backups.push((backup(&repository, &folder).0, folder.clone()));
            for _ in 0..1 + random.below(4) {
                change(&mut folder, &mut random);
            }
        }
        for (head, folder) in &backups {
            prop_assert_eq!(&read(&repository, head).unwrap(), folder);
        }
        prop_assert_eq!(problems(&repository, CheckLevel::Data), [""; 0]);
    }
}
