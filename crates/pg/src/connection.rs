//! An open session and its queries.

use std::collections::BTreeMap;

use pgark_bytes::sql::quote_ident;

use crate::cancel::Canceller;
use crate::conninfo::{ConnInfo, Host};
use crate::stream::Stream;
use crate::wire::Wire;
use crate::{DbError, PgError, Replication, Row};

/// Notices kept at most.
const MOST_NOTICES: usize = 100;

/// The result of one statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryResult {
    /// Names of the columns; empty for a statement without rows.
    pub columns: Vec<String>,
    /// The rows, as text.
    pub rows: Vec<Row>,
    /// The command tag, `INSERT 0 5`.
    pub tag: String,
}

/// A session with a server. Dropping it ends it.
pub struct Connection {
    pub(crate) wire: Wire<Stream>,
    pub(crate) canceller: Canceller,
    parameters: BTreeMap<String, String>,
    pid: i32,
    /// The server's process, by its own word, since the session was settled.
    pub(crate) process: Option<i32>,
    pub(crate) role_again: Option<String>,
    host: Host,
    numeric: Option<String>,
    notices: Vec<DbError>,
    replication: Option<Replication>,
    /// A conversation was left in the middle.
    pub(crate) broken: bool,
}

pub(crate) struct Session {
    pub wire: Wire<Stream>,
    pub parameters: BTreeMap<String, String>,
    pub pid: i32,
    pub host: Host,
    pub numeric: Option<String>,
    pub canceller: Canceller,
    pub notices: Vec<DbError>,
    pub replication: Option<Replication>,
}

/// What a command was answered with.
pub(crate) enum Answer {
    /// Results, and the server is ready for the next command.
    Results(Vec<QueryResult>),
    /// CopyBothResponse: both sides may send now.
    CopyBoth,
}

impl ConnInfo {
    /// The same, pinned to the host that a connection reached (trap 8).
    pub fn for_host_of(&self, connection: &Connection) -> ConnInfo {
        let mut other = self.clone();
        other.parameters.insert("host", connection.host().to_string());
        other.parameters.insert("hostaddr", connection.address().unwrap_or_default().to_string());
        other.parameters.insert("port", connection.port().to_string());
        other.parameters.insert("target_session_attrs", "any".to_string());
        other
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Terminate; a server that is gone needs no good-bye.
        let _ = self.wire.put(Some(b'X'), &[]).and_then(|()| self.wire.flush());
    }
}

impl Connection {
    pub(crate) fn become_role(&mut self, info: &ConnInfo) -> Result<(), PgError> {
        if let Some(role) = info.role() {
            let sql = format!("SET ROLE {}", quote_ident(role));
            self.execute(&sql)?;
            self.role_again = Some(sql);
        }
        Ok(())
    }

    /// The SQL that makes the session's role again what it was made after login, where it was:
    /// RESET SESSION AUTHORIZATION also resets it.
    pub fn role_again(&self) -> Option<&str> {
        self.role_again.as_deref()
    }

    pub(crate) fn new(session: Session) -> Connection {
        Connection {
            wire: session.wire,
            canceller: session.canceller,
            parameters: session.parameters,
            pid: session.pid,
            process: None,
            role_again: None,
            host: session.host,
            numeric: session.numeric,
            notices: session.notices,
            replication: session.replication,
            broken: false,
        }
    }

    /// Ends the session now, for one who still wants to know what the server said of itself.
    pub fn hang_up(&mut self) {
        // Terminate; a server that is gone needs no good-bye.
        let _ = self.wire.put(Some(b'X'), &[]).and_then(|()| self.wire.flush());
        self.canceller.shutdown();
        self.broken = true;
    }

    /// Runs statements by the simple protocol: one result each.
    pub fn simple(&mut self, sql: &str) -> Result<Vec<QueryResult>, PgError> {
        self.simple_bytes(sql.as_bytes())
    }

    /// The same for SQL in the session's client encoding.
    pub fn simple_bytes(&mut self, sql: &[u8]) -> Result<Vec<QueryResult>, PgError> {
        self.send_query(sql)?;
        self.results()
    }

