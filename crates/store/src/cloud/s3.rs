//! S3, and what speaks its protocol.
//!
//! Objects go through the client library. What it does not know is asked for here, signed by the
//! library's own signer: puts under an object lock (PutObject with `x-amz-object-lock-*`), longer
//! retention (PutObjectRetention), versions (ListObjectVersions), versioning and lock of a bucket,
//! and credentials of a role (AssumeRole of the Security Token Service). Source: Amazon S3 API
//! reference, version 2006-03-01; AWS STS API reference, version 2011-06-15.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use object_store::CredentialProvider;
use object_store::aws::{
    AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredential, AwsCredentialProvider,
};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody, HttpResponse};
use object_store::path::Path;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use super::process::Process;
use super::{CloudStore, Parts, no_retries, refused};
use crate::http::{Wire, element};
use crate::runtime::Engine;
use crate::target::{LockMode, S3Config, S3Credentials, S3Encryption};
use crate::{Retention, StoreError};

/// What is not encoded in a path (RFC 3986, section 2.3, and the slash).
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
const IN_QUERY: &AsciiSet = &IN_PATH.add(b'/');
/// Credentials that end are asked for again so long before.
const EARLY: Duration = Duration::from_secs(300);

/// Opens a bucket.
pub(crate) fn open(config: S3Config, engine: Engine, wire: Wire) -> Result<CloudStore, StoreError> {
    let region = config.region.clone().unwrap_or_else(|| "us-east-1".to_string());
    let base = base_url(&config, &region);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&config.bucket.name)
        .with_region(&region)
        .with_endpoint(&base)
        // The endpoint holds the bucket already, whatever the style.
        .with_virtual_hosted_style_request(true)
        .with_allow_http(true)
        // A right to delete one object is not always one to delete several.
        .with_disable_bulk_delete(true)
        .with_retry(no_retries())
        .with_http_connector(wire.clone());
    let credentials = credentials(&config.credentials, &region, &wire)?;
    builder = builder.with_credentials(Arc::clone(&credentials));
    match &config.encryption {
        None => {}
        Some(S3Encryption::Aes256) => builder = set(builder, "aws_server_side_encryption", "AES256"),
        Some(S3Encryption::Kms { key }) => {
            builder = set(builder, "aws_server_side_encryption", "aws:kms");
            if let Some(key) = key {
                builder = set(builder, "aws_sse_kms_key_id", key);
            }
        }
    }
    let client = builder.build().map_err(refused)?;
    let bucketed = Bucketed {
        http: HttpClient::new(wire.clone()),
        credentials,
        region,
        base,
        storage_class: config.storage_class.clone(),
        encryption: config.encryption,
        lock: config.lock,
    };
    Ok(CloudStore::new(Parts {
        engine,
        client: Arc::new(client),
        shown: format!("s3://{}", config.bucket.shown()),
        endpoint: config.endpoint.clone(),
        prefix: config.bucket.prefix,
        storage_class: config.storage_class,
        wire,
        s3: Some(bucketed),
    }))
}

fn set(builder: AmazonS3Builder, key: &str, value: &str) -> AmazonS3Builder {
    match key.parse::<AmazonS3ConfigKey>() {
        Ok(key) => builder.with_config(key, value),
        Err(_) => builder,
    }
}

/// The URL of the bucket itself. With an endpoint the bucket is in the path unless told otherwise;
/// on Amazon's own in the host's name, unless a dot in it would break the certificate's match.
fn base_url(config: &S3Config, region: &str) -> String {
    let bucket = &config.bucket.name;
    let endpoint = config.endpoint.as_deref().map(|endpoint| endpoint.trim_end_matches('/'));
    match (endpoint, config.path_style) {
        (Some(endpoint), Some(false)) => match endpoint.split_once("://") {
            Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
            None => format!("https://{bucket}.{endpoint}"),
        },
        (Some(endpoint), _) if endpoint.contains("://") => format!("{endpoint}/{bucket}"),
        (Some(endpoint), _) => format!("https://{endpoint}/{bucket}"),
        (None, Some(true)) => format!("https://s3.{region}.amazonaws.com/{bucket}"),
        (None, _) if bucket.contains('.') => format!("https://s3.{region}.amazonaws.com/{bucket}"),
        (None, _) => format!("https://{bucket}.s3.{region}.amazonaws.com"),
    }
}

