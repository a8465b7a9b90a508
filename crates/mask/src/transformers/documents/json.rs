//! `json`.

use super::super::inner::{Inner, rule_of};
use super::change::Change;
use super::path::{Place, Reached, Step, follow, parse};
use super::{Rest, changes_nothing};
use crate::finding::Code;
use crate::forms::json::{self, MOST_DEPTH, Scanner};
use crate::making::{Making, Unfit};
use crate::rules::{Literal, Rule, Setting};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers;
use crate::types::{Kind, Target};

/// Transformers that do not look at the value: they replace a whole object or list.
const OF_ANYTHING: &[&str] = &["keep", "null", "fixed", "choose"];

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let mut document =
        Json { paths: Vec::new(), rules: Vec::new(), rest: Rest::of(making), changes: Vec::new() };
    if let Some(Literal::Table(members)) = making.setting("paths").map(|setting| &setting.value) {
        for (path, setting) in members {
            let steps = match parse(path) {
                Ok(steps) => steps,
                Err(why) => {
                    let message = format!("the path {path} is not right: {why}");
                    return Err(making.fault_at(Code::DoesNotCompile, setting.place, message, ""));
                }
            };
            if steps.contains(&Step::Index(-1)) {
                let message = format!("the path {path} leads behind a list, where no value is");
                return Err(making.fault_at(Code::DoesNotCompile, setting.place, message, ""));
            }
            document.rules.push(Leaf::build(making, setting)?);
            document.paths.push(steps);
        }
    }
    if let Some(Literal::List(list)) = making.setting("operations").map(|setting| &setting.value) {
        for setting in list {
            document.changes.push(Change::build(making, setting)?);
        }
    }
    let keeps_all = document.rest == Rest::Keep && document.rules.iter().all(|rule| rule.keeps);
    if keeps_all && document.changes.is_empty() {
        return Err(changes_nothing(making, "rest"));
    }
    Ok(Box::new(document))
}

/// The rule of one path.
#[derive(Debug)]
pub(super) struct Leaf {
    inner: Inner,
    /// It takes an object or a list as it takes a scalar.
    of_anything: bool,
    /// Fictions are JSON text, and no text inside of it.
    is_raw: bool,
    keeps: bool,
}

impl Leaf {
    /// Builds the rule of a path; `type` says what its values are, where the transformer does not.
    pub fn build(making: &mut Making<'_>, setting: &Setting) -> Result<Leaf, Unfit> {
        let mut rule = rule_of(making, setting)?;
        let at = rule.parameters.iter().position(|(name, _)| name == "type");
        let kind = match at.map(|at| rule.parameters.remove(at).1) {
            Some(setting) => kind_named(making, &setting)?,
            None => kind_for(&rule),
        };
        let is_raw = kind == Kind::Json;
        let inner = Inner::build(making, &rule, &Target::inner(kind))?;
        let of_anything = is_raw || OF_ANYTHING.contains(&rule.name.as_str());
        Ok(Leaf { inner, of_anything, is_raw, keeps: rule.name == "keep" })
    }

    /// Appends what becomes of a value, as JSON. What was a number or a boolean stays one where the
    /// fiction is one.
    pub fn write(&self, plain: &Plain<'_>, raw: &str, out: &mut String) -> Result<(), Refusal> {
        if self.keeps {
            out.push_str(raw);
            return Ok(());
        }
        let mut text = String::new();
        if raw.starts_with('"') && !self.is_raw {
            json::decode(raw, &mut text);
        } else {
            text.push_str(raw);
        }
        let value = (raw != "null" && !raw.is_empty()).then_some(text.as_str());
        let mut fiction = String::new();
        if !self.inner.fiction(plain, value, &mut fiction)? {
            out.push_str("null");
            return Ok(());
        }
        let is_number = raw.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        match (raw, fiction.as_str()) {
            _ if self.is_raw => {
                if !json::is_valid(&fiction) {
                    return Err(Refusal::new("a rule of type json did not make JSON"));
                }
                out.push_str(&fiction);
            }
            ("true" | "false", "t" | "true") => out.push_str("true"),
            ("true" | "false", "f" | "false") => out.push_str("false"),
            _ if is_number && json::is_number(&fiction) => out.push_str(&fiction),
            _ => json::encode(&fiction, out),
        }
        Ok(())
    }
}

const KINDS: &[(&str, Kind)] = &[
    ("text", Kind::Text(None)),
    ("int", Kind::Int(8)),
    ("numeric", Kind::Numeric(None)),
    ("float", Kind::Float(8)),
    ("bool", Kind::Bool),
    ("date", Kind::Date),
    ("timestamp", Kind::Timestamp),
    ("timestamptz", Kind::TimestampTz),
    ("uuid", Kind::Uuid),
    ("inet", Kind::Inet),
    ("macaddr", Kind::Mac),
    ("json", Kind::Json),
];

