//! A TCP proxy that makes a network bad: latency, a cut, a stall, connections that break. And one
//! that renames headers.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How the network is; changed while it runs by [`Proxy`]'s methods.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network {
    /// Time from one end to the other, added to each direction.
    pub latency: Duration,
    /// Every so many bytes, in both directions together, a connection breaks.
    pub break_every: Option<u64>,
}

#[derive(Debug)]
struct State {
    cut: AtomicBool,
    stalled: AtomicBool,
    over: AtomicBool,
    moved: AtomicU64,
    /// The cut comes when so many bytes have moved; zero: none is set.
    cut_at: AtomicU64,
    /// Nothing moves once so many bytes have gone through.
    most: AtomicU64,
    /// Bytes are held back because of that.
    holds: AtomicBool,
}

impl Default for State {
    fn default() -> State {
        State {
            cut: AtomicBool::default(),
            stalled: AtomicBool::default(),
            over: AtomicBool::default(),
            moved: AtomicU64::default(),
            cut_at: AtomicU64::default(),
            most: AtomicU64::new(u64::MAX),
            holds: AtomicBool::default(),
        }
    }
}

impl State {
    /// Whether bytes that are there must wait.
    fn is_still(&self) -> bool {
        let is_full = self.moved.load(Ordering::Relaxed) >= self.most.load(Ordering::Relaxed);
        if is_full {
            self.holds.store(true, Ordering::Relaxed);
        }
        is_full || self.stalled.load(Ordering::Relaxed)
    }
}

/// A proxy in front of a port of this host.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// A proxy that passes bytes on as they are.
    pub fn start(to: u16, network: Network) -> Proxy {
        Proxy::renaming(to, network, &[])
    }

    /// One that also replaces lines in the heads of requests.
    pub fn renaming(to: u16, network: Network, lines: &[(&'static str, &'static str)]) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind the proxy");
        let port = listener.local_addr().expect("the proxy's port").port();
        let state = Arc::new(State::default());
        let lines: Arc<[(&'static str, &'static str)]> = lines.into();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                if shared.over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                if shared.cut.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let (Ok(back_from), Ok(back_to)) = (server.try_clone(), client.try_clone()) else { continue };
                let (one, other) = (Arc::clone(&shared), Arc::clone(&shared));
                let lines = Arc::clone(&lines);
                thread::spawn(move || carry(client, server, network, &one, &lines));
                thread::spawn(move || carry(back_from, back_to, network, &other, &[]));
            }
        });
        Proxy { port, state }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks all connections and takes no new ones.
    pub fn cut(&self) {
        self.state.cut.store(true, Ordering::Relaxed);
    }

    /// Does that as soon as so many more bytes have moved: in the middle of what moves them.
    pub fn cut_after(&self, bytes: u64) {
        self.state.cut_at.store(self.moved() + bytes.max(1), Ordering::Relaxed);
    }

    /// Whether all connections are broken now.
    pub fn is_cut(&self) -> bool {
        self.state.cut.load(Ordering::Relaxed)
    }

    /// Connections stay open, and nothing moves on them.
    pub fn stall(&self) {
        self.state.stalled.store(true, Ordering::Relaxed);
    }

    /// The same, once so many more bytes have gone through.
    pub fn stall_after(&self, bytes: u64) {
        self.state.holds.store(false, Ordering::Relaxed);
        self.state.most.store(self.moved() + bytes, Ordering::Relaxed);
    }

    /// Whether [`Proxy::stall_after`] holds bytes back that someone waits for.
    pub fn holds_bytes(&self) -> bool {
        self.state.holds.load(Ordering::Relaxed)
    }

    /// All is well again.
    pub fn heal(&self) {
        self.state.cut_at.store(0, Ordering::Relaxed);
        self.state.most.store(u64::MAX, Ordering::Relaxed);
        self.state.holds.store(false, Ordering::Relaxed);
        self.state.cut.store(false, Ordering::Relaxed);
        self.state.stalled.store(false, Ordering::Relaxed);
    }

    /// Bytes that went through.
    pub fn moved(&self) -> u64 {
        self.state.moved.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the listener, so that it sees the end.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Carries one direction. Bytes are read at once and written when their time has come, so latency
/// costs no throughput.
fn carry(from: TcpStream, mut to: TcpStream, network: Network, state: &Arc<State>, lines: &[(&str, &str)]) {
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(4096);
    let reading = Arc::clone(state);
    let mut source = from.try_clone().expect("share a connection");
    let _ = source.set_read_timeout(Some(Duration::from_millis(100)));
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        loop {
            if reading.cut.load(Ordering::Relaxed) {
                return;
            }
            if reading.stalled.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            match source.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    let due = Instant::now() + network.latency;
                    if sender.send((due, buffer[..count].to_vec())).is_err() {
                        return;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
        }
    });
    while let Ok((due, bytes)) = receiver.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        while state.is_still() && !state.cut.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
        let bytes = rename(bytes, lines);
        let before = state.moved.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let cut_at = state.cut_at.load(Ordering::Relaxed);
        if cut_at > 0 && before + bytes.len() as u64 >= cut_at {
            state.cut.store(true, Ordering::Relaxed);
        }
        let breaks =
            network.break_every.is_some_and(|every| before / every != (before + bytes.len() as u64) / every);
        if breaks || state.cut.load(Ordering::Relaxed) || to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Replaces lines of a request's head. A head that arrives in several reads is not seen through:
/// the clients of these tests write theirs at once.
fn rename(bytes: Vec<u8>, lines: &[(&str, &str)]) -> Vec<u8> {
    let head_end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let (Some(end), false) = (head_end, lines.is_empty()) else { return bytes };
    let (head, rest) = bytes.split_at(end);
    let Ok(head) = std::str::from_utf8(head) else { return bytes };
    let mut head = head.to_owned();
    for (from, to) in lines {
        head = head.replace(from, to);
    }
    [head.as_bytes(), rest].concat()
}