/// What signs.
fn credentials(from: &S3Credentials, region: &str, wire: &Wire) -> Result<AwsCredentialProvider, StoreError> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name("none")
        .with_region(region)
        .with_allow_http(true)
        .with_retry(no_retries())
        .with_http_connector(wire.clone());
    match from {
        S3Credentials::Keys { id, secret, token } => {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose_secret());
            if let Some(token) = token {
                builder = builder.with_token(token.expose_secret());
            }
        }
        S3Credentials::WebIdentity { token_file, role, session, sts } => {
            builder = set(builder, "aws_web_identity_token_file", token_file);
            builder = set(builder, "aws_role_arn", role);
            builder = set(builder, "aws_role_session_name", session);
            if let Some(sts) = sts {
                builder = set(builder, "aws_endpoint_url_sts", sts);
            }
        }
        S3Credentials::Container { relative, full, token_file } => {
            for (key, value) in [
                ("aws_container_credentials_relative_uri", relative),
                ("aws_container_credentials_full_uri", full),
                ("aws_container_authorization_token_file", token_file),
            ] {
                if let Some(value) = value {
                    builder = set(builder, key, value);
                }
            }
        }
        S3Credentials::Instance { endpoint } => {
            if let Some(endpoint) = endpoint {
                builder = builder.with_metadata_endpoint(endpoint);
            }
        }
        S3Credentials::Process { command } => return Ok(Arc::new(Process::new(command))),
        S3Credentials::Role { base, role, session, external_id, sts } => {
            return Ok(Arc::new(AssumedRole {
                base: credentials(base, region, wire)?,
                http: HttpClient::new(wire.clone()),
                region: region.to_string(),
                endpoint: sts.clone().unwrap_or_else(|| format!("https://sts.{region}.amazonaws.com")),
                role: role.clone(),
                session: session.clone(),
                external_id: external_id.clone(),
                held: Held::default(),
            }));
        }
    }
    Ok(Arc::clone(builder.build().map_err(refused)?.credentials()))
}

/// A bucket that is asked directly.
#[derive(Debug)]
pub(crate) struct Bucketed {
    http: HttpClient,
    credentials: AwsCredentialProvider,
    region: String,
    base: String,
    storage_class: Option<String>,
    encryption: Option<S3Encryption>,
    lock: Option<crate::target::Lock>,
}

/// One version of an object, or the mark that it was deleted.
#[derive(Debug, Default)]
pub(crate) struct Version {
    pub key: String,
    pub id: String,
    pub modified: Option<SystemTime>,
    pub size: u64,
    pub deleted: bool,
}

impl Bucketed {
    /// Whether this object is put under the lock.
    pub(crate) fn locks(&self, name: &str) -> bool {
        self.lock.as_ref().is_some_and(|lock| !lock.except.iter().any(|folder| name.starts_with(folder)))
    }

    pub(crate) fn retention(&self) -> Option<Retention> {
        let lock = self.lock.as_ref()?;
        Some(Retention { period: lock.period, except: lock.except.clone() })
    }

