//! The settings under which materialised views are filled.
//!
//! A materialised view holds what its query gave when it was last refreshed; a backup holds the
//! query, and a restore runs it again. What the query makes of a moment, a number or a text may
//! hang on settings (`to_char` of a timestamp with time zone on `TimeZone`): they are those of the
//! source's database, as its own settings (`ALTER DATABASE … SET`) and the server's say, not those
//! of the target. A role's or a session's own settings that a view was filled under are not known
//! to the database.

use std::collections::BTreeMap;
use std::sync::Mutex;

use pgark_bytes::archive::Archive;
use pgark_bytes::sql::{Kind, Token, quote_literal_bytes, split, tokenize};
use pgark_pg::Connection;
use pgark_repo::{Backup, DataReader};
use serde_json::Value;

use super::place::DatabaseRestore;
use crate::error::Doing;
use crate::lock::lock;
use crate::logical::whole::read_whole;
use crate::{Job, OpsError, paths};

/// Settings that change what a query makes of the same rows.
const MATTERS: [&str; 14] = [
    "timezone",
    "timezone_abbreviations",
    "datestyle",
    "intervalstyle",
    "extra_float_digits",
    "bytea_output",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "xmlbinary",
    "xmloption",
    "default_text_search_config",
    "array_nulls",
    "transform_null_equals",
];

/// The source's settings that a refresh is done under.
pub(super) struct Settings {
    wanted: BTreeMap<String, Vec<u8>>,
    /// Those that the target takes, as SQL; found out before the first refresh.
    accepted: Mutex<Option<Vec<u8>>>,
}

impl Settings {
    /// Of the source database, as far as the backup knows them.
    pub(super) fn of(
        backup: &Backup<'_>,
        reader: &DataReader<'_>,
        place: &DatabaseRestore<'_>,
    ) -> Result<Settings, OpsError> {
        let mut wanted = BTreeMap::new();
        let archive = &place.contents.archive;
        let refreshes = archive.entries.iter().any(|entry| {
            entry.kind() == "MATERIALIZED VIEW DATA" && place.picked.selection.contains(entry.dump_id)
        });
        if refreshes {
            if let Some(entry) = backup.entry(paths::SETTINGS)? {
                wanted = of_server(&read_whole(reader, &entry)?);
            }
            wanted.extend(of_database(archive));
        }
        Ok(Settings { wanted, accepted: Mutex::new(None) })
    }

    /// The statement, under these settings: in one query, whose transaction they end with. What the
    /// target does not take (a locale that its system does not have) stays as it is there.
    pub(super) fn around(
        &self,
        statement: Vec<u8>,
        job: &Job,
        connect: impl FnOnce() -> Result<Connection, OpsError>,
    ) -> Result<Vec<u8>, OpsError> {
        if self.wanted.is_empty() {
            return Ok(statement);
        }
        let mut accepted = lock(&self.accepted);
        let sql = match accepted.as_mut() {
            Some(sql) => sql,
            None => {
                let mut connection = connect()?;
                let mut sql = Vec::new();
                for (name, value) in &self.wanted {
                    let set = [
                        b"SELECT pg_catalog.set_config(".as_slice(),
                        &quote_literal_bytes(name.as_bytes()),
                        b", ",
                        &quote_literal_bytes(value),
                        b", true);\n",
                    ]
                    .concat();
                    match connection.simple_bytes(&set).doing("prepare to fill materialised views") {
                        Ok(_) => sql.extend(set),
                        Err(error) if error.is_refusal() => {
                            job.progress.detail(&format!("{name} is not set: {error}"));
                        }
                        Err(error) => return Err(error),
                    }
                }
                accepted.insert(sql)
            }
        };
        Ok([sql.as_slice(), &statement].concat())
    }
}

/// Of `/settings.json`: the server's own settings, those that the backup's session had changed as
/// they were before.
fn of_server(text: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let value: Value = serde_json::from_slice(text).unwrap_or_default();
    let all = value.as_object().cloned().unwrap_or_default();
    all.into_iter()
        .filter_map(|(name, setting)| {
            let name = name.to_ascii_lowercase();
            let source = setting.get("source").and_then(Value::as_str).unwrap_or_default();
            let key = if matches!(source, "session" | "client") { "reset_val" } else { "setting" };
            let text = setting.get(key)?.as_str()?.as_bytes().to_vec();
            MATTERS.contains(&name.as_str()).then_some((name, text))
        })
        .collect()
}

/// `ALTER DATABASE … SET name TO value`, of the database for everybody.
fn of_database(archive: &Archive) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let properties = archive.entries.iter().filter(|entry| entry.kind() == "DATABASE PROPERTIES");
    for statement in properties.flat_map(|entry| split(entry.defn_bytes())) {
        let tokens: Vec<Token<'_>> = tokenize(statement).filter(|token| !token.is_blank()).collect();
        let [alter, database, _, set, name, to, value @ ..] = tokens.as_slice() else { continue };
        let is_one =
            alter.is_word("alter") && database.is_word("database") && set.is_word("set") && to.is_word("to");
        let Some(name) = name.ident().filter(|_| is_one).and_then(|name| String::from_utf8(name).ok()) else {
            continue;
        };
        let name = name.to_ascii_lowercase();
        if let Some(value) = value.first().filter(|_| MATTERS.contains(&name.as_str())) {
            found.insert(name, text_of(value));
        }
    }
    found
}

/// A literal's text.
fn text_of(token: &Token<'_>) -> Vec<u8> {
    match token.kind {
        Kind::String => {
            let inner = token.text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'"));
            let mut out = Vec::new();
            let mut bytes = inner.unwrap_or_default().iter().copied();
            while let Some(byte) = bytes.next() {
                out.push(byte);
                if byte == b'\'' {
                    bytes.next();
                }
            }
            out
        }
        _ => token.ident().unwrap_or_else(|| token.text.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::of_server;

    #[test]
    fn the_backups_own_session_does_not_count() {
        let text = br#"{"TimeZone": {"setting": "UTC", "source": "session", "reset_val": "Asia/Tokyo"},
                        "DateStyle": {"setting": "ISO, MDY", "source": "session"},
                        "lc_monetary": {"setting": "C", "source": "configuration file"},
                        "work_mem": {"setting": "4096", "source": "default"}}"#;
        let found = of_server(text);
        let found: Vec<(&str, &[u8])> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(found, [("lc_monetary", b"C".as_slice()), ("timezone", b"Asia/Tokyo")]);
    }
}
