//! A throw-away PostgreSQL 15 cluster. It runs as the OS user `postgres` because a server refuses
//! root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Cluster {
    dir: Option<tempfile::TempDir>,
}

pub fn bin(name: &str) -> PathBuf {
    let dir = std::env::var_os("PGARK_TEST_PG15_BIN")
        .map_or_else(|| PathBuf::from("/usr/lib/postgresql/15/bin"), PathBuf::from);
    dir.join(name)
}

fn as_postgres(name: &str) -> Command {
    let mut c = Command::new("setpriv");
    c.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(bin(name));
    c.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").current_dir("/");
    c.stdin(Stdio::null());
    c
}

/// No TCP: the socket lies in the cluster's own directory, so a fixed port cannot clash.
const PORT: &str = "54321";

impl Cluster {
    pub fn start() -> Cluster {
        Cluster::start_with(&[])
    }

    /// With more arguments of initdb.
    pub fn start_with(initdb: &[&str]) -> Cluster {
        let dir = tempfile::Builder::new().prefix("pgark-bytes-").tempdir().unwrap();
        let ok = Command::new("chown").arg("postgres").arg(dir.path()).status().unwrap().success();
        assert!(ok);
        let data = dir.path().join("data");
        run(as_postgres("initdb")
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-N", "-D"])
            .arg(&data)
            .args(initdb));
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c port={PORT} -c fsync=off -c wal_level=logical -c shared_buffers=16MB",
            dir.path().display()
        );
        let log = dir.path().join("log");
        run(as_postgres("pg_ctl")
            .args(["-w", "start", "-o", &options, "-D"])
            .arg(&data)
            .arg("-l")
            .arg(&log)
            .stdout(Stdio::null())
            .stderr(Stdio::null()));
        Cluster { dir: Some(dir) }
    }

    pub fn path(&self) -> &Path {
        self.dir.as_ref().unwrap().path()
    }

    /// Stops the server; what it had in memory is then in the files.
    pub fn stop(&self) {
        run(as_postgres("pg_ctl").args(["-m", "fast", "-w", "stop", "-D"]).arg(self.path().join("data")));
    }

    pub fn client(&self, name: &str) -> Command {
        let mut c = Command::new(bin(name));
        c.env_clear().env("PATH", "/usr/bin:/bin").env("PGHOST", self.path()).env("PGPORT", PORT);
        c.env("PGUSER", "postgres").env("LC_ALL", "C.UTF-8");
        c
    }

    pub fn sql(&self, db: &str, sql: &str) -> String {
        let mut child = self
            .client("psql")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", db])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let sql = sql.to_owned();
        let feeder = std::thread::spawn(move || stdin.write_all(sql.as_bytes()));
        let out = child.wait_with_output().unwrap();
        feeder.join().unwrap().unwrap();
        assert!(out.status.success(), "psql failed");
        String::from_utf8(out.stdout).unwrap()
    }

    /// Output of a client program.
    pub fn output(&self, name: &str, args: &[&str]) -> Vec<u8> {
        let out = self.client(name).args(args).stderr(Stdio::inherit()).output().unwrap();
        assert!(out.status.success(), "{name} {args:?} failed");
        out.stdout
    }
}

fn run(c: &mut Command) {
    let status = c.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{c:?}");
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.path().join("data");
        let _ = as_postgres("pg_ctl")
            .args(["-m", "immediate", "-w", "stop", "-D"])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
