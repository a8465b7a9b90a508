//! Backups of a whole cluster: every database in one backup, what belongs to the cluster, and what
//! a role may not see.

use pgark_testkit::oracle::{self, Snapshot, assert_same};
use pgark_testkit::{Cluster, in_full, is_full, shop, zoo};
use serde_json::Value;

use super::support::{Desk, stock};

/// A cluster of `count` databases beside `postgres`: the zoo, the shop, and small ones that differ
/// in everything that a database can differ in.
pub fn fill(cluster: &Cluster, count: usize) -> Vec<String> {
    cluster.sql(
        "postgres",
        "CREATE ROLE app LOGIN PASSWORD 'x' CONNECTION LIMIT 7 VALID UNTIL '2040-01-01';
         CREATE ROLE readers; CREATE ROLE \"Odd \"\"Name\" CREATEDB; GRANT readers TO app;
         ALTER ROLE app SET work_mem = '5MB'; COMMENT ON ROLE app IS 'the application';",
    );
    zoo::load_portable(cluster, "zoo");
    cluster.create_database("shop");
    shop::load(cluster, "shop", 4, 1);
    let mut names = vec!["postgres".to_string(), "shop".to_string(), "zoo".to_string()];
    for number in 0..count.saturating_sub(2) {
        let name = match number {
            0 => "we\"ird / näme".to_string(),
            1 => "Upper".to_string(),
            _ => format!("small_{number:02}"),
        };
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let encoding = if number % 5 == 3 { "LATIN1" } else { "UTF8" };
        cluster.sql(
            "postgres",
            &format!("CREATE DATABASE {quoted} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' CONNECTION LIMIT {}", number + 5),
        );
        cluster.sql(
            "postgres",
            &format!(
                "ALTER DATABASE {quoted} OWNER TO app; ALTER DATABASE {quoted} SET statement_timeout = '{number}min';
                 ALTER ROLE app IN DATABASE {quoted} SET work_mem = '{}kB'; COMMENT ON DATABASE {quoted} IS 'number {number}';
                 REVOKE ALL ON DATABASE {quoted} FROM PUBLIC; GRANT CONNECT ON DATABASE {quoted} TO readers;
                 GRANT TEMPORARY ON DATABASE {quoted} TO PUBLIC;",
                number * 64 + 1024
            ),
        );
        cluster.sql(
            &name,
            &format!(
                "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, {}) g;
                 CREATE TABLE child (id int REFERENCES t); INSERT INTO child VALUES (1); GRANT SELECT ON t TO readers;
                 CREATE SEQUENCE s START {}; SELECT nextval('s'), lo_from_bytea(0, 'object {number}');",
                number * 10 + 1,
                number + 1
            ),
        );
        names.push(name);
    }
    names
}

fn assert_cluster_same(source: &Cluster, target: &Cluster, names: &[String]) {
    for name in names {
        assert_same(&Snapshot::take(source, name), &Snapshot::take(target, name));
    }
    assert_eq!(oracle::globals(source), oracle::globals(target));
}

#[test]
fn many_databases_come_back_as_they_were() {
    let cluster = Cluster::builder().conf("max_connections = 60").start();
    let names = fill(&cluster, if is_full() { 40 } else { 12 });
    let desk = Desk::with_identity();
    let record =
        desk.json(&["backup", "--all", "--dbname", &cluster.conninfo("postgres"), "--jobs", "3", "--json"]);
    assert_eq!(record["status"], "complete", "{record}");
    assert_eq!(record["databases"].as_array().unwrap().len(), names.len());
    assert_eq!(record["warnings"], serde_json::json!([]));

    let target = Cluster::start();
    let id = record["id"].as_str().unwrap();
    let report =
        desk.json(&["restore", id, "--all", "--globals", "--dbname", &target.conninfo("postgres"), "--json"]);
    assert_eq!(report["status"], "complete", "{report}");
    assert_cluster_same(&cluster, &target, &names);
    // Again: now everything is there, and nothing is touched.
    let said =
        desk.fails(1, &["restore", id, "--all", "--globals", "--dbname", &target.conninfo("postgres")]);
    assert!(said.contains("not empty") && said.contains("nothing was changed"), "{said}");
    assert_cluster_same(&cluster, &target, &names);
}

