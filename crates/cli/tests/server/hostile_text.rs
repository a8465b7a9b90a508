//! Names that want to be commands: in what psql reads, and on the terminal. The judge of the first
//! is psql itself, on servers of the test's own: a command of a name would leave a file behind, its
//! SQL a table.

use std::path::Path;

use pgark_testkit::Cluster;
use pgark_testkit::oracle::{Snapshot, assert_same};

use super::exports::{psql, psql_into};
use super::support::{Desk, example, text};

/// Small numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

/// A name out of everything that psql, SQL, COPY and a shell give a meaning to. PostgreSQL cuts
/// names at 63 bytes.
fn name(dice: &mut Dice, marker: &Path, with_lines: bool) -> String {
    let command = format!("\\! touch {}", marker.display());
    let pieces = [
        "\"",
        "'",
        "\\",
        ";",
        "--",
        "/*",
        "*/",
        "$$",
        "$_$",
        "%s",
        ":x",
        ":'x'",
        "`",
        "\t",
        "\u{1b}[2J",
        "é",
        "a",
        " ",
        "\\.",
        "{}",
        "=",
        "dbname=x",
        "\\;",
        "BEGIN;",
        "\\q",
        "E'",
        "CREATE TABLE p();",
        "",
    ];
    let lines = ["\n", "\r", "\n--\n", "\n\\.\n", "\n\\connect x\n", "\r\n"];
    let mut out = String::new();
    for _ in 0..2 + dice.roll(5) {
        match dice.roll(5) {
            0 if with_lines => out.push_str(lines[dice.roll(lines.len())]),
            1 => out.push_str(&command),
            _ => out.push_str(pieces[dice.roll(pieces.len())]),
        }
        out.push(char::from(b'a' + u8::try_from(dice.roll(26)).unwrap()));
    }
    while out.len() > 60 {
        out.pop();
    }
    out
}

fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A folder that the server's user and the test's may write to, with a short name.
fn marker() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::Builder::new().prefix("m").rand_bytes(4).tempdir_in("/tmp").unwrap();
    let marker = folder.path().join("x");
    (folder, marker)
}

#[test]
fn no_name_speaks_to_psql() {
    let (source, target) = (Cluster::start(), Cluster::start());
    let (_folder, marker) = marker();
    let desk = Desk::plain();
    let mut dice = Dice(0x5eed_0016_0000_0008);
    for round in 0..6 {
        let db = name(&mut dice, &marker, false);
        let role = name(&mut dice, &marker, true);
        let (schema, table, column) =
            (name(&mut dice, &marker, true), name(&mut dice, &marker, true), name(&mut dice, &marker, true));
        let value = name(&mut dice, &marker, true);
        source.sql("postgres", &format!("CREATE DATABASE {}; CREATE ROLE {}", ident(&db), ident(&role)));
        target.sql("postgres", &format!("CREATE ROLE {}", ident(&role)));
        let (s, t, c, r) = (ident(&schema), ident(&table), ident(&column), ident(&role));
        source.sql(
            &db,
            &format!(
                "SET check_function_bodies = off; CREATE SCHEMA {s}; CREATE TABLE {s}.{t} ({c} text DEFAULT {v}, id int PRIMARY KEY); ALTER TABLE {s}.{t} OWNER TO {r}; \
                 INSERT INTO {s}.{t} VALUES ({v}, 1), (E'\\\\.\\n\\\\! touch {m}', 2), (NULL, 3); COMMENT ON TABLE {s}.{t} IS {v}; \
                 CREATE VIEW {s}.{v_name} AS SELECT {c} FROM {s}.{t} WHERE {c} <> {v}; GRANT SELECT ON {s}.{t} TO {r}; \
                 CREATE FUNCTION {s}.{t}() RETURNS text LANGUAGE sql AS {v}; SELECT lo_from_bytea(77, convert_to({v}, 'UTF8')); \
                 COMMENT ON LARGE OBJECT 77 IS {v}; CREATE INDEX {i} ON {s}.{t} ({c}); \
                 ALTER DATABASE {d} SET application_name TO {v}; COMMENT ON DATABASE {d} IS {v};",
                v = literal(&value),
                m = marker.display(),
                v_name = ident(&name(&mut dice, &marker, true)),
                i = ident(&name(&mut dice, &marker, true)),
                d = ident(&db),
            ),
        );
        let id = desk.ok(&["backup", "--dbname", &source.conninfo("postgres"), "--database", &ident(&db)]);
        let id = id.trim();
        let before = Snapshot::take(&source, &db);
        let export = |options: &[&str]| {
            let output = desk.run(&[&["export", id, "--format", "plain", "--output", "-"], options].concat());
            assert!(output.status.success(), "round {round}: {}", text(&output.stderr));
            output.stdout
        };
        psql(&target, &export(&["--create"]));
        assert_same(&before, &Snapshot::take(&target, &db));
        // Without \restrict nothing of it speaks either: names are quoted, comments are one line.
        let inside = format!("inside{round}");
        target.create_database(&inside);
        psql_into(&target, &inside, &export(&["--no-restrict"]));
        let mut after = Snapshot::take(&target, &inside);
        after.database.clone_from(&before.database);
        assert_same(&before, &after);
        assert!(!marker.exists(), "round {round}: a name of {db:?} ran a command");
        for db in [db.as_str(), "postgres"] {
            let strangers = target.psql_text(db, "SELECT count(*) FROM pg_class WHERE relname = 'p'");
            assert_eq!(strangers, "0", "round {round}");
        }
    }
}

