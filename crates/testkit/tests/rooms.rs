//! The law of direction: which crate may use which, held against `cargo metadata`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Crate and what it may use (the table in ARCHITECTURE.md; `ops` may use all below it).
const ROOMS: [(&str, &[&str]); 10] = [
    ("pgark-bytes", &[]),
    ("pgark-datadir", &["pgark-bytes"]),
    ("pgark-mask", &["pgark-bytes"]),
    ("pgark-pg", &["pgark-bytes"]),
    ("pgark-store", &[]),
    ("pgark-repo", &["pgark-store"]),
    ("pgark-ops", &["pgark-bytes", "pgark-datadir", "pgark-mask", "pgark-pg", "pgark-store", "pgark-repo"]),
    ("pgark", &["pgark-ops", "pgark-web"]),
    ("pgark-web", &["pgark-ops"]),
    ("pgark-module", &["pgark-bytes", "pgark-datadir"]),
];
const TESTKIT: &str = "pgark-testkit";

#[test]
fn crates_use_only_what_their_room_may() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline", "--manifest-path", manifest])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert!(names.contains("pgark") && names.contains(TESTKIT), "{names:?}");

    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let folder = std::path::Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
        let expected = if name == "pgark" { "cli" } else { name.strip_prefix("pgark-").unwrap_or(name) };
        if folder.file_name().unwrap() != expected {
            faults.push(format!("{name} is in the folder {}", folder.display()));
        }
        if name == TESTKIT {
            continue; // it may use any
        }
        let Some((_, allowed)) = ROOMS.iter().find(|(room, _)| *room == name) else {
            faults.push(format!("{name} is no room of the design"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let for_tests_only = dependency["kind"] == "dev";
            if used == TESTKIT && !for_tests_only {
                faults.push(format!("{name} uses {TESTKIT} outside its tests"));
            } else if used != TESTKIT && names.contains(used) && !for_tests_only && !allowed.contains(&used) {
                faults.push(format!("{name} uses {used}"));
            }
        }
    }
    assert!(faults.is_empty(), "the law of direction is broken: {faults:#?}");
}
