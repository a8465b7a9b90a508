//! Who asks S3: options, variables, profiles, and what the machine is given (AWS SDKs and Tools
//! reference guide, "Understand the credential provider chain").

use std::path::{Path, PathBuf};

use ini::{Ini, Properties};
use pgark_ops::SecretString;
use pgark_ops::storage::{Bucket, Lock, LockMode, S3Config, S3Credentials, S3Encryption};

use super::options::{Options, wrong};
use super::surroundings::Surroundings;
use crate::error::Failure;

/// Names the session of a role in the account's logs.
const SESSION: &str = "pgark";
/// Profiles that lead to one another.
const DEEPEST: usize = 5;

pub fn config(bucket: Bucket, options: &Options, around: &Surroundings) -> Result<S3Config, Failure> {
    let named = options.text("profile");
    let explicit = named.is_some();
    let name = named.or_else(|| around.variable("AWS_PROFILE")).unwrap_or_else(|| "default".into());
    let profiles = Profiles::read(around)?;
    let profile = profiles.get(&name);
    let is_asked_for = explicit || around.variable("AWS_PROFILE").is_some();
    if is_asked_for && profile.is_none() {
        return Err(wrong("profile", format!("there is no profile {name:?} in {}", profiles.shown())));
    }
    let of_profile = |key: &str| profile.as_ref().and_then(|profile| profile.get(key).map(str::to_string));
    let sts = options.text("sts_endpoint").or_else(|| around.variable("AWS_ENDPOINT_URL_STS"));
    let base = if explicit {
        profiles.credentials(&name, around, sts.as_deref(), 0)?
    } else if let Some(keys) = of_variables(around) {
        keys
    } else if let Some(web) = of_web_identity(around, sts.clone()) {
        web
    } else if profile.is_some() && profiles.has_credentials(&name) {
        profiles.credentials(&name, around, sts.as_deref(), 0)?
    } else {
        of_machine(around)
    };
    let external_id = options.text("external_id");
    let credentials = match options.text("role_arn") {
        Some(role) => {
            S3Credentials::Role { base: Box::new(base), role, session: session(around), external_id, sts }
        }
        None if external_id.is_some() => {
            return Err(wrong("external_id", "it needs role_arn"));
        }
        None => base,
    };
    Ok(S3Config {
        bucket,
        region: options
            .text("region")
            .or_else(|| around.variable("AWS_REGION"))
            .or_else(|| around.variable("AWS_DEFAULT_REGION"))
            .or_else(|| of_profile("region")),
        endpoint: options
            .text("endpoint")
            .or_else(|| around.variable("AWS_ENDPOINT_URL_S3"))
            .or_else(|| around.variable("AWS_ENDPOINT_URL"))
            .or_else(|| of_profile("endpoint_url")),
        path_style: options.flag("path_style")?,
        credentials,
        storage_class: options.text("storage_class"),
        encryption: encryption(options)?,
        lock: lock(options)?,
    })
}

fn session(around: &Surroundings) -> String {
    around.variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| SESSION.into())
}

fn of_variables(around: &Surroundings) -> Option<S3Credentials> {
    Some(S3Credentials::Keys {
        id: around.variable("AWS_ACCESS_KEY_ID")?,
        secret: SecretString::from(around.variable("AWS_SECRET_ACCESS_KEY")?),
        token: around.variable("AWS_SESSION_TOKEN").map(SecretString::from),
    })
}

fn of_web_identity(around: &Surroundings, sts: Option<String>) -> Option<S3Credentials> {
    Some(S3Credentials::WebIdentity {
        token_file: around.variable("AWS_WEB_IDENTITY_TOKEN_FILE")?,
        role: around.variable("AWS_ROLE_ARN")?,
        session: session(around),
        sts,
    })
}

fn of_machine(around: &Surroundings) -> S3Credentials {
    let relative = around.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let full = around.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if relative.is_some() || full.is_some() {
        let token_file = around.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        return S3Credentials::Container { relative, full, token_file };
    }
    S3Credentials::Instance { endpoint: around.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT") }
}

fn encryption(options: &Options) -> Result<Option<S3Encryption>, Failure> {
    match options.text("sse").as_deref() {
        None => Ok(None),
        Some("AES256") => Ok(Some(S3Encryption::Aes256)),
        Some("aws:kms") => Ok(Some(S3Encryption::Kms { key: options.text("sse_kms_key") })),
        Some(other) => Err(wrong("sse", format!("{other:?} is neither AES256 nor aws:kms"))),
    }
}

fn lock(options: &Options) -> Result<Option<Lock>, Failure> {
    let mode = match options.text("object_lock").as_deref() {
        None => None,
        Some("governance") => Some(LockMode::Governance),
        Some("compliance") => Some(LockMode::Compliance),
        Some(other) => {
            return Err(wrong("object_lock", format!("{other:?} is neither governance nor compliance")));
        }
    };
    match (mode, options.time("lock_for")?) {
        (None, None) => Ok(None),
        (Some(mode), Some(period)) if !period.is_zero() => {
            Ok(Some(Lock { mode, period, except: Vec::new() }))
        }
        (Some(_), _) => Err(wrong("object_lock", "say how long with lock_for, for example lock_for=30d")),
        (None, Some(_)) => {
            Err(wrong("lock_for", "say which lock with object_lock: governance or compliance"))
        }
    }
}

/// The two files in which Amazon's tools keep profiles.
struct Profiles {
    credentials: (PathBuf, Option<Ini>),
    config: (PathBuf, Option<Ini>),
}

/// A profile: what the credentials file says, then what the config file says.
struct Profile<'p>(Option<&'p Properties>, Option<&'p Properties>);

impl Profile<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.and_then(|own| own.get(key)).or_else(|| self.1.and_then(|own| own.get(key)))
    }
}

