//! `tablespace_map`: where the tablespaces of a base backup are. A server that starts with this
//! file makes the links in `pg_tblspc` from it, and so moves tablespaces to where it says.
//!
//! Each line is a tablespace's OID, one blank, and its path (PostgreSQL source, do_pg_backup_start
//! and read_tablespace_map in src/backend/access/transam/xlog.c and xlogrecovery.c). A line break
//! in a path has a backslash in front. What a backslash itself becomes depends on the major: from
//! 14 on it is doubled; 13 writes it as it is, and takes the one in front of a line break for an
//! escape.

/// One tablespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedTablespace {
    /// Its OID, which is the name of its link.
    pub oid: u32,
    /// Its path, in the bytes of the file system.
    pub path: Vec<u8>,
}

/// How paths are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapEscapes {
    /// Line breaks only: PostgreSQL 13.
    LineBreaks,
    /// Line breaks and backslashes: PostgreSQL 14 and newer.
    Backslashes,
}

impl MapEscapes {
    /// Those of a major version, such as 15.
    pub fn of_major(major: i32) -> MapEscapes {
        if major < 14 { MapEscapes::LineBreaks } else { MapEscapes::Backslashes }
    }
}

/// Why a map could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TablespaceMapError {
    /// A line that is not an OID, a blank and a path.
    #[error("read the tablespace map: line {line} is not an OID and a path")]
    Invalid {
        /// The number of the line, from 1; an escaped line break is a part of its line.
        line: usize,
    },
    /// The last line has no end: the file was cut off.
    #[error("read the tablespace map: it ends within a line")]
    CutOff,
    /// A path that the file cannot hold: an empty one, one with a zero byte, or for PostgreSQL 13
    /// one that ends with a backslash.
    #[error(
        "write the tablespace map: the path of tablespace {oid} cannot be written for this version of PostgreSQL"
    )]
    Unwritable {
        /// The tablespace.
        oid: u32,
    },
}

/// Reads a map; an empty one has no tablespaces.
///
/// # Errors
/// A line of another form, or an end within a line.
pub fn read_tablespace_map(
    bytes: &[u8],
    escapes: MapEscapes,
) -> Result<Vec<MappedTablespace>, TablespaceMapError> {
    let mut tablespaces = Vec::new();
    let mut line = Vec::new();
    let mut is_escaped = false;
    for byte in bytes {
        let is_break = matches!(byte, b'\n' | b'\r');
        match escapes {
            _ if is_break && !is_escaped => {
                // The second half of a line break in the manner of Windows, as the server takes it.
                if line.is_empty() {
                    continue;
                }
                let entry = entry(&line);
                tablespaces.push(entry.ok_or(TablespaceMapError::Invalid { line: tablespaces.len() + 1 })?);
                line.clear();
            }
            MapEscapes::Backslashes if *byte == b'\\' && !is_escaped => is_escaped = true,
            MapEscapes::Backslashes => {
                line.push(*byte);
                is_escaped = false;
            }
            MapEscapes::LineBreaks => {
                if is_break {
                    line.pop();
                }
                line.push(*byte);
                is_escaped = *byte == b'\\';
            }
        }
    }
    if line.is_empty() && !is_escaped { Ok(tablespaces) } else { Err(TablespaceMapError::CutOff) }
}

/// The path may begin with blanks: the first one alone separates.
fn entry(line: &[u8]) -> Option<MappedTablespace> {
    let blank = line.iter().position(|byte| *byte == b' ')?;
    let (digits, path) = line.split_at(blank);
    let oid = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    let oid = oid.parse().ok().filter(|oid| *oid != 0)?;
    let path = path.get(1..).filter(|path| !path.is_empty() && !path.contains(&0))?;
    Some(MappedTablespace { oid, path: path.to_vec() })
}

/// Writes a map as a server of that version does, byte for byte.
///
/// # Errors
/// A path that such a file cannot hold.
pub fn write_tablespace_map(
    tablespaces: &[MappedTablespace],
    escapes: MapEscapes,
) -> Result<Vec<u8>, TablespaceMapError> {
    let mut bytes = Vec::new();
    for MappedTablespace { oid, path } in tablespaces {
        let ends_escaped = escapes == MapEscapes::LineBreaks && path.ends_with(b"\\");
        if path.is_empty() || path.contains(&0) || ends_escaped || *oid == 0 {
            return Err(TablespaceMapError::Unwritable { oid: *oid });
        }
        bytes.extend_from_slice(format!("{oid} ").as_bytes());
        for byte in path {
            let is_escaped = match byte {
                b'\n' | b'\r' => true,
                b'\\' => escapes == MapEscapes::Backslashes,
                _ => false,
            };
            if is_escaped {
                bytes.push(b'\\');
            }
            bytes.push(*byte);
        }
        bytes.push(b'\n');
    }
    Ok(bytes)
}
