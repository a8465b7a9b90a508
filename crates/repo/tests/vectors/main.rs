//! The repositories in `crates/repo/vectors/`, and what `expected.json` says that every object in
//! them opens to. A second reader, written from FORMAT.md alone (`reader`), opens them, and so does
//! the crate; both must find the same, and no byte may change without being noticed.
//!
//! `PGARK_WRITE_VECTORS=1 cargo test -p pgark-repo --test vectors` writes the whole set anew: keys
//! and seals are random.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cbor;
mod content;
mod generate;
mod pages;
mod reader;
mod sealing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use content::Content;
use pgark_repo::*;
use reader::{Reader, Secret, files};
use serde_json::{Value, json};

/// What went wrong is a sentence.
type Answer<T> = Result<T, String>;

/// Clusters that have backups there.
const CLUSTERS: [&str; 3] = ["shop", "north", "south"];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Answer<Vec<u8>> {
    let pairs = (0..digits.len() / 2).map(|at| digits.get(2 * at..2 * at + 2));
    let bytes = pairs.map(|pair| u8::from_str_radix(pair.unwrap_or("x"), 16).map_err(|_| "no hex digits"));
    Ok(bytes.collect::<Result<_, _>>()?)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn is_written_now() -> bool {
    std::env::var_os("PGARK_WRITE_VECTORS").is_some()
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(folder().join("expected.json")).unwrap()).unwrap()
}

/// What a repository's files open to, by the second reader.
fn describe(folder: &Path, secrets: &Value) -> Answer<Value> {
    let secret = secrets["identity"].as_str().map_or(Secret::None, Secret::Identity);
    let reader = Reader::open(files(folder), &secret)?;
    let mut objects = BTreeMap::new();
    for (name, bytes) in &reader.objects {
        let mut said = json!({ "size": bytes.len(), "BLAKE3": blake3::hash(bytes).to_hex().to_string() });
        if name.contains('/') && !name.starts_with("keys") {
            let opened = reader.describe(name, bytes).map_err(|error| format!("{name}: {error}"))?;
            said.as_object_mut().unwrap().extend(opened.as_object().unwrap().clone());
        }
        objects.insert(name.clone(), said);
    }
    let (mut clusters, mut compartments) = (BTreeMap::new(), BTreeMap::new());
    for name in CLUSTERS {
        let hash = reader.cluster_hash(name)?;
        let compartment = reader.compartment_of(&hash);
        clusters.insert(name, json!({ "hash": hash, "compartment": compartment }));
        compartments.insert(compartment.clone(), derived(&reader, &compartment)?);
    }
    let mut backups = BTreeMap::new();
    for (name, manifest) in objects.iter().filter(|(name, _)| name.starts_with("manifests/")) {
        let cluster = name.split('/').nth(1).unwrap_or_default();
        let content = Content::of(&reader, &reader.compartment_of(cluster))?;
        backups.insert(
            name.clone(),
            content.backup(manifest, true).map_err(|error| format!("{name}: {error}"))?,
        );
    }
    let common = reader.epoch_numbers().into_iter();
    let common = common.map(|epoch| Ok((epoch.to_string(), json!(hex(&reader.metadata_key(None, epoch)?)))));
    const KEYRING: [&str; 8] =
        ["version", "hash of pgark.json", "seed", "owner", "roots", "clusters", "epochs", "extensions"];
    Ok(json!({
        "secrets": secrets,
        "hash of pgark.json": hex(&reader.header_hash),
        "fingerprint": reader.fingerprint(),
        "keyring": reader.keyring.as_ref().map(|keyring| keyring.to_named(&KEYRING)).transpose()?,
        "common keys": common.collect::<Answer<BTreeMap<_, _>>>()?,
        "clusters": clusters,
        "compartments": compartments,
        "objects": objects,
        "backups": backups,
    }))
}

