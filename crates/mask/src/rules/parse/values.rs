//! Values of single keys: what is not of the right type is a finding.

use toml::Spanned;
use toml::de::DeValue;

use super::rule::texts;
use super::{Entry, Reader};
use crate::finding::{Code, Place};
use crate::rules::{Literal, Setting};

impl Reader<'_> {
    pub(super) fn edition(&mut self, entry: &Entry<'_>, newest: i64) -> Option<i64> {
        let setting = self.setting(entry.value);
        match setting.value {
            Literal::Integer(number) if (1..=newest).contains(&number) => Some(number),
            Literal::Integer(number) if number > newest => {
                let message = format!("this version of pgark does not know {} {number}", entry.key);
                self.fault(Code::WrongValue, setting.place, message, format!("{} = {newest}", entry.key));
                None
            }
            _ => {
                self.wrong(entry.key, &setting, &format!("{newest}"));
                None
            }
        }
    }

    pub(super) fn text(&mut self, entry: &Entry<'_>) -> Option<String> {
        let setting = self.text_setting(entry)?;
        setting.value.scalar()
    }

    pub(super) fn text_setting(&mut self, entry: &Entry<'_>) -> Option<Setting> {
        let setting = self.setting(entry.value);
        if matches!(&setting.value, Literal::Text(text) if !text.is_empty()) {
            return Some(setting);
        }
        self.wrong(entry.key, &setting, "a string that is not empty");
        None
    }

    pub(super) fn flag(&mut self, entry: &Entry<'_>) -> Option<bool> {
        let setting = self.setting(entry.value);
        let Literal::Flag(flag) = setting.value else {
            self.wrong(entry.key, &setting, "true or false");
            return None;
        };
        Some(flag)
    }

    pub(super) fn texts(&mut self, entry: &Entry<'_>) -> Vec<Setting> {
        let setting = self.setting(entry.value);
        texts(&setting).unwrap_or_else(|| {
            self.wrong(entry.key, &setting, "a string or a list of strings");
            Vec::new()
        })
    }

    /// The members of a value that is a table.
    pub(super) fn members(&mut self, entry: &Entry<'_>) -> Vec<(String, Setting)> {
        let setting = self.setting(entry.value);
        match setting.value {
            Literal::Table(members) => members,
            _ => {
                self.wrong(entry.key, &setting, "a table");
                Vec::new()
            }
        }
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&mut self, entry: &Entry<'_>, words: &[(&str, T)]) -> Option<T> {
        let setting = self.setting(entry.value);
        let found = words.iter().find(|(word, _)| setting.value == Literal::Text((*word).to_string()));
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(entry.key, &setting, &known.join(", "));
        }
        found.map(|(_, value)| *value)
    }

    /// The tables of `[[key]]`.
    pub(super) fn list<'v>(&mut self, entry: &Entry<'v>, form: &str) -> Vec<&'v Spanned<DeValue<'v>>> {
        let DeValue::Array(items) = entry.value.get_ref() else {
            self.fault(Code::WrongValue, entry.place, format!("{} is a list of sections", entry.key), form);
            return Vec::new();
        };
        let (tables, others): (Vec<_>, Vec<_>) = items.iter().partition(|item| item.get_ref().is_table());
        for other in others {
            let place = self.lines.place(other.span().start);
            self.fault(Code::WrongValue, place, format!("{} is a list of sections", entry.key), form);
        }
        tables
    }

    /// What a table of sections holds: `[kind.NAME]`.
    pub(super) fn named<'v>(&mut self, entry: &Entry<'v>, form: &str) -> Vec<Entry<'v>> {
        let DeValue::Table(table) = entry.value.get_ref() else {
            self.fault(Code::WrongValue, entry.place, format!("{} contains sections", entry.key), form);
            return Vec::new();
        };
        self.entries(table)
    }

    /// A section's entries, and where it begins.
    pub(super) fn section<'v>(&self, table: &'v Spanned<DeValue<'v>>) -> (Vec<Entry<'v>>, Place) {
        let place = self.lines.place(table.span().start);
        match table.get_ref() {
            DeValue::Table(table) => (self.entries(table), place),
            _ => (Vec::new(), place),
        }
    }

    pub(super) fn missing(&mut self, place: Place, section: &str, key: &str) {
        self.fault(Code::WrongValue, place, format!("{section} needs {key}"), "");
    }
}
