//! A throw-away cluster: initdb, start, psql, stop, gone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::certificates::TlsFiles;
use crate::majors::{Installation, client_program, default_major, installation};
use crate::server_user::{ServerUser, clean_environment};
use crate::spawner;
use crate::storage::free_port;
use crate::template::Template;

/// Prefix of the clusters' folders; the number after it is the process that owns them.
const FOLDER_PREFIX: &str = "pgark-t-";
/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Choices for a new cluster. Default: PostgreSQL 15, trust, superuser `postgres`, UTF-8.
#[derive(Clone, Debug)]
pub struct Builder {
    major: u32,
    auth: String,
    password: Option<String>,
    conf: Vec<String>,
    hba: Vec<String>,
    tls: bool,
    tcp: bool,
    port: Option<u16>,
    initdb: Vec<String>,
}

impl Builder {
    /// The PostgreSQL major; see [`crate::require`] for majors that may be missing.
    pub fn major(mut self, major: u32) -> Builder {
        self.major = major;
        self
    }

    /// The authentication method of all connections, as in pg_hba.conf: `trust`, `scram-sha-256`,
    /// `md5`, `password`. Other than trust, the superuser's password is `secret` unless
    /// [`Builder::password`] says otherwise.
    pub fn auth(mut self, method: &str) -> Builder {
        self.auth = method.to_owned();
        self
    }

    /// The superuser's password.
    pub fn password(mut self, password: &str) -> Builder {
        self.password = Some(password.to_owned());
        self
    }

    /// One line of postgresql.conf; the last line for a setting wins over the kit's own.
    pub fn conf(mut self, line: &str) -> Builder {
        self.conf.push(line.to_owned());
        self
    }

    /// One line of pg_hba.conf, put before the lines that [`Builder::auth`] makes. Each database
    /// connection of the kit itself is `local`, by role `postgres`: leave that open.
    pub fn hba(mut self, line: &str) -> Builder {
        self.hba.push(line.to_owned());
        self
    }

    /// Switches TLS on (see [`Cluster::tls_files`]); `conninfo` then goes over TCP.
    pub fn tls(mut self) -> Builder {
        self.tls = true;
        self.tcp = true;
        self
    }

    /// `conninfo` goes over TCP (127.0.0.1) instead of the unix socket. The server listens on both
    /// in any case.
    pub fn tcp(mut self) -> Builder {
        self.tcp = true;
        self
    }

    /// The port, for example that of a cluster on another address (`listen_addresses`). Where it is
    /// taken, the server gets another one.
    pub fn port(mut self, port: u16) -> Builder {
        self.port = Some(port);
        self
    }

    /// One more argument of initdb, for example `--data-checksums`.
    pub fn initdb_arg(mut self, argument: &str) -> Builder {
        self.initdb.push(argument.to_owned());
        self
    }

    /// Makes the cluster and starts it.
    ///
    /// # Panics
    /// If the major is missing, or initdb or the server fail; the message holds their output.
    pub fn start(self) -> Cluster {
        Cluster::create(self)
    }
}

/// A running PostgreSQL server of a test. Dropping it stops the server and removes its files.
#[derive(Debug)]
pub struct Cluster {
    installation: Installation,
    user: ServerUser,
    folder: PathBuf,
    password: Option<String>,
    tcp: bool,
    tls: Option<TlsFiles>,
    server: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    child: Option<Child>,
    port: u16,
}

impl Cluster {
    /// A cluster of the default major (15 where installed) with default settings.
    pub fn start() -> Cluster {
        Cluster::builder().start()
    }

    /// Choices for a new cluster.
    pub fn builder() -> Builder {
        Builder {
            major: default_major(),
            auth: "trust".into(),
            password: None,
            conf: Vec::new(),
            hba: Vec::new(),
            tls: false,
            tcp: false,
            port: None,
            initdb: Vec::new(),
        }
    }

    /// All majors that this machine has, ascending.
    pub fn available_majors() -> Vec<u32> {
        crate::majors::available_majors().into_iter().map(|found| found.major).collect()
    }

