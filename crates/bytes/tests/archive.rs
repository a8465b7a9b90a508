//! Archives made by the real `pg_dump` 15, and damaged ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::Cluster;
use pgark_bytes::archive::{
    Archive, ArchiveError, ArchiveVersion, Compression, DirectoryCompression, Format, Limits, read_toc,
    read_toc_with_limits, write_directory_toc,
};
use proptest::prelude::*;

fn same_names(archive: &Archive, compression: DirectoryCompression) -> Vec<u8> {
    write_directory_toc(
        archive,
        &|e| e.file_name.as_ref().map(|n| String::from_utf8(n.clone()).unwrap()),
        compression,
    )
}

#[test]
fn directory_toc_is_rewritten_byte_for_byte() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE DATABASE rich");
    cluster.sql("rich", include_str!("rich.sql"));
    for args in [&["-Z0"][..], &["-Z6"], &["-s"], &["-a"], &["-C", "-c", "--if-exists"]] {
        let dir = cluster.path().join("out");
        let mut all = vec!["-Fd", "-d", "rich", "-f", dir.to_str().unwrap()];
        all.extend(args);
        cluster.output("pg_dump", &all);
        let bytes = std::fs::read(dir.join("toc.dat")).unwrap();
        let mut input = &bytes[..];
        let archive = read_toc(&mut input).unwrap();
        assert!(input.is_empty(), "{} bytes were left", input.len());
        assert_eq!(archive.header.version.to_string(), "1.14");
        assert_eq!(archive.header.format, Format::Tar);
        assert_eq!(archive.client_encoding().as_deref(), Some("UTF8"));
        assert!(archive.standard_conforming_strings());
        assert_eq!(archive.header.dbname.as_deref(), Some(&b"rich"[..]));
        assert!(same_names(&archive, DirectoryCompression::AsInHeader) == bytes, "{args:?}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn custom_stream_becomes_the_directory_that_pg_restore_lists() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE DATABASE rich");
    cluster.sql("rich", include_str!("rich.sql"));
    let stream = cluster.output("pg_dump", &["-Fc", "-Z0", "-d", "rich"]);
    let mut input = &stream[..];
    let archive = read_toc(&mut input).unwrap();
    // The first data block begins right behind the TOC: block type 1 or 3.
    assert!(matches!(input.first(), Some(1 | 3)), "{:?}", input.first());
    assert_eq!(archive.header.format, Format::Custom);
    assert_eq!(archive.header.compression, Compression::Level(0));

    let dir = cluster.path().join("out");
    std::fs::create_dir(&dir).unwrap();
    let toc = write_directory_toc(
        &archive,
        &|e| e.had_dumper.then(|| format!("{}.dat", e.dump_id)),
        DirectoryCompression::None,
    );
    std::fs::write(dir.join("toc.dat"), &toc).unwrap();
    let custom = cluster.path().join("custom");
    std::fs::write(&custom, &stream).unwrap();
    let lines = |path: &std::path::Path| {
        let text = cluster.output("pg_restore", &["-l", path.to_str().unwrap()]);
        let text = String::from_utf8(text).unwrap();
        text.lines().filter(|l| !l.starts_with(';')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&dir), lines(&custom));

    let again = read_toc(&mut &toc[..]).unwrap();
    for (a, b) in archive.entries.iter().zip(&again.entries) {
        assert_eq!((a.dump_id, &a.defn, &a.dependencies), (b.dump_id, &b.defn, &b.dependencies));
        assert_eq!(b.file_name.as_deref().unwrap().is_empty(), !a.had_dumper);
        assert!(b.offset.is_none());
    }
}

fn int(out: &mut Vec<u8>, v: i32) {
    out.push(u8::from(v < 0));
    out.extend(v.unsigned_abs().to_le_bytes());
}

fn string(out: &mut Vec<u8>, v: Option<&[u8]>) {
    int(out, v.map_or(-1, |v| v.len() as i32));
    out.extend(v.unwrap_or_default());
}

fn header(minor: u8) -> Vec<u8> {
    let mut b = b"PGDMP".to_vec();
    b.extend([1, minor, 0, 4, 8, 3]);
    if minor >= 15 {
        b.push(3);
    } else {
        int(&mut b, -1);
    }
    for v in [1, 2, 3, 4, 5, 126, 0] {
        int(&mut b, v);
    }
    for v in ["db", "17.1", "17.1"] {
        string(&mut b, Some(v.as_bytes()));
    }
    b
}

