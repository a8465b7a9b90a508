//! `backup_manifest`, written for what lies in the directory: `pg_verifybackup` judges by it, and
//! the server's own incremental backups begin from it.
//!
//! The checksums of page files come from the backup, where they were made when the files were read;
//! those of other files from what was written.

use std::io::BufWriter;

use pgark_bytes::backup_manifest::{FileChecksum, ManifestFile, ManifestVersion, ManifestWriter, WalRange};
use pgark_bytes::lsn::Lsn;

use super::write::Writing;
use crate::OpsError;
use crate::lock::lock;

const MANIFEST: &[u8] = b"backup_manifest";
/// The server's own manifests do not name it.
const WAL: &[u8] = b"pg_wal/";

/// Writes it.
pub(super) fn write(writing: &Writing<'_>) -> Result<(), OpsError> {
    let plan = writing.plan;
    let place = plan.places.of(MANIFEST);
    let failed = |source| OpsError::File { doing: "write", path: place.clone(), source };
    let record =
        |what: &str| OpsError::Record { backup: writing.backup.head.id.to_string(), what: what.into() };
    let version = match plan.about.server_version >= 170_000 {
        false => ManifestVersion::V1,
        true => ManifestVersion::V2 {
            system_identifier: plan
                .about
                .system_identifier
                .parse()
                .map_err(|_| record("the system identifier"))?,
        },
    };
    let range = WalRange {
        timeline: plan.physical.timeline,
        start: plan.physical.start_lsn.parse::<Lsn>().map_err(|_| record("the start of its WAL"))?,
        end: plan.physical.stop_lsn.parse::<Lsn>().map_err(|_| record("the end of its WAL"))?,
    };
    let file = writing.create(&place, 0o600, &Default::default(), false)?;
    let mut manifest = ManifestWriter::new(BufWriter::new(file), version).map_err(failed)?;
    let mut written = lock(&writing.written);
    written.sort_by(|a, b| a.path.cmp(&b.path));
    for file in written.iter().filter(|file| !file.path.starts_with(WAL)) {
        let entry = ManifestFile {
            path: &file.path,
            size: file.bytes,
            last_modified: Some(file.modified),
            checksum: Some(FileChecksum::Crc32c(file.crc32c)),
        };
        manifest.file(&entry).map_err(failed)?;
    }
    let file = manifest.finish(&[range]).map_err(failed)?;
    file.into_inner().map_err(|error| failed(error.into_error()))?;
    Ok(())
}
