//! What lies at a path: which dumps, in which format, and what is next to them.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use pgark_bytes::archive::{self, Archive, Format};
use serde_json::Value;

use super::item::{Item, Take, file_error};
use super::rows::{damaged, unreadable};
use super::{blocks, members, script};
use crate::OpsError;

/// One dump of one database.
pub(super) enum Dump {
    /// pg_dump's directory format.
    Directory(PathBuf),
    /// pg_dump's custom format.
    Custom(PathBuf),
    /// pg_dump's tar format.
    Tar(PathBuf),
    /// One database of a script.
    Script(script::ScriptedDatabase),
}

/// Everything at a path.
pub(super) struct Found {
    pub path: PathBuf,
    pub dumps: Vec<Dump>,
    /// Roles and tablespaces, as SQL.
    pub globals: Option<Vec<u8>>,
    pub manifest: Option<Value>,
}

/// The data of an open dump.
pub(super) enum Data {
    Directory(PathBuf),
    Custom(blocks::Blocks),
    Tar(members::Members),
    Script(script::ScriptedDatabase),
}

/// What pg_dump writes first.
const MAGIC: &[u8] = b"PGDMP";
/// What can be imported.
const TAKEN: &str = "taken are pg_dump's directory, custom and tar formats, scripts of pg_dumpall and pg_dump, \
                     Greenmask's dumps and Plakar's layouts";
/// A manifest or a list larger than this is none.
const LARGEST_TEXT: u64 = 1 << 30;

/// Finds out what lies there. `database`: the name of one that a script does not name.
pub(super) fn find(path: &Path, database: Option<&str>) -> Result<Found, OpsError> {
    let metadata = fs::metadata(path).map_err(|source| file_error(path, source))?;
    if !metadata.is_dir() {
        let (dumps, globals) = file(path, database)?;
        return Ok(Found { path: path.to_path_buf(), dumps, globals, manifest: None });
    }
    if path.join("toc.dat").is_file() {
        refuse_unfinished(path)?;
        let globals = Some(path.join("globals.sql")).filter(|globals| globals.is_file());
        let globals = globals.as_deref().map(read_file).transpose()?;
        let dumps = vec![Dump::Directory(path.to_path_buf())];
        return Ok(Found { path: path.to_path_buf(), dumps, globals, manifest: None });
    }
    plakar(path, database)
}

/// A custom archive, a tar file or a script; a script may bring globals.
fn file(path: &Path, database: Option<&str>) -> Result<(Vec<Dump>, Option<Vec<u8>>), OpsError> {
    let mut head = [0u8; 512];
    let mut filled = 0;
    let mut opened = File::open(path).map_err(|source| file_error(path, source))?;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match opened.read(rest).map_err(|source| file_error(path, source))? {
            0 => break,
            read => filled += read,
        }
    }
    if head.starts_with(MAGIC) {
        return Ok((vec![Dump::Custom(path.to_path_buf())], None));
    }
    if filled == head.len()
        && head.starts_with(b"toc.dat\0")
        && head.get(257..262) == Some(b"ustar".as_slice())
    {
        return Ok((vec![Dump::Tar(path.to_path_buf())], None));
    }
    if head.starts_with(b"--") {
        let (parts, globals) = script::open(path, database)?;
        return Ok((parts.into_iter().map(Dump::Script).collect(), globals));
    }
    let packed = PACKED.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, how)| *how);
    Err(OpsError::refused(
        format!("{} is not a dump of pg_dump or pg_dumpall", path.display()),
        packed.map_or(TAKEN.to_string(), |how| format!("{how}; {TAKEN}")),
    ))
}