/// What is derived for a compartment.
fn derived(reader: &Reader, compartment: &str) -> Answer<Value> {
    let mut metadata_keys = BTreeMap::new();
    for epoch in reader.epoch_numbers() {
        metadata_keys.insert(epoch.to_string(), hex(&reader.metadata_key(Some(compartment), epoch)?));
    }
    let id_key =
        |kind, domain: &[u8]| Ok::<_, String>(hex(&reader.chunk_id_key(compartment, kind, domain)?));
    Ok(json!({
        "id key": hex(&reader.id_key(compartment)?),
        "chunker key": hex(&reader.chunker_key(compartment)?),
        "metadata keys": metadata_keys,
        "chunk id keys": (1..=5).map(|kind| id_key(kind, &[])).collect::<Answer<Vec<_>>>()?,
        "mask domain": hex(&generate::DOMAIN),
        "chunk id key of masked data": id_key(1, &generate::DOMAIN)?,
        "item key": hex(&reader.item_key(compartment, &[])?),
        "item key of masked data": hex(&reader.item_key(compartment, &generate::DOMAIN)?),
        "page hash key": hex(&reader.page_hash_key(compartment, &[])?),
        "chunker seed": reader.chunker_seed(compartment)?,
        "gear table begins": &reader.gear_table(compartment)?[..4],
    }))
}

/// The first place where two values differ.
fn difference(at: &str, expected: &Value, found: &Value) -> Option<String> {
    let keys = |value: &Value| value.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>());
    match (keys(expected), keys(found)) {
        (Some(a), Some(b)) if a == b => {
            a.iter().find_map(|key| difference(&format!("{at} / {key}"), &expected[key], &found[key]))
        }
        _ if expected == found => None,
        _ => Some(format!("{at}: {expected} is expected, {found} is there")),
    }
}

/// JSON with a line for each thing that is looked at by itself.
fn spread(value: &Value, depth: usize, text: &mut String) {
    let compact = value.to_string();
    let is_spread = compact.len() > 100 && (depth < 4 || (depth < 7 && value.is_array()));
    let indent = |depth: usize| format!("\n{}", "  ".repeat(depth));
    let mut items: Vec<(Option<&String>, &Value)> = Vec::new();
    match value {
        Value::Object(object) if is_spread => {
            items.extend(object.iter().map(|(key, value)| (Some(key), value)))
        }
        Value::Array(array) if is_spread => items.extend(array.iter().map(|value| (None, value))),
        _ => return text.push_str(&compact),
    }
    text.push(if value.is_array() { '[' } else { '{' });
    for (number, (key, value)) in items.into_iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        text.push_str(&indent(depth + 1));
        if let Some(key) = key {
            text.push_str(&format!("{}: ", json!(key)));
        }
        spread(value, depth + 1, text);
    }
    text.push_str(&indent(depth));
    text.push(if value.is_array() { ']' } else { '}' });
}

#[test]
fn vectors_open_to_what_is_expected() {
    let names = ["encrypted", "plain"];
    if is_written_now() {
        let mut all = BTreeMap::new();
        for name in names {
            let folder = folder().join(name);
            let secrets = generate::write(&folder, name == "encrypted");
            all.insert(name, describe(&folder, &secrets).unwrap());
        }
        let mut text = String::new();
        spread(&json!(all), 0, &mut text);
        text.push('\n');
        std::fs::write(folder().join("expected.json"), text).unwrap();
    }
    let expected = expected();
    for name in names {
        let found = describe(&folder().join(name), &expected[name]["secrets"]).unwrap();
        assert_eq!(difference(name, &expected[name], &found), None);
    }
}

/// Every object is tried with some of its bits flipped: whoever opens it notices.
#[test]
fn no_bit_of_the_vectors_is_idle() {
    if is_written_now() {
        return;
    }
    let expected = expected();
    for name in ["encrypted", "plain"] {
        let identity = expected[name]["secrets"]["identity"].as_str();
        let reader =
            Reader::open(files(&folder().join(name)), &identity.map_or(Secret::None, Secret::Identity))
                .unwrap();
        if let Some(identity) = identity {
            let mut objects = reader.objects.clone();
            objects.iter_mut().filter(|(name, _)| name.starts_with("pgark.json")).for_each(|(_, bytes)| {
                let text = String::from_utf8(bytes.clone()).unwrap();
                *bytes = text.replace("\"optional\": []", "\"optional\": [ ]").into_bytes();
            });
            assert!(Reader::open(objects, &Secret::Identity(identity)).is_err(), "another header");
        }
        for (object, bytes) in reader.objects.iter().filter(|(object, _)| object.contains('/')) {
            for at in (0..bytes.len()).step_by((bytes.len() / 7).max(1)) {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at % 8);
                let is_noticed = match object.starts_with("keys") {
                    true => !object.contains(&blake3::hash(&changed).to_hex()[..16]),
                    false => reader.describe(object, &changed).is_err(),
                };
                assert!(is_noticed, "{name}/{object}: byte {at}");
            }
        }
    }
}

