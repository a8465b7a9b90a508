//! What a restore is asked for.

use pgark_pg::ConnInfo;

use super::hooks::{Hook, Moment};
use crate::advice::{Advice, Setting, advice};
use crate::logical::choose::ContentsFilter;
use crate::{BackupName, OpsError};

/// What the target is to the restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It exists and holds no user objects.
    Existing,
    /// It is created, with its properties.
    Create,
    /// The objects that the backup holds are dropped first.
    Clean,
}

/// Which of the backup's databases, and under which names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Databases {
    /// One of them.
    One {
        /// Its name in the backup; may be left out where the backup holds only one.
        from: Option<String>,
        /// The target's name; its own by default.
        to: Option<String>,
    },
    /// Several, under their own names.
    Named(Vec<String>),
    /// All, under their own names.
    All,
    /// None: only the globals.
    None,
}

/// How rows are loaded.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Triggers of tables that were there before do not fire.
    pub disable_triggers: bool,
    /// Rows are loaded under `session_replication_role = replica`.
    pub replica_role: bool,
    /// Rows that violate a constraint are left out and listed.
    pub skip_conflicts: bool,
    /// With `skip_conflicts`: values for columns that are always generated as identity are taken as
    /// they are.
    pub overriding_system_value: bool,
}

/// What to restore and where to.
pub struct Request {
    /// Which backup.
    pub backup: BackupName,
    /// The target's server.
    pub conninfo: ConnInfo,
    /// Where to connect while the target is not there yet, and nowhere else.
    pub maintenance_db: Option<String>,
    /// Which databases.
    pub databases: Databases,
    /// What the targets are.
    pub target: Target,
    /// Roles, memberships and tablespaces first.
    pub globals: bool,
    /// Objects belong to the connecting role.
    pub no_owner: bool,
    /// Leave out GRANT and REVOKE.
    pub no_privileges: bool,
    /// SET ROLE to this after connecting.
    pub role: Option<String>,
    /// Parallel connections.
    pub jobs: usize,
    /// Stop at the first object that fails.
    pub exit_on_error: bool,
    /// All or nothing, over one connection.
    pub single_transaction: bool,
    /// With [`Target::Clean`]: objects that are not there are no news.
    pub if_exists: bool,
    /// With [`Target::Clean`]: what this run does not bring back is dropped, too.
    pub accept_loss: bool,
    /// Gather the planner's statistics at the end.
    pub analyze: bool,
    /// What of each database.
    pub choice: ContentsFilter,
    /// How rows are loaded.
    pub load: Load,
    /// What is run before and after the parts.
    pub hooks: Vec<Hook>,
    /// Look at the target and say what would be done; touch nothing.
    pub dry_run: bool,
}

impl Request {
    /// Refuses what contradicts itself.
    pub(super) fn refuse_nonsense(&self) -> Result<(), OpsError> {
        let wrong = |what: Advice| Err(OpsError::Usage(what));
        if self.accept_loss && self.target != Target::Clean {
            return wrong(advice![
                Setting::AcceptLoss,
                " applies to what ",
                Setting::Clean,
                " drops: give it with ",
                Setting::Clean,
            ]);
        }
        if self.single_transaction && self.target == Target::Create {
            return wrong(advice![
                "a database cannot be created within a transaction: ",
                Setting::SingleTransaction,
                " does not work with ",
                Setting::Create,
            ]);
        }
        if self.single_transaction && !matches!(self.databases, Databases::One { .. }) {
            return wrong(advice![Setting::SingleTransaction, " restores one database"]);
        }
        let between = |hook: &Hook| !matches!(hook.moment, Moment::BeforePreData | Moment::AfterPostData);
        if self.single_transaction && self.hooks.iter().any(between) {
            return wrong(advice![
                Setting::SingleTransaction,
                " has no moments in between: use before-pre-data or after-post-data",
            ]);
        }
        if self.databases == Databases::None && !self.hooks.is_empty() {
            return wrong(advice!["hooks run in a database: ", Setting::GlobalsOnly, " has none"]);
        }
        if self.load.overriding_system_value && !self.load.skip_conflicts {
            return wrong(advice![
                Setting::OverridingSystemValue,
                " concerns inserts; COPY always does so: give it with ",
                Setting::OnConflict.to("skip"),
            ]);
        }
        if self.databases == Databases::None && !self.globals {
            return wrong("nothing is left to restore".into());
        }
        Ok(())
    }

    /// How sessions begin: all of them become the role that was asked for.
    pub(super) fn session(&self) -> ConnInfo {
        self.conninfo.with_role(self.role.as_deref().or(self.conninfo.role()))
    }
}
