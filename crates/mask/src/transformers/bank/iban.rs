//! `iban`: international account numbers (ISO 13616-1): a country, two check digits, and the
//! national number (BBAN).
//!
//! The bank's part is all zeros, or X where letters are wanted (in Belgium 999, because 000 is a
//! bank there): no registry lists such a bank. National check digits are right where
//! [`national_checks`] knows them.
//!
//! With `unique`, digits and letters of the national number are permuted together, each within its
//! class, so that the country, the length and the structure stay. A fiction may by chance be an
//! account that exists: of 10^18 German numbers about 10^8 do. The check digits are as right or
//! wrong as they were. National check digits are permuted with the rest.

use super::national_checks;
use super::registry::{self, Structure};
use crate::finding::Code;
use crate::key::RuleKey;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::fitting::{
    another, country_of, is_lower_case, not_injective, pattern, room, too_short, value,
};
use crate::transformers::shape::{Shape, Way, varies};
use crate::types::Kind;

#[derive(Debug)]
struct Iban {
    kind: Kind,
    keeps_country: bool,
    country: &'static Structure,
    lower_case: bool,
    room: Option<usize>,
}

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let stated = match making.text("country") {
        None => None,
        Some(code) => match registry::named(code) {
            Some(structure) => Some(structure),
            None => {
                let message = format!("{code} has no IBAN");
                return Err(making.fault(Code::WrongValue, "country", message, "two letters, as \"DE\""));
            }
        },
    };
    let keep = making.text("keep");
    if let (Some(_), Some("country")) = (stated, keep) {
        let message = "keep = \"country\" and `country` exclude each other";
        return Err(making.fault(Code::WrongValue, "country", message, "leave one of them out"));
    }
    let local = country_of(making.around.locale).and_then(registry::named);
    let country = stated.or(local).unwrap_or(registry::GERMANY);
    let keeps_country = stated.is_none() && keep != Some("nothing");
    let (kind, room) = (making.kind().clone(), room(making));
    if making.is_unique() {
        for parameter in ["country", "keep"] {
            if !keeps_country && making.setting(parameter).is_some() {
                let why = "numbers of several countries do not fit into one";
                return Err(not_injective(making, parameter, why, "keep = \"country\""));
            }
        }
        return Ok(Box::new(Unique::new(kind, making.key())));
    }
    let needed = country.length();
    if room.is_some_and(|room| room < needed) {
        return Err(too_short(making, needed));
    }
    let lower_case = is_lower_case(making);
    Ok(Box::new(Iban { kind, keeps_country, country, lower_case, room }))
}

/// Whether it is written as a country's code.
pub(super) fn is_country(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|letter| letter.is_ascii_uppercase())
}

/// An account number without blanks, in upper case.
fn compact(text: &str) -> String {
    text.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_uppercase()).collect()
}

/// The check digits of a country and a national number: 98 less the remainder by 97 of both, with
/// 00 behind (ISO 7064, MOD 97-10). Letters count from 10.
fn check_digits(country: &str, bban: &str) -> u32 {
    let digit = |remainder: u32, character: char| match character.to_digit(36) {
        Some(value) if value > 9 => (remainder * 100 + value) % 97,
        Some(value) => (remainder * 10 + value) % 97,
        None => remainder,
    };
    98 - bban.chars().chain(country.chars()).chain("00".chars()).fold(0, digit)
}

impl Transformer for Iban {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let fits = |structure: &&Structure| self.room.is_none_or(|room| structure.length() <= room);
        let of_plain = compact(plain.text).get(..2).and_then(registry::named).filter(fits);
        let country = of_plain.filter(|_| self.keeps_country).unwrap_or(self.country);
        let mut bban = String::new();
        another(&self.kind, plain, out, |draw, out| {
            loop {
                bban.clear();
                pattern(draw, &country.fiction(), &mut bban);
                // Some numbers have no national check digit; the next draw is another one.
                if national_checks::set(country.code, &mut bban) {
                    break;
                }
            }
            let check = check_digits(country.code, &bban);
            let mut characters = country
                .code
                .chars()
                .chain(format!("{check:02}").chars().collect::<Vec<_>>())
                .chain(bban.chars());
            // In groups of four, where the plain number is.
            let blanks = value(&self.kind, plain.text).matches(' ').count();
            let is_grouped = blanks > 0
                && self.room.is_none_or(|room| country.length() + country.length().div_ceil(4) - 1 <= room);
            let size = if is_grouped { 4 } else { usize::MAX };
            for place in 0..country.length() {
                if place > 0 && place % size == 0 {
                    out.push(' ');
                }
                out.extend(characters.next());
            }
            if self.lower_case {
                out.make_ascii_lowercase();
            }
            Ok(())
        })
    }
}

#[derive(Debug)]
struct Unique {
    kind: Kind,
    numbers: Shape,
    others: Shape,
}

impl Unique {
    fn new(kind: Kind, key: RuleKey) -> Unique {
        let of = |part| Shape::new(key.part(part));
        Unique { kind, numbers: of("unique iban"), others: of("unique iban, others") }
    }

