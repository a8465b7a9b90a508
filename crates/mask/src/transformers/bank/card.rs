//! `card`.
//!
//! No prefix of a brand is reserved for fiction. Those of [`TESTS`] are the ones under which
//! payment processors publish numbers for tests (Stripe, Adyen, Braintree: "Test card numbers").
//!
//! With `unique`, the digits but the last are permuted together. The first one changes sides: 2 to
//! 6, with which payment cards begin, become 0, 1, 7, 8 or 9, with which other industries' cards
//! begin (ISO/IEC 7812-1, table 1), and back. So no fiction of a payment card is one. Integers have
//! no 0 in front; there 3 to 6 and 1, 7, 8, 9 change sides, and 2 stays. The check digit is as
//! right or wrong as it was, so that the rule is a bijection also of mistyped numbers.

use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::fitting::{
    another, digits, luhn, push_digit, random_digits, room, takes_text, too_short, value,
};
use crate::transformers::shape::{Shape, Way};
use crate::types::Kind;

/// What `brand` takes.
pub(super) const BRANDS: &[&str] =
    &["same", "any", "visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay", "maestro"];

struct Brand {
    name: &'static str,
    /// Prefixes of test numbers.
    tests: &'static [&'static str],
    /// The lengths that its numbers have, the usual one first.
    lengths: &'static [usize],
}

const TESTS: &[Brand] = &[
    Brand { name: "visa", tests: &["400000", "411111", "424242"], lengths: &[16, 13, 19] },
    Brand { name: "mastercard", tests: &["222300", "510510", "555555"], lengths: &[16] },
    Brand { name: "amex", tests: &["371449", "378282"], lengths: &[15] },
    Brand { name: "discover", tests: &["601100", "601111"], lengths: &[16, 19] },
    Brand { name: "diners", tests: &["305693", "385200"], lengths: &[14] },
    Brand { name: "jcb", tests: &["353011", "356600"], lengths: &[16] },
    Brand { name: "unionpay", tests: &["620000"], lengths: &[16, 17, 18, 19] },
    Brand { name: "maestro", tests: &["675964"], lengths: &[16, 12, 13, 14, 15, 17, 18, 19] },
];

/// The digits that a card number has (ISO/IEC 7812-1: at most 19).
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=19;

/// The brand of a number, by its first digits.
fn brand_of(number: &str) -> Option<&'static Brand> {
    let prefix = |length| number.get(..length).and_then(|prefix| prefix.parse::<u32>().ok()).unwrap_or(0);
    let name = match (prefix(1), prefix(2), prefix(3), prefix(4)) {
        (4, ..) => "visa",
        (_, 51..=55, ..) | (_, _, _, 2221..=2720) => "mastercard",
        (_, 34 | 37, ..) => "amex",
        (_, 65, ..) | (_, _, 644..=649, _) | (_, _, _, 6011) => "discover",
        (_, 36 | 38 | 39, ..) | (_, _, 300..=305, _) => "diners",
        (_, _, _, 3528..=3589) => "jcb",
        (_, 62, ..) => "unionpay",
        (_, 50 | 56..=58, ..) | (6, ..) => "maestro",
        _ => return None,
    };
    named(name)
}

fn named(name: &str) -> Option<&'static Brand> {
    TESTS.iter().find(|brand| brand.name == name)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Same,
    Any,
    Of(&'static str),
}

#[derive(Debug)]
struct Card {
    kind: Kind,
    choice: Choice,
    room: Option<usize>,
}

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let choice = match making.text("brand").unwrap_or("same") {
        "same" => Choice::Same,
        "any" => Choice::Any,
        name => Choice::Of(named(name).map_or("visa", |brand| brand.name)),
    };
    // Fictions that fit: 19 digits below 7 × 10^18 fit into a bigint.
    let room = if matches!(making.kind(), Kind::Int(8)) { Some(19) } else { room(making) };
    let needed = match choice {
        Choice::Of(name) => named(name).and_then(|brand| brand.lengths.first()).copied().unwrap_or(16),
        _ => 16,
    };
    if room.is_some_and(|room| room < needed) {
        return Err(too_short(making, needed));
    }
    let kind = making.kind().clone();
    if !making.is_unique() {
        return Ok(Box::new(Card { kind, choice, room }));
    }
    if choice != Choice::Same {
        let message = "a unique card number does not keep to a brand";
        return Err(making.fault(Code::NotInjective, "brand", message, "leave `brand` out"));
    }
    let key = making.key();
    let of = |part| Shape::new(key.part(part));
    Ok(Box::new(Unique { kind, cards: of("unique card"), others: of("unique card, others") }))
}

