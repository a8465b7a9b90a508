//! Writing header and table of contents.

use super::model::{Archive, ArchiveVersion, Compression, Format, Offset, TocEntry};

/// How the data files next to `toc.dat` are compressed. Readers look at each file's suffix; this
/// only fills the header's field, in the form that the archive's version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectoryCompression {
    /// What the header said (carried over between the two forms where the versions differ).
    AsInHeader,
    /// Plain files.
    None,
    /// gzip at a level; -1 is zlib's default.
    Gzip(i32),
    /// lz4 (readers from 16 on).
    Lz4,
    /// zstd (readers from 16 on).
    Zstd,
}

/// The bytes of a `toc.dat` for a directory archive: format byte 3, the version of the header, data
/// offsets of a custom archive dropped, and the file names that `file_name` gives (`None`: no
/// file).
///
/// Up to archive version 1.14 the header knows gzip only: lz4 and zstd are then written as level
/// -1, and the data files must be gzip or plain for `pg_restore` 15 and older.
pub fn write_directory_toc(
    archive: &Archive,
    file_name: &dyn Fn(&TocEntry) -> Option<String>,
    compression: DirectoryCompression,
) -> Vec<u8> {
    let mut directory = archive.clone();
    let header = &mut directory.header;
    header.compression = if header.version >= ArchiveVersion::V1_15 {
        Compression::Algorithm(algorithm(compression, header.compression))
    } else {
        Compression::Level(level(compression, header.compression))
    };
    header.format = Format::Tar; // a directory's toc.dat calls itself tar
    for (entry, original) in directory.entries.iter_mut().zip(&archive.entries) {
        entry.file_name = Some(file_name(original).unwrap_or_default().into_bytes());
    }
    write_toc(&directory)
}

/// The bytes of header and TOC exactly as the archive says: its version, its format (custom: with
/// each entry's offset; tar and directory: with its file name), its compression in the form that
/// the version has.
pub fn write_toc(archive: &Archive) -> Vec<u8> {
    let (head, entries) = toc_pieces(archive);
    entries.fold(head, |mut all, entry| {
        all.extend_from_slice(&entry);
        all
    })
}

/// [`write_toc`] in pieces: the header with the number of entries, then each entry.
pub fn toc_pieces(archive: &Archive) -> (Vec<u8>, impl Iterator<Item = Vec<u8>> + '_) {
    let header = &archive.header;
    let version = header.version;
    let mut w = Writer { out: Vec::new(), int_size: usize::from(header.int_size.clamp(1, 8)) };
    w.out.extend_from_slice(b"PGDMP");
    let format = match header.format {
        Format::Custom => 1,
        Format::Tar => 3,
    };
    w.out.extend_from_slice(&[
        version.major,
        version.minor,
        version.rev,
        header.int_size,
        header.off_size,
        format,
    ]);
    if version >= ArchiveVersion::V1_15 {
        w.out.push(algorithm(DirectoryCompression::AsInHeader, header.compression));
    } else {
        w.int(level(DirectoryCompression::AsInHeader, header.compression));
    }
    let t = header.created;
    for part in [t.second, t.minute, t.hour, t.day, t.month, t.year, t.is_dst] {
        w.int(part);
    }
    w.string(header.dbname.as_deref());
    w.string(header.server_version.as_deref());
    w.string(header.dump_version.as_deref());
    w.int(i32::try_from(archive.entries.len()).unwrap_or(i32::MAX));
    let int_size = w.int_size;
    let entries = archive.entries.iter().map(move |entry| {
        let mut w = Writer { out: Vec::new(), int_size };
        w.entry(entry, version);
        match header.format {
            Format::Custom => w.offset(entry.offset, usize::from(header.off_size.clamp(1, 8))),
            Format::Tar => w.string(Some(entry.file_name.as_deref().unwrap_or_default())),
        }
        w.out
    });
    (w.out, entries)
}

fn algorithm(asked: DirectoryCompression, header: Compression) -> u8 {
    match (asked, header) {
        (DirectoryCompression::AsInHeader, Compression::Algorithm(a)) => a,
        (DirectoryCompression::AsInHeader, Compression::Level(0)) | (DirectoryCompression::None, _) => 0,
        (DirectoryCompression::AsInHeader, Compression::Level(_)) | (DirectoryCompression::Gzip(_), _) => 1,
        (DirectoryCompression::Lz4, _) => 2,
        (DirectoryCompression::Zstd, _) => 3,
    }
}

fn level(asked: DirectoryCompression, header: Compression) -> i32 {
    match (asked, header) {
        (DirectoryCompression::AsInHeader, Compression::Level(level)) => level,
        (DirectoryCompression::AsInHeader, Compression::Algorithm(0)) | (DirectoryCompression::None, _) => 0,
        (DirectoryCompression::Gzip(level), _) => level,
        (DirectoryCompression::AsInHeader | DirectoryCompression::Lz4 | DirectoryCompression::Zstd, _) => -1,
    }
}

struct Writer {
    out: Vec<u8>,
    int_size: usize,
}

impl Writer {
    fn int(&mut self, value: i32) {
        self.out.push(u8::from(value < 0));
        let magnitude = u64::from(value.unsigned_abs()).to_le_bytes();
        self.out.extend(magnitude.iter().take(self.int_size));
    }

    fn string(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.int(-1),
            Some(bytes) => {
                // Strings come from a reader that limits them far below 2 GiB.
                let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
                self.int(length);
                self.out.extend(bytes.iter().take(length as usize));
            }
        }
    }

    /// The state, and the position where it is known: one without data has none.
    fn offset(&mut self, offset: Option<Offset>, size: usize) {
        let offset = offset.unwrap_or(Offset { state: 3, position: 0 });
        self.out.push(offset.state);
        self.out.extend(offset.position.to_le_bytes().iter().take(size));
    }

    fn entry(&mut self, e: &TocEntry, version: ArchiveVersion) {
        self.int(e.dump_id);
        self.int(i32::from(e.had_dumper));
        self.string(Some(e.table_oid.to_string().as_bytes()));
        self.string(Some(e.oid.to_string().as_bytes()));
        self.string(e.tag.as_deref());
        self.string(e.desc.as_deref());
        self.int(e.section as i32 + 1);
        for text in [&e.defn, &e.drop_stmt, &e.copy_stmt, &e.namespace, &e.tablespace] {
            self.string(text.as_deref());
        }
        if version >= ArchiveVersion::V1_14 {
            self.string(e.table_am.as_deref());
        }
        if version >= ArchiveVersion::V1_16 {
            self.int(e.relkind.unwrap_or(0));
        }
        self.string(e.owner.as_deref());
        self.string(e.with_oids.as_deref());
        for dependency in &e.dependencies {
            self.string(Some(dependency.to_string().as_bytes()));
        }
        self.string(None);
    }
}
