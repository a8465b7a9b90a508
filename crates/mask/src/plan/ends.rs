//! Codes M130 and M132: what refers to a key keeps referring to it.
//!
//! Both ends of a reference must get the same fiction for the same value. They do if they have one
//! rule, in each row, and if this rule looks at nothing but the value.

use super::decide::{By, Decided, Decision, Sections};
use super::links::{At, Link, Links};
use super::unique;
use crate::catalog::{Catalog, ColumnFacts, TableFacts};
use crate::finding::{Code, Finding, Place};
use crate::rules::{Engine, Literal, Otherwise, Rule, TableRules};
use crate::types::Target;

/// Looks at each reference.
pub(super) fn check(
    catalog: &Catalog,
    links: &Links,
    decided: &Decided,
    sections: &Sections<'_>,
    findings: &mut Vec<Finding>,
) {
    for link in links.all() {
        let (Some(from), Some(to)) =
            (End::of(catalog, decided, sections, link.from), End::of(catalog, decided, sections, link.to))
        else {
            continue;
        };
        // A table without rows refers to nothing.
        if from.section.is_some_and(|section| section.rows_none) {
            continue;
        }
        let pair = Pair { catalog, links, link, from, to };
        for fault in pair.faults() {
            let end = if fault.is_of_key { &pair.to } else { &pair.from };
            let code = if link.constraint.is_some() { Code::ReferenceDiffers } else { Code::VirtualDiffers };
            let mut finding = Finding::new(code, fault.message).on(&end.table.shown(), &end.column.name);
            finding.place = Some(fault.place).filter(|place| place.line > 0);
            finding.constraint = link.constraint.clone();
            findings.push(finding.hint(fault.hint));
        }
    }
}

/// One end of a reference.
struct End<'e> {
    table: &'e TableFacts,
    column: &'e ColumnFacts,
    decision: &'e Decision,
    section: Option<&'e TableRules>,
}

/// A reference whose both ends have a decision.
struct Pair<'e> {
    catalog: &'e Catalog,
    links: &'e Links,
    link: &'e Link,
    from: End<'e>,
    to: End<'e>,
}

/// What is wrong with a reference.
struct Fault {
    is_of_key: bool,
    place: Place,
    message: String,
    hint: &'static str,
}

const ONE_RULE: &str = "leave out the rule of the column that refers: it follows the key's";
const ONE_CONDITION: &str =
    "leave out `when`, or give both ends rules of their own with the same `when` and `otherwise`";
const DROP: &str = "give `when` to the rules of other columns, or leave out rows: otherwise = \"drop\"";

impl<'e> End<'e> {
    fn of(catalog: &'e Catalog, decided: &'e Decided, sections: &Sections<'e>, at: At) -> Option<End<'e>> {
        let table = catalog.tables.get(at.table)?;
        let column = table.columns.get(at.column)?;
        let section = sections.get(at.table).copied().flatten();
        Some(End { table, column, decision: decided.of(at)?, section })
    }

    fn rule(&self) -> &'e Rule {
        &self.decision.rule
    }

    fn shown(&self) -> String {
        format!("{}.{}", self.table.shown(), self.column.name)
    }

    /// The column's own condition, as far as it makes a difference.
    fn when(&self) -> Option<(String, Otherwise)> {
        let common = &self.rule().common;
        Some((common.when.as_ref()?.value.scalar()?, common.otherwise?.0)).filter(|_| !self.decision.keeps())
    }

    /// What the table's condition makes of rows that it does not hold for.
    fn rows(&self) -> Option<(Otherwise, Place)> {
        let section = self.section.filter(|section| section.when.is_some())?;
        section.otherwise.filter(|_| !self.decision.keeps())
    }
}

