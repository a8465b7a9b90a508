//! Builds one transformer for one column: reads its parameters, and collects what is wrong with
//! them.

use std::collections::BTreeSet;

use crate::definition::{Definition, Parameter, Takes};
use crate::finding::{Code, Finding, Place};
use crate::key::RuleKey;
use crate::operand::{Cast, Dynamic, Operand};
use crate::rules::{Engine, Literal, NamedRule, Rule, Setting};
use crate::transformer::Transformer;
use crate::transformers;
use crate::types::{Kind, Target};
use crate::vocabulary::Locale;

/// The transformer could not be built; the findings say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit;

/// Where a rule is: what a transformer must know in addition to its parameters.
#[derive(Clone, Copy)]
pub struct Around<'m> {
    /// `schema.table`.
    pub table: &'m str,
    /// The column.
    pub column: &'m str,
    /// Names and targets of the table's columns, in the order of COPY.
    pub columns: &'m [(String, Target)],
    /// What the column takes.
    pub target: &'m Target,
    /// The column's default, as the server writes it.
    pub default: Option<&'m str>,
    /// The key of the rule's domain.
    pub key: RuleKey,
    /// How a fiction is chosen.
    pub engine: Engine,
    /// The constraint or rule that wants different fictions for different values; None: none.
    pub unique: Option<&'m str>,
    /// A unique index is over `lower(column)`: fictions are in lower case.
    pub lower_case: bool,
    /// The edition of word lists.
    pub vocabulary: u32,
    /// Whose names and addresses.
    pub locale: Locale,
    /// `[kind.NAME]`: rules inside of the rule may name them.
    pub kinds: &'m [NamedRule],
}

/// One transformer in the making.
pub struct Making<'m> {
    /// Where the rule is.
    pub around: Around<'m>,
    rule: &'m Rule,
    definition: &'static Definition,
    findings: &'m mut Vec<Finding>,
    reads: &'m mut BTreeSet<Read>,
}

/// Another column that a rule reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    /// Its number in COPY.
    pub column: usize,
    /// Its fiction is read, which must be made first.
    pub masked: bool,
}

/// Builds the transformer of a rule. What is wrong comes to `findings`, the other columns that it
/// reads to `reads`.
pub fn make(
    rule: &Rule,
    around: Around<'_>,
    findings: &mut Vec<Finding>,
    reads: &mut BTreeSet<Read>,
) -> Result<Box<dyn Transformer>, Unfit> {
    let place = |finding: Finding| finding.at(rule.place).on(around.table, around.column);
    let Some(definition) = transformers::named(&rule.name) else {
        let finding =
            Finding::new(Code::UnknownTransformer, format!("no transformer is called {}", rule.name));
        findings.push(place(finding).hint(transformers::hint(&rule.name)));
        return Err(Unfit);
    };
    if !(definition.takes)(&around.target.kind) {
        let message =
            format!("{} makes {}, and the column is {}", rule.name, definition.types, around.target.sql_type);
        findings.push(place(Finding::new(Code::UnfitType, message)));
        return Err(Unfit);
    }
    let mut making = Making::new(rule, around, definition, findings, reads)?;
    (definition.build)(&mut making)
}

