//! Any bytes as a tar archive: entries, or refused; the same in small pieces as at once. Blocks
//! that look like a header get the right checksum, which chance would never find.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgark_bytes::tar::{TAR_BLOCK, TarEntry, TarError, TarEvent, TarKind, TarReader, Trailer};

type Entries = Vec<(TarEntry, Vec<u8>)>;

fn read(bytes: &[u8], piece: usize, trailer: Trailer) -> (Entries, Result<(), TarError>) {
    let mut reader = TarReader::new(trailer);
    let mut found: Entries = Vec::new();
    let mut ended = 0;
    for mut input in bytes.chunks(piece) {
        loop {
            match reader.read(&mut input) {
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
                Ok(Some(TarEvent::Entry(entry))) => found.push((entry, Vec::new())),
                Ok(Some(TarEvent::Data(data))) => found.last_mut().expect("an entry").1.extend_from_slice(data),
                Ok(Some(TarEvent::EntryEnds)) => {
                    ended += 1;
                    let (entry, content) = &found[ended - 1];
                    let size = content.len() as u64;
                    assert!(matches!(entry.kind, TarKind::File { size: own } if own == size) || size == 0);
                }
            }
        }
    }
    let verdict = reader.finish();
    assert!(verdict.is_err() || ended == found.len());
    (found, verdict)
}

fuzz_target!(|input: (u16, bool, &[u8])| {
    let mut bytes = input.2.to_vec();
    for block in bytes.chunks_exact_mut(TAR_BLOCK) {
        if block[257..].starts_with(b"ustar") {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:07o} ").as_bytes());
        }
    }
    let trailer = if input.1 { Trailer::Needed } else { Trailer::CanBeMissing };
    let whole = read(&bytes, bytes.len().max(1), trailer);
    assert_eq!(read(&bytes, usize::from(input.0).max(1), trailer), whole);
    for (entry, _) in &whole.0 {
        assert!(!entry.name.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")));
    }
});
