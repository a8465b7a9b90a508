//! Objects as files behind SSH: SFTP version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's
//! extensions (its PROTOCOL file, section 4).
//!
//! A put writes a temporary file in `.tmp/`, syncs it (`fsync@openssh.com`), and gives it its name
//! (`put.rs`). SFTP can not sync a folder: how soon a new name survives a crash of the host is up
//! to its file system. Requests that do not wait for one another are sent together: one round trip
//! after the other costs 50 ms each on a far host. Connections are kept (`pool.rs`), and one that
//! fails is thrown away.

mod connect;
mod files;
pub(crate) mod known_hosts;
mod login;
mod pool;
mod proxy;
mod put;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use russh_sftp::client::error::Error;
use russh_sftp::protocol::{FileAttributes, StatusCode};

use crate::pace::Pace;
use crate::runtime::Engine;
use crate::target::SftpConfig;
use crate::traffic::{Request, Traffic, TrafficReport};
use crate::url::StorageUrl;
use crate::{
    Cancel, Capabilities, Cause, LARGEST_OBJECT, ObjectMeta, PutOutcome, Store, StoreError, lock, name,
};
use connect::Connection;
use files::OpenFile;
use pool::{Load, Pool};
use put::Naming;

const TEMPORARY: &str = ".tmp";
/// No put takes this long: a temporary file of this age belongs to a crash.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// Reads of one object on their way at once: with 255 KiB each, 4 MiB.
const READS: usize = 16;
/// Ranges larger than this are read only when the file is known to be as large.
const LARGE: u64 = 64 << 20;
/// Folders that are listed at once on one connection.
const FOLDERS: usize = 16;
/// A get of more than this gets a connection of its own.
const LARGE_GET: u64 = 4 << 20;
/// What lies between two ranges is fetched with them if it is at most this.
const GAP: u64 = 128 << 10;

/// What is shared with all that moves bytes.
#[derive(Clone)]
pub(crate) struct Limits {
    pub up: Arc<Pace>,
    pub down: Arc<Pace>,
    pub stall: Duration,
    pub connections: usize,
}

/// A folder behind SSH.
pub(crate) struct SftpStore {
    engine: Engine,
    limits: Limits,
    traffic: Arc<Traffic>,
    /// For messages: the URL.
    shown: String,
    /// Absolute.
    root: String,
    pool: Arc<Pool>,
    /// Folders that are there, by their paths.
    folders: Mutex<HashSet<String>>,
    naming: Naming,
}

/// How an operation went wrong.
enum Wrong {
    /// As the server said.
    Answer(StatusCode, String),
    /// The connection is of no use any more.
    Broken(String),
    /// Not as was promised.
    Told(StoreError),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Wrong {
        match error {
            Error::Status(status) => match status.status_code {
                StatusCode::NoConnection | StatusCode::ConnectionLost | StatusCode::BadMessage => {
                    Wrong::Broken(status.error_message)
                }
                code => Wrong::Answer(code, status.error_message),
            },
            Error::Timeout => Wrong::Broken("no data was transferred for too long".into()),
            other => Wrong::Broken(other.to_string()),
        }
    }
}

impl Wrong {
    fn is_missing(&self) -> bool {
        matches!(self, Wrong::Answer(StatusCode::NoSuchFile, _))
    }
}

impl SftpStore {
    /// Connects and finds the folder; `create` makes it, readable by its owner alone, with its
    /// parents.
    pub(crate) fn open(
        config: SftpConfig,
        create: bool,
        engine: Engine,
        limits: Limits,
        traffic: &Arc<Traffic>,
        cancel: &Cancel,
    ) -> Result<SftpStore, StoreError> {
        let shown = StorageUrl::Sftp(config.place.clone()).to_string();
        let path = config.place.path.clone();
        let pool = Arc::new(Pool::new(config, shown.clone(), limits.stall, limits.connections));
        let mut store = SftpStore {
            engine,
            limits,
            traffic: Arc::clone(traffic),
            shown,
            root: String::new(),
            pool,
            folders: Mutex::default(),
            naming: Naming::default(),
        };
        let (root, there) = store.ask(cancel, "open the folder", "", Load::Small, async |connection| {
            let root = match path.starts_with('/') {
                true => path.clone(),
                false => {
                    let home = connection.sftp.realpath(".").await?;
                    let home = home.files.first().map(|file| file.filename.clone()).unwrap_or_default();
                    format!("{}/{path}", home.trim_end_matches('/'))
                }
            };
            if create {
                make_folder(connection, &root).await?;
            }
            let there = match connection.sftp.stat(&root).await {
                Ok(found) => found.attrs.is_dir(),
                Err(error) => match Wrong::from(error) {
                    wrong if wrong.is_missing() => false,
                    wrong => return Err(wrong),
                },
            };
            if there {
                tokio::spawn(sweep(Arc::clone(&store.pool), root.clone()));
            }
            Ok((root, there))
        })?;
        if !there {
            return Err(StoreError::NotFound { operation: "open the folder", object: store.shown });
        }
        store.root = root;
        Ok(store)
    }

