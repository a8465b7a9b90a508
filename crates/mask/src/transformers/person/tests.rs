#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use super::{Gender, People, Person, Wanted};
use crate::draw::Draw;
use crate::finding::Code;
use crate::key::RuleKey;
use crate::rules::Literal;
use crate::transformers::trial::{TEXT, Trial, sweep, table, text};
use crate::types::Kind;
use crate::vocabulary::{List, Locale, Vocabulary};

fn subject(number: u128) -> Draw {
    Draw::of(RuleKey::of_bytes([0; 16]), &number.to_le_bytes())
}

fn one() -> Vocabulary {
    Vocabulary::of(1).unwrap()
}

#[test]
fn words_hold_what_all_do() {
    for name in ["person.first", "person.middle", "person.last", "person.name", "person.title"] {
        sweep(name, 2);
    }
}

#[test]
fn initials_have_room_in_one_character() {
    for locale in ["en_US", "de_DE", "ru_RU", "ja_JP"] {
        for kind in [TEXT, Kind::Text(Some(1)), Kind::Char(2), Kind::Citext] {
            Trial::of("person.initials").locale(locale).on(kind).build().unwrap().holds();
        }
    }
    let with_format = Trial::of("person.initials").with("format", text("{f}.{m}.{l}."));
    let initials = with_format.build().unwrap().of("x");
    assert_eq!((initials.chars().count(), initials.matches('.').count()), (6, 3));
}

/// What an upgrade must not change.
#[test]
fn fictions_stay_as_they_are() {
    let of = |name, locale: &str| Trial::of(name).locale(locale).build().unwrap().of_subject(7, "");
    let found: Vec<String> = ["person.first", "person.middle", "person.last", "person.name", "person.title"]
        .into_iter()
        .flat_map(|name| ["en_US", "de_DE", "cs_CZ"].map(|locale| of(name, locale)))
        .collect();
    assert_eq!(found, GOLDEN);
}

const GOLDEN: &[&str] = &[
    "Bridget",
    "Bianka",
    "Dagmar",
    "Claire",
    "Dorit",
    "Eliška",
    "Poole",
    "Sager",
    "Stejskalová",
    "Bridget Poole",
    "Bianka Sager",
    "Dagmar Stejskalová",
    "Dr.",
    "Dr.",
    "Ing. arch.",
];

#[test]
fn the_columns_of_a_subject_agree() {
    for locale in Locale::all() {
        let build = |name| Trial::of(name).locale(locale.name()).build().unwrap();
        let (first, last, title) = (build("person.first"), build("person.last"), build("person.title"));
        let name = Trial::of("person.name").with("format", text("{title}|{first}|{middle}|{last}|{gender}"));
        let name = name.locale(locale.name()).build().unwrap();
        let gender = build("person.gender");
        for number in 0..40 {
            let person = Person::of(subject(number), locale, one());
            assert_eq!(first.of_subject(number, ""), person.first);
            assert_eq!(last.of_subject(number, ""), person.last);
            assert_eq!(title.of_subject(number, ""), person.title);
            let whole = [person.title, person.first, person.middle, person.last, person.gender.as_str()];
            assert_eq!(name.of_subject(number, ""), whole.join("|"));
            assert_eq!(gender.of_subject(number, "Male"), person.gender.as_str());
            assert_eq!(gender.of_subject(number, "Female"), person.gender.as_str());
        }
    }
}

#[test]
fn names_are_of_the_gender() {
    for locale in Locale::all() {
        let list = |list| one().list(locale, list);
        let people = People::of(locale, one());
        for (gender, first, last) in [
            (Gender::Male, List::FirstMale, List::LastMale),
            (Gender::Female, List::FirstFemale, List::LastFemale),
        ] {
            for number in 0..40 {
                let person = people.person(&subject(number), Wanted::Only(gender), 0);
                assert!(list(first).contains(&person.first));
                assert!(list(last).contains(&person.last) || list(List::Last).contains(&person.last));
                let other = people.person(&subject(number), Wanted::Only(gender), 1);
                assert!(other.first != person.first && other.last != person.last);
            }
        }
        let genders: HashSet<_> =
            (0..40).map(|number| Person::of(subject(number), locale, one()).gender.as_str()).collect();
        assert_eq!(genders.len(), 2);
    }
    let last = |gender| {
        let trial = Trial::of("person.last").locale("cs_CZ").with("gender", text(gender));
        trial.build().unwrap()
    };
    let (male, female) = (last("Male"), last("Female"));
    let ends = |name: String| name.ends_with('á') || name.ends_with('ů') || name.ends_with('í');
    assert!((0..40).all(|number| ends(female.of_subject(number, ""))));
    assert!((0..40).any(|number| !ends(male.of_subject(number, ""))));
}

#[test]
fn a_neutral_person_has_a_neutral_name_and_title() {
    let person = |number| {
        let people = People::of(Locale("en_US"), one());
        people.person(&subject(number), Wanted::Only(Gender::Neutral), 0)
    };
    let list = |list| one().list(Locale("en_US"), list);
    assert!((0..40).all(|number| list(List::FirstNeutral).contains(&person(number).first)));
    assert!((0..40).all(|number| list(List::TitleNeutral).contains(&person(number).title)));
}

fn from_sex() -> Literal {
    let list = |texts: &[&str]| {
        let settings =
            texts.iter().map(|one| crate::rules::Setting { value: text(one), ..Default::default() });
        Literal::List(settings.collect())
    };
    let map = table(&[("Male", list(&["m", "M"])), ("Female", list(&["f"]))]);
    table(&[("from", text("sex")), ("map", map), ("else", text("Any")), ("default", text("Female"))])
}

