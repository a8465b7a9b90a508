//! Drafts: which packs a backup that is about to be committed leans on (FORMAT.md,
//! "Commit").

use jiff::Timestamp;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::ids::{BackupId, ObjectHash};
use crate::object::{self, Kind};
use crate::secrets::Keys;
use crate::unlocked::Unlocked;
use crate::{RepoError, codec};

#[derive(Encode, Decode)]
#[cbor(array)]
pub(crate) struct Draft {
    #[n(0)]
    id: ByteArray<8>,
    #[n(1)]
    time: i64,
    /// Every pack that the backup leans on, sorted.
    #[n(2)]
    pub packs: Vec<ObjectHash>,
}

/// The draft of a backup that leans on these packs, sorted: name and bytes.
pub(crate) fn make(
    keys: &Keys,
    id: BackupId,
    packs: Vec<ObjectHash>,
) -> Result<(String, Vec<u8>), RepoError> {
    let name = format!("drafts/{id}");
    let draft = Draft { id: ByteArray::from(id.0), time: Timestamp::now().as_microsecond(), packs };
    let bytes = object::seal(keys, Kind::Draft, &name, &codec::encode(&draft))?;
    Ok((name, bytes))
}

/// Reads a draft; none if it is gone.
pub(crate) fn read(repository: &Unlocked, name: &str) -> Result<Option<Draft>, RepoError> {
    let Some(bytes) = object::get_if_there(&repository.store, name)? else { return Ok(None) };
    let body = object::open(&repository.keys, Kind::Draft, name, &bytes)?;
    codec::decode(&body).map(Some).map_err(|what| object::damaged(name, what))
}
