//! The list of a backup's entries: a stream of its own, which its manifest names.

use minicbor::{Decode, Encode};

use super::body::{LONGEST_ABOUT, Manifest};
use crate::map::Part;
use crate::object::damaged;
use crate::reader::ChunkReader;
use crate::stream::{ChunkKind, Class, StreamRef};
use crate::{RepoError, codec};

/// Longest list of entries that is read: it is held in memory whole.
pub(crate) const LONGEST_LIST: u64 = 1 << 30;
pub(crate) const MOST_ENTRIES: usize = 64 << 20;
pub(crate) const LONGEST_PATH: usize = 4096;
/// Raw bytes of an entry: 1 PiB, far above the largest table. A tree that repeats one chunk may
/// claim any length.
pub(crate) const LONGEST_ENTRY: u64 = 1 << 50;

/// One entry of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Entry {
    /// Its path, unique in the backup.
    #[n(0)]
    pub path: String,
    /// Who may read it.
    #[n(1)]
    pub class: Class,
    /// Its content: these parts, one after the other.
    #[n(2)]
    pub parts: Vec<Part>,
    /// Raw length of the content.
    #[n(3)]
    pub bytes_raw: u64,
    /// Sealed bytes stored for it.
    #[n(4)]
    pub bytes_added: u64,
    /// Its maker's own facts.
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    pub about: Vec<u8>,
}

/// The entries of a backup.
pub(crate) fn read_entries(reader: &ChunkReader<'_>, manifest: &Manifest) -> Result<Vec<Entry>, RepoError> {
    let list: &StreamRef = &manifest.body.entries;
    let name = format!("the list of entries of backup {}", manifest.name.id);
    if list.bytes > LONGEST_LIST || list.kind() != Some(ChunkKind::Metadata) {
        return Err(damaged(name, "it has an impossible length or class"));
    }
    let mut bytes = Vec::new();
    let mut stream = reader.read(list)?;
    while let Some(chunk) = stream.next_chunk()? {
        bytes.extend_from_slice(&chunk);
    }
    let entries = decode_entries(&bytes).map_err(|what| damaged(&name, what))?;
    if entries.len() as u64 != manifest.body.entry_count {
        return Err(damaged(name, "it has not as many entries as the manifest says"));
    }
    Ok(entries)
}

/// The list of entries as the stream's bytes.
pub(crate) fn encode_entries(entries: &mut [Entry]) -> Result<Vec<u8>, RepoError> {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    check_entries(entries).map_err(|what| RepoError::TooLarge { what: what.to_string() })?;
    Ok(entries.iter().flat_map(codec::encode).collect())
}

/// The entries in a list's bytes.
pub(crate) fn decode_entries(bytes: &[u8]) -> Result<Vec<Entry>, &'static str> {
    let mut entries: Vec<Entry> = Vec::new();
    codec::decode_each(bytes, |entry: Entry| {
        check_entry(&entry)?;
        if entries.len() >= MOST_ENTRIES {
            return Err("the number of entries");
        }
        if entries.last().is_some_and(|last| last.path >= entry.path) {
            return Err("a path that occurs twice");
        }
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

fn check_entries(entries: &[Entry]) -> Result<(), &'static str> {
    if entries.len() > MOST_ENTRIES {
        return Err("the number of entries");
    }
    entries.iter().try_for_each(check_entry)?;
    if entries.iter().zip(entries.iter().skip(1)).any(|(a, b)| a.path >= b.path) {
        return Err("a path that occurs twice");
    }
    Ok(())
}

fn check_entry(entry: &Entry) -> Result<(), &'static str> {
    if entry.path.is_empty() || entry.path.len() > LONGEST_PATH {
        return Err("the length of an entry's path");
    }
    if entry.about.len() > LONGEST_ABOUT {
        return Err("the length of an entry's facts");
    }
    let raw = entry.parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.bytes_raw()));
    if raw.is_none_or(|raw| raw > LONGEST_ENTRY) {
        return Err("the length of an entry's content");
    }
    Ok(())
}
