//! The keys as the rest of the repository uses them. Every derivation names its purpose (FORMAT.md,
//! "Derivations").

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use age::secrecy::SecretString;
use age::secrecy::zeroize::Zeroizing;

use super::header::{Header, hex};
use super::keyring::{Epoch, Keyring};
use super::sealing::{PackKey, hpke_open, hpke_seal, random};
use super::signing::{public_of, signing_pair};
use super::writer_key;
use crate::RepoError;
use crate::ids::RepositoryId;

/// An epoch that is further ahead than this is rot.
const MOST_ROTATIONS: u32 = 1000;
const SALT_BYTES: usize = 32;

/// A pack's key as the pack's key table holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The epoch whose keys open it.
    pub epoch: u32,
    /// Data: HPKE encapsulated key and sealed key. Metadata: the salt. Unencrypted: empty.
    pub bytes: Vec<u8>,
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
    keyring: Option<Keyring>,
    id_key: [u8; 32],
    chunker_key: [u8; 32],
}

impl Keys {
    /// Of an unencrypted repository: derived from its id, so that anybody can derive them.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn for_fuzzing() -> Keys {
        let text = r#"{"format":0,"repository":"00112233445566778899aabbccddeeff","encrypted":false,"data_public_key":null,"needed_to_read":[],"needed_to_write":[]}"#;
        match Header::parse(text.into()) {
            Ok(header) => Keys::plain(&header),
            Err(error) => unreachable!("{error}"),
        }
    }

    pub(super) fn plain(header: &Header) -> Keys {
        Keys {
            repository: header.id,
            encrypted: false,
            epoch: 0,
            fingerprint: header.fingerprint(),
            header_hash: header.hash(),
            keyring: None,
            id_key: blake3::derive_key("pgark 2026 plain id key v0", &header.id.0),
            chunker_key: blake3::derive_key("pgark 2026 plain chunker key v0", &header.id.0),
        }
    }

    pub(super) fn of(header: &Header, keyring: Keyring) -> Result<Keys, RepoError> {
        let first = keyring.epochs.first().ok_or(RepoError::WrongKey)?;
        let current = keyring.current()?;
        if header
            .data_public
            .is_none_or(|public| !keyring.epochs.iter().any(|epoch| epoch.data_public == public))
        {
            return Err(RepoError::Damaged {
                object: super::header::NAME.into(),
                what: "its public key is not the keyring's".into(),
            });
        }
        Ok(Keys {
            repository: header.id,
            encrypted: true,
            epoch: current.number,
            fingerprint: header.fingerprint(),
            header_hash: header.hash(),
            // Ids and cuts stay those of the first epoch: a rotation must not store everything
            // anew.
            id_key: first.id_key,
            chunker_key: first.chunker_key,
            keyring: Some(keyring),
        })
    }

    /// For people to compare.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    /// The key of chunk ids: equal bytes of different kind or mask never meet.
    pub fn chunk_id_key(&self, kind: u8, mask_domain: &[u8]) -> [u8; 32] {
        let mut material = self.id_key.to_vec();
        material.push(kind);
        material.extend_from_slice(mask_domain);
        blake3::derive_key("pgark 2026 chunk id v0", &material)
    }

    /// The key of the hashes of a map's items.
    pub fn item_key(&self, mask_domain: &[u8]) -> [u8; 16] {
        let material = [self.id_key.as_slice(), mask_domain].concat();
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] =
            blake3::derive_key("pgark 2026 item hash v0", &material);
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// The key of the sums of a local file, by its purpose: who does not open the repository cannot
    /// write one that counts. Of an unencrypted repository anybody can.
    pub(crate) fn cache_key(&self, purpose: &str) -> [u8; 32] {
        let material = [self.id_key.as_slice(), purpose.as_bytes()].concat();
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

    /// The seed of the chunker's gear table.
    pub fn chunker_seed(&self) -> u64 {
        let key = blake3::derive_key("pgark 2026 chunker seed v0", &self.chunker_key);
        let mut seed = [0; 8];
        seed.copy_from_slice(&key[..8]);
        u64::from_le_bytes(seed)
    }

    /// A fresh key for a data pack, wrapped to the data public key.
    pub fn new_data_pack_key(&self, key_id: &[u8; 16]) -> Result<(PackKey, WrappedKey), RepoError> {
        let Some(keyring) = &self.keyring else { return Ok(self.plain_key()) };
        let epoch = keyring.current()?;
        let mut key = [0; 32];
        random(&mut key)?;
        let bytes = hpke_seal(&epoch.data_public, &self.info(epoch.number, key_id), &key)?;
        Ok((PackKey::sealed(&key)?, WrappedKey { epoch: epoch.number, bytes }))
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

    /// A fresh key for a metadata object: derived from the metadata key and a random salt.
    pub fn new_metadata_key(&self) -> Result<(PackKey, WrappedKey), RepoError> {
        let Some(keyring) = &self.keyring else { return Ok(self.plain_key()) };
        let epoch = keyring.current()?;
        let mut bytes = vec![0; SALT_BYTES];
        random(&mut bytes)?;
        Ok((metadata_key(epoch, &bytes)?, WrappedKey { epoch: epoch.number, bytes }))
    }

    /// The key of a metadata object.
    pub fn open_metadata_key(&self, wrapped: &WrappedKey) -> Result<PackKey, RepoError> {
        if self.keyring.is_none() {
            return self.open_plain(wrapped);
        }
        if wrapped.bytes.len() != SALT_BYTES {
            return Err(bad_key());
        }
        metadata_key(self.epoch_of(wrapped)?, &wrapped.bytes)
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

    /// The public key of the owner: who holds the reader secret. Empty in an unencrypted
    /// repository.
    pub fn owner_public(&self) -> Vec<u8> {
        self.keyring.as_ref().map(|keyring| keyring.owner_public.to_vec()).unwrap_or_default()
    }

    /// Whether this is the owner's keyring, by which keys are managed.
    pub fn is_owner(&self) -> bool {
        self.encrypted && self.can_read_data()
    }

    /// A new writer's key as text, and its public key.
    pub(crate) fn new_writer(&self) -> Result<(SecretString, Vec<u8>), RepoError> {
        let Some(keyring) = &self.keyring else { return Err(RepoError::NeedsReaderSecret) };
        let mut seed = Zeroizing::new([0; 32]);
        random(seed.as_mut())?;
        let public = public_of(&seed)?.to_vec();
        Ok((writer_key::to_text(&self.header_hash, keyring, &seed), public))
    }

    /// The keyring as slots hold it; the owner's only.
    pub(crate) fn for_slot(&self) -> Result<Zeroizing<Vec<u8>>, RepoError> {
        match &self.keyring {
            Some(keyring) if self.is_owner() => Ok(keyring.to_bytes(&self.header_hash)),
            _ => Err(RepoError::NeedsReaderSecret),
        }
    }

    /// These keys with one epoch more.
    pub(crate) fn rotated(&self) -> Result<Keys, RepoError> {
        let keyring = self.keyring.as_ref().ok_or(RepoError::NeedsReaderSecret)?.rotated()?;
        Ok(Keys {
            repository: self.repository,
            encrypted: true,
            epoch: keyring.current()?.number,
            fingerprint: self.fingerprint.clone(),
            header_hash: self.header_hash,
            keyring: Some(keyring),
            id_key: self.id_key,
            chunker_key: self.chunker_key,
        })
    }

    /// This writer's public key; empty in an unencrypted repository.
    pub fn writer_public(&self) -> Vec<u8> {
        match self.pair() {
            Ok(Some(pair)) => pair.public_key().as_ref().to_vec(),
            _ => Vec::new(),
        }
    }

    /// The keyed hash under which a cluster's objects are named: 32 hex digits.
    pub fn cluster_hash(&self, cluster: &str) -> String {
        let key = blake3::derive_key("pgark 2026 cluster name v0", &self.id_key);
        hex(&blake3::keyed_hash(&key, cluster.as_bytes()).as_bytes()[..16])
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
        let epochs = || self.keyring.iter().flat_map(|keyring| &keyring.epochs);
        let newest = epochs().map(|epoch| epoch.number).max().unwrap_or(0);
        // The owner has every epoch: one more is rot.
        if !self.is_owner() && wrapped.epoch > newest && wrapped.epoch - newest < MOST_ROTATIONS {
            return Err(RepoError::KeyOfOlderEpoch { epoch: wrapped.epoch });
        }
        epochs().find(|epoch| epoch.number == wrapped.epoch).ok_or_else(bad_key)
    }

    /// What binds a wrapped key to its place: repository, epoch, key id.
    fn info(&self, epoch: u32, key_id: &[u8; 16]) -> Vec<u8> {
        [b"pgark data pack key v0".as_slice(), &self.repository.0, &epoch.to_le_bytes(), key_id].concat()
    }

    fn plain_key(&self) -> (PackKey, WrappedKey) {
        (PackKey::plain(), WrappedKey { epoch: 0, bytes: Vec::new() })
    }

    fn open_plain(&self, wrapped: &WrappedKey) -> Result<PackKey, RepoError> {
        if wrapped.epoch == 0 && wrapped.bytes.is_empty() { Ok(PackKey::plain()) } else { Err(bad_key()) }
    }
}

fn metadata_key(epoch: &Epoch, salt: &[u8]) -> Result<PackKey, RepoError> {
    PackKey::sealed(&blake3::derive_key(
        "pgark 2026 metadata object v0",
        &[&epoch.metadata_key, salt].concat(),
    ))
}

fn bad_key() -> RepoError {
    RepoError::Damaged { object: "a wrapped key".into(), what: "it does not open".into() }
}
