//! Rules against catalogs: what is decided, what is found, and what becomes of rows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod catalogs;
mod decisions;
mod ends;
mod findings;
mod keys;
mod rows;

use pgark_mask::catalog::Catalog;
use pgark_mask::finding::Severity;
use pgark_mask::key::MaskKey;
use pgark_mask::plan::{Keys, Masker, Outcome, Plan};
use pgark_mask::row::RawRow;
use pgark_mask::rules::Rules;

/// Rules with a head that every file has.
fn rules(body: &str) -> Rules {
    let text = format!("version = 1\nvocabulary = 1\nkey = \"ephemeral\"\n{body}");
    let (rules, findings) = Rules::parse(text.as_bytes(), &|_| None);
    assert!(findings.is_empty(), "{findings:?}");
    rules
}

fn key(text: &str) -> MaskKey {
    MaskKey::new(text.as_bytes().to_vec()).unwrap()
}

fn outcome(body: &str, catalog: &Catalog) -> Outcome {
    outcome_with(body, catalog, &key("a key of sixteen bytes, or more"))
}

fn outcome_with(body: &str, catalog: &Catalog, mask: &MaskKey) -> Outcome {
    Plan::make(&rules(body), catalog, Keys { mask, run: &key("the key of this very run") })
}

/// A plan without errors.
fn plan(body: &str, catalog: &Catalog) -> Plan {
    let outcome = outcome(body, catalog);
    let errors: Vec<_> = outcome.findings.iter().filter(|one| one.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    outcome.plan.unwrap()
}

/// `CODE table.column` of each finding, in their order.
fn codes(body: &str, catalog: &Catalog) -> Vec<String> {
    let found = outcome(body, catalog).findings.into_iter().map(|finding| {
        let on: Vec<String> = finding.table.into_iter().chain(finding.column).collect();
        format!("{} {}", finding.code, on.join(".")).trim_end().to_string()
    });
    found.collect()
}

/// The masked rows of a table, without their newlines.
fn masked(plan: &Plan, oid: u32, rows: &[&str]) -> Vec<String> {
    let table = plan.table(oid).unwrap();
    let mut masker = Masker::new(table);
    let mut masked = Vec::new();
    for row in rows {
        if let Some(row) = masker.mask(RawRow::new(row.as_bytes())).unwrap() {
            let text = String::from_utf8(row.as_bytes().to_vec()).unwrap();
            masked.push(text.strip_suffix('\n').unwrap().to_string());
        }
    }
    masked
}

/// One field of a row.
fn field(row: &str, at: usize) -> &str {
    row.split('\t').nth(at).unwrap()
}
