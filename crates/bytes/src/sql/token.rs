//! Tokens and statements of SQL text, on bytes.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An unquoted identifier or keyword.
    Word,
    /// `"…"`.
    QuotedIdent,
    /// `'…'`, with any prefix (`E`, `B`, `X`, `N`, `U&`).
    String,
    /// `$tag$…$tag$`.
    DollarString,
    /// A number.
    Number,
    /// `$1`.
    Parameter,
    /// One character of an operator or of punctuation.
    Symbol(u8),
    /// `-- …` or `/* … */`.
    Comment,
    /// White space.
    Space,
}

/// A token: its kind and where its bytes lie. Tokens cover the text without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Position of its first byte in the text.
    pub start: usize,
    /// Its bytes, quotes included.
    pub text: &'a [u8],
}

impl<'a> Token<'a> {
    /// The identifier that this token names: a word folded to lower case, a quoted identifier
    /// without its quotes. `None` for anything else.
    pub fn ident(&self) -> Option<Vec<u8>> {
        match self.kind {
            Kind::Word => Some(self.text.to_ascii_lowercase()),
            Kind::QuotedIdent => {
                let inner = self.text.strip_prefix(b"\"")?;
                let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
                let mut out = Vec::with_capacity(inner.len());
                let mut bytes = inner.iter().copied();
                while let Some(b) = bytes.next() {
                    out.push(b);
                    if b == b'"' {
                        bytes.next();
                    }
                }
                Some(out)
            }
            _ => None,
        }
    }

    /// The token is this keyword, in any case, unquoted.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word.as_bytes())
    }

    /// The token is this character.
    pub fn is_symbol(&self, symbol: u8) -> bool {
        self.kind == Kind::Symbol(symbol)
    }

    /// Position behind its last byte.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// The token is white space or a comment.
    pub fn is_blank(&self) -> bool {
        matches!(self.kind, Kind::Space | Kind::Comment)
    }
}

/// The tokens of `sql`, white space and comments included, so that their texts joined are `sql`
/// again.
///
/// Plain strings are read as `standard_conforming_strings = on` reads them (`pg_dump` writes its
/// definitions so, and sets it). Text that ends inside a string or a comment makes one last token
/// of the rest.
pub fn tokenize(sql: &[u8]) -> Tokens<'_> {
    Tokens { sql, at: 0 }
}

/// Iterator of [`tokenize`].
#[derive(Debug, Clone)]
pub struct Tokens<'a> {
    sql: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.sql.get(self.at..)?;
        let (kind, length) = scan(rest)?;
        let text = rest.get(..length.max(1))?;
        let token = Token { kind, start: self.at, text };
        self.at += text.len();
        Some(token)
    }
}

fn is_ident_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_' || b >= 0x80
}

fn is_ident(b: u8) -> bool {
    is_ident_start(b) || b.is_ascii_digit() || b == b'$'
}

fn run(rest: &[u8], from: usize, test: impl Fn(u8) -> bool) -> usize {
    rest.iter().skip(from).position(|&b| !test(b)).map_or(rest.len(), |n| from + n)
}

/// Kind and length of the first token; `None` at the end.
fn scan(rest: &[u8]) -> Option<(Kind, usize)> {
    let first = *rest.first()?;
    let second = rest.get(1).copied();
    Some(match first {
        b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => {
            (Kind::Space, run(rest, 1, |b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)))
        }
        b'-' if second == Some(b'-') => (Kind::Comment, run(rest, 2, |b| b != b'\n' && b != b'\r')),
        b'/' if second == Some(b'*') => (Kind::Comment, block_comment(rest)),
        b'\'' => (Kind::String, quoted(rest, 1, b'\'', false)),
        b'"' => (Kind::QuotedIdent, quoted(rest, 1, b'"', false)),
        b'e' | b'E' if second == Some(b'\'') => (Kind::String, quoted(rest, 2, b'\'', true)),
        b'b' | b'B' | b'x' | b'X' | b'n' | b'N' if second == Some(b'\'') => {
            (Kind::String, quoted(rest, 2, b'\'', false))
        }
        b'u' | b'U' if second == Some(b'&') && rest.get(2) == Some(&b'\'') => {
            (Kind::String, quoted(rest, 3, b'\'', false))
        }
        b'$' if second.is_some_and(|b| b.is_ascii_digit()) => {
            (Kind::Parameter, run(rest, 1, |b| b.is_ascii_digit()))
        }
        b'$' => match dollar_string(rest) {
            Some(length) => (Kind::DollarString, length),
            None => (Kind::Symbol(b'$'), 1),
        },
        b if is_ident_start(b) => (Kind::Word, run(rest, 1, is_ident)),
        b if b.is_ascii_digit() || (b == b'.' && second.is_some_and(|s| s.is_ascii_digit())) => {
            (Kind::Number, number(rest))
        }
        b => (Kind::Symbol(b), 1),
    })
}

