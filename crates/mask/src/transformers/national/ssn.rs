//! National numbers of persons, in ranges that are not given out.
//!
//! | Country | Number | Range |
//! |---|---|---|
//! | US | SSN | area 900 to 999 (SSA, POMS RM 10201.035), with groups that the IRS does not use either |
//! | CA | SIN | begins with 0 (Service Canada: for fictitious numbers) |
//! | GB | National Insurance number | prefixes that are not in use (HMRC, NIM39110) |
//! | DE | Steuer-ID | begins with 0 (BZSt: for tests) |
//! | AT | Versicherungsnummer | serial number below 100 (Dachverband: from 100) |
//! | BE | Rijksregisternummer | serial number 999 (royal decree of 3 April 1984: up to 998) |
//! | FR | NIR | department 00 (INSEE, code officiel géographique: there is none) |
//! | ES | DNI | from 99,000,000 on, which is not reached |
//! | IT | codice fiscale | place X000 to X999 (Agenzia delle Entrate: letters A to M and Z) |
//! | NL | BSN | begins with 9999 (RvIG, test data) |
//! | SE | personnummer | birth number 980 to 999 (Skatteverket: for tests) |
//! | NO | fødselsnummer | month plus 80 (Skatteetaten: synthetic persons) |
//! | FI | henkilötunnus | individual number 900 to 999 (DVV: temporary, not given to persons) |
//! | PL | PESEL | born from 2200 on, month plus 60 |
//! | CH, BR | AHV, CPF | none is known |

use super::Number;
use super::checks::{mod_11_10, push_eleven, push_ten, remainder, weighted};
use crate::draw::Draw;
use crate::transformers::fitting::{digits, luhn, pattern, push_digit};

pub(super) const ALL: &[Number] = &[
    Number { country: "US", most: 11, make: united_states },
    Number { country: "AT", most: 11, make: austria },
    Number { country: "BE", most: 15, make: belgium },
    Number { country: "BR", most: 14, make: brazil },
    Number { country: "CA", most: 11, make: canada },
    Number { country: "CH", most: 16, make: switzerland },
    Number { country: "DE", most: 11, make: germany },
    Number { country: "ES", most: 9, make: spain },
    Number { country: "FI", most: 11, make: finland },
    Number { country: "FR", most: 21, make: france },
    Number { country: "GB", most: 13, make: united_kingdom },
    Number { country: "IT", most: 16, make: italy },
    Number { country: "NL", most: 9, make: netherlands },
    Number { country: "NO", most: 12, make: norway },
    Number { country: "PL", most: 11, make: poland },
    Number { country: "SE", most: 11, make: sweden },
];

/// Year in its century, month and day.
fn birthday(draw: &mut Draw) -> (u64, u64, u64) {
    (40 + draw.below(60), 1 + draw.below(12), 1 + draw.below(28))
}

fn united_states(draw: &mut Draw, out: &mut String) -> bool {
    let (area, group, serial) = (900 + draw.below(100), 1 + draw.below(49), 1 + draw.below(9999));
    out.push_str(&format!("{area}-{group:02}-{serial:04}"));
    true
}

fn canada(draw: &mut Draw, out: &mut String) -> bool {
    pattern(draw, "0## ### ##", out);
    let check = luhn(digits(out));
    push_digit(out, check);
    true
}

fn united_kingdom(draw: &mut Draw, out: &mut String) -> bool {
    const UNUSED: &[&str] = &["BG", "GB", "KN", "NK", "NT", "TN", "ZZ"];
    out.push_str(draw.one_of(UNUSED).unwrap_or(&"ZZ"));
    pattern(draw, " ## ## ## ", out);
    out.push_str(draw.one_of(&["A", "B", "C", "D"]).unwrap_or(&"A"));
    true
}

/// Among the first ten digits one is there twice, and no other (BZSt: structure of the number).
fn germany(draw: &mut Draw, out: &mut String) -> bool {
    let mut all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    let twice = draw.below(9) as usize;
    for place in (2..10).rev() {
        all.swap(place, 1 + draw.below(place as u64) as usize);
    }
    // The last one becomes one of the others, and then any place but the first.
    all.copy_within(twice..=twice, 9);
    all.swap(9, 1 + draw.below(9) as usize);
    for digit in all {
        push_digit(out, digit);
    }
    let check = mod_11_10(out);
    push_digit(out, check);
    true
}

