//! The custom format: header and table of contents, then a block for each entry with data.
//!
//! Layout (PostgreSQL 15 and 17, pg_backup_custom.c): a data block is the byte 1, the dump id, then
//! pieces, each a length and so many bytes, ended by a length of 0; a block of large objects is the
//! byte 3, the dump id, then for each object its id and its pieces, ended by an id of 0. Integers
//! are a sign byte and four bytes of magnitude. Each table and each object is one compressed
//! stream. Where the file can be written again, the table of contents gets the blocks' places,
//! which a parallel pg_restore needs; on a pipe it says that they are not known.

use std::io::{self, Write};

use pgark_bytes::archive::{Archive, Format as HeaderFormat, Offset, write_toc};

use super::file::Target;
use super::large_objects;
use super::source::{END_OF_ROWS, Source};
use crate::OpsError;

const BLOCK_DATA: u8 = 1;
const BLOCK_LARGE_OBJECTS: u8 = 3;
/// Bytes of one piece.
const PIECE: usize = 64 << 10;

/// `DataOffset`'s states.
const NOT_SET: u8 = 1;
const SET: u8 = 2;
const NO_DATA: u8 = 3;

/// Writes the archive. Returns the number of large objects.
pub(super) fn write(source: &Source<'_>, to: &mut Target<'_>) -> Result<u64, OpsError> {
    let mut archive = source.headed(HeaderFormat::Custom);
    // Readers take integers as wide as the header says; blocks here are written as pg_dump does.
    archive.header.int_size = 4;
    archive.header.off_size = 8;
    for entry in &mut archive.entries {
        let state = if entry.had_dumper { NOT_SET } else { NO_DATA };
        entry.offset = Some(Offset { state, position: 0 });
    }
    let toc = write_toc(&archive);
    to.put(&toc)?;
    let mut out = Counted { to, position: toc.len() as u64, failed: None };
    let folder = tempfile::tempdir().map_err(OpsError::Output)?;
    let objects = large_objects::spill(source, folder.path())?;
    let with_data: Vec<usize> =
        archive.entries.iter().enumerate().filter(|(_, entry)| entry.had_dumper).map(|(at, _)| at).collect();
    for at in with_data {
        let Some(entry) = archive.entries.get(at) else { continue };
        let position = out.position;
        if entry.kind() == "BLOBS" {
            out.block(BLOCK_LARGE_OBJECTS, entry.dump_id)?;
            for oid in source.members(entry, &objects) {
                out.put(&integer(oid.cast_signed()))?;
                let file = std::fs::File::open(folder.path().join(large_objects::file_name(oid)))
                    .map_err(OpsError::Output)?;
                out.file(source, file)?;
            }
            out.put(&integer(0))?;
        } else {
            out.block(BLOCK_DATA, entry.dump_id)?;
            out.rows(source, entry)?;
        }
        if let Some(entry) = archive.entries.get_mut(at) {
            entry.offset = Some(Offset { state: SET, position });
        }
    }
    let Counted { to, .. } = out;
    if to.can_seek() {
        rewrite(&archive, toc.len(), to)?;
    }
    to.finish()?;
    Ok(objects.len() as u64)
}

/// Offsets have a fixed width: the table of contents with them is as long as the one without.
fn rewrite(archive: &Archive, length: usize, to: &mut Target<'_>) -> Result<(), OpsError> {
    let toc = write_toc(archive);
    if toc.len() != length {
        return Err(OpsError::refused(
            "the length of the table of contents changed",
            "this is a defect of pgark",
        ));
    }
    to.put_first(&toc)
}

/// A sign byte and four bytes of magnitude.
fn integer(value: i32) -> [u8; 5] {
    let [a, b, c, d] = value.unsigned_abs().to_le_bytes();
    [u8::from(value < 0), a, b, c, d]
}

/// The output and how far it is.
struct Counted<'t, 'o> {
    to: &'t mut Target<'o>,
    position: u64,
    /// What a compressor was told as a mere I/O error.
    failed: Option<OpsError>,
}

impl Counted<'_, '_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), OpsError> {
        self.to.put(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn block(&mut self, kind: u8, dump_id: i32) -> Result<(), OpsError> {
        self.put(&[kind])?;
        self.put(&integer(dump_id))
    }

    fn rows(&mut self, source: &Source<'_>, entry: &pgark_bytes::archive::TocEntry) -> Result<(), OpsError> {
        let mut stream = source.method.block(Pieces::new(self)).map_err(OpsError::Output)?;
        let result = source
            .rows(entry, &mut |bytes| stream.write_all(bytes).map_err(OpsError::Output))
            .and_then(|()| stream.write_all(END_OF_ROWS).map_err(OpsError::Output))
            .and_then(|()| stream.finish().and_then(Pieces::end).map_err(OpsError::Output));
        self.cause(result)
    }

    fn file(&mut self, source: &Source<'_>, mut file: std::fs::File) -> Result<(), OpsError> {
        let result = (|| {
            let mut stream = source.method.block(Pieces::new(self))?;
            io::copy(&mut file, &mut stream)?;
            stream.finish().and_then(Pieces::end)
        })();
        self.cause(result.map_err(OpsError::Output))
    }

    fn cause(&mut self, result: Result<(), OpsError>) -> Result<(), OpsError> {
        result.map_err(|error| self.failed.take().unwrap_or(error))
    }
}

/// Cuts a stream into pieces with their lengths.
struct Pieces<'c, 't, 'o> {
    out: &'c mut Counted<'t, 'o>,
    buffer: Vec<u8>,
}

impl<'c, 't, 'o> Pieces<'c, 't, 'o> {
    fn new(out: &'c mut Counted<'t, 'o>) -> Pieces<'c, 't, 'o> {
        Pieces { out, buffer: Vec::with_capacity(PIECE) }
    }

    fn piece(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let length = i32::try_from(self.buffer.len()).map_err(io::Error::other)?;
        let result = self.out.put(&integer(length)).and_then(|()| self.out.put(&self.buffer));
        self.buffer.clear();
        self.told(result)
    }

    fn end(mut self) -> io::Result<()> {
        self.piece()?;
        let result = self.out.put(&integer(0));
        self.told(result)
    }

    fn told(&mut self, result: Result<(), OpsError>) -> io::Result<()> {
        result.map_err(|error| {
            self.out.failed = Some(error);
            io::Error::other("the output failed")
        })
    }
}

impl Write for Pieces<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE - self.buffer.len();
        let taken = bytes.get(..bytes.len().min(room)).unwrap_or(bytes);
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() == PIECE {
            self.piece()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
