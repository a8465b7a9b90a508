//! A manifest, read file by file.
//!
//! JSON is serde_json's. What it must be in addition is checked as PostgreSQL does, and stricter
//! where that hides nothing: each field once, in the server's order, and paths below the data
//! directory.

use std::fmt;
use std::io::Read;
use std::marker::PhantomData;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::model::{
    FileChecksum, Manifest, ManifestFile, ManifestVersion, WalRange, array, bytes_of, put_hex,
};
use super::source::{Progress, Source};
use crate::lsn::Lsn;

/// Every range is of another timeline, and no cluster has so many.
const MOST_WAL_RANGES: usize = 10_000;

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The input failed.
    #[error("read the backup manifest")]
    Read(#[source] std::io::Error),
    /// It ends too early.
    #[error("read the backup manifest: it ends in line {line}, which is not its end")]
    Truncated {
        /// The number of the line, from 1.
        line: usize,
    },
    /// It is not JSON, or has a field or a value that manifests do not have.
    #[error("read line {line} of the backup manifest")]
    Json {
        /// The number of the line, from 1.
        line: usize,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// An entry is so long that it cannot be one.
    #[error("read the backup manifest: an entry is longer than any path makes it")]
    TooLong,
    /// A value that no manifest has.
    #[error("read line {line} of the backup manifest: {fault}")]
    Invalid {
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong.
        fault: ManifestFault,
    },
    /// The checksum must be in a line of its own, the last.
    #[error("read the backup manifest: its last line is not that of its checksum")]
    Lines,
    /// It was changed, or damaged.
    #[error("read the backup manifest: its checksum is {stored}, but that of its lines is {computed}")]
    Checksum {
        /// The checksum in the manifest.
        stored: String,
        /// The checksum of what is there.
        computed: String,
    },
}

/// A value that no manifest has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestFault {
    /// It does not begin with its version.
    #[error("it does not begin with its version")]
    NoVersion,
    /// A version that is not 1 or 2.
    #[error("version {0} of the manifest is not supported (1 and 2 are)")]
    Version(u64),
    /// A field is in a place where it does not belong, for example a second time.
    #[error("{0:?} does not belong there")]
    Misplaced(&'static str),
    /// A path is given twice, or not at all.
    #[error("a file has to have one path")]
    OnePath,
    /// A path that leads out of the data directory.
    #[error("the path {0:?} is not one below the data directory")]
    Path(String),
    /// A checksum without its algorithm, or the other way round.
    #[error("the checksum of {0:?} is not complete")]
    HalfChecksum(String),
    /// An algorithm that PostgreSQL does not have.
    #[error("there is no checksum algorithm {0:?}")]
    Algorithm(String),
    /// Digits that are not a checksum.
    #[error("{0:?} is not a checksum of its algorithm")]
    Digits(String),
    /// Text that is not an LSN.
    #[error("{0:?} is not an LSN")]
    Lsn(String),
    /// A range that ends before it begins, or on timeline 0.
    #[error("the range of WAL from {start} to {end} on timeline {timeline} cannot be")]
    Range {
        /// The timeline.
        timeline: u32,
        /// Where it begins.
        start: Lsn,
        /// Where it ends.
        end: Lsn,
    },
    /// More ranges than timelines can be.
    #[error("it has too many ranges of WAL")]
    Ranges,
}

/// Reads a manifest of version 1 or 2, and hands on its files in their order.
///
/// Whether the manifest is whole is known only at its end, by its checksum: until this function has
/// returned, the files are not more than a claim.
///
/// # Errors
/// What is wrong with the manifest and in which line, or what `on_file` says.
pub fn read_manifest<E: From<ManifestError>>(
    input: impl Read,
    on_file: &mut dyn FnMut(ManifestFile<'_>) -> Result<(), E>,
) -> Result<Manifest, E> {
    let progress = Progress::new();
    let mut source = Source::new(input, &progress);
    let mut reading = Reading { progress: &progress, on_file, files: 0, stopped: None };
    let mut json = serde_json::Deserializer::from_reader(&mut source);
    let read = Top(&mut reading).deserialize(&mut json).and_then(|read| json.end().map(|()| read));
    let (manifest, stored) = match read {
        Ok(read) => read,
        Err(error) => {
            let line = error.line();
            return Err(match reading.stopped.take() {
                Some(Stopped::Caller(error)) => error,
                Some(Stopped::Fault { line, fault }) => ManifestError::Invalid { line, fault }.into(),
                None if progress.is_too_long() => ManifestError::TooLong.into(),
                None if error.is_eof() => ManifestError::Truncated { line }.into(),
                None if error.is_io() => ManifestError::Read(error.into()).into(),
                None => ManifestError::Json { line, source: error }.into(),
            });
        }
    };
    let computed = source.digest().ok_or(ManifestError::Lines)?;
    if computed != stored {
        let text = |digest: &[u8]| {
            let mut digits = Vec::new();
            put_hex(digest, &mut digits);
            String::from_utf8_lossy(&digits).into_owned()
        };
        return Err(ManifestError::Checksum { stored: text(&stored), computed: text(&computed) }.into());
    }
    Ok(manifest)
}

/// What a manifest is read with.
struct Reading<'a, E> {
    progress: &'a Progress,
    on_file: &'a mut dyn FnMut(ManifestFile<'_>) -> Result<(), E>,
    files: u64,
    /// Why the parser was told to stop: its own errors hold text only.
    stopped: Option<Stopped<E>>,
}

