//! A rule of a column: a name alone, or `{ use = "…", … }`.

use crate::finding::{Code, Finding, Place};
use crate::rules::{Common, Engine, Literal, Otherwise, Rule, Setting};
use crate::transformers;

/// Transformers that a later version of pgark brings.
const LATER: &[&str] = &["program", "query"];

impl Rule {
    /// Reads a rule that is a part of another one.
    pub(crate) fn read(setting: &Setting, findings: &mut Vec<Finding>) -> Rule {
        RuleReader { reserved: &[], kinds: &|_| None, findings }.read(setting)
    }
}

/// Reads rules.
pub(super) struct RuleReader<'r> {
    /// Keys of the same table that are not the rule's.
    pub reserved: &'r [&'r str],
    /// The transformer that a kind comes to.
    pub kinds: &'r dyn Fn(&str) -> Option<&'r str>,
    /// What is wrong.
    pub findings: &'r mut Vec<Finding>,
}

impl RuleReader<'_> {
    fn fault(&mut self, code: Code, place: Place, message: impl Into<String>, hint: &str) {
        self.findings.push(Finding::new(code, message).at(place).hint(hint));
    }

    fn wrong(&mut self, key: &str, setting: &Setting, takes: &str) {
        let message = format!("{key} is {}; it takes {takes}", shown(&setting.value));
        self.fault(Code::WrongValue, setting.place, message, "");
    }

    /// A rule. What is wrong with it is left out.
    pub fn read(&mut self, setting: &Setting) -> Rule {
        let members = match &setting.value {
            Literal::Text(name) => return self.named(name, setting.place),
            Literal::Table(members) => members,
            other => {
                let message = format!("a rule is a name or a table, not {}", other.what());
                self.fault(Code::WrongValue, setting.place, message, "{ use = \"…\", … }");
                return Rule { place: setting.place, ..Rule::default() };
            }
        };
        let mut rule = match members.iter().find(|(key, _)| key == "use") {
            Some((_, Setting { value: Literal::Text(name), place })) => self.named(name, *place),
            Some((_, other)) => {
                self.wrong("use", other, "the name of a transformer or of a kind");
                Rule { place: other.place, ..Rule::default() }
            }
            None => {
                let message = "the rule does not say what it uses";
                self.fault(Code::ParameterMissing, setting.place, message, "use = \"…\"");
                Rule { place: setting.place, ..Rule::default() }
            }
        };
        let own_domain = self.has_own_domain(&rule.name);
        let own = |key: &str| own_domain && key == "domain";
        for (key, setting) in members {
            if key == "use" || self.reserved.contains(&key.as_str()) {
                continue;
            }
            if own(key) || !self.common(&mut rule.common, key, setting) {
                rule.parameters.push((key.clone(), setting.clone()));
            }
        }
        self.check_condition(&rule.common, rule.place);
        if let (Some(_), false) = (rule.common.seed, rule.common.engine == Some(Engine::Random)) {
            let message = "seed is only for engine = \"random\"";
            self.fault(Code::WrongValue, rule.place, message, "");
        }
        rule
    }

    fn named(&mut self, name: &str, place: Place) -> Rule {
        if LATER.contains(&name) && (self.kinds)(name).is_none() {
            let message = format!("this version of pgark does not have the transformer {name}");
            self.fault(Code::UnknownTransformer, place, message, "");
        }
        Rule { name: name.to_string(), place, ..Rule::default() }
    }

    /// `domain` as a string is what sets rules apart, except where the transformer has a parameter
    /// of this name (`email`).
    fn has_own_domain(&self, name: &str) -> bool {
        let transformer = (self.kinds)(name).unwrap_or(name);
        transformers::named(transformer)
            .is_some_and(|definition| definition.parameters.iter().any(|one| one.name == "domain"))
    }

    /// Takes a key that any rule has. False: it is the transformer's own.
    fn common(&mut self, common: &mut Common, key: &str, setting: &Setting) -> bool {
        match (key, &setting.value) {
            ("unique", value) => common.unique = self.flag(key, setting, value),
            ("follow", value) => common.follow = self.flag(key, setting, value),
            ("children", value) => common.children = self.flag(key, setting, value),
            ("null", Literal::Text(word)) if word == "replace" => common.replaces_null = Some(true),
            ("null", Literal::Text(word)) if word == "keep" => common.replaces_null = Some(false),
            ("null", _) => self.wrong(key, setting, "\"keep\" or \"replace\""),
            ("engine", Literal::Text(word)) if engine(word).is_some() => common.engine = engine(word),
            ("engine", _) => self.wrong(key, setting, "\"keyed\", \"run\" or \"random\""),
            ("seed", Literal::Integer(seed)) => common.seed = Some(*seed),
            ("seed", _) => self.wrong(key, setting, "an integer"),
            ("domain", Literal::Text(domain)) if !domain.is_empty() => common.domain = Some(domain.clone()),
            // A list is a parameter of the transformer's own.
            ("domain", _) => return false,
            ("when", Literal::Text(_)) => common.when = Some(setting.clone()),
            ("when", _) => self.wrong(key, setting, "a condition as a string"),
            ("otherwise", value) => match otherwise(value) {
                Some(Otherwise::Drop) => {
                    let message = "only a whole row can be dropped: otherwise = \"drop\" is for tables";
                    self.fault(Code::WrongValue, setting.place, message, "\"keep\" or \"null\"");
                    common.otherwise = Some((Otherwise::Null, setting.place));
                }
                Some(otherwise) => common.otherwise = Some((otherwise, setting.place)),
                None => self.wrong(key, setting, "\"keep\" or \"null\""),
            },
            ("locale", Literal::Text(_)) => common.locale = Some(setting.clone()),
            ("locale", _) => self.wrong(key, setting, "a locale as \"de_DE\""),
            ("reads", _) => match texts(setting) {
                Some(reads) => common.reads = reads,
                None => self.wrong(key, setting, "a column's name or a list of such names"),
            },
            _ => return false,
        }
        true
    }

    fn flag(&mut self, key: &str, setting: &Setting, value: &Literal) -> Option<bool> {
        let Literal::Flag(flag) = value else {
            self.wrong(key, setting, "true or false");
            return None;
        };
        Some(*flag)
    }

    fn check_condition(&mut self, common: &Common, place: Place) {
        let (when, otherwise) = (common.when.as_ref(), common.otherwise.as_ref());
        self.findings.extend(condition(when, otherwise.map(|(_, place)| *place), place));
    }
}

