//! Exports of a part, in every format, and of one table as CSV: the stock programs read them.

use std::fs::File;
use std::process::Command;

use pgark_testkit::Cluster;
use pgark_testkit::oracle::{Snapshot, assert_same, row_hashes};

use super::exports::psql_into;
use super::support::{Desk, stock, text};

/// Two schemas; keys whose tables come in the wrong order of names; a publication, owners and
/// privileges.
const SOURCE: &str = "CREATE ROLE owner_x; CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('good', 'bad'); \
    CREATE TABLE s.z_parent (id int PRIMARY KEY, m s.mood); CREATE TABLE s.a_child (id int PRIMARY KEY REFERENCES s.z_parent, t text); \
    INSERT INTO s.z_parent SELECT g, 'good' FROM generate_series(1, 50) g; INSERT INTO s.a_child SELECT g, 'x' || g FROM generate_series(1, 50) g; \
    ALTER TABLE s.a_child OWNER TO owner_x; GRANT SELECT ON s.z_parent TO owner_x; COMMENT ON TABLE s.z_parent IS 'a parent'; \
    CREATE TABLE public.other (a int); INSERT INTO public.other VALUES (1); CREATE SEQUENCE public.numbers; SELECT nextval('public.numbers'); \
    CREATE INDEX ON s.a_child (t); CREATE VIEW s.v AS SELECT * FROM s.a_child; CREATE PUBLICATION pub FOR TABLE s.z_parent;";

struct Bench {
    cluster: Cluster,
    desk: Desk,
    id: String,
    before: Snapshot,
}

impl Bench {
    fn new() -> Bench {
        let cluster = Cluster::start();
        cluster.create_database("d");
        cluster.sql("d", SOURCE);
        let desk = Desk::plain();
        let id = desk.backup(&cluster, "d");
        let before = Snapshot::take(&cluster, "d");
        Bench { cluster, desk, id, before }
    }

    /// Exports with these options and lets the stock program load it into a database.
    fn load(&self, db: &str, format: &str, options: &[&str]) {
        let path =
            self.desk.path(&format!("{db}.{format}.{}", options.join("").replace(['/', '*', '.'], "_")));
        let output = path.display().to_string();
        self.desk.ok(&[&["export", &self.id, "--format", format, "--output", &output], options].concat());
        if self.cluster.try_sql(db, "SELECT 1").is_err() {
            self.cluster.sql("postgres", &format!("CREATE DATABASE {db} TEMPLATE template0"));
        }
        if format == "plain" {
            psql_into(&self.cluster, db, &std::fs::read(&path).unwrap());
        } else {
            let mut restore = self.cluster.client("pg_restore");
            stock(restore.args(["--exit-on-error", "-d", &self.cluster.conninfo(db)]).arg(&path));
        }
    }

    fn same(&self, db: &str) {
        let mut after = Snapshot::take(&self.cluster, db);
        after.database.clone_from(&self.before.database);
        assert_same(&self.before, &after);
    }

    fn ask(&self, db: &str, query: &str) -> String {
        self.cluster.psql_text(db, query)
    }
}

/// Relations of the user's, with their schemas.
const RELATIONS: &str = "SELECT string_agg(n.nspname || '.' || relname, ' ' ORDER BY n.nspname, relname) FROM pg_class c \
    JOIN pg_namespace n ON n.oid = relnamespace WHERE n.nspname IN ('s', 'public') AND relkind IN ('r', 'v', 'S')";

