//! Composite values: `(1,"a b",)` (docs: "Composite Types", input and output syntax).

use super::token::{Reader, Written, write};
use super::{Named, malformed};
use crate::transformer::Refusal;

/// Walks the attributes, whose names are given in their order. An empty attribute is NULL.
pub fn each<'n>(
    text: &str,
    mut names: impl Iterator<Item = &'n str>,
    of: Named<'_>,
    out: &mut String,
) -> Result<(), Refusal> {
    let mut reader = Reader::new(text.trim());
    if !reader.take(b'(') {
        return Err(malformed("composite value"));
    }
    out.push('(');
    let (mut attribute, mut fiction) = (String::new(), String::new());
    loop {
        let written = reader.value(b",()", &mut attribute).ok_or_else(|| malformed("composite value"))?;
        let Some(name) = names.next() else { return Err(malformed("composite value")) };
        let is_null = written == Written::Bare && attribute.is_empty();
        fiction.clear();
        if of(name, (!is_null).then_some(attribute.as_str()), &mut fiction)? {
            write(&fiction, b"(),", false, true, out);
        }
        if reader.take(b',') {
            out.push(',');
        } else {
            break;
        }
    }
    if !reader.take(b')') || reader.peek().is_some() || names.next().is_some() {
        return Err(malformed("composite value"));
    }
    out.push(')');
    Ok(())
}
