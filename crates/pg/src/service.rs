//! The connection service file (PostgreSQL documentation, section 32.17).

use std::fs;
use std::path::PathBuf;

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
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(_) if !must_exist => continue,
            Err(source) => {
                return Err(ConnInfoError::Service(format!(
                    "service file \"{}\" not found: {source}",
                    file.display()
                )));
            }
        };
        if let Some(pairs) = section(&text, name, &file.display().to_string())? {
            return Ok(pairs);
        }
    }
    Err(ConnInfoError::Service(format!("definition of service \"{name}\" not found")))
}

fn section(text: &str, name: &str, file: &str) -> Result<Option<Vec<(String, String)>>, ConnInfoError> {
    let mut found: Option<Vec<(String, String)>> = None;
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if found.is_some() {
                break;
            }
            found = (title == name).then(Vec::new);
        } else if let Some(pairs) = found.as_mut() {
            match line.split_once('=') {
                Some((keyword, _)) if keyword.trim().starts_with("service") => {
                    return Err(ConnInfoError::Service(format!(
                        "nested service specifications not supported in service file \"{file}\", line {number}"
                    )));
                }
                Some((keyword, value)) => pairs.push((keyword.trim().to_string(), value.trim().to_string())),
                None => {
                    return Err(ConnInfoError::Service(format!(
                        "syntax error in service file \"{file}\", line {number}"
                    )));
                }
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::section;

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let text = "[a]\nhost=x\n\n# no\n[b]\nhost=y\nport = 7\n[c]\nhost=z\n";
        let pairs = section(text, "b", "f").unwrap().unwrap();
        assert_eq!(pairs, [("host".to_string(), "y".to_string()), ("port".to_string(), "7".to_string())]);
        assert!(section(text, "d", "f").unwrap().is_none());
        assert!(section("[a]\nnonsense\n", "a", "f").is_err());
        assert!(section("[a]\nservice=b\n", "a", "f").is_err());
    }
}
