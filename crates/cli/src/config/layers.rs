//! Flags over environment over file over defaults, and which of them each value came from.

use std::collections::BTreeMap;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::file::{Config, Section, Setting, Value};
use super::schema::{self, Key};
use crate::args::{Action, Backup, Filters, Keep, Repository, RowMap, Snapshots, duration};
use crate::environment::variable;
use crate::error::Failure;

/// A value in force and where it came from.
#[derive(Debug, serde::Serialize)]
pub struct Effective {
    /// The key, with the names of its sections.
    pub key: String,
    /// The value; empty: none.
    pub value: String,
    /// `command line`, `environment NAME`, `FILE:LINE` or `default`.
    pub layer: String,
}

/// Whether an option was given on the command line or, where it has a variable, in the environment.
fn given(matches: &ArgMatches, id: &str) -> Option<ValueSource> {
    // Commands have different options: one that this command lacks was not given.
    let source = matches.try_contains_id(id).ok().and_then(|_| matches.value_source(id));
    source.filter(|source| *source != ValueSource::DefaultValue)
}

/// Fills in what the file says and neither flags nor the environment do.
pub fn apply(config: &Config, action: &mut Action, matches: &ArgMatches) -> Result<(), Failure> {
    let matches = innermost(matches);
    let mut cluster_repository = None;
    if let Action::Backup(backup) = action {
        cluster_repository = apply_cluster(config, backup, matches);
    }
    if let Action::Forget(forget) = action
        && let Some(cluster) = forget.of.cluster.as_ref().and_then(|name| config.clusters.get(name))
    {
        cluster_repository = text_of(cluster.own.get("repository"));
        // A policy is one whole: what is typed takes the place of the file's.
        if schema::KEEP.iter().all(|key| given(matches, key.name).is_none()) {
            for key in schema::KEEP {
                if let Some(setting) = cluster.own.get(key.name) {
                    set_keep(&mut forget.keep, key.name, &setting.value);
                }
            }
        }
    }
    if let Action::Config(config_action) = action
        && let Some(backup) = config_action.backup_mut()
    {
        cluster_repository = apply_cluster(config, backup, matches);
    }
    if let Some(repository) = action.repository_mut() {
        apply_repository(config, repository, cluster_repository, matches)?;
    }
    Ok(())
}

fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| innermost(inner))
}

/// Returns the cluster's own repository.
fn apply_cluster(config: &Config, backup: &mut Backup, matches: &ArgMatches) -> Option<String> {
    let name = backup.cluster.clone()?;
    let cluster = config.clusters.get(&name)?;
    for key in schema::of_cluster() {
        if let Some(setting) = cluster.own.get(key.name)
            && given(matches, key.name).is_none()
            && !names_databases_itself(key, matches)
        {
            set(backup, key.name, &setting.value);
        }
    }
    // Filters that were typed hold for every database.
    let typed: Vec<&Key> = schema::FILTERS.iter().filter(|key| given(matches, key.name).is_some()).collect();
    for (database, section) in &cluster.databases {
        let mut filters = backup.filters.clone();
        for (key, setting) in section.iter().filter(|(key, _)| !typed.iter().any(|typed| typed.name == **key))
        {
            set_filter(&mut filters, key, &setting.value);
        }
        backup.filters_of.insert(database.clone(), filters);
    }
    text_of(cluster.own.get("repository"))
}

/// `--database` on the command line means these and not the file's `all`, and the other way round.
fn names_databases_itself(key: &Key, matches: &ArgMatches) -> bool {
    let choice = ["all", "database", "exclude_database"];
    choice.contains(&key.name) && choice.iter().any(|other| given(matches, other).is_some())
}

