//! The keys as the rest of the repository uses them. Every derivation names its purpose (FORMAT.md,
//! "Derivations").

use std::collections::HashMap;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use age::secrecy::SecretString;
use age::secrecy::zeroize::Zeroizing;
use minicbor::bytes::ByteArray;

use super::header::{Header, hex, unhex};
use super::keyring::{Epoch, Keyring, OwnCluster, PLAIN, Roots, SUITE, derived, new_signing_pair};
use super::sealing::{PackKey, hpke_open, hpke_seal, random};
use super::signing::signing_pair;
use super::writer_key;
use crate::RepoError;
use crate::ids::{Compartment, RepositoryId};
use crate::map::items::ItemKeys;

/// An epoch that is further ahead than this is rot.
const MOST_ROTATIONS: u32 = 1000;
const SALT_BYTES: usize = 32;
const ID_KEY: &str = "pgark 2026 compartment id key v0";
const CHUNKER_KEY: &str = "pgark 2026 compartment chunker key v0";
const METADATA_KEY: &str = "pgark 2026 compartment metadata key v0";

/// A key as packs and objects hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// How it is wrapped and what it seals with: 1, or 0 in an unencrypted repository.
    pub suite: u32,
    /// The epoch whose keys open it.
    pub epoch: u32,
    /// Data: HPKE encapsulated key and sealed key. Metadata: the salt. Unencrypted: empty.
    pub bytes: Vec<u8>,
}

/// Whose metadata key opens an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Every holder of any key: the owner's lists.
    Common,
    /// Holders of the keys of a compartment.
    Of(Compartment),
}

/// The keys of a compartment that ids, hashes of items and cuts are made with. They stay the same
/// for its life.
pub(crate) struct CompartmentKeys {
    id_key: Zeroizing<[u8; 32]>,
    chunker_key: Zeroizing<[u8; 32]>,
}

impl CompartmentKeys {
    /// The key of chunk ids: equal bytes of different kind or mask never meet.
    pub(crate) fn chunk_id_key(&self, kind: u8, mask_domain: &[u8]) -> [u8; 32] {
        let mut material = Zeroizing::new(self.id_key.to_vec());
        material.push(kind);
        material.extend_from_slice(mask_domain);
        blake3::derive_key("pgark 2026 chunk id v0", &material)
    }

    /// The keys of the hashes of a map's items.
    pub(crate) fn item_keys(&self, mask_domain: &[u8]) -> ItemKeys {
        let material = Zeroizing::new([self.id_key.as_slice(), mask_domain].concat());
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] =
            blake3::derive_key("pgark 2026 item hash v0", &material);
        ItemKeys {
            items: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p],
            pages: blake3::derive_key("pgark 2026 page hash v0", &material),
        }
    }

    /// The key by which folders of WAL are named after systems.
    pub(crate) fn wal_system_key(&self) -> [u8; 32] {
        blake3::derive_key("pgark 2026 wal system v0", self.id_key.as_slice())
    }

    /// The key of the digests of archived WAL.
    pub(crate) fn wal_digest_key(&self) -> [u8; 32] {
        blake3::derive_key("pgark 2026 wal digest v0", self.id_key.as_slice())
    }

    /// The seed of the chunker's gear table.
    pub(crate) fn chunker_seed(&self) -> u64 {
        let key = blake3::derive_key("pgark 2026 chunker seed v0", self.chunker_key.as_slice());
        let mut seed = [0; 8];
        seed.copy_from_slice(&key[..8]);
        u64::from_le_bytes(seed)
    }
}

/// The open keys of a repository.
pub struct Keys {
    /// The repository.
    pub repository: RepositoryId,
    /// Whether anything is hidden at all.
    pub encrypted: bool,
    /// The epoch that new objects are written under.
    pub epoch: u32,
    fingerprint: String,
    header_hash: [u8; 32],
    first_owner: Vec<u8>,
    /// Clusters that share the keys of another: hashes of both.
    shared: HashMap<[u8; 16], [u8; 16]>,
    keyring: Option<Keyring>,
    /// None in a key of some clusters.
    roots: Option<Roots>,
}

