//! Tar archives as a server writes them for a base backup (basebackup.c; header: src/port/tar.c;
//! format: POSIX, `pax`, section "ustar Interchange Format").
//!
//! An archive is a row of blocks of 512 bytes. Each entry is a header of one block, then its
//! content, filled up to a whole block. Two blocks of zeros end the archive. Servers up to 14 leave
//! them out, because their clients write them.
//!
//! * Kinds of entries: regular files, directories, symbolic links. The names of the latter two end
//!   in a slash, which [`TarReader`] removes.
//! * Numbers are octal digits, ended by a blank or a zero byte. A number that needs more digits (a
//!   size from 8 GiB on, a user id from 2097152 on) is GNU's base-256: a byte 0x80, then big-endian
//!   bytes.
//! * Names have at most 99 bytes there: the server refuses longer ones. Those of `ustar` that go on
//!   in the prefix field are read as well.
//! * Names are relative to the data directory or the tablespace; a few begin with `./`, which is
//!   removed. One that leads out of there is refused.
//!
//! [`TarReader`] is fed in pieces of any size, copies nothing of the content and keeps one header.

use crate::names::shown;

/// Headers are as long as this, and contents are filled up to a multiple of it.
pub const TAR_BLOCK: usize = 512;
/// The blocks of zeros at the end.
const TRAILER_BLOCKS: u32 = 2;

const NAME: Field = Field { name: "name", at: 0, length: 100 };
const MODE: Field = Field { name: "mode", at: 100, length: 8 };
const UID: Field = Field { name: "user id", at: 108, length: 8 };
const GID: Field = Field { name: "group id", at: 116, length: 8 };
const SIZE: Field = Field { name: "size", at: 124, length: 12 };
const MTIME: Field = Field { name: "time", at: 136, length: 12 };
const CHECKSUM: Field = Field { name: "checksum", at: 148, length: 8 };
const KIND: usize = 156;
const LINK: Field = Field { name: "link", at: 157, length: 100 };
const MAGIC: Field = Field { name: "magic", at: 257, length: 8 };
const PREFIX: Field = Field { name: "prefix", at: 345, length: 155 };

/// The magic of `ustar` and its version.
const USTAR: &[u8] = b"ustar\x0000";

type Block = [u8; TAR_BLOCK];

/// A field of a header.
struct Field {
    name: &'static str,
    at: usize,
    length: usize,
}

impl Field {
    fn of<'b>(&self, block: &'b Block) -> &'b [u8] {
        block.get(self.at..self.at + self.length).unwrap_or_default()
    }

    /// Its text, which a zero byte ends.
    fn text<'b>(&self, block: &'b Block) -> &'b [u8] {
        let bytes = self.of(block);
        bytes.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Its number.
    fn number<N: TryFrom<u64>>(&self, block: &Block, at: u64) -> Result<N, TarError> {
        let found = match self.of(block).split_first() {
            Some((0x80, base_256)) => number_of_base_256(base_256),
            _ => number_of_octal(self.of(block)),
        };
        found.and_then(|number| N::try_from(number).ok()).ok_or(TarError::Number { at, field: self.name })
    }
}

fn number_of_base_256(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0u64, |number, byte| Some(number.checked_mul(256)? | u64::from(*byte)))
}

/// At least one digit; behind the digits, blanks and zero bytes only.
fn number_of_octal(bytes: &[u8]) -> Option<u64> {
    let end = bytes.iter().position(|byte| !(b'0'..=b'7').contains(byte)).unwrap_or(bytes.len());
    let (digits, rest) = bytes.split_at(end);
    if digits.is_empty() || rest.iter().any(|byte| *byte != b' ' && *byte != 0) {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| Some(number.checked_mul(8)? | u64::from(digit - b'0')))
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TarKind {
    /// A regular file of so many bytes.
    File {
        /// Bytes of its content.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it leads, as it was written.
        target: Vec<u8>,
    },
}

/// The header of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarEntry {
    /// Its path below the directory that was archived: parts that are neither empty nor `.` nor
    /// `..`, with slashes between them.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: TarKind,
    /// Permission bits (12 of them).
    pub mode: u32,
    /// Its owner's number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
    /// When it was modified: seconds since the Unix epoch.
    pub mtime: i64,
}

