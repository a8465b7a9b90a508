//! What no real server says: a server of a few lines answers with what the test wants.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::replication::WalPosition;
use pgark_bytes::protocol::{self, Framed, Sender};
use pgark_pg::{BaseBackupOptions, Connection, PgError, ReplicationFailure, WalEvent};

use super::base_backup::Received;
use super::{resolve, soon, words};

const PORT: u16 = 5432;

/// A server that logs in everyone, answers queries in the order of its script, and hangs up behind
/// the last answer.
struct Script {
    folder: PathBuf,
}

impl Script {
    fn start(version: &str, answers: Vec<Vec<u8>>) -> Script {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/tmp/pgark-s-{}-script-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let listener = UnixListener::bind(folder.join(format!(".s.PGSQL.{PORT}"))).unwrap();
        let mut hello = message(b'R', &[0; 4]);
        hello.extend(message(b'S', format!("server_version\0{version}\0").as_bytes()));
        hello.extend(message(b'K', &[0; 8]));
        hello.extend(message(b'Z', b"I"));
        thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            // Requests to cancel find nobody.
            drop(listener);
            serve(client, &hello, &answers);
        });
        Script { folder }
    }

    fn connect(&self) -> Connection {
        let text = format!("host={} port={PORT} dbname=x user=x", self.folder.display());
        Connection::connect_physical(&resolve(&text)).unwrap()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The client may go at any time, and then nothing more is to be said.
fn serve(mut client: UnixStream, hello: &[u8], answers: &[Vec<u8>]) {
    let mut answers = std::iter::once(hello).chain(answers.iter().map(Vec::as_slice)).peekable();
    let (mut heard, mut buffer, mut is_login) = (Vec::new(), [0; 4096], true);
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        heard.extend_from_slice(&buffer[..count]);
        loop {
            let (length, is_query) = if is_login {
                match protocol::startup(&heard).unwrap() {
                    Framed::Whole(body) => (body.len() + 4, true),
                    Framed::Needs(_) => break,
                }
            } else {
                match protocol::frame(&heard, Sender::Frontend).unwrap() {
                    Framed::Whole(frame) => (frame.total(), frame.tag == b'Q'),
                    Framed::Needs(_) => break,
                }
            };
            heard.drain(..length);
            is_login = false;
            if is_query {
                let Some(answer) = answers.next() else { return };
                if client.write_all(answer).is_err() || answers.peek().is_none() {
                    return;
                }
            }
        }
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    protocol::put(tag, body, &mut bytes).unwrap();
    bytes
}

fn row(values: &[Option<&str>]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        match value {
            None => body.extend((-1i32).to_be_bytes()),
            Some(value) => {
                body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
                body.extend(value.as_bytes());
            }
        }
    }
    message(b'D', &body)
}

fn result(rows: &[&[Option<&str>]]) -> Vec<u8> {
    let mut bytes = message(b'T', &[0, 0]);
    rows.iter().for_each(|values| bytes.extend(row(values)));
    bytes.extend(message(b'C', b"SELECT\0"));
    bytes
}

fn ready() -> Vec<u8> {
    [message(b'C', b"DONE\0"), message(b'Z', b"I")].concat()
}

fn data(payload: &[u8]) -> Vec<u8> {
    message(b'd', payload)
}

const COPY_OUT: &[u8] = b"H\0\0\0\x07\0\0\0";
const COPY_BOTH: &[u8] = b"W\0\0\0\x07\0\0\0";
const COPY_DONE: &[u8] = b"c\0\0\0\x04";

/// The results in front of the data: two tablespaces.
fn starts() -> Vec<u8> {
    let position = result(&[&[Some("0/28"), Some("1")]]);
    [position, result(&[&[Some("16400"), Some("/away"), None], &[None, None, None]])].concat()
}

fn ends() -> Vec<u8> {
    [result(&[&[Some("0/99"), Some("1")]]), ready()].concat()
}

fn taken(version: &str, answer: &[Vec<u8>]) -> (Received, Result<(), ReplicationFailure>, bool) {
    let script = Script::start(version, vec![answer.concat(), ready()]);
    let mut connection = script.connect();
    let mut received = Received::default();
    let result = received.read(&mut connection.base_backup(&BaseBackupOptions::new("x")).unwrap());
    let is_usable = connection.simple("IDENTIFY_SYSTEM").is_ok();
    (received, result, is_usable)
}