impl Keys {
    /// Of an unencrypted repository: derived from its id, so that anybody can derive them.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn for_fuzzing() -> Keys {
        match Header::new(RepositoryId([0x11; 16]), None, &[]) {
            Ok(header) => Keys::plain(&header),
            Err(error) => unreachable!("{error}"),
        }
    }

    pub(super) fn plain(header: &Header) -> Keys {
        let roots = plain_roots(header.id);
        Keys { keyring: None, roots: Some(roots), epoch: 0, ..Keys::bare(header) }
    }

    /// What the header alone says.
    fn bare(header: &Header) -> Keys {
        let shared = header.shared.iter().filter_map(|group| Some((*group.first()?, group)));
        Keys {
            repository: header.id,
            encrypted: header.encrypted,
            epoch: 0,
            fingerprint: header.fingerprint(),
            header_hash: header.hash(),
            first_owner: header.owner_public.map(|key| key.to_vec()).unwrap_or_default(),
            shared: shared.flat_map(|(first, group)| group.iter().map(move |own| (*own, first))).collect(),
            keyring: None,
            roots: None,
        }
    }

    pub(super) fn of(header: &Header, keyring: Keyring) -> Result<Keys, RepoError> {
        let epoch = keyring.current()?.number;
        if header
            .data_public
            .is_none_or(|public| !keyring.epochs.iter().any(|epoch| epoch.data_public == public))
        {
            return Err(RepoError::Damaged {
                object: super::header::NAME.into(),
                what: "its public key is not the keyring's".into(),
            });
        }
        Ok(Keys { epoch, roots: keyring.roots.clone(), keyring: Some(keyring), ..Keys::bare(header) })
    }

    /// For people to compare.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    /// What tells this host's files for one set of keys from those for another: empty for the keys
    /// of every cluster.
    pub(crate) fn view(&self) -> String {
        if self.roots.is_some() {
            return String::new();
        }
        let mut hasher = blake3::Hasher::new();
        for cluster in self.own_clusters() {
            hasher.update(&cluster.compartment);
        }
        format!("-{}", hex(&hasher.finalize().as_bytes()[..8]))
    }

    fn own_clusters(&self) -> &[OwnCluster] {
        self.keyring.as_ref().map_or(&[], |keyring| &keyring.clusters)
    }

    /// The clusters of a key that is for some only.
    pub(crate) fn clusters(&self) -> Option<Vec<String>> {
        match self.roots {
            Some(_) => None,
            None => Some(self.own_clusters().iter().map(|own| own.name.clone()).collect()),
        }
    }

    fn other_cluster(&self, other: &str) -> RepoError {
        let own: Vec<String> = self.clusters().unwrap_or_default();
        RepoError::OtherCluster { own: own.join(", "), other: other.into() }
    }

    /// The keyed hash under which a cluster's objects are named: 32 hex digits.
    pub fn cluster_hash(&self, cluster: &str) -> Result<String, RepoError> {
        if let Some(roots) = &self.roots {
            return Ok(hex(&cluster_hash(roots, cluster)));
        }
        let own = self.own_clusters().iter().find(|own| own.name == cluster);
        own.map(|own| hex(&own.hash)).ok_or_else(|| self.other_cluster(&format!("cluster {cluster}")))
    }

    /// The compartment of the cluster of this hash; none if the keys at hand do not open it.
    pub(crate) fn compartment_of(&self, cluster_hash: &str) -> Option<Compartment> {
        let hash: [u8; 16] = unhex(cluster_hash)?;
        if self.roots.is_some() {
            return Some(Compartment(*self.shared.get(&hash).unwrap_or(&hash)));
        }
        self.own_clusters().iter().find(|own| own.hash == hash).map(|own| Compartment(own.compartment))
    }

    /// Whether the keys at hand open what is in a compartment.
    pub(crate) fn opens(&self, compartment: Compartment) -> bool {
        match self.roots {
            // A cluster that shares the keys of another has none of its own.
            Some(_) => self.shared.get(&compartment.0).is_none_or(|first| *first == compartment.0),
            None => self.own_clusters().iter().any(|own| own.compartment == compartment.0),
        }
    }

    /// The keys of ids, hashes and cuts in a compartment.
    pub(crate) fn compartment(&self, compartment: Compartment) -> Result<CompartmentKeys, RepoError> {
        let (id_key, chunker_key) = match &self.roots {
            Some(roots) => {
                (derived(ID_KEY, &roots.ids, compartment), derived(CHUNKER_KEY, &roots.chunker, compartment))
            }
            None => {
                let own = self.own(compartment)?;
                (own.id_key, own.chunker_key)
            }
        };
        Ok(CompartmentKeys { id_key: Zeroizing::new(id_key), chunker_key: Zeroizing::new(chunker_key) })
    }

    fn own(&self, compartment: Compartment) -> Result<&OwnCluster, RepoError> {
        let own = self.own_clusters().iter().find(|own| own.compartment == compartment.0);
        own.ok_or_else(|| self.other_cluster(&format!("compartment {compartment}")))
    }

    /// The key of the sums of a local file, by its purpose: who does not open the repository cannot
    /// write one that counts. Of an unencrypted repository anybody can.
    pub(crate) fn cache_key(&self, purpose: &str) -> [u8; 32] {
        let mut material = Zeroizing::new(Vec::new());
        match &self.roots {
            Some(roots) => material.extend_from_slice(&roots.ids),
            None => self.own_clusters().iter().for_each(|own| material.extend_from_slice(&own.id_key)),
        }
        material.extend_from_slice(purpose.as_bytes());
        blake3::derive_key("pgark 2026 local file v0", &material)
    }

    /// The key that seals local files of a purpose. A nonce of 96 random bits is used once: hosts
    /// write few.
    pub(crate) fn local_file_key(&self, purpose: &str) -> Result<PackKey, RepoError> {
        match self.encrypted {
            true => PackKey::sealed(&self.cache_key(purpose)),
            false => Ok(PackKey::plain()),
        }
    }

    /// A fresh key for a data pack, wrapped to the data public key.
    pub fn new_data_pack_key(&self, key_id: &[u8; 16]) -> Result<(PackKey, WrappedKey), RepoError> {
        let Some(keyring) = &self.keyring else { return Ok(self.plain_key()) };
        let epoch = keyring.current()?;
        let mut key = [0; 32];
        random(&mut key)?;
        let bytes = hpke_seal(&epoch.data_public, &self.info(epoch.number, key_id), &key)?;
        Ok((PackKey::sealed(&key)?, WrappedKey { suite: SUITE, epoch: epoch.number, bytes }))
    }

    /// The key of a data pack; [`RepoError::NeedsReaderSecret`] with a writer's keyring.
    pub fn open_data_pack_key(&self, key_id: &[u8; 16], wrapped: &WrappedKey) -> Result<PackKey, RepoError> {
        if self.keyring.is_none() {
            return self.open_plain(wrapped);
        }
        let epoch = self.epoch_of(wrapped)?;
        let private = epoch.data_private.as_ref().ok_or(RepoError::NeedsReaderSecret)?;
        let key = hpke_open(private, &self.info(epoch.number, key_id), &wrapped.bytes).ok_or_else(bad_key)?;
        PackKey::sealed(key.as_slice().try_into().map_err(|_| bad_key())?)
    }

    /// A fresh key for a metadata object: derived from the room's metadata key and a random salt.
    pub(crate) fn new_metadata_key(&self, room: Room) -> Result<(PackKey, WrappedKey), RepoError> {
        let Some(keyring) = &self.keyring else { return Ok(self.plain_key()) };
        let epoch = keyring.current()?;
        let mut bytes = vec![0; SALT_BYTES];
        random(&mut bytes)?;
        let key = self.metadata_key(epoch, room, &bytes)?;
        Ok((key, WrappedKey { suite: SUITE, epoch: epoch.number, bytes }))
    }

    /// The key of a metadata object.
    pub(crate) fn open_metadata_key(&self, room: Room, wrapped: &WrappedKey) -> Result<PackKey, RepoError> {
        if self.keyring.is_none() {
            return self.open_plain(wrapped);
        }
        let epoch = match room {
            // Another owner may have rotated the keys.
            Room::Common => self.epoch_or_newer(wrapped)?,
            Room::Of(_) => self.epoch_of(wrapped)?,
        };
        if wrapped.bytes.len() != SALT_BYTES {
            return Err(bad_key());
        }
        self.metadata_key(epoch, room, &wrapped.bytes)
    }

    fn metadata_key(&self, epoch: &Epoch, room: Room, salt: &[u8]) -> Result<PackKey, RepoError> {
        let key = Zeroizing::new(match (room, &epoch.metadata) {
            (Room::Common, _) => epoch.common,
            (Room::Of(compartment), Some(root)) => derived(METADATA_KEY, root, compartment),
            (Room::Of(compartment), None) => {
                let epochs = self.keyring.iter().flat_map(|keyring| &keyring.epochs);
                let keys = epochs.zip(&self.own(compartment)?.metadata);
                keys.filter(|(own, _)| own.number == epoch.number)
                    .map(|(_, key)| (*key).into())
                    .next()
                    .ok_or_else(bad_key)?
            }
        });
        let material = Zeroizing::new([key.as_slice(), salt].concat());
        PackKey::sealed(&blake3::derive_key("pgark 2026 metadata object v0", &material))
    }

    /// Signs as this writer. In an unencrypted repository: a digest, which shows damage and no
    /// more.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, RepoError> {
        match self.pair()? {
            Some(pair) => Ok(pair.sign(bytes).as_ref().to_vec()),
            None => Ok(blake3::derive_key("pgark 2026 plain signature v0", bytes).to_vec()),
        }
    }

    /// Whether `signature` over `bytes` is by this public key. Whose key that is, and what it may
    /// sign, is another question.
    pub fn verify(&self, public: &[u8], bytes: &[u8], signature: &[u8]) -> Result<(), RepoError> {
        let wrong =
            || RepoError::Damaged { object: "the signature".into(), what: "it is not of these bytes".into() };
        if self.keyring.is_none() {
            let expected = blake3::derive_key("pgark 2026 plain signature v0", bytes);
            return if signature == expected { Ok(()) } else { Err(wrong()) };
        }
        UnparsedPublicKey::new(&ED25519, public).verify(bytes, signature).map_err(|_| wrong())
    }

    /// The owner's public key as of these keys; a later owner was signed by it. Empty in an
    /// unencrypted repository.
    pub(crate) fn owner_public(&self) -> Vec<u8> {
        self.keyring.as_ref().map(|keyring| keyring.owner_public.to_vec()).unwrap_or_default()
    }

    /// The first owner's public key, which the header binds. Empty in an unencrypted repository.
    pub(crate) fn first_owner(&self) -> &[u8] {
        &self.first_owner
    }

    /// Whether this is the owner's keyring, by which keys are managed.
    pub fn is_owner(&self) -> bool {
        self.encrypted && self.can_read_data()
    }

    /// A new writer's key as text, and its public key. `clusters`: the only ones that it opens.
    pub(crate) fn new_writer(
        &self,
        clusters: Option<&[String]>,
    ) -> Result<(SecretString, Vec<u8>), RepoError> {
        let Some(keyring) = &self.keyring else { return Err(RepoError::NeedsReaderSecret) };
        let own = clusters.map(|names| names.iter().map(|name| self.own_cluster(keyring, name)).collect());
        let own: Option<Vec<OwnCluster>> = own.transpose()?;
        let (seed, public) = new_signing_pair()?;
        let keyring = keyring.for_writer(&seed, own);
        Ok((writer_key::to_text(&self.header_hash, &keyring), public.to_vec()))
    }

    /// What a key of some clusters holds of one.
    fn own_cluster(&self, keyring: &Keyring, name: &str) -> Result<OwnCluster, RepoError> {
        let hash = cluster_hash(self.roots.as_ref().ok_or(RepoError::NeedsReaderSecret)?, name);
        let compartment = Compartment(*self.shared.get(&hash).unwrap_or(&hash));
        let keys = self.compartment(compartment)?;
        let metadata = |epoch: &Epoch| {
            let root = epoch.metadata.as_ref().ok_or(RepoError::NeedsReaderSecret)?;
            Ok(ByteArray::from(derived(METADATA_KEY, root, compartment)))
        };
        Ok(OwnCluster {
            name: name.to_string(),
            hash,
            compartment: compartment.0,
            id_key: *keys.id_key,
            chunker_key: *keys.chunker_key,
            metadata: keyring.epochs.iter().map(metadata).collect::<Result<_, RepoError>>()?,
        })
    }

    /// The keyring as slots hold it; the owner's only.
    pub(crate) fn for_slot(&self) -> Result<Zeroizing<Vec<u8>>, RepoError> {
        match &self.keyring {
            Some(keyring) if self.is_owner() => Ok(keyring.to_bytes(&self.header_hash)),
            _ => Err(RepoError::NeedsReaderSecret),
        }
    }

    /// These keys with one epoch more, and another signing key of the owner's.
    pub(crate) fn rotated(&self) -> Result<Keys, RepoError> {
        let keyring = self.keyring.as_ref().ok_or(RepoError::NeedsReaderSecret)?.rotated()?;
        Ok(Keys {
            repository: self.repository,
            encrypted: true,
            epoch: keyring.current()?.number,
            fingerprint: self.fingerprint.clone(),
            header_hash: self.header_hash,
            first_owner: self.first_owner.clone(),
            shared: self.shared.clone(),
            roots: keyring.roots.clone(),
            keyring: Some(keyring),
        })
    }

    /// This writer's public key; empty in an unencrypted repository.
    pub fn writer_public(&self) -> Vec<u8> {
        match self.pair() {
            Ok(Some(pair)) => pair.public_key().as_ref().to_vec(),
            _ => Vec::new(),
        }
    }

    /// Whether data can be opened.
    pub fn can_read_data(&self) -> bool {
        self.keyring
            .as_ref()
            .is_none_or(|keyring| keyring.epochs.iter().all(|epoch| epoch.data_private.is_some()))
    }

    fn pair(&self) -> Result<Option<Ed25519KeyPair>, RepoError> {
        match &self.keyring {
            Some(keyring) => signing_pair(&keyring.signing_seed).map(Some),
            None => Ok(None),
        }
    }

    fn epoch_of(&self, wrapped: &WrappedKey) -> Result<&Epoch, RepoError> {
        // The owner has every epoch: one more is rot.
        match self.epoch_or_newer(wrapped) {
            Err(RepoError::KeyOfOlderEpoch { .. }) if self.is_owner() => Err(bad_key()),
            other => other,
        }
    }

    fn epoch_or_newer(&self, wrapped: &WrappedKey) -> Result<&Epoch, RepoError> {
        if wrapped.suite != SUITE {
            return Err(RepoError::NewerFormat { what: format!("suite {} of a key", wrapped.suite) });
        }
        let epochs = || self.keyring.iter().flat_map(|keyring| &keyring.epochs);
        let newest = epochs().map(|epoch| epoch.number).max().unwrap_or(0);
        if wrapped.epoch > newest && wrapped.epoch - newest < MOST_ROTATIONS {
            return Err(RepoError::KeyOfOlderEpoch { epoch: wrapped.epoch });
        }
        epochs().find(|epoch| epoch.number == wrapped.epoch).ok_or_else(bad_key)
    }

    /// What binds a wrapped key to its place: repository, epoch, key id.
    fn info(&self, epoch: u32, key_id: &[u8; 16]) -> Vec<u8> {
        [b"pgark data pack key v0".as_slice(), &self.repository.0, &epoch.to_le_bytes(), key_id].concat()
    }

    fn plain_key(&self) -> (PackKey, WrappedKey) {
        (PackKey::plain(), WrappedKey { suite: PLAIN, epoch: 0, bytes: Vec::new() })
    }

    fn open_plain(&self, wrapped: &WrappedKey) -> Result<PackKey, RepoError> {
        match (wrapped.suite, wrapped.epoch, wrapped.bytes.is_empty()) {
            (PLAIN, 0, true) => Ok(PackKey::plain()),
            _ => Err(bad_key()),
        }
    }
}

/// What an unencrypted repository derives everything from: anybody can.
pub(super) fn plain_roots(repository: RepositoryId) -> Roots {
    Roots {
        ids: blake3::derive_key("pgark 2026 plain id key v0", &repository.0),
        chunker: blake3::derive_key("pgark 2026 plain chunker key v0", &repository.0),
    }
}

/// The hash of a cluster's name, by which it is known.
pub(super) fn cluster_hash(roots: &Roots, cluster: &str) -> [u8; 16] {
    let key = Zeroizing::new(blake3::derive_key("pgark 2026 cluster name v0", &roots.ids));
    let hash = blake3::keyed_hash(&key, cluster.as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    first
}

fn bad_key() -> RepoError {
    RepoError::Damaged { object: "a wrapped key".into(), what: "it does not open".into() }
}
