//! `pg_dump`'s archive: the header and the table of contents (TOC), archive versions 1.12 to 1.16.
//!
//! The same header and TOC open a custom-format stream (`pg_dump -Fc`) and make up a directory's
//! `toc.dat`. Format by observation of archives written by `pg_dump` 15 and by the documented
//! history of the format:
//!
//! | archive | `pg_dump` | change |
//! |---|---|---|
//! | 1.12 | 9.0 | one BLOB entry per large object |
//! | 1.13 | 10.3, 11 | SEARCHPATH entry |
//! | 1.14 | 12 to 15 | table access method |
//! | 1.15 | 16 | compression is one byte naming an algorithm |
//! | 1.16 | 17, 18 | relation kind, BLOB METADATA, several BLOBS entries |
//!
//! * [`read_toc`] reads exactly the header and the TOC, [`write_toc`] writes them;
//! * [`convert`] makes an archive that older programs read;
//! * [`family`] is who inherits from whom;
//! * [`filter`] chooses tables and schemas with what belongs to them;
//! * [`identity`] is what entries make, as a server's catalog names it;
//! * [`order`] is the order in which entries may be restored, also by many workers;
//! * [`script`] reads a plain dump as if it were an archive;
//! * [`stable`] keeps a TOC with numbers that do not shift from one dump to the next;
//! * [`statements`] is the SQL that restoring one entry means.

pub mod convert;
mod dependencies;
mod error;
pub mod family;
pub mod filter;
pub mod identity;
mod model;
mod options;
pub mod order;
mod passes;
mod read;
mod reads;
mod roles;
pub mod script;
mod selection;
pub mod stable;
pub mod statements;
mod unnamed;
mod waits;
mod write;

pub use error::ArchiveError;
pub use model::{
    Archive, ArchiveVersion, Compression, CreatedAt, Format, Header, Offset, Section, Shown, TocEntry,
};
pub use read::{Limits, read_toc, read_toc_with_limits};
pub use write::{DirectoryCompression, toc_pieces, write_directory_toc, write_toc};
