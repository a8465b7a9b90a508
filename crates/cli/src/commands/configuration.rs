//! `pgark config`.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crate::args::{Common, Config as Args, ConfigAction, ConfigShow};
use crate::commands::config_init;
use crate::config::{self, Keys, Typed};
use crate::convert;
use crate::error::Failure;
use crate::output::{self, Align};

/// Shows, checks, prints or converts configuration files.
pub fn run(common: &Common, args: Args) -> Result<ExitCode, Failure> {
    match args.action {
        ConfigAction::Show(args) => show(common, args)?,
        ConfigAction::Check => {
            let found = config::load(common.config.as_deref())?;
            match found.path {
                Some(path) => output::line(&format!(
                    "{}: no problem ({} repositories, {} clusters)",
                    path.display(),
                    found.repositories.len(),
                    found.clusters.len()
                ))?,
                None => {
                    let places: Vec<String> =
                        config::usual_places().iter().map(|path| path.display().to_string()).collect();
                    output::line(&format!("no configuration file found: searched {}", places.join(", ")))?;
                }
            }
        }
        ConfigAction::Default => {
            std::io::stdout().lock().write_all(config::template().as_bytes()).map_err(Failure::output)?;
        }
        ConfigAction::Init(args) => config_init::run(&args)?,
        ConfigAction::Convert(args) => convert::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(common: &Common, args: ConfigShow) -> Result<(), Failure> {
    let keys = Keys::all();
    let names_command =
        args.words.first().is_some_and(|word| word.to_str().is_some_and(|word| !word.starts_with('-')));
    let default = (!names_command).then(|| OsString::from("backup"));
    let words = [OsString::from("pgark")].into_iter().chain(default).chain(args.words).collect();
    // What is wrong with these options is said as if the command itself had been typed.
    let typed = Typed::read(words).unwrap_or_else(|error| error.exit());
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
        return output::json(&values);
    }
    let rows: Vec<Vec<String>> =
        values.into_iter().map(|value| vec![value.key, value.value, value.layer]).collect();
    output::table(&[("KEY", Align::Left), ("VALUE", Align::Left), ("FROM", Align::Left)], &rows)
}
