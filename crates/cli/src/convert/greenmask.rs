//! Greenmask: its YAML (or JSON, which is YAML too). Transformations are listed, not carried over.

use yaml_rust2::{Yaml, YamlLoader};

use super::converted::{Converted, conninfo};
use super::options::take;

/// Converts a configuration.
pub(super) fn convert(text: &str) -> Result<Converted, String> {
    let documents = YamlLoader::load_from_str(text).map_err(|error| error.to_string())?;
    let root = documents.first().and_then(Yaml::as_hash).ok_or("it is not a YAML mapping")?;
    let mut converted = Converted::default();
    for (key, value) in root {
        match key.as_str().unwrap_or_default() {
            "dump" => dump(&mut converted, value),
            "restore" => leave_all(
                &mut converted,
                "restore",
                value,
                "options of a restore are given on the command line: `pgark restore --help`",
            ),
            "storage" => leave_all(
                &mut converted,
                "storage",
                value,
                "backups are stored in a repository: `pgark init`, then `repository` in pgark.toml",
            ),
            "common" => leave_all(
                &mut converted,
                "common",
                value,
                "pgark needs no temporary folder, and finds pg_dump itself",
            ),
            "log" => leave_all(&mut converted, "log", value, "see --quiet and --verbose"),
            "validate" => leave_all(&mut converted, "validate", value, "pgark has no masking yet"),
            "custom_transformers" => converted.leave("custom_transformers", "pgark has no masking yet"),
            other => converted.leave(other, "Greenmask has no such key"),
        }
    }
    Ok(converted)
}

fn dump(converted: &mut Converted, dump: &Yaml) {
    for (key, value) in dump.as_hash().into_iter().flatten() {
        match key.as_str().unwrap_or_default() {
            "pg_dump_options" => options(converted, value),
            "transformation" => {
                for table in value.as_vec().into_iter().flatten() {
                    let name = |key: &str| table[key].as_str().unwrap_or("?").to_string();
                    let transformers: Vec<&str> = table["transformers"]
                        .as_vec()
                        .into_iter()
                        .flatten()
                        .filter_map(|transformer| transformer["name"].as_str())
                        .collect();
                    let what = format!("dump.transformation {}.{}", name("schema"), name("name"));
                    converted.leave(what, format!("pgark has no masking yet ({})", transformers.join(", ")));
                }
            }
            "virtual_references" => converted.leave("dump.virtual_references", "pgark has no masking yet"),
            other => converted.leave(format!("dump.{other}"), "Greenmask has no such key"),
        }
    }
}

/// A scalar as text.
fn text(value: &Yaml) -> String {
    match value {
        Yaml::String(text) | Yaml::Real(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        Yaml::Boolean(flag) => flag.to_string(),
        _ => String::new(),
    }
}

fn options(converted: &mut Converted, options: &Yaml) {
    let mut parts: Vec<(&'static str, String)> = Vec::new();
    let mut dbname = String::new();
    let mut others = Vec::new();
    for (key, value) in options.as_hash().into_iter().flatten() {
        let key = key.as_str().unwrap_or_default();
        match key {
            "dbname" => dbname = text(value),
            "host" => parts.push(("host", text(value))),
            "port" => parts.push(("port", text(value))),
            "username" => parts.push(("user", text(value))),
            "jobs" => {
                converted.cluster.insert("jobs".into(), text(value));
            }
            "lock-wait-timeout" => converted.text("lock_wait_timeout", &format!("{}ms", text(value))),
            _ => match value {
                Yaml::Array(items) => {
                    others.extend(items.iter().map(|item| format!("--{key}={}", text(item))))
                }
                Yaml::Boolean(true) => others.push(format!("--{key}")),
                Yaml::Boolean(false) => {}
                _ => others.push(format!("--{key}={}", text(value))),
            },
        }
    }
    let is_string = dbname.contains('=') || dbname.contains("://");
    if !is_string {
        let mut all: Vec<(&str, &str)> = parts.iter().map(|(key, value)| (*key, value.as_str())).collect();
        all.push(("dbname", &dbname));
        dbname = conninfo(&all);
    }
    if !dbname.is_empty() {
        converted.text("dbname", &dbname);
    }
    take(converted, None, "dump.pg_dump_options", &others);
}

/// Names every key below, not its value: it may be a secret.
fn leave_all(converted: &mut Converted, path: &str, value: &Yaml, why: &str) {
    match value.as_hash() {
        Some(inner) if !inner.is_empty() => {
            for (key, value) in inner {
                leave_all(converted, &format!("{path}.{}", key.as_str().unwrap_or("?")), value, why);
            }
        }
        _ => converted.leave(path, why),
    }
}

#[cfg(test)]
mod tests {
    use super::convert;

    #[test]
    fn a_greenmask_file() {
        let text = "common:\n  tmp_dir: /tmp\nstorage:\n  type: s3\n  s3:\n    secret_access_key: hidden\ndump:\n  pg_dump_options:\n    dbname: shop\n    host: db1\n    port: 5433\n    jobs: 4\n    \
                    schema: [public]\n    exclude-table-data: log.*\n    no-owner: true\n  transformation:\n    - schema: public\n      name: users\n      transformers:\n        - name: RandomEmail\n        - name: Hash\nwhat: 1\n";
        let toml = convert(text).unwrap().to_toml("main");
        let config = crate::config::Config::parse(std::path::Path::new("p"), &toml).unwrap();
        let value = |key: &str| config.clusters["main"].own[key].value.to_string();
        assert_eq!(value("dbname"), "host=db1 port=5433 dbname=shop");
        assert_eq!(
            (value("jobs"), value("schema"), value("exclude_table_data")),
            ("4".into(), "public".into(), "log.*".into())
        );
        for left in [
            "storage.s3.secret_access_key",
            "public.users: pgark has no masking yet (RandomEmail, Hash)",
            "--no-owner",
            "what: ",
        ] {
            assert!(toml.contains(left), "{left}: {toml}");
        }
        assert!(!toml.contains("hidden"));
        assert!(convert("- 1\n").is_err() && convert("a: [\n").is_err());
    }
}
