//! A put: a temporary file, whole and synced, that is given its name.
//!
//! The name is given in a way that fails if it is taken: `hardlink@openssh.com`, else a version 3
//! rename, of which the draft (section 6.5) says that it fails then. Not every server keeps to
//! that: some rename onto what is there, one answers that a link was made which was not, and some
//! file systems have no links. So the first small object of each run is named twice, and looked
//! for: where the second time succeeds, put-if-absent is not honoured, and where no object is
//! found, links are not used any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use russh_sftp::protocol::{FileAttributes, OpenFlags, StatusCode};

use super::connect::Connection;
use super::pool::Load;
use super::{SftpStore, TEMPORARY, Wrong, make_folder};
use crate::condition::Condition;
use crate::traffic::Request;
use crate::{Cancel, PutOutcome, StoreError, lock};

/// Writes at once: what OpenSSH's server takes before it has answered is 2 MiB.
const WRITES: usize = 8;
/// What is larger gets a connection of its own.
const LARGE: usize = 256 << 10;
/// What was found out about names.
#[derive(Default)]
pub(super) struct Naming {
    pub(super) condition: Condition,
    /// The server says that it links, and does not, or cannot.
    links_are_lost: AtomicBool,
}

impl SftpStore {
    /// The folders that a put of this object needs, parents first.
    fn folders_of(&self, name: &str) -> Vec<String> {
        let slashes = name.match_indices('/').map(|(at, _)| name.split_at(at).0);
        [TEMPORARY].into_iter().chain(slashes).map(|folder| format!("{}/{folder}", self.root)).collect()
    }

    pub(super) fn put(&self, name: &str, bytes: &Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
        let path = self.path(name)?;
        self.traffic.count(Request::Put);
        let load = if bytes.len() > LARGE { Load::Large } else { Load::Small };
        self.ask(cancel, "write", name, load, async |connection| {
            self.pool.begin();
            let folder = path.rsplit_once('/').map(|(folder, _)| folder.to_string()).unwrap_or_default();
            let needed = self.folders_of(name);
            let make = needed.iter().filter(|folder| !lock(&self.folders).contains(*folder)).map(|folder| {
                let attributes = FileAttributes { permissions: Some(0o700), ..FileAttributes::empty() };
                connection.sftp.mkdir(folder, attributes)
            });
            let write = self.write_temporary(connection, bytes);
            // Sent in this order, a parent before its child; what is there already says so, and
            // nobody listens.
            let (_, found, temporary) =
                tokio::join!(biased; join_all(make), connection.sftp.stat(&path), write);
            let temporary = temporary?;
            if found.is_ok() {
                let _ = connection.sftp.remove(&temporary).await;
                return Ok(PutOutcome::AlreadyExists);
            }
            let mut named = self.give_name(connection, &temporary, &path, bytes).await;
            if named.as_ref().is_err_and(Wrong::is_missing) {
                make_folder(connection, &folder).await?;
                named = self.give_name(connection, &temporary, &path, bytes).await;
            }
            if named.is_ok() {
                lock(&self.folders).extend(needed);
            }
            if self.links(connection) || named.is_err() {
                let (sftp, temporary) = (Arc::clone(&connection.sftp), temporary.clone());
                // What stays because that fails is swept a day later.
                tokio::spawn(async move { sftp.remove(temporary).await });
            }
            match named {
                Ok(()) => Ok(PutOutcome::Created),
                // One code stands for every failure: what it was, the name itself tells.
                Err(Wrong::Answer(code, text)) => match connection.sftp.stat(&path).await {
                    Ok(_) => Ok(PutOutcome::AlreadyExists),
                    Err(_) => Err(Wrong::Answer(code, text)),
                },
                Err(wrong) => Err(wrong),
            }
        })
    }

    fn links(&self, connection: &Connection) -> bool {
        connection.hardlink && !self.naming.links_are_lost.load(Ordering::Relaxed)
    }

    /// Names the file, and finds out about names if that is not known yet.
    async fn give_name(
        &self,
        connection: &Connection,
        temporary: &str,
        path: &str,
        bytes: &Bytes,
    ) -> Result<(), Wrong> {
        let asks = self.naming.condition.is_unknown() && bytes.len() <= Condition::SMALL;
        if self.links(connection) {
            if !asks {
                connection.sftp.hardlink(temporary, path).await?;
                return Ok(());
            }
            if self.link_twice(connection, temporary, path).await? {
                return Ok(());
            }
        }
        connection.sftp.rename(temporary, path).await?;
        if asks {
            self.rename_again(connection, path, bytes).await;
        }
        Ok(())
    }

