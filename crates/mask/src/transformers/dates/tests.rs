#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashSet;

use proptest::prelude::*;

use super::super::attempt::{Values, row, trial};
use crate::dates::{Shape, Time, Unit, parse, write};
use crate::types::Kind;

const YEAR: &str = "{ use = 'date', min = '2020-01-01', max = '2020-12-31' }";

fn kinds() -> [Kind; 3] {
    [Kind::Date, Kind::Timestamp, Kind::TimestampTz]
}

#[test]
fn dates_are_in_their_range_and_another_one() {
    for kind in kinds() {
        let built = trial(kind.clone(), YEAR).built();
        let other = trial(kind, YEAR).secret(8).built();
        let mut differ = 0;
        for day in 1..=28 {
            let plain = format!("2020-02-{day:02}");
            let fiction = built.text(&plain);
            assert!(fiction.starts_with("2020-") && fiction != plain, "{fiction}");
            assert_eq!(built.text(&plain), fiction);
            differ += usize::from(other.text(&plain) != fiction);
        }
        assert!(differ > 20);
    }
    let two = trial(Kind::Date, "{ use = 'date', min = 2020-01-01, max = 2020-01-02 }").built();
    assert_eq!(two.text("2020-01-01"), "2020-01-02");
    assert_eq!(two.text("2020-01-02"), "2020-01-01");
    assert!(two.text("infinity").starts_with("2020-01-0"));
}

#[test]
fn truncate_begins_its_unit_inside_of_the_range() {
    for unit in Unit::NAMES {
        let rule = format!(
            "{{ use = 'date', min = '2019-05-05 05:05:05.5', max = '2022-07-07', truncate = '{unit}' }}"
        );
        let built = trial(Kind::Timestamp, &rule).built();
        for plain in 0..50 {
            let fiction = built.text(&format!("2020-01-01 00:00:{:02}", plain));
            let moment = parse(&fiction).unwrap().time.moment().unwrap();
            assert_eq!(Unit::named(unit).unwrap().floor(moment), Some(moment));
            assert!(fiction.as_str() >= "2019-05-05 05:05:05.5" && fiction.as_str() <= "2022-07-07 00:00:00");
        }
    }
    // Hours of a date do not exist.
    let built =
        trial(Kind::Date, "{ use = 'date', min = '2020-01-01', max = '2020-01-31', truncate = 'hour' }")
            .built();
    assert_eq!(built.text("2020-01-15").len(), 10);
}

#[test]
fn ends_come_from_columns() {
    let columns = [("born", Kind::Date), ("left_at", Kind::Date)];
    let rule =
        "{ use = 'date', min = { from = 'born' }, max = { from = 'left_at', default = '2020-01-05' } }";
    let built = trial(Kind::Date, rule).columns(&columns).built();
    let of = |born, left| built.in_row(Some("2000-01-01"), &row(&[Some(born), left]));
    assert_eq!(of("2020-01-05", None).unwrap().as_deref(), Some("2020-01-05"));
    assert_eq!(of("2020-02-03", Some("2020-02-03")).unwrap().as_deref(), Some("2020-02-03"));
    assert!(of("2020-02-03", Some("2020-02-02")).is_err());
    assert!(of("infinity", None).is_err());
    assert_eq!(trial(Kind::Date, rule).columns(&columns).unique().code(), "M120");
    let unix = "{ use = 'date', min = { from = 'n', cast = 'UnixSecToDate' }, max = '1970-01-02' }";
    let built = trial(Kind::Date, unix).columns(&[("n", Kind::Int(8))]).built();
    assert_eq!(built.in_row(Some("1970-01-02"), &row(&[Some("5")])).unwrap().as_deref(), Some("1970-01-01"));
}

