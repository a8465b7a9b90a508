//! What a transformer is called, takes and promises: of this the checks, `pgark mask show` and the
//! list in docs/masking.md are made.

use crate::making::{Making, Unfit};
use crate::transformer::Transformer;
use crate::types::Kind;

/// A transformer before it is built for a column.
#[derive(Clone, Copy)]
pub struct Definition {
    /// `person.first`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What its own parameters are.
    pub parameters: &'static [Parameter],
    /// Whether it makes values of a kind.
    pub takes: fn(&Kind) -> bool,
    /// The types that it makes values of, for people.
    pub types: &'static str,
    /// What it promises of a unique column.
    pub injective: Injective,
    /// What Greenmask calls it.
    pub greenmask: &'static [&'static str],
    /// Builds it for a column.
    pub build: fn(&mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit>,
}

impl Definition {
    /// Parameters are or have other rules.
    pub fn has_inner_rules(&self) -> bool {
        self.parameters.iter().any(|parameter| matches!(parameter.takes, Takes::Rule | Takes::Rules))
    }

    /// A parameter is another rule, whose own parameters may be given with it.
    pub fn has_inner_rule(&self) -> bool {
        self.parameters.iter().any(|parameter| parameter.takes == Takes::Rule)
    }
}

/// What a transformer promises of a unique column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injective {
    /// With `unique`, it is a bijection of a finite domain onto itself.
    Bijection,
    /// With `unique`, at least 96 bits of the keyed function are part of the fiction.
    Width,
    /// It keeps values apart as they are (`keep`).
    AsItIs,
    /// It only makes NULL, which a unique column may hold many times.
    OnlyNull,
    /// It is refused on a unique column.
    No,
    /// That depends on its parameters; `build` says.
    Depends,
}

/// A parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// It must be given.
    pub required: bool,
    /// What counts without it, for people; empty: nothing.
    pub default: &'static str,
    /// One sentence.
    pub meaning: &'static str,
    /// It may be `{ from = "column", … }`.
    pub dynamic: bool,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// An integer.
    Integer,
    /// Any number.
    Number,
    /// A string.
    Text,
    /// true or false.
    Flag,
    /// One of some words.
    Word(&'static [&'static str]),
    /// A list of strings, or one string.
    Texts,
    /// A value of the column's type.
    Value,
    /// A list of values of the column's type.
    Values,
    /// A table from texts to values of the column's type.
    Map,
    /// An interval: `60 days`.
    Interval,
    /// Another rule.
    Rule,
    /// A table from paths to rules.
    Rules,
    /// A list of tables; the meaning says which.
    Tables,
}

impl Parameter {
    /// A parameter that may be left out and is not dynamic.
    pub const fn new(
        name: &'static str,
        takes: Takes,
        default: &'static str,
        meaning: &'static str,
    ) -> Parameter {
        Parameter { name, takes, required: false, default, meaning, dynamic: false }
    }

    /// The same, but it must be given.
    pub const fn required(self) -> Parameter {
        Parameter { required: true, ..self }
    }

    /// The same, but it may come from a column.
    pub const fn dynamic(self) -> Parameter {
        Parameter { dynamic: true, ..self }
    }
}
