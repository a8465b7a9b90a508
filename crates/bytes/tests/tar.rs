//! Tar archives: what a small writer and GNU tar write comes back, in whatever pieces it arrives;
//! what was changed or cut off is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Command;

use pgark_bytes::tar::{TAR_BLOCK, TarEntry, TarError, TarEvent, TarKind, TarReader, Trailer};
use proptest::prelude::*;

/// A number as a server writes it (src/port/tar.c, print_tar_number).
fn number(value: u64, length: usize) -> Vec<u8> {
    let digits = length - 1;
    if value < 1 << (3 * digits) {
        return format!("{value:0digits$o} ").into_bytes();
    }
    let bytes: Vec<u8> = std::iter::repeat_n(0, 8).chain(value.to_be_bytes()).collect();
    [&[0x80], &bytes[bytes.len() - digits..]].concat()
}

/// The header of an entry, as a server writes it; of a long name, the first part goes into the
/// prefix field.
fn header(entry: &TarEntry) -> [u8; TAR_BLOCK] {
    let mut block = [0; TAR_BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let mut name = entry.name.clone();
    let size = match &entry.kind {
        TarKind::File { size } => *size,
        _ => {
            name.push(b'/');
            0
        }
    };
    if name.len() > 100 {
        let cut = (0..name.len() - 1).find(|at| name[*at] == b'/' && name.len() - at <= 101).unwrap();
        put(345, &name[..cut]);
        name.drain(..=cut);
    }
    put(0, &name);
    put(100, &number(entry.mode.into(), 8));
    put(108, &number(entry.uid.into(), 8));
    put(116, &number(entry.gid.into(), 8));
    put(124, &number(size, 12));
    put(136, &number(entry.mtime.cast_unsigned(), 12));
    put(148, b"        ");
    match &entry.kind {
        TarKind::File { .. } => put(156, b"0"),
        TarKind::Directory => put(156, b"5"),
        TarKind::Symlink { target } => {
            put(156, b"2");
            put(157, target);
        }
    }
    put(257, b"ustar\x0000");
    put(265, b"postgres");
    put(297, b"postgres");
    let sum = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(&number(sum, 8));
    block
}

/// The same header with some other bytes, and the right checksum for them.
fn changed(header: &[u8; TAR_BLOCK], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut block = header.to_vec();
    block[at..at + bytes.len()].copy_from_slice(bytes);
    block[148..156].copy_from_slice(b"        ");
    let sum = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(&number(sum, 8));
    block
}

fn archive(entries: &[(TarEntry, Vec<u8>)], trailer_blocks: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (entry, content) in entries {
        bytes.extend_from_slice(&header(entry));
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(TAR_BLOCK), 0);
    }
    bytes.resize(bytes.len() + trailer_blocks * TAR_BLOCK, 0);
    bytes
}

/// Reads pieces of these sizes, again and again: the entries with their contents. Each entry must
/// end before the next one begins.
fn read(bytes: &[u8], sizes: &[usize], trailer: Trailer) -> Result<Vec<(TarEntry, Vec<u8>)>, TarError> {
    let mut reader = TarReader::new(trailer);
    let mut found: Vec<(TarEntry, Vec<u8>)> = Vec::new();
    let mut is_open = false;
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (mut input, behind) = rest.split_at((*sizes.next().unwrap()).clamp(1, rest.len()));
        rest = behind;
        while let Some(event) = reader.read(&mut input)? {
            match event {
                TarEvent::Entry(entry) => {
                    assert!(!is_open);
                    is_open = true;
                    found.push((entry, Vec::new()));
                }
                TarEvent::Data(data) => {
                    assert!(is_open && !data.is_empty());
                    found.last_mut().unwrap().1.extend_from_slice(data);
                }
                TarEvent::EntryEnds => {
                    assert!(is_open);
                    is_open = false;
                }
            }
        }
        assert!(input.is_empty());
    }
    reader.finish()?;
    assert!(!is_open);
    Ok(found)
}

fn entry(name: &str, kind: TarKind) -> TarEntry {
    TarEntry { name: name.into(), kind, mode: 0o600, uid: 107, gid: 115, mtime: 1_790_000_000 }
}

