//! Every key of the file reaches the command that it is for.

use std::ffi::OsString;
use std::path::Path;

use super::file::Config;
use super::keys::{Key, Keys, Kind};
use super::layers::{Layers, Wrong};
use super::typed::{Arguments, Typed};
use super::value::Value;
use crate::args::{Action, Backup, RowMap};

fn config(text: &str) -> Config {
    Config::parse(Path::new("p"), text).unwrap_or_else(|problems| {
        panic!("{text}: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

fn typed(words: &[&str]) -> Typed {
    let words: Vec<OsString> = ["pgark"].iter().chain(words).map(OsString::from).collect();
    Typed::read(words).unwrap_or_else(|error| panic!("{error}"))
}

fn merged(text: &str, words: &[&str]) -> Result<Arguments, String> {
    let (config, typed) = (config(text), typed(words));
    Layers::of(&config, &typed).expect("it reads the file").arguments().map_err(|wrong| match wrong {
        Wrong::Typed(error) => error.to_string(),
        Wrong::File(failure) => failure.words(),
    })
}

fn values(arguments: &Arguments, id: &str) -> Vec<String> {
    let raw = arguments.matches().get_raw(id).into_iter().flatten();
    raw.map(|value| value.to_string_lossy().into_owned()).collect()
}

const FINGERPRINT: &str = "1f09-77a0-52cc-9e4b-d301-6a8e-4417-b25c";

/// A value that the option takes, and that is not its default; as TOML, and as it arrives.
fn sample(key: &Key) -> (String, String) {
    let quoted = |text: &str| format!("\"{text}\"");
    let first_of = |texts: &[&str]| {
        let fits = |text: &&&str| key.check(&Value::Text((**text).to_string())).is_ok();
        texts.iter().find(fits).unwrap_or_else(|| panic!("no sample for {}", key.name)).to_string()
    };
    match &key.kind {
        Kind::Flag => ("true".into(), "true".into()),
        Kind::Number(Some((_, to))) => (to.to_string(), to.to_string()),
        Kind::Number(None) | Kind::NumberOrFlag => {
            let number = [7, 15].into_iter().find(|number| key.check(&Value::Number(*number)).is_ok());
            let number = number.unwrap_or_else(|| panic!("no number for {}", key.name)).to_string();
            (number.clone(), number)
        }
        Kind::Time | Kind::TimeOrFlag => (quoted("77s"), "77s".into()),
        Kind::Rate => (quoted("77k"), "77k".into()),
        Kind::OneOf(words) => {
            let other = words.iter().find(|word| **word != key.default).unwrap();
            (quoted(other), other.clone())
        }
        Kind::Text => {
            let text = first_of(&[
                "x y",
                "77h",
                "gzip:3",
                "backup",
                FINGERPRINT,
                "16/B374D848",
                "current",
                "740",
                "77G",
            ]);
            (quoted(&text), text)
        }
        Kind::List => {
            let text = first_of(&["x y", "a=b", "tag", "pre-data", "x,y", "check"]);
            (format!("[{}]", quoted(&text)), text)
        }
    }
}

/// Options of restores into a directory.
const OF_DIRECTORIES: [&str; 22] = [
    "tablespace",
    "all_tablespaces",
    "waldir",
    "no_sparse",
    "with_config",
    "keep_archiving",
    "delta",
    "force",
    "start",
    "target_time",
    "target_lsn",
    "target_xid",
    "target_name",
    "target_latest",
    "target_immediate",
    "exclusive",
    "target_timeline",
    "target_action",
    "standby",
    "primary_conninfo",
    "primary_slot_name",
    "restore_command",
];

/// What has to be typed, so that a command with this option in the file is whole.
fn line(path: &str, key: &str) -> Vec<&'static str> {
    let mut words: Vec<&str> = match path {
        "init"
            if ["recipient", "passphrase_file", "passphrase", "new_passphrase_file", "no_encryption"]
                .contains(&key) =>
        {
            vec!["--repo", "r"]
        }
        "init" if key == "repository" => vec!["--no-encryption"],
        "init" => vec!["--repo", "r", "--no-encryption"],
        "restore" if OF_DIRECTORIES.contains(&key) => vec!["latest", "--to-dir", "d"],
        "restore" | "show" | "ls" | "cat" | "tag" | "key remove" | "key revoke" => vec!["latest"],
        "export" if key == "output" => vec!["latest"],
        "export" => vec!["latest", "--output", "o"],
        "import" => vec!["dump"],
        "wal push" => vec!["pg_wal/x"],
        "wal fetch" => vec!["x", "pg_wal/x"],
        "wal adopt" => vec!["7"],
        "restore-point" => vec!["p"],
        "diff" => vec!["a", "b"],
        "copy" => vec!["a", "b"],
        "storage test" => vec!["/s"],
        "mask check" | "mask lock" | "mask test" => vec!["rules.toml"],
        "mask preview" if key == "table" => vec!["rules.toml"],
        "mask preview" => vec!["rules.toml", "--table", "t"],
        "mask value" => vec!["rules.toml", "c", "v"],
        "mask show" => vec!["email"],
        "trust" if key != "repository" => vec!["--repo", "r"],
        "key writer" if key == "output" => vec!["w"],
        "key writer" => vec!["w", "--output", "o"],
        "key add" if ["recipient", "add_passphrase_file", "add_passphrase"].contains(&key) => vec![],
        "key add" => vec!["--recipient", "r"],
        _ => vec![],
    };
    words.extend(match (path, key) {
        ("restore", "accept_loss" | "if_exists") => ["--clean"].as_slice(),
        ("restore", "primary_conninfo" | "primary_slot_name") => &["--standby"],
        ("restore", "force") => &["--delta"],
        ("sessions", "force") => &["--end", "4f0c9a11"],
        ("check", key) if key != "max_age" => &["--max-age", "1d"],
        ("forget", "wal_window") => &["4f0c9a11", "--prune"],
        ("forget", "even_last") => &["4f0c9a11"],
        ("wal receive", "on_stall") => &["--max-lag", "5min"],
        ("backup", "pgdata" | "source") => &["--physical"],
        ("backup", "also_storage_option") => &["--also", "second"],
        ("backup", key) if is_of_policy(key) => &["--forget-after-backup"],
        _ => &[],
    });
    words
}

fn is_of_policy(key: &str) -> bool {
    key == "group_by" || (key.starts_with("keep_") && key != "keep_going")
}

/// The option arrives, and does not without the file.
fn arrives(section: &str, path: &str, key: &Key, more: &[&str]) {
    let (toml, text) = sample(key);
    let file = format!("[{section}]\n{} = {toml}\n", key.name);
    let words: Vec<&str> = path.split(' ').chain(line(path, &key.name)).chain(more.iter().copied()).collect();
    let (id, _) = key.option.as_ref().unwrap();
    let with = merged(&file, &words).unwrap_or_else(|error| panic!("{file}{words:?}: {error}"));
    let count = |arguments: &Arguments| vec![arguments.args.common.verbose.to_string()];
    let read = |arguments: &Arguments| match key.name.as_str() {
        "verbose" => count(arguments),
        _ => values(arguments, id),
    };
    let before = match merged("", &words) {
        Ok(without) => read(&without),
        // The file says what is required.
        Err(error) if error.contains("required") => Vec::new(),
        Err(error) => panic!("{words:?}: {error}"),
    };
    let found = read(&with);
    assert_eq!(found, [text], "{file}");
    assert_ne!(found, before, "{file}: it is the default");
}

#[test]
fn every_key_of_every_command_arrives() {
    let keys = Keys::all();
    let mut count = 0;
    for path in keys.commands() {
        for key in keys.of_command(&path) {
            arrives(&path.replace(' ', "."), &path, &key, &[]);
            count += 1;
        }
        for key in keys.of_command_of_cluster(&path) {
            arrives(&format!("clusters.c.{}", path.replace(' ', ".")), &path, &key, &["--cluster", "c"]);
        }
    }
    for key in keys.of_cluster() {
        arrives("clusters.c", "backup", &key, &["--cluster", "c"]);
    }
    assert!(count > 300, "{count}");
}

fn backup(text: &str, words: &[&str]) -> Backup {
    match merged(text, &[&["backup", "--cluster", "c"], words].concat()).unwrap().args.action {
        Action::Backup(backup) => *backup,
        _ => panic!("no backup"),
    }
}

#[test]
fn the_narrower_section_counts_and_what_is_typed_most() {
    let text = "[backup]\njobs = 2\nfull = true\nrole = \"r\"\n[clusters.c]\njobs = 3\nfull = false\nrole = \"\"\n\
                [clusters.c.backup]\njobs = 4\n";
    assert_eq!(backup(text, &["--jobs", "9"]).jobs, Some(9));
    let found = backup(text, &[]);
    // What says nothing takes back what counts less.
    assert_eq!((found.jobs, found.full, found.role), (Some(4), false, None));
    let found = merged(text, &["backup"]).unwrap().args.action;
    let Action::Backup(found) = found else { panic!() };
    assert_eq!((found.jobs, found.full, found.role.as_deref()), (Some(2), true, Some("r")));
    // A cluster that the command's section names.
    let found = merged(&format!("{text}[prune]\n\"dry_run\" = true\n"), &["prune"]).unwrap().args.action;
    assert!(matches!(found, Action::Prune(args) if args.dry_run));
    let named = "[backup]\ncluster = \"c\"\n[clusters.c]\njobs = 3\n";
    let Action::Backup(found) = merged(named, &["backup"]).unwrap().args.action else { panic!() };
    assert_eq!((found.jobs, found.cluster.as_deref()), (Some(3), Some("c")));
}

#[test]
fn what_is_typed_replaces_what_contradicts_it() {
    let text = "[clusters.c]\nall = true\nexclude_database = [\"x\"]\nschema_only = true\nkeep_last = 3\nkeep_daily = 7\n\
                forget_after_backup = true\nidentity = \"/i\"\n";
    let found = backup(text, &["--database", "d", "--data-only", "--keep-weekly", "1", "--writer-key", "/w"]);
    assert_eq!(
        (found.all, found.exclude_database.len(), found.database.as_slice()),
        (false, 0, &["d".to_string()][..])
    );
    assert_eq!((found.filters.schema_only, found.filters.data_only), (false, true));
    assert_eq!((found.keep.keep_last, found.keep.keep_daily, found.keep.keep_weekly), (0, 0, 1));
    assert_eq!((found.repository.identity, found.repository.writer_key), (None, Some("/w".into())));
    let found = backup(text, &[]);
    assert_eq!((found.all, found.exclude_database.len(), found.keep.keep_daily), (true, 1, 7));
    // A policy is for what forgets.
    let found = backup(&text.replace("forget_after_backup = true", ""), &[]);
    assert_eq!((found.keep.keep_last, found.keep.keep_daily), (0, 0));
    let Action::Forget(found) = merged(text, &["forget", "--cluster", "c"]).unwrap().args.action else {
        panic!()
    };
    assert_eq!((found.keep.keep_last, found.keep.keep_daily, found.repository.identity), (3, 7, None));
    let named = merged(text, &["forget", "4f0c", "--cluster", "c"]).unwrap().args.action;
    assert!(matches!(named, Action::Forget(args) if args.keep.keep_last == 0 && args.backups == ["4f0c"]));
}

#[test]
fn a_cluster_is_not_the_target_of_a_restore() {
    let text = "[clusters.c]\nrepository = \"r\"\ndbname = \"production\"\ntable = [\"t\"]\nall = true\n";
    let found = merged(text, &["restore", "latest", "--cluster", "c"]).unwrap().args.action;
    let Action::Restore(found) = found else { panic!() };
    assert_eq!(
        (found.source.repository.repo.as_deref(), found.dbname, found.choice.all),
        (Some("r"), None, false)
    );
    assert!(found.choice.filters.table.is_empty());
}

#[test]
fn databases_have_filters_of_their_own() {
    let text = "[clusters.c]\ntable = [\"t\"]\nschema_only = true\nrow_map = \"off\"\n[clusters.c.databases.\"d 1\"]\ndata_only = true\n\
                row_map = \"on\"\n[clusters.c.databases.e]\ntable = []\nschema = [\"s\"]\n";
    let found = backup(text, &[]);
    let (d, e) = (&found.filters_of["d 1"], &found.filters_of["e"]);
    assert_eq!(
        (d.table.as_slice(), d.schema_only, d.data_only, d.row_map),
        (&["t".to_string()][..], false, true, RowMap::On)
    );
    assert_eq!((e.table.len(), e.schema_only, e.schema.len(), e.row_map), (0, true, 1, RowMap::Off));
    let found = backup(text, &["--table", "u", "--row-map", "auto"]);
    for own in found.filters_of.values() {
        assert_eq!((own.table.as_slice(), own.row_map), (&["u".to_string()][..], RowMap::Auto));
    }
}

#[test]
fn what_clap_refuses_has_its_line() {
    for (text, words, said) in [
        ("[restore]\n\n", &["restore", "latest"][..], ""),
        ("[restore]\ncreate = true\nclean = true\n", &["restore", "latest"], "p:3: clean: the argument '--c"),
        (
            "[restore]\n\naccept_loss = true\n",
            &["restore", "latest"],
            "p:3: accept_loss: the following required",
        ),
        (
            "[clusters.c]\nalso_storage_option = [\"a=b\"]\n",
            &["backup", "--cluster", "c"],
            "p:2: also_storage_option: ",
        ),
    ] {
        match merged(text, words) {
            Ok(_) => assert_eq!(said, "", "{text}"),
            Err(error) => assert!(!said.is_empty() && error.contains(said), "{error}"),
        }
    }
}

#[test]
fn keys_that_no_command_has_are_errors() {
    for (text, said) in [
        ("[restore]\njbos = 1\n", "p:2: there is no key \"jbos\" here; did you mean jobs?"),
        ("[restroe]\njobs = 1\n", "p:1: there is no section [restroe]; did you mean [restore]?"),
        ("[key]\njson = true\n", "p:2: there is no key \"json\" here"),
        ("[key.rotat]\n", "p:1: there is no section [key.rotat]; did you mean [key.rotate]?"),
        ("[key.rotate]\nrights = \"backup\"\n", "p:2: there is no key \"rights\" here"),
        ("[clusters.c.prune]\ngrace = \"1d\"\n", "p:1: there is no section [clusters.c.prune]"),
        ("[clusters.c.restore]\ncluster = \"d\"\n", "p:2: there is no key \"cluster\" here"),
        ("[config]\n", "p:1: there is no section [config]"),
        ("restore = 1\n", "p:1: restore is a section: [restore]"),
        ("[list]\nrepo = \"a\"\nrepository = \"b\"\n", "p:3: repository is already set in line 2"),
        ("[export]\ncompress = \"fast\"\n", "p:2: compress: "),
        ("[check]\nread_data = 0\n", "p:2: read_data: 0 is not in 1..=100"),
        ("verbose = 9\n", "p:1: verbose is a number from 0 to 8, not this integer"),
        ("[repositories.x]\nurl = \"/x\"\nconnections = 99\n", "p:3: connections is a number from 1 to 64"),
        (
            "[repositories.x]\nurl = \"/x\"\nidentity = \"a\"\nwriter_key = \"b\"\n",
            "p:4: repository \"x\" has both",
        ),
    ] {
        let problems = Config::parse(Path::new("p"), text).expect_err(text);
        assert!(problems[0].to_string().starts_with(said), "{}", problems[0]);
    }
}
