//! Which rows of a backup are mapped, and against which earlier backups.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Mutex;

use pgark_repo::{BackupHead, Repository};

use super::catalog::{Catalog, TableName};
use super::lead::Lead;
use super::patterns::Children;
use super::request::Request;
use crate::OpsError;
use crate::cluster::Report;
use crate::facts::{About, BackupKind, Masked};
use crate::lock::lock;
use crate::logical::rowmap::{
    Chooser, EarlierTables, MOST_BACKUPS, PAYS_WHERE_ROWS_CHANGE, PAYS_WHERE_ROWS_STAY, RowMaps, Rules,
};
use crate::masking::Loaded;

/// How the rows of a backup are mapped.
pub(super) struct RowMapping<'r> {
    /// None with `--full`.
    pub(super) earlier: Option<EarlierTables<'r>>,
    /// The newest backups of the cluster, the newest last.
    pub(super) newest: Vec<BackupHead>,
    chooser: Chooser,
    choosers: BTreeMap<String, Chooser>,
    row_maps: RowMaps,
    row_maps_of: BTreeMap<String, RowMaps>,
    /// Patterns of salted tables that have matched one.
    matched: Mutex<BTreeSet<String>>,
    rewrite_deleted: bool,
    /// Each run has another mask key, on purpose.
    is_ephemeral: bool,
}

impl<'r> RowMapping<'r> {
    pub(super) fn new(
        repository: &'r Repository,
        request: &Request,
        cluster: &str,
        masked: Option<&Masked>,
    ) -> Result<RowMapping<'r>, OpsError> {
        let choosers = request.row_maps_of.iter().map(|(name, maps)| Ok((name.clone(), maps.chooser()?)));
        let mut newest = repository.newest_backups(cluster, if request.full { 1 } else { MOST_BACKUPS })?;
        newest.retain(is_of_a_server);
        let reusable = newest.iter().filter(|head| is_of_domain(head, masked)).cloned().collect();
        Ok(RowMapping {
            earlier: (!request.full).then(|| EarlierTables::of(repository, reusable)),
            newest,
            chooser: request.row_maps.chooser()?,
            choosers: choosers.collect::<Result<_, OpsError>>()?,
            row_maps: request.row_maps.clone(),
            row_maps_of: request.row_maps_of.clone(),
            matched: Mutex::default(),
            rewrite_deleted: request.rewrite_deleted,
            is_ephemeral: request.mask.as_ref().is_some_and(Loaded::is_ephemeral),
        })
    }

    /// That the newest backup by these rules was masked under another key, so that nothing of it is
    /// reused and its fictions are others.
    pub(super) fn other_key(&self, masked: &Masked) -> Option<String> {
        let abouts = self.newest.iter().rev().filter_map(|head| Some((head, About::of(head).ok()?.masked?)));
        let (head, earlier) = abouts.into_iter().find(|(_, earlier)| earlier.rules == masked.rules)?;
        (earlier.domain != masked.domain && !self.is_ephemeral).then(|| {
            format!(
                "the mask key is another one than that of backup {} (fingerprint {}, not {}): values get other fictions than \
                 there, and nothing of it is reused",
                head.id, masked.key, earlier.key
            )
        })
    }

    /// How a table is stored; `changes`: its rows are updated or deleted, if that is known.
    pub(super) fn rules(&self, database: &str, table: &TableName, changes: Option<bool>) -> Rules {
        let chooser = self.choosers.get(database).unwrap_or(&self.chooser);
        Rules {
            way: chooser.way(&table.schema, &table.name),
            pays_from: if changes == Some(false) { PAYS_WHERE_ROWS_STAY } else { PAYS_WHERE_ROWS_CHANGE },
            rewrite_deleted: self.rewrite_deleted,
        }
    }

    /// The tables of a database that are stored whole and salted, by oid.
    pub(super) fn salted(&self, lead: &mut Lead, catalog: &Catalog) -> Result<HashSet<u32>, OpsError> {
        let patterns = self.row_maps_of.get(&lead.database).unwrap_or(&self.row_maps).salted()?;
        let mut salted = HashSet::new();
        if patterns.is_empty() {
            return Ok(salted);
        }
        let children = Children::all(lead)?;
        for (text, pattern) in patterns {
            let (found, _) = children.reached(&pattern, catalog);
            if !found.is_empty() {
                lock(&self.matched).insert(text);
            }
            salted.extend(found);
        }
        Ok(salted)
    }

    /// Who asks for a table to be hidden and misspells it must hear of it.
    pub(super) fn tell_unmatched(&self, report: &mut Report) {
        let all = std::iter::once(&self.row_maps).chain(self.row_maps_of.values());
        let all: BTreeSet<&String> = all.flat_map(|maps| &maps.salted).collect();
        for text in all.into_iter().filter(|text| !lock(&self.matched).contains(*text)) {
            report.warn(&format!("no table matches {text}, so it salts none"));
        }
    }
}

/// Whether a backup was read from a live server, masked or not: it tells which one that was.
pub(super) fn is_of_a_server(head: &BackupHead) -> bool {
    matches!(BackupKind::of(head), BackupKind::Logical | BackupKind::Masked)
}

/// Whether its rows were masked under the same key, or are plain as these.
fn is_of_domain(head: &BackupHead, masked: Option<&Masked>) -> bool {
    let domain = |masked: &Masked| masked.domain.clone();
    About::of(head).is_ok_and(|about| about.masked.as_ref().map(domain) == masked.map(domain))
}
