//! `pg_control`, read until it is whole.

use std::io::Read;
use std::time::Duration;

use crate::stop::wait;
use crate::{DataDir, Error, Stop};

const FOLDER: &[u8] = b"global";
const FILE: &[u8] = b"pg_control";
/// `PG_CONTROL_FILE_SIZE` is 8192; what is longer is not one.
const MOST: u64 = 64 << 10;
/// The server writes it in one go, several times a minute at most: half of it is seen for
/// microseconds.
const READS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// Reads `global/pg_control` until `is_whole` says that its checksum is right: a read during a
/// write may have parts of both contents.
///
/// A backup copies it last (PostgreSQL documentation, "Low Level Base Backup API"), so it calls
/// this behind everything else.
///
/// # Errors
/// It does not exist or cannot be read; it was not whole for about a second; cancelled.
pub fn control(
    directory: &DataDir,
    is_whole: &dyn Fn(&[u8]) -> bool,
    stop: Stop<'_>,
) -> Result<Vec<u8>, Error> {
    let path = || directory.shown(b"global/pg_control");
    for read in 0..READS {
        if read > 0 {
            wait(PAUSE, stop)?;
        }
        let opened = match directory.folder(FOLDER)? {
            Some(folder) => folder.file(FILE)?,
            None => None,
        };
        let Some(opened) = opened else {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(Error::Io { doing: "open the file", path: path(), source });
        };
        let mut bytes = Vec::new();
        let read = opened.file.take(MOST).read_to_end(&mut bytes);
        read.map_err(|source| Error::io("read", path(), source))?;
        if is_whole(&bytes) {
            return Ok(bytes);
        }
    }
    Err(Error::Control { path: path(), reads: READS })
}
