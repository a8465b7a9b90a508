//! The connection service file (PostgreSQL documentation, section 32.17).

use std::fs;
use std::path::PathBuf;

use crate::conninfo::is_space;
use crate::keywords::KEYWORDS;
use crate::{ConnInfoError, Environment};

/// Parameters of a service: the user's file first, then the system's.
pub(crate) fn read(
    name: &str,
    explicit: Option<PathBuf>,
    environment: &Environment,
) -> Result<Vec<(String, String)>, ConnInfoError> {
    let named = explicit.or_else(|| environment.vars.get("PGSERVICEFILE").map(PathBuf::from));
    let is_named = named.is_some();
    let users = named.or_else(|| environment.home.as_ref().map(|home| home.join(".pg_service.conf")));
    let system = environment
        .vars
        .get("PGSYSCONFDIR")
        .map_or_else(|| PathBuf::from("/etc/postgresql-common"), PathBuf::from)
        .join("pg_service.conf");
    for (file, must_exist) in users.into_iter().map(|file| (file, is_named)).chain([(system, false)]) {
        let text = match fs::read(&file) {
            Ok(text) => text,
            // One that nobody named need not be there. One that is there and cannot be read is an
            // error.
            Err(_) if !must_exist && fs::metadata(&file).is_err() => continue,
            Err(source) => {
                return Err(ConnInfoError::Service(format!(
                    "service file \"{}\" not found: {source}",
                    file.display()
                )));
            }
        };
        if let Some(pairs) = section(&String::from_utf8_lossy(&text), name, &file.display().to_string())? {
            return Ok(pairs);
        }
    }
    Err(ConnInfoError::Service(format!("definition of service \"{name}\" not found")))
}

/// The pairs of one section, as libpq reads them: nothing is taken off around `=`, the first
/// section of a name counts.
fn section(text: &str, name: &str, file: &str) -> Result<Option<Vec<(String, String)>>, ConnInfoError> {
    let mut found: Option<Vec<(String, String)>> = None;
    for (number, line) in text.split('\n').enumerate() {
        let line = line.trim_matches(is_space);
        let wrong = |what: &str| {
            let place = format!("service file \"{file}\", line {}", number + 1);
            Err(ConnInfoError::Service(format!("{what} in {place}")))
        };
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            found = title.strip_prefix(name).is_some_and(|rest| rest.starts_with(']')).then(Vec::new);
            continue;
        }
        let Some(pairs) = found.as_mut() else { continue };
        if line.starts_with("ldap") {
            return wrong("a look-up by LDAP, which pgark does not support,");
        }
        match line.split_once('=') {
            Some(("service" | "servicefile", _)) => {
                return wrong("nested service specifications not supported");
            }
            Some((_, value)) if value.contains('\u{fffd}') => return wrong("a value that is not UTF-8"),
            Some((keyword, value)) if KEYWORDS.iter().any(|(known, _, _)| *known == keyword) => {
                pairs.push((keyword.to_string(), value.to_string()));
            }
            Some((keyword, _)) => return wrong(&format!("syntax error: unknown option \"{keyword}\"")),
            None => return wrong("syntax error: no \"=\""),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::section;

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let text = "[a]\nhost=x\n\n# no\n[b]\nhost=y\nport=7\n[c]\nhost=z\n";
        let pairs = section(text, "b", "f").unwrap().unwrap();
        assert_eq!(pairs, [("host".to_string(), "y".to_string()), ("port".to_string(), "7".to_string())]);
        assert!(section(text, "d", "f").unwrap().is_none());
        assert!(section("[a]\nnonsense\n", "a", "f").is_err());
        assert!(section("[a]\nservice=b\n", "a", "f").is_err());
        let error = section("\n[a]\nport = 7\n", "a", "f").unwrap_err().to_string();
        assert_eq!(error, "syntax error: unknown option \"port \" in service file \"f\", line 3");
        assert!(section("[a] more\n  host=x\n[b\nnonsense", "a", "f").unwrap().is_some());
    }
}