fn synthetic(minor: u8) -> Vec<u8> {
    let mut b = header(minor);
    int(&mut b, 1);
    int(&mut b, 7);
    int(&mut b, 1);
    string(&mut b, Some(b"1259"));
    string(&mut b, Some(b"4294967295"));
    string(&mut b, Some(b"caf\xe9"));
    string(&mut b, Some(b"TABLE"));
    int(&mut b, 2);
    string(&mut b, Some(b"CREATE TABLE x;"));
    string(&mut b, Some(b""));
    string(&mut b, None);
    string(&mut b, Some(b"public"));
    string(&mut b, Some(b""));
    if minor >= 14 {
        string(&mut b, Some(b"heap"));
    }
    if minor >= 16 {
        int(&mut b, i32::from(b'p'));
    }
    string(&mut b, Some(b"alice"));
    string(&mut b, Some(b"false"));
    for v in [Some(&b"12"[..]), Some(b"3"), None] {
        string(&mut b, v);
    }
    string(&mut b, Some(b"7.dat"));
    b
}

#[test]
fn every_version_is_read_and_rewritten() {
    for minor in 12..=16 {
        let bytes = synthetic(minor);
        let archive = read_toc(&mut &bytes[..]).unwrap();
        let e = &archive.entries[0];
        assert_eq!(archive.header.version, ArchiveVersion { major: 1, minor, rev: 0 });
        assert_eq!((e.oid, e.tag_bytes(), e.kind()), (u32::MAX, &b"caf\xe9"[..], "TABLE"));
        assert_eq!(e.tag_str(), "caf\\xE9");
        assert_eq!((e.drop_stmt.as_deref(), e.copy_stmt.as_deref()), (Some(&b""[..]), None));
        assert_eq!(e.table_am.is_some(), minor >= 14);
        assert_eq!(e.relkind, (minor >= 16).then_some(i32::from(b'p')));
        assert_eq!(e.dependencies, [12, 3]);
        assert_eq!(same_names(&archive, DirectoryCompression::AsInHeader), bytes);
        let none = read_toc(&mut &same_names(&archive, DirectoryCompression::None)[..]).unwrap();
        let expected = if minor >= 15 { Compression::Algorithm(0) } else { Compression::Level(0) };
        assert_eq!(none.header.compression, expected);
    }
}

#[test]
fn what_cannot_be_read_says_where() {
    let bytes = synthetic(16);
    for length in 0..bytes.len() {
        let error = read_toc(&mut &bytes[..length]).unwrap_err();
        assert!(matches!(error, ArchiveError::Read { .. }), "{error}");
    }
    let message = |bytes: &[u8]| read_toc(&mut &bytes[..]).unwrap_err().to_string();
    assert_eq!(message(b"PK\x03\x04...."), "read the archive header: this is not a pg_dump archive");
    assert!(message(&header(17)).contains("1.17 is not supported"));
    let mut bad = header(14);
    int(&mut bad, 1);
    int(&mut bad, 7);
    int(&mut bad, 1);
    string(&mut bad, Some(b"x"));
    assert_eq!(message(&bad), "read the catalog OID of TOC entry 1: it is not a decimal number");
    let mut huge = header(14);
    int(&mut huge, i32::MAX);
    assert!(message(&huge).contains("the entry count of the archive header: 2147483647 is above"));
    let limits = Limits { string_bytes: 4, entries: 10 };
    let error = read_toc_with_limits(&mut &bytes[..], limits).unwrap_err();
    assert!(
        matches!(error, ArchiveError::TooLarge { entry: 1, field: "the catalog OID" | "the object OID", .. }),
        "{error}"
    );
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_toc(&mut &bytes[..]);
    }

    #[test]
    fn damaged_archives_never_panic(minor in 12u8..=16, at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut bytes = synthetic(minor);
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(archive) = read_toc(&mut &bytes[..]) {
            let _ = same_names_lossy(&archive);
        }
    }
}

fn same_names_lossy(archive: &Archive) -> Vec<u8> {
    write_directory_toc(archive, &|_| None, DirectoryCompression::AsInHeader)
}
