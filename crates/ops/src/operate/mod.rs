//! What a routine does in one call: several operations in the order in which an operator wants
//! them, with one report.

pub mod hooks;
pub mod nightly;
pub mod tidy;
