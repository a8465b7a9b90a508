#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::super::attempt::{row, trial};
use crate::types::Kind;

fn text() -> Kind {
    Kind::Text(Some(5))
}

fn colours() -> Kind {
    Kind::Enum(vec!["red".into(), "green".into(), "blue".into()])
}

#[test]
fn fixed_is_what_the_rule_says() {
    assert_eq!(trial(text(), "{ use = 'fixed', value = '!' }").built().text("abc"), "!");
    assert_eq!(trial(Kind::Bool, "{ use = 'fixed', value = true }").built().text("f"), "t");
    assert_eq!(trial(Kind::Int(4), "{ use = 'fixed', value = 5 }").built().text("7"), "5");
    assert_eq!(
        trial(Kind::Date, "{ use = 'fixed', value = 2024-02-29 }").built().text("2020-01-01"),
        "2024-02-29"
    );
    assert_eq!(trial(text(), "{ use = 'fixed', value = 'too long' }").code(), "M111");
    assert_eq!(trial(Kind::Int(2), "{ use = 'fixed', value = 40000 }").code(), "M111");
    assert_eq!(trial(colours(), "{ use = 'fixed', value = 'pink' }").code(), "M111");
    assert_eq!(trial(text(), "{ use = 'fixed' }").code(), "M004");
    assert_eq!(trial(text(), "{ use = 'fixed', value = ['a'] }").code(), "M006");
    assert_eq!(trial(text(), "{ use = 'fixed', value = 'a', valeu = 'b' }").code(), "M005");
}

#[test]
fn fixed_comes_from_a_column() {
    let columns = [("a", Kind::Text(None)), ("b", Kind::Int(4))];
    let built = trial(text(), "{ use = 'fixed', value = { from = 'a' } }").columns(&columns).built();
    assert_eq!(built.reads.len(), 1);
    let of = |value| built.in_row(Some("x"), &row(&[value, None])).unwrap();
    assert_eq!(of(Some("hi")).as_deref(), Some("hi"));
    assert_eq!(of(Some("äöüßäöü")).as_deref(), Some("äöüßä"));
    assert_eq!(of(None), None);
    let strict =
        trial(text(), "{ use = 'fixed', value = { from = 'a' } }").columns(&columns).not_null().built();
    assert!(strict.in_row(Some("x"), &row(&[None, None])).is_err());

    let rule = "{ use = 'fixed', value = { from = 'b', cast = 'IntToBool', map = { yes = 't', no = 'f' }, default = '?' } }";
    let built = trial(text(), rule).columns(&columns).built();
    assert_eq!(built.in_row(Some("x"), &row(&[None, Some("3")])).unwrap().as_deref(), Some("yes"));
    assert_eq!(built.in_row(Some("x"), &row(&[None, None])).unwrap().as_deref(), Some("?"));

    let built = trial(Kind::Int(2), "{ use = 'fixed', value = { from = 'b' } }").columns(&columns).built();
    let refusal = built.in_row(Some("1"), &row(&[None, Some("123456")])).unwrap_err();
    assert!(!refusal.why.contains("123456"));
    let code = |rule| trial(text(), rule).columns(&columns).code();
    assert_eq!(code("{ use = 'fixed', value = { from = 'z' } }"), "M102");
    assert_eq!(code("{ use = 'fixed', value = { from = 'a', default = 'too long' } }"), "M111");
    assert_eq!(code("{ use = 'fixed', value = { from = 'a', cast = 'x' } }"), "M006");
}

#[test]
fn default_is_the_columns_own() {
    let rule = "{ use = 'default' }";
    assert_eq!(trial(text(), rule).default("'new'::text").built().text("abc"), "new");
    assert_eq!(trial(Kind::Bool, rule).default("true").built().text("f"), "t");
    assert_eq!(trial(text(), rule).built().text("abc"), "NULL");
    assert_eq!(trial(text(), rule).default("NULL::text").built().text("abc"), "NULL");
    assert_eq!(trial(text(), rule).default("NULL::text").not_null().code(), "M112");
    assert_eq!(trial(text(), rule).not_null().code(), "M112");
    assert_eq!(trial(text(), rule).default("'far too long'::text").code(), "M111");
    assert_eq!(trial(Kind::Timestamp, rule).default("now()").code(), "M111");
}

#[test]
fn choose_takes_another_one_of_the_list() {
    let built = trial(colours(), "{ use = 'choose', values = ['red', 'green', 'blue'] }").built();
    for plain in ["red", "green", "blue"] {
        assert_ne!(built.text(plain), plain);
        assert_eq!(built.text(plain), built.text(plain));
    }
    let one = trial(text(), "{ use = 'choose', values = ['a'] }").built();
    assert_eq!((one.text("a"), one.text("b")), ("a".into(), "a".into()));
    let numbers = trial(Kind::Numeric(None), "{ use = 'choose', values = [1, 2.50] }").built();
    assert_eq!(numbers.text("1.00"), "2.5");
    assert_eq!(numbers.text("2.500"), "1");
    let code = |kind, rule| trial(kind, rule).code();
    assert_eq!(code(colours(), "{ use = 'choose', values = ['red', 'pink'] }"), "M111");
    assert_eq!(code(colours(), "{ use = 'choose', values = ['red', 'red'] }"), "M111");
    assert_eq!(code(Kind::Numeric(None), "{ use = 'choose', values = ['1', '1.0'] }"), "M111");
    assert_eq!(code(text(), "{ use = 'choose', values = [] }"), "M111");
    assert_eq!(code(text(), "{ use = 'choose', values = ['a', 'b'], weights = [1] }"), "M111");
    assert_eq!(code(text(), "{ use = 'choose', values = ['a', 'b'], weights = [1, 0] }"), "M111");
    assert_eq!(code(text(), "{ use = 'choose', values = 'a' }"), "M006");
    assert_eq!(trial(text(), "{ use = 'choose', values = ['a'], or_null = true }").not_null().code(), "M112");
}

