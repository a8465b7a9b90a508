//! Values of `pgark.toml`.

use std::ffi::OsString;
use std::fmt;

/// A value of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    List(Vec<String>),
    Flag(bool),
    Number(i64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{text}"),
            Value::List(list) => write!(f, "{}", list.join(", ")),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Number(number) => write!(f, "{number}"),
        }
    }
}

impl Value {
    /// A value that says what is so without it: `false`, `""`, `[]`. It takes back what a section
    /// that counts less says.
    pub fn is_nothing(&self) -> bool {
        match self {
            Value::Text(text) => text.is_empty(),
            Value::List(list) => list.is_empty(),
            Value::Flag(flag) => !flag,
            Value::Number(_) => false,
        }
    }

    /// The same on a command line. `counts`: the option is repeated, as `-v -v` is.
    pub fn as_arguments(&self, long: &str, counts: bool) -> Vec<OsString> {
        let with = |value: &dyn fmt::Display| OsString::from(format!("--{long}={value}"));
        match self {
            _ if self.is_nothing() => Vec::new(),
            Value::Text(text) => vec![with(text)],
            Value::List(list) => list.iter().map(|item| with(item)).collect(),
            Value::Flag(_) => vec![format!("--{long}").into()],
            Value::Number(number) if counts => (0..*number).map(|_| format!("--{long}").into()).collect(),
            Value::Number(number) => vec![with(number)],
        }
    }
}
