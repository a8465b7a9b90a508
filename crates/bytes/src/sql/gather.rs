//! Statements of a script that is read line by line.

use super::token::{Blocks, Kind, tokenize};

/// Gathers lines until they are a whole statement. What was seen is not looked at again, however
/// long the statement grows.
#[derive(Debug, Default)]
pub struct Gather {
    text: Vec<u8>,
    /// Up to here the tokens are known.
    seen: usize,
    depth: usize,
    blocks: Blocks,
    ended: bool,
}

impl Gather {
    /// Adds a line, its line feed included. Returns whether a statement (or several of one line) is
    /// whole now.
    pub fn push(&mut self, line: &[u8]) -> bool {
        self.text.extend_from_slice(line);
        let rest = self.text.get(self.seen..).unwrap_or_default();
        let mut known = 0;
        for token in tokenize(rest) {
            // A token that reaches the end of a line is white space, or a quoted one that goes on.
            if token.end() == rest.len() && token.kind != Kind::Space {
                break;
            }
            known = token.end();
            if token.is_blank() {
                continue;
            }
            match token.kind {
                Kind::Symbol(b'(') => self.depth += 1,
                Kind::Symbol(b')') => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            self.blocks.see(&token);
            self.ended = token.is_symbol(b';') && self.depth == 0 && self.blocks.depth == 0;
        }
        let whole = known == rest.len() && self.ended;
        self.seen += known;
        whole
    }

    /// Nothing has been gathered.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Bytes gathered.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// The text, without white space around it; the next line starts again.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self).text.trim_ascii().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(text: &str) -> Vec<String> {
        let mut gather = Gather::default();
        let mut found = Vec::new();
        for line in text.split_inclusive('\n') {
            if gather.push(line.as_bytes()) {
                found.push(String::from_utf8(gather.take()).unwrap());
            }
        }
        assert!(gather.is_empty(), "{:?}", String::from_utf8(gather.take()));
        found
    }

    #[test]
    fn lines_become_statements() {
        let text = "CREATE TABLE \"a\n;\" (x int,\n y text DEFAULT ';\n');\nCREATE FUNCTION f() AS $_$\n;\n$x$;\n$_$;\nSELECT /* ;\n */ 1; -- c ;\n\
                    CREATE FUNCTION g() BEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\n SELECT 2;\nEND;\nSELECT E'\\';\n';\n";
        let found = statements(text);
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found[3].ends_with("END;") && found[1].contains("$x$;"));
    }
}