#[test]
fn messages_longer_than_the_buffer_come_in_pieces() {
    let long: Vec<u8> = (0..3_000_000u32).map(|at| at.to_le_bytes()[1]).collect();
    let new = [
        starts(),
        COPY_OUT.to_vec(),
        data(b"n16400.tar.lz4\0/away\0"),
        data(&[b"d", &long[..]].concat()),
        data(b"p\0\0\0\0\0\0\0\x07"),
        data(b"dend"),
        data(b"nbase.tar.lz4\0\0"),
        data(b"d"),
        data(b"m"),
        data(&[b"d", &long[..]].concat()),
        COPY_DONE.to_vec(),
        ends(),
    ];
    let old = [
        starts(),
        COPY_OUT.to_vec(),
        data(&long),
        data(b"end"),
        COPY_DONE.to_vec(),
        COPY_OUT.to_vec(),
        COPY_DONE.to_vec(),
        COPY_OUT.to_vec(),
        data(&long),
        COPY_DONE.to_vec(),
        ends(),
    ];
    for (version, answer, is_compressed) in [("15.1", &new[..], true), ("14.20", &old, false)] {
        let (received, result, is_usable) = taken(version, answer);
        result.unwrap_or_else(|failure| panic!("{}", words(&failure)));
        assert!(is_usable && received.end == Some(WalPosition { timeline: 1, lsn: Lsn(0x99) }));
        let [(name, location, bytes), (base, nowhere, nothing)] = &received.archives[..] else { panic!() };
        assert_eq!((name.tablespace, name.compression.is_some()), (Some(16400), is_compressed));
        assert_eq!((&location[..], base.tablespace, nowhere.len()), (&b"/away"[..], None, 0));
        assert!(*bytes == [&long[..], b"end"].concat() && nothing.is_empty());
        assert!(received.manifest == Some(long.clone()));
        assert_eq!(received.progress, if is_compressed { vec![7] } else { vec![] });
    }
}

#[test]
fn a_backup_out_of_step_is_refused() {
    let archives = [data(b"n16400.tar\0/away\0"), data(b"dx"), data(b"nbase.tar\0\0"), data(b"dx")].concat();
    let whole = [starts(), COPY_OUT.to_vec(), archives.clone(), data(b"m"), COPY_DONE.to_vec(), ends()];
    taken("15.1", &whole).1.unwrap();
    let with = |at: usize, part: Vec<u8>| {
        let mut parts = whole.clone();
        parts[at] = part;
        parts
    };
    let broken = [
        // Results.
        with(0, ends()),
        with(0, result(&[&[Some("0/28"), Some("1")]])),
        with(0, [row(&[None]), starts()].concat()),
        with(0, [result(&[]), starts()].concat()),
        with(0, [result(&[&[Some("0/28"), Some("x")]]), starts()].concat()),
        with(0, [result(&[&[Some("0/28"), Some("1")]]), result(&[])].concat()),
        with(
            0,
            [
                result(&[&[Some("0/28"), Some("1")]]),
                result(&[&[None, None, None], &[Some("1"), Some("/"), None]]),
            ]
            .concat(),
        ),
        with(5, ready()),
        with(5, [result(&[&[Some("0/99"), Some("1")], &[Some("0/99"), Some("1")]]), ready()].concat()),
        // Data.
        with(1, Vec::new()),
        with(1, COPY_OUT.repeat(2)),
        with(2, [data(b"dx"), archives.clone()].concat()),
        with(2, [archives.clone(), data(b"")].concat()),
        with(2, [archives.clone(), data(b"w")].concat()),
        with(2, [archives.clone(), data(b"p\0")].concat()),
        with(2, [archives.clone(), data(b"n../x\0\0")].concat()),
        with(
            2,
            [archives.clone(), data(&[&b"n16401.tar\0/"[..], &[b'x'; 300_000], b"\0"].concat())].concat(),
        ),
        // Another one, one too few, or too many.
        with(2, [data(b"nbase.tar\0\0"), data(b"n16400.tar\0/away\0")].concat()),
        with(2, data(b"nbase.tar\0\0")),
        with(2, [archives.clone(), data(b"n16401.tar\0/else\0")].concat()),
        with(3, Vec::new()),
        with(3, [data(b"m"), data(b"m")].concat()),
        with(3, [data(b"m"), data(b"n16401.tar\0/else\0")].concat()),
        with(4, Vec::new()),
        with(4, COPY_DONE.repeat(2)),
        with(4, [COPY_DONE, COPY_OUT, COPY_DONE, &data(b"dx")].concat()),
        with(4, [COPY_DONE, COPY_OUT, COPY_DONE].concat()),
        with(4, COPY_BOTH.to_vec()),
    ];
    for (number, answer) in broken.iter().enumerate() {
        let (received, result, _) = taken("15.1", answer);
        let failure = result.err().unwrap_or_else(|| panic!("{number} is taken"));
        assert!(
            matches!(&failure, ReplicationFailure::Command { source: PgError::Protocol(_), .. }),
            "{number}: {}",
            words(&failure)
        );
        assert!(received.end.is_none());
    }
    // Cut off anywhere, it is not whole.
    let bytes = whole.concat();
    for end in (0..bytes.len()).step_by(7) {
        let script = Script::start("15.1", vec![bytes[..end].to_vec()]);
        let mut connection = script.connect();
        let mut received = Received::default();
        let result = received.read(&mut connection.base_backup(&BaseBackupOptions::new("x")).unwrap());
        assert!(result.is_err() && received.end.is_none(), "{end}");
        assert!(connection.identify_system().is_err());
    }
    // Up to 14, the manifest and each tablespace have a COPY.
    let copy = [COPY_OUT, &data(b"x"), COPY_DONE].concat();
    taken("13.5", &[starts(), copy.repeat(3), ends()]).1.unwrap();
    for copies in [0, 1, 2, 4] {
        let (received, result, _) = taken("13.5", &[starts(), copy.repeat(copies), ends()]);
        assert!(result.is_err() && received.end.is_none(), "{copies}");
    }
}

