//! What stands in Markdown and comments: no line too long, no test or trap that is not there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use regex::Regex;

/// Columns of a comment and of Markdown.
const COLUMNS: usize = 100;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The files of the project with this extension, below these folders, sorted.
fn files(extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() {
                if !matches!(name.as_str(), "target" | "corpus" | "artifacts") && !name.starts_with('.') {
                    walk(&path, extension, found);
                }
            } else if path.extension().is_some_and(|own| own == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), extension, &mut found);
    found.sort();
    assert!(found.len() > 5, "{found:?}");
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// Too long, and no table, and not one word (a link) that cannot be cut.
fn is_too_long(line: &str) -> bool {
    let text = line.trim_start_matches([' ', '/', '!', '#', '-', '>']);
    line.chars().count() > COLUMNS && !text.starts_with('|') && text.contains(' ')
}

#[test]
fn no_comment_and_no_paragraph_is_too_wide() {
    let mut faults = Vec::new();
    for path in files("rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("//") && is_too_long(line) {
                faults.push(format!("{}:{}", shown(&path), number + 1));
            }
        }
    }
    for path in files("md") {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut in_code = false;
        for (number, line) in text.lines().enumerate() {
            in_code ^= line.trim_start().starts_with("```");
            if !in_code && is_too_long(line) {
                faults.push(format!("{}:{}", shown(&path), number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "more than {COLUMNS} columns: {faults:#?}");
}

#[test]
fn every_trap_has_its_tests_and_every_citation_its_trap() {
    let page = std::fs::read_to_string(root().join("docs/traps.md")).unwrap();
    let traps: Vec<u32> = Regex::new(r"(?m)^\*\*(\d+)\.\*\*")
        .unwrap()
        .captures_iter(&page)
        .map(|found| found[1].parse().unwrap())
        .collect();
    assert!(traps.len() > 20, "{traps:?}");
    let code: Vec<(PathBuf, String)> =
        files("rs").into_iter().map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap())).collect();

    // Each trap names at least one test, and each test is there.
    let tests = Regex::new(r"`([a-z0-9]+(?:_[a-z0-9]+){2,})`").unwrap();
    let mut faults = Vec::new();
    for trap in page.split("\n**").skip(1) {
        let number = trap.split('.').next().unwrap();
        let said = trap.split("Test").nth(1).unwrap_or_default();
        let named: Vec<&str> =
            tests.captures_iter(said).map(|found| found.get(1).unwrap().as_str()).collect();
        if named.is_empty() {
            faults.push(format!("trap {number} names no test"));
        }
        for name in named {
            let definition = format!("fn {name}(");
            if !code.iter().any(|(_, text)| text.contains(&definition)) {
                faults.push(format!("trap {number}: there is no test {name}"));
            }
        }
    }

    // Each citation ("trap 3", "traps 3, 4 and 6 to 14") has its trap.
    let cited = Regex::new(r"(?i)\btraps? (\d+(?:(?:, | and | to )\d+)*)").unwrap();
    let number = Regex::new(r"\d+").unwrap();
    for (path, text) in &code {
        for line in text.lines().filter(|line| line.trim_start().starts_with("//")) {
            for citation in cited.captures_iter(line) {
                for found in number.find_iter(&citation[1]) {
                    if !traps.contains(&found.as_str().parse().unwrap()) {
                        faults.push(format!(
                            "{}: trap {} is not in docs/traps.md",
                            shown(path),
                            found.as_str()
                        ));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_path_of_the_architecture_is_there() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let paths = Regex::new(r"`((?:crates|docs|scripts|fuzz)/[A-Za-z0-9_./-]*)`").unwrap();
    let named: Vec<&str> = paths.captures_iter(&page).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(named.len() > 20, "{named:?}");
    let missing: Vec<&str> = named.into_iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names what is not there: {missing:#?}");
}