#[test]
fn a_database_whose_name_has_a_line_break() {
    let (source, target) = (Cluster::start(), Cluster::start());
    let (_folder, marker) = marker();
    let db = format!("a\n\\! touch {}\n--", marker.display());
    source.sql("postgres", &format!("CREATE DATABASE {}", ident(&db)));
    source.sql(&db, "CREATE TABLE t AS SELECT 1 AS a");
    let desk = Desk::plain();
    let id = desk.ok(&["backup", "--dbname", &source.conninfo("postgres"), "--database", &ident(&db)]);
    let path = desk.path("x.sql").display().to_string();
    let said = desk.fails(1, &["export", id.trim(), "--format", "plain", "--create", "--output", &path]);
    let shown = said.replace(&marker.display().to_string(), "/tmp/x");
    example("A database name with a line break", 1, &shown);
    assert!(said.contains("line break") && !desk.path("x.sql").exists(), "{said}");
    let script = desk.run(&["export", id.trim(), "--format", "plain", "--output", "-"]).stdout;
    target.create_database("d");
    psql_into(&target, "d", &script);
    assert_eq!(target.psql_text("d", "SELECT a FROM t"), "1");
    assert!(!marker.exists());
}

#[test]
fn an_archive_that_claims_to_be_old_runs_nothing() {
    let (source, target) = (Cluster::start(), Cluster::start());
    source.create_database("d");
    source.sql("d", "CREATE VIEW v AS SELECT 1 AS a");
    let (_folder, marker) = marker();
    let desk = Desk::plain();
    let script = desk.path("old.sql");
    pgark_testkit::dumps::pg_dump(&source, "d", &script, &["--create"]);
    let honest = std::fs::read_to_string(&script).unwrap();
    let version = honest.lines().find(|line| line.starts_with("-- Dumped by pg_dump version ")).unwrap();
    // A statement that psql would not send but obey, and a version whose pg_dump knew no \restrict.
    let forged = honest
        .replace(version, "-- Dumped by pg_dump version 14.1")
        .replace("SELECT 1 AS a;", &format!("SELECT 1 AS a \\! touch {}\n;", marker.display()));
    assert_ne!(forged.matches("touch").count(), 0);
    std::fs::write(&script, forged).unwrap();
    let id = desk.ok(&["import", &script.display().to_string()]);
    let run = |options: &[&str]| {
        let arguments = [&["export", id.trim(), "--format", "plain", "--output", "-"], options].concat();
        let file = desk.path("out.sql");
        std::fs::write(&file, desk.run(&arguments).stdout).unwrap();
        let mut psql = target.client("psql");
        psql.args(["-X", "-q", "-d", &target.conninfo("postgres"), "-f"]).arg(&file);
        text(&psql.output().unwrap().stderr)
    };
    let said = run(&[]);
    assert!(said.contains("restricted"), "{said}");
    assert!(!marker.exists(), "{said}");
    // The judge is no fool: without \restrict it runs.
    run(&["--no-restrict"]);
    assert!(marker.exists());
}

#[test]
fn globals_for_psql_are_restricted_too() {
    let (source, target) = (Cluster::start(), Cluster::start());
    let (_folder, marker) = marker();
    let role = format!("r\n\\restrict x\n\\! touch {}", marker.display());
    source.sql(
        "postgres",
        &format!("CREATE ROLE {r}; ALTER ROLE {r} SET work_mem = '9MB'; CREATE DATABASE d", r = ident(&role)),
    );
    let desk = Desk::plain();
    let id = desk.backup(&source, "d");
    let folder = desk.path("d");
    desk.ok(&["export", &id, "--output", &folder.display().to_string()]);
    let written = std::fs::read_to_string(folder.join("globals.sql")).unwrap();
    assert!(
        written.starts_with("\\restrict ")
            && written.trim_end().lines().last().unwrap().starts_with("\\unrestrict ")
    );
    psql(&target, written.replace("CREATE ROLE postgres;", "").as_bytes());
    assert!(!marker.exists());
    let there = format!("SELECT rolconfig FROM pg_roles WHERE rolname = {}", literal(&role));
    assert_eq!(target.psql_text("postgres", &there), "{work_mem=9MB}");
}

