//! What is found in prose by its form.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use regex::Regex;

/// What is looked for; where two of one length are at one place, the first of these holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Email,
    Url,
    Uuid,
    Iban,
    Card,
    Ip,
    Phone,
    Number,
}

impl What {
    pub const NAMES: &[&str] = &["email", "phone", "iban", "card", "url", "ip", "uuid", "number"];

    pub fn named(name: &str) -> Option<What> {
        Some(match name {
            "email" => What::Email,
            "url" => What::Url,
            "uuid" => What::Uuid,
            "iban" => What::Iban,
            "card" => What::Card,
            "ip" => What::Ip,
            "phone" => What::Phone,
            "number" => What::Number,
            _ => return None,
        })
    }

    /// The transformer that replaces it where no rule is given.
    pub fn transformer(self) -> &'static str {
        match self {
            What::Email => "email",
            What::Url => "url",
            What::Uuid => "uuid",
            What::Iban => "iban",
            What::Card => "card",
            What::Ip => "ip",
            What::Phone => "phone",
            What::Number => "permute",
        }
    }

    fn pattern(self) -> &'static str {
        match self {
            What::Email => r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+",
            What::Url => r#"(?i)(?:(?:https?|ftps?|wss?)://|www\.)[^\s<>"']+"#,
            What::Uuid => r"(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b",
            // The longest account has 34 characters, in groups of four (ISO 13616).
            What::Iban => r"(?i)\b[a-z]{2}[0-9]{2}(?: ?[0-9a-z]{4}){2,7}(?: ?[0-9a-z]{1,3})?\b",
            What::Card => r"[0-9](?:[ -]?[0-9]){12,18}",
            What::Ip => r"(?i)[0-9a-f:.]{0,40}[.:][0-9a-f:.]{0,40}[.:][0-9a-f:.]{0,40}",
            What::Phone => r"(?:\+|\()?[0-9][0-9 ()/.\u{2010}-\u{2013}\u{a0}-]{4,30}[0-9]",
            What::Number => r"[0-9]+",
        }
    }

    /// The part of a match that is one; None: it only looks so.
    fn confirm(self, text: &str) -> Option<usize> {
        let all = Some(text.len());
        match self {
            What::Email => Some(text.trim_end_matches(['-', '_']).len()),
            What::Url => Some(text.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']']).len()),
            What::Uuid | What::Number => all,
            What::Iban => beginnings(text).find(|end| text.get(..*end).is_some_and(is_iban)),
            What::Card => beginnings(text).find(|end| text.get(..*end).is_some_and(is_card)),
            What::Ip => {
                let bare = text.trim_end_matches(['.', ':']);
                // `fe80::` ends with what a sentence may end with as well.
                let is = |text: &str| text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok();
                let is_v6 = text.parse::<Ipv6Addr>().is_ok() && text.len() > 2;
                if is_v6 { all } else { is(bare).then_some(bare.len()) }
            }
            What::Phone if text.split(' ').next().is_some_and(is_date) => None,
            What::Phone => beginnings(text).find(|end| {
                let digits = text.bytes().take(*end).filter(u8::is_ascii_digit).count();
                (7..=15).contains(&digits)
            }),
        }
    }
}

/// Where the words of a text end, from the last one on: what follows a number may look like its
/// last digits.
fn beginnings(text: &str) -> impl Iterator<Item = usize> {
    let ends = text.char_indices().rev().filter(|(_, c)| !c.is_alphanumeric()).map(|(at, _)| at);
    std::iter::once(text.len()).chain(ends)
}

/// The check digits of an account hold: the number that it means is 1 modulo 97 (ISO 7064).
fn is_iban(text: &str) -> bool {
    let chars: Vec<char> = text.chars().filter(|c| *c != ' ').collect();
    let turned = chars.iter().skip(4).chain(chars.iter().take(4));
    let rest = turned.fold(0, |rest, c| match c.to_digit(36) {
        Some(digit) if digit < 10 => (rest * 10 + digit) % 97,
        Some(letter) => (rest * 100 + letter) % 97,
        None => rest,
    });
    chars.len() >= 15 && rest == 1
}

/// Luhn's sum of 13 to 19 digits is a multiple of ten (ISO/IEC 7812-1).
fn is_card(text: &str) -> bool {
    let digits = text.bytes().rev().filter(u8::is_ascii_digit).map(|byte| u32::from(byte - b'0'));
    let (mut sum, mut count) = (0u32, 0);
    for digit in digits {
        let weighed = digit * (1 + count % 2);
        sum += if weighed > 9 { weighed - 9 } else { weighed };
        count += 1;
    }
    (13..=19).contains(&count) && sum.is_multiple_of(10)
}

/// `2024-02-29`, `29.02.2024`, `02/29/2024`: digits that no telephone has.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', '.', '/']).collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let are_digits = parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    are_digits && matches!(lengths.as_slice(), [4, 1..=2, 1..=2] | [1..=2, 1..=2, 4])
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where, in bytes.
    pub range: Range<usize>,
    /// By its form: what it is.
    pub what: Option<What>,
    /// By its value: the column that has it.
    pub column: Option<usize>,
}

/// The patterns of what is looked for.
#[derive(Debug)]
pub(super) struct Scanners(Vec<(What, Regex)>);

impl Scanners {
    /// None: a pattern does not compile.
    pub fn new(all: impl Iterator<Item = What>) -> Option<Scanners> {
        let compiled = all.map(|what| Regex::new(what.pattern()).ok().map(|regex| (what, regex)));
        compiled.collect::<Option<Vec<_>>>().map(Scanners)
    }

    /// Everything that is found, with overlaps.
    pub fn find(&self, text: &str, all: &mut Vec<Found>) {
        for (what, regex) in &self.0 {
            let mut from = 0;
            while let Some(found) = regex.find_at(text, from) {
                let length = what.confirm(found.as_str()).filter(|length| *length > 0);
                from = match length {
                    Some(length) => {
                        let range = found.start()..found.start() + length;
                        all.push(Found { range, what: Some(*what), column: None });
                        found.start() + length
                    }
                    // One may begin at the next word: `12 4111 1111 1111 1111`.
                    None => found.start() + first_word(found.as_str()),
                };
            }
        }
    }
}

/// The bytes up to where the second word begins; all of a text with one word.
fn first_word(text: &str) -> usize {
    let mut chars = text.char_indices().skip_while(|(_, c)| !c.is_alphanumeric());
    let after = chars.by_ref().find(|(_, c)| !c.is_alphanumeric());
    after.map_or(text.len(), |(at, c)| at + c.len_utf8()).max(1)
}

/// Of what overlaps, the longest; of one length, what is known by its value, then the first of
/// [`What`]. In the order of the text.
pub(super) fn without_overlaps(mut all: Vec<Found>) -> Vec<Found> {
    all.sort_by_key(|found| (std::cmp::Reverse(found.range.len()), found.what, found.range.start));
    // By where they begin.
    let mut chosen: BTreeMap<usize, Found> = BTreeMap::new();
    for found in all {
        let before = chosen.range(..found.range.end).next_back();
        if before.is_none_or(|(_, before)| before.range.end <= found.range.start) {
            chosen.insert(found.range.start, found);
        }
    }
    chosen.into_values().collect()
}
