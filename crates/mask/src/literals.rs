//! Texts that definitions hold, so that a plain value among them is recognised while rows are
//! masked (M160).
//!
//! Definitions stay as they are. A comment that names a customer, a function or a view that
//! compares with one, keep the name although the customer's row is masked. What a definition holds
//! is compared with each plain value of a column that gets a fiction: whole strings of SQL, those
//! inside of function bodies too, and of comments also each word.
//!
//! Short texts and numbers alone are left out: they would be found everywhere and say nothing.

use std::collections::{BTreeSet, HashMap};

use pgark_bytes::sql::{Kind, tokenize};

/// A text of fewer characters is no secret by itself.
const SHORTEST: usize = 4;
/// Function bodies within function bodies are looked into so deep.
const DEEPEST: u32 = 4;

/// The texts of the definitions of one database.
#[derive(Debug, Default)]
pub struct Literals {
    texts: HashMap<Box<str>, usize>,
    /// By text: the objects whose definitions hold it.
    objects: Vec<BTreeSet<String>>,
    /// Which first bytes and lengths there are: most values are told apart by these alone.
    firsts: Bits,
    lengths: Bits,
}

/// A set of bytes.
#[derive(Debug, Default)]
struct Bits([u64; 4]);

impl Bits {
    fn add(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    fn holds(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word >> (byte & 63) & 1 == 1)
    }
}

impl Literals {
    /// Adds the strings of an object's definition; `object`: for people, as `view public.v`.
    pub fn add(&mut self, object: &str, sql: &str) {
        self.add_strings(object, sql.as_bytes(), 0);
    }

    /// The same of a comment, of which each word counts, too.
    pub fn add_comment(&mut self, object: &str, sql: &str) {
        let tokens = tokenize(sql.as_bytes());
        for text in tokens.filter(|token| token.kind == Kind::String).map(|token| string(token.text)) {
            self.add_text(object, &text);
            for word in text.split_whitespace() {
                self.add_text(object, word.trim_matches(|sign: char| !sign.is_alphanumeric()));
            }
        }
    }

    fn add_strings(&mut self, object: &str, sql: &[u8], depth: u32) {
        for token in tokenize(sql) {
            match token.kind {
                Kind::String => self.add_text(object, &string(token.text)),
                Kind::DollarString if depth < DEEPEST => {
                    self.add_strings(object, body(token.text), depth + 1);
                }
                _ => {}
            }
        }
    }

    fn add_text(&mut self, object: &str, text: &str) {
        let says_something =
            text.chars().count() >= SHORTEST && !text.bytes().all(|byte| byte.is_ascii_digit());
        let Some(first) = text.bytes().next().filter(|_| says_something) else { return };
        self.firsts.add(first);
        self.lengths.add(text.len() as u8);
        let number = match self.texts.get(text) {
            Some(number) => *number,
            None => {
                self.texts.insert(text.into(), self.objects.len());
                self.objects.push(BTreeSet::new());
                self.objects.len() - 1
            }
        };
        if let Some(objects) = self.objects.get_mut(number) {
            objects.insert(object.to_string());
        }
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The number of a text that some definition holds.
    #[inline]
    pub(crate) fn find(&self, value: &str) -> Option<usize> {
        let first = *value.as_bytes().first()?;
        // The lowest eight bits of the length.
        if !self.firsts.holds(first) || !self.lengths.holds(value.len() as u8) {
            return None;
        }
        self.texts.get(value).copied()
    }

    /// The objects whose definitions hold a text.
    pub fn objects(&self, number: usize) -> impl Iterator<Item = &str> {
        self.objects.get(number).into_iter().flatten().map(String::as_str)
    }
}

/// What a string of SQL says: `'it''s'`, also with a prefix.
fn string(token: &[u8]) -> String {
    let text = String::from_utf8_lossy(token);
    let inner = text.split_once('\'').map_or("", |(_, inner)| inner);
    inner.strip_suffix('\'').unwrap_or(inner).replace("''", "'")
}

/// What is between the dollars of `$tag$…$tag$`.
fn body(token: &[u8]) -> &[u8] {
    let tag = memchr::memchr(b'$', token.get(1..).unwrap_or_default()).map_or(0, |at| at + 2);
    let inner = token.get(tag..).unwrap_or_default();
    inner.get(..inner.len().saturating_sub(tag)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(literals: &Literals, value: &str) -> Vec<String> {
        let number = literals.find(value);
        number.into_iter().flat_map(|number| literals.objects(number)).map(str::to_string).collect()
    }

    #[test]
    fn texts_of_definitions_are_found_whole() {
        let mut literals = Literals::default();
        assert!(literals.is_empty() && literals.find("Anna").is_none());
        literals.add("view v", "CREATE VIEW v AS SELECT 1 WHERE name = 'O''Hara'::text AND x <> 'abc'");
        literals.add(
            "function f",
            "CREATE FUNCTION f() AS $_$ BEGIN RETURN E'Berta' || $q$ 'Carla' $q$ || '2024'; END $_$",
        );
        literals.add_comment("table t", "COMMENT ON TABLE t IS 'asks (anna@example.com), of Berta';");
        assert_eq!(found(&literals, "O'Hara"), ["view v"]);
        assert_eq!(found(&literals, "Berta"), ["function f", "table t"]);
        assert_eq!(found(&literals, "Carla"), ["function f"]);
        assert_eq!(found(&literals, "anna@example.com"), ["table t"]);
        // Too short, a number, a part of a text, a name.
        for none in ["abc", "2024", "Hara", "name", "example.com", "of", ""] {
            assert_eq!(literals.find(none), None, "{none}");
        }
    }
}
