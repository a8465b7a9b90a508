//! Manifests that this host has read and verified before, in one local file: they never change
//! under their names.
//!
//! The file is safe to lose; anything wrong with it makes it count as empty. Its sum is under a key
//! of the repository, so that who can only write this host's files cannot make up backups. Whether
//! a signer may still sign is judged again each time; `check` reads the objects themselves.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use minicbor::{Decode, Encode};

use super::body::{Body, Manifest, judge};
use crate::codec;
use crate::ids::ObjectHash;
use crate::names::ManifestName;
use crate::secrets::write_whole;
use crate::unlocked::Unlocked;

const MAGIC: &[u8; 8] = b"pgarkmc3";

#[derive(Encode, Decode)]
#[cbor(array)]
struct Cached {
    #[n(0)]
    name: String,
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    signer: Vec<u8>,
    #[n(2)]
    hash: ObjectHash,
    #[n(3)]
    body: Body,
}

/// What is known of manifests, by name.
pub(crate) struct ManifestCache {
    path: Option<PathBuf>,
    /// Of its sum.
    key: [u8; 32],
    known: HashMap<String, Cached>,
    changed: bool,
}

impl ManifestCache {
    pub(crate) fn open(repository: &Unlocked) -> ManifestCache {
        let path = repository.local.cache.as_ref().map(|cache| {
            cache.join(format!("manifests-{}{}", repository.keys.repository, repository.keys.view()))
        });
        let key = repository.keys.cache_key("manifests");
        let known = path.as_deref().and_then(|path| read(path, &key)).unwrap_or_default();
        ManifestCache { path, key, known, changed: false }
    }

    pub(crate) fn get(&self, repository: &Unlocked, name: &ManifestName) -> Option<Manifest> {
        let cached = self.known.get(&name.name())?;
        let body = cached.body.clone();
        let distrust = judge(repository, &cached.signer, name, &cached.hash).err();
        Some(Manifest {
            distrust,
            signer: cached.signer.clone(),
            name: name.clone(),
            hash: cached.hash,
            body,
            stored: None,
        })
    }

    pub(crate) fn put(&mut self, manifest: &Manifest) {
        if self.path.is_some() {
            let name = manifest.name.name();
            let cached = Cached {
                name: name.clone(),
                signer: manifest.signer.clone(),
                hash: manifest.hash,
                body: manifest.body.clone(),
            };
            self.known.insert(name, cached);
            self.changed = true;
        }
    }

    /// Writes the file if something is new, without what is gone. That it cannot be written costs
    /// time only.
    pub(crate) fn keep(mut self, is_there: impl Fn(&ManifestName) -> bool) {
        let Some(path) = self.path.take().filter(|_| self.changed) else { return };
        let mut body = MAGIC.to_vec();
        for cached in self.known.values() {
            if ManifestName::parse(&cached.name).is_some_and(|name| is_there(&name)) {
                body.extend_from_slice(&codec::encode(cached));
            }
        }
        let sum = blake3::keyed_hash(&self.key, &body);
        body.extend_from_slice(sum.as_bytes());
        if let Err(error) = write_whole(&path, &body) {
            tracing::debug!("manifests cannot be cached at {}: {error}", path.display());
        }
    }
}

fn read(path: &Path, key: &[u8; 32]) -> Option<HashMap<String, Cached>> {
    let bytes = std::fs::read(path).ok()?;
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if blake3::keyed_hash(key, body).as_bytes() != sum {
        return None;
    }
    let mut decoder = minicbor::Decoder::new(body.strip_prefix(MAGIC)?);
    let mut known = HashMap::new();
    while decoder.position() < decoder.input().len() {
        let cached: Cached = decoder.decode().ok()?;
        known.insert(cached.name.clone(), cached);
    }
    Some(known)
}
