//! Drafts: which packs a backup that is about to be committed depends on (FORMAT.md, "Commit").

use jiff::Timestamp;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::codec::Extensions;
use crate::ids::{BackupId, Compartment, ObjectHash};
use crate::object::{self, Kind};
use crate::rights::Right;
use crate::secrets::Keys;
use crate::unlocked::Unlocked;
use crate::{RepoError, codec, names, signed};

#[derive(Encode, Decode)]
#[cbor(array)]
pub(crate) struct Draft {
    #[n(0)]
    id: ByteArray<8>,
    #[n(1)]
    time: i64,
    /// Every pack that the backup depends on, sorted.
    #[n(2)]
    pub packs: Vec<ObjectHash>,
    #[n(3)]
    more: Extensions,
}

/// Where the drafts of a compartment are.
pub(crate) fn folder(compartment: Compartment) -> String {
    format!("drafts/{compartment}/")
}

/// The draft of a backup that depends on these packs, sorted: name and bytes.
pub(crate) fn make(
    keys: &Keys,
    compartment: Compartment,
    id: BackupId,
    packs: Vec<ObjectHash>,
) -> Result<(String, Vec<u8>), RepoError> {
    let name = format!("{}{id}", folder(compartment));
    let time = Timestamp::now().as_microsecond();
    let draft = Draft { id: ByteArray::from(id.0), time, packs, more: Extensions::default() };
    let bytes = signed::seal(keys, Kind::Draft, &name, codec::encode(&draft))?;
    Ok((name, bytes))
}

/// Reads a draft; none if it is gone, or of someone who has no right to write backups here: no such
/// backup will count.
pub(crate) fn read(repository: &Unlocked, name: &str) -> Result<Option<Draft>, RepoError> {
    let Some(bytes) = object::get_if_there(&repository.store, name)? else { return Ok(None) };
    let Some(scope) = names::scope(name) else { return Ok(None) };
    let body = repository.open_or_pass_over(Kind::Draft, name, (Right::Backup, scope), &bytes)?;
    let decoded = body.map(|body| codec::decode(&body)).transpose();
    decoded.map_err(|what| object::damaged(name, what))
}