    /// Sends a signed request; what is no success is an error, and heard by who listens.
    async fn send(
        &self,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> object_store::Result<HttpResponse> {
        let mut url = match key {
            "" => self.base.clone(),
            key => format!("{}/{}", self.base, utf8_percent_encode(key, IN_PATH)),
        };
        for (number, (name, value)) in query.iter().enumerate() {
            let first = if number == 0 { '?' } else { '&' };
            let _ = write!(url, "{first}{name}={}", utf8_percent_encode(value, IN_QUERY));
        }
        let hash = digest::digest(&digest::SHA256, &body);
        let mut request = http::Request::builder()
            .method(method)
            .uri(&url)
            .header(http::header::CONTENT_LENGTH, body.len())
            .body(HttpRequestBody::from(body.clone()))
            .map_err(generic)?;
        if !body.is_empty() {
            insert(&mut request, "x-amz-checksum-sha256", &BASE64_STANDARD.encode(hash.as_ref()))?;
            insert(&mut request, "x-amz-sdk-checksum-algorithm", "SHA256")?;
        }
        for (name, value) in headers {
            insert(&mut request, name, value)?;
        }
        let credential = self.credentials.get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .try_authorize(&mut request, Some(hash.as_ref()))?;
        succeed(self.http.execute(request).await.map_err(generic)?)
    }

    /// Puts an object under the lock.
    pub(crate) async fn put_locked(
        &self,
        path: &Path,
        bytes: &Bytes,
        only_new: bool,
    ) -> object_store::Result<()> {
        let mut headers: Vec<(&'static str, String)> = Vec::new();
        if only_new {
            headers.push(("if-none-match", "*".into()));
        }
        if let Some(lock) = &self.lock {
            headers.push(("x-amz-object-lock-mode", lock.mode.name().into()));
            headers
                .push(("x-amz-object-lock-retain-until-date", until_text(SystemTime::now() + lock.period)));
        }
        if let Some(class) = &self.storage_class {
            headers.push(("x-amz-storage-class", class.clone()));
        }
        match &self.encryption {
            None => {}
            Some(S3Encryption::Aes256) => headers.push(("x-amz-server-side-encryption", "AES256".into())),
            Some(S3Encryption::Kms { key }) => {
                headers.push(("x-amz-server-side-encryption", "aws:kms".into()));
                if let Some(key) = key {
                    headers.push(("x-amz-server-side-encryption-aws-kms-key-id", key.clone()));
                }
            }
        }
        self.send(Method::PUT, path.as_ref(), &[], &headers, bytes.clone()).await.map(|_| ())
    }

    /// Locks the newest version of an object until then; a lock that lasts longer stays.
    pub(crate) async fn retain(&self, path: &Path, until: SystemTime) -> object_store::Result<()> {
        let mode = self.lock.as_ref().map_or(LockMode::Governance, |lock| lock.mode).name();
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode>\
             <RetainUntilDate>{}</RetainUntilDate></Retention>",
            until_text(until)
        );
        match self.send(Method::PUT, path.as_ref(), &[("retention", "")], &[], body.into()).await {
            Ok(_) => Ok(()),
            // No lock can be made shorter, and need not be.
            Err(error) => match self.locked_until(path).await {
                Ok(Some(locked)) if locked >= until_text(until) => Ok(()),
                // What was told first is the cause.
                _ => Err(error),
            },
        }
    }

    /// Until when the newest version of an object is locked; these texts sort as their moments do.
    async fn locked_until(&self, path: &Path) -> object_store::Result<Option<String>> {
        let answer = self.send(Method::HEAD, path.as_ref(), &[], &[], Bytes::new()).await?;
        let header = answer.headers().get("x-amz-object-lock-retain-until-date");
        Ok(header.and_then(|until| until.to_str().ok()).map(str::to_string))
    }

    /// Whether the bucket keeps what is overwritten or deleted.
    pub(crate) async fn keeps_versions(&self) -> object_store::Result<bool> {
        let response = self.send(Method::GET, "", &[("versioning", "")], &[], Bytes::new()).await?;
        Ok(element(&text(response).await?, "Status").as_deref() == Some("Enabled"))
    }

    /// Whether the bucket has object lock.
    pub(crate) async fn can_lock(&self) -> object_store::Result<bool> {
        match self.send(Method::GET, "", &[("object-lock", "")], &[], Bytes::new()).await {
            Ok(response) => {
                Ok(element(&text(response).await?, "ObjectLockEnabled").as_deref() == Some("Enabled"))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All versions of all objects below a folder.
    pub(crate) async fn versions(&self, prefix: &str) -> object_store::Result<Vec<Version>> {
        let mut found = Vec::new();
        let (mut key, mut id) = (String::new(), String::new());
        loop {
            let mut query = vec![("versions", ""), ("prefix", prefix)];
            if !key.is_empty() {
                query.push(("key-marker", &key));
                if !id.is_empty() {
                    query.push(("version-id-marker", &id));
                }
            }
            let response = self.send(Method::GET, "", &query, &[], Bytes::new()).await?;
            let page = super::as_of::read_page(&text(response).await?).map_err(generic_text)?;
            found.extend(page.versions);
            match page.next {
                Some(next) if next == (key.clone(), id.clone()) => {
                    return Err(generic_text(super::SAME_PAGE.into()));
                }
                Some((next_key, next_id)) => (key, id) = (next_key, next_id),
                None => return Ok(found),
            }
        }
    }
}

/// A moment as lock headers have it: ISO 8601 in whole seconds.
fn until_text(until: SystemTime) -> String {
    let seconds = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string()
}

fn insert(request: &mut HttpRequest, name: &'static str, value: &str) -> object_store::Result<()> {
    let value = HeaderValue::from_str(value).map_err(generic)?;
    request.headers_mut().insert(HeaderName::from_static(name), value);
    Ok(())
}

pub(super) fn generic(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: Box::new(error) }
}

fn generic_text(text: String) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: text.into() }
}

fn succeed(response: HttpResponse) -> object_store::Result<HttpResponse> {
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND => {
            Err(object_store::Error::NotFound { path: String::new(), source: "not found".into() })
        }
        status => Err(generic_text(format!("the storage answered {status}"))),
    }
}