#[test]
fn snapshots_together_are_taken_before_the_first_byte() {
    let cluster = Cluster::builder().conf("max_connections = 30").start();
    let names = fill(&cluster, 8);
    let desk = Desk::plain();
    let dbname = cluster.conninfo("postgres");
    let id = desk.ok(&["backup", "--all", "--dbname", &dbname, "--snapshots", "together", "--jobs", "2"]);
    let manifest = manifest(&desk, id.trim());
    let copied: Vec<&Value> =
        databases(&manifest).into_iter().filter(|db| db["backup"].is_object()).collect();
    assert_eq!(copied.len(), names.len());
    for database in &copied {
        let backup = &database["backup"];
        assert!(backup["lsn"].as_str().unwrap().contains('/'), "{backup}");
        assert!(backup["snapshot_time"].as_str().unwrap().ends_with('Z') && backup["seconds"].is_number());
    }
    let target = Cluster::start();
    desk.ok(&["restore", id.trim(), "--all", "--globals", "--dbname", &target.conninfo("postgres")]);
    assert_cluster_same(&cluster, &target, &names);
    // Not enough connections for all snapshots at once; staggered does with three.
    let said =
        desk.fails(1, &["backup", "--all", "--dbname", &dbname, "--snapshots", "together", "--jobs", "12"]);
    assert!(said.contains("connections") && said.contains("staggered"), "{said}");
    desk.ok(&["backup", "--all", "--dbname", &dbname, "--jobs", "1"]);
}

fn manifest(desk: &Desk, id: &str) -> Value {
    serde_json::from_str(&desk.ok(&["cat", &format!("{id}:/manifest.json")])).unwrap()
}

fn databases(manifest: &Value) -> Vec<&Value> {
    manifest["databases"].as_array().unwrap().iter().collect()
}

