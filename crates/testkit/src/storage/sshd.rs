//! OpenSSH's server with SFTP only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Namespace, PrivateRoot, Service, free_port};

/// How the server's one user may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// With the key, as the user who runs the tests.
    Key,
    /// With the key or a password, as a user of this host who is made for the test; only root can.
    Password,
    /// The same, but the password only as the answer to a question of PAM.
    Question,
}

/// An SSH server.
#[derive(Debug)]
pub struct Sshd {
    service: Service,
    user: String,
    temporary_user: bool,
}

impl Sshd {
    /// The password of [`Login::Password`].
    pub const PASSWORD: &'static str = "correct horse battery staple";
    /// The passphrase of [`Sshd::locked_key`].
    pub const PASSPHRASE: &'static str = "open sesame, please";

    /// Starts one.
    pub fn start(login: Login) -> Sshd {
        Sshd::start_at(None, &[], login, "")
    }

    /// The same on another host.
    pub fn start_on(host: &Namespace, login: Login) -> Sshd {
        Sshd::start_at(Some(host), &[], login, "")
    }

    /// One that serves the folders of this root. The key lets in every user of the host.
    pub fn start_in(root: &PrivateRoot) -> Sshd {
        Sshd::start_at(None, &root.prefix(), Login::Key, "")
    }

    /// One that knows ciphers only which nobody should use.
    pub fn start_old() -> Sshd {
        Sshd::start_at(None, &[], Login::Key, "Ciphers 3des-cbc\n")
    }

    /// `through` is a command that runs the server in some other surrounding.
    fn start_at(host: Option<&Namespace>, through: &[String], login: Login, more: &str) -> Sshd {
        let folder = Service::folder("sshd");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("open the server's folder");
        for name in ["host", "other_host", "host_authority", "user_authority", "key", "stranger"] {
            make_key(&folder.join(name), "ed25519", "");
        }
        make_key(&folder.join("locked"), "ed25519", Sshd::PASSPHRASE);
        let keys = ["key.pub", "locked.pub"]
            .map(|name| fs::read_to_string(folder.join(name)).expect("a public key"));
        let authorized = folder.join("authorized_keys");
        fs::write(&authorized, keys.concat()).expect("write authorized_keys");
        fs::set_permissions(&authorized, fs::Permissions::from_mode(0o644)).expect("open authorized_keys");
        fs::create_dir(folder.join("data")).expect("make the data folder");
        let port = free_port();
        let (user, temporary_user) = match login {
            Login::Key => (own_name(), false),
            Login::Password | Login::Question => (make_user(&folder), true),
        };
        let address = host.map_or_else(|| "127.0.0.1".to_owned(), Namespace::address);
        sign(&folder, "host_authority", &["-h", "-n", &address], "host.pub");
        let config = config(&folder, &address, port, login);
        fs::write(folder.join("config"), format!("{more}{config}"))
            .expect("write the server's configuration");
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").expect("make /run/sshd");
        }
        let server = "/usr/sbin/sshd".to_owned();
        let words: Vec<&String> = through.iter().chain([&server]).collect();
        let service = Service::start(host, "sshd", port, folder.clone(), Path::new(words[0]), |command| {
            command.args(&words[1..]).args(["-D", "-e", "-f"]).arg(folder.join("config"));
        });
        Sshd { service, user, temporary_user }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.service.port
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.service.address
    }

    /// Who logs in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// A folder that the user may write in.
    pub fn data(&self) -> PathBuf {
        self.service.folder.join("data")
    }

    /// A private key that is let in.
    pub fn key(&self) -> PathBuf {
        self.service.folder.join("key")
    }

    /// One that is let in and locked with [`Sshd::PASSPHRASE`].
    pub fn locked_key(&self) -> PathBuf {
        self.service.folder.join("locked")
    }

    /// One that is not let in.
    pub fn strange_key(&self) -> PathBuf {
        self.service.folder.join("stranger")
    }

    /// Makes two that an authority vouches for, by a certificate next to each; ed25519 and RSA.
    pub fn vouched_keys(&self) -> [PathBuf; 2] {
        ["ed25519", "rsa"].map(|kind| {
            let key = self.service.folder.join(format!("vouched_{kind}"));
            make_key(&key, kind, "");
            sign(&self.service.folder, "user_authority", &["-n", &self.user], &format!("vouched_{kind}.pub"));
            key
        })
    }

    /// A known_hosts file with the authority that vouches for the server; and one with another that
    /// does not.
    pub fn known_authorities(&self) -> [PathBuf; 2] {
        ["host_authority", "user_authority"].map(|name| {
            let path = self.service.folder.join(format!("known_hosts-{name}"));
            let key = fs::read_to_string(self.service.folder.join(format!("{name}.pub"))).expect("a key");
            fs::write(&path, format!("@cert-authority * {key}")).expect("write known_hosts");
            path
        })
    }

    /// A known_hosts file that knows the server by this address.
    pub fn known_hosts(&self, port: u16) -> PathBuf {
        self.write_known_hosts("host.pub", port)
    }

    /// One that has another key for it.
    pub fn wrong_known_hosts(&self, port: u16) -> PathBuf {
        self.write_known_hosts("other_host.pub", port)
    }

    fn write_known_hosts(&self, key: &str, port: u16) -> PathBuf {
        let path = self.service.folder.join(format!("known_hosts-{port}-{key}"));
        let key = fs::read_to_string(self.service.folder.join(key)).expect("the host's key");
        fs::write(&path, format!("[{}]:{port} {key}", self.service.address)).expect("write known_hosts");
        path
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Sessions are processes of their own.
        let _ = Command::new("pkill").args(["-KILL", "-P", &self.service.child.id().to_string()]).status();
        if self.temporary_user {
            let _ = self.service.child.kill();
            let _ = Command::new("pkill").args(["-KILL", "-u", &self.user]).stderr(Stdio::null()).status();
            let _ = Command::new("userdel").arg(&self.user).stderr(Stdio::null()).status();
        }
    }
}

