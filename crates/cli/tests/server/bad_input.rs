//! Every wrong thing a user can hand in: a clear error, the right exit code, nothing lost and
//! nothing touched.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use pgark_testkit::Cluster;

use super::support::{Desk, example, text, wait_until};

fn cluster_with_rows(rows: u32) -> Cluster {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        &format!(
            "CREATE TABLE t AS SELECT g AS a, repeat(md5(g::text), 8) AS b FROM generate_series(1, {rows}) g"
        ),
    );
    cluster
}

#[test]
fn wrong_password_host_database_and_sslmode() {
    let cluster = Cluster::builder().auth("scram-sha-256").password("right").tcp().start();
    let desk = Desk::plain();
    let port = cluster.port();
    let base = format!("host=127.0.0.1 port={port} user=postgres");
    for (title, info, words) in [
        (
            "A wrong password",
            format!("{base} dbname=postgres password=wrong"),
            "password authentication failed",
        ),
        ("A database that does not exist", format!("{base} dbname=nowhere password=right"), "nowhere"),
        (
            "Nothing listens on the port",
            "host=127.0.0.1 port=1 user=postgres dbname=postgres".to_string(),
            "127.0.0.1",
        ),
        (
            "An unknown host",
            "host=no-such-host.invalid user=postgres dbname=postgres".to_string(),
            "no-such-host.invalid",
        ),
        ("A server without TLS", format!("{base} dbname=postgres password=right sslmode=require"), "SSL"),
    ] {
        let said = desk.example(title, 1, &["backup", "--dbname", &info]);
        assert!(said.contains(words), "{info}: {said}");
        assert!(!said.contains("password=right"), "a secret was printed: {said}");
    }
    let said = desk.example(
        "An invalid connection option",
        2,
        &["backup", "--dbname", &format!("{base} sslmode=sometimes")],
    );
    assert!(said.contains("sslmode"), "{said}");
    assert_eq!(desk.ok(&["list", "--json"]).trim(), r#"{"format":1,"backups":[]}"#);
}

#[test]
fn the_server_goes_away_in_the_middle() {
    let cluster = cluster_with_rows(400_000);
    let desk = Desk::plain();
    let before = desk.backup(&cluster, "d");
    cluster.sql("d", "UPDATE t SET b = repeat(md5((a + 1)::text), 8)");
    let child = desk.spawn(&["backup", "--dbname", &cluster.conninfo("d")]);
    wait_until(
        &cluster,
        "d",
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'",
    );
    cluster.crash();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("connection"), "{}", text(&output.stderr));
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 1);
    assert_eq!(desk.json(&["check", "--read-data", "--json"])["ok"], true);
    cluster.start_again();
    desk.ok(&["restore", &before, "--dbname", &cluster.conninfo("back"), "--create"]);
    assert_eq!(cluster.psql_text("back", "SELECT count(*) FROM t").trim(), "400000");
}

#[test]
fn interrupted_in_backup_and_restore() {
    let cluster = cluster_with_rows(400_000);
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    cluster.sql("d", "UPDATE t SET b = repeat(md5((a + 1)::text), 8)");
    let copying = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'";
    for (args, signal) in [
        (vec!["backup".to_string(), "--dbname".into(), cluster.conninfo("d")], "INT"),
        (
            vec![
                "restore".into(),
                id.clone(),
                "--dbname".into(),
                cluster.conninfo("back"),
                "--create".into(),
            ],
            "TERM",
        ),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let child = desk.spawn(&args);
        wait_until(&cluster, "postgres", copying);
        let kill =
            std::process::Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status();
        assert!(kill.unwrap().success());
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{said}");
        let left = match signal {
            "INT" => "interrupted: no backup was committed",
            _ => {
                "interrupted: database \"back\" is incomplete, and what was restored stays in it (run the same command again"
            }
        };
        assert!(said.contains(left), "{said}");
        let ours = "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        wait_until(&cluster, "postgres", ours);
    }
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 1);
    assert_eq!(desk.json(&["check", "--read-data", "--json"])["ok"], true);
    desk.backup(&cluster, "d");
}

