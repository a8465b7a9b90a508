//! Reads and checks `pgark.toml`. Every problem is found at once, each with its line and the nearest right key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema::{self, Key, Kind};

/// A value of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    List(Vec<String>),
    Flag(bool),
    Number(i64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{text}"),
            Value::List(list) => write!(f, "{}", list.join(", ")),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Number(number) => write!(f, "{number}"),
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Setting {
    pub value: Value,
    pub line: usize,
}

/// The settings of one section, by key.
pub type Section = BTreeMap<&'static str, Setting>;

/// One cluster's section.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub own: Section,
    /// By database.
    pub databases: BTreeMap<String, Section>,
}

/// A whole file.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// None: there is no file.
    pub path: Option<PathBuf>,
    pub top: Section,
    pub repositories: BTreeMap<String, Section>,
    pub clusters: BTreeMap<String, Cluster>,
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
    path: &'t Path,
    text: &'t str,
    problems: Vec<Problem>,
}

impl Config {
    /// Reads and checks a file's text.
    pub fn parse(path: &Path, text: &str) -> Result<Config, Vec<Problem>> {
        let mut reader = Reader { path, text, problems: Vec::new() };
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
        for (name, value) in table {
            let at = name.span().start;
            match name.get_ref().as_ref() {
                "repositories" => {
                    for (name, at, table) in self.sections("repositories", value, at) {
                        let section = self.section(table, schema::of_repository(), &[]);
                        if !section.contains_key("url") && self.problems.is_empty() {
                            self.problem(at, format!("repository {name:?} has no url"));
                        }
                        config.repositories.insert(name, section);
                    }
                }
                "clusters" => {
                    for (name, _, table) in self.sections("clusters", value, at) {
                        let cluster = self.cluster(table);
                        config.clusters.insert(name, cluster);
                    }
                }
                key => match schema::TOP.iter().find(|known| known.name == key) {
                    Some(known) => self.setting(&mut config.top, known, value, at),
                    None => {
                        let known =
                            schema::TOP.iter().map(|key| key.name).chain(["repositories", "clusters"]);
                        self.unknown(key, at, known);
                    }
                },
            }
        }
        config
    }

    fn cluster(&mut self, table: &DeTable<'_>) -> Cluster {
        let own = self.section(table, schema::of_cluster(), &["databases"]);
        let mut databases = BTreeMap::new();
        for (name, value) in table.iter().filter(|(name, _)| name.get_ref() == "databases") {
            for (database, _, table) in self.sections("databases", value, name.span().start) {
                let section = self.section(table, schema::FILTERS.iter(), &[]);
                databases.insert(database, section);
            }
        }
        Cluster { own, databases }
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

    fn section(
        &mut self,
        table: &DeTable<'_>,
        keys: impl Iterator<Item = &'static Key>,
        tables: &[&str],
    ) -> Section {
        let keys: Vec<&'static Key> = keys.collect();
        let mut section = Section::new();
        for (name, value) in table {
            let (text, at) = (name.get_ref().as_ref(), name.span().start);
            if tables.contains(&text) {
                continue;
            }
            match keys.iter().find(|known| known.name == text) {
                Some(known) => self.setting(&mut section, known, value, at),
                None => self.unknown(text, at, keys.iter().map(|key| key.name).chain(tables.iter().copied())),
            }
        }
        section
    }

    fn setting(&mut self, section: &mut Section, key: &'static Key, value: &Spanned<DeValue<'_>>, at: usize) {
        match read_value(key.kind, value.get_ref()) {
            Some(value) => {
                section.insert(key.name, Setting { value, line: self.line(at) });
            }
            None => {
                let found = value.get_ref().type_str();
                self.problem(at, format!("{} is {}, not this {found}", key.name, key.kind.describe()));
            }
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

fn read_value(kind: Kind, value: &DeValue<'_>) -> Option<Value> {
    match (kind, value) {
        (Kind::Text, DeValue::String(text)) => Some(Value::Text(text.to_string())),
        (Kind::Time, DeValue::String(text)) => {
            crate::args::duration(text).ok().map(|_| Value::Text(text.to_string()))
        }
        (Kind::OneOf(words), DeValue::String(text)) => {
            words.contains(&text.as_ref()).then(|| Value::Text(text.to_string()))
        }
        (Kind::Flag, DeValue::Boolean(flag)) => Some(Value::Flag(*flag)),
        (Kind::Number(from, to), DeValue::Integer(number)) => {
            i64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .filter(|number| (from..=to).contains(number))
                .map(Value::Number)
        }
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
                "[clusters.prod]\njbos = 4\nlock-wait-timeout = \"3s\"\njobs = \"x\"\npause_timeout = \"3 moons\"\nzzz = 1\n"
            ),
            [
                "p:2: there is no key \"jbos\" here; did you mean jobs?",
                "p:3: there is no key \"lock-wait-timeout\" here; did you mean lock_wait_timeout?",
                "p:4: jobs is a number from 1 to 256, not this string",
                "p:5: pause_timeout is a time like \"30s\", \"5min\" or \"30d\", not this string",
                "p:6: there is no key \"zzz\" here",
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

    #[test]
    fn the_template_is_sound() {
        let text: String = super::schema::template()
            .lines()
            .map(|line| line.strip_prefix("# ").unwrap_or(line))
            .filter(|line| line.starts_with('[') || line.contains(" = "))
            .map(|line| format!("{line}\n"))
            .collect();
        let config = Config::parse(Path::new("p"), &text).unwrap();
        assert_eq!(config.clusters["prod"].own.len(), super::schema::of_cluster().count());
    }
}