impl Profiles {
    fn read(around: &Surroundings) -> Result<Profiles, Failure> {
        let place = |variable: &str, file: &str| {
            let usual = || around.home.as_ref().map(|home| home.join(".aws").join(file));
            around.variable(variable).map(PathBuf::from).or_else(usual).unwrap_or_default()
        };
        let read = |path: PathBuf| {
            let ini = if path.is_file() { Some(load(&path)?) } else { None };
            Ok::<_, Failure>((path, ini))
        };
        Ok(Profiles {
            credentials: read(place("AWS_SHARED_CREDENTIALS_FILE", "credentials"))?,
            config: read(place("AWS_CONFIG_FILE", "config"))?,
        })
    }

    fn shown(&self) -> String {
        format!("{} and {}", self.credentials.0.display(), self.config.0.display())
    }

    fn get(&self, name: &str) -> Option<Profile<'_>> {
        let own = self.credentials.1.as_ref().and_then(|ini| ini.section(Some(name)));
        let in_config = if name == "default" { name.to_string() } else { format!("profile {name}") };
        let config = self.config.1.as_ref().and_then(|ini| ini.section(Some(in_config.as_str())));
        (own.is_some() || config.is_some()).then_some(Profile(own, config))
    }

    /// Whether a profile says who asks, and not only where.
    fn has_credentials(&self, name: &str) -> bool {
        let keys = ["aws_access_key_id", "role_arn", "credential_process", "sso_session", "sso_start_url"];
        self.get(name).is_some_and(|profile| keys.iter().any(|key| profile.get(key).is_some()))
    }

    fn credentials(
        &self,
        name: &str,
        around: &Surroundings,
        sts: Option<&str>,
        depth: usize,
    ) -> Result<S3Credentials, Failure> {
        let in_profile = |what: String| {
            Failure::usage(
                format!("profile {name:?} ({}): {what}", self.shown()),
                "see the storage option profile",
            )
        };
        let profile = self.get(name).ok_or_else(|| in_profile("it does not exist".into()))?;
        let text = |key: &str| profile.get(key).map(str::to_string);
        if depth > DEEPEST {
            return Err(in_profile("its source_profile refers back to itself".into()));
        }
        if let Some(role) = text("role_arn") {
            let session = text("role_session_name").unwrap_or_else(|| session(around));
            if let Some(token_file) = text("web_identity_token_file") {
                return Ok(S3Credentials::WebIdentity {
                    token_file,
                    role,
                    session,
                    sts: sts.map(str::to_string),
                });
            }
            let base = match (text("source_profile"), text("credential_source").as_deref()) {
                // A profile may be its own source if it has keys.
                (Some(source), _) if source == name => keys(&profile).ok_or_else(|| {
                    in_profile("its source_profile refers back to itself, and it has no keys".into())
                })?,
                (Some(source), _) => self.credentials(&source, around, sts, depth + 1)?,
                (None, Some("Environment")) => of_variables(around).ok_or_else(|| {
                    in_profile("credential_source = Environment, and AWS_ACCESS_KEY_ID is not set".into())
                })?,
                (None, Some(_)) => of_machine(around),
                (None, None) => {
                    return Err(in_profile("role_arn needs source_profile or credential_source".into()));
                }
            };
            let (base, external_id) = (Box::new(base), text("external_id"));
            return Ok(S3Credentials::Role {
                base,
                role,
                session,
                external_id,
                sts: sts.map(str::to_string),
            });
        }
        if let Some(keys) = keys(&profile) {
            return Ok(keys);
        }
        if let Some(command) = text("credential_process") {
            return Ok(S3Credentials::Process { command: SecretString::from(command) });
        }
        for key in ["sso_session", "sso_start_url"] {
            if profile.get(key).is_some() {
                return Err(in_profile(format!(
                    "{key} is not supported; a profile with `credential_process = aws configure export-credentials --profile {name}` replaces it"
                )));
            }
        }
        Ok(of_machine(around))
    }
}

fn keys(profile: &Profile<'_>) -> Option<S3Credentials> {
    Some(S3Credentials::Keys {
        id: profile.get("aws_access_key_id")?.to_string(),
        secret: SecretString::from(profile.get("aws_secret_access_key")?),
        token: profile.get("aws_session_token").map(SecretString::from),
    })
}

/// The message of a parser could quote a line, and a line may be a secret.
fn load(path: &Path) -> Result<Ini, Failure> {
    Ini::load_from_file_noescape(path).map_err(|error| match error {
        ini::Error::Io(source) => Failure::input(format!("read {}", path.display()), source),
        ini::Error::Parse(error) => Failure::usage(
            format!("{}:{}: this is not an INI file", path.display(), error.line),
            "`aws configure` writes such files",
        ),
    })
}
