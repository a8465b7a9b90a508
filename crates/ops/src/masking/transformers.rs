//! `pgark mask list` and `show`: what there is, of the definitions themselves.

use pgark_mask::definition::{Definition, Injective, Takes};
use pgark_mask::transformers;
use schemars::JsonSchema;
use serde::Serialize;

use crate::OpsError;
use crate::nearest::did_you_mean;

/// One transformer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TransformerReport {
    /// Its name.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The types that it makes values of.
    pub types: &'static str,
    /// What it promises of a unique column: bijection, width, as it is, only NULL, no, depends.
    pub unique: &'static str,
    /// What Greenmask calls it.
    pub greenmask: Vec<&'static str>,
    /// Its own parameters.
    pub parameters: Vec<ParameterReport>,
}

/// One parameter.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ParameterReport {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub takes: String,
    /// It must be given.
    pub required: bool,
    /// What counts without it; may be empty.
    pub default: &'static str,
    /// It may come from a column of the row.
    pub dynamic: bool,
    /// One sentence.
    pub meaning: &'static str,
}

/// Every transformer, by family.
pub fn all() -> Vec<TransformerReport> {
    transformers::all().map(TransformerReport::of).collect()
}

/// One transformer by its name, or by Greenmask's.
///
/// # Errors
/// There is none.
pub fn named(name: &str) -> Result<TransformerReport, OpsError> {
    let of_greenmask = || transformers::all().find(|definition| definition.greenmask.contains(&name));
    let found = transformers::named(name).or_else(of_greenmask);
    found.map(TransformerReport::of).ok_or_else(|| {
        let near = did_you_mean(name, transformers::all().map(|definition| definition.name));
        OpsError::refused(
            format!("no transformer is called {name:?}"),
            format!("{near}`pgark mask list` shows all"),
        )
    })
}

impl TransformerReport {
    fn of(definition: &Definition) -> TransformerReport {
        let parameters = definition.parameters.iter().map(|parameter| ParameterReport {
            name: parameter.name,
            takes: match parameter.takes {
                Takes::Word(words) => words.join(" | "),
                other => other.shown().to_string(),
            },
            required: parameter.required,
            default: parameter.default,
            dynamic: parameter.dynamic,
            meaning: parameter.meaning,
        });
        TransformerReport {
            name: definition.name,
            summary: definition.summary,
            types: definition.types,
            unique: match definition.injective {
                Injective::Bijection => "bijection",
                Injective::Width => "width",
                Injective::AsItIs => "as it is",
                Injective::OnlyNull => "only NULL",
                Injective::No => "no",
                Injective::Depends => "depends",
            },
            greenmask: definition.greenmask.to_vec(),
            parameters: parameters.collect(),
        }
    }
}
