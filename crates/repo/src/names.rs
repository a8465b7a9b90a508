//! What the names of our objects look like, by folder (FORMAT.md, "Objects and names").
//!
//! File servers, desktops and tools that synchronise folders leave files of their own next to ours:
//! `desktop.ini`, `….bak`, conflicts. What does not look like an object of its folder is none:
//! nobody reads it, counts it or deletes it. Every list that this crate works with is made here.

use std::collections::BTreeSet;

use pgark_store::{ObjectMeta, Storage, StoreError};

use crate::RepoError;
use crate::at_once::each;
use crate::ids::{BackupId, Compartment, ObjectHash, unhex};
use crate::index::object as index_object;
use crate::pack;
use crate::rights::Scope;
use crate::secrets::{HEADERS, Keys};
use crate::wal::name as wal_name;

/// Where manifests are, and the second copy of each, byte for byte.
pub(crate) const MANIFESTS: &str = "manifests/";
pub(crate) const MANIFEST_COPIES: &str = "copies/manifests/";

type Folder = (&'static str, fn(&str) -> bool);

/// Every folder, and what an object's full name must be there.
const FOLDERS: [Folder; 19] = [
    ("keys/", |name| is_slot(name, "keys/")),
    ("keys-copy/", |name| is_slot(name, "keys-copy/")),
    ("packs/", |name| pack::parse_name(name).is_some()),
    ("index/", |name| index_object::parse_name(name).is_some()),
    ("sessions/", |name| session(name).is_some()),
    ("drafts/", |name| draft(name).is_some()),
    ("manifests/", |name| ManifestName::parse_below(MANIFESTS, name).is_some()),
    ("forgotten/", |name| ManifestName::parse_below("forgotten/", name).is_some()),
    ("copies/manifests/", |name| ManifestName::parse_below(MANIFEST_COPIES, name).is_some()),
    ("copies/writers/", |name| writers("copies/writers/", name).is_some()),
    ("copies/tags/", |name| TagsName::parse_below("copies/tags/", name).is_some()),
    ("trash/clock/", |name| name.strip_prefix("trash/clock/").is_some_and(is_id)),
    ("trash/", |name| trash(name).is_some()),
    ("probe/", |name| {
        let inside = name.strip_prefix("probe/").and_then(|rest| rest.split_once('/'));
        inside.is_some_and(|(id, _)| is_id(id))
    }),
    ("tags/", |name| TagsName::parse_below("tags/", name).is_some()),
    ("quarantine/", |name| quarantine(name).is_some()),
    ("writers/", |name| writers("writers/", name).is_some()),
    (wal_name::SYSTEMS, wal_name::is_system),
    (wal_name::FOLDER, wal_name::is_wal),
];

/// Folders whose objects each belong to a cluster or a compartment.
pub(crate) const OF_COMPARTMENTS: [&str; 8] =
    ["packs/", "index/", "sessions/", "drafts/", "trash/", "quarantine/", MANIFESTS, MANIFEST_COPIES];

/// Those of them that say what backups hold: what lies in others alone is of no backup.
pub(crate) const OF_BACKUPS: [&str; 3] = ["index/", MANIFESTS, MANIFEST_COPIES];

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
    for folder in MANY {
        found.extend(list(store, folder)?);
    }
    Ok(found)
}

/// Folders that may have very many objects.
const MANY: [&str; 2] = ["packs/", wal_name::FOLDER];

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
        .filter(|folder| *folder != "trash/clock/" && !MANY.contains(folder))
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

/// What file systems and snapshots of storages leave at the top of a folder.
const OF_FILE_SYSTEMS: [&str; 4] = ["lost+found/", ".snapshot/", ".snapshots/", ".zfs/"];

/// What lies at the top of a storage and is no part of a repository, nor the file system's own.
pub fn others_at_top(store: &Storage) -> Result<Vec<String>, StoreError> {
    let is_top_of_ours =
        |name: &str| HEADERS.contains(&name) || FOLDERS.iter().any(|(folder, _)| folder.starts_with(name));
    let mut found = store.top()?;
    found.retain(|name| !is_top_of_ours(name) && !OF_FILE_SYSTEMS.contains(&name.as_str()));
    Ok(found)
}

/// Refuses a repository with a folder at the top that this version does not know and that may be of
/// a later one: what lies there may need packs of which nobody else here knows. Folders of ours are
/// called by small letters, digits and `-`; others, and files, are someone else's.
///
/// # Errors
/// [`RepoError::UnknownFolders`].
pub(crate) fn refuse_unknown_folders(store: &Storage) -> Result<(), RepoError> {
    let known: BTreeSet<&str> =
        FOLDERS.iter().filter_map(|(folder, _)| folder.split_once('/')).map(|(top, _)| top).collect();
    let known: Vec<&str> = known.into_iter().collect();
    let is_like_ours = |folder: &String| {
        folder.bytes().all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == b'-')
    };
    let unknown: Vec<String> = store.other_folders(&known)?.into_iter().filter(is_like_ours).collect();
    match unknown.is_empty() {
        true => Ok(()),
        false => Err(RepoError::UnknownFolders { location: store.location(), folders: unknown.join(", ") }),
    }
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

/// The compartment that a name's second part says, and what follows it.
pub(crate) fn in_compartment<'n>(folder: &str, name: &'n str) -> Option<(Compartment, &'n str)> {
    let (compartment, rest) = name.strip_prefix(folder)?.split_once('/')?;
    Some((Compartment::parse(compartment)?, rest))
}

