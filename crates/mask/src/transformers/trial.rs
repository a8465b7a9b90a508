//! Builds one transformer for tests, and asks it for fictions.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeSet, HashSet};

use super::wording::{Room, are_alike};
use crate::draw::Draw;
use crate::finding::{Code, Place};
use crate::key::RuleKey;
use crate::making::{Around, make};
use crate::rules::{Common, Engine, Literal, Rule, Setting};
use crate::transformer::{Answer, Plain, Refusal, Row, Transformer};
use crate::types::{Kind, Target};
use crate::vocabulary::{Locale, NEWEST};

/// A rule on a column, in the making.
pub(super) struct Trial {
    name: &'static str,
    kind: Kind,
    locale: Locale,
    vocabulary: u32,
    parameters: Vec<(String, Setting)>,
}

/// `text`.
pub(super) const TEXT: Kind = Kind::Text(None);

pub(super) fn text(text: &str) -> Literal {
    Literal::Text(text.to_string())
}

pub(super) fn table(members: &[(&str, Literal)]) -> Literal {
    let setting = |value: &Literal| Setting { value: value.clone(), place: Place::default() };
    Literal::Table(members.iter().map(|(name, value)| (name.to_string(), setting(value))).collect())
}

/// The row that operands read: `sex` is column 0.
struct OneColumn<'a>(Option<&'a str>);

impl Row for OneColumn<'_> {
    fn plain(&self, column: usize) -> Option<&str> {
        self.0.filter(|_| column == 0)
    }
    fn masked(&self, _: usize) -> Option<&str> {
        None
    }
}

impl Trial {
    pub(super) fn of(name: &'static str) -> Trial {
        Trial { name, kind: TEXT, locale: Locale::DEFAULT, vocabulary: NEWEST, parameters: Vec::new() }
    }

    pub(super) fn on(self, kind: Kind) -> Trial {
        Trial { kind, ..self }
    }

    pub(super) fn locale(self, locale: &str) -> Trial {
        Trial { locale: Locale::named(locale).unwrap(), ..self }
    }

    pub(super) fn vocabulary(self, vocabulary: u32) -> Trial {
        Trial { vocabulary, ..self }
    }

    pub(super) fn with(mut self, name: &str, value: Literal) -> Trial {
        self.parameters.push((name.to_string(), Setting { value, place: Place::default() }));
        self
    }

    /// The transformer, or what is wrong.
    pub(super) fn build(self) -> Result<Built, Vec<Code>> {
        let target = |kind: Kind| Target {
            sql_type: format!("{kind:?}"),
            kind,
            not_null: false,
            domain_checks: Vec::new(),
        };
        let target_of_column = target(self.kind.clone());
        let columns = vec![("sex".to_string(), target(TEXT)), ("it".to_string(), target_of_column.clone())];
        let around = Around {
            kinds: &[],
            default: None,
            table: "public.people",
            column: "it",
            columns: &columns,
            target: &target_of_column,
            key: key(0),
            engine: Engine::Keyed,
            unique: None,
            lower_case: false,
            vocabulary: self.vocabulary,
            locale: self.locale,
        };
        let rule = Rule {
            name: self.name.to_string(),
            place: Place::default(),
            parameters: self.parameters,
            common: Common::default(),
        };
        let (mut findings, mut reads) = (Vec::new(), BTreeSet::new());
        let made = make(&rule, around, &mut findings, &mut reads);
        match made {
            Ok(transformer) if findings.is_empty() => {
                Ok(Built { transformer, kind: self.kind, name: self.name })
            }
            _ => Err(findings.iter().map(|finding| finding.code).collect()),
        }
    }

    /// What is wrong with it.
    pub(super) fn faults(self) -> Vec<Code> {
        self.build().err().unwrap_or_default()
    }
}

fn key(number: u8) -> RuleKey {
    RuleKey::of_bytes([number; 16])
}

/// A transformer of a column.
pub(super) struct Built {
    transformer: Box<dyn Transformer>,
    kind: Kind,
    name: &'static str,
}

impl Built {
    /// The fiction of a value that belongs to nobody.
    pub(super) fn of(&self, plain: &str) -> String {
        self.ask(0, None, plain, None).unwrap()
    }

    /// The fiction of a value of a subject.
    pub(super) fn of_subject(&self, subject: u128, plain: &str) -> String {
        self.ask(0, Some(subject), plain, None).unwrap()
    }

    /// The fiction where another column holds a text.
    pub(super) fn beside(&self, subject: u128, sex: Option<&str>) -> Result<String, Refusal> {
        self.ask(0, Some(subject), "", sex)
    }

