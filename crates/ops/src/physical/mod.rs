//! Physical backups: the data directory of a cluster, by its pages, and the WAL that makes it
//! consistent.

pub mod backup;
pub(crate) mod diff;
pub(crate) mod files;
mod owners;
mod places;
pub mod restore;
mod start;
