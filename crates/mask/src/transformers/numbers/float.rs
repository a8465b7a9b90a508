//! Floating-point numbers of a range.

use std::fmt::Write;

use super::{check_source, not_injective};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::operand::Operand;
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::Kind;

/// The most digits after the point: the least `float8` has 308 zeros there.
const MOST_DECIMALS: i64 = 308;
/// How often another number is drawn when the first is the plain one.
const ATTEMPTS: u32 = 8;

/// `float`.
#[derive(Debug)]
pub(super) struct Float {
    min: Operand<f64>,
    max: Operand<f64>,
    decimal: usize,
    is_single: bool,
}

impl Float {
    pub(super) fn new(making: &mut Making<'_>) -> Result<Float, Unfit> {
        if making.is_unique() {
            return Err(not_injective(making, "int or numeric"));
        }
        let is_single = matches!(making.kind(), Kind::Float(4));
        let decimal = making.integer("decimal").unwrap_or(4);
        if !(0..=MOST_DECIMALS).contains(&decimal) {
            let message = format!("decimal is from 0 to {MOST_DECIMALS}");
            return Err(making.fault(Code::ValueOutside, "decimal", message, ""));
        }
        let mut bound = |name| {
            let bound = making.operand(name, finite)?;
            let fits = |kind: &Kind| matches!(kind, Kind::Float(_) | Kind::Int(_) | Kind::Numeric(_));
            check_source(making, name, &bound, fits)?;
            match bound {
                Some(Operand::Fixed(value)) if is_single && value.abs() > f64::from(f32::MAX) => {
                    let message = format!("{name} does not fit into {}", making.target().sql_type);
                    Err(making.fault(Code::ValueOutside, name, message, ""))
                }
                Some(bound) => Ok(bound),
                None => Err(making.fault(Code::ParameterMissing, name, format!("float needs {name}"), "")),
            }
        };
        let (min, max) = (bound("min")?, bound("max")?);
        if let (Operand::Fixed(min), Operand::Fixed(max)) = (&min, &max)
            && min > max
        {
            return Err(making.fault(Code::ValueOutside, "min", "min is above max", ""));
        }
        Ok(Float { min, max, decimal: decimal as usize, is_single })
    }

    /// Whether two numbers are equal in the column's type.
    fn are_equal(&self, one: f64, other: f64) -> bool {
        if self.is_single { one as f32 == other as f32 } else { one == other }
    }
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

impl Transformer for Float {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let (min, max) = (self.min.get(plain.row)?, self.max.get(plain.row)?);
        if min > max || (self.is_single && min.abs().max(max.abs()) > f64::from(f32::MAX)) {
            return Err(Refusal::new("min and max are not a range of the column's type"));
        }
        let own = plain.text.parse::<f64>().ok();
        let is_own = |number: f64| own.is_some_and(|own| self.are_equal(own, number));
        let mut draw = plain.draw.clone();
        for attempt in 0..ATTEMPTS {
            let part = draw.fraction();
            // Two products, because max - min may be more than a float holds.
            let number = (min * (1.0 - part) + max * part).clamp(min, max);
            out.clear();
            let _ = write!(out, "{number:.*}", self.decimal);
            match out.parse::<f64>() {
                Ok(rounded) if (min..=max).contains(&rounded) => {
                    if !is_own(rounded) {
                        return Ok(Answer::Text);
                    }
                }
                _ => break,
            }
            draw = plain.draw.again(attempt);
        }
        // Rounding leaves the range, or all that were drawn are the plain number: a bound, then.
        let bound = if is_own(min) { max } else { min };
        out.clear();
        let _ = write!(out, "{bound}");
        Ok(Answer::Text)
    }
}