#[test]
fn killed_outright_leaves_a_clean_repository() {
    let cluster = cluster_with_rows(300_000);
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    for round in 0..6u64 {
        cluster.sql("d", &format!("UPDATE t SET b = repeat(md5((a + {round})::text), 8) WHERE a % 3 = 0"));
        let mut child = desk.spawn(&["backup", "--dbname", &cluster.conninfo("d")]);
        std::thread::sleep(Duration::from_millis(120 + round * 130));
        let _ = child.kill();
        child.wait().unwrap();
        let report = desk.json(&["check", "--read-data", "--json"]);
        assert_eq!(report["ok"], true, "after kill {round}: {report}");
    }
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("back"), "--create"]);
    let latest = desk.backup(&cluster, "d");
    desk.ok(&["restore", &latest, "--dbname", &cluster.conninfo("back2"), "--create"]);
    let sum = "SELECT sum(hashtext(t::text)::bigint) FROM t";
    assert_eq!(cluster.psql_text("d", sum), cluster.psql_text("back2", sum));
}

#[test]
fn a_target_that_is_not_empty_stays_as_it_is() {
    let cluster = cluster_with_rows(10);
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let said =
        desk.example("A target that is not empty", 1, &["restore", &id, "--dbname", &cluster.conninfo("d")]);
    assert!(said.contains("not empty") && said.contains("table public.t"), "{said}");
    let said = desk.fails(1, &["restore", &id, "--dbname", &cluster.conninfo("d"), "--create"]);
    assert!(said.contains("not empty"), "{said}");
    desk.fails(2, &["restore", &id, "--dbname", &cluster.conninfo("d"), "--create", "--clean"]);
    // Something that the backup does not hold depends on what it does: nothing is dropped.
    cluster.sql("d", "CREATE VIEW mine AS SELECT a FROM t");
    let said = desk.example(
        "Other objects depend on what would be dropped",
        1,
        &["restore", &id, "--dbname", &cluster.conninfo("d"), "--clean"],
    );
    assert!(said.contains("nothing was dropped"), "{said}");
    assert_eq!(cluster.psql_text("d", "SELECT count(*) FROM mine").trim(), "10");
    // Objects of others survive a clean restore.
    cluster.sql("d", "DROP VIEW mine; CREATE TABLE other AS SELECT 5 AS a");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("d"), "--clean"]);
    assert_eq!(
        cluster.psql_text("d", "SELECT (SELECT count(*) FROM t) + (SELECT a FROM other)").trim(),
        "15"
    );
}

