//! One inner value of an array, range or composite: bare or in quotes, with backslashes.

/// Reads a text from its left to its right.
pub struct Reader<'t> {
    text: &'t str,
    at: usize,
}

/// How an inner value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Without quotes or backslashes.
    Bare,
    /// With some: it is never NULL.
    Quoted,
}

impl<'t> Reader<'t> {
    /// From the first byte on.
    pub fn new(text: &'t str) -> Reader<'t> {
        Reader { text, at: 0 }
    }

    /// What is left.
    pub fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next byte.
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes a byte if it is the next one. It must be ASCII.
    pub fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Skips blanks.
    pub fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Takes so many bytes; they must end where a character ends.
    pub fn skip(&mut self, bytes: usize) -> &'t str {
        let skipped = self.rest().get(..bytes).unwrap_or_default();
        self.at += skipped.len();
        skipped
    }

    /// Reads a value up to one of the bytes that end it, without that byte. Inside of quotes, two
    /// quotes are one (composites and ranges write so) and a backslash takes the next character as
    /// it is. None: a quote is not closed.
    pub fn value(&mut self, ends: &[u8], out: &mut String) -> Option<Written> {
        out.clear();
        let (mut written, mut inside) = (Written::Bare, false);
        loop {
            let rest = self.rest();
            let stop = rest
                .bytes()
                .position(|byte| byte == b'"' || byte == b'\\' || (!inside && ends.contains(&byte)))
                .unwrap_or(rest.len());
            out.push_str(self.skip(stop));
            match self.peek() {
                None if inside => return None,
                Some(b'\\') => {
                    written = Written::Quoted;
                    self.at += 1;
                    let escaped = self.rest().chars().next()?;
                    out.push(escaped);
                    self.at += escaped.len_utf8();
                }
                Some(b'"') => {
                    self.at += 1;
                    if inside && self.take(b'"') {
                        out.push('"');
                    } else {
                        inside = !inside;
                    }
                    written = Written::Quoted;
                }
                _ => return Some(written),
            }
        }
    }
}

/// Writes a value, in quotes where `must` or one of its characters asks for them. `double`: a quote
/// is written twice and not after a backslash.
pub fn write(value: &str, special: &[u8], must: bool, double: bool, out: &mut String) {
    let asks = |byte: u8| {
        byte == b'"' || byte == b'\\' || byte.is_ascii_whitespace() || byte == 0x0b || special.contains(&byte)
    };
    if !must && !value.is_empty() && !value.bytes().any(asks) {
        return out.push_str(value);
    }
    out.push('"');
    for c in value.chars() {
        match c {
            '"' if double => out.push('"'),
            '\\' if double => out.push('\\'),
            '"' | '\\' => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    out.push('"');
}
