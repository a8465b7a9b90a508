#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::super::attempt::{Built, row, trial};
use crate::types::{Decimal, Kind};

fn noise(kind: Kind, parameters: &str) -> Built {
    trial(kind, &format!("{{ use = 'noise'{parameters} }}")).built()
}

fn code(kind: Kind, rule: &str) -> &'static str {
    trial(kind, rule).code()
}

#[test]
fn numbers_move_by_their_ratio() {
    let built = noise(Kind::Int(4), "");
    let (mut up, mut down) = (0, 0);
    for plain in 10_000..10_200i64 {
        let fiction: i64 = built.text(&plain.to_string()).parse().unwrap();
        let way = (fiction - plain).abs() as f64 / plain as f64;
        assert!((0.0499..=0.2).contains(&way), "{way}");
        (up, down) = (up + usize::from(fiction > plain), down + usize::from(fiction < plain));
    }
    assert!(up > 60 && down > 60);
    let built = noise(Kind::Int(4), ", ratio = 0.5, min_ratio = 0.5");
    assert!(["50", "150"].contains(&built.text("100").as_str()));
    let money = noise(Kind::Numeric(Some((10, 2))), ", max_ratio = 0.1, min = 0");
    for plain in ["1234.56", "0.00", "0.01", "99999999.99", "-5.00"] {
        let fiction = money.text(plain);
        assert_eq!(fiction.split_once('.').unwrap().1.len(), 2);
        assert!(!fiction.starts_with('-') && fiction != plain, "{plain} {fiction}");
    }
    assert_eq!(
        noise(Kind::Numeric(None), ", decimal = 1").text("12.345").split_once('.').unwrap().1.len(),
        1
    );
    assert_eq!(noise(Kind::Numeric(None), "").text("NaN"), "NaN");
    assert!(noise(Kind::Numeric(None), "").refuses(&"9".repeat(40)));
    let thousands = noise(Kind::Numeric(Some((2, -3))), "");
    assert!(["6000", "4000"].contains(&thousands.text("5000").as_str()));
}

#[test]
fn noise_stays_between_its_ends() {
    let built = noise(Kind::Int(2), ", min = 10, max = 12");
    assert_eq!(built.text("900"), "12");
    assert_eq!(built.text("-900"), "10");
    for plain in ["10", "11", "12"] {
        let fiction = built.text(plain);
        assert!(["10", "11", "12"].contains(&fiction.as_str()) && fiction != plain);
    }
    assert_eq!(noise(Kind::Int(2), ", min = 7, max = 7").text("7"), "7");
    let columns = [("low", Kind::Numeric(None)), ("high", Kind::Int(4))];
    for kind in [Kind::Int(4), Kind::Float(8), Kind::Numeric(None)] {
        let rule =
            "{ use = 'noise', ratio = 1, min = { from = 'low' }, max = { from = 'high', default = 9 } }";
        let built = trial(kind, rule).columns(&columns).built();
        assert_eq!(built.in_row(Some("90"), &row(&[Some("1"), Some("5")])).unwrap().as_deref(), Some("5"));
        assert_eq!(built.in_row(Some("90"), &row(&[Some("1"), None])).unwrap().as_deref(), Some("9"));
        assert!(built.in_row(Some("90"), &row(&[Some("7"), Some("5")])).is_err());
        assert_eq!(built.in_row(None, &row(&[None, None])).unwrap(), None);
    }
    assert_eq!(built.text("11"), built.text("11"));
    let of = |secret| trial(Kind::Int(8), "{ use = 'noise' }").secret(secret).built().text("1000000000");
    assert_ne!(of(1), of(2));
}

#[test]
fn floats_move_and_are_rounded() {
    let built = noise(Kind::Float(8), ", decimal = 2");
    for plain in ["12.5", "-12.5", "0", "1e-3", "100000"] {
        let fiction = built.text(plain);
        assert_ne!(fiction.parse::<f64>().unwrap(), plain.parse::<f64>().unwrap());
        assert!(fiction.split_once('.').is_none_or(|(_, digits)| digits.len() <= 2), "{fiction}");
    }
    for plain in ["1.5e300", "1e-300", "1.7976931348623157e308", "NaN", "Infinity"] {
        noise(Kind::Float(8), "").text(plain);
    }
    for plain in ["3.4e38", "1e-40", "0.1", "16777216"] {
        let fiction = noise(Kind::Float(4), "").text(plain);
        assert_ne!(fiction.parse::<f32>().unwrap(), plain.parse::<f32>().unwrap());
    }
    assert_eq!(noise(Kind::Float(8), "").text("NaN"), "NaN");
}

