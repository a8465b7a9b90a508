//! Credentials that a program prints: `credential_process` of a profile, as signing helpers on
//! machines outside a cloud give them.
//!
//! Source: AWS SDKs and Tools reference guide, "Process credential provider".

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::s3::{Ending, Held, generic};

/// A program that has not ended by then is ended.
const PATIENCE: Duration = Duration::from_secs(60);
/// No document with credentials is longer.
const LONGEST: u64 = 1 << 20;
/// Of what a program complains, so much is told.
const TOLD: usize = 300;

/// Runs the program whenever what it printed is about to end.
#[derive(Debug)]
pub(super) struct Process {
    command: SecretString,
    held: Held,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
#[error("the program {program:?} of credential_process {what}")]
pub(super) struct Failed {
    program: String,
    what: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

impl Process {
    pub(super) fn new(command: &SecretString) -> Process {
        Process { command: command.clone(), held: Held::default() }
    }

    async fn run(&self) -> Result<Ending, Failed> {
        let failed = |what: String| {
            // Its arguments may be secrets.
            let program =
                self.command.expose_secret().split_whitespace().next().unwrap_or_default().to_string();
            Failed { program, what }
        };
        let mut command = Command::new("sh");
        crate::Child::Amazon.prepare(command.as_std_mut());
        let mut child = command
            .args(["-c", self.command.expose_secret()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("cannot be started: {error}")))?;
        let (printed, complaint) = (child.stdout.take(), child.stderr.take());
        let ran = async { tokio::join!(beginning(printed), beginning(complaint), child.wait()) };
        let (printed, complaint, status) = tokio::time::timeout(PATIENCE, ran)
            .await
            .map_err(|_| failed(format!("has not ended within {} s", PATIENCE.as_secs())))?;
        let status = status.map_err(|error| failed(format!("cannot be waited for: {error}")))?;
        if !status.success() {
            let complaint: String = String::from_utf8_lossy(&complaint).trim().chars().take(TOLD).collect();
            return Err(failed(match complaint.is_empty() {
                true => format!("ended with {status}"),
                false => format!("ended with {status}: {complaint}"),
            }));
        }
        // The parser's own words could quote a secret.
        let printed: Printed = serde_json::from_slice(&printed).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            failed(format!("printed no valid credentials: error at line {line}, column {column}"))
        })?;
        if printed.version != 1 {
            return Err(failed(format!("printed version {}, but only 1 is supported", printed.version)));
        }
        let parsed = printed.expiration.map(|text| text.parse::<Timestamp>()).transpose();
        let ends =
            match parsed.map_err(|_| failed("printed an Expiration that is not an ISO 8601 time".into()))? {
                Some(ends) if ends <= Timestamp::now() => {
                    return Err(failed(format!("printed credentials that expired at {ends}")));
                }
                Some(ends) => ends,
                None => Timestamp::MAX,
            };
        let credential = AwsCredential {
            key_id: printed.access_key_id,
            secret_key: printed.secret_access_key,
            token: printed.session_token,
        };
        Ok((Arc::new(credential), ends.into()))
    }
}

/// The beginning of what a program prints; a program that goes on is stopped by its closed pipe.
async fn beginning(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error is judged like all else.
        let _ = pipe.take(LONGEST).read_to_end(&mut bytes).await;
    }
    bytes
}

#[async_trait]
impl CredentialProvider for Process {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.held.or_new(async { self.run().await.map_err(generic) }).await
    }
}