    fn path(&self, name: &str) -> Result<String, StoreError> {
        name::check(name)?;
        Ok(format!("{}/{name}", self.root))
    }

    /// Folders of objects below this one that were there before, each with its final `/`.
    fn folders_below(&self, prefix: &str) -> Vec<String> {
        let below = |path: &String| {
            let folder = format!("{}/", path.strip_prefix(&self.root)?.strip_prefix('/')?);
            (folder.starts_with(prefix) && folder != prefix && !folder.starts_with(TEMPORARY))
                .then_some(folder)
        };
        lock(&self.folders).iter().filter_map(below).collect()
    }

    /// The objects below a folder, and the names of what is no object there.
    fn list_both(&self, prefix: &str, cancel: &Cancel) -> Result<(Vec<ObjectMeta>, Vec<String>), StoreError> {
        self.traffic.count(Request::List);
        let own = TEMPORARY.trim_end_matches('/').to_string();
        let (mut found, foreign) = self.ask(cancel, "list", prefix, Load::Small, async |connection| {
            let (mut found, mut foreign) = (Vec::new(), Vec::new());
            // Folders that are known are asked for with the one that they are in.
            let mut folders: VecDeque<String> =
                [prefix.to_string()].into_iter().chain(self.folders_below(prefix)).collect();
            let mut seen: HashSet<String> = folders.iter().cloned().collect();
            let mut running = FuturesUnordered::new();
            loop {
                while running.len() < FOLDERS
                    && let Some(folder) = folders.pop_front()
                {
                    running.push(async move {
                        let path = format!("{}/{}", self.root, folder.trim_end_matches('/'));
                        let files = read_folder(connection, path.trim_end_matches('/')).await;
                        (folder, files)
                    });
                }
                let Some((folder, files)) = running.next().await else { return Ok((found, foreign)) };
                let files = match files {
                    Ok(files) => files,
                    // One that is not there yet, or not any more; but the root must be.
                    Err(wrong) if wrong.is_missing() && !folder.is_empty() => continue,
                    Err(wrong) => return Err(wrong),
                };
                for file in files {
                    let name = format!("{folder}{}", file.filename);
                    if name::check(&name).is_err() {
                        if !matches!(file.filename.as_str(), "." | "..") && name != own {
                            foreign.push(name);
                        }
                        continue;
                    }
                    if file.attrs.is_dir() {
                        lock(&self.folders).insert(format!("{}/{name}", self.root));
                        let folder = format!("{name}/");
                        if seen.insert(folder.clone()) {
                            folders.push_back(folder);
                        }
                    } else if file.attrs.is_regular() {
                        found.push(meta_of(&name, &file.attrs));
                    }
                }
            }
        })?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.dedup_by(|a, b| a.name == b.name);
        Ok((found, foreign))
    }

    fn object(&self, name: &str) -> String {
        if name.is_empty() { self.shown.clone() } else { format!("{}/{name}", self.shown) }
    }

    /// Does something on a connection that is free enough, or on a new one.
    fn ask<T>(
        &self,
        cancel: &Cancel,
        operation: &'static str,
        name: &str,
        load: Load,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Wrong>,
    ) -> Result<T, StoreError> {
        self.engine.run(cancel, async {
            let mut connection = self.pool.take(load).await?;
            let object = || self.object(name);
            // The client library leaves requests waiting whose connection is gone.
            let done = tokio::select! {
                done = work(&connection) => done,
                () = connection.closed() => Err(Wrong::Broken("the connection was lost".into())),
            };
            let wrong = match done {
                Ok(done) => {
                    connection.answered();
                    return Ok(done);
                }
                Err(wrong) => wrong,
            };
            if !matches!(wrong, Wrong::Broken(_)) {
                connection.answered();
            }
            Err(match wrong {
                Wrong::Broken(answer) => StoreError::Failed {
                    operation,
                    object: object(),
                    answer,
                    cause: Cause::Network,
                    passing: true,
                },
                Wrong::Answer(code, text) => {
                    let full = code == StatusCode::Failure && self.is_full(&connection).await;
                    match code {
                        _ if full => StoreError::NoSpace { operation, object: object() },
                        StatusCode::NoSuchFile => StoreError::NotFound { operation, object: object() },
                        StatusCode::PermissionDenied => {
                            StoreError::PermissionDenied { operation, object: object() }
                        }
                        code => StoreError::Failed {
                            operation,
                            object: object(),
                            answer: if text.is_empty() {
                                code.to_string()
                            } else {
                                format!("the server says: {text}")
                            },
                            cause: Cause::Unknown,
                            passing: false,
                        },
                    }
                }
                Wrong::Told(error) => error,
            })
        })
    }

