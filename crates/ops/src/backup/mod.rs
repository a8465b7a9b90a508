//! `backup`: one live database, whole, into the repository.
//!
//! **Order.** The lead connection takes a snapshot, reads the catalog and locks every table (`lead`). A throw-away
//! `pg_dump` on the same snapshot yields the archive's table of contents and is then ended (`tap`). Workers import the
//! snapshot and copy tables, largest first, each straight into the repository (`work`). Globals, which take no part in the
//! snapshot, are read meanwhile. The repository then commits in its own order; its manifest's put is the commit.
//!
//! **What changes under us.** A table that is dropped, truncated or altered between snapshot and lock makes the whole
//! attempt start again on a new snapshot (at most `ATTEMPTS` times), before any byte is stored. After the locks nothing
//! of the kind can happen.
//!
//! **Locks.** Workers lock NOWAIT. Where that fails, DDL is queueing behind the lead's lock: the lead, which holds the
//! lock, copies that table itself; waiting would be a deadlock that the server cannot see (TRAPS 1).
//!
//! **Cancel and failure.** One failed table ends the job (or, with `keep_going`, is named and the backup is incomplete).
//! On cancel every connection is told to stop and then shut; pg_dump is killed; nothing was committed, so nothing is
//! left but unreferenced packs, which the next backup reuses.

mod catalog;
mod globals;
pub(crate) mod large_objects;
mod lead;
mod tap;
mod watch;
mod work;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use pgark_pg::ConnInfo;
use pgark_repo::{BackupWriter, Class, Cut, NewBackup, NewEntry, Repository, WriteOptions};

use crate::record::{About, ClusterManifest, DatabaseManifest, Note};
use crate::{BackupRecord, Job, OpsError, paths};
use catalog::Catalog;
pub(crate) use catalog::reading_encoding;
use lead::Lead;
pub(crate) use watch::Watch;

/// How often a backup starts again because the schema changed before the locks were held.
const ATTEMPTS: u32 = 10;
/// How long pg_dump may wait for a lock that the lead holds already: if it waits at all, DDL is queued between the two,
/// and only a new snapshot gets past it.
const BEHIND_THE_LEAD: Duration = Duration::from_secs(1);

/// What to back up and how.
pub struct Request {
    /// The database.
    pub conninfo: ConnInfo,
    /// Parallel connections.
    pub jobs: usize,
    /// The cluster's name; by default its system identifier.
    pub cluster: Option<String>,
    /// zstd level.
    pub compression_level: i32,
    /// This pg_dump and no other.
    pub pg_dump: Option<PathBuf>,
    /// Folders in which programs are looked for.
    pub search_path: Vec<PathBuf>,
    /// How long the first locks may wait.
    pub lock_wait_timeout: Duration,
    /// Go on without what cannot be read; the backup is then incomplete.
    pub keep_going: bool,
}

/// Backs up one database. The returned record's `status` is `incomplete` if something asked for is missing.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<BackupRecord, OpsError> {
    let started = Instant::now();
    let watch = Watch::new(&job.cancel);
    let result = watch.during(|| back_up(repository, request, job, &watch, started));
    // A connection that was shut by a cancel reports a broken socket; the cause is the cancel.
    match result {
        Err(_) if job.cancel.is_cancelled() => Err(OpsError::Cancelled),
        other => other,
    }
}

