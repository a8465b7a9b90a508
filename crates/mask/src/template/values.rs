//! Values of columns as templates see them, and what a template makes of them as text.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, ErrorKind, Value};

use crate::types::Kind;

/// What NULL prints. No text of PostgreSQL holds it, so a NULL inside of a text is found.
pub(super) const NULL: &str = "\0";

/// NULL: it is false, and prints [`NULL`].
#[derive(Debug)]
struct Null;

impl Object for Null {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn custom_cmp(self: &Arc<Self>, _: &minijinja::value::DynObject) -> Option<Ordering> {
        Some(Ordering::Equal)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NULL)
    }
}

/// A number that an `f64` would change: it prints, and does not compute.
#[derive(Debug)]
struct Exact(String);

impl Object for Exact {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// NULL.
pub(super) fn null() -> Value {
    Value::from_object(Null)
}

/// Whether it is NULL, or minijinja's none.
pub(super) fn is_null(value: &Value) -> bool {
    value.is_none() || value.downcast_object_ref::<Null>().is_some()
}

/// The value of a column.
pub(super) fn of_column(kind: &Kind, text: Option<&str>) -> Value {
    let Some(text) = text else { return null() };
    let typed = match kind {
        Kind::Bool => match text {
            "t" | "true" => Some(Value::from(true)),
            "f" | "false" => Some(Value::from(false)),
            _ => None,
        },
        Kind::Int(_) => text.parse::<i64>().ok().map(Value::from),
        Kind::Float(_) => text.parse::<f64>().ok().map(Value::from),
        Kind::Numeric(_) => Some(number(text)),
        _ => None,
    };
    typed.unwrap_or_else(|| Value::from(text))
}

/// A `numeric`: an integer or a float where that loses nothing, else its text.
fn number(text: &str) -> Value {
    if let Ok(whole) = text.parse::<i128>() {
        return Value::from(whole);
    }
    let shortest = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    };
    match text.parse::<f64>() {
        Ok(number) if !number.is_finite() || number.to_string() == shortest => Value::from(number),
        _ => Value::from_object(Exact(text.to_string())),
    }
}

/// The filter `float`.
pub(super) fn float(value: &Value) -> Result<Value, Error> {
    if is_null(value) {
        return Ok(null());
    }
    let number = f64::try_from(value.clone()).ok();
    let number = number.or_else(|| value.to_string().trim().parse().ok());
    let message = "masking: float takes a number";
    number.map(Value::from).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, message))
}

/// A value as PostgreSQL reads it; None: NULL.
pub(super) fn text(value: &Value) -> Result<Option<String>, Error> {
    let mut out = String::new();
    write(value, &mut out)?;
    match out.as_str() {
        NULL => Ok(None),
        text if text.contains(NULL) => Err(null_inside()),
        _ => Ok(Some(out)),
    }
}

/// NULL was made a part of a text.
pub(super) fn null_inside() -> Error {
    let message = "masking: NULL is a part of a text; coalesce(…) says what is there instead";
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Prints a value: true and false, and floats, as PostgreSQL does.
pub(super) fn write(value: &Value, out: &mut dyn fmt::Write) -> Result<(), Error> {
    use minijinja::value::ValueKind;
    let written = match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => out.write_str(NULL),
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(number) => out.write_str(&float_text(number)),
            Err(_) => write!(out, "{value}"),
        },
        _ => write!(out, "{value}"),
    };
    written.map_err(|_| Error::new(ErrorKind::WriteFailure, "the text is too long"))
}

/// A float as PostgreSQL reads it, in the fewest digits.
pub(super) fn float_text(number: f64) -> String {
    match number {
        number if number.is_nan() => "NaN".to_string(),
        f64::INFINITY => "Infinity".to_string(),
        f64::NEG_INFINITY => "-Infinity".to_string(),
        number => number.to_string(),
    }
}
