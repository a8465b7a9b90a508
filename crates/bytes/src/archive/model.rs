//! The header and the entries of a table of contents.

use std::borrow::Cow;

/// A whole header and table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The header.
    pub header: Header,
    /// The entries in the order of the archive, which is `pg_dump`'s restore order.
    pub entries: Vec<TocEntry>,
}

/// Version of the archive format, ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchiveVersion {
    /// Always 1.
    pub major: u8,
    /// 12 to 16.
    pub minor: u8,
    /// Revision, 0 in every archive seen.
    pub rev: u8,
}

impl ArchiveVersion {
    /// PostgreSQL 12 to 15.
    pub const V1_14: ArchiveVersion = ArchiveVersion { major: 1, minor: 14, rev: 0 };
    /// PostgreSQL 16.
    pub const V1_15: ArchiveVersion = ArchiveVersion { major: 1, minor: 15, rev: 0 };
    /// PostgreSQL 17 and 18.
    pub const V1_16: ArchiveVersion = ArchiveVersion { major: 1, minor: 16, rev: 0 };
}

impl ArchiveVersion {
    /// The newest version that the `pg_restore` of a major release reads.
    pub fn read_by(major: i32) -> ArchiveVersion {
        match major {
            ..=15 => Self::V1_14,
            16 => Self::V1_15,
            _ => Self::V1_16,
        }
    }
}

impl std::fmt::Display for ArchiveVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The header's format byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 1: a custom-format stream; entries end with a data offset.
    Custom,
    /// 3: a tar archive, and also every directory's `toc.dat`; entries end with a file name.
    Tar,
}

/// The header's compression field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Up to 1.14: a gzip level; -1 is zlib's default, 0 is none.
    Level(i32),
    /// From 1.15: an algorithm; 0 none, 1 gzip, 2 lz4, 3 zstd.
    Algorithm(u8),
}

/// Local time of the dump, as C's `struct tm` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CreatedAt {
    pub second: i32,
    pub minute: i32,
    pub hour: i32,
    pub day: i32,
    /// 0 to 11.
    pub month: i32,
    /// Years since 1900.
    pub year: i32,
    /// 1 daylight saving, 0 not, negative unknown.
    pub is_dst: i32,
}

impl CreatedAt {
    /// What stands for a time that nothing says.
    pub const UNKNOWN: CreatedAt =
        CreatedAt { second: 0, minute: 0, hour: 0, day: 1, month: 0, year: 70, is_dst: 0 };

    /// `2024-06-01 12:34:56 CEST`, as pg_dump's comments have it. The zone is a name that may mean
    /// several: it is left out.
    pub fn read(text: &[u8]) -> Option<CreatedAt> {
        let text = std::str::from_utf8(text).ok()?;
        let (date, rest) = text.trim().split_once(' ')?;
        let time = rest.split(' ').next()?;
        let numbers = |text: &str, sign: char| -> Option<[i32; 3]> {
            let parts = text.split(sign).map(|part| part.parse().ok()).collect::<Option<Vec<i32>>>()?;
            parts.try_into().ok()
        };
        let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
        let is_date = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
        let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
        let created =
            CreatedAt { second, minute, hour, day, month: month - 1, year: year - 1900, is_dst: -1 };
        (is_date && is_time).then_some(created)
    }
}

/// The header of an archive. Strings are in no declared encoding; `None` is the format's NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version of the format.
    pub version: ArchiveVersion,
    /// Magnitude bytes of an integer (4 in every archive seen).
    pub int_size: u8,
    /// Bytes of a data offset (8 in every archive seen).
    pub off_size: u8,
    /// What the format byte said.
    pub format: Format,
    /// How the data is compressed.
    pub compression: Compression,
    /// When the dump began.
    pub created: CreatedAt,
    /// Name of the database that was dumped.
    pub dbname: Option<Vec<u8>>,
    /// Version of the server, as text (`15.18 (Debian 15.18-0+deb12u1)`).
    pub server_version: Option<Vec<u8>>,
    /// Version of `pg_dump`, as text.
    pub dump_version: Option<Vec<u8>>,
}

