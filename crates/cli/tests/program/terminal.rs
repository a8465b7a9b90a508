//! What is asked on a terminal, and what is said where there is none.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::{pgark, text};

/// Runs the program on a terminal of its own, on which this is typed.
fn on_terminal(home: &Path, args: &str, typed: &str) -> Output {
    let file = home.join("typed");
    std::fs::write(&file, typed).unwrap();
    let line = format!("'{}' {args}", env!("CARGO_BIN_EXE_pgark"));
    let mut command = Command::new("script");
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", home).current_dir(home);
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.stdin(std::fs::File::open(&file).unwrap()).output().unwrap()
}

#[test]
fn a_passphrase_is_asked_for() {
    let home = TempDir::new().unwrap();
    let repo = home.path().join("repo");
    let asks = |args: &str, typed: &str, code: i32, words: &str| {
        let output = on_terminal(home.path(), args, typed);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{args}: {said}");
        assert!(said.contains(words), "{args}: {said}");
    };
    let init = "init --repo repo --passphrase";
    asks(init, "five quiet otters\nfive quiet others\n", 2, "the two passphrases differ");
    asks(init, "short\nshort\n", 2, "too weak");
    asks(init, "\n", 2, "no passphrase was typed");
    assert!(!repo.exists(), "a place was made before the passphrase was good");
    asks(init, "five quiet otters\nfive quiet otters\n", 0, "fingerprint ");
    asks("check --read-data --repo repo --passphrase", "five quiet otters\n", 0, "no problem at level data");
    asks("check --repo repo --passphrase", "five quiet others\n", 1, "does not open this repository");
    // Once, although it opens and seals.
    asks("key rotate --repo repo --passphrase", "five quiet otters\n", 0, "epoch 2");
    let add = "key add --add-passphrase --repo repo --passphrase";
    asks(add, "five quiet otters\nnine loud herons\nnine loud herons\n", 0, "was added");
    asks("check --read-data --repo repo --passphrase", "nine loud herons\n", 0, "no problem");
    // The file may say that it is asked for.
    let config = home.path().join("pgark.toml");
    std::fs::write(&config, "[repositories.main]\nurl = \"repo\"\npassphrase = true\n").unwrap();
    asks("check --read-data --config pgark.toml", "nine loud herons\n", 0, "Passphrase of repo:");
    // Nobody can be asked.
    let repo = repo.display().to_string();
    for args in [&["check", "--repo", &repo, "--passphrase"][..], &["init", "--repo", "x", "--passphrase"]] {
        let refused = pgark(home.path(), args);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("there is none") && said.contains("--passphrase-file FILE"), "{said}");
    }
}

#[test]
fn five_questions_make_a_file_that_works() {
    let home = TempDir::new().unwrap();
    let refused = pgark(home.path(), &["config", "init"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("there is none") && said.contains("`pgark config default`"), "{said}");
    // A wrong answer is asked again.
    let typed =
        "ftp://x/y\n~/repo\nhots=db1\nhost=127.0.0.1 port=1 user=me\nshop \"We ird\"\nnone\nmany\n7 0 12\n";
    let output = on_terminal(home.path(), "config init", typed);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let file = home.path().join(".config/pgark/pgark.toml");
    for words in ["1/5", "s3://", "hots", "5/5", "write three numbers", &format!("wrote {}", file.display())]
    {
        assert!(said.contains(words), "no {words:?} in: {said}");
    }
    let written = std::fs::read_to_string(&file).unwrap();
    let checked = pgark(home.path(), &["config", "check"]);
    assert!(checked.status.success(), "{}{written}", text(&checked.stderr));
    // It serves the commands that its head names.
    assert!(pgark(home.path(), &["init", "--no-encryption"]).status.success(), "{written}");
    assert!(home.path().join("repo/pgark.json").exists());
    assert!(pgark(home.path(), &["list"]).status.success());
    assert!(pgark(home.path(), &["forget", "--dry-run"]).status.success());
    let refused = text(&pgark(home.path(), &["backup"]).stderr);
    assert!(refused.contains("127.0.0.1 port 1") && refused.contains("user \"me\""), "{refused}");
    let shown = text(&pgark(home.path(), &["config", "show", "--json"]).stdout);
    for words in [
        "\"shop, \\\"We ird\\\"\"",
        "\"keep_daily\",\"value\":\"7\"",
        "\"forget_after_backup\",\"value\":\"true\"",
    ] {
        assert!(shown.contains(words), "no {words} in: {shown}");
    }
    // It is never written over.
    let again = on_terminal(home.path(), "config init", typed);
    let said = text(&again.stdout);
    assert_eq!(again.status.code(), Some(1), "{said}");
    assert!(said.contains("already exists") && said.contains("--output FILE"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
    // Enter takes the defaults; another place.
    let output = on_terminal(home.path(), "config init --output other.toml", "/backup/pg\n\n\n\n\n");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let other = std::fs::read_to_string(home.path().join("other.toml")).unwrap();
    for words in [
        "url = \"/backup/pg\"",
        "all = true",
        "keep_weekly = 5",
        "passphrase = true",
        "pgark init --passphrase",
    ] {
        assert!(other.contains(words), "no {words:?} in: {other}");
    }
    let checked = pgark(
        home.path(),
        &["config", "check", "--config", home.path().join("other.toml").to_str().unwrap()],
    );
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

#[test]
fn the_version_names_the_format() {
    let home = TempDir::new().unwrap();
    let said = text(&pgark(home.path(), &["-V"]).stdout);
    let rest = said
        .strip_prefix(concat!("pgark ", env!("CARGO_PKG_VERSION"), " ("))
        .unwrap_or_else(|| panic!("{said}"));
    let rest = rest.strip_suffix("repository format 0, edition 3)\n").unwrap_or_else(|| panic!("{said}"));
    // From a tarball there is no commit.
    let commit = rest.trim_end_matches(", ");
    assert!(
        rest.is_empty() || (commit.len() >= 8 && commit.bytes().all(|sign| sign.is_ascii_hexdigit())),
        "{said}"
    );
    assert_eq!(text(&pgark(home.path(), &["--version"]).stdout), said);
    assert!(text(&pgark(home.path(), &["backup", "--version"]).stdout).ends_with("edition 3)\n"));
}
