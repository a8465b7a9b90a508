//! The only place that reads the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use pgark_ops::{Environment, LocalFolders};

/// Everything; programs that are started get of it what they need.
pub fn all() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

/// What libpq would read: variables, home folder, the user's name.
pub fn for_postgres() -> Environment {
    let vars = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    Environment { vars, home: home(), user: user_name() }
}

/// Folders of programs.
pub fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

/// Cores, at most 8.
pub fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(8)
}

/// A non-empty variable.
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Cache and state of this user on this host (XDG base directories, version 0.8).
pub fn local_folders(no_cache: bool) -> LocalFolders {
    LocalFolders {
        cache: folder("XDG_CACHE_HOME", ".cache").filter(|_| !no_cache),
        state: folder("XDG_STATE_HOME", ".local/state"),
    }
}

/// Where writer keys are left.
pub fn configuration() -> Option<PathBuf> {
    folder("XDG_CONFIG_HOME", ".config")
}

fn folder(name: &str, below_home: &str) -> Option<PathBuf> {
    let base = variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    base.or_else(|| home().map(|home| home.join(below_home))).map(|base| base.join("pgark"))
}

/// This user's home folder.
pub fn home() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from)
}

/// The name of the effective user, from the password file as libpq has it, else from USER.
pub fn user_name() -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let from_file = std::fs::read_to_string("/etc/passwd").ok().and_then(|text| {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
            (id == uid).then(|| name.to_string())
        })
    });
    from_file.or_else(|| variable("USER").and_then(|user| user.into_string().ok())).unwrap_or_default()
}