fn austria(draw: &mut Draw, out: &mut String) -> bool {
    let serial = format!("{:03}", 1 + draw.below(99));
    let (year, month, day) = birthday(draw);
    let date = format!("{day:02}{month:02}{year:02}");
    let check = (weighted(&serial, &[3, 7, 9]) + weighted(&date, &[5, 8, 4, 2, 1, 6])) % 11;
    out.push_str(&format!("{serial}{check} {date}"));
    check < 10
}

fn belgium(draw: &mut Draw, out: &mut String) -> bool {
    let (year, month, day) = birthday(draw);
    let check = 97 - remainder(&format!("{year:02}{month:02}{day:02}999"), 97);
    out.push_str(&format!("{year:02}.{month:02}.{day:02}-999.{check:02}"));
    true
}

fn switzerland(draw: &mut Draw, out: &mut String) -> bool {
    pattern(draw, "756.####.####.#", out);
    let number = out.clone();
    push_ten(out, &number, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3])
}

fn france(draw: &mut Draw, out: &mut String) -> bool {
    let (year, month, _) = birthday(draw);
    let (sex, place, serial) = (1 + draw.below(2), 1 + draw.below(990), 1 + draw.below(999));
    let number = format!("{sex} {year:02} {month:02} 00 {place:03} {serial:03}");
    let key = 97 - remainder(&number, 97);
    out.push_str(&format!("{number} {key:02}"));
    true
}

fn spain(draw: &mut Draw, out: &mut String) -> bool {
    pattern(draw, "99######", out);
    let letter = "TRWAGMYFPDXBNJZSQVHLCKE".chars().nth(remainder(out, 23) as usize);
    out.extend(letter);
    true
}

/// Three letters each of the last and the first name, year, month, day (of women: plus 40), place,
/// check letter (decree of 12 March 1974).
fn italy(draw: &mut Draw, out: &mut String) -> bool {
    const CONSONANTS: &str = "BCDFGLMNPRSTVZ";
    for _ in 0..6 {
        out.extend(CONSONANTS.chars().nth(draw.below(14) as usize));
    }
    let (year, month, day) = birthday(draw);
    let day = day + 40 * draw.below(2);
    let month = "ABCDEHLMPRST".chars().nth(month as usize - 1).unwrap_or('A');
    out.push_str(&format!("{year:02}{month}{day:02}"));
    pattern(draw, "X###", out);
    let check = italian_check(out);
    out.extend(char::from_digit(check + 10, 36).map(|letter| letter.to_ascii_uppercase()));
    true
}

/// Characters at odd places count by a table, those at even ones by themselves.
fn italian_check(number: &str) -> u32 {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let value = |(place, character): (usize, char)| {
        let value = character.to_digit(10).or_else(|| Some(character.to_digit(36)? - 10))?;
        if place % 2 == 0 { ODD.get(value as usize).copied() } else { Some(value) }
    };
    number.chars().enumerate().filter_map(value).sum::<u32>() % 26
}

fn netherlands(draw: &mut Draw, out: &mut String) -> bool {
    pattern(draw, "9999####", out);
    // The last digit counts -1.
    let check = weighted(out, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    push_digit(out, check);
    check < 10
}

fn sweden(draw: &mut Draw, out: &mut String) -> bool {
    let (year, month, day) = birthday(draw);
    out.push_str(&format!("{year:02}{month:02}{day:02}-{}", 980 + draw.below(20)));
    let check = luhn(digits(out));
    push_digit(out, check);
    true
}

fn norway(draw: &mut Draw, out: &mut String) -> bool {
    let (year, month, day) = birthday(draw);
    // 000 to 499 belong to the years 1900 to 1999.
    out.push_str(&format!("{day:02}{:02}{year:02} {:03}", month + 80, draw.below(500)));
    let number = out.clone();
    if !push_eleven(out, &number, &[3, 7, 6, 1, 8, 9, 4, 5, 2]) {
        return false;
    }
    let number = out.clone();
    push_eleven(out, &number, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2])
}

