//! `when`: a small typed language of our own, compiled against the columns of a table.
//!
//! It is a part of SQL with SQL's meaning: columns (`name`, `"Name"`, `masked.name` for a column's
//! fiction), numbers, `'text'`, `true`, `false`, `null`, `date '2020-01-01'`, `timestamp '…'`,
//! `timestamptz '…+00'`, `time '…'`; `= <> != < <= > >=`, `and or not`, `is [not] null`,
//! `is [not] true`, `[not] in (…)`, `[not] between … and …`, `[not] like`, `~` and `!~`;
//! `lower(…)`, `upper(…)`, `length(…)` and `coalesce(…)`. Precedence is PostgreSQL's (its manual,
//! section 4.1.6), and NULL is unknown.
//!
//! Where it is not PostgreSQL:
//!
//! * Types never become others by themselves, except numbers, and dates next to timestamps. What
//!   does not compare is a finding, as is an unknown column.
//! * Texts are compared by their bytes, citext in lower case. Which of two texts is less is the
//!   collation's business, which only the server knows: `<` and `between` on texts are refused.
//! * `lower` and `upper` map character by character, as the C library does in a UTF-8 locale.
//! * `~` is a pattern of Rust's `regex` crate; as in PostgreSQL, `.` takes a newline too.
//! * A comparison with the literal `null`, which can never be true, is refused.
//! * A date outside of what a timestamp can be compares with timestamps, and is no error.
//! * Timestamps with time zone need an offset in a literal, and do not compare with dates and
//!   timestamps without: the time zone is the session's, and a result must not depend on it.

mod check;
mod class;
mod decimal;
mod eval;
mod like;
mod moment;
mod syntax;
#[cfg(test)]
mod tests;
mod token;

use std::collections::BTreeSet;

use crate::finding::{Code, Finding, Place};
use crate::making::Read;
use crate::transformer::{Refusal, Row};
use crate::types::Target;

/// A condition of one table.
#[derive(Clone, Debug)]
pub struct Condition(check::Node);

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq)]
struct Fault {
    /// In characters, from 0.
    at: usize,
    code: Code,
    message: String,
    hint: String,
}

impl Fault {
    fn new(at: usize, message: impl Into<String>) -> Fault {
        Fault { at, code: Code::DoesNotCompile, message: message.into(), hint: String::new() }
    }

    fn hint(self, hint: impl Into<String>) -> Fault {
        Fault { hint: hint.into(), ..self }
    }
}

impl Condition {
    /// Compiles a condition against the columns of a table in the order of COPY. `place` is where
    /// its string begins in the rules file. What is wrong comes to `findings` (M007, M102), the
    /// columns that it reads to `reads`.
    pub fn compile(
        text: &str,
        place: Place,
        columns: &[(String, Target)],
        findings: &mut Vec<Finding>,
        reads: &mut BTreeSet<Read>,
    ) -> Option<Condition> {
        let compiled = match syntax::parse(text) {
            Ok(syntax) => check::check(&syntax, columns, reads),
            Err(fault) => Err(vec![fault]),
        };
        match compiled {
            Ok(node) => Some(Condition(node)),
            Err(faults) => {
                findings.extend(faults.into_iter().map(|fault| {
                    let message =
                        format!("at character {} of the condition: {}", fault.at + 1, fault.message);
                    Finding::new(fault.code, message).at(inside(text, place, fault.at)).hint(fault.hint)
                }));
                None
            }
        }
    }

    /// Whether it holds for a row; None: unknown. A value that is not in the form of its column's
    /// type is refused.
    pub fn holds(&self, row: &dyn Row) -> Result<Option<bool>, Refusal> {
        eval::truth(&self.0, row)
    }
}

/// The place of a character of a string: behind its opening quote, as far as the string has no
/// character that TOML may write as several; else where the string begins.
fn inside(text: &str, place: Place, at: usize) -> Place {
    let is_plain = |sign: char| !sign.is_control() && !matches!(sign, '"' | '\\' | '$');
    if text.chars().take(at).all(is_plain) {
        Place { column: place.column + 1 + at as u32, ..place }
    } else {
        place
    }
}
