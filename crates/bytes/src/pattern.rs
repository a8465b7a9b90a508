//! Name patterns as `psql` and `pg_dump` have them.
//!
//! Source of the rules: PostgreSQL 18 documentation, psql, section "Patterns". Letters are folded
//! to lower case unless they are in double quotes; `*` means any characters, `?` any one; a dot
//! outside of quotes separates the schema from the name; `$` is itself; the other signs of regular
//! expressions keep their meaning outside of quotes and have none inside. A pattern matches a whole
//! name.
//!
//! Folded are the letters of ASCII alone, as `pg_dump` does in a UTF-8 terminal, and as a server
//! does in every encoding of several bytes. A name that is no UTF-8 (of a `SQL_ASCII` database) is
//! matched byte by byte, as the server itself does there: `?` is any one byte, and outside of
//! quotes `\xE9` is the byte of this number.

use regex::bytes::Regex;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    schema: Option<NamePattern>,
    name: NamePattern,
}

/// One name of a pattern.
#[derive(Debug, Clone)]
struct NamePattern {
    text: Regex,
    /// For names that are no UTF-8; None where the expression makes sense of text alone.
    bytes: Option<Regex>,
}

impl NamePattern {
    fn is_match(&self, name: &[u8]) -> bool {
        match &self.bytes {
            Some(bytes) if std::str::from_utf8(name).is_err() => bytes.is_match(name),
            _ => self.text.is_match(name),
        }
    }
}

/// A pattern that cannot be used, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?} {what}")]
pub struct PatternError {
    pattern: String,
    what: String,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    /// `NAME` or `SCHEMA.NAME`.
    ///
    /// # Errors
    /// More than one dot, an open quote, a regular expression that cannot be compiled.
    pub fn relation(text: &str) -> Result<Pattern, PatternError> {
        let mut parts = translate(text)?;
        match (parts.pop(), parts.pop(), parts.is_empty()) {
            (Some(name), schema, true) => Ok(Pattern {
                text: text.into(),
                schema: schema.map(|schema| compile(text, &schema)).transpose()?,
                name: compile(text, &name)?,
            }),
            _ => Err(error(
                text,
                "has too many dots; write SCHEMA.NAME, and put names that contain dots in double quotes",
            )),
        }
    }

    /// The name of a schema, a database or another object that is in no schema.
    ///
    /// # Errors
    /// A dot outside of quotes, an open quote, a regular expression that cannot be compiled.
    pub fn plain(text: &str) -> Result<Pattern, PatternError> {
        match translate(text)?.as_slice() {
            [name] => Ok(Pattern { text: text.into(), schema: None, name: compile(text, name)? }),
            _ => Err(error(text, "has a dot; put names that contain dots in double quotes")),
        }
    }

    /// Several of [`Pattern::relation`].
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn relations(texts: &[String]) -> Result<Vec<Pattern>, PatternError> {
        texts.iter().map(|text| Pattern::relation(text)).collect()
    }

    /// Several of [`Pattern::plain`].
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn plains(texts: &[String]) -> Result<Vec<Pattern>, PatternError> {
        texts.iter().map(|text| Pattern::plain(text)).collect()
    }

    /// A pattern that matches this name alone.
    pub fn literal(name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    /// What was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is a name, as far as signs tell: nothing outside of quotes stands for anything
    /// else.
    pub fn names_one(&self) -> bool {
        let mut quoted = false;
        self.text.chars().all(|sign| {
            quoted ^= sign == '"';
            quoted || !"*?[](){}|+^\\".contains(sign)
        })
    }

    /// Whether a name without a schema matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.name.is_match(name)
    }

    /// Whether a name in a schema matches; a pattern without a schema matches in any.
    pub fn matches_in(&self, schema: &[u8], name: &[u8]) -> bool {
        self.schema.as_ref().is_none_or(|pattern| pattern.is_match(schema)) && self.name.is_match(name)
    }
}

fn error(pattern: &str, what: impl Into<String>) -> PatternError {
    PatternError { pattern: pattern.into(), what: what.into() }
}

