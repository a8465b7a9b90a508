//! Backups and restores against a server that does what real ones rarely do: it resolves a deadlock
//! at our cost, has forgotten a snapshot, and breaks a COPY at every kind of message. Whatever it
//! is, no half-written backup counts, the error names the cause, and nothing waits for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pgark_ops::restore::RestoreReport;
use pgark_ops::storage::{Target, Usage};
use pgark_ops::{
    BackupName, BackupOutcome, BackupStatus, Cancel, ConnInfo, Environment, Job, LocalFolders, OpsError,
    Protection, Repository, Unlock, backup, check, inspect, repository, restore, rowmap,
};
use pgark_testkit::{Cluster, Fault, FaultyServer, What};

/// Far longer than any of this takes: what is not over then waits for something that never comes.
const FOR_EVER: Duration = Duration::from_secs(600);
const ALWAYS: usize = usize::MAX;

struct Site {
    cluster: Cluster,
    repository: Repository,
    _folder: tempfile::TempDir,
}

impl Site {
    /// A database with one good backup.
    fn new() -> Site {
        let cluster = Cluster::start();
        cluster.create_database("d");
        cluster.sql(
            "d",
            "CREATE TABLE t (a int PRIMARY KEY, b text);
             INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 5000) g;
             CREATE INDEX on_b ON t (b);
             CREATE TABLE u (a int); INSERT INTO u VALUES (1);",
        );
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let target = Target::Directory(folder.path().join("repository"));
            repository::connect(target, Usage::default(), true, Cancel::new()).unwrap()
        };
        open().init(Protection::None, &[], &LocalFolders::default()).unwrap();
        let repository = open().open(Unlock::Nothing, LocalFolders::default()).unwrap();
        let site = Site { cluster, repository, _folder: folder };
        let first = site.back_up(&site.cluster.conninfo("d")).unwrap();
        assert_eq!((&first.record.status, site.backups()), (&BackupStatus::Complete, 1));
        site
    }

    fn backups(&self) -> usize {
        inspect::list(&self.repository, &inspect::ListFilter::default()).unwrap().backups.len()
    }

    fn fault(
        &self,
        application: &'static str,
        query: &'static str,
        what: What,
        times: usize,
    ) -> FaultyServer {
        FaultyServer::start(&self.cluster, Fault { application, query, what, times })
    }

    fn back_up(&self, conninfo: &str) -> Result<BackupOutcome, OpsError> {
        let request = backup::Request {
            conninfo: resolve(conninfo),
            maintenance_db: None,
            role: None,
            databases: backup::Databases::Connected,
            filters: backup::Filters::default(),
            filters_of: BTreeMap::new(),
            snapshots: backup::Snapshots::Staggered,
            jobs: 2,
            cluster: None,
            compression_level: 1,
            pg_dump: Some(self.cluster.bin("pg_dump")),
            search_path: vec![self.cluster.bin_directory().to_path_buf(), PathBuf::from("/usr/bin")],
            lock_wait_timeout: Duration::from_secs(60),
            pause_timeout: None,
            keep_going: false,
            full: false,
            row_maps: rowmap::RowMaps::default(),
            row_maps_of: BTreeMap::new(),
            rewrite_deleted: false,
            mask: None,
            beside: backup::Beside::Refuse,
        };
        in_time(|| backup::run(&self.repository, &request, &Job::quiet()))
    }

    /// Restores into a database that is made for it.
    fn restore(&self, conninfo: &str, to: &str) -> Result<RestoreReport, OpsError> {
        let request = restore::Request {
            backup: BackupName {
                text: "latest".into(),
                cluster: None,
                partial: false,
                masked: false,
                databases: Vec::new(),
            },
            conninfo: resolve(conninfo),
            maintenance_db: None,
            databases: restore::Databases::One { from: None, to: Some(to.into()) },
            target: restore::Target::Create,
            globals: false,
            no_owner: false,
            no_privileges: false,
            role: None,
            jobs: 2,
            exit_on_error: false,
            single_transaction: false,
            if_exists: false,
            accept_loss: false,
            analyze: false,
            choice: Default::default(),
            load: restore::Load::default(),
            hooks: Vec::new(),
            dry_run: false,
        };
        in_time(|| restore::run(&self.repository, &request, &Job::quiet()))
    }

    /// The backup through this server fails with these words, and no backup more is there.
    fn fails(&self, faulty: &FaultyServer, words: &[&str]) {
        let before = self.backups();
        let error = self.back_up(&faulty.conninfo("d")).expect_err("the backup cannot be good");
        let told = in_words(&error);
        assert!(words.iter().all(|word| told.contains(word)), "{words:?} are not all in: {told}");
        assert!(faulty.happened() > 0, "it failed for another reason: {told}");
        assert_eq!(self.backups(), before, "{told}");
    }

    /// The next one is good, and all that is stored can be read.
    fn is_well(&self) {
        let before = self.backups();
        let outcome = self.back_up(&self.cluster.conninfo("d")).unwrap();
        assert_eq!((&outcome.record.status, self.backups()), (&BackupStatus::Complete, before + 1));
        let report =
            check::run(&self.repository, &check::Options::all(check::Level::Data), &Job::quiet()).unwrap();
        assert!(report.ok, "{:?}", report.problems);
    }
}

