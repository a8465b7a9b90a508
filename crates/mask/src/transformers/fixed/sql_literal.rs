//! Constants as `pg_get_expr` writes them: `'new'::text`, `0`, `(-1)`, `'{}'::text[]`,
//! `NULL::date`.

/// The value of a constant: Some(None) is NULL; None: it is no constant.
pub(super) fn parse(sql: &str) -> Option<Option<String>> {
    let sql = sql.trim();
    let (value, rest) = if let Some(inner) = sql.strip_prefix('(') {
        let end = closing(inner)?;
        let (inner, rest) = inner.split_at_checked(end)?;
        (parse(inner)?, rest.strip_prefix(')')?)
    } else if let Some(quoted) = sql.strip_prefix('\'') {
        let (text, rest) = string(quoted, false)?;
        (Some(text), rest)
    } else if let Some(quoted) = sql.strip_prefix("E'") {
        let (text, rest) = string(quoted, true)?;
        (Some(text), rest)
    } else {
        let end = sql.find("::").unwrap_or(sql.len());
        let (word, rest) = sql.split_at_checked(end)?;
        (bare(word.trim())?, rest)
    };
    is_casts(rest).then_some(value)
}

fn bare(word: &str) -> Option<Option<String>> {
    if word.eq_ignore_ascii_case("null") {
        return Some(None);
    }
    if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") {
        return Some(Some(word.to_ascii_lowercase()));
    }
    if word.replace(' ', "").eq_ignore_ascii_case("array[]") {
        return Some(Some("{}".to_string()));
    }
    let number = word.strip_prefix('-').unwrap_or(word);
    let begins = number.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let is_number = begins && number.parse::<f64>().is_ok();
    is_number.then(|| Some(word.to_string()))
}

/// A string after its first quote, and what is behind it.
fn string(quoted: &str, with_escapes: bool) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '\'' => match chars.as_str().strip_prefix('\'') {
                Some(_) => {
                    chars.next();
                    text.push('\'');
                }
                None => return Some((text, chars.as_str())),
            },
            // The server writes E'…' where a string has backslashes, and only these are escaped.
            '\\' if with_escapes => match chars.next()? {
                '\\' => text.push('\\'),
                _ => return None,
            },
            c => text.push(c),
        }
    }
}

/// Where the parenthesis that is open already is closed, outside of strings.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut inside) = (0usize, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\'' => inside = !inside,
            b'(' if !inside => depth += 1,
            b')' if !inside && depth == 0 => return Some(at),
            b')' if !inside => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Nothing but casts to types: `::character varying(20)[]`.
fn is_casts(rest: &str) -> bool {
    let rest = rest.trim();
    if rest.is_empty() {
        return true;
    }
    let Some(types) = rest.strip_prefix("::") else { return false };
    let is_of_type =
        |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '"' | '.' | '(' | ')' | ',' | '[' | ']');
    types.split("::").all(|name| {
        let name = name.trim();
        name.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '"') && name.chars().all(is_of_type)
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn constants_are_read() {
        let is = |sql: &str, value: &str| assert_eq!(parse(sql), Some(Some(value.to_string())), "{sql}");
        is("'new'::text", "new");
        is("'it''s'::character varying(20)", "it's");
        is("0", "0");
        is("(-1)", "-1");
        is("'-1'::integer", "-1");
        is("1.50", "1.50");
        is("true", "true");
        is("('a)'::character varying)::text", "a)");
        is("'{}'::text[]", "{}");
        is("ARRAY[]::integer[]", "{}");
        is("E'a\\\\b'::text", "a\\b");
        is("'x'::public.\"My Type\"", "x");
        is("(0)::numeric(10,2)", "0");
        assert_eq!(parse("NULL::character varying"), Some(None));
    }

    #[test]
    fn expressions_are_not() {
        for sql in [
            "now()",
            "CURRENT_TIMESTAMP",
            "nextval('a_seq'::regclass)",
            "1 + 1",
            "'a'::text || 'b'::text",
            "ARRAY['a'::text]",
            "'a",
            "('a'::text",
            "lower('A'::text)",
            "",
            "inf",
            "'a'::text + 1",
        ] {
            assert_eq!(parse(sql), None, "{sql}");
        }
    }
}
