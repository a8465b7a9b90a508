//! Arguments of `pgark config`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::text::text;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark config init
  pgark config default > /etc/pgark/pgark.toml
  pgark config check --config /etc/pgark/pgark.toml
  pgark config show --cluster prod
  pgark config convert /etc/pg_back/pg_back.conf > pgark.toml

Flags override the environment, the environment the file, the file the defaults.

Exit codes: 0 done; 1 failed; 2 wrong usage, or errors in the file.")]
pub struct Config {
    #[command(subcommand)]
    pub action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Print the settings a command would use, and where each value comes from
    Show(ConfigShow),
    /// Ask five questions on the terminal, and write a file of the answers
    #[command(after_help = "Examples:
  pgark config init
  pgark config init --output /etc/pgark/pgark.toml

Asked are: where the repository is, how the server is reached, which databases are backed up, what opens the backups, and how many
are kept. Nothing is tried, and an existing file is not changed. Enter takes the value in brackets.")]
    Init(ConfigInit),
    /// Check the file: unknown keys, wrong types, with the line and the nearest valid key
    #[command(after_help = "Examples:
  pgark config check
  pgark config check --config ./pgark.toml")]
    Check(ConfigCheck),
    /// Print a file with every key, its default and what it is for
    #[command(after_help = "Examples:
  pgark config default > /etc/pgark/pgark.toml")]
    Default,
    /// Turn another program's configuration into pgark.toml: pg_back.conf, a pg_back 1 file,
    /// Greenmask's YAML
    #[command(after_help = "Examples:
  pgark config convert /etc/pg_back/pg_back.conf > pgark.toml
  pgark config convert greenmask.yml --cluster staging

What cannot be converted is listed on standard error and in comments at the end.")]
    Convert(Convert),
}

#[derive(Debug, ClapArgs)]
pub struct ConfigInit {
    /// New file (default: pgark.toml in this user's configuration folder)
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark config show --cluster prod
  pgark config show --cluster prod --jobs 8 --json
  pgark config show restore --cluster prod

Takes the command's own options; the command is not run.")]
pub struct ConfigShow {
    /// A command and options of it (default: backup)
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

#[derive(Debug, ClapArgs)]
pub struct ConfigCheck {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Convert {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Program the file belongs to (default: detected from its content)
    #[arg(long, value_enum, value_name = "PROGRAM")]
    pub from: Option<Foreign>,
    /// Name of the cluster's section
    #[arg(long, value_name = "NAME", default_value = "main", value_parser = text())]
    pub cluster: String,
}

/// Whose configuration is converted.
#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum Foreign {
    /// pg_back 2: pg_back.conf
    #[value(name = "pg_back")]
    PgBack,
    /// pg_back 1: a file of shell variables
    #[value(name = "pg_back1")]
    PgBack1,
    /// Greenmask: YAML or JSON
    Greenmask,
}
