//! `noise` of dates and timestamps.

use super::ratio_name;
use crate::dates::{self, Interval, MICROS_PER_DAY, Moment, Shape, Time as Point, Unit};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::operand::Operand;
use crate::transformer::{Answer, Plain, Refusal, Transformer};

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let Some(shape) = Shape::of(making.kind()) else {
        return Err(making.fault(Code::UnfitType, "use", "the column is not a date or timestamp", ""));
    };
    // A date moves by whole days.
    let step = if shape == Shape::Date { i128::from(MICROS_PER_DAY) } else { 1 };
    let name = ratio_name(making);
    if making.setting(name).is_none() {
        let message = "noise of dates needs ratio";
        return Err(making.fault(Code::ParameterMissing, name, message, "ratio = \"30 days\""));
    }
    let mut length = |name: &str| -> Result<Option<i128>, Unfit> {
        let Some(setting) = making.setting(name) else { return Ok(None) };
        let interval = setting.value.scalar().and_then(|text| Interval::parse(&text));
        let steps =
            interval.map(|interval| interval.length() / step).filter(|steps| (0..1 << 62).contains(steps));
        match steps {
            Some(steps) => Ok(Some(steps)),
            None => {
                let message = format!("{name} of dates is an interval that is not below zero");
                Err(making.fault(Code::WrongValue, name, message, "\"30 days\""))
            }
        }
    };
    let max = length(name)?.unwrap_or_default();
    // Greenmask's default.
    let min = length("min_ratio")?.unwrap_or(max / 20);
    if max < 1 {
        let message = format!("{name} is too short to change anything");
        return Err(making.fault(Code::ChangesNothing, name, message, ""));
    }
    if min > max {
        return Err(making.fault(
            Code::ValueOutside,
            "min_ratio",
            format!("min_ratio is longer than {name}"),
            "",
        ));
    }
    let moment = |text: &str| dates::parse(text)?.time.moment();
    let (low, high) = (making.operand("min", moment)?, making.operand("max", moment)?);
    if let (Some(Operand::Fixed(low)), Some(Operand::Fixed(high))) = (&low, &high)
        && low > high
    {
        return Err(making.fault(Code::ValueOutside, "max", "max is before min", ""));
    }
    let least = Unit::least_of(shape);
    let unit = making.text("truncate").and_then(Unit::named).unwrap_or(least).min(least);
    Ok(Box::new(Time { shape, step, min: min.max(1), max, unit, low, high }))
}

#[derive(Debug)]
struct Time {
    shape: Shape,
    /// Microseconds.
    step: i128,
    /// The shortest way, in steps.
    min: i128,
    /// The longest way, in steps.
    max: i128,
    unit: Unit,
    low: Option<Operand<Moment>>,
    high: Option<Operand<Moment>>,
}

impl Time {
    /// The moment cut to the unit, or where that is before `low`, the next one.
    fn cut(&self, moment: Moment, low: Option<Moment>, high: Option<Moment>) -> Option<Moment> {
        let moment = low.map_or(moment, |low| moment.max(low));
        let moment = high.map_or(moment, |high| moment.min(high));
        let cut = self.unit.floor(moment)?;
        match low {
            Some(low) if cut < low => self.unit.start(self.unit.index_from(low)),
            _ => Some(cut),
        }
    }
}

impl Transformer for Time {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if plain.is_null {
            return Ok(Answer::Null);
        }
        let Some(read) = dates::parse(plain.text) else {
            return Err(Refusal::new("the value is not a date"));
        };
        let Some(moment) = read.time.moment() else {
            // Infinity has no neighbours, and tells of nobody.
            dates::write(self.shape, read.time, out);
            return Ok(Answer::Text);
        };
        let end = |operand: &Option<Operand<Moment>>| match operand {
            Some(operand) => operand.get(plain.row).map(Some),
            None => Ok(None),
        };
        let (low, high) = (end(&self.low)?, end(&self.high)?);
        let mut draw = plain.draw.clone();
        let spread = u64::try_from(self.max - self.min).unwrap_or(0);
        let way = (self.min.min(self.max) + i128::from(draw.below(spread + 1))) * self.step;
        let way = if draw.word() & 1 == 0 { way } else { -way };
        let at = moment.since_2000();
        let index = self.unit.index(moment);
        let tries = [
            Moment::from_2000(at + way),
            Moment::from_2000(at - way),
            // Where cutting leads back to the plain value: the units next to it.
            self.unit.start(index + 1),
            self.unit.start(index - 1),
        ];
        let fits = |found: &Moment| {
            self.shape.holds(*found)
                && low.is_none_or(|low| *found >= low)
                && high.is_none_or(|high| *found <= high)
        };
        let cut = |found: Moment| self.cut(found, low, high).filter(fits);
        let all: Vec<Moment> = tries.into_iter().flatten().filter_map(cut).collect();
        let chosen = all.iter().find(|found| **found != moment).or(all.first());
        let Some(chosen) = chosen else {
            return Err(Refusal::new("no date of the column is between min and max"));
        };
        dates::write(self.shape, Point::At(*chosen), out);
        Ok(Answer::Text)
    }
}
