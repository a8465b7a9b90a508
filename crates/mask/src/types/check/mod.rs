//! Whether a text is a value of a type, as the server's own input functions would say.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::decimal::Parts;
use super::order::order;
use super::{Kind, Target};
use crate::dates::{self, Interval, Shape};
use crate::forms::{array, composite, hstore, json, range};
use crate::transformer::Refusal;

/// Says why a text is not a value that the target takes: an end of a sentence that begins with the
/// value ("is not an integer") and does not hold it. Of types that it does not know, every text is
/// a value. NULL, and the checks of domains, are not its matter.
pub fn check_text(target: &Target, text: &str) -> Result<(), String> {
    check(&target.kind, text)
}

fn check(kind: &Kind, text: &str) -> Result<(), String> {
    if text.contains('\0') {
        return Err("has a zero byte, which no text may have".to_string());
    }
    let fits = match kind {
        Kind::Bool => is_bool(text),
        Kind::Int(bytes) => return check_int(*bytes, text),
        Kind::Float(bytes) => return check_float(*bytes, text),
        Kind::Numeric(limits) => return check_numeric(*limits, text),
        Kind::Text(Some(most)) => return check_length(*most, text),
        Kind::Char(most) => return check_length(*most, text.trim_end_matches(' ')),
        Kind::Name if text.len() > 63 => return Err("is longer than 63 bytes".to_string()),
        Kind::Text(None) | Kind::Citext | Kind::Name => true,
        Kind::Date | Kind::Timestamp | Kind::TimestampTz => is_moment(kind, text),
        Kind::Time => dates::clock(text).is_some(),
        Kind::TimeTz => is_time_with_offset(text),
        Kind::Interval => Interval::parse(text).is_some(),
        Kind::Uuid => is_uuid(text),
        Kind::Inet => network(text).is_some(),
        Kind::Cidr => network(text).is_some_and(|(address, prefix)| has_no_host_bits(address, prefix)),
        Kind::Mac => is_mac(text, &[12]),
        Kind::Mac8 => is_mac(text, &[12, 16]),
        Kind::Json => json::is_valid(text),
        Kind::Jsonb => json::is_valid(text) && has_only_characters(text),
        Kind::Bytea => is_bytea(text),
        Kind::Enum(labels) => labels.iter().any(|label| label == text),
        Kind::Array(_) | Kind::Range(_) | Kind::Multirange(_) | Kind::Composite(_) | Kind::Hstore => {
            return check_parts(kind, text).map_err(|refusal| refusal.why);
        }
        Kind::Xml | Kind::Other(_) => true,
    };
    if fits { Ok(()) } else { Err(format!("is not {}", named(kind))) }
}

fn named(kind: &Kind) -> String {
    match kind {
        Kind::Enum(_) => "a label of the enum".to_string(),
        Kind::Int(_) | Kind::Interval | Kind::Inet => format!("an {}", short(kind)),
        _ => format!("a {}", short(kind)),
    }
}

fn short(kind: &Kind) -> String {
    if matches!(kind, Kind::Int(_)) { "integer".to_string() } else { kind.shown() }
}

/// Unique beginnings of the words are taken as well (src/backend/utils/adt/bool.c).
fn is_bool(text: &str) -> bool {
    let word = text.trim().to_ascii_lowercase();
    let begins = |whole: &str, least: usize| word.len() >= least && whole.starts_with(&word);
    matches!(word.as_str(), "0" | "1")
        || begins("true", 1)
        || begins("false", 1)
        || begins("yes", 1)
        || begins("no", 1)
        || begins("on", 2)
        || begins("off", 2)
}

fn check_int(bytes: u8, text: &str) -> Result<(), String> {
    let digits = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let bare = digits.strip_prefix(['-', '+']).unwrap_or(digits);
    if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not an integer".to_string());
    }
    let fits = match bytes {
        2 => digits.parse::<i16>().is_ok(),
        4 => digits.parse::<i32>().is_ok(),
        _ => digits.parse::<i64>().is_ok(),
    };
    if fits { Ok(()) } else { Err(format!("is outside of {}", Kind::Int(bytes).shown())) }
}

fn is_special(text: &str) -> Option<&'static str> {
    let word = text.trim().to_ascii_lowercase();
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(&word);
    match unsigned {
        "infinity" | "inf" => Some("infinity"),
        "nan" if unsigned.len() == word.len() => Some("NaN"),
        _ => None,
    }
}

