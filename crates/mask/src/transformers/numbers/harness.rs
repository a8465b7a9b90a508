//! Builds transformers for tests, and asks them for fictions.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use crate::canonical::{Comparison, Fold, Form};
use crate::draw::Draw;
use crate::finding::{Code, Finding, Place};
use crate::key::RuleKey;
use crate::making::{Around, make};
use crate::rules::{Engine, Literal, Rule, Setting};
use crate::transformer::{Plain, Refusal, Row, Transformer};
use crate::types::{Kind, Target};
use crate::vocabulary::Locale;

/// Where a rule is, and what its row holds next to.
pub(in crate::transformers) struct Case {
    pub(in crate::transformers) name: &'static str,
    pub(in crate::transformers) kind: Kind,
    pub(in crate::transformers) parameters: Vec<(&'static str, Literal)>,
    pub(in crate::transformers) is_unique: bool,
    pub(in crate::transformers) is_lower_case: bool,
    pub(in crate::transformers) replaces_null: bool,
    pub(in crate::transformers) engine: Engine,
    pub(in crate::transformers) key: u8,
    /// Other columns, for dynamic parameters: their names, kinds and values.
    pub(in crate::transformers) others: Vec<(&'static str, Kind, Option<&'static str>)>,
}

impl Case {
    pub(in crate::transformers) fn new(name: &'static str, kind: Kind) -> Case {
        Case {
            name,
            kind,
            parameters: Vec::new(),
            is_unique: false,
            is_lower_case: false,
            replaces_null: false,
            engine: Engine::Keyed,
            key: 1,
            others: Vec::new(),
        }
    }

    pub(in crate::transformers) fn unique(self) -> Case {
        Case { is_unique: true, ..self }
    }

    pub(in crate::transformers) fn random(self) -> Case {
        Case { engine: Engine::Random, ..self }
    }

    pub(in crate::transformers) fn key(self, key: u8) -> Case {
        Case { key, ..self }
    }

    pub(in crate::transformers) fn with(mut self, name: &'static str, value: Literal) -> Case {
        self.parameters.push((name, value));
        self
    }

    pub(in crate::transformers) fn text(self, name: &'static str, value: &str) -> Case {
        self.with(name, Literal::Text(value.to_string()))
    }

    pub(in crate::transformers) fn int(self, name: &'static str, value: i64) -> Case {
        self.with(name, Literal::Integer(value))
    }

    /// A parameter that comes from a column.
    pub(in crate::transformers) fn from(
        mut self,
        name: &'static str,
        column: &'static str,
        kind: Kind,
        value: Option<&'static str>,
    ) -> Case {
        self.others.push((column, kind, value));
        let from = Setting { value: Literal::Text(column.to_string()), place: Place::default() };
        self.with(name, Literal::Table(vec![("from".to_string(), from)]))
    }

    fn rule(&self) -> Rule {
        let parameters = self.parameters.iter().map(|(name, value)| {
            let setting = Setting { value: value.clone(), place: Place { line: 7, column: 1 } };
            ((*name).to_string(), setting)
        });
        let mut rule =
            Rule { name: self.name.to_string(), parameters: parameters.collect(), ..Rule::default() };
        rule.common.replaces_null = Some(self.replaces_null);
        rule
    }

    /// The transformer, or the codes of what is wrong.
    pub(in crate::transformers) fn build(&self) -> Result<Box<dyn Transformer>, Vec<Code>> {
        let target = |kind: &Kind| Target {
            kind: kind.clone(),
            sql_type: format!("{kind:?}"),
            not_null: false,
            domain_checks: Vec::new(),
        };
        let own = target(&self.kind);
        let mut columns = vec![("c".to_string(), own.clone())];
        columns.extend(self.others.iter().map(|(name, kind, _)| ((*name).to_string(), target(kind))));
        let around = Around {
            kinds: &[],
            table: "public.t",
            column: "c",
            columns: &columns,
            target: &own,
            key: RuleKey::of_bytes([self.key; 16]),
            engine: self.engine,
            unique: self.is_unique.then_some("t_c_key"),
            lower_case: self.is_lower_case,
            vocabulary: 1,
            locale: Locale("de_DE"),
            default: None,
        };
        let mut findings: Vec<Finding> = Vec::new();
        let built = make(&self.rule(), around, &mut findings, &mut BTreeSet::new());
        built.map_err(|_| findings.iter().map(|finding| finding.code).collect())
    }

    /// The codes of what is wrong; none if the transformer is built.
    pub(in crate::transformers) fn codes(&self) -> Vec<Code> {
        self.build().err().unwrap_or_default()
    }

    /// The fiction of a value, as the `row`th of the table.
    pub(in crate::transformers) fn fiction_of(
        &self,
        transformer: &dyn Transformer,
        text: &str,
        row: u64,
    ) -> Result<String, Refusal> {
        let comparison = Comparison { fold: Some(Fold::Simple), is_deterministic: true };
        let mut canonical = Vec::new();
        Form::of(&self.kind, comparison).unwrap().write(text, &mut canonical).unwrap();
        let key = RuleKey::of_bytes([self.key; 16]);
        let draw = match self.engine {
            Engine::Random => Draw::of(key, &row.to_le_bytes()),
            _ => Draw::of(key, &canonical),
        };
        let row = Values(self.others.iter().map(|(_, _, value)| *value).collect());
        let plain = Plain { text, canonical: &canonical, is_null: false, draw, subject: None, row: &row };
        let mut out = String::new();
        transformer.fiction(&plain, &mut out)?;
        Ok(out)
    }

    /// The fiction of a value.
    pub(in crate::transformers) fn fiction(&self, text: &str) -> Result<String, Refusal> {
        let transformer = self.build().unwrap();
        self.fiction_of(transformer.as_ref(), text, 0)
    }

    /// The plain value of a fiction.
    pub(in crate::transformers) fn plain(&self, fiction: &str) -> Result<String, Refusal> {
        let mut out = String::new();
        self.build().unwrap().plain_of(fiction, &mut out)?;
        Ok(out)
    }

    /// Each of the values becomes another one of them, and can be turned around.
    pub(in crate::transformers) fn is_a_bijection(&self, values: impl IntoIterator<Item = String>) {
        let transformer = self.build().unwrap();
        let values: BTreeSet<String> = values.into_iter().collect();
        let mut fictions = BTreeSet::new();
        for plain in &values {
            let fiction = self.fiction_of(transformer.as_ref(), plain, 0).unwrap();
            assert_ne!(&fiction, plain);
            let mut again = String::new();
            transformer.plain_of(&fiction, &mut again).unwrap();
            assert_eq!(&again, plain, "of {fiction}");
            fictions.insert(fiction);
        }
        assert!(!values.is_empty());
        assert_eq!(fictions, values);
    }
}

struct Values(Vec<Option<&'static str>>);

impl Row for Values {
    fn plain(&self, column: usize) -> Option<&str> {
        self.0.get(column.checked_sub(1)?).copied().flatten()
    }

    fn masked(&self, _: usize) -> Option<&str> {
        None
    }
}
