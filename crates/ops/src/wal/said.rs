//! What the header of an archived segment or piece says.

use pgark_repo::{RepoError, WalArchive, WalHeader, WalListed, WalName};

use super::facts::SegmentFacts;
use crate::error::with_causes;
use crate::{Job, OpsError};

/// How deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Only names: what is there, and which names are missing.
    Names,
    /// Headers, and that each follows the one before.
    Headers,
    /// The bytes as well.
    Data,
}

/// What is said of a segment or a piece; or why it is not known.
pub(super) fn said(
    archive: &WalArchive<'_>,
    file: &WalListed,
    depth: Depth,
    job: &Job,
) -> Result<Result<(WalHeader, SegmentFacts), String>, OpsError> {
    job.cancel.check().map_err(|_| OpsError::Cancelled)?;
    let name = &file.name;
    let header = match depth {
        Depth::Data => archive.get(name).map(|found| found.map(|(header, _)| header)),
        Depth::Names | Depth::Headers => archive.header(name),
    };
    job.progress.advance(file.stored);
    let is_there =
        |said: Option<_>| said.ok_or_else(|| format!("{} is gone since it was listed", name.file()));
    Ok(of(name, header)?.and_then(is_there))
}

/// What a header says that was asked for; None: it is not there. Or why it is not known: what is
/// wrong with one object is not an error.
pub(super) fn of(
    name: &WalName,
    header: Result<Option<WalHeader>, RepoError>,
) -> Result<Result<Option<(WalHeader, SegmentFacts)>, String>, OpsError> {
    match header {
        Ok(None) => Ok(Ok(None)),
        Ok(Some(header)) => Ok(match SegmentFacts::parse(&header.facts) {
            Some(facts) => Ok(Some((header, facts))),
            None => Err(format!("the header of {} says nothing of its records", name.file())),
        }),
        Err(error) if error.is_of_object() => Ok(Err(with_causes(&OpsError::from(error)))),
        Err(error) => Err(error.into()),
    }
}
