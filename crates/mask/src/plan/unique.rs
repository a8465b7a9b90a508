//! Which columns must stay unique, and what says so.

use crate::catalog::{ColumnFacts, IndexFacts, TableFacts};

/// Why different values of a column must get different fictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// The constraint or index.
    pub constraint: String,
    /// It is over `lower(column)`: fictions that differ in case only are equal.
    pub lower_case: bool,
}

/// The index or constraint that a column alone is the key of, also a partial one.
pub fn alone(table: &TableFacts, column: &ColumnFacts) -> Option<Unique> {
    let of_constraint = table.constraints.iter().find(|constraint| {
        matches!(constraint.kind, 'p' | 'u') && constraint.columns.as_slice() == [column.name.clone()]
    });
    if let Some(constraint) = of_constraint {
        return Some(Unique { constraint: constraint.name.clone(), lower_case: false });
    }
    let plain = |index: &&IndexFacts| index.unique && index.keys.as_slice() == [Some(column.name.clone())];
    if let Some(index) = table.indexes.iter().find(plain) {
        return Some(Unique { constraint: index.name.clone(), lower_case: false });
    }
    let lower = |index: &&IndexFacts| {
        index.unique
            && index.keys.as_slice() == [None]
            && index.expressions.iter().any(|text| is_lower_of(text, &column.name))
    };
    let index = table.indexes.iter().find(lower)?;
    Some(Unique { constraint: index.name.clone(), lower_case: true })
}

/// Composite keys, EXCLUDE constraints and other expressions that a column is a part of: whether
/// these stay unique is seen only while the rows are masked.
pub fn together<'t>(table: &'t TableFacts, column: &ColumnFacts) -> impl Iterator<Item = &'t str> {
    let name = column.name.clone();
    let constraints = table.constraints.iter().filter({
        let name = name.clone();
        move |constraint| match constraint.kind {
            'p' | 'u' => constraint.columns.len() > 1 && constraint.columns.contains(&name),
            _ => false,
        }
    });
    let indexes = table.indexes.iter().filter(move |index| {
        let is_lower = index.expressions.iter().any(|text| is_lower_of(text, &name)) && index.keys.len() == 1;
        let is_key = index.keys.len() > 1 && index.keys.iter().flatten().any(|key| *key == name);
        let in_expression =
            index.reads.contains(&name) && index.keys.iter().any(Option::is_none) && !is_lower;
        index.unique && (is_key || in_expression)
    });
    let mut names: Vec<&str> = constraints.map(|constraint| constraint.name.as_str()).collect();
    names.extend(indexes.map(|index| index.name.as_str()));
    names.sort_unstable();
    names.dedup();
    names.into_iter()
}

/// `lower(email)`, `lower((email)::text)`, as the server writes it.
fn is_lower_of(expression: &str, column: &str) -> bool {
    let Some(inner) = expression.strip_prefix("lower(").and_then(|rest| rest.strip_suffix(')')) else {
        return false;
    };
    let inner = inner.strip_suffix("::text").unwrap_or(inner);
    let inner = inner.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(inner);
    inner.trim_matches('"') == column
}