/// The regular expressions of the pattern's parts.
fn translate(text: &str) -> Result<Vec<String>, PatternError> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut quoted = false;
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '"' if quoted && signs.peek() == Some(&'"') => {
                signs.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            // What a `$` means to a regular expression, no name needs.
            '$' => part.push_str("\\$"),
            _ if quoted => part.push_str(&regex::escape(sign.encode_utf8(&mut [0; 4]))),
            '*' => part.push_str("(?s-u:.)*"),
            '?' => part.push('.'),
            '.' => parts.push(std::mem::take(&mut part)),
            // An array type's brackets.
            '[' if signs.peek() == Some(&']') => {
                signs.next();
                part.push_str("\\[\\]");
            }
            _ => part.push(sign.to_ascii_lowercase()),
        }
    }
    if quoted {
        return Err(error(text, "has an unclosed double quote"));
    }
    parts.push(part);
    if parts.iter().any(String::is_empty) {
        return Err(error(text, "has an empty name"));
    }
    Ok(parts)
}

fn compile(text: &str, expression: &str) -> Result<NamePattern, PatternError> {
    // A line feed is a character of a name like any other.
    let compiled = Regex::new(&format!("(?s)\\A(?:{expression})\\z"))
        .map_err(|_| error(text, "is not a valid regular expression outside of its quotes"))?;
    Ok(NamePattern { text: compiled, bytes: Regex::new(&format!("(?s-u)\\A(?:{expression})\\z")).ok() })
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn hits(pattern: &str, schema: &str, name: &str) -> bool {
        Pattern::relation(pattern).unwrap().matches_in(schema.as_bytes(), name.as_bytes())
    }

    #[test]
    fn patterns_mean_what_psql_says() {
        assert!(hits("orders", "public", "orders") && hits("ORDERS", "public", "orders"));
        assert!(!hits("\"ORDERS\"", "public", "orders") && hits("\"Orders\"", "s", "Orders"));
        assert!(
            hits("ord*", "public", "orders") && hits("*", "public", "a\nb") && !hits("ord", "p", "orders")
        );
        assert!(hits("?rders", "public", "orders") && hits("?", "p", "é") && !hits("?", "p", "ab"));
        assert!(hits("shop.ord*", "shop", "orders") && !hits("shop.ord*", "public", "orders"));
        assert!(
            hits("*.*", "x", "y") && hits("\"a.b\".\"c*d\"", "a.b", "c*d") && !hits("\"c*d\"", "a", "cxd")
        );
        assert!(hits("t[0-9]+", "p", "t12") && hits("a|b", "p", "b") && !hits("a|b", "p", "ab"));
        // Beyond ASCII no letter is folded: neither the server nor pg_dump does so.
        assert!(hits("ÉTÉ", "p", "ÉtÉ") && !hits("ÉTÉ", "p", "été"));
        assert!(hits("a$b", "p", "a$b") && hits("\"a\"\"b\"", "p", "a\"b") && hits("x[]", "p", "x[]"));
    }

    #[test]
    fn names_are_told_from_patterns() {
        let names = |text: &str| Pattern::plain(text).unwrap().names_one();
        assert!(names("shop") && names("\"a*b\"") && !names("shop*") && !names("a|b") && !names("\"x\"?"));
    }

    #[test]
    fn bytes_that_are_no_text_match_stars() {
        let matches = |pattern: &str, name: &[u8]| Pattern::relation(pattern).unwrap().matches_in(b"s", name);
        assert!(
            matches("t*", b"t\xff\xfe") && matches("t?\\xfe", b"t\xff\xfe") && !matches("t?", b"t\xff\xfe")
        );
        assert!(matches("latin \\xE9", b"latin \xe9") && !matches("latin \\xE9", b"latin \xe8"));
        assert!(matches("\"é\"\\xE9", b"\xc3\xa9\xe9"));
        // In text it is the character of that number.
        assert!(matches("caf\\xE9", "café".as_bytes()) && !matches("\\xE9*", "鏡".as_bytes()));
        assert!(matches("[éè]*", "école".as_bytes()));
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for bad in ["", "a.b.c", "\"a", "a.", "(", ".a"] {
            assert!(Pattern::relation(bad).is_err(), "{bad:?}");
        }
        assert!(Pattern::plain("a.b").is_err() && Pattern::plain("\"a.b\"").unwrap().matches(b"a.b"));
        assert!(Pattern::plain(&Pattern::literal("we\"ird *.")).unwrap().matches(b"we\"ird *."));
    }
}
