//! Manifests: one signed object per backup, chained per cluster (FORMAT.md, "Manifests").

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use pgark_store::ObjectMeta;

use crate::at_once::{both, each};
use crate::forget::{self, Forgotten};
use crate::ids::{BackupId, Hash, ObjectHash, unhex};
use crate::manifest_cache::ManifestCache;
use crate::map::Part;
use crate::object::{self, Kind, damaged};
use crate::repository::Repository;
use crate::stream::{Class, StreamRef};
use crate::{RepoError, codec, names, signed};

const FOLDER: &str = "manifests/";
/// Where the second copy of each manifest is, byte for byte.
const COPIES: &str = "copies/manifests/";
const LARGEST: u64 = 64 << 20;
pub(crate) const MOST_ENTRIES: usize = 64 << 20;
pub(crate) const LONGEST_PATH: usize = 4096;
pub(crate) const LONGEST_ABOUT: usize = 16 << 20;
/// Raw bytes of an entry: 1 PiB, far above the largest table. A tree that repeats one chunk may
/// claim any length.
pub(crate) const LONGEST_ENTRY: u64 = 1 << 50;

/// One committed backup, without its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupHead {
    /// Its name.
    pub id: BackupId,
    /// When it was committed, by the writer's clock.
    pub time: Timestamp,
    /// When the storage took it, by the storage's clock; None where the storage was not asked or
    /// does not know.
    pub stored: Option<Timestamp>,
    /// Of which cluster, as the writer was told.
    pub cluster: String,
    /// What kind of backup, in its maker's terms.
    pub kind: String,
    /// Whether everything that was asked for is in it.
    pub complete: bool,
    /// Its number among the backups of its cluster.
    pub sequence: u64,
    /// All bytes that this backup put to the storage: packs, index, session, draft and both copies
    /// of the manifest.
    pub bytes_added: u64,
    /// How many entries it has.
    pub entries: u64,
    /// Its maker's own facts.
    pub about: Vec<u8>,
}

/// A writer's clock may be ahead of the storage's by so much before its times are disbelieved.
const MOST_AHEAD: SignedDuration = SignedDuration::from_hours(1);

impl BackupHead {
    /// Whether its time lies ahead of the storage's clock by more than an hour: the writer's clock
    /// was wrong.
    pub fn is_ahead(&self) -> bool {
        is_ahead(self.time, self.stored)
    }

    /// When it was made, as far as that is known: its time, or where that is ahead of the storage's
    /// clock, when it was stored.
    pub fn moment(&self) -> Timestamp {
        moment(self.time, self.stored)
    }
}

fn is_ahead(time: Timestamp, stored: Option<Timestamp>) -> bool {
    stored.is_some_and(|stored| time.duration_since(stored) > MOST_AHEAD)
}

fn moment(time: Timestamp, stored: Option<Timestamp>) -> Timestamp {
    stored.filter(|_| is_ahead(time, stored)).unwrap_or(time)
}

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

/// The manifest before this one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Previous {
    #[n(0)]
    pub sequence: u64,
    #[n(1)]
    pub id: ByteArray<8>,
    /// BLAKE3 of that manifest's bytes.
    #[n(2)]
    pub hash: ObjectHash,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Body {
    #[n(0)]
    pub id: ByteArray<8>,
    /// Microseconds since 1970.
    #[n(1)]
    pub time: i64,
    #[n(2)]
    pub cluster: String,
    #[n(3)]
    pub kind: String,
    #[n(4)]
    pub complete: bool,
    #[n(5)]
    pub sequence: u64,
    #[n(6)]
    pub previous: Option<Previous>,
    /// The list of entries: a metadata stream of CBOR records, sorted by path.
    #[n(7)]
    pub entries: StreamRef,
    #[n(8)]
    pub entry_count: u64,
    #[n(9)]
    pub bytes_added: u64,
    #[n(10)]
    #[cbor(with = "minicbor::bytes")]
    pub about: Vec<u8>,
}

/// What a manifest's name says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ManifestName {
    pub cluster: String,
    pub sequence: u64,
    pub id: BackupId,
}

impl ManifestName {
    pub(crate) fn name(&self) -> String {
        self.below(FOLDER)
    }

    pub(crate) fn copy(&self) -> String {
        format!("copies/{}", self.name())
    }

    /// The same cluster, sequence and id below another folder.
    pub(crate) fn below(&self, folder: &str) -> String {
        format!("{folder}{}/{:016}-{}", self.cluster, self.sequence, self.id)
    }

