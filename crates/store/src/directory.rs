//! Objects as files of a local directory.
//!
//! A put writes a temporary file in `.tmp/` of the same file system, syncs it, links it to its name
//! (which fails if the name is taken: that is put-if-absent) and syncs the folder. A crash leaves
//! at most a temporary file, which nobody sees and which a later process sweeps when it is a day
//! old.
//!
//! Files and folders are their owner's alone. Where the repository's folder is writable by its
//! group and hands its group on (mode 2770, as `git init --shared` makes it), or is made in such a
//! folder, what is put there is the group's, too, whatever the umask: several users of one group
//! then share the repository.
//!
//! A file system without hard links (exFAT, many behind FUSE) may know renames that take no name
//! (`RENAME_NOREPLACE`, rename(2)); one without these either takes a plain rename, and one writer
//! at a time is safe there.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::{AtFlags, CWD, RenameFlags, Timespec, Timestamps, UTIME_NOW, renameat_with, utimensat};
use rustix::io::Errno;

use crate::condition::Condition;
use crate::{Cancel, Capabilities, LARGEST_OBJECT, ObjectMeta, PutOutcome, Store, StoreError, name};

const TEMPORARY: &str = ".tmp";
/// No put takes this long: a temporary file of this age belongs to a crash.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// What lies between two ranges is read with them if it is at most this.
const GAP: u64 = 32 << 10;
/// The file system's own clock, for both times of a file.
const NOW: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
    last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
};

/// A storage in a local directory.
#[derive(Debug)]
pub struct DirStore {
    root: PathBuf,
    /// Who may read and write besides the owner.
    sharing: Sharing,
    next: AtomicU64,
    /// The file system has no hard links.
    no_links: AtomicBool,
    /// Nor anything else that takes no name which is taken.
    condition: Condition,
}

impl DirStore {
    /// Opens a directory for a new repository, making it (readable by its owner alone) where it is
    /// missing.
    pub fn create(root: impl Into<PathBuf>) -> Result<DirStore, StoreError> {
        let root = root.into();
        let failed = |source| StoreError::of("make the directory", root.display().to_string(), source);
        let missing: Vec<&Path> = root
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
            .collect();
        let sharing = missing.last().map(|folder| Sharing::of(parent(folder))).unwrap_or_default();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).map_err(failed)?;
        for folder in missing {
            sharing.apply_to_folder(folder).map_err(failed)?;
        }
        DirStore::open(root)
    }

    /// Opens an existing directory.
    pub fn open(root: impl Into<PathBuf>) -> Result<DirStore, StoreError> {
        let root = root.into();
        let doing = "open the directory";
        let shown = root.display().to_string();
        let meta = fs::metadata(&root).map_err(|source| StoreError::of(doing, &shown, source))?;
        if !meta.is_dir() {
            return Err(StoreError::Io {
                operation: doing,
                object: shown,
                source: io::ErrorKind::NotADirectory.into(),
            });
        }
        let store = DirStore {
            sharing: Sharing::of(&root),
            root,
            next: AtomicU64::new(0),
            no_links: AtomicBool::new(false),
            condition: Condition::default(),
        };
        store.sweep();
        Ok(store)
    }

    fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        name::check(name)?;
        Ok(self.root.join(name))
    }

    fn shown(path: &Path) -> String {
        path.display().to_string()
    }

    /// Removes what crashed processes left. Failing to is harmless.
    fn sweep(&self) {
        let Ok(files) = fs::read_dir(self.root.join(TEMPORARY)) else { return };
        for file in files.flatten() {
            let age = file.metadata().and_then(|meta| meta.modified()).map(|time| time.elapsed());
            if matches!(age, Ok(Ok(age)) if age > ABANDONED) {
                let _ = fs::remove_file(file.path());
            }
        }
    }

    /// Gives a file its name, unless something has it.
    fn give_name(&self, temporary: &Path, path: &Path) -> io::Result<()> {
        if !self.no_links.load(Ordering::Relaxed) {
            match fs::hard_link(temporary, path) {
                Err(error) if has_no_links(&error) => self.no_links.store(true, Ordering::Relaxed),
                done => return done,
            }
        }
        if !self.condition.is_ignored() {
            match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    self.condition.set_ignored(&self.location());
                }
                done => return Ok(done?),
            }
        }
        match path.try_exists()? {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => fs::rename(temporary, path),
        }
    }

    /// Makes a folder and makes it last.
    fn make_folder(&self, folder: &Path) -> Result<(), StoreError> {
        let made = fs::DirBuilder::new().mode(0o700).create(folder);
        match made.and_then(|()| self.sharing.apply_to_folder(folder)) {
            Ok(()) => sync_folder(folder.parent().unwrap_or(folder)),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                // The parent is missing: make it first. The root exists, so this ends.
                self.make_folder(folder.parent().unwrap_or(folder))?;
                self.make_folder(folder)
            }
            Err(source) => Err(StoreError::of("make the folder", folder.display().to_string(), source)),
        }
    }

    fn write_temporary(&self, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let folder = self.root.join(TEMPORARY);
        self.make_folder(&folder)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_nanos());
        let path = folder.join(format!("{}-{nanos}-{number}", std::process::id()));
        let written =
            File::options().write(true).create_new(true).mode(0o600).open(&path).and_then(|mut file| {
                self.sharing.apply_to_file(&file)?;
                file.write_all(bytes)?;
                file.sync_all()
            });
        match written {
            Ok(()) => Ok(path),
            Err(source) => {
                let _ = fs::remove_file(&path);
                Err(StoreError::of("write", Self::shown(&path), source))
            }
        }
    }
}

