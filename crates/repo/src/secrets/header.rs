//! The clear header `pgark.json`: what must be known before a key is.

use age::secrecy::zeroize::Zeroize;
use jiff::Timestamp;
use pgark_store::{PutOutcome, Storage, StoreError};

use crate::RepoError;
use crate::ids::RepositoryId;

/// The header and its copy.
pub(crate) const HEADERS: [&str; 2] = [NAME, COPY];
pub(super) const NAME: &str = "pgark.json";
pub(super) const COPY: &str = "pgark.json.copy";
/// The format version that this program writes and the only one that it reads.
const FORMAT: u64 = 0;
/// A header is a few hundred bytes.
const LARGEST: u64 = 64 * 1024;
/// Features that this program knows.
const KNOWN: &[&str] = &[EDITION];
/// Keys by compartment, signed index, chained lists of writers, one list of marks for each prune:
/// what earlier editions of the format did not have. Programs of these refuse the repository by
/// this name, and this one refuses theirs by its absence.
const EDITION: &str = "edition 3";
/// The format that this program reads and writes, for people: `format 0, edition 3`.
pub fn format_name() -> String {
    format!("format {FORMAT}, {EDITION}")
}

/// Groups of clusters that share keys, and the clusters of all.
const MOST_SHARED: usize = 256;

/// The clear header: what is known of a repository before it is opened. `bytes` are exactly those
/// stored: fingerprint and hash are over them.
#[derive(Debug)]
pub struct Header {
    /// The repository's id.
    pub id: RepositoryId,
    pub(super) encrypted: bool,
    pub(super) data_public: Option<[u8; 32]>,
    /// The first owner's public key: every later one was signed by the one before.
    pub(super) owner_public: Option<[u8; 32]>,
    /// Clusters that share the keys of a compartment: hashes of their names, the first of each
    /// group being the compartment's id.
    pub(super) shared: Vec<Vec<[u8; 16]>>,
    bytes: Vec<u8>,
}

impl Header {
    /// `public`: of data and of the owner; none if nothing is encrypted.
    pub(super) fn new(
        id: RepositoryId,
        public: Option<([u8; 32], [u8; 32])>,
        shared: &[Vec<[u8; 16]>],
    ) -> Result<Header, RepoError> {
        let created = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        let text = |key: Option<[u8; 32]>| key.map_or("null".to_string(), |key| format!("\"{}\"", hex(&key)));
        let (data, owner) = (text(public.map(|(data, _)| data)), text(public.map(|(_, owner)| owner)));
        let group = |group: &Vec<[u8; 16]>| {
            let names: Vec<String> = group.iter().map(|hash| format!("\"{}\"", hex(hash))).collect();
            format!("[{}]", names.join(", "))
        };
        let shared = shared.iter().map(group).collect::<Vec<_>>().join(", ");
        let encrypted = public.is_some();
        let text = format!(
            "{{\n  \"format\": {FORMAT},\n  \"repository\": \"{id}\",\n  \"created\": \"{created}\",\n  \
             \"encrypted\": {encrypted},\n  \"data_public_key\": {data},\n  \"owner_public_key\": {owner},\n  \
             \"shared\": [{shared}],\n  \"needed_to_read\": [\"{EDITION}\"],\n  \
             \"needed_to_write\": [\"{EDITION}\"],\n  \"optional\": []\n}}\n"
        );
        Header::parse(text.into_bytes())
    }

    /// Reads the header, or its copy where the first is missing or damaged.
    ///
    /// # Errors
    /// [`RepoError::NoRepository`], [`RepoError::NewerFormat`]; damage of both; failures of the
    /// storage.
    pub fn get(store: &Storage) -> Result<Header, RepoError> {
        match Header::one(store, NAME) {
            // A flipped bit may look like another format, too.
            Err(
                first @ (RepoError::Damaged { .. } | RepoError::NewerFormat { .. } | RepoError::OlderFormat),
            ) => Ok(Header::copy(store)?.ok_or(first)?),
            Ok(Some(header)) => Ok(header),
            Ok(None) => match Header::one(store, COPY)? {
                Some(header) => Ok(header),
                None => Err(RepoError::NoRepository { location: store.location() }),
            },
            Err(error) => Err(error),
        }
    }

    fn one(store: &Storage, name: &str) -> Result<Option<Header>, RepoError> {
        read(store, name)?.map(Header::parse).transpose()
    }

    /// The second copy, if it is there and can be read.
    pub(crate) fn copy(store: &Storage) -> Result<Option<Header>, RepoError> {
        match Header::one(store, COPY) {
            Err(RepoError::Store(error)) => Err(error.into()),
            other => Ok(other.ok().flatten()),
        }
    }

    /// Puts the header, whose outcome is the repository's, then its copy.
    pub(super) fn put(&self, store: &Storage) -> Result<PutOutcome, RepoError> {
        let mut outcome = store.put_if_absent(NAME, self.bytes.clone().into())?;
        // Ours, and the answer to the put that made it was lost.
        if outcome == PutOutcome::AlreadyExists && store.get(NAME)? == self.bytes {
            outcome = PutOutcome::Created;
        }
        if outcome == PutOutcome::Created {
            store.put_if_absent(COPY, self.bytes.clone().into())?;
        }
        Ok(outcome)
    }

