//! `jsonb` as the server writes it.
//!
//! The server has sorted the keys already and dropped those that came twice, and writes each string
//! in one way. What equal documents may differ in is the number of zeros at the end of a number
//! (`compareJsonbScalarValue` compares numbers as numeric).

use super::number;
use super::scan::Scan;

/// Appends a document without the blanks between its parts, with numbers in their canonical form.
pub(super) fn write(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = Scan::new(text);
    while let Some(byte) = rest.peek() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                rest.next();
            }
            b'"' => {
                let (string, after) = rest.0.split_at_checked(string_length(rest.0)?)?;
                out.extend_from_slice(string);
                rest = Scan(after);
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &&u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let length = rest.0.iter().take_while(is_part).count();
                let (digits, after) = rest.0.split_at_checked(length)?;
                number::write(str::from_utf8(digits).ok()?, out)?;
                rest = Scan(after);
            }
            byte => {
                out.push(byte);
                rest.next();
            }
        }
    }
    (!out.is_empty()).then_some(())
}

/// Bytes of the string that comes next, with its quotes.
fn string_length(bytes: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    for (index, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}
