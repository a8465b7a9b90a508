//! Everything that opens a storage, resolved: no environment and no home directory is read from
//! here on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::SecretString;

use crate::cloud::as_of::{self, AsOf};
use crate::cloud::{open_azure, open_gcs, open_s3};
use crate::http::{self, Wire};
use crate::pace::Pace;
use crate::runtime::Engine;
use crate::sftp::SftpStore;
use crate::traffic::Traffic;
use crate::url::{Bucket, SftpPlace};
use crate::{Cancel, DirStore, Guarded, Storage, Store, StoreError};

/// A storage and what opens it.
#[derive(Clone, Debug)]
pub enum Target {
    /// A local directory.
    Directory(PathBuf),
    /// S3.
    S3(S3Config),
    /// Google Cloud Storage.
    Gcs(GcsConfig),
    /// Azure Blob Storage.
    Azure(AzureConfig),
    /// A folder behind SSH.
    Sftp(SftpConfig),
}

/// An S3 bucket.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// Bucket and folder.
    pub bucket: Bucket,
    /// us-east-1 if none is given.
    pub region: Option<String>,
    /// Of another server than Amazon's: `https://host:port`.
    pub endpoint: Option<String>,
    /// Whether the bucket is in the path; by default with an endpoint only.
    pub path_style: Option<bool>,
    /// Who asks.
    pub credentials: S3Credentials,
    /// `STANDARD_IA` and the like.
    pub storage_class: Option<String>,
    /// Encryption by the storage, under ours.
    pub encryption: Option<S3Encryption>,
    /// Object lock.
    pub lock: Option<Lock>,
}

impl S3Config {
    /// A bucket with nothing special.
    pub fn new(bucket: Bucket, credentials: S3Credentials) -> S3Config {
        S3Config {
            bucket,
            region: None,
            endpoint: None,
            path_style: None,
            credentials,
            storage_class: None,
            encryption: None,
            lock: None,
        }
    }
}

impl Bucket {
    /// `NAME/PREFIX` for messages.
    pub(crate) fn shown(&self) -> String {
        if self.prefix.is_empty() { self.name.clone() } else { format!("{}/{}", self.name, self.prefix) }
    }
}

/// Who asks S3.
#[derive(Clone, Debug)]
pub enum S3Credentials {
    /// An access key.
    Keys {
        /// Its id.
        id: String,
        /// Its secret.
        secret: SecretString,
        /// Of temporary ones.
        token: Option<SecretString>,
    },
    /// A role that other credentials may take.
    Role {
        /// Those.
        base: Box<S3Credentials>,
        /// Its ARN.
        role: String,
        /// Name of the session.
        session: String,
        /// Where the role asks for one.
        external_id: Option<String>,
        /// The token service, if not Amazon's of the region.
        sts: Option<String>,
    },
    /// A role for whoever holds this token (Kubernetes).
    WebIdentity {
        /// File with the token.
        token_file: String,
        /// The role's ARN.
        role: String,
        /// Name of the session.
        session: String,
        /// The token service, if not Amazon's of the region.
        sts: Option<String>,
    },
    /// Those that a program prints.
    Process {
        /// It runs in a shell. An argument may be a secret.
        command: SecretString,
    },
    /// Of a container's task (ECS, EKS Pod Identity).
    Container {
        /// Path on the task's metadata service.
        relative: Option<String>,
        /// A whole URL.
        full: Option<String>,
        /// File with the token for it.
        token_file: Option<String>,
    },
    /// Of this virtual machine.
    Instance {
        /// The metadata service, if not at its usual address.
        endpoint: Option<String>,
    },
}

/// Encryption by S3 itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S3Encryption {
    /// With S3's own keys.
    Aes256,
    /// With a key of the key management service.
    Kms {
        /// Its id or ARN; none: the account's own for S3.
        key: Option<String>,
    },
}

