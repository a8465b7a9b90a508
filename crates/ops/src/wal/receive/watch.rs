//! Looks after a receiver: raises the alarm when the repository does not get on, and warns of what
//! threatens the slot.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use pgark_pg::ConnInfo;

use super::flow::{Flow, Progress};
use super::request::{MaxLag, Request};
use crate::command::UserCommand;
use crate::error::{Doing, with_causes};
use crate::lock::lock;
use crate::watch::Watch;
use crate::{Job, OpsError, maintenance};

/// Between two looks at the repository.
const LOOK: Duration = Duration::from_millis(250);
/// Between two looks at the slot.
const SLOT: Duration = Duration::from_secs(60);
/// What is run at a stall may take so long.
const LONGEST: Duration = Duration::from_secs(300);

pub(super) struct Overseer<'a> {
    pub request: &'a Request,
    pub flow: &'a Flow,
    /// The host that WAL comes from; None: none does.
    pub host: &'a Mutex<Option<ConnInfo>>,
    /// Cancelled when there is nothing to look after any more.
    pub job: &'a Job,
}

impl Overseer<'_> {
    pub(super) fn run(self) {
        let (mut is_stalled, mut said): (bool, Vec<String>) = (false, Vec::new());
        let mut slot_seen: Option<Instant> = None;
        while self.job.cancel.sleep(LOOK).is_ok() {
            match self.stall(&self.flow.progress()) {
                Some(what) if !is_stalled => {
                    is_stalled = true;
                    self.alarm(&what);
                }
                Some(_) => {}
                None => is_stalled = false,
            }
            if slot_seen.is_none_or(|seen| seen.elapsed() >= SLOT)
                && let Some(host) = lock(self.host).clone()
            {
                slot_seen = Some(Instant::now());
                match self.threats(&host) {
                    Ok(threats) => {
                        threats.iter().filter(|threat| !said.contains(threat)).for_each(|threat| {
                            self.job.progress.warn(threat);
                        });
                        said = threats;
                    }
                    Err(error) => self
                        .job
                        .progress
                        .detail(&format!("the slot could not be looked at: {}", with_causes(&error))),
                }
            }
        }
    }

    /// What is wrong if the repository is too far behind.
    fn stall(&self, progress: &Progress) -> Option<String> {
        let lag = progress.waiting + progress.behind;
        match self.request.max_lag? {
            MaxLag::Time(most) => {
                let waits = progress.since?.elapsed();
                (waits > most).then(|| {
                    let seconds = waits.as_secs_f32();
                    format!("{lag} bytes of WAL wait, and nothing could be archived for {seconds:.0} s")
                })
            }
            MaxLag::Bytes(most) => {
                (lag > most).then(|| format!("{lag} bytes of WAL wait to be archived, more than {most}"))
            }
        }
    }

    fn alarm(&self, what: &str) {
        self.job.progress.warn(what);
        let Some(shell) = &self.request.on_stall else {
            return self.flow.fail(OpsError::refused(
                what,
                "look at the storage and the network; what was received is in the spool",
            ));
        };
        let command = UserCommand {
            what: "the command for a stall".into(),
            shell,
            conninfo: &self.request.conninfo,
            variables: &[("PGARK_STALL", what.to_string()), ("PGARK_SLOT", self.request.slot.clone())],
            limit: Some(LONGEST),
        };
        if let Err(error) = command.run(&*self.job.progress, &|| self.job.cancel.is_cancelled()) {
            self.job.progress.warn(&with_causes(&error));
        }
    }

    /// What threatens the slot, as the server says it.
    fn threats(&self, host: &ConnInfo) -> Result<Vec<String>, OpsError> {
        let watch = Watch::new(&self.job.cancel);
        watch.during_job(|| {
            let mut connection = maintenance::connect_to_read(host, None, &watch)?;
            let doing = "look at the slot";
            let slot = self.request.slot.as_str();
            let rows = connection
                .query(
                    "SELECT wal_status, pg_catalog.current_setting('max_slot_wal_keep_size') = '-1' \
                     FROM pg_catalog.pg_replication_slots WHERE slot_name = $1",
                    &[Some(slot)],
                )
                .doing(doing)?;
            let mut threats = Vec::new();
            if let Some(row) = rows.first() {
                if let Some(status @ ("unreserved" | "lost")) = row.opt_str(0).doing(doing)? {
                    threats.push(format!(
                        "the slot {slot} is {status}: the server does not keep the WAL for it any more (max_slot_wal_keep_size)"
                    ));
                }
                if row.str(1).doing(doing)? == "t" {
                    threats.push(format!(
                        "max_slot_wal_keep_size is -1: while nothing is received, the slot {slot} keeps WAL until the server's disk is full"
                    ));
                }
            }
            let rows = connection
                .query(
                    "SELECT 1 FROM pg_catalog.pg_stat_replication r \
                     JOIN pg_catalog.pg_replication_slots s ON s.active_pid = r.pid \
                     WHERE s.slot_name = $1 AND r.sync_state IN ('sync', 'quorum') \
                     AND pg_catalog.current_setting('synchronous_commit') = 'remote_apply'",
                    &[Some(slot)],
                )
                .doing(doing)?;
            if !rows.is_empty() {
                threats.push(
                    "synchronous_commit is remote_apply: commits wait for this receiver without end, because it never applies WAL"
                        .into(),
                );
            }
            Ok(threats)
        })
    }
}
