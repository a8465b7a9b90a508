//! No module uses, through others, itself: what is below knows nothing of what is above.
//!
//! A module is a file. It uses what its `use` lines and paths name (`crate::…`, `super::…`,
//! `self::…`, a module below it), followed through `pub use` to the file that defines it. A
//! re-export alone is no use: a `mod.rs` may show what stands in its folder. Tests may use what
//! they like.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Crates that hold it.
const HELD: [&str; 6] = ["bytes", "datadir", "pg", "repo", "ops", "cli"];

/// A module by its path in the crate; the root is empty.
type Module = Vec<String>;

#[test]
fn no_modules_use_each_other_in_a_circle() {
    for name in HELD {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
        let mut files = BTreeMap::new();
        read(&folder, &mut Vec::new(), &mut files);
        assert!(files.len() > 15, "{name}: {} files", files.len());
        let circles = circles(&files);
        assert!(circles.is_empty(), "modules of {name} use each other in circles: {circles:#?}");
    }
}

#[test]
fn circles_are_found() {
    let found = |files: &[(&str, &str)]| {
        let module =
            |path: &str| path.split("::").filter(|part| !part.is_empty()).map(str::to_string).collect();
        let files = files.iter().map(|(path, text)| (module(path), (*text).to_string())).collect();
        circles(&files).len()
    };
    let lib = ("", "mod a;\nmod b;\npub use a::A;");
    assert_eq!(found(&[lib, ("a", "use crate::b::B;\npub struct A;"), ("b", "pub struct B;")]), 0);
    // By a path, through a re-export, by `super`, from a folder to what stands in it.
    assert_eq!(found(&[lib, ("a", "use crate::b::B;"), ("b", "fn b() { super::a::a() }")]), 1);
    assert_eq!(found(&[lib, ("a", "use crate::b::{self, B};"), ("b", "use crate::{A, x};")]), 1);
    assert_eq!(found(&[lib, ("a", "use b::B;\nstruct C;"), ("a::b", "use super::C;")]), 1);
    assert_eq!(found(&[lib, ("a", "pub use b::B;\nstruct C;"), ("a::b", "use super::C;")]), 0);
    // What a type captures is no import.
    let captured = "fn b() -> impl Sized + use<'_> { { 1; } }\nfn c() { super::a::a() }";
    assert_eq!(found(&[lib, ("a", "use crate::b::B;"), ("b", captured)]), 1);
    // Not in words, and not in tests.
    let words =
        "// crate::a\n/* super::a */ const X: &str = r#\"crate::a\"#; fn f() { g('\"', \"\\\" super::a\") }";
    assert_eq!(found(&[lib, ("a", "use crate::b::B;"), ("b", words)]), 0);
    let tests = "struct B;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}";
    assert_eq!(found(&[lib, ("a", "use crate::b::B;"), ("b", tests)]), 0);
}

/// The text of every module below a folder.
fn read(folder: &Path, at: &mut Module, files: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        if path.is_dir() {
            at.push(name);
            read(&path, at, files);
            at.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests" {
            let own = (!matches!(name.as_str(), "mod" | "lib" | "main")).then_some(name);
            let module = at.iter().cloned().chain(own).collect();
            files.insert(module, std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Groups of modules each of which uses, through the others, itself; with the uses that close the
/// circle.
fn circles(files: &BTreeMap<Module, String>) -> Vec<Vec<String>> {
    let mut uses: BTreeMap<&Module, Vec<Module>> = BTreeMap::new();
    let mut shown: BTreeMap<(Module, String), Module> = BTreeMap::new();
    for (module, text) in files {
        let mut named = Named { module, files, uses: Vec::new(), shown: Vec::new() };
        named.read(&tokens(text));
        shown.extend(named.shown.into_iter().map(|(name, path)| ((module.clone(), name), path)));
        uses.insert(module, named.uses);
    }
    let edges: BTreeMap<&Module, BTreeSet<Module>> = uses
        .into_iter()
        .map(|(module, paths)| {
            let targets = paths.into_iter().map(|path| resolve(path, files, &shown, 0));
            (module, targets.filter(|target| target != module).collect())
        })
        .collect();
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        edges.keys().map(|module| (*module, reach(module, &edges))).collect();
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for module in edges.keys() {
        let circle: BTreeSet<&Module> =
            reached[module].iter().copied().filter(|other| reached[other].contains(module)).collect();
        if circle.is_empty() || !told.insert(circle.clone()) {
            continue;
        }
        let inner = circle.iter().flat_map(|from| {
            let targets = edges[*from].iter().filter(|to| circle.contains(to));
            targets.map(|to| format!("{} -> {}", from.join("::"), to.join("::")))
        });
        found.push(inner.collect());
    }
    found
}

/// Everything that a module uses, through others too.
fn reach<'m>(from: &Module, edges: &'m BTreeMap<&Module, BTreeSet<Module>>) -> BTreeSet<&'m Module> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Module> = edges[from].iter().collect();
    while let Some(module) = open.pop() {
        if reached.insert(module) {
            open.extend(edges.get(module).into_iter().flatten());
        }
    }
    reached
}

/// The file that defines what a path names, followed through re-exports.
fn resolve(
    path: Module,
    files: &BTreeMap<Module, String>,
    shown: &BTreeMap<(Module, String), Module>,
    depth: usize,
) -> Module {
    let at = (0..=path.len()).rev().find(|at| files.contains_key(&path[..*at])).unwrap_or(0);
    let (module, rest) = path.split_at(at);
    let key = rest.first().map(|name| (module.to_vec(), name.clone()));
    match key.and_then(|key| shown.get(&key)) {
        Some(behind) if depth < 16 => {
            let path = behind.iter().chain(&rest[1..]).cloned().collect();
            resolve(path, files, shown, depth + 1)
        }
        _ => module.to_vec(),
    }
}

/// What one module names.
struct Named<'f> {
    module: &'f Module,
    files: &'f BTreeMap<Module, String>,
    uses: Vec<Module>,
    /// Names that it re-exports, and what they are.
    shown: Vec<(String, Module)>,
}

