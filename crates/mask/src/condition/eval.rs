//! A condition's value for a row.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::check::Node;
use super::class::{Class, Constant, float, uuid};
use super::decimal::Decimal;
use super::moment;
use super::syntax::Operator;
use crate::transformer::{Refusal, Row};

/// A value.
#[derive(Clone, Debug, PartialEq)]
enum Value<'r> {
    Null,
    Flag(bool),
    Number(Decimal<'r>),
    Float(f64),
    Text(Cow<'r, str>),
    Moment(i128),
    Uuid(u128),
    Label(usize),
}

/// Whether a node is true; None: unknown.
pub(super) fn truth(node: &Node, row: &dyn Row) -> Result<Option<bool>, Refusal> {
    match node {
        Node::Not(inner) => Ok(truth(inner, row)?.map(|value| !value)),
        Node::And(parts) => all(parts, row, false),
        Node::Or(parts) => all(parts, row, true),
        Node::IsNull(inner, negated) => Ok(Some(is_null(inner, row)? != *negated)),
        Node::Is(inner, wanted, negated) => Ok(Some((truth(inner, row)? == *wanted) != *negated)),
        Node::Compare(operator, left, right) => {
            let order = order(&value(left, row)?, &value(right, row)?);
            Ok(order.map(|order| match operator {
                Operator::Equal => order.is_eq(),
                Operator::Differs => order.is_ne(),
                Operator::Less => order.is_lt(),
                Operator::LessOrEqual => order.is_le(),
                Operator::Greater => order.is_gt(),
                Operator::GreaterOrEqual => order.is_ge(),
            }))
        }
        Node::Like(inner, like) => Ok(text(inner, row)?.map(|text| like.fits(&text))),
        Node::Matches(inner, regex) => Ok(text(inner, row)?.map(|text| regex.is_match(&text))),
        other => Ok(match value(other, row)? {
            Value::Flag(flag) => Some(flag),
            _ => None,
        }),
    }
}

/// `and` and `or`: one part that is `decisive` decides, else one that is unknown.
fn all(parts: &[Node], row: &dyn Row, decisive: bool) -> Result<Option<bool>, Refusal> {
    let mut result = Some(!decisive);
    for part in parts {
        match truth(part, row)? {
            Some(value) if value == decisive => return Ok(Some(decisive)),
            Some(_) => {}
            None => result = None,
        }
    }
    Ok(result)
}

/// Whether a part is NULL. A column's text is not read: any type takes this.
fn is_null(node: &Node, row: &dyn Row) -> Result<bool, Refusal> {
    match node {
        Node::Column { column, masked, .. } => Ok(plain(row, *column, *masked).is_none()),
        Node::Coalesce(parts) => {
            for part in parts {
                if !is_null(part, row)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        node => Ok(value(node, row)? == Value::Null),
    }
}

fn plain(row: &dyn Row, column: usize, masked: bool) -> Option<&str> {
    if masked { row.masked(column) } else { row.plain(column) }
}

fn text<'r>(node: &'r Node, row: &'r dyn Row) -> Result<Option<Cow<'r, str>>, Refusal> {
    Ok(match value(node, row)? {
        Value::Text(text) => Some(text),
        _ => None,
    })
}

fn value<'r>(node: &'r Node, row: &'r dyn Row) -> Result<Value<'r>, Refusal> {
    Ok(match node {
        Node::Null => Value::Null,
        Node::Column { column, masked, name, class } => match plain(row, *column, *masked) {
            None => Value::Null,
            Some(text) => read(text, class).ok_or_else(|| {
                Refusal::new(format!(
                    "a condition reads column {name}, whose value is not in the form of its type"
                ))
            })?,
        },
        Node::Constant(constant) => match constant {
            Constant::Flag(flag) => Value::Flag(*flag),
            Constant::Number(text) => Decimal::read(text).map_or(Value::Null, Value::Number),
            Constant::Float(number) => Value::Float(*number),
            Constant::Text(text) => Value::Text(Cow::Borrowed(text)),
            Constant::Moment(moment) => Value::Moment(*moment),
            Constant::Uuid(uuid) => Value::Uuid(*uuid),
            Constant::Label(label) => Value::Label(*label),
        },
        Node::Lower(inner) => map_text(inner, row, |text| Cow::Owned(lower(&text)))?,
        Node::Upper(inner) => map_text(inner, row, |text| Cow::Owned(upper(&text)))?,
        Node::Trimmed(inner) => map_text(inner, row, |text| match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_end_matches(' ')),
            Cow::Owned(text) => Cow::Owned(text.trim_end_matches(' ').to_string()),
        })?,
        Node::Length(inner) => match text(inner, row)? {
            Some(text) => Value::Number(Decimal::of(text.chars().count())),
            None => Value::Null,
        },
        Node::Float(inner, bytes) => match value(inner, row)? {
            Value::Number(number) => Value::Float(number.float(*bytes)),
            other => other,
        },
        Node::Coalesce(parts) => {
            for part in parts {
                match value(part, row)? {
                    Value::Null => {}
                    value => return Ok(value),
                }
            }
            Value::Null
        }
        Node::Not(_)
        | Node::And(_)
        | Node::Or(_)
        | Node::Compare(..)
        | Node::IsNull(..)
        | Node::Is(..)
        | Node::Like(..)
        | Node::Matches(..) => truth(node, row)?.map_or(Value::Null, Value::Flag),
    })
}

fn map_text<'r>(
    node: &'r Node,
    row: &'r dyn Row,
    map: impl Fn(Cow<'r, str>) -> Cow<'r, str>,
) -> Result<Value<'r>, Refusal> {
    Ok(text(node, row)?.map_or(Value::Null, |text| Value::Text(map(text))))
}

