//! `restore --start`: the server of a restored directory runs, whatever its configuration needs
//! that this host does not have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pgark_testkit::Cluster;
use pgark_testkit::oracle::assert_same;
use serde_json::Value;
use tempfile::TempDir;

use super::physical::{back_up, fill, id, logged, source};
use super::support::Desk;

/// A server that was started, and its end.
struct Started {
    said: Value,
    is_stopped: bool,
}

impl Started {
    /// Restores with `--start` and these options.
    #[track_caller]
    fn by(desk: &Desk, id: &str, to: &Path, more: &[&str]) -> Started {
        let to = to.display().to_string();
        let said = desk.json(&[&["restore", id, "--to-dir", &to, "--start", "--json"], more].concat());
        Started { said, is_stopped: false }
    }

    fn text(&self, name: &str) -> &str {
        self.said["server"][name].as_str().unwrap()
    }

    /// The command that was printed, with a query.
    #[track_caller]
    fn query(&self, db: &str, query: &str) -> String {
        let connect = self.text("connect").replace("-d postgres", &format!("-d {db}"));
        let output = shell(&format!("{connect} -X -At -v ON_ERROR_STOP=1 -c \"{query}\""));
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// The command that was printed.
    #[track_caller]
    fn stop(mut self) {
        self.is_stopped = true;
        let output = shell(self.text("stop"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::remove_dir_all(self.text("socket_directory")).unwrap();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if !self.is_stopped {
            shell(&format!("{} -m immediate", self.text("stop")));
        }
    }
}

fn shell(command: &str) -> Output {
    Command::new("/bin/sh").arg("-c").arg(command).output().unwrap()
}

/// Folders that the user of the server can enter.
fn place(cluster: &Cluster) -> TempDir {
    let place = TempDir::new_in("/tmp").unwrap();
    cluster.own(place.path());
    place
}

/// Its own configuration asks for more than this host has.
#[test]
fn a_restored_server_is_started() {
    let cluster = source();
    fill(&cluster, "d", 3_000);
    for setting in [
        "shared_preload_libraries = 'pg_stat_statements', 'not_on_this_host'",
        "shared_buffers = '1TB'",
        "huge_pages = on",
        "logging_collector = on",
        "log_directory = '/nowhere/at/all'",
        "synchronous_standby_names = 'nobody'",
        "external_pid_file = '/nowhere/pid'",
        "recovery_end_command = 'touch /tmp/pgark-never'",
        "archive_mode = on",
    ] {
        cluster.sql("postgres", &format!("ALTER SYSTEM SET {setting}"));
    }
    let desk = Desk::with_identity();
    desk.expects(&["not_on_this_host", "shared_buffers"]);
    let backup = id(&back_up(&desk, &cluster));
    let place = place(&cluster);
    // A path that a shell would read otherwise.
    let to = place.path().join("it's $(a) data");
    let server = Started::by(&desk, &backup, &to, &[]);
    let notes = server.said["notes"].to_string();
    assert!(notes.contains("not_on_this_host") && notes.contains("shared_buffers"), "{notes}");
    assert_eq!(server.query("postgres", "SELECT pg_is_in_recovery()"), "f");
    assert_eq!(server.query("postgres", "SHOW listen_addresses"), "");
    assert_eq!(server.query("postgres", "SHOW archive_mode"), "off");
    assert_eq!(server.query("postgres", "SHOW data_directory"), to.display().to_string());
    let libraries = server.query("postgres", "SHOW shared_preload_libraries");
    assert!(libraries.contains("pg_stat_statements") && !libraries.contains("not_on"), "{libraries}");
    server.query("d", "CREATE TABLE written AS SELECT 1 a");
    assert_eq!(server.query("d", "SELECT count(*) FROM t"), "3000");
    assert!(fs::read_to_string(server.text("log")).unwrap().contains("database system is ready"));
    // While it runs, nothing is restored over it.
    let to_dir = to.display().to_string();
    let said = desk.fails(1, &["restore", &backup, "--to-dir", &to_dir, "--delta"]);
    assert!(said.contains("a server runs in"), "{said}");
    server.stop();
    // And over a directory.
    let server = Started::by(&desk, &backup, &to, &["--delta"]);
    assert!(server.said["delta"]["pages_different"].as_u64().unwrap() > 0, "{}", server.said);
    assert_eq!(server.query("d", "SELECT to_regclass('written') IS NULL"), "t");
    let socket = PathBuf::from(server.text("socket_directory"));
    server.stop();
    assert!(!socket.exists() && !Path::new("/tmp/pgark-never").exists());
}

/// As Debian has it, the configuration is not in the data directory, and names that of the
/// original.
#[test]
fn a_server_without_its_configuration_is_started() {
    let cluster = source();
    fill(&cluster, "d", 500);
    let before = logged(&cluster, "d");
    cluster.stop();
    let (outside, data) = (place(&cluster), cluster.data_directory());
    let files = ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"].map(|name| {
        let to = outside.path().join(name);
        fs::rename(data.join(name), &to).unwrap();
        to.display().to_string()
    });
    let mut text = fs::read_to_string(&files[0]).unwrap();
    text.push_str(&format!(
        "data_directory = '{}'\nhba_file = '{}'\nident_file = '{}'\nmax_connections = 333\nmax_prepared_transactions = 5\n",
        data.display(),
        files[1],
        files[2]
    ));
    fs::write(&files[0], text).unwrap();
    let log = outside.path().join("log");
    let mut start = cluster.as_server("pg_ctl");
    start.args(["start", "-w", "-s", "-D"]).arg(outside.path()).arg("-l").arg(&log);
    let output = start.arg("-o").arg(format!("-p {}", cluster.port())).output().unwrap();
    assert!(output.status.success(), "{}", fs::read_to_string(&log).unwrap_or_default());
    struct Stops<'c>(&'c Cluster);
    impl Drop for Stops<'_> {
        fn drop(&mut self) {
            let mut stop = self.0.as_server("pg_ctl");
            let _ = stop.args(["stop", "-m", "fast", "-w", "-D"]).arg(self.0.data_directory()).output();
        }
    }
    let runs = Stops(&cluster);
    // A prepared transaction needs its place after recovery, too.
    cluster.sql("d", "BEGIN; INSERT INTO t VALUES (-5, 'prepared', '{}'); PREPARE TRANSACTION 'p'");
    let desk = Desk::with_identity();
    let backup = id(&back_up(&desk, &cluster));
    cluster.sql("d", "ROLLBACK PREPARED 'p'");
    assert_same(&before, &logged(&cluster, "d"));
    let place = place(&cluster);
    for (name, more) in [("without", &[][..]), ("with", &["--with-config"])] {
        let to = place.path().join(name);
        let server = Started::by(&desk, &backup, &to, more);
        assert_eq!(to.join("postgresql.conf").exists(), name == "with");
        // Not in the directory of the original, which its configuration names.
        assert_eq!(server.query("postgres", "SHOW data_directory"), to.display().to_string());
        assert_eq!(server.query("postgres", "SHOW max_connections"), "333");
        assert_eq!(server.query("postgres", "SELECT gid FROM pg_prepared_xacts"), "p");
        server.query("d", "COMMIT PREPARED 'p'");
        server.query("d", "INSERT INTO t VALUES (-6, 'written', '{}')");
        assert_eq!(server.query("d", "SELECT count(*) FROM t"), "502");
        server.stop();
    }
    drop(runs);
}

/// A server that ends while it starts has its last words in the error, and the directory stays.
#[test]
fn a_server_that_does_not_start_tells_why() {
    let cluster = source();
    // Read by its program without complaint.
    cluster.sql("postgres", "ALTER SYSTEM SET wal_level = minimal");
    let desk = Desk::with_identity();
    let backup = id(&back_up(&desk, &cluster));
    let place = place(&cluster);
    let to = place.path().join("data");
    let to_dir = to.display().to_string();
    let said = desk.fails(1, &["restore", &backup, "--to-dir", &to_dir, "--start"]);
    assert!(said.contains("is restored") && said.contains("max_wal_senders"), "{said}");
    assert!(to.join("global/pg_control").exists() && !to.join("postmaster.pid").exists());
}
