//! The program against real servers: round trips, PostgreSQL's traps, and bad input.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod catalog;
mod children;
mod choices;
mod clean;
mod cluster;
mod connections;
mod database_kinds;
mod definitions;
mod differences;
mod exports;
mod exports_in_part;
mod few_rights;
mod full_disk;
mod hints;
mod hostile_text;
mod imports;
mod in_part;
mod interrupts;
mod json;
mod keys;
mod lists;
mod locks;
mod masked_backups;
mod masking;
mod matrix;
mod names;
mod operators;
mod physical;
mod proportion;
mod readme;
mod repairs;
mod restore_order;
mod restore_traps;
mod retention;
mod round_trip;
mod row_maps;
mod salted;
mod settings;
mod storages;
#[allow(dead_code, reason = "shared with the tests of faults")]
mod support;
mod surroundings;
mod traps;
mod upkeep;
