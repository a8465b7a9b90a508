//! `list --times`: which moments can be recovered, of which timelines, and which restore points
//! there are.

use jiff::Timestamp;
use pgark_bytes::lsn::Lsn;
use pgark_repo::Repository;
use schemars::JsonSchema;
use serde::Serialize;

use super::archive;
use super::archived::Archived;
use super::candidate::{self, Candidate};
use super::path::{Headers, Path, Proof};
use crate::{Job, OpsError};

/// What is asked for.
pub struct Request {
    /// The cluster; by default the only one that has WAL.
    pub cluster: Option<String>,
    /// Headers that are read at once.
    pub jobs: usize,
}

/// The moments to which a cluster can be recovered.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "RecoverableTimes")]
pub struct Report {
    /// Name of the cluster.
    pub cluster: String,
    /// System identifier, in decimal.
    pub system_identifier: String,
    /// By timeline: each with what it shares with those before it.
    pub timelines: Vec<TimelineTimes>,
}

/// The moments along the path to a timeline.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TimelineTimes {
    /// The timeline, as `--target-timeline` takes it.
    pub timeline: u32,
    /// Spans without a gap, the oldest first.
    pub spans: Vec<TimeSpan>,
    /// Restore points in them, in the order of the WAL.
    pub restore_points: Vec<RecoverablePoint>,
}

/// Any moment from one to another.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TimeSpan {
    /// Id of the backup at its beginning.
    pub backup: String,
    /// WAL position where that backup ends.
    pub from_lsn: String,
    /// When it ended: RFC 3339, UTC. Null: not known.
    pub from_time: Option<String>,
    /// Where the archived WAL ends, or is broken off.
    pub to_lsn: String,
    /// When the last transaction up to there ended: RFC 3339, UTC. Null: there is none, or it is
    /// not known.
    pub to_time: Option<String>,
    /// Transactions that committed in it.
    pub commits: u64,
    /// Why it does not go on, if later WAL is there.
    pub broken: Option<String>,
}

/// A restore point.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RecoverablePoint {
    /// Its name.
    pub name: String,
    /// WAL position of its record.
    pub lsn: String,
    /// When it was made: RFC 3339, UTC.
    pub time: Option<String>,
}

/// Finds out.
///
/// # Errors
/// No WAL is archived; what the repository says of something else than a file of WAL.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<Report, OpsError> {
    let repository = &job.on(repository);
    let (cluster, system) = archive::whose(repository, request.cluster.as_deref())?;
    let archive = repository.wal(&cluster, system)?;
    job.progress.phase("listing the WAL");
    let archived = Archived::read(&archive)?;
    archived.problems.iter().for_each(|problem| job.progress.warn(problem));
    let identifier = system.to_string();
    let mut heads = repository.backups()?;
    heads.retain(|head| head.complete && head.cluster == cluster);
    let mut candidates = candidate::of_system(&heads, &identifier);
    candidates.sort_by_key(|candidate| candidate.stop);
    job.progress.phase("reading the headers of the WAL");
    let headers = Headers::of(&archive);
    let mut timelines = Vec::new();
    for timeline in archived.timelines.keys() {
        let path = Path::to(&headers, &archived, *timeline);
        let own: Vec<&Candidate> =
            candidates.iter().filter(|candidate| path.has(candidate.timeline, candidate.stop)).collect();
        timelines.push(times(&path, &own, request.jobs, job)?);
    }
    Ok(Report { cluster, system_identifier: identifier, timelines })
}

/// The spans of a path: the first begins with the oldest backup, the next with the oldest one
/// behind the end of the first.
fn times(
    path: &Path<'_>,
    candidates: &[&Candidate],
    jobs: usize,
    job: &Job,
) -> Result<TimelineTimes, OpsError> {
    let mut times =
        TimelineTimes { timeline: path.timeline(), spans: Vec::new(), restore_points: Vec::new() };
    let mut end = None;
    for candidate in candidates {
        if end.is_some_and(|end| candidate.stop <= end) {
            continue;
        }
        let proof = path.prove(candidate.stop, jobs, job, |_| false)?;
        end = Some(proof.end);
        times.add(candidate, &proof);
    }
    Ok(times)
}

impl TimelineTimes {
    fn add(&mut self, begin: &Candidate, proof: &Proof) {
        let mut span = TimeSpan {
            backup: begin.id.clone(),
            from_lsn: begin.stop.to_string(),
            from_time: begin.stop_time.map(|time| time.to_string()),
            to_lsn: proof.end.to_string(),
            to_time: None,
            commits: 0,
            broken: proof.broken.clone(),
        };
        let mut last = None;
        for contents in proof.steps.iter().filter_map(|step| step.facts.contents.as_ref()) {
            span.commits += contents.commits;
            last = last.max(contents.ended.map(|[_, last]| last));
            for point in &contents.restore_points {
                if point.lsn.parse::<Lsn>().is_ok_and(|lsn| lsn >= begin.stop) {
                    self.restore_points.push(RecoverablePoint {
                        name: point.name.clone(),
                        lsn: point.lsn.clone(),
                        time: text(point.time),
                    });
                }
            }
        }
        span.to_time = last.and_then(text);
        self.spans.push(span);
    }
}

fn text(microseconds: i64) -> Option<String> {
    Timestamp::from_microsecond(microseconds).ok().map(|time| time.to_string())
}
