//! Row maps without a server: tables as lists of rows, changed as PostgreSQL changes heaps.

use std::collections::BTreeMap;
use std::time::Duration;

use pgark_repo::{
    BackupId, CheckLevel, CheckOptions, Class, LocalFolders, MapTarget, NewBackup, Protection, PruneOptions,
    RepoError, Repository, Unlock, WriteOptions,
};
use pgark_store::{DirStore, Storage};
use proptest::prelude::*;

use super::sink::{RowSink, Rows};
use super::{EarlierTables, MOST_BACKUPS, MapNote, Rules, Way, Whole};
use crate::OpsError;
use crate::facts::{About, DatabaseRead, MapsDone, Note};

type Row = Vec<u8>;

/// A heap: rows at their places, holes between them.
#[derive(Clone, Default)]
struct Table {
    places: Vec<Option<Row>>,
    identity: u8,
}

impl Table {
    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.places.iter().flatten()
    }

    /// The rows whatever their order.
    fn sorted(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.rows().cloned().collect();
        rows.sort();
        rows
    }
}

/// Places of one ctid range.
const RANGE: usize = 1500;

struct World {
    _folder: tempfile::TempDir,
    repository: Repository,
    tables: BTreeMap<String, Table>,
    /// What each backup that is there must hold.
    made: Vec<(BackupId, BTreeMap<String, Vec<Row>>)>,
    random: u64,
    rules: Rules,
    compression_level: i32,
}

