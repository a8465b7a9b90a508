//! `shift`.

use crate::dates::{self, Interval, Moment, Shape, Time};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};

/// What spans are whole numbers of: only what is always equally long, so that order and distances
/// stay.
pub(super) const WHOLES: &[&str] = &["second", "minute", "hour", "day", "week"];

fn micros(whole: &str) -> i128 {
    match whole {
        "second" => 1_000_000,
        "minute" => 60_000_000,
        "hour" => 3_600_000_000,
        "week" => 7 * i128::from(dates::MICROS_PER_DAY),
        _ => i128::from(dates::MICROS_PER_DAY),
    }
}

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let Some(shape) = Shape::of(making.kind()) else {
        return Err(making.fault(Code::UnfitType, "use", "the column is not a date or timestamp", ""));
    };
    let Some(by) = making.text("by").and_then(Interval::parse) else {
        return Err(making.fault(Code::WrongValue, "by", "by is not an interval", "by = \"60 days\""));
    };
    let whole = micros(making.text("whole").unwrap_or("day"));
    if shape == Shape::Date && whole % micros("day") != 0 {
        let message = "a date is shifted by whole days or weeks";
        return Err(making.fault(Code::ValueOutside, "whole", message, "whole = \"day\""));
    }
    let most = u64::try_from(by.length().abs() / whole).ok().filter(|most| (1..1 << 62).contains(most));
    let Some(most) = most else {
        let message = "by is shorter than one whole unit, so that nothing could be shifted";
        return Err(making.fault(Code::ValueOutside, "by", message, "whole = \"second\", or a longer span"));
    };
    Ok(Box::new(Shift { shape, whole, most }))
}

#[derive(Debug)]
struct Shift {
    shape: Shape,
    /// Microseconds of one unit.
    whole: i128,
    /// Units in each direction.
    most: u64,
}

impl Transformer for Shift {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if plain.is_null {
            return Ok(Answer::Null);
        }
        let Some(read) = dates::parse(plain.text) else {
            return Err(Refusal::new("the value is not a date that can be shifted"));
        };
        let Some(moment) = read.time.moment() else {
            // Infinity has no neighbours, and tells of nobody.
            dates::write(self.shape, read.time, out);
            return Ok(Answer::Text);
        };
        let drawn = i128::from(plain.of_person().below(self.most * 2));
        let most = i128::from(self.most);
        let units = if drawn < most { drawn - most } else { drawn - most + 1 };
        let shifted = Moment::from_2000(moment.since_2000() + units * self.whole);
        let Some(shifted) = shifted.filter(|shifted| self.shape.holds(*shifted)) else {
            return Err(Refusal::new("the shifted date is outside of the type's range"));
        };
        dates::write(self.shape, Time::At(shifted), out);
        Ok(Answer::Text)
    }
}
