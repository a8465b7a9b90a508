//! Scans of directories made by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Made, SetAtEnd, fifo, folders, listed, text};
use pgark_datadir::scan::{FolderKind, LeftOut, Location, ScanOptions, Tablespace, scan};
use pgark_datadir::{DataDir, Error};

/// A directory with one of everything that has a rule.
fn one_of_everything() -> Made {
    let made = Made::new();
    let page = [7; 8192];
    for path in [
        // Pages.
        "global/1262",
        "global/1262_fsm",
        "base/5/1259",
        "base/5/1259.1",
        "base/5/1259_vm",
        "pg_xact/0000",
        "pg_multixact/offsets/0000",
        "pg_multixact/members/00AF",
        "pg_commit_ts/0001",
        // An unlogged table; its number is the beginning of others.
        "base/5/16390",
        "base/5/16390.1",
        "base/5/16390_fsm",
        "base/5/16390_vm",
        "base/5/16390_init",
        "base/5/163900",
        "base/5/1639",
        // Temporary.
        "base/5/t3_16400",
        "base/5/t3_16400_fsm",
        "base/5/pgsql_tmp12.0",
        "base/pgsql_tmp/pgsql_tmp12.0",
        // The same names where they mean nothing.
        "global/t3_16400",
        "other/t3_16400",
        "other/1259",
        "global/16390_init",
        "global/16390",
        "pg_xact/leftover",
    ] {
        made.file(&format!("data/{path}"), &page);
    }
    for path in [
        "postgresql.conf",
        "postgresql.auto.conf",
        "postgresql.auto.conf.tmp",
        "current_logfiles",
        "current_logfiles.tmp",
        "backup_label",
        "backup_label.old",
        "tablespace_map",
        "tablespace_map.old",
        "backup_manifest",
        "backup_manifest.tmp",
        "postmaster.pid",
        "postmaster.opts",
        "recovery.signal",
        "standby.signal",
        "global/pg_control",
        "global/pg_filenode.map",
        "global/pg_internal.init",
        "base/5/PG_VERSION",
        "base/5/pg_filenode.map",
        "base/5/pg_internal.init.4711",
        "base/5/1259.old",
        "pg_logical/replorigin_checkpoint",
        "pg_stat/pgstat.stat",
        "pg_stat_tmp/db_0.stat",
        "pg_replslot/slot/state",
        "pg_dynshmem/mmap.1",
        "pg_notify/0000",
        "pg_serial/0000",
        "pg_snapshots/00000003-1",
        "pg_subtrans/0000",
        "pg_twophase/000002F1",
        "pg_wal/000000010000000000000001",
        "pg_wal/archive_status/000000010000000000000001.done",
        "log/postgresql.log",
        "log/pg_notify/kept",
        "extension/recovery.signal",
    ] {
        made.file(&format!("data/{path}"), b"text");
    }
    fs::create_dir_all(made.path("data/empty/within")).unwrap();
    made
}

