//! What a session has at login, and the settings that it is given then.
//!
//! Settings are fixed after login, not in the start-up packet, which poolers cut short; and they
//! are looked at once more in a transaction of their own. A pooler that lends a server for one
//! transaction only would hand our settings to someone else and someone else's to us. It is found
//! out before anything is set: the server's process is asked for its number.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::settings::{SETTINGS, Use};
use crate::{ConnInfo, Connection, PgError, open};

/// How a session began, before anything was fixed.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The server's process has another number than the one that answered the login: something lies
    /// between.
    pub pooled: bool,
    /// The values of [`SETTINGS`] and of [`WATCHED`], as far as the server has them.
    values: BTreeMap<&'static str, String>,
    is_superuser: bool,
    /// `ALTER DATABASE … SET role` had made another role of the session, which is undone.
    role_is_of_database: bool,
}

/// What a session has now.
struct Now {
    process: i32,
    role: String,
    values: BTreeMap<&'static str, String>,
}

/// Looked at, and never set.
const WATCHED: &[&str] = &["zero_damaged_pages", "ignore_checksum_failure", "lc_messages"];

/// For the statements behind it in one query, and for nobody else: no limit, and nothing is
/// compiled.
const IN_TIME: &str = "SET LOCAL statement_timeout = 0; SET LOCAL jit = off";
/// What [`IN_TIME`] hides.
const HIDDEN: [&str; 2] = ["statement_timeout", "jit"];

/// How often a pooler is tried. One round is enough where nobody else uses the pool.
const ROUNDS: usize = 5;
/// How long a second session waits for a server: a pool in session mode may have none left.
const SECOND_SESSION: Duration = Duration::from_secs(5);

impl Login {
    /// What a setting was at login; none: the server does not have it.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// What pg_dump or pg_dumpall must be given, because their session would begin with something
    /// else.
    pub fn for_child(&self) -> Vec<(&'static str, &'static str)> {
        let mut wanted: Vec<(&str, &str)> = SETTINGS
            .iter()
            .filter_map(|setting| Some((setting, setting.child?, self.value(setting.name)?)))
            .filter(|(setting, wanted, value)| !setting.is(wanted, value))
            .map(|(setting, wanted, _)| (setting.name, wanted))
            .collect();
        if self.role_is_of_database {
            wanted.push(("role", "none"));
        }
        let is_english = |language: &str| matches!(language, "C" | "POSIX") || language.starts_with("en");
        // Only a superuser may choose it.
        if self.is_superuser && self.value("lc_messages").is_some_and(|language| !is_english(language)) {
            wanted.push(("lc_messages", "C"));
        }
        wanted
    }
}

impl Connection {
    /// Connects without becoming the role of [`ConnInfo::with_role`]: [`Connection::settle`] does
    /// that.
    pub fn connect_to_settle(info: &ConnInfo) -> Result<Connection, PgError> {
        open::connect(info)
    }

