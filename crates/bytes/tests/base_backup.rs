//! Messages and results of BASE_BACKUP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use pgark_bytes::lsn::Lsn;
use pgark_bytes::protocol::base_backup::*;
use pgark_bytes::protocol::replication::WalPosition;
use proptest::prelude::*;

#[test]
fn messages() {
    for (payload, expected) in [
        (&b"nbase.tar\0\0"[..], BackupMessage::Archive { name: b"base.tar", location: b"" }),
        (
            b"n16400.tar.zst\0/mnt/a b\0",
            BackupMessage::Archive { name: b"16400.tar.zst", location: b"/mnt/a b" },
        ),
        (b"m", BackupMessage::Manifest),
        (b"d", BackupMessage::Data(b"")),
        (b"d\0npd", BackupMessage::Data(b"\0npd")),
        (b"p\0\0\0\0\0\x01\0\x02", BackupMessage::Progress { bytes: 0x10002 }),
    ] {
        assert_eq!(BackupMessage::parse(payload), Ok(expected));
        if payload[0] != b'd' {
            let longer = [payload, b"\0"].concat();
            assert_eq!(BackupMessage::parse(&longer), Err(BackupMessageError::Length));
            for end in 0..payload.len() {
                assert_eq!(BackupMessage::parse(&payload[..end]), Err(BackupMessageError::Length));
            }
        }
    }
    assert_eq!(BackupMessage::parse(b"wx"), Err(BackupMessageError::Type { tag: b'w' }));
}

#[test]
fn names_of_archives() {
    use ArchiveCompression::*;
    for (name, tablespace, compression) in [
        ("base.tar", None, None),
        ("base.tar.gz", None, Some(Gzip)),
        ("16400.tar.lz4", Some(16400), Some(Lz4)),
        ("4294967295.tar.zst", Some(u32::MAX), Some(Zstd)),
    ] {
        assert_eq!(ArchiveName::parse(name.as_bytes()), Ok(ArchiveName { tablespace, compression }));
    }
    for name in [
        "",
        ".tar",
        "base",
        "base.tar.xz",
        "base.zst",
        "../base.tar",
        "+5.tar",
        "4294967296.tar",
        "5.tar.gz ",
    ] {
        assert_eq!(ArchiveName::parse(name.as_bytes()), Err(BackupMessageError::ArchiveName), "{name}");
    }
}

#[test]
fn rows_of_results() {
    let position = |lsn: &'static str, timeline: &'static str| {
        start_or_end([Some(lsn.as_bytes()), Some(timeline.as_bytes())])
    };
    let expected = WalPosition { timeline: 3, lsn: Lsn(0x16_B374_D848) };
    assert_eq!(position("16/B374D848", "3"), Ok(expected));
    assert_eq!(expected.to_string(), "16/B374D848 on timeline 3");
    for (lsn, timeline, what) in [
        ("16", "3", "position"),
        ("", "3", "position"),
        ("0/0", "0", "timeline"),
        ("0/0", "-1", "timeline"),
        ("0/0", "4294967296", "timeline"),
    ] {
        assert_eq!(position(lsn, timeline), Err(BackupMessageError::Row { what }));
    }
    assert!(start_or_end([None, Some(b"1")]).is_err() && start_or_end([Some(b"0/0"), None]).is_err());

    let row = BackupTablespace::of_columns;
    let own = TablespaceLocation { oid: 16400, location: b"/mnt/\xff".to_vec() };
    assert_eq!(
        row([Some(b"16400"), Some(b"/mnt/\xff"), Some(b"7")]),
        Ok(BackupTablespace { tablespace: Some(own), size_kb: Some(7) })
    );
    assert_eq!(row([None, None, None]), Ok(BackupTablespace { tablespace: None, size_kb: None }));
    for columns in [
        [Some(&b"x"[..]), Some(b"/mnt"), None],
        [Some(b"16400"), None, None],
        [None, Some(b"/mnt"), None],
        [None, None, Some(b"-1")],
    ] {
        assert!(matches!(row(columns), Err(BackupMessageError::Row { .. })), "{columns:?}");
    }
}

proptest! {
    #[test]
    fn archives_come_back(name in "[^\0]{0,30}", location in "[^\0]{0,30}", behind in "[^\0]{0,3}") {
        let payload = format!("n{name}\0{location}\0{behind}");
        let expected = BackupMessage::Archive { name: name.as_bytes(), location: location.as_bytes() };
        let found = BackupMessage::parse(payload.as_bytes());
        prop_assert_eq!(found, if behind.is_empty() { Ok(expected) } else { Err(BackupMessageError::Length) });
    }

    #[test]
    fn nothing_panics(payload in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(BackupMessage::Data(data)) = BackupMessage::parse(&payload) {
            prop_assert_eq!(data, &payload[1..]);
        }
        let _ = ArchiveName::parse(&payload);
        let (first, second) = payload.split_at(payload.len() / 2);
        let _ = (start_or_end([Some(first), Some(second)]), BackupTablespace::of_columns([Some(first), Some(second), None]));
    }

    #[test]
    fn positions_come_back(lsn: u64, timeline in 1u32..) {
        let expected = WalPosition { timeline, lsn: Lsn(lsn) };
        let (lsn, timeline) = (expected.lsn.to_string(), timeline.to_string());
        prop_assert_eq!(start_or_end([Some(lsn.as_bytes()), Some(timeline.as_bytes())]), Ok(expected));
    }
}
