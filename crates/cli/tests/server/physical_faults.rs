//! Physical backups and restores where something is missing, in use, full, torn or gone.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pgark_bytes::page::checksum;
use pgark_testkit::{Cluster, SmallDisk, is_full};
use tempfile::TempDir;

use super::physical::{back_up, fill, goes_on, id, restored, source};
use super::support::{Desk, text};

const PAGE: usize = 8192;

/// Each thing that the server may not have is named, with its cure.
#[test]
fn the_server_has_no_room_or_no_line_for_it() {
    let desk = Desk::plain();
    let fails = |cluster: &Cluster, words: &[&str]| {
        let said = desk.fails(1, &["backup", "--physical", "--dbname", &cluster.conninfo("postgres")]);
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
    };
    let slots = Cluster::builder().conf("max_replication_slots = 1").start();
    slots.sql("postgres", "SELECT pg_create_physical_replication_slot('taken')");
    fails(&slots, &["max_replication_slots", "hint"]);
    let senders = Cluster::builder().conf("max_wal_senders = 0").start();
    fails(&senders, &["max_wal_senders", "hint"]);
    let closed = Cluster::builder().hba("local replication all reject").start();
    fails(&closed, &["pg_hba.conf", "replication"]);
    let conninfo = closed.conninfo("postgres");
    closed.stop();
    let said = desk.fails(1, &["backup", "--physical", "--dbname", &conninfo]);
    assert!(said.contains("connect"), "{said}");
    assert!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().is_empty());
}

/// A cluster of the same name that is another system: everything is stored, and the backup says
/// why.
#[test]
fn another_system_of_the_same_name_is_stored_whole() {
    let desk = Desk::plain();
    let take = |cluster: &Cluster| {
        let conninfo = cluster.conninfo("postgres");
        desk.json(&["backup", "--physical", "--cluster", "prod", "--json", "--dbname", &conninfo])
    };
    let first = source();
    take(&first);
    let second = source();
    desk.expects(&["system identifier"]);
    let said = take(&second);
    let pages = &said["physical"]["pages"];
    let total = pages["total"].as_u64().unwrap();
    assert_eq!(pages["new"].as_u64().unwrap() + pages["zero"].as_u64().unwrap(), total, "{said}");
    assert!(said["warnings"].to_string().contains("system identifier"), "{said}");
    restored(&desk, &second, &id(&said), |_| {});
}

/// The server is killed at random moments of a backup: the error says that it is gone, nothing
/// counts, and the next backup goes on.
#[test]
fn a_server_that_dies_fails_its_backup() {
    let cluster = source();
    fill(&cluster, "d", 20_000);
    let desk = Desk::with_identity();
    let first = id(&back_up(&desk, &cluster));
    let mut failed = 0;
    for round in 0..if is_full() { 30 } else { 4 } {
        cluster.sql("d", &format!("UPDATE t SET text = md5(random()::text) WHERE id % 20 = {}", round % 20));
        // Not faster than a server can be killed.
        let rate = ["backup", "--physical", "--rate", "8M", "--dbname", &cluster.conninfo("postgres")];
        let child = desk.spawn(&rate);
        thread::sleep(Duration::from_millis(100 + (round * 131) % 900));
        cluster.crash();
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        if !output.status.success() {
            failed += 1;
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("connect") || said.contains("server"), "{said}");
        }
        cluster.start_again();
    }
    assert!(failed > 0);
    goes_on(&desk, &cluster, &first);
}

