//! Repositories on S3, Azure, SFTP, and on what stands in for GCS: the same promises as in a
//! directory.

use std::time::Duration;

use pgark_testkit::oracle::{Snapshot, assert_same};
use pgark_testkit::storage::{Azurite, GcsStandIn, Login, Moto, Network, Proxy, Rclone, S3rver, Sshd};
use pgark_testkit::{Cluster, shop, zoo};

use super::support::{Desk, Home, text};

const READ_WRITE: &str = r#""s3:PutObject","s3:GetObject","s3:ListBucket""#;

fn policy(actions: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":[{actions}],"Resource":"*"}}]}}"#
    )
}

fn moto_home(moto: &Moto, bucket: &str) -> Home {
    Home::s3(&format!("s3://{bucket}/main"), &moto.endpoint(), "a", "b")
}

/// The desk's own secret is an option of all commands but this.
fn desk_without_secret(desk: &Desk, args: &[&str]) -> std::process::Command {
    let mut command = desk.command(&["init"]);
    let fresh: Vec<(std::ffi::OsString, std::ffi::OsString)> =
        command.get_envs().filter_map(|(name, value)| Some((name.into(), value?.into()))).collect();
    command = std::process::Command::new(command.get_program());
    command.env_clear().envs(fresh).args(args);
    command
}

/// What is said wherever a storage ignores the condition of a put.
const NO_CONDITIONS: &str = "ignores put-if-absent";

