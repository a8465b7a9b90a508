//! What counts as the newest backup of what: parts, databases that come and go, wrong clocks,
//! clones.

use std::time::{Duration, SystemTime};

use pgark_testkit::Cluster;

use super::support::{Desk, files};

fn source(databases: &[&str]) -> Cluster {
    let cluster = Cluster::start();
    for database in databases {
        cluster.create_database(database);
        cluster.sql(
            database,
            "CREATE TABLE orders AS SELECT g FROM generate_series(1, 100) g; CREATE TABLE log (x int)",
        );
    }
    cluster
}

fn made(desk: &Desk, cluster: &Cluster, db: &str, options: &[&str]) -> String {
    let conninfo = cluster.conninfo(db);
    let args: Vec<&str> =
        ["backup", "--dbname", &conninfo].into_iter().chain(options.iter().copied()).collect();
    desk.ok(&args).trim().to_string()
}

fn listed(desk: &Desk) -> Vec<String> {
    let list = desk.json(&["list", "--json"])["backups"].clone();
    list.as_array().unwrap().iter().map(|backup| backup["id"].as_str().unwrap().to_string()).collect()
}

fn id_of(desk: &Desk, args: &[&str]) -> String {
    desk.json(args)["id"].as_str().unwrap().to_string()
}

#[test]
fn a_part_is_not_the_latest_and_replaces_no_whole() {
    let cluster = source(&["d"]);
    let desk = Desk::plain();
    desk.expects(&["`latest` skips"]);
    let whole = made(&desk, &cluster, "d", &[]);
    let parts = [["--schema-only", ""], ["--table", "log"], ["--exclude-table-data", "orders"]];
    let ids: Vec<String> = parts
        .iter()
        .map(|options| {
            let options: Vec<&str> = options.iter().copied().filter(|word| !word.is_empty()).collect();
            made(&desk, &cluster, "d", &options)
        })
        .collect();
    let newer = made(&desk, &cluster, "d", &["--table", "log"]);
    let planned = desk.ok(&["forget", "--keep-last", "1", "--dry-run"]);
    assert_eq!(planned.matches("would remove").count(), 1, "{planned}");
    assert!(planned.contains("complete (partial)"), "{planned}");
    desk.ok(&["forget", "--keep-last", "1"]);
    assert_eq!(listed(&desk), [&whole, &ids[0], &ids[2], &newer].map(String::as_str));
    for latest in ["latest", "latest:d"] {
        assert_eq!(id_of(&desk, &["show", latest, "--json"]), whole);
        assert_eq!(id_of(&desk, &["show", latest, "--partial", "--json"]), newer);
    }
    let rows = |args: &[&str]| desk.ok(args).lines().count();
    assert_eq!(rows(&["cat", "latest:/db/d/data/public.orders"]), 100);
    assert_eq!(rows(&["cat", "latest:d:/db/d/data/public.orders"]), 100);
    assert!(!desk.ok(&["ls", "latest", "--partial"]).contains("orders"));
    assert!(desk.ok(&["tag", "latest", "--add", "x"]).starts_with(&whole));
    assert!(desk.ok(&["diff", "latest", "latest"]).contains(&whole));
    let script = desk.ok(&["export", "latest", "--format", "plain", "--output", "-"]);
    assert!(script.contains("\n100\n"), "{script}");
    desk.ok(&["restore", "latest", "--create", "--dbname", &cluster.conninfo("again")]);
    assert_eq!(cluster.psql_text("again", "SELECT count(*) FROM orders"), "100");
    desk.ok(&["restore", "latest", "--partial", "--create", "--dbname", &cluster.conninfo("part")]);
    assert_eq!(cluster.psql_text("part", "SELECT to_regclass('orders') IS NULL"), "t");
    // Each is the last of its own series.
    assert!(desk.fails(1, &["forget", &whole]).contains("last complete one of d"));
    assert!(desk.fails(1, &["forget", &newer]).contains("made with the same filters"));
    desk.ok(&["forget", &whole, "--even-last"]);
    let said = desk.example("Only partial backups", 1, &["show", "latest"]);
    assert!(said.contains("only tables log") && said.contains("--partial"), "{said}");
}

