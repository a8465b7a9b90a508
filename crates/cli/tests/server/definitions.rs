//! pg_dump is asked again for every database whose definitions may have changed, and for no other.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use pgark_testkit::{Cluster, default_major, is_full, require};

use super::support::{Desk, files};

/// One of everything.
const BASE: &str = "
    CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'x', n int) WITH (fillfactor = 90);
    ALTER TABLE t ADD CONSTRAINT t_n_check CHECK (n > 0) NOT VALID;
    CREATE INDEX i ON t (v); INSERT INTO t SELECT g, md5(g::text), g FROM generate_series(1, 100) g;
    CREATE SEQUENCE s; CREATE TABLE ident (a int GENERATED ALWAYS AS IDENTITY, b text);
    CREATE TABLE p (a int, b text) PARTITION BY LIST (a); CREATE TABLE p1 (a int, b text);
    CREATE TABLE parent (x int); CREATE TABLE child (x int);
    CREATE TABLE refers (id int);
    ALTER TABLE refers ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES t NOT VALID;
    CREATE VIEW w AS SELECT id FROM t; CREATE MATERIALIZED VIEW m AS SELECT id FROM t WITH NO DATA;
    CREATE FUNCTION fn(a int) RETURNS int LANGUAGE sql AS 'SELECT a';
    CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
    CREATE FUNCTION et() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tg();
    CREATE RULE ru AS ON UPDATE TO child DO ALSO NOTHING;
    CREATE POLICY po ON t USING (true);
    CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TYPE pair AS (a int, b int); CREATE DOMAIN dom AS int;
    CREATE SCHEMA other; CREATE EVENT TRIGGER ev ON ddl_command_start EXECUTE FUNCTION et();
    CREATE OPERATOR FAMILY fam USING btree; CREATE COLLATION coll (locale = 'C');
    CREATE TEXT SEARCH CONFIGURATION ts (COPY = simple); CREATE TEXT SEARCH DICTIONARY di (TEMPLATE = simple);
    CREATE STATISTICS st ON id, n FROM t; CREATE PUBLICATION pu FOR TABLE t;
    CREATE FOREIGN DATA WRAPPER fdw; COMMENT ON TABLE parent IS 'old';
    SELECT lo_create(4711);";

