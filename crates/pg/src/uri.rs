//! `postgresql://user:password@host:port,host/dbname?keyword=value` (PostgreSQL documentation,
//! section 32.1.1.2).

use crate::ConnInfoError;

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

pub(crate) fn is_uri(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, ConnInfoError> {
    let mut rest = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    let mut pairs = Vec::new();
    // The first `@` before any slash ends user and password; whatever else they hold is theirs.
    if let Some(end) = rest.find(['@', '/']).filter(|at| rest.as_bytes().get(*at) == Some(&b'@')) {
        let (user_info, after) = rest.split_at(end);
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        push(&mut pairs, "user", user)?;
        push(&mut pairs, "password", password)?;
        rest = after.get(1..).unwrap_or_default();
    }
    rest = parse_hosts(rest, &mut pairs)?;
    if let Some(path) = rest.strip_prefix('/') {
        let (dbname, query) = path.split_at(path.find('?').unwrap_or(path.len()));
        push(&mut pairs, "dbname", dbname)?;
        rest = query;
    }
    parse_query(rest.strip_prefix('?').unwrap_or_default(), &mut pairs)?;
    Ok(pairs)
}

/// `keyword=value&keyword=value`; one `&` after the last pair is nothing.
fn parse_query(query: &str, pairs: &mut Vec<(String, String)>) -> Result<(), ConnInfoError> {
    let wrong = |what: &str, pair: &str| {
        Err(ConnInfoError::Syntax(format!(
            "{what} key/value separator \"=\" in URI query parameter: \"{pair}\""
        )))
    };
    let mut rest = query;
    while !rest.is_empty() {
        let pair;
        (pair, rest) = rest.split_once('&').unwrap_or((rest, ""));
        let Some((keyword, value)) = pair.split_once('=') else { return wrong("missing", pair) };
        if value.contains('=') {
            return wrong("extra", pair);
        }
        match (decode(keyword)?, decode(value)?) {
            // As JDBC writes it.
            (keyword, value) if keyword == "ssl" && value == "true" => {
                pairs.push(("sslmode".into(), "require".into()));
            }
            pair => pairs.push(pair),
        }
    }
    Ok(())
}

/// `host:port,host:port`, up to the database or the query; gives what follows.
fn parse_hosts<'t>(text: &'t str, pairs: &mut Vec<(String, String)>) -> Result<&'t str, ConnInfoError> {
    let (mut hosts, mut ports) = (String::new(), String::new());
    let mut rest = text;
    loop {
        let host;
        if let Some(v6) = rest.strip_prefix('[') {
            let Some((inside, after)) = v6.split_once(']') else {
                return Err(ConnInfoError::Syntax(format!(
                    "end of string reached when looking for matching \"]\" in IPv6 host address in URI: \"{rest}\""
                )));
            };
            if inside.is_empty() {
                return Err(ConnInfoError::Syntax("IPv6 host address may not be empty in URI".into()));
            }
            if !after.is_empty() && !after.starts_with([':', '/', '?', ',']) {
                return Err(ConnInfoError::Syntax(format!(
                    "unexpected \"{after}\" after an IPv6 address in URI (expected \":\" or \"/\")"
                )));
            }
            (host, rest) = (inside, after);
        } else {
            (host, rest) = rest.split_at(rest.find([':', '/', '?', ',']).unwrap_or(rest.len()));
        }
        hosts.push_str(host);
        if let Some(after) = rest.strip_prefix(':') {
            let (port, after) = after.split_at(after.find(['/', '?', ',']).unwrap_or(after.len()));
            ports.push_str(port);
            rest = after;
        }
        let Some(next) = rest.strip_prefix(',') else { break };
        hosts.push(',');
        ports.push(',');
        rest = next;
    }
    push(pairs, "host", &hosts)?;
    push(pairs, "port", &ports)?;
    Ok(rest)
}

fn push(pairs: &mut Vec<(String, String)>, keyword: &str, value: &str) -> Result<(), ConnInfoError> {
    if !value.is_empty() {
        pairs.push((keyword.to_string(), decode(value)?));
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, ConnInfoError> {
    let bad = || ConnInfoError::Syntax(format!("invalid percent-encoded token: \"{text}\""));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        if *byte != b'%' {
            bytes.push(*byte);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok()).ok_or_else(bad)?;
        match u8::from_str_radix(digits, 16) {
            Ok(0) => {
                return Err(ConnInfoError::Syntax(format!(
                    "forbidden value %00 in percent-encoded value: \"{text}\""
                )));
            }
            Ok(byte) if !digits.starts_with('+') => bytes.push(byte),
            _ => return Err(bad()),
        }
        rest = after.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let mut pairs = parse(text).unwrap();
        pairs.sort();
        pairs
    }

    fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(keyword, value)| (keyword.to_string(), value.to_string())).collect()
    }

    #[test]
    fn uris_come_apart() {
        assert_eq!(pairs("postgresql://"), expected(&[]));
        assert_eq!(
            pairs("postgres://me:p%40ss@a:1,[::1]:2/my%20db?sslmode=require"),
            expected(&[
                ("dbname", "my db"),
                ("host", "a,::1"),
                ("password", "p@ss"),
                ("port", "1,2"),
                ("sslmode", "require"),
                ("user", "me")
            ])
        );
        assert_eq!(pairs("postgresql://%2Ftmp/d"), expected(&[("dbname", "d"), ("host", "/tmp")]));
        assert_eq!(
            pairs("postgresql:///d?host=/tmp&port=7"),
            expected(&[("dbname", "d"), ("host", "/tmp"), ("port", "7")])
        );
        for bad in [
            "postgresql://[::1",
            "postgresql://a?b",
            "postgresql://%zz",
            "postgresql://a%00b",
            "postgresql://[::1]x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
