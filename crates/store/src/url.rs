//! Where a storage is, as people write it.
//!
//! `/path`, `file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix`,
//! `azblob://container/prefix`, `sftp://user@host:port/path`. What is in a prefix or path is taken
//! literally: nothing is percent-decoded. No URL holds a secret: one that does is refused, and not
//! repeated.

use std::fmt;
use std::path::PathBuf;

/// A parsed URL of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageUrl {
    /// A local directory.
    Directory(PathBuf),
    /// A bucket of S3, or of what speaks its protocol.
    S3(Bucket),
    /// A bucket of Google Cloud Storage.
    Gcs(Bucket),
    /// A container of Azure Blob Storage.
    Azure(Bucket),
    /// A folder of an SSH server.
    Sftp(SftpPlace),
}

/// A bucket or container, and the folder in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
}

/// A folder on an SSH server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SftpPlace {
    /// None: the caller's own name.
    pub user: Option<String>,
    /// Name or address.
    pub host: String,
    /// None: 22, or what the host's own settings say.
    pub port: Option<u16>,
    /// Absolute, or relative to the user's home (from `/~/…`); no slash at its end.
    pub path: String,
}

/// Why a text is no URL of a storage. It does not repeat what may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct BadUrl {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

fn bad(what: impl Into<String>, hint: impl Into<String>) -> BadUrl {
    BadUrl { what: what.into(), hint: hint.into() }
}

/// The schemes, for hints.
const KNOWN: &str =
    "a path, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, azblob://CONTAINER/PREFIX or sftp://USER@HOST:PORT/PATH";

impl StorageUrl {
    /// Reads what a person wrote.
    pub fn parse(text: &str) -> Result<StorageUrl, BadUrl> {
        if text.is_empty() {
            return Err(bad("the repository's URL is empty", format!("give {KNOWN}")));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return no_scheme(text);
        };
        match scheme {
            "file" => directory(rest),
            "s3" => bucket(scheme, rest, 3).map(StorageUrl::S3),
            "gs" => bucket(scheme, rest, 3).map(StorageUrl::Gcs),
            "azblob" => bucket(scheme, rest, 1).map(StorageUrl::Azure),
            "sftp" => sftp(rest).map(StorageUrl::Sftp),
            _ => Err(bad(format!("unknown storage {scheme}://"), meant(scheme))),
        }
    }

    /// The scheme, as options name it.
    pub fn scheme(&self) -> &'static str {
        match self {
            StorageUrl::Directory(_) => "file",
            StorageUrl::S3(_) => "s3",
            StorageUrl::Gcs(_) => "gs",
            StorageUrl::Azure(_) => "azblob",
            StorageUrl::Sftp(_) => "sftp",
        }
    }
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageUrl::Directory(path) => write!(out, "{}", path.display()),
            StorageUrl::S3(bucket) | StorageUrl::Gcs(bucket) | StorageUrl::Azure(bucket) => {
                write!(out, "{}://{}", self.scheme(), bucket.name)?;
                if bucket.prefix.is_empty() { Ok(()) } else { write!(out, "/{}", bucket.prefix) }
            }
            StorageUrl::Sftp(place) => {
                let user = place.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
                let port = place.port.filter(|port| *port != 22).map(|port| format!(":{port}"));
                let port = port.unwrap_or_default();
                let host =
                    if place.host.contains(':') { format!("[{}]", place.host) } else { place.host.clone() };
                let slash = if place.path.starts_with('/') { "" } else { "/~/" };
                write!(out, "sftp://{user}{host}{port}{slash}{}", place.path)
            }
        }
    }
}

fn no_scheme(text: &str) -> Result<StorageUrl, BadUrl> {
    // s3:/bucket and s3:bucket are slips; a folder of such a name can be given as ./s3:bucket.
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    if let Some(scheme) = scheme.filter(|scheme| ["s3", "gs", "azblob", "sftp", "file"].contains(scheme)) {
        return Err(bad(
            format!("after {scheme}: there must be two slashes"),
            format!("write {scheme}://…, or ./{scheme}:… for a folder of that name"),
        ));
    }
    Ok(StorageUrl::Directory(PathBuf::from(text)))
}

fn directory(rest: &str) -> Result<StorageUrl, BadUrl> {
    match rest.starts_with('/') {
        true => Ok(StorageUrl::Directory(PathBuf::from(rest))),
        false => {
            Err(bad("file:// must be followed by an absolute path", "write file:///path, or the path alone"))
        }
    }
}

/// What an unknown scheme probably means.
fn meant(scheme: &str) -> String {
    let known = match scheme.to_ascii_lowercase().as_str() {
        "gcs" | "gs" | "google" => "gs://",
        "az" | "azure" | "abfs" | "abfss" | "azblob" | "wasb" | "wasbs" => "azblob://",
        "ssh" | "scp" | "sftp" => "sftp://",
        "http" | "https" => {
            return "for a server with the S3 protocol, write s3://BUCKET/PREFIX and set the storage option endpoint to its address".into();
        }
        "s3a" | "s3n" | "minio" | "r2" | "s3" => "s3://",
        _ => return format!("give {KNOWN}"),
    };
    format!("did you mean {known}?")
}

