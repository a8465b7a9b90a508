//! Dates and times over PostgreSQL's whole range, and their text as PostgreSQL writes it with
//! DateStyle=ISO and TimeZone=UTC.
//!
//! Years go from 4714 BC to 5874897 AD for `date` and to 294276 AD for timestamps
//! (src/include/datatype/timestamp.h), which is more than jiff's -9999 to 9999. The calendar is the
//! Gregorian one at all times, as in PostgreSQL.

mod interval;
mod text;
mod unit;

pub use interval::Interval;
pub use text::{Read, clock, offset, parse, write};
pub use unit::Unit;

use crate::types::Kind;

/// Microseconds of a day.
pub const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Days from 1970-01-01 to 2000-01-01.
pub const DAYS_TO_2000: i64 = 10_957;

/// 4714-11-24 BC, the first day of PostgreSQL's calendar (Julian day 0), in days since 2000-01-01.
const FIRST_DAY: i64 = -2_451_545;

/// The first day that `date` does not hold (`DATE_END_JULIAN`).
const DATE_END: i64 = 2_147_483_494 - 2_451_545;

/// The first day that timestamps do not hold (`TIMESTAMP_END_JULIAN`).
const TIMESTAMP_END: i64 = 109_203_528 - 2_451_545;

/// A point of time, without a time zone or in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Days since 2000-01-01.
    pub days: i64,
    /// Microseconds of the day: from 0 up to [`MICROS_PER_DAY`], without it.
    pub micros: i64,
}

/// A point of time, or one of PostgreSQL's two infinities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Time {
    /// `-infinity`.
    Early,
    /// A moment.
    At(Moment),
    /// `infinity`.
    Late,
}

impl Time {
    /// The moment; None of an infinity.
    pub fn moment(self) -> Option<Moment> {
        match self {
            Time::At(moment) => Some(moment),
            Time::Early | Time::Late => None,
        }
    }
}

/// Which of the three types a point of time is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `2024-02-29`.
    Date,
    /// `2024-02-29 12:00:00`.
    Timestamp,
    /// `2024-02-29 12:00:00+00`.
    TimestampTz,
}

impl Shape {
    /// The shape of a kind; None: it is no point of time.
    pub fn of(kind: &Kind) -> Option<Shape> {
        match kind {
            Kind::Date => Some(Shape::Date),
            Kind::Timestamp => Some(Shape::Timestamp),
            Kind::TimestampTz => Some(Shape::TimestampTz),
            _ => None,
        }
    }

    /// The type holds the moment.
    pub fn holds(self, moment: Moment) -> bool {
        let end = if self == Shape::Date { DATE_END } else { TIMESTAMP_END };
        (FIRST_DAY..end).contains(&moment.days)
    }
}

impl Moment {
    /// Microseconds since 2000-01-01.
    pub fn since_2000(self) -> i128 {
        i128::from(self.days) * i128::from(MICROS_PER_DAY) + i128::from(self.micros)
    }

    /// The moment so many microseconds after 2000-01-01; None if it is out of any type's range.
    pub fn from_2000(micros: i128) -> Option<Moment> {
        let day = i128::from(MICROS_PER_DAY);
        let moment = Moment {
            days: i64::try_from(micros.div_euclid(day)).ok()?,
            micros: i64::try_from(micros.rem_euclid(day)).ok()?,
        };
        Shape::Date.holds(moment).then_some(moment)
    }

    /// Midnight of a day of the calendar; None if there is no such day. Year 0 is 1 BC.
    pub fn of_day(year: i64, month: i64, day: i64) -> Option<Moment> {
        if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
            return None;
        }
        Some(Moment { days: days_of(year, month, day), micros: 0 })
    }

    /// Year (0 is 1 BC), month and day.
    pub fn calendar(self) -> (i64, i64, i64) {
        calendar_of(self.days)
    }

    /// The moment after an interval, as PostgreSQL adds it: months first, where a day that the
    /// month does not have becomes its last, then days, then the time. None if no type holds it.
    pub fn plus(self, interval: Interval) -> Option<Moment> {
        let mut days = self.days;
        if interval.months != 0 {
            let (year, month, day) = self.calendar();
            let months = year.checked_mul(12)?.checked_add(month - 1)?.checked_add(interval.months)?;
            let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
            if year.abs() > 6_000_000 {
                return None;
            }
            days = days_of(year, month, day.min(days_in(year, month)));
        }
        let days = i128::from(days.checked_add(interval.days)?) * i128::from(MICROS_PER_DAY);
        Moment::from_2000(days + i128::from(self.micros) + i128::from(interval.micros))
    }
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 2000-01-01, after `days_from_civil` of Howard Hinnant's "chrono-Compatible Low-Level
/// Date Algorithms": years begin in March, so that the leap day is the last one.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * 146_097 + day_of_era - 719_468 - DAYS_TO_2000
}

/// The inverse of [`days_of`], after `civil_from_days` of the same document.
fn calendar_of(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_2000 + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
