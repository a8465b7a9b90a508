//! The members of a tar archive, read front to back (see `export::tar` for their order).

use std::fs::File;
use std::io::{self, BufReader, Read};

use pgark_bytes::archive::{self, Archive, ArchiveError};

use super::item::{Item, Take};
use super::rows::{damaged, unreadable};
use crate::OpsError;

const BLOCK: usize = 512;

/// A tar file.
pub(super) struct Members {
    input: BufReader<File>,
}

/// Why there is no table of contents.
pub(super) enum TocError {
    Archive(ArchiveError),
    Other(OpsError),
}

struct Header {
    name: String,
    length: u64,
}

impl Members {
    pub(super) fn new(input: BufReader<File>) -> Members {
        Members { input }
    }

    /// Reads the first member, which is `toc.dat`.
    pub(super) fn table_of_contents(&mut self) -> Result<Archive, TocError> {
        let other = |error| TocError::Other(error);
        let header = self.header().map_err(other)?;
        let header = header
            .filter(|header| header.name == "toc.dat")
            .ok_or_else(|| other(damaged("the tar file", "does not start with toc.dat")))?;
        let archive =
            archive::read_toc(&mut (&mut self.input).take(header.length)).map_err(TocError::Archive)?;
        // The table of contents is all of its member; what is left is not known here, so it is read
        // again by size.
        let written = archive::write_toc(&archive).len() as u64;
        if written != header.length {
            return Err(other(damaged("toc.dat", "is not as long as its member")));
        }
        self.skip_padding(header.length).map_err(|source| other(unreadable("the tar file", source)))?;
        Ok(archive)
    }

    pub(super) fn read(&mut self, archive: &Archive, take: &mut Take<'_>) -> Result<(), OpsError> {
        while let Some(header) = self.header()? {
            let toc = archive.entries.iter().find(|toc| {
                toc.had_dumper
                    && toc.kind() != "BLOBS"
                    && toc.file_name.as_deref() == Some(header.name.as_bytes())
            });
            let oid = header.name.strip_prefix("blob_").and_then(|rest| rest.strip_suffix(".dat"));
            let mut content = Member { input: &mut self.input, left: header.length };
            match (toc, oid.and_then(|oid| oid.parse().ok())) {
                (Some(toc), _) => take(Item::Rows { toc, content: &mut content })?,
                (None, Some(oid)) => take(Item::LargeObject { oid, content: &mut content })?,
                // Lists of large objects, and the script that pg_dump adds for people.
                (None, None) => {}
            }
            io::copy(&mut content, &mut io::sink()).map_err(|source| unreadable(&header.name, source))?;
            self.skip_padding(header.length).map_err(|source| unreadable(&header.name, source))?;
        }
        Ok(())
    }

    /// The next member's header; none at the end mark.
    fn header(&mut self) -> Result<Option<Header>, OpsError> {
        let mut block = [0u8; BLOCK];
        self.input.read_exact(&mut block).map_err(|source| unreadable("the tar file", source))?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let field = |from: usize, to: usize| block.get(from..to).unwrap_or_default();
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { u32::from(b' ') } else { u32::from(*byte) })
            .sum();
        if octal(field(148, 156)) != Some(u64::from(sum)) {
            return Err(damaged("the tar file", "has a header whose checksum is wrong"));
        }
        let length = match field(124, 136) {
            [0x80, rest @ ..] => {
                rest.get(3..11).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes)
            }
            digits => octal(digits),
        };
        let name = field(0, 100).split(|byte| *byte == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        let length = length.ok_or_else(|| damaged("the tar file", &format!("has no length for {name}")))?;
        Ok(Some(Header { name, length }))
    }

    fn skip_padding(&mut self, length: u64) -> io::Result<()> {
        let over = usize::try_from(length % BLOCK as u64).unwrap_or(0);
        if over > 0 {
            let mut padding = vec![0; BLOCK - over];
            self.input.read_exact(&mut padding)?;
        }
        Ok(())
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

/// The content of one member.
struct Member<'m> {
    input: &'m mut BufReader<File>,
    left: u64,
}

impl Read for Member<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(place) = buffer.get_mut(..wanted).filter(|place| !place.is_empty()) else { return Ok(0) };
        let read = self.input.read(place)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends in the middle of it"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}