#[test]
fn weights_and_null_are_kept() {
    let rule = "{ use = 'choose', values = ['a', 'b', 'c'], weights = [1, 6, 1, 2.0], or_null = true }";
    let built = trial(text(), rule).built();
    let mut counts: HashMap<String, u32> = HashMap::new();
    for number in 0..4_000 {
        *counts.entry(built.text(&number.to_string())).or_default() += 1;
    }
    let share = |name: &str| f64::from(counts[name]) / 4_000.0;
    assert!((share("a") - 0.1).abs() < 0.03 && (share("b") - 0.6).abs() < 0.03);
    assert!((share("c") - 0.1).abs() < 0.03 && (share("NULL") - 0.2).abs() < 0.03);
    assert_ne!(built.text("b"), "b");
    let null = built.in_row(None, &row(&[])).unwrap();
    assert!(null.is_some());
}

#[test]
fn another_key_chooses_differently() {
    let of = |secret| {
        let built = trial(text(), "{ use = 'choose', values = ['a', 'b', 'c', 'd'] }").secret(secret).built();
        (0..40).map(|number| built.text(&number.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn map_does_what_the_table_says() {
    let rule = |tail: &str| format!("{{ use = 'map', values = {{ active = 'A', closed = 'C' }}{tail} }}");
    let built = |tail: &str| trial(Kind::Text(None), &rule(tail)).built();
    assert_eq!(built("").text("active"), "A");
    assert_eq!(built("").back("C"), "closed");
    assert!(built("").refuses("other"));
    assert_eq!(built(", else = 'keep'").text("other"), "other");
    assert_eq!(built(", else = 'null'").text("other"), "NULL");
    assert_eq!(built(", else = 'X'").text("other"), "X");
    assert_eq!(built(", to_null = ['gone'], else = 'X'").text("gone"), "NULL");
    let code = |kind: Kind, rule: &str| trial(kind, rule).code();
    assert_eq!(trial(Kind::Text(None), &rule(", else = 'null'")).not_null().code(), "M112");
    assert_eq!(trial(Kind::Text(None), &rule(", to_null = 'x'")).not_null().code(), "M112");
    assert_eq!(code(Kind::Text(Some(1)), "{ use = 'map', values = { a = 'AB' } }"), "M111");
    assert_eq!(code(text(), "{ use = 'map', values = { a = 'b' }, to_null = 'a' }"), "M111");
    assert_eq!(code(text(), "{ use = 'map', values = { a = ['b'] } }"), "M006");
    assert_eq!(code(text(), "{ use = 'map', values = { a = 'a' } }"), "M155");
    assert_eq!(
        code(Kind::Bool, "{ use = 'map', values = { true = true, false = false }, else = 'null' }"),
        "M155"
    );
}

#[test]
fn map_knows_when_it_is_injective() {
    let unique = |kind: Kind, rule: &str| trial(kind, rule).unique().code();
    assert_eq!(unique(text(), "{ use = 'map', values = { a = 'b', b = 'c' } }"), "none");
    assert_eq!(unique(text(), "{ use = 'map', values = { a = 'c', b = 'c' } }"), "M120");
    assert_eq!(unique(text(), "{ use = 'map', values = { a = 'b' }, else = 'keep' }"), "M120");
    assert_eq!(unique(text(), "{ use = 'map', values = { a = 'b', b = 'a' }, else = 'keep' }"), "none");
    assert_eq!(unique(text(), "{ use = 'map', values = { a = 'b' }, else = 'x' }"), "M120");
    assert_eq!(unique(text(), "{ use = 'map', values = { a = 'b' }, else = 'null' }"), "none");
    let swap = "{ use = 'map', values = { t = false, f = true }, else = 'keep' }";
    assert_eq!(unique(Kind::Bool, swap), "none");
    assert_eq!(trial(Kind::Bool, swap).built().text("t"), "f");
}

proptest! {
    #[test]
    fn choose_never_leaves_the_list(plain in "\\PC{0,5}|[a-d]", secret in 0u8..4) {
        let built = trial(text(), "{ use = 'choose', values = ['a', 'b', 'c', 'd'], weights = [1, 2, 3, 4] }").secret(secret).built();
        let fiction = built.text(&plain);
        let list: HashSet<&str> = ["a", "b", "c", "d"].into();
        prop_assert!(list.contains(fiction.as_str()) && fiction != plain);
    }
}
