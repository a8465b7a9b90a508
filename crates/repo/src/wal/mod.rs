//! Archived WAL: each file of a server's archive is an object of its own, under a name that can be
//! computed (FORMAT.md, section 12).
//!
//! **One put, no index.** A file is found by its name: the keyed hash of cluster and system, the
//! timeline, the file. So archiving a segment costs one put, and put-if-absent on its name is what
//! keeps two servers from writing one segment: the second gets an error, unless the bytes are the
//! same.
//!
//! **Pieces.** A receiver puts what it has of a segment that is not whole yet: see `pieces`.
//!
//! **Who may read what.** A header is metadata: whoever has a writer key of the cluster reads it,
//! and so proves that nothing is missing. The bytes are data: they open with the owner's secret.
//!
//! **Who counts.** What someone signed who had the right to write backups of the cluster when the
//! storage received the object. So a rotation of the keys needs no list of all segments.

mod ahead;
pub(crate) mod name;
mod object;
mod pieces;
mod pushed;
mod retire;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use jiff::Timestamp;
use minicbor::{Decode, Encode};
use pgark_store::{PutOutcome, StoreError};

use crate::codec::Extensions;
use crate::host;
use crate::ids::hex;
use crate::object::{Kind, damaged, get_if_there};
use crate::repository::Repository;
use crate::rights::{Claim, Right};
use crate::secrets::Room;
use crate::unlocked::Unlocked;
use crate::{RepoError, codec, manifest, names, signed};
pub use ahead::WalAhead;
use name::{FOLDER, SYSTEMS};
pub use name::{WalKind, WalName};
use object::{FIRST_READ, Header, LARGEST_FILE, Opened};
pub use pieces::{WalDigest, WalUnfinished};
pub use pushed::{WalPushed, wal_spool};
pub use retire::{WalRetired, WalRetirement};

/// The WAL of one cluster and system in a repository, as one job sees it.
pub struct WalArchive<'r> {
    unlocked: &'r Unlocked,
    cluster: String,
    system_identifier: u64,
    room: Room,
    digest_key: [u8; 32],
    /// The object that says that the cluster has the WAL of this system.
    identity: String,
    /// `wal/<cluster hash>/<system>/`.
    folder: String,
}

/// What a header says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalHeader {
    /// When it was archived, by the clock of the host that did.
    pub time: Timestamp,
    /// That host; empty where it is not known.
    pub host: String,
    /// Raw bytes of the file.
    pub bytes: u64,
    /// What the maker said of the content.
    pub facts: Vec<u8>,
    digest: [u8; 32],
}

/// What became of a file that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalPut {
    /// It is there now.
    Stored {
        /// Bytes of its object.
        bytes: u64,
    },
    /// It was there, with the same content.
    WasThere,
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WalListed {
    /// The file.
    pub name: WalName,
    /// Bytes of its object.
    pub stored: u64,
    /// When the storage received it, by its clock.
    pub received: SystemTime,
}

/// Of which cluster and system a folder is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Identity {
    #[n(0)]
    cluster: String,
    #[n(1)]
    system_identifier: u64,
    /// Microseconds since 1970.
    #[n(2)]
    time: i64,
    #[n(3)]
    more: Extensions,
}

impl Repository {
    /// The WAL of a cluster and a system. Nothing is read.
    ///
    /// # Errors
    /// The key at hand is not for this cluster.
    pub fn wal(&self, cluster: &str, system_identifier: u64) -> Result<WalArchive<'_>, RepoError> {
        let unlocked = &self.unlocked;
        let cluster_hash = unlocked.keys.cluster_hash(cluster)?;
        let compartment = unlocked.compartment_of(cluster)?;
        let keys = unlocked.keys.compartment(compartment)?;
        let system = blake3::keyed_hash(
            &keys.wal_system_key(),
            &[cluster_hash.as_bytes(), &system_identifier.to_le_bytes()].concat(),
        );
        let system = hex(system.as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
        Ok(WalArchive {
            unlocked,
            cluster: cluster.to_string(),
            identity: format!("{SYSTEMS}{cluster_hash}/{system}"),
            folder: format!("{FOLDER}{cluster_hash}/{system}/"),
            system_identifier,
            room: Room::Of(compartment),
            digest_key: keys.wal_digest_key(),
        })
    }

