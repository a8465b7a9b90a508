//! Partitions whose key is masked: a row's fiction may belong into another partition than its plain
//! row did, or into none.
//!
//! Such rows are loaded through the topmost table, which routes them, as `pg_dump
//! --load-via-partition-root` has it. A fiction must then have a partition for sure: each level
//! whose key is masked is by hash, or has a default partition. Else the backup could not be
//! restored, and that is an error.

use std::collections::{BTreeMap, HashMap};

use super::decide::{Decided, Decision};
use super::links::At;
use crate::catalog::{Catalog, TableFacts};
use crate::finding::{Code, Finding, Severity};

/// The tables whose rows are loaded through another one, with that one: oids. Code M140.
pub(super) fn routes(catalog: &Catalog, decided: &Decided, findings: &mut Vec<Finding>) -> HashMap<u32, u32> {
    let (mut routes, mut told) = (HashMap::new(), BTreeMap::new());
    for (number, table) in catalog.tables.iter().enumerate().filter(|(_, table)| table.is_partition) {
        let masked = |name: &String| -> Option<&Decision> {
            let column = table.columns.iter().position(|column| column.name == *name)?;
            decided.of(At { table: number, column }).filter(|decision| !decision.keeps())
        };
        let above: Vec<&TableFacts> = ancestors(catalog, table).collect();
        for parent in &above {
            for (column, decision) in
                parent.partition_key.iter().filter_map(|name| Some((name, masked(name)?)))
            {
                routes.extend(above.last().map(|root| (table.oid, root.oid)));
                told.entry((parent.oid, column))
                    .or_insert_with(|| finding(catalog, parent, column, decision));
            }
        }
    }
    findings.extend(told.into_values());
    routes
}

/// The tables that a partition is below, the nearest first.
fn ancestors<'c>(catalog: &'c Catalog, table: &'c TableFacts) -> impl Iterator<Item = &'c TableFacts> {
    // A partition has one parent. What goes around in a circle is no catalog of PostgreSQL.
    let most = catalog.tables.len();
    let parent_of = |table: &&'c TableFacts| {
        let parent = table.parents.first().filter(|_| table.is_partition)?;
        catalog.tables.iter().find(|known| known.oid == *parent)
    };
    std::iter::successors(parent_of(&table), parent_of).take(most)
}

fn finding(catalog: &Catalog, parent: &TableFacts, column: &str, decision: &Decision) -> Finding {
    let is_default = |child: &TableFacts| {
        child.is_partition && child.parents.contains(&parent.oid) && child.bound.as_deref() == Some("DEFAULT")
    };
    let takes_any = parent.partitioned_by.as_deref().is_some_and(|by| by.starts_with("HASH"))
        || catalog.tables.iter().any(is_default);
    let place = Some(decision.rule.place).filter(|place| place.line > 0);
    let (severity, message, hint) = match takes_any {
        true => (
            Severity::Warning,
            "the partition key reads it: a row may belong into another partition",
            "rows are routed through the topmost table when they are loaded",
        ),
        false => (
            Severity::Error,
            "the partition key reads it, and a fiction may fit no partition: the backup could not be restored",
            "keep it, or give the table a default partition",
        ),
    };
    let finding = Finding::new(Code::Constrained, message).on(&parent.shown(), column).hint(hint);
    Finding { severity, place, ..finding }
}