    /// Runs statements and forgets their results.
    pub fn execute(&mut self, sql: &str) -> Result<(), PgError> {
        self.simple(sql).map(|_| ())
    }

    /// Runs one statement with parameters (`$1`, …) by the extended protocol; values go and come as
    /// text.
    pub fn query(&mut self, sql: &str, parameters: &[Option<&str>]) -> Result<Vec<Row>, PgError> {
        self.check_usable()?;
        if self.replication.is_some() {
            let what = "a replication connection has only the simple query protocol";
            return Err(PgError::Protocol(what.into()));
        }
        let count =
            u16::try_from(parameters.len()).map_err(|_| PgError::Protocol("too many parameters".into()))?;
        self.wire.put(Some(b'P'), &[b"\0", sql_text(sql.as_bytes())?, b"\0\0\0"].concat())?;
        let mut bind = vec![0, 0, 0, 0];
        bind.extend_from_slice(&count.to_be_bytes());
        for value in parameters {
            match value {
                None => bind.extend_from_slice(&(-1i32).to_be_bytes()),
                Some(text) => {
                    let length = i32::try_from(text.len())
                        .map_err(|_| PgError::Protocol("a parameter is too large".into()))?;
                    bind.extend_from_slice(&length.to_be_bytes());
                    bind.extend_from_slice(text.as_bytes());
                }
            }
        }
        bind.extend_from_slice(&[0, 0]);
        self.wire.put(Some(b'B'), &bind)?;
        self.wire.put(Some(b'D'), b"P\0")?;
        self.wire.put(Some(b'E'), b"\0\0\0\0\0")?;
        self.wire.put(Some(b'S'), b"")?;
        self.flush()?;
        Ok(self.results()?.into_iter().flat_map(|result| result.rows).collect())
    }

    /// The value of a setting, by SHOW: also on a replication connection.
    pub fn show(&mut self, name: &str) -> Result<String, PgError> {
        let name: Vec<String> = name.split('.').map(quote_ident).collect();
        let results = self.simple(&format!("SHOW {}", name.join(".")))?;
        let row = results.first().and_then(|result| result.rows.first());
        Ok(row.ok_or_else(|| PgError::Protocol("no answer about a setting".into()))?.str(0)?.to_string())
    }

    pub(crate) fn replication(&self) -> Option<Replication> {
        self.replication
    }

    /// A parameter that the server reports (`server_version`, `client_encoding`, …).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// `150018` for 15.18; 0 if the server does not tell.
    pub fn server_version(&self) -> i32 {
        let text = self.parameter("server_version").unwrap_or_default();
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
        let major: i32 = numbers.next().and_then(|part| part.parse().ok()).unwrap_or(0);
        // `18beta1` has no minor version: what follows letters is none.
        let has_minor = text.chars().find(|c| !c.is_ascii_digit()) == Some('.');
        let minor = numbers.next().filter(|_| has_minor).and_then(|part| part.parse().ok()).unwrap_or(0);
        if major >= 10 { major * 10_000 + minor } else { major * 10_000 + minor * 100 }
    }

    /// The server process.
    pub fn backend_pid(&self) -> i32 {
        self.pid
    }

    /// The host that was reached, as it was given.
    pub fn host(&self) -> &str {
        &self.host.name
    }

    /// Its numeric address, for TCP.
    pub fn address(&self) -> Option<&str> {
        self.numeric.as_deref()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.host.port
    }

    /// Notices since the last call, at most 100.
    pub fn take_notices(&mut self) -> Vec<DbError> {
        std::mem::take(&mut self.notices)
    }

