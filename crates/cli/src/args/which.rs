//! Which backups are meant.

use clap::Args as ClapArgs;
use pgark_ops::BackupName;

use super::repository::{Past, Repository};
use super::text::text;

/// Whose backups.
#[derive(Debug, ClapArgs)]
pub struct OfCluster {
    /// Only backups of this cluster; `latest` needs it if a repository contains several clusters
    #[arg(long, value_name = "NAME", value_parser = text())]
    pub cluster: Option<String>,
}

impl OfCluster {
    /// The backup that this text means.
    pub fn backup(&self, text: &str) -> BackupName {
        let (text, cluster) = (text.to_string(), self.cluster.clone());
        BackupName { text, cluster, partial: false, masked: false, databases: Vec::new() }
    }
}

/// A repository that is read, and what `latest` is in it.
#[derive(Debug, ClapArgs)]
pub struct Source {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub past: Past,
    #[command(flatten)]
    pub repository: Repository,
}

/// Which backup `latest` is.
#[derive(Debug, ClapArgs)]
pub struct Which {
    #[command(flatten)]
    pub of: OfCluster,
    /// `latest` can also be a backup that was made with filters, and contains only a part of its
    /// databases
    #[arg(long, hide_short_help = true)]
    pub partial: bool,
    /// `latest` is the newest masked backup; without this option it is never a masked one
    #[arg(long, hide_short_help = true)]
    pub masked: bool,
}

impl Which {
    /// The backup that this text means.
    pub fn backup(&self, text: &str) -> BackupName {
        BackupName { partial: self.partial, masked: self.masked, ..self.of.backup(text) }
    }

    /// The backup that this text means where only these databases of it are wanted.
    pub fn backup_for(&self, text: &str, databases: impl IntoIterator<Item = String>) -> BackupName {
        BackupName { databases: databases.into_iter().collect(), ..self.backup(text) }
    }
}
