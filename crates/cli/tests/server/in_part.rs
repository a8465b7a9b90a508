//! Restores of some of a backup, and into what is there already.

use pgark_testkit::oracle::{self, Snapshot, assert_same};
use pgark_testkit::{Cluster, shop, zoo};

use super::support::{Desk, stock, text};

/// A database with two schemas, foreign keys, an enum, a serial, an identity, a view, a trigger.
const MODEL: &str = "
    CREATE SCHEMA sales; CREATE SCHEMA hr;
    CREATE TYPE sales.state AS ENUM ('new', 'paid');
    CREATE FUNCTION sales.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'touched'; RETURN NEW; END $$;
    CREATE TABLE sales.customers (id int PRIMARY KEY, name text NOT NULL UNIQUE);
    CREATE TABLE sales.orders (id serial PRIMARY KEY, customer int REFERENCES sales.customers, state sales.state DEFAULT 'new', note text);
    CREATE TABLE sales.lines (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id int REFERENCES sales.orders ON DELETE CASCADE, n int CHECK (n > 0));
    CREATE TABLE hr.people (id int PRIMARY KEY);
    CREATE INDEX ON sales.orders (customer); CREATE TRIGGER t BEFORE INSERT ON sales.orders FOR EACH ROW EXECUTE FUNCTION sales.touch();
    CREATE VIEW sales.open AS SELECT * FROM sales.orders WHERE state = 'new';
    COMMENT ON TABLE sales.orders IS 'what was ordered'; COMMENT ON COLUMN sales.orders.note IS 'a note';
    INSERT INTO sales.customers SELECT g, 'name ' || g FROM generate_series(1, 50) g;
    INSERT INTO sales.orders (customer, state) SELECT g, 'paid' FROM generate_series(1, 50) g;
    INSERT INTO sales.lines (order_id, n) SELECT g, g FROM generate_series(1, 50) g;
    INSERT INTO hr.people SELECT generate_series(1, 9);
    SELECT lo_from_bytea(4711, 'an object');";

fn model() -> (Cluster, Desk, String) {
    let cluster = Cluster::start();
    cluster.create_database("model");
    cluster.sql("model", MODEL);
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "model");
    (cluster, desk, id)
}

fn tables(cluster: &Cluster, db: &str) -> String {
    cluster.psql_text(
        db,
        "SELECT string_agg(c.oid::regclass::text, ' ' ORDER BY c.oid::regclass::text COLLATE \"C\") FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relkind IN ('r', 'v', 'S') AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'",
    )
}

#[test]
fn one_table_comes_back_with_all_that_belongs_to_it() {
    let (cluster, desk, id) = model();
    desk.expects(&["foreign key lines_order_id_fkey"]);
    let dbname = cluster.conninfo("model");
    // Into an empty database: type, function, schema and sequence come along; the parent of its key
    // does not.
    cluster.create_database("one");
    let output = desk.run(&["restore", &id, "--dbname", &cluster.conninfo("one"), "--table", "sales.orders"]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("orders_customer_fkey is left out") && said.contains("sales.customers"), "{said}");
    assert_eq!(tables(&cluster, "one"), "sales.orders sales.orders_id_seq");
    let state = "SELECT count(*), max(note), min(state), col_description('sales.orders'::regclass, 4), \
                 (SELECT count(*) FROM pg_index WHERE indrelid = 'sales.orders'::regclass), nextval('sales.orders_id_seq') FROM sales.orders";
    assert_eq!(cluster.psql_text("one", state), "50|touched|paid|a note|2|51");
    assert_eq!(cluster.psql_text("one", "SELECT count(*) FROM pg_largeobject_metadata"), "0");

    // The 3 a.m. case: the table was dropped in production; everything else is there and stays.
    let before = Snapshot::take(&cluster, "model");
    cluster.sql("model", "DROP TABLE sales.orders CASCADE");
    desk.ok(&["restore", &id, "--dbname", &dbname, "-t", "sales.orders", "-t", "sales.open"]);
    cluster.sql("model", "ALTER TABLE sales.lines ADD CONSTRAINT lines_order_id_fkey FOREIGN KEY (order_id) REFERENCES sales.orders ON DELETE CASCADE");
    assert_same(&before, &Snapshot::take(&cluster, "model"));
    // It is there again: nothing is touched.
    let said = desk.example(
        "The table to restore already exists",
        1,
        &["restore", &id, "--dbname", &dbname, "--table", "sales.orders"],
    );
    assert!(said.contains("already has sales.orders") && said.contains("--data-only"), "{said}");
    // With --clean it is replaced; what the archive does not hold of it is not lost silently.
    cluster.sql("model", "ALTER TABLE sales.lines DROP CONSTRAINT lines_order_id_fkey; DROP VIEW sales.open; DELETE FROM sales.orders WHERE id > 3");
    desk.ok(&["restore", &id, "--dbname", &dbname, "--table", "sales.orders", "--clean"]);
    assert_eq!(cluster.psql_text("model", "SELECT count(*) FROM sales.orders"), "50");
    // What the drops did not find is told, unless it was to be expected.
    cluster.sql("model", "DROP TABLE hr.people");
    let clean = ["restore", &id, "--dbname", &dbname, "--table", "hr.people", "--clean"];
    let output = desk.run(&clean);
    assert!(output.status.success() && text(&output.stderr).contains("does not exist, skipping"));
    let output = desk.run(&[&clean[..], &["--if-exists"]].concat());
    assert!(output.status.success() && !text(&output.stderr).contains("does not exist"));
}

