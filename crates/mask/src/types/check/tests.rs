#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

fn takes(kind: &Kind, texts: &[&str]) {
    for text in texts {
        assert_eq!(check(kind, text), Ok(()), "{kind:?} {text}");
    }
}

fn refuses(kind: &Kind, texts: &[&str]) {
    for text in texts {
        let why = check(kind, text);
        assert!(why.is_err(), "{kind:?} {text}");
        if text.len() > 6 {
            assert!(!why.unwrap_err().contains(text));
        }
    }
}

#[test]
fn numbers() {
    takes(&Kind::Int(2), &["0", "-32768", "32767", "+1", " 5 "]);
    refuses(&Kind::Int(2), &["", "-", "32768", "1.0", "1e2", "٣", "0x10", "99999999999999999999"]);
    takes(&Kind::Int(4), &["-2147483648", "2147483647"]);
    refuses(&Kind::Int(4), &["2147483648"]);
    takes(&Kind::Int(8), &["-9223372036854775808"]);
    refuses(&Kind::Int(8), &["9223372036854775808"]);
    takes(&Kind::Float(8), &["1", "-1.5e-300", "NaN", "Infinity", "-inf", ".5", "5.", "0e-999", "4.9e-324"]);
    refuses(&Kind::Float(8), &["", "1e400", "1e-400", "1,5", "nan1", "-nan", "0x1p3"]);
    takes(&Kind::Float(4), &["3.4e38"]);
    refuses(&Kind::Float(4), &["3.5e38", "1e-50"]);
}

#[test]
fn numerics_are_rounded_before_they_are_refused() {
    takes(&Kind::Numeric(None), &["0", "1e1000", "-1.5", "NaN", "Infinity"]);
    refuses(&Kind::Numeric(None), &["", "x", "1.2.3", "1e999999999", "1e131072", "1e-16384"]);
    let money = Kind::Numeric(Some((5, 2)));
    takes(&money, &["999.99", "-999.994", "0.001", "1e2", "NaN", "0", "000999", "99999e-2", "0e50"]);
    refuses(&money, &["1000", "999.995", "-999.999", "1e3", "Infinity", "999995e-3"]);
    // Thousands: the scale is negative (PostgreSQL 15).
    let thousands = Kind::Numeric(Some((2, -3)));
    takes(&thousands, &["99000", "99499", "499", "500", "1"]);
    refuses(&thousands, &["99500", "100000"]);
    // Only digits behind the second zero.
    let small = Kind::Numeric(Some((3, 5)));
    takes(&small, &["0.00999", "0.009994", "0.000001"]);
    refuses(&small, &["0.01", "0.009995", "1"]);
    takes(&Kind::Numeric(Some((1, 0))), &["9.4", "0.5", "0.4"]);
    refuses(&Kind::Numeric(Some((1, 0))), &["9.5", "10"]);
}

#[test]
fn texts() {
    takes(&Kind::Text(Some(3)), &["", "abc", "äöü"]);
    refuses(&Kind::Text(Some(3)), &["abcd", "äöüß", "a\0"]);
    takes(&Kind::Char(3), &["abc", "ab   "]);
    refuses(&Kind::Char(3), &["abcd"]);
    takes(&Kind::Name, &["x"]);
    refuses(&Kind::Name, &[&"x".repeat(64)]);
    takes(&Kind::Enum(vec!["a".into(), "B".into()]), &["a", "B"]);
    refuses(&Kind::Enum(vec!["a".into(), "B".into()]), &["b", ""]);
    takes(&Kind::Other("tsvector".into()), &["anything"]);
}

#[test]
fn points_of_time() {
    takes(&Kind::Date, &["2024-02-29", "4714-11-24 BC", "infinity", "2024-02-29 10:00:00"]);
    refuses(&Kind::Date, &["2023-02-29", "4714-11-23 BC", "yesterday", ""]);
    takes(&Kind::Timestamp, &["294276-12-31 23:59:59.999999", "-infinity"]);
    refuses(&Kind::Timestamp, &["294277-01-01 00:00:00", "2024-01-01 24:00:01"]);
    takes(&Kind::TimestampTz, &["2024-01-01 00:00:00+00", "2024-01-01 00:00:00.5+05:30"]);
    refuses(&Kind::TimestampTz, &["2024-01-01 00:00:00+0x"]);
    takes(&Kind::Time, &["00:00:00", "24:00:00", "12:30", "12:30:00.25"]);
    refuses(&Kind::Time, &["24:00:01", "12", "12:30:00+00"]);
    takes(&Kind::TimeTz, &["12:30:00+02", "12:30:00", "12:30:00-03:30"]);
    refuses(&Kind::TimeTz, &["12:30:00+", "+02"]);
    takes(&Kind::Interval, &["1 day", "-00:00:01", "1 mon -1 days +02:03:04"]);
    refuses(&Kind::Interval, &["1", "soon"]);
}

