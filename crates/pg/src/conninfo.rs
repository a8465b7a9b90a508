//! Connection parameters, and what follows from them: hosts, passwords, what children get.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::keywords::{KEYWORDS, Support};
use crate::{Replication, passfile};

/// What libpq would read from the process: handed in, so that this crate reads nothing itself.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Environment variables.
    pub vars: BTreeMap<String, String>,
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// The operating system's name of the user.
    pub user: String,
}

/// Parameters that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnInfoError {
    /// The string itself is wrong.
    #[error("{0}")]
    Syntax(String),
    /// A parameter that libpq does not know either.
    #[error("invalid connection option \"{0}\"")]
    Unknown(String),
    /// A parameter that would be ignored.
    #[error("connection option \"{keyword}\" is not supported: {why}")]
    Unsupported {
        /// The parameter.
        keyword: String,
        /// Why.
        why: &'static str,
    },
    /// A value that is none.
    #[error("invalid {keyword} value: \"{value}\"")]
    Value {
        /// The parameter.
        keyword: &'static str,
        /// Its value.
        value: String,
    },
    /// A value that is none of those that there are.
    #[error("invalid {keyword} value: \"{value}\" (possible values: {choices})")]
    Choice {
        /// The parameter.
        keyword: &'static str,
        /// Its value.
        value: String,
        /// Those that it may have.
        choices: String,
    },
    /// The service file.
    #[error("{0}")]
    Service(String),
}

/// One place to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// A name, an address, or a socket directory (begins with `/` or `@`).
    pub name: String,
    /// Where to connect instead of looking the name up.
    pub address: Option<String>,
    pub port: u16,
}

impl Host {
    pub(crate) fn is_socket(&self) -> bool {
        self.address.is_none() && (self.name.starts_with('/') || self.name.starts_with('@'))
    }
}

/// Resolved parameters. Holds secrets: its `Debug` does not show them.
#[derive(Clone)]
pub struct ConnInfo {
    pub(crate) parameters: BTreeMap<&'static str, String>,
    home: Option<PathBuf>,
    /// What every session becomes after login.
    role: Option<String>,
    replication: Option<Replication>,
    /// What children need that no variable of libpq's holds.
    for_children: Arc<OnceLock<Option<File>>>,
}

impl std::fmt::Debug for ConnInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.parameters.iter().filter(|(keyword, _)| !keyword.ends_with("password"));
        f.debug_map().entries(shown).finish()
    }
}

impl ConnInfo {
    /// Nothing is set.
    pub(crate) fn new(home: Option<PathBuf>) -> ConnInfo {
        let (parameters, for_children) = (BTreeMap::new(), Arc::default());
        ConnInfo { parameters, home, role: None, replication: None, for_children }
    }

    /// Sets one parameter.
    pub fn set(&mut self, keyword: &str, value: &str) -> Result<(), ConnInfoError> {
        let Some((known, _, support)) = KEYWORDS.iter().find(|(known, _, _)| *known == keyword) else {
            return Err(ConnInfoError::Unknown(keyword.to_string()));
        };
        if let Support::No(why) = support
            && !value.is_empty()
        {
            return Err(ConnInfoError::Unsupported { keyword: keyword.to_string(), why });
        }
        self.parameters.insert(known, value.to_string());
        Ok(())
    }

    /// Whether a parameter has a value, be it empty.
    pub(crate) fn has(&self, keyword: &str) -> bool {
        self.parameters.contains_key(keyword)
    }

    /// A parameter; empty if not set.
    pub(crate) fn get(&self, keyword: &str) -> &str {
        self.parameters.get(keyword).map_or("", String::as_str)
    }

    /// A number, where one is set.
    pub(crate) fn number(&self, keyword: &str) -> Option<i32> {
        self.get(keyword).trim_matches(is_space).parse().ok()
    }

    /// The database.
    pub fn dbname(&self) -> &str {
        self.get("dbname")
    }

    /// The role.
    pub fn user(&self) -> &str {
        self.get("user")
    }

    /// The same with another database.
    pub fn with_dbname(&self, dbname: &str) -> ConnInfo {
        let mut other = self.clone();
        other.parameters.insert("dbname", dbname.to_string());
        other
    }

    /// The same for sessions that become this role after login, by SET ROLE: for a role that
    /// inherits nothing.
    pub fn with_role(&self, role: Option<&str>) -> ConnInfo {
        ConnInfo { role: role.map(str::to_string), ..self.clone() }
    }

    /// The role that sessions become, if that is another than the one that logs in.
    pub fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// The same for replication connections ([`Replication`] says what these can do). Sessions stay
    /// the role that logs in: it must have REPLICATION.
    pub fn for_replication(&self, replication: Replication) -> ConnInfo {
        let mut other = ConnInfo { role: None, replication: Some(replication), ..self.clone() };
        if replication == Replication::Physical {
            // The server heeds no name; the password file has this one (libpq, "The Password
            // File").
            other.parameters.insert("dbname", "replication".to_string());
        }
        other
    }

    pub(crate) fn replication(&self) -> Option<Replication> {
        self.replication
    }

    /// Options of the server's command line (`-c name=value …`).
    pub fn options(&self) -> &str {
        self.get("options")
    }

    /// The same, with settings that the session asks for at login, above those of role and
    /// database. No space is in a value.
    pub fn with_settings(&self, settings: &[(&str, &str)]) -> ConnInfo {
        let mut words: Vec<String> =
            Some(self.options()).filter(|text| !text.is_empty()).map(str::to_string).into_iter().collect();
        words.extend(settings.iter().map(|(name, value)| format!("-c {name}={value}")));
        let mut other = self.clone();
        other.parameters.insert("options", words.join(" "));
        other
    }

