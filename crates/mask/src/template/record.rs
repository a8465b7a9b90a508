//! Records: one template for several columns of a row.

use std::collections::BTreeSet;

use super::Program;
use super::scan::scan;
use crate::finding::{Code, Finding};
use crate::making::{Around, Making, Read, Unfit};
use crate::rules::Rule;
use crate::transformer::{Plain, Refusal};
use crate::transformers;
use crate::types::Target;

/// A program that gives several columns of a row their fictions. What it prints does not count; the
/// variables that it sets at its top level do:
///
/// ```toml
/// [table."public.users"]
/// record.columns = ["nick", "mail"]
/// record.value = """
/// {% set nick = fake('username') %}
/// {% if mail is none %}{% set mail = null() %}
/// {% else %}{% set mail = nick ~ '@example.com' %}{% endif %}
/// """
/// ```
///
/// Without `columns`, it sets the columns that `{% set … %}` names. Before it is set, such a
/// variable is the column's plain value. A row for which one of the columns is not set is refused:
/// a branch that was forgotten must not leave it plain.
#[derive(Debug)]
pub struct Record {
    program: Program,
    names: Vec<String>,
    columns: Vec<(usize, Target)>,
}

impl Record {
    /// Builds the program of a table's `record`. `around` is that of a rule of the table; its
    /// column and target are only what findings name. What is wrong comes to `findings`, the
    /// columns that it reads to `reads`.
    pub fn build(
        rule: &Rule,
        around: Around<'_>,
        findings: &mut Vec<Finding>,
        reads: &mut BTreeSet<Read>,
    ) -> Result<Record, Unfit> {
        let Some(definition) = transformers::named("record") else { return Err(Unfit) };
        let mut making = Making::new(rule, around, definition, findings, reads)?;
        let Some(setting) = making.setting("value") else { return Err(Unfit) };
        let sets = scan(&setting.value.scalar().unwrap_or_default()).sets;
        let names = making.texts("columns").unwrap_or_else(|| {
            let is_column = |name: &&String| around.columns.iter().any(|(known, _)| known == *name);
            let found: BTreeSet<&String> = sets.iter().filter(is_column).collect();
            found.into_iter().cloned().collect()
        });
        let mut columns: Vec<(usize, Target)> = Vec::new();
        let mut failed = names.is_empty();
        if failed {
            making.fault(Code::WrongValue, "columns", "the record sets no column", "{% set column = … %}");
        }
        for name in &names {
            let known = around.columns.iter().position(|(known, _)| known == name);
            match known.and_then(|at| Some((at, around.columns.get(at)?))) {
                Some((at, (_, target))) => columns.push((at, target.clone())),
                None => {
                    let message = format!("{} has no column {name}", around.table);
                    making.fault(Code::UnknownColumn, "columns", message, "");
                    failed = true;
                }
            }
        }
        let program = Program::compile(&mut making, setting, &names)?;
        for name in names.iter().filter(|name| program.masked.names.contains(name)) {
            let message = format!("the record sets {name}, and reads masked.{name}");
            making.fault(Code::DoesNotCompile, "value", message, "the variable itself has its fiction");
            failed = true;
        }
        for name in names.iter().filter(|name| !sets.contains(name)) {
            let message = format!("the record never sets {name}");
            making.fault(Code::DoesNotCompile, "value", message, format!("{{% set {name} = … %}}"));
            failed = true;
        }
        if failed { Err(Unfit) } else { Ok(Record { program, names, columns }) }
    }

    /// The columns that it sets, by their numbers in COPY, in the order of the rule.
    pub fn columns(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().map(|(column, _)| *column)
    }

    /// The fictions of a row, in the order of [`Record::columns`]; None: NULL. Of `plain`, the
    /// bits, the subject and the row count; its text is what `value` is in the program: empty.
    pub fn fictions(&self, plain: &Plain<'_>) -> Result<Vec<Option<String>>, Refusal> {
        let mut fictions = self.program.variables(plain, &self.names)?;
        for ((fiction, (_, target)), name) in fictions.iter_mut().zip(&self.columns).zip(&self.names) {
            match fiction {
                Some(text) => super::settled(target, text)?,
                None if target.not_null => {
                    return Err(Refusal::new(format!("a record made {name} NULL, which it does not take")));
                }
                None => {}
            }
        }
        Ok(fictions)
    }
}
