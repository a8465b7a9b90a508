//! Settings of the server that reach a session from its role or database, and poolers, which lose
//! what a session sets.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use pgark_testkit::oracle::{Snapshot, diff};
use pgark_testkit::{Cluster, Pooler, available_majors, is_full, shop, skipped, zoo};

use super::support::{Desk, text, wait_until};

/// What somebody may have given to a role or a database. A major leaves out what it does not have.
const HOSTILE: &[(&str, &str)] = &[
    ("DateStyle", "SQL, DMY"),
    ("IntervalStyle", "sql_standard"),
    ("TimeZone", "Asia/Kathmandu"),
    ("extra_float_digits", "-15"),
    ("bytea_output", "escape"),
    ("lc_monetary", "de_DE.UTF-8"),
    ("lc_numeric", "de_DE.UTF-8"),
    ("array_nulls", "off"),
    ("xmloption", "document"),
    ("xmlbinary", "hex"),
    ("client_encoding", "LATIN1"),
    ("quote_all_identifiers", "on"),
    ("standard_conforming_strings", "off"),
    ("backslash_quote", "off"),
    ("escape_string_warning", "on"),
    ("transform_null_equals", "on"),
    ("search_path", "nowhere, pg_temp, pg_catalog"),
    ("row_security", "on"),
    ("session_replication_role", "replica"),
    ("restrict_nonsystem_relation_kind", "view, foreign-table"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("statement_timeout", "50ms"),
    ("lock_timeout", "1ms"),
    ("idle_in_transaction_session_timeout", "50ms"),
    ("idle_session_timeout", "200ms"),
    ("transaction_timeout", "200ms"),
    ("exit_on_error", "on"),
    ("synchronize_seqscans", "on"),
    ("client_min_messages", "debug1"),
    ("check_function_bodies", "on"),
    ("gin_fuzzy_search_limit", "1"),
    ("default_toast_compression", "pglz"),
    ("default_text_search_config", "simple"),
    ("password_encryption", "md5"),
    ("createrole_self_grant", "set, inherit"),
    ("icu_validation_level", "error"),
    ("event_triggers", "off"),
    ("enable_seqscan", "off"),
    ("enable_indexscan", "off"),
    ("enable_hashjoin", "off"),
    ("force_parallel_mode", "on"),
    ("debug_parallel_query", "on"),
    ("jit_above_cost", "0"),
    ("plan_cache_mode", "force_generic_plan"),
    ("join_collapse_limit", "1"),
    ("constraint_exclusion", "on"),
    ("work_mem", "64kB"),
    ("synchronous_commit", "off"),
    ("plpgsql.extra_errors", "all"),
    ("plpgsql.variable_conflict", "use_column"),
    ("lc_messages", "de_DE.UTF-8"),
    ("zoo.whatever", "it''s"),
];

/// Those that this server has, and whose value it takes.
fn hostile(cluster: &Cluster) -> Vec<(&'static str, &'static str)> {
    let has_german =
        cluster.psql_text("postgres", "SELECT count(*) FROM pg_collation WHERE collname ~ '^de_DE'") != "0";
    let names = cluster.psql_text("postgres", "SELECT name FROM pg_settings");
    let names: BTreeSet<&str> = names.lines().collect();
    HOSTILE
        .iter()
        .filter(|(name, _)| name.contains('.') || names.contains(name))
        .filter(|(_, value)| has_german || !value.starts_with("de_DE"))
        .copied()
        .collect()
}

/// Whose settings are hostile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    /// The role's that backs up and restores.
    Role,
    /// The database's: the restored one has them, too.
    Database,
}

/// Backs up and restores under these settings. Returns what is wrong afterwards.
fn round(cluster: &Cluster, db: &str, settings: &[(&str, &str)], whose: Whose) -> Vec<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let (mean, back) = (format!("mean{number}"), format!("{db}_back{number}"));
    cluster.sql("postgres", &format!("ALTER DATABASE {db} RESET ALL; CREATE ROLE {mean} SUPERUSER LOGIN"));
    let to = if whose == Whose::Role { format!("ROLE {mean}") } else { format!("DATABASE {db}") };
    let mut script = String::new();
    for (name, value) in settings {
        // Lists are not to be one name.
        let value = if name.ends_with("_path") { value.to_string() } else { format!("'{value}'") };
        script.push_str(&format!("ALTER {to} SET {name} = {value};\n"));
    }
    if whose == Whose::Database {
        script.push_str(&format!("ALTER DATABASE {db} SET role = nobody_at_all;\n"));
    }
    cluster.sql("postgres", &script);
    let before = Snapshot::take(cluster, db);
    let desk = Desk::plain();
    let info = |db: &str| cluster.conninfo_as(db, &mean, None);
    let run = |args: &[&str]| {
        let output = desk.run(args);
        match output.status.success() {
            true => Ok(text(&output.stdout).trim().to_string()),
            false => Err(vec![format!("{}: {}", args[0], text(&output.stderr))]),
        }
    };
    let pg_dump = cluster.bin("pg_dump").display().to_string();
    let done = run(&["backup", "--dbname", &info(db), "--jobs", "2", "--pg-dump", &pg_dump]).and_then(|id| {
        run(&["restore", &id, "--dbname", &info(&back), "--create", "--jobs", "2"])?;
        // Definitions are written as without the settings.
        let toc = text(&desk.run(&["cat", &format!("{id}:/db/{db}/toc.dat")]).stdout);
        let strings = toc.contains("standard_conforming_strings = 'off'");
        Ok(if strings {
            vec!["the archive is written with standard_conforming_strings off".into()]
        } else {
            vec![]
        })
    });
    match done {
        Ok(wrong) => [wrong, diff(&before, &Snapshot::take(cluster, &back))].concat(),
        Err(wrong) => wrong,
    }
}

