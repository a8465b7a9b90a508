//! Control files of PostgreSQL 13 to 18, against what `pg_controldata` said of each.
//!
//! `fixtures/pg_control/MAJOR` is the front of a real file, `MAJOR.txt` the output of that major's
//! `pg_controldata` (`LC_ALL=C`, UTC). `made` is one whose fields all have values of their own;
//! what 18's `pg_controldata` made of it is in `made.txt`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Display;

use pgark_bytes::control_file::{ClusterState, ControlFile, ControlFileError, WalLevel};
use pgark_bytes::crc32c;
use pgark_bytes::wal_name::{SegmentName, SegmentSize};
use proptest::prelude::*;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/pg_control/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// What `pg_controldata` prints.
fn controldata(file: &ControlFile) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line =
        |label: &str, value: &dyn Display| lines.push(format!("{:<38}{value}", format!("{label}:")));
    let on = |is_on: bool| if is_on { "on" } else { "off" };
    let time = |seconds: i64| {
        let zoned = jiff::Timestamp::from_second(seconds).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
        zoned.strftime("%a %b %e %H:%M:%S %Y").to_string()
    };
    let checkpoint = &file.checkpoint;
    let size = SegmentSize::new(file.wal_segment_size).unwrap();
    line("pg_control version number", &file.version);
    line("Catalog version number", &file.catalog_version);
    line("Database system identifier", &file.system_identifier);
    line("Database cluster state", &file.state);
    line("pg_control last modified", &time(file.modified_at));
    line("Latest checkpoint location", &file.checkpoint_lsn);
    line("Latest checkpoint's REDO location", &checkpoint.redo_lsn);
    let redo_file = SegmentName::of(checkpoint.timeline, checkpoint.redo_lsn, size);
    line("Latest checkpoint's REDO WAL file", &redo_file);
    line("Latest checkpoint's TimeLineID", &checkpoint.timeline);
    line("Latest checkpoint's PrevTimeLineID", &checkpoint.previous_timeline);
    line("Latest checkpoint's full_page_writes", &on(checkpoint.full_page_writes));
    let (epoch, xid) = (checkpoint.next_xid >> 32, checkpoint.next_xid as u32);
    line("Latest checkpoint's NextXID", &format!("{epoch}:{xid}"));
    line("Latest checkpoint's NextOID", &checkpoint.next_oid);
    line("Latest checkpoint's NextMultiXactId", &checkpoint.next_multi);
    line("Latest checkpoint's NextMultiOffset", &checkpoint.next_multi_offset);
    line("Latest checkpoint's oldestXID", &checkpoint.oldest_xid);
    line("Latest checkpoint's oldestXID's DB", &checkpoint.oldest_xid_database);
    line("Latest checkpoint's oldestActiveXID", &checkpoint.oldest_active_xid);
    line("Latest checkpoint's oldestMultiXid", &checkpoint.oldest_multi);
    line("Latest checkpoint's oldestMulti's DB", &checkpoint.oldest_multi_database);
    line("Latest checkpoint's oldestCommitTsXid", &checkpoint.oldest_commit_timestamp_xid);
    line("Latest checkpoint's newestCommitTsXid", &checkpoint.newest_commit_timestamp_xid);
    line("Time of latest checkpoint", &time(checkpoint.time));
    line("Fake LSN counter for unlogged rels", &file.unlogged_lsn);
    line("Minimum recovery ending location", &file.min_recovery_point);
    line("Min recovery ending loc's timeline", &file.min_recovery_timeline);
    line("Backup start location", &file.backup_start_point);
    line("Backup end location", &file.backup_end_point);
    line("End-of-backup record required", &if file.backup_end_required { "yes" } else { "no" });
    line("wal_level setting", &file.wal_level);
    line("wal_log_hints setting", &on(file.wal_log_hints));
    line("max_connections setting", &file.max_connections);
    line("max_worker_processes setting", &file.max_worker_processes);
    line("max_wal_senders setting", &file.max_wal_senders);
    line("max_prepared_xacts setting", &file.max_prepared_transactions);
    line("max_locks_per_xact setting", &file.max_locks_per_transaction);
    line("track_commit_timestamp setting", &on(file.track_commit_timestamp));
    line("Maximum data alignment", &file.max_align);
    line("Database block size", &file.block_size);
    line("Blocks per segment of large relation", &file.blocks_per_segment);
    line("WAL block size", &file.wal_block_size);
    line("Bytes per WAL segment", &file.wal_segment_size);
    line("Maximum length of identifiers", &file.name_data_length);
    line("Maximum columns in an index", &file.index_max_keys);
    line("Maximum size of a TOAST chunk", &file.toast_max_chunk_size);
    line("Size of a large-object chunk", &file.large_object_block_size);
    let by_value = if file.float8_by_value { "by value" } else { "by reference" };
    line("Float8 argument passing", &by_value);
    line("Data page checksum version", &file.data_checksum_version);
    if let Some(is_signed) = file.default_char_signed {
        line("Default char data signedness", &if is_signed { "signed" } else { "unsigned" });
    }
    lines
}