/// What ties a table to others comes back where the other end is there, and is named where it is
/// not.
#[test]
fn ties_to_others_are_kept_or_named() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE p (id int PRIMARY KEY, d text) PARTITION BY RANGE (id); CREATE INDEX ON p (d);
         CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);
         CREATE TABLE lone (a int PRIMARY KEY); CREATE TABLE lonely (a int REFERENCES lone);
         CREATE PUBLICATION pu FOR TABLE lone; INSERT INTO p SELECT g, g::text FROM generate_series(1, 199) g;
         INSERT INTO lone VALUES (1); INSERT INTO lonely VALUES (1)",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let d = cluster.conninfo("d");
    let source = Snapshot::take(&cluster, "d");
    let run = |dbname: &str, more: &[&str]| {
        let output = desk.run(&[&["restore", &id, "--dbname", dbname][..], more].concat());
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        said
    };
    // Where there is nothing else: no error.
    cluster.create_database("one");
    let said = run(&cluster.conninfo("one"), &["--table", "lone", "--table", "p1"]);
    assert!(said.contains("publication pu is neither restored nor in the target"), "{said}");
    assert!(said.contains("public.p1 is a partition of public.p, which is neither"), "{said}");
    assert_eq!(
        cluster.psql_text("one", "SELECT (SELECT count(*) FROM lone) + (SELECT count(*) FROM p1)"),
        "100"
    );

    // A partition and a published table were dropped from production.
    cluster.sql("d", "DROP TABLE p1");
    run(&d, &["--table", "p1"]);
    assert_same(&source, &Snapshot::take(&cluster, "d"));
    run(&d, &["--table", "p1", "--clean"]);
    assert_same(&source, &Snapshot::take(&cluster, "d"));
    cluster.sql("d", "DROP TABLE lone CASCADE");
    let said = run(&d, &["--table", "lone"]);
    let begin =
        said.find("ALTER TABLE ONLY public.lonely ADD CONSTRAINT").unwrap_or_else(|| panic!("{said}"));
    let statement = said[begin..].lines().next().unwrap();
    cluster.sql("d", statement);
    assert_same(&source, &Snapshot::take(&cluster, "d"));
}

/// Services hand out databases that hold extensions, and a schema of their own making.
#[test]
fn a_database_that_holds_only_extensions_is_empty() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE EXTENSION pgcrypto; CREATE EXTENSION hstore; CREATE SCHEMA app; CREATE TABLE app.t (h hstore, x bytea DEFAULT gen_random_bytes(3));
         INSERT INTO app.t VALUES ('a=>1', 'x')",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    cluster.sql(
        "postgres",
        "CREATE ROLE service; CREATE ROLE customer LOGIN; CREATE DATABASE given OWNER customer",
    );
    // As the service left it: its extensions, its `public`, empty schemas.
    cluster.sql(
        "given",
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION service;
         GRANT ALL ON SCHEMA public TO customer; CREATE EXTENSION pgcrypto; CREATE SCHEMA app AUTHORIZATION service; GRANT ALL ON SCHEMA app TO customer",
    );
    let given = format!("{} user=customer", cluster.conninfo("given"));
    let output = desk.run(&["restore", &id, "--dbname", &given, "--no-owner"]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("EXTENSION pgcrypto is not changed"), "{said}");
    assert_eq!(cluster.psql_text("given", "SELECT h FROM app.t"), "\"a\"=>\"1\"");
    // An object of a user is one, whatever else there is.
    cluster.sql("postgres", "CREATE DATABASE used");
    cluster.sql(
        "used",
        "CREATE EXTENSION pgcrypto; CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    );
    let said = desk.fails(1, &["restore", &id, "--dbname", &cluster.conninfo("used")]);
    assert!(said.contains("function public.mine()") && !said.contains("pgcrypto"), "{said}");
    // One that lies where the backup does not look for it is named.
    cluster.sql("postgres", "CREATE DATABASE elsewhere");
    cluster.sql("elsewhere", "CREATE SCHEMA extensions; CREATE EXTENSION hstore SCHEMA extensions");
    let said = desk.fails(3, &["restore", &id, "--dbname", &cluster.conninfo("elsewhere")]);
    assert!(said.contains("extension hstore is in schema extensions of the target"), "{said}");
}

