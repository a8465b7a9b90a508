//! What an operator has run before and after the parts of a restore: SQL in the target, or a
//! command.

use pgark_pg::{ConnInfo, Connection};

use crate::command::UserCommand;
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
    /// environment and `PGARK_BACKUP_ID` (also `PGARK_BACKUP`), `PGARK_DATABASE`, `PGARK_HOOK`.
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
    let variables = [
        ("PGARK_BACKUP", around.backup.to_string()),
        ("PGARK_BACKUP_ID", around.backup.to_string()),
        ("PGARK_DATABASE", around.conninfo.dbname().to_string()),
        ("PGARK_HOOK", moment.name().to_string()),
    ];
    let command = UserCommand {
        what: format!("the hook {}", moment.name()),
        shell: command,
        conninfo: around.conninfo,
        variables: &variables,
        limit: None,
    };
    command.run(&*around.job.progress, &|| around.watch.is_cancelled())
}
