//! Who asks Google Cloud Storage: application default credentials, as Google's own tools look for
//! them.

use pgark_ops::SecretString;
use pgark_ops::storage::{Bucket, GcsConfig, GcsCredentials};

use super::options::Options;
use super::surroundings::Surroundings;

/// What `gcloud auth application-default login` writes.
const WELL_KNOWN: &str = ".config/gcloud/application_default_credentials.json";

pub fn config(bucket: Bucket, options: &Options, around: &Surroundings) -> GcsConfig {
    let file = options.text("key_file").or_else(|| around.variable("GOOGLE_APPLICATION_CREDENTIALS"));
    let token = || {
        around
            .variable("CLOUDSDK_AUTH_ACCESS_TOKEN")
            .map(|token| GcsCredentials::Token(SecretString::from(token)))
    };
    let well_known =
        || around.file(WELL_KNOWN).map(|path| GcsCredentials::KeyFile(path.display().to_string()));
    GcsConfig {
        bucket,
        endpoint: options.text("endpoint").or_else(|| around.variable("STORAGE_EMULATOR_HOST")),
        credentials: file
            .map(GcsCredentials::KeyFile)
            .or_else(token)
            .or_else(well_known)
            .unwrap_or(GcsCredentials::Instance),
        storage_class: options.text("storage_class"),
    }
}
