#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;

use super::edition::{COMMON, V1};
use super::{List, Locale, NEWEST, Vocabulary};

/// Lists that a locale can do without.
const OPTIONAL: &[List] = &[
    List::FirstNeutral,
    List::MiddleMale,
    List::MiddleFemale,
    List::Last,
    List::LastMale,
    List::LastFemale,
    List::TitleNeutral,
    List::CompanyPrefix,
    List::CompanyWord,
];

/// Lists whose entries are in an order of their own.
const ORDERED: &[List] =
    &[List::Number, List::Company, List::Month, List::Weekday, List::Box, List::Sentence];

#[test]
fn an_edition_never_changes() {
    let expected = HASHES.lines().map(|line| line.split_once(' ').unwrap());
    let found = V1.iter().map(|file| {
        let hash = blake3::hash(file.text.as_bytes()).to_hex();
        (file.name, hash.as_str().get(..16).unwrap().to_string())
    });
    let expected: Vec<_> = expected.map(|(name, hash)| (name, hash.to_string())).collect();
    assert_eq!(found.collect::<Vec<_>>(), expected, "a released edition is frozen: make a new one");
}

#[test]
fn every_locale_has_what_transformers_need() {
    let vocabulary = Vocabulary::of(NEWEST).unwrap();
    assert!(Locale::all().count() >= 40);
    for locale in Locale::all() {
        for list in List::ALL.iter().filter(|list| !OPTIONAL.contains(list)) {
            let entries = vocabulary.list(locale, *list);
            let least = match list {
                List::Name | List::Line | List::Sentence | List::Company | List::Postcode => 1,
                List::Box => 4,
                List::Weekday => 7,
                List::Month => 12,
                _ => 2,
            };
            assert!(entries.len() >= least, "{locale:?} {list:?} has {}", entries.len());
        }
        let last = |list| vocabulary.list(locale, list).len();
        let (all, male, female) = (last(List::Last), last(List::LastMale), last(List::LastFemale));
        assert!((all >= 2) != (male >= 2 && female >= 2), "{locale:?} has {all}, {male}, {female}");
    }
}

#[test]
fn entries_are_clean_sorted_and_distinct() {
    for file in V1.iter() {
        assert!(file.text.ends_with('\n') && !file.text.contains("\n\n"), "{}", file.name);
        assert!(file.text.chars().all(|c| c == '\n' || !c.is_control()), "{}", file.name);
        let mut list = None;
        let mut seen = HashSet::new();
        let mut before = "";
        for line in file.text.lines() {
            if let Some(name) = line.strip_prefix('[') {
                list = List::named(name.split(']').next().unwrap());
                assert!(list.is_some(), "{}: {line}", file.name);
                (seen, before) = (HashSet::new(), "");
                continue;
            }
            let list = list.unwrap();
            assert_eq!(line, line.trim(), "{} {list:?}", file.name);
            assert!(line.chars().count() <= 60, "{} {line}", file.name);
            if !ORDERED.contains(&list) {
                assert!(before < line, "{} {list:?}: {before:?} comes before {line:?}", file.name);
                let lower = line.to_lowercase();
                assert!(list == List::Currency || seen.insert(lower), "{} {list:?}: {line}", file.name);
            }
            before = line;
        }
    }
}

#[test]
fn a_locale_is_found_by_any_spelling() {
    for (name, found) in [
        ("de_DE", Some("de_DE")),
        ("de", Some("de_DE")),
        ("de-at", Some("de_AT")),
        ("EN_gb", Some("en_GB")),
        ("en_US.UTF-8", Some("en_US")),
        ("de_DE@euro", Some("de_DE")),
        ("cs", Some("cs_CZ")),
        ("fil_PH", Some("fil_PH")),
        ("de_XX", None),
        ("xx", None),
        ("", None),
        (COMMON, None),
    ] {
        assert_eq!(Locale::named(name).map(Locale::name), found, "{name}");
    }
    assert_eq!(Locale::hint("pt_XX"), "locales of this language: pt_BR, pt_PT");
    assert!(Locale::hint("xx").starts_with("locales: ar_DZ, "));
    let locale = Locale::named("fil_PH").unwrap();
    assert_eq!((locale.language(), locale.country()), ("fil", "PH"));
}

