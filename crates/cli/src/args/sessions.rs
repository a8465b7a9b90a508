//! Arguments of `pgark sessions`.

use clap::Args as ClapArgs;

use super::repository::Repository;
use super::text::text;

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark sessions --repo /backup/main
  pgark sessions --repo /backup/main --end 4f0c9a11

A backup, import, copy or repair that is at work has a session in the repository, which it renews every five minutes. States:
  at work  renewed within fifteen minutes
  silent   not renewed for longer: its host, or the network between, has a problem
  gone     its process ran on this host, and has ended without removing the session
  dead     not renewed for an hour
  over     its backup is committed; credentials without delete permission leave such sessions behind
`pgark prune` does not delete data that was marked after a session began, while that session is at work, silent or gone. A
backup with `pgark backup --wait` waits for backups of its cluster that are at work.

Ending a session never damages a backup. If its writer is still alive, it continues, and commits its backup only if nothing that
the backup needs was deleted; otherwise it fails.

Exit codes: 0 done; 1 failed, or the session is at work (--force); 2 wrong usage; 130 interrupted.")]
pub struct Sessions {
    #[command(flatten)]
    pub repository: Repository,
    /// End this session, whose host or process is dead: an id, or a unique prefix of at least 4
    /// digits
    #[arg(long, value_name = "ID", value_parser = text())]
    pub end: Option<String>,
    /// With --end: even if the session was renewed within fifteen minutes
    #[arg(long, requires = "end")]
    pub force: bool,
    /// Print the sessions as JSON
    #[arg(long)]
    pub json: bool,
}
