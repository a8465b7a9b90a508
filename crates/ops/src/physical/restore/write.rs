//! Writing files: pages to their places, everything else from its first byte to its last.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pgark_bytes::crc32c;
use pgark_repo::{Backup, DataReader, Entry, MapRef, PageFile};

use super::plan::{Plan, PlannedFile, PlannedFolder};
use crate::facts::Owned;
use crate::lock::lock;
use crate::physical::owners::{Database, Owners};
use crate::physical::places::CONTROL;
use crate::physical::workers;
use crate::{Job, OpsError};

/// Files of a bundle that are open at once.
const OPEN: usize = 16;
/// Zeros are written in pieces of so many bytes.
const ZEROS: usize = 1 << 20;
/// `pg_control` while the restore is not complete: no server starts without it.
pub(super) const HELD_BACK: &[u8] = b"global/pg_control.pgark";

/// What lies there.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub path: Vec<u8>,
    pub bytes: u64,
    pub crc32c: u32,
    /// Seconds since 1970.
    pub modified: i64,
}

/// What the workers share.
pub(super) struct Writing<'a> {
    pub backup: &'a Backup<'a>,
    pub reader: &'a DataReader<'a>,
    pub plan: &'a Plan,
    pub job: &'a Job,
    pub owners: &'a Owners,
    /// Owners are given only by root.
    pub as_root: bool,
    pub sparse: bool,
    pub written: Mutex<Vec<Written>>,
    pub bytes: AtomicU64,
    pub stopped: AtomicBool,
    /// Now: what a page file is modified at.
    pub now: i64,
}

/// A piece of work.
enum Task<'p> {
    /// Maps of one file, or of a bundle.
    Maps(&'p PlannedFolder, Vec<&'p MapRef>),
    File(&'p PlannedFile),
}

