//! Plain English in what people read: Markdown, `--help`, messages, and the docs of the code.
//!
//! A few habits make readers read a sentence twice: "roles that lack", "options stand in a file",
//! "stored anew", "leans on". Each has a rule here, with what to write instead. A rule finds few
//! wrong places; a place that is right all the same is an exception below, with its reason.
//!
//! Read are all Markdown files except the generated ones (`docs/cli.md` and `docs/errors.md` follow
//! from the help texts and messages, which are read), the doc comments of `crates/cli/src/args`
//! (they are the help), and every string literal of `crates/*/src` outside of tests. The other doc
//! comments of `crates/*/src` are read for the rules that have no right use at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// One habit.
struct Rule {
    /// What it looks like.
    pattern: &'static str,
    /// Uses of the same words that are good English.
    fine: &'static [&'static str],
    /// What to write instead.
    instead: &'static str,
    /// Also in the doc comments of the code, not only in what users read.
    in_comments: bool,
    /// A sentence with the habit, and the same in plain English: both are tried.
    example: (&'static str, &'static str),
}

const RULES: &[Rule] = &[
    Rule {
        pattern: r"\b(lacks?|lacked|lacking)\b",
        fine: &["lack of"],
        instead: "is missing, does not have",
        in_comments: true,
        example: ("Roles that lack are made.", "Missing roles are created."),
    },
    Rule {
        pattern: r"\b(stands?|stood)\b",
        fine: &["stands for", "stand for", "stood for", "stands still", "stand still", "stand-in"],
        instead: "is, is written, comes",
        in_comments: true,
        example: ("Options stand in a file.", "Options are in a file. `%` stands for one byte."),
    },
    Rule {
        pattern: r"\banew\b",
        fine: &[],
        instead: "again; rewrite, repack, rebuild",
        in_comments: true,
        example: ("It stores the rows anew.", "It stores the rows again."),
    },
    Rule {
        pattern: r"\b(leans?|leaned|leaning) (up)?on\b",
        fine: &[],
        instead: "depends on, reuses",
        in_comments: true,
        example: ("No later backup leans on it.", "No later backup depends on it."),
    },
    Rule {
        pattern: r"\bbeside\b",
        fine: &[],
        instead: "compared with, in addition to, next to, during",
        in_comments: true,
        example: ("Measured beside restic.", "Compared with restic. Besides, it is fast."),
    },
    Rule {
        pattern: r"\bfor ever\b",
        fine: &[],
        instead: "forever, always",
        in_comments: true,
        example: ("It would wait for ever.", "It would wait forever. Take it for every row."),
    },
    Rule {
        pattern: r"\b(pass|passes|passed|passing) over\b",
        fine: &[],
        instead: "skip, ignore",
        in_comments: true,
        example: ("Backup 4f0c is passed over.", "Backup 4f0c is skipped."),
    },
    Rule {
        pattern: r"\blets? go of\b",
        fine: &[],
        instead: "releases, removes",
        in_comments: true,
        example: ("`pgark forget` lets go of it.", "`pgark forget` removes it."),
    },
    Rule {
        pattern: r"\bsuffices?\b",
        fine: &[],
        instead: "is enough",
        in_comments: true,
        example: ("The writer key suffices.", "The writer key is enough."),
    },
    Rule {
        pattern: r"\bsomebody\b",
        fine: &[],
        instead: "someone",
        in_comments: true,
        example: ("Somebody else had the key.", "Someone else had the key."),
    },
    Rule {
        pattern: r"\brotten\b",
        fine: &[],
        instead: "damaged",
        in_comments: true,
        example: ("A check found it rotten.", "A check found it damaged."),
    },
    Rule {
        pattern: r"\b(list|last|newest|number|one|rule|same|that|this) holds([.,;:]|$| now\b)",
        fine: &[],
        instead: "applies",
        in_comments: true,
        example: ("The newest one holds.", "The newest one applies. The list holds all names."),
    },
    Rule {
        pattern: r"\b(is|are|was|were|be|been) (said|told|noted)\b",
        fine: &["be told apart", "be told from"],
        instead: "name who says it: pgark lists, reports, records",
        in_comments: false,
        example: ("What is left out is said.", "pgark lists what it left out."),
    },
    Rule {
        pattern: r"\bno (\w+ )?\w+ is (there|here|at|in)\b",
        fine: &[],
        instead: "there is no X, no X found",
        in_comments: false,
        example: ("No repository is at /backup.", "There is no repository at /backup."),
    },
    Rule {
        pattern: r"\b(is|are|was|were) there already\b|\b(is|are|was|were) already there\b|\bthat (is|are) there\b",
        fine: &[],
        instead: "already exists",
        in_comments: false,
        example: ("The table is there already.", "The table already exists."),
    },
    Rule {
        pattern: r"\bmay not\b|\b(who|whoever|nobody|anybody|anyone) may\b|\b(role|user|key|writer|owner|host|credentials) (that )?may (be |not )?(read|write|see|delete|do|put|list|back|connect|sign|prune|forget)\b",
        fine: &[],
        instead: "can, is allowed to, has no right to; might not",
        in_comments: false,
        example: ("A key that may not delete.", "A key without delete permission. It may take a minute."),
    },
    Rule {
        pattern: r"(^|[.;:(] ?)(of|for|from|by|behind|below) (which|whom)\b|\b(backups?|chunks?|packs?|rows?|tables?) of which\b",
        fine: &[],
        instead: "a sentence of its own, or whose",
        in_comments: false,
        example: ("It replaces backups of which something is lost.", "It replaces damaged backups."),
    },
    Rule {
        pattern: r"\b(would|must|may|will|can) go([.,;:]|$)|\bgo(es)? (with|by) (a|the next) prune\b|\bgoes (away|once)\b",
        fine: &[],
        instead: "is removed, is deleted",
        in_comments: false,
        example: ("Backups that would go.", "Backups that would be removed."),
    },
    Rule {
        pattern: r"\b(heals?|healed|hurts?)\b",
        fine: &[],
        instead: "repairs; affects, damages",
        in_comments: false,
        example: ("The next backup heals it.", "The next backup repairs it."),
    },
    Rule {
        pattern: r"\bwhat nobody\b",
        fine: &[],
        instead: "unreferenced data, unused",
        in_comments: false,
        example: ("It marks what nobody needs.", "It marks unreferenced data."),
    },
    Rule {
        pattern: r"\b(is|are) no [a-z]+",
        fine: &["there is no", "there are no", "is no longer", "are no longer"],
        instead: "is not a",
        in_comments: false,
        example: ("The file is no archive.", "The file is not an archive. There is no file."),
    },
    Rule {
        pattern: r"\bin force\b",
        fine: &[],
        instead: "applies, is used",
        in_comments: false,
        example: ("Nothing here is in force.", "Everything here is commented out."),
    },
];

