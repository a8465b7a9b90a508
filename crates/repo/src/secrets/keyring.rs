//! The keyring: the keys of every epoch, as a slot or a writer key holds them.

use age::secrecy::zeroize::{Zeroize, Zeroizing};
use minicbor::{Decode, Encode};

use super::sealing::{new_pair, random};
use super::signing::public_of;
use crate::RepoError;

/// Version of the keyring's own encoding.
const VERSION: u32 = 0;
/// A keyring with a thousand epochs is not one.
const MOST_EPOCHS: usize = 1000;

/// Keys of one epoch. Without `data_private` it is a writer's.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(super) struct Epoch {
    #[n(0)]
    pub number: u32,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub id_key: [u8; 32],
    #[cbor(n(2), with = "minicbor::bytes")]
    pub chunker_key: [u8; 32],
    #[cbor(n(3), with = "minicbor::bytes")]
    pub metadata_key: [u8; 32],
    #[cbor(n(4), with = "minicbor::bytes")]
    pub data_public: [u8; 32],
    #[cbor(n(5), with = "minicbor::bytes")]
    pub data_private: Option<[u8; 32]>,
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.id_key.zeroize();
        self.chunker_key.zeroize();
        self.metadata_key.zeroize();
        self.data_private.zeroize();
    }
}

/// What a slot or a writer key holds: epochs, oldest first, and the holder's own signing key.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(super) struct Keyring {
    #[n(0)]
    version: u32,
    #[cbor(n(1), with = "minicbor::bytes")]
    header_hash: [u8; 32],
    /// The seed of the Ed25519 key by which the holder signs; of a slot it is the owner's.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub signing_seed: [u8; 32],
    /// By this key the owner's signatures are verified.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub owner_public: [u8; 32],
    #[n(4)]
    pub epochs: Vec<Epoch>,
}

impl Drop for Keyring {
    fn drop(&mut self) {
        self.signing_seed.zeroize();
    }
}

impl Keyring {
    /// A new keyring with its first epoch: the owner's.
    pub(super) fn generate() -> Result<Keyring, RepoError> {
        let (private, data_public) = new_pair()?;
        let mut epoch = Epoch {
            number: 1,
            id_key: [0; 32],
            chunker_key: [0; 32],
            metadata_key: [0; 32],
            data_public,
            data_private: Some(*private),
        };
        random(&mut epoch.id_key)?;
        random(&mut epoch.chunker_key)?;
        random(&mut epoch.metadata_key)?;
        let mut signing_seed = [0; 32];
        random(&mut signing_seed)?;
        let owner_public = public_of(&signing_seed)?;
        Ok(Keyring {
            version: VERSION,
            header_hash: [0; 32],
            signing_seed,
            owner_public,
            epochs: vec![epoch],
        })
    }

    /// An owner's: every private key belongs to its public key, and the header's is among them.
    /// Only who knew the repository's own private key could have made it.
    pub(super) fn is_sound(&self, header_public: Option<[u8; 32]>) -> Result<bool, RepoError> {
        let mut names_header = false;
        for epoch in &self.epochs {
            let Some(private) = &epoch.data_private else { return Ok(false) };
            if super::sealing::public_of(private)? != epoch.data_public {
                return Ok(false);
            }
            names_header |= Some(epoch.data_public) == header_public;
        }
        Ok(names_header && public_of(&self.signing_seed)? == self.owner_public)
    }

    /// With one epoch more. Ids and cuts stay those of the first, or a rotation would store
    /// everything anew.
    pub(super) fn rotated(&self) -> Result<Keyring, RepoError> {
        let mut keyring = self.clone();
        let mut epoch = self.current()?.clone();
        let (private, data_public) = new_pair()?;
        epoch.number += 1;
        epoch.data_public = data_public;
        epoch.data_private = Some(*private);
        random(&mut epoch.metadata_key)?;
        keyring.epochs.push(epoch);
        Ok(keyring)
    }

    /// The newest epoch: what new objects are written under.
    pub(super) fn current(&self) -> Result<&Epoch, RepoError> {
        self.epochs.last().ok_or_else(|| damaged("it holds no epoch"))
    }

    /// Without what opens data, and with a signing key of the writer's own.
    pub(super) fn for_writer(&self, signing_seed: &[u8; 32]) -> Keyring {
        let mut keyring = self.clone();
        keyring.signing_seed = *signing_seed;
        for epoch in &mut keyring.epochs {
            epoch.data_private = None;
        }
        keyring
    }

    /// Canonical CBOR, bound to the clear header.
    pub(super) fn to_bytes(&self, header_hash: &[u8; 32]) -> Zeroizing<Vec<u8>> {
        let mut bound = self.clone();
        bound.header_hash = *header_hash;
        // Encoding to memory cannot fail.
        Zeroizing::new(minicbor::to_vec(&bound).unwrap_or_default())
    }

    /// The keyring and the hash of the header that it is bound to.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<(Keyring, [u8; 32]), RepoError> {
        let mut decoder = minicbor::Decoder::new(bytes);
        let keyring: Keyring = decoder.decode().map_err(|_| damaged("it cannot be read"))?;
        if decoder.position() != bytes.len()
            || keyring.epochs.is_empty()
            || keyring.epochs.len() > MOST_EPOCHS
        {
            return Err(damaged("it cannot be read"));
        }
        if keyring.version != VERSION {
            return Err(RepoError::NewerFormat { what: format!("keyring version {}", keyring.version) });
        }
        let hash = keyring.header_hash;
        Ok((keyring, hash))
    }
}

fn damaged(what: &str) -> RepoError {
    RepoError::Damaged { object: "the keyring".into(), what: what.into() }
}
