#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::harness::Case;
use crate::finding::Code;
use crate::rules::Literal;
use crate::types::Kind;

const INT: Kind = Kind::Int(4);

fn numeric(precision: u16, scale: i16) -> Kind {
    Kind::Numeric(Some((precision, scale)))
}

fn float(name: &'static str) -> Case {
    Case::new(name, Kind::Float(8))
}

#[test]
fn a_unique_int_is_a_permutation_of_its_range() {
    for (min, max) in [(1, 2), (-3, 3), (0, 99), (-500, 499), (32_000, 32_767)] {
        let case = Case::new("int", Kind::Int(2)).unique().int("min", min).int("max", max);
        case.is_a_bijection((min..=max).map(|number| number.to_string()));
    }
    // The whole of int2, and above the size of tables.
    Case::new("int", Kind::Int(2))
        .unique()
        .is_a_bijection((-32_768..=32_767).map(|number: i32| number.to_string()));
    let case = Case::new("int", INT).unique().int("min", 1).int("max", 70_001);
    case.is_a_bijection((1..=70_001).map(|number| number.to_string()));
}

#[test]
fn the_whole_of_int8_is_a_range() {
    let case = Case::new("int", Kind::Int(8)).unique();
    for plain in [i64::MIN, -1, 0, 1, i64::MAX] {
        let fiction = case.fiction(&plain.to_string()).unwrap();
        assert_ne!(fiction.parse::<i64>().unwrap(), plain);
        assert_eq!(case.plain(&fiction).unwrap(), plain.to_string());
    }
}

#[test]
fn a_value_outside_of_a_unique_range_is_refused_without_showing_it() {
    let case = Case::new("int", INT).unique().int("min", 1).int("max", 10);
    for plain in ["0", "11", "-5", "2147483647"] {
        let refusal = case.fiction(plain).unwrap_err();
        assert!(!refusal.why.contains(plain), "{refusal}");
        assert!(case.plain(plain).is_err());
    }
}

#[test]
fn an_int_is_in_its_range_and_never_the_plain_one() {
    for (min, max) in [(7, 8), (-2, 2), (0, 100)] {
        let case = Case::new("int", INT).int("min", min).int("max", max);
        for plain in min - 2..=max + 2 {
            let fiction: i64 = case.fiction(&plain.to_string()).unwrap().parse().unwrap();
            assert!((min..=max).contains(&fiction));
            assert_ne!(fiction, plain);
            assert_eq!(case.fiction(&plain.to_string()).unwrap(), fiction.to_string());
        }
    }
    let one = Case::new("int", INT).int("min", 5).int("max", 5);
    assert_eq!(one.fiction("5").unwrap(), "5");
    assert!(one.plain("5").is_err());
}

#[test]
fn another_key_gives_other_numbers() {
    for case in [Case::new("int", INT), Case::new("int", INT).unique()] {
        let one = case.fiction("12").unwrap();
        assert_ne!(one, case.key(2).fiction("12").unwrap());
    }
}

#[test]
fn a_range_may_come_from_columns() {
    let case = Case::new("int", INT).from("min", "low", Kind::Numeric(None), Some("10")).from(
        "max",
        "high",
        Kind::Numeric(None),
        Some("12"),
    );
    for plain in 0..20 {
        let fiction: i64 = case.fiction(&plain.to_string()).unwrap().parse().unwrap();
        assert!((10..=12).contains(&fiction) && fiction != plain);
    }
    let wrong = Case::new("int", INT).from("min", "low", Kind::Numeric(None), Some("13")).int("max", 12);
    assert!(wrong.fiction("1").is_err());
    let null = Case::new("int", INT).from("min", "low", Kind::Numeric(None), None);
    assert!(null.fiction("1").is_err());
    let wide = Case::new("int", Kind::Int(2)).from("max", "high", Kind::Numeric(None), Some("40000"));
    assert!(wide.fiction("1").is_err());
    let of_text = Case::new("int", INT).from("min", "low", Kind::Text(None), Some("1"));
    assert_eq!(of_text.codes(), [Code::UnfitType]);
    assert_eq!(
        Case::new("int", INT).unique().from("min", "low", Kind::Numeric(None), Some("1")).codes(),
        [Code::NotInjective]
    );
}

