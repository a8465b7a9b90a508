//! `restore` of a physical backup: its data directory, as PostgreSQL takes it.
//!
//! **Order.** Everything that can be known is looked at first: which backup leads to the point that
//! is asked for, and that its WAL is there (`aim`); what the backup holds, where each tablespace
//! goes, whether each target is empty and has room (`plan`, `targets`). Then
//! `pg_control` is written under another name (`control`), then folders and links (`tree`), then
//! files by many workers, the largest first (`write`): each chunk is fetched once, and its pages go
//! to their places; pages of zeros stay holes. Then the settings of the recovery (`recovery`) and
//! the manifest for `pg_verifybackup`. Once all of that is safe on the disks, `pg_control` gets its
//! name. If that is asked for, the server is started then (`start`).
//!
//! **Delta.** A restore into the directory of a stopped server writes what differs. Whose directory
//! it is, and that no server has it open, is proved first (`ground`, `servers`). Its `pg_control`
//! is taken away before anything else is touched. What is not in the backup is deleted (`tree`),
//! and pages are compared by their hashes (`compare`).
//!
//! **Failure and cancel.** A directory that is not complete has no `pg_control`, so that no server
//! starts in it. It is left as it is, and a delta restore goes on with it.

mod aim;
mod compare;
mod control;
mod counts;
mod ground;
mod look;
mod manifest;
mod plan;
mod reached;
mod recovery;
mod report;
mod request;
mod servers;
mod targets;
mod tree;
mod write;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use pgark_bytes::crc32c;
use pgark_bytes::tablespace_map::{MapEscapes, read_tablespace_map, write_tablespace_map};
use pgark_repo::Repository;

use crate::facts::Owned;
use crate::lock::lock;
use crate::physical::owners::{Database, Owners};
use crate::physical::places::is_held_back;
pub use crate::physical::start::StartedServer;
use crate::physical::start::{self, Binaries};
use crate::record::seconds;
use crate::{Job, OpsError};
use counts::Delta;
use plan::Plan;
use recovery::Recovery;
pub use report::{DeltaReport, Reached, RecoveryReport, RestoreReport, RestoredTablespace};
pub use request::{FetchCommand, Recover, Request, TargetAction};
use write::{Writing, Written};

/// `tablespace_map` names the directories of tablespaces.
const TABLESPACE_MAP: &[u8] = b"tablespace_map";

/// Restores the data directory.
pub fn run(repository: &Repository, request: &Request, job: &Job) -> Result<RestoreReport, OpsError> {
    let repository = &job.on(repository);
    let started = Instant::now();
    job.progress.phase("reading the backup");
    let aim::Aim { backup, recovery } = aim::choose(repository, request, job)?;
    let reader = repository.reader(&backup.head)?;
    let plan = Plan::of(&backup, request, repository.folder().as_deref())?;
    let (owners, as_root) = (Owners::default(), rustix::process::geteuid().is_root());
    let binaries = binaries(&plan, request, &owners, as_root)?;
    let mut report = RestoreReport {
        backup: backup.head.id.to_string(),
        dry_run: request.dry_run,
        directory: request.to.clone(),
        tablespaces: plan.tablespaces.clone(),
        files: 0,
        bytes: plan.bytes,
        bytes_fetched: 0,
        delta: None,
        server_version: plan.about.server_version,
        recovery: RecoveryReport::of(&recovery, request),
        server: None,
        seconds: 0.0,
        notes: notes(&plan, &recovery, &owners, as_root),
    };
    if !request.dry_run {
        let writing = Writing {
            backup: &backup,
            reader: &reader,
            plan: &plan,
            job,
            owners: &owners,
            as_root,
            sparse: request.sparse,
            written: Mutex::default(),
            bytes: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            now: jiff::Timestamp::now().as_second(),
            delta: plan.ground.as_ref().map(|_| Delta::default()),
        };
        match carry_out(&writing, request, &recovery) {
            Err(_) if job.cancel.is_cancelled() => return Err(interrupted(&request.to)),
            other => other?,
        }
        report.files = lock(&writing.written).len() as u64;
        report.bytes = writing.bytes.load(Ordering::Relaxed);
        report.delta = writing.delta.as_ref().map(DeltaReport::of);
    }
    report.bytes_fetched = reader.bytes_fetched();
    if let Some(binaries) = binaries {
        job.progress.phase("starting the server");
        let recovers = matches!(recovery, Recovery::Point { .. });
        let server = start::run(&request.to, &binaries, request.keep_archiving, job)?;
        report.notes.extend(server.notes.iter().cloned());
        if recovers {
            report.recovery.reached = reached::of(&request.to);
        }
        report.server = Some(server.server);
    }
    report.seconds = seconds(started.elapsed());
    Ok(report)
}

/// The programs that start the server, if that is asked for.
fn binaries(
    plan: &Plan,
    request: &Request,
    owners: &Owners,
    as_root: bool,
) -> Result<Option<Binaries>, OpsError> {
    let Some(search_path) = request.start.as_ref().filter(|_| !request.dry_run) else { return Ok(None) };
    let owner = plan.folders.first().map(|root| root.owned.owner.as_str()).unwrap_or_default();
    if as_root && owners.number(Database::Users, owner).is_none_or(|number| number == 0) {
        return Err(OpsError::refused(
            format!("the server cannot be started: on this host there is no user {owner:?} for it"),
            "create that user; PostgreSQL refuses to run as root",
        ));
    }
    Binaries::find(search_path, plan.about.server_version / 10_000).map(Some)
}

