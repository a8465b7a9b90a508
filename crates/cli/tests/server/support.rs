//! Runs the program as a user would, with a repository and a configuration folder of the test's
//! own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

use pgark_testkit::Cluster;
use pgark_testkit::storage::{Azurite, GcsStandIn, Rclone, Sshd, make_container};
use tempfile::TempDir;

/// A storage behind a network, as a user of it would have it: a URL, and variables.
#[derive(Clone, Debug, Default)]
pub struct Home {
    pub url: String,
    pub variables: Vec<(String, String)>,
    /// An SSH key and a known_hosts file, for `~/.ssh`.
    pub ssh: Option<(PathBuf, PathBuf)>,
}

impl Home {
    fn with(url: &str, variables: &[(&str, &str)]) -> Home {
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Home { url: url.into(), variables, ssh: None }
    }

    /// S3 at this address.
    pub fn s3(url: &str, endpoint: &str, id: &str, secret: &str) -> Home {
        Home::with(
            url,
            &[("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret), ("AWS_ENDPOINT_URL", endpoint)],
        )
    }

    /// A container of the emulator.
    pub fn azure(server: &Azurite, container: &str) -> Home {
        make_container(server, container);
        let whole = format!(
            "AccountName={};AccountKey={};BlobEndpoint={}",
            Azurite::ACCOUNT,
            Azurite::KEY,
            server.endpoint()
        );
        Home::with(&format!("azblob://{container}/main"), &[("AZURE_STORAGE_CONNECTION_STRING", &whole)])
    }

    /// A bucket of what is not GCS.
    pub fn gcs(server: &GcsStandIn, bucket: &str) -> Home {
        server.make_bucket(bucket);
        Home::with(
            &format!("gs://{bucket}/main"),
            &[("STORAGE_EMULATOR_HOST", &server.endpoint()), ("CLOUDSDK_AUTH_ACCESS_TOKEN", "a token")],
        )
    }

    /// A folder of rclone's SFTP server.
    pub fn rclone(server: &Rclone) -> Home {
        let mut home = Home::with(&format!("sftp://me@127.0.0.1:{}/main", server.port()), &[]);
        home.ssh = Some((server.key(), server.known_hosts()));
        home
    }

    /// A folder of an SSH server, through this port.
    pub fn sftp(server: &Sshd, port: u16) -> Home {
        let path = server.data().join("main");
        let mut home = Home::with(
            &format!("sftp://{}@{}:{port}{}", server.user(), server.address(), path.display()),
            &[],
        );
        home.ssh = Some((server.key(), server.known_hosts(port)));
        home
    }
}

/// A repository without encryption, and everything that a run of the program touches.
pub struct Desk {
    folder: TempDir,
    secret: Vec<String>,
    /// Where the repository is, if not in a folder of the desk.
    home: Option<Home>,
    /// Runs the program in some other surrounding.
    prefix: Vec<String>,
    /// Parts of warnings that successes may give.
    expected: Mutex<Vec<&'static str>>,
}

impl Desk {
    /// A new repository that anybody may read.
    pub fn plain() -> Desk {
        let desk = Desk::empty(None);
        desk.ok(&["init", "--no-encryption"]);
        desk
    }

    /// Without a repository yet.
    pub fn empty(home: Option<Home>) -> Desk {
        let desk = Desk {
            folder: TempDir::new().unwrap(),
            secret: Vec::new(),
            home,
            prefix: Vec::new(),
            expected: Mutex::default(),
        };
        if let Some((key, known_hosts)) = desk.home.as_ref().and_then(|home| home.ssh.clone()) {
            std::fs::create_dir(desk.path(".ssh")).unwrap();
            std::fs::copy(key, desk.path(".ssh/id_ed25519")).unwrap();
            std::fs::copy(known_hosts, desk.path(".ssh/known_hosts")).unwrap();
        }
        desk
    }

    /// A new repository under a passphrase.
    pub fn with_passphrase() -> Desk {
        let mut desk = Desk::empty(None);
        let file = desk.path("passphrase");
        std::fs::write(&file, "correct horse battery staple 42\n").unwrap();
        desk.secret = vec!["--passphrase-file".into(), file.display().to_string()];
        desk.ok(&["init", "--passphrase-file", &file.display().to_string()]);
        desk
    }

    /// A new repository that one age identity opens: faster to open than one under a passphrase.
    pub fn with_identity() -> Desk {
        Desk::with_identity_at(None)
    }

    /// The same on some storage.
    pub fn with_identity_at(home: Option<Home>) -> Desk {
        let mut desk = Desk::empty(home);
        let file = desk.path("identity.txt").display().to_string();
        stock(Command::new("age-keygen").args(["-o", &file]));
        let recipient = stock(Command::new("age-keygen").args(["-y", &file]));
        desk.secret = vec!["--identity".into(), file];
        desk.ok(&["init", "--recipient", recipient.trim()]);
        desk
    }

    /// From now on no secret is given: the writer key that `init` left on this host serves. Returns
    /// what opened it before.
    pub fn without_secret(&mut self) -> Vec<String> {
        std::mem::take(&mut self.secret)
    }

    /// From now on these options open the repository.
    pub fn secret_is(&mut self, secret: Vec<String>) {
        self.secret = secret;
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    /// The repository as `--repo` takes it.
    pub fn url(&self) -> String {
        self.home.as_ref().map_or_else(|| self.repo().display().to_string(), |home| home.url.clone())
    }

    /// Another way to the same storage, or other credentials.
    pub fn reach_through(&mut self, home: Home) {
        self.home = Some(home);
    }

    /// The program with this desk's repository and folders, and none of the caller's environment
    /// for PostgreSQL.
    pub fn command(&self, args: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_pgark");
        let command = match self.prefix.split_first() {
            None => Command::new(program),
            Some((first, more)) => {
                let mut command = Command::new(first);
                command.args(more).arg(program);
                command
            }
        };
        self.prepared(command, args)
    }

    /// From now on the program runs behind this command.
    pub fn run_through(&mut self, prefix: Vec<String>) {
        self.prefix = prefix;
    }

    /// The same, through a command that runs the program in some other surrounding.
    pub fn prepared(&self, mut command: Command, args: &[&str]) -> Command {
        command.env_clear();
        for name in ["PATH", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("PGARK_REPO", self.url())
            .env("TZ", "UTC")
            .envs(self.home.iter().flat_map(|home| home.variables.clone()))
            .args(args);
        if !matches!(args.first(), Some(&"init")) {
            command.args(&self.secret);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs to success and returns standard output.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "pgark {args:?}: {}\n{}", output.status, text(&output.stderr));
        self.refuse_unexpected_warnings(args, &text(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// From now on successes may warn of these.
    pub fn expects(&self, warnings: &[&'static str]) {
        self.expected.lock().unwrap().extend(warnings);
    }

    /// A warning that nobody expects is a fault of the program or of the test.
    #[track_caller]
    fn refuse_unexpected_warnings(&self, args: &[&str], said: &str) {
        // What these commands always say of the places and dumps of the tests.
        let usual: &[&str] = match args.first() {
            Some(&"init") => &[
                "this repository is not encrypted",
                "the bucket keeps",
                "put-if-absent",
                "these credentials have no delete permission",
            ],
            Some(&"import") => {
                &["imported from", "the dump contains no roles", "a script does not say how to drop objects"]
            }
            _ => &[],
        };
        let expected = self.expected.lock().unwrap();
        let is_expected = |line: &str| usual.iter().chain(expected.iter()).any(|part| line.contains(part));
        let warnings = said.lines().filter(|line| line.contains("Z  WARN ") && !is_expected(line));
        let warnings: Vec<&str> = warnings.collect();
        assert!(warnings.is_empty(), "pgark {args:?} warns unexpectedly: {warnings:#?}");
    }

    /// Runs to the expected failure and returns what it said.
    #[track_caller]
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "pgark {args:?} said: {said}");
        said
    }

    /// Like [`Desk::fails`]; what was said goes into the handbook's page of errors.
    #[track_caller]
    pub fn example(&self, title: &str, code: i32, args: &[&str]) -> String {
        let said = self.fails(code, args);
        example(title, code, &said);
        said
    }

    #[track_caller]
    pub fn backup(&self, cluster: &Cluster, db: &str) -> String {
        self.ok(&["backup", "--dbname", &cluster.conninfo(db)]).trim().to_string()
    }

    #[track_caller]
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Leaves an example of an error for `docs/errors.md` (put together by `scripts/errors.sh`): the
/// error and the hint, with the test's own paths, ports and ids replaced by such as a reader would
/// have.
pub fn example(title: &str, code: i32, said: &str) {
    let shown: Vec<&str> =
        said.lines().filter(|line| !line.contains("Z  INFO ") && !line.contains("Z  WARN ")).collect();
    let text = plain(&shown.join("\n"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("errors");
    std::fs::create_dir_all(&folder).unwrap();
    let name: String = title.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let page = format!("## {title}\n\nExit code {code}.\n\n```\n{}\n```\n", text.trim());
    std::fs::write(folder.join(format!("{name}.md")), page).unwrap();
}

/// The length of `2026-11-21T03:00:00Z`.
const MOMENT: usize = 20;

fn is_moment(text: &str) -> bool {
    let shape = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        19 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    text.len() >= MOMENT && text.bytes().take(MOMENT).enumerate().all(shape)
}

/// Fingerprints of SSH keys are of the test's own keys.
fn plain_fingerprints(text: &str) -> String {
    let mut parts = text.split("SHA256:");
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        out.push_str("SHA256:ZdBPGuRUkIzOPVCcKyTkFvMWyTA1Yd4ZVNyXYw3oDxM");
        out.push_str(part.get(43..).unwrap_or_default());
    }
    out
}

/// With another name for this machine, which a cluster reached over a socket is called by.
fn plain_machine(text: &str) -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let name = name.trim();
    text.replace(&format!("{name}:"), "db1:").replace(&format!("host {name},"), "host db1,")
}

/// With another folder for that of a storage server of the tests.
fn plain_folder(text: &str) -> String {
    let mut parts = text.split("/tmp/pgark-s-");
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        out.push_str("/srv");
        out.push_str(part.find("/data").map_or(part, |at| &part[at..]));
    }
    out
}

fn plain(text: &str) -> String {
    let text = plain_folder(&plain_machine(&plain_fingerprints(text)));
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(|c: char| c == '/' || c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let fresh =
            !before.chars().next_back().or(out.chars().next_back()).is_some_and(char::is_alphanumeric);
        let digits = from.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(from.len());
        let decimal = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        let (replacement, length) = if from.starts_with("/tmp/.tmp") {
            ("/backup", "/tmp/.tmp".len() + 6)
        } else if let Some(tail) = from.strip_prefix("/tmp/pgark-t-") {
            let end = tail.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(tail.len());
            ("/run/postgresql", from.len() - tail.len() + end)
        } else if fresh && digits == 16 {
            ("4f0c9d2e11aa03b7", 16)
        } else if fresh && digits == 32 {
            ("5b1f8e6a90c24d7f8e1b3a5c7d9f0e2b", 32)
        } else if fresh && is_moment(from) {
            ("2026-11-21T03:00:00Z", MOMENT)
        } else if fresh && decimal == 19 {
            ("7330114587429110253", 19)
        } else if fresh && out.ends_with("process ") && decimal > 0 {
            ("4711", decimal)
        } else if fresh && decimal == 5 && digits == 5 {
            ("5432", 5)
        } else {
            let one = from.chars().next().map_or(1, char::len_utf8);
            (&from[..one], one)
        };
        out.push_str(replacement);
        rest = &from[length..];
    }
    out.push_str(rest);
    out
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A second session of the server, for what happens beside a backup: keeps a psql and writes to it.
pub struct Session {
    child: Child,
}

impl Session {
    pub fn open(cluster: &Cluster, db: &str) -> Session {
        let child = cluster
            .client("psql")
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &cluster.conninfo(db)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Session { child }
    }

    /// Sends SQL without waiting for its end.
    pub fn send(&mut self, sql: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{sql};").unwrap();
        input.flush().unwrap();
    }

    /// Ends the input and waits.
    pub fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// Waits until a query answers `t`.
#[track_caller]
pub fn wait_until(cluster: &Cluster, db: &str, query: &str) {
    pgark_testkit::wait_for(query, || cluster.psql_text(db, query).trim() == "t");
}

/// Runs a stock program to success.
#[track_caller]
pub fn stock(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