#[test]
fn databases_are_chosen_by_patterns() {
    let cluster = Cluster::start();
    for name in ["shop_eu", "shop_us", "\"Shop_X\"", "log"] {
        cluster.sql("postgres", &format!("CREATE DATABASE {name}"));
    }
    cluster.sql("postgres", "CREATE DATABASE tpl TEMPLATE template0 IS_TEMPLATE true");
    cluster.sql("postgres", "CREATE DATABASE closed ALLOW_CONNECTIONS false");
    let desk = Desk::plain();
    desk.expects(&["database closed is left out"]);
    // The database to connect to first need not be there.
    let dbname = cluster.conninfo("not_there");
    let taken = |args: &[&str]| {
        let record = desk.json(&[&["backup", "--dbname", &dbname, "--json"][..], args].concat());
        let names: Vec<String> = record["databases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_string())
            .collect();
        names.join(" ")
    };
    assert_eq!(taken(&["--all"]), "Shop_X log postgres shop_eu shop_us");
    assert_eq!(taken(&["--all", "--with-templates"]), "Shop_X log postgres shop_eu shop_us template1 tpl");
    assert_eq!(taken(&["--database", "shop_*", "--database", "l?g"]), "log shop_eu shop_us");
    assert_eq!(taken(&["--database", "\"Shop_X\"", "--database", "tpl"]), "Shop_X tpl");
    assert_eq!(taken(&["--exclude-database", "shop*", "--exclude-database", "\"Shop\"*"]), "log postgres");
    let said = desk.example(
        "No database matches the pattern",
        1,
        &["backup", "--dbname", &dbname, "--database", "shpo*"],
    );
    assert!(said.contains("shpo*") && said.contains("shop_eu"), "{said}");
    desk.fails(2, &["backup", "--dbname", &dbname, "--database", "a.b"]);
    desk.fails(2, &["backup", "--dbname", &dbname, "--with-templates"]);
    // A name that is there no more is missing; a pattern may match nothing, unless it must.
    let said = desk.fails(3, &["backup", "--dbname", &dbname, "--database", "log", "--database", "gone"]);
    assert!(said.contains("database gone is missing"), "{said}");
    let output = desk.run(&["backup", "--dbname", &dbname, "--database", "log", "--database", "gone*"]);
    assert!(output.status.success());
    assert!(super::support::text(&output.stderr).contains("no database matches gone*"));
    desk.fails(
        1,
        &["backup", "--dbname", &dbname, "--database", "log", "--database", "gone*", "--strict-names"],
    );
}

#[test]
fn a_database_that_fails_leaves_the_others_good() {
    let cluster = Cluster::start();
    for name in ["a", "b", "locked"] {
        cluster.create_database(name);
        cluster.sql(name, "CREATE TABLE t AS SELECT g FROM generate_series(1, 1000) g");
    }
    cluster.sql("postgres", "CREATE ROLE keeper LOGIN; GRANT pg_read_all_data TO keeper; REVOKE CONNECT ON DATABASE locked FROM PUBLIC");
    let desk = Desk::plain();
    let good = desk.ok(&["backup", "--all", "--dbname", &cluster.conninfo("postgres")]);
    let as_keeper = cluster.conninfo_as("postgres", "keeper", None);
    let said = desk.fails(
        3,
        &["backup", "--dbname", &as_keeper, "--database", "a", "--database", "b", "--database", "locked"],
    );
    assert!(said.contains("database locked") && said.contains("CONNECT"), "{said}");
    let list = desk.json(&["list", "--json"])["backups"].clone();
    let newest = list.as_array().unwrap().last().unwrap();
    assert_eq!(
        (&newest["status"], &newest["databases"]),
        (&"incomplete".into(), &serde_json::json!(["a", "b"]))
    );
    // `latest` is the complete one before; the incomplete one restores what it holds.
    assert_eq!(desk.json(&["show", "latest", "--json"])["id"], good.trim());
    let id = newest["id"].as_str().unwrap();
    desk.ok(&[
        "restore",
        id,
        "--database",
        "a",
        "--as",
        "a2",
        "--create",
        "--dbname",
        &cluster.conninfo("postgres"),
    ]);
    assert_eq!(cluster.psql_text("a2", "SELECT count(*) FROM t"), "1000");
    let said = desk.fails(1, &["restore", id, "--database", "locked", "--dbname", &cluster.conninfo("x")]);
    assert!(said.contains("has no database \"locked\""), "{said}");
    let target = Cluster::start();
    let said =
        desk.fails(3, &["restore", id, "--all", "--no-owner", "--dbname", &target.conninfo("postgres")]);
    assert!(said.contains("database locked"), "{said}");
    // Alone, it is no backup at all.
    desk.fails(1, &["backup", "--dbname", &as_keeper, "--database", "locked"]);
}

/// A connection costs more than a small database has rows: one that leads and copies, and
/// pg_dump's.
#[test]
fn a_small_database_takes_two_connections() {
    let cluster = Cluster::builder().conf("log_connections = on").start();
    let names: Vec<String> = (0..6).map(|number| format!("small_{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        cluster.create_database(name);
        let fill =
            format!("CREATE TABLE t AS SELECT g FROM generate_series(1, {number}) g; CREATE TABLE u (a int)");
        cluster.sql(name, &fill);
    }
    let before = cluster.log().len();
    let desk = Desk::plain();
    let id = desk.ok(&["backup", "--all", "--dbname", &cluster.conninfo("postgres"), "--jobs", "4"]);
    let said = cluster.log().split_off(before);
    for (number, name) in names.iter().enumerate() {
        let made = said.matches(&format!("database={name} ")).count();
        assert_eq!(made, 2, "connections to {name}");
        let rows = desk.ok(&["cat", &format!("{}:/db/{name}/data/public.t", id.trim())]);
        assert_eq!(rows.lines().count(), number);
    }
}

#[test]
fn what_a_role_may_not_read_is_left_out_and_named() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t AS SELECT 1 AS a; CREATE ROLE plain LOGIN; GRANT SELECT ON t TO plain");
    let desk = Desk::plain();
    desk.expects(&["GRANT "]);
    let record = desk.json(&["backup", "--dbname", &cluster.conninfo_as("d", "plain", None), "--json"]);
    assert_eq!(record["status"], "complete", "{record}");
    let warnings = record["warnings"].to_string();
    for privilege in ["pg_authid", "pg_read_all_settings", "/pg_hba.conf"] {
        assert!(warnings.contains(privilege), "{privilege}: {warnings}");
    }
    let listed = desk.ok(&["ls", "latest"]);
    assert!(
        !listed.contains("/pg_hba.conf")
            && listed.contains("/settings.json")
            && listed.contains("/globals.sql")
    );
    let id = desk.backup(&cluster, "d");
    let files = cluster.data_directory();
    for name in ["pg_hba.conf", "pg_ident.conf"] {
        let stored = desk.ok(&["cat", &format!("{id}:/{name}")]);
        assert_eq!(stored, std::fs::read_to_string(files.join(name)).unwrap());
    }
    let settings: Value = serde_json::from_str(&desk.ok(&["cat", &format!("{id}:/settings.json")])).unwrap();
    assert_eq!(settings["port"]["setting"], cluster.port().to_string());
    let definition = desk.ok(&["cat", &format!("{id}:/db/d/database.sql")]);
    assert!(definition.contains("CREATE DATABASE d") && definition.contains("OWNER TO"), "{definition}");
}

#[test]
fn the_manifest_holds_what_other_readers_look_for() {
    let cluster = Cluster::start();
    zoo::load_portable(&cluster, "zoo");
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "zoo");
    let manifest = manifest(&desk, &id);
    assert_eq!(manifest["version"], 2);
    for key in [
        "created_at",
        "connector",
        "host",
        "port",
        "server_version",
        "server_version_num",
        "pg_dump_version",
        "cluster_system_identifier",
        "in_recovery",
        "database",
        "dump_format",
        "cluster_config",
        "roles",
        "tablespaces",
        "databases",
        "timeline",
    ] {
        assert!(!manifest[key].is_null(), "{key}");
    }
    assert_eq!(manifest["cluster_config"]["wal_level"], cluster.psql_text("zoo", "SHOW wal_level"));
    let zoo = databases(&manifest).into_iter().find(|db| db["name"] == "zoo").unwrap();
    let relations = zoo["relations"].as_array().unwrap();
    let counted: u64 = relations.iter().filter_map(|relation| relation["rows"].as_u64()).sum();
    assert_eq!(Some(counted), zoo["backup"]["rows"].as_u64());
    let filled = relations.iter().find(|relation| relation["rows"].as_u64() > Some(10)).unwrap();
    let name = format!("{}.{}", filled["schema"].as_str().unwrap(), filled["name"].as_str().unwrap());
    assert_eq!(
        cluster.psql_text("zoo", &format!("SELECT count(*) FROM ONLY {name}")),
        filled["rows"].to_string()
    );
    assert!(
        !filled["digests"].as_array().unwrap().is_empty()
            && !filled["columns"].as_array().unwrap().is_empty()
    );
    for kind in ["r", "p", "v", "m", "S"] {
        assert!(relations.iter().any(|relation| relation["kind"] == kind), "{kind}");
    }
    assert!(relations.iter().any(|relation| !relation["partition_strategy"].is_null()));
    let key = |name: &str| {
        relations.iter().flat_map(|r| r["constraints"].as_array().unwrap()).any(|c| c["type"] == name)
    };
    assert!(key("p") && key("f") && key("c") && key("u"));
}