fn text_of(setting: Option<&Setting>) -> Option<String> {
    match setting.map(|setting| &setting.value) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

fn apply_repository(
    config: &Config,
    repository: &mut Repository,
    of_cluster: Option<String>,
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let named = repository.repo.clone().or(of_cluster).or_else(|| text_of(config.top.get("repository")));
    let Some(named) = named else { return Ok(()) };
    let Some(section) = config.repositories.get(&named) else {
        repository.repo = Some(named);
        return Ok(());
    };
    repository.repo = text_of(section.get("url"));
    repository.storage.from_file = storage_of(section);
    let secrets = ["identity", "passphrase_file", "writer_key"];
    let typed = secrets.iter().any(|id| given(matches, id).is_some());
    let in_environment = ["PGARK_IDENTITY", "PGARK_PASSPHRASE"].iter().any(|name| variable(name).is_some());
    let in_file: Vec<&str> = secrets.iter().copied().filter(|key| section.contains_key(key)).collect();
    if in_file.len() > 1 {
        let path = config.path.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
        return Err(Failure::usage(
            format!("{path}: repository {named:?} has both {}", in_file.join(" and ")),
            "one secret opens it",
        ));
    }
    if !typed && !in_environment {
        let path = |key: &str| text_of(section.get(key)).map(std::path::PathBuf::from);
        repository.identity = path("identity");
        repository.passphrase_file = path("passphrase_file");
        repository.writer_key = path("writer_key");
    }
    if given(matches, "no_cache").is_none()
        && let Some(Value::Flag(flag)) = section.get("no_cache").map(|setting| &setting.value)
    {
        repository.no_cache = *flag;
    }
    Ok(())
}

/// The storage options of a repository's section.
fn storage_of(section: &Section) -> BTreeMap<String, String> {
    let keys = crate::storage::KEYS.iter().filter_map(|key| section.get_key_value(key.name));
    keys.map(|(key, setting)| (key.to_string(), setting.value.to_string())).collect()
}

impl Config {
    /// A storage that is named by a repository's section: its URL, and what the file says of it.
    pub fn storage(&self, named: &str) -> (String, BTreeMap<String, String>) {
        match self.repositories.get(named) {
            None => (named.to_string(), BTreeMap::new()),
            Some(section) => (text_of(section.get("url")).unwrap_or_default(), storage_of(section)),
        }
    }

    /// A repository that is named on the command line by its section, with the secret that the file gives it.
    pub fn resolve(&self, mut repository: Repository) -> Repository {
        let Some(section) = repository.repo.as_ref().and_then(|name| self.repositories.get(name)) else {
            return repository;
        };
        repository.repo = text_of(section.get("url"));
        repository.storage.from_file = storage_of(section);
        let typed = [&repository.identity, &repository.passphrase_file, &repository.writer_key];
        if typed.iter().all(|path| path.is_none()) {
            let path = |key: &str| text_of(section.get(key)).map(std::path::PathBuf::from);
            repository.identity = path("identity");
            repository.passphrase_file = path("passphrase_file");
            repository.writer_key = path("writer_key");
        }
        repository
    }
}

fn set(backup: &mut Backup, key: &str, value: &Value) {
    match (key, value) {
        ("also", Value::Text(text)) => backup.also = Some(text.clone()),
        ("dbname", Value::Text(text)) => backup.dbname = Some(text.clone()),
        ("host", Value::Text(text)) => backup.server.host = Some(text.clone()),
        ("port", Value::Text(text)) => backup.server.port = Some(text.clone()),
        ("username", Value::Text(text)) => backup.server.username = Some(text.clone()),
        ("role", Value::Text(text)) => backup.role = Some(text.clone()),
        ("all", Value::Flag(flag)) => backup.all = *flag,
        ("maintenance_db", Value::Text(text)) => backup.maintenance_db = Some(text.clone()),
        ("database", Value::List(list)) => backup.database.clone_from(list),
        ("exclude_database", Value::List(list)) => backup.exclude_database.clone_from(list),
        ("with_templates", Value::Flag(flag)) => backup.with_templates = *flag,
        ("snapshots", Value::Text(text)) => {
            backup.snapshots = if text == "together" { Snapshots::Together } else { Snapshots::Staggered };
        }
        ("jobs", Value::Number(number)) => backup.jobs = u16::try_from(*number).ok(),
        ("compression_level", Value::Number(number)) => {
            backup.compression_level = i32::try_from(*number).unwrap_or(1);
        }
        ("pg_dump", Value::Text(text)) => backup.pg_dump = Some(text.into()),
        // Times were checked when the file was read.
        ("lock_wait_timeout", Value::Text(text)) => {
            backup.lock_wait_timeout = duration(text).unwrap_or(backup.lock_wait_timeout);
        }
        ("pause_timeout", Value::Text(text)) => {
            backup.pause_timeout = duration(text).unwrap_or(backup.pause_timeout);
        }
        ("keep_going", Value::Flag(flag)) => backup.keep_going = *flag,
        ("forget_after_backup", Value::Flag(flag)) => backup.forget_after_backup = *flag,
        (key, value) if key.starts_with("keep_") => set_keep(&mut backup.keep, key, value),
        _ => set_filter(&mut backup.filters, key, value),
    }
}

fn set_keep(keep: &mut Keep, key: &str, value: &Value) {
    let number = match key {
        "keep_last" => Some(&mut keep.keep_last),
        "keep_hourly" => Some(&mut keep.keep_hourly),
        "keep_daily" => Some(&mut keep.keep_daily),
        "keep_weekly" => Some(&mut keep.keep_weekly),
        "keep_monthly" => Some(&mut keep.keep_monthly),
        "keep_yearly" => Some(&mut keep.keep_yearly),
        "keep_min" => Some(&mut keep.keep_min),
        _ => None,
    };
    match (number, value) {
        (Some(number), Value::Number(value)) => *number = u32::try_from(*value).unwrap_or(u32::MAX),
        (None, Value::Text(text)) if key == "keep_within" => keep.keep_within = duration(text).ok(),
        (None, Value::Text(text)) if key == "keep_dropped" => keep.keep_dropped = duration(text).ok(),
        (None, Value::List(list)) if key == "keep_tag" => keep.keep_tag.clone_from(list),
        _ => {}
    }
}

fn set_filter(filters: &mut Filters, key: &str, value: &Value) {
    let list = match key {
        "schema" => Some(&mut filters.schema),
        "exclude_schema" => Some(&mut filters.exclude_schema),
        "table" => Some(&mut filters.table),
        "exclude_table" => Some(&mut filters.exclude_table),
        "extension" => Some(&mut filters.extension),
        "exclude_table_data" => Some(&mut filters.exclude_table_data),
        "include_foreign_data" => Some(&mut filters.include_foreign_data),
        "row_map_on" => Some(&mut filters.row_map_on),
        "row_map_off" => Some(&mut filters.row_map_off),
        _ => None,
    };
    if let ("row_map", Value::Text(text)) = (key, value) {
        filters.row_map = match text.as_str() {
            "on" => RowMap::On,
            "off" => RowMap::Off,
            _ => RowMap::Auto,
        };
    }
    if let (Some(list), Value::List(values)) = (list, value) {
        list.clone_from(values);
    }
    let flag = match key {
        "no_children" => Some(&mut filters.no_children),
        "schema_only" => Some(&mut filters.schema_only),
        "data_only" => Some(&mut filters.data_only),
        "no_large_objects" => Some(&mut filters.no_large_objects),
        "strict_names" => Some(&mut filters.strict_names),
        _ => None,
    };
    if let (Some(flag), Value::Flag(value)) = (flag, value) {
        *flag = *value;
    }
}

/// A backup's value as text; empty if there is none.
fn get(backup: &Backup, key: &str) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let seconds = |time: std::time::Duration| match (time.as_secs(), time.subsec_millis()) {
        (seconds, 0) => format!("{seconds}s"),
        _ => format!("{}ms", time.as_millis()),
    };
    match key {
        "also" => text(&backup.also),
        "dbname" => text(&backup.dbname),
        "host" => text(&backup.server.host),
        "port" => text(&backup.server.port),
        "username" => text(&backup.server.username),
        "role" => text(&backup.role),
        "all" => backup.all.to_string(),
        "maintenance_db" => text(&backup.maintenance_db),
        "database" => backup.database.join(", "),
        "exclude_database" => backup.exclude_database.join(", "),
        "with_templates" => backup.with_templates.to_string(),
        "snapshots" => match backup.snapshots {
            Snapshots::Staggered => "staggered".into(),
            Snapshots::Together => "together".into(),
        },
        "jobs" => backup.jobs.map_or_else(crate::environment::default_jobs, usize::from).to_string(),
        "compression_level" => backup.compression_level.to_string(),
        "pg_dump" => backup.pg_dump.as_deref().map(|path| path.display().to_string()).unwrap_or_default(),
        "lock_wait_timeout" => seconds(backup.lock_wait_timeout),
        "pause_timeout" => seconds(backup.pause_timeout),
        "keep_going" => backup.keep_going.to_string(),
        "schema" => backup.filters.schema.join(", "),
        "exclude_schema" => backup.filters.exclude_schema.join(", "),
        "table" => backup.filters.table.join(", "),
        "exclude_table" => backup.filters.exclude_table.join(", "),
        "extension" => backup.filters.extension.join(", "),
        "exclude_table_data" => backup.filters.exclude_table_data.join(", "),
        "include_foreign_data" => backup.filters.include_foreign_data.join(", "),
        "keep_last" => backup.keep.keep_last.to_string(),
        "keep_hourly" => backup.keep.keep_hourly.to_string(),
        "keep_daily" => backup.keep.keep_daily.to_string(),
        "keep_weekly" => backup.keep.keep_weekly.to_string(),
        "keep_monthly" => backup.keep.keep_monthly.to_string(),
        "keep_yearly" => backup.keep.keep_yearly.to_string(),
        "keep_within" => backup.keep.keep_within.map(seconds).unwrap_or_default(),
        "keep_dropped" => backup.keep.keep_dropped.map_or_else(|| "7d".into(), seconds),
        "keep_min" => backup.keep.keep_min.to_string(),
        "keep_tag" => backup.keep.keep_tag.join(", "),
        "forget_after_backup" => backup.forget_after_backup.to_string(),
        "no_children" => backup.filters.no_children.to_string(),
        "schema_only" => backup.filters.schema_only.to_string(),
        "data_only" => backup.filters.data_only.to_string(),
        "no_large_objects" => backup.filters.no_large_objects.to_string(),
        "strict_names" => backup.filters.strict_names.to_string(),
        "row_map" => match backup.filters.row_map {
            RowMap::Auto => "auto".into(),
            RowMap::On => "on".into(),
            RowMap::Off => "off".into(),
        },
        "row_map_on" => backup.filters.row_map_on.join(", "),
        "row_map_off" => backup.filters.row_map_off.join(", "),
        _ => String::new(),
    }
}

