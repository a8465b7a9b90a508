//! The order of a restore, where the archive's dependencies do not tell all of it.

use pgark_testkit::oracle::{Snapshot, assert_same};
use pgark_testkit::{Cluster, zoo};

use super::support::{Desk, stock, text};

/// Functions that read other tables, in every place where a restore calls them.
const READERS: &str = r#"
    create extension amcheck; create extension citext; create schema ext; create extension cube schema ext;
    create table a_codes (code text primary key); insert into a_codes values ('x'),('y');
    create table zz_rates (code text primary key, rate int); insert into zz_rates values ('x',7),('y',9);
    create table "odd Name" (code text); insert into "odd Name" values ('x');
    create function known(c text) returns bool language plpgsql stable as $$ begin return exists (select from public.a_codes where code = c); end $$;
    create function rate(c text) returns int language sql immutable as $$ select rate from public.zz_rates where code = c $$;
    create function rate2(c text) returns int language plpgsql immutable as $$ begin return public.rate(c) + 1; end $$;
    create function dyn(c text) returns bool language plpgsql stable as $$ declare b bool; begin execute 'select exists (select from public.' || 'zz_' || 'rates where code = $1)' into b using c; return b; end $$;
    create function odd() returns int language plpgsql stable as $$ begin return count(*) from public."odd Name"; end $$;
    create domain dom as text check (known(value));
    create type comp as (a dom, b int);
    create table t_check (id int primary key, code text check (known(code)), pad text); insert into t_check select g, 'x', repeat('p',50) from generate_series(1,4000) g;
    create table t_dom (id int, code dom, codes dom[], c comp, pad text); insert into t_dom select g, 'x', '{x,y}', '(y,1)', repeat('p',50) from generate_series(1,4000) g;
    create table t_gen (id int, code text, g int generated always as (rate2(code)) stored, pad text); insert into t_gen(id,code,pad) select g, 'x', repeat('p',50) from generate_series(1,4000) g;
    create function myop(text,text) returns bool language sql immutable as $$ select exists (select from public.zz_rates where code = $1) $$;
    create operator === (leftarg=text, rightarg=text, function=myop);
    create table t_op (id int, code text check (code === 'a'), pad text); insert into t_op select g, 'y', repeat('p',50) from generate_series(1,4000) g;
    create table t_dyn (id int, code text check (dyn(code)), pad text); insert into t_dyn select g, 'y', repeat('p',50) from generate_series(1,4000) g;
    create table a_odd (id int, constraint o check (odd() = 1)); insert into a_odd select g from generate_series(1,4000) g;
    create table t_part (id int, code text) partition by list (rate(code)); create table t_part_7 partition of t_part for values in (7); create table t_part_9 partition of t_part for values in (9); insert into t_part select g, case when g%2=0 then 'x' else 'y' end from generate_series(1,4000) g;
    create table inh_parent (id int, code text, constraint ik check (dyn(code))); create table inh_child () inherits (inh_parent); insert into inh_child select g,'x' from generate_series(1,2000) g;
    create table t_ix (id int, code text, pad text); insert into t_ix select g, case when g%3=0 then 'x' else 'y' end, repeat('p',50) from generate_series(1,9000) g;
    create index ix_expr on t_ix (rate(code)); create index ix_part on t_ix (id) where rate2(code) = 8; create index ix_op on t_ix ((code === 'a'));
    create view v_rates as select * from zz_rates; create function v_rate(c text) returns bigint immutable language sql begin atomic select rate from v_rates where code = c; end;
    create index ix_view on t_ix (v_rate(code));
    create function mycmp(int,int) returns int language plpgsql immutable as $$ declare n int; begin select count(*) into n from public.zz_rates; if n = 0 then return 0; end if; return case when $1 < $2 then -1 when $1 > $2 then 1 else 0 end; end $$;
    create operator class myops for type int using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 mycmp(int,int);
    create unique index ix_class on t_ix (id myops);
    create table t_ex (id int, code text, exclude using btree (coalesce(rate(code),0) with =)); insert into t_ex values (1,'x'),(2,'y');
    create table t_late (id int, code text); insert into t_late select g,'x' from generate_series(1,3000) g; alter table t_late add constraint late check (known(code)) not valid;
    create domain ldom as int; create table t_ldom (a ldom); insert into t_ldom select g from generate_series(1,3000) g; alter domain ldom add constraint lc check (value > 0 and dyn('x')) not valid;
    create materialized view mv_z as select sum(rate) as s from zz_rates; create function total() returns bigint language plpgsql stable as $$ begin return s from public.mv_z; end $$;
    create materialized view mv_a as select total() as t, count(*) from t_ix;
    create table b_orders (id int, code text); insert into b_orders select g,'x' from generate_series(1,3000) g;
    create function guard() returns trigger language plpgsql as $$ begin if public.rate(new.code) is null then raise exception 'no rate'; end if; return new; end $$; create trigger guard before insert on b_orders for each row execute function guard();
    create table t_cube (q ext.cube, check (ext.cube_dim(q) = 2)); insert into t_cube values ('(1,2)'); create index on t_cube using gist (q); create index on t_cube (ext.cube_dim(q));
    create function py(c text) returns text language sql immutable as $$ select 'a' || c $$; create index pure on t_ix (py(code)); create table t_pure (c text check (py(c) <> '')); insert into t_pure values ('a');
    create statistics st on rate(code), id from t_ix;
