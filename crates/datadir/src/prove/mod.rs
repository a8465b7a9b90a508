//! Whose directory it is: what a caller needs to prove that a data directory is that of the server
//! it talks to.
//!
//! Two clusters on one host can have one system identifier (a standby, a restored copy), so that
//! alone proves nothing. `postmaster.pid` has the directory's path as the server knows it, the
//! port, the socket's folder and the second in which the postmaster started; the server tells
//! `data_directory`, its port and `pg_postmaster_start_time()`. If they agree, and the process
//! lives and has this very directory as its own, the directory is the server's.
//!
//! The file can be of a server that is gone, and its number be that of another process now. It can
//! also be of a server in another container, whose processes cannot be seen from here: [`Process`]
//! tells what was seen, the caller decides.
//!
//! `pg_control` is read here, too, since it may be caught half written: [`control`] reads it until
//! it is whole. What is in it is for `pgark_bytes`.

mod control;
mod postmaster;
mod version;

pub use control::control;
pub use postmaster::{Process, postmaster, process};
pub use version::major;