#[test]
fn the_gender_comes_from_a_column() {
    let built = Trial::of("person.first").with("gender", from_sex()).build().unwrap();
    let list = |list| one().list(Locale::DEFAULT, list);
    for number in 0..40 {
        let of = |sex| built.beside(number, sex).unwrap();
        assert!(list(List::FirstMale).contains(&of(Some("M")).as_str()));
        assert!(list(List::FirstFemale).contains(&of(Some("f")).as_str()));
        assert!(list(List::FirstFemale).contains(&of(None).as_str()));
        assert_eq!(of(Some("?")), Person::of(subject(number), Locale::DEFAULT, one()).first);
    }
    let strict = table(&[("from", text("sex"))]);
    let built = Trial::of("person.first").with("gender", strict).build().unwrap();
    let of = |sex| built.beside(0, Some(sex)).unwrap();
    assert!(of("Male") == of("m") && of("Female") == of("woman") && of("m") != of("f"));
    assert!(built.beside(0, Some("?")).is_err() && built.beside(0, None).is_err());
}

#[test]
fn a_gender_keeps_the_form_of_the_plain_value() {
    let of = |kind: Kind, locale: &str, plain: &str| {
        Trial::of("person.gender").on(kind).locale(locale).build().unwrap().of(plain)
    };
    for (locale, one, other) in [
        ("en_US", "m", "f"),
        ("en_US", "M", "F"),
        ("en_US", "male", "female"),
        ("en_US", "Male", "Female"),
        ("en_US", "1", "2"),
        ("de_DE", "m", "w"),
        ("de_AT", "männlich", "weiblich"),
        ("fr_FR", "homme", "femme"),
        ("ja_JP", "男", "女"),
    ] {
        assert_eq!(of(TEXT, locale, one), other);
        assert_eq!(of(TEXT, locale, other), one);
    }
    assert_eq!(of(Kind::Int(2), "en_US", "1"), "2");
    assert!(["1", "2"].contains(&of(Kind::Int(2), "en_US", "9").as_str()));
    assert!(["M", "F"].contains(&of(Kind::Char(1), "en_US", "x").as_str()));
    assert!(["Male", "Female"].contains(&of(TEXT, "en_US", "unknown").as_str()));
    let labels = Kind::Enum(["f", "m", "x"].map(str::to_string).to_vec());
    assert_eq!(of(labels, "en_US", "m"), "f");
}

#[test]
fn values_say_how_genders_are_written() {
    let values = || table(&[("Male", text("he")), ("Female", text("she")), ("Neutral", text("they"))]);
    let trial = || Trial::of("person.gender").with("values", values());
    assert_eq!(trial().build().unwrap().of("he"), "she");
    assert_eq!(trial().with("gender", text("Neutral")).build().unwrap().of("he"), "they");
    let flags = table(&[("Male", Literal::Flag(true)), ("Female", Literal::Flag(false))]);
    let flags = || Trial::of("person.gender").with("values", flags.clone());
    assert_eq!(flags().on(Kind::Bool).build().unwrap().of("t"), "f");
    let numbers = table(&[("Male", Literal::Integer(0)), ("Female", Literal::Integer(1))]);
    let numbers = Trial::of("person.gender").with("values", numbers).on(Kind::Int(4));
    assert_eq!(numbers.build().unwrap().of("1"), "0");
    // A neutral value of a rule that names no neutral one.
    let built = Trial::of("person.gender").with("gender", from_sex()).build().unwrap();
    assert!(["Male", "Female"].contains(&built.beside(1, Some("?")).unwrap().as_str()));
}

#[test]
fn wrong_parameters_are_findings() {
    let first = || Trial::of("person.first");
    let gender = || Trial::of("person.gender");
    let values = |male: &str, female: &str| table(&[("Male", text(male)), ("Female", text(female))]);
    let labels = Kind::Enum(["a", "b"].map(str::to_string).to_vec());
    for (trial, code) in [
        (first().with("gender", text("Both")), Code::WrongValue),
        (first().with("gender", table(&[("from", text("nowhere"))])), Code::UnknownColumn),
        (first().with("format", text("{surname}")), Code::WrongValue),
        (first().with("format", text("{first")), Code::WrongValue),
        (first().with("format", text("Jane")), Code::ChangesNothing),
        (first().with("format", table(&[("from", text("sex"))])), Code::WrongValue),
        (gender().on(Kind::Bool), Code::ValueOutside),
        (gender().on(labels.clone()), Code::ValueOutside),
        (gender().on(labels).with("values", values("a", "c")), Code::ValueOutside),
        (gender().on(Kind::Int(2)).with("values", values("1", "40000")), Code::ValueOutside),
        (gender().on(Kind::Text(Some(1))).with("values", values("m", "ff")), Code::ValueOutside),
        (gender().with("values", values("x", "X")), Code::ChangesNothing),
        (gender().with("values", table(&[("Male", text("m"))])), Code::ParameterMissing),
        (gender().with("values", table(&[("Man", text("m"))])), Code::WrongValue),
        (gender().with("gender", text("Neutral")), Code::ParameterMissing),
        (gender().with("gender", table(&[("from", text("it"))])), Code::ChangesNothing),
        (gender().on(Kind::Date), Code::UnfitType),
        (gender().vocabulary(9), Code::WrongValue),
    ] {
        assert_eq!(trial.faults(), [code]);
    }
}
