//! `noise` of integers and `numeric`, exact.

use std::cmp::Ordering;
use std::fmt::Write;

use super::{decimal, ratios};
use crate::draw::Draw;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::operand::Operand;
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::{Decimal, Kind};

/// One in the fixed-point form of ratios.
const ONE: i128 = 1 << 32;

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let (min_ratio, max_ratio) = ratios(making)?;
    let decimal = decimal(making)?;
    let min = making.operand("min", Decimal::parse)?;
    let max = making.operand("max", Decimal::parse)?;
    if let (Some(Operand::Fixed(min)), Some(Operand::Fixed(max))) = (&min, &max)
        && min.compare(*max) == Ordering::Greater
    {
        return Err(making.fault(Code::ValueOutside, "max", "max is below min", ""));
    }
    let fixed = |ratio: f64| (ratio * ONE as f64) as i128;
    let (min_ratio, max_ratio) = (fixed(min_ratio), fixed(max_ratio));
    Ok(Box::new(Number { kind: making.kind().clone(), min_ratio, max_ratio, decimal, min, max }))
}

#[derive(Debug)]
struct Number {
    kind: Kind,
    /// In units of [`ONE`].
    min_ratio: i128,
    /// In units of [`ONE`].
    max_ratio: i128,
    decimal: Option<u32>,
    min: Option<Operand<Decimal>>,
    max: Option<Operand<Decimal>>,
}

impl Number {
    /// The digits behind the point, and the step that values of the column keep, in units of the
    /// last of these digits.
    fn grid(&self, plain: Decimal) -> (u32, i128) {
        match self.kind {
            Kind::Numeric(Some((_, scale))) if scale < 0 => {
                (0, 10i128.pow(u32::from(scale.unsigned_abs()).min(36)))
            }
            Kind::Numeric(Some((_, scale))) => {
                (self.decimal.unwrap_or(plain.scale).min(u32::from(scale.unsigned_abs())).min(36), 1)
            }
            Kind::Numeric(None) => (self.decimal.unwrap_or(plain.scale), 1),
            _ => (0, 1),
        }
    }

    /// The greatest number of the column's type, in units of the last digit.
    fn most(&self, scale: u32) -> i128 {
        let of_precision = |digits: i64| 10i128.pow(u32::try_from(digits.clamp(0, 36)).unwrap_or(36)) - 1;
        match self.kind {
            Kind::Int(bytes) => i128::from(u64::MAX >> (65 - 8 * u32::from(bytes))),
            Kind::Numeric(Some((precision, s))) => {
                of_precision(i64::from(precision) - i64::from(s) + i64::from(scale))
            }
            _ => of_precision(36),
        }
    }
}

/// The number in units of 10^-`scale`, rounded up or down.
fn rounded(number: Decimal, scale: u32, up: bool) -> Option<i128> {
    if scale >= number.scale {
        return number.digits.checked_mul(10i128.checked_pow(scale - number.scale)?);
    }
    let unit = 10i128.checked_pow(number.scale - scale)?;
    Some(if up { -(-number.digits).div_euclid(unit) } else { number.digits.div_euclid(unit) })
}

/// A part of a number; the ratio is at most [`ONE`].
fn part(number: i128, ratio: i128) -> i128 {
    // Numbers have at most 120 bits: the product is kept below 127.
    if number < 1 << 94 { (number * ratio) / ONE } else { (number / ONE) * ratio }
}

impl Transformer for Number {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if plain.is_null {
            return Ok(Answer::Null);
        }
        let Some(number) = Decimal::parse(plain.text) else {
            if is_endless(plain.text) {
                // NaN and the infinities have no neighbours, and tell of nobody.
                out.push_str(plain.text);
                return Ok(Answer::Text);
            }
            return Err(Refusal::new("noise takes numbers of at most 36 digits"));
        };
        let (scale, step) = self.grid(number);
        let outside = || Refusal::new("min, max or the value has too many digits for noise");
        let most = self.most(scale);
        // PostgreSQL's integers have one more number below zero.
        let lowest = -most - i128::from(matches!(self.kind, Kind::Int(_)));
        let end = |operand: &Option<Operand<Decimal>>, up, otherwise: i128| match operand {
            Some(operand) => rounded(operand.get(plain.row)?, scale, up).ok_or_else(outside),
            None => Ok(otherwise),
        };
        let low = end(&self.min, true, lowest)?.max(lowest);
        let high = end(&self.max, false, most)?.min(most);
        // Multiples of the step.
        let (low, high) = (-(-low).div_euclid(step) * step, high.div_euclid(step) * step);
        if low > high {
            return Err(Refusal::new("no number of the column is between min and max"));
        }
        let start = rounded(number, scale, false).ok_or_else(outside)?.div_euclid(step) * step;

        let mut draw = plain.draw.clone();
        let ratio = self.min_ratio + spread(&mut draw, self.max_ratio - self.min_ratio);
        let way = (part(start.abs(), ratio) / step * step).max(step);
        let way = if draw.word() & 1 == 0 { way } else { -way };
        let is_plain = |digits: i128| Decimal { digits, scale }.compare(number) == Ordering::Equal;
        let tries = [start + way, start - way, start + step, start - step];
        let candidates = tries.map(|candidate| candidate.clamp(low, high));
        let chosen = candidates.into_iter().find(|candidate| !is_plain(*candidate)).unwrap_or(low);
        // Writing into a String cannot fail.
        let _ = write!(out, "{}", Decimal { digits: chosen, scale });
        Ok(Answer::Text)
    }
}

/// A number from 0 to `most`, which is at most [`ONE`].
fn spread(draw: &mut Draw, most: i128) -> i128 {
    i128::from(draw.below(u64::try_from(most).unwrap_or(0) + 1))
}

fn is_endless(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity")
}
