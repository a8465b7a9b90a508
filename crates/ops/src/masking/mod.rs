//! Masking: rules files are read, checked, tried and locked. `logical::backup` applies them.
//!
//! Rules say what becomes of each column (docs/masking.md). Against the facts of a database, from a
//! live server, a backup or a lock, they become a plan, or findings: everything that is wrong at
//! once. No finding, log line, error or report shows a plain value, but for [`preview`] and
//! [`value`], which are asked for it.

pub mod check;
mod facts;
mod key;
pub mod preview;
mod rules;
pub(crate) mod session;
pub mod test;
pub mod transformers;
pub mod value;

pub use facts::Facts;
pub use rules::{LOCK, Loaded, RulesFile, load};
