//! Every key that `pgark.toml` may hold, with its type, its default and what it is for.

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A list of strings.
    List,
    /// `true` or `false`.
    Flag,
    /// A whole number from, to.
    Number(i64, i64),
    /// A string like `30s` or `5min`.
    Time,
    /// One of these strings.
    OneOf(&'static [&'static str]),
}

impl Kind {
    /// For people.
    pub fn describe(self) -> String {
        match self {
            Kind::Text => "a string".into(),
            Kind::List => "a list of strings".into(),
            Kind::Flag => "true or false".into(),
            Kind::Number(from, to) => format!("a number from {from} to {to}"),
            Kind::Time => "a time like \"30s\", \"5min\" or \"30d\"".into(),
            Kind::OneOf(words) => format!("one of {}", words.join(", ")),
        }
    }
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// As it is written; the option of the same name has dashes.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What holds without it, for people; empty: nothing.
    pub default: &'static str,
    /// What it is for.
    pub about: &'static str,
}

pub const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, default, about }
}

/// Keys outside of any section.
pub const TOP: &[Key] = &[key(
    "repository",
    Kind::Text,
    "",
    "The repository to use: a name of a section below, a directory or a URL",
)];

/// `[repositories.NAME]`.
pub const REPOSITORY: &[Key] = &[
    key("url", Kind::Text, "", "Where it is: a directory, s3://, gs://, azblob:// or sftp://"),
    key("identity", Kind::Text, "", "age identity file that opens it"),
    key("passphrase_file", Kind::Text, "", "File whose first line is the passphrase"),
    key("writer_key", Kind::Text, "", "Writer key file: backs up and cannot read data"),
    key("no_cache", Kind::Flag, "false", "Keep no index on this host's disk: slower"),
];

/// `[clusters.NAME]`: what `pgark backup --cluster NAME` does.
pub const CLUSTER: &[Key] = &[
    key("repository", Kind::Text, "", "Its repository, if not the one above"),
    key("also", Kind::Text, "", "A second repository for its backups"),
    key("dbname", Kind::Text, "", "Where to connect first: a database, connection string or URI"),
    key("host", Kind::Text, "", "Server host or socket directory"),
    key("port", Kind::Text, "", "Server port"),
    key("username", Kind::Text, "", "Role to connect as"),
    key("role", Kind::Text, "", "SET ROLE to this role after connecting"),
    key("all", Kind::Flag, "false", "Every database that allows connections"),
    key("maintenance_db", Kind::Text, "", "With all or database: connect to this database first"),
    key("database", Kind::List, "[]", "Databases that match these patterns"),
    key("exclude_database", Kind::List, "[]", "Not the databases that match"),
    key("with_templates", Kind::Flag, "false", "Template databases too"),
    key("snapshots", Kind::OneOf(&["staggered", "together"]), "\"staggered\"", "When snapshots are taken"),
    key("jobs", Kind::Number(1, 256), "the number of cores, at most 8", "Parallel connections"),
    key("compression_level", Kind::Number(1, 19), "1", "zstd level"),
    key("pg_dump", Kind::Text, "", "Use this pg_dump"),
    key("lock_wait_timeout", Kind::Time, "\"30s\"", "How long the first table locks may wait"),
    key(
        "pause_timeout",
        Kind::Time,
        "\"60min\"",
        "On a standby: how long to wait until replay can be paused; \"0\": no pause",
    ),
    key(
        "keep_going",
        Kind::Flag,
        "false",
        "Go on without what cannot be read; the backup is then incomplete",
    ),
];

