//! Dates and times in ISO style, as microseconds.

use super::scan::Scan;

const SECOND: i64 = 1_000_000;
const DAY: i128 = 86_400 * SECOND as i128;

/// Microseconds from 1970 to a date or timestamp; `with_zone`: in UTC, and the zone must be there.
/// Infinity is the largest number, -infinity the least.
///
/// 128 bits: dates reach the year 5,874,897, which timestamps do not.
pub(super) fn timestamp(text: &str, with_zone: bool) -> Option<i128> {
    match text {
        "infinity" => return Some(i128::MAX),
        "-infinity" => return Some(i128::MIN),
        _ => {}
    }
    let (text, is_before_christ) = match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let mut scan = Scan::new(text);
    let year = scan.number().filter(|year| (1..10_000_000).contains(year))?;
    // There is no year 0: 1 BC is the year before 1.
    let year = if is_before_christ { 1 - year } else { year };
    let month = scan.eat(b'-').then(|| scan.number()).flatten().filter(|month| (1..=12).contains(month))?;
    let day = scan.eat(b'-').then(|| scan.number()).flatten()?;
    if !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let mut micros = i128::from(days(year, month, day)) * DAY;
    if !scan.is_empty() {
        if !scan.eat(b' ') && !scan.eat(b'T') {
            return None;
        }
        micros += i128::from(time_of_day(&mut scan)?);
        if with_zone {
            micros -= i128::from(zone(&mut scan)?) * i128::from(SECOND);
        }
    } else if with_zone {
        return None;
    }
    scan.is_empty().then_some(micros)
}

/// Microseconds from midnight.
pub(super) fn time(text: &str) -> Option<i64> {
    let mut scan = Scan::new(text);
    let time = time_of_day(&mut scan)?;
    scan.is_empty().then_some(time)
}

/// Microseconds from midnight, and seconds east of UTC.
pub(super) fn time_with_zone(text: &str) -> Option<(i64, i64)> {
    let mut scan = Scan::new(text);
    let time = time_of_day(&mut scan)?;
    let zone = zone(&mut scan)?;
    scan.is_empty().then_some((time, zone))
}

/// `04:05:06.7`, `04:05`; up to `24:00:00`.
fn time_of_day(scan: &mut Scan<'_>) -> Option<i64> {
    let micros = hours(scan)?;
    (micros <= 24 * 3600 * SECOND).then_some(micros)
}

/// `04:05:06.7`, `100:05`: hours of any number.
pub(super) fn hours(scan: &mut Scan<'_>) -> Option<i64> {
    let hours = scan.number()?;
    let minutes = scan.eat(b':').then(|| scan.number()).flatten().filter(|minutes| *minutes < 60)?;
    let mut micros = hours.checked_mul(3600)?.checked_add(minutes * 60)?.checked_mul(SECOND)?;
    if scan.eat(b':') {
        // A leap second is written as 60.
        let seconds = scan.number().filter(|seconds| *seconds <= 60)?;
        micros = micros.checked_add(seconds * SECOND)?;
        if scan.eat(b'.') {
            micros = micros.checked_add(scan.millionths()?)?;
        }
    }
    Some(micros)
}

/// `+05`, `-05:30`, `+05:30:21` or `Z`: seconds east of UTC.
fn zone(scan: &mut Scan<'_>) -> Option<i64> {
    let sign = match scan.next()? {
        b'+' => 1,
        b'-' => -1,
        b'Z' => return Some(0),
        _ => return None,
    };
    let mut seconds = scan.number().filter(|hours| *hours < 24)? * 3600;
    for unit in [60, 1] {
        if scan.eat(b':') {
            seconds += scan.number().filter(|part| *part < 60)? * unit;
        }
    }
    Some(sign * seconds)
}

/// Days from 1970-01-01 in the Gregorian calendar, also before its time (Richards, "Mapping Time",
/// 1998, chapter 25, with years that begin in March so that the leap day is the last).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) => 29,
        2 => 28,
        _ => 31,
    }
}