    pub(crate) fn parse(name: &str) -> Option<ManifestName> {
        ManifestName::parse_below(FOLDER, name).or_else(|| ManifestName::parse_below(COPIES, name))
    }

    pub(crate) fn parse_below(folder: &str, name: &str) -> Option<ManifestName> {
        let (cluster, file) = name.strip_prefix(folder)?.split_once('/')?;
        let (sequence, id) = file.split_once('-')?;
        unhex::<16>(cluster)?;
        let sequence = names::number(sequence, 16)?;
        Some(ManifestName { cluster: cluster.to_string(), sequence, id: BackupId(unhex(id)?) })
    }
}

/// A manifest that was verified.
pub(crate) struct Manifest {
    /// Why its writer's word does not count; then it is not listed, and prune keeps what it needs.
    pub distrust: Option<String>,
    /// Public key of who signed it.
    pub signer: Vec<u8>,
    pub name: ManifestName,
    pub hash: ObjectHash,
    pub body: Body,
    /// When the storage took it, by its clock; None where that was not asked.
    pub stored: Option<Timestamp>,
}

impl Manifest {
    fn time(&self) -> Timestamp {
        Timestamp::from_microsecond(self.body.time).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// [`BackupHead::moment`].
    pub(crate) fn moment(&self) -> Timestamp {
        moment(self.time(), self.stored)
    }

    pub(crate) fn head(&self) -> BackupHead {
        let body = &self.body;
        BackupHead {
            id: self.name.id,
            time: self.time(),
            stored: self.stored,
            cluster: body.cluster.clone(),
            kind: body.kind.clone(),
            complete: body.complete,
            sequence: body.sequence,
            bytes_added: body.bytes_added,
            entries: body.entry_count,
            about: body.about.clone(),
        }
    }
}

/// The bytes of a manifest.
pub(crate) fn encode(
    repository: &Repository,
    name: &ManifestName,
    body: &Body,
) -> Result<Vec<u8>, RepoError> {
    signed::seal(repository, Kind::Manifest, &name.name(), codec::encode(body))
}

/// Opens and verifies the bytes that stood under `object` as the manifest `name`.
pub(crate) fn decode(
    repository: &Repository,
    name: ManifestName,
    object: &str,
    bytes: &[u8],
) -> Result<Manifest, RepoError> {
    let wrong = |what: &str| damaged(object, what);
    if bytes.len() as u64 > LARGEST {
        return Err(wrong("it is too large"));
    }
    let opened = signed::open_any(&repository.keys, Kind::Manifest, &name.name(), object, bytes)?;
    let body: Body = codec::decode(&opened.body).map_err(wrong)?;
    let hash = Hash::of(bytes);
    let distrust = repository.judge(&opened.signer, Some((&body.cluster, &hash))).err();
    let id: [u8; 8] = body.id.into();
    let same = id == name.id.0
        && body.sequence == name.sequence
        && repository.keys.cluster_hash(&body.cluster) == name.cluster;
    if body.about.len() > LONGEST_ABOUT || body.kind.len() > 256 || body.cluster.len() > 1024 {
        return Err(wrong("its facts are longer than any manifest's"));
    }
    if !same || Timestamp::from_microsecond(body.time).is_err() {
        return Err(wrong("its name and its content differ"));
    }
    Ok(Manifest { distrust, signer: opened.signer, name, hash, body, stored: None })
}

/// Names of the manifests of a cluster (`""`: of all), whether the first or the second copy is
/// there, without those that were forgotten.
pub(crate) fn list(repository: &Repository, cluster: &str) -> Result<BTreeSet<ManifestName>, RepoError> {
    Ok(list_both(repository, cluster)?.0)
}

/// [`list`], and the names of all tombstones.
pub(crate) fn list_both(
    repository: &Repository,
    cluster: &str,
) -> Result<(BTreeSet<ManifestName>, BTreeSet<ManifestName>), RepoError> {
    let (names, forgotten) = list_timed(repository, cluster)?;
    Ok((names.into_keys().collect(), forgotten))
}

/// Names of manifests, and when the storage took each, as far as it knows.
pub(crate) type Timed = BTreeMap<ManifestName, Option<Timestamp>>;

/// [`list_both`], with the storage's times.
pub(crate) fn list_timed(
    repository: &Repository,
    cluster: &str,
) -> Result<(Timed, BTreeSet<ManifestName>), RepoError> {
    let (names, forgotten) = both(|| list_all(repository, cluster), || forget::list(repository, cluster));
    let (mut names, forgotten) = (names?, forgotten?);
    for name in &forgotten {
        // A tombstone with its manifest is what a crash left, or a replayed manifest; only a true
        // one counts.
        if names.contains_key(name) {
            match forget::read(repository, name) {
                Ok(None) => {}
                Ok(Some(tombstone)) if tombstone.trusted => drop(names.remove(name)),
                Ok(Some(_)) => tracing::warn!("a tombstone of a writer that was revoked is passed over"),
                Err(error) => tracing::warn!("a tombstone is passed over: {error}"),
            }
        }
    }
    Ok((names, forgotten))
}

/// [`list_timed`], and those that were forgotten and are still there.
pub(crate) fn list_all(repository: &Repository, cluster: &str) -> Result<Timed, RepoError> {
    let folder = |base: &str| if cluster.is_empty() { base.to_string() } else { format!("{base}{cluster}/") };
    let one = |base: &str| repository.store.list(&folder(base));
    let (copies, first) = both(|| one(COPIES), || one(FOLDER));
    let (copies, first) = (copies?, first?);
    let mut names = Timed::new();
    for meta in copies.iter().chain(&first) {
        let Some(name) = ManifestName::parse(&meta.name) else { continue };
        let time = names.entry(name).or_default();
        // A copy that was put again later says less.
        *time = (*time).into_iter().chain(stored(meta)).min();
    }
    Ok(names)
}

/// When an object was put. A storage that keeps no times says 1970.
pub(crate) fn stored(meta: &ObjectMeta) -> Option<Timestamp> {
    Timestamp::try_from(meta.modified).ok().filter(|time| *time > Timestamp::UNIX_EPOCH)
}

/// Reads a manifest; where its first copy is damaged or gone, the second. What was wrong with a
/// copy goes to `wrong`.
pub(crate) fn read(
    repository: &Repository,
    name: &ManifestName,
    mut wrong: impl FnMut(RepoError),
) -> Result<Manifest, RepoError> {
    // A newer version or epoch is passed over, too: a single flipped bit looks like one, and then
    // the other copy is as it was.
    let first = match read_one(repository, name, &name.name()) {
        Err(error) if error.is_of_object() => error,
        other => return other,
    };
    match read_one(repository, name, &name.copy()) {
        Ok(manifest) => {
            wrong(first);
            Ok(manifest)
        }
        // Of two errors the one that says more.
        Err(second) if !second.is_of_object() || matches!(first, RepoError::Missing { .. }) => Err(second),
        Err(_) => Err(first),
    }
}

/// Reads one copy.
pub(crate) fn read_one(
    repository: &Repository,
    name: &ManifestName,
    object: &str,
) -> Result<Manifest, RepoError> {
    let bytes = object::get(&repository.store, object)?;
    decode(repository, name.clone(), object, &bytes)
}

/// What has a manifest's name and cannot be read as one, in either copy.
pub(crate) struct SetAside {
    pub name: ManifestName,
    pub error: RepoError,
}

/// All manifests, oldest first; and those that cannot be read.
#[derive(Default)]
pub(crate) struct All {
    pub good: Vec<Manifest>,
    pub set_aside: Vec<SetAside>,
}

impl All {
    /// Those that can be read; a warning names each of the others, once in the life of this
    /// process.
    pub(crate) fn warned(self, repository: &Repository) -> Vec<Manifest> {
        for aside in &self.set_aside {
            repository.warn_once(format!(
                "backup {} is set aside: {}; `pgark check` says more, `pgark forget {}` lets go of it",
                aside.name.id, aside.error, aside.name.id
            ));
        }
        self.good
    }
}

/// All manifests.
pub(crate) fn read_all(repository: &Repository) -> Result<All, RepoError> {
    let mut all = All::default();
    let (names, _) = list_timed(repository, "")?;
    let mut cache = ManifestCache::open(repository);
    let mut unknown = Vec::new();
    for name in names.keys() {
        match cache.get(repository, name) {
            Some(known) => all.good.push(known),
            None => unknown.push(name),
        }
    }
    let warn = |error: RepoError| repository.warn_once(format!("{error}; the second copy is used"));
    for (name, manifest) in unknown.iter().zip(each(&unknown, |name| read(repository, name, warn))) {
        match manifest {
            Ok(manifest) => {
                cache.put(&manifest);
                all.good.push(manifest);
            }
            // Forgotten since the list was made.
            Err(error) if error.is_of_object() && is_gone(repository, name)? => {}
            Err(error) if error.is_of_object() => {
                all.set_aside.push(SetAside { name: (*name).clone(), error });
            }
            Err(error) => return Err(error),
        }
    }
    cache.keep(names.keys());
    for manifest in &mut all.good {
        manifest.stored = names.get(&manifest.name).copied().flatten();
    }
    all.good.sort_by_key(|manifest| (manifest.moment(), manifest.body.sequence, manifest.name.id));
    Ok(all)
}

/// Whether a manifest that was listed has been forgotten meanwhile, or is in no list any more.
pub(crate) fn is_gone(repository: &Repository, name: &ManifestName) -> Result<bool, RepoError> {
    if matches!(forget::read(repository, name), Ok(Some(tombstone)) if tombstone.trusted) {
        return Ok(true);
    }
    Ok(!list_all(repository, &name.cluster)?.contains_key(name))
}

/// Why something that has a manifest's name is provably none: each of its copies is, byte for byte,
/// another manifest of this repository, and no manifest names it as the one before. What is damaged
/// in any other way may have been a manifest.
pub(crate) fn why_nobodys(
    repository: &Repository,
    name: &ManifestName,
    good: &[Manifest],
) -> Result<Option<String>, RepoError> {
    let is_named = good.iter().any(|manifest| {
        let previous = manifest.body.previous.as_ref();
        manifest.name.cluster == name.cluster
            && previous.is_some_and(|own| (own.sequence, own.id.into()) == (name.sequence, name.id.0))
    });
    if is_named {
        return Ok(None);
    }
    let names: Vec<&ManifestName> = good.iter().map(|manifest| &manifest.name).collect();
    why_misnamed(repository, name, &names)
}

/// Why something is the manifest of another backup: one of `names`, or one that was forgotten.
pub(crate) fn why_misnamed(
    repository: &Repository,
    name: &ManifestName,
    names: &[&ManifestName],
) -> Result<Option<String>, RepoError> {
    let forgotten = forget::list(repository, "")?;
    let mut why = None;
    for object in [name.name(), name.copy()] {
        let bytes = match object::get_if_there(&repository.store, &object) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => continue,
            Err(error) if error.is_of_object() => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_of = |other: &&ManifestName| {
            *other != name
                && signed::open_any(&repository.keys, Kind::Manifest, &other.name(), &object, &bytes).is_ok()
        };
        match names.iter().copied().chain(&forgotten).find(is_of) {
            Some(other) => {
                why = Some(format!("it is the manifest of backup {}, under another name", other.id))
            }
            None => return Ok(None),
        }
    }
    Ok(why)
}

/// What is wrong with the chain of these manifests: a predecessor that is gone or another.
///
/// One that was forgotten is not missing: `forgotten` says what hash its tombstone gives, if it has
/// one.
pub(crate) fn check_chain(
    manifests: &[Manifest],
    mut forgotten: impl FnMut(&ManifestName) -> Option<Forgotten>,
) -> Vec<(BackupId, String, String)> {
    let known: BTreeMap<(&str, u64, BackupId), &Manifest> = manifests
        .iter()
        .map(|manifest| {
            ((manifest.name.cluster.as_str(), manifest.name.sequence, manifest.name.id), manifest)
        })
        .collect();
    let mut problems = Vec::new();
    for manifest in manifests {
        let Some(previous) = &manifest.body.previous else { continue };
        let cluster = manifest.name.cluster.clone();
        let name = ManifestName { cluster, sequence: previous.sequence, id: BackupId(previous.id.into()) };
        match known.get(&(name.cluster.as_str(), name.sequence, name.id)) {
            None if forgotten(&name)
                .is_some_and(|tombstone| tombstone.manifest.is_none_or(|hash| hash == previous.hash)) => {}
            None => problems.push((
                manifest.name.id,
                name.name(),
                format!(
                    "it is missing or damaged, and backup {} names it as the one before",
                    manifest.name.id
                ),
            )),
            Some(found) if found.hash != previous.hash => problems.push((
                manifest.name.id,
                name.name(),
                format!("it is not the one that backup {} names as the one before", manifest.name.id),
            )),
            Some(_) => {}
        }
    }
    problems
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