/// `when` and `otherwise` only come together.
pub(super) fn condition(when: Option<&Setting>, otherwise: Option<Place>, place: Place) -> Option<Finding> {
    match (when, otherwise) {
        (Some(when), None) => {
            let message = "when needs otherwise: what becomes of a row that the condition does not hold for";
            let finding = Finding::new(Code::ParameterMissing, message).at(when.place);
            Some(finding.hint("otherwise = \"keep\" leaves it plain, \"null\" makes it NULL"))
        }
        (None, Some(otherwise)) => {
            let at = if otherwise == Place::default() { place } else { otherwise };
            let message = "otherwise needs when: there is no condition";
            Some(Finding::new(Code::WrongValue, message).at(at))
        }
        _ => None,
    }
}

/// `otherwise` by its word.
pub(super) fn otherwise(value: &Literal) -> Option<Otherwise> {
    match value {
        Literal::Text(word) => match word.as_str() {
            "keep" => Some(Otherwise::Keep),
            "drop" => Some(Otherwise::Drop),
            "null" => Some(Otherwise::Null),
            _ => None,
        },
        _ => None,
    }
}

fn engine(word: &str) -> Option<Engine> {
    match word {
        "keyed" => Some(Engine::Keyed),
        "run" => Some(Engine::Run),
        "random" => Some(Engine::Random),
        _ => None,
    }
}

/// A list of strings, or one string.
pub(super) fn texts(setting: &Setting) -> Option<Vec<Setting>> {
    match &setting.value {
        Literal::Text(_) => Some(vec![setting.clone()]),
        Literal::List(list) => {
            list.iter().all(|one| matches!(one.value, Literal::Text(_))).then(|| list.clone())
        }
        _ => None,
    }
}

/// A value, for an error.
pub(super) fn shown(value: &Literal) -> String {
    match value {
        Literal::Text(text) => format!("\"{text}\""),
        other => other.scalar().unwrap_or_else(|| other.what().to_string()),
    }
}
