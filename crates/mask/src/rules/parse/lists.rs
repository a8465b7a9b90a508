//! `[[reference]]`, `[[accept]]`, `[[test]]`, and what a later version has.

use pgark_bytes::nearest::nearest;
use toml::Spanned;
use toml::de::DeValue;

use super::{Entry, Reader};
use crate::finding::{Code, Severity};
use crate::rules::{Accepted, Literal, OnDefinition, RuleTest, Rules, Setting, VirtualReference};

impl Reader<'_> {
    pub(super) fn reference(&mut self, table: &Spanned<DeValue<'_>>) -> Option<VirtualReference> {
        let (entries, place) = self.section(table);
        let (mut from, mut to, mut when) = (None, None, None);
        let before = self.findings.len();
        for entry in &entries {
            match entry.key {
                "from" => from = self.text_setting(entry).and_then(|end| self.end(entry.key, end)),
                "to" => to = self.text_setting(entry).and_then(|end| self.end(entry.key, end)),
                "when" => when = self.text_setting(entry),
                _ => self.unknown_key(entry, "[[reference]]", &["from", "to", "when"]),
            }
        }
        match (from, to) {
            (Some(from), Some(to)) => Some(VirtualReference { from, to, when }),
            (from, _) => {
                if self.findings.len() == before {
                    self.missing(place, "[[reference]]", if from.is_none() { "from" } else { "to" });
                }
                None
            }
        }
    }

    /// `schema.table(column, …)`.
    fn end(&mut self, key: &str, setting: Setting) -> Option<Setting> {
        let is_end = match &setting.value {
            Literal::Text(text) => text.split_once('(').is_some_and(|(table, columns)| {
                table.contains('.')
                    && columns.strip_suffix(')').is_some_and(|columns| !columns.trim().is_empty())
            }),
            _ => false,
        };
        if !is_end {
            self.wrong(key, &setting, "\"schema.table(column, …)\"");
        }
        is_end.then_some(setting)
    }

    pub(super) fn accepted(&mut self, table: &Spanned<DeValue<'_>>) -> Option<Accepted> {
        let (entries, place) = self.section(table);
        let (mut code, mut because, mut of_table, mut column) = (None, None, None, None);
        let before = self.findings.len();
        for entry in &entries {
            match entry.key {
                "code" => code = self.text_setting(entry),
                "table" => of_table = self.text_setting(entry),
                "column" => column = self.text_setting(entry),
                "because" => because = self.text(entry),
                _ => self.unknown_key(entry, "[[accept]]", &["code", "table", "column", "because"]),
            }
        }
        match (code, because) {
            (Some(code), Some(because)) => Some(Accepted { code, table: of_table, column, because, place }),
            (code, _) => {
                if self.findings.len() == before {
                    let key = if code.is_none() { "code" } else { "because, a reason" };
                    self.missing(place, "[[accept]]", key);
                }
                None
            }
        }
    }

    /// Codes that are accepted exist, and are no errors.
    pub(super) fn check_accepted(&mut self, rules: &mut Rules) {
        let is_warning = rules.policy.definitions == OnDefinition::Warn;
        for accepted in &rules.accepted {
            let text = accepted.code.value.scalar().unwrap_or_default();
            match Code::ALL.iter().find(|code| code.as_str() == text) {
                None => {
                    let near = nearest(&text, Code::ALL.iter().map(|code| code.as_str()));
                    let hint = near.map(|near| format!("did you mean {near}?")).unwrap_or_default();
                    self.fault(
                        Code::WrongValue,
                        accepted.code.place,
                        format!("there is not a code {text}"),
                        hint,
                    );
                }
                Some(Code::PlainDefinition) if is_warning => {}
                Some(code) if code.severity() == Severity::Error => {
                    let message = format!("{text} is an error, which cannot be accepted");
                    self.fault(Code::WrongValue, accepted.code.place, message, code.meaning());
                }
                Some(_) => {}
            }
        }
    }

    pub(super) fn test(&mut self, table: &Spanned<DeValue<'_>>) -> Option<RuleTest> {
        let (entries, place) = self.section(table);
        let (mut of_table, mut row, mut expect) = (None, Vec::new(), Vec::new());
        let before = self.findings.len();
        for entry in &entries {
            match entry.key {
                "table" => of_table = self.text_setting(entry),
                "row" => row = self.values(entry),
                "expect" => expect = self.values(entry),
                _ => self.unknown_key(entry, "[[test]]", &["table", "row", "expect"]),
            }
        }
        if self.findings.len() == before && (of_table.is_none() || expect.is_empty()) {
            let key = if of_table.is_none() { "table" } else { "expect" };
            self.missing(place, "[[test]]", key);
        }
        Some(RuleTest { table: of_table?, row, expect, place })
    }

    /// Values by column: scalars and lists.
    fn values(&mut self, entry: &Entry<'_>) -> Vec<(String, Setting)> {
        let members = self.members(entry);
        for (column, setting) in &members {
            if setting.value.scalar().is_none() {
                self.wrong(column, setting, "a value, in the text form of the column's type");
            }
        }
        members
    }

    pub(super) fn reports(&mut self, entry: &Entry<'_>) {
        for entry in self.named(entry, "[[report.NAME]]") {
            let what = format!("[[report.{}]]", entry.key);
            match entry.value.get_ref() {
                DeValue::Array(items) => {
                    for item in items {
                        self.later(self.lines.place(item.span().start), &what);
                    }
                }
                _ => self.later(entry.place, &what),
            }
        }
    }
}
