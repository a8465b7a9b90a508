//! What fictions of words have in common: formats, room in the column, and that they are not the
//! plain value.

use crate::definition::{Definition, Injective, Parameter};
use crate::draw::Draw;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Row, Transformer};
use crate::types::{Kind, Target};
use crate::vocabulary::Vocabulary;

/// Whether texts go into a kind.
pub(super) fn is_text(kind: &Kind) -> bool {
    matches!(kind, Kind::Text(_) | Kind::Char(_) | Kind::Citext | Kind::Name)
}

/// How the types are called that [`is_text`] lets pass.
pub(super) const TEXTS: &str = "text, varchar, char, citext, name";

/// A transformer that writes texts, and promises nothing of a unique column.
pub(super) const fn texts(
    name: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
    greenmask: &'static [&'static str],
    build: fn(&mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit>,
) -> Definition {
    Definition {
        name,
        summary,
        parameters,
        takes: is_text,
        types: TEXTS,
        injective: Injective::No,
        greenmask,
        build,
    }
}

/// The edition of word lists that the rules ask for.
pub(super) fn vocabulary(making: &mut Making<'_>) -> Result<Vocabulary, Unfit> {
    let edition = making.around.vocabulary;
    Vocabulary::of(edition).ok_or_else(|| {
        let message = format!("this program has no vocabulary {edition}");
        making.fault(Code::WrongValue, "use", message, "vocabulary = 1")
    })
}

/// How long a text of a column may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    chars: usize,
    bytes: usize,
}

impl Room {
    /// What a column takes.
    pub(super) fn of(target: &Target) -> Room {
        let chars = target.most_chars().map_or(usize::MAX, |most| most as usize);
        // `name` holds 63 bytes (NAMEDATALEN - 1), whatever characters they are.
        let bytes = if target.kind == Kind::Name { 63 } else { usize::MAX };
        Room { chars, bytes }
    }

    /// The same, or a finding (M111) if fewer than `least` characters have room.
    pub(super) fn at_least(making: &mut Making<'_>, least: usize) -> Result<Room, Unfit> {
        let room = Room::of(making.target());
        if room.chars >= least {
            return Ok(room);
        }
        let message = format!(
            "{} needs {least} characters or more, and the column is {}",
            making.rule().name,
            making.target().sql_type
        );
        Err(making.fault(Code::ValueOutside, "use", message, "use `hash`, `string` or `null`"))
    }

    /// The room that is left next to a text.
    pub(super) fn without(self, text: &str) -> Room {
        let bytes = self.bytes.saturating_sub(text.len());
        Room { chars: self.chars.saturating_sub(text.chars().count()), bytes }
    }

    /// Whether a text has room.
    pub(super) fn holds(self, text: &str) -> bool {
        text.len() <= self.bytes && (text.len() <= self.chars || text.chars().count() <= self.chars)
    }

    /// Cuts a text to what has room: after the last word that fits whole, else after a character.
    pub(super) fn cut(self, text: &mut String) {
        if self.holds(text) {
            return;
        }
        // The byte after the last character that fits.
        let starts = text.char_indices().map(|(start, _)| start).chain([text.len()]);
        let end = starts
            .take_while(|start| *start <= self.bytes)
            .take(self.chars.saturating_add(1))
            .last()
            .unwrap_or(0);
        let is_joint = |c: char| c.is_whitespace() || matches!(c, '-' | ',' | '/');
        let after = text.get(end..).and_then(|rest| rest.chars().next());
        let head = text.get(..end).unwrap_or_default();
        let words = if after.is_some_and(is_joint) { Some(end) } else { head.rfind(is_joint) };
        let kept = words.and_then(|words| head.get(..words)).map(|words| words.trim_end_matches(is_joint));
        let length = kept.map(str::len).filter(|length| *length > 0);
        text.truncate(length.unwrap_or_else(|| head.trim_end_matches(is_joint).len()));
    }
}

/// How often another fiction is tried before a value is refused.
const MOST_TRIES: u32 = 64;

/// Writes the first fiction that is not the plain value. `write` gets the number of the try and
/// must write other texts for other numbers, where there are any.
pub(super) fn other_than_plain(
    plain: &Plain<'_>,
    out: &mut String,
    mut write: impl FnMut(u32, &mut String) -> Result<(), Refusal>,
) -> Result<Answer, Refusal> {
    for attempt in 0..MOST_TRIES {
        out.clear();
        write(attempt, out)?;
        if plain.is_null || !are_alike(out, plain.text) {
            return Ok(Answer::Text);
        }
    }
    Err(Refusal::new("no fiction fits the column that is not the plain value"))
}

