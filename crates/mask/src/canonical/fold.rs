//! Upper and lower case as a database's `lower()` sees them.

use crate::catalog::{Catalog, ColumnFacts};

/// How a database compares the texts of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// What citext does.
    pub fold: Fold,
    /// False: the column's collation calls texts of different bytes equal.
    pub is_deterministic: bool,
}

impl Comparison {
    /// Of a column.
    pub fn of(catalog: &Catalog, column: &ColumnFacts) -> Comparison {
        let collation =
            column.collation.and_then(|oid| catalog.collations.iter().find(|found| found.oid == oid));
        Comparison {
            fold: Fold::of(&catalog.ctype),
            is_deterministic: collation.is_none_or(|collation| collation.deterministic),
        }
    }
}

/// How `lower()` works: citext always uses the database's own `LC_CTYPE`, whatever the column's
/// collation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// `C` and `POSIX`: A to Z alone.
    Ascii,
    /// Unicode's simple lower case of each character (`towlower`).
    Simple,
    /// The same, but I and İ become ı and i: Turkish and Azerbaijani.
    Turkic,
}

impl Fold {
    /// Of a database's `LC_CTYPE`.
    pub fn of(ctype: &str) -> Fold {
        match ctype {
            "C" | "POSIX" => Fold::Ascii,
            _ if ["tr_", "az_"].iter().any(|language| ctype.starts_with(language)) => Fold::Turkic,
            _ => Fold::Simple,
        }
    }

    /// One character in lower case.
    pub fn lower(self, character: char) -> char {
        match (self, character) {
            (Fold::Turkic, 'I') => 'ı',
            (_, 'A'..='Z') => character.to_ascii_lowercase(),
            (Fold::Ascii, _) => character,
            // The only character whose lower case is longer than one: its first is the simple one.
            _ => character.to_lowercase().next().unwrap_or(character),
        }
    }

    /// Appends a text in lower case.
    pub fn write(self, text: &str, out: &mut Vec<u8>) {
        if text.is_ascii() && self != Fold::Turkic {
            out.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
            return;
        }
        let mut buffer = [0; 4];
        for character in text.chars() {
            out.extend_from_slice(self.lower(character).encode_utf8(&mut buffer).as_bytes());
        }
    }
}
