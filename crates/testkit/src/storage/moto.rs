//! moto: honours conditional puts, keeps versions and object locks, plays the token service; checks
//! no signature unless asked.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Namespace, Service, answer, free_port, http, program};

/// Someone signed: moto takes any signature unless it was told to check.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=root/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// moto looks whether a name is taken and then takes it, in Python: a switch of threads in between,
/// rare as it is, tells two writers that each was first, which S3 never does. Threads switch where
/// they wait, and else after a second.
const MAIN: &str = "import sys; sys.setswitchinterval(1); from moto.server import main; main(sys.argv[1:])";

/// A moto server. Its buckets live in its memory.
#[derive(Debug)]
pub struct Moto {
    service: Service,
}

impl Moto {
    /// Starts one without buckets.
    pub fn start() -> Moto {
        Moto::start_at(None)
    }

    /// The same on another host.
    pub fn start_on(host: &Namespace) -> Moto {
        Moto::start_at(Some(host))
    }

    /// One behind TLS, with a bucket of that name: the server, its URL, and the certificates of its
    /// authority.
    pub fn behind_tls(bucket: &str) -> (Moto, String, crate::TlsFiles) {
        let folder = Service::folder("moto");
        let files = crate::TlsFiles::make(&folder);
        let (moto, endpoint) = Moto::behind(bucket, folder, &files.server_cert, &files.server_key);
        (moto, endpoint, files)
    }

    /// One behind a certificate that signed itself and is an authority's (`CA:TRUE`), as
    /// `openssl req -x509` makes them: the server, its URL, and the certificate. `names` as in
    /// `subjectAltName`; `is_over`: its time is.
    pub fn behind_own_certificate(bucket: &str, names: &str, is_over: bool) -> (Moto, String, PathBuf) {
        let folder = Service::folder("moto");
        let (certificate, key) = crate::certificates::self_signed(&folder, names, is_over);
        let (moto, endpoint) = Moto::behind(bucket, folder, &certificate, &key);
        (moto, endpoint, certificate)
    }

    fn behind(bucket: &str, folder: PathBuf, certificate: &Path, key: &Path) -> (Moto, String) {
        let port = free_port();
        let service = Service::start(None, "moto", port, folder, &program("moto/bin/python3"), |command| {
            command.args(["-c", MAIN, "-H", "127.0.0.1", "-p", &port.to_string(), "-s"]);
            command.arg("-c").arg(certificate).arg("-k").arg(key);
        });
        let request = format!(
            "PUT /{bucket} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {SIGNED}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start openssl");
        client.stdin.as_mut().expect("its input").write_all(request.as_bytes()).expect("ask for a bucket");
        let answer = client.wait_with_output().expect("end of openssl");
        assert!(
            String::from_utf8_lossy(&answer.stdout).contains(" 200 "),
            "make bucket {bucket}: {answer:?}"
        );
        (Moto { service }, format!("https://127.0.0.1:{port}"))
    }

    fn start_at(host: Option<&Namespace>) -> Moto {
        let port = free_port();
        let folder = Service::folder("moto");
        let server = program("moto/bin/python3");
        let service = Service::start(host, "moto", port, folder, &server, |command| {
            command.args([
                "-c",
                MAIN,
                "-H",
                if host.is_some() { "0.0.0.0" } else { "127.0.0.1" },
                "-p",
                &port.to_string(),
            ]);
        });
        Moto { service }
    }

    /// The URL that clients use.
    pub fn endpoint(&self) -> String {
        format!("http://{}:{}", self.service.address, self.service.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.service.port
    }

    /// One plain request, for what a test does behind the program's back: status and body.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        http(self.service.at(), method, path, &[("Authorization", SIGNED)], body)
    }

    /// Until when an object is locked, as its headers say it.
    pub fn locked_until(&self, path: &str) -> Option<String> {
        let answer = answer(self.service.at(), "HEAD", path, &[("Authorization", SIGNED)], "");
        let line =
            answer.lines().find_map(|line| line.strip_prefix("x-amz-object-lock-retain-until-date: "))?;
        Some(line.trim().to_owned())
    }

    fn put(&self, path: &str, headers: &[(&str, &str)], body: &str) {
        let (status, answer) = http(self.service.at(), "PUT", path, headers, body);
        assert!(status < 300, "PUT {path}: {status} {answer}");
    }

    /// Makes a bucket.
    pub fn make_bucket(&self, name: &str) {
        self.put(&format!("/{name}"), &[], "");
    }

    /// Makes a bucket that keeps versions.
    pub fn make_versioned_bucket(&self, name: &str) {
        self.make_bucket(name);
        let body = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>";
        self.put(&format!("/{name}?versioning"), &[], body);
    }

    /// Makes a bucket whose objects can be locked.
    pub fn make_locked_bucket(&self, name: &str) {
        self.put(&format!("/{name}"), &[("x-amz-bucket-object-lock-enabled", "true")], "");
    }

    /// Switches on the check of signatures and policies behind the next `after` requests: from then
    /// on only known users may do what their policies allow.
    pub fn check_policies_after(&self, after: u32) {
        let (status, answer) = http(
            self.service.at(),
            "POST",
            "/moto-api/reset-auth",
            &[("Content-Type", "text/plain")],
            &after.to_string(),
        );
        assert!(status < 300, "reset-auth: {status} {answer}");
    }

    /// Makes a user with one policy (a JSON document) and gives its access key: id and secret.
    pub fn make_user(&self, name: &str, policy: &str) -> (String, String) {
        let ask = |query: &str| {
            let headers = [
                (
                    "Authorization",
                    "AWS4-HMAC-SHA256 Credential=root/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0",
                ),
                ("Content-Type", "application/x-www-form-urlencoded"),
            ];
            let body = format!("{query}&Version=2010-05-08");
            let (status, answer) = http(self.service.at(), "POST", "/", &headers, &body);
            assert!(status < 300, "{query}: {status} {answer}");
            answer
        };
        ask(&format!("Action=CreateUser&UserName={name}"));
        let encoded: String = policy.bytes().map(|byte| format!("%{byte:02X}")).collect();
        ask(&format!("Action=PutUserPolicy&UserName={name}&PolicyName=own&PolicyDocument={encoded}"));
        let answer = ask(&format!("Action=CreateAccessKey&UserName={name}"));
        let part = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name}>")).expect("an access key");
            rest.split_once('<').expect("its end").0.to_owned()
        };
        (part("AccessKeyId"), part("SecretAccessKey"))
    }
}