/// What file systems answer that have none.
fn has_no_links(error: &io::Error) -> bool {
    let errors = [Errno::PERM, Errno::NOSYS, Errno::OPNOTSUPP, Errno::INVAL, Errno::MLINK];
    Errno::from_io_error(error).is_some_and(|error| errors.contains(&error))
}

/// Where a name without a folder lies, too.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Who may read and write in addition to the owner, as the repository's folder says.
#[derive(Clone, Copy, Debug, Default)]
struct Sharing {
    /// The mode of the folder, if it is shared with its group.
    folder: Option<u32>,
}

impl Sharing {
    const SETGID: u32 = 0o2000;
    const GROUP: u32 = 0o070;
    /// Others may read what they may read of the folder.
    const OTHERS: u32 = 0o005;

    fn of(folder: &Path) -> Sharing {
        let mode = fs::metadata(folder).map(|meta| meta.mode()).unwrap_or_default();
        let is_shared = mode & Self::SETGID != 0 && mode & Self::GROUP == Self::GROUP;
        Sharing { folder: is_shared.then_some(mode & Self::OTHERS) }
    }

    fn apply_to_folder(self, folder: &Path) -> io::Result<()> {
        let Some(others) = self.folder else { return Ok(()) };
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700 | Self::SETGID | Self::GROUP | others))
    }

    /// Objects never change: the group reads them, and may write to the folder.
    fn apply_to_file(self, file: &File) -> io::Result<()> {
        let Some(others) = self.folder else { return Ok(()) };
        file.set_permissions(fs::Permissions::from_mode(0o640 | others & 0o004))
    }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|source| StoreError::of("sync the folder", folder.display().to_string(), source))
}

impl Store for DirStore {
    fn location(&self) -> String {
        Self::shown(&self.root)
    }

