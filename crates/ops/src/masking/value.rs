//! `pgark mask value`: the fiction of one plain value, and where the transformer is a bijection the
//! plain value of a fiction.

use pgark_mask::catalog::Catalog;
use pgark_mask::plan::Masker;
use pgark_mask::row::RawRow;
use schemars::JsonSchema;
use serde::Serialize;

use super::preview::{refuse_unknown_column, table_named};
use super::rules::Loaded;
use crate::OpsError;

/// A value and its fiction.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ValueReport {
    /// `schema.table`.
    pub table: String,
    /// The column.
    pub column: String,
    /// The plain value.
    pub plain: String,
    /// Its fiction; None: NULL.
    pub masked: Option<String>,
}

/// What of a rule that reads other columns is not known here.
const OTHERS: &str = "the other columns of its row count as NULL here: `pgark mask preview` has whole rows";

/// The fiction of a plain value, or the plain value of a fiction (`reverse`). `column`:
/// `schema.table.column`.
///
/// # Errors
/// Rules with errors, a column that is not there, a value that the rule refuses, a transformer that
/// is not a bijection.
pub fn run(
    loaded: &Loaded,
    catalog: &Catalog,
    column: &str,
    value: &str,
    reverse: bool,
) -> Result<ValueReport, OpsError> {
    let Some((table, name)) = column.rsplit_once('.') else {
        return Err(OpsError::refused(format!("{column} names no table"), "write schema.table.column"));
    };
    let table = table_named(catalog, table)?;
    refuse_unknown_column(table, name)?;
    let outcome = loaded.plan(catalog);
    let Some(plan) = outcome.plan.as_ref().and_then(|plan| plan.table(table.oid)) else {
        return Err(loaded.refused(&outcome.findings));
    };
    let unfit = |error: pgark_mask::plan::MaskError| OpsError::refused(error.to_string(), OTHERS);
    let report =
        |plain: String, masked| ValueReport { table: table.shown(), column: name.to_string(), plain, masked };
    if reverse {
        let plain = plan.plain_of(name, value).map_err(|error| OpsError::refused(error.to_string(), ""))?;
        return Ok(report(plain, Some(value.to_string())));
    }
    let row = plan.row(|column| (column == name).then_some(value)).map_err(unfit)?;
    let mut masker = Masker::new(plan);
    let Some(masked) = masker.mask(RawRow::new(&row)).map_err(unfit)? else {
        return Err(OpsError::refused("a condition leaves such a row out", OTHERS));
    };
    let texts = plan.texts(masked.as_bytes()).map_err(unfit)?;
    let masked = plan.columns().zip(texts).find(|(column, _)| *column == name).and_then(|(_, text)| text);
    Ok(report(value.to_string(), masked))
}
