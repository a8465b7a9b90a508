//! What segments contain that a server wrote: each record, end of a transaction, restore point and
//! block reference, against the server's own `pg_waldump`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pgark_bytes::control_file::ControlFile;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::wal::contents::{Contents, Said, TransactionEnd, said};
use pgark_bytes::wal::heads::RelationFork;
use pgark_bytes::wal::references::{Changed, Collector, References};
use pgark_bytes::wal::{Record, WalFormat, Walk};
use pgark_bytes::wal_name::{SegmentName, SegmentSize};
use pgark_testkit::{Cluster, default_major, is_full, skipped};
use regex::Regex;

/// Tables with every kind of index, dead rows, and files that are cut and replaced.
const TABLES: &str = r"
CHECKPOINT; SET wal_compression = off;
CREATE TABLE all_indexes (i int, p point, t tsvector, a int[]);
CREATE INDEX ON all_indexes (i);
CREATE INDEX ON all_indexes USING hash (i);
CREATE INDEX ON all_indexes USING brin (i);
CREATE INDEX ON all_indexes USING gist (p);
CREATE INDEX ON all_indexes USING spgist (p);
CREATE INDEX ON all_indexes USING gin (t);
CREATE INDEX ON all_indexes USING gin (a);
INSERT INTO all_indexes SELECT i, point(i % 70, i % 90), to_tsvector('simple', md5(i::text)), ARRAY[i, i % 5]
    FROM generate_series(1, 4000) i;
UPDATE all_indexes SET a = a || 7 WHERE i % 3 = 0;
DELETE FROM all_indexes WHERE i > 500;
VACUUM all_indexes;
VACUUM FULL all_indexes;
REINDEX TABLE all_indexes;
CREATE UNLOGGED TABLE unlogged (i int PRIMARY KEY);
INSERT INTO unlogged SELECT generate_series(1, 100);
CREATE MATERIALIZED VIEW seen AS SELECT * FROM all_indexes;
REFRESH MATERIALIZED VIEW seen;
CREATE SEQUENCE counted; SELECT nextval('counted') FROM generate_series(1, 100);
TRUNCATE pgbench_history;
DROP MATERIALIZED VIEW seen;
SELECT lo_from_bytea(0, decode(repeat('ab01', 100000), 'hex'));
";

/// Transactions that end in every way.
const TRANSACTIONS: &str = r"
CREATE TABLE rows (i int); CREATE TABLE dropped (i int);
BEGIN; CREATE TABLE gone (i int PRIMARY KEY); INSERT INTO gone VALUES (1); ROLLBACK;
BEGIN; SAVEPOINT a; INSERT INTO rows VALUES (1); RELEASE a; SAVEPOINT b; INSERT INTO rows VALUES (2);
    ROLLBACK TO b; COMMIT;
DO 'BEGIN FOR i IN 1..150 LOOP
    BEGIN INSERT INTO rows VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END';
BEGIN; DROP TABLE dropped; CREATE TABLE made (i text); INSERT INTO made VALUES ('x');
    SAVEPOINT a; INSERT INTO rows VALUES (3); PREPARE TRANSACTION 'one';
BEGIN; CREATE TABLE not_made (i int PRIMARY KEY); INSERT INTO rows VALUES (4); PREPARE TRANSACTION 'two';
INSERT INTO rows VALUES (5);
SELECT pg_create_restore_point('between them');
COMMIT PREPARED 'one';
ROLLBACK PREPARED 'two';
SELECT pg_create_restore_point(rpad('äöü, as long as one can be: ', 60, 'x'));
SELECT pg_logical_emit_message(false, 'p', repeat('x', 2500000)) IS NULL;
SELECT pg_logical_emit_message(true, 'p', repeat('x', 100)) IS NULL;
";

/// Databases and tablespaces that come and go.
const DATABASES: &str = r"
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE other LOCATION '';
CREATE DATABASE first;
CREATE DATABASE second TABLESPACE other;
ALTER DATABASE first SET TABLESPACE other;
\c first
CREATE TABLE there (i int); INSERT INTO there SELECT generate_series(1, 1000);
ALTER TABLE there SET TABLESPACE pg_default;
DROP TABLE there;
CREATE TABLE there (i int); INSERT INTO there SELECT generate_series(1, 1000);
DROP TABLE there;
\c postgres
DROP DATABASE first;
DROP DATABASE second;
DROP TABLESPACE other;
";

