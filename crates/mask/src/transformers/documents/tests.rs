#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::super::attempt::{Built, row, trial};
use super::path::{Step, parse};
use crate::types::Kind;

const X: &str = "{ use = 'fixed', value = 'X' }";

fn json(parameters: &str) -> Built {
    trial(Kind::Json, &format!("{{ use = 'json', {parameters} }}")).built()
}

fn code(parameters: &str) -> &'static str {
    trial(Kind::Jsonb, &format!("{{ use = 'json', {parameters} }}")).code()
}

#[test]
fn paths_are_read() {
    let key = |name: &str| Step::Key(name.to_string());
    assert_eq!(parse("$").unwrap(), vec![]);
    assert_eq!(parse("$.a.b").unwrap(), vec![key("a"), key("b")]);
    assert_eq!(parse("$..phone").unwrap(), vec![Step::Deep, key("phone")]);
    assert_eq!(parse("$.list[*].x").unwrap(), vec![key("list"), Step::AnyIndex, key("x")]);
    assert_eq!(parse("$['a.b'][0].*").unwrap(), vec![key("a.b"), Step::Index(0), Step::AnyKey]);
    assert_eq!(parse("$..[*]").unwrap(), vec![Step::Deep, Step::AnyIndex]);
    for path in ["", "a", "$a", "$.", "$..", "$.a.", "$.a[", "$.a[x]", "$.a[-2]", "$['a'", "$['a]"] {
        assert!(parse(path).is_err(), "{path}");
    }
}

#[test]
fn only_values_at_paths_change() {
    let document = "{ \"a\" : {\"b\":\"p\", \"b\":\"q\",\"n\":1.000000000000000000001e+5},\"c\":[1,\"\\u00e4\",{\"b\":\"r\"}]}";
    let built = json(&format!("paths = {{ '$.a.b' = {X} }}, rest = 'keep'"));
    assert_eq!(built.text(document), document.replace("\"p\"", "\"X\"").replace("\"q\"", "\"X\""));
    let built = json(&format!("paths = {{ '$..b' = {X} }}, rest = 'keep'"));
    assert_eq!(
        built.text(document),
        document.replace("\"p\"", "\"X\"").replace("\"q\"", "\"X\"").replace("\"r\"", "\"X\"")
    );
    let built = json(&format!("paths = {{ '$.c[*].b' = {X} }}, rest = 'keep'"));
    assert_eq!(built.text(document), document.replace("\"r\"", "\"X\""));
    let built = json(&format!("paths = {{ '$.c[1]' = {X} }}, rest = 'keep'"));
    assert_eq!(built.text(document), document.replace("\"\\u00e4\"", "\"X\""));
    let built = json("paths = { '$.a' = 'null' }, rest = 'keep'");
    assert_eq!(built.text(document), "{ \"a\" : null,\"c\":[1,\"\\u00e4\",{\"b\":\"r\"}]}");
    let built = json(&format!("paths = {{ '$' = {X} }}"));
    assert_eq!(built.text(" [1,2] "), " \"X\" ");
}

#[test]
fn a_rule_holds_for_all_inside_and_the_first_path_wins() {
    let shift = "{ use = 'generalise', keep = 1, fill = '*' }";
    let built = json(&format!("paths = {{ '$.p' = {shift} }}, rest = 'keep'"));
    assert_eq!(
        built.text("{\"p\":{\"home\":\"abc\",\"work\":[\"de\",null,true]},\"q\":\"abc\"}"),
        "{\"p\":{\"home\":\"a**\",\"work\":[\"d*\",null,\"t***\"]},\"q\":\"abc\"}"
    );
    let both = json(&format!("paths = {{ '$.p.id' = 'keep', '$.p' = {shift} }}, rest = 'refuse'"));
    assert_eq!(both.text("{\"p\":{\"id\":\"abc\",\"x\":\"abc\"}}"), "{\"p\":{\"id\":\"abc\",\"x\":\"a**\"}}");
    let first = json(&format!("paths = {{ '$..x' = 'keep', '$.p.x' = {X} }}, rest = 'null'"));
    assert_eq!(first.text("{\"p\":{\"x\":\"abc\",\"y\":1}}"), "{\"p\":{\"x\":\"abc\",\"y\":null}}");
}

