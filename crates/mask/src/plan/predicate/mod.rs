//! Predicates of partial indexes, as the server writes them, in the language of `when`.
//!
//! The server writes casts, `= ANY (ARRAY[…])` for `in` and `~~` for `like`; the language of `when`
//! has neither. Everything that it understands in another way than the server does is left out, so
//! that a predicate that compiles is the server's own: case that depends on neighbours, collations
//! that call different texts equal, patterns, casts that round. A predicate that does not compile
//! gives its key no proof, and the rules no error.

use std::collections::BTreeSet;

use pgark_bytes::sql::{Kind as What, Token, tokenize};

use crate::canonical::{Fold, is_deterministic};
use crate::catalog::{Catalog, TableFacts};
use crate::condition::Condition;
use crate::finding::Place;
use crate::types::{Kind, Target};

/// A table's columns as predicates see them.
#[derive(Clone, Copy)]
pub(super) struct Columns<'c> {
    pub catalog: &'c Catalog,
    pub table: &'c TableFacts,
    /// Names and types, in the order of COPY.
    pub copied: &'c [(String, Target)],
    /// Whether the server changes a fiction of the column when it reads it (rounds it, say), or
    /// knows it under several texts.
    pub is_changed: &'c dyn Fn(usize) -> bool,
}

/// A predicate that reads the plain values of a row, and the columns that it reads. None: it is not
/// one that means the same here.
pub(super) fn compile(sql: &str, columns: Columns<'_>) -> Option<(Condition, BTreeSet<usize>)> {
    let tokens = tokenize(sql.as_bytes()).filter(|token| !token.is_blank()).collect();
    let mut translation = Translation { tokens, at: 0, columns, out: String::new(), used: Used::default() };
    translation.run()?;
    let Translation { out, used, .. } = translation;
    let means_the_same = used.values.iter().all(|column| used.allow(columns, *column));
    let is_counted = !used.length || columns.catalog.encoding != "SQL_ASCII";
    if !means_the_same || !is_counted {
        return None;
    }
    let mut reads = BTreeSet::new();
    // What is wrong with it is told to nobody: the key has no proof then.
    let condition = Condition::compile(&out, Place::default(), columns.copied, &mut Vec::new(), &mut reads)?;
    Some((condition, reads.into_iter().map(|read| read.column).collect()))
}

/// The columns of a table that SQL names. A type of the same name is not taken for a column.
pub(super) fn columns_in<'t>(sql: &str, table: &'t TableFacts) -> Vec<&'t str> {
    let tokens: Vec<Token<'_>> = tokenize(sql.as_bytes()).filter(|token| !token.is_blank()).collect();
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_type = at > 0 && tokens.get(at - 1).is_some_and(|before| before.is_symbol(b':'));
        let Some(name) = token.ident().filter(|_| !is_type) else { continue };
        found.extend(table.columns.iter().find(|column| column.name.as_bytes() == name));
    }
    found.into_iter().map(|column| column.name.as_str()).collect()
}

/// The columns whose `IS NOT NULL` is all that a predicate asks for.
pub(super) fn not_null_of<'t>(sql: &str, table: &'t TableFacts) -> Option<Vec<&'t str>> {
    let is_bracket = |token: &Token<'_>| token.is_symbol(b'(') || token.is_symbol(b')');
    let mut tokens =
        tokenize(sql.as_bytes()).filter(|token| !token.is_blank() && !is_bracket(token)).peekable();
    let mut found = Vec::new();
    loop {
        let name = tokens.next()?.ident()?;
        for word in ["is", "not", "null"] {
            tokens.next().filter(|token| token.is_word(word))?;
        }
        found.push(table.columns.iter().find(|column| column.name.as_bytes() == name)?.name.as_str());
        match tokens.next() {
            None => return Some(found),
            Some(token) => token.is_word("and").then_some(())?,
        }
    }
}

/// What a predicate has that may mean something else on the server.
#[derive(Default)]
struct Used {
    /// Columns whose values count, and not only whether they are NULL.
    values: BTreeSet<usize>,
    lower: bool,
    length: bool,
    like: bool,
}

impl Used {
    /// Whether the values of a column compare here as on the server.
    fn allow(&self, columns: Columns<'_>, column: usize) -> bool {
        let Some((name, target)) = columns.copied.get(column) else { return false };
        if (columns.is_changed)(column) {
            return false;
        }
        let collation = columns.table.column(name).and_then(|facts| facts.collation);
        // The language of `when` maps as Unicode's simple tables do. citext has the case of the
        // database.
        let maps_simply = |collation| Fold::of_collation(columns.catalog, collation) == Some(Fold::Simple);
        match target.kind {
            Kind::Citext => maps_simply(None),
            // The server pads `char(n)` with blanks before `like` sees it.
            Kind::Char(_) if self.like => false,
            Kind::Text(_) | Kind::Char(_) | Kind::Name => {
                is_deterministic(columns.catalog, collation) && (!self.lower || maps_simply(collation))
            }
            _ => true,
        }
    }
}

