//! Names of users and groups, by their numbers and back.
//!
//! The system knows them from more than `/etc/passwd` (LDAP, systemd), so its own program is asked:
//! `getent`, which every system with glibc has. Where there is none, or no name, the number is the
//! name.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use pgark_store::Child;

use crate::lock::lock;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Database {
    Users,
    Groups,
}

impl Database {
    fn name(self) -> &'static str {
        match self {
            Database::Users => "passwd",
            Database::Groups => "group",
        }
    }
}

/// Asks once for each.
#[derive(Default)]
pub(super) struct Owners {
    names: Mutex<HashMap<(Database, u32), String>>,
    numbers: Mutex<HashMap<(Database, String), Option<u32>>>,
}

impl Owners {
    /// The name of a user or group.
    pub(super) fn name(&self, of: Database, number: u32) -> String {
        let mut names = lock(&self.names);
        let known = names.entry((of, number)).or_insert_with(|| {
            let line = ask(of, &number.to_string());
            let name = line.as_deref().and_then(|line| line.split(':').next());
            name.filter(|name| !name.is_empty()).map_or_else(|| number.to_string(), str::to_string)
        });
        known.clone()
    }

    /// The number of a user or group; None: there is none of this name here.
    pub(super) fn number(&self, of: Database, name: &str) -> Option<u32> {
        let mut numbers = lock(&self.numbers);
        let known = numbers.entry((of, name.to_string())).or_insert_with(|| {
            let line = ask(of, name);
            let number = line.as_deref().and_then(|line| line.split(':').nth(2)?.parse().ok());
            number.or_else(|| name.parse().ok())
        });
        *known
    }
}

/// The line that the system has of a user or group.
fn ask(of: Database, key: &str) -> Option<String> {
    // A name must not be an option.
    let mut child = Command::new("getent");
    Child::Tool.prepare(&mut child);
    child.args([of.name(), "--", key]).stdin(Stdio::null()).stderr(Stdio::null());
    let output = child.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}
