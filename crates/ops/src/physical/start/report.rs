//! What is told of a server that was started.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

/// The server of a restored data directory. It goes on when pgark has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StartedServer {
    /// Its process.
    pub process_id: u32,
    /// Version of its program, such as `15.18`.
    pub version: String,
    /// Folder of its socket, the only way to reach it. Nothing needs the folder any more once the
    /// server was stopped.
    pub socket_directory: PathBuf,
    /// Its port, which names the socket.
    pub port: u16,
    /// Its log.
    pub log: PathBuf,
    /// A command that connects to it.
    pub connect: String,
    /// A command that stops it.
    pub stop: String,
}
