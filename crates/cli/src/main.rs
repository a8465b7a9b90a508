//! The program `pgark`: arguments in, one action, output and an exit code out.
//!
//! `main` reads the arguments and what the file adds to them, [`run`] names every action; each
//! action's file in `commands` turns arguments into a request of `pgark_ops` and shows what came
//! back. Errors become words and an exit code in one place, `error`.

mod args;
mod commands;
mod config;
mod context;
mod convert;
mod environment;
mod error;
mod hints;
mod host;
mod json;
mod log;
mod output;
mod progress;
mod recipients;
mod repository;
mod restore_command;
mod secrets;
mod server;
mod signals;
mod storage;
mod terminal;
mod tilde;
mod values;
mod version;
mod visible;
mod when;

use std::ffi::OsString;
use std::process::ExitCode;

use args::Action;
use commands::{
    backup, check, configuration, copy, diff, export, import, init, inspect, interrupted, keys, list, mask,
    repair, restore, restore_point, sessions, shell, storage_test, trust, upkeep, wal,
};
use config::{Arguments, Config, Keys, Layers, Typed, Wrong};
use context::Context;
use error::Failure;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let Some(answers) = wal::answers(&words) else { return program(words) };
    error::answers_are(answers);
    // A server takes the exit code of a panic for "there is no such file".
    std::panic::catch_unwind(|| program(words)).unwrap_or_else(|_| error::panicked())
}

fn program(words: Vec<OsString>) -> ExitCode {
    pgark_ops::environment_is(environment::all());
    pgark_ops::host_is(host::this());
    pgark_ops::asker_is(Box::new(terminal::Person));
    if let Some(help) = args::short_help(&words) {
        let shown = help.lines().try_for_each(output::line);
        return shown.map_or_else(|failure| error::report(&failure, false, ""), |()| ExitCode::SUCCESS);
    }
    // If the command line or the file cannot be read, only this is known.
    let wants_json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let typed = match Typed::read(words) {
        Ok(typed) => typed,
        Err(error) => return error::report(&error.into(), wants_json, ""),
    };
    let (arguments, config) = match arguments(&typed) {
        Ok(found) => found,
        Err(Wrong::Typed(error)) => return error::report(&error.into(), wants_json, ""),
        Err(Wrong::File(failure)) => return error::report(&failure, wants_json, ""),
    };
    let (json, args) = (arguments.json(), arguments.args);
    let left = interrupted::leaves(&args.action);
    if args.common.utc {
        when::use_utc();
    }
    if let Err(log::NoFile { path, source }) = log::start(&args.common) {
        let failure = Failure::file(format!("open the log file {}", path.display()), source);
        return error::report(&failure, json, left);
    }
    let context = Context { common: args.common, config };
    run(&context, args.action).unwrap_or_else(|failure| error::report(&failure, json, left))
}

/// What was typed, with what the file adds.
fn arguments(typed: &Typed) -> Result<(Arguments, Config), Wrong> {
    let config = match Layers::reads_file(typed) {
        true => config::load(typed.file().as_deref()).map_err(Wrong::File)?,
        false => Config::default(),
    };
    let arguments = match Layers::of(&config, typed) {
        Some(layers) => layers.arguments()?,
        None => typed.arguments().map_err(Wrong::Typed)?,
    };
    if let Some(command) = Keys::all().command(&typed.command()) {
        tilde::refuse_in(command, arguments.matches()).map_err(Wrong::File)?;
    }
    Ok((arguments, config))
}

/// The whole program.
fn run(context: &Context, action: Action) -> Result<ExitCode, Failure> {
    match action {
        Action::Init(args) => init::run(context, args),
        Action::Storage(args) => storage_test::run(context, args),
        Action::Backup(args) => backup::run(context, *args),
        Action::Restore(args) => restore::run(context, *args),
        Action::RestorePoint(args) => restore_point::run(context, args),
        Action::Export(args) => export::run(context, args),
        Action::Import(args) => import::run(context, args),
        Action::List(args) => list::run(context, args),
        Action::Show(args) => inspect::show(context, args),
        Action::Diff(args) => diff::run(context, args),
        Action::Ls(args) => inspect::ls(context, args),
        Action::Cat(args) => inspect::cat(context, args),
        Action::Check(args) => check::run(context, args),
        Action::Forget(args) => upkeep::forget(context, args),
        Action::Prune(args) => upkeep::prune(context, args),
        Action::Trust(args) => trust::run(context, args),
        Action::Tag(args) => upkeep::tag(context, args),
        Action::Sessions(args) => sessions::run(context, args),
        Action::Key(args) => keys::run(context, args),
        Action::Repair(args) => repair::run(context, args),
        Action::Copy(args) => copy::run(context, args),
        Action::Mask(args) => mask::run(context, args),
        Action::Wal(args) => wal::run(context, args),
        Action::Stats(args) => upkeep::stats(context, args),
        Action::Config(args) => configuration::run(&context.common, args),
        Action::Completions(args) => shell::completions(args),
        Action::Man(args) => shell::man(args),
    }
}
