//! Stopping a conversation from another thread.

use std::io::{Read, Write};
use std::sync::Arc;

use crate::conninfo::{ConnInfo, Host};
use crate::stream::{Address, Raw, Stream};
use crate::{PgError, peer, tls};

const CANCEL_CODE: u32 = 80_877_102;
pub(crate) const SSL_CODE: u32 = 80_877_103;

/// Ends what a connection is doing. Any number of threads may hold one.
#[derive(Clone)]
pub struct Canceller(Arc<Target>);

struct Target {
    raw: Raw,
    address: Address,
    host: Host,
    info: ConnInfo,
    uses_tls: bool,
    pid: i32,
    secret: Vec<u8>,
}

impl Canceller {
    pub(crate) fn new(
        raw: Raw,
        address: Address,
        host: Host,
        info: ConnInfo,
        uses_tls: bool,
        pid: i32,
        secret: Vec<u8>,
    ) -> Canceller {
        Canceller(Arc::new(Target { raw, address, host, info, uses_tls, pid, secret }))
    }

    /// Asks the server to stop the running statement, over a second socket, under TLS if the first
    /// is. The statement then ends with SQLSTATE 57014; if none runs, nothing happens.
    pub fn cancel(&self) -> Result<(), PgError> {
        let target = &self.0;
        let closed = |error| PgError::Closed(Some(error));
        let mut stream = Stream::open(&target.address, &target.info).map_err(closed)?;
        peer::check(&stream, &target.info)?;
        if target.uses_tls {
            stream = request_tls(stream, &target.info, &target.host)?
                .map_err(|_| PgError::Tls("the server refused TLS for the cancel request".into()))?;
        }
        let length = u32::try_from(12 + target.secret.len()).unwrap_or(16);
        let mut request = length.to_be_bytes().to_vec();
        request.extend_from_slice(&CANCEL_CODE.to_be_bytes());
        request.extend_from_slice(&target.pid.to_be_bytes());
        request.extend_from_slice(&target.secret);
        stream.write_all(&request).and_then(|()| stream.flush()).map_err(closed)?;
        // The server closes the socket when it has passed the request on.
        let _ = stream.read(&mut [0; 1]);
        Ok(())
    }

    /// Closes the connection's socket: a thread that waits for it gets an error at once.
    pub fn shutdown(&self) {
        self.0.raw.shutdown();
    }
}

/// Asks for TLS; gives the stream back as it is if the server does not have it.
pub(crate) fn request_tls(
    mut stream: Stream,
    info: &ConnInfo,
    host: &Host,
) -> Result<Result<Stream, Stream>, PgError> {
    let closed = |error| PgError::Closed(Some(error));
    if info.get("sslnegotiation") != "direct" {
        let mut request = 8u32.to_be_bytes().to_vec();
        request.extend_from_slice(&SSL_CODE.to_be_bytes());
        stream.write_all(&request).and_then(|()| stream.flush()).map_err(closed)?;
        let mut answer = [0; 1];
        stream.read_exact(&mut answer).map_err(closed)?;
        match answer {
            [b'S'] => {}
            [b'N'] => return Ok(Err(stream)),
            // Its text was said before anybody proved who speaks: libpq does not show it either.
            [b'E'] => {
                return Err(PgError::Tls(
                    "the server answered the request for TLS with an error (it could be starting up; see its log)".into(),
                ));
            }
            _ => return Err(PgError::Protocol("received invalid response to SSL negotiation".into())),
        }
    }
    match stream {
        Stream::Tcp(socket) => Ok(Ok(Stream::Tls(Box::new(tls::start(socket, info, host)?)))),
        _ => Err(PgError::Protocol("TLS over a unix socket".into())),
    }
}
