//! What the tests of these families share: a rule built for a column without a plan around it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeSet, HashSet};

use super::*;
use crate::finding::Finding;
use crate::key::{MaskKey, RuleKey};
use crate::making::{Around, make};
use crate::rules::{Engine, Literal, Rule, Setting};
use crate::transformer::{Row, Transformer};
use crate::types::Target;

/// A rule and its column.
pub(in crate::transformers) struct Case {
    pub rule: Rule,
    pub target: Target,
    pub unique: bool,
    pub lower_case: bool,
    pub locale: &'static str,
    pub secret: u8,
}

/// A built rule with its key.
pub(in crate::transformers) struct Built {
    pub transformer: Box<dyn Transformer>,
    key: RuleKey,
}

struct NoRow;

impl Row for NoRow {
    fn plain(&self, _: usize) -> Option<&str> {
        None
    }

    fn masked(&self, _: usize) -> Option<&str> {
        None
    }
}

/// A rule of a `text` column.
pub(in crate::transformers) fn case(name: &str) -> Case {
    let target = Target {
        kind: Kind::Text(None),
        sql_type: "text".to_string(),
        not_null: false,
        domain_checks: Vec::new(),
    };
    let rule = Rule { name: name.to_string(), ..Rule::default() };
    Case { rule, target, unique: false, lower_case: false, locale: "en_US", secret: 7 }
}

/// A value of a parameter.
pub(in crate::transformers) trait Given {
    fn literal(self) -> Literal;
}

impl Given for &str {
    fn literal(self) -> Literal {
        Literal::Text(self.to_string())
    }
}

impl Given for i64 {
    fn literal(self) -> Literal {
        Literal::Integer(self)
    }
}

impl Given for bool {
    fn literal(self) -> Literal {
        Literal::Flag(self)
    }
}

impl Given for &[&str] {
    fn literal(self) -> Literal {
        let setting = |text: &&str| Setting { value: text.literal(), ..Setting::default() };
        Literal::List(self.iter().map(setting).collect())
    }
}

impl Case {
    pub fn with(mut self, name: &str, value: impl Given) -> Case {
        let setting = Setting { value: value.literal(), ..Setting::default() };
        self.rule.parameters.push((name.to_string(), setting));
        self
    }

    pub fn of(mut self, kind: Kind) -> Case {
        self.target.kind = kind;
        self
    }

    pub fn unique(self) -> Case {
        Case { unique: true, ..self }
    }

    pub fn lower_case(self) -> Case {
        Case { lower_case: true, ..self }
    }

    pub fn locale(self, locale: &'static str) -> Case {
        Case { locale, ..self }
    }

    fn make(&self) -> Result<Built, Vec<Finding>> {
        let key = MaskKey::new(vec![self.secret; 16]).unwrap().rule(1, &self.rule.name);
        let columns = [("c".to_string(), self.target.clone())];
        let around = Around {
            kinds: &[],
            default: None,
            table: "public.t",
            column: "c",
            columns: &columns,
            target: &self.target,
            key,
            engine: Engine::Keyed,
            unique: self.unique.then_some("t_c_key"),
            lower_case: self.lower_case,
            vocabulary: 1,
            locale: Locale(self.locale),
        };
        let mut findings = Vec::new();
        let made = make(&self.rule, around, &mut findings, &mut BTreeSet::new());
        made.map(|transformer| Built { transformer, key }).map_err(|_| findings)
    }

    /// The rule, which must be right.
    pub fn built(&self) -> Built {
        self.make().unwrap_or_else(|findings| panic!("{findings:?}"))
    }

    /// The code of what is wrong with the rule.
    pub fn code(&self) -> &'static str {
        match self.make() {
            Ok(_) => "",
            Err(findings) => findings.first().unwrap().code.as_str(),
        }
    }

    /// The fiction of one value.
    pub fn fiction(&self, plain: &str) -> String {
        self.built().fiction(plain)
    }

    /// Fictions of many values: none is its plain value, equal ones are equal, another key gives
    /// others, NULL is taken, and each passes `is_valid`.
    pub fn holds(self, plains: &[&str], is_valid: impl Fn(&str, &str) -> bool) {
        let built = self.built();
        let others = Case { secret: self.secret + 1, ..self }.built();
        let mut differ = 0;
        for plain in plains {
            let fiction = built.fiction(plain);
            assert_ne!(fiction, *plain);
            assert_eq!(fiction, built.fiction(plain));
            assert!(is_valid(plain, &fiction), "{plain} became {fiction}");
            differ += usize::from(fiction != others.fiction(plain));
        }
        assert!(2 * differ > plains.len(), "another key changes {differ} of {}", plains.len());
        assert!(is_valid("", &built.fiction_of_null()));
    }

    /// So many values with different fictions.
    pub fn keeps_apart(self, plains: impl Iterator<Item = String>) {
        let built = self.built();
        let mut seen = HashSet::new();
        let mut before = String::new();
        for plain in plains {
            let fiction = built.fiction(&plain);
            assert_ne!(fiction, plain);
            assert!(seen.insert(fiction.to_lowercase()), "{before} and {plain} became {fiction}");
            before = plain;
        }
    }

    /// A bijection: injective, and each fiction leads back.
    pub fn leads_back(self, plains: impl Iterator<Item = String>) {
        let built = self.built();
        let mut seen = HashSet::new();
        for plain in plains {
            let fiction = built.fiction(&plain);
            assert_ne!(fiction, plain);
            let mut back = String::new();
            built.transformer.plain_of(&fiction, &mut back).unwrap();
            assert_eq!(back, plain, "by {fiction}");
            assert!(seen.insert(fiction));
        }
    }
}

