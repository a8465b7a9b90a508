#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;
use crate::draw::Draw;
use crate::finding::Place;
use crate::making::{Around, make};
use crate::rules::{Common, Engine};
use crate::transformer::{Answer, Row, Transformer};
use crate::vocabulary::Locale;

const NAMES: [&str; 12] =
    ["id", "last_name", "sex", "born", "seen", "total", "big", "ok", "doc", "we ird", "upper", "fake"];

const ROW: [Option<&str>; 12] = [
    Some("7"),
    Some("Straße"),
    None,
    Some("1999-12-31"),
    Some("2020-02-29 12:34:56.789+01"),
    Some("12.50"),
    Some("12345678901234567890.123"),
    Some("t"),
    Some(r#"{"a": {"b": [1, "x"]}, "n": null}"#),
    Some("odd"),
    Some("a column"),
    Some("another"),
];

struct Values([Option<&'static str>; 12]);

impl Row for Values {
    fn plain(&self, column: usize) -> Option<&str> {
        self.0[column]
    }

    fn masked(&self, column: usize) -> Option<&str> {
        self.0[column].map(|_| "fiction")
    }
}

fn target(kind: Kind) -> Target {
    Target { kind, sql_type: "x".to_string(), not_null: false, domain_checks: Vec::new() }
}

fn columns() -> Vec<(String, Target)> {
    let kinds = [
        Kind::Int(8),
        Kind::Text(None),
        Kind::Text(None),
        Kind::Date,
        Kind::TimestampTz,
        Kind::Numeric(None),
        Kind::Numeric(None),
        Kind::Bool,
        Kind::Jsonb,
        Kind::Text(None),
        Kind::Text(None),
        Kind::Text(None),
    ];
    NAMES.iter().map(|name| name.to_string()).zip(kinds.map(target)).collect()
}

fn setting(text: &str) -> Setting {
    Setting { value: Literal::Text(text.to_string()), place: Place { line: 3, column: 5 } }
}

fn rule(name: &str, value: &str, reads: &[&str]) -> Rule {
    let reads = reads.iter().map(|read| setting(read)).collect();
    Rule {
        name: name.to_string(),
        place: Place { line: 3, column: 1 },
        parameters: vec![("value".to_string(), setting(value))],
        common: Common { reads, ..Common::default() },
    }
}

fn around<'m>(columns: &'m [(String, Target)], target: &'m Target, key: u8) -> Around<'m> {
    Around {
        kinds: &[],
        default: None,
        table: "public.t",
        column: "x",
        columns,
        target,
        key: RuleKey::of_bytes([key; 16]),
        engine: Engine::Keyed,
        unique: None,
        lower_case: false,
        vocabulary: 1,
        locale: Locale("de_DE"),
    }
}

type Built = (Box<dyn Transformer>, BTreeSet<Read>);

fn built(value: &str, reads: &[&str], target: &Target) -> Result<Built, Vec<Finding>> {
    let (columns, mut findings, mut found) = (columns(), Vec::new(), BTreeSet::new());
    let built = make(&rule("template", value, reads), around(&columns, target, 1), &mut findings, &mut found);
    match built {
        Ok(transformer) if findings.is_empty() => Ok((transformer, found)),
        _ => Err(findings),
    }
}

fn plain<'p>(text: &'p str, row: &'p dyn Row, key: u8) -> Plain<'p> {
    let draw = Draw::of(RuleKey::of_bytes([key; 16]), text.as_bytes());
    Plain { text, canonical: text.as_bytes(), is_null: false, draw, subject: None, row }
}

fn fiction_of(value: &str, reads: &[&str], target: &Target, text: &str) -> Result<Option<String>, String> {
    let (transformer, _) =
        built(value, reads, target).unwrap_or_else(|findings| panic!("{value}: {findings:?}"));
    let mut out = "what was before".to_string();
    out.clear();
    match transformer.fiction(&plain(text, &Values(ROW), 1), &mut out) {
        Ok(Answer::Text) => Ok(Some(out)),
        Ok(Answer::Null) => Ok(None),
        Ok(Answer::Same) => panic!("{value} says the same"),
        Err(refusal) => Err(refusal.why),
    }
}

fn fiction(value: &str) -> String {
    fiction_of(value, &[], &target(Kind::Text(None)), "plain").unwrap().unwrap()
}

#[test]
fn templates_print_typed_values() {
    for (template, prints) in [
        ("{{ last_name | upper }}", "STRASSE"),
        ("{{ value }}", "plain"),
        ("{{ id + 1 }}", "8"),
        ("{{ total * 2 }}", "25"),
        ("{{ total }}", "12.5"),
        ("{{ big }}", "12345678901234567890.123"),
        ("{{ big | float > 1.0 }}", "true"),
        ("{{ ok }} {{ not ok }}", "true false"),
        ("{% if ok %}yes{% else %}no{% endif %}", "yes"),
        ("{{ masked.last_name }}", "fiction"),
        ("{{ row.last_name }}", "Straße"),
        ("{{ last_name[:3] }}|{{ last_name | trunc(2) }}", "Str|St"),
        ("{{ last_name | replace('ß', 'ss') | title }}", "Strasse"),
        ("{{ 7.5 | round }} {{ 1 / 4 }}", "8 0.25"),
        ("{{ '%05d' | format(id) }}", "00007"),
        // minijinja does not tell what a slice is of.
        ("{{ last_name[:3] }}{{ value[1:3] }}{{ masked.id[:2] }}{{ row.born[:4] }}", "Strlafi1999"),
        ("{% if ok %}{{ fake('keep')[:2] }}{% endif %}", "pl"),
        // NULL.
        ("{{ sex is none }} {{ sex is null }} {{ is_null(sex) }} {{ is_null(id) }}", "true true true false"),
        ("{{ coalesce(sex, null(), 'x') }}", "x"),
        ("{{ sex | default('x') }}{{ sex or 'y' }}", "xy"),
        ("{% if sex %}yes{% else %}no{% endif %}", "no"),
        // Dates.
        ("{{ born | truncate_date('year') }}", "1999-01-01"),
        ("{{ truncate_date(seen, 'hour') }}", "2020-02-29 12:00:00+01"),
        ("{{ seen | truncate_date('millisecond') }}", "2020-02-29 12:34:56.789+01"),
        ("{{ born | modify('2 months') }}", "2000-02-29"),
        ("{{ born | modify('-1 day') }}", "1999-12-30"),
        ("{{ seen | modify('1 year 1 hour') }}", "2021-02-28 13:34:56.789+01"),
        ("{{ born | date_format('%d.%m.%Y') }}", "31.12.1999"),
        ("{{ '1970-01-02' | to_unix }}", "86400"),
        ("{{ seen | to_unix('millisecond') }}", "1582976096789"),
        (
            "{{ 86400 | from_unix }} {{ from_unix(1500, 'millisecond') }}",
            "1970-01-02 00:00:00 1970-01-01 00:00:01.5",
        ),
        // JSON.
        ("{{ doc | json_get('a.b.1') }} {{ json_get(doc, 'a.b.0') + 1 }}", "x 2"),
        ("{{ doc | json_get('a') }}", r#"{"b": [1, "x"]}"#),
        (
            r#"{{ '{"x":12345678901234567890.5, "y" : 1}' | json_delete('y') }}"#,
            r#"{"x":12345678901234567890.5}"#,
        ),
        (
            r#"{{ '{"x":0.1}' | json_get('x') * 2 }} {{ '{}' | json_set('a', {'b': [1, true]}) }}"#,
            r#"0.2 {"a":{"b":[1,true]}}"#,
        ),
        (
            "{{ doc | json_exists('n') }} {{ doc | json_exists('z') }} {{ json_get(doc, 'z') is none }}",
            "true false true",
        ),
        ("{{ '{}' | json_set('a.b', id) | json_set('c', null()) }}", r#"{"a":{"b":7},"c":null}"#),
        ("{{ '[1,2]' | json_set('2', 'x') | json_delete('0') }}", r#"[2,"x"]"#),
        ("{{ '{' | json_valid }}", "false"),
        // Other transformers.
        ("{{ fake('keep') }}", "plain"),
        ("{{ fake('keep', of=last_name) }}", "Straße"),
        ("{{ fake('null') is none }} {{ fake('keep', of=sex) is none }}", "true true"),
        ("{% macro m(x) %}{{ fake('keep') }}{{ x }}{% endmacro %}{{ m(1) }}", "plain1"),
        ("{# fake(1) #}{% raw %}{{ fake(2) }}{% endraw %}", "{{ fake(2) }}"),
        ("{% set last_name = last_name | lower %}{{ last_name }}", "straße"),
        ("a\n{% if ok %}\nb\n{% endif %}\nc", "a\nb\nc"),
    ] {
        assert_eq!(fiction(template), prints, "{template}");
    }
}

#[test]
fn null_alone_is_null_and_inside_of_a_text_is_refused() {
    let text = target(Kind::Text(None));
    for template in ["{{ null() }}", "{{ sex }}", " {{ none }}\n", "{% if ok %}{{ null() }}{% endif %}"] {
        assert_eq!(fiction_of(template, &[], &text, "x"), Ok(None), "{template}");
    }
    for template in ["Dear {{ sex }}", "{{ 'Dear ' ~ sex }}", "{{ sex }}{{ sex }}", "{{ sex | upper }}x"] {
        assert!(
            fiction_of(template, &[], &text, "x").unwrap_err().contains("NULL is a part of"),
            "{template}"
        );
    }
    let refused = fiction_of("{{ null() }}", &[], &Target { not_null: true, ..text }, "x");
    assert!(refused.unwrap_err().contains("does not take"));
}

#[test]
fn the_result_fits_the_column() {
    assert_eq!(fiction_of("{{ ok }}", &[], &target(Kind::Bool), "f"), Ok(Some("t".into())));
    assert_eq!(
        fiction_of("{{ last_name }}", &[], &target(Kind::Text(Some(6))), "x"),
        Ok(Some("Straße".into()))
    );
    let why = fiction_of("{{ last_name }}", &[], &target(Kind::Text(Some(5))), "x").unwrap_err();
    assert!(why.contains("6 characters") && !why.contains("Stra"), "{why}");
}

#[test]
fn what_it_reads_is_told() {
    let (_, reads) = built(
        "{{ last_name }}{{ masked.sex }}{{ row['we ird'] }}{% set id = id %}{{ id }}",
        &["we ird", "masked.total"],
        &target(Kind::Text(None)),
    )
    .unwrap();
    let reads: Vec<(usize, bool)> = reads.iter().map(|read| (read.column, read.masked)).collect();
    assert_eq!(reads, [(0, false), (1, false), (2, true), (5, true), (9, false)]);
    let odd = fiction_of("{{ row['we ird'] }}{{ row.fake }}", &["we ird"], &target(Kind::Text(None)), "x");
    assert_eq!(odd, Ok(Some("oddanother".into())));
}

#[test]
fn what_does_not_compile_is_found() {
    for (template, found) in [
        ("{{ last_name", "M007 the template does not compile"),
        ("{% if %}{% endif %}", "M007 the template does not compile"),
        ("{{ x | nofilter }}{{ x }}", "M102 the template reads x, which is neither a column nor a function"),
        (
            "{{ lastname }}",
            "M102 the template reads lastname, which is neither a column nor a function did you mean last_name?",
        ),
        ("{{ masked.lastname }}", "M102 public.t has no column lastname"),
        ("{{ row.lastname }}", "M102 public.t has no column lastname"),
        ("{{ masked['sex'] }}", "M007 which columns masked reads is not seen list them"),
        ("{{ fake('nothing') }}", "M003 no transformer is called nothing"),
        (
            "{{ fake(last_name) }}",
            "M007 the template does not compile: fake takes the name of a transformer as a string",
        ),
        ("{{ fake('keep', x=id) }}", "M007 the template does not compile: x of fake('keep') must be a value"),
        ("{{ fake('keep', x=1) }}", "M005 keep has no parameter x"),
        (
            "{{ fake('template', value='x') }}",
            "M007 the template does not compile: fake('template') would be",
        ),
        ("{% include 'x' %}", "M007 the template does not compile: there are no other templates to include"),
        ("{% set f = fake %}{{ f('keep') }}", "M007 the template does not compile: fake takes the name"),
        ("{{ debug() }}", "M102 the template reads debug"),
    ] {
        let findings = built(template, &[], &target(Kind::Text(None))).map(|_| ()).unwrap_err();
        let said: Vec<String> =
            findings.iter().map(|one| format!("{} {} {}", one.code, one.message, one.hint)).collect();
        assert!(said.iter().any(|said| said.starts_with(found)), "{template}: {said:?}");
        assert!(findings.iter().all(|finding| finding.place.unwrap().line == 3), "{template}");
    }
    let findings = built("x", &["nowhere"], &target(Kind::Text(None))).map(|_| ()).unwrap_err();
    assert_eq!(findings[0].code, Code::UnknownColumn);
}

#[test]
fn a_template_that_fails_shows_no_value() {
    let text = target(Kind::Text(None));
    for (template, why) in [
        ("{{ last_name + 1 }}", "invalid operation"),
        ("{{ last_name | int }}", "invalid operation"),
        ("{{ last_name | truncate_date('year') }}", "truncate_date takes a date"),
        ("{{ born | truncate_date('eon') }}", "truncate_date has an argument"),
        ("{{ last_name | json_get('a') }}", "this is not JSON"),
        ("{{ big * 2 }}", "invalid operation"),
        ("{{ {}.x }}", "undefined value"),
        (
            "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
            "more than 200000 steps",
        ),
        ("{{ 'x' * 2000000 }}", "more than 1048576 bytes"),
        ("{{ '%99999999d' | format(1) }}", "widths of at most"),
        ("{{ random_int(2, 1) }}", "range that does not fit"),
        ("{{ random_string(1, 99999999) }}", "range that does not fit"),
        ("{{ noise_int(1, 2) }}", "range that does not fit"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "invalid operation"),
    ] {
        let said = fiction_of(template, &[], &text, "x").unwrap_err();
        assert!(said.contains(why) && !said.contains("Stra"), "{template}: {said}");
    }
}

const DRAWS: &[&str] = &[
    "{{ random_int(1, 1000000) }}",
    "{{ random_float(0, 1, 9) }}",
    "{{ random_string(8, 12) }}",
    "{{ random_string(20, 20, '01') }}",
    "{{ random_date('1900-01-01', '2100-01-01') }}",
    "{{ random_date('2000-01-01 00:00:00', '2001-01-01 00:00:00') }}",
    "{{ noise_int(1000000, 0.5) }}",
    "{{ noise_float(1000, 0.5, 6) }}",
    "{{ noise_date(born, '1000 days') }}",
    "{{ noise_date(seen, '10 days') }}",
    "{% for i in range(40) %}{{ random_bool() }}{% endfor %}",
];

#[test]
fn draws_depend_on_the_value_and_the_key_alone() {
    for template in DRAWS {
        let (transformer, _) = built(template, &[], &target(Kind::Text(None))).unwrap();
        let fiction = |text: &str, key: u8| {
            let mut out = String::new();
            transformer.fiction(&plain(text, &Values(ROW), key), &mut out).unwrap();
            out
        };
        assert_eq!(fiction("a", 1), fiction("a", 1), "{template}");
        assert_ne!(fiction("a", 1), fiction("b", 1), "{template}");
        assert_ne!(fiction("a", 1), fiction("a", 2), "{template}");
        // Two calls draw apart.
        let (twice, _) = built(&format!("{template}|{template}"), &[], &target(Kind::Text(None))).unwrap();
        let mut out = String::new();
        twice.fiction(&plain("a", &Values(ROW), 1), &mut out).unwrap();
        let (first, second) = out.split_once('|').unwrap();
        assert_ne!(first, second, "{template}");
    }
}

fn record(value: &str, names: &[&str], key: u8) -> Result<Record, Vec<String>> {
    let (columns, target) = (columns(), target(Kind::Text(None)));
    let (mut findings, mut reads) = (Vec::new(), BTreeSet::new());
    let mut rule = rule("record", value, &[]);
    if !names.is_empty() {
        let names = names.iter().map(|name| setting(name)).collect();
        rule.parameters.push(("columns".to_string(), Setting { value: Literal::List(names), ..setting("") }));
    }
    Record::build(&rule, around(&columns, &target, key), &mut findings, &mut reads)
        .map_err(|_| findings.iter().map(|one| format!("{} {}", one.code, one.message)).collect())
}

#[test]
fn a_record_sets_several_columns() {
    let value = "{% set other = 'x' %}{% set last_name = last_name | upper ~ other %}\
                 {% if sex is none %}{% set sex = null() %}{% else %}{% set sex = 'm' %}{% endif %}\
                 {% set ok = not ok %}{% set total = id / 2 %}";
    for (names, order) in [(vec![], [1, 7, 2, 5]), (vec!["sex", "last_name", "ok", "total"], [2, 1, 7, 5])] {
        let record = record(value, &names, 1).unwrap();
        assert_eq!(record.columns().collect::<Vec<_>>(), order);
        let fictions = record.fictions(&plain("", &Values(ROW), 1)).unwrap();
        let of = |column: usize| fictions[order.iter().position(|one| *one == column).unwrap()].as_deref();
        assert_eq!((of(1), of(2), of(7), of(5)), (Some("STRASSEx"), None, Some("f"), Some("3.5")));
    }
}

#[test]
fn a_record_leaves_no_column_plain() {
    let forgotten = record("{% if ok %}{% set sex = 'm' %}{% endif %}", &[], 1).unwrap();
    assert!(forgotten.fictions(&plain("", &Values(ROW), 1)).is_ok());
    let mut row = ROW;
    row[7] = Some("f");
    let refusal = forgotten.fictions(&plain("", &Values(row), 1)).unwrap_err();
    assert!(refusal.why.contains("did not set sex"), "{refusal}");
    let null_inside = record("{% set last_name = sex ~ 'x' %}", &[], 1).unwrap();
    assert!(null_inside.fictions(&plain("", &Values(ROW), 1)).unwrap_err().why.contains("NULL is a part"));
    for (value, names, found) in [
        ("{{ id }}", vec![], "M006 the record sets no column"),
        ("{% set x = 1 %}", vec!["sex"], "M007 the record never sets sex"),
        ("{% set sex = 1 %}", vec!["sx"], "M102 public.t has no column sx"),
        ("{% set sex = masked.sex %}", vec![], "M007 the record sets sex, and reads masked.sex"),
        ("{% set sex = y %}", vec![], "M102 the template reads y"),
    ] {
        let said = record(value, &names, 1).map(|_| ()).unwrap_err();
        assert!(said.iter().any(|said| said.starts_with(found)), "{value}: {said:?}");
    }
    let (columns, text) = (columns(), target(Kind::Text(None)));
    let mut findings = Vec::new();
    let made =
        make(&rule("record", "x", &[]), around(&columns, &text, 1), &mut findings, &mut BTreeSet::new());
    assert!(made.is_err() && findings[0].message.contains("a table's"));
}

#[test]
fn calls_are_found_in_the_text() {
    let scanned = scan::scan(
        "{{ fake('a', x=1, y=-0.5, of=f(b, [c]), z=['p', 'q'], w=true,) ~ x.fake('no') }}{%- set m, n = 1 -%}{{ '}} fake' }}",
    );
    assert_eq!(scanned.faults, Vec::<String>::new());
    assert_eq!(scanned.sets, ["m", "n"]);
    let keys: Vec<&str> = scanned.fakes[0].parameters.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!((scanned.fakes.len(), keys), (1, vec!["x", "y", "z", "w"]));
    assert_eq!(scanned.fakes[0].parameters[1].1, Literal::Float(-0.5));
    // Whatever the order of parameters, it is one transformer.
    let same = scan::scan("{{ fake('a', w=true, z=['p', 'q'], y=-0.5, x=1) }}");
    assert_eq!(same.fakes[0].identity(), scanned.fakes[0].identity());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_compiled_or_refused(text in "\\PC{0,40}|([{}%#]|fake|set|'|[a-z0-9 ()=,.|_-]){0,40}") {
        if let Ok((transformer, _)) = built(&text, &[], &target(Kind::Text(None))) {
            let _ = transformer.fiction(&plain("x", &Values(ROW), 1), &mut String::new());
        }
    }

    /// Values of any kind print as PostgreSQL reads them again, as the same.
    #[test]
    fn numbers_keep_their_value(whole in any::<i64>(), digits in "-?[1-9][0-9]{0,30}\\.[0-9]{0,20}[1-9]", float in any::<f64>()) {
        let shown = |kind: &Kind, text: &str| values::text(&values::of_column(kind, Some(text))).unwrap().unwrap();
        prop_assert_eq!(shown(&Kind::Int(8), &whole.to_string()), whole.to_string());
        prop_assert_eq!(shown(&Kind::Numeric(None), &whole.to_string()), whole.to_string());
        prop_assert_eq!(shown(&Kind::Numeric(None), &digits), digits.clone());
        let again: f64 = shown(&Kind::Float(8), &float.to_string()).replace("Infinity", "inf").parse().unwrap();
        prop_assert!(again == float || (again.is_nan() && float.is_nan()));
    }
}
