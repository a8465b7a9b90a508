//! Masking: rules and the facts of a catalog become a plan; a row goes in, a masked row comes out.
//!
//! It is pure: no server, no file, no clock. Fictions are keyed: equal values of one domain of
//! rules get equal fictions in each table, run and machine, so that joins hold.

pub mod canonical;
mod cast;
pub mod catalog;
pub mod charset;
pub mod condition;
pub mod dates;
pub mod definition;
pub mod draw;
pub mod finding;
mod forms;
pub mod key;
pub mod literals;
pub mod making;
pub mod operand;
pub mod permute;
pub mod plan;
pub mod row;
pub mod rules;
pub mod template;
pub mod transformer;
pub mod transformers;
pub mod types;
pub mod vocabulary;
