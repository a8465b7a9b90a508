//! The second reader, for maps of pages: files are rebuilt from FORMAT.md, sections 6a and 6d.

use std::collections::BTreeMap;

use siphasher::sip128::SipHasher24;

use crate::Answer;
use crate::cbor::{self, Value};
use crate::content::{Content, leb128};
use crate::reader::need;

/// A file that a map covers: its bytes so far, which pages came, and its CRC32C.
struct File {
    bytes: Vec<u8>,
    seen: Vec<bool>,
    length: usize,
    crc: u32,
}

/// What a map of pages holds.
pub struct Paged {
    /// The pages, in the order of the map.
    pub content: Vec<u8>,
    /// Every file, by name; of a part of a file this part.
    pub files: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// CRC32C bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// A page's address and its bytes.
type Page = (Vec<u8>, u32, Vec<u8>);

impl Content<'_> {
    /// The files of a map of pages.
    pub fn files(&self, map: &Value) -> Answer<Paged> {
        let [_, units, keeps, more, identity, domain, from, items, bytes, sum, facts] = map.fields()?;
        let facts = cbor::one(facts.bytes()?)?;
        let [page, what] = facts.fields()?;
        let (page, from): (usize, u32) = (page.number()?, from.number()?);
        let size = u32::try_from(page).map_err(|_| "a page size")?.to_le_bytes();
        need(identity.bytes()? == [&size[..], &[0; 12]].concat(), "the identity of a map of pages")?;
        let mut files = named(what, &more.given().map(|more| self.stream(more)).transpose()?, page)?;
        let (units, keeps) = (self.stream(units)?.0, self.stream(keeps)?.0);
        let item_key = self.reader.item_key(&self.compartment, domain.bytes()?)?;
        let page_key = self.reader.page_hash_key(&self.compartment, domain.bytes()?)?;
        let (mut keeps, are_whole) = (keeps.as_slice(), keeps.is_empty());
        let (mut content, mut total, mut count) = (Vec::new(), 0u128, 0u64);
        let listed = |bytes: &[u8]| {
            let hash = blake3::keyed_hash(&page_key, bytes);
            [&hash.as_bytes()[..8], &crc32c(bytes).to_le_bytes()].concat()
        };
        for record in cbor::all(&units)? {
            let [group, length, used] = record.fields()?;
            let group = self.chunk(group.bytes()?, 5)?;
            need(group.len() == length.number::<usize>()?, "the length of a group")?;
            let group = cbor::one(&group)?;
            let [kind, list, names, units] = group.fields()?;
            need(kind.number::<u8>()? == 2, "a group of pages")?;
            let mut hashes = Vec::new();
            for (at, unit) in units.list()?.iter().enumerate() {
                let pages = self.unit(unit, names.list()?, page)?;
                hashes.extend(pages.iter().flat_map(|(_, _, bytes)| listed(bytes)));
                if used.bytes()?.get(at / 8).is_none_or(|byte| byte >> (at % 8) & 1 == 0) {
                    continue;
                }
                let runs = if are_whole { 1 } else { leb128(&mut keeps)? };
                let mut kept: Vec<&Page> = Vec::new();
                let mut at = 0;
                for _ in 1..runs {
                    at += leb128(&mut keeps)? as usize;
                    let end = at + leb128(&mut keeps)? as usize;
                    kept.extend(pages.get(at..end).ok_or("a run that goes too far")?);
                    at = end;
                }
                if runs == 1 {
                    kept.extend(&pages);
                }
                for (name, number, bytes) in kept {
                    let whole = [&listed(bytes)[..], &number.to_le_bytes(), name].concat();
                    total = total.wrapping_add(SipHasher24::new_with_key(&item_key).hash(&whole).as_u128());
                    count += 1;
                    content.extend_from_slice(bytes);
                    let file = files.get_mut(name).ok_or("a page of a file that is not named")?;
                    let at = number.checked_sub(from).ok_or("a page in front of its map")? as usize;
                    let seen = file.seen.get_mut(at).ok_or("a page behind the end of its file")?;
                    need(!std::mem::replace(seen, true), "two pages of one address")?;
                    file.bytes[at * page..(at + 1) * page].copy_from_slice(bytes);
                }
            }
            let list = list.given().ok_or("a group of pages without a list")?;
            need(self.chunk(list.bytes()?, 4)? == hashes, "an item list")?;
        }
        need(keeps.is_empty(), "keeps are left over")?;
        need(
            count == items.number::<u64>()? && content.len() as u64 == bytes.number::<u64>()?,
            "the amount of a map's pages",
        )?;
        need(total.to_le_bytes() == sum.array::<16>()?, "the sum of a map's pages")?;
        let mut whole = BTreeMap::new();
        for (name, mut file) in files {
            file.bytes.truncate(file.length);
            need(crc32c(&file.bytes) == file.crc, "the CRC32C of a file")?;
            whole.insert(name, file.bytes);
        }
        Ok(Paged { content, files: whole })
    }

