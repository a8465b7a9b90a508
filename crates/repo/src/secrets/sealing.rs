//! Sealing bytes: AES-256-GCM under a pack's own key, and how that key is wrapped.
//!
//! HPKE is RFC 9180, base mode, single-shot: DHKEM(X25519, HKDF-SHA256) 0x0020, HKDF-SHA256 0x0001,
//! AES-256-GCM 0x0002.

use age::secrecy::zeroize::Zeroizing;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::{hmac, rand};

use crate::RepoError;

/// Bytes that sealing adds.
pub const TAG_BYTES: usize = 16;
/// Bytes of an encapsulated X25519 key.
const ENCAPSULATED: usize = 32;

/// The key of one pack (or of one metadata object).
pub struct PackKey(Kind);

enum Kind {
    Sealed(Box<LessSafeKey>),
    /// Unencrypted repository: a keyless BLAKE3 tag in place of the AEAD's.
    Plain,
}

impl PackKey {
    pub(super) fn sealed(key: &[u8; 32]) -> Result<PackKey, RepoError> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| RepoError::Crypto("making a key"))?;
        Ok(PackKey(Kind::Sealed(Box::new(LessSafeKey::new(key)))))
    }

    pub(super) fn plain() -> PackKey {
        PackKey(Kind::Plain)
    }

    /// Seals `bytes` where they lie and appends 16 bytes of tag. A nonce is used once under one
    /// key: the caller counts.
    pub fn seal_in_place(&self, nonce: &[u8; 12], aad: &[u8], bytes: &mut Vec<u8>) -> Result<(), RepoError> {
        match &self.0 {
            Kind::Sealed(key) => key
                .seal_in_place_append_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), bytes)
                .map_err(|_| RepoError::Crypto("sealing")),
            Kind::Plain => {
                let tag = plain_tag(nonce, aad, bytes);
                bytes.extend_from_slice(&tag);
                Ok(())
            }
        }
    }

    /// Opens what [`Self::seal_in_place`] sealed; `None` if nonce, aad or any byte differ.
    pub fn open_in_place(&self, nonce: &[u8; 12], aad: &[u8], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let length = sealed.len().checked_sub(TAG_BYTES)?;
        match &self.0 {
            Kind::Sealed(key) => {
                key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut sealed).ok()?;
            }
            Kind::Plain => {
                let tag = sealed.split_off(length);
                if tag != plain_tag(nonce, aad, &sealed) {
                    return None;
                }
            }
        }
        sealed.truncate(length);
        Some(sealed)
    }
}

fn plain_tag(nonce: &[u8; 12], aad: &[u8], bytes: &[u8]) -> [u8; TAG_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key("pgark 2026 plain tag v0");
    hasher.update(nonce);
    hasher.update(&(aad.len() as u64).to_le_bytes());
    hasher.update(aad);
    hasher.update(bytes);
    let mut tag = [0; TAG_BYTES];
    hasher.finalize_xof().fill(&mut tag);
    tag
}

/// Fills with the system's randomness.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), RepoError> {
    rand::fill(bytes).map_err(|_| RepoError::Crypto("reading randomness"))
}

/// A fresh X25519 pair: private, public.
pub(super) fn new_pair() -> Result<(Zeroizing<[u8; 32]>, [u8; 32]), RepoError> {
    let mut private = Zeroizing::new([0; 32]);
    random(private.as_mut())?;
    let public = public_of(&private)?;
    Ok((private, public))
}

pub(super) fn public_of(private: &[u8; 32]) -> Result<[u8; 32], RepoError> {
    let key =
        PrivateKey::from_private_key(&X25519, private).map_err(|_| RepoError::Crypto("making a key"))?;
    let public = key.compute_public_key().map_err(|_| RepoError::Crypto("making a key"))?;
    public.as_ref().try_into().map_err(|_| RepoError::Crypto("making a key"))
}

/// Wraps `secret` to the public key: encapsulated key, then sealed bytes.
pub(super) fn hpke_seal(public: &[u8; 32], info: &[u8], secret: &[u8]) -> Result<Vec<u8>, RepoError> {
    let (ephemeral, encapsulated) = new_pair()?;
    let shared = shared_secret(&ephemeral, public, &encapsulated, public)?;
    let (key, nonce) = key_schedule(&shared, info)?;
    let mut sealed = secret.to_vec();
    key.seal_in_place(&nonce, b"", &mut sealed)?;
    Ok([encapsulated.as_slice(), &sealed].concat())
}

/// Unwraps what [`hpke_seal`] wrapped; `None` if the key, the info or any byte differ.
pub(super) fn hpke_open(private: &[u8; 32], info: &[u8], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let encapsulated: &[u8; 32] = wrapped.get(..ENCAPSULATED)?.try_into().ok()?;
    let public = public_of(private).ok()?;
    let shared = shared_secret(private, encapsulated, encapsulated, &public).ok()?;
    let (key, nonce) = key_schedule(&shared, info).ok()?;
    key.open_in_place(&nonce, b"", wrapped.get(ENCAPSULATED..)?.to_vec()).map(Zeroizing::new)
}

