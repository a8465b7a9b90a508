//! A rules file, read and checked by itself: what can be said without a catalog.
//!
//! [`Rules`] is what the file says, with the place of everything, so that a finding of a later step
//! can point at it. docs/masking.md describes the file for people.

mod literal;
mod parse;

pub use literal::{Literal, Setting};

use std::path::PathBuf;

use crate::finding::Place;

/// Kinds lead to kinds; so far, and then it is a cycle.
pub(crate) const MOST_KINDS: usize = 16;

/// A whole rules file.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The edition of our word lists and formats: an upgrade of pgark never changes a fiction.
    pub vocabulary: u32,
    /// `de_DE`: whose names and addresses, where a rule says nothing else.
    pub locale: Option<(String, Place)>,
    /// Where the mask key comes from; None: the file does not say.
    pub key: Option<(KeySource, Place)>,
    /// What counts where no rule speaks.
    pub policy: Policy,
    /// `[kind.NAME]`, in the file's order.
    pub kinds: Vec<NamedRule>,
    /// `[[column]]`, in the file's order: the first that fits holds.
    pub patterns: Vec<PatternRule>,
    /// `[table."schema.name"]`, in the file's order.
    pub tables: Vec<TableRules>,
    /// `[[reference]]`: foreign keys that the schema does not have.
    pub references: Vec<VirtualReference>,
    /// `[[accept]]`.
    pub accepted: Vec<Accepted>,
    /// `[[test]]`.
    pub tests: Vec<RuleTest>,
    /// BLAKE3 of the file's bytes, hexadecimal.
    pub hash: String,
}

/// Where the mask key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// An environment variable.
    Environment {
        /// Its name.
        name: String,
        /// How its value is written.
        encoding: KeyEncoding,
    },
    /// A file.
    File {
        /// Its path, as the rules have it.
        path: PathBuf,
        /// How its content is written.
        encoding: KeyEncoding,
    },
    /// What a program prints.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
        /// How its output is written.
        encoding: KeyEncoding,
    },
    /// A new one each run, never stored.
    Ephemeral,
}

/// How a key is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyEncoding {
    /// Its bytes, without a newline at the end.
    #[default]
    Plain,
    /// Hexadecimal digits.
    Hex,
    /// Base64.
    Base64,
}

/// `[policy]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// A column that no rule speaks of.
    pub columns: Unspoken,
    /// Plain values inside definitions.
    pub definitions: OnDefinition,
    /// Large objects.
    pub large_objects: OnLargeObjects,
}

/// What becomes of a column that no rule speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unspoken {
    /// Nothing is masked until a rule says.
    #[default]
    Refuse,
    /// Its default, NULL, or a value of the type's own.
    Auto,
    /// It stays plain.
    Keep,
}

/// What becomes of plain values inside of definitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDefinition {
    /// An error.
    #[default]
    Refuse,
    /// A warning.
    Warn,
    /// Nothing is looked for.
    Keep,
}

/// What becomes of large objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLargeObjects {
    /// A database with large objects is refused.
    Refuse,
    /// They stay, without content.
    #[default]
    Empty,
    /// They stay plain.
    Keep,
}

/// How a column is masked: a transformer with its parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// The transformer's name, or a kind's.
    pub name: String,
    /// Where the name is.
    pub place: Place,
    /// Parameters of the transformer's own, in the file's order.
    pub parameters: Vec<(String, Setting)>,
    /// What any transformer takes.
    pub common: Common,
}

/// What any rule takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Common {
    /// Different values get different fictions.
    pub unique: Option<bool>,
    /// NULL gets a fiction as well; false: it does not, whatever the kind says.
    pub replaces_null: Option<bool>,
    /// How a fiction is chosen.
    pub engine: Option<Engine>,
    /// With `engine = "random"`: the same each time, for tests.
    pub seed: Option<i64>,
    /// What sets equal rules apart, or ties different ones together.
    pub domain: Option<String>,
    /// The rows that the rule holds for.
    pub when: Option<Setting>,
    /// What a row is that `when` does not hold for.
    pub otherwise: Option<(Otherwise, Place)>,
    /// False: columns that refer to this one get no rule by it.
    pub follow: Option<bool>,
    /// False: partitions and children get no rule by it.
    pub children: Option<bool>,
    /// Whose names and addresses.
    pub locale: Option<Setting>,
    /// Columns that a template reads and that its text does not show.
    pub reads: Vec<Setting>,
}

/// How a fiction is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// By the mask key and the value, or the row's subject: equal values get equal fictions,
    /// always.
    #[default]
    Keyed,
    /// By a key of this run and the value, or the row's subject.
    Run,
    /// Row by row, whoever the subject is.
    Random,
}

/// What a row or value is that a condition does not hold for. Unknown is not true, as in SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It stays plain.
    Keep,
    /// The whole row is left out (a table's condition alone).
    Drop,
    /// NULL.
    Null,
}

/// `[kind.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedRule {
    /// Its name.
    pub name: String,
    /// What it is.
    pub rule: Rule,
}

/// `[[column]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct PatternRule {
    /// `schema.table.column`, with psql's wildcards.
    pub matches: Vec<Setting>,
    /// Names of types; empty: any.
    pub types: Vec<Setting>,
    /// What it is.
    pub rule: Rule,
}

/// `[table."schema.name"]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableRules {
    /// `schema.name`.
    pub table: String,
    /// Where the section begins.
    pub place: Place,
    /// The column that says whom a row is about.
    pub subject: Option<Setting>,
    /// Columns that stay plain; `*`: all that no rule names.
    pub keep: Vec<Setting>,
    /// Rules by column, in the file's order.
    pub columns: Vec<(String, Rule)>,
    /// One program for several columns of a row (`record`).
    pub record: Option<Rule>,
    /// The rows that the rules hold for.
    pub when: Option<Setting>,
    /// What the other rows are.
    pub otherwise: Option<(Otherwise, Place)>,
    /// Columns whose values are of another type than their own: `external_ref = "int4"`.
    pub types: Vec<(String, Setting)>,
    /// `rows = "none"`: definition only.
    pub rows_none: bool,
    /// A query whose rows come in place of the table's.
    pub query: Option<Setting>,
    /// False: partitions and children get no rule by it.
    pub children: Option<bool>,
}

/// `[[reference]]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VirtualReference {
    /// `schema.table(column, …)`; a column may be an expression in parentheses.
    pub from: Setting,
    /// `schema.table(column, …)`.
    pub to: Setting,
    /// The rows that refer there.
    pub when: Option<Setting>,
}

/// `[[accept]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// `M140`.
    pub code: Setting,
    /// `schema.table`; None: any.
    pub table: Option<Setting>,
    /// The column; None: any.
    pub column: Option<Setting>,
    /// Why.
    pub because: String,
    /// Where it is.
    pub place: Place,
}

/// `[[test]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTest {
    /// `schema.table`.
    pub table: Setting,
    /// Plain values by column.
    pub row: Vec<(String, Setting)>,
    /// Fictions by column: the text itself, or `~` and a pattern.
    pub expect: Vec<(String, Setting)>,
    /// Where it is.
    pub place: Place,
}
