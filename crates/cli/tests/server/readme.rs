//! The README's blocks, word by word and in their order, in a shell: what a reader copies works.
//!
//! Its hosts, folders and buckets are there: `db.example.com` and `new.example.com` are two
//! clusters on one port of two loopback addresses, `/backup` and `/srv` are empty folders of a
//! private root, `host` is an SSH server by `~/.ssh/config`, and S3 is moto. Replaced is only what
//! no two readers have in common: the key that age-keygen made, and the id of a backup.
//!
//! That all other examples are valid command lines is tested in `crates/cli/src/args/examples.rs`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use pgark_testkit::oracle::{Snapshot, assert_same};
use pgark_testkit::storage::{Moto, PrivateRoot, Sshd};
use pgark_testkit::{Cluster, skipped};
use serde_json::Value;
use tempfile::TempDir;

/// What the README calls the first and the second server.
const HOSTS: &str = "127.0.0.1 localhost db.example.com\n127.0.0.2 new.example.com\n";
/// Follows the output of each line, with its exit code.
const END: &str = "--- exit code of the line:";

/// The databases that the README names, and `test_*`, which its configuration excludes.
const SHOP: &str = "
    CREATE TABLE public.customers (id int PRIMARY KEY, name text NOT NULL);
    INSERT INTO public.customers SELECT g, 'customer ' || g FROM generate_series(1, 500) g;
    CREATE SCHEMA sales;
    CREATE TABLE sales.orders (id int PRIMARY KEY, customer int NOT NULL REFERENCES public.customers, euros int);
    INSERT INTO sales.orders SELECT g, 1 + g % 500, g % 97 FROM generate_series(1, 2000) g;
    CREATE INDEX ON sales.orders (customer);
    CREATE SCHEMA log;
    CREATE TABLE log.events (id int, what text);
    INSERT INTO log.events SELECT g, 'event ' || g FROM generate_series(1, 100) g;";
const DATABASES: [&str; 3] = ["postgres", "shop", "test_orders"];

/// Lines of "Five minutes" before which something is prepared, or after which something is looked
/// at, by their beginning. All must be there.
const STEPS: [&str; 21] = [
    "age-keygen",
    "pgark storage test s3://",
    "pgark init --repo sftp://",
    "pgark -h db.example.com -U backup backup --dry-run",
    "pgark -h db.example.com",
    "pgark backup --all",
    "pgark list",
    "pgark show latest",
    "pgark ls latest",
    "pgark cat latest:",
    "pgark restore latest:shop --dbname 'dbname=shop_copy'",
    "pgark restore latest:shop --as shop2 --create",
    "pgark restore latest:shop --dbname shop --table sales.orders",
    "pgark restore latest --all --globals",
    "pgark diff 4f0c latest",
    "pgark export latest:shop",
    "pgark import old.dump",
    "pgark tag latest --add pinned",
    "pgark key writer db7",
    "pgark copy",
    "pgark backup --also",
];

/// The text of each block below a heading.
fn blocks(heading: &str) -> Vec<String> {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("\n```").skip(1).step_by(2);
    let blocks: Vec<String> =
        blocks.filter_map(|block| Some(block.split_once('\n')?.1.to_string())).collect();
    assert!(!blocks.is_empty(), "{heading} has no blocks");
    blocks
}

/// A shell that reads one line after the other.
struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start(mut command: Command) -> Shell {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut shell = Shell { child, input, output };
        shell.ok("exec 2>&1; cd");
        shell
    }

    /// Runs a line to success, and returns all that it printed.
    #[track_caller]
    fn ok(&mut self, line: &str) -> String {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}\nprintf '\\n{END} %s\\n' \"$?\"").unwrap();
        input.flush().unwrap();
        let mut printed = String::new();
        loop {
            let mut one = String::new();
            let length = self.output.read_line(&mut one).unwrap();
            assert!(length > 0, "the shell ended in {line}:\n{printed}");
            if let Some(code) = one.strip_prefix(END) {
                assert_eq!(code.trim(), "0", "the exit code of {line}:\n{printed}");
                println!("$ {line}\n{}", printed.trim_end());
                return printed;
            }
            printed.push_str(&one);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// A reader of the README at work.
struct Reader<'a> {
    shell: Shell,
    home: &'a Path,
    cluster: &'a Cluster,
    new: &'a Cluster,
    /// `shop` as it was backed up.
    shop: Snapshot,
    /// The public key that age-keygen made.
    recipient: String,
    /// The id of the first backup.
    first: String,
}

