//! Which repository this host expects at a place: what it remembers compared with what is there,
//! and trusting what is there on purpose.
//!
//! A host remembers the fingerprint of the repository at each place, and opens no other one there
//! ([`RepoError::FingerprintChanged`]). What else it remembers (lists of writers, newest backups)
//! belongs to a repository's id and not to a place: it stays.

use std::fmt;
use std::str::FromStr;

use pgark_store::Storage;

use crate::RepoError;
use crate::secrets::{self, Header, LocalFolders};

/// A repository at a place, compared with what this host remembers of the place.
pub struct Sight {
    /// The header that is there.
    pub header: Header,
    /// The fingerprint that this host remembers; none: it has not seen the place.
    pub remembered: Option<String>,
    /// The header is another one, and its second copy is the one that this host remembers: one of
    /// the two was replaced or damaged.
    pub copy_is_remembered: bool,
}

impl Sight {
    /// Looks; nothing is changed.
    ///
    /// # Errors
    /// As [`Header::get`]; [`RepoError::Local`].
    pub fn of(store: &Storage, local: &LocalFolders) -> Result<Sight, RepoError> {
        let header = Header::get(store)?;
        let remembered = secrets::remembered(local, store)?;
        let copy_is_remembered = match &remembered {
            Some(known) if *known != header.fingerprint() => {
                Header::copy(store)?.is_some_and(|copy| copy.fingerprint() == *known)
            }
            _ => false,
        };
        Ok(Sight { header, remembered, copy_is_remembered })
    }

    /// Whether this host remembers the repository that is there.
    pub fn is_known(&self) -> bool {
        self.remembered.as_deref() == Some(self.header.fingerprint().as_str())
    }

    /// Refuses a repository that is not the one that someone expects.
    ///
    /// # Errors
    /// [`RepoError::OtherFingerprint`].
    pub fn expect(&self, given: &Fingerprint, store: &Storage) -> Result<(), RepoError> {
        let found = self.header.fingerprint();
        if found == given.0 {
            return Ok(());
        }
        Err(RepoError::OtherFingerprint { location: store.location(), given: given.0.clone(), found })
    }

    /// From now on this host expects the repository that is there.
    ///
    /// # Errors
    /// [`RepoError::Local`]; [`RepoError::NoMemory`].
    pub fn trust(&self, store: &Storage, local: &LocalFolders) -> Result<(), RepoError> {
        secrets::replace(local, store, &self.header)
    }
}

/// A fingerprint that someone gives: as the program prints it, or without the dashes, with colons
/// or spaces, in capitals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

/// It is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a fingerprint: 32 hex digits in groups of four, like 1f09-…")]
pub struct NoFingerprint;

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Fingerprint, NoFingerprint> {
        let digits: Vec<char> = text
            .chars()
            .filter(|sign| !['-', ':', ' '].contains(sign))
            .map(|sign| sign.to_ascii_lowercase())
            .collect();
        if digits.len() != 32 || !digits.iter().all(char::is_ascii_hexdigit) {
            return Err(NoFingerprint);
        }
        let groups: Vec<String> = digits.chunks(4).map(|group| group.iter().collect()).collect();
        Ok(Fingerprint(groups.join("-")))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_people_write_it() {
        let printed = "0123-4567-89ab-cdef-0011-2233-4455-6677";
        for written in [
            printed,
            "0123456789abcdef0011223344556677",
            "0123-4567-89AB-CDEF-0011-2233-4455-6677",
            " 01:23:45:67:89:ab:cd:ef:00:11:22:33:44:55:66:77 ",
            "0123 4567 89ab cdef 0011 2233 4455 6677",
        ] {
            assert_eq!(written.parse::<Fingerprint>().map(|read| read.to_string()), Ok(printed.into()));
        }
        for wrong in ["", "0123-4567", &printed.replace('0', "g"), &format!("{printed}-8899")] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(NoFingerprint), "{wrong}");
        }
    }
}
