//! The blocks of a custom archive, read front to back (see `export::custom` for their layout).

use std::fs::File;
use std::io::{self, BufReader, Read};

use pgark_bytes::archive::{Archive, Compression};

use super::item::{Item, Take};
use super::rows::{damaged, unreadable};
use crate::OpsError;

const BLOCK_DATA: u8 = 1;
const BLOCK_LARGE_OBJECTS: u8 = 3;

/// The part of the file behind the table of contents.
pub(super) struct Blocks {
    input: BufReader<File>,
    compression: Compression,
    int_size: usize,
}

impl Blocks {
    pub(super) fn new(input: BufReader<File>, compression: Compression, int_size: u8) -> Blocks {
        Blocks { input, compression, int_size: usize::from(int_size) }
    }

    pub(super) fn read(&mut self, archive: &Archive, take: &mut Take<'_>) -> Result<(), OpsError> {
        let mut kind = [0u8; 1];
        loop {
            match self.input.read(&mut kind).map_err(|source| unreadable("the archive", source))? {
                0 => return Ok(()),
                _ => self.block(kind[0], archive, take)?,
            }
        }
    }

    fn block(&mut self, kind: u8, archive: &Archive, take: &mut Take<'_>) -> Result<(), OpsError> {
        let name = "the archive";
        let dump_id = self.integer().map_err(|source| unreadable(name, source))?;
        let toc = archive.entry(dump_id).ok_or_else(|| {
            damaged(name, &format!("has a block of entry {dump_id}, which it does not list"))
        })?;
        match kind {
            BLOCK_DATA => self.stream(&toc.describe(), &mut |content| take(Item::Rows { toc, content })),
            BLOCK_LARGE_OBJECTS => loop {
                let oid = self.integer().map_err(|source| unreadable(name, source))?.cast_unsigned();
                if oid == 0 {
                    return Ok(());
                }
                self.stream(&format!("large object {oid}"), &mut |content| {
                    take(Item::LargeObject { oid, content })
                })?;
            },
            other => Err(damaged(name, &format!("has a block of unknown kind {other}"))),
        }
    }

    /// One compressed stream, to its end.
    fn stream(
        &mut self,
        name: &str,
        read: &mut dyn FnMut(&mut dyn Read) -> Result<(), OpsError>,
    ) -> Result<(), OpsError> {
        let compression = self.compression;
        let mut pieces = Pieces { blocks: self, left: 0, ended: false };
        match compression {
            Compression::Level(0) | Compression::Algorithm(0) => read(&mut pieces)?,
            Compression::Level(_) | Compression::Algorithm(1) => {
                read(&mut flate2::read::ZlibDecoder::new(&mut pieces))?;
            }
            Compression::Algorithm(2) => read(&mut lz4_flex::frame::FrameDecoder::new(&mut pieces))?,
            Compression::Algorithm(3) => {
                let mut decoder =
                    zstd::Decoder::new(&mut pieces).map_err(|source| unreadable(name, source))?;
                read(&mut decoder)?;
            }
            Compression::Algorithm(other) => {
                return Err(damaged(name, &format!("is compressed with the unknown method {other}")));
            }
        }
        // What a decoder did not want: the end of the stream's last piece, and the piece of length
        // 0.
        io::copy(&mut pieces, &mut io::sink()).map(|_| ()).map_err(|source| unreadable(name, source))
    }

    /// A sign byte and the magnitude.
    fn integer(&mut self) -> io::Result<i32> {
        let mut raw = [0u8; 9];
        let (used, _) = raw.split_at_mut(self.int_size.min(8) + 1);
        self.input.read_exact(used)?;
        let [sign, magnitude @ ..] = raw;
        let magnitude = i64::try_from(u64::from_le_bytes(magnitude)).map_err(io::Error::other)?;
        let value = if sign == 0 { magnitude } else { -magnitude };
        // Object ids use all 32 bits.
        i32::try_from(value)
            .or_else(|_| u32::try_from(value).map(u32::cast_signed))
            .map_err(|_| io::Error::other("a number does not fit 32 bits"))
    }
}

/// The bytes of a stream that is cut into pieces.
struct Pieces<'b> {
    blocks: &'b mut Blocks,
    left: u64,
    ended: bool,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            if self.ended {
                return Ok(0);
            }
            let length = self.blocks.integer()?;
            if length < 0 {
                return Err(io::Error::other(format!("a piece is {length} bytes long")));
            }
            self.left = length.unsigned_abs().into();
            self.ended = length == 0;
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(place) = buffer.get_mut(..wanted).filter(|place| !place.is_empty()) else { return Ok(0) };
        let read = self.blocks.input.read(place)?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file ends in the middle of a piece",
            ));
        }
        self.left -= read as u64;
        Ok(read)
    }
}
