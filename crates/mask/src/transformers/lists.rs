//! `month`, `weekday`, `century`, `timezone`, `currency`, `card_type`: one of a list; `amount`: a
//! currency and a number; `latitude`, `longitude`: anywhere.

#[cfg(test)]
mod tests;

use std::fmt::Write;

use super::degrees::{self, Degrees};
use super::whole;
use crate::definition::{Definition, Parameter, Takes};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::wording::{Room, Share, other_than_plain, texts, vocabulary};
use crate::vocabulary::List;

/// This family.
pub const ALL: &[Definition] = &[
    texts("month", "The name of a month.", &[], &["RandomMonthName"], |making| {
        OneOf::of_list(making, List::Month)
    }),
    texts("weekday", "The name of a day of the week.", &[], &["RandomDayOfWeek"], |making| {
        OneOf::of_list(making, List::Weekday)
    }),
    whole::DAY,
    whole::YEAR,
    texts("century", "A century in Roman digits, I to XXI.", &[], &["RandomCentury"], |making| {
        OneOf::build(making, CENTURIES)
    }),
    texts("timezone", "A time zone: Europe/Vienna.", &[], &["RandomTimezone"], |making| {
        OneOf::of_list(making, List::Timezone)
    }),
    texts(
        "currency",
        "A currency.",
        &[Parameter::new(
            "form",
            Takes::Word(&["code", "name"]),
            "code",
            "Its code of ISO 4217, or its English name.",
        )],
        &["RandomCurrency"],
        |making| {
            let list = vocabulary(making)?.list(making.around.locale, List::Currency);
            let split = list.iter().filter_map(|entry| entry.split_once(' '));
            let is_name = making.text("form") == Some("name");
            let entries: Vec<_> = split.map(|(code, name)| if is_name { name } else { code }).collect();
            OneOf::build(making, &entries)
        },
    ),
    texts(
        "amount",
        "A currency and an amount of money: EUR 12.50.",
        &[
            Parameter::new("currency", Takes::Text, "any", "A code of ISO 4217."),
            Parameter::new("min", Takes::Number, "1", "The least amount, in hundredths at the finest."),
            Parameter::new("max", Takes::Number, "10000", "The greatest amount."),
        ],
        &["RandomAmountWithCurrency"],
        |making| Ok(Box::new(Amount::build(making)?)),
    ),
    texts("card_type", "A brand of payment cards.", &[], &["RandomCCType"], |making| {
        OneOf::build(making, CARDS)
    }),
    coordinate("latitude", "A latitude anywhere.", &["RandomLatitude"], |making| {
        Ok(Box::new(Coordinate::build(making, 90.0, 2)?))
    }),
    coordinate("longitude", "A longitude anywhere.", &["RandomLongitude"], |making| {
        Ok(Box::new(Coordinate::build(making, 180.0, 3)?))
    }),
];

const fn coordinate(
    name: &'static str,
    summary: &'static str,
    greenmask: &'static [&'static str],
    build: fn(&mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit>,
) -> Definition {
    const PARAMETERS: &[Parameter] = &[
        Parameter::new("min", Takes::Number, "all of the globe", "The least, in degrees."),
        Parameter::new("max", Takes::Number, "all of the globe", "The greatest, in degrees."),
        degrees::DECIMALS,
    ];
    Definition {
        takes: degrees::takes,
        types: degrees::TYPES,
        ..texts(name, summary, PARAMETERS, greenmask, build)
    }
}

const CENTURIES: &[&str] = &[
    "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI",
    "XVII", "XVIII", "XIX", "XX", "XXI",
];

const CARDS: &[&str] =
    &["American Express", "Diners Club", "Discover", "JCB", "Maestro", "Mastercard", "UnionPay", "Visa"];

/// One of a list, whole.
#[derive(Debug)]
struct OneOf {
    /// The entries that have room; two or more.
    entries: Vec<&'static str>,
}

impl OneOf {
    fn of_list(making: &mut Making<'_>, list: List) -> Result<Box<dyn Transformer>, Unfit> {
        let entries = vocabulary(making)?.list(making.around.locale, list);
        OneOf::build(making, entries)
    }

