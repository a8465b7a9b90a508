//! What an archive has, by the names of its files and the histories of its timelines.

use std::collections::BTreeMap;

use pgark_bytes::timeline_history::TimelineHistory;
use pgark_bytes::wal_name::SegmentSize;
use pgark_repo::{RepoError, WalArchive, WalHeader, WalKind, WalListed, WalName};

use super::facts::{HistoryFacts, SegmentFacts};
use super::file;
use crate::OpsError;
use crate::error::with_causes;

/// The files of an archive.
pub(super) struct Archived {
    /// All, by name.
    pub listed: Vec<WalListed>,
    pub size: SegmentSize,
    pub timelines: BTreeMap<u32, Found>,
    /// Names that cannot be, and histories that cannot be read.
    pub problems: Vec<String>,
}

/// What is known of a timeline.
#[derive(Default)]
pub(super) struct Found {
    /// By their numbers.
    pub segments: BTreeMap<u64, Segment>,
    /// Pieces of segments that are not there, by the numbers of these.
    pub pieces: BTreeMap<u64, Vec<WalListed>>,
    pub history: Option<TimelineHistory>,
    /// Why its history, which is there, is not known.
    pub unreadable: Option<String>,
}

pub(super) struct Segment {
    pub listed: WalListed,
    /// None: its header was not read, or is damaged.
    pub said: Option<(WalHeader, SegmentFacts)>,
}

impl Archived {
    /// Lists it; segments have the size that the header of one says.
    ///
    /// # Errors
    /// What the storage says.
    pub(super) fn read(archive: &WalArchive<'_>) -> Result<Archived, OpsError> {
        let listed = archive.list(None)?;
        let size = size_of_segments(archive, &listed)?;
        Archived::of(archive, listed, size)
    }

    /// Sorts what was listed, and reads the histories.
    ///
    /// # Errors
    /// What the storage says.
    pub(super) fn of(
        archive: &WalArchive<'_>,
        listed: Vec<WalListed>,
        size: SegmentSize,
    ) -> Result<Archived, OpsError> {
        let mut timelines: BTreeMap<u32, Found> = BTreeMap::new();
        let mut problems = Vec::new();
        for file in &listed {
            let timeline = file.name.timeline();
            match file.name.kind() {
                WalKind::Segment => {
                    match file::segment_of(file.name.file()).and_then(|segment| segment.number(size)) {
                        Some(number) => {
                            let segment = Segment { listed: file.clone(), said: None };
                            timelines.entry(timeline).or_default().segments.insert(number, segment);
                        }
                        None => problems.push(format!(
                            "{} cannot be among segments of {} bytes",
                            file.name.file(),
                            size.bytes()
                        )),
                    }
                }
                WalKind::History => {
                    let entry = timelines.entry(timeline).or_default();
                    match history(archive, &file.name) {
                        Ok(history) => entry.history = history,
                        Err(OpsError::Repository(error)) if !error.is_of_object() => return Err(error.into()),
                        Err(error) => {
                            let why = with_causes(&error);
                            problems.push(why.clone());
                            entry.unreadable = Some(why);
                        }
                    }
                }
                WalKind::Piece => {
                    let segment = file.name.piece_of().and_then(|(of, ..)| file::segment_of(of.file()));
                    if let Some(number) = segment.and_then(|segment| segment.number(size)) {
                        let pieces = &mut timelines.entry(timeline).or_default().pieces;
                        pieces.entry(number).or_default().push(file.clone());
                    }
                }
                WalKind::Partial | WalKind::BackupHistory => {}
            }
        }
        for found in timelines.values_mut() {
            let Found { segments, pieces, .. } = found;
            pieces.retain(|number, _| !segments.contains_key(number));
        }
        Ok(Archived { listed, size, timelines, problems })
    }

    /// Whether it is a piece of a segment that is there: it means nothing.
    pub(super) fn has_whole(&self, file: &WalListed) -> bool {
        let Some((segment, ..)) = file.name.piece_of() else { return false };
        self.listed.binary_search_by(|listed| listed.name.cmp(&segment)).is_ok()
    }