    fn ask(
        &self,
        number: u8,
        subject: Option<u128>,
        text: &str,
        sex: Option<&str>,
    ) -> Result<String, Refusal> {
        let key = key(number);
        let subject = subject.map(|subject| Draw::of(key, &subject.to_le_bytes()));
        let draw = Draw::of(key, text.as_bytes());
        let canonical = text.as_bytes();
        let plain = Plain { text, canonical, is_null: false, draw, subject, row: &OneColumn(sex) };
        let mut out = String::new();
        let answer = self.transformer.fiction(&plain, &mut out)?;
        assert_eq!(answer, Answer::Text);
        assert!(self.fits(&out), "{}: {out:?} does not fit {:?}", self.name, self.kind);
        Ok(out)
    }

    /// Whether the server takes a text.
    fn fits(&self, out: &str) -> bool {
        let target = |kind| Target { kind, sql_type: String::new(), not_null: false, domain_checks: vec![] };
        match &self.kind {
            Kind::Int(bytes) => out.parse::<i64>().is_ok_and(|number| {
                let most = 1i128 << (8 * u32::from(*bytes) - 1);
                (-most..most).contains(&i128::from(number))
            }),
            Kind::Float(_) => out.parse::<f64>().is_ok(),
            Kind::Numeric(limits) => out.parse::<f64>().is_ok_and(|number| {
                limits.is_none_or(|(precision, scale)| {
                    number.abs() < 10f64.powi(i32::from(precision) - i32::from(scale))
                })
            }),
            Kind::Enum(labels) => labels.iter().any(|label| label == out),
            Kind::Bool => matches!(out, "t" | "f"),
            kind => {
                let clean = !out.is_empty() && out.trim() == out && !out.chars().any(char::is_control);
                clean && Room::of(&target(kind.clone())).holds(out)
            }
        }
    }

    /// What holds for each transformer: equal for equal key and value, other for another key, and
    /// never the plain value, however often the draw is that value or one that is alike.
    pub(super) fn holds(&self) {
        let values: Vec<String> = (0..40).map(|number| format!("value {number}")).collect();
        let mut differs = false;
        for value in &values {
            let fiction = self.of(value);
            assert_eq!(fiction, self.of(value));
            differs |= self.ask(1, None, value, None).unwrap() != fiction;
        }
        assert!(differs, "{}: another key gives the same fictions", self.name);
        for subject in 0..12 {
            let mut plain = self.of_subject(subject, "");
            for _ in 0..3 {
                let other = self.of_subject(subject, &plain);
                assert!(!are_alike(&other, &plain), "{}: {other:?} is the plain value", self.name);
                let upper = plain.to_uppercase();
                assert!(!are_alike(&self.of_subject(subject, &upper), &upper));
                plain = other;
            }
        }
        let fictions: HashSet<String> = (0..32).map(|subject| self.of_subject(subject, "")).collect();
        let by_value: HashSet<String> = (0..32).map(|number| self.of(&number.to_string())).collect();
        assert!(fictions.len().max(by_value.len()) > 1, "{}: all fictions are equal", self.name);
    }
}

/// Every kind of text with room enough, and one that cuts.
pub(super) fn texts(short: u32) -> Vec<Kind> {
    vec![
        TEXT,
        Kind::Citext,
        Kind::Name,
        Kind::Char(short + 3),
        Kind::Text(Some(short)),
        Kind::Text(Some(short + 9)),
    ]
}

/// A transformer holds what all do, for each locale and kind of text; one character less than
/// `short` is a finding.
pub(super) fn sweep(name: &'static str, short: u32) {
    let mut refused = Vec::new();
    for locale in Locale::all() {
        for kind in texts(short) {
            let trial = Trial::of(name).on(kind.clone()).locale(locale.name());
            match trial.build() {
                Ok(built) => built.holds(),
                // In a few languages all words of a list begin alike.
                Err(codes) => {
                    let is_short = matches!(&kind, Kind::Char(_) | Kind::Text(Some(_)));
                    assert!(
                        is_short && codes == [Code::ValueOutside],
                        "{name} {locale:?} {kind:?}: {codes:?}"
                    );
                    refused.push(format!("{} {kind:?}", locale.name()));
                }
            }
        }
    }
    assert!(refused.len() < 20, "{name}: {refused:?}");
    for kind in [Kind::Text(Some(short - 1)), Kind::Char(short - 1)] {
        assert_eq!(Trial::of(name).on(kind).faults(), [Code::ValueOutside], "{name}");
    }
    assert_eq!(Trial::of(name).on(Kind::Date).faults(), [Code::UnfitType], "{name}");
    assert_eq!(Trial::of(name).vocabulary(99).faults(), [Code::WrongValue], "{name}");
    assert_eq!(Trial::of(name).with("size", text("9")).faults(), [Code::ParameterUnknown], "{name}");
}