impl Transformer for Card {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let text = value(&self.kind, plain.text);
        let number: String = text.chars().filter(char::is_ascii_digit).collect();
        another(&self.kind, plain, out, |draw, out| {
            let brand = match self.choice {
                Choice::Same => brand_of(&number).or_else(|| named("visa")),
                Choice::Any => draw.one_of(TESTS),
                Choice::Of(name) => named(name),
            };
            let Some(brand) = brand else { return Err(Refusal::new("no brand is known")) };
            let fits = |length: &&usize| self.room.is_none_or(|room| **length <= room);
            let of_plain = brand.lengths.iter().filter(fits).find(|length| **length == number.len());
            let length = of_plain.or_else(|| brand.lengths.iter().find(fits)).copied().unwrap_or(16);
            let mut fiction = String::with_capacity(length);
            fiction.push_str(draw.one_of(brand.tests).unwrap_or(&"400000"));
            random_digits(draw, length.saturating_sub(fiction.len() + 1), &mut fiction);
            let check = luhn(digits(&fiction));
            push_digit(&mut fiction, check);
            // The plain number's groups, where it has as many digits.
            let is_grouped = length == number.len()
                && takes_text(&self.kind)
                && text.chars().all(|c| c.is_ascii_digit() || is_separator(c));
            if is_grouped {
                let mut left = fiction.chars();
                out.extend(text.chars().filter_map(|c| if is_separator(c) { Some(c) } else { left.next() }));
            } else {
                out.push_str(&fiction);
            }
            Ok(())
        })
    }
}

fn is_separator(character: char) -> bool {
    matches!(character, ' ' | '-')
}

#[derive(Debug)]
struct Unique {
    kind: Kind,
    cards: Shape,
    others: Shape,
}