#[test]
fn rows_of_foreign_tables_come_where_asked_for() {
    foreign_rows(&Cluster::start());
    // From 17 on a setting keeps foreign tables closed unless they are asked for.
    for found in pgark_testkit::available_majors().into_iter().filter(|found| found.major >= 17) {
        let newer = Cluster::builder().major(found.major).start();
        let has = "SELECT count(*) FROM pg_available_extensions WHERE name = 'file_fdw'";
        if newer.psql_text("postgres", has) == "1" {
            foreign_rows(&newer);
        } else {
            eprintln!("gap: the package of {} lacks file_fdw", found.major);
        }
    }
}

fn foreign_rows(cluster: &Cluster) {
    cluster.create_database("d");
    let desk = Desk::plain();
    let file = cluster.data_directory().join("rows.csv");
    std::fs::write(&file, "1,one\n2,two\n").unwrap();
    stock(std::process::Command::new("chown").arg("postgres:").arg(&file));
    cluster.sql(
        "d",
        &format!(
            "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; CREATE TABLE own AS SELECT 1 AS a; \
             CREATE FOREIGN TABLE f (a int, b text) SERVER files OPTIONS (filename '{}', format 'csv')",
            file.display()
        ),
    );
    let dbname = cluster.conninfo("d");
    let pg_dump = cluster.bin("pg_dump").display().to_string();
    let id = desk.ok(&["backup", "--dbname", &dbname, "--pg-dump", &pg_dump]);
    assert!(!desk.ok(&["ls", id.trim()]).contains("public.f"));
    let id =
        desk.ok(&["backup", "--dbname", &dbname, "--pg-dump", &pg_dump, "--include-foreign-data", "files"]);
    assert_eq!(desk.ok(&["cat", &format!("{}:/db/d/data/public.f", id.trim())]), "1\tone\n2\ttwo\n");
}

