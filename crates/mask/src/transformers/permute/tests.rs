#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::luhn_residue;
use crate::finding::Code;
use crate::rules::{Literal, Setting};
use crate::transformers::numbers::harness::Case;
use crate::types::Kind;

const TEXT: Kind = Kind::Text(None);

fn permute(kind: Kind) -> Case {
    Case::new("permute", kind)
}

fn list(texts: &[&str]) -> Literal {
    let setting = |text: &&str| Setting { value: Literal::Text((*text).to_string()), ..Setting::default() };
    Literal::List(texts.iter().map(setting).collect())
}

#[test]
fn all_texts_of_a_shape_are_permuted() {
    permute(TEXT).is_a_bijection((0..10_000).map(|number| format!("{number:04}")));
    permute(TEXT).is_a_bijection(('a'..='z').flat_map(|a| ('A'..='Z').map(move |b| format!("{a}{b}!"))));
    permute(TEXT)
        .unique()
        .int("keep_first", 1)
        .is_a_bijection((0..1000).map(|number| format!("x{number:03}")));
}

#[test]
fn a_text_of_any_length_is_permuted() {
    let long = "Grüße aus Łódź, Αθήνα, Москва und 東京: 0123456789. ".repeat(20);
    let fiction = permute(TEXT).fiction(&long).unwrap();
    assert_ne!(fiction, long);
    assert_eq!(fiction.chars().count(), long.chars().count());
    assert_eq!(permute(TEXT).plain(&fiction).unwrap(), long);
}

#[test]
fn what_is_kept_stays() {
    let case = permute(TEXT).int("keep_first", 2).int("keep_last", 4);
    let fiction = case.fiction("DE44500105175407324931").unwrap();
    assert!(fiction.starts_with("DE") && fiction.ends_with("4931"));
    assert_ne!(fiction, "DE44500105175407324931");
    assert_eq!(case.plain(&fiction).unwrap(), "DE44500105175407324931");
}

#[test]
fn what_is_too_short_to_keep_anything_is_permuted_whole() {
    let case = permute(TEXT).int("keep_last", 4);
    case.is_a_bijection((0..1000).map(|number| format!("{number:03}")));
    case.is_a_bijection((0..1000).map(|number| format!("-{number:03}")));
    case.is_a_bijection((0..10_000).map(|number| format!("{number:04}")));
}

#[test]
fn classes_say_what_changes() {
    let case = permute(TEXT).with("classes", list(&["digit", "lower"]));
    let fiction = case.fiction("AB-12-cdÄ東").unwrap();
    assert!(fiction.starts_with("AB-") && fiction.ends_with("Ä東"));
    assert!(fiction[3..5].bytes().all(|byte| byte.is_ascii_digit()));
    assert_ne!(fiction, "AB-12-cdÄ東");
    assert_eq!(case.plain(&fiction).unwrap(), "AB-12-cdÄ東");
    assert_eq!(permute(TEXT).text("classes", "upper").fiction("12").unwrap(), "12");
}

#[test]
fn a_card_keeps_its_last_digits_and_its_check() {
    let case = permute(TEXT).int("keep_last", 4).text("check", "luhn");
    for plain in ["4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "371449635398431"] {
        assert_eq!(luhn_residue(plain), 0);
        let fiction = case.fiction(plain).unwrap();
        assert_eq!(luhn_residue(&fiction), 0, "{fiction}");
        assert_ne!(fiction, plain);
        assert_eq!(fiction[fiction.len() - 4..], plain[plain.len() - 4..]);
        assert_eq!(case.plain(&fiction).unwrap(), plain);
    }
    // A wrong number stays wrong by as much: else two numbers would meet.
    let fiction = case.fiction("4111111111111112").unwrap();
    assert_eq!(luhn_residue(&fiction), 1);
}

#[test]
fn a_checked_number_is_a_bijection() {
    for kept in 0..=4 {
        let case = permute(TEXT).int("keep_last", kept).text("check", "luhn");
        for digits in 1..=4 {
            case.is_a_bijection(
                (0..10_i64.pow(digits)).map(|n| format!("{n:0width$}", width = digits as usize)),
            );
        }
        case.is_a_bijection((0..1000).map(|number| format!("{number:03}!")));
    }
}

#[test]
fn integers_stay_in_their_type() {
    permute(Kind::Int(2)).is_a_bijection((-32_768..=32_767).map(|number: i32| number.to_string()));
    for (first, last) in [(1, 0), (2, 2), (0, 4)] {
        let case = permute(Kind::Int(2)).int("keep_first", first).int("keep_last", last);
        let transformer = case.build().unwrap();
        let mut fictions = BTreeSet::new();
        for plain in -32_768..=32_767_i32 {
            let fiction = case.fiction_of(transformer.as_ref(), &plain.to_string(), 0).unwrap();
            assert!(fiction.parse::<i16>().is_ok(), "{fiction}");
            assert!(fictions.insert(fiction), "of {plain} comes twice");
        }
    }
}