/// In a backup of several databases a filter of one makes the others no part.
#[test]
fn a_part_of_one_database_is_a_whole_of_the_others() {
    let cluster = source(&["d", "e"]);
    let desk = Desk::plain();
    let toml = desk.path("pgark.toml");
    std::fs::write(
        &toml,
        format!(
            "[clusters.prod]\ndbname = \"{}\"\nall = true\n[clusters.prod.databases.e]\nexclude_table_data = [\"log\"]\n",
            cluster.conninfo("postgres")
        ),
    )
    .unwrap();
    let config = toml.display().to_string();
    let id = desk.ok(&["backup", "--cluster", "prod", "--config", &config]).trim().to_string();
    assert_eq!(id_of(&desk, &["show", "latest:d", "--json"]), id);
    for of in ["latest", "latest:e"] {
        assert!(desk.fails(1, &["show", of]).contains("without rows of log"));
    }
    desk.ok(&[
        "restore",
        "latest",
        "--database",
        "d",
        "--as",
        "d2",
        "--create",
        "--dbname",
        &cluster.conninfo("postgres"),
    ]);
    desk.ok(&[
        "export",
        "latest",
        "--database",
        "d",
        "--format",
        "plain",
        "--output",
        &desk.path("d.sql").display().to_string(),
    ]);
    assert!(
        desk.fails(
            1,
            &["export", "latest", "--database", "e", "--output", &desk.path("e").display().to_string()]
        )
        .contains("--partial")
    );
}

#[test]
fn databases_that_come_and_go_do_not_keep_a_backup_each() {
    let cluster = source(&["d"]);
    let desk = Desk::plain();
    desk.expects(&["is the last complete"]);
    let mut ids = Vec::new();
    for night in 0..4 {
        cluster.create_database(&format!("ci{night}"));
        ids.push(made(&desk, &cluster, "postgres", &["--all"]));
        cluster.drop_database(&format!("ci{night}"));
    }
    let policy = ["forget", "--keep-last", "1", "--dry-run"];
    let planned = desk.ok(&policy);
    assert_eq!(planned.matches("the last one of database ci").count(), 3, "{planned}");
    let now: Vec<&str> = policy.into_iter().chain(["--keep-dropped", "0", "--json"]).collect();
    let decisions = desk.json(&now)["decisions"].clone();
    let last_of: Vec<&str> =
        decisions.as_array().unwrap().iter().filter_map(|decision| decision["last_of"][0].as_str()).collect();
    assert_eq!(last_of, ["ci0", "ci1", "ci2"]);
    let output = desk.run(&["forget", "--keep-last", "1", "--keep-dropped", "0"]);
    assert!(super::support::text(&output.stderr).contains("the last complete backup of ci2"));
    assert_eq!(listed(&desk), [ids[3].as_str()]);
}

/// Makes a backup look as if its host's clock had been ahead of the storage's.
fn put_earlier(desk: &Desk, id: &str, by: Duration) {
    let of_it: Vec<_> = files(&desk.repo())
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("manifests/") && path.to_string_lossy().ends_with(id))
        .collect();
    assert_eq!(of_it.len(), 2);
    for path in of_it {
        std::fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(SystemTime::now() - by)
            .unwrap();
    }
}

