//! `map`.

use std::collections::{HashMap, HashSet};

use super::{normal, value};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::rules::Literal;
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::Kind;

/// What becomes of values that the table does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Else {
    Refuse,
    Keep,
    Null,
    Value(String),
}

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let (mut to, mut back) = (HashMap::new(), HashMap::new());
    let Some(Literal::Table(members)) = making.setting("values").map(|setting| &setting.value) else {
        return Err(making.fault(Code::ParameterMissing, "values", "map needs values", ""));
    };
    let (mut are_distinct, mut changes) = (true, false);
    for (from, setting) in members {
        let Some(text) = setting.value.scalar() else {
            let message = format!("a plain value becomes one value, and not {}", setting.value.what());
            return Err(making.fault_at(Code::WrongValue, setting.place, message, ""));
        };
        let text = value(making, "values", setting.place, &text)?;
        let from = value(making, "values", setting.place, from)?;
        let from_normal = normal(making.kind(), &from);
        let to_normal = normal(making.kind(), &text);
        changes |= from_normal != to_normal;
        are_distinct &= back.insert(to_normal, from).is_none();
        if to.insert(from_normal, Some(text)).is_some() {
            return Err(making.fault_at(Code::ValueOutside, setting.place, TWICE, ""));
        }
    }
    let place = making.setting("to_null").map_or(making.rule().place, |setting| setting.place);
    for from in making.texts("to_null").unwrap_or_default() {
        let from = value(making, "to_null", place, &from)?;
        changes = true;
        if to.insert(normal(making.kind(), &from), None).is_some() {
            return Err(making.fault_at(Code::ValueOutside, place, TWICE, ""));
        }
    }
    let otherwise = otherwise(making)?;
    let makes_null = otherwise == Else::Null || to.values().any(Option::is_none);
    if makes_null && making.target().not_null {
        return Err(making.fault(Code::NullRefused, "values", "the column does not take NULL", ""));
    }
    let is_complete = match making.kind() {
        Kind::Enum(labels) => labels.iter().all(|label| to.contains_key(label)),
        Kind::Bool => to.len() == 2,
        _ => false,
    };
    // A column of an enum that the table holds in full has no other values.
    let can_change = changes || (!is_complete && matches!(otherwise, Else::Null | Else::Value(_)));
    if !can_change {
        return Err(making.fault(Code::ChangesNothing, "values", "each value becomes itself", ""));
    }
    let is_injective = are_distinct
        && match &otherwise {
            Else::Refuse | Else::Null => true,
            // What is kept must not be what another value becomes.
            Else::Keep => is_complete || same_values(&to, &back),
            Else::Value(_) => is_complete,
        };
    if making.is_unique() && !is_injective {
        let hint = "distinct values for all that the column holds, and else = \"refuse\"";
        let message = "different values may become the same one, and the column is unique";
        return Err(making.fault(Code::NotInjective, "values", message, hint));
    }
    Ok(Box::new(Map { kind: making.kind().clone(), to, back, is_injective, otherwise }))
}

const TWICE: &str = "a plain value is there twice";

/// The values are the plain values in another order.
fn same_values(to: &HashMap<String, Option<String>>, back: &HashMap<String, String>) -> bool {
    let from: HashSet<&String> = to.keys().collect();
    from == back.keys().collect()
}

fn otherwise(making: &mut Making<'_>) -> Result<Else, Unfit> {
    let Some(setting) = making.setting("else") else { return Ok(Else::Refuse) };
    let text = setting.value.scalar().unwrap_or_default();
    Ok(match text.as_str() {
        "refuse" => Else::Refuse,
        "keep" => Else::Keep,
        "null" => Else::Null,
        _ => Else::Value(value(making, "else", setting.place, &text)?),
    })
}

#[derive(Debug)]
struct Map {
    kind: Kind,
    /// By the normal text of the plain value; None: NULL.
    to: HashMap<String, Option<String>>,
    /// Plain values by the normal text of what they become.
    back: HashMap<String, String>,
    is_injective: bool,
    otherwise: Else,
}

impl Transformer for Map {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let found = if plain.is_null { None } else { self.to.get(&normal(&self.kind, plain.text)) };
        let text = match (found, &self.otherwise) {
            (Some(Some(text)), _) | (None, Else::Value(text)) => text,
            (Some(None), _) | (None, Else::Null) => return Ok(Answer::Null),
            (None, Else::Keep) => return Ok(if plain.is_null { Answer::Null } else { Answer::Same }),
            (None, Else::Refuse) => {
                return Err(Refusal::new("the column has a value that the map does not hold"));
            }
        };
        out.push_str(text);
        Ok(Answer::Text)
    }

    fn plain_of(&self, fiction: &str, out: &mut String) -> Result<Answer, Refusal> {
        if !self.is_injective {
            return Err(Refusal::new("the map gives different values the same fiction"));
        }
        match self.back.get(&normal(&self.kind, fiction)) {
            Some(plain) => {
                out.push_str(plain);
                Ok(Answer::Text)
            }
            None if self.otherwise == Else::Keep => Ok(Answer::Same),
            None => Err(Refusal::new("no plain value becomes this one")),
        }
    }
}
