//! Data directories without initdb each time: a copy of what it made once, under a system
//! identifier of its own.
//!
//! initdb takes a second of CPU time, a copy a tenth. The copies of one installation and one list
//! of arguments are kept in the build's `tmp` folder. Two clusters of one identifier would be one
//! cluster to every tool, so a copy gets a new one as initdb would make it: in `pg_control`, whose
//! first 8 bytes it is (PostgreSQL 15, `src/include/catalog/pg_control.h`; the same in 13 to 18)
//! and whose last 4 are the CRC-32C of what is before; pg_resetwal then writes the WAL for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::server_user::ServerUser;

/// A kept data directory that need not exist yet.
pub(crate) struct Template {
    folder: PathBuf,
    resetwal: PathBuf,
}

impl Template {
    /// That of this initdb with these arguments. None: this program was not built by cargo, or the
    /// installation does not have pg_resetwal.
    pub(crate) fn of(initdb: &Path, arguments: &[String]) -> Option<Template> {
        let resetwal = Some(initdb.with_file_name("pg_resetwal")).filter(|program| program.exists())?;
        let program = std::env::current_exe().ok()?;
        // …/target/debug/deps/test-0123456789abcdef
        let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists())?;
        let changed = fs::metadata(initdb).and_then(|about| about.modified()).ok()?;
        let changed = changed.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        let mut key = crc32c(initdb.as_os_str().as_encoded_bytes()).to_string();
        key.push_str(&format!("-{changed}-{}", crc32c(arguments.join("\0").as_bytes())));
        Some(Template { folder: target.join("tmp/initdb").join(key), resetwal })
    }

    /// Makes `data` of it; false if there is none yet.
    pub(crate) fn copy_to(&self, data: &Path, user: ServerUser) -> bool {
        if !self.folder.exists() {
            return false;
        }
        copy(&self.folder, data);
        let control = data.join("global/pg_control");
        let mut bytes = fs::read(&control).expect("read pg_control");
        identify(&mut bytes, new_identifier());
        fs::write(&control, bytes).expect("write pg_control");
        let mut command = user.command(&self.resetwal, false);
        let output = command.arg("-f").arg("-D").arg(data).output().expect("run pg_resetwal");
        assert!(output.status.success(), "pg_resetwal: {}", String::from_utf8_lossy(&output.stderr));
        true
    }

    /// Keeps `data`, which initdb made just now.
    pub(crate) fn keep(&self, data: &Path) {
        let parent = self.folder.parent().expect("a template has a folder above it");
        fs::create_dir_all(parent).expect("make the folder of templates");
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let unfinished = parent.join(format!("unfinished-{}-{number}", std::process::id()));
        copy(data, &unfinished);
        // Someone else was first, if not.
        if fs::rename(&unfinished, &self.folder).is_err() {
            fs::remove_dir_all(&unfinished).expect("remove the superfluous template");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("run cp");
    assert!(status.success(), "cp -a {} {}", from.display(), to.display());
}

/// As initdb makes it (`BootStrapXLOG`): seconds, microseconds, process; here the last bits count,
/// because one process makes many.
fn new_identifier() -> u64 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock behind 1970");
    let low = std::process::id().wrapping_add(NUMBER.fetch_add(1, Ordering::Relaxed)) & 0xfff;
    (now.as_secs() << 32) | (u64::from(now.subsec_micros()) << 12) | u64::from(low)
}

fn identify(control: &mut [u8], identifier: u64) {
    let at = (64..control.len() - 4)
        .step_by(4)
        .find(|&at| control[at..at + 4] == crc32c(&control[..at]).to_le_bytes())
        .expect("pg_control has a sum");
    control[..8].copy_from_slice(&identifier.to_le_bytes());
    let sum = crc32c(&control[..at]);
    control[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

/// CRC-32C (Castagnoli), bit by bit: for a few hundred bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