    fn folder(&self) -> Option<PathBuf> {
        Some(self.root.clone())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            atomic_put_if_absent: !self.condition.is_ignored(),
            list_lateness: Duration::ZERO,
            gap: GAP,
            remote: false,
        }
    }

    fn put_if_absent(&self, name: &str, bytes: Bytes, _: &Cancel) -> Result<PutOutcome, StoreError> {
        let path = self.path(name)?;
        if !self.root.is_dir() {
            return Err(StoreError::NotFound {
                operation: "write to the directory",
                object: self.location(),
            });
        }
        if path.exists() {
            return Ok(PutOutcome::AlreadyExists);
        }
        let folder = path.parent().unwrap_or(&self.root);
        self.make_folder(folder)?;
        let temporary = self.write_temporary(&bytes)?;
        let named = self.give_name(&temporary, &path);
        // A rename took it along.
        let _ = fs::remove_file(&temporary);
        match named {
            Ok(()) => {
                // Its time is not before anybody can see it: who prunes compares times. Where that
                // fails it is a little earlier.
                let _ = utimensat(CWD, &path, &NOW, AtFlags::empty());
                sync_folder(folder)?;
                Ok(PutOutcome::Created)
            }
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Ok(PutOutcome::AlreadyExists),
            Err(source) => Err(StoreError::of("write", Self::shown(&path), source)),
        }
    }

    fn get(&self, name: &str, _: &Cancel) -> Result<Vec<u8>, StoreError> {
        let path = self.path(name)?;
        let failed = |source| StoreError::of("read", Self::shown(&path), source);
        let file = File::open(&path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        if len > LARGEST_OBJECT {
            return Err(StoreError::TooLarge { operation: "read", object: Self::shown(&path) });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
        file.take(LARGEST_OBJECT).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    fn get_range(&self, name: &str, offset: u64, len: u64, _: &Cancel) -> Result<Vec<u8>, StoreError> {
        let path = self.path(name)?;
        let failed = |source| StoreError::of("read", Self::shown(&path), source);
        let file = File::open(&path).map_err(failed)?;
        let end = offset.saturating_add(len);
        // Asked before a buffer is made: a length from a damaged index must not take the memory.
        let too_short = || StoreError::TooShort { object: Self::shown(&path), end };
        if file.metadata().map_err(failed)?.len() < end {
            return Err(too_short());
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| too_short())?];
        file.read_exact_at(&mut bytes, offset).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => too_short(),
            _ => failed(source),
        })?;
        Ok(bytes)
    }

    fn stat(&self, name: &str, _: &Cancel) -> Result<ObjectMeta, StoreError> {
        let path = self.path(name)?;
        let failed = |source| StoreError::of("look at", Self::shown(&path), source);
        let meta = fs::metadata(&path).map_err(failed)?;
        if !meta.is_file() {
            return Err(StoreError::NotFound { operation: "look at", object: Self::shown(&path) });
        }
        let modified = meta.modified().map_err(failed)?;
        Ok(ObjectMeta { name: name.to_string(), size: meta.len(), modified })
    }

    fn list(&self, prefix: &str, _: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        name::check_prefix(prefix)?;
        let mut found = Vec::new();
        walk(&self.root.join(prefix), prefix, &mut found, &mut |_| {})?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn foreign(&self, _: &Cancel) -> Result<Vec<String>, StoreError> {
        let mut foreign = Vec::new();
        let own = format!("{TEMPORARY}/");
        walk(&self.root, "", &mut Vec::new(), &mut |name| {
            if name != own {
                foreign.push(name);
            }
        })?;
        Ok(foreign)
    }

    fn other_folders(&self, known: &[&str], _: &Cancel) -> Result<Vec<String>, StoreError> {
        let failed = |source| StoreError::of("list", self.location(), source);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(name) = entry.file_name().to_str().map(str::to_string) else { continue };
            let is_other = !known.contains(&name.as_str()) && name::check(&name).is_ok();
            if is_other && holds_object(&entry.path(), &name)? {
                found.push(name);
            }
        }
        found.sort();
        Ok(found)
    }

    fn top(&self, _: &Cancel) -> Result<Vec<String>, StoreError> {
        let failed = |source| StoreError::of("list", self.location(), source);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let slash = if entry.file_type().map_err(failed)?.is_dir() { "/" } else { "" };
            let name = format!("{}{slash}", entry.file_name().to_string_lossy());
            if name != format!("{TEMPORARY}/") {
                found.push(name);
            }
        }
        found.sort();
        Ok(found)
    }

    fn delete(&self, name: &str, _: &Cancel) -> Result<(), StoreError> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(path.parent().unwrap_or(&self.root)),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(StoreError::of("delete", Self::shown(&path), source)),
        }
    }
}

