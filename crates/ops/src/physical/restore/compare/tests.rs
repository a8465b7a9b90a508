//! Directories without a server: files of any state become those of a backup.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};

use pgark_repo::{
    BackupHead, Class, Cut, LocalFolders, NewBackup, PagesOf, Part, Protection, RepoError, Repository,
    Unlock, WriteOptions,
};
use pgark_store::{DirStore, Storage};
use proptest::prelude::*;

use super::super::plan::{Plan, PlannedFile};
use super::*;
use crate::Job;
use crate::facts::{About, Owned, Physical};
use crate::lock::lock;
use crate::physical::owners::Owners;
use crate::physical::places::Places;

/// Bytes of a page here.
const PAGE: usize = 1024;
/// A file of more pages than this has two maps.
const PART: usize = 300;

/// Files by name.
type Folder = BTreeMap<Vec<u8>, Vec<u8>>;

fn repository() -> (tempfile::TempDir, Repository) {
    let folder = tempfile::tempdir().unwrap();
    let store = Storage::uncancelled(DirStore::create(folder.path().join("repo")).unwrap());
    pgark_repo::init(&store, Protection::None, &[], &LocalFolders::default()).unwrap();
    let local =
        LocalFolders { cache: Some(folder.path().join("cache")), state: Some(folder.path().join("state")) };
    let repository = Repository::open(store, Unlock::Nothing, local).unwrap();
    (folder, repository)
}

/// A page; of number 0 one of zeros.
fn page(number: u8) -> Vec<u8> {
    (0..PAGE).map(|at| number.wrapping_mul(1 + (at % 7) as u8)).collect()
}

fn file(pages: &[u8], cut: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = pages.iter().flat_map(|number| page(*number)).collect();
    bytes.truncate(bytes.len().saturating_sub(cut));
    bytes
}

/// The small files share a map.
fn back_up(repository: &Repository, folder: &Folder) -> BackupHead {
    let (small, large): (Vec<_>, Vec<_>) = folder.iter().partition(|(_, bytes)| bytes.len() <= PART * PAGE);
    let written = repository.write_backup::<_, RepoError>(&WriteOptions::of("c", "test"), |writer| {
        let mut control = writer.entry("/pgdata/a", Class::Data);
        let mut stream = control.stream(Cut::Content);
        stream.write(b"x")?;
        control.add(stream.finish()?);
        control.finish(Vec::new())?;
        let mut entry = writer.entry("/pgdata/base/5", Class::Data);
        let mut part = |files: &[(&Vec<u8>, &[u8])], from: usize, is_bundle: bool| {
            let of = PagesOf { page_size: PAGE as u32, from: from as u32, is_bundle };
            let mut pages = writer.pages(of, &[])?;
            for (name, bytes) in files {
                pages.begin_file(name)?;
                pages.write(bytes)?;
            }
            entry.add(pages.finish()?.0);
            Ok::<_, RepoError>(())
        };
        if !small.is_empty() {
            let files: Vec<_> = small.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
            part(&files, 0, true)?;
        }
        for (name, bytes) in &large {
            let (first, second) = bytes.split_at(PART * PAGE);
            part(&[(*name, first)], 0, false)?;
            part(&[(*name, second)], PART, false)?;
        }
        entry.finish(Vec::new())?;
        Ok((NewBackup { kind: "x".into(), complete: true, about: Vec::new(), time: None }, ()))
    });
    written.unwrap().0
}

/// Makes a directory what it is in the backup. Returns the pages that were compared, and those that
/// differed.
fn restore(repository: &Repository, head: &BackupHead, root: &Path, sparse: bool) -> (u64, u64) {
    let backup = repository.open_head(head).unwrap();
    let reader = repository.reader(head).unwrap();
    let mut maps = Vec::new();
    for part in backup.entry("/pgdata/base/5").unwrap().unwrap().parts {
        let Part::Map(map) = part else { panic!("no map") };
        maps.push(*map);
    }
    let folder = PlannedFolder { path: b"base/5".to_vec(), owned: Owned::default(), file_mode: 0o600, maps };
    let entry = backup.entry("/pgdata/a").unwrap().unwrap();
    let plan = Plan {
        about: About::default(),
        physical: Physical { page_size: PAGE as u32, ..Physical::default() },
        places: Places::new(root, &[], None),
        tablespaces: Vec::new(),
        ground: None,
        folders: vec![folder],
        files: Vec::new(),
        control: PlannedFile { path: b"a".to_vec(), entry, owned: None, modified: String::new() },
        outside: Vec::new(),
        bytes: 0,
    };
    let (job, owners) = (Job::quiet(), Owners::default());
    let writing = Writing {
        backup: &backup,
        reader: &reader,
        plan: &plan,
        job: &job,
        owners: &owners,
        as_root: false,
        sparse,
        written: Mutex::default(),
        bytes: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
        now: 0,
        delta: Some(Delta::default()),
    };
    writing.write(2).unwrap();
    let mut written = lock(&writing.written);
    for file in written.drain(..) {
        let bytes = std::fs::read(plan.places.of(&file.path)).unwrap();
        assert_eq!((file.bytes, file.crc32c), (bytes.len() as u64, crc32c::checksum(&bytes)));
    }
    let delta = writing.delta.as_ref().unwrap();
    (delta.compared.load(Ordering::Relaxed), delta.different.load(Ordering::Relaxed))
}

