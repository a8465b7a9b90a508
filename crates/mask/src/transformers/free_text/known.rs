//! What is found in prose because another column of the row has it.

use super::find::Found;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::Plain;

/// Columns whose values are looked for.
#[derive(Debug)]
pub(super) struct Known(Vec<usize>);

/// Values with fewer characters are found everywhere.
const LEAST_CHARS: usize = 2;

impl Known {
    /// Reads `known`: columns of the table, alone or behind the table's name.
    pub fn build(making: &mut Making<'_>) -> Result<Known, Unfit> {
        let place = making.setting("known").map_or(making.rule().place, |setting| setting.place);
        let mut columns = Vec::new();
        for name in making.texts("known").unwrap_or_default() {
            let column = match name.rsplit_once('.') {
                None => name.as_str(),
                Some((table, column)) if is_table(table, making.around.table) => column,
                Some((table, _)) => {
                    let message = format!(
                        "known has a column of {table}; this version looks only for values of the same row"
                    );
                    let hint = format!("a column of {}", making.around.table);
                    return Err(making.fault_at(Code::WrongValue, place, message, hint));
                }
            };
            let plain = making.read(column, place)?;
            if column == making.around.column {
                let message = "a column cannot be known to itself";
                return Err(making.fault_at(Code::WrongValue, place, message, ""));
            }
            // The plain value is looked for, and the fiction replaces it.
            making.read(&format!("masked.{column}"), place)?;
            columns.push(plain.column);
        }
        Ok(Known(columns))
    }

    /// Nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends each place at which a column's value is a whole word, in any case.
    pub fn find(&self, plain: &Plain<'_>, all: &mut Vec<Found>) {
        for column in &self.0 {
            let Some(value) = plain.row.plain(*column).map(str::trim) else { continue };
            if value.chars().count() < LEAST_CHARS {
                continue;
            }
            let mut from = 0;
            while let Some(rest) = plain.text.get(from..) {
                let Some(first) = rest.chars().next() else { break };
                let before = plain.text.get(..from).and_then(|text| text.chars().next_back());
                let begins_word = !(joins(before) && joins(value.chars().next()));
                let end = if begins_word { matched(rest, value) } else { None };
                match end.filter(|end| ends_word(rest, value, *end)) {
                    Some(end) => {
                        all.push(Found { range: from..from + end, what: None, column: Some(*column) });
                        from += end;
                    }
                    None => from += first.len_utf8(),
                }
            }
        }
    }
}

/// `customers` or `public.customers` is the table `public.customers`.
fn is_table(name: &str, table: &str) -> bool {
    name == table || table.rsplit_once('.').is_some_and(|(_, bare)| bare == name)
}

/// The character belongs to a word.
fn joins(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn ends_word(rest: &str, value: &str, end: usize) -> bool {
    let after = rest.get(end..).and_then(|text| text.chars().next());
    !(joins(after) && joins(value.chars().next_back()))
}

/// How many bytes of the text are the value, in any case; None: the text does not begin with it.
fn matched(text: &str, value: &str) -> Option<usize> {
    let mut wanted = value.chars().flat_map(char::to_lowercase).peekable();
    let mut end = 0;
    for c in text.chars() {
        if wanted.peek().is_none() {
            break;
        }
        for lower in c.to_lowercase() {
            if wanted.next() != Some(lower) {
                return None;
            }
        }
        end += c.len_utf8();
    }
    wanted.peek().is_none().then_some(end)
}