/// Section of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// 1: comments, ACLs and the like, which go where their object goes.
    None,
    /// 2: what must exist before data is loaded.
    PreData,
    /// 3: data, sequence values, large objects' contents.
    Data,
    /// 4: indexes, constraints, triggers and the like.
    PostData,
}

/// Data offset of an entry in a custom-format archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// 1 not set, 2 set, 3 no data.
    pub state: u8,
    /// Position in the file when `state` is 2.
    pub position: u64,
}

/// One entry. Strings are in the dump's encoding (see [`Archive::client_encoding`]); `None` is the
/// format's NULL, which differs from an empty string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TocEntry {
    /// Unique positive number in this archive.
    pub dump_id: i32,
    /// The entry has a data block or a data file.
    pub had_dumper: bool,
    /// OID of the catalog that the object lives in, 0 when none.
    pub table_oid: u32,
    /// OID of the object at the source, 0 when none.
    pub oid: u32,
    /// Name for people, and for most kinds the object's bare name.
    pub tag: Option<Vec<u8>>,
    /// Kind: `TABLE`, `TABLE DATA`, `ACL`, ...
    pub desc: Option<Vec<u8>>,
    /// Section.
    pub section: Section,
    /// SQL that creates the object.
    pub defn: Option<Vec<u8>>,
    /// SQL that drops it.
    pub drop_stmt: Option<Vec<u8>>,
    /// `COPY … FROM stdin;` of a TABLE DATA entry.
    pub copy_stmt: Option<Vec<u8>>,
    /// Schema, bare name.
    pub namespace: Option<Vec<u8>>,
    /// Tablespace, bare name; empty for the database's default.
    pub tablespace: Option<Vec<u8>>,
    /// Table access method (1.14 on).
    pub table_am: Option<Vec<u8>>,
    /// `pg_class.relkind` as a character code (1.16 on); 0 when none.
    pub relkind: Option<i32>,
    /// Owner, bare name; empty when the kind has none.
    pub owner: Option<Vec<u8>>,
    /// The dead WITH OIDS flag, kept so that rewriting changes no byte.
    pub with_oids: Option<Vec<u8>>,
    /// Dump ids of the entries that this one needs.
    pub dependencies: Vec<i32>,
    /// Tar and directory: name of the data file; empty when there is none. `None` from a custom
    /// archive.
    pub file_name: Option<Vec<u8>>,
    /// Custom: where the data lies. `None` from a tar or directory archive.
    pub offset: Option<Offset>,
    /// Names for people and for patterns, where those above are in another encoding than UTF-8: see
    /// [`Archive::show`].
    pub shown: Option<Box<Shown>>,
}

/// An entry's names as UTF-8; empty where the entry has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// The tag.
    pub tag: String,
    /// The schema.
    pub namespace: String,
    /// The owner.
    pub owner: String,
}

fn lossy(value: &Option<Vec<u8>>) -> Cow<'_, str> {
    value.as_deref().map_or(Cow::Borrowed(""), String::from_utf8_lossy)
}

fn text(value: &Option<Vec<u8>>) -> Cow<'_, str> {
    value.as_deref().map_or(Cow::Borrowed(""), crate::names::shown)
}

impl TocEntry {
    /// An entry of no kind, without names or SQL.
    pub fn new(dump_id: i32, section: Section) -> TocEntry {
        TocEntry {
            dump_id,
            had_dumper: false,
            table_oid: 0,
            oid: 0,
            tag: None,
            desc: None,
            section,
            defn: None,
            drop_stmt: None,
            copy_stmt: None,
            namespace: None,
            tablespace: None,
            table_am: None,
            relkind: None,
            owner: None,
            with_oids: None,
            dependencies: Vec::new(),
            file_name: None,
            offset: None,
            shown: None,
        }
    }

    /// The kind (`TABLE`, `ACL`, …); empty when it is NULL or no text, which `pg_dump` never
    /// writes.
    pub fn kind(&self) -> &str {
        self.desc.as_deref().and_then(|d| std::str::from_utf8(d).ok()).unwrap_or("")
    }