#[test]
fn each_rule_is_followed() {
    let made = one_of_everything();
    let scan = made.scan().unwrap();
    let expected = [
        "PG_VERSION 3",
        "base/5/1259 8192+",
        "base/5/1259.1 8192+",
        "base/5/1259.old 4",
        "base/5/1259_vm 8192+",
        "base/5/1639 8192+",
        "base/5/163900 8192+",
        "base/5/16390_init 8192+",
        "base/5/PG_VERSION 4",
        "base/5/pg_filenode.map 4",
        "current_logfiles 4",
        "extension/recovery.signal 4",
        "global/1262 8192+",
        "global/1262_fsm 8192+",
        "global/16390 8192+",
        "global/16390_init 8192+",
        "global/pg_control 4",
        "global/pg_filenode.map 4",
        "global/t3_16400 8192",
        "log/pg_notify/kept 4",
        "log/postgresql.log 4",
        "other/1259 8192",
        "other/t3_16400 8192",
        "pg_commit_ts/0001 8192+",
        "pg_logical/replorigin_checkpoint 4",
        "pg_multixact/members/00AF 8192+",
        "pg_multixact/offsets/0000 8192+",
        "pg_stat/pgstat.stat 4",
        "pg_twophase/000002F1 4",
        "pg_xact/0000 8192+",
        "pg_xact/leftover 8192",
        "postgresql.auto.conf 4",
        "postgresql.conf 4",
    ];
    assert_eq!(listed(&scan), expected);
    let expected = [
        "",
        "base",
        "base/5",
        "empty",
        "empty/within",
        "extension",
        "global",
        "log",
        "log/pg_notify",
        "other",
        "pg_commit_ts",
        "pg_dynshmem",
        "pg_logical",
        "pg_multixact",
        "pg_multixact/members",
        "pg_multixact/offsets",
        "pg_notify",
        "pg_replslot",
        "pg_serial",
        "pg_snapshots",
        "pg_stat",
        "pg_stat_tmp",
        "pg_subtrans",
        "pg_twophase",
        "pg_wal",
        "pg_wal/archive_status",
        "pg_xact",
    ];
    assert_eq!(folders(&scan), expected);
    // With the folder base/pgsql_tmp; 12 names at the top, two caches of relations.
    assert_eq!(scan.left_out, LeftOut { temporary: 4, unlogged: 4, by_name: 14 });
    assert_eq!((scan.major, scan.files(), scan.tablespaces.len()), (15, 33, 0));
    assert_eq!(scan.bytes(), 18 * 8192 + 14 * 4 + 3);
    assert!(scan.links.is_empty() && scan.special.is_empty() && scan.wal_link.is_none());

    let database = scan.folder(b"base/5").unwrap();
    assert_eq!(database.kind, FolderKind::Database { tablespace: None, oid: 5 });
    assert_eq!(scan.folder(b"global").unwrap().kind, FolderKind::Global);
    assert_eq!(scan.folder(b"pg_multixact/members").unwrap().kind, FolderKind::Status);
    assert!(scan.folder(b"base/6").is_none());
}

#[test]
fn modes_owners_and_times_are_told() {
    let made = one_of_everything();
    let file = made.path("data/base/5/1259");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(made.path("data/base/5"), fs::Permissions::from_mode(0o2750)).unwrap();
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_764_540_000, 123_456_789))
        .unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(made.path("data/base/5"), Some(1234), Some(4321)).unwrap();
    }
    let scan = made.scan().unwrap();
    let folder = scan.folder(b"base/5").unwrap();
    let real = fs::metadata(made.path("data/base/5")).unwrap();
    assert_eq!((folder.mode, folder.uid, folder.gid), (0o2750, real.uid(), real.gid()));
    let found = folder.pages.find(b"1259").unwrap();
    assert_eq!((found.mode, found.bytes, found.modified), (0o640, 8192, 1_764_540_000_123_456_789));
    assert_eq!(scan.folder(b"").unwrap().mode, 0o755);
}

