//! A file system without hard links, and without renames that take no name: a folder behind sshfs.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Login, PATIENCE, Service, Sshd};

/// Such a file system, mounted in a mount namespace of its own: it is gone with the process that
/// serves it.
#[derive(Debug)]
pub struct NoLinks {
    service: Service,
    _server: Sshd,
}

impl NoLinks {
    /// Mounts one; none where this machine has no FUSE.
    pub fn mount() -> Option<NoLinks> {
        if !Path::new("/dev/fuse").exists() {
            crate::skipped("this machine has no /dev/fuse");
            return None;
        }
        let server = Sshd::start(Login::Key);
        let port = server.port();
        let folder = Service::folder("sshfs");
        let mount = folder.join("mount");
        std::fs::create_dir(&mount).expect("make a folder");
        let service =
            Service::start(None, "sshfs", port, folder.clone(), "/usr/bin/unshare".as_ref(), |command| {
                command.args(["--mount", "sshfs", "-f", "-p", &port.to_string(), "-F", "/dev/null"]);
                for option in [
                    "disable_hardlink".into(),
                    format!("IdentityFile={}", server.key().display()),
                    format!("UserKnownHostsFile={}", server.known_hosts(port).display()),
                ] {
                    command.args(["-o", &option]);
                }
                command.arg(format!("{}@127.0.0.1:{}", server.user(), server.data().display())).arg(&mount);
            });
        let mounted = NoLinks { service, _server: server };
        let started = Instant::now();
        let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
        while device(&mounted.path()) == device(&folder) {
            let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(started.elapsed() < PATIENCE, "sshfs mounts nothing: {}", log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Some(mounted)
    }

    /// Where it can be seen from outside its namespace.
    pub fn path(&self) -> PathBuf {
        let folder = self.service.folder.join("mount");
        let root = Path::new("/proc").join(self.service.child.id().to_string()).join("root");
        root.join(folder.strip_prefix("/").unwrap_or(&folder))
    }
}