    /// An entry that is cut would be none of the list: those that are too long are left out.
    fn build(making: &mut Making<'_>, entries: &[&'static str]) -> Result<Box<dyn Transformer>, Unfit> {
        let room = Room::of(making.target());
        let entries: Vec<_> = entries.iter().copied().filter(|entry| room.holds(entry)).collect();
        if entries.len() < 2 {
            let message = format!(
                "{} has no two values that fit the column, which is {}",
                making.rule().name,
                making.target().sql_type
            );
            return Err(making.fault(Code::ValueOutside, "use", message, ""));
        }
        Ok(Box::new(OneOf { entries }))
    }
}

impl Transformer for OneOf {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let word = plain.draw.clone().word();
        other_than_plain(plain, out, |attempt, out| {
            let entry = self.entries.get(Share(word).place(self.entries.len(), attempt));
            out.push_str(entry.copied().unwrap_or_default());
            Ok(())
        })
    }
}

/// A currency and an amount.
#[derive(Debug)]
struct Amount {
    codes: Vec<&'static str>,
    /// In hundredths.
    least: i64,
    most: i64,
}

/// More would not be exact as a number of the rules file.
const MOST_AMOUNT: f64 = 1e13;

impl Amount {
    fn build(making: &mut Making<'_>) -> Result<Amount, Unfit> {
        let list = vocabulary(making)?.list(making.around.locale, List::Currency);
        let mut codes: Vec<_> = list.iter().filter_map(|entry| entry.split(' ').next()).collect();
        if let Some(wanted) = making.text("currency") {
            codes.retain(|code| *code == wanted);
            if codes.is_empty() {
                let message = format!("{wanted} is not a code of ISO 4217 that we know");
                return Err(making.fault(Code::ValueOutside, "currency", message, "currency = \"EUR\""));
            }
        }
        let least = making.number("min").unwrap_or(1.0);
        let most = making.number("max").unwrap_or(least.max(10_000.0));
        for (name, end) in [("min", least), ("max", most)] {
            if !(0.0..=MOST_AMOUNT).contains(&end) {
                let message = format!("{name} is {end}; it is 0 to {MOST_AMOUNT}");
                return Err(making.fault(Code::ValueOutside, name, message, ""));
            }
        }
        let [least, most] = [least, most].map(|end| (end * 100.0).round() as i64);
        if least >= most {
            return Err(making.fault(Code::ValueOutside, "max", "max is not more than min", ""));
        }
        // A code, a blank, the digits, the point and two digits.
        Room::at_least(making, 3 + 1 + (most / 100).to_string().len() + 3)?;
        Ok(Amount { codes, least, most })
    }
}

impl Transformer for Amount {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        other_than_plain(plain, out, |attempt, out| {
            let mut draw = if attempt == 0 { plain.draw.clone() } else { plain.draw.again(attempt) };
            let code = draw.one_of(&self.codes).copied().unwrap_or_default();
            let amount = draw.between(self.least, self.most);
            write!(out, "{code} {}.{:02}", amount / 100, amount % 100)
                .map_err(|_| Refusal::new("the amount cannot be written"))
        })
    }
}

/// A coordinate between two.
#[derive(Debug)]
struct Coordinate {
    least: f64,
    most: f64,
    degrees: Degrees,
}

impl Coordinate {
    /// `limit`: degrees on both sides of 0; `digits`: before the point.
    fn build(making: &mut Making<'_>, limit: f64, digits: i64) -> Result<Coordinate, Unfit> {
        let (least, most) = (making.number("min").unwrap_or(-limit), making.number("max").unwrap_or(limit));
        for (name, end) in [("min", least), ("max", most)] {
            if !(-limit..=limit).contains(&end) {
                let message = format!("{name} is {end}; it is -{limit} to {limit}");
                return Err(making.fault(Code::ValueOutside, name, message, ""));
            }
        }
        if least >= most {
            return Err(making.fault(Code::ValueOutside, "max", "max is not more than min", ""));
        }
        Ok(Coordinate { least, most, degrees: Degrees::of(making, digits)? })
    }
}

impl Transformer for Coordinate {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        self.degrees.write(plain, out, |attempt| {
            let mut draw = if attempt == 0 { plain.draw.clone() } else { plain.draw.again(attempt) };
            self.least + draw.fraction() * (self.most - self.least)
        })?;
        Ok(Answer::Text)
    }
}