/// End of a quoted token whose contents begin at `from`. A doubled quote stands for itself.
fn quoted(rest: &[u8], from: usize, quote: u8, backslashes: bool) -> usize {
    let mut at = from;
    while let Some(&b) = rest.get(at) {
        if b == quote {
            if rest.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 1;
        } else if b == b'\\' && backslashes {
            at += 1;
        }
        at += 1;
    }
    rest.len()
}

/// Block comments nest.
fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(pair) = rest.get(at..at + 2) {
        if pair == b"/*" {
            depth += 1;
            at += 2;
        } else if pair == b"*/" {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of `$tag$ … $tag$`; `None` when the text does not begin a dollar-quoted string.
fn dollar_string(rest: &[u8]) -> Option<usize> {
    let tag_end = run(rest, 1, |b| is_ident(b) && b != b'$');
    if rest.get(tag_end) != Some(&b'$') {
        return None;
    }
    let body = tag_end + 1;
    let delimiter = rest.get(..body)?;
    let found = memchr::memmem::find(rest.get(body..)?, delimiter);
    Some(found.map_or(rest.len(), |n| body + n + delimiter.len()))
}

fn number(rest: &[u8]) -> usize {
    let mut at = run(rest, 0, |b| b.is_ascii_digit());
    if rest.get(at) == Some(&b'.') {
        at = run(rest, at + 1, |b| b.is_ascii_digit());
    }
    if matches!(rest.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(rest.get(at + 1), Some(b'+' | b'-')));
        if rest.get(at + 1 + sign).is_some_and(u8::is_ascii_digit) {
            at = run(rest, at + 1 + sign, |b| b.is_ascii_digit());
        }
    }
    at.max(1)
}

/// The statements of `sql`: cut behind every `;` outside strings, comments, parentheses and the
/// bodies of SQL-standard routines (`BEGIN ATOMIC … END`). Each keeps its `;` and loses white space
/// and comments around it; those that hold nothing else are left out.
pub fn split(sql: &[u8]) -> Vec<&[u8]> {
    let mut statements = Vec::new();
    let mut start = None;
    let mut end = 0;
    let mut depth = 0usize;
    let mut blocks = Blocks::default();
    for token in tokenize(sql) {
        if token.is_blank() {
            continue;
        }
        let terminator = token.is_symbol(b';') && depth == 0 && blocks.depth == 0;
        if start.is_none() && token.is_symbol(b';') {
            continue;
        }
        let first = *start.get_or_insert(token.start);
        end = token.end();
        match token.kind {
            Kind::Symbol(b'(') => depth += 1,
            Kind::Symbol(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        blocks.see(&token);
        if terminator {
            statements.extend(sql.get(first..end));
            (start, depth, blocks) = (None, 0, Blocks::default());
        }
    }
    if let Some(first) = start {
        statements.extend(sql.get(first..end));
    }
    statements
}

/// Nesting of `BEGIN ATOMIC … END` and, inside it, of `CASE … END`.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pub(super) depth: usize,
    after_begin: bool,
    creates: bool,
    seen: usize,
}

impl Blocks {
    pub(super) fn see(&mut self, token: &Token<'_>) {
        self.seen += 1;
        if self.seen == 1 {
            self.creates = token.is_word("create");
        }
        if !self.creates {
            return;
        }
        if self.depth == 0 {
            if self.after_begin && token.is_word("atomic") {
                self.depth = 1;
            }
            self.after_begin = token.is_word("begin");
        } else if token.is_word("case") {
            self.depth += 1;
        } else if token.is_word("end") {
            self.depth -= 1;
        }
    }
}
