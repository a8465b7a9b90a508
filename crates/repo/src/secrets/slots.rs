//! Key slots: ordinary `age` files under `keys/`, each opening the same keyring.

use std::io::{Cursor, Read};

use age::secrecy::zeroize::Zeroizing;
use age::secrecy::{ExposeSecret, SecretString};
use age::{Decryptor, EncryptError, Encryptor, Identity, Recipient};
use pgark_store::Storage;
use unicode_normalization::UnicodeNormalization;

use super::header::hex;
use super::plugin::Failures;
use super::recipients;
use super::unlock::{Protection, Unlock};
use crate::RepoError;
use crate::at_once::each;
use crate::lock::lock;
use crate::names;
use crate::object::get_if_there;

pub(crate) const FOLDER: &str = "keys/";
pub(crate) const COPIES: &str = "keys-copy/";
/// scrypt's work factor: opening stays under a second and 128 MiB.
const WORK_FACTOR: u8 = 17;
/// A slot with hundreds of recipients is still smaller.
const LARGEST: u64 = 1 << 20;
const SHORTEST_PASSPHRASE: usize = 12;
const FEWEST_DIFFERENT: usize = 6;

impl Protection {
    /// Finds what is wrong with it, as far as no plugin of age has to be asked.
    ///
    /// # Errors
    /// [`RepoError::BadSecret`], [`RepoError::WeakPassphrase`].
    pub fn check(&self) -> Result<(), RepoError> {
        match self {
            Protection::Recipients(texts) => texts.iter().try_for_each(|text| recipients::check(text)),
            Protection::Passphrase(passphrase) => refuse_weak(passphrase),
            Protection::None => Ok(()),
        }
    }
}

/// Seals the keyring into a slot and puts it, with a second copy. Returns its name below the folder
/// of slots; none without protection.
pub(crate) fn put(
    store: &Storage,
    protection: &Protection,
    keyring: &[u8],
) -> Result<Option<String>, RepoError> {
    let recipients: Vec<Box<dyn Recipient>> = match protection {
        Protection::Recipients(texts) => {
            texts.iter().map(|text| recipients::recipient(text, store)).collect::<Result<_, _>>()?
        }
        Protection::Passphrase(passphrase) => {
            refuse_weak(passphrase)?;
            let mut recipient = age::scrypt::Recipient::new(composed(passphrase));
            recipient.set_work_factor(WORK_FACTOR);
            vec![Box::new(recipient)]
        }
        Protection::None => return Ok(None),
    };
    let sealed = seal(&recipients, keyring)?;
    let name = format!("1-{}.age", hex(&blake3::hash(&sealed).as_bytes()[..8]));
    store.put_if_absent(&format!("{FOLDER}{name}"), sealed.clone().into())?;
    store.put_if_absent(&format!("{COPIES}{name}"), sealed.into())?;
    Ok(Some(name))
}

fn seal(recipients: &[Box<dyn Recipient>], keyring: &[u8]) -> Result<Vec<u8>, RepoError> {
    const FAILED: RepoError = RepoError::Crypto("sealing the key slot");
    let encryptor = Encryptor::with_recipients(recipients.iter().map(|recipient| recipient.as_ref()))
        .map_err(|error| match error {
            // What a plugin says, or that it is not there.
            EncryptError::Io(error) => RepoError::Plugin { what: "recipient", why: error.to_string() },
            _ => FAILED,
        })?;
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(|_| FAILED)?;
    std::io::Write::write_all(&mut writer, keyring).map_err(|_| FAILED)?;
    writer.finish().map_err(|_| FAILED)?;
    Ok(sealed)
}

/// A passphrase of 30 random characters in groups of five: 150 bits. Digits and letters that are
/// not mistaken for each other (Crockford's base 32, in lower case).
pub fn generate_passphrase() -> Result<SecretString, RepoError> {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut random = Zeroizing::new([0u8; 30]);
    super::sealing::random(random.as_mut())?;
    let mut text = String::with_capacity(36);
    for (at, byte) in random.iter().enumerate() {
        if at > 0 && at.is_multiple_of(5) {
            text.push('-');
        }
        text.push(char::from(LETTERS[usize::from(byte % 32)]));
    }
    Ok(SecretString::from(text))
}

fn refuse_weak(passphrase: &SecretString) -> Result<(), RepoError> {
    let text = passphrase.expose_secret();
    if text.chars().count() < SHORTEST_PASSPHRASE {
        return Err(RepoError::WeakPassphrase { why: "it has fewer than 12 characters" });
    }
    let different: std::collections::HashSet<char> = text.chars().collect();
    if different.len() < FEWEST_DIFFERENT {
        return Err(RepoError::WeakPassphrase { why: "it has very few different characters" });
    }
    Ok(())
}

/// The keyrings of all slots that open; of their copies only where none of them does.
pub(super) fn open(store: &Storage, unlock: &Unlock) -> Result<Vec<Zeroizing<Vec<u8>>>, RepoError> {
    let failures = Failures::default();
    let identities = identities(unlock, store, &failures)?;
    let mut seen = 0;
    for folder in [FOLDER, COPIES] {
        let mut found = Vec::new();
        let slots: Vec<_> =
            names::list(store, folder)?.into_iter().filter(|meta| meta.size <= LARGEST).collect();
        for sealed in each(&slots, |meta| get_if_there(store, &meta.name)) {
            let Some(sealed) = sealed? else { continue };
            seen += 1;
            found.extend(open_one(&sealed, &identities));
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    store.cancel().check()?;
    if seen == 0 {
        return Err(RepoError::Missing { object: "every key slot (keys/)".into() });
    }
    let first = lock(&failures).drain(..).next();
    Err(match first {
        Some(why) => RepoError::Plugin { what: "identity file", why },
        None => RepoError::WrongKey,
    })
}

/// A passphrase in the one form that slots are made with (NFC): keyboards and systems differ in how
/// they write an `é`.
fn composed(passphrase: &SecretString) -> SecretString {
    SecretString::from(passphrase.expose_secret().nfc().collect::<String>())
}

fn identities(
    unlock: &Unlock,
    store: &Storage,
    failures: &Failures,
) -> Result<Vec<Box<dyn Identity>>, RepoError> {
    match unlock {
        Unlock::Passphrase(passphrase) => {
            let identity = |form: SecretString| -> Box<dyn Identity> {
                let mut identity = age::scrypt::Identity::new(form);
                // A slot that asks for more was not made by us, and would take the memory.
                identity.set_max_work_factor(WORK_FACTOR + 1);
                Box::new(identity)
            };
            // A slot that another program made may hold it as it was typed.
            let mut forms = vec![composed(passphrase)];
            if forms.iter().all(|form| form.expose_secret() != passphrase.expose_secret()) {
                forms.push(passphrase.clone());
            }
            Ok(forms.into_iter().map(identity).collect())
        }
        Unlock::Identity(text) => recipients::identities(text.expose_secret(), store, failures),
        Unlock::WriterKey(_) | Unlock::Nothing => Ok(Vec::new()),
    }
}

fn open_one(sealed: &[u8], identities: &[Box<dyn Identity>]) -> Option<Zeroizing<Vec<u8>>> {
    let decryptor = Decryptor::new(Cursor::new(sealed)).ok()?;
    let reader = decryptor.decrypt(identities.iter().map(|identity| identity.as_ref())).ok()?;
    let mut keyring = Zeroizing::new(Vec::new());
    reader.take(LARGEST).read_to_end(&mut keyring).ok()?;
    Some(keyring)
}
