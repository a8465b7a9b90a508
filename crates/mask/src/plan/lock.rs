//! `mask.lock`: every column with its type and the decision, as they were when someone looked at
//! them. A schema that moved since then is said (M180).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Decided;
use crate::finding::{Code, Finding};

/// The content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// 1.
    pub version: u32,
    /// The name of the rules file, without its folder.
    pub rules: String,
    /// By table, by column: its type and its rule.
    pub table: BTreeMap<String, BTreeMap<String, Locked>>,
}

/// One column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// As SQL writes it, with `not null` where it is so.
    pub r#type: String,
    /// The transformer; empty: nothing was decided.
    pub rule: String,
}

/// The file is not a lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It cannot be read.
    #[error("read the lock: {0}")]
    Read(#[from] toml::de::Error),
    /// A newer pgark wrote it.
    #[error("the lock is of version {0}; this program knows version 1")]
    Version(u32),
    /// It cannot be written.
    #[error("write the lock: {0}")]
    Write(#[from] toml::ser::Error),
}

impl Lock {
    /// Of what was decided.
    pub fn of(rules: &str, columns: &[Decided]) -> Lock {
        let mut lock = Lock { version: 1, rules: rules.to_string(), table: BTreeMap::new() };
        for column in columns {
            let locked =
                Locked { r#type: column.sql_type.clone(), rule: column.rule.clone().unwrap_or_default() };
            lock.table.entry(column.table.clone()).or_default().insert(column.column.clone(), locked);
        }
        lock
    }

    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Lock, LockError> {
        let lock: Lock = toml::from_str(text)?;
        if lock.version == 1 { Ok(lock) } else { Err(LockError::Version(lock.version)) }
    }

    /// The file's text.
    pub fn write(&self) -> Result<String, LockError> {
        let head =
            "# Written by `pgark mask lock`: every column, its type, its rule. Look at what changes.\n\n";
        Ok(format!("{head}{}", toml::to_string(self)?))
    }

    /// What differs from it now.
    pub fn drift(&self, columns: &[Decided]) -> Vec<Finding> {
        let now = Lock::of(&self.rules, columns);
        let mut findings = Vec::new();
        let mut say = |table: &str, column: Option<&str>, message: String| {
            let mut finding = Finding::new(Code::Drift, message).hint("look at it, then `pgark mask lock`");
            finding.table = Some(table.to_string());
            finding.column = column.map(str::to_string);
            findings.push(finding);
        };
        for (table, columns) in &self.table {
            let Some(present) = now.table.get(table) else {
                say(table, None, "the table is gone".into());
                continue;
            };
            for (column, locked) in columns {
                match present.get(column) {
                    None => say(table, Some(column), "the column is gone".into()),
                    Some(found) if found.r#type != locked.r#type => {
                        say(
                            table,
                            Some(column),
                            format!("its type was {} and is {}", locked.r#type, found.r#type),
                        );
                    }
                    Some(found) if found.rule != locked.rule => {
                        say(
                            table,
                            Some(column),
                            format!("its rule was \"{}\" and is \"{}\"", locked.rule, found.rule),
                        );
                    }
                    Some(_) => {}
                }
            }
        }
        for (table, columns) in &now.table {
            let known = self.table.get(table);
            if known.is_none() {
                say(table, None, "the table is new".into());
                continue;
            }
            for column in
                columns.keys().filter(|column| known.is_some_and(|known| !known.contains_key(*column)))
            {
                say(table, Some(column), "the column is new".into());
            }
        }
        findings
    }
}
