//! Who logs in over SSH, and which hosts are known: options, then OpenSSH's own configuration, then
//! what is usual.

use std::path::{Path, PathBuf};

use pgark_ops::SecretString;
use pgark_ops::storage::{SftpConfig, SftpPlace};

use super::options::Options;
use super::ssh_config::{self, Asked};
use super::surroundings::Surroundings;
use crate::environment;
use crate::error::Failure;
use crate::secrets::secret_line;

/// Tried in this order where no key is named.
const USUAL_KEYS: [&str; 3] = [".ssh/id_ed25519", ".ssh/id_ecdsa", ".ssh/id_rsa"];
const SETTINGS_OF_ALL_USERS: &str = "/etc/ssh/ssh_config";
const OF_ALL_USERS: &str = "/etc/ssh/ssh_known_hosts";

pub fn config(place: SftpPlace, options: &Options, around: &Surroundings) -> Result<SftpConfig, Failure> {
    let local_user = environment::user_name();
    let own = around.home.as_ref().map(|home| home.join(".ssh/config"));
    let asked = Asked {
        host: &place.host,
        port: place.port,
        user: place.user.as_deref(),
        local_user: &local_user,
        home: around.home.as_deref(),
        variable: &|name| around.variable(name),
    };
    let files: Vec<PathBuf> = own.into_iter().chain([PathBuf::from(SETTINGS_OF_ALL_USERS)]).collect();
    let settings = ssh_config::read(&files, &asked)?;
    let user = place.user.clone().or(settings.user).unwrap_or(local_user);
    let named = options.path("ssh_key");
    let agent = match settings.agent {
        Some(agent) => agent,
        None => around.variable("SSH_AUTH_SOCK"),
    };
    // A key that is named is the one to use: a server may count every other one as a failed try.
    let agent = agent.map(PathBuf::from).filter(|_| named.is_none());
    let keys = match named {
        Some(path) => vec![path],
        // Of those that are configured some may be another host's; of some only the agent has the
        // secret half.
        None if !settings.keys.is_empty() => {
            let is_there =
                |key: &PathBuf| key.is_file() || Path::new(&format!("{}.pub", key.display())).is_file();
            settings.keys.into_iter().filter(is_there).collect()
        }
        None => USUAL_KEYS.iter().filter_map(|path| around.file(path)).collect(),
    };
    let known_hosts = match options.path("known_hosts") {
        Some(path) => vec![path],
        None => {
            let own = || around.home.iter().map(|home| home.join(".ssh/known_hosts")).collect();
            let of_all = settings.known_hosts_of_all.unwrap_or_else(|| vec![PathBuf::from(OF_ALL_USERS)]);
            settings.known_hosts.unwrap_or_else(own).into_iter().chain(of_all).collect()
        }
    };
    let secret = |key: &str, what: &str, variable: &str| -> Result<Option<SecretString>, Failure> {
        match options.path(key) {
            Some(path) => secret_line(what, &path).map(Some),
            None => Ok(around.variable(variable).map(SecretString::from)),
        }
    };
    Ok(SftpConfig {
        host: settings.host.unwrap_or_else(|| place.host.clone()),
        port: place.port.or(settings.port).unwrap_or(22),
        proxy: settings.proxy,
        user,
        known_hosts,
        known_as: settings.known_as,
        agent,
        keys,
        certificates: settings.certificates,
        only_these_keys: settings.only_these_keys,
        key_passphrase: secret(
            "ssh_key_passphrase_file",
            "passphrase file of the SSH key",
            "PGARK_SSH_KEY_PASSPHRASE",
        )?,
        password: secret("password_file", "password file", "PGARK_SFTP_PASSWORD")?,
        place,
    })
}
