//! Large objects as files: the backup holds pieces of many objects mixed, every format wants one
//! object after the other.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use pgark_bytes::large_objects::take_frames;

use super::file::file_error;
use super::source::Source;
use crate::OpsError;
use crate::error::read_all;

/// The file of one object, as pg_dump calls it.
pub(super) fn file_name(oid: u32) -> String {
    format!("blob_{oid}.dat")
}

/// Writes each object's bytes to a file in the folder. Returns their ids, in order.
pub(super) fn spill(source: &Source<'_>, folder: &Path) -> Result<Vec<u32>, OpsError> {
    let Some(entry) = &source.contents.large_objects else { return Ok(Vec::new()) };
    let mut oids = Vec::new();
    let mut open: Option<(u32, PathBuf, File)> = None;
    for number in 0..entry.parts.len() {
        let mut stream = source.reader.read_part(entry, number)?;
        let mut buffer = Vec::new();
        while let Some(chunk) = stream.next_chunk()? {
            source.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            source.job.progress.advance(chunk.len() as u64);
            buffer.extend_from_slice(&chunk);
            take_frames(&mut buffer, &mut |frame| {
                if frame.offset == 0 {
                    oids.push(frame.oid);
                }
                let held = open.take().filter(|(oid, _, _)| *oid == frame.oid && frame.offset > 0);
                let (_, path, file) = match held {
                    Some(held) => open.insert(held),
                    None => {
                        let path = folder.join(file_name(frame.oid));
                        let mut options = File::options();
                        options.write(true).mode(0o600);
                        let file = if frame.offset == 0 {
                            options.create_new(true).open(&path)
                        } else {
                            options.open(&path)
                        };
                        let file = file.map_err(|source| file_error("create", &path, source))?;
                        open.insert((frame.oid, path, file))
                    }
                };
                file.write_all_at(frame.bytes, frame.offset)
                    .map_err(|source| file_error("write", path, source))
            })?;
        }
        if !buffer.is_empty() {
            return Err(OpsError::refused(
                format!("{} ends in the middle of a frame", entry.path),
                read_all(),
            ));
        }
    }
    oids.sort_unstable();
    Ok(oids)
}

/// The lines of a list: `oid blob_<oid>.dat`.
pub(super) fn list(oids: &[u32]) -> Vec<u8> {
    oids.iter().map(|oid| format!("{oid} {}\n", file_name(*oid))).collect::<String>().into_bytes()
}