#[test]
fn tablespaces_are_read_through_their_links() {
    let made = one_of_everything();
    made.file("far/PG_15_202209061/5/16500", &[1; 8192]);
    made.file("far/PG_15_202209061/5/16501_init", &[1; 8192]);
    made.file("far/PG_15_202209061/5/16501", &[1; 8192]);
    made.file("far/PG_15_202209061/pgsql_tmp/pgsql_tmp1.0", b"x");
    made.file("far/PG_14_202107181/5/16500", &[1; 8192]);
    made.file("far/mine.txt", b"not PostgreSQL's");
    fs::create_dir_all(made.path("data/pg_tblspc")).unwrap();
    symlink(made.path("far"), made.path("data/pg_tblspc/16400")).unwrap();
    // In place, and one whose location is inside the data directory.
    made.file("data/pg_tblspc/16401/PG_15_202209061/6/16600.2", &[1; 8192]);
    made.file("data/inside/PG_15_202209061/7/16700", &[1; 8192]);
    symlink(made.path("data/inside"), made.path("data/pg_tblspc/16402")).unwrap();
    symlink("/etc", made.path("data/pg_tblspc/nonsense")).unwrap();

    let scan_all = made.scan().unwrap();
    let places: Vec<(u32, Location)> =
        scan_all.tablespaces.iter().map(|Tablespace { oid, location }| (*oid, location.clone())).collect();
    let link = |path: &str| Location::Link(made.path(path).as_os_str().as_bytes().to_vec());
    assert_eq!(places, [(16400, link("far")), (16401, Location::InPlace), (16402, link("data/inside"))]);
    let of_tablespaces = |files: Vec<String>| -> Vec<String> {
        files.into_iter().filter(|path| path.starts_with("pg_tblspc") || path.starts_with("inside")).collect()
    };
    let expected = [
        "pg_tblspc/16400/PG_15_202209061/5/16500 8192+",
        "pg_tblspc/16400/PG_15_202209061/5/16501_init 8192+",
        "pg_tblspc/16401/PG_15_202209061/6/16600.2 8192+",
        "pg_tblspc/16402/PG_15_202209061/7/16700 8192+",
    ];
    assert_eq!(of_tablespaces(listed(&scan_all)), expected);
    let expected = [
        "inside",
        "pg_tblspc",
        "pg_tblspc/16400",
        "pg_tblspc/16400/PG_15_202209061",
        "pg_tblspc/16400/PG_15_202209061/5",
        "pg_tblspc/16401",
        "pg_tblspc/16401/PG_15_202209061",
        "pg_tblspc/16401/PG_15_202209061/6",
        "pg_tblspc/16402",
        "pg_tblspc/16402/PG_15_202209061",
        "pg_tblspc/16402/PG_15_202209061/7",
    ];
    assert_eq!(of_tablespaces(folders(&scan_all)), expected);
    let [nonsense] = &scan_all.links[..] else { panic!("{:?}", scan_all.links) };
    assert_eq!((text(&nonsense.path), text(&nonsense.target)), ("pg_tblspc/nonsense".into(), "/etc".into()));
    let kind = scan_all.folder(b"pg_tblspc/16401/PG_15_202209061/6").unwrap().kind;
    assert_eq!(kind, FolderKind::Database { tablespace: Some(16401), oid: 6 });

    // A beta's catalog is another one.
    let options = ScanOptions { catalog_version: Some(202_206_301) };
    let other = scan(&made.directory(), &options, &|| false).unwrap();
    assert_eq!(of_tablespaces(listed(&other)), [""; 0]);
    let options = ScanOptions { catalog_version: Some(202_209_061) };
    let same = scan(&made.directory(), &options, &|| false).unwrap();
    assert_eq!(listed(&same), listed(&scan_all));
}

/// The WAL makes it again, with what is in it.
#[test]
fn a_tablespace_that_is_made_meanwhile_is_not_taken() {
    let made = one_of_everything();
    fs::create_dir_all(made.path("data/pg_tblspc/16400/PG_15_202209061/5")).unwrap();
    made.file("far/PG_15_202209061/5/16500", &[1; 8192]);
    let asked = Cell::new(0);
    let make = || {
        // The first question is in the search for tablespaces.
        if asked.replace(asked.get() + 1) == 1 {
            made.file("data/pg_tblspc/16401/PG_15_202209061/5/16500", &[1; 8192]);
            symlink(made.path("far"), made.path("data/pg_tblspc/16402")).unwrap();
        }
        false
    };
    let scan = scan(&made.directory(), &ScanOptions::default(), &make).unwrap();
    assert_eq!(scan.tablespaces, [Tablespace { oid: 16400, location: Location::InPlace }]);
    let folders: Vec<String> =
        folders(&scan).into_iter().filter(|path| path.starts_with("pg_tblspc/1640")).collect();
    let own = ["pg_tblspc/16400", "pg_tblspc/16400/PG_15_202209061", "pg_tblspc/16400/PG_15_202209061/5"];
    assert_eq!(folders, own);
    assert!(scan.links.is_empty());
}

