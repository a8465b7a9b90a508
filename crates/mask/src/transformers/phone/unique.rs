//! Unique numbers: a bijection behind a country code that nobody has.

use crate::key::RuleKey;
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::fitting::{takes_text, value};
use crate::transformers::shape::{Shape, Way};
use crate::types::Kind;

#[derive(Debug)]
pub(super) struct Unique {
    kind: Kind,
    shape: Shape,
    room: Option<usize>,
}

/// E.164 allows 15 digits.
const MOST_DIGITS: usize = 15;

/// Of a number with a + and of one without, in front of the permuted rest.
const PREFIXES: (&str, &str) = ("+999", "00999");

impl Unique {
    /// An error is how many characters the column must have.
    pub fn new(kind: Kind, key: RuleKey, room: Option<usize>) -> Result<Unique, usize> {
        let needed = if takes_text(&kind) { PREFIXES.0.len() + MOST_DIGITS } else { 3 + MOST_DIGITS };
        if room.is_some_and(|room| room < needed) {
            return Err(needed);
        }
        Ok(Unique { kind, shape: Shape::new(key), room })
    }
}

impl Transformer for Unique {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let text = value(&self.kind, plain.text);
        if takes_text(&self.kind) {
            let (prefix, rest) = match text.strip_prefix('+') {
                Some(rest) => (PREFIXES.0, rest),
                None => (PREFIXES.1, text),
            };
            out.push_str(prefix);
            self.shape.text(rest, Way::ToFiction, out)?;
        } else {
            if !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Refusal::new("the value is not the digits of a telephone number"));
            }
            out.push_str("999");
            self.shape.text(text, Way::ToFiction, out)?;
        }
        if self.room.is_some_and(|room| out.chars().count() > room) {
            return Err(Refusal::new("the column is too short for a unique fiction of the value"));
        }
        Ok(Answer::Text)
    }

    fn plain_of(&self, fiction: &str, out: &mut String) -> Result<Answer, Refusal> {
        let fiction = value(&self.kind, fiction);
        let rest = if !takes_text(&self.kind) {
            fiction.strip_prefix("999")
        } else if let Some(rest) = fiction.strip_prefix(PREFIXES.0) {
            out.push('+');
            Some(rest)
        } else {
            fiction.strip_prefix(PREFIXES.1)
        };
        let rest = rest.ok_or_else(|| Refusal::new("the value is not a fiction of this rule"))?;
        self.shape.text(rest, Way::ToPlain, out)?;
        Ok(Answer::Text)
    }
}
