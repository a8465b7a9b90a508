//! Which server a backup was made of.

use serde::{Deserialize, Serialize};

/// Where a server was, and how far. Everything that is not known is left out, and compared with
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Server {
    /// As the user named them: several where any of them may be the cluster's primary.
    pub hosts: Vec<String>,
    /// Of each host.
    pub ports: Vec<u16>,
    /// Its data directory, if the role is allowed to see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_directory: Option<String>,
    /// It was a standby.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub standby: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<i64>,
    /// Where its WAL was: `16/B374D848`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn: Option<String>,
}