#[test]
fn wrong_parameters_are_found() {
    let code = |rule: &str| trial(Kind::Date, rule).code();
    assert_eq!(code("{ use = 'date', min = '2020-01-01' }"), "M004");
    assert_eq!(code("{ use = 'date', min = '2020-01-01', max = 'x' }"), "M111");
    assert_eq!(code("{ use = 'date', min = '2020-01-02', max = '2020-01-01' }"), "M111");
    assert_eq!(code("{ use = 'date', min = '2020-01-02', max = '2020-01-31', truncate = 'month' }"), "M111");
    assert_eq!(code("{ use = 'date', min = '2020-01-02', max = '2020-01-31', truncate = 'week' }"), "M006");
    assert_eq!(code("{ use = 'date', min = '2020-01-02', max = '2020-01-31', step = 2 }"), "M005");
    assert_eq!(trial(Kind::Text(None), YEAR).code(), "M110");
    assert_eq!(
        trial(Kind::Timestamp, "{ use = 'date', min = '2020-01-01', max = '300000-01-01' }").code(),
        "M111"
    );
    assert_eq!(trial(Kind::Date, YEAR).unique().random().code(), "M120");
}

#[test]
fn unique_dates_are_permuted() {
    let built = trial(Kind::Date, YEAR).unique().built();
    let mut seen = HashSet::new();
    let first = parse("2020-01-01").unwrap().time.moment().unwrap().days;
    for days in first..first + 366 {
        let mut plain = String::new();
        write(Shape::Date, Time::At(crate::dates::Moment { days, micros: 0 }), &mut plain);
        let fiction = built.text(&plain);
        assert_ne!(fiction, plain);
        assert_eq!(built.back(&fiction), plain);
        assert!(seen.insert(fiction));
    }
    assert_eq!(seen.len(), 366);
    assert!(built.refuses("2021-01-01") && built.refuses("infinity"));
    let hours =
        trial(Kind::Timestamp, "{ use = 'date', min = '2020-01-01', max = '2020-01-02', truncate = 'hour' }");
    let hours = hours.unique().built();
    assert!(hours.refuses("2020-01-01 00:30:00"));
    assert_eq!(hours.back(&hours.text("2020-01-01 05:00:00")), "2020-01-01 05:00:00");
    let micros = "{ use = 'date', min = '4714-11-24 BC', max = '294276-12-31 23:59:59.999999' }";
    let micros = trial(Kind::TimestampTz, micros).unique().built();
    for plain in ["2024-02-29 12:00:00.123456+00", "0044-03-15 00:00:00+00 BC"] {
        assert_eq!(micros.back(&micros.text(plain)), plain);
    }
}

#[test]
fn epochs_have_units() {
    let built = trial(Kind::Int(8), "{ use = 'epoch', min = 1577836800, max = 1609459199, unit = 'millisecond', min_unit = 'second', max_unit = 'second' }").built();
    for plain in 0..50 {
        let fiction: i64 = built.text(&plain.to_string()).parse().unwrap();
        assert!((1_577_836_800_000..=1_609_459_199_000).contains(&fiction));
    }
    for (part, seconds) in [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)] {
        let rule = format!("{{ use = 'epoch', min = 1577836801, max = 1609459199, truncate = '{part}' }}");
        let fiction: i64 = trial(Kind::Int(4), &rule).built().text("1590000000").parse().unwrap();
        assert_eq!(fiction % seconds, 0, "{part}");
    }
    let years = "{ use = 'epoch', min = 0, max = 1609459199, truncate = 'year' }";
    let fiction = trial(Kind::Int(4), years).built().text("5");
    let read = crate::operand::Cast::UnixSecToTimestamp.apply(&fiction).unwrap();
    assert!(read.ends_with("-01-01 00:00:00"), "{read}");
    let nano = "{ use = 'epoch', min = 1, max = 2, unit = 'nanosecond', truncate = 'nanosecond' }";
    assert_eq!(trial(Kind::Int(8), nano).built().text("1"), "2");
    let dynamic = "{ use = 'epoch', min = { from = 'a' }, max = 9 }";
    let built = trial(Kind::Int(8), dynamic).columns(&[("a", Kind::Int(4))]).built();
    assert_eq!(built.in_row(Some("8"), &row(&[Some("8")])).unwrap().as_deref(), Some("9"));
    assert!(built.in_row(Some("8"), &row(&[Some("10")])).is_err());
    let code = |kind, rule| trial(kind, rule).code();
    assert_eq!(code(Kind::Int(4), "{ use = 'epoch', min = 0, max = 3000000000 }"), "M111");
    assert_eq!(
        code(
            Kind::Int(4),
            "{ use = 'epoch', min = 0, max = 1000000000, unit = 'millisecond', max_unit = 'second' }"
        ),
        "M111"
    );
    assert_eq!(code(Kind::Int(2), "{ use = 'epoch', min = 5, max = 4 }"), "M111");
    assert_eq!(code(Kind::Int(8), "{ use = 'epoch', min = 1, max = 2, unit = 'minute' }"), "M006");
    assert_eq!(code(Kind::Int(8), "{ use = 'epoch', min = 1 }"), "M004");
    assert_eq!(code(Kind::Numeric(None), "{ use = 'epoch', min = 1, max = 2 }"), "M110");
}

