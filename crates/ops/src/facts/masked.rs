//! The rules and the key that a backup was masked with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hex;

/// The rules and the key that a backup was masked with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Masked {
    /// Name of the rules file, without its folder.
    pub rules: String,
    /// BLAKE3 of the rules file, in hex.
    pub rules_hash: String,
    /// Fingerprint of the mask key: 8 hex digits. Equal values have equal fictions in backups of
    /// one key and one vocabulary, where the rules are the same.
    pub key: String,
    /// Version of the word lists.
    pub vocabulary: u32,
    /// The repository's mask domain: 32 hex digits. Masked backups share data only with masked
    /// backups of the same domain.
    pub domain: String,
}

impl Masked {
    /// The mask domain as the repository takes it; None: it is none.
    pub(crate) fn domain(&self) -> Option<[u8; 16]> {
        hex::decode(self.domain.as_bytes())?.try_into().ok()
    }

    /// For people: `shop.toml, key 1a2b3c4d`.
    pub(crate) fn describe(&self) -> String {
        format!("{}, key {}", self.rules, self.key)
    }
}
