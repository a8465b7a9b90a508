//! Arguments of `pgark key`.

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, Subcommand};
use pgark_ops::Right;

use super::repository::Repository;
use super::text::text;
use crate::when::{Moment, moment};

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  pgark key list --repo /backup/main
  pgark key writer db7 --cluster prod --output db7.key --repo /backup/main --identity identity.txt
  pgark key revoke db7 --repo /backup/main --identity identity.txt
  pgark key rotate --repo /backup/main --identity identity.txt

Whoever has an identity or the passphrase (the owner) reads everything and manages keys. A writer key can back up, list, forget and
prune, but not read data. Slots are age files: stock age opens them.

Exit codes: 0 done; 1 failed; 2 wrong usage.")]
pub struct Key {
    #[command(subcommand)]
    pub action: KeyAction,
}

#[derive(Debug, Subcommand)]
pub enum KeyAction {
    /// List key slots and writers
    #[command(after_help = "Examples:
  pgark key list --repo /backup/main --json

The writer key is enough.")]
    List(KeyList),
    /// Add a key slot: an age recipient, or a passphrase
    #[command(after_help = "Examples:
  pgark key add --recipient age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq --identity identity.txt
  pgark key add --add-passphrase-file second-passphrase --identity identity.txt")]
    Add(KeyAdd),
    /// Remove a key slot
    #[command(after_help = "Examples:
  pgark key remove 4f0c9d2e --identity identity.txt
  pgark key remove age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq --identity identity.txt

Its owner may have saved the keys it opened: rotate the keys as well. What was written before can only be protected by `pgark copy` into a new
repository and deleting this one.")]
    Remove(KeyRemove),
    /// Use new keys for everything written from now on; existing data is not rewritten
    #[command(after_help = "Examples:
  pgark key rotate --identity identity.txt
  pgark key rotate --passphrase-file passphrase

Key slots are re-encrypted. Every host needs a new writer key: `pgark key writer NAME --output FILE`.")]
    Rotate(KeyRotate),
    /// Create a key for a host that backs up, and add it to the owner's list of writers
    #[command(after_help = "Examples:
  pgark key writer db7 --cluster prod --output db7.key --identity identity.txt

  pgark key writer db7 --cluster prod --rights backup --output db7.key --identity identity.txt

For a host that only backs up, --rights backup is enough: with that key nobody can make a backup disappear. forget removes backups and
changes their tags, prune frees space, check records what is damaged.

On that host: `pgark backup --writer-key db7.key`, or put it where `pgark init` writes its own. An existing writer of that name is revoked;
its backups stay valid.")]
    Writer(KeyWriter),
    /// Revoke a writer: nothing it writes from now on counts; its backups stay valid
    #[command(after_help = "Examples:
  pgark key revoke db7 --identity identity.txt
  pgark key revoke db7 --compromised-since 2026-11-20T00:00:00Z --identity identity.txt
  pgark key revoke db7 --compromised-since 3d --identity identity.txt

Without --compromised-since, everything the writer has written stays valid. With it, what the storage received from it at that time or
later no longer counts: its backups from then on are not listed, and later backups store again what is in its packs from then on. Backups
of other hosts that use these packs stay readable, and `pgark check` names them. Choose a time before the theft, and run
`pgark repair index` afterwards: a thief may have written an index that lists what does not exist. This also works for a writer that is
already revoked; an earlier time takes back more.")]
    Revoke(KeyRevoke),
}

#[derive(Debug, ClapArgs)]
pub struct KeyList {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub repository: Repository,
}

#[derive(Debug, ClapArgs)]
#[command(
    group = ArgGroup::new("slot").required(true).multiple(false),
    override_usage = "pgark key add --recipient <RECIPIENT> [OPTIONS]"
)]
pub struct KeyAdd {
    /// Recipient whose identity can open the repository: age1…, ssh-ed25519 AAAA…, or one of an age
    /// plugin (age1NAME1…); may be given several times
    #[arg(long, value_name = "RECIPIENT", group = "slot")]
    pub recipient: Vec<String>,
    /// File whose first line is a passphrase that can open it
    #[arg(long, value_name = "FILE", group = "slot")]
    pub add_passphrase_file: Option<PathBuf>,
    /// Ask on the terminal for a passphrase that is to open it, twice
    #[arg(long, group = "slot")]
    pub add_passphrase: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub repository: Repository,
}

#[derive(Debug, ClapArgs)]
pub struct KeyRemove {
    /// Id of the slot, or a prefix of it, or its recipient
    #[arg(value_name = "SLOT")]
    pub slot: String,
    #[command(flatten)]
    pub repository: Repository,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct KeyRotate {
    /// Remove the slots of all passphrases except the given one
    #[arg(long)]
    pub drop_passphrases: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub repository: Repository,
}

#[derive(Debug, ClapArgs)]
pub struct KeyWriter {
    /// Name of the writer, for example the host's name
    #[arg(value_name = "NAME", value_parser = text())]
    pub name: String,
    /// Cluster that the key can write; may be given several times (default: any). The key reveals
    /// nothing of other clusters, not even their names
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Vec<String>,
    /// What the key can do there, separated by commas
    #[arg(long, value_name = "RIGHT,RIGHT", value_delimiter = ',', default_value = "backup,forget,prune,check",
        value_parser = right)]
    pub rights: Vec<Right>,
    /// New file for the key, readable only by its owner
    #[arg(short, long, alias = "out", value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    pub repository: Repository,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub struct KeyRevoke {
    /// Name of the writer; with --compromised-since also a prefix of its key as `key list` shows
    /// it, if several had the name
    #[arg(value_name = "NAME", value_parser = text())]
    pub name: String,
    /// Since when someone else may have had its key: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub compromised_since: Option<Moment>,
    #[command(flatten)]
    pub repository: Repository,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn right(text: &str) -> Result<Right, String> {
    Right::parse(text).ok_or_else(|| "expected backup, forget, prune or check".into())
}
