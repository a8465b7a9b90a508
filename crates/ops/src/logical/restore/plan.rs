//! What a restore will do, settled before anything is touched.

use pgark_repo::{Backup, DataReader};

use super::globals;
use super::place::DatabaseRestore;
use super::report::{ObjectError, PlannedDrop, Refusal, RestoreReport};
use super::request::Request;
use crate::logical::choose;

/// A restore that is possible, as far as can be known.
pub(super) struct Plan<'a> {
    pub request: &'a Request,
    pub backup: &'a Backup<'a>,
    pub reader: &'a DataReader<'a>,
    /// What is done about roles and tablespaces, before the databases.
    pub globals: globals::Plan,
    /// Every database, in the order in which they are restored.
    pub places: Vec<DatabaseRestore<'a>>,
    /// What is to be known, and hinders nothing.
    pub notes: Vec<String>,
    /// What is dropped before, where that was asked for.
    pub drops: Option<Vec<PlannedDrop>>,
    /// Why that is refused: only in a plan that is told, and not carried out.
    pub refusal: Option<Refusal>,
    /// What is asked for and the backup does not have.
    pub lacking: Vec<ObjectError>,
}

impl Plan<'_> {
    /// The report before anything is restored.
    pub(super) fn report(&self) -> RestoreReport {
        let names: Vec<&str> = self.places.iter().map(|place| place.conninfo.dbname()).collect();
        let mut report = RestoreReport::new(self.backup.head.id.to_string(), &names);
        report.notes.clone_from(&self.notes);
        report
    }

    /// The plan as the report of a dry run.
    pub(super) fn told(self) -> RestoreReport {
        let mut report = self.report();
        report.status = if self.refusal.is_some() { "refused" } else { "planned" };
        let lacking = self.lacking.into_iter();
        report.notes.extend(lacking.map(|error| format!("{}: {}", error.object, error.message)));
        let places = self.places.iter().filter(|place| !place.is_there_already());
        let plans = places.map(|place| choose::plan(&place.contents, &place.picked.selection));
        report.plan = Some(plans.flatten().collect());
        report.drops = self.drops;
        report.refusal = self.refusal;
        report
    }
}
