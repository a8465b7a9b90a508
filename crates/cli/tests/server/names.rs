//! Names in every encoding that a server has, as people write and read them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use pgark_testkit::Cluster;

use super::support::{Desk, text};

fn create(cluster: &Cluster, db: &str, encoding: &str, sql: &str) {
    cluster.sql(
        "postgres",
        &format!("CREATE DATABASE {db} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"),
    );
    cluster.sql(db, &format!("SET client_encoding = 'UTF8'; {sql}"));
}

fn utf8(cluster: &Cluster, db: &str, query: &str) -> String {
    let mut psql = cluster.client("psql");
    psql.env("PGCLIENTENCODING", "UTF8").args(["-XAtq", "-d", &cluster.conninfo(db), "-c", query]);
    let output = psql.output();
    text(&output.unwrap().stdout).trim().to_string()
}

#[test]
fn tables_are_found_by_their_names_in_every_encoding() {
    let cluster = Cluster::start();
    let desk = Desk::plain();
    desk.expects(&["which the filters exclude"]);
    for (encoding, schema, table, other) in [
        ("EUC_JP", "売上", "日本", "大阪"),
        ("EUC_TW", "中文", "表格", "臺灣"),
        ("EUC_JIS_2004", "売上", "日本", "大阪"),
        ("KOI8R", "Схема", "таблица", "другая"),
        ("WIN1251", "Схема", "Таблица", "другая"),
        ("LATIN1", "schéma", "täble ÿ", "autre"),
    ] {
        let db = encoding.to_lowercase();
        create(
            &cluster,
            &db,
            encoding,
            &format!(
                "CREATE SCHEMA \"{schema}\"; CREATE TABLE \"{schema}\".\"{table}\" (id int PRIMARY KEY) PARTITION BY RANGE (id);
                 CREATE TABLE \"{schema}\".\"{table}_1\" PARTITION OF \"{schema}\".\"{table}\" DEFAULT;
                 INSERT INTO \"{schema}\".\"{table}\" VALUES (1), (2);
                 CREATE TABLE \"{schema}\".\"{other}\" (id int REFERENCES \"{schema}\".\"{table}\");
                 INSERT INTO \"{schema}\".\"{other}\" VALUES (1)"
            ),
        );
        let info = cluster.conninfo(&db);
        let quoted = format!("\"{schema}\".\"{table}\"");
        let rows = |id: &str| {
            let shown = desk.json(&["show", id, "--json"]);
            let tables = shown["tables"].as_array().unwrap().clone();
            tables
                .iter()
                .map(|t| {
                    format!("{}.{} {}", t["schema"].as_str().unwrap(), t["name"].as_str().unwrap(), t["rows"])
                })
                .collect::<Vec<_>>()
        };
        let part =
            desk.ok(&["backup", "--dbname", &info, "--table", &quoted, "--strict-names"]).trim().to_string();
        assert_eq!(rows(&part), [format!("{schema}.{table}_1 2")], "{encoding}");
        // One that the encoding has no letters for, and one that is not there.
        for missing in ["Ελλάδα", "nothing"] {
            let said = desk.fails(1, &["backup", "--dbname", &info, "--table", missing, "--strict-names"]);
            assert!(said.contains(missing), "{encoding}: {said}");
        }
        let excluded =
            ["backup", "--dbname", &info, "--exclude-table", "\"Ελλάδα\"", "-n", &format!("{schema}*")];
        assert_eq!(rows(desk.ok(&[&excluded[..], &["-T", &quoted]].concat()).trim()).len(), 1, "{encoding}");

        let id = desk.backup(&cluster, &db);
        // Names typed as they are, or encoded as `ls` shows them.
        let path = format!("{id}:/db/{db}/data/{schema}.{table}_1");
        assert_eq!(desk.ok(&["cat", &path]), "1\n2\n", "{encoding}");
        assert_eq!(desk.ok(&["ls", &path]).matches("/data/").count(), 1, "{encoding}");
        let manifest: serde_json::Value =
            serde_json::from_str(&desk.ok(&["cat", &format!("{id}:/manifest.json")])).unwrap();
        let described = manifest["databases"].as_array().unwrap().iter().find(|d| d["name"] == *db).unwrap();
        assert!(described["relations"].to_string().contains(&format!("\"name\":\"{table}\"")), "{encoding}");
        assert!(
            desk.ok(&["restore", &id, "--list"]).contains(&format!("TABLE {schema} {table} ")),
            "{encoding}"
        );

        let back = format!("{db}_back");
        let target = cluster.conninfo(&back);
        let restore = ["restore", &id, "--dbname", &target, "--table", &quoted, "--strict-names"];
        desk.ok(&[&restore[..], &["--create"]].concat());
        assert_eq!(utf8(&cluster, &back, &format!("SELECT count(*) FROM {quoted}")), "2", "{encoding}");
        // What is there is seen to be there.
        let said = desk.fails(1, &restore);
        assert!(said.contains(&format!("has {schema}.{table}")) && said.contains("already"), "{said}");
        desk.ok(&["restore", &id, "--dbname", &target, "--table", &format!("\"{schema}\".\"{other}\"")]);
        let keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0";
        assert_eq!(utf8(&cluster, &back, keys), "1", "{encoding}: its parent is in the target");
        let said =
            desk.fails(1, &["restore", &id, "--dbname", &target, "-t", "\"Ελλάδα\"", "--strict-names"]);
        assert!(said.contains("Ελλάδα"), "{said}");
    }
}