impl Unique {
    /// Both ways at once: the first digit's sides are each other's images.
    fn turn(&self, text: &str, way: Way, out: &mut String) -> Result<Answer, Refusal> {
        let is_text = takes_text(&self.kind);
        let number: Vec<u32> = digits(text).collect();
        let is_card = LENGTHS.contains(&number.len())
            && text.chars().all(|c| c.is_ascii_digit() || (is_text && is_separator(c)));
        let sides = if is_text { ["23456", "01789"] } else { ["3456", "1789"] };
        if !is_card {
            // What is no card number has the shape of none, and its fiction has the same shape.
            if !is_text {
                return Err(Refusal::new("the value is not the digits of a card number"));
            }
            self.others.text(text, way, out)?;
            return Ok(Answer::Text);
        }
        let Some((check, payload)) = number.split_last() else { return Ok(Answer::Text) };
        let Some((first, middle)) = payload.split_first() else { return Ok(Answer::Text) };
        let wrong_by = (check + 10 - luhn(payload.iter().copied())) % 10;
        let first = char::from_digit(*first, 10).unwrap_or('0');
        let at = |side: &str| side.find(first);
        let (value, side) = match (at(sides[0]), at(sides[1])) {
            (Some(value), _) => (value, sides[1]),
            (_, Some(value)) => (value, sides[0]),
            // A 2 among integers.
            _ => (0, "2"),
        };
        let mut start = String::with_capacity(number.len());
        for digit in std::iter::once(value as u32).chain(middle.iter().copied()) {
            push_digit(&mut start, digit);
        }
        let count = middle.iter().fold(side.len() as u64, |count, _| count * 10);
        // The sides have one network, and the way back from one is the way there of the other.
        let mut turned = String::with_capacity(number.len());
        self.cards.number(&start, count, way, &mut turned);
        let mut fiction = String::with_capacity(number.len());
        let mut left = turned.chars();
        let first = left.next().and_then(|place| place.to_digit(10)).unwrap_or(0);
        fiction.extend(side.chars().nth(first as usize));
        fiction.extend(left);
        let check = luhn(digits(&fiction)) + wrong_by;
        push_digit(&mut fiction, check);
        let mut left = fiction.chars();
        out.extend(text.chars().filter_map(|c| if is_separator(c) { Some(c) } else { left.next() }));
        if matches!(self.kind, Kind::Int(_)) && out.parse::<i64>().is_err() {
            return Err(Refusal::new("the column cannot hold a unique fiction of so long a card number"));
        }
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

    const PLAINS: &[&str] = &[
        "4111111111111111",
        "4111 1111 1111 1111",
        "5555-5555-5555-4444",
        "378282246310005",
        "30569309025904",
        "6011111111111117",
        "3530111333300000",
        "2223000048400011",
        "6759649826438453",
        "x",
        "",
        "1234",
    ];

    fn is_valid(number: &str) -> bool {
        let number: String = number.chars().filter(char::is_ascii_digit).collect();
        number
            .split_at_checked(number.len().saturating_sub(1))
            .is_some_and(|(payload, check)| luhn(digits(payload)).to_string() == check)
    }

    #[test]
    fn brands_lengths_and_check_digits() {
        case("card").holds(PLAINS, |plain, fiction| {
            let number = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
            let (plain, of_fiction) = (number(plain), number(fiction));
            let brand = |number: &str| brand_of(number).map_or("visa", |brand| brand.name);
            is_valid(fiction) && brand(&plain) == brand(&of_fiction) && (12..=19).contains(&of_fiction.len())
        });
        assert_eq!(case("card").fiction("4111 1111 1111 1111").matches(' ').count(), 3);
        assert_eq!(case("card").fiction("378282246310005").len(), 15);
        for brand in BRANDS.iter().skip(2) {
            case("card").with("brand", *brand).holds(PLAINS, |_, fiction| {
                is_valid(fiction)
                    && brand_of(&fiction.replace([' ', '-'], "")).is_some_and(|of| of.name == *brand)
            });
        }
        case("card").with("brand", "any").holds(PLAINS, |_, fiction| is_valid(fiction));
        for brand in TESTS {
            assert!(brand.tests.iter().all(|test| brand_of(test).is_some_and(|of| of.name == brand.name)));
        }
    }

    #[test]
    fn unique_numbers() {
        let cards = || (0..2000u64).map(|n| (4_111_111_111_111_111 + n * 7).to_string());
        case("card").unique().leads_back(cards());
        case("card").unique().leads_back((10_000_000..10_002_000).map(|n| n.to_string()));
        case("card").unique().leads_back((0..1000).map(|n| format!("{n:04}")));
        case("card").unique().of(Kind::Int(8)).leads_back(cards());
        case("card").unique().of(Kind::Int(8)).leads_back((222_000_000..222_001_000).map(|n| n.to_string()));
        case("card").unique().leads_back(["none", "4111 11 11-1111 1111"].map(str::to_string).into_iter());
        case("card").unique().holds(
            &["4111111111111111", "5555 5555 5555 4444", "378282246310005", "2223000048400011"],
            |plain, fiction| {
                plain.is_empty()
                    || (is_valid(fiction)
                        && plain.len() == fiction.len()
                        && fiction.starts_with(['0', '1', '7', '8', '9']))
            },
        );
        assert!(!is_valid(&case("card").unique().fiction("4111111111111112")));
    }

    #[test]
    fn padding_and_fractions() {
        let padded = case("card").of(Kind::Char(24)).fiction("4111 1111 1111 1111     ");
        assert_eq!((padded.len(), padded.matches(' ').count()), (19, 3));
        for rule in [case("card"), case("card").unique()] {
            let fiction = rule.of(Kind::Numeric(Some((20, 2)))).fiction("4111111111111111.00");
            assert!(is_valid(&fiction) && fiction.len() == 16, "{fiction}");
        }
    }

    #[test]
    fn a_whole_domain_of_payloads() {
        // 8 digits: the first two vary, then the check digit, for both sides of the first digit.
        let numbers = (0..100_000).step_by(7).map(|n| format!("{n:05}123"));
        case("card").unique().leads_back(numbers);
    }

    #[test]
    fn wrong_parameters() {
        assert_eq!(case("card").with("brand", "store").code(), "M006");
        assert_eq!(case("card").with("brand", "visa").unique().code(), "M120");
        assert_eq!(case("card").of(Kind::Text(Some(15))).code(), "M111");
        assert_eq!(case("card").of(Kind::Text(Some(15))).with("brand", "amex").code(), "");
        assert_eq!(case("card").of(Kind::Int(4)).code(), "M111");
        assert_eq!(case("card").of(Kind::Numeric(Some((16, 0)))).code(), "");
        assert_eq!(case("card").of(Kind::Numeric(Some((16, 2)))).code(), "M111");
        case("card")
            .of(Kind::Int(8))
            .holds(&["4111111111111111", "6200000000000000003"], |_, fiction| fiction.parse::<i64>().is_ok());
    }
}
