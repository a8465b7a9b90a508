//! Reads a rules file. Every problem is found at once, each with its line and column and the
//! nearest right key.

mod lists;
mod rule;
mod sections;
#[cfg(test)]
mod tests;
mod values;
mod variables;

use std::collections::BTreeMap;

use pgark_bytes::nearest::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::finding::{Code, Finding, Place};
use crate::rules::{Literal, NamedRule, Rules, Setting};
use variables::Fault;

impl Rules {
    /// Reads a rules file: its bytes, which are UTF-8, and the environment variables that its
    /// strings name (see `variables`).
    ///
    /// What is wrong comes as findings, with codes M001 to M006, M008 and M009, in the order of the
    /// file. What was right is in the rules also then, so that later checks can go on.
    pub fn parse(bytes: &[u8], variables: &dyn Fn(&str) -> Option<String>) -> (Rules, Vec<Finding>) {
        let hash = blake3::hash(bytes).to_hex().to_string();
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let lines = Lines::of(std::str::from_utf8(good).unwrap_or_default());
                let finding = Finding::new(Code::NotToml, "the file is not UTF-8");
                let finding = finding.at(lines.place(error.valid_up_to()));
                return (Rules { hash, ..Rules::default() }, vec![finding]);
            }
        };
        let mut reader =
            Reader { lines: Lines::of(text), variables, findings: Vec::new(), kinds: BTreeMap::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let at = error.span().map_or(text.len(), |span| span.start);
            reader.fault(Code::NotToml, reader.lines.place(at), error.message().to_string(), "");
        }
        if !errors.is_empty() {
            return (Rules { hash, ..Rules::default() }, reader.findings);
        }
        let rules = Rules { hash, ..reader.file(table.get_ref()) };
        reader.findings.sort_by_key(|finding| finding.place);
        (rules, reader.findings)
    }

    /// A kind by its name.
    pub fn kind(&self, name: &str) -> Option<&NamedRule> {
        self.kinds.iter().find(|kind| kind.name == name)
    }
}

/// Where the lines of a text begin.
struct Lines<'t> {
    text: &'t str,
    begin: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Lines<'t> {
        let ends = memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1);
        Lines { text, begin: std::iter::once(0).chain(ends).collect() }
    }

    fn place(&self, at: usize) -> Place {
        let line = self.begin.partition_point(|begin| *begin <= at);
        let begin = line.checked_sub(1).and_then(|line| self.begin.get(line)).copied().unwrap_or(0);
        let before = self.text.get(begin..at.min(self.text.len())).unwrap_or_default();
        Place { line: line.max(1) as u32, column: before.chars().count() as u32 + 1 }
    }
}

/// Reads one file.
struct Reader<'t> {
    lines: Lines<'t>,
    variables: &'t dyn Fn(&str) -> Option<String>,
    findings: Vec<Finding>,
    /// The transformer that each kind comes to.
    kinds: BTreeMap<String, String>,
}

/// A key of a table with its value.
struct Entry<'v> {
    key: &'v str,
    /// Where the key is.
    place: Place,
    value: &'v Spanned<DeValue<'v>>,
}

impl Reader<'_> {
    fn fault(&mut self, code: Code, place: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(Finding::new(code, message).at(place).hint(hint));
    }

    /// A value is not what its key takes.
    fn wrong(&mut self, key: &str, setting: &Setting, takes: &str) {
        let message = format!("{key} is {}; it takes {takes}", rule::shown(&setting.value));
        self.fault(Code::WrongValue, setting.place, message, "");
    }

    /// What a table holds, in the file's order.
    fn entries<'v>(&self, table: &'v DeTable<'v>) -> Vec<Entry<'v>> {
        let mut entries: Vec<(usize, Entry<'v>)> = table
            .iter()
            .map(|(key, value)| {
                let at = key.span().start;
                (at, Entry { key: key.get_ref().as_ref(), place: self.lines.place(at), value })
            })
            .collect();
        entries.sort_by_key(|(at, _)| *at);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    fn unknown_key(&mut self, entry: &Entry<'_>, section: &str, known: &[&str]) {
        let hint = match nearest(entry.key, known.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("{section} has {}", known.join(", ")),
        };
        self.fault(Code::UnknownKey, entry.place, format!("{section} has no key {}", entry.key), hint);
    }

    /// A part of rules that a later version of pgark brings: it is refused, not left out silently.
    fn later(&mut self, place: Place, what: &str) {
        let message = format!("this version of pgark does not have {what}");
        self.fault(Code::UnknownKey, place, message, "");
    }

    /// A value as a later step reads it, with its variables replaced.
    fn setting(&mut self, value: &Spanned<DeValue<'_>>) -> Setting {
        let place = self.lines.place(value.span().start);
        let value = match value.get_ref() {
            DeValue::String(text) => Literal::Text(self.replaced(text, place)),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Literal::Integer(number),
                Err(_) => {
                    self.fault(Code::WrongValue, place, "an integer has at most 64 bits", "");
                    Literal::Integer(0)
                }
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Literal::Float(number),
                Err(_) => {
                    self.fault(Code::WrongValue, place, "this is not a number", "");
                    Literal::Float(0.0)
                }
            },
            DeValue::Boolean(flag) => Literal::Flag(*flag),
            DeValue::Datetime(time) => Literal::Time(time.to_string()),
            DeValue::Array(items) => Literal::List(items.iter().map(|item| self.setting(item)).collect()),
            DeValue::Table(table) => {
                let entries = self.entries(table);
                let member = |entry: &Entry<'_>, reader: &mut Self| {
                    (entry.key.to_string(), reader.setting(entry.value))
                };
                Literal::Table(entries.iter().map(|entry| member(entry, self)).collect())
            }
        };
        Setting { value, place }
    }

    fn replaced(&mut self, text: &str, place: Place) -> String {
        let (text, faults) = variables::replaced(text, self.variables);
        for fault in faults {
            match fault {
                Fault::Unset(name, message) => {
                    let said = message.map(|message| format!(": {message}")).unwrap_or_default();
                    let message = format!("the environment variable {name} is not set{said}");
                    self.fault(Code::VariableUnset, place, message, "a dollar itself is written $$");
                }
                Fault::Open => {
                    self.fault(Code::WrongValue, place, "a variable is not closed by }", "${NAME}");
                }
            }
        }
        text
    }
}
