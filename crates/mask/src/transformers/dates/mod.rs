//! `date`, `epoch`, `shift`.

mod date;
mod epoch;
mod shift;
mod steps;
#[cfg(test)]
mod tests;

use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::types::Kind;

/// This family.
pub const ALL: &[Definition] = &[
    Definition {
        name: "date",
        summary: "A date or timestamp of a range.",
        parameters: &[
            Parameter::new("min", Takes::Value, "", "The earliest one.").required().dynamic(),
            Parameter::new("max", Takes::Value, "", "The latest one.").required().dynamic(),
            Parameter::new(
                "truncate",
                Takes::Word(crate::dates::Unit::NAMES),
                "day of a date, else microsecond",
                "It begins a year, month, day, hour, minute, second, millisecond or microsecond.",
            ),
        ],
        takes: is_time,
        types: "date, timestamp, timestamptz",
        injective: Injective::Bijection,
        greenmask: &["RandomDate"],
        build: date::build,
    },
    Definition {
        name: "epoch",
        summary: "A point of time of a range, as a number since 1970-01-01 UTC.",
        parameters: &[
            Parameter::new("min", Takes::Integer, "", "The earliest one.").required().dynamic(),
            Parameter::new("max", Takes::Integer, "", "The latest one.").required().dynamic(),
            Parameter::new("unit", Takes::Word(epoch::UNITS), "second", "What the column counts."),
            Parameter::new("min_unit", Takes::Word(epoch::UNITS), "as unit", "What min counts."),
            Parameter::new("max_unit", Takes::Word(epoch::UNITS), "as unit", "What max counts."),
            Parameter::new(
                "truncate",
                Takes::Word(epoch::PARTS),
                "as unit",
                "It begins a year, month, day, hour, minute, second, millisecond, microsecond or nanosecond.",
            ),
        ],
        takes: |kind| matches!(kind, Kind::Int(_)),
        types: "smallint, integer, bigint",
        injective: Injective::Bijection,
        greenmask: &["RandomUnixTimestamp"],
        build: epoch::build,
    },
    Definition {
        name: "shift",
        summary: "Moves dates by a span that is the same for all dates of one subject, and never zero: their order and distances stay.",
        parameters: &[
            Parameter::new(
                "by",
                Takes::Interval,
                "",
                "The longest span, in both directions; a month has 30 days.",
            )
            .required(),
            Parameter::new(
                "whole",
                Takes::Word(shift::WHOLES),
                "day",
                "The span is a whole number of these.",
            ),
        ],
        takes: is_time,
        types: "date, timestamp, timestamptz",
        injective: Injective::No,
        greenmask: &[],
        build: shift::build,
    },
];

fn is_time(kind: &Kind) -> bool {
    matches!(kind, Kind::Date | Kind::Timestamp | Kind::TimestampTz)
}
