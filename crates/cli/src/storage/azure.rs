//! Who asks Azure: the variables of Azure's command line and SDKs, a connection string, an
//! application, the machine.

use std::collections::BTreeMap;

use pgark_ops::SecretString;
use pgark_ops::storage::{AzureConfig, AzureCredentials, Bucket};

use super::options::Options;
use super::surroundings::Surroundings;
use crate::error::Failure;
use crate::secrets::secret_line;

/// What `az login` writes.
const COMMAND_LINE: &str = ".azure/azureProfile.json";

pub fn config(container: Bucket, options: &Options, around: &Surroundings) -> Result<AzureConfig, Failure> {
    let whole =
        around.variable("AZURE_STORAGE_CONNECTION_STRING").map(|text| parts(&text)).unwrap_or_default();
    let part = |name: &str| whole.get(name).cloned();
    let account = options
        .text("account")
        .or_else(|| around.variable("AZURE_STORAGE_ACCOUNT"))
        .or_else(|| part("accountname"))
        .ok_or_else(|| {
            Failure::usage(
                "no storage account is given",
                "give --storage-option account=NAME, or set AZURE_STORAGE_ACCOUNT",
            )
        })?;
    let key_file = options.path("key_file");
    let secret = |text: String| SecretString::from(text);
    let credentials = if let Some(path) = key_file {
        AzureCredentials::Key(secret_line("key file", &path)?)
    } else if let Some(key) = around.variable("AZURE_STORAGE_KEY").or_else(|| part("accountkey")) {
        AzureCredentials::Key(secret(key))
    } else if let Some(sas) =
        around.variable("AZURE_STORAGE_SAS_TOKEN").or_else(|| part("sharedaccesssignature"))
    {
        AzureCredentials::Sas(secret(sas))
    } else {
        of_application(around)
    };
    Ok(AzureConfig {
        container,
        account,
        endpoint: options.text("endpoint").or_else(|| part("blobendpoint")),
        credentials,
        storage_class: options.text("storage_class"),
    })
}

fn of_application(around: &Surroundings) -> AzureCredentials {
    let (id, tenant) = (around.variable("AZURE_CLIENT_ID"), around.variable("AZURE_TENANT_ID"));
    let secret = around.variable("AZURE_CLIENT_SECRET");
    let token_file = around.variable("AZURE_FEDERATED_TOKEN_FILE");
    match (id, tenant, secret, token_file) {
        (Some(id), Some(tenant), Some(secret), _) => {
            AzureCredentials::Client { id, tenant, secret: SecretString::from(secret) }
        }
        (Some(id), Some(tenant), None, Some(token_file)) => {
            AzureCredentials::Workload { id, tenant, token_file }
        }
        _ if around.file(COMMAND_LINE).is_some() => AzureCredentials::CommandLine,
        (id, ..) => AzureCredentials::Instance { id },
    }
}

/// `Name=value;Name=value`; a value may hold `=`. Names in lower case.
fn parts(text: &str) -> BTreeMap<String, String> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_string()))
    };
    text.split(';').filter_map(pair).collect()
}
