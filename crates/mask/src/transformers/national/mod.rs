//! `ssn`, `vat`, `license_plate`: numbers that a state gives.

mod checks;
mod license_plate;
mod ssn;
mod vat;

use super::fitting::{TEXTS, another, country_of, room, takes_text, too_short};
use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::draw::Draw;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::Kind;

const COUNTRY: Parameter = Parameter::new("country", Takes::Text, "the locale's", "Two letters of ISO 3166.");

const COUNTRY_OR_SAME: Parameter = Parameter::new(
    "country",
    Takes::Text,
    "same",
    "Two letters of ISO 3166, or `same`: the plain number's by its first two letters, else the locale's.",
);

const PUNCTUATION: Parameter = Parameter::new(
    "punctuation",
    Takes::Flag,
    "true",
    "With blanks, points and hyphens, as people write it.",
);

/// This family.
pub const ALL: &[Definition] = &[
    Definition {
        name: "ssn",
        summary: "Makes a national number of a person: social security, tax or register number. It has \
                  right check digits, and is in a range that the state does not give out where it has \
                  one (all but Brazil and Switzerland).",
        parameters: &[COUNTRY, PUNCTUATION],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::No,
        greenmask: &[],
        build: |making| Numbers::build(making, ssn::ALL, false),
    },
    Definition {
        name: "vat",
        summary: "Makes a VAT number with right check digits. It may by chance be some company's.",
        parameters: &[COUNTRY_OR_SAME, PUNCTUATION],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::No,
        greenmask: &[],
        build: |making| Numbers::build(making, vat::ALL, true),
    },
    Definition {
        name: "license_plate",
        summary: "Makes a vehicle's number with letters that the country does not give out.",
        parameters: &[COUNTRY, PUNCTUATION],
        takes: takes_text,
        types: TEXTS,
        injective: Injective::No,
        greenmask: &[],
        build: |making| Numbers::build(making, license_plate::ALL, false),
    },
];

/// One country's number.
struct Number {
    /// Two letters of ISO 3166.
    country: &'static str,
    /// The most characters, with punctuation.
    most: usize,
    /// Writes one; false: this draw gives none.
    make: fn(&mut Draw, &mut String) -> bool,
}

/// Numbers of a country.
struct Numbers {
    kind: Kind,
    all: &'static [Number],
    number: &'static Number,
    /// The plain number's own country is taken where it says so.
    same: bool,
    punctuation: bool,
    room: Option<usize>,
}

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Numbers({})", self.number.country)
    }
}

fn named(all: &'static [Number], country: &str) -> Option<&'static Number> {
    all.iter().find(|number| number.country == country)
}

impl Numbers {
    fn build(
        making: &mut Making<'_>,
        all: &'static [Number],
        takes_same: bool,
    ) -> Result<Box<dyn Transformer>, Unfit> {
        let stated = making.text("country").filter(|country| !(takes_same && *country == "same"));
        let local = country_of(making.around.locale);
        let known = match (stated, local) {
            (Some(stated), _) => named(all, stated),
            // Any country will do where the plain number says its own.
            (None, local) => local.and_then(|local| named(all, local)).or(all.first().filter(|_| takes_same)),
        };
        let Some(number) = known else {
            let name = &making.rule().name;
            let country = stated.or(local).unwrap_or("the locale's country");
            let message = format!("{name} knows no numbers of {country}");
            let countries: Vec<&str> = all.iter().map(|number| number.country).collect();
            return Err(making.fault(Code::WrongValue, "country", message, countries.join(", ")));
        };
        let room = room(making);
        let bare = number.bare();
        if room.is_some_and(|room| room < bare) {
            return Err(too_short(making, bare));
        }
        let punctuation = making.flag("punctuation", true) && room.is_none_or(|room| number.most <= room);
        let (kind, same) = (making.kind().clone(), takes_same && stated.is_none());
        Ok(Box::new(Numbers { kind, all, number, same, punctuation, room }))
    }
}

impl Number {
    /// The most characters without punctuation.
    fn bare(&self) -> usize {
        let mut out = String::new();
        let mut draw = Draw::from_seed(crate::key::RuleKey::of_bytes([0; 16]), 0);
        self.write(&mut draw, false, &mut out);
        out.len()
    }

    fn write(&self, draw: &mut Draw, punctuation: bool, out: &mut String) {
        // At most one draw of eleven gives no number, so the hundredth is never reached.
        for _ in 0..100 {
            out.clear();
            if (self.make)(draw, out) {
                break;
            }
        }
        if !punctuation {
            out.retain(|character| character.is_ascii_alphanumeric());
        }
    }
}

impl Transformer for Numbers {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let fits = |number: &&Number| self.room.is_none_or(|room| number.most <= room);
        let of_plain = plain.text.get(..2).map(|country| {
            // Greece writes EL (VAT Directive 2006/112/EC, article 215).
            if country == "EL" { "GR" } else { country }
        });
        let number = match of_plain.and_then(|country| named(self.all, country)).filter(fits) {
            Some(number) if self.same => number,
            _ => self.number,
        };
        another(&self.kind, plain, out, |draw, out| {
            number.write(draw, self.punctuation, out);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transformers::fitting::tests::case;

    /// Every country of every number: its length, with and without punctuation.
    #[test]
    fn lengths() {
        for (name, all) in [("ssn", ssn::ALL), ("vat", vat::ALL), ("license_plate", license_plate::ALL)] {
            for number in all {
                let country = number.country;
                let bare = number.bare();
                let plains = &["078-05-1120", "", "x", "1", "2", "3"];
                case(name).with("country", country).holds(plains, |_, f| f.len() == number.most);
                let rule = || case(name).with("country", country).with("punctuation", false);
                rule().holds(plains, |_, f| f.len() == bare && f.bytes().all(|b| b.is_ascii_alphanumeric()));
                let of = |most: usize| Kind::Text(Some(most as u32));
                case(name).with("country", country).of(of(bare)).holds(plains, |_, f| f.len() <= bare);
                assert_eq!(case(name).with("country", country).of(of(bare - 1)).code(), "M111");
            }
            assert_eq!(case(name).with("country", "XX").code(), "M006");
        }
    }

    #[test]
    fn countries() {
        assert!(case("ssn").locale("en_US").fiction("x").starts_with('9'));
        assert_eq!(case("ssn").locale("ja_JP").code(), "M006");
        assert_eq!(case("ssn").with("country", "same").code(), "M006");
        assert!(case("vat").locale("de_DE").fiction("x").starts_with("DE"));
        assert!(case("vat").locale("ja_JP").fiction("FR40303265045").starts_with("FR"));
        assert!(case("vat").fiction("EL094014201").starts_with("EL"));
        assert!(case("vat").with("country", "AT").fiction("FR40303265045").starts_with("ATU"));
    }
}
