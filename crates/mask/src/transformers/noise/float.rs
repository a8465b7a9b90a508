//! `noise` of `float4` and `float8`.

use std::fmt::Write;

use super::{decimal, ratios};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::operand::Operand;
use crate::transformer::{Answer, Plain, Refusal, Transformer};

pub(super) fn build(making: &mut Making<'_>, bytes: u8) -> Result<Box<dyn Transformer>, Unfit> {
    let (min_ratio, max_ratio) = ratios(making)?;
    let decimal = decimal(making)?;
    let parse = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let (min, max) = (making.operand("min", parse)?, making.operand("max", parse)?);
    if let (Some(Operand::Fixed(min)), Some(Operand::Fixed(max))) = (&min, &max)
        && min > max
    {
        return Err(making.fault(Code::ValueOutside, "max", "max is below min", ""));
    }
    Ok(Box::new(Float { is_single: bytes == 4, min_ratio, max_ratio, decimal, min, max }))
}

#[derive(Debug)]
struct Float {
    is_single: bool,
    min_ratio: f64,
    max_ratio: f64,
    decimal: Option<u32>,
    min: Option<Operand<f64>>,
    max: Option<Operand<f64>>,
}

impl Float {
    /// The nearest number that the column holds and that has no more digits than `decimal`.
    fn held(&self, number: f64) -> f64 {
        let rounded = match self.decimal {
            // Above 2^53 a number is whole.
            Some(digits) if number.abs() < 9e15 => {
                let unit = 10f64.powi(i32::try_from(digits).unwrap_or(30));
                let shifted = number * unit;
                if shifted.abs() < 9e15 { shifted.round() / unit } else { number }
            }
            _ => number,
        };
        if self.is_single { f64::from(rounded as f32) } else { rounded }
    }

    fn most(&self) -> f64 {
        if self.is_single { f64::from(f32::MAX) } else { f64::MAX }
    }

    /// The least way that changes the number.
    fn least(&self, number: f64) -> f64 {
        match self.decimal {
            Some(digits) => 10f64.powi(-i32::try_from(digits).unwrap_or(30)),
            None if self.is_single => {
                f64::from((number as f32).abs().next_up()) - f64::from(number as f32).abs()
            }
            None => number.abs().next_up() - number.abs(),
        }
    }

    fn write(&self, number: f64, out: &mut String) {
        let is_plain = number == 0.0 || (1e-5..1e15).contains(&number.abs());
        // Writing into a String cannot fail.
        let _ = match (self.is_single, is_plain) {
            (true, true) => write!(out, "{}", number as f32),
            (true, false) => write!(out, "{:e}", number as f32),
            (false, true) => write!(out, "{number}"),
            (false, false) => write!(out, "{number:e}"),
        };
    }
}

impl Transformer for Float {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if plain.is_null {
            return Ok(Answer::Null);
        }
        let Ok(number) = plain.text.trim().parse::<f64>() else {
            return Err(Refusal::new("the value is not a number"));
        };
        if !number.is_finite() {
            // NaN and the infinities have no neighbours, and tell of nobody.
            out.push_str(plain.text);
            return Ok(Answer::Text);
        }
        let number = if self.is_single { f64::from(number as f32) } else { number };
        let low = match &self.min {
            Some(min) => min.get(plain.row)?,
            None => -self.most(),
        };
        let high = match &self.max {
            Some(max) => max.get(plain.row)?,
            None => self.most(),
        };
        if low > high {
            return Err(Refusal::new("min is above max, one of which comes from a column"));
        }
        let mut draw = plain.draw.clone();
        let ratio = self.min_ratio + (self.max_ratio - self.min_ratio) * draw.fraction();
        // Zero has no part: there the ratio itself is the way.
        let way = if number == 0.0 { ratio } else { number.abs() * ratio };
        let least = self.least(number);
        let way = way.max(least);
        let way = if draw.word() & 1 == 0 { way } else { -way };
        let tries = [number + way, number - way, number + least, number - least];
        let candidates = tries.map(|candidate| {
            let held = self.held(candidate.clamp(low, high));
            // Rounding may lead out of the range again.
            if held < low || held > high { candidate.clamp(low, high) } else { held }
        });
        let chosen = candidates.into_iter().find(|candidate| *candidate != number).unwrap_or(low);
        self.write(chosen, out);
        Ok(Answer::Text)
    }
}
