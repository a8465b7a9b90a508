//! Arguments of what a repository needs over the years: `forget`, `prune`, `tag`, `stats`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args as ClapArgs, Subcommand};

use super::text::text;
use super::{OfCluster, Repository, Which, duration};

/// What a policy keeps.
#[derive(Clone, Debug, Default, ClapArgs, PartialEq, Eq)]
#[command(next_help_heading = "What stays (each rule adds to the others)")]
pub struct Keep {
    /// The newest N
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_last: u32,
    /// The newest of each of N hours
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_hourly: u32,
    /// The newest of each of N days
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_daily: u32,
    /// The newest of each of N weeks
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_weekly: u32,
    /// The newest of each of N months
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_monthly: u32,
    /// The newest of each of N years
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_yearly: u32,
    /// All of so long before the newest: 36h, 30d, 8w
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub keep_within: Option<Duration>,
    /// Never fewer than N
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_min: u32,
    /// Those with this tag; may be given several times
    #[arg(long, value_name = "TAG")]
    pub keep_tag: Vec<String>,
    /// A database that was dropped: keep its last backup for so long (default: 7d; 0 for not at all)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub keep_dropped: Option<Duration>,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run
  pgark forget --keep-within 30d --keep-min 3 --prune
  pgark forget --cluster prod              # by the policy of [clusters.prod] in pgark.toml
  pgark forget 4f0c9a11

Backups that hold the same database of a cluster, made with the same filters, are judged together; a backup of several databases is
kept if one of them needs it. Incomplete backups are ignored by the rules. The newest complete backup of each database, and any
backup tagged `pinned`, are always kept. A database that newer backups of the whole cluster do not hold was dropped: its last
backup is kept for --keep-dropped, then the rules apply. A backup that was made while its host's clock was ahead is kept and
counted by no rule; remove it by its ID. Days and weeks are those of UTC. Space is freed by `pgark prune`, or with --prune.

Exit codes: 0 done; 1 failed; 2 wrong usage; 130 interrupted.")]
pub struct Forget {
    /// Forget these: an id, or a unique prefix of at least 4 digits
    #[arg(value_name = "ID", conflicts_with_all = ["keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "keep_within", "keep_min", "keep_tag", "keep_dropped"], value_parser = text())]
    pub backups: Vec<String>,
    #[command(flatten)]
    pub repository: Repository,
    #[command(flatten)]
    pub of: OfCluster,
    #[command(flatten)]
    pub keep: Keep,
    /// With ID: even if no good backup of the same databases is left
    #[arg(long, requires = "backups")]
    pub even_last: bool,
    /// Show what would be forgotten, and why
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Then free the space, as `pgark prune` does
    #[arg(long)]
    pub prune: bool,
    /// Print the decisions as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark prune --repo /backup/main
  pgark prune --repo /backup/main --dry-run
  pgark prune --repo /backup/main --erase --grace 0      # deleted rows must go now; no other host is at work

Needs no lock and runs beside backups and restores of any host: what nobody needs is marked, and a prune that runs later than the
grace time deletes it. Chunks are moved sealed: the writer key suffices.

While a manifest, a list or a draft cannot be read, nobody knows what it needs: nothing is deleted then, and it is named. `pgark forget ID`
lets go of such a backup; `pgark repair backups` replaces one of which only a part is lost.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 something could not be deleted, because the storage did not let it, or because a backup
that cannot be read may need it; 130 interrupted.")]
pub struct Prune {
    #[command(flatten)]
    pub repository: Repository,
    /// How long what nobody needs waits before it is deleted
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    pub grace: Duration,
    /// Packs of which less than this share is needed are packed anew
    #[arg(long, value_name = "PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub repack_below: u8,
    /// Leave no chunk that nobody needs, whatever it costs to move the others
    #[arg(long)]
    pub erase: bool,
    /// Show what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("change").multiple(true), after_help = "Examples:
  pgark tag latest --add pinned --repo /backup/main      # no policy and no `forget` removes it
  pgark tag 4f0c --add release-8.1 --remove pinned --repo /backup/main

Prints each backup's tags. Without --add and --remove nothing is changed.

Exit codes: 0 done; 1 failed; 2 wrong usage.")]
pub struct Tag {
    /// Backup: its id, a unique prefix of at least 4 digits, `latest` or `latest:DB`
    #[arg(value_name = "ID", required = true, value_parser = text())]
    pub backups: Vec<String>,
    #[command(flatten)]
    pub repository: Repository,
    #[command(flatten)]
    pub which: Which,
    /// Add this tag; may be given several times
    #[arg(long, value_name = "TAG", value_parser = tag, group = "change")]
    pub add: Vec<String>,
    /// Remove this tag; may be given several times
    #[arg(long, value_name = "TAG", value_parser = tag, group = "change")]
    pub remove: Vec<String>,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark stats --repo /backup/main
  pgark stats --repo /backup/main --json

The writer key suffices. `unique` counts every chunk that a backup needs once, as it was read; `sealed` is the same, compressed and
encrypted; `stored` is all that lies on the storage.

Exit codes: 0 shown; 1 failed; 2 wrong usage; 130 interrupted.")]
pub struct Stats {
    #[command(flatten)]
    pub repository: Repository,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark repair index --repo /backup/main
  pgark repair backups --repo /backup/main --read-data
  pgark repair objects --repo /backup/main

First look: `pgark check --read-data`. A damaged chunk is stored anew by the next backup that meets it; `pgark backup --full` meets all.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 something is lost (it is named); 130 interrupted.")]
pub struct Repair {
    #[command(subcommand)]
    pub action: RepairAction,
}

#[derive(Debug, Subcommand)]
pub enum RepairAction {
    /// Make the index anew from the packs alone
    #[command(after_help = "Examples:
  pgark repair index --repo /backup/main

The writer key suffices; other hosts may be at work meanwhile.")]
    Index(RepairIndex),
    /// Replace backups of which something is lost by ones without it, incomplete and of the same time
    #[command(after_help = "Examples:
  pgark repair backups --repo /backup/main --dry-run
  pgark repair backups --repo /backup/main --read-data

Nothing that can still be read is dropped. A backup whose manifest is lost is named and left: `pgark forget ID` removes it.")]
    Backups(RepairBackups),
    /// Put missing or damaged second copies back, and remove what is provably nobody's
    #[command(after_help = "Examples:
  pgark repair objects --repo /backup/main --dry-run
  pgark repair objects --repo /backup/main

Manifests, tags, lists of writers, key slots and the header are stored twice. A copy that is missing or damaged is put again from the
good one. Removed is only what is provably nobody's: a manifest under another backup's name, drafts and tags of backups that are
forgotten. What cannot be read and may be a backup is named and left. The writer key suffices.")]
    Objects(RepairObjects),
}

#[derive(Debug, ClapArgs)]
pub struct RepairObjects {
    #[command(flatten)]
    pub repository: Repository,
    /// Show what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct RepairIndex {
    #[command(flatten)]
    pub repository: Repository,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct RepairBackups {
    #[command(flatten)]
    pub repository: Repository,
    /// Open every chunk first; else what is missing or of a wrong size counts as lost
    #[arg(long)]
    pub read_data: bool,
    /// Show what is lost of which backup
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("secret_there").multiple(false), after_help = "Examples:
  pgark copy /backup/main /mnt/second/main --identity identity.txt --to-writer-key second.key
  pgark copy main second --cluster prod --since 30d         # names of pgark.toml
  pgark copy main second --backup 4f0c9a11
  pgark copy /backup/main s3://second/main --to-storage-option region=eu-west-1 --limit-upload 20M

Chunks are read, verified and stored under the keys of the second repository, which deduplicates them anew. A backup that is there
already is passed over, so a copy that was broken off goes on where it was. Times and tags are kept. Reading needs the identity or
the passphrase of the first; writing, the writer key of the second (default: the one that `init` left on this host).

Exit codes: 0 all copied; 1 failed; 2 wrong usage; 3 some could not be read and are named; 130 interrupted.")]
pub struct Copy {
    /// Repository to read: a directory, a URL, or a name in pgark.toml
    #[arg(value_name = "SRC")]
    pub source: String,
    /// Repository to write
    #[arg(value_name = "DST")]
    pub target: String,
    /// age identity file that opens SRC (default: what PGARK_IDENTITY names)
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub identity: Option<PathBuf>,
    /// File whose first line is the passphrase of SRC
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Writer key file of DST
    #[arg(long, value_name = "FILE", group = "secret_there")]
    pub to_writer_key: Option<PathBuf>,
    /// age identity file that opens DST
    #[arg(long, value_name = "FILE", group = "secret_there")]
    pub to_identity: Option<PathBuf>,
    /// File whose first line is the passphrase of DST
    #[arg(long, value_name = "FILE", group = "secret_there")]
    pub to_passphrase_file: Option<PathBuf>,
    /// Storage option of SRC; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::storage::pair)]
    pub storage_option: Vec<(String, String)>,
    /// Storage option of DST; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::storage::pair)]
    pub to_storage_option: Vec<(String, String)>,
    /// Send at most so many bytes per second to DST: 500k, 20M
    #[arg(long, value_name = "RATE", value_parser = super::rate)]
    pub limit_upload: Option<u64>,
    /// Receive at most so many bytes per second from SRC: 500k, 20M
    #[arg(long, value_name = "RATE", value_parser = super::rate)]
    pub limit_download: Option<u64>,
    /// Only this backup: its id, or a unique prefix of at least 4 digits; may be given several times
    #[arg(long, value_name = "ID", value_parser = text())]
    pub backup: Vec<String>,
    #[command(flatten)]
    pub of: OfCluster,
    /// Only backups since then: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = super::moment)]
    pub since: Option<jiff::Timestamp>,
    /// Entries read and stored at once (default: the number of cores, at most 8)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// zstd level
    #[arg(long, value_name = "LEVEL", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=19))]
    pub compression_level: i32,
    /// Print the new backups as JSON
    #[arg(long)]
    pub json: bool,
}

/// A tag is a word.
fn tag(text: &str) -> Result<String, String> {
    let fits = !text.is_empty()
        && text.len() <= 64
        && text.chars().all(|letter| letter.is_alphanumeric() || "._:-+".contains(letter));
    if fits { Ok(text.to_string()) } else { Err("a tag has 1 to 64 letters, digits and . _ : - +".into()) }
}
