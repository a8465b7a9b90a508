//! The text form of dates and timestamps (docs: "Date/Time Output", style ISO).

use std::fmt::Write;

use super::{MICROS_PER_DAY, Moment, Shape, Time};

/// What a text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The point of time; with an offset, in UTC.
    pub time: Time,
    /// It has a time of day.
    pub has_clock: bool,
    /// It has an offset from UTC.
    pub has_offset: bool,
}

/// Reads `2024-02-29`, `2024-02-29 12:00:00.5`, the same with `T`, with an offset (`+02`,
/// `-03:30`, `Z`), with ` BC`, and the infinities. None: it is none of these, or there is no such
/// day.
pub fn parse(text: &str) -> Option<Read> {
    let text = text.trim();
    let infinite = |time| Some(Read { time, has_clock: false, has_offset: false });
    match text {
        "infinity" => return infinite(Time::Late),
        "-infinity" => return infinite(Time::Early),
        _ => {}
    }
    let (text, before_christ) = match text.strip_suffix("BC") {
        Some(text) => (text.trim_end(), true),
        None => (text, false),
    };
    let (year, rest) = text.split_once('-')?;
    let (month, rest) = rest.split_once('-')?;
    let (day, rest) = rest.split_at_checked(2)?;
    if !(4..=7).contains(&year.len()) || month.len() != 2 {
        return None;
    }
    let (year, month, day) = (number(year)?, number(month)?, number(day)?);
    if year == 0 {
        return None;
    }
    let year = if before_christ { 1 - year } else { year };
    let midnight = Moment::of_day(year, month, day)?;
    if rest.is_empty() {
        return Some(Read { time: Time::At(midnight), has_clock: false, has_offset: false });
    }
    let rest = rest.strip_prefix([' ', 'T'])?;
    let at = rest.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(rest.len());
    let (clock_text, offset_text) = rest.split_at_checked(at)?;
    let micros = clock(clock_text)?;
    let offset_text = offset_text.trim_start();
    let offset = if offset_text.is_empty() { None } else { Some(offset(offset_text)?) };
    let total = midnight.since_2000() + i128::from(micros) - i128::from(offset.unwrap_or(0)) * 1_000_000;
    let time = Time::At(Moment::from_2000(total)?);
    Some(Read { time, has_clock: true, has_offset: offset.is_some() })
}

/// The microseconds of a time of day: `12:00`, `12:00:30`, `12:00:30.25`. 24:00:00 and a second of
/// 60 are taken, as PostgreSQL takes them.
pub fn clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute) = (two_digits(parts.next()?)?, two_digits(parts.next()?)?);
    let (second, micros) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (two_digits(seconds)?, 0),
            Some((seconds, fraction)) => (two_digits(seconds)?, fraction_micros(fraction)?),
        },
    };
    if parts.next().is_some() || minute > 59 || second > 60 {
        return None;
    }
    let total = (hour * 3_600 + minute * 60 + second) * 1_000_000 + micros;
    (total <= MICROS_PER_DAY).then_some(total)
}

/// Seconds east of UTC. PostgreSQL takes less than 16 hours.
pub fn offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+')?),
    };
    let seconds = match digits.len() {
        4 if !digits.contains(':') => {
            let (hours, minutes) = digits.split_at_checked(2)?;
            two_digits(hours)? * 3_600 + sixtieth(minutes)? * 60
        }
        _ => {
            let mut parts = digits.split(':');
            let hours = two_digits(parts.next()?)? * 3_600;
            let minutes = parts.next().map_or(Some(0), sixtieth)? * 60;
            let seconds = parts.next().map_or(Some(0), sixtieth)?;
            if parts.next().is_some() {
                return None;
            }
            hours + minutes + seconds
        }
    };
    (seconds < 16 * 3_600).then_some(sign * seconds)
}

fn number(digits: &str) -> Option<i64> {
    let only_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if only_digits { digits.parse().ok() } else { None }
}

fn two_digits(text: &str) -> Option<i64> {
    if text.len() == 2 { number(text) } else { None }
}

fn sixtieth(text: &str) -> Option<i64> {
    two_digits(text).filter(|value| *value < 60)
}

/// Microseconds of the digits after the point; the seventh digit rounds.
pub(super) fn fraction_micros(digits: &str) -> Option<i64> {
    let mut micros = 0;
    let mut scale = 100_000;
    for (at, byte) in digits.bytes().enumerate() {
        if !byte.is_ascii_digit() {
            return None;
        }
        let digit = i64::from(byte - b'0');
        if at < 6 {
            micros += digit * scale;
            scale /= 10;
        } else if at == 6 && digit >= 5 {
            micros += 1;
        }
    }
    (!digits.is_empty()).then_some(micros)
}

/// Writes a point of time as PostgreSQL does.
pub fn write(shape: Shape, time: Time, out: &mut String) {
    let moment = match time {
        Time::Early => return out.push_str("-infinity"),
        Time::Late => return out.push_str("infinity"),
        Time::At(moment) => moment,
    };
    let (year, month, day) = moment.calendar();
    let shown = if year > 0 { year } else { 1 - year };
    // Writing into a String cannot fail.
    let _ = write!(out, "{shown:04}-{month:02}-{day:02}");
    if shape != Shape::Date {
        let seconds = moment.micros / 1_000_000;
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let _ = write!(out, " {hour:02}:{minute:02}:{second:02}");
        let micros = moment.micros % 1_000_000;
        if micros != 0 {
            let _ = write!(out, ".{micros:06}");
            out.truncate(out.trim_end_matches('0').len());
        }
    }
    if shape == Shape::TimestampTz {
        out.push_str("+00");
    }
    if year <= 0 {
        out.push_str(" BC");
    }
}
