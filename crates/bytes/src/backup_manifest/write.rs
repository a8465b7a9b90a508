//! A manifest, written file by file.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::model::{ManifestFile, ManifestVersion, WalRange, put_hex};

/// Writes a manifest, byte for byte as a server does that lists the same files in the same order.
///
/// Each call writes a small piece: hand in a buffered writer. Dropped before
/// [`ManifestWriter::finish`] it leaves a manifest that every reader refuses.
#[derive(Debug)]
pub struct ManifestWriter<W: Write> {
    to: W,
    hash: Sha256,
    /// The line at hand.
    line: Vec<u8>,
    has_files: bool,
}

impl<W: Write> ManifestWriter<W> {
    /// Begins a manifest.
    ///
    /// # Errors
    /// What the writer says.
    pub fn new(to: W, version: ManifestVersion) -> io::Result<ManifestWriter<W>> {
        let mut manifest = ManifestWriter { to, hash: Sha256::new(), line: Vec::new(), has_files: false };
        let (number, identifier) = match version {
            ManifestVersion::V1 => (1, String::new()),
            ManifestVersion::V2 { system_identifier } => {
                (2, format!("\"System-Identifier\": {system_identifier},\n"))
            }
        };
        write!(
            manifest.line,
            "{{ \"PostgreSQL-Backup-Manifest-Version\": {number},\n{identifier}\"Files\": ["
        )?;
        manifest.put()?;
        Ok(manifest)
    }

    /// Adds a file. A path that is not UTF-8 is written in hexadecimal digits.
    ///
    /// # Errors
    /// What the writer says.
    pub fn file(&mut self, file: &ManifestFile<'_>) -> io::Result<()> {
        self.line.extend_from_slice(if self.has_files { b",\n{ " } else { b"\n{ " });
        self.has_files = true;
        match std::str::from_utf8(file.path) {
            Ok(path) => {
                self.line.extend_from_slice(b"\"Path\": ");
                // Its escapes are those of the server (escape_json in
                // src/backend/utils/adt/json.c).
                serde_json::to_writer(&mut self.line, path)?;
            }
            Err(_) => {
                self.line.extend_from_slice(b"\"Encoded-Path\": \"");
                put_hex(file.path, &mut self.line);
                self.line.push(b'"');
            }
        }
        write!(self.line, ", \"Size\": {}", file.size)?;
        if let Some(seconds) = file.last_modified {
            write!(self.line, ", \"Last-Modified\": \"{} GMT\"", time(seconds))?;
        }
        if let Some(checksum) = file.checksum {
            let algorithm = checksum.algorithm();
            write!(self.line, ", \"Checksum-Algorithm\": \"{algorithm}\", \"Checksum\": \"")?;
            checksum.put_digits(&mut self.line);
            self.line.push(b'"');
        }
        self.line.extend_from_slice(b" }");
        self.put()
    }

    /// Ends the manifest with the WAL that the backup needs, the newest timeline first, and its
    /// checksum.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self, wal_ranges: &[WalRange]) -> io::Result<W> {
        self.line.extend_from_slice(b"\n],\n\"WAL-Ranges\": [\n");
        for (number, WalRange { timeline, start, end }) in wal_ranges.iter().enumerate() {
            self.line.extend_from_slice(if number == 0 { b"" } else { b",\n" });
            write!(
                self.line,
                "{{ \"Timeline\": {timeline}, \"Start-LSN\": \"{start}\", \"End-LSN\": \"{end}\" }}"
            )?;
        }
        self.line.extend_from_slice(b"\n],\n");
        self.put()?;
        self.line.extend_from_slice(b"\"Manifest-Checksum\": \"");
        put_hex(&self.hash.finalize_reset(), &mut self.line);
        self.line.extend_from_slice(b"\"}\n");
        self.put()?;
        Ok(self.to)
    }

    fn put(&mut self) -> io::Result<()> {
        self.hash.update(&self.line);
        self.to.write_all(&self.line)?;
        self.line.clear();
        Ok(())
    }
}

/// As the server's `%Y-%m-%d %H:%M:%S`; a time outside of the years -9999 to 9999 is the nearest
/// inside, for a file system may hold any.
fn time(seconds: i64) -> impl std::fmt::Display {
    let nearest = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let time = Timestamp::from_second(seconds).unwrap_or(nearest);
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