fn back_up(
    repository: &Repository,
    request: &Request,
    job: &Job,
    watch: &Watch,
    started: Instant,
) -> Result<BackupRecord, OpsError> {
    let (mut lead, catalog, mut tapped) = freeze(request, job, watch)?;
    let options = WriteOptions {
        cluster: request.cluster.clone().unwrap_or_else(|| lead.system_identifier.clone()),
        jobs: request.jobs,
        compression_level: request.compression_level,
    };
    let (head, ()) = repository.write_backup(&options, &job.cancel, |writer| {
        let mut report = Report::new(&catalog, request);
        let mut entries = vec![store(
            writer,
            paths::toc(&lead.database),
            Class::Data,
            &tapped.toc,
            &Note::Toc { database: lead.database.clone() },
        )?];
        let (pinned, database) = (request.conninfo.for_host_of(&lead.connection), lead.database.clone());
        let (copied, globals) = thread::scope(|scope| {
            let globals = scope.spawn(|| globals::read(&tapped.tool, &pinned, &database, job));
            let copied =
                work::copy_all(writer, &mut lead, &catalog, &tapped, request, job, watch, &mut report);
            (copied, globals.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let (copied, globals) = (copied?, globals?.into_sql(&mut report));
        if tapped.lost_the_locks() {
            // No lock kept the tables as they were; that each still is what the snapshot saw proves that none was emptied.
            lead::refuse_stale(&catalog, &pinned, watch)?;
        }
        lead.finish()?;
        entries.push(store(writer, paths::GLOBALS.into(), Class::Data, &globals, &Note::Globals)?);
        let manifest = describe(&options.cluster, &lead, &catalog, &tapped, &copied);
        entries.push(store(writer, paths::MANIFEST.into(), Class::Metadata, &manifest, &Note::Manifest)?);
        writer.settle()?;
        entries.extend(copied.into_entries(&lead.database));
        Ok::<_, OpsError>((report.into_new_backup(entries, &lead, started), ()))
    })?;
    BackupRecord::of(&head)
}

/// Snapshot, catalog, locks and table of contents that belong together; starts again when the schema moved meanwhile.
fn freeze(request: &Request, job: &Job, watch: &Watch) -> Result<(Lead, Catalog, tap::Tapped), OpsError> {
    let mut attempt = 1;
    loop {
        job.progress.phase("read the catalog");
        let mut lead = Lead::connect(&request.conninfo, request.lock_wait_timeout, watch)?;
        match freeze_once(&mut lead, request, job, watch) {
            Ok((catalog, tapped)) => return Ok((lead, catalog, tapped)),
            Err(error) if attempt < ATTEMPTS && lead::is_stale(&error) && !job.cancel.is_cancelled() => {
                job.progress
                    .info(&format!("the schema changed while it was read ({error}); taking a new snapshot"));
                attempt += 1;
            }
            Err(error) => return Err(lead::name_the_holders(error, &request.conninfo, watch)),
        }
    }
}

fn freeze_once(
    lead: &mut Lead,
    request: &Request,
    job: &Job,
    watch: &Watch,
) -> Result<(Catalog, tap::Tapped), OpsError> {
    let tool = crate::tools::find_pg_dump(
        request.pg_dump.as_deref(),
        &request.search_path,
        lead.server_version / 10_000,
    )?;
    let catalog = Catalog::read(lead)?;
    catalog.refuse_unreadable(request.keep_going)?;
    let pinned = request.conninfo.for_host_of(&lead.connection);
    if lead.can_lock_twice(catalog.lockable().count())? {
        lead.lock(&catalog)?;
        lead::refuse_stale(&catalog, &pinned, watch)?;
        job.progress.phase("read the definitions");
        let wait = request.lock_wait_timeout.min(BEHIND_THE_LEAD);
        let tapped = tap::run(&tool, &pinned, lead, &catalog, wait, watch)?;
        Ok((catalog, tapped.end()))
    } else {
        // Two sets of locks do not fit: pg_dump, blocked on its pipe, keeps the only one (TRAPS 5).
        job.progress.phase("read the definitions");
        let mut tapped = tap::run(&tool, &pinned, lead, &catalog, request.lock_wait_timeout, watch)?;
        if tapped.has_ended() {
            lead.lock(&catalog)?;
            tapped = tapped.end();
        }
        lead::refuse_stale(&catalog, &pinned, watch)?;
        Ok((catalog, tapped))
    }
}

/// Stores one small entry.
fn store(
    writer: &BackupWriter<'_>,
    path: String,
    class: Class,
    content: &[u8],
    note: &Note,
) -> Result<NewEntry, OpsError> {
    let mut stream = writer.stream(class, Cut::Content);
    stream.write(content)?;
    let summary = stream.finish()?;
    writer.settle()?;
    Ok(NewEntry {
        path,
        class,
        bytes_raw: summary.bytes_raw,
        bytes_added: summary.bytes_added(),
        parts: vec![summary.stream],
        about: note.to_bytes(),
    })
}

fn describe(
    cluster: &str,
    lead: &Lead,
    catalog: &Catalog,
    tapped: &tap::Tapped,
    copied: &work::Copied,
) -> Vec<u8> {
    let manifest = ClusterManifest {
        format: 1,
        program: format!("pgark {}", env!("CARGO_PKG_VERSION")),
        cluster: cluster.to_string(),
        system_identifier: lead.system_identifier.clone(),
        server_version: lead.server_version_text.clone(),
        server_version_num: lead.server_version,
        in_recovery: lead.in_recovery,
        pg_dump_version: tapped.tool.version.clone(),
        snapshot_time: lead.snapshot_time.clone(),
        databases: vec![DatabaseManifest {
            name: lead.database.clone(),
            encoding: lead.encoding.clone(),
            collate: lead.collate.clone(),
            ctype: lead.ctype.clone(),
            owner: lead.owner.clone(),
            tables: copied.tables.len() as u64,
            rows: copied.tables.iter().map(|table| table.rows).sum(),
            large_objects: copied.large_objects,
            extensions: catalog.extensions.clone(),
        }],
        settings: catalog.settings.clone(),
    };
    // Strings and numbers only; cannot fail in memory.
    serde_json::to_vec_pretty(&manifest).unwrap_or_default()
}

/// What the operator will be told: warnings, and what is missing.
pub(crate) struct Report {
    pub warnings: Vec<String>,
    pub missing: Vec<String>,
}

impl Report {
    fn new(catalog: &Catalog, request: &Request) -> Report {
        let mut report = Report { warnings: Vec::new(), missing: Vec::new() };
        if request.keep_going {
            for table in catalog.unreadable() {
                report
                    .lost(&table.name.to_string(), "no right to read it; its definition is missing as well");
            }
        }
        report
    }

    /// Something asked for is not in the backup.
    pub(crate) fn lost(&mut self, object: &str, why: &str) {
        self.missing.push(object.to_string());
        self.warnings.push(format!("{object} is missing: {why}"));
    }

    fn into_new_backup(self, mut entries: Vec<NewEntry>, lead: &Lead, started: Instant) -> NewBackup {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let about = About {
            databases: vec![lead.database.clone()],
            bytes_raw: entries.iter().map(|entry| entry.bytes_raw).sum(),
            seconds: (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            warnings: self.warnings,
            missing: self.missing,
            server_version: lead.server_version,
            system_identifier: lead.system_identifier.clone(),
        };
        NewBackup {
            kind: "logical".into(),
            complete: about.missing.is_empty(),
            about: serde_json::to_vec(&about).unwrap_or_default(),
            entries,
        }
    }
}
