//! Who logs in over SSH, and which hosts are known.

use std::path::PathBuf;

use pgark_ops::SecretString;
use pgark_ops::storage::{SftpConfig, SftpPlace};

use super::Surroundings;
use super::options::Options;
use crate::environment;
use crate::error::Failure;
use crate::repository::secret_line;

/// Tried in this order where no key is named.
const USUAL_KEYS: [&str; 3] = [".ssh/id_ed25519", ".ssh/id_ecdsa", ".ssh/id_rsa"];
const OF_ALL_USERS: &str = "/etc/ssh/ssh_known_hosts";

pub fn config(place: SftpPlace, options: &Options, around: &Surroundings) -> Result<SftpConfig, Failure> {
    let user = place.user.clone().unwrap_or_else(environment::user_name);
    let named = options.path("ssh_key");
    // A key that is named is the one to use: a server may count every other one as a failed try.
    let agent = around.variable("SSH_AUTH_SOCK").map(PathBuf::from).filter(|_| named.is_none());
    let keys = match named {
        Some(path) => vec![path],
        None => USUAL_KEYS.iter().filter_map(|path| around.file(path)).collect(),
    };
    let known_hosts = match options.path("known_hosts") {
        Some(path) => vec![path],
        None => {
            let own = around.home.as_ref().map(|home| home.join(".ssh/known_hosts"));
            own.into_iter().chain([PathBuf::from(OF_ALL_USERS)]).collect()
        }
    };
    let secret = |key: &str, what: &str, variable: &str| -> Result<Option<SecretString>, Failure> {
        match options.path(key) {
            Some(path) => secret_line(what, &path).map(Some),
            None => Ok(around.variable(variable).map(SecretString::from)),
        }
    };
    Ok(SftpConfig {
        user,
        known_hosts,
        agent,
        keys,
        key_passphrase: secret(
            "ssh_key_passphrase_file",
            "passphrase file of the SSH key",
            "PGARK_SSH_KEY_PASSPHRASE",
        )?,
        password: secret("password_file", "password file", "PGARK_SFTP_PASSWORD")?,
        place,
    })
}
