//! A second reader, written from FORMAT.md alone: it uses nothing of the crate.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::cbor::{self, Value};
use crate::sealing::{derive, hpke_open, open, verify};
use crate::{Answer, hex, unhex};

type Key = [u8; 32];

/// Kinds of objects by their number, with the names of the fields of their bodies.
const KINDS: [(&str, &[&str]); 12] = [
    ("data pack", &["keys", "chunks", "extensions"]),
    ("metadata pack", &["keys", "chunks", "extensions"]),
    ("index", &["packs", "superseded", "blocks", "filter", "extensions"]),
    ("session", &["backup", "number", "time", "extensions"]),
    ("draft", &["backup", "time", "packs", "extensions"]),
    (
        "manifest",
        &[
            "backup",
            "time",
            "cluster",
            "kind",
            "complete",
            "sequence",
            "previous",
            "entries",
            "number of entries",
            "additions",
            "bytes added",
            "list of writers",
            "facts",
            "extensions",
        ],
    ),
    ("marks", &["packs", "extensions"]),
    ("intents", &["packs", "extensions"]),
    ("tombstone", &["backup", "time", "manifest", "extensions"]),
    ("quarantine", &["pack", "chunks", "time", "extensions"]),
    ("tags", &["backup", "time", "tags", "extensions"]),
    ("writers", &["number", "time", "previous", "owners", "writers", "slots", "features", "extensions"]),
];

fn kind_of(name: &str) -> Answer<u8> {
    let path = name.strip_prefix("copies/").unwrap_or(name);
    let folder = path.split('/').next().unwrap_or_default();
    Ok(match folder {
        "index" => 3,
        "sessions" => 4,
        "drafts" => 5,
        "manifests" => 6,
        "trash" if path.ends_with(".marks") => 7,
        "trash" if path.ends_with(".intents") => 8,
        "forgotten" => 9,
        "quarantine" => 10,
        "tags" => 11,
        "writers" => 12,
        _ => return Err(format!("{name} is no sealed object")),
    })
}

pub fn need(condition: bool, what: &str) -> Answer<()> {
    if condition { Ok(()) } else { Err(what.to_string()) }
}

pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// An epoch's keys.
struct Epoch {
    number: u32,
    common: Key,
    metadata: Option<Key>,
    private: Option<Key>,
}

/// A cluster of a writer key, or what its keys are derived from.
enum Keys {
    /// Of an owner, or of a writer of every cluster: roots of ids and of cuts.
    Roots(Key, Key),
    /// By compartment: id key, chunker key, and a metadata key for each epoch.
    Own(BTreeMap<String, (Key, Key, Vec<Key>)>),
}

