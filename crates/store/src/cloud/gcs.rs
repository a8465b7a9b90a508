//! Google Cloud Storage.

use std::sync::Arc;

use object_store::gcp::GoogleCloudStorageBuilder;
use secrecy::ExposeSecret;

use super::{CloudStore, Parts, no_retries, refused};
use crate::StoreError;
use crate::http::Wire;
use crate::runtime::Engine;
use crate::target::{GcsConfig, GcsCredentials};

/// Opens a bucket.
pub(crate) fn open(config: GcsConfig, engine: Engine, wire: Wire) -> Result<CloudStore, StoreError> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&config.bucket.name)
        .with_retry(no_retries())
        .with_http_connector(wire.clone());
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    builder = match &config.credentials {
        GcsCredentials::KeyFile(path) => builder.with_application_credentials(path),
        GcsCredentials::Token(token) => builder.with_bearer_token(token.expose_secret()),
        GcsCredentials::Instance => builder,
    };
    let client = builder.build().map_err(refused)?;
    Ok(CloudStore::new(Parts {
        engine,
        client: Arc::new(client),
        shown: format!("gs://{}", config.bucket.shown()),
        endpoint: config.endpoint.clone(),
        prefix: config.bucket.prefix,
        storage_class: config.storage_class,
        wire,
        s3: None,
    }))
}