/// Everything that a repository is for, once, with these warnings and no others.
fn lives_through_a_life(home: Home, warnings: &[&'static str]) {
    let cluster = Cluster::start();
    cluster.create_database("d");
    zoo::load_portable(&cluster, "d");
    cluster.create_database("s");
    shop::load(&cluster, "s", 8, 7);
    let desk = Desk::with_identity_at(Some(home));
    desk.expects(warnings);
    let first = desk.backup(&cluster, "d");
    let shop = desk.backup(&cluster, "s");
    shop::change_one_percent(&cluster, "s");
    let again = desk.json(&["backup", "--dbname", &cluster.conninfo("s"), "--json"]);
    assert!(again["bytes_added"].as_u64() < again["bytes_raw"].as_u64().map(|raw| raw / 5), "{again}");
    desk.ok(&["check", "--read-data"]);
    for (id, db) in [(first.as_str(), "d"), (again["id"].as_str().unwrap(), "s")] {
        let back = format!("back_{db}");
        desk.ok(&["restore", id, "--dbname", &cluster.conninfo(&back), "--create"]);
        assert_same(&Snapshot::take(&cluster, db), &Snapshot::take(&cluster, &back));
    }
    let second = desk.path("second").display().to_string();
    desk.ok(&["init", "--repo", &second, "--no-encryption"]);
    let identity = desk.path("identity.txt").display().to_string();
    let mut opened_by_itself =
        desk_without_secret(&desk, &["copy", &desk.url(), &second, "--identity", &identity]);
    let output = opened_by_itself.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    desk.ok(&["forget", &shop, "--even-last"]);
    desk.ok(&["prune", "--grace", "0", "--erase"]);
    desk.ok(&["check", "--read-data"]);
    let list = desk.json(&["list", "--json"])["backups"].clone();
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
    let said = desk.fails(1, &["init", "--no-encryption"]);
    assert!(said.contains("already"), "{said}");
}

#[test]
fn on_s3_moto() {
    let moto = Moto::start();
    moto.make_bucket("backups");
    lives_through_a_life(moto_home(&moto, "backups"), &[]);
}

#[test]
fn on_s3_s3rver_where_conditions_are_ignored() {
    let server = S3rver::start();
    // Its deletes fail now and then, and prune says so.
    lives_through_a_life(
        Home::s3("s3://test/main", &server.endpoint(), "S3RVER", "S3RVER"),
        &[NO_CONDITIONS, "the storage answered 500"],
    );
}

#[test]
fn on_azure_azurite() {
    let server = Azurite::start();
    lives_through_a_life(Home::azure(&server, "backups"), &[]);
}

#[test]
fn on_gcs_of_a_stand_in_that_is_not_gcs() {
    let server = GcsStandIn::start();
    lives_through_a_life(Home::gcs(&server, "backups"), &[]);
}

#[test]
fn on_sftp_sshd() {
    let server = Sshd::start(Login::Key);
    lives_through_a_life(Home::sftp(&server, server.port()), &[]);
}

/// Where put-if-absent is ignored a second writer is refused, and told why and until when.
#[test]
fn one_writer_at_a_time_where_conditions_are_ignored() {
    let server = S3rver::start();
    second_writer_is_refused(Home::s3("s3://test/main", &server.endpoint(), "S3RVER", "S3RVER"));
}

/// The same where names are taken that are taken.
#[test]
fn on_sftp_rclone_one_writer_at_a_time() {
    let server = Rclone::start();
    lives_through_a_life(Home::rclone(&server), &[NO_CONDITIONS]);
    let server = Rclone::start();
    second_writer_is_refused(Home::rclone(&server));
}

fn second_writer_is_refused(home: Home) {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 1000) g");
    let desk = Desk::with_identity_at(Some(home));
    desk.expects(&[NO_CONDITIONS]);
    desk.backup(&cluster, "d");
    // One that waits for a lock is at work.
    let mut blocker = super::support::Session::open(&cluster, "d");
    blocker.send("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    super::support::wait_until(
        &cluster,
        "d",
        "SELECT count(*) = 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 't'::regclass",
    );
    let info = cluster.conninfo("d");
    let first = desk.spawn(&["backup", "--dbname", &info, "--lock-wait-timeout", "60s"]);
    super::support::wait_until(&cluster, "d", "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted");
    // The storage's own rule, which --allow-concurrent does not lift.
    let backup = ["backup", "--dbname", &info, "--allow-concurrent"];
    let said = match desk.url().starts_with("s3:") {
        true => desk.example("A second writer on a storage that ignores put-if-absent", 1, &backup),
        false => desk.fails(1, &backup),
    };
    assert!(said.contains("one writer at a time") && said.contains("considered dead"), "{said}");
    // One that waits has its turn afterwards.
    let waiting = desk.spawn(&["backup", "--dbname", &info, "--wait"]);
    std::thread::sleep(Duration::from_millis(500));
    blocker.send("COMMIT");
    blocker.end();
    for backup in [first, waiting] {
        let output = backup.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    desk.backup(&cluster, "d");
}

/// A key without the right to delete backs up for ever; prune says what it could not remove.
#[test]
fn a_key_that_may_not_delete_backs_up_for_ever() {
    let moto = Moto::start();
    moto.make_bucket("backups");
    let (id, secret) = moto.make_user("writer", &policy(READ_WRITE));
    let (owner, owner_secret) = moto.make_user("owner", &policy(r#""s3:*""#));
    moto.check_policies_after(0);
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 50000) g");
    let mut desk =
        Desk::with_identity_at(Some(Home::s3("s3://backups/main", &moto.endpoint(), &id, &secret)));
    let mut ids = Vec::new();
    for round in 0..4 {
        cluster.sql("d", &format!("UPDATE t SET md5 = md5((g + {round})::text)"));
        ids.push(desk.backup(&cluster, "d"));
    }
    desk.ok(&["tag", &ids[1], "--add", "one"]);
    desk.ok(&["tag", &ids[1], "--add", "two"]);
    assert!(desk.ok(&["tag", &ids[1]]).contains("one two"));
    desk.ok(&["check", "--read-data"]);
    let said = desk.example("Deleting is denied", 1, &["forget", &ids[0]]);
    assert!(said.contains("policy") && said.contains("manifests"), "{said}");
    let output = desk.run(&["prune", "--grace", "0", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!report["refused"].as_array().unwrap().is_empty(), "{report}");
    desk.backup(&cluster, "d");
    // Whoever may delete cleans up behind it.
    desk.reach_through(Home::s3("s3://backups/main", &moto.endpoint(), &owner, &owner_secret));
    desk.ok(&["forget", "--keep-last", "1"]);
    let report = desk.json(&["prune", "--grace", "0", "--json"]);
    assert!(report["packs_deleted"].as_u64().unwrap() > 0, "{report}");
    desk.ok(&["check", "--read-data"]);
}

/// A thief with every right deletes, and writes over, what a versioned bucket holds.
#[test]
fn as_of_brings_back_what_a_thief_deleted_or_overwrote() {
    let moto = Moto::start();
    moto.make_versioned_bucket("backups");
    let cluster = Cluster::start();
    cluster.create_database("s");
    shop::load(&cluster, "s", 4, 7);
    let desk = Desk::with_identity_at(Some(moto_home(&moto, "backups")));
    let id = desk.backup(&cluster, "s");
    std::thread::sleep(Duration::from_millis(1500));
    let before = jiff::Timestamp::now().to_string();
    std::thread::sleep(Duration::from_millis(1500));
    let (_, listed) = moto.ask("GET", "/backups?list-type=2&prefix=main/", "");
    let keys: Vec<&str> = listed.split("<Key>").skip(1).filter_map(|part| part.split('<').next()).collect();
    assert!(keys.len() > 8, "{listed}");
    for (number, key) in keys.iter().enumerate() {
        moto.ask("DELETE", &format!("/backups/{key}"), "");
        if number % 2 == 0 {
            moto.ask("PUT", &format!("/backups/{key}"), "a thief was here");
        }
    }
    assert!(!desk.run(&["list"]).status.success());
    assert!(desk.ok(&["list", "--wide", "--as-of", &before]).contains(&id));
    assert!(desk.ok(&["check", "--read-data", "--as-of", &before]).starts_with("no problem"));
    desk.ok(&["restore", &id, "--as-of", &before, "--dbname", &cluster.conninfo("back"), "--create"]);
    assert_same(&Snapshot::take(&cluster, "s"), &Snapshot::take(&cluster, "back"));
    let early = desk.fails(1, &["list", "--as-of", "2020-01-01T00:00:00Z"]);
    assert!(early.contains("no repository"), "{early}");
}

/// With object lock each backup makes the locks of what it leans on last as long as its own.
#[test]
fn locks_last_as_long_as_the_last_backup_that_needs_them() {
    let moto = Moto::start();
    moto.make_locked_bucket("backups");
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 20000) g");
    let desk = Desk::empty(Some(moto_home(&moto, "backups")));
    let lock = |period: &str| {
        vec![
            "--storage-option".to_string(),
            "object_lock=compliance".into(),
            "--storage-option".into(),
            format!("lock_for={period}"),
        ]
    };
    let run = |args: &[&str], lock: &[String]| {
        let mut all: Vec<&str> = args.to_vec();
        all.extend(lock.iter().map(String::as_str));
        desk.ok(&all)
    };
    run(&["init", "--no-encryption"], &lock("1d"));
    let info = cluster.conninfo("d");
    run(&["backup", "--dbname", &info], &lock("1d"));
    let locked_until = || {
        let (_, listed) = moto.ask("GET", "/backups?list-type=2&prefix=main/", "");
        let keys = listed.split("<Key>").skip(1).filter_map(|part| part.split('<').next());
        let until = |key: &str| {
            moto.locked_until(&format!("/backups/{key}"))
                .map(|until| until.parse::<jiff::Timestamp>().unwrap())
        };
        keys.map(|key| (key.to_string(), until(key))).collect::<std::collections::BTreeMap<_, _>>()
    };
    let in_days = |days: i64| jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
    let first = locked_until();
    for (key, until) in &first {
        assert!(
            until.is_some_and(|until| until > in_days(1) - jiff::SignedDuration::from_mins(5)),
            "{key}: {until:?}"
        );
    }
    // Nothing new is stored, and all that the second backup leans on is locked for its own time.
    run(&["backup", "--dbname", &info], &lock("10d"));
    let second = locked_until();
    for (key, until) in &second {
        let needed = key.contains("/packs/") || key.contains("pgark.json") || key.contains("/index/");
        assert!(!needed || until.is_some_and(|until| until > in_days(9)), "{key}: {until:?}");
    }
    assert!(first.keys().any(|key| key.contains("/packs/")));
    // What was locked cannot go; the version stays under the delete marker.
    desk.ok(&["forget", "--keep-last", "1"]);
    desk.ok(&["prune", "--grace", "0"]);
    desk.ok(&["check", "--read-data"]);
}

/// What of a storage can be wrong is said before anything is read from the server.
#[test]
fn what_can_be_wrong_is_named() {
    let moto = Moto::start();
    moto.make_bucket("backups");
    let server = S3rver::start();
    let sshd = Sshd::start(Login::Key);
    let desk = Desk::empty(None);
    let run = |home: Home, title: &str, code: i32, args: &[&str]| {
        let mut at = Desk::empty(Some(home));
        at.secret_is(Vec::new());
        let said = at.fails(code, args);
        let shown =
            if at.url().starts_with("sftp") { "sftp://backup@host/srv/main" } else { "s3://backups/main" };
        super::support::example(title, code, &said.replace(&at.url(), shown));
        said
    };
    let s3 = |url: &str, endpoint: &str, id: &str| Home::s3(url, endpoint, id, "hunter2");
    let init = ["init", "--no-encryption"];
    let said = run(s3("s3://nowhere/main", &moto.endpoint(), "a"), "The bucket does not exist", 1, &init);
    assert!(
        said.contains("NoSuchBucket") && said.contains("the bucket or container does not exist"),
        "{said}"
    );
    let said = run(s3("s3://test/main", &server.endpoint(), "nobody"), "An unknown access key", 1, &init);
    assert!(
        said.contains("InvalidAccessKeyId") && said.contains("credentials") && !said.contains("hunter2"),
        "{said}"
    );
    let said =
        run(s3("s3://backups/main", &moto.endpoint(), "a"), "No repository in the bucket", 1, &["list"]);
    assert!(said.contains("there is no repository at s3://backups/main"), "{said}");
    let mut home = Home::sftp(&sshd, sshd.port());
    home.ssh = home.ssh.map(|(key, _)| (key, sshd.wrong_known_hosts(sshd.port())));
    let said = run(home.clone(), "The SSH host's key was changed", 1, &init);
    assert!(said.contains("another host answers") && said.contains("known_hosts"), "{said}");
    home.ssh = Some((sshd.strange_key(), sshd.known_hosts(sshd.port())));
    let said = run(home, "The SSH server refuses the key", 1, &init);
    assert!(said.contains("refused") && !sshd.data().join("main").exists(), "{said}");
    for (url, part) in [
        ("s3://key:hunter2@backups/main", "cannot contain credentials"),
        ("sftp://user:hunter2@host/x", "cannot contain a password"),
        ("gcs://backups/x", "did you mean gs://?"),
        ("s3:/backups/x", "two slashes"),
        ("s3://backups/a//b", "two slashes in a row"),
        ("https://s3.example.com/x", "endpoint"),
    ] {
        let said = desk.fails(2, &["list", "--repo", url]);
        assert!(said.contains(part) && !said.contains("hunter2"), "{url}: {said}");
    }
    let said = desk.fails(2, &["list", "--repo", "s3://backups/x", "--storage-option", "colour=red"]);
    assert!(said.contains("colour") && said.contains("region"), "{said}");
    let said = desk.fails(1, &["list", "--as-of", "1h"]);
    assert!(said.contains("only S3 buckets") || said.contains("does not exist"), "{said}");
}

#[test]
fn trailing_slashes_and_odd_prefixes_are_one_place() {
    let moto = Moto::start();
    moto.make_bucket("backups");
    let desk = Desk::empty(Some(Home::s3("s3://backups/my prefix/ü+&=/", &moto.endpoint(), "a", "b")));
    desk.ok(&["init", "--no-encryption"]);
    desk.ok(&["list", "--repo", "s3://backups/my prefix/ü+&="]);
    desk.ok(&["list", "--repo", "s3://backups//my prefix/ü+&=//"]);
    let root = Desk::empty(Some(Home::s3("s3://backups", &moto.endpoint(), "a", "b")));
    // The other one lies there.
    assert!(root.fails(1, &["init", "--no-encryption"]).contains("holds other files: my prefix/"));
    root.ok(&["init", "--no-encryption", "--force"]);
    root.ok(&["check"]);
}

#[test]
fn storage_test_says_what_a_storage_can() {
    let moto = Moto::start();
    moto.make_bucket("backups");
    let server = S3rver::start();
    let desk = Desk::empty(Some(moto_home(&moto, "backups")));
    let said = desk.ok(&["storage", "test", "s3://backups/main"]);
    for part in ["put-if-absent      yes", "throughput", "suitable for any number of writers", "latency"] {
        assert!(said.contains(part), "{said}");
    }
    let weak = Desk::empty(Some(Home::s3("s3://test/x", &server.endpoint(), "S3RVER", "S3RVER")));
    let output = weak.run(&["storage", "test", "s3://test/x", "--quick", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["put_if_absent"]["finding"], "bad", "{report}");
    let here = desk.path("folder").display().to_string();
    let said = desk.ok(&["storage", "test", &here, "--quick"]);
    assert!(said.contains("suitable for any number of writers"), "{said}");
}

#[test]
fn a_file_names_storages_and_their_options() {
    let moto = Moto::start();
    moto.make_bucket("backups");
    let desk = Desk::empty(Some(Home::s3("cloud", "http://127.0.0.1:1", "a", "b")));
    let file = desk.path("pgark.toml");
    let text = format!(
        "repository = \"cloud\"\n[repositories.cloud]\nurl = \"s3://backups/main\"\nendpoint = \"{}\"\nconnections = 3\nlimit_upload = \"50M\"\n",
        moto.endpoint()
    );
    std::fs::write(&file, text).unwrap();
    let config = file.display().to_string();
    desk.ok(&["init", "--no-encryption", "--config", &config]);
    desk.ok(&["list", "--config", &config]);
    desk.ok(&["storage", "test", "cloud", "--quick", "--config", &config]);
    let shown = desk.ok(&["config", "show", "--config", &config]);
    assert!(shown.contains("connections") && shown.contains("limit_upload"), "{shown}");
    let said = desk.fails(2, &["list", "--config", &config, "--storage-option", "ssh_key=/x"]);
    assert!(said.contains("ssh_key"), "{said}");
}

/// What OpenSSH's own configuration says of a host holds for us: names, keys, commands that lead
/// there.
#[test]
fn hosts_of_ssh_config() {
    let sshd = Sshd::start(Login::Key);
    let desk = Desk::empty(None);
    std::fs::create_dir(desk.path(".ssh")).unwrap();
    let config = desk.path(".ssh/config");
    let ways = format!(
        "Host vault hidden\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile {}\n  IdentityFile ~/.ssh/other\n  \
         UserKnownHostsFile {}\n\
         Host hidden\n  ProxyJump vault\n\
         Host severed\n  ProxyCommand echo no way through >&2; exit 1\n\
         Host unread\n  IdentityFile ~/.ssh/%C\n",
        sshd.port(),
        sshd.user(),
        sshd.key().display(),
        sshd.known_hosts(sshd.port()).display(),
    );
    std::fs::write(&config, &ways).unwrap();
    std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let at = |host: &str| format!("sftp://{host}{}/main", sshd.data().display());
    desk.ok(&["init", "--repo", &at("vault"), "--no-encryption"]);
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 20000) g");
    let info = cluster.conninfo("d");
    desk.ok(&["backup", "--repo", &at("hidden"), "--dbname", &info]);
    desk.ok(&["check", "--repo", &at("vault"), "--read-data"]);
    let listed = desk.json(&["list", "--repo", &at("hidden"), "--json"])["backups"].clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let said = desk.fails(1, &["list", "--repo", &at("severed")]);
    assert!(said.contains("no way through") && said.contains("proxy command"), "{said}");
    let said = desk.fails(2, &["list", "--repo", &at("unread")]);
    assert!(said.contains("%C is not supported"), "{said}");
    // The key of another host, under the name of this one.
    let wrong = ways.replace("Host hidden\n", "Host hidden\n  HostKeyAlias elsewhere\n");
    std::fs::write(&config, wrong).unwrap();
    let said = desk.fails(1, &["list", "--repo", &at("hidden")]);
    assert!(said.contains("is in no known_hosts file"), "{said}");
    std::fs::write(&config, "Host *\n  Port none\n").unwrap();
    let said = desk.fails(2, &["list", "--repo", &at("vault")]);
    assert!(said.contains("config:2: \"none\" is not a port"), "{said}");
}

/// The same backup in two repositories, of which the server hears once.
#[test]
fn two_homes_from_one_reading() {
    let sshd = Sshd::start(Login::Key);
    let proxy = Proxy::start(sshd.port(), Network::default());
    let cluster = Cluster::start();
    cluster.create_database("z");
    zoo::load_portable(&cluster, "z");
    cluster.create_database("s");
    shop::load(&cluster, "s", 8, 3);
    let desk = Desk::with_identity_at(Some(Home::sftp(&sshd, proxy.port())));
    let far = desk.url();
    let near = desk.repo().display().to_string();
    let identity = desk.path("identity.txt");
    let recipient = super::support::stock(std::process::Command::new("age-keygen").arg("-y").arg(&identity));
    desk.ok(&["init", "--repo", &near, "--recipient", recipient.trim()]);
    let info = cluster.conninfo("postgres");
    let backup = |also: &str| {
        let output = desk.run(&[
            "backup",
            "--repo",
            &near,
            "--also",
            also,
            "--dbname",
            &info,
            "--database",
            "s",
            "--database",
            "z",
            "--row-map",
            "on",
            "--json",
        ]);
        let record: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
        // The report says the same as the log.
        let (second, is_there) = (&record["second"], output.status.success());
        assert_eq!((&second["repository"], second["id"].is_string()), (&also.into(), is_there), "{second}");
        assert_eq!(second["error"].is_string(), !is_there, "{second}");
        (output.status.code(), record["id"].as_str().unwrap().to_string(), text(&output.stderr))
    };
    for round in 0..3 {
        let (code, id, said) = backup(&far);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("the same backup is in"), "{said}");
        for (number, repo) in [&near, &far].into_iter().enumerate() {
            let latest = desk.json(&["list", "--repo", repo, "--json"])["backups"].clone();
            let latest = latest.as_array().unwrap().last().unwrap().clone();
            assert_eq!(latest["status"], "complete");
            assert_eq!(number == 0, latest["id"] == id.as_str());
            if round == 2 {
                for db in ["s", "z"] {
                    let back = format!("back_{db}_{number}");
                    desk.ok(&[
                        "restore",
                        "latest",
                        "--repo",
                        repo,
                        "--database",
                        db,
                        "--dbname",
                        &cluster.conninfo(&back),
                        "--create",
                    ]);
                    assert_same(&Snapshot::take(&cluster, db), &Snapshot::take(&cluster, &back));
                }
            }
            desk.ok(&["check", "--read-data", "--repo", repo]);
        }
        shop::change_one_percent(&cluster, "s");
    }
    // Row maps work in each against what is there: little was added in both.
    for repo in [&near, &far] {
        let latest = desk.json(&["list", "--repo", repo, "--json"])["backups"].clone();
        let latest = latest.as_array().unwrap().last().unwrap().clone();
        assert!(
            latest["bytes_added"].as_u64().unwrap() * 5 < latest["bytes_raw"].as_u64().unwrap(),
            "{latest}"
        );
    }
    // A second home that cannot be reached, or goes away in the middle, takes nothing from the
    // first.
    let (code, id, said) = backup("sftp://nobody@127.0.0.1:1/x");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("not in sftp://nobody@127.0.0.1:1/x"), "{said}");
    desk.ok(&["show", &id, "--repo", &near]);
    proxy.cut_after(200_000);
    let child = desk.spawn(&[
        "backup",
        "--repo",
        &near,
        "--also",
        &far,
        "--also-storage-option",
        "retry_for=1s",
        "--dbname",
        &info,
        "--database",
        "s",
        "--full",
    ]);
    let output = child.wait_with_output().unwrap();
    assert!(proxy.is_cut(), "the backup moved fewer bytes than the connection was good for");
    proxy.heal();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("not in sftp://"), "{}", text(&output.stderr));
    desk.ok(&["check", "--read-data", "--repo", &near]);
    desk.ok(&["check", "--read-data", "--repo", &far]);
    assert_eq!(backup(&far).0, Some(0));
    assert!(desk.fails(1, &["backup", "--repo", &near, "--also", &near, "--dbname", &info]).contains("one"));
    assert!(
        desk.fails(2, &["backup", "--repo", &near, "--also", "s3:/x", "--dbname", &info])
            .contains("two slashes")
    );
}

#[test]
fn limits_slow_a_backup_down_and_nothing_else() {
    let sshd = Sshd::start(Login::Key);
    let cluster = Cluster::start();
    cluster.create_database("d");
    // About 3 MB that do not compress.
    cluster.sql("d", "CREATE TABLE t AS SELECT g, sha512(g::text::bytea) FROM generate_series(1, 40000) g");
    let desk = Desk::with_identity_at(Some(Home::sftp(&sshd, sshd.port())));
    // A limit is a time that is waited at least: a busy machine only makes it longer.
    let started = std::time::Instant::now();
    desk.ok(&["backup", "--dbname", &cluster.conninfo("d"), "--limit-upload", "1M"]);
    assert!(started.elapsed() > Duration::from_secs(2), "{:?}", started.elapsed());
    desk.ok(&["check", "--read-data", "--limit-download", "20MiB"]);
}
