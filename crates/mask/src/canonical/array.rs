//! Arrays and ranges: their parts in the form of their elements (documentation, sections 8.15.6 and
//! 8.17.5).

use std::borrow::Cow;

use super::Form;
use super::scan::Scan;

const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const VALUE: u8 = 3;
const NOTHING: u8 = 4;
const EMPTY: u8 = 5;

/// Appends an array: its bounds where they do not begin at 1, its braces, and each element.
/// Elements are separated by commas, as of all types but `box`, whose values are not compared.
pub(super) fn write(element: &Form, text: &str, out: &mut Vec<u8>) -> Option<()> {
    let body = match text.split_once('=') {
        Some((bounds, body)) if text.starts_with('[') => {
            // The server leaves bounds out that begin at 1.
            if bounds.split('[').skip(1).any(|bound| !bound.starts_with("1:")) {
                out.extend_from_slice(bounds.as_bytes());
            }
            body
        }
        _ => text,
    };
    let mut scan = Scan::new(body);
    let mut depth = 0_usize;
    while let Some(byte) = scan.peek() {
        match byte {
            b'{' => {
                out.push(OPEN);
                depth += 1;
                scan.next();
            }
            b'}' => {
                out.push(CLOSE);
                depth = depth.checked_sub(1)?;
                scan.next();
                if depth == 0 {
                    return scan.is_empty().then_some(());
                }
            }
            b',' => {
                scan.next();
            }
            _ if depth == 0 => return None,
            _ => {
                let is_quoted = byte == b'"';
                let part = part(&mut scan, |byte| matches!(byte, b',' | b'}' | b'{'))?;
                if !is_quoted && part.eq_ignore_ascii_case("null") {
                    out.push(NOTHING);
                } else {
                    write_value(element, &part, out)?;
                }
            }
        }
    }
    None
}

/// Appends a range: its brackets, and each bound that it has.
pub(super) fn write_range(bound: &Form, text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut scan = Scan::new(text);
    range(bound, &mut scan, out)?;
    scan.is_empty().then_some(())
}

/// Appends the ranges of a multirange.
pub(super) fn write_multirange(bound: &Form, text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut scan = Scan::new(text);
    if !scan.eat(b'{') {
        return None;
    }
    out.push(OPEN);
    while !scan.eat(b'}') {
        range(bound, &mut scan, out)?;
        scan.eat(b',');
    }
    out.push(CLOSE);
    scan.is_empty().then_some(())
}

fn range(bound: &Form, scan: &mut Scan<'_>, out: &mut Vec<u8>) -> Option<()> {
    if let Some(rest) = scan.0.strip_prefix(b"empty") {
        *scan = Scan(rest);
        out.push(EMPTY);
        return Some(());
    }
    out.push(scan.next().filter(|byte| matches!(byte, b'[' | b'('))?);
    for end in [b",".as_slice(), b"])"] {
        if scan.peek().is_some_and(|byte| end.contains(&byte)) {
            out.push(NOTHING);
        } else {
            let part = part(scan, |byte| matches!(byte, b',' | b']' | b')'))?;
            write_value(bound, &part, out)?;
        }
        let byte = scan.next().filter(|byte| end.contains(byte))?;
        if byte != b',' {
            out.push(byte);
        }
    }
    Some(())
}

/// Appends an element with its length, so that no two lists of elements have the same bytes.
fn write_value(form: &Form, text: &str, out: &mut Vec<u8>) -> Option<()> {
    out.push(VALUE);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    form.write(text, out).ok()?;
    let length = u32::try_from(out.len() - at - 4).ok()?;
    out.get_mut(at..at + 4)?.copy_from_slice(&length.to_le_bytes());
    Some(())
}

/// The element that comes next, without its quotes and escapes.
fn part<'t>(scan: &mut Scan<'t>, ends: fn(u8) -> bool) -> Option<Cow<'t, str>> {
    let all = scan.0;
    let mut is_quoted = false;
    let mut is_simple = true;
    let mut length = 0;
    while let Some(byte) = scan.peek() {
        match byte {
            b'"' => {
                is_quoted = !is_quoted;
                is_simple = false;
            }
            b'\\' => {
                is_simple = false;
                scan.next();
                length += 1;
            }
            byte if !is_quoted && ends(byte) => break,
            _ => {}
        }
        scan.next()?;
        length += 1;
    }
    let text = str::from_utf8(all.get(..length)?).ok()?;
    if is_quoted {
        return None;
    }
    if is_simple {
        return Some(Cow::Borrowed(text));
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut is_inside = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(characters.next()?),
            // A range writes a quote within quotes twice.
            '"' if is_inside && characters.peek() == Some(&'"') => {
                characters.next();
                plain.push('"');
            }
            '"' => is_inside = !is_inside,
            other => plain.push(other),
        }
    }
    Some(Cow::Owned(plain))
}