#[test]
fn parts_in_every_format() {
    let bench = Bench::new();
    for format in ["directory", "custom", "tar", "plain"] {
        // Section by section, and definitions before rows: the same as the whole. Rows alone come
        // with parents first.
        let sections = format!("{format}_sections");
        for section in ["pre-data", "data", "post-data"] {
            bench.load(&sections, format, &["--section", section]);
        }
        bench.same(&sections);
        let halves = format!("{format}_halves");
        bench.load(&halves, format, &["--schema-only"]);
        assert!(row_hashes(&Snapshot::take(&bench.cluster, &halves)).values().all(|table| table.rows == 0));
        bench.load(&halves, format, &["--data-only"]);
        bench.same(&halves);

        // One table: what belongs to it, and the schema and type that it needs.
        let table = format!("{format}_table");
        bench.load(&table, format, &["-t", "s.z_parent"]);
        assert_eq!(bench.ask(&table, RELATIONS), "s.z_parent");
        assert_eq!(bench.ask(&table, "SELECT count(*) FROM s.z_parent"), "50");
        let schema = format!("{format}_schema");
        bench.load(&schema, format, &["-n", "s", "-T", "s.a_child", "-T", "s.v"]);
        assert_eq!(bench.ask(&schema, RELATIONS), "s.z_parent");
        let without = format!("{format}_without");
        bench.load(&without, format, &["-N", "s", "--no-publications"]);
        assert_eq!(bench.ask(&without, RELATIONS), "public.numbers public.other");

        // Nobody's, with no privileges, comments and publications.
        let bare = format!("{format}_bare");
        bench.load(&bare, format, &["-O", "-x", "--no-comments", "--no-publications"]);
        let facts = "SELECT pg_get_userbyid(relowner), coalesce(obj_description(oid), '-'), \
                     (SELECT count(*) FROM pg_class WHERE relacl IS NOT NULL AND relnamespace = 's'::regnamespace), (SELECT count(*) FROM pg_publication) \
                     FROM pg_class WHERE oid IN ('s.a_child'::regclass, 's.z_parent'::regclass) ORDER BY relname";
        assert_eq!(bench.ask(&bare, facts), "postgres|-|0|0\npostgres|-|0|0");
        assert_eq!(row_hashes(&Snapshot::take(&bench.cluster, &bare)), row_hashes(&bench.before));
    }
    // Only the whole brings roles along; and a key whose parent stays behind is named.
    assert!(!bench.desk.path("directory_table.directory.-ts_z_parent").join("globals.sql").exists());
    let output = bench.desk.run(&["export", &bench.id, "-F", "plain", "-t", "s.a_child", "-o", "-"]);
    assert!(text(&output.stderr).contains("s.z_parent, which is not exported"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("FOREIGN KEY"));
    // A list of restore's chooses as well.
    let list = bench.desk.ok(&["restore", &bench.id, "--database", "d", "--list"]);
    let one: String =
        list.lines().filter(|line| line.contains(" other ")).map(|line| format!("{line}\n")).collect();
    std::fs::write(bench.desk.path("list"), one).unwrap();
    bench.load("listed", "custom", &["--use-list", &bench.desk.path("list").display().to_string()]);
    assert_eq!(bench.ask("listed", RELATIONS), "public.other");
    let said = bench.desk.fails(1, &["export", &bench.id, "-t", "nothing", "-o", "x"]);
    assert!(said.contains("nothing"), "{said}");
}

#[test]
fn one_table_as_csv() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE t (id int, \"a,b\" text, \"q\"\"\" text, n numeric, b bytea, g int GENERATED ALWAYS AS (id * 2) STORED, x text[]); \
         INSERT INTO t VALUES (1, NULL, '', 1.50, '\\x00ff', DEFAULT, ARRAY['a', NULL, 'x\"y']), (2, 'a,b', 'c\"d', NULL, NULL, DEFAULT, '{}'), \
         (3, E'line\\nfeed\\r', E'tab\\tback\\\\slash', 'NaN', '', DEFAULT, NULL), (4, '\\.', ' blank ', 0, NULL, DEFAULT, NULL), \
         (5, '\\N', 'NULL', 0, NULL, DEFAULT, NULL), (6, 'é表', E'\\x01\\x0b', 0, NULL, DEFAULT, NULL); \
         CREATE TABLE one (a text); INSERT INTO one VALUES ('\\.'), (NULL), (''), ('x'); \
         CREATE TABLE nocol (); INSERT INTO nocol DEFAULT VALUES; INSERT INTO nocol DEFAULT VALUES; CREATE TABLE empty_one (a int, b int); \
         CREATE TABLE many (a int, b text); INSERT INTO many SELECT g, repeat('long, \"row\" ', g % 50) FROM generate_series(1, 20000) g; \
         CREATE VIEW v AS SELECT 1 AS a",
    );
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let csv = |table: &str, options: &[&str]| {
        let output = desk
            .run(&[&["export", &id, "--format", "csv", "--table", table, "--output", "-"], options].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    };
    for table in ["t", "one", "nocol", "empty_one", "many"] {
        let own = csv(table, &[]);
        let columns = if table == "t" { "(id, \"a,b\", \"q\"\"\", n, b, x)" } else { "" };
        let copy = format!("COPY public.{table} {columns} TO STDOUT (FORMAT csv, HEADER)");
        let stock = cluster
            .client("psql")
            .args(["-XAtq", "-d", &cluster.conninfo("d"), "-c", &copy])
            .output()
            .unwrap();
        assert_eq!(text(&own), text(&stock.stdout), "{table}");
    }
    // psql reads it back.
    let file = desk.path("t.csv");
    desk.ok(&[
        "export",
        &id,
        "--format",
        "csv",
        "--table",
        "public.t",
        "--output",
        &file.display().to_string(),
    ]);
    cluster.sql("d", "CREATE TABLE t2 (LIKE t INCLUDING GENERATED)");
    let copy = format!("\\copy t2 from '{}' csv header", file.display());
    stock(cluster.client("psql").args(["-XAtq", "-d", &cluster.conninfo("d"), "-c", &copy]));
    let differ =
        "SELECT count(*) FROM ((TABLE t EXCEPT ALL TABLE t2) UNION ALL (TABLE t2 EXCEPT ALL TABLE t)) x";
    assert_eq!(cluster.psql_text("d", differ), "0");
    // Compressed.
    let packed = desk.path("packed.gz");
    std::fs::write(&packed, csv("many", &["--compress", "gzip"])).unwrap();
    let plain = Command::new("gzip").arg("-dc").stdin(File::open(&packed).unwrap()).output().unwrap();
    assert_eq!(plain.stdout, csv("many", &[]));
    // One table, and one with rows.
    let export =
        |table: &str| desk.fails(1, &["export", &id, "--format", "csv", "--table", table, "--output", "-"]);
    let said = export("*o*");
    assert!(said.contains("tables match") && said.contains("public.one"), "{said}");
    assert!(export("v").contains("no table"));
    assert!(export("nothing").contains("nothing"));
}

#[test]
fn a_database_in_another_tablespace_without_it() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "SET allow_in_place_tablespaces = on; CREATE TABLESPACE fast LOCATION ''");
    cluster.sql("postgres", "CREATE DATABASE d TABLESPACE fast");
    cluster.sql("d", "CREATE TABLE t (a int) TABLESPACE pg_default; INSERT INTO t VALUES (1)");
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let target = Cluster::start();
    let create = ["export", &id, "--format", "plain", "--create", "--output", "-"];
    assert!(text(&desk.run(&create).stdout).contains("TABLESPACE = fast"));
    let script = desk.run(&[&create[..], &["--no-tablespaces"]].concat()).stdout;
    super::exports::psql(&target, &script);
    assert_eq!(target.psql_text("d", "SELECT a FROM t"), "1");
    let conninfo = target.conninfo("postgres");
    desk.ok(&[
        "restore",
        &id,
        "--as",
        "again",
        "--create",
        "--no-tablespaces",
        "--dbname",
        &conninfo,
        "--database",
        "d",
    ]);
    assert_eq!(target.psql_text("again", "SELECT a FROM t"), "1");
}
