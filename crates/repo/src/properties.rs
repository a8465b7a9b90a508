//! Properties that apply to any bytes.

use std::sync::Arc;

use proptest::prelude::*;

use crate::cut::{Cut, Cutter, LARGEST, WINDOW};
use crate::ids::{Compartment, Hash};
use crate::index::object::{self as index_object, IndexContent, IndexRecord, PackEntry};
use crate::index::{Record, Run, merge_runs};
use crate::manifest::{self, Body};
use crate::names::ManifestName;
use crate::object::{self, Kind};
use crate::pack::{self, Directory};
use crate::secrets::{LocalFolders, Protection, Unlock};
use crate::stream::Node;
use crate::{Repository, codec};

const COMPARTMENT: Compartment = Compartment([5; 16]);

/// Numbers that look random and are the same for one seed (xorshift64*), for tests that draw very
/// many. The seed is not 0.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// Of nothing the first: who asks finds that there is none.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// A new repository without encryption, and its folder.
pub(crate) fn repository() -> (tempfile::TempDir, Repository) {
    let dir = tempfile::tempdir().unwrap();
    let store = pgark_store::DirStore::create(dir.path().join("r")).unwrap();
    let store = pgark_store::Storage::uncancelled(store);
    crate::init(&store, Protection::None, &[], &LocalFolders::default()).unwrap();
    let repository = Repository::open(store, Unlock::Nothing, LocalFolders::default()).unwrap();
    (dir, repository)
}

/// Cuts bytes that arrive in pieces, as the stream writer does.
fn cut(cutter: &Cutter, cut: Cut, bytes: &[u8], pieces: &[usize]) -> Vec<usize> {
    let (mut lens, mut at, mut seen, mut piece) = (Vec::new(), 0, 0, pieces.iter().cycle());
    while at < bytes.len() {
        seen = (seen + piece.next().unwrap()).min(bytes.len());
        while let Some(len) = cutter.next(cut, &bytes[at..seen], seen == bytes.len()) {
            lens.push(len);
            at += len;
        }
    }
    lens
}

