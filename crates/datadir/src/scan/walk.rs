//! The walk through the folders.

use std::collections::BTreeSet;

use rustix::fs::{Dir, FileType};

use super::files::{FileRecord, Files, Full};
use super::found::{Folder, FolderKind, Link, Location, Scan, Tablespace};
use super::rules::{self, Child};
use crate::directory::{DataDir, OpenFolder};
use crate::error::{is_gone, path_of};
use crate::file::About;
use crate::names::{self, Fork, RelationFile};
use crate::prove::major;
use crate::stop::check;
use crate::{Error, Stop};

/// The folder of tablespaces.
const TABLESPACES: &[u8] = b"pg_tblspc";
/// After so many names the caller is asked whether to stop.
const LOOK: usize = 256;

/// Choices of a scan.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScanOptions {
    /// The catalog version of the server (`pg_control` has it): a tablespace's folder for this
    /// server is `PG_<major>_<catalog version>`. None: all folders of this major are taken.
    pub catalog_version: Option<u32>,
}

/// Scans a data directory.
///
/// # Errors
/// A folder or file that cannot be looked at; a tablespace that is not there; cancelled. What
/// vanishes while it scans is not an error.
pub fn scan(directory: &DataDir, options: &ScanOptions, stop: Stop<'_>) -> Result<Scan, Error> {
    let major = major(directory)?;
    let version = match options.catalog_version {
        Some(catalog) => format!("PG_{major}_{catalog}"),
        None => format!("PG_{major}_"),
    };
    let mut walk = Walk {
        directory,
        stop,
        version: version.into_bytes(),
        is_version_whole: options.catalog_version.is_some(),
        of_tablespaces: BTreeSet::new(),
        waiting: Vec::new(),
        scan: Scan { major, ..Scan::default() },
    };
    walk.find_tablespaces()?;
    walk.waiting.push((Vec::new(), Child::Whole));
    while let Some((path, content)) = walk.waiting.pop() {
        walk.enter(path, content)?;
    }
    let mut scan = walk.scan;
    scan.folders.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    scan.folders.shrink_to_fit();
    scan.links.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    scan.special.sort_unstable();
    Ok(scan)
}

struct Walk<'a> {
    directory: &'a DataDir,
    stop: Stop<'a>,
    /// The name of a tablespace's folder for this server, or what it begins with.
    version: Vec<u8>,
    is_version_whole: bool,
    /// The folders that links of tablespaces lead to. One inside the data directory is read as the
    /// tablespace that it is, not twice.
    of_tablespaces: BTreeSet<(u64, u64)>,
    waiting: Vec<(Vec<u8>, Child)>,
    scan: Scan,
}