#[test]
fn segments_as_pg_waldump_reads_them() {
    for major in Cluster::available_majors() {
        if is_full() || major == default_major() {
            judge(major);
        }
    }
}

fn judge(major: u32) {
    let cluster = Cluster::builder()
        .major(major)
        .initdb_arg("--wal-segsize=1")
        .conf("wal_level = logical")
        .conf("max_prepared_transactions = 10")
        .conf("wal_keep_size = '4GB'")
        .conf("full_page_writes = on")
        .conf("wal_compression = on")
        .start();
    let (start, end) = write(&cluster);
    let segments = read(&cluster, start, end);
    assert!(segments.iter().all(|segment| !segment.references.is_unknown), "PostgreSQL {major}");
    everything_happened(&segments);
    if !is_own(&cluster) {
        skipped(&format!("PostgreSQL {major} has no pg_waldump here"));
        return;
    }
    let said = waldump(&cluster, start, end);
    for (number, (segment, text)) in segments.iter().zip(expected(&said, start, segments.len())).enumerate() {
        let at = format!("PostgreSQL {major}, segment {number}");
        assert_eq!(segment.contents.records, text.records, "{at}");
        // Where a record ends is not said there.
        let ends: Vec<_> = segment.ends.iter().map(|end| TransactionEnd { end: end.lsn, ..*end }).collect();
        assert_eq!(ends, text.ends, "{at}");
        let points: Vec<_> =
            segment.contents.restore_points.iter().map(|point| (point.lsn, point.name.clone())).collect();
        assert_eq!(points, text.points, "{at}");
        check_contents(&segment.contents, &segment.ends);
        let found = &segment.references;
        // The first difference, not all of ten thousand blocks.
        let different = found.forks.iter().zip(&text.references.forks).find(|(found, said)| found != said);
        assert_eq!(different, None, "{at}");
        assert_eq!(found, &text.references, "{at}");
        assert_eq!(References::decode(&found.encode()).as_ref(), Ok(found), "{at}");
    }
}

/// The test would prove nothing about what the server did not do.
fn everything_happened(segments: &[Segment]) {
    let mut all = References::default();
    segments.iter().for_each(|segment| all.merge(&segment.references));
    let forks = |is: &dyn Fn(&RelationFork, &Changed) -> bool| {
        all.forks.iter().any(|(fork, changed)| is(fork, changed))
    };
    assert!(forks(&|fork, changed| fork.fork == 2 && !changed.blocks.is_empty()));
    assert!(forks(&|fork, _| fork.fork == 3));
    let all_forks = || segments.iter().flat_map(|segment| segment.references.forks.values());
    assert!(all_forks().any(|changed| changed.limit.is_some_and(|limit| limit > 0)));
    assert!(all_forks().any(|changed| changed.limit.is_none() && changed.blocks.len() > 50));
    assert!(all.is_minimal && all.full_pages_off);
    assert!(!all.tablespaces.is_empty() && all.databases.len() == 3);
    let ends = || segments.iter().flat_map(|segment| &segment.ends);
    assert!(ends().filter(|end| !end.is_commit).count() >= 3 && ends().all(|end| end.xid.is_some()));
    // A record that fills a segment began in one before.
    assert!(segments.iter().any(|segment| segment.contents.records == 0));
    assert_eq!(segments.iter().map(|segment| segment.contents.restore_points.len()).sum::<usize>(), 2);
}

