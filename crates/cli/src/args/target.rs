//! How far a restored server recovers.

use clap::{Args as ClapArgs, ValueEnum};
use pgark_ops::Lsn;

use super::text::text;
use crate::when::{Moment, moment};

/// Heading of these options.
pub const POINT: &str = "Point in time (with --to-dir)";
/// The options of which one names the point.
const TARGET: &str = "point";
const TARGETS: [&str; 6] =
    ["target_time", "target_lsn", "target_xid", "target_name", "target_latest", "target_immediate"];
/// Targets that have something at them which can be left out.
const OF_SOMETHING: [&str; 4] = ["target_name", "target_latest", "target_immediate", "standby"];

/// How far a restored server recovers, and what it does then.
#[derive(Clone, Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new(TARGET).args(TARGETS).multiple(false))]
pub struct Point {
    /// Recover with archived WAL to this time: a time, or how long ago. Of `latest`, the newest
    /// backup that ended before is restored (docs/wal.md)
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "to_dir")]
    pub target_time: Option<Moment>,
    /// Recover to this WAL position, such as 16/B374D848
    #[arg(long, value_name = "LSN", value_parser = lsn, requires = "to_dir", help_heading = POINT, hide_short_help = true)]
    pub target_lsn: Option<Lsn>,
    /// Recover to the commit of this transaction
    #[arg(long, value_name = "XID", value_parser = xid, requires = "to_dir", help_heading = POINT, hide_short_help = true)]
    pub target_xid: Option<Xid>,
    /// Recover to this restore point (`pgark restore-point` makes one, `pgark list --times` lists
    /// them)
    #[arg(long, value_name = "NAME", value_parser = text(), requires = "to_dir", help_heading = POINT, hide_short_help = true)]
    pub target_name: Option<String>,
    /// Recover to the end of the archived WAL
    #[arg(long, requires = "to_dir", help_heading = POINT, hide_short_help = true)]
    pub target_latest: bool,
    /// Recover to the end of the backup, without archived WAL (default)
    #[arg(long, requires = "to_dir", help_heading = POINT, hide_short_help = true)]
    pub target_immediate: bool,
    /// Stop before the target: the transaction, or the record at the LSN
    #[arg(long, requires = "to_dir", conflicts_with_all = OF_SOMETHING, help_heading = POINT, hide_short_help = true)]
    pub exclusive: bool,
    /// The timeline to recover along: `latest`, `current` (that of the backup), or its number
    #[arg(long, value_name = "TIMELINE", value_parser = timeline, default_value = "latest", requires = "to_dir", conflicts_with_all = ["target_immediate", "standby"], help_heading = POINT, hide_short_help = true)]
    pub target_timeline: Timeline,
    /// What the server does at the target
    #[arg(long, value_enum, value_name = "ACTION", default_value_t = Action::Promote, requires = "to_dir", conflicts_with = "standby", help_heading = POINT, hide_short_help = true)]
    pub target_action: Action,
    /// The restored server is a standby: it recovers without end, and never accepts writes
    #[arg(long, requires = "to_dir", conflicts_with_all = [TARGET, "start"], help_heading = POINT, hide_short_help = true)]
    pub standby: bool,
    /// With --standby: how it connects to its primary
    #[arg(long, value_name = "CONNINFO", value_parser = text(), requires = "standby", help_heading = POINT, hide_short_help = true)]
    pub primary_conninfo: Option<String>,
    /// With --standby: the replication slot on the primary
    #[arg(long, value_name = "NAME", value_parser = text(), requires = "standby", help_heading = POINT, hide_short_help = true)]
    pub primary_slot_name: Option<String>,
    /// The restore_command of the restored server (default: `pgark wal fetch` with the repository
    /// and the secret of this command)
    #[arg(long, value_name = "COMMAND", value_parser = text(), requires = "to_dir", conflicts_with = "target_immediate", help_heading = POINT, hide_short_help = true)]
    pub restore_command: Option<String>,
}

/// A timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeline {
    /// The last one that was begun.
    Latest,
    /// That of the backup.
    Current,
    /// This one.
    Number(u32),
}

/// The number of a transaction, as `pg_current_xact_id()` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xid(pub u64);

/// What a server does at its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// It can be read, and goes on when pg_wal_replay_resume() is called
    Pause,
    /// It begins a new timeline, and accepts writes
    Promote,
    /// It ends
    Shutdown,
}

fn lsn(text: &str) -> Result<Lsn, String> {
    text.parse().map_err(|_| format!("{text:?} is not a WAL position, such as 16/B374D848"))
}

/// The first numbers are not given to transactions (`FirstNormalTransactionId` in
/// src/include/access/transam.h).
fn xid(text: &str) -> Result<Xid, String> {
    let number = text.parse().ok().filter(|number| *number >= 3);
    number.map(Xid).ok_or_else(|| format!("{text:?} is not the number of a transaction, such as 740"))
}

fn timeline(text: &str) -> Result<Timeline, String> {
    match text {
        "latest" => Ok(Timeline::Latest),
        "current" => Ok(Timeline::Current),
        number => number
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .map(Timeline::Number)
            .ok_or_else(|| format!("{text:?} is not a timeline: write latest, current, or its number")),
    }
}