    /// The systems whose WAL a cluster has, the one that came last at the end.
    ///
    /// # Errors
    /// What the storage says; an object that says so is damaged.
    pub fn wal_systems(&self, cluster: &str) -> Result<Vec<u64>, RepoError> {
        let found = self.identities(&format!("{SYSTEMS}{}/", self.keys().cluster_hash(cluster)?))?;
        Ok(found.into_iter().map(|identity| identity.system_identifier).collect())
    }

    /// The clusters that have WAL, of those that the keys at hand open, and of each the system that
    /// came last.
    ///
    /// # Errors
    /// What the storage says; an object that says so is damaged.
    pub fn wal_clusters(&self) -> Result<Vec<(String, u64)>, RepoError> {
        let found = self.identities(SYSTEMS)?;
        let last: BTreeMap<String, u64> =
            found.into_iter().map(|identity| (identity.cluster, identity.system_identifier)).collect();
        Ok(last.into_iter().collect())
    }

    /// Those below a folder, in the order of their times.
    fn identities(&self, folder: &str) -> Result<Vec<Identity>, RepoError> {
        let mut found = Vec::new();
        for meta in names::list(self.store(), folder)? {
            if names::is_own(self.keys(), &meta.name) {
                found.extend(read_identity(&self.unlocked, &meta.name)?);
            }
        }
        found.sort_by_key(|identity| identity.time);
        Ok(found)
    }
}

/// What an identity says; None: it is not there, or of someone who has no right to say it.
fn read_identity(unlocked: &Unlocked, object: &str) -> Result<Option<Identity>, RepoError> {
    let Some(bytes) = get_if_there(&unlocked.store, object)? else { return Ok(None) };
    let opened = signed::open(&unlocked.keys, Kind::WalIdentity, object, object, &bytes)?;
    if let Err(why) = may_have_put(unlocked, object, &opened.signer)? {
        unlocked.tell_passed_over(object, &why);
        return Ok(None);
    }
    codec::decode(&opened.body).map(Some).map_err(|what| damaged(object, what))
}

/// Whether someone may have put an object of WAL: who has the right to write backups of its
/// cluster, or had it when the storage received it; else why not.
fn may_have_put(unlocked: &Unlocked, object: &str, signer: &[u8]) -> Result<Result<(), String>, RepoError> {
    let scope = names::scope(object).ok_or_else(|| damaged(object, "its name names no cluster"))?;
    let claim = Claim { right: Right::Backup, scope, hash: None };
    let Err(why) = unlocked.judge(signer, claim) else { return Ok(Ok(())) };
    let list = unlocked.writers();
    if !list.is_revoked(signer) {
        return Ok(Err(why));
    }
    let received = manifest::stored(&unlocked.store.stat(object)?);
    Ok(match received {
        Some(received) => list.judge_received(signer, claim, received),
        None => Err(why),
    })
}

impl WalHeader {
    /// Whether both are of the same bytes: pieces of one segment that end at one place.
    pub fn agrees_with(&self, other: &WalHeader) -> bool {
        self.digest == other.digest
    }
}

