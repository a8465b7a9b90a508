//! The socket below a conversation: unix, TCP or TLS over TCP.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use openssl::ssl::SslStream;

use crate::conninfo::ConnInfo;

/// The way to one server, for a second connection (cancel).
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Unix(String),
    Tcp(SocketAddr),
}

pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
}

/// A second handle of the socket, which can shut it from another thread.
pub(crate) enum Raw {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Raw {
    pub(crate) fn shutdown(&self) {
        // A socket that is shut already stays so.
        let _ = match self {
            Raw::Unix(socket) => socket.shutdown(Shutdown::Both),
            Raw::Tcp(socket) => socket.shutdown(Shutdown::Both),
        };
    }
}

impl Stream {
    pub(crate) fn open(address: &Address, info: &ConnInfo) -> io::Result<Stream> {
        match address {
            Address::Unix(path) => {
                let socket = match path.strip_prefix('@') {
                    Some(name) => {
                        use std::os::linux::net::SocketAddrExt;
                        let address = std::os::unix::net::SocketAddr::from_abstract_name(name.as_bytes())?;
                        UnixStream::connect_addr(&address)?
                    }
                    None => UnixStream::connect(path)?,
                };
                Ok(Stream::Unix(socket))
            }
            Address::Tcp(address) => {
                // What connect_timeout says, 0 for no limit too, counts.
                let socket = match (timeout(info), info.get("connect_timeout")) {
                    (Some(timeout), _) => TcpStream::connect_timeout(address, timeout)?,
                    (None, "") => TcpStream::connect_timeout(address, CONNECT)?,
                    (None, _) => TcpStream::connect(address)?,
                };
                socket.set_nodelay(true)?;
                keep_alive(&socket, info)?;
                Ok(Stream::Tcp(socket))
            }
        }
    }

    pub(crate) fn raw(&self) -> io::Result<Raw> {
        match self {
            Stream::Unix(socket) => socket.try_clone().map(Raw::Unix),
            Stream::Tcp(socket) => socket.try_clone().map(Raw::Tcp),
            Stream::Tls(tls) => tls.get_ref().try_clone().map(Raw::Tcp),
        }
    }

    /// While connecting, every answer has `connect_timeout`; afterwards a query may take as long as
    /// it takes.
    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Unix(socket) => socket.set_read_timeout(timeout),
            Stream::Tcp(socket) => socket.set_read_timeout(timeout),
            Stream::Tls(tls) => tls.get_ref().set_read_timeout(timeout),
        }
    }

    /// Whether the server has sent something that was not read.
    pub(crate) fn is_readable(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        if let Stream::Tls(tls) = self
            && tls.ssl().pending() > 0
        {
            return true;
        }
        let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)];
        matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(count) if count > 0)
    }
}

/// A TCP connection takes at most this, where connect_timeout says nothing: libpq would wait for
/// minutes for an address at which nobody answers. A server that answers and is slow has all the
/// time that it takes.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);

/// libpq takes 1 as 2, and 0 or less as no limit.
pub(crate) fn timeout(info: &ConnInfo) -> Option<Duration> {
    let seconds = info.number("connect_timeout").filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(u64::try_from(seconds.max(2)).unwrap_or(2)))
}

fn keep_alive(socket: &TcpStream, info: &ConnInfo) -> io::Result<()> {
    use rustix::net::sockopt;
    let seconds = |keyword| {
        let number = info.number(keyword).filter(|number| *number > 0)?;
        u64::try_from(number).ok()
    };
    if let Some(millis) = seconds("tcp_user_timeout") {
        sockopt::set_tcp_user_timeout(socket, u32::try_from(millis).unwrap_or(u32::MAX))?;
    }
    if info.number("keepalives") == Some(0) {
        return Ok(());
    }
    sockopt::set_socket_keepalive(socket, true)?;
    if let Some(idle) = seconds("keepalives_idle") {
        sockopt::set_tcp_keepidle(socket, Duration::from_secs(idle))?;
    }
    if let Some(interval) = seconds("keepalives_interval") {
        sockopt::set_tcp_keepintvl(socket, Duration::from_secs(interval))?;
    }
    if let Some(count) = seconds("keepalives_count") {
        sockopt::set_tcp_keepcnt(socket, u32::try_from(count).unwrap_or(u32::MAX))?;
    }
    Ok(())
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(socket) => socket.as_fd(),
            Stream::Tcp(socket) => socket.as_fd(),
            Stream::Tls(tls) => tls.get_ref().as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(socket) => socket.read(buffer),
            Stream::Tcp(socket) => socket.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(socket) => socket.write(bytes),
            Stream::Tcp(socket) => socket.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Unix(socket) => socket.flush(),
            Stream::Tcp(socket) => socket.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}
