//! A file system as the host's, with folders under `/` and an `/etc/hosts` that are there for a
//! test alone. Only root can.
//!
//! It is a new root in a mount namespace: the host's folders are bound into it, so that nothing is
//! made on the host, not even a folder to mount on. It is gone with the process that holds it.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::Service;
use crate::spawner;

/// Makes the root `$1` with the hosts file `$2` and the folders behind it, says so, and stays.
const HOLDER: &str = r#"
set -eu
exec 2>&1
root=$1 hosts=$2
shift 2
mount -t tmpfs -o mode=755 pgark-test "$root"
for entry in /* /.[!.]*; do
  if [ -L "$entry" ]; then
    cp -P "$entry" "$root$entry"
  elif [ -d "$entry" ]; then
    mkdir "$root$entry"
    mount --rbind "$entry" "$root$entry"
  fi
done
for folder in "$@"; do
  mkdir -p "$root$folder"
  mount -t tmpfs -o mode=1777 pgark-test "$root$folder"
done
mount --bind "$hosts" "$root/etc/hosts"
echo ready
exec chroot "$root" sleep infinity > /dev/null 2>&1
"#;

/// Such a root.
#[derive(Debug)]
pub struct PrivateRoot {
    holder: Child,
    folder: PathBuf,
}

impl PrivateRoot {
    /// Makes one; None where we are not root. `folders` (`/backup`) are empty, and everybody may
    /// write there; `hosts` is the text of `/etc/hosts`.
    pub fn make(folders: &[&str], hosts: &str) -> Option<PrivateRoot> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let folder = Service::folder("root");
        fs::create_dir(folder.join("root")).expect("make a folder");
        fs::write(folder.join("hosts"), hosts).expect("write a hosts file");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c", HOLDER, "holder"]);
        command.arg(folder.join("root")).arg(folder.join("hosts")).args(folders);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = spawner::spawn(command).expect("start unshare");
        let mut said = String::new();
        let output = holder.stdout.as_mut().expect("its output");
        output.read_to_string(&mut said).expect("hear the holder of a root");
        let root = PrivateRoot { holder, folder };
        assert_eq!(said, "ready\n", "no private root");
        Some(root)
    }

    /// What runs a command there.
    pub fn prefix(&self) -> Vec<String> {
        let target = self.holder.id().to_string();
        ["nsenter", "--target", &target, "--mount", "--root"].map(str::to_owned).to_vec()
    }
}

impl Drop for PrivateRoot {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
