//! What a restored server runs with that is not in its configuration: on the command line, where it
//! wins over every file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use pgark_bytes::control_file::ControlFile;

use super::account::Account;
use super::binaries::Binaries;
use super::libraries;
use super::shell::shell_word;
use crate::OpsError;

/// Settings that are the same for every server, each with its reason.
const ALWAYS: &[(&str, &str)] = &[
    // Over the socket alone: whatever the addresses and certificates of the original are.
    ("listen_addresses", ""),
    ("ssl", "off"),
    ("unix_socket_group", ""),
    ("unix_socket_permissions", "0700"),
    // Debian's is in a folder that servers of one host share.
    ("external_pid_file", ""),
    // The log goes into a file of ours; the folder of the original may be missing.
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    // This host may have none.
    ("huge_pages", "try"),
    // Nobody reads before recovery has ended. With it, recovery asks for no less connections than
    // the original had.
    ("hot_standby", "off"),
    // Commands of the original's recovery are not this one's.
    ("recovery_end_command", ""),
    ("archive_cleanup_command", ""),
    // No commit waits for standbys that are the original's.
    ("synchronous_standby_names", ""),
    // Subscriptions of the original go on where it left off, and their publishers know one of each.
    ("max_logical_replication_workers", "0"),
];
/// Lists of libraries.
const PRELOAD: &[&str] =
    &["shared_preload_libraries", "session_preload_libraries", "local_preload_libraries"];

/// Only who can enter the folder of the socket gets to it.
const ACCESS: &str = "local all all trust\n";

/// The settings of one server.
pub(super) struct Settings {
    values: Vec<(String, String)>,
    /// What is to be known of them.
    pub notes: Vec<String>,
}

/// Asks the server's program for settings, without a server.
struct Asking<'a> {
    directory: &'a Path,
    binaries: &'a Binaries,
    account: &'a Account,
}

impl Asking<'_> {
    /// The value of a setting, or why it cannot be known.
    fn value(&self, settings: &Settings, name: &str) -> Result<String, String> {
        let mut command = self.account.command(&self.binaries.postgres);
        command.arg("-C").arg(name).arg("-D").arg(self.directory).args(settings.arguments());
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
        let output = output.map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_string()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_string()),
        }
    }
}

impl Settings {
    /// Finds out which ones a server needs. What they name is written into `folder`.
    pub(super) fn of(
        directory: &Path,
        binaries: &Binaries,
        account: &Account,
        folder: &Path,
        port: u16,
        archives: bool,
    ) -> Result<Settings, OpsError> {
        let asking = Asking { directory, binaries, account };
        let mut settings = Settings { values: Vec::new(), notes: Vec::new() };
        // A configuration that was elsewhere names the directory of the original.
        settings.set("data_directory", &directory.display().to_string());
        settings.set("unix_socket_directories", &folder.display().to_string());
        settings.set("port", &port.to_string());
        for (name, value) in ALWAYS {
            settings.set(name, value);
        }
        if binaries.major < 15 {
            // Of the original it may be in a folder that servers share.
            settings.set("stats_temp_directory", "pg_stat_tmp");
        }
        if !archives {
            settings.set("archive_mode", "off");
        }
        settings.configuration(&asking, folder)?;
        settings.access(&asking, folder)?;
        settings.preload(&asking);
        settings.memory(&asking);
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) {
        self.values.push((name.to_string(), value.to_string()));
    }

    /// As arguments of the server.
    fn arguments(&self) -> impl Iterator<Item = String> {
        self.values.iter().flat_map(|(name, value)| ["-c".to_string(), format!("{name}={value}")])
    }

    /// The same for a shell.
    pub(super) fn for_shell(&self) -> String {
        self.arguments().map(|argument| shell_word(&argument)).collect::<Vec<_>>().join(" ")
    }

