//! pgbouncer in front of a cluster: what lies between applications and their server in the wild.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::server_user::ServerUser;
use crate::storage::free_port;
use crate::{Cluster, spawner};

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running pgbouncer; gone with the value or with the test process.
#[derive(Debug)]
pub struct Pooler {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Pooler {
    /// Starts one in this mode (`session`, `transaction`, `statement`); `more`: further lines of
    /// its configuration.
    pub fn start(cluster: &Cluster, mode: &str, more: &[&str]) -> Pooler {
        let port = free_port();
        let user = ServerUser::get();
        let folder = PathBuf::from(format!("/tmp/pgark-s-{}-pgbouncer-{port}", std::process::id()));
        fs::create_dir(&folder).expect("make pgbouncer's folder");
        let config = folder.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={} port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = 20\n{}\n",
            cluster.socket_directory().display(),
            cluster.port(),
            more.join("\n")
        );
        fs::write(&config, text).expect("write pgbouncer's configuration");
        let log = fs::File::create(folder.join("log")).expect("make pgbouncer's log");
        user.own(&folder);
        user.own(&config);
        let mut command = user.command("/usr/sbin/pgbouncer".as_ref(), true);
        command.arg(&config).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("share the log")).stderr(log);
        let child = spawner::spawn(command).expect("start pgbouncer");
        let mut pooler = Pooler { child, folder, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = pooler.child.try_wait().expect("look at pgbouncer");
            assert!(ended.is_none() && started.elapsed() < PATIENCE, "pgbouncer: {}", pooler.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        pooler
    }

    /// The way to a database through it, as superuser.
    pub fn conninfo(&self, db: &str) -> String {
        format!("host=127.0.0.1 port={} dbname={db} user=postgres", self.port)
    }

    /// Its port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