#[test]
fn schemas_and_exclusions() {
    let (cluster, desk, id) = model();
    let restored = |number: &str, choice: &[&str]| {
        let name = format!("part_{number}");
        let conninfo = cluster.conninfo(&name);
        desk.ok(&[&["restore", &id, "--dbname", &conninfo, "--create"][..], choice].concat());
        tables(&cluster, &name)
    };
    assert_eq!(restored("a", &["-n", "hr"]), "hr.people");
    assert_eq!(restored("b", &["-N", "sales"]), "hr.people");
    assert_eq!(
        restored("c", &["-n", "sales", "-T", "sales.l*"]),
        "sales.customers sales.open sales.orders sales.orders_id_seq"
    );
    assert_eq!(restored("d", &["-t", "*.customers", "--schema-only"]), "sales.customers");
    assert_eq!(cluster.psql_text("part_d", "SELECT count(*) FROM sales.customers"), "0");
    let refused = desk.example(
        "A pattern of a restore matches nothing",
        1,
        &[
            "restore",
            &id,
            "--dbname",
            &cluster.conninfo("part_x"),
            "--create",
            "-t",
            "sales.ordres",
            "-t",
            "sales.lines",
            "--strict-names",
        ],
    );
    assert!(refused.contains("sales.ordres"), "{refused}");
    assert!(cluster.try_sql("part_x", "SELECT 1").is_err(), "nothing was changed");
    desk.fails(1, &["restore", &id, "--dbname", &cluster.conninfo("part_x"), "--create", "-t", "nothing"]);
    desk.fails(2, &["restore", &id, "--dbname", &cluster.conninfo("part_x"), "--create", "-t", "a.b.c"]);
}

#[test]
fn rows_into_tables_that_have_some() {
    let (cluster, desk, id) = model();
    desk.expects(&["a row with the same key exists", "violates foreign key constraint", "rows were skipped"]);
    let dbname = cluster.conninfo("model");
    // Rows that are there again: the load fails, and its transaction leaves nothing.
    let said = desk.fails(3, &["restore", &id, "--dbname", &dbname, "--data-only", "-t", "sales.customers"]);
    assert!(said.contains("duplicate key"), "{said}");
    cluster.sql("model", "DELETE FROM sales.lines WHERE id > 10; DELETE FROM sales.orders WHERE id > 20; DELETE FROM sales.customers WHERE id > 30; INSERT INTO sales.customers VALUES (99, 'name 50')");
    let args = [
        "restore",
        &id,
        "--dbname",
        &dbname,
        "--data-only",
        "-n",
        "sales",
        "--on-conflict",
        "skip",
        "--json",
    ];
    let report = desk.json(&[&args[..], &["--overriding-system-value"]].concat());
    assert_eq!(report["status"], "complete", "{report}");
    let skipped = |table: &str| {
        let all = report["skipped"].as_array().unwrap();
        all.iter().find(|skipped| skipped["table"] == table).cloned().unwrap_or_default()
    };
    assert_eq!(skipped("sales.customers")["rows"], 31);
    // Order 50 refers to a customer that was left out.
    assert_eq!(skipped("sales.orders")["rows"], 21, "{report}");
    assert_eq!(skipped("sales.lines")["rows"], 11, "{report}");
    assert!(skipped("sales.lines").to_string().contains("foreign key"), "{report}");
    assert_eq!(cluster.psql_text("model", "SELECT (SELECT count(*) FROM sales.customers), (SELECT count(*) FROM sales.orders), (SELECT count(*) FROM sales.lines)"), "50|49|49");
    // An identity that is always generated takes no values from a plain insert.
    cluster.sql("model", "DELETE FROM sales.lines");
    let output = desk.run(&args);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    desk.fails(2, &["restore", &id, "--dbname", &dbname, "--overriding-system-value"]);

    // Triggers: the table's own fire, unless they are not to.
    let notes = "SELECT count(*) FROM sales.orders WHERE note = 'fired'";
    cluster.sql("model", "TRUNCATE sales.orders CASCADE; CREATE OR REPLACE FUNCTION sales.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'fired'; RETURN NEW; END $$; ALTER TABLE sales.orders ENABLE ALWAYS TRIGGER t");
    let load = ["restore", &id, "--dbname", &dbname, "--data-only", "-t", "sales.orders"];
    cluster.sql("model", "INSERT INTO sales.customers VALUES (50, 'fifty')");
    desk.ok(&load);
    assert_eq!(cluster.psql_text("model", notes), "50");
    cluster.sql("model", "TRUNCATE sales.orders CASCADE");
    desk.ok(&[&load[..], &["--disable-triggers"]].concat());
    assert_eq!(cluster.psql_text("model", notes), "0");
    assert_eq!(cluster.psql_text("model", "SELECT tgenabled FROM pg_trigger WHERE tgname = 't'"), "A");
    cluster.sql("model", "TRUNCATE sales.orders CASCADE; ALTER TABLE sales.orders ENABLE TRIGGER t");
    desk.ok(&[&load[..], &["--replica-role"]].concat());
    assert_eq!(cluster.psql_text("model", notes), "0");
}

