//! `fixed`, `default`, `choose`, `map`: values that the rules file or the catalog itself holds.

mod choose;
mod map;
mod of_column;
mod sql_literal;
#[cfg(test)]
mod tests;

use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::finding::{Code, Place};
use crate::making::{Making, Unfit};
use crate::operand::Operand;
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::{Decimal, Kind, Target, check_text};

/// This family.
pub const ALL: &[Definition] = &[
    Definition {
        name: "fixed",
        summary: "Replaces each value by one that the rule or another column gives.",
        parameters: &[Parameter::new(
            "value",
            Takes::Value,
            "",
            "The value. From a column that is NULL, without a default, it is NULL.",
        )
        .required()
        .dynamic()],
        takes: |_| true,
        types: "any",
        injective: Injective::No,
        greenmask: &["Replace"],
        build,
    },
    Definition {
        name: "default",
        summary: "Replaces each value by the column's default, where that is a constant; NULL where there is none.",
        parameters: &[],
        takes: |_| true,
        types: "any",
        injective: Injective::No,
        greenmask: &[],
        build: of_column::build,
    },
    Definition {
        name: "choose",
        summary: "Replaces each value by another one of a list.",
        parameters: &[
            Parameter::new("values", Takes::Values, "", "The list.").required(),
            Parameter::new(
                "weights",
                Takes::Values,
                "all alike",
                "How often each value is chosen, relative to the others; with or_null, the last one is that of NULL.",
            ),
            Parameter::new("or_null", Takes::Flag, "false", "NULL is one of the values as well."),
        ],
        takes: |_| true,
        types: "any",
        injective: Injective::No,
        greenmask: &["RandomChoice"],
        build: choose::build,
    },
    Definition {
        name: "map",
        summary: "Replaces values as a table says.",
        parameters: &[
            Parameter::new("values", Takes::Map, "", "From plain values to what they become.").required(),
            Parameter::new("to_null", Takes::Texts, "", "Plain values that become NULL."),
            Parameter::new(
                "else",
                Takes::Value,
                "refuse",
                "What becomes of other values: refuse, keep, null, or the value that they become.",
            ),
        ],
        takes: |_| true,
        types: "any",
        injective: Injective::Depends,
        greenmask: &["Dict"],
        build: map::build,
    },
];

/// A value of the rules file as the column's text; what the column does not take is a finding.
fn value(making: &mut Making<'_>, name: &str, place: Place, text: &str) -> Result<String, Unfit> {
    if let Err(why) = check_text(making.target(), text) {
        let message = format!("a value of {name} {why}; the column is {}", making.target().sql_type);
        return Err(making.fault_at(Code::ValueOutside, place, message, ""));
    }
    Ok(written(making.kind(), text))
}

/// The text as the server would write it, where that is easy to say.
fn written(kind: &Kind, text: &str) -> String {
    match kind {
        Kind::Bool => {
            let word = text.trim().to_ascii_lowercase();
            let is_true = word.starts_with(['t', 'y', '1']) || word == "on";
            if is_true { "t" } else { "f" }.to_string()
        }
        _ => text.to_string(),
    }
}

/// What texts of one value have in common: `1.0` and `1` of numbers, blanks at the end of `char`.
fn normal(kind: &Kind, text: &str) -> String {
    match kind {
        Kind::Int(_) | Kind::Numeric(_) | Kind::Float(_) => match Decimal::parse(text) {
            Some(decimal) => {
                let shown = decimal.to_string();
                let short = if decimal.scale > 0 { shown.trim_end_matches('0') } else { &shown };
                let short = short.strip_suffix('.').unwrap_or(short);
                if short == "-0" { "0".to_string() } else { short.to_string() }
            }
            None => text.to_string(),
        },
        Kind::Char(_) => text.trim_end_matches(' ').to_string(),
        Kind::Citext => text.to_lowercase(),
        _ => written(kind, text),
    }
}

fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let place = making.setting("value").map_or(making.rule().place, |setting| setting.place);
    let operand = making.operand("value", |text| Some(text.to_string()))?;
    let value = match operand {
        Some(Operand::Fixed(text)) => Operand::Fixed(self::value(making, "value", place, &text)?),
        Some(Operand::From(mut dynamic)) => {
            for text in dynamic.map.iter_mut().map(|(_, text)| text) {
                *text = self::value(making, "value", place, text)?;
            }
            for text in dynamic.other.iter_mut().chain(&mut dynamic.default) {
                *text = self::value(making, "value", place, text)?;
            }
            Operand::From(dynamic)
        }
        None => return Err(making.fault(Code::ParameterMissing, "value", "fixed needs value", "")),
    };
    Ok(Box::new(Fixed { value, target: making.target().clone() }))
}

#[derive(Debug)]
struct Fixed {
    value: Operand<String>,
    target: Target,
}

impl Transformer for Fixed {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let dynamic = match &self.value {
            Operand::Fixed(text) => {
                out.push_str(text);
                return Ok(Answer::Text);
            }
            Operand::From(dynamic) => dynamic,
        };
        let read =
            if dynamic.masked { plain.row.masked(dynamic.column) } else { plain.row.plain(dynamic.column) };
        if read.is_none() && dynamic.default.is_none() {
            if self.target.not_null {
                return Err(Refusal::new(
                    "value comes from a column that is NULL, which this column refuses",
                ));
            }
            return Ok(Answer::Null);
        }
        let text = self.value.get(plain.row)?;
        match self.target.most_chars() {
            Some(most) => out.extend(text.chars().take(most as usize)),
            None => out.push_str(&text),
        }
        check_text(&self.target, out)
            .map_err(|why| Refusal::new(format!("value comes from a column and {why}")))?;
        Ok(Answer::Text)
    }
}