/// Nothing that the format knows is missing.
#[test]
fn everything_is_in_the_vectors() {
    if is_written_now() {
        return;
    }
    let expected = &expected()["encrypted"];
    let of = |value: &Value| value.as_object().unwrap().values().cloned().collect::<Vec<_>>();
    let objects = of(&expected["objects"]);
    let kinds: BTreeSet<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    assert_eq!(kinds.len(), 12, "{kinds:?}");
    let chunks = objects.iter().flat_map(|object| object["body"]["chunks"].as_array());
    let chunks: Vec<&Value> = chunks.flatten().filter(|chunk| chunk[9].is_string()).collect();
    let kinds: BTreeSet<u64> = chunks.iter().filter_map(|chunk| chunk[1].as_u64()).collect();
    assert_eq!(kinds, (1..=5).collect(), "kinds of chunks");
    let compressed: BTreeSet<bool> = chunks.iter().filter_map(|chunk| chunk[7].as_bool()).collect();
    assert_eq!(compressed.len(), 2, "chunks that are compressed, and others");
    assert!(chunks.iter().any(|chunk| chunk[9] != json!("h''")), "a mask domain");
    assert!(objects.iter().any(|object| object["body"]["entries"][1] == json!(1)), "a list that is a tree");
    let backups = of(&expected["backups"]);
    let entries: Vec<&Value> =
        backups.iter().flat_map(|backup| backup["entries"].as_array().unwrap()).collect();
    assert!(entries.iter().any(|entry| entry["parts stand in"].is_array()), "parts that stand apart");
    let parts = entries.iter().flat_map(|entry| entry["different parts"].as_array().unwrap());
    let keeps = |part: &Value| part["map"][2][3].as_u64().is_some_and(|bytes| bytes > 0);
    assert!(parts.clone().any(keeps), "a unit of which rows are left out");
    let of_pages: Vec<&Value> = parts.clone().filter(|part| part["files"].is_object()).collect();
    assert!(of_pages.iter().any(|part| part["files"].as_object().unwrap().len() > 1), "a bundle of files");
    assert!(of_pages.into_iter().any(keeps), "a unit of which pages are left out");
    assert!(parts.clone().any(|part| part["stream"].as_array().is_some_and(|chunks| chunks.len() > 1)));
    assert!(parts.clone().any(|part| part["salted"].as_array().is_some_and(|chunks| chunks.len() > 1)));
    let owners = objects.iter().filter_map(|object| object["body"]["owners"].as_array());
    assert_eq!(owners.map(Vec::len).max(), Some(2), "a rotation");
}

/// The name says what an object is: nothing opens under the name of another.
#[test]
fn no_object_of_the_vectors_opens_under_another_name() {
    if is_written_now() {
        return;
    }
    let secrets = &expected()["encrypted"]["secrets"];
    let secret = Secret::Identity(secrets["identity"].as_str().unwrap());
    let reader = Reader::open(files(&folder().join("encrypted")), &secret).unwrap();
    let is_sealed = |name: &&String| name.contains('/') && !name.starts_with("keys");
    let own = |name: &str| name.strip_prefix("copies/").unwrap_or(name).to_string();
    for name in reader.objects.keys().filter(is_sealed) {
        for other in reader.objects.keys().filter(is_sealed).filter(|other| own(other) != own(name)) {
            let opened = reader.describe(other, &reader.objects[name]);
            assert!(opened.is_err(), "{name} opens as {other}");
        }
    }
}

/// A repository as it stands in the vectors, in a folder that may be written to.
fn copied(name: &str) -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    for (object, bytes) in files(&folder().join(name)) {
        let path = target.path().join(object);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    target
}

fn open(at: &Path, unlock: Unlock) -> Repository {
    let store = pgark_store::DirStore::open(at).unwrap();
    Repository::open(Storage::uncancelled(store), unlock, LocalFolders::default()).unwrap()
}

