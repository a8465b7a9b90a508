//! `pgark config`.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crate::args::{Common, Config as Args, ConfigAction, ConfigCheck, ConfigShow};
use crate::commands::config_init;
use crate::config::{self, Keys, Typed};
use crate::convert;
use crate::error::Failure;
use crate::json::Document;
use crate::output::{self, Align};

/// Shows, checks, prints or converts configuration files.
pub fn run(common: &Common, args: Args) -> Result<ExitCode, Failure> {
    match args.action {
        ConfigAction::Show(args) => show(common, args)?,
        ConfigAction::Check(args) => check(common, args)?,
        ConfigAction::Default => {
            std::io::stdout().lock().write_all(config::template().as_bytes()).map_err(Failure::output)?;
        }
        ConfigAction::Init(args) => config_init::run(&args)?,
        ConfigAction::Convert(args) => convert::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check(common: &Common, args: ConfigCheck) -> Result<(), Failure> {
    let found = config::load(common.config.as_deref())?;
    let file = found.path.map(|path| path.display().to_string());
    let places = if file.is_none() { config::usual_places() } else { Vec::new() };
    let searched: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
    let (repositories, clusters) = (found.repositories.len(), found.clusters.len());
    if args.json {
        return output::json(&Document::ConfigCheck { file, searched: &searched, repositories, clusters });
    }
    match file {
        Some(path) => {
            output::line(&format!("{path}: no problem ({repositories} repositories, {clusters} clusters)"))
        }
        None => output::line(&format!("no configuration file found: searched {}", searched.join(", "))),
    }
}

fn show(common: &Common, args: ConfigShow) -> Result<(), Failure> {
    let keys = Keys::all();
    let names_command =
        args.words.first().is_some_and(|word| word.to_str().is_some_and(|word| !word.starts_with('-')));
    let default = (!names_command).then(|| OsString::from("backup"));
    let words = [OsString::from("pgark")].into_iter().chain(default).chain(args.words).collect();
    // What is wrong with these options is said as if the command itself had been typed.
    let typed = Typed::read(words)?;
    let command = typed.command();
    if !keys.commands().contains(&command) {
        return Err(Failure::usage(
            format!("no setting of the file applies to `pgark {command}`"),
            "name a command that works on a repository, for example `pgark config show restore`",
        ));
    }
    let file = typed.file();
    let config = config::load(file.or_else(|| common.config.clone()).as_deref())?;
    let cluster = typed.text("cluster");
    if let Some(name) = cluster.filter(|name| !config.clusters.contains_key(name)) {
        tracing::info!("no section [clusters.{name}]");
    }
    let values = config::effective(&config, &typed);
    if typed.flag("json") {
        return output::json(&Document::ConfigShow { values: &values });
    }
    let rows: Vec<Vec<String>> =
        values.into_iter().map(|value| vec![value.key, value.value, value.layer]).collect();
    output::table(&[("KEY", Align::Left), ("VALUE", Align::Left), ("FROM", Align::Left)], &rows)
}
