//! Reads and checks `pgark.toml`. Every problem is found at once, each with its line and the
//! nearest right key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use pgark_ops::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, Keys, Kind, REPOSITORY, URL};
use super::value::Value;
use crate::{tilde, values};

/// A value and where it is.
#[derive(Clone, Debug)]
pub struct Setting {
    pub value: Value,
    pub line: usize,
    /// Its key: how it is written, and which option it sets.
    pub key: Key,
}

/// The settings of one section, by key.
pub type Section = BTreeMap<String, Setting>;

/// One cluster's section.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub own: Section,
    /// By database.
    pub databases: BTreeMap<String, Section>,
    /// By command.
    pub commands: BTreeMap<String, Section>,
}

/// A whole file.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// None: there is no file.
    pub path: Option<PathBuf>,
    pub top: Section,
    pub repositories: BTreeMap<String, Section>,
    pub clusters: BTreeMap<String, Cluster>,
    /// By command: `backup`, `key rotate`.
    pub commands: BTreeMap<String, Section>,
}

/// Something wrong in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    path: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.what)
    }
}

/// Reads one file.
struct Reader<'t> {
    keys: &'static Keys,
    path: &'t Path,
    text: &'t str,
    problems: Vec<Problem>,
}

impl Config {
    /// Reads and checks a file's text.
    pub fn parse(path: &Path, text: &str) -> Result<Config, Vec<Problem>> {
        let mut reader = Reader { keys: Keys::all(), path, text, problems: Vec::new() };
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                reader.problem(at, error.message().to_string());
                return Err(reader.problems);
            }
        };
        let config = reader.config(table.get_ref());
        reader.problems.sort_by_key(|problem| problem.line);
        if reader.problems.is_empty() { Ok(config) } else { Err(reader.problems) }
    }
}