impl Reader<'_> {
    /// The backups of a repository, as `list --json` has them.
    #[track_caller]
    fn backups(&mut self, options: &str) -> Vec<Value> {
        let listed = self.shell.ok(&format!("pgark list --json {options} 2> /dev/null"));
        let listed: Value = serde_json::from_str(&listed).unwrap();
        listed["backups"].as_array().unwrap().clone()
    }

    /// The one that was made last.
    #[track_caller]
    fn newest(&mut self, options: &str) -> Value {
        let mut backups = self.backups(options);
        backups.sort_by_key(|backup| backup["time"].as_str().map(str::to_string));
        backups.pop().unwrap()
    }

    fn filled_in(&self, line: &str) -> String {
        line.replace("age1…", &self.recipient).replace("4f0c", self.first.get(..8).unwrap_or_default())
    }

    fn before(&mut self, step: &str) {
        match step {
            "pgark restore latest:shop --dbname shop --table sales.orders" => {
                self.cluster.sql("shop", "DROP TABLE sales.orders");
            }
            "pgark import old.dump" => {
                self.shell.ok("pg_dump --format custom --file old.dump shop");
            }
            // "run init there first"
            "pgark copy" => {
                let init = self.filled_in("pgark init --repo s3://second/main --recipient age1…");
                self.shell.ok(&init);
            }
            _ => {}
        }
    }

    fn after(&mut self, step: &str, printed: &str) {
        let has = |part: &str| assert!(printed.contains(part), "{step} says nothing of {part}:\n{printed}");
        let is_shop = |snapshot: &Snapshot| assert_same(&self.shop, snapshot);
        match step {
            "age-keygen" => {
                self.recipient = self.shell.ok("age-keygen -y identity.txt").trim().to_string();
                has(&self.recipient);
            }
            "pgark storage test s3://" => has("for any number of writers"),
            "pgark init --repo sftp://" => {
                assert!(self.backups("--repo sftp://backup@host/srv/pg").is_empty());
            }
            "pgark -h db.example.com -U backup backup --dry-run" => {
                has("sales.orders");
                has(&format!("the last backup like this one, {}", self.first));
                assert_eq!(self.backups("").len(), 2, "a dry run makes no backup");
            }
            "pgark -h db.example.com" => {
                let newest = self.newest("");
                assert_eq!(newest["databases"], Value::from(vec!["shop"]));
                self.first = newest["id"].as_str().unwrap().to_string();
                has(&self.first);
                // The role may read all tables, and not all settings.
                has("pg_read_all_settings");
            }
            "pgark backup --all" => {
                assert_eq!(self.newest("")["databases"], Value::from(DATABASES.to_vec()));
                assert_eq!(self.backups("").len(), 2);
            }
            "pgark list" => {
                let second = self.newest("")["id"].as_str().unwrap().to_string();
                let places = [&self.first, &second].map(|id| printed.find(&id[..8]));
                assert!(places[0].is_some() && places[0] < places[1], "{places:?}:\n{printed}");
            }
            "pgark show latest" => DATABASES.into_iter().chain(["sales.orders"]).for_each(has),
            "pgark ls latest" => has("/db/shop/data/public.customers"),
            "pgark cat latest:" => has("500\tcustomer 500\n"),
            "pgark restore latest:shop --dbname 'dbname=shop_copy'" => {
                is_shop(&Snapshot::take(self.cluster, "shop_copy"));
            }
            "pgark restore latest:shop --as shop2 --create" => {
                is_shop(&Snapshot::take(self.cluster, "shop2"));
            }
            "pgark restore latest:shop --dbname shop --table sales.orders" => {
                is_shop(&Snapshot::take(self.cluster, "shop"));
            }
            "pgark restore latest --all --globals" => {
                is_shop(&Snapshot::take(self.new, "shop"));
                let there = "SELECT count(*) FROM pg_database d, pg_roles r
                    WHERE d.datname IN ('postgres', 'shop', 'test_orders') AND r.rolname = 'backup'";
                assert_eq!(self.new.psql_text("postgres", there), "3");
            }
            "pgark diff 4f0c latest" => has("test_orders"),
            "pgark export latest:shop" => {
                self.shell.ok("createdb exported && pg_restore -d exported shop.dump");
                assert_same(&self.shop, &Snapshot::take(self.cluster, "exported"));
                self.cluster.drop_database("exported");
            }
            "pgark import old.dump" => {
                assert!(self.backups("").iter().any(|backup| backup["kind"] == "imported"));
            }
            "pgark tag latest --add pinned" => {
                let pinned = self.backups("--tag pinned");
                assert_eq!(pinned.len(), 1);
                assert_eq!(pinned[0]["databases"], Value::from(DATABASES.to_vec()));
            }
            "pgark key writer db7" => assert!(self.home.join("db7.key").is_file()),
            "pgark copy" => {
                let second = self.backups("--repo s3://second/main").len();
                assert_eq!(second, self.backups("").len());
                assert!(second >= 2, "{second}");
            }
            "pgark backup --also" => {
                for repository in ["", "--repo s3://second/main"] {
                    let newest = self.newest(repository);
                    assert!(newest["databases"].to_string().contains("shop_copy"), "{newest}");
                }
            }
            other => panic!("nothing is known of {other}"),
        }
    }

    /// Runs the lines of "Five minutes".
    fn five_minutes(&mut self) {
        let mut open = BTreeSet::from(STEPS);
        for block in blocks("Five minutes") {
            for line in block.lines().filter(|line| !line.trim().is_empty()) {
                let step = STEPS.iter().find(|step| line.starts_with(**step)).copied();
                step.filter(|step| open.remove(step)).into_iter().for_each(|step| self.before(step));
                let line = self.filled_in(line);
                let printed = self.shell.ok(&line);
                step.into_iter().for_each(|step| self.after(step, &printed));
            }
        }
        assert!(open.is_empty(), "the README shows no more: {open:#?}");
    }

    /// Puts the configuration file where it is read, and runs the commands that its comments name.
    fn configuration(&mut self) {
        let block = blocks("pgark.toml").concat();
        std::fs::create_dir_all(self.home.join(".config/pgark")).unwrap();
        std::fs::write(self.home.join(".config/pgark/pgark.toml"), &block).unwrap();
        // The file's `repository`, unless the variable names another.
        self.shell.ok("unset PGARK_REPO");
        let before = self.backups("");
        assert!(before.len() >= 3, "{before:#?}");
        let comments = block.lines().filter_map(|line| line.split_once("# pgark "));
        let commands: Vec<&str> = comments.map(|(_, rest)| rest).collect();
        assert_eq!(commands, ["backup --cluster prod", "prune"]);
        for command in ["config check"].into_iter().chain(commands) {
            self.shell.ok(&format!("pgark {command}"));
        }
        let newest = self.newest("--cluster prod");
        let databases = newest["databases"].to_string();
        assert!(databases.contains("shop") && !databases.contains("test_orders"), "{newest}");
        let id = newest["id"].as_str().unwrap();
        self.shell.ok(&format!("pgark restore {id}:shop --as shop3 --create"));
        let rows = |table: &str| self.cluster.psql_text("shop3", &format!("SELECT count(*) FROM {table}"));
        assert_eq!(["public.customers", "sales.orders", "log.events"].map(rows), ["500", "2000", "0"]);
    }
}

