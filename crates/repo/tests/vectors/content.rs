//! The second reader, above chunks: streams, maps, lists of entries.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use siphasher::sip128::SipHasher24;

use crate::cbor::{self, Value};
use crate::reader::{Pack, Reader, hash, need};
use crate::{Answer, hex, unhex};

/// The chunks of a compartment, and what is made of them.
pub struct Content<'r> {
    pub(crate) reader: &'r Reader,
    pub(crate) compartment: String,
    packs: Vec<Pack>,
    places: BTreeMap<Vec<u8>, (usize, usize)>,
}

impl<'r> Content<'r> {
    /// Everything that is in a compartment, by chunk id.
    pub fn of(reader: &'r Reader, compartment: &str) -> Answer<Content<'r>> {
        let (mut packs, mut places) = (Vec::new(), BTreeMap::new());
        let folder = format!("packs/{compartment}/");
        for (name, bytes) in reader.objects.iter().filter(|(name, _)| name.starts_with(&folder)) {
            let pack = reader.pack(name, bytes)?;
            for (at, chunk) in pack.chunks.iter().enumerate() {
                places.insert(chunk.id.clone(), (packs.len(), at));
            }
            packs.push(pack);
        }
        Ok(Content { reader, compartment: compartment.to_string(), packs, places })
    }

    pub(crate) fn chunk(&self, id: &[u8], kind: u8) -> Answer<Vec<u8>> {
        let (pack, at) = *self.places.get(id).ok_or_else(|| format!("chunk {} is nowhere", hex(id)))?;
        let chunk = &self.packs[pack].chunks[at];
        need(chunk.kind == kind, "a chunk of another kind")?;
        self.reader.chunk(&self.packs[pack], chunk)
    }

    /// The chunks of a stream: their ids and raw lengths.
    fn leaves(&self, id: &[u8], level: u8, bytes: u64, found: &mut Vec<(Vec<u8>, u64)>) -> Answer<()> {
        if level == 0 {
            found.push((id.to_vec(), bytes));
            return Ok(());
        }
        let node = cbor::one(&self.chunk(id, 3)?)?;
        let [own, children] = node.fields()?;
        need(own.number::<u8>()? == level, "the level of a node")?;
        let mut sum = 0;
        for child in children.list()? {
            let [id, below, _length] = child.fields()?;
            sum += below.number::<u64>()?;
            self.leaves(id.bytes()?, level - 1, below.number()?, found)?;
        }
        need(sum == bytes, "the bytes of a node")
    }

    /// The content of a salted stream, and the raw lengths of its chunks.
    fn salted(&self, stream: &Value) -> Answer<(Vec<u8>, Vec<u64>)> {
        let (raw, chunks) = self.stream(stream)?;
        let (mut content, mut rest) = (Vec::new(), raw.as_slice());
        for length in &chunks {
            let (chunk, behind) = rest.split_at(*length as usize);
            content.extend_from_slice(chunk.get(32..).ok_or("a salted chunk without a salt")?);
            rest = behind;
        }
        Ok((content, chunks))
    }

    /// The bytes of a stream, and the raw lengths of its chunks.
    pub(crate) fn stream(&self, stream: &Value) -> Answer<(Vec<u8>, Vec<u64>)> {
        let [root, level, class, bytes] = stream.fields()?;
        let (class, bytes): (u8, u64) = (class.number()?, bytes.number()?);
        let mut leaves = Vec::new();
        if bytes > 0 {
            self.leaves(root.bytes()?, level.number()?, bytes, &mut leaves)?;
        } else {
            need(root.array::<32>()? == [0; 32], "the root of an empty stream")?;
        }
        let mut raw = Vec::new();
        for (id, length) in &leaves {
            let chunk = self.chunk(id, class)?;
            need(chunk.len() as u64 == *length, "the length of a stream's chunk")?;
            raw.extend_from_slice(&chunk);
        }
        need(raw.len() as u64 == bytes, "the length of a stream")?;
        Ok((raw, leaves.into_iter().map(|(_, length)| length).collect()))
    }

    /// The rows of a map.
    fn rows(&self, map: &Value) -> Answer<Vec<u8>> {
        let [kind, units, keeps, more, _identity, domain, _from, items, bytes, sum, facts] = map.fields()?;
        need(
            kind.number::<u8>()? == 1 && more.given().is_none() && facts.bytes()?.is_empty(),
            "a map of rows",
        )?;
        let (units, keeps) = (self.stream(units)?.0, self.stream(keeps)?.0);
        let item_key = self.reader.item_key(&self.compartment, domain.bytes()?)?;
        let (mut keeps, are_whole) = (keeps.as_slice(), keeps.is_empty());
        let (mut content, mut total, mut count) = (Vec::new(), 0u128, 0u64);
        let mut take = |row: &[u8]| {
            total = total.wrapping_add(SipHasher24::new_with_key(&item_key).hash(row).as_u128());
            count += 1;
            content.extend_from_slice(row);
        };
        for record in cbor::all(&units)? {
            let [group, length, used] = record.fields()?;
            let group = self.chunk(group.bytes()?, 5)?;
            need(group.len() == length.number::<usize>()?, "the length of a group")?;
            let group = cbor::one(&group)?;
            let [kind, list, names, units] = group.fields()?;
            need(kind.number::<u8>()? == 1 && names.list()?.is_empty(), "a group of rows")?;
            let mut hashes = Vec::new();
            for (at, unit) in units.list()?.iter().enumerate() {
                let [chunks, items, runs] = unit.fields()?;
                let items: usize = items.number()?;
                need(runs.list()?.is_empty(), "rows have no addresses")?;
                let mut raw = Vec::new();
                for chunk in chunks.list()? {
                    let [id, length] = chunk.fields()?;
                    let chunk = self.chunk(id.bytes()?, 1)?;
                    need(chunk.len() == length.number::<usize>()?, "the length of a unit's chunk")?;
                    raw.extend(chunk);
                }
                let rows: Vec<&[u8]> = raw.split_inclusive(|byte| *byte == b'\n').collect();
                need(raw.ends_with(b"\n") && rows.len() == items, "the rows of a unit")?;
                let listed =
                    |row: &&[u8]| SipHasher24::new_with_key(&item_key).hash(row).as_u128().to_le_bytes();
                hashes.extend(rows.iter().flat_map(|row| listed(row)[..8].to_vec()));
                if used.bytes()?.get(at / 8).is_none_or(|byte| byte >> (at % 8) & 1 == 0) {
                    continue;
                }
                let runs = if are_whole { 1 } else { leb128(&mut keeps)? };
                let mut at = 0;
                for _ in 1..runs {
                    at += leb128(&mut keeps)? as usize;
                    let end = at + leb128(&mut keeps)? as usize;
                    rows.get(at..end).ok_or("a run that goes too far")?.iter().for_each(|row| take(row));
                    at = end;
                }
                if runs == 1 {
                    rows.iter().for_each(|row| take(row));
                }
            }
            if let Some(list) = list.given() {
                need(self.chunk(list.bytes()?, 4)? == hashes, "an item list")?;
            }
        }
        need(keeps.is_empty(), "keeps are left over")?;
        need(
            count == items.number::<u64>()? && content.len() as u64 == bytes.number::<u64>()?,
            "the amount of a map's rows",
        )?;
        need(total.to_le_bytes() == sum.array::<16>()?, "the sum of a map's rows")?;
        Ok(content)
    }

    /// The entries below a node of the list.
    fn entries_below(&self, id: &[u8], level: u8, found: &mut Vec<Value>) -> Answer<()> {
        let node = cbor::one(&self.chunk(id, 2)?)?;
        let [own, items] = node.fields()?;
        need(own.number::<u8>()? == level, "the level of a sublist")?;
        for item in items.list()? {
            if level == 0 {
                found.push(item.clone());
                continue;
            }
            let [first, id, _length, count] = item.fields()?;
            let before = found.len();
            self.entries_below(id.bytes()?, level - 1, found)?;
            need(found.len() - before == count.number::<usize>()?, "the entries of a sublist")?;
            need(
                found.get(before).map(|entry| entry.list().map(|own| &own[0])) == Some(Ok(first)),
                "a first path",
            )?;
        }
        Ok(())
    }

    /// Entries and additions of the backup with this manifest; contents only with the data key.
    pub fn backup(&self, manifest: &Json, with_content: bool) -> Answer<Json> {
        let body = &manifest["body"];
        let list = bytes_of(&body["entries"][0])?;
        let level = body["entries"][1].as_u64().and_then(|level| level.try_into().ok()).ok_or("a level")?;
        let mut records = Vec::new();
        if body["entries"][2] != json!(0) {
            self.entries_below(&list, level, &mut records)?;
        }
        need(json!(records.len()) == body["number of entries"], "the number of entries")?;
        let mut entries = Vec::new();
        let mut last = String::new();
        for record in &records {
            let [path, class, parts, facts] = record.fields()?;
            need(last.as_str() < path.text()?, "entries out of order")?;
            last = path.text()?.to_string();
            let [place, inner] = parts.fields()?;
            let [inner] = inner.fields()?;
            let stand_apart = place.number::<u8>()? == 1;
            let parts = match stand_apart {
                false => inner.list()?.to_vec(),
                true => cbor::all(&self.stream(inner)?.0)?,
            };
            let mut entry = json!({ "path": last, "class": class.to_json(), "facts": facts.to_json() });
            if stand_apart {
                entry["parts stand in"] = inner.to_json();
            }
            if with_content {
                let (mut content, mut told) = (Vec::new(), Vec::new());
                for part in &parts {
                    let [kind, inner] = part.fields()?;
                    let [inner] = inner.fields()?;
                    if kind.number::<u8>()? == 0 {
                        let (bytes, chunks) = self.stream(inner)?;
                        content.extend(bytes);
                        told.push(json!({ "stream": chunks }));
                    } else if kind.number::<u8>()? == 1 {
                        let kind: u8 = inner.list()?[0].number()?;
                        if kind == 1 {
                            content.extend(self.rows(inner)?);
                            told.push(json!({ "map": inner.to_json() }));
                        } else {
                            need(kind == 2, "a kind of maps")?;
                            let paged = self.files(inner)?;
                            let files = paged.files.iter().map(|(name, bytes)| {
                                (String::from_utf8_lossy(name).into_owned(), json!(hash(bytes)))
                            });
                            let files: BTreeMap<String, Json> = files.collect();
                            content.extend(paged.content);
                            told.push(json!({ "map": inner.to_json(), "files": files }));
                        }
                    } else {
                        let [stream, length] = inner.fields()?;
                        let (bytes, chunks) = self.salted(stream)?;
                        need(bytes.len() as u64 == length.number::<u64>()?, "the length of a salted part")?;
                        content.extend(bytes);
                        told.push(json!({ "salted": chunks }));
                    }
                }
                told.dedup();
                entry["bytes"] = json!(content.len());
                entry["BLAKE3"] = json!(hash(&content));
                entry["number of parts"] = json!(parts.len());
                entry["different parts"] = json!(told);
            }
            entries.push(entry);
        }
        let additions = cbor::all(&self.stream(&from_json(&body["additions"])?)?.0)?;
        let additions: Vec<Json> = additions
            .iter()
            .map(|own| own.to_named(&["path", "stored bytes", "changed", "facts"]))
            .collect::<Answer<_>>()?;
        Ok(json!({ "entries": entries, "additions": additions }))
    }
}

pub(crate) fn leb128(bytes: &mut &[u8]) -> Answer<u32> {
    let mut number = 0;
    for place in 0..5 {
        let (byte, rest) = bytes.split_first().ok_or("keeps are cut off")?;
        *bytes = rest;
        number |= u32::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number in keeps".into())
}

fn bytes_of(json: &Json) -> Answer<Vec<u8>> {
    let digits = json.as_str().and_then(|text| text.strip_prefix("h'")?.strip_suffix('\''));
    unhex(digits.ok_or("no bytes")?)
}

/// A stream's reference out of what was told.
fn from_json(json: &Json) -> Answer<Value> {
    let number = |at: usize| Ok::<_, String>(Value::Number(json[at].as_u64().ok_or("a number")?.into()));
    Ok(Value::List(vec![Value::Bytes(bytes_of(&json[0])?), number(1)?, number(2)?, number(3)?]))
}
