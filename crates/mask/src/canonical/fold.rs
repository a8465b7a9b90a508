//! Upper and lower case as a database's `lower()` sees them.

use crate::catalog::{Catalog, CollationFacts, ColumnFacts};

/// How a database compares the texts of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// What citext does; None: the server alone knows.
    pub fold: Option<Fold>,
    /// False: the column's collation calls texts of different bytes equal.
    pub is_deterministic: bool,
}

impl Comparison {
    /// Of a column.
    pub fn of(catalog: &Catalog, column: &ColumnFacts) -> Comparison {
        Comparison {
            // Whatever the column's collation is, citext folds by the database's own.
            fold: Fold::of_collation(catalog, None),
            is_deterministic: is_deterministic(catalog, column.collation),
        }
    }
}

/// Whether texts are equal only if their bytes are, in a collation; None is the database's own.
pub(crate) fn is_deterministic(catalog: &Catalog, collation: Option<u32>) -> bool {
    collation.and_then(|oid| found(catalog, oid)).is_none_or(|collation| collation.deterministic)
}

fn found(catalog: &Catalog, oid: u32) -> Option<&CollationFacts> {
    catalog.collations.iter().find(|collation| collation.oid == oid)
}

/// How `lower()` works: citext always uses the database's own collation, whatever the column's is.
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

    /// What `lower()` and `upper()` do in a collation; None is the database's own.
    ///
    /// None: a character's case depends on its neighbours, as ICU has it, or the provider is not
    /// known. The C library and the server's own `C.UTF-8` map character by character.
    pub(crate) fn of_collation(catalog: &Catalog, collation: Option<u32>) -> Option<Fold> {
        let (provider, ctype, locale) = match collation {
            None => (catalog.provider, Some(catalog.ctype.as_str()), catalog.locale.as_deref()),
            Some(oid) => {
                let collation = found(catalog, oid)?;
                (collation.provider, collation.locale.as_deref(), collation.locale.as_deref())
            }
        };
        match (provider, locale) {
            ('i', _) => None,
            ('b', Some("C")) => Some(Fold::Ascii),
            ('b', Some("C.UTF-8")) => Some(Fold::Simple),
            ('b', _) => None,
            _ => ctype.map(Fold::of),
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

    /// One character in upper case: Unicode's simple mapping (`towupper`).
    pub fn upper(self, character: char) -> char {
        match (self, character) {
            (Fold::Turkic, 'i') => 'İ',
            (_, 'a'..='z') => character.to_ascii_uppercase(),
            (Fold::Ascii, _) => character,
            _ => {
                let mut mapped = character.to_uppercase();
                match (mapped.next(), mapped.next()) {
                    (Some(one), None) => one,
                    // The full mapping has several characters; the simple one has one, or none.
                    _ => with_iota(character),
                }
            }
        }
    }

    /// Appends a text in upper case.
    pub fn write_upper(self, text: &str, out: &mut Vec<u8>) {
        let mut buffer = [0; 4];
        for character in text.chars() {
            out.extend_from_slice(self.upper(character).encode_utf8(&mut buffer).as_bytes());
        }
    }
}

/// The simple upper case of Greek vowels with an iota below, whose full upper case is two
/// characters; another character stays.
fn with_iota(character: char) -> char {
    let distance = match character {
        'ᾀ'..='ᾇ' | 'ᾐ'..='ᾗ' | 'ᾠ'..='ᾧ' => 8,
        'ᾳ' | 'ῃ' | 'ῳ' => 9,
        _ => 0,
    };
    char::from_u32(u32::from(character) + distance).unwrap_or(character)
}
