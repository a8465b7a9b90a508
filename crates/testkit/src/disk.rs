//! A small file system that can really be full.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A tmpfs of a few megabytes, seen only by the commands that are run through it (a mount namespace
/// of its own): when the test process ends, however it ends, the namespace and the file system are
/// gone. Needs root, as the tests do.
pub struct SmallDisk {
    holder: Child,
    path: PathBuf,
}

impl SmallDisk {
    /// A disk at `path`, a folder that exists.
    pub fn mount(path: &Path, kilobytes: u64) -> SmallDisk {
        let script =
            format!("mount -t tmpfs -o size={kilobytes}k tmpfs \"$1\" && echo ready && read -r never");
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script, "sh"])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) is needed");
        let mut ready = String::new();
        let output = holder.stdout.take().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut ready)
            .expect("read from unshare");
        assert_eq!(ready.trim(), "ready", "mounting a tmpfs needs root and mount rights");
        SmallDisk { holder, path: path.to_owned() }
    }

    /// Gives the disk another size.
    pub fn resize(&self, kilobytes: u64) {
        let size = format!("remount,size={kilobytes}k");
        let status = self.command("mount").args(["-o", &size]).arg(&self.path).status().expect("run mount");
        assert!(status.success(), "the small disk cannot be resized");
    }

    /// What a program has to be run through to see the disk.
    pub fn prefix(&self) -> Vec<String> {
        ["nsenter", "--mount", "--target", &self.holder.id().to_string(), "--"].map(String::from).to_vec()
    }

    /// A command that sees the disk.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let prefix = self.prefix();
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).arg(program);
        command
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
