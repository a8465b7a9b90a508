//! What the names of our objects look like, by folder (FORMAT.md, "Objects and names").
//!
//! File servers, desktops and tools that synchronise folders leave files of their own beside ours:
//! `desktop.ini`, `….bak`, conflicts. What does not look like an object of its folder is none:
//! nobody reads it, counts it or deletes it. Every list that this crate works with is made here.

use pgark_store::{ObjectMeta, Storage, StoreError};

use crate::at_once::each;
use crate::ids::{BackupId, ObjectHash, unhex};
use crate::secrets::HEADERS;
use crate::{index, pack};

/// Where manifests are, and the second copy of each, byte for byte.
pub(crate) const MANIFESTS: &str = "manifests/";
pub(crate) const MANIFEST_COPIES: &str = "copies/manifests/";

type Folder = (&'static str, fn(&str) -> bool);

/// Every folder, and what an object's full name must be there.
const FOLDERS: [Folder; 17] = [
    ("keys/", |name| is_slot(name, "keys/")),
    ("keys-copy/", |name| is_slot(name, "keys-copy/")),
    ("packs/", |name| pack::parse_name(name).is_some()),
    ("index/", |name| index::object::parse_name(name).is_some()),
    ("sessions/", |name| session(name).is_some()),
    ("drafts/", |name| draft(name).is_some()),
    ("manifests/", |name| ManifestName::parse_below(MANIFESTS, name).is_some()),
    ("forgotten/", |name| ManifestName::parse_below("forgotten/", name).is_some()),
    ("copies/manifests/", |name| ManifestName::parse_below(MANIFEST_COPIES, name).is_some()),
    ("copies/writers/", |name| writers("copies/writers/", name).is_some()),
    ("copies/tags/", |name| tags("copies/tags/", name).is_some()),
    ("trash/clock/", |name| name.strip_prefix("trash/clock/").is_some_and(is_id)),
    ("trash/", |name| mark(name).is_some()),
    ("probe/", |name| {
        let inside = name.strip_prefix("probe/").and_then(|rest| rest.split_once('/'));
        inside.is_some_and(|(id, _)| is_id(id))
    }),
    ("tags/", |name| tags("tags/", name).is_some()),
    ("quarantine/", |name| quarantine(name).is_some()),
    ("writers/", |name| writers("writers/", name).is_some()),
];

/// Whether it is the name of an object of a repository.
pub(crate) fn is_ours(name: &str) -> bool {
    let folder = FOLDERS.iter().find(|(folder, _)| name.starts_with(folder));
    match folder {
        Some((_, is_ours)) => is_ours(name),
        None => HEADERS.contains(&name),
    }
}

/// Our objects below a folder.
pub(crate) fn list(store: &Storage, folder: &str) -> Result<Vec<ObjectMeta>, StoreError> {
    let mut listed = store.list(folder)?;
    listed.retain(|meta| is_ours(&meta.name));
    Ok(listed)
}

/// All our objects. Folders of others are not looked into.
pub(crate) fn list_all(store: &Storage) -> Result<Vec<ObjectMeta>, StoreError> {
    let mut found = list_all_but_packs(store)?;
    found.extend(list(store, "packs/")?);
    Ok(found)
}

/// The same without what may be very many.
pub(crate) fn list_all_but_packs(store: &Storage) -> Result<Vec<ObjectMeta>, StoreError> {
    let mut found = Vec::new();
    for name in HEADERS {
        match store.stat(name) {
            Ok(meta) => found.push(meta),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    // `trash/` holds the folder of clocks.
    let folders: Vec<&str> = FOLDERS
        .iter()
        .map(|(folder, _)| *folder)
        .filter(|folder| !["trash/clock/", "packs/"].contains(folder))
        .collect();
    for listed in each(&folders, |folder| list(store, folder)) {
        found.extend(listed?);
    }
    Ok(found)
}

/// What lies in the storage and is none of ours.
pub(crate) fn foreign(store: &Storage) -> Result<Vec<String>, StoreError> {
    let mut found = store.foreign()?;
    found.extend(store.list("")?.into_iter().map(|meta| meta.name).filter(|name| !is_ours(name)));
    found.sort();
    found.dedup();
    Ok(found)
}

fn is_id(text: &str) -> bool {
    unhex::<8>(text).is_some()
}

fn is_slot(name: &str, folder: &str) -> bool {
    let id = name.strip_prefix(folder).and_then(|file| file.strip_prefix("1-")?.strip_suffix(".age"));
    id.is_some_and(is_id)
}

/// A number of exactly so many digits.
pub(crate) fn number(text: &str, digits: usize) -> Option<u64> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| fits)
}

/// Of which backup a session object is, and its number.
pub(crate) fn session(name: &str) -> Option<(BackupId, u64)> {
    let (id, file) = name.strip_prefix("sessions/")?.split_once('/')?;
    Some((BackupId(unhex(id)?), number(file, 8)?))
}

/// Of which backup a draft is.
pub(crate) fn draft(name: &str) -> Option<BackupId> {
    Some(BackupId(unhex(name.strip_prefix("drafts/")?)?))
}

/// The number of an owner's list of writers below this folder.
pub(crate) fn writers(folder: &str, name: &str) -> Option<u64> {
    number(name.strip_prefix(folder)?, 8)
}

/// Of which backup tags below this folder are, and their number.
pub(crate) fn tags(folder: &str, name: &str) -> Option<(BackupId, u64)> {
    let (id, file) = name.strip_prefix(folder)?.split_once('/')?;
    Some((BackupId(unhex(id)?), number(file, 8)?))
}

/// Of which pack a record of the quarantine is.
pub(crate) fn quarantine(name: &str) -> Option<ObjectHash> {
    let (pack, file) = name.strip_prefix("quarantine/")?.split_once('/')?;
    is_id(file).then_some(ObjectHash::from_array(unhex(pack)?))
}

/// Of which pack a mark or intent is, whose, and whether it is an intent.
pub(crate) fn mark(name: &str) -> Option<(ObjectHash, &str, bool)> {
    let (pack, file) = name.strip_prefix("trash/")?.split_once('/')?;
    let (pruner, kind) = file.rsplit_once('.')?;
    let intent = match kind {
        "mark" => false,
        "intent" => true,
        _ => return None,
    };
    is_id(pruner).then_some((ObjectHash::from_array(unhex(pack)?), pruner, intent))
}

/// The largest number of a backup. Names have room for more: nobody gets near it by counting, and
/// who writes a name with a larger one wants the numbers to end.
pub(crate) const LARGEST_SEQUENCE: u64 = 999_999_999_999;

/// What a manifest's name says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ManifestName {
    pub cluster: String,
    pub sequence: u64,
    pub id: BackupId,
}

