//! Data directories and pages made by hand.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use pgark_bytes::page::checksum;
use pgark_datadir::scan::{Scan, ScanOptions, scan};
use pgark_datadir::{DataDir, Error};
use tempfile::TempDir;

pub const PAGE: usize = 8192;

/// A folder that goes with the value.
pub struct Made {
    pub folder: TempDir,
}

impl Made {
    /// A data directory of PostgreSQL 15 without anything but its version.
    pub fn new() -> Made {
        let folder = tempfile::Builder::new().prefix("pgark-datadir-").tempdir().unwrap();
        let made = Made { folder };
        made.file("data/PG_VERSION", b"15\n");
        made
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A file, with the folders above it.
    pub fn file(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn directory(&self) -> DataDir {
        DataDir::open(&self.path("data")).unwrap()
    }

    pub fn scan(&self) -> Result<Scan, Error> {
        scan(&self.directory(), &ScanOptions::default(), &|| false)
    }
}

/// Ends a thread of a test, also where the test fails.
pub struct SetAtEnd<'a>(pub &'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A page with a right checksum for this block, filled by `fill`.
pub fn page_of(size: usize, block: u32, lsn: u64, fill: u8) -> Vec<u8> {
    let mut page = vec![fill; size];
    let (low, high) = (lsn as u32, (lsn >> 32) as u32);
    let layout = u16::try_from(size).unwrap() | 4;
    page[0..4].copy_from_slice(&high.to_le_bytes());
    page[4..8].copy_from_slice(&low.to_le_bytes());
    for (at, value) in [(10, 0), (12, 24), (14, 32), (16, layout & !0xFF), (18, layout)] {
        page[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    page[20..32].fill(0);
    with_checksum(page, block)
}

/// The page with the checksum that it must have in this block.
pub fn with_checksum(mut page: Vec<u8>, block: u32) -> Vec<u8> {
    let sum = checksum(&page, block);
    page[8..10].copy_from_slice(&sum.to_le_bytes());
    page
}

/// Pages of 8 KiB from `first` on, all with this LSN.
pub fn pages(first: u32, count: u32, lsn: u64) -> Vec<u8> {
    (first..first + count).flat_map(|block| page_of(PAGE, block, lsn, block as u8 | 1)).collect()
}

/// A path below the data directory as text, for comparisons.
pub fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Every file of a scan: path and length, pages marked by `+`.
pub fn listed(scan: &Scan) -> Vec<String> {
    let mut all = Vec::new();
    for folder in &scan.folders {
        let path = if folder.path.is_empty() { String::new() } else { text(&folder.path) + "/" };
        for (files, mark) in [(&folder.pages, "+"), (&folder.others, "")] {
            all.extend(files.iter().map(|file| format!("{path}{} {}{mark}", text(file.name), file.bytes)));
        }
    }
    all.sort();
    all
}

pub fn folders(scan: &Scan) -> Vec<String> {
    scan.folders.iter().map(|folder| text(&folder.path)).collect()
}

/// Makes a FIFO.
pub fn fifo(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR).unwrap();
}
