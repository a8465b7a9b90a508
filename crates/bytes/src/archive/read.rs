//! Reading the header and the table of contents, not a byte more.

use std::io::Read;

use super::error::ArchiveError;
use super::model::{
    Archive, ArchiveVersion, Compression, CreatedAt, Format, Header, Offset, Section, TocEntry,
};

/// Bounds on what an archive may claim, so that a damaged one cannot exhaust memory.
///
/// Memory also never runs ahead of the input: a claimed length is allocated only as bytes arrive.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest string in bytes. PostgreSQL's own text values end below 1 GiB.
    pub string_bytes: u64,
    /// Most entries of one TOC, and most dependencies of one entry.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { string_bytes: 1 << 30, entries: 1 << 26 }
    }
}

/// Reads the header and the whole TOC from a custom-format stream or a directory's `toc.dat`, and
/// leaves the input at the first byte behind them.
///
/// Reads are small (down to one byte); hand in something buffered unless the exact position
/// matters.
///
/// # Errors
/// [`ArchiveError`], naming the entry and the field.
pub fn read_toc(input: &mut dyn Read) -> Result<Archive, ArchiveError> {
    read_toc_with_limits(input, Limits::default())
}

/// As [`read_toc`], with limits of one's own.
///
/// # Errors
/// [`ArchiveError`], naming the entry and the field.
pub fn read_toc_with_limits(input: &mut dyn Read, limits: Limits) -> Result<Archive, ArchiveError> {
    let mut r = Reader { input, limits, int_size: 4, entry: 0 };
    let header = r.header()?;
    let count = r.int("the entry count")?;
    let count = u32::try_from(count).map_err(|_| r.invalid("the entry count", "it is negative"))?;
    r.limit("the entry count", u64::from(count), limits.entries)?;
    // The count is only a claim: reserve little, grow as entries arrive.
    let mut entries = Vec::with_capacity(count.min(4096) as usize);
    for number in 1..=count {
        r.entry = number;
        entries.push(r.toc_entry(&header)?);
    }
    Ok(Archive { header, entries })
}

struct Reader<'a> {
    input: &'a mut dyn Read,
    limits: Limits,
    int_size: usize,
    /// 0 in the header, then the number of the entry.
    entry: u32,
}