#[test]
fn a_tablespace_that_is_not_there_is_named() {
    let made = one_of_everything();
    fs::create_dir_all(made.path("data/pg_tblspc")).unwrap();
    symlink("/not/mounted", made.path("data/pg_tblspc/16400")).unwrap();
    let error = made.scan().unwrap_err();
    assert_eq!(error.to_string(), "the directory of tablespace 16400, /not/mounted, cannot be opened");
    assert!(matches!(error, Error::Tablespace { oid: 16400, source, .. }
        if source.kind() == std::io::ErrorKind::NotFound));
}

#[test]
fn a_linked_pg_wal_is_followed_and_other_links_are_listed() {
    let made = one_of_everything();
    fs::rename(made.path("data/pg_wal"), made.path("wal")).unwrap();
    fs::create_dir(made.path("wal/summaries")).unwrap();
    fs::set_permissions(made.path("wal"), fs::Permissions::from_mode(0o711)).unwrap();
    symlink("../wal", made.path("data/pg_wal")).unwrap();
    symlink("/etc", made.path("data/linked")).unwrap();
    symlink("1259", made.path("data/base/5/16999")).unwrap();
    symlink("/nowhere", made.path("data/postmaster.pid.link")).unwrap();
    let scan = made.scan().unwrap();
    assert_eq!(scan.wal_link.as_deref(), Some(&b"../wal"[..]));
    let of_wal: Vec<String> = folders(&scan).into_iter().filter(|path| path.starts_with("pg_wal")).collect();
    assert_eq!(of_wal, ["pg_wal", "pg_wal/archive_status", "pg_wal/summaries"]);
    assert_eq!(scan.folder(b"pg_wal").unwrap().mode, 0o711);
    let links: Vec<String> =
        scan.links.iter().map(|link| format!("{} {}", text(&link.path), text(&link.target))).collect();
    assert_eq!(links, ["base/5/16999 1259", "linked /etc", "postmaster.pid.link /nowhere"]);
    assert_eq!(scan.files(), 33);
}

#[test]
fn what_is_not_a_file_is_listed_and_left_alone() {
    let made = one_of_everything();
    fifo(&made.path("data/base/5/16998"));
    fifo(&made.path("data/pipe"));
    let _socket = UnixListener::bind(made.path("data/.s.PGSQL.5432")).unwrap();
    let scan = made.scan().unwrap();
    let special: Vec<String> = scan.special.iter().map(|path| text(path)).collect();
    assert_eq!(special, [".s.PGSQL.5432", "base/5/16998", "pipe"]);
    assert_eq!(scan.files(), 33);
    let folder = made.directory().folder(b"base/5").unwrap().unwrap();
    assert!(matches!(folder.file(b"16998"), Err(Error::NotAFile { .. })));
}

#[test]
fn names_need_not_be_utf_8() {
    let made = one_of_everything();
    let folder = made.path("data").join(OsStr::from_bytes(b"old\xff\xfe"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"caf\xe9\n")), b"12345").unwrap();
    let scan = made.scan().unwrap();
    let found = scan.folder(b"old\xff\xfe").unwrap();
    assert_eq!(found.others.find(b"caf\xe9\n").unwrap().bytes, 5);
    let opened = made.directory().folder(&found.path).unwrap().unwrap();
    assert_eq!(opened.file(b"caf\xe9\n").unwrap().unwrap().about.bytes, 5);
    assert!(opened.file(b"caf").unwrap().is_none());
}

/// A folder that became a link after it was listed leads nowhere, at any depth.
#[test]
fn no_link_is_followed_below_the_directory() {
    let made = one_of_everything();
    let directory = made.directory();
    assert!(directory.folder(b"base/5").unwrap().is_some());
    fs::rename(made.path("data/base"), made.path("base")).unwrap();
    symlink("../base", made.path("data/base")).unwrap();
    for path in [&b"base"[..], b"base/5"] {
        assert!(matches!(directory.folder(path), Err(Error::NotAFolder { .. })), "{}", text(path));
    }
    assert!(matches!(directory.folder(b"PG_VERSION"), Err(Error::NotAFolder { .. })));
    for path in [&b"../base"[..], b"base/../base", b"./global", b"global/", b"/global", b"missing", b"\0"] {
        let opened = directory.folder(path);
        assert!(!matches!(opened, Ok(Some(_))), "{}", text(path));
    }
    let root = directory.folder(b"").unwrap().unwrap();
    symlink("PG_VERSION", made.path("data/linked")).unwrap();
    assert!(matches!(root.file(b"linked"), Err(Error::NotAFile { .. })));
    assert!(matches!(root.file(b"global"), Err(Error::NotAFile { .. })));
}

