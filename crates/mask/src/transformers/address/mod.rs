//! `address.*`: places that do not exist, the same for one subject in all columns.

mod place;
#[cfg(test)]
mod tests;

use place::{Part, Places};

use super::degrees::{self, Degrees};
use super::wording::{Format, Piece, Room, is_text, other_than_plain, texts, varied, vocabulary};
use crate::definition::{Definition, Parameter, Takes};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Draws, Plain, Refusal, Transformer};
use crate::types::Kind;
use crate::vocabulary::List;

/// This family.
pub const ALL: &[Definition] = &[
    words(
        "address.line",
        "A street and a number, in the locale's order.",
        &[Parameter::new(
            "format",
            Takes::Text,
            "the locale's street and number",
            "How it is written, of {street} {number} {city} {postcode} {state} {country}.",
        )],
        |making| Words::build(making, None, 5),
    ),
    words("address.street", "A street without a number.", &[], |making| {
        Words::build(making, Some("{street}"), 3)
    }),
    digits("address.number", "A house number.", |making| Digits::build(making, Part::Number, 2)),
    words("address.city", "A city.", &[], |making| Words::build(making, Some("{city}"), 3)),
    digits(
        "address.postcode",
        "A postcode of the locale's form; its digits where the column is a number.",
        |making| Digits::build(making, Part::Postcode, 3),
    ),
    words("address.state", "A state, province or region.", &[], |making| {
        Words::build(making, Some("{state}"), 3)
    }),
    words("address.country", "A country, in the locale's language.", &[], |making| {
        Words::build(making, Some("{country}"), 3)
    }),
    coordinate("address.latitude", "A latitude near the locale's country.", |making| {
        Ok(Box::new(Coordinate::build(making, true)?))
    }),
    coordinate("address.longitude", "A longitude near the locale's country.", |making| {
        Ok(Box::new(Coordinate::build(making, false)?))
    }),
];

const fn words(
    name: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
    build: fn(&mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit>,
) -> Definition {
    texts(name, summary, parameters, &["RealAddress"], build)
}

/// Of what may be a number in the database.
const fn digits(
    name: &'static str,
    summary: &'static str,
    build: fn(&mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit>,
) -> Definition {
    Definition {
        takes: |kind| is_text(kind) || matches!(kind, Kind::Int(_) | Kind::Numeric(_)),
        types: "text, varchar, char, citext, name, int2, int4, int8, numeric",
        ..words(name, summary, &[], build)
    }
}

const fn coordinate(
    name: &'static str,
    summary: &'static str,
    build: fn(&mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit>,
) -> Definition {
    Definition {
        takes: degrees::takes,
        types: degrees::TYPES,
        ..words(name, summary, &[degrees::DECIMALS], build)
    }
}

const PARTS: &[(&str, Part)] = &[
    ("street", Part::Street),
    ("number", Part::Number),
    ("city", Part::City),
    ("postcode", Part::Postcode),
    ("state", Part::State),
    ("country", Part::Country),
];

/// Writes a place by a format.
#[derive(Debug)]
struct Words {
    places: Places,
    format: Format<Part>,
    room: Room,
}

impl Words {
    /// `format` is the one that counts where the rule gives none; None: the locale's line.
    fn build(
        making: &mut Making<'_>,
        format: Option<&str>,
        least: usize,
    ) -> Result<Box<dyn Transformer>, Unfit> {
        let vocabulary = vocabulary(making)?;
        let locale = making.around.locale;
        let line = vocabulary.list(locale, List::Line).first().copied().unwrap_or("{street} {number}");
        let words = Words {
            places: Places::of(locale, vocabulary),
            format: Format::of(making, format.unwrap_or(line), PARTS)?,
            room: Room::at_least(making, least)?,
        };
        varied(making, words)
    }
}

impl Transformer for Words {
    fn draws(&self) -> Draws {
        Draws::Subject
    }

    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let draw = plain.of_person();
        other_than_plain(plain, out, |attempt, out| {
            for piece in self.format.pieces() {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Part(part) => self.places.write(&draw, *part, attempt, out),
                }
            }
            self.room.cut(out);
            Ok(())
        })
    }
}

/// Writes the digits of a part of a place, as a number.
#[derive(Debug)]
struct Digits {
    places: Places,
    part: Part,
    most: usize,
}

impl Digits {
    /// For numbers; a column of texts gets the part as it is.
    fn build(making: &mut Making<'_>, part: Part, least: usize) -> Result<Box<dyn Transformer>, Unfit> {
        let most = match making.kind() {
            // So many digits that every number of them has room.
            Kind::Int(2) => 4,
            Kind::Int(4) => 9,
            Kind::Int(_) | Kind::Numeric(None) => 18,
            Kind::Numeric(Some((precision, scale))) if *scale >= 0 => {
                usize::from(*precision).saturating_sub(scale.unsigned_abs().into()).min(18)
            }
            Kind::Numeric(_) => 0,
            _ => {
                let part = if part == Part::Number { "{number}" } else { "{postcode}" };
                return Words::build(making, Some(part), least);
            }
        };
        if most < least {
            let message = format!("{} needs {least} digits or more", making.rule().name);
            return Err(making.fault(Code::ValueOutside, "use", message, ""));
        }
        let places = Places::of(making.around.locale, vocabulary(making)?);
        varied(making, Digits { places, part, most })
    }
}

impl Transformer for Digits {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let draw = plain.of_person();
        // A scale shows as zeros after the point.
        let was = plain.text.split_once('.').map_or(plain.text, |(whole, _)| whole);
        let plain = Plain { text: was, draw: plain.draw.clone(), subject: None, ..*plain };
        other_than_plain(&plain, out, |attempt, out| {
            self.places.write(&draw, self.part, attempt, out);
            let mut digits = 0;
            out.retain(|c| {
                let is_leading_zero = c == '0' && digits == 0;
                let kept = c.is_ascii_digit() && !is_leading_zero && digits < self.most;
                digits += usize::from(kept);
                kept
            });
            if out.is_empty() {
                out.push('0');
            }
            Ok(())
        })
    }
}

/// Writes a coordinate of a place.
#[derive(Debug)]
struct Coordinate {
    places: Places,
    degrees: Degrees,
    is_latitude: bool,
}

impl Coordinate {
    fn build(making: &mut Making<'_>, is_latitude: bool) -> Result<Coordinate, Unfit> {
        let vocabulary = vocabulary(making)?;
        let places = Places::of(making.around.locale, vocabulary);
        Ok(Coordinate { places, degrees: Degrees::of(making, if is_latitude { 2 } else { 3 })?, is_latitude })
    }
}

impl Transformer for Coordinate {
    fn draws(&self) -> Draws {
        Draws::Subject
    }

    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let (map, draw) = (self.places.map, plain.of_person());
        self.degrees.write(plain, out, |attempt| match self.is_latitude {
            true => map.latitude(&draw, attempt),
            false => map.longitude(&draw, attempt),
        })?;
        Ok(Answer::Text)
    }
}