    fn create(builder: Builder) -> Cluster {
        remove_leftovers();
        let found = installation(builder.major)
            .unwrap_or_else(|| panic!("PostgreSQL {} is not installed: ./test does that", builder.major));
        let user = ServerUser::get();
        let folder = new_folder();
        let password = match (&builder.password, builder.auth.as_str()) {
            (Some(password), _) => Some(password.clone()),
            (None, "trust") => None,
            (None, _) => Some("secret".to_owned()),
        };
        let tls = builder.tls.then(|| TlsFiles::make(&folder));
        user.own(&folder);
        if let Some(files) = &tls {
            user.own(&files.server_key);
        }
        let cluster = Cluster {
            installation: found,
            user,
            folder,
            password,
            tcp: builder.tcp,
            tls,
            server: Mutex::new(Running { child: None, port: builder.port.unwrap_or(0) }),
        };
        cluster.initdb(&builder);
        cluster.write_settings(&builder);
        cluster.start_again();
        cluster
    }

    /// Makes the data directory; who logs in how is written later.
    fn initdb(&self, builder: &Builder) {
        let program = self.bin("initdb");
        let mut arguments: Vec<String> =
            ["-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"].map(String::from).to_vec();
        if self.major() >= 14 {
            arguments.push("--no-instructions".into());
        }
        arguments.extend(builder.initdb.iter().cloned());
        let template = match &self.password {
            None => Template::of(&program, &arguments),
            Some(_) => None,
        };
        let data = self.data_directory();
        let copied = |template: &Template| template.copy_to(&data, self.user);
        if template.as_ref().is_some_and(copied) {
            return;
        }
        let mut command = self.user.command(&program, false);
        command.arg("-D").arg(&data).args(&arguments).arg(format!("--auth={}", builder.auth));
        if let Some(password) = &self.password {
            let file = self.folder.join("pwfile");
            fs::write(&file, password).expect("write the password file");
            self.user.own(&file);
            command.arg("--pwfile").arg(file);
        }
        let output = command.output().expect("run initdb");
        assert!(output.status.success(), "initdb failed: {}", said(&output));
        if let Some(template) = template {
            template.keep(&data);
        }
    }

    fn write_settings(&self, builder: &Builder) {
        let mut conf = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\nfull_page_writes = off\n\
             synchronous_commit = off\nshared_buffers = 64MB\nmax_wal_size = 4GB\nautovacuum = on\n\
             log_line_prefix = '%m [%p] %q%a '\nlogging_collector = off\n\
             log_destination = stderr\ntimezone = 'UTC'\nlog_timezone = 'UTC'\n",
            self.folder.display()
        );
        if let Some(files) = &self.tls {
            conf.push_str(&format!(
                "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\nssl_ca_file = '{}'\n",
                files.server_cert.display(),
                files.server_key.display(),
                files.ca.display()
            ));
        }
        for line in &builder.conf {
            conf.push_str(line);
            conf.push('\n');
        }
        let conf_file = self.data_directory().join("postgresql.conf");
        let mut all = fs::read_to_string(&conf_file).expect("read postgresql.conf");
        all.push_str(&conf);
        fs::write(&conf_file, all).expect("write postgresql.conf");
        let mut hba = String::new();
        for line in &builder.hba {
            hba.push_str(line);
            hba.push('\n');
        }
        for (kind, database, address) in [
            ("local", "all", ""),
            ("host", "all", "127.0.0.1/32"),
            ("local", "replication", ""),
            ("host", "replication", "127.0.0.1/32"),
        ] {
            hba.push_str(&format!("{kind} {database} all {address} {}\n", builder.auth));
        }
        fs::write(self.data_directory().join("pg_hba.conf"), hba).expect("write pg_hba.conf");
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the server after a stop. It keeps its port where it can. Where the directory was
    /// restored, the server has ended its recovery on return.
    pub fn start_again(&self) {
        let recovers = self.data_directory().join("recovery.signal").exists();
        self.start_server();
        if recovers {
            self.await_end_of_recovery();
        }
    }

