//! What an export is asked for, and what of a database's contents that leaves.

use std::collections::HashSet;
use std::path::PathBuf;

use pgark_bytes::archive::TocEntry;
use pgark_bytes::archive::filter::{load_parents_first, parents_in_front};
use pgark_bytes::archive::statements::{Options, without_owner};

use super::compress::Method;
use crate::advice::{Setting, advice};
use crate::logical::choose::{self, ContentsFilter, Picked};
use crate::logical::contents::Contents;
use crate::{BackupName, Job, OpsError};

/// pg_dump's formats, and CSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A directory of files, written by several threads; `pg_restore -j` reads it in parallel.
    Directory,
    /// One file; `pg_restore -j` reads it in parallel, if it was not written to a pipe.
    Custom,
    /// A tar file, uncompressed.
    Tar,
    /// SQL for psql.
    Plain,
    /// The rows of one table, as `COPY … (FORMAT csv, HEADER)` writes them.
    Csv,
}

/// Where an export goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A directory or file to make; it must not exist (a directory may be empty).
    Path(PathBuf),
    /// Standard output.
    Stream,
}

/// What to export and where to.
pub struct Request {
    /// Which backup.
    pub backup: BackupName,
    /// Its name in the backup; may be left out where the backup holds only one.
    pub database: Option<String>,
    /// In which format.
    pub format: Format,
    /// Where to.
    pub output: Output,
    /// How data is compressed; the format's default if none is given.
    pub compress: Option<Method>,
    /// The major version of the pg_restore that is to read it.
    pub for_major: Option<i32>,
    /// Of plain SQL: the database's creation, settings and privileges too.
    pub with_database: bool,
    /// Of SQL for psql: with `\restrict`, which psql knows since 2025-08.
    pub restrict: bool,
    /// What of the database.
    pub choice: ContentsFilter,
    /// Objects belong to the role that restores.
    pub no_owner: bool,
    /// Leave out GRANT and REVOKE.
    pub no_privileges: bool,
    /// Files written at once, of a directory.
    pub jobs: usize,
}

impl Request {
    pub(super) fn method(&self) -> Result<Method, OpsError> {
        match (self.format, self.compress) {
            (Format::Directory | Format::Custom, None) => Ok(Method::Gzip(1)),
            (Format::Tar | Format::Plain | Format::Csv, None) => Ok(Method::None),
            (Format::Tar, Some(method)) if method != Method::None => Err(OpsError::Usage(advice![
                "a tar archive is not compressed; write ",
                Setting::Compress.to("none"),
                ", or another format",
            ])),
            (_, Some(method)) => Ok(method),
        }
    }

    /// Whether what reads the export decides about the database itself, as pg_restore does.
    pub(super) fn is_archive(&self) -> bool {
        matches!(self.format, Format::Directory | Format::Custom | Format::Tar)
    }

    pub(super) fn options(&self) -> Options {
        Options {
            create_database: self.with_database || self.is_archive(),
            no_owner: self.no_owner,
            no_privileges: self.no_privileges,
            no_tablespaces: self.choice.no_tablespaces,
            ..Options::default()
        }
    }

    /// Leaves in the contents what was asked for.
    pub(super) fn take(&self, contents: &mut Contents, job: &Job) -> Result<Picked, OpsError> {
        let rows_only = !self.choice.makes_definitions();
        if rows_only {
            load_parents_first(&mut contents.archive);
        }
        let picked = choose::select(contents, &self.choice, &self.options())?;
        for text in picked.children().told() {
            job.progress.info(&text);
        }
        // Rows, or what comes behind them, go where the tables are.
        for key in picked.cut_keys.iter().filter(|_| !rows_only) {
            job.progress.warn(&format!(
                "foreign key {} needs {}, which is not exported: it can be restored only into a database that has this table",
                key.tag,
                key.parent_shown(),
            ));
        }
        // An archive always says of which database it is, whatever pg_restore then does about it.
        let is_head = |entry: &TocEntry| {
            entry.is_setting()
                || (self.is_archive() && matches!(entry.kind(), "DATABASE" | "DATABASE PROPERTIES"))
        };
        // As with pg_dump, a table says that it is in a publication only where that comes along.
        let publications: HashSet<i32> = contents
            .archive
            .entries
            .iter()
            .filter(|entry| entry.kind() == "PUBLICATION" && picked.selection.contains(entry.dump_id))
            .map(|entry| entry.dump_id)
            .collect();
        let has_its_publication = |entry: &TocEntry| {
            !matches!(entry.kind(), "PUBLICATION TABLE" | "PUBLICATION TABLES IN SCHEMA")
                || entry.dependencies.iter().any(|id| publications.contains(id))
        };
        contents.keep(|entry| {
            is_head(entry) || (picked.selection.contains(entry.dump_id) && has_its_publication(entry))
        });
        if rows_only {
            parents_in_front(&mut contents.archive);
        }
        for entry in &mut contents.archive.entries {
            if self.no_owner {
                without_owner(entry);
            }
            if self.choice.no_tablespaces && entry.tablespace.is_some() {
                entry.tablespace = Some(Vec::new());
            }
        }
        Ok(picked)
    }
}
