//! `phone`: telephone numbers that reach nobody.
//!
//! Where a country reserves numbers for fiction, these are used ([`ranges`] names the sources).
//! Elsewhere the national number begins with 000, which no numbering plan assigns: 0 and 00 are the
//! prefixes of trunk and international calls, and where they are not (Italy), 000 is free. A number
//! that is merely too long would not do: many exchanges ignore the digits that come after a
//! complete number.
//!
//! With `unique`, a bijection within the numbers of a country would reach real people. So the
//! fiction is the plain number with its digits permuted, behind the country code 999, which nobody
//! has (ITU, List of Recommendation ITU-T E.164 assigned country codes): +49 30 123456 becomes
//! +99983 71 204918. It is three characters longer, or five without a +.

mod layout;
mod ranges;
mod unique;

use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::draw::Draw;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::fitting::{
    another, country_of, not_injective, push_digit, random_digits, room, takes_text, too_short, value,
};
use crate::types::Kind;
use layout::Style;
use ranges::Country;

/// This family.
pub const ALL: &[Definition] = &[Definition {
    name: "phone",
    summary: "Makes a telephone number that reaches nobody: one that the country reserves for fiction, \
              or one whose national part begins with 000. Unique ones have the unassigned country \
              code 999 and the plain number's shape.",
    parameters: &[
        Parameter::new(
            "country",
            Takes::Text,
            "same",
            "Two letters of ISO 3166, or `same`: the plain number's by its country code, else the \
             locale's.",
        ),
        Parameter::new(
            "format",
            Takes::Word(&["same", "e164", "national"]),
            "same",
            "`same`: with the plain value's punctuation.",
        ),
        Parameter::new("toll_free", Takes::Flag, "false", "A number that is free for the caller."),
    ],
    takes: |kind| takes_text(kind) || matches!(kind, Kind::Int(8) | Kind::Numeric(_)),
    types: "texts, bigint and numeric",
    injective: Injective::Bijection,
    greenmask: &["RandomPhoneNumber", "RandomTollFreePhoneNumber", "RandomE164PhoneNumber"],
    build,
}];

#[derive(Debug)]
struct Phone {
    kind: Kind,
    /// None: the plain number's.
    country: Option<Country>,
    /// Where the plain number does not say.
    local: Country,
    format: Format,
    toll_free: bool,
    room: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Same,
    E164,
    National,
    /// Digits with the country code, of an integer.
    Digits,
}

/// The longest number with a + that is made: three digits of a country code and ten more.
const MOST_CHARS: usize = 14;

fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let is_number = !takes_text(making.kind());
    let country = match making.text("country").unwrap_or("same") {
        "same" => None,
        code => match Country::named(code) {
            Some(country) => Some(country),
            None => {
                let message = format!("no country is called {code}");
                return Err(making.fault(Code::WrongValue, "country", message, "two letters, as \"DE\""));
            }
        },
    };
    let format = match making.text("format") {
        _ if is_number => Format::Digits,
        Some("e164") => Format::E164,
        Some("national") => Format::National,
        _ => Format::Same,
    };
    if is_number && making.setting("format").is_some() {
        let message = "a number has no punctuation";
        return Err(making.fault(Code::WrongValue, "format", message, "leave `format` out"));
    }
    let room = room(making);
    if making.is_unique() {
        for (parameter, is_given) in
            [("country", country.is_some()), ("toll_free", making.flag("toll_free", false))]
        {
            if is_given {
                let why = format!("there are too few numbers that reach nobody for `{parameter}`");
                return Err(not_injective(making, parameter, why, "leave it out"));
            }
        }
        if !matches!(format, Format::Same | Format::Digits) {
            let why = "numbers that differ in punctuation alone would become equal";
            return Err(not_injective(making, "format", why, "format = \"same\""));
        }
        let kind = making.kind().clone();
        return match unique::Unique::new(kind, making.key().part("unique phone"), room) {
            Ok(unique) => Ok(Box::new(unique)),
            Err(needed) => Err(too_short(making, needed)),
        };
    }
    let local = country_of(making.around.locale).and_then(Country::named).unwrap_or(Country::UNITED_STATES);
    let toll_free = making.flag("toll_free", false);
    if let (true, Some(country)) = (toll_free, country)
        && !country.has_toll_free()
    {
        let message = format!("no toll-free numbers of {} are known that reach nobody", country.code);
        let hint = format!("countries: {}", ranges::toll_free_countries());
        return Err(making.fault(Code::WrongValue, "toll_free", message, hint));
    }
    let needed = country.map_or(MOST_CHARS, |country| country.most_digits() + 1);
    let needed = needed - usize::from(is_number);
    if room.is_some_and(|room| room < needed) {
        return Err(too_short(making, needed));
    }
    Ok(Box::new(Phone { kind: making.kind().clone(), country, local, format, toll_free, room }))
}

