//! How exported data is compressed: the methods that pg_dump has, as streams over any writer.

use std::io::{self, Write};

use flate2::Compression as Level;
use flate2::write::{GzEncoder, ZlibEncoder};
use pgark_bytes::archive::{ArchiveVersion, Compression};

use crate::OpsError;

/// pg_dump's compression methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As it is.
    None,
    /// gzip, level 1 to 9.
    Gzip(u32),
    /// lz4 (pg_restore 16 and newer).
    Lz4,
    /// zstd, level 1 to 19 (pg_restore 16 and newer).
    Zstd(i32),
}

impl Method {
    /// `gzip`, `lz4`, `zstd`, `none`, with `:LEVEL` where there are levels; a bare number is a
    /// level of gzip, 0 none.
    pub fn parse(text: &str) -> Result<Method, String> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => {
                ("gzip", Some(text))
            }
            None => (text, None),
        };
        let within = |range: std::ops::RangeInclusive<u32>, default: u32| match level {
            None => Ok(default),
            Some(level) => level.parse::<u32>().ok().filter(|level| range.contains(level)).ok_or_else(|| {
                format!("level {level:?} of {name} is not one of {} to {}", range.start(), range.end())
            }),
        };
        match name {
            "none" if level.is_none() => Ok(Method::None),
            "gzip" if level == Some("0") => Ok(Method::None),
            "gzip" => Ok(Method::Gzip(within(1..=9, 6)?)),
            "lz4" if level.is_none() => Ok(Method::Lz4),
            "lz4" => Err("lz4 has one level only; write lz4".into()),
            "zstd" => Ok(Method::Zstd(i32::try_from(within(1..=19, 3)?).unwrap_or(3))),
            _ => Err(format!(
                "{text:?} is not a compression method; write none, gzip, lz4 or zstd, with :LEVEL"
            )),
        }
    }

    /// What data files' names end with.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Method::None => "",
            Method::Gzip(_) => ".gz",
            Method::Lz4 => ".lz4",
            Method::Zstd(_) => ".zst",
        }
    }

    /// The oldest archive version that knows the method.
    pub(super) fn needs(self) -> ArchiveVersion {
        match self {
            Method::None | Method::Gzip(_) => ArchiveVersion::V1_14,
            Method::Lz4 | Method::Zstd(_) => ArchiveVersion::V1_15,
        }
    }

    /// The header's field, in the form that the version has.
    pub(super) fn in_header(self, version: ArchiveVersion) -> Compression {
        if version < ArchiveVersion::V1_15 {
            return Compression::Level(match self {
                Method::None => 0,
                Method::Gzip(level) => i32::try_from(level).unwrap_or(-1),
                Method::Lz4 | Method::Zstd(_) => -1,
            });
        }
        Compression::Algorithm(match self {
            Method::None => 0,
            Method::Gzip(_) => 1,
            Method::Lz4 => 2,
            Method::Zstd(_) => 3,
        })
    }

    /// A stream as a file of its own: gzip has its header there.
    pub(super) fn file<W: Write>(self, to: W) -> io::Result<Compressor<W>> {
        match self {
            Method::Gzip(level) => Ok(Compressor::Gzip(GzEncoder::new(to, Level::new(level)))),
            _ => self.block(to),
        }
    }

    /// A stream inside of a custom archive: zlib's format there.
    pub(super) fn block<W: Write>(self, to: W) -> io::Result<Compressor<W>> {
        Ok(match self {
            Method::None => Compressor::None(to),
            Method::Gzip(level) => Compressor::Zlib(ZlibEncoder::new(to, Level::new(level))),
            Method::Lz4 => Compressor::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(to))),
            Method::Zstd(level) => Compressor::Zstd(zstd::Encoder::new(to, level)?),
        })
    }
}

/// A stream that compresses.
pub(super) enum Compressor<W: Write> {
    None(W),
    Gzip(GzEncoder<W>),
    Zlib(ZlibEncoder<W>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<W>>),
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    /// Writes what is left and gives the writer back.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Compressor::None(to) => Ok(to),
            Compressor::Gzip(encoder) => encoder.finish(),
            Compressor::Zlib(encoder) => encoder.finish(),
            Compressor::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
            Compressor::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Compressor::None(to) => to.write(bytes),
            Compressor::Gzip(encoder) => encoder.write(bytes),
            Compressor::Zlib(encoder) => encoder.write(bytes),
            Compressor::Lz4(encoder) => encoder.write(bytes),
            Compressor::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Compressor::None(to) => to.flush(),
            Compressor::Gzip(encoder) => encoder.flush(),
            Compressor::Zlib(encoder) => encoder.flush(),
            Compressor::Lz4(encoder) => encoder.flush(),
            Compressor::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// The archive version that an export gets: that of the backup, older where an older pg_restore is
/// to read it, newer where the method needs it.
pub(super) fn version(
    of_backup: ArchiveVersion,
    for_major: Option<i32>,
    method: Method,
) -> Result<ArchiveVersion, OpsError> {
    let newest = for_major.map_or(ArchiveVersion::V1_16, ArchiveVersion::read_by);
    let wanted = of_backup.max(method.needs()).min(newest);
    if wanted < method.needs() {
        return Err(OpsError::Usage(crate::Advice::from(format!(
            "pg_restore {} cannot read {} archives; choose gzip or none",
            for_major.unwrap_or_default(),
            method.suffix().trim_start_matches('.')
        ))));
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::Method;

    #[test]
    fn methods_are_written_as_pg_dump_has_them() {
        for (text, method) in [
            ("none", Method::None),
            ("0", Method::None),
            ("gzip:0", Method::None),
            ("gzip", Method::Gzip(6)),
            ("9", Method::Gzip(9)),
            ("gzip:1", Method::Gzip(1)),
            ("lz4", Method::Lz4),
            ("zstd", Method::Zstd(3)),
            ("zstd:19", Method::Zstd(19)),
        ] {
            assert_eq!(Method::parse(text).unwrap(), method);
        }
        for bad in ["", "10", "gzip:10", "lz4:1", "zstd:0", "zstd:x", "none:1", "brotli"] {
            assert!(Method::parse(bad).is_err(), "{bad}");
        }
    }
}
