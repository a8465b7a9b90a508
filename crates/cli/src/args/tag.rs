//! Arguments of `pgark tag`.

use clap::{ArgGroup, Args as ClapArgs};

use super::repository::Repository;
use super::text::text;
use super::which::Which;

#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("change").multiple(true), after_help = "Examples:
  pgark tag latest --add pinned --repo /backup/main      # no retention rule and no `forget` removes it
  pgark tag 4f0c --add release-8.1 --remove pinned --repo /backup/main

Prints each backup's tags. Without --add and --remove nothing is changed.

Exit codes: 0 done; 1 failed; 2 wrong usage.")]
pub struct Tag {
    /// Backup: its id, a unique prefix of at least 4 digits, or `latest`; `latest:DB` or `ID:DB`
    /// means one database of it
    #[arg(value_name = "ID", required = true, value_parser = text())]
    pub backups: Vec<String>,
    /// Add this tag; may be given several times
    #[arg(long, value_name = "TAG", value_parser = tag, group = "change")]
    pub add: Vec<String>,
    /// Remove this tag; may be given several times
    #[arg(long, value_name = "TAG", value_parser = tag, group = "change")]
    pub remove: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub repository: Repository,
}

/// A tag is a word.
fn tag(text: &str) -> Result<String, String> {
    let fits = !text.is_empty()
        && text.len() <= 64
        && text.chars().all(|letter| letter.is_alphanumeric() || "._:-+".contains(letter));
    if fits { Ok(text.to_string()) } else { Err("a tag has 1 to 64 letters, digits and . _ : - +".into()) }
}
