//! `choose`.

use std::collections::HashMap;

use super::super::pick::other_than;
use super::{normal, value};
use crate::draw::Draw;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::rules::{Literal, Setting};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::Kind;

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let settings = list(making.setting("values"));
    let (mut values, mut known) = (Vec::new(), HashMap::new());
    for setting in settings {
        let text = setting.value.scalar().unwrap_or_default();
        let text = value(making, "values", setting.place, &text)?;
        if known.insert(normal(making.kind(), &text), values.len() as u64).is_some() {
            let message = "a value of values is there twice";
            return Err(making.fault_at(Code::ValueOutside, setting.place, message, "use weights"));
        }
        values.push(Some(text));
    }
    if values.is_empty() {
        return Err(making.fault(Code::ValueOutside, "values", "values is empty", ""));
    }
    if making.flag("or_null", false) {
        if making.target().not_null {
            return Err(making.fault(Code::NullRefused, "or_null", "the column does not take NULL", ""));
        }
        values.push(None);
    }
    let weights = weights(making, values.len())?;
    Ok(Box::new(Choose { kind: making.kind().clone(), values, known, weights }))
}

fn list(setting: Option<&Setting>) -> &[Setting] {
    match setting.map(|setting| &setting.value) {
        Some(Literal::List(list)) => list,
        _ => &[],
    }
}

fn weights(making: &mut Making<'_>, count: usize) -> Result<Vec<f64>, Unfit> {
    let settings = list(making.setting("weights"));
    if making.setting("weights").is_none() {
        return Ok(Vec::new());
    }
    if settings.len() != count {
        let message = format!("there are {count} values and {} weights", settings.len());
        return Err(making.fault(Code::ValueOutside, "weights", message, "each value has a weight"));
    }
    let mut weights = Vec::new();
    for setting in settings {
        let weight = match setting.value {
            Literal::Integer(weight) => weight as f64,
            Literal::Float(weight) => weight,
            _ => f64::NAN,
        };
        if !(weight > 0.0 && weight.is_finite()) {
            let message = "a weight is a number above 0";
            return Err(making.fault_at(Code::ValueOutside, setting.place, message, ""));
        }
        weights.push(weight);
    }
    Ok(weights)
}

#[derive(Debug)]
struct Choose {
    kind: Kind,
    /// None is NULL; it is the last one.
    values: Vec<Option<String>>,
    /// The numbers of the values by their normal text.
    known: HashMap<String, u64>,
    /// Empty: all are alike.
    weights: Vec<f64>,
}

impl Choose {
    fn weighted(&self, plain: Option<u64>, draw: &mut Draw) -> u64 {
        let others = || {
            let all = self.weights.iter().enumerate().map(|(number, weight)| (number as u64, *weight));
            all.filter(|(number, _)| Some(*number) != plain)
        };
        let mut left = others().map(|(_, weight)| weight).sum::<f64>() * draw.fraction();
        let mut last = 0;
        for (number, weight) in others() {
            last = number;
            if left < weight {
                break;
            }
            left -= weight;
        }
        last
    }
}

impl Transformer for Choose {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let plain_number = if plain.is_null {
            self.values.iter().position(Option::is_none).map(|number| number as u64)
        } else {
            self.known.get(&normal(&self.kind, plain.text)).copied()
        };
        let mut draw = plain.draw.clone();
        let number = if self.weights.is_empty() {
            other_than(plain_number, self.values.len() as u64, &mut draw)
        } else {
            self.weighted(plain_number, &mut draw)
        };
        match self.values.get(number as usize) {
            Some(Some(text)) => {
                out.push_str(text);
                Ok(Answer::Text)
            }
            _ => Ok(Answer::Null),
        }
    }
}