    /// Either way. The country and the number's structure stay, so that what is a number of the
    /// registry remains one, and what is none remains none.
    fn turn(&self, text: &str, way: Way, out: &mut String) -> Result<Answer, Refusal> {
        let number = compact(text);
        let country = number.get(..2).and_then(registry::named);
        let bban = number.get(4..).unwrap_or_default();
        let check = number.get(2..4).filter(|check| check.bytes().all(|digit| digit.is_ascii_digit()));
        let (Some(country), Some(check)) = (country.filter(|country| country.fits(bban)), check) else {
            return self.turn_other(text, way, out);
        };
        let check = check.parse().unwrap_or(0);
        let mut turned = String::with_capacity(bban.len());
        self.numbers.text(bban, way, &mut turned)?;
        // The check digits 02 to 98 say by how much a number is wrong; 00, 01 and 99 are not in
        // use.
        let check = if (2..=98).contains(&check) {
            let wrong_by = (check + 97 - check_digits(country.code, bban)) % 97;
            (check_digits(country.code, &turned) - 2 + wrong_by) % 97 + 2
        } else {
            check
        };
        let digits = format!("{check:02}");
        let mut left = country.code.chars().chain(digits.chars()).chain(turned.chars());
        for character in text.chars() {
            match character {
                ' ' => out.push(' '),
                other => {
                    out.extend(
                        left.next().map(|new| {
                            if other.is_ascii_lowercase() { new.to_ascii_lowercase() } else { new }
                        }),
                    )
                }
            }
        }
        Ok(Answer::Text)
    }

    /// What is no account number keeps its first two characters, so that it does not become one.
    fn turn_other(&self, text: &str, way: Way, out: &mut String) -> Result<Answer, Refusal> {
        let start =
            text.char_indices().filter(|(_, c)| *c != ' ').nth(2).map_or(text.len(), |(start, _)| start);
        let (country, rest) = text.split_at_checked(start).unwrap_or((text, ""));
        // Behind which nothing can change, it is not one in any case.
        if !rest.chars().any(varies) {
            return self.others.text(text, way, out).map(|()| Answer::Text);
        }
        out.push_str(country);
        self.others.text(rest, way, out)?;
        Ok(Answer::Text)
    }
}

impl Transformer for Unique {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        self.turn(value(&self.kind, plain.text), Way::ToFiction, out)
    }

    fn plain_of(&self, fiction: &str, out: &mut String) -> Result<Answer, Refusal> {
        self.turn(value(&self.kind, fiction), Way::ToPlain, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transformers::fitting::tests::case;

    /// Examples of the IBAN registry.
    const PLAINS: &[&str] = &[
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "GB29NWBK60161331926819",
        "FR1420041010050500013M02606",
        "IT60X0542811101000000123456",
        "NL91ABNA0417164300",
        "MT84MALT011000012345MTLCAST001S",
        "LC55HEMM000100010012001200023015",
        "NO9386011117947",
        "BE68539007547034",
        "KW81CBKU0000000000001234560101",
        "de89370400440532013000",
    ];

    fn is_valid(text: &str) -> bool {
        let number = compact(text);
        let (Some(code), Some(check), Some(bban)) = (number.get(..2), number.get(2..4), number.get(4..))
        else {
            return false;
        };
        registry::named(code).is_some_and(|country| country.fits(bban))
            && check == format!("{:02}", check_digits(code, bban))
    }

    #[test]
    fn published_numbers_are_valid() {
        for plain in PLAINS {
            assert!(is_valid(plain), "{plain}");
        }
        assert!(!is_valid("DE88370400440532013000"));
    }

    #[test]
    fn numbers_of_every_country() {
        for country in registry::ALL {
            case("iban").with("country", country.code).holds(&["", "x", "DE89370400440532013000"], |_, f| {
                is_valid(f) && f.starts_with(country.code)
            });
        }
        case("iban").holds(PLAINS, |plain, f| {
            is_valid(f) && (plain.is_empty() || plain.to_uppercase().get(..2) == f.get(..2))
        });
        case("iban").with("keep", "nothing").locale("de_AT").holds(PLAINS, |_, f| f.starts_with("AT"));
        assert_eq!(case("iban").fiction("DE89 3704 0044 0532 0130 00").matches(' ').count(), 5);
        assert_eq!(case("iban").fiction("DE89370400440532013000").get(4..12), Some("00000000"));
        case("iban").lower_case().holds(PLAINS, |_, f| f == f.to_lowercase());
    }

    #[test]
    fn unique_numbers() {
        for plain in PLAINS {
            let head = plain.len() - 4;
            let numbers = (0..1000).filter_map(|n| plain.get(..head).map(|start| format!("{start}{n:04}")));
            case("iban").unique().leads_back(numbers);
        }
        case("iban").unique().leads_back((0..1000).map(|n| format!("account {n}")));
        case("iban").unique().leads_back((0..100).map(|n| format!("DE{n:02}370400440532013000")));
        case("iban").unique().leads_back(["", "x", "xy", "DE"].map(str::to_string).into_iter().skip(1));
        case("iban")
            .unique()
            .holds(PLAINS, |plain, f| plain.len() == f.len() && (f.is_empty() || is_valid(f)));
        assert!(!is_valid(&case("iban").unique().fiction("DE88370400440532013000")));
    }

    #[test]
    fn wrong_parameters() {
        assert_eq!(case("iban").with("country", "US").code(), "M006");
        assert_eq!(case("iban").with("country", "DE").with("keep", "country").code(), "M006");
        assert_eq!(case("iban").with("country", "DE").unique().code(), "M120");
        assert_eq!(case("iban").with("keep", "nothing").unique().code(), "M120");
        assert_eq!(case("iban").with("country", "DE").of(Kind::Text(Some(21))).code(), "M111");
        assert_eq!(case("iban").with("country", "NO").of(Kind::Text(Some(15))).code(), "");
        case("iban").locale("de_DE").of(Kind::Text(Some(22))).holds(PLAINS, |_, f| f.len() <= 22);
    }
}
