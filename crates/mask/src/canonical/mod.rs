//! Canonical values: what the equality of a key calls equal is one value before it is hashed.
//!
//! A foreign key may join texts that differ: `1` and `1.00`, `30 days` and `1 mon`, `ab` and `ab `
//! in `char(4)`. Each [`Form`] writes the bytes that such values have in common. Which form a
//! column has is decided by its own type ([`Form::of`]), or, where it is one end of a reference, by
//! the type of the key that is referred to ([`Form::common`]).
//!
//! The text forms are those of a session with `DateStyle = ISO`, `IntervalStyle = postgres` and
//! `TimeZone = UTC`, as they are in COPY after its escapes are undone. Sources of the comparisons:
//! PostgreSQL 15, `src/backend/utils/adt`; each table in the tests was compared with a server's.

mod array;
mod clock;
mod fold;
mod interval;
mod json;
pub(crate) mod network;
pub(crate) mod number;
mod scan;

pub(crate) use fold::is_deterministic;
pub use fold::{Comparison, Fold};

use crate::transformer::Refusal;
use crate::types::Kind;

/// What the equality of a key looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// The text, byte by byte.
    Text,
    /// The text without blanks at its end (`bpcharcmp`).
    Padded,
    /// The text in lower case (`citextcmp`).
    Folded(Fold),
    /// Numbers of integers and numeric, as decimal text: `1.50` is `1.5`, `-0` is `0`.
    Number,
    /// The text as `float4`, which is compared with others as `float8`.
    Float4,
    /// The text as `float8`.
    Float8,
    /// `date` and `timestamp`: a date is its midnight.
    Timestamp,
    /// `timestamptz`: the instant.
    TimestampTz,
    /// `time`; `24:00:00` is not `00:00:00`.
    Time,
    /// `timetz`: the time and the zone (`timetz_cmp_internal`).
    TimeTz,
    /// `interval`: a month is 30 days, and a day 24 hours (`interval_cmp_value`).
    Interval,
    /// `inet` and `cidr`: family, length of the network, address (`network_cmp_internal`).
    Inet,
    /// `macaddr` and `macaddr8`, in eight bytes.
    Mac,
    /// `uuid`, as the server writes it.
    Uuid,
    /// `bytea`: the bytes.
    Bytea,
    /// `bool`: `t` or `f`.
    Bool,
    /// `jsonb`: as the server writes it, without blanks, and numbers as in [`Form::Number`].
    Jsonb,
    /// An array: its bounds, and the form of each element.
    Array(Box<Form>),
    /// A range: its bounds in the form of its subtype.
    Range(Box<Form>),
    /// A multirange: its ranges.
    Multirange(Box<Form>),
}

impl Form {
    /// The form of a column that means itself.
    ///
    /// None: the server's equality cannot be computed here, as that of a non-deterministic
    /// collation. Types that are not known are compared by their text, which is right for all whose
    /// equal values have one text.
    pub fn of(kind: &Kind, comparison: Comparison) -> Option<Form> {
        let inner = |kind: &Kind| Form::of(kind, comparison).map(Box::new);
        Some(match kind {
            Kind::Text(_) | Kind::Char(_) if !comparison.is_deterministic => return None,
            Kind::Char(_) => Form::Padded,
            Kind::Citext => Form::Folded(comparison.fold?),
            Kind::Int(_) | Kind::Numeric(_) => Form::Number,
            Kind::Other(name) if name == "oid" => Form::Number,
            Kind::Float(4) => Form::Float4,
            Kind::Float(_) => Form::Float8,
            Kind::Date | Kind::Timestamp => Form::Timestamp,
            Kind::TimestampTz => Form::TimestampTz,
            Kind::Time => Form::Time,
            Kind::TimeTz => Form::TimeTz,
            Kind::Interval => Form::Interval,
            Kind::Inet | Kind::Cidr => Form::Inet,
            Kind::Mac | Kind::Mac8 => Form::Mac,
            Kind::Uuid => Form::Uuid,
            Kind::Bytea => Form::Bytea,
            Kind::Bool => Form::Bool,
            Kind::Jsonb => Form::Jsonb,
            Kind::Array(element) => Form::Array(inner(element)?),
            Kind::Range(bound) => Form::Range(inner(bound)?),
            Kind::Multirange(bound) => Form::Multirange(inner(bound)?),
            Kind::Text(_)
            | Kind::Name
            | Kind::Json
            | Kind::Xml
            | Kind::Enum(_)
            | Kind::Composite(_)
            | Kind::Hstore
            | Kind::Other(_) => Form::Text,
        })
    }

    /// The forms of the ends of a reference, in their order: equal bytes where the key's equality
    /// holds. The first kind is that of the key that is referred to, and the comparison is its own.
    ///
    /// Each end has a form of its own, because each is read in its own way: `char(4)` loses its
    /// blanks when it is compared with `text`, which keeps its own.
    ///
    /// None: there is no common form (M131), as between `timestamp` and `timestamptz`, whose
    /// equality depends on the session's time zone.
    pub fn common(kinds: &[Kind], comparison: Comparison) -> Option<Vec<Form>> {
        let key = kinds.first()?;
        kinds.iter().map(|kind| Form::against(key, kind, comparison)).collect()
    }

