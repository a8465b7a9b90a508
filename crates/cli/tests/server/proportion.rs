//! What a backup adds, beside rows, is in proportion to what changed; and what is stored in another
//! form than pg_dump's comes back in pg_dump's.

use pgark_testkit::{Cluster, is_full};

use super::support::{Desk, stock, text};

/// Of many tables of which none changed, next to nothing is stored; of one table more, little.
#[test]
fn many_tables_that_did_not_change() {
    let count = if is_full() { 10_000 } else { 1500 };
    let cluster = Cluster::start();
    cluster.create_database("many");
    // The locks of so many tables need several transactions.
    for first in (0..count).step_by(500) {
        cluster.sql(
            "many",
            &format!(
                "DO $$ BEGIN FOR i IN {first}..{first} + 499 LOOP
                   EXECUTE format('CREATE TABLE t_%s (id int PRIMARY KEY, name text, at date)', lpad(i::text, 5, '0'));
                   EXECUTE format('INSERT INTO t_%s SELECT g, md5(g::text || %s) FROM generate_series(1, 3) g', lpad(i::text, 5, '0'), i);
                 END LOOP; END $$"
            ),
        );
    }
    let desk = Desk::with_identity();
    let backup = || desk.json(&["backup", "--dbname", &cluster.conninfo("many"), "--json"]);
    let added = |backup: &serde_json::Value| backup["bytes_added"].as_u64().unwrap();
    backup();
    for round in 0..2 {
        let again = backup();
        assert!(added(&again) <= 20_000, "round {round}: {} for nothing", added(&again));
    }
    cluster.sql("many", "CREATE TABLE t_00700b AS SELECT 1 AS id");
    let more = backup();
    assert!(added(&more) <= 40_000, "{} for one table", added(&more));
    let id = more["id"].as_str().unwrap();
    let shown = desk.json(&["show", id, "--json"]);
    assert_eq!(shown["contents"][0]["tables"], count + 1);
    let one = |name: &str| -> serde_json::Value {
        let tables = shown["tables"].as_array().unwrap();
        tables.iter().find(|table| table["name"] == name).unwrap().clone()
    };
    assert!(added(&one("t_00700b")) > 0 && added(&one("t_00700")) == 0);
    desk.ok(&["restore", id, "--create", "--dbname", &cluster.conninfo("back"), "--table", "t_00700b"]);
    assert_eq!(cluster.psql_text("back", "SELECT id FROM t_00700b").trim(), "1");
}

/// `cat` gives the table of contents as pg_dump writes it, with pg_dump's own numbers.
#[test]
fn a_table_of_contents_is_shown_as_pg_dump_wrote_it() {
    let cluster = Cluster::start();
    cluster.create_database("zoo");
    pgark_testkit::zoo::load(&cluster, "zoo");
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "zoo");
    let folder = desk.path("toc");
    std::fs::create_dir(&folder).unwrap();
    let toc = desk.run(&["cat", &format!("{id}:/db/zoo/toc.dat")]).stdout;
    let line = desk.json(&["ls", &format!("{id}:/db/zoo/toc.dat"), "--json"]);
    assert_eq!(line["entries"][0]["bytes_raw"], toc.len());
    std::fs::write(folder.join("toc.dat"), toc).unwrap();
    let listed = |path: &std::path::Path| -> Vec<String> {
        let list = stock(cluster.client("pg_restore").arg("-l").arg(path));
        list.lines().filter(|line| !line.starts_with(';')).map(str::to_string).collect()
    };
    // Of a directory pg_dump sorts tables by size.
    let own = desk.path("own");
    stock(cluster.client("pg_dump").args(["-Fc", "-d", &cluster.conninfo("zoo"), "-f"]).arg(&own));
    assert_eq!(listed(&folder), listed(&own));
    // And with the data files that they name.
    let exported = desk.path("exported");
    desk.ok(&[
        "export",
        &id,
        "--format",
        "directory",
        "--output",
        &text(exported.as_os_str().as_encoded_bytes()),
    ]);
    let sorted = |path: &std::path::Path| {
        let mut lines = listed(path);
        lines.sort();
        lines
    };
    assert_eq!(sorted(&exported), sorted(&own));
}
