//! How a backup is written, and what its maker says of it.

/// How a backup is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// The cluster's name: its backups form one chain.
    pub cluster: String,
    /// Threads that compress and seal; at least one, at most 256.
    pub jobs: usize,
    /// zstd's level (negative ones too); 0 stores without compression.
    pub compression_level: i32,
    /// Reuses nothing that is there: every chunk is stored again.
    pub full: bool,
    /// What is being done, in the caller's word (`backup`): those who list the sessions see it.
    pub purpose: &'static str,
    /// Of the writers of a cluster that say so, one at a time is at work: others are refused with
    /// [`crate::RepoError::AnotherBackup`].
    pub alone: bool,
    /// The mask domain of all data of the backup; None for plain data. What is stored under one
    /// domain is never found equal to what is stored under another one.
    pub domain: Option<[u8; 16]>,
}

impl WriteOptions {
    /// One thread, zstd's first level, and nothing special.
    pub fn of(cluster: impl Into<String>, purpose: &'static str) -> WriteOptions {
        WriteOptions {
            cluster: cluster.into(),
            jobs: 1,
            compression_level: 1,
            full: false,
            purpose,
            alone: false,
            domain: None,
        }
    }
}

/// What its maker says of a backup that is ready to be committed.
#[derive(Clone, Debug)]
pub struct NewBackup {
    /// What kind of backup, in its maker's terms.
    pub kind: String,
    /// Whether everything that was asked for is in it.
    pub complete: bool,
    /// Its maker's own facts; sealed under the metadata key.
    pub about: Vec<u8>,
    /// When it was made, if that was not now (a copy, a repaired one).
    pub time: Option<jiff::Timestamp>,
}
