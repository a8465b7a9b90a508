//! The keyring: the keys of every epoch, as a slot or a writer key holds them.
//!
//! The owner, and a writer of every cluster, hold *roots*, from which the keys of any compartment
//! are derived. A writer of some clusters holds the keys of their compartments alone.

use age::secrecy::zeroize::{Zeroize, Zeroizing};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::sealing::{new_pair, random};
use super::signing::public_of;
use crate::RepoError;
use crate::codec::Extensions;
use crate::ids::Compartment;

/// Version of the keyring's own encoding.
const VERSION: u32 = 1;
/// A keyring with a thousand epochs is not one.
const MOST_EPOCHS: usize = 1000;
/// Nor one with so many clusters: who writes more holds the roots.
const MOST_CLUSTERS: usize = 4096;

/// How everything of an epoch is sealed and wrapped: AES-256-GCM; HPKE with X25519, HKDF-SHA256 and
/// AES-256-GCM; BLAKE3 for derivations; Ed25519.
pub(super) const SUITE: u32 = 1;
/// In an unencrypted repository nothing is.
pub(super) const PLAIN: u32 = 0;

/// Keys of one epoch. Without `data_private` it is a writer's.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(super) struct Epoch {
    #[n(0)]
    pub number: u32,
    /// [`SUITE`].
    #[n(1)]
    pub suite: u32,
    /// Seals what every holder of any key reads: the owner's lists.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub common: [u8; 32],
    /// The root of the compartments' metadata keys; none in a key of some clusters.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub metadata: Option<[u8; 32]>,
    #[cbor(n(4), with = "minicbor::bytes")]
    pub data_public: [u8; 32],
    #[cbor(n(5), with = "minicbor::bytes")]
    pub data_private: Option<[u8; 32]>,
    #[n(6)]
    more: Extensions,
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.common.zeroize();
        self.metadata.zeroize();
        self.data_private.zeroize();
    }
}

/// What ids, cuts and names of clusters are derived from. It stays the same for the life of the
/// repository: a rotation must not store everything again.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(super) struct Roots {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub ids: [u8; 32],
    #[cbor(n(1), with = "minicbor::bytes")]
    pub chunker: [u8; 32],
}

impl Drop for Roots {
    fn drop(&mut self) {
        self.ids.zeroize();
        self.chunker.zeroize();
    }
}

/// A cluster of a key that is for some clusters, with the keys of its compartment.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(super) struct OwnCluster {
    #[n(0)]
    pub name: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub hash: [u8; 16],
    #[cbor(n(2), with = "minicbor::bytes")]
    pub compartment: [u8; 16],
    #[cbor(n(3), with = "minicbor::bytes")]
    pub id_key: [u8; 32],
    #[cbor(n(4), with = "minicbor::bytes")]
    pub chunker_key: [u8; 32],
    /// Of each epoch, in their order.
    #[n(5)]
    pub metadata: Vec<ByteArray<32>>,
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        self.id_key.zeroize();
        self.chunker_key.zeroize();
        for key in &mut self.metadata {
            key.zeroize();
        }
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
    /// The owner's public key as of this keyring; a later one was signed by it.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub owner_public: [u8; 32],
    /// None in a key of some clusters.
    #[n(4)]
    pub roots: Option<Roots>,
    /// The clusters of such a key.
    #[n(5)]
    pub clusters: Vec<OwnCluster>,
    #[n(6)]
    pub epochs: Vec<Epoch>,
    #[n(7)]
    more: Extensions,
}

impl Drop for Keyring {
    fn drop(&mut self) {
        self.signing_seed.zeroize();
    }
}

impl Keyring {
    /// A new keyring with its first epoch: the owner's.
    pub(super) fn generate() -> Result<Keyring, RepoError> {
        let mut roots = Roots { ids: [0; 32], chunker: [0; 32] };
        random(&mut roots.ids)?;
        random(&mut roots.chunker)?;
        let (signing_seed, owner_public) = new_signing_pair()?;
        Ok(Keyring {
            version: VERSION,
            header_hash: [0; 32],
            signing_seed: *signing_seed,
            owner_public,
            roots: Some(roots),
            clusters: Vec::new(),
            epochs: vec![new_epoch(1)?],
            more: Extensions::default(),
        })
    }