#[test]
fn dates_move_by_an_interval() {
    let days = |text: &str| crate::dates::parse(text).unwrap().time.moment().unwrap().days;
    let built = noise(Kind::Date, ", ratio = '30 days', min_ratio = '10 days'");
    for day in 1..=28 {
        let plain = format!("2020-02-{day:02}");
        let way = (days(&built.text(&plain)) - days(&plain)).abs();
        assert!((10..=30).contains(&way), "{way}");
    }
    let one = noise(Kind::Date, ", ratio = '1 day'");
    assert_eq!((days(&one.text("2020-01-01")) - days("2020-01-01")).abs(), 1);
    let ends = noise(Kind::Date, ", ratio = '1 year', min = '2020-01-01', max = '2020-01-02'");
    assert_eq!(ends.text("2020-01-01"), "2020-01-02");
    assert_eq!(ends.text("2020-01-02"), "2020-01-01");
    let months = noise(Kind::Timestamp, ", ratio = '3 days', truncate = 'month'");
    for plain in ["2020-01-01 00:00:00", "2020-05-15 10:00:00", "2020-01-01 00:00:00.000001"] {
        let fiction = months.text(plain);
        assert!(fiction.ends_with("-01 00:00:00") && fiction != plain);
    }
    assert_eq!(built.text("-infinity"), "-infinity");
    let columns = [("born", Kind::Date)];
    let rule = "{ use = 'noise', ratio = '9 years', min = { from = 'born' } }";
    let built = trial(Kind::TimestampTz, rule).columns(&columns).built();
    for plain in 10..40 {
        let plain = format!("2020-01-01 00:00:{plain}+00");
        let fiction = built.in_row(Some(&plain), &row(&[Some("2020-01-01")])).unwrap().unwrap();
        assert!(fiction.as_str() >= "2020-01-01 00:00:00+00");
    }
}

#[test]
fn wrong_noise_is_found() {
    assert_eq!(code(Kind::Int(4), "{ use = 'noise', ratio = 0 }"), "M111");
    assert_eq!(code(Kind::Int(4), "{ use = 'noise', ratio = 1.5 }"), "M111");
    assert_eq!(code(Kind::Int(4), "{ use = 'noise', ratio = '3 days' }"), "M111");
    assert_eq!(code(Kind::Int(4), "{ use = 'noise', ratio = 0.1, min_ratio = 0.2 }"), "M111");
    assert_eq!(code(Kind::Int(4), "{ use = 'noise', ratio = 0.1, max_ratio = 0.2 }"), "M006");
    assert_eq!(code(Kind::Int(4), "{ use = 'noise', min = 5, max = 4 }"), "M111");
    assert_eq!(code(Kind::Int(4), "{ use = 'noise', min = 'x' }"), "M111");
    assert_eq!(code(Kind::Int(4), "{ use = 'noise', decimal = 2 }"), "M006");
    assert_eq!(code(Kind::Int(4), "{ use = 'noise', truncate = 'day' }"), "M006");
    assert_eq!(code(Kind::Float(8), "{ use = 'noise', decimal = -1 }"), "M111");
    assert_eq!(code(Kind::Float(8), "{ use = 'noise', min = 2, max = 1.5 }"), "M111");
    assert_eq!(code(Kind::Date, "{ use = 'noise' }"), "M004");
    assert_eq!(code(Kind::Date, "{ use = 'noise', ratio = 0.5 }"), "M006");
    assert_eq!(code(Kind::Date, "{ use = 'noise', ratio = '2 hours' }"), "M155");
    assert_eq!(code(Kind::Date, "{ use = 'noise', ratio = '2 days', min_ratio = '3 days' }"), "M111");
    assert_eq!(
        code(Kind::Date, "{ use = 'noise', ratio = '2 days', min = '2020-01-02', max = '2020-01-01' }"),
        "M111"
    );
    assert_eq!(code(Kind::Text(None), "{ use = 'noise' }"), "M110");
}

