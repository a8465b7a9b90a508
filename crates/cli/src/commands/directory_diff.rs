//! What `pgark diff` shows of two physical backups.

use std::cmp::Reverse;

use pgark_ops::diff::{Change, DirectoryDiff, FileChange, FolderChange};

use crate::error::Failure;
use crate::output::{self, Align};

/// So many folders, and so many files, are shown.
const SHOWN: usize = 20;

/// Totals, then folders and files in the order of their changed pages.
pub fn show(report: &DirectoryDiff) -> Result<(), Failure> {
    if report.is_empty() {
        return output::line(&format!("no differences between {} and {}", report.a, report.b));
    }
    output::line(&format!(
        "{} added, {} removed, {} changed ({})",
        output::number_of(report.files_added, "file"),
        output::count(report.files_removed),
        output::count(report.files_changed),
        output::number_of(report.pages_changed, "page"),
    ))?;
    if report.files_unknown > 0 {
        output::line(&format!(
            "the changed pages of {} are unknown: the lists of their pages are damaged or gone",
            output::number_of(report.files_unknown, "file"),
        ))?;
    }
    folders(&report.folders)?;
    files(&report.files)
}

fn folders(folders: &[FolderChange]) -> Result<(), Failure> {
    let mut folders: Vec<&FolderChange> = folders.iter().collect();
    folders.sort_by_key(|folder| Reverse(folder.pages_changed));
    let row = |folder: &&FolderChange| {
        vec![
            folder.path.clone(),
            folder.change.map(Change::word).unwrap_or_default().to_string(),
            output::count(folder.files_added),
            output::count(folder.files_removed),
            output::count(folder.files_changed),
            output::count(folder.pages_changed),
        ]
    };
    let rows: Vec<Vec<String>> = folders.iter().take(SHOWN).map(row).collect();
    let columns = [
        ("FOLDER", Align::Left),
        ("", Align::Left),
        ("ADDED", Align::Right),
        ("REMOVED", Align::Right),
        ("CHANGED", Align::Right),
        ("PAGES", Align::Right),
    ];
    output::line("")?;
    output::table(&columns, &rows)?;
    tell_more(folders.len(), "folder")
}

fn files(files: &[FileChange]) -> Result<(), Failure> {
    if files.is_empty() {
        return Ok(());
    }
    let mut files: Vec<&FileChange> = files.iter().collect();
    // Whoever does not know how much changed must look at it first.
    let pages = |file: &FileChange| if file.is_paged { file.pages.unwrap_or(u64::MAX) } else { 0 };
    files.sort_by_key(|file| Reverse(pages(file)));
    let bytes = |number: Option<u64>| number.map_or_else(|| "-".into(), output::bytes);
    let row = |file: &&FileChange| {
        vec![
            file.path.clone(),
            file.change.word().to_string(),
            match file.pages {
                Some(pages) => output::count(pages),
                None if file.is_paged => "unknown".into(),
                None => "-".into(),
            },
            bytes(file.bytes.0),
            bytes(file.bytes.1),
        ]
    };
    let rows: Vec<Vec<String>> = files.iter().take(SHOWN).map(row).collect();
    let columns = [
        ("FILE", Align::Left),
        ("CHANGE", Align::Left),
        ("PAGES", Align::Right),
        ("BYTES A", Align::Right),
        ("BYTES B", Align::Right),
    ];
    output::line("")?;
    output::table(&columns, &rows)?;
    tell_more(files.len(), "file")
}

/// Says how many were left out.
fn tell_more(all: usize, what: &str) -> Result<(), Failure> {
    match all.saturating_sub(SHOWN) {
        0 => Ok(()),
        more => output::line(&format!(
            "and {} with fewer pages (--json lists them all)",
            output::number_of(more as u64, what)
        )),
    }
}
