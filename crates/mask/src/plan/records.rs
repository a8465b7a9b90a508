//! `record = …` of a table: one program that sets several columns of a row.

use std::collections::{BTreeSet, HashMap};

use super::Ground;
use super::decide::{By, Decided, Decision};
use super::links::At;
use crate::finding::{Code, Finding};
use crate::key::RuleKey;
use crate::making::{Around, Read};
use crate::rules::Engine;
use crate::template;
use crate::types::Target;

/// A table's record, built.
#[derive(Debug)]
pub(super) struct Record {
    /// The program.
    pub program: template::Record,
    /// What its draws are made with.
    pub key: RuleKey,
    /// Which key that is.
    pub engine: Engine,
    /// The columns that it reads.
    pub reads: BTreeSet<Read>,
}

impl Record {
    /// Whether it sets a column, by its number in COPY.
    pub(super) fn sets(&self, column: usize) -> bool {
        self.program.columns().any(|set| set == column)
    }
}

/// Builds the records of all tables, by their places in the catalog, and decides the columns that
/// they set.
pub(super) fn build(
    ground: Ground<'_>,
    decided: &mut Decided,
    findings: &mut Vec<Finding>,
) -> HashMap<usize, Record> {
    let Ground { rules, catalog, keys, sections, locale } = ground;
    let mut records = HashMap::new();
    for (number, (table, section)) in catalog.tables.iter().zip(sections).enumerate() {
        let Some(rule) = section.and_then(|section| section.record.as_ref()) else { continue };
        let shown = table.shown();
        let copied: Vec<(usize, String, Target)> = table
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !column.generated)
            .map(|(at, column)| (at, column.name.clone(), Target::of(catalog, column)))
            .collect();
        let columns: Vec<(String, Target)> =
            copied.iter().map(|(_, name, target)| (name.clone(), target.clone())).collect();
        let Some((_, target)) = columns.first() else { continue };
        let domain = rule.common.domain.clone().unwrap_or_else(|| format!("record {shown}"));
        let engine = rule.common.engine.unwrap_or_default();
        let secret = if engine == Engine::Keyed { keys.mask } else { keys.run };
        let key = secret.rule(rules.vocabulary, &domain);
        let around = Around {
            table: &shown,
            column: "",
            columns: &columns,
            target,
            default: None,
            key,
            engine,
            unique: None,
            lower_case: false,
            vocabulary: rules.vocabulary,
            locale,
            kinds: &rules.kinds,
        };
        let mut reads = BTreeSet::new();
        let Ok(program) = template::Record::build(rule, around, findings, &mut reads) else { continue };
        if reads.iter().any(|read| read.masked) {
            let message = "a record reads plain values: it runs before the rules of columns";
            findings.push(Finding::new(Code::DoesNotCompile, message).at(rule.place));
            continue;
        }
        for set in program.columns() {
            let Some((column, name, _)) = copied.get(set) else { continue };
            let at = At { table: number, column: *column };
            let own = decided.of(at).filter(|decision| decision.by == By::Table && !decision.keeps());
            if let Some(own) = own {
                let message = format!("{name} has a rule, and the record sets it as well");
                let finding = Finding::new(Code::WrongValue, message).at(own.rule.place);
                findings.push(finding.on(&shown, name));
            }
            let decision = Decision { rule: rule.clone(), domain: format!("{domain}.{name}"), by: By::Table };
            decided.set(at, decision);
        }
        records.insert(number, Record { program, key, engine, reads });
    }
    records
}
