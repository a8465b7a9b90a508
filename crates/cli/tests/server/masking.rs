//! `pgark mask` on real servers: what is found in a database is what its catalog says, and rows
//! that are previewed keep their joins and their types.

use std::collections::BTreeSet;
use std::process::Output;

use pgark_testkit::{Cluster, shop};
use serde_json::Value;

use super::support::{Desk, text};

const KEY: (&str, &str) = ("PGARK_MASK_KEY", "0123456789abcdef0123456789abcdef");

/// The rules of docs/masking.md, word by word.
pub fn rules_of_the_page() -> String {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/masking.md")).unwrap();
    let mut text = String::new();
    let mut inside = false;
    for line in page.lines() {
        match line.trim() {
            "```toml" => inside = true,
            "```" => inside = false,
            _ if inside => text.push_str(&format!("{}\n", line.trim_start())),
            _ => {}
        }
    }
    text
}

struct Masking {
    desk: Desk,
    rules: String,
    key: String,
}

impl Masking {
    fn with(rules: &str) -> Masking {
        let desk = Desk::plain();
        let path = desk.path("shop.toml");
        std::fs::write(&path, rules).unwrap();
        Masking { rules: path.display().to_string(), desk, key: KEY.1.to_string() }
    }

    fn run(&self, args: &[&str]) -> Output {
        self.desk.command(args).env(KEY.0, &self.key).output().unwrap()
    }

    /// What it says on standard error when it fails.
    fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        text(&output.stderr)
    }

    /// Runs `pgark mask COMMAND RULES …` and reads its JSON.
    fn json(&self, code: i32, command: &str, more: &[&str]) -> Value {
        let args = [&["mask", command, self.rules.as_str()][..], more, &["--json"]].concat();
        let output = self.run(&args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn codes(report: &Value) -> BTreeSet<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|one| one["code"].as_str().unwrap().to_string()).collect()
}