/// Object lock: what is put cannot be deleted for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Who may lift it.
    pub mode: LockMode,
    /// How long from the put, and from each backup that needs the object.
    pub period: Duration,
    /// Folders whose objects are put without: they are temporary.
    pub except: Vec<String>,
}

/// Who may lift an object lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Whoever has a special right.
    Governance,
    /// Nobody.
    Compliance,
}

impl LockMode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            LockMode::Governance => "GOVERNANCE",
            LockMode::Compliance => "COMPLIANCE",
        }
    }
}

/// A bucket of Google Cloud Storage.
#[derive(Clone, Debug)]
pub struct GcsConfig {
    /// Bucket and folder.
    pub bucket: Bucket,
    /// Of another server than Google's.
    pub endpoint: Option<String>,
    /// Who asks.
    pub credentials: GcsCredentials,
    /// `NEARLINE` and the like.
    pub storage_class: Option<String>,
}

/// Who asks Google Cloud Storage.
#[derive(Clone, Debug)]
pub enum GcsCredentials {
    /// A file of application default credentials: a service account's key or a user's.
    KeyFile(String),
    /// A bearer token.
    Token(SecretString),
    /// Of this virtual machine.
    Instance,
}

/// A container of Azure Blob Storage.
#[derive(Clone, Debug)]
pub struct AzureConfig {
    /// Container and folder.
    pub container: Bucket,
    /// The storage account.
    pub account: String,
    /// Of another server or cloud than Azure's public one.
    pub endpoint: Option<String>,
    /// Who asks.
    pub credentials: AzureCredentials,
    /// Access tier: `Cool` and the like.
    pub storage_class: Option<String>,
}

/// Who asks Azure.
#[derive(Clone, Debug)]
pub enum AzureCredentials {
    /// The account's key.
    Key(SecretString),
    /// A shared access signature.
    Sas(SecretString),
    /// An application with a secret.
    Client {
        /// Its id.
        id: String,
        /// Its secret.
        secret: SecretString,
        /// The tenant.
        tenant: String,
    },
    /// Kubernetes' workload identity.
    Workload {
        /// The application's id.
        id: String,
        /// The tenant.
        tenant: String,
        /// File with the token.
        token_file: String,
    },
    /// Who is logged in with Azure's command line, `az`.
    CommandLine,
    /// Of this virtual machine.
    Instance {
        /// Of a user-assigned identity.
        id: Option<String>,
    },
}

/// A folder behind SSH.
#[derive(Clone, Debug)]
pub struct SftpConfig {
    /// Host and folder.
    pub place: SftpPlace,
    /// Name or address that is connected to: the place's own, or what it stands for.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// A command whose input and output are the connection, instead of TCP; a shell runs it.
    pub proxy: Option<String>,
    /// Who logs in.
    pub user: String,
    /// Files with known hosts' keys, the first match decides.
    pub known_hosts: Vec<PathBuf>,
    /// The name under which the host's key is known, if not its own.
    pub known_as: Option<String>,
    /// Socket of an agent.
    pub agent: Option<PathBuf>,
    /// Of the agent's keys only those are tried whose public key lies next to one of `keys`, as
    /// `KEY.pub`, or is one of them.
    pub only_these_keys: bool,
    /// Private keys, tried in this order.
    pub keys: Vec<PathBuf>,
    /// Certificates of them, or of the agent's keys, in addition to those that lie next to a key as
    /// `KEY-cert.pub`.
    pub certificates: Vec<PathBuf>,
    /// Of those of them that are locked.
    pub key_passphrase: Option<SecretString>,
    /// Tried last.
    pub password: Option<SecretString>,
}