#[test]
fn the_rest() {
    takes(&Kind::Bool, &["t", "f", "true", "FALSE", "yes", "n", "on", "of", "1", "0"]);
    refuses(&Kind::Bool, &["", "o", "2", "truth"]);
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    takes(&Kind::Uuid, &[uuid, "{a0eebc999c0b4ef8bb6d6bb9bd380a11}", "A0EE-BC99-9c0b4ef8bb6d6bb9bd380a11"]);
    refuses(
        &Kind::Uuid,
        &["", "a0eebc99", &format!("{uuid}0"), &format!("-{uuid}"), "g0eebc999c0b4ef8bb6d6bb9bd380a11"],
    );
    takes(&Kind::Inet, &["10.0.0.1", "10.0.0.1/8", "::1", "2001:db8::/32"]);
    refuses(&Kind::Inet, &["10.0.0", "10.0.0.1/33", "10.0.0.256", "::1/129", "10.0.0.1/"]);
    takes(&Kind::Cidr, &["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "10.0.0.1"]);
    refuses(&Kind::Cidr, &["10.0.0.1/8", "2001:db8::1/32"]);
    takes(
        &Kind::Mac,
        &["08:00:2b:01:02:03", "08-00-2b-01-02-03", "08002b:010203", "0800.2b01.0203", "08002b010203"],
    );
    refuses(
        &Kind::Mac,
        &["08:00:2b:01:02", "08:00:2b:01:02:0g", "08:00-2b:01:02:03", "08:00:2b:ff:fe:01:02:03"],
    );
    takes(&Kind::Mac8, &["08:00:2b:ff:fe:01:02:03", "08:00:2b:01:02:03"]);
    takes(&Kind::Json, &["{\"a\":\"\\u0000\"}", "1"]);
    refuses(&Kind::Json, &["{a:1}", ""]);
    takes(&Kind::Jsonb, &["{\"a\":\"\\\\u0000\"}"]);
    refuses(&Kind::Jsonb, &["{\"a\":\"\\u0000\"}", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud83dx\""]);
    takes(&Kind::Jsonb, &["\"\\ud83d\\ude00\""]);
    takes(&Kind::Bytea, &["\\x", "\\xdeADbeef", "abc", "a\\\\b\\001"]);
    refuses(&Kind::Bytea, &["\\x1", "\\xzz", "a\\", "\\400", "\\0a"]);
    takes(&Kind::Array(Box::new(Kind::Int(4))), &["{}", "{1,NULL,2}", "{{1},{2}}"]);
    refuses(
        &Kind::Array(Box::new(Kind::Int(4))),
        &["{a}", "1", "{99999999999}", "{{1},{2,3}}", "{1,{2}}", "{{}}"],
    );
    takes(&Kind::Range(Box::new(Kind::Date)), &["[2024-01-01,)", "empty"]);
    refuses(&Kind::Range(Box::new(Kind::Date)), &["[2024-13-01,)", "x", "[2024-01-02,2024-01-01)"]);
    takes(&Kind::Multirange(Box::new(Kind::Int(4))), &["{}", "{[1,2),[3,4)}"]);
    refuses(&Kind::Multirange(Box::new(Kind::Int(4))), &["{[a,2)}"]);
    let composite = Kind::Composite(vec![("a".into(), Kind::Int(4)), ("b".into(), Kind::Text(Some(2)))]);
    takes(&composite, &["(1,ab)", "(,)"]);
    refuses(&composite, &["(a,ab)", "(1,abc)", "(1)"]);
    takes(&Kind::Hstore, &["\"a\"=>\"b\"", ""]);
    refuses(&Kind::Hstore, &["a"]);
}

proptest! {
    #[test]
    fn no_text_makes_a_check_fail(text in "\\PC{0,20}|[0-9a-fx{}\\[\\](),.:/+eE\"\\\\ -]{0,24}") {
        for kind in [
            Kind::Bool, Kind::Int(4), Kind::Float(4), Kind::Float(8), Kind::Numeric(None),
            Kind::Numeric(Some((5, 2))), Kind::Numeric(Some((3, 5))), Kind::Numeric(Some((2, -3))), Kind::Date,
            Kind::TimeTz, Kind::TimestampTz, Kind::Interval, Kind::Uuid, Kind::Inet, Kind::Cidr, Kind::Mac8,
            Kind::Jsonb, Kind::Bytea, Kind::Array(Box::new(Kind::Text(None))), Kind::Range(Box::new(Kind::Int(8))),
            Kind::Multirange(Box::new(Kind::Date)), Kind::Hstore,
        ] {
            let _ = check(&kind, &text);
        }
    }

    #[test]
    fn numerics_agree_with_integers(value in -200_000i64..200_000) {
        // value / 1000, in numeric(4,2): rounded to hundredths, below 100.
        let text = format!("{}e-3", value);
        let rounded = (value.abs() + 5) / 10;
        prop_assert_eq!(check(&Kind::Numeric(Some((4, 2))), &text).is_ok(), rounded < 10_000);
    }
}
