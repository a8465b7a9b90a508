//! Bijections over texts of one shape, for numbers that must stay apart: [`crate::permute::text`],
//! with a refusal of letters that it would leave as they are.

use crate::key::RuleKey;
use crate::permute::text::{self, Slot, Texts};
use crate::transformer::Refusal;

/// A bijection of one rule.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    texts: Texts,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From plain values to fictions.
    ToFiction,
    /// Back.
    ToPlain,
}

impl From<Way> for text::Way<'_> {
    fn from(way: Way) -> Self {
        match way {
            Way::ToFiction => text::Way::Forth,
            Way::ToPlain => text::Way::Back,
        }
    }
}

/// Whether a character becomes another one.
pub(super) fn varies(character: char) -> bool {
    Slot::of(character).is_some()
}

impl Shape {
    /// The bijection of a key.
    pub fn new(key: RuleKey) -> Shape {
        Shape { texts: Texts::new(key) }
    }

    /// Writes a text with its digits and letters replaced, each within its class; spaces and
    /// punctuation stay. Letters that belong to no class are refused.
    pub fn text(&self, text: &str, way: Way, out: &mut String) -> Result<(), Refusal> {
        if text.chars().any(|character| character.is_alphanumeric() && !varies(character)) {
            return Err(Refusal::new("the value has characters that this rule does not take"));
        }
        self.texts.write(text, &|_, character| Slot::of(character), None, way.into(), out);
        Ok(())
    }

    /// Writes what a number in decimal digits becomes among those below `count`, in as many digits.
    pub fn number(&self, digits: &str, count: u64, way: Way, out: &mut String) {
        self.texts.write(digits, &|_, character| Slot::of(character), Some(count), way.into(), out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn shape(key: u8) -> Shape {
        Shape::new(RuleKey::of_bytes([key; 16]))
    }

    fn of(shape: &Shape, text: &str, way: Way) -> String {
        let mut out = String::new();
        shape.text(text, way, &mut out).unwrap();
        out
    }

    #[test]
    fn whole_domains_are_permuted_without_a_fixed_point() {
        let shape = shape(1);
        for (width, size, count) in [(1, 10, 10), (2, 100, 50), (3, 1000, 400), (4, 10_000, 10_000)] {
            let mut seen = HashSet::new();
            for number in 0..count {
                let plain = format!("{number:0width$}");
                let mut fiction = String::new();
                shape.number(&plain, count, Way::ToFiction, &mut fiction);
                assert!(fiction.len() == width && fiction.parse::<u64>().unwrap() < count.min(size));
                assert_ne!(fiction, plain);
                let mut back = String::new();
                shape.number(&fiction, count, Way::ToPlain, &mut back);
                assert_eq!(back, plain);
                assert!(seen.insert(fiction));
            }
        }
    }

    #[test]
    fn letters_of_no_class_are_refused() {
        let mut out = String::new();
        assert!(shape(1).text("ᚠᚢ", Way::ToFiction, &mut out).is_err());
        assert_eq!(of(&shape(1), "--", Way::ToFiction), "--");
        assert_ne!(of(&shape(1), "Straße", Way::ToFiction), "Straße");
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "[ -~äßЖ]{0,50}", key in 0u8..4) {
            let shape = shape(key);
            let fiction = of(&shape, &text, Way::ToFiction);
            prop_assert_eq!(fiction.len(), text.len());
            for (one, other) in text.chars().zip(fiction.chars()) {
                prop_assert!(varies(one) || one == other);
            }
            prop_assert_eq!(fiction == text, !text.chars().any(varies));
            prop_assert_eq!(of(&shape, &fiction, Way::ToPlain), text);
        }
    }
}
