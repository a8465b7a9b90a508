//! The program `pgark`: arguments in, one action, output and an exit code out.
//!
//! `main` reads the arguments, [`run`] names every action; each action's file in `commands` turns arguments into a request
//! of `pgark_ops` and shows what came back. Errors become words and an exit code in one place, `error`.

mod args;
mod commands;
mod config;
mod convert;
mod environment;
mod error;
mod output;
mod progress;
mod repository;
mod signals;
mod storage;
mod visible;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches};

use args::{Action, Args, ConfigAction};
use commands::{
    backup, check, configuration, copy, diff, export, import, init, inspect, keys, repair, restore, shell,
    storage_test, upkeep,
};
use error::Failure;

fn main() -> ExitCode {
    pgark_ops::environment_is(environment::all());
    let matches = Args::command().get_matches();
    let args = match Args::from_arg_matches(&matches) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    let json = args.wants_json();
    let left = args.action.left_by_interrupt();
    progress::start_log(&args.common);
    match run(args, &matches) {
        Ok(code) => code,
        Err(failure) => error::report(&failure, json, left),
    }
}

/// The whole program.
fn run(mut args: Args, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let config = match &args.action {
        // They look at files of their own, or at none.
        Action::Config(args::Config {
            action: ConfigAction::Check | ConfigAction::Convert(_) | ConfigAction::Default,
        })
        | Action::Completions(_)
        | Action::Man(_) => config::Config::default(),
        _ => config::load(args.common.config.as_deref())?,
    };
    config::apply(&config, &mut args.action, matches)?;
    if let (as_of @ Some(_), Some(repository)) = (args.action.as_of(), args.action.repository_mut()) {
        repository.as_of = as_of;
    }
    let common = &args.common;
    match args.action {
        Action::Init(args) => init::run(common, args, &config),
        Action::Storage(args) => storage_test::run(common, args, &config),
        Action::Backup(args) => backup::run(common, args, &config),
        Action::Restore(args) => restore::run(common, args),
        Action::Export(args) => export::run(common, args),
        Action::Import(args) => import::run(common, args),
        Action::List(args) => inspect::list(common, args),
        Action::Show(args) => inspect::show(common, args),
        Action::Diff(args) => diff::run(common, args),
        Action::Ls(args) => inspect::ls(common, args),
        Action::Cat(args) => inspect::cat(common, args),
        Action::Check(args) => check::run(common, args),
        Action::Forget(args) => upkeep::forget(common, args),
        Action::Prune(args) => upkeep::prune(common, args),
        Action::Tag(args) => upkeep::tag(common, args),
        Action::Key(args) => keys::run(common, args),
        Action::Repair(args) => repair::run(common, args),
        Action::Copy(args) => copy::run(common, args, &config),
        Action::Stats(args) => upkeep::stats(common, args),
        Action::Config(args) => configuration::run(common, args, &config, matches),
        Action::Completions(args) => shell::completions(args),
        Action::Man(args) => shell::man(args),
    }
}
