//! What is wrong with rules, or worth knowing: every finding at once, each with its code and place.

use std::fmt;

use serde::Serialize;

/// Where something is in the rules file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is masked with such rules.
    Error,
    /// A person must decide whether it is meant; `[[accept]]` says that it is.
    Warning,
    /// Worth knowing.
    Info,
}

macro_rules! codes {
    ($($name:ident $code:literal $severity:ident $meaning:literal;)+) => {
        /// What kind of finding it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $meaning] $name,)+ }

        impl Code {
            /// Every code, in the order of their numbers.
            pub const ALL: &[Code] = &[$(Code::$name,)+];

            /// `M101`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code,)+ }
            }

            /// How bad it is, where no policy says otherwise.
            pub const fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)+ }
            }

            /// What it means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning,)+ }
            }
        }
    };
}

codes! {
    NotToml "M001" Error "The file is not TOML.";
    UnknownKey "M002" Error "The file has a key that rules do not have.";
    UnknownTransformer "M003" Error "No transformer has this name.";
    ParameterMissing "M004" Error "A transformer needs a parameter that is missing.";
    ParameterUnknown "M005" Error "A transformer does not have this parameter.";
    WrongValue "M006" Error "A value is of a type, or in a form, that its key does not take.";
    DoesNotCompile "M007" Error "A template, an expression or a pattern does not compile.";
    VariableUnset "M008" Error "An environment variable that the file names is not set.";
    KeyUnfit "M009" Error "The mask key is missing or shorter than 16 bytes.";
    UnknownTable "M101" Error "No table of the database has this name.";
    UnknownColumn "M102" Error "The table has no column of this name.";
    UnknownType "M103" Error "The database has no type of this name.";
    PatternFitsNothing "M104" Warning "A pattern fits no column.";
    UnfitType "M110" Error "The transformer does not make values of the column's type.";
    ValueOutside "M111" Error "A value, list or range does not fit the column.";
    NullRefused "M112" Error "The rule may make a NULL where NULL is refused.";
    NotInjective "M120" Error "The column is unique, and the rule may make equal values of different ones.";
    UniqueAtRun "M121" Warning "Masked rows could break a unique key: it is proved while rows are masked, or it is not known.";
    ReferenceDiffers "M130" Error "The two ends of a reference are masked differently.";
    NoCommonForm "M131" Error "The types of the two ends of a reference have no common canonical form.";
    VirtualDiffers "M132" Warning "The two ends of a virtual reference are masked by different kinds.";
    Constrained "M140" Warning "A constraint, generated column, policy, trigger or partition bound reads the column.";
    GeneratedNamed "M141" Error "A generated column has a rule; the server computes it again.";
    GeneratedReadsKept "M142" Warning "A generated column reads a column that is kept.";
    Undecided "M150" Error "No rule speaks of the column.";
    ChosenByItself "M151" Info "The policy `auto` chose what the column becomes.";
    KeptByPolicy "M152" Warning "Columns that no rule speaks of are kept.";
    PlainRows "M153" Warning "A condition leaves rows plain.";
    LooksPersonal "M154" Warning "A column that is kept looks personal.";
    ChangesNothing "M155" Error "The rule cannot change what it is given.";
    PlainDefinition "M160" Error "A definition holds a plain value or literal of a masked column.";
    PlainObject "M161" Error "A large object, foreign table or value of an unknown type has no rule.";
    Drift "M180" Warning "The schema differs from what mask.lock says.";
    MaskedSession "M190" Warning "The session itself sees masked rows.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One finding. It never holds a plain value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of finding it is.
    pub code: Code,
    /// How bad it is here.
    pub severity: Severity,
    /// `schema.table`, where it is about one.
    pub table: Option<String>,
    /// The column.
    pub column: Option<String>,
    /// The constraint or index.
    pub constraint: Option<String>,
    /// Where in the rules file; None: nowhere, as for a column that no rule speaks of.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
    /// Why it is accepted, as the file says.
    pub accepted: Option<String>,
}

impl Finding {
    /// A finding of the code's own severity.
    pub fn new(code: Code, message: impl Into<String>) -> Finding {
        Finding {
            code,
            severity: code.severity(),
            table: None,
            column: None,
            constraint: None,
            place: None,
            message: message.into(),
            hint: String::new(),
            accepted: None,
        }
    }

    /// Says where in the file.
    pub fn at(self, place: Place) -> Finding {
        Finding { place: Some(place), ..self }
    }

    /// Says which column of which table.
    pub fn on(self, table: &str, column: &str) -> Finding {
        Finding { table: Some(table.to_string()), column: Some(column.to_string()), ..self }
    }

    /// Says what to do.
    pub fn hint(self, hint: impl Into<String>) -> Finding {
        Finding { hint: hint.into(), ..self }
    }
}
