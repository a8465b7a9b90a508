//! A scanner of JSON text (RFC 8259): it says where values begin and end and changes nothing, so
//! that numbers, the order of keys and duplicates stay as they are.

/// How deep documents may be nested. PostgreSQL's own limit is that of its stack.
pub const MOST_DEPTH: usize = 1_000;

/// Walks a JSON text.
#[derive(Clone, Debug)]
pub struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    /// From the first byte on.
    pub fn new(text: &'t str) -> Scanner<'t> {
        Scanner { text, at: 0 }
    }

    /// How many bytes are behind it.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The text between two positions.
    pub fn between(&self, from: usize, to: usize) -> &'t str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// Skips blanks and shows the next byte.
    pub fn peek(&mut self) -> Option<u8> {
        while self.byte().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.byte()
    }

    /// Skips blanks and takes a byte if it is the next one.
    pub fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// A string with its quotes; None: there is not valid one.
    pub fn string(&mut self) -> Option<&'t str> {
        self.peek();
        let from = self.at;
        if !self.take(b'"') {
            return None;
        }
        loop {
            let byte = self.byte()?;
            self.at += 1;
            match byte {
                b'"' => return Some(self.between(from, self.at)),
                b'\\' => self.escape()?,
                0..=0x1f => return None,
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let byte = self.byte()?;
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    /// A string, number, `true`, `false` or `null`, as it is written.
    pub fn scalar(&mut self) -> Option<&'t str> {
        if self.peek()? == b'"' {
            return self.string();
        }
        let rest = self.text.get(self.at..)?;
        let length = rest
            .bytes()
            .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')))
            .unwrap_or(rest.len());
        let word = rest.get(..length)?;
        self.at += length;
        (matches!(word, "true" | "false" | "null") || is_number(word)).then_some(word)
    }

    /// Skips one value; None: there is not valid one.
    pub fn value(&mut self, depth: usize) -> Option<&'t str> {
        if depth > MOST_DEPTH {
            return None;
        }
        let first = self.peek()?;
        let from = self.at;
        let (open, close) = match first {
            b'{' => (b'{', b'}'),
            b'[' => (b'[', b']'),
            _ => return self.scalar(),
        };
        self.take(open);
        if !self.take(close) {
            loop {
                if open == b'{' {
                    self.string()?;
                    if !self.take(b':') {
                        return None;
                    }
                }
                self.value(depth + 1)?;
                if !self.take(b',') {
                    break;
                }
            }
            if !self.take(close) {
                return None;
            }
        }
        Some(self.between(from, self.at))
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// The text is one JSON value.
pub fn is_valid(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.value(0).is_some() && scanner.peek().is_none()
}

/// The text is a JSON number: `-1.5e+3`.
pub fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

/// The characters of a string that [`Scanner::string`] found. Half of a surrogate pair becomes
/// U+FFFD.
pub fn decode(raw: &str, out: &mut String) {
    out.clear();
    let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).unwrap_or(raw);
    let mut rest = inner;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        let escaped = chars.next().unwrap_or('\\');
        rest = chars.as_str();
        match escaped {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let (units, after) = unit(rest);
                rest = after;
                let mut all = vec![units];
                if (0xd800..0xdc00).contains(&units)
                    && let Some(more) = rest.strip_prefix("\\u")
                {
                    let (low, after) = unit(more);
                    if (0xdc00..0xe000).contains(&low) {
                        all.push(low);
                        rest = after;
                    }
                }
                out.push_str(&String::from_utf16_lossy(&all));
            }
            other => out.push(other),
        }
    }
    out.push_str(rest);
}

fn unit(text: &str) -> (u16, &str) {
    let (digits, rest) = text.split_at_checked(4).unwrap_or((text, ""));
    (u16::from_str_radix(digits, 16).unwrap_or(0xfffd), rest)
}

/// Writes a string in quotes.
pub fn encode(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                use std::fmt::Write;
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