fn check_float(bytes: u8, text: &str) -> Result<(), String> {
    if is_special(text).is_some() {
        return Ok(());
    }
    let Some(parts) = Parts::parse(text) else { return Err("is not a number".to_string()) };
    let text = text.trim();
    let value: f64 = if bytes == 4 {
        text.parse::<f32>().map(f64::from).unwrap_or(f64::NAN)
    } else {
        text.parse().unwrap_or(f64::NAN)
    };
    let is_zero = parts.whole.is_empty() && parts.fraction.bytes().all(|digit| digit == b'0');
    // A number that is too small for the type is an error to PostgreSQL as well, and no zero.
    if value.is_finite() && (is_zero || value != 0.0) {
        Ok(())
    } else {
        Err(format!("is outside of {}", Kind::Float(bytes).shown()))
    }
}

/// Digits that `numeric` holds before the point, and behind it (docs: "Numeric Types").
const MOST_BEFORE_POINT: i64 = 131_072;
const MOST_BEHIND_POINT: i64 = 16_383;

/// Digits beyond the scale are rounded; too many before the point are refused
/// (docs: "Arbitrary Precision Numbers").
fn check_numeric(limits: Option<(u16, i16)>, text: &str) -> Result<(), String> {
    if let Some(special) = is_special(text) {
        return match limits {
            Some(_) if special == "infinity" => Err("is infinite, which a precision refuses".to_string()),
            _ => Ok(()),
        };
    }
    let Some(parts) = Parts::parse(text) else { return Err("is not a number".to_string()) };
    let digits: Vec<u8> = parts.whole.bytes().chain(parts.fraction.bytes()).collect();
    let point = i64::try_from(parts.whole.len()).unwrap_or(i64::MAX) + i64::from(parts.exponent);
    let leading = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    let significant = digits.get(leading..).unwrap_or_default();
    if significant.is_empty() {
        return Ok(());
    }
    // The number is 0.d1d2d3… times 10^magnitude.
    let magnitude = point - i64::try_from(leading).unwrap_or(i64::MAX);
    let Some((precision, scale)) = limits else {
        let behind_point = i64::try_from(digits.len()).unwrap_or(i64::MAX) - point;
        let fits = magnitude <= MOST_BEFORE_POINT && behind_point <= MOST_BEHIND_POINT;
        return if fits { Ok(()) } else { Err("has more digits than numeric holds".to_string()) };
    };
    let most = i64::from(precision) - i64::from(scale);
    // Rounding may carry into one more digit where all that are kept are nines.
    let kept = usize::try_from((magnitude + i64::from(scale)).max(0)).unwrap_or(usize::MAX);
    let rounds_up = significant.get(kept).is_some_and(|digit| *digit >= b'5')
        && magnitude + i64::from(scale) >= 0
        && significant.iter().take(kept).all(|digit| *digit == b'9');
    let magnitude = magnitude + i64::from(rounds_up);
    let rounds_to_zero = magnitude + i64::from(scale) <= 0;
    if magnitude <= most || rounds_to_zero {
        Ok(())
    } else {
        Err(format!("is outside of {}", Kind::Numeric(limits).shown()))
    }
}

fn check_length(most: u32, text: &str) -> Result<(), String> {
    // Most texts are short in bytes already.
    if text.len() <= most as usize || text.chars().count() <= most as usize {
        return Ok(());
    }
    Err(format!("is longer than {most} characters"))
}

fn is_moment(kind: &Kind, text: &str) -> bool {
    let (Some(shape), Some(read)) = (Shape::of(kind), dates::parse(text)) else { return false };
    read.time.moment().is_none_or(|moment| shape.holds(moment))
}

fn is_time_with_offset(text: &str) -> bool {
    let at = text.find(['+', '-', 'Z']).unwrap_or(text.len());
    let (clock, offset) = text.split_at_checked(at).unwrap_or((text, ""));
    dates::clock(clock.trim_end()).is_some() && (offset.is_empty() || dates::offset(offset).is_some())
}

/// 32 hexadecimal digits; a hyphen after any group of four, braces around all.
fn is_uuid(text: &str) -> bool {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let mut digits = 0;
    let mut last_is_hyphen = true;
    for byte in inner.bytes() {
        if byte == b'-' && !last_is_hyphen && digits % 4 == 0 {
            last_is_hyphen = true;
        } else if byte.is_ascii_hexdigit() {
            digits += 1;
            last_is_hyphen = false;
        } else {
            return false;
        }
    }
    digits == 32 && !last_is_hyphen
}

/// An address with the length of its prefix: all of its bits where none is written.
pub(crate) fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => bits,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
    };
    (prefix <= bits).then_some((address, prefix))
}

