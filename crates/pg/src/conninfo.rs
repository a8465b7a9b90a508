//! Connection parameters: strings, URIs, service file, environment, defaults, in libpq's order of
//! precedence (explicit, service, environment, default; PostgreSQL 18 documentation, sections 32.1
//! and 32.15 to 32.17).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::connection::Connection;
use crate::keywords::{KEYWORDS, Support};
use crate::{Replication, check, passfile, service, uri};

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
    #[error("invalid {keyword} value: \"{value}\" (it may be {choices})")]
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
    parameters: BTreeMap<&'static str, String>,
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
    /// Resolves a database name, a `keyword = value` string or a URI over service file, environment
    /// and defaults.
    pub fn resolve(text: &str, environment: &Environment) -> Result<ConnInfo, ConnInfoError> {
        // As psql takes its `--dbname`: what is neither URI nor pairs is a name.
        let explicit = if !text.is_empty() && !uri::is_uri(text) && !text.contains('=') {
            vec![("dbname".to_string(), text.to_string())]
        } else {
            parse_text(text)?
        };
        let mut info = ConnInfo {
            parameters: BTreeMap::new(),
            home: environment.home.clone(),
            role: None,
            replication: None,
            for_children: Arc::default(),
        };
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

    /// The same, pinned to the host that a connection reached (trap 8).
    pub fn for_host_of(&self, connection: &Connection) -> ConnInfo {
        let mut other = self.clone();
        other.parameters.insert("host", connection.host().to_string());
        other.parameters.insert("hostaddr", connection.address().unwrap_or_default().to_string());
        other.parameters.insert("port", connection.port().to_string());
        other.parameters.insert("target_session_attrs", "any".to_string());
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
            // As they stand: libpq does not take blanks off a name.
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

/// What C calls space: a no-break space belongs to a value.
pub(crate) fn is_space(sign: char) -> bool {
    matches!(sign, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

/// `keyword = value` pairs: values may stand in single quotes; `\` takes the next sign as it is.
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