/// Also in `[clusters.NAME]`: what `pgark forget --cluster NAME` keeps.
pub const KEEP: &[Key] = &[
    key("keep_last", Kind::Number(0, 1_000_000), "0", "Backups that stay: the newest so many"),
    key("keep_hourly", Kind::Number(0, 1_000_000), "0", "The newest of each of so many hours"),
    key("keep_daily", Kind::Number(0, 1_000_000), "0", "Of so many days"),
    key("keep_weekly", Kind::Number(0, 1_000_000), "0", "Of so many weeks"),
    key("keep_monthly", Kind::Number(0, 1_000_000), "0", "Of so many months"),
    key("keep_yearly", Kind::Number(0, 1_000_000), "0", "Of so many years"),
    key("keep_within", Kind::Time, "", "All of so long before the newest: \"30d\""),
    key("keep_dropped", Kind::Time, "\"7d\"", "A database that was dropped: its last backup stays so long"),
    key("keep_min", Kind::Number(0, 1_000_000), "0", "Never fewer than so many"),
    key("keep_tag", Kind::List, "[]", "Those with these tags"),
    key(
        "forget_after_backup",
        Kind::Flag,
        "false",
        "Forget what these rules do not keep, behind each good backup",
    ),
];

/// Also in `[clusters.NAME]`, and for one database in `[clusters.NAME.databases.DB]`.
pub const FILTERS: &[Key] = &[
    key("schema", Kind::List, "[]", "Only schemas that match"),
    key("exclude_schema", Kind::List, "[]", "Not the schemas that match"),
    key("table", Kind::List, "[]", "Only tables, views, sequences that match, with partitions"),
    key("exclude_table", Kind::List, "[]", "Not the tables, views, sequences that match, nor partitions"),
    key("extension", Kind::List, "[]", "Only extensions that match"),
    key("exclude_table_data", Kind::List, "[]", "No rows of tables that match"),
    key("include_foreign_data", Kind::List, "[]", "Also the rows of foreign tables of servers that match"),
    key(
        "no_children",
        Kind::Flag,
        "false",
        "Patterns of tables do not take their partitions and child tables along",
    ),
    key("schema_only", Kind::Flag, "false", "Definitions only"),
    key("data_only", Kind::Flag, "false", "Rows, large objects and sequence values only"),
    key("no_large_objects", Kind::Flag, "false", "No large objects"),
    key("strict_names", Kind::Flag, "false", "Fail if a pattern matches nothing"),
    key(
        "row_map",
        Kind::OneOf(&["auto", "on", "off"]),
        "\"auto\"",
        "Store only new rows: where it pays, of all tables, of none",
    ),
    key("row_map_on", Kind::List, "[]", "Store only new rows of tables that match"),
    key("row_map_off", Kind::List, "[]", "Store tables that match as bytes"),
];

/// Every key of a repository's section.
pub fn of_repository() -> impl Iterator<Item = &'static Key> {
    REPOSITORY.iter().chain(crate::storage::KEYS)
}

/// Every key of a cluster's section.
pub fn of_cluster() -> impl Iterator<Item = &'static Key> {
    CLUSTER.iter().chain(KEEP).chain(FILTERS)
}

/// A file with every key, its default and what it is for; nothing in it is in force.
pub fn template() -> String {
    let mut text = String::from(
        "# pgark.toml: options of pgark. Flags win over the environment, the environment over this file.\n\
         # Places: --config FILE, PGARK_CONFIG, ~/.config/pgark/pgark.toml, /etc/pgark/pgark.toml.\n\n",
    );
    section(&mut text, None, TOP.iter());
    section(&mut text, Some("repositories.main"), of_repository());
    section(&mut text, Some("clusters.prod"), of_cluster());
    text.push_str("# What of one database; what is not said here is as in the cluster's section.\n");
    section(&mut text, Some("clusters.prod.databases.shop"), FILTERS.iter());
    text
}

fn section<'k>(text: &mut String, name: Option<&str>, keys: impl Iterator<Item = &'k Key>) {
    if let Some(name) = name {
        text.push_str(&format!("# [{name}]\n"));
    }
    for key in keys {
        let value = match (key.kind, key.default) {
            (Kind::Number(from, _), default) if default.parse::<i64>().is_err() => {
                format!("{from}  # default: {default}")
            }
            (Kind::OneOf(words), "") => {
                format!("\"{}\"  # default: none", words.first().copied().unwrap_or_default())
            }
            (Kind::Time, "") => "\"30d\"  # default: none".to_string(),
            (_, "") => "\"\"".to_string(),
            (_, default) => default.to_string(),
        };
        text.push_str(&format!("# {}\n# {} = {value}\n", key.about, key.name));
    }
    text.push('\n');
}
