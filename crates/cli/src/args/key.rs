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

Whoever holds an identity or the passphrase (the owner) reads everything and manages keys. A writer key backs up, lists, forgets and
prunes, and reads no data. Slots are age files: stock age opens them.

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

The writer key suffices.")]
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

Its owner may have saved the keys it opened: rotate the keys as well. What was written before can only be withheld by `pgark copy` into a new
repository and removing this one.")]
    Remove(KeyRemove),
    /// New keys for everything written from now on; existing data is not rewritten
    #[command(after_help = "Examples:
  pgark key rotate --identity identity.txt
  pgark key rotate --passphrase-file passphrase

Key slots are re-encrypted. Every host needs a new writer key: `pgark key writer NAME --output FILE`.")]
    Rotate(KeyRotate),
    /// Write a key for a host that backs up, and enter it in the owner's list
    #[command(after_help = "Examples:
  pgark key writer db7 --cluster prod --output db7.key --identity identity.txt

  pgark key writer db7 --cluster prod --rights backup --output db7.key --identity identity.txt

A host that only backs up needs --rights backup: with that key nobody can make a backup disappear. forget drops backups and changes their
tags, prune frees what no backup needs, check notes what is damaged.

On that host: `pgark backup --writer-key db7.key`, or put it where `pgark init` leaves its own. A writer that had the name is revoked;
its backups stay good.")]
    Writer(KeyWriter),
    /// From now on nothing that this writer writes counts; its backups stay good
    #[command(after_help = "Examples:
  pgark key revoke db7 --identity identity.txt
  pgark key revoke db7 --compromised-since 2026-11-20T00:00:00Z --identity identity.txt
  pgark key revoke db7 --compromised-since 3d --identity identity.txt

Without --compromised-since everything that the writer has written stays good. With it, what the storage took of it at that time or later
counts no more: its backups of that time are not listed, and later backups store again what lies in its packs of that time. Backups of other
hosts that use these packs stay readable, and `pgark check` names them. Choose a time before the theft, and run
`pgark repair index` afterwards: a thief may have put an index that names what is not there. It works for a writer that was
revoked already, and an earlier time takes back more.")]
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
    /// Whose identity is to open the repository: age1…, ssh-ed25519 AAAA…, or of a plugin of age
    /// (age1NAME1…); may be given several times
    #[arg(long, value_name = "RECIPIENT", group = "slot")]
    pub recipient: Vec<String>,
    /// File whose first line is a passphrase that is to open it
    #[arg(long, value_name = "FILE", group = "slot")]
    pub add_passphrase_file: Option<PathBuf>,
    /// Ask on the terminal for a passphrase that is to open it, twice
    #[arg(long, group = "slot")]
    pub add_passphrase: bool,
    #[command(flatten)]
    pub repository: Repository,
}

#[derive(Debug, ClapArgs)]
pub struct KeyRemove {
    /// Id of the slot, or the beginning of it, or its recipient
    #[arg(value_name = "SLOT")]
    pub slot: String,
    #[command(flatten)]
    pub repository: Repository,
}

#[derive(Debug, ClapArgs)]
pub struct KeyRotate {
    /// Slots of passphrases other than the one that is given go
    #[arg(long)]
    pub drop_passphrases: bool,
    #[command(flatten)]
    pub repository: Repository,
}

#[derive(Debug, ClapArgs)]
pub struct KeyWriter {
    /// Name of the writer: the host's, for one
    #[arg(value_name = "NAME", value_parser = text())]
    pub name: String,
    /// A cluster that it may write; may be given several times (default: any). The key opens
    /// nothing of other clusters, not even their names
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Vec<String>,
    /// What it may do there, separated by commas
    #[arg(long, value_name = "RIGHT,RIGHT", value_delimiter = ',', default_value = "backup,forget,prune,check",
        value_parser = right)]
    pub rights: Vec<Right>,
    /// New file for the key, readable by its owner alone
    #[arg(short, long, alias = "out", value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    pub repository: Repository,
}

#[derive(Debug, ClapArgs)]
pub struct KeyRevoke {
    /// Name of the writer; with --compromised-since also the beginning of its key as `key list`
    /// shows it, where several had the name
    #[arg(value_name = "NAME", value_parser = text())]
    pub name: String,
    /// Since when somebody else may have had its key: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub compromised_since: Option<Moment>,
    #[command(flatten)]
    pub repository: Repository,
}

fn right(text: &str) -> Result<Right, String> {
    Right::parse(text).ok_or_else(|| "expected backup, forget, prune or check".into())
}