#[test]
fn what_is_not_a_data_directory_is_refused() {
    let made = Made::new();
    fs::write(made.path("data/PG_VERSION"), "9.6\n").unwrap();
    let error = made.scan().unwrap_err().to_string();
    assert!(error.ends_with(r#"has "9.6", which is not the major version of a data directory"#), "{error}");
    fs::remove_file(made.path("data/PG_VERSION")).unwrap();
    assert!(matches!(made.scan(), Err(Error::NotADataDirectory { .. })));
    let missing = DataDir::open(&made.path("missing")).unwrap_err().to_string();
    assert!(missing.starts_with("open the data directory "), "{missing}");
}

#[test]
fn a_scan_can_be_stopped_anywhere() {
    let made = one_of_everything();
    let directory = made.directory();
    let asked = Cell::new(0);
    let count = || {
        asked.set(asked.get() + 1);
        false
    };
    scan(&directory, &ScanOptions::default(), &count).unwrap();
    let all = asked.get();
    assert!(all > 30, "{all}");
    for last in 0..all {
        let left = Cell::new(last);
        let stop = || left.replace(left.get() - 1) == 0;
        assert!(matches!(scan(&directory, &ScanOptions::default(), &stop), Err(Error::Cancelled)));
    }
}

/// Files, folders and tablespaces come and go: what was there all the time is found, each time.
#[test]
fn what_vanishes_meanwhile_is_not_an_error() {
    let made = one_of_everything();
    fs::create_dir_all(made.path("data/pg_tblspc")).unwrap();
    for number in 20_000..20_400 {
        made.file(&format!("data/base/5/{number}"), &[1; 100]);
    }
    let is_done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for round in 0.. {
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
                for number in 0..40 {
                    made.file(&format!("data/base/5/{}", 30_000 + number), b"x");
                    made.file(&format!("data/base/{}/1259", 100 + number), b"x");
                    made.file(&format!("data/log/{round}/{number}/deep"), b"x");
                }
                fs::create_dir_all(made.path("gone/PG_15_1/5")).unwrap();
                symlink(made.path("gone"), made.path("data/pg_tblspc/16400")).unwrap();
                // As DROP TABLESPACE: the link is what ends it.
                fs::remove_file(made.path("data/pg_tblspc/16400")).unwrap();
                fs::remove_dir_all(made.path("gone")).unwrap();
                for number in 0..40 {
                    fs::remove_file(made.path(&format!("data/base/5/{}", 30_000 + number))).unwrap();
                    fs::remove_dir_all(made.path(&format!("data/base/{}", 100 + number))).unwrap();
                }
                fs::remove_dir_all(made.path(&format!("data/log/{round}"))).unwrap();
            }
        });
        let _ended = SetAtEnd(&is_done);
        for _ in 0..15 {
            let scan = made.scan().unwrap();
            let database = scan.folder(b"base/5").unwrap();
            assert!(
                (20_000..20_400).all(|number| database.pages.find(number.to_string().as_bytes()).is_some())
            );
            assert!(scan.folder(b"pg_xact").unwrap().pages.find(b"0000").is_some());
        }
    });
}

#[test]
fn many_files_take_little_memory() {
    let made = Made::new();
    for folder in 0..10 {
        fs::create_dir_all(made.path(&format!("data/base/{}", 16_384 + folder))).unwrap();
        for number in 0..2000 {
            let path = made.path(&format!("data/base/{}/{}", 16_384 + folder, 4_000_000_000u32 + number));
            fs::File::create(path).unwrap();
        }
    }
    let scan = made.scan().unwrap();
    assert_eq!(scan.files(), 20_001);
    assert!(scan.memory() <= 64 * scan.files(), "{} bytes", scan.memory());
}
