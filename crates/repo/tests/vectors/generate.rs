//! Makes the repositories of the vectors. Everything that the format knows is in them.

use std::path::Path;

use pgark_repo::*;
use pgark_store::{DirStore, Fault, Faulty, Operation, Store};
use serde_json::{Value, json};

/// A mask domain.
pub const DOMAIN: [u8; 16] = *b"a mask's domain!";
const PASSPHRASE: &str = "five quiet otters swim north";

/// Rows of COPY text that compress well.
fn rows(numbers: impl Iterator<Item = u32>) -> Vec<u8> {
    numbers
        .flat_map(|number| {
            format!("{number}\t2026-11-30\tactive\tthe same words stand in every row of it\t{}\n", number % 7)
                .into_bytes()
        })
        .collect()
}

/// Rows that differ more, so that a stream of them is cut.
fn different_rows(numbers: impl Iterator<Item = u32>) -> Vec<u8> {
    let row =
        |number: u32| format!("{number}\t{:08x}\tshipped to a customer\n", number.wrapping_mul(0x9e37_79b1));
    numbers.flat_map(|number| row(number).into_bytes()).collect()
}

/// Bytes that do not compress.
fn noise(seed: &str, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new_derive_key(seed).finalize_xof().fill(&mut bytes);
    bytes
}

/// An entry of one stream.
fn stream(
    writer: &BackupWriter<'_>,
    path: &str,
    class: Class,
    cut: Cut,
    bytes: &[u8],
) -> Result<(), RepoError> {
    let mut entry = writer.entry(path, class);
    let mut stream = entry.stream(cut);
    stream.write(bytes)?;
    entry.add(stream.finish()?);
    entry.finish(facts(path))
}

fn facts(path: &str) -> Vec<u8> {
    match path.starts_with("/small/") {
        true => b"{}".to_vec(),
        false => json!({ "kind": "table", "path": path }).to_string().into_bytes(),
    }
}

/// The entry that has the rows, which of them stay, and all of them.
type Earlier<'e> = (&'e Entry, &'e dyn Fn(usize) -> bool, &'e [u8]);

/// An entry of rows under a map. Of the rows that the earlier backup has, those that `stays` are
/// kept; `new` ones come behind.
fn map(
    writer: &BackupWriter<'_>,
    path: &str,
    domain: &[u8],
    earlier: Option<Earlier<'_>>,
    new: &[u8],
) -> Result<(), RepoError> {
    let mut map =
        writer.map(Rows, MapTarget { identity: *b"columns settings", domain: domain.to_vec(), from: 0 });
    let mut known = None;
    let mut kept: Vec<(EarlierUnit, Vec<bool>)> = Vec::new();
    if let Some((entry, stays, old)) = earlier {
        let Some(Part::Map(of)) = entry.parts.first() else { panic!("no map") };
        let before: EarlierMap = writer.earlier_map(of)?;
        let mut old = old.split_inclusive(|byte| *byte == b'\n').enumerate();
        for unit in before.units() {
            let mut listed = Vec::new();
            before.listed(&unit, &mut listed);
            let mut flags = Vec::new();
            for _ in &listed {
                let (number, row) = old.next().expect("a row");
                flags.push(stays(number));
                if stays(number) {
                    let hash = map.hasher().hash(row);
                    map.keep(hash, row.len());
                }
            }
            kept.push((unit, flags));
        }
        known = Some(before);
    }
    for row in new.split_inclusive(|byte| *byte == b'\n') {
        match row.len() > 1 << 20 {
            true => map.add_piece(row, true)?,
            false => {
                let hash = map.hasher().hash(row);
                map.add(row, hash)?;
            }
        }
    }
    let used: Vec<UsedItems<'_>> = known.iter().map(|known| (known, kept.clone())).collect();
    let changed = map.items_new();
    let part = map.finish(&used, changed)?;
    let mut entry = writer.entry(path, Class::Data);
    entry.add(part);
    entry.finish_with(facts(path), json!({ "rows_new": changed }).to_string().into_bytes())
}

/// Two files under one map, of which the second one is not a multiple of its pages, and has holes.
fn small_files(changed: bool) -> Vec<(&'static [u8], Vec<u8>)> {
    let mut second = vec![0; 3 * 8192 + 100];
    second[2 * 8192..].copy_from_slice(&noise("second", 8192 + 100));
    if changed {
        second[2 * 8192] ^= 1;
    }
    vec![(b"1259", noise("first", 4 * 8192)), (b"2619_fsm", second)]
}