    /// The pages of a unit, with their addresses.
    fn unit(&self, unit: &Value, names: &[Value], page: usize) -> Answer<Vec<Page>> {
        let [chunks, items, runs] = unit.fields()?;
        let [chunk] = chunks.fields()?;
        let [id, length] = chunk.fields()?;
        let raw = self.chunk(id.bytes()?, 1)?;
        need(raw.len() == length.number::<usize>()?, "the length of a unit's chunk")?;
        let runs = runs.list()?;
        let mut header = (runs.len() as u16).to_le_bytes().to_vec();
        let mut addresses = Vec::new();
        for run in runs {
            let [name, first, items] = run.fields()?;
            let name = names.get(name.number::<usize>()?).ok_or("a name that the group lacks")?.bytes()?;
            let (first, items): (u32, u32) = (first.number()?, items.number()?);
            header.extend_from_slice(&(name.len() as u16).to_le_bytes());
            header.extend_from_slice(name);
            header.extend_from_slice(&first.to_le_bytes());
            header.extend_from_slice(&items.to_le_bytes());
            addresses.extend((first..first + items).map(|number| (name.to_vec(), number)));
        }
        let pages = raw.strip_prefix(header.as_slice()).ok_or("the addresses in a chunk")?;
        need(addresses.len() == items.number::<usize>()?, "the addresses of a unit")?;
        need(pages.len() == addresses.len() * page, "the pages of a unit")?;
        let pages = addresses.into_iter().zip(pages.chunks(page));
        Ok(pages.map(|((name, number), bytes)| (name, number, bytes.to_vec())).collect())
    }
}

/// The files that a map's facts and more name, all of zeros.
fn named(what: &Value, more: &Option<(Vec<u8>, Vec<u64>)>, page: usize) -> Answer<BTreeMap<Vec<u8>, File>> {
    let [shape, inner] = what.fields()?;
    let [inner] = inner.fields()?;
    let records = match shape.number::<u8>()? {
        0 => vec![inner.clone()],
        _ => {
            let records = cbor::all(&more.as_ref().ok_or("a bundle without its files")?.0)?;
            let [first, last, number] = inner.fields()?;
            let name = |record: Option<&Value>| Some(record?.list().ok()?.first()?.clone());
            need(
                number.number::<usize>()? == records.len()
                    && name(records.first()).as_ref() == Some(first)
                    && name(records.last()).as_ref() == Some(last),
                "the names of a bundle",
            )?;
            records
        }
    };
    let mut files = BTreeMap::new();
    for record in &records {
        let [name, length, crc] = record.fields()?;
        let (length, crc): (usize, u32) = (length.number()?, crc.number()?);
        let pages = length.div_ceil(page);
        let file = File { bytes: vec![0; pages * page], seen: vec![false; pages], length, crc };
        files.insert(name.bytes()?.to_vec(), file);
    }
    need(files.len() == records.len(), "a file twice in a bundle")?;
    Ok(files)
}
