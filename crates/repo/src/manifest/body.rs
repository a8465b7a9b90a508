//! What a manifest says of its backup, and its bytes.

use jiff::{SignedDuration, Timestamp};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::sublists::{ListRef, OpenList};
use crate::codec::Extensions;
use crate::ids::{BackupId, Hash, ObjectHash};
use crate::names::ManifestName;
use crate::object::{Kind, damaged};
use crate::reader::ChunkReader;
use crate::rights::{Claim, Right, Scope};
use crate::secrets::Keys;
use crate::stream::StreamRef;
use crate::unlocked::Unlocked;
use crate::{RepoError, codec, signed};

const LARGEST: u64 = 64 << 20;
pub(crate) const LONGEST_ABOUT: usize = 16 << 20;

/// One committed backup, without its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupHead {
    /// Its name.
    pub id: BackupId,
    /// When it was committed, by the writer's clock.
    pub time: Timestamp,
    /// When the storage took it, by the storage's clock; None where the storage was not asked or
    /// does not know.
    pub stored: Option<Timestamp>,
    /// Of which cluster, as the writer was told.
    pub cluster: String,
    /// What kind of backup, in its maker's terms.
    pub kind: String,
    /// Whether everything that was asked for is in it.
    pub complete: bool,
    /// Its number among the backups of its cluster.
    pub sequence: u64,
    /// All bytes that this backup put to the storage: packs, index, session, draft and both copies
    /// of the manifest.
    pub bytes_added: u64,
    /// How many entries it has.
    pub entries: u64,
    /// Its maker's own facts.
    pub about: Vec<u8>,
}

/// A writer's clock may be ahead of the storage's by so much before its times are disbelieved.
const MOST_AHEAD: SignedDuration = SignedDuration::from_hours(1);

impl BackupHead {
    /// Whether its time lies ahead of the storage's clock by more than an hour: the writer's clock
    /// was wrong.
    pub fn is_ahead(&self) -> bool {
        is_ahead(self.time, self.stored)
    }

    /// When it was made, as far as that is known: its time, or where that is ahead of the storage's
    /// clock, when it was stored.
    pub fn moment(&self) -> Timestamp {
        moment(self.time, self.stored)
    }
}

fn is_ahead(time: Timestamp, stored: Option<Timestamp>) -> bool {
    stored.is_some_and(|stored| time.duration_since(stored) > MOST_AHEAD)
}

fn moment(time: Timestamp, stored: Option<Timestamp>) -> Timestamp {
    stored.filter(|_| is_ahead(time, stored)).unwrap_or(time)
}

/// The manifest before this one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Previous {
    #[n(0)]
    pub sequence: u64,
    #[n(1)]
    pub id: ByteArray<8>,
    /// BLAKE3 of that manifest's bytes.
    #[n(2)]
    pub hash: ObjectHash,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Body {
    #[n(0)]
    pub id: ByteArray<8>,
    /// Microseconds since 1970.
    #[n(1)]
    pub time: i64,
    #[n(2)]
    pub cluster: String,
    #[n(3)]
    pub kind: String,
    #[n(4)]
    pub complete: bool,
    #[n(5)]
    pub sequence: u64,
    #[n(6)]
    pub previous: Option<Previous>,
    /// The list of entries.
    #[n(7)]
    pub entries: ListRef,
    #[n(8)]
    pub entry_count: u64,
    /// What this backup did for entries: a metadata stream of CBOR records, sorted by path.
    #[n(9)]
    pub additions: StreamRef,
    #[n(10)]
    pub bytes_added: u64,
    /// The list of writers that its writer went by.
    #[n(11)]
    pub list: WritersRef,
    #[n(12)]
    #[cbor(with = "minicbor::bytes")]
    pub about: Vec<u8>,
    #[n(13)]
    pub more: Extensions,
}

/// A list of writers, by its number and the BLAKE3 of its bytes: nobody takes an older one for the
/// newest from then on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct WritersRef {
    #[n(0)]
    pub number: u64,
    #[n(1)]
    pub hash: ObjectHash,
}

/// A manifest that was verified.
pub(crate) struct Manifest {
    /// Why its writer's word does not count; then it is not listed, and prune keeps what it needs.
    pub distrust: Option<String>,
    /// Public key of who signed it.
    pub signer: Vec<u8>,
    pub name: ManifestName,
    pub hash: ObjectHash,
    pub body: Body,
    /// When the storage took it, by its clock; None where that was not asked.
    pub stored: Option<Timestamp>,
}

impl Manifest {
    fn time(&self) -> Timestamp {
        Timestamp::from_microsecond(self.body.time).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// [`BackupHead::moment`].
    pub(crate) fn moment(&self) -> Timestamp {
        moment(self.time(), self.stored)
    }

    /// Opens the list of its entries.
    pub(crate) fn open_list(&self, reader: &ChunkReader<'_>) -> Result<OpenList, RepoError> {
        let name = format!("the list of entries of backup {}", self.name.id);
        OpenList::open(reader, &self.body.entries, self.body.entry_count, name)
    }

    pub(crate) fn head(&self) -> BackupHead {
        let body = &self.body;
        BackupHead {
            id: self.name.id,
            time: self.time(),
            stored: self.stored,
            cluster: body.cluster.clone(),
            kind: body.kind.clone(),
            complete: body.complete,
            sequence: body.sequence,
            bytes_added: body.bytes_added,
            entries: body.entry_count,
            about: body.about.clone(),
        }
    }
}

/// Whether a manifest of this signer, name and hash counts; else why not.
pub(super) fn judge(
    repository: &Unlocked,
    signer: &[u8],
    name: &ManifestName,
    hash: &ObjectHash,
) -> Result<(), String> {
    let scope = Scope::Cluster(&name.cluster);
    repository.judge(signer, Claim { right: Right::Backup, scope, hash: Some(hash) })
}

/// The bytes of a manifest.
pub(crate) fn encode(keys: &Keys, name: &ManifestName, body: &Body) -> Result<Vec<u8>, RepoError> {
    signed::seal(keys, Kind::Manifest, &name.name(), codec::encode(body))
}

/// Opens and verifies the bytes that was under `object` as the manifest `name`.
pub(crate) fn decode(
    repository: &Unlocked,
    name: ManifestName,
    object: &str,
    bytes: &[u8],
) -> Result<Manifest, RepoError> {
    let wrong = |what: &str| damaged(object, what);
    if bytes.len() as u64 > LARGEST {
        return Err(wrong("it is too large"));
    }
    let opened = signed::open(&repository.keys, Kind::Manifest, &name.name(), object, bytes)?;
    let body: Body = codec::decode(&opened.body).map_err(wrong)?;
    let hash = Hash::of(bytes);
    let distrust = judge(repository, &opened.signer, &name, &hash).err();
    let id: [u8; 8] = body.id.into();
    let same = id == name.id.0
        && body.sequence == name.sequence
        && repository.keys.cluster_hash(&body.cluster).is_ok_and(|hash| hash == name.cluster);
    if body.about.len() > LONGEST_ABOUT || body.kind.len() > 256 || body.cluster.len() > 1024 {
        return Err(wrong("its facts are too long for a manifest"));
    }
    if !same || Timestamp::from_microsecond(body.time).is_err() {
        return Err(wrong("its name and its content differ"));
    }
    Ok(Manifest { distrust, signer: opened.signer, name, hash, body, stored: None })
}