/// How a storage is used, whatever it is.
#[derive(Clone, Debug)]
pub struct Usage {
    /// Requests at once.
    pub connections: usize,
    /// A request that transfers no byte for this long has failed.
    pub stall: Duration,
    /// An operation that fails in a way that may pass is tried again for so long.
    pub retry_for: Duration,
    /// Bytes per second.
    pub limit_upload: Option<u64>,
    /// Bytes per second.
    pub limit_download: Option<u64>,
    /// PEM certificates trusted in addition to the system's.
    pub authorities: Vec<Vec<u8>>,
    /// Seen as it was then, behind deletions and overwriting.
    pub as_of: Option<SystemTime>,
}

impl Default for Usage {
    fn default() -> Usage {
        Usage {
            connections: 8,
            stall: Duration::from_secs(60),
            retry_for: Duration::from_secs(180),
            limit_upload: None,
            limit_download: None,
            authorities: Vec::new(),
            as_of: None,
        }
    }
}

/// Opens a storage for one job: `cancel` ends the attempt, and the requests made through the
/// answer. More jobs use the same storage through [`Storage::for_job`]. `create`: a directory or a
/// folder behind SSH that is missing is made (buckets are not).
///
/// # Errors
/// What a directory or an SSH server says at once; buckets are asked first when something is wanted
/// of them.
pub fn open(target: Target, usage: Usage, create: bool, cancel: Cancel) -> Result<Storage, StoreError> {
    let up = Arc::new(Pace::new(usage.limit_upload));
    let down = Arc::new(Pace::new(usage.limit_download));
    let traffic = Arc::new(Traffic::default());
    let shared = |guarded: Guarded| Storage::new(Arc::new(guarded), cancel.clone());
    let started =
        |source| StoreError::Io { operation: "start the threads for", object: "the storage".into(), source };
    let wire = || -> Result<Wire, StoreError> {
        let client = http::client(&usage.authorities).map_err(|error| StoreError::Unsupported {
            what: format!("the certificates of ca_file cannot be parsed: {error}"),
            hint: "the file must contain one or more certificates in PEM format".into(),
        })?;
        Ok(Wire {
            client,
            traffic: Arc::clone(&traffic),
            up: Arc::clone(&up),
            down: Arc::clone(&down),
            stall: usage.stall,
        })
    };
    let engine = || Engine::start().map_err(started);
    let cloud = match target {
        Target::Directory(path) => {
            if usage.as_of.is_some() {
                return Err(no_versions(&path.display().to_string()));
            }
            let store = if create { DirStore::create(path)? } else { DirStore::open(path)? };
            // A directory's bytes are paced here; the others' on the wire.
            let paced = Some((Arc::clone(&up), Arc::clone(&down)));
            return Ok(shared(Guarded::new(Box::new(store), &usage, paced, None)));
        }
        Target::Sftp(config) => {
            if usage.as_of.is_some() {
                return Err(no_versions(&config.place.host));
            }
            let limits = crate::sftp::Limits { up, down, stall: usage.stall, connections: usage.connections };
            let store = crate::guard::reach(&cancel, &usage, || {
                SftpStore::open(config.clone(), create, engine()?, limits.clone(), &traffic, &cancel)
            })?;
            return Ok(shared(Guarded::new(Box::new(store), &usage, None, Some(traffic))));
        }
        Target::S3(config) => open_s3(config, engine()?, wire()?)?,
        Target::Gcs(config) => open_gcs(config, engine()?, wire()?)?,
        Target::Azure(config) => open_azure(config, engine()?, wire()?)?,
    };
    let store: Box<dyn Store> = match usage.as_of {
        Some(moment) => {
            let seen =
                crate::guard::reach(&cancel, &usage, || as_of::what_was_there(&cloud, moment, &cancel))?;
            Box::new(AsOf::new(cloud, moment, seen))
        }
        None => Box::new(cloud),
    };
    Ok(shared(Guarded::new(store, &usage, None, Some(traffic))))
}

fn no_versions(shown: &str) -> StoreError {
    StoreError::Unsupported {
        what: format!("{shown}: only S3 buckets can be seen as they were earlier"),
        hint: "a snapshot of the file system, mounted elsewhere, can be restored from as it is".into(),
    }
}