impl World {
    fn new(seed: u64) -> World {
        let folder = tempfile::tempdir().unwrap();
        let store = Storage::uncancelled(DirStore::create(folder.path().join("repo")).unwrap());
        pgark_repo::init(&store, Protection::None, &[], &LocalFolders::default()).unwrap();
        let local = LocalFolders {
            cache: Some(folder.path().join("cache")),
            state: Some(folder.path().join("state")),
        };
        let repository = Repository::open(store, Unlock::Nothing, local).unwrap();
        World {
            _folder: folder,
            repository,
            tables: BTreeMap::new(),
            made: Vec::new(),
            random: seed | 1,
            rules: Rules { way: Way::Mapped, pays_from: 0, rewrite_deleted: false },
            compression_level: 1,
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as usize % limit.max(1)
    }

    /// A row of a table's kind.
    fn row(&mut self, kind: &str) -> Row {
        let number = self.below(usize::MAX >> 12);
        let mut row = match kind {
            "duplicates" => format!("{}", number % 5).into_bytes(),
            "empty" => Vec::new(),
            "nulls" => format!("\\N\t{}\t\\N", number % 50).into_bytes(),
            "large" => {
                // Now and then longer than any chunk.
                let len = if number.is_multiple_of(40) { 9 << 20 } else { 1 << (10 + number % 12) };
                let seed = number.to_le_bytes();
                let mut row = vec![b'x'; len];
                for (at, byte) in row.iter_mut().enumerate().step_by(97) {
                    *byte = b'a' + (seed[at % 8] ^ (at >> 7) as u8) % 20;
                }
                row
            }
            _ => format!("{number}\t{:x}\t{}", number.wrapping_mul(0x9e37_79b9), "body ".repeat(number % 60))
                .into_bytes(),
        };
        row.push(b'\n');
        row
    }

    fn fill(&mut self, name: &str, rows: usize) {
        let rows = (0..rows).map(|_| Some(self.row(name))).collect();
        self.tables.insert(name.into(), Table { places: rows, identity: 1 });
    }

    /// A new version of a row goes into a hole, or to the end.
    fn put(&mut self, table: &mut Table, row: Row) {
        let from = self.below(table.places.len());
        let hole = (from..table.places.len()).take(200).find(|at| table.places[*at].is_none());
        match hole {
            Some(at) => table.places[at] = Some(row),
            None => table.places.push(Some(row)),
        }
    }

    fn change(&mut self, name: &str) {
        let mut table = self.tables.remove(name).unwrap();
        let percent = [0, 1, 1, 1, 5, 40][self.below(6)];
        for at in 0..table.places.len() {
            if self.below(100) < percent && table.places[at].is_some() {
                match self.below(3) {
                    0 => table.places[at] = None,
                    1 => {
                        table.places[at] = None;
                        let row = self.row(name);
                        self.put(&mut table, row);
                    }
                    _ => {
                        let row = self.row(name);
                        self.put(&mut table, row);
                    }
                }
            }
        }
        match self.below(24) {
            // VACUUM FULL
            0 | 1 => table.places.retain(Option::is_some),
            // CLUSTER
            2 => {
                table.places.retain(Option::is_some);
                table.places.sort_by_key(|row| row.as_ref().map(|row| pgark_bytes::copy_text::row_hash(row)));
            }
            3 => table.places.clear(),
            // ADD COLUMN
            4 => {
                for row in table.places.iter_mut().flatten() {
                    row.pop();
                    row.extend_from_slice(b"\tadded\n");
                }
                table.identity += 1;
            }
            // A bulk load
            5 => {
                for _ in 0..self.below(2 * RANGE) {
                    let row = self.row(if name == "large" { "plain" } else { name });
                    table.places.push(Some(row));
                }
            }
            // Part of the table goes at once.
            6 => {
                let from = self.below(table.places.len());
                table.places.iter_mut().skip(from).take(RANGE).for_each(|row| *row = None);
            }
            _ => {}
        }
        self.tables.insert(name.into(), table);
    }

    fn backup(&mut self) -> BTreeMap<String, MapNote> {
        let (tables, rules) = (&self.tables, self.rules);
        let options = WriteOptions {
            jobs: 2,
            compression_level: self.compression_level,
            ..WriteOptions::of("c", "test")
        };
        let earlier =
            EarlierTables::of(&self.repository, self.repository.newest_backups("c", MOST_BACKUPS).unwrap());
        let about = About {
            physical: None,
            databases: vec!["d".into()],
            bytes_raw: 0,
            seconds: 0.0,
            warnings: Vec::new(),
            missing: Vec::new(),
            copied: None,
            masked: None,
            reads: BTreeMap::from([("d".to_string(), DatabaseRead::default())]),
            selection: None,
            server: None,
            server_version: 150_000,
            system_identifier: "1".into(),
        };
        let mut notes = BTreeMap::new();
        let result: Result<_, OpsError> = self.repository.write_backup(&options, |writer| {
            for (name, table) in tables {
                let (mut parts, mut rows, mut note) = (Vec::new(), 0, MapNote::default());
                let ranges = table.places.len().div_ceil(RANGE).max(1);
                for range in 0..ranges {
                    let identity = [table.identity; 16];
                    let to = (range + 1 < ranges).then_some((range + 1) as u64);
                    let earlier = earlier.table("d", name)?;
                    let mut sink =
                        RowSink::new(writer, Rows { identity, from: range as u64, to, earlier, rules })?;
                    let places = table.places.iter().skip(range * RANGE).take(RANGE);
                    let mut count = 0;
                    for row in places.flatten() {
                        count += 1;
                        // Long rows come in pieces.
                        let mut pieces = row.chunks(700_000).peekable();
                        while let Some(piece) = pieces.next() {
                            sink.write(piece, pieces.peek().is_none())?;
                        }
                    }
                    let sunk = sink.finish(count)?;
                    rows += count;
                    parts.extend(sunk.parts);
                    note.add(&sunk.maps);
                }
                let of_table = Note::Table {
                    database: "d".into(),
                    schema: "s".into(),
                    name: name.clone(),
                    oid: 1,
                    rows,
                };
                let mut entry = writer.entry(name, Class::Data);
                parts.into_iter().for_each(|part| entry.add(part));
                entry.finish_with(of_table.to_bytes(), MapsDone::to_bytes(&note))?;
                notes.insert(name.clone(), note);
            }
            let new = NewBackup {
                kind: "logical".into(),
                complete: true,
                about: serde_json::to_vec(&about).unwrap(),
                time: None,
            };
            Ok((new, ()))
        });
        let head = result.unwrap().0;
        let state = self.tables.iter().map(|(name, table)| (name.clone(), table.sorted()));
        self.made.push((head.id, state.collect()));
        notes
    }

    /// Reads a backup's tables: right, or an error for each that is not.
    fn verify(&self, number: usize) -> Vec<RepoError> {
        let (id, expected) = &self.made[number];
        let backup = self.repository.open_backup(*id).unwrap();
        let reader = self.repository.reader(&self.repository.backups().unwrap()[0]).unwrap();
        let mut errors = Vec::new();
        for (name, rows) in expected {
            let entry = backup.entry(name).unwrap().unwrap();
            let mut content = reader.read(&entry);
            let mut bytes = Vec::new();
            let ended = loop {
                match content.next_chunk() {
                    Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                    Ok(None) => break true,
                    Err(error) => {
                        errors.push(error);
                        break false;
                    }
                }
            };
            if ended {
                let mut read: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                read.sort();
                assert_eq!(read.len(), rows.len(), "{name}");
                assert!(
                    read.iter().zip(rows).all(|(a, b)| *a == b.as_slice()),
                    "{name}: other rows came back"
                );
            }
        }
        errors
    }

    fn forget_some(&mut self) {
        while self.made.len() > 3 && self.below(3) > 0 {
            let at = self.below(self.made.len());
            let (id, _) = self.made.remove(at);
            self.repository.forget(id).unwrap();
        }
    }

    fn prune(&self) {
        let options = PruneOptions { grace: Duration::ZERO, ..PruneOptions::default() };
        let report = self.repository.prune(&options, &|_| {}).unwrap();
        assert!(!report.missing, "{report:?}");
    }

    /// Forgets all but the newest backup, and moves what lives out of every pack.
    fn erase(&mut self) {
        while self.made.len() > 1 {
            let (id, _) = self.made.remove(0);
            self.repository.forget(id).unwrap();
        }
        self.prune();
        let options = PruneOptions { grace: Duration::ZERO, erase: true, ..PruneOptions::default() };
        self.repository.prune(&options, &|_| {}).unwrap();
        self.prune();
    }

    /// What item lists hold of a row.
    fn listed(&self, row: &[u8]) -> [u8; 8] {
        let options = WriteOptions { compression_level: 0, ..WriteOptions::of("c", "test") };
        let mut listed = [0; 8];
        let ended = self.repository.write_backup::<(), OpsError>(&options, |writer| {
            let target = MapTarget { identity: [1; 16], domain: Vec::new(), from: 0 };
            let map = writer.map(pgark_repo::Rows, target);
            listed = map.hasher().listed(map.hasher().hash(row)).to_le_bytes();
            Err(OpsError::Cancelled)
        });
        assert!(matches!(ended, Err(OpsError::Cancelled)));
        listed
    }

    /// Whether the packs hold these bytes anywhere; they are not compressed.
    fn holds(&self, wanted: &[u8]) -> bool {
        let mut open = vec![self._folder.path().join("repo/packs")];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                if entry.path().is_dir() {
                    open.push(entry.path());
                } else if memchr::memmem::find(&std::fs::read(entry.path()).unwrap(), wanted).is_some() {
                    return true;
                }
            }
        }
        false
    }

    fn problems(&self) -> Vec<String> {
        let report = self.repository.check(&CheckOptions::all(CheckLevel::Data), &|_| {}).unwrap();
        report.problems.into_iter().map(|problem| format!("{}: {}", problem.object, problem.what)).collect()
    }
}

