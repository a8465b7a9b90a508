//! A real server behind a proxy that speaks its protocol and spoils chosen answers: everything is
//! real but the fault. For what real servers rarely do, and never when a test wants them to.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use pgark_bytes::protocol::{self, Framed, Sender};

use crate::Cluster;

/// First messages that ask for something else than a session (protocol: SSLRequest, GSSENCRequest).
const ASKS_FOR_ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];
const PROTOCOL_3_0: u32 = 196_608;

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// On connections of the application of this name.
    pub application: &'static str,
    /// In answers to queries that hold these words.
    pub query: &'static str,
    /// What.
    pub what: What,
    /// So often; from then on all is well.
    pub times: usize,
}

/// What becomes of an answer. Types are those of the server's messages.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// The query is answered with this error, and the server does not get it.
    Refuse {
        /// Five signs.
        sqlstate: &'static str,
        /// The server's words.
        message: &'static str,
    },
    /// The connection is cut behind the first message of this type.
    CutBehind(u8),
    /// The connection is cut in the middle of the first message of this type.
    CutInside(u8),
    /// The connection is cut before the first message of this type.
    CutBefore(u8),
    /// Behind the first message of this type comes an error, and the rest of the answer does not.
    ErrorBehind(u8),
    /// The first message of this type comes with another one.
    Retype(u8, u8),
    /// The first message of this type claims to be so long, in the protocol's count.
    Claim(u8, u32),
}

/// A server whose answers are spoiled. It listens on a unix socket of its own.
#[derive(Debug)]
pub struct FaultyServer {
    folder: PathBuf,
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    fault: Fault,
    /// How often the fault is still to happen.
    left: AtomicUsize,
    is_over: AtomicBool,
    /// The real server's socket.
    server: PathBuf,
}

/// One conversation, as its two directions know it.
#[derive(Debug, Default)]
struct Conversation {
    /// The answer that comes is to be spoiled.
    is_armed: bool,
    /// Of ReadyForQuery.
    status: u8,
}

impl FaultyServer {
    /// Puts a proxy before a server.
    pub fn start(cluster: &Cluster, fault: Fault) -> FaultyServer {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/tmp/pgark-s-{}-faulty-{number}", std::process::id()));
        fs::create_dir(&folder).expect("make the proxy's folder");
        let port = cluster.port();
        let name = format!(".s.PGSQL.{port}");
        let listener = UnixListener::bind(folder.join(&name)).expect("bind the proxy");
        let shared = Arc::new(Shared {
            fault,
            left: AtomicUsize::new(fault.times),
            is_over: AtomicBool::new(false),
            server: cluster.socket_directory().join(&name),
        });
        let listening = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if listening.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let shared = Arc::clone(&listening);
                // Both sides see a closed socket; there is nobody to tell more.
                thread::spawn(move || shared.serve(client));
            }
        });
        FaultyServer { folder, port, shared }
    }

    /// The way to a database through it, as superuser.
    pub fn conninfo(&self, db: &str) -> String {
        format!("host={} port={} dbname={db} user=postgres", self.folder.display(), self.port)
    }

    /// How often the fault has happened.
    pub fn happened(&self) -> usize {
        self.shared.fault.times - self.shared.left.load(Ordering::Relaxed)
    }
}

impl Drop for FaultyServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees the end.
        let _ = UnixStream::connect(self.folder.join(format!(".s.PGSQL.{}", self.port)));
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// One direction's source: messages where they lie in its buffer.
struct Source {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Source {
    fn new(stream: &UnixStream) -> io::Result<Source> {
        Ok(Source { stream: stream.try_clone()?, buffer: Vec::new() })
    }

    /// Reads until `parse` finds something at the front; takes its bytes off and gives it and them.
    fn next<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Framed<(T, usize)>, protocol::FrameError>,
    ) -> io::Result<(T, Vec<u8>)> {
        loop {
            if let Framed::Whole((found, total)) = parse(&self.buffer).map_err(io::Error::other)? {
                let rest = self.buffer.split_off(total);
                return Ok((found, std::mem::replace(&mut self.buffer, rest)));
            }
            let mut more = [0; 16 << 10];
            match self.stream.read(&mut more)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.buffer.extend_from_slice(&more[..count]),
            }
        }
    }

    /// The next message's type and all its bytes.
    fn message(&mut self, sender: Sender) -> io::Result<(u8, Vec<u8>)> {
        self.next(|bytes| {
            Ok(match protocol::frame(bytes, sender)? {
                Framed::Whole(frame) => Framed::Whole((frame.tag, frame.total())),
                Framed::Needs(count) => Framed::Needs(count),
            })
        })
    }

    /// The code of a connection's first message, and all its bytes.
    fn first(&mut self) -> io::Result<(u32, Vec<u8>)> {
        self.next(|bytes| {
            Ok(match protocol::startup(bytes)? {
                Framed::Whole(body) => {
                    let code = body.first_chunk().map_or(0, |code| u32::from_be_bytes(*code));
                    Framed::Whole((code, body.len() + 4))
                }
                Framed::Needs(count) => Framed::Needs(count),
            })
        })
    }
}