/// Each filter against pg_dump's own archive under the same options.
#[test]
fn filters_choose_what_pg_dump_chooses() {
    let cluster = Cluster::start();
    zoo::load_portable(&cluster, "zoo");
    cluster.sql("zoo", "CREATE SCHEMA other; CREATE TABLE other.t (a int PRIMARY KEY); CREATE TABLE other.u (a int REFERENCES other.t); INSERT INTO other.t VALUES (1); INSERT INTO other.u VALUES (1)");
    let desk = Desk::plain();
    desk.expects(&["which the filters exclude", "foreign key u u_a_fkey needs other.t", "GRANT "]);
    for (number, filters) in [
        vec!["--schema=other"],
        vec!["--exclude-schema=zoo"],
        vec!["--table=other.t", "--table=zoo.p*"],
        vec!["--exclude-table=*.t*"],
        vec!["--exclude-table-data=zoo.*"],
        vec!["--schema-only"],
        vec!["--data-only"],
        vec!["--no-large-objects"],
    ]
    .iter()
    .enumerate()
    {
        let dbname = cluster.conninfo("zoo");
        // A table that is named brings its partitions where pg_dump leaves them out.
        let id = desk.ok(&[&["backup", "--dbname", &dbname, "--no-children"][..], filters].concat());
        let (ours, theirs) = (desk.path(&format!("ours{number}")), desk.path(&format!("theirs{number}")));
        desk.ok(&["export", id.trim(), "--output", &ours.display().to_string()]);
        let filters: Vec<&str> = filters
            .iter()
            .map(|filter| if *filter == "--no-large-objects" { "--no-blobs" } else { filter })
            .collect();
        stock(cluster.client("pg_dump").args(["-Fd", "-d", &dbname, "-f"]).arg(&theirs).args(&filters));
        let list = |folder: &std::path::Path| {
            let text = stock(cluster.client("pg_restore").arg("-l").arg(folder));
            let mut lines: Vec<String> = text
                .lines()
                .filter(|line| !line.starts_with(';'))
                .map(|line| line.split_once(';').unwrap().1.to_string())
                .collect();
            lines.sort();
            lines
        };
        assert_eq!(list(&ours), list(&theirs), "{filters:?}");
        let shown = desk.json(&["show", id.trim(), "--json"]);
        assert!(!shown["contents"][0]["filters"].is_null(), "{shown}");
    }
    // A table that may not be read is no obstacle where it is not asked for.
    cluster.sql(
        "zoo",
        "CREATE ROLE half LOGIN; GRANT USAGE ON SCHEMA other TO half; GRANT SELECT ON other.t TO half",
    );
    let as_half = cluster.conninfo_as("zoo", "half", None);
    desk.ok(&["backup", "--dbname", &as_half, "--table", "other.t"]);
    let said = desk.fails(1, &["backup", "--dbname", &as_half, "--schema", "other"]);
    assert!(said.contains("other.u"), "{said}");
    let said = desk.fails(1, &["backup", "--dbname", &as_half, "--table", "other.nope", "--strict-names"]);
    assert!(said.contains("nope"), "{said}");
}

