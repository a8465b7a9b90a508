//! A hot standby stands still while it is backed up: replay is paused, so that it neither cancels
//! our queries nor waits behind our locks.
//!
//! Replay is paused only at a moment at which the startup process holds no AccessExclusiveLock:
//! paused with one, it would keep it, and the backup would wait for that table forever. It is
//! resumed on every way out, unless someone else had paused it before us. Only `kill -9` of pgark
//! leaves it paused: `SELECT pg_wal_replay_resume()` ends that.

use std::thread;
use std::time::{Duration, Instant};

use pgark_pg::{ConnInfo, Connection, PgError, Use};

use super::cluster::Survey;
use super::request::Request;
use crate::advice::{Setting, advice};
use crate::cluster::settings::may;
use crate::error::{Doing, with_causes};
use crate::watch::Watch;
use crate::{Job, OpsError};

/// Between two looks at the server.
const TICK: Duration = Duration::from_millis(200);
/// How often resuming is tried over a new connection.
const TRIES: u32 = 5;

/// Replay that was paused, or not; [`Pause::end`] resumes it.
pub(super) struct Pause {
    paused: Option<Paused>,
}

struct Paused {
    connection: Connection,
    /// To connect again, should the connection be lost.
    conninfo: ConnInfo,
}

impl Pause {
    /// On a standby: waits for a good moment and pauses replay.
    pub(super) fn begin(
        survey: &mut Survey,
        request: &Request,
        job: &Job,
        watch: &Watch,
    ) -> Result<Pause, OpsError> {
        let none = Pause { paused: None };
        let Some(timeout) = request.pause_timeout.filter(|_| survey.in_recovery) else { return Ok(none) };
        if !may(
            &mut survey.connection,
            "pg_catalog.has_function_privilege('pg_catalog.pg_wal_replay_pause()', 'EXECUTE') \
             AND pg_catalog.has_function_privilege('pg_catalog.pg_wal_replay_resume()', 'EXECUTE')",
        )? {
            job.progress.warn(
                "replay continues while this standby is backed up, and can cancel the backup's queries: \
                 GRANT EXECUTE ON FUNCTION pg_wal_replay_pause(), pg_wal_replay_resume() to the role",
            );
            return Ok(none);
        }
        if may(&mut survey.connection, "pg_catalog.pg_is_wal_replay_paused()")? {
            job.progress.info("replay is already paused, and stays paused");
            return Ok(none);
        }
        job.progress.phase("pausing replay");
        // Not under watch: it must outlive a cancel.
        let connection = connect(&survey.pinned).doing("connect to the standby")?;
        let mut pause = Pause { paused: Some(Paused { connection, conninfo: survey.pinned.clone() }) };
        let server_version = survey.server_version;
        let result = match pause.paused.as_mut() {
            Some(paused) => paused.wait(server_version, timeout, watch),
            None => Ok(()),
        };
        match result {
            Ok(()) => Ok(pause),
            Err(error) => {
                pause.end(job)?;
                Err(error)
            }
        }
    }

    /// Resumes replay, if this backup paused it. An error means that it is still paused.
    pub(super) fn end(mut self, job: &Job) -> Result<(), OpsError> {
        let Some(mut paused) = self.paused.take() else { return Ok(()) };
        paused.resume(job)
    }
}

/// A panic on the way is no reason to leave a standby paused.
impl Drop for Pause {
    fn drop(&mut self) {
        if let Some(mut paused) = self.paused.take() {
            // Nobody is left to be told.
            let _ = paused.resume(&Job::quiet());
        }
    }
}

impl Paused {
    /// Pauses, and takes the pause back for as long as the startup process holds or awaits an
    /// exclusive lock.
    fn wait(&mut self, server_version: i32, timeout: Duration, watch: &Watch) -> Result<(), OpsError> {
        let begun = Instant::now();
        let doing = "pause replay";
        loop {
            self.connection.execute("SELECT pg_catalog.pg_wal_replay_pause()").doing(doing)?;
            self.until_paused(server_version, begun, timeout, watch)?;
            // On 13, replay that waits for a lock looks like replay that is paused.
            let lock = exclusive_lock(&mut self.connection)?;
            if lock.is_none() {
                return Ok(());
            }
            self.connection.execute("SELECT pg_catalog.pg_wal_replay_resume()").doing("resume replay")?;
            if begun.elapsed() >= timeout {
                return Err(not_in_time(timeout, lock));
            }
            rest(watch)?;
        }
    }

