//! Azure Blob Storage.

use std::sync::Arc;

use object_store::azure::{MicrosoftAzureBuilder, split_sas};
use secrecy::ExposeSecret;

use super::{CloudStore, Parts, no_retries, refused};
use crate::StoreError;
use crate::http::Wire;
use crate::runtime::Engine;
use crate::target::{AzureConfig, AzureCredentials};

/// Opens a container.
pub(crate) fn open(config: AzureConfig, engine: Engine, wire: Wire) -> Result<CloudStore, StoreError> {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(&config.account)
        .with_container_name(&config.container.name)
        .with_allow_http(true)
        .with_retry(no_retries())
        .with_http_connector(wire.clone());
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_string());
    }
    builder = match &config.credentials {
        AzureCredentials::Key(key) => builder.with_access_key(key.expose_secret()),
        AzureCredentials::Sas(sas) => {
            let text = sas.expose_secret().trim_start_matches('?');
            builder.with_sas_authorization(split_sas(text).map_err(|_| refused("the SAS cannot be parsed"))?)
        }
        AzureCredentials::Client { id, secret, tenant } => {
            builder.with_client_secret_authorization(id, secret.expose_secret(), tenant)
        }
        AzureCredentials::Workload { id, tenant, token_file } => {
            builder.with_client_id(id).with_tenant_id(tenant).with_federated_token_file(token_file)
        }
        AzureCredentials::CommandLine => builder.with_use_azure_cli(true),
        AzureCredentials::Instance { id } => match id {
            Some(id) => builder.with_client_id(id),
            None => builder,
        },
    };
    let client = builder.build().map_err(refused)?;
    Ok(CloudStore::new(Parts {
        engine,
        client: Arc::new(client),
        shown: format!("azblob://{}", config.container.shown()),
        // A container's name is unique in its account only.
        endpoint: Some(format!("{} {}", config.account, config.endpoint.as_deref().unwrap_or_default())),
        prefix: config.container.prefix,
        storage_class: config.storage_class,
        wire,
        s3: None,
    }))
}
