//! The small text files of a cluster and of its backups, as PostgreSQL 13 to 18 wrote them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use pgark_bytes::backup_label::*;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::postmaster_pid::*;
use pgark_bytes::tablespace_map::*;
use pgark_bytes::timeline_history::*;
use proptest::prelude::*;

const LABEL_13: &str = "START WAL LOCATION: 0/D00028 (file 00000001000000000000000D)
CHECKPOINT LOCATION: 0/D00060
BACKUP METHOD: streamed
BACKUP FROM: master
START TIME: 2026-11-30 23:14:50 CET
LABEL: a label: \"x\" \\ y
START TIMELINE: 1
";
const EXCLUSIVE_14: &str = "START WAL LOCATION: 0/800028 (file 000000010000000000000008)
CHECKPOINT LOCATION: 0/800060
BACKUP METHOD: pg_start_backup
BACKUP FROM: primary
START TIME: 2026-11-30 22:29:21 UTC
LABEL: exclusive one
START TIMELINE: 1
";
const INCREMENT_18: &str = "START WAL LOCATION: 0/900028 (file 000000010000000000000009)
CHECKPOINT LOCATION: 0/900080
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-30 22:29:24 UTC
LABEL: inc
START TIMELINE: 1
INCREMENTAL FROM LSN: 0/800028
INCREMENTAL FROM TLI: 1
";
const STANDBY_18: &str = "START WAL LOCATION: 0/B00028 (file 00000001000000000000000B)
CHECKPOINT LOCATION: 0/B00080
BACKUP METHOD: streamed
BACKUP FROM: standby
START TIME: 2026-11-30 22:29:26 UTC
LABEL: from standby
START TIMELINE: 1
";
const HISTORY_18: &str = "START WAL LOCATION: 0/E00028 (file 00000001000000000000000E)
STOP WAL LOCATION: 0/E00120 (file 00000001000000000000000E)
CHECKPOINT LOCATION: 0/E00080
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-30 23:15:36 CET
LABEL: base 18
START TIMELINE: 1
STOP TIME: 2026-11-30 23:15:36 CET
STOP TIMELINE: 1
";
/// As `createBackupLabel` in src/bin/pg_rewind/pg_rewind.c writes it.
const REWIND: &str = "START WAL LOCATION: 1/2000028 (file 000000070000000100000002)
CHECKPOINT LOCATION: 1/2000060
BACKUP METHOD: pg_rewind
BACKUP FROM: standby
START TIME: 2026-11-30 23:15:36 CET
";

fn label(text: &str) -> BackupLabel {
    BackupLabel::parse(text.as_bytes()).unwrap()
}

fn lsn(text: &str) -> Lsn {
    text.parse().unwrap()
}

#[test]
fn labels_of_majors() {
    let old = label(LABEL_13);
    assert_eq!((old.start_lsn, old.checkpoint_lsn), (lsn("0/D00028"), lsn("0/D00060")));
    assert_eq!(old.start_segment.to_string(), "00000001000000000000000D");
    assert_eq!((old.method, old.from), (BackupMethod::Streamed, BackupFrom::Primary));
    assert_eq!(old.start_time, "2026-11-30 23:14:50 CET");
    assert_eq!(old.label.as_deref(), Some(&b"a label: \"x\" \\ y"[..]));
    assert_eq!((old.start_timeline, old.timeline()), (Some(1), 1));
    assert_eq!((old.incremental_from, old.stop, old.unknown.len()), (None, None, 0));

    assert_eq!(label(EXCLUSIVE_14).method, BackupMethod::Exclusive);
    let from = IncrementalFrom { lsn: lsn("0/800028"), timeline: 1 };
    assert_eq!(label(INCREMENT_18).incremental_from, Some(from));
    assert_eq!(label(STANDBY_18).from, BackupFrom::Standby);

    let rewound = label(REWIND);
    assert_eq!((rewound.method, rewound.label), (BackupMethod::Rewind, None));
    assert_eq!((rewound.start_timeline, rewound.start_segment.timeline), (None, 7));
}

