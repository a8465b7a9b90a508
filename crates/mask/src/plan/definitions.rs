//! Plain values inside of definitions (M160): literals of defaults, checks, predicates of indexes
//! and checks of domains that a masked column has to do with. The definitions stay as they are, so
//! what they hold stays plain.

use pgark_bytes::sql::{Kind, tokenize};

use super::check::read_by;
use super::decide::{Decided, Decision};
use super::links::At;
use crate::catalog::{Catalog, TypeFacts};
use crate::finding::{Code, Finding, Severity};
use crate::rules::OnDefinition;

/// Looks at each definition that reads a masked column.
pub(super) fn check(catalog: &Catalog, decided: &Decided, policy: OnDefinition, findings: &mut Vec<Finding>) {
    let severity = match policy {
        OnDefinition::Refuse => Severity::Error,
        OnDefinition::Warn => Severity::Warning,
        OnDefinition::Keep => return,
    };
    for (number, table) in catalog.tables.iter().enumerate() {
        let masked = |name: &str| -> Option<&Decision> {
            let column = table.columns.iter().position(|column| column.name == name)?;
            decided.of(At { table: number, column }).filter(|decision| !decision.keeps())
        };
        let mut say = |decision: &Decision, column: &str, what: String, constraint: Option<&str>| {
            let message = format!("{what} holds a text, which stays plain");
            let hint = "change the definition, or [policy] definitions = \"warn\" and [[accept]]";
            let finding = Finding::new(Code::PlainDefinition, message).on(&table.shown(), column).hint(hint);
            let place = Some(decision.rule.place).filter(|place| place.line > 0);
            findings.push(Finding { severity, place, constraint: constraint.map(str::to_string), ..finding });
        };
        for column in table.columns.iter().filter(|column| !column.generated) {
            let Some(decision) = masked(&column.name) else { continue };
            if column.default.as_deref().is_some_and(holds_text) {
                say(decision, &column.name, "its default".into(), None);
            }
            for (domain, check) in checks_of(catalog, column.r#type) {
                if holds_text(&check.definition) {
                    let what = format!("the check {} of its domain {}", check.name, domain.name);
                    say(decision, &column.name, what, Some(&check.name));
                }
            }
        }
        for constraint in table.constraints.iter().filter(|constraint| matches!(constraint.kind, 'c' | 'x')) {
            if !holds_text(&constraint.definition) {
                continue;
            }
            for column in read_by(table, constraint) {
                if let Some(decision) = masked(column) {
                    let what = format!("the constraint {}", constraint.name);
                    say(decision, column, what, Some(&constraint.name));
                }
            }
        }
        // What the index of an EXCLUDE holds, its constraint's definition has.
        let is_exclude =
            |name: &str| table.constraints.iter().any(|found| found.kind == 'x' && found.name == name);
        for index in table.indexes.iter().filter(|index| !is_exclude(&index.name)) {
            let texts = index.predicate.iter().chain(&index.expressions);
            if !texts.clone().any(|text| holds_text(text)) {
                continue;
            }
            for column in &index.reads {
                if let Some(decision) = masked(column) {
                    say(decision, column, format!("the index {}", index.name), Some(&index.name));
                }
            }
        }
    }
}

/// The checks of the domains that a type goes through.
fn checks_of(catalog: &Catalog, oid: u32) -> impl Iterator<Item = (&TypeFacts, &crate::catalog::CheckFacts)> {
    let mut domains = Vec::new();
    let mut next = catalog.type_of(oid);
    while let Some(domain) = next.filter(|facts| facts.kind == 'd' && domains.len() < 32) {
        domains.push(domain);
        next = domain.base.and_then(|base| catalog.type_of(base));
    }
    domains.into_iter().flat_map(|domain| domain.checks.iter().map(move |check| (domain, check)))
}

/// Whether SQL holds a text that says something: a string with a letter or digit in it, but for a
/// sequence's name.
fn holds_text(sql: &str) -> bool {
    !sql.starts_with("nextval(")
        && tokenize(sql.as_bytes()).any(|token| {
            token.kind == Kind::String
                && token.text.iter().any(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80)
        })
}

#[cfg(test)]
mod tests {
    use super::holds_text;

    #[test]
    fn texts_in_sql() {
        for (sql, holds) in [
            ("'new'::text", true),
            ("''::text", false),
            ("(a <> ''::text)", false),
            ("now()", false),
            ("(b ~ '@'::text)", false),
            ("CHECK ((name <> 'Anna'::text))", true),
            ("nextval('s'::regclass)", false),
            ("12", false),
        ] {
            assert_eq!(holds_text(sql), holds, "{sql}");
        }
    }
}
