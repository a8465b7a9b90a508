//! Latitudes and longitudes, as numbers of the column's type.

use std::fmt::Write;

use crate::definition::{Parameter, Takes};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Plain, Refusal};
use crate::transformers::wording::{Room, is_text};
use crate::types::Kind;

/// Digits after the point.
pub(super) const DECIMALS: Parameter = Parameter::new(
    "decimals",
    Takes::Integer,
    "6, or the column's",
    "Digits after the point, 0 to 15; six are a tenth of a metre.",
);

/// Whether a kind takes degrees.
pub(super) fn takes(kind: &Kind) -> bool {
    is_text(kind) || matches!(kind, Kind::Float(_) | Kind::Numeric(_))
}

/// How these kinds are called.
pub(super) const TYPES: &str = "float4, float8, numeric, text, varchar, char, citext, name";

/// How degrees are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Degrees {
    decimals: usize,
}

impl Degrees {
    /// For a column that must hold numbers of so many digits before the point.
    pub(super) fn of(making: &mut Making<'_>, digits: i64) -> Result<Degrees, Unfit> {
        let scale = match making.kind() {
            Kind::Numeric(Some((precision, scale))) => {
                if i64::from(*precision) - i64::from(*scale) < digits {
                    let message = format!(
                        "degrees need {digits} digits before the point, and the column is {}",
                        making.target().sql_type
                    );
                    return Err(making.fault(Code::ValueOutside, "use", message, "numeric(9,6)"));
                }
                Some(i64::from(*scale).max(0))
            }
            // What float4 keeps of the digits before the point and after it.
            Kind::Float(4) => Some(7 - digits),
            _ => None,
        };
        let decimals = making.integer("decimals").unwrap_or(6);
        if !(0..=15).contains(&decimals) {
            let message = format!("decimals is {decimals}; it is 0 to 15");
            return Err(making.fault(Code::ValueOutside, "decimals", message, ""));
        }
        let decimals = scale.map_or(decimals, |scale| scale.min(decimals));
        if is_text(making.kind()) {
            // A sign, the digits, the point.
            Room::at_least(making, (1 + digits + i64::from(decimals > 0) + decimals) as usize)?;
        }
        Ok(Degrees { decimals: decimals as usize })
    }

    /// Writes degrees that are not the plain ones; `at` gives those of a try.
    pub(super) fn write(
        self,
        plain: &Plain<'_>,
        out: &mut String,
        at: impl Fn(u32) -> f64,
    ) -> Result<(), Refusal> {
        let was: Option<f64> = plain.text.trim().parse().ok().filter(|_| !plain.is_null);
        for attempt in 0..64 {
            out.clear();
            let unwritable = |_| Refusal::new("the degrees cannot be written");
            write!(out, "{:.*}", self.decimals, at(attempt)).map_err(unwritable)?;
            // `-0.0` is not a number that people write.
            if out.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.')) && out.starts_with('-') {
                out.remove(0);
            }
            if was.is_none() || out.parse().ok() != was {
                return Ok(());
            }
        }
        Err(Refusal::new("no degrees fit the column that are not the plain ones"))
    }
}
