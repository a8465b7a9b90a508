//! Parents and their children: a table that is named brings its partitions, and the tables that
//! inherit from it.

use pgark_testkit::{Cluster, require};

use super::support::{Desk, text};

/// Partitions of two levels and in two schemas, with names that need quotes; inheritance from two
/// parents; a bystander.
const FAMILY: &str = "
    CREATE SCHEMA parts; CREATE SCHEMA \"Old.Parts\";
    CREATE TABLE parent (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE INDEX by_date ON parent (at);
    CREATE TABLE parts.\"P \"\"1\" PARTITION OF parent FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY HASH (id);
    CREATE TABLE \"Old.Parts\".\"P 1.a\" PARTITION OF parts.\"P \"\"1\" FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE \"Old.Parts\".\"p$1|b\" PARTITION OF parts.\"P \"\"1\" FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE TABLE p2 PARTITION OF parent DEFAULT;
    INSERT INTO parent SELECT g, date '2020-06-01' + g FROM generate_series(1, 500) g;
    CREATE TABLE inh (a int); CREATE TABLE inh2 (c int);
    CREATE TABLE inh_child (b int) INHERITS (inh, inh2); CREATE TABLE inh_grandchild () INHERITS (inh_child);
    INSERT INTO inh VALUES (0); INSERT INTO inh_child VALUES (1, 2, 3); INSERT INTO inh_grandchild VALUES (1, 2, 3), (4, 5, 6);
    CREATE TABLE bystander AS SELECT 7 AS x;";

const COUNTS: &str =
    "SELECT (SELECT count(*) FROM parent), (SELECT count(*) FROM inh), (SELECT count(*) FROM bystander)";

fn everywhere(cluster: &Cluster, pg_dump: &[&str]) {
    cluster.create_database("d");
    cluster.sql("d", FAMILY);
    let desk = Desk::plain();
    let info = cluster.conninfo("d");
    let back_up = |more: &[&str]| {
        let output = desk.run(&[&["backup", "--dbname", &info][..], pg_dump, more].concat());
        let said = text(&output.stderr);
        assert!(output.status.success(), "{more:?}: {said}");
        (text(&output.stdout).trim().to_string(), said)
    };
    let restore = |id: &str, name: &str, more: &[&str]| {
        let target = cluster.conninfo(name);
        let output = desk.run(&[&["restore", id, "--dbname", &target][..], more].concat());
        let said = text(&output.stderr);
        assert!(output.status.success(), "{more:?}: {said}");
        said
    };
    let stored = |id: &str| {
        let shown = desk.json(&["show", id, "--json"]);
        let tables = shown["tables"].as_array().unwrap().clone();
        let mut names: Vec<String> = tables
            .iter()
            .map(|table| format!("{}:{}", table["name"].as_str().unwrap(), table["rows"]))
            .collect();
        names.sort();
        names.join(" ")
    };
    let partitions = stored(&back_up(&[]).0);
    assert!(partitions.contains("bystander:1") && partitions.contains("inh_grandchild:2"), "{partitions}");

    // A backup of the parent: all levels, wherever they are; and nothing else.
    let (part, said) = back_up(&["--table", "public.parent", "--strict-names"]);
    assert!(said.contains("4 partitions or child tables included"), "{said}");
    assert_eq!(stored(&part).matches(':').count(), 3, "{}", stored(&part));
    // As with pg_dump's --table, schemas are not part of it.
    for name in ["from_part", "without_data"] {
        cluster.create_database(name);
    }
    cluster.sql("from_part", "CREATE SCHEMA parts; CREATE SCHEMA \"Old.Parts\"");
    restore(&part, "from_part", &["--table", "parent"]);
    assert_eq!(cluster.psql_text("from_part", "SELECT count(*) FROM parent"), "500");
    let (part, said) = back_up(&["--table", "inh", "--table", "bystander"]);
    assert!(said.contains("2 partitions or child tables included"), "{said}");
    assert_eq!(stored(&part), "bystander:1 inh:1 inh_child:1 inh_grandchild:2");
    let (part, said) = back_up(&["--table", "parent", "--table", "p2", "--no-children"]);
    assert!(!said.contains("partition"), "{said}");
    assert_eq!(stored(&part).matches(':').count(), 1);
    let (part, said) = back_up(&["--exclude-table", "parent", "--exclude-table", "inh2"]);
    assert!(said.contains("6 partitions or child tables excluded"), "{said}");
    assert_eq!(stored(&part), "bystander:1 inh:1");
    let (part, said) = back_up(&["--exclude-table-data", "parent"]);
    assert!(said.contains("4 partitions or child tables excluded"), "{said}");
    assert_eq!(stored(&part), "bystander:1 inh2:0 inh:1 inh_child:1 inh_grandchild:2");
    restore(&part, "without_data", &[]);
    assert_eq!(cluster.psql_text("without_data", COUNTS), "0|4|1");

    // A restore of the parent out of everything, with what belongs to it: indexes that are
    // attached, and so are valid.
    let (whole, _) = back_up(&[]);
    let said = restore(&whole, "one", &["--create", "--table", "parent", "--strict-names"]);
    assert!(said.contains("4 partitions or child tables included"), "{said}");
    assert_eq!(cluster.psql_text("one", "SELECT count(*) FROM parent"), "500");
    let valid = "SELECT bool_and(indisvalid), count(*) FROM pg_index WHERE indrelid = 'parent'::regclass";
    assert_eq!(cluster.psql_text("one", valid), "t|2");
    assert_eq!(cluster.psql_text("one", "SELECT to_regclass('bystander') IS NULL"), "t");
    let script = desk.path("parent.sql").display().to_string();
    let output = desk.run(&["export", &whole, "--format", "plain", "--table", "parent", "--output", &script]);
    assert!(
        text(&output.stderr).contains("4 partitions or child tables included"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(std::fs::read_to_string(&script).unwrap().matches("COPY ").count(), 3);
    restore(&whole, "two", &["--create", "--table", "inh"]);
    assert_eq!(cluster.psql_text("two", "SELECT count(*), sum(a) FROM inh"), "4|6");
    let said = restore(&whole, "three", &["--create", "--exclude-table", "parent"]);
    assert!(said.contains("4 partitions or child tables excluded"), "{said}");
    assert_eq!(cluster.psql_text("three", "SELECT to_regclass('p2') IS NULL, count(*) FROM inh"), "t|4");
    restore(&whole, "four", &["--create", "--table", "parent", "--no-children"]);
    assert_eq!(cluster.psql_text("four", "SELECT count(*), to_regclass('p2') IS NULL FROM parent"), "0|t");
    // A partition alone.
    restore(&whole, "five", &["--create", "--table", "p2"]);
    let alone = "SELECT count(*) > 0, to_regclass('\"Old.Parts\".\"P 1.a\"') IS NULL FROM p2";
    assert_eq!(cluster.psql_text("five", alone), "t|t");
    let (alone, _) = back_up(&["--table", "p2"]);
    restore(&alone, "six", &["--create", "--table", "p2"]);
    assert_eq!(cluster.psql_text("six", "SELECT count(*) > 0 FROM p2"), "t");

    // A backup of rows alone has no definitions that say who is whose child.
    let (rows, _) = back_up(&["--data-only"]);
    cluster.sql("one", "TRUNCATE parent");
    let said = restore(&rows, "one", &["--data-only", "--table", "parent", "--strict-names"]);
    assert!(said.contains("4 partitions or child tables included"), "{said}");
    assert_eq!(cluster.psql_text("one", "SELECT count(*) FROM parent"), "500");
}

#[test]
fn a_parent_brings_its_children() {
    everywhere(&Cluster::start(), &[]);
}

/// From 16 on pg_dump itself knows the children.
#[test]
fn a_parent_brings_its_children_by_a_newer_pg_dump() {
    let Some(builder) = require(18) else { return };
    let cluster = builder.start();
    let pg_dump = cluster.bin("pg_dump").display().to_string();
    everywhere(&cluster, &["--pg-dump", &pg_dump]);
}

/// A section of pgark.toml says the same for one database.
#[test]
fn children_of_one_databases_section() {
    let cluster = Cluster::start();
    for name in ["d", "e"] {
        cluster.create_database(name);
        cluster.sql(name, FAMILY);
    }
    let desk = Desk::plain();
    let file = desk.path("pgark.toml").display().to_string();
    let sections = "[clusters.c]\ntable = [\"parent\"]\n[clusters.c.databases.e]\nno_children = true\ntable = [\"parent\", \"p2\"]\n";
    std::fs::write(&file, sections).unwrap();
    let info = cluster.conninfo("postgres");
    let both = ["--database", "d", "--database", "e", "--json"];
    let backup =
        desk.json(&[&["backup", "--config", &file, "--cluster", "c", "--dbname", &info][..], &both].concat());
    let of = |name: &str| {
        backup["tables"].as_array().unwrap().iter().filter(|table| table["database"] == name).count()
    };
    assert_eq!((of("d"), of("e")), (3, 1), "{backup}");
}
