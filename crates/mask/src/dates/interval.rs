//! Intervals: `60 days`, `1 mon 2 days 03:04:05`, `P1Y2M3DT4H`.

use super::text::fraction_micros;

/// A span of time, in the three parts that PostgreSQL keeps apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Months.
    pub months: i64,
    /// Days.
    pub days: i64,
    /// Microseconds.
    pub micros: i64,
}

/// One unit: its names, and what one of it is.
const UNITS: &[(&[&str], Interval)] = &[
    (&["millennium", "millennia", "mil", "mils"], months(12_000)),
    (&["century", "centuries", "cent", "c"], months(1_200)),
    (&["decade", "decades", "dec", "decs"], months(120)),
    (&["year", "years", "yr", "yrs", "y"], months(12)),
    (&["mon", "mons", "month", "months"], months(1)),
    (&["week", "weeks", "w"], days(7)),
    (&["day", "days", "d"], days(1)),
    (&["hour", "hours", "hr", "hrs", "h"], micros(3_600_000_000)),
    (&["minute", "minutes", "min", "mins", "m"], micros(60_000_000)),
    (&["second", "seconds", "sec", "secs", "s"], micros(1_000_000)),
    (&["millisecond", "milliseconds", "msec", "msecs", "ms"], micros(1_000)),
    (&["microsecond", "microseconds", "usec", "usecs", "us"], micros(1)),
];

const fn months(months: i64) -> Interval {
    Interval { months, days: 0, micros: 0 }
}

const fn days(days: i64) -> Interval {
    Interval { months: 0, days, micros: 0 }
}

const fn micros(micros: i64) -> Interval {
    Interval { months: 0, days: 0, micros }
}

impl Interval {
    /// Reads an interval as PostgreSQL writes it (IntervalStyle `postgres`, `postgres_verbose` and
    /// `iso_8601`) and as people write it. Fractions are taken of weeks and of what is shorter.
    pub fn parse(text: &str) -> Option<Interval> {
        let text = text.trim();
        if let Some(iso) = text.strip_prefix('P') {
            return of_iso(iso);
        }
        let lower = text.strip_prefix('@').unwrap_or(text).to_ascii_lowercase();
        let (body, ago) = match lower.strip_suffix(" ago") {
            Some(body) => (body, true),
            None => (lower.as_str(), false),
        };
        let mut sum = Interval::default();
        let mut words = body.split_ascii_whitespace();
        let mut any = false;
        while let Some(word) = words.next() {
            any = true;
            if word.contains(':') {
                sum.micros = sum.micros.checked_add(clock(word)?)?;
                continue;
            }
            let at = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
            let (count, unit) = word.split_at_checked(at)?;
            let unit = if unit.is_empty() { words.next()? } else { unit };
            sum = sum.plus(count, one(unit)?)?;
        }
        let sign = if ago { -1 } else { 1 };
        any.then_some(Interval {
            months: sum.months.checked_mul(sign)?,
            days: sum.days.checked_mul(sign)?,
            micros: sum.micros.checked_mul(sign)?,
        })
    }

    /// How long it is in microseconds, where a month has 30 days and a day 24 hours, as PostgreSQL
    /// compares intervals.
    pub fn length(self) -> i128 {
        let days = i128::from(self.months) * 30 + i128::from(self.days);
        days * i128::from(super::MICROS_PER_DAY) + i128::from(self.micros)
    }

    /// Adds `count` times a unit.
    fn plus(self, count: &str, unit: Interval) -> Option<Interval> {
        let (whole, fraction) = count.split_once('.').unwrap_or((count, ""));
        let negative = whole.starts_with('-');
        let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        let mut part = 0;
        if !fraction.is_empty() {
            // A fraction of a month is not a number of days.
            let unit = if unit.months == 0 { i64::try_from(unit.length()).ok()? } else { return None };
            let millionths = i128::from(fraction_micros(fraction)?) * i128::from(unit) / 1_000_000;
            part = i64::try_from(millionths).ok()? * if negative { -1 } else { 1 };
        }
        Some(Interval {
            months: self.months.checked_add(unit.months.checked_mul(whole)?)?,
            days: self.days.checked_add(unit.days.checked_mul(whole)?)?,
            micros: self.micros.checked_add(unit.micros.checked_mul(whole)?)?.checked_add(part)?,
        })
    }
}

fn one(name: &str) -> Option<Interval> {
    UNITS.iter().find(|(names, _)| names.contains(&name)).map(|(_, unit)| *unit)
}

/// `-03:04:05.5`; hours may be many.
fn clock(word: &str) -> Option<i64> {
    let (sign, word) = match word.strip_prefix('-') {
        Some(word) => (-1, word),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let mut parts = word.split(':');
    let whole = |text: &str| -> Option<i64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse().ok() } else { None }
    };
    let (hours, minutes) = (whole(parts.next()?)?, whole(parts.next()?)?);
    let (seconds, part) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (whole(seconds)?, 0),
            Some((seconds, fraction)) => (whole(seconds)?, fraction_micros(fraction)?),
        },
    };
    if parts.next().is_some() || minutes > 59 || seconds > 60 {
        return None;
    }
    let seconds = hours.checked_mul(3_600)?.checked_add(minutes * 60 + seconds)?;
    seconds.checked_mul(1_000_000)?.checked_add(part)?.checked_mul(sign)
}

/// ISO 8601, after the P: `1Y2M3DT4H5M6S`, where M is months before the T and minutes after it.
fn of_iso(text: &str) -> Option<Interval> {
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    let mut sum = Interval::default();
    let mut any = false;
    for (part, is_time) in [(date, false), (time, true)] {
        let mut rest = part;
        while !rest.is_empty() {
            let at = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let (count, after) = rest.split_at_checked(at)?;
            let (letter, after) = after.split_at_checked(1)?;
            let unit = match (letter, is_time) {
                ("Y", false) => "year",
                ("M", false) => "month",
                ("W", false) => "week",
                ("D", false) => "day",
                ("H", true) => "hour",
                ("M", true) => "minute",
                ("S", true) => "second",
                _ => return None,
            };
            sum = sum.plus(count, one(unit)?)?;
            (rest, any) = (after, true);
        }
    }
    any.then_some(sum)
}
