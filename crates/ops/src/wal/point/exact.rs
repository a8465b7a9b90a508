//! What the bytes of a segment say, where its header is not exact.

use pgark_bytes::wal::WalFormat;
use pgark_repo::{WalArchive, WalName};

use super::super::facts::{Reading, read_records};
use super::super::path::Step;
use super::super::{archived, file};
use crate::{Job, OpsError};

/// Reads a segment of a path to a timeline, and of the next ones what a record needs that goes on
/// there.
pub(super) fn read(
    archive: &WalArchive<'_>,
    timeline: u32,
    steps: &[Step],
    at: usize,
    job: &Job,
) -> Result<Reading, OpsError> {
    let content = |name: &WalName| {
        job.cancel.check().map_err(|_| OpsError::Cancelled)?;
        archived::content(archive, name)?.ok_or_else(|| {
            OpsError::refused(format!("{} is gone since it was listed", name.file()), "look again")
        })
    };
    let Some(step) = steps.get(at) else { return Ok(Reading::default()) };
    let own = content(&step.name)?;
    let head = file::first_page(step.name.file(), &own)?;
    // A record can go on behind the fork.
    let format = WalFormat { timeline: timeline.max(head.format.timeline), ..head.format };
    let mut next = steps.iter().skip(at + 1);
    let mut failed = None;
    let reading = read_records(format, head.start, &own, step.cut, &mut || {
        content(&next.next()?.name).map_err(|error| failed = Some(error)).ok()
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(reading),
    }
}
