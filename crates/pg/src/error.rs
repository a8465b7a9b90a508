//! What a server or the way to it can answer.

use std::io;

/// An error or notice of the server, field by field (protocol: "Error and Notice Message Fields").
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{severity}: {message}{}", self.more())]
#[non_exhaustive]
pub struct DbError {
    /// `ERROR`, `FATAL`, `WARNING`, … never translated.
    pub severity: String,
    /// Five signs.
    pub sqlstate: String,
    /// The primary message.
    pub message: String,
    /// Secondary message.
    pub detail: Option<String>,
    /// Suggestion.
    pub hint: Option<String>,
    /// The context, innermost first.
    pub context: Option<String>,
    /// Schema of the object, where the server names one.
    pub schema: Option<String>,
    /// Table, likewise.
    pub table: Option<String>,
}

impl DbError {
    pub(crate) fn parse(body: &[u8]) -> DbError {
        let mut error = DbError::default();
        for field in body.split(|byte| *byte == 0) {
            let Some((kind, value)) = field.split_first() else { continue };
            let text = String::from_utf8_lossy(value).into_owned();
            match kind {
                b'V' => error.severity = text,
                b'S' if error.severity.is_empty() => error.severity = text,
                b'C' => error.sqlstate = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                b'W' => error.context = Some(text),
                b's' => error.schema = Some(text),
                b't' => error.table = Some(text),
                _ => {}
            }
        }
        error
    }

    /// The same without what may hold values of rows: detail, hint and context, and the message
    /// where it is about a value or was written by a function of a user (PostgreSQL documentation,
    /// Appendix A: the class of the error's code).
    pub fn without_values(&self) -> DbError {
        // Connection, transaction state, rights and names, resources, operator, system, internal.
        const ABOUT_NO_VALUE: [&str; 11] = ["08", "25", "28", "40", "42", "53", "54", "55", "57", "58", "XX"];
        let is_kept = ABOUT_NO_VALUE.iter().any(|class| self.sqlstate.starts_with(class));
        let message = match is_kept {
            true => self.message.clone(),
            false => format!(
                "SQLSTATE {} (the server's words may hold a value, and are in its own log)",
                self.sqlstate
            ),
        };
        DbError { message, detail: None, hint: None, context: None, ..self.clone() }
    }

    fn more(&self) -> String {
        let detail = self.detail.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
        let context =
            self.context.as_ref().map(|text| format!(" [{}]", first_line(text))).unwrap_or_default();
        format!("{detail}{context}")
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// A conversation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PgError {
    /// The server refused.
    #[error("{0}")]
    Db(Box<DbError>),
    /// No server could be reached; one line per address that was tried.
    #[error("connect to {target}: {why}")]
    Connect {
        /// Host, port, user, database.
        target: String,
        /// What each address answered.
        why: String,
        /// The server's own refusal, if one answered.
        refusal: Option<Box<DbError>>,
        /// What a person can do about it.
        advice: &'static str,
    },
    /// TLS could not be set up.
    #[error("set up TLS: {0}")]
    Tls(String),
    /// The server's certificate is not good.
    #[error("set up TLS: {why}")]
    Certificate {
        /// Why not, and whose it is.
        why: String,
        /// What a person can do about it.
        advice: &'static str,
    },
    /// The way of authentication is not possible.
    #[error("authenticate: {0}")]
    Auth(String),
    /// The connection ended in the middle.
    #[error("the server closed the connection")]
    Closed(#[source] Option<io::Error>),
    /// The server said something that the protocol does not allow here.
    #[error("understand the server: {0}")]
    Protocol(String),
    /// The session's settings cannot be what they must be.
    #[error("fix the settings of the session: {what}")]
    Settings {
        /// Why not.
        what: String,
        /// What a person can do about it.
        advice: &'static str,
    },
    /// A value of a row is not what was asked for.
    #[error("read column {column}: {what}")]
    Value {
        /// From 0.
        column: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The connection was left in the middle of a failed conversation.
    #[error("the connection cannot be used any more")]
    Broken,
}

impl PgError {
    /// The server's error code, if the server refused.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            PgError::Db(error) => Some(&error.sqlstate),
            PgError::Connect { refusal: Some(error), .. } => Some(&error.sqlstate),
            _ => None,
        }
    }

    /// The same without what may hold values of rows ([`DbError::without_values`]).
    pub fn without_values(self) -> PgError {
        match self {
            PgError::Db(error) => PgError::Db(Box::new(error.without_values())),
            other => other,
        }
    }

    /// Whether the server refused a statement and the session goes on: FATAL and PANIC end the
    /// session, and are then the cause of whatever fails next.
    pub fn is_refusal(&self) -> bool {
        matches!(self, PgError::Db(error) if error.severity == "ERROR")
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        if let PgError::Db(error) | PgError::Connect { refusal: Some(error), .. } = self
            && let Some(hint) = &error.hint
        {
            return Some(hint.clone());
        }
        let hint = match (self, self.sqlstate()) {
            (_, Some("28P01")) => "check the password (PGPASSWORD, .pgpass, service file) and the user",
            (_, Some("28000")) => {
                "check pg_hba.conf of the server, the user, sslmode, and sslcert if it asks for a certificate"
            }
            (_, Some("3D000")) => "check the database's name",
            (PgError::Connect { .. }, Some("42501")) => {
                "GRANT CONNECT ON DATABASE … TO the role, or name a database that it can connect to"
            }
            (PgError::Connect { .. }, Some("55000")) => {
                "ALTER DATABASE … ALLOW_CONNECTIONS true, or leave the database out"
            }
            (_, Some("53300")) => {
                "wait until other sessions end, or raise the limit: ALTER ROLE … CONNECTION LIMIT, ALTER DATABASE … \
                 CONNECTION LIMIT, max_connections"
            }
            (_, Some("55P03")) => "another session has a lock: wait for it, or allow a longer wait for locks",
            (_, Some("53200")) => {
                "the server ran out of memory or lock slots; raise max_locks_per_transaction"
            }
            (
                PgError::Settings { advice, .. }
                | PgError::Connect { advice, .. }
                | PgError::Certificate { advice, .. },
                _,
            ) => advice,
            (PgError::Closed(_), _) => "check the server's log; nothing was committed",
            _ => return None,
        };
        Some(hint.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_masked_rows_show_no_values() {
        let said = |sqlstate: &str| {
            let error = DbError {
                severity: "ERROR".into(),
                sqlstate: sqlstate.into(),
                message: "invalid input: \"Anna\"".into(),
                detail: Some("Anna".into()),
                hint: Some("Anna".into()),
                context: Some("COPY t, line 1: \"Anna\"".into()),
                table: Some("t".into()),
                ..DbError::default()
            };
            let shown = PgError::Db(Box::new(error)).without_values();
            (shown.sqlstate().unwrap_or_default().to_string(), format!("{shown} {:?}", shown.hint()))
        };
        // About a value, or written by a user's function.
        for sqlstate in ["22P02", "P0001", "23514", "38000", "2200X", "99999", ""] {
            let (code, text) = said(sqlstate);
            assert_eq!(code, sqlstate);
            assert!(!text.contains("Anna") && text.contains(sqlstate), "{text}");
        }
        // About the server: the message stays, and nothing that came with it.
        for sqlstate in ["57014", "XX001", "53200", "42501"] {
            assert_eq!(said(sqlstate).1.matches("Anna").count(), 1, "{sqlstate}");
        }
        assert_eq!(PgError::Broken.without_values().to_string(), PgError::Broken.to_string());
    }
}
