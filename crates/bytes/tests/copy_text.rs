//! COPY text against the real server, and properties.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::Cluster;
use pgark_bytes::copy_text::*;
use pgark_bytes::sql;
use proptest::prelude::*;

#[test]
fn escapes_are_the_servers() {
    let values: Vec<Vec<u8>> = (1u8..=127)
        .map(|b| vec![b'a', b, b'\\', b, b'0'])
        .chain([b"\\N".to_vec(), b"\\.".to_vec(), Vec::new(), "žluť\u{1f600}".as_bytes().to_vec()])
        .collect();
    let cluster = Cluster::start();
    let mut script = "CREATE TABLE t (n int, v text, w text);\n".to_owned();
    for (n, v) in values.iter().enumerate() {
        let literal = sql::quote_literal(std::str::from_utf8(v).unwrap());
        script += &format!("INSERT INTO t VALUES ({n}, {literal}, NULL);\n");
    }
    script += "COPY (SELECT v, w, v FROM t ORDER BY n) TO STDOUT;\n";
    let output = cluster.sql("postgres", &script).into_bytes();
    let mut expected = Vec::new();
    for v in &values {
        write_row([Some(&v[..]), None, Some(&v[..])], &mut expected);
    }
    assert_eq!(String::from_utf8_lossy(&output), String::from_utf8_lossy(&expected));
    assert_eq!(count_rows(&output), values.len() as u64);
    for (row, v) in rows(&output).zip(&values) {
        let read: Vec<_> = fields(row).map(value).collect();
        assert_eq!(read[0].as_deref(), Some(&v[..]));
        assert_eq!((read[1].as_deref(), read.len()), (None, 3));
        assert_eq!(value(field(row, 2).unwrap().1).as_deref(), Some(&v[..]));
    }
}

#[test]
fn what_copy_from_accepts() {
    assert_eq!(&*unescape(b"a\\101\\x4a\\x4\\xg\\7z\\q\\400"), b"aAJ\x04xg\x07zq\x00");
    assert_eq!(&*unescape(b"tail\\"), b"tail\\");
    assert_eq!(value(b"\\N"), None);
    assert_eq!(value(b"\\\\N").as_deref(), Some(&b"\\N"[..]));
    assert_eq!(rows(b"a\n\nb").collect::<Vec<_>>(), [&b"a"[..], b"", b"b"]);
    assert_eq!((whole_rows(b"a\nb"), whole_rows(b"ab"), whole_rows(b"")), (2, 0, 0));
    assert_eq!(field(b"a\tbc\t", 1), Some((2, &b"bc"[..])));
    assert_eq!((field(b"a\tbc\t", 2), field(b"a", 1)), (Some((5, &b""[..])), None));
}

proptest! {
    #[test]
    fn rows_survive(table in proptest::collection::vec(
        proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)), 1..5), 0..8)) {
        let mut data = Vec::new();
        for row in &table {
            write_row(row.iter().map(Option::as_deref), &mut data);
        }
        let read: Vec<Vec<Option<Vec<u8>>>> = rows(&data)
            .map(|r| fields(r).map(|f| value(f).map(|v| v.into_owned())).collect())
            .collect();
        prop_assert_eq!(read, table);
    }

    #[test]
    fn sums_do_not_depend_on_order(mut lines in proptest::collection::vec("[a-z\t]{0,30}", 0..20), extra in "[a-z]{1,9}") {
        let mut a = RowSum::default();
        let mut b = RowSum::default();
        for l in &lines { a.add(format!("{l}\n").as_bytes()); }
        lines.reverse();
        b.add(lines.iter().map(|l| format!("{l}\n")).collect::<String>().as_bytes());
        prop_assert_eq!(a, b);
        b.add(format!("{extra}\n").as_bytes());
        prop_assert_ne!(a, b);
    }

    #[test]
    fn nothing_panics(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        for row in rows(&data) {
            for f in fields(row) {
                let _ = value(f);
            }
            let _ = (field(row, 3), row_hash(row));
        }
        let _ = whole_rows(&data);
    }
}