#[test]
fn a_standby_stands_still_for_its_backup() {
    standby_stands_still(Cluster::builder());
}

/// 13 does not tell when replay has paused, the others do (trap 27).
#[test]
fn standbys_of_other_majors_stand_still() {
    if !in_full("standbys of 13 and 14") {
        return;
    }
    for major in [13, 14] {
        standby_stands_still(Cluster::builder().major(major));
    }
}

fn standby_stands_still(builder: pgark_testkit::Builder) {
    let primary = builder.conf("wal_level = replica").conf("max_wal_senders = 5").start();
    primary.create_database("d");
    primary.sql(
        "d",
        "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 200000); CREATE TABLE busy (a int)",
    );
    let standby = primary.standby();
    let caught_up = || {
        primary.sql("d", "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'test', 'here')");
        let lsn = primary.psql_text("d", "SELECT pg_current_wal_flush_lsn()");
        super::support::wait_until(
            &standby,
            "postgres",
            &format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'"),
        );
    };
    caught_up();
    let paused = || standby.psql_text("postgres", "SELECT pg_is_wal_replay_paused()") == "t";
    let desk = Desk::plain();
    let before = Snapshot::take(&primary, "d");
    let id = desk.backup(&standby, "d");
    assert!(!paused(), "replay goes on after the backup");
    assert_eq!(manifest(&desk, &id)["in_recovery"], true);
    let target = Cluster::start();
    desk.ok(&["restore", &id, "--dbname", &target.conninfo("copy"), "--create"]);
    let mut after = Snapshot::take(&target, "copy");
    after.database.clone_from(&before.database);
    assert_same(&before, &after);

    // While replay holds an exclusive lock it is not paused; when that ends, the backup goes on.
    let mut session = primary.session("d");
    session.run("BEGIN; LOCK TABLE busy IN ACCESS EXCLUSIVE MODE");
    primary.sql("d", "INSERT INTO t VALUES (0)");
    caught_up();
    let said = desk.example(
        "Replay of a standby cannot be paused in time",
        1,
        &["backup", "--dbname", &standby.conninfo("d"), "--pause-timeout", "1s"],
    );
    assert!(said.contains("exclusive lock") && said.contains("--pause-timeout"), "{said}");
    assert!(!paused());
    session.run("COMMIT");
    primary.sql("d", "INSERT INTO t VALUES (0)");
    caught_up();
    desk.backup(&standby, "d");
    // Nor while it waits for one behind a query.
    let mut reader = standby.session("d");
    reader.run("BEGIN; SELECT count(*) FROM busy");
    primary.sql("d", "BEGIN; LOCK TABLE busy IN ACCESS EXCLUSIVE MODE; INSERT INTO t VALUES (0); COMMIT");
    super::support::wait_until(
        &standby,
        "postgres",
        "SELECT EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted)",
    );
    let said = desk.fails(1, &["backup", "--dbname", &standby.conninfo("d"), "--pause-timeout", "1s"]);
    assert!(said.contains("it waits for an exclusive lock on d") && said.contains("queries"), "{said}");
    reader.run("COMMIT");
    caught_up();
    assert!(!paused());
    // A pause that is not ours stays.
    standby.sql("postgres", "SELECT pg_wal_replay_pause()");
    desk.backup(&standby, "d");
    assert!(paused());
    standby.sql("postgres", "SELECT pg_wal_replay_resume()");
    // An interrupted backup resumes, too: it waits behind a lock of this very session's.
    let mut child = desk.spawn(&["backup", "--dbname", &standby.conninfo("d"), "--jobs", "1"]);
    while !paused()
        && child.try_wait().unwrap().is_none()
        && standby.psql_text("postgres", "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%'")
            == "0"
    {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    stock(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]));
    let output = child.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(130 | 0)), "{}", super::support::text(&output.stderr));
    assert!(!paused(), "replay goes on after an interrupt");
    // Without the right to pause, the backup goes on and says so.
    primary.sql("d", "CREATE ROLE plain LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain");
    caught_up();
    let output = desk.run(&["backup", "--dbname", &standby.conninfo_as("d", "plain", None)]);
    let said = super::support::text(&output.stderr);
    assert!(output.status.success() && said.contains("pg_wal_replay_pause()"), "{said}");
}