#[test]
fn names_that_are_no_text_are_told_apart() {
    let cluster = Cluster::start();
    cluster.sql(
        "postgres",
        "CREATE DATABASE raw ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    );
    cluster.sql_with(
        "raw",
        b"\\encoding SQL_ASCII\nCREATE TABLE \"latin \xe9\" AS SELECT 1 AS a; CREATE TABLE \"latin \xe8\" AS SELECT 2 AS a;
          CREATE TABLE \"caf\xc3\xa9\" AS SELECT 3 AS a;",
        &[],
    );
    let desk = Desk::plain();
    let info = cluster.conninfo("raw");
    let id = desk.backup(&cluster, "raw");
    let shown = desk.json(&["show", &id, "--json"]);
    let mut names: Vec<&str> =
        shown["tables"].as_array().unwrap().iter().map(|table| table["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["café", "latin \\xE8", "latin \\xE9"]);
    let manifest = desk.ok(&["cat", &format!("{id}:/manifest.json")]);
    assert!(manifest.contains("\"latin \\\\xE9\"") && manifest.contains("\"latin \\\\xE8\""));
    serde_json::from_str::<serde_json::Value>(&manifest).unwrap();
    // As it is shown, outside of double quotes, it is a pattern of this table alone.
    let part = desk
        .ok(&["backup", "--dbname", &info, "--table", "latin \\xE9", "--strict-names"])
        .trim()
        .to_string();
    assert_eq!(desk.ok(&["cat", &format!("{part}:/db/raw/data/public.latin%20%E9")]), "1\n");
    assert_eq!(desk.json(&["show", &part, "--json"])["tables"].as_array().unwrap().len(), 1);
    let target = cluster.conninfo("raw_back");
    desk.ok(&["restore", &id, "--dbname", &target, "--create", "--table", "latin \\xE8", "--strict-names"]);
    assert_eq!(
        cluster.psql_text(
            "raw_back",
            "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ),
        "1"
    );
    let said = desk.fails(1, &["restore", &id, "--dbname", &target, "--table", "latin \\xE8"]);
    assert!(said.contains("already has public.latin \\xE8"), "{said}");
    desk.ok(&["restore", &id, "--dbname", &target, "--table", "café"]);
}

#[test]
fn names_from_terminals_that_are_not_utf_8() {
    let cluster = Cluster::start();
    create(
        &cluster,
        "euc",
        "EUC_JP",
        "CREATE TABLE \"日本\" AS SELECT 1 AS a; CREATE TABLE \"大阪\" AS SELECT 2 AS a",
    );
    let desk = Desk::plain();
    let info = cluster.conninfo("euc");
    let run = |locale: &str, args: &[&str], name: &[u8]| {
        let mut command = desk.command(args);
        command.env("LC_ALL", locale).arg(OsStr::from_bytes(name)).output().unwrap()
    };
    let back_up = ["backup", "--dbname", &info, "--strict-names", "--table"];
    for (locale, name) in
        [("C", "日本".as_bytes()), ("ja_JP.eucJP", b"\xc6\xfc\xcb\xdc"), ("de_DE.utf8", "日本".as_bytes())]
    {
        let output = run(locale, &back_up, name);
        assert!(output.status.success(), "{locale}: {}", text(&output.stderr));
        let id = text(&output.stdout).trim().to_string();
        assert_eq!(desk.ok(&["cat", &format!("{id}:/db/euc/data/public.日本")]), "1\n", "{locale}");
        assert_eq!(desk.ok(&["ls", &id]).matches("/data/").count(), 1, "{locale}");
    }
    let id = desk.backup(&cluster, "euc");
    let target = cluster.conninfo("back");
    let output = run(
        "ja_JP.eucJP",
        &["restore", &id, "--dbname", &target, "--create", "--table"],
        b"\xc6\xfc\xcb\xdc",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(utf8(&cluster, "back", "SELECT count(*) FROM \"日本\""), "1");
    let output = run(
        "ja_JP.eucJP",
        &["cat"],
        &[format!("{id}:/db/euc/data/public.").as_bytes(), b"\xc6\xfc\xcb\xdc"].concat(),
    );
    assert_eq!(text(&output.stdout), "1\n", "{}", text(&output.stderr));
    // Bytes that mean nothing are refused, with what to do.
    let output = run("C", &back_up, b"\xc6\xfc");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("not UTF-8"), "{}", text(&output.stderr));
}
