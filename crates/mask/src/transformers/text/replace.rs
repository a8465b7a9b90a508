//! `replace`: regular expressions.

use regex::Regex;

use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::fitting::{cut, is_same, room};
use crate::types::Kind;

#[derive(Debug)]
struct Replace {
    kind: Kind,
    regexp: Regex,
    by: String,
    unchanged: Unchanged,
    room: Option<usize>,
}

/// What becomes of a value that stays as it is.
#[derive(Clone, Copy, Debug)]
enum Unchanged {
    Refuse,
    Redact,
    Keep,
}

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let regexp = match Regex::new(making.text("regexp").unwrap_or_default()) {
        Ok(regexp) => regexp,
        Err(error) => {
            let message = format!("the regular expression does not compile: {error}");
            return Err(making.fault(Code::DoesNotCompile, "regexp", message, ""));
        }
    };
    let by = making.text("replace").unwrap_or_default().to_string();
    for group in groups(&by) {
        let is_known = match group.parse::<usize>() {
            Ok(number) => number < regexp.captures_len(),
            Err(_) => regexp.capture_names().flatten().any(|name| name == group),
        };
        if !is_known {
            let message = format!("the regular expression has no group {group}");
            let hint = "write ${1}x for group 1 and an x after it, and $$ for a dollar sign";
            return Err(making.fault(Code::DoesNotCompile, "replace", message, hint));
        }
    }
    if matches!(by.as_str(), "$0" | "${0}") {
        let message = "the replacement is what was found";
        return Err(making.fault(Code::ChangesNothing, "replace", message, ""));
    }
    let unchanged = match making.text("unchanged") {
        Some("keep") => Unchanged::Keep,
        Some("redact") => Unchanged::Redact,
        _ => Unchanged::Refuse,
    };
    Ok(Box::new(Replace { kind: making.kind().clone(), regexp, by, unchanged, room: room(making) }))
}

/// The groups that a replacement names, as the crate `regex` reads them (`Captures::expand`).
fn groups(by: &str) -> Vec<&str> {
    let mut groups = Vec::new();
    let mut rest = by;
    while let Some((_, after)) = rest.split_once('$') {
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some((group, after)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            groups.push(group);
            rest = after;
        } else {
            let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let (group, after) = rest.split_at(end);
            if !group.is_empty() {
                groups.push(group);
            }
            rest = after;
        }
    }
    groups
}

impl Transformer for Replace {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        out.push_str(&self.regexp.replace_all(plain.text, self.by.as_str()));
        cut(out, self.room);
        if plain.is_null || !is_same(&self.kind, plain.text, out) {
            return Ok(Answer::Text);
        }
        match self.unchanged {
            Unchanged::Keep => {
                out.clear();
                Ok(Answer::Same)
            }
            Unchanged::Redact => {
                out.clear();
                out.extend(plain.text.chars().map(|_| '*'));
                Ok(Answer::Text)
            }
            Unchanged::Refuse => Err(Refusal::new("the regular expression changes nothing in the value")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transformers::fitting::tests::{Case, case};

    fn rule(regexp: &str, by: &str) -> Case {
        case("replace").with("regexp", regexp).with("replace", by)
    }

    #[test]
    fn groups_and_names() {
        assert_eq!(rule("(\\w+) (\\w+)", "$2, $1").fiction("Anna Schmidt"), "Schmidt, Anna");
        assert_eq!(rule("(?<first>\\w+) .*", "${first}x$$").fiction("Anna Schmidt"), "Annax$");
        assert_eq!(rule("[0-9]", "0").fiction("a1b2"), "a0b0");
        assert_eq!(rule("a", "bbbb").of(Kind::Text(Some(5))).fiction("aa"), "bbbbb");
        assert_eq!(groups("$1a ${b} $$ $c, $"), ["1a", "b", "c"]);
    }

    #[test]
    fn values_that_stay() {
        let mut out = String::new();
        assert!(rule("x", "y").built().answer("abc", &mut out).is_err());
        out.clear();
        let keeps = rule("x", "y").with("unchanged", "keep").built();
        assert_eq!(keeps.answer("abc", &mut out), Ok(Answer::Same));
        assert_eq!(rule("x", "y").with("unchanged", "redact").fiction("äbc"), "***");
        out.clear();
        assert!(rule("a", "A").of(Kind::Citext).built().answer("abc", &mut out).is_err());
    }

    #[test]
    fn wrong_parameters() {
        assert_eq!(rule("(", "").code(), "M007");
        assert_eq!(rule("(a)", "$2").code(), "M007");
        assert_eq!(rule("(a)", "$1a").code(), "M007");
        assert_eq!(rule("a", "$0").code(), "M155");
        assert_eq!(case("replace").with("regexp", "a").code(), "M004");
        assert_eq!(rule("a", "b").with("unchanged", "drop").code(), "M006");
    }
}