"#;

/// Two tables of which each row's check looks into the other.
const CIRCLE: &str = "
    CREATE TABLE m_one (id int); CREATE TABLE m_two (id int);
    CREATE FUNCTION sees_two() RETURNS bool LANGUAGE plpgsql STABLE AS $$BEGIN RETURN EXISTS (SELECT FROM public.m_two); END$$;
    CREATE FUNCTION sees_one() RETURNS bool LANGUAGE plpgsql STABLE AS $$BEGIN PERFORM 1 FROM public.m_one; RETURN true; END$$;
    INSERT INTO m_two VALUES (1); INSERT INTO m_one VALUES (1);
    ALTER TABLE m_one ADD CHECK (sees_two()); ALTER TABLE m_two ADD CHECK (sees_one());";

/// Every row is in every B-tree, by what the index's expressions give now.
fn check_indexes(cluster: &Cluster, db: &str) {
    cluster.sql(
        db,
        "SELECT bt_index_check(i.indexrelid::regclass, true) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
           JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND i.indrelid >= 16384 AND c.relkind = 'i'",
    );
}

#[test]
fn what_functions_read_is_there_before_they_are_called() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", READERS);
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let before = Snapshot::take(&cluster, "d");
    let same = |db: &str| {
        assert_same(&before, &Snapshot::take(&cluster, db));
        check_indexes(&cluster, db);
    };
    desk.ok(&[
        "restore",
        &id,
        "--as",
        "whole",
        "--create",
        "--dbname",
        &cluster.conninfo("postgres"),
        "--jobs",
        "4",
    ]);
    same("whole");
    // The steps of a migration: indexes and triggers are there before the rows.
    cluster.create_database("steps");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("steps"), "--schema-only"]);
    let filled = "SELECT string_agg(relispopulated::text, ',') FROM pg_class WHERE relkind = 'm'";
    assert_eq!(cluster.psql_text("steps", filled), "false,false", "a view without rows looks filled");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("steps"), "--data-only", "--jobs", "4"]);
    same("steps");
    // One connection, which takes the archive's order.
    cluster.create_database("single");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("single"), "--single-transaction"]);
    same("single");
    // Stock pg_restore gets more of our export than of pg_dump's own archive.
    let folder = desk.path("export").display().to_string();
    desk.ok(&["export", &id, "--output", &folder]);
    for (name, jobs) in [("serial", "-j1"), ("parallel", "-j4")] {
        cluster.create_database(name);
        stock(cluster.client("pg_restore").args(["-e", jobs, "-d", &cluster.conninfo(name), &folder]));
        same(name);
    }
}

