//! Pages of a real cluster: headers and checksums, as the server wrote them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::Cluster;
use pgark_bytes::lsn::Lsn;
use pgark_bytes::page::{Header, checksum, is_zero};

const PAGE: usize = 8192;

/// One of each kind of page: heap, free space and visibility maps, TOAST, all access methods,
/// sequences, an unlogged table, a copied database, and new pages (a hash index that grew).
const PAGES: &str = "
    CREATE TABLE t (n int, v text, p point, a int[]);
    INSERT INTO t SELECT n, repeat(md5(n::text), 3), point(n, n), ARRAY[n, n + 1] FROM generate_series(1, 20000) n;
    INSERT INTO t SELECT 0, string_agg(md5(n::text), ''), NULL, NULL FROM generate_series(1, 9000) n;
    CREATE INDEX ON t (n); CREATE INDEX ON t USING hash (v); CREATE INDEX ON t USING gist (p);
    CREATE INDEX ON t USING gin (a); CREATE INDEX ON t USING spgist (p); CREATE INDEX ON t USING brin (n);
    CREATE TABLE h (n int); CREATE INDEX ON h USING hash (n);
    INSERT INTO h SELECT n FROM generate_series(1, 30000) n;
    CREATE SEQUENCE s; SELECT nextval('s');
    CREATE UNLOGGED TABLE u AS SELECT n, v FROM t;
    DELETE FROM t WHERE n % 7 = 0;
    VACUUM t;
    CREATE DATABASE other STRATEGY file_copy;
    CHECKPOINT;
";

/// Relation files below `base` and `global`.
fn relation_files(data: &Path) -> Vec<PathBuf> {
    let mut folders = vec![data.join("global")];
    folders.extend(fs::read_dir(data.join("base")).unwrap().map(|entry| entry.unwrap().path()));
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let is_relation = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(|first: char| first.is_ascii_digit())
    };
    files.map(|entry| entry.unwrap().path()).filter(is_relation).collect()
}

#[test]
fn every_page_of_a_cluster_verifies_and_a_flipped_bit_does_not() {
    let cluster = Cluster::start_with(&["-k"]);
    cluster.sql("postgres", PAGES);
    let end: Lsn = cluster.sql("postgres", "SELECT pg_current_wal_insert_lsn()").trim().parse().unwrap();
    cluster.stop();
    let files = relation_files(&cluster.path().join("data"));
    let (mut pages, mut new, mut flipped, mut missed) = (0, 0, 0, 0);
    let mut highest = Lsn(0);
    for path in &files {
        let bytes = fs::read(path).unwrap();
        assert_eq!(bytes.len() % PAGE, 0, "{}", path.display());
        for (block, page) in bytes.chunks(PAGE).enumerate() {
            let number = u32::try_from(block).unwrap();
            let at = || format!("{} block {block}", path.display());
            let header = Header::read(page).unwrap();
            pages += 1;
            if header.is_new() {
                new += 1;
                assert!(is_zero(page), "{}", at());
                continue;
            }
            assert!(!is_zero(page));
            assert_eq!(header.checksum, checksum(page, number), "{}", at());
            assert_eq!(header.fault(PAGE), None, "{}", at());
            highest = highest.max(header.lsn);
            if pages % 13 == 0 {
                let mut page = page.to_vec();
                let bit = (pages * 7919) % (PAGE * 8);
                page[bit / 8] ^= 1 << (bit % 8);
                flipped += 1;
                let header = Header::read(&page).unwrap();
                missed += usize::from(!header.is_new() && header.checksum == checksum(&page, number));
            }
        }
    }
    assert!(files.len() > 600 && pages > 3000 && new > 0, "{} files, {pages} pages, {new} new", files.len());
    // The stop itself wrote a checkpoint behind `end`, but changed no page.
    assert!(highest > Lsn(0) && highest <= end, "{highest} of {end}");
    // 16 bits miss one of 65,535.
    assert!(flipped > 200 && missed <= 2, "{missed} of {flipped} missed");
}
