//! `permute`: a value becomes another one of the same shape.

use crate::canonical::Fold;
use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::permute::Group;
use crate::permute::text::{Slot, Texts, Way};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::Kind;

/// This family.
pub const ALL: &[Definition] = &[Definition {
    name: "permute",
    summary: "Each character becomes another one of its class: a digit, an upper or lower case letter, a \
              letter of a script. What has no class, as punctuation, stays. Different values stay different.",
    parameters: &[
        Parameter::new("keep_first", Takes::Integer, "0", "How many characters at the start stay."),
        Parameter::new("keep_last", Takes::Integer, "0", "How many characters at the end stay."),
        Parameter::new(
            "classes",
            Takes::Texts,
            "all",
            "The classes of characters that change: digit, upper, lower, other (letters without case).",
        ),
        Parameter::new(
            "check",
            Takes::Word(&["luhn", "none"]),
            "none",
            "luhn: the last digit that changes is computed, so that a valid number stays valid.",
        ),
    ],
    takes: |kind| {
        matches!(
            kind,
            Kind::Text(_) | Kind::Char(_) | Kind::Citext | Kind::Name | Kind::Int(_) | Kind::Numeric(_)
        )
    },
    types: "text, varchar, char, citext, name, int2, int4, int8, numeric",
    injective: Injective::Bijection,
    greenmask: &[],
    build: |making| Ok(Box::new(Permute::new(making)?)),
}];

#[derive(Debug)]
struct Permute {
    texts: Texts,
    keep_first: usize,
    keep_last: usize,
    /// Which of the groups change.
    groups: Vec<Group>,
    is_luhn: bool,
    numbers: Option<Numbers>,
    is_lower_case: bool,
    is_keyed: bool,
}

/// What numbers must stay.
#[derive(Clone, Copy, Debug)]
enum Numbers {
    /// At most and at least so much.
    Within { most: &'static str, least: &'static str },
    /// Any number of as many digits is one.
    Any,
}

impl Permute {
    fn new(making: &mut Making<'_>) -> Result<Permute, Unfit> {
        if making.is_unique() && !making.is_keyed() {
            return Err(super::numbers::random_is_not_unique(making));
        }
        if making.rule().common.replaces_null == Some(true) {
            let message = "permute changes characters, and NULL has none";
            return Err(making.fault(Code::WrongValue, "null", message, "null = \"keep\""));
        }
        let keep_first = kept(making, "keep_first")?;
        let keep_last = kept(making, "keep_last")?;
        if making.target().most_chars().is_some_and(|most| keep_first + keep_last >= most as usize) {
            let message = "keep_first and keep_last keep every character that the column can hold";
            let parameter = if keep_last > 0 { "keep_last" } else { "keep_first" };
            return Err(making.fault(Code::ChangesNothing, parameter, message, "keep fewer"));
        }
        Ok(Permute {
            texts: Texts::new(making.key()),
            keep_first,
            keep_last,
            groups: groups(making)?,
            is_luhn: making.text("check") == Some("luhn"),
            numbers: match making.kind() {
                Kind::Int(2) => Some(Numbers::Within { most: "32767", least: "32768" }),
                Kind::Int(4) => Some(Numbers::Within { most: "2147483647", least: "2147483648" }),
                Kind::Int(_) => {
                    Some(Numbers::Within { most: "9223372036854775807", least: "9223372036854775808" })
                }
                Kind::Numeric(_) => Some(Numbers::Any),
                _ => None,
            },
            is_lower_case: making.around.lower_case,
            is_keyed: making.is_keyed(),
        })
    }

    /// Writes what a value becomes, one way or the other.
    fn write(&self, text: &str, way: Way<'_>, out: &mut String) {
        let shape = Shape::of(self, text);
        let luhn = shape.checked.map(|place| (place, luhn_residue(text)));
        self.texts.write(text, &|index, character| shape.slot(index, character), shape.count(text), way, out);
        if let Some((place, residue)) = luhn {
            correct(place, residue, out);
        }
    }

    /// What of a value is permuted: the canonical value where that is a text, so that equal values
    /// of a key get equal fictions.
    fn source<'p>(&self, plain: &'p Plain<'_>) -> &'p str {
        let canonical = str::from_utf8(plain.canonical).unwrap_or(plain.text);
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.'));
        if self.numbers.is_some() && !is_number(canonical) { plain.text } else { canonical }
    }
}

