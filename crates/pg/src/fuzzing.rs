//! Doors for the fuzz targets: parsers of what a server says.

use std::io::{self, Read, Write};

use crate::row::Row;
use crate::wire::Wire;
use crate::{DbError, auth};

/// A server that says these bytes, in pieces, and hears nothing.
struct Says<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl Read for Says<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.piece.min(into.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(count);
        into[..count].copy_from_slice(now);
        self.bytes = later;
        Ok(count)
    }
}

impl Write for Says<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads messages to the end of the bytes, and every body as what its tag says, and as a row and as
/// an error as well.
pub fn messages(bytes: &[u8], piece: usize) {
    let mut wire = Wire::new(Says { bytes, piece: piece.max(1) });
    while let Ok(message) = wire.message() {
        let _ = Row::of_message(message.body);
        let _ = DbError::parse(message.body);
        let _ = auth::split(message.body);
    }
    let mut wire = Wire::new(Says { bytes, piece: piece.max(1) });
    while wire.piece().is_ok() {}
}
