//! `hooks`: commands of the operator around a backup.
//!
//! **Order.** The one before the backup; if it fails, there is no backup. Behind the backup, if
//! something that was asked for is not there (it failed, was interrupted, or is incomplete), the
//! one for failures; and then, however it ended, the one behind it.
//!
//! **Environment.** That of this program without the secrets of the repository and of storages,
//! with the server's connection parameters in libpq's variables, and with what is known by then in
//! variables of our own ([`Hooks::before`], [`Ended`]). Hooks of a restore have the same names.
//!
//! **Failure.** A hook behind the backup takes nothing from it: its error is returned.
//!
//! **Cancel.** A cancel ends the hook that runs. Behind a backup that was cancelled the others
//! still run: they are there to put back what the first one has changed.

use std::time::Duration;

use pgark_pg::ConnInfo;

use crate::command::UserCommand;
use crate::facts::BackupStatus;
use crate::record::BackupRecord;
use crate::{Job, OpsError};

/// What runs around a backup, by `/bin/sh -c`.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// Before it.
    pub pre: Option<String>,
    /// Behind it, however it ended.
    pub post: Option<String>,
    /// Behind it, if something that was asked for is not there.
    pub failure: Option<String>,
    /// How long each may take.
    pub limit: Option<Duration>,
    /// The server that is backed up.
    pub conninfo: ConnInfo,
    /// The cluster's name, where the operator has named it.
    pub cluster: Option<String>,
}

/// How a backup ended, and what is known of it.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How.
    pub how: How,
    /// The backup, if there is one.
    pub backup: Option<BackupRecord>,
    /// What went wrong.
    pub error: Option<String>,
}

/// How a backup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// All that was asked for is there.
    Complete,
    /// The backup is there, and something that was asked for is not.
    Incomplete,
    /// There is no backup.
    Failed,
    /// It was stopped from outside.
    Interrupted,
}

impl How {
    fn name(self) -> &'static str {
        match self {
            How::Complete => "complete",
            How::Incomplete => "incomplete",
            How::Failed => "failed",
            How::Interrupted => "interrupted",
        }
    }

    /// How a backup ended that is there.
    pub fn of(backup: &BackupRecord, all_is_there: bool) -> How {
        match backup.status == BackupStatus::Complete && all_is_there {
            true => How::Complete,
            false => How::Incomplete,
        }
    }
}

type Variables = Vec<(&'static str, String)>;

impl Hooks {
    /// Whether there is none at all.
    pub fn are_none(&self) -> bool {
        self.pre.is_none() && self.post.is_none() && self.failure.is_none()
    }

    /// Runs the one before the backup, with `PGARK_HOOK` (`pre`), `PGARK_STATUS` (`starting`) and
    /// `PGARK_CLUSTER`, if the cluster was named.
    ///
    /// # Errors
    /// It failed: there is to be no backup.
    pub fn before(&self, job: &Job) -> Result<(), OpsError> {
        let Some(shell) = &self.pre else { return Ok(()) };
        let cluster = self.cluster.iter().map(|cluster| ("PGARK_CLUSTER", cluster.clone()));
        let variables = [("PGARK_STATUS", "starting".to_string())].into_iter().chain(cluster);
        self.run("pre", shell, variables.collect(), job, &|| job.cancel.is_cancelled())
    }

    /// Runs those behind the backup, with `PGARK_HOOK` (`failure`, `post`) and what [`Ended`] says.
    /// Returns what went wrong with them.
    pub fn after(&self, ended: &Ended, job: &Job) -> Vec<OpsError> {
        // What ended the backup does not end what has to come behind it.
        let was_cancelled = job.cancel.is_cancelled();
        let is_cancelled = || !was_cancelled && job.cancel.is_cancelled();
        let variables = ended.variables(self.cluster.as_deref());
        let failure = self.failure.as_ref().filter(|_| ended.how != How::Complete);
        let hooks = [("failure", failure), ("post", self.post.as_ref())];
        let hooks = hooks.into_iter().filter_map(|(name, shell)| Some((name, shell?)));
        hooks
            .filter_map(|(name, shell)| self.run(name, shell, variables.clone(), job, &is_cancelled).err())
            .collect()
    }

    fn run(
        &self,
        name: &str,
        shell: &str,
        mut variables: Variables,
        job: &Job,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<(), OpsError> {
        variables.push(("PGARK_HOOK", name.to_string()));
        job.progress.phase(&format!("hook {name}"));
        let command = UserCommand {
            what: format!("the hook {name}"),
            shell,
            conninfo: &self.conninfo,
            variables: &variables,
            limit: self.limit,
        };
        command.run(&*job.progress, is_cancelled)
    }
}

impl Ended {
    /// `PGARK_STATUS`; of a backup that is there `PGARK_BACKUP_ID` (also `PGARK_BACKUP`),
    /// `PGARK_CLUSTER`, `PGARK_DATABASES` (a line for each), `PGARK_BYTES_READ`,
    /// `PGARK_BYTES_ADDED`, `PGARK_SECONDS`; `PGARK_ERROR` where something went wrong.
    fn variables(&self, cluster: Option<&str>) -> Variables {
        let mut variables = vec![("PGARK_STATUS", self.how.name().to_string())];
        match &self.backup {
            Some(backup) => variables.extend([
                ("PGARK_BACKUP", backup.id.clone()),
                ("PGARK_BACKUP_ID", backup.id.clone()),
                ("PGARK_CLUSTER", backup.cluster.clone()),
                ("PGARK_DATABASES", backup.databases.join("\n")),
                ("PGARK_BYTES_READ", backup.bytes_raw.to_string()),
                ("PGARK_BYTES_ADDED", backup.bytes_added.to_string()),
                ("PGARK_SECONDS", backup.seconds.to_string()),
            ]),
            None => variables.extend(cluster.map(|cluster| ("PGARK_CLUSTER", cluster.to_string()))),
        }
        variables.extend(self.error.iter().map(|error| ("PGARK_ERROR", error.clone())));
        variables
    }
}