#[test]
fn the_readme_works_word_by_word() {
    let is_there = || Path::new("/backup").exists();
    let was_there = is_there();
    let Some(root) = PrivateRoot::make(&["/backup", "/srv"], HOSTS) else {
        skipped("only root can make the README's folders and hosts");
        return;
    };
    let sshd = Sshd::start_in(&root);
    let moto = Moto::start();
    moto.make_bucket("backups");
    moto.make_bucket("second");
    let cluster = Cluster::start();
    let new = Cluster::builder()
        .conf("listen_addresses = '127.0.0.2'")
        .port(cluster.port())
        .hba("host all all 127.0.0.0/8 trust")
        .start();
    assert_eq!(new.port(), cluster.port());
    // All that a backup needs; `postgres` restores.
    cluster.sql("postgres", "CREATE ROLE backup LOGIN; GRANT pg_read_all_data TO backup");
    cluster.create_database("shop");
    cluster.sql("shop", SHOP);
    cluster.create_database("test_orders");

    let folder = TempDir::new().unwrap();
    let home = folder.path();
    std::fs::create_dir(home.join(".ssh")).unwrap();
    let config = home.join(".ssh/config");
    let ssh = format!(
        "Host host\n  HostName 127.0.0.1\n  Port {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
        sshd.port(),
        sshd.key().display(),
        sshd.known_hosts(sshd.port()).display(),
    );
    std::fs::write(&config, ssh).unwrap();
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).unwrap();

    let program = Path::new(env!("CARGO_BIN_EXE_pgark")).parent().unwrap();
    let mut path = vec![program.to_path_buf(), cluster.bin_directory().to_path_buf()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let prefix = root.prefix();
    let mut command = Command::new(&prefix[0]);
    command.args(&prefix[1..]).arg("sh").env_clear();
    command
        .env("PATH", std::env::join_paths(path).unwrap())
        .envs(std::env::var_os("LD_LIBRARY_PATH").map(|value| ("LD_LIBRARY_PATH", value)))
        .env("HOME", home)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .env("PGHOST", "db.example.com")
        .env("PGPORT", cluster.port().to_string())
        .env("PGUSER", "postgres")
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "b")
        .env("AWS_ENDPOINT_URL", moto.endpoint());
    let mut reader = Reader {
        shell: Shell::start(command),
        home,
        cluster: &cluster,
        new: &new,
        shop: Snapshot::take(&cluster, "shop"),
        recipient: String::new(),
        first: String::new(),
    };
    reader.five_minutes();
    reader.configuration();
    assert_eq!(is_there(), was_there, "the test left /backup on the host");
}
