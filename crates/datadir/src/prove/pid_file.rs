//! `postmaster.pid`, the lock file of a data directory.
//!
//! Lines, since PostgreSQL 10 (`src/include/utils/pidfile.h`): process (negative of a backend that
//! runs alone), data directory, start time, port, folder of the first unix socket, first address,
//! key of the shared memory, status. Lines from the sixth on are added while the server starts, so
//! they may be missing; the fifth is empty until then.

/// What `postmaster.pid` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidFile {
    /// The number of the postmaster, or of a backend that runs alone.
    pub process: i32,
    /// A backend runs alone (`postgres --single`): nobody can connect.
    pub is_standalone: bool,
    /// The data directory, as its server knows it.
    pub data_directory: Vec<u8>,
    /// When the postmaster started, in seconds since 1970-01-01 00:00:00 UTC.
    pub start_time: i64,
    /// The port; 0 while it is not known.
    pub port: u16,
    /// The folder of the first unix socket; empty: none, or not yet.
    pub socket_directory: Vec<u8>,
    /// The first address that it listens on, `*` for all; empty: none, or not yet.
    pub listen_address: Vec<u8>,
    /// How far it is; none: not written yet, or a word that we do not know.
    pub status: Option<ServerStatus>,
}

/// The status in `postmaster.pid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerStatus {
    /// It starts, or recovers.
    Starting,
    /// It shuts down.
    Stopping,
    /// It takes connections.
    Ready,
    /// It recovers, and takes no connections (`hot_standby = off`).
    Standby,
}

/// Bytes that are not a `postmaster.pid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PidFileError {
    /// It ends before the line with the port.
    #[error("it ends in line {line}")]
    Short {
        /// From 1.
        line: u32,
    },
    /// A line that should be a number is not one.
    #[error("line {line} is not a number that can be there")]
    Number {
        /// From 1.
        line: u32,
    },
}

impl PidFile {
    /// Reads the content of the file.
    pub fn parse(bytes: &[u8]) -> Result<PidFile, PidFileError> {
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        // A line that is being written has no end yet.
        let (_, whole) = lines.split_last().unwrap_or((&&b""[..], &[]));
        let line = |number: u32| {
            let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
            whole.get(index).copied().ok_or(PidFileError::Short { line: number })
        };
        let process: i32 = numeric(line(1)?, 1)?;
        let is_standalone = process < 0;
        let process = process.checked_abs().filter(|process| *process > 0);
        Ok(PidFile {
            process: process.ok_or(PidFileError::Number { line: 1 })?,
            is_standalone,
            data_directory: line(2)?.to_vec(),
            start_time: numeric(line(3)?, 3)?,
            port: numeric(line(4)?, 4)?,
            socket_directory: line(5).unwrap_or_default().to_vec(),
            listen_address: line(6).unwrap_or_default().to_vec(),
            status: line(8).ok().and_then(ServerStatus::of),
        })
    }
}

impl ServerStatus {
    /// Words are filled up with blanks to eight.
    fn of(line: &[u8]) -> Option<ServerStatus> {
        match line.trim_ascii_end() {
            b"starting" => Some(ServerStatus::Starting),
            b"stopping" => Some(ServerStatus::Stopping),
            b"ready" => Some(ServerStatus::Ready),
            b"standby" => Some(ServerStatus::Standby),
            _ => None,
        }
    }
}

fn numeric<N: std::str::FromStr>(line: &[u8], number: u32) -> Result<N, PidFileError> {
    let text = std::str::from_utf8(line).ok().map(str::trim);
    text.and_then(|text| text.parse().ok()).ok_or(PidFileError::Number { line: number })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const READY: &[u8] =
        b"4711\n/var/lib/postgresql/15/main\n1764540000\n5432\n/var/run/postgresql\nlocalhost\n   123456   7\nready   \n";

    fn ready() -> PidFile {
        PidFile {
            process: 4711,
            is_standalone: false,
            data_directory: b"/var/lib/postgresql/15/main".to_vec(),
            start_time: 1_764_540_000,
            port: 5432,
            socket_directory: b"/var/run/postgresql".to_vec(),
            listen_address: b"localhost".to_vec(),
            status: Some(ServerStatus::Ready),
        }
    }

    #[test]
    fn each_line_has_its_meaning() {
        assert_eq!(PidFile::parse(READY), Ok(ready()));
        for (word, status) in [
            ("starting", Some(ServerStatus::Starting)),
            ("stopping", Some(ServerStatus::Stopping)),
            ("standby ", Some(ServerStatus::Standby)),
            ("dreaming", None),
        ] {
            let text = String::from_utf8(READY.to_vec()).unwrap().replace("ready   ", word);
            assert_eq!(PidFile::parse(text.as_bytes()), Ok(PidFile { status, ..ready() }));
        }
        // No socket, no address; a path of any bytes; a backend that runs alone.
        let bare = PidFile::parse(b"-42\n/d\xff\n1\n0\n\n\n").unwrap();
        assert!(bare.is_standalone && bare.process == 42 && bare.data_directory == b"/d\xff");
        assert!(bare.socket_directory.is_empty() && bare.listen_address.is_empty() && bare.status.is_none());
    }

    #[test]
    fn a_file_that_is_being_written_has_what_is_whole() {
        // As CreateLockFile leaves it: five lines, the last one empty.
        let started = PidFile::parse(b"4711\n/var/lib/postgresql/15/main\n1764540000\n5432\n\n").unwrap();
        assert_eq!(
            started,
            PidFile { socket_directory: vec![], listen_address: vec![], status: None, ..ready() }
        );
        let half = PidFile::parse(READY.strip_suffix(b" \n").unwrap()).unwrap();
        assert_eq!(half, PidFile { status: None, ..ready() });
    }

    #[test]
    fn what_is_not_one_is_refused() {
        let refused = |text: &str| PidFile::parse(text.as_bytes()).unwrap_err();
        assert_eq!(refused(""), PidFileError::Short { line: 1 });
        assert_eq!(refused("1"), PidFileError::Short { line: 1 });
        assert_eq!(refused("1\n/d\n3\n"), PidFileError::Short { line: 4 });
        assert_eq!(refused("x\n/d\n3\n4\n"), PidFileError::Number { line: 1 });
        assert_eq!(refused("0\n/d\n3\n4\n"), PidFileError::Number { line: 1 });
        assert_eq!(refused("-2147483648\n/d\n3\n4\n"), PidFileError::Number { line: 1 });
        assert_eq!(refused("1\n/d\nnow\n4\n"), PidFileError::Number { line: 3 });
        assert_eq!(refused("1\n/d\n3\n65536\n"), PidFileError::Number { line: 4 });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = PidFile::parse(&bytes);
        }

        #[test]
        fn what_is_cut_off_is_never_another_server(cut in 0..READY.len()) {
            if let Ok(found) = PidFile::parse(&READY[..cut]) {
                let PidFile { process, data_directory, start_time, port, .. } = ready();
                prop_assert_eq!((found.process, found.start_time, found.port), (process, start_time, port));
                prop_assert_eq!(found.data_directory, data_directory);
            }
        }
    }
}