fn has_no_host_bits(address: IpAddr, prefix: u8) -> bool {
    let trailing = match address {
        IpAddr::V4(address) => 32 - address.to_bits().trailing_zeros(),
        IpAddr::V6(address) => 128 - address.to_bits().trailing_zeros(),
    };
    trailing <= u32::from(prefix)
}

/// The digits in pairs with `:` or `-`, in fours with `.`, in two halves with `:` or `-`, or bare.
fn is_mac(text: &str, lengths: &[usize]) -> bool {
    let text = text.trim();
    let separator = text.bytes().find(|byte| !byte.is_ascii_hexdigit());
    let groups: Vec<&str> = match separator {
        None => vec![text],
        Some(byte @ (b':' | b'-' | b'.')) => text.split(char::from(byte)).collect(),
        Some(_) => return false,
    };
    let size = groups.first().map_or(0, |group| group.len());
    let digits: usize = groups.iter().map(|group| group.len()).sum();
    let is_known = match separator {
        None => true,
        Some(b'.') => size == 4,
        Some(b'-') => matches!(size, 2 | 4 | 6 | 8),
        Some(_) => matches!(size, 2 | 6 | 8),
    };
    is_known
        && lengths.contains(&digits)
        && groups.iter().all(|group| group.len() == size && group.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `jsonb` holds neither the character that `\u0000` is nor half of a surrogate pair.
fn has_only_characters(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('\\') {
        let Some(digits) = after.strip_prefix('u') else {
            let mut chars = after.chars();
            chars.next();
            rest = chars.as_str();
            continue;
        };
        let (unit, behind) = unit(digits);
        rest = behind;
        match unit {
            0 | 0xdc00..0xe000 => return false,
            0xd800..0xdc00 => {
                let Some(low) = behind.strip_prefix("\\u") else { return false };
                let (low, behind) = self::unit(low);
                if !(0xdc00..0xe000).contains(&low) {
                    return false;
                }
                rest = behind;
            }
            _ => {}
        }
    }
    true
}

/// The number of four hexadecimal digits, and what is behind them.
fn unit(text: &str) -> (u16, &str) {
    let (digits, rest) = text.split_at_checked(4).unwrap_or((text, ""));
    (u16::from_str_radix(digits, 16).unwrap_or(0), rest)
}

fn is_bytea(text: &str) -> bool {
    if let Some(hex) = text.strip_prefix("\\x") {
        return hex.len().is_multiple_of(2) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            continue;
        }
        match bytes.next() {
            Some(b'\\') => {}
            Some(b'0'..=b'3') => {
                let mut octal = || bytes.next().is_some_and(|byte| (b'0'..=b'7').contains(&byte));
                if !octal() || !octal() {
                    return false;
                }
            }
            _ => return false,
        }
    }
    true
}

fn check_parts(kind: &Kind, text: &str) -> Result<(), Refusal> {
    let inner = |kind: &Kind, value: Option<&str>, what: &str| match value {
        Some(value) => {
            check(kind, value).map(|()| true).map_err(|why| Refusal::new(format!("has {what} that {why}")))
        }
        None => Ok(false),
    };
    let mut out = String::new();
    match kind {
        Kind::Array(of) => array::each(text, &mut |value, _| inner(of, value, "an element"), &mut out),
        Kind::Range(of) | Kind::Multirange(of) => {
            let mut bounds = |bounds: range::Bounds, _: &mut String| {
                inner(of, bounds.lower.as_deref(), "a bound")?;
                inner(of, bounds.upper.as_deref(), "a bound")?;
                match (bounds.lower.as_deref(), bounds.upper.as_deref()) {
                    (Some(lower), Some(upper)) if order(of, lower, upper) == Some(Ordering::Greater) => {
                        Err(Refusal::new("has a lower bound above the upper one"))
                    }
                    _ => Ok(()),
                }
            };
            if matches!(kind, Kind::Range(_)) {
                range::one(text, &mut bounds, &mut out)
            } else {
                range::many(text, &mut bounds, &mut out)
            }
        }
        Kind::Composite(attributes) => {
            let names = attributes.iter().map(|(name, _)| name.as_str());
            let mut kinds = attributes.iter().map(|(_, kind)| kind);
            let mut of = |_: &str, value: Option<&str>, _: &mut String| match kinds.next() {
                Some(kind) => inner(kind, value, "an attribute"),
                None => Ok(false),
            };
            composite::each(text, names, &mut of, &mut out)
        }
        _ => hstore::each(text, &mut |_, value, _| Ok(value.is_some()), &mut out),
    }
}

#[cfg(test)]
mod tests;
