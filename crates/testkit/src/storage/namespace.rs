//! A host of its own behind a real network: a namespace of the kernel at the end of a virtual
//! cable, which can be made slow and lossy (a token bucket drops what its short queue does not
//! hold) and be unplugged. Only root can.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The other host.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    /// Our end of the cable.
    cable: String,
    subnet: String,
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output().expect("start ip");
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Namespace {
    /// Makes one; None where we are not root.
    pub fn make() -> Option<Namespace> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let host = Namespace {
            name: format!("pgark-t-{process}-{number}"),
            cable: format!("pg{}{number}", process % 1_000_000),
            subnet: format!("10.{}.{}", 64 + process % 128, (process / 128 + number) % 256),
        };
        let far = format!("{}f", host.cable);
        ip(&["netns", "add", &host.name]);
        ip(&["link", "add", &host.cable, "type", "veth", "peer", "name", &far]);
        ip(&["link", "set", &far, "netns", &host.name]);
        ip(&["addr", "add", &format!("{}.1/24", host.subnet), "dev", &host.cable]);
        ip(&["link", "set", &host.cable, "up"]);
        host.inside(&["addr", "add", &format!("{}.2/24", host.subnet), "dev", &far]);
        host.inside(&["link", "set", &far, "up"]);
        host.inside(&["link", "set", "lo", "up"]);
        Some(host)
    }

    fn inside(&self, arguments: &[&str]) {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend(arguments);
        ip(&all);
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("{}.2", self.subnet)
    }

    /// What runs a command there.
    pub(super) fn prefix(&self) -> [&str; 4] {
        ["ip", "netns", "exec", self.name.as_str()]
    }

    /// Makes the way there as slow as this (`20mbit`), with a queue so short that packets are lost
    /// when it is used fully.
    pub fn make_slow_and_lossy(&self, rate: &str) {
        for at in [None, Some(self.name.as_str())] {
            let device = if at.is_some() { format!("{}f", self.cable) } else { self.cable.clone() };
            let mut command = Command::new("tc");
            if let Some(name) = at {
                command.args(["-n", name]);
            }
            command.args([
                "qdisc", "replace", "dev", &device, "root", "tbf", "rate", rate, "burst", "16k", "limit",
                "24k",
            ]);
            let output = command.output().expect("start tc");
            assert!(output.status.success(), "tc: {}", String::from_utf8_lossy(&output.stderr));
        }
    }

    /// Packets that were lost on our end so far.
    pub fn lost(&self) -> u64 {
        let output =
            Command::new("tc").args(["-s", "qdisc", "show", "dev", &self.cable]).output().expect("start tc");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let dropped = text.split("dropped ").nth(1).and_then(|rest| rest.split(',').next());
        dropped.and_then(|count| count.parse().ok()).unwrap_or_default()
    }

    /// Pulls the cable: nothing arrives any more, and nobody is told. At the far end: with our end
    /// its route would go, and whoever is behind the default route might answer.
    pub fn unplug(&self) {
        self.inside(&["link", "set", &format!("{}f", self.cable), "down"]);
    }

    /// Puts it back.
    pub fn plug(&self) {
        self.inside(&["link", "set", &format!("{}f", self.cable), "up"]);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.cable]).stderr(Stdio::null()).status();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).stderr(Stdio::null()).status();
    }
}
