//! The open data directory, and folders and files below it.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::error::{is_gone, path_of};
use crate::file::{About, OpenFile};
use crate::{Error, names};

/// An open data directory. It stays the same one if its path is renamed.
#[derive(Debug)]
pub struct DataDir {
    root: OwnedFd,
    path: PathBuf,
}

/// An open folder of a data directory.
#[derive(Debug)]
pub struct OpenFolder {
    fd: OwnedFd,
    /// From the root of the file system, for messages.
    shown: PathBuf,
    /// What the system says of it.
    pub about: About,
}

impl DataDir {
    /// Opens it. The path itself may be a symbolic link.
    pub fn open(path: &Path) -> Result<DataDir, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, path, flags, Mode::empty()) {
            Ok(root) => Ok(DataDir { root, path: path.to_owned() }),
            Err(error) => Err(Error::io("open the data directory", path.to_owned(), error)),
        }
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something below it, as messages have it.
    pub(crate) fn shown(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() { self.path.clone() } else { self.path.join(path_of(path)) }
    }

    /// Opens a folder by its path below the directory, such as `base/5`; empty is the directory
    /// itself. None: it is not there, or not any more.
    ///
    /// Of all links on the way only two are followed: `pg_wal` and `pg_tblspc/OID`.
    pub fn folder(&self, path: &[u8]) -> Result<Option<OpenFolder>, Error> {
        let opened = self.try_folder(path);
        let shown = || self.shown(path);
        match opened {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if is_gone(error) => Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => Err(Error::NotAFolder { path: shown() }),
            Err(error) => Err(Error::io("open the folder", shown(), error)),
        }
    }

    pub(crate) fn try_folder(&self, path: &[u8]) -> Result<OpenFolder, Errno> {
        let base = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut end = 0;
        let mut above: Option<OwnedFd> = None;
        for name in path.split(|byte| *byte == b'/').filter(|_| !path.is_empty()) {
            end += name.len();
            let so_far = path.get(..end).unwrap_or(path);
            let mut flags = base;
            if !names::is_followed_link(so_far) {
                flags |= OFlags::NOFOLLOW;
            }
            // Those on the way need no right to read them.
            flags |= if end == path.len() { OFlags::RDONLY } else { OFlags::PATH };
            end += 1;
            if matches!(name, b"" | b"." | b"..") {
                return Err(Errno::NOENT);
            }
            let from = above.as_ref().unwrap_or(&self.root);
            above = Some(openat(from, name, flags, Mode::empty())?);
        }
        let fd = match above {
            Some(fd) => fd,
            None => openat(&self.root, ".", base | OFlags::RDONLY, Mode::empty())?,
        };
        let about = About::of(fd.as_fd())?;
        Ok(OpenFolder { fd, shown: self.shown(path), about })
    }
}

impl OpenFolder {
    /// The path of something in it, as messages have it.
    pub(crate) fn shown(&self, name: &[u8]) -> PathBuf {
        self.shown.join(path_of(name))
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Opens a file in it to be read. None: it is not there, or not any more. Neither a link nor
    /// anything but a regular file is opened, and nothing waits for the other end of a FIFO.
    pub fn file(&self, name: &[u8]) -> Result<Option<OpenFile>, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let failed = |error| Error::io("open the file", self.shown(name), error);
        let opened = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(opened) => opened,
            Err(error) if is_gone(error) => return Ok(None),
            // A link; a socket, or a device that has none behind it.
            Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => {
                return Err(Error::NotAFile { path: self.shown(name) });
            }
            Err(error) => return Err(failed(error)),
        };
        let about = About::of(opened.as_fd()).map_err(failed)?;
        if about.kind != FileType::RegularFile {
            return Err(Error::NotAFile { path: self.shown(name) });
        }
        Ok(Some(OpenFile { file: File::from(opened), about }))
    }

    /// What the system says of a name in it, of a link itself. None: gone.
    pub(crate) fn look(&self, name: &[u8]) -> Result<Option<About>, Error> {
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(About::new(&stat))),
            Err(error) if is_gone(error) => Ok(None),
            Err(error) => Err(Error::io("look at", self.shown(name), error)),
        }
    }

    /// Where a link in it leads. None: gone, or a link no more.
    pub(crate) fn link(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match readlinkat(&self.fd, name, Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(error) if is_gone(error) || error == Errno::INVAL => Ok(None),
            Err(error) => Err(Error::io("read the link", self.shown(name), error)),
        }
    }
}