enum Stopped<E> {
    Caller(E),
    Fault { line: usize, fault: ManifestFault },
}

impl<E> Reading<'_, E> {
    fn fault<D: de::Error>(&mut self, fault: ManifestFault) -> D {
        self.stopped = Some(Stopped::Fault { line: self.progress.line(), fault });
        D::custom("not a backup manifest")
    }

    fn file<D: de::Error>(&mut self, file: &RawFile) -> Result<(), D> {
        self.progress.next_entry();
        let decoded;
        let path = match (&file.path, &file.encoded_path) {
            (Some(path), None) => path.as_bytes(),
            (None, Some(digits)) => {
                decoded = bytes_of(digits).ok_or_else(|| self.fault(ManifestFault::Path(digits.clone())))?;
                &decoded
            }
            _ => return Err(self.fault(ManifestFault::OnePath)),
        };
        let shown = || String::from_utf8_lossy(path).into_owned();
        if !is_below(path) {
            return Err(self.fault(ManifestFault::Path(shown())));
        }
        let checksum = match (&file.checksum_algorithm, &file.checksum) {
            (None, None) => None,
            (Some(algorithm), Some(digits)) => match FileChecksum::parse(algorithm, digits) {
                Some(Some(checksum)) => Some(checksum),
                Some(None) => return Err(self.fault(ManifestFault::Algorithm(algorithm.clone()))),
                None => return Err(self.fault(ManifestFault::Digits(digits.clone()))),
            },
            _ => return Err(self.fault(ManifestFault::HalfChecksum(shown()))),
        };
        let last_modified = file.last_modified.as_deref().and_then(seconds);
        self.files += 1;
        (self.on_file)(ManifestFile { path, size: file.size, last_modified, checksum }).map_err(|error| {
            self.stopped = Some(Stopped::Caller(error));
            D::custom("stopped")
        })
    }

    fn wal_range<D: de::Error>(&mut self, range: &RawRange) -> Result<WalRange, D> {
        self.progress.next_entry();
        let mut lsn = |text: &String| text.parse().map_err(|_| self.fault(ManifestFault::Lsn(text.clone())));
        let (start, end) = (lsn(&range.start)?, lsn(&range.end)?);
        let timeline = range.timeline;
        if timeline == 0 || end < start {
            return Err(self.fault(ManifestFault::Range { timeline, start, end }));
        }
        Ok(WalRange { timeline, start, end })
    }
}

/// Whether a path leads to a place below the folder that it is taken from.
fn is_below(path: &[u8]) -> bool {
    let mut names = path.split(|byte| *byte == b'/');
    !path.contains(&0) && names.all(|name| !matches!(name, b"" | b"." | b".."))
}