impl Writing<'_> {
    /// Writes everything.
    pub(super) fn write(&self, jobs: usize) -> Result<(), OpsError> {
        let mut tasks: Vec<(u64, Task<'_>)> = Vec::new();
        for folder in &self.plan.folders {
            // Maps of one file follow one another.
            let mut of_file: BTreeMap<Vec<u8>, Vec<&MapRef>> = BTreeMap::new();
            for map in &folder.maps {
                match map.covered() {
                    Some(covered) if !covered.is_bundle => {
                        of_file.entry(covered.first).or_default().push(map)
                    }
                    _ => tasks.push((map.items(), Task::Maps(folder, vec![map]))),
                }
            }
            let weight = |maps: &Vec<&MapRef>| maps.iter().map(|map| map.items()).sum();
            tasks.extend(of_file.into_values().map(|maps| (weight(&maps), Task::Maps(folder, maps))));
        }
        let page = u64::from(self.plan.physical.page_size).max(1);
        tasks.extend(self.plan.files.iter().map(|file| (file.entry.bytes_raw / page, Task::File(file))));
        // Taken from the end: the largest first.
        tasks.sort_by_key(|(weight, _)| *weight);
        let jobs = jobs.clamp(1, tasks.len().max(1));
        let tasks = Mutex::new(tasks);
        workers::run(jobs, || self.work(&tasks))
    }

    fn work(&self, tasks: &Mutex<Vec<(u64, Task<'_>)>>) -> Result<(), OpsError> {
        loop {
            let Some((_, task)) = lock(tasks).pop() else { return Ok(()) };
            self.check()?;
            let done = match &task {
                Task::Maps(folder, maps) => maps.iter().try_for_each(|map| self.map(folder, map)),
                Task::File(file) => self.file(file),
            };
            if let Err(error) = done {
                self.stopped.store(true, Ordering::Release);
                return Err(error);
            }
        }
    }

    fn check(&self) -> Result<(), OpsError> {
        if self.stopped.load(Ordering::Acquire) || self.job.cancel.is_cancelled() {
            return Err(OpsError::Cancelled);
        }
        Ok(())
    }

    fn advance(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.job.progress.advance(bytes);
    }

    /// Writes the pages of one map. All of its files are there first, in their lengths and full of
    /// zeros.
    fn map(&self, folder: &PlannedFolder, map: &MapRef) -> Result<(), OpsError> {
        let files = self.backup.page_files(map)?;
        let size = files.page_size;
        let path = |name: &[u8]| [folder.path.as_slice(), b"/", name].concat();
        for file in &files.files {
            let place = self.plan.places.of(&path(&file.name));
            let opened = self.create(&place, folder.file_mode, &folder.owned, files.from > 0)?;
            let length = files.from * size + file.bytes;
            let result = match self.sparse {
                true => opened.set_len(length),
                false => zeros(&opened, files.from * size, length),
            };
            result.map_err(|source| OpsError::File { doing: "write", path: place, source })?;
            self.note(file, files.from * size, &path(&file.name));
        }
        let lengths: BTreeMap<&[u8], u64> =
            files.files.iter().map(|file| (file.name.as_slice(), files.from * size + file.bytes)).collect();
        let label = format!("{} of the backup", String::from_utf8_lossy(&folder.path));
        let mut items = self.reader.read_items(map, &label)?;
        let mut open: VecDeque<(Vec<u8>, File)> = VecDeque::new();
        while let Some(kept) = items.next_items()? {
            self.check()?;
            self.advance(kept.bytes.len() as u64);
            let mut bytes = kept.bytes.as_slice();
            for run in &kept.addresses {
                let length = usize::try_from(u64::from(run.items) * size).unwrap_or(usize::MAX);
                let (own, others) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
                bytes = others;
                let at = u64::from(run.first) * size;
                // The last page may be longer than its file.
                let end = lengths.get(run.name.as_slice()).copied().unwrap_or(at);
                let own =
                    own.get(..own.len().min(usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX)));
                let place = self.plan.places.of(&path(&run.name));
                let failed = |source| OpsError::File { doing: "write", path: place.clone(), source };
                if !open.iter().any(|(name, _)| *name == run.name) {
                    let file = OpenOptions::new().write(true).open(&place).map_err(failed)?;
                    open.push_back((run.name.clone(), file));
                    if open.len() > OPEN {
                        open.pop_front();
                    }
                }
                let found = open.iter().find(|(name, _)| *name == run.name);
                if let (Some((_, file)), Some(own)) = (found, own) {
                    file.write_all_at(own, at).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// Notes a file, or the next part of one.
    fn note(&self, file: &PageFile, offset: u64, path: &[u8]) {
        let mut written = lock(&self.written);
        let known = written.iter_mut().rev().find(|known| offset > 0 && known.path == path);
        match known {
            Some(known) => {
                known.bytes += file.bytes;
                known.crc32c = crc32c::join(known.crc32c, file.crc32c, file.bytes);
            }
            None => written.push(Written {
                path: path.to_vec(),
                bytes: file.bytes,
                crc32c: file.crc32c,
                modified: self.now,
            }),
        }
    }

    /// Writes one file as it is in the backup.
    fn file(&self, planned: &PlannedFile) -> Result<(), OpsError> {
        // Whoever starts a server in a directory that is not complete finds no pg_control.
        let path = if planned.path == CONTROL { HELD_BACK } else { planned.path.as_slice() };
        let place = self.plan.places.of(path);
        let owned = planned.owned.clone().unwrap_or_default();
        let mode = if owned.mode == 0 { 0o600 } else { owned.mode };
        let (bytes, crc32c) = self.stream(&planned.entry, &place, mode, &owned)?;
        let modified = planned.modified.parse::<jiff::Timestamp>().ok();
        if let Some(time) = modified {
            let file = OpenOptions::new().write(true).open(&place);
            // A time that cannot be set is not worth a restore.
            let _ = file.and_then(|file| file.set_modified(time.into()));
        }
        lock(&self.written).push(Written {
            path: planned.path.clone(),
            bytes,
            crc32c,
            modified: modified.map_or(self.now, jiff::Timestamp::as_second),
        });
        Ok(())
    }

    /// Writes the content of an entry into a new file. Returns its length and its CRC32C.
    pub(super) fn stream(
        &self,
        entry: &Entry,
        place: &Path,
        mode: u16,
        owned: &Owned,
    ) -> Result<(u64, u32), OpsError> {
        let mut file = self.create(place, mode, owned, false)?;
        let mut content = self.reader.read(entry);
        let (mut bytes, mut crc) = (0, crc32c::Crc32c::new());
        while let Some(chunk) = content.next_chunk()? {
            self.check()?;
            file.write_all(&chunk).map_err(|source| OpsError::File {
                doing: "write",
                path: place.to_owned(),
                source,
            })?;
            crc.update(&chunk);
            bytes += chunk.len() as u64;
            self.advance(chunk.len() as u64);
        }
        Ok((bytes, crc.value()))
    }

    /// A new file; `exists`: one that may be there already.
    pub(super) fn create(
        &self,
        place: &Path,
        mode: u16,
        owned: &Owned,
        exists: bool,
    ) -> Result<File, OpsError> {
        let failed = |source| OpsError::File { doing: "create", path: place.to_owned(), source };
        let mut options = OpenOptions::new();
        options.write(true).mode(u32::from(mode));
        if exists {
            options.create(true).truncate(false)
        } else {
            options.create_new(true)
        };
        let file = options.open(place).map_err(failed)?;
        // Whatever the umask is.
        file.set_permissions(Permissions::from_mode(u32::from(mode))).map_err(failed)?;
        self.give(place, owned)?;
        Ok(file)
    }

    /// Gives a file or folder to its owner.
    pub(super) fn give(&self, place: &Path, owned: &Owned) -> Result<(), OpsError> {
        if !self.as_root {
            return Ok(());
        }
        let owner = match owned.owner.is_empty() {
            false => owned,
            // What the server said, and not the file system, belongs to whom the directory belongs.
            true => match self.plan.folders.first() {
                Some(root) => &root.owned,
                None => return Ok(()),
            },
        };
        let user = self.owners.number(Database::Users, &owner.owner);
        let group = self.owners.number(Database::Groups, &owner.group);
        std::os::unix::fs::chown(place, user, group).map_err(|source| OpsError::File {
            doing: "give away",
            path: place.to_owned(),
            source,
        })
    }
}

/// Writes zeros from here to there.
fn zeros(file: &File, from: u64, to: u64) -> std::io::Result<()> {
    let zeros = vec![0; ZEROS];
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).unwrap_or(ZEROS).min(ZEROS);
        file.write_all_at(zeros.get(..length).unwrap_or_default(), at)?;
        at += length as u64;
    }
    Ok(())
}

/// Makes everything that was written to the disks of these folders safe.
pub(super) fn sync(folders: &[PathBuf]) -> Result<(), OpsError> {
    for path in folders {
        let failed = |source| OpsError::File { doing: "sync", path: path.clone(), source };
        let folder = File::open(path).map_err(failed)?;
        rustix::fs::syncfs(&folder).map_err(|error| failed(error.into()))?;
    }
    Ok(())
}
