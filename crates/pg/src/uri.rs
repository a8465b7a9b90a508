//! `postgresql://user:password@host:port,host/dbname?keyword=value` (PostgreSQL documentation, section 32.1.1.2).

use crate::ConnInfoError;

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

pub(crate) fn is_uri(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, ConnInfoError> {
    let rest = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    let mut pairs = Vec::new();
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A slash in a user's name or password is percent-encoded; the first bare one begins the database.
    let (authority, dbname) = before_query.split_once('/').unwrap_or((before_query, ""));
    let hosts = match authority.rsplit_once('@') {
        Some((user_info, hosts)) => {
            let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
            push(&mut pairs, "user", user)?;
            push(&mut pairs, "password", password)?;
            hosts
        }
        None => authority,
    };
    parse_hosts(hosts, &mut pairs)?;
    push(&mut pairs, "dbname", dbname)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((keyword, value)) = pair.split_once('=') else {
            return Err(ConnInfoError::Syntax(format!(
                "missing key/value separator \"=\" in URI query parameter: \"{pair}\""
            )));
        };
        match (decode(keyword)?.as_str(), decode(value)?) {
            ("ssl", value) if value == "true" => pairs.push(("sslmode".into(), "require".into())),
            (keyword, value) => {
                // A parameter of the query wins over its place in the URI.
                pairs.retain(|(known, _)| known != keyword);
                pairs.push((keyword.to_string(), value));
            }
        }
    }
    Ok(pairs)
}

fn parse_hosts(hosts: &str, pairs: &mut Vec<(String, String)>) -> Result<(), ConnInfoError> {
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = match host.strip_prefix('[') {
            Some(v6) => {
                let (name, rest) = v6.split_once(']').ok_or_else(|| {
                    ConnInfoError::Syntax(
                        "end of string reached when looking for matching \"]\" in IPv6 host address".into(),
                    )
                })?;
                match rest.strip_prefix(':') {
                    Some(port) => (name, port),
                    None if rest.is_empty() => (name, ""),
                    None => {
                        return Err(ConnInfoError::Syntax(format!(
                            "unexpected \"{rest}\" after an IPv6 address in URI"
                        )));
                    }
                }
            }
            None => host.split_once(':').unwrap_or((host, "")),
        };
        names.push(decode(name)?);
        ports.push(decode(port)?);
    }
    if names.iter().any(|name| !name.is_empty()) {
        pairs.push(("host".into(), names.join(",")));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        pairs.push(("port".into(), ports.join(",")));
    }
    Ok(())
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
