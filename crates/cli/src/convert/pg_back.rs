//! pg_back: the INI file of version 2, the shell variables of version 1.

use ini::Ini;

use super::converted::{Converted, conninfo, literal, toml_list};
use super::options::{take, words};

/// Every key of version 2 that has no counterpart, with the reason.
const LEFT: [(&str, &str); 20] = [
    ("bin_directory", "pgark finds pg_dump by the server's version; `pg_dump` names another"),
    ("backup_directory", "backups are stored in a repository: `pgark init`, then `repository` in pgark.toml"),
    ("backup_file_mode", "only their owner can access a repository's files"),
    ("timestamp_format", "backups are named by ids, their times are always UTC"),
    ("uniform_timestamp", "one backup contains all databases and has one time"),
    ("format", "a repository has its own format; `pgark export` writes pg_dump's"),
    ("compress_level", "its levels are gzip's; pgark compresses with zstd, see compression_level"),
    ("checksum_algorithm", "a repository verifies every byte; `pgark check` does so on demand"),
    ("dump_role_passwords", "role passwords are in the backup if the role is allowed to read them"),
    ("dump_only", "globals and settings are always in the backup"),
    (
        "purge_older_than",
        "write keep_within: it takes one unit, s, min, h, d or w, and times cannot be in the future",
    ),
    ("purge_min_keep", "nothing would ever be removed: omit forget_after_backup"),
    ("purge_remote", "a repository is one place: a forgotten backup is removed everywhere"),
    ("pre_backup_hook", "run it before `pgark backup`"),
    ("post_backup_hook", "run it after `pgark backup`"),
    ("encrypt", "a repository is encrypted from `pgark init` on"),
    ("encrypt_keep_source", "pgark never writes anything unencrypted"),
    ("cipher_pass", "a repository has its own secrets: `pgark init --passphrase-file`"),
    ("cipher_public_key", "a repository has its own secrets: `pgark init --recipient`"),
    ("cipher_private_key", "a repository has its own secrets: `pgark init --recipient`, --identity"),
];
/// What keys of other storages, and of sending files there, begin with, and how pgark says it.
const STORAGES: [(&str, &str); 21] = [
    ("upload_prefix", "write it at the end of the repository's URL: s3://BUCKET/PREFIX"),
    (
        "upload",
        "a repository can be a bucket or an SFTP folder itself: `url` in [repositories.NAME]; `also` names a second one",
    ),
    ("delete_uploaded", "a repository in a bucket keeps nothing on this host"),
    ("s3_bucket", "it is the repository's URL: s3://BUCKET"),
    ("s3_region", "write it as `region` in [repositories.NAME]"),
    ("s3_endpoint", "write it as `endpoint` in [repositories.NAME], with https:// or http://"),
    ("s3_force_path", "write it as `path_style` in [repositories.NAME]"),
    ("s3_profile", "write it as `profile` in [repositories.NAME]"),
    ("s3_tls", "an `endpoint` that starts with http:// is used without TLS"),
    ("s3_", "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"),
    ("sftp_identity", "write it as `ssh_key` in [repositories.NAME]"),
    ("sftp_password", "write it to a file, and that file's name as `password_file` in [repositories.NAME]"),
    (
        "sftp_ignore_hostkey",
        "the host's key is always checked; `known_hosts` in [repositories.NAME] sets another file",
    ),
    ("sftp_", "it is part of the repository's URL: sftp://USER@HOST:PORT/FOLDER"),
    ("gcs_keyfile", "write it as `key_file` in [repositories.NAME]"),
    ("gcs_endpoint", "write it as `endpoint` in [repositories.NAME]"),
    ("gcs_", "it is the repository's URL: gs://BUCKET"),
    ("azure_container", "it is the repository's URL: azblob://CONTAINER"),
    ("azure_key", "write it to a file, and that file's name as `key_file` in [repositories.NAME]"),
    ("azure_", "write it as `account` or `endpoint` in [repositories.NAME]"),
    (
        "b2_",
        "B2 supports the S3 protocol: s3://BUCKET, with `endpoint` in [repositories.NAME] and the key as S3 credentials",
    ),
];
/// Of one database's section: what is one for all databases of a backup.
const OF_ALL: [(&str, &str); 4] = [
    ("purge_older_than", "one backup contains all databases, and keep_within applies to the cluster"),
    ("purge_min_keep", "one backup contains all databases, and keep_min applies to the cluster"),
    ("user", "one role backs up all databases"),
    ("parallel_backup_jobs", "one queue serves all databases; see jobs"),
];

