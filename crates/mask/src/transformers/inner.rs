//! A rule inside of another one: for the elements of an array, the paths of a document, what is
//! found in prose.

use crate::draw::Draw;
use crate::finding::{Code, Place};
use crate::key::RuleKey;
use crate::making::{Making, Unfit};
use crate::rules::{Common, Engine, Literal, MOST_KINDS, Rule, Setting};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::Target;

/// What any rule may have, but no rule inside of another one: it has no column of its own.
const OF_COLUMNS: &[&str] =
    &["unique", "engine", "seed", "domain", "when", "otherwise", "follow", "children", "locale", "reads"];

/// A transformer of inner values.
#[derive(Debug)]
pub(super) struct Inner {
    transformer: Box<dyn Transformer>,
    key: RuleKey,
    is_random: bool,
    replaces_null: bool,
}

/// What the file says of an inner rule: a name, or a table with `use`.
pub(super) fn rule_of(making: &mut Making<'_>, setting: &Setting) -> Result<Rule, Unfit> {
    let mut rule = Rule { place: setting.place, ..Rule::default() };
    match &setting.value {
        Literal::Text(name) => rule.name = name.clone(),
        Literal::Table(members) => {
            for (key, member) in members {
                match (key.as_str(), &member.value) {
                    ("use", Literal::Text(name)) => (rule.name, rule.place) = (name.clone(), member.place),
                    ("null", Literal::Text(word)) if word == "replace" => {
                        rule.common.replaces_null = Some(true)
                    }
                    ("null", Literal::Text(word)) if word == "keep" => {
                        rule.common.replaces_null = Some(false)
                    }
                    ("use" | "null", _) => {
                        let message = format!("{key} does not take {}", member.value.what());
                        let hint = "use = \"TRANSFORMER\", null = \"replace\"";
                        return Err(making.fault_at(Code::WrongValue, member.place, message, hint));
                    }
                    (common, _) if OF_COLUMNS.contains(&common) => {
                        let message = format!("a rule inside of another one cannot have {key}");
                        let hint = "give it to the rule of the column";
                        return Err(making.fault_at(Code::ParameterUnknown, member.place, message, hint));
                    }
                    _ => rule.parameters.push((key.clone(), member.clone())),
                }
            }
        }
        other => {
            let message = format!("{} is not a rule", other.what());
            return Err(making.fault_at(Code::WrongValue, setting.place, message, RULE_HINT));
        }
    }
    if rule.name.is_empty() {
        let message = "the rule does not say which transformer it uses";
        return Err(making.fault_at(Code::WrongValue, setting.place, message, RULE_HINT));
    }
    of_kinds(making, rule)
}

/// A kind's name becomes what the kind is; what the rule itself says beats that.
fn of_kinds(making: &mut Making<'_>, mut rule: Rule) -> Result<Rule, Unfit> {
    for _ in 0..MOST_KINDS {
        let Some(kind) = making.around.kinds.iter().find(|kind| kind.name == rule.name) else { break };
        let replaces_null = kind.rule.common.replaces_null;
        if kind.rule.common != (Common { replaces_null, ..Common::default() }) {
            let message = format!("the kind {} has what a rule inside of another one cannot have", kind.name);
            let hint = format!("a kind without {}", OF_COLUMNS.join(", "));
            return Err(making.fault_at(Code::ParameterUnknown, rule.place, message, hint));
        }
        let mut parameters = kind.rule.parameters.clone();
        parameters.retain(|(known, _)| rule.parameters.iter().all(|(name, _)| name != known));
        parameters.append(&mut rule.parameters);
        let common =
            Common { replaces_null: rule.common.replaces_null.or(replaces_null), ..Common::default() };
        rule = Rule { name: kind.rule.name.clone(), place: rule.place, parameters, common };
    }
    Ok(rule)
}

const RULE_HINT: &str = "\"person.name\", or { use = \"int\", min = 1, max = 9 }";

/// A rule of a transformer's name alone.
pub(super) fn rule_named(name: &str, place: Place) -> Rule {
    Rule { name: name.to_string(), place, ..Rule::default() }
}

impl Inner {
    /// Builds an inner rule. Equal rules give equal values equal fictions wherever they are inside
    /// of the column.
    pub fn build(making: &mut Making<'_>, rule: &Rule, target: &Target) -> Result<Inner, Unfit> {
        let part = format!("inner {}", rule.name);
        let transformer = making.nested(rule, target, &part)?;
        Ok(Inner {
            transformer,
            key: making.key().part(&part),
            is_random: making.around.engine == Engine::Random,
            replaces_null: rule.common.replaces_null == Some(true),
        })
    }

    /// Appends the fiction of an inner value (None: NULL) of a column's value; false: it is NULL.
    pub fn fiction(&self, outer: &Plain<'_>, value: Option<&str>, out: &mut String) -> Result<bool, Refusal> {
        if value.is_none() && !self.replaces_null {
            return Ok(false);
        }
        let text = value.unwrap_or_default();
        // By row, equal values of one row have equal fictions; those of other rows have others.
        let draw = if self.is_random {
            let key = RuleKey::of_bytes(outer.draw.seed().to_le_bytes());
            Draw::from_seed(self.key, key.hash(text.as_bytes()))
        } else {
            Draw::of(self.key, text.as_bytes())
        };
        let plain = Plain {
            text,
            canonical: text.as_bytes(),
            is_null: value.is_none(),
            draw,
            subject: outer.subject.clone(),
            row: outer.row,
        };
        // A transformer may count on an empty text.
        let mut fiction = String::new();
        Ok(match self.transformer.fiction(&plain, &mut fiction)? {
            Answer::Text => {
                if out.is_empty() {
                    *out = fiction;
                } else {
                    out.push_str(&fiction);
                }
                true
            }
            Answer::Null => false,
            Answer::Same => {
                out.push_str(text);
                value.is_some()
            }
        })
    }
}