#[test]
fn all_or_nothing() {
    let (cluster, desk, id) = model();
    let before = Snapshot::take(&cluster, "model");
    cluster.create_database("whole");
    let whole = cluster.conninfo("whole");
    // An object in the way that the emptiness check does not know: a lock on none, a failing hook
    // instead.
    let said = desk.fails(
        3,
        &["restore", &id, "--dbname", &whole, "--hook", "after-post-data=command:echo sad >&2; exit 7"],
    );
    assert!(said.contains("sad"), "{said}");
    let mut after = Snapshot::take(&cluster, "whole");
    after.database.clone_from(&before.database);
    assert_same(&before, &after);
    // Replaced in one transaction: a restore that fails leaves what was there.
    cluster.sql(
        "whole",
        "DELETE FROM sales.lines WHERE id > 5; CREATE VIEW public.leans AS SELECT * FROM sales.customers",
    );
    let kept = Snapshot::take(&cluster, "whole");
    desk.fails(1, &["restore", &id, "--dbname", &whole, "--clean", "--single-transaction"]);
    assert_same(&kept, &Snapshot::take(&cluster, "whole"));
    cluster.sql("whole", "DROP VIEW public.leans");
    desk.ok(&["restore", &id, "--dbname", &whole, "--clean", "--single-transaction"]);
    let mut after = Snapshot::take(&cluster, "whole");
    after.database.clone_from(&before.database);
    assert_same(&before, &after);
    desk.fails(2, &["restore", &id, "--dbname", &whole, "--create", "--single-transaction"]);
    let between =
        ["restore", &id, "--dbname", &whole, "--single-transaction", "--hook", "after-data=sql:SELECT 1"];
    assert!(desk.fails(2, &between).contains("moments in between"));
}

