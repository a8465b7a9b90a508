//! `int`, `numeric`, `float`, `bool`.

mod boolean;
mod float;
mod whole;

use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::finding::Code;
use crate::making::{Making, Read, Unfit};
use crate::operand::Operand;
use crate::types::Kind;

/// This family.
pub const ALL: &[Definition] = &[
    Definition {
        name: "int",
        summary: "An integer of a range. With unique, a permutation of the range.",
        parameters: &[
            Parameter::new("min", Takes::Integer, "the type's least", "The least integer.").dynamic(),
            Parameter::new("max", Takes::Integer, "the type's largest", "The largest integer.").dynamic(),
        ],
        takes: |kind| matches!(kind, Kind::Int(_)),
        types: "int2, int4, int8",
        injective: Injective::Bijection,
        greenmask: &["RandomInt"],
        build: |making| Ok(Box::new(whole::Whole::new(making)?)),
    },
    Definition {
        name: "numeric",
        summary: "A number of a range, with so many digits after its point. With unique, a permutation of \
                  these numbers.",
        parameters: &[
            Parameter::new("min", Takes::Number, "", "The least number.").required().dynamic(),
            Parameter::new("max", Takes::Number, "", "The largest number.").required().dynamic(),
            Parameter::new("decimal", Takes::Integer, "0", "How many digits are after the point."),
        ],
        takes: |kind| matches!(kind, Kind::Numeric(_) | Kind::Int(_)),
        types: "numeric, int2, int4, int8",
        injective: Injective::Bijection,
        greenmask: &["RandomNumeric"],
        build: |making| Ok(Box::new(whole::Whole::new(making)?)),
    },
    Definition {
        name: "float",
        summary: "A floating-point number of a range, rounded.",
        parameters: &[
            Parameter::new("min", Takes::Number, "", "The least number.").required().dynamic(),
            Parameter::new("max", Takes::Number, "", "The largest number.").required().dynamic(),
            Parameter::new(
                "decimal",
                Takes::Integer,
                "4",
                "To how many digits after the point it is rounded.",
            ),
        ],
        takes: |kind| matches!(kind, Kind::Float(_)),
        types: "float4, float8",
        injective: Injective::No,
        greenmask: &["RandomFloat"],
        build: |making| Ok(Box::new(float::Float::new(making)?)),
    },
    Definition {
        name: "bool",
        summary: "The other truth value; with engine = \"random\", either one by chance, row by row.",
        parameters: &[],
        takes: |kind| matches!(kind, Kind::Bool),
        types: "bool",
        injective: Injective::No,
        greenmask: &["RandomBool"],
        build: |making| Ok(Box::new(boolean::Truth::new(making)?)),
    },
];

/// Whether a transformer that can be a bijection has to be one. A finding: it has to, but the
/// engine or another setting does not allow it.
pub(super) fn is_bijection(making: &mut Making<'_>) -> Result<bool, Unfit> {
    if !making.is_unique() {
        return Ok(false);
    }
    if !making.is_keyed() {
        return Err(random_is_not_unique(making));
    }
    if making.rule().common.replaces_null == Some(true) {
        let message = "a permutation has no fiction for NULL that no other value gets";
        return Err(making.fault(Code::NotInjective, "null", message, "null = \"keep\""));
    }
    Ok(true)
}

/// The finding: values that are drawn row by row may be equal.
pub(super) fn random_is_not_unique(making: &mut Making<'_>) -> Unfit {
    let message = match making.around.unique {
        Some(constraint) => {
            format!("{constraint} needs different values, and engine = \"random\" may repeat them")
        }
        None => "engine = \"random\" may repeat values".to_string(),
    };
    making.fault(Code::NotInjective, "engine", message, "engine = \"keyed\"")
}

/// The finding: the transformer may give equal fictions to different values.
pub(super) fn not_injective(making: &mut Making<'_>, hint: &str) -> Unfit {
    let name = making.rule().name.clone();
    let wants = making.around.unique.unwrap_or("the rule");
    let message = format!("{wants} needs different values, and {name} may repeat them");
    making.fault(Code::NotInjective, "unique", message, hint)
}

/// A finding if a parameter comes from a column whose values it cannot be. A cast or a map makes of
/// any value what the parameter takes.
pub(super) fn check_source<T>(
    making: &mut Making<'_>,
    name: &str,
    operand: &Option<Operand<T>>,
    fits: fn(&Kind) -> bool,
) -> Result<(), Unfit> {
    let Some(Operand::From(dynamic)) = operand else { return Ok(()) };
    if dynamic.cast.is_some() || !dynamic.map.is_empty() {
        return Ok(());
    }
    let source = making.target_of(Read { column: dynamic.column, masked: dynamic.masked });
    let Some(source) = source.filter(|source| !fits(&source.kind)) else { return Ok(()) };
    let message = format!("{name} cannot come from a column of {}", source.sql_type);
    Err(making.fault(Code::UnfitType, name, message, "cast or map"))
}

#[cfg(test)]
pub(super) mod harness;
#[cfg(test)]
mod tests;
