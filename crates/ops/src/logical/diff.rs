//! `diff` of two logical backups: definitions, rows and bytes per table, settings, roles.
//!
//! Definitions are compared entry by entry of the archives' tables of contents, by kind and name;
//! what changed is shown as the lines that differ. Passwords are never shown: of a role's password
//! it is said that it changed.

use std::collections::BTreeMap;

use pgark_bytes::archive::convert;
use pgark_bytes::archive::statements::{Options, SessionState, statements};
use pgark_bytes::sql::{self, Token};
use pgark_repo::{Backup, DataReader, Repository};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

use crate::advice::{Operation, advice};
use crate::facts::About;
use crate::logical::contents::Contents;
use crate::logical::whole::read_whole;
use crate::nearest::did_you_mean;
use crate::select::Wanted;
use crate::{BackupName, Job, OpsError, inspect, paths};

/// What changed from `a` to `b`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DiffReport {
    /// Id of the first backup, the older side of the comparison.
    pub a: String,
    /// Id of the second backup.
    pub b: String,
    /// Names of databases that only the second backup contains.
    pub databases_added: Vec<String>,
    /// Names of databases that only the first backup contains.
    pub databases_removed: Vec<String>,
    /// Objects whose definitions differ, ordered by name.
    pub objects: Vec<ObjectChange>,
    /// Tables whose rows or bytes differ.
    pub tables: Vec<TableChange>,
    /// Settings of the server that differ.
    pub settings: Vec<ValueChange>,
    /// Roles, memberships and tablespaces that differ: statements that only one of them has.
    pub globals: Vec<ValueChange>,
}

/// An object whose definition differs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ObjectChange {
    /// Name of the database.
    pub database: String,
    /// Kind and name of the object.
    pub object: String,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// The lines that differ, with three lines around them, as `diff -u` writes them.
    pub lines: String,
}

/// A table whose content differs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TableChange {
    /// Name of the database.
    pub database: String,
    /// Schema and name of the table; `large objects` for all large objects of the database.
    pub table: String,
    /// Number of rows in the first and in the second backup; null where the table is not there.
    pub rows: (Option<u64>, Option<u64>),
    /// Size in bytes of COPY text in the first and in the second backup; null where the table is
    /// not there.
    pub bytes: (Option<u64>, Option<u64>),
}

/// A setting, or a statement about a role or tablespace, that differs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ValueChange {
    /// Name of the setting, or the statement.
    pub name: String,
    /// Value in the first backup; null where it is not there.
    pub a: Option<String>,
    /// Value in the second backup; null where it is not there.
    pub b: Option<String>,
}

impl DiffReport {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.databases_added.is_empty()
            && self.databases_removed.is_empty()
            && self.objects.is_empty()
            && self.tables.is_empty()
            && self.settings.is_empty()
            && self.globals.is_empty()
    }
}

/// One side of the comparison.
struct Side<'r> {
    backup: Backup<'r>,
    reader: DataReader<'r>,
    databases: Vec<String>,
}

