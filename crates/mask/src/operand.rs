//! A parameter of a transformer: fixed, or read from another column of the row.

use crate::transformer::{Refusal, Row};

/// A parameter's value.
#[derive(Clone, Debug)]
pub enum Operand<T> {
    /// The same for each row.
    Fixed(T),
    /// Of each row.
    From(Dynamic<T>),
}

/// A parameter that comes from a column.
#[derive(Clone)]
pub struct Dynamic<T> {
    /// The column's number in COPY.
    pub column: usize,
    /// Its fiction is read.
    pub masked: bool,
    /// What is done to the column's text first.
    pub cast: Option<Cast>,
    /// Values by the column's text.
    pub map: Vec<(String, T)>,
    /// The value of a text that the map does not hold.
    pub other: Option<T>,
    /// The value where the column is NULL.
    pub default: Option<T>,
    /// Reads a text, where there is no map.
    pub parse: fn(&str) -> Option<T>,
    /// The parameter's name, for an error.
    pub name: String,
}

impl<T> std::fmt::Debug for Dynamic<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from column {}", self.name, self.column)
    }
}

impl<T: Clone> Operand<T> {
    /// The value for a row.
    pub fn get(&self, row: &dyn Row) -> Result<T, Refusal> {
        let dynamic = match self {
            Operand::Fixed(value) => return Ok(value.clone()),
            Operand::From(dynamic) => dynamic,
        };
        let text = if dynamic.masked { row.masked(dynamic.column) } else { row.plain(dynamic.column) };
        let unfit =
            |what: &str| Refusal::new(format!("{} comes from a column whose value {what}", dynamic.name));
        let Some(text) = text else {
            return dynamic.default.clone().ok_or_else(|| unfit("is NULL, and there is no default"));
        };
        let cast = match dynamic.cast {
            Some(cast) => Some(cast.apply(text).ok_or_else(|| unfit("cannot be cast"))?),
            None => None,
        };
        let text = cast.as_deref().unwrap_or(text);
        if dynamic.map.is_empty() {
            let value = (dynamic.parse)(text).or_else(|| dynamic.other.clone());
            return value.ok_or_else(|| unfit("does not fit"));
        }
        let found = dynamic.map.iter().find(|(from, _)| from == text).map(|(_, value)| value.clone());
        found.or_else(|| dynamic.other.clone()).ok_or_else(|| unfit("the map does not hold"))
    }
}

macro_rules! casts {
    ($($name:ident $text:literal)+) => {
        /// How a column's text becomes a parameter's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Cast { $(#[doc = $text] $name,)+ }

        impl Cast {
            /// A cast by its name.
            pub fn named(name: &str) -> Option<Cast> {
                match name { $($text => Some(Cast::$name),)+ _ => None }
            }

            /// All names.
            pub fn names() -> &'static [&'static str] {
                &[$($text,)+]
            }
        }
    };
}

casts! {
    UnixNanoToDate "UnixNanoToDate"
    UnixMicroToDate "UnixMicroToDate"
    UnixMilliToDate "UnixMilliToDate"
    UnixSecToDate "UnixSecToDate"
    UnixNanoToTimestamp "UnixNanoToTimestamp"
    UnixMicroToTimestamp "UnixMicroToTimestamp"
    UnixMilliToTimestamp "UnixMilliToTimestamp"
    UnixSecToTimestamp "UnixSecToTimestamp"
    UnixNanoToTimestampTz "UnixNanoToTimestampTz"
    UnixMicroToTimestampTz "UnixMicroToTimestampTz"
    UnixMilliToTimestampTz "UnixMilliToTimestampTz"
    UnixSecToTimestampTz "UnixSecToTimestampTz"
    DateToUnixNano "DateToUnixNano"
    DateToUnixMicro "DateToUnixMicro"
    DateToUnixMilli "DateToUnixMilli"
    DateToUnixSec "DateToUnixSec"
    TimestampToUnixNano "TimestampToUnixNano"
    TimestampToUnixMicro "TimestampToUnixMicro"
    TimestampToUnixMilli "TimestampToUnixMilli"
    TimestampToUnixSec "TimestampToUnixSec"
    TimestampTzToUnixNano "TimestampTzToUnixNano"
    TimestampTzToUnixMicro "TimestampTzToUnixMicro"
    TimestampTzToUnixMilli "TimestampTzToUnixMilli"
    TimestampTzToUnixSec "TimestampTzToUnixSec"
    FloatToInt "FloatToInt"
    IntToFloat "IntToFloat"
    IntToBool "IntToBool"
    BoolToInt "BoolToInt"
}
