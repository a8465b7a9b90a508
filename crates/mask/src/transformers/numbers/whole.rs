//! Integers, and numbers with a fixed count of digits after the point: both are whole numbers of a
//! unit.

use std::fmt::Write;

use super::{check_source, is_bijection};
use crate::canonical::number::Decimal;
use crate::draw::Draw;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::operand::Operand;
use crate::permute::Permutation;
use crate::transformer::{Answer, Plain, Refusal, Row, Transformer};
use crate::types::Kind;

/// The most digits of a number, before and after its point, that 128 bits hold in any case.
const MOST_DIGITS: u32 = 37;

/// `int` and `numeric`.
#[derive(Debug)]
pub(super) struct Whole {
    /// Digits after the point.
    scale: u32,
    min: Operand<Bound>,
    max: Operand<Bound>,
    /// The least and the largest that the column holds, in the unit.
    limits: (i128, i128),
    /// With `unique`: of what is from the first number on.
    permutation: Option<(i128, Permutation)>,
}

/// An end of the range: `value` / 10^`scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    value: i128,
    scale: u32,
}

impl Bound {
    fn parse(text: &str) -> Option<Bound> {
        let decimal = Decimal::parse(text)?;
        (0..=MOST_DIGITS).find_map(|scale| decimal.scaled(scale).map(|value| Bound { value, scale }))
    }

    /// In the unit of a scale, rounded up or down; None: more than 128 bits hold.
    fn at(self, scale: u32, is_up: bool) -> Option<i128> {
        if self.scale <= scale {
            return self.value.checked_mul(10_i128.checked_pow(scale - self.scale)?);
        }
        let unit = 10_i128.checked_pow(self.scale - scale)?;
        let down = self.value.div_euclid(unit);
        Some(if is_up && self.value.rem_euclid(unit) != 0 { down + 1 } else { down })
    }
}

impl Whole {
    pub(super) fn new(making: &mut Making<'_>) -> Result<Whole, Unfit> {
        let scale = scale(making)?;
        let limits = limits(making.kind(), scale);
        let mut bound = |name, at: i128| {
            let given = making.operand(name, Bound::parse)?;
            let fits = |kind: &Kind| matches!(kind, Kind::Int(_) | Kind::Numeric(_) | Kind::Float(_));
            check_source(making, name, &given, fits)?;
            Ok::<_, Unfit>(given.unwrap_or(Operand::Fixed(Bound { value: at, scale })))
        };
        let min = bound("min", limits.0)?;
        let max = bound("max", limits.1)?;
        let mut whole = Whole { scale, min, max, limits, permutation: None };
        let range = match (&whole.min, &whole.max) {
            (Operand::Fixed(min), Operand::Fixed(max)) => Some(whole.checked_range(making, *min, *max)?),
            _ => None,
        };
        if is_bijection(making)? {
            let Some((least, most)) = range else {
                let message =
                    "a range that comes from columns is another one for each row: there is no permutation";
                return Err(making.fault(Code::NotInjective, "min", message, "give min and max"));
            };
            if least == most {
                let message = "a range of one number leaves it as it is";
                return Err(making.fault(Code::ChangesNothing, "min", message, ""));
            }
            let size = most.abs_diff(least) + 1;
            whole.permutation = Some((least, Permutation::new(making.key(), size)));
        }
        Ok(whole)
    }

    fn checked_range(&self, making: &mut Making<'_>, min: Bound, max: Bound) -> Result<(i128, i128), Unfit> {
        for (name, bound, is_up) in [("min", min, true), ("max", max, false)] {
            if bound.at(self.scale, is_up).is_none_or(|at| at < self.limits.0 || at > self.limits.1) {
                let message = format!("{name} does not fit into {}", making.target().sql_type);
                return Err(making.fault(Code::ValueOutside, name, message, ""));
            }
        }
        self.range(min, max).ok_or_else(|| {
            let message = "no number is from min to max";
            making.fault(Code::ValueOutside, "min", message, "more digits after the point: decimal")
        })
    }

    /// The first and the last number of a range, in the unit.
    fn range(&self, min: Bound, max: Bound) -> Option<(i128, i128)> {
        let (min, max) = (min.at(self.scale, true)?, max.at(self.scale, false)?);
        (self.limits.0 <= min && min <= max && max <= self.limits.1).then_some((min, max))
    }

    fn range_of(&self, row: &dyn Row) -> Result<(i128, i128), Refusal> {
        let range = self.range(self.min.get(row)?, self.max.get(row)?);
        range.ok_or_else(|| Refusal::new("min and max are not a range of the column's type"))
    }

