//! Arguments of `pgark completions` and `pgark man`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark completions bash > /etc/bash_completion.d/pgark
  pgark completions fish > ~/.config/fish/completions/pgark.fish")]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark man --output /usr/local/share/man/man1")]
pub struct Man {
    /// Folder for the pages
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
}
