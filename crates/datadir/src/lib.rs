//! Reads a data directory as the server would: scan, exclude, verify, copy.
//!
//! A server may run in the directory and change it all the time. What it changes after the start of
//! a backup is in its WAL, so the files need not belong together: they must only be read without
//! losing anything that was there at the start. What that means in detail is in the head comments
//! of the three steps:
//!
//! * [`prove`]: whose directory it is, and whether its server lives;
//! * [`scan`]: which folders and files a backup takes, and what of it are pages;
//! * [`read`]: the pages of one file, in pieces, verified.
//!
//! Everything is opened below the directory, name by name, and no symbolic link is followed but
//! those that PostgreSQL itself puts or allows there: tablespaces and `pg_wal`
//! ([`DataDir::folder`]). So whoever owns the directory cannot lead a backup that runs as root to
//! other files.
//!
//! All functions block. The caller decides about threads: a [`DataDir`] and its folders can be
//! shared, a [`read::PageFile`] belongs to one thread. Whoever waits is asked again and again
//! whether to [`Stop`].

mod directory;
mod error;
mod file;
pub mod names;
pub mod prove;
pub mod read;
pub mod scan;
mod stop;

pub use directory::{DataDir, OpenFolder};
pub use error::Error;
pub use file::{About, OpenFile};
pub use stop::Stop;
