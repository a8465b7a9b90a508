//! Parts of the calendar that a date is cut to.

use super::{MICROS_PER_DAY, Moment, Shape};

/// A part of the calendar, from the longest to the shortest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// From the first of January on.
    Year,
    /// From the first of a month on.
    Month,
    /// From midnight on.
    Day,
    /// 60 minutes.
    Hour,
    /// 60 seconds.
    Minute,
    /// 1,000 milliseconds.
    Second,
    /// 1,000 microseconds.
    Millisecond,
    /// The least that PostgreSQL keeps.
    Microsecond,
}

impl Unit {
    /// Every name.
    pub const NAMES: &[&str] =
        &["year", "month", "day", "hour", "minute", "second", "millisecond", "microsecond"];

    /// A unit by its name.
    pub fn named(name: &str) -> Option<Unit> {
        Some(match name {
            "year" => Unit::Year,
            "month" => Unit::Month,
            "day" => Unit::Day,
            "hour" => Unit::Hour,
            "minute" => Unit::Minute,
            "second" => Unit::Second,
            "millisecond" => Unit::Millisecond,
            "microsecond" => Unit::Microsecond,
            _ => return None,
        })
    }

    /// The shortest unit that a type keeps.
    pub fn least_of(shape: Shape) -> Unit {
        if shape == Shape::Date { Unit::Day } else { Unit::Microsecond }
    }

    /// How long it is in microseconds, where it is always equally long.
    pub fn micros(self) -> Option<i64> {
        Some(match self {
            Unit::Year | Unit::Month => return None,
            Unit::Day => MICROS_PER_DAY,
            Unit::Hour => 3_600_000_000,
            Unit::Minute => 60_000_000,
            Unit::Second => 1_000_000,
            Unit::Millisecond => 1_000,
            Unit::Microsecond => 1,
        })
    }

    /// The number of the unit that a moment is in, counted through time.
    pub fn index(self, moment: Moment) -> i128 {
        match (self, self.micros()) {
            (Unit::Year, _) => i128::from(moment.calendar().0),
            (_, None) => {
                let (year, month, _) = moment.calendar();
                i128::from(year * 12 + month - 1)
            }
            (Unit::Day, _) => i128::from(moment.days),
            (_, Some(micros)) => moment.since_2000().div_euclid(i128::from(micros)),
        }
    }

    /// The number of the first unit that begins at the moment or after it.
    pub fn index_from(self, moment: Moment) -> i128 {
        let index = self.index(moment);
        if self.start(index) == Some(moment) { index } else { index + 1 }
    }

    /// When a unit begins; None if no type holds it.
    pub fn start(self, index: i128) -> Option<Moment> {
        let moment = match (self, self.micros()) {
            (Unit::Year, _) => day(index, 1)?,
            (_, None) => day(index.div_euclid(12), i64::try_from(index.rem_euclid(12) + 1).ok()?)?,
            (_, Some(micros)) => return Moment::from_2000(index.checked_mul(i128::from(micros))?),
        };
        Shape::Date.holds(moment).then_some(moment)
    }

    /// The moment at which the unit of a moment begins.
    pub fn floor(self, moment: Moment) -> Option<Moment> {
        self.start(self.index(moment))
    }
}

fn day(year: i128, month: i64) -> Option<Moment> {
    let year = i64::try_from(year).ok().filter(|year| year.abs() < 6_000_000)?;
    Moment::of_day(year, month, 1)
}