/// Places that are right although a rule finds them: file, words of the text, reason. Each must be
/// needed.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("crates/pg/src/check.rs", "may not be used with", "libpq's own words, which users search for"),
    ("crates/pg/src/uri.rs", "may not be empty in URI", "libpq's own words, which users search for"),
    ("crates/ops/src/logical/restore/report.rs", "`lacking`", "the name of a parameter"),
];

/// What is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// People who use the program read it.
    ForUsers,
    /// Doc comments of the code.
    Comment,
}

/// A piece of text, without line breaks inside.
struct Text {
    line: usize,
    kind: Kind,
    words: String,
}

/// The rules with their patterns: what is fine, and what is wrong in the rest.
static PATTERNS: LazyLock<Vec<(&Rule, Option<Regex>, Regex)>> = LazyLock::new(|| {
    let pattern = |text: &str| Regex::new(&format!("(?i){text}")).unwrap();
    let any_of = |words: &[&str]| words.iter().map(|word| regex::escape(word)).collect::<Vec<_>>().join("|");
    let fine = |rule: &Rule| (!rule.fine.is_empty()).then(|| pattern(&any_of(rule.fine)));
    RULES.iter().map(|rule| (rule, fine(rule), pattern(rule.pattern))).collect()
});

/// The rules that a text breaks, with the words.
fn broken(text: &str, kind: Kind) -> Vec<(&'static Rule, String)> {
    let mut found = Vec::new();
    for (rule, fine, wrong) in PATTERNS.iter() {
        if kind == Kind::ForUsers || rule.in_comments {
            let rest = fine.as_ref().map_or(text.into(), |fine| fine.replace_all(text, "·"));
            found.extend(wrong.find_iter(&rest).map(|hit| (*rule, hit.as_str().trim().to_string())));
        }
    }
    found
}

