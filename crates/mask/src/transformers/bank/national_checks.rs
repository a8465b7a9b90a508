//! Check digits inside of national account numbers, where a country has them at a fixed place:
//! Belgium, Bosnia, Croatia, Czechia, East Timor, Finland, France, Hungary, Italy, Kosovo, Monaco,
//! Montenegro, the Netherlands, North Macedonia, Norway, Portugal, San Marino, São Tomé, Serbia,
//! Slovakia, Slovenia, Spain. (European Committee for Banking Standards, TR 201, Register of
//! European Account Numbers.)

use crate::transformers::fitting::{digits, luhn};

/// Sets the check digits of a national number. False: this number has none, and is not in use.
pub(super) fn set(country: &str, bban: &mut String) -> bool {
    match country {
        // The remainder of the first ten digits, or 97 for 0.
        "BE" => set_tail(bban, 2, |head| Some((remainder(head) + 96) % 97 + 1)),
        // ISO 7064, MOD 97-10.
        "BA" | "ME" | "MK" | "PT" | "RS" | "SI" | "ST" | "TL" | "XK" => {
            set_tail(bban, 2, |head| Some(98 - remainder(head) * 100 % 97))
        }
        "FR" | "MC" => set_tail(bban, 2, |head| Some(97 - remainder(head) * 100 % 97)),
        "FI" => set_tail(bban, 1, |head| Some(luhn(digits(head)))),
        // 10 has no digit.
        "NO" => set_tail(bban, 1, |head| {
            let check = (11 - weighted(head, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11;
            (check < 10).then_some(check)
        }),
        "NL" => eleven(bban, 4, 14, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        "CZ" | "SK" => {
            eleven(bban, 4, 10, &[10, 5, 8, 4, 2, 1])
                && eleven(bban, 10, 20, &[6, 3, 7, 9, 10, 5, 8, 4, 2, 1])
        }
        "ES" => {
            let bank = spanish(bban, 0..8, &[4, 8, 5, 10, 9, 7, 3, 6]);
            let account = spanish(bban, 10..20, &[1, 2, 4, 8, 5, 10, 9, 7, 3, 6]);
            put(bban, 8, bank) && put(bban, 9, account)
        }
        "HU" => {
            let tens = |part: Option<&str>| {
                let weights = [9, 7, 3, 1, 9, 7, 3, 1, 9, 7, 3, 1, 9, 7, 3];
                (10 - weighted(part.unwrap_or_default(), &weights) % 10) % 10
            };
            let (bank, account) = (tens(bban.get(..7)), tens(bban.get(8..23)));
            put(bban, 7, bank) && put(bban, 23, account)
        }
        "HR" => {
            let (bank, account) = (mod_11_10(bban.get(..6)), mod_11_10(bban.get(7..16)));
            put(bban, 6, bank) && put(bban, 16, account)
        }
        "IT" | "SM" => italian(bban),
        _ => true,
    }
}

/// A number's remainder by 97.
fn remainder(number: &str) -> u32 {
    digits(number).fold(0, |remainder, digit| (remainder * 10 + digit) % 97)
}

/// The sum of digits times weights, from the left.
fn weighted(number: &str, weights: &[u32]) -> u32 {
    digits(number).zip(weights).map(|(digit, weight)| digit * weight).sum()
}

/// Replaces the last digits.
fn set_tail(bban: &mut String, width: usize, check: impl Fn(&str) -> Option<u32>) -> bool {
    bban.truncate(bban.len().saturating_sub(width));
    let Some(check) = check(bban) else { return false };
    bban.push_str(&format!("{check:0width$}"));
    true
}

/// Replaces one digit.
fn put(bban: &mut String, place: usize, digit: u32) -> bool {
    if bban.get(place..=place).is_none() {
        return false;
    }
    bban.replace_range(place..=place, &digit.to_string());
    true
}

/// Sets the last digit of a part so that 11 divides its weighted sum; the last weight is 1.
fn eleven(bban: &mut String, start: usize, end: usize, weights: &[u32]) -> bool {
    let head = bban.get(start..end - 1).unwrap_or_default();
    let check = (11 - weighted(head, weights) % 11) % 11;
    check < 10 && put(bban, end - 1, check)
}

fn spanish(bban: &str, part: std::ops::Range<usize>, weights: &[u32]) -> u32 {
    match 11 - weighted(bban.get(part).unwrap_or_default(), weights) % 11 {
        10 => 1,
        11 => 0,
        digit => digit,
    }
}

/// ISO 7064, MOD 11,10.
fn mod_11_10(part: Option<&str>) -> u32 {
    let state = digits(part.unwrap_or_default()).fold(10, |state, digit| {
        let sum = (state + digit) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - state) % 10
}

/// The letter in front: each character counts by its place, odd ones by a table.
fn italian(bban: &mut String) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let sum: u32 = bban
        .chars()
        .skip(1)
        .enumerate()
        .filter_map(|(place, character)| {
            let value = character.to_digit(10).or_else(|| Some(character.to_digit(36)? - 10))?;
            if place % 2 == 0 { ODD.get(value as usize).copied() } else { Some(value) }
        })
        .sum();
    let Some(letter) = char::from_digit(sum % 26 + 10, 36) else { return false };
    bban.replace_range(..1, letter.to_ascii_uppercase().encode_utf8(&mut [0; 4]));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the IBAN registry have right national check digits.
    #[test]
    fn published_numbers() {
        for (country, number) in [
            ("BA", "1290079401028494"),
            ("BE", "539007547034"),
            ("CZ", "08000000192000145399"),
            ("ES", "21000418450200051332"),
            ("FI", "12345600000785"),
            ("HR", "10010051863000160"),
            ("HU", "117730161111101800000000"),
            ("IT", "X0542811101000000123456"),
            ("ME", "505000012345678951"),
            ("MK", "250120000058984"),
            ("NL", "ABNA0417164300"),
            ("NO", "86011117947"),
            ("PT", "000201231234567890154"),
            ("RS", "260005601001611379"),
            ("SI", "263300012039086"),
            ("SK", "12000000198742637541"),
            ("SM", "U0322509800000000270100"),
            ("XK", "1212012345678906"),
        ] {
            let mut set_anew = number.to_string();
            assert!(set(country, &mut set_anew), "{country}");
            assert_eq!(set_anew, number, "{country}");
        }
    }

    #[test]
    fn french_keys() {
        // 30006 00001 12345678901 has the key 89 (Banque de France's rule: the whole divides by
        // 97).
        let mut number = "30006000011234567890100".to_string();
        assert!(set("FR", &mut number));
        assert_eq!(number, "30006000011234567890189");
    }
}
