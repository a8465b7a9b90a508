//! The program without a server: help, man pages, completions, wrong usage, secrets of `init`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

#[path = "program/hints.rs"]
mod hints;
#[path = "program/terminal.rs"]
mod terminal;

fn pgark(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgark"));
    command.env_clear().env("HOME", home).args(args);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const COMMANDS: [&str; 24] = [
    "init",
    "backup",
    "restore",
    "export",
    "import",
    "list",
    "show",
    "diff",
    "ls",
    "cat",
    "check",
    "forget",
    "prune",
    "copy",
    "repair",
    "key",
    "trust",
    "tag",
    "sessions",
    "stats",
    "storage",
    "config",
    "completions",
    "man",
];

#[test]
fn every_command_helps_with_examples_and_exit_codes() {
    let home = TempDir::new().unwrap();
    let help = text(&pgark(home.path(), &["--help"]).stdout);
    for command in COMMANDS {
        assert!(help.contains(&format!("  {command} ")), "{command} is not in --help");
        let output = pgark(home.path(), &[command, "--help"]);
        assert!(output.status.success());
        let words = text(&output.stdout);
        assert!(words.contains("Examples:\n  pgark "), "{words}");
    }
}

#[test]
fn wrong_usage_is_2_and_says_what() {
    let home = TempDir::new().unwrap();
    for (args, words) in [
        (vec!["backup"], "--repo"),
        (vec!["restore", "latest", "--repo", "x"], "--dbname"),
        (vec!["restore", "latest", "--repo", "x", "--dbname", "d", "--create", "--clean"], "--clean"),
        (vec!["backup", "--repo", "x", "--jobs", "0"], "--jobs"),
        (vec!["backup", "--repo", "x", "--jobs", "many"], "many"),
        (vec!["backup", "--repo", "x", "--lock-wait-timeout", "1 fortnight"], "fortnight"),
        (vec!["backup", "--repo", "x", "--identity", "a", "--passphrase-file", "b"], "--passphrase-file"),
        (vec!["init", "--repo", "x"], "--recipient"),
        (vec!["init", "--repo", "x", "--no-encryption", "--recipient", "age1x"], "--recipient"),
        (vec!["list", "--repo", "ftp://bucket/x"], "s3://"),
        (vec!["check", "--repo", "x", "--level", "deep"], "deep"),
        (vec!["export", "latest", "--repo", "x", "--format", "zip", "--output", "y"], "zip"),
        (vec!["frobnicate"], "frobnicate"),
    ] {
        let output = pgark(home.path(), &args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "wrong usage left files");
}

#[test]
fn man_pages_and_completions_are_made() {
    let home = TempDir::new().unwrap();
    let folder = home.path().join("man");
    let output = pgark(home.path(), &["man", "--output", folder.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for command in COMMANDS {
        let page = std::fs::read_to_string(folder.join(format!("pgark-{command}.1"))).unwrap();
        assert!(page.contains(".TH pgark-") && page.contains("Examples"), "{command}");
    }
    assert!(folder.join("pgark.1").exists());
    for shell in ["bash", "zsh", "fish"] {
        let output = pgark(home.path(), &["completions", shell]);
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("no-encryption"), "{shell}");
    }
    // bash itself accepts them.
    let script = home.path().join("pgark.bash");
    std::fs::write(&script, pgark(home.path(), &["completions", "bash"]).stdout).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

/// Text and JSON tell the same.
#[test]
fn init_tells_json() {
    let home = TempDir::new().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    let (repo, file) = (at("repo"), at("passphrase"));
    let output = pgark(home.path(), &["init", "--json", "--repo", &repo, "--new-passphrase-file", &file]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((made["id"].as_str().unwrap().len(), &made["encrypted"]), (32, &true.into()), "{made}");
    assert!(made["storage"].as_str().unwrap().contains(&repo), "{made}");
    let key = std::fs::read_to_string(made["writer_key"].as_str().unwrap()).unwrap();
    assert!(!text(&output.stdout).contains(key.trim()), "{made}");
    // It is a failure in JSON, too.
    let again = pgark(home.path(), &["init", "--json", "--repo", &repo, "--no-encryption"]);
    assert_eq!((again.status.code(), again.stdout.len()), (Some(1), 0));
    let failed: serde_json::Value =
        serde_json::from_str(text(&again.stderr).lines().last().unwrap()).unwrap();
    assert!(failed["hint"].as_str().unwrap().contains("--repo"), "{failed}");
    let plain = at("plain");
    let output = pgark(home.path(), &["init", "--json", "--repo", &plain, "--no-encryption"]);
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&made["encrypted"], made.get("writer_key")), (&false.into(), None));
}

/// What is wrong with the command line is one JSON object, too; help stays help.
#[test]
fn wrong_options_are_errors_in_json() {
    let home = TempDir::new().unwrap();
    for (args, said) in [
        (&["list", "--jsn", "--json"][..], "unexpected argument '--jsn' found"),
        (&["check", "--json", "--level", "deep"], "invalid value 'deep'"),
        (&["show", "--json"], "required arguments were not provided"),
        (&["config", "show", "list", "--bogus", "--json"], "unexpected argument '--bogus' found"),
        (&["lits", "--json"], "unrecognized subcommand 'lits'"),
    ] {
        let output = pgark(home.path(), args);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}");
        let told: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert!(told["error"].as_str().unwrap().contains(said), "{told}");
        let facts = (&told["format"], &told["kind"], &told["exit_code"]);
        assert_eq!(facts, (&1.into(), &"usage".into(), &2.into()), "{told}");
    }
    let output = pgark(home.path(), &["list", "--json", "--help"]);
    assert!(output.status.success() && text(&output.stdout).contains("Usage: pgark list"));
    // Not an option: a name.
    let output = pgark(home.path(), &["show", "--bogus", "--", "--json"]);
    assert!(text(&output.stderr).starts_with("error: "), "{}", text(&output.stderr));
}

/// A new unencrypted repository; its fingerprint.
fn init(home: &Path, repo: &str) -> (String, Output) {
    let output = pgark(home, &["init", "--json", "--repo", repo, "--no-encryption"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    (made["fingerprint"].as_str().unwrap().to_string(), output)
}

/// Puts the repository of another host at a place.
fn replace(repo: &str) -> String {
    let other = TempDir::new().unwrap();
    std::fs::remove_dir_all(repo).unwrap();
    init(other.path(), repo).0
}

#[test]
fn init_says_which_repository_it_replaces() {
    let home = TempDir::new().unwrap();
    let repo = home.path().join("repo").display().to_string();
    let (first, output) = init(home.path(), &repo);
    assert!(!text(&output.stdout).contains("replaced"), "{}", text(&output.stdout));
    std::fs::remove_dir_all(&repo).unwrap();
    let (second, output) = init(home.path(), &repo);
    assert_ne!(first, second);
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(made["replaced"], *first);
    assert!(
        text(&output.stderr).contains(&format!("with the fingerprint {first}")),
        "{}",
        text(&output.stderr)
    );
    assert!(pgark(home.path(), &["list", "--repo", &repo]).status.success());
}

#[test]
fn a_replaced_repository_is_trusted_on_purpose() {
    let home = TempDir::new().unwrap();
    let repo = home.path().join("repo").display().to_string();
    let run = |args: &[&str]| pgark(home.path(), &[args, &["--repo", &repo]].concat());
    let (first, _) = init(home.path(), &repo);
    let output = run(&["trust"]);
    assert!(output.status.success() && text(&output.stdout).contains("already"), "{}", text(&output.stdout));
    let second = replace(&repo);
    let refused = run(&["list"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains(&first) && said.contains(&second) && said.contains("pgark trust"), "{said}");
    // Nobody can be asked; another fingerprint; something that is none.
    for (args, code) in [(vec![], 2), (vec!["--fingerprint", &first], 1), (vec!["--fingerprint", "12"], 2)] {
        let refused = run(&[&["trust"], &args[..]].concat());
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(code), "{args:?}: {said}");
        assert!(code == 2 && !args.is_empty() || said.contains(&first) && said.contains(&second), "{said}");
        assert_eq!(run(&["list"]).status.code(), Some(1), "{args:?} changed the memory");
    }
    // As the program prints it, and as people write it down.
    let written = second.replace('-', "").to_uppercase();
    let output = run(&["trust", "--fingerprint", &written, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["remembered"], &report["fingerprint"]), (&(*first).into(), &(*second).into()));
    assert_eq!((&report["changed"], &report["encrypted"]), (&true.into(), &false.into()));
    assert!(run(&["list"]).status.success());
    let report: serde_json::Value =
        serde_json::from_slice(&run(&["trust", "--json", "--yes"]).stdout).unwrap();
    assert_eq!(report["changed"], false);
    // Whatever stands there.
    let third = replace(&repo);
    let output = run(&["trust", "--yes"]);
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains(&second) && said.contains(&third), "{said}");
    assert!(run(&["list"]).status.success());
}

/// A host that has not seen the place makes sure of its first look.
#[test]
fn a_first_look_is_held_to_a_fingerprint() {
    let (home, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let repo = home.path().join("repo").display().to_string();
    let (fingerprint, _) = init(home.path(), &repo);
    let wrong = fingerprint.chars().rev().collect::<String>();
    let refused = pgark(other.path(), &["trust", "--repo", &repo, "--fingerprint", &wrong]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(!other.path().join(".local").exists());
    let output = pgark(other.path(), &["trust", "--repo", &repo]);
    let said = text(&output.stdout);
    assert!(
        output.status.success() && said.contains("had not seen") && said.contains(&fingerprint),
        "{said}"
    );
    let replaced = replace(&repo);
    let refused = pgark(other.path(), &["list", "--repo", &repo]);
    assert!(text(&refused.stderr).contains(&replaced), "{}", text(&refused.stderr));
    // Without a folder there is no memory to change, and that is no success.
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgark"));
    let refused = command.env_clear().args(["trust", "--yes", "--repo", &repo]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("XDG_STATE_HOME"), "{}", text(&refused.stderr));
    // The place is nobody's.
    let refused = pgark(other.path(), &["trust", "--repo", other.path().join("none").to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(!other.path().join("none").exists());
}

/// One header of two was replaced: it can be opened as it is, and that is said.
#[test]
fn a_second_copy_that_is_remembered_is_told() {
    let home = TempDir::new().unwrap();
    let repo = home.path().join("repo").display().to_string();
    init(home.path(), &repo);
    let copy = std::fs::read(Path::new(&repo).join("pgark.json.copy")).unwrap();
    replace(&repo);
    std::fs::write(Path::new(&repo).join("pgark.json.copy"), copy).unwrap();
    let refused = pgark(home.path(), &["trust", "--repo", &repo]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("the second copy of the header"), "{}", text(&refused.stderr));
}

/// On a terminal it asks, and takes the whole word alone.
#[test]
fn trust_asks_on_a_terminal() {
    let home = TempDir::new().unwrap();
    let repo = home.path().join("repo").display().to_string();
    let (first, _) = init(home.path(), &repo);
    let second = replace(&repo);
    let on_terminal = |answer: &str| {
        let typed = home.path().join("typed");
        std::fs::write(&typed, answer).unwrap();
        let line = format!("'{}' trust --repo '{repo}'", env!("CARGO_BIN_EXE_pgark"));
        let mut command = Command::new("script");
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home.path());
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        command.stdin(std::fs::File::open(&typed).unwrap()).output().unwrap()
    };
    for answer in ["y\n", "no\n"] {
        let output = on_terminal(answer);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&first) && said.contains(&second) && said.contains("yes/no"), "{said}");
        assert_eq!(pgark(home.path(), &["list", "--repo", &repo]).status.code(), Some(1), "{answer:?}");
    }
    let output = on_terminal("yes\n");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(pgark(home.path(), &["list", "--repo", &repo]).status.success());
}

#[test]
fn init_draws_a_passphrase_and_keeps_it_once() {
    let home = TempDir::new().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    let (repo, file) = (at("repo"), at("secrets/passphrase"));
    let output = pgark(home.path(), &["init", "--repo", &repo, "--new-passphrase-file", &file]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.contains("repository ") && printed.contains("fingerprint "), "{printed}");
    let passphrase = std::fs::read_to_string(&file).unwrap();
    assert_eq!(passphrase.trim().len(), 35, "{passphrase}");
    assert!(!text(&output.stderr).contains(passphrase.trim()) && !printed.contains(passphrase.trim()));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // It opens the repository; the data too.
    let list = ["check", "--read-data", "--repo", &repo, "--passphrase-file", &file];
    assert!(pgark(home.path(), &list).status.success());
    // Neither an existing file nor an existing repository is touched.
    let again = pgark(home.path(), &["init", "--repo", &at("other"), "--new-passphrase-file", &file]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("passphrase"), "{}", text(&again.stderr));
    assert!(!Path::new(&at("other")).join("pgark.json").exists());
    let unused = at("unused");
    let again = pgark(home.path(), &["init", "--repo", &repo, "--new-passphrase-file", &unused]);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stderr));
    assert!(!Path::new(&unused).exists(), "a passphrase that opens nothing was left");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), passphrase);
}