    /// Whether it has its name now; else the server links nothing. Both links are sent together: it
    /// costs no round trip.
    async fn link_twice(&self, connection: &Connection, temporary: &str, path: &str) -> Result<bool, Wrong> {
        let sftp = &connection.sftp;
        let (one, other) =
            tokio::join!(biased; sftp.hardlink(temporary, path), sftp.hardlink(temporary, path));
        match (one.map_err(Wrong::from), other.map_err(Wrong::from)) {
            (Err(wrong), Err(_)) => self.without_links(connection, temporary, path, wrong).await?,
            // A server that takes one and not the other made it.
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => self.naming.condition.set_honoured(),
            (Ok(_), Ok(_)) => match sftp.stat(path).await.map_err(Wrong::from) {
                Ok(_) => self.naming.condition.set_ignored(&self.shown),
                Err(wrong) if wrong.is_missing() => {
                    self.naming.links_are_lost.store(true, Ordering::Relaxed);
                    return Ok(false);
                }
                Err(wrong) => return Err(wrong),
            },
        }
        Ok(true)
    }

    /// Behind a rename: whether another one takes the name. Where something goes wrong, the
    /// question stays open.
    async fn rename_again(&self, connection: &Connection, path: &str, bytes: &Bytes) {
        // The same bytes: should they come to lie there, nothing is other than before.
        let Ok(again) = self.write_temporary(connection, bytes).await else { return };
        match connection.sftp.rename(&again, path).await.map_err(Wrong::from) {
            Ok(_) => self.naming.condition.set_ignored(&self.shown),
            Err(Wrong::Answer(..)) => {
                self.naming.condition.set_honoured();
                let _ = connection.sftp.remove(again).await;
            }
            Err(_) => {}
        }
    }

    /// Where the server's file system has no hard links, which no code says, a rename still gives
    /// the name. How the server sees to it that none is taken there is not known (OpenSSH's looks
    /// before it renames).
    async fn without_links(
        &self,
        connection: &Connection,
        temporary: &str,
        path: &str,
        wrong: Wrong,
    ) -> Result<(), Wrong> {
        // EPERM, which also stands for missing links, is a denial here.
        let codes = [StatusCode::Failure, StatusCode::OpUnsupported, StatusCode::PermissionDenied];
        let is_unclear = matches!(&wrong, Wrong::Answer(code, _) if codes.contains(code));
        let is_free = async || {
            let found = connection.sftp.stat(path).await.map_err(Wrong::from);
            found.is_err_and(|wrong| wrong.is_missing())
        };
        if !is_unclear || !is_free().await || connection.sftp.rename(temporary, path).await.is_err() {
            return Err(wrong);
        }
        self.naming.links_are_lost.store(true, Ordering::Relaxed);
        self.naming.condition.set_ignored(&self.shown);
        Ok(())
    }

    /// Writes a temporary file, whole and synced. Its path comes back.
    async fn write_temporary(&self, connection: &Connection, bytes: &Bytes) -> Result<String, Wrong> {
        let folder = format!("{}/{TEMPORARY}", self.root);
        let temporary = format!("{folder}/{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUDE;
        let attributes = FileAttributes { permissions: Some(0o600), ..FileAttributes::empty() };
        let opened = match connection.sftp.open(&temporary, flags, attributes.clone()).await {
            Err(error) => match Wrong::from(error) {
                wrong if wrong.is_missing() => {
                    make_folder(connection, &folder).await?;
                    connection.sftp.open(&temporary, flags, attributes).await?
                }
                wrong => return Err(wrong),
            },
            Ok(opened) => opened,
        };
        let handle = opened.handle;
        // A server takes the requests of one handle in their order: what follows the last write
        // does not wait for its answer.
        let (all, last) = bytes.split_at(bytes.len() - self.last_piece(connection, bytes.len()));
        let written = self.write_all(connection, &handle, all).await;
        if let Some(wait) = self.limits.up.sleep(last.len()) {
            wait.await;
        }
        self.traffic.sent(last.len());
        let end = async {
            match last.is_empty() {
                true => Ok(()),
                false => connection.sftp.write(&handle, all.len() as u64, last.to_vec()).await.map(|_| ()),
            }
        };
        let sync = async {
            match connection.fsync {
                true => connection.sftp.fsync(&handle).await.map(|_| ()),
                false => Ok(()),
            }
        };
        let (ended, synced, closed) = tokio::join!(biased; end, sync, connection.sftp.close(&handle));
        let written = written.and(ended.map_err(Wrong::from));
        let whole = written.and(synced.map_err(Wrong::from)).and(closed.map_err(Wrong::from));
        if whole.is_err() {
            let _ = connection.sftp.remove(&temporary).await;
        }
        whole.map(|_| temporary)
    }

    /// How much of so many bytes is the last write.
    fn last_piece(&self, connection: &Connection, len: usize) -> usize {
        let piece = connection.write_len as usize;
        len - len.saturating_sub(1) / piece * piece
    }

    async fn write_all(&self, connection: &Connection, handle: &str, bytes: &[u8]) -> Result<(), Wrong> {
        let mut running = FuturesUnordered::new();
        let mut offset = 0;
        for piece in bytes.chunks(connection.write_len as usize) {
            if running.len() >= WRITES
                && let Some(done) = running.next().await
            {
                done?;
            }
            if let Some(wait) = self.limits.up.sleep(piece.len()) {
                wait.await;
            }
            self.traffic.sent(piece.len());
            running.push(connection.sftp.write(handle, offset, piece.to_vec()));
            offset += piece.len() as u64;
        }
        while let Some(done) = running.next().await {
            done?;
        }
        Ok(())
    }
}