#[test]
fn the_tutorial_works_on_the_shop() {
    let cluster = Cluster::start();
    let db = "shop".to_string();
    shop::load(&cluster, &db, 2, 1);
    let masking = Masking::with(&rules_of_the_page());
    let dbname = cluster.conninfo(&db);
    let server = ["--dbname", dbname.as_str()];

    let report = masking.json(0, "check", &server);
    assert_eq!(report["summary"]["error"], 0, "{report}");
    assert_eq!(report["summary"]["undecided"], 0, "{report}");
    assert_eq!(report["key"].as_str().unwrap().len(), 8);
    // The domain's check and the generated column read what is masked, the trigger sees it.
    assert!(codes(&report).contains("M140"), "{report}");

    let preview = |table: &str, more: &[&str]| {
        masking.json(0, "preview", &[&server[..], &["--table", table, "--rows", "200"], more].concat())
    };
    let customers = preview("shop.customers", &[]);
    let rows = customers["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 200);
    let mut mails = BTreeSet::new();
    for row in rows {
        let of = |column: &str| &row["values"][column];
        for column in ["given_name", "family_name", "email", "birth_date", "street", "city"] {
            assert_ne!(of(column)["plain"], of(column)["masked"], "{column}: {row}");
        }
        for column in ["id", "marketing", "updated_at"] {
            assert_eq!(of(column)["plain"], of(column)["masked"], "{column}: {row}");
        }
        assert_eq!(of("notes")["masked"], Value::Null);
        mails.insert(of("email")["masked"].as_str().unwrap().to_string());
    }
    // It is unique there.
    assert_eq!(mails.len(), rows.len());

    // The server takes every fiction: the table with its checks and its unique index.
    let columns: Vec<&str> = customers["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    let literal = |value: &Value| {
        value.as_str().map_or("NULL".into(), |text| format!("'{}'", text.replace('\'', "''")))
    };
    let values = rows.iter().map(|row| {
        let values: Vec<String> =
            columns.iter().map(|column| literal(&row["values"][column]["masked"])).collect();
        format!("({})", values.join(", "))
    });
    let values: Vec<String> = values.collect();
    let sql = format!(
        "CREATE TABLE shop.copy (LIKE shop.customers INCLUDING ALL); INSERT INTO shop.copy ({}) VALUES {}; DROP TABLE shop.copy",
        columns.join(", "),
        values.join(", ")
    );
    cluster.sql(&db, &sql);

    // Partitions and their parent, by the parent's rules.
    for table in ["shop.orders", "shop.orders_2024"] {
        let orders = preview(table, &["--changed"]);
        let names: Vec<&str> = orders["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["id", "ordered_on", "ship_to", "remark"], "{table}");
    }
    let documents = preview("shop.documents", &["--where", "meta ? 'reader'"]);
    for row in documents["rows"].as_array().unwrap() {
        let meta = |side: &str| -> Value {
            serde_json::from_str(row["values"]["meta"][side].as_str().unwrap()).unwrap()
        };
        let (plain, masked) = (meta("plain"), meta("masked"));
        assert_ne!(plain["reader"]["name"], masked["reader"]["name"]);
        assert_eq!(plain["history"], masked["history"]);
        assert_eq!(plain["reader"]["score"], masked["reader"]["score"]);
    }
}

#[test]
fn two_runs_and_two_machines_give_one_fiction() {
    let cluster = Cluster::start();
    cluster.create_database("mask_same");
    cluster.sql("mask_same", "CREATE TABLE t (id int PRIMARY KEY, mail text UNIQUE, born timestamptz)");
    cluster.sql("mask_same", "INSERT INTO t VALUES (1, 'a@b.example', '2000-01-01 00:00:00+02')");
    let rules = "version = 1\nkey = { env = \"PGARK_MASK_KEY\" }\n[table.\"public.t\"]\nsubject = \"id\"\ncolumns.id = \"int\"\n\
                 columns.mail = \"email\"\ncolumns.born = { use = \"shift\", by = \"60 days\" }\n";
    let rows = |settings: &str| {
        cluster.sql("mask_same", &format!("ALTER DATABASE mask_same {settings}"));
        let masking = Masking::with(rules);
        let dbname = cluster.conninfo("mask_same");
        masking.json(0, "preview", &["--dbname", &dbname, "--table", "t"])["rows"].clone()
    };
    let first = rows("SET TimeZone = 'Asia/Tokyo'");
    assert_eq!(first, rows("SET TimeZone = 'America/New_York'"));
    assert_eq!(first, rows("SET DateStyle = 'German, DMY'"));
    let mut masking = Masking::with(rules);
    let dbname = cluster.conninfo("mask_same");
    let mail = masking.json(0, "value", &["public.t.mail", "a@b.example", "--dbname", &dbname]);
    assert_eq!(mail["masked"], first[0]["values"]["mail"]["masked"]);
    let id = first[0]["values"]["id"]["masked"].as_str().unwrap();
    let back = masking.json(0, "value", &["public.t.id", id, "--dbname", &dbname, "--reverse"]);
    assert_eq!(back["plain"], "1");
    // Another key, other fictions.
    masking.key = "another key of at least 16 bytes".into();
    let other = masking.json(0, "value", &["public.t.mail", "a@b.example", "--dbname", &dbname]);
    assert_ne!(other["masked"], mail["masked"]);
}

#[test]
fn rules_are_checked_against_a_backup_as_against_the_server() {
    let cluster = Cluster::start();
    cluster.create_database("mask_backup");
    cluster.sql(
        "mask_backup",
        "CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%'); CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE a (id int PRIMARY KEY, m mail UNIQUE, mood mood, d int GENERATED ALWAYS AS (id * 2) STORED);
         CREATE TABLE b (a int REFERENCES a, m text REFERENCES a (m), x int DEFAULT 7);",
    );
    let masking = Masking::with(
        "version = 1\nkey = { env = \"PGARK_MASK_KEY\" }\n[table.\"public.a\"]\ncolumns.id = \"int\"\ncolumns.m = \"person.first\"\n",
    );
    let dbname = cluster.conninfo("mask_backup");
    masking.desk.ok(&["backup", "--dbname", &dbname]);
    let live = masking.json(1, "check", &["--dbname", &dbname]);
    let stored = masking.json(1, "check", &["latest:mask_backup"]);
    assert_eq!(live["findings"], stored["findings"]);
    assert_eq!(live["columns"], stored["columns"]);
    // `m` is unique; no rule speaks of `mood` and `x`; `b.a` and `b.m` follow their keys.
    let on = |code: &str| -> Vec<String> {
        let findings = live["findings"].as_array().unwrap().iter().filter(|one| one["code"] == code);
        findings
            .map(|one| format!("{}.{}", one["table"].as_str().unwrap(), one["column"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(on("M120"), ["public.a.m"]);
    assert_eq!(on("M150"), ["public.a.mood", "public.b.x"]);
    assert_eq!(on("M142"), Vec::<String>::new());
    let rule = |table: &str, column: &str| {
        let columns = live["columns"][table].as_array().unwrap();
        columns.iter().find(|one| one["column"] == column).unwrap()["rule"].clone()
    };
    assert_eq!((rule("public.b", "a"), rule("public.b", "m")), ("int".into(), "person.first".into()));
    assert_eq!(rule("public.a", "d"), "generated");
}

#[test]
fn a_lock_tells_what_the_schema_got_since() {
    let cluster = Cluster::start();
    cluster.create_database("mask_lock");
    cluster.sql("mask_lock", "CREATE TABLE t (a text, b int)");
    let masking = Masking::with(
        "version = 1\nkey = { env = \"PGARK_MASK_KEY\" }\n[table.\"public.t\"]\nkeep = \"*\"\ncolumns.a = \"permute\"\n",
    );
    let dbname = cluster.conninfo("mask_lock");
    let missing = masking.fails(&["mask", "check", &masking.rules, "--dbname", &dbname, "--locked"]);
    assert!(missing.contains("--locked needs a lock") && missing.contains("pgark mask lock"), "{missing}");
    let locked = masking.run(&["mask", "lock", &masking.rules, "--dbname", &dbname]);
    assert!(locked.status.success(), "{locked:?}");
    assert_eq!(codes(&masking.json(0, "check", &["--dbname", &dbname, "--locked"])), BTreeSet::new());
    cluster.sql("mask_lock", "ALTER TABLE t ADD c text, ALTER b TYPE bigint; CREATE TABLE u ()");
    let drifted = masking.json(0, "check", &["--dbname", &dbname]);
    let messages: Vec<&str> =
        drifted["findings"].as_array().unwrap().iter().map(|one| one["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["its type was integer and is bigint", "the column is new"]);
    assert_eq!(codes(&drifted), BTreeSet::from(["M180".to_string()]));
    masking.json(3, "check", &["--dbname", &dbname, "--strict"]);
    masking.json(1, "check", &["--dbname", &dbname, "--locked"]);
}

#[test]
fn tests_of_a_rules_file_need_no_server() {
    let rules = "version = 1\nkey = { env = \"PGARK_MASK_KEY\" }\n[table.\"public.t\"]\nkeep = [\"id\"]\n\
                 columns.name = { use = \"fixed\", value = \"x\" }\n\
                 columns.mail = \"email\"\n\
                 [[test]]\ntable = \"public.t\"\nrow = { id = 7, name = \"Anna\", mail = \"a@b.example\" }\n";
    let passing =
        Masking::with(&format!("{rules}expect = {{ id = 7, name = \"x\", mail = \"~ @example\\\\.\" }}\n"));
    let report = passing.json(0, "test", &[]);
    assert_eq!(report["tests"][0]["failures"], serde_json::json!([]), "{report}");
    let failing = Masking::with(&format!("{rules}expect = {{ name = \"y\", nobody = \"z\" }}\n"));
    let report = failing.json(1, "test", &[]);
    assert_eq!(report["tests"][0]["failures"].as_array().unwrap().len(), 2, "{report}");
}

#[test]
fn what_is_wrong_with_a_rules_file_is_said_with_its_place() {
    let cluster = Cluster::start();
    cluster.create_database("mask_wrong");
    cluster.sql("mask_wrong", "CREATE TABLE t (a text)");
    let dbname = cluster.conninfo("mask_wrong");
    let said = |rules: &str| {
        let masking = Masking::with(rules);
        let output = masking.run(&["mask", "check", &masking.rules, "--dbname", &dbname]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stdout).unwrap().replace(&masking.rules, "shop.toml")
    };
    let head = "version = 1\nkey = { env = \"PGARK_MASK_KEY\" }\n";
    let wrong = said(&format!("{head}[table.\"public.t\"]\ncolumns.a = \"emial\"\n"));
    assert!(
        wrong.contains("shop.toml:4:13: error M003 public.t.a")
            || wrong.contains("shop.toml:4:13: error M003: public.t.a"),
        "{wrong}"
    );
    let wrong = said("version = 1\nkey = { env = \"NOBODY_SETS_THIS\" }\n[policy]\ncolumns = \"keep\"\n");
    assert!(wrong.contains("M009") && wrong.contains("NOBODY_SETS_THIS"), "{wrong}");
    let wrong = said("version = 1\nkey = \"ephemeral\"\n[table.\"public.tt\"]\ncolumns.a = \"null\"\n");
    assert!(wrong.contains("shop.toml:3:8: error M101") && wrong.contains("M150"), "{wrong}");
    // A server's error of a preview never is a page of rows.
    let masking = Masking::with(&format!("{head}[table.\"public.t\"]\ncolumns.a = \"permute\"\n"));
    let failed = masking.fails(&[
        "mask",
        "preview",
        &masking.rules,
        "--dbname",
        &dbname,
        "--table",
        "t",
        "--where",
        "nobody > 1",
    ]);
    assert!(failed.contains("nobody"), "{failed}");
}

#[test]
fn transformers_are_listed_and_shown() {
    let desk = Desk::plain();
    let list = desk.ok(&["mask", "list"]);
    assert!(list.contains("person.first") && list.contains("bijection"), "{list}");
    let shown = desk.ok(&["mask", "show", "RandomEmail"]);
    assert!(shown.starts_with("email: ") && shown.contains("keep_original_domain"), "{shown}");
    let unknown = desk.fails(1, &["mask", "show", "emial"]);
    assert!(unknown.contains("email"), "{unknown}");
}

#[test]
fn the_program_that_prints_the_key_gets_no_secrets_of_ours() {
    let desk = Desk::plain();
    let (seen, rules) = (desk.path("seen"), desk.path("rules.toml"));
    let shell = format!("env > {}; echo 0123456789abcdef", seen.display());
    let text = format!("version = 1\nkey = {{ command = [\"sh\", \"-c\", \"{shell}\"] }}\n");
    std::fs::write(&rules, text).unwrap();
    let mut command = desk.command(&["mask", "test", rules.to_str().unwrap()]);
    let output = command.env("PGARK_PASSPHRASE", "x").env("AWS_SECRET_ACCESS_KEY", "y").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("PATH=") && !seen.contains("PGARK_") && !seen.contains("AWS_"), "{seen}");
}

/// Row-level security of a role, and the label of an extension that masks.
#[test]
fn a_session_that_sees_masked_rows_is_told() {
    let cluster = Cluster::start();
    cluster.create_database("mask_session");
    cluster.sql(
        "mask_session",
        "CREATE TABLE t (a text); ALTER TABLE t ENABLE ROW LEVEL SECURITY; \
         CREATE ROLE mask_session_reader LOGIN; GRANT SELECT ON t TO mask_session_reader;",
    );
    let masking = Masking::with(
        "version = 1\nkey = { env = \"PGARK_MASK_KEY\" }\n[table.\"public.t\"]\ncolumns.a = \"permute\"\n",
    );
    let as_owner = masking.json(0, "check", &["--dbname", &cluster.conninfo("mask_session")]);
    assert!(!codes(&as_owner).contains("M190"), "{as_owner}");
    let reader = cluster.conninfo_as("mask_session", "mask_session_reader", None);
    let as_reader = masking.json(0, "check", &["--dbname", &reader]);
    assert!(codes(&as_reader).contains("M190"), "{as_reader}");
    // A label is a row of the catalog, which only the extension's library puts there in SQL.
    cluster.sql(
        "mask_session",
        "SET allow_system_table_mods = on; INSERT INTO pg_shseclabel SELECT oid, 'pg_authid'::regclass, 'anon', 'MASKED' \
         FROM pg_roles WHERE rolname = current_user",
    );
    let labelled = masking.json(0, "check", &["--dbname", &cluster.conninfo("mask_session")]);
    let finding = labelled["findings"].as_array().unwrap().iter().find(|one| one["code"] == "M190");
    assert!(finding.unwrap()["message"].as_str().unwrap().starts_with("anon masks rows"), "{labelled}");
    masking.json(3, "check", &["--dbname", &cluster.conninfo("mask_session"), "--strict"]);
}