/// Paragraphs, list items and table rows of a Markdown page. Names in code style are no English;
/// comments behind `#` in examples are.
fn of_markdown(page: &str) -> Vec<Text> {
    let code = Regex::new("`[^`]*`").unwrap();
    let item = Regex::new(r"^\s*([-*] |\d+\. |#)").unwrap();
    let comment = Regex::new(r"\s# (.*)$").unwrap();
    let mut texts: Vec<Text> = Vec::new();
    let (mut in_code, mut is_open) = (false, false);
    for (at, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            (in_code, is_open) = (!in_code, false);
            continue;
        }
        let text = |words: &str| Text { line: at + 1, kind: Kind::ForUsers, words: words.trim().to_string() };
        if in_code {
            texts.extend(comment.captures(line).map(|found| text(&found[1])));
        } else if line.trim().is_empty() {
            is_open = false;
        } else if line.starts_with('|') || item.is_match(line) || !is_open {
            texts.push(text(line));
            is_open = !line.starts_with('|');
        } else if let Some(open) = texts.last_mut() {
            open.words = format!("{} {}", open.words, line.trim());
        }
    }
    for text in &mut texts {
        text.words = code.replace_all(&text.words, "`…`").into_owned();
    }
    texts
}

/// Doc comments and string literals of a Rust file, without its tests. Of `is_help` the doc
/// comments are help texts.
fn of_rust(source: &str, is_help: bool) -> Vec<Text> {
    let mut reading = Reading { source: source.as_bytes(), at: 0, line: 1, texts: Vec::new(), doc: None };
    while reading.at < reading.source.len() {
        reading.step(source, is_help);
    }
    reading.texts.extend(reading.doc.take());
    reading.texts
}

/// A line of a string literal that goes on with the next.
static CONTINUED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\\\n\s*").unwrap());
static CHARACTER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^'(\\'|\\[^'\n]*|[^'\\])'").unwrap());
static TWO_WORDS: LazyLock<Regex> = LazyLock::new(|| Regex::new("[a-z]{2,} [a-z]{2,}").unwrap());

struct Reading<'s> {
    source: &'s [u8],
    at: usize,
    line: usize,
    texts: Vec<Text>,
    /// The comment that goes on with the next line.
    doc: Option<Text>,
}