fn rounds() -> usize {
    if std::env::var_os("PGARK_TEST_FULL").is_some() { 30 } else { 12 }
}

fn cases() -> u32 {
    if std::env::var_os("PGARK_TEST_FULL").is_some() { 20 } else { 4 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 0, ..ProptestConfig::default() })]
    #[test]
    fn every_backup_gives_its_rows(seed: u64) {
        let mut world = World::new(seed);
        for (name, rows) in [("plain", 4000), ("duplicates", 2500), ("empty", 700), ("nulls", 900), ("large", 25)] {
            let rows = world.below(rows) + 1;
            world.fill(name, rows);
        }
        for round in 0..rounds() {
            world.rules.rewrite_deleted = world.below(10) == 0;
            world.backup();
            let names: Vec<String> = world.tables.keys().cloned().collect();
            for name in names {
                if world.below(4) > 0 {
                    world.change(&name);
                }
            }
            if world.below(4) == 0 {
                world.forget_some();
            }
            if world.below(3) == 0 {
                world.prune();
            }
            if round % 5 == 4 {
                prop_assert_eq!(world.problems(), Vec::<String>::new());
            }
            let one = world.below(world.made.len());
            prop_assert!(world.verify(one).is_empty());
        }
        for number in 0..world.made.len() {
            let errors = world.verify(number);
            prop_assert!(errors.is_empty(), "{:?}", errors);
        }
    }
}

