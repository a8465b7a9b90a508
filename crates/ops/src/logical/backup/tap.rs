//! The TOC tap: a throw-away `pg_dump` on our snapshot, of which only header and table of contents
//! are read.
//!
//! In a custom archive written to a pipe, header and TOC come first; the data that follows is not
//! wanted. So every object kind, COPY statement and dependency keeps pg_dump's own meaning,
//! whatever its version. A pg_dump that ends before its TOC does has failed, and its own words say
//! why.

use std::io::{BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pgark_bytes::archive::{self, Archive};
use pgark_pg::ConnInfo;

use super::catalog::Catalog;
use super::definitions::Recorder;
use super::lead::Lead;
use super::patterns::{self, Resolved};
use crate::advice::{Setting, advice};
use crate::session::prepare_child;
use crate::tools::Tool;
use crate::watch::Watch;
use crate::{OpsError, options};

/// How long pg_dump may wait for locks.
#[derive(Clone, Copy)]
pub(super) struct Wait {
    pub limit: Duration,
    /// The lead holds them already: if pg_dump waits at all, DDL is queued between the two, and
    /// only a new snapshot gets past it.
    pub behind_the_lead: bool,
}

impl Wait {
    pub(super) fn behind_the_lead(limit: Duration) -> Wait {
        Wait { limit: limit.min(Duration::from_secs(1)), behind_the_lead: true }
    }

    pub(super) fn alone(limit: Duration) -> Wait {
        Wait { limit, behind_the_lead: false }
    }
}

/// The archive's table of contents, and the pg_dump behind it if that still holds locks.
pub(crate) struct Tapped {
    pub archive: Archive,
    /// The archive's beginning as pg_dump wrote it; none if that is very long.
    written: Option<Vec<u8>>,
    holding: Option<Dump>,
}

/// A running pg_dump; killed and reaped when dropped.
struct Dump {
    child: Child,
    /// Kept open: pg_dump, blocked on a full pipe, keeps its transaction and its locks.
    _stdout: ChildStdout,
}

impl Drop for Dump {
    fn drop(&mut self) {
        // Both can only fail for a child that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tapped {
    /// What an earlier pg_dump wrote, and this one would write again.
    pub(super) fn recalled(mut archive: Archive) -> Tapped {
        read_money(&mut archive);
        Tapped { archive, written: None, holding: None }
    }

    /// The archive's beginning as pg_dump wrote it, for once.
    pub(super) fn take_written(&mut self) -> Option<Vec<u8>> {
        self.written.take()
    }

    /// Ends pg_dump: its locks are not needed.
    pub(crate) fn end(mut self) -> Tapped {
        self.holding = None;
        self
    }

    /// Whether pg_dump, which was to keep the locks for us, has ended meanwhile: its pipe took all
    /// that it had.
    pub(crate) fn lost_the_locks(&mut self) -> bool {
        self.holding.is_some() && self.has_ended()
    }

    /// Whether pg_dump has ended by itself, and with it its locks.
    pub(crate) fn has_ended(&mut self) -> bool {
        match self.holding.as_mut() {
            Some(dump) => !matches!(dump.child.try_wait(), Ok(None)),
            None => true,
        }
    }
}

/// Starts pg_dump on the lead's snapshot and reads its table of contents.
pub(super) fn run(
    tool: &Tool,
    pinned: &ConnInfo,
    lead: &mut Lead,
    catalog: &Catalog,
    filters: &Resolved,
    wait: Wait,
    watch: &Watch,
) -> Result<Tapped, OpsError> {
    let mut command = Command::new(&tool.path);
    command
        .arg(format!("{}=custom", options::FORMAT))
        .arg(format!("{}=0", options::COMPRESS))
        .arg(options::NO_PASSWORD)
        .arg(format!("{}={}", options::SNAPSHOT, lead.snapshot))
        .arg(format!("{}={}", options::ENCODING, lead.encoding))
        .arg(format!("{}={}", options::LOCK_WAIT_TIMEOUT, wait.limit.as_millis().max(1)))
        .args(&filters.arguments);
    if let Some(role) = pinned.role() {
        command.arg(format!("{}={role}", options::ROLE));
    }
    if !lead.has_labels {
        command.arg(options::NO_SECURITY_LABELS);
    }
    command.args(patterns::without(catalog.unreadable(), lead)?);
    let unfixed = prepare_child(&mut command, pinned, &lead.login);
    let (mut child, mut stdout, stderr) = start(&mut command, tool)?;
    let words = listen(stderr);
    let read = thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        let pid = child.id();
        scope.spawn(move || kill_on_cancel(pid, &is_done, watch));
        // What the buffer reads beyond the TOC is data that nobody wants.
        let mut recorder = Recorder::new(BufReader::with_capacity(1 << 16, &mut stdout));
        let read = archive::read_toc(&mut recorder);
        drop(done);
        read.map(|archive| (archive, recorder.passed()))
    });
    match read {
        Ok((archive, written)) => {
            let dump = Dump { child, _stdout: stdout };
            refuse_money_of_others(&archive, &unfixed)?;
            Ok(Tapped { written, holding: Some(dump), ..Tapped::recalled(archive) })
        }
        Err(source) => {
            drop(stdout);
            let _ = child.kill();
            let _ = child.wait();
            if watch.is_cancelled() {
                return Err(OpsError::Cancelled);
            }
            let words = filters.readable(words.recv().unwrap_or_default());
            if words.trim().is_empty() {
                return Err(OpsError::Archive { of: tool.path.display().to_string(), source });
            }
            Err(explain(tool, words.trim(), wait.behind_the_lead))
        }
    }
}