#[test]
fn every_field_of_every_major() {
    for name in ["13", "14", "15", "16", "17", "18", "made"] {
        let file = ControlFile::parse(&fixture(name)).unwrap();
        let said = String::from_utf8(fixture(&format!("{name}.txt"))).unwrap();
        // A constant of all versions, and a value that is not read.
        let is_left_out = |line: &&str| !line.starts_with("Date/time type") && !line.starts_with("Mock auth");
        let said: Vec<&str> = said.lines().filter(is_left_out).collect();
        assert_eq!(controldata(&file), said, "{name}");
    }
    let states = ["13", "14", "15", "16", "18"].map(|name| ControlFile::parse(&fixture(name)).unwrap().state);
    let expected = [ClusterState::InProduction, ClusterState::ShutDown, ClusterState::InArchiveRecovery];
    assert_eq!(states[..3], expected);
    // The whole file is 8192 bytes, of which zeros follow the fields.
    let mut whole = fixture("16");
    whole.resize(pgark_bytes::control_file::FILE_BYTES, 0);
    assert_eq!(ControlFile::parse(&whole), ControlFile::parse(&fixture("16")));
    assert!(ControlFile::parse(&whole).unwrap().backup_end_required);
}

#[test]
fn every_flipped_bit_is_found() {
    for name in ["13", "17", "18"] {
        let bytes = fixture(name);
        let fields = if name == "18" { 296 } else { 292 };
        for bit in 0..fields * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = ControlFile::parse(&damaged).unwrap_err();
            let in_version = (64..96).contains(&bit);
            match error {
                ControlFileError::Checksum { stored, computed } => assert_ne!(stored, computed),
                ControlFileError::Version { .. } | ControlFileError::ByteOrder => assert!(in_version),
                other => panic!("bit {bit}: {other}"),
            }
        }
    }
}

#[test]
fn what_is_cut_off_is_said() {
    for (name, fields) in [("15", 292), ("18", 296)] {
        let bytes = fixture(name);
        for found in 0..fields {
            let needed = if found < 12 { 12 } else { fields };
            let expected = Err(ControlFileError::TooShort { needed, found });
            assert_eq!(ControlFile::parse(&bytes[..found]), expected);
        }
        assert!(ControlFile::parse(&bytes[..fields]).is_ok());
    }
}

/// The file with another value in one place, and a CRC that is right.
fn changed(name: &str, at: usize, value: &[u8]) -> Result<ControlFile, ControlFileError> {
    let mut bytes = fixture(name);
    bytes[at..at + value.len()].copy_from_slice(value);
    let crc_at = if name == "18" { 292 } else { 288 };
    let crc = crc32c::checksum(&bytes[..crc_at]);
    bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
    ControlFile::parse(&bytes)
}

#[test]
fn what_no_server_of_ours_wrote_is_refused_by_name() {
    assert_eq!(changed("15", 8, &1902u32.to_le_bytes()), Err(ControlFileError::Version { version: 1902 }));
    assert_eq!(changed("15", 8, &1201u32.to_le_bytes()), Err(ControlFileError::Version { version: 1201 }));
    assert_eq!(changed("15", 8, &1300u32.to_be_bytes()), Err(ControlFileError::ByteOrder));
    assert_eq!(changed("15", 208, &[0; 8]), Err(ControlFileError::FloatFormat));
    let error = changed("18", 16, &7u32.to_le_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "read pg_control: the state of the cluster is 7, which has no meaning");
    let error = changed("15", 172, &3u32.to_le_bytes()).unwrap_err();
    assert_eq!(error, ControlFileError::Invalid { field: "wal_level", value: 3 });
    assert_eq!(changed("15", 172, &0u32.to_le_bytes()).unwrap().wal_level, WalLevel::Minimal);
    let states = (0..7u32).map(|state| changed("15", 16, &state.to_le_bytes()).unwrap().state.to_string());
    let expected = [
        "starting up",
        "shut down",
        "shut down in recovery",
        "shutting down",
        "in crash recovery",
        "in archive recovery",
        "in production",
    ];
    assert!(states.eq(expected));
}

proptest! {
    #[test]
    fn nothing_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), version in 0usize..4) {
        let versions = [1300u32, 1700, 1800, 0x1405_0000];
        if let Some(place) = bytes.get_mut(8..12) {
            place.copy_from_slice(&versions[version].to_le_bytes());
        }
        let crc_at = if version == 2 { 292 } else { 288 };
        if bytes.len() >= crc_at + 4 {
            let crc = crc32c::checksum(&bytes[..crc_at]);
            bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
        }
        let is_checksum = matches!(ControlFile::parse(&bytes), Err(ControlFileError::Checksum { .. }));
        prop_assert!(!is_checksum);
    }
}
