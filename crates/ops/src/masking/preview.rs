//! `pgark mask preview`: some rows as they are and as they would be. It is asked for plain values,
//! and shows them.

use std::collections::{BTreeMap, BTreeSet};

use pgark_bytes::sql::quote_ident_bytes;
use pgark_mask::catalog::{Catalog, TableFacts};
use pgark_mask::plan::{Decided, Masker, TablePlan};
use pgark_mask::row::RawRow;
use pgark_pg::{ConnInfo, Use};
use schemars::JsonSchema;
use serde::Serialize;

use super::rules::Loaded;
use crate::error::Doing;
use crate::nearest::did_you_mean;
use crate::session::{self, SERVER, Text};
use crate::watch::Watch;
use crate::{Job, OpsError};

/// What to show.
#[derive(Clone, Debug)]
pub struct Request {
    /// `schema.table`.
    pub table: String,
    /// SQL that chooses rows.
    pub condition: Option<String>,
    /// So many rows at most.
    pub rows: u64,
    /// Only these columns, in addition to the key; empty: all.
    pub columns: Vec<String>,
    /// Only columns that rules change, next to the key.
    pub changed: bool,
}

/// Rows before and after.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Preview {
    /// `schema.table`.
    pub table: String,
    /// The columns of its primary key.
    pub key: Vec<String>,
    /// The columns that are shown.
    pub columns: Vec<PreviewColumn>,
    /// The rows.
    pub rows: Vec<PreviewRow>,
    /// Rows that a condition would leave out.
    pub dropped: u64,
}

/// One column.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PreviewColumn {
    /// Its name.
    pub name: String,
    /// Its rule.
    pub rule: Option<String>,
    /// The rule's line in the file.
    pub line: Option<u32>,
    /// Some row has another value there.
    pub changed: bool,
}

/// One row.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PreviewRow {
    /// Its masked primary key.
    pub key: BTreeMap<String, Option<String>>,
    /// By column.
    pub values: BTreeMap<String, PreviewValue>,
}

/// One value.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PreviewValue {
    /// As it is; None: NULL.
    pub plain: Option<String>,
    /// As it would be; None: NULL.
    pub masked: Option<String>,
    /// They differ.
    pub changed: bool,
    /// A rule speaks of the column.
    pub by_rule: bool,
}

/// Reads some rows and masks them.
///
/// # Errors
/// Rules with errors, an unknown table or column, SQL that the server refuses.
pub fn run(
    loaded: &Loaded,
    mut catalog: Catalog,
    conninfo: &ConnInfo,
    request: &Request,
    job: &Job,
) -> Result<Preview, OpsError> {
    // Rows come as text, whatever the database's encoding.
    if catalog.encoding != "SQL_ASCII" {
        catalog.encoding = "UTF8".into();
    }
    let table = table_named(&catalog, &request.table)?.clone();
    for column in &request.columns {
        refuse_unknown_column(&table, column)?;
    }
    let outcome = loaded.plan(&catalog);
    let Some(plan) = &outcome.plan else { return Err(loaded.refused(&outcome.findings)) };
    let Some(plan) = plan.table(table.oid) else {
        return Err(OpsError::refused(format!("{} has no rows", table.shown()), ""));
    };
    let watch = Watch::new(&job.cancel);
    let rows = watch.during(|| read(conninfo, &table, plan, request, &watch))?;
    show(&table, plan, &outcome.columns, request, &rows)
}

/// A table of the catalog.
pub(super) fn table_named<'c>(catalog: &'c Catalog, name: &str) -> Result<&'c TableFacts, OpsError> {
    let is_meant =
        |table: &&TableFacts| table.shown() == name || (table.schema == "public" && table.name == name);
    catalog.tables.iter().find(is_meant).ok_or_else(|| {
        let names: Vec<String> = catalog.tables.iter().map(TableFacts::shown).collect();
        let near = did_you_mean(name, names.iter().map(String::as_str));
        OpsError::refused(format!("database {} has no table {name}", catalog.database), near)
    })
}