#[test]
fn an_object_that_fails_is_named_and_the_rest_goes_on() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE FUNCTION fine(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT true';
         CREATE TABLE bad (a int CHECK (fine(a))); INSERT INTO bad VALUES (1);
         CREATE TABLE good AS SELECT 1 AS a;
         CREATE OR REPLACE FUNCTION fine(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT false';",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let output = desk.run(&["restore", &id, "--dbname", &cluster.conninfo("back"), "--create", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["errors"].to_string().contains("bad"), "{report}");
    assert_eq!(cluster.psql_text("back", "SELECT count(*) FROM good").trim(), "1");
    desk.fails(1, &["restore", &id, "--dbname", &cluster.conninfo("stop"), "--create", "--exit-on-error"]);
}

#[test]
fn repositories_that_are_none() {
    let desk = Desk::plain();
    let missing = desk.path("missing").display().to_string();
    let said = desk.example("A repository that does not exist", 1, &["list", "--repo", &missing]);
    assert!(said.contains("missing") && said.contains("hint"), "{said}");
    let empty = desk.path("empty");
    std::fs::create_dir(&empty).unwrap();
    desk.example("A folder that is not a repository", 1, &["list", "--repo", &empty.display().to_string()]);
    // A second init touches nothing.
    let header = desk.repo().join("pgark.json");
    let before = std::fs::read(&header).unwrap();
    desk.example("A repository already exists", 1, &["init", "--no-encryption"]);
    assert_eq!(std::fs::read(&header).unwrap(), before);
    // A key for what calls itself unencrypted.
    let file = desk.path("p");
    std::fs::write(&file, "correct horse battery staple 42\n").unwrap();
    desk.example(
        "A secret for a repository that says it is unencrypted",
        1,
        &["list", "--passphrase-file", &file.display().to_string()],
    );
}

#[test]
fn a_wrong_passphrase_and_a_newer_format() {
    let desk = Desk::with_passphrase();
    let file = desk.path("wrong");
    std::fs::write(&file, "another horse battery staple 42\n").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pgark"));
    command.env_clear().env("HOME", desk.path("elsewhere"));
    let output = command
        .args([
            "list",
            "--repo",
            &desk.repo().display().to_string(),
            "--passphrase-file",
            &file.display().to_string(),
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    example("A wrong passphrase", 1, &text(&output.stderr));

    let header = desk.repo().join("pgark.json");
    let newer = std::fs::read_to_string(&header)
        .unwrap()
        .replacen("\"format\":0", "\"format\":99", 1)
        .replacen("\"format\": 0", "\"format\": 99", 1);
    std::fs::remove_file(&header).unwrap();
    std::fs::write(&header, newer).unwrap();
    std::fs::remove_file(desk.repo().join("pgark.json.copy")).unwrap();
    let said = desk.example("A repository of a newer format", 1, &["list"]);
    assert!(said.contains("newer") || said.contains("99"), "{said}");
}

#[test]
fn ids_that_name_nothing_or_too_much() {
    let cluster = cluster_with_rows(1);
    let desk = Desk::plain();
    desk.fails(1, &["show", "latest"]);
    let id = desk.backup(&cluster, "d");
    // What cannot be an id is wrong usage.
    for (wrong, code) in
        [("zz", 2), ("abc", 2), ("0123456789abcdef0", 2), ("latest:nowhere", 1), ("ffffffffffffffff", 1)]
    {
        let said = desk.fails(code, &["show", wrong]);
        if wrong == "ffffffffffffffff" {
            example("An unknown backup id", 1, &said.replace(wrong, "0123abcd"));
        }
        assert!(said.contains(wrong.trim_start_matches("latest:")), "{wrong}: {said}");
    }
    desk.ok(&["show", &id[..6]]);
    desk.ok(&["show", "latest:d"]);
    desk.ok(&["backup", "--dbname", &cluster.conninfo("d"), "--cluster", "another"]);
    let said = desk.example("`latest` of several clusters", 1, &["show", "latest"]);
    assert!(said.contains("ambiguous") && said.contains("--cluster"), "{said}");
    assert_eq!(desk.json(&["show", "latest", "--cluster", "another", "--json"])["cluster"], "another");
    assert!(desk.ok(&["ls", "latest:/db", "--cluster", "another"]).contains("/db/d/toc.dat"));
    assert_eq!(
        desk.json(&["list", "--cluster", "another", "--json"])["backups"].as_array().unwrap().len(),
        1
    );
    let said = desk.fails(1, &["show", "latest", "--cluster", "elsewhere"]);
    assert!(said.contains("elsewhere") && said.contains("another"), "{said}");
}

#[test]
fn a_repository_that_may_not_be_written() {
    let cluster = cluster_with_rows(10);
    let desk = Desk::plain();
    desk.backup(&cluster, "d");
    // As another user of the system: root may write everywhere.
    std::fs::set_permissions(desk.path("."), std::fs::Permissions::from_mode(0o755)).unwrap();
    let status =
        std::process::Command::new("chmod").args(["-R", "a+rX,a-w"]).arg(desk.repo()).status().unwrap();
    assert!(status.success());
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", env!("CARGO_BIN_EXE_pgark")])
        .args(["backup", "--repo", &desk.repo().display().to_string(), "--dbname", &cluster.conninfo("d")])
        .env("HOME", "/nonexistent");
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.to_lowercase().contains("permission"), "{said}");
    example("A repository without write permission", 1, &said);
}
