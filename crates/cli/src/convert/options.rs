//! pg_dump's own options, as other programs hand them on.

use super::{Converted, toml_list};

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
const LISTS: [(&str, &str, &str); 7] = [
    ("n", "schema", "schema"),
    ("N", "exclude-schema", "exclude_schema"),
    ("t", "table", "table"),
    ("T", "exclude-table", "exclude_table"),
    ("e", "extension", "extension"),
    ("", "exclude-table-data", "exclude_table_data"),
    ("", "include-foreign-data", "include_foreign_data"),
];
const FLAGS: [(&str, &str, &str); 6] = [
    ("s", "schema-only", "schema_only"),
    ("a", "data-only", "data_only"),
    ("B", "no-blobs", "no_large_objects"),
    ("", "no-large-objects", "no_large_objects"),
    ("", "strict-names", "strict_names"),
    // What pgark does anyway.
    ("b", "blobs", ""),
];

/// Takes options into a section's keys; what has no counterpart is left.
pub(super) fn take(converted: &mut Converted, database: Option<&str>, origin: &str, options: &[String]) {
    let mut lists: Vec<(&str, Vec<String>)> = Vec::new();
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
        } else {
            converted.leave(format!("{origin}: {option}"), "pg_dump's option has no counterpart");
        }
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
        take(&mut converted, None, "o", &words("-n a -nb --exclude-table-data=log* -s --no-sync -Z 9 -B"));
        assert_eq!(converted.cluster["schema"], r#"["a", "b"]"#);
        assert_eq!(converted.cluster["schema_only"], "true");
        assert_eq!(converted.cluster["no_large_objects"], "true");
        let left: Vec<&str> = converted.left.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(left, ["o: --no-sync", "o: -Z", "o: 9"]);
    }
}