    pub(super) fn parse(bytes: Vec<u8>) -> Result<Header, RepoError> {
        let damaged = |what: &str| RepoError::Damaged { object: NAME.into(), what: what.into() };
        let fields: Fields = serde_json::from_slice(&bytes)
            .map_err(|error| damaged(&format!("it is not a header: {error}")))?;
        if fields.format != FORMAT {
            return Err(RepoError::NewerFormat { what: format!("format version {}", fields.format) });
        }
        if !fields.needed_to_read.iter().any(|feature| feature == EDITION) {
            return Err(RepoError::OlderFormat);
        }
        let unknown = fields.needed_to_read.iter().chain(&fields.needed_to_write);
        if let Some(feature) = unknown.into_iter().find(|feature| !KNOWN.contains(&feature.as_str())) {
            return Err(RepoError::NewerFormat { what: format!("feature {feature}") });
        }
        let id = unhex(&fields.repository).ok_or_else(|| damaged("its id cannot be read"))?;
        let key = |key: Option<String>| match key {
            Some(key) => unhex(&key).map(Some).ok_or_else(|| damaged("its public keys cannot be read")),
            None => Ok(None),
        };
        let (data_public, owner_public) = (key(fields.data_public_key)?, key(fields.owner_public_key)?);
        if fields.encrypted != data_public.is_some() || fields.encrypted != owner_public.is_some() {
            return Err(damaged("it contradicts itself about encryption"));
        }
        let group = |group: Vec<String>| group.iter().map(|hash| unhex(hash)).collect::<Option<Vec<_>>>();
        let shared: Option<Vec<Vec<[u8; 16]>>> = fields.shared.into_iter().map(group).collect();
        let shared = shared.ok_or_else(|| damaged("its groups of clusters cannot be read"))?;
        let mut all: Vec<&[u8; 16]> = shared.iter().flatten().collect();
        let count = all.len();
        all.sort();
        all.dedup();
        if all.len() != count || count > MOST_SHARED || shared.iter().any(|group| group.len() < 2) {
            return Err(damaged("its groups of clusters contradict each other"));
        }
        Ok(Header {
            id: RepositoryId(id),
            encrypted: fields.encrypted,
            data_public,
            owner_public,
            shared,
            bytes,
        })
    }

    /// What slots and writer keys carry: BLAKE3 of the stored bytes.
    pub(super) fn hash(&self) -> [u8; 32] {
        blake3::derive_key("pgark 2026 header v0", &self.bytes)
    }

    /// The first 16 bytes of the hash in groups of four digits.
    pub fn fingerprint(&self) -> String {
        let hash = hex(&self.hash());
        let groups: Vec<&str> = (0..8).filter_map(|group| hash.get(group * 4..group * 4 + 4)).collect();
        groups.join("-")
    }

    /// Whether the repository says that it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }
}

#[derive(serde::Deserialize)]
struct Fields {
    format: u64,
    repository: String,
    encrypted: bool,
    data_public_key: Option<String>,
    #[serde(default)]
    owner_public_key: Option<String>,
    #[serde(default)]
    shared: Vec<Vec<String>>,
    needed_to_read: Vec<String>,
    needed_to_write: Vec<String>,
}

pub(super) fn exists(store: &Storage) -> Result<bool, RepoError> {
    match read(store, NAME) {
        Ok(found) => Ok(found.is_some()),
        // Something that is too large for a header is something.
        Err(RepoError::Damaged { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

fn read(store: &Storage, name: &str) -> Result<Option<Vec<u8>>, RepoError> {
    // A size from a stranger must not take the memory.
    match store.get_at_most(name, LARGEST + 1) {
        Ok(bytes) if bytes.len() as u64 > LARGEST => {
            Err(RepoError::Damaged { object: name.into(), what: format!("it has more than {LARGEST} bytes") })
        }
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        match text.get(2 * at..2 * at + 2).map(|pair| u8::from_str_radix(pair, 16)) {
            Some(Ok(value)) => *byte = value,
            _ => {
                bytes.zeroize();
                return None;
            }
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_its_fingerprint_stays() {
        let shared = vec![vec![[1; 16], [2; 16]], vec![[3; 16], [4; 16], [5; 16]]];
        let header = Header::new(RepositoryId([9; 16]), Some(([7; 32], [8; 32])), &shared).unwrap();
        let again = Header::parse(header.bytes.clone()).unwrap();
        assert_eq!((again.id, again.fingerprint()), (RepositoryId([9; 16]), header.fingerprint()));
        assert_eq!((again.data_public, again.owner_public), (Some([7; 32]), Some([8; 32])));
        assert_eq!(again.shared, shared);
        for wrong in [vec![vec![[1; 16]]], vec![vec![[1; 16], [1; 16]]], vec![vec![[1; 16], [2; 16]]; 2]] {
            assert!(Header::new(RepositoryId([9; 16]), None, &wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn unknown_versions_and_features_are_newer() {
        let header = Header::new(RepositoryId([9; 16]), None, &[]).unwrap();
        let text = String::from_utf8(header.bytes).unwrap();
        for (from, to) in [
            ("\"format\": 0", "\"format\": 1"),
            ("\"needed_to_read\": [", "\"needed_to_read\": [\"maps\", "),
            ("\"needed_to_write\": [", "\"needed_to_write\": [\"maps\", "),
        ] {
            let changed = text.replace(from, to).into_bytes();
            assert!(matches!(Header::parse(changed), Err(RepoError::NewerFormat { .. })), "{to}");
        }
        let first = text.replace(&format!("\"{EDITION}\""), "").into_bytes();
        assert!(matches!(Header::parse(first), Err(RepoError::OlderFormat)));
        let contradiction = text.replace("\"encrypted\": false", "\"encrypted\": true").into_bytes();
        assert!(matches!(Header::parse(contradiction), Err(RepoError::Damaged { .. })));
    }
}
