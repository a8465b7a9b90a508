//! Files of this host that have no name, and errors about its files.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::RepoError;
use crate::secrets::{LocalFolders, private_folder};

pub(super) fn local(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> RepoError {
    let path = path.display().to_string();
    move |source| RepoError::Local { doing, path: path.clone(), source }
}

/// A file without a name, in the cache folder if there is one.
pub(crate) fn temporary(folders: &LocalFolders) -> Result<File, RepoError> {
    if let Some(cache) = &folders.cache
        && private_folder(cache).is_ok()
        && let Ok(file) = tempfile::tempfile_in(cache)
    {
        return Ok(file);
    }
    tempfile::tempfile()
        .map_err(local("make a temporary file for the index in", Path::new("the temporary folder")))
}