#[test]
fn types_of_values_stay_where_they_can() {
    let number = json("paths = { '$.n' = { use = 'noise', ratio = 0.5, type = 'int' } }, rest = 'keep'");
    let fiction = number.text("{\"n\": 100, \"m\": 1}");
    assert!(fiction.ends_with(", \"m\": 1}") && fiction.matches('"').count() == 4, "{fiction}");
    let fiction = number.text("{\"n\": \"100\"}");
    assert!(fiction.starts_with("{\"n\": \""), "{fiction}");
    let flag = json(
        "paths = { '$.f' = { use = 'map', type = 'bool', values = { true = false, false = true } } }, rest = 'keep'",
    );
    assert_eq!(flag.text("{\"f\":true}"), "{\"f\":false}");
    let date =
        json("paths = { '$.d' = { use = 'date', min = '2020-01-01', max = '2020-01-01' } }, rest = 'keep'");
    assert_eq!(date.text("{\"d\":\"1999-05-05\"}"), "{\"d\":\"2020-01-01\"}");
    let raw =
        json("paths = { '$.r' = { use = 'fixed', type = 'json', value = '{\"z\": [1]}' } }, rest = 'keep'");
    assert_eq!(raw.text("{\"r\":{\"a\":1}}"), "{\"r\":{\"z\": [1]}}");
    let null = json("paths = { '$.a' = { use = 'fixed', value = 'X', null = 'replace' } }");
    assert_eq!(null.text("{\"a\":null}"), "{\"a\":\"X\"}");
    assert_eq!(json(&format!("paths = {{ '$.a' = {X} }}")).text("{\"a\":null}"), "{\"a\":null}");
}

#[test]
fn the_rest_is_kept_refused_or_null() {
    let of = |rest: &str| json(&format!("paths = {{ '$.a' = {X} }}, rest = '{rest}'"));
    let document = "{\"a\":1,\"b\":{\"c\":\"secret\",\"d\":[null,{}]}}";
    assert_eq!(of("keep").text(document), "{\"a\":\"X\",\"b\":{\"c\":\"secret\",\"d\":[null,{}]}}");
    assert_eq!(of("null").text(document), "{\"a\":\"X\",\"b\":{\"c\":null,\"d\":[null,{}]}}");
    assert!(of("refuse").refuses(document));
    assert!(json(&format!("paths = {{ '$.a' = {X} }}")).refuses(document));
    assert!(of("keep").refuses("{\"a\":1") && of("keep").refuses("{\"a\" 1}") && of("keep").refuses("1 2"));
    let deep = "[".repeat(1_500) + &"]".repeat(1_500);
    assert!(of("keep").refuses(&deep));
}

