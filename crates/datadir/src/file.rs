//! Open files and what the system says of files and folders.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, Stat, fstat};

/// What the system says of a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Length in bytes.
    pub bytes: u64,
    /// Permission bits (the low 12).
    pub mode: u16,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Last modification, nanoseconds since 1970-01-01 00:00:00 UTC; times that do not fit are cut.
    pub modified: i64,
    /// The file system and the number in it: two files with the same are the same.
    pub identity: (u64, u64),
    pub(crate) kind: FileType,
}

impl About {
    pub(crate) fn new(stat: &Stat) -> About {
        let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        About {
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            mode: u16::try_from(stat.st_mode & 0o7777).unwrap_or(0),
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanoseconds),
            identity: (stat.st_dev, stat.st_ino),
            kind: FileType::from_raw_mode(stat.st_mode),
        }
    }

    pub(crate) fn of(fd: BorrowedFd<'_>) -> rustix::io::Result<About> {
        fstat(fd).map(|stat| About::new(&stat))
    }
}

/// A file that was opened to be copied.
#[derive(Debug)]
pub struct OpenFile {
    /// Positioned at its start.
    pub file: File,
    /// What the system said when it was opened.
    pub about: About,
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
