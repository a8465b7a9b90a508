//! SSH keys as recipients and identities of age: ed25519 (<https://c2sp.org/age>, and age's
//! documentation, "SSH keys").
//!
//! The age crate's own module for them brings RSA with it, by a crate whose decryption can leak the
//! key (RUSTSEC-2023-0071, without a fix). So ed25519 is done here, and RSA is refused.

use std::collections::HashSet;
use std::io;

use age::secrecy::ExposeSecret;
use age::secrecy::zeroize::Zeroizing;
use age::{DecryptError, EncryptError, Identity, Recipient};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::primitives::{aead_decrypt, aead_encrypt, hkdf};
use aws_lc_rs::digest::{SHA256, SHA512, digest};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::montgomery::MontgomeryPoint;

use super::sealing::random;

/// As public keys and stanzas begin.
pub(super) const ED25519: &str = "ssh-ed25519";
const RSA: &str = "ssh-rsa";
/// Binds the keys of stanzas to what they are for.
const LABEL: &[u8] = b"age-encryption.org/v1/ssh-ed25519";
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";
const NO_RSA: &str = "RSA SSH keys are not supported: the available implementations can leak them. Use an ed25519 SSH key, or an age identity";

/// Whether a recipient is a public key of SSH, of whatever kind.
pub(super) fn is_public_key(text: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|begins| text.starts_with(begins))
}

/// Whether an identity file is a private key of SSH, in whatever form.
pub(super) fn is_private_key(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(" PRIVATE KEY-----"))
}

/// A public key.
pub(super) struct SshRecipient {
    /// As SSH encodes it: kind and key.
    blob: Vec<u8>,
    point: MontgomeryPoint,
}

/// A private key.
pub(super) struct SshIdentity {
    public: SshRecipient,
    secret: Zeroizing<[u8; 32]>,
}

/// The fields of SSH's encoding.
struct Fields<'f>(&'f [u8]);

impl<'f> Fields<'f> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Option<&'f [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }
}

impl SshRecipient {
    /// Reads `ssh-ed25519 AAAA…`, with or without a comment.
    pub(super) fn parse(text: &str) -> Result<SshRecipient, String> {
        let mut words = text.split_whitespace();
        match words.next() {
            Some(ED25519) => {}
            Some(RSA) => return Err(NO_RSA.into()),
            kind => {
                return Err(format!("SSH keys of the kind {} are not supported", kind.unwrap_or_default()));
            }
        }
        let decoded = words.next().and_then(|encoded| BASE64_STANDARD.decode(encoded).ok());
        decoded.and_then(SshRecipient::of).ok_or_else(|| "it is not an SSH public key".into())
    }

    fn of(blob: Vec<u8>) -> Option<SshRecipient> {
        let mut fields = Fields(&blob);
        let (kind, key) = (fields.string()?, fields.string()?);
        if kind != ED25519.as_bytes() || !fields.0.is_empty() {
            return None;
        }
        let point = CompressedEdwardsY::from_slice(key).ok()?.decompress()?;
        if point.is_small_order() {
            return None;
        }
        let point = point.to_montgomery();
        Some(SshRecipient { blob, point })
    }

    /// What stanzas name the key by.
    fn tag(&self) -> String {
        let hash = digest(&SHA256, &self.blob);
        BASE64_STANDARD_NO_PAD.encode(hash.as_ref().get(..4).unwrap_or_default())
    }

    /// The key that a file's key is wrapped with: of the ephemeral share, and what both sides
    /// computed.
    fn wrapping_key(&self, share: &MontgomeryPoint, shared: MontgomeryPoint) -> Option<Zeroizing<[u8; 32]>> {
        let tweak = Zeroizing::new(hkdf(&self.blob, LABEL, &[]));
        let shared = Zeroizing::new(shared.mul_clamped(*tweak).to_bytes());
        if shared.iter().all(|byte| *byte == 0) {
            return None;
        }
        let salt = [share.to_bytes(), self.point.to_bytes()].concat();
        Some(Zeroizing::new(hkdf(&salt, LABEL, shared.as_slice())))
    }
}

