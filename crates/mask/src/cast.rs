//! Casts of dynamic parameters: what a column's text becomes before a parameter reads it.

use crate::dates::{self, DAYS_TO_2000, MICROS_PER_DAY, Moment, Shape, Time};
use crate::operand::Cast;
use crate::types::Decimal;

/// Nanoseconds of what epochs are counted in.
const NANO: i128 = 1;
const MICRO: i128 = 1_000;
const MILLI: i128 = 1_000_000;
const SEC: i128 = 1_000_000_000;

/// Nanoseconds from 1970-01-01 to 2000-01-01.
const TO_2000: i128 = DAYS_TO_2000 as i128 * MICROS_PER_DAY as i128 * MICRO;

impl Cast {
    /// The text after the cast; None if it cannot be cast. Epochs are counted from 1970-01-01 UTC;
    /// a timestamp without a time zone counts as UTC. What is shorter than the unit is cut off.
    pub fn apply(self, text: &str) -> Option<String> {
        match self {
            Cast::UnixNanoToDate => time_of(text, NANO, Shape::Date),
            Cast::UnixMicroToDate => time_of(text, MICRO, Shape::Date),
            Cast::UnixMilliToDate => time_of(text, MILLI, Shape::Date),
            Cast::UnixSecToDate => time_of(text, SEC, Shape::Date),
            Cast::UnixNanoToTimestamp => time_of(text, NANO, Shape::Timestamp),
            Cast::UnixMicroToTimestamp => time_of(text, MICRO, Shape::Timestamp),
            Cast::UnixMilliToTimestamp => time_of(text, MILLI, Shape::Timestamp),
            Cast::UnixSecToTimestamp => time_of(text, SEC, Shape::Timestamp),
            Cast::UnixNanoToTimestampTz => time_of(text, NANO, Shape::TimestampTz),
            Cast::UnixMicroToTimestampTz => time_of(text, MICRO, Shape::TimestampTz),
            Cast::UnixMilliToTimestampTz => time_of(text, MILLI, Shape::TimestampTz),
            Cast::UnixSecToTimestampTz => time_of(text, SEC, Shape::TimestampTz),
            Cast::DateToUnixNano | Cast::TimestampToUnixNano | Cast::TimestampTzToUnixNano => {
                epoch_of(text, NANO)
            }
            Cast::DateToUnixMicro | Cast::TimestampToUnixMicro | Cast::TimestampTzToUnixMicro => {
                epoch_of(text, MICRO)
            }
            Cast::DateToUnixMilli | Cast::TimestampToUnixMilli | Cast::TimestampTzToUnixMilli => {
                epoch_of(text, MILLI)
            }
            Cast::DateToUnixSec | Cast::TimestampToUnixSec | Cast::TimestampTzToUnixSec => {
                epoch_of(text, SEC)
            }
            Cast::FloatToInt => int_of_float(text),
            Cast::IntToFloat => text.trim().parse::<i64>().ok().map(|value| value.to_string()),
            Cast::IntToBool => {
                let value = text.trim().parse::<i64>().ok()?;
                Some(if value == 0 { "f" } else { "t" }.to_string())
            }
            Cast::BoolToInt => match text {
                "t" | "true" => Some("1".to_string()),
                "f" | "false" => Some("0".to_string()),
                _ => None,
            },
        }
    }
}

/// The point of time of an epoch, as PostgreSQL writes it.
fn time_of(text: &str, unit: i128, shape: Shape) -> Option<String> {
    let count = i128::from(text.trim().parse::<i64>().ok()?);
    let moment = Moment::from_2000((count * unit - TO_2000).div_euclid(MICRO))?;
    let mut out = String::new();
    dates::write(shape, Time::At(moment), &mut out);
    shape.holds(moment).then_some(out)
}

/// The epoch of a point of time; None of infinities and of what `int8` does not hold.
fn epoch_of(text: &str, unit: i128) -> Option<String> {
    let moment = dates::parse(text)?.time.moment()?;
    let count = (moment.since_2000() * MICRO + TO_2000).div_euclid(unit);
    i64::try_from(count).ok().map(|count| count.to_string())
}

