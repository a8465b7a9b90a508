//! One database's chosen contents on their way into a format.

use pgark_bytes::archive::order::name_all_dependencies;
use pgark_bytes::archive::statements::Options;
use pgark_bytes::archive::{Archive, ArchiveVersion, Format as HeaderFormat, TocEntry, convert};
use pgark_repo::{DataReader, Entry};

use super::compress::{self, Method};
use super::request::Request;
use crate::facts::About;
use crate::logical::contents::Contents;
use crate::logical::toc::blobs_toc;
use crate::{Job, OpsError};

/// What every format needs.
pub(super) struct Source<'a> {
    pub(super) contents: &'a Contents,
    /// The contents' archive, in the version that is written.
    pub(super) archive: Archive,
    pub(super) method: Method,
    /// The major version of the server that a plain script is for.
    pub(super) major: i32,
    /// What a plain script leaves out, and whether it makes the database itself, too.
    pub(super) options: Options,
    pub(super) restrict: bool,
    pub(super) reader: &'a DataReader<'a>,
    pub(super) job: &'a Job,
}

impl<'a> Source<'a> {
    pub(super) fn new(
        contents: &'a Contents,
        reader: &'a DataReader<'a>,
        method: Method,
        request: &Request,
        about: &About,
        job: &'a Job,
    ) -> Result<Source<'a>, OpsError> {
        let version = compress::version(contents.archive.header.version, request.for_major, method)?;
        let mut archive = convert::at_most(contents.archive.clone(), version);
        archive.header.version = archive.header.version.max(version);
        name_all_dependencies(&mut archive);
        Ok(Source {
            contents,
            archive,
            method,
            major: request.for_major.unwrap_or(about.server_version / 10_000),
            options: request.options(),
            restrict: request.restrict,
            reader,
            job,
        })
    }

    /// The archive with its header as this format has it.
    pub(super) fn headed(&self, format: HeaderFormat) -> Archive {
        let mut archive = self.archive.clone();
        archive.header.format = format;
        archive.header.compression = self.method.in_header(archive.header.version);
        archive
    }

    /// A table's rows as COPY text; nothing for a table that is not in the backup.
    pub(super) fn rows(
        &self,
        toc: &TocEntry,
        take: &mut dyn FnMut(&[u8]) -> Result<(), OpsError>,
    ) -> Result<(), OpsError> {
        let Some((entry, _)) = self.contents.tables.get(&toc.dump_id) else { return Ok(()) };
        let name = toc.describe();
        self.job.progress.object_started(&name);
        self.stream(entry, take)?;
        self.job.progress.object_done(&name);
        Ok(())
    }

    pub(super) fn stream(
        &self,
        entry: &Entry,
        take: &mut dyn FnMut(&[u8]) -> Result<(), OpsError>,
    ) -> Result<(), OpsError> {
        let mut content = self.reader.read(entry);
        while let Some(chunk) = content.next_chunk()? {
            self.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            take(&chunk)?;
            self.job.progress.advance(chunk.len() as u64);
        }
        Ok(())
    }

    /// The large objects of a BLOBS entry: all, or from 1.16 those of the BLOB METADATA entry that
    /// it depends on.
    pub(super) fn members(&self, toc: &TocEntry, all: &[u32]) -> Vec<u32> {
        if self.archive.header.version < ArchiveVersion::V1_16 {
            return all.to_vec();
        }
        let metadata = toc.dependencies.iter().filter_map(|id| self.archive.entry(*id));
        metadata.filter(|other| other.kind() == "BLOB METADATA").flat_map(convert::group_members).collect()
    }

    /// The name of a BLOBS entry's list.
    pub(super) fn list_name(&self, toc: &TocEntry) -> String {
        blobs_toc(&self.archive, toc)
    }
}

/// The line that ends a table's rows in a data file, as script output (`pg_restore -f -`) needs it.
pub(super) const END_OF_ROWS: &[u8] = b"\\.\n\n\n";