impl Reader<'_> {
    fn invalid(&self, field: &'static str, what: impl Into<String>) -> ArchiveError {
        ArchiveError::Invalid { entry: self.entry, field, what: what.into() }
    }

    fn limit(&self, field: &'static str, found: u64, limit: u64) -> Result<(), ArchiveError> {
        if found > limit {
            return Err(ArchiveError::TooLarge { entry: self.entry, field, found, limit });
        }
        Ok(())
    }

    fn exact(&mut self, buf: &mut [u8], field: &'static str) -> Result<(), ArchiveError> {
        let entry = self.entry;
        self.input.read_exact(buf).map_err(|source| ArchiveError::Read { entry, field, source })
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, ArchiveError> {
        let mut b = [0u8; 1];
        self.exact(&mut b, field)?;
        let [b] = b;
        Ok(b)
    }

    /// A sign byte and `int_size` magnitude bytes, little-endian.
    fn int(&mut self, field: &'static str) -> Result<i32, ArchiveError> {
        let mut raw = [0u8; 9];
        let size = self.int_size.min(8);
        let (used, _) = raw.split_at_mut(size + 1);
        self.exact(used, field)?;
        let [sign, magnitude @ ..] = raw;
        let magnitude = i64::try_from(u64::from_le_bytes(magnitude)).unwrap_or(i64::MAX);
        let value = if sign == 0 { magnitude } else { -magnitude };
        i32::try_from(value).map_err(|_| self.invalid(field, "the number does not fit 32 bits"))
    }

    fn string(&mut self, field: &'static str) -> Result<Option<Vec<u8>>, ArchiveError> {
        let length = self.int(field)?;
        if length == -1 {
            return Ok(None);
        }
        let length =
            u64::try_from(length).map_err(|_| self.invalid(field, format!("its length is {length}")))?;
        self.limit(field, length, self.limits.string_bytes)?;
        let mut bytes = Vec::with_capacity(usize::try_from(length.min(1 << 16)).unwrap_or(0));
        let entry = self.entry;
        let got = (&mut *self.input)
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(|source| ArchiveError::Read { entry, field, source })?;
        if (got as u64) < length {
            let source = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the input ended");
            return Err(ArchiveError::Read { entry, field, source });
        }
        Ok(Some(bytes))
    }

    /// A number written as decimal text.
    fn decimal<T: std::str::FromStr>(
        &self,
        text: Option<Vec<u8>>,
        field: &'static str,
    ) -> Result<T, ArchiveError> {
        text.as_deref()
            .and_then(|t| std::str::from_utf8(t).ok())
            .and_then(|t| t.parse().ok())
            .ok_or_else(|| self.invalid(field, "it is not a decimal number"))
    }

    fn header(&mut self) -> Result<Header, ArchiveError> {
        let mut magic = [0u8; 5];
        self.exact(&mut magic, "the signature")?;
        if &magic != b"PGDMP" {
            return Err(ArchiveError::NotAnArchive);
        }
        let mut fixed = [0u8; 6];
        self.exact(&mut fixed, "the version")?;
        let [major, minor, rev, int_size, off_size, format] = fixed;
        if major != 1 || !(12..=16).contains(&minor) {
            return Err(ArchiveError::UnsupportedVersion { major, minor });
        }
        let version = ArchiveVersion { major, minor, rev };
        if !(1..=8).contains(&int_size) {
            return Err(self.invalid("the integer size", format!("it is {int_size}")));
        }
        if !(1..=8).contains(&off_size) {
            return Err(self.invalid("the offset size", format!("it is {off_size}")));
        }
        self.int_size = usize::from(int_size);
        let format = match format {
            1 => Format::Custom,
            3 => Format::Tar,
            other => return Err(self.invalid("the format", format!("{other} is neither custom nor tar"))),
        };
        let compression = if version >= ArchiveVersion::V1_15 {
            Compression::Algorithm(self.byte("the compression algorithm")?)
        } else {
            Compression::Level(self.int("the compression level")?)
        };
        let created = CreatedAt {
            second: self.int("the time")?,
            minute: self.int("the time")?,
            hour: self.int("the time")?,
            day: self.int("the time")?,
            month: self.int("the time")?,
            year: self.int("the time")?,
            is_dst: self.int("the time")?,
        };
        Ok(Header {
            version,
            int_size,
            off_size,
            format,
            compression,
            created,
            dbname: self.string("the database name")?,
            server_version: self.string("the server version")?,
            dump_version: self.string("the pg_dump version")?,
        })
    }

    fn toc_entry(&mut self, header: &Header) -> Result<TocEntry, ArchiveError> {
        let version = header.version;
        let dump_id = self.int("the dump id")?;
        if dump_id <= 0 {
            return Err(self.invalid("the dump id", format!("it is {dump_id}")));
        }
        let had_dumper = self.int("the data flag")? != 0;
        let text = self.string("the catalog OID")?;
        let table_oid = self.decimal(text, "the catalog OID")?;
        let text = self.string("the object OID")?;
        let oid = self.decimal(text, "the object OID")?;
        let tag = self.string("the tag")?;
        let desc = self.string("the kind")?;
        let section = match self.int("the section")? {
            1 => Section::None,
            2 => Section::PreData,
            3 => Section::Data,
            4 => Section::PostData,
            other => return Err(self.invalid("the section", format!("it is {other}"))),
        };
        let defn = self.string("the definition")?;
        let drop_stmt = self.string("the drop statement")?;
        let copy_stmt = self.string("the COPY statement")?;
        let namespace = self.string("the schema")?;
        let tablespace = self.string("the tablespace")?;
        let table_am =
            if version >= ArchiveVersion::V1_14 { self.string("the table access method")? } else { None };
        let relkind =
            if version >= ArchiveVersion::V1_16 { Some(self.int("the relation kind")?) } else { None };
        let owner = self.string("the owner")?;
        let with_oids = self.string("the WITH OIDS flag")?;
        let mut dependencies = Vec::new();
        while let Some(text) = self.string("a dependency")? {
            self.limit("the dependencies", dependencies.len() as u64 + 1, self.limits.entries)?;
            dependencies.push(self.decimal(Some(text), "a dependency")?);
        }
        let (file_name, offset) = match header.format {
            Format::Tar => (self.string("the file name")?, None),
            Format::Custom => (None, Some(self.offset(header.off_size)?)),
        };
        Ok(TocEntry {
            dump_id,
            had_dumper,
            table_oid,
            oid,
            tag,
            desc,
            section,
            defn,
            drop_stmt,
            copy_stmt,
            namespace,
            tablespace,
            table_am,
            relkind,
            owner,
            with_oids,
            dependencies,
            file_name,
            offset,
            shown: None,
        })
    }

    fn offset(&mut self, size: u8) -> Result<Offset, ArchiveError> {
        let field = "the data offset";
        let state = self.byte(field)?;
        if !(1..=3).contains(&state) {
            return Err(self.invalid(field, format!("its state is {state}")));
        }
        let mut raw = [0u8; 8];
        let (used, _) = raw.split_at_mut(usize::from(size.min(8)));
        self.exact(used, field)?;
        Ok(Offset { state, position: u64::from_le_bytes(raw) })
    }
}