/// A column's text as a value.
fn read<'r>(text: &'r str, class: &Class) -> Option<Value<'r>> {
    Some(match class {
        Class::Flag => match text {
            "t" => Value::Flag(true),
            "f" => Value::Flag(false),
            _ => return None,
        },
        Class::Number => Value::Number(Decimal::read(text)?),
        Class::Float(bytes) => Value::Float(float(text, *bytes)?),
        Class::Date => Value::Moment(moment::date(text)?),
        Class::Timestamp => Value::Moment(moment::timestamp(text)?),
        Class::TimestampTz => Value::Moment(moment::timestamptz(text)?),
        Class::Time => Value::Moment(moment::time(text)?),
        Class::Uuid => Value::Uuid(uuid(text)?),
        Class::Enum(labels) => Value::Label(labels.iter().position(|label| label == text)?),
        Class::Text | Class::Padded | Class::Citext | Class::Literal | Class::Null | Class::Other(_) => {
            Value::Text(Cow::Borrowed(text))
        }
    })
}

/// How two values are ordered; None: one is NULL.
fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    Some(match (left, right) {
        (Value::Flag(left), Value::Flag(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => left.order(right),
        // As in PostgreSQL, NaN is equal to itself and greater than anything else; -0 is 0.
        (Value::Float(left), Value::Float(right)) => match left.partial_cmp(right) {
            Some(order) => order,
            None => left.is_nan().cmp(&right.is_nan()),
        },
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Moment(left), Value::Moment(right)) => left.cmp(right),
        (Value::Uuid(left), Value::Uuid(right)) => left.cmp(right),
        (Value::Label(left), Value::Label(right)) => left.cmp(right),
        _ => return None,
    })
}

/// In lower case, character by character, as `towlower` of the C library: what would become several
/// characters stays.
pub(super) fn lower(text: &str) -> String {
    text.chars()
        .map(|sign| match sign {
            // The one letter that Unicode's full mapping makes two of, and its simple one does not.
            'İ' => 'i',
            sign => single(sign.to_lowercase(), sign),
        })
        .collect()
}

fn upper(text: &str) -> String {
    text.chars().map(|sign| single(sign.to_uppercase(), sign)).collect()
}

fn single(mut mapped: impl Iterator<Item = char>, sign: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => sign,
    }
}