#[test]
fn a_time_ahead_of_the_storages_clock_rules_nothing() {
    let cluster = source(&["d"]);
    let desk = Desk::plain();
    desk.expects(&["`latest` skips"]);
    let (true_one, ahead) = (desk.backup(&cluster, "d"), desk.backup(&cluster, "d"));
    put_earlier(&desk, &true_one, Duration::from_secs(3500));
    assert_eq!(id_of(&desk, &["show", "latest", "--json"]), ahead, "clocks differ a little");
    put_earlier(&desk, &ahead, Duration::from_secs(2 * 3600));
    assert_eq!(id_of(&desk, &["show", "latest", "--json"]), true_one);
    assert!(desk.ok(&["list"]).contains("complete (clock ahead)"));
    assert!(desk.ok(&["show", &ahead]).contains("complete (clock ahead)"));
    let checked = desk.ok(&["check"]);
    assert!(
        checked.contains(&format!("backup {ahead}: its time")) && checked.contains("no problem"),
        "{checked}"
    );
    assert_eq!(desk.json(&["check", "--json"])["ahead"][0]["backup"], ahead.as_str());
    let output = desk.run(&["forget", "--keep-within", "1s", "--json"]);
    let said = super::support::text(&output.stderr);
    assert!(said.contains(&format!("`pgark forget {ahead}`")), "{said}");
    let decisions: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = decisions["decisions"].as_array().unwrap();
    assert!(all.iter().all(|decision| decision["keep"] == true), "{decisions}");
    // It keeps nothing for itself, and nobody else goes for it.
    assert!(desk.fails(1, &["forget", &true_one]).contains("last complete one"));
    desk.ok(&["forget", &ahead]);
    assert_eq!(listed(&desk), [true_one.as_str()]);
}

#[test]
fn a_clone_is_another_cluster_until_its_name_is_given() {
    let primary = source(&["d"]);
    let clone = primary.standby();
    let desk = Desk::plain();
    desk.expects(&["was made from another server"]);
    let first = desk.backup(&primary, "d");
    clone.sql("postgres", "SELECT pg_promote()");
    let conninfo = clone.conninfo("d");
    let backup = ["backup", "--dbname", &conninfo];
    let said = desk.example("A clone with the name of the server it was made from", 1, &backup);
    assert!(said.contains(&first) && said.contains("another server") && said.contains("--cluster"), "{said}");
    assert_eq!(listed(&desk), [first.as_str()], "nothing was stored");
    assert!(files(&desk.repo()).iter().all(|path| !path.to_string_lossy().contains("sessions/")));
    desk.ok(&["backup", "--dbname", &conninfo, "--cluster", "staging"]);
    // Its own name is compared, too; and the name that was not given before may be given now.
    desk.ok(&["backup", "--dbname", &conninfo, "--cluster", "staging"]);
    let name = desk.json(&["show", &first, "--json"])["cluster"].as_str().unwrap().to_string();
    let moved = desk.json(&["backup", "--dbname", &conninfo, "--cluster", &name, "--json"]);
    assert!(moved["warnings"][0].as_str().unwrap().contains("another server"), "{moved}");
    desk.ok(&backup);
    assert!(desk.fails(1, &["backup", "--dbname", &primary.conninfo("d")]).contains("another server"));
}

/// The name beside an address is what the certificate must say: the server is where the address
/// leads.
#[test]
fn a_server_is_known_by_the_address_that_it_was_reached_at() {
    let cluster = Cluster::builder().tcp().start();
    let desk = Desk::plain();
    let at = |places: &str| {
        let conninfo = format!("{places} port={} dbname=postgres user=postgres", cluster.port());
        match cluster.password() {
            Some(password) => format!("{conninfo} password={password}"),
            None => conninfo,
        }
    };
    desk.ok(&["backup", "--dbname", &at("host=localhost")]);
    desk.ok(&["backup", "--dbname", &at("host=db.localdomain hostaddr=127.0.0.1")]);
    desk.ok(&["backup", "--dbname", &at("hostaddr=127.0.0.1")]);
    assert_eq!(listed(&desk).len(), 3);
}

#[test]
fn many_are_forgotten_at_once() {
    let cluster = source(&["d"]);
    let desk = Desk::with_identity();
    let ids: Vec<String> = (0..12).map(|_| desk.backup(&cluster, "d")).collect();
    desk.ok(&["tag", &ids[0], "--add", "x"]);
    desk.ok(&["tag", &ids[11], "--add", "y"]);
    desk.ok(&["forget", "--keep-last", "2"]);
    assert_eq!(listed(&desk), [ids[10].as_str(), ids[11].as_str()]);
    let left = |folder: &str| {
        files(&desk.repo()).iter().filter(|path| path.starts_with(desk.repo().join(folder))).count()
    };
    assert_eq!([left("manifests"), left("copies/manifests"), left("tags"), left("forgotten")], [2, 2, 1, 10]);
    assert!(desk.ok(&["check"]).contains("no problem"));
}