impl<'r> Side<'r> {
    fn open(repository: &'r Repository, id: &BackupName, only: Option<&str>) -> Result<Side<'r>, OpsError> {
        let backup = inspect::open(repository, id, Wanted::Logical)?;
        let reader = repository.reader(&backup.head)?;
        let mut databases = About::of(&backup.head)?.databases;
        if let Some(only) = only {
            databases.retain(|name| name == only);
        }
        Ok(Side { backup, reader, databases })
    }

    fn contents(&self, database: &str) -> Result<Contents, OpsError> {
        Contents::of(&self.backup, &self.reader, Some(database))
    }

    fn entry(&self, path: &str) -> Result<Option<Vec<u8>>, OpsError> {
        let entry = self.backup.entry(path)?;
        entry.map(|entry| read_whole(&self.reader, &entry)).transpose()
    }
}

/// Compares two backups, or one database of each.
pub(crate) fn run(
    repository: &Repository,
    a: &BackupName,
    b: &BackupName,
    database: Option<&str>,
    job: &Job,
) -> Result<DiffReport, OpsError> {
    let (a, b) = (Side::open(repository, a, database)?, Side::open(repository, b, database)?);
    if let Some(database) = database.filter(|_| a.databases.is_empty() && b.databases.is_empty()) {
        let mut known = About::of(&a.backup.head)?.databases;
        known.extend(About::of(&b.backup.head)?.databases);
        return Err(OpsError::refused(
            format!("neither backup has a database {database:?}"),
            advice![
                did_you_mean(database, known.iter().map(String::as_str)),
                Operation::Show,
                " lists its databases",
            ],
        ));
    }
    let only_in = |one: &Side<'_>, other: &Side<'_>| -> Vec<String> {
        one.databases.iter().filter(|name| !other.databases.contains(name)).cloned().collect()
    };
    let mut report = DiffReport {
        a: a.backup.head.id.to_string(),
        b: b.backup.head.id.to_string(),
        databases_added: only_in(&b, &a),
        databases_removed: only_in(&a, &b),
        objects: Vec::new(),
        tables: Vec::new(),
        settings: Vec::new(),
        globals: Vec::new(),
    };
    for database in a.databases.iter().filter(|name| b.databases.contains(name)) {
        job.cancel.check().map_err(|_| OpsError::Cancelled)?;
        let (before, after) = (a.contents(database)?, b.contents(database)?);
        report.objects.extend(objects(database, &before, &after));
        report.tables.extend(tables(database, &before, &after));
    }
    if database.is_none() {
        report.settings = changes(&settings(&a)?, &settings(&b)?);
        report.globals = changes(&globals(&a)?, &globals(&b)?);
    }
    Ok(report)
}

/// Every object's definition, owner included, by kind and name.
fn definitions(contents: &Contents) -> BTreeMap<String, String> {
    let archive = &contents.archive;
    let options = Options { create_database: true, ..Options::default() };
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for entry in archive.entries.iter().filter(|entry| !entry.is_setting()) {
        // Rows and sequences' values are not definitions.
        let is_data = matches!(
            entry.kind(),
            "TABLE DATA" | "SEQUENCE SET" | "BLOB" | "BLOB METADATA" | "BLOBS" | "STATISTICS DATA"
        );
        if is_data {
            continue;
        }
        let mut text = String::new();
        for statement in statements(archive, entry, &options, &mut SessionState::default()) {
            text.push_str(String::from_utf8_lossy(&statement.sql).trim());
            text.push('\n');
        }
        // Overloaded functions have their arguments in their tags; anything else of one name is
        // listed together.
        found.entry(entry.describe()).or_default().push_str(&text);
    }
    found
}

fn objects(database: &str, before: &Contents, after: &Contents) -> Vec<ObjectChange> {
    let (before, after) = (definitions(before), definitions(after));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let (old, new) = (before.get(name), after.get(name));
        let change = match (old, new) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(_), Some(_)) => "changed",
            (None, _) => "added",
            (_, None) => "removed",
        };
        let (old, new) = (old.map_or("", String::as_str), new.map_or("", String::as_str));
        let diff = TextDiff::from_lines(old, new);
        let lines = diff
            .unified_diff()
            .context_radius(3)
            .to_string()
            .lines()
            .filter(|line| !line.starts_with("@@"))
            .collect::<Vec<_>>()
            .join("\n");
        changes.push(ObjectChange { database: database.to_string(), object: name.clone(), change, lines });
    }
    changes
}

/// Rows and bytes of every table, by its name; number and bytes of all large objects.
fn amounts(contents: &Contents) -> BTreeMap<String, (u64, u64)> {
    let entries = &contents.archive.entries;
    let single = entries.iter().filter(|toc| toc.kind() == "BLOB").count();
    let grouped = entries.iter().filter(|toc| toc.kind() == "BLOB METADATA");
    let objects = single + grouped.map(|toc| convert::group_members(toc).len()).sum::<usize>();
    let bytes = contents.large_objects.as_ref().map_or(0, |entry| entry.bytes_raw);
    let all = (objects > 0).then(|| ("large objects".to_string(), (objects as u64, bytes)));
    contents
        .archive
        .entries
        .iter()
        .filter_map(|toc| {
            let (entry, rows) = contents.tables.get(&toc.dump_id)?;
            Some((format!("{}.{}", toc.namespace_str(), toc.tag_str()), (*rows, entry.bytes_raw)))
        })
        .chain(all)
        .collect()
}

