//! `noise`, `generalise`: values near the plain one, or what it has in common with others.
//!
//! `shuffle` is not here: it exchanges values between rows, and a transformer sees one row.

mod float;
mod generalise;
mod number;
#[cfg(test)]
mod tests;
mod time;

use crate::dates::Unit;
use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::Transformer;
use crate::types::Kind;

/// This family.
pub const ALL: &[Definition] = &[
    Definition {
        name: "noise",
        summary: "Moves a number or date up or down by a part of it.",
        parameters: &[
            Parameter::new(
                "ratio",
                Takes::Value,
                "0.2 of numbers",
                "The longest way: a part of the number from 0 to 1, or an interval for dates.",
            ),
            Parameter::new("max_ratio", Takes::Value, "", "The same as ratio."),
            Parameter::new(
                "min_ratio",
                Takes::Value,
                "a quarter of ratio; a twentieth for dates",
                "The shortest way.",
            ),
            Parameter::new(
                "decimal",
                Takes::Integer,
                "as the plain value",
                "Digits behind the point, of float and numeric.",
            ),
            Parameter::new("min", Takes::Value, "", "Nothing is below.").dynamic(),
            Parameter::new("max", Takes::Value, "", "Nothing is above.").dynamic(),
            Parameter::new(
                "truncate",
                Takes::Word(Unit::NAMES),
                "day of a date, else microsecond",
                "A date begins a year, month, day, hour, minute, second, millisecond or microsecond.",
            ),
        ],
        takes: |kind| {
            matches!(
                kind,
                Kind::Int(_)
                    | Kind::Float(_)
                    | Kind::Numeric(_)
                    | Kind::Date
                    | Kind::Timestamp
                    | Kind::TimestampTz
            )
        },
        types: "integers, float, numeric, date, timestamp, timestamptz",
        injective: Injective::No,
        greenmask: &["NoiseInt", "NoiseFloat", "NoiseNumeric", "NoiseDate"],
        build,
    },
    Definition {
        name: "generalise",
        summary: "Leaves of a value what it has in common with many others.",
        parameters: &[
            Parameter::new("keep", Takes::Integer, "", "Of a text: so many characters from its beginning."),
            Parameter::new(
                "fill",
                Takes::Text,
                "nothing",
                "With keep: the character that the others become.",
            ),
            Parameter::new("buckets", Takes::Number, "", "Of a number: the next multiple of it below."),
            Parameter::new(
                "unit",
                Takes::Word(Unit::NAMES),
                "",
                "Of a date: the beginning of its year, month, day, hour, minute, second or millisecond.",
            ),
            Parameter::new(
                "prefix",
                Takes::Integer,
                "24",
                "Of an address of IPv4: so many bits of its network.",
            ),
            Parameter::new(
                "prefix6",
                Takes::Integer,
                "48",
                "Of an address of IPv6: so many bits of its network.",
            ),
        ],
        takes: |kind| generalise::Form::of(kind).is_some(),
        types: "texts, numbers, date, timestamp, timestamptz, inet, cidr",
        injective: Injective::No,
        greenmask: &[],
        build: generalise::build,
    },
];

fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let is_time = matches!(making.kind(), Kind::Date | Kind::Timestamp | Kind::TimestampTz);
    let has_point = matches!(making.kind(), Kind::Float(_) | Kind::Numeric(_));
    for (name, fits, of) in
        [("decimal", has_point, "float and numeric"), ("truncate", is_time, "dates and timestamps")]
    {
        if !fits && making.setting(name).is_some() {
            return Err(making.fault(Code::WrongValue, name, format!("{name} is for {of}"), ""));
        }
    }
    if making.setting("ratio").is_some() && making.setting("max_ratio").is_some() {
        return Err(making.fault(
            Code::WrongValue,
            "max_ratio",
            "ratio and max_ratio are the same",
            "give one",
        ));
    }
    match making.kind() {
        Kind::Float(bytes) => float::build(making, *bytes),
        Kind::Int(_) | Kind::Numeric(_) => number::build(making),
        _ => time::build(making),
    }
}

/// The parameter that `ratio` was given as.
fn ratio_name(making: &Making<'_>) -> &'static str {
    if making.setting("max_ratio").is_some() { "max_ratio" } else { "ratio" }
}

/// The shortest and the longest way, as parts of a number.
fn ratios(making: &mut Making<'_>) -> Result<(f64, f64), Unfit> {
    let name = ratio_name(making);
    let read = |name: &str| {
        let text = making.setting(name).and_then(|setting| setting.value.scalar());
        text.map(|text| text.parse::<f64>().unwrap_or(f64::NAN))
    };
    let max = read(name).unwrap_or(0.2);
    let min = read("min_ratio").unwrap_or(max / 4.0);
    if !(max > 0.0 && max <= 1.0) {
        return Err(making.fault(Code::ValueOutside, name, format!("{name} is above 0 and at most 1"), ""));
    }
    if !(min >= 0.0 && min <= max) {
        let message = format!("min_ratio is from 0 to {name}");
        return Err(making.fault(Code::ValueOutside, "min_ratio", message, ""));
    }
    Ok((min, max))
}

/// `decimal`.
fn decimal(making: &mut Making<'_>) -> Result<Option<u32>, Unfit> {
    let Some(digits) = making.integer("decimal") else { return Ok(None) };
    match u32::try_from(digits).ok().filter(|digits| *digits <= 30) {
        Some(digits) => Ok(Some(digits)),
        None => Err(making.fault(Code::ValueOutside, "decimal", "decimal is from 0 to 30", "")),
    }
}