impl Transformer for Phone {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let text = value(&self.kind, plain.text);
        let style = Style::of(text, self.local);
        let country = self.country.unwrap_or_else(|| style.country(text, self.local));
        let mut groups = String::new();
        another(&self.kind, plain, out, |draw, out| {
            groups.clear();
            country.national(self.toll_free, draw, &mut groups);
            match self.format {
                Format::E164 => layout::international("+", country, &groups, out),
                Format::Digits => layout::international("", country, &groups, out),
                Format::National => layout::national(country, &groups, out),
                Format::Same => style.write(text, country, &groups, out),
            }
            if self.room.is_some_and(|room| out.chars().count() > room) {
                out.clear();
                layout::international("+", country, &groups, out);
            }
            Ok(())
        })
    }
}

impl Country {
    /// Writes a national number that reaches nobody, in groups with spaces between them.
    fn national(self, toll_free: bool, draw: &mut Draw, out: &mut String) {
        let ranges = if toll_free && self.has_toll_free() { self.toll_free } else { self.ranges };
        // A range is taken as often as it has numbers, so that all numbers are equally likely.
        let size = |range: &str| 10u64.pow(range.matches('#').count() as u32);
        let mut left = draw.below(ranges.iter().map(|range| size(range)).sum());
        for range in ranges {
            if left < size(range) {
                for place in range.chars() {
                    match place {
                        '#' => push_digit(out, draw.below(10) as u32),
                        '~' => out.push_str(draw.one_of(self.areas).unwrap_or(&"")),
                        other => out.push(other),
                    }
                }
                return;
            }
            left -= size(range);
        }
        out.push_str("000 ");
        random_digits(draw, 7, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transformers::fitting::tests::case;

    const PLAINS: &[&str] = &[
        "+49 (0)30 1234567",
        "030/1234567",
        "0049-171-1234567",
        "+1 (212) 736-5000",
        "212-736-5000",
        "1-800-736-5000",
        "+33 1 42 68 53 00",
        "+39 06 6982",
        "x",
        "",
        "+7 495 123-45-67",
        "+353 1 677 8899",
    ];

    fn digits(text: &str) -> String {
        text.chars().filter(char::is_ascii_digit).collect()
    }

    #[test]
    fn numbers_of_the_country() {
        case("phone").with("country", "DE").with("format", "e164").holds(PLAINS, |_, f| {
            [
                "+493023125",
                "+496990009",
                "+494066969",
                "+492214710",
                "+498999998",
                "+4917139200",
                "+49176040690",
            ]
            .iter()
            .any(|range| f.starts_with(range))
        });
        case("phone")
            .with("country", "US")
            .with("format", "national")
            .holds(PLAINS, |_, f| f.len() == 14 && f.starts_with('(') && f.get(4..12) == Some(") 555-01"));
        case("phone")
            .with("country", "IT")
            .with("format", "e164")
            .holds(PLAINS, |_, f| f.starts_with("+39000") && f.len() == 13);
        case("phone")
            .with("country", "US")
            .with("toll_free", true)
            .with("format", "e164")
            .holds(PLAINS, |_, f| f.starts_with("+18") && f.get(5..10) == Some("55501"));
    }

    #[test]
    fn the_plain_numbers_country_and_punctuation() {
        let rule = case("phone").locale("de_DE").built();
        let shown = |plain: &str| -> String {
            rule.fiction(plain).chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect()
        };
        for plain in PLAINS {
            let fiction = rule.fiction(plain);
            assert!(!digits(&fiction).is_empty(), "{plain}");
        }
        assert!(rule.fiction("+33 1 42 68 53 00").starts_with("+33 "));
        assert!(rule.fiction("+7 495 123-45-67").starts_with("+7 000 "));
        assert!(rule.fiction("+353 1 677 8899").starts_with("+353 2 09"));
        assert!(rule.fiction("0049-171-1234567").starts_with("0049-"));
        assert!(rule.fiction("030/1234567").starts_with('0'));
        assert!(rule.fiction("+49 (0)30 1234567").starts_with("+49 (0)"));
        assert_eq!(shown("+33 1 42 68 53 00"), "+## # ## ## ## ##");
        let american = case("phone").locale("en_US").built();
        assert_eq!(american.fiction("212-736-5000").get(3..9), Some("-555-0"));
        assert_eq!(american.fiction("1-212-736-5000").get(5..11), Some("-555-0"));
        // Words around a number are not taken over.
        assert!(!american.fiction("212-736-5000 ask for Anna").contains('A'));
    }

    #[test]
    fn numbers_in_integers() {
        let rule = case("phone").of(Kind::Int(8)).locale("de_DE");
        rule.holds(&["493012345678", "12127365000", "30123456"], |_, f| f.parse::<i64>().is_ok());
        assert_eq!(case("phone").of(Kind::Int(4)).code(), "M110");
        assert_eq!(case("phone").of(Kind::Int(8)).with("format", "e164").code(), "M006");
        assert_eq!(case("phone").of(Kind::Numeric(Some((10, 0)))).code(), "M111");
    }

    #[test]
    fn unique_numbers_are_permuted_behind_an_unassigned_code() {
        let plains = || {
            let of =
                |n: u32| [format!("+49 30 {n}"), format!("+4930{n}"), format!("030 {n}"), format!("{n}")];
            (0..500).flat_map(of).chain([String::new(), "+".to_string(), "call Anna".to_string()])
        };
        case("phone").unique().leads_back(plains());
        case("phone").unique().of(Kind::Int(8)).leads_back((1..500).map(|n: u64| (n * 7919).to_string()));
        assert!(case("phone").unique().fiction("+49 30 1").starts_with("+999"));
        assert_eq!(case("phone").unique().of(Kind::Char(20)).fiction("+49 30 1            ").len(), 11);
        assert_eq!(case("phone").unique().of(Kind::Numeric(Some((20, 2)))).fiction("4930.00").len(), 7);
        assert_eq!(case("phone").unique().of(Kind::Text(Some(18))).code(), "M111");
        assert_eq!(case("phone").unique().of(Kind::Text(Some(20))).code(), "");
        assert_eq!(case("phone").unique().of(Kind::Numeric(Some((17, 0)))).code(), "M111");
        assert_eq!(case("phone").unique().with("format", "e164").code(), "M120");
        assert_eq!(case("phone").unique().with("country", "DE").code(), "M120");
        assert_eq!(case("phone").unique().with("country", "same").code(), "");
    }

    #[test]
    fn wrong_parameters() {
        assert_eq!(case("phone").with("country", "XX").code(), "M006");
        assert_eq!(case("phone").with("country", "IT").with("toll_free", true).code(), "M006");
        assert_eq!(case("phone").with("format", "pretty").code(), "M006");
        assert_eq!(case("phone").of(Kind::Text(Some(13))).code(), "M111");
        assert_eq!(case("phone").of(Kind::Text(Some(12))).with("country", "US").code(), "");
        case("phone").of(Kind::Text(Some(14))).holds(PLAINS, |_, f| f.len() <= 14);
    }
}
