//! Names for people: UTF-8 text, even of a name that is none.
//!
//! A database in the encoding `SQL_ASCII` keeps whatever bytes it was given. Shown is each byte
//! that is part of no UTF-8 character as `\xE9`, and a backslash that reads as the beginning of
//! such a thing as `\x5C`: two names that differ are shown differently. Outside of double quotes a
//! pattern understands both (see [`crate::pattern`]).

use std::borrow::Cow;

/// The name as it is shown.
pub fn shown(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) if !text.as_bytes().windows(4).any(is_escape) => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(name)),
    }
}

fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'\\', b'x', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn escaped(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    for chunk in name.utf8_chunks() {
        let valid = chunk.valid();
        for (at, sign) in valid.char_indices() {
            match valid.as_bytes().get(at..at + 4) {
                Some(four) if is_escape(four) => text.push_str("\\x5C"),
                _ => text.push(sign),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}

/// The same for a text in JSON, whose backslashes are doubled.
pub fn shown_json(json: &[u8]) -> String {
    let mut text = String::with_capacity(json.len() + 8);
    for chunk in json.utf8_chunks() {
        let valid = chunk.valid();
        let mut signs = valid.char_indices();
        while let Some((at, sign)) = signs.next() {
            text.push(sign);
            // What follows a backslash belongs to it.
            if sign == '\\'
                && let Some((_, second)) = signs.next()
            {
                text.push(second);
                if second == '\\' && valid.as_bytes().get(at + 1..at + 5).is_some_and(is_escape) {
                    text.push_str("x5C");
                }
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\\\x{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{shown, shown_json};

    #[test]
    fn names_that_differ_are_shown_differently() {
        assert_eq!(shown("žluť \\d \\x4".as_bytes()), "žluť \\d \\x4");
        assert_eq!(shown(b"latin \xe9"), "latin \\xE9");
        assert_eq!(shown(b"latin \\xE9"), "latin \\x5CxE9");
        assert_eq!(shown(b"\xe9a\xc3\xa9\xc3"), "\\xE9aé\\xC3");
        assert_eq!(shown("\\xéé".as_bytes()), "\\xéé");
    }

    #[test]
    fn json_stays_json() {
        let read = |json: &[u8]| serde_free(&shown_json(json));
        assert_eq!(read(b"\"latin \xe9\""), "latin \\xE9");
        assert_eq!(read(b"\"latin \\\\xE9 \\\" \\\\\""), "latin \\x5CxE9 \" \\");
    }

    /// What a JSON string of two kinds of escapes means.
    fn serde_free(json: &str) -> String {
        json.trim_matches('"').replace("\\\"", "\u{1}").replace("\\\\", "\\").replace('\u{1}', "\"")
    }
}