/// What no order gets through is tried twice; what reads a materialised view waits until that is
/// filled.
#[test]
fn what_looks_into_each_other_is_loaded_all_the_same() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", CIRCLE);
    cluster.sql(
        "d",
        "CREATE EXTENSION amcheck; CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 3000) g;
         CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n FROM t;
         CREATE FUNCTION share(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$BEGIN RETURN $1 % (SELECT n FROM public.total); END$$;
         CREATE INDEX by_share ON t (share(id));",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let before = Snapshot::take(&cluster, "d");
    for jobs in ["1", "4"] {
        let name = format!("back{jobs}");
        desk.ok(&[
            "restore",
            &id,
            "--as",
            &name,
            "--create",
            "--dbname",
            &cluster.conninfo("postgres"),
            "--jobs",
            jobs,
        ]);
        assert_same(&before, &Snapshot::take(&cluster, &name));
        check_indexes(&cluster, &name);
    }
}

/// pg_dump puts a materialised view that needs a primary key behind the rows, and with it views and
/// functions that read it.
#[test]
fn definitions_that_need_a_key_come_behind_it() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE t (id int PRIMARY KEY, name text, v int); INSERT INTO t SELECT g, 'n' || g, g FROM generate_series(1, 100) g;
         CREATE MATERIALIZED VIEW mv_key AS SELECT id, name, count(*) FROM t GROUP BY id;
         CREATE VIEW on_it AS SELECT count(*) AS n FROM mv_key;
         CREATE FUNCTION f_on_it() RETURNS bigint LANGUAGE sql STABLE BEGIN ATOMIC SELECT count(*) FROM mv_key; END;
         CREATE TABLE uses (a int, b bigint DEFAULT f_on_it(), CHECK (f_on_it() > -1)); INSERT INTO uses (a) VALUES (1);
         CREATE FUNCTION by_key() RETURNS TABLE (i int, n text) LANGUAGE sql STABLE BEGIN ATOMIC SELECT id, name FROM t GROUP BY id; END;
         CREATE VIEW v_key AS SELECT * FROM by_key(); COMMENT ON VIEW v_key IS 'c'; GRANT SELECT ON v_key TO public;
         CREATE MATERIALIZED VIEW on_view AS SELECT n FROM on_it; CREATE INDEX ON on_view (n);",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let before = Snapshot::take(&cluster, "d");
    let same = |db: &str| assert_same(&before, &Snapshot::take(&cluster, db));
    desk.ok(&["restore", &id, "--as", "whole", "--create", "--dbname", &cluster.conninfo("postgres")]);
    same("whole");
    cluster.create_database("hooks");
    let note = "before-post-data=sql:SELECT 1";
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("hooks"), "--hook", note]);
    same("hooks");
    cluster.create_database("sections");
    for section in ["pre-data", "data", "post-data"] {
        desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("sections"), "--section", section]);
    }
    same("sections");
    // pg_dump's own archive is refused by a parallel pg_restore.
    let file = desk.path("export.dump").display().to_string();
    desk.ok(&["export", &id, "--format", "custom", "--output", &file]);
    cluster.create_database("stock");
    stock(cluster.client("pg_restore").args(["-e", "-j2", "-d", &cluster.conninfo("stock"), &file]));
    same("stock");
}

/// An extension's tables have their keys and triggers before the first row, and a user's key may
/// refer to them.
#[test]
fn tables_of_extensions_load_in_the_archives_order() {
    let cluster = Cluster::start();
    assert!(zoo::install_extension(&cluster), "the server's share folder cannot be written");
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE SCHEMA k; CREATE EXTENSION pgark_zoo_keys SCHEMA k; INSERT INTO k.z_system SELECT g, 'p' || g FROM generate_series(1, 2000) g;
         INSERT INTO k.a_layer SELECT g, greatest(g - 1, 1), g % 2000 + 1 FROM generate_series(1, 20000) g;
         SELECT setval('k.zz_seq', 99); INSERT INTO k.numbered (v) SELECT 'v' || g FROM generate_series(1, 50) g;
         CREATE TABLE mine (id int REFERENCES k.z_system (id), note text CHECK (note = k.note_of(id))); INSERT INTO mine VALUES (3, 'p3');",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let before = Snapshot::take(&cluster, "d");
    let output = desk.run(&[
        "restore",
        &id,
        "--as",
        "whole",
        "--create",
        "--dbname",
        &cluster.conninfo("postgres"),
        "--jobs",
        "4",
    ]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("left out"), "the key to the extension's table is restored: {said}");
    assert_same(&before, &Snapshot::take(&cluster, "whole"));
    let folder = desk.path("export").display().to_string();
    desk.ok(&["export", &id, "--output", &folder]);
    cluster.create_database("stock");
    stock(cluster.client("pg_restore").args(["-e", "-j4", "-d", &cluster.conninfo("stock"), &folder]));
    assert_same(&before, &Snapshot::take(&cluster, "stock"));
}

