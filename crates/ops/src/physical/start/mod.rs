//! Starts the server of a restored data directory, on a host that may be another one.
//!
//! **How.** PostgreSQL's own `pg_ctl` of the directory's major starts it, as the user to whom the
//! directory belongs. It listens on a socket in a folder of its own in `/tmp`, which only this user
//! and root can enter, and on no address. What the configuration needs and this host does not have
//! is overridden on the command line (`settings`); a cluster whose configuration was outside of its
//! directory gets one in that folder.
//!
//! **Waiting.** The server is ready when `postmaster.pid` says so, which it does once recovery has
//! ended and the server accepts writes. No connection is needed, so it does not matter who may
//! connect. How long recovery takes nobody knows: only a cancel ends the waiting.
//!
//! **Failure and cancel.** A server that ends while it starts has its last words in the error. A
//! cancel stops it. The folder is removed in both cases; the restored directory stays as it is. A
//! server that is ready goes on when this program ends.

mod account;
mod binaries;
mod libraries;
mod report;
mod settings;
mod shell;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use pgark_bytes::postmaster_pid::{PostmasterPid, PostmasterStatus};
use pgark_datadir::prove::Process;
use pgark_datadir::{DataDir, prove};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Job, OpsError};
use account::Account;
pub(super) use binaries::Binaries;
pub use report::StartedServer;
use settings::Settings;
pub(super) use shell::shell_word;

/// A folder with a short path: that of a socket has at most 107 bytes.
const FOLDERS: &str = "/tmp";
/// Between two looks at the server.
const TICK: Duration = Duration::from_millis(50);
/// `pg_ctl` waits for so many seconds, which is for years: a cancel ends it before.
const SECONDS: &str = "100000000";
/// A server that is stopped because of a cancel gets so many seconds.
const PATIENCE: &str = "30";
/// So much of the log is in an error.
const LAST_WORDS: u64 = 4 << 10;
const LAST_LINES: usize = 20;

/// A server that was started, and what is to be known of it.
pub(super) struct Started {
    pub server: StartedServer,
    pub notes: Vec<String>,
}

/// Starts the server, and waits until it accepts writes. `archives`: it archives its WAL.
pub(super) fn run(
    directory: &Path,
    binaries: &Binaries,
    archives: bool,
    job: &Job,
) -> Result<Started, OpsError> {
    let failed = |source| OpsError::File { doing: "look at", path: directory.to_owned(), source };
    let directory = directory.canonicalize().map_err(failed)?;
    let account = Account::of(&directory)?;
    let folder = tempfile::Builder::new()
        .prefix("pgark-")
        .tempdir_in(FOLDERS)
        .map_err(|source| OpsError::File { doing: "create a folder in", path: FOLDERS.into(), source })?;
    account.own(folder.path())?;
    let port = free_port();
    let settings = Settings::of(&directory, binaries, &account, folder.path(), port, archives)?;
    let log = folder.path().join("server.log");
    let control = pg_ctl_start(&directory, binaries, &account, &settings, &log)?;
    let process = match wait(&directory, control, job) {
        Ok(process) => process,
        Err(Ended::Cancelled) => {
            stop(&directory, binaries, &account);
            let left = format!("{} is restored, and its server was stopped", directory.display());
            return Err(OpsError::Interrupted { left });
        }
        Err(Ended::Failed) => {
            return Err(OpsError::Tool {
                program: binaries.postgres.display().to_string(),
                what: format!(
                    "{} is restored, but its server ended while it started. The end of its log:\n{}",
                    directory.display(),
                    last_words(&log)
                ),
            });
        }
    };
    // It stays, and so does what it needs.
    let folder = TempDir::keep(folder);
    let runs_as = match account.is_lent {
        true => format!("runuser -u {} -- ", shell_word(&account.name)),
        false => String::new(),
    };
    let word = |path: &Path| shell_word(&path.display().to_string());
    Ok(Started {
        server: StartedServer {
            process_id: process,
            version: binaries.version.clone(),
            port,
            connect: format!(
                "psql -h {} -p {port} -U {} -d postgres",
                word(&folder),
                shell_word(&account.name)
            ),
            stop: format!("{runs_as}{} -D {} stop", word(&binaries.pg_ctl), word(&directory)),
            socket_directory: folder,
            log,
        },
        notes: settings.notes,
    })
}

