//! Where a receiver goes on: behind what it has, else behind what the repository has, else where
//! the slot begins; along the history of the server that it has reached.

use pgark_bytes::lsn::Lsn;
use pgark_bytes::timeline_history::TimelineHistory;
use pgark_bytes::wal_name::SegmentSize;
use pgark_repo::{WalArchive, WalKind};

use super::super::file::{self, start};
use crate::OpsError;

/// A position on a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    pub timeline: u32,
    pub at: Lsn,
}

/// Behind what was received up to here. The second: why some of it is not on the server's way.
/// None: its timeline is not in the server's history.
pub(super) fn behind(
    history: &TimelineHistory,
    held: Begin,
    size: SegmentSize,
) -> Option<(Begin, Option<String>)> {
    let (_, left) = timelines(history).find(|(timeline, _)| *timeline == held.timeline)?;
    match left.filter(|left| held.at > *left) {
        None => Some((held, None)),
        Some(left) => {
            let why = format!(
                "the server left timeline {} at {left}, and its WAL was received up to {}: what is behind stays archived, and belongs to no later timeline",
                held.timeline, held.at
            );
            Some((next(history, held.timeline, size)?, Some(why)))
        }
    }
}

/// Behind what the repository has of the server's timelines; None: nothing.
///
/// # Errors
/// What the storage says.
pub(super) fn behind_archived(
    history: &TimelineHistory,
    archive: &WalArchive<'_>,
    size: SegmentSize,
) -> Result<Option<Begin>, OpsError> {
    let mut all: Vec<(u32, Option<Lsn>)> = timelines(history).collect();
    all.reverse();
    for (timeline, left) in all {
        let (mut last, mut unfinished): (Option<u64>, Option<u64>) = (None, None);
        for listed in archive.list(Some(timeline))? {
            let of = match listed.name.kind() {
                WalKind::Segment => Some(listed.name.clone()),
                WalKind::Piece => listed.name.piece_of().map(|(segment, ..)| segment),
                WalKind::Partial | WalKind::BackupHistory | WalKind::History => None,
            };
            let number = of.and_then(|name| file::segment_of(name.file())?.number(size));
            let Some(number) = number.filter(|number| left.is_none_or(|left| start(*number, size) < left))
            else {
                continue;
            };
            match listed.name.kind() {
                WalKind::Segment => last = last.max(Some(number)),
                _ => unfinished = Some(unfinished.map_or(number, |known| known.min(number))),
            }
        }
        let Some(number) = last.map(|last| last + 1).or(unfinished) else { continue };
        let at = start(number, size);
        return Ok(match left.filter(|left| at >= *left) {
            Some(_) => next(history, timeline, size),
            None => Some(Begin { timeline, at }),
        });
    }
    Ok(None)
}

/// The beginning of the timeline that comes after this one: the segment in which that was left.
fn next(history: &TimelineHistory, timeline: u32, size: SegmentSize) -> Option<Begin> {
    let left = timelines(history).find(|(own, _)| *own == timeline)?.1?;
    let mut behind = timelines(history).skip_while(|(own, _)| *own != timeline).skip(1);
    Some(Begin { timeline: behind.next()?.0, at: size.start_of(left) })
}

/// Those of a history, the oldest first, and where each was left.
fn timelines(history: &TimelineHistory) -> impl Iterator<Item = (u32, Option<Lsn>)> {
    let before = history.ancestors().iter().map(|ancestor| (ancestor.timeline, Some(ancestor.switch_lsn)));
    before.chain([(history.timeline(), None)])
}

#[cfg(test)]
mod tests {
    use pgark_bytes::timeline_history::Ancestor;

    use super::*;

    const SIZE: u64 = 1 << 20;

    /// Behind, at and ahead of the places where timelines were left.
    #[test]
    fn a_receiver_goes_on_along_the_history() {
        let size = SegmentSize::new(SIZE as u32).unwrap();
        let left = |timeline: u32, at: u64| Ancestor { timeline, switch_lsn: Lsn(at), reason: Vec::new() };
        let history = TimelineHistory::new(4, vec![left(1, 5 * SIZE + 80), left(3, 7 * SIZE)]).unwrap();
        let at = |timeline: u32, at: u64| Begin { timeline, at: Lsn(at) };
        for (held, expected) in [
            (at(1, 3 * SIZE), Some((at(1, 3 * SIZE), false))),
            (at(1, 5 * SIZE + 80), Some((at(1, 5 * SIZE + 80), false))),
            (at(1, 5 * SIZE + 88), Some((at(3, 5 * SIZE), true))),
            (at(3, 7 * SIZE), Some((at(3, 7 * SIZE), false))),
            (at(3, 9 * SIZE), Some((at(4, 7 * SIZE), true))),
            (at(4, 9 * SIZE), Some((at(4, 9 * SIZE), false))),
            (at(2, 9 * SIZE), None),
        ] {
            let found = behind(&history, held, size).map(|(begin, why)| (begin, why.is_some()));
            assert_eq!(found, expected, "{held:?}");
        }
    }
}