/// Whether two texts differ in case or blanks at the end at most: to a reader, or to citext and
/// char(n), they are the same.
pub(super) fn are_alike(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim_end_matches(' '), other.trim_end_matches(' '));
    if one.is_ascii() || other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    one.chars().flat_map(char::to_lowercase).eq(other.chars().flat_map(char::to_lowercase))
}

/// Builds a transformer only if it has two fictions that fit the column, else it is a finding
/// (M111): such a column would show whatever it always is.
pub(super) fn varied(
    making: &mut Making<'_>,
    transformer: impl Transformer + 'static,
) -> Result<Box<dyn Transformer>, Unfit> {
    struct NoRow;
    impl Row for NoRow {
        fn plain(&self, _: usize) -> Option<&str> {
            None
        }
        fn masked(&self, _: usize) -> Option<&str> {
            None
        }
    }
    // What comes from a column is known only row by row.
    if making.rule().parameters.iter().any(|(_, setting)| setting.value.member("from").is_some()) {
        return Ok(Box::new(transformer));
    }
    let key = making.key();
    let fiction = |seed: u128, text: &str| {
        let draw = Draw::from_seed(key, seed);
        let plain = Plain { text, canonical: &[], is_null: false, draw, subject: None, row: &NoRow };
        let mut out = String::new();
        transformer.fiction(&plain, &mut out).map(|_| out)
    };
    // Of a few draws, each must have a fiction that is not its first one.
    let has_two = |seed| {
        let other = fiction(seed, "").and_then(|one| fiction(seed, &one));
        other.is_ok_and(|other| !other.is_empty())
    };
    if (1..=16).all(has_two) {
        return Ok(Box::new(transformer));
    }
    let message = format!("{} has no two fictions that fit the column", making.rule().name);
    Err(making.fault(Code::ValueOutside, "use", message, "use `hash`, `string` or `null`"))
}

/// A text with parts in braces: `{first} {last}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format<T> {
    pieces: Vec<Piece<T>>,
}

/// A piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece<T> {
    /// It stays as it is.
    Text(String),
    /// It is filled in.
    Part(T),
}

impl<T: Copy> Format<T> {
    /// Reads a format; the error says which part there is not.
    pub(super) fn parse(text: &str, parts: &[(&str, T)]) -> Result<Format<T>, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or("a brace is not closed")?;
            let part = parts.iter().find(|(known, _)| *known == name).map(|(_, part)| *part);
            let part = part.ok_or_else(|| format!("there is no part {{{name}}}"))?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_string()));
            }
            pieces.push(Piece::Part(part));
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_string()));
        }
        Ok(Format { pieces })
    }

    /// The parameter `format`, else the given one. A format without a part is a finding (M155).
    pub(super) fn of(
        making: &mut Making<'_>,
        otherwise: &str,
        parts: &[(&str, T)],
    ) -> Result<Format<T>, Unfit> {
        let text = making.text("format").unwrap_or(otherwise);
        let format = Format::parse(text, parts).map_err(|why| {
            let known: Vec<String> = parts.iter().map(|(name, _)| format!("{{{name}}}")).collect();
            making.fault(Code::WrongValue, "format", format!("format: {why}"), known.join(" "))
        })?;
        if format.parts().next().is_none() {
            let message = "the format has no part, so that all fictions would be equal";
            return Err(making.fault(Code::ChangesNothing, "format", message, "use `fixed`"));
        }
        Ok(format)
    }

    /// Its pieces in their order.
    pub(super) fn pieces(&self) -> &[Piece<T>] {
        &self.pieces
    }

    /// Its parts in their order.
    pub(super) fn parts(&self) -> impl Iterator<Item = T> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Part(part) => Some(*part),
            Piece::Text(_) => None,
        })
    }
}

/// 2^64 by the golden ratio: its multiples lie evenly in all words of 64 bits.
pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One 64-bit word that is shared among several small choices: each takes what it needs from the
/// top and leaves the rest, so that ten digits cost one draw. The bias of a choice is below the
/// product of all choices so far, divided by 2^64.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share(pub(super) u64);