impl Shared {
    fn serve(&self, client: UnixStream) {
        let Ok(server) = UnixStream::connect(&self.server) else { return };
        let conversation = Mutex::new(Conversation::default());
        // Whichever direction ends, the other one's read ends with it.
        let end = || {
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = self.carry_answers(&server, &client, &conversation);
                end();
            });
            let _ = self.carry_queries(&client, &server, &conversation);
            end();
        });
    }

    fn carry_queries(
        &self,
        mut client: &UnixStream,
        mut server: &UnixStream,
        conversation: &Mutex<Conversation>,
    ) -> io::Result<()> {
        let mut source = Source::new(client)?;
        let is_meant = loop {
            let (code, bytes) = source.first()?;
            if ASKS_FOR_ENCRYPTION.contains(&code) {
                client.write_all(b"N")?;
                continue;
            }
            server.write_all(&bytes)?;
            if code != PROTOCOL_3_0 {
                // A cancel request: the server closes the connection.
                return server.read(&mut [0]).map(|_| ());
            }
            break holds(&bytes, &format!("application_name\0{}\0", self.fault.application));
        };
        loop {
            let (tag, bytes) = source.message(Sender::Frontend)?;
            let is_query = matches!(tag, b'Q' | b'P') && is_meant && holds(&bytes, self.fault.query);
            match self.fault.what {
                What::Refuse { sqlstate, message } if is_query && self.happens() => {
                    // Of the extended protocol, all up to Sync is one query.
                    let mut last = tag;
                    while last != b'Q' && last != b'S' {
                        last = source.message(Sender::Frontend)?.0;
                    }
                    client.write_all(&refusal(sqlstate, message, lock(conversation).status))?;
                    continue;
                }
                What::Refuse { .. } => {}
                _ if is_query => lock(conversation).is_armed = true,
                _ => {}
            }
            server.write_all(&bytes)?;
        }
    }

    fn carry_answers(
        &self,
        server: &UnixStream,
        mut client: &UnixStream,
        conversation: &Mutex<Conversation>,
    ) -> io::Result<()> {
        let mut source = Source::new(server)?;
        let mut is_swallowed = false;
        loop {
            let (tag, mut bytes) = source.message(Sender::Backend)?;
            if tag == b'Z' {
                lock(conversation).status = bytes.last().copied().unwrap_or_default();
                is_swallowed = false;
            }
            if is_swallowed {
                continue;
            }
            let meets = match self.fault.what {
                What::Refuse { .. } => false,
                What::CutBehind(at)
                | What::CutInside(at)
                | What::CutBefore(at)
                | What::ErrorBehind(at)
                | What::Retype(at, _)
                | What::Claim(at, _) => at == tag,
            };
            let is_spoiled = meets && lock(conversation).is_armed && self.happens();
            if is_spoiled || tag == b'Z' {
                lock(conversation).is_armed = false;
            }
            if !is_spoiled {
                client.write_all(&bytes)?;
                continue;
            }
            match self.fault.what {
                What::CutBefore(_) | What::Refuse { .. } => return Ok(()),
                What::CutInside(_) => return client.write_all(&bytes[..bytes.len() / 2]),
                What::CutBehind(_) => return client.write_all(&bytes),
                What::ErrorBehind(_) => {
                    client.write_all(&bytes)?;
                    client.write_all(&error("XX001", "invalid page in block 7 of relation base/5/16384"))?;
                    is_swallowed = true;
                }
                What::Retype(_, other) => {
                    bytes[0] = other;
                    client.write_all(&bytes)?;
                }
                What::Claim(_, length) => {
                    bytes[1..protocol::HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
                    client.write_all(&bytes)?;
                }
            }
        }
    }

    /// Whether the fault is to happen once more; counts it.
    fn happens(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

fn lock(conversation: &Mutex<Conversation>) -> MutexGuard<'_, Conversation> {
    conversation.lock().unwrap_or_else(PoisonError::into_inner)
}

fn holds(bytes: &[u8], words: &str) -> bool {
    bytes.windows(words.len()).any(|found| found == words.as_bytes())
}

/// An ErrorResponse.
fn error(sqlstate: &str, message: &str) -> Vec<u8> {
    let body = format!("SERROR\0VERROR\0C{sqlstate}\0M{message}\0\0");
    let mut bytes = Vec::new();
    protocol::put(b'E', body.as_bytes(), &mut bytes).expect("a short message");
    bytes
}

/// An ErrorResponse and ReadyForQuery: an error ends a transaction that was open.
fn refusal(sqlstate: &str, message: &str, status: u8) -> Vec<u8> {
    let mut bytes = error(sqlstate, message);
    let status = if status == b'I' { b'I' } else { b'E' };
    protocol::put(b'Z', &[status], &mut bytes).expect("a short message");
    bytes
}