    /// An owner's: every private key belongs to its public key, and the header's is among them.
    /// Only who knew the repository's own private key could have made it.
    pub(super) fn is_sound(&self, header_public: Option<[u8; 32]>) -> Result<bool, RepoError> {
        let mut names_header = false;
        for epoch in &self.epochs {
            let Some(private) = &epoch.data_private else { return Ok(false) };
            if super::sealing::public_of(private)? != epoch.data_public || epoch.metadata.is_none() {
                return Ok(false);
            }
            names_header |= Some(epoch.data_public) == header_public;
        }
        Ok(names_header && self.roots.is_some() && public_of(&self.signing_seed)? == self.owner_public)
    }

    /// With one epoch more, and a new key of the owner's. Ids and cuts stay.
    pub(super) fn rotated(&self) -> Result<Keyring, RepoError> {
        let mut keyring = self.clone();
        keyring.epochs.push(new_epoch(self.current()?.number + 1)?);
        let (signing_seed, owner_public) = new_signing_pair()?;
        keyring.signing_seed = *signing_seed;
        keyring.owner_public = owner_public;
        Ok(keyring)
    }

    /// The newest epoch: what new objects are written under.
    pub(super) fn current(&self) -> Result<&Epoch, RepoError> {
        self.epochs.last().ok_or_else(|| damaged("it contains no epoch"))
    }

    /// Without what opens data, and with a signing key of the writer's own; where `clusters` are
    /// given, without what opens any other.
    pub(super) fn for_writer(&self, signing_seed: &[u8; 32], clusters: Option<Vec<OwnCluster>>) -> Keyring {
        let mut keyring = self.clone();
        keyring.signing_seed = *signing_seed;
        for epoch in &mut keyring.epochs {
            epoch.data_private = None;
            if clusters.is_some() {
                epoch.metadata = None;
            }
        }
        if let Some(clusters) = clusters {
            keyring.roots = None;
            keyring.clusters = clusters;
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
        let version =
            decoder.array().and_then(|_| decoder.u32()).map_err(|_| damaged("it cannot be read"))?;
        if version < VERSION {
            return Err(RepoError::OlderFormat);
        }
        if version > VERSION {
            return Err(RepoError::NewerFormat { what: format!("keyring version {version}") });
        }
        let mut decoder = minicbor::Decoder::new(bytes);
        let keyring: Keyring = decoder.decode().map_err(|_| damaged("it cannot be read"))?;
        if decoder.position() != bytes.len()
            || keyring.epochs.is_empty()
            || keyring.epochs.len() > MOST_EPOCHS
            || keyring.clusters.len() > MOST_CLUSTERS
            || keyring.roots.is_none() == keyring.clusters.is_empty()
            || keyring.clusters.iter().any(|cluster| cluster.metadata.len() != keyring.epochs.len())
        {
            return Err(damaged("it cannot be read"));
        }
        if let Some(epoch) = keyring.epochs.iter().find(|epoch| epoch.suite != SUITE) {
            return Err(RepoError::NewerFormat { what: format!("suite {} of its keys", epoch.suite) });
        }
        let hash = keyring.header_hash;
        Ok((keyring, hash))
    }
}

/// The keys of a compartment, as a root derives them.
pub(super) fn derived(context: &str, root: &[u8; 32], compartment: Compartment) -> [u8; 32] {
    let material = Zeroizing::new([root.as_slice(), &compartment.0].concat());
    blake3::derive_key(context, &material)
}

fn new_epoch(number: u32) -> Result<Epoch, RepoError> {
    let (private, data_public) = new_pair()?;
    let (mut common, mut metadata) = ([0; 32], [0; 32]);
    random(&mut common)?;
    random(&mut metadata)?;
    Ok(Epoch {
        number,
        suite: SUITE,
        common,
        metadata: Some(metadata),
        data_public,
        data_private: Some(*private),
        more: Extensions::default(),
    })
}

/// A seed for a signing key, and the public key that belongs to it.
pub(super) fn new_signing_pair() -> Result<(Zeroizing<[u8; 32]>, [u8; 32]), RepoError> {
    let mut seed = Zeroizing::new([0; 32]);
    random(seed.as_mut())?;
    let public = public_of(&seed)?;
    Ok((seed, public))
}

fn damaged(what: &str) -> RepoError {
    RepoError::Damaged { object: "the keyring".into(), what: what.into() }
}