    /// SFTP has no code for a full disk: its figures tell.
    async fn is_full(&self, connection: &Connection) -> bool {
        if !connection.statvfs {
            return false;
        }
        let root = if self.root.is_empty() { "." } else { &self.root };
        let figures = connection.sftp.statvfs(root).await;
        figures
            .is_ok_and(|figures| figures.blocks_avail == 0 || figures.inodes_avail == 0 && figures.inodes > 0)
    }

    /// `len` bytes from `offset` of an open file; fewer if it ends before.
    async fn read_some(
        &self,
        connection: &Connection,
        handle: &str,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, Wrong> {
        // The server says how long its file is; what cannot be held is no object of ours.
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|error| Wrong::Broken(format!("{len} bytes: {error}")))?;
        bytes.resize(len, 0);
        let mut wanted: VecDeque<(usize, usize)> = VecDeque::new();
        let step = connection.read_len as usize;
        wanted.extend((0..len).step_by(step).map(|from| (from, step.min(len - from))));
        let mut end = len;
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < READS
                && let Some((from, count)) = wanted.pop_front()
            {
                if let Some(wait) = self.limits.down.sleep(count) {
                    wait.await;
                }
                running.push(async move {
                    let count_32 = u32::try_from(count).unwrap_or(u32::MAX);
                    (from, count, connection.sftp.read(handle, offset + from as u64, count_32).await)
                });
            }
            let Some((from, count, answer)) = running.next().await else { break };
            match answer.map_err(Wrong::from) {
                Ok(answer) => {
                    let got = answer.data.len().min(count);
                    if let (Some(into), Some(data)) =
                        (bytes.get_mut(from..from + got), answer.data.get(..got))
                    {
                        into.copy_from_slice(data);
                    }
                    self.traffic.received(got);
                    match got {
                        0 => end = end.min(from),
                        // A server may answer with less than was asked.
                        got if got < count => wanted.push_back((from + got, count - got)),
                        _ => {}
                    }
                }
                Err(Wrong::Answer(StatusCode::Eof, _)) => end = end.min(from),
                Err(wrong) => return Err(wrong),
            }
        }
        bytes.truncate(end);
        Ok(bytes)
    }

    /// The first bytes of an object, at most so many, or all of it. What a first piece holds costs
    /// two round trips.
    async fn read_beginning(
        &self,
        connection: &Connection,
        name: &str,
        path: &str,
        most: Option<u64>,
    ) -> Result<Vec<u8>, Wrong> {
        let file = OpenFile::open(&connection.sftp, path).await?;
        let piece = connection.read_len.min(u32::try_from(most.unwrap_or(u64::MAX)).unwrap_or(u32::MAX));
        let (found, first) = tokio::join!(biased; connection.sftp.fstat(&file.handle), connection.sftp.read(&file.handle, 0, piece));
        let size = found?.attrs.size.unwrap_or_default().min(most.unwrap_or(u64::MAX));
        if size > LARGEST_OBJECT {
            return Err(Wrong::Told(StoreError::TooLarge { operation: "read", object: self.object(name) }));
        }
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        let mut bytes = match first.map_err(Wrong::from) {
            Ok(first) => first.data,
            Err(Wrong::Answer(StatusCode::Eof, _)) => Vec::new(),
            Err(wrong) => return Err(wrong),
        };
        self.traffic.received(bytes.len());
        if let Some(wait) = self.limits.down.sleep(bytes.len()) {
            wait.await;
        }
        bytes.truncate(len);
        if bytes.len() < len {
            let (from, rest) = (bytes.len() as u64, len - bytes.len());
            bytes.extend(self.read_some(connection, &file.handle, from, rest).await?);
        }
        match bytes.len() == len {
            true => Ok(bytes),
            false => Err(Wrong::Told(StoreError::TooShort { object: self.object(name), end: size })),
        }
    }
}