/// A round that fails is done again with each setting alone, so that the failure names those that
/// do it.
///
/// `short`: these rounds, where not all are run.
fn hostile_rounds(major: u32, short: [(Whose, &str); 2]) {
    let cluster = Cluster::builder().major(major).start();
    let settings = hostile(&cluster);
    assert!(settings.len() >= 40, "{}", settings.len());
    zoo::load_portable(&cluster, "zoo");
    shop::load(&cluster, "shop", 2, 7);
    cluster.sql("postgres", "CREATE ROLE nobody_at_all");
    // The oracle looks as another role, which the database's settings do not reach.
    for (name, _) in settings.iter().filter(|(name, _)| !name.contains('.')) {
        cluster.sql("postgres", &format!("ALTER ROLE postgres SET {name} FROM CURRENT"));
    }
    cluster.sql("postgres", "ALTER ROLE postgres SET role = 'none'");
    let all = [Whose::Role, Whose::Database].into_iter().flat_map(|whose| [(whose, "zoo"), (whose, "shop")]);
    let rounds: Vec<(Whose, &str)> = if is_full() { all.collect() } else { short.to_vec() };
    for (whose, db) in rounds {
        let wrong = round(&cluster, db, &settings, whose);
        if wrong.is_empty() {
            continue;
        }
        let alone: Vec<String> = settings
            .iter()
            .filter_map(|setting| {
                let wrong = round(&cluster, db, &[*setting], whose).into_iter().next()?;
                Some(format!("{}: {wrong}", setting.0))
            })
            .collect();
        let shown = wrong.iter().take(30).cloned().collect::<Vec<_>>().join("\n");
        panic!(
            "{db} under settings of the {whose:?}, of which {} do it alone: {alone:#?}\n{shown}",
            alone.len()
        );
    }
}

#[test]
fn settings_of_role_and_database_change_nothing() {
    hostile_rounds(pgark_testkit::default_major(), [(Whose::Role, "zoo"), (Whose::Database, "shop")]);
}

/// The oldest and the newest major.
#[test]
fn settings_of_role_and_database_change_nothing_elsewhere() {
    let full = is_full();
    let majors: Vec<u32> = available_majors().iter().map(|found| found.major).collect();
    for major in [13, 18] {
        if full || majors.contains(&major) {
            hostile_rounds(major, [(Whose::Role, "shop"), (Whose::Database, "zoo")]);
        } else {
            skipped(&format!("PostgreSQL {major} is not prepared on this machine"));
        }
    }
}

/// Money is written and read under one locale, whatever the role, the database and the target have;
/// stock pg_restore reads an export likewise.
#[test]
fn money_comes_back_under_another_locale() {
    let cluster = Cluster::start();
    let german =
        cluster.psql_text("postgres", "SELECT count(*) FROM pg_collation WHERE collname = 'de_DE.utf8'");
    if german == "0" {
        skipped("the server has no locale de_DE.UTF-8");
        return;
    }
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE m (v money DEFAULT 99.5::numeric::money, n numeric);
         INSERT INTO m SELECT x::numeric::money, x FROM unnest(array[1234, -5, 99999.25]) x;
         ALTER DATABASE d SET lc_monetary = 'de_DE.UTF-8'; CREATE ROLE german SUPERUSER LOGIN; ALTER ROLE german SET lc_monetary = 'de_DE.UTF-8'",
    );
    let desk = Desk::plain();
    let id = desk.ok(&["backup", "--dbname", &cluster.conninfo_as("d", "german", None)]).trim().to_string();
    let right = "SELECT count(*) FILTER (WHERE v::numeric = n), min(v::numeric), max(v::numeric) FROM m";
    let same = |db: &str| {
        assert_eq!(cluster.psql_text(db, right), cluster.psql_text("d", right), "{db}");
        cluster.sql(db, "INSERT INTO m DEFAULT VALUES");
        assert_eq!(cluster.psql_text(db, "SELECT v::numeric FROM m WHERE n IS NULL"), "99.50", "{db}");
    };
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("back"), "--create"]);
    same("back");
    cluster.create_database("plain");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo_as("plain", "german", None)]);
    same("plain");
    for format in ["custom", "directory", "tar"] {
        let path = desk.path(format).display().to_string();
        desk.ok(&["export", &id, "--format", format, "--output", &path]);
        let db = format!("of_{format}");
        cluster.create_database(&db);
        cluster.sql("postgres", &format!("ALTER DATABASE {db} SET lc_monetary = 'de_DE.UTF-8'"));
        super::support::stock(cluster.client("pg_restore").args(["-d", &cluster.conninfo(&db), &path]));
        same(&db);
    }
}