#[test]
fn a_cluster_of_the_configuration_file() {
    let cluster = Cluster::start();
    for name in ["shop", "log", "scratch"] {
        cluster.create_database(name);
        cluster.sql(
            name,
            "CREATE TABLE t AS SELECT 1 AS a; CREATE TABLE events AS SELECT g FROM generate_series(1, 50) g",
        );
    }
    let desk = Desk::plain();
    let file = desk.path("config/pgark/pgark.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(
        &file,
        format!(
            "[repositories.main]\nurl = \"{}\"\n[clusters.prod]\nrepository = \"main\"\ndbname = \"{}\"\nall = true\nexclude_database = [\"scratch\", \"postgres\"]\n\
             [clusters.prod.databases.log]\nexclude_table_data = [\"events\"]\n",
            desk.repo().display(),
            cluster.conninfo("postgres")
        ),
    )
    .unwrap();
    let mut command = desk.command(&["backup", "--cluster", "prod", "--json"]);
    let output = command.env_remove("PGARK_REPO").output().unwrap();
    assert!(output.status.success(), "{}", super::support::text(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&record["cluster"], &record["databases"]),
        (&"prod".into(), &serde_json::json!(["log", "shop"]))
    );
    let rows = |db: &str| {
        let shown = desk.json(&["show", "latest", "--partial", "--json"]);
        let found = shown["contents"]
            .as_array()
            .unwrap()
            .iter()
            .find(|found| found["database"] == db)
            .cloned()
            .unwrap();
        found["rows"].as_u64().unwrap()
    };
    assert_eq!((rows("shop"), rows("log")), (51, 1));
    // What is typed wins: another database, and filters for all.
    desk.ok(&["backup", "--cluster", "prod", "--database", "scratch", "--schema-only"]);
    assert_eq!(rows("scratch"), 0);
}

/// What is the same whatever the majors: rows, sequences, large objects of every database.
#[track_caller]
pub fn assert_same_content(source: &Cluster, target: &Cluster, names: &[String]) {
    for name in names {
        let (before, after) = (Snapshot::take(source, name), Snapshot::take(target, name));
        assert_eq!(oracle::row_hashes(&before), oracle::row_hashes(&after), "{name}");
        assert_eq!(before.sequences, after.sequences, "{name}");
        assert_eq!(before.large_objects, after.large_objects, "{name}");
        let compared = |snapshot: &Snapshot| -> Vec<(String, String)> {
            let fixed = [
                "encoding",
                "owner",
                "acl",
                "comment",
                "datconnlimit",
                "datistemplate",
                "datcollate",
                "datctype",
            ];
            let is_compared = |key: &str| fixed.contains(&key) || key.starts_with("setting of ");
            snapshot
                .database
                .iter()
                .filter(|(key, _)| is_compared(key))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        };
        assert!(compared(&before).len() >= 8);
        assert_eq!(compared(&before), compared(&after), "{name}");
    }
}

