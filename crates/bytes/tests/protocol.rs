//! Framing: whatever arrives, in whatever pieces, is a frame, a wish for more, or refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::replication::{ReplicationError, ServerMessage, StatusUpdate, Timestamp};
use pgark_bytes::protocol::*;
use proptest::prelude::*;

#[test]
fn heads_are_held_against_the_limits_of_their_types() {
    let claims = |tag: u8, length: u32| [&[tag][..], &length.to_be_bytes()].concat();
    for (tag, length, sender, is_allowed) in [
        (b'd', 3, Sender::Backend, false),
        (b'd', 4, Sender::Backend, true),
        (b'd', 1 << 30, Sender::Backend, true),
        (b'd', u32::MAX, Sender::Backend, false),
        (b'Z', 29_999, Sender::Backend, true),
        (b'Z', 30_000, Sender::Backend, false),
        (b'Q', 1 << 29, Sender::Backend, false),
        (b'Q', 1 << 29, Sender::Frontend, true),
        (b'p', 65_534, Sender::Frontend, true),
        (b'p', 65_535, Sender::Frontend, false),
        (b'S', 10_000, Sender::Frontend, false),
    ] {
        let found = head(&claims(tag, length), sender);
        if is_allowed {
            let total = length as usize + 1;
            assert_eq!(found, Ok(Framed::Whole(Head { tag, total })));
            // A length alone is no reason to make room: what is needed is said.
            let needs =
                if length == 4 { Framed::Whole(Frame { tag, body: b"" }) } else { Framed::Needs(total) };
            assert_eq!(frame(&claims(tag, length), sender), Ok(needs));
        } else {
            assert_eq!(found, Err(FrameError::Length { tag, length }), "{}", char::from(tag));
        }
    }
    let error = head(b"HTTP/1.1 400 Bad Request", Sender::Backend).unwrap_err().to_string();
    assert_eq!(error, "a message 'H' of 1414811695 bytes, which the protocol does not have");
}

#[test]
fn first_messages_have_no_type() {
    let mut bytes = Vec::new();
    put_startup(b"\0\x03\0\0user\0me\0\0", &mut bytes).unwrap();
    for end in 0..bytes.len() {
        let needs = if end < 4 { 4 } else { bytes.len() };
        assert_eq!(startup(&bytes[..end]), Ok(Framed::Needs(needs)));
    }
    assert_eq!(startup(&bytes), Ok(Framed::Whole(&b"\0\x03\0\0user\0me\0\0"[..])));
    for length in [0u32, 7, 10_001, u32::MAX] {
        assert_eq!(startup(&length.to_be_bytes()), Err(FrameError::StartupLength { length }));
    }
}

#[test]
fn messages_of_replication() {
    let wal =
        [b"w".as_slice(), &1u64.to_be_bytes(), &2u64.to_be_bytes(), &3i64.to_be_bytes(), b"WAL"].concat();
    let expected =
        ServerMessage::WalData { start: Lsn(1), wal_end: Lsn(2), sent_at: Timestamp(3), data: b"WAL" };
    assert_eq!(ServerMessage::parse(&wal), Ok(expected));
    let keepalive = [b"k".as_slice(), &5u64.to_be_bytes(), &6i64.to_be_bytes(), &[1]].concat();
    let expected = ServerMessage::Keepalive { wal_end: Lsn(5), sent_at: Timestamp(6), reply_requested: true };
    assert_eq!(ServerMessage::parse(&keepalive), Ok(expected));
    for end in 0..25 {
        assert_eq!(ServerMessage::parse(&wal[..end]), Err(ReplicationError::Short));
    }
    for end in 0..18 {
        assert_eq!(ServerMessage::parse(&keepalive[..end]), Err(ReplicationError::Short));
    }
    assert_eq!(ServerMessage::parse(b"x"), Err(ReplicationError::Type { tag: b'x' }));
    let status = StatusUpdate {
        written: Lsn(7),
        flushed: Lsn(8),
        applied: Lsn(9),
        sent_at: Timestamp::from_unix_micros(946_684_800_000_001),
        reply_requested: true,
    };
    assert_eq!(status.sent_at.unix_micros(), 946_684_800_000_001);
    let mut expected = vec![b'r'];
    [7u64, 8, 9, 1].iter().for_each(|number| expected.extend(number.to_be_bytes()));
    expected.push(1);
    assert_eq!(status.payload(), expected);
}

#[test]
fn positions_as_the_server_writes_them() {
    for (text, lsn) in [("0/0", 0), ("16/B374D848", 0x16_B374_D848), ("FFFFFFFF/FFFFFFFF", u64::MAX)] {
        assert_eq!(text.parse(), Ok(Lsn(lsn)));
        assert_eq!(Lsn(lsn).to_string(), text);
    }
    for text in ["", "/", "1", "1/", "/1", "1/2/3", "+1/1", "1/ 1", "123456789/0", "g/0"] {
        let error = text.parse::<Lsn>().unwrap_err();
        assert_eq!(error.text, text);
    }
}

proptest! {
    #[test]
    fn frames_come_back_as_they_were_put(
        messages in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..20),
        cut in 0usize..6000,
    ) {
        let mut bytes = Vec::new();
        for (tag, body) in &messages {
            put(*tag, body, &mut bytes).unwrap();
        }
        bytes.truncate(cut);
        let (mut at, mut number) = (0, 0);
        let needed = loop {
            match frame(&bytes[at..], Sender::Frontend).unwrap() {
                Framed::Whole(found) => {
                    prop_assert_eq!((found.tag, found.body), (messages[number].0, &messages[number].1[..]));
                    (at, number) = (at + found.total(), number + 1);
                }
                Framed::Needs(count) => break count,
            }
        };
        // What is needed is what is missing, and never more.
        prop_assert!(needed > bytes.len() - at);
        let expected = messages.get(number).map_or(HEAD_BYTES, |(_, body)| HEAD_BYTES + body.len());
        prop_assert!(needed == HEAD_BYTES || needed == expected);
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        for sender in [Sender::Backend, Sender::Frontend] {
            if let Ok(Framed::Whole(found)) = frame(&bytes, sender) {
                prop_assert!(found.total() <= bytes.len());
            }
        }
        let _ = (startup(&bytes), ServerMessage::parse(&bytes));
        if let Ok(text) = std::str::from_utf8(&bytes) && let Ok(lsn) = text.parse::<Lsn>() {
            prop_assert_eq!(lsn.to_string().parse(), Ok(lsn));
        }
    }
}
