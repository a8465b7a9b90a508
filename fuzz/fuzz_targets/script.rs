//! Any bytes as a plain dump: read or refused; what is read can be written as an archive, and rows
//! lie inside of the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_bytes::archive::script::read_script;
use pgark_bytes::archive::{read_toc, write_toc};

fuzz_target!(|data: &[u8]| {
    let Ok(script) = read_script(&mut &data[..], None) else { return };
    for database in script.databases {
        for (id, range) in &database.data {
            assert!(range.start <= range.end && range.end <= data.len() as u64);
            assert!(database.archive.entry(*id).is_some());
        }
        let written = write_toc(&database.archive);
        let read = read_toc(&mut written.as_slice()).expect("what was written is read");
        assert_eq!(read.entries.len(), database.archive.entries.len());
        for entry in &database.archive.entries {
            // Earlier entries only, or those after the rows: never itself.
            assert!(!entry.dependencies.contains(&entry.dump_id));
        }
    }
});
