#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

fn again(shape: Shape, text: &str) -> String {
    let mut out = String::new();
    write(shape, parse(text).unwrap().time, &mut out);
    out
}

#[test]
fn texts_of_the_server_come_back_as_they_were() {
    for text in [
        "2000-01-01",
        "1999-12-31",
        "0001-01-01",
        "0001-12-31 BC",
        "4714-11-24 BC",
        "5874897-12-31",
        "2024-02-29",
        "infinity",
        "-infinity",
    ] {
        assert_eq!(again(Shape::Date, text), text);
    }
    for text in ["294276-12-31 23:59:59.999999", "2024-02-29 12:00:00.5", "0044-03-15 00:00:00 BC"] {
        assert_eq!(again(Shape::Timestamp, text), text);
    }
    for text in ["2024-02-29 12:00:00.000001+00", "0044-03-15 01:02:03+00 BC", "infinity"] {
        assert_eq!(again(Shape::TimestampTz, text), text);
    }
    assert_eq!(again(Shape::TimestampTz, "2024-03-01 00:30:00+02"), "2024-02-29 22:30:00+00");
    assert_eq!(again(Shape::TimestampTz, "2024-02-29T22:00:00-03:30"), "2024-03-01 01:30:00+00");
    assert_eq!(again(Shape::Timestamp, "2024-02-29 24:00:00"), "2024-03-01 00:00:00");
    assert_eq!(again(Shape::Timestamp, "2024-02-29T00:00Z"), "2024-02-29 00:00:00");
    assert_eq!(again(Shape::Timestamp, "2024-01-01 00:00:00.1234567"), "2024-01-01 00:00:00.123457");
}

#[test]
fn what_is_no_date_is_refused() {
    for text in [
        "",
        "2024",
        "2023-02-29",
        "1900-02-29",
        "2024-13-01",
        "2024-00-01",
        "2024-01-00",
        "2024-04-31",
        "0000-01-01",
        "24-01-01",
        "2024-1-01",
        "2024-01-01x",
        "2024-01-01 25:00:00",
        "2024-01-01 24:00:01",
        "2024-01-01 10",
        "2024-01-01 10:60:00",
        "2024-01-01 10:00:00+16",
        "2024-01-01 10:00:00+2",
        "2024-01-01 10:00:00.",
        "today",
        "é024-01-01",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn the_types_end_where_postgresql_does() {
    let at = |text: &str| parse(text).unwrap().time.moment().unwrap();
    assert!(Shape::Date.holds(at("5874897-12-31")));
    assert!(Shape::Timestamp.holds(at("294276-12-31 23:59:59.999999")));
    assert!(!Shape::Timestamp.holds(at("294277-01-01")));
    assert!(Shape::Timestamp.holds(at("4714-11-24 BC")));
    assert!(!Shape::Timestamp.holds(at("4714-11-23 BC")));
}

#[test]
fn intervals_are_read() {
    let is = |text: &str, months, days, micros| {
        assert_eq!(Interval::parse(text), Some(Interval { months, days, micros }), "{text}");
    };
    is("60 days", 0, 60, 0);
    is("1 year", 12, 0, 0);
    is("1 mon 2 days 03:04:05", 1, 2, 11_045_000_000);
    is("-1 days +02:03:00.5", 0, -1, 7_380_500_000);
    is("1 year 2 mons -3 days", 14, -3, 0);
    is("@ 2 weeks ago", 0, -14, 0);
    is("1.5 hours", 0, 0, 5_400_000_000);
    is("10min", 0, 0, 600_000_000);
    is("00:00:00", 0, 0, 0);
    is("P1Y2M3DT4H5M6S", 14, 3, 14_706_000_000);
    is("100:00:00", 0, 0, 360_000_000_000);
    for text in ["", "60", "days", "1 fortnight", "x days", "1.5 months", "P", "PT1D", "1 day 2"] {
        assert_eq!(Interval::parse(text), None, "{text}");
    }
    assert_eq!(Interval::parse("1 mon 1 day").unwrap().length(), 31 * i128::from(MICROS_PER_DAY));
}

#[test]
fn months_are_added_as_postgresql_adds_them() {
    let plus = |text: &str, interval: &str| {
        let moment = parse(text).unwrap().time.moment().unwrap();
        let sum = moment.plus(Interval::parse(interval).unwrap());
        let mut out = String::new();
        write(Shape::Timestamp, Time::At(sum.unwrap()), &mut out);
        out
    };
    assert_eq!(plus("2024-01-31", "1 mon"), "2024-02-29 00:00:00");
    assert_eq!(plus("2024-02-29", "1 year"), "2025-02-28 00:00:00");
    assert_eq!(plus("2024-01-01", "-1 days"), "2023-12-31 00:00:00");
    assert_eq!(plus("2024-01-01 23:00:00", "2 hours"), "2024-01-02 01:00:00");
    assert_eq!(plus("0001-01-01", "-1 mons"), "0001-12-01 00:00:00 BC");
}

proptest! {
    #[test]
    fn the_calendar_is_a_bijection(days in FIRST_DAY..DATE_END) {
        let moment = Moment { days, micros: 0 };
        let (year, month, day) = moment.calendar();
        prop_assert_eq!(Moment::of_day(year, month, day), Some(moment));
        let (_, next_month, next_day) = Moment { days: days + 1, micros: 0 }.calendar();
        prop_assert!(next_day == day + 1 || (next_day == 1 && next_month == month % 12 + 1));
    }

    #[test]
    fn text_is_a_bijection(days in FIRST_DAY..TIMESTAMP_END, micros in 0..MICROS_PER_DAY) {
        let moment = Time::At(Moment { days, micros });
        for shape in [Shape::Timestamp, Shape::TimestampTz] {
            let mut out = String::new();
            write(shape, moment, &mut out);
            let read = parse(&out).unwrap();
            prop_assert_eq!(read.time, moment);
            prop_assert_eq!(read.has_offset, shape == Shape::TimestampTz);
        }
    }

    #[test]
    fn units_hold_their_moments(days in -1_000_000i64..1_000_000, micros in 0..MICROS_PER_DAY) {
        let moment = Moment { days, micros };
        for unit in Unit::NAMES.iter().map(|name| Unit::named(name).unwrap()) {
            let index = unit.index(moment);
            let start = unit.start(index).unwrap();
            prop_assert!(start <= moment);
            prop_assert!(moment < unit.start(index + 1).unwrap());
            prop_assert_eq!(unit.index(start), index);
            prop_assert_eq!(unit.index_from(start), index);
        }
    }

    #[test]
    fn no_text_makes_a_reader_fail(text in "\\PC{0,24}", digits in "[0-9:. TZBC+-]{0,30}") {
        for text in [text, digits] {
            let _ = (parse(&text), clock(&text), Interval::parse(&text));
        }
    }
}
