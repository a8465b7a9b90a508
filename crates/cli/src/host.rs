//! Which host and process this is, for the sessions of writers. A process is known by the boot of
//! its host, its number and the moment of its start: no other one ever has all three.

use std::fs;

use pgark_ops::Host;

/// This one.
pub fn this() -> Host {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let process = identity(std::process::id()).unwrap_or_default();
    Host { name, process, is_alive }
}

/// A process that is there now. None where the system does not tell (it has no `/proc`).
fn identity(process: u32) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let status = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in brackets, may hold anything; the start is the twenty-second field.
    let (_, behind_name) = status.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace();
    // One that is dead and was not waited for yet is no process any more.
    fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
    let start = fields.nth(18)?;
    Some(format!("{} {process} {start}", boot.trim()))
}

fn is_alive(said: &str) -> bool {
    let number = said.split(' ').nth(1).and_then(|number| number.parse().ok());
    match (identity(std::process::id()), number) {
        (Some(_), Some(process)) => identity(process).as_deref() == Some(said),
        // What cannot be found out is taken for alive.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{identity, is_alive};

    #[test]
    fn a_process_is_alive_until_it_has_ended() {
        assert!(is_alive(&identity(std::process::id()).unwrap()));
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = identity(child.id()).unwrap();
        assert!(is_alive(&process));
        // Another one with its number.
        let (before, start) = process.rsplit_once(' ').unwrap();
        assert!(!is_alive(&format!("{before} {start}0")));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_alive(&process));
        assert!(is_alive("of another version"));
    }
}