/// Removes what crashed processes left. Failing to is harmless, and nobody waits for it.
async fn sweep(pool: Arc<Pool>, root: String) {
    let Ok(mut connection) = pool.take(Load::Small).await else { return };
    // Whatever becomes of this: nobody waits for it, and who uses the connection next finds out.
    connection.answered();
    let folder = format!("{root}/{TEMPORARY}");
    let Ok(files) = read_folder(&connection, &folder).await else { return };
    for file in files {
        let age = file.attrs.modified().ok().and_then(|time| time.elapsed().ok());
        if file.attrs.is_regular() && age.is_some_and(|age| age > ABANDONED) {
            let _ = connection.sftp.remove(format!("{folder}/{}", file.filename)).await;
        }
    }
}

/// Makes a folder and its parents.
async fn make_folder(connection: &Connection, folder: &str) -> Result<(), Wrong> {
    let mut missing = vec![folder.to_string()];
    while let Some(path) = missing.last().cloned() {
        let attributes = FileAttributes { permissions: Some(0o700), ..FileAttributes::empty() };
        match connection.sftp.mkdir(&path, attributes).await.map_err(Wrong::from) {
            Ok(_) => {
                missing.pop();
            }
            Err(wrong) if wrong.is_missing() => match path.rsplit_once('/') {
                Some((parent, _)) if !parent.is_empty() => missing.push(parent.to_string()),
                _ => return Err(wrong),
            },
            Err(wrong) => match connection.sftp.stat(&path).await {
                Ok(found) if found.attrs.is_dir() => {
                    missing.pop();
                }
                _ => return Err(wrong),
            },
        }
    }
    Ok(())
}

/// Whether there is an object below a folder.
async fn holds_object(connection: &Connection, root: &str, folder: &str) -> Result<bool, Wrong> {
    let mut folders = vec![folder.to_string()];
    while let Some(folder) = folders.pop() {
        let files = match read_folder(connection, &format!("{root}/{folder}")).await {
            Ok(files) => files,
            // Not there any more.
            Err(wrong) if wrong.is_missing() => continue,
            Err(wrong) => return Err(wrong),
        };
        for file in files {
            let name = format!("{folder}/{}", file.filename);
            if name::check(&name).is_err() {
                continue;
            }
            if file.attrs.is_regular() {
                return Ok(true);
            }
            if file.attrs.is_dir() {
                folders.push(name);
            }
        }
    }
    Ok(false)
}

/// The entries of one folder.
async fn read_folder(
    connection: &Connection,
    folder: &str,
) -> Result<Vec<russh_sftp::protocol::File>, Wrong> {
    let handle = connection.sftp.opendir(folder).await?.handle;
    let mut files = Vec::new();
    let next = || async { connection.sftp.readdir(&handle).await.map_err(Wrong::from) };
    let read = loop {
        // The end of a folder is an answer of its own: it is asked for with what comes before it.
        let (one, other) = tokio::join!(biased; next(), next());
        let mut is_over = false;
        let mut failed = None;
        for answer in [one, other] {
            match answer {
                Ok(more) => files.extend(more.files),
                Err(Wrong::Answer(StatusCode::Eof, _)) => is_over = true,
                Err(wrong) => failed = Some(wrong),
            }
        }
        match failed {
            Some(wrong) => break Err(wrong),
            None if is_over => break Ok(()),
            None => {}
        }
    };
    let sftp = Arc::clone(&connection.sftp);
    // Nobody waits for that; if it fails, the handle goes with its connection.
    tokio::spawn(async move { sftp.close(&handle).await });
    read?;
    Ok(files)
}

fn meta_of(name: &str, attributes: &FileAttributes) -> ObjectMeta {
    let seconds = u64::from(attributes.mtime.unwrap_or_default());
    ObjectMeta {
        name: name.to_string(),
        size: attributes.size.unwrap_or_default(),
        modified: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
    }
}

