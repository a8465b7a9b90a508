//! How a number is written: the plain value's punctuation around other digits.

use super::ranges::{self, Country};

/// How a plain number begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `+49 …`.
    Plus,
    /// `0049 …`.
    DoubleZero,
    /// `1-212-…`: the country code alone.
    Bare,
    /// `030 …`.
    National,
}

impl Style {
    /// Of a plain number, where people of some country wrote it.
    pub fn of(text: &str, local: Country) -> Style {
        let number = digits(text);
        if text.trim_start().trim_start_matches('(').starts_with('+') {
            Style::Plus
        } else if number.starts_with("00") {
            Style::DoubleZero
        } else if number.starts_with(local.calling) && number.len() >= 11 {
            Style::Bare
        } else {
            Style::National
        }
    }

    /// The country of a plain number.
    pub fn country(self, text: &str, local: Country) -> Country {
        let number = digits(text);
        let international = match self {
            Style::Plus => number.as_str(),
            Style::DoubleZero => number.trim_start_matches('0'),
            Style::Bare | Style::National => return local,
        };
        let calling = ranges::calling_code(international);
        if calling == local.calling { local } else { Country::called(calling).unwrap_or(local) }
    }

    /// Writes a number with the punctuation of a plain one. Its words are left out; too few or
    /// too many places are as it comes.
    pub fn write(self, text: &str, country: Country, groups: &str, out: &mut String) {
        let mut number = String::with_capacity(20);
        match self {
            Style::Plus | Style::Bare => number.push_str(country.calling),
            Style::DoubleZero => {
                number.push_str("00");
                number.push_str(country.calling);
            }
            Style::National => number.push_str(country.trunk),
        }
        if self != Style::National && text.contains("(0)") {
            number.push('0');
        }
        number.extend(groups.chars().filter(|c| *c != ' '));
        let mut left = number.chars();
        for character in text.trim_start().chars() {
            match character {
                '0'..='9' => match left.next() {
                    Some(digit) => out.push(digit),
                    None => break,
                },
                ' ' | '(' | ')' | '-' | '.' | '/' => out.push(character),
                '+' if self == Style::Plus && out.chars().all(|c| c == '(') => out.push('+'),
                _ => break,
            }
        }
        if left.as_str().is_empty() {
            out.truncate(out.trim_end_matches([' ', '(', '-', '.', '/']).len());
        }
        out.extend(left);
    }
}

/// `+493023125000`.
pub(super) fn international(plus: &str, country: Country, groups: &str, out: &mut String) {
    out.push_str(plus);
    out.push_str(country.calling);
    out.extend(groups.chars().filter(|c| *c != ' '));
}

/// `030 23125000`; in North America `(212) 555-0100`.
pub(super) fn national(country: Country, groups: &str, out: &mut String) {
    let mut parts = groups.split(' ');
    match (country.calling, parts.next(), parts.next(), parts.next()) {
        ("1", Some(area), Some(exchange), Some(line)) => {
            for part in ["(", area, ") ", exchange, "-", line] {
                out.push_str(part);
            }
        }
        _ => {
            // What begins with 000 needs no trunk prefix.
            if !groups.starts_with("000") {
                out.push_str(country.trunk);
            }
            out.push_str(groups);
        }
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}
