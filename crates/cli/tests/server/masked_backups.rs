//! `pgark backup --mask`: what a masked backup holds, what it never holds, and that it comes back.

use std::collections::BTreeMap;
use std::path::Path;

use pgark_testkit::oracle::Snapshot;
use pgark_testkit::{Cluster, in_full, require, shop, zoo};
use serde_json::Value;

use super::masking::rules_of_the_page;
use super::support::{Desk, files, stock, text};

const HEAD: &str = "version = 1\nkey = { file = \"key\" }\n";

/// Writes a rules file, and the key that it names, next to each other.
fn rules(desk: &Desk, name: &str, text: &str) -> String {
    std::fs::write(desk.path("key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let path = desk.path(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// The shop's rules with a key in a file.
fn shop_rules(desk: &Desk) -> String {
    let page = rules_of_the_page();
    let own = page.replace("key = { env = \"PGARK_MASK_KEY\" }", "key = { file = \"key\" }");
    assert_ne!(page, own);
    rules(desk, "shop.toml", &own)
}

fn backup(desk: &Desk, cluster: &Cluster, db: &str, rules: &str, more: &[&str]) -> Value {
    let dbname = cluster.conninfo(db);
    desk.json(&[&["backup", "--dbname", &dbname, "--mask", rules, "--json"], more].concat())
}

/// How many rows each foreign key of a database joins.
fn joins(cluster: &Cluster, db: &str) -> BTreeMap<String, String> {
    let keys = cluster.psql_text(
        db,
        "SELECT format('SELECT %L || '' '' || count(*) FROM %s c JOIN %s p ON %s', conrelid::regclass || ' ' || conname, \
         conrelid::regclass, confrelid::regclass, \
         (SELECT string_agg(format('c.%I = p.%I', a.attname, b.attname), ' AND ' ORDER BY k.at) \
          FROM unnest(conkey, confkey) WITH ORDINALITY k(own, other, at) \
          JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = k.own \
          JOIN pg_attribute b ON b.attrelid = confrelid AND b.attnum = k.other)) \
         FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 ORDER BY 1",
    );
    let mut found = BTreeMap::new();
    for query in keys.lines() {
        let line = cluster.psql_text(db, query);
        let (name, count) = line.trim().rsplit_once(' ').unwrap();
        found.insert(name.to_string(), count.to_string());
    }
    found
}

#[test]
fn a_masked_shop_comes_back_with_its_joins() {
    let cluster = Cluster::start();
    shop::load(&cluster, "shop", 2, 1);
    let desk = Desk::plain();
    desk.expects(&["warnings that nobody accepted"]);
    let rules = shop_rules(&desk);
    let made = backup(&desk, &cluster, "shop", &rules, &[]);
    assert_eq!((&made["kind"], &made["status"]), (&"masked logical".into(), &"complete".into()));
    assert_eq!(made["masked"]["rules"], "shop.toml");
    let id = made["id"].as_str().unwrap();
    desk.ok(&["restore", id, "--dbname", &cluster.conninfo("masked"), "--create"]);

    let (plain, masked) = (Snapshot::take(&cluster, "shop"), Snapshot::take(&cluster, "masked"));
    assert_eq!(plain.schema, masked.schema);
    assert_eq!(plain.sequences, masked.sequences);
    for (name, rows) in &plain.tables {
        assert_eq!(rows.rows, masked.tables[name].rows, "{name}");
    }
    // They are there, with their owners, and nothing is in them.
    let emptied: Vec<u64> = masked.large_objects.values().map(|object| object.size).collect();
    assert_eq!(emptied, vec![0; plain.large_objects.len()]);
    assert!(plain.large_objects.values().any(|object| object.size > 0));
    let plain_joins = joins(&cluster, "shop");
    assert!(plain_joins.len() > 2, "{plain_joins:?}");
    assert_eq!(plain_joins, joins(&cluster, "masked"));
    let invalid = "SELECT count(*) FROM pg_constraint WHERE NOT convalidated";
    assert_eq!(cluster.psql_text("masked", invalid).trim(), "0");

    let both = |query: &str| ["shop", "masked"].map(|db| cluster.psql_text(db, query));
    for kept in [
        "SELECT id, marketing, updated_at FROM shop.customers ORDER BY id",
        "SELECT id, ordered_on, customer_id, status, total, invoice_no FROM shop.orders ORDER BY id, ordered_on",
        "SELECT md5(string_agg(i::text, '' ORDER BY i::text)) FROM shop.order_items i",
        "SELECT id, customer_id, created, tags FROM shop.documents ORDER BY id",
    ] {
        let [plain, masked] = both(kept);
        assert_eq!(plain, masked, "{kept}");
    }
    for column in ["given_name", "family_name", "email", "phone", "iban", "street", "city", "birth_date"] {
        let same = format!(
            "SELECT id || ' ' || {column} FROM shop.customers WHERE {column} IS NOT NULL ORDER BY id"
        );
        let [plain, masked] = both(&same);
        assert_eq!(plain.lines().count(), masked.lines().count(), "{column}");
        let equal = plain.lines().zip(masked.lines()).filter(|(one, other)| one == other).count();
        assert_eq!(equal, 0, "{column}");
    }

    // Out of the repository, read by the stock tool.
    let folder = desk.path("dump").display().to_string();
    desk.ok(&["export", id, "--format", "directory", "--output", &folder]);
    cluster.create_database("stock");
    stock(cluster.client("pg_restore").args(["-d", &cluster.conninfo("stock"), &folder]));
    let stock = Snapshot::take(&cluster, "stock");
    assert_eq!((&stock.tables, &stock.large_objects), (&masked.tables, &masked.large_objects));
    assert_eq!(desk.json(&["check", "--read-data", "--json"])["ok"], true);
}

/// Every kind of object, with all its texts masked. `./test --full`: also on 13 and 18.
#[test]
fn a_masked_zoo_comes_back() {
    let majors: &[u32] = if in_full("a masked zoo on 13 and 18") { &[13, 15, 18] } else { &[15] };
    for major in majors {
        let Some(builder) = require(*major) else { continue };
        let cluster = builder.start();
        zoo::load_portable(&cluster, "zoo");
        let desk = Desk::plain();
        desk.expects(&[
            "warnings that nobody accepted",
            "hold passwords or values",
            "definitions hold plain values",
        ]);
        let text = format!(
            "{HEAD}[policy]\ncolumns = \"keep\"\ndefinitions = \"warn\"\n\
             [[column]]\nmatch = [\"*.*.*\"]\ntypes = [\"text\", \"varchar\"]\nuse = \"permute\"\n"
        );
        let rules = rules(&desk, "zoo.toml", &text);
        let pg_dump = cluster.bin("pg_dump").display().to_string();
        let made = backup(&desk, &cluster, "zoo", &rules, &["--pg-dump", &pg_dump]);
        let id = made["id"].as_str().unwrap();
        desk.ok(&["restore", id, "--dbname", &cluster.conninfo("masked"), "--create"]);
        let (plain, masked) = (Snapshot::take(&cluster, "zoo"), Snapshot::take(&cluster, "masked"));
        assert_eq!(plain.schema, masked.schema, "{major}");
        let count = |snapshot: &Snapshot| snapshot.tables.values().map(|table| table.rows).sum::<u64>();
        assert_eq!(count(&plain), count(&masked), "{major}");
        let changed =
            plain.tables.iter().filter(|(name, hash)| masked.tables.get(*name) != Some(hash)).count();
        assert!(changed > 20, "{changed}");
        // Rows whose partition key is masked have other homes, and all of them have one.
        let homes = "SELECT string_agg(tableoid::regclass || ' ' || count, ', ') FROM \
                     (SELECT tableoid, count(*) FROM zoo.parts GROUP BY 1 ORDER BY 1) homes";
        assert_ne!(cluster.psql_text("zoo", homes), cluster.psql_text("masked", homes));
        assert_eq!(joins(&cluster, "zoo"), joins(&cluster, "masked"), "{major}");
        // The stock tool brings the same.
        let folder = desk.path("dump").display().to_string();
        desk.ok(&["export", id, "--format", "directory", "--output", &folder]);
        cluster.create_database("stock");
        stock(cluster.client("pg_restore").args(["-d", &cluster.conninfo("stock"), &folder]));
        assert_eq!(Snapshot::take(&cluster, "stock").tables, masked.tables, "{major}");
    }
}

#[test]
fn a_masked_backup_is_never_the_one_to_fall_back_on() {
    let cluster = Cluster::start();
    cluster.create_database("mask_latest");
    cluster.sql(
        "mask_latest",
        "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'Anna')",
    );
    let desk = Desk::plain();
    let file = rules(
        &desk,
        "t.toml",
        &format!("{HEAD}[table.\"public.t\"]\nkeep = [\"id\"]\ncolumns.name = \"person.first\"\n"),
    );
    let masked = backup(&desk, &cluster, "mask_latest", &file, &[]);
    let masked = masked["id"].as_str().unwrap();
    let target = cluster.conninfo("mask_latest_back");
    let refused = desk.example(
        "`latest`, where only masked backups are",
        1,
        &["restore", "latest", "--dbname", &target, "--create"],
    );
    assert!(refused.contains(masked) && refused.contains("--masked"), "{refused}");
    let stale = desk.run(&["check", "--max-age", "1h"]);
    assert_eq!(stale.status.code(), Some(3), "{}", text(&stale.stderr));
    let plain = desk.backup(&cluster, "mask_latest");
    let newer = backup(&desk, &cluster, "mask_latest", &file, &[]);
    let newer = newer["id"].as_str().unwrap();
    let id = |args: &[&str]| desk.json(args)["id"].as_str().unwrap().to_string();
    assert_eq!(id(&["show", "latest", "--json"]), plain);
    assert_eq!(id(&["show", "latest:mask_latest", "--json"]), plain);
    assert_eq!(id(&["show", "latest", "--masked", "--json"]), newer);
    assert!(desk.ok(&["list"]).contains("masked logical"));
    let shown = desk.ok(&["show", newer]);
    assert!(shown.contains("masked by") && shown.contains("t.toml"), "{shown}");
    // Each is a series of its own: the newest of both stays.
    desk.ok(&["forget", "--keep-last", "1"]);
    let left = desk.json(&["list", "--json"]);
    let left: Vec<&str> =
        left["backups"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(left, [plain.as_str(), newer]);
    // No settings, no access files, no passwords.
    let paths = desk.ok(&["ls", newer]);
    assert!(!paths.contains("settings.json") && !paths.contains("pg_hba.conf"), "{paths}");
    cluster.sql("postgres", "CREATE ROLE mask_latest_role LOGIN PASSWORD 'hidden'");
    let with_roles = backup(&desk, &cluster, "mask_latest", &file, &[]);
    let globals = desk.ok(&["cat", &format!("{}:/globals.sql", with_roles["id"].as_str().unwrap())]);
    assert!(globals.contains("mask_latest_role") && !globals.contains("SCRAM-SHA-256"), "{globals}");
}

/// Two machines: another data directory, locale and settings of text; one job or eight.
#[test]
fn two_machines_and_any_number_of_jobs_give_equal_rows() {
    let machines = [
        Cluster::start(),
        Cluster::builder().initdb_arg("--locale=C.UTF-8").conf("datestyle = 'German, DMY'").start(),
    ];
    let mut hashes = Vec::new();
    for (cluster, settings) in machines.iter().zip(["Asia/Tokyo", "America/New_York"]) {
        shop::load(cluster, "shop_equal", 12, 3);
        cluster.sql("postgres", &format!("ALTER DATABASE shop_equal SET TimeZone = '{settings}'"));
        for jobs in ["1", "8"] {
            let desk = Desk::plain();
            desk.expects(&["warnings that nobody accepted"]);
            let rules = shop_rules(&desk);
            let made = backup(&desk, cluster, "shop_equal", &rules, &["--jobs", jobs]);
            let name = format!("equal_{jobs}");
            desk.ok(&[
                "restore",
                made["id"].as_str().unwrap(),
                "--dbname",
                &cluster.conninfo(&name),
                "--create",
            ]);
            hashes.push(Snapshot::take(cluster, &name).tables);
            cluster.drop_database(&name);
        }
    }
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn what_did_not_change_is_reused_under_one_key_alone() {
    let cluster = Cluster::start();
    cluster.create_database("mask_again");
    cluster.sql(
        "mask_again",
        "CREATE TABLE a (id int PRIMARY KEY, name text, more text); \
         INSERT INTO a SELECT g, md5(g::text), md5((g + 1)::text) FROM generate_series(1, 20000) g; \
         CREATE TABLE b (LIKE a INCLUDING ALL); INSERT INTO b SELECT id, md5(name), md5(more) FROM a;",
    );
    let desk = Desk::plain();
    let rules_with = |b: &str| {
        format!("{HEAD}[table.\"public.a\"]\nkeep = [\"id\", \"more\"]\ncolumns.name = \"hash\"\n")
            + &format!("[table.\"public.b\"]\nkeep = [\"id\", \"more\"]\ncolumns.name = {b}\n")
    };
    let file = rules(&desk, "again.toml", &rules_with("\"hash\""));
    let more = ["--row-map", "on"];
    let added = |made: &Value, table: &str| -> u64 {
        let tables = made["tables"].as_array().unwrap();
        tables.iter().find(|one| one["name"] == table).unwrap()["bytes_added"].as_u64().unwrap()
    };
    // Nothing of a plain backup is reused, though half of the bytes are the same.
    let plain =
        desk.json(&["backup", "--dbname", &cluster.conninfo("mask_again"), "--json", "--row-map", "on"]);
    let first = backup(&desk, &cluster, "mask_again", &file, &more);
    assert!(added(&first, "a") * 2 > added(&plain, "a"), "{first} after {plain}");
    let second = backup(&desk, &cluster, "mask_again", &file, &more);
    assert!(added(&second, "a") * 50 < added(&first, "a"), "{second}");
    // One table's rule, and the other table stays.
    let file = rules(&desk, "again.toml", &rules_with("{ use = \"hash\", max_length = 24 }"));
    let changed = backup(&desk, &cluster, "mask_again", &file, &more);
    assert!(added(&changed, "a") * 50 < added(&first, "a"), "{changed}");
    assert!(added(&changed, "b") * 2 > added(&first, "b"), "{changed}");
    // Another key: said, and all is new.
    desk.expects(&["the mask key is another one"]);
    std::fs::write(desk.path("key"), "another key of at least 16 bytes").unwrap();
    let other = backup(&desk, &cluster, "mask_again", &file, &more);
    assert!(other["warnings"][0].as_str().unwrap().contains("the mask key is another one"), "{other}");
    assert!(added(&other, "a") * 2 > added(&first, "a"), "{other}");

    // A copy is masked as the original is, and under its domain.
    let there = Desk::plain();
    desk.ok(&["copy", &desk.url(), &there.url()]);
    let copied = there.json(&["list", "--json"])["backups"].clone();
    let copied = copied.as_array().unwrap();
    assert_eq!(copied.len(), 5);
    assert_eq!(copied[4]["kind"], "masked logical");
    assert_eq!(copied[4]["masked"], other["masked"]);
    let hidden = "select count(*) from a where name = md5(id::text)";
    there.ok(&[
        "restore",
        copied[1]["id"].as_str().unwrap(),
        "--dbname",
        &cluster.conninfo("mask_copied"),
        "--create",
    ]);
    assert_eq!(cluster.psql_text("mask_copied", hidden).trim(), "0");
    for desk in [&desk, &there] {
        assert_eq!(desk.json(&["check", "--read-data", "--json"])["ok"], true);
    }
}

/// A table that rules keep has the bytes of the plain one: also these are stored apart, under maps
/// and without.
#[test]
fn equal_bytes_of_other_domains_are_stored_apart() {
    let cluster = Cluster::start();
    cluster.create_database("mask_apart");
    cluster.sql(
        "mask_apart",
        "CREATE TABLE t (id int PRIMARY KEY, more text); \
         INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 20000) g",
    );
    for maps in ["on", "off"] {
        let desk = Desk::plain();
        desk.expects(&["the mask key is another one"]);
        let file = rules(&desk, "apart.toml", &format!("{HEAD}[table.\"public.t\"]\nkeep = \"*\"\n"));
        let dbname = cluster.conninfo("mask_apart");
        let added = |made: &Value| made["tables"][0]["bytes_added"].as_u64().unwrap();
        let plain = added(&desk.json(&["backup", "--dbname", &dbname, "--json", "--row-map", maps]));
        let masked = || added(&backup(&desk, &cluster, "mask_apart", &file, &["--row-map", maps]));
        let (first, second) = (masked(), masked());
        std::fs::write(desk.path("key"), "another key of at least 16 bytes").unwrap();
        let other = masked();
        assert!(first * 2 > plain && other * 2 > plain, "{maps}: {plain} {first} {second} {other}");
        assert!(second * 50 < plain, "{maps}: {plain} {first} {second} {other}");
        assert_eq!(desk.json(&["check", "--read-data", "--json"])["ok"], true);
    }
}

/// What a text of this table begins with, 200,000 times.
const MARK: &str = "Zq7x-plain-";

/// Everything in a backup that can be read, as a restore reads it.
fn contents(desk: &Desk, id: &str) -> Vec<u8> {
    let mut all = Vec::new();
    let listed = desk.json(&["ls", id, "--json"]);
    for entry in listed["entries"].as_array().unwrap() {
        let path = entry["path"].as_str().unwrap();
        all.extend(desk.run(&["cat", &format!("{id}:{path}")]).stdout);
    }
    all
}

fn holds(bytes: &[u8]) -> bool {
    bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes())
}

#[test]
fn no_plain_value_is_left_anywhere() {
    let cluster = Cluster::start();
    cluster.create_database("mask_leak");
    cluster.sql(
        "mask_leak",
        &format!(
            "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; \
             CREATE TABLE t (id int PRIMARY KEY, secret text UNIQUE, note text, doc jsonb, many text[]); \
             INSERT INTO t SELECT g, '{MARK}' || md5(g::text), '{MARK}' || g, \
             jsonb_build_object('a', '{MARK}' || g), ARRAY['{MARK}' || g, NULL] FROM generate_series(1, 200000) g; \
             CREATE TABLE wide (w text); ALTER TABLE wide ALTER w SET STORAGE EXTERNAL; \
             INSERT INTO wide SELECT string_agg('{MARK}' || g, '') FROM generate_series(1, 300000) g;"
        ),
    );
    let desk = Desk::plain();
    let written = format!(
        "{HEAD}[table.\"public.t\"]\nkeep = [\"id\"]\ncolumns.secret = \"hash\"\ncolumns.note = \"permute\"\n\
         columns.doc = {{ use = \"json\", paths = {{ \"$.a\" = \"hash\" }} }}\ncolumns.many = {{ use = \"each\", of = \"hash\" }}\n\
         [table.\"public.wide\"]\ncolumns.w = {{ use = \"fixed\", value = \"gone\" }}\n\
         [table.\"public.broken\"]\ncolumns.n = \"int\"\n"
    );
    let file =
        rules(&desk, "leak.toml", &written.replace("[table.\"public.broken\"]\ncolumns.n = \"int\"\n", ""));
    let dbname = cluster.conninfo("mask_leak");
    let args = ["backup", "--dbname", &dbname, "--mask", &file, "-vv"];
    let made = desk.run(&args);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(!holds(&made.stderr) && !holds(&made.stdout));
    let id = text(&made.stdout).trim().to_string();
    let read = contents(&desk, &id);
    assert!(read.len() > 20_000_000, "{}", read.len());
    assert!(!holds(&read));

    // A COPY that fails: the server's words about it have the row.
    let csv = desk.path("broken.csv");
    std::fs::write(&csv, format!("{MARK}1\n")).unwrap();
    std::process::Command::new("chmod")
        .args(["-R", "a+rX", &desk.path("").display().to_string()])
        .status()
        .unwrap();
    cluster.sql(
        "mask_leak",
        &format!(
            "CREATE FOREIGN TABLE broken (n int) SERVER files OPTIONS (filename '{}', format 'csv')",
            csv.display()
        ),
    );
    let plain = desk.fails(1, &["backup", "--dbname", &dbname, "--include-foreign-data", "*"]);
    assert!(holds(plain.as_bytes()), "the server's words do not have the value: {plain}");
    let file = rules(&desk, "leak.toml", &written);
    let failed = desk
        .fails(1, &["backup", "--dbname", &dbname, "--include-foreign-data", "*", "--mask", &file, "-vv"]);
    assert!(failed.contains("public.broken") && failed.contains("22P02"), "{failed}");
    assert!(!holds(failed.as_bytes()), "{failed}");
    // A row that a rule refuses names its column, and nothing of the row.
    let strict = written
        .replace("columns.note = \"permute\"", "columns.note = { use = \"map\", map = { a = \"b\" } }")
        .replace("[table.\"public.broken\"]\ncolumns.n = \"int\"\n", "");
    let file = rules(&desk, "leak.toml", &strict);
    let refused = desk.fails(1, &["backup", "--dbname", &dbname, "--mask", &file, "-vv"]);
    assert!(refused.contains("public.t") && refused.contains("note"), "{refused}");
    assert!(!holds(refused.as_bytes()), "{refused}");

    // Nothing of all this is in the desk's folder: caches, state, the repository's objects.
    std::fs::remove_file(&csv).unwrap();
    for file in files(&desk.path("")) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        assert!(!holds(&bytes), "{}", file.display());
    }
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 1);
}

#[test]
fn what_rules_refuse_is_not_backed_up() {
    let cluster = Cluster::start();
    cluster.create_database("mask_refused");
    cluster.sql(
        "mask_refused",
        "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'Anna')",
    );
    let desk = Desk::plain();
    let dbname = cluster.conninfo("mask_refused");
    let good = format!("{HEAD}[table.\"public.t\"]\nkeep = [\"id\"]\ncolumns.name = \"person.first\"\n");
    let file = rules(&desk, "t.toml", &good);
    desk.ok(&["backup", "--dbname", &dbname, "--mask", &file]);
    let args = ["backup", "--dbname", &dbname, "--mask", &file];

    // A new column that no rule speaks of.
    cluster.sql("mask_refused", "ALTER TABLE t ADD mail text");
    let said = desk.example("a masked backup, and a column that no rule speaks of", 1, &args);
    assert!(said.contains("M150") && said.contains("public.t.mail") && said.contains("mask check"), "{said}");
    let planned = desk.fails(1, &[&args[..], &["--dry-run"]].concat());
    assert!(planned.contains("M150"), "{planned}");
    cluster.sql("mask_refused", "ALTER TABLE t DROP mail");

    // Rules of another database, a key that is missing or short, and no file.
    rules(&desk, "t.toml", &format!("{good}[table.\"public.other\"]\ncolumns.x = \"null\"\n"));
    assert!(desk.fails(1, &args).contains("M101"));
    rules(&desk, "t.toml", &good);
    std::fs::write(desk.path("key"), "short").unwrap();
    let short = desk.example("a masked backup with a mask key that is too short", 1, &args);
    assert!(short.contains("M009") && !short.contains("short\""), "{short}");
    std::fs::remove_file(desk.path("key")).unwrap();
    assert!(desk.fails(1, &args).contains("M009"));
    assert!(
        desk.fails(1, &["backup", "--dbname", &dbname, "--mask", "/nowhere.toml"]).contains("/nowhere.toml")
    );

    // Definitions with passwords, and large objects.
    rules(&desk, "t.toml", &good);
    cluster.sql(
        "mask_refused",
        "CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw; \
         CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'x', password 'hidden')",
    );
    let secret = desk.fails(1, &args);
    assert!(
        secret.contains("user mapping") && secret.contains("M160") && !secret.contains("hidden"),
        "{secret}"
    );
    desk.expects(&["user mapping"]);
    rules(&desk, "t.toml", &format!("{good}[policy]\ndefinitions = \"warn\"\n").replace("[table", "[table"));
    let warned = desk.json(&[&args[..], &["--json"]].concat());
    assert!(warned["warnings"][0].as_str().unwrap().contains("user mapping"), "{warned}");
    cluster.sql("mask_refused", "SELECT lo_from_bytea(0, 'content')");
    rules(&desk, "t.toml", &format!("{good}[policy]\ndefinitions = \"warn\"\nlarge_objects = \"refuse\"\n"));
    let objects = desk.fails(1, &args);
    assert!(objects.contains("1 large objects") && objects.contains("M161"), "{objects}");
    rules(&desk, "t.toml", &format!("{good}[policy]\ndefinitions = \"warn\"\nlarge_objects = \"keep\"\n"));
    let kept = desk.json(&[&args[..], &["--json"]].concat());
    let kept = kept["id"].as_str().unwrap();
    assert!(desk.ok(&["cat", &format!("{kept}:/db/mask_refused/largeobjects")]).contains("content"));
    // Nothing of what was refused counts.
    let list = desk.json(&["list", "--json"]);
    assert_eq!(list["backups"].as_array().unwrap().len(), 3, "{list}");
}

/// Rows that conditions leave plain or leave out, in the order that the file says, and tables that
/// are read in batches, as a whole and by ranges.
#[test]
fn conditions_leave_rows_as_the_rules_say() {
    let cluster = Cluster::start();
    cluster.create_database("mask_when");
    cluster.sql(
        "mask_when",
        "CREATE TABLE t (id int PRIMARY KEY, kind text, name text); \
         INSERT INTO t SELECT g, CASE g % 3 WHEN 0 THEN 'test' WHEN 1 THEN 'real' END, 'name ' || g FROM generate_series(1, 900) g; \
         CREATE TABLE none (id int, name text); INSERT INTO none SELECT g, 'x' FROM generate_series(1, 10) g; \
         CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES; INSERT INTO bare DEFAULT VALUES; \
         CREATE TABLE empty (a text);",
    );
    let desk = Desk::plain();
    desk.expects(&["warnings that nobody accepted"]);
    let file = rules(
        &desk,
        "when.toml",
        &format!(
            "{HEAD}[table.\"public.t\"]\nwhen = \"kind = 'real'\"\notherwise = \"drop\"\nkeep = [\"id\", \"kind\"]\n\
             columns.name = {{ use = \"fixed\", value = \"masked\", when = \"id > 30\", otherwise = \"keep\" }}\n\
             [table.\"public.none\"]\nrows = \"none\"\n[table.\"public.empty\"]\ncolumns.a = \"null\"\n"
        ),
    );
    let made = backup(&desk, &cluster, "mask_when", &file, &[]);
    let id = made["id"].as_str().unwrap();
    desk.ok(&["restore", id, "--dbname", &cluster.conninfo("mask_when_back"), "--create"]);
    let of = |query: &str| cluster.psql_text("mask_when_back", query).trim().to_string();
    // Unknown is not true: rows without a kind are left out.
    assert_eq!(of("SELECT count(*) || ' ' || count(*) FILTER (WHERE kind = 'real') FROM t"), "300 300");
    assert_eq!(of("SELECT count(*) FROM t WHERE name = 'masked'"), "290");
    assert_eq!(of("SELECT count(*) FROM t WHERE name = 'name ' || id AND id <= 30"), "10");
    assert_eq!(of("SELECT (SELECT count(*) FROM none) || ' ' || (SELECT count(*) FROM bare)"), "0 2");
    let rows = made["tables"].as_array().unwrap();
    let rows = rows.iter().find(|table| table["name"] == "t").unwrap();
    assert_eq!(rows["rows"], 300);
}

/// A file's option in place of one on the command line.
#[test]
fn the_configuration_file_names_rules() {
    let cluster = Cluster::start();
    cluster.create_database("mask_config");
    cluster.sql("mask_config", "CREATE TABLE t (name text); INSERT INTO t VALUES ('Anna')");
    let desk = Desk::plain();
    let file =
        rules(&desk, "t.toml", &format!("{HEAD}[table.\"public.t\"]\ncolumns.name = \"person.first\"\n"));
    let config = desk.path("pgark.toml");
    std::fs::write(&config, format!("[backup]\nmask = \"{file}\"\n")).unwrap();
    let config: &Path = &config;
    let made = desk.json(&[
        "backup",
        "--dbname",
        &cluster.conninfo("mask_config"),
        "--config",
        &config.display().to_string(),
        "--json",
    ]);
    assert_eq!(made["masked"]["rules"], "t.toml");
}

/// A unique key of two columns, over partitions and small tables that are copied in one batch.
#[test]
fn keys_that_masked_rows_do_not_keep_end_the_backup() {
    let cluster = Cluster::start();
    cluster.create_database("mask_keys");
    cluster.sql(
        "mask_keys",
        "CREATE TABLE t (tenant int, code text, name text, UNIQUE (tenant, code)); \
         INSERT INTO t SELECT g % 10, 'c' || g, 'n' || g FROM generate_series(1, 60000) g; \
         CREATE TABLE p (day date, code text, UNIQUE (day, code)) PARTITION BY RANGE (day); \
         CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-02-01'); \
         CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2026-02-01') TO ('2026-03-01'); \
         INSERT INTO p SELECT '2026-01-01'::date + g, 'c' || g FROM generate_series(0, 50) g; \
         CREATE TABLE part (id int, mail text, gone bool); CREATE UNIQUE INDEX live ON part (lower(mail)) WHERE NOT gone; \
         INSERT INTO part SELECT g, 'M' || g || '@x.example', g % 2 = 0 FROM generate_series(1, 100) g;",
    );
    let desk = Desk::plain();
    desk.expects(&["warnings that nobody accepted"]);
    let dbname = cluster.conninfo("mask_keys");
    let run = |code: &str, mail: &str| {
        let written = format!(
            "{HEAD}[table.\"public.t\"]\nkeep = [\"tenant\"]\ncolumns.code = {code}\ncolumns.name = \"person.first\"\n\
             [table.\"public.p\"]\nkeep = [\"day\"]\ncolumns.code = {code}\n\
             [table.\"public.part\"]\nkeep = [\"id\", \"gone\"]\ncolumns.mail = {mail}\n"
        );
        let file = rules(&desk, "keys.toml", &written);
        desk.run(&["backup", "--dbname", &dbname, "--mask", &file, "--json"])
    };
    let good = run("\"hash\"", "\"email\"");
    assert!(good.status.success(), "{}", text(&good.stdout));
    let made: Value = serde_json::from_slice(&good.stdout).unwrap();
    desk.ok(&[
        "restore",
        made["id"].as_str().unwrap(),
        "--dbname",
        &cluster.conninfo("mask_keys_back"),
        "--create",
    ]);
    // Three letters are too few for 6,000 codes of a tenant.
    let broken = run("{ use = \"string\", max_length = 2 }", "\"email\"");
    let said = text(&broken.stderr);
    assert_eq!(broken.status.code(), Some(1), "{said}");
    assert!(said.contains("M121") && said.contains("t_tenant_code_key of public.t"), "{said}");
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 1);
}

/// A definition stays as it is: a plain value in it is found while the rows are masked.
#[test]
fn plain_values_in_definitions_are_refused_or_told() {
    let cluster = Cluster::start();
    cluster.create_database("mask_definitions");
    cluster.sql(
        "mask_definitions",
        "CREATE TABLE t (id int PRIMARY KEY, name text, mail text); \
         INSERT INTO t SELECT g, 'Name' || g, 'mail' || g || '@x.example' FROM generate_series(1, 5000) g;",
    );
    let desk = Desk::plain();
    let written = format!(
        "{HEAD}[table.\"public.t\"]\nkeep = [\"id\"]\ncolumns.name = \"person.last\"\ncolumns.mail = \"email\"\n"
    );
    let file = rules(&desk, "d.toml", &written);
    backup(&desk, &cluster, "mask_definitions", &file, &[]);
    cluster.sql(
        "mask_definitions",
        "COMMENT ON TABLE t IS 'questions to mail77@x.example, please'; \
         CREATE VIEW v AS SELECT id FROM t WHERE name = 'Name4711'; \
         CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'Name12' || 'nobody'; END $$;",
    );
    let dbname = cluster.conninfo("mask_definitions");
    let refused = desk.example(
        "a masked backup, and plain values in definitions",
        1,
        &["backup", "--dbname", &dbname, "--mask", &file],
    );
    for words in [
        "M160",
        "view public.v (of public.t.name)",
        "function public.f() (of public.t.name)",
        "comment public.TABLE t (of public.t.mail)",
    ] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    assert!(!refused.contains("Name4711") && !refused.contains("mail77"), "{refused}");
    desk.expects(&["definitions hold plain values"]);
    let file = rules(&desk, "d.toml", &format!("{written}[policy]\ndefinitions = \"warn\"\n"));
    let warned = backup(&desk, &cluster, "mask_definitions", &file, &[]);
    assert!(warned["warnings"][0].as_str().unwrap().contains("view public.v"), "{warned}");
    let file = rules(&desk, "d.toml", &format!("{written}[policy]\ndefinitions = \"keep\"\n"));
    let kept = backup(&desk, &cluster, "mask_definitions", &file, &[]);
    assert_eq!(kept["warnings"], serde_json::json!([]));
}
