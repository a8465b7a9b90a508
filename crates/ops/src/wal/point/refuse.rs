//! Why a target cannot be reached, and what can.

use jiff::Timestamp;
use pgark_bytes::lsn::Lsn;

use super::super::candidate::Candidate;
use super::super::facts::RestorePointFacts;
use super::super::path::Proof;
use crate::OpsError;
use crate::advice::{Operation, Setting, advice};

pub(super) fn no_wal(cluster: &str) -> OpsError {
    OpsError::refused(
        format!("no WAL of cluster {cluster} is archived for the system of this backup"),
        advice![
            Operation::PushWal,
            " archives it; without archived WAL a backup is restored to its own end, with ",
            Setting::TargetImmediate
        ],
    )
}

pub(super) fn no_timeline(number: u32, known: impl Iterator<Item = u32>) -> OpsError {
    let known: Vec<String> = known.map(|timeline| timeline.to_string()).collect();
    OpsError::refused(
        format!("there is no WAL of timeline {number}; there is WAL of {}", known.join(", ")),
        advice!["name one of these with ", Setting::TargetTimeline.to("N")],
    )
}

pub(super) fn none_on_path(timeline: u32, of: &[u32]) -> OpsError {
    let mut of = of.to_vec();
    of.sort_unstable();
    of.dedup();
    let of: Vec<String> = of.iter().map(u32::to_string).collect();
    OpsError::refused(
        format!(
            "no backup leads to timeline {timeline}: the backups are of timeline {}, and ended after it was left",
            of.join(", ")
        ),
        advice![
            "restore to another timeline with ",
            Setting::TargetTimeline.to("N"),
            ", or to that of the backup"
        ],
    )
}

/// The target is before the end of each backup.
pub(super) fn too_early(candidates: &[Candidate]) -> OpsError {
    let earliest = candidates.last().map(|candidate| {
        let time = candidate.stop_time.map_or_else(String::new, |time| format!(" ({time})"));
        format!("the earliest moment is the end of backup {}, {}{time}", candidate.id, candidate.stop)
    });
    OpsError::refused(
        format!("no backup had ended before the target: {}", earliest.unwrap_or_default()),
        advice!["name a later target, or restore this backup to its own end with ", Setting::TargetImmediate],
    )
}

/// The WAL does not go on.
pub(super) fn broken(why: &str, proof: &Proof, begin: &Candidate) -> OpsError {
    not_up_to("the target", why, proof, begin)
}

pub(super) fn not_up_to(what: &str, why: &str, proof: &Proof, begin: &Candidate) -> OpsError {
    OpsError::refused(
        format!(
            "the WAL behind backup {} does not lead to {what}: {why}. It is proved up to {}{}",
            begin.id,
            proof.end,
            last_transaction(proof)
        ),
        advice![
            "name a target up to there, or a backup that ended later; ",
            Operation::CheckWal,
            " names all that is missing"
        ],
    )
}

pub(super) fn too_late(time: Timestamp, clock: Option<i64>, proof: &Proof) -> OpsError {
    let clock = clock.and_then(|clock| Timestamp::from_microsecond(clock).ok());
    let clock = clock.map_or_else(|| "at no time".to_string(), |clock| format!("at {clock}"));
    OpsError::refused(
        format!(
            "the archived WAL does not reach {time}: it ends {clock}, at {}{}",
            proof.end,
            last_transaction(proof)
        ),
        advice!["name an earlier time, or recover all of it with ", Setting::TargetLatest],
    )
}

pub(super) fn beyond(lsn: Lsn, proof: &Proof) -> OpsError {
    OpsError::refused(
        format!("the archived WAL does not reach {lsn}: it ends at {}{}", proof.end, last_transaction(proof)),
        advice!["name an LSN before that, or recover all of it with ", Setting::TargetLatest],
    )
}

pub(super) fn rolled_back(xid: u64, at: Lsn) -> OpsError {
    OpsError::refused(
        format!("transaction {xid} was rolled back, at {at}"),
        advice!["a point of the WAL is named with ", Setting::TargetLsn.to("LSN")],
    )
}

pub(super) fn no_transaction(xid: u64, oldest: Option<&Candidate>) -> OpsError {
    OpsError::refused(
        format!("the archived WAL has no commit of transaction {xid}{}", since(oldest)),
        "did it commit, and is the WAL of then archived? Transactions inside of another one have no commit of their own",
    )
}

pub(super) fn no_name(name: &str, oldest: Option<&Candidate>) -> OpsError {
    OpsError::refused(
        format!("the archived WAL has no restore point {name:?}{}", since(oldest)),
        advice![Operation::ListTimes, " lists the restore points"],
    )
}

pub(super) fn name_twice<'a>(name: &str, points: impl Iterator<Item = &'a RestorePointFacts>) -> OpsError {
    let points: Vec<String> = points
        .map(|point| match Timestamp::from_microsecond(point.time) {
            Ok(time) => format!("{} ({time})", point.lsn),
            Err(_) => point.lsn.clone(),
        })
        .collect();
    OpsError::refused(
        format!("there are several restore points {name:?}: at {}", points.join(", ")),
        advice!["say which one with ", Setting::TargetLsn.to("LSN")],
    )
}

fn since(oldest: Option<&Candidate>) -> String {
    oldest.map_or_else(String::new, |oldest| format!(" since the end of backup {}, the oldest", oldest.id))
}

/// When the last transaction of what was proved ended, as the headers say.
fn last_transaction(proof: &Proof) -> String {
    let ended = proof.steps.iter().rev().find_map(|step| step.facts.contents.as_ref()?.ended);
    let time = ended.and_then(|[_, last]| Timestamp::from_microsecond(last).ok());
    time.map_or_else(String::new, |time| format!(" (the last transaction ended at {time})"))
}
