//! Archives as they come: each file goes where it belongs while it comes.

use std::collections::HashSet;

use pgark_bytes::control_file::ControlFile;
use pgark_bytes::crc32c::Crc32c;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::base_backup::{ArchiveCompression, ArchiveName};
use pgark_bytes::tar::{TarEntry, TarError, TarEvent, TarKind, TarReader, Trailer};
use pgark_datadir::names::RelationFile;
use pgark_datadir::read::{ArrivingFile, Checks, Report as FileReport};
use pgark_datadir::scan::{FolderKind, changes_a_restore};
use pgark_repo::{Class, Cut, StreamWriter};

use super::folders::Folder;
use super::local::is_socket;
use super::sent::Sent;
use super::unpacking::Unpacking;
use crate::error::with_causes;
use crate::facts::{Note, Owned};
use crate::physical::backup::copied::Copied;
use crate::physical::backup::shared::{MOVE_BACK, NEEDED, Shared};
use crate::physical::owners::{Database, Owners};
use crate::{OpsError, paths};

/// Pages go on in pieces of so many bytes: at most that of an aligned run of a map.
const PIECE: usize = 512 << 10;
const LABEL: &[u8] = b"backup_label";
const CONTROL: &[u8] = b"global/pg_control";
/// What is looked at of a file is at most so long.
const MOST_KEPT: usize = 64 << 10;
/// `pg_default`: its databases are in `base`.
const DEFAULT_TABLESPACE: u32 = 1663;
/// What the server calls the owner of every file (`tarCreateHeader`, src/port/tar.c).
const OWNER: &str = "postgres";

/// What came in all archives.
pub(super) struct Received {
    pub copied: Copied,
    pub sent: Sent,
    pub seen: Seen,
    /// `backup_label`.
    pub label: Vec<u8>,
    pub folders: u64,
    /// Symbolic links, which are not in the backup.
    pub links: Vec<Vec<u8>>,
}

/// Receives archives.
pub(super) struct Receiver<'a> {
    shared: &'a Shared<'a>,
    start: Lsn,
    end_of_wal: &'a mut dyn FnMut() -> Result<Lsn, OpsError>,
    /// So long was the WAL when it was asked for last.
    known_end: Lsn,
    /// Owners are users of this host.
    owners: Option<Owners>,
    tar: TarReader,
    unpacking: Unpacking,
    has_archive: bool,
    /// The path of the archive's files: of a tablespace below the data directory.
    prefix: Vec<u8>,
    /// The folders that files can come in: each is in the one before.
    folders: Vec<Folder<'a>>,
    file: Option<File<'a>>,
    /// Bytes of pages that go on together.
    piece: Vec<u8>,
    control: Vec<u8>,
    received: Received,
}

/// A file that comes.
struct File<'a> {
    path: Vec<u8>,
    bytes: u64,
    crc: Crc32c,
    to: Target<'a>,
}

