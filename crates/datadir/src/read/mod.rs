//! The pages of one file, in pieces, verified, while the server may write them.
//!
//! **Purpose.** A [`PageFile`] gives the content of one relation file, or one segment of
//! transaction status, piece by piece: 128 pages each, 1 MiB. Files are independent of each other;
//! many threads read many files. Bytes are given as they are read, always: whether a page is right
//! is a matter of the report, not of what is stored.
//!
//! **How much is read.** Up to the length that the scan saw: what came later is in the WAL. A file
//! that is gone is told as such, one that was cut off meanwhile ends where it ends: recovery drops
//! or cuts it, too. A length that is not a multiple of the page size is a page that was being
//! appended; it is read again a few times until it is whole. If it never is, its part is given, and
//! the file's true length is the caller's to keep.
//!
//! **When a page is right** (if [`Checks`] are asked for; those without headers must not be). One
//! that is all zeros is. A new one (`pd_upper` 0) that is not all zeros is not. Otherwise its
//! checksum must be right, its header in order ([`pgark_bytes::page::HeaderFault`]), and its LSN
//! not behind the end of the WAL.
//!
//! **Retries.** The server writes pages while we read, and a read can see half of a write. So a
//! page that is not right is read again, up to five times with pauses, together with the others of
//! its piece.
//! * If it is right then, it is taken.
//! * If it changed between two reads and is not right, it is being written. It is taken, since
//!   a page written during a backup is in the WAL as a whole (full page writes are forced on).
//! * If it never changed, and its LSN is between the start of the backup and the end of the WAL, it
//!   is taken as PostgreSQL's own base backup takes it: the WAL has it as a whole. Not on trust,
//!   though: its block is noted, so that a caller can compare it with the WAL.
//! * If it never changed, and the WAL does not have it, it is damaged: a failure in the report.
//!
//! PostgreSQL reads a page again once, at once. That reports damage where a write takes longer, as
//! on a busy machine.
//!
//! **The end of the WAL** moves while a server writes. Where it is not known when the files are
//! read, the report's newest LSN is compared with it afterwards, and a file that has a newer one is
//! read again to name its blocks.
//!
//! **Cancel** is looked at before each piece and during pauses. Nothing is written, so neither a
//! cancel nor a crash leaves anything.
//!
//! **Why plain reads.** Mapped memory ends the program if a file is cut off, and neither `io_uring`
//! nor direct reads were faster on the disks that were tried. The kernel is told what comes next.

mod arriving;
mod checks;
mod pages;
mod report;

pub use arriving::ArrivingFile;
pub use checks::Checks;
pub use pages::{PageFile, ReadOptions, Wanted};
pub use report::{Failure, FailureKind, MOST_NOTED, Report};