/// Every value that a backup would run with, and where it came from; call after [`apply`].
pub fn effective(config: &Config, backup: &Backup, matches: &ArgMatches) -> Vec<Effective> {
    let matches = innermost(matches);
    let path = config.path.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
    let empty = Section::new();
    let cluster = backup.cluster.as_ref().and_then(|name| config.clusters.get(name));
    let own = cluster.map_or(&empty, |cluster| &cluster.own);
    let typed = |id: &str, name: &str| match given(matches, id)? {
        ValueSource::EnvVariable => Some(format!("environment {name}")),
        _ => Some("command line".to_string()),
    };
    let in_file = |setting: Option<&Setting>| setting.map(|setting| format!("{path}:{}", setting.line));
    let default = || "default".to_string();
    let repository = &backup.repository;
    let section_of = |name: &str| config.repositories.get(name);
    // The name that led to the section, before the file's url took its place.
    let named = matches
        .try_get_one::<String>("repo")
        .ok()
        .flatten()
        .cloned()
        .or_else(|| text_of(own.get("repository")))
        .or_else(|| text_of(config.top.get("repository")));
    let section = named.as_deref().and_then(section_of).unwrap_or(&empty);
    let repo_layer = match (typed("repo", "PGARK_REPO"), section.get("url")) {
        (layer, Some(url)) => format!(
            "{}, {path}:{}",
            layer.unwrap_or_else(|| format!("repository {}", named.clone().unwrap_or_default())),
            url.line
        ),
        (Some(layer), None) => layer,
        (None, None) => {
            in_file(own.get("repository").or_else(|| config.top.get("repository"))).unwrap_or_else(default)
        }
    };
    let shown = |path: &Option<std::path::PathBuf>| {
        path.as_deref().map(|path| path.display().to_string()).unwrap_or_default()
    };
    let mut found = vec![Effective {
        key: "repository".into(),
        value: repository.repo.clone().unwrap_or_default(),
        layer: repo_layer,
    }];
    for (key, value) in [
        ("identity", shown(&repository.identity)),
        ("passphrase_file", shown(&repository.passphrase_file)),
        ("writer_key", shown(&repository.writer_key)),
        ("no_cache", repository.no_cache.to_string()),
    ] {
        let by_variable = match key {
            "identity" => variable("PGARK_IDENTITY")
                .map(|value| (value.to_string_lossy().into_owned(), "environment PGARK_IDENTITY")),
            "passphrase_file" => variable("PGARK_PASSPHRASE")
                .map(|_| ("(a passphrase)".into(), "environment PGARK_PASSPHRASE")),
            _ => None,
        };
        let (value, layer) = match (typed(key, ""), by_variable) {
            (Some(layer), _) => (value, layer),
            (None, Some((value, layer))) => (value, layer.to_string()),
            (None, None) => (value, in_file(section.get(key)).unwrap_or_else(default)),
        };
        found.push(Effective { key: key.into(), value, layer });
    }
    for key in crate::storage::KEYS {
        let typed = repository.storage.storage_option.iter().rev().find(|(name, _)| name == key.name);
        let limit = match key.name {
            "limit_upload" => repository.storage.limit_upload,
            "limit_download" => repository.storage.limit_download,
            _ => None,
        };
        let on_line = typed.map(|(_, value)| value.clone()).or_else(|| limit.map(|rate| rate.to_string()));
        let (value, layer) = match (on_line, section.get(key.name)) {
            (Some(value), _) => (value, "command line".to_string()),
            (None, Some(setting)) => {
                (setting.value.to_string(), in_file(Some(setting)).unwrap_or_else(default))
            }
            // Of those that nobody set only the ones with a default of their own are worth a line.
            (None, None) => continue,
        };
        found.push(Effective { key: key.name.into(), value, layer });
    }
    found.push(Effective {
        key: "cluster".into(),
        value: backup.cluster.clone().unwrap_or_default(),
        layer: typed("cluster", "").unwrap_or_else(default),
    });
    for key in schema::of_cluster().filter(|key| key.name != "repository") {
        let from_file = own.get(key.name).filter(|_| !names_databases_itself(key, matches));
        let layer = typed(key.name, "").or_else(|| in_file(from_file)).unwrap_or_else(default);
        found.push(Effective { key: key.name.into(), value: get(backup, key.name), layer });
    }
    for (database, section) in cluster.iter().flat_map(|cluster| &cluster.databases) {
        for (key, setting) in section {
            let layer = typed(key, "").unwrap_or_else(|| format!("{path}:{}", setting.line));
            let value =
                if given(matches, key).is_some() { get(backup, key) } else { setting.value.to_string() };
            found.push(Effective { key: format!("databases.{database}.{key}"), value, layer });
        }
    }
    found
}
