//! Base backups: what comes is what pg_basebackup gets and what lies in the data directory, on
//! every major, with every option.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::base_backup::{ArchiveCompression, ArchiveName, BackupTablespace};
use pgark_bytes::protocol::replication::WalPosition;
use pgark_bytes::tar::{TarEntry, TarEvent, TarKind, TarReader, Trailer};
use pgark_pg::{
    BackupEvent, BaseBackup, BaseBackupOptions, Checkpoint, Connection, PgError, Refusal, ReplicationCommand,
    ReplicationFailure, ServerCompression,
};
use pgark_testkit::{Builder, Cluster, wait_for};

use super::{connect, every_major, words};

/// All that came of a backup.
#[derive(Default)]
pub struct Received {
    pub start: Option<WalPosition>,
    pub tablespaces: Vec<BackupTablespace>,
    pub archives: Vec<(ArchiveName, Vec<u8>, Vec<u8>)>,
    pub manifest: Option<Vec<u8>>,
    pub progress: Vec<u64>,
    pub end: Option<WalPosition>,
}

impl Received {
    /// Reads to the end, or to the error.
    pub fn read(&mut self, backup: &mut BaseBackup<'_>) -> Result<(), ReplicationFailure> {
        while let Some(event) = backup.next_event()? {
            assert!(self.end.is_none(), "nothing comes behind the end");
            match event {
                BackupEvent::Started { position, tablespaces } => {
                    assert!(self.start.is_none() && self.archives.is_empty());
                    (self.start, self.tablespaces) = (Some(position), tablespaces);
                }
                BackupEvent::ArchiveBegins { name, location } => {
                    assert!(self.start.is_some() && self.manifest.is_none());
                    self.archives.push((name, location, Vec::new()));
                }
                BackupEvent::ManifestBegins => self.manifest = Some(Vec::new()),
                BackupEvent::Data(data) => match &mut self.manifest {
                    Some(manifest) => manifest.extend_from_slice(data),
                    None => self.archives.last_mut().unwrap().2.extend_from_slice(data),
                },
                BackupEvent::Progress { bytes } => self.progress.push(bytes),
                BackupEvent::Finished { position } => self.end = Some(position),
            }
        }
        Ok(())
    }
}

fn fast(label: &str) -> BaseBackupOptions {
    BaseBackupOptions { checkpoint: Checkpoint::Fast, ..BaseBackupOptions::new(label) }
}

fn take(connection: &mut Connection, options: &BaseBackupOptions) -> Received {
    let mut received = Received::default();
    let mut backup = connection.base_backup(options).unwrap();
    received.read(&mut backup).unwrap_or_else(|failure| panic!("{}", words(&failure)));
    assert!(received.end.is_some() && backup.next_event().unwrap().is_none());
    received
}

/// The entries of an archive, in pieces of an odd size, with their contents.
fn entries(archive: &[u8], major: u32) -> Vec<(TarEntry, Vec<u8>)> {
    // Servers from 15 on end their archives, and the ones before do not.
    let mut reader = TarReader::new(if major >= 15 { Trailer::Needed } else { Trailer::CanBeMissing });
    let mut found: Vec<(TarEntry, Vec<u8>)> = Vec::new();
    for mut input in archive.chunks(7001) {
        while let Some(event) = reader.read(&mut input).unwrap() {
            match event {
                TarEvent::Entry(entry) => found.push((entry, Vec::new())),
                TarEvent::Data(data) => found.last_mut().unwrap().1.extend_from_slice(data),
                TarEvent::EntryEnds => {}
            }
        }
    }
    reader.finish().unwrap();
    if major < 15 {
        assert!(archive.ends_with(&[0; 512]) || !archive.is_empty());
        let mut strict = TarReader::new(Trailer::Needed);
        let mut input = archive;
        while strict.read(&mut input).unwrap().is_some() {}
        assert!(strict.finish().is_err(), "{major} ends its archives, too");
    }
    found
}

