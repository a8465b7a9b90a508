//! `json`, `each`: values inside of values.

mod change;
mod each;
mod json;
mod path;
#[cfg(test)]
mod tests;

use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::types::Kind;

/// This family.
pub const ALL: &[Definition] = &[
    Definition {
        name: "json",
        summary: "Applies rules to values inside of a document; everything else, names of members too, keeps its bytes.",
        parameters: &[
            Parameter::new(
                "paths",
                Takes::Rules,
                "",
                "From paths ($.a.b, $..phone, $.list[*].x, $.list[0], $.*) to rules; the first that fits a value \
                 holds, and holds for all that is inside of it.",
            ),
            Parameter::new(
                "rest",
                Takes::Word(REST),
                "refuse",
                "What becomes of values that no path fits: keep, refuse or null.",
            ),
            Parameter::new(
                "operations",
                Takes::Tables,
                "",
                "Changes that are made in their order after the paths: { operation = \"set\" or \"delete\", path, \
                 value or rule, error_not_exist, skip_not_exist }.",
            ),
        ],
        takes: |kind| matches!(kind, Kind::Json | Kind::Jsonb),
        types: "json, jsonb",
        injective: Injective::No,
        greenmask: &["Json"],
        build: json::build,
    },
    Definition {
        name: "each",
        summary: "Applies a rule to each element of an array, bound of a range, attribute of a composite value, or value of hstore.",
        parameters: &[
            Parameter::new(
                "of",
                Takes::Rule,
                "",
                "The rule of elements, bounds, or of the attributes and keys that have none; its \
                 parameters may be given here, too.",
            ),
            Parameter::new("fields", Takes::Rules, "", "Of a composite type: rules by attribute."),
            Parameter::new("keys", Takes::Rules, "", "Of hstore: rules by key."),
            Parameter::new(
                "rest",
                Takes::Word(REST),
                "refuse",
                "Without of: what becomes of attributes and keys without a rule: keep, refuse or null.",
            ),
        ],
        takes: |kind| {
            matches!(
                kind,
                Kind::Array(_) | Kind::Range(_) | Kind::Multirange(_) | Kind::Composite(_) | Kind::Hstore
            )
        },
        types: "arrays, ranges, multiranges, composite types, hstore",
        injective: Injective::No,
        greenmask: &[],
        build: each::build,
    },
];

const REST: &[&str] = &["keep", "refuse", "null"];

/// What becomes of values that no rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Keep,
    Refuse,
    Null,
}

impl Rest {
    fn of(making: &Making<'_>) -> Rest {
        match making.text("rest") {
            Some("keep") => Rest::Keep,
            Some("null") => Rest::Null,
            _ => Rest::Refuse,
        }
    }
}

/// The rule changes nothing at all.
fn changes_nothing(making: &mut Making<'_>, name: &str) -> Unfit {
    let message = "the rule leaves every value as it is";
    making.fault(Code::ChangesNothing, name, message, "use = \"keep\" says so")
}