#[test]
fn what_is_wrong_with_an_int_has_its_code() {
    let int = || Case::new("int", Kind::Int(2));
    assert_eq!(int().int("max", 32_768).codes(), [Code::ValueOutside]);
    assert_eq!(int().int("min", -32_769).codes(), [Code::ValueOutside]);
    assert_eq!(int().int("min", 2).int("max", 1).codes(), [Code::ValueOutside]);
    assert_eq!(int().text("min", "1").codes(), [Code::WrongValue]);
    assert_eq!(int().int("decimal", 1).codes(), [Code::ParameterUnknown]);
    assert_eq!(int().unique().int("min", 2).int("max", 2).codes(), [Code::ChangesNothing]);
    assert_eq!(int().unique().random().codes(), [Code::NotInjective]);
    let replaced = Case { replaces_null: true, ..int().unique() };
    assert_eq!(replaced.codes(), [Code::NotInjective]);
    assert_eq!(Case::new("int", Kind::Text(None)).codes(), [Code::UnfitType]);
}

#[test]
fn a_unique_numeric_permutes_the_numbers_of_its_scale() {
    let case = Case::new("numeric", numeric(6, 2))
        .unique()
        .with("min", Literal::Float(-1.5))
        .with("max", Literal::Float(2.25))
        .int("decimal", 2);
    let shown = |n: i32| format!("{}{}.{:02}", if n < 0 { "-" } else { "" }, n.abs() / 100, n.abs() % 100);
    case.is_a_bijection((-150..=225).map(shown));
    // Equal numbers, written in another way, have equal fictions.
    assert_eq!(case.fiction("1.50").unwrap(), case.fiction("1.5").unwrap());
    assert_eq!(case.fiction("-0").unwrap(), case.fiction("0.00").unwrap());
    for refused in ["1.501", "2.26", "-1.51", "NaN", "Infinity"] {
        assert!(case.fiction(refused).is_err(), "{refused}");
    }
}

#[test]
fn a_numeric_is_rounded_into_its_range() {
    let case = Case::new("numeric", Kind::Numeric(None))
        .with("min", Literal::Float(0.05))
        .with("max", Literal::Float(0.29))
        .int("decimal", 1);
    for plain in ["0.1", "0.2", "0.10", "NaN", "7"] {
        let fiction = case.fiction(plain).unwrap();
        assert!(["0.1", "0.2"].contains(&fiction.as_str()), "{fiction}");
        assert!(!plain.starts_with(&fiction));
    }
    assert_eq!(case.fiction("0.1").unwrap(), case.fiction("0.100").unwrap());
}

#[test]
fn a_numeric_may_be_as_wide_as_128_bits() {
    let wide = "9999999999999999999999999999999999999";
    let case = Case::new("numeric", Kind::Numeric(None))
        .from("min", "low", Kind::Numeric(None), Some("-9999999999999999999999999999999999999"))
        .from("max", "high", Kind::Numeric(None), Some("1e37"));
    assert!(case.fiction("1").is_err());
    let case = Case::new("numeric", Kind::Numeric(None))
        .from("min", "low", Kind::Numeric(None), Some("0"))
        .from("max", "high", Kind::Numeric(None), Some("9999999999999999999999999999999999999"));
    let lengths: Vec<usize> = (0..20).map(|plain| case.fiction(&plain.to_string()).unwrap().len()).collect();
    assert!(lengths.iter().all(|length| *length <= wide.len()) && lengths.iter().any(|length| *length > 34));
}

#[test]
fn a_numeric_rule_follows_to_integers() {
    let case = Case::new("numeric", INT).unique().int("min", 1).int("max", 400);
    let key = Case::new("numeric", numeric(10, 0)).unique().int("min", 1).int("max", 400);
    for plain in ["1", "17", "400"] {
        assert_eq!(case.fiction(plain).unwrap(), key.fiction(plain).unwrap());
    }
}

#[test]
fn what_is_wrong_with_a_numeric_has_its_code() {
    let range = |kind| Case::new("numeric", kind).int("min", 0).int("max", 9);
    assert_eq!(Case::new("numeric", numeric(4, 2)).codes(), [Code::ParameterMissing, Code::ParameterMissing]);
    assert_eq!(range(numeric(4, 2)).int("decimal", 3).codes(), [Code::ValueOutside]);
    assert_eq!(range(numeric(4, 2)).int("decimal", -1).codes(), [Code::ValueOutside]);
    assert_eq!(range(INT).int("decimal", 1).codes(), [Code::ValueOutside]);
    assert_eq!(range(numeric(2, -2)).codes(), [Code::UnfitType]);
    assert_eq!(
        Case::new("numeric", numeric(4, 2)).int("min", 0).int("max", 100).codes(),
        [Code::ValueOutside]
    );
    let empty =
        Case::new("numeric", numeric(4, 2)).with("min", Literal::Float(0.1)).with("max", Literal::Float(0.9));
    assert_eq!(empty.codes(), [Code::ValueOutside]);
    assert_eq!(range(numeric(4, 2)).text("min", "a").codes(), [Code::WrongValue]);
    assert_eq!(range(numeric(4, 2)).unique().random().codes(), [Code::NotInjective]);
}

