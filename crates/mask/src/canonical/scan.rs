//! Reads texts of fixed formats byte by byte.

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Scan<'t>(pub(super) &'t [u8]);

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t str) -> Scan<'t> {
        Scan(text.as_bytes())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Takes the byte if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// The next byte.
    pub(super) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The digits that come next, at least one.
    pub(super) fn digits(&mut self) -> Option<&'t [u8]> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        (count > 0).then_some(digits)
    }

    /// The number that comes next, of at most 18 digits.
    pub(super) fn number(&mut self) -> Option<i64> {
        let digits = self.digits()?;
        (digits.len() <= 18).then(|| value(digits))
    }

    /// The digits of a fraction after its point, as millionths; at most six.
    pub(super) fn millionths(&mut self) -> Option<i64> {
        let digits = self.digits()?;
        let missing = 6_usize.checked_sub(digits.len())?;
        Some(value(digits) * 10_i64.pow(missing as u32))
    }
}

fn value(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}

/// The value of a hexadecimal digit.
pub(super) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}
