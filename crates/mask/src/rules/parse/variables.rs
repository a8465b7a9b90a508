//! Environment variables inside of strings, as Greenmask has them.
//!
//! `$VAR` and `${VAR}` must be set; `${VAR-d}` is `d` where it is not set, `${VAR:-d}` also where
//! it is empty; `${VAR?m}` and `${VAR:?m}` fail with the message `m` in these cases; `$$` is a
//! dollar. A default goes up to the first `}`. A dollar before anything else stays as it is, so
//! that `$.a`, `$1` and a pattern's `$` need no second dollar.

/// What is wrong with a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not set; its name, and the file's own message.
    Unset(String, Option<String>),
    /// `${` without `}`: what follows the dollar.
    Open,
}

/// The text with its variables replaced, and what is wrong with them. A value is not looked through
/// again.
pub(super) fn replaced(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> (String, Vec<Fault>) {
    let (mut out, mut faults) = (String::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let is_braced = rest.starts_with('{');
        let inner = rest.strip_prefix('{').unwrap_or(rest);
        let (name, after) = inner.split_at(name_length(inner));
        if name.is_empty() {
            out.push('$');
            continue;
        }
        if !is_braced {
            out.push_str(&lookup(name).unwrap_or_else(|| unset(&mut faults, name, None)));
            rest = after;
            continue;
        }
        let Some((operation, after)) = after.split_once('}') else {
            faults.push(Fault::Open);
            return (out, faults);
        };
        let Some(value) = braced(name, operation, lookup, &mut faults) else {
            // `${a b}` is no variable.
            out.push('$');
            continue;
        };
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    (out, faults)
}

/// How many bytes at the beginning are a name: letters, digits and `_`, no digit first.
fn name_length(text: &str) -> usize {
    if text.starts_with(|sign: char| sign.is_ascii_digit()) {
        return 0;
    }
    text.find(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_').unwrap_or(text.len())
}

fn braced(
    name: &str,
    operation: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<Fault>,
) -> Option<String> {
    let value = lookup(name);
    let (operation, value) = match operation.strip_prefix(':') {
        Some(operation) => (operation, value.filter(|value| !value.is_empty())),
        None => (operation, value),
    };
    if operation.is_empty() {
        return Some(value.unwrap_or_else(|| unset(faults, name, None)));
    }
    if let Some(default) = operation.strip_prefix('-') {
        return Some(value.unwrap_or_else(|| default.to_string()));
    }
    let message = operation.strip_prefix('?')?;
    Some(value.unwrap_or_else(|| unset(faults, name, Some(message))))
}

fn unset(faults: &mut Vec<Fault>, name: &str, message: Option<&str>) -> String {
    let message = message.filter(|message| !message.is_empty()).map(str::to_string);
    faults.push(Fault::Unset(name.to_string(), message));
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".into()),
            "B_2" => Some("$A".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_as_greenmask_does() {
        for (text, becomes) in [
            ("", ""),
            ("no", "no"),
            ("$A", "one"),
            ("x$A.y", "xone.y"),
            ("${A}b", "oneb"),
            // A value is not looked through again.
            ("$B_2", "$A"),
            ("${NONE:-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${NONE-d e}", "d e"),
            ("${NONE-}", ""),
            ("${A:-d}", "one"),
            ("${A?m}", "one"),
            ("${A:?m}", "one"),
            ("$$A", "$A"),
            ("$$$A", "$one"),
            ("a$$", "a$"),
            // No names.
            ("~ STRASSE$", "~ STRASSE$"),
            ("$.recipient", "$.recipient"),
            ("$..phone", "$..phone"),
            ("$1 ${2}", "$1 ${2}"),
            ("${A b}", "${A b}"),
            ("ä$Aß", "äoneß"),
        ] {
            assert_eq!(replaced(text, &variables), (becomes.to_string(), vec![]), "{text}");
        }
    }

    #[test]
    fn what_is_not_set_is_told() {
        let unset = |message: Option<&str>| vec![Fault::Unset("NO".into(), message.map(str::to_string))];
        for (text, becomes, faults) in [
            ("a$NO", "a", unset(None)),
            ("${NO}b", "b", unset(None)),
            ("${NO?set it}", "", unset(Some("set it"))),
            ("${NO:?}", "", unset(None)),
            ("${EMPTY:?m}", "", vec![Fault::Unset("EMPTY".into(), Some("m".into()))]),
            ("a${A", "a", vec![Fault::Open]),
        ] {
            assert_eq!(replaced(text, &variables), (becomes.to_string(), faults), "{text}");
        }
    }
}
