//! `person.*`: names, titles, initials and gender of people who do not exist.

mod gender;
mod subject;
#[cfg(test)]
mod tests;

#[allow(unused_imports, reason = "`mail` and `template` draw persons")]
pub(crate) use subject::{Gender, PERSON, People, Person, Wanted};

use super::wording::{Format, Piece, Room, other_than_plain, texts, varied, vocabulary};
use crate::definition::{Definition, Parameter, Takes};
use crate::making::{Making, Unfit};
use crate::operand::Operand;
use crate::transformer::{Answer, Draws, Plain, Refusal, Transformer};
use crate::vocabulary::List;

const GENDER: Parameter = Parameter::new(
    "gender",
    Takes::Word(&["Male", "Female", "Neutral", "Any"]),
    "Any",
    "Whose names: Male, Female, Neutral, Any, or { from = \"column\", map = { Male = [\"m\"], … }, else = \"Any\" }.",
)
.dynamic();

const fn format(default: &'static str) -> Parameter {
    Parameter::new(
        "format",
        Takes::Text,
        default,
        "How it is written, of {title} {first} {middle} {last} {f} {m} {l} {gender}; a single letter is an initial.",
    )
}

/// The parts of a format.
const PARTS: &[(&str, Part)] = &[
    ("title", Part::Title),
    ("first", Part::First),
    ("middle", Part::Middle),
    ("last", Part::Last),
    ("f", Part::FirstInitial),
    ("m", Part::MiddleInitial),
    ("l", Part::LastInitial),
    ("gender", Part::Gender),
];

/// This family.
pub const ALL: &[Definition] = &[
    texts("person.first", "A first name.", &[GENDER, format("{first}")], OF_GREENMASK, |making| {
        Words::build(making, Some("{first}"), 2)
    }),
    texts(
        "person.middle",
        "A middle name or patronymic where the locale has them, else a second first name.",
        &[GENDER, format("{middle}")],
        &[],
        |making| Words::build(making, Some("{middle}"), 2),
    ),
    texts(
        "person.last",
        "A last name, in the form of the gender where the language has two.",
        &[GENDER, format("{last}")],
        OF_GREENMASK,
        |making| Words::build(making, Some("{last}"), 2),
    ),
    texts(
        "person.name",
        "A whole name, in the locale's order.",
        &[GENDER, format("the locale's")],
        OF_GREENMASK,
        |making| Words::build(making, None, 2),
    ),
    texts("person.title", "A title: Mr., Dr.", &[GENDER, format("{title}")], OF_GREENMASK, |making| {
        Words::build(making, Some("{title}"), 2)
    }),
    texts(
        "person.initials",
        "The initials of the first and the last name.",
        &[GENDER, format("{f}{l}")],
        &[],
        |making| Words::build(making, Some("{f}{l}"), 1),
    ),
    gender::DEFINITION,
];

/// What Greenmask calls them.
const OF_GREENMASK: &[&str] = &["RandomPerson"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Title,
    First,
    Middle,
    Last,
    FirstInitial,
    MiddleInitial,
    LastInitial,
    Gender,
}

/// The parameter `gender`.
fn wanted(making: &mut Making<'_>) -> Result<Operand<Wanted>, Unfit> {
    Ok(making.operand("gender", Wanted::parse)?.unwrap_or(Operand::Fixed(Wanted::Any)))
}

/// Writes a person by a format.
#[derive(Debug)]
struct Words {
    people: People,
    wanted: Operand<Wanted>,
    format: Format<Part>,
    room: Room,
}

impl Words {
    /// `format` is the one that counts where the rule gives none; None: the locale's.
    fn build(
        making: &mut Making<'_>,
        format: Option<&str>,
        least: usize,
    ) -> Result<Box<dyn Transformer>, Unfit> {
        let vocabulary = vocabulary(making)?;
        let locale = making.around.locale;
        let of_locale = vocabulary.list(locale, List::Name).first().copied().unwrap_or("{first} {last}");
        let words = Words {
            people: People::of(locale, vocabulary),
            wanted: wanted(making)?,
            format: Format::of(making, format.unwrap_or(of_locale), PARTS)?,
            room: Room::at_least(making, least)?,
        };
        varied(making, words)
    }
}

impl Transformer for Words {
    fn draws(&self) -> Draws {
        Draws::Person
    }

    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let wanted = self.wanted.get(plain.row)?;
        let draw = plain.of_person();
        other_than_plain(plain, out, |attempt, out| {
            let person = self.people.person(&draw, wanted, attempt);
            let initial = |name: &'static str| name.chars().next();
            for piece in self.format.pieces() {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Part(Part::Title) => out.push_str(person.title),
                    Piece::Part(Part::First) => out.push_str(person.first),
                    Piece::Part(Part::Middle) => out.push_str(person.middle),
                    Piece::Part(Part::Last) => out.push_str(person.last),
                    Piece::Part(Part::FirstInitial) => out.extend(initial(person.first)),
                    Piece::Part(Part::MiddleInitial) => out.extend(initial(person.middle)),
                    Piece::Part(Part::LastInitial) => out.extend(initial(person.last)),
                    Piece::Part(Part::Gender) => out.push_str(person.gender.as_str()),
                }
            }
            self.room.cut(out);
            Ok(())
        })
    }
}