    /// The form of a kind whose values are compared with those of a key.
    fn against(key: &Kind, kind: &Kind, comparison: Comparison) -> Option<Form> {
        let is_text = |kind: &Kind| matches!(kind, Kind::Text(_) | Kind::Name | Kind::Citext);
        let is_number = |kind: &Kind| Form::of(kind, comparison) == Some(Form::Number);
        let inner = |key: &Kind, kind: &Kind| Form::against(key, kind, comparison).map(Box::new);
        let own = || Form::of(kind, comparison);
        match (key, kind) {
            (Kind::Text(_) | Kind::Char(_), _) if !comparison.is_deterministic => None,
            (Kind::Citext, kind) if is_text(kind) => comparison.fold.map(Form::Folded),
            (Kind::Text(_) | Kind::Name, Kind::Char(_)) => Some(Form::Padded),
            (Kind::Text(_) | Kind::Name, kind) if is_text(kind) => Some(Form::Text),
            (Kind::Char(_), kind) if is_text(kind) || matches!(kind, Kind::Char(_)) => Some(Form::Padded),
            (Kind::Float(4), kind) if is_number(kind) => Some(Form::Float4),
            (Kind::Float(_), kind) if is_number(kind) => Some(Form::Float8),
            (Kind::Float(_), Kind::Float(_)) => own(),
            (key, kind) if is_number(key) && is_number(kind) => Some(Form::Number),
            (Kind::Date | Kind::Timestamp, Kind::Date | Kind::Timestamp) => own(),
            (Kind::Interval, Kind::Time) => Some(Form::Interval),
            (Kind::Inet | Kind::Cidr, Kind::Inet | Kind::Cidr) => own(),
            (Kind::Mac | Kind::Mac8, Kind::Mac | Kind::Mac8) => own(),
            (Kind::Array(key), Kind::Array(kind)) => Some(Form::Array(inner(key, kind)?)),
            (Kind::Range(key), Kind::Range(kind)) => Some(Form::Range(inner(key, kind)?)),
            (Kind::Multirange(key), Kind::Multirange(kind)) => Some(Form::Multirange(inner(key, kind)?)),
            (key, kind) if key == kind => own(),
            _ => None,
        }
    }

    /// Appends the canonical bytes of a value. The text is not of the form's types: refused.
    pub fn write(&self, text: &str, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match self {
            Form::Text => {
                out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Form::Number if number::is_plain_integer(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            _ => self.write_other(text, out).ok_or_else(|| self.unfit()),
        }
    }

    fn write_other(&self, text: &str, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Form::Text => out.extend_from_slice(text.as_bytes()),
            Form::Padded => out.extend_from_slice(text.trim_end_matches(' ').as_bytes()),
            Form::Folded(fold) => fold.write(text, out),
            Form::Number => number::write(text, out)?,
            Form::Float4 => number::write_float(f64::from(text.parse::<f32>().ok()?), out),
            Form::Float8 => number::write_float(text.parse().ok()?, out),
            Form::Timestamp => out.extend_from_slice(&clock::timestamp(text, false)?.to_le_bytes()),
            Form::TimestampTz => out.extend_from_slice(&clock::timestamp(text, true)?.to_le_bytes()),
            Form::Time => out.extend_from_slice(&clock::time(text)?.to_le_bytes()),
            Form::TimeTz => {
                let (time, zone) = clock::time_with_zone(text)?;
                out.extend_from_slice(&time.to_le_bytes());
                out.extend_from_slice(&zone.to_le_bytes());
            }
            Form::Interval => out.extend_from_slice(&interval::comparison_value(text)?.to_le_bytes()),
            Form::Inet => network::Address::parse(text)?.write(out),
            Form::Mac => out.extend_from_slice(&network::Mac::parse(text)?.eight().to_be_bytes()),
            Form::Uuid => network::write_uuid(text, out)?,
            Form::Bytea => write_bytes(text, out)?,
            Form::Bool => out.push(match text {
                "t" | "true" => b't',
                "f" | "false" => b'f',
                _ => return None,
            }),
            Form::Jsonb => json::write(text, out)?,
            Form::Array(element) => array::write(element, text, out)?,
            Form::Range(bound) => array::write_range(bound, text, out)?,
            Form::Multirange(bound) => array::write_multirange(bound, text, out)?,
        }
        Some(())
    }

    fn unfit(&self) -> Refusal {
        Refusal::new(format!("a value is not written as {}", self.what()))
    }

    /// For people: `a number`.
    fn what(&self) -> &'static str {
        match self {
            Form::Text | Form::Padded | Form::Folded(_) => "a text",
            Form::Number | Form::Float4 | Form::Float8 => "a number",
            Form::Timestamp => "a date or timestamp in ISO style",
            Form::TimestampTz => "a timestamp with a time zone in ISO style",
            Form::Time => "a time",
            Form::TimeTz => "a time with a time zone",
            Form::Interval => "an interval in the style of PostgreSQL",
            Form::Inet => "a network address",
            Form::Mac => "a MAC address",
            Form::Uuid => "a UUID",
            Form::Bytea => "a byte string",
            Form::Bool => "true or false",
            Form::Jsonb => "a JSON document",
            Form::Array(_) => "an array",
            Form::Range(_) => "a range",
            Form::Multirange(_) => "a multirange",
        }
    }
}

/// The bytes of a `bytea`, in the hex or the escape format (documentation, section 8.4).
fn write_bytes(text: &str, out: &mut Vec<u8>) -> Option<()> {
    if let Some(hex) = text.strip_prefix("\\x") {
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        for [high, low] in pairs {
            out.push((scan::hex(*high)? << 4) | scan::hex(*low)?);
        }
        return rest.is_empty().then_some(());
    }
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next()? {
            b'\\' => out.push(b'\\'),
            first => {
                let mut digits = [first, bytes.next()?, bytes.next()?].into_iter();
                let value = digits.try_fold(0_u32, |value, digit| {
                    (b'0'..=b'7').contains(&digit).then(|| value * 8 + u32::from(digit - b'0'))
                });
                out.push(u8::try_from(value?).ok()?);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