#[test]
fn a_cluster_moves_to_a_newer_major() {
    let Some(builder) = pgark_testkit::require(18) else { return };
    let (source, target) = (Cluster::start(), builder.start());
    let mut names = fill(&source, 12);
    // What this package of 18 was built without would be gaps of the zoo: see the matrix of
    // `./test --full`.
    names.retain(|name| name != "zoo");
    let desk = Desk::plain();
    let id =
        desk.ok(&["backup", "--all", "--exclude-database", "zoo", "--dbname", &source.conninfo("postgres")]);
    desk.ok(&["restore", id.trim(), "--all", "--globals", "--dbname", &target.conninfo("postgres")]);
    assert_same_content(&source, &target, &names);
}

#[test]
fn a_database_that_is_dropped_meanwhile_is_missing() {
    let cluster = Cluster::start();
    for name in ["a", "b", "z"] {
        cluster.create_database(name);
        cluster.sql(name, "CREATE TABLE t AS SELECT 1 AS a");
    }
    // The first two wait for a lock; meanwhile the third goes.
    let mut sessions = [cluster.session("a"), cluster.session("b")];
    for session in &mut sessions {
        session.run("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    }
    let desk = Desk::plain();
    let child = desk.spawn(&["backup", "--all", "--dbname", &cluster.conninfo("postgres"), "--jobs", "1"]);
    super::support::wait_until(
        &cluster,
        "postgres",
        "SELECT count(*) = 2 FROM pg_stat_activity WHERE application_name = 'pgark' AND wait_event_type = 'Lock'",
    );
    cluster.drop_database("z");
    for session in &mut sessions {
        session.run("COMMIT");
    }
    let output = child.wait_with_output().unwrap();
    let said = super::support::text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("database z") && said.contains("does not exist"), "{said}");
    let id = super::support::text(&output.stdout);
    assert_eq!(
        desk.json(&["show", id.trim(), "--json"])["databases"],
        serde_json::json!(["a", "b", "postgres"])
    );
    desk.ok(&[
        "restore",
        id.trim(),
        "--database",
        "b",
        "--as",
        "b2",
        "--create",
        "--dbname",
        &cluster.conninfo("postgres"),
    ]);
}

#[test]
fn access_files_come_with_what_they_include() {
    let Some(builder) = pgark_testkit::require(18) else { return };
    let cluster = builder.start();
    let folder = cluster.data_directory();
    let hba = std::fs::read_to_string(folder.join("pg_hba.conf")).unwrap();
    std::fs::create_dir(folder.join("more")).unwrap();
    std::fs::write(folder.join("more/a.conf"), "# a\n").unwrap();
    std::fs::write(folder.join("more/ignored.txt"), "x").unwrap();
    std::fs::write(folder.join("one.conf"), "include_dir more\n").unwrap();
    std::fs::write(
        folder.join("pg_hba.conf"),
        format!("{hba}include one.conf\ninclude_if_exists \"gone.conf\"\n"),
    )
    .unwrap();
    stock(std::process::Command::new("chown").args(["-R", "postgres:"]).arg(&folder));
    cluster.reload();
    cluster.create_database("d");
    let desk = Desk::plain();
    let pg_dump = cluster.bin("pg_dump").display().to_string();
    let record = desk.json(&["backup", "--dbname", &cluster.conninfo("d"), "--pg-dump", &pg_dump, "--json"]);
    assert_eq!(record["warnings"], serde_json::json!([]));
    let listed = desk.ok(&["ls", "latest"]);
    let included: Vec<&str> = listed.lines().filter(|line| line.contains("/pg_hba.conf.included/")).collect();
    assert_eq!(included.len(), 2, "{listed}");
    assert!(
        included.iter().any(|line| line.contains("more%2Fa%2Econf"))
            && included.iter().any(|line| line.contains("one%2Econf"))
    );
}