/// Keys whose values are secrets: they are named, their values are not.
fn is_secret(key: &str) -> bool {
    ["pass", "secret", "key"].iter().any(|word| key.contains(word))
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_string).collect()
}

/// Go's spellings of yes.
fn yes(text: &str) -> bool {
    matches!(text.trim().to_lowercase().as_str(), "true" | "t" | "1" | "y" | "yes" | "on")
}

/// `pg_back.conf` of version 2.
pub(super) fn version_2(text: &str) -> Result<Converted, String> {
    let options = ini::ParseOption { enabled_escape: false, ..ini::ParseOption::default() };
    let file = Ini::load_from_str_opt(text, options).map_err(|error| error.to_string())?;
    let mut converted = Converted::default();
    let mut connection = Connection::default();
    for (name, section) in &file {
        for (key, value) in section.iter() {
            match name {
                None => global(&mut converted, &mut connection, key, value),
                Some(database) => of_database(&mut converted, database, key, value),
            }
        }
    }
    connection.finish(&mut converted);
    Ok(converted)
}

#[derive(Default)]
struct Connection {
    host: String,
    port: String,
    user: String,
    dbname: String,
    databases: Vec<String>,
    jobs: i64,
}

impl Connection {
    fn finish(self, converted: &mut Converted) {
        let is_string = self.dbname.starts_with("postgresql://")
            || self.dbname.starts_with("postgres://")
            || self.dbname.contains('=');
        let dbname = if is_string {
            self.dbname
        } else {
            conninfo(&[
                ("host", &self.host),
                ("port", &self.port),
                ("user", &self.user),
                ("dbname", &self.dbname),
            ])
        };
        if !dbname.is_empty() {
            converted.text("dbname", &dbname);
        }
        if self.databases.is_empty() {
            converted.flag("all", true);
        } else {
            converted.list("database", &self.databases);
        }
        if self.jobs > 0 {
            converted.cluster.insert("jobs".into(), self.jobs.min(256).to_string());
        }
    }
}

fn global(converted: &mut Converted, connection: &mut Connection, key: &str, value: &str) {
    let value = value.trim();
    match key {
        // Present and empty is as good as absent.
        _ if value.is_empty() => {}
        "host" => connection.host = value.into(),
        "port" => connection.port = value.into(),
        "user" => connection.user = value.into(),
        "dbname" => connection.dbname = value.into(),
        "include_dbs" => connection.databases = list(value).iter().map(|name| literal(name)).collect(),
        "exclude_dbs" => {
            let names: Vec<String> = list(value).iter().map(|name| literal(name)).collect();
            converted.list("exclude_database", &names);
        }
        "with_templates" => converted.flag("with_templates", yes(value)),
        "pause_timeout" => converted.text("pause_timeout", &format!("{value}s")),
        // Both together are connections: as many dumps at once, each with as many.
        "jobs" | "parallel_backup_jobs" => {
            connection.jobs = connection.jobs.max(1) * value.parse::<i64>().unwrap_or(1).max(1);
        }
        "with_blobs" => {
            if !yes(value) {
                converted.flag("no_large_objects", true);
            }
        }
        "schemas" | "exclude_schemas" | "tables" | "exclude_tables" => {
            let key = key.trim_end_matches('s');
            converted.list(key, &list(value));
        }
        "pg_dump_options" => take(converted, None, "pg_dump_options", &words(value)),
        "purge_older_than" => match kept_for(value) {
            Some(time) => {
                converted.text("keep_within", &time);
                converted.flag("forget_after_backup", true);
            }
            None => left(converted, key, key, value),
        },
        "purge_min_keep" => match value.parse::<u32>() {
            Ok(count) => drop(converted.cluster.insert("keep_min".into(), count.to_string())),
            Err(_) => left(converted, key, key, value),
        },
        _ => left(converted, key, key, value),
    }
}

