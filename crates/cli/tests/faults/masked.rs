//! A masked backup ends at any moment, as a plain one may: what was committed is whole and masked.

use std::process::{Command, Stdio};
use std::time::Instant;

use pgark_testkit::Cluster;

use super::bench_of_faults::{Moments, Random, tell, times};
use super::support::{Desk, text};

/// What every plain text of the table begins with.
const MARK: &str = "Zq7x-plain-";

#[test]
fn masked_backups_end_at_random_moments() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        &format!(
            "CREATE TABLE big AS SELECT g AS id, '{MARK}' || md5(g::text) AS name, '{MARK}' || g AS code, g % 7 AS kind \
             FROM generate_series(1, 120000) g; ALTER TABLE big ADD PRIMARY KEY (id), ADD UNIQUE (kind, code); \
             CREATE TABLE small (name text); INSERT INTO small VALUES ('{MARK}1'), (NULL);"
        ),
    );
    let desk = Desk::with_identity();
    desk.expects(&["warnings that nobody accepted"]);
    std::fs::write(desk.path("key"), "0123456789abcdef").unwrap();
    let rules = desk.path("rules.toml");
    std::fs::write(
        &rules,
        "version = 1\nkey = { file = \"key\" }\n[table.\"public.big\"]\nkeep = [\"id\", \"kind\"]\n\
         columns.name = \"hash\"\ncolumns.code = \"hash\"\n[table.\"public.small\"]\ncolumns.name = \"hash\"\n",
    )
    .unwrap();
    let (rules, info) = (rules.display().to_string(), cluster.conninfo("d"));
    // Stored again each time: else a later run has nothing to do.
    let args = ["backup", "--dbname", info.as_str(), "--mask", rules.as_str(), "--full"];
    let begun = Instant::now();
    let first = desk.ok(&args).trim().to_string();
    let mut moments = Moments::new(Random::new(11), begun.elapsed());
    let content = |id: &str| {
        ["big", "small"].map(|table| {
            let output = desk.run(&["cat", &format!("{id}:/db/d/data/public.{table}")]);
            assert!(output.status.success(), "{}", text(&output.stderr));
            output.stdout
        })
    };
    let expected = content(&first);
    let holds = |bytes: &[u8]| bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes());
    assert!(!expected.iter().any(|bytes| holds(bytes)));
    let (wanted, mut met) = (times(9, 90), 0);
    while met < wanted {
        let mut child = desk.spawn(&args);
        let is_met = moments.meets(&mut child);
        match met % 3 {
            0 => _ = child.kill(),
            1 => {
                let id = child.id().to_string();
                Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status().unwrap();
            }
            // The server goes away in the middle of a COPY.
            _ => _ = cluster.kill_backends_named("pgark"),
        }
        let output = child.wait_with_output().unwrap();
        met += usize::from(is_met);
        assert!(!holds(&output.stderr) && !holds(&output.stdout), "{}", text(&output.stderr));
        let report = desk.json(&["check", "--read-data", "--json"]);
        assert_eq!(report["ok"], true, "{report}");
    }
    let list = desk.json(&["list", "--json"]);
    let backups = list["backups"].as_array().unwrap();
    for backup in backups {
        assert_eq!(backup["kind"], "masked logical");
        assert!(content(backup["id"].as_str().unwrap()) == expected, "{backup}");
    }
    tell(
        "kill -9, SIGTERM and a lost server of a masked backup",
        met,
        &format!("clean; {} committed backups equal", backups.len()),
    );
}