impl Named<'_> {
    fn read(&mut self, tokens: &[String]) {
        let mut at = 0;
        while at < tokens.len() {
            if tokens[at] == "use" && tokens.get(at + 1).is_some_and(|token| token != "<") {
                let is_public = at > 0 && matches!(tokens[at - 1].as_str(), "pub" | ")");
                at = self.tree(tokens, at + 1, &[], is_public);
                continue;
            }
            let mut path = vec![tokens[at].clone()];
            let is_inner = at > 0 && matches!(tokens[at - 1].as_str(), "::" | ".");
            while tokens.get(at + 1).is_some_and(|token| token == "::")
                && tokens.get(at + 2).is_some_and(|token| is_name(token))
            {
                path.push(tokens[at + 2].clone());
                at += 2;
            }
            if path.len() > 1 && !is_inner {
                self.uses.extend(self.absolute(&path));
            }
            at += 1;
        }
    }

    /// One tree of a `use`; returns what stands behind it.
    fn tree(&mut self, tokens: &[String], mut at: usize, before: &[String], is_public: bool) -> usize {
        let mut path = before.to_vec();
        while let Some(token) = tokens.get(at) {
            match token.as_str() {
                "::" => at += 1,
                "{" => {
                    at += 1;
                    while tokens.get(at).is_some_and(|token| token != "}") {
                        at = self.tree(tokens, at, &path, is_public);
                        at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                    }
                    return at + 1;
                }
                "as" => {
                    let name = tokens.get(at + 1).cloned();
                    self.book(&path, name, is_public);
                    return at + 2;
                }
                "," | "}" | ";" => break,
                _ => {
                    path.push(token.clone());
                    at += 1;
                }
            }
        }
        self.book(&path, None, is_public);
        at
    }

    fn book(&mut self, path: &[String], name: Option<String>, is_public: bool) {
        // `a::{self}` is `a`.
        let path = match path {
            [rest @ .., last] if last == "self" && !rest.is_empty() => rest,
            path => path,
        };
        let Some(absolute) = self.absolute(path) else { return };
        match name.or_else(|| path.last().cloned()).filter(|_| is_public) {
            Some(name) => self.shown.push((name, absolute)),
            None => self.uses.push(absolute),
        }
    }

    /// The path from the crate's root; none if it leads out of the crate.
    fn absolute(&self, path: &[String]) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let mut base = self.module.clone();
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" | "super" => {
                let mut path = path;
                while let Some((word, rest)) =
                    path.split_first().filter(|(word, _)| *word == "self" || *word == "super")
                {
                    if word == "super" {
                        base.pop()?;
                    }
                    path = rest;
                }
                base.extend_from_slice(path);
                Some(base)
            }
            _ => {
                base.push(first.clone());
                let is_below = self.files.contains_key(&base);
                base.extend_from_slice(rest);
                is_below.then_some(base)
            }
        }
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|sign: char| sign.is_alphabetic() || sign == '_')
}

/// Names, `::` and other signs; no comments, no literals, nothing of a module of tests.
fn tokens(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let signs: Vec<char> = text.chars().collect();
    let starts =
        |at: usize, word: &str| word.chars().enumerate().all(|(n, sign)| signs.get(at + n) == Some(&sign));
    let mut found: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(sign) = signs.get(at) {
        if starts(at, "//") {
            at += signs[at..].iter().position(|sign| *sign == '\n').unwrap_or(signs.len() - at);
        } else if starts(at, "/*") {
            at += 2;
            while at < signs.len() && !starts(at, "*/") {
                at += 1;
            }
            at += 2;
        } else if *sign == '"' {
            at += 1;
            while signs.get(at).is_some_and(|sign| *sign != '"') {
                at += 1 + usize::from(signs[at] == '\\');
            }
            at += 1;
        } else if (*sign == 'r' && signs.get(at + 1).is_some_and(|sign| matches!(sign, '"' | '#')))
            || starts(at, "br#")
        {
            at += signs[at..].iter().position(|sign| matches!(sign, '"' | '#')).unwrap_or(1);
            let hashes = signs[at..].iter().take_while(|sign| **sign == '#').count();
            let end = format!("\"{}", "#".repeat(hashes));
            at += hashes + 1;
            while at < signs.len() && !starts(at, &end) {
                at += 1;
            }
            at += end.len();
        } else if *sign == '\'' && signs.get(at + 1) == Some(&'\\') {
            at += 3;
            at += signs[at.min(signs.len())..].iter().position(|sign| *sign == '\'').unwrap_or(0) + 1;
        } else if *sign == '\'' && signs.get(at + 2) == Some(&'\'') {
            at += 3;
        } else if starts(at, "::") {
            found.push("::".into());
            at += 2;
        } else if sign.is_alphanumeric() || *sign == '_' {
            let length =
                signs[at..].iter().take_while(|sign| sign.is_alphanumeric() || **sign == '_').count();
            found.push(signs[at..at + length].iter().collect());
            at += length;
        } else {
            if !sign.is_whitespace() {
                found.push(sign.to_string());
            }
            at += 1;
        }
    }
    found
}
