//! JSON texts in templates: a value is found, set or deleted by its path, and no other byte of the
//! text changes (RFC 8259). A path has points between names of members and numbers of elements.

use std::ops::Range;

/// Why a text is not edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// It is not JSON.
    #[error("this is not JSON")]
    Invalid,
    /// The path goes through a name that an object has more than once.
    #[error("an object has a member of the path more than once")]
    Twice,
    /// The path goes through a text, number or flag, or beyond the end of a list.
    #[error("the path leads into a value that has no such member")]
    NoMember,
}

/// A member or element.
struct Part {
    /// From its name on, or the value alone.
    whole: Range<usize>,
    value: Range<usize>,
}

/// What a path leads to.
enum Found<'p> {
    Part {
        part: Part,
        above: Option<Range<usize>>,
    },
    /// Nothing: the last value on the way, and the steps that are left.
    Nothing(Range<usize>, Vec<&'p str>),
}

/// The text of a value; None: there is none.
pub(super) fn get<'t>(text: &'t str, path: &str) -> Result<Option<&'t str>, Fault> {
    Ok(match found(text, path)? {
        Found::Part { part, .. } => text.get(part.value),
        Found::Nothing(..) => None,
    })
}

/// Sets a value to a JSON text; objects that do not have on the way to it are made.
pub(super) fn set(text: &str, path: &str, to: &str) -> Result<String, Fault> {
    let (at, steps) = match found(text, path)? {
        Found::Part { part, .. } => return Ok(replaced(text, part.value, to)),
        Found::Nothing(at, steps) => (at, steps),
    };
    let mut steps = steps.into_iter();
    let first = steps.next().unwrap_or_default();
    let mut inner = to.to_string();
    for step in steps.rev() {
        inner = format!("{{{}:{inner}}}", quoted(step));
    }
    let value = text.get(at.clone()).unwrap_or_default();
    let parts = parts(text, &at);
    let comma = if parts.is_empty() { "" } else { "," };
    let end = at.end.saturating_sub(1);
    match value.as_bytes().first() {
        Some(b'{') => Ok(replaced(text, end..end, &format!("{comma}{}:{inner}", quoted(first)))),
        Some(b'[') if first.parse() == Ok(parts.len()) => {
            Ok(replaced(text, end..end, &format!("{comma}{inner}")))
        }
        Some(b'n') => Ok(replaced(text, at, &format!("{{{}:{inner}}}", quoted(first)))),
        _ => Err(Fault::NoMember),
    }
}

/// Deletes a value; nothing changes if there is none.
pub(super) fn delete(text: &str, path: &str) -> Result<String, Fault> {
    let Found::Part { part, above: Some(above) } = found(text, path)? else { return Ok(text.to_string()) };
    let parts = parts(text, &above);
    let at = parts.iter().position(|one| one.whole == part.whole).unwrap_or_default();
    let range = match (at.checked_sub(1).and_then(|at| parts.get(at)), parts.get(at + 1)) {
        (_, Some(next)) => part.whole.start..next.whole.start,
        (Some(before), None) => before.whole.end..part.whole.end,
        (None, None) => part.whole,
    };
    Ok(replaced(text, range, ""))
}

/// Whether a text is JSON.
pub(super) fn is_valid(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// A text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn replaced(text: &str, range: Range<usize>, by: &str) -> String {
    let (before, after) = (text.get(..range.start), text.get(range.end..));
    format!("{}{by}{}", before.unwrap_or_default(), after.unwrap_or_default())
}

fn found<'p>(text: &str, path: &'p str) -> Result<Found<'p>, Fault> {
    if !is_valid(text) {
        return Err(Fault::Invalid);
    }
    let start = text.len() - text.trim_start().len();
    let mut value = start..end_of(text, start);
    let mut part = Part { whole: value.clone(), value: value.clone() };
    let mut above = None;
    let mut steps = path.split('.');
    while let Some(step) = steps.next() {
        let is_object = text.as_bytes().get(value.start) == Some(&b'{');
        let parts = parts(text, &value);
        let next = if is_object {
            let is_named = |part: &Part| {
                let name = text.get(part.whole.start..end_of(text, part.whole.start)).unwrap_or_default();
                serde_json::from_str::<String>(name).is_ok_and(|name| name == step)
            };
            let mut named = parts.into_iter().filter(is_named);
            let next = named.next();
            if named.next().is_some() {
                return Err(Fault::Twice);
            }
            next
        } else {
            step.parse::<usize>().ok().and_then(|at| parts.into_iter().nth(at))
        };
        let Some(next) = next else {
            return Ok(Found::Nothing(value, std::iter::once(step).chain(steps).collect()));
        };
        above = Some(std::mem::replace(&mut value, next.value.clone()));
        part = next;
    }
    Ok(Found::Part { part, above })
}

/// The members or elements of a valid value.
fn parts(text: &str, value: &Range<usize>) -> Vec<Part> {
    let bytes = text.as_bytes();
    let is_object = match bytes.get(value.start) {
        Some(b'{') => true,
        Some(b'[') => false,
        _ => return Vec::new(),
    };
    let mut parts = Vec::new();
    let mut at = value.start + 1;
    loop {
        at = skipped(bytes, at, b",");
        if at + 1 >= value.end {
            return parts;
        }
        let start = at;
        if is_object {
            at = skipped(bytes, end_of(text, at), b":");
        }
        let end = end_of(text, at);
        parts.push(Part { whole: start..end, value: at..end });
        at = end;
    }
}