    /// The file of the configuration: its own, or one of ours.
    fn configuration(&mut self, asking: &Asking<'_>, folder: &Path) -> Result<(), OpsError> {
        if asking.directory.join("postgresql.conf").is_file() {
            match asking.value(self, "config_file") {
                Ok(_) => return Ok(()),
                Err(why) => self.notes.push(format!(
                    "the server runs with default settings, because this host cannot use its postgresql.conf: {}",
                    why.lines().next().unwrap_or_default()
                )),
            }
        }
        let mut text = String::new();
        // Recovery needs at least what the original had.
        if let Some(control) = read_control(asking.directory) {
            text = format!(
                "max_connections = {}\nmax_worker_processes = {}\nmax_wal_senders = {}\n\
                 max_prepared_transactions = {}\nmax_locks_per_transaction = {}\n",
                control.max_connections,
                control.max_worker_processes,
                control.max_wal_senders,
                control.max_prepared_transactions,
                control.max_locks_per_transaction
            );
        }
        let file = put(asking.account, folder, "postgresql.conf", &text)?;
        self.set("config_file", &file.display().to_string());
        asking.value(self, "config_file").map(drop).map_err(|why| OpsError::Tool {
            program: asking.binaries.postgres.display().to_string(),
            what: format!(
                "{} is restored, but its server cannot be started: {why}",
                asking.directory.display()
            ),
        })
    }

    /// Who may connect: as its own files say, if they are in the directory.
    fn access(&mut self, asking: &Asking<'_>, folder: &Path) -> Result<(), OpsError> {
        for (name, file, text) in [("hba_file", "pg_hba.conf", ACCESS), ("ident_file", "pg_ident.conf", "")] {
            let is_own = asking.value(self, name).ok().is_some_and(|path| {
                let path = Path::new(&path).canonicalize();
                path.is_ok_and(|path| path.starts_with(asking.directory) && path.is_file())
            });
            if !is_own {
                let file = put(asking.account, folder, file, text)?;
                self.set(name, &file.display().to_string());
            }
        }
        Ok(())
    }

    /// Without libraries that this host does not have.
    fn preload(&mut self, asking: &Asking<'_>) {
        let programs = asking.binaries.postgres.parent().unwrap_or(Path::new("/"));
        let Some(libdir) = libraries::folder(programs) else { return };
        let path = asking.value(self, "dynamic_library_path").unwrap_or_else(|_| "$libdir".into());
        for name in PRELOAD {
            let Ok(list) = asking.value(self, name) else { continue };
            let (there, missing) = libraries::available(&list, &path, &libdir);
            if !missing.is_empty() {
                self.set(name, &there);
                self.notes.push(format!(
                    "the server runs without {}, which its {name} names and this host does not have",
                    missing.join(", ")
                ));
            }
        }
    }

    /// Not more than a quarter of this host's memory for its buffers.
    fn memory(&mut self, asking: &Asking<'_>) {
        let number = |name: &str| asking.value(self, name).ok()?.parse::<u64>().ok();
        let (Some(buffers), Some(block)) = (number("shared_buffers"), number("block_size")) else { return };
        let Some(most) = memory().map(|bytes| bytes / 4 / block.max(1)) else { return };
        if buffers > most {
            self.set("shared_buffers", &most.max(16).to_string());
            self.notes.push(format!(
                "the server runs with shared_buffers of {} MB, because this host has less memory than the original",
                (most * block) >> 20
            ));
        }
    }
}

fn read_control(directory: &Path) -> Option<ControlFile> {
    let bytes = std::fs::read(directory.join("global/pg_control")).ok()?;
    ControlFile::parse(&bytes).ok()
}

/// Bytes of memory of this host.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// Writes a file that the server reads.
fn put(account: &Account, folder: &Path, name: &str, text: &str) -> Result<PathBuf, OpsError> {
    let path = folder.join(name);
    let written = account.create(&path)?.write_all(text.as_bytes());
    written.map_err(|source| OpsError::File { doing: "write", path: path.clone(), source })?;
    Ok(path)
}
