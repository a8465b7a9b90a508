//! Any bytes: an archive is read or refused; what was read is written, read again as the same, and
//! planned.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_bytes::archive::order::{Schedule, Selection, name_all_dependencies, serial_order};
use pgark_bytes::archive::statements::{
    Options, SessionState, drop_statements, required_roles, session_setup, statements,
};
use pgark_bytes::archive::{
    ArchiveVersion, DirectoryCompression, convert, filter, read_toc, stable, write_directory_toc, write_toc,
};
use pgark_bytes::pattern::Pattern;

fuzz_target!(|data: &[u8]| {
    let Ok(archive) = read_toc(&mut &data[..]) else { return };
    let name = |e: &pgark_bytes::archive::TocEntry| {
        e.file_name.as_deref().map(|n| String::from_utf8_lossy(n).into_owned())
    };
    let written = write_directory_toc(&archive, &name, DirectoryCompression::AsInHeader);
    if archive.header.int_size >= 4 {
        let again = read_toc(&mut &written[..]).expect("what we write we read");
        assert_eq!(again.entries.len(), archive.entries.len());
    }
    // With numbers that do not shift it comes back; as such numbers, any do no harm.
    if let Some(settled) = stable::settled(archive.clone()) {
        let restored = stable::restored(settled).expect("what was settled is restored");
        for (was, is) in archive.entries.iter().zip(&restored.entries) {
            assert_eq!((was.dump_id, &was.dependencies), (is.dump_id, &is.dependencies));
        }
    }
    let _ = stable::restored(archive.clone());
    let older = convert::at_most(archive.clone(), ArchiveVersion::V1_14);
    let _ = write_toc(&older);
    let mut named = archive.clone();
    name_all_dependencies(&mut named);
    filter::load_parents_first(&mut named);
    let names = filter::Names {
        tables: Pattern::relation("*.t*").into_iter().collect(),
        exclude_tables: Pattern::relation("x").into_iter().collect(),
        ..filter::Names::default()
    };
    let chosen = names.choose(&archive);
    assert!(archive.entries.iter().all(|e| !chosen.is_helper(e.dump_id) || chosen.contains(e.dump_id)));
    let _ = names.unmatched(&archive);
    let options = Options { create_database: true, ..Options::default() };
    let selection = Selection::of(&archive, &options);
    let _ = session_setup(&archive, 18);
    let _ = drop_statements(&archive, &selection, &options);
    let _ = required_roles(&archive, &selection, &options);
    let mut state = SessionState::default();
    let serial = serial_order(&archive, &selection);
    for index in &serial {
        let _ = statements(&archive, &archive.entries[*index], &options, &mut state);
    }
    let mut schedule = Schedule::new(&archive, &selection, &|id| id as u64);
    let mut ran = schedule.pre_data().len();
    while let Some(index) = schedule.next_ready() {
        ran += 1;
        schedule.done(index);
    }
    assert_eq!(ran, serial.len());
});
