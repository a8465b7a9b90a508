//! Ranges: `[1,5)`, `empty`, and multiranges: `{[1,5),[7,)}` (docs: "Range Types").

use super::malformed;
use super::token::{Reader, Written, write};
use crate::transformer::Refusal;

/// A range, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The lower bound; None: there is none.
    pub lower: Option<String>,
    /// The upper bound; None: there is none.
    pub upper: Option<String>,
    /// The lower bound is in the range.
    pub with_lower: bool,
    /// The upper bound is in the range.
    pub with_upper: bool,
}

impl Bounds {
    /// Writes the range as PostgreSQL does.
    pub fn write(&self, out: &mut String) {
        out.push(if self.with_lower { '[' } else { '(' });
        if let Some(lower) = &self.lower {
            write(lower, b"()[],", false, true, out);
        }
        out.push(',');
        if let Some(upper) = &self.upper {
            write(upper, b"()[],", false, true, out);
        }
        out.push(if self.with_upper { ']' } else { ')' });
    }
}

/// What is done with one range: None is `empty`.
pub type OfRange<'e> = &'e mut dyn FnMut(Bounds, &mut String) -> Result<(), Refusal>;

/// Reads one range and writes what comes of it; `empty` stays.
pub fn one(text: &str, of: OfRange<'_>, out: &mut String) -> Result<(), Refusal> {
    if text.trim().eq_ignore_ascii_case("empty") {
        out.push_str("empty");
        return Ok(());
    }
    let mut reader = Reader::new(text.trim());
    of(read(&mut reader)?, out)?;
    if reader.peek().is_some() { Err(malformed("range")) } else { Ok(()) }
}

/// Reads a multirange and writes what comes of each of its ranges. The server sorts and joins them.
pub fn many(text: &str, of: OfRange<'_>, out: &mut String) -> Result<(), Refusal> {
    let mut reader = Reader::new(text.trim());
    if !reader.take(b'{') {
        return Err(malformed("multirange"));
    }
    out.push('{');
    reader.blanks();
    if reader.peek() != Some(b'}') {
        loop {
            of(read(&mut reader)?, out)?;
            reader.blanks();
            if !reader.take(b',') {
                break;
            }
            out.push(',');
            reader.blanks();
        }
    }
    if !reader.take(b'}') || reader.peek().is_some() {
        return Err(malformed("multirange"));
    }
    out.push('}');
    Ok(())
}

fn read(reader: &mut Reader<'_>) -> Result<Bounds, Refusal> {
    let with_lower = reader.take(b'[');
    if !with_lower && !reader.take(b'(') {
        return Err(malformed("range"));
    }
    let lower = bound(reader)?;
    if !reader.take(b',') {
        return Err(malformed("range"));
    }
    let upper = bound(reader)?;
    let with_upper = reader.take(b']');
    if !with_upper && !reader.take(b')') {
        return Err(malformed("range"));
    }
    Ok(Bounds { lower, upper, with_lower, with_upper })
}

fn bound(reader: &mut Reader<'_>) -> Result<Option<String>, Refusal> {
    let mut text = String::new();
    let written = reader.value(b",()[]", &mut text).ok_or_else(|| malformed("range"))?;
    Ok((written == Written::Quoted || !text.is_empty()).then_some(text))
}