/// Makes all kinds of WAL; where it begins and ends, both at the start of a segment.
fn write(cluster: &Cluster) -> (Lsn, Lsn) {
    let pgbench = |args: &[&str]| {
        let output = cluster.client("pgbench").args(args).arg("postgres").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let start = switch(cluster);
    pgbench(&["-i", "-q", "-s", "1"]);
    pgbench(&["-c", "2", "-t", "300", "-n"]);
    cluster.sql("postgres", TABLES);
    // Dead rows at the end of a table: its file is cut, though not to nothing, in a later segment
    // than that in which the table was made.
    cluster.sql("postgres", "CREATE TABLE cut AS SELECT i FROM generate_series(1, 20000) i");
    switch(cluster);
    cluster.sql("postgres", "DELETE FROM cut WHERE i > 3000");
    cluster.sql("postgres", "VACUUM cut");
    cluster.sql("postgres", TRANSACTIONS);
    let databases = match cluster.major() {
        ..15 => DATABASES.to_owned(),
        // Its default is the log.
        _ => DATABASES.replace("CREATE DATABASE second", "CREATE DATABASE second STRATEGY file_copy"),
    };
    cluster.sql("postgres", &databases);
    for value in ["off", "on"] {
        cluster.sql("postgres", &format!("ALTER SYSTEM SET full_page_writes = {value}"));
        cluster.reload();
        // The checkpointer logs the change, and reads its settings before a checkpoint.
        cluster.sql("postgres", "CHECKPOINT");
        pgbench(&["-t", "20", "-n"]);
        cluster.sql("postgres", "CHECKPOINT");
    }
    for (level, senders) in [("minimal", 0), ("replica", 10)] {
        let settings =
            format!("ALTER SYSTEM SET wal_level = {level}; ALTER SYSTEM SET max_wal_senders = {senders}");
        settings.split("; ").for_each(|setting| cluster.sql("postgres", setting));
        cluster.restart();
        pgbench(&["-t", "20", "-n"]);
        cluster.sql("postgres", "CREATE TABLE IF NOT EXISTS rows2 AS SELECT 1");
    }
    (start, switch(cluster))
}

/// Ends the segment; where the next one begins.
fn switch(cluster: &Cluster) -> Lsn {
    cluster.sql("postgres", "CREATE TABLE IF NOT EXISTS switched (i int); INSERT INTO switched VALUES (1)");
    let lsn: Lsn = cluster.psql_text("postgres", "SELECT pg_switch_wal()").parse().unwrap();
    // What comes first in the next one is not written yet.
    cluster.sql("postgres", "INSERT INTO switched VALUES (1)");
    Lsn(lsn.0.next_multiple_of(1 << 20))
}

/// What is said of a segment.
struct Segment {
    contents: Contents,
    ends: Vec<TransactionEnd>,
    references: References,
}

/// Each segment by itself, and of the next ones what its last record needs.
fn read(cluster: &Cluster, start: Lsn, end: Lsn) -> Vec<Segment> {
    let control = std::fs::read(cluster.data_directory().join("global/pg_control")).unwrap();
    let control = ControlFile::parse(&control).unwrap();
    let size = SegmentSize::new(control.wal_segment_size).unwrap();
    let format = WalFormat {
        major: i32::try_from(cluster.major()).unwrap(),
        system_identifier: control.system_identifier,
        timeline: 1,
        segment_size: size,
        page_size: control.wal_block_size,
    };
    let bytes = |number| {
        let name = SegmentName::new(1, number, size).unwrap();
        std::fs::read(cluster.data_directory().join("pg_wal").join(name.to_string())).unwrap()
    };
    let numbers = size.number_of(start)..size.number_of(end);
    numbers.map(|number| read_segment(format, number, &bytes)).collect()
}

fn read_segment(format: WalFormat, number: u64, bytes: &dyn Fn(u64) -> Vec<u8>) -> Segment {
    let start = Lsn(number * u64::from(format.segment_size.bytes()));
    let end = Lsn(start.0 + u64::from(format.segment_size.bytes()));
    let (mut contents, mut collector, mut ends) = (Contents::default(), Collector::default(), Vec::new());
    let mut walk = Walk::new(format, start).unwrap();
    let mut see = |record: &Record, body: &[u8]| {
        if record.lsn >= end {
            return;
        }
        let said = said(format.major, record, body);
        contents.add(said.as_ref());
        collector.add(format.major, record, body);
        if let Some(Said::End(end)) = said {
            ends.push(end);
        }
    };
    walk.feed_bodies(start, &bytes(number), &mut see).unwrap();
    let unfinished = walk.unfinished();
    for next in number + 1.. {
        if unfinished.is_none() || walk.unfinished() != unfinished {
            break;
        }
        // Page by page: what follows in the last segment may not be WAL.
        for page in bytes(next).chunks(8192) {
            if walk.unfinished() == unfinished {
                walk.feed_bodies(walk.expects(), page, &mut see).unwrap();
            }
        }
    }
    Segment { contents, ends, references: collector.finish() }
}

fn check_contents(contents: &Contents, ends: &[TransactionEnd]) {
    let times = || ends.iter().map(|end| end.time);
    assert_eq!(contents.ended, times().min().zip(times().max()));
    let xids = || ends.iter().filter_map(|end| end.xid);
    assert_eq!(contents.transactions, xids().min().zip(xids().max()));
    assert_eq!(contents.commits, ends.iter().filter(|end| end.is_commit).count() as u64);
    assert!(!contents.unknown_transactions && contents.clock >= times().max());
}

/// Whether the cluster has a `pg_waldump` of its own major; no other one reads its WAL.
fn is_own(cluster: &Cluster) -> bool {
    let Ok(output) = cluster.client("pg_waldump").arg("--version").output() else { return false };
    let version = String::from_utf8(output.stdout).unwrap();
    let major = version.split_whitespace().nth(2).and_then(|number| number.split('.').next());
    major.and_then(|major| major.parse().ok()) == Some(cluster.major())
}

fn waldump(cluster: &Cluster, start: Lsn, end: Lsn) -> String {
    let pg_wal = cluster.data_directory().join("pg_wal");
    let (start, end) = (start.to_string(), end.to_string());
    let mut command = cluster.client("pg_waldump");
    command.env("TZ", "UTC").arg("-p").arg(pg_wal).args(["-s", &start, "-e", &end]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What `pg_waldump` says of a segment.
#[derive(Default)]
struct Expected {
    records: u64,
    ends: Vec<TransactionEnd>,
    points: Vec<(Lsn, String)>,
    references: References,
    /// As named, whether in front of the limit or not.
    blocks: BTreeMap<RelationFork, BTreeSet<u32>>,
}

fn expected(text: &str, start: Lsn, segments: usize) -> Vec<Expected> {
    let patterns = Patterns::new();
    let mut all: Vec<Expected> = (0..segments).map(|_| Expected::default()).collect();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("rmgr: ")).collect();
    for line in lines {
        let found = patterns.line.captures(line).unwrap_or_else(|| panic!("{line}"));
        let lsn: Lsn = found[3].parse().unwrap();
        let segment = &mut all[usize::try_from((lsn.0 - start.0) >> 20).unwrap()];
        segment.records += 1;
        segment.add(&patterns, &found[1], found[2].parse().unwrap(), lsn, &found[4]);
    }
    all.iter_mut().for_each(Expected::finish);
    all
}

/// How `pg_waldump` writes things.
struct Patterns {
    line: Regex,
    block: Regex,
    end: Regex,
    dropped: Regex,
    truncate: Regex,
    directory: Regex,
    number: Regex,
    minimal: Regex,
}

impl Patterns {
    fn new() -> Patterns {
        let regex = |pattern: &str| Regex::new(pattern).unwrap();
        Patterns {
            line: regex(
                r"^rmgr: (\S+) +len \(rec/tot\): +\d+/ *\d+, tx: +(\d+), lsn: (\S+), prev \S+, desc: (.*)$",
            ),
            block: regex(r"blkref #\d+: rel (\d+)/(\d+)/(\d+)(?: fork (\w+))? blk (\d+)"),
            end: regex(r"^(COMMIT|ABORT)(?:_PREPARED)? (?:(\d+): )?(\d+-\S+ \S+) UTC"),
            dropped: regex(r"; rels: ([^;]+)"),
            truncate: regex(r"^TRUNCATE (\S+) to (\d+) blocks flags (\d+)"),
            directory: regex(r"(\d+)/(\d+)"),
            number: regex(r"^(?:CREATE|DROP) (\d+)"),
            minimal: regex(
                r"^(PARAMETER_CHANGE|CHECKPOINT_REDO|CHECKPOINT_SHUTDOWN|END_OF_RECOVERY) .*wal_level[ =]minimal",
            ),
        }
    }
}

impl Expected {
    fn add(&mut self, patterns: &Patterns, manager: &str, xid: u32, lsn: Lsn, desc: &str) {
        for block in patterns.block.captures_iter(desc) {
            let [tablespace, database, relation, number] = [1, 2, 3, 5].map(|at| block[at].parse().unwrap());
            let fork = block.get(4).map_or(0, |name| fork_of(name.as_str()));
            self.blocks
                .entry(RelationFork { tablespace, database, relation, fork })
                .or_default()
                .insert(number);
        }
        let references = &mut self.references;
        match manager {
            "Transaction" => self.end(patterns, xid, lsn, desc),
            "XLOG" => {
                references.is_minimal |= patterns.minimal.is_match(desc);
                references.full_pages_off |= desc.starts_with("FPW_CHANGE false");
                if let Some(name) = desc.strip_prefix("RESTORE_POINT ") {
                    self.points.push((lsn, name.to_owned()));
                }
            }
            "Storage" => {
                if let Some(path) = desc.strip_prefix("CREATE ") {
                    self.limit(fork_at(path.trim()), 0);
                } else {
                    let found = patterns.truncate.captures(desc).unwrap_or_else(|| panic!("{desc}"));
                    let of = fork_at(&found[1]);
                    let flags: u32 = found[3].parse().unwrap();
                    for (flag, fork, limit) in [(1, 0, found[2].parse().unwrap()), (2, 2, 0), (4, 1, 0)] {
                        if flags & flag != 0 {
                            self.limit(RelationFork { fork, ..of }, limit);
                        }
                    }
                }
            }
            "Database" => {
                let pairs = patterns.directory.captures_iter(desc);
                let mut add = |pair: regex::Captures<'_>| {
                    references.databases.insert((pair[1].parse().unwrap(), pair[2].parse().unwrap()));
                };
                match desc.starts_with("DROP") {
                    true => pairs.for_each(add),
                    // The first one is the template.
                    false => add(pairs.last().unwrap()),
                }
            }
            "Tablespace" => {
                let found = patterns.number.captures(desc).unwrap_or_else(|| panic!("{desc}"));
                references.tablespaces.insert(found[1].parse().unwrap());
            }
            _ => {}
        }
    }

    fn end(&mut self, patterns: &Patterns, xid: u32, lsn: Lsn, desc: &str) {
        let Some(found) = patterns.end.captures(desc) else {
            assert!(!desc.starts_with("COMMIT") && !desc.starts_with("ABORT"), "{desc}");
            return;
        };
        let time: DateTime = found[3].parse().unwrap();
        let time = time.to_zoned(TimeZone::UTC).unwrap().timestamp().as_microsecond();
        let xid = found.get(2).map_or(Some(xid), |xid| xid.as_str().parse().ok());
        self.ends.push(TransactionEnd { lsn, end: lsn, xid, time, is_commit: &found[1] == "COMMIT" });
        for path in patterns.dropped.captures(desc).iter().flat_map(|found| {
            found.get(1).map_or("", |list| list.as_str()).split_whitespace().collect::<Vec<_>>()
        }) {
            let of = fork_at(path);
            (0..4).for_each(|fork| self.limit(RelationFork { fork, ..of }, 0));
        }
    }

    fn limit(&mut self, fork: RelationFork, limit: u32) {
        let changed = self.references.forks.entry(fork).or_default();
        changed.limit = Some(changed.limit.map_or(limit, |before| before.min(limit)));
    }

    fn finish(&mut self) {
        for (fork, blocks) in std::mem::take(&mut self.blocks) {
            let changed = self.references.forks.entry(fork).or_default();
            let limit = changed.limit;
            changed.blocks =
                blocks.into_iter().filter(|block| limit.is_none_or(|limit| *block < limit)).collect();
        }
    }
}

/// A relation's fork, of a path below the data directory.
fn fork_at(path: &str) -> RelationFork {
    let parts: Vec<&str> = path.split('/').collect();
    let (tablespace, database) = match parts[..] {
        ["global", _] => (1664, 0),
        ["base", database, _] => (1663, database.parse().unwrap()),
        ["pg_tblspc", tablespace, _, database, _] => (tablespace.parse().unwrap(), database.parse().unwrap()),
        _ => panic!("{path}"),
    };
    let (relation, fork) = parts
        .last()
        .unwrap()
        .split_once('_')
        .map_or((parts[parts.len() - 1], 0), |(relation, fork)| (relation, fork_of(fork)));
    RelationFork { tablespace, database, relation: relation.parse().unwrap(), fork }
}

fn fork_of(name: &str) -> u8 {
    ["main", "fsm", "vm", "init"].iter().position(|fork| *fork == name).unwrap_or_else(|| panic!("{name}"))
        as u8
}