    /// Fixes the settings of a session for what it is for, checks that they are fixed, and becomes
    /// the role that `info`, by which it was connected, says. `more`: further settings, or other
    /// values than the table's. `prove`: before anything is set, proves that no pooler hands this
    /// session's server to others.
    pub fn settle(
        &mut self,
        info: &ConnInfo,
        purpose: Use,
        more: &[(&str, &str)],
        prove: bool,
    ) -> Result<Login, PgError> {
        if self.replication().is_some() {
            let what = "the settings of a replication connection are fixed at login, not by SQL";
            return Err(PgError::Protocol(what.into()));
        }
        let start = self.values()?;
        self.process = Some(start.process);
        let wanted: Vec<_> = SETTINGS
            .iter()
            .filter_map(|setting| Some((setting, setting.value(purpose)?)))
            .filter(|(setting, _)| start.values.contains_key(setting.name))
            .filter(|(setting, _)| more.iter().all(|(name, _)| *name != setting.name))
            .collect();
        let wrong = |values: &BTreeMap<&'static str, String>| -> Vec<(&str, &str)> {
            wanted
                .iter()
                .filter(|(setting, value)| {
                    !values.get(setting.name).is_some_and(|found| setting.is(value, found))
                })
                .map(|(setting, value)| (setting.name, *value))
                .collect()
        };
        let mut login = Login {
            pooled: start.process != self.backend_pid(),
            is_superuser: self.parameter("is_superuser") == Some("on"),
            values: start.values,
            role_is_of_database: false,
        };
        if prove && login.pooled {
            self.prove_own_server(info)?;
        }
        if start.role != "none" {
            // Its operators are to be PostgreSQL's own.
            self.set(&[("search_path", ""), ("statement_timeout", "0")])?;
            login.role_is_of_database = self.is_role_of_database(&start.role)?;
            if login.role_is_of_database {
                self.set(&[("role", "none")])?;
                self.role_again = Some("SET ROLE none".into());
            }
        }
        let mut to_set = wrong(&login.values);
        to_set.extend(more.iter().filter(|(name, value)| self.parameter(name) != Some(value)));
        if !to_set.is_empty() {
            self.set(&to_set).map_err(|error| match error.sqlstate() {
                Some("42501") => PgError::Settings {
                    what: error.to_string(),
                    advice: "let a superuser RESET the setting of the role or database (ALTER ROLE … RESET …)",
                },
                _ => error,
            })?;
            let now = self.values()?;
            self.check_process(now.process)?;
            if let Some((name, value)) = wrong(&now.values).first() {
                return Err(PgError::Settings {
                    what: format!(
                        "{name} was set to '{value}', but the session has '{}'",
                        now.values.get(name).map(String::as_str).unwrap_or_default()
                    ),
                    advice: SESSION_MODE,
                });
            }
        }
        self.become_role(info)?;
        Ok(login)
    }

    /// Sets several settings of the session in one statement: all of them, or none.
    pub fn set(&mut self, settings: &[(&str, &str)]) -> Result<(), PgError> {
        let calls: Vec<String> = settings
            .iter()
            .map(|(name, value)| {
                format!("pg_catalog.set_config({}, {}, false)", literal(name), literal(value))
            })
            .collect();
        self.execute(&format!("{IN_TIME}; SELECT {}", calls.join(", ")))
    }

    /// Begins a transaction by this SQL, in the session that was settled. Its snapshot is taken by
    /// this, if not before.
    pub fn begin(&mut self, sql: &str) -> Result<(), PgError> {
        let results = self.simple(&format!("{sql}; SELECT pg_catalog.pg_backend_pid()"))?;
        let row = results.last().and_then(|result| result.rows.first());
        self.check_process(row.map(|row| row.parse(0)).transpose()?.unwrap_or(0))
    }

    /// Whether the server's process, by its own word (`pg_backend_pid()`), is the one whose session
    /// was settled.
    pub fn check_process(&self, pid: i32) -> Result<(), PgError> {
        if self.process.is_none_or(|settled| settled == pid) { Ok(()) } else { Err(moved()) }
    }

    /// Proves that whoever lies between keeps one server for this session: what another session is
    /// lent is not ours. Nothing is set before that is known.
    fn prove_own_server(&mut self, info: &ConnInfo) -> Result<(), PgError> {
        let refused = |error: PgError| match error {
            PgError::Db(refusal) => PgError::Settings { what: refusal.message.clone(), advice: SESSION_MODE },
            other => other,
        };
        let mut other = open::connect(info)?;
        other
            .wire
            .stream()
            .set_read_timeout(Some(SECOND_SESSION))
            .map_err(|error| PgError::Closed(Some(error)))?;
        for _ in 0..ROUNDS {
            let before = self.pid_now()?;
            // A pool that has no server left gives this one to nobody else: then it is ours.
            let theirs = match other.execute("BEGIN") {
                Ok(()) => other.pid_now()?,
                Err(PgError::Closed(_)) => return Ok(()),
                Err(error) => return Err(refused(error)),
            };
            // Asked again before the other releases it, this session would wait for a server.
            if before == theirs || before != self.pid_now()? {
                return Err(moved());
            }
            other.execute("ROLLBACK").map_err(refused)?;
        }
        Ok(())
    }

    /// Whether a session that asks for settings at login gets them.
    pub fn options_arrive(info: &ConnInfo, wanted: &[(&str, &str)]) -> bool {
        // Whatever the refusal is, the settings do not arrive.
        let Ok(mut connection) = open::connect(info) else { return false };
        let Ok(now) = connection.values() else { return false };
        wanted.iter().all(|(name, value)| match SETTINGS.iter().find(|setting| setting.name == *name) {
            Some(setting) => now.values.get(name).is_some_and(|found| setting.is(value, found)),
            None if *name == "role" => now.role == *value,
            None => now.values.get(name).is_some_and(|found| found == value),
        })
    }

    fn pid_now(&mut self) -> Result<i32, PgError> {
        let rows = self.query("SELECT pg_catalog.pg_backend_pid()", &[])?;
        rows.first().ok_or_else(|| PgError::Protocol("no answer about the process".into()))?.parse(0)
    }

    /// The server's process, and the settings that it has. No operator is in this query: which
    /// schema it would be from is a setting, too.
    fn values(&mut self) -> Result<Now, PgError> {
        let names: Vec<&'static str> =
            SETTINGS.iter().map(|setting| setting.name).chain(WATCHED.iter().copied()).collect();
        let values: Vec<String> =
            names.iter().map(|name| format!("pg_catalog.current_setting({}, true)", literal(name))).collect();
        // SHOW is done before a short limit can be over.
        let shows: Vec<String> = HIDDEN.iter().map(|name| format!("SHOW {name}; ")).collect();
        let sql = format!(
            "{}{IN_TIME}; SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('role'), {}",
            shows.concat(),
            values.join(", ")
        );
        let results = self.simple(&sql)?;
        let row = results.last().and_then(|result| result.rows.first());
        let row = row.ok_or_else(|| PgError::Protocol("no answer about settings".into()))?;
        let text = |at: usize| row.get(at).map(|value| String::from_utf8_lossy(value).into_owned());
        let values = names.into_iter().enumerate().filter_map(|(at, name)| Some((name, text(at + 2)?)));
        let mut values: BTreeMap<_, _> = values.collect();
        for (name, result) in HIDDEN.into_iter().zip(&results) {
            if let Some(value) = result.rows.first().and_then(|row| row.get(0)) {
                values.insert(name, String::from_utf8_lossy(value).into_owned());
            }
        }
        Ok(Now { process: row.parse(0)?, role: text(1).unwrap_or_default(), values })
    }

    /// `ALTER DATABASE … SET role` is meant for applications, and would take our rights away:
    /// nothing of the kind can be asked of the login's own role, whose `ALTER ROLE … SET role` is
    /// kept. Whether this one, which the session has, is such.
    fn is_role_of_database(&mut self, role: &str) -> Result<bool, PgError> {
        // The setting itself is not asked for here: a parallel worker would say that it is `none`.
        let sql = "SELECT 1 FROM pg_catalog.pg_database d, pg_catalog.pg_roles u \
             WHERE d.datname = pg_catalog.current_database() AND u.rolname = SESSION_USER \
             AND EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s WHERE s.setdatabase IN (0, d.oid) AND s.setrole = 0 \
                 AND pg_catalog.array_position(s.setconfig, 'role=' || $1) IS NOT NULL) \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c \
                 WHERE s.setdatabase IN (0, d.oid) AND s.setrole = u.oid AND c LIKE 'role=%')";
        Ok(!self.query(sql, &[Some(role)])?.is_empty())
    }
}

const SESSION_MODE: &str =
    "connect to the server itself, or to a pool in session mode (pgbouncer: pool_mode = session)";

fn moved() -> PgError {
    let what = "the connection goes through a pool in transaction mode".into();
    PgError::Settings { what, advice: SESSION_MODE }
}

/// Names and values of the tables above: no backslash is in them.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
