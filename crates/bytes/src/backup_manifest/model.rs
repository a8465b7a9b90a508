//! What a manifest says.

use crate::lsn::Lsn;

/// The version of a manifest's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestVersion {
    /// Of PostgreSQL 13 to 16.
    V1,
    /// Of PostgreSQL 17 and 18.
    V2 {
        /// The cluster that was backed up.
        system_identifier: u64,
    },
}

/// A file of the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestFile<'a> {
    /// Its path below the data directory, in the bytes of the file system; a file of a tablespace
    /// is below `pg_tblspc/OID`.
    pub path: &'a [u8],
    /// Its bytes.
    pub size: u64,
    /// When it was changed last, in seconds since the Unix epoch; `None` where the manifest does
    /// not say it, or not in the server's form. PostgreSQL does not read it.
    pub last_modified: Option<i64>,
    /// The checksum of its bytes; `None` if the backup was made without.
    pub checksum: Option<FileChecksum>,
}

/// The checksum of a file. As text it is the algorithm's name and hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileChecksum {
    /// CRC-32C. A manifest has its bytes as they lie in the memory of the server: the lowest first
    /// on a little-endian machine, which is the only kind that is supported.
    Crc32c(u32),
    /// SHA-224
    Sha224([u8; 28]),
    /// SHA-256
    Sha256([u8; 32]),
    /// SHA-384
    Sha384([u8; 48]),
    /// SHA-512
    Sha512([u8; 64]),
}

impl FileChecksum {
    /// The name of the algorithm, as manifests have it.
    pub fn algorithm(&self) -> &'static str {
        match self {
            FileChecksum::Crc32c(_) => "CRC32C",
            FileChecksum::Sha224(_) => "SHA224",
            FileChecksum::Sha256(_) => "SHA256",
            FileChecksum::Sha384(_) => "SHA384",
            FileChecksum::Sha512(_) => "SHA512",
        }
    }

    /// Appends the digits, as manifests have them.
    pub(super) fn put_digits(&self, to: &mut Vec<u8>) {
        match self {
            FileChecksum::Crc32c(crc) => put_hex(&crc.to_le_bytes(), to),
            FileChecksum::Sha224(digest) => put_hex(digest, to),
            FileChecksum::Sha256(digest) => put_hex(digest, to),
            FileChecksum::Sha384(digest) => put_hex(digest, to),
            FileChecksum::Sha512(digest) => put_hex(digest, to),
        }
    }

    /// Of an algorithm, whose name can be in any case, and digits. `None` where the digits are not
    /// a checksum of that algorithm; `Some(None)` where there is no such algorithm.
    pub(super) fn parse(algorithm: &str, digits: &str) -> Option<Option<FileChecksum>> {
        let checksum = match algorithm.to_ascii_uppercase().as_str() {
            "CRC32C" => FileChecksum::Crc32c(u32::from_le_bytes(array(digits)?)),
            "SHA224" => FileChecksum::Sha224(array(digits)?),
            "SHA256" => FileChecksum::Sha256(array(digits)?),
            "SHA384" => FileChecksum::Sha384(array(digits)?),
            "SHA512" => FileChecksum::Sha512(array(digits)?),
            _ => return Some(None),
        };
        Some(Some(checksum))
    }
}

/// WAL that recovery from the backup needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalRange {
    /// The timeline.
    pub timeline: u32,
    /// From here.
    pub start: Lsn,
    /// To here.
    pub end: Lsn,
}

/// What a manifest says in addition to its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its form.
    pub version: ManifestVersion,
    /// How many files it has.
    pub files: u64,
    /// The WAL that is needed, the newest timeline first; a backup during which the timeline did
    /// not change has one range.
    pub wal_ranges: Vec<WalRange>,
}

/// Appends two lower-case digits for each byte.
pub(super) fn put_hex(bytes: &[u8], to: &mut Vec<u8>) {
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            to.push(if half < 10 { b'0' + half } else { b'a' + half - 10 });
        }
    }
}

/// Bytes from digits in either case.
pub(super) fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let half = |digit: u8| char::from(digit).to_digit(16).and_then(|half| u8::try_from(half).ok());
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(half(*high)? << 4 | half(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

/// As many bytes as the array has.
pub(super) fn array<const N: usize>(digits: &str) -> Option<[u8; N]> {
    bytes_of(digits)?.try_into().ok()
}
