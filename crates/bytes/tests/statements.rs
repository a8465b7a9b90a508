//! What we would execute is, statement by statement, what the real `pg_restore` writes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;

use common::Cluster;
use pgark_bytes::archive::order::{Selection, serial_order};
use pgark_bytes::archive::statements::{
    Options, SessionState, drop_statements, rename_database, required_roles, session_setup, statements,
};
use pgark_bytes::archive::{Archive, read_toc};
use pgark_bytes::sql;

/// Tokens with one space between them; comments and white space do not count.
fn normal(statement: &[u8]) -> String {
    let words: Vec<&[u8]> = sql::tokenize(statement).filter(|t| !t.is_blank()).map(|t| t.text).collect();
    String::from_utf8(words.join(&b' ')).unwrap()
}

/// The statements of a script, without rows, large objects' contents and psql's commands.
fn script(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let mut kept = String::new();
    let mut rows = false;
    for line in text.split_inclusive('\n') {
        if rows {
            rows = line != "\\.\n";
            continue;
        }
        let command =
            ["\\connect", "\\encoding", "\\restrict", "\\unrestrict"].iter().any(|c| line.starts_with(c));
        if !command {
            kept.push_str(line);
        }
        rows = line.ends_with(" FROM stdin;\n");
    }
    let large = |s: &String| {
        let contents =
            ["lo_open", "lowrite", "lo_close"].iter().any(|f| s.contains(&format!("pg_catalog . {f}")));
        contents || s == "BEGIN ;" || s == "COMMIT ;"
    };
    sql::split(kept.as_bytes()).into_iter().map(normal).filter(|s| !large(s)).collect()
}

fn ours(archive: &Archive, options: &Options, clean: bool) -> Vec<String> {
    let selection = Selection::of(archive, options);
    let setup = || session_setup(archive, 15).iter().map(|s| normal(s)).collect::<Vec<_>>();
    let mut out = setup();
    let push = |out: &mut Vec<String>, sql: &[u8]| out.extend(sql::split(sql).into_iter().map(normal));
    if clean {
        for (_, s) in drop_statements(archive, &selection, options) {
            push(&mut out, &s.sql);
        }
    }
    let mut state = SessionState::default();
    for index in serial_order(archive, &selection) {
        let entry = &archive.entries[index];
        for s in statements(archive, entry, options, &mut state) {
            push(&mut out, &s.sql);
        }
        if entry.had_dumper {
            push(&mut out, entry.copy_stmt.as_deref().unwrap_or_default());
        }
        if entry.kind().starts_with("DATABASE") {
            out.extend(setup());
            state = SessionState::default();
        }
    }
    out
}

fn compare(expected: &[String], found: &[String], what: &str) {
    for (n, (e, f)) in expected.iter().zip(found).enumerate() {
        assert_eq!(e, f, "{what}: statement {n}");
    }
    assert_eq!(expected.len(), found.len(), "{what}");
}

const NONE: Options = Options {
    create_database: false,
    no_owner: false,
    no_privileges: false,
    no_tablespaces: false,
    no_table_access_method: false,
};

fn rich() -> (Cluster, Archive, String) {
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE DATABASE \"Rich; db\"");
    cluster.sql("Rich; db", include_str!("rich.sql"));
    let file = cluster.path().join("dump").to_str().unwrap().to_owned();
    cluster.output("pg_dump", &["-Fc", "-Z0", "-d", "Rich; db", "-f", &file]);
    let archive = read_toc(&mut &std::fs::read(&file).unwrap()[..]).unwrap();
    (cluster, archive, file)
}

#[test]
fn the_same_statements_as_pg_restore() {
    let (cluster, archive, file) = rich();
    type Case = (&'static [&'static str], Options, bool);
    let cases: &[Case] = &[
        (&[], NONE, false),
        (&["--no-owner"], Options { no_owner: true, ..NONE }, false),
        (&["--no-acl"], Options { no_privileges: true, ..NONE }, false),
        (&["--no-tablespaces"], Options { no_tablespaces: true, ..NONE }, false),
        (&["--no-table-access-method"], Options { no_table_access_method: true, ..NONE }, false),
        (&["--create"], Options { create_database: true, ..NONE }, false),
        (&["--clean", "--if-exists"], NONE, true),
        (&["--clean", "--if-exists", "--create"], Options { create_database: true, ..NONE }, true),
        (
            &["--clean", "--if-exists", "--no-owner", "--no-acl"],
            Options { no_owner: true, no_privileges: true, ..NONE },
            true,
        ),
    ];
    for (args, options, clean) in cases {
        // Not every pg_restore 15 has --no-table-access-method.
        if args.contains(&"--no-table-access-method") {
            let help = String::from_utf8(cluster.output("pg_restore", &["--help"])).unwrap();
            if !help.contains("--no-table-access-method") {
                continue;
            }
        }
        let mut all = vec!["-f", "-"];
        all.extend(*args);
        all.push(&file);
        let expected = script(&cluster.output("pg_restore", &all));
        assert!(expected.len() > 150, "{}", expected.len());
        compare(&expected, &ours(&archive, options, *clean), &format!("{args:?}"));
    }
}

