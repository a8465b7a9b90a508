//! The exit: every format, read by the stock programs.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use pgark_testkit::oracle::{Snapshot, assert_same, row_hashes};
use pgark_testkit::{Cluster, require, shop, zoo};

use super::support::{Desk, stock, text};

/// Restores an archive with stock pg_restore into a new database and compares it with the source.
fn same_by_pg_restore(cluster: &Cluster, before: &Snapshot, archive: &Path, db: &str, jobs: &str) {
    let listed = cluster.client("pg_restore").arg("-l").arg(archive).output().unwrap();
    assert!(listed.status.success() && listed.stderr.is_empty(), "{}", text(&listed.stderr));
    cluster.sql("postgres", &format!("CREATE DATABASE {db} TEMPLATE template0"));
    let mut restore = cluster.client("pg_restore");
    stock(restore.args(["--exit-on-error", "-d", &cluster.conninfo(db), "-j", jobs]).arg(archive));
    let mut after = Snapshot::take(cluster, db);
    after.database.clone_from(&before.database);
    assert_same(before, &after);
}

/// Whether this package's pg_restore was built with the method.
fn reads(cluster: &Cluster, archive: &Path) -> bool {
    let output = cluster.client("pg_restore").args(["-f", "/dev/null"]).arg(archive).output().unwrap();
    !text(&output.stderr).contains("not support compression")
}

/// Unpacks the data files of a directory with the methods' own programs.
fn unpack(folder: &Path) {
    let mut unpacked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let program = match path.extension().and_then(|extension| extension.to_str()) {
            Some("lz4") => "lz4",
            Some("zst") => "zstd",
            _ => continue,
        };
        let plain = File::create(path.with_extension("")).unwrap();
        let done = Command::new(program).args(["-q", "-d", "-c"]).arg(&path).stdout(plain).status().unwrap();
        assert!(done.success(), "{}", path.display());
        std::fs::remove_file(&path).unwrap();
        unpacked += 1;
    }
    assert!(unpacked > 5, "{unpacked} files");
    // The header's algorithm: magic, version, widths and format come before it.
    let toc = folder.join("toc.dat");
    let mut bytes = std::fs::read(&toc).unwrap();
    assert!(bytes[11] >= 2);
    bytes[11] = 0;
    std::fs::write(toc, bytes).unwrap();
}

