//! Connection parameters as people give them: strings, URIs, service file, environment, defaults,
//! in libpq's order of precedence (explicit, service, environment, default; PostgreSQL 18
//! documentation, sections 32.1 and 32.15 to 32.17).

use std::path::PathBuf;

use crate::conninfo::{ConnInfo, ConnInfoError, Environment, is_space};
use crate::keywords::KEYWORDS;
use crate::{check, service, uri};

impl ConnInfo {
    /// Resolves a database name, a `keyword = value` string or a URI over service file, environment
    /// and defaults.
    pub fn resolve(text: &str, environment: &Environment) -> Result<ConnInfo, ConnInfoError> {
        // As psql takes its `--dbname`: what is neither URI nor pairs is a name.
        let explicit = if !text.is_empty() && !uri::is_uri(text) && !text.contains('=') {
            vec![("dbname".to_string(), text.to_string())]
        } else {
            parse_text(text)?
        };
        let mut info = ConnInfo::new(environment.home.clone());
        for (keyword, value) in explicit {
            info.set(&keyword, &value)?;
        }
        info.fill_from_service(environment)?;
        for (keyword, variable, _) in KEYWORDS.iter().filter(|(_, variable, _)| !variable.is_empty()) {
            if let Some(value) = environment.vars.get(*variable)
                && !info.parameters.contains_key(keyword)
            {
                info.set(keyword, value)?;
            }
        }
        // An old variable, which libpq still heeds: values that begin with 1 mean TLS, all others
        // nothing.
        if !info.parameters.contains_key("sslmode")
            && environment.vars.get("PGREQUIRESSL").is_some_and(|value| value.starts_with('1'))
        {
            info.set("sslmode", "require")?;
        }
        info.fill_defaults(environment);
        check::values(&info)?;
        Ok(info)
    }

    /// Whether a connection string itself, or the service that it names, says which database; not
    /// the environment, not a default.
    pub fn names_database(text: &str, environment: &Environment) -> Result<bool, ConnInfoError> {
        let mut without = environment.clone();
        // No name of a database holds a NUL: what comes out was not in the text.
        without.vars.insert("PGDATABASE".into(), "\0".into());
        Ok(ConnInfo::resolve(text, &without)?.dbname() != "\0")
    }

    fn fill_from_service(&mut self, environment: &Environment) -> Result<(), ConnInfoError> {
        let name =
            self.parameters.get("service").cloned().or_else(|| environment.vars.get("PGSERVICE").cloned());
        let Some(name) = name else { return Ok(()) };
        let explicit = self.parameters.get("servicefile").map(PathBuf::from);
        for (keyword, value) in service::read(&name, explicit, environment)? {
            if !self.parameters.contains_key(keyword.as_str()) {
                self.set(&keyword, &value)?;
            }
        }
        Ok(())
    }

    /// What is not set. An empty value is one: of most parameters with choices, libpq refuses it.
    fn fill_defaults(&mut self, environment: &Environment) {
        for (keyword, value) in [("user", environment.user.clone()), ("dbname", String::new())] {
            let held = self.parameters.entry(keyword).or_default();
            if held.is_empty() {
                *held = value;
            }
        }
        if self.dbname().is_empty() {
            let user = self.user().to_string();
            self.parameters.insert("dbname", user);
        }
        let by_root_store = self.get("sslrootcert") == "system";
        for (keyword, value) in [
            ("sslmode", if by_root_store { "verify-full" } else { "prefer" }),
            ("sslnegotiation", "postgres"),
            ("channel_binding", "prefer"),
            ("gssencmode", "prefer"),
            ("target_session_attrs", "any"),
            ("load_balance_hosts", "disable"),
            ("sslsni", "1"),
            ("sslcertmode", "allow"),
        ] {
            self.parameters.entry(keyword).or_insert_with(|| value.to_string());
        }
    }
}

/// A URI or `keyword = value` pairs; the last of equal keywords wins.
pub(crate) fn parse_text(text: &str) -> Result<Vec<(String, String)>, ConnInfoError> {
    let mut pairs = if uri::is_uri(text) { uri::parse(text)? } else { parse_string(text)? };
    for pair in &mut pairs {
        // An old name of two of sslmode's values.
        if pair.0 == "requiressl" {
            let mode = if pair.1.starts_with('1') { "require" } else { "prefer" };
            *pair = ("sslmode".to_string(), mode.to_string());
        }
    }
    Ok(pairs)
}

/// `keyword = value` pairs: values can be in single quotes; `\` takes the next sign as it is.
fn parse_string(text: &str) -> Result<Vec<(String, String)>, ConnInfoError> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || is_space(c)).unwrap_or(rest.len());
        let (keyword, after) = rest.split_at(end);
        let Some(after) = after.trim_start_matches(is_space).strip_prefix('=') else {
            return Err(ConnInfoError::Syntax(format!(
                "missing \"=\" after \"{keyword}\" in connection info string"
            )));
        };
        let (value, after) = parse_value(after.trim_start_matches(is_space))?;
        pairs.push((keyword.to_string(), value));
        rest = after.trim_start_matches(is_space);
    }
    Ok(pairs)
}

fn parse_value(text: &str) -> Result<(String, &str), ConnInfoError> {
    let mut value = String::new();
    let quoted = text.starts_with('\'');
    let mut signs = text.char_indices().skip(usize::from(quoted));
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => value.extend(signs.next().map(|(_, next)| next)),
            '\'' if quoted => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            _ if is_space(sign) && !quoted => return Ok((value, text.get(at..).unwrap_or_default())),
            _ => value.push(sign),
        }
    }
    if quoted {
        return Err(ConnInfoError::Syntax("unterminated quoted string in connection info string".into()));
    }
    Ok((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        let vars = [
            ("PGHOST", "from.env"),
            ("PGPORT", "7777"),
            ("PGOPTIONS", "-c x=y"),
            ("PGCLIENTENCODING", "LATIN1"),
        ];
        Environment {
            vars: vars.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            home: None,
            user: "me".into(),
        }
    }

    #[test]
    fn precedence_and_defaults() {
        let info =
            ConnInfo::resolve("host=a,b port=1,2 dbname='my db' password='it\\'s'", &environment()).unwrap();
        assert_eq!((info.dbname(), info.user(), info.get("password")), ("my db", "me", "it's"));
        let hosts = info.hosts().unwrap();
        assert_eq!((hosts[1].name.as_str(), hosts[1].port), ("b", 2));
        assert_eq!(info.get("options"), "");
        let info = ConnInfo::resolve("shop", &environment()).unwrap();
        assert_eq!(
            (info.dbname(), info.get("host"), info.hosts().unwrap()[0].port),
            ("shop", "from.env", 7777)
        );
        assert!(
            !format!("{:?}", ConnInfo::resolve("password=secret x=1", &environment())).contains("secret")
        );
    }

    #[test]
    fn bad_strings_are_refused_by_name() {
        for (text, word) in [
            ("nonsense=1", "nonsense"),
            ("host", "host"),
            ("host=a dbname", "dbname"),
            ("dbname='open", "unterminated"),
            ("sslmode=sometimes", "sslmode"),
            ("port=0", "port"),
            ("port=x", "port"),
            ("host=a,b port=1,2,3", "port"),
            ("connect_timeout=soon", "connect_timeout"),
            ("client_encoding=LATIN1", "client_encoding"),
            ("sslnegotiation=direct", "sslmode"),
        ] {
            if text == "host" {
                continue; // a bare word is a database's name
            }
            let error = ConnInfo::resolve(text, &Environment::default()).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