pub(super) fn refuse_unknown_column(table: &TableFacts, column: &str) -> Result<(), OpsError> {
    if table.column(column).is_some() {
        return Ok(());
    }
    let near = did_you_mean(column, table.columns.iter().map(|column| column.name.as_str()));
    Err(OpsError::refused(format!("{} has no column {column}", table.shown()), near))
}

fn read(
    conninfo: &ConnInfo,
    table: &TableFacts,
    plan: &TablePlan,
    request: &Request,
    watch: &Watch,
) -> Result<Vec<Vec<u8>>, OpsError> {
    let mut connection = session::open(conninfo, Use::Read, Text::ToRead, watch, SERVER)?.connection;
    connection.execute("BEGIN READ ONLY").doing("begin a transaction")?;
    let quoted: Vec<Vec<u8>> = plan.columns().map(|column| quote_ident_bytes(column.as_bytes())).collect();
    let mut sql = b"COPY (SELECT ".to_vec();
    sql.extend(quoted.join(b", ".as_slice()));
    sql.extend_from_slice(b" FROM ");
    sql.extend(
        [quote_ident_bytes(table.schema.as_bytes()), quote_ident_bytes(table.name.as_bytes())]
            .join(b".".as_slice()),
    );
    if let Some(condition) = &request.condition {
        sql.extend_from_slice(format!(" WHERE ({condition}\n)").as_bytes());
    }
    sql.extend_from_slice(format!(" LIMIT {}) TO STDOUT", request.rows).as_bytes());
    let mut rows = Vec::new();
    connection.copy_out::<OpsError>(&sql, &mut |row| {
        rows.push(row.to_vec());
        Ok(())
    })?;
    Ok(rows)
}

fn show(
    table: &TableFacts,
    plan: &TablePlan,
    decided: &[Decided],
    request: &Request,
    rows: &[Vec<u8>],
) -> Result<Preview, OpsError> {
    let primary = table.constraints.iter().find(|constraint| constraint.kind == 'p');
    let key = primary.map(|constraint| constraint.columns.clone()).unwrap_or_default();
    let unfit = |error: pgark_mask::plan::MaskError| {
        OpsError::refused(format!("mask a row of {}: {error}", table.shown()), "")
    };
    let names: Vec<&str> = plan.columns().collect();
    let ruled: BTreeSet<&str> = plan.masked_columns().collect();
    let mut masker = Masker::new(plan);
    let mut changed = vec![false; names.len()];
    let mut shown = Vec::new();
    for row in rows {
        let plain = plan.texts(row).map_err(unfit)?;
        let Some(masked) = masker.mask(RawRow::new(row)).map_err(unfit)? else { continue };
        let masked = plan.texts(masked.as_bytes()).map_err(unfit)?;
        let mut values = BTreeMap::new();
        let mut own_key = BTreeMap::new();
        for (((name, plain), masked), changed) in names.iter().zip(plain).zip(masked).zip(&mut changed) {
            let differs = plain != masked;
            *changed |= differs;
            if key.iter().any(|key| key == name) {
                own_key.insert((*name).to_string(), masked.clone());
            }
            let by_rule = ruled.contains(name);
            values.insert((*name).to_string(), PreviewValue { plain, masked, changed: differs, by_rule });
        }
        shown.push(PreviewRow { key: own_key, values });
    }
    let is_shown = |name: &str, changed: bool| {
        let is_asked_for = request.columns.is_empty() || request.columns.iter().any(|column| column == name);
        key.iter().any(|key| key == name) || (is_asked_for && (changed || !request.changed))
    };
    let columns: Vec<PreviewColumn> = names
        .iter()
        .zip(&changed)
        .filter(|(name, changed)| is_shown(name, **changed))
        .map(|(name, changed)| {
            let decided = decided.iter().find(|one| one.table == table.shown() && one.column == *name);
            PreviewColumn {
                name: (*name).to_string(),
                rule: decided.and_then(|decided| decided.rule.clone()),
                line: decided.and_then(|decided| decided.line),
                changed: *changed,
            }
        })
        .collect();
    for row in &mut shown {
        row.values.retain(|name, _| columns.iter().any(|column| column.name == *name));
    }
    Ok(Preview { table: table.shown(), key, columns, rows: shown, dropped: masker.counts().dropped })
}
