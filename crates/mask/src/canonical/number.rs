//! Decimal numbers of any size.

/// The most places that an exponent may shift by: numeric has at most 131,072 digits before its
/// point.
const MOST_SHIFT: i64 = 200_000;

/// A number's text in its parts. Leading and trailing zeros are still there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal<'t> {
    pub(crate) is_negative: bool,
    whole: &'t [u8],
    fraction: &'t [u8],
    /// Where the point is, from the first digit.
    point: i64,
}

impl<'t> Decimal<'t> {
    /// `-12.50`, `.5`, `1e-07`. None: no number, not a finite one, or out of reach.
    pub(crate) fn parse(text: &'t str) -> Option<Decimal<'t>> {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse().ok()?),
            None => (text, 0_i64),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (whole, fraction) = (whole.as_bytes(), fraction.as_bytes());
        let mut all = whole.iter().chain(fraction);
        let fits = exponent.abs() <= MOST_SHIFT && !(whole.is_empty() && fraction.is_empty());
        let is_decimal = fits && all.all(u8::is_ascii_digit);
        is_decimal.then(|| Decimal { is_negative, whole, fraction, point: whole.len() as i64 + exponent })
    }

    fn digits(&self) -> impl DoubleEndedIterator<Item = u8> + 't {
        self.whole.iter().chain(self.fraction).copied()
    }

    /// The number times 10^scale, where it is a whole number then and has at most 38 digits.
    pub(crate) fn scaled(&self, scale: u32) -> Option<i128> {
        let mut value = 0_i128;
        let kept = self.point + i64::from(scale);
        for (index, digit) in self.digits().enumerate() {
            if (index as i64) < kept {
                value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
            } else if digit != b'0' {
                return None;
            }
        }
        let missing = kept - (self.whole.len() + self.fraction.len()) as i64;
        if value != 0 && missing > 0 {
            value = value.checked_mul(10_i128.checked_pow(u32::try_from(missing).ok()?)?)?;
        }
        Some(if self.is_negative { -value } else { value })
    }
}

/// An integer as the server writes it: it is canonical already.
pub(super) fn is_plain_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Appends a number without an exponent and without zeros that say nothing; zero has no sign.
pub(super) fn write(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let Some(decimal) = Decimal::parse(text) else {
        out.extend_from_slice(special(text)?.as_bytes());
        return Some(());
    };
    let count = decimal.whole.len() + decimal.fraction.len();
    let Some(first) = decimal.digits().position(|digit| digit != b'0') else {
        out.push(b'0');
        return Some(());
    };
    let trailing = decimal.digits().rev().take_while(|digit| *digit == b'0').count();
    let last = count - trailing;
    let digits = |from: usize, to: usize| decimal.digits().skip(from).take(to.saturating_sub(from));
    if decimal.is_negative {
        out.push(b'-');
    }
    match usize::try_from(decimal.point) {
        Ok(point) if point > first => {
            out.extend(digits(first, point.min(last)));
            out.extend(std::iter::repeat_n(b'0', point.saturating_sub(last)));
            if last > point {
                out.push(b'.');
                out.extend(digits(point, last));
            }
        }
        _ => {
            out.extend_from_slice(b"0.");
            let zeros = usize::try_from(first as i64 - decimal.point).unwrap_or(0);
            out.extend(std::iter::repeat_n(b'0', zeros));
            out.extend(digits(first, last));
        }
    }
    Some(())
}

/// The numbers that numeric has next to the decimal ones.
fn special(text: &str) -> Option<&'static str> {
    let known = [
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("inf", "Infinity"),
        ("+Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("-inf", "-Infinity"),
    ];
    known.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, canonical)| *canonical)
}

/// Appends a float: all NaN are equal, and so are 0 and -0.
pub(super) fn write_float(number: f64, out: &mut Vec<u8>) {
    let number = match number {
        number if number.is_nan() => f64::NAN,
        // -0 + 0 is 0.
        number => number + 0.0,
    };
    out.extend_from_slice(&number.to_bits().to_le_bytes());
}