/// Each in a database of its own. What they change is in pg_dump's output.
const CHANGES: &[&str] = &[
    "ALTER TABLE t ADD COLUMN z int",
    "ALTER TABLE t ALTER v SET DEFAULT 'y'",
    "ALTER TABLE t ALTER v DROP DEFAULT",
    "ALTER TABLE t ALTER v SET NOT NULL",
    "ALTER TABLE t ALTER v SET STATISTICS 7",
    "ALTER TABLE t ALTER v SET STORAGE EXTERNAL",
    "ALTER TABLE t ALTER v SET (n_distinct = 5)",
    "ALTER TABLE t SET (fillfactor = 80)",
    "ALTER TABLE t RENAME v TO u",
    "ALTER TABLE t SET SCHEMA other",
    "ALTER TABLE t OWNER TO other_owner",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE t DISABLE TRIGGER r",
    "ALTER TABLE t REPLICA IDENTITY FULL",
    "ALTER TABLE t CLUSTER ON i",
    "ALTER TABLE t VALIDATE CONSTRAINT t_n_check",
    "ALTER TABLE refers VALIDATE CONSTRAINT f",
    "ALTER TABLE refers DROP CONSTRAINT f",
    "ALTER TABLE p ATTACH PARTITION p1 FOR VALUES IN (1)",
    "ALTER TABLE child INHERIT parent",
    "ALTER TABLE child SET UNLOGGED",
    "ALTER TABLE ident ALTER a SET INCREMENT 5",
    "INSERT INTO ident (b) VALUES ('moves its sequence')",
    "SELECT nextval('s')",
    "SELECT setval('s', 1, false), nextval('s'), nextval('s')",
    "ALTER SEQUENCE s CYCLE",
    "DROP INDEX i",
    "ALTER INDEX i SET (fillfactor = 50)",
    "CREATE UNIQUE INDEX j ON t (n)",
    "CREATE OR REPLACE VIEW w AS SELECT id, v FROM t",
    "ALTER VIEW w SET (security_barrier)",
    "REFRESH MATERIALIZED VIEW m",
    "CREATE OR REPLACE FUNCTION fn(a int) RETURNS int LANGUAGE sql AS 'SELECT a + 1'",
    "ALTER FUNCTION fn COST 7",
    "DROP TRIGGER r ON t",
    "ALTER TRIGGER r ON t RENAME TO r2",
    "DROP RULE ru ON child",
    "ALTER POLICY po ON t USING (id > 0)",
    "ALTER TYPE mood ADD VALUE 'so so'",
    "ALTER TYPE mood RENAME VALUE 'bad' TO 'sad'",
    "ALTER TYPE pair ADD ATTRIBUTE c int",
    "ALTER DOMAIN dom SET DEFAULT 3",
    "ALTER DOMAIN dom ADD CHECK (VALUE > 0)",
    "CREATE SCHEMA another",
    "DROP SCHEMA other",
    "ALTER EVENT TRIGGER ev DISABLE",
    "ALTER OPERATOR FAMILY fam USING btree RENAME TO fam2",
    "ALTER OPERATOR FAMILY fam USING btree ADD OPERATOR 1 < (int4, int8)",
    "COMMENT ON COLLATION coll IS 'c'",
    "ALTER TEXT SEARCH CONFIGURATION ts DROP MAPPING FOR word",
    "ALTER TEXT SEARCH DICTIONARY di (accept = false)",
    "ALTER STATISTICS st SET STATISTICS 9",
    "ALTER PUBLICATION pu ADD TABLE parent",
    "ALTER PUBLICATION pu SET (publish = 'insert')",
    "ALTER FOREIGN DATA WRAPPER fdw OPTIONS (a 'b')",
    "CREATE SERVER srv FOREIGN DATA WRAPPER fdw",
    "COMMENT ON TABLE parent IS 'new'",
    "COMMENT ON TABLE parent IS NULL",
    "COMMENT ON COLUMN t.v IS 'c'",
    "GRANT SELECT ON t TO other_owner",
    "GRANT SELECT (v) ON t TO other_owner",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO other_owner",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO other_owner",
    "GRANT CREATE ON SCHEMA public TO other_owner",
    "SELECT lo_create(4712)",
    "SELECT lo_unlink(4711)",
    "GRANT SELECT ON LARGE OBJECT 4711 TO other_owner",
    "COMMENT ON LARGE OBJECT 4711 IS 'c'",
    "DROP EXTENSION plpgsql CASCADE",
    "CREATE CAST (pair AS text) WITH INOUT",
    "CREATE AGGREGATE ag (int) (SFUNC = int4pl, STYPE = int)",
    "CREATE ACCESS METHOD am TYPE TABLE HANDLER heap_tableam_handler",
    "CREATE CONVERSION conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
    "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''5MB''', current_database()); END $$",
    "DO $$ BEGIN EXECUTE format('ALTER ROLE other_owner IN DATABASE %I SET work_mem = ''5MB''', current_database()); END $$",
    "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE %I IS ''c''', current_database()); END $$",
    "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO other_owner', current_database()); END $$",
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 50', current_database()); END $$",
];

/// What leaves definitions as they are.
const NO_CHANGES: &[&str] = &[
    "",
    "ANALYZE",
    "UPDATE t SET v = v || 'y'; DELETE FROM t WHERE id < 50",
    "VACUUM (FREEZE)",
    "DO $$ BEGIN CREATE TABLE gone (a int); RAISE EXCEPTION 'never'; EXCEPTION WHEN raise_exception THEN END $$",
];

/// A pg_dump that writes down which databases it is run for.
struct Listening {
    program: String,
    list: std::path::PathBuf,
}

