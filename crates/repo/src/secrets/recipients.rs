//! What key slots are sealed for, and what opens them, in the texts that people have: recipients
//! and identities of age, ed25519 keys of SSH, and those of age's plugins.

use age::{Identity, Recipient, x25519};
use pgark_store::Storage;

use super::plugin::{self, Failures, PluginIdentity, PluginRecipient};
use super::ssh::{self, SshIdentity, SshRecipient};
use crate::RepoError;

/// As files begin that age has encrypted.
const ENCRYPTED: [&str; 2] = ["age-encryption.org/", "-----BEGIN AGE ENCRYPTED FILE-----"];

/// The one form in which a recipient is kept: of an SSH key without its comment.
pub(crate) fn plain(text: &str) -> String {
    match ssh::is_public_key(text.trim()) {
        true => text.split_whitespace().take(2).collect::<Vec<_>>().join(" "),
        false => text.trim().to_string(),
    }
}

/// Whom a slot is sealed for.
pub(super) fn recipient(text: &str, store: &Storage) -> Result<Box<dyn Recipient>, RepoError> {
    let text = text.trim();
    match plugin::of_recipient(text) {
        Some(plugin) if !ssh::is_public_key(text) => {
            Ok(Box::new(PluginRecipient { plugin, recipient: text.into(), store: store.clone() }))
        }
        _ => without_plugin(text),
    }
}

/// Whether it can be one; of a plugin's only the plugin knows.
pub(super) fn check(text: &str) -> Result<(), RepoError> {
    let text = text.trim();
    match plugin::of_recipient(text) {
        Some(_) if !ssh::is_public_key(text) => Ok(()),
        _ => without_plugin(text).map(drop),
    }
}

fn without_plugin(text: &str) -> Result<Box<dyn Recipient>, RepoError> {
    let bad = |why: String| RepoError::BadSecret { what: "recipient", why: format!("{text:?}: {why}") };
    if ssh::is_public_key(text) {
        return Ok(Box::new(SshRecipient::parse(text).map_err(bad)?));
    }
    match text.parse::<x25519::Recipient>() {
        Ok(parsed) => Ok(Box::new(parsed)),
        Err(why) => Err(bad(format!("it is not an age public key ({why})"))),
    }
}

/// The identities of a file: one on each line, or a private key of SSH. What plugins fail with goes
/// to `failures`.
pub(super) fn identities(
    text: &str,
    store: &Storage,
    failures: &Failures,
) -> Result<Vec<Box<dyn Identity>>, RepoError> {
    let bad = |why: String| RepoError::BadSecret { what: "identity file", why };
    if ENCRYPTED.iter().any(|begins| text.trim_start().starts_with(begins)) {
        return Err(bad("it is itself encrypted: give it as `age -d` writes it".into()));
    }
    if ssh::is_private_key(text) {
        return Ok(vec![Box::new(SshIdentity::parse(text).map_err(bad)?)]);
    }
    let mut found: Vec<Box<dyn Identity>> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        found.push(match plugin::of_identity(line) {
            Some(plugin) => Box::new(PluginIdentity {
                plugin,
                identity: line.into(),
                store: store.clone(),
                failures: failures.clone(),
            }),
            None => match line.parse::<x25519::Identity>() {
                Ok(identity) => Box::new(identity),
                Err(why) => return Err(bad(format!("a line is not an age identity ({why})"))),
            },
        });
    }
    match found.is_empty() {
        true => Err(bad("it contains no identity".into())),
        false => Ok(found),
    }
}
