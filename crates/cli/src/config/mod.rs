//! `pgark.toml`: options that need not be typed. Flags win over the environment, the environment
//! over the file, the file over the defaults.
//!
//! The file is found by `--config`, `PGARK_CONFIG`, in this user's configuration folder, or in
//! `/etc/pgark`. It is read whole and checked against clap's options (`keys`) before anything is
//! done: an unknown key is an error, not a surprise at 3 a.m. Its settings become options of the
//! command that runs (`layers`); what it says of a repository applies to each command that names
//! the repository (`repositories`).

mod file;
mod keys;
mod layers;
mod repositories;
mod show;
mod template;
#[cfg(test)]
mod tests;
mod typed;
mod value;

use std::path::{Path, PathBuf};

use crate::error::Failure;
use crate::{environment, tilde};

pub use file::{Config, Problem};
pub use keys::Keys;
pub use layers::{Layers, Wrong};
pub use show::{Effective, effective};
pub use template::template;
pub use typed::{Arguments, Typed};

/// Where the file of the whole host lies.
const OF_HOST: &str = "/etc/pgark/pgark.toml";

/// Reads the file that applies; an empty configuration if there is none. One that was named must be
/// there.
pub fn load(named: Option<&Path>) -> Result<Config, Failure> {
    let path = match named {
        Some(path) => {
            tilde::refuse("--config", path.as_os_str())?;
            path.to_path_buf()
        }
        None => match usual_places().into_iter().find(|path| path.is_file()) {
            Some(path) => path,
            None => return Ok(Config::default()),
        },
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|source| Failure::input(format!("read the configuration {}", path.display()), source))?;
    Config::parse(&path, &text).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
        Failure::usage(lines.join("\n"), "`pgark config default` prints every key with its default")
    })
}

impl Config {
    /// Which file applies, for people: that it was read, or where one was looked for.
    pub fn whereabouts(&self) -> String {
        match &self.path {
            Some(path) => format!("{} was read", path.display()),
            None => {
                let places: Vec<String> =
                    usual_places().iter().map(|path| path.display().to_string()).collect();
                format!("no pgark.toml was found (looked for {})", places.join(", "))
            }
        }
    }
}

/// This user's file, then the host's.
pub fn usual_places() -> Vec<PathBuf> {
    let own = environment::configuration().map(|folder| folder.join("pgark.toml"));
    own.into_iter().chain([PathBuf::from(OF_HOST)]).collect()
}
