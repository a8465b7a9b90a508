//! What the makers of texts have in common: the room that a column has, fictions that differ from
//! the plain value, and the country of a rule.

use crate::draw::Draw;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal};
use crate::types::Kind;
use crate::vocabulary::Locale;

/// The keyed bits that make a fiction injective: two of 2^32 values meet with a chance of 2^-33.
pub(super) const WIDE_BITS: f64 = 96.0;

/// Characters of [`random_base32`] that hold 100 bits.
pub(super) const WIDE_BASE32: usize = 20;

/// How often a fiction is drawn again that is the plain value itself. Two possible fictions miss
/// the other one so often with a chance of 2^-64; after that there is only one.
const MOST_TRIES: u32 = 64;

/// `text`, `varchar`, `char`, `citext` and `name`.
pub(super) fn takes_text(kind: &Kind) -> bool {
    matches!(kind, Kind::Text(_) | Kind::Char(_) | Kind::Citext | Kind::Name)
}

/// Texts, `bigint` and `numeric`: what holds a long number.
pub(super) fn takes_long_number(kind: &Kind) -> bool {
    takes_text(kind) || matches!(kind, Kind::Int(_) | Kind::Numeric(_))
}

/// For people: what [`takes_text`] takes.
pub(super) const TEXTS: &str = "texts";

/// Draws fictions until one is not the plain value. `make` writes one into the empty `out`.
pub(super) fn another(
    kind: &Kind,
    plain: &Plain<'_>,
    out: &mut String,
    make: impl FnMut(&mut Draw, &mut String) -> Result<(), Refusal>,
) -> Result<Answer, Refusal> {
    another_of(kind, plain, &plain.draw, out, make)
}

/// The same, from another draw than the value's own.
pub(super) fn another_of(
    kind: &Kind,
    plain: &Plain<'_>,
    first: &Draw,
    out: &mut String,
    mut make: impl FnMut(&mut Draw, &mut String) -> Result<(), Refusal>,
) -> Result<Answer, Refusal> {
    let mut draw = first.clone();
    for attempt in 0..MOST_TRIES {
        out.clear();
        make(&mut draw, out)?;
        if plain.is_null || !is_same(kind, plain.text, out) {
            break;
        }
        draw = first.again(attempt);
    }
    Ok(Answer::Text)
}

/// Whether the type's own equality calls two texts equal. It may call more equal than the server
/// does, never fewer.
pub(super) fn is_same(kind: &Kind, one: &str, other: &str) -> bool {
    match kind {
        Kind::Citext => {
            one.chars().flat_map(char::to_lowercase).eq(other.chars().flat_map(char::to_lowercase))
        }
        Kind::Char(_) => one.trim_end_matches(' ') == other.trim_end_matches(' '),
        Kind::Numeric(_) => significant(one) == significant(other),
        _ => one == other,
    }
}

/// The value of a plain text: char(n) without its padding, numeric without a fraction of zeros.
pub(super) fn value<'a>(kind: &Kind, text: &'a str) -> &'a str {
    match kind {
        Kind::Char(_) => text.trim_end_matches(' '),
        Kind::Numeric(_) => match text.split_once('.') {
            Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
            _ => text,
        },
        _ => text,
    }
}

/// A number without zeros that do not count.
fn significant(number: &str) -> (&str, &str) {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    (whole.trim_start_matches('0'), fraction.trim_end_matches('0'))
}

/// The most characters that fit. Of `numeric` and integers: digits before the point.
pub(super) fn room(making: &Making<'_>) -> Option<usize> {
    match making.kind() {
        Kind::Int(2) => Some(4),
        Kind::Int(4) => Some(9),
        Kind::Int(_) => Some(18),
        Kind::Numeric(Some((precision, scale))) => {
            Some((i32::from(*precision) - i32::from(*scale)).max(0) as usize)
        }
        _ => making.target().most_chars().map(|most| most as usize),
    }
}

/// The finding that a column is too short for every fiction of its rule.
pub(super) fn too_short(making: &mut Making<'_>, needed: usize) -> Unfit {
    let message = format!("{} needs room for {needed} characters", making.rule().name);
    let hint = format!("the column is {}", making.target().sql_type);
    making.fault(Code::ValueOutside, "use", message, hint)
}

/// The finding that a rule is not injective as it is.
pub(super) fn not_injective(
    making: &mut Making<'_>,
    parameter: &str,
    why: impl std::fmt::Display,
    hint: &str,
) -> Unfit {
    let by = making.around.unique.unwrap_or("the rule's `unique`");
    let message = format!("{by} wants different fictions, and {why}");
    making.fault(Code::NotInjective, parameter, message, hint)
}