/// Of `2026-11-30 22:15:35 GMT`.
fn seconds(text: &str) -> Option<i64> {
    let time = DateTime::strptime("%Y-%m-%d %H:%M:%S", text.strip_suffix(" GMT")?).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// The manifest as a whole; gives it with the checksum that it names.
struct Top<'r, 'a, E>(&'r mut Reading<'a, E>);

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(field_identifier)]
enum TopField {
    #[serde(rename = "PostgreSQL-Backup-Manifest-Version")]
    Version,
    #[serde(rename = "System-Identifier")]
    SystemIdentifier,
    #[serde(rename = "Files")]
    Files,
    #[serde(rename = "WAL-Ranges")]
    WalRanges,
    #[serde(rename = "Manifest-Checksum")]
    Checksum,
}

impl TopField {
    fn name(self) -> &'static str {
        match self {
            TopField::Version => "PostgreSQL-Backup-Manifest-Version",
            TopField::SystemIdentifier => "System-Identifier",
            TopField::Files => "Files",
            TopField::WalRanges => "WAL-Ranges",
            TopField::Checksum => "Manifest-Checksum",
        }
    }
}

impl<'de, E> DeserializeSeed<'de> for Top<'_, '_, E> {
    type Value = (Manifest, [u8; 32]);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, E> Visitor<'de> for Top<'_, '_, E> {
    type Value = (Manifest, [u8; 32]);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a backup manifest")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let Top(reading) = self;
        if map.next_key::<TopField>()? != Some(TopField::Version) {
            return Err(reading.fault(ManifestFault::NoVersion));
        }
        let version = match map.next_value::<u64>()? {
            1 => ManifestVersion::V1,
            2 => {
                expect(&mut map, reading, TopField::SystemIdentifier)?;
                ManifestVersion::V2 { system_identifier: map.next_value()? }
            }
            other => return Err(reading.fault(ManifestFault::Version(other))),
        };
        expect(&mut map, reading, TopField::Files)?;
        map.next_value_seed(Files(reading))?;
        expect(&mut map, reading, TopField::WalRanges)?;
        let wal_ranges = map.next_value_seed(WalRanges(reading))?;
        expect(&mut map, reading, TopField::Checksum)?;
        let digits = map.next_value::<String>()?;
        let Some(checksum) = array(&digits) else {
            return Err(reading.fault(ManifestFault::Digits(digits)));
        };
        if let Some(field) = map.next_key::<TopField>()? {
            return Err(reading.fault(ManifestFault::Misplaced(field.name())));
        }
        Ok((Manifest { version, files: reading.files, wal_ranges }, checksum))
    }
}

/// The next field, which must be this one.
fn expect<'de, M: MapAccess<'de>, E>(
    map: &mut M,
    reading: &mut Reading<'_, E>,
    expected: TopField,
) -> Result<(), M::Error> {
    reading.progress.next_entry();
    match map.next_key::<TopField>()? {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(reading.fault(ManifestFault::Misplaced(found.name()))),
        None => Err(de::Error::missing_field(expected.name())),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Last-Modified")]
    last_modified: Option<String>,
    #[serde(rename = "Checksum-Algorithm")]
    checksum_algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRange {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

/// An entry of a list. Alone, serde would take a list of values for one, too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Object<T>, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Object<T>, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        json.deserialize_map(Fields(PhantomData))
    }
}

/// The list of files, of which none is kept.
struct Files<'r, 'a, E>(&'r mut Reading<'a, E>);

impl<'de, E> DeserializeSeed<'de> for Files<'_, '_, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de, E> Visitor<'de> for Files<'_, '_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        while let Some(Object(file)) = list.next_element()? {
            self.0.file(&file)?;
        }
        Ok(())
    }
}

/// The list of ranges.
struct WalRanges<'r, 'a, E>(&'r mut Reading<'a, E>);

impl<'de, E> DeserializeSeed<'de> for WalRanges<'_, '_, E> {
    type Value = Vec<WalRange>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Vec<WalRange>, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de, E> Visitor<'de> for WalRanges<'_, '_, E> {
    type Value = Vec<WalRange>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of ranges of WAL")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Vec<WalRange>, S::Error> {
        let mut ranges = Vec::new();
        while let Some(Object(range)) = list.next_element()? {
            if ranges.len() == MOST_WAL_RANGES {
                return Err(self.0.fault(ManifestFault::Ranges));
            }
            ranges.push(self.0.wal_range(&range)?);
        }
        Ok(ranges)
    }
}
