//! What values of a condition are, and values that are in it.

use crate::types::{Kind, Target};

/// A value that is written in the condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Flag(bool),
    /// In a form that [`Decimal`] reads.
    Number(String),
    Float(f64),
    Text(String),
    Moment(i128),
    Uuid(u128),
    Label(usize),
}

/// What a part's values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Flag,
    Number,
    /// By its bytes.
    Float(u8),
    Text,
    /// char(n).
    Padded,
    Citext,
    Date,
    Timestamp,
    TimestampTz,
    Time,
    Uuid,
    Enum(Vec<String>),
    /// A text in quotes: it becomes what it is compared with.
    Literal,
    Null,
    /// A type that only `is null` takes, as SQL writes it.
    Other(String),
}

impl Class {
    pub fn of(target: &Target) -> Class {
        match &target.kind {
            Kind::Bool => Class::Flag,
            Kind::Int(_) | Kind::Numeric(_) => Class::Number,
            Kind::Float(bytes) => Class::Float(*bytes),
            Kind::Text(_) | Kind::Name => Class::Text,
            Kind::Char(_) => Class::Padded,
            Kind::Citext => Class::Citext,
            Kind::Date => Class::Date,
            Kind::Timestamp => Class::Timestamp,
            Kind::TimestampTz => Class::TimestampTz,
            Kind::Time => Class::Time,
            Kind::Uuid => Class::Uuid,
            Kind::Enum(labels) => Class::Enum(labels.clone()),
            _ => Class::Other(target.sql_type.clone()),
        }
    }

    /// Whether it compares by its bytes.
    pub fn is_text(&self) -> bool {
        matches!(self, Class::Text | Class::Padded | Class::Citext | Class::Literal)
    }

    /// For people.
    pub fn shown(&self) -> &str {
        match self {
            Class::Flag => "boolean",
            Class::Number => "a number",
            Class::Float(_) => "a float",
            Class::Text | Class::Padded | Class::Literal => "a text",
            Class::Citext => "citext",
            Class::Date => "a date",
            Class::Timestamp => "a timestamp",
            Class::TimestampTz => "a timestamp with time zone",
            Class::Time => "a time",
            Class::Uuid => "a uuid",
            Class::Enum(_) => "an enum",
            Class::Null => "null",
            Class::Other(name) => name,
        }
    }
}

/// A float's text; None: it is none.
pub(super) fn float(text: &str, bytes: u8) -> Option<f64> {
    let is_number = |text: &str| text.bytes().all(|sign| sign.is_ascii_digit() || b"+-.eE".contains(&sign));
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ if !is_number(text) => None,
        // What a float4 shows is its shortest text, which is another number as a float8.
        _ if bytes == 4 => text.parse::<f32>().ok().map(f64::from),
        _ => text.parse().ok(),
    }
}

/// A uuid, with or without hyphens and braces.
pub(super) fn uuid(text: &str) -> Option<u128> {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let digits: String = inner.chars().filter(|sign| *sign != '-').collect();
    let is_uuid = digits.len() == 32 && digits.bytes().all(|sign| sign.is_ascii_hexdigit());
    is_uuid.then(|| u128::from_str_radix(&digits, 16).ok()).flatten()
}