fn wal(start: u64, bytes: &[u8]) -> Vec<u8> {
    data(&[b"w", &start.to_be_bytes()[..], &[0; 16], bytes].concat())
}

#[test]
fn a_stream_with_a_gap_is_refused() {
    let start = WalPosition { timeline: 1, lsn: Lsn(u64::MAX - 9) };
    let timeout = |value: &str| [result(&[&[Some(value)]]), message(b'Z', b"I")].concat();
    let streamed = |answer: Vec<Vec<u8>>| {
        let script =
            Script::start("15.1", vec![timeout("1min"), [COPY_BOTH.to_vec(), answer.concat()].concat()]);
        let mut connection = script.connect();
        let mut receiver = connection.start_replication(None, start).unwrap();
        let mut received = Vec::new();
        let failure = loop {
            match receiver.receive(soon()) {
                Ok(WalEvent::Wal { data, .. }) => received.extend_from_slice(data),
                Ok(other) => panic!("{other:?}"),
                Err(failure) => break failure,
            }
        };
        assert_eq!(receiver.position().lsn.0, start.lsn.0 + received.len() as u64);
        (received, failure)
    };
    let first = || wal(start.lsn.0, b"abc");
    let keepalive = data(&[b"k", &7u64.to_be_bytes()[..], &[0; 8], &[0]].concat());
    // Keepalives and messages without WAL in between are nothing.
    let (received, failure) = streamed(vec![
        first(),
        keepalive,
        wal(start.lsn.0 + 3, b""),
        wal(start.lsn.0 + 3, b"d"),
        wal(start.lsn.0 + 5, b"f"),
    ]);
    assert_eq!(received, b"abcd");
    let found = Lsn(start.lsn.0 + 5);
    assert!(
        matches!(&failure, ReplicationFailure::Gap { at, found: own } if at.lsn.0 == start.lsn.0 + 4 && *own == found)
    );
    assert_eq!(
        failure.to_string(),
        "receive WAL behind FFFFFFFF/FFFFFFFA on timeline 1: the server went on at FFFFFFFF/FFFFFFFB"
    );
    for (number, answer) in [
        wal(start.lsn.0 + 2, b"c"),
        wal(start.lsn.0 + 3, b"0123456789"),
        data(b"w\0"),
        data(b"x"),
        data(b""),
        message(b'D', b"\0\0"),
        message(b'C', b"COPY 0\0"),
    ]
    .into_iter()
    .enumerate()
    {
        let (received, failure) = streamed(vec![first(), answer]);
        assert_eq!(received, b"abc", "{number}");
        assert_eq!(matches!(failure, ReplicationFailure::Gap { .. }), number == 0, "{number}");
    }
    // A timeline that ends with no word of the next.
    let script = Script::start(
        "15.1",
        vec![timeout("0"), [COPY_BOTH, COPY_DONE, &ready()].concat(), timeout("1 fortnight")],
    );
    let mut connection = script.connect();
    let mut receiver = connection.start_replication(None, start).unwrap();
    assert!(matches!(
        receiver.receive(soon()),
        Err(ReplicationFailure::Wal { source: PgError::Protocol(_), .. })
    ));
    drop(receiver);
    let failure = connection.start_replication(None, start).err().unwrap();
    assert_eq!(words(&failure), "SHOW: understand the server: wal_sender_timeout has an unknown unit");
}