impl<'m> Making<'m> {
    /// For a program that is no transformer of one column (a record): its parameters are checked.
    pub(crate) fn new(
        rule: &'m Rule,
        around: Around<'m>,
        definition: &'static Definition,
        findings: &'m mut Vec<Finding>,
        reads: &'m mut BTreeSet<Read>,
    ) -> Result<Making<'m>, Unfit> {
        let before = findings.len();
        let mut making = Making { around, rule, definition, findings, reads };
        making.check_parameters();
        if making.findings.len() > before { Err(Unfit) } else { Ok(making) }
    }

    /// What the column takes.
    pub fn target(&self) -> &'m Target {
        self.around.target
    }

    /// What the column's values are.
    pub fn kind(&self) -> &'m Kind {
        &self.around.target.kind
    }

    /// The key of the rule's domain.
    pub fn key(&self) -> RuleKey {
        self.around.key
    }

    /// Different values must get different fictions.
    pub fn is_unique(&self) -> bool {
        self.around.unique.is_some()
    }

    /// Equal values get equal fictions, so that a permutation can be used.
    pub fn is_keyed(&self) -> bool {
        self.around.engine != Engine::Random
    }

    /// The rule itself.
    pub fn rule(&self) -> &'m Rule {
        self.rule
    }

    /// Records that something is wrong with a parameter; the place is the parameter's, or the
    /// rule's.
    pub fn fault(
        &mut self,
        code: Code,
        parameter: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Unfit {
        let place = self.setting(parameter).map_or(self.rule.place, |setting| setting.place);
        self.fault_at(code, place, message, hint)
    }

    /// Records that something is wrong at a place.
    pub fn fault_at(
        &mut self,
        code: Code,
        place: Place,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Unfit {
        let finding = Finding::new(code, message).at(place).hint(hint);
        self.findings.push(finding.on(self.around.table, self.around.column));
        Unfit
    }

    /// A parameter as the file has it.
    pub fn setting(&self, name: &str) -> Option<&'m Setting> {
        self.rule.parameters.iter().find(|(key, _)| key == name).map(|(_, setting)| setting)
    }

    /// An integer parameter.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.setting(name)?.value {
            Literal::Integer(number) => Some(number),
            _ => None,
        }
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.setting(name)?.value {
            Literal::Integer(number) => Some(number as f64),
            Literal::Float(number) => Some(number),
            _ => None,
        }
    }

    /// A string.
    pub fn text(&self, name: &str) -> Option<&'m str> {
        match &self.setting(name)?.value {
            Literal::Text(text) | Literal::Time(text) => Some(text),
            _ => None,
        }
    }

    /// true or false; `otherwise` if it is not given.
    pub fn flag(&self, name: &str, otherwise: bool) -> bool {
        match self.setting(name).map(|setting| &setting.value) {
            Some(Literal::Flag(flag)) => *flag,
            _ => otherwise,
        }
    }

    /// A list of texts, or one text.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        let setting = self.setting(name)?;
        match &setting.value {
            Literal::List(list) => Some(list.iter().filter_map(|setting| setting.value.scalar()).collect()),
            other => Some(vec![other.scalar()?]),
        }
    }

    /// A parameter that may come from a column. `parse` reads a value of it; what it does not
    /// take is a finding.
    pub fn operand<T: Clone>(
        &mut self,
        name: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<Option<Operand<T>>, Unfit> {
        let Some(setting) = self.setting(name) else { return Ok(None) };
        if let Literal::Table(members) = &setting.value {
            return self.dynamic(name, members, parse).map(|dynamic| Some(Operand::From(dynamic)));
        }
        let value = self.parsed(name, setting, parse)?;
        Ok(Some(Operand::Fixed(value)))
    }

    fn parsed<T>(&mut self, name: &str, setting: &Setting, parse: fn(&str) -> Option<T>) -> Result<T, Unfit> {
        let value = setting.value.scalar().and_then(|text| parse(&text));
        value.ok_or_else(|| {
            let message = format!("{name} does not take {}", shown(&setting.value));
            self.fault_at(Code::ValueOutside, setting.place, message, "")
        })
    }

    fn dynamic<T: Clone>(
        &mut self,
        name: &str,
        members: &'m [(String, Setting)],
        parse: fn(&str) -> Option<T>,
    ) -> Result<Dynamic<T>, Unfit> {
        let mut dynamic = Dynamic {
            column: 0,
            masked: false,
            cast: None,
            map: Vec::new(),
            other: None,
            default: None,
            parse,
            name: name.to_string(),
        };
        let mut from = None;
        for (key, setting) in members {
            match (key.as_str(), &setting.value) {
                ("from", Literal::Text(column)) => from = Some(self.read(column, setting.place)?),
                ("cast", Literal::Text(cast)) => {
                    let known = Cast::named(cast);
                    let hint = || format!("casts: {}", Cast::names().join(", "));
                    let fault = known.is_none().then(|| {
                        self.fault_at(
                            Code::WrongValue,
                            setting.place,
                            format!("no cast is called {cast}"),
                            hint(),
                        )
                    });
                    if let Some(fault) = fault {
                        return Err(fault);
                    }
                    dynamic.cast = known;
                }
                ("map", Literal::Table(map)) => {
                    for (to, texts) in map {
                        let value = parse(to).ok_or_else(|| {
                            self.fault_at(
                                Code::ValueOutside,
                                texts.place,
                                format!("{name} does not take \"{to}\""),
                                "",
                            )
                        })?;
                        let texts = match &texts.value {
                            Literal::List(list) => list.iter().filter_map(|one| one.value.scalar()).collect(),
                            other => other.scalar().into_iter().collect::<Vec<_>>(),
                        };
                        dynamic.map.extend(texts.into_iter().map(|text| (text, value.clone())));
                    }
                }
                ("else", _) => dynamic.other = Some(self.parsed(name, setting, parse)?),
                ("default", _) => dynamic.default = Some(self.parsed(name, setting, parse)?),
                _ => {
                    let message = format!("{name} has no {key} of this kind");
                    return Err(self.fault_at(
                        Code::WrongValue,
                        setting.place,
                        message,
                        "from, cast, map, else, default",
                    ));
                }
            }
        }
        let Some(read) = from else {
            let message = format!("{name} does not say from which column it comes");
            return Err(self.fault(Code::WrongValue, name, message, "{ from = \"column\" }"));
        };
        (dynamic.column, dynamic.masked) = (read.column, read.masked);
        Ok(dynamic)
    }

    /// Another column, by its name: `name`, or `masked.name` for its fiction. From now on the rule
    /// reads it.
    pub fn read(&mut self, name: &str, place: Place) -> Result<Read, Unfit> {
        let (masked, column) = match name.strip_prefix("masked.") {
            Some(column) => (true, column),
            None => (false, name),
        };
        let Some(number) = self.around.columns.iter().position(|(known, _)| known == column) else {
            let message = format!("{} has no column {column}", self.around.table);
            return Err(self.fault_at(Code::UnknownColumn, place, message, ""));
        };
        let read = Read { column: number, masked };
        self.reads.insert(read);
        Ok(read)
    }

    /// What a column of the table takes.
    pub fn target_of(&self, read: Read) -> Option<&'m Target> {
        self.around.columns.get(read.column).map(|(_, target)| target)
    }

    /// Builds a transformer that is a part of this one, for another target: the elements of an
    /// array, a path of a document.
    pub fn nested(
        &mut self,
        rule: &Rule,
        target: &Target,
        part: &str,
    ) -> Result<Box<dyn Transformer>, Unfit> {
        let around = Around {
            target,
            key: self.around.key.part(part),
            unique: None,
            lower_case: false,
            default: None,
            ..self.around
        };
        make(rule, around, self.findings, self.reads)
    }

    /// Codes M004 to M006: each parameter is known, each that must be there is, and each is of its
    /// type.
    fn check_parameters(&mut self) {
        for (name, setting) in &self.rule.parameters {
            match self.definition.parameters.iter().find(|parameter| parameter.name == name) {
                // What `each` does not have itself belongs to the rule that it applies.
                None if self.definition.has_inner_rule() => {}
                None => {
                    let known: Vec<&str> = self.definition.parameters.iter().map(|p| p.name).collect();
                    let hint = if known.is_empty() {
                        "it has none of its own".to_string()
                    } else {
                        format!("it has {}", known.join(", "))
                    };
                    let message = format!("{} has no parameter {name}", self.definition.name);
                    self.fault_at(Code::ParameterUnknown, setting.place, message, hint);
                }
                Some(parameter) => self.check_type(parameter, setting),
            }
        }
        for parameter in self.definition.parameters.iter().filter(|parameter| parameter.required) {
            if self.setting(parameter.name).is_none() {
                let message = format!("{} needs {}", self.definition.name, parameter.name);
                self.fault_at(Code::ParameterMissing, self.rule.place, message, parameter.meaning);
            }
        }
    }

    fn check_type(&mut self, parameter: &Parameter, setting: &Setting) {
        let value = &setting.value;
        let is_dynamic = value.member("from").is_some();
        if is_dynamic && parameter.dynamic {
            return;
        }
        let fits = match parameter.takes {
            Takes::Integer => matches!(value, Literal::Integer(_)),
            Takes::Number => matches!(value, Literal::Integer(_) | Literal::Float(_)),
            Takes::Text | Takes::Interval => matches!(value, Literal::Text(_) | Literal::Time(_)),
            Takes::Flag => matches!(value, Literal::Flag(_)),
            Takes::Word(words) => matches!(value, Literal::Text(text) if words.contains(&text.as_str())),
            Takes::Texts => match value {
                Literal::List(list) => list.iter().all(|one| matches!(one.value, Literal::Text(_))),
                other => matches!(other, Literal::Text(_)),
            },
            Takes::Value => value.scalar().is_some(),
            Takes::Values => {
                matches!(value, Literal::List(list) if list.iter().all(|one| one.value.scalar().is_some()))
            }
            Takes::Map | Takes::Rules => matches!(value, Literal::Table(_)),
            Takes::Rule => matches!(value, Literal::Text(_) | Literal::Table(_)),
            Takes::Tables => {
                matches!(value, Literal::List(list) if list.iter().all(|one| matches!(one.value, Literal::Table(_))))
            }
        };
        if !fits {
            let takes = match parameter.takes {
                Takes::Word(words) => words.join(", "),
                other => other.shown().to_string(),
            };
            let message = if is_dynamic {
                format!("{} cannot come from a column", parameter.name)
            } else {
                format!("{} is {}; it takes {takes}", parameter.name, shown(value))
            };
            self.fault_at(Code::WrongValue, setting.place, message, parameter.meaning);
        }
    }
}

/// A value of the rules file, for an error.
fn shown(value: &Literal) -> String {
    match value {
        Literal::Text(text) => format!("\"{text}\""),
        other => other.scalar().unwrap_or_else(|| other.what().to_string()),
    }
}

impl Takes {
    /// For people: `an integer`.
    pub fn shown(self) -> &'static str {
        match self {
            Takes::Integer => "an integer",
            Takes::Number => "a number",
            Takes::Text => "a string",
            Takes::Flag => "true or false",
            Takes::Word(_) => "one of some words",
            Takes::Texts => "a string or a list of strings",
            Takes::Value => "a value of the column's type",
            Takes::Values => "a list of values of the column's type",
            Takes::Map => "a table of values",
            Takes::Interval => "an interval, as \"60 days\"",
            Takes::Rule => "a rule",
            Takes::Rules => "a table of rules",
            Takes::Tables => "a list of tables",
        }
    }
}