fn kind_named(making: &mut Making<'_>, setting: &Setting) -> Result<Kind, Unfit> {
    let name = setting.value.scalar().unwrap_or_default();
    match KINDS.iter().find(|(known, _)| *known == name) {
        Some((_, kind)) => Ok(kind.clone()),
        None => {
            let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
            let message = format!("a value of a document is not of the type {name}");
            Err(making.fault_at(Code::WrongValue, setting.place, message, known.join(", ")))
        }
    }
}

/// The first kind of which the rule's transformer makes values: text, where it makes any. What is
/// wrong with its name is found later.
fn kind_for(rule: &Rule) -> Kind {
    let definition = transformers::named(&rule.name);
    let takes = |kind: &&Kind| definition.is_none_or(|definition| (definition.takes)(kind));
    KINDS.iter().map(|(_, kind)| kind).find(takes).cloned().unwrap_or(Kind::Text(None))
}

#[derive(Debug)]
struct Json {
    paths: Vec<Vec<Step>>,
    /// By path.
    rules: Vec<Leaf>,
    rest: Rest,
    changes: Vec<Change>,
}

/// One walk through a document.
struct Walk<'w, 't> {
    document: &'w Json,
    plain: &'w Plain<'w>,
    scanner: Scanner<'t>,
    out: &'w mut String,
    /// Up to where the document is written already.
    written: usize,
    /// How far paths have come, one range for each level.
    reached: Vec<Reached>,
    key: String,
}

impl Walk<'_, '_> {
    /// Writes what becomes of the value that comes next; `reached` of the paths may go on inside of
    /// it, and `rule` holds for it.
    fn value(
        &mut self,
        reached: std::ops::Range<usize>,
        rule: Option<usize>,
        depth: usize,
    ) -> Result<(), Refusal> {
        let leaf = rule.and_then(|rule| self.document.rules.get(rule));
        let first = self.scanner.peek();
        let close = match first {
            Some(b'{') => b'}',
            Some(b'[') => b']',
            _ => return self.whole(leaf, depth),
        };
        if leaf.is_some_and(|leaf| leaf.of_anything && (!leaf.keeps || reached.is_empty())) {
            return self.whole(leaf, depth);
        }
        if depth > MOST_DEPTH {
            return Err(Refusal::new(format!("the document is nested deeper than {MOST_DEPTH}")));
        }
        let is_object = close == b'}';
        self.scanner.take(if is_object { b'{' } else { b'[' });
        let mut is_over = self.scanner.take(close);
        let mut index = 0;
        while !is_over {
            let mut key = std::mem::take(&mut self.key);
            if is_object {
                json::decode(self.scanner.string().ok_or_else(no_json)?, &mut key);
                if !self.scanner.take(b':') {
                    return Err(no_json());
                }
            }
            let place = if is_object { Place::Key(&key) } else { Place::Index(index) };
            let from = self.reached.len();
            let ended = follow(&self.document.paths, &mut self.reached, reached.clone(), place);
            self.key = key;
            self.value(from..self.reached.len(), ended.or(rule), depth + 1)?;
            self.reached.truncate(from);
            index += 1;
            if !self.scanner.take(b',') {
                if !self.scanner.take(close) {
                    return Err(no_json());
                }
                is_over = true;
            }
        }
        Ok(())
    }

    /// A value that is replaced or kept as a whole.
    fn whole(&mut self, leaf: Option<&Leaf>, depth: usize) -> Result<(), Refusal> {
        self.scanner.peek();
        let from = self.scanner.position();
        let raw = self.scanner.value(depth).ok_or_else(no_json)?;
        match (leaf, self.document.rest) {
            (Some(leaf), _) if leaf.keeps => return Ok(()),
            (None, Rest::Keep) => return Ok(()),
            // A null tells nothing.
            (None, _) if raw == "null" => return Ok(()),
            (None, Rest::Refuse) => {
                return Err(Refusal::new(
                    "the document has a value that no path fits, and rest is \"refuse\"",
                ));
            }
            _ => {}
        }
        self.out.push_str(self.scanner.between(self.written, from));
        self.written = self.scanner.position();
        match leaf {
            Some(leaf) => leaf.write(self.plain, raw, self.out),
            None => {
                self.out.push_str("null");
                Ok(())
            }
        }
    }
}

fn no_json() -> Refusal {
    Refusal::new("the value is not valid JSON")
}

impl Transformer for Json {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if plain.is_null {
            return Ok(Answer::Null);
        }
        // At the root, a path without steps has ended already.
        let rule = self.paths.iter().position(Vec::is_empty);
        let all: Vec<Reached> = self.paths.iter().enumerate().map(|(number, _)| (number, 0)).collect();
        let reached = 0..all.len();
        let mut walk = Walk {
            document: self,
            plain,
            scanner: Scanner::new(plain.text),
            out,
            written: 0,
            reached: all,
            key: String::new(),
        };
        walk.value(reached, rule, 0)?;
        if walk.scanner.peek().is_some() {
            return Err(no_json());
        }
        let rest = walk.scanner.between(walk.written, plain.text.len());
        out.push_str(rest);
        for change in &self.changes {
            let before = std::mem::take(out);
            change.apply(plain, &before, out)?;
        }
        Ok(Answer::Text)
    }
}