    /// What stops this connection from another thread.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    pub(crate) fn check_usable(&self) -> Result<(), PgError> {
        if self.broken { Err(PgError::Broken) } else { Ok(()) }
    }

    pub(crate) fn send_query(&mut self, sql: &[u8]) -> Result<(), PgError> {
        self.check_usable()?;
        self.wire.put(Some(b'Q'), &[sql_text(sql)?, b"\0"].concat())?;
        self.flush()
    }

    /// Sends; where the socket is closed, the server may have said why before it closed it.
    pub(crate) fn flush(&mut self) -> Result<(), PgError> {
        let Err(error) = self.wire.flush() else { return Ok(()) };
        self.broken = true;
        while let Ok(message) = self.wire.message() {
            if message.tag == b'E' {
                return Err(PgError::Db(Box::new(DbError::parse(message.body))));
            }
        }
        Err(error)
    }

    /// A message that may come at any time: notices, parameters, notifications. True if it was one.
    pub(crate) fn is_aside(&mut self, tag: u8, body: &[u8]) -> bool {
        match tag {
            b'N' => {
                if self.notices.len() < MOST_NOTICES {
                    self.notices.push(DbError::parse(body));
                }
            }
            b'S' => {
                let mut fields = body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
                if let (Some(name), Some(value)) = (fields.next(), fields.next()) {
                    self.parameters.insert(name.into_owned(), value.into_owned());
                }
            }
            b'A' => {}
            _ => return false,
        }
        true
    }

    /// Reads results up to ReadyForQuery; the first error is the answer.
    pub(crate) fn results(&mut self) -> Result<Vec<QueryResult>, PgError> {
        match self.answer(false)? {
            Answer::Results(results) => Ok(results),
            Answer::CopyBoth => Err(PgError::Broken),
        }
    }

    /// Reads results up to ReadyForQuery, or up to CopyBothResponse where that may come.
    pub(crate) fn answer(&mut self, may_copy_both: bool) -> Result<Answer, PgError> {
        let mut results = Vec::new();
        let mut current = QueryResult::default();
        let mut failure: Option<PgError> = None;
        loop {
            let message = self.wire.message().inspect_err(|_| self.broken = true);
            let message = match message {
                Ok(message) => message,
                // A FATAL error comes before the end of the connection.
                Err(error) => return Err(failure.unwrap_or(error)),
            };
            match message.tag {
                b'T' => current.columns = columns(message.body),
                b'D' => match Row::of_message(message.body) {
                    Ok(row) => current.rows.push(row),
                    Err(error) => failure = failure.or(Some(error)),
                },
                b'C' => {
                    current.tag = tag_text(message.body);
                    results.push(std::mem::take(&mut current));
                }
                // Parse, bind, no data, empty query, suspended portal.
                b'1' | b'2' | b'n' | b'I' | b's' => {}
                b'E' => {
                    failure = failure.or_else(|| Some(PgError::Db(Box::new(DbError::parse(message.body)))))
                }
                b'Z' => return failure.map_or(Ok(Answer::Results(results)), Err),
                b'W' if may_copy_both && failure.is_none() => return Ok(Answer::CopyBoth),
                b'G' | b'H' | b'W' => {
                    self.broken = true;
                    return Err(PgError::Protocol("a COPY where none was expected".into()));
                }
                tag => {
                    let body = message.body.to_vec();
                    if !self.is_aside(tag, &body) {
                        self.broken = true;
                        return Err(PgError::Protocol(format!("message {:?} in a result", char::from(tag))));
                    }
                }
            }
        }
    }
}

/// The protocol ends strings with a zero byte: SQL cannot hold one.
fn sql_text(sql: &[u8]) -> Result<&[u8], PgError> {
    if sql.contains(&0) { Err(PgError::Protocol("the SQL contains a zero byte".into())) } else { Ok(sql) }
}

/// The command tag.
pub(crate) fn tag_text(body: &[u8]) -> String {
    String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(body)).into_owned()
}

/// Names of a RowDescription.
fn columns(body: &[u8]) -> Vec<String> {
    /// Table, column number, type, size, modifier, format.
    const FIELD_TAIL: usize = 18;
    let mut names = Vec::new();
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some(end) = memchr::memchr(0, rest) {
        names.push(String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned());
        rest = rest.get(end + 1 + FIELD_TAIL..).unwrap_or_default();
    }
    names
}
