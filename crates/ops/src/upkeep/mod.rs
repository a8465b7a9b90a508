//! Care of a repository that has backups: which of them stay, what is deleted, what is damaged, who
//! opens it.

pub mod check;
pub mod copy;
pub mod freshness;
pub mod keys;
pub mod prune;
pub mod repair;
pub mod retention;
pub mod sessions;