fn resolve(conninfo: &str) -> ConnInfo {
    ConnInfo::resolve(conninfo, &Environment::default()).unwrap()
}

/// What a person reads: the error and its causes.
fn in_words(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told.push_str(&format!(": {error}"));
        cause = error.source();
    }
    told
}

/// Panics if it is not over at last.
fn in_time<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let (over, is_over) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            if is_over.recv_timeout(FOR_EVER) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("nothing has come of it: it waits for ever");
                std::process::abort();
            }
        });
        let result = run();
        drop::<mpsc::Sender<()>>(over);
        result
    })
}

#[test]
fn a_copy_may_break_at_every_kind_of_message() {
    let site = Site::new();
    const CLOSED: &[&str] = &["copy table public.", "the server closed the connection"];
    const OUT_OF_STEP: &[&str] = &["copy table public.", "which the protocol does not have"];
    for (what, words) in [
        // CopyOutResponse.
        (What::CutBefore(b'H'), CLOSED),
        (What::CutBehind(b'H'), CLOSED),
        // CopyData.
        (What::CutInside(b'd'), CLOSED),
        (What::CutBehind(b'd'), CLOSED),
        (What::ErrorBehind(b'd'), &["copy table public.", "invalid page in block 7"]),
        (What::Retype(b'd', b'?'), &["copy table public.", "message '?' in a COPY"]),
        (What::Retype(b'd', b'G'), &["copy table public.", "message 'G' in a COPY"]),
        (What::Claim(b'd', u32::MAX), OUT_OF_STEP),
        (What::Claim(b'd', 3), OUT_OF_STEP),
        // CopyDone, CommandComplete, ReadyForQuery.
        (What::CutBehind(b'c'), CLOSED),
        (What::ErrorBehind(b'c'), &["copy table public.", "invalid page in block 7"]),
        (What::CutBehind(b'C'), CLOSED),
        (What::CutInside(b'Z'), CLOSED),
        (What::CutBehind(b'Z'), &["the server closed the connection"]),
    ] {
        eprintln!("{what:?}");
        site.fails(&site.fault("pgark", "COPY public.", what, ALWAYS), words);
    }
    site.is_well();
}

#[test]
fn a_lock_that_ends_in_a_deadlock_is_tried_again() {
    let site = Site::new();
    let deadlock = What::Refuse { sqlstate: "40P01", message: "deadlock detected" };
    let faulty = site.fault("pgark", "LOCK TABLE ONLY", deadlock, 2);
    let outcome = site.back_up(&faulty.conninfo("d")).unwrap();
    assert_eq!((&outcome.record.status, faulty.happened()), (&BackupStatus::Complete, 2));
    assert_eq!((outcome.tables.len(), site.backups()), (2, 2));
    site.fails(
        &site.fault("pgark", "LOCK TABLE ONLY", deadlock, ALWAYS),
        &["lock the tables", "deadlock detected"],
    );
    site.is_well();
}

