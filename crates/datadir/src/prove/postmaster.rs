//! The server of a data directory: what its lock file says, and whether it lives.

use std::io::Read;
use std::os::unix::fs::MetadataExt;

use pgark_bytes::postmaster_pid::PostmasterPid;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::{DataDir, Error};

const FILE: &[u8] = b"postmaster.pid";
/// Eight lines, two of which are paths.
const MOST: u64 = 64 << 10;

/// What can be seen of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// There is no process of this number. If the directory is that of a container, its server may
    /// live all the same.
    Gone,
    /// It lives, and the data directory is its working directory, as it is for every postmaster.
    Here,
    /// It lives, and works elsewhere: the number is another process's now.
    Elsewhere,
    /// It lives; where, only root and its own user can see.
    Lives,
}

/// Reads `postmaster.pid`; none: there is none, so no server runs here.
pub fn postmaster(directory: &DataDir) -> Result<Option<PostmasterPid>, Error> {
    let Some(root) = directory.folder(b"")? else { return Ok(None) };
    let Some(opened) = root.file(FILE)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = opened.file.take(MOST).read_to_end(&mut bytes);
    read.map_err(|source| Error::io("read", directory.shown(FILE), source))?;
    let parsed = PostmasterPid::parse(&bytes);
    parsed.map(Some).map_err(|source| Error::PidFile { path: directory.shown(FILE), source })
}

/// Looks for the process that `postmaster.pid` names.
pub fn process(directory: &DataDir, pid_file: &PostmasterPid) -> Result<Process, Error> {
    let number = i32::try_from(pid_file.pid).unwrap_or_default();
    let Some(pid) = Pid::from_raw(number) else { return Ok(Process::Gone) };
    match test_kill_process(pid) {
        // Not ours to signal, but there.
        Ok(()) | Err(Errno::PERM) => {}
        Err(_) => return Ok(Process::Gone),
    }
    let Some(root) = directory.folder(b"")? else { return Ok(Process::Lives) };
    // `ChangeToDataDir`, PostgreSQL 15, src/backend/utils/init/miscinit.c.
    match std::fs::metadata(format!("/proc/{pid}/cwd")) {
        Ok(cwd) if (cwd.dev(), cwd.ino()) == root.about.identity => Ok(Process::Here),
        Ok(_) => Ok(Process::Elsewhere),
        Err(_) => Ok(Process::Lives),
    }
}
