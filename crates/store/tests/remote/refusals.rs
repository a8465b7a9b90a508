//! What storages refuse, and what the error says: the object, the operation, the likely cause, and
//! no secret.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use pgark_store::{Cancel, Cause, S3Credentials, SftpConfig, StoreError, Target, Usage, contract, open};
use pgark_testkit::storage::{
    Azurite, GcsStandIn, Login, Moto, Network, Proxy, S3rver, Sshd, make_container,
};
use secrecy::SecretString;

use crate::support::{azure, gcs, keys, opened, s3, sftp, try_open};

/// The failure's cause and text; what must not be in it is not.
fn failure<T: std::fmt::Debug>(result: Result<T, StoreError>) -> (Cause, String) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert!(
        !text.contains("hunter2") && !text.contains(Sshd::PASSWORD) && !text.contains(Azurite::KEY),
        "{text}"
    );
    match error {
        StoreError::Failed { cause, .. } => (cause, text),
        other => panic!("{other}"),
    }
}

#[test]
fn s3_names_a_missing_bucket() {
    let moto = Moto::start();
    let store = opened(Target::S3(s3(moto.endpoint(), "nowhere", "p", keys("a", "hunter2"))));
    for (cause, text) in
        [failure(store.get("pgark.json")), failure(contract::put(&store, "a", b"x")), failure(store.list(""))]
    {
        assert_eq!(cause, Cause::NoBucket, "{text}");
        assert!(text.contains("s3://nowhere/p") && text.contains("NoSuchBucket"), "{text}");
    }
}

#[test]
fn s3_names_wrong_keys() {
    let server = S3rver::start();
    let store = opened(Target::S3(s3(server.endpoint(), "test", "", keys("nobody", "hunter2"))));
    let (cause, text) = failure(store.get("pgark.json"));
    assert_eq!(cause, Cause::Credentials, "{text}");
    assert!(text.starts_with("read s3://test/pgark.json") && text.contains("InvalidAccessKeyId"), "{text}");
}

#[test]
fn s3_says_when_there_are_no_credentials() {
    // A metadata service that is not there, at the address that such services have.
    let moto = Moto::start();
    let instance = S3Credentials::Instance { endpoint: Some("http://169.254.169.254:1".into()) };
    // Nobody waits for the metadata service as long as for a storage, which here would be a day.
    let usage = Usage { retry_for: Duration::from_secs(86_400), ..Usage::default() };
    let target = Target::S3(s3(moto.endpoint(), "bucket", "", instance));
    let store = open(target, usage, false, Cancel::new()).unwrap();
    let (cause, text) = failure(store.get("pgark.json"));
    assert_eq!(cause, Cause::Credentials, "{text}");
    assert!(text.contains("no credentials were found") && text.contains("169.254.169.254"), "{text}");
}