    /// The timelines, with their histories as far as they are known.
    pub(super) fn histories(&self) -> BTreeMap<u32, Option<TimelineHistory>> {
        self.timelines.iter().map(|(timeline, found)| (*timeline, found.history.clone())).collect()
    }
}

impl Found {
    /// Bytes of the objects of its segments and pieces.
    pub(super) fn stored(&self) -> u64 {
        let segments = self.segments.values().map(|segment| &segment.listed);
        segments.chain(self.pieces.values().flatten()).map(|listed| listed.stored).sum()
    }

    /// The last segment, if only pieces of it are there; and the piece that says how far it goes.
    pub(super) fn unfinished(&self) -> Option<(u64, &WalListed)> {
        let (number, pieces) = self.pieces.last_key_value()?;
        let is_last = self.segments.last_key_value().is_none_or(|(last, _)| number > last);
        Some((*number, last_piece(pieces)?)).filter(|_| is_last)
    }
}

/// The last piece of those that follow each other from the beginning of a segment on, as their
/// names have it.
pub(super) fn last_piece(pieces: &[WalListed]) -> Option<&WalListed> {
    let (mut end, mut last) = (0, None);
    let range = |listed: &WalListed| listed.name.piece_of().map(|(_, from, to)| (from, to));
    loop {
        let next = pieces.iter().filter_map(|listed| Some((range(listed)?, listed)));
        let next = next.filter(|((from, to), _)| *from <= end && *to > end).max_by_key(|((_, to), _)| *to);
        let Some(((_, to), listed)) = next else { return last };
        (end, last) = (to, Some(listed));
    }
}

/// A segment, or as much of it as its pieces have; None: it is not there.
///
/// # Errors
/// It is damaged, or cannot be read with the key at hand.
pub(super) fn content(archive: &WalArchive<'_>, segment: &WalName) -> Result<Option<Vec<u8>>, OpsError> {
    match archive.get(segment)? {
        Some((_, content)) => Ok(Some(content)),
        None => unfinished(archive, segment),
    }
}

/// The same of a segment that was just not there.
///
/// # Errors
/// As [`content`].
pub(super) fn unfinished(archive: &WalArchive<'_>, segment: &WalName) -> Result<Option<Vec<u8>>, OpsError> {
    let found = archive.assemble(&archive.pieces(segment)?)?;
    if let Some(found) = found {
        return Ok(Some(found.content));
    }
    // Pieces go when the segment is there.
    Ok(archive.get(segment)?.map(|(_, content)| content))
}

/// Bytes of a segment, as the first one has them whose header can be read.
fn size_of_segments(archive: &WalArchive<'_>, listed: &[WalListed]) -> Result<SegmentSize, OpsError> {
    let has_size = |file: &&WalListed| matches!(file.name.kind(), WalKind::Segment | WalKind::Piece);
    for file in listed.iter().filter(has_size) {
        match archive.header(&file.name) {
            Ok(Some(header)) => {
                let bytes = match file.name.kind() {
                    WalKind::Piece => SegmentFacts::parse(&header.facts).map(|facts| facts.segment_size),
                    _ => u32::try_from(header.bytes).ok(),
                };
                if let Some(size) = bytes.and_then(|bytes| SegmentSize::new(bytes).ok()) {
                    return Ok(size);
                }
            }
            Ok(None) => {}
            Err(error) if error.is_of_object() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(SegmentSize::DEFAULT)
}

/// What a history says: its header, else the file. None: the key at hand reads no data.
pub(super) fn history(archive: &WalArchive<'_>, name: &WalName) -> Result<Option<TimelineHistory>, OpsError> {
    let said = archive.header(name)?.and_then(|header| HistoryFacts::parse(name.timeline(), &header.facts));
    if said.is_some() {
        return Ok(said);
    }
    let content = match archive.get(name) {
        Ok(Some((_, content))) => content,
        Ok(None) => return Ok(None),
        Err(RepoError::NeedsReaderSecret) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    TimelineHistory::parse(name.timeline(), &content).map(Some).map_err(|error| {
        OpsError::refused(error.to_string(), "the history in the repository is not one: look at the server's")
    })
}
