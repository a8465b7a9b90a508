//! Where the files of a backup come from.

use pgark_datadir::{DataDir, Stop};

use super::request::{Request, Source};
use super::survey::Survey;
use super::{directory, wire};
use crate::advice::{Setting, advice};
use crate::error::with_causes;
use crate::facts::PhysicalSource;
use crate::{Job, OpsError};

/// Where they come from, and why from there.
pub(super) struct Chosen {
    pub source: Open,
    pub why: String,
}

/// A source that can be used.
pub(super) enum Open {
    /// The data directory of the server on this host.
    Files(DataDir),
    /// BASE_BACKUP over a replication connection.
    Wire,
}

impl Chosen {
    /// As it was asked for; otherwise the data directory, where it is on this host, can be read and
    /// is proved to be that of the server, and the wire where it is not.
    ///
    /// # Errors
    /// The source cannot be used, with what cures that.
    pub(super) fn of(
        request: &Request,
        survey: &Survey,
        job: &Job,
        stop: Stop<'_>,
    ) -> Result<Chosen, OpsError> {
        let asked = match (request.source, &request.pgdata) {
            (Some(Source::Wire), Some(_)) => {
                return Err(OpsError::Usage(advice![
                    "a backup over the wire does not read ",
                    Setting::DataDirectory.to("PATH"),
                    " on this host"
                ]));
            }
            (None, Some(_)) => Some(Source::Files),
            (asked, _) => asked,
        };
        let chosen = match asked {
            Some(Source::Files) => Chosen::files(directory::open(request, survey, stop)?, "asked for"),
            Some(Source::Wire) => Chosen { source: Open::Wire, why: "asked for".into() },
            None => match directory::open(request, survey, stop) {
                Ok(directory) => Chosen::files(directory, "the server runs in it"),
                Err(error) if error.is_cancelled() => return Err(error),
                Err(error) => Chosen { source: Open::Wire, why: with_causes(&error) },
            },
        };
        let Chosen { source, why } = &chosen;
        match source {
            Open::Files(directory) => {
                survey.refuse_without_functions()?;
                job.progress.info(&format!("reading the files in {}: {why}", directory.path().display()));
            }
            Open::Wire => {
                wire::refuse(request, survey)?;
                job.progress.info(&format!("receiving the files over the replication protocol: {why}"));
            }
        }
        Ok(chosen)
    }

    fn files(directory: DataDir, why: &str) -> Chosen {
        Chosen { source: Open::Files(directory), why: why.to_string() }
    }

    /// The same as the backup's record has it.
    pub(super) fn source(&self) -> PhysicalSource {
        match self.source {
            Open::Files(_) => PhysicalSource::Files,
            Open::Wire => PhysicalSource::Wire,
        }
    }
}
