//! A folder while its files come: maps for its page files, and its entry when it ends.
//!
//! **Which files share a map.** As in a backup that reads the files itself, small files are in
//! bundles, and large ones have maps of their own. But the files come in no order, so a bundle
//! cannot be a range of names. A file goes to the bundle that it was in before: then each old unit
//! has one new bundle that uses it, and a restore reads it once. New files fill up the bundle that
//! was used last. Where a folder had too many bundles to have them all open, its files fill one
//! bundle after the other as they come, each of which is compared with every old one that has a
//! file of it.
//!
//! **Memory.** For each open bundle 24 bytes for each old page, and up to three units of pages,
//! which are filled by new pages only; for each small file of the backup before its name.

use std::collections::{BTreeMap, HashSet};

use pgark_datadir::scan::FolderKind;
use pgark_repo::{BackupWriter, Class, MOST_FILES, MOST_PAGES, PageWriter, PagesDone, PagesOf, PartSummary};

use crate::facts::{Note, Owned};
use crate::physical::backup::earlier::EarlierFolder;
use crate::physical::backup::known::Known;
use crate::physical::backup::plan;
use crate::{OpsError, paths};

/// Bundles of a folder that are open at once.
const MOST_OPEN: usize = 16;
/// The bundle of files that come, where those of the backup before are too many.
const ARRIVING: usize = usize::MAX;

/// A folder that is not complete.
pub(super) struct Folder<'a> {
    /// Below the data directory.
    pub path: Vec<u8>,
    pub kind: FolderKind,
    pub owned: Owned,
    /// Bytes of its files, those that do not consist of pages too.
    pub bytes: u64,
    writer: &'a BackupWriter<'a>,
    page_size: u32,
    entry: String,
    /// Of its page files; that of the first one.
    file_mode: Option<u16>,
    files: u64,
    known: Known<'a>,
    /// By the number of the earlier part that each continues.
    bundles: BTreeMap<usize, Bundle<'a>>,
    /// Which of them was used last.
    last: Option<usize>,
    open: Option<Open<'a>>,
    parts: Vec<PartSummary>,
    pages: PagesDone,
}

/// A bundle that takes more files.
struct Bundle<'a> {
    pages: PageWriter<'a>,
    files: usize,
    /// Numbers of the earlier parts that it is compared with.
    compared: HashSet<usize>,
}

/// Where the file goes that comes.
enum Open<'a> {
    Bundle(usize),
    Own { name: Vec<u8>, pages: Box<PageWriter<'a>>, from: u64, at: u64 },
}

