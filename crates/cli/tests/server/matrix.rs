//! Every major that this machine has, into itself and every newer one (`./test --full` prepares 13
//! to 18).

use std::path::Path;

use pgark_testkit::oracle::{Snapshot, assert_same};
use pgark_testkit::{Cluster, available_majors, in_full, shop, zoo};

use super::support::{Desk, stock};

#[test]
fn every_major_into_itself_and_every_newer_one() {
    if !in_full("the matrix of majors") {
        return;
    }
    let majors: Vec<u32> = available_majors().iter().map(|found| found.major).collect();
    assert!(
        (13..=18).all(|major| majors.contains(&major)),
        "./test --full prepares 13 to 18; here are {majors:?}"
    );
    let clusters: Vec<Cluster> = (13..=18).map(|major| Cluster::builder().major(major).start()).collect();
    let mut table = String::new();
    for (number, source) in clusters.iter().enumerate() {
        zoo::load_portable(source, "zoo");
        shop::load(source, "shop", 10, 3);
        let desk = Desk::plain();
        let pg_dump = source.bin("pg_dump").display().to_string();
        for db in ["zoo", "shop"] {
            let info = source.conninfo(db);
            let id = desk.ok(&["backup", "--dbname", &info, "--pg-dump", &pg_dump]).trim().to_string();
            let folder = desk.path(&format!("{db}.stock"));
            stock(source.client("pg_dump").args(["-Fd", "-f", &folder.display().to_string(), db]));
            for target in clusters.iter().skip(number) {
                let (ours, theirs) =
                    (format!("{db}_{}_ours", source.major()), format!("{db}_{}_stock", source.major()));
                // Roles are of the cluster: the restore names those that are missing.
                let globals = desk.ok(&["cat", &format!("{id}:/globals.sql")]);
                if target.major() != source.major() {
                    create_roles(target, &globals);
                }
                if db == "zoo" {
                    zoo::install_extension(target);
                }
                let output = desk.run(&["restore", &id, "--dbname", &target.conninfo(&ours), "--create"]);
                let gaps = gaps(&output, source.major(), target.major());
                target.sql("postgres", &format!("CREATE DATABASE {theirs} TEMPLATE template0"));
                let mut restore = target.client("pg_restore");
                let done = restore.args(["-d", &target.conninfo(&theirs)]).arg(&folder).output().unwrap();
                let said = super::support::text(&done.stderr);
                let mut expected = Snapshot::take(target, &theirs);
                let restored = Snapshot::take(target, &ours);
                // The stock restore without --create leaves the database's own properties.
                expected.database.clone_from(&restored.database);
                assert_same(&expected, &restored);
                if target.major() == source.major() {
                    assert_same(&Snapshot::take(source, db), &restored);
                }
                assert_eq!(
                    done.status.success(),
                    gaps.is_empty(),
                    "{} to {}: {said}",
                    source.major(),
                    target.major()
                );
                table.push_str(&format!(
                    "| {db} (without contrib): PostgreSQL {} into {} (pg_dump of {}) | 1 | equal to stock pg_restore{gaps} |\n",
                    source.major(),
                    target.major(),
                    version(&source.bin("pg_dump"))
                ));
            }
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("zz matrix.md"), table).unwrap();
}

/// Forty databases with roles, settings and access rights, from each major into a fresh cluster of
/// the same and every newer one.
#[test]
fn whole_clusters_into_every_newer_major() {
    if !in_full("the matrix of majors") {
        return;
    }
    let mut table = String::new();
    for major in 13..=18 {
        let source = Cluster::builder().major(major).conf("max_connections = 60").start();
        let names = super::cluster::fill(&source, 40);
        let desk = Desk::plain();
        let pg_dump = source.bin("pg_dump").display().to_string();
        let id =
            desk.ok(&["backup", "--all", "--dbname", &source.conninfo("postgres"), "--pg-dump", &pg_dump]);
        for newer in major..=18 {
            let target = Cluster::builder().major(newer).start();
            zoo::install_extension(&target);
            let output = desk.run(&[
                "restore",
                id.trim(),
                "--all",
                "--globals",
                "--dbname",
                &target.conninfo("postgres"),
            ]);
            let gaps = gaps(&output, major, newer);
            // Where the package lacks something, the zoo is not whole; `every_major_…` compares it
            // with a stock restore.
            let compared: Vec<String> =
                names.iter().filter(|name| gaps.is_empty() || *name != "zoo").cloned().collect();
            super::cluster::assert_same_content(&source, &target, &compared);
            table.push_str(&format!(
                "| a cluster of {} databases: PostgreSQL {major} into {newer} | 1 | the same rows, sequences, large objects, properties{gaps} |\n",
                names.len()
            ));
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("zz matrix of clusters.md"), table).unwrap();
}

/// What this machine's package of the target cannot do at all; any other failure is one.
fn gaps(output: &std::process::Output, source: u32, target: u32) -> String {
    let said = super::support::text(&output.stderr);
    if output.status.success() {
        return String::new();
    }
    assert_eq!(output.status.code(), Some(3), "{source} to {target}: {said}");
    let mut gaps = std::collections::BTreeSet::new();
    for line in said.lines().filter(|line| line.contains(" WARN ")) {
        match line {
            _ if line.contains("ICU is not supported") => gaps.insert("ICU"),
            _ if line.contains("unsupported XML feature") => gaps.insert("libxml"),
            // What stands on one of those.
            _ if line.contains("42704") || line.contains("nocase") => gaps.insert("ICU"),
            _ => panic!("{source} to {target}: {line}"),
        };
    }
    let gaps: Vec<&str> = gaps.into_iter().collect();
    format!("; gap: the package of {target} lacks {}", gaps.join(" and "))
}

fn create_roles(target: &Cluster, globals: &str) {
    for line in globals.lines().filter_map(|line| line.strip_prefix("CREATE ROLE ")) {
        // Those that are there already stay.
        let _ = target.try_sql("postgres", &format!("CREATE ROLE {line}"));
    }
}

fn version(program: &Path) -> String {
    let words = stock(std::process::Command::new(program).arg("--version"));
    words.split_whitespace().nth(2).unwrap_or("?").to_string()
}