fn bucket(scheme: &str, rest: &str, shortest: usize) -> Result<Bucket, BadUrl> {
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if name.contains('@') {
        return Err(bad(
            format!("a {scheme}:// URL cannot contain credentials"),
            "remove everything before the @: pgark finds credentials where the storage's other tools look",
        ));
    }
    if name.is_empty() {
        return Err(bad(format!("{scheme}:// has no bucket"), format!("write {scheme}://BUCKET/PREFIX")));
    }
    let fits = name.len() >= shortest
        && name.len() <= 222
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'$'));
    if !fits {
        return Err(bad(
            format!("{name:?} is not a valid name of a bucket or container"),
            "names have letters, digits, dots and dashes",
        ));
    }
    Ok(Bucket { name: name.to_string(), prefix: folder(prefix, prefix.trim_matches('/'))? })
}

/// Checks the components of a prefix or path.
fn folder(typed: &str, trimmed: &str) -> Result<String, BadUrl> {
    let problem = trimmed.split('/').filter(|_| !trimmed.is_empty()).find_map(|part| match part {
        "" => Some("contains two slashes in a row"),
        "." | ".." => Some("contains . or .. as a component"),
        part if part.chars().any(char::is_control) => Some("contains a control character"),
        // What storages and their clients disagree about.
        part if part
            .contains(['%', '?', '#', '\\', '*', '"', '<', '>', '|', '^', '`', '{', '}', '[', ']', '~']) =>
        {
            Some("contains one of % ? # \\ * \" < > | ^ ` { } [ ] ~")
        }
        _ => None,
    });
    match problem {
        None if trimmed.len() <= 400 => Ok(trimmed.to_string()),
        None => Err(bad("the prefix is longer than 400 bytes", "choose a shorter one")),
        Some(problem) => Err(bad(format!("the prefix {typed:?} {problem}"), "choose another prefix")),
    }
}

fn sftp(rest: &str) -> Result<SftpPlace, BadUrl> {
    let form = "write sftp://USER@HOST:PORT/PATH";
    let (authority, path) = rest.split_once('/').ok_or_else(|| {
        bad("the sftp:// URL has no path", format!("{form}; /~/PATH starts at the user's home"))
    })?;
    let (user, address) = match authority.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, authority),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return Err(bad(
            "an sftp:// URL cannot contain a password",
            "remove it: use a key, an agent, PGARK_SFTP_PASSWORD or the storage option password_file",
        ));
    }
    if user.is_some_and(str::is_empty) {
        return Err(bad("the sftp:// URL has an @ and no user before it", form));
    }
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        // What follows the bracket and is no port is refused as one.
        Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or_default())),
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let number = |port: &str| {
        let port = port.parse::<u16>().ok().filter(|port| *port > 0);
        port.ok_or_else(|| bad("the port of the sftp:// URL is not a number from 1 to 65535", form))
    };
    let port = port.map(number).transpose()?;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '@') {
        return Err(bad("the sftp:// URL has no host", form));
    }
    let (home, path) = match path.strip_prefix("~/") {
        Some(path) => (true, path),
        None => (false, path),
    };
    let trimmed = folder_of_host(path)?;
    if trimmed.is_empty() {
        return Err(bad(
            "the sftp:// URL has no folder",
            format!("{form}; the repository needs its own folder"),
        ));
    }
    let path = if home { trimmed } else { format!("/{trimmed}") };
    Ok(SftpPlace { user: user.map(str::to_string), host: host.to_string(), port, path })
}

/// A path on a host may hold what a key of a bucket should not; `.`, `..` and control characters it
/// may not.
fn folder_of_host(path: &str) -> Result<String, BadUrl> {
    let trimmed = path.trim_matches('/');
    let wrong =
        |part: &str| part.is_empty() || part == "." || part == ".." || part.chars().any(char::is_control);
    if !trimmed.is_empty() && trimmed.split('/').any(wrong) {
        return Err(bad(
            format!("the path {path:?} contains an empty component, . or .., or a control character"),
            "write it without them",
        ));
    }
    Ok(trimmed.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_back_as_they_are_meant() {
        for (typed, shown) in [
            ("/backup/main", "/backup/main"),
            ("backup", "backup"),
            ("file:///backup", "/backup"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("s3://bucket//a", "s3://bucket/a"),
            ("s3://bucket/a b/ü", "s3://bucket/a b/ü"),
            ("gs://my.bucket/x", "gs://my.bucket/x"),
            ("azblob://c/x/", "azblob://c/x"),
            ("sftp://backup@host/srv/pg", "sftp://backup@host/srv/pg"),
            ("sftp://host:2222//srv/pg/", "sftp://host:2222/srv/pg"),
            ("sftp://host/~/pg", "sftp://host/~/pg"),
            ("sftp://u@[::1]:22/x", "sftp://u@[::1]/x"),
        ] {
            assert_eq!(StorageUrl::parse(typed).map(|url| url.to_string()), Ok(shown.to_string()), "{typed}");
        }
    }

    #[test]
    fn slips_are_refused_and_secrets_not_repeated() {
        for typed in [
            "",
            "s3:/bucket",
            "s3:bucket/x",
            "s3://",
            "s3:///x",
            "s3://bu cket/x",
            "s3://bucket/a//b",
            "s3://bucket/../x",
            "s3://bucket/a%20b",
            "s3://key:hunter2@bucket/x",
            "https://hunter2@s3.example.com/bucket",
            "gcs://bucket/x",
            "file://relative",
            "sftp://host",
            "sftp://host/",
            "sftp://user:hunter2@host/x",
            "sftp://@host/x",
            "sftp://host:port/x",
            "sftp://host:0/x",
            "sftp:///x",
            "sftp://host/a/../b",
        ] {
            let error = StorageUrl::parse(typed).expect_err(typed);
            assert!(!format!("{error} {}", error.hint).contains("hunter2"), "{error}");
            assert!(!error.hint.is_empty());
        }
    }
}
