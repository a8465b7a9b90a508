#![allow(clippy::unwrap_used)]

use crate::finding::Code;
use crate::rules::Literal;
use crate::transformers::trial::{TEXT, Trial, text};
use crate::types::Kind;
use crate::vocabulary::Locale;

#[test]
fn lists_hold_what_all_do() {
    for name in ["month", "weekday", "century", "timezone", "currency", "card_type", "amount"] {
        for kind in [TEXT, Kind::Citext, Kind::Name, Kind::Char(40), Kind::Text(Some(40))] {
            for locale in ["en_US", "de_DE", "ja_JP"] {
                Trial::of(name).on(kind.clone()).locale(locale).build().unwrap().holds();
            }
        }
        assert_eq!(Trial::of(name).on(Kind::Date).faults(), [Code::UnfitType]);
        assert_eq!(Trial::of(name).with("size", text("9")).faults(), [Code::ParameterUnknown]);
    }
    for locale in Locale::all() {
        Trial::of("month").locale(locale.name()).build().unwrap().holds();
        Trial::of("weekday").locale(locale.name()).build().unwrap().holds();
    }
}

#[test]
fn an_entry_is_whole_or_left_out() {
    let short = |name, most| Trial::of(name).on(Kind::Text(Some(most)));
    let of_four: Vec<String> = {
        let built = short("month", 4).build().unwrap();
        (0..40).map(|number| built.of(&number.to_string())).collect()
    };
    assert!(of_four.iter().all(|month| ["June", "July", "May"].contains(&month.as_str())));
    for (name, most) in [("month", 3), ("weekday", 5), ("timezone", 3), ("currency", 2), ("card_type", 3)] {
        assert_eq!(short(name, most).faults(), [Code::ValueOutside], "{name}");
    }
    assert_eq!(short("amount", 10).faults(), [Code::ValueOutside]);
    assert!(short("amount", 12).build().is_ok());
}

#[test]
fn a_currency_is_a_code_or_a_name() {
    let code = Trial::of("currency").build().unwrap().of("x");
    assert!(code.len() == 3 && code.chars().all(|c| c.is_ascii_uppercase()), "{code}");
    let name = Trial::of("currency").with("form", text("name")).build().unwrap().of("x");
    assert!(name.len() > 3, "{name}");
    assert_eq!(Trial::of("currency").with("form", text("sign")).faults(), [Code::WrongValue]);
}

#[test]
fn an_amount_is_in_its_range() {
    let trial = Trial::of("amount").with("currency", text("EUR"));
    let built = trial.with("min", Literal::Float(0.5)).with("max", Literal::Integer(2)).build().unwrap();
    for number in 0..60 {
        let text = built.of(&number.to_string());
        let amount: f64 = text.strip_prefix("EUR ").unwrap().parse().unwrap();
        assert!((0.5..=2.0).contains(&amount), "{text}");
        assert_eq!(text.split_once('.').unwrap().1.len(), 2);
    }
    let wrong = |name, value| Trial::of("amount").with(name, value).faults();
    assert_eq!(wrong("min", Literal::Integer(-1)), [Code::ValueOutside]);
    assert_eq!(wrong("max", Literal::Float(1e14)), [Code::ValueOutside]);
    assert_eq!(wrong("max", Literal::Float(0.5)), [Code::ValueOutside]);
    assert_eq!(wrong("min", text("1")), [Code::WrongValue]);
    assert_eq!(wrong("currency", text("EURO")), [Code::ValueOutside]);
}

#[test]
fn days_and_years_are_numbers_of_the_range() {
    let numeric = Kind::Numeric(Some((4, 0)));
    for (name, least, most) in [("day", 1, 31), ("year", 1970, 2029)] {
        for kind in [TEXT, Kind::Int(2), Kind::Int(8), Kind::Numeric(None), numeric.clone()] {
            let built = Trial::of(name).on(kind).build().unwrap();
            // Over the whole domain: no number stays, and each is in the range.
            for plain in least - 1..=most + 1 {
                let number: i64 = built.of(&plain.to_string()).parse().unwrap();
                assert!((least..=most).contains(&number) && number != plain);
            }
        }
        let short = Trial::of(name).on(Kind::Text(Some(1)));
        assert_eq!(short.faults(), [Code::ValueOutside]);
        assert_eq!(Trial::of(name).on(Kind::Numeric(Some((3, 2)))).faults(), [Code::ValueOutside]);
        assert_eq!(Trial::of(name).on(Kind::Numeric(Some((9, -1)))).faults(), [Code::ValueOutside]);
        assert_eq!(Trial::of(name).on(Kind::Date).faults(), [Code::UnfitType]);
        let wrong = |name_of, number| Trial::of(name).with(name_of, Literal::Integer(number)).faults();
        assert_eq!(wrong("max", 10_000), [Code::ValueOutside]);
        assert_eq!(wrong("min", -1), [Code::ValueOutside]);
        assert_eq!(wrong("min", most), [Code::ValueOutside]);
    }
    let two = Trial::of("year").with("min", Literal::Integer(1999)).with("max", Literal::Integer(2000));
    let two = two.on(Kind::Int(2)).build().unwrap();
    assert_eq!((two.of("1999").as_str(), two.of("2000").as_str()), ("2000", "1999"));
}

#[test]
fn coordinates_are_in_their_range() {
    for (name, limit) in [("latitude", 90.0), ("longitude", 180.0)] {
        for kind in [Kind::Float(4), Kind::Float(8), Kind::Numeric(None), TEXT] {
            let built = Trial::of(name).on(kind).build().unwrap();
            built.holds();
            for number in 0..40 {
                let degrees: f64 = built.of(&number.to_string()).parse().unwrap();
                assert!((-limit..=limit).contains(&degrees));
            }
        }
        let trial = Trial::of(name).with("min", Literal::Integer(10)).with("max", Literal::Float(10.5));
        let built = trial.with("decimals", Literal::Integer(1)).build().unwrap();
        for number in 0..40 {
            let degrees: f64 = built.of(&number.to_string()).parse().unwrap();
            assert!((10.0..=10.5).contains(&degrees));
        }
        let wrong = |end, number| Trial::of(name).with(end, Literal::Integer(number)).faults();
        assert_eq!(wrong("min", -181), [Code::ValueOutside]);
        assert_eq!(wrong("max", 181), [Code::ValueOutside]);
        assert_eq!(wrong("max", -180), [Code::ValueOutside]);
        assert_eq!(Trial::of(name).on(Kind::Int(4)).faults(), [Code::UnfitType]);
    }
}

/// What an upgrade must not change.
#[test]
fn fictions_stay_as_they_are() {
    let of = |name: &'static str| (name, Trial::of(name).build().unwrap().of("x"));
    let found = GOLDEN.iter().map(|(name, _)| of(name));
    let expected = GOLDEN.iter().map(|(name, fiction)| (*name, fiction.to_string()));
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

const GOLDEN: &[(&str, &str)] = &[
    ("month", "February"),
    ("weekday", "Monday"),
    ("day", "5"),
    ("year", "1979"),
    ("century", "IV"),
    ("timezone", "Africa/Windhoek"),
    ("currency", "CHF"),
    ("amount", "CHF 4404.50"),
    ("card_type", "Diners Club"),
    ("latitude", "-61.281465"),
    ("longitude", "-122.562930"),
    ("job", "Fashion designer"),
    ("word", "control"),
    ("sentence", "Late time seat until good."),
    ("address.latitude", "47.014759"),
    ("address.longitude", "-99.455453"),
    ("person.gender", "Male"),
    ("person.initials", "TE"),
];