#[test]
fn a_snapshot_that_is_no_longer_valid_ends_the_backup() {
    let site = Site::new();
    let invalid =
        What::Refuse { sqlstate: "22023", message: "invalid snapshot identifier: \"00000003-0000001B-1\"" };
    let faulty = site.fault("pgark", "SET TRANSACTION SNAPSHOT", invalid, ALWAYS);
    site.fails(&faulty, &["import the backup's snapshot", "invalid snapshot identifier"]);
    // pg_dump imports it, too.
    let faulty = site.fault("pg_dump", "SET TRANSACTION SNAPSHOT", invalid, ALWAYS);
    site.fails(&faulty, &["pg_dump", "invalid snapshot identifier"]);
    // From version 16 on, the server says so; then as if its schema had changed: a new snapshot is
    // taken.
    let unknown =
        What::Refuse { sqlstate: "42704", message: "snapshot \"00000003-0000001B-1\" does not exist" };
    let faulty = site.fault("pg_dump", "SET TRANSACTION SNAPSHOT", unknown, 1);
    let outcome = site.back_up(&faulty.conninfo("d")).unwrap();
    assert_eq!((&outcome.record.status, faulty.happened()), (&BackupStatus::Complete, 1));
    site.is_well();
}

#[test]
fn the_connection_that_holds_snapshot_and_locks_may_break() {
    let site = Site::new();
    for (query, what, words) in [
        ("pg_export_snapshot", What::CutBefore(b'D'), "export the snapshot"),
        ("pg_export_snapshot", What::CutInside(b'D'), "export the snapshot"),
        ("pg_export_snapshot", What::CutBehind(b'C'), "export the snapshot"),
        ("LOCK TABLE ONLY", What::CutBehind(b'C'), "lock the tables"),
        ("COPY (", What::CutInside(b'd'), "describe the relations"),
        ("LOCK TABLE ONLY", What::Retype(b'C', b'?'), "message '?' in a result"),
        ("LOCK TABLE ONLY", What::Claim(b'Z', 1_000_000), "which the protocol does not have"),
    ] {
        eprintln!("{query} {what:?}");
        site.fails(&site.fault("pgark", query, what, ALWAYS), &[words]);
    }
    // The connection of pg_dump, whose own words say why.
    let faulty = site.fault("pg_dump", "LOCK TABLE", What::CutBefore(b'C'), ALWAYS);
    site.fails(&faulty, &["pg_dump", "server closed the connection unexpectedly"]);
    site.is_well();
}

#[test]
fn a_restore_tries_again_after_a_deadlock_and_is_never_complete_when_it_is_not() {
    let site = Site::new();
    let deadlock = What::Refuse { sqlstate: "40P01", message: "deadlock detected" };
    let faulty = site.fault("pgark", "CREATE INDEX on_b", deadlock, 3);
    let report = site.restore(&faulty.conninfo("postgres"), "again").unwrap();
    assert_eq!((report.status, report.rows, faulty.happened()), ("complete", 5001, 3), "{:?}", report.errors);
    assert_eq!(site.cluster.psql_text("again", "SELECT to_regclass('on_b')"), "on_b");
    let faulty = site.fault("pgark", "CREATE INDEX on_b", deadlock, ALWAYS);
    let report = site.restore(&faulty.conninfo("postgres"), "without").unwrap();
    assert_eq!((report.status, report.rows, report.errors.len()), ("incomplete", 5001, 1));
    assert!(report.errors[0].message.contains("deadlock detected"), "{:?}", report.errors);
    // The rows' way breaks.
    for (number, what) in
        [What::CutBehind(b'G'), What::CutBefore(b'C'), What::CutBefore(b'Z'), What::Retype(b'C', b'?')]
            .into_iter()
            .enumerate()
    {
        eprintln!("{what:?}");
        let faulty = site.fault("pgark", "COPY public.", what, ALWAYS);
        let to = format!("broken_{number}");
        let (is_bad, told) = match site.restore(&faulty.conninfo("postgres"), &to) {
            Ok(report) => (report.status == "incomplete", format!("{:?}", report.errors)),
            Err(error) => (true, in_words(&error)),
        };
        assert!(is_bad && faulty.happened() > 0, "{told}");
        let cause = if matches!(what, What::Retype(..)) { "message '?'" } else { "closed the connection" };
        assert!(told.contains(cause), "{told}");
    }
}
