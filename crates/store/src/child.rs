//! What programs that are started from here find in their environment.
//!
//! The library reads no environment; whoever runs it says once what it is. Without that (in tests
//! of the library) children inherit everything.

use std::ffi::{OsStr, OsString};
use std::process::Command;
use std::sync::OnceLock;

static GIVEN: OnceLock<Vec<(OsString, OsString)>> = OnceLock::new();

/// What the program was started with. Only the first call counts.
pub fn environment_is(variables: impl IntoIterator<Item = (OsString, OsString)>) {
    let _ = GIVEN.set(variables.into_iter().collect());
}

/// What a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// A program that is known, and what it needs: pg_dump.
    Tool,
    /// A command of the user, which may need anything but our secrets: a hook, a ProxyCommand.
    Command,
    /// A command of the user that asks Amazon for credentials: its profile and region are its
    /// business, too.
    Amazon,
}

/// Secrets of the repository and of storages.
const OURS: &[&str] = &["PGARK_", "AZURE_", "GOOGLE_", "CLOUDSDK_"];
const AMAZON: &str = "AWS_";
/// They would be in the way of the credentials that the command is to bring.
const AMAZON_SECRETS: &[&str] = &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// What libraries and the C runtime read: where things are, who we are, which language, how
/// Kerberos and OpenSSL are set up.
const FOR_TOOLS: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "TZ",
    "TZDIR",
    "LANG",
    "LANGUAGE",
    "LOCPATH",
    "HOSTALIASES",
];
const FOR_TOOLS_BEGINNINGS: &[&str] =
    &["LC_", "LD_", "DYLD_", "KRB5", "GSS", "OPENSSL_", "SSL_CERT_", "NSS_", "RES_", "FAKETIME"];

impl Child {
    fn may_have(self, name: &OsStr) -> bool {
        let Some(name) = name.to_str() else { return self != Child::Tool };
        let begins = |with: &[&str]| with.iter().any(|with| name.starts_with(with));
        match self {
            Child::Tool => FOR_TOOLS.contains(&name) || begins(FOR_TOOLS_BEGINNINGS),
            Child::Command => !begins(OURS) && !name.starts_with(AMAZON),
            Child::Amazon => !begins(OURS) && !AMAZON_SECRETS.contains(&name),
        }
    }

    /// Gives a command the environment of such a child. To be called before any variable is set.
    pub fn prepare(self, command: &mut Command) {
        if let Some(given) = GIVEN.get() {
            let kept = given.iter().filter(|(name, _)| self.may_have(name));
            command.env_clear().envs(kept.map(|(name, value)| (name, value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_get_what_they_need() {
        let may = |child: Child, name: &str| child.may_have(OsStr::new(name));
        for child in [Child::Tool, Child::Command, Child::Amazon] {
            for secret in [
                "PGARK_PASSPHRASE",
                "AWS_SECRET_ACCESS_KEY",
                "AZURE_STORAGE_KEY",
                "GOOGLE_APPLICATION_CREDENTIALS",
            ] {
                assert!(!may(child, secret), "{child:?} {secret}");
            }
            for needed in ["PATH", "HOME", "LC_ALL", "KRB5CCNAME", "LD_LIBRARY_PATH"] {
                assert!(may(child, needed), "{child:?} {needed}");
            }
        }
        assert!(may(Child::Amazon, "AWS_PROFILE") && !may(Child::Command, "AWS_PROFILE"));
        assert!(may(Child::Command, "SSH_AUTH_SOCK") && !may(Child::Tool, "SSH_AUTH_SOCK"));
        assert!(!may(Child::Tool, "SLACK_TOKEN"));
    }
}
