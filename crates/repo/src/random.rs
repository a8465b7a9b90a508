//! Random bytes from the operating system, and what is named by them.

use crate::RepoError;
use crate::ids::BackupId;

/// So many random bytes.
///
/// # Errors
/// The system has none.
pub fn bytes<const N: usize>() -> Result<[u8; N], RepoError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RepoError::Crypto("drawing random bytes"))?;
    Ok(bytes)
}

/// A name for a new backup.
pub(crate) fn backup_id() -> Result<BackupId, RepoError> {
    Ok(BackupId(bytes()?))
}