/// Cut towards zero.
fn int_of_float(text: &str) -> Option<String> {
    if let Some(decimal) = Decimal::parse(text) {
        let whole = decimal.digits / 10i128.pow(decimal.scale);
        return i64::try_from(whole).ok().map(|whole| whole.to_string());
    }
    let value: f64 = text.trim().parse().ok()?;
    // Above 2^53 an f64 is whole; what Decimal does not hold is out of int8's range or nearly zero.
    (value.abs() < 1.0).then(|| "0".to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_cast_casts() {
        let table = [
            ("UnixNanoToDate", "1709164800999999999", "2024-02-29"),
            ("UnixMicroToDate", "-1", "1969-12-31"),
            ("UnixMilliToDate", "1709164800000", "2024-02-29"),
            ("UnixSecToDate", "0", "1970-01-01"),
            ("UnixNanoToTimestamp", "1500", "1970-01-01 00:00:00.000001"),
            ("UnixMicroToTimestamp", "1500000", "1970-01-01 00:00:01.5"),
            ("UnixMilliToTimestamp", "-1", "1969-12-31 23:59:59.999"),
            ("UnixSecToTimestamp", "1709164800", "2024-02-29 00:00:00"),
            ("UnixNanoToTimestampTz", "0", "1970-01-01 00:00:00+00"),
            ("UnixMicroToTimestampTz", "1", "1970-01-01 00:00:00.000001+00"),
            ("UnixMilliToTimestampTz", "1", "1970-01-01 00:00:00.001+00"),
            ("UnixSecToTimestampTz", "1", "1970-01-01 00:00:01+00"),
            ("DateToUnixNano", "1970-01-02", "86400000000000"),
            ("DateToUnixMicro", "1970-01-02", "86400000000"),
            ("DateToUnixMilli", "1969-12-31", "-86400000"),
            ("DateToUnixSec", "2000-01-01", "946684800"),
            ("TimestampToUnixNano", "1970-01-01 00:00:00.000001", "1000"),
            ("TimestampToUnixMicro", "1970-01-01 00:00:00.000001", "1"),
            ("TimestampToUnixMilli", "1969-12-31 23:59:59.9999", "-1"),
            ("TimestampToUnixSec", "2024-02-29 00:00:00.9", "1709164800"),
            ("TimestampTzToUnixNano", "1970-01-01 01:00:00+01", "0"),
            ("TimestampTzToUnixMicro", "1970-01-01 00:00:01+00", "1000000"),
            ("TimestampTzToUnixMilli", "1970-01-01 00:00:01+00", "1000"),
            ("TimestampTzToUnixSec", "1970-01-01 02:00:00+01", "3600"),
            ("FloatToInt", "-1.9e1", "-19"),
            ("IntToFloat", "42", "42"),
            ("IntToBool", "-3", "t"),
            ("BoolToInt", "f", "0"),
        ];
        assert_eq!(table.len(), Cast::names().len());
        for (name, from, to) in table {
            assert_eq!(Cast::named(name).unwrap().apply(from).as_deref(), Some(to), "{name}");
            assert_eq!(Cast::named(name).unwrap().apply("soon"), None, "{name}");
        }
        assert_eq!(Cast::IntToBool.apply("0").as_deref(), Some("f"));
        assert_eq!(Cast::BoolToInt.apply("t").as_deref(), Some("1"));
        assert_eq!(Cast::FloatToInt.apply("1e-80").as_deref(), Some("0"));
        for text in ["NaN", "Infinity", "1e300", "9223372036854775808"] {
            assert_eq!(Cast::FloatToInt.apply(text), None);
        }
        assert_eq!(Cast::IntToFloat.apply("1.5"), None);
        assert_eq!(Cast::DateToUnixSec.apply("infinity"), None);
        assert_eq!(Cast::DateToUnixNano.apply("5874897-12-31"), None);
        assert_eq!(Cast::UnixSecToTimestamp.apply("9223372036854775807"), None);
    }

    proptest! {
        #[test]
        fn epochs_come_back(seconds in -60_000_000_000i64..60_000_000_000) {
            let there = Cast::UnixSecToTimestamp.apply(&seconds.to_string()).unwrap();
            prop_assert_eq!(Cast::TimestampToUnixSec.apply(&there), Some(seconds.to_string()));
        }
    }
}
