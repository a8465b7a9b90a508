//! The sections of a rules file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pgark_bytes::nearest::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::rule::{RuleReader, condition, otherwise};
use super::{Entry, Reader};
use crate::finding::{Code, Finding, Place};
use crate::rules::{
    KeyEncoding, KeySource, Literal, MOST_KINDS, NamedRule, OnDefinition, OnLargeObjects, PatternRule,
    Policy, Rule, Rules, Setting, TableRules, Unspoken,
};
use crate::transformers;

/// The format of rules files that this version reads.
const VERSION: i64 = 1;

/// The newest edition of word lists and formats.
const VOCABULARY: i64 = 1;

const SECTIONS: &[&str] = &[
    "version",
    "vocabulary",
    "locale",
    "key",
    "policy",
    "kind",
    "column",
    "table",
    "reference",
    "accept",
    "test",
];

const TABLE: &[&str] =
    &["subject", "keep", "columns", "record", "when", "otherwise", "type", "rows", "query", "children"];

/// What any rule of a column takes, but no record: it sets several columns of each row.
const NOT_OF_RECORDS: &[&str] =
    &["unique", "null", "seed", "when", "otherwise", "follow", "children", "locale"];

impl Reader<'_> {
    /// The whole file.
    pub(super) fn file(&mut self, file: &DeTable<'_>) -> Rules {
        let mut rules = Rules { vocabulary: VOCABULARY as u32, ..Rules::default() };
        self.find_kinds(file);
        let (mut has_version, mut has_key) = (false, false);
        for entry in self.entries(file) {
            match entry.key {
                "version" => {
                    has_version = true;
                    self.edition(&entry, VERSION);
                }
                "vocabulary" => {
                    if let Some(vocabulary) = self.edition(&entry, VOCABULARY) {
                        rules.vocabulary = vocabulary as u32;
                    }
                }
                "locale" => {
                    let place = self.lines.place(entry.value.span().start);
                    rules.locale = self.text(&entry).map(|locale| (locale, place));
                }
                "key" => {
                    has_key = true;
                    rules.key = self.key(&entry);
                }
                "policy" => rules.policy = self.policy(&entry),
                "kind" => {
                    for entry in self.named(&entry, "[kind.NAME]") {
                        if transformers::named(entry.key).is_some() {
                            let message = format!("a transformer is called {} already", entry.key);
                            self.fault(Code::WrongValue, entry.place, message, "give the kind another name");
                        }
                        let rule = self.rule(entry.value, &[]);
                        rules.kinds.push(NamedRule { name: entry.key.to_string(), rule });
                    }
                }
                "column" => {
                    for table in self.list(&entry, "[[column]]") {
                        rules.patterns.extend(self.pattern(table));
                    }
                }
                "table" => {
                    for entry in self.named(&entry, "[table.\"schema.name\"]") {
                        rules.tables.extend(self.table(&entry));
                    }
                }
                "reference" => {
                    for table in self.list(&entry, "[[reference]]") {
                        rules.references.extend(self.reference(table));
                    }
                }
                "accept" => {
                    for table in self.list(&entry, "[[accept]]") {
                        rules.accepted.extend(self.accepted(table));
                    }
                }
                "test" => {
                    for table in self.list(&entry, "[[test]]") {
                        rules.tests.extend(self.test(table));
                    }
                }
                "subset" => self.later(entry.place, "[subset]"),
                "program" => {
                    for entry in self.named(&entry, "[program.NAME]") {
                        self.later(entry.place, &format!("[program.{}]", entry.key));
                    }
                }
                "report" => self.reports(&entry),
                _ => self.unknown_key(&entry, "a rules file", SECTIONS),
            }
        }
        let top = Place { line: 1, column: 1 };
        if !has_version {
            self.fault(
                Code::WrongValue,
                top,
                "the file does not say which version of rules it is",
                "version = 1",
            );
        }
        if !has_key {
            let message = "the file does not say where the mask key comes from";
            self.fault(Code::KeyUnfit, top, message, "key = { env = \"PGARK_MASK_KEY\" }");
        }
        self.check_accepted(&mut rules);
        rules
    }

    /// What each kind comes to, before rules are read.
    fn find_kinds(&mut self, file: &DeTable<'_>) {
        let Some(DeValue::Table(kinds)) = file.get("kind").map(Spanned::get_ref) else { return };
        let mut uses: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, rule) in kinds {
            let used = match rule.get_ref() {
                DeValue::Table(rule) => rule.get("use").and_then(|used| used.get_ref().as_str()),
                other => other.as_str(),
            };
            uses.extend(used.map(|used| (name.get_ref().as_ref(), used)));
        }
        for (name, rule) in kinds {
            let mut end = name.get_ref().as_ref();
            let mut steps = 0;
            while let Some(next) = uses.get(end).filter(|_| steps < MOST_KINDS) {
                (end, steps) = (next, steps + 1);
            }
            if steps == MOST_KINDS {
                let message = format!("the kind {} leads to itself", name.get_ref());
                self.fault(Code::WrongValue, self.lines.place(rule.span().start), message, "");
            }
            self.kinds.insert(name.get_ref().to_string(), end.to_string());
        }
    }

    fn rule(&mut self, value: &Spanned<DeValue<'_>>, reserved: &[&str]) -> Rule {
        let setting = self.setting(value);
        let kinds = &self.kinds;
        let kind = |name: &str| kinds.get(name).map(String::as_str);
        RuleReader { reserved, kinds: &kind, findings: &mut self.findings }.read(&setting)
    }

    fn key(&mut self, entry: &Entry<'_>) -> Option<(KeySource, Place)> {
        const FORMS: &str = "{ env = \"…\" }, { file = \"…\" }, { command = [\"…\"] } or \"ephemeral\"";
        let place = self.lines.place(entry.value.span().start);
        let DeValue::Table(table) = entry.value.get_ref() else {
            if entry.value.get_ref().as_str() == Some("ephemeral") {
                return Some((KeySource::Ephemeral, place));
            }
            // What is here may be the key itself: it is not shown.
            self.fault(Code::KeyUnfit, place, "the mask key must not be in the rules themselves", FORMS);
            return None;
        };
        let (mut encoding, mut sources) = (KeyEncoding::Plain, Vec::new());
        for entry in self.entries(table) {
            match entry.key {
                "encoding" => {
                    let words = [
                        ("plain", KeyEncoding::Plain),
                        ("hex", KeyEncoding::Hex),
                        ("base64", KeyEncoding::Base64),
                    ];
                    encoding = self.word(&entry, &words).unwrap_or_default();
                }
                "env" => {
                    sources.extend(self.text(&entry).map(|name| KeySource::Environment { name, encoding }))
                }
                "file" => sources.extend(
                    self.text(&entry).map(|path| KeySource::File { path: PathBuf::from(path), encoding }),
                ),
                "command" => {
                    let command: Vec<String> =
                        self.texts(&entry).iter().filter_map(|one| one.value.scalar()).collect();
                    if !command.is_empty() {
                        sources.push(KeySource::Command { command, encoding });
                    }
                }
                _ => self.unknown_key(&entry, "key", &["env", "file", "command", "encoding"]),
            }
        }
        let count = sources.len();
        let Some(source) = sources.pop().filter(|_| count == 1) else {
            self.fault(Code::KeyUnfit, place, "key names one place where the mask key is", FORMS);
            return None;
        };
        let source = match source {
            KeySource::Environment { name, .. } => KeySource::Environment { name, encoding },
            KeySource::File { path, .. } => KeySource::File { path, encoding },
            KeySource::Command { command, .. } => KeySource::Command { command, encoding },
            KeySource::Ephemeral => KeySource::Ephemeral,
        };
        Some((source, place))
    }

    fn policy(&mut self, entry: &Entry<'_>) -> Policy {
        let mut policy = Policy::default();
        for entry in self.named(entry, "[policy]") {
            match entry.key {
                "columns" => {
                    let words =
                        [("refuse", Unspoken::Refuse), ("auto", Unspoken::Auto), ("keep", Unspoken::Keep)];
                    policy.columns = self.word(&entry, &words).unwrap_or_default();
                }
                "definitions" => {
                    let words = [
                        ("refuse", OnDefinition::Refuse),
                        ("warn", OnDefinition::Warn),
                        ("keep", OnDefinition::Keep),
                    ];
                    policy.definitions = self.word(&entry, &words).unwrap_or_default();
                }
                "large_objects" => {
                    let words = [
                        ("refuse", OnLargeObjects::Refuse),
                        ("empty", OnLargeObjects::Empty),
                        ("keep", OnLargeObjects::Keep),
                    ];
                    policy.large_objects = self.word(&entry, &words).unwrap_or_default();
                }
                _ => self.unknown_key(&entry, "[policy]", &["columns", "definitions", "large_objects"]),
            }
        }
        policy
    }

    fn pattern(&mut self, table: &Spanned<DeValue<'_>>) -> Option<PatternRule> {
        let (entries, place) = self.section(table);
        let rule = self.rule(table, &["match", "types"]);
        let mut pattern = PatternRule { matches: Vec::new(), types: Vec::new(), rule };
        for entry in &entries {
            match entry.key {
                "match" => pattern.matches = self.texts(entry),
                "types" => pattern.types = self.texts(entry),
                _ => {}
            }
        }
        if pattern.matches.is_empty() && pattern.types.is_empty() {
            self.missing(place, "[[column]]", "match or types");
            return None;
        }
        Some(pattern)
    }

    fn table(&mut self, entry: &Entry<'_>) -> Option<TableRules> {
        let name = entry.key;
        let has_schema =
            name.split_once('.').is_some_and(|(schema, table)| !schema.is_empty() && !table.is_empty());
        if !has_schema {
            let inner = match entry.value.get_ref() {
                DeValue::Table(table) if table.len() == 1 => {
                    table.keys().next().map(|key| key.get_ref().to_string())
                }
                _ => None,
            };
            let message = format!("{name} is not schema.table");
            let hint = format!("[table.\"{name}.{}\"]", inner.as_deref().unwrap_or("name"));
            self.fault(Code::WrongValue, entry.place, message, hint);
            return None;
        }
        let mut rules = TableRules { table: name.to_string(), place: entry.place, ..TableRules::default() };
        for entry in self.named(entry, "[table.\"schema.name\"]") {
            match entry.key {
                "subject" => rules.subject = self.text_setting(&entry),
                "keep" => rules.keep = self.texts(&entry),
                "columns" => {
                    for entry in self.named(&entry, "columns.NAME = \"…\"") {
                        let rule = self.rule(entry.value, &[]);
                        rules.columns.push((entry.key.to_string(), rule));
                    }
                }
                "record" => rules.record = self.record(&entry),
                "when" => rules.when = self.text_setting(&entry),
                "otherwise" => {
                    let setting = self.setting(entry.value);
                    rules.otherwise = otherwise(&setting.value).map(|otherwise| (otherwise, setting.place));
                    if rules.otherwise.is_none() {
                        self.wrong("otherwise", &setting, "\"keep\", \"drop\" or \"null\"");
                    }
                }
                "type" => {
                    rules.types = self.members(&entry);
                    for (column, setting) in &rules.types {
                        if !matches!(setting.value, Literal::Text(_)) {
                            self.wrong(column, setting, "the name of a type");
                        }
                    }
                }
                "rows" => {
                    rules.rows_none = self.word(&entry, &[("none", true), ("all", false)]) == Some(true)
                }
                "query" => rules.query = self.text_setting(&entry),
                "children" => rules.children = self.flag(&entry),
                _ => self.unknown_table_key(&entry),
            }
        }
        let condition = condition(rules.when.as_ref(), rules.otherwise.map(|(_, at)| at), entry.place);
        self.findings.extend(condition);
        for keep in &rules.keep {
            let name = keep.value.scalar().unwrap_or_default();
            if rules.columns.iter().any(|(column, _)| *column == name) {
                let message = format!("{name} is kept here, and has a rule in columns.{name}");
                self.fault(Code::WrongValue, keep.place, message, "");
            }
        }
        Some(rules)
    }

    /// A program for several columns: its text, or a table with `value`.
    fn record(&mut self, entry: &Entry<'_>) -> Option<Rule> {
        let mut setting = self.setting(entry.value);
        let place = setting.place;
        match &mut setting.value {
            Literal::Table(members) => {
                if let Some((_, used)) = members.iter().find(|(key, _)| key == "use") {
                    let message = "record always uses record";
                    self.fault(Code::WrongValue, used.place, message, "leave out use");
                    return None;
                }
                let used = Setting { value: Literal::Text("record".to_string()), place };
                members.push(("use".to_string(), used));
            }
            Literal::Text(_) => {
                let members = [("use", Literal::Text("record".to_string())), ("value", setting.value)];
                let members = members.map(|(key, value)| (key.to_string(), Setting { value, place }));
                setting.value = Literal::Table(members.to_vec());
            }
            _ => {
                self.wrong("record", &setting, "a program as a string, or { value = \"…\", columns = […] }");
                return None;
            }
        }
        if let Literal::Table(members) = &mut setting.value {
            // Each one would be without effect: it must not look as if it had one.
            members.retain(|(key, member)| {
                let is_unfit = NOT_OF_RECORDS.contains(&key.as_str());
                if is_unfit {
                    let message = format!("a record does not have {key}");
                    let hint = "value, columns, engine, domain, reads; the table has `when`";
                    self.findings
                        .push(Finding::new(Code::ParameterUnknown, message).at(member.place).hint(hint));
                }
                !is_unfit
            });
        }
        Some(RuleReader { reserved: &[], kinds: &|_| None, findings: &mut self.findings }.read(&setting))
    }

    fn unknown_table_key(&mut self, entry: &Entry<'_>) {
        let is_near = nearest(entry.key, TABLE.iter().copied()).is_some();
        let is_rule = match entry.value.get_ref() {
            DeValue::Table(rule) => rule.contains_key("use"),
            DeValue::String(name) => {
                transformers::named(name).is_some() || self.kinds.contains_key(name.as_ref())
            }
            _ => false,
        };
        if is_rule && !is_near {
            let message = format!("a table has no key {}", entry.key);
            let hint = format!("a column's rule is written columns.{} = …", entry.key);
            return self.fault(Code::UnknownKey, entry.place, message, hint);
        }
        self.unknown_key(entry, "a table", TABLE);
    }
}
