//! Which host and process this is: sessions say it, so that people know whom they wait for, and so
//! that a writer that was killed on this host is not waited for.
//!
//! The library asks no system for it; whoever runs it says once what it is.

use std::sync::OnceLock;

/// This host and this process.
#[derive(Clone, Debug)]
pub struct Host {
    /// The host's name, for people.
    pub name: String,
    /// The process, in words that no other process of this host ever has.
    pub process: String,
    /// Whether a process of this host is still there, from its words.
    pub is_alive: fn(&str) -> bool,
}

static THIS: OnceLock<Host> = OnceLock::new();

/// Says what this host and this process are. Only the first call counts.
pub fn host_is(host: Host) {
    let _ = THIS.set(host);
}

/// This host, if someone has said what it is.
pub(crate) fn this() -> Option<&'static Host> {
    THIS.get()
}
