//! Directories of real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{folders, text};
use pgark_bytes::lsn::Lsn;
use pgark_bytes::postmaster_pid::PostmasterStatus;
use pgark_datadir::names::{DEFAULT_SEGMENT_BLOCKS, RelationFile};
use pgark_datadir::prove::{Process, control, major, postmaster, process};
use pgark_datadir::read::{Checks, PageFile, ReadOptions, Report, Wanted};
use pgark_datadir::scan::{FolderKind, Location, Scan, ScanOptions, scan};
use pgark_datadir::{DataDir, Error};
use pgark_testkit::{Builder, Cluster, in_full};

const KINDS: &str = "
    CREATE TABLE t (n int, v text, p point, a int[]);
    INSERT INTO t SELECT n, repeat(md5(n::text), 3), point(n, n), ARRAY[n, n + 1] FROM generate_series(1, 20000) n;
    INSERT INTO t SELECT 0, string_agg(md5(n::text), ''), NULL, NULL FROM generate_series(1, 9000) n;
    CREATE INDEX ON t (n); CREATE INDEX ON t USING hash (v); CREATE INDEX ON t USING gist (p);
    CREATE INDEX ON t USING gin (a); CREATE INDEX ON t USING spgist (p); CREATE INDEX ON t USING brin (n);
    CREATE TABLE h (n int); CREATE INDEX ON h USING hash (n);
    INSERT INTO h SELECT n FROM generate_series(1, 30000) n;
    CREATE SEQUENCE s; SELECT nextval('s');
    CREATE UNLOGGED TABLE u AS SELECT n, v FROM t; CREATE INDEX ON u (n);
    DELETE FROM t WHERE n % 7 = 0;
    VACUUM t; VACUUM u;
";

fn checksummed() -> Builder {
    Cluster::builder().initdb_arg("--data-checksums").conf("autovacuum = off")
}

fn open(cluster: &Cluster) -> DataDir {
    DataDir::open(&cluster.data_directory()).unwrap()
}

fn scanned(directory: &DataDir) -> Scan {
    scan(directory, &ScanOptions::default(), &|| false).unwrap()
}

fn lsn(cluster: &Cluster, query: &str) -> Lsn {
    cluster.psql_text("postgres", query).parse().unwrap()
}

/// Reads every file of pages; gives the sum of the reports, and failures with their files.
fn read_all(directory: &DataDir, scan: &Scan, checks: Checks) -> (Report, Vec<String>) {
    let (mut sum, mut failures, mut buffer) = (Report::default(), Vec::new(), Vec::new());
    for folder in scan.folders.iter().filter(|folder| !folder.pages.is_empty()) {
        let Some(opened) = directory.folder(&folder.path).unwrap() else { continue };
        let checks = folder.kind.has_headers().then_some(checks);
        let options = ReadOptions { checks, ..ReadOptions::default() };
        for found in folder.pages.iter() {
            let relation = RelationFile::parse(found.name).filter(|_| folder.kind.has_headers());
            let first_block = relation.map_or(0, |file| file.first_block(DEFAULT_SEGMENT_BLOCKS).unwrap());
            let wanted = Wanted { name: found.name, bytes: Some(found.bytes), first_block };
            let Some(mut file) = PageFile::open(&opened, &wanted, &options).unwrap() else { continue };
            while file.next_piece(&mut buffer, &|| false).unwrap().is_some() {}
            let report = file.into_report();
            sum.bytes += report.bytes;
            sum.pages += report.pages;
            sum.zero += report.zero;
            sum.rereads += report.rereads;
            sum.rewritten += report.rewritten;
            sum.failed += report.failed;
            sum.newest = sum.newest.max(report.newest);
            let name = format!("{}/{}", text(&folder.path), text(found.name));
            failures.extend(
                report.failures.iter().map(|failure| format!("{name} {}: {}", failure.block, failure.kind)),
            );
        }
    }
    (sum, failures)
}

/// What the server itself sends of its directory, without what it puts in addition.
struct BaseBackup {
    folder: PathBuf,
}

