//! `pgark config`.

use std::io::Write;
use std::process::ExitCode;

use clap::ArgMatches;

use crate::args::{Common, Config as Args, ConfigAction};
use crate::config::{self, Config, schema};
use crate::convert;
use crate::error::Failure;
use crate::output::{self, Align};

/// Shows, checks, prints or converts configuration files.
pub fn run(common: &Common, args: Args, config: &Config, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    match args.action {
        ConfigAction::Show(backup) => {
            if let Some(name) = backup.cluster.as_ref().filter(|name| !config.clusters.contains_key(*name)) {
                tracing::info!("there is no section [clusters.{name}]");
            }
            let values = config::effective(config, &backup, matches);
            if backup.json {
                output::json(&values)?;
                return Ok(ExitCode::SUCCESS);
            }
            let rows: Vec<Vec<String>> =
                values.into_iter().map(|value| vec![value.key, value.value, value.layer]).collect();
            output::table(&[("KEY", Align::Left), ("VALUE", Align::Left), ("FROM", Align::Left)], &rows)?;
        }
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
                    output::line(&format!("there is no file: looked for {}", places.join(", ")))?;
                }
            }
        }
        ConfigAction::Default => {
            std::io::stdout().lock().write_all(schema::template().as_bytes()).map_err(Failure::output)?;
        }
        ConfigAction::Convert(args) => convert::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}