impl Reading<'_> {
    fn step(&mut self, source: &str, is_help: bool) {
        let rest = &source[self.at..];
        let is_inside_word = self.at > 0
            && (self.source[self.at - 1].is_ascii_alphanumeric() || self.source[self.at - 1] == b'_');
        if let Some(behind) = rest.strip_prefix("//") {
            let end = behind.find('\n').unwrap_or(behind.len());
            self.comment(&behind[..end], is_help);
            self.skip(2 + end);
        } else if rest.starts_with("/*") {
            self.skip(rest.find("*/").map_or(rest.len(), |end| end + 2));
        } else if let Some(test) = rest.strip_prefix("#[cfg(test)]\n").filter(|_| self.is_at_margin()) {
            // A module or function of tests, to the brace at the margin; a declaration ends at
            // once.
            let brace = test.find("\n}").map_or(test.len(), |end| end + 2);
            let declared = test.find(";\n").map(|end| end + 1).filter(|end| !test[..*end].contains("{\n"));
            self.skip("#[cfg(test)]\n".len() + declared.unwrap_or(brace));
        } else if let Some((opening, closing)) = raw(rest).filter(|_| !is_inside_word) {
            let length = rest[opening..].find(&closing).unwrap_or(rest.len() - opening);
            self.literal(&rest[opening..opening + length]);
            self.skip(opening + length + closing.len());
        } else if let Some(string) = rest.strip_prefix('"') {
            let length = length_of_string(string);
            let joined = CONTINUED.replace_all(&string[..length], "");
            self.literal(&joined.replace("\\n", " ").replace("\\\"", "\""));
            self.skip(length + 2);
        } else if rest.starts_with('\'') {
            // A character; else it is a lifetime, and one step.
            self.skip(CHARACTER.find(rest).map_or(1, |found| found.end()));
        } else {
            let is_empty_line = rest.starts_with('\n') && self.is_at_margin();
            if is_empty_line || !rest.starts_with([' ', '\n']) {
                self.texts.extend(self.doc.take());
            }
            self.skip(rest.chars().next().map_or(1, char::len_utf8));
        }
    }

    fn is_at_margin(&self) -> bool {
        self.at == 0 || self.source[self.at - 1] == b'\n'
    }

    fn skip(&mut self, bytes: usize) {
        let end = (self.at + bytes).min(self.source.len());
        self.line += self.source[self.at..end].iter().filter(|byte| **byte == b'\n').count();
        self.at = end;
    }

    fn comment(&mut self, behind: &str, is_help: bool) {
        let words = behind.strip_prefix('/').or_else(|| behind.strip_prefix('!')).map(str::trim);
        let is_help = is_help && behind.starts_with('/');
        match (words, &mut self.doc) {
            (Some(""), _) | (None, _) => self.texts.extend(self.doc.take()),
            (Some(words), Some(open)) => open.words = format!("{} {words}", open.words),
            (Some(words), None) => {
                let kind = if is_help { Kind::ForUsers } else { Kind::Comment };
                self.doc = Some(Text { line: self.line, kind, words: words.to_string() });
            }
        }
    }

    /// A literal that has two words in a row: others are names, formats, SQL.
    fn literal(&mut self, text: &str) {
        self.texts.extend(self.doc.take());
        if TWO_WORDS.is_match(text) {
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            self.texts.push(Text { line: self.line, kind: Kind::ForUsers, words });
        }
    }
}

/// The length of the opening of a raw string, and its closing.
fn raw(rest: &str) -> Option<(usize, String)> {
    let behind = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = behind.bytes().take_while(|byte| *byte == b'#').count();
    let opening = rest.len() - behind.len() + hashes + 1;
    behind[hashes..].starts_with('"').then(|| (opening, format!("\"{}", "#".repeat(hashes))))
}