impl<'a> Folder<'a> {
    pub(super) fn new(
        writer: &'a BackupWriter<'a>,
        page_size: u32,
        earlier: &'a EarlierFolder,
        path: Vec<u8>,
        owned: Owned,
    ) -> Folder<'a> {
        Folder {
            kind: FolderKind::of(&path),
            entry: paths::in_data_directory(&path),
            path,
            owned,
            bytes: 0,
            writer,
            page_size,
            file_mode: None,
            files: 0,
            known: Known::new(earlier),
            bundles: BTreeMap::new(),
            last: None,
            open: None,
            parts: Vec::new(),
            pages: PagesDone::default(),
        }
    }

    /// Whether this path is that of something in the folder, or below.
    pub(super) fn is_above(&self, path: &[u8]) -> bool {
        self.path.is_empty()
            || path.strip_prefix(self.path.as_slice()).is_some_and(|rest| rest.starts_with(b"/"))
    }

    /// A file of pages begins, which has so many bytes.
    pub(super) fn begin(&mut self, name: &[u8], bytes: u64, mode: u16) -> Result<(), OpsError> {
        self.file_mode.get_or_insert(mode);
        self.files += 1;
        self.bytes += bytes;
        self.known.read(self.writer)?;
        let was = self.known.part_of(name);
        let pages = bytes.div_ceil(self.page_size.into());
        let had_own = || was.is_some_and(|at| !self.known.is_bundle(at));
        if plan::is_own(pages, had_own) {
            let name = name.to_vec();
            let pages = Box::new(self.own(&name, 0)?);
            self.open = Some(Open::Own { name, pages, from: 0, at: 0 });
            return Ok(());
        }
        let key = match was.filter(|at| self.known.is_bundle(*at)) {
            _ if self.known.bundles() > MOST_OPEN => ARRIVING,
            Some(at) => at,
            None => self.known.take_in(self.last).unwrap_or(ARRIVING),
        };
        self.last = Some(key);
        self.open = Some(Open::Bundle(key));
        if self.bundles.get(&key).is_some_and(|bundle| bundle.files >= MOST_FILES) {
            let full = self.bundles.remove(&key);
            full.map_or(Ok(()), |full| self.end(full.pages))?;
        }
        let bundle = match self.bundles.entry(key) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(none) => {
                let of = PagesOf { page_size: self.page_size, from: 0, is_bundle: true };
                let pages = self.writer.pages(of, &[])?;
                none.insert(Bundle { pages, files: 0, compared: HashSet::new() })
            }
        };
        if let Some(at) = was
            && let Some(part) = self.known.part(at)
            && bundle.compared.insert(at)
        {
            self.writer.compare(&mut bundle.pages, &part.map)?;
        }
        bundle.files += 1;
        Ok(bundle.pages.begin_file(name)?)
    }

    /// More bytes of the file: whole runs, until its last one. A run never reaches over the end of
    /// a map.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), OpsError> {
        match &mut self.open {
            None => Ok(()),
            Some(Open::Bundle(key)) => match self.bundles.get_mut(key) {
                Some(bundle) => Ok(bundle.pages.write(bytes)?),
                None => Ok(()),
            },
            Some(Open::Own { pages, from, at, .. }) if *at < *from + MOST_PAGES => {
                pages.write(bytes)?;
                *at += bytes.len() as u64 / u64::from(self.page_size);
                Ok(())
            }
            Some(Open::Own { .. }) => {
                let Some(Open::Own { name, pages, at, .. }) = self.open.take() else { return Ok(()) };
                self.end(*pages)?;
                let pages = Box::new(self.own(&name, at)?);
                self.open = Some(Open::Own { name, pages, from: at, at });
                self.write(bytes)
            }
        }
    }

    /// The file has ended.
    pub(super) fn end_file(&mut self) -> Result<(), OpsError> {
        match self.open.take() {
            Some(Open::Own { pages, .. }) => self.end(*pages),
            _ => Ok(()),
        }
    }

    /// Nothing more comes: writes its entry. Returns what became of its pages.
    pub(super) fn finish(mut self) -> Result<PagesDone, OpsError> {
        for (_, bundle) in std::mem::take(&mut self.bundles) {
            self.end(bundle.pages)?;
        }
        let mut entry = self.writer.entry(&self.entry, Class::Data);
        self.parts.into_iter().for_each(|part| entry.add(part));
        let note = Note::Folder {
            owned: self.owned,
            file_mode: self.file_mode.unwrap_or(0o600),
            files: self.files,
            bytes: self.bytes,
            mixed: true,
        };
        entry.finish(note.to_bytes())?;
        Ok(self.pages)
    }

    /// A map for a large file from this page on.
    fn own(&self, name: &[u8], from: u64) -> Result<PageWriter<'a>, OpsError> {
        let first = u32::try_from(from)
            .map_err(|_| OpsError::refused(format!("{} is too long", String::from_utf8_lossy(name)), ""))?;
        let of = PagesOf { page_size: self.page_size, from: first, is_bundle: false };
        let mut pages = self.writer.pages(of, &[])?;
        for part in self.known.parts_of(name, from) {
            self.writer.compare(&mut pages, &part.map)?;
        }
        pages.begin_file(name)?;
        Ok(pages)
    }

    fn end(&mut self, pages: PageWriter<'_>) -> Result<(), OpsError> {
        let (part, done) = pages.finish()?;
        self.parts.push(part);
        self.pages += done;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pgark_repo::{
        BackupHead, LocalFolders, NewBackup, Protection, Repository, Unlock, WriteOptions, init,
    };
    use pgark_store::{DirStore, Storage};

    use super::*;
    use crate::physical::files;
    use crate::{Job, OpsError};

    const PAGE: u64 = 1024;
    const ENTRY: &str = "/pgdata/base/5";

    fn repository() -> (tempfile::TempDir, Repository) {
        let dir = tempfile::tempdir().unwrap();
        let store = Storage::uncancelled(DirStore::create(dir.path().join("r")).unwrap());
        init(&store, Protection::None, &[], &LocalFolders::default()).unwrap();
        let repository = Repository::open(store, Unlock::Nothing, LocalFolders::default()).unwrap();
        (dir, repository)
    }

    /// A file of so many pages, few of which are not zeros.
    fn content(name: &str, pages: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(pages * PAGE).unwrap()];
        for (number, page) in bytes.chunks_mut(PAGE as usize).enumerate() {
            if number % 5000 < 3 {
                let text = format!("{name} {number}");
                page[..text.len()].copy_from_slice(text.as_bytes());
            }
        }
        bytes
    }

    /// A backup of a folder whose files come in this order.
    fn back_up(
        repository: &Repository,
        before: Option<&BackupHead>,
        files: &[(String, u64)],
    ) -> (BackupHead, PagesDone, usize) {
        let earlier = before.map_or_else(EarlierFolder::default, |head| {
            EarlierFolder::of(repository.open_head(head).unwrap().entry(ENTRY).unwrap().unwrap())
        });
        let written = repository.write_backup::<_, OpsError>(&WriteOptions::of("c", "test"), |writer| {
            let owned = Owned { mode: 0o700, ..Owned::default() };
            let page_size = u32::try_from(PAGE).unwrap();
            let mut folder = Folder::new(writer, page_size, &earlier, b"base/5".to_vec(), owned);
            for (name, pages) in files {
                let bytes = content(name, *pages);
                folder.begin(name.as_bytes(), bytes.len() as u64, 0o600)?;
                bytes.chunks(512 << 10).try_for_each(|piece| folder.write(piece))?;
                folder.end_file()?;
            }
            let done = folder.finish()?;
            let new = NewBackup { kind: "x".into(), complete: true, about: Vec::new(), time: None };
            Ok((new, done))
        });
        let (head, done) = written.unwrap();
        let parts = repository.open_head(&head).unwrap().entry(ENTRY).unwrap().unwrap().parts.len();
        (head, done, parts)
    }

    fn assert_reads(repository: &Repository, head: &BackupHead, files: &[(String, u64)]) {
        let backup = repository.open_head(head).unwrap();
        let reader = repository.reader(head).unwrap();
        for (name, pages) in files {
            let found = files::find(&backup, &format!("{ENTRY}/{name}")).unwrap().unwrap();
            let mut bytes = Vec::new();
            found.write(&reader, &mut bytes, &Job::quiet()).unwrap();
            assert!(bytes == content(name, *pages), "{name}");
        }
    }

    fn small(range: std::ops::Range<u64>) -> impl Iterator<Item = (String, u64)> {
        range.map(|number| ((20_000 + number * 7919 % 3000).to_string(), 1 + number % 3))
    }

    #[test]
    fn files_go_where_they_were() {
        let (_dir, repository) = repository();
        let mut files: Vec<(String, u64)> = small(0..1500).collect();
        files.insert(700, ("16384".into(), MOST_PAGES + 3000));
        files.insert(3, ("16385".into(), 200));
        files.insert(9, ("16386".into(), 0));
        let (first, done, parts) = back_up(&repository, None, &files);
        assert_eq!(done.new + done.zero, done.total);
        // Two of the long file, one of the other, and 1501 small ones.
        assert_eq!(parts, 2 + 1 + 2);
        assert_reads(&repository, &first, &files[690..710]);
        // In another order: each file is in the bundle that it was in.
        files.reverse();
        let (second, done, parts) = back_up(&repository, Some(&first), &files);
        assert_eq!((done.new, done.rewritten, parts), (0, 0, 5), "{done:?}");
        assert!(done.read <= done.bytes + (1 << 20), "{done:?}");
        // One stays a file with a map of its own, and then becomes a small one. Others come.
        for (pages, parts_of_own) in [(100, 3), (10, 2)] {
            files.iter_mut().filter(|(name, _)| name == "16385").for_each(|file| file.1 = pages);
            let more: Vec<(String, u64)> = small(1500 + pages..1520 + pages).collect();
            let mut all = files.clone();
            all.splice(5..5, more);
            let (head, done, parts) = back_up(&repository, Some(&second), &all);
            assert!(done.new <= 20 * 3 && done.new >= 20, "{done:?}");
            assert_eq!(parts, parts_of_own + 2);
            assert_reads(&repository, &head, &all[..40]);
        }
    }
}