fn entries() -> impl Strategy<Value = Vec<(TarEntry, Vec<u8>)>> {
    let name = "[a-zA-Z0-9_.]{0,3}[a-z0-9](/[a-z0-9_.]{0,40}[a-z0-9]){0,3}";
    let kind = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..1500).prop_map(Some),
        Just(Some(vec![7; TAR_BLOCK])),
        Just(None)
    ];
    let target = proptest::option::of("[ -~]{1,99}");
    let rest = (0u32..0o10000, any::<u32>(), any::<u32>(), any::<i64>());
    let one = (name, kind, target, rest).prop_map(|(name, content, target, (mode, uid, gid, mtime))| {
        let kind = match (&content, target) {
            (Some(content), _) => TarKind::File { size: content.len() as u64 },
            (None, Some(target)) => TarKind::Symlink { target: target.into_bytes() },
            (None, None) => TarKind::Directory,
        };
        (TarEntry { name: name.into_bytes(), kind, mode, uid, gid, mtime }, content.unwrap_or_default())
    });
    proptest::collection::vec(one, 0..6)
}

proptest! {
    #[test]
    fn archives_come_back_in_any_pieces(
        entries in entries(),
        sizes in proptest::collection::vec(1usize..2000, 1..8),
        trailer in 0usize..5,
    ) {
        let bytes = archive(&entries, trailer);
        match trailer {
            0 => {
                prop_assert_eq!(&read(&bytes, &sizes, Trailer::CanBeMissing).unwrap(), &entries);
                let at = bytes.len() as u64;
                prop_assert_eq!(read(&bytes, &sizes, Trailer::Needed), Err(TarError::NoTrailer { at }));
            }
            1 => {
                let at = bytes.len() as u64;
                for trailer in [Trailer::CanBeMissing, Trailer::Needed] {
                    prop_assert_eq!(read(&bytes, &sizes, trailer), Err(TarError::Short { at }));
                }
            }
            _ => for trailer in [Trailer::CanBeMissing, Trailer::Needed] {
                prop_assert_eq!(&read(&bytes, &sizes, trailer).unwrap(), &entries);
            }
        }
    }

    #[test]
    fn no_byte_of_a_header_changes_unnoticed(
        entries in entries(),
        which in any::<prop::sample::Index>(),
        at in 0usize..TAR_BLOCK,
        to in any::<u8>(),
    ) {
        prop_assume!(!entries.is_empty());
        let which = which.index(entries.len());
        let mut bytes = archive(&entries, 2);
        let at = archive(&entries[..which], 0).len() + at;
        bytes[at] = to;
        match read(&bytes, &[997], Trailer::Needed) {
            // Only in how the sum is ended.
            Ok(found) => prop_assert_eq!(found, entries),
            Err(TarError::Checksum { .. } | TarError::Number { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn what_is_cut_off_is_found(entries in entries(), cut in any::<prop::sample::Index>()) {
        let bytes = archive(&entries, 2);
        let cut = cut.index(bytes.len());
        prop_assert!(read(&bytes[..cut], &[1000], Trailer::Needed).is_err());
        let ends: Vec<usize> = (0..=entries.len()).map(|count| archive(&entries[..count], 0).len()).collect();
        let found = read(&bytes[..cut], &[1000], Trailer::CanBeMissing);
        match ends.iter().position(|end| *end == cut) {
            Some(count) => prop_assert_eq!(found.unwrap(), &entries[..count]),
            None => prop_assert_eq!(found, Err(TarError::Short { at: cut as u64 })),
        }
    }

    #[test]
    fn nothing_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..2000), sized in any::<bool>()) {
        if sized && bytes.len() >= TAR_BLOCK {
            let mut block = [0; TAR_BLOCK];
            block.copy_from_slice(&bytes[..TAR_BLOCK]);
            bytes.splice(..TAR_BLOCK, changed(&block, 257, b"ustar\x0000"));
        }
        let whole = read(&bytes, &[bytes.len()], Trailer::CanBeMissing);
        prop_assert_eq!(&read(&bytes, &[1, 7, 600], Trailer::CanBeMissing), &whole);
    }
}

#[test]
fn large_numbers_are_of_base_256() {
    assert_eq!(number(0o77_777_777_777, 12), b"77777777777 ");
    assert_eq!(number(8 << 30, 12), b"\x80\0\0\0\0\0\0\x02\0\0\0\0");
    // A file of 8 GiB and 5 bytes, and one behind it.
    let size = (8 << 30) + 5;
    let large = TarEntry { uid: u32::MAX, mtime: -1, ..entry("base/5/1", TarKind::File { size }) };
    let small = entry("PG_VERSION", TarKind::File { size: 3 });
    let mut reader = TarReader::new(Trailer::Needed);
    let head = header(&large);
    let mut input = &head[..];
    assert_eq!(reader.read(&mut input), Ok(Some(TarEvent::Entry(large))));
    let (piece, mut left) = (vec![0; 64 << 20], size);
    while left > 0 {
        let count = piece.len().min(usize::try_from(left).unwrap());
        let mut input = &piece[..count];
        assert!(matches!(reader.read(&mut input), Ok(Some(TarEvent::Data(data))) if data.len() == count));
        left -= count as u64;
        assert!(input.is_empty());
    }
    let rest = [&[0; TAR_BLOCK - 5][..], &archive(&[(small.clone(), b"15\n".to_vec())], 2)].concat();
    let mut input = &rest[..];
    for expected in
        [TarEvent::EntryEnds, TarEvent::Entry(small), TarEvent::Data(b"15\n"), TarEvent::EntryEnds]
    {
        assert_eq!(reader.read(&mut input), Ok(Some(expected)));
    }
    assert_eq!((reader.read(&mut input), reader.finish()), (Ok(None), Ok(())));
}

#[test]
fn what_no_server_writes_is_refused() {
    let file = header(&entry("base/5/1", TarKind::File { size: 0 }));
    let refused = |block: &[u8]| read(block, &[TAR_BLOCK], Trailer::CanBeMissing).unwrap_err();
    for name in ["", "/", "/etc/passwd", "..", "a/../../b", "a//b", "a/./b", "./", "./../a", "a/"] {
        let mut field = [0; 100];
        field[..name.len()].copy_from_slice(name.as_bytes());
        assert!(matches!(refused(&changed(&file, 0, &field)), TarError::Name { at: 0, .. }), "{name}");
    }
    for kind in [b'1', b'3', b'7', b'L', b'x', b'g'] {
        let error = refused(&changed(&file, 156, &[kind]));
        assert_eq!(error, TarError::Kind { name: b"base/5/1".to_vec(), kind });
    }
    for kind in [b"2", b"5"] {
        let block = changed(&file, 156, kind);
        let sized = changed(block.as_slice().try_into().unwrap(), 124, b"00000000001 ");
        assert_eq!(refused(&sized), TarError::Content { name: b"base/5/1".to_vec(), size: 1 });
    }
    assert_eq!(refused(&changed(&file, 257, b"ustar  \0")), TarError::NotUstar { at: 0 });
    for (at, bytes, field) in [
        (100, &b"0000009 "[..], "mode"),
        (108, b"        ", "user id"),
        (108, b"\x80\0\0\x01\0\0\0\0", "user id"),
        (116, b"-000001 ", "group id"),
        (116, b"00001 1 ", "group id"),
        (124, b"\x80\x01\0\0\0\0\0\0\0\0\0\0", "size"),
        (124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "size"),
        (136, b"\0\0\0\0\0\0\0\0\0\0\0\0", "time"),
    ] {
        assert_eq!(refused(&changed(&file, at, bytes)), TarError::Number { at: 0, field });
    }
    let behind = [&[0; 2 * TAR_BLOCK][..], &file].concat();
    assert_eq!(refused(&behind), TarError::BehindEnd { at: 1024 });
    let second = [&file[..], &[1; TAR_BLOCK]].concat();
    assert!(matches!(refused(&second), TarError::Number { at: 512, field: "checksum" }));
    // All of a directory, not its name, is where the archive was made.
    let dotted = changed(&file, 0, b"./pg_wal/summaries\0");
    assert_eq!(read(&dotted, &[512], Trailer::CanBeMissing).unwrap()[0].0.name, b"pg_wal/summaries");
}

/// GNU tar writes `ustar`, too: another writer than ours, with long names in the prefix field.
#[test]
fn archives_of_gnu_tar() {
    let folder = tempfile::tempdir().unwrap();
    let long = "n".repeat(90);
    let deep = format!("top/{long}/{}", "m".repeat(99));
    std::fs::create_dir_all(folder.path().join(&deep).parent().unwrap()).unwrap();
    std::fs::write(folder.path().join(&deep), vec![b'x'; 1300]).unwrap();
    std::fs::write(folder.path().join("top/empty"), b"").unwrap();
    std::os::unix::fs::symlink("../elsewhere", folder.path().join("top/link")).unwrap();
    let output = Command::new("tar")
        .args(["--format=ustar", "--sort=name", "--numeric-owner", "--mtime=@1234567890", "-cf", "-", "top"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let found = read(&output.stdout, &[100], Trailer::Needed).unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|(entry, content)| {
            assert_eq!(entry.mtime, 1_234_567_890);
            (String::from_utf8(entry.name.clone()).unwrap(), entry.kind.clone(), content.len())
        })
        .collect();
    let expected = [
        ("top".to_string(), TarKind::Directory, 0),
        ("top/empty".to_string(), TarKind::File { size: 0 }, 0),
        ("top/link".to_string(), TarKind::Symlink { target: b"../elsewhere".to_vec() }, 0),
        (format!("top/{long}"), TarKind::Directory, 0),
        (deep, TarKind::File { size: 1300 }, 1300),
    ];
    assert_eq!(shown, expected);
}
