//! Quoting identifiers and literals.

/// Quotes an identifier where it must be, as the server's `quote_ident` does: bare when it is
/// lower-case letters, digits and underscores, does not begin with a digit and is no keyword that
/// would need quotes.
pub fn quote_ident(name: &str) -> String {
    let bytes = quote_ident_bytes(name.as_bytes());
    // Only quotes were added to valid text.
    String::from_utf8(bytes).unwrap_or_default()
}

/// As [`quote_ident`], for a name in any server encoding.
pub fn quote_ident_bytes(name: &[u8]) -> Vec<u8> {
    let safe_start = name.first().is_some_and(|b| b.is_ascii_lowercase() || *b == b'_');
    let safe = safe_start
        && name.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_')
        && !needs_quotes(name);
    if safe {
        return name.to_vec();
    }
    let mut out = Vec::with_capacity(name.len() + 2);
    out.push(b'"');
    for &b in name {
        if b == b'"' {
            out.push(b'"');
        }
        out.push(b);
    }
    out.push(b'"');
    out
}

/// Quotes a string literal for any setting of `standard_conforming_strings`: a value with a
/// backslash becomes `E'…'` with doubled backslashes, as libpq's and the server's `quote_literal`
/// do.
pub fn quote_literal(value: &str) -> String {
    String::from_utf8(quote_literal_bytes(value.as_bytes())).unwrap_or_default()
}

/// As [`quote_literal`], for a value in any server encoding.
pub fn quote_literal_bytes(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 3);
    if value.contains(&b'\\') {
        out.push(b'E');
    }
    out.push(b'\'');
    for &b in value {
        if b == b'\'' || b == b'\\' {
            out.push(b);
        }
        out.push(b);
    }
    out.push(b'\'');
    out
}

/// The name is a keyword of another category than "unreserved" in some supported major.
fn needs_quotes(name: &[u8]) -> bool {
    super::keywords::KEYWORDS.binary_search(&name).is_ok()
}