    /// The tag for messages (see [`Archive::show`]); NULL is empty.
    pub fn tag_str(&self) -> Cow<'_, str> {
        self.shown.as_ref().map_or_else(|| text(&self.tag), |shown| Cow::Borrowed(&shown.tag))
    }

    /// The schema for messages.
    pub fn namespace_str(&self) -> Cow<'_, str> {
        self.shown.as_ref().map_or_else(|| text(&self.namespace), |shown| Cow::Borrowed(&shown.namespace))
    }

    /// The owner for messages.
    pub fn owner_str(&self) -> Cow<'_, str> {
        self.shown.as_ref().map_or_else(|| text(&self.owner), |shown| Cow::Borrowed(&shown.owner))
    }

    /// Schema and tag as patterns see them: UTF-8, or bytes that have no encoding.
    pub fn matched_name(&self) -> (&[u8], &[u8]) {
        match &self.shown {
            Some(shown) => (shown.namespace.as_bytes(), shown.tag.as_bytes()),
            None => (self.namespace.as_deref().unwrap_or_default(), self.tag_bytes()),
        }
    }

    /// The definition for messages.
    pub fn defn_str(&self) -> Cow<'_, str> {
        lossy(&self.defn)
    }

    /// The COPY statement for messages.
    pub fn copy_stmt_str(&self) -> Cow<'_, str> {
        lossy(&self.copy_stmt)
    }

    /// The tag's bytes; empty when NULL.
    pub fn tag_bytes(&self) -> &[u8] {
        self.tag.as_deref().unwrap_or_default()
    }

    /// The definition's bytes; empty when NULL.
    pub fn defn_bytes(&self) -> &[u8] {
        self.defn.as_deref().unwrap_or_default()
    }

    /// Kind, schema and tag for messages: `TABLE public.orders`.
    pub fn describe(&self) -> String {
        let namespace = self.namespace_str();
        if namespace.is_empty() {
            format!("{} {}", self.kind(), self.tag_str())
        } else {
            format!("{} {namespace}.{}", self.kind(), self.tag_str())
        }
    }
}

impl Archive {
    /// Every name that is no plain ASCII: what has to be known as UTF-8 before [`Archive::show`].
    pub fn foreign_names(&self) -> std::collections::BTreeSet<&[u8]> {
        self.entries
            .iter()
            .flat_map(|entry| [&entry.tag, &entry.namespace, &entry.owner])
            .filter_map(|name| name.as_deref().filter(|name| !name.is_ascii()))
            .collect()
    }

    /// From now on entries are shown, and matched by patterns, under their names as UTF-8.
    pub fn show(&mut self, as_text: &dyn Fn(&[u8]) -> String) {
        let of = |name: &Option<Vec<u8>>| {
            name.as_deref().map_or_else(String::new, |name| {
                if name.is_ascii() { String::from_utf8_lossy(name).into_owned() } else { as_text(name) }
            })
        };
        for entry in &mut self.entries {
            let names = [&entry.tag, &entry.namespace, &entry.owner];
            if names.into_iter().flatten().any(|name| !name.is_ascii()) {
                entry.shown = Some(Box::new(Shown {
                    tag: of(&entry.tag),
                    namespace: of(&entry.namespace),
                    owner: of(&entry.owner),
                }));
            }
        }
    }

    /// The entry with this dump id.
    pub fn entry(&self, dump_id: i32) -> Option<&TocEntry> {
        self.entries.iter().find(|e| e.dump_id == dump_id)
    }

    /// The encoding of every string in this archive, as the ENCODING entry names it (`UTF8`,
    /// `LATIN1`).
    pub fn client_encoding(&self) -> Option<String> {
        let entry = self.entries.iter().find(|e| e.kind() == "ENCODING")?;
        quoted_value(entry.defn.as_deref()?)
    }

    /// The value of `standard_conforming_strings` that the definitions were written for.
    pub fn standard_conforming_strings(&self) -> bool {
        self.entries
            .iter()
            .find(|e| e.kind() == "STDSTRINGS")
            .and_then(|e| quoted_value(e.defn.as_deref()?))
            .is_none_or(|v| v == "on")
    }
}

/// `UTF8` of `SET client_encoding = 'UTF8';`.
fn quoted_value(defn: &[u8]) -> Option<String> {
    let mut parts = defn.split(|&b| b == b'\'');
    let (_, value) = (parts.next()?, parts.next()?);
    parts.next()?;
    String::from_utf8(value.to_vec()).ok()
}