impl Transformer for Permute {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let text = self.source(plain);
        let mut draw = plain.draw.clone();
        let way = if self.is_keyed { Way::Forth } else { Way::Random(&mut draw) };
        // An index over lower(column) calls texts equal that differ in case alone: their fictions
        // must be equal as well.
        if self.is_lower_case && text.chars().any(|character| Fold::Simple.lower(character) != character) {
            let lower: String = text.chars().map(|character| Fold::Simple.lower(character)).collect();
            self.write(&lower, way, out);
        } else {
            self.write(text, way, out);
        }
        Ok(Answer::Text)
    }

    fn plain_of(&self, fiction: &str, out: &mut String) -> Result<Answer, Refusal> {
        if !self.is_keyed {
            return Err(Refusal::new("engine = \"random\" cannot be turned around"));
        }
        self.write(fiction, Way::Back, out);
        Ok(Answer::Text)
    }
}

fn kept(making: &mut Making<'_>, name: &str) -> Result<usize, Unfit> {
    match making.integer(name) {
        None => Ok(0),
        Some(count) => usize::try_from(count).ok().filter(|count| *count <= 1_000_000).ok_or_else(|| {
            making.fault(Code::ValueOutside, name, format!("{name} is from 0 to 1000000"), "")
        }),
    }
}

fn groups(making: &mut Making<'_>) -> Result<Vec<Group>, Unfit> {
    let names = match making.texts("classes") {
        Some(names) => names,
        None => Group::NAMES.iter().map(|name| (*name).to_string()).collect(),
    };
    let hint = || format!("classes: {}", Group::NAMES.join(", "));
    if names.is_empty() {
        let message = "without a class of characters, nothing changes";
        return Err(making.fault(Code::ChangesNothing, "classes", message, hint()));
    }
    let mut groups = Vec::new();
    for name in names {
        match Group::named(&name) {
            Some(group) => groups.push(group),
            None => {
                let message = format!("no class of characters is called {name}");
                return Err(making.fault(Code::WrongValue, "classes", message, hint()));
            }
        }
    }
    Ok(groups)
}

/// Which characters of a value change. It depends on nothing that changes, so that it is the same
/// for the value and its fiction.
struct Shape<'p> {
    permute: &'p Permute,
    /// The characters that stay at the start end here.
    from: usize,
    /// The characters that stay at the end begin here.
    to: usize,
    /// Of a number: where its first digit is, how many digits are before the point, and where its
    /// last character is if that is a digit after the point.
    first_digit: usize,
    whole_digits: usize,
    last_of_fraction: Option<usize>,
    /// Digits up to here stay, because the number could leave its type.
    frozen: usize,
    /// The place of the digit that is computed, by characters and by bytes.
    checked: Option<Checked>,
    /// The limit of the type that the number could reach.
    limit: Option<&'static str>,
}

#[derive(Clone, Copy)]
struct Checked {
    character: usize,
    byte: usize,
}

