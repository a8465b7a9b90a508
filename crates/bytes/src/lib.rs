//! Every byte PostgreSQL writes or says, as pure functions.
//!
//! Nothing here opens a file, a socket or a clock: bytes come in, values come out, and the other
//! way round. Every reader takes its input from a file, a server or a network, so every reader is
//! bounded and answers damaged input with a typed error, never with a panic.
//!
//! * [`archive`]: `pg_dump`'s archive (header and table of contents), and what `pg_restore` makes
//!   of it;
//! * [`backup_label`]: what a server says of a base backup;
//! * [`backup_manifest`]: the files of a base backup, with their checksums;
//! * [`control_file`]: a cluster's `pg_control`;
//! * [`copy_text`]: rows and fields of `COPY` in text format;
//! * [`crc32c`]: the checksum of `pg_control`, WAL records and backup manifests;
//! * [`encoding`]: text in other encodings than UTF-8;
//! * [`large_objects`]: large objects as a stream of frames;
//! * [`lsn`]: positions in the WAL;
//! * [`names`]: names for people, whatever bytes they are of;
//! * [`nearest`]: the name that someone probably meant;
//! * [`page`]: pages of relation files: header and checksum;
//! * [`pattern`]: name patterns as psql and pg_dump have them;
//! * [`postmaster_pid`]: which server runs in a data directory;
//! * [`protocol`]: framing of the frontend/backend protocol, and the messages of streaming
//!   replication;
//! * [`sql`]: quoting, and a tokenizer just deep enough to find statements and role names;
//! * [`tablespace_map`]: where the tablespaces of a base backup are;
//! * [`timeline_history`]: which timelines a timeline came from;
//! * [`version`]: server version numbers;
//! * [`wal`]: pages and records of the WAL, and the proof that a run of it is whole;
//! * [`wal_name`]: names of WAL segments and of the files among them.
//! * [`protocol`]: framing of the frontend/backend protocol, the messages of streaming replication,
//!   and those of a base backup;
//! * [`sql`]: quoting, and a tokenizer just deep enough to find statements and role names;
//! * [`tar`]: tar archives of base backups;
//! * [`version`]: server version numbers.

pub mod archive;
pub mod backup_label;
pub mod backup_manifest;
pub mod control_file;
pub mod copy_text;
pub mod crc32c;
pub mod encoding;
pub mod large_objects;
pub mod lsn;
pub mod names;
pub mod nearest;
pub mod page;
pub mod pattern;
pub mod postmaster_pid;
pub mod protocol;
pub mod sql;
pub mod tablespace_map;
pub mod tar;
pub mod timeline_history;
pub mod version;
pub mod wal;
pub mod wal_name;