#[test]
fn a_history_file_tells_the_end() {
    let stop = label(HISTORY_18).stop.unwrap();
    assert_eq!((stop.lsn, stop.timeline), (lsn("0/E00120"), 1));
    assert_eq!(
        (stop.segment.to_string().as_str(), stop.time.as_str()),
        ("00000001000000000000000E", "2026-11-30 23:15:36 CET")
    );
    let error = BackupLabel::parse(HISTORY_18.replace("STOP TIMELINE: 1\n", "").as_bytes()).unwrap_err();
    assert_eq!(error, BackupLabelError::Missing { line: LabelLine::StopTimeline });
}

#[test]
fn names_of_backups_are_any_bytes() {
    let text = LABEL_13.replace("a label: \"x\" \\ y", "");
    assert_eq!(label(&text).label, Some(vec![]));
    let mut bytes = b"LABEL: \xFF\xFE: LABEL: x\n".to_vec();
    bytes.extend_from_slice(text.replace("LABEL: \n", "").as_bytes());
    assert_eq!(BackupLabel::parse(&bytes).unwrap().label.unwrap(), b"\xFF\xFE: LABEL: x");
    // A server takes a name of two lines, and writes it so.
    let text = LABEL_13.replace("a label", "one\ntwo");
    let two = label(&text);
    assert_eq!((two.label, two.unknown), (Some(b"one".to_vec()), vec![b"two: \"x\" \\ y".to_vec()]));
    let text = LABEL_13.replace("a label", "one\nSTART TIMELINE: 9\nx");
    let error = BackupLabel::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error, BackupLabelError::Twice { line: LabelLine::StartTimeline });
}

#[test]
fn labels_that_are_not_whole_or_not_true() {
    for line in LABEL_13.lines() {
        let text = LABEL_13.replace(&format!("{line}\n"), "");
        let result = BackupLabel::parse(text.as_bytes());
        if line.starts_with("LABEL") || line.starts_with("START TIMELINE") {
            assert!(result.is_ok());
        } else {
            let error = result.unwrap_err().to_string();
            let (name, _) = line.split_once(':').unwrap();
            assert_eq!(error, format!("read the backup label: it has no line {name}"));
        }
    }
    for (from, to, expected) in [
        ("(file 00000001000000000000000D)", "", "the line START WAL LOCATION cannot be \"0/D00028 \""),
        ("0/D00060", "x", "the line CHECKPOINT LOCATION cannot be \"x\""),
        ("streamed", "copied", "the line BACKUP METHOD cannot be \"copied\""),
        ("master", "Mars", "the line BACKUP FROM cannot be \"Mars\""),
        ("TIMELINE: 1", "TIMELINE: 0", "the line START TIMELINE cannot be \"0\""),
        ("TIMELINE: 1", "TIMELINE: +1", "the line START TIMELINE cannot be \"+1\""),
        ("TIMELINE: 1", "TIMELINE: 2", "it names timeline 2, but segment 00000001000000000000000D"),
    ] {
        let error = BackupLabel::parse(LABEL_13.replace(from, to).as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("read the backup label: {expected}"));
    }
}

fn tablespace(oid: u32, path: &[u8]) -> MappedTablespace {
    MappedTablespace { oid, path: path.to_vec() }
}

/// Both maps are of real servers, for a tablespace in a folder of this name.
#[test]
fn maps_escape_as_their_major_does() {
    let odd = [tablespace(16390, b"/srv/sp a\nce\\x")];
    let (in_13, in_14) = (&b"16390 /srv/sp a\\\nce\\x\n"[..], &b"16390 /srv/sp a\\\nce\\\\x\n"[..]);
    for (major, map) in [(13, in_13), (14, in_14), (18, in_14)] {
        let escapes = MapEscapes::of_major(major);
        assert_eq!(read_tablespace_map(map, escapes).unwrap(), odd);
        assert_eq!(write_tablespace_map(&odd, escapes).unwrap(), map);
    }
    assert_eq!(read_tablespace_map(b"", MapEscapes::Backslashes), Ok(vec![]));
    let blanks = [tablespace(1, b"  two"), tablespace(u32::MAX, b" ")];
    let map = write_tablespace_map(&blanks, MapEscapes::Backslashes).unwrap();
    assert_eq!(map, b"1   two\n4294967295  \n");
    assert_eq!(read_tablespace_map(&map, MapEscapes::Backslashes).unwrap(), blanks);
    let windows = read_tablespace_map(b"1 /a\r\n2 /b\r\n", MapEscapes::Backslashes).unwrap();
    assert_eq!(windows, [tablespace(1, b"/a"), tablespace(2, b"/b")]);
}