/// Where a signed object of this name is to be good; none of what is signed by the owner alone.
pub(crate) fn scope(name: &str) -> Option<Scope<'_>> {
    let path = name.strip_prefix("copies/").unwrap_or(name);
    let (folder, rest) = path.split_once('/')?;
    let of = rest.split('/').next()?;
    match folder {
        "manifests" | "forgotten" | "tags" | "wal" | "systems" => Some(Scope::Cluster(of)),
        "writers" => None,
        _ => Compartment::parse(of).map(Scope::Compartment),
    }
}

/// Whether an object is of nobody else: the keys at hand open what is in its cluster or
/// compartment, or everybody's do.
pub(crate) fn is_own(keys: &Keys, name: &str) -> bool {
    match scope(name) {
        Some(Scope::Cluster(cluster)) => keys.compartment_of(cluster).is_some(),
        Some(Scope::Compartment(compartment)) => keys.opens(compartment),
        None => true,
    }
}

/// Of which backup a session object is, and its number.
pub(crate) fn session(name: &str) -> Option<(Compartment, BackupId, u64)> {
    let (compartment, rest) = in_compartment("sessions/", name)?;
    let (id, file) = rest.split_once('/')?;
    Some((compartment, BackupId(unhex(id)?), number(file, 8)?))
}

/// Of which backup a draft is.
pub(crate) fn draft(name: &str) -> Option<(Compartment, BackupId)> {
    let (compartment, id) = in_compartment("drafts/", name)?;
    Some((compartment, BackupId(unhex(id)?)))
}

/// The number of an owner's list of writers below this folder.
pub(crate) fn writers(folder: &str, name: &str) -> Option<u64> {
    number(name.strip_prefix(folder)?, 8)
}

/// Of which pack a record of the quarantine is.
pub(crate) fn quarantine(name: &str) -> Option<(Compartment, ObjectHash)> {
    let (compartment, rest) = in_compartment("quarantine/", name)?;
    let (pack, file) = rest.split_once('/')?;
    is_id(file).then_some((compartment, ObjectHash::from_array(unhex(pack)?)))
}

/// Whose list in the trash it is, and whether it is one of intents.
pub(crate) fn trash(name: &str) -> Option<(Compartment, &str, bool)> {
    let (compartment, rest) = in_compartment("trash/", name)?;
    let (pruner, kind) = rest.rsplit_once('.')?;
    let intents = match kind {
        "marks" => false,
        "intents" => true,
        _ => return None,
    };
    is_id(pruner).then_some((compartment, pruner, intents))
}

/// Which manifests, or tombstones.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'w> {
    /// All that the keys at hand open.
    All,
    /// Of the cluster of this hash.
    Cluster(&'w str),
    /// The same, from this sequence on.
    Since(&'w str, u64),
    /// Of all clusters of a compartment.
    Compartment(Compartment),
}

impl Which<'_> {
    /// Lists their names below a folder that has one for each cluster.
    pub(crate) fn list(&self, store: &Storage, base: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        match self {
            Which::All | Which::Compartment(_) => store.list(base),
            Which::Cluster(cluster) => store.list(&format!("{base}{cluster}/")),
            Which::Since(cluster, sequence) => {
                let folder = format!("{base}{cluster}/");
                // A name goes on behind its sequence, and so is greater.
                store.list_after(&folder, &format!("{folder}{sequence:016}"))
            }
        }
    }
}

/// What the name of tags says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TagsName {
    pub cluster: String,
    pub id: BackupId,
    pub number: u64,
}

impl TagsName {
    pub(crate) fn below(&self, folder: &str) -> String {
        format!("{folder}{}/{}/{:08}", self.cluster, self.id, self.number)
    }

    pub(crate) fn parse_below(folder: &str, name: &str) -> Option<TagsName> {
        let mut parts = name.strip_prefix(folder)?.split('/');
        let (cluster, id, file) = (parts.next()?, parts.next()?, parts.next()?);
        unhex::<16>(cluster)?;
        let name = TagsName { cluster: cluster.into(), id: BackupId(unhex(id)?), number: number(file, 8)? };
        parts.next().is_none().then_some(name)
    }
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
            format!("packs/{cluster}/0a/{hash}"),
            format!("index/{cluster}/{hash}"),
            format!("sessions/{cluster}/{id}/00000000"),
            format!("drafts/{cluster}/{id}"),
            format!("manifests/{manifest}"),
            format!("copies/manifests/{manifest}"),
            format!("forgotten/{manifest}"),
            format!("trash/{cluster}/{id}.marks"),
            format!("trash/{cluster}/{id}.intents"),
            format!("trash/clock/{id}"),
            format!("probe/{id}/put/a"),
            format!("tags/{cluster}/{id}/00000001"),
            format!("copies/tags/{cluster}/{id}/00000001"),
            format!("quarantine/{cluster}/{hash}/{id}"),
            "writers/00000001".into(),
            "copies/writers/00000001".into(),
            format!("systems/{cluster}/{id}"),
            format!("wal/{cluster}/{id}/00000001/0000000a/000000010000000a000000fe"),
            format!("wal/{cluster}/{id}/00000002/00000002.history"),
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
            format!("packs/{cluster}/0b/{hash}"),
            format!("packs/0a/{hash}"),
            format!("manifests/short/0000000000000001-{id}"),
            format!("manifests/{cluster}/1-{id}"),
            "writers/1".into(),
            "writers/+0000001".into(),
            format!("trash/{cluster}/{id}.sync-conflict-20260101-101010-abc.marks"),
            format!("trash/{cluster}/{hash}/{id}.marks"),
            format!("quarantine/{cluster}/{hash}/desktop.ini"),
            format!("checks/{id}"),
            format!("systems/{id}/{id}"),
            format!("wal/{cluster}/{id}/00000001/0000000b/000000010000000a000000fe"),
        ];
        other.iter().for_each(|name| assert!(!is_ours(name), "{name}"));
    }
}
