//! Backups of what SQL shows: definitions, rows and large objects, taken through connections and
//! pg_dump.

pub mod backup;
mod choose;
mod contents;
pub(crate) mod diff;
pub mod export;
pub mod import;
pub(crate) mod mask_facts;
mod names;
mod psql;
pub mod restore;
pub mod rowmap;
pub(crate) mod toc;
mod whole;