fn holds(archive: &Archive, word: &[u8]) -> bool {
    archive
        .entries
        .iter()
        .any(|entry| entry.defn_bytes().windows(word.len()).any(|found| found.eq_ignore_ascii_case(word)))
}

/// Amounts of money in definitions are in the `lc_monetary` of pg_dump's session, which must be
/// ours.
fn refuse_money_of_others(archive: &Archive, unfixed: &[&str]) -> Result<(), OpsError> {
    if unfixed.contains(&"lc_monetary") && holds(archive, b"::money") {
        return Err(OpsError::refused(
            "definitions contain amounts of money, and this pooler does not let pgark set how pg_dump's session writes them",
            "connect to the server itself, or RESET lc_monetary of the role and database",
        ));
    }
    Ok(())
}

/// Where money is, the archive says in which `lc_monetary` it is to be read: rows are written under
/// `C`. The entry that holds the search path is run by every session of pg_restore as it is, and by
/// ours.
fn read_money(archive: &mut Archive) {
    if holds(archive, b"money")
        && let Some(path) = archive.entries.iter_mut().find(|entry| entry.kind() == "SEARCHPATH")
        && let Some(defn) = path.defn.as_mut()
    {
        defn.extend_from_slice(b"SET lc_monetary = 'C';\n");
    }
}

/// pg_dump's failure in our words where we know better: what a new snapshot can cure is marked as
/// stale. `behind`: the lead holds the locks.
fn explain(tool: &Tool, words: &str, behind: bool) -> OpsError {
    // --lock-wait-timeout is a statement timeout.
    let waited = words.contains("due to lock timeout") || words.contains("due to statement timeout");
    if waited && !behind {
        return OpsError::LockWait { what: words.to_string() };
    }
    let is_nothing = [
        "no matching schemas were found",
        "no matching tables were found",
        "no matching extensions were found",
    ];
    if is_nothing.iter().any(|end| words.ends_with(end)) {
        return OpsError::NothingMatches { what: words.to_string() };
    }
    let is_stale = words.contains("does not exist")
        || words.contains("could not open relation with OID")
        || words.contains("cache lookup failed")
        || waited;
    if is_stale && !words.contains("connection to server") {
        return OpsError::Stale { what: format!("pg_dump found that the schema changed: {words}") };
    }
    let mut what = words.to_string();
    if words.contains("invalid client encoding") {
        // The encoding is the server's own; pg_dump says this of any failure to set it.
        what.push_str(" (the encoding is the server's own: pg_dump's connection was lost just then)");
    }
    OpsError::Tool { program: tool.path.display().to_string(), what }
}

fn start(command: &mut Command, tool: &Tool) -> Result<(Child, ChildStdout, ChildStderr), OpsError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = tool.path.display().to_string();
    let mut child = command.spawn().map_err(|source| match source.kind() {
        std::io::ErrorKind::ArgumentListTooLong => OpsError::refused(
            format!("run {program}: cannot take so many names of partitions"),
            advice!["pg_dump 16 and newer finds them itself: give ", Setting::PgDump.to("PATH")],
        ),
        _ => OpsError::NotStarted { program: program.clone(), source },
    })?;
    match (child.stdout.take(), child.stderr.take()) {
        (Some(stdout), Some(stderr)) => Ok((child, stdout, stderr)),
        _ => Err(OpsError::Tool { program, what: "has no output".into() }),
    }
}

/// Collects what the child says, at most 64 KiB of it, until it closes its standard error.
fn listen(stderr: ChildStderr) -> mpsc::Receiver<Vec<u8>> {
    let (words, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stderr.take(64 * 1024).read_to_end(&mut said);
        // Nobody waits for the words of a child that did well.
        let _ = words.send(said);
    });
    heard
}

/// While the TOC is read: a cancel ends the child, and with it the read.
fn kill_on_cancel(pid: u32, is_done: &mpsc::Receiver<()>, watch: &Watch) {
    loop {
        match is_done.recv_timeout(Duration::from_millis(50)) {
            Err(mpsc::RecvTimeoutError::Timeout) if watch.is_cancelled() => {
                // The child is reaped by its owner only after this thread ended: the pid is still
                // its own.
                if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                return;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            _ => return,
        }
    }
}