/// What files begin with that may hold a dump, and what to do about them.
const PACKED: [(&[u8], &str); 8] = [
    (b"\x1f\x8b", "it is compressed with gzip: unpack it first (gunzip)"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd: unpack it first (zstd -d)"),
    (b"\x04\x22\x4d\x18", "it is compressed with lz4: unpack it first (lz4 -d)"),
    (b"\xfd7zXZ\0", "it is compressed with xz: unpack it first (unxz)"),
    (b"BZh", "it is compressed with bzip2: unpack it first (bunzip2)"),
    (b"PK\x03\x04", "it is a zip file: unpack it first (unzip)"),
    (b"age-encryption.org/", "it is encrypted with age: decrypt it first (age -d)"),
    (b"\xef\xbb\xbf", "it starts with a byte order mark, which no dump does: some program changed it"),
];

/// Greenmask writes `done` into its heartbeat when all is written.
fn refuse_unfinished(path: &Path) -> Result<(), OpsError> {
    let heartbeat = path.join("heartbeat");
    if !heartbeat.is_file() {
        return Ok(());
    }
    let said = read_file(&heartbeat)?;
    if said.trim_ascii() == b"done" && path.join("metadata.json").is_file() {
        return Ok(());
    }
    Err(OpsError::refused(
        format!("the dump in {} was not finished", path.display()),
        "its heartbeat does not say done, or metadata.json is missing; import another one",
    ))
}

/// `manifest.json`, `[00000-]globals.sql`, `[00001-]NAME.dump`, or `all.sql`; also below
/// `data`-less roots as a restore to a directory writes them.
fn plakar(path: &Path, database: Option<&str>) -> Result<Found, OpsError> {
    let mut names: Vec<PathBuf> = fs::read_dir(path)
        .map_err(|source| file_error(path, source))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(|source| file_error(path, source))?;
    names.sort();
    let called = |path: &Path, name: &str| path.file_name().is_some_and(|own| own == name);
    let manifest = match names.iter().find(|path| called(path, "manifest.json")) {
        None => None,
        Some(path) => {
            let text = read_file(path)?;
            let value: Value = serde_json::from_slice(&text).map_err(|error| {
                OpsError::refused(format!("{} is not JSON: {error}", path.display()), "the dump is damaged")
            })?;
            Some(value)
        }
    };
    if manifest.as_ref().and_then(|manifest| manifest.get("connector"))
        == Some(&Value::from("postgresql+bin"))
    {
        return Err(OpsError::refused(
            format!("{} is a physical backup", path.display()),
            "logical dumps can be imported",
        ));
    }
    let globals = names.iter().find(|path| called(path, "00000-globals.sql") || called(path, "globals.sql"));
    let mut globals = globals.map(|path| read_file(path)).transpose()?;
    let mut dumps = Vec::new();
    let is_dump = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "dump");
    for path in names.iter().filter(|path| is_dump(path) || called(path, "all.sql")) {
        let (mut more, of_script) = file(path, database)?;
        dumps.append(&mut more);
        globals = globals.or(of_script);
    }
    if dumps.is_empty() {
        return Err(OpsError::refused(format!("{} contains no dump", path.display()), TAKEN));
    }
    Ok(Found { path: path.to_path_buf(), dumps, globals, manifest })
}

impl Found {
    /// The cluster's system identifier, where a manifest names it.
    pub(super) fn system_identifier(&self) -> Option<String> {
        let named = self.manifest.as_ref()?.get("cluster_system_identifier")?;
        named.as_str().map(str::to_string).filter(|name| !name.is_empty())
    }
}

impl Dump {
    pub(super) fn path(&self) -> &Path {
        match self {
            Dump::Directory(path) | Dump::Custom(path) | Dump::Tar(path) => path,
            Dump::Script(part) => part.path(),
        }
    }