#[test]
fn checked_integers_stay_in_their_type() {
    let case = permute(Kind::Int(2)).text("check", "luhn");
    let transformer = case.build().unwrap();
    let mut fictions = BTreeSet::new();
    for plain in -32_768..=32_767_i32 {
        let plain = plain.to_string();
        let fiction = case.fiction_of(transformer.as_ref(), &plain, 0).unwrap();
        assert!(fiction.parse::<i16>().is_ok(), "{fiction}");
        // A single digit has no other of the same sum.
        if plain.trim_start_matches('-').len() > 1 {
            assert_eq!(luhn_residue(&fiction), luhn_residue(&plain));
        }
        let mut again = String::new();
        transformer.plain_of(&fiction, &mut again).unwrap();
        assert_eq!(again, plain);
        assert!(fictions.insert(fiction));
    }
    let long = permute(Kind::Int(8)).text("check", "luhn").int("keep_last", 4);
    let fiction = long.fiction("4111111111111111").unwrap();
    assert_eq!(luhn_residue(&fiction), 0);
    assert!(fiction.ends_with("1111") && !fiction.starts_with('0'));
}

#[test]
fn numerics_stay_canonical() {
    let shown = |n: i32| {
        let text = format!("{}{}.{:02}", if n < 0 { "-" } else { "" }, n.abs() / 100, n.abs() % 100);
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    };
    permute(Kind::Numeric(Some((4, 2))))
        .is_a_bijection((-9_999..=9_999).filter(|n| *n != 0).map(shown).chain(["0".into()]));
    let case = permute(Kind::Numeric(None));
    assert_eq!(case.fiction("12.50").unwrap(), case.fiction("12.5").unwrap());
    assert_eq!(case.fiction("NaN").unwrap(), "NaN");
    assert_eq!(case.fiction("7").unwrap(), permute(Kind::Int(4)).fiction("7").unwrap());
}

#[test]
fn equal_values_of_a_key_have_equal_fictions() {
    assert_eq!(
        permute(Kind::Citext).fiction("Anna").unwrap(),
        permute(Kind::Citext).fiction("aNNA").unwrap()
    );
    let padded = permute(Kind::Char(8)).fiction("anna    ").unwrap();
    assert_eq!(padded, permute(Kind::Char(4)).fiction("anna").unwrap());
    let lower = Case { is_lower_case: true, ..permute(TEXT).unique() };
    assert_eq!(lower.fiction("Änna").unwrap(), lower.fiction("änna").unwrap());
    assert!(lower.fiction("ÄNNA").unwrap().chars().all(char::is_lowercase));
}

#[test]
fn keys_and_engines_matter() {
    let plain = "anna.miller@example";
    assert_ne!(permute(TEXT).fiction(plain).unwrap(), permute(TEXT).key(2).fiction(plain).unwrap());
    let random = permute(TEXT).random().int("keep_last", 7).text("check", "luhn");
    let transformer = random.build().unwrap();
    let fictions: BTreeSet<_> = (0..20)
        .map(|row| random.fiction_of(transformer.as_ref(), "4111 1111-example", row).unwrap())
        .collect();
    assert_eq!(fictions.len(), 20);
    for fiction in fictions {
        assert!(fiction.ends_with("example") && fiction != "4111 1111-example");
        assert_eq!(luhn_residue(&fiction), luhn_residue("41111111"));
    }
    assert!(random.plain("x").is_err());
}

#[test]
fn what_is_wrong_has_its_code() {
    assert_eq!(permute(TEXT).int("keep_first", -1).codes(), [Code::ValueOutside]);
    assert_eq!(permute(TEXT).int("keep_last", 1_000_001).codes(), [Code::ValueOutside]);
    assert_eq!(permute(Kind::Text(Some(4))).int("keep_last", 4).codes(), [Code::ChangesNothing]);
    assert_eq!(
        permute(Kind::Char(4)).int("keep_first", 2).int("keep_last", 2).codes(),
        [Code::ChangesNothing]
    );
    assert_eq!(permute(TEXT).text("classes", "vowels").codes(), [Code::WrongValue]);
    assert_eq!(permute(TEXT).with("classes", list(&[])).codes(), [Code::ChangesNothing]);
    assert_eq!(permute(TEXT).text("check", "mod97").codes(), [Code::WrongValue]);
    assert_eq!(permute(TEXT).unique().random().codes(), [Code::NotInjective]);
    assert_eq!(permute(Kind::Date).codes(), [Code::UnfitType]);
    assert_eq!(Case { replaces_null: true, ..permute(TEXT) }.codes(), [Code::WrongValue]);
}

proptest! {
    #[test]
    fn any_text_can_be_turned_around(
        text in "\\PC{0,40}", first in 0_i64..6, last in 0_i64..6, is_luhn: bool,
    ) {
        let check = if is_luhn { "luhn" } else { "none" };
        let case = permute(TEXT).int("keep_first", first).int("keep_last", last).text("check", check);
        let fiction = case.fiction(&text).unwrap();
        prop_assert_eq!(fiction.len(), text.len());
        prop_assert_eq!(case.plain(&fiction).unwrap(), &*text);
    }

    #[test]
    fn texts_with_digits_never_stay(text in "[a-z -]{0,9}[0-9][a-z -]{0,9}", kept in 0_i64..20) {
        let case = permute(TEXT).int("keep_first", kept).text("check", "luhn");
        prop_assert_ne!(case.fiction(&text).unwrap(), text);
    }

    #[test]
    fn any_integer_stays_in_its_type(number: i64, first in 0_i64..4, last in 0_i64..4, is_luhn: bool) {
        let check = if is_luhn { "luhn" } else { "none" };
        let case = permute(Kind::Int(8)).int("keep_first", first).int("keep_last", last).text("check", check);
        let fiction = case.fiction(&number.to_string()).unwrap();
        prop_assert!(fiction.parse::<i64>().is_ok(), "{}", fiction);
        prop_assert_eq!(case.plain(&fiction).unwrap(), number.to_string());
    }
}