#[test]
fn weak_and_wrong_secrets_are_refused() {
    let home = TempDir::new().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    for (content, words) in [("short\n", "12"), ("aaaaaaaaaaaaaaaaaaa\n", "different"), ("\n", "empty")] {
        std::fs::write(at("p"), content).unwrap();
        let output = pgark(home.path(), &["init", "--repo", &at("repo"), "--passphrase-file", &at("p")]);
        let said = text(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let output = pgark(home.path(), &["init", "--repo", &at("repo"), "--recipient", "age1nonsense"]);
    assert!(text(&output.stderr).contains("age1nonsense"), "{}", text(&output.stderr));
    assert!(!output.status.success());
    assert!(!Path::new(&at("repo")).join("pgark.json").exists());
}

#[test]
fn a_configuration_file_is_checked_before_anything_is_done() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("pgark.toml");
    std::fs::write(
        &file,
        "repository = \"/nowhere\"\n\n[clusters.prod]\njbos = 4\nexclude_database = \"a\"\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    for args in [
        vec!["config", "check", "--config", path],
        vec!["list", "--config", path],
        vec!["--config", path, "backup"],
    ] {
        let output = pgark(home.path(), &args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains("pgark.toml:4: there is no key \"jbos\" here; did you mean jobs?"), "{said}");
        assert!(
            said.contains("pgark.toml:5: exclude_database is a list of strings, not this string"),
            "{said}"
        );
    }
    let output = pgark(home.path(), &["list", "--config", "/nowhere/pgark.toml"]);
    assert!(text(&output.stderr).contains("/nowhere/pgark.toml"), "a file that was named must be there");
    // The defaults, as printed, are a file without problems.
    let defaults = pgark(home.path(), &["config", "default"]).stdout;
    std::fs::write(&file, defaults).unwrap();
    let output = pgark(home.path(), &["config", "check", "--config", path]);
    assert!(
        output.status.success() && text(&output.stdout).contains("no problem"),
        "{}",
        text(&output.stderr)
    );
    assert!(text(&pgark(home.path(), &["config", "check"]).stdout).contains("no configuration file found"));
}

#[test]
fn every_value_tells_its_layer() {
    let home = TempDir::new().unwrap();
    let folder = home.path().join(".config/pgark");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("pgark.toml");
    std::fs::write(
        &file,
        "repository = \"main\"\n[repositories.main]\nurl = \"/backup/main\"\nidentity = \"/id\"\n[repositories.other]\nurl = \"/backup/other\"\n\
         [clusters.prod]\nall = true\njobs = 4\nexclude_table = [\"tmp_*\"]\n[clusters.prod.databases.shop]\nexclude_table_data = [\"log.*\"]\n",
    )
    .unwrap();
    let rows =
        |args: &[&str], variables: &[(&str, &str)]| -> std::collections::BTreeMap<String, (String, String)> {
            let mut command = Command::new(env!("CARGO_BIN_EXE_pgark"));
            command.env_clear().env("HOME", home.path()).args(["config", "show", "--json"]).args(args);
            let output = command.envs(variables.iter().copied()).output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let rows = shown["values"].as_array().unwrap();
            let field = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_string();
            rows.iter().map(|row| (field(row, "key"), (field(row, "value"), field(row, "layer")))).collect()
        };
    let path = file.display().to_string();
    let pair = |value: &str, layer: String| (value.to_string(), layer);
    let shown = rows(&["--cluster", "prod", "--jobs", "9"], &[]);
    assert_eq!(shown["jobs"], pair("9", "command line".into()));
    assert_eq!(shown["all"], pair("true", format!("{path}:8")));
    assert_eq!(shown["exclude_table"], pair("tmp_*", format!("{path}:10")));
    assert_eq!(shown["databases.shop.exclude_table_data"], pair("log.*", format!("{path}:12")));
    assert_eq!(shown["compression_level"], pair("1", "default".into()));
    assert_eq!(shown["repository"], pair("/backup/main", format!("repository main, {path}:3")));
    assert_eq!(shown["identity"], pair("/id", format!("{path}:4")));
    let shown = rows(&["--cluster", "prod"], &[("PGARK_REPO", "other"), ("PGARK_IDENTITY", "/mine")]);
    assert_eq!(shown["repository"], pair("/backup/other", format!("environment PGARK_REPO, {path}:6")));
    assert_eq!(shown["identity"], pair("/mine", "environment PGARK_IDENTITY".into()));
    assert_eq!(shown["jobs"], pair("4", format!("{path}:9")));
    let shown = rows(&["--database", "x"], &[("PGARK_REPO", "/plain")]);
    assert_eq!(shown["all"], pair("false", "default".into()));
    assert_eq!(shown["repository"], pair("/plain", "environment PGARK_REPO".into()));
}

#[test]
fn the_file_serves_every_command() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("pgark.toml");
    let repo = home.path().join("repo").display().to_string();
    let run = |text: &str, args: &[&str]| {
        std::fs::write(&file, text).unwrap();
        pgark(home.path(), &[&["--config", file.to_str().unwrap()], args].concat())
    };
    // What is required may be said by the file.
    let text = format!(
        "repository = \"main\"\n[repositories.main]\nurl = \"{repo}\"\n[init]\nno_encryption = true\n"
    );
    let output = run(&text, &["init"]);
    assert!(output.status.success(), "{}", text_of(&output));
    let text = format!("repository = \"{repo}\"\n[list]\njson = true\n[stats]\njson = true\n");
    assert_eq!(text_of(&run(&text, &["list"])), "{\"format\":1,\"backups\":[]}\n");
    assert!(text_of(&run(&text, &["stats"])).contains("\"backups\":0"));
    // Errors are JSON where the file says so.
    let output = run("[list]\njson = true\nrepository = \"/nowhere/x\"\n", &["list"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), &said["exit_code"]), (Some(1), &1.into()));
    // Two that contradict each other.
    let output = run("[restore]\ncreate = true\nclean = true\n", &["restore", "latest"]);
    let said = self::text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("pgark.toml:3: clean: ") && said.contains("'--create'"), "{said}");
    // What is typed wins, and `config show` tells of each command.
    let text =
        "[restore]\njobs = 3\ncreate = true\n[clusters.prod.restore]\njobs = 4\n[prune]\ngrace = \"3d\"\n";
    let shown = |args: &[&str]| {
        let output = run(text, &[&["config", "show"], args].concat());
        let shown = text_of(&output);
        move |key: &str| {
            let line = shown.lines().find(|line| line.starts_with(&format!("{key} ")));
            line.unwrap_or_else(|| panic!("{key}: {shown}"))
                .split_whitespace()
                .skip(1)
                .collect::<Vec<_>>()
                .join(" ")
        }
    };
    let at = |line: usize| format!("{}:{line}", file.display());
    let restore = shown(&["restore"]);
    assert_eq!(restore("jobs"), format!("3 {}", at(2)));
    assert_eq!(restore("create"), format!("true {}", at(3)));
    let restore = shown(&["restore", "latest", "--cluster", "prod", "--clean", "--on-conflict", "skip"]);
    assert_eq!(restore("jobs"), format!("4 {}", at(5)));
    assert_eq!((restore("create"), restore("clean")), ("false default".into(), "true command line".into()));
    assert_eq!(
        (restore("on_conflict"), restore("single_transaction")),
        ("skip command line".into(), "false default".into())
    );
    let prune = shown(&["prune", "--repack-below", "50"]);
    assert_eq!((prune("grace"), prune("repack_below")), (format!("3d {}", at(7)), "50 command line".into()));
    // Of words that are wrong the command itself would say the same.
    let output = run(text, &["config", "show", "prune", "--jobs", "3"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(self::text(&output.stderr).contains("--jobs"));
    assert!(self::text(&run(text, &["config", "show", "--help"]).stdout).contains("Examples:"));
}

/// Standard output of a run, or what it said instead.
fn text_of(output: &Output) -> String {
    if output.status.success() { text(&output.stdout) } else { text(&output.stderr) }
}

#[test]
fn a_policy_is_for_what_forgets() {
    let home = TempDir::new().unwrap();
    let output = pgark(home.path(), &["backup", "--repo", "/nowhere", "--keep-daily", "7"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--forget-after-backup"), "{said}");
    let output = pgark(home.path(), &["backup", "--repo", "/nowhere", "--forget-after-backup"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--keep-"), "{}", text(&output.stderr));
}

#[test]
fn a_server_is_named_as_for_psql() {
    let home = TempDir::new().unwrap();
    for command in ["backup", "restore"] {
        let help = text(&pgark(home.path(), &[command, "--help"]).stdout);
        for option in ["-h, --host", "-p, --port", "-U, --username", "-d, --dbname", "\n      --help"] {
            assert!(help.contains(option), "{command}: {option}");
        }
    }
    // Behind it nothing comes: then it asks for help.
    for command in ["backup", "list"] {
        let help = text(&pgark(home.path(), &[command, "-h"]).stdout);
        assert!(help.contains(&format!("more options: pgark {command} --help")), "{help}");
    }
    let early = text(&pgark(home.path(), &["--repo", "/no/repo", "list"]).stderr);
    assert!(early.contains("/no/repo"), "{early}");
    let repo = home.path().join("repo").display().to_string();
    assert!(pgark(home.path(), &["init", "--repo", &repo, "--no-encryption"]).status.success());
    let args = ["backup", "--repo", &repo, "-h", "/no/socket", "-p", "5433", "-U", "me", "-d", "shop"];
    let said = text(&pgark(home.path(), &args).stderr);
    assert!(said.contains("/no/socket") && said.contains("5433"), "{said}");
}

#[test]
fn foreign_files_are_converted_and_what_is_left_is_named() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("pg_back.conf");
    std::fs::write(
        &file,
        "host = db1\nexclude_dbs = test\nencrypt = true\ncipher_pass = s3cret\n[shop]\ntables = a, b\n",
    )
    .unwrap();
    let output = pgark(home.path(), &["config", "convert", file.to_str().unwrap(), "--cluster", "prod"]);
    let (toml, said) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(
        toml.contains("[clusters.prod]\ndbname = \"host=db1\"")
            && toml.contains("[clusters.prod.databases.shop]"),
        "{toml}"
    );
    assert!(
        said.contains("encrypt = true") && said.contains("cipher_pass") && !said.contains("s3cret"),
        "{said}"
    );
    let converted = home.path().join("pgark.toml");
    std::fs::write(&converted, toml).unwrap();
    assert!(
        pgark(home.path(), &["config", "check", "--config", converted.to_str().unwrap()]).status.success()
    );
    std::fs::write(home.path().join("x.yml"), "a: [").unwrap();
    let output = pgark(home.path(), &["config", "convert", home.path().join("x.yml").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

/// A host with keys of SSH, and with a plugin of age in its search path.
struct Keys {
    home: TempDir,
}

impl Keys {
    fn new() -> Keys {
        let keys = Keys { home: TempDir::new().unwrap() };
        let program = keys.home.path().join("bin/age-plugin-rot");
        std::fs::create_dir(keys.home.path().join("bin")).unwrap();
        std::fs::write(&program, include_str!("age-plugin-rot")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        keys
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    /// A program that finds the plugin.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.home.path());
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.path("bin")));
        command
    }

    fn pgark(&self, args: &[&str]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_pgark"));
        // What no plugin may see.
        command.env("PGARK_REPO", self.path("repo")).env("AWS_PROFILE", "x").args(args).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.pgark(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    #[track_caller]
    fn fails(&self, args: &[&str]) -> String {
        self.ends(1, args)
    }

    #[track_caller]
    fn ends(&self, code: i32, args: &[&str]) -> String {
        let output = self.pgark(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output.stderr));
        text(&output.stderr)
    }

    /// A key of SSH: where it is, and its public half.
    fn ssh_key(&self, name: &str, kind: &str, passphrase: &str) -> (String, String) {
        let path = self.path(name);
        let args = ["-q", "-t", kind, "-N", passphrase, "-C", "me@host", "-f", &path];
        assert!(self.command("ssh-keygen").args(args).status().unwrap().success());
        let public = std::fs::read_to_string(format!("{path}.pub")).unwrap().trim().to_string();
        (path, public)
    }

    fn write(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    fn slot(&self) -> String {
        let slots = std::fs::read_dir(self.path("repo/keys")).unwrap().flatten();
        slots.map(|slot| slot.path().display().to_string()).next().unwrap()
    }

    /// What stock age opens the slot to; and seals for somebody else, as a slot beside it.
    fn stock_age_opens_and_seals(&self, identity: &str, recipient: &str) {
        let opened = self.command("age").args(["-d", "-i", identity, &self.slot()]).output().unwrap();
        assert!(opened.status.success(), "{}", text(&opened.stderr));
        assert_eq!(opened.stdout.first(), Some(&0x88), "an array of eight");
        let keyring = self.path("keyring");
        std::fs::write(&keyring, &opened.stdout).unwrap();
        let other = self.path("repo/keys/1-0123456789abcdef.age");
        let sealed = self.command("age").args(["-r", recipient, "-o", &other, &keyring]).output().unwrap();
        assert!(sealed.status.success(), "{}", text(&sealed.stderr));
    }
}

/// Keys of SSH are what they are to stock age, in both directions.
#[test]
fn keys_of_ssh_open_a_repository() {
    let keys = Keys::new();
    let (identity, public) = keys.ssh_key("one", "ed25519", "");
    let (other, other_public) = keys.ssh_key("other", "ed25519", "");
    keys.ok(&["init", "--recipient", &public]);
    let shown: serde_json::Value = serde_json::from_str(&keys.ok(&["key", "list", "--json"])).unwrap();
    let kept = shown["slots"][0]["recipient"].as_str().unwrap().to_string();
    assert_eq!(format!("{kept} me@host"), public);
    keys.ok(&["check", "--read-data", "--identity", &identity]);
    assert!(keys.fails(&["check", "--identity", &other]).contains("does not open"));
    keys.stock_age_opens_and_seals(&identity, &other_public);
    keys.ok(&["list", "--identity", &other]);
    // A rotation seals for it again; a slot goes by the text that stands in authorized_keys.
    keys.ok(&["key", "rotate", "--identity", &identity]);
    keys.ok(&["check", "--read-data", "--identity", &identity]);
    keys.ok(&["key", "add", "--recipient", &other_public, "--identity", &identity]);
    keys.ok(&["key", "remove", &public, "--identity", &other]);
    assert!(keys.fails(&["list", "--identity", &identity]).contains("does not open"));
    keys.ok(&["check", "--read-data", "--identity", &other]);
}

#[test]
fn what_cannot_open_a_repository_is_told_why() {
    let keys = Keys::new();
    let (rsa, rsa_public) = keys.ssh_key("rsa", "rsa", "");
    let (_, ecdsa_public) = keys.ssh_key("ecdsa", "ecdsa", "");
    let (locked, locked_public) = keys.ssh_key("locked", "ed25519", "five quiet otters");
    for (recipient, said) in [
        (rsa_public.as_str(), "RSA SSH keys are not supported"),
        (&ecdsa_public, "ecdsa-sha2-nistp256 are not supported"),
        ("ssh-ed25519 AAAAnonsense", "not an SSH public key"),
        ("age1nowhere1qqqqqq", "age-plugin-nowhere"),
        ("age1rot1veskjmrnf77mf0", "the token is broken"),
    ] {
        // A plugin that fails, or is not there, makes no recipient wrong.
        let code = if recipient.starts_with("age1") { 1 } else { 2 };
        let told = keys.ends(code, &["init", "--recipient", recipient]);
        assert!(told.contains(said), "{recipient}: {told}");
        assert!(!Path::new(&keys.path("repo/pgark.json")).exists(), "{recipient}");
    }
    // The public half serves; the private one is to be given without its passphrase.
    keys.ok(&["init", "--recipient", &locked_public]);
    let encrypted = keys.write("sealed", "age-encryption.org/v1\n-> X25519 abc\n");
    let pem = keys.write("pem", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n");
    let missing = keys.write("missing", "AGE-PLUGIN-NOWHERE-1QQQQQQ\n");
    for (identity, said) in [
        (rsa, "RSA SSH keys are not supported"),
        (locked.clone(), "has a passphrase"),
        (encrypted, "itself encrypted"),
        (pem, "OpenSSH's format"),
        (missing, "age-plugin-nowhere"),
    ] {
        let code = if said == "age-plugin-nowhere" { 1 } else { 2 };
        let told = keys.ends(code, &["list", "--identity", &identity]);
        assert!(told.contains(said), "{identity}: {told}");
    }
    let args = ["-q", "-p", "-P", "five quiet otters", "-N", "", "-f", &locked];
    assert!(
        keys.command("ssh-keygen").args(args).stdout(std::process::Stdio::null()).status().unwrap().success()
    );
    keys.ok(&["check", "--read-data", "--identity", &locked]);
}

/// A plugin does here what it does for stock age, and finds no secret of ours in its environment.
#[test]
fn plugins_of_age_open_a_repository() {
    let keys = Keys::new();
    let identity = keys.write("identity", "# a token\nAGE-PLUGIN-ROT-1WPKXZ6TW27CEWJ\n");
    let asks = keys.write("asks", "AGE-PLUGIN-ROT-1V9EKKUEP9FEL8N\n");
    let fails = keys.write("fails", "AGE-PLUGIN-ROT-1VESKJMRNFQ3C8K\n");
    keys.ok(&["init", "--recipient", "age1rot1wpkxz6tw2qh6qt"]);
    keys.ok(&["check", "--read-data", "--identity", &identity]);
    assert!(keys.ok(&["key", "list"]).contains("age1rot1wpkxz6tw2qh6qt"));
    assert!(keys.fails(&["list", "--identity", &asks]).contains("does not open"));
    assert!(keys.fails(&["list", "--identity", &fails]).contains("the token is broken"));
    keys.stock_age_opens_and_seals(&identity, "age1rot1v9ekkuep9hkuf2");
    // It wants a PIN, and nobody can be asked.
    let said = keys.fails(&["list", "--identity", &asks]);
    assert!(said.contains("touch the token") && said.contains("wrong PIN"), "{said}");
    let on_terminal = |pin: &str| {
        let typed = keys.write("typed", &format!("{pin}\n"));
        let line = format!("'{}' list --identity '{asks}'", env!("CARGO_BIN_EXE_pgark"));
        let mut command = keys.command("script");
        command.env("PGARK_REPO", keys.path("repo"));
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        command.stdin(std::fs::File::open(typed).unwrap()).output().unwrap()
    };
    let output = on_terminal("4321");
    assert!(
        !output.status.success() && text(&output.stdout).contains("wrong PIN"),
        "{}",
        text(&output.stdout)
    );
    let output = on_terminal("1234");
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains("PIN of the token?"), "{said}");
    assert!(keys.ok(&["key", "rotate", "--identity", &identity]).contains("epoch 2"));
    keys.ok(&["check", "--read-data", "--identity", &identity]);
}

/// Blocks of code of a page of the handbook: their language, and their text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let parts: Vec<&str> = page.split("\n```").collect();
    let inside = parts.iter().skip(1).step_by(2);
    let pair = |block: &&str| block.split_once('\n').map(|(of, text)| (of.to_string(), format!("{text}\n")));
    inside.filter_map(pair).collect()
}

/// What docs/schedule.md tells people to write is understood: the file, the units, and each command
/// with all its options.
#[test]
fn the_schedule_of_the_handbook_is_understood() {
    let home = TempDir::new().unwrap();
    let path = |name: &str| home.path().join(name);
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schedule.md")).unwrap();
    let blocks = blocks(&page);
    let of =
        |language: &'static str| blocks.iter().filter(move |(of, _)| of == language).map(|(_, text)| text);
    std::fs::write(path("pgark.toml"), of("toml").next().unwrap()).unwrap();
    let config = path("pgark.toml").display().to_string();
    let checked = pgark(home.path(), &["config", "check", "--config", &config]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    // A stand-in that says how the program would understand its options.
    let stand_in = format!(
        "#!/bin/sh\necho \"$*\" >> {0}/asked\n'{1}' config show \"$@\" --config '{config}' > /dev/null 2> {0}/said || {{ echo \"$*\"; cat {0}/said; }} >> {0}/faults\n",
        home.path().display(),
        env!("CARGO_BIN_EXE_pgark")
    );
    std::fs::create_dir(path("bin")).unwrap();
    std::fs::write(path("bin/pgark"), stand_in).unwrap();
    std::fs::set_permissions(path("bin/pgark"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let units = of("ini")
        .flat_map(|unit| unit.lines())
        .filter_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/"));
    let units = units.filter(|command| command.starts_with("pgark ")).map(str::to_string);
    // Five fields of time and the user.
    let cron = of("").flat_map(|lines| lines.lines()).filter(|line| line.contains("  pgark  "));
    let cron = cron.map(|line| line.split_once("  pgark  ").unwrap().1.to_string());
    let scripts = of("sh").filter(|script| script.contains("pgark ")).cloned();
    let all: Vec<String> = units.chain(cron).chain(scripts).collect();
    assert!(all.len() >= 9, "{all:#?}");
    for script in &all {
        let mut shell = Command::new("/bin/sh");
        shell
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", format!("{}:/usr/bin:/bin", path("bin").display()));
        shell.arg("-c").arg(script).output().unwrap();
    }
    let faults = std::fs::read_to_string(path("faults")).unwrap_or_default();
    assert_eq!(faults, "");
    let asked = std::fs::read_to_string(path("asked")).unwrap();
    assert!(asked.lines().count() >= all.len(), "{asked}");
    // The units, where systemd is there to judge them.
    let named = page.split("\n`/etc/systemd/system/").skip(1);
    let mut files = Vec::new();
    for (name, rest) in named.filter_map(|part| part.split_once("`:\n\n```ini\n")) {
        let unit = rest.split("\n```").next().unwrap();
        let unit = unit.replace("/usr/local/bin/pgark-alert", "/bin/true");
        std::fs::write(path(name), unit.replace("/usr/local/bin/pgark", env!("CARGO_BIN_EXE_pgark")))
            .unwrap();
        files.push(path(name));
    }
    assert_eq!(files.len(), 5, "{files:?}");
    if let Ok(judged) = Command::new("systemd-analyze").arg("verify").args(&files).output() {
        let said = text(&judged.stderr);
        assert!(!said.contains("pgark-"), "{said}");
    }
}