/// What opens a repository.
pub enum Secret<'s> {
    Identity(&'s str),
    Passphrase(&'s str),
    WriterKey(&'s str),
    None,
}

pub struct Reader {
    pub objects: BTreeMap<String, Vec<u8>>,
    repository: [u8; 16],
    pub header_hash: Key,
    encrypted: bool,
    shared: Vec<Vec<String>>,
    first_owner: Vec<u8>,
    pub keyring: Option<Value>,
    epochs: Vec<Epoch>,
    keys: Keys,
}

/// Every file below a folder, by its path there.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
    found
}

impl Reader {
    pub fn open(objects: BTreeMap<String, Vec<u8>>, secret: &Secret<'_>) -> Answer<Reader> {
        let header = objects.get("pgark.json").ok_or("no header")?;
        need(objects.get("pgark.json.copy") == Some(header), "the header's copy differs")?;
        let header_hash = derive("pgark 2026 header v0", &[header]);
        let header: Json = serde_json::from_slice(header).map_err(|error| error.to_string())?;
        let needed = |list: &str| header[list] == json!(["edition 3"]);
        need(
            header["format"] == json!(0) && needed("needed_to_read") && needed("needed_to_write"),
            "format",
        )?;
        let text = |name: &str| header[name].as_str().unwrap_or_default();
        let group = |group: &Json| group.as_array().into_iter().flatten().map(text_of).collect();
        let repository: [u8; 16] = unhex(text("repository"))?.try_into().map_err(|_| "the id")?;
        let plain = |what| derive(&format!("pgark 2026 plain {what} v0"), &[&repository]);
        let mut reader = Reader {
            repository,
            header_hash,
            encrypted: header["encrypted"] == json!(true),
            shared: header["shared"].as_array().into_iter().flatten().map(group).collect(),
            first_owner: unhex(text("owner_public_key"))?,
            keyring: None,
            epochs: Vec::new(),
            keys: Keys::Roots(plain("id key"), plain("chunker key")),
            objects,
        };
        let keyring = match secret {
            Secret::None => None,
            Secret::WriterKey(text) => {
                let bytes = unhex(text.trim().strip_prefix("PGARK-WRITER-KEY-1-").ok_or("no writer key")?)?;
                let (keyring, sum) =
                    bytes.split_at_checked(bytes.len().wrapping_sub(8)).ok_or("too short")?;
                need(blake3::hash(keyring).as_bytes()[..8] == *sum, "the sum of a writer key")?;
                Some(keyring.to_vec())
            }
            secret => Some(reader.open_slots(secret)?),
        };
        need(keyring.is_some() == reader.encrypted, "a secret is given for nothing, or is missing")?;
        if let Some(keyring) = keyring {
            reader.take_keyring(cbor::one(&keyring)?, text("data_public_key"))?;
        }
        Ok(reader)
    }

    /// The keyring of a slot that the secret opens: the one with the most epochs.
    fn open_slots(&self, secret: &Secret<'_>) -> Answer<Vec<u8>> {
        let identity: Box<dyn age::Identity> = match secret {
            Secret::Identity(text) => Box::new(text.trim().parse::<age::x25519::Identity>()?),
            Secret::Passphrase(text) => Box::new(age::scrypt::Identity::new(text.to_string().into())),
            _ => return Err("that opens no slot".into()),
        };
        let mut found: Vec<(usize, Vec<u8>)> = Vec::new();
        for (name, sealed) in self.objects.iter().filter(|(name, _)| name.starts_with("keys/")) {
            let named = format!("keys/1-{}.age", &hash(sealed)[..16]);
            need(*name == named, "a slot's name is not of its bytes")?;
            let copy = name.replace("keys/", "keys-copy/");
            need(self.objects.get(&copy) == Some(sealed), "a slot's copy differs")?;
            let decryptor = age::Decryptor::new(sealed.as_slice()).map_err(|error| error.to_string())?;
            let Ok(mut opened) = decryptor.decrypt(std::iter::once(identity.as_ref())) else { continue };
            let mut keyring = Vec::new();
            opened.read_to_end(&mut keyring).map_err(|error| error.to_string())?;
            found.push((cbor::one(&keyring)?.fields::<8>()?[6].list()?.len(), keyring));
        }
        found.into_iter().max().map(|(_, keyring)| keyring).ok_or_else(|| "no slot opens".to_string())
    }

    fn take_keyring(&mut self, keyring: Value, header_public: &str) -> Answer<()> {
        let [version, bound_to, _seed, _owner, roots, clusters, epochs, _more] = keyring.fields()?;
        need(version.number::<u32>()? == 1, "the keyring's version")?;
        need(bound_to.array::<32>()? == self.header_hash, "the keyring is of another header")?;
        let mut publics = Vec::new();
        for epoch in epochs.list()? {
            let [number, suite, common, metadata, public, private, _more] = epoch.fields()?;
            need(suite.number::<u32>()? == 1, "the keyring's suite")?;
            publics.push(hex(public.bytes()?));
            self.epochs.push(Epoch {
                number: number.number()?,
                common: common.array()?,
                metadata: metadata.given().map(Value::array).transpose()?,
                private: private.given().map(Value::array).transpose()?,
            });
        }
        need(publics.iter().any(|public| public == header_public), "the keyring has not the header's key")?;
        self.keys = match roots.given() {
            Some(roots) => {
                let [ids, cuts] = roots.fields()?;
                Keys::Roots(ids.array()?, cuts.array()?)
            }
            None => {
                let mut own = BTreeMap::new();
                for cluster in clusters.list()? {
                    let [_name, _hash, compartment, id_key, chunker_key, metadata] = cluster.fields()?;
                    let metadata = metadata.list()?.iter().map(Value::array).collect::<Answer<_>>()?;
                    let keys = (id_key.array()?, chunker_key.array()?, metadata);
                    own.insert(hex(compartment.bytes()?), keys);
                }
                Keys::Own(own)
            }
        };
        self.keyring = Some(keyring);
        Ok(())
    }

    /// The first half of the header's hash in groups of four digits.
    pub fn fingerprint(&self) -> String {
        let groups = self.header_hash[..16].chunks(2).map(hex);
        groups.collect::<Vec<_>>().join("-")
    }

    pub fn cluster_hash(&self, name: &str) -> Answer<String> {
        let Keys::Roots(ids, _) = &self.keys else { return Err("no roots".into()) };
        let key: Key = derive("pgark 2026 cluster name v0", &[ids]);
        Ok(hex(&blake3::keyed_hash(&key, name.as_bytes()).as_bytes()[..16]))
    }

    pub fn compartment_of(&self, cluster: &str) -> String {
        let group = self.shared.iter().find(|group| group.iter().any(|own| own == cluster));
        group.map_or(cluster, |group| &group[0]).to_string()
    }

    fn opens(&self, compartment: &str) -> bool {
        match &self.keys {
            Keys::Roots(..) => true,
            Keys::Own(own) => own.contains_key(compartment),
        }
    }

    fn own(&self, compartment: &str) -> Answer<(Key, Key)> {
        match &self.keys {
            Keys::Roots(ids, cuts) => {
                let compartment = unhex(compartment)?;
                let derived = |what, root: &Key| {
                    derive(&format!("pgark 2026 compartment {what} v0"), &[root, &compartment])
                };
                Ok((derived("id key", ids), derived("chunker key", cuts)))
            }
            Keys::Own(own) => own.get(compartment).map(|own| (own.0, own.1)).ok_or_else(|| "keys".into()),
        }
    }

    pub fn id_key(&self, compartment: &str) -> Answer<Key> {
        Ok(self.own(compartment)?.0)
    }

    pub fn chunker_key(&self, compartment: &str) -> Answer<Key> {
        Ok(self.own(compartment)?.1)
    }

    pub fn chunker_seed(&self, compartment: &str) -> Answer<u64> {
        let key = self.chunker_key(compartment)?;
        Ok(u64::from_le_bytes(derive("pgark 2026 chunker seed v0", &[&key])))
    }

    pub fn gear_table(&self, compartment: &str) -> Answer<Vec<u64>> {
        let seed = self.chunker_seed(compartment)?.to_le_bytes();
        let table: [u8; 2048] = derive("pgark 2026 gear table of FastCDC v0", &[&seed]);
        Ok(table.chunks(8).map(|eight| u64::from_le_bytes(eight.try_into().unwrap())).collect())
    }

    pub fn chunk_id_key(&self, compartment: &str, kind: u8, domain: &[u8]) -> Answer<Key> {
        Ok(derive("pgark 2026 chunk id v0", &[&self.id_key(compartment)?, &[kind], domain]))
    }

    pub fn item_key(&self, compartment: &str, domain: &[u8]) -> Answer<[u8; 16]> {
        Ok(derive("pgark 2026 item hash v0", &[&self.id_key(compartment)?, domain]))
    }

    pub fn page_hash_key(&self, compartment: &str, domain: &[u8]) -> Answer<Key> {
        Ok(derive("pgark 2026 page hash v0", &[&self.id_key(compartment)?, domain]))
    }

    pub fn epoch_numbers(&self) -> Vec<u32> {
        self.epochs.iter().map(|epoch| epoch.number).collect()
    }

    /// The metadata key of a compartment, or the common key, for an epoch.
    pub fn metadata_key(&self, compartment: Option<&str>, number: u32) -> Answer<Key> {
        let at = self.epochs.iter().position(|epoch| epoch.number == number).ok_or("no such epoch")?;
        let epoch = &self.epochs[at];
        match (compartment, &self.keys) {
            (None, _) => Ok(epoch.common),
            (Some(own), Keys::Own(keys)) => keys.get(own).map(|own| own.2[at]).ok_or_else(|| "keys".into()),
            (Some(own), Keys::Roots(..)) => {
                let root = epoch.metadata.as_ref().ok_or("no metadata root")?;
                Ok(derive("pgark 2026 compartment metadata key v0", &[root, &unhex(own)?]))
            }
        }
    }

    /// The key that a stored key says; none in an unencrypted repository.
    fn metadata_object_key(&self, compartment: Option<&str>, stored: &Value) -> Answer<Option<Key>> {
        let [suite, epoch, salt] = stored.fields()?;
        let suite: u32 = suite.number()?;
        if !self.encrypted {
            let is_plain = suite == 0 && epoch.number::<u32>()? == 0 && salt.bytes()?.is_empty();
            return if is_plain { Ok(None) } else { Err("a stored key of an unencrypted repository".into()) };
        }
        need(suite == 1 && salt.bytes()?.len() == 32, "a stored key")?;
        let key = self.metadata_key(compartment, epoch.number()?)?;
        Ok(Some(derive("pgark 2026 metadata object v0", &[&key, salt.bytes()?])))
    }

    fn data_key(&self, key_id: &[u8], stored: &Value) -> Answer<Option<Key>> {
        if !self.encrypted {
            return self.metadata_object_key(None, stored);
        }
        let [suite, epoch, wrapped] = stored.fields()?;
        let number: u32 = epoch.number()?;
        need(suite.number::<u32>()? == 1, "a stored key")?;
        let epoch = self.epochs.iter().find(|epoch| epoch.number == number).ok_or("no such epoch")?;
        let private = epoch.private.as_ref().ok_or("data is not for this key")?;
        let info = [b"pgark data pack key v0", &self.repository[..], &number.to_le_bytes(), key_id].concat();
        hpke_open(private, &info, wrapped.bytes()?).map(Some)
    }

    fn object_aad(&self, kind: u8, name: &str) -> Vec<u8> {
        [b"pgark object", &self.repository[..], &[kind, 0, 0], name.as_bytes()].concat()
    }

    /// Takes the head off.
    fn behind_head(kind: u8, bytes: &[u8]) -> Answer<&[u8]> {
        let head = [b'p', b'g', b'a', b'r', b'k', kind, 0, 0];
        bytes.strip_prefix(&head).ok_or_else(|| "the head of an object".into())
    }

    /// Opens a sealed metadata object; the name is the one that it was sealed for.
    fn open_sealed(&self, compartment: Option<&str>, kind: u8, name: &str, bytes: &[u8]) -> Answer<Vec<u8>> {
        let mut rest = Self::behind_head(kind, bytes)?;
        let stored = cbor::one(counted(&mut rest)?)?;
        let key = self.metadata_object_key(compartment, &stored)?;
        open(key.as_ref(), &[0; 12], &self.object_aad(kind, name), rest)
    }

    /// The body and the signer of signed bytes.
    fn open_signed(&self, kind: u8, name: &str, bytes: &[u8]) -> Answer<(Vec<u8>, Vec<u8>)> {
        let signed = cbor::one(bytes)?;
        let [body, signer, signature, _more] = signed.fields()?;
        let (body, signer) = (body.bytes()?, signer.bytes()?);
        let purpose = if kind <= 2 { "pack" } else { KINDS[usize::from(kind) - 1].0 };
        let length = u32::try_from(name.len()).map_err(|_| "a name")?.to_le_bytes();
        let said = [b"pgark ", purpose.as_bytes(), &self.repository, &length, name.as_bytes(), body].concat();
        verify(self.encrypted, signer, &said, signature.bytes()?)?;
        Ok((body.to_vec(), signer.to_vec()))
    }

    fn compartment_in(&self, name: &str) -> Option<String> {
        let path = name.strip_prefix("copies/").unwrap_or(name);
        let mut parts = path.split('/');
        match (parts.next(), parts.next()) {
            (Some("manifests" | "forgotten" | "tags"), Some(cluster)) => Some(self.compartment_of(cluster)),
            (Some("writers"), _) => None,
            (_, compartment) => compartment.map(str::to_string),
        }
    }

    /// Opens any object but slots and header: its kind, its signer and its body's fields.
    pub fn describe(&self, name: &str, bytes: &[u8]) -> Answer<Json> {
        let (kind, body, signer, more) = if name.starts_with("packs/") {
            let pack = self.pack(name, bytes)?;
            let chunks: Vec<Json> =
                pack.chunks.iter().map(|chunk| self.opened(&pack, chunk)).collect::<Answer<_>>()?;
            (pack.kind, pack.body, pack.signer, json!({ "opened chunks": chunks }))
        } else if name.starts_with("index/") {
            self.index(name, bytes)?
        } else {
            let (kind, own) = (kind_of(name)?, name.strip_prefix("copies/").unwrap_or(name));
            let opened = self.open_sealed(self.compartment_in(name).as_deref(), kind, own, bytes)?;
            let (body, signer) = self.open_signed(kind, own, &opened)?;
            let body = cbor::one(&body)?;
            let more = if kind == 12 { self.check_writers(&body, &signer)? } else { json!({}) };
            (kind, body, signer, more)
        };
        let (kind, fields) = KINDS[usize::from(kind) - 1];
        let mut said = json!({ "kind": kind, "signer": hex(&signer), "body": body.to_named(fields)? });
        said.as_object_mut().ok_or("")?.extend(more.as_object().cloned().unwrap_or_default());
        Ok(said)
    }

    /// The owners of a list of writers follow one another; the names of its clusters.
    fn check_writers(&self, body: &Value, signer: &[u8]) -> Answer<Json> {
        let [_number, _time, _previous, owners, writers, ..] = body.fields::<8>()?;
        let mut names = BTreeMap::new();
        let mut before: &[u8] = &[];
        for (position, owner) in (0u32..).zip(owners.list()?) {
            let [public, signature, _accepted] = owner.fields()?;
            let (public, signature) = (public.bytes()?, signature.bytes()?);
            if position == 0 {
                need(public == self.first_owner && signature.is_empty(), "the first owner")?;
            } else {
                let said = [b"pgark owner", &self.repository[..], &position.to_le_bytes(), public].concat();
                verify(true, before, &said, signature)?;
            }
            before = public;
        }
        need(before == signer || !self.encrypted, "a list is not signed by its owner")?;
        for writer in writers.list()? {
            let [_public, _name, clusters, ..] = writer.fields::<8>()?;
            for cluster in clusters.given().map(Value::list).transpose()?.unwrap_or_default() {
                let [own, compartment, sealed] = cluster.fields()?;
                let (own, compartment) = (hex(own.bytes()?), hex(compartment.bytes()?));
                if self.opens(&compartment) {
                    let name = format!("name of cluster {own}");
                    let opened = self.open_sealed(Some(&compartment), 12, &name, sealed.bytes()?)?;
                    names.insert(own, String::from_utf8_lossy(&opened).into_owned());
                }
            }
        }
        Ok(json!({ "names of clusters": names }))
    }

    fn index(&self, name: &str, bytes: &[u8]) -> Answer<(u8, Value, Vec<u8>, Json)> {
        let (folder, named) = name.rsplit_once('/').ok_or("a name")?;
        need(hash(bytes) == named, "an index object's name is not of its bytes")?;
        let compartment = folder.strip_prefix("index/").ok_or("a name")?;
        let mut rest = Self::behind_head(3, bytes)?;
        let stored = cbor::one(counted(&mut rest)?)?;
        let key = self.metadata_object_key(Some(compartment), &stored)?;
        let aad = self.object_aad(3, "");
        let head = open(key.as_ref(), &nonce(0), &aad, counted(&mut rest)?)?;
        let (body, signer) = self.open_signed(3, &format!("{folder}/"), &head)?;
        let body = cbor::one(&body)?;
        let [packs, _superseded, blocks, filter, _more] = body.fields()?;
        let mut records: Vec<Value> = Vec::new();
        for (number, block) in (1u64..).zip(blocks.list()?) {
            let [first, length, digest] = block.fields()?;
            let (sealed, left) = rest.split_at_checked(length.number()?).ok_or("a block is cut off")?;
            rest = left;
            need(hash(sealed) == hex(digest.bytes()?), "a block is not the one that was signed")?;
            let block = cbor::one(&open(key.as_ref(), &nonce(number), &aad, sealed)?)?;
            need(
                block.list()?.first().map(|record| record.list().map(|own| &own[0])) == Some(Ok(first)),
                "a block",
            )?;
            records.extend_from_slice(block.list()?);
        }
        need(rest.is_empty(), "bytes behind an index object")?;
        let filter = filter.bytes()?;
        let bits = filter.len() as u64 * 8;
        need(filter.len() == (records.len().max(8) * 10).div_ceil(8), "the length of a filter")?;
        let mut last: Option<&[u8]> = None;
        for record in &records {
            let [id, pack, ..] = record.fields::<5>()?;
            let id = id.bytes()?;
            need(last.is_none_or(|last| last <= id), "records out of order")?;
            last = Some(id);
            need(pack.number::<usize>()? < packs.list()?.len(), "a pack's position")?;
            let eight = |at: usize| u64::from_be_bytes(id[at..at + 8].try_into().unwrap());
            let (first, step) = (eight(0), eight(24) | 1);
            let is_set = |probe: u64| {
                let bit = first.wrapping_add(step.wrapping_mul(probe)) % bits;
                filter[(bit / 8) as usize] >> (bit % 8) & 1 == 1
            };
            need((0..7).all(is_set), "the filter lacks a chunk")?;
        }
        let records: Vec<Json> = records.iter().map(Value::to_json).collect();
        Ok((3, body, signer, json!({ "records": records })))
    }

    pub fn pack(&self, name: &str, bytes: &[u8]) -> Answer<Pack> {
        let [_, compartment, two, named] = name.split('/').collect::<Vec<_>>()[..] else {
            return Err("a name".into());
        };
        need(hash(bytes) == named && named.starts_with(two), "a pack's name is not of its bytes")?;
        let kind = *bytes.get(5).filter(|kind| matches!(kind, 1 | 2)).ok_or("the kind of a pack")?;
        Self::behind_head(kind, bytes)?;
        let end = bytes.len().checked_sub(16).ok_or("a pack is too short")?;
        let trailer = &bytes[end..];
        need(&trailer[8..] == b"pgarkend", "the end of a pack")?;
        let length = |at: usize| u32::from_le_bytes(trailer[at..at + 4].try_into().unwrap()) as usize;
        let directory = end.checked_sub(length(4)).ok_or("a pack's directory")?;
        let start = directory.checked_sub(length(0)).ok_or("a pack's directory")?;
        let stored = cbor::one(&bytes[start..directory])?;
        let key = self.metadata_object_key(Some(compartment), &stored)?;
        let aad = self.object_aad(kind, "directory");
        let opened = open(key.as_ref(), &nonce(0), &aad, &bytes[directory..end])?;
        let (body, signer) = self.open_signed(kind, &format!("packs/{compartment}/"), &opened)?;
        let body = cbor::one(&body)?;
        let [keys, chunks, _more] = body.fields()?;
        let mut table = BTreeMap::new();
        for key in keys.list()? {
            let [key_id, stored, _maker] = key.fields()?;
            table.insert(key_id.bytes()?.to_vec(), stored.clone());
        }
        let (mut at, mut found) = (8, Vec::new());
        for chunk in chunks.list()? {
            let [id, own, key_id, nonce, offset, sealed_len, raw_len, compressed, digest, domain] =
                chunk.fields()?;
            let (from, length): (usize, usize) = (offset.number()?, sealed_len.number()?);
            need(from == at && from + length <= start, "a chunk's place")?;
            at += length;
            let own: u8 = own.number()?;
            need((own == 1) == (kind == 1) && (1..=5).contains(&own), "a chunk in the wrong pack")?;
            let sealed = bytes[from..at].to_vec();
            need(hash(&sealed) == hex(digest.bytes()?), "a chunk's sealed bytes")?;
            found.push(Chunk {
                id: id.bytes()?.to_vec(),
                kind: own,
                key_id: key_id.bytes()?.to_vec(),
                nonce: nonce.array()?,
                raw_len: raw_len.number()?,
                compressed: compressed.flag()?,
                domain: domain.bytes()?.to_vec(),
                sealed,
            });
        }
        need(at == start, "a gap behind the chunks")?;
        Ok(Pack { compartment: compartment.to_string(), kind, keys: table, chunks: found, body, signer })
    }

    /// Opens a chunk and verifies its length and id.
    pub fn chunk(&self, pack: &Pack, chunk: &Chunk) -> Answer<Vec<u8>> {
        let stored = pack.keys.get(&chunk.key_id).ok_or("a chunk's key is not there")?;
        let key = match chunk.kind {
            1 => self.data_key(&chunk.key_id, stored)?,
            _ => self.metadata_object_key(Some(&pack.compartment), stored)?,
        };
        let (length, flag) = (chunk.raw_len.to_le_bytes(), [u8::from(chunk.compressed)]);
        let aad = [b"pgark chunk", &self.repository[..], &chunk.id, &[chunk.kind], &length, &flag].concat();
        let mut raw = open(key.as_ref(), &chunk.nonce, &aad, &chunk.sealed)?;
        if chunk.compressed {
            let most = chunk.raw_len as usize;
            raw = zstd::bulk::decompress(&raw, most).map_err(|_| "a chunk does not decompress")?;
        }
        need(raw.len() == chunk.raw_len as usize, "the length of a chunk")?;
        let key = self.chunk_id_key(&pack.compartment, chunk.kind, &chunk.domain)?;
        need(blake3::keyed_hash(&key, &raw).as_bytes()[..] == chunk.id[..], "the id of a chunk")?;
        Ok(raw)
    }

    /// What a chunk opens to.
    fn opened(&self, pack: &Pack, chunk: &Chunk) -> Answer<Json> {
        if chunk.kind == 1 && self.encrypted && self.epochs.iter().any(|epoch| epoch.private.is_none()) {
            return Ok(json!({ "data": "is not for this key" }));
        }
        Ok(json!({ "BLAKE3 of raw bytes": hash(&self.chunk(pack, chunk)?) }))
    }
}

fn text_of(text: &Json) -> String {
    text.as_str().unwrap_or_default().to_string()
}

fn counted<'b>(rest: &mut &'b [u8]) -> Answer<&'b [u8]> {
    let (length, behind) = rest.split_first_chunk::<4>().ok_or("an object is cut off")?;
    let (taken, behind) =
        behind.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or("an object is cut off")?;
    *rest = behind;
    Ok(taken)
}

fn nonce(number: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce
}

pub struct Pack {
    compartment: String,
    kind: u8,
    keys: BTreeMap<Vec<u8>, Value>,
    pub chunks: Vec<Chunk>,
    body: Value,
    signer: Vec<u8>,
}

pub struct Chunk {
    pub id: Vec<u8>,
    pub kind: u8,
    key_id: Vec<u8>,
    nonce: [u8; 12],
    raw_len: u32,
    compressed: bool,
    domain: Vec<u8>,
    sealed: Vec<u8>,
}