/// The two steps that people take with pg_restore: large objects come once, with the rows, and with
/// all that belongs to them.
#[test]
fn large_objects_come_with_the_rows() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE ROLE keeper; CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, r int);
         INSERT INTO a (r) SELECT g FROM generate_series(1, 100) g; ALTER TABLE a ADD FOREIGN KEY (r) REFERENCES a DEFERRABLE;
         SELECT lo_from_bytea(600 + g, decode(md5(g::text), 'hex')) FROM generate_series(1, 20) g;
         GRANT SELECT ON LARGE OBJECT 601 TO public; COMMENT ON LARGE OBJECT 602 IS 'c'; ALTER LARGE OBJECT 603 OWNER TO keeper;
         GRANT ALL ON LARGE OBJECT 604 TO keeper; CREATE SEQUENCE s; SELECT nextval('s');",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let before = Snapshot::take(&cluster, "d");
    cluster.create_database("steps");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("steps"), "--schema-only"]);
    assert_eq!(cluster.psql_text("steps", "SELECT count(*) FROM pg_largeobject_metadata"), "0");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("steps"), "--data-only", "--disable-triggers"]);
    assert_same(&before, &Snapshot::take(&cluster, "steps"));
    cluster.create_database("sections");
    for section in ["pre-data", "data", "post-data"] {
        desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("sections"), "--section", section]);
    }
    assert_same(&before, &Snapshot::take(&cluster, "sections"));
}

/// The rows are there, whatever becomes of the planner's statistics.
#[test]
fn an_analyze_that_fails_is_a_warning() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE EXTENSION postgres_fdw; CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '/nowhere/at/all');
         CREATE USER MAPPING FOR PUBLIC SERVER away;
         CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p_here PARTITION OF p FOR VALUES FROM (0) TO (10);
         CREATE FOREIGN TABLE p_away PARTITION OF p FOR VALUES FROM (10) TO (20) SERVER away; INSERT INTO p VALUES (1);
         CREATE FUNCTION helper(text) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN 2; END$$;
         CREATE FUNCTION factor(x text) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN helper(x); END$$;
         CREATE TABLE t AS SELECT 'a'::text AS k, g FROM generate_series(1, 1000) g; CREATE STATISTICS s ON (factor(k)), g FROM t;",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let restore =
        ["restore", &id, "--as", "back", "--create", "--dbname", &cluster.conninfo("postgres"), "--json"];
    let output = desk.run(&restore);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("could not be restored"), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["status"], &report["errors"]), (&"complete".into(), &serde_json::json!([])));
    let notes = report["notes"].to_string();
    assert!(notes.contains("TABLE public.p has no planner statistics"), "{notes}");
    assert_same(&Snapshot::take(&cluster, "d"), &Snapshot::take(&cluster, "back"));
    // Where the database's own path finds the helper, the table is analyzed: 17 and newer never
    // take that path.
    if cluster.major() < 17 {
        assert!(!notes.contains("public.t "), "{notes}");
        assert_eq!(cluster.psql_text("back", "SELECT count(*) > 0 FROM pg_stats WHERE tablename = 't'"), "t");
    }
}

/// A query that makes text of a moment gives what it gave at the source, whatever the target's
/// settings are.
#[test]
fn materialised_views_are_filled_under_the_sources_settings() {
    let cluster =
        Cluster::builder().conf("timezone = 'Asia/Tokyo'").conf("datestyle = 'German, DMY'").start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "ALTER DATABASE d SET intervalstyle = 'sql_standard'; ALTER DATABASE d SET extra_float_digits = -3;
         CREATE TABLE t AS SELECT timestamptz '2024-02-03 01:02:03+00' AS at, interval '1 day 2 hours' AS i, float8 '0.1' + 0.2 AS f;",
    );
    cluster.sql("d", "CREATE MATERIALIZED VIEW mv AS SELECT at::text AS a, i::text AS i, f::text AS f, to_char(at, 'TZ') AS z FROM t");
    let filled = "SELECT a, i, f, z FROM mv";
    let at_source = cluster.psql_text("d", filled);
    assert_eq!(at_source, "03.02.2024 10:02:03 JST|1 2:00:00|0.3|JST");
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    cluster.sql("postgres", "ALTER SYSTEM SET timezone = 'America/New_York'");
    cluster.sql("postgres", "ALTER SYSTEM SET datestyle = 'SQL, MDY'");
    cluster.reload();
    cluster.create_database("bare");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("bare")]);
    assert_eq!(cluster.psql_text("bare", filled), at_source);
    cluster.create_database("single");
    desk.ok(&["restore", &id, "--dbname", &cluster.conninfo("single"), "--single-transaction"]);
    assert_eq!(cluster.psql_text("single", filled), at_source);
}
