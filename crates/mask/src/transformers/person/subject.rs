//! A person as one draw decides it: gender, first, middle and last name, title. What tells of a
//! person takes it from here, so that names, mail and gender of one subject agree in all columns
//! and tables.

use crate::draw::Draw;
use crate::transformers::wording::Share;
use crate::vocabulary::{List, Locale, Vocabulary};

/// A gender, as names and titles have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gender {
    Male,
    Female,
    Neutral,
}

impl Gender {
    /// As Greenmask writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Gender::Male => "Male",
            Gender::Female => "Female",
            Gender::Neutral => "Neutral",
        }
    }
}

/// Which gender a rule asks for: the parameter `gender`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The draw decides between two.
    Any,
    /// This one.
    Only(Gender),
}

impl Wanted {
    /// `Male`, `Female`, `Neutral` or `Any`; of a column also what Greenmask maps without being
    /// told (`gender_mapping` of its RandomPerson).
    pub(crate) fn parse(text: &str) -> Option<Wanted> {
        Some(match text {
            "Any" => Wanted::Any,
            "Male" | "male" | "M" | "m" | "Man" | "man" => Wanted::Only(Gender::Male),
            "Female" | "female" | "F" | "f" | "Woman" | "woman" => Wanted::Only(Gender::Female),
            "Neutral" => Wanted::Only(Gender::Neutral),
            _ => return None,
        })
    }
}

/// A person that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) gender: Gender,
    pub(crate) first: &'static str,
    pub(crate) middle: &'static str,
    pub(crate) last: &'static str,
    pub(crate) title: &'static str,
}

#[allow(dead_code, reason = "`mail` and `template` draw persons")]
impl Person {
    /// The person of a draw ([`crate::transformer::Plain::of_person`]).
    pub(crate) fn of(draw: Draw, locale: Locale, vocabulary: Vocabulary) -> Person {
        People::of(locale, vocabulary).person(&draw, Wanted::Any, 0)
    }
}

/// The lists that persons of a locale are drawn from; a transformer looks them up once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct People {
    male: Lists,
    female: Lists,
    neutral: Option<&'static [&'static str]>,
    neutral_title: &'static [&'static str],
}

#[derive(Clone, Copy, Debug)]
struct Lists {
    first: &'static [&'static str],
    middle: &'static [&'static str],
    last: &'static [&'static str],
    title: &'static [&'static str],
}

/// What sets the bits of persons apart from others that are drawn from the same subject. It is
/// far above any number of tries, which [`Draw::again`] is also for.
pub(crate) const PERSON: u32 = 0x5065_7273;

/// Bits of each part of a person in the 128 of the draw.
const PART_BITS: u32 = 25;

impl People {
    /// The lists of a locale.
    pub(crate) fn of(locale: Locale, vocabulary: Vocabulary) -> People {
        let list = |list| vocabulary.list(locale, list);
        let or = |one: &'static [&'static str], other| if one.is_empty() { other } else { one };
        let lists = |first, middle, last, title| Lists {
            first: list(first),
            middle: or(list(middle), list(first)),
            last: or(list(List::Last), list(last)),
            title: list(title),
        };
        let neutral = list(List::FirstNeutral);
        People {
            male: lists(List::FirstMale, List::MiddleMale, List::LastMale, List::TitleMale),
            female: lists(List::FirstFemale, List::MiddleFemale, List::LastFemale, List::TitleFemale),
            neutral: (!neutral.is_empty()).then_some(neutral),
            neutral_title: list(List::TitleNeutral),
        }
    }

    /// The person of a draw. The parts are 25 bits each, from the lowest on: gender, first, middle
    /// and last name, title; so a part does not depend on which others are asked for. Another
    /// attempt is another person of the same gender.
    pub(crate) fn person(&self, draw: &Draw, wanted: Wanted, attempt: u32) -> Person {
        let bits = draw.again(PERSON).seed();
        // A part's bits become the top of a word.
        let part = |number: u32| Share(((bits >> (PART_BITS * number)) as u64) << (64 - PART_BITS));
        let is_male = part(0).below(2) == 0;
        let drawn = if is_male { Gender::Male } else { Gender::Female };
        let gender = match wanted {
            Wanted::Any => drawn,
            Wanted::Only(gender) => gender,
        };
        // Nobody's names are neutral in most languages: those of the drawn gender mean them.
        let lists = match gender {
            Gender::Female => &self.female,
            Gender::Neutral if !is_male => &self.female,
            _ => &self.male,
        };
        let neutral = gender == Gender::Neutral;
        let first = self.neutral.filter(|_| neutral).unwrap_or(lists.first);
        let title = if neutral && !self.neutral_title.is_empty() { self.neutral_title } else { lists.title };
        Person {
            gender,
            first: part(1).one_of(first, attempt),
            middle: part(2).one_of(lists.middle, attempt),
            last: part(3).one_of(lists.last, attempt),
            title: part(4).one_of(title, attempt),
        }
    }
}
