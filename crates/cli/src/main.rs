//! The program `pgark`: arguments in, one action, output and an exit code out.
//!
//! `main` reads the arguments, [`run`] names every action; each action's file in `commands` turns arguments into a request
//! of `pgark_ops` and shows what came back. Errors become words and an exit code in one place, `error`.

mod args;
mod commands;
mod environment;
mod error;
mod output;
mod progress;
mod repository;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use args::{Action, Args};
use commands::{backup, check, diff, export, import, init, inspect, restore, shell};
use error::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    let json = args.wants_json();
    progress::start_log(&args.common);
    match run(args) {
        Ok(code) => code,
        Err(failure) => error::report(&failure, json),
    }
}

/// The whole program.
fn run(args: Args) -> Result<ExitCode, Failure> {
    let common = &args.common;
    match args.action {
        Action::Init(args) => init::run(common, args),
        Action::Backup(args) => backup::run(common, args),
        Action::Restore(args) => restore::run(common, args),
        Action::Export(args) => export::run(common, args),
        Action::Import(args) => import::run(common, args),
        Action::List(args) => inspect::list(common, args),
        Action::Show(args) => inspect::show(common, args),
        Action::Diff(args) => diff::run(common, args),
        Action::Ls(args) => inspect::ls(common, args),
        Action::Cat(args) => inspect::cat(common, args),
        Action::Check(args) => check::run(common, args),
        Action::Completions(args) => shell::completions(args),
        Action::Man(args) => shell::man(args),
    }
}
