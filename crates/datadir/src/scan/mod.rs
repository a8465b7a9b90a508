//! Which folders and files of a data directory a backup takes.
//!
//! **Purpose.** One walk through the directory, before anything is read. It says how much there is,
//! gives workers a list to share, and fixes each file's length. What appears later is in the WAL.
//!
//! **What is taken** is what the server itself sends in a base backup (`sendDir`, PostgreSQL 15,
//! `src/backend/backup/basebackup.c`; the lists are the same in 13 to 18 but for
//! `pg_wal/summaries`, which 17 brought). `rules.rs` has the lists. Folders whose content a start
//! would throw away, and `pg_wal`, are taken empty. Temporary files and relations are left out; of
//! unlogged relations only the init fork is taken. Of a tablespace only the folder of this major
//! version is read, since several majors can share a location. Files that a restore puts itself, or
//! that would begin a recovery that nobody asked for (`recovery.signal`), are left out, too.
//!
//! **Pages and others.** A folder has two lists: *pages* are files that consist of pages (relation
//! files, and the segments of transaction status, which have neither headers nor checksums);
//! *others* are copied byte by byte. `global/pg_control` is one of these. It must be copied last
//! ([`crate::prove::control`]).
//!
//! **Links** are not followed, but for tablespaces and `pg_wal`. All others are listed: whoever
//! replaced `pg_xact` by a link has a backup without it, and must be told. FIFOs, sockets and
//! devices are listed and left alone.
//!
//! **What vanishes** meanwhile is left out without a word: files of dropped tables, folders of
//! dropped databases. A tablespace whose link is still there but leads nowhere is an error.
//! What grows or shrinks meanwhile has the length that it had when it was looked at.
//!
//! **Order.** Folders are sorted by path, so that parents come before what is in them, and files by
//! name, as bytes.
//!
//! **Memory.** A file costs 24 bytes and its name; names of relations have 4 to 18. Nothing else
//! grows with the number of files.
//!
//! **Cancel** is looked at for every folder and every few hundred files. A scan writes nothing, so
//! a crash leaves nothing.

mod files;
mod found;
mod rules;
mod walk;

pub use files::{FileRecord, Files};
pub use found::{Folder, FolderKind, LeftOut, Link, Location, Scan, Tablespace};
pub use rules::changes_a_restore;
pub use walk::{ScanOptions, scan};