fn put(root: &Path, folder: &Folder) -> PathBuf {
    let place = root.join("base/5");
    std::fs::create_dir_all(&place).unwrap();
    for (name, bytes) in folder {
        std::fs::write(place.join(String::from_utf8_lossy(name).as_ref()), bytes).unwrap();
    }
    place
}

fn read(place: &Path) -> Folder {
    let entries = std::fs::read_dir(place).unwrap().flatten();
    let file = |entry: std::fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned().into_bytes(), std::fs::read(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

/// Pages that are not what they must be.
fn different(wanted: &Folder, here: &Folder) -> u64 {
    let mut count = 0;
    for (name, bytes) in wanted {
        let mut own = here.get(name).cloned().unwrap_or_default();
        own.resize(bytes.len(), 0);
        count += bytes.chunks(PAGE).zip(own.chunks(PAGE)).filter(|(one, other)| one != other).count() as u64;
    }
    count
}

fn pages(folder: &Folder) -> u64 {
    folder.values().map(|bytes| bytes.len().div_ceil(PAGE) as u64).sum()
}

/// Files of few kinds of pages: many are zeros, and equal pages are at other places.
fn folders() -> impl Strategy<Value = Folder> {
    let small = prop::collection::vec(0u8..4, 0..12);
    let large = prop::collection::vec(0u8..4, PART + 1..PART + 90);
    let pages = prop_oneof![5 => small, 1 => large];
    let one = (pages, 0..PAGE).prop_map(|(pages, cut)| file(&pages, cut));
    prop::collection::btree_map("[1-9]".prop_map(String::into_bytes), one, 0..6)
}

/// What happened to a file: it is another one, shorter or longer, or some of its pages are.
fn happened(folder: &Folder, others: &Folder, seeds: &[u16]) -> Folder {
    let mut here = folder.clone();
    for (at, seed) in seeds.iter().enumerate() {
        let Some(name) = folder.keys().nth(*seed as usize % folder.len().max(1)).cloned() else { continue };
        let bytes = here.entry(name.clone()).or_default();
        let pages = bytes.len() / PAGE;
        match at % 5 {
            0 => bytes.truncate((*seed as usize * 31) % (bytes.len() + 1)),
            1 => bytes.extend(file(&[1, 0, (*seed % 5) as u8], *seed as usize % PAGE)),
            2 => drop(here.remove(&name)),
            3 => drop(others.values().next().map(|other| here.insert(name, other.clone()))),
            _ if pages > 0 => {
                let place = (*seed as usize % pages) * PAGE;
                bytes[place..place + PAGE].copy_from_slice(&page((*seed % 4) as u8));
            }
            _ => {}
        }
    }
    here.retain(|name, _| folder.contains_key(name));
    here
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn files_become_those_of_the_backup(
        folder in folders(),
        others in folders(),
        seeds in prop::collection::vec(any::<u16>(), 0..12),
        sparse in any::<bool>(),
    ) {
        let (_repository, repository) = repository();
        let head = back_up(&repository, &folder);
        let root = tempfile::tempdir().unwrap();
        let here = happened(&folder, &others, &seeds);
        let place = put(root.path(), &here);
        let done = restore(&repository, &head, root.path(), sparse);
        prop_assert_eq!(read(&place), folder.clone());
        prop_assert_eq!(done, (pages(&folder), different(&folder, &here)));
        let again = restore(&repository, &head, root.path(), sparse);
        prop_assert_eq!(again, (pages(&folder), 0));
        prop_assert_eq!(read(&place), folder);
    }

    /// Hashes that say nothing: pages that are taken for others are noticed by the checksum of
    /// their file.
    #[test]
    fn pages_with_equal_hashes_are_not_taken_for_each_other(
        folder in folders(),
        others in folders(),
        seeds in prop::collection::vec(any::<u16>(), 1..12),
    ) {
        let (_repository, repository) = repository();
        repository.cut_item_hashes(1);
        let head = back_up(&repository, &folder);
        let root = tempfile::tempdir().unwrap();
        let place = put(root.path(), &happened(&folder, &others, &seeds));
        restore(&repository, &head, root.path(), true);
        prop_assert_eq!(read(&place), folder);
    }
}

/// Pages of zeros are holes, or bytes, as asked.
#[test]
fn holes_are_made_and_filled() {
    let (_repository, repository) = repository();
    let zeros = vec![0; 250];
    let folder = Folder::from([(b"1".to_vec(), file(&[&[1], &zeros[..], &[2]].concat(), 0))]);
    let head = back_up(&repository, &folder);
    let root = tempfile::tempdir().unwrap();
    let dirty = Folder::from([(b"1".to_vec(), file(&[3; 252], 0))]);
    let place = put(root.path(), &dirty);
    assert_eq!(restore(&repository, &head, root.path(), true), (252, 252));
    let blocks = || std::fs::metadata(place.join("1")).unwrap().blocks() * 512;
    let sparse = blocks();
    assert_eq!(restore(&repository, &head, root.path(), false), (252, 0));
    assert!(blocks() >= 252 * PAGE as u64 && sparse <= blocks());
    assert_eq!(read(&place), folder);
}
