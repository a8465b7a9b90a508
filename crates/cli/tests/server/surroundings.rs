//! What this host keeps and gives away: what it remembers of repositories, its caches, passphrases
//! as they are typed, modes of folders, the environment of programs that are started.

use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

use pgark_testkit::Cluster;
use pgark_testkit::storage::GcsStandIn;

use super::support::{Desk, Home, files, stock, text};

fn source() -> Cluster {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 20000) g");
    cluster
}

fn recipient(desk: &Desk) -> String {
    stock(
        std::process::Command::new("age-keygen")
            .args(["-y", &desk.path("identity.txt").display().to_string()]),
    )
    .trim()
    .to_string()
}

#[test]
fn a_repository_may_be_made_again_at_its_place() {
    let cluster = source();
    let desk = Desk::with_identity();
    desk.backup(&cluster, "d");
    std::fs::remove_dir_all(desk.repo()).unwrap();
    desk.ok(&["init", "--recipient", &recipient(&desk)]);
    desk.backup(&cluster, "d");
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
    // Made by somebody else, it is another one still.
    std::fs::remove_dir_all(desk.repo()).unwrap();
    let other = Desk::with_identity();
    other.backup(&cluster, "d");
    assert!(
        std::process::Command::new("cp")
            .arg("-a")
            .arg(other.repo())
            .arg(desk.repo())
            .status()
            .unwrap()
            .success()
    );
    assert!(desk.fails(1, &["list"]).contains("fingerprint"));
}

#[test]
fn one_bucket_name_at_two_endpoints_is_two_places() {
    let cluster = source();
    let (one, other) = (GcsStandIn::start(), GcsStandIn::start());
    let (one, other) = (Home::gcs(&one, "backups"), Home::gcs(&other, "backups"));
    assert_eq!(one.url, other.url);
    let mut desk = Desk::with_identity_at(Some(one.clone()));
    desk.backup(&cluster, "d");
    desk.reach_through(other);
    desk.ok(&["init", "--recipient", &recipient(&desk)]);
    desk.backup(&cluster, "d");
    desk.reach_through(one);
    desk.backup(&cluster, "d");
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 2);
}

fn index_file(desk: &Desk) -> PathBuf {
    let is_index = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("index-");
    files(&desk.path("cache")).into_iter().find(is_index).unwrap()
}

/// Any page of the local index that is damaged ends nothing, and is whole again behind the command.
#[test]
fn a_damaged_index_on_this_host_is_made_again() {
    let cluster = source();
    let desk = Desk::with_identity();
    let id = desk.backup(&cluster, "d");
    let target = cluster.conninfo("again");
    let dbname = cluster.conninfo("d");
    for args in [
        vec!["backup", "--dbname", &dbname],
        vec!["restore", &id, "--create", "--dbname", &target],
        vec!["cat", "latest:/db/d/data/public.t"],
        vec!["stats"],
        vec!["prune", "--grace", "0"],
    ] {
        // The index as it is.
        desk.ok(&["show", &id]);
        let file = std::fs::File::options().read(true).write(true).open(index_file(&desk)).unwrap();
        for page in 0..file.metadata().unwrap().len() / 4096 {
            file.write_all_at(&[0xff; 100], page * 4096 + 200).unwrap();
        }
        let output = desk.run(&args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("is rebuilt"), "{args:?}: {}", text(&output.stderr));
        assert_eq!(desk.run(&["stats", "--quiet"]).stderr, b"", "{args:?}");
    }
    assert_eq!(cluster.psql_text("again", "SELECT count(*) FROM t"), "20000");
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
}

