//! Any bytes from either side: a frame that lies in them, a wish for more, or refused; what is read
//! is written again as the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::replication::ServerMessage;
use pgark_bytes::protocol::{Framed, Sender, frame, put, put_startup, startup};

fuzz_target!(|input: (bool, &[u8])| {
    let (from_backend, bytes) = input;
    let sender = if from_backend { Sender::Backend } else { Sender::Frontend };
    let mut written = Vec::new();
    let mut rest = bytes;
    if !from_backend && let Ok(Framed::Whole(body)) = startup(rest) {
        put_startup(body, &mut written).expect("what was read can be written");
        rest = &rest[written.len()..];
    }
    loop {
        match frame(rest, sender) {
            Err(_) => break,
            Ok(Framed::Needs(count)) => {
                assert!(count > rest.len());
                break;
            }
            Ok(Framed::Whole(found)) => {
                put(found.tag, found.body, &mut written).expect("what was read can be written");
                let _ = ServerMessage::parse(found.body);
                rest = &rest[found.total()..];
            }
        }
    }
    assert_eq!(written, bytes[..bytes.len() - rest.len()]);
    if let Ok(text) = std::str::from_utf8(bytes) && let Ok(lsn) = text.parse::<Lsn>() {
        assert_eq!(lsn.to_string().parse(), Ok(lsn));
    }
});
