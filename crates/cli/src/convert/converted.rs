//! What a converted file says: keys with their values as TOML, and what was left out.

use std::collections::BTreeMap;

use crate::config::Keys;
use crate::visible::visible;

/// A converted file.
#[derive(Debug, Default)]
pub(super) struct Converted {
    /// Keys of the cluster's section; values as TOML.
    pub(super) cluster: BTreeMap<String, String>,
    pub(super) databases: BTreeMap<String, BTreeMap<String, String>>,
    /// What was left out: the key, and why.
    pub(super) left: Vec<(String, String)>,
}

impl Converted {
    pub(super) fn leave(&mut self, key: impl Into<String>, why: impl Into<String>) {
        self.left.push((key.into(), why.into()));
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.cluster.insert(key.into(), toml_string(value));
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.cluster.insert(key.into(), value.to_string());
    }

    pub(super) fn list(&mut self, key: &str, values: &[String]) {
        if !values.is_empty() {
            self.cluster.insert(key.into(), toml_list(values));
        }
    }

    pub(super) fn to_toml(&self, name: &str) -> String {
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

pub(super) fn toml_list(values: &[String]) -> String {
    format!("[{}]", values.iter().map(|value| toml_string(value)).collect::<Vec<_>>().join(", "))
}

fn toml_key(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_bare { name.to_string() } else { toml_string(name) }
}

/// A pattern that matches this database alone.
pub(super) fn literal(name: &str) -> String {
    let is_plain = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A connection string of its parts.
pub(super) fn conninfo(parts: &[(&str, &str)]) -> String {
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
