//! UUIDs (RFC 9562).

use super::fits;
use crate::canonical::network::{is_usual_uuid, uuid, uuid_text};
use crate::making::{Making, Unfit};
use crate::permute::Permutation;
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::numbers::is_bijection;

/// The bits of the version: the first four of the seventh byte.
const VERSION: u128 = 0xf << 76;
/// The bits of the variant: the first two of the ninth byte.
const VARIANT: u128 = 0b11 << 62;
/// Version 4 in the variant of RFC 9562.
const RANDOM: u128 = (4 << 76) | (0b10 << 62);

/// `uuid`.
#[derive(Debug)]
pub(super) struct Uuid {
    permutation: Option<Permutation>,
    is_text: bool,
}

impl Uuid {
    pub(super) fn new(making: &mut Making<'_>) -> Result<Uuid, Unfit> {
        fits(making, 36)?;
        let is_bijection = is_bijection(making)?;
        Ok(Uuid {
            permutation: is_bijection.then(|| Permutation::new(making.key(), 1 << 122)),
            is_text: super::is_text(making.kind()),
        })
    }

    /// The bits of a value that the permutation can take.
    fn bits(&self, text: &str) -> Result<u128, Refusal> {
        let text = text.trim_end_matches(' ');
        // Other ways of writing a UUID are other texts, which one fiction would make equal.
        let bits = uuid(text).filter(|_| !self.is_text || is_usual_uuid(text));
        bits.ok_or_else(|| {
            Refusal::new(
                "a value is not a UUID in lower case with hyphens: a unique rule permutes only these",
            )
        })
    }
}

impl Transformer for Uuid {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let bits = match &self.permutation {
            Some(permutation) => beside(self.bits(plain.text)?, |rest| permutation.apply(rest)),
            None => {
                let bits = (plain.draw.clone().wide() & !(VERSION | VARIANT)) | RANDOM;
                let own = uuid(plain.text.trim_end_matches(' '));
                if own == Some(bits) { bits ^ 1 } else { bits }
            }
        };
        out.extend(uuid_text(bits).map(char::from));
        Ok(Answer::Text)
    }

    fn plain_of(&self, fiction: &str, out: &mut String) -> Result<Answer, Refusal> {
        let Some(permutation) = &self.permutation else {
            return Err(Refusal::new("only a unique rule can be turned around"));
        };
        let bits = beside(self.bits(fiction)?, |rest| permutation.invert(rest));
        out.extend(uuid_text(bits).map(char::from));
        Ok(Answer::Text)
    }
}

/// Changes the 122 bits next to version and variant, as one number.
fn beside(bits: u128, change: impl Fn(u128) -> u128) -> u128 {
    let (low, middle) = ((1 << 62) - 1, (1 << 12) - 1);
    let rest = (bits & low) | (((bits >> 64) & middle) << 62) | ((bits >> 80) << 74);
    let rest = change(rest);
    let changed = (rest & low) | (((rest >> 62) & middle) << 64) | ((rest >> 74) << 80);
    (bits & (VERSION | VARIANT)) | changed
}