impl Listening {
    fn to(cluster: &Cluster, desk: &Desk) -> Listening {
        let (program, list) = (desk.path("pg_dump"), desk.path("ran"));
        let script = format!(
            "#!/bin/sh\n[ -z \"$PGDATABASE\" ] || echo \"$PGDATABASE\" >> {}\nexec {} \"$@\"\n",
            list.display(),
            cluster.bin("pg_dump").display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(cluster.bin("pg_dumpall"), desk.path("pg_dumpall")).unwrap();
        Listening { program: program.display().to_string(), list }
    }

    /// The databases that it was run for meanwhile.
    fn heard(&self) -> BTreeSet<String> {
        let ran = fs::read_to_string(&self.list).unwrap_or_default();
        let _ = fs::remove_file(&self.list);
        ran.lines().map(str::to_string).collect()
    }
}

#[test]
fn pg_dump_is_run_where_definitions_may_have_changed() {
    for major in [default_major(), 13, 18] {
        if major == default_major() || is_full() {
            pg_dump_is_run(major);
        }
    }
}

fn pg_dump_is_run(major: u32) {
    let Some(builder) = require(major) else { return };
    let cluster = builder.start();
    cluster.sql("postgres", "CREATE ROLE other_owner SUPERUSER; CREATE ROLE renamed");
    cluster.create_database("base");
    cluster.sql("base", BASE);
    let all: Vec<&str> = NO_CHANGES.iter().chain(CHANGES).copied().collect();
    let name = |at: usize| format!("d{at:02}");
    let make: String =
        (0..all.len()).map(|at| format!("CREATE DATABASE {} TEMPLATE base;\n", name(at))).collect();
    cluster.sql("postgres", &make);
    let desk = Desk::plain();
    let listening = Listening::to(&cluster, &desk);
    let info = cluster.conninfo("postgres");
    let backup = |more: &[&str]| -> (String, BTreeSet<String>) {
        let args = ["backup", "--dbname", &info, "--jobs", "2", "--pg-dump", &listening.program];
        let id = desk.ok(&[&args, more].concat()).trim().to_string();
        (id, listening.heard())
    };
    let every: BTreeSet<String> =
        (0..all.len()).map(name).chain(["base".to_string(), "postgres".to_string()]).collect();
    assert_eq!(backup(&["--all"]).1, every);

    for (at, change) in all.iter().enumerate() {
        cluster.sql(&name(at), change);
    }
    let changed: BTreeSet<String> = (NO_CHANGES.len()..all.len()).map(name).collect();
    let (recalled, ran) = backup(&["--all"]);
    let missed: Vec<&str> = (0..all.len())
        .filter(|at| changed.contains(&name(*at)) && !ran.contains(&name(*at)))
        .map(|at| all[at])
        .collect();
    assert!(missed.is_empty(), "on {major} pg_dump was not run behind {missed:#?}");
    let superfluous: Vec<&str> =
        (0..NO_CHANGES.len()).filter(|at| ran.contains(&name(*at))).map(|at| all[at]).collect();
    assert!(superfluous.is_empty(), "on {major} pg_dump was run behind {superfluous:#?}");
    assert!(!ran.contains("base") && !ran.contains("postgres"));

    // Where it was not run, the definitions are those that it writes.
    let few = ["--database", "d00", "--database", "d01", "--database", "d02"];
    let few_names = BTreeSet::from([name(0), name(1), name(2)]);
    let run_for_few = |more: &[&str]| backup(&[&few, more].concat());
    let (asked, ran) = run_for_few(&["--full"]);
    assert_eq!(ran, few_names);
    let script = |id: &str, db: &str| -> Vec<String> {
        let of = ["--format", "plain", "--schema-only", "--database", db, "--output", "-"];
        let script = desk.ok(&[&["export", id], &of[..]].concat());
        assert!(script.contains("CREATE TABLE public.t"), "{script}");
        // psql's own words have a key of their own each time.
        script.lines().filter(|line| !line.contains("restrict")).map(str::to_string).collect()
    };
    for db in &few_names {
        assert_eq!(script(&recalled, db), script(&asked, db), "{db}");
    }

    // Definitions with passwords are not kept: the database with a server is read each time.
    let server = name(all.iter().position(|change| change.starts_with("CREATE SERVER")).unwrap());
    assert_eq!(backup(&["--database", "d00", "--database", &server]).1, BTreeSet::from([server]));
    // Names of roles stand in every database's definitions.
    assert_eq!(run_for_few(&[]).1, BTreeSet::new());
    cluster.sql("postgres", "ALTER ROLE renamed RENAME TO renamed_twice");
    assert_eq!(run_for_few(&[]).1, few_names);
    // A restart may lie behind a recovery. Without a cache, and with one that is damaged, too.
    cluster.restart();
    assert_eq!(run_for_few(&[]).1, few_names);
    assert_eq!(run_for_few(&[]).1, BTreeSet::new());
    assert_eq!(run_for_few(&["--no-cache"]).1, few_names);
    let kept = files(&desk.path("cache")).into_iter().filter(|file| {
        file.parent().unwrap().file_name().unwrap().to_string_lossy().starts_with("definitions-")
    });
    let damaged = kept.map(|file| {
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
    });
    assert!(damaged.count() >= CHANGES.len());
    assert_eq!(run_for_few(&[]).1, few_names);
}