/// A page that is written in two halves again and again is read until it is whole, or taken as one
/// that the server was writing; it is never called damaged.
#[test]
fn torn_pages_are_read_again() {
    let cluster = source();
    cluster.create_database("d");
    let oid = cluster.psql_text("d", "SELECT oid FROM pg_database WHERE datname = 'd'");
    let path = cluster.data_directory().join("base").join(oid).join("9999990");
    let pages = 512;
    let content: Vec<[Vec<u8>; 2]> = (0..pages).map(|block| [page(block, 1), page(block, 2)]).collect();
    fs::write(&path, content.iter().flat_map(|both| both[0].clone()).collect::<Vec<u8>>()).unwrap();
    cluster.own(&path);
    let desk = Desk::with_identity();
    let (stop, halves) = (AtomicBool::new(false), AtomicBool::new(false));
    let said = thread::scope(|scope| {
        scope.spawn(|| {
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            for turn in 1.. {
                for (block, both) in content.iter().enumerate() {
                    let page = &both[turn % 2];
                    let at = (block * PAGE) as u64;
                    file.write_all_at(&page[..PAGE / 2], at).unwrap();
                    thread::yield_now();
                    file.write_all_at(&page[PAGE / 2..], at + PAGE as u64 / 2).unwrap();
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
                halves.store(true, Ordering::Relaxed);
            }
        });
        let said = (0..6).map(|_| back_up(&desk, &cluster)).last();
        stop.store(true, Ordering::Relaxed);
        said.unwrap()
    });
    assert!(halves.load(Ordering::Relaxed), "the file was not rewritten meanwhile");
    assert_eq!(said["physical"]["checksum_failures"].as_array().unwrap().len(), 0, "{said}");
    // Torn for good, it is named.
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&content[7][0][..PAGE / 2], 7 * PAGE as u64).unwrap();
    file.write_all_at(&content[7][1][PAGE / 2..], 7 * PAGE as u64 + PAGE as u64 / 2).unwrap();
    let conninfo = cluster.conninfo("postgres");
    let output = desk.run(&["backup", "--physical", "--json", "--dbname", &conninfo]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("9999990") && text(&output.stderr).contains("(block 7)"));
}

/// A page of a table as a server could have written it before the backup began.
fn page(block: u32, filling: u8) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    page[4..8].copy_from_slice(&1u32.to_le_bytes());
    for (at, value) in [(12, 28u16), (14, 4000), (16, 8192), (18, 8192 | 4)] {
        page[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    page[4000..].fill(filling);
    // The second version differs in both halves.
    page[24..28].fill(filling);
    let sum = checksum(&page, block);
    page[8..10].copy_from_slice(&sum.to_le_bytes());
    page
}

/// A disk that gets full while files are written: the error names it, and no server starts in what
/// is there.
#[test]
fn a_full_disk_fails_a_restore() {
    let cluster = source();
    fill(&cluster, "d", 20_000);
    let desk = Desk::plain();
    back_up(&desk, &cluster);
    let small = desk.path("small");
    fs::create_dir(&small).unwrap();
    let disk = SmallDisk::mount(&small, 64 << 10);
    let to = small.join("data").display().to_string();
    let restore = || {
        let arguments = ["restore", "latest", "--to-dir", &to];
        desk.prepared(disk.command(env!("CARGO_BIN_EXE_pgark")), &arguments).output().unwrap()
    };
    // Known beforehand: nothing is written.
    disk.resize(20 << 10);
    let output = restore();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("space") || said.contains("free"), "{said}");
    let there = |path: &Path| disk.command("test").arg("-e").arg(path).status().unwrap().success();
    assert!(!there(Path::new(&to)), "something was written");
    // Not known beforehand: a file system also has a number of files.
    disk.resize(256 << 10);
    let remount = disk.command("mount").args(["-o", "remount,nr_inodes=300"]).arg(&small).status();
    assert!(remount.unwrap().success());
    let output = restore();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(there(Path::new(&to)) && !there(&Path::new(&to).join("global/pg_control")), "{said}");
}

/// The target is inside of what must not be written into, or in use.
#[test]
fn a_target_that_is_in_use_is_refused() {
    let cluster = source();
    let desk = Desk::plain();
    back_up(&desk, &cluster);
    let place = TempDir::new_in("/tmp").unwrap();
    let running = cluster.data_directory().display().to_string();
    let said = desk.fails(1, &["restore", "latest", "--to-dir", &running]);
    assert!(said.contains("is not empty"), "{said}");
    let file = place.path().join("file");
    fs::write(&file, "x").unwrap();
    let said = desk.fails(1, &["restore", "latest", "--to-dir", &file.display().to_string()]);
    assert!(said.contains("director"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), b"x");
    assert_eq!(cluster.psql_text("postgres", "SELECT 1"), "1");
}