#[test]
fn maps_that_are_not_whole() {
    for (map, error) in [
        (&b"1 /a"[..], TablespaceMapError::CutOff),
        (b"1 /a\n2", TablespaceMapError::CutOff),
        (b"1 /a\\\n", TablespaceMapError::CutOff),
        (b"1 /a\n\\", TablespaceMapError::CutOff),
        (b"1 /a\n2 \n", TablespaceMapError::Invalid { line: 2 }),
        (b"1\n", TablespaceMapError::Invalid { line: 1 }),
        (b" /a\n", TablespaceMapError::Invalid { line: 1 }),
        (b"x /a\n", TablespaceMapError::Invalid { line: 1 }),
        (b"+1 /a\n", TablespaceMapError::Invalid { line: 1 }),
        (b"0 /a\n", TablespaceMapError::Invalid { line: 1 }),
        (b"4294967296 /a\n", TablespaceMapError::Invalid { line: 1 }),
        (b"1 /\0a\n", TablespaceMapError::Invalid { line: 1 }),
    ] {
        assert_eq!(read_tablespace_map(map, MapEscapes::Backslashes), Err(error));
    }
    let unwritable = Err(TablespaceMapError::Unwritable { oid: 9 });
    let ends = [tablespace(9, b"/a\\")];
    assert_eq!(write_tablespace_map(&ends, MapEscapes::LineBreaks), unwritable);
    assert_eq!(write_tablespace_map(&ends, MapEscapes::Backslashes).unwrap(), b"9 /a\\\\\n");
    assert_eq!(write_tablespace_map(&[tablespace(9, b"")], MapEscapes::Backslashes), unwritable);
    assert_eq!(write_tablespace_map(&[tablespace(9, b"\0")], MapEscapes::Backslashes), unwritable);
}

/// Of a server that was promoted twice.
const THIRD: &str =
    "1\t0/1200000\tno recovery target specified\n\n2\t0/14000A0\tno recovery target specified\n";

#[test]
fn positions_on_a_history() {
    let history = TimelineHistory::parse(3, THIRD.as_bytes()).unwrap();
    let spans: Vec<(u32, Lsn)> = history.ancestors().iter().map(|a| (a.timeline, a.switch_lsn)).collect();
    assert_eq!(spans, [(1, lsn("0/1200000")), (2, lsn("0/14000A0"))]);
    assert_eq!(history.ancestors()[0].reason, b"no recovery target specified");
    // Timeline, LSN; whether the byte there is in the history, and whether all up to there is.
    for (timeline, at, has_byte, has_all) in [
        (1, "0/0", true, true),
        (1, "0/11FFFFF", true, true),
        (1, "0/1200000", false, true),
        (1, "0/1200001", false, false),
        (2, "0/11FFFFF", false, false),
        (2, "0/1200000", true, true),
        (2, "0/14000A0", false, true),
        (3, "0/14000A0", true, true),
        (3, "FFFFFFFF/FFFFFFFF", true, true),
        (3, "0/1400098", false, false),
        (4, "0/15000A0", false, false),
    ] {
        assert_eq!(history.contains(timeline, lsn(at)), has_byte, "{timeline} {at}");
        assert_eq!(history.contains_up_to(timeline, lsn(at)), has_all, "{timeline} {at}");
    }
    for (at, timeline) in [("0/0", 1), ("0/1200000", 2), ("0/140009F", 2), ("0/14000A0", 3)] {
        assert_eq!(history.timeline_at(lsn(at)), timeline);
    }
    assert_eq!(history.write(), THIRD.replace("\n\n", "\n").as_bytes());
    // The first timeline of a cluster has no file.
    let first = TimelineHistory::new(1, vec![]).unwrap();
    assert!(first.contains(1, lsn("1/0")) && !first.contains(2, lsn("1/0")));
}