#[test]
fn hooks_run_at_their_moments() {
    let (cluster, desk, id) = model();
    cluster.create_database("hooked");
    let log = desk.path("log").display().to_string();
    let told = |moment: &str| {
        let sql = "(SELECT count(*) FROM pg_class WHERE relnamespace::regnamespace::text = 'sales' AND relkind = 'r'), \
                   (SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = indrelid WHERE relnamespace::regnamespace::text = 'sales')";
        let rows = "SELECT CASE WHEN to_regclass('sales.lines') IS NULL THEN 0 ELSE (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM sales.lines', false, true, '')))[1]::text::int END";
        format!(
            "{moment}=command:echo $PGARK_HOOK $PGARK_DATABASE $(psql -XAtc \"SELECT {sql}\") $(psql -XAtc \"{rows}\") >> {log}"
        )
    };
    let psql = cluster.bin_directory().display().to_string();
    let mut args = vec!["restore".to_string(), id.clone(), "--dbname".into(), cluster.conninfo("hooked")];
    for moment in [
        "before-pre-data",
        "after-pre-data",
        "before-data",
        "after-data",
        "before-post-data",
        "after-post-data",
    ] {
        args.extend(["--hook".to_string(), told(moment)]);
    }
    args.extend(["--hook".to_string(), "after-data=sql:UPDATE sales.lines SET n = n + 1000".to_string()]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let path = format!("{psql}:{}", std::env::var("PATH").unwrap());
    let output = desk.command(&args).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = std::fs::read_to_string(desk.path("log")).unwrap();
    assert_eq!(
        lines.lines().collect::<Vec<_>>(),
        [
            "before-pre-data hooked 0|0 0",
            "after-pre-data hooked 3|0 0",
            "before-data hooked 3|0 0",
            "after-data hooked 3|0 50",
            "before-post-data hooked 3|0 50",
            "after-post-data hooked 3|5 50"
        ]
    );
    assert_eq!(cluster.psql_text("hooked", "SELECT min(n) FROM sales.lines"), "1001");
    // A hook before the data that fails ends the restore; what cannot be understood is refused at
    // once.
    cluster.create_database("unhooked");
    let dbname = cluster.conninfo("unhooked");
    let said = desk.example(
        "A hook fails",
        1,
        &["restore", &id, "--dbname", &dbname, "--hook", "before-data=sql:SELECT 1/0"],
    );
    assert!(said.contains("before-data") && said.contains("division by zero"), "{said}");
    desk.fails(2, &["restore", &id, "--dbname", &dbname, "--hook", "before-lunch=sql:SELECT 1"]);
    desk.fails(2, &["restore", &id, "--dbname", &dbname, "--hook", "before-data=SELECT 1"]);
}

#[test]
fn a_list_chooses_and_a_role_owns() {
    let (cluster, desk, id) = model();
    let list = desk.ok(&["restore", &id, "--list"]);
    // The same lines as stock pg_restore writes of the same archive.
    let folder = desk.path("dump").display().to_string();
    desk.ok(&["export", &id, "--output", &folder]);
    let stock_list = stock(cluster.client("pg_restore").args(["-l", &folder]));
    let lines = |text: &str| {
        let mut lines: Vec<String> =
            text.lines().filter(|line| !line.starts_with(';')).map(str::to_string).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&list), lines(&stock_list));
    let chosen: String = list
        .lines()
        .filter(|line| line.contains(" hr ") || line.contains(" hr\n") || line.contains("SCHEMA - hr"))
        .map(|line| format!("{line}\n"))
        .collect();
    let file = desk.path("list");
    std::fs::write(&file, format!("; chosen\n{chosen}")).unwrap();
    let file = file.display().to_string();
    cluster.sql("postgres", "CREATE ROLE owner; CREATE DATABASE listed OWNER owner");
    let dbname = cluster.conninfo("listed");
    desk.ok(&["restore", &id, "--dbname", &dbname, "--use-list", &file, "--role", "owner", "--no-owner"]);
    assert_eq!(tables(&cluster, "listed"), "hr.people");
    assert_eq!(
        cluster.psql_text("listed", "SELECT relowner::regrole FROM pg_class WHERE relname = 'people'"),
        "owner"
    );
    std::fs::write(desk.path("list"), "99999; 0 0 TABLE x y z\n").unwrap();
    let said =
        desk.fails(1, &["restore", &id, "--dbname", &cluster.conninfo("x"), "--create", "--use-list", &file]);
    assert!(said.contains("99999"), "{said}");
    std::fs::write(desk.path("list"), "what\n").unwrap();
    let said =
        desk.fails(2, &["restore", &id, "--dbname", &cluster.conninfo("x"), "--create", "--use-list", &file]);
    assert!(said.contains("line 1"), "{said}");
    desk.fails(
        1,
        &["restore", &id, "--dbname", &cluster.conninfo("x"), "--create", "--role", "nobody_has_this"],
    );
}

