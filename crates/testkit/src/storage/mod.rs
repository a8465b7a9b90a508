//! Real storage servers for tests: moto and s3rver (S3), azurite (Azure Blob), OpenSSH's sshd
//! (SFTP), each on a free port of 127.0.0.1, gone with the value or with the test process.
//!
//! There is no Google Cloud Storage server that could be had: the one registry package speaks the
//! JSON API, ignores preconditions and answers 501 to the XML API that we use. [`GcsStandIn`] is
//! therefore moto behind a proxy of ours that renames two headers: object semantics, lists and
//! errors are moto's, the protocol is GCS's XML API as far as the headers that we use go. It proves
//! that the adapter asks the right things; it is no proof about Google's service.

mod azurite;
mod fuse;
mod gcs_stand_in;
mod moto;
mod namespace;
mod private_root;
mod proxy;
mod rclone;
mod s3rver;
mod sshd;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use azurite::{Azurite, make_container};
pub use fuse::NoLinks;
pub use gcs_stand_in::GcsStandIn;
pub use moto::Moto;
pub use namespace::Namespace;
pub use private_root::PrivateRoot;
pub use proxy::{Network, Proxy};
pub use rclone::Rclone;
pub use s3rver::S3rver;
pub use sshd::{Agent, Login, Sshd};

use crate::spawner;

/// How long a server may take to start: several start at once on two cores.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where `./test` put the servers that come from registries.
fn installed() -> PathBuf {
    std::env::var_os("PGARK_TEST_STORAGE")
        .map_or_else(|| "/var/cache/pgark-test/storage".into(), PathBuf::from)
}

fn program(path: &str) -> PathBuf {
    let path = installed().join(path);
    assert!(path.exists(), "{} is missing: run ./test, which installs it", path.display());
    path
}

/// A port that was free a moment ago, and that no other call gets soon: each process goes through
/// the ports from a place of its own, below those that the kernel gives to clients.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 16_384;
    const PORTS: u32 = 16_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (std::process::id().wrapping_mul(37).wrapping_add(step)) % PORTS;
        let port = u16::try_from(port).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// A server process with a folder of its own.
#[derive(Debug)]
struct Service {
    child: Child,
    folder: PathBuf,
    address: String,
    port: u16,
}

impl Service {
    /// A new folder for a server.
    fn folder(kind: &str) -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Not the clusters' prefix: the first cluster of a process sweeps what an earlier process
        // of its number left.
        let folder = Path::new("/tmp").join(format!("pgark-s-{}-{kind}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("make a server's folder");
        folder
    }

    /// Starts it, on this host or on another, and waits until it answers on its port.
    fn start(
        host: Option<&Namespace>,
        kind: &str,
        port: u16,
        folder: PathBuf,
        program: &Path,
        prepare: impl FnOnce(&mut Command),
    ) -> Service {
        let log = fs::File::create(folder.join("log")).expect("make a server's log");
        // The signal reaches the server when the test process is gone, whatever ended it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(host.iter().flat_map(|host| host.prefix())).arg(program);
        let address = host.map_or_else(|| "127.0.0.1".to_owned(), Namespace::address);
        prepare(&mut command);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("share the log")).stderr(log);
        let child = spawner::spawn(command).unwrap_or_else(|error| panic!("start {kind}: {error}"));
        let mut service = Service { child, folder, address, port };
        let started = Instant::now();
        while TcpStream::connect((service.address.as_str(), port)).is_err() {
            let ended = service.child.try_wait().expect("look at a server");
            let log = || fs::read_to_string(service.folder.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "{kind} ended: {}", log());
            assert!(started.elapsed() < PATIENCE, "{kind} does not start: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        service
    }
}

impl Service {
    fn at(&self) -> (&str, u16) {
        (self.address.as_str(), self.port)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// One plain HTTP request, for what a test must arrange on a server: status and body.
fn http(to: (&str, u16), method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let answer = answer(to, method, path, headers, body);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}

/// The same, with everything that was answered.
fn answer(to: (&str, u16), method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut stream = TcpStream::connect(to).expect("reach the server");
    let (address, port) = to;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}:{port}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes()).expect("ask the server");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("hear the server");
    String::from_utf8_lossy(&answer).into_owned()
}
