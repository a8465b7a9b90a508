//! What the program says to usual mistakes: each error names what is wrong, and its hint the next
//! step.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::text;

/// One host with its home folder.
struct Host {
    home: TempDir,
}

/// A dump that an import takes without any server.
const DUMP: &str = "--
-- PostgreSQL database dump
--

-- Dumped from database version 15.4
-- Dumped by pg_dump version 15.4

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

--
-- Name: shop; Type: DATABASE; Schema: -; Owner: app
--

CREATE DATABASE shop WITH TEMPLATE = template0 ENCODING = 'UTF8';


ALTER DATABASE shop OWNER TO app;

\\connect shop

--
-- Name: customers; Type: TABLE; Schema: public; Owner: app
--

CREATE TABLE public.customers (
    id integer
);


ALTER TABLE public.customers OWNER TO app;

--
-- Data for Name: customers; Type: TABLE DATA; Schema: public; Owner: app
--

COPY public.customers (id) FROM stdin;
1
\\.


--
-- PostgreSQL database dump complete
--
";

impl Host {
    fn new() -> Host {
        Host { home: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self.path(name)
    }

    /// Exit code, and all that it said.
    fn run_with(&self, variables: &[(&str, &str)], args: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgark"));
        command.env_clear().env("HOME", self.home.path()).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        let output = command.envs(variables.iter().copied()).args(args).output().unwrap();
        (output.status.code().unwrap(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }

    /// Standard output alone.
    #[track_caller]
    fn out(&self, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgark"));
        let output = command.env_clear().env("HOME", self.home.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let (code, said) = self.run_with(&[], args);
        assert_eq!(code, 0, "{args:?}: {said}");
        said
    }

    /// It fails with this code and says all of this.
    #[track_caller]
    fn fails(&self, args: &[&str], code: i32, words: &[&str]) -> String {
        self.fails_with(&[], args, code, words)
    }

    #[track_caller]
    fn fails_with(&self, variables: &[(&str, &str)], args: &[&str], code: i32, words: &[&str]) -> String {
        let (found, said) = self.run_with(variables, args);
        assert_eq!(found, code, "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?}: no {word:?} in: {said}");
        }
        said
    }

    /// A repository without encryption, with one backup of database `shop`; the backup's id.
    fn repository_with_backup(&self, repo: &str) -> String {
        self.ok(&["init", "--no-encryption", "--repo", repo]);
        let dump = self.write("shop.sql", DUMP);
        self.out(&["import", &dump, "--cluster", "prod", "--repo", repo]).trim().to_string()
    }
}

#[test]
fn keys_are_the_owners_to_change() {
    let host = Host::new();
    let (repo, file) = (host.path("repo"), host.path("passphrase"));
    host.ok(&["init", "--repo", &repo, "--new-passphrase-file", &file]);
    host.ok(&[
        "key",
        "writer",
        "db7",
        "--out",
        &host.path("db7.key"),
        "--repo",
        &repo,
        "--passphrase-file",
        &file,
    ]);
    let hint = [
        "a writer key was used",
        "hint: give the owner's identity, --identity FILE",
        "--passphrase-file FILE",
    ];
    for args in [
        &["key", "revoke", "db7"][..],
        &["key", "revoke", "db7", "--compromised-since", "1d"],
        &["key", "rotate"],
        &["key", "remove", "0000"],
        &["key", "writer", "db8", "--out", &host.path("db8.key")],
    ] {
        host.fails(&[args, &["--repo", &repo]].concat(), 1, &hint);
    }
    let owner = ["--repo", &repo, "--passphrase-file", &file];
    let said =
        ["no writer is called \"db77\"", "hint: did you mean \"db7\"? `pgark key list` shows the writers"];
    host.fails(&[&["key", "revoke", "db77"][..], &owner].concat(), 1, &said);
    host.ok(&[&["key", "revoke", "db7"][..], &owner].concat());
    host.fails(&[&["key", "revoke", "db7"][..], &owner].concat(), 1, &["is revoked already"]);
    let said = ["no key slot is called \"0000\"", "`pgark key list` shows the slots"];
    host.fails(&[&["key", "remove", "0000"][..], &owner].concat(), 1, &said);
}

#[test]
fn a_share_of_the_data_is_read_with_and_without_a_sign() {
    let host = Host::new();
    let repo = host.path("repo");
    host.repository_with_backup(&repo);
    for args in [
        &["check", "--read-data", "10", "--repo", &repo][..],
        &["check", "--read-data=10", "--repo", &repo],
        &["check", "--repo", &repo, "--read-data"],
        &["check", "--read-data", "--repo", &repo],
    ] {
        let said = host.ok(args);
        assert!(said.contains("no problem at level data"), "{said}");
    }
    host.fails(&["check", "--read-data", "0", "--repo", &repo], 2, &["0 is not in 1..=100"]);
}

#[test]
fn a_tag_is_added_by_an_option() {
    let host = Host::new();
    let hint = "hint: to add it as a tag: `pgark tag latest --add pinned`; to remove it: `pgark tag latest --remove pinned`";
    // No repository is asked for that.
    host.fails(&["tag", "latest", "pinned"], 2, &["\"pinned\" does not name a backup", hint]);
    host.fails(&["tag", "pinned", "latest"], 2, &[hint]);
    host.fails(&["tag", "pinned"], 2, &["`pgark tag ID --add pinned`"]);
    let repo = host.path("repo");
    let id = host.repository_with_backup(&repo);
    host.ok(&["tag", &id, "--add", "release-8", "--repo", &repo]);
    let said = host.ok(&["tag", &id, "--remove", "relaese-8", "--repo", &repo]);
    assert!(said.contains("had no tag \"relaese-8\". did you mean \"release-8\"?"), "{said}");
}

#[test]
fn a_recipient_is_no_file_and_no_secret() {
    let host = Host::new();
    let repo = host.path("repo");
    let secret = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ";
    let identity = host.write("identity.txt", &format!("# public key: age1x\n{secret}\n"));
    let ssh = host.write("id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n");
    let public = host.write("id_ed25519.pub", "ssh-ed25519 AAAA me@host\n");
    for command in [&["init"][..], &["key", "add"]] {
        let try_one = |recipient: &str, words: &[&str]| {
            let args = [command, &["--repo", &repo, "--recipient", recipient]].concat();
            let said = host.fails(&args, 2, words);
            assert!(!said.contains(secret), "{said}");
        };
        let words = ["takes a public key", "is a file", &format!("hint: `age-keygen -y {identity}` prints")];
        try_one(&identity, &words);
        try_one(&ssh, &[&format!("`ssh-keygen -y -f {ssh}`")]);
        try_one(&public, &[&format!("--recipient \"$(cat {public})\"")]);
        try_one(secret, &["was given a secret key", "a new key is safer"]);
    }
    host.fails(&["init", "--repo", &repo, "--recipient", "nobody"], 2, &["a recipient begins with age1"]);
    assert!(!Path::new(&repo).exists(), "a place was made before the arguments were looked at");
    // The other way round.
    host.ok(&["init", "--repo", &repo, "--no-encryption"]);
    let said = host.fails(&["list", "--repo", &repo, "--identity", secret], 2, &["is the name of a file"]);
    assert!(!said.contains(secret), "{said}");
    let recipient = "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq";
    host.fails(&["list", "--repo", &repo, "--identity", recipient], 2, &["a public key (a recipient)"]);
}

#[test]
fn sections_that_there_are_not_bring_the_nearest() {
    let host = Host::new();
    for (text, said) in [
        (
            "[repository.main]\nurl = \"/b\"\n",
            "there is no section [repository.main]; did you mean [repositories.main]?",
        ),
        ("[cluster.prod]\nall = true\n", "there is no section [cluster.prod]; did you mean [clusters.prod]?"),
        ("[clusters.prod]\njbos = 4\n", "there is no key \"jbos\" here; did you mean jobs?"),
        ("url = \"/b\"\n", "there is no key \"url\" here; it is a key of [repositories.NAME]"),
    ] {
        let file = host.write("pgark.toml", text);
        host.fails(&["config", "check", "--config", &file], 2, &[said, "pgark.toml:"]);
    }
    let said = ["there is none of that name; did you mean region?"];
    host.fails(&["list", "--repo", "s3://backups", "--storage-option", "regoin=x"], 2, &said);
}

#[test]
fn names_that_there_are_not_bring_the_nearest() {
    let host = Host::new();
    let repo = host.path("repo");
    let id = host.repository_with_backup(&repo);
    let second = host.path("second");
    host.ok(&["init", "--no-encryption", "--repo", &second]);
    let unknown = [
        "no backup of cluster \"prdo\" is in this repository",
        "hint: did you mean \"prod\"? there are backups of prod",
    ];
    let at = ["--repo", &repo, "--cluster", "prdo"];
    for args in [
        &["list"][..],
        &["show", "latest"],
        &["ls", "latest"],
        &["cat", "latest:/globals.sql"],
        &["export", "latest", "--output", &host.path("out")],
        &["restore", "latest", "--dbname", "x"],
        &["diff", "latest", "latest"],
        &["tag", "latest"],
        &["forget", "--keep-last", "1"],
        &["forget", &id],
    ] {
        host.fails(&[args, &at].concat(), 1, &unknown);
    }
    host.fails(&["copy", &repo, &second, "--cluster", "prdo"], 1, &unknown);
    // Of a repository without backups nothing can be said.
    host.ok(&["list", "--repo", &second, "--cluster", "prdo"]);
    host.ok(&["list", "--repo", &repo, "--cluster", "prod"]);
    let at = ["--repo", repo.as_str()];
    let fails = |args: &[&str], words: &[&str]| host.fails(&[args, &at].concat(), 1, words);
    fails(&["show", "latest:shpo"], &["of database \"shpo\"", "hint: did you mean \"shop\"?"]);
    let path = "/db/shop/data/public.customers";
    let entry = format!("{id}:/db/shop/data/public.customer");
    fails(&["cat", &entry], &[&format!("hint: did you mean {path}? `pgark ls {id}` shows its entries")]);
    fails(&["cat", &format!("{id}:/db/shp/data/public.customers")], &[&format!("did you mean {path}?")]);
    fails(&["ls", &format!("{id}:/db/shpo")], &["did you mean /db/shop?"]);
    let far = fails(&["cat", &format!("{id}:/db/shop/data/sales.invoices")], &["shows its entries"]);
    assert!(!far.contains("did you mean"), "{far}");
    let output = host.path("out");
    let said = ["has no database \"shpo\"", "hint: did you mean \"shop\"? it holds shop"];
    fails(&["export", &id, "--database", "shpo", "--output", &output], &said);
    fails(&["diff", &id, &id, "--database", "shpo"], &["did you mean \"shop\"?"]);
    // The last digit is another.
    let (rest, last) = id.split_at(15);
    let other = format!("{rest}{}", if last == "0" { "1" } else { "0" });
    fails(&["show", &other], &[&format!("hint: did you mean {id}?")]);
}

#[test]
fn a_secret_that_is_not_needed_is_named() {
    let host = Host::new();
    let repo = host.path("repo");
    host.ok(&["init", "--no-encryption", "--repo", &repo]);
    let file = host.write("secret", "AGE-SECRET-KEY-1QQQQ\n");
    let list = ["list", "--repo", &repo];
    let said =
        ["PGARK_IDENTITY gives a secret, and the repository is not encrypted", "env -u PGARK_IDENTITY"];
    host.fails_with(&[("PGARK_IDENTITY", &file)], &list, 1, &said);
    host.fails_with(&[("PGARK_PASSPHRASE", "five quiet otters")], &list, 1, &["env -u PGARK_PASSPHRASE"]);
    host.fails(&[&list[..], &["--identity", &file]].concat(), 1, &["leave out --identity"]);
    host.fails(&[&list[..], &["--passphrase-file", &file]].concat(), 1, &["leave out --passphrase-file"]);
    let text = format!("[repositories.main]\nurl = \"{repo}\"\nidentity = \"{file}\"\n");
    let config = host.write("pgark.toml", &text);
    let said = ["take identity out of [repositories.main] in pgark.toml"];
    host.fails(&["list", "--config", &config], 1, &said);
}

#[test]
fn a_home_folder_is_never_made_beside_the_home_folder() {
    let host = Host::new();
    let home = host.home.path().display().to_string();
    for (args, option) in [
        (&["init", "--no-encryption", "--repo=~/x"][..], "--repo"),
        (&["list", "--repo", "/x", "--identity=~/x"], "--identity"),
        (&["export", "latest", "--repo", "/x", "--output=~/x"], "--output"),
        (&["key", "writer", "w", "--repo", "/x", "--output=~/x"], "--output"),
    ] {
        let way = format!("write {option} ~/x with a space, or the whole path, {option}={home}/x");
        host.fails(args, 2, &["the ~ of ~/x was not expanded", &way]);
    }
    let copy = ["copy", "~/x", "/y"];
    host.fails(&copy, 2, &["SOURCE: the ~ of ~/x was not expanded", &format!("{home}/x")]);
    host.fails_with(&[("PGARK_REPO", "~/x")], &["list"], 2, &["PGARK_REPO: the ~ of ~/x was not expanded"]);
    host.ok(&["init", "--no-encryption", "--repo", &host.path("there")]);
    let there = ["list", "--repo", &host.path("there")];
    host.fails_with(
        &[("PGARK_IDENTITY", "~/x")],
        &there,
        2,
        &["identity file: the ~ of ~/x was not expanded"],
    );
    let option = ["list", "--repo", "sftp://h/x", "--storage-option", "known_hosts=~/k"];
    host.fails(&option, 2, &["storage option known_hosts: the ~ of ~/k was not expanded"]);
    assert!(!Path::new("~").exists());
    // In the file it is the home folder.
    let config = host.write("pgark.toml", "repository = \"~/repo\"\n");
    host.ok(&["--config", &config, "init", "--no-encryption"]);
    assert!(host.home.path().join("repo/pgark.json").exists());
}

#[test]
fn a_repository_is_not_made_among_files_of_others() {
    let host = Host::new();
    let repo = host.path("documents");
    host.write("documents/letter.txt", "dear all");
    host.write("documents/Pictures/cat.jpg", "meow");
    let init = ["init", "--no-encryption", "--repo", &repo];
    let words = ["holds other files: Pictures/, letter.txt", "--force creates the repository next to them"];
    host.fails(&init, 1, &words);
    assert!(!host.home.path().join("documents/pgark.json").exists());
    host.ok(&[&init[..], &["--force"]].concat());
    host.ok(&["list", "--repo", &repo]);
    assert_eq!(std::fs::read_to_string(host.path("documents/letter.txt")).unwrap(), "dear all");
    // A file system of its own, and what an `init` that broke off has left.
    let left = ["lost+found", "probe/0123456789abcdef", "keys", ".tmp"];
    for (number, left) in left.iter().enumerate() {
        let repo = host.path(&format!("mount-{number}"));
        std::fs::create_dir_all(Path::new(&repo).join(left)).unwrap();
        host.ok(&["init", "--no-encryption", "--repo", &repo]);
    }
}

#[test]
fn init_looks_at_its_arguments_first() {
    let host = Host::new();
    let (repo, weak, there) = (host.path("repo"), host.write("weak", "short\n"), host.write("there", "x\n"));
    for (args, code) in [
        (["--passphrase-file", &weak], 2),
        (["--passphrase-file", "/nowhere/x"], 2),
        (["--new-passphrase-file", &there], 1),
        (["--recipient", "age1nonsense"], 2),
    ] {
        host.fails(&[&["init", "--repo", &repo][..], &args].concat(), code, &[args[1]].map(|_| "error: "));
        assert!(!Path::new(&repo).exists(), "{args:?}: something was made");
    }
    assert_eq!(std::fs::read_to_string(&there).unwrap(), "x\n");
}

/// What cannot be right anywhere is wrong usage; what is only not so here is a failure.
#[test]
fn one_kind_of_mistake_has_one_exit_code() {
    let host = Host::new();
    let (repo, plain, passphrase) = (host.path("repo"), host.path("plain"), host.path("passphrase"));
    host.ok(&["init", "--new-passphrase-file", &passphrase, "--repo", &repo]);
    host.ok(&["init", "--no-encryption", "--repo", &plain]);
    let (empty, words) = (host.write("empty", ""), host.write("words", "five quiet otters\n"));
    let (folder, bytes) = (host.path("folder"), host.path("bytes"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&bytes, b"\xff\xfe\x00").unwrap();
    let missing = "/nowhere/x".to_string();
    // Files with a secret or with settings.
    for option in ["--identity", "--passphrase-file", "--writer-key"] {
        for file in [&missing, &folder, &empty, &bytes] {
            host.fails(&["list", "--repo", &repo, option, file], 2, &["error: "]);
        }
    }
    for option in ["--identity", "--writer-key"] {
        host.fails(&["list", "--repo", &repo, option, &words], 2, &["cannot be read"]);
    }
    host.fails(&["list", "--repo", &repo, "--passphrase-file", &words], 1, &["does not open"]);
    for file in [&missing, &folder, &bytes, &words] {
        host.fails(&["list", "--config", file], 2, &["error: "]);
        host.fails(&["config", "convert", "--from", "greenmask", file], 2, &["error: "]);
    }
    let restore = ["restore", "latest", "--repo", &plain, "--dbname", "x"];
    for file in [&missing, &folder, &bytes] {
        host.fails(&[&restore[..], &["--use-list", file]].concat(), 2, &["error: "]);
        let hook = format!("before-data=file:{file}");
        host.fails(&[&restore[..], &["--hook", &hook]].concat(), 2, &["error: "]);
    }
    // Names of backups and sessions.
    for (name, code) in [("nonsense", 2), ("abc", 2), ("0123456789abcdef0", 2), ("0123456789abcdef", 1)] {
        let path = format!("{name}:/x");
        for args in [
            &["show", name][..],
            &["ls", name],
            &["cat", &path],
            &["diff", name, name],
            &["export", name, "--output", "x"],
            &["restore", name, "--dbname", "x"],
            &["tag", name, "--add", "x"],
            &["forget", name],
            &["sessions", "--end", name],
        ] {
            host.fails(&[args, &["--repo", &plain]].concat(), code, &[name]);
        }
    }
}

#[test]
fn a_wrong_name_or_port_is_given_up_soon() {
    let host = Host::new();
    let repo = host.path("repo");
    host.ok(&["init", "--no-encryption", "--repo", &repo]);
    let soon = |variables: &[(&str, &str)], args: &[&str], words: &[&str]| {
        let started = Instant::now();
        host.fails_with(variables, args, 1, words);
        assert!(started.elapsed() < Duration::from_secs(8), "{args:?}: {:?}", started.elapsed());
    };
    let backup = ["backup", "--repo", &repo, "-d", "shop", "-U", "me"];
    soon(&[], &[&backup[..], &["-h", "127.0.0.1", "-p", "1"]].concat(), &["refused", "check host, port"]);
    soon(&[], &[&backup[..], &["-h", "no-such-host.invalid"]].concat(), &["could not translate host name"]);
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let check = "hint: check the name and the port";
    for endpoint in ["http://127.0.0.1:1", "http://no-such-host.invalid:9000"] {
        let option = format!("endpoint={endpoint}");
        soon(&keys, &["list", "--repo", "s3://bucket/x", "--storage-option", &option], &["tried", check]);
    }
    soon(&[], &["list", "--repo", "sftp://me@127.0.0.1:1/x"], &["tried", check]);
    soon(&[], &["list", "--repo", "sftp://me@no-such-host.invalid/x"], &["tried", check]);
}

#[test]
fn the_file_is_named_where_a_name_of_it_is_missing() {
    let host = Host::new();
    let own = host.path(".config/pgark/pgark.toml");
    let nowhere =
        ["no repository is named", "no pgark.toml was found (looked for ", &own, "/etc/pgark/pgark.toml"];
    host.fails(&["list"], 2, &nowhere);
    host.fails(&["list", "--repo", "main"], 1, &["there is no [repositories.main]: no pgark.toml was found"]);
    let repo = host.path("repo");
    host.write(".config/pgark/pgark.toml", &format!("[repositories.main]\nurl = \"{repo}\"\n"));
    let said = ["hint: did you mean \"main\"?", "has the repositories main", &own];
    host.fails(&["list", "--repo", "mian"], 1, &said);
    host.fails(&["trust", "--repo", "mian"], 1, &said);
    // The only one is the one of every command.
    host.ok(&["init", "--no-encryption"]);
    for command in ["list", "check", "stats", "prune"] {
        host.ok(&[command]);
    }
    host.write(
        ".config/pgark/pgark.toml",
        "[repositories.a]\nurl = \"/a\"\n[repositories.b]\nurl = \"/b\"\n",
    );
    host.fails(&["forget", "--repo", "/x"], 2, &["with --cluster NAME; ", &format!("{own} was read")]);
    let near = format!("[clusters.prod]\nrepository = \"{repo}\"\n");
    host.write(".config/pgark/pgark.toml", &near);
    let backup = ["backup", "--cluster", "prdo", "--repo", &repo, "-d", "x", "-h", "/nowhere"];
    host.fails(&backup, 1, &["no section [clusters.prdo]", "none of the options of [clusters.prod]"]);
    host.write(
        ".config/pgark/pgark.toml",
        "[repositories.a]\nurl = \"/a\"\n[repositories.b]\nurl = \"/b\"\n",
    );
    let said = ["no repository is named", "has several, a, b: name one with --repo", "repository = \"a\""];
    host.fails(&["list"], 2, &said);
}

#[test]
fn a_dump_brings_its_own_time_and_may_be_named() {
    let host = Host::new();
    let repo = host.path("repo");
    host.ok(&["init", "--no-encryption", "--repo", &repo]);
    let made = "-- Dumped by pg_dump version 15.4\n";
    let started = format!("{made}\n-- Started on 2024-06-01 12:34:56 CEST\n");
    let verbose = host.write("verbose.sql", &DUMP.replacen(made, &started, 1));
    host.ok(&["import", &verbose, "--repo", &repo]);
    let begin = DUMP.find("--\n-- Name: shop").unwrap();
    let end = DUMP.find("--\n-- Name: customers").unwrap();
    let nameless = host.write("nameless.sql", &format!("{}{}", &DUMP[..begin], &DUMP[end..]));
    let said = ["does not say which database", "--database NAME says the database"];
    host.fails(&["import", &nameless, "--repo", &repo], 1, &said);
    let said = ["says that it is of database \"shop\", not \"other\"", "leave out --database"];
    host.fails(&["import", &verbose, "--database", "other", "--repo", &repo], 1, &said);
    let id = host.out(&["import", &nameless, "--database", "we ird", "--repo", &repo]);
    let id = id.trim();
    let list: serde_json::Value =
        serde_json::from_str(&host.out(&["list", "--json", "--repo", &repo])).unwrap();
    let list = &list["backups"];
    assert_eq!(
        (&list[0]["dumped"], &list[0]["databases"][0]),
        (&"2024-06-01T12:34:56".into(), &"shop".into())
    );
    // The time of the import stays what clocks and rules go by.
    assert!(list[0]["time"].as_str().unwrap() > "2026", "{list}");
    assert_eq!(list[1]["databases"][0], "we ird");
    // Of a script that does not say it: the file's last change.
    assert!(list[1]["dumped"].as_str().unwrap() > "2026", "{list}");
    assert!(host.ok(&["list", "--repo", &repo]).contains("2024-06-01T12:34:56"));
    let rows = host.out(&["cat", &format!("{id}:/db/we ird/data/public.customers"), "--repo", &repo]);
    assert_eq!(rows, "1\n");
}
