//! `pgark diff` of physical backups, judged by the bytes of what they restore to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::physical::{back_up, fill, id, source};
use super::support::{Desk, files};

const PAGE: usize = 8192;

/// What became of a file: the word for it, the pages that differ, and the lengths.
#[derive(Debug, PartialEq)]
struct Change {
    change: String,
    pages: Option<u64>,
    bytes: (Option<u64>, Option<u64>),
}

/// What `diff` says of the data directory, by path, and which of these files consist of pages.
fn told(report: &Value) -> (BTreeMap<String, Change>, BTreeSet<String>) {
    let (mut changes, mut paged) = (BTreeMap::new(), BTreeSet::new());
    for file in report["files"].as_array().unwrap() {
        let Some(path) = file["path"].as_str().unwrap().strip_prefix("/pgdata/") else { continue };
        let change = Change {
            change: file["change"].as_str().unwrap().to_string(),
            pages: file["pages"].as_u64(),
            bytes: (file["bytes"][0].as_u64(), file["bytes"][1].as_u64()),
        };
        if file["is_paged"].as_bool().unwrap() {
            paged.insert(path.to_string());
        }
        assert!(changes.insert(path.to_string(), change).is_none(), "{path} twice: {report:#}");
    }
    (changes, paged)
}

/// Every file below a directory, without what a restore adds.
fn content(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let below = |path: &Path| path.strip_prefix(directory).unwrap().display().to_string();
    let all = files(directory).into_iter().map(|path| (below(&path), fs::read(&path).unwrap()));
    all.filter(|(path, _)| path != "backup_manifest" && !path.ends_with(".signal")).collect()
}

/// The same by comparing two directories page by page.
fn differing(a: &Path, b: &Path, paged: &BTreeSet<String>) -> BTreeMap<String, Change> {
    let (a, b) = (content(a), content(b));
    let mut changes = BTreeMap::new();
    for path in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
        let (own, other) = (a.get(path), b.get(path));
        if own == other {
            continue;
        }
        let change = match (own, other) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        let pages = |file: Option<&Vec<u8>>| -> Vec<Vec<u8>> {
            file.map(|file| file.chunks(PAGE).map(<[u8]>::to_vec).collect()).unwrap_or_default()
        };
        let (own_pages, others) = (pages(own), pages(other));
        let all = 0..own_pages.len().max(others.len());
        let count = all.filter(|number| own_pages.get(*number) != others.get(*number)).count() as u64;
        let length = |file: Option<&Vec<u8>>| file.map(|file| file.len() as u64);
        changes.insert(
            path.clone(),
            Change {
                change: change.to_string(),
                pages: paged.contains(path).then_some(count),
                bytes: (length(own), length(other)),
            },
        );
    }
    changes
}

