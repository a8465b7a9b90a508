//! Reads and checks `pgark.toml`. Every problem is found at once, each with its line and the
//! nearest right key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, Keys, Kind, URL};
use super::value::Value;
use crate::values;

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
        config.top = self.section(table, &self.keys.top(), &tables);
        for (name, value) in table {
            let at = name.span().start;
            match name.get_ref().as_ref() {
                "repositories" => {
                    for (name, at, table) in self.sections("repositories", value, at) {
                        let section = self.section(table, &self.keys.of_repository(), &[]);
                        self.check_repository(&name, at, &section);
                        config.repositories.insert(name, section);
                    }
                }
                "clusters" => {
                    for (name, _, table) in self.sections("clusters", value, at) {
                        let cluster = self.cluster(table);
                        config.clusters.insert(name, cluster);
                    }
                }
                name if tables.contains(&name) => {
                    self.commands(name, value, at, &mut config.commands, &Keys::of_command);
                }
                _ => {}
            }
        }
        config
    }

    fn check_repository(&mut self, name: &str, at: usize, section: &Section) {
        if !section.contains_key(URL) && self.problems.is_empty() {
            self.problem(at, format!("repository {name:?} has no url"));
        }
        let secrets = ["identity", "passphrase_file", "writer_key"];
        let set = secrets.iter().filter_map(|key| section.get(*key));
        let found: Vec<&Setting> = set.filter(|setting| !setting.value.is_nothing()).collect();
        if let [first, second, ..] = found.as_slice() {
            let both = format!("{} and {}", first.key.name, second.key.name);
            let (path, line) = (self.path.to_path_buf(), first.line.max(second.line));
            let what = format!("repository {name:?} has both {both}: one secret opens it");
            self.problems.push(Problem { path, line, what });
        }
    }

    fn cluster(&mut self, table: &DeTable<'_>) -> Cluster {
        let names = self.keys.commands();
        let of_cluster = |path: &&String| !self.keys.of_command_of_cluster(path).is_empty();
        let mut tables = vec!["databases"];
        tables.extend(names.iter().filter(of_cluster).filter_map(|path| path.split(' ').next()));
        let mut cluster =
            Cluster { own: self.section(table, &self.keys.of_cluster(), &tables), ..Cluster::default() };
        for (name, value) in table {
            let at = name.span().start;
            match name.get_ref().as_ref() {
                "databases" => {
                    for (database, _, table) in self.sections("databases", value, at) {
                        let section = self.section(table, &self.keys.of_database(), &[]);
                        cluster.databases.insert(database, section);
                    }
                }
                name if tables.contains(&name) => {
                    self.commands(name, value, at, &mut cluster.commands, &Keys::of_command_of_cluster);
                }
                _ => {}
            }
        }
        cluster
    }

    /// A command's section, or those of its subcommands.
    fn commands(
        &mut self,
        path: &str,
        value: &Spanned<DeValue<'_>>,
        at: usize,
        found: &mut BTreeMap<String, Section>,
        keys: &dyn Fn(&Keys, &str) -> Vec<Key>,
    ) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.problem(at, format!("{path} is a section: [{path}]"));
        };
        let below = format!("{path} ");
        let names = self.keys.commands();
        let inner: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(&below)).collect();
        let section = self.section(table, &keys(self.keys, path), &inner);
        if inner.is_empty() {
            found.insert(path.to_string(), section);
        }
        for (name, value) in table.iter().filter(|(name, _)| inner.contains(&name.get_ref().as_ref())) {
            self.commands(&format!("{path} {}", name.get_ref()), value, name.span().start, found, keys);
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
            self.problem(at, format!("{of} holds sections: [{of}.NAME]"));
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, value) in table {
            match value.get_ref() {
                DeValue::Table(inner) => found.push((name.get_ref().to_string(), name.span().start, inner)),
                _ => self.problem(name.span().start, format!("{of} holds sections: [{of}.NAME]")),
            }
        }
        found
    }

    /// The settings of a section that has these keys, and these tables beside them.
    fn section(&mut self, table: &DeTable<'_>, keys: &[Key], tables: &[&str]) -> Section {
        let mut section = Section::new();
        for (name, value) in table {
            let (text, at) = (name.get_ref().as_ref(), name.span().start);
            if tables.contains(&text) {
                continue;
            }
            match keys.iter().find(|known| known.is_called(text)) {
                Some(known) => self.setting(&mut section, known, value, at),
                None => {
                    let names = keys.iter().map(|key| key.name.as_str()).chain(tables.iter().copied());
                    self.unknown(text, at, names);
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
        if let Err(why) = key.check(&read) {
            return self.problem(at, format!("{name}: {why}"));
        }
        let setting = Setting { value: read, line: self.line(at), key: key.clone() };
        if let Some(first) = section.insert(name.clone(), setting) {
            self.problem(at, format!("{name} is set in line {} already", first.line));
        }
    }

    fn unknown<'k>(&mut self, key: &str, at: usize, known: impl Iterator<Item = &'k str>) {
        // Options are written with dashes on the command line.
        let plain = key.replace('-', "_").to_lowercase();
        let nearest = known.min_by_key(|known| distance(&plain, known));
        let near = nearest.filter(|known| distance(&plain, known) <= known.len().div_ceil(2));
        let hint = near.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
        self.problem(at, format!("there is no key {key:?} here{hint}"));
    }
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

/// How many letters one word differs from another (Levenshtein's distance).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, sign) in a.chars().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            left = (corner + usize::from(sign != *other)).min(above + 1).min(left + 1);
            corner = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Config, Value, distance};

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
        assert_eq!(problems("[repositories.x]\n")[0], "p:1: repository \"x\" has no url");
        assert_eq!(
            problems("cluster = 1\n")[0],
            "p:1: there is no key \"cluster\" here; did you mean clusters?"
        );
        assert!(problems("a = \n")[0].starts_with("p:1: "));
        assert!(problems("clusters = 3\n")[0].contains("[clusters.NAME]"));
    }

    #[test]
    fn words_differ_by_letters() {
        assert_eq!((distance("jbos", "jobs"), distance("", "ab"), distance("kitten", "sitting")), (2, 2, 3));
    }
}
