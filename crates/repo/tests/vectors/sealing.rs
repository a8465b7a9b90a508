//! How bytes are sealed, wrapped and signed (FORMAT.md, section 2).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey as Verifier};

use crate::Answer;

/// The first bytes of BLAKE3's `derive_key` over the pieces.
pub fn derive<const N: usize>(context: &str, pieces: &[&[u8]]) -> [u8; N] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for piece in pieces {
        hasher.update(piece);
    }
    let mut bytes = [0; N];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Opens sealed bytes; without a key those of an unencrypted repository.
pub fn open(key: Option<&[u8; 32]>, nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Answer<Vec<u8>> {
    let Some(key) = key else {
        let (bytes, tag) = sealed.split_at_checked(sealed.len().wrapping_sub(16)).ok_or("too short")?;
        let length = (aad.len() as u64).to_le_bytes();
        let right: [u8; 16] = derive("pgark 2026 plain tag v0", &[nonce, &length, aad, bytes]);
        return if right == tag { Ok(bytes.to_vec()) } else { Err("the tag is wrong".into()) };
    };
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(|_| "a key")?);
    let mut bytes = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length =
        key.open_in_place(nonce, Aad::from(aad), &mut bytes).map_err(|_| "the seal does not open")?.len();
    bytes.truncate(length);
    Ok(bytes)
}

/// The signature of a writer, or in an unencrypted repository the digest in its place.
pub fn verify(encrypted: bool, public: &[u8], bytes: &[u8], signature: &[u8]) -> Answer<()> {
    let is_good = match encrypted {
        true => Verifier::new(&ED25519, public).verify(bytes, signature).is_ok(),
        false => public.is_empty() && derive::<32>("pgark 2026 plain signature v0", &[bytes]) == signature,
    };
    if is_good { Ok(()) } else { Err("the signature is wrong".into()) }
}

fn hmac(key: &[u8], pieces: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    pieces.iter().for_each(|piece| context.update(piece));
    context.sign().as_ref().try_into().unwrap()
}

/// RFC 9180, section 4: LabeledExtract, and LabeledExpand of at most 32 bytes.
fn extract(suite: &[u8], salt: &[u8], label: &str, input: &[u8]) -> [u8; 32] {
    let salt = if salt.is_empty() { &[0; 32] } else { salt };
    hmac(salt, &[b"HPKE-v1", suite, label.as_bytes(), input])
}

fn expand(suite: &[u8], key: &[u8], label: &str, info: &[u8], length: u16) -> [u8; 32] {
    hmac(key, &[&length.to_be_bytes(), b"HPKE-v1", suite, label.as_bytes(), info, &[1]])
}

/// RFC 9180 in base mode, single-shot: X25519 and HKDF-SHA256 (KEM 0x0020), HKDF-SHA256 (KDF
/// 0x0001), AES-256-GCM (AEAD 0x0002), with empty AAD.
pub fn hpke_open(private: &[u8; 32], info: &[u8], wrapped: &[u8]) -> Answer<[u8; 32]> {
    let (encapsulated, sealed) = wrapped.split_at_checked(32).ok_or("a wrapped key is too short")?;
    let private = PrivateKey::from_private_key(&X25519, private).map_err(|_| "a private key")?;
    let public = private.compute_public_key().map_err(|_| "a private key")?;
    let kem = b"KEM\x00\x20";
    let shared = agree(&private, UnparsedPublicKey::new(&X25519, encapsulated), "no agreement", |dh| {
        let context = [encapsulated, public.as_ref()].concat();
        Ok(expand(kem, &extract(kem, b"", "eae_prk", dh), "shared_secret", &context, 32))
    })?;
    let suite = b"HPKE\x00\x20\x00\x01\x00\x02";
    let hashes = [extract(suite, b"", "psk_id_hash", b""), extract(suite, b"", "info_hash", info)];
    let context = [&[0][..], &hashes[0], &hashes[1]].concat();
    let secret = extract(suite, &shared, "secret", b"");
    let key = expand(suite, &secret, "key", &context, 32);
    let nonce = expand(suite, &secret, "base_nonce", &context, 12);
    let key = open(Some(&key), nonce[..12].try_into().unwrap(), b"", sealed)?;
    key.try_into().map_err(|_| "a wrapped key of another length".into())
}
