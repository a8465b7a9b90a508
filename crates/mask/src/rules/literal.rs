//! Values of a rules file, with their places.

use crate::finding::Place;

/// A value and where it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setting {
    /// The value.
    pub value: Literal,
    /// Where it begins.
    pub place: Place,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A string; variables are replaced.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A number with a point or an exponent.
    Float(f64),
    /// true or false.
    Flag(bool),
    /// A date or time, as it is written.
    Time(String),
    /// An array.
    List(Vec<Setting>),
    /// A table, in the file's order.
    Table(Vec<(String, Setting)>),
}

impl Default for Literal {
    fn default() -> Literal {
        Literal::Text(String::new())
    }
}

impl Literal {
    /// What it is, for an error: `an integer`.
    pub fn what(&self) -> &'static str {
        match self {
            Literal::Text(_) => "a string",
            Literal::Integer(_) => "an integer",
            Literal::Float(_) => "a number",
            Literal::Flag(_) => "true or false",
            Literal::Time(_) => "a date or time",
            Literal::List(_) => "a list",
            Literal::Table(_) => "a table",
        }
    }

    /// A scalar as the text of a value: `Some("12")` of 12; None of a list or table.
    pub fn scalar(&self) -> Option<String> {
        Some(match self {
            Literal::Text(text) | Literal::Time(text) => text.clone(),
            Literal::Integer(number) => number.to_string(),
            Literal::Float(number) => number.to_string(),
            Literal::Flag(flag) => flag.to_string(),
            Literal::List(_) | Literal::Table(_) => return None,
        })
    }

    /// A member of a table.
    pub fn member(&self, name: &str) -> Option<&Setting> {
        let Literal::Table(members) = self else { return None };
        members.iter().find(|(key, _)| key == name).map(|(_, setting)| setting)
    }
}
