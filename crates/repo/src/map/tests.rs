//! The mechanism by a kind that is no row: cards, which have addresses and longer lists.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use proptest::prelude::*;

use super::cards::{CARD, Cards, Listed};
use super::{
    Address, AddressRun, EarlierMap, EarlierUnit, Group, Keep, MapRef, MapTarget, Part, Record, Rows,
    UnitName, UsedItems,
};
use crate::manifest::{BackupHead, Entry};
use crate::properties::repository;
use crate::repository::Repository;
use crate::secrets::{LocalFolders, Unlock};
use crate::stream::{ChunkKind, Class};
use crate::writer::{BackupWriter, NewBackup, PartSummary, WriteOptions};
use crate::{CheckLevel, CheckOptions, Cut, PruneOptions, RepoError, codec};

/// Cards by drawer and number.
type Content = BTreeMap<(Vec<u8>, u32), Vec<u8>>;

/// Numbers of a drawer's cards lie below.
const MOST: u32 = 4096;

fn card(seed: u32) -> Vec<u8> {
    let mut card = vec![0; CARD];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut card);
    card
}

/// So many cards in each of some drawers.
fn content(drawers: u32, cards: u32) -> Content {
    let of = |drawer: u32| {
        let name = format!("drawer {drawer}").into_bytes();
        (0..cards).map(move |number| ((name.clone(), number), card(drawer * MOST + number)))
    };
    (0..drawers).flat_map(of).collect()
}

/// Replaces the cards that a draw takes, and drops some.
fn change(content: &mut Content, round: u32, one_of: u32) {
    let addresses: Vec<_> = content.keys().cloned().collect();
    for (at, address) in (0u32..).zip(addresses) {
        let draw = u32::from_le_bytes(card(round * 1_000_003 + at)[..4].try_into().unwrap());
        match draw % (one_of * 8) {
            0 => drop(content.remove(&address)),
            1..=7 => drop(content.insert(address, card(draw))),
            _ => {}
        }
    }
}

/// The newest backup's map of this path.
fn newest(repository: &Repository, path: &str) -> Option<MapRef> {
    let head = repository.backups().unwrap().pop()?;
    match &repository.open_backup(head.id).unwrap().entry(path).unwrap()?.parts[0] {
        Part::Map(map) => Some((**map).clone()),
        _ => None,
    }
}

fn target() -> MapTarget {
    MapTarget { identity: [3; 16], domain: Vec::new(), from: 0 }
}

/// A map of these cards: each is compared with the one that was at its address.
fn write_map(
    writer: &BackupWriter<'_>,
    content: &Content,
    earlier: Option<&MapRef>,
) -> Result<PartSummary, RepoError> {
    let mut map = writer.map(Cards, target());
    let mut old: HashMap<(Vec<u8>, u32), (usize, usize, Listed)> = HashMap::new();
    let mut used: Vec<(EarlierUnit, Vec<bool>)> = Vec::new();
    let earlier: Option<EarlierMap<Cards>> = earlier.map(|map| writer.earlier_map(map)).transpose()?;
    let mut due = 0;
    if let Some(earlier) = &earlier {
        let again = earlier.due(false);
        due = again.items;
        for unit in earlier.units().filter(|unit| !again.places.contains(&unit.place)) {
            let mut listed = Vec::new();
            earlier.listed(&unit, &mut listed);
            let addresses = spread(&earlier.addresses(&unit));
            assert_eq!(addresses.len(), listed.len());
            for (at, (address, listed)) in addresses.into_iter().zip(listed).enumerate() {
                assert!(old.insert(address, (used.len(), at, listed)).is_none(), "one address twice");
            }
            used.push((unit.clone(), vec![false; unit.items_kept as usize]));
        }
    }
    for ((name, number), card) in content {
        let address = Address { name, number: *number };
        let measured = map.measure(card, address);
        match old.get(&(name.clone(), *number)) {
            Some((unit, at, listed)) if *listed == measured.listed => {
                used[*unit].1[*at] = true;
                map.keep_measured(measured, card.len());
            }
            _ => map.add_at(card, address, measured)?,
        }
    }
    map.describe(Cards::facts(MOST), Cards::facts(MOST));
    used.retain(|(_, flags)| flags.contains(&true));
    let used: Vec<UsedItems<'_, Cards>> = earlier.iter().map(|map| (map, used.clone())).collect();
    let changed = map.items_new().saturating_sub(due);
    map.finish(&used, changed)
}

