//! Tries a rule without a plan around it: what tests of these families share.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use crate::draw::Draw;
use crate::finding::Finding;
use crate::key::{MaskKey, RuleKey};
use crate::making::{Around, Read, make};
use crate::rules::{Engine, Literal, Rule, Setting};
use crate::transformer::{Answer, Plain, Refusal, Row, Transformer};
use crate::types::{Kind, Target, check_text};
use crate::vocabulary::Locale;

/// A rule and where it is.
pub(super) struct Trial {
    rule: Rule,
    pub target: Target,
    pub columns: Vec<(String, Target)>,
    pub unique: bool,
    pub engine: Engine,
    pub default: Option<&'static str>,
    pub secret: u8,
}

/// A built rule.
pub(super) struct Built {
    transformer: Box<dyn Transformer>,
    target: Target,
    pub key: RuleKey,
    pub reads: BTreeSet<Read>,
}

/// Plain values and fictions by column.
#[derive(Default)]
pub(super) struct Values {
    pub plain: Vec<Option<String>>,
    pub masked: Vec<Option<String>>,
}

impl Row for Values {
    fn plain(&self, column: usize) -> Option<&str> {
        self.plain.get(column)?.as_deref()
    }

    fn masked(&self, column: usize) -> Option<&str> {
        self.masked.get(column)?.as_deref()
    }
}

/// A rule as the file has it: `{ use = "fixed", value = 1 }`.
pub(super) fn trial(kind: Kind, rule: &str) -> Trial {
    let text = format!("rule = {rule}");
    let table = toml::de::DeTable::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let setting = setting(table.get_ref().get("rule").unwrap().get_ref());
    let Literal::Table(mut parameters) = setting.value else { panic!("{rule} is no table") };
    let at = parameters.iter().position(|(key, _)| key == "use").unwrap();
    let (_, name) = parameters.remove(at);
    let Literal::Text(name) = name.value else { panic!("use is no text") };
    Trial {
        rule: Rule { name, parameters, ..Rule::default() },
        target: Target::inner(kind),
        columns: Vec::new(),
        unique: false,
        engine: Engine::Keyed,
        default: None,
        secret: 7,
    }
}

fn setting(value: &toml::de::DeValue<'_>) -> Setting {
    use toml::de::DeValue;
    let value = match value {
        DeValue::String(text) => Literal::Text(text.to_string()),
        DeValue::Integer(number) => Literal::Integer(number.as_str().parse().unwrap()),
        DeValue::Float(number) => Literal::Float(number.as_str().parse().unwrap()),
        DeValue::Boolean(flag) => Literal::Flag(*flag),
        DeValue::Datetime(time) => Literal::Time(time.to_string()),
        DeValue::Array(list) => Literal::List(list.iter().map(|one| setting(one.get_ref())).collect()),
        DeValue::Table(table) => {
            // The file's order, whatever the map's is.
            let mut members: Vec<_> = table.iter().collect();
            members.sort_by_key(|(key, _)| key.span().start);
            let member =
                |(key, value): (&toml::Spanned<toml::de::DeString<'_>>, &toml::Spanned<DeValue<'_>>)| {
                    (key.get_ref().to_string(), setting(value.get_ref()))
                };
            Literal::Table(members.into_iter().map(member).collect())
        }
    };
    Setting { value, ..Setting::default() }
}

impl Trial {
    pub fn unique(self) -> Trial {
        Trial { unique: true, ..self }
    }

    pub fn not_null(mut self) -> Trial {
        self.target.not_null = true;
        self
    }

    pub fn random(self) -> Trial {
        Trial { engine: Engine::Random, ..self }
    }

    pub fn default(self, sql: &'static str) -> Trial {
        Trial { default: Some(sql), ..self }
    }

    pub fn secret(self, secret: u8) -> Trial {
        Trial { secret, ..self }
    }

    pub fn columns(mut self, columns: &[(&str, Kind)]) -> Trial {
        let of = |(name, kind): &(&str, Kind)| (name.to_string(), Target::inner(kind.clone()));
        self.columns = columns.iter().map(of).collect();
        self
    }

    pub fn make(&self) -> Result<Built, Vec<Finding>> {
        let key = MaskKey::new(vec![self.secret; 16]).unwrap().rule(1, &self.rule.name);
        let around = Around {
            kinds: &[],
            table: "public.t",
            column: "c",
            columns: &self.columns,
            target: &self.target,
            key,
            engine: self.engine,
            unique: self.unique.then_some("t_c_key"),
            lower_case: false,
            vocabulary: 1,
            locale: Locale("en_US"),
            default: self.default,
        };
        let (mut findings, mut reads) = (Vec::new(), BTreeSet::new());
        let made = make(&self.rule, around, &mut findings, &mut reads);
        match made {
            Ok(transformer) => Ok(Built { transformer, target: self.target.clone(), key, reads }),
            Err(_) => Err(findings),
        }
    }

    pub fn built(&self) -> Built {
        self.make().unwrap_or_else(|findings| panic!("{findings:?}"))
    }

    /// The code of the first finding of a rule that is wrong.
    pub fn code(&self) -> &'static str {
        match self.make() {
            Ok(_) => "none",
            Err(findings) => findings.first().map_or("", |finding| finding.code.as_str()),
        }
    }
}

impl Built {
    /// The fiction of a value (None: NULL) in a row, drawn by the value alone.
    pub fn in_row(&self, value: Option<&str>, row: &Values) -> Result<Option<String>, Refusal> {
        self.of(value, None, row)
    }

    /// The same for a value that is about a subject.
    pub fn of(
        &self,
        value: Option<&str>,
        subject: Option<&str>,
        row: &Values,
    ) -> Result<Option<String>, Refusal> {
        let text = value.unwrap_or_default();
        let plain = Plain {
            text,
            canonical: text.as_bytes(),
            is_null: value.is_none(),
            draw: Draw::of(self.key, text.as_bytes()),
            subject: subject.map(|subject| Draw::of(self.key.part("subject"), subject.as_bytes())),
            row,
        };
        let mut out = String::new();
        let answer = self.transformer.fiction(&plain, &mut out)?;
        Ok(match answer {
            Answer::Text => {
                check_text(&self.target, &out).unwrap_or_else(|why| panic!("{out} {why}"));
                Some(out)
            }
            Answer::Null => None,
            Answer::Same => Some(text.to_string()),
        })
    }

    /// The fiction of a value.
    pub fn text(&self, value: &str) -> String {
        self.in_row(Some(value), &Values::default()).unwrap().unwrap_or_else(|| "NULL".to_string())
    }

    /// A value that no fiction is made of.
    pub fn refuses(&self, value: &str) -> bool {
        let refusal = self.in_row(Some(value), &Values::default());
        if let Err(refusal) = &refusal {
            assert!(value.len() < 4 || !refusal.why.contains(value), "{}", refusal.why);
        }
        refusal.is_err()
    }

    /// The plain value of a fiction.
    pub fn back(&self, fiction: &str) -> String {
        let mut out = String::new();
        match self.transformer.plain_of(fiction, &mut out).unwrap() {
            Answer::Same => fiction.to_string(),
            _ => out,
        }
    }
}

/// A row of plain values.
pub(super) fn row(plain: &[Option<&str>]) -> Values {
    let plain: Vec<Option<String>> = plain.iter().map(|value| value.map(str::to_string)).collect();
    Values { masked: vec![None; plain.len()], plain }
}
