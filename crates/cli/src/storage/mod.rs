//! From a URL, options and surroundings to a storage that can be opened.
//!
//! An option that is typed wins over `pgark.toml`, and both over what the storage's own world has
//! (variables, profiles, files of its other tools). No secret is an option: options name files, and
//! the rest comes from where each world keeps it. What cannot be right is refused here, before
//! anything is asked.

mod amazon;
mod azure;
mod google;
mod options;
mod ssh;
mod ssh_config;
mod surroundings;

use std::time::SystemTime;

use pgark_ops::storage::{BadUrl, StorageUrl, Target, Usage};

use crate::args::Storage as Typed;
use crate::error::Failure;
use options::Options;
use surroundings::Surroundings;

pub use options::{KEYS, Key, Kind};

/// A storage and how it is used.
pub struct Resolved {
    pub target: Target,
    pub usage: Usage,
}

/// Resolves a URL.
pub fn resolve(url: &str, typed: &Typed, as_of: Option<SystemTime>) -> Result<Resolved, Failure> {
    resolve_in(url, typed, as_of, &Surroundings::ours())
}

fn resolve_in(
    url: &str,
    typed: &Typed,
    as_of: Option<SystemTime>,
    around: &Surroundings,
) -> Result<Resolved, Failure> {
    let url = StorageUrl::parse(url).map_err(|BadUrl { what, hint }| Failure::usage(what, &hint))?;
    let options = Options::of(&url, typed)?;
    let usage = options.usage(as_of, around)?;
    let target = match url {
        StorageUrl::Directory(path) => Target::Directory(path),
        StorageUrl::S3(bucket) => Target::S3(amazon::config(bucket, &options, around)?),
        StorageUrl::Gcs(bucket) => Target::Gcs(google::config(bucket, &options, around)),
        StorageUrl::Azure(container) => Target::Azure(azure::config(container, &options, around)?),
        StorageUrl::Sftp(place) => Target::Sftp(ssh::config(place, &options, around)?),
    };
    options.all_used()?;
    Ok(Resolved { target, usage })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pgark_ops::ExposeSecret;
    use pgark_ops::storage::{AzureCredentials, GcsCredentials, LockMode, S3Credentials};

    use super::*;

    fn around(variables: &[(&str, &str)], home: Option<&Path>) -> Surroundings {
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Surroundings { variables, home: home.map(Path::to_path_buf) }
    }

    fn typed(options: &[(&str, &str)]) -> Typed {
        Typed {
            storage_option: options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            ..Typed::default()
        }
    }

    fn resolved(url: &str, options: &[(&str, &str)], around: &Surroundings) -> Result<Target, String> {
        resolve_in(url, &typed(options), None, around)
            .map(|found| found.target)
            .map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn s3_takes_the_first_credentials_it_finds() {
        let home = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        std::fs::write(
            home.path().join(".aws/credentials"),
            "[default]\naws_access_key_id = D\naws_secret_access_key = d\n[work]\naws_access_key_id=W\naws_secret_access_key=w\naws_session_token=t\n",
        )
        .unwrap();
        std::fs::write(
            home.path().join(".aws/config"),
            "[profile work]\nregion = eu-west-1\n[profile ops]\nrole_arn = arn:x\nsource_profile = work\nexternal_id = e\nendpoint_url = https://h\n[profile loop]\nrole_arn=a\nsource_profile=loop\n[profile sso]\nsso_session = s\n[profile helped]\ncredential_process = helper --with-certificate c\n",
        )
        .unwrap();
        let s3 = |options: &[(&str, &str)], variables: &[(&str, &str)]| match resolved(
            "s3://bucket/p",
            options,
            &around(variables, Some(home.path())),
        ) {
            Ok(Target::S3(config)) => Ok(config),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        };
        let keys = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "e"), ("AWS_REGION", "us-west-2")];
        let id = |credentials: &S3Credentials| match credentials {
            S3Credentials::Keys { id, .. } => id.clone(),
            other => format!("{other:?}"),
        };
        let config = s3(&[], &keys).unwrap();
        assert_eq!((id(&config.credentials), config.region), ("E".into(), Some("us-west-2".into())));
        assert_eq!(id(&s3(&[], &[]).unwrap().credentials), "D");
        let config = s3(&[("profile", "work")], &keys).unwrap();
        assert_eq!((id(&config.credentials), config.region), ("W".into(), Some("us-west-2".into())));
        let config = s3(&[], &[("AWS_PROFILE", "work")]).unwrap();
        assert_eq!((id(&config.credentials), config.region), ("W".into(), Some("eu-west-1".into())));
        let config = s3(&[("profile", "ops"), ("region", "x-1")], &[]).unwrap();
        let S3Credentials::Role { base, role, external_id, .. } = &config.credentials else { panic!() };
        assert_eq!((id(base), role.as_str(), external_id.as_deref()), ("W".into(), "arn:x", Some("e")));
        assert_eq!((config.endpoint.as_deref(), config.region.as_deref()), (Some("https://h"), Some("x-1")));
        let config = s3(&[("profile", "helped")], &[]).unwrap();
        assert!(
            matches!(&config.credentials, S3Credentials::Process { command } if command.expose_secret().ends_with("-certificate c"))
        );
        let config = s3(&[("role_arn", "arn:y")], &keys).unwrap();
        assert!(matches!(&config.credentials, S3Credentials::Role { base, .. } if id(base) == "E"));
        assert!(s3(&[("profile", "none")], &[]).unwrap_err().contains("no profile"));
        assert!(s3(&[("profile", "loop")], &[]).unwrap_err().contains("refers back"));
        assert!(s3(&[("profile", "sso")], &[]).unwrap_err().contains("sso"));
        let bare = around(&[], None);
        let Ok(Target::S3(config)) = resolved("s3://bucket", &[], &bare) else { panic!() };
        assert!(matches!(config.credentials, S3Credentials::Instance { endpoint: None }));
        let web = around(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "r")], None);
        let Ok(Target::S3(config)) = resolved("s3://bucket", &[], &web) else { panic!() };
        assert!(matches!(config.credentials, S3Credentials::WebIdentity { .. }));
    }

    #[test]
    fn locks_need_a_time() {
        let bare = around(&[], None);
        let lock = |options: &[(&str, &str)]| match resolved("s3://bucket", options, &bare) {
            Ok(Target::S3(config)) => Ok(config.lock),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        };
        assert_eq!(lock(&[]).unwrap(), None);
        let set = lock(&[("object_lock", "compliance"), ("lock_for", "30d")]).unwrap().unwrap();
        assert_eq!((set.mode, set.period.as_secs()), (LockMode::Compliance, 30 * 86_400));
        assert!(lock(&[("object_lock", "governance")]).unwrap_err().contains("lock_for"));
        assert!(lock(&[("lock_for", "30d")]).unwrap_err().contains("object_lock"));
        assert!(lock(&[("object_lock", "forever"), ("lock_for", "30d")]).unwrap_err().contains("governance"));
    }

    #[test]
    fn options_of_other_storages_are_refused() {
        let bare = around(&[], None);
        for (url, key, value) in [
            ("/backup", "region", "x"),
            ("s3://bucket", "ssh_key", "/x"),
            ("gs://bucket", "profile", "x"),
            ("s3://bucket", "colour", "red"),
            ("s3://bucket", "path_style", "perhaps"),
            ("s3://bucket", "connections", "0"),
            ("s3://bucket", "timeout", "soon"),
            ("s3://bucket", "ca_file", "/nowhere"),
            ("s3://bucket", "sse_kms_key", "k"),
        ] {
            let error = resolved(url, &[(key, value)], &bare).expect_err(key);
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn azure_and_google_find_theirs() {
        let azure = |variables: &[(&str, &str)]| match resolved("azblob://c/p", &[], &around(variables, None))
        {
            Ok(Target::Azure(config)) => Ok(config),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        };
        assert!(azure(&[]).unwrap_err().contains("account"));
        let account = ("AZURE_STORAGE_ACCOUNT", "a");
        assert!(matches!(
            azure(&[account, ("AZURE_STORAGE_KEY", "k")]).unwrap().credentials,
            AzureCredentials::Key(_)
        ));
        assert!(matches!(
            azure(&[account, ("AZURE_STORAGE_SAS_TOKEN", "?s")]).unwrap().credentials,
            AzureCredentials::Sas(_)
        ));
        assert!(matches!(azure(&[account]).unwrap().credentials, AzureCredentials::Instance { id: None }));
        let whole = "DefaultEndpointsProtocol=https;AccountName=b;AccountKey=a2V5PT0=;BlobEndpoint=http://127.0.0.1:1/b;";
        let config = azure(&[("AZURE_STORAGE_CONNECTION_STRING", whole)]).unwrap();
        assert_eq!(
            (config.account.as_str(), config.endpoint.as_deref()),
            ("b", Some("http://127.0.0.1:1/b"))
        );
        let google = |variables: &[(&str, &str)]| match resolved("gs://bucket", &[], &around(variables, None))
        {
            Ok(Target::Gcs(config)) => config.credentials,
            other => panic!("{other:?}"),
        };
        assert!(matches!(google(&[("GOOGLE_APPLICATION_CREDENTIALS", "/k")]), GcsCredentials::KeyFile(_)));
        assert!(matches!(google(&[]), GcsCredentials::Instance));
    }

    #[test]
    fn ssh_finds_keys_and_hosts() {
        let home = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        std::fs::write(home.path().join(".ssh/id_ed25519"), "k").unwrap();
        std::fs::write(home.path().join(".ssh/known_hosts"), "h").unwrap();
        let around = around(&[("SSH_AUTH_SOCK", "/agent"), ("PGARK_SFTP_PASSWORD", "p")], Some(home.path()));
        let Ok(Target::Sftp(config)) = resolved("sftp://me@host/x", &[], &around) else { panic!() };
        assert_eq!(config.user, "me");
        assert_eq!(config.keys, [home.path().join(".ssh/id_ed25519")]);
        assert!(config.known_hosts.contains(&home.path().join(".ssh/known_hosts")));
        assert!(config.agent.is_some() && config.password.is_some());
        let Ok(Target::Sftp(config)) =
            resolved("sftp://me@host/x", &[("ssh_key", "/k"), ("known_hosts", "/h")], &around)
        else {
            panic!()
        };
        assert_eq!((config.keys, config.known_hosts), (vec!["/k".into()], vec!["/h".into()]));
        assert!(config.agent.is_none(), "a key that is named is the one to use");
    }
}