#[test]
fn operations_set_and_delete() {
    let of = |operations: &str| json(&format!("rest = 'keep', operations = [{operations}]"));
    let document = "{\"a\": {\"b\": 1.00}, \"l\": [1, 2]}";
    let set = |path: &str, value: &str, more: &str| {
        of(&format!("{{ operation = 'set', path = '{path}', value = {value}{more} }}"))
    };
    assert_eq!(set("$.a.b", "'x\"y'", "").text(document), "{\"a\": {\"b\": \"x\\\"y\"}, \"l\": [1, 2]}");
    assert_eq!(
        set("$.a.c", "[1, { k = true }]", "").text(document),
        "{\"a\": {\"b\": 1.00, \"c\": [1, {\"k\": true}]}, \"l\": [1, 2]}"
    );
    assert_eq!(set("$.x.y[0]", "2.5", "").text("{}"), "{\"x\": {\"y\": [2.5]}}");
    assert_eq!(set("$.l[-1]", "3", "").text(document), "{\"a\": {\"b\": 1.00}, \"l\": [1, 2, 3]}");
    assert_eq!(set("$.l[0]", "3", "").text(document), "{\"a\": {\"b\": 1.00}, \"l\": [3, 2]}");
    assert_eq!(set("$.x", "3", ", skip_not_exist = true").text(document), document);
    assert!(set("$.x", "3", ", error_not_exist = true").refuses(document));
    assert!(set("$.a.b.c", "3", "").refuses(document));
    assert!(set("$.l[7]", "3", "").refuses(document));
    let delete = |path: &str, more: &str| of(&format!("{{ operation = 'delete', path = '{path}'{more} }}"));
    assert_eq!(delete("$.a", "").text(document), "{\"l\": [1, 2]}");
    assert_eq!(delete("$.l[0]", "").text(document), "{\"a\": {\"b\": 1.00}, \"l\": [2]}");
    assert_eq!(delete("$.x", "").text(document), document);
    assert!(delete("$.x", ", error_not_exist = true").refuses(document));
    let twice = of("{ operation = 'set', path = '$.k', value = 1 }, { operation = 'delete', path = '$.k' }");
    assert_eq!(twice.text("{\"k\":5,\"k\":6}"), "{}");
    let rule =
        of("{ operation = 'set', path = '$.a.b', rule = { use = 'generalise', keep = 1, fill = '0' } }");
    assert_eq!(rule.text(document), "{\"a\": {\"b\": \"1000\"}, \"l\": [1, 2]}".replace("\"1000\"", "1000"));
}

#[test]
fn wrong_documents_are_found() {
    assert_eq!(code("paths = { 'a' = 'null' }"), "M007");
    assert_eq!(code("paths = { '$.a[-1]' = 'null' }"), "M007");
    assert_eq!(code("paths = { '$.a' = 'nul' }"), "M003");
    assert_eq!(code("paths = { '$.a' = 5 }"), "M006");
    assert_eq!(code("paths = { '$.a' = { value = 5 } }"), "M006");
    assert_eq!(code("paths = { '$.a' = { use = 'fixed' } }"), "M004");
    assert_eq!(code("paths = { '$.a' = { use = 'fixed', value = 1, unique = true } }"), "M005");
    assert_eq!(code("paths = { '$.a' = { use = 'fixed', value = 1, type = 'point' } }"), "M006");
    assert_eq!(code("paths = { '$.a' = { use = 'noise', type = 'text' } }"), "M110");
    assert_eq!(code("paths = { '$.a' = 'keep' }, rest = 'keep'"), "M155");
    assert_eq!(code("rest = 'keep'"), "M155");
    assert_eq!(code("paths = { '$.a' = 'null' }, rest = 'drop'"), "M006");
    for operation in ["{ path = '$.a' }", "{ operation = 'set', path = '$.a' }", "{ operation = 'delete' }"] {
        assert_eq!(code(&format!("operations = [{operation}]")), "M004");
    }
    assert_eq!(code("operations = [{ operation = 'move', path = '$.a' }]"), "M006");
    assert_eq!(code("operations = [{ operation = 'delete', path = '$..a' }]"), "M007");
    assert_eq!(code("operations = [{ operation = 'delete', path = 'a' }]"), "M007");
    assert_eq!(code("operations = [{ operation = 'delete', path = '$.a', vlaue = 1 }]"), "M005");
    assert_eq!(code("operations = [1]"), "M006");
    assert_eq!(trial(Kind::Text(None), "{ use = 'json', rest = 'null' }").code(), "M110");
}

