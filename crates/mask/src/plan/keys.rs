//! A unique key of a table, as the proof that its masked rows are unique sees it: one number for
//! each masked row, equal where the server would call the keys equal.
//!
//! The number is the first 8 bytes of the keyed function of the canonical values of the key's
//! columns. Its rule key comes from the key of the run: whoever finds such numbers on a disk learns
//! nothing from them, not even with a list of guesses.

use crate::canonical::{Fold, Form};
use crate::condition::Condition;
use crate::key::RuleKey;
use crate::transformer::{Refusal, Row};
use crate::types::Decimal;

/// A key whose masked rows nothing but a proof shows to be unique.
#[derive(Clone, Debug)]
pub struct UniqueKey {
    pub(super) name: String,
    pub(super) domain: [u8; 16],
    pub(super) columns: Vec<KeyColumn>,
    pub(super) nulls_are_equal: bool,
    pub(super) predicate: Option<Condition>,
    pub(super) key: RuleKey,
}

/// A column of a key.
#[derive(Clone, Debug)]
pub(super) struct KeyColumn {
    /// Its number in COPY.
    pub column: usize,
    pub part: Part,
}

/// What the key has of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The value.
    Value(Form),
    /// The value, which the server rounds to so many digits behind the point.
    Rounded(u32),
    /// A day: the server would drop a time of day.
    Day,
    /// `lower(…)`; whether blanks at the end are dropped before.
    Lower(Fold, bool),
    /// `upper(…)`; whether blanks at the end are dropped before.
    Upper(Fold, bool),
}

const NULL: u8 = 0;
const VALUE: u8 = 1;

impl UniqueKey {
    /// The constraint or index.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What tells the key apart from all others of the database. The partitions of a table have
    /// the key of that table together: their rows are proved as rows of one table, and their keys
    /// have one domain.
    pub fn domain(&self) -> [u8; 16] {
        self.domain
    }

    /// The number of a row, whose plain values are those of the masked row. None: the row takes no
    /// part, since a column is NULL, or the predicate of a partial index is not true.
    pub(super) fn hash(&self, row: &dyn Row, bytes: &mut Vec<u8>) -> Result<Option<u64>, Refusal> {
        if let Some(predicate) = &self.predicate
            && predicate.holds(row)? != Some(true)
        {
            return Ok(None);
        }
        bytes.clear();
        for KeyColumn { column, part } in &self.columns {
            match row.plain(*column) {
                None if self.nulls_are_equal => bytes.push(NULL),
                None => return Ok(None),
                Some(text) => {
                    bytes.push(VALUE);
                    // With its length, so that no two rows of values have the same bytes.
                    let at = bytes.len();
                    bytes.extend_from_slice(&[0; 8]);
                    part.write(text, bytes)?;
                    let (before, value) = bytes.split_at_mut(at + 8);
                    if let Some(length) = before.last_chunk_mut() {
                        *length = (value.len() as u64).to_le_bytes();
                    }
                }
            }
        }
        // The first 8 bytes of 16, little-endian.
        Ok(Some(self.key.hash(bytes) as u64))
    }
}

impl Part {
    fn write(&self, text: &str, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match self {
            Part::Value(form) => form.write(text, out),
            Part::Rounded(scale) => match Decimal::parse(text).and_then(|number| number.rescale(*scale)) {
                Some(rounded) => Form::Number.write(&rounded.to_string(), out),
                // NaN, or a number of very many digits.
                None => Form::Number.write(text, out),
            },
            Part::Day if text.contains(':') => {
                Err(Refusal::new("a fiction of a date has a time of day, which the server drops"))
            }
            Part::Day => Form::Timestamp.write(text, out),
            Part::Lower(fold, trims) => {
                fold.write(trimmed(text, *trims), out);
                Ok(())
            }
            Part::Upper(fold, trims) => {
                fold.write_upper(trimmed(text, *trims), out);
                Ok(())
            }
        }
    }
}

fn trimmed(text: &str, trims: bool) -> &str {
    if trims { text.trim_end_matches(' ') } else { text }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    struct Values<'v>(&'v [Option<&'v str>]);

    impl Row for Values<'_> {
        fn plain(&self, column: usize) -> Option<&str> {
            self.0.get(column).copied().flatten()
        }

        fn masked(&self, _: usize) -> Option<&str> {
            None
        }
    }

    fn key(parts: &[Part], nulls_are_equal: bool) -> UniqueKey {
        let columns = parts.iter().enumerate();
        UniqueKey {
            name: "k".into(),
            domain: [0; 16],
            columns: columns.map(|(column, part)| KeyColumn { column, part: part.clone() }).collect(),
            nulls_are_equal,
            predicate: None,
            key: RuleKey::of_bytes([7; 16]),
        }
    }

    fn hash(key: &UniqueKey, row: &[Option<&str>]) -> Option<u64> {
        key.hash(&Values(row), &mut Vec::new()).unwrap()
    }

    #[test]
    fn values_do_not_run_into_each_other() {
        let texts = key(&[Part::Value(Form::Text), Part::Value(Form::Text)], false);
        assert_ne!(hash(&texts, &[Some("ab"), Some("c")]), hash(&texts, &[Some("a"), Some("bc")]));
        assert_eq!(hash(&texts, &[Some("ab"), Some("c")]), hash(&texts, &[Some("ab"), Some("c")]));
        assert_eq!(hash(&texts, &[Some("ab"), None]), None);
        let equal = key(&[Part::Value(Form::Text), Part::Value(Form::Text)], true);
        assert_eq!(hash(&equal, &[Some("ab"), None]), hash(&equal, &[Some("ab"), None]));
        assert_ne!(hash(&equal, &[Some("ab"), None]), hash(&equal, &[Some("ab"), Some("")]));
        assert_ne!(hash(&equal, &[None, Some("ab")]), hash(&equal, &[Some("ab"), None]));
    }

    #[test]
    fn values_are_what_the_server_makes_of_them() {
        for (part, one, other) in [
            (Part::Rounded(2), "1.004", "1"),
            (Part::Rounded(2), "1.005", "1.010"),
            (Part::Rounded(0), "-0.4", "0"),
            (Part::Rounded(2), "NaN", "NaN"),
            (Part::Lower(Fold::Simple, false), "ÄB", "äb"),
            (Part::Upper(Fold::Simple, false), "äbᾳ", "ÄBᾼ"),
            (Part::Lower(Fold::Simple, true), "AB  ", "ab"),
            (Part::Day, "0044-03-15 BC", "0044-03-15 BC"),
        ] {
            let key = key(std::slice::from_ref(&part), false);
            assert_eq!(hash(&key, &[Some(one)]), hash(&key, &[Some(other)]), "{part:?}");
        }
        let ascii = key(&[Part::Lower(Fold::Ascii, false)], false);
        assert_ne!(hash(&ascii, &[Some("Ä")]), hash(&ascii, &[Some("ä")]));
        let day = key(&[Part::Day], false);
        let refused = day.hash(&Values(&[Some("2000-01-01 10:00:00")]), &mut Vec::new()).unwrap_err();
        assert!(!refused.why.contains("2000"), "{refused}");
    }
}
