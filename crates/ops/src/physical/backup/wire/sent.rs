//! The files that came, and the server's manifest, which says what it sent: both must be the same.
//!
//! **Memory.** 24 bytes and the path for each file.

use pgark_bytes::backup_manifest::{
    FileChecksum, ManifestError, ManifestFile, ManifestVersion, read_manifest,
};
use pgark_bytes::lsn::Lsn;

use super::answer::{Answer, ManifestText};
use crate::OpsError;
use crate::error::with_causes;
use crate::physical::backup::survey::Survey;

/// The files that came.
#[derive(Default)]
pub(super) struct Sent {
    paths: Vec<u8>,
    files: Vec<File>,
}

#[derive(Clone, Copy)]
struct File {
    path_at: usize,
    bytes: u64,
    crc32c: u32,
    path_bytes: u16,
    /// The manifest has it.
    is_listed: bool,
}

/// What the manifest's reader stops with.
struct Wrong(OpsError);

impl From<ManifestError> for Wrong {
    fn from(error: ManifestError) -> Wrong {
        Wrong(differs(with_causes(&error)))
    }
}

/// What arrived is not what was sent.
fn differs(what: String) -> OpsError {
    OpsError::refused(
        what,
        "run the backup again; if that does not help, look at the network and the server's memory",
    )
}

impl Sent {
    /// A file has come.
    pub(super) fn add(&mut self, path: &[u8], bytes: u64, crc32c: u32) -> Result<(), OpsError> {
        let path_bytes = u16::try_from(path.len())
            .map_err(|_| differs(format!("the server sent a path of {} bytes", path.len())))?;
        self.files.push(File { path_at: self.paths.len(), bytes, crc32c, path_bytes, is_listed: false });
        self.paths.extend_from_slice(path);
        Ok(())
    }

    /// Reads the manifest, which is what comes next, and compares each file.
    pub(super) fn compare(
        mut self,
        answer: &mut Answer<'_>,
        survey: &Survey,
        start: Lsn,
    ) -> Result<(), OpsError> {
        self.sort()?;
        let mut text = ManifestText::new(answer);
        let read = read_manifest(&mut text, &mut |file| self.look_at(&file).map_err(Wrong));
        if let Some(failed) = text.failed.take() {
            return Err(failed);
        }
        let manifest = read.map_err(|Wrong(error)| error)?;
        if let ManifestVersion::V2 { system_identifier } = manifest.version
            && system_identifier != survey.system_identifier
        {
            return Err(differs(format!("the manifest is of the system {system_identifier}")));
        }
        let begins = |range: &pgark_bytes::backup_manifest::WalRange| range.start == start;
        if !manifest.wal_ranges.iter().any(begins) {
            return Err(differs(format!(
                "the manifest is of another backup: none of its WAL begins at {start}"
            )));
        }
        match self.files.iter().find(|file| !file.is_listed) {
            None => Ok(()),
            Some(file) => Err(differs(format!(
                "{} has come, and the server's manifest does not have it",
                String::from_utf8_lossy(path_of(&self.paths, file))
            ))),
        }
    }

    /// Sorts by path: none came twice.
    fn sort(&mut self) -> Result<(), OpsError> {
        let Sent { paths, files } = self;
        files.sort_unstable_by(|one, other| path_of(paths, one).cmp(path_of(paths, other)));
        let twice = files.windows(2).find_map(|two| match two {
            [one, other] if path_of(paths, one) == path_of(paths, other) => Some(one),
            _ => None,
        });
        match twice {
            None => Ok(()),
            Some(file) => {
                let path = String::from_utf8_lossy(path_of(paths, file)).into_owned();
                Err(differs(format!("the server sent {path} twice")))
            }
        }
    }

    fn look_at(&mut self, listed: &ManifestFile<'_>) -> Result<(), OpsError> {
        let Sent { paths, files } = self;
        let shown = String::from_utf8_lossy(listed.path);
        let found = files.binary_search_by(|file| path_of(paths, file).cmp(listed.path));
        let Some(file) = found.ok().and_then(|at| files.get_mut(at)) else {
            return Err(differs(format!("{shown} is in the server's manifest, and has not come")));
        };
        if file.bytes != listed.size {
            return Err(differs(format!(
                "{shown} has come with {} bytes, and the server sent {}",
                file.bytes, listed.size
            )));
        }
        match listed.checksum {
            Some(FileChecksum::Crc32c(crc)) if crc == file.crc32c => {
                file.is_listed = true;
                Ok(())
            }
            Some(FileChecksum::Crc32c(crc)) => Err(differs(format!(
                "{shown} has come with the CRC32C {:08X}, and the server sent {crc:08X}",
                file.crc32c
            ))),
            _ => Err(differs(format!("the server's manifest has no CRC32C of {shown}"))),
        }
    }
}

fn path_of<'p>(paths: &'p [u8], file: &File) -> &'p [u8] {
    paths.get(file.path_at..file.path_at + usize::from(file.path_bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(files: &[(&str, u64, u32)]) -> Sent {
        let mut sent = Sent::default();
        for (path, bytes, crc32c) in files {
            sent.add(path.as_bytes(), *bytes, *crc32c).unwrap();
        }
        sent
    }

    fn listed(path: &str, size: u64, crc: Option<u32>) -> ManifestFile<'_> {
        let checksum = crc.map(FileChecksum::Crc32c);
        ManifestFile { path: path.as_bytes(), size, last_modified: None, checksum }
    }

    #[test]
    fn what_came_must_be_what_was_sent() {
        let mut files = sent(&[("b/2", 5, 77), ("a", 0, 0), ("b/1", 6, 78)]);
        files.sort().unwrap();
        let mut says = |file: ManifestFile<'_>| files.look_at(&file).map_err(|error| error.to_string());
        assert_eq!(says(listed("b/2", 5, Some(77))), Ok(()));
        assert!(says(listed("b/1", 7, Some(78))).unwrap_err().contains("b/1 has come with 6 bytes"));
        assert!(says(listed("b/1", 6, Some(79))).unwrap_err().contains("0000004E"));
        assert!(says(listed("b/1", 6, None)).unwrap_err().contains("no CRC32C of b/1"));
        assert!(says(listed("c", 6, Some(78))).unwrap_err().contains("has not come"));
        let missing: Vec<bool> = files.files.iter().map(|file| file.is_listed).collect();
        assert_eq!(missing, [false, false, true]);
        let twice = sent(&[("a", 1, 1), ("b", 1, 1), ("a", 1, 1)]).sort();
        assert!(twice.unwrap_err().to_string().contains("the server sent a twice"));
    }
}