#[test]
fn s3_refuses_what_a_policy_denies() {
    let moto = Moto::start();
    moto.make_bucket("bucket");
    let policy = |actions: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":[{actions}],"Resource":"*"}}]}}"#
        )
    };
    let (id, secret) = moto.make_user("writer", &policy(r#""s3:PutObject","s3:GetObject","s3:ListBucket""#));
    let (blind_id, blind_secret) = moto.make_user("blind", &policy(r#""s3:DeleteObject""#));
    moto.check_policies_after(0);
    let writer = opened(Target::S3(s3(moto.endpoint(), "bucket", "", keys(&id, &secret))));
    contract::put(&writer, "packs/a", b"x").unwrap();
    assert_eq!(writer.get("packs/a").unwrap(), b"x");
    assert_eq!(writer.list("").unwrap().len(), 1);
    let error = writer.delete("packs/a").unwrap_err();
    assert!(error.is_denied() && error.to_string().contains("packs/a"), "{error}");
    let blind = opened(Target::S3(s3(moto.endpoint(), "bucket", "", keys(&blind_id, &blind_secret))));
    for error in [
        blind.list("").unwrap_err(),
        contract::put(&blind, "b", b"x").unwrap_err(),
        blind.get("packs/a").unwrap_err(),
    ] {
        assert!(error.is_denied(), "{error}");
        assert!(error.hint().unwrap().contains("policy"), "{error}");
    }
    let wrong = opened(Target::S3(s3(moto.endpoint(), "bucket", "", keys(&id, "hunter2"))));
    assert_eq!(failure(wrong.list("")).0, Cause::Credentials);
}

#[test]
fn s3_takes_a_role_and_a_role_alone() {
    let moto = Moto::start();
    moto.make_bucket("bucket");
    let role = S3Credentials::Role {
        base: Box::new(keys("a", "b")),
        role: "arn:aws:iam::123456789012:role/backup".into(),
        session: "pgark".into(),
        external_id: Some("x".into()),
        sts: Some(moto.endpoint()),
    };
    let store = opened(Target::S3(s3(moto.endpoint(), "bucket", "", role)));
    contract::put(&store, "a", b"x").unwrap();
    assert_eq!(store.get("a").unwrap(), b"x");
    let folder = tempfile::TempDir::new().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a web identity token").unwrap();
    let tokens = Proxy::renaming(moto.port(), Network::default(), &[FOR_THE_TOKEN_SERVICE]);
    let web = S3Credentials::WebIdentity {
        token_file: token.display().to_string(),
        role: "arn:aws:iam::123456789012:role/backup".into(),
        session: "pgark".into(),
        sts: Some(format!("http://127.0.0.1:{}", tokens.port())),
    };
    let store = opened(Target::S3(s3(moto.endpoint(), "bucket", "", web)));
    assert_eq!(store.get("a").unwrap(), b"x");
}

#[test]
fn s3_takes_what_a_program_prints() {
    let moto = Moto::start();
    moto.make_bucket("bucket");
    let policy =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":"*"}]}"#;
    let (id, secret) = moto.make_user("program", policy);
    moto.check_policies_after(0);
    let folder = tempfile::TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let store_of = |command: String| {
        let credentials = S3Credentials::Process { command: SecretString::from(command) };
        opened(Target::S3(s3(moto.endpoint(), "bucket", "", credentials)))
    };
    let printing = |rest: &str| {
        let document = format!(r#"{{"Version":1,"AccessKeyId":"{id}","SecretAccessKey":"{secret}"{rest}}}"#);
        store_of(format!("echo run >> '{}'; echo '{document}'", runs.display()))
    };
    let count = || std::fs::read_to_string(&runs).map_or(0, |text| text.lines().count());
    let store = printing("");
    contract::put(&store, "a", b"x").unwrap();
    assert_eq!(store.get("a").unwrap(), b"x");
    assert_eq!(count(), 1, "what does not end is asked for once");
    let soon = jiff::Timestamp::now() + Duration::from_secs(60);
    let store = printing(&format!(r#","Expiration":"{soon}""#));
    assert_eq!((store.get("a").unwrap(), store.get("a").unwrap()), (b"x".to_vec(), b"x".to_vec()));
    assert!(count() >= 3, "what ends soon is asked for again");
    let before = jiff::Timestamp::now() - Duration::from_secs(60);
    for (store, says) in [
        (printing(&format!(r#","Expiration":"{before}""#)), "expired at"),
        (
            store_of("echo no token for hunter2 | sed s/hunter2/you/ >&2; exit 3 # hunter2".into()),
            "exit status: 3: no token for you",
        ),
        (store_of("echo hunter2".into()), "no valid credentials"),
        (store_of(r#"echo '{"Version":1,"AccessKeyId":"hunter2"}'"#.into()), "no valid credentials"),
        (
            store_of(r#"echo '{"Version":2,"AccessKeyId":"a","SecretAccessKey":"hunter2"}'"#.into()),
            "version 2",
        ),
        (store_of("/nowhere/helper --secret hunter2".into()), "/nowhere/helper"),
        (store_of("yes hunter2".into()), "yes"),
    ] {
        let (cause, text) = failure(store.get("a"));
        assert_eq!(cause, Cause::Credentials, "{text}");
        assert!(text.contains(says) && text.contains("credential_process"), "{text}");
    }
}

/// A request for a web identity's role is not signed, and moto tells services on one port by what a
/// signature is for.
const FOR_THE_TOKEN_SERVICE: (&str, &str) = (
    "host: 127.0.0.1",
    "authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0\r\nhost: 127.0.0.1",
);

#[test]
fn s3_locks_extends_and_sees_the_past() {
    use pgark_store::{Lock, LockMode};
    let moto = Moto::start();
    moto.make_locked_bucket("bucket");
    let period = Duration::from_secs(86_400);
    let config = || {
        let mut config = s3(moto.endpoint(), "bucket", "p", keys("a", "b"));
        config.lock = Some(Lock { mode: LockMode::Compliance, period, except: vec!["sessions/".into()] });
        config
    };
    let store = opened(Target::S3(config()));
    assert_eq!(store.can_lock().unwrap(), Some(true));
    assert_eq!(store.keeps_versions().unwrap(), Some(true));
    assert_eq!(store.retention().unwrap().period, period);
    contract::put(&store, "packs/a", b"locked").unwrap();
    assert_eq!(
        contract::put(&store, "packs/a", b"other").unwrap(),
        pgark_store::PutOutcome::AlreadyExists,
        "a locked object, too, is never changed"
    );
    store.retain("packs/a", SystemTime::now() + 2 * period).unwrap();
    contract::put(&store, "sessions/a", b"free").unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    let before = SystemTime::now();
    std::thread::sleep(Duration::from_millis(1100));
    // A thief deletes, and puts something else in its place.
    store.delete("packs/a").unwrap();
    contract::put(&store, "packs/a", b"a thief's").unwrap();
    store.delete("sessions/a").unwrap();
    contract::put(&store, "packs/b", b"later").unwrap();
    let usage = Usage { as_of: Some(before), ..Usage::default() };
    let past = open(Target::S3(config()), usage, false, Cancel::new()).unwrap();
    assert!(past.is_past());
    assert_eq!(past.get("packs/a").unwrap(), b"locked");
    assert_eq!(past.get_range("packs/a", 1, 3).unwrap(), b"ock");
    let names: Vec<String> = past.list("").unwrap().into_iter().map(|meta| meta.name).collect();
    assert_eq!(names, ["packs/a", "sessions/a"]);
    assert!(matches!(past.get("packs/b"), Err(StoreError::NotFound { .. })));
    assert!(matches!(contract::put(&past, "x", b""), Err(StoreError::Unsupported { .. })));
    assert!(matches!(past.delete("packs/a"), Err(StoreError::Unsupported { .. })));
}

#[test]
fn a_bucket_without_versions_has_no_past() {
    let moto = Moto::start();
    moto.make_bucket("bucket");
    let usage = Usage { as_of: Some(SystemTime::now()), ..Usage::default() };
    let target = Target::S3(s3(moto.endpoint(), "bucket", "", keys("a", "b")));
    let error = open(target, usage, false, Cancel::new()).err().unwrap();
    assert!(error.to_string().contains("keeps no versions"), "{error}");
}

#[test]
fn azure_names_a_missing_container_and_a_wrong_key() {
    let server = Azurite::start();
    make_container(&server, "container");
    let missing = opened(azure(&server, "nowhere", "p", Azurite::KEY));
    let (cause, text) = failure(missing.get("pgark.json"));
    assert_eq!(cause, Cause::NoBucket, "{text}");
    assert!(text.contains("azblob://nowhere/p/pgark.json"), "{text}");
    assert_eq!(failure(missing.list("")).0, Cause::NoBucket);
    let wrong = opened(azure(&server, "container", "", "aHVudGVyMg=="));
    let (cause, text) = failure(wrong.get("pgark.json"));
    assert_eq!(cause, Cause::Credentials, "{text}");
    assert!(try_open(azure(&server, "container", "", "no base64!")).is_err());
}

#[test]
fn gcs_names_a_missing_bucket_on_a_stand_in_that_is_not_gcs() {
    let server = GcsStandIn::start();
    let (cause, text) = failure(opened(gcs(&server, "nowhere", "p")).get("pgark.json"));
    assert_eq!(cause, Cause::NoBucket, "{text}");
}

#[test]
fn sftp_logs_in_with_a_key_a_locked_key_an_agent_or_a_password() {
    let server = Sshd::start(Login::Password);
    let with = |change: &dyn Fn(&mut SftpConfig)| {
        let mut config = sftp(&server, server.port(), "repository");
        config.keys = Vec::new();
        change(&mut config);
        try_open(Target::Sftp(config))
    };
    with(&|config| config.keys = vec![server.strange_key(), server.key()]).unwrap();
    with(&|config| {
        config.keys = vec![server.locked_key()];
        config.key_passphrase = Some(SecretString::from(Sshd::PASSPHRASE));
    })
    .unwrap();
    with(&|config| config.password = Some(SecretString::from(Sshd::PASSWORD))).unwrap();
    let agent = pgark_testkit::storage::Agent::start(&server.key());
    with(&|config| config.agent = Some(agent.socket())).unwrap();
    // The agent has the secret half of what is named.
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::copy(format!("{}.pub", server.key().display()), folder.path().join("named.pub")).unwrap();
    for name in ["named", "named.pub"] {
        with(&|config| {
            (config.agent, config.only_these_keys) = (Some(agent.socket()), true);
            config.keys = vec![folder.path().join(name)];
        })
        .unwrap();
    }
    let (_, text) = failure(
        with(&|config| {
            (config.agent, config.only_these_keys) = (Some(agent.socket()), true);
            config.keys = vec![server.locked_key()];
        })
        .map(|_| ()),
    );
    assert!(text.contains("0 keys of the agent"), "{text}");

    let (cause, text) = failure(with(&|_| {}).map(|_| ()));
    assert_eq!(cause, Cause::Credentials);
    assert!(text.contains("nothing: no agent, no key and no password"), "{text}");
    let (cause, text) = failure(
        with(&|config| {
            config.keys = vec![server.strange_key(), server.locked_key(), "/nowhere/key".into()];
            config.password = Some(SecretString::from("hunter2"));
        })
        .map(|_| ()),
    );
    assert_eq!(cause, Cause::Credentials);
    for part in
        ["stranger (refused)", "it has a passphrase, and none was given", "/nowhere/key", "the password"]
    {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn sftp_refuses_hosts_it_does_not_know() {
    let server = Sshd::start(Login::Key);
    let with = |known: Vec<std::path::PathBuf>| {
        let config = SftpConfig { known_hosts: known, ..sftp(&server, server.port(), "x") };
        failure(try_open(Target::Sftp(config)).map(|_| ()))
    };
    let (cause, text) = with(vec![server.wrong_known_hosts(server.port())]);
    assert_eq!(cause, Cause::HostKey, "{text}");
    assert!(text.contains("line 1 has another") && text.contains("SHA256:"), "{text}");
    let (cause, text) = with(vec!["/nowhere/known_hosts".into()]);
    let scan = format!("`ssh-keyscan -p {} {} >> /nowhere/known_hosts`", server.port(), server.address());
    assert_eq!(cause, Cause::HostUnknown(scan), "{text}");
    assert!(text.contains("is in no known_hosts file (/nowhere/known_hosts)"), "{text}");
    assert!(!server.data().join("x").exists(), "nothing was made before the host was known");
}

#[test]
fn sftp_names_what_an_old_server_can() {
    let server = Sshd::start_old();
    let error = try_open(Target::Sftp(sftp(&server, server.port(), "x"))).err().unwrap();
    assert!(!error.is_retryable(), "{error}");
    let (cause, text) = failure(Err::<(), _>(error));
    assert_eq!(cause, Cause::Unknown, "{text}");
    assert!(text.contains("Cipher") && text.contains("3des-cbc"), "{text}");
}

#[test]
fn sftp_takes_a_host_that_an_authority_vouches_for() {
    let server = Sshd::start(Login::Key);
    let [authority, another] = server.known_authorities();
    let with = |known: Vec<std::path::PathBuf>, name: Option<&str>| {
        let mut config = SftpConfig { known_hosts: known, ..sftp(&server, server.port(), "x") };
        config.known_as = name.map(str::to_string);
        try_open(Target::Sftp(config))
    };
    let (cause, text) = failure(with(vec![another.clone()], None).map(|_| ()));
    assert!(matches!(cause, Cause::HostUnknown(_)), "{text}");
    assert!(text.contains("is in no known_hosts file"), "{text}");
    let (cause, text) = failure(with(vec![authority.clone()], Some("elsewhere")).map(|_| ()));
    assert_eq!(cause, Cause::HostCertificate, "{text}");
    assert!(text.contains(r#"is for "127.0.0.1", not for elsewhere"#), "{text}");
    let revoked = server.data().join("revoked");
    let line = std::fs::read_to_string(&authority).unwrap().replace("@cert-authority", "@revoked");
    std::fs::write(&revoked, line).unwrap();
    let (cause, text) = failure(with(vec![authority.clone(), revoked], None).map(|_| ()));
    assert_eq!(cause, Cause::HostKeyRevoked, "{text}");
    assert!(!server.data().join("x").exists(), "nothing was made before the host was known");
    with(vec![another.clone(), authority], None).unwrap();
    // Where its authority is not known, a host is known by its key.
    with(vec![another, server.known_hosts(server.port())], None).unwrap();
}

#[test]
fn sftp_logs_in_with_certificates() {
    let server = Sshd::start(Login::Key);
    let with = |change: &dyn Fn(&mut SftpConfig)| {
        let mut config = sftp(&server, server.port(), "x");
        config.keys = Vec::new();
        change(&mut config);
        try_open(Target::Sftp(config))
    };
    let folder = tempfile::TempDir::new().unwrap();
    for key in server.vouched_keys() {
        let certificate = std::path::PathBuf::from(format!("{}-cert.pub", key.display()));
        with(&|config| config.keys = vec![key.clone()]).unwrap();
        // The key without its certificate is nobody's.
        let alone = folder.path().join(key.file_name().unwrap());
        std::fs::copy(&key, &alone).unwrap();
        let (_, text) = failure(with(&|config| config.keys = vec![alone.clone()]).map(|_| ()));
        assert!(text.contains("(refused)") && text.contains("it accepts: publickey, password"), "{text}");
        with(&|config| {
            (config.keys, config.certificates) = (vec![alone.clone()], vec![certificate.clone()]);
        })
        .unwrap();
        // The agent has both, or the key only.
        let agent = pgark_testkit::storage::Agent::start(&key);
        with(&|config| config.agent = Some(agent.socket())).unwrap();
        let agent = pgark_testkit::storage::Agent::start(&alone);
        let (_, text) = failure(with(&|config| config.agent = Some(agent.socket())).map(|_| ()));
        assert!(text.contains("1 keys of the agent"), "{text}");
        with(&|config| {
            (config.agent, config.certificates) = (Some(agent.socket()), vec![certificate.clone()]);
        })
        .unwrap();
        // One that is for another user, or none at all.
        let (_, text) = failure(
            with(&|config| {
                (config.keys, config.user) = (vec![key.clone()], "nobody".into());
                config.certificates = vec!["/nowhere/cert.pub".into()];
            })
            .map(|_| ()),
        );
        assert!(text.contains("(refused, also with its certificate)"), "{text}");
        assert!(text.contains("the certificate /nowhere/cert.pub (No such file"), "{text}");
    }
}

#[test]
fn sftp_answers_the_question_for_a_password() {
    let server = Sshd::start(Login::Question);
    let with = |password: &str| {
        let mut config = sftp(&server, server.port(), "x");
        (config.keys, config.password) = (Vec::new(), Some(SecretString::from(password)));
        try_open(Target::Sftp(config))
    };
    with(Sshd::PASSWORD).unwrap();
    let (cause, text) = failure(with("hunter2").map(|_| ()));
    assert_eq!(cause, Cause::Credentials, "{text}");
    assert!(text.contains("tried: the password; it accepts:") && !text.contains("hunter2"), "{text}");
}

#[test]
fn sftp_names_a_missing_folder_and_one_that_may_not_be_written() {
    let server = Sshd::start(Login::Password);
    let missing = Target::Sftp(sftp(&server, server.port(), "nowhere"));
    let error = open(missing, crate::support::usage(), false, Cancel::new()).err().unwrap();
    assert!(matches!(&error, StoreError::NotFound { object, .. } if object.contains("nowhere")), "{error}");
    let mut elsewhere = sftp(&server, server.port(), "x");
    elsewhere.place.path = "/etc/pgark-may-not".into();
    let error = try_open(Target::Sftp(elsewhere)).err().unwrap();
    assert!(error.is_denied(), "{error}");
}

#[test]
fn certificates_are_checked_against_the_authority_that_is_given() {
    let (_moto, endpoint, files) = Moto::behind_tls("bucket");
    for authority in [None, Some(files.other_ca.as_path())] {
        let (cause, text) = failure(put_behind_tls(&endpoint, authority));
        assert_eq!(cause, Cause::Certificate, "{text}");
    }
    put_behind_tls(&endpoint, Some(&files.ca)).unwrap();
}

/// Where these authorities are trusted.
fn put_behind_tls(endpoint: &str, authority: Option<&Path>) -> Result<(), StoreError> {
    let authorities = authority.map(|path| std::fs::read(path).unwrap()).into_iter().collect();
    let usage = Usage { authorities, ..crate::support::usage() };
    let target = Target::S3(s3(endpoint.to_owned(), "bucket", "p", keys("a", "b")));
    let store = open(target, usage, false, Cancel::new())?;
    contract::put(&store, "a", b"x").map(drop)
}

/// What `openssl req -x509` makes is an authority's certificate and the server's own at once: it is
/// trusted where it is named, for its names, in its time.
#[test]
fn a_certificate_that_signed_itself_is_trusted_where_it_is_named() {
    let (_own, endpoint, certificate) = Moto::behind_own_certificate("bucket", "IP:127.0.0.1", false);
    put_behind_tls(&endpoint, Some(&certificate)).unwrap();
    let (cause, text) = failure(put_behind_tls(&endpoint, None));
    assert_eq!(cause, Cause::Certificate, "{text}");
    // The same name and the same issuer, another key.
    let (_twin, twin, _) = Moto::behind_own_certificate("bucket", "IP:127.0.0.1", false);
    let (_other, other_name, named_otherwise) =
        Moto::behind_own_certificate("bucket", "DNS:elsewhere", false);
    let (_old, old, of_old) = Moto::behind_own_certificate("bucket", "IP:127.0.0.1", true);
    for (endpoint, named, meant, words) in [
        (&twin, &certificate, Cause::Certificate, "the certificate of 127.0.0.1"),
        (&other_name, &named_otherwise, Cause::CertificateName, "127.0.0.1"),
        (&old, &of_old, Cause::CertificateExpired, "expired on 2020-02-01 00:00:00 UTC"),
    ] {
        let (cause, text) = failure(put_behind_tls(endpoint, Some(named)));
        assert_eq!(cause, meant, "{text}");
        assert!(text.contains(words), "{text}");
    }
    let usage = Usage { authorities: vec![b"no certificate".to_vec()], ..crate::support::usage() };
    let target = Target::S3(s3(endpoint, "bucket", "p", keys("a", "b")));
    let refused = open(target, usage, false, Cancel::new()).map(drop).unwrap_err().to_string();
    assert!(refused.contains("ca_file cannot be parsed: it contains no certificate"), "{refused}");
}

/// Gives one answer to every request: what no server of the kit says, as Amazon documents it
/// ("Error responses").
fn answers(head: &'static str, body: &'static str) -> String {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = std::io::Read::read(&mut stream, &mut request);
            let answer = format!(
                "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
        }
    });
    format!("http://127.0.0.1:{port}")
}

#[test]
fn s3_names_the_bucket_s_region() {
    let endpoint = answers(
        "400 Bad Request",
        "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'</Message><Region>eu-west-1</Region></Error>",
    );
    let error = opened(Target::S3(s3(endpoint, "bucket", "", keys("a", "b")))).get("pgark.json").unwrap_err();
    assert!(error.hint().unwrap().contains("region eu-west-1"), "{error}");
    let endpoint = answers(
        "301 Moved Permanently\r\nx-amz-bucket-region: eu-north-1",
        "<Error><Code>PermanentRedirect</Code><Message>The bucket must be addressed using the specified endpoint</Message></Error>",
    );
    let (cause, text) = failure(opened(Target::S3(s3(endpoint, "bucket", "", keys("a", "b")))).list(""));
    assert_eq!(cause, Cause::Region(Some("eu-north-1".into())), "{text}");
}

#[test]
fn s3_tells_how_far_the_clock_is_off() {
    let endpoint = answers(
        "403 Forbidden\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT",
        "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is too large.</Message></Error>",
    );
    let store = opened(Target::S3(s3(endpoint, "bucket", "", keys("a", "b"))));
    for error in [store.get("pgark.json").unwrap_err(), contract::put(&store, "a", b"x").unwrap_err()] {
        let hint = error.hint().unwrap();
        assert!(hint.contains("ahead of the storage's: correct it"), "{error}: {hint}");
    }
}

#[test]
fn an_unreachable_storage_is_told_soon() {
    let nobody = Proxy::start(1, Network::default());
    nobody.cut();
    let moto = format!("http://127.0.0.1:{}", nobody.port());
    let usage = Usage { retry_for: Duration::from_secs(2), ..Usage::default() };
    let store =
        open(Target::S3(s3(moto, "bucket", "", keys("a", "b"))), usage, false, Cancel::new()).unwrap();
    let (cause, text) = failure(store.get("pgark.json"));
    assert_eq!(cause, Cause::Network, "{text}");
    assert!(text.contains("tried"), "{text}");
}

/// A server that answers every request with this head, and then without an end.
struct Endless {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    server: Option<thread::JoinHandle<()>>,
}

impl Endless {
    fn start(head: &'static str) -> Endless {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let server = thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                // Ends when the client hangs up.
                let _ = answer_without_end(stream.unwrap(), head);
            }
        });
        Endless { address, over, server: Some(server) }
    }
}

fn answer_without_end(stream: TcpStream, head: &str) -> std::io::Result<()> {
    let mut asked = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while asked.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut stream = stream;
    let head = format!("{head}\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nETag: \"1\"\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    // As one chunk of a chunked body: longer than any object.
    let body = vec![b'0'; 1 << 20];
    loop {
        stream.write_all(&body)?;
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let _ = self.server.take().map(thread::JoinHandle::join);
    }
}

#[test]
fn endless_answers_are_not_read() {
    let too_large = |done: Result<Vec<u8>, StoreError>| {
        let error = done.unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
        let text = error.to_string();
        assert!(text.starts_with("read s3://bucket/a: the object exceeds the 256 MiB limit"), "{text}");
    };
    let open = |server: &Endless| {
        opened(Target::S3(s3(format!("http://{}", server.address), "bucket", "", keys("a", "b"))))
    };
    let declared = Endless::start("HTTP/1.1 200 OK\r\nContent-Length: 10000000000000");
    too_large(open(&declared).get("a"));
    let error = open(&declared).list("").unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    // More than the range that was asked for.
    let part =
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 10000000000000";
    too_large(open(&Endless::start(part)).get_range("a", 0, 10));
    // Not declared, and of one chunk without an end.
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff";
    let error = open(&Endless::start(chunked)).list("").unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
}

/// As of servers that do not know how to go on behind a page.
#[test]
fn lists_without_an_end_are_not_read() {
    let same_page = |done: Result<(), StoreError>| {
        let (cause, text) = failure(done);
        assert_eq!(cause, Cause::Unknown, "{text}");
        assert!(text.contains("the same page of its list again and again"), "{text}");
    };
    let page = "<ListBucketResult><Name>bucket</Name><IsTruncated>true</IsTruncated>\
                <NextContinuationToken>more</NextContinuationToken>\
                <Contents><Key>packs/a</Key><Size>1</Size><ETag>&quot;1&quot;</ETag>\
                <LastModified>2026-11-20T12:00:00.000Z</LastModified></Contents></ListBucketResult>";
    let store = opened(Target::S3(s3(answers("200 OK", page), "bucket", "", keys("a", "b"))));
    same_page(store.list("packs/").map(|_| ()));
    // One answer for both questions: whether there are versions, and which.
    let page = "<VersioningConfiguration><Status>Enabled</Status><IsTruncated>true</IsTruncated>\
                <NextKeyMarker>packs/a</NextKeyMarker><NextVersionIdMarker>1</NextVersionIdMarker>\
                <Version><Key>packs/a</Key><VersionId>1</VersionId><Size>1</Size>\
                <LastModified>2026-11-20T12:00:00.000Z</LastModified></Version></VersioningConfiguration>";
    let target = Target::S3(s3(answers("200 OK", page), "bucket", "", keys("a", "b")));
    let usage = Usage { as_of: Some(std::time::SystemTime::now()), ..crate::support::usage() };
    same_page(open(target, usage, false, Cancel::new()).map(|_| ()));
}

#[test]
fn files_that_are_no_objects_are_not_read() {
    let sshd = Sshd::start(Login::Key);
    let store = opened(Target::Sftp(sftp(&sshd, sshd.port(), "repository")));
    contract::put(&store, "a", b"x").unwrap();
    // Sparse: takes no space.
    let file = std::fs::File::create(sshd.data().join("repository/large")).unwrap();
    file.set_len(1 << 40).unwrap();
    let error = store.get("large").unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    assert_eq!(store.get_range("large", 1 << 30, 3).unwrap(), [0; 3]);
}