/// Whole days, or a time of Go's with one unit.
fn kept_for(value: &str) -> Option<String> {
    let unit = value.trim_start_matches(|sign: char| sign.is_ascii_digit());
    let number: u64 = value.strip_suffix(unit)?.parse().ok()?;
    let unit = match unit {
        "" => "d",
        "m" => "min",
        "h" | "s" => unit,
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}

fn of_database(converted: &mut Converted, database: &str, key: &str, value: &str) {
    let value = value.trim();
    let shown = format!("[{database}] {key}");
    match key {
        "schemas" | "exclude_schemas" | "tables" | "exclude_tables" => {
            let section = converted.databases.entry(database.to_string()).or_default();
            section.insert(key.trim_end_matches('s').into(), toml_list(&list(value)));
        }
        "with_blobs" => {
            let section = converted.databases.entry(database.to_string()).or_default();
            section.insert("no_large_objects".into(), (!yes(value)).to_string());
        }
        "pg_dump_options" => take(converted, Some(database), &shown, &words(value)),
        _ => match OF_ALL.iter().find(|(known, _)| *known == key) {
            Some((_, why)) => converted.leave(format!("{shown} = {value}"), *why),
            None => left(converted, key, &shown, value),
        },
    }
}

fn left(converted: &mut Converted, key: &str, shown: &str, value: &str) {
    let named = LEFT.iter().find(|(known, _)| *known == key);
    let of_storage = || STORAGES.iter().find(|(prefix, _)| key.starts_with(prefix));
    let why = named.or_else(of_storage).map(|(_, why)| *why);
    let shown = if is_secret(key) { shown.to_string() } else { format!("{shown} = {value}") };
    converted.leave(shown, why.unwrap_or("pg_back has no such key"));
}

/// The shell variables of version 1.
pub(super) fn version_1(text: &str) -> Converted {
    let mut converted = Converted::default();
    let mut connection = Connection::default();
    for line in text.lines() {
        let line = line.trim();
        let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else { continue };
        let name = name.trim_start_matches("export ").trim();
        let value = unquoted(value);
        // The name that version 2 gave it.
        let known = match name {
            "PGBK_BIN" => "bin_directory",
            "PGBK_BACKUP_DIR" => "backup_directory",
            "PGBK_PURGE" => "purge_older_than",
            "PGBK_PURGE_MIN_KEEP" => "purge_min_keep",
            "PGBK_DBLIST" => "include_dbs",
            "PGBK_EXCLUDE" => "exclude_dbs",
            "PGBK_STANDBY_PAUSE_TIMEOUT" => "pause_timeout",
            "PGBK_HOSTNAME" => "host",
            "PGBK_PORT" => "port",
            "PGBK_USERNAME" => "user",
            "PGBK_CONNDB" => "dbname",
            "PGBK_PRE_BACKUP_COMMAND" => "pre_backup_hook",
            "PGBK_POST_BACKUP_COMMAND" => "post_backup_hook",
            "SIGNATURE_ALGO" => "checksum_algorithm",
            "PGBK_TIMESTAMP" => "timestamp_format",
            "PGBK_WITH_TEMPLATES" => "with_templates",
            "PGBK_OPTS" => {
                let inner = value.trim().trim_start_matches('(').trim_end_matches(')').to_string();
                // The format was among them.
                let mut options = words(&inner);
                let is_format = |option: &String| option.starts_with("-F") || option.starts_with("--format");
                for option in options.iter().filter(|option| is_format(option)) {
                    converted.leave(
                        format!("PGBK_OPTS: {option}"),
                        "a repository has its own format; `pgark export` writes pg_dump's",
                    );
                }
                options.retain(|option| !is_format(option));
                take(&mut converted, None, "PGBK_OPTS", &options);
                continue;
            }
            other if other.starts_with("PGBK_") => {
                converted.leave(other, "pg_back 1 has no such variable");
                continue;
            }
            _ => continue,
        };
        // Lists are of blanks here.
        let value = match known {
            "include_dbs" | "exclude_dbs" => words(&value).join(","),
            _ => value,
        };
        global(&mut converted, &mut connection, known, &value);
    }
    connection.finish(&mut converted);
    converted
}

/// A value without its quotes and the comment behind it.
fn unquoted(text: &str) -> String {
    let text = text.trim();
    if text.starts_with('(') {
        return text.split(')').next().map(|inside| format!("{inside})")).unwrap_or_default();
    }
    let mut signs = text.chars();
    match signs.next() {
        Some(quote @ ('"' | '\'')) => signs.take_while(|sign| *sign != quote).collect(),
        _ => text.split(" #").next().unwrap_or_default().trim().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{version_1, version_2};

    #[test]
    fn a_pg_back_2_file() {
        let text = "# comment\nbin_directory = /usr/bin\nbackup_directory = /var/backups/{dbname}\nhost = db1\nport = 5433\nuser =\n\
                    dbname = postgres\nexclude_dbs = test, Old One\nwith_templates = false\njobs = 2\nparallel_backup_jobs = 3\n\
                    pause_timeout = 600\npurge_older_than = 7\npg_dump_options = -O --exclude-table-data='log.*'\ncipher_pass = s3cret\nnonsense = 1\n\
                    [shop]\nschemas = public, sales\nwith_blobs = false\nuser = other\nformat = directory\n";
        let converted = version_2(text).unwrap();
        let toml = converted.to_toml("main");
        let config = crate::config::Config::parse(std::path::Path::new("p"), &toml).unwrap();
        let main = &config.clusters["main"];
        let value = |key: &str| main.own[key].value.to_string();
        assert_eq!(value("dbname"), "host=db1 port=5433 dbname=postgres");
        assert_eq!(value("exclude_database"), "test, \"Old One\"");
        assert_eq!(
            (value("all"), value("jobs"), value("pause_timeout")),
            ("true".into(), "6".into(), "600s".into())
        );
        assert_eq!((value("keep_within"), value("forget_after_backup")), ("7d".into(), "true".into()));
        assert_eq!(super::kept_for("36h").as_deref(), Some("36h"));
        assert_eq!((super::kept_for("-1h"), super::kept_for("1h30m")), (None, None));
        assert_eq!(value("exclude_table_data"), "log.*");
        assert_eq!(main.databases["shop"]["schema"].value.to_string(), "public, sales");
        assert_eq!(main.databases["shop"]["no_large_objects"].value.to_string(), "true");
        for left in [
            "bin_directory",
            "pg_dump_options: -O",
            "nonsense = 1",
            "[shop] user",
            "[shop] format",
            "cipher_pass",
        ] {
            assert!(toml.contains(left), "{left}: {toml}");
        }
        assert!(!toml.contains("s3cret"));
        let elsewhere = "upload = s3\ns3_region = eu-west-1\ns3_bucket = b\ns3_secret = hush\nsftp_host = h\nazure_account = a\n\
                         [shop]\npurge_older_than = 36h\n";
        let toml = version_2(elsewhere).unwrap().to_toml("main");
        for left in [
            "upload = s3: a repository can be a bucket",
            "s3_region = eu-west-1: write it as `region`",
            "s3_bucket = b: it is the repository's URL: s3://BUCKET",
            "sftp_host = h: it is part of the repository's URL",
            "azure_account = a: write it as `account`",
            "[shop] purge_older_than = 36h: one backup contains all databases",
        ] {
            assert!(toml.contains(left), "{left}: {toml}");
        }
        assert!(!toml.contains("hush") && !toml.contains("no such key"), "{toml}");
        assert!(version_2("host\n[x\n").is_err());
    }

    #[test]
    fn a_pg_back_1_file() {
        let text = "#!/bin/sh\nPGBK_HOSTNAME=db1 # the host\nPGBK_DBLIST=\"a b\"\nPGBK_OPTS=(\"-Fc\" \"-T\" \"x*\")\nPGBK_PURGE=30\nSIGNATURE_ALGO=\"sha256\"\nPGBK_WHAT=1\nPATH=/bin\n";
        let toml = version_1(text).to_toml("main");
        let config = crate::config::Config::parse(std::path::Path::new("p"), &toml).unwrap();
        let value = |key: &str| config.clusters["main"].own[key].value.to_string();
        assert_eq!(
            (value("dbname"), value("database"), value("exclude_table")),
            ("host=db1".into(), "a, b".into(), "x*".into())
        );
        assert_eq!(value("keep_within"), "30d");
        for left in ["-Fc", "checksum_algorithm = sha256", "PGBK_WHAT"] {
            assert!(toml.contains(left), "{left}: {toml}");
        }
    }
}