/// With hashes cut to a few bits rows are taken for others. Each time that is an error that names
/// the part, at restore and at check; never other rows.
#[test]
fn collisions_are_always_noticed() {
    let mut met = BTreeMap::new();
    for bits in [16, 24] {
        for seed in 1..6u64 {
            let mut world = World::new(seed * 7919);
            world.repository.cut_item_hashes(bits);
            world.fill("plain", 6000);
            for _ in 0..8 {
                world.backup();
                world.change("plain");
            }
            let mut wrong = 0;
            for number in 0..world.made.len() {
                for error in world.verify(number) {
                    let said = error.to_string();
                    assert!(said.contains("part ") && said.contains("of plain"), "{said}");
                    wrong += 1;
                }
            }
            let problems = world.problems();
            assert_eq!(problems.is_empty(), wrong == 0, "{problems:?}");
            *met.entry(bits).or_insert(0) += wrong;
        }
    }
    assert!(met[&16] > 0, "16 bits gave no false match to notice: {met:?}");
}

/// The same rows again: nothing is stored. A changed row: that row.
#[test]
fn only_new_rows_are_stored() {
    let mut world = World::new(3);
    world.fill("plain", 4000);
    assert_eq!(world.backup()["plain"].whole, BTreeMap::from([(Whole::First, 3)]));
    let note = &world.backup()["plain"];
    assert_eq!((note.rows_new, note.whole.len()), (0, 0));
    let row = world.row("plain");
    world.tables.get_mut("plain").unwrap().places[2000] = Some(row);
    assert_eq!(world.backup()["plain"].rows_new, 1);
    // A range that moved is found again but for a few rows, whose neighbours were elsewhere.
    world.tables.get_mut("plain").unwrap().places.drain(..700);
    let note = &world.backup()["plain"];
    assert!(note.rows_new < 300, "{note:?}");
    // Other columns: everything, and the reason.
    world.tables.get_mut("plain").unwrap().identity = 9;
    let note = &world.backup()["plain"];
    assert_eq!(note.whole.keys().collect::<Vec<_>>(), [&Whole::Columns]);
    for number in 0..world.made.len() {
        assert!(world.verify(number).is_empty());
    }
}

/// Lists serve the next backup alone. Where they are gone, a part is stored whole once, and the
/// report says so.
#[test]
fn lists_that_are_gone_cost_one_whole_part() {
    let mut world = World::new(17);
    world.fill("plain", 2000);
    world.backup();
    world.backup();
    // From here on the table's rows are in other units.
    world.tables.get_mut("plain").unwrap().places.reverse();
    world.backup();
    world.backup();
    world.prune();
    world.prune();
    for _ in 0..2 {
        let (id, _) = world.made.pop().unwrap();
        world.repository.forget(id).unwrap();
    }
    std::fs::remove_dir_all(world._folder.path().join("cache")).unwrap();
    assert!(world.problems().is_empty());
    let note = &world.backup()["plain"];
    assert_eq!(note.whole.keys().collect::<Vec<_>>(), [&Whole::Lost], "{note:?}");
    assert_eq!(world.backup()["plain"].rows_new, 0);
    for number in 0..world.made.len() {
        assert!(world.verify(number).is_empty());
    }
}

