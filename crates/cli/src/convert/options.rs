//! pg_dump's own options, as other programs hand them on.

use super::converted::{Converted, toml_list};

/// Splits words as a shell does: blanks, quotes, backslashes.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut begun = false;
    let mut quote = None;
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match (sign, quote) {
            ('\'' | '"', None) => {
                quote = Some(sign);
                begun = true;
            }
            (_, Some(open)) if sign == open => quote = None,
            ('\\', None | Some('"')) => {
                word.extend(signs.next());
                begun = true;
            }
            (_, None) if sign.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            _ => {
                word.push(sign);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// Options with a list as value.
const LISTS: [(&str, &str, &str); 10] = [
    ("n", "schema", "schema"),
    ("N", "exclude-schema", "exclude_schema"),
    ("t", "table", "table"),
    ("T", "exclude-table", "exclude_table"),
    ("e", "extension", "extension"),
    ("", "exclude-table-data", "exclude_table_data"),
    ("", "include-foreign-data", "include_foreign_data"),
    // A table that is named brings its partitions and children anyway.
    ("", "table-and-children", "table"),
    ("", "exclude-table-and-children", "exclude_table"),
    ("", "exclude-table-data-and-children", "exclude_table_data"),
];
const FLAGS: [(&str, &str, &str); 9] = [
    ("s", "schema-only", "schema_only"),
    ("a", "data-only", "data_only"),
    ("B", "no-blobs", "no_large_objects"),
    ("", "no-large-objects", "no_large_objects"),
    ("", "strict-names", "strict_names"),
    // What pgark does anyway.
    ("b", "blobs", ""),
    ("", "large-objects", ""),
    ("w", "no-password", ""),
    ("v", "verbose", ""),
];
/// Options with a value that is a key of the cluster.
const VALUES: [(&str, &str, &str); 2] =
    [("", "lock-wait-timeout", "lock_wait_timeout"), ("", "role", "role")];
/// Options that a repository answers otherwise: the option, whether a value follows it, and what to
/// do instead.
const ELSEWHERE: [(&str, &str, bool, &str); 27] = [
    (
        "O",
        "no-owner",
        false,
        "owners are in the backup; `pgark restore --no-owner` and `pgark export --no-owner` omit them",
    ),
    ("x", "no-privileges", false, "privileges are in the backup; `pgark restore --no-privileges` omits them"),
    ("", "no-acl", false, "privileges are in the backup; `pgark restore --no-privileges` omits them"),
    ("", "no-comments", false, "comments are in the backup; `pgark restore --no-comments` omits them"),
    (
        "",
        "no-publications",
        false,
        "publications are in the backup; `pgark restore --no-publications` omits them",
    ),
    (
        "",
        "no-subscriptions",
        false,
        "subscriptions are in the backup; `pgark restore --no-subscriptions` omits them",
    ),
    (
        "",
        "no-tablespaces",
        false,
        "tablespaces are in the backup; `pgark restore --no-tablespaces` omits them",
    ),
    ("c", "clean", false, "it is an option of restores: `pgark restore --clean`"),
    ("", "if-exists", false, "it is an option of restores: `pgark restore --clean --if-exists`"),
    ("C", "create", false, "it is an option of restores: `pgark restore --create`"),
    ("", "disable-triggers", false, "it is an option of restores: `pgark restore --disable-triggers`"),
    (
        "",
        "section",
        true,
        "a backup contains every section; `pgark restore --section` and `pgark export --section` choose",
    ),
    ("j", "jobs", true, "write it as jobs: connections of the whole backup"),
    ("F", "format", true, "a repository has its own format; `pgark export` writes pg_dump's"),
    ("Z", "compress", true, "pgark compresses with zstd, see compression_level"),
    ("f", "file", true, "backups are written to a repository"),
    ("E", "encoding", true, "rows are stored in the database's own encoding"),
    ("", "inserts", false, "rows are stored as COPY writes them"),
    ("", "column-inserts", false, "rows are stored as COPY writes them"),
    ("", "attribute-inserts", false, "rows are stored as COPY writes them"),
    ("", "rows-per-insert", true, "rows are stored as COPY writes them"),
    ("", "on-conflict-do-nothing", false, "it is an option of restores: `pgark restore --on-conflict skip`"),
    ("", "load-via-partition-root", false, "rows are stored with the partition that they are in"),
    ("", "no-sync", false, "a backup counts only when it is safely stored"),
    ("", "quote-all-identifiers", false, "pgark quotes what has to be quoted"),
    ("", "no-unlogged-table-data", false, "name the tables in exclude_table_data"),
    (
        "",
        "filter",
        true,
        "write its lines as schema, table, exclude_schema, exclude_table, exclude_table_data",
    ),
];

/// Takes options into a section's keys; what has no counterpart is left.
pub(super) fn take(converted: &mut Converted, database: Option<&str>, origin: &str, options: &[String]) {
    let mut lists: Vec<(&str, Vec<String>)> = Vec::new();
    let mut values: Vec<(&str, String)> = Vec::new();
    let mut flags = Vec::new();
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        let (name, inline) = match option.strip_prefix("--") {
            Some(long) => match long.split_once('=') {
                Some((name, value)) => (name.to_string(), Some(value.to_string())),
                None => (long.to_string(), None),
            },
            None => match option.strip_prefix('-').filter(|short| !short.is_empty()) {
                Some(short) => {
                    let mut signs = short.chars();
                    let first: String = signs.by_ref().take(1).collect();
                    let value: String = signs.collect();
                    (first, (!value.is_empty()).then_some(value))
                }
                None => (option.clone(), None),
            },
        };
        let is = |short: &str, long: &str| (!short.is_empty() && name == short) || name == long;
        if let Some((_, _, key)) = LISTS.iter().find(|(short, long, _)| is(short, long)) {
            match inline.or_else(|| rest.next().cloned()) {
                Some(value) => match lists.iter_mut().find(|(known, _)| known == key) {
                    Some((_, values)) => values.push(value),
                    None => lists.push((key, vec![value])),
                },
                None => converted.leave(format!("{origin}: {option}"), "its value is missing"),
            }
        } else if let Some((_, _, key)) =
            FLAGS.iter().find(|(short, long, _)| is(short, long) && inline.is_none())
        {
            flags.push(*key);
        } else if let Some((_, _, key)) = VALUES.iter().find(|(short, long, _)| is(short, long)) {
            match inline.or_else(|| rest.next().cloned()) {
                Some(_) if database.is_some() => {
                    converted.leave(
                        format!("{origin}: {option}"),
                        "it is a key of the cluster, not of one database",
                    );
                }
                Some(value) => values.push((key, value)),
                None => converted.leave(format!("{origin}: {option}"), "its value is missing"),
            }
        } else if let Some((_, _, takes_value, why)) =
            ELSEWHERE.iter().find(|(short, long, _, _)| is(short, long))
        {
            let value = if *takes_value && inline.is_none() { rest.next() } else { None };
            let shown = value.map_or_else(|| option.clone(), |value| format!("{option} {value}"));
            converted.leave(format!("{origin}: {shown}"), *why);
        } else {
            converted.leave(format!("{origin}: {option}"), "pg_dump's option has no counterpart");
        }
    }
    for (key, value) in values {
        // pg_dump's time without a unit is of milliseconds.
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        converted
            .text(key, &if is_number && key == "lock_wait_timeout" { format!("{value}ms") } else { value });
    }
    let section = match database {
        None => &mut converted.cluster,
        Some(database) => converted.databases.entry(database.to_string()).or_default(),
    };
    for (key, values) in lists {
        section.insert(key.to_string(), toml_list(&values));
    }
    for key in flags.into_iter().filter(|key| !key.is_empty()) {
        section.insert(key.to_string(), "true".into());
    }
}

#[cfg(test)]
mod tests {
    use super::{Converted, take, words};

    #[test]
    fn words_are_a_shells() {
        assert_eq!(words(r#" -n 'a b' --table="x y" \"z\" "" "#), ["-n", "a b", "--table=x y", "\"z\"", ""]);
        assert!(words("  ").is_empty());
    }

    #[test]
    fn options_find_their_keys() {
        let mut converted = Converted::default();
        take(
            &mut converted,
            None,
            "o",
            &words(
                "-n a -nb --exclude-table-data=log* -s --no-sync -Z 9 -B --lock-wait-timeout=5000 --role r --what -O",
            ),
        );
        assert_eq!(converted.cluster["schema"], r#"["a", "b"]"#);
        assert_eq!(converted.cluster["schema_only"], "true");
        assert_eq!(converted.cluster["no_large_objects"], "true");
        let left: Vec<&str> = converted.left.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(left, ["o: --no-sync", "o: -Z 9", "o: --what", "o: -O"]);
        assert_eq!(converted.cluster["lock_wait_timeout"], "\"5000ms\"");
        assert_eq!(converted.cluster["role"], "\"r\"");
        assert!(converted.left[3].1.contains("restore --no-owner"));
        let mut of_one = Converted::default();
        take(&mut of_one, Some("d"), "o", &words("--lock-wait-timeout=5s -T x"));
        assert_eq!(of_one.databases["d"]["exclude_table"], r#"["x"]"#);
        assert!(of_one.left[0].1.contains("of the cluster"));
    }
}