#[test]
fn a_float_is_rounded_and_in_its_range() {
    let case = float("float").int("min", -1).with("max", Literal::Float(1.5)).int("decimal", 2);
    for plain in ["0.5", "-1", "NaN", "-Infinity", "1e300"] {
        let fiction = case.fiction(plain).unwrap();
        let number: f64 = fiction.parse().unwrap();
        assert!((-1.0..=1.5).contains(&number), "{fiction}");
        assert_eq!(fiction.split_once('.').unwrap().1.len(), 2);
    }
    // Two numbers are in the domain: the fiction is the other one.
    let two = float("float").int("min", 0).int("max", 1).int("decimal", 0);
    assert_eq!(two.fiction("0").unwrap(), "1");
    assert_eq!(two.fiction("1.0").unwrap(), "0");
    assert_eq!(two.fiction("-0").unwrap(), "1");
    // No number of the scale is in the range: a bound.
    let none =
        float("float").with("min", Literal::Float(0.26)).with("max", Literal::Float(0.27)).int("decimal", 1);
    assert!(["0.26", "0.27"].contains(&none.fiction("5").unwrap().as_str()));
    assert_eq!(none.fiction("0.26").unwrap(), "0.27");
    let all = float("float").with("min", Literal::Float(-f64::MAX)).with("max", Literal::Float(f64::MAX));
    assert!(all.fiction("1").unwrap().parse::<f64>().unwrap().is_finite());
}

#[test]
fn what_is_wrong_with_a_float_has_its_code() {
    let range = || Case::new("float", Kind::Float(4)).int("min", 0).int("max", 9);
    assert_eq!(float("float").int("min", 0).codes(), [Code::ParameterMissing]);
    assert_eq!(range().int("decimal", -1).codes(), [Code::ValueOutside]);
    assert_eq!(range().int("decimal", 309).codes(), [Code::ValueOutside]);
    let wide = Case::new("float", Kind::Float(4)).int("min", 0).with("max", Literal::Float(1e39));
    assert_eq!(wide.codes(), [Code::ValueOutside]);
    let nan = float("float").with("min", Literal::Float(f64::NAN)).int("max", 1);
    assert_eq!(nan.codes(), [Code::ValueOutside]);
    assert_eq!(float("float").int("min", 2).int("max", 1).codes(), [Code::ValueOutside]);
    assert_eq!(range().unique().codes(), [Code::NotInjective]);
    let dynamic = float("float").from("min", "low", Kind::Numeric(None), Some("5")).from(
        "max",
        "high",
        Kind::Numeric(None),
        Some("4"),
    );
    assert!(dynamic.fiction("1").is_err());
}

#[test]
fn a_bool_is_the_other_one_or_a_coin() {
    let case = Case::new("bool", Kind::Bool);
    assert_eq!(case.fiction("t").unwrap(), "f");
    assert_eq!(case.fiction("f").unwrap(), "t");
    let coin = Case::new("bool", Kind::Bool).random();
    let transformer = coin.build().unwrap();
    let heads =
        (0..1000).filter(|row| coin.fiction_of(transformer.as_ref(), "t", *row).unwrap() == "t").count();
    assert!((400..600).contains(&heads), "{heads}");
    assert_eq!(Case::new("bool", Kind::Bool).unique().codes(), [Code::NotInjective]);
}

#[test]
fn the_random_engine_draws_row_by_row() {
    let case = Case::new("int", INT).random().int("min", 1).int("max", 1000);
    let transformer = case.build().unwrap();
    let fictions: std::collections::BTreeSet<_> =
        (0..50).map(|row| case.fiction_of(transformer.as_ref(), "7", row).unwrap()).collect();
    assert!(fictions.len() > 30 && !fictions.contains("7"));
}

proptest! {
    #[test]
    fn any_range_of_integers_is_kept(a: i32, b: i32, plain: i32) {
        let (min, max) = (i64::from(a.min(b)), i64::from(a.max(b)));
        let case = Case::new("int", INT).int("min", min).int("max", max);
        let fiction: i64 = case.fiction(&plain.to_string()).unwrap().parse().unwrap();
        prop_assert!((min..=max).contains(&fiction));
        prop_assert!(min == max || fiction != i64::from(plain));
        if min < max {
            let plain = i64::from(plain).clamp(min, max).to_string();
            let unique = case.unique();
            let fiction = unique.fiction(&plain).unwrap();
            prop_assert!((min..=max).contains(&fiction.parse::<i64>().unwrap()));
            prop_assert_ne!(&fiction, &plain);
            prop_assert_eq!(unique.plain(&fiction).unwrap(), plain);
        }
    }
}
