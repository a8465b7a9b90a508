//! The facts that masking from this backup will need, as one more entry of each database.
//!
//! They are stored while they are read. No restore needs them: if the server refuses to give them
//! (it cannot write some definition as UTF-8, or a function that a domain's check calls was dropped
//! just now), the backup is good without them and says so.

use pgark_repo::{Class, Cut, PartSummary};

use super::definitions::Definitions;
use super::destination::{Destination, InEach};
use super::lead::Lead;
use crate::error::with_causes;
use crate::facts::Note;
use crate::logical::mask_facts;
use crate::{OpsError, paths};

/// What came of it.
pub(super) enum FactsForMasking {
    Stored(InEach<PartSummary>),
    /// The server's words.
    Refused(String),
}

impl FactsForMasking {
    /// Reads the facts in the lead's snapshot, unless they are those of this host's last backup.
    pub(super) fn store(
        lead: &mut Lead,
        definitions: Option<&Definitions>,
        destination: &Destination<'_>,
    ) -> Result<FactsForMasking, OpsError> {
        let mut stream = destination.stream(Class::Data, Cut::Records);
        let mut write = |line: &str| {
            stream.write(line.as_bytes())?;
            stream.end_record(mask_facts::name_of(line))
        };
        if let Some(kept) = definitions.and_then(Definitions::recall_facts) {
            kept.split_inclusive('\n').try_for_each(&mut write)?;
            return Ok(FactsForMasking::Stored(stream.finish()?));
        }
        let mut passed = definitions.map(Definitions::facts_to_keep);
        let mut refusal = String::new();
        let read = lead.under_savepoint(|lead| {
            let read = mask_facts::lines(&mut lead.connection, &mut |line| {
                if let Some(passed) = &mut passed {
                    passed.add(line);
                }
                write(line)
            });
            read.inspect_err(|error| refusal = with_causes(error))
        })?;
        match read {
            Some(()) => {
                if let Some(passed) = passed {
                    passed.keep();
                }
                Ok(FactsForMasking::Stored(stream.finish()?))
            }
            None => Ok(FactsForMasking::Refused(refusal)),
        }
    }

    /// Makes them an entry. Returns why there is none.
    pub(super) fn finish(
        self,
        database: &str,
        destination: &Destination<'_>,
    ) -> Result<Option<String>, OpsError> {
        let part = match self {
            FactsForMasking::Stored(part) => part,
            FactsForMasking::Refused(words) => return Ok(Some(words)),
        };
        let mut parts = InEach::none();
        parts.push(part);
        let mut entry = destination.entry(&paths::catalog(database), Class::Data);
        entry.add(parts);
        entry.finish(InEach::same(Note::Catalog { database: database.to_string() }))?;
        Ok(None)
    }
}