impl Walk<'_> {
    fn find_tablespaces(&mut self) -> Result<(), Error> {
        let Some(folder) = self.directory.folder(TABLESPACES)? else { return Ok(()) };
        each_name(&folder, self.stop, &mut |name| {
            let Some(oid) = names::number(name) else { return Ok(()) };
            let location = match folder.look(name)?.map(|about| about.kind) {
                Some(FileType::Directory) => Some(Location::InPlace),
                Some(FileType::Symlink) => self.follow(&folder, name, oid)?.map(Location::Link),
                _ => None,
            };
            self.scan.tablespaces.extend(location.map(|location| Tablespace { oid, location }));
            Ok(())
        })?;
        self.scan.tablespaces.sort_unstable_by_key(|tablespace| tablespace.oid);
        Ok(())
    }

    /// Where a tablespace's link leads; none: it was dropped.
    fn follow(&mut self, folder: &OpenFolder, name: &[u8], oid: u32) -> Result<Option<Vec<u8>>, Error> {
        let Some(target) = folder.link(name)? else { return Ok(None) };
        let failed = match self.directory.try_folder(&joined(TABLESPACES, name)) {
            Ok(opened) => {
                self.of_tablespaces.insert(opened.about.identity);
                return Ok(Some(target));
            }
            Err(error) => error,
        };
        // Dropped meanwhile, it has no link any more.
        match folder.link(name)? {
            Some(_) => Err(Error::Tablespace { oid, location: path_of(&target), source: failed.into() }),
            None => Ok(None),
        }
    }

    /// Takes a folder, and with `Child::Whole` what is in it.
    fn enter(&mut self, path: Vec<u8>, content: Child) -> Result<(), Error> {
        check(self.stop)?;
        let Some(opened) = self.directory.folder(&path)? else { return Ok(()) };
        let About { mode, uid, gid, identity, .. } = opened.about;
        let kind = FolderKind::of(&path);
        let mut folder =
            Folder { path, kind, mode, uid, gid, pages: Files::default(), others: Files::default() };
        let is_a_tablespaces = self.of_tablespaces.contains(&identity) && !rules::is_tablespace(&folder.path);
        if content == Child::Whole && !is_a_tablespaces {
            self.read(&opened, &mut folder)?;
        } else if content == Child::Wal {
            self.waiting.extend(rules::IN_WAL.map(|path| (path.to_vec(), Child::Empty)));
        }
        self.scan.folders.push(folder);
        Ok(())
    }

    /// Reads what is in a folder.
    fn read(&mut self, opened: &OpenFolder, folder: &mut Folder) -> Result<(), Error> {
        let mut unlogged = Vec::new();
        each_name(opened, self.stop, &mut |name| self.take(opened, folder, name, &mut unlogged))?;
        if !unlogged.is_empty() {
            unlogged.sort_unstable();
            let before = folder.pages.len();
            let is_kept = |file: FileRecord<'_>| {
                RelationFile::parse(file.name).is_none_or(|file| {
                    file.fork == Fork::Init || unlogged.binary_search(&file.filenode).is_err()
                })
            };
            let kept = folder.pages.retain(is_kept);
            kept.map_err(|Full| Error::TooManyFiles { path: self.directory.shown(&folder.path) })?;
            self.scan.left_out.unlogged += u64::try_from(before - folder.pages.len()).unwrap_or(0);
        }
        folder.pages.finish();
        folder.others.finish();
        Ok(())
    }

    /// Decides about one name. The numbers of unlogged relations are gathered: only when the folder
    /// was read it is known which they are.
    fn take(
        &mut self,
        opened: &OpenFolder,
        folder: &mut Folder,
        name: &[u8],
        unlogged: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let is_database = matches!(folder.kind, FolderKind::Database { .. });
        // What is next to the versions' folders in a tablespace belongs to nobody we know.
        let is_tablespace = rules::is_tablespace(&folder.path);
        if rules::is_temporary(name) || (is_database && names::is_temporary_relation(name)) {
            self.scan.left_out.temporary += 1;
            return Ok(());
        }
        if rules::is_left_out(&folder.path, name) {
            self.scan.left_out.by_name += 1;
            return Ok(());
        }
        let Some(about) = opened.look(name)? else { return Ok(()) };
        match about.kind {
            FileType::Directory => self.wait(&folder.path, name),
            _ if is_tablespace => {}
            FileType::RegularFile => {
                let About { bytes, mode, modified, .. } = about;
                let list = if folder.kind.has_pages(name) { &mut folder.pages } else { &mut folder.others };
                let pushed = list.push(FileRecord { name, bytes, mode, modified });
                pushed.map_err(|Full| Error::TooManyFiles { path: self.directory.shown(&folder.path) })?;
                unlogged.extend(init_fork(name).filter(|_| is_database));
            }
            FileType::Symlink => self.note_link(opened, &folder.path, name)?,
            _ => self.scan.special.push(joined(&folder.path, name)),
        }
        Ok(())
    }

    /// A folder that was found waits for its turn.
    fn wait(&mut self, folder: &[u8], name: &[u8]) {
        let is_version = |name: &[u8]| {
            if self.is_version_whole { name == self.version } else { name.starts_with(&self.version) }
        };
        match rules::child(folder, name, is_version) {
            Child::Nothing => {}
            _ if self.is_unknown_tablespace(folder, name) => {}
            content => self.waiting.push((joined(folder, name), content)),
        }
    }

    fn note_link(&mut self, opened: &OpenFolder, folder: &[u8], name: &[u8]) -> Result<(), Error> {
        let path = joined(folder, name);
        let Some(target) = opened.link(name)? else { return Ok(()) };
        if path == b"pg_wal" {
            self.scan.wal_link = Some(target);
            self.waiting.push((path, Child::Wal));
        } else if folder == TABLESPACES && names::number(name).is_some() {
            if !self.is_unknown_tablespace(folder, name) {
                self.waiting.push((path, Child::Whole));
            }
        } else {
            self.scan.links.push(Link { path, target });
        }
        Ok(())
    }

    /// A tablespace that was made after the search for them: the WAL makes it again.
    fn is_unknown_tablespace(&self, folder: &[u8], name: &[u8]) -> bool {
        let is_known = |oid| self.scan.tablespaces.iter().any(|tablespace| tablespace.oid == oid);
        folder == TABLESPACES && names::number(name).is_some_and(|oid| !is_known(oid))
    }
}

/// Calls `on_name` for each name in a folder, in no order. A folder that is removed meanwhile ends
/// early.
fn each_name(
    folder: &OpenFolder,
    stop: Stop<'_>,
    on_name: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let failed = |error| Error::io("read the folder", folder.shown(b""), error);
    let names = match Dir::read_from(folder.fd()) {
        Ok(names) => names,
        Err(error) if is_gone(error) => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for (number, name) in names.enumerate() {
        if number % LOOK == 0 {
            check(stop)?;
        }
        let name = name.map_err(failed)?;
        match name.file_name().to_bytes() {
            b"." | b".." => {}
            name => on_name(name)?,
        }
    }
    Ok(())
}

/// The number of an init fork's relation.
fn init_fork(name: &[u8]) -> Option<u32> {
    RelationFile::parse(name).filter(|file| file.fork == Fork::Init).map(|file| file.filenode)
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}