impl Built {
    pub fn answer(&self, text: &str, out: &mut String) -> Result<Answer, Refusal> {
        self.transformer.fiction(&self.plain(text, false), out)
    }

    pub fn fiction(&self, text: &str) -> String {
        let mut out = String::new();
        assert_eq!(self.answer(text, &mut out), Ok(Answer::Text));
        out
    }

    pub fn fiction_of_null(&self) -> String {
        let mut out = String::new();
        assert_eq!(self.transformer.fiction(&self.plain("", true), &mut out), Ok(Answer::Text));
        out
    }

    fn plain<'a>(&self, text: &'a str, is_null: bool) -> Plain<'a> {
        let draw = Draw::of(self.key, text.as_bytes());
        Plain { text, canonical: text.as_bytes(), is_null, draw, subject: None, row: &NoRow }
    }
}

#[test]
fn check_digits_of_published_numbers() {
    for number in ["4111111111111111", "378282246310005", "30569309025904", "79927398713"] {
        let (payload, check) = number.split_at(number.len() - 1);
        assert_eq!(luhn(digits(payload)).to_string(), check);
    }
}

#[test]
fn equality_is_the_types_own() {
    assert!(is_same(&Kind::Citext, "Anna", "aNNA"));
    assert!(is_same(&Kind::Char(5), "a ", "a"));
    assert!(is_same(&Kind::Numeric(None), "012.50", "12.5"));
    assert!(!is_same(&Kind::Numeric(None), "12", "120"));
    assert!(!is_same(&Kind::Text(None), "a ", "a"));
}

#[test]
fn random_characters_are_even() {
    let mut draw = Draw::of(RuleKey::of_bytes([1; 16]), b"x");
    let mut out = String::new();
    random_digits(&mut draw, 10_000, &mut out);
    for digit in '0'..='9' {
        let number = out.matches(digit).count();
        assert!((850..1150).contains(&number), "{digit}: {number}");
    }
    out.clear();
    random_base32(&mut draw, WIDE_BASE32, &mut out);
    assert_eq!(out.len(), WIDE_BASE32);
    assert!(WIDE_BASE32 as f64 * 5.0 - 1.0 >= WIDE_BITS);
}

/// Every rule of these families without parameters, as far as the column is fit for it.
fn every_rule() -> Vec<(Case, Built)> {
    let names = [
        "string",
        "hash",
        "redact",
        "email",
        "username",
        "domain",
        "url",
        "password",
        "phone",
        "card",
        "iban",
        "bic",
        "ssn",
        "vat",
        "license_plate",
    ];
    let kinds = || {
        let short = [8, 16, 22, 40].map(|most| Kind::Text(Some(most)));
        short.into_iter().chain([Kind::Text(None), Kind::Char(40), Kind::Citext, Kind::Name])
    };
    let mut rules = Vec::new();
    for name in names {
        for kind in kinds() {
            for unique in [false, true] {
                let rule = Case { unique, ..case(name).of(kind.clone()) };
                if let Ok(built) = rule.make() {
                    rules.push((rule, built));
                }
            }
        }
    }
    assert!(rules.len() > 150);
    rules
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    /// Whatever the plain value is: a fiction fits the column and is not the plain value, or it is
    /// refused with a reason.
    #[test]
    fn any_text_gets_a_fiction(
        text in proptest::prop_oneof![".{0,40}", "[+0-9() -]{0,20}", "[A-Z]{2}[0-9A-Z ]{0,32}", "[a-z.]{1,9}@[a-z.]{1,60}"]
    ) {
        for (rule, built) in &*RULES {
            let name = &rule.rule.name;
            let kind = &rule.target.kind;
            if rule.target.most_chars().is_some_and(|most| text.chars().count() > most as usize) {
                continue;
            }
            let mut out = String::new();
            match built.answer(&text, &mut out) {
                Ok(answer) => {
                    proptest::prop_assert_eq!(answer, Answer::Text);
                    let fits = rule.target.most_chars().is_none_or(|most| out.chars().count() <= most as usize);
                    proptest::prop_assert!(fits, "{} of {:?}: {:?}", name, kind, out);
                    // What has no digit and no letter has no other value of its shape.
                    let varies = text.chars().any(char::is_alphanumeric);
                    let differs = !is_same(kind, &text, &out);
                    proptest::prop_assert!(differs || !varies, "{} of {:?}: {:?}", name, kind, out);
                }
                Err(refusal) => {
                    proptest::prop_assert!(rule.unique, "{}: {}", name, refusal);
                    proptest::prop_assert!(text.len() < 4 || !refusal.why.contains(&text));
                }
            }
        }
    }
}

static RULES: std::sync::LazyLock<Vec<(Case, Built)>> = std::sync::LazyLock::new(every_rule);
