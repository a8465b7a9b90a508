//! A backup that is only planned: what it would take from the server, and what the last one like it
//! has cost.
//!
//! The server is asked what a backup asks it first: which databases there are, and of each the
//! catalog, in a transaction that locks no table. Nothing is put into the repository, not even a
//! session. pg_dump is looked for and not run: which tables patterns choose is found out by its
//! rules, and that a pattern of extensions or foreign servers matches nothing is not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pgark_bytes::names::shown;
use pgark_bytes::pattern::Pattern;
use pgark_repo::{BackupHead, Repository};
use schemars::JsonSchema;
use serde::Serialize;

use super::catalog::Catalog;
use super::cluster::Survey;
use super::lead::{Lead, name_the_holders};
use super::mapping::is_of_a_server;
use super::masking;
use super::patterns::Children;
use super::request::Request;
use super::selector::Selector;
use crate::cluster::{Beside, Report, name};
use crate::error::Doing;
use crate::facts::{About, Filters, Missing, Selection};
use crate::masking::Loaded;
use crate::record::LastRun;
use crate::watch::Watch;
use crate::{Job, OpsError};

/// Among so many of the cluster's newest backups one like this is looked for.
const LOOKED_AT: usize = 50;

/// What a backup would take.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "BackupPlan")]
pub struct Plan {
    /// Name of the cluster.
    pub cluster: String,
    /// Version of the server, such as `17.2`.
    pub server_version: String,
    /// Whether the server is a standby.
    pub standby: bool,
    /// Each database, in the order of their names.
    pub databases: Vec<PlannedDatabase>,
    /// Size in bytes of all tables and large objects on the server's disk, without indexes.
    pub bytes: u64,
    /// What was asked for and would not be in the backup.
    pub missing: Vec<Missing>,
    /// Warnings that the backup would print.
    pub warnings: Vec<String>,
    /// Why a backup would be refused now. Null: it would not.
    pub refused: Option<String>,
    /// The last backup of the same databases with the same filters. Null: there is none.
    pub last: Option<LastRun>,
}

/// A database that would be backed up.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PlannedDatabase {
    /// Name of the database.
    pub database: String,
    /// The filters, as a sentence. Empty: none.
    pub filters: String,
    /// Its tables, the largest first.
    pub tables: Vec<PlannedTable>,
    /// Size in bytes of its large objects on the server's disk.
    pub large_objects_bytes: u64,
    /// Size in bytes of its tables and large objects on the server's disk.
    pub bytes: u64,
}

/// A table that would be backed up.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PlannedTable {
    /// Name of the schema.
    pub schema: String,
    /// Name of the table.
    pub name: String,
    /// Size in bytes of the rows that would be read, on the server's disk, with TOAST. 0 if only
    /// the definition would be.
    pub bytes: u64,
    /// Whether its rows would be read; false: only its definition.
    pub rows: bool,
}

/// Finds out what a backup of this request would take.
pub fn dry_run(repository: &Repository, request: &Request, job: &Job) -> Result<Plan, OpsError> {
    request.refuse_nonsense()?;
    let repository = &job.on(repository);
    let watch = Watch::new(&job.cancel);
    watch.during_job(|| plan(repository, request, job, &watch))
}

fn plan(repository: &Repository, request: &Request, job: &Job, watch: &Watch) -> Result<Plan, OpsError> {
    // Rules that are wrong by themselves, or without a key.
    request.mask.as_ref().map(masking::masked_by).transpose()?;
    job.progress.phase("reading the cluster's properties");
    let survey = Survey::of(request, job, watch)?;
    let cluster = name::of(repository, request.cluster.as_deref(), survey.who())?;
    let mut report = Report::default();
    survey.tell_unmatched(&mut report);
    let mut newest = repository.newest_backups(&cluster, LOOKED_AT)?;
    newest.retain(is_of_a_server);
    for warning in survey.server.compare(request.cluster.as_deref(), &survey.system_identifier, &newest)? {
        report.warn(&warning);
    }
    let mut databases = Vec::new();
    for database in &survey.databases {
        job.progress.phase(&format!("look at database {database}"));
        databases.push(planned(database, &survey, request, &mut report, watch)?);
    }
    let refused = match request.beside {
        Beside::Run => None,
        Beside::Refuse | Beside::Wait(_) => repository.refusal_of_another_backup(&cluster)?,
    };
    Ok(Plan {
        last: last_run(&newest, request, &survey.databases),
        cluster,
        server_version: survey.server_version_text,
        standby: survey.in_recovery,
        bytes: databases.iter().map(|database| database.bytes).sum(),
        databases,
        missing: report.missing,
        warnings: report.warnings,
        refused: refused.map(|refusal| refusal.to_string()),
    })
}