impl Share {
    /// A number below `n`; 0 if `n` is 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        let product = u128::from(self.0) * n as u128;
        self.0 = product as u64;
        (product >> 64) as usize
    }

    /// The place of one of `n`, which is another one for attempt 1; 0 if `n` is 0. The steps of
    /// the golden ratio go far, as neighbours in a sorted list begin alike.
    pub(super) fn place(&mut self, n: usize, attempt: u32) -> usize {
        let step = Share(u64::from(attempt).wrapping_mul(GOLDEN)).below(n);
        (self.below(n) + step).checked_rem(n).unwrap_or(0)
    }

    /// One of a list; empty if the list is.
    pub(super) fn one_of(&mut self, list: &'static [&'static str], attempt: u32) -> &'static str {
        list.get(self.place(list.len(), attempt)).copied().unwrap_or_default()
    }

    /// Fills a form: `#` a digit, `%` one of 1 to 9, `?` one of A to Z; all else stays.
    pub(super) fn fill(&mut self, form: &str, out: &mut String) {
        for c in form.chars() {
            out.push(match c {
                '#' => char::from(b'0' + self.below(10) as u8),
                '%' => char::from(b'1' + self.below(9) as u8),
                '?' => char::from(b'A' + self.below(26) as u8),
                other => other,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn room(kind: Kind) -> Room {
        Room::of(&Target { kind, sql_type: String::new(), not_null: false, domain_checks: Vec::new() })
    }

    fn cut(text: &str, chars: u32) -> String {
        let mut text = text.to_string();
        room(Kind::Text(Some(chars))).cut(&mut text);
        text
    }

    #[test]
    fn a_text_is_cut_after_a_word_or_a_character() {
        for (text, chars, left) in [
            ("Ann Lee", 7, "Ann Lee"),
            ("Ann Lee", 6, "Ann"),
            ("Ann Lee", 4, "Ann"),
            ("Ann Lee", 3, "Ann"),
            ("Ann Lee", 2, "An"),
            ("Maximilian", 4, "Maxi"),
            ("Müller-Lüdenscheidt", 8, "Müller"),
            ("Łucja", 1, "Ł"),
            ("Berg, Tal", 6, "Berg"),
            ("三浦 翔太", 3, "三浦"),
        ] {
            assert_eq!(cut(text, chars), left, "{text} {chars}");
        }
        let mut name = "ж".repeat(40);
        room(Kind::Name).cut(&mut name);
        assert_eq!(name.len(), 62);
    }

    #[test]
    fn case_and_blanks_at_the_end_do_not_tell_texts_apart() {
        assert!(are_alike("Anna", "aNNA  ") && are_alike("Žofie", "žofie") && are_alike("", " "));
        assert!(!are_alike("Anna", "Anne") && !are_alike("Žofie", "Zofie") && !are_alike("a", "ä"));
    }

    #[test]
    fn a_form_is_filled() {
        let mut seen = [false; 10];
        for number in 0..2000u64 {
            let mut out = String::new();
            Share(number.wrapping_mul(GOLDEN)).fill("%#-?号", &mut out);
            let chars: Vec<char> = out.chars().collect();
            let [first, second, '-', letter, '号'] = chars.as_slice() else { panic!("{out}") };
            assert!(('1'..='9').contains(first) && letter.is_ascii_uppercase(), "{out}");
            let digit = second.to_digit(10).unwrap() as usize;
            *seen.get_mut(digit).unwrap() = true;
        }
        assert_eq!(seen, [true; 10]);
    }

    proptest! {
        #[test]
        fn a_cut_text_has_room_and_is_a_beginning(text in "[a-zé三 ,-]{1,40}", chars in 1u32..50) {
            let left = cut(&text, chars);
            prop_assert!(text.starts_with(&left));
            prop_assert!(left.chars().count() <= chars as usize);
            if text.chars().count() <= chars as usize {
                prop_assert_eq!(left, text);
            }
        }

        #[test]
        fn a_format_is_read_in_pieces(before in "[a-z .]{0,5}", after in "[a-z .]{1,5}") {
            let format = Format::parse(&format!("{before}{{x}}{after}"), &[("x", 1)]).unwrap();
            let text: String = format.pieces().iter().map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Part(_) => "#",
            }).collect();
            prop_assert_eq!(text, format!("{before}#{after}"));
            prop_assert_eq!(format.parts().count(), 1);
        }
    }
}
