//! Times as people read and write them: in the time zone of this host, or in UTC with `--utc`.
//!
//! JSON keeps RFC 3339 in UTC, and so does the repository.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::values::duration;

/// Set once, before the first time is shown.
static UTC: AtomicBool = AtomicBool::new(false);

/// From now on times are shown, and read, in UTC.
pub fn use_utc() {
    UTC.store(true, Ordering::Relaxed);
}

/// The zone of the user: that of this host, or UTC where it is wished or none is known.
pub fn zone() -> TimeZone {
    match UTC.load(Ordering::Relaxed) {
        true => TimeZone::UTC,
        false => TimeZone::try_system().unwrap_or(TimeZone::UTC),
    }
}

/// `2026-11-30 14:24:42 CET`.
pub fn shown(time: Timestamp) -> String {
    time.to_zoned(zone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// `2026-11-30 14:24 CET`: where seconds say nothing.
pub fn to_the_minute(time: Timestamp) -> String {
    time.to_zoned(zone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
}

/// A time that a report holds as RFC 3339, as people read it. Any other text stays as it is.
pub fn of_report(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_string(), shown)
}

/// The same to the microsecond.
pub fn of_report_exactly(text: &str) -> String {
    text.parse::<Timestamp>().map_or_else(
        |_| text.to_string(),
        |time| time.to_zoned(zone()).strftime("%Y-%m-%d %H:%M:%S%.6f %Z").to_string(),
    )
}

/// The same to the minute.
pub fn of_report_to_the_minute(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_string(), to_the_minute)
}

/// `in 23 h`, or `now`.
pub fn until(time: Timestamp) -> String {
    let left = Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default();
    if left < Duration::from_secs(1) { "now".to_string() } else { format!("in {}", span(left)) }
}

/// `42 s`, `12 min`, `23 h`, `5 days`: one unit, rounded down.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `3 d 4 h`, `5 h 12 min`, `40 min`, `12 s`: how old something is.
pub fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let and = |rest: u64, unit: &str| if rest == 0 { String::new() } else { format!(" {rest} {unit}") };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..172_800 => format!("{} h{}", seconds / 3600, and(minutes, "min")),
        _ => format!("{days} d{}", and(hours, "h")),
    }
}

/// A time as it was typed. What it means depends on the zone, and on which end of a day is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// With an offset, or as an age.
    Exact(Timestamp),
    /// Date and time of the user's zone.
    Local(DateTime),
    /// A whole day of the user's zone.
    Day(Date),
}

impl Moment {
    /// The time itself; of a day its beginning.
    pub fn start(self) -> Timestamp {
        match self {
            Moment::Exact(time) => time,
            Moment::Local(time) => local(time),
            Moment::Day(day) => local(day.to_datetime(jiff::civil::Time::midnight())),
        }
    }

    /// The time itself; of a day its last nanosecond.
    pub fn end(self) -> Timestamp {
        match self {
            Moment::Day(day) => local(day.to_datetime(jiff::civil::Time::MAX)),
            _ => self.start(),
        }
    }
}

/// A time of the user's zone. One that a change of clocks skips is taken as the zone was before it;
/// of one that comes twice, the first is meant (RFC 5545, as jiff does it).
fn local(time: DateTime) -> Timestamp {
    match time.to_zoned(zone()) {
        Ok(zoned) => zoned.timestamp(),
        // The year -9999 or 9999.
        Err(_) if time.year() < 0 => Timestamp::MIN,
        Err(_) => Timestamp::MAX,
    }
}

/// `2026-11-30`, `2026-11-30 14:24`, `2026-11-30T14:24:42Z`, `7d` (so long ago).
pub fn moment(text: &str) -> Result<Moment, String> {
    let text = text.trim();
    if let Ok(ago) = duration(text) {
        return Timestamp::now().checked_sub(ago).map(Moment::Exact).map_err(|error| error.to_string());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(Moment::Exact(time));
    }
    let is_date = text.len() == "2026-11-30".len();
    let read = match is_date {
        true => text.parse().ok().map(Moment::Day),
        // A `Z` or an offset was read above: behind a civil time nothing may follow.
        false => text.parse().ok().filter(|_| !text.contains(['[', 'Z', 'z', '+'])).map(Moment::Local),
    };
    read.ok_or_else(|| {
        format!(
            "invalid time {text:?}: expected a date like 2026-11-01, a time like \"2026-11-01 14:30\" or 2026-11-01T14:30:00Z, or \
             how long ago, like 7d or 36h"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(moment("2026-11-01T14:30:00Z"), Ok(Moment::Exact(at("2026-11-01T14:30:00Z"))));
        assert_eq!(moment("2026-11-01T14:30:00+02:00"), Ok(Moment::Exact(at("2026-11-01T12:30:00Z"))));
        assert_eq!(moment("2026-11-01"), Ok(Moment::Day(jiff::civil::date(2026, 11, 1))));
        for local in ["2026-11-01 14:30", "2026-11-01T14:30", "2026-11-01 14:30:00"] {
            assert_eq!(
                moment(local),
                Ok(Moment::Local(jiff::civil::date(2026, 11, 1).at(14, 30, 0, 0))),
                "{local}"
            );
        }
        assert!(matches!(moment("36h"), Ok(Moment::Exact(_))));
        for bad in ["", "yesterday", "2026-13-01", "2026-11-31", "14:30", "2026-11-01 25:00", "2026-11"] {
            assert!(moment(bad).is_err(), "{bad}: {:?}", moment(bad));
        }
    }

    #[test]
    fn a_day_has_a_beginning_and_an_end() {
        let day = moment("2026-11-01").unwrap();
        let long = day.end().duration_since(day.start());
        assert!((23..=25).contains(&long.as_hours()), "{long:?}");
        let exact = moment("2026-11-01T14:30:00Z").unwrap();
        assert_eq!(exact.start(), exact.end());
    }

    #[test]
    fn spans_have_one_unit() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h"),
            (85_000, "23 h"),
            (259_200, "3 days"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn what_is_no_time_stays() {
        assert_eq!(of_report(""), "");
        assert!(of_report("2026-11-01T14:30:00.123456789Z").starts_with("2026-1"));
    }

    #[test]
    fn ages_have_two_units_at_most() {
        for (seconds, text) in [
            (59, "59 s"),
            (3599, "59 min"),
            (26 * 3600, "26 h"),
            (31 * 3600 + 720, "31 h 12 min"),
            (8 * 86_400, "8 d"),
            (50 * 3600, "2 d 2 h"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
