//! What an operator has run before and after the parts of a restore: SQL in the target, or a
//! command.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use pgark_pg::{ConnInfo, Connection};

use crate::error::Doing;
use crate::watch::Watch;
use crate::{Job, OpsError};

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the first definition.
    BeforePreData,
    /// After the last definition, before the first row.
    AfterPreData,
    /// The same moment, after the hooks of `AfterPreData`.
    BeforeData,
    /// After the last row, before the first index.
    AfterData,
    /// The same moment, after the hooks of `AfterData`.
    BeforePostData,
    /// After everything.
    AfterPostData,
}

impl Moment {
    /// As it is written: `before-pre-data`.
    pub fn name(self) -> &'static str {
        match self {
            Moment::BeforePreData => "before-pre-data",
            Moment::AfterPreData => "after-pre-data",
            Moment::BeforeData => "before-data",
            Moment::AfterData => "after-data",
            Moment::BeforePostData => "before-post-data",
            Moment::AfterPostData => "after-post-data",
        }
    }

    /// All of them, in their order.
    pub const ALL: [Moment; 6] = [
        Moment::BeforePreData,
        Moment::AfterPreData,
        Moment::BeforeData,
        Moment::AfterData,
        Moment::BeforePostData,
        Moment::AfterPostData,
    ];
}

/// What a hook does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// SQL, run in the target database in one round trip (so in one transaction, if it begins none
    /// itself).
    Sql(String),
    /// A command, run by `/bin/sh -c`, with the target's connection parameters in libpq's
    /// environment and `PGARK_BACKUP`, `PGARK_DATABASE`, `PGARK_HOOK`.
    Command(String),
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// When.
    pub moment: Moment,
    /// What.
    pub action: Action,
}

/// Where hooks run.
pub(super) struct Surroundings<'a> {
    pub conninfo: &'a ConnInfo,
    pub backup: &'a str,
    pub job: &'a Job,
    pub watch: &'a Watch,
}

/// Runs the hooks of a moment, in the order in which they were given. The first that fails ends the
/// restore.
pub(super) fn run(hooks: &[Hook], moment: Moment, around: &Surroundings<'_>) -> Result<(), OpsError> {
    for hook in hooks.iter().filter(|hook| hook.moment == moment) {
        around.job.cancel.check().map_err(|_| OpsError::Cancelled)?;
        around.job.progress.info(&format!("hook {}", moment.name()));
        match &hook.action {
            Action::Sql(sql) => {
                let doing = format!("run the hook {}", moment.name());
                let mut connection = Connection::connect(around.conninfo).doing("connect to the target")?;
                around.watch.add(connection.canceller());
                connection.simple(sql).doing(doing)?;
            }
            Action::Command(command) => run_command(command, moment, around)?,
        }
    }
    Ok(())
}

fn run_command(command: &str, moment: Moment, around: &Surroundings<'_>) -> Result<(), OpsError> {
    let failed = |what: String| OpsError::Tool { program: format!("the hook {}", moment.name()), what };
    let mut child = Command::new("/bin/sh");
    child.arg("-c").arg(command);
    crate::tools::only_connection_environment(&mut child, pgark_store::Child::Command, around.conninfo);
    child
        .env("PGARK_BACKUP", around.backup)
        .env("PGARK_DATABASE", around.conninfo.dbname())
        .env("PGARK_HOOK", moment.name());
    let mut child = child
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Its children end with it: they would hold its standard error, which is read to its end.
        .process_group(0)
        .spawn()
        .map_err(|source| failed(format!("/bin/sh cannot be started: {source}")))?;
    let stderr = child.stderr.take();
    let (status, said) = thread::scope(|scope| {
        let said = scope.spawn(|| {
            let mut said = Vec::new();
            if let Some(stderr) = stderr {
                // What cannot be read was not said.
                let _ = stderr.take(64 << 10).read_to_end(&mut said);
            }
            String::from_utf8_lossy(&said).trim().to_string()
        });
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) if around.watch.is_cancelled() => {
                    // It may be gone already; either way it is reaped.
                    let _ = rustix::process::kill_process_group(
                        rustix::process::Pid::from_child(&child),
                        rustix::process::Signal::KILL,
                    );
                    let _ = child.wait();
                    break Err(OpsError::Cancelled);
                }
                Ok(None) => thread::sleep(Duration::from_millis(20)),
                Err(source) => break Err(failed(source.to_string())),
            }
        };
        (status, said.join().unwrap_or_default())
    });
    let status = status?;
    if status.success() {
        if !said.is_empty() {
            around.job.progress.info(&said);
        }
        return Ok(());
    }
    Err(failed(if said.is_empty() {
        format!("it ended with {status}")
    } else {
        format!("it ended with {status}: {said}")
    }))
}
