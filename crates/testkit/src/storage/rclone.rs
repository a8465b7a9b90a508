//! An SFTP server that is not OpenSSH's: rclone's. Its renames take names that are taken, and it
//! answers to a link that was not made that it was (1.60): the SFTP server that needs one writer at
//! a time.

use std::path::PathBuf;

use super::sshd::make_key;
use super::{Service, free_port};

/// A server with one user, `me`.
#[derive(Debug)]
pub struct Rclone {
    service: Service,
}

impl Rclone {
    /// The user's password.
    pub const PASSWORD: &'static str = "a password for tests";

    /// Starts one.
    pub fn start() -> Rclone {
        let port = free_port();
        let folder = Service::folder("rclone");
        let data = folder.join("data");
        std::fs::create_dir(&data).expect("make rclone's folder");
        for key in ["host", "key"] {
            make_key(&folder.join(key), "ed25519", "");
        }
        let address = format!("127.0.0.1:{port}");
        let service =
            Service::start(None, "rclone", port, folder.clone(), "/usr/bin/rclone".as_ref(), |command| {
                command.args([
                    "serve",
                    "sftp",
                    "--addr",
                    &address,
                    "--user",
                    "me",
                    "--pass",
                    Rclone::PASSWORD,
                ]);
                command.arg("--key").arg(folder.join("host"));
                command.arg("--authorized-keys").arg(folder.join("key.pub"));
                command.arg("--config").arg(folder.join("config"));
                command.arg("--cache-dir").arg(folder.join("cache")).arg(&data);
            });
        Rclone { service }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.service.port
    }

    /// A private key that is let in.
    pub fn key(&self) -> PathBuf {
        self.service.folder.join("key")
    }

    /// What stands below its root.
    pub fn data(&self) -> PathBuf {
        self.service.folder.join("data")
    }

    /// A known_hosts file that knows it.
    pub fn known_hosts(&self) -> PathBuf {
        let path = self.service.folder.join("known_hosts");
        let key = std::fs::read_to_string(self.service.folder.join("host.pub")).expect("the host's key");
        std::fs::write(&path, format!("[127.0.0.1]:{} {key}", self.port())).expect("write known_hosts");
        path
    }
}
