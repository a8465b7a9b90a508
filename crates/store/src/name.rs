//! Names of objects.

use crate::StoreError;

const LONGEST: usize = 512;

/// Refuses what is no name (see [`crate::Store`]).
pub(crate) fn check(name: &str) -> Result<(), StoreError> {
    let good = name.len() <= LONGEST && name.split('/').all(is_component);
    if good { Ok(()) } else { Err(StoreError::InvalidName { name: name.to_string() }) }
}

/// Refuses what is no prefix: empty, or names with a final slash.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), StoreError> {
    match prefix.strip_suffix('/') {
        Some(folder) => check(folder),
        None if prefix.is_empty() => Ok(()),
        None => Err(StoreError::InvalidName { name: prefix.to_string() }),
    }
}

fn is_component(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_stay_inside() {
        for good in ["pgark.json", "packs/0a/0a1b", "keys/1-ab.age"] {
            assert!(super::check(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "/a", "a/", "a//b", "../a", "a/../b", ".tmp/x", "A", "a b", "a\0", "a\\b"] {
            assert!(super::check(bad).is_err(), "{bad}");
        }
    }
}