/// RFC 9180 section 4.1: DH, then ExtractAndExpand with `enc || pkR`.
fn shared_secret(
    own_private: &[u8; 32],
    other_public: &[u8; 32],
    encapsulated: &[u8; 32],
    recipient_public: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, RepoError> {
    const SUITE: &[u8] = b"KEM\x00\x20";
    let private = PrivateKey::from_private_key(&X25519, own_private)
        .map_err(|_| RepoError::Crypto("agreeing on a key"))?;
    let peer = UnparsedPublicKey::new(&X25519, other_public);
    agree(&private, peer, RepoError::Crypto("agreeing on a key"), |dh| {
        let extracted = labeled_extract(SUITE, b"", b"eae_prk", dh);
        let context = [encapsulated.as_slice(), recipient_public].concat();
        Ok(Zeroizing::new(labeled_expand(SUITE, &extracted, b"shared_secret", &context, 32)))
    })
}

/// RFC 9180 section 5.1, mode 0: the AEAD's key and its first nonce.
fn key_schedule(shared: &[u8; 32], info: &[u8]) -> Result<(PackKey, [u8; 12]), RepoError> {
    const SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x02";
    let mut context = vec![0];
    context.extend(labeled_extract(SUITE, b"", b"psk_id_hash", b""));
    context.extend(labeled_extract(SUITE, b"", b"info_hash", info));
    let secret = Zeroizing::new(labeled_extract(SUITE, shared, b"secret", b""));
    let key = Zeroizing::new(labeled_expand(SUITE, &secret, b"key", &context, 32));
    let long_nonce = labeled_expand(SUITE, &secret, b"base_nonce", &context, 12);
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&long_nonce[..12]);
    Ok((PackKey::sealed(&key)?, nonce))
}

fn labeled_extract(suite: &[u8], salt: &[u8], label: &[u8], input: &[u8]) -> [u8; 32] {
    let salt: &[u8] = if salt.is_empty() { &[0; 32] } else { salt };
    hmac_sha256(salt, &[b"HPKE-v1", suite, label, input])
}

/// HKDF-Expand of at most one block; `length` is in the label, and the rest of the block is not to
/// be used.
fn labeled_expand(suite: &[u8], key: &[u8; 32], label: &[u8], info: &[u8], length: u16) -> [u8; 32] {
    hmac_sha256(key, &[&length.to_be_bytes(), b"HPKE-v1", suite, label, info, &[1]])
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut output = [0; 32];
    output.copy_from_slice(context.sign().as_ref());
    output
}

#[cfg(test)]
mod tests {
    use super::super::header::unhex;
    use super::*;

    /// RFC 9180, appendix A.1.1: the key encapsulation of our suite (its AEAD differs, so only the
    /// shared secret counts).
    #[test]
    fn the_shared_secret_is_the_rfcs() {
        let ephemeral = unhex("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736").unwrap();
        let encapsulated = unhex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431").unwrap();
        let private = unhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8").unwrap();
        let public = unhex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d").unwrap();
        let expected = unhex("fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc").unwrap();
        assert_eq!(*shared_secret(&ephemeral, &public, &encapsulated, &public).unwrap(), expected);
        assert_eq!(*shared_secret(&private, &encapsulated, &encapsulated, &public).unwrap(), expected);
    }

    #[test]
    fn a_wrapped_key_opens_for_its_owner_alone() {
        let (private, public) = new_pair().unwrap();
        let wrapped = hpke_seal(&public, b"info", b"secret").unwrap();
        assert_eq!(hpke_open(&private, b"info", &wrapped).unwrap().as_slice(), b"secret");
        assert!(hpke_open(&private, b"other", &wrapped).is_none());
        assert!(hpke_open(&new_pair().unwrap().0, b"info", &wrapped).is_none());
        for at in 0..wrapped.len() {
            let mut torn = wrapped.clone();
            torn[at] ^= 1;
            assert!(hpke_open(&private, b"info", &torn).is_none(), "byte {at}");
            assert!(hpke_open(&private, b"info", &wrapped[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn every_byte_of_sealed_bytes_counts() {
        for key in [PackKey::sealed(&[3; 32]).unwrap(), PackKey::plain()] {
            let mut sealed = b"row\n".to_vec();
            key.seal_in_place(&[1; 12], b"aad", &mut sealed).unwrap();
            assert_eq!(key.open_in_place(&[1; 12], b"aad", sealed.clone()).unwrap(), b"row\n");
            assert!(key.open_in_place(&[2; 12], b"aad", sealed.clone()).is_none());
            assert!(key.open_in_place(&[1; 12], b"other", sealed.clone()).is_none());
            for at in 0..sealed.len() {
                let mut torn = sealed.clone();
                torn[at] ^= 1;
                assert!(key.open_in_place(&[1; 12], b"aad", torn).is_none());
                assert!(key.open_in_place(&[1; 12], b"aad", sealed[..at].to_vec()).is_none());
            }
        }
    }
}
