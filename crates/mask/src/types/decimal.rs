//! Decimal numbers, exact, as `numeric` writes them.

use std::cmp::Ordering;

/// The most digits of a [`Decimal`].
const MOST_DIGITS: u32 = 36;

/// A decimal number: `digits` / 10^`scale`.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    /// All digits with the sign, at most 36.
    pub digits: i128,
    /// How many of them are behind the point, at most 36.
    pub scale: u32,
}

impl Decimal {
    /// Reads `-12.50` or `1.5e3`. None: it is no finite number, or has more than 36 digits.
    pub fn parse(text: &str) -> Option<Decimal> {
        let parts = Parts::parse(text)?;
        let mut digits: i128 = 0;
        for byte in parts.whole.bytes().chain(parts.fraction.bytes()) {
            digits = digits.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
        }
        let mut scale = i64::try_from(parts.fraction.len()).ok()? - i64::from(parts.exponent);
        while scale < 0 {
            digits = digits.checked_mul(10)?;
            scale += 1;
            if digits == 0 {
                scale = 0;
            }
        }
        let scale = u32::try_from(scale).ok().filter(|scale| *scale <= MOST_DIGITS)?;
        let digits = if parts.negative { -digits } else { digits };
        let decimal = Decimal { digits, scale };
        decimal.fits().then_some(decimal)
    }

    fn fits(self) -> bool {
        self.digits.unsigned_abs() < 10u128.pow(MOST_DIGITS)
    }

    /// The number with so many digits behind the point, rounded half away from zero. None: it does
    /// not fit.
    pub fn rescale(self, scale: u32) -> Option<Decimal> {
        if scale > MOST_DIGITS {
            return None;
        }
        let digits = if scale >= self.scale {
            self.digits.checked_mul(10i128.pow(scale - self.scale))?
        } else {
            let unit = 10i128.pow(self.scale - scale);
            let half = unit / 2 * self.digits.signum();
            (self.digits + half) / unit
        };
        let decimal = Decimal { digits, scale };
        decimal.fits().then_some(decimal)
    }

    /// The whole number below it or equal to it.
    pub fn floor(self) -> i128 {
        self.digits.div_euclid(10i128.pow(self.scale))
    }

    /// Compares the numbers: 1.0 equals 1.
    pub fn compare(self, other: Decimal) -> Ordering {
        let whole = self.floor().cmp(&other.floor());
        whole.then_with(|| self.fraction().cmp(&other.fraction()))
    }

    /// What is above [`Decimal::floor`], in units of 10^-36.
    fn fraction(self) -> i128 {
        self.digits.rem_euclid(10i128.pow(self.scale)) * 10i128.pow(MOST_DIGITS - self.scale)
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = 10u128.pow(self.scale);
        let digits = self.digits.unsigned_abs();
        let sign = if self.digits < 0 { "-" } else { "" };
        if self.scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let width = self.scale as usize;
        write!(f, "{sign}{}.{:0width$}", digits / unit, digits % unit)
    }
}

/// The parts of a number's text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'t> {
    /// It begins with a minus.
    pub negative: bool,
    /// Digits before the point, without zeros at their left; may be empty.
    pub whole: &'t str,
    /// Digits behind the point; may be empty.
    pub fraction: &'t str,
    /// Powers of ten that it is multiplied with.
    pub exponent: i32,
}

impl<'t> Parts<'t> {
    /// Reads a number as `numeric` and `float8` take it, without NaN and infinities.
    pub fn parse(text: &'t str) -> Option<Parts<'t>> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let negative = text.starts_with('-');
        let text = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
            return None;
        }
        // PostgreSQL's own limit (numeric.c: NUMERIC_MAX_PRECISION and the exponent's check).
        let is_moderate = (-100_000..=200_000).contains(&exponent);
        is_moderate.then_some(Parts { negative, whole: whole.trim_start_matches('0'), fraction, exponent })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_written_and_rounded() {
        let is = |text: &str| Decimal::parse(text).unwrap().to_string();
        for (text, shown) in [
            ("0", "0"),
            ("-0012.50", "-12.50"),
            (".5", "0.5"),
            ("1.5e3", "1500"),
            ("12e-3", "0.012"),
            ("0e99", "0"),
        ] {
            assert_eq!(is(text), shown);
        }
        let rounded = |text: &str, scale| Decimal::parse(text).unwrap().rescale(scale).unwrap().to_string();
        assert_eq!(rounded("2.5", 0), "3");
        assert_eq!(rounded("-2.5", 0), "-3");
        assert_eq!(rounded("-0.04", 1), "0.0");
        assert_eq!(rounded("1", 2), "1.00");
        for text in ["", "x", "NaN", "1e", "1.2.3", "--1", "1e99", "1e-99", "1e999999"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn they_compare_as_numbers(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000, scale in 0u32..6) {
            let of = |digits: i64, scale| Decimal { digits: i128::from(digits), scale };
            prop_assert_eq!(of(a, scale).compare(of(b, scale)), a.cmp(&b));
            prop_assert_eq!(of(a, scale).compare(of(a, scale).rescale(12).unwrap()), Ordering::Equal);
            prop_assert_eq!(Decimal::parse(&of(a, scale).to_string()).unwrap().digits, i128::from(a));
        }
    }
}
