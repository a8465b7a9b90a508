//! Signing keys: an Ed25519 pair of a seed of 32 random bytes.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use crate::RepoError;

/// The pair of a seed.
pub(super) fn signing_pair(seed: &[u8; 32]) -> Result<Ed25519KeyPair, RepoError> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| RepoError::Crypto("making the signing key"))
}

/// The public key that belongs to a signing key.
pub(super) fn public_of(seed: &[u8; 32]) -> Result<[u8; 32], RepoError> {
    let public = signing_pair(seed)?;
    public.public_key().as_ref().try_into().map_err(|_| RepoError::Crypto("making the signing key"))
}