impl BaseBackup {
    fn of(cluster: &Cluster, name: &str, tablespaces: &[(PathBuf, PathBuf)]) -> BaseBackup {
        let folder = cluster.socket_directory().join(name);
        let mut command = cluster.client("pg_basebackup");
        command.args(["-X", "none", "-c", "fast", "--no-sync", "-D"]).arg(&folder);
        for (from, to) in tablespaces {
            command.arg("-T").arg(format!("{}={}", from.display(), to.display()));
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        BaseBackup { folder }
    }

    /// Folders, and files with their lengths.
    fn contents(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut folders, mut files) = (BTreeSet::new(), BTreeSet::new());
        let mut waiting = vec![String::new()];
        while let Some(path) = waiting.pop() {
            for entry in fs::read_dir(self.folder.join(&path)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let below = if path.is_empty() { name } else { format!("{path}/{name}") };
                let about = fs::metadata(self.folder.join(&below)).unwrap();
                if about.is_dir() {
                    waiting.push(below);
                } else if !matches!(below.as_str(), "backup_label" | "backup_manifest" | "tablespace_map") {
                    files.insert(format!("{below} {}", about.len()));
                }
            }
            folders.insert(path);
        }
        (folders, files)
    }
}

/// Folders and files with their lengths, as [`BaseBackup::contents`] has them.
fn contents(scan: &Scan) -> (BTreeSet<String>, BTreeSet<String>) {
    let files = common::listed(scan).into_iter().map(|line| line.trim_end_matches('+').to_string()).collect();
    (folders(scan).into_iter().collect(), files)
}