#[test]
fn histories_of_people_and_damaged_ones() {
    let text = b"# by hand\n  1\t0/1000 \n\n2\t0/2000\ta\tb\n";
    let history = TimelineHistory::parse(9, text).unwrap();
    assert_eq!(history.ancestors()[0].reason, b"");
    assert_eq!(history.ancestors()[1].reason, b"a\tb");
    for (text, error) in [
        (&b"1\t0/1000\tx\nno"[..], TimelineHistoryError::Invalid { timeline: 9, line: 2 }),
        (b"1\t0\tx\n", TimelineHistoryError::Invalid { timeline: 9, line: 1 }),
        (b"1 0/1000 x\n", TimelineHistoryError::Invalid { timeline: 9, line: 1 }),
        (b"0\t0/1000\tx\n", TimelineHistoryError::Order { timeline: 9, ancestor: 0 }),
        (b"9\t0/1000\tx\n", TimelineHistoryError::Order { timeline: 9, ancestor: 9 }),
        (b"2\t0/1000\tx\n1\t0/2000\tx\n", TimelineHistoryError::Order { timeline: 9, ancestor: 1 }),
        (b"1\t0/2000\tx\n2\t0/1000\tx\n", TimelineHistoryError::Switch { timeline: 9, ancestor: 2 }),
    ] {
        assert_eq!(TimelineHistory::parse(9, text), Err(error));
    }
    let two_lines = Ancestor { timeline: 1, switch_lsn: Lsn(8), reason: b"a\nb".to_vec() };
    let error = TimelineHistory::new(2, vec![two_lines]).unwrap_err();
    assert_eq!(error, TimelineHistoryError::Reason { timeline: 2, ancestor: 1 });
}

const PID_14: &str =
    "27962\n/srv/14/data\n1796077761\n5997\n/run/14\nlocalhost\n  6365254   1474568\nready   \n";

#[test]
fn which_server_runs() {
    let server = PostmasterPid::parse(PID_14.as_bytes()).unwrap();
    assert_eq!((server.pid, server.is_standalone, server.port), (27962, false, 5997));
    assert_eq!((server.data_directory.as_slice(), server.started_at), (&b"/srv/14/data"[..], 1_796_077_761));
    assert_eq!(server.socket_directory.as_deref(), Some(&b"/run/14"[..]));
    assert_eq!(server.listen_address.as_deref(), Some(&b"localhost"[..]));
    assert_eq!(server.shared_memory, Some(SharedMemory { key: 6_365_254, id: 1_474_568 }));
    assert_eq!(server.status, Some(PostmasterStatus::Ready));
    for (word, status) in [
        ("starting", PostmasterStatus::Starting),
        ("stopping", PostmasterStatus::Stopping),
        ("standby ", PostmasterStatus::Standby),
    ] {
        let text = PID_14.replace("ready   ", word);
        assert_eq!(PostmasterPid::parse(text.as_bytes()).unwrap().status, Some(status));
    }
    // Neither TCP nor sockets; and a session without a server, which fills in an empty line.
    let text = PID_14.replace("localhost", "").replace("/run/14", "");
    let silent = PostmasterPid::parse(text.as_bytes()).unwrap();
    assert_eq!((silent.listen_address, silent.socket_directory), (None, None));
    let alone = PostmasterPid::parse(b"-42\n/srv/d\n1796077761\n5432\n\n\n  6365254   1474568\n").unwrap();
    assert_eq!((alone.pid, alone.is_standalone, alone.status), (42, true, None));
    assert!(alone.shared_memory.is_some());
}