#[test]
fn an_unknown_edition_is_none_and_an_unknown_locale_is_the_default() {
    assert!(Vocabulary::of(0).is_none() && Vocabulary::of(NEWEST + 1).is_none());
    let vocabulary = Vocabulary::of(1).unwrap();
    let of = |locale| vocabulary.list(locale, List::City);
    assert_eq!(of(Locale("xx_XX")), of(Locale::DEFAULT));
    // A list that a locale takes from another one.
    assert_eq!(of(Locale("de_LI")), of(Locale("de_DE")));
}

/// The first 8 bytes of BLAKE3 of each file.
const HASHES: &str = "\
ar_DZ f9f0add1dccde53c
ar_PS 58f9272dcd2c0cbb
ar_SA fce68faabcfb0276
az_AZ fe477895d5d99579
bg_BG 70ea027b2e9e0afe
bn_BD 05b66e20699ec6dd
common 3c01dcc44f1198d9
cs_CZ 7bfc7c0fd2250ad6
da_DK ca08c0904bc53597
de_AT 6084b772779cd3ec
de_CH 1396e81f52b112b8
de_DE 0ad950c1a329d3ff
de_LI e7746ac2194d9311
de_LU b1ba1a2435c9de88
el_GR 3060384b3ce22329
en_AU 045da3ea641eaed8
en_CA eccc7a2dac95194d
en_GB 9fcff6ecf47548e8
en_IE c3f5a66b870d037e
en_IN 49387086f8efde4c
en_KE db2a08aa3a1675c0
en_NG 5a919925cdd8b8b0
en_NZ dc875782c63f8fde
en_PH 91099f1757810b85
en_PK 863bb668f86ff29c
en_US cbba601fa4e1a776
es_AR d28699853322ac0f
es_CA 22c4d2e295c5f18c
es_CL 24cf03b875faa65a
es_CO fc31b166580ce79b
es_ES bb87ce53e01bad35
es_MX cc85b5836817df38
et_EE 43c7ee9b7ee35488
fa_IR e53e75a04e338270
fi_FI d8241ab93ae45d0b
fil_PH a2a9c71ba30bc59b
fr_BE bd79cb75617a5b6d
fr_CA ec8e094f5d4fa5f7
fr_CH c67d8d3c07288ac5
fr_DZ ee2ea67f1100091e
fr_FR b0aa1a547d648e1c
ga_IE 8cfffd7001f21527
gu_IN 575515cce2b4386e
ha_NG c70d1f184b3371b9
he_IL 93539765dbe556b7
hi_IN a4134ce5d46ce403
hr_HR d72aa7ff55351a10
hu_HU 4c2ea38bbf0587b6
hy_AM c19edcbfa5c86344
id_ID 8268836566476127
is_IS f38578377921916b
it_IT 83cc27d06a7b17b2
ja_JP 8ff0f831d964bb1a
ka_GE 94d8c6db14efcf03
ko_KR de8a5d23feb009ed
lt_LT 4c27d42d1a01da71
lv_LV af6d2b5601a1df6b
mk_MK 3a73724e0270c23f
mr_IN 8d4991f7de18f53d
ne_NP 105426942571253e
nl_BE 938de0f8778df999
nl_NL fc94590e583905e0
no_NO a768f8eb670e24f3
or_IN 97fba1c4dd564da3
pl_PL e3d1b88aa3ab53ef
pt_BR af123524a4c0f5f4
pt_PT 66da0951d66ff863
ro_RO 4192947aa18b3b3b
ru_RU bbe6ff90294df57a
si_LK 8c49f315c03c5ceb
sk_SK a510ac1236ad5a87
sl_SI ae98995ddde181fa
sv_SE 9441d754732fc905
ta_IN dc4b464ef233d8f0
th_TH 7c6ea340e5e4539b
tr_TR 0e558679f991e7d0
tw_GH deaca6676a74b4c1
uk_UA b876b48ea90dd185
uz_UZ f4130271373b7dfe
vi_VN f66d5b0f13fa6f9b
yo_NG 942558abc6919e4f
zh_CN 69fcfc4937443cf9
zh_TW e92f144549112799
zu_ZA 88ee2b8628eb8dd3
";