#[test]
fn generalised_values_say_less() {
    let of = |kind: Kind, parameters: &str, plain: &str| {
        trial(kind, &format!("{{ use = 'generalise', {parameters} }}")).built().text(plain)
    };
    assert_eq!(of(Kind::Text(None), "keep = 3, fill = '0'", "04109"), "04100");
    assert_eq!(of(Kind::Text(None), "keep = 3", "äöüß"), "äöü");
    assert_eq!(of(Kind::Text(None), "keep = 0, fill = '*'", "abc"), "***");
    assert_eq!(of(Kind::Int(4), "buckets = 5", "37"), "35");
    assert_eq!(of(Kind::Int(4), "buckets = 5", "-1"), "-5");
    assert_eq!(of(Kind::Numeric(Some((5, 2))), "buckets = 0.5", "37.49"), "37.0");
    assert_eq!(of(Kind::Float(8), "buckets = 10", "1.5e2"), "150");
    assert_eq!(of(Kind::Date, "unit = 'month'", "2020-05-17"), "2020-05-01");
    assert_eq!(of(Kind::Date, "unit = 'year'", "0044-05-17 BC"), "0044-01-01 BC");
    assert_eq!(of(Kind::Timestamp, "unit = 'hour'", "2020-05-17 10:59:00"), "2020-05-17 10:00:00");
    assert_eq!(of(Kind::Date, "unit = 'year'", "infinity"), "infinity");
    assert_eq!(of(Kind::Inet, "prefix = 16", "192.168.7.9"), "192.168.0.0/16");
    assert_eq!(of(Kind::Inet, "prefix = 0", "192.168.7.9/24"), "0.0.0.0/0");
    assert_eq!(of(Kind::Cidr, "prefix6 = 32", "2001:db8:1::/64"), "2001:db8::/32");
    assert_eq!(of(Kind::Cidr, "prefix = 24", "10.0.0.0/8"), "10.0.0.0/8");
    let small = trial(Kind::Int(2), "{ use = 'generalise', buckets = 1000 }").built();
    assert!(small.refuses("-32768"));
}

#[test]
fn wrong_generalisations_are_found() {
    assert_eq!(code(Kind::Text(None), "{ use = 'generalise' }"), "M004");
    assert_eq!(code(Kind::Text(None), "{ use = 'generalise', keep = -1 }"), "M111");
    assert_eq!(code(Kind::Text(Some(5)), "{ use = 'generalise', keep = 5 }"), "M155");
    assert_eq!(code(Kind::Text(None), "{ use = 'generalise', keep = 1, fill = '00' }"), "M111");
    assert_eq!(code(Kind::Text(None), "{ use = 'generalise', keep = 1, buckets = 5 }"), "M006");
    assert_eq!(code(Kind::Int(4), "{ use = 'generalise', unit = 'year' }"), "M006");
    assert_eq!(code(Kind::Int(4), "{ use = 'generalise', buckets = 0 }"), "M111");
    assert_eq!(code(Kind::Int(4), "{ use = 'generalise', buckets = 2.5 }"), "M111");
    assert_eq!(code(Kind::Int(4), "{ use = 'generalise', buckets = 1 }"), "M155");
    assert_eq!(code(Kind::Date, "{ use = 'generalise' }"), "M004");
    assert_eq!(code(Kind::Date, "{ use = 'generalise', unit = 'day' }"), "M155");
    assert_eq!(code(Kind::Inet, "{ use = 'generalise', prefix = 32 }"), "M111");
    assert_eq!(code(Kind::Bool, "{ use = 'generalise' }"), "M110");
    assert_eq!(trial(Kind::Int(4), "{ use = 'nose' }").code(), "M003");
}

proptest! {
    #[test]
    fn integers_never_stay(plain in any::<i64>(), small in -3i64..4) {
        for (kind, plain) in [(Kind::Int(8), plain), (Kind::Int(4), i64::from(plain as i32)), (Kind::Int(2), small)] {
            let fiction: i64 = noise(kind, "").text(&plain.to_string()).parse().unwrap();
            prop_assert_ne!(fiction, plain);
        }
    }

    #[test]
    fn numerics_never_stay(digits in -999_999i128..1_000_000, scale in 0u32..4, decimal in 0u32..4) {
        let plain = Decimal { digits, scale };
        let built = noise(Kind::Numeric(Some((9, 3))), &format!(", decimal = {decimal}"));
        let fiction = Decimal::parse(&built.text(&plain.to_string())).unwrap();
        prop_assert!(fiction.compare(plain).is_ne());
        prop_assert!(fiction.scale <= decimal);
    }

    #[test]
    fn floats_never_stay(plain in any::<f64>().prop_filter("finite", |f| f.is_finite()), single in any::<f32>().prop_filter("finite", |f| f.is_finite())) {
        let fiction: f64 = noise(Kind::Float(8), "").text(&format!("{plain:e}")).parse().unwrap();
        prop_assert_ne!(fiction, plain);
        let fiction: f32 = noise(Kind::Float(4), "").text(&format!("{single:e}")).parse().unwrap();
        prop_assert_ne!(fiction, single);
    }
}