/// Behind blanks and some signs.
fn skipped(bytes: &[u8], at: usize, signs: &[u8]) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let is_skipped = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r') || signs.contains(byte);
    at + rest.iter().take_while(is_skipped).count()
}

/// Where a valid value or name ends that begins here.
fn end_of(text: &str, start: usize) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate().skip(start) {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            if !in_string && depth == 0 {
                return at + 1;
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(|n| json!(n)),
            "[a\"\\\\{},\\[ ]{0,4}".prop_map(|t| json!(t))
        ];
        leaf.prop_recursive(3, 20, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[ab0]", inner, 0..3).prop_map(|map| json!(map)),
            ]
        })
    }

    /// The plainest way to a value.
    fn way<'v>(value: &'v mut Value, path: &[&str]) -> Option<&'v mut Value> {
        path.iter().try_fold(value, |value, step| match value {
            Value::Object(members) => members.get_mut(*step),
            Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?),
            _ => None,
        })
    }

    proptest! {
        #[test]
        fn it_does_what_a_parsed_document_does(
            document in documents(),
            path in proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("0"), Just("1")], 1..4),
            pretty in any::<bool>(),
        ) {
            let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
            let (text, joined) = (text.unwrap(), path.join("."));
            let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            let mut wanted = document.clone();
            let found = way(&mut wanted, &path).cloned();
            prop_assert_eq!(get(&text, &joined).unwrap().map(parsed), found.clone());
            let deleted = parsed(&delete(&text, &joined).unwrap());
            let (last, above) = path.split_last().unwrap();
            match way(&mut wanted, above) {
                Some(Value::Object(members)) => drop(members.remove(*last)),
                Some(Value::Array(items)) if found.is_some() => drop(items.remove(last.parse().unwrap())),
                _ => {}
            }
            prop_assert_eq!(deleted, wanted);
            if let Ok(changed) = set(&text, &joined, "[7]") {
                let mut changed = parsed(&changed);
                prop_assert_eq!(way(&mut changed, &path).cloned(), Some(json!([7])));
                if found.is_some() {
                    *way(&mut changed, &path).unwrap() = found.unwrap();
                    prop_assert_eq!(changed, document);
                }
            } else {
                prop_assert!(found.is_none());
            }
        }
    }

    #[test]
    fn a_value_is_found_by_its_path() {
        let text = r#" { "a" : { "b" : [ 1 , "x,\"]" , {} ] } , "n":null, "ä":1e400 , "q\"":true } "#;
        for (path, found) in [
            ("a.b.0", Some("1")),
            ("a.b.1", Some(r#""x,\"]""#)),
            ("a.b.2", Some("{}")),
            ("a.b.3", None),
            ("a.b", Some(r#"[ 1 , "x,\"]" , {} ]"#)),
            ("n", Some("null")),
            ("n.x", None),
            ("ä", Some("1e400")),
            ("q\"", Some("true")),
            ("", None),
            ("z", None),
        ] {
            assert_eq!(get(text, path), Ok(found), "{path}");
        }
        assert_eq!(get("{", "a"), Err(Fault::Invalid));
        assert_eq!(get(r#"{"a":1,"a":2}"#, "a"), Err(Fault::Twice));
    }

    #[test]
    fn a_value_is_set_and_nothing_else_changes() {
        for (text, path, becomes) in [
            (
                r#"{ "big": 12345678901234567890.10, "a":1 }"#,
                "a",
                r#"{ "big": 12345678901234567890.10, "a":"t" }"#,
            ),
            ("{}", "a", r#"{"a":"t"}"#),
            (r#"{"b":1 }"#, "a.c", r#"{"b":1 ,"a":{"c":"t"}}"#),
            ("[]", "0", r#"["t"]"#),
            ("[1,2]", "2", r#"[1,2,"t"]"#),
            ("[1,2]", "0", r#"["t",2]"#),
            (r#"{"a":null}"#, "a.b", r#"{"a":{"b":"t"}}"#),
            (r#"[{"a":[0]}]"#, "0.a.0", r#"[{"a":["t"]}]"#),
        ] {
            assert_eq!(set(text, path, "\"t\"").as_deref(), Ok(becomes), "{text} {path}");
        }
        assert_eq!(set("[1]", "2", "1"), Err(Fault::NoMember));
        assert_eq!(set("[1]", "0.a", "1"), Err(Fault::NoMember));
        assert_eq!(set("\"x\"", "a", "1"), Err(Fault::NoMember));
    }

    #[test]
    fn a_value_is_deleted_with_its_comma() {
        for (text, path, becomes) in [
            (r#"{"a":1, "b":2, "c":3}"#, "a", r#"{"b":2, "c":3}"#),
            (r#"{"a":1, "b":2, "c":3}"#, "b", r#"{"a":1, "c":3}"#),
            (r#"{"a":1, "b":2, "c":3}"#, "c", r#"{"a":1, "b":2}"#),
            (r#"{ "a":1 }"#, "a", "{  }"),
            ("[1,2,3]", "1", "[1,3]"),
            ("[1]", "0", "[]"),
            (r#"{"a":[1,{"b":2}]}"#, "a.1.b", r#"{"a":[1,{}]}"#),
            (r#"{"a":1}"#, "z", r#"{"a":1}"#),
        ] {
            assert_eq!(delete(text, path).as_deref(), Ok(becomes), "{text} {path}");
        }
    }
}
