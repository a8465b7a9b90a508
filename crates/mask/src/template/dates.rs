//! Dates and times in templates: texts in PostgreSQL's ISO form, of the years 1 to 9999. What comes
//! out has the form of what came in: a date alone, a timestamp, a timestamp with its offset.

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Span, ToSpan};

use crate::draw::Draw;

/// A date, with a time and an offset as far as the text has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    moment: DateTime,
    has_time: bool,
    offset: String,
}

impl Moment {
    /// Reads a date or timestamp.
    pub fn read(text: &str) -> Option<Moment> {
        let (date, time) = match text.split_once([' ', 'T']) {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let date: Date = date.parse().ok()?;
        let Some(time) = time else {
            return Some(Moment { moment: date.at(0, 0, 0, 0), has_time: false, offset: String::new() });
        };
        let end = time.find(['+', '-', 'Z']).unwrap_or(time.len());
        let (time, offset) = time.split_at(end);
        let time: Time = time.parse().ok()?;
        let offset = if offset == "Z" { "+00" } else { offset };
        Some(Moment { moment: date.to_datetime(time), has_time: true, offset: offset.to_string() })
    }

    /// The offset in seconds.
    fn seconds_of_offset(&self) -> Option<i64> {
        if self.offset.is_empty() {
            return Some(0);
        }
        let (sign, digits) = self.offset.split_at(1);
        let mut seconds = 0;
        for (part, unit) in digits.split(':').zip([3600, 60, 1]) {
            seconds += part.parse::<i64>().ok().filter(|part| (0..60).contains(part))? * unit;
        }
        Some(if sign == "-" { -seconds } else { seconds })
    }

    /// Its text.
    pub fn text(&self) -> String {
        let date = self.moment.date();
        if !self.has_time {
            return date.to_string();
        }
        let time = self.moment.time();
        let micros = time.subsec_nanosecond() / 1000;
        let mut text = format!("{date} {:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
        if micros > 0 {
            text.push_str(format!(".{micros:06}").trim_end_matches('0'));
        }
        text + &self.offset
    }

    /// The beginning of a year, month, day, hour, minute, second, millisecond or microsecond.
    pub fn truncated(&self, part: &str) -> Option<Moment> {
        let (date, time) = (self.moment.date(), self.moment.time());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let (milli, micro) = (time.subsec_nanosecond() / 1_000_000, time.subsec_nanosecond() / 1000);
        let moment = match part {
            "year" => Date::new(date.year(), 1, 1).ok()?.at(0, 0, 0, 0),
            "month" => date.first_of_month().at(0, 0, 0, 0),
            "day" => date.at(0, 0, 0, 0),
            "hour" => date.at(hour, 0, 0, 0),
            "minute" => date.at(hour, minute, 0, 0),
            "second" => date.at(hour, minute, second, 0),
            "millisecond" => date.at(hour, minute, second, milli * 1_000_000),
            "microsecond" => date.at(hour, minute, second, micro * 1000),
            _ => return None,
        };
        Some(Moment { moment, ..self.clone() })
    }

    /// Later by an interval, or earlier by a negative one. Months and years end at a month's last
    /// day.
    pub fn moved(&self, by: Span) -> Option<Moment> {
        Some(Moment { moment: self.moment.checked_add(by).ok()?, ..self.clone() })
    }

    /// By a format of `strftime`.
    pub fn formatted(&self, format: &str) -> Option<String> {
        jiff::fmt::strtime::format(format, self.moment).ok()
    }

    /// Units since 1970 in UTC: without an offset, the text counts as UTC.
    pub fn unix(&self, unit: &str) -> Option<i64> {
        let since = self.moment.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
        let micros = since.as_micros() - i128::from(self.seconds_of_offset()?) * 1_000_000;
        i64::try_from(micros.checked_mul(1000)?.div_euclid(i128::from(nanos(unit)?))).ok()
    }

    /// A timestamp in UTC, without an offset.
    pub fn of_unix(number: i64, unit: &str) -> Option<Moment> {
        let nanos = i128::from(number) * i128::from(nanos(unit)?);
        let span = SignedDuration::new(
            i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?,
            i32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?,
        );
        let moment = DateTime::constant(1970, 1, 1, 0, 0, 0, 0).checked_add(span).ok()?;
        Some(Moment { moment, has_time: true, offset: String::new() })
    }

    /// Something from this one to the other, both included: whole days if this is a date, else
    /// microseconds.
    pub fn between(&self, other: &Moment, draw: &mut Draw) -> Option<Moment> {
        if !self.has_time {
            let days = self.moment.date().until(other.moment.date()).ok()?.get_days();
            return self.moved(draw.between(0, i64::from(days)).days());
        }
        let micros = i64::try_from(other.moment.duration_since(self.moment).as_micros()).ok()?;
        let micros = SignedDuration::from_micros(draw.between(0, micros));
        Some(Moment { moment: self.moment.checked_add(micros).ok()?, ..self.clone() })
    }
}

fn nanos(unit: &str) -> Option<i64> {
    Some(match unit {
        "second" => 1_000_000_000,
        "millisecond" => 1_000_000,
        "microsecond" => 1000,
        "nanosecond" => 1,
        _ => return None,
    })
}

/// `60 days`, `-1 month`, `1 year 2 months 03:00:00`.
pub(super) fn interval(text: &str) -> Option<Span> {
    text.trim().parse().ok()
}