    /// The table of contents, and the data behind it.
    pub(super) fn open(&self) -> Result<(Archive, Data), OpsError> {
        let bad = |path: &Path| {
            let of = path.display().to_string();
            move |source| OpsError::Archive { of, source }
        };
        match self {
            Dump::Directory(path) => {
                let toc = path.join("toc.dat");
                let mut input = BufReader::new(File::open(&toc).map_err(|source| file_error(&toc, source))?);
                let archive = archive::read_toc(&mut input).map_err(bad(&toc))?;
                Ok((archive, Data::Directory(path.clone())))
            }
            Dump::Custom(path) => {
                let opened = File::open(path).map_err(|source| file_error(path, source))?;
                let mut input = BufReader::with_capacity(1 << 18, opened);
                let archive = archive::read_toc(&mut input).map_err(bad(path))?;
                if archive.header.format != Format::Custom {
                    return Err(damaged(&path.display().to_string(), "is not a custom archive"));
                }
                let blocks = blocks::Blocks::new(input, archive.header.compression, archive.header.int_size);
                Ok((archive, Data::Custom(blocks)))
            }
            Dump::Tar(path) => {
                let opened = File::open(path).map_err(|source| file_error(path, source))?;
                let mut members = members::Members::new(BufReader::with_capacity(1 << 18, opened));
                let archive = members.table_of_contents().map_err(|error| match error {
                    members::TocError::Archive(source) => bad(path)(source),
                    members::TocError::Other(error) => error,
                })?;
                Ok((archive, Data::Tar(members)))
            }
            Dump::Script(part) => Ok((part.archive().clone(), Data::Script(part.clone()))),
        }
    }
}

impl Data {
    /// Hands on everything.
    pub(super) fn read(&mut self, archive: &Archive, take: &mut Take<'_>) -> Result<(), OpsError> {
        match self {
            Data::Directory(folder) => directory(folder, archive, take),
            Data::Custom(blocks) => blocks.read(archive, take),
            Data::Tar(members) => members.read(archive, take),
            Data::Script(part) => part.read(archive, take),
        }
    }
}

fn directory(folder: &Path, archive: &Archive, take: &mut Take<'_>) -> Result<(), OpsError> {
    for toc in archive.entries.iter().filter(|toc| toc.had_dumper) {
        let named = toc.file_name.as_deref().map(|name| String::from_utf8_lossy(name).into_owned());
        let Some(name) = named.filter(|name| !name.is_empty()) else { continue };
        if toc.kind() != "BLOBS" {
            let mut content = open_data(folder, &name)?;
            take(Item::Rows { toc, content: &mut content })?;
            continue;
        }
        let mut list = Vec::new();
        let mut listed = open_data(folder, &name)?.take(LARGEST_TEXT);
        listed.read_to_end(&mut list).map_err(|source| unreadable(&name, source))?;
        for line in list.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = String::from_utf8_lossy(line).into_owned();
            let parsed = line.split_once(' ').and_then(|(oid, file)| Some((oid.parse().ok()?, file)));
            let Some((oid, file)) = parsed else {
                return Err(damaged(&name, &format!("has the line {line:?}, which is not a large object")));
            };
            let mut content = open_data(folder, file)?;
            take(Item::LargeObject { oid, content: &mut content })?;
        }
    }
    Ok(())
}

/// A data file, plain or with the suffix of its compression; it must lie in the dump's own
/// directory.
fn open_data(folder: &Path, name: &str) -> Result<Box<dyn Read>, OpsError> {
    if name.contains('/') || name.starts_with('.') {
        return Err(damaged(
            &folder.display().to_string(),
            &format!("refers to the file {name:?}, which is outside of it"),
        ));
    }
    for suffix in ["", ".gz", ".lz4", ".zst"] {
        let path = folder.join(format!("{name}{suffix}"));
        let file = match File::open(&path) {
            Ok(file) => BufReader::with_capacity(1 << 18, file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(file_error(&path, source)),
        };
        return Ok(match suffix {
            ".gz" => Box::new(MultiGzDecoder::new(file)),
            ".lz4" => Box::new(lz4_flex::frame::FrameDecoder::new(file)),
            ".zst" => Box::new(zstd::Decoder::with_buffer(file).map_err(|source| file_error(&path, source))?),
            _ => Box::new(file),
        });
    }
    Err(damaged(&folder.display().to_string(), &format!("does not have the file {name}")))
}

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, OpsError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_TEXT).read_to_end(&mut bytes))
        .map_err(|source| file_error(path, source))?;
    Ok(bytes)
}