fn spread(runs: &[AddressRun]) -> Vec<(Vec<u8>, u32)> {
    let of = |run: &AddressRun| {
        let (name, first) = (run.name.clone(), run.first);
        (0..run.items).map(move |at| (name.clone(), first + at))
    };
    runs.iter().flat_map(of).collect()
}

/// A backup of these parts, one entry each.
fn commit(
    repository: &Repository,
    parts: impl FnOnce(&BackupWriter<'_>) -> Result<Vec<Part>, RepoError>,
) -> Result<BackupHead, RepoError> {
    let options = WriteOptions::of("c", "test");
    let written = repository.write_backup::<(), RepoError>(&options, |writer| {
        for (number, part) in parts(writer)?.into_iter().enumerate() {
            let mut entry = writer.entry(format!("/{number}"), Class::Data);
            entry.add(PartSummary::new(part, Vec::new()));
            entry.finish(Vec::new())?;
        }
        let (kind, about) = ("x".into(), Vec::new());
        Ok((NewBackup { kind, complete: true, about, time: None }, ()))
    });
    written.map(|(written, ())| written)
}

fn backup(repository: &Repository, content: &Content) -> BackupHead {
    let earlier = newest(repository, "/0");
    commit(repository, |writer| Ok(vec![write_map(writer, content, earlier.as_ref())?.part])).unwrap()
}

fn first_entry(repository: &Repository, head: &BackupHead) -> Entry {
    repository.open_backup(head.id).unwrap().entries().next().unwrap().unwrap()
}

fn map_of(repository: &Repository, head: &BackupHead) -> MapRef {
    match &first_entry(repository, head).parts[0] {
        Part::Map(map) => (**map).clone(),
        _ => panic!("it is no map"),
    }
}

/// Every card, put at its address.
fn read(repository: &Repository, map: &MapRef) -> Result<Content, RepoError> {
    let reader = repository.reader(&repository.backups().unwrap()[0])?;
    let mut items = reader.read_items(map, "the cards")?;
    let mut content = Content::new();
    while let Some(kept) = items.next_items()? {
        let addresses = spread(&kept.addresses);
        let positions: usize = kept.positions.iter().map(|range| range.len()).sum();
        assert_eq!((addresses.len() * CARD, positions * CARD), (kept.bytes.len(), kept.bytes.len()));
        for (address, card) in addresses.into_iter().zip(kept.bytes.chunks(CARD)) {
            assert!(content.insert(address, card.to_vec()).is_none(), "one address twice");
        }
    }
    Ok(content)
}

fn problems(repository: &Repository, level: CheckLevel) -> Vec<String> {
    let report = repository.check(&CheckOptions::all(level), &|_| {}).unwrap();
    report.problems.into_iter().map(|problem| format!("{problem:?}")).collect()
}

fn prune(repository: &Repository) {
    let options = PruneOptions { grace: Duration::ZERO, repack_below: 99, ..PruneOptions::default() };
    for _ in 0..2 {
        let report = repository.prune(&options, &|_| {}).unwrap();
        assert!(report.held_by.is_empty(), "{report:?}");
    }
}

/// Groups of a map, and units of which something is kept.
fn shape(repository: &Repository, map: &MapRef) -> (usize, usize) {
    let reader = repository.reader(&repository.backups().unwrap()[0]).unwrap();
    let (_, records) = super::records(reader.chunks(), map).unwrap();
    (records.len(), records.iter().map(|record| record.used().count()).sum())
}

#[test]
fn cards_go_through_all_that_rows_go_through() {
    let (_dir, repository) = repository();
    let mut cards = content(3, 1000);
    let mut backups = vec![(backup(&repository, &cards), cards.clone())];
    for round in 1..24u32 {
        change(&mut cards, round, 50);
        // Drawers come and go, so that groups name them in other orders.
        let own = format!("a drawer of {round}").into_bytes();
        cards.extend((0..40).map(|number| ((own.clone(), number), card(round * 7 + number))));
        let before = format!("a drawer of {}", round.saturating_sub(5)).into_bytes();
        cards.retain(|(name, _), _| *name != before);
        backups.push((backup(&repository, &cards), cards.clone()));
    }
    let first = backups[0].0.bytes_added;
    for (head, cards) in &backups {
        let map = map_of(&repository, head);
        assert_eq!(read(&repository, &map).unwrap(), *cards);
        assert_eq!((map.items(), map.bytes), (cards.len() as u64, (cards.len() * CARD) as u64));
        assert!(
            head.id == backups[0].0.id || head.bytes_added * 3 < first,
            "{} of {first}",
            head.bytes_added
        );
    }
    // Small groups were merged, and rewriting bounds the dead weight.
    let (groups, units) = shape(&repository, &map_of(&repository, &backups[23].0));
    assert!(groups <= 16, "{groups}");
    assert!(units < 80, "{units} units");
    assert_eq!(problems(&repository, CheckLevel::Data), [""; 0]);
    // Any of them may be forgotten first.
    for number in [0, 3, 4, 10, 22, 23] {
        repository.forget(backups[number].0.id).unwrap();
    }
    prune(&repository);
    assert_eq!(problems(&repository, CheckLevel::Data), [""; 0]);
    for (number, (head, cards)) in backups.iter().enumerate() {
        if [0, 3, 4, 10, 22, 23].contains(&number) {
            continue;
        }
        let map = map_of(&repository, head);
        assert_eq!(read(&repository, &map).unwrap(), *cards);
        // The lists of cards live as long as their groups.
        let reader = repository.reader(&repository.backups().unwrap()[0]).unwrap();
        let mut lists = reader.lists::<Cards>(&map).unwrap();
        let mut listed = Content::new();
        while let Some(unit) = lists.next_unit().unwrap() {
            let of_unit = unit.listed.expect("a list");
            for (address, listed_card) in spread(&unit.addresses).into_iter().zip(of_unit) {
                let at = Address { name: &address.0, number: address.1 };
                assert!(lists.measure(&cards[&address], at).listed == listed_card);
                listed.insert(address.clone(), cards[&address].clone());
            }
        }
        assert_eq!(listed, *cards);
    }
    // The next one depends on what is left.
    change(&mut cards, 99, 50);
    let last = backup(&repository, &cards);
    assert!(last.bytes_added * 3 < first, "{} of {first}", last.bytes_added);
    assert_eq!(read(&repository, &map_of(&repository, &last)).unwrap(), cards);
}

/// A place that holds most cards already gets the units that differ, and no others.
#[test]
fn lists_tell_which_units_to_read() {
    let (_dir, repository) = repository();
    let mut cards = content(2, 3000);
    backup(&repository, &cards);
    change(&mut cards, 1, 40);
    let map = map_of(&repository, &backup(&repository, &cards));
    let mut local = cards.clone();
    for (at, (_, card)) in local.iter_mut().enumerate() {
        if at % 900 == 17 {
            card[at % CARD] ^= 1;
        }
    }
    let reader = repository.reader(&repository.backups().unwrap()[0]).unwrap();
    let mut lists = reader.lists::<Cards>(&map).unwrap();
    let (mut differ, mut units) = (std::collections::HashSet::<UnitName>::new(), 0);
    while let Some(unit) = lists.next_unit().unwrap() {
        units += 1;
        for (address, listed) in spread(&unit.addresses).into_iter().zip(unit.listed.unwrap()) {
            let at = Address { name: &address.0, number: address.1 };
            if lists.measure(&local[&address], at).listed != listed {
                differ.insert(unit.unit);
            }
        }
    }
    assert!((1..=7).contains(&differ.len()) && units > 40, "{} of {units}", differ.len());
    let mut items = reader.read_units(&map, "the cards", &differ).unwrap();
    let mut read = BTreeSet::new();
    while let Some(kept) = items.next_items().unwrap() {
        read.insert(format!("{:?}", kept.unit));
        for (address, card) in spread(&kept.addresses).into_iter().zip(kept.bytes.chunks(CARD)) {
            local.insert(address, card.to_vec());
        }
    }
    assert_eq!((read.len(), local), (differ.len(), cards));
}

/// A copy has lists of its own, under the other repository's keys: the next backup there depends on
/// them.
#[test]
fn copies_of_cards_have_lists() {
    let ((_dir, repository), (_other_dir, other)) = (repository(), repository());
    let mut cards = content(2, 1500);
    backup(&repository, &cards);
    change(&mut cards, 1, 30);
    let head = backup(&repository, &cards);
    let entry = first_entry(&repository, &head);
    let reader = repository.reader(&repository.backups().unwrap()[0]).unwrap();
    let copied = commit(&other, |writer| {
        writer.copy_entry(&reader, &entry, Vec::new(), Cut::Content, &mut |_| {}).map(|()| Vec::new())
    })
    .unwrap();
    let map = map_of(&other, &copied);
    assert_eq!(read(&other, &map).unwrap(), cards);
    assert_ne!(map.sum, map_of(&repository, &head).sum);
    change(&mut cards, 2, 30);
    let next = backup(&other, &cards);
    assert!(next.bytes_added * 3 < copied.bytes_added, "{} of {}", next.bytes_added, copied.bytes_added);
    assert_eq!(problems(&other, CheckLevel::Data), [""; 0]);
    // It can be in another backup as it is.
    let entry = first_entry(&other, &next);
    let again = commit(&other, |writer| writer.keep_entry(&entry, None).map(|()| Vec::new()));
    other.forget(next.id).unwrap();
    prune(&other);
    assert_eq!(read(&other, &map_of(&other, &again.unwrap())).unwrap(), cards);
    assert_eq!(problems(&other, CheckLevel::Data), [""; 0]);
}

/// What a maker gets wrong is refused before it is committed.
#[test]
fn a_map_that_breaks_its_kinds_rules_is_not_written() {
    let (_dir, repository) = repository();
    let refused = |cards: &[(&[u8], u32)], facts: Vec<u8>| {
        let result = commit(&repository, |writer| {
            let mut map = writer.map(Cards, target());
            for (name, number) in cards {
                let (card, address) = (card(*number), Address { name, number: *number });
                let measured = map.measure(&card, address);
                map.add_at(&card, address, measured)?;
            }
            map.describe(facts, Vec::new());
            Ok(vec![map.finish(&[], 0)?.part])
        });
        result.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(refused(&[(b"a", 1), (b"b", 1), (b"a", 1)], Cards::facts(9)).contains("one address"));
    assert!(refused(&[(b"a", 1), (b"a", 9)], Cards::facts(9)).contains("beyond the end of its drawer"));
    assert!(refused(&[(b"a", 1)], b"else".to_vec()).contains("not those of cards"));
    assert_eq!(refused(&[(b"a", 1), (b"b", 1), (b"a", 0)], Cards::facts(9)), "");
}

/// What someone else wrote: every reader refuses it and says why.
#[test]
fn what_a_map_of_cards_must_not_say() {
    let (_dir, repository) = repository();
    let cards = content(2, 500);
    let good = map_of(&repository, &backup(&repository, &cards));
    let said = |map: &MapRef| read(&repository, map).map(|_| ()).unwrap_err().to_string();
    let mut other = good.clone();
    other.sum = [1; 16].into();
    assert!(said(&other).contains("its 1000 cards are not those that were backed up"), "{}", said(&other));
    other = MapRef { items: 1001, ..good.clone() };
    assert!(said(&other).contains("1000 cards of 1000000 bytes were read, 1001 cards"), "{}", said(&other));
    other = MapRef { facts: Cards::facts(499).into(), more: None, ..good.clone() };
    assert!(said(&other).contains("beyond the end of its drawer"), "{}", said(&other));
    other = MapRef { facts: Cards::facts(500).into(), ..good.clone() };
    assert!(said(&other).contains("not those of cards"), "{}", said(&other));
    // As rows they mean nothing, and lend nothing.
    other = MapRef { kind: 1, ..good.clone() };
    assert!(said(&other).contains("another kind than its map"), "{}", said(&other));
    let reader = repository.reader(&repository.backups().unwrap()[0]).unwrap();
    assert!(reader.lists::<Rows>(&good).is_err());
    commit(&repository, |writer| {
        assert_eq!(writer.earlier_map::<Rows>(&good)?.units().count(), 0);
        assert_eq!(writer.earlier_map::<Rows>(&other)?.units().count(), 0);
        assert!(writer.earlier_map::<Cards>(&good)?.units().count() >= 10);
        Ok(Vec::new())
    })
    .unwrap();
    // Each of these in a backup: the check names it, and a prune deletes nothing meanwhile.
    for (map, says) in [
        (MapRef { facts: Cards::facts(499).into(), more: None, ..good.clone() }, "end of its drawer"),
        (MapRef { items: 1, ..good.clone() }, "more items than it says"),
        (MapRef { kind: 3, ..good.clone() }, "newer pgark"),
    ] {
        let head = commit(&repository, |_| Ok(vec![Part::Map(Box::new(map.clone()))])).unwrap();
        let found = problems(&repository, CheckLevel::Structure);
        assert!(found.iter().any(|problem| problem.contains(says)), "{says}: {found:?}");
        repository.forget(head.id).unwrap();
    }
}

/// Groups and lists that are not those of their chunks.
#[test]
fn what_a_group_of_cards_must_not_say() {
    let (_dir, repository) = repository();
    let cards = content(2, 500);
    let good = map_of(&repository, &backup(&repository, &cards));
    let reader = repository.reader(&repository.backups().unwrap()[0]).unwrap();
    let (kind, records) = super::records(reader.chunks(), &good).unwrap();
    let group = super::group(reader.chunks(), &records[0], kind).unwrap();
    assert_eq!((records.len(), group.units.len()), (1, 10));
    let mut moved = group.clone();
    moved.units[0].runs[0].first += 1000;
    let mut listed = reader.chunks().fetch(&group.list_child(12).unwrap(), ChunkKind::ItemList).unwrap();
    listed[12 * 77] ^= 1;
    let mut maps = Vec::new();
    commit(&repository, |writer| {
        let relisted = Group { list: Some(writer.put(ChunkKind::ItemList, &listed)), ..group.clone() };
        for (group, times, items) in [(moved, 1, 1000), (relisted, 1, 1000), (group, 2, 2000)] {
            let raw = codec::encode(&group);
            let all = vec![Keep::All; group.units.len()];
            let record = Record::new(writer.put(ChunkKind::Group, &raw), raw.len() as u32, &all);
            let units = writer.metadata(&codec::encode(&record).repeat(times));
            maps.push(MapRef { units, items, ..good.clone() });
        }
        Ok(maps.iter().map(|map| Part::Map(Box::new(map.clone()))).collect())
    })
    .unwrap();
    let said = |map: &MapRef| read(&repository, map).map(|_| ()).unwrap_err().to_string();
    assert!(said(&maps[0]).contains("differ from those of its group"), "{}", said(&maps[0]));
    assert!(said(&maps[2]).contains("two of its items have one address"), "{}", said(&maps[2]));
    // Who reads items needs no list; who checks them compares both.
    assert_eq!(read(&repository, &maps[1]).unwrap(), cards);
    let found = problems(&repository, CheckLevel::Data).join("\n");
    for says in
        ["differ from those of its group", "not that of its items", "two of its items have one address"]
    {
        assert!(found.contains(says), "{says}: {found}");
    }
    assert!(problems(&repository, CheckLevel::Structure).join("").contains("have one address"));
}

/// A map of a kind that this program does not know is refused wherever it is met, and nothing that
/// it may need is deleted.
#[test]
fn a_kind_of_tomorrow() {
    let (_dir, repository) = repository();
    let cards = content(1, 500);
    let good = map_of(&repository, &backup(&repository, &cards));
    let newer = MapRef { kind: 3, ..good.clone() };
    let is_newer =
        |error: &RepoError| matches!(error, RepoError::NewerFormat { what } if what.contains("newer pgark"));
    let part = Part::Map(Box::new(newer.clone()));
    let known = repository.backups().unwrap().pop().unwrap();
    let known = first_entry(&repository, &known);
    let head = commit(&repository, |writer| {
        let entry = Entry { parts: vec![part.clone()], ..known };
        assert!(is_newer(&writer.keep_entry(&entry, None).unwrap_err()));
        assert_eq!(writer.earlier_map::<Cards>(&newer)?.units().count(), 0);
        Ok(vec![part])
    })
    .unwrap();
    assert!(is_newer(&read(&repository, &newer).unwrap_err()));
    let reader = repository.reader(&repository.backups().unwrap()[0]).unwrap();
    assert!(is_newer(&reader.lists::<Cards>(&newer).err().unwrap()));
    let entry = first_entry(&repository, &head);
    assert!(is_newer(&reader.read_whole(&entry, 1 << 30).unwrap_err()));
    let pruned = repository.prune(&PruneOptions::default(), &|_| {}).unwrap();
    assert!(!pruned.held_by.is_empty(), "{pruned:?}");
}

/// A list that is gone costs one whole part.
#[test]
fn lost_lists() {
    let (dir, repository) = repository();
    let cards = content(1, 2000);
    let first = backup(&repository, &cards);
    let lost = map_of(&repository, &first);
    // What describes the map is gone, with its list.
    let mut hit = 0;
    for pack in walk(&dir.path().join("r/packs")) {
        let bytes = std::fs::read(&pack).unwrap();
        if bytes.get(5) == Some(&2) {
            std::fs::remove_file(&pack).unwrap();
            hit += 1;
        }
    }
    assert!(hit > 0);
    let store = pgark_store::DirStore::open(dir.path().join("r")).unwrap();
    let store = pgark_store::Storage::uncancelled(store);
    let again = Repository::open(store, Unlock::Nothing, LocalFolders::default()).unwrap();
    let head = commit(&again, |writer| Ok(vec![write_map(writer, &cards, Some(&lost))?.part])).unwrap();
    assert_eq!(read(&again, &map_of(&again, &head)).unwrap(), cards);
    // The same chunks of data serve again.
    assert!(head.bytes_added < first.bytes_added / 2, "{} of {}", head.bytes_added, first.bytes_added);
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            files.extend(walk(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever changes from backup to backup, each comes back card by card, and what is kept is
    /// found by its address.
    #[test]
    fn any_history_of_cards_comes_back(
        rounds in prop::collection::vec(
            prop::collection::btree_map((0u8..3, 0u32..400), prop::option::of(0u32..50), 0..150), 1..6),
    ) {
        let (_dir, repository) = repository();
        let mut cards = Content::new();
        let mut backups = Vec::new();
        for changes in rounds {
            for ((drawer, number), to) in changes {
                let address = (vec![b'a' + drawer], number);
                match to {
                    Some(seed) => drop(cards.insert(address, card(seed))),
                    None => drop(cards.remove(&address)),
                }
            }
            backups.push((backup(&repository, &cards), cards.clone()));
        }
        for (head, cards) in &backups {
            prop_assert_eq!(&read(&repository, &map_of(&repository, head)).unwrap(), cards);
        }
        prop_assert_eq!(problems(&repository, CheckLevel::Data), [""; 0]);
    }
}
