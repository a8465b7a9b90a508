//! Backup manifests: those of servers are read and written again byte for byte; those that are made
//! here satisfy `pg_verifybackup`; damaged ones are refused.
//!
//! `fixtures/backup_manifest/MAJOR` is of a server of that major, most of whose files were deleted
//! to make it short.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::Cluster;
use pgark_bytes::backup_label::BackupLabel;
use pgark_bytes::backup_manifest::*;
use pgark_bytes::control_file::ControlFile;
use pgark_bytes::crc32c;
use pgark_bytes::lsn::Lsn;
use proptest::prelude::*;

/// A file that owns its path.
type File = (Vec<u8>, u64, Option<i64>, Option<FileChecksum>);

fn read(bytes: &[u8]) -> Result<(Manifest, Vec<File>), ManifestError> {
    let mut files = Vec::new();
    let manifest = read_manifest(bytes, &mut |file: ManifestFile<'_>| {
        files.push((file.path.to_vec(), file.size, file.last_modified, file.checksum));
        Ok::<_, ManifestError>(())
    })?;
    assert_eq!(manifest.files, files.len() as u64);
    Ok((manifest, files))
}

fn write(manifest: &Manifest, files: &[File]) -> Vec<u8> {
    let mut writer = ManifestWriter::new(Vec::new(), manifest.version).unwrap();
    for (path, size, last_modified, checksum) in files {
        let file = ManifestFile { path, size: *size, last_modified: *last_modified, checksum: *checksum };
        writer.file(&file).unwrap();
    }
    writer.finish(&manifest.wal_ranges).unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/backup_manifest/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn manifests_of_servers_come_back_byte_for_byte() {
    let range = |start, end| WalRange { timeline: 1, start: Lsn(start), end: Lsn(end) };
    let v2 = ManifestVersion::V2 { system_identifier: 7714091698936812201 };
    for (name, version, files, range) in [
        ("13", ManifestVersion::V1, 52, range(0x140_0028, 0x140_0100)),
        ("18", v2, 55, range(0x130_0028, 0x130_0120)),
    ] {
        let bytes = fixture(name);
        let (manifest, read_files) = read(&bytes).unwrap();
        assert_eq!((manifest.version, manifest.files), (version, files), "{name}");
        assert_eq!(manifest.wal_ranges, [range]);
        let (path, size, modified, checksum) = &read_files[1];
        assert_eq!((path.as_slice(), *size), (&b"PG_VERSION"[..], 3));
        assert_eq!(*checksum, Some(FileChecksum::Crc32c(crc32c::checksum(format!("{name}\n").as_bytes()))));
        assert!(modified.unwrap() > 1_796_000_000);
        assert_eq!(write(&manifest, &read_files), bytes);
    }
}

/// A manifest with every kind of value.
fn small() -> (Manifest, Vec<File>) {
    let files = vec![
        (b"PG_VERSION".to_vec(), 3, Some(1_796_076_935), Some(FileChecksum::Crc32c(0xE27B_4E99))),
        (
            "odd \"\\\n\u{1}\u{7F}\u{e9}".as_bytes().to_vec(),
            0,
            Some(0),
            Some(FileChecksum::Sha224([0xAB; 28])),
        ),
        (b"not \xFF utf-8/x".to_vec(), u64::MAX, Some(-1), Some(FileChecksum::Sha256([1; 32]))),
        (b"a/b".to_vec(), 1, None, Some(FileChecksum::Sha384([2; 48]))),
        (b"c".to_vec(), 1, Some(253_402_207_199), None),
        (b"d".to_vec(), 1, Some(1), Some(FileChecksum::Sha512([3; 64]))),
    ];
    let wal_ranges = vec![
        WalRange { timeline: 3, start: Lsn(0x14_0000A0), end: Lsn(0x1_0000_0028) },
        WalRange { timeline: 2, start: Lsn(0x13_000028), end: Lsn(0x14_0000A0) },
    ];
    (Manifest { version: ManifestVersion::V2 { system_identifier: u64::MAX }, files: 6, wal_ranges }, files)
}

#[test]
fn every_kind_of_value() {
    let (manifest, files) = small();
    let bytes = write(&manifest, &files);
    let text = String::from_utf8(bytes.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "{ \"PostgreSQL-Backup-Manifest-Version\": 2,",
            "\"System-Identifier\": 18446744073709551615,",
            "\"Files\": [",
        ]
    );
    assert_eq!(
        lines[3],
        "{ \"Path\": \"PG_VERSION\", \"Size\": 3, \"Last-Modified\": \"2026-11-30 22:15:35 GMT\", \
         \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"994e7be2\" },"
    );
    assert!(lines[4].starts_with("{ \"Path\": \"odd \\\"\\\\\\n\\u0001\u{7F}\u{e9}\", \"Size\": 0, \"Last-Modified\": \"1970-01-01 00:00:00 GMT\", \"Checksum-Algorithm\": \"SHA224\", \"Checksum\": \"abab"));
    assert!(lines[5].starts_with("{ \"Encoded-Path\": \"6e6f7420ff207574662d382f78\", \"Size\": 18446744073709551615, \"Last-Modified\": \"1969-12-31 23:59:59 GMT\""));
    assert!(lines[6].starts_with("{ \"Path\": \"a/b\", \"Size\": 1, \"Checksum-Algorithm\": \"SHA384\""));
    assert_eq!(lines[7], "{ \"Path\": \"c\", \"Size\": 1, \"Last-Modified\": \"9999-12-30 21:59:59 GMT\" },");
    assert_eq!(
        lines[9..13],
        [
            "],",
            "\"WAL-Ranges\": [",
            "{ \"Timeline\": 3, \"Start-LSN\": \"0/140000A0\", \"End-LSN\": \"1/28\" },",
            "{ \"Timeline\": 2, \"Start-LSN\": \"0/13000028\", \"End-LSN\": \"0/140000A0\" }",
        ]
    );
    assert_eq!(read(&bytes).unwrap(), (manifest, files));
    // A backup of nothing.
    let empty = Manifest { version: ManifestVersion::V1, files: 0, wal_ranges: vec![] };
    let bytes = write(&empty, &[]);
    assert!(bytes.starts_with(
        b"{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n],\n\"WAL-Ranges\": [\n\n],\n"
    ));
    assert_eq!(read(&bytes).unwrap(), (empty, vec![]));
    // What no year has four digits for.
    let far = write(
        &Manifest { version: ManifestVersion::V1, files: 1, wal_ranges: vec![] },
        &[(b"x".to_vec(), 0, Some(i64::MAX), None)],
    );
    assert!(String::from_utf8(far).unwrap().contains("\"9999-12-30 22:00:00 GMT\""));
}