#[test]
fn kinds_of_the_rich_schema() {
    let (_cluster, archive, _) = rich();
    let kinds: BTreeSet<&str> = archive.entries.iter().map(|e| e.kind()).collect();
    for kind in [
        "ACCESS METHOD",
        "ACL",
        "AGGREGATE",
        "BLOB",
        "BLOBS",
        "CAST",
        "CHECK CONSTRAINT",
        "COLLATION",
        "COMMENT",
        "CONSTRAINT",
        "CONVERSION",
        "DATABASE",
        "DATABASE PROPERTIES",
        "DEFAULT",
        "DEFAULT ACL",
        "DOMAIN",
        "EVENT TRIGGER",
        "EXTENSION",
        "FK CONSTRAINT",
        "FOREIGN DATA WRAPPER",
        "FOREIGN TABLE",
        "FUNCTION",
        "INDEX",
        "INDEX ATTACH",
        "MATERIALIZED VIEW",
        "MATERIALIZED VIEW DATA",
        "OPERATOR",
        "OPERATOR CLASS",
        "OPERATOR FAMILY",
        "POLICY",
        "PROCEDURAL LANGUAGE",
        "PROCEDURE",
        "PUBLICATION",
        "PUBLICATION TABLE",
        "PUBLICATION TABLES IN SCHEMA",
        "ROW SECURITY",
        "RULE",
        "SCHEMA",
        "SEQUENCE",
        "SEQUENCE OWNED BY",
        "SEQUENCE SET",
        "SERVER",
        "SHELL TYPE",
        "STATISTICS",
        "SUBSCRIPTION",
        "TABLE",
        "TABLE ATTACH",
        "TABLE DATA",
        "TEXT SEARCH CONFIGURATION",
        "TEXT SEARCH DICTIONARY",
        "TEXT SEARCH PARSER",
        "TEXT SEARCH TEMPLATE",
        "TRANSFORM",
        "TRIGGER",
        "TYPE",
        "USER MAPPING",
        "VIEW",
    ] {
        assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
    }
}

#[test]
fn roles() {
    let (cluster, archive, file) = rich();
    let all = Options { create_database: true, ..NONE };
    let names = |options: &Options| -> Vec<String> {
        let selection = Selection::of(&archive, options);
        let roles = required_roles(&archive, &selection, options);
        roles.into_iter().map(|r| String::from_utf8(r).unwrap()).collect()
    };
    assert_eq!(
        names(&all),
        [
            "Bob \"the\" builder",
            "alice",
            "carol",
            "dave",
            "erin",
            "frank",
            "gus",
            "mapped",
            "pol role",
            "postgres",
            "select",
            "Ünï"
        ]
    );
    let none = Options { no_owner: true, no_privileges: true, ..NONE };
    assert_eq!(names(&none), ["erin", "mapped", "pol role"]);

    // With exactly these roles a second cluster takes the whole dump.
    let target = Cluster::start();
    let mut create = String::new();
    for role in names(&all).iter().filter(|r| *r != "postgres") {
        create += &format!("CREATE ROLE {};\n", sql::quote_ident(role));
    }
    create += "SET allow_in_place_tablespaces = true; CREATE TABLESPACE \"Fast ts\" LOCATION '';";
    target.sql("postgres", &create);
    target.output("pg_restore", &["--create", "--exit-on-error", "-d", "postgres", &file]);
    drop(cluster);
}

#[test]
fn renamed_database() {
    let (cluster, archive, _) = rich();
    let options = Options { create_database: true, ..NONE };
    let selection = Selection::of(&archive, &options);
    let mut text = Vec::new();
    for e in archive.entries.iter().filter(|e| selection.contains(e.dump_id) && e.is_about_database()) {
        let renamed = rename_database(e.defn_bytes(), b"Rich; db", b"copy of \"it\"");
        text.extend(renamed);
    }
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("\"Rich; db\""), "{text}");
    assert!(text.contains("about DATABASE rich; it''s"), "{text}");
    for statement in sql::split(text.as_bytes()) {
        cluster.sql("postgres", std::str::from_utf8(statement).unwrap());
    }
    let copy = cluster.sql(
        "postgres",
        "SELECT datname, datconnlimit, shobj_description(oid, 'pg_database'), datacl::text LIKE '%dave=c*%' \
         FROM pg_database WHERE datname LIKE 'copy%'",
    );
    assert_eq!(copy, "copy of \"it\"|77|about DATABASE rich; it's|t\n");
}

#[test]
fn renaming_is_exact() {
    let rename =
        |text: &str| String::from_utf8(rename_database(text.as_bytes(), b"database", b"New")).unwrap();
    assert_eq!(
        rename("ALTER DATABASE database OWNER TO database;"),
        "ALTER DATABASE \"New\" OWNER TO database;"
    );
    assert_eq!(rename("DROP DATABASE IF EXISTS database;"), "DROP DATABASE IF EXISTS \"New\";");
    assert_eq!(
        rename("GRANT ALL ON DATABASE database TO database, other; -- DATABASE database"),
        "GRANT ALL ON DATABASE \"New\" TO database, other; -- DATABASE database"
    );
    assert_eq!(
        rename("COMMENT ON DATABASE /* x */ \"database\" IS 'ON DATABASE database';"),
        "COMMENT ON DATABASE /* x */ \"New\" IS 'ON DATABASE database';"
    );
    assert_eq!(
        rename("ALTER ROLE a IN DATABASE database SET x TO 'database';"),
        "ALTER ROLE a IN DATABASE \"New\" SET x TO 'database';"
    );
    assert_eq!(
        rename("UPDATE pg_database SET a = 'database' WHERE datname = 'database';"),
        "UPDATE pg_database SET a = 'database' WHERE datname = 'New';"
    );
    assert_eq!(rename("ALTER DATABASE other SET a = b;"), "ALTER DATABASE other SET a = b;");
}

#[test]
fn old_servers_are_not_told_of_locale_providers() {
    use pgark_bytes::archive::statements::for_server;
    let sql = b"CREATE DATABASE \"LOCALE_PROVIDER = libc\" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C';";
    let old = b"CREATE DATABASE \"LOCALE_PROVIDER = libc\" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'C';";
    assert_eq!(for_server(sql, 14), old);
    assert_eq!(for_server(sql, 15), sql);
    assert_eq!(for_server(old, 13), old);
}
