//! Which rows of a backup are mapped, and against which earlier backups.

use std::collections::BTreeMap;

use pgark_repo::{BackupHead, Repository};

use super::catalog::TableName;
use super::request::Request;
use crate::OpsError;
use crate::facts::BackupKind;
use crate::logical::rowmap::{Chooser, EarlierTables, MOST_BACKUPS, Rules};

/// How the rows of a backup are mapped.
pub(super) struct RowMapping<'r> {
    /// None with `--full`.
    pub(super) earlier: Option<EarlierTables<'r>>,
    /// The newest backups of the cluster, the newest last.
    pub(super) newest: Vec<BackupHead>,
    chooser: Chooser,
    choosers: BTreeMap<String, Chooser>,
    rewrite_deleted: bool,
}

impl<'r> RowMapping<'r> {
    pub(super) fn new(
        repository: &'r Repository,
        request: &Request,
        cluster: &str,
    ) -> Result<RowMapping<'r>, OpsError> {
        let choosers = request.row_maps_of.iter().map(|(name, maps)| Ok((name.clone(), maps.chooser()?)));
        let mut newest = repository.newest_backups(cluster, if request.full { 1 } else { MOST_BACKUPS })?;
        newest.retain(|head| BackupKind::of(head) == BackupKind::Logical);
        Ok(RowMapping {
            earlier: (!request.full).then(|| EarlierTables::of(repository, newest.clone())),
            newest,
            chooser: request.row_maps.chooser()?,
            choosers: choosers.collect::<Result<_, OpsError>>()?,
            rewrite_deleted: request.rewrite_deleted,
        })
    }

    pub(super) fn rules(&self, database: &str, table: &TableName) -> Rules {
        let chooser = self.choosers.get(database).unwrap_or(&self.chooser);
        Rules { mode: chooser.mode(&table.schema, &table.name), rewrite_deleted: self.rewrite_deleted }
    }
}
