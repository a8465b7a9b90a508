//! What a command that fails prints with `--json`, on standard error.

use schemars::JsonSchema;
use serde::Serialize;

use super::format::FORMAT;

/// Why a command failed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Failed {
    format: u32,
    /// What failed, with its causes.
    error: String,
    /// What can be done about it; null: nothing is known.
    hint: Option<String>,
    /// What kind of failure it is.
    kind: FailureKind,
    /// The exit code of a command that ends with this failure: 1, 2 or 130.
    exit_code: u8,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The command line, the configuration file, or a file with a secret that they name is wrong,
    /// or they ask for something that makes no sense (exit code 2).
    Usage,
    /// The command failed (exit code 1).
    Failed,
    /// The command was interrupted by a signal (exit code 130).
    Interrupted,
}

impl Failed {
    /// In the current format.
    pub fn new(error: String, hint: Option<String>, kind: FailureKind, exit_code: u8) -> Failed {
        Failed { format: FORMAT, error, hint, kind, exit_code }
    }
}
