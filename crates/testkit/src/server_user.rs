//! Which OS user servers run as: PostgreSQL refuses to run as root, so root lends them to
//! `postgres`.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// The OS user that owns the servers' files and processes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ServerUser {
    /// The user who runs the tests.
    Ourselves,
    /// The user `postgres`, because we are root.
    Postgres {
        /// Its numeric user id.
        uid: u32,
        /// Its numeric group id.
        gid: u32,
    },
}

impl ServerUser {
    /// The user for this process.
    pub(crate) fn get() -> ServerUser {
        static USER: OnceLock<ServerUser> = OnceLock::new();
        *USER.get_or_init(|| {
            if !rustix::process::geteuid().is_root() {
                return ServerUser::Ourselves;
            }
            let passwd = std::fs::read_to_string("/etc/passwd").expect("read /etc/passwd");
            let line = passwd
                .lines()
                .find(|line| line.starts_with("postgres:"))
                .expect("root needs an OS user `postgres` to run servers as: install PostgreSQL");
            let mut ids = line.split(':').skip(2).map(|id| id.parse::<u32>().expect("numeric id"));
            ServerUser::Postgres { uid: ids.next().expect("uid"), gid: ids.next().expect("gid") }
        })
    }

    /// A command that runs `program` as this user and gets SIGQUIT when the thread that started it
    /// ends.
    pub(crate) fn command(self, program: &Path, dies_with_parent: bool) -> Command {
        let mut command = Command::new("setpriv");
        if let ServerUser::Postgres { uid, gid } = self {
            command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--init-groups");
        }
        if dies_with_parent {
            command.args(["--pdeathsig", "QUIT"]);
        } else if matches!(self, ServerUser::Ourselves) {
            command = Command::new("env");
        }
        command.arg(program);
        clean_environment(&mut command);
        command.current_dir("/");
        command
    }

    /// Gives `path` to this user.
    pub(crate) fn own(self, path: &Path) {
        if let ServerUser::Postgres { uid, gid } = self {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("chown to the server's user");
        }
    }
}

/// Removes what would leak the caller's PostgreSQL settings or locale into a child.
pub(crate) fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("PG") || name_text.starts_with("LC_") || name_text.starts_with("LANG") {
            command.env_remove(&name);
        }
    }
    command.env("LC_ALL", "C.UTF-8").env("PGCONNECT_TIMEOUT", "20").env("PSQLRC", "/dev/null");
}
