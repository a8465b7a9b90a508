//! Whether the server is on this host.

use std::net::IpAddr;

use pgark_pg::Connection;

/// Whether bytes to the server go through no network.
pub(super) fn is_local(connection: &Connection) -> bool {
    is_socket(connection.host())
        || connection
            .address()
            .and_then(|address| address.parse::<IpAddr>().ok())
            .is_some_and(|address| address.is_loopback())
}

/// Whether a host is a socket in the file system: the server runs on this host.
pub(super) fn is_socket(host: &str) -> bool {
    host.starts_with(['/', '@'])
}
