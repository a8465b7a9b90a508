//! Functions and filters that draw nothing. Each one is both: `f(x, …)` and `x | f(…)`. Given NULL,
//! they are NULL, as in SQL, except those that are about NULL.

use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};
use serde_json::Value as Json;

use super::dates::{Moment, interval};
use super::json;
use super::values::{float, is_null, null, of_column, text};
use crate::types::Kind;

/// The names of the functions, which no column hides.
pub(super) const NAMES: &[&str] = &[
    "null",
    "is_null",
    "coalesce",
    "truncate_date",
    "modify",
    "date_format",
    "to_unix",
    "from_unix",
    "json_get",
    "json_exists",
    "json_valid",
    "json_set",
    "json_delete",
    "trunc",
    "range",
    "dict",
    "namespace",
];

/// Longer widths of `format` are refused: one of them would fill the memory.
const MOST_WIDTH: usize = 4;

/// Adds them, and takes away what could fill the memory in one step.
pub(super) fn add(environment: &mut Environment<'static>) {
    for name in ["indent", "slice", "batch", "pprint"] {
        environment.remove_filter(name);
    }
    environment.remove_global("debug");
    environment.add_function("null", null);
    environment.add_function("is_null", |value: Value| is_null(&value));
    environment.add_test("null", |value: Value| is_null(&value));
    environment.add_test("none", |value: Value| is_null(&value));
    environment.add_filter("float", |value: Value| float(&value));
    environment.add_filter("format", format);
    for name in ["default", "d"] {
        environment.add_filter(name, default);
    }
    macro_rules! both {
        ($($name:literal $function:expr;)+) => {$(
            environment.add_function($name, $function);
            environment.add_filter($name, $function);
        )+};
    }
    both! {
        "coalesce" coalesce;
        "truncate_date" truncate_date;
        "modify" modify;
        "date_format" date_format;
        "to_unix" to_unix;
        "from_unix" from_unix;
        "json_get" json_get;
        "json_exists" json_exists;
        "json_valid" json_valid;
        "json_set" json_set;
        "json_delete" json_delete;
        "trunc" trunc;
    }
}

/// An error of ours; it names no value.
pub(super) fn error(message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("masking: {message}"))
}

fn coalesce(values: Rest<Value>) -> Value {
    values.iter().find(|value| !is_null(value)).cloned().unwrap_or_else(null)
}

fn default(value: Value, other: Value) -> Value {
    if value.is_undefined() || is_null(&value) { other } else { value }
}

fn format(state: &State<'_, '_>, text: Value, arguments: Rest<Value>) -> Result<Value, Error> {
    let shown = text.to_string();
    let digits = shown.split(|sign: char| !sign.is_ascii_digit()).map(str::len).max();
    if digits > Some(MOST_WIDTH) || shown.contains('*') {
        return Err(error("format takes widths of at most four digits"));
    }
    minijinja::filters::format(state, &text, arguments)
}

fn trunc(value: Value, most: usize) -> Value {
    if is_null(&value) {
        value
    } else {
        Value::from(value.to_string().chars().take(most).collect::<String>())
    }
}

/// What a function makes of a date.
fn on_date(value: &Value, name: &str, make: impl FnOnce(Moment) -> Option<Value>) -> Result<Value, Error> {
    if is_null(value) {
        return Ok(null());
    }
    let moment = Moment::read(&value.to_string());
    let moment = moment.ok_or_else(|| error(format!("{name} takes a date or timestamp in ISO form")))?;
    make(moment).ok_or_else(|| error(format!("{name} has an argument that does not fit")))
}

fn truncate_date(value: Value, part: &str) -> Result<Value, Error> {
    on_date(&value, "truncate_date", |moment| Some(Value::from(moment.truncated(part)?.text())))
}

fn modify(value: Value, by: &str) -> Result<Value, Error> {
    on_date(&value, "modify", |moment| Some(Value::from(moment.moved(interval(by)?)?.text())))
}

fn date_format(value: Value, format: &str) -> Result<Value, Error> {
    on_date(&value, "date_format", |moment| moment.formatted(format).map(Value::from))
}

fn to_unix(value: Value, unit: Option<&str>) -> Result<Value, Error> {
    on_date(&value, "to_unix", |moment| moment.unix(unit.unwrap_or("second")).map(Value::from))
}

fn from_unix(value: Value, unit: Option<&str>) -> Result<Value, Error> {
    if is_null(&value) {
        return Ok(null());
    }
    let number = i64::try_from(value).map_err(|_| error("from_unix takes an integer"))?;
    let moment = Moment::of_unix(number, unit.unwrap_or("second"));
    let moment = moment.ok_or_else(|| error("from_unix has an argument that does not fit"))?;
    Ok(Value::from(moment.text()))
}

/// Text, number, true, false or NULL; an object or list is its JSON text.
fn typed(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Json::Null) => null(),
        Ok(Json::Bool(flag)) => Value::from(flag),
        Ok(Json::String(text)) => Value::from(text),
        // A number that a float would change stays a text.
        Ok(Json::Number(_)) => of_column(&Kind::Numeric(None), Some(text)),
        _ => Value::from(text),
    }
}

fn json_get(value: Value, path: &str) -> Result<Value, Error> {
    if is_null(&value) {
        return Ok(value);
    }
    Ok(json::get(&value.to_string(), path).map_err(error)?.map_or_else(null, typed))
}

fn json_exists(value: Value, path: &str) -> Result<Value, Error> {
    if is_null(&value) {
        return Ok(value);
    }
    Ok(Value::from(json::get(&value.to_string(), path).map_err(error)?.is_some()))
}

fn json_valid(value: Value) -> Value {
    if is_null(&value) { value } else { Value::from(json::is_valid(&value.to_string())) }
}

fn json_set(value: Value, path: &str, to: Value) -> Result<Value, Error> {
    if is_null(&value) {
        return Ok(value);
    }
    let text = text(&to)?;
    let to = match (text, to.kind()) {
        (None, _) => "null".to_string(),
        (Some(text), ValueKind::Bool | ValueKind::Number | ValueKind::Plain) if json::is_valid(&text) => text,
        (Some(text), ValueKind::String) => json::quoted(&text),
        (Some(_), _) => serde_json::to_string(&to).map_err(|_| error("json_set cannot write this value"))?,
    };
    Ok(Value::from(json::set(&value.to_string(), path, &to).map_err(error)?))
}

fn json_delete(value: Value, path: &str) -> Result<Value, Error> {
    if is_null(&value) {
        return Ok(value);
    }
    Ok(Value::from(json::delete(&value.to_string(), path).map_err(error)?))
}
