//! VAT numbers of the European Union, the United Kingdom and Switzerland. Their structure is that
//! of the European Commission (VIES, "VAT identification numbers"), their check digits are those
//! that the states publish.

use super::Number;
use super::checks::{mod_11_10, remainder, weighted};
use crate::draw::Draw;
use crate::transformers::fitting::{digits, luhn, pattern, push_digit};

/// What comes behind a number's head: its check digits or letter. None: this head is not in use.
type Tail = fn(&str) -> Option<String>;

macro_rules! numbers {
    ($($country:literal $most:literal $head:literal $tail:expr, $end:literal;)+) => {
        pub(super) const ALL: &[Number] = &[$(Number {
            country: $country,
            most: $most,
            make: |draw, out| made(draw, $head, $tail, $end, out),
        },)+];

        #[cfg(test)]
        const TAILS: &[(&str, Tail, &str)] = &[$(($country, $tail, $end),)+];
    };
}

// In a head, `#` is any digit and `+` one from 1 to 9. Heads that are in use for companies alone
// are taken where there are such.
numbers! {
    "DE" 11 "DE+#######" |n| digit(mod_11_10(n)), "";
    "AT" 11 "ATU#######" austria, "";
    "BE" 12 "BE0+######" |n| two_digits(97 - remainder(n, 97)), "";
    "BG" 11 "BG+#######" |n| weighed_again(n, &[1, 2, 3, 4, 5, 6, 7, 8], &[3, 4, 5, 6, 7, 8, 9, 10]), "";
    "CH" 20 "CHE-+##.###.##" |n| digit((11 - eleven(n, &[5, 4, 3, 2, 7, 6, 5, 4])) % 11), " MWST";
    "CY" 11 "CY9#######" cyprus, "";
    "CZ" 10 "CZ2######" |n| digit((11 - eleven(n, &[8, 7, 6, 5, 4, 3, 2])) % 10), "";
    "DK" 10 "DK+######" |n| digit((11 - eleven(n, &[2, 7, 6, 5, 4, 3, 2])) % 11), "";
    "EE" 11 "EE10######" |n| ten(n, &[3, 7, 1, 3, 7, 1, 3, 7]), "";
    "ES" 11 "ESB#######" |n| digit(luhn(digits(n))), "";
    "FI" 10 "FI#######" |n| digit((11 - eleven(n, &[7, 9, 10, 5, 8, 4, 2])) % 11), "";
    "FR" 13 "FR+#######" |n| digit(luhn(digits(n))), "";
    "GB" 11 "GB+######" |n| two_digits((97 - weighted(n, &[8, 7, 6, 5, 4, 3, 2]) % 97) % 97), "";
    "GR" 11 "EL0#######" |n| digit(eleven(n, &[256, 128, 64, 32, 16, 8, 4, 2]) % 10), "";
    "HR" 13 "HR##########" |n| digit(mod_11_10(n)), "";
    "HU" 10 "HU+######" |n| ten(n, &[9, 7, 3, 1, 9, 7, 3]), "";
    "IE" 10 "IE#######" |n| letter("WABCDEFGHIJKLMNOPQRSTUV", weighted(n, &[8, 7, 6, 5, 4, 3, 2]) % 23), "";
    "IT" 13 "IT#######0+#" |n| digit(luhn(digits(n))), "";
    "LT" 11 "LT#######1" |n| weighed_again(n, &[1, 2, 3, 4, 5, 6, 7, 8], &[3, 4, 5, 6, 7, 8, 9, 1]), "";
    "LU" 10 "LU+#####" |n| two_digits(remainder(n, 89)), "";
    "LV" 13 "LV4#########" |n| digit((14 - eleven(n, &[9, 1, 4, 8, 3, 10, 2, 5, 7, 6])) % 11), "";
    "MT" 10 "MT+#####" |n| two_digits(37 - weighted(n, &[3, 4, 6, 7, 8, 9]) % 37), "";
    "NL" 14 "NL########" |n| digit(eleven(n, &[9, 8, 7, 6, 5, 4, 3, 2])), "B01";
    "PL" 12 "PL+########" |n| digit(eleven(n, &[6, 5, 7, 2, 3, 4, 5, 6, 7])), "";
    "PT" 11 "PT5#######" |n| digit(small(11 - eleven(n, &[9, 8, 7, 6, 5, 4, 3, 2]))), "";
    "RO" 12 "RO+########" |n| digit(weighted(n, &[7, 5, 3, 2, 1, 7, 5, 3, 2]) * 10 % 11 % 10), "";
    "SE" 14 "SE+########" |n| digit(luhn(digits(n))), "01";
    "SI" 10 "SI+######" slovenia, "";
    "SK" 12 "SK+#2######" |n| digit((11 - remainder(n, 11) * 10 % 11) % 11), "";
}

