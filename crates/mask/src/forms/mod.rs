//! The text forms of values that hold other values: arrays, ranges, composites, hstore, JSON.
//!
//! Each form is walked from its first byte to its last; what is not a value is copied as it is.

pub mod array;
pub mod composite;
pub mod hstore;
pub mod json;
pub mod range;
mod token;

use crate::transformer::Refusal;

/// Writes the new text of an inner value; false: it becomes NULL. None is NULL itself.
pub type Each<'e> = &'e mut dyn FnMut(Option<&str>, &mut String) -> Result<bool, Refusal>;

/// Writes the new text of an inner value that has a name.
pub type Named<'e> = &'e mut dyn FnMut(&str, Option<&str>, &mut String) -> Result<bool, Refusal>;

/// The text is not of the form that its type has.
fn malformed(form: &str) -> Refusal {
    Refusal::new(format!("the value is not valid {form}"))
}

#[cfg(test)]
mod tests;
