//! The last segment of a timeline, of which a receiver has put pieces: how far it goes, and whether
//! its pieces are of one segment.

use pgark_repo::{WalArchive, WalHeader, WalListed};

use super::archived::{Found, Segment};
use super::said::{Depth, said};
use crate::{Job, OpsError};

/// What is said of it up to its end; None: there is none, or it is damaged.
///
/// # Errors
/// What the repository says of something else than a piece.
pub(super) fn read(
    archive: &WalArchive<'_>,
    found: &Found,
    depth: Depth,
    job: &Job,
    problems: &mut Vec<String>,
) -> Result<Option<Segment>, OpsError> {
    for pieces in found.pieces.values() {
        conflicts(archive, pieces, job, problems)?;
    }
    let Some((number, last)) = found.unfinished() else { return Ok(None) };
    let said = match said(archive, last, Depth::Headers, job)? {
        Ok(said) => said,
        Err(why) => {
            problems.push(why);
            return Ok(None);
        }
    };
    if depth == Depth::Data
        && let Some(pieces) = found.pieces.get(&number)
    {
        let proved = archive.assemble(pieces)?.map_or(0, |found| found.content.len() as u64);
        if proved < end(last) {
            problems.push(format!(
                "the pieces of an unfinished segment do not fit together: {} ends at {}, and they are whole up to {proved}",
                last.name.file(),
                end(last)
            ));
        }
    }
    Ok(Some(Segment { listed: last.clone(), said: Some(said) }))
}

/// Pieces that end at one place, and are not of one segment: two servers wrote it.
fn conflicts(
    archive: &WalArchive<'_>,
    pieces: &[WalListed],
    job: &Job,
    problems: &mut Vec<String>,
) -> Result<(), OpsError> {
    let mut by_end: Vec<&WalListed> = pieces.iter().collect();
    by_end.sort_by_key(|piece| end(piece));
    let header = |piece: &WalListed| -> Result<Option<WalHeader>, OpsError> {
        Ok(said(archive, piece, Depth::Headers, job)?.ok().map(|(header, _)| header))
    };
    for pair in by_end.windows(2) {
        let &[one, other] = pair else { continue };
        if end(one) == end(other)
            && let (Some(own), Some(others)) = (header(one)?, header(other)?)
            && !own.agrees_with(&others)
        {
            problems.push(format!(
                "{} and {} are of two segments of one name: two servers write it",
                one.name.file(),
                other.name.file()
            ));
        }
    }
    Ok(())
}

/// The offset in its segment at which a piece ends.
pub(super) fn end(piece: &WalListed) -> u64 {
    piece.name.piece_of().map_or(0, |(.., to)| to.into())
}
