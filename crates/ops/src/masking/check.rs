//! `pgark mask check`: rules against a database, before a byte is read.

use std::collections::BTreeMap;

use pgark_mask::catalog::Catalog;
use pgark_mask::finding::{self, Finding};
use pgark_mask::plan::{Decided, Lock, Outcome, Plan};
use schemars::JsonSchema;
use serde::Serialize;

use super::facts::Facts;
use super::rules::Loaded;
use crate::OpsError;

/// What a check found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "MaskCheckReport")]
pub struct CheckReport {
    /// The rules file.
    pub rules: String,
    /// BLAKE3 of the file, hexadecimal.
    pub rules_hash: String,
    /// What tells the mask key apart: 8 digits; empty where there is no key.
    pub key: String,
    /// The edition of the word lists.
    pub vocabulary: u32,
    /// What the rules were held against.
    pub database: String,
    /// Numbers.
    pub summary: Summary,
    /// Errors first, then by their places.
    pub findings: Vec<FindingReport>,
    /// Columns by table, each with its rule.
    pub columns: BTreeMap<String, Vec<ColumnReport>>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "FindingSeverity")]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is masked with such rules.
    Error,
    /// Someone should look at it; `[[accept]]` says that it is meant.
    Warning,
    /// Worth knowing.
    Info,
}

impl From<finding::Severity> for Severity {
    fn from(severity: finding::Severity) -> Severity {
        match severity {
            finding::Severity::Error => Severity::Error,
            finding::Severity::Warning => Severity::Warning,
            finding::Severity::Info => Severity::Info,
        }
    }
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "MaskCheckSummary")]
pub struct Summary {
    /// Findings that nothing is masked with.
    pub error: usize,
    /// Findings that someone should look at and has not accepted.
    pub warning: usize,
    /// Findings worth knowing.
    pub info: usize,
    /// Columns of all tables, without those that the server computes.
    pub columns: usize,
    /// Columns that get fictions.
    pub masked: usize,
    /// Columns that stay plain.
    pub kept: usize,
    /// Columns that no rule speaks of.
    pub undecided: usize,
}

/// One finding.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FindingReport {
    /// `M120`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// `schema.table`.
    pub table: Option<String>,
    /// The column.
    pub column: Option<String>,
    /// The constraint or index.
    pub constraint: Option<String>,
    /// The rules file.
    pub file: String,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// The character in the line, from 1.
    pub at: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
    /// Why it is accepted, as the file says.
    pub accepted: Option<String>,
}

/// One column.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ColumnReport {
    /// Its name.
    pub column: String,
    /// Its type, as SQL writes it.
    pub r#type: String,
    /// The transformer; None: no rule speaks of it.
    pub rule: Option<String>,
    /// The rule's line in the file.
    pub line: Option<u32>,
}

/// How a check is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strictness {
    /// A schema that differs from the lock is an error.
    pub locked: bool,
    /// Warnings that nobody accepted count.
    pub strict: bool,
}

/// What a check means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Rows can be masked.
    Clean,
    /// They can, but under `strict` there are warnings.
    Warnings,
    /// They cannot.
    Errors,
}

/// Checks rules against a database; `lock`: what someone looked at before.
pub fn run(loaded: &Loaded, facts: &Facts, lock: Option<&Lock>, how: Strictness) -> CheckReport {
    let Outcome { mut findings, columns, .. } = loaded.plan(&facts.catalog);
    findings.extend(facts.findings.iter().cloned());
    for mut finding in lock.map(|lock| lock.drift(&columns)).unwrap_or_default() {
        if how.locked {
            finding.severity = finding::Severity::Error;
        }
        findings.push(finding);
    }
    findings.sort_by_key(|finding| finding.severity);
    let file = loaded.path.display().to_string();
    CheckReport {
        rules_hash: loaded.rules.hash.clone(),
        key: loaded.key_fingerprint(),
        vocabulary: loaded.rules.vocabulary,
        database: facts.from.clone(),
        summary: Summary::of(&findings, &columns),
        findings: findings.into_iter().map(|finding| FindingReport::of(finding, &file)).collect(),
        columns: by_table(columns),
        rules: file,
    }
}

/// The plan of rules for a database whose rows are masked now, and how many warnings nobody has
/// accepted, with those about the lock.
///
/// # Errors
/// Rules that have errors for this database, and a lock that cannot be read.
pub(crate) fn plan(loaded: &Loaded, catalog: &Catalog) -> Result<(Plan, usize), OpsError> {
    let outcome = loaded.plan(catalog);
    let Some(plan) = outcome.plan else { return Err(loaded.refused(&outcome.findings)) };
    let is_open =
        |finding: &&Finding| finding.severity == finding::Severity::Warning && finding.accepted.is_none();
    let drift = loaded.lock(None)?.map(|lock| lock.drift(&outcome.columns)).unwrap_or_default();
    Ok((plan, outcome.findings.iter().chain(&drift).filter(is_open).count()))
}

impl CheckReport {
    /// What it means.
    pub fn verdict(&self, how: Strictness) -> Verdict {
        match (self.summary.error, self.summary.warning) {
            (1.., _) => Verdict::Errors,
            (0, 1..) if how.strict => Verdict::Warnings,
            _ => Verdict::Clean,
        }
    }
}

impl Summary {
    fn of(findings: &[Finding], columns: &[Decided]) -> Summary {
        let mut summary = Summary::default();
        for finding in findings {
            match finding.severity {
                finding::Severity::Error => summary.error += 1,
                finding::Severity::Warning if finding.accepted.is_none() => summary.warning += 1,
                finding::Severity::Warning => {}
                finding::Severity::Info => summary.info += 1,
            }
        }
        for column in columns {
            match column.rule.as_deref() {
                Some("generated") => continue,
                Some("keep") => summary.kept += 1,
                Some(_) => summary.masked += 1,
                None => summary.undecided += 1,
            }
            summary.columns += 1;
        }
        summary
    }
}

impl FindingReport {
    fn of(finding: Finding, file: &str) -> FindingReport {
        FindingReport {
            code: finding.code.as_str(),
            severity: finding.severity.into(),
            table: finding.table,
            column: finding.column,
            constraint: finding.constraint,
            file: file.to_string(),
            line: finding.place.map(|place| place.line),
            at: finding.place.map(|place| place.column),
            message: finding.message,
            hint: finding.hint,
            accepted: finding.accepted,
        }
    }
}

fn by_table(columns: Vec<Decided>) -> BTreeMap<String, Vec<ColumnReport>> {
    let mut tables: BTreeMap<String, Vec<ColumnReport>> = BTreeMap::new();
    for column in columns {
        tables.entry(column.table).or_default().push(ColumnReport {
            column: column.column,
            r#type: column.sql_type,
            rule: column.rule,
            line: column.line,
        });
    }
    tables
}

/// The lock of what is decided now: the file's text.
///
/// # Errors
/// Rules that have errors: what nobody may use, nobody need look at.
pub fn lock(loaded: &Loaded, catalog: &Catalog) -> Result<String, OpsError> {
    let outcome = loaded.plan(catalog);
    if outcome.plan.is_none() {
        return Err(loaded.refused(&outcome.findings));
    }
    Lock::of(&loaded.name(), &outcome.columns)
        .write()
        .map_err(|error| OpsError::refused(error.to_string(), ""))
}