fn interrupted(directory: &Path) -> OpsError {
    let left = match is_held_back(directory) {
        true => format!(
            "{} is not complete, and no server starts in it; a delta restore goes on with it",
            directory.display()
        ),
        false => format!("nothing was changed in {}", directory.display()),
    };
    OpsError::Interrupted { left }
}

/// What is to be known before the server is started.
fn notes(plan: &Plan, recovery: &Recovery, owners: &Owners, as_root: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if let Recovery::Point { goal, .. } = recovery {
        notes.extend(goal.note.clone());
    }
    let failed = plan.physical.pages.failed;
    if failed > 0 {
        notes.push(format!("{failed} pages were damaged on the server already, and are as they were"));
    }
    let root = plan.folders.first().map(|root| &root.owned).filter(|_| as_root);
    if let Some(owner) = root.map(|owned| owned.owner.as_str())
        && owners.number(Database::Users, owner).is_none()
    {
        notes.push(format!(
            "there is no user {owner} on this host: the files belong to root, and no server starts in a directory of root; give \
             it to the server's user with chown -R"
        ));
    }
    for left in plan.ground.iter().flat_map(|ground| ground.left(&plan.places)) {
        notes.push(format!(
            "a link of the directory leads to {}, and the restored one does not: nothing in it is touched",
            left.display()
        ));
    }
    notes
}

fn carry_out(writing: &Writing<'_>, request: &Request, recovery: &Recovery) -> Result<(), OpsError> {
    let Writing { plan, job, .. } = writing;
    take_over(writing)?;
    tree::begin(writing)?;
    control::hold_back(writing)?;
    let deleted = tree::build(writing)?;
    if let Some(delta) = &writing.delta {
        *lock(&delta.deleted) = deleted;
    }
    job.progress.phase(if writing.delta.is_some() { "comparing files" } else { "writing files" });
    job.progress.total_bytes(plan.bytes);
    writing.write(request.jobs)?;
    if request.with_config {
        outside(writing)?;
    }
    tablespace_map(writing)?;
    settings(writing, request, recovery)?;
    manifest::write(writing)?;
    job.progress.phase("syncing");
    let targets: Vec<PathBuf> = plan.places.targets().map(Path::to_owned).collect();
    write::sync(&targets)?;
    control::give_name(&plan.places)
}

/// No server starts any more in a directory that is restored over. One that started in the meantime
/// keeps it.
fn take_over(writing: &Writing<'_>) -> Result<(), OpsError> {
    let Some(ground) = &writing.plan.ground else { return Ok(()) };
    let places = &writing.plan.places;
    let was_there = control::take_away(places)?;
    let result = ground.refuse_servers(places);
    if result.is_err() && was_there {
        control::give_name(places)?;
    }
    result
}

/// Files of the configuration that were elsewhere, into the data directory.
fn outside(writing: &Writing<'_>) -> Result<(), OpsError> {
    for entry in &writing.plan.outside {
        let Some((_, name)) = entry.path.rsplit_once('/') else { continue };
        let place = writing.plan.places.of(name.as_bytes());
        if place.exists() {
            continue;
        }
        let (bytes, crc32c) = writing.stream(entry, &place, 0o600, &Owned::default())?;
        let path = name.as_bytes().to_vec();
        lock(&writing.written).push(Written { path, bytes, crc32c, modified: writing.now });
    }
    Ok(())
}

/// The server makes the links of tablespaces again when it starts, as this file says.
fn tablespace_map(writing: &Writing<'_>) -> Result<(), OpsError> {
    let plan = writing.plan;
    let place = plan.places.of(TABLESPACE_MAP);
    if !place.exists() {
        return Ok(());
    }
    let escapes = MapEscapes::of_major(plan.about.server_version / 10_000);
    let content = std::fs::read(&place).map_err(|source| OpsError::File {
        doing: "read",
        path: place.clone(),
        source,
    })?;
    let mut map = read_tablespace_map(&content, escapes)
        .map_err(|error| OpsError::refused(format!("read tablespace_map: {error}"), ""))?;
    for tablespace in &mut map {
        if let Some(moved) = plan.tablespaces.iter().find(|known| known.oid == tablespace.oid) {
            use std::os::unix::ffi::OsStrExt;
            tablespace.path = moved.location.as_os_str().as_bytes().to_vec();
        }
    }
    let content = write_tablespace_map(&map, escapes)
        .map_err(|error| OpsError::refused(format!("write tablespace_map: {error}"), ""))?;
    replace(writing, TABLESPACE_MAP, &content)
}

/// What begins and bounds the recovery.
fn settings(writing: &Writing<'_>, request: &Request, recovery: &Recovery) -> Result<(), OpsError> {
    let place = writing.plan.places.of(recovery::AUTO_CONF);
    let mut settings = match std::fs::read(&place) {
        Ok(settings) => settings,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(OpsError::File { doing: "read", path: place, source }),
    };
    if settings.last().is_some_and(|last| *last != b'\n') {
        settings.push(b'\n');
    }
    settings.extend_from_slice(recovery.settings(request.action, request.keep_archiving).as_bytes());
    replace(writing, recovery::AUTO_CONF, &settings)?;
    replace(writing, recovery.signal(), b"")
}

/// Writes a small file, which may be there already.
fn replace(writing: &Writing<'_>, path: &[u8], content: &[u8]) -> Result<(), OpsError> {
    let place = writing.plan.places.of(path);
    let failed = |source| OpsError::File { doing: "write", path: place.clone(), source };
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&place).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    writing.give(&place, &Owned::default())?;
    let mut written = lock(&writing.written);
    written.retain(|known| known.path != path);
    written.push(Written {
        path: path.to_vec(),
        bytes: content.len() as u64,
        crc32c: crc32c::checksum(content),
        modified: writing.now,
    });
    Ok(())
}