/// What a [`TarReader`] has found next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TarEvent<'a> {
    /// An entry begins.
    Entry(TarEntry),
    /// Some of its content, where it lies in the input; never empty.
    Data(&'a [u8]),
    /// It ends: all of its content was given.
    EntryEnds,
}

/// Whether an archive must end with its blocks of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailer {
    /// It must: servers from 15 on write them, and an archive without them was cut off.
    Needed,
    /// It may end behind an entry, as servers up to 14 end it.
    CanBeMissing,
}

/// Bytes that are not a tar archive of a server. `at`: where in the archive the header begins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// A header that was changed, or bytes that are not a header.
    #[error("the tar header at byte {at} has checksum {found}, and its bytes have {computed}")]
    Checksum {
        /// Where.
        at: u64,
        /// What the header says.
        found: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// A header of another format than `ustar`.
    #[error("the tar header at byte {at} is not in the ustar format")]
    NotUstar {
        /// Where.
        at: u64,
    },
    /// A number that is not one, or is too large.
    #[error("the tar header at byte {at} has an invalid {field}")]
    Number {
        /// Where.
        at: u64,
        /// The field.
        field: &'static str,
    },
    /// An empty name, or one that leads out of the directory.
    #[error("the tar header at byte {at} has the invalid name {:?}", shown(name))]
    Name {
        /// Where.
        at: u64,
        /// The name.
        name: Vec<u8>,
    },
    /// A kind of entry that no base backup has.
    #[error("the tar entry {:?} is of unknown type {:?}", shown(name), char::from(*.kind))]
    Kind {
        /// The entry.
        name: Vec<u8>,
        /// The type byte.
        kind: u8,
    },
    /// A directory or a link that has a content.
    #[error("the tar entry {:?} has {size} bytes, and is not a file", shown(name))]
    Content {
        /// The entry.
        name: Vec<u8>,
        /// The size that it claims.
        size: u64,
    },
    /// Something else than zeros behind the block of zeros that ends the archive.
    #[error("the tar archive goes on behind its end, at byte {at}")]
    BehindEnd {
        /// Where.
        at: u64,
    },
    /// The archive ends inside of a header, of a content or of the blocks that end it.
    #[error("the tar archive is cut off at byte {at}")]
    Short {
        /// Its length.
        at: u64,
    },
    /// The archive ends without the blocks of zeros.
    #[error("the tar archive ends at byte {at} without its two blocks of zeros")]
    NoTrailer {
        /// Its length.
        at: u64,
    },
}

/// Reads an archive that arrives in pieces.
#[derive(Clone, Debug)]
pub struct TarReader {
    trailer: Trailer,
    state: State,
    /// The block that arrives: its first `gathered` bytes are here.
    block: Block,
    gathered: usize,
    /// Bytes read so far.
    read: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A header comes, or the end.
    Header,
    /// So many bytes of a content come, then so many that fill it up.
    Content { left: u64, filling: u64 },
    /// So many bytes come that fill up a content.
    Filling { left: u64 },
    /// So many blocks of zeros have come.
    Zeros { blocks: u32 },
}

impl TarReader {
    /// For one archive.
    pub fn new(trailer: Trailer) -> TarReader {
        TarReader { trailer, state: State::Header, block: [0; TAR_BLOCK], gathered: 0, read: 0 }
    }