impl WalArchive<'_> {
    /// The cluster.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The system identifier.
    pub fn system_identifier(&self) -> u64 {
        self.system_identifier
    }

    /// Whether anything was archived of this system under this cluster's name.
    pub fn exists(&self) -> Result<bool, RepoError> {
        Ok(read_identity(self.unlocked, &self.identity)?.is_some())
    }

    /// Makes sure that this system is the one whose WAL the cluster has; the first one is noted.
    /// `adopt`: another one takes its place, as after pg_upgrade.
    ///
    /// # Errors
    /// [`RepoError::OtherSystem`]: the cluster has the WAL of another system.
    pub fn begin(&self, repository: &Repository, adopt: bool) -> Result<(), RepoError> {
        if self.exists()? {
            return Ok(());
        }
        if !adopt && let Some(known) = repository.wal_systems(&self.cluster)?.pop() {
            return Err(RepoError::OtherSystem {
                cluster: self.cluster.clone(),
                known,
                found: self.system_identifier,
            });
        }
        let object = self.identity.as_str();
        let identity = Identity {
            cluster: self.cluster.clone(),
            system_identifier: self.system_identifier,
            time: Timestamp::now().as_microsecond(),
            more: Extensions::default(),
        };
        let bytes = signed::seal(&self.unlocked.keys, Kind::WalIdentity, object, codec::encode(&identity))?;
        self.unlocked.store.cancel().check()?;
        match self.unlocked.store.put_if_absent(object, bytes.into())? {
            PutOutcome::AlreadyExists if !self.exists()? => Err(damaged(
                object,
                "it is in the way, and not of anyone who has the right to write this cluster",
            )),
            _ => Ok(()),
        }
    }

    /// Archives a file. The content is committed when this returns.
    ///
    /// # Errors
    /// [`RepoError::OtherWal`]: the file is there with another content, which stays.
    pub fn put(&self, name: &WalName, content: &[u8], facts: &[u8], level: i32) -> Result<WalPut, RepoError> {
        let mut digest = self.begin_digest();
        digest.feed(content);
        self.put_with(name, content, digest.value(), facts, level)
    }

    fn put_with(
        &self,
        name: &WalName,
        content: &[u8],
        digest: [u8; 32],
        facts: &[u8],
        level: i32,
    ) -> Result<WalPut, RepoError> {
        let object = name.below(&self.folder);
        if content.len() > LARGEST_FILE || !name.fits(content.len() as u64) {
            return Err(RepoError::TooLarge { what: format!("{} ({} bytes)", name.file(), content.len()) });
        }
        let header = Header {
            cluster: self.cluster.clone(),
            system_identifier: self.system_identifier,
            time: Timestamp::now().as_microsecond(),
            host: host::this().map(|host| host.name.clone()).unwrap_or_default(),
            bytes: content.len() as u64,
            digest: digest.into(),
            facts: facts.to_vec().into(),
            key_id: [0; 16].into(),
            key: crate::object::StoredKey { suite: 0, epoch: 0, bytes: Vec::new() },
            frames: Vec::new(),
            more: Extensions::default(),
        };
        let kind = object::kind_of(name);
        let bytes = object::encode(&self.unlocked.keys, self.room, kind, &object, header, content, level)?;
        let stored = bytes.len() as u64;
        self.unlocked.store.cancel().check()?;
        match self.unlocked.store.put_if_absent(&object, bytes.into())? {
            PutOutcome::Created => Ok(WalPut::Stored { bytes: stored }),
            PutOutcome::AlreadyExists => self.compare(name, &object, content.len() as u64, &digest),
        }
    }

    /// Compares a file with what is there under its name.
    fn compare(
        &self,
        name: &WalName,
        object: &str,
        bytes: u64,
        digest: &[u8; 32],
    ) -> Result<WalPut, RepoError> {
        let there = self.header(name)?.ok_or_else(|| RepoError::Missing { object: object.to_string() })?;
        if there.digest == *digest && there.bytes == bytes {
            return Ok(WalPut::WasThere);
        }
        Err(RepoError::OtherWal {
            file: name.file().to_string(),
            cluster: self.cluster.clone(),
            host: there.host,
            time: there.time,
        })
    }

    /// What is said of a file; None: it is not there.
    ///
    /// # Errors
    /// It is damaged, or not of anyone who has the right to write this cluster.
    pub fn header(&self, name: &WalName) -> Result<Option<WalHeader>, RepoError> {
        let object = name.below(&self.folder);
        let store = &self.unlocked.store;
        let mut bytes = match store.get_at_most(&object, FIRST_READ) {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        if let Some(end) = object::header_end(&object, &bytes)?
            && end > bytes.len()
        {
            bytes = match store.get_range(&object, 0, end as u64) {
                Err(StoreError::TooShort { .. }) => return Err(damaged(object, "it is too short")),
                other => other?,
            };
        }
        let opened = self.open(name, &object, &bytes)?;
        shown(&object, opened.header).map(Some)
    }

    /// A file and what is said of it; None: it is not there.
    ///
    /// # Errors
    /// It is damaged, or not of anyone who has the right to write this cluster;
    /// [`RepoError::NeedsReaderSecret`].
    pub fn get(&self, name: &WalName) -> Result<Option<(WalHeader, Vec<u8>)>, RepoError> {
        let object = name.below(&self.folder);
        let Some(bytes) = get_if_there(&self.unlocked.store, &object)? else { return Ok(None) };
        let opened = self.open(name, &object, &bytes)?;
        let content = object::open_frames(&self.unlocked.keys, &object, &opened, &bytes)?;
        let header = shown(&object, opened.header)?;
        // The digest of a piece is that of the segment: whoever puts pieces together compares it.
        let mut digest = self.begin_digest();
        digest.feed(&content);
        match name.kind() == WalKind::Piece || digest.value() == header.digest {
            true => Ok(Some((header, content))),
            false => Err(damaged(object, "its content does not have the digest that its header says")),
        }
    }

    /// Opens a header, and verifies that it is of this archive and counts.
    fn open(&self, name: &WalName, object: &str, bytes: &[u8]) -> Result<Opened, RepoError> {
        let opened =
            object::open_header(&self.unlocked.keys, self.room, object::kind_of(name), object, bytes)?;
        may_have_put(self.unlocked, object, &opened.signer)?
            .map_err(|why| damaged(object, format!("the signature: {why}")))?;
        let Header { cluster, system_identifier, .. } = &opened.header;
        let is_of_name = *cluster == self.cluster && *system_identifier == self.system_identifier;
        if !is_of_name || !name.fits(opened.header.bytes) {
            return Err(damaged(object, "its name and its content differ"));
        }
        Ok(opened)
    }

    /// All files, by name: of one timeline, or of all.
    pub fn list(&self, timeline: Option<u32>) -> Result<Vec<WalListed>, RepoError> {
        let below = match timeline {
            None => self.folder.clone(),
            Some(timeline) => name::timeline_folder(&self.folder, timeline),
        };
        Ok(self.listed(self.unlocked.store.list(&below)?))
    }

    /// Segments of the same timeline that come after a segment, and pieces of such.
    pub fn segments_after(&self, segment: &WalName) -> Result<Vec<WalListed>, RepoError> {
        let below = name::timeline_folder(&self.folder, segment.timeline());
        let after = self.unlocked.store.list_after(&below, &segment.below(&self.folder))?;
        let mut found = self.listed(after);
        found.retain(|listed| match listed.name.kind() {
            WalKind::Segment => true,
            WalKind::Piece => listed.name.piece_of().is_some_and(|(of, ..)| of > *segment),
            WalKind::Partial | WalKind::BackupHistory | WalKind::History => false,
        });
        Ok(found)
    }

    fn listed(&self, metas: Vec<pgark_store::ObjectMeta>) -> Vec<WalListed> {
        let listed = |meta: &pgark_store::ObjectMeta| {
            Some(WalListed {
                name: WalName::parse_below(&self.folder, &meta.name)?,
                stored: meta.size,
                received: meta.modified,
            })
        };
        let found: BTreeSet<WalListed> = metas.iter().filter_map(listed).collect();
        found.into_iter().collect()
    }
}

fn shown(object: &str, header: Header) -> Result<WalHeader, RepoError> {
    let time = Timestamp::from_microsecond(header.time).map_err(|_| damaged(object, "its time is none"))?;
    Ok(WalHeader {
        time,
        host: header.host,
        bytes: header.bytes,
        facts: header.facts.into(),
        digest: header.digest.into(),
    })
}
