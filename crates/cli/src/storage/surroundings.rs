//! Variables and files below the home folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::environment;

/// What the storages' worlds keep: variables and files below the home folder. Tests bring their
/// own.
pub(super) struct Surroundings {
    pub(super) variables: BTreeMap<String, String>,
    pub(super) home: Option<PathBuf>,
}

impl Surroundings {
    pub(super) fn ours() -> Surroundings {
        let found = environment::for_postgres();
        Surroundings { variables: found.vars.into_iter().collect(), home: found.home }
    }

    /// A variable that is not empty.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// A file of the user that is there.
    pub(super) fn file(&self, below_home: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(below_home)).filter(|path| path.is_file())
    }
}