enum Target<'a> {
    /// The folder that is open; none: its pages have no headers to judge.
    Pages(Option<ArrivingFile>),
    Entry(StreamWriter<'a>, Note),
    Nowhere,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(
        shared: &'a Shared<'a>,
        start: Lsn,
        end_of_wal: &'a mut dyn FnMut() -> Result<Lsn, OpsError>,
    ) -> Receiver<'a> {
        Receiver {
            shared,
            start,
            end_of_wal,
            known_end: start,
            // Their numbers mean something only on the server's host.
            owners: is_socket(&shared.survey.host).then(Owners::default),
            tar: TarReader::new(Trailer::Needed),
            unpacking: Unpacking::Plain,
            has_archive: false,
            prefix: Vec::new(),
            folders: Vec::new(),
            file: None,
            piece: Vec::with_capacity(PIECE),
            control: Vec::new(),
            received: Received {
                copied: Copied::default(),
                sent: Sent::default(),
                seen: Seen::default(),
                label: Vec::new(),
                folders: 0,
                links: Vec::new(),
            },
        }
    }

    /// The archive of a tablespace begins, or that of the data directory.
    pub(super) fn begin_archive(&mut self, name: ArchiveName) -> Result<(), OpsError> {
        self.end_archive()?;
        let trailer = match self.shared.survey.server_version >= 150_000 {
            true => Trailer::Needed,
            false => Trailer::CanBeMissing,
        };
        self.tar = TarReader::new(trailer);
        self.unpacking = match name.compression {
            None => Unpacking::Plain,
            Some(ArchiveCompression::Zstd) => Unpacking::zstd().map_err(unpack)?,
            Some(_) => return Err(OpsError::refused("the server compresses as it was not asked to", "")),
        };
        self.has_archive = true;
        // The archive does not name the folder that it is of.
        let path = name.tablespace.map(|oid| format!("pg_tblspc/{oid}").into_bytes()).unwrap_or_default();
        self.prefix = path.clone();
        let mode = self.shared.survey.data_directory_mode;
        self.open_folder(path, Owned { mode, ..Owned::default() });
        Ok(())
    }

    /// More of the archive.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), OpsError> {
        let mut unpacking = std::mem::replace(&mut self.unpacking, Unpacking::Plain);
        let taken = unpacking.unpack::<Stopped>(bytes, &mut |bytes| self.read(bytes).map_err(Stopped));
        self.unpacking = unpacking;
        taken.map_err(|Stopped(error)| error)
    }

    /// All archives have come.
    pub(super) fn finish(mut self) -> Result<Received, OpsError> {
        self.end_archive()?;
        let control = ControlFile::parse(&self.control);
        let control = control.map_err(|error| {
            OpsError::refused(
                format!("the pg_control that the server sent is damaged: {error}"),
                "run the backup again",
            )
        })?;
        if control.system_identifier != self.shared.survey.system_identifier {
            return Err(OpsError::refused(
                format!(
                    "another server sent the files: its system identifier is {}",
                    control.system_identifier
                ),
                "run the backup again",
            ));
        }
        Ok(self.received)
    }

    fn end_archive(&mut self) -> Result<(), OpsError> {
        if !std::mem::take(&mut self.has_archive) {
            return Ok(());
        }
        self.tar.finish().map_err(|error| tar(&error))?;
        if !self.unpacking.is_whole() {
            return Err(OpsError::refused("an archive of the server is cut off", "run the backup again"));
        }
        while let Some(folder) = self.folders.pop() {
            self.close(folder)?;
        }
        Ok(())
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), OpsError> {
        let mut rest = bytes;
        while let Some(event) = self.tar.read(&mut rest).map_err(|error| tar(&error))? {
            match event {
                TarEvent::Entry(entry) => self.begin(entry)?,
                TarEvent::Data(data) => self.data(data)?,
                TarEvent::EntryEnds => self.end_file()?,
            }
        }
        Ok(())
    }

    fn begin(&mut self, entry: TarEntry) -> Result<(), OpsError> {
        let path = match self.prefix.as_slice() {
            b"" => entry.name.clone(),
            prefix => [prefix, b"/", entry.name.as_slice()].concat(),
        };
        let owned = self.owned(&entry);
        if let [only] = self.folders.as_mut_slice()
            && only.owned.owner.is_empty()
        {
            // Whom the first file belongs to, the directory does, too.
            only.owned = Owned { mode: only.owned.mode, ..owned.clone() };
        }
        while let Some(left) = self.folders.pop_if(|folder| !folder.is_above(&path)) {
            self.close(left)?;
        }
        match entry.kind {
            TarKind::Directory => self.open_folder(path, owned),
            TarKind::Symlink { .. } => self.received.links.push(path),
            TarKind::File { size } => self.begin_file(path, size, owned, entry.mtime)?,
        }
        Ok(())
    }

    fn begin_file(&mut self, path: Vec<u8>, bytes: u64, owned: Owned, mtime: i64) -> Result<(), OpsError> {
        let at = path.iter().rposition(|byte| *byte == b'/');
        let (parent, name) = match at {
            Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
            None => (b"".as_slice(), path.as_slice()),
        };
        let kind = FolderKind::of(parent);
        let folder = self.folders.last_mut().filter(|folder| folder.path == parent);
        let to = if changes_a_restore(&path) {
            Target::Nowhere
        } else if kind.has_pages(name) {
            let Some(folder) = folder else {
                let what =
                    format!("the server sent {} outside of its folder", String::from_utf8_lossy(&path));
                return Err(OpsError::refused(what, "this is a defect of pgark"));
            };
            folder.begin(name, bytes, owned.mode)?;
            Target::Pages(kind.has_headers().then(|| self.judge(name)))
        } else {
            if let Some(folder) = folder {
                folder.bytes += bytes;
            }
            let modified = jiff::Timestamp::from_second(mtime);
            let modified = modified.map_or_else(|_| String::new(), |time| time.to_string());
            let stream = self.shared.writer.stream(Class::Data, Cut::Content);
            Target::Entry(stream, Note::File { owned, modified })
        };
        self.file = Some(File { path, bytes, crc: Crc32c::new(), to });
        Ok(())
    }

    /// Judges the pages of a relation's file.
    fn judge(&self, name: &[u8]) -> ArrivingFile {
        let survey = self.shared.survey;
        let checks =
            Checks { checksums: survey.checksums, start_lsn: self.start, end_of_wal: Some(self.known_end) };
        let first = RelationFile::parse(name).and_then(|file| file.first_block(survey.segment_pages));
        ArrivingFile::new(survey.page_size as usize, checks, first.unwrap_or(0))
    }

    fn data(&mut self, mut data: &[u8]) -> Result<(), OpsError> {
        self.shared.job.progress.advance(data.len() as u64);
        let Some(file) = &mut self.file else { return Ok(()) };
        file.crc.update(data);
        match &mut file.to {
            Target::Nowhere => {}
            Target::Entry(stream, _) => {
                let kept = match file.path.as_slice() {
                    LABEL => Some(&mut self.received.label),
                    CONTROL => Some(&mut self.control),
                    _ => None,
                };
                if let Some(kept) = kept.filter(|kept| kept.len() + data.len() <= MOST_KEPT) {
                    kept.extend_from_slice(data);
                }
                stream.write(data)?;
            }
            Target::Pages(_) => {
                while !data.is_empty() {
                    let (now, later) = data.split_at(data.len().min(PIECE - self.piece.len()));
                    self.piece.extend_from_slice(now);
                    data = later;
                    if self.piece.len() == PIECE {
                        self.pages()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Passes on the pages that have come.
    fn pages(&mut self) -> Result<(), OpsError> {
        let Some(File { to: Target::Pages(arriving), .. }) = &mut self.file else { return Ok(()) };
        if let Some(arriving) = arriving {
            arriving.see(&self.piece);
            if arriving.is_full() {
                self.known_end = (self.end_of_wal)()?;
                arriving.settle(self.known_end);
            }
        }
        if let Some(folder) = self.folders.last_mut() {
            folder.write(&self.piece)?;
        }
        self.piece.clear();
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), OpsError> {
        if !self.piece.is_empty() {
            self.pages()?;
        }
        let Some(file) = self.file.take() else { return Ok(()) };
        let received = &mut self.received;
        received.sent.add(&file.path, file.bytes, file.crc.value())?;
        match file.to {
            Target::Nowhere => return Ok(()),
            Target::Entry(stream, note) => {
                let mut entry = self.shared.writer.entry(paths::in_data_directory(&file.path), Class::Data);
                entry.add(stream.finish()?);
                entry.finish(note.to_bytes())?;
            }
            Target::Pages(arriving) => {
                if let Some(folder) = self.folders.last_mut() {
                    folder.end_file()?;
                }
                if let Some(mut arriving) = arriving {
                    if arriving.has_late() {
                        self.known_end = (self.end_of_wal)()?;
                        arriving.settle(self.known_end);
                    }
                    let report: FileReport = arriving.into_report();
                    let path = || String::from_utf8_lossy(&file.path).into_owned();
                    received.copied.note(self.shared.job, &report, path);
                }
            }
        }
        received.copied.files += 1;
        received.copied.bytes += file.bytes;
        Ok(())
    }

    fn open_folder(&mut self, path: Vec<u8>, owned: Owned) {
        let Shared { writer, survey, earlier, job, .. } = *self.shared;
        let earlier = earlier.of(&paths::in_data_directory(&path));
        let folder = Folder::new(writer, survey.page_size, earlier, path, owned);
        self.received.seen.add(&folder);
        if folder.kind != FolderKind::Other {
            job.progress.object_started(&String::from_utf8_lossy(&folder.path));
        }
        self.folders.push(folder);
    }

    fn close(&mut self, folder: Folder<'a>) -> Result<(), OpsError> {
        if folder.kind != FolderKind::Other {
            self.shared.job.progress.object_done(&String::from_utf8_lossy(&folder.path));
        }
        self.received.copied.pages += folder.finish()?;
        self.received.folders += 1;
        Ok(())
    }

    fn owned(&self, entry: &TarEntry) -> Owned {
        let name = |of, number| {
            let name = self.owners.as_ref().map(|owners| owners.name(of, number));
            name.filter(|name| name.parse::<u32>().is_err()).unwrap_or_else(|| OWNER.to_string())
        };
        Owned {
            mode: u16::try_from(entry.mode & 0o7777).unwrap_or_default(),
            owner: name(Database::Users, entry.uid),
            group: name(Database::Groups, entry.gid),
        }
    }
}

/// Which folders came that must be there.
#[derive(Default)]
pub(super) struct Seen {
    needed: HashSet<&'static [u8]>,
    databases: HashSet<(u32, u32)>,
}

impl Seen {
    fn add(&mut self, folder: &Folder<'_>) {
        self.needed.extend(NEEDED.into_iter().find(|path| *path == folder.path));
        if let FolderKind::Database { tablespace, oid } = folder.kind {
            self.databases.insert((oid, tablespace.unwrap_or(DEFAULT_TABLESPACE)));
        }
    }

    /// The server skips links that are not its own with no more than a warning, in words of any
    /// language. `databases`: those that must be there, and their tablespaces.
    pub(super) fn refuse_without(&self, databases: &[(u32, u32)]) -> Result<(), OpsError> {
        let missing = NEEDED.into_iter().find(|path| !self.needed.contains(path));
        let missing = missing.map(|path| String::from_utf8_lossy(path).into_owned());
        let database = databases.iter().find(|database| !self.databases.contains(database));
        let database = database.map(|(oid, _)| format!("the folder of the database with the OID {oid}"));
        match missing.or(database) {
            None => Ok(()),
            Some(what) => Err(OpsError::refused(
                format!("the server did not send {what}: is it a symbolic link in the data directory?"),
                MOVE_BACK,
            )),
        }
    }
}

/// Why unpacking ended.
struct Stopped(OpsError);

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Stopped {
        Stopped(unpack(error))
    }
}

fn unpack(error: std::io::Error) -> OpsError {
    OpsError::refused(format!("unpack what the server compressed: {error}"), "run the backup again")
}

fn tar(error: &TarError) -> OpsError {
    OpsError::refused(format!("read the server's archive: {}", with_causes(error)), "run the backup again")
}