const TABLES: &str = "ALTER DATABASE d SET DateStyle = 'German'; ALTER DATABASE d SET extra_float_digits = -10;
    ALTER DATABASE d SET IntervalStyle = 'iso_8601'; ALTER DATABASE d SET bytea_output = escape;
    ALTER DATABASE d SET standard_conforming_strings = off;
    CREATE ROLE until VALID UNTIL '2099-12-31';
    SELECT format('CREATE TABLE t%s AS SELECT g, timestamp ''2020-02-03'' + g * interval ''1 day'' d, random() f,
        g * interval ''1 day 2 hours'' i, decode(md5(g::text), ''hex'') b FROM generate_series(1, 2000) g', n)
    FROM generate_series(1, 6) n \\gexec";

/// A pool in session mode is as good as a server, although it takes no start-up options.
#[test]
fn a_pool_in_session_mode_is_as_good_as_a_server() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", TABLES);
    let before = Snapshot::take(&cluster, "d");
    for more in [&[][..], &["ignore_startup_parameters = options, extra_float_digits"]] {
        let pooler = Pooler::start(&cluster, "session", more);
        let desk = Desk::plain();
        let made = desk.json(&["backup", "--dbname", &pooler.conninfo("d"), "--jobs", "3", "--json"]);
        assert_eq!(made["status"], "complete", "{made}");
        let id = made["id"].as_str().unwrap();
        let globals = desk.ok(&["cat", &format!("{id}:/globals.sql")]);
        assert!(globals.contains("VALID UNTIL '2099-12-31 00:00:00+00'"), "{globals}");
        let rows = desk.ok(&["cat", &format!("{id}:/db/d/data/public.t1")]);
        assert!(rows.starts_with("1\t2020-02-04 00:00:00\t"), "{}", rows.lines().next().unwrap_or_default());
        cluster.sql("postgres", "DROP DATABASE IF EXISTS d_back WITH (FORCE)");
        desk.ok(&["restore", id, "--dbname", &pooler.conninfo("d_back"), "--create", "--jobs", "3"]);
        let after = Snapshot::take(&cluster, "d_back");
        assert!(diff(&before, &after).is_empty(), "{:?}", diff(&before, &after));
    }
}

/// A pool that lends a server for one transaction hands settings to others: it is refused before
/// one is set.
#[test]
fn a_pool_that_lends_servers_is_refused_and_left_clean() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", TABLES);
    cluster.create_database("empty");
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    for (mode, more) in [
        ("transaction", ""),
        ("transaction", "server_round_robin = 1"),
        ("transaction", "default_pool_size = 1"),
        ("statement", ""),
    ] {
        let pooler = Pooler::start(&cluster, mode, &[more]);
        for args in [
            ["backup", "--dbname", &pooler.conninfo("d")].as_slice(),
            &["restore", &id, "--dbname", &pooler.conninfo("empty")],
            &["restore", &id, "--dbname", &pooler.conninfo("made"), "--create"],
        ] {
            let said = desk.fails(1, args);
            assert!(said.contains("session mode"), "{mode} {more}: {said}");
        }
        // Every server of the pool begins as the database says.
        wait_until(
            &cluster,
            "postgres",
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname IN ('d', 'empty') AND state <> 'idle'",
        );
        for _ in 0..4 {
            let psql = cluster
                .client("psql")
                .args(["-XAtc", "SELECT current_setting('search_path'), current_setting('DateStyle'), current_setting('bytea_output')"])
                .arg(pooler.conninfo("d"))
                .output()
                .unwrap();
            assert_eq!(text(&psql.stdout).trim(), "\"$user\", public|German, DMY|escape", "{mode} {more}");
        }
    }
    assert_eq!(desk.json(&["list", "--json"])["backups"].as_array().unwrap().len(), 1);
    assert_eq!(cluster.psql_text("empty", "SELECT count(*) FROM pg_class WHERE relname LIKE 't_'"), "0");
    assert_eq!(cluster.psql_text("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'made'"), "0");
}
