//! Arrays: `{a,"b c",NULL}`, `[0:1]={{1,2},{3,4}}` (docs: "Arrays", array input and output syntax).

use super::token::{Reader, Written, write};
use super::{Each, malformed};
use crate::transformer::Refusal;

/// The most dimensions of an array (`MAXDIM`).
const MOST_DIMENSIONS: usize = 6;

/// Walks the elements of an array and writes it with what comes of them. Dimensions and bounds
/// stay.
pub fn each(text: &str, of: Each<'_>, out: &mut String) -> Result<(), Refusal> {
    let mut reader = Reader::new(text);
    if reader.peek() == Some(b'[') {
        let bounds = reader.rest().find('=').ok_or_else(|| malformed("array"))?;
        out.push_str(reader.skip(bounds + 1));
    }
    let (mut element, mut fiction) = (String::new(), String::new());
    let mut depth = 0usize;
    let mut shape = Shape::default();
    loop {
        // Here an element or a list of them begins.
        reader.blanks();
        if reader.take(b'{') {
            out.push('{');
            depth += 1;
            if depth > MOST_DIMENSIONS {
                return Err(malformed("array"));
            }
            reader.blanks();
            if reader.peek() != Some(b'}') {
                continue;
            }
        } else if depth == 0 {
            return Err(malformed("array"));
        } else {
            let written = reader.value(b",{}", &mut element).ok_or_else(|| malformed("array"))?;
            let bare = element.trim_end_matches(|c: char| c.is_ascii_whitespace());
            if written == Written::Bare && bare.is_empty() {
                return Err(malformed("array"));
            }
            let value = match written {
                Written::Bare if bare.eq_ignore_ascii_case("null") => None,
                Written::Bare => Some(bare),
                Written::Quoted => Some(element.as_str()),
            };
            shape.element(depth)?;
            fiction.clear();
            if of(value, &mut fiction)? {
                let must = fiction.eq_ignore_ascii_case("null");
                write(&fiction, b"{},", must, false, out);
            } else {
                out.push_str("NULL");
            }
        }
        // Here an element or a list has ended, and with it perhaps the lists around it.
        reader.blanks();
        while depth > 0 && reader.take(b'}') {
            out.push('}');
            shape.close(depth)?;
            depth -= 1;
            reader.blanks();
        }
        if depth == 0 {
            return if reader.peek().is_none() { Ok(()) } else { Err(malformed("array")) };
        }
        if !reader.take(b',') {
            return Err(malformed("array"));
        }
        out.push(',');
    }
}

/// What all lists of one depth have in common: how many elements they have.
#[derive(Default)]
struct Shape {
    /// How many elements the list that is open at each depth has so far.
    counts: [usize; MOST_DIMENSIONS + 1],
    /// How many the lists of each depth have.
    sizes: [Option<usize>; MOST_DIMENSIONS + 1],
    /// The depth at which elements are.
    of_elements: Option<usize>,
}

impl Shape {
    fn element(&mut self, depth: usize) -> Result<(), Refusal> {
        self.add(depth);
        if *self.of_elements.get_or_insert(depth) == depth { Ok(()) } else { Err(malformed("array")) }
    }

    fn add(&mut self, depth: usize) {
        if let Some(count) = self.counts.get_mut(depth) {
            *count += 1;
        }
    }

    fn close(&mut self, depth: usize) -> Result<(), Refusal> {
        let count = self.counts.get_mut(depth).map(std::mem::take).unwrap_or_default();
        let size = self.sizes.get_mut(depth).map(|size| *size.get_or_insert(count));
        // Only a whole array may be empty, and elements are at one depth.
        let is_empty_inside = count == 0 && depth > 1;
        let is_above_elements = self.of_elements.is_some_and(|elements| elements < depth);
        if size != Some(count) || is_empty_inside || is_above_elements {
            return Err(malformed("array"));
        }
        if depth > 1 {
            self.add(depth - 1);
        }
        Ok(())
    }
}
