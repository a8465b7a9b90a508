//! Classes of characters: each character of a class may become any other one of it.
//!
//! The ranges are our own and never change, so that another edition of Unicode changes no fiction.
//! All characters of a class take as many bytes in UTF-8, and those of a class of letters with two
//! cases have one case: a text keeps its length in characters and in bytes, and stays in lower case
//! if it was. The accented Latin letters are split as ISO 8859-1 has them, and the Cyrillic ones as
//! ISO 8859-5 has them, so that most texts stay within the encoding of their database.

/// What kind of characters a class holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Decimal digits.
    Digit,
    /// Letters in upper case.
    Upper,
    /// Letters in lower case.
    Lower,
    /// Letters of scripts that have no case.
    Other,
}

impl Group {
    /// The words of the rules file.
    pub const NAMES: &'static [&'static str] = &["digit", "upper", "lower", "other"];

    /// A group by its word.
    pub fn named(name: &str) -> Option<Group> {
        match name {
            "digit" => Some(Group::Digit),
            "upper" => Some(Group::Upper),
            "lower" => Some(Group::Lower),
            "other" => Some(Group::Other),
            _ => None,
        }
    }
}

/// A class: code points from the first to the last of each range, in steps.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) group: Group,
    ranges: &'static [(u32, u32, u32)],
}

impl Class {
    const fn new(group: Group, ranges: &'static [(u32, u32, u32)]) -> Class {
        Class { group, ranges }
    }

    /// How many characters it has.
    pub(super) fn size(&self) -> u32 {
        self.ranges.iter().map(|(first, last, step)| (last - first) / step + 1).sum()
    }

    /// The place of a character in the class.
    fn place(&self, code: u32) -> Option<u32> {
        let mut before = 0;
        for (first, last, step) in self.ranges {
            if (*first..=*last).contains(&code) && (code - first).is_multiple_of(*step) {
                return Some(before + (code - first) / step);
            }
            before += (last - first) / step + 1;
        }
        None
    }

    /// The character at a place.
    pub(super) fn at(&self, mut place: u32) -> Option<char> {
        for (first, last, step) in self.ranges {
            let count = (last - first) / step + 1;
            if place < count {
                return char::from_u32(first + place * step);
            }
            place -= count;
        }
        None
    }
}

/// The class of ASCII digits.
pub(super) const DIGITS: &Class = &Class::new(Group::Digit, &[(0x30, 0x39, 1)]);
const UPPER: &Class = &Class::new(Group::Upper, &[(0x41, 0x5a, 1)]);
const LOWER: &Class = &Class::new(Group::Lower, &[(0x61, 0x7a, 1)]);

/// The classes beyond ASCII.
const FOREIGN: &[Class] = &[
    // Latin-1 Supplement, without × and ÷.
    Class::new(Group::Upper, &[(0xc0, 0xd6, 1), (0xd8, 0xde, 1)]),
    Class::new(Group::Lower, &[(0xdf, 0xf6, 1), (0xf8, 0xff, 1)]),
    // Latin Extended-A: pairs of upper and lower case.
    Class::new(
        Group::Upper,
        &[(0x100, 0x136, 2), (0x139, 0x147, 2), (0x14a, 0x176, 2), (0x178, 0x178, 1), (0x179, 0x17d, 2)],
    ),
    Class::new(Group::Lower, &[(0x101, 0x137, 2), (0x13a, 0x148, 2), (0x14b, 0x177, 2), (0x17a, 0x17e, 2)]),
    // Latin Extended Additional: Vietnamese.
    Class::new(Group::Upper, &[(0x1ea0, 0x1ef8, 2)]),
    Class::new(Group::Lower, &[(0x1ea1, 0x1ef9, 2)]),
    // Greek, with and without accents.
    Class::new(Group::Upper, &[(0x391, 0x3a1, 1), (0x3a3, 0x3a9, 1)]),
    Class::new(Group::Lower, &[(0x3b1, 0x3c9, 1)]),
    Class::new(Group::Upper, &[(0x386, 0x386, 1), (0x388, 0x38a, 1), (0x38c, 0x38c, 1), (0x38e, 0x38f, 1)]),
    Class::new(Group::Lower, &[(0x3ac, 0x3af, 1), (0x3cc, 0x3ce, 1)]),
    // Cyrillic: the Russian letters, then those of other languages.
    Class::new(Group::Upper, &[(0x410, 0x42f, 1)]),
    Class::new(Group::Lower, &[(0x430, 0x44f, 1)]),
    Class::new(Group::Upper, &[(0x401, 0x40c, 1), (0x40e, 0x40f, 1)]),
    Class::new(Group::Lower, &[(0x451, 0x45c, 1), (0x45e, 0x45f, 1)]),
    // Armenian.
    Class::new(Group::Upper, &[(0x531, 0x556, 1)]),
    Class::new(Group::Lower, &[(0x561, 0x586, 1)]),
    // Hebrew, Arabic, and their digits.
    Class::new(Group::Other, &[(0x5d0, 0x5ea, 1)]),
    Class::new(Group::Other, &[(0x621, 0x63a, 1), (0x641, 0x64a, 1)]),
    Class::new(Group::Digit, &[(0x660, 0x669, 1)]),
    Class::new(Group::Digit, &[(0x6f0, 0x6f9, 1)]),
    // The scripts of India.
    Class::new(Group::Other, &[(0x905, 0x939, 1)]),
    Class::new(Group::Digit, &[(0x966, 0x96f, 1)]),
    Class::new(
        Group::Other,
        &[
            (0x985, 0x98c, 1),
            (0x98f, 0x990, 1),
            (0x993, 0x9a8, 1),
            (0x9aa, 0x9b0, 1),
            (0x9b2, 0x9b2, 1),
            (0x9b6, 0x9b9, 1),
        ],
    ),
    Class::new(Group::Digit, &[(0x9e6, 0x9ef, 1)]),
    Class::new(
        Group::Other,
        &[(0xb85, 0xb8a, 1), (0xb8e, 0xb90, 1), (0xb92, 0xb95, 1), (0xb99, 0xb9a, 1), (0xbae, 0xbb9, 1)],
    ),
    Class::new(Group::Other, &[(0xc05, 0xc0c, 1), (0xc0e, 0xc10, 1), (0xc12, 0xc28, 1), (0xc2a, 0xc39, 1)]),
    // Thai, Georgian.
    Class::new(Group::Other, &[(0xe01, 0xe2e, 1)]),
    Class::new(Group::Other, &[(0x10d0, 0x10f0, 1)]),
    // Hiragana, Katakana, Han and Hangul.
    Class::new(Group::Other, &[(0x3041, 0x3093, 1)]),
    Class::new(Group::Other, &[(0x30a1, 0x30f6, 1)]),
    Class::new(Group::Other, &[(0x4e00, 0x9fa5, 1)]),
    Class::new(Group::Other, &[(0xac00, 0xd7a3, 1)]),
];

/// The class of a character and its place there; None: it stays as it is.
pub(super) fn class_of(character: char) -> Option<(&'static Class, u32)> {
    let code = u32::from(character);
    if character.is_ascii() {
        return match character {
            '0'..='9' => Some((DIGITS, code - 0x30)),
            'A'..='Z' => Some((UPPER, code - 0x41)),
            'a'..='z' => Some((LOWER, code - 0x61)),
            _ => None,
        };
    }
    FOREIGN.iter().find_map(|class| class.place(code).map(|place| (class, place)))
}

/// Every class, for tests.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static Class> {
    [DIGITS, UPPER, LOWER].into_iter().chain(FOREIGN)
}