/// Whether there is an object below a folder that has this name; false for a file.
fn holds_object(folder: &Path, name: &str) -> Result<bool, StoreError> {
    let failed = |source| StoreError::of("list", folder.display().to_string(), source);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // Deleted meanwhile.
        Err(source) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&source.kind()) => {
            return Ok(false);
        }
        Err(source) => return Err(failed(source)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_name().to_str().is_none() || name::check(&name).is_err() {
            continue;
        }
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_file() || (kind.is_dir() && holds_object(&entry.path(), &name)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Collects the objects below `folder`, whose names begin with `prefix`. What is no name of an
/// object is none: `foreign` hears of it, of folders with a slash at the end.
fn walk(
    folder: &Path,
    prefix: &str,
    found: &mut Vec<ObjectMeta>,
    foreign: &mut dyn FnMut(String),
) -> Result<(), StoreError> {
    let failed = |source| StoreError::of("list", folder.display().to_string(), source);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(source) if source.kind() == io::ErrorKind::NotFound && !prefix.is_empty() => return Ok(()),
        Err(source) => return Err(failed(source)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let file_name = entry.file_name();
        let name = format!("{prefix}{}", file_name.to_string_lossy());
        if file_name.to_str().is_none() || name::check(&name).is_err() {
            let slash = if entry.file_type().is_ok_and(|kind| kind.is_dir()) { "/" } else { "" };
            foreign(format!("{name}{slash}"));
            continue;
        }
        let meta = match entry.metadata() {
            Ok(meta) => meta,
            // Deleted meanwhile.
            Err(source) if source.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed(source)),
        };
        if meta.is_dir() {
            walk(&entry.path(), &format!("{name}/"), found, foreign)?;
        } else if meta.is_file() {
            let modified = meta.modified().map_err(failed)?;
            found.push(ObjectMeta { name, size: meta.len(), modified });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Modes of everything below a folder: of folders, of files.
    fn modes(folder: &Path) -> (Vec<u32>, Vec<u32>) {
        let (mut folders, mut files) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let mode = entry.metadata().unwrap().mode() & 0o7777;
            if entry.path().is_dir() {
                folders.push(mode);
                let (more_folders, more_files) = modes(&entry.path());
                folders.extend(more_folders);
                files.extend(more_files);
            } else {
                files.push(mode);
            }
        }
        (folders, files)
    }

    #[test]
    fn what_lies_in_a_groups_folder_is_the_groups() {
        let folder = tempfile::TempDir::new().unwrap();
        for (mode, of_folders, of_files) in
            [(0o700, 0o700, 0o600), (0o770, 0o700, 0o600), (0o2770, 0o2770, 0o640), (0o2775, 0o2775, 0o644)]
        {
            let group = folder.path().join(format!("{mode:o}"));
            fs::create_dir(&group).unwrap();
            fs::set_permissions(&group, fs::Permissions::from_mode(mode)).unwrap();
            // Made in it, and there already.
            for root in [group.join("a/b"), group.clone()] {
                let store = DirStore::create(&root).unwrap();
                store.put_if_absent("x/y/z", Bytes::from_static(b"bytes"), &Cancel::new()).unwrap();
                let (folders, files) = modes(&root);
                assert!(
                    folders.iter().all(|mode| mode & 0o7077 == of_folders & 0o7077),
                    "{mode:o}: {folders:?}"
                );
                assert!(
                    !files.is_empty() && files.iter().all(|mode| *mode == of_files),
                    "{mode:o}: {files:?}"
                );
            }
        }
    }

    #[test]
    fn without_links_a_rename_takes_no_name() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = DirStore::create(folder.path()).unwrap();
        store.no_links.store(true, Ordering::Relaxed);
        let store = std::sync::Arc::new(store);
        let shared: std::sync::Arc<dyn Store> = std::sync::Arc::clone(&store) as _;
        crate::contract::all(&crate::Storage::new(shared, Cancel::new()));
        assert!(store.capabilities().atomic_put_if_absent);
        assert_eq!(fs::read_dir(folder.path().join(TEMPORARY)).unwrap().count(), 0);
    }
}
