//! Dates and times by their values, in the form in which PostgreSQL writes them with
//! `DateStyle = ISO`: microseconds since 1970, in 128 bits, since its dates go up to the year
//! 5,874,897.

const DAY: i128 = 86_400_000_000;

/// `infinity`.
const INFINITE: i128 = i128::MAX;

/// `2020-02-29`, `0044-03-15 BC`, `infinity`.
pub(super) fn date(text: &str) -> Option<i128> {
    infinite(text).or_else(|| {
        let (text, before_christ) = era(text);
        days(text, before_christ).map(|days| days * DAY)
    })
}

/// `2020-02-29 12:30:00.5`; a date alone is its midnight.
pub(super) fn timestamp(text: &str) -> Option<i128> {
    infinite(text).or_else(|| {
        let (text, before_christ) = era(text);
        match text.split_once([' ', 'T']) {
            Some((date, time)) => Some(days(date, before_christ)? * DAY + of_day(time)?),
            None => Some(days(text, before_christ)? * DAY),
        }
    })
}

/// `2020-02-29 12:30:00.5+01`: the offset must be there.
pub(super) fn timestamptz(text: &str) -> Option<i128> {
    infinite(text).or_else(|| {
        let (text, before_christ) = era(text);
        let (date, time) = text.split_once([' ', 'T'])?;
        let (time, offset) = match time.strip_suffix(['Z', 'z']) {
            Some(time) => (time, 0),
            None => {
                let at = time.rfind(['+', '-'])?;
                let (time, offset) = (time.get(..at)?, time.get(at..)?);
                (time, self::offset(offset)?)
            }
        };
        Some(days(date, before_christ)? * DAY + of_day(time)? - offset)
    })
}

/// `12:30:00.5`: microseconds since midnight.
pub(super) fn time(text: &str) -> Option<i128> {
    of_day(text)
}

fn infinite(text: &str) -> Option<i128> {
    match text {
        "infinity" => Some(INFINITE),
        "-infinity" => Some(-INFINITE),
        _ => None,
    }
}

fn era(text: &str) -> (&str, bool) {
    match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    }
}

fn digits(text: &str, least: usize, most: usize) -> Option<i128> {
    let fits = (least..=most).contains(&text.len()) && text.bytes().all(|sign| sign.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// Days since 1970-01-01 in the Gregorian calendar that goes on before 1582, as PostgreSQL's does.
/// Algorithm: days_from_civil of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days(text: &str, before_christ: bool) -> Option<i128> {
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let (year, month, day) = (digits(year, 4, 7)?, digits(month, 2, 2)?, digits(day, 2, 2)?);
    // There is no year 0: 1 BC comes before 1.
    let year = if before_christ { 1 - year } else { year };
    let is_leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i128::from(is_leap),
        _ => 31,
    };
    if text.starts_with("0000") || !(1..=12).contains(&month) || !(1..=last).contains(&day) {
        return None;
    }
    let year = year - i128::from(month <= 2);
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(cycle * 146_097 + year * 365 + year / 4 - year / 100 + day - 719_468)
}

fn of_day(text: &str) -> Option<i128> {
    let mut parts = text.split(':');
    let (hour, minute) = (digits(parts.next()?, 2, 2)?, digits(parts.next()?, 2, 2)?);
    let seconds = parts.next().unwrap_or("00");
    if parts.next().is_some() {
        return None;
    }
    let (second, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let (second, part) = (digits(second, 2, 2)?, digits(fraction, 1, 6)?);
    let micro = part * 10_i128.pow(6 - fraction.len() as u32);
    let moment = ((hour * 60 + minute) * 60 + second) * 1_000_000 + micro;
    // 24:00:00 is the end of the day.
    (minute < 60 && second < 60 && moment <= DAY).then_some(moment)
}

/// `+01`, `-03:30`, `+00:53:28`, in microseconds.
fn offset(text: &str) -> Option<i128> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text.strip_prefix('+')?),
    };
    let mut parts = text.split(':');
    let hour = digits(parts.next()?, 2, 2)?;
    let minute = parts.next().map_or(Some(0), |part| digits(part, 2, 2))?;
    let second = parts.next().map_or(Some(0), |part| digits(part, 2, 2))?;
    let fits = parts.next().is_none() && hour < 16 && minute < 60 && second < 60;
    fits.then_some(sign * ((hour * 60 + minute) * 60 + second) * 1_000_000)
}
