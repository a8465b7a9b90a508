//! `pgark sessions`.

use std::process::ExitCode;

use pgark_ops::sessions::{self as ops, Session, State};

use crate::args::Sessions;
use crate::context::Context;
use crate::error::Failure;
use crate::json::Document;
use crate::output::{self, Align};
use crate::{progress, repository, when};

/// Lists the sessions, or ends one.
pub fn run(context: &Context, args: Sessions) -> Result<ExitCode, Failure> {
    let repository = repository::open(context, &args.repository)?;
    match &args.end {
        Some(id) => {
            let session = {
                let job = progress::watched_job(&context.common)?;
                ops::end(&repository, id, args.force, &job)?
            };
            match args.json {
                true => output::json(&Document::SessionEnded(&session))?,
                false => output::line(&format!("session {} has ended", session.id))?,
            }
        }
        None => {
            let sessions = {
                let job = progress::watched_job(&context.common)?;
                ops::list(&repository, &job)?
            };
            match args.json {
                true => output::json(&Document::Sessions { sessions: &sessions })?,
                false => show(&sessions)?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(sessions: &[Session]) -> Result<(), Failure> {
    let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".into());
    let rows: Vec<Vec<String>> = sessions
        .iter()
        .map(|session| {
            vec![
                session.id.clone(),
                said(&session.cluster),
                said(&session.purpose),
                said(&session.host),
                when::of_report(&session.began),
                when::of_report(&session.heard),
                state(session.state).to_string(),
                if session.prune_waits { "waits" } else { "does not wait" }.to_string(),
            ]
        })
        .collect();
    let columns = ["ID", "CLUSTER", "WHAT", "HOST", "SINCE", "LAST SIGN", "STATE", "PRUNE"];
    output::table(&columns.map(|name| (name, Align::Left)), &rows)
}

fn state(state: State) -> &'static str {
    match state {
        State::AtWork => "at work",
        State::Silent => "silent",
        State::Gone => "gone",
        State::Dead => "dead",
        State::Over => "over",
    }
}