impl<'p> Shape<'p> {
    /// What is to stay may leave too little to change: two digits if one of them is computed, else
    /// one character. Then nothing is kept, and if that is not enough, no digit is computed. So
    /// only a value without any character that can change stays plain.
    fn of(permute: &'p Permute, text: &str) -> Shape<'p> {
        let length = text.chars().count();
        let first_digit = usize::from(text.starts_with('-'));
        let point = text.find('.');
        let mut shape = Shape {
            permute,
            from: 0,
            to: length,
            first_digit,
            whole_digits: point.unwrap_or(length).saturating_sub(first_digit),
            last_of_fraction: point.and_then(|_| length.checked_sub(1)),
            frozen: 0,
            checked: None,
            limit: None,
        };
        // A number with a fraction has no check digit.
        let is_luhn = permute.is_luhn && (permute.numbers.is_none() || point.is_none());
        let kept = (permute.keep_first, length.saturating_sub(permute.keep_last));
        for (is_luhn, (from, to)) in
            [(is_luhn, kept), (is_luhn, (0, length)), (false, kept), (false, (0, length))]
        {
            (shape.from, shape.to, shape.checked) = (from, to, None);
            if is_luhn {
                shape.checked = shape.last_digit(text);
            }
            if (shape.checked.is_some() || !is_luhn) && shape.is_free(text) {
                break;
            }
        }
        shape.bound(text);
        shape
    }

    fn last_digit(&self, text: &str) -> Option<Checked> {
        let characters = text.char_indices().enumerate();
        let digits = characters.filter(|(index, (_, character))| {
            character.is_ascii_digit() && self.slot(*index, *character).is_some()
        });
        digits.last().map(|(character, (byte, _))| Checked { character, byte })
    }

    fn is_free(&self, text: &str) -> bool {
        text.chars().enumerate().any(|(index, character)| self.slot(index, character).is_some())
    }

    /// Sets the limit of an integer that has as many digits as its type's largest.
    fn bound(&mut self, text: &str) {
        let Some(Numbers::Within { most, least }) = self.permute.numbers else { return };
        let limit = if text.starts_with('-') { least } else { most };
        let digits = text.get(self.first_digit..).unwrap_or_default();
        if digits.len() != limit.len() {
            return;
        }
        if self.checked.is_some() {
            // The digit that is computed could lead out of the type. Below the first digit that is
            // smaller than the limit's, none can.
            let equal = digits.bytes().zip(limit.bytes()).take_while(|(digit, limit)| digit == limit);
            self.frozen = self.first_digit + equal.count() + 1;
        } else {
            self.limit = Some(limit);
        }
    }

    fn slot(&self, index: usize, character: char) -> Option<Slot> {
        let is_checked = self.checked.is_some_and(|checked| checked.character == index);
        if index < self.from.max(self.frozen) || index >= self.to || is_checked {
            return None;
        }
        let slot = match self.permute.numbers {
            Some(_) => self.digit(index, character)?,
            None => Slot::of(character)?,
        };
        self.permute.groups.contains(&slot.group()).then_some(slot)
    }

    /// A digit of a number in its canonical form: no zero at its start, except before the point or
    /// as the whole number, none at the end of a fraction, and no -0.
    fn digit(&self, index: usize, character: char) -> Option<Slot> {
        let is_first = index == self.first_digit;
        let is_negative = self.first_digit > 0;
        let is_alone = self.whole_digits == 1 && (self.last_of_fraction.is_some() || !is_negative);
        if (is_first && !is_alone) || self.last_of_fraction == Some(index) {
            Slot::not_zero(character)
        } else {
            Slot::digit(character)
        }
    }

    /// How many of the numbers that the slots can write are within the limit of the type. They are
    /// the first ones, since what stays is equal and the slots are in the order of the digits.
    fn count(&self, text: &str) -> Option<u64> {
        let limit = self.limit?;
        let (mut all, mut within) = (1_u64, 1_u64);
        for ((index, character), most) in text.char_indices().rev().zip(limit.bytes().rev()) {
            let most = u64::from(most - b'0');
            match self.slot(index, character) {
                None => {
                    let digit = u64::from(character.to_digit(10)?);
                    within = match digit.cmp(&most) {
                        std::cmp::Ordering::Less => all,
                        std::cmp::Ordering::Equal => within,
                        std::cmp::Ordering::Greater => 0,
                    };
                }
                Some(slot) => {
                    let radix = u64::from(slot.radix());
                    // The first digit may be 1 to 9, each other one 0 to 9.
                    let smaller = most.saturating_sub(10 - radix);
                    let is_possible = most >= 10 - radix;
                    within = smaller * all + if is_possible { within } else { 0 };
                    all *= radix;
                }
            }
        }
        Some(within)
    }
}

/// The sum of ISO/IEC 7812-1, annex B, over the ASCII digits, modulo 10; 0 if the number is valid.
fn luhn_residue(text: &str) -> u32 {
    let digits = text.bytes().rev().filter(u8::is_ascii_digit).map(|digit| u32::from(digit - b'0'));
    digits.enumerate().map(|(place, digit)| weighed(place, digit)).sum::<u32>() % 10
}

/// What a digit adds: every second one from the right is doubled, and the digits of that are added.
fn weighed(place: usize, digit: u32) -> u32 {
    match (place % 2, digit * 2) {
        (0, _) => digit,
        (_, doubled) if doubled > 9 => doubled - 9,
        (_, doubled) => doubled,
    }
}

/// Sets the digit that makes the sum what it was. There is exactly one: what digits add is a
/// permutation of 0 to 9 in each place.
fn correct(checked: Checked, residue: u32, out: &mut String) {
    let Some(after) = out.get(checked.byte + 1..) else { return };
    let place = after.bytes().filter(u8::is_ascii_digit).count();
    let digit_of = |out: &str| {
        out.as_bytes().get(checked.byte).filter(|digit| digit.is_ascii_digit()).map(|d| u32::from(d - b'0'))
    };
    let Some(digit) = digit_of(out) else { return };
    let wanted = (weighed(place, digit) + residue + 10 - luhn_residue(out)) % 10;
    if let Some(digit) =
        "0123456789".chars().find(|c| c.to_digit(10).is_some_and(|d| weighed(place, d) == wanted))
    {
        let mut buffer = [0; 4];
        out.replace_range(checked.byte..checked.byte + 1, digit.encode_utf8(&mut buffer));
    }
}

#[cfg(test)]
mod tests;