/// A file with a map of its own.
fn large_file(changed: bool) -> Vec<(&'static [u8], Vec<u8>)> {
    let mut file: Vec<u8> =
        (0..130 * 8192u32).map(|byte| (byte / 8192 * 7 + byte % 8192 / 100) as u8).collect();
    if changed {
        for page in [3, 70, 129] {
            file[page * 8192 + 5] ^= 0x40;
        }
    }
    vec![(b"16384", file)]
}

/// Files under a map of pages: of pages that the earlier map has, nothing is stored.
fn pages(
    writer: &BackupWriter<'_>,
    files: &[(&'static [u8], Vec<u8>)],
    earlier: Option<&Part>,
) -> Result<PartSummary, RepoError> {
    let earlier = earlier.map(|part| match part {
        Part::Map(map) => &**map,
        _ => panic!("no map"),
    });
    let of = PagesOf { page_size: 8192, from: 0, is_bundle: files.len() > 1 };
    let mut pages = writer.pages(of, earlier.as_slice())?;
    for (name, bytes) in files {
        pages.begin_file(name)?;
        pages.write(bytes)?;
    }
    Ok(pages.finish()?.0)
}

fn backup(
    repository: &Repository,
    cluster: &str,
    work: impl FnOnce(&BackupWriter<'_>) -> Result<(), RepoError>,
) -> BackupHead {
    let options = WriteOptions { compression_level: 3, ..WriteOptions::of(cluster, "test") };
    let made = repository.write_backup(&options, |writer| {
        work(writer)?;
        let about = json!({ "databases": ["shop"], "warnings": [] }).to_string().into_bytes();
        Ok::<_, RepoError>((NewBackup { kind: "logical".into(), complete: true, about, time: None }, ()))
    });
    made.unwrap().0
}

const ORDERS: &str = "/db/shop/data/public.orders";

/// A backup with every shape of content, and so many small entries; `earlier`: the one before.
fn whole(repository: &Repository, earlier: Option<&BackupHead>, small: u32) -> BackupHead {
    let before = earlier.map(|head| repository.open_head(head).unwrap());
    let orders = before.as_ref().map(|backup| backup.entry(ORDERS).unwrap().unwrap());
    let folder = before.as_ref().map(|backup| backup.entry("/pgdata/base/5").unwrap().unwrap());
    let old = rows(0..2500);
    backup(repository, "shop", |writer| {
        match &orders {
            None => map(writer, ORDERS, &[], None, &old)?,
            Some(entry) => {
                let stays = |number: usize| !number.is_multiple_of(500) && number < 2400;
                map(writer, ORDERS, &[], Some((entry, &stays, &old)), &rows(5000..5100))?;
            }
        }
        map(writer, "/db/shop/data/public.masked", &DOMAIN, None, &rows(0..40))?;
        let mut entry = writer.entry("/pgdata/base/5", Class::Data);
        for (number, files) in
            [small_files(earlier.is_some()), large_file(earlier.is_some())].iter().enumerate()
        {
            let earlier = folder.as_ref().and_then(|folder| folder.parts.get(number));
            entry.add(pages(writer, files, earlier)?);
        }
        entry.finish(facts("/pgdata/base/5"))?;
        // One row in several chunks.
        let long = [vec![b'x'; 8 << 20], b"yz\n".to_vec()].concat();
        map(writer, "/db/shop/data/public.long", &[], None, &long)?;
        // A stream of several chunks, cut behind rows, with what changes in the middle.
        let middle = if earlier.is_some() { rows(0..1) } else { Vec::new() };
        let several = [different_rows(0..1800), middle, different_rows(1800..3600)].concat();
        stream(writer, "/db/shop/data/public.plain", Class::Data, Cut::Rows, &several)?;
        let mut entry = writer.entry("/db/shop/data/public.salted", Class::Data);
        let mut salted = writer.salted_stream();
        salted.write(&rows(0..5000))?;
        entry.add(salted.finish()?);
        entry.finish(facts("/db/shop/data/public.salted"))?;
        stream(writer, "/db/shop/data/public.empty", Class::Data, Cut::Rows, b"")?;
        stream(writer, "/db/shop/largeobjects", Class::Data, Cut::Content, &noise("objects", 300))?;
        stream(writer, "/globals.sql", Class::Data, Cut::Content, b"CREATE ROLE a;\nCREATE ROLE b;\n")?;
        let mut entry = writer.entry("/db/shop/toc.dat", Class::Data);
        let mut records = entry.stream(Cut::Records);
        for number in 0..120u32 {
            records.write(&format!("object {number} ").repeat(40).into_bytes())?;
            records.end_record(&number.to_be_bytes())?;
        }
        entry.add(records.finish()?);
        entry.finish(facts("/db/shop/toc.dat"))?;
        stream(writer, "/manifest.json", Class::Metadata, Cut::Content, b"{\"version\":2}")?;
        // So many parts that they stand apart, and so many entries that their list is a tree.
        let mut entry = writer.entry("/parts", Class::Data);
        for number in 0..400u32 {
            entry.write(format!("part {}\n", number % 3).as_bytes())?;
        }
        entry.finish(facts("/parts"))?;
        (0..small).try_for_each(|number| {
            let path = format!("/small/{number:03}");
            stream(writer, &path, Class::Data, Cut::Content, b"the same in each\n")
        })
    })
}

/// Writes a repository with everything in it; returns what opens it.
pub fn write(target: &Path, encrypted: bool) -> Value {
    // The list of so many is a tree.
    let small = if encrypted { 90 } else { 5 };
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("repository");
    let identity = age::x25519::Identity::generate();
    let protection = match encrypted {
        true => Protection::Recipients(vec![identity.to_public().to_string()]),
        false => Protection::None,
    };
    let storage = || Storage::uncancelled(DirStore::open(&folder).unwrap());
    let shared = [vec!["north".to_string(), "south".to_string()]];
    let store = Storage::uncancelled(DirStore::create(&folder).unwrap());
    let made = init(&store, protection, &shared, &LocalFolders::default()).unwrap();
    let text = |secret: &SecretString| secret.expose_secret().to_string();
    let unlock = || match encrypted {
        true => Unlock::Identity(text(&identity.to_string()).into()),
        false => Unlock::Nothing,
    };
    let open = |storage, unlock| Repository::open(storage, unlock, LocalFolders::default()).unwrap();
    let as_writer = |key: &Option<SecretString>| match key {
        Some(key) => Unlock::WriterKey(text(key).into()),
        None => Unlock::Nothing,
    };
    // By the writer that `init` made: revoked later, what it wrote stays good.
    let first = open(storage(), as_writer(&made.writer_key));
    let one = whole(&first, None, small);
    let before = storage().list("packs/").unwrap();
    let forgotten = backup(&first, "shop", |writer| {
        stream(writer, "/gone", Class::Data, Cut::Content, &noise("forgotten", 500))
    });
    let is_new = |name: &String| !before.iter().any(|meta| meta.name == *name);
    let packs: Vec<String> =
        storage().list("packs/").unwrap().into_iter().map(|meta| meta.name).filter(is_new).collect();
    let is_data = |name: &&String| std::fs::read(folder.join(name)).unwrap()[5] == 1;
    let dead = packs.iter().find(is_data).unwrap();
    let mut owner = open(storage(), unlock());
    let mut writer_key = None;
    if encrypted {
        owner.add_slots(&Protection::Passphrase(PASSPHRASE.to_string().into())).unwrap();
        owner.rotate_keys(Some(PASSPHRASE.to_string().into()), false).unwrap();
        owner = open(storage(), unlock());
        writer_key = Some(owner.add_writer("db7", Some(&["shop".into()]), &Right::ALL).unwrap());
        owner.add_writer("other", Some(&["south".into()]), &[Right::Backup]).unwrap();
    }
    owner.forget(forgotten.id).unwrap();
    // A check finds a rotten place, which is mended behind its back: its record stays.
    let path = folder.join(dead);
    let good = std::fs::read(&path).unwrap();
    let mut rotten = good.clone();
    rotten[100] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &rotten).unwrap();
    owner.check(&CheckOptions::all(CheckLevel::Data), &|_| {}).unwrap();
    std::fs::write(&path, &good).unwrap();
    owner.put_mark(dead, false).unwrap();
    owner.put_mark(dead, true).unwrap();
    // A key that may not delete leaves session and draft behind.
    let keeping = Faulty::new(DirStore::open(&folder).unwrap(), Operation::Delete, Fault::GoneFrom(0));
    let keeping: std::sync::Arc<dyn Store> = std::sync::Arc::new(keeping);
    let second = open(Storage::new(keeping, Cancel::new()), as_writer(&writer_key));
    let two = whole(&second, Some(&one), small);
    owner.change_tags(two.id, |tags| tags.extend(["nightly".to_string(), "pinned".to_string()])).unwrap();
    backup(&owner, "south", |writer| {
        stream(writer, "/db/south/data/public.t", Class::Data, Cut::Rows, &rows(0..3))
    });
    if target.exists() {
        std::fs::remove_dir_all(target).unwrap();
    }
    for (name, bytes) in crate::files(&folder).into_iter().filter(|(name, _)| !name.starts_with(".tmp")) {
        let path = target.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    match encrypted {
        true => json!({
            "identity": text(&identity.to_string()),
            "passphrase": PASSPHRASE,
            "writer key": writer_key.as_ref().map(text),
            "first writer key": made.writer_key.as_ref().map(text),
        }),
        false => json!({}),
    }
}
