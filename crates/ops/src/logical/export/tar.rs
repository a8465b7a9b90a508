//! The tar format: `toc.dat`, then a member for each entry with data, in the order in which a
//! restore wants them.
//!
//! Headers are ustar's (POSIX.1-2001, pax, "ustar Interchange Format"); sizes from 8 GiB on are
//! written in base 256, as PostgreSQL's own `tarCreateHeader` does. Large objects come as one
//! member each, before the list that ends them (PostgreSQL 15, pg_backup_tar.c, `_LoadBlobs`).

use pgark_bytes::archive::{Format as HeaderFormat, write_toc};

use super::file::Target;
use super::large_objects;
use super::source::{END_OF_ROWS, Source};
use crate::OpsError;
use crate::error::read_all;

const BLOCK: usize = 512;

/// Writes the archive. Returns the number of large objects.
pub(super) fn write(source: &Source<'_>, to: &mut Target<'_>) -> Result<u64, OpsError> {
    let mut archive = source.headed(HeaderFormat::Tar);
    for entry in &mut archive.entries {
        let name = match entry.kind() {
            _ if !entry.had_dumper => String::new(),
            "BLOBS" => source.list_name(entry),
            _ => format!("{}.dat", entry.dump_id),
        };
        entry.file_name = Some(name.into_bytes());
    }
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
    let mut tar = Tar { to, now };
    tar.member("toc.dat", &write_toc(&archive))?;
    let folder = tempfile::tempdir().map_err(OpsError::Output)?;
    let objects = large_objects::spill(source, folder.path())?;
    for entry in archive.entries.iter().filter(|entry| entry.had_dumper) {
        if entry.kind() == "BLOBS" {
            let members = source.members(entry, &objects);
            for oid in &members {
                let name = large_objects::file_name(*oid);
                tar.file(&name, &folder.path().join(&name))?;
            }
            tar.member(&source.list_name(entry), &large_objects::list(&members))?;
            continue;
        }
        let bytes = source.contents.tables.get(&entry.dump_id).map_or(0, |(entry, _)| entry.bytes_raw);
        let length = bytes + END_OF_ROWS.len() as u64;
        tar.header(&format!("{}.dat", entry.dump_id), length)?;
        let mut written = 0;
        source.rows(entry, &mut |rows| {
            written += rows.len() as u64;
            tar.to.put(rows)
        })?;
        if written != bytes {
            return Err(OpsError::refused(
                format!("{}: the backup announces {bytes} bytes and contains {written}", entry.describe()),
                read_all(),
            ));
        }
        tar.to.put(END_OF_ROWS)?;
        tar.pad(length)?;
    }
    // Two empty blocks end it.
    tar.to.put(&[0; 2 * BLOCK])?;
    to.finish()?;
    Ok(objects.len() as u64)
}

struct Tar<'t, 'o> {
    to: &'t mut Target<'o>,
    now: u64,
}

impl Tar<'_, '_> {
    fn member(&mut self, name: &str, content: &[u8]) -> Result<(), OpsError> {
        self.header(name, content.len() as u64)?;
        self.to.put(content)?;
        self.pad(content.len() as u64)
    }

    fn file(&mut self, name: &str, path: &std::path::Path) -> Result<(), OpsError> {
        use std::io::Read;
        let at = |source| super::file::file_error("read", path, source);
        let mut file = std::fs::File::open(path).map_err(at)?;
        let length = file.metadata().map_err(at)?.len();
        self.header(name, length)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut buffer).map_err(at)?;
            if read == 0 {
                break;
            }
            self.to.put(buffer.get(..read).unwrap_or_default())?;
        }
        self.pad(length)
    }

    fn pad(&mut self, length: u64) -> Result<(), OpsError> {
        let over = usize::try_from(length % BLOCK as u64).unwrap_or(0);
        if over == 0 { Ok(()) } else { self.to.put(&[0; BLOCK][over..]) }
    }

    fn header(&mut self, name: &str, length: u64) -> Result<(), OpsError> {
        self.to.put(&header(name, length, self.now))
    }
}

fn header(name: &str, length: u64, time: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = block.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, name.get(..name.len().min(99)).unwrap_or_default().as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if length < 1 << 33 {
        put(124, format!("{length:011o} ").as_bytes());
    } else {
        put(124, &[0x80, 0, 0, 0]);
        put(128, &length.to_be_bytes());
    }
    put(136, format!("{time:011o} ").as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(265, b"postgres");
    put(297, b"postgres");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    if let Some(place) = block.get_mut(148..156) {
        place.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    block
}

#[cfg(test)]
mod tests {
    use super::header;

    #[test]
    fn sizes_have_two_forms() {
        assert_eq!(&header("a", 10, 0)[124..136], b"00000000012 ");
        let large = header("a", 1 << 33, 0);
        assert_eq!(large[124], 0x80);
        assert_eq!(large[128..136], (1u64 << 33).to_be_bytes());
    }
}