#[test]
fn unique_epochs_are_permuted() {
    for (rule, step) in [
        ("{ use = 'epoch', min = -50, max = 150 }", 1),
        ("{ use = 'epoch', min = -8640000, max = 8640000, truncate = 'day' }", 86_400),
    ] {
        let built = trial(Kind::Int(4), rule).unique().built();
        let (low, high) = if step == 1 { (-50, 150) } else { (-100, 100) };
        let mut seen = HashSet::new();
        for plain in low..=high {
            let plain = (plain * step).to_string();
            let fiction = built.text(&plain);
            assert_ne!(fiction, plain);
            assert_eq!(built.back(&fiction), plain);
            assert!(seen.insert(fiction));
        }
        assert!(built.refuses("100000000"));
    }
}

#[test]
fn one_subject_has_one_shift() {
    let built = trial(Kind::Date, "{ use = 'shift', by = '60 days' }").built();
    let of = |plain: &str, subject: &str| {
        built.of(Some(plain), Some(subject), &Values::default()).unwrap().unwrap()
    };
    let days = |text: &str| parse(text).unwrap().time.moment().unwrap().days;
    let mut shifts = HashSet::new();
    for subject in 0..400 {
        let subject = subject.to_string();
        let (first, second) = (of("2020-01-01", &subject), of("1950-06-15", &subject));
        let shift = days(&first) - days("2020-01-01");
        assert_eq!(days(&second) - days("1950-06-15"), shift);
        assert!(shift != 0 && shift.abs() <= 60);
        shifts.insert(shift);
    }
    assert!(shifts.len() > 100);
    assert_eq!(of("infinity", "1"), "infinity");
    let hours = trial(Kind::TimestampTz, "{ use = 'shift', by = '1 mon', whole = 'hour' }").built();
    assert!(hours.text("2020-01-01 12:34:56.789+00").ends_with(":34:56.789+00"));
    let at_the_end = |secret| {
        let built = trial(Kind::Timestamp, "{ use = 'shift', by = '60 days' }").secret(secret).built();
        built.refuses("294276-12-31 23:59:59")
    };
    assert!((0..20).any(at_the_end) && !(0..20).all(at_the_end));
    let code = |kind, rule| trial(kind, rule).code();
    assert_eq!(code(Kind::Date, "{ use = 'shift' }"), "M004");
    assert_eq!(code(Kind::Date, "{ use = 'shift', by = 'much' }"), "M006");
    assert_eq!(code(Kind::Date, "{ use = 'shift', by = '23 hours' }"), "M111");
    assert_eq!(code(Kind::Date, "{ use = 'shift', by = '60 days', whole = 'hour' }"), "M111");
    assert_eq!(code(Kind::Timestamp, "{ use = 'shift', by = '60 days', whole = 'month' }"), "M006");
    assert_eq!(code(Kind::Timestamp, "{ use = 'shift', by = '6 days', whole = 'week' }"), "M111");
}

proptest! {
    #[test]
    fn any_plain_value_has_a_valid_fiction(days in -730_000i64..3_000_000, micros in 0..86_400_000_000i64) {
        for kind in kinds() {
            let shape = Shape::of(&kind).unwrap();
            let mut plain = String::new();
            write(shape, Time::At(crate::dates::Moment { days, micros: if shape == Shape::Date { 0 } else { micros } }), &mut plain);
            for rule in [YEAR, "{ use = 'shift', by = '3 years', whole = 'week' }"] {
                prop_assert_ne!(trial(kind.clone(), rule).built().text(&plain), plain.clone());
            }
        }
    }
}