fn text(name: &[u8]) -> String {
    String::from_utf8(name.to_vec()).unwrap()
}

/// An entry as `tar -tv --numeric-owner` shows it, without its time.
fn as_tar_lists(entry: &TarEntry) -> String {
    let (kind, size, name) = match &entry.kind {
        TarKind::File { size } => ('-', *size, text(&entry.name)),
        TarKind::Directory => ('d', 0, text(&entry.name) + "/"),
        TarKind::Symlink { target } => ('l', 0, format!("{}/ -> {}", text(&entry.name), text(target))),
    };
    let mode: String = (0..9)
        .rev()
        .map(|bit| if entry.mode >> bit & 1 == 1 { ['x', 'w', 'r'][bit % 3] } else { '-' })
        .collect();
    format!("{kind}{mode} {}/{} {size} {name}", entry.uid, entry.gid)
}

/// What GNU tar reads of an archive of pg_basebackup.
fn listed_by_tar(archive: &Path) -> BTreeSet<String> {
    let output = Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(archive).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let shown = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Without date and time.
        let name = words[5..].join(" ");
        format!("{} {} {} {}", words[0], words[1], words[2], name.strip_prefix("./").unwrap_or(&name))
    };
    lines.lines().map(shown).collect()
}

/// Nothing is written but what a backup's own checkpoint writes.
fn idle(builder: Builder) -> Cluster {
    builder.conf("autovacuum = off").conf("bgwriter_lru_maxpages = 0").conf("checkpoint_timeout = 1h").start()
}

/// A folder that the server can write to.
fn folder_of_server(cluster: &Cluster, name: &str) -> PathBuf {
    let folder = cluster.socket_directory().join(name);
    fs::create_dir(&folder).unwrap();
    let owner = fs::metadata(cluster.data_directory()).unwrap();
    chown(&folder, Some(owner.uid()), Some(owner.gid())).unwrap();
    folder
}