/// Bytes with few or many row ends, compressible or not.
fn content() -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), 0usize..3_000_000, 1u64..2_000_000).prop_map(|(seed, len, row)| {
        let mut state = seed | 1;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                if state % row == 0 { b'\n' } else { (state >> 32) as u8 & 0x7f | 0x20 }
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn cuts_depend_on_content_alone(
        bytes in content(), seed in any::<u64>(), pieces in prop::collection::vec(1usize..700_000, 1..6), rows in any::<bool>()
    ) {
        let cutter = Cutter::new(seed);
        let how = if rows { Cut::Rows } else { Cut::Content };
        let whole = cut(&cutter, how, &bytes, &[bytes.len().max(1)]);
        prop_assert_eq!(&whole, &cut(&cutter, how, &bytes, &pieces));
        prop_assert_eq!(whole.iter().sum::<usize>(), bytes.len());
        let mut at = 0;
        for len in &whole {
            at += len;
            let most = if rows { LARGEST } else { WINDOW };
            prop_assert!(*len <= most);
            prop_assert!(!rows || at == bytes.len() || bytes[at - 1] == b'\n');
        }
    }

    #[test]
    fn runs_find_what_is_in_them(ids in prop::collection::vec((0u8..4, any::<u16>(), 0u32..3), 0..2000), split in 1usize..7) {
        let records: Vec<Record> = ids
            .iter()
            .map(|(first, rest, pack)| {
                let mut id = [*first; 32];
                id[8..10].copy_from_slice(&rest.to_le_bytes());
                Record { id: Hash(id), pack: *pack, raw_len: 1, sealed_len: 2, kind: 1 }
            })
            .collect();
        let folders = LocalFolders::default();
        let runs: Vec<Arc<Run>> = records
            .chunks(records.len() / split + 1)
            .map(|some| Arc::new(crate::index::sorted_run(crate::index::temporary(&folders).unwrap(), &mut some.to_vec()).unwrap()))
            .collect();
        let merged = Arc::new(merge_runs(crate::index::temporary(&folders).unwrap(), &runs).unwrap());
        let mut expected = records.clone();
        expected.sort();
        expected.dedup();
        let all: Vec<Record> = merged.iter().map(Result::unwrap).collect();
        prop_assert_eq!(&all, &expected);
        for record in &records {
            let found = merged.find(&record.id).unwrap();
            let wanted: Vec<Record> = expected.iter().filter(|other| other.id == record.id).copied().collect();
            prop_assert_eq!(found, wanted);
        }
        prop_assert!(merged.find(&Hash([9; 32])).unwrap().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// No parser panics or takes much memory, whatever it is given: plain, and behind a seal that
    /// opens.
    #[test]
    fn parsers_survive_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), lead in 0usize..5) {
        let (_dir, repository) = repository();
        let keys = repository.keys();
        let lead: &[u8] = [&b""[..], &[0x82, 0x9b, 0, 0, 0, 1, 0, 0, 0, 0], &[0x84, 0x80], &[0x82, 0x01, 0x9a, 0xff, 0xff, 0xff, 0xff], &[0x9f]][lead];
        let bytes = [lead, &bytes].concat();
        let _ = codec::decode::<Directory>(&bytes).map(|directory| pack::check_directory(&directory, Kind::DataPack, 100));
        let _ = Node::decode(&bytes);
        let _ = manifest::decode_leaf(&bytes);
        let _ = manifest::decode_node(&bytes, 1);
        let mut additions = manifest::AdditionDecoder::default();
        additions.feed(&bytes);
        while let Ok(Some(_)) = additions.next() {}
        let _ = codec::decode::<Body>(&bytes);
        for kind in [Kind::DataPack, Kind::MetadataPack, Kind::Index, Kind::Session, Kind::Draft, Kind::Manifest] {
            let mut object = object::head(kind).to_vec();
            object.extend_from_slice(&bytes);
            let _ = pack::parse(keys, COMPARTMENT, "packs/x", &object);
            let _ = index_object::decode(keys, COMPARTMENT, "index/x", &object);
            let (name, other) = (format!("x/{COMPARTMENT}/name"), format!("x/{COMPARTMENT}/other"));
            let sealed = object::seal(keys, kind, &name, &bytes).unwrap();
            prop_assert_eq!(object::open(keys, kind, &name, &sealed).unwrap(), bytes.clone());
            prop_assert!(object::open(keys, kind, &other, &sealed).is_err());
            prop_assert!(object::seal(keys, kind, "name", &bytes).is_err());
            let name = ManifestName { cluster: COMPARTMENT.to_string(), sequence: 1, id: crate::BackupId([1; 8]) };
            let named = object::seal(keys, kind, &name.name(), &bytes).unwrap();
            prop_assert!(manifest::decode(&repository.unlocked, name, "m", &named).is_err());
        }
    }

    #[test]
    fn index_objects_come_back(count in 0u32..3000, packs in 1u32..5, flip in any::<prop::sample::Index>()) {
        let (_dir, repository) = repository();
        let record = |n: u32| IndexRecord { id: Hash::of(&n.to_le_bytes()), pack: n % packs, raw_len: n + 1, sealed_len: n + 17, kind: 1 };
        let mut content = IndexContent {
            supersedes: Vec::new(),
            packs: (0..packs).map(|n| PackEntry { hash: Hash::of(&[n as u8]), size: u64::from(n) }).collect(),
            records: (0..count).map(record).collect(),
        };
        let mut bytes = index_object::encode(repository.keys(), COMPARTMENT, content.clone()).unwrap();
        content.records.sort();
        prop_assert_eq!(index_object::decode(repository.keys(), COMPARTMENT, "index/x", &bytes).unwrap().0, content);
        let at = flip.index(bytes.len());
        bytes[at] ^= 1;
        prop_assert!(index_object::decode(repository.keys(), COMPARTMENT, "index/x", &bytes).is_err());
    }
}
