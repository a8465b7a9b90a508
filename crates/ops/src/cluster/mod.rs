//! The cluster that is backed up, whatever is read of it: what it is called in a repository, which
//! of its servers was read and whose turn it is, what does not belong to a database, and what the
//! operator will be told.

pub(crate) mod described;
pub(crate) mod name;
mod report;
mod server;
pub(crate) mod settings;
pub(crate) mod turn;

pub(crate) use report::Report;
pub use turn::Beside;