impl Pair<'_> {
    fn faults(&self) -> Vec<Fault> {
        let (from, to) = (&self.from, &self.to);
        let mut faults = Vec::new();
        let mut say = |is_of_key: bool, place: Place, message: String, hint: &'static str| {
            faults.push(Fault { is_of_key, place, message, hint });
        };
        let keeps = from.decision.keeps() && to.decision.keeps();
        // NULL refers to nothing.
        let is_gone = from.rule().name == "null";
        if !keeps && !is_gone {
            if let Some(message) = self.difference() {
                say(false, from.rule().place, message, ONE_RULE);
                return faults;
            }
            for (is_of_key, end, other) in [(false, from, to), (true, to, from)] {
                if is_random(end.rule()) {
                    let message = format!(
                        "engine = \"random\" makes another fiction of it than of {}, {}",
                        other.shown(),
                        if is_of_key { "which refers to it" } else { "which it refers to" }
                    );
                    say(is_of_key, end.rule().place, message, "engine = \"run\" keeps both ends equal");
                }
            }
            if from.rule().common.replaces_null == Some(true)
                && !Target::of(self.catalog, from.column).not_null
            {
                let message = format!("NULL refers to nothing, and its fiction refers to {}", to.shown());
                say(false, from.rule().place, message, "null = \"keep\"");
            }
        }
        match (from.when(), to.when()) {
            (Some((_, Otherwise::Keep)), None) if !to.decision.keeps() => {
                let message = format!("where its condition does not hold, it is not what {} is", to.shown());
                say(false, from.rule().place, message, ONE_CONDITION);
            }
            (_, None) => {}
            (own, Some(of_key)) => {
                if !is_gone && own.as_ref() != Some(&of_key) {
                    let message = format!(
                        "{} refers to it: where its condition does not hold, the two differ",
                        from.shown()
                    );
                    say(true, to.rule().place, message, ONE_CONDITION);
                }
            }
        }
        if let Some((Otherwise::Keep, place)) = from.rows().filter(|_| !to.decision.keeps()) {
            let message =
                format!("rows of its table stay plain, and {}, which it refers to, does not", to.shown());
            say(false, place, message, DROP);
        }
        if let Some((Otherwise::Keep | Otherwise::Null, place)) = to.rows().filter(|_| !is_gone) {
            let message =
                format!("rows of its table have no fictions, and {}, which refers to it, has", from.shown());
            say(true, place, message, DROP);
        }
        faults
    }

    /// What two rules differ in.
    fn difference(&self) -> Option<String> {
        let (from, to) = (self.from.decision, self.to.decision);
        let key = self.to.shown();
        if from.domain != to.domain || from.rule.name != to.rule.name {
            return Some(format!(
                "it is masked by {}, and {key}, which it refers to, by {}",
                from.rule.name, to.rule.name
            ));
        }
        // Where values must stay different anyway, `unique = true` says nothing new.
        let is_unique = || {
            self.links.group_of(self.link.from).into_iter().any(|at| {
                let table = self.catalog.tables.get(at.table);
                let column = table.and_then(|table| Some((table, table.columns.get(at.column)?)));
                column.is_some_and(|(table, column)| unique::alone(table, column).is_some())
            })
        };
        let said = |decision: &Decision| decision.rule.common.unique == Some(true);
        let what = match () {
            () if engine(&from.rule) != engine(&to.rule) => "engine",
            () if from.rule.common.seed != to.rule.common.seed => "seed",
            () if from.shape() != to.shape() => "parameters",
            () if said(from) != said(to) && !is_unique() => "unique",
            () => return None,
        };
        let name = &from.rule.name;
        Some(format!("it is masked by {name}, as {key}, which it refers to, but their {what} differ"))
    }
}

fn engine(rule: &Rule) -> Engine {
    rule.common.engine.unwrap_or_default()
}

/// Whether the row decides what the fiction is.
fn is_random(rule: &Rule) -> bool {
    engine(rule) == Engine::Random && rule.name != "keep" && !is_constant(rule)
}

/// Whether a rule looks at no value at all.
pub(super) fn is_constant(rule: &Rule) -> bool {
    match rule.name.as_str() {
        "null" | "default" => true,
        "fixed" => rule.parameters.iter().all(|(_, setting)| !matches!(setting.value, Literal::Table(_))),
        _ => false,
    }
}

/// Code M130: a rule that came through a reference and reads other columns of the row. These are
/// columns of another table, whatever their names are.
pub(super) fn reads_other_row(decision: &Decision, table: &str, column: &str) -> Option<Finding> {
    let By::Key(_) = decision.by else { return None };
    let message = "it follows the rule of the key that it refers to, which reads other columns of the row";
    let finding = Finding::new(Code::ReferenceDiffers, message).at(decision.rule.place).on(table, column);
    Some(finding.hint("a key's rule reads its own value only; or follow = false"))
}
