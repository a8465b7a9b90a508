#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::permute::classes;

fn texts(number: u8) -> Texts {
    Texts::new(RuleKey::of_bytes([number; 16]))
}

fn any_slot(_: usize, character: char) -> Option<Slot> {
    Slot::of(character)
}

fn forth(text: &str) -> String {
    let mut out = String::new();
    texts(1).write(text, &any_slot, None, Way::Forth, &mut out);
    out
}

fn back(text: &str) -> String {
    let mut out = String::new();
    texts(1).write(text, &any_slot, None, Way::Back, &mut out);
    out
}

#[test]
fn classes_hold_what_they_say() {
    let mut seen = BTreeSet::new();
    for class in classes::all() {
        let characters: Vec<char> = (0..class.size()).map(|place| class.at(place).unwrap()).collect();
        assert!(class.at(class.size()).is_none());
        assert!(characters.len() > 1);
        for (place, character) in characters.iter().enumerate() {
            assert!(seen.insert(*character), "{character} is in two classes");
            let (found, at) = class_of(*character).unwrap();
            assert!(std::ptr::eq(found, class) || found.size() == class.size());
            assert_eq!(at as usize, place);
            assert_eq!(character.len_utf8(), characters[0].len_utf8());
            match class.group {
                Group::Digit => assert!(character.is_numeric(), "{character:?}"),
                Group::Upper => assert!(character.is_uppercase(), "{character:?}"),
                Group::Lower => {
                    assert!(character.is_lowercase(), "{character:?}");
                    assert!(character.to_lowercase().eq([*character]));
                }
                Group::Other => {
                    assert!(character.is_alphabetic(), "{character:?}");
                    assert!(character.to_lowercase().eq([*character]));
                }
            }
        }
    }
}

#[test]
fn every_string_of_a_shape_is_another_one() {
    let mut fictions = BTreeSet::new();
    for digit in '0'..='9' {
        for upper in 'A'..='Z' {
            for greek in 'α'..='ω' {
                let plain = format!("{digit}-{upper}{greek}!");
                let fiction = forth(&plain);
                assert_ne!(fiction, plain);
                assert_eq!(back(&fiction), plain);
                fictions.insert(fiction);
            }
        }
    }
    assert_eq!(fictions.len(), 10 * 26 * 25);
}

#[test]
fn what_has_no_class_stays() {
    assert_eq!(forth(""), "");
    assert_eq!(forth("-- 😀 --"), "-- 😀 --");
}

/// The fictions of one edition are those of every later one.
#[test]
fn fictions_never_change() {
    let plains =
        ["Anna Müller", "4111 1111 1111 1111", "Εγνατία 12, Москва, 東京, a text of several numbers"];
    assert_eq!(
        plains.map(forth),
        ["Oayx Pÿxjtx", "9771 1237 8010 7869", "Χωλζυίβ 14, Цынзрж, 睺骣, p pynr rr vjlsgxv sbzgvcl"]
    );
}

#[test]
fn each_character_depends_on_all() {
    let plain: String = "abcdefghij".repeat(8);
    let fiction = forth(&plain);
    for place in [0, 40, 79] {
        let mut other = plain.clone();
        other.replace_range(place..=place, "z");
        let same = forth(&other).chars().zip(fiction.chars()).filter(|(a, b)| a == b).count();
        assert!(same < 15, "{same} of 80 characters are the same");
    }
}

proptest! {
    #[test]
    fn any_text_keeps_its_shape_and_can_be_inverted(text in "\\PC{0,90}") {
        let fiction = forth(&text);
        prop_assert_eq!(back(&fiction), &*text);
        prop_assert_eq!(fiction.len(), text.len());
        prop_assert_eq!(fiction == text, text.chars().all(|c| Slot::of(c).is_none()));
        for (plain, fiction) in text.chars().zip(fiction.chars()) {
            match (class_of(plain), class_of(fiction)) {
                (Some((plain, _)), Some((fiction, _))) => prop_assert!(std::ptr::eq(plain, fiction)),
                (None, None) => prop_assert_eq!(plain, fiction),
                _ => prop_assert!(false, "another shape"),
            }
        }
    }

    #[test]
    fn letters_and_digits_keep_their_shape(text in "[a-zA-Z0-9 äÖßШщ東]{1,120}") {
        let fiction = forth(&text);
        prop_assert_eq!(back(&fiction), &*text);
        prop_assert_eq!(fiction == text, text.trim().is_empty());
    }

    #[test]
    fn a_random_fiction_is_another_text_of_the_shape(text in "[a-z0-9-]{1,40}", seed: u128) {
        let mut draw = Draw::from_seed(RuleKey::of_bytes([1; 16]), seed);
        let mut fiction = String::new();
        texts(1).write(&text, &any_slot, None, Way::Random(&mut draw), &mut fiction);
        prop_assert_eq!(fiction == text, text.chars().all(|c| c == '-'));
        for (plain, fiction) in text.chars().zip(fiction.chars()) {
            prop_assert_eq!(plain.is_ascii_digit(), fiction.is_ascii_digit());
            prop_assert_eq!(plain == '-', fiction == '-');
        }
    }

    #[test]
    fn a_count_bounds_the_numbers(count in 2_u64..1000, number: u64) {
        let plain = format!("{:03}", number % count);
        let mut fiction = String::new();
        texts(1).write(&plain, &any_slot, Some(count), Way::Forth, &mut fiction);
        prop_assert_ne!(&fiction, &plain);
        prop_assert!(fiction.parse::<u64>().unwrap() < count);
        let mut again = String::new();
        texts(1).write(&fiction, &any_slot, Some(count), Way::Back, &mut again);
        prop_assert_eq!(again, plain);
    }
}