fn tables(database: &str, before: &Contents, after: &Contents) -> Vec<TableChange> {
    let (before, after) = (amounts(before), amounts(after));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| {
            let (old, new) = (before.get(name), after.get(name));
            TableChange {
                database: database.to_string(),
                table: name.clone(),
                rows: (old.map(|amount| amount.0), new.map(|amount| amount.0)),
                bytes: (old.map(|amount| amount.1), new.map(|amount| amount.1)),
            }
        })
        .collect()
}

/// Settings that are not the defaults, by name.
fn settings(side: &Side<'_>) -> Result<BTreeMap<String, String>, OpsError> {
    let Some(text) = side.entry(paths::SETTINGS)? else { return Ok(BTreeMap::new()) };
    let value: Value = serde_json::from_slice(&text).map_err(|_| OpsError::Record {
        backup: side.backup.head.id.to_string(),
        what: paths::SETTINGS.into(),
    })?;
    let all = value.as_object().cloned().unwrap_or_default();
    Ok(all
        .into_iter()
        .filter_map(|(name, setting)| {
            let text = setting.get("setting")?.as_str()?;
            let unit = setting.get("unit").and_then(Value::as_str).unwrap_or_default();
            // Of the backup's own session.
            let source = setting.get("source").and_then(Value::as_str).unwrap_or_default();
            (!matches!(source, "session" | "client")).then(|| (name, format!("{text}{unit}")))
        })
        .collect())
}

/// The statements that make roles and tablespaces, without passwords, by themselves.
fn globals(side: &Side<'_>) -> Result<BTreeMap<String, String>, OpsError> {
    let Some(text) = side.entry(paths::GLOBALS)? else { return Ok(BTreeMap::new()) };
    let mut found = BTreeMap::new();
    for statement in sql::split(&text) {
        let tokens: Vec<Token<'_>> = sql::tokenize(statement).filter(|token| !token.is_blank()).collect();
        let word = |at: usize| tokens.get(at).map(|token| String::from_utf8_lossy(token.text).into_owned());
        let first = word(0).unwrap_or_default();
        // Settings of the script, and psql's commands with their random keys.
        if first.eq_ignore_ascii_case("set") || first.starts_with('\\') {
            continue;
        }
        let mut name = Vec::new();
        let mut value = Vec::new();
        let mut hides_next = false;
        for (at, token) in tokens.iter().enumerate() {
            let text = String::from_utf8_lossy(token.text).into_owned();
            let shown = if hides_next { fingerprint(token.text) } else { text.clone() };
            hides_next = token.is_word("password");
            // `ALTER ROLE r …`, `CREATE TABLESPACE t …`: the first three words name it; of anything
            // else, all do.
            let names = match (first.to_lowercase().as_str(), at) {
                ("alter" | "create", 0..=2) => true,
                ("alter", _) if word(3).is_some_and(|word| word.eq_ignore_ascii_case("set")) => at <= 4,
                ("alter" | "create", _) => false,
                _ => true,
            };
            if names { name.push(shown) } else { value.push(shown) }
        }
        found.insert(name.join(" "), value.join(" "));
    }
    Ok(found)
}

/// Tells one password from another, and nothing else.
fn fingerprint(password: &[u8]) -> String {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::OnceLock;
    // Another one in every run: what is printed cannot be used to guess the password.
    static KEY: OnceLock<RandomState> = OnceLock::new();
    format!("(hidden {:04x})", KEY.get_or_init(RandomState::new).hash_one(password) & 0xffff)
}

fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<ValueChange> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| ValueChange {
            name: name.clone(),
            a: before.get(name).cloned(),
            b: after.get(name).cloned(),
        })
        .collect()
}