#[test]
fn a_passphrase_opens_however_it_is_written() {
    let desk = Desk::empty(None);
    let file = desk.path("passphrase");
    let path = file.display().to_string();
    // Composed and decomposed: one passphrase for whoever types it.
    let (composed, decomposed) =
        ("fünf gute wörter für heute 42", "fu\u{308}nf gute wo\u{308}rter fu\u{308}r heute 42");
    std::fs::write(&file, format!("\u{feff}{decomposed}\r\n")).unwrap();
    desk.ok(&["init", "--passphrase-file", &path]);
    for written in [composed.to_string(), format!("{decomposed}\r"), format!("\u{feff}{composed}\r\nmore\n")]
    {
        std::fs::write(&file, &written).unwrap();
        desk.ok(&["list", "--passphrase-file", &path]);
        let output = desk.command(&["list"]).env("PGARK_PASSPHRASE", &written).output().unwrap();
        assert!(output.status.success(), "{written:?}: {}", text(&output.stderr));
    }
    let output =
        desk.command(&["list"]).env("PGARK_PASSPHRASE", "fünf andere wörter für heute 42").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn folders_of_this_host_are_its_users_alone() {
    let cluster = source();
    let mut desk = Desk::empty(None);
    desk.run_through(["sh", "-c", "umask 000; exec \"$@\"", "x"].map(str::to_string).to_vec());
    stock(
        std::process::Command::new("age-keygen")
            .args(["-o", &desk.path("identity.txt").display().to_string()]),
    );
    desk.ok(&["init", "--recipient", &recipient(&desk)]);
    desk.backup(&cluster, "d");
    let mut seen = 0;
    for folder in ["config", "cache", "state"] {
        for path in files(&desk.path(folder)) {
            seen += 1;
            assert_eq!(path.metadata().unwrap().mode() & 0o077, 0, "{}", path.display());
            let above = path.ancestors().skip(1).take_while(|above| *above != desk.path(""));
            for above in above.filter(|above| above.starts_with(desk.path(folder))) {
                assert_eq!(above.metadata().unwrap().mode() & 0o777, 0o700, "{}", above.display());
            }
        }
    }
    assert!(seen >= 4, "{seen}");
}

#[test]
fn programs_that_are_started_get_no_secrets() {
    let cluster = source();
    let desk = Desk::plain();
    let (tool, seen) = (desk.path("pg_dump"), desk.path("seen"));
    std::fs::write(
        &tool,
        format!("#!/bin/sh\nenv >>{}\nexec {} \"$@\"\n", seen.display(), cluster.bin("pg_dump").display()),
    )
    .unwrap();
    std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
    // Roles are read by the one beside it.
    std::os::unix::fs::symlink(cluster.bin("pg_dumpall"), desk.path("pg_dumpall")).unwrap();
    let run = |args: &[&str]| {
        let output = desk
            .command(args)
            .env("PGARK_PASSPHRASE_OF_ANOTHER", "secret-of-pgark")
            .env("AWS_SECRET_ACCESS_KEY", "secret-of-amazon")
            .env("AZURE_STORAGE_KEY", "secret-of-azure")
            .env("SSH_AUTH_SOCK", "/nowhere")
            .env("LC_MONETARY", "C")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_string()
    };
    let id = run(&["backup", "--dbname", &cluster.conninfo("d"), "--pg-dump", &tool.display().to_string()]);
    let of_tool = std::fs::read_to_string(&seen).unwrap();
    assert!(of_tool.contains("LC_MONETARY=C") && of_tool.contains("PGPORT="), "{of_tool}");
    assert!(!of_tool.contains("secret-of") && !of_tool.contains("SSH_AUTH_SOCK"), "{of_tool}");
    let hook = format!("after-data=command:env >{}", desk.path("hook").display());
    run(&["restore", &id, "--create", "--dbname", &cluster.conninfo("again"), "--hook", &hook]);
    let of_hook = std::fs::read_to_string(desk.path("hook")).unwrap();
    assert!(
        of_hook.contains(&format!("PGARK_BACKUP={id}")) && of_hook.contains("SSH_AUTH_SOCK"),
        "{of_hook}"
    );
    assert!(!of_hook.contains("secret-of"), "{of_hook}");
}