    fn parse(&self, text: &str) -> Option<i128> {
        Decimal::parse(text)?.scaled(self.scale)
    }

    /// The place of a number in the permutation.
    fn place(&self, text: &str, least: i128, permutation: &Permutation) -> Result<u128, Refusal> {
        let place = self.parse(text).and_then(|number| number.checked_sub(least));
        let place = place.and_then(|place| u128::try_from(place).ok());
        place.filter(|place| *place < permutation.size()).ok_or_else(|| {
            Refusal::new("a value is not a number of the rule's range: a unique rule permutes only these")
        })
    }

    fn write(&self, number: i128, out: &mut String) {
        let unit = 10_u128.pow(self.scale);
        let magnitude = number.unsigned_abs();
        if number < 0 {
            out.push('-');
        }
        let _ = write!(out, "{}", magnitude / unit);
        if self.scale > 0 {
            let _ = write!(out, ".{:0width$}", magnitude % unit, width = self.scale as usize);
        }
    }
}

impl Transformer for Whole {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let number = if let Some((least, permutation)) = &self.permutation {
            least + permutation.apply(self.place(plain.text, *least, permutation)?) as i128
        } else {
            let (least, most) = self.range_of(plain.row)?;
            let own = self.parse(plain.text).filter(|own| (least..=most).contains(own));
            other_of(least, most, own, &mut plain.draw.clone())
        };
        self.write(number, out);
        Ok(Answer::Text)
    }

    fn plain_of(&self, fiction: &str, out: &mut String) -> Result<Answer, Refusal> {
        let Some((least, permutation)) = &self.permutation else {
            return Err(Refusal::new("only a unique rule can be turned around"));
        };
        let place = permutation.invert(self.place(fiction, *least, permutation)?);
        self.write(least + place as i128, out);
        Ok(Answer::Text)
    }
}

/// A number of a range that is not the plain one, unless it is the only one.
fn other_of(least: i128, most: i128, own: Option<i128>, draw: &mut Draw) -> i128 {
    let width = most.abs_diff(least);
    match own {
        _ if width == 0 => least,
        None => least + below(width + 1, draw) as i128,
        Some(own) => {
            let number = least + below(width, draw) as i128;
            if number >= own { number + 1 } else { number }
        }
    }
}

/// A number below `n`, of any size.
fn below(n: u128, draw: &mut Draw) -> u128 {
    if let Ok(n) = u64::try_from(n) {
        return u128::from(draw.below(n));
    }
    // As many bits as n has; at worst, every second number is too large.
    let unused = n.leading_zeros();
    loop {
        let number = draw.wide() >> unused;
        if number < n {
            return number;
        }
    }
}

/// Digits after the point, as the rule says and the column can hold.
fn scale(making: &mut Making<'_>) -> Result<u32, Unfit> {
    let decimal = making.integer("decimal").unwrap_or(0);
    let most = match making.kind() {
        Kind::Numeric(Some((_, scale))) if *scale < 0 => {
            let message =
                format!("{} rounds before the point, which the rule does not", making.target().sql_type);
            return Err(making.fault(Code::UnfitType, "use", message, ""));
        }
        Kind::Numeric(Some((_, scale))) => u32::from(scale.unsigned_abs()).min(MOST_DIGITS),
        Kind::Numeric(None) => MOST_DIGITS,
        _ => 0,
    };
    u32::try_from(decimal).ok().filter(|decimal| *decimal <= most).ok_or_else(|| {
        let message = format!("decimal is from 0 to {most} for {}", making.target().sql_type);
        making.fault(Code::ValueOutside, "decimal", message, "")
    })
}

/// The least and the largest number that a kind holds, in the unit of a scale.
fn limits(kind: &Kind, scale: u32) -> (i128, i128) {
    match kind {
        Kind::Int(bytes) => {
            let half = 1_i128 << (8 * u32::from(*bytes).clamp(1, 8) - 1);
            (-half, half - 1)
        }
        kind => {
            let whole = match kind {
                Kind::Numeric(Some((precision, own))) => {
                    i64::from(*precision) - i64::from(*own) + i64::from(scale)
                }
                _ => i64::from(MOST_DIGITS),
            };
            let digits = whole.clamp(0, i64::from(MOST_DIGITS)) as u32;
            let most = 10_i128.pow(digits) - 1;
            (-most, most)
        }
    }
}
