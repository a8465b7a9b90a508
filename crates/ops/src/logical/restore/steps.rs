//! What is counted while a restore works: indexes, constraints, materialised views.
//!
//! Rows are counted in bytes. Behind the last row an index may take longer than all of them, so a
//! person wants to see how many are left.

use pgark_bytes::archive::order::Selection;
use pgark_bytes::archive::{Archive, TocEntry};

use crate::Progress;

/// Kinds of steps, and the archive's entries that are one.
const KINDS: [(&str, &[&str]); 3] = [
    ("indexes", &["INDEX"]),
    ("constraints", &["CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT"]),
    ("materialized views", &["MATERIALIZED VIEW DATA"]),
];

/// How many there are of each kind, and how many are done.
#[derive(Default)]
pub(super) struct Steps([(u64, u64); KINDS.len()]);

impl Steps {
    /// Those of the entries that are restored.
    pub(super) fn of(archive: &Archive, selection: &Selection) -> Steps {
        let mut steps = Steps::default();
        for toc in archive.entries.iter().filter(|toc| selection.contains(toc.dump_id)) {
            if let Some(at) = kind(toc) {
                steps.0[at].1 += 1;
            }
        }
        steps
    }

    /// One entry is done, well or not.
    pub(super) fn done(&mut self, toc: &TocEntry, progress: &dyn Progress) {
        if let Some(at) = kind(toc) {
            let (done, all) = &mut self.0[at];
            *done += 1;
            progress.counted(KINDS[at].0, *done, *all);
        }
    }

    /// What is to come.
    pub(super) fn tell(&self, progress: &dyn Progress) {
        for ((name, _), (done, all)) in KINDS.iter().zip(self.0) {
            if all > 0 {
                progress.counted(name, done, all);
            }
        }
    }
}

fn kind(toc: &TocEntry) -> Option<usize> {
    KINDS.iter().position(|(_, kinds)| kinds.contains(&toc.kind()))
}