/// Fictions must be in lower case: the server compares them so.
pub(super) fn is_lower_case(making: &Making<'_>) -> bool {
    making.around.lower_case || matches!(making.kind(), Kind::Citext)
}

/// `DE` of `de_DE`.
pub(super) fn country_of(locale: Locale) -> Option<&'static str> {
    Some(locale.country()).filter(|country| country.len() == 2)
}

/// An integer parameter that must be within bounds.
pub(super) fn integer_within(
    making: &mut Making<'_>,
    name: &str,
    least: i64,
    most: i64,
) -> Result<Option<usize>, Unfit> {
    match making.integer(name) {
        None => Ok(None),
        Some(number) if (least..=most).contains(&number) => Ok(usize::try_from(number).ok()),
        Some(number) => {
            let message = format!("{name} is {number}; it is from {least} to {most}");
            Err(making.fault(Code::ValueOutside, name, message, ""))
        }
    }
}

/// A text cut to so many characters.
pub(super) fn cut(text: &mut String, most: Option<usize>) {
    if let Some((end, _)) = most.and_then(|most| text.char_indices().nth(most)) {
        text.truncate(end);
    }
}

/// Writes random digits.
pub(super) fn random_digits(draw: &mut Draw, number: usize, out: &mut String) {
    random_of(draw, b"0123456789", number, out);
}

/// Writes random characters of base32's lower-case alphabet (RFC 4648, section 6): 5 bits each. The
/// first is a letter, as many systems want it of a name, and holds 4 bits.
pub(super) fn random_base32(draw: &mut Draw, number: usize, out: &mut String) {
    random_of(draw, b"abcdefghijklmnop", number.min(1), out);
    random_of(draw, b"abcdefghijklmnopqrstuvwxyz234567", number.saturating_sub(1), out);
}

/// Random characters, several of each word of the draw: five of at most 8 bits leave 24 bits
/// against bias.
struct Characters<'d> {
    draw: &'d mut Draw,
    word: u64,
    left: u8,
}

impl Characters<'_> {
    fn of(draw: &mut Draw) -> Characters<'_> {
        Characters { draw, word: 0, left: 0 }
    }

    /// One of an ASCII alphabet of at most 256.
    fn next(&mut self, alphabet: &[u8]) -> Option<char> {
        if self.left == 0 {
            (self.word, self.left) = (self.draw.word(), 5);
        }
        self.left -= 1;
        let product = u128::from(self.word) * (alphabet.len() as u128);
        self.word = product as u64;
        alphabet.get((product >> 64) as usize).copied().map(char::from)
    }
}

/// Writes random characters of an ASCII alphabet of at most 256.
pub(super) fn random_of(draw: &mut Draw, alphabet: &[u8], number: usize, out: &mut String) {
    let mut characters = Characters::of(draw);
    out.extend((0..number).filter_map(|_| characters.next(alphabet)));
}

/// Writes syllables that can be spoken and mean nothing: `bodale`.
pub(super) fn syllables(draw: &mut Draw, number: usize, out: &mut String) {
    let mut characters = Characters::of(draw);
    for _ in 0..number {
        out.extend(characters.next(b"bdfgklmnprstvz"));
        out.extend(characters.next(b"aeiou"));
    }
}

/// The digits of a text as numbers from 0 to 9.
pub(super) fn digits(text: &str) -> impl DoubleEndedIterator<Item = u32> + Clone + '_ {
    text.bytes().filter(u8::is_ascii_digit).map(|digit| u32::from(digit - b'0'))
}

/// Luhn's check digit of a number that does not have it (ISO/IEC 7812-1, annex B).
pub(super) fn luhn(payload: impl DoubleEndedIterator<Item = u32>) -> u32 {
    let sum: u32 = payload
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, twice) if twice > 9 => twice - 9,
            (0, twice) => twice,
            _ => digit,
        })
        .sum();
    (10 - sum % 10) % 10
}

/// Appends a number below 10 as a digit.
pub(super) fn push_digit(out: &mut String, digit: u32) {
    out.extend(char::from_digit(digit % 10, 10));
}

/// Writes a pattern: `#` is a digit, `@` an upper-case letter; all else means itself.
pub(super) fn pattern(draw: &mut Draw, pattern: &str, out: &mut String) {
    let mut characters = Characters::of(draw);
    for place in pattern.chars() {
        match place {
            '#' => out.extend(characters.next(b"0123456789")),
            '@' => out.extend(characters.next(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