#[test]
fn every_cut_and_every_flipped_bit_is_found() {
    let (manifest, files) = small();
    let bytes = write(&manifest, &files);
    for end in 0..bytes.len() {
        match read(&bytes[..end]).unwrap_err() {
            ManifestError::Truncated { line } => {
                let lines = 1 + bytes[..end].iter().filter(|byte| **byte == b'\n').count();
                assert!(line == lines || end == 0, "{line} of {lines} at {end}");
            }
            // All but the line break at the end.
            ManifestError::Lines => assert_eq!(end, bytes.len() - 1),
            other => panic!("{other:?} at {end}"),
        }
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // A digit of the checksum in the other case is the same digit.
        if let Ok(read) = read(&damaged) {
            assert!(damaged[bit / 8].is_ascii_hexdigit() && bit % 8 == 5 && bit / 8 > bytes.len() - 70);
            assert_eq!(read, (manifest.clone(), files.clone()));
        }
    }
}

/// The small manifest with some text in place of another, and the checksum made right.
fn changed(from: &str, to: &str) -> ManifestError {
    let (manifest, files) = small();
    let text = String::from_utf8(write(&manifest, &files)).unwrap();
    assert!(text.contains(from), "{from}");
    read(&resealed(&text.replacen(from, to, 1))).unwrap_err()
}

/// With the checksum of what is in front of its last line.
fn resealed(text: &str) -> Vec<u8> {
    let (front, _) = text.split_once("\"Manifest-Checksum\"").unwrap();
    let whole = write(&Manifest { version: ManifestVersion::V1, files: 0, wal_ranges: vec![] }, &[]);
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    assert!(whole[last..].starts_with(b"\"Manifest-Checksum\""));
    let digest = <sha2::Sha256 as sha2::Digest>::digest(front);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{front}\"Manifest-Checksum\": \"{digits}\"}}\n").into_bytes()
}