impl Reader<'_> {
    fn problem(&mut self, at: usize, what: String) {
        let line = self.line(at);
        self.problems.push(Problem { path: self.path.to_path_buf(), line, what });
    }

    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn config(&mut self, table: &DeTable<'_>) -> Config {
        let mut config = Config { path: Some(self.path.to_path_buf()), ..Config::default() };
        let names = self.keys.commands();
        let mut tables = vec!["repositories", "clusters"];
        tables.extend(names.iter().filter_map(|path| path.split(' ').next()));
        tables.dedup();
        config.top = self.section("", table, &self.keys.top(), &tables);
        for (name, value) in table {
            let at = name.span().start;
            match name.get_ref().as_ref() {
                "repositories" => {
                    for (name, at, table) in self.sections("repositories", value, at) {
                        let section = self.section(
                            &below("repositories", &name),
                            table,
                            &self.keys.of_repository(),
                            &[],
                        );
                        self.check_repository(&name, at, &section);
                        config.repositories.insert(name, section);
                    }
                }
                "clusters" => {
                    for (name, _, table) in self.sections("clusters", value, at) {
                        let cluster = self.cluster(&below("clusters", &name), table);
                        config.clusters.insert(name, cluster);
                    }
                }
                name if tables.contains(&name) => {
                    self.commands(("", name), value, at, &mut config.commands, &Keys::of_command);
                }
                _ => {}
            }
        }
        self.only_repository(&mut config);
        config
    }

    /// The only repository of a file is the one of every command that names no other, as if the
    /// file said so outside of its sections.
    fn only_repository(&self, config: &mut Config) {
        let mut named = config.repositories.iter();
        let (Some((name, section)), None) = (named.next(), named.next()) else { return };
        let key = self.keys.top().into_iter().find(|key| key.name == REPOSITORY);
        if let (Some(key), Some(url)) = (key, section.get(URL)) {
            let setting = Setting { value: Value::Text(name.clone()), line: url.line, key };
            config.top.entry(REPOSITORY.into()).or_insert(setting);
        }
    }

    fn check_repository(&mut self, name: &str, at: usize, section: &Section) {
        if !section.contains_key(URL) && self.problems.is_empty() {
            self.problem(at, format!("repository {name:?} has no url"));
        }
        let secrets = ["identity", "passphrase_file", "passphrase", "writer_key"];
        let set = secrets.iter().filter_map(|key| section.get(*key));
        let found: Vec<&Setting> = set.filter(|setting| !setting.value.is_nothing()).collect();
        if let [first, second, ..] = found.as_slice() {
            let both = format!("{} and {}", first.key.name, second.key.name);
            let (path, line) = (self.path.to_path_buf(), first.line.max(second.line));
            let what = format!("repository {name:?} has both {both}: give only one secret");
            self.problems.push(Problem { path, line, what });
        }
    }

    fn cluster(&mut self, path: &str, table: &DeTable<'_>) -> Cluster {
        let names = self.keys.commands();
        let of_cluster = |path: &&String| !self.keys.of_command_of_cluster(path).is_empty();
        let mut tables = vec!["databases"];
        tables.extend(names.iter().filter(of_cluster).filter_map(|path| path.split(' ').next()));
        let keys = self.keys.of_cluster();
        let mut cluster = Cluster { own: self.section(path, table, &keys, &tables), ..Cluster::default() };
        let is_key = |name: &str| keys.iter().any(|key| key.is_called(name));
        for (name, value) in table {
            let at = name.span().start;
            match name.get_ref().as_ref() {
                "databases" => {
                    for (database, _, table) in self.sections("databases", value, at) {
                        let path = below(&below(path, "databases"), &database);
                        let section = self.section(&path, table, &self.keys.of_database(), &[]);
                        cluster.databases.insert(database, section);
                    }
                }
                name if tables.contains(&name) && (is_table(value) || !is_key(name)) => {
                    self.commands(
                        (path, name),
                        value,
                        at,
                        &mut cluster.commands,
                        &Keys::of_command_of_cluster,
                    );
                }
                _ => {}
            }
        }
        cluster
    }

    /// A command's section, or those of its subcommands. The command is below another section,
    /// or at the top.
    fn commands(
        &mut self,
        (above, path): (&str, &str),
        value: &Spanned<DeValue<'_>>,
        at: usize,
        found: &mut BTreeMap<String, Section>,
        keys: &dyn Fn(&Keys, &str) -> Vec<Key>,
    ) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.problem(at, format!("{path} is a section: [{path}]"));
        };
        let inside = format!("{path} ");
        let names = self.keys.commands();
        let inner: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(&inside)).collect();
        let shown = below(above, &path.replace(' ', "."));
        let section = self.section(&shown, table, &keys(self.keys, path), &inner);
        if inner.is_empty() {
            found.insert(path.to_string(), section);
        }
        for (name, value) in table.iter().filter(|(name, _)| inner.contains(&name.get_ref().as_ref())) {
            let path = format!("{path} {}", name.get_ref());
            self.commands((above, &path), value, name.span().start, found, keys);
        }
    }

    /// The named tables within a table.
    fn sections<'v>(
        &mut self,
        of: &str,
        value: &'v Spanned<DeValue<'_>>,
        at: usize,
    ) -> Vec<(String, usize, &'v DeTable<'v>)> {
        let DeValue::Table(table) = value.get_ref() else {
            self.problem(at, format!("{of} contains sections: [{of}.NAME]"));
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, value) in table {
            match value.get_ref() {
                DeValue::Table(inner) => found.push((name.get_ref().to_string(), name.span().start, inner)),
                _ => self.problem(name.span().start, format!("{of} contains sections: [{of}.NAME]")),
            }
        }
        found
    }

    /// The settings of a section that has these keys, and these tables in addition. `path`: its own
    /// name.
    fn section(&mut self, path: &str, table: &DeTable<'_>, keys: &[Key], tables: &[&str]) -> Section {
        let mut section = Section::new();
        for (name, value) in table {
            let (text, at) = (name.get_ref().as_ref(), name.span().start);
            let own = keys.iter().find(|known| known.is_called(text));
            // `mask` is an option of a backup, and a command with options of its own.
            if tables.contains(&text) && (own.is_none() || is_table(value)) {
                continue;
            }
            match (own, value.get_ref()) {
                (Some(_), DeValue::Table(inner)) if nearest(text, tables.iter().copied()).is_some() => {
                    self.unknown_section(path, text, inner, at, tables);
                }
                (Some(known), _) => self.setting(&mut section, known, value, at),
                (None, DeValue::Table(inner)) => self.unknown_section(path, text, inner, at, tables),
                (None, _) => {
                    let names = keys.iter().map(|key| key.name.as_str()).chain(tables.iter().copied());
                    self.unknown(path, text, at, names);
                }
            }
        }
        section
    }

    fn setting(&mut self, section: &mut Section, key: &Key, value: &Spanned<DeValue<'_>>, at: usize) {
        let name = &key.name;
        let Some(read) = read_value(&key.kind, value.get_ref()) else {
            let found = value.get_ref().type_str();
            return self.problem(at, format!("{name} is {}, not this {found}", key.kind.describe()));
        };
        let read = match read {
            Value::Text(text) if key.is_place() => match tilde::expand(&text) {
                Ok(text) => Value::Text(text),
                Err(why) => return self.problem(at, format!("{name}: {why}")),
            },
            other => other,
        };
        if let Err(why) = key.check(&read) {
            return self.problem(at, format!("{name}: {why}"));
        }
        let setting = Setting { value: read, line: self.line(at), key: key.clone() };
        if let Some(first) = section.insert(name.clone(), setting) {
            self.problem(at, format!("{name} is already set in line {}", first.line));
        }
    }

    fn unknown<'k>(&mut self, path: &str, key: &str, at: usize, known: impl Iterator<Item = &'k str>) {
        let hint = match nearest(key, known) {
            Some(near) => format!("; did you mean {near}?"),
            None if path.is_empty() => self.elsewhere(key),
            None => String::new(),
        };
        self.problem(at, format!("there is no key {key:?} here{hint}"));
    }

    /// Where a key belongs that is outside of all sections.
    fn elsewhere(&self, key: &str) -> String {
        let has = |keys: Vec<Key>| keys.iter().any(|known| known.is_called(key));
        match (has(self.keys.of_repository()), has(self.keys.of_cluster())) {
            (true, _) => "; it is a key of [repositories.NAME]".into(),
            (false, true) => "; it is a key of [clusters.NAME] and [backup]".into(),
            (false, false) => String::new(),
        }
    }

    /// A section that there is not: `[repository.main]`.
    fn unknown_section(&mut self, path: &str, key: &str, inner: &DeTable<'_>, at: usize, tables: &[&str]) {
        // It is shown as its header is written, as far as that can be known.
        let last = match inner.iter().next() {
            Some((name, value)) if inner.len() == 1 && matches!(value.get_ref(), DeValue::Table(_)) => {
                Some(name.get_ref().to_string())
            }
            _ => None,
        };
        let shown = |key: &str| {
            let section = below(path, key);
            last.as_ref().map_or_else(|| section.clone(), |last| below(&section, last))
        };
        let near = nearest(key, tables.iter().copied());
        let hint = near.map(|near| format!("; did you mean [{}]?", shown(near))).unwrap_or_default();
        self.problem(at, format!("there is no section [{}]{hint}", shown(key)));
    }
}

