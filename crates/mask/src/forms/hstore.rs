//! hstore: `"key"=>"value", "other"=>NULL` (docs: "hstore", external representation).

use super::token::{Reader, Written, write};
use super::{Named, malformed};
use crate::transformer::Refusal;

/// Walks the values with their keys. Keys stay.
pub fn each(text: &str, of: Named<'_>, out: &mut String) -> Result<(), Refusal> {
    let mut reader = Reader::new(text);
    let (mut key, mut value, mut fiction) = (String::new(), String::new(), String::new());
    let mut is_first = true;
    loop {
        reader.blanks();
        if reader.peek().is_none() {
            // A comma at the end is no error to the server either.
            return Ok(());
        }
        let bare_key = reader.value(b"= \t\r\n", &mut key).ok_or_else(|| malformed("hstore"))?;
        reader.blanks();
        if (bare_key == Written::Bare && key.is_empty()) || !reader.take(b'=') || !reader.take(b'>') {
            return Err(malformed("hstore"));
        }
        reader.blanks();
        let written = reader.value(b", \t\r\n", &mut value).ok_or_else(|| malformed("hstore"))?;
        let is_null = written == Written::Bare && value.eq_ignore_ascii_case("null");
        if written == Written::Bare && value.is_empty() {
            return Err(malformed("hstore"));
        }
        if !is_first {
            out.push_str(", ");
        }
        is_first = false;
        write(&key, b"", true, false, out);
        out.push_str("=>");
        fiction.clear();
        if of(&key, (!is_null).then_some(value.as_str()), &mut fiction)? {
            write(&fiction, b"", true, false, out);
        } else {
            out.push_str("NULL");
        }
        reader.blanks();
        if reader.peek().is_some() && !reader.take(b',') {
            return Err(malformed("hstore"));
        }
    }
}