    fn start_server(&self) {
        let mut running = self.running();
        assert!(running.child.is_none(), "the server runs already");
        for _ in 0..20 {
            if running.port == 0 {
                running.port = free_port();
            }
            let log_start = self.log().len();
            let child = self.spawn_server(running.port);
            match self.await_ready(child) {
                Ok(child) => {
                    running.child = Some(child);
                    return;
                }
                Err(()) => {
                    let log = self.log();
                    let tail = log.get(log_start..).unwrap_or(&log);
                    if tail.contains("could not bind")
                        || tail.contains("is another postmaster already running on")
                    {
                        // Another process took the port between our test and the server's start.
                        running.port = 0;
                    } else if tail.contains("pre-existing shared memory block") {
                        std::thread::sleep(Duration::from_millis(200));
                    } else {
                        panic!("the server did not start:\n{tail}");
                    }
                }
            }
        }
        panic!("the server did not start in 20 attempts:\n{}", self.log());
    }

    fn spawn_server(&self, port: u16) -> Child {
        let log_file = self.folder.join("log");
        let log = fs::OpenOptions::new().create(true).append(true).open(&log_file).expect("open the log");
        let mut command = self.user.command(&self.bin("postgres"), true);
        command.arg("-D").arg(self.data_directory()).arg("-p").arg(port.to_string());
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().expect("share the log")).stderr(log);
        spawner::spawn(command).expect("start the server")
    }

    fn await_ready(&self, mut child: Child) -> Result<Child, ()> {
        let deadline = Instant::now() + PATIENCE;
        let pid_file = self.data_directory().join("postmaster.pid");
        let pid = child.id().to_string();
        while Instant::now() < deadline {
            if child.try_wait().expect("watch the server").is_some() {
                return Err(());
            }
            let text = fs::read_to_string(&pid_file).unwrap_or_default();
            let mut lines = text.lines();
            if lines.next() == Some(&pid) && lines.nth(6).is_some_and(|status| status.trim() == "ready") {
                return Ok(child);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(())
    }

    fn signal_and_wait(&self, signal: Signal) {
        let Some(mut child) = self.running().child.take() else { return };
        let pid = Pid::from_child(&child);
        let _ = kill_process(pid, signal);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Stops the server, ending all connections (`fast`).
    pub fn stop(&self) {
        self.signal_and_wait(Signal::INT);
    }

    /// Stops the server without a checkpoint and without a word to its clients: the next start
    /// recovers.
    pub fn stop_immediate(&self) {
        self.signal_and_wait(Signal::QUIT);
    }

    /// A hot standby of this cluster, which follows it by streaming replication. The kit's own role
    /// must be let in to replicate over the unix socket, as it is unless [`Builder::hba`] says
    /// otherwise.
    ///
    /// # Panics
    /// If pg_basebackup or the server fail.
    pub fn standby(&self) -> Cluster {
        let folder = new_folder();
        self.user.own(&folder);
        let standby = Cluster {
            installation: self.installation.clone(),
            user: self.user,
            folder,
            password: self.password.clone(),
            tcp: self.tcp,
            tls: self.tls.clone(),
            server: Mutex::new(Running { child: None, port: 0 }),
        };
        let mut copy = self.user.command(&self.bin("pg_basebackup"), false);
        copy.args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-U", "postgres", "-h"])
            .arg(&self.folder);
        copy.arg("-p").arg(self.port().to_string()).arg("-D").arg(standby.data_directory());
        copy.envs(self.password.iter().map(|password| ("PGPASSWORD", password)));
        let output = copy.output().expect("run pg_basebackup");
        assert!(output.status.success(), "pg_basebackup failed: {}", said(&output));
        let conf_file = standby.data_directory().join("postgresql.conf");
        let mut conf = fs::read_to_string(&conf_file).expect("read postgresql.conf");
        conf.push_str(&format!("unix_socket_directories = '{}'\n", standby.folder.display()));
        fs::write(&conf_file, conf).expect("write postgresql.conf");
        // What pg_basebackup wrote names every option that its libpq knows; the server's may be
        // older.
        let auto_file = standby.data_directory().join("postgresql.auto.conf");
        let mut auto = fs::read_to_string(&auto_file).expect("read postgresql.auto.conf");
        let password =
            self.password.as_ref().map(|password| format!(" password={password}")).unwrap_or_default();
        auto.push_str(&format!(
            "primary_conninfo = 'host={} port={} user=postgres{password}'\n",
            self.folder.display(),
            self.port()
        ));
        fs::write(&auto_file, auto).expect("write postgresql.auto.conf");
        standby.start_again();
        standby
    }

    /// A cluster of the same major whose data directory `fill` makes: a restore. The server is
    /// started on a port and in a socket folder of its own.
    ///
    /// # Panics
    /// If the server does not start, or does not end its recovery.
    pub fn restored(&self, fill: impl FnOnce(&Path)) -> Cluster {
        let restored = self.beside(fill);
        restored.start_again();
        restored
    }

    /// Waits until the server has ended its recovery: some time before, it lets in who only reads.
    fn await_end_of_recovery(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.psql_text("postgres", "SELECT pg_is_in_recovery()") != "f" {
            assert!(Instant::now() < until, "the server recovers for a minute:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The same, not started yet.
    pub fn beside(&self, fill: impl FnOnce(&Path)) -> Cluster {
        let folder = new_folder();
        self.user.own(&folder);
        let restored = Cluster {
            installation: self.installation.clone(),
            user: self.user,
            folder,
            password: self.password.clone(),
            tcp: self.tcp,
            tls: self.tls.clone(),
            server: Mutex::new(Running { child: None, port: 0 }),
        };
        fill(&restored.data_directory());
        let conf_file = restored.data_directory().join("postgresql.conf");
        let mut conf = fs::read_to_string(&conf_file).expect("read postgresql.conf");
        conf.push_str(&format!("unix_socket_directories = '{}'\n", restored.folder.display()));
        fs::write(&conf_file, conf).expect("write postgresql.conf");
        restored
    }

    /// A command that runs `program` of this cluster's installation as the OS user of its server.
    pub fn as_server(&self, program: &str) -> Command {
        self.user.command(&self.bin(program), false)
    }

    /// Gives a file or folder to the OS user of the server.
    pub fn own(&self, path: &Path) {
        self.user.own(path);
    }

    /// Kills the postmaster (SIGKILL), as the kernel's out-of-memory killer would.
    pub fn crash(&self) {
        self.signal_and_wait(Signal::KILL);
    }

    /// Stops (`fast`) and starts.
    pub fn restart(&self) {
        self.stop();
        self.start_again();
    }

    /// Lets the server read postgresql.conf and pg_hba.conf again.
    pub fn reload(&self) {
        self.sql("postgres", "SELECT pg_reload_conf();");
    }

    /// Ends one server process with `pg_terminate_backend`.
    pub fn kill_backend(&self, pid: i32) {
        self.sql("postgres", &format!("SELECT pg_terminate_backend({pid});"));
    }

    /// Ends all server processes whose `application_name` is `name`; gives their number.
    pub fn kill_backends_named(&self, name: &str) -> usize {
        let quoted = name.replace('\'', "''");
        let query = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{quoted}' AND pid <> pg_backend_pid()"
        );
        self.psql_text("postgres", &query).parse().expect("a number")
    }

    /// The PostgreSQL major.
    pub fn major(&self) -> u32 {
        self.installation.major
    }

    /// The TCP port, which also names the unix socket.
    pub fn port(&self) -> u16 {
        self.running().port
    }

    /// The folder of the unix socket.
    pub fn socket_directory(&self) -> &Path {
        &self.folder
    }

    /// The data directory, readable by root and by the server's user only.
    pub fn data_directory(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The superuser's password, if connections need one.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The certificates of a cluster built with [`Builder::tls`].
    pub fn tls_files(&self) -> Option<&TlsFiles> {
        self.tls.as_ref()
    }

    /// The full path of one of this major's programs, for example `pg_restore`.
    pub fn bin(&self, program: &str) -> PathBuf {
        client_program(&self.installation, program)
    }

    /// The folder of this major's programs.
    pub fn bin_directory(&self) -> &Path {
        &self.installation.bin
    }

    /// All that the server has logged so far.
    pub fn log(&self) -> String {
        fs::read(self.folder.join("log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// A conninfo string (keyword=value form) for the superuser on `db`: the unix socket, or
    /// 127.0.0.1 after [`Builder::tcp`] or [`Builder::tls`]. With the password where there is one.
    pub fn conninfo(&self, db: &str) -> String {
        self.conninfo_as(db, "postgres", self.password())
    }

    /// The same for another role.
    pub fn conninfo_as(&self, db: &str, role: &str, password: Option<&str>) -> String {
        let host = if self.tcp { "127.0.0.1".to_owned() } else { self.folder.display().to_string() };
        let mut text = format!(
            "host={host} port={} dbname={} user={}",
            self.port(),
            conninfo_value(db),
            conninfo_value(role)
        );
        if let Some(password) = password {
            text.push_str(&format!(" password={}", conninfo_value(password)));
        }
        if let Some(files) = &self.tls {
            text.push_str(&format!(" sslmode=verify-full sslrootcert={}", files.ca.display()));
            text = text.replace("host=127.0.0.1", "host=localhost hostaddr=127.0.0.1");
        }
        text
    }

    /// A command for one of PostgreSQL's client programs (`pg_dump`, `pg_restore`, `pgbench`, …),
    /// which reaches this cluster as superuser through its environment. The caller adds arguments.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin(program));
        clean_environment(&mut command);
        command.env("PGHOST", &self.folder).env("PGPORT", self.port().to_string()).env("PGUSER", "postgres");
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password);
        }
        command
    }

    /// Runs SQL (any number of statements, psql's backslash commands too); stops at the first
    /// error.
    ///
    /// # Panics
    /// On an error, with psql's message.
    pub fn sql(&self, db: &str, text: &str) {
        self.sql_with(db, text.as_bytes(), &[]);
    }

    /// [`Cluster::sql`] with psql variables and SQL as bytes, for databases in other encodings.
    /// Gives what psql printed.
    pub fn sql_with(&self, db: &str, text: &[u8], variables: &[(&str, &str)]) -> Vec<u8> {
        let output = self.psql(db, text, &["-q"], variables);
        assert!(output.status.success(), "psql on {db:?} failed: {}", said(&output));
        output.stdout
    }

    /// Runs SQL and gives psql's error message instead of a panic.
    pub fn try_sql(&self, db: &str, text: &str) -> Result<String, String> {
        let output = self.psql(db, text.as_bytes(), &["-q", "-A", "-t"], &[]);
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// The result of a query as psql's unaligned text: rows by newline, columns by `|`, no last
    /// newline.
    pub fn psql_text(&self, db: &str, query: &str) -> String {
        let output = self.psql(db, query.as_bytes(), &["-q", "-A", "-t"], &[]);
        assert!(output.status.success(), "psql on {db:?} failed: {}", said(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
    }

    /// Creates an empty database.
    pub fn create_database(&self, db: &str) {
        self.sql("postgres", &format!("CREATE DATABASE {};", quote_ident(db)));
    }

    /// Drops a database and ends its connections.
    pub fn drop_database(&self, db: &str) {
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE);", quote_ident(db)));
    }

    fn psql(&self, db: &str, text: &[u8], flags: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = self.client("psql");
        command.env("PGDATABASE", db).args(["-X", "-v", "ON_ERROR_STOP=1"]).args(flags);
        for (name, value) in variables {
            command.arg("-v").arg(format!("{name}={value}"));
        }
        command.args(["-f", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("run psql");
        let mut stdin = child.stdin.take().expect("psql's input");
        std::thread::scope(|scope| {
            // psql may stop reading at an error: its exit code tells, not this write.
            scope.spawn(move || stdin.write_all(text));
            child.wait_with_output().expect("run psql")
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let start = log.char_indices().rev().nth(8000).map_or(0, |(at, _)| at);
            eprintln!(
                "--- end of the log of PostgreSQL {} ---\n{}",
                self.major(),
                log.get(start..).unwrap_or(&log)
            );
        }
        self.stop_immediate();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes the folders of processes that are gone (their servers died with them).
fn remove_leftovers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for entry in fs::read_dir("/tmp").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.strip_prefix(FOLDER_PREFIX).and_then(|rest| rest.split('-').next());
            if let Some(pid) = owner.and_then(|pid| pid.parse::<u32>().ok()) {
                let ours = pid == std::process::id();
                if ours || !Path::new("/proc").join(pid.to_string()).exists() {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
        }
    });
}

/// Short, because a socket's path is limited to 107 bytes.
fn new_folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new("/tmp").join(format!("{FOLDER_PREFIX}{}-{number}", std::process::id()));
    fs::create_dir(&folder).expect("create the cluster's folder");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("open the cluster's folder");
    folder
}

fn conninfo_value(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