/// The name of a section in another.
fn below(path: &str, name: &str) -> String {
    let is_bare =
        !name.is_empty() && name.bytes().all(|sign| sign.is_ascii_alphanumeric() || b"-_.".contains(&sign));
    let name = if is_bare { name.to_string() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn read_value(kind: &Kind, value: &DeValue<'_>) -> Option<Value> {
    let whole = |number: &toml::de::DeInteger<'_>| i64::from_str_radix(number.as_str(), number.radix()).ok();
    match (kind, value) {
        (Kind::Text | Kind::Rate, DeValue::String(text)) => Some(Value::Text(text.to_string())),
        (Kind::Time | Kind::TimeOrFlag, DeValue::String(text)) => {
            (text.is_empty() || values::duration(text).is_ok()).then(|| Value::Text(text.to_string()))
        }
        (Kind::OneOf(words), DeValue::String(text)) => (text.is_empty()
            || words.iter().any(|word| *word == text.as_ref()))
        .then(|| Value::Text(text.to_string())),
        (Kind::Flag, DeValue::Boolean(flag)) => Some(Value::Flag(*flag)),
        (Kind::NumberOrFlag | Kind::TimeOrFlag, DeValue::Boolean(flag)) => Some(Value::Flag(*flag)),
        (Kind::Number(range), DeValue::Integer(number)) => whole(number)
            .filter(|number| range.is_none_or(|(from, to)| (from..=to).contains(number)))
            .map(Value::Number),
        (Kind::NumberOrFlag | Kind::Rate, DeValue::Integer(number)) => whole(number).map(Value::Number),
        (Kind::List, DeValue::Array(items)) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_string))
            .collect::<Option<Vec<String>>>()
            .map(Value::List),
        _ => None,
    }
}