fn finland(draw: &mut Draw, out: &mut String) -> bool {
    let (year, month, day) = birthday(draw);
    out.push_str(&format!("{day:02}{month:02}{year:02}-{}", 900 + draw.below(100)));
    out.extend("0123456789ABCDEFHJKLMNPRSTUVWXY".chars().nth(remainder(out, 31) as usize));
    true
}

fn poland(draw: &mut Draw, out: &mut String) -> bool {
    let (year, month, day) = birthday(draw);
    out.push_str(&format!("{year:02}{:02}{day:02}{:04}", month + 60, draw.below(10_000)));
    let number = out.clone();
    push_ten(out, &number, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3])
}

fn brazil(draw: &mut Draw, out: &mut String) -> bool {
    pattern(draw, "###.###.###-", out);
    for weights in [&[10, 9, 8, 7, 6, 5, 4, 3, 2][..], &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]] {
        let check = (11 - weighted(out, weights) % 11) % 11;
        // 10 is written as 0.
        push_digit(out, check % 10);
    }
    // Nine equal digits are refused everywhere.
    digits(out).any(|digit| Some(digit) != digits(out).next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::RuleKey;

    fn many(make: fn(&mut Draw, &mut String) -> bool) -> Vec<String> {
        let mut made = Vec::new();
        for n in 0..200u32 {
            let mut draw = Draw::of(RuleKey::of_bytes([3; 16]), &n.to_le_bytes());
            let mut out = String::new();
            if make(&mut draw, &mut out) {
                made.push(out);
            }
        }
        assert!(made.len() > 150);
        made
    }

    #[test]
    fn german_numbers_have_one_digit_twice() {
        for number in many(germany) {
            assert!(number.starts_with('0'));
            let head: String = number.chars().take(10).collect();
            let mut counts: Vec<usize> = ('0'..='9').map(|digit| head.matches(digit).count()).collect();
            counts.sort_unstable();
            assert_eq!(counts, [0, 1, 1, 1, 1, 1, 1, 1, 1, 2], "{number}");
        }
        // BZSt's example of a number for tests.
        assert_eq!(mod_11_10("0247629135"), 8);
    }

    #[test]
    fn published_check_digits() {
        assert_eq!(italian_check("RSSMRA85T10A562"), 18);
        assert_eq!(97 - remainder("2 55 08 14 168 025", 97), 38);
        assert_eq!(remainder("12345678", 23), 14);
        assert_eq!(97 - remainder("850730033", 97), 28);
        assert_eq!(remainder("131052308", 31), 25);
        assert_eq!(luhn(digits("811228-987")), 4);
        let mut number = String::from("7569217076985");
        number.truncate(12);
        let head = number.clone();
        assert!(push_ten(&mut number, &head, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]));
        assert_eq!(number, "7569217076985");
        let mut number = String::from("4405140135");
        assert!(push_ten(&mut number, "4405140135", &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]));
        assert_eq!(number, "44051401359");
    }

    #[test]
    fn sums_that_must_divide() {
        for number in many(netherlands) {
            let sum = weighted(&number, &[9, 8, 7, 6, 5, 4, 3, 2]) + 10 * digits(&number).last().unwrap_or(0);
            assert!(number.starts_with("9999") && sum.is_multiple_of(11), "{number}");
        }
        for number in many(norway) {
            assert_eq!(weighted(&number, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]) % 11, 0);
            assert_eq!(weighted(&number, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]) % 11, 0);
        }
        for number in many(brazil) {
            let sum = weighted(&number, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]) % 11;
            assert!(sum == 0 || sum == 1, "{number}");
        }
        for number in many(united_states) {
            let (area, group) =
                (number.get(..3), number.get(4..6).and_then(|group| group.parse::<u32>().ok()));
            assert!(area >= Some("900") && group.is_some_and(|group| (1..50).contains(&group)), "{number}");
        }
    }
}
