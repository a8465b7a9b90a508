//! Exact numbers: compared digit by digit, since a `bigint` or `numeric` does not fit an `f64`.

use std::borrow::Cow;
use std::cmp::Ordering;

/// A number as PostgreSQL writes `int2` to `int8` and `numeric`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decimal<'a> {
    /// Its sign, the digits before the point without zeros in front, those behind it without zeros
    /// at the end. Zero has no digits and is not negative.
    Finite { negative: bool, whole: Cow<'a, str>, fraction: &'a str },
    /// As in PostgreSQL, equal to itself and greater than anything else.
    NotANumber,
    /// True: the negative one.
    Infinite(bool),
}

/// Numbers of literals have at most this exponent; `numeric` has at most 131,072 digits.
const MOST_EXPONENT: i64 = 1000;

impl<'a> Decimal<'a> {
    /// Reads the text form of a number.
    pub fn read(text: &'a str) -> Option<Decimal<'a>> {
        match text {
            "NaN" => return Some(Decimal::NotANumber),
            "Infinity" => return Some(Decimal::Infinite(false)),
            "-Infinity" => return Some(Decimal::Infinite(true)),
            _ => {}
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|sign| sign.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Decimal::Finite { negative: negative && !is_zero, whole: Cow::Borrowed(whole), fraction })
    }

    /// A whole number that is not negative.
    pub fn of(number: usize) -> Decimal<'static> {
        let whole = if number == 0 { String::new() } else { number.to_string() };
        Decimal::Finite { negative: false, whole: Cow::Owned(whole), fraction: "" }
    }

    /// The nearest float of 4 or 8 bytes.
    pub fn float(&self, bytes: u8) -> f64 {
        match self {
            Decimal::Finite { negative, whole, fraction } => {
                let sign = if *negative { "-" } else { "" };
                let text = format!("{sign}0{whole}.{fraction}0");
                let number = if bytes == 4 { text.parse::<f32>().map(f64::from) } else { text.parse() };
                number.unwrap_or(f64::NAN)
            }
            Decimal::NotANumber => f64::NAN,
            Decimal::Infinite(false) => f64::INFINITY,
            Decimal::Infinite(true) => f64::NEG_INFINITY,
        }
    }

    /// Which one is less. They are ordered as PostgreSQL orders `numeric`.
    pub fn order(&self, other: &Decimal<'_>) -> Ordering {
        let rank = |number: &Decimal<'_>| match number {
            Decimal::Infinite(true) => 0,
            Decimal::Finite { .. } => 1,
            Decimal::Infinite(false) => 2,
            Decimal::NotANumber => 3,
        };
        let (
            Decimal::Finite { negative, whole, fraction },
            Decimal::Finite { negative: negative2, whole: whole2, fraction: fraction2 },
        ) = (self, other)
        else {
            return rank(self).cmp(&rank(other));
        };
        let size = || {
            let digits = whole.len().cmp(&whole2.len()).then_with(|| whole.cmp(whole2));
            // Without zeros at the end, fractions are ordered as texts.
            digits.then_with(|| (*fraction).cmp(fraction2))
        };
        match (negative, negative2) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => size(),
            (true, true) => size().reverse(),
        }
    }
}

/// A literal without its exponent: `1.5e3` is `1500`. None: the exponent is too large.
pub(super) fn spelled_out(literal: &str) -> Option<String> {
    let Some((digits, exponent)) = literal.split_once(['e', 'E']) else { return Some(literal.to_string()) };
    let exponent: i64 =
        exponent.parse().ok().filter(|exponent| (-MOST_EXPONENT..=MOST_EXPONENT).contains(exponent))?;
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    let point = whole.len() as i64 + exponent;
    Some(match usize::try_from(point) {
        Ok(point) if point >= all.len() => format!("{sign}{all}{}", "0".repeat(point - all.len())),
        Ok(point) => {
            let (before, behind) = all.split_at(point);
            format!("{sign}0{before}.{behind}")
        }
        Err(_) => format!("{sign}0.{}{all}", "0".repeat(point.unsigned_abs() as usize)),
    })
}