/// A hundred nights in which almost nothing changes: parts neither shatter nor cost more than they
/// should.
#[test]
fn tiny_changes_are_merged() {
    let mut world = World::new(11);
    world.fill("plain", 2 * RANGE);
    world.backup();
    let mut new = 0;
    for _ in 0..100 {
        for _ in 0..3 {
            let at = world.below(2 * RANGE);
            let row = world.row("plain");
            world.tables.get_mut("plain").unwrap().places[at] = Some(row);
        }
        new += world.backup()["plain"].rows_new;
    }
    // 300 rows changed; each is written at most twice more, and units that lost rows are written
    // again now and then.
    assert!(new < 300 * 4, "{new} rows were stored for 300 that changed");
    let reader = world.repository.reader(&world.repository.backups().unwrap()[0]).unwrap();
    let backup = world.repository.open_backup(world.made.last().unwrap().0).unwrap();
    let before = reader.bytes_fetched();
    let mut content = reader.read(&backup.entries().next().unwrap().unwrap());
    while content.next_chunk().unwrap().is_some() {}
    let fetched = reader.bytes_fetched() - before;
    let first = world.repository.open_backup(world.made[0].0).unwrap();
    let first = first.additions().unwrap().next().unwrap().unwrap().bytes;
    assert!(fetched < first * 3, "{fetched} bytes fetched for a table of {first}");
    assert!(world.verify(100).is_empty());
}

/// Nothing that a deleted row left stays in what the newest backup names, once `rewrite_deleted`
/// asked for it.
#[test]
fn condemned_rows_can_be_erased() {
    let mut world = World::new(5);
    world.compression_level = 0;
    world.fill("plain", 3000);
    let secret = b"secret\tpersonal data of somebody\n".to_vec();
    world.tables.get_mut("plain").unwrap().places[100] = Some(secret.clone());
    world.backup();
    world.tables.get_mut("plain").unwrap().places[100] = None;
    world.backup();
    let stored = |world: &World| world.holds(&secret);
    let forget_older = World::erase;
    forget_older(&mut world);
    // Other rows of its chunk live, and no backup shows it.
    assert!(stored(&world) && world.verify(0).is_empty());
    world.rules.rewrite_deleted = true;
    let note = world.backup().remove("plain").unwrap();
    assert!(note.rows_new > 0 && note.whole.is_empty(), "{note:?}");
    forget_older(&mut world);
    assert!(!stored(&world));
    let note = world.backup().remove("plain").unwrap();
    assert_eq!(note.rows_new, 0, "nothing is dead any more");
    assert!(world.verify(0).is_empty());
}

/// The row went after the last backup: one backup with `rewrite_deleted` is enough, wherever the
/// row stood, and however many are gone.
#[test]
fn rows_that_went_since_the_last_backup_are_erased() {
    for (seed, gone, moved) in [(21, 1, false), (22, 7, true), (23, 600, false), (24, 2500, true)] {
        let mut world = World::new(seed);
        world.compression_level = 0;
        world.fill("plain", 6000);
        let secret = |at: usize| format!("secret\tdata of person {at:06}\n").into_bytes();
        let places: Vec<usize> = (0..gone).map(|_| world.below(6000)).collect();
        for at in &places {
            world.tables.get_mut("plain").unwrap().places[*at] = Some(secret(*at));
        }
        world.backup();
        world.backup();
        let listed: Vec<[u8; 8]> = places.iter().map(|at| world.listed(&secret(*at))).collect();
        assert!(world.holds(&secret(places[0])) && world.holds(&listed[0]));
        let plain = world.tables.get_mut("plain").unwrap();
        for at in &places {
            plain.places[*at] = None;
        }
        if moved {
            plain.places.rotate_left(1500);
        }
        world.rules.rewrite_deleted = true;
        let note = world.backup().remove("plain").unwrap();
        assert!(note.rows_new > 0, "{note:?}");
        world.erase();
        for (at, listed) in places.iter().zip(&listed) {
            assert!(!world.holds(&secret(*at)), "row {at} of seed {seed} is still there");
            assert!(!world.holds(listed), "the hash of row {at} of seed {seed} is still there");
        }
        assert!(world.verify(0).is_empty() && world.problems().is_empty());
        // Nothing is dead any more: nothing is stored again.
        assert_eq!(world.backup().remove("plain").unwrap().rows_new, 0);
    }
}
