//! Check digits that several numbers have.

use crate::transformers::fitting::{digits, push_digit};

/// The sum of digits times weights, from the left.
pub(super) fn weighted(number: &str, weights: &[u32]) -> u32 {
    digits(number).zip(weights).map(|(digit, weight)| digit * weight).sum()
}

/// Appends a digit so that 11 divides the weighted sum plus it. False: that would be 10.
pub(super) fn push_eleven(out: &mut String, number: &str, weights: &[u32]) -> bool {
    let check = (11 - weighted(number, weights) % 11) % 11;
    if check < 10 {
        push_digit(out, check);
    }
    check < 10
}

/// Appends a digit so that 10 divides the weighted sum plus it.
pub(super) fn push_ten(out: &mut String, number: &str, weights: &[u32]) -> bool {
    push_digit(out, (10 - weighted(number, weights) % 10) % 10);
    true
}

/// The check digit of ISO 7064, MOD 11,10.
pub(super) fn mod_11_10(number: &str) -> u32 {
    let state = digits(number).fold(10, |state, digit| {
        let sum = (state + digit) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - state) % 10
}

/// A number's remainder.
pub(super) fn remainder(number: &str, modulus: u32) -> u32 {
    digits(number).fold(0, |remainder, digit| (remainder * 10 + digit) % modulus)
}
