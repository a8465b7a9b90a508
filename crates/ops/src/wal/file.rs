//! Files of WAL on this host: what they are called, which system they are of, and whether they are
//! what their names say.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use pgark_bytes::control_file::ControlFile;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal::WalFormat;
use pgark_bytes::wal::page::PageHeader;
use pgark_bytes::wal_name::{SegmentName, SegmentSize, WalFileName};
use pgark_repo::{WalKind, WalName};

use crate::OpsError;

/// A segment has at most so many bytes (`--wal-segsize=1024`).
const LARGEST: u64 = 1 << 30;

/// Few records are longer; of one that is, the next segment is not enough.
pub(super) const FRONT: u64 = 1 << 20;

/// A file that was read.
pub struct WalFile {
    pub(super) name: WalName,
    pub(super) content: Vec<u8>,
}

/// What the first page of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHead {
    pub format: WalFormat,
    pub start: Lsn,
}

impl WalFile {
    /// Reads a file of `pg_wal`.
    ///
    /// # Errors
    /// It cannot be read, or its name is not that of a file of WAL.
    pub(super) fn read(path: &Path) -> Result<WalFile, OpsError> {
        let shown = path.display();
        let name = path.file_name().and_then(|name| WalName::parse(name.to_str()?)).ok_or_else(|| {
            OpsError::refused(
                format!(
                    "{shown} is not a file of WAL: its name is neither that of a segment nor of a history"
                ),
                "in archive_command, PostgreSQL puts the file's path in the place of %p",
            )
        })?;
        let failed = |source| OpsError::File { doing: "read", path: path.to_path_buf(), source };
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut content = Vec::new();
        file.take(bytes.min(LARGEST) + 1).read_to_end(&mut content).map_err(failed)?;
        match content.len() as u64 == bytes {
            true => Ok(WalFile { name, content }),
            false => Err(OpsError::refused(
                format!("{shown} has {bytes} bytes, and {} were read", content.len()),
                "no file of WAL is longer than 1 GiB, and none changes once it is complete",
            )),
        }
    }

    /// What a segment says of itself, whether its last part is there or not; None for other files.
    ///
    /// # Errors
    /// It is not the segment that its name says.
    pub(super) fn head(&self) -> Result<Option<SegmentHead>, OpsError> {
        match self.name.kind() {
            WalKind::History | WalKind::BackupHistory | WalKind::Piece => Ok(None),
            WalKind::Segment | WalKind::Partial => head(self.name.file(), &self.content).map(Some),
        }
    }

    /// The system that it is of: a segment says it, for other files the data directory does in
    /// whose `pg_wal` they are.
    ///
    /// # Errors
    /// Neither says it.
    pub(super) fn system_identifier(&self, path: &Path) -> Result<u64, OpsError> {
        if let Some(head) = self.head()? {
            return Ok(head.format.system_identifier);
        }
        // `%p` is `pg_wal/FILE` in the data directory, where the server runs the command; `pg_wal`
        // itself may be a link to elsewhere.
        let data_directory = path.parent().and_then(Path::parent).unwrap_or(Path::new(""));
        of_data_directory(data_directory)
    }
}

/// The front of each segment behind one, as far as they are in the same folder: that is where its
/// last record goes on.
pub(super) fn next_to(path: &Path, name: &WalName, size: SegmentSize) -> impl FnMut() -> Option<Vec<u8>> {
    let folder = path.parent().map(Path::to_path_buf);
    let mut segment = segment_of(name.file());
    move || {
        segment = segment?.next(size);
        let file = File::open(folder.as_ref()?.join(segment?.to_string())).ok()?;
        if file.metadata().ok()?.len() != u64::from(size.bytes()) {
            return None;
        }
        let mut front = Vec::new();
        file.take(FRONT).read_to_end(&mut front).ok()?;
        Some(front)
    }
}

/// The system of a data directory.
///
/// # Errors
/// It has no `pg_control` that can be read.
pub(super) fn of_data_directory(path: &Path) -> Result<u64, OpsError> {
    Ok(control_file(path)?.system_identifier)
}

/// The control file of a data directory.
///
/// # Errors
/// There is none that can be read.
pub(super) fn control_file(path: &Path) -> Result<ControlFile, OpsError> {
    let file = path.join("global/pg_control");
    let bytes = std::fs::read(&file).map_err(|source| OpsError::File {
        doing: "read",
        path: file.clone(),
        source,
    })?;
    ControlFile::parse(&bytes).map_err(|error| {
        OpsError::refused(format!("read {}: {error}", file.display()), "is it that of a data directory?")
    })
}

/// Where the segment of a number begins.
pub(super) fn start(number: u64, size: SegmentSize) -> Lsn {
    Lsn(number.saturating_mul(u64::from(size.bytes())))
}

/// The name of a segment, or of one that a server left.
pub(super) fn segment_of(file: &str) -> Option<SegmentName> {
    match file.parse().ok()? {
        WalFileName::Segment(segment) | WalFileName::Partial(segment) => Some(segment),
        WalFileName::History { .. } | WalFileName::Backup { .. } => None,
    }
}

/// Reads the first page of a segment, and compares it with the segment's name and size.
///
/// # Errors
/// It is not what the name says.
pub(super) fn head(file: &str, content: &[u8]) -> Result<SegmentHead, OpsError> {
    let head = first_page(file, content)?;
    let bytes = head.format.segment_size.bytes();
    match bytes as usize == content.len() {
        true => Ok(head),
        false => Err(wrong(
            file,
            &format!("it has {} bytes, and segments of its cluster have {bytes}", content.len()),
        )),
    }
}

fn wrong(file: &str, what: &str) -> OpsError {
    OpsError::refused(
        format!("{file} is not a WAL segment of this name: {what}"),
        "it was not archived: look at the file, and at the disk that it is on",
    )
}

/// The same of a segment of which not all is there.
pub(super) fn first_page(file: &str, content: &[u8]) -> Result<SegmentHead, OpsError> {
    let wrong = |what: String| wrong(file, &what);
    let segment = segment_of(file).ok_or_else(|| wrong("its name is none of a segment".into()))?;
    let page = PageHeader::parse(content).map_err(|error| wrong(error.to_string()))?;
    let long = page.long.ok_or_else(|| wrong("it does not begin with its description".into()))?;
    let start = segment
        .start(long.segment_size)
        .ok_or_else(|| wrong("there is none of this number among segments of its size".into()))?;
    if page.address != start {
        return Err(wrong(format!("it begins at {}, and its name says {start}", page.address)));
    }
    // A new timeline begins with a copy of the segment in which the old one was left.
    if page.timeline > segment.timeline || page.timeline == 0 {
        return Err(wrong(format!("it is of timeline {}", page.timeline)));
    }
    Ok(SegmentHead {
        format: WalFormat {
            major: page.major,
            system_identifier: long.system_identifier,
            timeline: segment.timeline,
            segment_size: long.segment_size,
            page_size: long.page_size,
        },
        start,
    })
}