    /// Reads from the front of `input`, which then begins behind what was read. `None`: all of it
    /// was read, and more must arrive. After an error the rest of the archive cannot be read.
    pub fn read<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<TarEvent<'a>>, TarError> {
        loop {
            match self.state {
                State::Header => {
                    let Some(block) = self.take_block(input) else { return Ok(None) };
                    if is_zero(&block) {
                        self.state = State::Zeros { blocks: 1 };
                        continue;
                    }
                    let (entry, size) = entry(&block, self.read - TAR_BLOCK as u64)?;
                    let behind = size % TAR_BLOCK as u64;
                    let filling = if behind == 0 { 0 } else { TAR_BLOCK as u64 - behind };
                    self.state = State::Content { left: size, filling };
                    return Ok(Some(TarEvent::Entry(entry)));
                }
                State::Content { left: 0, filling } => {
                    self.state = State::Filling { left: filling };
                    return Ok(Some(TarEvent::EntryEnds));
                }
                State::Content { left, filling } => {
                    let data = self.take(input, left);
                    if data.is_empty() {
                        return Ok(None);
                    }
                    self.state = State::Content { left: left - data.len() as u64, filling };
                    return Ok(Some(TarEvent::Data(data)));
                }
                State::Filling { left: 0 } => self.state = State::Header,
                State::Filling { left } => {
                    let filling = self.take(input, left);
                    if filling.is_empty() {
                        return Ok(None);
                    }
                    self.state = State::Filling { left: left - filling.len() as u64 };
                }
                State::Zeros { blocks } => {
                    let Some(block) = self.take_block(input) else { return Ok(None) };
                    if !is_zero(&block) {
                        return Err(TarError::BehindEnd { at: self.read - TAR_BLOCK as u64 });
                    }
                    self.state = State::Zeros { blocks: blocks.saturating_add(1) };
                }
            }
        }
    }

    /// To be called when nothing more arrives: whether the archive may end here.
    pub fn finish(&self) -> Result<(), TarError> {
        let at = self.read;
        match self.state {
            _ if self.gathered > 0 => Err(TarError::Short { at }),
            State::Header | State::Filling { left: 0 } => match self.trailer {
                Trailer::Needed => Err(TarError::NoTrailer { at }),
                Trailer::CanBeMissing => Ok(()),
            },
            State::Zeros { blocks } if blocks >= TRAILER_BLOCKS => Ok(()),
            State::Zeros { .. } | State::Content { .. } | State::Filling { .. } => {
                Err(TarError::Short { at })
            }
        }
    }

    /// At most `most` bytes from the front of the input.
    fn take<'a>(&mut self, input: &mut &'a [u8], most: u64) -> &'a [u8] {
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
        let (taken, rest) = input.split_at(count);
        *input = rest;
        self.read += taken.len() as u64;
        taken
    }

    /// The next block, once all of it has arrived.
    fn take_block(&mut self, input: &mut &[u8]) -> Option<Block> {
        let taken = self.take(input, (TAR_BLOCK - self.gathered) as u64);
        let free = self.block.get_mut(self.gathered..self.gathered + taken.len())?;
        free.copy_from_slice(taken);
        self.gathered += taken.len();
        if self.gathered < TAR_BLOCK {
            return None;
        }
        self.gathered = 0;
        Some(self.block)
    }
}

fn is_zero(block: &Block) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// The sum of a header's bytes, with blanks for the field of the sum itself.
fn checksum(block: &Block) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let blanks = u32::from(b' ') * u32::try_from(CHECKSUM.length).unwrap_or_default();
    sum(block) - sum(CHECKSUM.of(block)) + blanks
}

/// Reads a header that begins `at` this byte: the entry, and the bytes of its content.
fn entry(block: &Block, at: u64) -> Result<(TarEntry, u64), TarError> {
    let (found, computed) = (CHECKSUM.number(block, at)?, checksum(block));
    if found != computed {
        return Err(TarError::Checksum { at, found, computed });
    }
    if MAGIC.of(block) != USTAR {
        return Err(TarError::NotUstar { at });
    }
    let kind = block.get(KIND).copied().unwrap_or_default();
    let mut name = match PREFIX.text(block) {
        [] => NAME.text(block).to_vec(),
        prefix => [prefix, b"/", NAME.text(block)].concat(),
    };
    if matches!(kind, b'2' | b'5') && name.ends_with(b"/") {
        name.pop();
    }
    if name.starts_with(b"./") {
        name.drain(..2);
    }
    if name.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
        return Err(TarError::Name { at, name });
    }
    let size: u64 = SIZE.number(block, at)?;
    let kind = match kind {
        b'0' | 0 => TarKind::File { size },
        b'2' | b'5' if size > 0 => return Err(TarError::Content { name, size }),
        b'5' => TarKind::Directory,
        b'2' => TarKind::Symlink { target: LINK.text(block).to_vec() },
        kind => return Err(TarError::Kind { name, kind }),
    };
    // A time before 1970 is written as the server's machine has it: in two's complement.
    let mtime = MTIME.number::<u64>(block, at)?.cast_signed();
    let (mode, uid, gid) = (MODE.number(block, at)?, UID.number(block, at)?, GID.number(block, at)?);
    Ok((TarEntry { name, kind, mode, uid, gid, mtime }, size))
}
