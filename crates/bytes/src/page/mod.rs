//! Pages of relation files: the header, what must hold of it, and the checksum.
//!
//! A relation file is a row of pages of one size, 8 KiB unless PostgreSQL was built otherwise (1 to
//! 32 KiB). Each page begins with a header of 24 bytes (`PageHeaderData`, PostgreSQL 15,
//! `src/include/storage/bufpage.h`; the layout, version 4, is the same in 8.3 to 18). Numbers are
//! in the byte order of the server's machine; here that is little-endian.
//!
//! Files of the transaction status (`pg_xact` and others) consist of pages of the same size, but
//! without header and checksum: nothing of this is for them.

mod checksum;
mod header;

pub use checksum::checksum;
pub use header::{HEADER_BYTES, Header, HeaderFault, is_zero};
