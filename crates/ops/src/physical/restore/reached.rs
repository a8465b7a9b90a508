//! Where a recovery ended: the history of the timeline that the server began then says it.

use std::path::Path;

use pgark_bytes::control_file::ControlFile;
use pgark_bytes::timeline_history::TimelineHistory;

use super::report::Reached;

/// What the server of a directory says; None: it began no timeline, or what it wrote of it cannot
/// be read.
pub(super) fn of(directory: &Path) -> Option<Reached> {
    let timeline = newest(directory)?;
    let file = directory.join("pg_wal").join(format!("{timeline:08X}.history"));
    let history = TimelineHistory::parse(timeline, &std::fs::read(file).ok()?).ok()?;
    let last = history.ancestors().last()?;
    Some(Reached {
        lsn: last.switch_lsn.to_string(),
        timeline,
        reason: String::from_utf8_lossy(&last.reason).trim().to_string(),
    })
}

/// The newest timeline with a history. What `pg_control` says is the one of its last checkpoint,
/// which a server makes some time after it was promoted.
fn newest(directory: &Path) -> Option<u32> {
    let before = std::fs::read(directory.join("global/pg_control")).ok();
    let before = before.and_then(|bytes| Some(ControlFile::parse(&bytes).ok()?.checkpoint.timeline));
    let files = std::fs::read_dir(directory.join("pg_wal")).ok()?;
    let histories = files.flatten().filter_map(|file| {
        let name = file.file_name();
        u32::from_str_radix(name.to_str()?.strip_suffix(".history")?, 16).ok()
    });
    histories.filter(|timeline| before.is_none_or(|before| *timeline >= before)).max()
}
