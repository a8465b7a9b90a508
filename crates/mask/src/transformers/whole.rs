//! `day` and `year`: whole numbers of a range, in any type that holds them.

use std::fmt::Write;

use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::wording::{Room, is_text};
use crate::types::Kind;

pub(super) const DAY: Definition = Definition {
    name: "day",
    summary: "A day of the month, as a number.",
    parameters: &[
        Parameter::new("min", Takes::Integer, "1", "The first day."),
        Parameter::new("max", Takes::Integer, "31", "The last day."),
    ],
    takes,
    types: TYPES,
    injective: Injective::No,
    greenmask: &["RandomDayOfMonth"],
    build: |making| Ok(Box::new(Whole::build(making, (1, 31), (1, 31))?)),
};

pub(super) const YEAR: Definition = Definition {
    name: "year",
    summary: "A year, as a number.",
    parameters: &[
        Parameter::new("min", Takes::Integer, "1970", "The first year."),
        Parameter::new("max", Takes::Integer, "2029", "The last year."),
    ],
    takes,
    types: TYPES,
    injective: Injective::No,
    greenmask: &["RandomYearString"],
    build: |making| Ok(Box::new(Whole::build(making, (1970, 2029), (0, 9999))?)),
};

const TYPES: &str = "text, varchar, char, citext, name, int2, int4, int8, numeric";

fn takes(kind: &Kind) -> bool {
    is_text(kind) || matches!(kind, Kind::Int(_) | Kind::Numeric(_))
}

/// One of the whole numbers from `least` to `most`.
#[derive(Debug)]
struct Whole {
    least: i64,
    most: i64,
}

impl Whole {
    fn build(making: &mut Making<'_>, default: (i64, i64), limits: (i64, i64)) -> Result<Whole, Unfit> {
        let least = making.integer("min").unwrap_or(default.0);
        let most = making.integer("max").unwrap_or(default.1);
        for (name, end) in [("min", least), ("max", most)] {
            if end < limits.0 || end > limits.1 {
                let message = format!("{name} is {end}; it is {} to {}", limits.0, limits.1);
                return Err(making.fault(Code::ValueOutside, name, message, ""));
            }
        }
        if least >= most {
            return Err(making.fault(Code::ValueOutside, "max", "max is not more than min", ""));
        }
        let digits = most.to_string().len();
        let has_room = match making.kind() {
            // A negative scale rounds to tens and more.
            Kind::Numeric(Some((precision, scale))) => {
                *scale >= 0 && i64::from(*precision) - i64::from(*scale) >= digits as i64
            }
            Kind::Int(_) | Kind::Numeric(None) => true,
            _ => Room::of(making.target()).holds(&most.to_string()),
        };
        if !has_room {
            let message = format!("{most} does not fit the column, which is {}", making.target().sql_type);
            return Err(making.fault(Code::ValueOutside, "max", message, ""));
        }
        Ok(Whole { least, most })
    }
}

impl Transformer for Whole {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let was: Option<f64> = plain.text.trim().parse().ok();
        let is_listed =
            |was: &f64| was.fract() == 0.0 && (self.least as f64..=self.most as f64).contains(was);
        let mut draw = plain.draw.clone();
        // One of all the others: those from the plain one on move up by one.
        let number = match was.filter(is_listed) {
            Some(was) => {
                let number = draw.between(self.least, self.most - 1);
                number + i64::from(number >= was as i64)
            }
            None => draw.between(self.least, self.most),
        };
        write!(out, "{number}").map_err(|_| Refusal::new("the number cannot be written"))?;
        Ok(Answer::Text)
    }
}