/// A number that no server of this host has as its TCP port. It names the socket.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.map_or(5432, |address| address.port())
}

fn pg_ctl_start(
    directory: &Path,
    binaries: &Binaries,
    account: &Account,
    settings: &Settings,
    log: &Path,
) -> Result<Child, OpsError> {
    let own_log = account.create(log)?;
    let mut command = account.command(&binaries.pg_ctl);
    // As a variable: pg_ctl hands the directory of an option to a shell, between quotes that do not
    // keep every sign.
    command.env("PGDATA", directory);
    command.args(["start", "-s", "-w", "-t", SECONDS, "-l"]).arg(log).arg("-p").arg(&binaries.postgres);
    command.arg("-o").arg(settings.for_shell());
    // What is typed on our terminal is not for it.
    command.process_group(0).stdout(Stdio::null()).stderr(own_log);
    let program = binaries.pg_ctl.display().to_string();
    command.spawn().map_err(|source| OpsError::NotStarted { program, source })
}

/// Why a server is not ready.
enum Ended {
    Failed,
    Cancelled,
}

/// Waits until recovery has ended. Returns the server's process.
fn wait(directory: &Path, mut control: Child, job: &Job) -> Result<u32, Ended> {
    // It ends once the server is on its way.
    loop {
        match control.try_wait() {
            Ok(Some(status)) if status.success() => break,
            Ok(Some(_)) | Err(_) => return Err(Ended::Failed),
            Ok(None) if job.cancel.is_cancelled() => {
                // It hands this on to a server that it has started.
                if let Some(pid) = i32::try_from(control.id()).ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::INT);
                }
                let _ = control.wait();
                return Err(Ended::Cancelled);
            }
            Ok(None) => thread::sleep(TICK),
        }
    }
    loop {
        match look(directory) {
            Some(pid) if pid.status == Some(PostmasterStatus::Ready) => return Ok(pid.pid),
            None => return Err(Ended::Failed),
            Some(_) if job.cancel.is_cancelled() => return Err(Ended::Cancelled),
            Some(_) => thread::sleep(TICK),
        }
    }
}

/// What the server's lock file says; None: the server has ended.
fn look(directory: &Path) -> Option<PostmasterPid> {
    let directory = DataDir::open(directory).ok()?;
    loop {
        match prove::postmaster(&directory) {
            // Caught while it is written.
            Err(pgark_datadir::Error::PidFile { .. }) => thread::sleep(TICK),
            Err(_) | Ok(None) => return None,
            Ok(Some(pid)) => {
                let lives = prove::process(&directory, &pid).is_ok_and(|process| process != Process::Gone);
                return lives.then_some(pid);
            }
        }
    }
}

/// Stops a server that nobody waits for any more. One that is gone already needs nothing.
fn stop(directory: &Path, binaries: &Binaries, account: &Account) {
    let mut command = account.command(&binaries.pg_ctl);
    command.env("PGDATA", directory).args(["stop", "-s", "-w", "-t", PATIENCE, "-m", "immediate"]);
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// The end of a log.
fn last_words(log: &Path) -> String {
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS)))?;
        let mut bytes = Vec::new();
        file.take(LAST_WORDS).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_log_are_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines: Vec<String> = (0..2000).map(|number| format!("line {number}")).collect();
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        let told = last_words(file.path());
        assert!(told.starts_with("line 1980\n") && told.ends_with("line 1999"), "{told}");
        assert_eq!(last_words(Path::new("/nowhere/at/all")), "");
    }
}