#[test]
fn a_file_that_is_being_written() {
    let ends: Vec<usize> = PID_14.match_indices('\n').map(|(at, _)| at + 1).collect();
    for end in 0..PID_14.len() {
        let whole = ends.iter().filter(|line| **line <= end).count();
        match PostmasterPid::parse(&PID_14.as_bytes()[..end]) {
            Ok(server) => {
                assert!(whole >= 5);
                assert_eq!(server.pid, 27962);
                assert_eq!(server.listen_address.is_some(), whole >= 6);
                assert_eq!(server.shared_memory.is_some(), whole >= 7);
                assert_eq!(server.status, None);
            }
            Err(error) => assert_eq!(error.line, whole + 1),
        }
    }
    for (line, from, to) in [
        (1, "27962", "x"),
        (1, "27962", "0"),
        (1, "27962", "99999999999"),
        (2, "/srv/14/data", ""),
        (3, "1796077761", "today"),
        (4, "5997", "65536"),
        (4, "5997", "-1"),
        (7, "6365254", "key"),
        (7, "1474568", "1474568 3"),
        (8, "ready", "asleep"),
    ] {
        let error = PostmasterPid::parse(PID_14.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(error.line, line);
    }
}

/// Mostly what paths and reasons are made of.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\\'), Just(b'\n'), Just(b'\r'), Just(b' '), Just(b'\t'), any::<u8>()];
    proptest::collection::vec(byte, 1..12)
}

proptest! {
    #[test]
    fn maps_come_back(
        paths in proptest::collection::vec(text(), 0..5),
        major in 13i32..=18,
    ) {
        let escapes = MapEscapes::of_major(major);
        let tablespaces: Vec<MappedTablespace> =
            (16384..).zip(&paths).map(|(oid, path)| tablespace(oid, path)).collect();
        match write_tablespace_map(&tablespaces, escapes) {
            Ok(map) => prop_assert_eq!(read_tablespace_map(&map, escapes).unwrap(), tablespaces),
            Err(_) => prop_assert!(paths.iter().any(|path| path.contains(&0) || path.ends_with(b"\\"))),
        }
    }

    #[test]
    fn histories_come_back(
        steps in proptest::collection::vec((1u32..9, 0u64..1 << 40, text()), 0..6),
    ) {
        let (mut timeline, mut end) = (0, 0);
        let ancestors: Vec<Ancestor> = steps.into_iter().map(|(step, length, mut reason)| {
            (timeline, end) = (timeline + step, end + length);
            reason.retain(|byte| *byte != b'\n');
            Ancestor { timeline, switch_lsn: Lsn(end), reason }
        }).collect();
        let history = TimelineHistory::new(timeline + 1, ancestors).unwrap();
        prop_assert_eq!(&TimelineHistory::parse(timeline + 1, &history.write()).unwrap(), &history);
        for at in [0, 1, end / 2, end.saturating_sub(1), end, end + 1] {
            // A byte belongs to one timeline.
            let holders = (1..=timeline + 1).filter(|timeline| history.contains(*timeline, Lsn(at)));
            prop_assert_eq!(holders.collect::<Vec<_>>(), [history.timeline_at(Lsn(at))]);
        }
    }

    #[test]
    fn nothing_panics(
        lines in proptest::collection::vec((0usize..24, text()), 0..14),
        cut in 0usize..400,
    ) {
        let known: Vec<&str> = HISTORY_18.lines().chain(INCREMENT_18.lines()).collect();
        let mut bytes = Vec::new();
        for (line, text) in &lines {
            bytes.extend_from_slice(known.get(*line).map_or(text.as_slice(), |line| line.as_bytes()));
            bytes.push(b'\n');
        }
        bytes.truncate(cut);
        if let Ok(label) = BackupLabel::parse(&bytes) {
            prop_assert_eq!(label.timeline(), label.start_segment.timeline);
        }
        let _ = (PostmasterPid::parse(&bytes), TimelineHistory::parse(7, &bytes));
        let _ = read_tablespace_map(&bytes, MapEscapes::LineBreaks);
    }
}