#[test]
fn globals_leave_what_is_there_and_list_what_is_other() {
    let source = Cluster::start();
    source.sql(
        "postgres",
        "CREATE ROLE shared LOGIN CREATEDB; ALTER ROLE shared SET work_mem = '7MB'; CREATE ROLE fresh LOGIN PASSWORD 'p'; CREATE ROLE grp; \
         GRANT grp TO shared; GRANT grp TO fresh; CREATE DATABASE d OWNER fresh",
    );
    source.sql("d", "CREATE TABLE t (a int); ALTER TABLE t OWNER TO fresh; GRANT SELECT ON t TO grp");
    let desk = Desk::plain();
    desk.expects(&["role shared"]);
    let id = desk.backup(&source, "d");
    let target = Cluster::start();
    target.sql("postgres", "CREATE ROLE shared; CREATE ROLE grp");
    let dbname = target.conninfo("d");
    let said = desk.fails(1, &["restore", &id, "--dbname", &dbname, "--create"]);
    assert!(said.contains("role fresh") && said.contains("--globals"), "{said}");
    let report = desk.json(&["restore", &id, "--dbname", &dbname, "--create", "--globals", "--json"]);
    assert_eq!(report["status"], "complete", "{report}");
    let notes = report["notes"].to_string();
    for difference in [
        "shared: createdb is no here",
        "shared: login is no here",
        "work_mem is not set here, 7MB",
        "shared is not a member of grp",
    ] {
        assert!(notes.contains(difference), "{difference}: {notes}");
    }
    assert_eq!(
        target
            .psql_text("postgres", "SELECT rolcreatedb, rolcanlogin FROM pg_roles WHERE rolname = 'shared'"),
        "f|f"
    );
    assert_eq!(target.psql_text("d", "SELECT relowner::regrole, pg_has_role('fresh', 'grp', 'MEMBER') FROM pg_class WHERE relname = 't'"), "fresh|t");
    let password = "SELECT rolpassword FROM pg_authid WHERE rolname = 'fresh'";
    assert_eq!(target.psql_text("postgres", password), source.psql_text("postgres", password));
    // Alone, onto nothing; a dry run makes none.
    let bare = Cluster::start();
    desk.ok(&["restore", &id, "--globals-only", "--dbname", &bare.conninfo("postgres"), "--dry-run"]);
    assert_eq!(bare.psql_text("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'fresh'"), "0");
    desk.ok(&["restore", &id, "--globals-only", "--dbname", &bare.conninfo("postgres")]);
    assert_eq!(oracle::globals(&bare), oracle::globals(&source));
}

#[test]
fn only_what_is_needed_is_fetched() {
    let cluster = Cluster::start();
    cluster.create_database("shop");
    shop::load(&cluster, "shop", 20, 3);
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "shop");
    let whole = desk.json(&["restore", &id, "--dbname", &cluster.conninfo("w"), "--create", "--json"]);
    let part = desk.json(&[
        "restore",
        &id,
        "--dbname",
        &cluster.conninfo("p"),
        "--create",
        "-t",
        "shop.customers",
        "--json",
    ]);
    let fetched = |report: &serde_json::Value| report["bytes_fetched"].as_u64().unwrap();
    assert!(fetched(&whole) > 1_000_000 && fetched(&part) * 2 < fetched(&whole), "{whole} {part}");
    let schema = desk.json(&[
        "restore",
        &id,
        "--dbname",
        &cluster.conninfo("s"),
        "--create",
        "--schema-only",
        "--json",
    ]);
    assert!(fetched(&schema) * 10 < fetched(&whole), "{schema}");
}

#[test]
fn a_target_is_never_guessed() {
    let cluster = Cluster::start();
    zoo::load_portable(&cluster, "zoo");
    cluster.create_database("second");
    let desk = Desk::plain();
    let dbname = cluster.conninfo("zoo");
    let id = desk.ok(&["backup", "--dbname", &dbname, "--all"]).trim().to_string();
    let said = desk.fails(1, &["restore", &id, "--dbname", &cluster.conninfo("x")]);
    assert!(said.contains("3 databases") && said.contains("--database"), "{said}");
    let server = format!("host={} port={}", cluster.socket_directory().display(), cluster.port());
    let said = desk.fails(2, &["restore", &id, "--dbname", &server]);
    assert!(said.contains("no target database"), "{said}");
    desk.fails(2, &["restore", &id]);
    let mut command = desk.command(&["restore", &id, "--dbname", &server]);
    assert_eq!(command.env("PGDATABASE", "second").output().unwrap().status.code(), Some(2));
    desk.fails(
        2,
        &["restore", &id, "--dbname", &server, "--database", "zoo", "--database", "second", "--as", "y"],
    );
    // Its own name is a name: and there it is not empty.
    let said = desk.example(
        "A restore would overwrite the database it came from",
        1,
        &["restore", &id, "--dbname", &format!("{server} user=postgres"), "--database", "zoo"],
    );
    assert!(
        said.contains("the database that this backup was made from") && said.contains("--clean"),
        "{said}"
    );
}
