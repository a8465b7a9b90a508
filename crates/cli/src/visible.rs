//! The output's edge: names, messages and statements of servers, files and storages as text that
//! does nothing to a terminal.
//!
//! Everything for people goes through here: lines and tables (`output`), the log and the progress
//! (`progress`), errors (`error`). JSON has its own escapes, and `cat` and `export` write content,
//! not text.

use std::borrow::Cow;
use std::fmt::Write;

/// What a line of text begins with that continues another.
const INDENT: &str = "  ";

/// A text of one line: control characters, line feeds and tabs among them, are written as escapes.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for sign in text.chars() {
        if acts(sign) { escape(&mut shown, sign) } else { shown.push(sign) }
    }
    Cow::Owned(shown)
}

/// A text that may have several lines, a server's message or a statement. Line feeds and tabs stay;
/// each line but the first is indented, so that no name with a line feed in it begins a line of its
/// own.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            shown.push('\n');
            if !line.starts_with(INDENT) && !line.is_empty() {
                shown.push_str(INDENT);
            }
        }
        for sign in line.chars() {
            if acts(sign) && sign != '\t' { escape(&mut shown, sign) } else { shown.push(sign) }
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and those that only change the order or the lines of what is shown around
/// them.
fn acts(sign: char) -> bool {
    sign.is_control()
        || matches!(sign, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape(shown: &mut String, sign: char) {
    match sign {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        // Writing to a string does not fail.
        sign if sign.is_ascii() => drop(write!(shown, "\\x{:02x}", u32::from(sign))),
        sign => drop(write!(shown, "\\u{{{:x}}}", u32::from(sign))),
    }
}

#[cfg(test)]
mod tests {
    use super::{visible, visible_lines};

    #[test]
    fn control_characters_become_text() {
        assert_eq!(
            visible("t\x1b[31m\r\n\tx\x07\x7f\u{9b}\u{202e}é表"),
            "t\\x1b[31m\\r\\n\\tx\\x07\\x7f\\u{9b}\\u{202e}é表"
        );
        assert_eq!(visible("plain é"), "plain é");
    }

    #[test]
    fn no_name_begins_a_line() {
        let text = "table a\n2026-01-01T00:00:00Z  INFO all is well\x1b[2J\n\tDETAIL: x\r\n  y";
        let shown = visible_lines(text);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1], "  2026-01-01T00:00:00Z  INFO all is well\\x1b[2J");
        assert_eq!(lines[2], "  \tDETAIL: x\\r");
        assert_eq!(lines[3], "  y");
    }
}
