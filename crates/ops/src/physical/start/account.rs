//! The user that a server runs as.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use pgark_store::Child;

use crate::OpsError;
use crate::physical::owners::{Database, Owners};

/// Whose the directory is: its server runs as this user.
pub(super) struct Account {
    uid: u32,
    gid: u32,
    pub name: String,
    /// We are root, and lend it our rights to start.
    pub is_lent: bool,
}

impl Account {
    pub(super) fn of(directory: &Path) -> Result<Account, OpsError> {
        let meta = std::fs::metadata(directory).map_err(|source| OpsError::File {
            doing: "look at",
            path: directory.to_owned(),
            source,
        })?;
        let own = rustix::process::geteuid();
        if meta.uid() == 0 || (!own.is_root() && own.as_raw() != meta.uid()) {
            return Err(OpsError::refused(
                format!("the server of {} cannot be started by this user", directory.display()),
                "the directory must belong to the user who starts it, which cannot be root",
            ));
        }
        let name = Owners::default().name(Database::Users, meta.uid());
        Ok(Account { uid: meta.uid(), gid: meta.gid(), name, is_lent: own.is_root() })
    }

    /// A command that runs as this user.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        Child::Tool.prepare(&mut command);
        if self.is_lent {
            // Without our own groups, too (std's documentation of `uid`).
            command.uid(self.uid).gid(self.gid);
        }
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    /// Gives a folder of ours to this user.
    pub(super) fn own(&self, folder: &Path) -> Result<(), OpsError> {
        self.given(folder, || std::os::unix::fs::lchown(folder, Some(self.uid), Some(self.gid)))
    }

    /// Makes a file for this user, in a folder that is theirs: nothing that they put there is
    /// followed or written over.
    pub(super) fn create(&self, path: &Path) -> Result<File, OpsError> {
        let failed = |source| OpsError::File { doing: "create", path: path.to_owned(), source };
        let file = OpenOptions::new().create_new(true).append(true).open(path).map_err(failed)?;
        self.given(path, || std::os::unix::fs::fchown(&file, Some(self.uid), Some(self.gid)))?;
        Ok(file)
    }

    fn given(&self, path: &Path, give: impl FnOnce() -> std::io::Result<()>) -> Result<(), OpsError> {
        if !self.is_lent {
            return Ok(());
        }
        give().map_err(|source| OpsError::File { doing: "give away", path: path.to_owned(), source })
    }
}
