#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

fn same(value: Option<&str>, out: &mut String) -> Result<bool, Refusal> {
    out.push_str(value.unwrap_or_default());
    Ok(value.is_some())
}

fn same_named(_: &str, value: Option<&str>, out: &mut String) -> Result<bool, Refusal> {
    same(value, out)
}

fn array(text: &str) -> Result<String, Refusal> {
    let mut out = String::new();
    array::each(text, &mut same, &mut out).map(|()| out)
}

#[test]
fn arrays_come_back_as_they_were() {
    for text in [
        "{}",
        "{a}",
        "{a,b,NULL}",
        "{\"NULL\",\"\",\"a b\",\"a\\\"b\",\"a\\\\b\",\"a,b\",\"{}\"}",
        "{{1,2},{3,4}}",
        "[0:1]={1,2}",
        "[-1:0][2:3]={{1,2},{3,4}}",
        "{ä,\"ö ö\"}",
        "{\"2024-01-01 00:00:00\"}",
    ] {
        assert_eq!(array(text).unwrap(), text);
    }
    assert_eq!(array("{ a ,\"b\",null}").unwrap(), "{a,b,NULL}");
    for text in
        ["", "a", "{", "{a", "{a,}", "{,a}", "{\"a}", "{a}}", "{a}b", "{{a},b", "[1:2]", "{{{{{{{1}}}}}}}"]
    {
        assert!(array(text).is_err(), "{text}");
    }
}

#[test]
fn elements_become_null_and_back() {
    let mut out = String::new();
    let mut swap = |value: Option<&str>, out: &mut String| {
        out.push_str("null");
        Ok(value.is_none())
    };
    array::each("{a,NULL}", &mut swap, &mut out).unwrap();
    assert_eq!(out, "{NULL,\"null\"}");
}

#[test]
fn composites_come_back_as_they_were() {
    let of = |text: &str| {
        let mut out = String::new();
        composite::each(text, ["a", "b", "c"].into_iter(), &mut same_named, &mut out).map(|()| out)
    };
    for text in ["(1,\"a b\",)", "(,,)", "(\"\",\"a\"\"b\",\"a\\\\b\")", "(\"(1,2)\",x,ü)"] {
        assert_eq!(of(text).unwrap(), text);
    }
    for text in ["", "(1,2)", "(1,2,3,4)", "(1,2,3", "1,2,3", "(1,2,3)x", "(\"1,2,3)"] {
        assert!(of(text).is_err(), "{text}");
    }
}

#[test]
fn hstores_come_back_as_they_were() {
    let of = |text: &str| {
        let mut out = String::new();
        hstore::each(text, &mut same_named, &mut out).map(|()| out)
    };
    for text in ["", "\"a\"=>\"b\"", "\"a\"=>NULL, \"b\\\"\"=>\"c \\\\ d\"", "\"\"=>\"null\""] {
        assert_eq!(of(text).unwrap(), text);
    }
    assert_eq!(of("a=>b,c => \"NULL\"").unwrap(), "\"a\"=>\"b\", \"c\"=>\"NULL\"");
    for text in ["a", "a=b", "=>b", "a=>", "\"a=>b", "a=>b c=>d"] {
        assert!(of(text).is_err(), "{text}");
    }
}

#[test]
fn ranges_come_back_as_they_were() {
    let mut write = |bounds: range::Bounds, out: &mut String| {
        bounds.write(out);
        Ok(())
    };
    for text in ["[1,5)", "(,)", "[1,)", "(,2024-01-01]", "empty", "[\"2024-01-01 00:00:00\",\"a\"\"b\")"] {
        let mut out = String::new();
        range::one(text, &mut write, &mut out).unwrap();
        assert_eq!(out, text);
    }
    for text in ["{}", "{[1,5)}", "{[1,5),[7,)}"] {
        let mut out = String::new();
        range::many(text, &mut write, &mut out).unwrap();
        assert_eq!(out, text);
    }
    for text in ["", "1,2", "[1,2", "[1)", "[1,2)x", "[1,2,3)"] {
        assert!(range::one(text, &mut write, &mut String::new()).is_err(), "{text}");
    }
    for text in ["", "{", "{[1,2)", "{[1,2),}", "{empty}", "[1,2)"] {
        assert!(range::many(text, &mut write, &mut String::new()).is_err(), "{text}");
    }
}

#[test]
fn json_is_what_the_standard_says() {
    for text in
        ["1", "-0.5e+10", "\"a\\u00e4\\n\"", "[]", "{ }", " [1, {\"a\" : null}] ", "{\"a\":1,\"a\":2}"]
    {
        assert!(json::is_valid(text), "{text}");
    }
    for text in [
        "",
        "01",
        "1.",
        ".5",
        "+1",
        "nul",
        "[1,]",
        "{\"a\"}",
        "{a:1}",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u00\"",
        "1 2",
        "NaN",
    ] {
        assert!(!json::is_valid(text), "{text}");
    }
    let deep = "[".repeat(json::MOST_DEPTH + 2) + &"]".repeat(json::MOST_DEPTH + 2);
    assert!(!json::is_valid(&deep));
    let mut out = String::new();
    json::decode("\"a\\\"\\\\\\/\\u00e4\\ud83d\\ude00\\ud800x\"", &mut out);
    assert_eq!(out, "a\"\\/ä😀\u{fffd}x");
}

proptest! {
    #[test]
    fn any_element_comes_back(value in "\\PC{0,12}|[\\\\\"{},() \t\n]{0,8}|NULL") {
        let (mut text, mut seen) = (String::new(), None);
        array::each("{x}", &mut |_, out| { out.push_str(&value); Ok(true) }, &mut text).unwrap();
        array::each(&text, &mut |v, _| { seen = v.map(str::to_string); Ok(true) }, &mut String::new()).unwrap();
        prop_assert_eq!(seen.as_deref(), Some(value.as_str()));

        let (mut text, mut seen) = (String::new(), None);
        composite::each("(x)", ["a"].into_iter(), &mut |_, _, out| { out.push_str(&value); Ok(true) }, &mut text).unwrap();
        composite::each(&text, ["a"].into_iter(), &mut |_, v, _| { seen = v.map(str::to_string); Ok(true) }, &mut String::new()).unwrap();
        prop_assert_eq!(seen.as_deref(), Some(value.as_str()));

        let mut text = String::new();
        hstore::each("k=>v", &mut |_, _, out| { out.push_str(&value); Ok(true) }, &mut text).unwrap();
        let mut seen = None;
        hstore::each(&text, &mut |_, v, _| { seen = v.map(str::to_string); Ok(true) }, &mut String::new()).unwrap();
        prop_assert_eq!(seen.as_deref(), Some(value.as_str()));
    }

    #[test]
    fn any_string_of_json_comes_back(value in any::<String>()) {
        let (mut raw, mut out) = (String::new(), String::new());
        json::encode(&value, &mut raw);
        prop_assert!(json::is_valid(&raw));
        json::decode(&raw, &mut out);
        prop_assert_eq!(out, value);
    }

    #[test]
    fn serde_agrees_on_what_json_is(text in "[\\[\\]{}\",:0-9a-z.eE+ -]{0,16}") {
        prop_assert_eq!(json::is_valid(&text), serde_json::from_str::<serde_json::Value>(&text).is_ok() || {
            // serde_json refuses numbers that f64 does not hold.
            json::is_valid(&text) && text.contains(['e', 'E'])
        });
    }
}
