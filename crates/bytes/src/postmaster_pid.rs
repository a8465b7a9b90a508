//! `postmaster.pid`: which server runs in a data directory. Together with the server's own answers
//! it proves that a directory and a connection belong together.
//!
//! One value a line (PostgreSQL source, src/include/utils/pidfile.h, and CreateLockFile in
//! src/backend/utils/init/miscinit.c). The first five lines are written at once, the others while
//! the server starts; until then they are empty, or not there.

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostmasterPid {
    /// The process.
    pub pid: u32,
    /// Not a server, but a single-user session (`postgres --single`).
    pub is_standalone: bool,
    /// The data directory, as the server was told, made absolute; in the bytes of the file system.
    pub data_directory: Vec<u8>,
    /// When the server started, in seconds since the Unix epoch.
    pub started_at: i64,
    /// The port.
    pub port: u16,
    /// The first folder of Unix-domain sockets; `None` without any.
    pub socket_directory: Option<Vec<u8>>,
    /// The first address that it listens on, `*` for all; `None` without any.
    pub listen_address: Option<Vec<u8>>,
    /// Its shared memory; `None` early in the start.
    pub shared_memory: Option<SharedMemory>,
    /// How far it is; `None` early in the start.
    pub status: Option<PostmasterStatus>,
}

/// A System V shared memory segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedMemory {
    /// Its key.
    pub key: u64,
    /// Its id.
    pub id: u64,
}

/// How far a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostmasterStatus {
    /// It starts.
    Starting,
    /// It shuts down.
    Stopping,
    /// It accepts connections.
    Ready,
    /// It is a standby, and does not accept connections yet, or never (`hot_standby=off`).
    Standby,
}

/// Why the file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read postmaster.pid: line {line} is not {what}")]
pub struct PostmasterPidError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What belongs there.
    pub what: &'static str,
}

impl PostmasterPid {
    /// Reads the file.
    ///
    /// # Errors
    /// A line of another form; or one of the first five is not there, as in a file that is being
    /// written.
    pub fn parse(bytes: &[u8]) -> Result<PostmasterPid, PostmasterPidError> {
        // What is behind the last line break is not a line yet.
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        lines.pop();
        let line = |at: usize, what| lines.get(at - 1).copied().ok_or(PostmasterPidError { line: at, what });
        let later = |at: usize| lines.get(at - 1).copied().filter(|line| !line.trim_ascii().is_empty());
        let number = |at, what| number(line(at, what)?).ok_or(PostmasterPidError { line: at, what });

        let pid = number(1, "a process id")?;
        let invalid = |line, what| PostmasterPidError { line, what };
        let data_directory = line(2, "a folder")?;
        if data_directory.is_empty() {
            return Err(invalid(2, "a folder"));
        }
        let status = match later(8).map(<[u8]>::trim_ascii) {
            None => None,
            Some(b"starting") => Some(PostmasterStatus::Starting),
            Some(b"stopping") => Some(PostmasterStatus::Stopping),
            Some(b"ready") => Some(PostmasterStatus::Ready),
            Some(b"standby") => Some(PostmasterStatus::Standby),
            Some(_) => return Err(invalid(8, "a status")),
        };
        let shared_memory = match later(7) {
            None => None,
            Some(line) => Some(shared_memory(line).ok_or(invalid(7, "a key and an id"))?),
        };
        Ok(PostmasterPid {
            pid: u32::try_from(pid.unsigned_abs())
                .ok()
                .filter(|pid| *pid != 0)
                .ok_or(invalid(1, "a process id"))?,
            is_standalone: pid < 0,
            data_directory: data_directory.to_vec(),
            started_at: number(3, "a time")?,
            port: u16::try_from(number(4, "a port")?).map_err(|_| invalid(4, "a port"))?,
            socket_directory: Some(line(5, "a folder")?).filter(|line| !line.is_empty()).map(<[u8]>::to_vec),
            listen_address: later(6).map(<[u8]>::to_vec),
            shared_memory,
            status,
        })
    }
}

fn number(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(line).ok()?.trim_ascii().parse().ok()
}

/// Two numbers, each padded to nine places.
fn shared_memory(line: &[u8]) -> Option<SharedMemory> {
    let mut numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(str::parse);
    let (key, id) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    numbers.next().is_none().then_some(SharedMemory { key, id })
}