#[test]
fn what_no_manifest_has() {
    let fault = |from: &str, to: &str| match changed(from, to) {
        ManifestError::Invalid { line, fault } => (line, fault),
        other => panic!("{other:?}"),
    };
    use ManifestFault::*;
    assert_eq!(fault("Manifest-Version\": 2", "Manifest-Version\": 3"), (1, Version(3)));
    assert_eq!(fault("\"PostgreSQL-Backup-Manifest-Version\": 2,\n", ""), (1, NoVersion));
    assert_eq!(fault("Manifest-Version\": 2", "Manifest-Version\": 1"), (2, Misplaced("System-Identifier")));
    assert_eq!(fault("\"System-Identifier\": 18446744073709551615,\n", ""), (2, Misplaced("Files")));
    assert_eq!(fault("\"WAL-Ranges\"", "\"Files\": [],\n\"WAL-Ranges\""), (11, Misplaced("Files")));
    assert_eq!(fault("{ \"Path\": \"c\"", "{ \"Path\": \"c\", \"Encoded-Path\": \"00\"").1, OnePath);
    assert_eq!(fault("\"Path\": \"c\", ", "").1, OnePath);
    assert_eq!(
        fault("\"Encoded-Path\": \"6e", "\"Encoded-Path\": \"6").1,
        Path("66f7420ff207574662d382f78".into())
    );
    for path in ["/etc/passwd", "..", "a/../../b", "./a", "a//b", "a/", "", "a\\u0000b"] {
        let (line, found) = fault("\"Path\": \"a/b\"", &format!("\"Path\": \"{path}\""));
        assert_eq!((line, found), (7, Path(path.replace("\\u0000", "\0"))));
    }
    assert_eq!(
        fault("\"Checksum-Algorithm\": \"SHA224\", ", ""),
        (5, HalfChecksum("odd \"\\\n\u{1}\u{7F}\u{e9}".into()))
    );
    assert_eq!(fault(", \"Checksum\": \"994e7be2\"", ""), (4, HalfChecksum("PG_VERSION".into())));
    assert_eq!(fault("CRC32C", "MD5"), (4, Algorithm("MD5".into())));
    for digits in ["", "994e7be", "994e7be2ff", "994e7bex", "+94e7be2"] {
        assert_eq!(fault("994e7be2", digits), (4, Digits(digits.into())));
    }
    assert_eq!(fault("0/140000A0\" }", "140000A0\" }"), (13, Lsn("140000A0".into())));
    let range =
        Range { timeline: 2, start: "0/13000028".parse().unwrap(), end: "0/13000020".parse().unwrap() };
    assert_eq!(fault("\"0/140000A0\" }", "\"0/13000020\" }"), (13, range));
    assert!(matches!(fault("\"Timeline\": 3", "\"Timeline\": 0").1, Range { timeline: 0, .. }));
    // Names of algorithms can be in any case, digits too.
    let (manifest, files) = small();
    let text = String::from_utf8(write(&manifest, &files)).unwrap();
    let text =
        text.replace("CRC32C", "crc32c").replace("994e7be2", "994E7BE2").replace("2026-11-30", "30.11.2026");
    let (_, again) = read(&resealed(&text)).unwrap();
    assert_eq!((again[0].2, again[0].3), (None, files[0].3));
}

#[test]
fn what_is_not_the_json_of_a_manifest() {
    for (from, to, line, said) in [
        ("\"Size\": 3", "\"Size\": \"3\"", 4, "invalid type: string \"3\", expected u64"),
        ("\"Size\": 3", "\"Size\": -3", 4, "invalid value: integer `-3`, expected u64"),
        ("\"Size\": 3, ", "", 4, "missing field `Size`"),
        ("\"Size\": 3", "\"Size\": 3, \"Size\": 3", 4, "duplicate field `Size`"),
        ("\"Size\": 3", "\"Size\": 3, \"Colour\": 3", 4, "unknown field `Colour`"),
        (
            "\"Timeline\": 3",
            "\"Timeline\": 4294967296",
            12,
            "invalid value: integer `4294967296`, expected u32",
        ),
        ("\"WAL-Ranges\"", "\"Colour\"", 11, "unknown field `Colour`"),
        (
            "{ \"Path\": \"c\"",
            "[\"c\", null, 1], { \"Path\": \"c\"",
            8,
            "invalid type: sequence, expected an object",
        ),
        ("\"Files\": [", "\"Files\": {", 3, "invalid type: map, expected a list of files"),
    ] {
        let ManifestError::Json { line: found, source } = changed(from, to) else { panic!("{from}") };
        let source = source.to_string();
        assert!(found == line && source.starts_with(said), "{found}: {source}");
    }
    let (manifest, files) = small();
    let whole = write(&manifest, &files);
    let behind = [&whole[..], b"x"].concat();
    assert!(matches!(read(&behind), Err(ManifestError::Json { .. })));
    // Empty lines would be hashed as the line of the checksum.
    assert!(matches!(read(&[&whole[..], b"\n"].concat()), Err(ManifestError::Checksum { .. })));
    let one_line: Vec<u8> = whole.iter().copied().filter(|byte| *byte != b'\n').chain([b'\n']).collect();
    assert!(matches!(read(&one_line), Err(ManifestError::Lines)));
    let stored = String::from_utf8(whole).unwrap().replace("PG_VERSION", "PG_VERSIOM");
    let error = read(stored.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("read the backup manifest: its checksum is "), "{error}");
}