/// After changes of every sort the lists name exactly the files and pages in which two restored
/// directories differ.
#[test]
fn exactly_what_differs_is_named() {
    let cluster = source();
    fill(&cluster, "d", 20_000);
    cluster.sql(
        "d",
        "CREATE TABLE moved AS SELECT g, md5(g::text) text FROM generate_series(1, 30000) g; \
         DELETE FROM moved WHERE g % 3 = 0; CREATE TABLE gone AS SELECT 1 a; CREATE TABLE grows (a text); \
         INSERT INTO grows SELECT repeat('x', 500) FROM generate_series(1, 500); \
         CREATE TABLE still AS SELECT g FROM generate_series(1, 50000) g; VACUUM ANALYZE; CHECKPOINT",
    );
    let path = |table: &str| cluster.psql_text("d", &format!("SELECT pg_relation_filepath('{table}')"));
    let [updated, moved, gone, grows, still] = ["t", "moved", "gone", "grows", "still"].map(path);
    let mut desk = Desk::with_identity();
    let first = id(&back_up(&desk, &cluster));
    cluster.sql("d", "UPDATE t SET text = 'a' || text WHERE id % 500 = 3");
    cluster.sql("d", "VACUUM FULL moved");
    cluster.sql("d", "DROP TABLE gone; CREATE TABLE fresh AS SELECT g FROM generate_series(1, 9000) g");
    cluster.sql("d", "INSERT INTO grows SELECT repeat('y', 500) FROM generate_series(1, 5000)");
    cluster.create_database("other");
    cluster.sql("d", "CHECKPOINT");
    let moved_to = path("moved");
    let fresh = path("fresh");
    let second = id(&back_up(&desk, &cluster));
    let place = TempDir::new_in("/tmp").unwrap();
    let [a, b] = [&first, &second].map(|id| {
        let to = place.path().join(id);
        desk.ok(&["restore", id, "--to-dir", &to.display().to_string()]);
        to
    });
    for (from, to, a, b) in [(&first, &second, &a, &b), (&second, &first, &b, &a), (&first, &first, &a, &a)] {
        let report = desk.json(&["diff", from, to, "--json"]);
        let (told, paged) = told(&report);
        let expected = differing(a, b, &paged);
        let paths: BTreeSet<&String> = told.keys().chain(expected.keys()).collect();
        for path in paths {
            assert_eq!(told.get(path), expected.get(path), "{path} from {from} to {to}");
        }
        let sum = |change: &str| told.values().filter(|of| of.change == change).count() as u64;
        // Settings and the like are not in the data directory.
        let others = report["files"].as_array().unwrap().len() - told.len();
        assert_eq!(report["files_added"], sum("added"));
        assert_eq!(report["files_removed"], sum("removed"));
        assert_eq!(report["files_changed"].as_u64().unwrap(), sum("changed") + others as u64);
        let changed = told.values().filter(|of| of.change == "changed").filter_map(|of| of.pages);
        assert_eq!(report["pages_changed"], changed.sum::<u64>());
        assert_eq!(report["files_unknown"], 0);
        assert_eq!(from == to, told.is_empty());
    }
    // What was done is what it says.
    let report = desk.json(&["diff", &first, &second, "--json"]);
    let (told, paged) = told(&report);
    let of = |path: &str| told.get(path).map(|of| (of.change.as_str(), of.pages.unwrap()));
    let (change, pages) = of(&updated).unwrap();
    assert!(change == "changed" && (40..400).contains(&pages), "{change} {pages}");
    assert_eq!(of(&moved).unwrap().0, "removed");
    assert_eq!(of(&moved_to).unwrap().0, "added");
    assert_eq!(of(&gone).unwrap(), ("removed", 1));
    assert_eq!(of(&fresh).unwrap().0, "added");
    assert!(of(&grows).unwrap().1 > 300 && told[&grows].bytes.0 < told[&grows].bytes.1);
    assert_eq!(of(&still), None);
    assert!(paged.contains(&updated) && !paged.contains("global/pg_control"));
    let folders = report["folders"].as_array().unwrap();
    assert!(folders.iter().any(|folder| folder["change"] == "added"), "a database came: {folders:#?}");
    // For people: totals, and the files with the most pages.
    let shown = desk.ok(&["diff", &first, &second]);
    assert!(shown.contains("added") && shown.contains(&format!("/pgdata/{grows}")), "{shown}");
    assert!(shown.contains("--json lists them all") && !shown.contains(&still), "{shown}");
    assert!(desk.ok(&["diff", &first, &first]).contains("no differences"));
    // No data is read: the key that only writes is enough.
    desk.without_secret();
    assert!(!desk.run(&["cat", &format!("{second}:/pgdata/PG_VERSION")]).status.success());
    assert_eq!(desk.json(&["diff", &first, &second, "--json"]), report);
}

/// Two backups of a server that did nothing differ in what each backup itself changes.
#[test]
fn equal_backups_differ_in_little() {
    let cluster = source();
    fill(&cluster, "d", 3_000);
    cluster.sql("d", "CHECKPOINT");
    let desk = Desk::plain();
    let first = id(&back_up(&desk, &cluster));
    let second = id(&back_up(&desk, &cluster));
    let report = desk.json(&["diff", &first, &second, "--json"]);
    let volatile = |path: &str| {
        path == "/pgdata/backup_label"
            || path == "/pgdata/global/pg_control"
            || path.starts_with("/pgdata/pg_wal/")
    };
    for file in report["files"].as_array().unwrap() {
        assert!(volatile(file["path"].as_str().unwrap()), "{report:#}");
    }
    assert_eq!(report["pages_changed"], 0);
    let paths = report["files"].to_string();
    assert!(paths.contains("backup_label") && paths.contains("pg_control"), "{paths}");
}

/// What can be compared with what.
#[test]
fn kinds_of_backups_are_not_mixed() {
    let cluster = source();
    fill(&cluster, "d", 500);
    let desk = Desk::plain();
    let first = id(&back_up(&desk, &cluster));
    let second = id(&back_up(&desk, &cluster));
    let logical = desk.backup(&cluster, "d");
    let said = desk.example("A comparison of backups of two kinds", 1, &["diff", &first, &logical]);
    assert!(said.contains("physical") && said.contains("logical") && said.contains("list"), "{said}");
    // `latest` is the newest of the kind that the other one is of.
    let report = desk.json(&["diff", &first, "latest", "--json"]);
    assert_eq!(report["b"], second.as_str(), "{report}");
    let report = desk.json(&["diff", "latest", &logical, "--json"]);
    assert_eq!((&report["a"], &report["tables"]), (&logical.as_str().into(), &serde_json::json!([])));
    let said = desk.fails(2, &["diff", &first, &second, "--database", "d"]);
    assert!(said.contains("--database") && said.contains("as a whole"), "{said}");
    let said = desk.fails(1, &["diff", &first, "ffffffffffffffff"]);
    assert!(said.contains("no backup"), "{said}");
}