    /// A request to pause is granted when replay next looks at it (trap 27).
    fn until_paused(
        &mut self,
        server_version: i32,
        begun: Instant,
        timeout: Duration,
        watch: &Watch,
    ) -> Result<(), OpsError> {
        // 13 does not tell: there replay is paused when its position does not move between two
        // looks.
        let sql = if server_version >= 140_000 {
            "SELECT pg_catalog.pg_get_wal_replay_pause_state() = 'paused', ''"
        } else {
            "SELECT pg_catalog.pg_is_wal_replay_paused(), pg_catalog.pg_last_wal_replay_lsn()"
        };
        let mut last = None;
        loop {
            let doing = "wait for replay to pause";
            let rows = self.connection.query(sql, &[]).doing(doing)?;
            let row = rows.first();
            let is_paused = row.map(|row| row.str(0)).transpose().doing(doing)? == Some("t");
            let position = row.and_then(|row| row.get(1)).map(<[u8]>::to_vec);
            if is_paused && (server_version >= 140_000 || last == Some(position.clone())) {
                return Ok(());
            }
            if begun.elapsed() >= timeout {
                let lock = exclusive_lock(&mut self.connection)?;
                return Err(not_in_time(timeout, lock));
            }
            last = Some(position);
            rest(watch)?;
        }
    }

    fn resume(&mut self, job: &Job) -> Result<(), OpsError> {
        let mut attempt = 1;
        loop {
            let result = self
                .connection
                .execute("SELECT pg_catalog.pg_wal_replay_resume() WHERE pg_catalog.pg_is_in_recovery()")
                .doing("resume replay");
            match result {
                Ok(()) => return Ok(()),
                Err(error) if attempt >= TRIES => {
                    let what = format!("replay of the standby is still paused: {}", with_causes(&error));
                    return Err(OpsError::refused(what, "run SELECT pg_wal_replay_resume() there"));
                }
                Err(error) => {
                    job.progress.warn(&format!("{}; connecting again", with_causes(&error)));
                    thread::sleep(TICK * attempt);
                    // Where that fails too, the next attempt says so.
                    if let Ok(connection) = connect(&self.conninfo) {
                        self.connection = connection;
                    }
                    attempt += 1;
                }
            }
        }
    }
}

/// A session that lasts as long as the pause.
fn connect(conninfo: &ConnInfo) -> Result<Connection, PgError> {
    let mut connection = Connection::connect_to_settle(conninfo)?;
    connection.settle(conninfo, Use::Read, &[], false)?;
    Ok(connection)
}

/// An exclusive lock of the process that replays: no session of a standby can take one, or wait for
/// one.
struct ExclusiveLock {
    relation: String,
    /// Else it waits for it, behind queries of this standby, and pauses no sooner.
    is_held: bool,
}

fn exclusive_lock(connection: &mut Connection) -> Result<Option<ExclusiveLock>, OpsError> {
    let doing = "find exclusive locks";
    let rows = connection
        .query(
            "SELECT coalesce(d.datname, '') || ' (relation ' || l.relation::pg_catalog.text || ')', l.granted \
             FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_database d ON d.oid = l.database \
             WHERE l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation' \
             ORDER BY l.granted DESC LIMIT 1",
            &[],
        )
        .doing(doing)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let relation = row.str(0).doing(doing)?.to_string();
    Ok(Some(ExclusiveLock { relation, is_held: row.str(1).doing(doing)? == "t" }))
}

/// Why replay did not stand still in time, as far as its locks tell.
fn not_in_time(timeout: Duration, lock: Option<ExclusiveLock>) -> OpsError {
    let or_else = advice![
        "give a longer ",
        Setting::PauseTimeout,
        "; ",
        Setting::PauseTimeout.to("0"),
        " backs up without a pause",
    ];
    match lock {
        Some(ExclusiveLock { relation, is_held: true }) => OpsError::refused(
            format!(
                "replay could not be paused within {timeout:?}: it holds an exclusive lock on {relation}"
            ),
            advice![
                "wait until that transaction has ended on the primary, or ",
                or_else,
                "; a prepared transaction must be ended by hand: see pg_prepared_xacts on the primary",
            ],
        ),
        Some(ExclusiveLock { relation, is_held: false }) => OpsError::refused(
            format!(
                "replay could not be paused within {timeout:?}: \
                 it waits for an exclusive lock on {relation}, which queries on this standby block"
            ),
            advice!["wait until those queries have ended, or ", or_else],
        ),
        None => OpsError::refused(format!("replay could not be paused within {timeout:?}"), or_else),
    }
}

fn rest(watch: &Watch) -> Result<(), OpsError> {
    if watch.is_cancelled() {
        return Err(OpsError::Cancelled);
    }
    thread::sleep(TICK);
    Ok(())
}