#[test]
fn elements_of_arrays() {
    let texts = Kind::Array(Box::new(Kind::Text(Some(4))));
    let built = trial(texts.clone(), "{ use = 'each', of = 'choose', values = ['a', 'b', 'NULL'] }").built();
    let fiction = built.text("{{a,NULL},{\"x y\",b}}");
    assert!(
        fiction.starts_with("{{") && fiction.contains(",NULL},{") && !fiction.contains("x y"),
        "{fiction}"
    );
    let numbers = Kind::Array(Box::new(Kind::Int(4)));
    let built = trial(numbers.clone(), "{ use = 'each', of = { use = 'generalise', buckets = 10 } }").built();
    assert_eq!(built.text("[0:2]={11,NULL,29}"), "[0:2]={10,NULL,20}");
    assert_eq!(built.in_row(None, &row(&[])).unwrap(), None);
    let nulls = trial(numbers.clone(), "{ use = 'each', of = 'null' }").built();
    assert_eq!(nulls.text("{1,2}"), "{NULL,NULL}");
    assert!(built.refuses("{1,2"));
    let code = |kind: &Kind, rule: &str| trial(kind.clone(), rule).code();
    assert_eq!(code(&numbers, "{ use = 'each' }"), "M004");
    assert_eq!(code(&numbers, "{ use = 'each', of = 'keep' }"), "M155");
    assert_eq!(code(&numbers, "{ use = 'each', of = 'choose', values = [1, 'x'] }"), "M111");
    assert_eq!(code(&texts, "{ use = 'each', of = 'choose', values = ['longer'] }"), "M111");
    assert_eq!(code(&numbers, "{ use = 'each', of = { use = 'noise' }, ratio = 0.1 }"), "M005");
    assert_eq!(code(&numbers, "{ use = 'each', of = 'noise', ratoi = 0.1 }"), "M005");
    assert_eq!(code(&numbers, "{ use = 'each', values = [1] }"), "M005");
    assert_eq!(code(&numbers, "{ use = 'each', of = 'null', rest = 'keep' }"), "M006");
    assert_eq!(code(&numbers, "{ use = 'each', of = 'noise', fields = { a = 'null' } }"), "M006");
    assert_eq!(code(&Kind::Int(4), "{ use = 'each', of = 'null' }"), "M110");
}

#[test]
fn bounds_of_ranges_keep_their_order() {
    let kind = Kind::Range(Box::new(Kind::Int(4)));
    let rule = "{ use = 'each', of = 'map', values = { '1' = 9, '5' = 2, '7' = 3, '8' = 3 } }";
    let built = trial(kind.clone(), rule).built();
    assert_eq!(built.text("[1,5)"), "[2,9)");
    assert_eq!(built.text("[7,8)"), "[3,3]");
    assert_eq!(built.text("(,5]"), "(,2]");
    assert_eq!(built.text("empty"), "empty");
    let many = trial(Kind::Multirange(Box::new(Kind::Int(4))), rule).built();
    assert_eq!(many.text("{[1,5),[7,)}"), "{[2,9),[3,)}");
    let dates =
        trial(Kind::Range(Box::new(Kind::Date)), "{ use = 'each', of = 'noise', ratio = '400 days' }")
            .built();
    for day in 10..28 {
        dates.text(&format!("[2020-01-{day},2020-02-01)"));
    }
    let odd = trial(Kind::Range(Box::new(Kind::Text(None))), "{ use = 'each', of = 'generalise', keep = 1 }")
        .built();
    assert!(odd.refuses("[abc,bcd)"));
}

