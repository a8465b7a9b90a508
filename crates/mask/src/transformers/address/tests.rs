#![allow(clippy::unwrap_used)]

use crate::finding::Code;
use crate::rules::Literal;
use crate::transformers::trial::{TEXT, Trial, sweep, text};
use crate::types::Kind;
use crate::vocabulary::{List, Locale, Vocabulary};

#[test]
fn words_hold_what_all_do() {
    for (name, short) in [
        ("address.line", 5),
        ("address.street", 3),
        ("address.number", 2),
        ("address.city", 3),
        ("address.postcode", 3),
        ("address.state", 3),
        ("address.country", 3),
    ] {
        sweep(name, short);
    }
}

#[test]
fn the_columns_of_a_subject_agree() {
    for locale in Locale::all() {
        let build = |name| Trial::of(name).locale(locale.name()).build().unwrap();
        let names = ["street", "number", "city", "postcode", "state", "country"];
        let parts = [
            build("address.street"),
            build("address.number"),
            build("address.city"),
            build("address.postcode"),
            build("address.state"),
            build("address.country"),
        ];
        let format = names.map(|name| format!("{{{name}}}")).join("|");
        let line = Trial::of("address.line").with("format", text(&format)).locale(locale.name());
        let line = line.build().unwrap();
        for number in 0..20 {
            let one_by_one = parts.iter().map(|part| part.of_subject(number, ""));
            assert_eq!(line.of_subject(number, ""), one_by_one.collect::<Vec<_>>().join("|"));
        }
    }
}

/// What an upgrade must not change.
#[test]
fn fictions_stay_as_they_are() {
    let of = |locale: &str| {
        let format = "{street} {number}, {postcode} {city}, {state}, {country}";
        let trial = Trial::of("address.line").with("format", text(format)).locale(locale);
        trial.build().unwrap().of_subject(7, "")
    };
    assert_eq!(["en_US", "de_DE", "en_GB"].map(of), GOLDEN);
}

const GOLDEN: [&str; 3] = [
    "Miles Roads 335, 77467 Olsonbury, Tennessee, Liberia",
    "Paul-Gerhard-Wilmsen-Platz 33/63, 77467 Nauen, Sachsen-Anhalt, Mali",
    "Page Orchard 335, UD68 2MW North Vincentborough, South Yorkshire, Liberia",
];

#[test]
fn a_line_is_in_the_order_of_the_locale() {
    let of = |locale: &str| Trial::of("address.line").locale(locale).build().unwrap().of_subject(3, "");
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    assert!(is_digit(of("en_US").chars().next()), "{}", of("en_US"));
    assert!(is_digit(of("de_DE").chars().last()), "{}", of("de_DE"));
}

#[test]
fn a_postcode_has_the_form_of_the_locale() {
    let vocabulary = Vocabulary::of(1).unwrap();
    for locale in Locale::all() {
        let built = Trial::of("address.postcode").locale(locale.name()).build().unwrap();
        let forms = vocabulary.list(locale, List::Postcode);
        for number in 0..30 {
            let code = built.of_subject(number, "");
            let fits = |form: &&&str| {
                form.chars().count() == code.chars().count()
                    && form.chars().zip(code.chars()).all(|(form, c)| match form {
                        '#' => c.is_ascii_digit(),
                        '%' => ('1'..='9').contains(&c),
                        '?' => c.is_ascii_uppercase(),
                        other => c == other,
                    })
            };
            assert!(forms.iter().any(|form| fits(&form)), "{locale:?} {code}");
        }
    }
}

#[test]
fn coordinates_hold_what_all_do() {
    let numeric = |precision, scale| Kind::Numeric(Some((precision, scale)));
    for name in ["address.latitude", "address.longitude"] {
        for kind in [Kind::Float(4), Kind::Float(8), Kind::Numeric(None), numeric(9, 6), TEXT] {
            for locale in Locale::all() {
                Trial::of(name).on(kind.clone()).locale(locale.name()).build().unwrap().holds();
            }
        }
        Trial::of(name).on(numeric(3, 0)).locale("ru_RU").build().unwrap().holds();
        assert_eq!(Trial::of(name).on(numeric(4, 3)).faults(), [Code::ValueOutside]);
        assert_eq!(Trial::of(name).on(Kind::Text(Some(6))).faults(), [Code::ValueOutside]);
        assert_eq!(Trial::of(name).on(Kind::Int(4)).faults(), [Code::UnfitType]);
        let decimals = |number| Trial::of(name).with("decimals", Literal::Integer(number));
        assert_eq!(decimals(16).faults(), [Code::ValueOutside]);
        assert_eq!(decimals(-1).faults(), [Code::ValueOutside]);
        let text = decimals(2).build().unwrap().of("x");
        assert_eq!(text.split_once('.').unwrap().1.len(), 2);
    }
    let latitude = Trial::of("address.latitude").locale("de_DE").build().unwrap();
    let longitude = Trial::of("address.longitude").locale("de_DE").build().unwrap();
    for number in 0..40 {
        let degrees = |text: String| text.parse::<f64>().unwrap();
        assert!((48.0..=54.0).contains(&degrees(latitude.of_subject(number, ""))));
        assert!((7.0..=14.0).contains(&degrees(longitude.of_subject(number, ""))));
    }
}

#[test]
fn numbers_and_postcodes_may_be_numbers() {
    let numeric = |precision, scale| Kind::Numeric(Some((precision, scale)));
    for name in ["address.number", "address.postcode"] {
        for kind in [Kind::Int(2), Kind::Int(4), Kind::Int(8), Kind::Numeric(None), numeric(7, 2)] {
            for locale in Locale::all() {
                let built = Trial::of(name).on(kind.clone()).locale(locale.name()).build().unwrap();
                built.holds();
                let fiction = built.of_subject(1, "");
                assert_ne!(built.of_subject(1, &format!("{fiction}.00")), fiction);
            }
        }
        assert_eq!(Trial::of(name).on(numeric(3, 2)).faults(), [Code::ValueOutside]);
        assert_eq!(Trial::of(name).on(numeric(9, -2)).faults(), [Code::ValueOutside]);
    }
}