async fn text(response: HttpResponse) -> object_store::Result<String> {
    let bytes = response.into_body().bytes().await.map_err(generic)?;
    String::from_utf8(bytes.into()).map_err(generic)
}

/// Credentials of a role that others' credentials may take.
#[derive(Debug)]
struct AssumedRole {
    base: AwsCredentialProvider,
    http: HttpClient,
    region: String,
    endpoint: String,
    role: String,
    session: String,
    external_id: Option<String>,
    held: Held,
}

/// Credentials, and when they end.
pub(super) type Ending = (Arc<AwsCredential>, SystemTime);

/// Credentials that are kept until they are about to end.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Option<Ending>>);

impl Held {
    pub(super) async fn or_new(
        &self,
        new: impl Future<Output = object_store::Result<Ending>> + Send,
    ) -> object_store::Result<Arc<AwsCredential>> {
        let mut held = self.0.lock().await;
        if let Some((credential, ends)) = &*held
            && *ends > SystemTime::now() + EARLY
        {
            return Ok(Arc::clone(credential));
        }
        let (credential, ends) = new.await?;
        *held = Some((Arc::clone(&credential), ends));
        Ok(credential)
    }
}

#[async_trait]
impl CredentialProvider for AssumedRole {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.held.or_new(self.assume()).await
    }
}

impl AssumedRole {
    async fn assume(&self) -> object_store::Result<Ending> {
        let base = self.base.get_credential().await?;
        let mut url =
            format!("{}/?Action=AssumeRole&Version=2011-06-15", self.endpoint.trim_end_matches('/'));
        let mut parameters = vec![("RoleArn", &self.role), ("RoleSessionName", &self.session)];
        parameters.extend(self.external_id.iter().map(|id| ("ExternalId", id)));
        for (name, value) in parameters {
            let _ = write!(url, "&{name}={}", utf8_percent_encode(value, IN_QUERY));
        }
        let mut request = http::Request::builder()
            .method(Method::POST)
            .uri(&url)
            .header(http::header::CONTENT_LENGTH, 0)
            .body(HttpRequestBody::empty())
            .map_err(generic)?;
        AwsAuthorizer::new(&base, "sts", &self.region).try_authorize(&mut request, None)?;
        let answer = text(succeed(self.http.execute(request).await.map_err(generic)?)?).await?;
        let part = |name: &str| {
            element(&answer, name)
                .ok_or_else(|| generic_text(format!("the answer about the role has no {name}")))
        };
        let credential = AwsCredential {
            key_id: part("AccessKeyId")?,
            secret_key: part("SecretAccessKey")?,
            token: Some(part("SessionToken")?),
        };
        let ends: Timestamp = part("Expiration")?.parse().map_err(generic)?;
        Ok((Arc::new(credential), ends.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::Bucket;

    #[test]
    fn the_bucket_stands_where_it_should() {
        let url = |name: &str, endpoint: Option<&str>, path_style| {
            let bucket = Bucket { name: name.into(), prefix: String::new() };
            let config = S3Config {
                endpoint: endpoint.map(str::to_string),
                path_style,
                ..S3Config::new(bucket, S3Credentials::Instance { endpoint: None })
            };
            base_url(&config, "eu-west-1")
        };
        assert_eq!(url("b", None, None), "https://b.s3.eu-west-1.amazonaws.com");
        assert_eq!(url("b.c", None, None), "https://s3.eu-west-1.amazonaws.com/b.c");
        assert_eq!(url("b", Some("http://h:9000/"), None), "http://h:9000/b");
        assert_eq!(url("b", Some("h:9000"), None), "https://h:9000/b");
        assert_eq!(url("b", Some("https://h"), Some(false)), "https://b.h");
    }

    #[test]
    fn moments_are_whole_seconds() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        assert_eq!(until_text(moment), "2023-11-14T22:13:20Z");
    }
}