#[test]
fn attributes_and_keys_have_rules() {
    let kind = Kind::Composite(vec![
        ("name".into(), Kind::Text(None)),
        ("age".into(), Kind::Int(4)),
        ("note".into(), Kind::Text(None)),
    ]);
    let rule = format!(
        "{{ use = 'each', fields = {{ name = {X}, age = {{ use = 'generalise', buckets = 10 }} }}, rest = 'keep' }}"
    );
    let built = trial(kind.clone(), &rule).built();
    assert_eq!(built.text("(\"Anna B\",37,\"a,b\")"), "(X,30,\"a,b\")");
    assert_eq!(built.text("(,,)"), "(,,)");
    assert!(built.refuses("(1,2)"));
    let code = |kind: &Kind, rule: &str| trial(kind.clone(), rule).code();
    assert_eq!(code(&kind, "{ use = 'each', fields = { name = 'null' } }"), "M150");
    assert_eq!(code(&kind, "{ use = 'each', fields = { nam = 'null' }, rest = 'keep' }"), "M102");
    assert_eq!(code(&kind, "{ use = 'each', rest = 'keep' }"), "M155");
    assert_eq!(code(&kind, "{ use = 'each', keys = { name = 'null' } }"), "M006");
    assert_eq!(code(&kind, "{ use = 'each', of = 'null', rest = 'null' }"), "M006");
    let nulls = trial(kind, "{ use = 'each', of = 'null', fields = { age = 'keep' } }").built();
    assert_eq!(nulls.text("(a,1,b)"), "(,1,)");

    let rule = format!("{{ use = 'each', keys = {{ name = {X} }}, rest = 'null' }}");
    let built = trial(Kind::Hstore, &rule).built();
    assert_eq!(built.text("\"a\"=>\"b\", \"name\"=>\"Anna\""), "\"a\"=>NULL, \"name\"=>\"X\"");
    let refuse = trial(Kind::Hstore, &format!("{{ use = 'each', keys = {{ name = {X} }} }}")).built();
    assert!(refuse.refuses("\"a\"=>\"b\""));
    let all = trial(Kind::Hstore, &format!("{{ use = 'each', of = {X}, keys = {{ id = 'keep' }} }}")).built();
    assert_eq!(all.text("\"id\"=>\"7\", \"b\"=>\"c\""), "\"id\"=>\"7\", \"b\"=>\"X\"");
    let nested = Kind::Array(Box::new(Kind::Composite(vec![("a".into(), Kind::Text(None))])));
    let rule = format!("{{ use = 'each', of = {{ use = 'each', fields = {{ a = {X} }} }} }}");
    assert_eq!(trial(nested, &rule).built().text("{\"(\\\"a b\\\")\"}"), "{(X)}");
}

#[test]
fn by_row_equal_elements_differ_between_rows() {
    let kind = Kind::Array(Box::new(Kind::Int(4)));
    let built = trial(kind, "{ use = 'each', of = 'noise' }").random().built();
    let element = |text: &str| built.text(text).split_once(',').unwrap().0.to_string();
    assert_ne!(element("{1000000,1}"), element("{1000000,2}"));
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-c]|\\PC{0,3}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_no_path_fits_keeps_its_bytes(document in value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&document).unwrap() } else { document.to_string() };
        let built = json(&format!("paths = {{ '$..nowhere' = {X} }}, rest = 'keep'"));
        prop_assert_eq!(built.text(&text), text);
    }

    #[test]
    fn nothing_plain_stays(document in value()) {
        let built = json("paths = { '$..*' = { use = 'fixed', value = 'X' }, '$..[*]' = { use = 'fixed', value = 'X' } }, rest = 'null'");
        let fiction: serde_json::Value = serde_json::from_str(&built.text(&document.to_string())).unwrap();
        let is_masked = |value: &serde_json::Value| value.is_null() || value == "X";
        let all_masked = match &fiction {
            serde_json::Value::Object(map) => map.values().all(is_masked),
            serde_json::Value::Array(list) => list.iter().all(is_masked),
            other => is_masked(other),
        };
        prop_assert!(all_masked);
    }

    #[test]
    fn operations_agree_with_a_tree(document in value(), key in "[a-c]") {
        let built = json(&format!("rest = 'keep', operations = [{{ operation = 'delete', path = '$.{key}' }}]"));
        let fiction: serde_json::Value = serde_json::from_str(&built.text(&document.to_string())).unwrap();
        let mut expected = document;
        if let Some(map) = expected.as_object_mut() {
            map.remove(&key);
        }
        prop_assert_eq!(fiction, expected);
    }
}
