//! Hints that name what someone probably meant ([`pgark_bytes::nearest`]).

use std::collections::BTreeSet;

pub use pgark_bytes::nearest::nearest;
pub(crate) use pgark_bytes::nearest::{difference, distance};

/// `did you mean "prod"? `, with a space behind it, for the front of a hint; nothing if no known
/// name is like the wanted one.
pub(crate) fn did_you_mean<'k>(wanted: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(wanted, known).map(|name| format!("did you mean {name:?}? ")).unwrap_or_default()
}

/// At most this many names are told of.
const TOLD: usize = 10;

/// Names for people: `a, b and 5 more`.
pub(crate) fn some_of(names: &BTreeSet<String>) -> String {
    let told: Vec<&str> = names.iter().take(TOLD).map(String::as_str).collect();
    match names.len().saturating_sub(TOLD) {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_what_is_near() {
        let known = ["prod", "staging"];
        assert_eq!(did_you_mean("prdo", known), "did you mean \"prod\"? ");
        assert_eq!(did_you_mean("zzz", known), "");
    }

    #[test]
    fn many_names_are_counted() {
        let names: BTreeSet<String> = (10..25).map(|number| number.to_string()).collect();
        assert_eq!(some_of(&names), "10, 11, 12, 13, 14, 15, 16, 17, 18, 19 and 5 more");
    }
}
