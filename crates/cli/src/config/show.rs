//! `pgark config show`: what a command would run with, and where each value comes from.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction};
use schemars::JsonSchema;
use serde::Serialize;

use super::file::{Config, Section};
use super::keys::{Key, Keys, REPO, REPOSITORY, URL};
use super::layers::Layers;
use super::typed::Typed;
use crate::environment::{default_jobs, variable};

/// A value that applies and where it came from.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EffectiveValue")]
pub struct Effective {
    /// The key in pgark.toml, with the names of its sections.
    pub key: String,
    /// The value, as text; several are separated by a comma and a space. Empty: none.
    pub value: String,
    /// Where it comes from: `command line`, `environment NAME`, `FILE:LINE` or `default`; of a
    /// named repository also `repository NAME, FILE:LINE`.
    pub layer: String,
}

/// Every option of a command, in the order of its help; then what single databases have of their
/// own.
pub fn effective(config: &Config, typed: &Typed) -> Vec<Effective> {
    let Some(layers) = Layers::of(config, typed) else { return Vec::new() };
    let keys = Keys::all();
    let settings = layers.settings(None);
    let command = typed.command();
    let arguments: Vec<Arg> =
        keys.command(&command).into_iter().flat_map(|leaf| leaf.get_arguments().cloned()).collect();
    let said = |id: &str, variable: Option<&str>| match typed.source(id)? {
        ValueSource::EnvVariable => Some(format!("environment {}", variable.unwrap_or_default())),
        _ => Some("command line".to_string()),
    };
    // The repository's own section is behind the name.
    let named = match typed.source(REPO) {
        Some(_) => typed.text(REPO),
        None => settings.get(REPO).map(|setting| setting.value.to_string()),
    };
    let empty = Section::new();
    let section = named.as_ref().and_then(|name| config.repositories.get(name)).unwrap_or(&empty);
    let mut found = Vec::new();
    for key in keys.of_command(&command) {
        let Some((id, _)) = &key.option else { continue };
        let Some(arg) = arguments.iter().find(|arg| arg.get_id() == id.as_str()) else { continue };
        let env = arg.get_env().map(|name| name.to_string_lossy().into_owned());
        let typed_layer = said(id, env.as_deref());
        let mut add = |value: String, layer: String| {
            found.push(Effective { key: key.name.clone(), value, layer });
        };
        if key.name == REPOSITORY {
            let by = typed_layer.or_else(|| settings.get(id).map(|setting| layers.place(setting)));
            let (value, layer) = match (section.get(URL), by) {
                (Some(url), by) if typed.source(id).is_none() => {
                    drop(by);
                    let name = named.clone().unwrap_or_default();
                    (url.value.to_string(), format!("repository {name}, {}", layers.place(url)))
                }
                (Some(url), Some(by)) => (url.value.to_string(), format!("{by}, {}", layers.place(url))),
                (_, by) => (named.clone().unwrap_or_default(), by.unwrap_or_else(|| "default".into())),
            };
            add(value, layer);
        } else if let Some(layer) = typed_layer {
            add(raw(typed, arg), layer);
        } else if let Some((value, name)) = secret(typed, id) {
            add(value, format!("environment {name}"));
        } else if let Some(setting) = settings.get(id).copied().or_else(|| in_section(section, id, arg)) {
            add(setting.value.to_string(), layers.place(setting));
        } else {
            add(default(&key, arg), "default".into());
        }
        if id == "storage_option" {
            found.pop();
            storage_options(&mut found, typed, section, &layers);
        }
    }
    for (database, section) in layers.databases().filter(|_| command == "backup") {
        for (name, setting) in section {
            let id = setting.key.option.as_ref().map_or("", |(id, _)| id.as_str());
            let arg = arguments.iter().find(|arg| arg.get_id() == id);
            let (value, layer) = match (said(id, None), arg) {
                (Some(layer), Some(arg)) => (raw(typed, arg), layer),
                _ => (setting.value.to_string(), layers.place(setting)),
            };
            found.push(Effective { key: format!("databases.{database}.{name}"), value, layer });
        }
    }
    found
}

/// What a repository's section says of an option of its own.
fn in_section<'s>(section: &'s Section, id: &str, arg: &Arg) -> Option<&'s super::file::Setting> {
    let is_secret = ["identity", "passphrase_file", "passphrase", "writer_key"].contains(&id);
    let of_repository = is_secret || ["no_cache", "limit_upload", "limit_download"].contains(&id);
    section.get(id).filter(|_| of_repository && arg.get_long().is_some())
}

/// Of a storage's options only those that someone set are worth a line.
fn storage_options(found: &mut Vec<Effective>, typed: &Typed, section: &Section, layers: &Layers<'_>) {
    let pairs: Vec<(String, String)> = typed
        .raw("storage_option")
        .into_iter()
        .filter_map(|pair| pair.to_str()?.split_once('='))
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    for key in crate::storage::KEYS {
        let on_line = pairs.iter().rev().find(|(name, _)| name == key.name);
        let in_file = section.get(key.name).filter(|setting| setting.key.option.is_none());
        let (value, layer) = match (on_line, in_file) {
            (Some((_, value)), _) => (value.clone(), "command line".to_string()),
            (None, Some(setting)) => (setting.value.to_string(), layers.place(setting)),
            (None, None) => continue,
        };
        found.push(Effective { key: key.name.into(), value, layer });
    }
}

/// A secret that the environment has.
fn secret(typed: &Typed, id: &str) -> Option<(String, &'static str)> {
    let name = typed.secret_variable()?;
    match (id, name) {
        ("identity", "PGARK_IDENTITY") => {
            Some((variable(name).unwrap_or_default().to_string_lossy().into_owned(), name))
        }
        ("passphrase_file", "PGARK_PASSPHRASE") => Some(("(a passphrase)".into(), name)),
        _ => None,
    }
}

fn raw(typed: &Typed, arg: &Arg) -> String {
    let id = arg.get_id().as_str();
    if matches!(arg.get_action(), ArgAction::Count) {
        let count = typed.matches().try_get_one::<u8>(id).ok().flatten();
        return count.copied().unwrap_or_default().to_string();
    }
    typed.raw(id).iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(", ")
}

/// What is used where nobody says anything.
fn default(key: &Key, arg: &Arg) -> String {
    match arg.get_action() {
        ArgAction::SetTrue => "false".into(),
        ArgAction::Count => "0".into(),
        _ if key.name == "jobs" => default_jobs().to_string(),
        _ => key.default.clone(),
    }
}