#[test]
fn entries_without_end_take_no_memory() {
    let long = "x".repeat(70_000);
    assert!(matches!(changed("PG_VERSION", &long), ManifestError::TooLong));
    assert!(matches!(
        changed("\"Size\": 3", &format!("\"Size\": {}3", " ".repeat(70_000))),
        ManifestError::TooLong
    ));
    let endless = b"{ \"PostgreSQL-Backup-Manifest-Version\": 1, \"Files\": [ { \"Path\": \""
        .chain(std::io::repeat(b'x'));
    let result = read_manifest(endless, &mut |_| Ok::<_, ManifestError>(()));
    assert!(matches!(result, Err(ManifestError::TooLong)));
    let endless = b"[".chain(std::io::repeat(b'['));
    let result = read_manifest(endless, &mut |_| Ok::<_, ManifestError>(()));
    assert!(matches!(result, Err(ManifestError::Json { line: 1, .. })));
    // Many entries are fine, many ranges are not.
    let file = (b"base/5/1259".to_vec(), 8192, Some(1), Some(FileChecksum::Crc32c(1)));
    let ranges = vec![WalRange { timeline: 1, start: Lsn(0), end: Lsn(8) }; 10_001];
    let many = |ranges: &[WalRange]| Manifest {
        version: ManifestVersion::V1,
        files: 3000,
        wal_ranges: ranges.to_vec(),
    };
    let bytes = write(&many(&ranges[1..]), &vec![file.clone(); 3000]);
    assert_eq!(read(&bytes).unwrap().0.wal_ranges.len(), 10_000);
    let error = read(&write(&many(&ranges), &vec![file; 3000])).unwrap_err();
    assert!(matches!(error, ManifestError::Invalid { fault: ManifestFault::Ranges, .. }));
}

#[test]
fn the_caller_can_stop_and_the_input_can_fail() {
    #[derive(Debug)]
    enum Mine {
        Manifest,
        Enough(u64),
    }
    impl From<ManifestError> for Mine {
        fn from(_: ManifestError) -> Mine {
            Mine::Manifest
        }
    }
    let mut seen = 0;
    let result = read_manifest(&fixture("18")[..], &mut |file| {
        seen += 1;
        if seen == 3 { Err(Mine::Enough(file.size)) } else { Ok(()) }
    });
    assert!(matches!(result, Err(Mine::Enough(8192))), "{result:?}");
    assert!(matches!(read_manifest(&b"x"[..], &mut |_| Ok(())), Err(Mine::Manifest)));
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
        }
    }
    let broken = fixture("18")[..500].to_vec();
    let result = read_manifest(broken.chain(Broken), &mut |_| Ok::<_, ManifestError>(()));
    let Err(ManifestError::Read(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// Bytes one by one, two by two, …: the hash must not depend on it.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let length = to.len().min(self.1);
        (&mut self.0).take(length as u64).read(to)
    }
}

fn checksum() -> impl Strategy<Value = Option<FileChecksum>> {
    prop_oneof![
        Just(None),
        any::<u32>().prop_map(|crc| Some(FileChecksum::Crc32c(crc))),
        any::<[u8; 28]>().prop_map(|digest| Some(FileChecksum::Sha224(digest))),
        any::<[u8; 32]>().prop_map(|digest| Some(FileChecksum::Sha256(digest))),
        any::<[u8; 16]>().prop_map(|part| Some(FileChecksum::Sha384(part.repeat(3).try_into().unwrap()))),
        any::<[u8; 16]>().prop_map(|part| Some(FileChecksum::Sha512(part.repeat(4).try_into().unwrap()))),
    ]
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        "[a-z0-9_]{1,12}".prop_map(String::into_bytes),
        "[^/\0]{1,8}".prop_map(String::into_bytes),
        proptest::collection::vec((1u8..).prop_filter("a name", |byte| *byte != b'/'), 1..8),
    ];
    proptest::collection::vec(name.prop_filter("a name", |name| name != b"." && name != b".."), 1..4)
        .prop_map(|names| names.join(&b'/'))
}