fn made(draw: &mut Draw, head: &str, tail: Tail, end: &str, out: &mut String) -> bool {
    for (number, part) in head.split('+').enumerate() {
        if number > 0 {
            push_digit(out, 1 + draw.below(9) as u32);
        }
        pattern(draw, part, out);
    }
    let Some(tail) = tail(out) else { return false };
    out.push_str(&tail);
    out.push_str(end);
    if out.starts_with("FR") {
        // The French key comes in front of the company's number.
        let key = (12 + 3 * remainder(out, 97)) % 97;
        out.insert_str(2, &format!("{key:02}"));
    }
    true
}

/// A check below 10.
fn digit(check: u32) -> Option<String> {
    (check < 10).then(|| check.to_string())
}

fn two_digits(check: u32) -> Option<String> {
    Some(format!("{check:02}"))
}

fn letter(of: &str, check: u32) -> Option<String> {
    of.chars().nth(check as usize).map(String::from)
}

/// 10 and 11 are written as 0.
fn small(check: u32) -> u32 {
    if check < 10 { check } else { 0 }
}

fn eleven(number: &str, weights: &[u32]) -> u32 {
    weighted(number, weights) % 11
}

fn ten(number: &str, weights: &[u32]) -> Option<String> {
    digit((10 - weighted(number, weights) % 10) % 10)
}

/// A remainder of 10 is taken again with other weights.
fn weighed_again(number: &str, first: &[u32], second: &[u32]) -> Option<String> {
    digit(match eleven(number, first) {
        10 => small(eleven(number, second)),
        check => check,
    })
}

fn austria(number: &str) -> Option<String> {
    let crossed =
        |(place, digit): (usize, u32)| if place % 2 == 1 { digit / 5 + digit * 2 % 10 } else { digit };
    let sum: u32 = digits(number).enumerate().map(crossed).sum();
    digit((10 - (sum + 4) % 10) % 10)
}

fn cyprus(number: &str) -> Option<String> {
    const ODD: [u32; 10] = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21];
    let value = |(place, digit): (usize, u32)| {
        if place % 2 == 0 { ODD.get(digit as usize).copied().unwrap_or(0) } else { digit }
    };
    let sum: u32 = digits(number).enumerate().map(value).sum();
    letter("ABCDEFGHIJKLMNOPQRSTUVWXYZ", sum % 26)
}

/// 10 is written as 0, and 11 is not in use.
fn slovenia(number: &str) -> Option<String> {
    let check = 11 - eleven(number, &[8, 7, 6, 5, 4, 3, 2]);
    digit(if check == 10 { 0 } else { check })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that companies and authorities publish, with their tails cut off.
    #[test]
    fn published_numbers() {
        for (country, head, tail) in [
            ("AT", "1358562", "7"),
            ("BE", "04287594", "97"),
            ("BG", "17507475", "2"),
            ("CH", "10778757", "7"),
            ("CY", "10259033", "P"),
            ("CZ", "2512389", "1"),
            ("DE", "13669597", "6"),
            ("DK", "1358562", "8"),
            ("EE", "10093155", "8"),
            ("ES", "5837843", "1"),
            ("FI", "2077474", "0"),
            ("FR", "30326504", "5"),
            ("GB", "9807806", "84"),
            ("GR", "09425921", "6"),
            ("HR", "3339200596", "1"),
            ("HU", "1289231", "2"),
            ("IE", "6433435", "F"),
            ("IT", "0074311015", "7"),
            ("LT", "11951151", "5"),
            ("LU", "150274", "42"),
            ("LV", "4000352160", "0"),
            ("MT", "116791", "12"),
            ("NL", "00449544", "5"),
            ("PL", "856734621", "5"),
            ("PT", "50196484", "3"),
            ("RO", "001854729", "0"),
            ("SE", "556188840", "4"),
            ("SI", "5022305", "4"),
            ("SK", "202274961", "9"),
        ] {
            let known = TAILS.iter().find(|(known, _, _)| *known == country);
            let made = known.and_then(|(_, of, _)| of(head));
            assert_eq!(made.as_deref(), Some(tail), "{country}");
        }
        assert_eq!((12 + 3 * remainder("303265045", 97)) % 97, 40);
    }
}