/// Makes a key, and its public half next to it.
pub(super) fn make_key(path: &Path, kind: &str, passphrase: &str) {
    run(Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", passphrase, "-f"]).arg(path));
}

/// Makes a certificate next to the public key.
fn sign(folder: &Path, authority: &str, of_whom: &[&str], key: &str) {
    run(Command::new("ssh-keygen")
        .args(["-q", "-I", key, "-V", "-5m:+1d", "-s"])
        .arg(folder.join(authority))
        .args(of_whom)
        .arg(folder.join(key)));
}

fn config(folder: &Path, address: &str, port: u16, login: Login) -> String {
    let folder = folder.display();
    let ways = match login {
        Login::Key | Login::Password => {
            "UsePAM no\nPasswordAuthentication yes\nKbdInteractiveAuthentication no"
        }
        Login::Question => "UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication yes",
    };
    format!(
        "ListenAddress {address}\nPort {port}\nHostKey {folder}/host\nHostCertificate {folder}/host-cert.pub\n\
         AuthorizedKeysFile {folder}/authorized_keys\nTrustedUserCAKeys {folder}/user_authority.pub\n\
         PidFile none\nStrictModes no\n{ways}\nPermitRootLogin yes\nMaxStartups 200\nPrintMotd no\nUseDNS no\n\
         Subsystem sftp internal-sftp\nForceCommand internal-sftp\n"
    )
}

fn own_name() -> String {
    let output = Command::new("id").arg("-un").output().expect("ask for the user's name");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn make_user(folder: &Path) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("pgark{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    run(Command::new("useradd")
        .args(["--no-create-home", "--shell", "/bin/sh", "--home-dir"])
        .arg(folder.join("data"))
        .arg(&name));
    let mut change = Command::new("chpasswd").stdin(Stdio::piped()).spawn().expect("start chpasswd");
    let line = format!("{name}:{}\n", Sshd::PASSWORD);
    std::io::Write::write_all(change.stdin.as_mut().expect("its input"), line.as_bytes())
        .expect("set the password");
    assert!(change.wait().expect("end of chpasswd").success());
    run(Command::new("chown").arg(&name).arg(folder.join("data")));
    name
}

fn run(command: &mut Command) {
    let output =
        command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An ssh-agent with one key.
#[derive(Debug)]
pub struct Agent {
    child: std::process::Child,
    folder: PathBuf,
}

impl Agent {
    /// Starts one and gives it the key.
    pub fn start(key: &Path) -> Agent {
        let folder = Service::folder("agent");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "ssh-agent", "-D", "-a"]).arg(folder.join("socket"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = crate::spawner::spawn(command).expect("start ssh-agent");
        let agent = Agent { child, folder };
        let started = std::time::Instant::now();
        while !agent.socket().exists() {
            assert!(started.elapsed() < super::PATIENCE, "ssh-agent does not start");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        run(Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", agent.socket()));
        agent
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
