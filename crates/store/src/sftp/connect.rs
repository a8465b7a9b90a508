//! One SSH connection with one SFTP session on it: who the host is, who we are, what the server
//! can.
//!
//! The host's key, or one that vouches for it, must be in a known_hosts file; an unknown one is as
//! much an error as a changed one, because nobody sits there to compare it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use russh::cipher;
use russh::client::{self, Handle};
use russh::keys::{Algorithm, PublicKeyOrCertificate};
use russh_sftp::client::rawsession::{Limits, RawSftpSession};
use russh_sftp::extensions;
use tokio::net::TcpStream;

use super::files::OpenFiles;
use super::known_hosts::{self, KnownHost, Refusal};
use super::login::log_in;
use super::proxy::Proxy;
use crate::error::with_causes;
use crate::target::SftpConfig;
use crate::{Cause, StoreError, lock};

/// A TCP connection and the exchange of keys take at most this, or as long as nothing may move, if
/// that is less: not less than these are, since they take some ten round trips.
const CONNECT: Duration = Duration::from_secs(20);
const LEAST: Duration = Duration::from_secs(5);
/// The TCP connection alone.
const DIAL: Duration = Duration::from_secs(5);
/// Looks this often whether a connection is over.
const LOOK: Duration = Duration::from_millis(100);
/// What a server reads or writes at once if it does not say (the draft promises 32768).
const PLAIN: u32 = 32 << 10;
/// The most that is asked for at once: what OpenSSH's server allows, and a packet of the client
/// library holds.
const MOST: u32 = 255 << 10;
/// Bytes that may be on their way to us: at 50 ms and 100 MB/s there are 5 MB.
const WINDOW: u32 = 8 << 20;

/// A connection.
pub(crate) struct Connection {
    handle: Handle<Host>,
    pub files: OpenFiles,
    pub sftp: Arc<RawSftpSession>,
    pub read_len: u32,
    pub write_len: u32,
    pub fsync: bool,
    pub hardlink: bool,
    pub statvfs: bool,
}

