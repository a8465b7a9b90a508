//! What the schema makes worth knowing of a decision: constraints that read a masked column, kept
//! columns that look personal.

use pgark_bytes::sql::tokenize;

use super::decide::{By, Decided};
use super::links::{At, Links};
use super::personal;
use crate::catalog::{Catalog, ConstraintFacts, TableFacts};
use crate::finding::{Code, Finding, Severity};
use crate::types::{Kind, Target};

/// Codes M140, M142, M152, M154 and M161.
pub(super) fn constraints(catalog: &Catalog, links: &Links, decided: &Decided, findings: &mut Vec<Finding>) {
    for (number, table) in catalog.tables.iter().enumerate() {
        let shown = table.shown();
        let decision_of = |name: &str| {
            let column = table.columns.iter().position(|column| column.name == name)?;
            decided.of(At { table: number, column })
        };
        let is_masked = |name: &str| decision_of(name).is_some_and(|decision| !decision.keeps());
        let mut warn = |code, column: &str, constraint: Option<&str>, message: String, hint: &str| {
            let mut finding = Finding::new(code, message).on(&shown, column).hint(hint);
            finding.severity = Severity::Warning;
            finding.constraint = constraint.map(str::to_string);
            finding.place =
                decision_of(column).map(|decision| decision.rule.place).filter(|place| place.line > 0);
            findings.push(finding);
        };
        for constraint in table.constraints.iter().filter(|constraint| matches!(constraint.kind, 'c' | 'x')) {
            for column in read_by(table, constraint).filter(|column| is_masked(column)) {
                let message =
                    format!("the constraint {} reads it: {}", constraint.name, constraint.definition);
                let hint =
                    "a fiction that it refuses ends the restore; choose a rule that fits, and accept this";
                warn(Code::Constrained, column, Some(&constraint.name), message, hint);
            }
        }
        for policy in &table.policies {
            for column in policy.columns.iter().filter(|column| is_masked(column)) {
                let message = format!("the policy {} reads it: other rows may be visible", policy.name);
                warn(Code::Constrained, column, Some(&policy.name), message, "");
            }
        }
        if let (Some(trigger), Some(column)) =
            (table.triggers.first(), table.columns.iter().find(|column| is_masked(&column.name)))
        {
            let message = format!("the trigger {trigger} sees masked rows");
            warn(Code::Constrained, &column.name, Some(trigger), message, "");
        }
        for column in &table.columns {
            if column.generated {
                for from in
                    column.generated_from.iter().filter(|from| decision_of(from).is_some_and(|d| d.keeps()))
                {
                    let message = format!("the server computes it of {from}, which is kept");
                    warn(Code::GeneratedReadsKept, &column.name, None, message, "");
                }
                for from in column.generated_from.iter().filter(|from| is_masked(from)) {
                    let message = format!(
                        "the generated column {} reads it: a restore computes that again",
                        column.name
                    );
                    let hint = "a fiction that its expression refuses ends the restore";
                    warn(Code::Constrained, from, None, message, hint);
                }
                continue;
            }
            let Some(decision) = decision_of(&column.name) else { continue };
            for check in Target::of(catalog, column).domain_checks.iter().filter(|_| !decision.keeps()) {
                let message = format!("the check {check} of its domain reads it");
                warn(Code::Constrained, &column.name, Some(check), message, "");
            }
            if !decision.keeps() {
                continue;
            }
            if decision.by == By::Policy {
                warn(
                    Code::KeptByPolicy,
                    &column.name,
                    None,
                    "no rule speaks of it, so it stays plain".into(),
                    "",
                );
            }
            if decision.by == By::Policy && is_opaque(&Target::of(catalog, column).kind) {
                let message = format!("it stays plain, and pgark cannot look into {}", column.sql_type);
                warn(Code::PlainObject, &column.name, None, message, "give it a rule: keep, null or fixed");
            }
            // A key that refers to a key is not personal for its name.
            let place = At { table: number, column: position(table, &column.name) };
            if links.from(place).next().is_none()
                && let Some(what) = personal::looks_like(&column.name)
            {
                let message = format!("it stays plain, and its name says {what}");
                warn(
                    Code::LooksPersonal,
                    &column.name,
                    None,
                    message,
                    "give it a rule, or accept this with the reason",
                );
            }
        }
    }
}

/// The columns that a CHECK or EXCLUDE reads.
pub(super) fn read_by<'t>(
    table: &'t TableFacts,
    constraint: &'t ConstraintFacts,
) -> impl Iterator<Item = &'t String> {
    let reads_row = constraint.kind == 'c' && has_row(&constraint.definition, &table.name);
    // What the expressions and the predicate of an EXCLUDE read, its index alone says.
    let index = table.indexes.iter().find(|index| constraint.kind == 'x' && index.name == constraint.name);
    let of_index = index.into_iter().flat_map(|index| index.keys.iter().flatten().chain(&index.reads));
    let named: Vec<&String> = constraint.columns.iter().chain(of_index).collect();
    table.columns.iter().map(|column| &column.name).filter(move |name| reads_row || named.contains(name))
}

/// Whether SQL has the table's row as one value: `t.*`.
fn has_row(sql: &str, table: &str) -> bool {
    let tokens: Vec<_> = tokenize(sql.as_bytes()).filter(|token| !token.is_blank()).collect();
    tokens.windows(3).any(|found| match found {
        [name, dot, star] => {
            dot.is_symbol(b'.')
                && star.is_symbol(b'*')
                && name.ident().is_some_and(|name| name == table.as_bytes())
        }
        _ => false,
    })
}

/// Whether nothing can be said of what a value holds.
fn is_opaque(kind: &Kind) -> bool {
    match kind {
        Kind::Bytea | Kind::Xml => true,
        Kind::Other(name) => name != "oid",
        Kind::Array(inner) | Kind::Range(inner) | Kind::Multirange(inner) => is_opaque(inner),
        Kind::Composite(attributes) => attributes.iter().any(|(_, kind)| is_opaque(kind)),
        _ => false,
    }
}

fn position(table: &TableFacts, column: &str) -> usize {
    table.columns.iter().position(|known| known.name == column).unwrap_or(usize::MAX)
}
