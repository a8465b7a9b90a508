//! What this host remembers of a repository: its fingerprint, and the newest backup of each cluster
//! that it saw.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use pgark_store::Storage;

use super::header::{Header, hex};
use crate::RepoError;
use crate::ids::RepositoryId;

/// Folders of this host. Without them the repository works, slower and without memory.
#[derive(Clone, Debug, Default)]
pub struct LocalFolders {
    /// For the index; safe to lose.
    pub cache: Option<PathBuf>,
    /// For fingerprints and the newest backups seen: guards against a replaced repository.
    pub state: Option<PathBuf>,
}

/// Compares the header with what is remembered for this storage; a first sight is trusted.
pub(super) fn compare(local: &LocalFolders, store: &Storage, header: &Header) -> Result<(), RepoError> {
    let found = header.fingerprint();
    match remembered(local, store)? {
        Some(known) if known != found => {
            Err(RepoError::FingerprintChanged { location: store.location(), known, found })
        }
        _ => Ok(()),
    }
}

/// The fingerprint that is remembered for this storage.
pub(crate) fn remembered(local: &LocalFolders, store: &Storage) -> Result<Option<String>, RepoError> {
    let Some(file) = fingerprint_file(local, &store.place()) else { return Ok(None) };
    Ok(read(&file)?.map(|known| known.trim().to_string()))
}

/// Remembers the header instead of whatever was remembered for this storage.
///
/// # Errors
/// [`RepoError::Local`]; [`RepoError::NoMemory`] without a state folder.
pub(crate) fn replace(local: &LocalFolders, store: &Storage, header: &Header) -> Result<(), RepoError> {
    let file = fingerprint_file(local, &store.place()).ok_or(RepoError::NoMemory)?;
    write(&file, &format!("{}\n", header.fingerprint())).map_err(|source| RepoError::Local {
        doing: "write",
        path: file.display().to_string(),
        source,
    })
}

/// Remembers the header of a repository that was made just now, whatever was there before. Answers
/// with the fingerprint of another repository that gave way.
pub(super) fn remember_new(local: &LocalFolders, store: &Storage, header: &Header) -> Option<String> {
    let file = fingerprint_file(local, &store.place())?;
    // What cannot be read is replaced all the same.
    let before = remembered(local, store).ok().flatten();
    if let Err(error) = write(&file, &format!("{}\n", header.fingerprint())) {
        not_remembered(store, "repository's fingerprint", &file, &error);
        return None;
    }
    before.filter(|before| *before != header.fingerprint())
}

/// Remembers the header. A state folder that cannot be written is no reason to refuse work.
pub(super) fn remember(local: &LocalFolders, store: &Storage, header: &Header) {
    let Some(file) = fingerprint_file(local, &store.place()) else { return };
    if !file.exists()
        && let Err(error) = write(&file, &format!("{}\n", header.fingerprint()))
    {
        not_remembered(store, "repository's fingerprint", &file, &error);
    }
}

fn not_remembered(store: &Storage, what: &str, file: &Path, error: &std::io::Error) {
    store.warn(&format!("the {what} cannot be remembered in {}: {error}", file.display()));
}

fn fingerprint_file(local: &LocalFolders, place: &str) -> Option<PathBuf> {
    let name = hex(&blake3::hash(place.as_bytes()).as_bytes()[..16]);
    Some(local.state.as_ref()?.join("known").join(name))
}

/// The newest manifest of each cluster that this host has seen: by cluster hash, sequence and
/// manifest hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    file: Option<PathBuf>,
    heads: BTreeMap<String, (u64, String)>,
}

impl Heads {
    /// Reads what is remembered; nothing without a state folder.
    pub fn read(local: &LocalFolders, repository: RepositoryId) -> Result<Heads, RepoError> {
        let Some(file) = local.state.as_ref().map(|state| state.join("heads").join(repository.to_string()))
        else {
            return Ok(Heads::default());
        };
        let mut heads = BTreeMap::new();
        for line in read(&file)?.unwrap_or_default().lines() {
            let mut fields = line.split(' ');
            if let (Some(cluster), Some(Ok(sequence)), Some(hash)) =
                (fields.next(), fields.next().map(str::parse), fields.next())
            {
                heads.insert(cluster.to_string(), (sequence, hash.to_string()));
            }
        }
        Ok(Heads { file: Some(file), heads })
    }

    /// The newest sequence seen of each cluster.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64, &str)> {
        self.heads.iter().map(|(cluster, (sequence, hash))| (cluster.as_str(), *sequence, hash.as_str()))
    }

    /// The newest sequence seen of one cluster.
    pub fn newest(&self, cluster_hash: &str) -> Option<u64> {
        self.heads.get(cluster_hash).map(|(sequence, _)| *sequence)
    }

    /// Notes a manifest if it is newer than what is remembered, and writes the memory.
    pub fn remember(&mut self, cluster_hash: &str, sequence: u64, manifest_hash: &str, store: &Storage) {
        if self.heads.get(cluster_hash).is_some_and(|(known, _)| *known >= sequence) {
            return;
        }
        self.heads.insert(cluster_hash.to_string(), (sequence, manifest_hash.to_string()));
        let Some(file) = &self.file else { return };
        let text: String = self
            .heads
            .iter()
            .map(|(cluster, (sequence, hash))| format!("{cluster} {sequence} {hash}\n"))
            .collect();
        if let Err(error) = write(file, &text) {
            not_remembered(store, "newest backup", file, &error);
        }
    }
}

/// The newest of the owner's lists that this host has seen: it never takes an older one for the
/// newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownList {
    pub number: u64,
    pub hash: String,
}

impl KnownList {
    fn file(local: &LocalFolders, repository: RepositoryId) -> Option<PathBuf> {
        Some(local.state.as_ref()?.join("lists").join(repository.to_string()))
    }

    /// What is remembered; nothing without a state folder.
    pub(crate) fn read(
        local: &LocalFolders,
        repository: RepositoryId,
    ) -> Result<Option<KnownList>, RepoError> {
        let Some(file) = KnownList::file(local, repository) else { return Ok(None) };
        let text = read(&file)?.unwrap_or_default();
        let known = text.trim().split_once(' ').and_then(|(number, hash)| {
            Some(KnownList { number: number.parse().ok()?, hash: hash.to_string() })
        });
        Ok(known)
    }

    /// Writes it; a state folder that cannot be written is no reason to refuse work.
    pub(crate) fn remember(&self, local: &LocalFolders, repository: RepositoryId, store: &Storage) {
        let Some(file) = KnownList::file(local, repository) else { return };
        if let Err(error) = write(&file, &format!("{} {}\n", self.number, self.hash)) {
            not_remembered(store, "newest list of writers", &file, &error);
        }
    }
}

fn read(file: &Path) -> Result<Option<String>, RepoError> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        // A home that cannot be read (another user's) remembers nothing.
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(source) => Err(RepoError::Local { doing: "read", path: file.display().to_string(), source }),
    }
}

/// Makes a folder, and those above it, readable by its owner alone whatever the umask.
pub fn private_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes a whole file or none, in a private folder. What a crash of the host leaves of it is not
/// known: for files that are safe to lose.
pub(crate) fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    temporary(file, bytes)?.persist(file).map(drop).map_err(|error| error.error)
}

/// The same, on disk before it has its name.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let temporary = temporary(file, text.as_bytes())?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map(drop).map_err(|error| error.error)
}

/// The bytes next to the file that they will be.
fn temporary(file: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let folder = file.parent().unwrap_or(Path::new("."));
    private_folder(folder)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(bytes)?;
    Ok(temporary)
}