impl Connection {
    /// Whether it is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Ends when it is over.
    pub(crate) async fn closed(&self) {
        while !self.is_closed() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Why the host's key is not taken, if so.
#[derive(Clone, Debug, Default)]
struct Verdict(Arc<Mutex<Option<Refusal>>>);

/// Compares the host's key.
struct Host {
    known: KnownHost,
    verdict: Verdict,
}

impl client::Handler for Host {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let refusal = self.known.judge(shown, now).err();
        let is_good = refusal.is_none();
        *lock(&self.verdict.0) = refusal;
        Ok(is_good)
    }
}

pub(super) fn failed(object: &str, answer: impl Into<String>, cause: Cause) -> StoreError {
    let passing = matches!(cause, Cause::Network | Cause::Unreachable);
    StoreError::Failed {
        operation: "connect to",
        object: object.to_string(),
        answer: answer.into(),
        cause,
        passing,
    }
}

/// Connects, logs in, starts SFTP. `shown` is the URL for messages.
pub(crate) async fn connect(
    config: &SftpConfig,
    shown: &str,
    stall: Duration,
) -> Result<Connection, StoreError> {
    let patience = stall.clamp(LEAST, CONNECT);
    let handle = match tokio::time::timeout(patience, reach(config, shown)).await {
        Ok(handle) => handle?,
        Err(_) => {
            return Err(failed(shown, format!("no answer in {} s", patience.as_secs()), Cause::Network));
        }
    };
    let login = async {
        let mut handle = handle;
        log_in(&mut handle, config, shown).await?;
        start(handle, shown, stall).await
    };
    match tokio::time::timeout(stall.max(CONNECT), login).await {
        Ok(connection) => connection,
        Err(_) => Err(failed(shown, "the login takes too long", Cause::Network)),
    }
}

/// A TCP connection to the host.
async fn dial(config: &SftpConfig, shown: &str) -> Result<TcpStream, StoreError> {
    let unreached = |why: String| failed(shown, why, Cause::Unreachable);
    let connecting = TcpStream::connect((config.host.as_str(), config.port));
    let socket = match tokio::time::timeout(DIAL, connecting).await {
        Ok(socket) => socket.map_err(|error| unreached(error.to_string()))?,
        Err(_) => return Err(unreached(format!("no answer in {} s", DIAL.as_secs()))),
    };
    socket.set_nodelay(true).map_err(|error| unreached(error.to_string()))?;
    Ok(socket)
}

/// How the host's key comes into known_hosts, where that is not the plain way.
fn way_to_know(config: &SftpConfig) -> Option<String> {
    if config.proxy.is_some() {
        return Some(format!("log in once with `ssh {}`, and accept this fingerprint", config.place.host));
    }
    let name = config.known_as.as_ref()?;
    let scan = known_hosts::scan(&config.host, config.port);
    let file = known_hosts::file_for_more(&config.known_hosts)?;
    Some(format!("`{scan} | sed 's/^[^ ]*/{name}/' >> {file}`"))
}

async fn reach(config: &SftpConfig, shown: &str) -> Result<Handle<Host>, StoreError> {
    let mut settings = client::Config {
        window_size: WINDOW,
        nodelay: true,
        keepalive_interval: Some(Duration::from_secs(15)),
        ..client::Config::default()
    };
    // AES first: processors have instructions for it.
    settings.preferred.cipher = vec![
        cipher::AES_128_GCM,
        cipher::AES_256_GCM,
        cipher::CHACHA20_POLY1305,
        cipher::AES_256_CTR,
        cipher::AES_128_CTR,
    ]
    .into();
    // A name of its own is in the files without a port.
    let known = match &config.known_as {
        Some(name) => KnownHost::read(&config.known_hosts, name, 22),
        None => KnownHost::read(&config.known_hosts, &config.host, config.port),
    };
    let known = match way_to_know(config) {
        Some(way) => known.becomes_known(way),
        None => known,
    };
    // A host has several keys: ask for one of a kind that is known, as ssh does. Never by way of
    // SHA-1.
    let mut order = settings.preferred.key.to_vec();
    order.retain(|algorithm| *algorithm != Algorithm::Rsa { hash: None });
    order.sort_by_key(|algorithm| !known.has_key_of(algorithm));
    if known.has_authority() {
        settings.preferred.host_key_certificates = order.clone().into();
    }
    settings.preferred.key = order.into();
    let verdict = Verdict::default();
    let host = Host { known, verdict: verdict.clone() };
    let settings = Arc::new(settings);
    let (reached, complaint) = match &config.proxy {
        None => {
            let socket = dial(config, shown).await?;
            (client::connect_stream(settings, socket, host).await, String::new())
        }
        Some(command) => {
            let mut proxy = Proxy::start(command).map_err(|error| {
                failed(shown, format!("start the proxy command: {error}"), Cause::Unknown)
            })?;
            let complaint = proxy.complaint();
            let reached = client::connect_stream(settings, proxy, host).await;
            // A host that is not taken for the right one is no fault of the command's.
            let is_its_fault = reached.is_err() && lock(&verdict.0).is_none();
            let complaint = if is_its_fault { complaint.await } else { String::new() };
            (reached, complaint)
        }
    };
    reached.map_err(|error| match lock(&verdict.0).take() {
        Some(refusal) => failed(shown, refusal.why, refusal.cause),
        // It will not pass.
        None if matches!(error, russh::Error::NoCommonAlgo { .. }) => {
            failed(shown, with_causes(&error), Cause::Unknown)
        }
        None if complaint.is_empty() => failed(shown, with_causes(&error), Cause::Network),
        None => {
            let answer = format!("{}; the proxy command says: {complaint}", with_causes(&error));
            failed(shown, answer, Cause::Network)
        }
    })
}

async fn start(handle: Handle<Host>, shown: &str, stall: Duration) -> Result<Connection, StoreError> {
    let broken =
        |error: russh::Error| failed(shown, format!("start SFTP: {}", with_causes(&error)), Cause::Network);
    let channel = handle.channel_open_session().await.map_err(broken)?;
    channel.request_subsystem(true, "sftp").await.map_err(broken)?;
    let mut sftp = RawSftpSession::new(channel.into_stream());
    sftp.set_timeout(stall.as_secs().max(1));
    let no_sftp = |error: russh_sftp::client::error::Error| match error {
        // Only an answer says that there is none; without one the connection is lost.
        russh_sftp::client::error::Error::Status(_) => {
            failed(shown, format!("the server does not offer SFTP: {error}"), Cause::Unknown)
        }
        error => failed(shown, format!("start SFTP: {error}"), Cause::Network),
    };
    // A server without that extension says so (the draft, section 8), and nobody listens.
    let (version, limits) = tokio::join!(biased; sftp.init(), sftp.limits());
    let version = version.map_err(no_sftp)?;
    let has = |name: &str| version.extensions.contains_key(name);
    let (mut read_len, mut write_len, mut open_handles) = (PLAIN, PLAIN, None);
    if has(extensions::LIMITS) {
        let limits = Limits::from(limits.map_err(no_sftp)?);
        let bounded =
            |len: Option<u64>| len.map_or(PLAIN, |len| u32::try_from(len).unwrap_or(MOST).min(MOST));
        (read_len, write_len) = (bounded(limits.read_len), bounded(limits.write_len));
        open_handles = limits.open_handles;
        sftp.set_limits(limits);
    }
    Ok(Connection {
        handle,
        files: OpenFiles::new(open_handles),
        sftp: Arc::new(sftp),
        read_len: read_len.max(1024),
        write_len: write_len.max(1024),
        fsync: has(extensions::FSYNC),
        hardlink: has(extensions::HARDLINK),
        statvfs: has(extensions::STATVFS),
    })
}