/// The crate finds what the second reader found.
fn compare(repository: &Repository, expected: &Value, with_content: bool) {
    assert_eq!(repository.fingerprint(), expected["fingerprint"].as_str().unwrap());
    let backups = repository.backups().unwrap();
    for head in &backups {
        let hash = &expected["clusters"][head.cluster.as_str()]["hash"];
        let name = format!("manifests/{}/{:016}-{}", hash.as_str().unwrap(), head.sequence, head.id);
        let body = &expected["objects"][&name]["body"];
        let time = json!(head.time.as_microsecond());
        let said =
            json!([head.id.to_string(), time, head.kind, head.complete, head.entries, head.bytes_added]);
        let id = body["backup"].as_str().unwrap().replace("h'", "").replace('\'', "");
        let told = json!([
            id,
            body["time"],
            body["kind"],
            body["complete"],
            body["number of entries"],
            body["bytes added"]
        ]);
        assert_eq!(said, told, "{name}");
        let backup = repository.open_head(head).unwrap();
        let expected = expected["backups"][&name]["entries"].as_array().unwrap();
        let entries: Vec<Entry> = backup.entries().collect::<Result<_, _>>().unwrap();
        assert_eq!(entries.len(), expected.len());
        for (entry, expected) in entries.iter().zip(expected) {
            let facts = format!("h'{}'", hex(&entry.about));
            let said = json!([entry.path, entry.bytes_raw, facts, entry.parts.len()]);
            let told = ["path", "bytes", "facts", "number of parts"].map(|member| &expected[member]);
            assert_eq!(said, json!(told), "{name}");
            if with_content {
                let reader = repository.reader(head).unwrap();
                let bytes = reader.read_whole(entry, 64 << 20).unwrap();
                assert_eq!(blake3::hash(&bytes).to_hex().as_str(), expected["BLAKE3"], "{}", entry.path);
            }
        }
    }
    // A writer of some clusters sees the backups of these.
    let all = expected["backups"].as_object().unwrap().len();
    assert!(backups.len() == all || (!with_content && !backups.is_empty()), "{backups:#?}");
}

#[test]
fn the_crate_opens_the_vectors_with_every_secret() {
    if is_written_now() {
        return;
    }
    let expected = expected();
    let (encrypted, plain) = (copied("encrypted"), copied("plain"));
    let secret =
        |name: &str| SecretString::from(expected["encrypted"]["secrets"][name].as_str().unwrap().to_string());
    let owner = open(encrypted.path(), Unlock::Identity(secret("identity")));
    compare(&owner, &expected["encrypted"], true);
    compare(&open(encrypted.path(), Unlock::Passphrase(secret("passphrase"))), &expected["encrypted"], true);
    compare(&open(encrypted.path(), Unlock::WriterKey(secret("writer key"))), &expected["encrypted"], false);
    let unencrypted = open(plain.path(), Unlock::Nothing);
    compare(&unencrypted, &expected["plain"], true);
    for repository in [&owner, &unencrypted] {
        let report = repository.check(&CheckOptions::all(CheckLevel::Data), &|_| {}).unwrap();
        assert_eq!(report.problems, [], "{report:#?}");
        let tagged = repository.backups().unwrap().into_iter().filter(|head| {
            repository.tags().unwrap().get(&head.id).is_some_and(|tags| tags.contains("pinned"))
        });
        assert_eq!(tagged.count(), 1);
    }
    assert_eq!(owner.key_list().unwrap().epoch, 2);
}

/// The passphrase opens what the identity opens; a writer key of one cluster opens this cluster's
/// metadata, and no data.
#[test]
fn the_second_reader_opens_what_each_secret_opens() {
    if is_written_now() {
        return;
    }
    let expected = &expected()["encrypted"];
    let objects = || files(&folder().join("encrypted"));
    let secret = |name: &str| expected["secrets"][name].as_str().unwrap().to_string();
    let by_passphrase = Reader::open(objects(), &Secret::Passphrase(&secret("passphrase"))).unwrap();
    let by_identity = Reader::open(objects(), &Secret::Identity(&secret("identity"))).unwrap();
    assert_eq!(by_passphrase.keyring, by_identity.keyring);
    let key = secret("writer key");
    let secret = Secret::WriterKey(&key);
    let reader = Reader::open(files(&folder().join("encrypted")), &secret).unwrap();
    let own = expected["clusters"]["shop"]["hash"].as_str().unwrap();
    let mut seen = 0;
    for (name, bytes) in reader.objects.iter().filter(|(name, _)| name.contains('/')) {
        if name.starts_with("keys") {
            continue;
        }
        let opened = reader.describe(name, bytes);
        let is_own = name.contains(own) || name.contains("writers/");
        assert_eq!(opened.is_ok(), is_own, "{name}: {opened:?}");
        if name.starts_with("manifests/") && is_own {
            let content = Content::of(&reader, &reader.compartment_of(own)).unwrap();
            let entries = content.backup(&opened.unwrap(), false).unwrap();
            let count = |backup: &Value| backup["entries"].as_array().unwrap().len();
            assert_eq!(count(&entries), count(&expected["backups"][name]));
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
}