/// Every format and compression that this major's programs read, on one database with everything in
/// it.
fn every_format(cluster: &Cluster) {
    zoo::load_portable(cluster, "zoo");
    cluster.sql(
        "zoo",
        "SELECT lo_from_bytea(990, convert_to(repeat('large ', 500000), 'UTF8')); SELECT lo_create(991); \
         COMMENT ON LARGE OBJECT 990 IS 'a large one'; GRANT SELECT ON LARGE OBJECT 990, 991 TO PUBLIC;",
    );
    let desk = Desk::plain();
    let before = Snapshot::take(cluster, "zoo");
    let pg_dump = cluster.bin("pg_dump").display().to_string();
    let id = desk.ok(&["backup", "--dbname", &cluster.conninfo("zoo"), "--pg-dump", &pg_dump]);
    let id = id.trim();
    let new = cluster.major() >= 16;
    let mut methods = vec!["none", "gzip", "gzip:9", "1"];
    if new {
        methods.extend(["lz4", "zstd", "zstd:7"]);
    }
    let mut number = 0;
    for format in ["directory", "custom"] {
        for method in &methods {
            number += 1;
            let path = desk.path(&format!("export{number}"));
            desk.ok(&[
                "export",
                id,
                "--format",
                format,
                "--compress",
                method,
                "--output",
                &path.display().to_string(),
            ]);
            if !reads(cluster, &path) {
                eprintln!("gap: pg_restore of this package of {} reads no {method}", cluster.major());
                if format == "custom" {
                    continue;
                }
                unpack(&path);
            }
            for jobs in ["1", "4"] {
                same_by_pg_restore(cluster, &before, &path, &format!("e{number}_{jobs}"), jobs);
            }
        }
    }
    let tar = desk.path("export.tar");
    desk.ok(&["export", id, "--format", "tar", "--output", &tar.display().to_string()]);
    assert!(stock(Command::new("tar").arg("-tvf").arg(&tar)).contains("toc.dat"));
    same_by_pg_restore(cluster, &before, &tar, "e_tar", "1");

    // To a pipe: no places of the blocks, and one job.
    let piped = desk.path("piped");
    let output = desk.run(&["export", id, "--format", "custom", "--output", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    std::fs::write(&piped, output.stdout).unwrap();
    same_by_pg_restore(cluster, &before, &piped, "e_piped", "1");
    let tar_piped = desk.run(&["export", id, "--format", "tar", "--output", "-"]).stdout;
    std::fs::write(&piped, tar_piped).unwrap();
    same_by_pg_restore(cluster, &before, &piped, "e_tar_piped", "1");
}

#[test]
fn stock_pg_restore_reads_every_format() {
    every_format(&Cluster::start());
}

#[test]
fn stock_pg_restore_18_reads_every_format() {
    let Some(builder) = require(18) else { return };
    every_format(&builder.start());
}

/// psql with a script, in a fresh cluster where the roles are, stopping at the first error.
pub fn psql(cluster: &Cluster, script: &[u8]) {
    psql_into(cluster, "postgres", script);
}

/// The same, connected to this database.
pub fn psql_into(cluster: &Cluster, db: &str, script: &[u8]) {
    let mut child = cluster
        .client("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &cluster.conninfo(db)])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let sent = input.write_all(script);
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    sent.unwrap();
}

#[test]
fn plain_sql_carries_settings_and_public_grants() {
    let cluster = Cluster::start();
    zoo::load_portable(&cluster, "zoo");
    cluster.sql(
        "postgres",
        "CREATE ROLE app; ALTER DATABASE zoo SET work_mem = '9MB'; ALTER ROLE app IN DATABASE zoo SET statement_timeout = '9s'; \
         REVOKE ALL ON DATABASE zoo FROM PUBLIC; GRANT CONNECT ON DATABASE zoo TO PUBLIC; GRANT CREATE ON DATABASE zoo TO app; \
         COMMENT ON DATABASE zoo IS 'animals'",
    );
    let desk = Desk::plain();
    let before = Snapshot::take(&cluster, "zoo");
    let id = desk.backup(&cluster, "zoo");
    let target = Cluster::start();
    zoo::install_extension(&target);
    psql(
        &target,
        desk.ok(&["cat", &format!("{id}:/globals.sql")]).replace("CREATE ROLE postgres;", "").as_bytes(),
    );
    let file = desk.path("zoo.sql");
    desk.ok(&["export", &id, "--format", "plain", "--create", "--output", &file.display().to_string()]);
    psql(&target, &std::fs::read(&file).unwrap());
    assert_same(&before, &Snapshot::take(&target, "zoo"));
    // Compressed it is the same; without the database's own properties it goes into any database.
    let packed = desk.path("zoo.sql.gz");
    desk.ok(&[
        "export",
        &id,
        "--format",
        "plain",
        "--create",
        "--compress",
        "gzip",
        "--output",
        &packed.display().to_string(),
    ]);
    let unpacked = Command::new("gzip").args(["-dc"]).stdin(File::open(&packed).unwrap()).output().unwrap();
    let without_keys = |bytes: &[u8]| {
        let lines = text(bytes);
        lines.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(without_keys(&unpacked.stdout), without_keys(&std::fs::read(&file).unwrap()));
    // Without --create it goes into whatever database psql is connected to.
    let inside = desk.run(&["export", &id, "--format", "plain", "--output", "-"]).stdout;
    assert!(!text(&inside).contains("CREATE DATABASE") && !text(&inside).contains("\n\\connect zoo"));
    target.create_database("elsewhere");
    psql_into(&target, "elsewhere", &inside);
    let mut elsewhere = Snapshot::take(&target, "elsewhere");
    elsewhere.database.clone_from(&before.database);
    assert_same(&before, &elsewhere);
    // \restrict is written whatever the archive says of its age; an old psql is told apart by the
    // user.
    assert!(text(&inside).contains("\n\\restrict "));
    let old = desk.run(&["export", &id, "--format", "plain", "--no-restrict", "--output", "-"]).stdout;
    assert!(!text(&old).contains("restrict ") && text(&old).contains("SET client_encoding"));
}

#[test]
fn plain_sql_of_hostile_names() {
    let cluster = Cluster::start();
    let name = "we\"ird 'name\\ \\! echo";
    cluster.sql("postgres", &format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\"")));
    cluster.sql(name, "CREATE TABLE \"a\n\\! echo hacked\" (\"b\nDROP TABLE x;\" text); INSERT INTO \"a\n\\! echo hacked\" VALUES (E'\\\\.\\n\\\\! echo'); SELECT lo_from_bytea(0, 'x')");
    let desk = Desk::plain();
    let id = desk.ok(&[
        "backup",
        "--dbname",
        &cluster.conninfo("postgres"),
        "--database",
        &format!("\"{}\"", name.replace('"', "\"\"")),
    ]);
    let before = Snapshot::take(&cluster, name);
    let script = desk.run(&["export", id.trim(), "--format", "plain", "--create", "--output", "-"]);
    assert!(script.status.success(), "{}", text(&script.stderr));
    let target = Cluster::start();
    psql(&target, &script.stdout);
    assert_same(&before, &Snapshot::take(&target, name));
}

#[test]
fn an_older_pg_restore_reads_what_was_made_for_it() {
    let Some(builder) = require(18) else { return };
    let (source, target) = (builder.start(), Cluster::start());
    source.create_database("d");
    source.sql(
        "d",
        "CREATE ROLE reader; CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t SELECT g, 'x' || g FROM generate_series(1, 5000) g; \
         CREATE INDEX ON t (b); GRANT SELECT ON t TO reader; \
         SELECT lo_from_bytea(oid, convert_to('object ' || oid, 'UTF8')) FROM generate_series(1000, 1010) oid; \
         GRANT SELECT ON LARGE OBJECT 1000, 1001 TO reader; COMMENT ON LARGE OBJECT 1005 IS 'five'; ALTER LARGE OBJECT 1009 OWNER TO reader;",
    );
    target.sql("postgres", "CREATE ROLE reader");
    let desk = Desk::plain();
    let pg_dump = source.bin("pg_dump").display().to_string();
    let id = desk.ok(&["backup", "--dbname", &source.conninfo("d"), "--pg-dump", &pg_dump]);
    let id = id.trim();
    let before = Snapshot::take(&source, "d");
    for (number, args) in [
        vec!["--format", "directory"],
        vec!["--format", "custom", "--compress", "gzip:1"],
        vec!["--format", "tar"],
    ]
    .iter()
    .enumerate()
    {
        let path = desk.path(&format!("old{number}"));
        let output = path.display().to_string();
        desk.ok(&[&["export", id, "--for-version", "15", "--output", &output][..], args].concat());
        let db = format!("old{number}");
        target.create_database(&db);
        stock(target.client("pg_restore").args(["-d", &target.conninfo(&db)]).arg(&path));
        let after = Snapshot::take(&target, &db);
        assert_eq!(row_hashes(&before), row_hashes(&after));
        assert_eq!(before.large_objects, after.large_objects, "{args:?}");
    }
    // Without it, the older program refuses; and zstd is not for it.
    let path = desk.path("new").display().to_string();
    desk.ok(&["export", id, "--format", "custom", "--output", &path]);
    assert!(!target.client("pg_restore").args(["-l", &path]).output().unwrap().status.success());
    let said =
        desk.fails(2, &["export", id, "--for-version", "15", "--compress", "zstd", "--output", "/nowhere"]);
    assert!(said.contains("gzip"), "{said}");
}

#[test]
fn an_export_never_replaces_anything() {
    let cluster = Cluster::start();
    cluster.create_database("shop");
    shop::load(&cluster, "shop", 2, 1);
    cluster.create_database("other");
    let desk = Desk::plain();
    let id = desk.ok(&["backup", "--dbname", &cluster.conninfo("shop"), "--all"]);
    let id = id.trim();
    let file = desk.path("there");
    std::fs::write(&file, "precious").unwrap();
    let there = file.display().to_string();
    for format in ["custom", "tar", "plain", "directory"] {
        let said =
            desk.fails(1, &["export", id, "--database", "shop", "--format", format, "--output", &there]);
        assert!(said.contains("there"), "{said}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    desk.example(
        "An export onto an existing file",
        1,
        &["export", id, "--database", "shop", "--format", "custom", "--output", &there],
    );
    let said = desk.fails(1, &["export", id, "--output", &desk.path("x").display().to_string()]);
    assert!(said.contains("--database"), "{said}");
    for (args, hint) in [
        (vec!["--format", "directory", "--output", "-"], "standard output"),
        (vec!["--format", "tar", "--compress", "gzip", "--output", "x"], "tar"),
        (vec!["--compress", "brotli", "--output", "x"], "brotli"),
        (vec!["--create", "--output", "x"], "plain"),
        (vec!["--no-restrict", "--format", "custom", "--output", "x"], "plain"),
        (vec!["--format", "csv", "--output", "x"], "--table"),
        (vec!["--format", "csv", "--table", "x", "--schema-only", "--output", "x"], "only rows"),
        (vec!["--format", "plain", "--create", "--data-only", "--output", "x"], "--create"),
    ] {
        let said = desk.fails(2, &[&["export", id, "--database", "shop"][..], &args].concat());
        assert!(said.contains(hint), "{said}");
    }
    // A full disk: no file under its name.
    let full = Path::new("/dev/full");
    if full.exists() {
        let mut child =
            desk.command(&["export", id, "--database", "shop", "--format", "plain", "--output", "-"]);
        let output = child.stdout(File::options().write(true).open(full).unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("No space left"), "{}", text(&output.stderr));
    }
}