impl ManifestName {
    pub(crate) fn name(&self) -> String {
        self.below(MANIFESTS)
    }

    pub(crate) fn copy(&self) -> String {
        format!("copies/{}", self.name())
    }

    /// The same cluster, sequence and id below another folder.
    pub(crate) fn below(&self, folder: &str) -> String {
        format!("{folder}{}/{:016}-{}", self.cluster, self.sequence, self.id)
    }

    pub(crate) fn parse(name: &str) -> Option<ManifestName> {
        ManifestName::parse_below(MANIFESTS, name)
            .or_else(|| ManifestName::parse_below(MANIFEST_COPIES, name))
    }

    pub(crate) fn parse_below(folder: &str, name: &str) -> Option<ManifestName> {
        let (cluster, file) = name.strip_prefix(folder)?.split_once('/')?;
        let (sequence, id) = file.split_once('-')?;
        unhex::<16>(cluster)?;
        let sequence = number(sequence, 16).filter(|sequence| *sequence <= LARGEST_SEQUENCE)?;
        Some(ManifestName { cluster: cluster.to_string(), sequence, id: BackupId(unhex(id)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn what_is_ours_and_what_is_not() {
        let (hash, id) = ("0a".repeat(32), "0123456789abcdef");
        let cluster = "5b".repeat(16);
        let manifest = format!("{cluster}/0000000000000001-{id}");
        let ours = [
            "pgark.json".to_string(),
            "pgark.json.copy".into(),
            format!("keys/1-{id}.age"),
            format!("keys-copy/1-{id}.age"),
            format!("packs/0a/{hash}"),
            format!("index/{hash}"),
            format!("sessions/{id}/00000000"),
            format!("drafts/{id}"),
            format!("manifests/{manifest}"),
            format!("copies/manifests/{manifest}"),
            format!("forgotten/{manifest}"),
            format!("trash/{hash}/{id}.mark"),
            format!("trash/{hash}/{id}.intent"),
            format!("trash/clock/{id}"),
            format!("probe/{id}/put/a"),
            format!("tags/{id}/00000001"),
            format!("copies/tags/{id}/00000001"),
            format!("quarantine/{hash}/{id}"),
            "writers/00000001".into(),
            "copies/writers/00000001".into(),
        ];
        for name in &ours {
            assert!(is_ours(name), "{name}");
            for litter in [format!("{name}.bak"), format!("{name}~1"), format!("{name}/desktop.ini")] {
                // Everything below a probe's folder is of that probe.
                assert!(!is_ours(&litter) || name.starts_with("probe/"), "{litter}");
            }
            let (folder, _) = name.rsplit_once('/').unwrap_or(("", ""));
            for litter in
                ["desktop.ini", "x", "ehthumbs.db", "0123456789abcdef.sync-conflict-20260101-101010-abc"]
            {
                let litter = format!("{folder}/{litter}");
                assert!(!is_ours(&litter) || name.starts_with("probe/"), "{litter}");
            }
        }
        let other = [
            format!("packs/0b/{hash}"),
            format!("manifests/short/0000000000000001-{id}"),
            format!("manifests/{cluster}/1-{id}"),
            "writers/1".into(),
            "writers/+0000001".into(),
            format!("trash/{hash}/{id}.sync-conflict-20260101-101010-abc.mark"),
            format!("quarantine/{hash}/desktop.ini"),
            format!("checks/{id}"),
        ];
        other.iter().for_each(|name| assert!(!is_ours(name), "{name}"));
    }
}
