//! The program without a server: help, man pages, completions, wrong usage, secrets of `init`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn pgark(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgark"));
    command.env_clear().env("HOME", home).args(args);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const COMMANDS: [&str; 11] =
    ["init", "backup", "restore", "export", "import", "list", "show", "diff", "ls", "cat", "check", "completions", "man"];

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
        (vec!["list", "--repo", "s3://bucket/x"], "s3://"),
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
