//! One file per command: arguments become a request, what comes back becomes output.

pub mod backup;
pub mod backup_plan;
pub mod check;
pub mod config_init;
pub mod configuration;
pub mod copy;
pub mod diff;
pub mod directory_diff;
pub mod directory_plan;
pub mod export;
pub mod import;
pub mod init;
pub mod inspect;
pub mod interrupted;
pub mod keys;
pub mod list;
pub mod mask;
pub mod physical;
pub mod repair;
pub mod restore;
pub mod selection;
pub mod sessions;
pub mod shell;
pub mod storage_test;
pub mod trust;
pub mod upkeep;
