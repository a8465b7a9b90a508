//! `pgark mask test`: the `[[test]]`s of a rules file, without a server. Types come from the lock
//! next to the file where there is one, else from how the test writes its values.

use pgark_mask::catalog::{Catalog, ColumnFacts, TableFacts, TypeFacts};
use pgark_mask::plan::{Lock, Masker};
use pgark_mask::row::RawRow;
use pgark_mask::rules::{Literal, RuleTest, Setting};
use schemars::JsonSchema;
use serde::Serialize;

use super::rules::Loaded;
use crate::OpsError;

/// What came of the tests.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TestReport {
    /// The rules file.
    pub rules: String,
    /// Each test, in the file's order.
    pub tests: Vec<TestOutcome>,
}

/// What came of one.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TestOutcome {
    /// `schema.table`.
    pub table: String,
    /// Its line in the file.
    pub line: u32,
    /// What is not as expected; empty: it passed.
    pub failures: Vec<String>,
}

/// Runs them all.
///
/// # Errors
/// Rules with errors.
pub fn run(loaded: &Loaded, lock: Option<&Lock>) -> Result<TestReport, OpsError> {
    let mut tests = Vec::new();
    for test in &loaded.rules.tests {
        let table = test.table.value.scalar().unwrap_or_default();
        tests.push(TestOutcome { line: test.place.line, failures: one(loaded, lock, test, &table)?, table });
    }
    Ok(TestReport { rules: loaded.path.display().to_string(), tests })
}

impl TestReport {
    /// Whether all passed.
    pub fn passed(&self) -> bool {
        self.tests.iter().all(|test| test.failures.is_empty())
    }
}

fn one(loaded: &Loaded, lock: Option<&Lock>, test: &RuleTest, table: &str) -> Result<Vec<String>, OpsError> {
    let catalog = catalog(test, table, lock);
    // Only this table is there: what the file says of others is not wrong.
    let mut alone = loaded.rules.clone();
    alone.tables.retain(|section| section.table == table);
    alone.references.clear();
    let outcome = loaded.plan_of(&alone, &catalog);
    let Some(plan) = outcome.plan.as_ref().and_then(|plan| plan.table(1)) else {
        return Err(loaded.refused(&outcome.findings));
    };
    let value = |name: &str| {
        test.row.iter().find(|(column, _)| column == name).and_then(|(_, setting)| setting.value.scalar())
    };
    let texts: Vec<Option<String>> = plan.columns().map(value).collect();
    let names: Vec<&str> = plan.columns().collect();
    let of =
        |name: &str| names.iter().position(|known| *known == name).and_then(|at| texts.get(at)?.as_deref());
    let row = plan.row(of).map_err(|error| OpsError::refused(error.to_string(), ""))?;
    let mut masker = Masker::new(plan);
    let masked = match masker.mask(RawRow::new(&row)) {
        Ok(Some(masked)) => {
            plan.texts(masked.as_bytes()).map_err(|error| OpsError::refused(error.to_string(), ""))?
        }
        Ok(None) => return Ok(vec!["a condition leaves the row out".into()]),
        Err(error) => return Ok(vec![error.to_string()]),
    };
    let mut failures = Vec::new();
    for (column, expected) in &test.expect {
        let Some(found) = names.iter().position(|name| name == column).and_then(|at| masked.get(at)) else {
            failures.push(format!("{column}: the test's row has no such column"));
            continue;
        };
        failures.extend(differs(expected, found.as_deref()).map(|why| format!("{column}: {why}")));
    }
    Ok(failures)
}

/// Why a fiction is not as expected.
fn differs(expected: &Setting, found: Option<&str>) -> Option<String> {
    let wanted = expected.value.scalar().unwrap_or_default();
    let shown = found.unwrap_or("NULL");
    match wanted.strip_prefix('~') {
        Some(pattern) => match regex::Regex::new(pattern.trim_start()) {
            Ok(pattern) if found.is_some_and(|found| pattern.is_match(found)) => None,
            Ok(_) => Some(format!("it is {shown:?}, which {wanted} does not match")),
            Err(error) => Some(format!("{wanted}: {error}")),
        },
        None if found == Some(&wanted) => None,
        None => Some(format!("it is {shown:?}, and not {wanted:?}")),
    }
}

/// A database of this table alone.
fn catalog(test: &RuleTest, table: &str, lock: Option<&Lock>) -> Catalog {
    const TYPES: [(&str, u32); 8] = [
        ("text", 25),
        ("int8", 20),
        ("numeric", 1700),
        ("bool", 16),
        ("date", 1082),
        ("timestamp", 1114),
        ("timestamptz", 1184),
        ("uuid", 2950),
    ];
    let (schema, name) = table.split_once('.').unwrap_or(("public", table));
    let locked = lock.and_then(|lock| lock.table.get(table));
    let columns = test.row.iter().map(|(column, setting)| {
        let sql_type = match locked.and_then(|locked| locked.get(column)) {
            Some(locked) => locked.r#type.trim_end_matches(" not null").to_string(),
            None => of_literal(&setting.value).to_string(),
        };
        let known = TYPES.iter().find(|(name, _)| *name == alias(&sql_type));
        ColumnFacts {
            name: column.clone(),
            r#type: known.map_or(25, |(_, oid)| *oid),
            sql_type,
            modifier: -1,
            ..ColumnFacts::default()
        }
    });
    let types = TYPES.iter().map(|(name, oid)| TypeFacts {
        oid: *oid,
        schema: "pg_catalog".into(),
        name: (*name).into(),
        kind: 'b',
        ..TypeFacts::default()
    });
    Catalog {
        format: 1,
        database: "test".into(),
        encoding: "UTF8".into(),
        ctype: "C.UTF-8".into(),
        types: types.collect(),
        tables: vec![TableFacts {
            oid: 1,
            schema: schema.into(),
            name: name.into(),
            kind: 'r',
            columns: columns.collect(),
            ..TableFacts::default()
        }],
        ..Catalog::default()
    }
}

fn of_literal(value: &Literal) -> &'static str {
    match value {
        Literal::Integer(_) => "int8",
        Literal::Float(_) => "numeric",
        Literal::Flag(_) => "bool",
        Literal::Time(text) if text.len() <= 10 => "date",
        Literal::Time(text) if text.ends_with('Z') || text.contains('+') => "timestamptz",
        Literal::Time(_) => "timestamp",
        _ => "text",
    }
}

/// The type's own name of SQL's.
fn alias(sql_type: &str) -> &str {
    match sql_type.split('(').next().unwrap_or(sql_type).trim() {
        "integer" | "bigint" | "smallint" => "int8",
        "boolean" => "bool",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "character varying" | "character" => "text",
        other => other,
    }
}
