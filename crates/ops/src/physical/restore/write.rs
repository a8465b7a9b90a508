//! Writing files: pages to their places, everything else from its first byte to its last.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pgark_bytes::crc32c;
use pgark_repo::{Backup, DataReader, Files, ItemReader, MapRef, PageFile};

use super::counts::Delta;
use super::plan::{Plan, PlannedFile, PlannedFolder};
use crate::facts::Owned;
use crate::lock::lock;
use crate::physical::owners::{Database, Owners};
use crate::physical::places::is_below;
use crate::{Job, OpsError, workers};

/// Files of a bundle that are open at once.
const OPEN: usize = 16;
/// Zeros are written in pieces of so many bytes.
const ZEROS: usize = 1 << 20;

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
    /// What a delta restore counts; None: the directory was empty.
    pub delta: Option<Delta>,
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
                Task::Maps(folder, maps) => self.maps(folder, maps),
                Task::File(file) => self.file(file),
            };
            if let Err(error) = done {
                self.stopped.store(true, Ordering::Release);
                return Err(error);
            }
        }
    }

    /// Maps of one file, in order, or of a bundle.
    fn maps(&self, folder: &PlannedFolder, maps: &[&MapRef]) -> Result<(), OpsError> {
        for (at, map) in maps.iter().enumerate() {
            match &self.delta {
                None => self.map(folder, map)?,
                Some(delta) => self.compare(delta, folder, map, at + 1 == maps.len())?,
            }
        }
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), OpsError> {
        if self.stopped.load(Ordering::Acquire) || self.job.cancel.is_cancelled() {
            return Err(OpsError::Cancelled);
        }
        Ok(())
    }

    pub(super) fn advance(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.job.progress.advance(bytes);
    }

    /// Which files a map covers. A name is that of a file in the folder, and leads nowhere else.
    pub(super) fn page_files(&self, map: &MapRef) -> Result<Files, OpsError> {
        let files = self.backup.page_files(map)?;
        match files.files.iter().find(|file| file.name.contains(&b'/') || !is_below(&file.name)) {
            None => Ok(files),
            Some(file) => Err(OpsError::Record {
                backup: self.backup.head.id.to_string(),
                what: format!("the name of file {:?}", String::from_utf8_lossy(&file.name)),
            }),
        }
    }

    /// Writes the pages of one map. All of its files are there first, in their lengths and full of
    /// zeros.
    fn map(&self, folder: &PlannedFolder, map: &MapRef) -> Result<(), OpsError> {
        let files = self.page_files(map)?;
        let size = files.page_size;
        for file in &files.files {
            let place = self.plan.places.of(&folder.path_of(&file.name));
            let opened = self.create(&place, folder.file_mode, &folder.owned, files.from > 0)?;
            let length = files.from * size + file.bytes;
            let result = match self.sparse {
                true => opened.set_len(length),
                false => zeros(&opened, files.from * size, length),
            };
            result.map_err(|source| OpsError::File { doing: "write", path: place, source })?;
            self.note(file, files.from * size, &folder.path_of(&file.name));
        }
        let items = self.reader.read_items(map, &folder.label())?;
        self.put(folder, &files, items, |_, _, page| {
            self.advance(page.len() as u64);
            true
        })
    }

    /// Puts kept pages to their places: those that `wants` says, by file, number and content.
    pub(super) fn put(
        &self,
        folder: &PlannedFolder,
        files: &Files,
        mut items: ItemReader<'_>,
        mut wants: impl FnMut(&[u8], u64, &[u8]) -> bool,
    ) -> Result<(), OpsError> {
        let size = files.page_size;
        let bytes = |pages: u64| usize::try_from(pages * size).unwrap_or(usize::MAX);
        let lengths: BTreeMap<&[u8], u64> =
            files.files.iter().map(|file| (file.name.as_slice(), files.from * size + file.bytes)).collect();
        let mut open = OpenFiles::default();
        while let Some(kept) = items.next_items()? {
            self.check()?;
            let mut content = kept.bytes.as_slice();
            for run in &kept.addresses {
                let (mut own, others) =
                    content.split_at_checked(bytes(run.items.into())).unwrap_or((content, &[]));
                content = others;
                // The last page may be longer than its file.
                let end = lengths.get(run.name.as_slice()).copied().unwrap_or_default();
                let place = self.plan.places.of(&folder.path_of(&run.name));
                let mut number = u64::from(run.first);
                while !own.is_empty() {
                    let mut pages = own.chunks(bytes(1)).zip(number..);
                    let wanted =
                        pages.by_ref().take_while(|(page, number)| wants(&run.name, *number, page)).count();
                    let (now, rest) = own.split_at(own.len().min(bytes(wanted as u64)));
                    let at = number * size;
                    let most = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
                    if let Some(now) = now.get(..now.len().min(most)).filter(|now| !now.is_empty()) {
                        let file = open.of(&run.name, &place)?;
                        file.write_all_at(now, at).map_err(|source| OpsError::File {
                            doing: "write",
                            path: place.clone(),
                            source,
                        })?;
                    }
                    // The page that ended the run was looked at, and is not wanted.
                    own = rest.get(bytes(1)..).unwrap_or_default();
                    number += wanted as u64 + 1;
                }
            }
        }
        Ok(())
    }

    /// Notes a file, or the next part of one.
    pub(super) fn note(&self, file: &PageFile, offset: u64, path: &[u8]) {
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
        self.file_at(planned, &self.plan.places.of(&planned.path))
    }

    /// The same to another place.
    pub(super) fn file_at(&self, planned: &PlannedFile, place: &Path) -> Result<(), OpsError> {
        let owned = planned.owned.clone().unwrap_or_default();
        let mode = if owned.mode == 0 { 0o600 } else { owned.mode };
        let (bytes, crc32c) = self.stream(&planned.entry, place, mode, &owned)?;
        let modified = planned.modified.parse::<jiff::Timestamp>().ok();
        if let Some(time) = modified {
            let file = OpenOptions::new().write(true).open(place);
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
        entry: &pgark_repo::Entry,
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
        // Whoever owns the folder could have put a link there. Of a tablespace it can be one.
        let is_target = self.plan.places.targets().any(|target| target == place);
        let given = match is_target {
            true => std::os::unix::fs::chown(place, user, group),
            false => std::os::unix::fs::lchown(place, user, group),
        };
        given.map_err(|source| OpsError::File { doing: "give away", path: place.to_owned(), source })
    }
}

/// Files that are written to, a few of them at once.
#[derive(Default)]
struct OpenFiles(HashMap<Vec<u8>, File>);

impl OpenFiles {
    fn of(&mut self, name: &[u8], place: &Path) -> Result<&File, OpsError> {
        if self.0.len() >= OPEN && !self.0.contains_key(name) {
            self.0.clear();
        }
        match self.0.entry(name.to_vec()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => {
                let file = OpenOptions::new().write(true).open(place);
                let failed = |source| OpsError::File { doing: "open", path: place.to_owned(), source };
                Ok(unknown.insert(file.map_err(failed)?))
            }
        }
    }
}

/// Writes zeros from here to there.
pub(super) fn zeros(file: &File, from: u64, to: u64) -> std::io::Result<()> {
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
