//! `epoch`.

use super::steps::{Permuted, Steps, pick};
use crate::dates::{DAYS_TO_2000, MICROS_PER_DAY, Moment, Unit};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::operand::Operand;
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::Kind;

/// What epochs are counted in.
pub(super) const UNITS: &[&str] = &["second", "millisecond", "microsecond", "nanosecond"];

/// What they are cut to.
pub(super) const PARTS: &[&str] =
    &["year", "month", "day", "hour", "minute", "second", "millisecond", "microsecond", "nanosecond"];

/// Nanoseconds of one.
fn nanos(unit: &str) -> i128 {
    match unit {
        "nanosecond" => 1,
        "microsecond" => 1_000,
        "millisecond" => 1_000_000,
        _ => 1_000_000_000,
    }
}

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let Kind::Int(bytes) = making.kind() else {
        return Err(making.fault(Code::UnfitType, "use", "the column is not an integer", ""));
    };
    let parse = |text: &str| text.trim().parse::<i64>().ok();
    let (Some(min), Some(max)) = (making.operand("min", parse)?, making.operand("max", parse)?) else {
        return Err(making.fault(Code::ParameterMissing, "min", "epoch needs min and max", ""));
    };
    let unit = nanos(making.text("unit").unwrap_or("second"));
    let of = |name: &str| making.text(name).map_or(unit, nanos);
    let (min_unit, max_unit) = (of("min_unit"), of("max_unit"));
    // What is not longer than the unit cuts nothing off.
    let cut = making.text("truncate").and_then(Unit::named);
    let cut = cut.filter(|part| part.micros().is_none_or(|micros| i128::from(micros) * 1_000 > unit));
    let most = i128::from(u64::MAX >> (65 - 8 * u32::from(*bytes)));
    let mut epoch = Epoch { unit, min_unit, max_unit, cut, most, steps: None, min, max, permuted: None };
    if let (Operand::Fixed(min), Operand::Fixed(max)) = (&epoch.min, &epoch.max) {
        let (first, last) = epoch.ends(*min, *max);
        if first < -most - 1 || last > most {
            let message = format!("min or max is outside of {}", making.target().sql_type);
            return Err(making.fault(Code::ValueOutside, "max", message, "unit, min_unit and max_unit"));
        }
        epoch.steps = epoch.steps_between(first, last);
        if epoch.steps.is_none() {
            let message = "no value of this kind is between min and max";
            return Err(making.fault(Code::ValueOutside, "max", message, ""));
        }
    }
    epoch.permuted = Permuted::build(making, epoch.steps)?;
    Ok(Box::new(epoch))
}

#[derive(Debug)]
struct Epoch {
    /// Nanoseconds of one.
    unit: i128,
    min_unit: i128,
    max_unit: i128,
    /// What is longer than the unit.
    cut: Option<Unit>,
    /// The greatest number of the column's type.
    most: i128,
    steps: Option<Steps>,
    min: Operand<i64>,
    max: Operand<i64>,
    permuted: Option<Permuted>,
}

impl Epoch {
    /// The ends in the column's unit.
    fn ends(&self, min: i64, max: i64) -> (i128, i128) {
        let (min, max) = (i128::from(min) * self.min_unit, i128::from(max) * self.max_unit);
        (-(-min).div_euclid(self.unit), max.div_euclid(self.unit))
    }

    fn steps_between(&self, first: i128, last: i128) -> Option<Steps> {
        match self.cut {
            None => Steps::between(first, last),
            Some(cut) => {
                let from = cut.index(self.moment(first)?);
                let from = from + i128::from(self.value(from)? < first);
                Steps::between(from, cut.index(self.moment(last)?))
            }
        }
    }

    /// The moment of a count, rounded down to a microsecond.
    fn moment(&self, value: i128) -> Option<Moment> {
        let to_2000 = i128::from(DAYS_TO_2000) * i128::from(MICROS_PER_DAY);
        Moment::from_2000((value * self.unit).div_euclid(1_000) - to_2000)
    }

    /// The count at a step.
    fn value(&self, step: i128) -> Option<i128> {
        let Some(cut) = self.cut else { return Some(step) };
        let to_2000 = i128::from(DAYS_TO_2000) * i128::from(MICROS_PER_DAY);
        Some(((cut.start(step)?.since_2000() + to_2000) * 1_000).div_euclid(self.unit))
    }

    /// The step that a text is; None if it is none.
    fn step(&self, text: &str) -> Option<i128> {
        let value = i128::from(text.trim().parse::<i64>().ok()?);
        match self.cut {
            None => Some(value),
            Some(cut) => {
                let step = cut.index(self.moment(value)?);
                (self.value(step) == Some(value)).then_some(step)
            }
        }
    }

    fn write(&self, step: i128, out: &mut String) -> Result<Answer, Refusal> {
        use std::fmt::Write;
        let value = self.value(step).filter(|value| (-self.most - 1..=self.most).contains(value));
        let Some(value) = value else {
            return Err(Refusal::new("min or max is outside of the column's type"));
        };
        // Writing into a String cannot fail.
        let _ = write!(out, "{value}");
        Ok(Answer::Text)
    }
}

impl Transformer for Epoch {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let step = if plain.is_null { None } else { self.step(plain.text) };
        let step = pick(self.steps, self.permuted.as_ref(), step, &plain.draw, || {
            let (first, last) = self.ends(self.min.get(plain.row)?, self.max.get(plain.row)?);
            Ok(self.steps_between(first, last))
        })?;
        self.write(step, out)
    }

    fn plain_of(&self, fiction: &str, out: &mut String) -> Result<Answer, Refusal> {
        match &self.permuted {
            Some(permuted) => self.write(permuted.invert(self.step(fiction))?, out),
            None => Err(Refusal::new("only unique = true makes epochs that can be turned around")),
        }
    }
}