impl Recipient for SshRecipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let failed = || EncryptError::Io(io::Error::other("no key could be made for the SSH key"));
        let mut ephemeral = Zeroizing::new([0; 32]);
        random(ephemeral.as_mut()).map_err(|_| failed())?;
        let share = MontgomeryPoint::mul_base_clamped(*ephemeral);
        let key = self.wrapping_key(&share, self.point.mul_clamped(*ephemeral)).ok_or_else(failed)?;
        let stanza = Stanza {
            tag: ED25519.into(),
            args: vec![self.tag(), BASE64_STANDARD_NO_PAD.encode(share.to_bytes())],
            body: aead_encrypt(&key, file_key.expose_secret()),
        };
        Ok((vec![stanza], HashSet::new()))
    }
}

impl SshIdentity {
    /// Reads a private key in OpenSSH's form that is under no passphrase.
    pub(super) fn parse(text: &str) -> Result<SshIdentity, String> {
        let other = "it is not a private key in OpenSSH's format (`ssh-keygen -p -f FILE` converts it)";
        let (_, rest) = text.split_once(BEGIN).ok_or(other)?;
        let (body, _) = rest.split_once(END).ok_or(other)?;
        let encoded = Zeroizing::new(body.split_whitespace().collect::<String>());
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(encoded.as_bytes()).map_err(|_| other)?);
        let mut fields = Fields(bytes.strip_prefix(MAGIC).ok_or(other)?);
        let cipher = fields.string().ok_or(other)?;
        let (Some(_), Some(_), Some(1)) = (fields.string(), fields.string(), fields.number()) else {
            return Err(other.into());
        };
        let blob = fields.string().ok_or(other)?;
        match Fields(blob).string() {
            Some(kind) if kind == ED25519.as_bytes() => {}
            Some(kind) if kind == RSA.as_bytes() => return Err(NO_RSA.into()),
            kind => {
                let kind = String::from_utf8_lossy(kind.unwrap_or_default());
                return Err(format!("SSH keys of the kind {kind} are not supported"));
            }
        }
        if cipher != b"none" {
            return Err(
                "the SSH key has a passphrase: give a copy without one (`ssh-keygen -p -f COPY`)".into()
            );
        }
        let public = SshRecipient::of(blob.to_vec()).ok_or(other)?;
        let secret = secret(fields.string().ok_or(other)?, blob).ok_or(other)?;
        // Of an SSH key the private half is a hash of its seed.
        if MontgomeryPoint::mul_base_clamped(*secret) != public.point {
            return Err("the two halves of the SSH key do not belong together".into());
        }
        Ok(SshIdentity { public, secret })
    }
}

/// The X25519 key in the private part of an SSH key.
fn secret(private: &[u8], blob: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut fields = Fields(private);
    if fields.number()? != fields.number()? || fields.string()? != ED25519.as_bytes() {
        return None;
    }
    let (public, pair) = (fields.string()?, fields.string()?);
    let (seed, rest) = pair.split_first_chunk::<32>()?;
    if rest != public || !blob.ends_with(public) {
        return None;
    }
    let hash = digest(&SHA512, seed);
    hash.as_ref().first_chunk::<32>().map(|half| Zeroizing::new(*half))
}

impl Identity for SshIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag != ED25519 {
            return None;
        }
        let [tag, share] = stanza.args.as_slice() else { return Some(Err(DecryptError::InvalidHeader)) };
        if *tag != self.public.tag() {
            return None;
        }
        Some(self.unwrap(share, &stanza.body))
    }
}

impl SshIdentity {
    fn unwrap(&self, share: &str, body: &[u8]) -> Result<FileKey, DecryptError> {
        let share =
            BASE64_STANDARD_NO_PAD.decode(share).ok().and_then(|share| <[u8; 32]>::try_from(share).ok());
        let share = MontgomeryPoint(share.ok_or(DecryptError::InvalidHeader)?);
        let key = self.public.wrapping_key(&share, share.mul_clamped(*self.secret));
        let key = key.ok_or(DecryptError::InvalidHeader)?;
        let opened = aead_decrypt(&key, FILE_KEY_BYTES, body);
        let opened = Zeroizing::new(opened.map_err(|_| DecryptError::DecryptionFailed)?);
        FileKey::try_init_with_mut(|key| match <&[u8; FILE_KEY_BYTES]>::try_from(opened.as_slice()) {
            Ok(opened) => {
                *key = *opened;
                Ok(())
            }
            Err(_) => Err(DecryptError::DecryptionFailed),
        })
    }
}