impl Store for SftpStore {
    fn location(&self) -> String {
        self.shown.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            atomic_put_if_absent: !self.naming.condition.is_ignored(),
            list_lateness: Duration::ZERO,
            gap: GAP,
            remote: true,
        }
    }

    fn put_if_absent(&self, name: &str, bytes: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
        self.put(name, &bytes, cancel)
    }

    fn get(&self, name: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        let path = self.path(name)?;
        self.traffic.count(Request::Get);
        self.ask(cancel, "read", name, Load::Small, async |connection| {
            self.read_beginning(connection, name, &path, None).await
        })
    }

    fn get_at_most(&self, name: &str, most: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        let path = self.path(name)?;
        self.traffic.count(Request::Get);
        self.ask(cancel, "read", name, Load::Small, async |connection| {
            self.read_beginning(connection, name, &path, Some(most)).await
        })
    }

    fn get_range(&self, name: &str, offset: u64, len: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        let path = self.path(name)?;
        let end = offset.saturating_add(len);
        let too_short = || StoreError::TooShort { object: self.object(name), end };
        self.traffic.count(Request::Get);
        let load = if len > LARGE_GET { Load::Large } else { Load::Small };
        self.ask(cancel, "read", name, load, async |connection| {
            self.pool.begin();
            // Asked before a buffer is made: a length from a damaged index must not take the
            // memory.
            let count = usize::try_from(len).map_err(|_| Wrong::Told(too_short()))?;
            let read = async |file: &OpenFile| {
                if len == 0 || len > LARGE || end == u64::MAX {
                    let size = connection.sftp.fstat(&file.handle).await?.attrs.size.unwrap_or_default();
                    if size < end || end == u64::MAX {
                        return Err(Wrong::Told(too_short()));
                    }
                }
                let bytes = self.read_some(connection, &file.handle, offset, count).await?;
                if bytes.len() == count { Ok(bytes) } else { Err(Wrong::Told(too_short())) }
            };
            if let Some(file) = connection.files.find(&path) {
                match read(&file).await {
                    // The server may have closed it.
                    Err(Wrong::Answer(..)) => connection.files.forget(&path),
                    done => return done,
                }
            }
            let file = Arc::new(OpenFile::open(&connection.sftp, &path).await?);
            connection.files.keep(&file);
            read(&file).await
        })
    }

    fn stat(&self, name: &str, cancel: &Cancel) -> Result<ObjectMeta, StoreError> {
        let path = self.path(name)?;
        self.traffic.count(Request::Head);
        self.ask(cancel, "look at", name, Load::Small, async |connection| {
            let attributes = connection.sftp.stat(&path).await?.attrs;
            match attributes.is_regular() {
                true => Ok(meta_of(name, &attributes)),
                false => Err(Wrong::Answer(StatusCode::NoSuchFile, String::new())),
            }
        })
    }

    fn list(&self, prefix: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        name::check_prefix(prefix)?;
        Ok(self.list_both(prefix, cancel)?.0)
    }

    fn foreign(&self, cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        Ok(self.list_both("", cancel)?.1)
    }

    fn other_folders(&self, known: &[&str], cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        self.traffic.count(Request::List);
        let mut found = self.ask(cancel, "list", "", Load::Small, async |connection| {
            let mut found = Vec::new();
            for file in read_folder(connection, &self.root).await? {
                let name = file.filename;
                let is_other = !known.contains(&name.as_str()) && name::check(&name).is_ok();
                if is_other && file.attrs.is_dir() && holds_object(connection, &self.root, &name).await? {
                    found.push(name);
                }
            }
            Ok(found)
        })?;
        found.sort();
        Ok(found)
    }

    fn top(&self, cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        self.traffic.count(Request::List);
        let mut found = self.ask(cancel, "list", "", Load::Small, async |connection| {
            let named = |file: russh_sftp::protocol::File| match file.attrs.is_dir() {
                true => format!("{}/", file.filename),
                false => file.filename,
            };
            Ok(read_folder(connection, &self.root).await?.into_iter().map(named).collect::<Vec<_>>())
        })?;
        found.retain(|name| !["./", "../"].contains(&name.as_str()) && *name != format!("{TEMPORARY}/"));
        found.sort();
        Ok(found)
    }

    fn delete(&self, name: &str, cancel: &Cancel) -> Result<(), StoreError> {
        let path = self.path(name)?;
        self.traffic.count(Request::Delete);
        self.ask(cancel, "delete", name, Load::Small, async |connection| {
            self.pool.forget(&path);
            match connection.sftp.remove(&path).await.map_err(Wrong::from) {
                Err(wrong) if wrong.is_missing() => Ok(()),
                Err(wrong) => Err(wrong),
                Ok(_) => Ok(()),
            }
        })
    }

    fn traffic(&self) -> Option<TrafficReport> {
        Some(self.traffic.report())
    }
}
