//! How a server is reached: as in psql, so `-h` is the host, and help is `--help` only.

use clap::{ArgAction, Args as ClapArgs};

use super::text::text;

/// Heading of the options that say which server.
pub const SERVER: &str = "Server";

/// How to reach the server.
#[derive(Debug, Default, ClapArgs)]
#[command(disable_help_flag = true)]
pub struct Server {
    /// Server host or socket directory
    #[arg(short = 'h', long, value_name = "HOST", help_heading = SERVER)]
    pub host: Option<String>,
    /// Server port
    #[arg(short = 'p', long, value_name = "PORT", help_heading = SERVER)]
    pub port: Option<String>,
    /// Role to connect as
    #[arg(short = 'U', long, value_name = "NAME", value_parser = text(), help_heading = SERVER)]
    pub username: Option<String>,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}
