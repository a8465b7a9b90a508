//! The options of BASE_BACKUP, and how each version spells them (PostgreSQL documentation,
//! "Streaming Replication Protocol", BASE_BACKUP; repl_gram.y).

use pgark_bytes::protocol::base_backup::ArchiveCompression;

/// How a base backup is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseBackupOptions {
    /// Written into `backup_label`: one line, at most 1024 bytes.
    pub label: String,
    /// How the checkpoint at its start is made.
    pub checkpoint: Checkpoint,
    /// How much the server sends at most: kB/s, from 32 to 1,048,576.
    pub max_rate: Option<u32>,
    /// The server finds out first how much there is.
    pub progress: bool,
    /// The WAL from start to end is appended to the archive of the data directory.
    pub wal: bool,
    /// The server waits at the end until the WAL of the backup is archived.
    pub wait: bool,
    /// The archive of the data directory has the file `tablespace_map`, and no symbolic links in
    /// `pg_tblspc`.
    pub tablespace_map: bool,
    /// The server verifies the checksums of pages, where the cluster has them.
    pub verify_checksums: bool,
    /// The server sends a manifest with CRC-32C checksums.
    pub manifest: bool,
    /// The server compresses (from 15 on).
    pub compression: Option<ServerCompression>,
}

/// The checkpoint at the start of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// At once.
    Fast,
    /// Spread over `checkpoint_completion_target` of `checkpoint_timeout`: minutes.
    Spread,
}

/// How the server compresses. It refuses a method that it was built without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerCompression {
    /// The method.
    pub method: ArchiveCompression,
    /// The method's level; else its default.
    pub level: Option<i32>,
}

impl BaseBackupOptions {
    /// The least that is asked for: a spread checkpoint, checksums verified, a manifest, no WAL.
    pub fn new(label: &str) -> BaseBackupOptions {
        BaseBackupOptions {
            label: label.to_string(),
            checkpoint: Checkpoint::Spread,
            max_rate: None,
            progress: false,
            wal: false,
            wait: false,
            tablespace_map: true,
            verify_checksums: true,
            manifest: true,
            compression: None,
        }
    }

    /// The command: keywords up to 14, a list of options from 15 on. What no version would take is
    /// refused with the reason.
    pub(super) fn command(&self, has_option_lists: bool) -> Result<String, &'static str> {
        // The server would write it, and never read its own backup_label again.
        if self.label.contains(['\n', '\r', '\0']) {
            return Err("the label must be one line");
        }
        let label = format!("LABEL '{}'", self.label.replace('\'', "''"));
        if has_option_lists {
            Ok(format!("BASE_BACKUP ({label}{})", self.list()))
        } else if self.compression.is_some() {
            Err("the server compresses base backups from PostgreSQL 15 on")
        } else {
            Ok(format!("BASE_BACKUP {label}{}", self.keywords()))
        }
    }

    fn list(&self) -> String {
        let mut list = format!(
            ", PROGRESS {}, CHECKPOINT '{}', WAL {}, WAIT {}, TABLESPACE_MAP {}, VERIFY_CHECKSUMS {}, MANIFEST '{}'",
            u8::from(self.progress),
            if self.checkpoint == Checkpoint::Fast { "fast" } else { "spread" },
            u8::from(self.wal),
            u8::from(self.wait),
            u8::from(self.tablespace_map),
            u8::from(self.verify_checksums),
            if self.manifest { "yes" } else { "no" },
        );
        if let Some(rate) = self.max_rate {
            list.push_str(&format!(", MAX_RATE {rate}"));
        }
        let method = match self.compression.map(|compression| compression.method) {
            None => return list,
            Some(ArchiveCompression::Gzip) => "gzip",
            Some(ArchiveCompression::Lz4) => "lz4",
            Some(ArchiveCompression::Zstd) => "zstd",
        };
        list.push_str(&format!(", COMPRESSION '{method}'"));
        if let Some(level) = self.compression.and_then(|compression| compression.level) {
            list.push_str(&format!(", COMPRESSION_DETAIL 'level={level}'"));
        }
        list
    }

    fn keywords(&self) -> String {
        let mut keywords = String::new();
        for (is_wanted, keyword) in [
            (self.progress, " PROGRESS"),
            (self.checkpoint == Checkpoint::Fast, " FAST"),
            (self.wal, " WAL"),
            (!self.wait, " NOWAIT"),
            (self.tablespace_map, " TABLESPACE_MAP"),
            (!self.verify_checksums, " NOVERIFY_CHECKSUMS"),
            (self.manifest, " MANIFEST 'yes'"),
        ] {
            if is_wanted {
                keywords.push_str(keyword);
            }
        }
        if let Some(rate) = self.max_rate {
            keywords.push_str(&format!(" MAX_RATE {rate}"));
        }
        keywords
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_spelling() {
        let least = BaseBackupOptions::new("it's me");
        assert_eq!(
            least.command(true).unwrap(),
            "BASE_BACKUP (LABEL 'it''s me', PROGRESS 0, CHECKPOINT 'spread', WAL 0, WAIT 0, TABLESPACE_MAP 1, \
             VERIFY_CHECKSUMS 1, MANIFEST 'yes')"
        );
        assert_eq!(
            least.command(false).unwrap(),
            "BASE_BACKUP LABEL 'it''s me' NOWAIT TABLESPACE_MAP MANIFEST 'yes'"
        );
        let most = BaseBackupOptions {
            checkpoint: Checkpoint::Fast,
            max_rate: Some(32),
            progress: true,
            wal: true,
            wait: true,
            tablespace_map: false,
            verify_checksums: false,
            manifest: false,
            ..least.clone()
        };
        assert_eq!(
            most.command(false).unwrap(),
            "BASE_BACKUP LABEL 'it''s me' PROGRESS FAST WAL NOVERIFY_CHECKSUMS MAX_RATE 32"
        );
        let compression = Some(ServerCompression { method: ArchiveCompression::Zstd, level: Some(3) });
        let most = BaseBackupOptions { compression, ..most };
        assert_eq!(
            most.command(true).unwrap(),
            "BASE_BACKUP (LABEL 'it''s me', PROGRESS 1, CHECKPOINT 'fast', WAL 1, WAIT 1, TABLESPACE_MAP 0, \
             VERIFY_CHECKSUMS 0, MANIFEST 'no', MAX_RATE 32, COMPRESSION 'zstd', COMPRESSION_DETAIL 'level=3')"
        );
        assert!(most.command(false).is_err());
        for label in ["two\nlines", "a\r", "\0"] {
            assert!(BaseBackupOptions::new(label).command(true).is_err());
        }
    }
}
