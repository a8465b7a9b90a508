//! The programs of the server that a data directory is of.

use std::path::PathBuf;

use crate::{OpsError, tools};

/// The programs of one major.
pub(in crate::physical) struct Binaries {
    pub pg_ctl: PathBuf,
    pub postgres: PathBuf,
    pub version: String,
    pub major: i32,
}

impl Binaries {
    /// Finds them.
    pub(in crate::physical) fn find(search_path: &[PathBuf], major: i32) -> Result<Binaries, OpsError> {
        let tool = tools::find_server(search_path, major)?;
        let pg_ctl = tools::sister(&tool, "pg_ctl");
        Ok(Binaries { pg_ctl, postgres: tool.path, version: tool.version, major: tool.major })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_major_that_is_not_here_is_named() {
        let Err(error) = Binaries::find(&[], 99) else { panic!("PostgreSQL 99 is here") };
        assert!(error.to_string().contains("PostgreSQL 99 is not installed"), "{error}");
    }
}