proptest! {
    #[test]
    fn manifests_come_back(
        files in proptest::collection::vec(
            (path(), any::<u64>(), proptest::option::of(-62_167_219_200i64..253_402_200_000), checksum()), 0..12,
        ),
        ranges in proptest::collection::vec((1u32.., any::<u64>(), any::<u64>()), 0..4),
        system_identifier in proptest::option::of(any::<u64>()),
        piece in 1usize..300,
    ) {
        let version = system_identifier
            .map_or(ManifestVersion::V1, |system_identifier| ManifestVersion::V2 { system_identifier });
        let wal_ranges = ranges
            .into_iter()
            .map(|(timeline, a, b)| WalRange { timeline, start: Lsn(a.min(b)), end: Lsn(a.max(b)) })
            .collect();
        let manifest = Manifest { version, files: files.len() as u64, wal_ranges };
        let bytes = write(&manifest, &files);
        let (read_manifest_, read_files) = read(&bytes).unwrap();
        prop_assert_eq!(&read_manifest_, &manifest);
        prop_assert_eq!(&read_files, &files);
        let again = read_manifest(Pieces(&bytes, piece), &mut |_| Ok::<_, ManifestError>(()));
        prop_assert_eq!(again.unwrap(), manifest);
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), length in 0usize..40) {
        let _ = read(&bytes);
        let (manifest, files) = small();
        let mut whole = write(&manifest, &files);
        let at = at.index(whole.len());
        let end = (at + length).min(whole.len());
        let is_same = whole[at..end] == bytes;
        whole.splice(at..end, bytes);
        prop_assert!(is_same || read(&whole).is_err());
    }
}

/// Files below a folder.
fn walk(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

#[test]
fn what_pg_verifybackup_says() {
    let cluster = Cluster::start();
    let data = cluster.path().join("data");
    for name in [&b"odd \"\\\n\x01\x7F\xC3\xA9"[..], b"not \xFF utf-8"] {
        std::fs::write(data.join(std::ffi::OsStr::from_bytes(name)), b"x").unwrap();
    }
    let major: i32 =
        cluster.sql("postgres", "SHOW server_version_num").trim().parse::<i32>().unwrap() / 10_000;
    let backup = cluster.path().join("backup");
    let to = backup.to_str().unwrap();
    cluster.output("pg_basebackup", &["-D", to, "-c", "fast", "-X", "stream"]);
    let manifest_path = backup.join("backup_manifest");
    let servers = std::fs::read(&manifest_path).unwrap();
    let (manifest, files) = read(&servers).unwrap();
    assert!(files.len() > 900 && files.iter().any(|file| file.0.ends_with(b"\xFF utf-8")));
    assert_eq!(write(&manifest, &files), servers);

    // One of our own, from what lies there.
    let control = ControlFile::parse(&std::fs::read(backup.join("global/pg_control")).unwrap()).unwrap();
    let label = BackupLabel::parse(&std::fs::read(backup.join("backup_label")).unwrap()).unwrap();
    let version = if major < 17 {
        ManifestVersion::V1
    } else {
        ManifestVersion::V2 { system_identifier: control.system_identifier }
    };
    assert_eq!((version, label.start_lsn), (manifest.version, manifest.wal_ranges[0].start));
    let mut paths = Vec::new();
    walk(&backup, &mut paths);
    let mut writer = ManifestWriter::new(Vec::new(), version).unwrap();
    let mut listed = 0;
    for path in paths {
        let below = path.strip_prefix(&backup).unwrap();
        if below.starts_with("pg_wal") || below == Path::new("backup_manifest") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let file = ManifestFile {
            path: below.as_os_str().as_bytes(),
            size: bytes.len() as u64,
            last_modified: Some(1_796_076_935),
            checksum: Some(FileChecksum::Crc32c(crc32c::checksum(&bytes))),
        };
        writer.file(&file).unwrap();
        listed += 1;
        let server = files.iter().find(|known| known.0 == file.path).unwrap();
        assert_eq!((server.1, server.3), (file.size, file.checksum), "{below:?}");
    }
    assert_eq!(listed, files.len());
    std::fs::write(&manifest_path, writer.finish(&manifest.wal_ranges).unwrap()).unwrap();
    // The oracle of some majors is not one for itself.
    let verify = || cluster.client("pg_verifybackup").arg(&backup).output().unwrap();
    let said = verify();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let path = backup.join("PG_VERSION");
    std::fs::write(&path, "0".repeat(std::fs::metadata(&path).unwrap().len() as usize)).unwrap();
    assert!(!verify().status.success());
}
