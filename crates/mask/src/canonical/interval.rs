//! Intervals, as they are compared.

use super::clock;
use super::scan::Scan;

const DAY: i128 = 86_400_000_000;

/// Microseconds, with months of 30 days and days of 24 hours (PostgreSQL,
/// `src/backend/utils/adt/timestamp.c`, `interval_cmp_value`). Infinity (from PostgreSQL 17 on) is
/// the largest number, -infinity the least.
///
/// The style is `postgres`: `1 year 2 mons -3 days +04:05:06.7`; units may also be written in full,
/// and weeks, hours, minutes and seconds as units.
pub(super) fn comparison_value(text: &str) -> Option<i128> {
    match text {
        "infinity" => return Some(i128::MAX),
        "-infinity" => return Some(i128::MIN),
        _ => {}
    }
    let mut total = 0;
    let mut words = text.split_ascii_whitespace().peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        let mut scan = Scan::new(word);
        let is_negative = scan.eat(b'-');
        if !is_negative {
            scan.eat(b'+');
        }
        let value = if word.contains(':') {
            i128::from(clock::hours(&mut scan)?)
        } else {
            i128::from(scan.number()?) * unit(words.next()?)?
        };
        if !scan.is_empty() {
            return None;
        }
        total += if is_negative { -value } else { value };
    }
    Some(total)
}

fn unit(name: &str) -> Option<i128> {
    Some(match name.strip_suffix('s').unwrap_or(name) {
        "year" => 360 * DAY,
        "mon" | "month" => 30 * DAY,
        "week" => 7 * DAY,
        "day" => DAY,
        "hour" => 3_600_000_000,
        "min" | "minute" => 60_000_000,
        "sec" | "second" => 1_000_000,
        _ => return None,
    })
}
