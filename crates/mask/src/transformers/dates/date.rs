//! `date`.

use super::steps::{Permuted, Steps, pick};
use crate::dates::{self, Moment, Shape, Time, Unit};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::operand::Operand;
use crate::transformer::{Answer, Plain, Refusal, Transformer};

/// Reads an end of a range.
fn moment(text: &str) -> Option<Moment> {
    dates::parse(text)?.time.moment()
}

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let Some(shape) = Shape::of(making.kind()) else {
        return Err(making.fault(Code::UnfitType, "use", "the column is not a date or timestamp", ""));
    };
    let (Some(min), Some(max)) = (making.operand("min", moment)?, making.operand("max", moment)?) else {
        return Err(making.fault(Code::ParameterMissing, "min", "date needs min and max", ""));
    };
    for (name, operand) in [("min", &min), ("max", &max)] {
        if let Operand::Fixed(moment) = operand
            && !shape.holds(*moment)
        {
            let message = format!("{name} is outside of {}", making.target().sql_type);
            return Err(making.fault(Code::ValueOutside, name, message, ""));
        }
    }
    // A date has no hours.
    let least = Unit::least_of(shape);
    let unit = making.text("truncate").and_then(Unit::named).unwrap_or(least).min(least);
    let mut date = Date { shape, unit, steps: None, min, max, permuted: None };
    if let (Operand::Fixed(min), Operand::Fixed(max)) = (&date.min, &date.max) {
        date.steps = date.steps_between(*min, *max);
        if date.steps.is_none() {
            let message = "no value of this kind is between min and max";
            return Err(making.fault(Code::ValueOutside, "max", message, ""));
        }
    }
    date.permuted = Permuted::build(making, date.steps)?;
    Ok(Box::new(date))
}

#[derive(Debug)]
struct Date {
    shape: Shape,
    unit: Unit,
    /// Where both ends are fixed.
    steps: Option<Steps>,
    min: Operand<Moment>,
    max: Operand<Moment>,
    permuted: Option<Permuted>,
}

impl Date {
    fn steps_between(&self, min: Moment, max: Moment) -> Option<Steps> {
        Steps::between(self.unit.index_from(min), self.unit.index(max))
    }

    /// The step that a text is; None if it is none.
    fn step(&self, text: &str) -> Option<i128> {
        let moment = moment(text)?;
        let step = self.unit.index(moment);
        (self.unit.start(step) == Some(moment)).then_some(step)
    }

    fn write(&self, step: i128, out: &mut String) -> Result<Answer, Refusal> {
        let moment = self.unit.start(step).filter(|moment| self.shape.holds(*moment));
        let Some(moment) = moment else {
            return Err(Refusal::new("min or max is outside of the type's range"));
        };
        dates::write(self.shape, Time::At(moment), out);
        Ok(Answer::Text)
    }
}

impl Transformer for Date {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let step = if plain.is_null { None } else { self.step(plain.text) };
        let step = pick(self.steps, self.permuted.as_ref(), step, &plain.draw, || {
            Ok(self.steps_between(self.min.get(plain.row)?, self.max.get(plain.row)?))
        })?;
        self.write(step, out)
    }

    fn plain_of(&self, fiction: &str, out: &mut String) -> Result<Answer, Refusal> {
        match &self.permuted {
            Some(permuted) => self.write(permuted.invert(self.step(fiction))?, out),
            None => Err(Refusal::new("only unique = true makes dates that can be turned around")),
        }
    }
}