fn is_table(value: &Spanned<DeValue<'_>>) -> bool {
    matches!(value.get_ref(), DeValue::Table(_))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Config, Value};

    fn problems(text: &str) -> Vec<String> {
        Config::parse(Path::new("p"), text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_is_read() {
        let text = "repository = \"main\"\n[repositories.main]\nurl = \"/b\"\n[clusters.prod]\nall = true\njobs = 4\n\
                    exclude_database = [\"a\"]\n[clusters.prod.databases.\"we ird\"]\ntable = [\"x\"]\n";
        let config = Config::parse(Path::new("p"), text).unwrap();
        let prod = &config.clusters["prod"];
        assert_eq!((&prod.own["jobs"].value, prod.own["jobs"].line), (&Value::Number(4), 6));
        assert_eq!(prod.databases["we ird"]["table"].value, Value::List(vec!["x".into()]));
    }

    #[test]
    fn home_folders_and_the_only_repository_are_meant() {
        let home = std::env::var("HOME").unwrap_or_default();
        let text =
            "[repositories.x]\nurl = \"~/b\"\nidentity = \"~/i\"\nknown_hosts = \"~/k\"\nregion = \"~\"\n";
        let config = Config::parse(Path::new("p"), text).unwrap();
        let x = &config.repositories["x"];
        for (key, path) in [("url", "/b"), ("identity", "/i"), ("known_hosts", "/k")] {
            assert_eq!(x[key].value, Value::Text(format!("{}{path}", home.trim_end_matches('/'))));
        }
        assert_eq!(x["region"].value, Value::Text("~".into()));
        assert_eq!(config.top["repository"].value, Value::Text("x".into()));
        let two = Config::parse(Path::new("p"), &format!("{text}[repositories.y]\nurl = \"/y\"\n")).unwrap();
        assert!(two.top.is_empty());
        let said = Config::parse(Path::new("p"), &format!("repository = \"/z\"\n{text}")).unwrap();
        assert_eq!(said.top["repository"].value, Value::Text("/z".into()));
    }

    #[test]
    fn problems_have_lines_and_hints() {
        assert_eq!(
            problems(
                "[clusters.prod]\njbos = 4\nlock-wait-timeout = \"3s\"\njobs = \"x\"\npause_timeout = \"3 moons\"\nzzz = 1\n[backup]\njobs = 999\nrow_map = \"x\"\n"
            ),
            [
                "p:2: there is no key \"jbos\" here; did you mean jobs?",
                "p:3: there is no key \"lock-wait-timeout\" here; did you mean lock_wait_timeout?",
                "p:4: jobs is a number, not this string",
                "p:5: pause_timeout is a time like \"30s\", \"5min\" or \"30d\", not this string",
                "p:6: there is no key \"zzz\" here",
                "p:8: jobs: 999 is not in 1..=256",
                "p:9: row_map is one of auto, on, off, not this string",
            ]
        );
        for (text, said) in [
            (
                "[repository.main]\nurl = \"/b\"\n",
                "p:1: there is no section [repository.main]; did you mean [repositories.main]?",
            ),
            (
                "[cluster.\"a b\"]\nall = true\n",
                "p:1: there is no section [cluster.\"a b\"]; did you mean [clusters.\"a b\"]?",
            ),
            (
                "[cluster.prod.databases.shop]\n",
                "p:1: there is no section [cluster.prod]; did you mean [clusters.prod]?",
            ),
            (
                "[clusters.c.database.shop]\n",
                "p:1: there is no section [clusters.c.database.shop]; did you mean [clusters.c.databases.shop]?",
            ),
            ("url = \"/b\"\n", "p:1: there is no key \"url\" here; it is a key of [repositories.NAME]"),
            (
                "exclude_table = [\"x\"]\n",
                "p:1: there is no key \"exclude_table\" here; it is a key of [clusters.NAME] and [backup]",
            ),
            (
                "[repositories.x]\nurl = \"~me/b\"\n",
                "p:2: url: ~ with a user's name is not expanded: write the whole path",
            ),
        ] {
            assert_eq!(problems(text)[0], said, "{text}");
        }
        assert_eq!(problems("[repositories.x]\n")[0], "p:1: repository \"x\" has no url");
        assert_eq!(
            problems("cluster = 1\n")[0],
            "p:1: there is no key \"cluster\" here; did you mean clusters?"
        );
        assert!(problems("a = \n")[0].starts_with("p:1: "));
        assert!(problems("clusters = 3\n")[0].contains("[clusters.NAME]"));
    }
}
