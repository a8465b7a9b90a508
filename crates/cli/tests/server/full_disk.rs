//! The repository's file system is really full: the error names it, nothing is lost, and with room
//! again work goes on.

use pgark_testkit::{Cluster, SmallDisk};

use super::support::{Desk, example, text};

#[test]
fn a_full_file_system_loses_nothing() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE t AS SELECT g AS a, sha512(g::text::bytea)::text AS b FROM generate_series(1, 120000) g",
    );
    let desk = Desk::plain();
    std::fs::create_dir(desk.path("small")).unwrap();
    let disk = SmallDisk::mount(&desk.path("small"), 24 << 10);
    let repo = desk.path("small").join("repo").display().to_string();
    let run = |args: &[&str]| {
        let mut command = desk.prepared(disk.command(env!("CARGO_BIN_EXE_pgark")), args);
        command.env("PGARK_REPO", &repo).output().unwrap()
    };
    let ok = |args: &[&str]| {
        let output = run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    ok(&["init", "--no-encryption"]);
    let info = cluster.conninfo("d");
    let sum = "SELECT sum(hashtext(t::text)::bigint) FROM t";
    let first_sum = cluster.psql_text("d", sum);
    let first = ok(&["backup", "--dbname", &info]).trim().to_string();
    cluster.sql("d", "UPDATE t SET b = sha512((a + 1000000)::text::bytea)::text");
    // From no room at all to nearly enough.
    let mut failed = 0;
    for kilobytes in [0, 100, 1_000, 3_000, 5_000, 7_000] {
        let used: u64 =
            text(&disk.command("du").args(["-sk"]).arg(desk.path("small")).output().unwrap().stdout)
                .split_whitespace()
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap();
        disk.resize(used + kilobytes);
        let output = run(&["backup", "--dbname", &info]);
        if output.status.success() {
            continue;
        }
        failed += 1;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("no space") || said.contains("No space"), "{said}");
        assert!(said.contains("hint"), "{said}");
        example("The repository's disk is full", 1, &first_words(&said));
        let report: serde_json::Value =
            serde_json::from_str(&ok(&["check", "--read-data", "--json"])).unwrap();
        assert_eq!(report["ok"], true, "{report}");
        let listed: serde_json::Value = serde_json::from_str(&ok(&["list", "--json"])).unwrap();
        assert_eq!(listed["backups"].as_array().unwrap().len(), 1);
    }
    assert!(failed >= 3, "the disk was never full");
    disk.resize(80 << 10);
    let second = ok(&["backup", "--dbname", &info]).trim().to_string();
    for (id, name, expected) in [(&first, "one", first_sum), (&second, "two", cluster.psql_text("d", sum))] {
        ok(&["restore", id, "--dbname", &cluster.conninfo(name), "--create"]);
        assert_eq!(cluster.psql_text(name, sum), expected);
    }
}

/// Which object did not fit differs from run to run.
fn first_words(said: &str) -> String {
    said.lines()
        .map(|line| {
            line.split(' ')
                .map(|word| if word.contains("/.tmp/") { "/backup/repo/.tmp/4711-1:" } else { word })
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect::<Vec<_>>()
        .join("\n")
}