    /// The hosts as they were named, and their addresses where these were given, with their ports,
    /// in the order of trying.
    pub fn named_hosts(&self) -> Vec<(String, u16)> {
        let both = |host: Host| {
            let names = [Some(host.name), host.address].into_iter().flatten();
            names.filter(|name| !name.is_empty()).map(move |name| (name, host.port)).collect::<Vec<_>>()
        };
        self.hosts().unwrap_or_default().into_iter().flat_map(both).collect()
    }

    /// The places to try, in order.
    pub(crate) fn hosts(&self) -> Result<Vec<Host>, ConnInfoError> {
        let list = |keyword| -> Vec<String> {
            // As they are: libpq does not take blanks off a name.
            self.get(keyword).split(',').map(str::to_string).collect()
        };
        let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
        let has_addresses = !self.get("hostaddr").is_empty();
        let count = if has_addresses { addresses.len() } else { names.len() };
        if has_addresses && !self.get("host").is_empty() && names.len() != count {
            return Err(ConnInfoError::Syntax(format!(
                "could not match {} host names to {count} hostaddr values",
                names.len()
            )));
        }
        if ports.len() > 1 && ports.len() != count {
            return Err(ConnInfoError::Syntax(format!(
                "could not match {} port numbers to {count} hosts",
                ports.len()
            )));
        }
        (0..count)
            .map(|at| {
                let port = ports.get(if ports.len() == 1 { 0 } else { at }).map_or("", String::as_str);
                let port = match port {
                    "" => 5432,
                    text => {
                        text.trim_matches(is_space).parse().ok().filter(|port| *port > 0).ok_or_else(
                            || ConnInfoError::Value { keyword: "port", value: text.to_string() },
                        )?
                    }
                };
                let address =
                    addresses.get(at).filter(|_| has_addresses).filter(|text| !text.is_empty()).cloned();
                let name = match names.get(at).map(String::as_str) {
                    None | Some("") if address.is_some() => String::new(),
                    None | Some("") => default_socket_directory(),
                    Some(name) => name.to_string(),
                };
                Ok(Host { name, address, port })
            })
            .collect()
    }

    /// The password for one host: given, or of the password file.
    pub(crate) fn password_for(&self, host: &Host) -> Option<String> {
        let given = self.get("password");
        if !given.is_empty() {
            return Some(given.to_string());
        }
        let file = match self.get("passfile") {
            "" => self.home.as_ref()?.join(".pgpass"),
            file => PathBuf::from(file),
        };
        let name = if host.name == default_socket_directory() {
            "localhost"
        } else if host.name.is_empty() {
            host.address.as_deref().unwrap_or("localhost")
        } else {
            &host.name
        };
        passfile::find(&file, name, host.port, self.dbname(), self.user())
    }

    /// A file of `~/.postgresql`.
    pub(crate) fn home_file(&self, name: &str) -> Option<PathBuf> {
        Some(self.home.as_ref()?.join(".postgresql").join(name))
    }

    /// What a child program of PostgreSQL needs to reach the same server as the same role, and
    /// nothing else.
    pub fn child_environment(&self) -> Vec<(String, String)> {
        let mut variables: Vec<(String, String)> = KEYWORDS
            .iter()
            .filter(|(keyword, variable, support)| {
                !variable.is_empty()
                    && *support != Support::No("")
                    && !matches!(*keyword, "service" | "servicefile" | "password" | "application_name")
            })
            .filter(|(keyword, _, _)| !self.get(keyword).is_empty())
            // Variables that only newer libraries know have their defaults left out.
            .filter(|(keyword, _, _)| {
                !matches!(
                    (*keyword, self.get(keyword)),
                    ("sslnegotiation", "postgres") | ("load_balance_hosts", "disable") | ("sslsni", "1")
                )
            })
            .map(|(keyword, variable, _)| ((*variable).to_string(), self.get(keyword).to_string()))
            .collect();
        if let Some(host) = self.hosts().ok().and_then(|hosts| hosts.into_iter().next()) {
            if let Some(password) = self.password_for(&host) {
                variables.push(("PGPASSWORD".into(), password));
            }
            if self.get("host").is_empty() && host.is_socket() {
                variables.push(("PGHOST".into(), host.name));
            }
        }
        // The password of the client's key has no variable, and an argument everybody sees: it
        // comes by a service file that is only in memory, and that a child has inherited.
        let key_password = self.get("sslpassword");
        if !key_password.is_empty()
            && let Some(file) = self.for_children.get_or_init(|| service_in_memory(key_password).ok())
        {
            variables.push(("PGSERVICE".into(), SERVICE.into()));
            variables.push(("PGSERVICEFILE".into(), format!("/proc/self/fd/{}", file.as_raw_fd())));
        }
        variables
    }
}

/// The section of the service file that children get.
const SERVICE: &str = "pgark";

/// Inherited by children: it is not closed when one starts.
fn service_in_memory(key_password: &str) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("pgark-service", rustix::fs::MemfdFlags::empty())?);
    file.write_all(format!("[{SERVICE}]\nsslpassword={key_password}\n").as_bytes())?;
    Ok(file)
}

/// Debian's libpq has its own default; others have `/tmp`.
fn default_socket_directory() -> String {
    let debian = "/var/run/postgresql";
    if Path::new(debian).is_dir() { debian.to_string() } else { "/tmp".to_string() }
}

/// What C calls space: a no-break space belongs to a value.
pub(crate) fn is_space(sign: char) -> bool {
    matches!(sign, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}
