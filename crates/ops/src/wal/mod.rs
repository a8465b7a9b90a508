//! Archived WAL: taken from a server by its `archive_command`, given back by its `restore_command`,
//! and proved to be without gaps.
//!
//! `archive` finds the archive of a server in a repository, `archived` what is in it, `file` knows
//! what a file must be like, `facts` what is said of it. `push`, `receive`, `fetch`, `check` and
//! `adopt` are what an operator asks for.

pub mod adopt;
pub mod ahead;
mod archive;
mod archived;
pub(crate) mod candidate;
pub mod check;
pub(crate) mod copy;
mod deadline;
mod facts;
pub mod fetch;
mod file;
mod path;
pub mod point;
pub mod push;
pub mod receive;
pub mod restore_point;
pub(crate) mod retention;
mod said;
pub mod times;
mod unfinished;