/// Up to the quote that ends it.
fn length_of_string(behind: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in behind.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    behind.len()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The files with this extension below a folder, as paths from the root.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            if !matches!(name.as_str(), "target" | "corpus" | "artifacts") && !name.starts_with('.') {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Files that are declared `#[cfg(test)] mod name;`, and folders of that name.
fn of_tests(sources: &[(PathBuf, String)]) -> BTreeSet<PathBuf> {
    let declared =
        Regex::new(r"(?m)^#\[cfg\(test\)\]\n(?:#\[.*\]\n)*(?:pub(?:\(.*\))? )?mod (\w+);").unwrap();
    let mut found = BTreeSet::new();
    for (path, text) in sources {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let folder = path.parent().unwrap();
        let below = if matches!(stem, "mod" | "lib" | "main") { folder.into() } else { folder.join(stem) };
        for module in declared.captures_iter(text) {
            found.insert(below.join(&module[1]));
            found.insert(below.join(format!("{}.rs", &module[1])));
        }
    }
    found
}

/// Every text of the project, by its file.
fn texts_of_the_project() -> Vec<(String, Vec<Text>)> {
    let root = root();
    let shown = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
    let mut texts = Vec::new();
    for path in files(&root, "md") {
        // They are made from what is read here, too.
        if !matches!(shown(&path).as_str(), "docs/cli.md" | "docs/errors.md") {
            texts.push((shown(&path), of_markdown(&std::fs::read_to_string(&path).unwrap())));
        }
    }
    let mut sources = Vec::new();
    for member in std::fs::read_dir(root.join("crates")).unwrap() {
        let member = member.unwrap().path();
        if !member.ends_with("testkit") {
            let of_member = files(&member.join("src"), "rs");
            sources.extend(of_member.into_iter().map(|path| {
                let text = std::fs::read_to_string(&path).unwrap();
                (path, text)
            }));
        }
    }
    let tests = of_tests(&sources);
    for (path, text) in &sources {
        if !path.ancestors().any(|own| tests.contains(own)) {
            texts.push((shown(path), of_rust(text, shown(path).starts_with("crates/cli/src/args/"))));
        }
    }
    texts
}

#[test]
fn texts_are_plain_english() {
    let texts = texts_of_the_project();
    let count = |kind| texts.iter().flat_map(|(_, own)| own).filter(|text| text.kind == kind).count();
    assert!(count(Kind::ForUsers) > 2000 && count(Kind::Comment) > 5000, "the texts are not found");
    let mut unused: BTreeSet<usize> = (0..EXCEPTIONS.len()).collect();
    let mut faults = Vec::new();
    for (path, own) in &texts {
        for text in own {
            for (rule, words) in broken(&text.words, text.kind) {
                let excepted =
                    EXCEPTIONS.iter().position(|(file, of, _)| file == path && text.words.contains(of));
                match excepted {
                    Some(number) => drop(unused.remove(&number)),
                    None => {
                        faults.push(format!("{path}:{}: \"{words}\": write: {}", text.line, rule.instead))
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} places are not plain English:\n{}", faults.len(), faults.join("\n"));
    let unused: Vec<&str> = unused.into_iter().map(|number| EXCEPTIONS[number].1).collect();
    assert!(unused.is_empty(), "exceptions that nothing needs: {unused:?}");
}

#[test]
fn each_habit_is_found_and_its_plain_form_is_not() {
    for rule in RULES {
        let (wrong, right) = rule.example;
        let found = broken(wrong, Kind::ForUsers);
        assert!(found.iter().any(|(by, _)| by.pattern == rule.pattern), "{wrong:?} is not found");
        assert!(broken(right, Kind::ForUsers).is_empty(), "{right:?} is found");
        let in_comment = broken(wrong, Kind::Comment).iter().any(|(by, _)| by.pattern == rule.pattern);
        assert_eq!(in_comment, rule.in_comments, "{wrong:?}");
    }
}

/// A planted sentence is found wherever people read, and nowhere else.
#[test]
fn planted_sentences_are_found_where_people_read() {
    let planted = |texts: Vec<Text>| -> Vec<(usize, bool)> {
        let found = texts.iter().filter(|text| !broken(&text.words, text.kind).is_empty());
        found.map(|text| (text.line, text.kind == Kind::ForUsers)).collect()
    };
    let page = "# Roles\n\nThe rows are\nstored anew.\n\n- good\n- it\n  leans on it\n\n| a | b |\n|---|---|\n| x | \
                is anew |\n\n```\npgark backup    # stores anew\nanew\n```\n`anew` is a name.";
    assert_eq!(planted(of_markdown(page)), [(3, true), (7, true), (12, true), (15, true)]);

    let source = "//! It stores\n//! all anew.\n\n/// Stores anew.\nfn f<'a>() -> &'a str {\n    // anew\n    let c = \
                  ['\"', '\\'', '\\u{41}'];\n    g(\"roles are made \\\n       anew\", r#\"he \"is\" told anew of it\"#);\n    \
                  \"anew\"\n}\n/* anew */\n#[cfg(test)]\nmod tests {\n    const T: &str = \"made it anew\";\n}\nconst A: &str = \
                  \"made again anew\";\n#[cfg(test)]\nmod others;\nconst B: &str = \"made once anew\";\n";
    let found = [(1, false), (4, false), (8, true), (9, true), (17, true), (20, true)];
    assert_eq!(planted(of_rust(source, false)), found);
    // As help texts the comments of options count in full, those of the module do not.
    let help = "//! What is said.\n\n/// What is said.\nstruct Args;\n";
    assert_eq!(planted(of_rust(help, false)), []);
    assert_eq!(planted(of_rust(help, true)), [(3, true)]);

    let path = |name: &str| PathBuf::from(name);
    let sources = [
        (path("a/lib.rs"), "mod b;\n#[cfg(test)]\nmod model;\n".to_string()),
        (path("a/b.rs"), "#[cfg(test)]\n#[allow(clippy::panic)]\nmod tests;".to_string()),
    ];
    let tests = of_tests(&sources);
    assert!(
        ["a/model", "a/model.rs", "a/b/tests", "a/b/tests.rs"].iter().all(|name| tests.contains(&path(name)))
    );
    assert!(!tests.contains(&path("a/b.rs")));
}