/// One cluster with tablespaces, a scan of it against what the server sends, every page verified.
fn as_the_server(builder: Builder) {
    let cluster = builder.start();
    let has_in_place = cluster.major() >= 15;
    let (far, copied) = (cluster.socket_directory().join("far"), cluster.socket_directory().join("copied"));
    fs::create_dir(&far).unwrap();
    let about = fs::metadata(cluster.data_directory()).unwrap();
    {
        use std::os::unix::fs::{MetadataExt, chown};
        chown(&far, Some(about.uid()), Some(about.gid())).unwrap();
    }
    cluster.sql("postgres", KINDS);
    cluster.sql("postgres", &format!("CREATE TABLESPACE far LOCATION '{}'", far.display()));
    cluster.sql("postgres", "CREATE TABLE in_far TABLESPACE far AS SELECT n FROM generate_series(1, 5000) n");
    cluster.sql("postgres", "CREATE UNLOGGED TABLE unlogged_far (n int PRIMARY KEY) TABLESPACE far");
    if has_in_place {
        cluster.sql("postgres", "SET allow_in_place_tablespaces = on; CREATE TABLESPACE near LOCATION ''");
        cluster.sql("postgres", "CREATE DATABASE near TABLESPACE near");
    }
    // What a server leaves that crashed, and what others leave.
    let base = fs::read_dir(cluster.data_directory().join("base")).unwrap().next().unwrap().unwrap().path();
    for litter in ["t9_99999", "t9_99999_fsm", "pgsql_tmp9.1", "pg_internal.init.99"] {
        fs::write(base.join(litter), b"litter").unwrap();
    }
    fs::write(cluster.data_directory().join("notes.txt"), b"mine").unwrap();
    fs::create_dir_all(cluster.data_directory().join("scripts/empty")).unwrap();
    symlink("/etc/hosts", cluster.data_directory().join("hosts")).unwrap();
    for made in [base.join("t9_99999"), cluster.data_directory().join("notes.txt")] {
        fs::set_permissions(made, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    }
    cluster.sql("postgres", "CHECKPOINT");

    let directory = open(&cluster);
    let found = scanned(&directory);
    assert_eq!(found.major, cluster.major());
    let backup = BaseBackup::of(&cluster, "backup", &[(far.clone(), copied)]);
    let (mut folders, files) = backup.contents();
    assert!(files.len() > 900, "{}", files.len());
    let (our_folders, our_files) = contents(&found);
    assert_eq!(our_files, files);
    if cluster.major() < 17 {
        folders.remove("pg_wal/summaries");
    }
    assert_eq!(our_folders, folders);
    assert!(found.left_out.unlogged > 0 && found.left_out.temporary == 3, "{:?}", found.left_out);
    assert_eq!(found.links.len(), 1);
    let near = found.tablespaces.iter().filter(|tablespace| tablespace.location == Location::InPlace).count();
    assert_eq!((found.tablespaces.len(), near), (1 + usize::from(has_in_place), usize::from(has_in_place)));

    // Every page is right, with an end of the WAL that leaves no excuse.
    let end = lsn(&cluster, "SELECT pg_current_wal_insert_lsn()");
    let checks = Checks { checksums: true, start_lsn: end, end_of_wal: Some(end) };
    let (report, failures) = read_all(&directory, &found, checks);
    assert_eq!(failures, [""; 0]);
    assert!(report.pages > 4000 && report.zero > 0 && report.newest.unwrap().0 <= end, "{report:?}");
    assert_eq!((report.rewritten, report.rereads), (0, 0));
    let sum: u64 = found.folders.iter().map(|folder| folder.pages.bytes()).sum();
    assert_eq!(report.bytes, sum);
}

#[test]
fn a_directory_is_read_as_its_server_reads_it() {
    as_the_server(checksummed());
}

#[test]
fn a_directory_of_every_major_is_read_as_its_server_reads_it() {
    if in_full("every major") {
        for major in Cluster::available_majors() {
            eprintln!("PostgreSQL {major}");
            as_the_server(checksummed().major(major));
        }
    }
}

/// Bits flipped on the disk of a stopped server are found with file and block.
#[test]
fn flipped_bits_are_found() {
    let cluster = checksummed().start();
    cluster.sql("postgres", KINDS);
    let path = cluster.psql_text("postgres", "SELECT pg_relation_filepath('t')");
    let end = lsn(&cluster, "SELECT pg_current_wal_insert_lsn()");
    cluster.stop();
    let file = cluster.data_directory().join(&path);
    let good = fs::read(&file).unwrap();
    let directory = open(&cluster);
    let found = scanned(&directory);
    let checks = Checks { checksums: true, start_lsn: end, end_of_wal: Some(end) };
    for (block, bit) in [(0usize, 65_535usize), (17, 9), (100, 40_000), (good.len() / 8192 - 1, 200)] {
        let mut bytes = good.clone();
        bytes[block * 8192 + bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, &bytes).unwrap();
        let (report, failures) = read_all(&directory, &found, checks);
        assert_eq!(report.failed, 1);
        assert!(
            failures[0].starts_with(&format!("{path} {block}: checksum verification failed")),
            "{failures:?}"
        );
    }
    fs::write(&file, &good).unwrap();
    assert_eq!(read_all(&directory, &found, checks).0.failed, 0);
    cluster.start_again();
}

/// pgbench writes more than fits into the server's memory while everything is read again and again.
#[test]
fn a_server_at_work_has_no_damaged_pages() {
    let cluster = checksummed().conf("shared_buffers = 4MB").conf("bgwriter_delay = 10ms").start();
    let run = |arguments: &[&str]| {
        let mut command: Command = cluster.client("pgbench");
        command.args(arguments).arg("postgres").stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    assert!(run(&["-i", "-q", "-s", "2"]).wait().unwrap().success());
    let directory = open(&cluster);
    let mut bench = run(&["-n", "-c", "3", "-T", "60"]);
    let started = Instant::now();
    let (mut rounds, mut pages) = (0, 0);
    while started.elapsed() < Duration::from_secs(8) || rounds < 3 {
        cluster.sql("postgres", "CREATE TABLE comes AS SELECT n FROM generate_series(1, 1000) n; CHECKPOINT");
        let start_lsn = lsn(&cluster, "SELECT redo_lsn FROM pg_control_checkpoint()");
        let found = scanned(&directory);
        cluster.sql("postgres", "DROP TABLE comes");
        let (report, failures) =
            read_all(&directory, &found, Checks { checksums: true, start_lsn, end_of_wal: None });
        assert_eq!(failures, [""; 0]);
        let end = lsn(&cluster, "SELECT pg_current_wal_insert_lsn()");
        assert!(report.newest.unwrap().0 <= end, "{report:?} {end}");
        pages += report.pages;
        rounds += 1;
    }
    assert!(bench.try_wait().unwrap().is_none(), "pgbench ended early");
    bench.kill().unwrap();
    bench.wait().unwrap();
    assert!(pages > 10_000, "{pages} pages in {rounds} rounds");
}

#[test]
fn a_directory_is_proved_to_be_its_servers() {
    let cluster = Cluster::builder().start();
    let directory = open(&cluster);
    assert_eq!(major(&directory).unwrap(), cluster.major());
    let found = postmaster(&directory).unwrap().unwrap();
    assert_eq!(Path::new(std::str::from_utf8(&found.data_directory).unwrap()), cluster.data_directory());
    assert_eq!(
        (found.port, found.is_standalone, found.status),
        (cluster.port(), false, Some(PostmasterStatus::Ready))
    );
    let folder = cluster.socket_directory().as_os_str().as_encoded_bytes();
    assert_eq!(found.socket_directory.as_deref(), Some(folder));
    assert_eq!(found.listen_address.as_deref(), Some(b"127.0.0.1".as_slice()));
    // The file has the second in which the postmaster began; the server's own start is a little
    // later.
    let started: i64 = cluster
        .psql_text("postgres", "SELECT floor(extract(epoch FROM pg_postmaster_start_time()))::bigint")
        .parse()
        .unwrap();
    assert!((found.started_at..=found.started_at + 30).contains(&started), "{started} {}", found.started_at);
    assert_eq!(process(&directory, &found).unwrap(), Process::Here);

    // Of another directory the process is another's.
    let other = common::Made::new();
    assert_eq!(process(&other.directory(), &found).unwrap(), Process::Elsewhere);
    assert_eq!(postmaster(&other.directory()).unwrap(), None);
    other.file("data/postmaster.pid", b"nonsense\n");
    let error = postmaster(&other.directory()).unwrap_err();
    assert!(matches!(error, Error::PidFile { .. }) && error.to_string().starts_with("read "), "{error}");

    // A crash leaves the file; a stop does not.
    cluster.crash();
    assert_eq!(postmaster(&directory).unwrap().unwrap().pid, found.pid);
    let until = Instant::now() + Duration::from_secs(60);
    while process(&directory, &found).unwrap() != Process::Gone {
        assert!(Instant::now() < until, "the postmaster does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    cluster.start_again();
    cluster.stop();
    assert_eq!(postmaster(&directory).unwrap(), None);
}

#[test]
fn pg_control_is_read_until_it_is_whole() {
    let cluster = Cluster::builder().start();
    let directory = open(&cluster);
    let identifier = cluster.psql_text("postgres", "SELECT system_identifier FROM pg_control_system()");
    let bytes = control(&directory, &|bytes| bytes.len() == 8192, &|| false).unwrap();
    let found = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(found.to_string(), identifier);
    // Every scan has it among the files to be copied.
    let scan = scanned(&directory);
    let global = scan.folder(b"global").unwrap();
    assert_eq!((global.kind, global.others.find(b"pg_control").unwrap().bytes), (FolderKind::Global, 8192));

    // Torn at first, then never whole, then stopped, then missing.
    let reads = std::cell::Cell::new(0);
    let third = |_: &[u8]| reads.replace(reads.get() + 1) == 2;
    assert_eq!(control(&directory, &third, &|| false).unwrap().len(), 8192);
    let never = control(&directory, &|_| false, &|| false).unwrap_err();
    assert!(matches!(never, Error::Control { reads: 100, .. }), "{never}");
    assert!(matches!(control(&directory, &|_| false, &|| true), Err(Error::Cancelled)));
    let missing = control(&common::Made::new().directory(), &|_| true, &|| false).unwrap_err();
    assert!(missing.to_string().ends_with("global/pg_control"), "{missing}");
}
