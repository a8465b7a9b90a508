//! One SSH connection with one SFTP session on it: who the host is, who we are, what the server can.
//!
//! The host's key must stand in a known_hosts file; an unknown one is as much an error as a changed one, because nobody sits
//! there to compare it. We are tried in this order: keys of the agent, key files, password.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::cipher;
use russh::client::{self, AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::known_hosts::known_host_keys_path;
use russh::keys::{
    Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate, load_public_key,
    load_secret_key,
};
use russh_sftp::client::rawsession::{Limits, RawSftpSession};
use russh_sftp::extensions;
use secrecy::ExposeSecret;

use super::files::OpenFiles;
use super::proxy::Proxy;
use crate::error::with_causes;
use crate::target::SftpConfig;
use crate::{Cause, StoreError, lock};

/// A TCP connection and the exchange of keys take at most this, or as long as nothing may move, if that is less: not less than
/// these are, since they take some ten round trips.
const CONNECT: Duration = Duration::from_secs(20);
const LEAST: Duration = Duration::from_secs(5);
/// Looks this often whether a connection is over.
const LOOK: Duration = Duration::from_millis(100);
/// What a server reads or writes at once if it does not say (the draft promises 32768).
const PLAIN: u32 = 32 << 10;
/// The most that is asked for at once: what OpenSSH's server allows, and a packet of the client library holds.
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

/// What the host's key turned out to be.
#[derive(Clone, Debug, Default)]
struct Verdict(Arc<Mutex<Option<String>>>);

/// Compares the host's key.
struct Host {
    host: String,
    port: u16,
    files: Vec<PathBuf>,
    wrong: Verdict,
}

/// Keys of a host in the first file that knows it: file, line, key.
fn known(files: &[PathBuf], host: &str, port: u16) -> Vec<(PathBuf, usize, PublicKey)> {
    for file in files {
        let keys = known_host_keys_path(host, port, file).unwrap_or_default();
        if !keys.is_empty() {
            return keys.into_iter().map(|(line, key)| (file.clone(), line, key)).collect();
        }
    }
    Vec::new()
}

impl client::Handler for Host {
    type Error = russh::Error;

    async fn check_server_key(&mut self, offered: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = offered else { return Ok(false) };
        let known = known(&self.files, &self.host, self.port);
        if known.iter().any(|(_, _, known)| known == key) {
            return Ok(true);
        }
        let print = key.fingerprint(HashAlg::Sha256);
        let name = key.algorithm().to_string();
        let wrong = match known.iter().find(|(_, _, known)| known.algorithm() == key.algorithm()) {
            Some((file, line, _)) => format!(
                "the host's {name} key is {print}, and {} line {line} has another: it was changed, or another host answers",
                file.display()
            ),
            None => {
                format!("the host's {name} key {print} is in no known_hosts file ({})", shown(&self.files))
            }
        };
        *lock(&self.wrong.0) = Some(wrong);
        Ok(false)
    }
}

fn shown(files: &[PathBuf]) -> String {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    if names.is_empty() { "none is set".into() } else { names.join(", ") }
}

fn failed(object: &str, answer: impl Into<String>, cause: Cause) -> StoreError {
    let passing = cause == Cause::Network;
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
    // A name of its own stands in the files without a port.
    let (known_as, known_port) = match &config.known_as {
        Some(name) => (name.as_str(), 22),
        None => (config.host.as_str(), config.port),
    };
    let known = known(&config.known_hosts, known_as, known_port);
    // A host has several keys: ask for one of a kind that is known, as ssh does.
    let is_known = |algorithm: &Algorithm| {
        known.iter().any(|(_, _, key)| match (algorithm, key.algorithm()) {
            (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
            (one, other) => *one == other,
        })
    };
    let mut order = settings.preferred.key.to_vec();
    order.sort_by_key(|algorithm| !is_known(algorithm));
    settings.preferred.key = order.into();
    let verdict = Verdict::default();
    let host = Host {
        host: known_as.to_string(),
        port: known_port,
        files: config.known_hosts.clone(),
        wrong: verdict.clone(),
    };
    let settings = Arc::new(settings);
    let (reached, complaint) = match &config.proxy {
        None => (client::connect(settings, (config.host.as_str(), config.port), host).await, String::new()),
        Some(command) => {
            let proxy = Proxy::start(command).map_err(|error| {
                failed(shown, format!("start the proxy command: {error}"), Cause::Unknown)
            })?;
            let complaint = proxy.complaint();
            let reached = client::connect_stream(settings, proxy, host).await;
            let complaint = if reached.is_ok() { String::new() } else { complaint.await };
            (reached, complaint)
        }
    };
    reached.map_err(|error| match lock(&verdict.0).take() {
        Some(wrong) => failed(shown, wrong, Cause::HostKey),
        None if complaint.is_empty() => failed(shown, with_causes(&error), Cause::Network),
        None => {
            let answer = format!("{}; the proxy command says: {complaint}", with_causes(&error));
            failed(shown, answer, Cause::Network)
        }
    })
}

/// Tries what there is; the error lists what was tried.
async fn log_in(handle: &mut Handle<Host>, config: &SftpConfig, shown: &str) -> Result<(), StoreError> {
    let broken =
        |error: russh::Error| failed(shown, format!("log in: {}", with_causes(&error)), Cause::Network);
    let mut tried = Vec::new();
    if let Some(socket) = &config.agent {
        match by_agent(handle, config, socket).await {
            Ok(None) => return Ok(()),
            Ok(Some(keys)) => tried.push(format!("{keys} keys of the agent")),
            Err(why) => tried.push(format!("the agent ({why})")),
        }
    }
    for path in &config.keys {
        match by_key(handle, config, path).await.map_err(broken)? {
            None => return Ok(()),
            Some(why) => tried.push(format!("the key {} ({why})", path.display())),
        }
    }
    if let Some(password) = &config.password {
        let result =
            handle.authenticate_password(&config.user, password.expose_secret()).await.map_err(broken)?;
        if result.success() {
            return Ok(());
        }
        tried.push("the password".into());
    }
    let tried = if tried.is_empty() {
        "nothing: there is no agent, no key and no password".into()
    } else {
        tried.join(", ")
    };
    let answer = format!("the server refuses user {}; tried: {tried}", config.user);
    // A connection that breaks looks like a refusal; a server that has had enough of refusals breaks it, too.
    let passing = handle.is_closed();
    let (operation, object) = ("connect to", shown.to_string());
    Err(StoreError::Failed { operation, object, answer, cause: Cause::Credentials, passing })
}

/// None if that logged in; else how many keys were refused.
async fn by_agent(
    handle: &mut Handle<Host>,
    config: &SftpConfig,
    socket: &Path,
) -> Result<Option<usize>, String> {
    let mut agent = AgentClient::connect_uds(socket).await.map_err(|error| error.to_string())?;
    let identities = agent.request_identities().await.map_err(|error| error.to_string())?;
    let public = |key: &PathBuf| {
        load_public_key(format!("{}.pub", key.display())).or_else(|_| load_public_key(key)).ok()
    };
    let wanted: Option<Vec<PublicKey>> =
        config.only_these_keys.then(|| config.keys.iter().filter_map(public).collect());
    let mut refused = 0;
    for identity in identities {
        let AgentIdentity::PublicKey { key, .. } = identity else { continue };
        let is_wanted = |wanted: &Vec<PublicKey>| wanted.iter().any(|one| one.key_data() == key.key_data());
        if !wanted.as_ref().is_none_or(is_wanted) {
            continue;
        }
        let hash = hash_for(handle, &key.algorithm()).await.map_err(|error| error.to_string())?;
        match handle.authenticate_publickey_with(&config.user, key, hash, &mut agent).await {
            Ok(result) if result.success() => return Ok(None),
            Ok(_) => refused += 1,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(Some(refused))
}

/// The hash to sign with; only with RSA keys there is a choice, and the server says which it takes (RFC 8308).
async fn hash_for(handle: &Handle<Host>, algorithm: &Algorithm) -> Result<Option<HashAlg>, russh::Error> {
    match matches!(algorithm, Algorithm::Rsa { .. }) {
        true => Ok(handle.best_supported_rsa_hash().await?.flatten()),
        false => Ok(None),
    }
}

/// None if that logged in; else why not.
async fn by_key(
    handle: &mut Handle<Host>,
    config: &SftpConfig,
    path: &Path,
) -> Result<Option<String>, russh::Error> {
    let passphrase = config.key_passphrase.as_ref().map(|secret| secret.expose_secret());
    let key = match load_secret_key(path, passphrase) {
        Ok(key) => key,
        Err(russh::keys::Error::KeyIsEncrypted) => {
            return Ok(Some("it is locked, and no passphrase is given".into()));
        }
        Err(error) => return Ok(Some(error.to_string())),
    };
    let hash = hash_for(handle, &key.algorithm()).await?;
    let result: AuthResult =
        handle.authenticate_publickey(&config.user, PrivateKeyWithHashAlg::new(Arc::new(key), hash)).await?;
    Ok((!result.success()).then(|| "refused".into()))
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
            failed(shown, format!("the server offers no SFTP: {error}"), Cause::Unknown)
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