#[test]
fn the_whole_stream_is_what_pg_basebackup_gets_and_what_lies_on_the_disk() {
    for builder in every_major() {
        let cluster = idle(builder);
        let major = cluster.major();
        let outside = folder_of_server(&cluster, "a b");
        cluster.sql(
            "postgres",
            &format!(
                "CREATE TABLE t AS SELECT g AS a, repeat('x', 300) AS b FROM generate_series(1, 20000) g; \
                 CREATE INDEX ON t (a); CREATE UNLOGGED TABLE u AS SELECT 1 AS a; CREATE TABLESPACE away LOCATION '{}'; \
                 CREATE TABLE far TABLESPACE away AS SELECT generate_series(1, 5000) AS a",
                outside.display()
            ),
        );
        if major >= 15 {
            cluster.sql(
                "postgres",
                "SET allow_in_place_tablespaces = on; CREATE TABLESPACE inside LOCATION ''; \
                 CREATE TABLE near TABLESPACE inside AS SELECT 1 AS a",
            );
        }
        let oid = |name: &str| -> u32 {
            let sql = format!("SELECT oid FROM pg_tablespace WHERE spcname = '{name}'");
            cluster.psql_text("postgres", &sql).parse().unwrap()
        };
        let mut expected = vec![(Some(oid("away")), outside.display().to_string())];
        // 15 has its files in the data directory's archive.
        if major >= 16 {
            let inside = oid("inside");
            expected.push((Some(inside), format!("pg_tblspc/{inside}")));
        }
        expected.push((None, String::new()));

        let before: Lsn = cluster.psql_text("postgres", "SELECT pg_current_wal_lsn()").parse().unwrap();
        let mut connection = connect(&cluster);
        let received = take(&mut connection, &fast("it's \"a\" \\ label"));
        let (start, end) = (received.start.unwrap(), received.end.unwrap());
        assert!(before < start.lsn && start.lsn < end.lsn && (start.timeline, end.timeline) == (1, 1));
        let rows: Vec<_> = received
            .tablespaces
            .iter()
            .map(|row| {
                assert_eq!(row.size_kb, None, "progress was not asked for");
                let own = row.tablespace.as_ref();
                (own.map(|own| own.oid), own.map(|own| text(&own.location)).unwrap_or_default())
            })
            .collect();
        assert_eq!(rows.iter().collect::<BTreeSet<_>>(), expected.iter().collect());
        let archives: Vec<_> = received
            .archives
            .iter()
            .map(|(name, location, _)| {
                assert_eq!(name.compression, None);
                (name.tablespace, text(location))
            })
            .collect();
        assert_eq!(archives, rows, "in the order of the tablespaces");

        // Each file is what lies on the disk.
        let mut sizes = BTreeMap::new();
        let mut listed = BTreeMap::new();
        for (name, location, archive) in &received.archives {
            let (folder, prefix) = match name.tablespace {
                Some(oid) => (cluster.data_directory().join(text(location)), format!("pg_tblspc/{oid}/")),
                None => (cluster.data_directory(), String::new()),
            };
            let entries = entries(archive, major);
            for (entry, content) in &entries {
                let own = text(&entry.name);
                if let TarKind::File { size } = entry.kind {
                    assert_eq!(size, content.len() as u64);
                    sizes.insert(format!("{prefix}{own}"), size);
                    let is_made = matches!(own.as_str(), "backup_label" | "tablespace_map");
                    if !is_made && own != "global/pg_control" {
                        assert!(fs::read(folder.join(&own)).unwrap() == *content, "{own} differs");
                    }
                }
            }
            let lines: BTreeSet<String> = entries.iter().map(|(entry, _)| as_tar_lists(entry)).collect();
            assert_eq!(lines.len(), entries.len(), "no entry comes twice");
            listed.insert(name.tablespace, lines);
            if name.tablespace.is_none() {
                let at = |at: usize| (text(&entries[at].0.name), text(&entries[at].1));
                assert_eq!(at(0).0, "backup_label");
                let label = at(0).1;
                assert!(label.contains(&format!("START WAL LOCATION: {} ", start.lsn)), "{label}");
                assert!(label.contains("\nLABEL: it's \"a\" \\ label\n"), "{label}");
                assert_eq!(at(1).0, "tablespace_map");
                assert!(at(1).1.contains(&format!("{} {}\n", oid("away"), outside.display())), "{}", at(1).1);
                assert_eq!(text(&entries.last().unwrap().0.name), "global/pg_control");
                let links = entries.iter().any(|(entry, _)| matches!(entry.kind, TarKind::Symlink { .. }));
                assert!(!links, "the map has them");
            }
        }

        // Its own manifest lists these files.
        let manifest = String::from_utf8(received.manifest.unwrap()).unwrap();
        assert!(manifest.starts_with("{ \"PostgreSQL-Backup-Manifest-Version\":"), "{manifest}");
        assert!(manifest.contains(&format!("\"End-LSN\": \"{}\"", end.lsn)));
        let of_manifest: BTreeMap<String, u64> = manifest
            .lines()
            .filter_map(|line| line.strip_prefix("{ \"Path\": \""))
            .map(|line| {
                let (path, rest) = line.split_once("\", \"Size\": ").unwrap();
                (path.to_string(), rest.split_once(',').unwrap().0.parse().unwrap())
            })
            .collect();
        assert_eq!(of_manifest, sizes);

        // And so does pg_basebackup, by GNU tar.
        let folder = cluster.socket_directory().join("tar");
        let output = cluster
            .client("pg_basebackup")
            .args(["-Ft", "-X", "none", "-c", "fast", "-l", "it's \"a\" \\ label", "-D"])
            .arg(&folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        for (tablespace, lines) in listed {
            let name = tablespace.map_or("base".to_string(), |oid| oid.to_string());
            assert_eq!(lines, listed_by_tar(&folder.join(format!("{name}.tar"))), "{name}.tar of {major}");
        }
        assert_eq!(connection.identify_system().unwrap().timeline, 1, "the connection goes on");
    }
}

#[test]
fn options_are_what_they_say() {
    for builder in every_major() {
        let cluster = idle(builder);
        let major = cluster.major();
        let outside = folder_of_server(&cluster, "outside");
        cluster.sql("postgres", &format!("CREATE TABLESPACE away LOCATION '{}'", outside.display()));
        let mut connection = connect(&cluster);
        let options = BaseBackupOptions {
            max_rate: Some(1_048_576),
            progress: true,
            wal: true,
            tablespace_map: false,
            verify_checksums: false,
            manifest: false,
            ..fast("all the others")
        };
        let received = take(&mut connection, &options);
        assert_eq!(received.manifest, None);
        let base = received.tablespaces.last().unwrap().size_kb.unwrap();
        let archive = &received.archives.last().unwrap().2;
        let found = entries(archive, major);
        let bytes: u64 = found.iter().map(|(_, content)| content.len() as u64).sum();
        let wal: u64 = found
            .iter()
            .filter(|(entry, _)| entry.name.starts_with(b"pg_wal/0"))
            .map(|(_, own)| own.len() as u64)
            .sum();
        assert!(base > 10_000 && base * 1024 <= archive.len() as u64, "{base} kB of {} bytes", archive.len());
        assert!(base * 1024 + 100_000 > bytes - wal, "{base} kB of {} bytes", bytes - wal);
        assert!(wal >= 16 << 20, "the WAL is in it");
        let symlinks: Vec<_> = found
            .iter()
            .filter_map(|(entry, _)| match &entry.kind {
                TarKind::Symlink { target } => Some((text(&entry.name), text(target))),
                _ => None,
            })
            .collect();
        let oid = received.tablespaces[0].tablespace.as_ref().unwrap().oid;
        assert_eq!(symlinks, [(format!("pg_tblspc/{oid}"), outside.display().to_string())]);
        assert!(!found.iter().any(|(entry, _)| entry.name == b"tablespace_map"));
        if major >= 15 {
            assert!(received.progress.is_sorted() && received.progress.len() >= 2, "{:?}", received.progress);
            assert!(*received.progress.last().unwrap() >= bytes);
        } else {
            assert!(received.progress.is_empty());
        }
        // What the server refuses, it refuses before anything comes; the connection goes on.
        let options = BaseBackupOptions { max_rate: Some(31), ..fast("slow") };
        let failure = Received::default().read(&mut connection.base_backup(&options).unwrap()).unwrap_err();
        assert_eq!(failure.sqlstate(), Some("22003"), "{}", words(&failure));
        let options = BaseBackupOptions { label: "two\nlines".into(), ..fast("") };
        let failure = connection.base_backup(&options).err().unwrap();
        assert_eq!(failure.to_string(), "BASE_BACKUP: the label must be one line");
        let level = Some(ServerCompression { method: ArchiveCompression::Gzip, level: Some(1) });
        let options = BaseBackupOptions { compression: level, ..fast("small") };
        if major < 15 {
            let failure = connection.base_backup(&options).err().unwrap();
            assert!(matches!(failure, ReplicationFailure::Option { .. }));
        } else {
            take(&mut connection, &options);
        }
        connection.identify_system().unwrap();
    }
}

#[test]
fn what_the_server_compresses_is_the_same_archive() {
    for builder in every_major() {
        let cluster = idle(builder);
        if cluster.major() < 15 {
            continue;
        }
        let mut connection = connect(&cluster);
        let plain = take(&mut connection, &fast("one"));
        let names = |archive: &[u8]| -> Vec<_> {
            entries(archive, cluster.major()).into_iter().map(|(entry, _)| entry.name).collect()
        };
        for (method, program) in [
            (ArchiveCompression::Gzip, "gzip"),
            (ArchiveCompression::Lz4, "lz4"),
            (ArchiveCompression::Zstd, "zstd"),
        ] {
            for level in [None, Some(1)] {
                let compression = Some(ServerCompression { method, level });
                let options = BaseBackupOptions { compression, ..fast("one") };
                let mut received = Received::default();
                let result = received.read(&mut connection.base_backup(&options).unwrap());
                if let Err(failure) = result {
                    // A server that was built without it says so; Debian's has all of them.
                    assert!(cluster.major() != 15, "{}", words(&failure));
                    assert_eq!(failure.refusal(), Some(Refusal::CompressionRefused), "{}", words(&failure));
                    continue;
                }
                let (name, _, archive) = &received.archives[0];
                assert_eq!(*name, ArchiveName { tablespace: None, compression: Some(method) });
                assert!(archive.len() < plain.archives[0].2.len() / 2);
                let mut child = Command::new(program)
                    .arg("-dc")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap();
                let mut input = child.stdin.take().unwrap();
                let output = thread::scope(|scope| {
                    scope.spawn(move || input.write_all(archive).unwrap());
                    child.wait_with_output().unwrap()
                });
                assert!(output.status.success());
                assert_eq!(names(&output.stdout), names(&plain.archives[0].2), "{program}");
            }
        }
        let compression = Some(ServerCompression { method: ArchiveCompression::Gzip, level: Some(10) });
        let options = BaseBackupOptions { compression, ..fast("one") };
        let failure = connection.base_backup(&options).unwrap().next_event().unwrap_err();
        assert_eq!(failure.refusal(), Some(Refusal::CompressionRefused), "{}", words(&failure));
    }
}

#[test]
fn wrong_checksums_fail_a_backup_that_was_received_whole() {
    for builder in every_major() {
        let cluster = idle(builder.initdb_arg("--data-checksums"));
        cluster
            .sql("postgres", "CREATE TABLE t AS SELECT repeat('x', 300) AS b FROM generate_series(1, 1000)");
        let path = cluster.psql_text("postgres", "SELECT pg_relation_filepath('t')");
        cluster.stop();
        let file = cluster.data_directory().join(&path);
        let mut pages = fs::read(&file).unwrap();
        // Two pages, each in the middle.
        for at in [8192 + 4000, 3 * 8192 + 4000] {
            pages[at] ^= 1;
        }
        fs::write(&file, &pages).unwrap();
        cluster.start_again();
        let mut connection = connect(&cluster);
        let mut received = Received::default();
        let mut backup = connection.base_backup(&fast("damaged")).unwrap();
        let failure = received.read(&mut backup).unwrap_err();
        let warnings: Vec<String> = backup.take_notices().into_iter().map(|notice| notice.message).collect();
        drop(backup);
        let ReplicationFailure::ChecksumFailures { finished, source } = &failure else {
            panic!("{}", words(&failure))
        };
        assert!(finished.lsn > received.start.unwrap().lsn && source.sqlstate == "XX001");
        assert_eq!(failure.refusal(), Some(Refusal::DataCorrupted));
        assert_eq!(failure.command(), ReplicationCommand::BaseBackup);
        for block in ["block 1", "block 3"] {
            assert!(
                warnings.iter().any(|text| text.contains(&path) && text.contains(block)),
                "{block}: {warnings:?}"
            );
        }
        // All of it is there, as it lies on the disk.
        assert!(received.manifest.is_some());
        let found = entries(&received.archives[0].2, cluster.major());
        let (_, content) = found.iter().find(|(entry, _)| text(&entry.name) == path).unwrap();
        assert!(*content == pages);
        // The connection goes on; and who does not ask is not told.
        let options = BaseBackupOptions { verify_checksums: false, ..fast("damaged") };
        take(&mut connection, &options);
    }
}

/// Server processes that make a base backup now. (`pg_stat_progress_basebackup` keeps a cancelled
/// one for as long as its connection lives.)
fn running(cluster: &Cluster) -> String {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'BASE_BACKUP%' AND state = 'active'";
    cluster.psql_text("postgres", sql)
}

#[test]
fn a_backup_that_is_left_leaves_nothing_behind() {
    for builder in every_major() {
        let cluster = builder.conf("checkpoint_timeout = 1h").start();
        let begin = |connection: &mut Connection| -> usize {
            let options = BaseBackupOptions { max_rate: Some(100), ..fast("slow") };
            let mut backup = connection.base_backup(&options).unwrap();
            let mut bytes = 0;
            while bytes < 100_000 {
                match backup.next_event().unwrap().unwrap() {
                    BackupEvent::Data(data) => bytes += data.len(),
                    BackupEvent::Finished { .. } => panic!("so soon"),
                    _ => {}
                }
            }
            assert_eq!(running(&cluster), "1");
            backup.cancel().unwrap();
            bytes
        };
        // Cancelled: the connection takes the next command, also the same again.
        let mut connection = connect(&cluster);
        for _ in 0..2 {
            begin(&mut connection);
            wait_for("the end of the backup", || running(&cluster) == "0");
        }
        connection.identify_system().unwrap();
        // Dropped: connection and server process end.
        let options = BaseBackupOptions { max_rate: Some(100), ..fast("slow") };
        let mut backup = connection.base_backup(&options).unwrap();
        while !matches!(backup.next_event().unwrap(), Some(BackupEvent::Data(_))) {}
        drop(backup);
        assert!(words(&connection.identify_system().unwrap_err()).ends_with("cannot be used any more"));
        wait_for("the end of the backup", || running(&cluster) == "0");

        // While the server waits for a spread checkpoint, which would take most of an hour.
        cluster.sql("postgres", "CREATE TABLE t AS SELECT repeat('x', 500) FROM generate_series(1, 50000)");
        let mut connection = connect(&cluster);
        let canceller = connection.canceller();
        let mut backup = connection.base_backup(&BaseBackupOptions::new("spread")).unwrap();
        let failure = thread::scope(|scope| {
            scope.spawn(|| {
                wait_for("the checkpoint", || running(&cluster) == "1");
                thread::sleep(Duration::from_millis(200));
                canceller.cancel().unwrap();
            });
            backup.next_event().unwrap_err()
        });
        assert_eq!(failure.refusal(), Some(Refusal::Cancelled), "{}", words(&failure));
        drop(backup);
        connection.identify_system().unwrap();
        // Dropped there, it does not go on until the checkpoint is done.
        let backup = connection.base_backup(&BaseBackupOptions::new("spread")).unwrap();
        wait_for("the checkpoint", || running(&cluster) == "1");
        drop(backup);
        wait_for("the end of the backup", || running(&cluster) == "0");
    }
}

#[test]
fn a_server_that_dies_fails_the_backup() {
    let cluster = Cluster::start();
    let mut connection = connect(&cluster);
    let options = BaseBackupOptions { max_rate: Some(1000), ..fast("dies") };
    let mut backup = connection.base_backup(&options).unwrap();
    while !matches!(backup.next_event().unwrap(), Some(BackupEvent::Data(_))) {}
    cluster.stop_immediate();
    let failure = loop {
        match backup.next_event() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it came to its end"),
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.command(), ReplicationCommand::BaseBackup);
    let ReplicationFailure::Command { source, .. } = &failure else { panic!("{}", words(&failure)) };
    assert!(
        matches!(source, PgError::Closed(_))
            || source.sqlstate() == Some("57P01")
            || source.sqlstate() == Some("57P02"),
        "{}",
        words(&failure)
    );
    // Behind an error nothing comes.
    assert!(backup.next_event().unwrap().is_none());
}
