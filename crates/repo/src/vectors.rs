//! What this crate derives from keys is what the test vectors say (`crates/repo/vectors/`; the
//! integration test `vectors` opens every object of them).

use std::path::Path;

use pgark_store::{DirStore, Storage};
use serde_json::Value;

use crate::cut::Cutter;
use crate::ids::{Compartment, hex, unhex};
use crate::{LocalFolders, Repository, Unlock};

#[test]
fn keys_are_derived_as_the_vectors_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let Ok(expected) = std::fs::read(folder.join("expected.json")) else { panic!("no vectors") };
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    for name in ["encrypted", "plain"] {
        let expected = &expected[name];
        let unlock = match expected["secrets"]["identity"].as_str() {
            Some(identity) => Unlock::Identity(identity.to_string().into()),
            None => Unlock::Nothing,
        };
        let store = Storage::uncancelled(DirStore::open(folder.join(name)).unwrap());
        let repository = Repository::open(store, unlock, LocalFolders::default()).unwrap();
        let keys = repository.keys();
        assert_eq!(expected["fingerprint"], keys.fingerprint());
        for (cluster, said) in expected["clusters"].as_object().unwrap() {
            let hash = keys.cluster_hash(cluster).unwrap();
            assert_eq!(said["compartment"], keys.compartment_of(&hash).unwrap().to_string());
            assert_eq!(said["hash"], hash);
        }
        for (compartment, said) in expected["compartments"].as_object().unwrap() {
            let own = keys.compartment(Compartment::parse(compartment).unwrap()).unwrap();
            let domain: [u8; 16] = unhex(said["mask domain"].as_str().unwrap()).unwrap();
            for kind in 1..=5u8 {
                let key = &said["chunk id keys"][usize::from(kind) - 1];
                assert_eq!(*key, hex(&own.chunk_id_key(kind, &[])), "kind {kind}");
            }
            assert_eq!(said["chunk id key of masked data"], hex(&own.chunk_id_key(1, &domain)));
            assert_eq!(said["item key"], hex(&own.item_keys(&[]).items));
            assert_eq!(said["item key of masked data"], hex(&own.item_keys(&domain).items));
            assert_eq!(said["chunker seed"], own.chunker_seed());
            let words: Vec<Value> = Cutter::new(own.chunker_seed())
                .gear_table()
                .iter()
                .take(4)
                .copied()
                .map(Value::from)
                .collect();
            assert_eq!(said["gear table begins"], Value::from(words));
        }
    }
}
