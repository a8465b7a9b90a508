//! Any bytes as a message, an archive's name or a row of BASE_BACKUP: read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_bytes::protocol::base_backup::{ArchiveName, BackupMessage, BackupTablespace, start_or_end};

fuzz_target!(|payload: &[u8]| {
    match BackupMessage::parse(payload) {
        Ok(BackupMessage::Archive { name, location }) => {
            let _ = ArchiveName::parse(name);
            assert_eq!(payload, [b"n", name, b"\0", location, b"\0"].concat());
        }
        Ok(BackupMessage::Data(data)) => assert_eq!(payload, [b"d", data].concat()),
        Ok(BackupMessage::Manifest) => assert_eq!(payload, b"m"),
        Ok(BackupMessage::Progress { bytes }) => {
            assert_eq!(payload, [&b"p"[..], &bytes.to_be_bytes()].concat());
        }
        Err(_) => {}
    }
    let mut columns = payload.split(|byte| *byte == b'|').map(|column| Some(column).filter(|own| own != b"-"));
    let mut next = || columns.next().flatten();
    let (first, second, third) = (next(), next(), next());
    if let Ok(position) = start_or_end([first, second]) {
        let (lsn, timeline) = (position.lsn.to_string(), position.timeline.to_string());
        assert_eq!(start_or_end([Some(lsn.as_bytes()), Some(timeline.as_bytes())]), Ok(position));
    }
    if let Ok(row) = BackupTablespace::of_columns([first, second, third]) {
        assert_eq!(row.tablespace.is_some(), first.is_some());
    }
});