fn planned(
    database: &str,
    survey: &Survey,
    request: &Request,
    report: &mut Report,
    watch: &Watch,
) -> Result<PlannedDatabase, OpsError> {
    let filters = request.filters_for(database);
    let pinned = survey.pinned.with_dbname(database);
    let mut read = |lock_wait: Duration| {
        let mut lead = Lead::connect(&pinned, lock_wait, false, watch)?;
        let mut catalog = Catalog::read(&mut lead.connection)?;
        let children = Children::all(&mut lead)?;
        if !filters.take_all_objects() {
            Selector::of(filters)?.choose(&mut catalog, &children);
        }
        catalog.refuse_unreadable(&lead.role, request.keep_going)?;
        if let Some(rules) = &request.mask {
            masking::check_rules(rules, &mut lead, report)?;
        }
        let large_objects =
            match filters.take_all_objects() && !filters.schema_only && !filters.no_large_objects {
                true => large_objects_bytes(&mut lead)?,
                false => 0,
            };
        Ok((catalog, children, large_objects))
    };
    let (catalog, children, large_objects_bytes) =
        read(request.lock_wait_timeout).map_err(|error| name_the_holders(error, &pinned, watch))?;
    for table in catalog.unreadable() {
        let (schema, name) = (shown(&table.name.schema), shown(&table.name.name));
        report.lost(Missing::table(database, &schema, &name, "the role has no right to read it"));
    }
    let rowless = without_rows(filters, &catalog, &children)?;
    let mut tables: Vec<PlannedTable> = catalog
        .lockable()
        .map(|table| {
            let rows = table.kind == 'r' && !filters.schema_only && !rowless.contains(&table.oid);
            PlannedTable {
                schema: shown(&table.name.schema).into_owned(),
                name: shown(&table.name.name).into_owned(),
                bytes: if rows { table.bytes } else { 0 },
                rows,
            }
        })
        .collect();
    tables
        .sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| (&a.schema, &a.name).cmp(&(&b.schema, &b.name))));
    Ok(PlannedDatabase {
        database: database.to_string(),
        filters: filters.describe(),
        bytes: large_objects_bytes + tables.iter().map(|table| table.bytes).sum::<u64>(),
        tables,
        large_objects_bytes,
    })
}

/// Tables of which only the definition is taken.
fn without_rows(
    filters: &Filters,
    catalog: &Catalog,
    children: &Children,
) -> Result<BTreeSet<u32>, OpsError> {
    let patterns = Pattern::relations(&filters.exclude_table_data)
        .map_err(|error| OpsError::Usage(error.to_string().into()))?;
    let is_named = |table: &&super::catalog::Table| {
        patterns.iter().any(|pattern| pattern.matches_in(&table.name.schema, &table.name.name))
    };
    if filters.no_children {
        return Ok(catalog.tables.iter().filter(is_named).map(|table| table.oid).collect());
    }
    Ok(children.reached(&patterns, catalog).0.into_iter().collect())
}

fn large_objects_bytes(lead: &mut Lead) -> Result<u64, OpsError> {
    let doing = "read the size of the large objects";
    let sql = "SELECT pg_catalog.pg_relation_size('pg_catalog.pg_largeobject')";
    let rows = lead.connection.query(sql, &[]).doing(doing)?;
    Ok(rows.first().map(|row| row.parse(0)).transpose().doing(doing)?.unwrap_or(0))
}

/// The newest of these (the newest last) that was asked for the same.
fn last_run(newest: &[BackupHead], request: &Request, databases: &[String]) -> Option<LastRun> {
    let selection = request.databases.selection();
    newest.iter().rev().find_map(|head| {
        let about = About::of(head).ok()?;
        is_like(&about, selection.as_ref(), request, databases).then(|| LastRun::of(head, &about))
    })
}

/// Whether a backup was asked for the same: the same databases, or the same selection of them; and
/// of those that both have the same.
fn is_like(about: &About, selection: Option<&Selection>, request: &Request, databases: &[String]) -> bool {
    let own: BTreeMap<&str, String> =
        databases.iter().map(|name| (name.as_str(), normal(request.filters_for(name)))).collect();
    let same_databases = own.keys().copied().eq(about.reads.keys().map(String::as_str));
    let same_selection = match (selection, &about.selection) {
        (Some(own), Some(other)) => own.normal() == other.normal(),
        _ => false,
    };
    let same_filters = |(name, filters): (&&str, &String)| {
        about.reads.get(*name).is_none_or(|read| normal(&read.filters) == *filters)
    };
    let same_rules =
        about.masked.as_ref().map(|masked| masked.rules.clone()) == request.mask.as_ref().map(Loaded::name);
    about.copied.is_none() && same_rules && (same_databases || same_selection) && own.iter().all(same_filters)
}

/// Filters in one form.
fn normal(filters: &Filters) -> String {
    serde_json::to_string(&filters.normal()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::DatabaseRead;
    use crate::logical::backup::Databases;

    fn about(databases: &[&str], selection: Option<Selection>, filters: &Filters) -> About {
        let read = |name: &&str| {
            ((*name).to_string(), DatabaseRead { filters: filters.clone(), ..DatabaseRead::default() })
        };
        About { reads: databases.iter().map(read).collect(), selection, ..About::default() }
    }

    #[test]
    fn a_run_is_like_another_that_was_asked_for_the_same() {
        let all = Some(Selection::default());
        let some = Databases::Matching { include: vec!["a*".into()], exclude: Vec::new(), templates: false };
        let schema = Filters { schema_only: true, ..Filters::default() };
        let databases = ["a".to_string(), "b".to_string()];
        let request = Request::for_tests(Filters::default());
        let is_like = |about: &About| is_like(about, all.as_ref(), &request, &databases);
        // With a database that is new since, or gone.
        assert!(is_like(&about(&["a"], all.clone(), &Filters::default())));
        assert!(is_like(&about(&["a", "b", "c"], all.clone(), &Filters::default())));
        // Of the same databases by another choice.
        assert!(is_like(&about(&["a", "b"], some.selection(), &Filters::default())));
        assert!(!is_like(&about(&["a"], some.selection(), &Filters::default())));
        assert!(!is_like(&about(&["a"], None, &Filters::default())));
        // A part is none of the whole.
        assert!(!is_like(&about(&["a", "b"], all.clone(), &schema)));
        let request = Request::for_tests(schema.clone());
        assert!(super::is_like(&about(&["a", "b"], None, &schema), None, &request, &databases));
    }
}