/// Control characters that text for people may hold.
fn acting(output: &[u8]) -> Option<char> {
    text(output)
        .chars()
        .find(|sign| (sign.is_control() && !matches!(sign, '\n' | '\t')) || *sign == '\u{202e}')
}

#[test]
fn no_name_reaches_the_terminal() {
    let cluster = Cluster::start();
    let db = "d\u{1b}[31m\u{202e}";
    let evil = "t\u{1b}]0;x\u{7}\r2026-01-01T00:00:00.000000Z  INFO all is well\u{9b}2J";
    cluster.sql("postgres", &format!("CREATE DATABASE {}", ident(db)));
    cluster.sql(
        db,
        &format!("CREATE TABLE {t} (a int PRIMARY KEY); INSERT INTO {t} VALUES (1)", t = ident(evil)),
    );
    cluster.sql(db, "CREATE TABLE \"line\nINFO feed\" (a int); CREATE SCHEMA \"s\u{1b}c\"");
    let desk = Desk::plain();
    let backup = ["-v", "-v", "backup", "--dbname", &cluster.conninfo("postgres"), "--database", &ident(db)]
        .map(str::to_string);
    let backup: Vec<&str> = backup.iter().map(String::as_str).collect();
    let first = desk.ok(&backup);
    cluster.sql(db, &format!("ALTER TABLE {} ADD COLUMN \"b\u{1b}[0m\" text", ident(evil)));
    let second = desk.run(&backup);
    assert_eq!(acting(&second.stderr), None, "{}", text(&second.stderr));
    let (first, second) = (first.trim(), text(&second.stdout).trim().to_string());
    let target = cluster.conninfo("postgres");
    let bad_place = format!("{first}:/db/\u{1b}[31m");
    let (bad_table, bad_db) = ("\"x\u{1b}[31m\"", "no\u{1b}[31m");
    let folder = desk.path("out\u{1b}").display().to_string();
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(desk.path("out\u{1b}").join("file"), "").unwrap();
    for (args, code) in [
        (vec!["list"], 0),
        (vec!["show", first], 0),
        (vec!["ls", first], 0),
        (vec!["diff", first, &second], 0),
        (vec!["check", "--read-data"], 0),
        (vec!["stats"], 0),
        (vec!["forget", "--keep-last", "1", "--dry-run"], 0),
        (vec!["restore", first, "--list", "--database", db], 0),
        (vec!["restore", first, "--as", "new", "--create", "--dry-run", "--dbname", &target], 0),
        (vec!["-v", "-v", "restore", first, "--as", "new", "--create", "--dbname", &target], 0),
        // Errors: of names that were typed, and of those that are there.
        (vec!["restore", first, "--dbname", &target, "--as", db], 1),
        (
            vec![
                "restore",
                first,
                "--as",
                "new",
                "--dbname",
                &target,
                "--table",
                bad_table,
                "--strict-names",
            ],
            1,
        ),
        (vec!["cat", &bad_place], 1),
        (vec!["show", bad_db], 2),
        (vec!["export", first, "--database", bad_db, "--output", "x"], 1),
        (vec!["export", first, "--output", &folder], 1),
        (vec!["import", &folder], 1),
    ] {
        let output = desk.run(&args);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}: {err}");
        assert_eq!(acting(&output.stdout), None, "{args:?}: {out:?}");
        assert_eq!(acting(&output.stderr), None, "{args:?}: {err:?}");
        // No name begins a line.
        let forged = |line: &str| line.starts_with("2026-01-01") || line.starts_with("INFO feed");
        assert!(!out.lines().chain(err.lines()).any(forged), "{args:?}: {out}{err}");
        if args[0] == "show" && code == 0 {
            assert!(out.contains("t\\x1b]0;x\\x07\\r2026"), "{out}");
        }
    }
    // JSON holds the names as they are.
    let shown = desk.json(&["show", first, "--json"]);
    let names: Vec<&str> =
        shown["tables"].as_array().unwrap().iter().filter_map(|t| t["name"].as_str()).collect();
    assert!(names.contains(&evil) && names.contains(&"line\nINFO feed"), "{names:?}");
    assert_eq!(shown["contents"][0]["database"], db);
}
