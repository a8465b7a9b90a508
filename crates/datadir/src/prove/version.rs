//! `PG_VERSION`.

use std::io::Read;

use crate::{DataDir, Error};

const FILE: &[u8] = b"PG_VERSION";
/// It has a few bytes; more is not one.
const MOST: u64 = 64;

/// The major version of a data directory, 10 or newer: the number in `PG_VERSION`.
pub fn major(directory: &DataDir) -> Result<u32, Error> {
    let opened = match directory.folder(b"")? {
        Some(root) => root.file(FILE)?,
        None => None,
    };
    let Some(opened) = opened else {
        return Err(Error::NotADataDirectory { path: directory.path().to_owned() });
    };
    let path = || directory.shown(FILE);
    let mut bytes = Vec::new();
    let read = opened.file.take(MOST).read_to_end(&mut bytes);
    read.map_err(|source| Error::io("read", path(), source))?;
    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    // Before 10 a major had two numbers: 9.6.
    match text.parse() {
        Ok(major) if major >= 10 => Ok(major),
        _ => Err(Error::Version { path: path(), text }),
    }
}
