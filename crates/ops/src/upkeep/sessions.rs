//! Who is writing into a repository, and an end for a session whose writer is gone.

use pgark_repo::{Repository, SessionState, WriterSession};
use schemars::JsonSchema;
use serde::Serialize;

use crate::select::is_prefix;
use crate::{Job, OpsError};

/// A session: a command that is writing a backup into the repository.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Session {
    /// Id that the backup has, or will have: 16 hex digits.
    pub id: String,
    /// Name of the cluster. Null: it was written by an older version, which does not say it.
    pub cluster: Option<String>,
    /// What it does: `backup`, `import`, `copy` or `repair`. Null: not known.
    pub purpose: Option<String>,
    /// Name of the host that it runs on. Null: not known.
    pub host: Option<String>,
    /// When it began, by the storage's clock: RFC 3339, UTC.
    pub began: String,
    /// When it was last renewed, by the storage's clock: RFC 3339, UTC.
    pub heard: String,
    /// Whether it is still running.
    pub state: State,
    /// Whether `prune` waits for it: nothing that was marked after it began is deleted before it
    /// ends.
    pub prune_waits: bool,
}

/// Whether a session is still running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "SessionState")]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was renewed in the last 15 minutes.
    AtWork,
    /// It was not renewed in the last 15 minutes.
    Silent,
    /// Its process ran on this host and has ended.
    Gone,
    /// It was not renewed for an hour.
    Dead,
    /// Its backup is committed or forgotten.
    Over,
}

impl From<WriterSession> for Session {
    fn from(session: WriterSession) -> Session {
        let said = |text: &str| Some(text.to_string()).filter(|text| !text.is_empty());
        Session {
            id: session.id.to_string(),
            cluster: said(&session.cluster),
            purpose: said(&session.purpose),
            host: said(&session.host),
            began: format!("{:.0}", session.began),
            heard: format!("{:.0}", session.heard),
            state: match session.state {
                SessionState::AtWork => State::AtWork,
                SessionState::Silent => State::Silent,
                SessionState::Gone => State::Gone,
                SessionState::Dead => State::Dead,
                SessionState::Over => State::Over,
            },
            prune_waits: session.is_waited_for(),
        }
    }
}

/// Every session that is there, the oldest first.
pub fn list(repository: &Repository, job: &Job) -> Result<Vec<Session>, OpsError> {
    Ok(job.on(repository).sessions()?.into_iter().map(Session::from).collect())
}

/// Ends the session that this text means: an id, or a unique prefix of one. One that seems to be at
/// work only with `force`. Returns it as it was.
pub fn end(repository: &Repository, text: &str, force: bool, job: &Job) -> Result<Session, OpsError> {
    let repository = job.on(repository);
    let wanted = text.to_ascii_lowercase();
    let sessions = repository.sessions()?;
    let mut meant = sessions.iter().filter(|session| session.id.to_string().starts_with(&wanted));
    let ids: Vec<String> = sessions.iter().map(|session| session.id.to_string()).collect();
    let there = match ids.as_slice() {
        [] => "there is none".to_string(),
        ids => format!("there are {}", ids.join(", ")),
    };
    match (meant.next(), meant.next()) {
        _ if !is_prefix(&wanted) => Err(OpsError::NoName {
            what: format!("{text:?} does not name a session"),
            hint: format!("give an id of 16 hex digits or a unique prefix of at least 4; {there}").into(),
        }),
        (None, _) => Err(OpsError::refused(format!("no session has the id {text:?}"), there)),
        (Some(_), Some(_)) => Err(OpsError::refused(format!("{text:?} means several sessions"), there)),
        (Some(session), None) => Ok(repository.end_session(session.id, force)?.into()),
    }
}
