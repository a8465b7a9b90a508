//! `pgark config convert`: another program's configuration as `pgark.toml`. What has no counterpart is named, never dropped
//! in silence.

mod greenmask;
mod options;
mod pg_back;

use std::collections::BTreeMap;
use std::io::Write;

use crate::args::{Convert, Foreign};
use crate::config::Keys;
use crate::error::Failure;
use crate::visible::visible;

/// A converted file.
#[derive(Debug, Default)]
struct Converted {
    /// Keys of the cluster's section; values as TOML.
    cluster: BTreeMap<String, String>,
    databases: BTreeMap<String, BTreeMap<String, String>>,
    /// What was left out: the key, and why.
    left: Vec<(String, String)>,
}

impl Converted {
    fn leave(&mut self, key: impl Into<String>, why: impl Into<String>) {
        self.left.push((key.into(), why.into()));
    }

    fn text(&mut self, key: &str, value: &str) {
        self.cluster.insert(key.into(), toml_string(value));
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.cluster.insert(key.into(), value.to_string());
    }

    fn list(&mut self, key: &str, values: &[String]) {
        if !values.is_empty() {
            self.cluster.insert(key.into(), toml_list(values));
        }
    }

    fn to_toml(&self, name: &str) -> String {
        let mut text = format!("[clusters.{}]\n", toml_key(name));
        // In the order in which the keys are documented.
        for key in Keys::all().of_cluster() {
            if let Some(value) = self.cluster.get(&key.name) {
                text.push_str(&format!("{} = {value}\n", key.name));
            }
        }
        for (database, section) in &self.databases {
            text.push_str(&format!("\n[clusters.{}.databases.{}]\n", toml_key(name), toml_key(database)));
            for key in Keys::all().of_database() {
                if let Some(value) = section.get(&key.name) {
                    text.push_str(&format!("{} = {value}\n", key.name));
                }
            }
        }
        if !self.left.is_empty() {
            text.push_str("\n# Not carried over:\n");
            for (key, why) in &self.left {
                text.push_str(&format!("#   {}: {}\n", visible(key), visible(why)));
            }
        }
        text
    }
}

fn toml_string(text: &str) -> String {
    toml::Value::String(text.to_string()).to_string()
}

fn toml_list(values: &[String]) -> String {
    format!("[{}]", values.iter().map(|value| toml_string(value)).collect::<Vec<_>>().join(", "))
}

fn toml_key(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_bare { name.to_string() } else { toml_string(name) }
}

/// A pattern that matches this database alone.
fn literal(name: &str) -> String {
    let is_plain = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A connection string of its parts.
fn conninfo(parts: &[(&str, &str)]) -> String {
    let quoted = |value: &str| {
        let is_plain = !value.is_empty()
            && !value.contains(|sign: char| sign.is_whitespace() || matches!(sign, '\'' | '\\'));
        if is_plain {
            value.to_string()
        } else {
            format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
        }
    };
    parts
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}={}", quoted(value)))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Prints the converted file, and names what is not in it.
pub fn run(args: &Convert) -> Result<(), Failure> {
    let path = args.file.display();
    let text = std::fs::read_to_string(&args.file)
        .map_err(|source| Failure::file(format!("read {path}"), source))?;
    let from = args.from.unwrap_or_else(|| guess(&args.file, &text));
    let converted = match from {
        Foreign::PgBack => pg_back::version_2(&text),
        Foreign::PgBack1 => Ok(pg_back::version_1(&text)),
        Foreign::Greenmask => greenmask::convert(&text),
    };
    let converted = converted.map_err(|what| {
        Failure::usage(
            format!("{path}: {what}"),
            "--from names the program whose file it is: pg_back, pg_back1, greenmask",
        )
    })?;
    std::io::stdout()
        .lock()
        .write_all(converted.to_toml(&args.cluster).as_bytes())
        .map_err(Failure::output)?;
    for (key, why) in &converted.left {
        tracing::warn!("{key} is not carried over: {why}");
    }
    Ok(())
}

fn guess(path: &std::path::Path, text: &str) -> Foreign {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    if matches!(extension.as_deref(), Some("yml" | "yaml" | "json")) {
        return Foreign::Greenmask;
    }
    if text.lines().any(|line| line.trim_start().starts_with("PGBK_")) {
        Foreign::PgBack1
    } else {
        Foreign::PgBack
    }
}

#[cfg(test)]
mod tests {
    use super::{conninfo, literal, toml_key};

    #[test]
    fn values_are_quoted_where_they_must_be() {
        assert_eq!(
            conninfo(&[("host", "db 1"), ("port", ""), ("user", "o'neil")]),
            "host='db 1' user='o\\'neil'"
        );
        assert_eq!((literal("shop"), literal("Shop x")), ("shop".into(), "\"Shop x\"".into()));
        assert_eq!((toml_key("a-b"), toml_key("a.b")), ("a-b".into(), "\"a.b\"".into()));
    }
}
