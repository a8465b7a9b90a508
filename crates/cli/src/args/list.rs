//! Arguments of `pgark list`.

use clap::{Args as ClapArgs, ValueEnum};

use super::repository::{Past, Repository};
use super::text::text;
use super::which::OfCluster;
use crate::when::{Moment, moment};

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark list --repo /backup/main
  pgark list --repo /backup/main --database shop --since 2026-11-01 --last 10
  pgark list --repo /backup/main --tag pinned --wide
  pgark list --repo /backup/main --json
  pgark list --repo /backup/main --times

Oldest first. TIME is when the snapshot was taken, in this host's time zone (--utc: in UTC). The list fits the terminal, or 100 \
columns where there is none: ids are cut to what is unique, and other databases than the first are counted. --wide shows all.

A backup made with filters is marked `partial`: `latest` means it only with --partial. One made while its host's clock was wrong \
(ahead of the storage's by more than an hour) is marked `clock ahead`: `latest` never means it.

Exit codes: 0 listed; 1 failed; 2 wrong usage.")]
pub struct List {
    /// Only backups that contain this database; may be given several times
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub database: Vec<String>,
    /// Only backups whose snapshot is of then or later: a date, a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// Only backups whose snapshot is of then or earlier; a date includes its whole day
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Moment>,
    /// Only backups with this status
    #[arg(long, value_enum)]
    pub status: Option<Status>,
    /// Only backups with this tag; may be given several times: any of them
    #[arg(long, value_name = "TAG", value_parser = text())]
    pub tag: Vec<String>,
    /// List the moments that can be recovered with archived WAL instead: from when to when, and
    /// restore points
    #[arg(long, conflicts_with_all = ["database", "since", "until", "status", "tag", "last", "wide"])]
    pub times: bool,
    /// Only the newest N
    #[arg(long, value_name = "N")]
    pub last: Option<u32>,
    /// Show everything: whole ids, all databases, what each backup added and how long it took
    #[arg(short, long)]
    pub wide: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub of: OfCluster,
    #[command(flatten)]
    pub past: Past,
    #[command(flatten)]
    pub repository: Repository,
}

/// What `--status` takes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Status {
    /// All that was asked for is in it
    Complete,
    /// Something is missing
    Incomplete,
}