struct Translation<'s> {
    tokens: Vec<Token<'s>>,
    at: usize,
    columns: Columns<'s>,
    /// The condition so far.
    out: String,
    used: Used,
}

impl<'s> Translation<'s> {
    fn run(&mut self) -> Option<()> {
        while let Some(token) = self.token(0) {
            match token.kind {
                What::String | What::Number => self.constant(false)?,
                What::Symbol(b'(') if self.is_cast_of(What::Number) => self.constant(false)?,
                What::Symbol(b'(') => match self.cast_column() {
                    Some(column) => self.value_of(column)?,
                    None => self.take("("),
                },
                // A cast of more than a column or number.
                What::Symbol(b')') if self.is_symbol(1, b':') => return None,
                What::Symbol(b')') => self.take(")"),
                What::Symbol(b',') => self.take(","),
                What::Symbol(_) => self.operator()?,
                What::Word | What::QuotedIdent => self.word(token)?,
                _ => return None,
            }
        }
        Some(())
    }

    fn token(&self, ahead: usize) -> Option<Token<'s>> {
        self.tokens.get(self.at + ahead).copied()
    }

    fn is_symbol(&self, ahead: usize, symbol: u8) -> bool {
        self.token(ahead).is_some_and(|token| token.is_symbol(symbol))
    }

    fn is_word(&self, ahead: usize, word: &str) -> bool {
        self.token(ahead).is_some_and(|token| token.is_word(word))
    }

    /// Writes a part of the condition.
    fn write(&mut self, part: &str) {
        self.out.push(' ');
        self.out.push_str(part);
    }

    /// Writes a part in place of the next token.
    fn take(&mut self, part: &str) {
        self.at += 1;
        self.write(part);
    }

    fn expect(&mut self, symbol: u8) -> Option<()> {
        let is_next = self.is_symbol(0, symbol);
        self.at += usize::from(is_next);
        is_next.then_some(())
    }

    fn expect_word(&mut self, word: &str) -> Option<()> {
        let is_next = self.is_word(0, word);
        self.at += usize::from(is_next);
        is_next.then_some(())
    }

    /// `(1)::` and `(a)::`: one token in parentheses, and a cast of it.
    fn is_cast_of(&self, kind: What) -> bool {
        self.token(1).is_some_and(|token| token.kind == kind)
            && self.is_symbol(2, b')')
            && self.is_symbol(3, b':')
    }

    /// The bare name of the type behind `::`. None: it is not one that is written simply.
    fn cast(&mut self) -> Option<String> {
        self.expect(b':')?;
        self.expect(b':')?;
        let mut name = self.ident()?;
        if self.is_symbol(0, b'.') {
            self.at += 1;
            name = self.ident()?;
        }
        for more in ["varying", "precision", "with", "without", "time", "zone"] {
            if self.is_word(0, more) {
                self.at += 1;
                name = format!("{name} {more}");
            }
        }
        // A modifier cuts or rounds, and arrays are no constants here.
        (!self.is_symbol(0, b'(') && !self.is_symbol(0, b'[')).then_some(name)
    }

    fn ident(&mut self) -> Option<String> {
        let name = String::from_utf8(self.token(0)?.ident()?).ok()?;
        self.at += 1;
        Some(name)
    }

    /// A literal: `'a'::text`, `1.5`, `(0)::numeric`.
    fn constant(&mut self, in_list: bool) -> Option<()> {
        let is_in_brackets = self.is_symbol(0, b'(');
        self.at += usize::from(is_in_brackets);
        let token = self.token(0)?;
        self.at += 1;
        if is_in_brackets {
            self.expect(b')')?;
        }
        let text = std::str::from_utf8(token.text).ok()?;
        match token.kind {
            What::Number if is_in_brackets => {
                let to = self.cast()?;
                self.number(text, &to, in_list)
            }
            What::Number => {
                self.write(text);
                Some(())
            }
            // Texts with backslash escapes begin with an E.
            What::String => {
                let value = text.strip_prefix('\'')?.strip_suffix('\'')?;
                let to = self.cast()?;
                self.text(value, &to, in_list)
            }
            _ => None,
        }
    }

    /// A number that is cast to a type.
    fn number(&mut self, text: &str, to: &str, in_list: bool) -> Option<()> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let is_number = digits.starts_with(|sign: char| sign.is_ascii_digit() || sign == '.')
            && digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
        let is_exact = match to {
            "smallint" | "integer" | "bigint" => is_whole,
            "numeric" => is_number,
            // In a list, the language of `when` takes numbers for `real` where the column is.
            "double precision" => is_number && !in_list,
            _ => false,
        };
        is_exact.then(|| self.write(text))
    }

    /// A text in quotes that is cast to a type. `value` has its quotes doubled.
    fn text(&mut self, value: &str, to: &str, in_list: bool) -> Option<()> {
        let typed = |name: &str| format!("{name} '{value}'");
        let written = match to {
            "text" | "character varying" | "bpchar" | "name" | "citext" | "uuid" => typed(""),
            "date" => typed("date"),
            "timestamp without time zone" => typed("timestamp"),
            "timestamp with time zone" => typed("timestamptz"),
            "time without time zone" => typed("time"),
            _ if self.columns.catalog.types.iter().any(|known| known.kind == 'e' && known.name == to) => {
                typed("")
            }
            _ => return self.number(value, to, in_list),
        };
        self.write(&written);
        Some(())
    }

    /// The column in `(a)::text` and other casts that change nothing; else nothing is taken.
    fn cast_column(&mut self) -> Option<usize> {
        if !self.is_cast_of(What::Word) && !self.is_cast_of(What::QuotedIdent) {
            return None;
        }
        let from = self.at;
        self.at += 3;
        let column = self.tokens.get(from + 1).and_then(|token| self.number_of(token));
        let to = self.cast();
        let kept = column.zip(to).filter(|(column, to)| {
            let kind = self.columns.copied.get(*column).map(|(_, target)| &target.kind);
            match kind {
                Some(Kind::Text(_) | Kind::Name) => matches!(to.as_str(), "text" | "character varying"),
                Some(Kind::Int(2)) => matches!(to.as_str(), "integer" | "bigint" | "numeric"),
                Some(Kind::Int(4)) => matches!(to.as_str(), "bigint" | "numeric"),
                Some(Kind::Int(_)) => to == "numeric",
                _ => false,
            }
        });
        if kept.is_none() {
            self.at = from;
        }
        kept.map(|(column, _)| column)
    }

    fn number_of(&self, token: &Token<'_>) -> Option<usize> {
        let name = token.ident()?;
        self.columns.copied.iter().position(|(known, _)| known.as_bytes() == name)
    }

    /// Writes a column whose value counts.
    fn value_of(&mut self, column: usize) -> Option<()> {
        self.used.values.insert(column);
        self.column(column)
    }

    fn column(&mut self, column: usize) -> Option<()> {
        let (name, _) = self.columns.copied.get(column)?;
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        self.write(&quoted);
        Some(())
    }

    fn word(&mut self, token: Token<'_>) -> Option<()> {
        let is_call = self.is_symbol(1, b'(');
        if token.kind == What::Word && !is_call {
            for word in ["null", "true", "false", "is"] {
                if token.is_word(word) {
                    self.take(word);
                    return Some(());
                }
            }
            let follows_is = self.at > 0
                && self.tokens.get(self.at - 1).is_some_and(|last| last.is_word("is") || last.is_word("not"));
            if token.is_word("unknown") && follows_is {
                self.take("unknown");
                return Some(());
            }
        }
        if token.kind == What::Word {
            for word in ["and", "or", "not"] {
                if token.is_word(word) {
                    self.take(word);
                    return Some(());
                }
            }
        }
        if token.kind == What::Word && is_call {
            return self.call(token);
        }
        let column = self.number_of(&token).filter(|_| !is_call)?;
        self.at += 1;
        let is_null = self.is_word(0, "is")
            && (self.is_word(1, "null") || (self.is_word(1, "not") && self.is_word(2, "null")));
        if is_null { self.column(column) } else { self.value_of(column) }
    }

    fn call(&mut self, token: Token<'_>) -> Option<()> {
        for name in ["lower", "length", "coalesce"] {
            if token.is_word(name) {
                self.used.lower |= name == "lower";
                self.used.length |= name == "length";
                self.take(name);
                return Some(());
            }
        }
        None
    }

    fn operator(&mut self) -> Option<()> {
        let mut sign = String::new();
        let mut end = None;
        while let Some(token) = self.token(0)
            && let What::Symbol(symbol @ (b'<' | b'>' | b'=' | b'!' | b'~' | b'*')) = token.kind
            && end.is_none_or(|end| end == token.start)
        {
            sign.push(char::from(symbol));
            end = Some(token.end());
            self.at += 1;
        }
        match sign.as_str() {
            "=" if self.is_word(0, "any") => self.list("in"),
            "<>" if self.is_word(0, "all") => self.list("not in"),
            "=" | "<>" | "<" | "<=" | ">" | ">=" => {
                self.write(&sign);
                Some(())
            }
            "~~" | "!~~" => {
                self.used.like = true;
                self.write(if sign == "~~" { "like" } else { "not like" });
                Some(())
            }
            _ => None,
        }
    }

    /// `ANY (ARRAY['a'::text, 'b'::text])`, and the same with a cast to `text[]`.
    fn list(&mut self, operator: &str) -> Option<()> {
        self.at += 1;
        self.expect(b'(')?;
        let is_cast = self.expect(b'(').is_some();
        self.expect_word("array")?;
        self.expect(b'[')?;
        self.write(operator);
        self.write("(");
        loop {
            self.constant(true)?;
            if self.expect(b',').is_none() {
                break;
            }
            self.write(",");
        }
        self.expect(b']')?;
        if is_cast {
            self.expect(b')')?;
            self.expect(b':')?;
            self.expect(b':')?;
            self.expect_word("text")?;
            self.expect(b'[')?;
            self.expect(b']')?;
        }
        self.take_closing()
    }

    fn take_closing(&mut self) -> Option<()> {
        self.expect(b')')?;
        self.write(")");
        Some(())
    }
}

#[cfg(test)]
mod tests;
