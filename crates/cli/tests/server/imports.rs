//! The entrance: dumps of other programs become backups that restore like any other.

use std::path::Path;

use pgark_testkit::oracle::{Snapshot, assert_same};
use pgark_testkit::{Cluster, dumps, require, shop, zoo};

use super::support::{Desk, files};

/// Imports a dump, restores it and compares.
fn comes_back(desk: &Desk, path: &Path, before: &Snapshot, target: &Cluster, db: &str) -> String {
    let id = desk.ok(&["import", &path.display().to_string()]).trim().to_string();
    desk.ok(&["restore", &id, "--dbname", &target.conninfo(db), "--create"]);
    let mut after = Snapshot::take(target, db);
    after.database.clone_from(&before.database);
    assert_same(before, &after);
    id
}

fn every_archive(cluster: &Cluster) {
    zoo::load_portable(cluster, "zoo");
    cluster.sql(
        "zoo",
        "SELECT lo_from_bytea(990, convert_to(repeat('large ', 500000), 'UTF8')); SELECT lo_create(991)",
    );
    let before = Snapshot::take(cluster, "zoo");
    let desk = Desk::with_identity();
    for (number, options) in
        [vec!["-Fd", "-Z0"], vec!["-Fd", "-Z1", "-j2"], vec!["-Fc", "-Z0"], vec!["-Fc"], vec!["-Ft"]]
            .iter()
            .enumerate()
    {
        let path = desk.path(&format!("dump{number}"));
        dumps::pg_dump(cluster, "zoo", &path, options);
        let id = comes_back(&desk, &path, &before, cluster, &format!("back{number}"));
        let shown = desk.json(&["show", &id, "--json"]);
        assert_eq!((&shown["cluster"], &shown["status"]), (&"imported".into(), &"complete".into()));
        // Out by the exit again, into another format: what our own exports write is read here, too.
        let again = desk.path(&format!("again{number}"));
        let method = if cluster.major() >= 16 { "zstd" } else { "gzip" };
        desk.ok(&[
            "export",
            &id,
            "--format",
            "custom",
            "--compress",
            method,
            "--output",
            &again.display().to_string(),
        ]);
        comes_back(&desk, &again, &before, cluster, &format!("again{number}"));
    }
    if cluster.major() >= 16 {
        let path = desk.path("lz4");
        let output = path.display().to_string();
        desk.ok(&["export", "latest", "--format", "custom", "--compress", "lz4", "--output", &output]);
        comes_back(&desk, &path, &before, cluster, "lz4");
        let path = desk.path("lz4d");
        desk.ok(&["export", "latest", "--compress", "lz4", "--output", &path.display().to_string()]);
        comes_back(&desk, &path, &before, cluster, "lz4d");
    }
}

#[test]
fn archives_of_pg_dump() {
    every_archive(&Cluster::start());
}

#[test]
fn archives_of_pg_dump_18() {
    let Some(builder) = require(18) else { return };
    every_archive(&builder.start());
}

#[test]
fn dumps_of_greenmask_and_plakar() {
    let cluster = Cluster::start();
    zoo::load_portable(&cluster, "zoo");
    cluster.create_database("shop");
    shop::load(&cluster, "shop", 3, 1);
    let (zoo_before, shop_before) = (Snapshot::take(&cluster, "zoo"), Snapshot::take(&cluster, "shop"));
    let desk = Desk::plain();
    let greenmask = dumps::greenmask(&cluster, "zoo", &desk.path("storage"));
    comes_back(&desk, &greenmask, &zoo_before, &cluster, "from_greenmask");
    let old = desk.path("plakar_old");
    dumps::plakar_old(&cluster, "zoo", &old);
    let id = comes_back(&desk, &old, &zoo_before, &cluster, "from_plakar");
    let identifier = cluster.psql_text("postgres", "SELECT system_identifier FROM pg_control_system()");
    assert_eq!(desk.json(&["show", &id, "--json"])["cluster"], identifier);
    // Several databases and the globals, into an empty cluster.
    let new = desk.path("plakar_new");
    dumps::plakar_new(&cluster, &["zoo", "shop"], &new);
    let id = desk.ok(&["import", &new.display().to_string(), "--cluster", "plakar"]);
    let target = Cluster::start();
    desk.ok(&["restore", id.trim(), "--all", "--globals", "--dbname", &target.conninfo("postgres")]);
    assert_same(&zoo_before, &Snapshot::take(&target, "zoo"));
    assert_same(&shop_before, &Snapshot::take(&target, "shop"));

    // An old dump is not the latest backup, whatever its import's time.
    let newest = desk.backup(&cluster, "shop");
    desk.ok(&["import", &old.display().to_string()]);
    assert_eq!(desk.json(&["show", "latest", "--json"])["id"], newest);
    // A cluster that the repository knows by another name has that name.
    let named = Desk::plain();
    named.ok(&["backup", "--cluster", "prod", "--dbname", &cluster.conninfo("shop")]);
    let id = named.ok(&["import", &old.display().to_string()]);
    let shown = named.json(&["show", id.trim(), "--json"]);
    assert_eq!(
        (&shown["cluster"], &shown["system_identifier"]),
        (&"prod".into(), &identifier.clone().into())
    );
    let shown = named.ok(&["show", "latest"]);
    assert!(shown.contains(&format!("system id  {identifier}\n")), "{shown}");

    // What was not finished, and what is not an archive.
    std::fs::write(greenmask.join("heartbeat"), "in-progress").unwrap();
    let said = desk.example("A dump that was not finished", 1, &["import", &greenmask.display().to_string()]);
    assert!(said.contains("not finished"), "{said}");
    assert!(desk.fails(1, &["import", "/nowhere"]).contains("/nowhere"));
}

/// A script of pg_dumpall, alone and as Plakar laid it out, into an empty cluster; and parts of it.
fn every_script(cluster: &Cluster, target: &Cluster) {
    zoo::load_portable(cluster, "zoo");
    cluster.sql(
        "zoo",
        "SELECT lo_from_bytea(990, convert_to(repeat('large ', 50000), 'UTF8')); SELECT lo_create(991)",
    );
    cluster.create_database("shop");
    shop::load(cluster, "shop", 3, 1);
    let (zoo_before, shop_before) = (Snapshot::take(cluster, "zoo"), Snapshot::take(cluster, "shop"));
    let desk = Desk::plain();
    desk.expects(&["does not exist, skipping", "foreign key order_items items_order_fk is left out"]);
    let folder = desk.path("plakar_all");
    dumps::plakar_all(cluster, &folder);
    let id = desk.ok(&["import", &folder.display().to_string()]);
    let id = id.trim();
    let identifier = cluster.psql_text("postgres", "SELECT system_identifier FROM pg_control_system()");
    assert_eq!(desk.json(&["show", id, "--json"])["cluster"], identifier);
    let conninfo = target.conninfo("postgres");
    desk.ok(&["restore", id, "--all", "--globals", "--jobs", "4", "--dbname", &conninfo]);
    assert_same(&zoo_before, &Snapshot::take(target, "zoo"));
    assert_same(&shop_before, &Snapshot::take(target, "shop"));
    // Again over what is there: everything with an owner can be dropped.
    desk.ok(&["restore", id, "--database", "shop", "--clean", "--dbname", &target.conninfo("shop")]);
    assert_same(&shop_before, &Snapshot::take(target, "shop"));
    // One table with what belongs to it, without its owner.
    target.create_database("part");
    let part = target.conninfo("part");
    desk.ok(&[
        "restore",
        id,
        "--database",
        "shop",
        "-t",
        "shop.order_items",
        "--no-owner",
        "--dbname",
        &part,
    ]);
    let count = |cluster: &Cluster, db: &str| cluster.psql_text(db, "SELECT count(*) FROM shop.order_items");
    assert_eq!(count(target, "part"), count(cluster, "shop"));
    let indexes = "SELECT count(*) FROM pg_index WHERE indrelid = 'shop.order_items'::regclass";
    assert_eq!(target.psql_text("part", indexes), cluster.psql_text("shop", indexes));
    // Out again as an archive, which stock pg_restore takes with several workers.
    let archive = desk.path("archive");
    desk.ok(&["export", id, "--database", "shop", "--output", &archive.display().to_string()]);
    target.create_database("stock");
    let restored = target
        .client("pg_restore")
        .args(["-j4", "--exit-on-error", "-d", &target.conninfo("stock")])
        .arg(&archive)
        .output()
        .unwrap();
    assert!(restored.status.success(), "{}", super::support::text(&restored.stderr));
    let mut stock = Snapshot::take(target, "stock");
    stock.database.clone_from(&shop_before.database);
    assert_same(&shop_before, &stock);

    // A script of one database says its name only with --create.
    let (named, nameless) = (desk.path("named.sql"), desk.path("nameless.sql"));
    dumps::pg_dump(cluster, "shop", &named, &["--create"]);
    dumps::pg_dump(cluster, "shop", &nameless, &[]);
    comes_back(&desk, &named, &shop_before, cluster, "named");
    let said = desk.example(
        "A script that does not name its database",
        1,
        &["import", &nameless.display().to_string()],
    );
    assert!(said.contains("--create"), "{said}");
    let whole = std::fs::read(folder.join("all.sql")).unwrap();
    let stored = desk.ok(&["list", "--json"]);
    for length in [whole.len() - 3, whole.len() / 2, whole.len() / 3, 3000, 100] {
        std::fs::write(&named, &whole[..length]).unwrap();
        let output = desk.run(&["import", &named.display().to_string()]);
        assert_eq!(output.status.code(), Some(1), "cut at {length}");
    }
    assert_eq!(desk.ok(&["list", "--json"]), stored);
}

#[test]
fn scripts_of_pg_dumpall() {
    every_script(&Cluster::start(), &Cluster::start());
}

#[test]
fn scripts_of_pg_dumpall_18() {
    let (Some(source), Some(target)) = (require(18), require(18)) else { return };
    every_script(&source.start(), &target.start());
}

/// By every option that wrappers of pg_dump pass: whole, or refused.
#[test]
fn dumps_by_every_option() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE DATABASE d; CREATE ROLE owner_x");
    cluster.sql(
        "d",
        "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); \
         CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (100); INSERT INTO p SELECT g, E'a\\\\b\\'' || g FROM generate_series(1, 50) g; \
         CREATE TABLE \"Weird\" (id int REFERENCES p, \"sel\\ect\" text DEFAULT '\\\\'); INSERT INTO \"Weird\" VALUES (1); \
         ALTER TABLE \"Weird\" OWNER TO owner_x; SELECT lo_from_bytea(5, '\\x5c27')",
    );
    let before = Snapshot::take(&cluster, "d");
    let desk = Desk::plain();
    let mut number = 0;
    let mut taken = |options: &[&str]| {
        number += 1;
        let path = desk.path(&format!("taken{number}"));
        dumps::pg_dump(&cluster, "d", &path, options);
        let id = comes_back(&desk, &path, &before, &cluster, &format!("new{number}"));
        // And into a database that is there.
        let db = format!("there{number}");
        cluster.sql("postgres", &format!("CREATE DATABASE {db} TEMPLATE template0"));
        desk.ok(&["restore", &id, "--dbname", &cluster.conninfo(&db)]);
        let mut after = Snapshot::take(&cluster, &db);
        after.database.clone_from(&before.database);
        assert_same(&before, &after);
    };
    for options in [
        &["--create", "--quote-all-identifiers"][..],
        &["--create", "--clean", "--if-exists"],
        &["--create", "--load-via-partition-root", "--disable-dollar-quoting"],
        &["-Fc", "--quote-all-identifiers", "--create", "--clean"],
        &["-Fc", "--load-via-partition-root"],
        &["-Fc", "--use-set-session-authorization"],
    ] {
        taken(options);
    }
    // Where backslashes escape in plain strings, pg_dump doubles them, in archives and scripts.
    cluster.sql("postgres", "ALTER DATABASE d SET standard_conforming_strings = off");
    let before = Snapshot::take(&cluster, "d");
    for (options, db) in [(&["--create"][..], "off_script"), (&["-Fc"], "off_archive")] {
        let path = desk.path(db);
        dumps::pg_dump(&cluster, "d", &path, options);
        let id = comes_back(&desk, &path, &before, &cluster, db);
        let script = desk.run(&["export", &id, "--format", "plain", "--output", "-"]).stdout;
        let plain = format!("{db}_plain");
        cluster.create_database(&plain);
        super::exports::psql_into(&cluster, &plain, &script);
        assert_eq!(Snapshot::take(&cluster, &plain).large_objects, before.large_objects);
    }
    // What pg_dump does not write would be cut at another place than psql cuts it.
    let honest = std::fs::read_to_string(desk.path("off_script")).unwrap();
    let forged = honest.replacen("DEFAULT '", "DEFAULT 'a\\nb", 1);
    assert_ne!(forged, honest);
    std::fs::write(desk.path("forged"), forged).unwrap();
    assert!(
        desk.fails(1, &["import", &desk.path("forged").display().to_string()]).contains("backslash escape")
    );

    let refused = |options: &[&str], why: &str| {
        let path = desk.path(&format!("refused{}", options.concat()));
        dumps::pg_dump(&cluster, "d", &path, options);
        let said = desk.fails(1, &["import", &path.display().to_string()]);
        assert!(said.contains(why), "{options:?}: {said}");
    };
    for (options, why) in [
        (&["--create", "--inserts"][..], "--inserts"),
        (&["--create", "--rows-per-insert=2"], "--inserts"),
        (&["-Fc", "--column-inserts"], "INSERT"),
        (&["--create", "--use-set-session-authorization"], "SESSION AUTHORIZATION"),
        (&["--create", "--data-only"], "no definitions"),
        (&["-Fc", "--section=data"], "no definitions"),
        (&["-Fc", "--section=post-data"], "no definitions"),
    ] {
        refused(options, why);
    }
    // Definitions alone are a part.
    let path = desk.path("definitions");
    dumps::pg_dump(&cluster, "d", &path, &["-Fc", "--schema-only"]);
    let id = desk.ok(&["import", &path.display().to_string()]);
    assert_eq!(desk.json(&["show", id.trim(), "--json"])["contents"][0]["filters"]["schema_only"], true);
    // What was changed or packed on its way says so.
    for (bytes, why) in [
        (b"\x1f\x8b\x08\x00".to_vec(), "gunzip"),
        (b"\xef\xbb\xbf--\n".to_vec(), "byte order mark"),
        (b"--\r\n-- PostgreSQL database dump\r\n".to_vec(), "CR LF"),
    ] {
        std::fs::write(desk.path("odd"), bytes).unwrap();
        let said = desk.fails(1, &["import", &desk.path("odd").display().to_string()]);
        assert!(said.contains(why), "{said}");
    }
}

/// `pg_dumpall --clean` drops first what it makes: that is no part of the backup, and no restore of
/// globals carries it out.
#[test]
fn a_script_that_drops_first_drops_nothing() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE ROLE app; CREATE DATABASE precious OWNER app; CREATE DATABASE other");
    cluster.sql("precious", "CREATE TABLE t AS SELECT 1 AS a");
    let desk = Desk::plain();
    for (number, options) in [&["--clean"][..], &["--clean", "--if-exists"]].iter().enumerate() {
        let path = desk.path(&format!("all{number}.sql"));
        let mut dump = cluster.client("pg_dumpall");
        super::support::stock(
            dump.args(["-d", &cluster.conninfo("postgres")]).args(*options).arg("-f").arg(&path),
        );
        assert!(std::fs::read_to_string(&path).unwrap().contains("DROP DATABASE"));
        let id = desk.ok(&["import", &path.display().to_string()]);
        let globals = desk.ok(&["cat", &format!("{}:/globals.sql", id.trim())]);
        assert!(globals.contains("CREATE ROLE app") && !globals.contains("DROP "), "{globals}");
        assert!(globals.starts_with("\\restrict "), "{globals}");
        desk.ok(&["restore", id.trim(), "--globals-only", "--dbname", &cluster.conninfo("postgres")]);
        assert_eq!(cluster.psql_text("precious", "SELECT a FROM t"), "1");
        desk.ok(&[
            "restore",
            id.trim(),
            "--database",
            "precious",
            "--as",
            &format!("new{number}"),
            "--create",
            "--dbname",
            &cluster.conninfo("postgres"),
        ]);
        assert_eq!(cluster.psql_text(&format!("new{number}"), "SELECT a FROM t"), "1");
    }
}

#[test]
fn what_is_damaged_is_refused_and_leaves_nothing() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t (a int, b text); INSERT INTO t SELECT g, repeat('x', 50) FROM generate_series(1, 5000) g; CREATE TABLE u (a int); INSERT INTO u VALUES (1); SELECT lo_from_bytea(7, 'object')");
    let desk = Desk::plain();
    let (custom, tar, folder) = (desk.path("d.custom"), desk.path("d.tar"), desk.path("d.dir"));
    dumps::pg_dump(&cluster, "d", &custom, &["-Fc", "-Z0"]);
    dumps::pg_dump(&cluster, "d", &tar, &["-Ft"]);
    dumps::pg_dump(&cluster, "d", &folder, &["-Fd", "-Z0"]);
    let broken = desk.path("broken");
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&broken, bytes).unwrap();
        let output = desk.run(&["import", &broken.display().to_string()]);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", super::support::text(&output.stderr));
    };
    for whole in [std::fs::read(&custom).unwrap(), std::fs::read(&tar).unwrap()] {
        // Cut anywhere, the last byte included (tar: before its end mark).
        for part in [3, 40, 600, whole.len() / 3, whole.len() / 2, whole.len() - 1500] {
            refused(&whole[..part], &format!("cut at {part} of {}", whole.len()));
        }
    }
    // Any byte may be wrong: the dump is taken or refused, and the program never breaks down.
    let mut seed = 88_172_645_463_325_252_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let other = Desk::plain();
    for whole in [std::fs::read(&custom).unwrap(), std::fs::read(&tar).unwrap()] {
        for _ in 0..60 {
            let mut flipped = whole.clone();
            // Most of a dump are rows; what steers the reader is at the beginning.
            let at = if random(3) == 0 { random(whole.len()) } else { random(whole.len().min(4000)) };
            flipped[at] ^= 1 << random(8);
            std::fs::write(&broken, &flipped).unwrap();
            let output = other.run(&["import", &broken.display().to_string()]);
            let said = super::support::text(&output.stderr);
            assert!(
                matches!(output.status.code(), Some(0 | 1)) && !said.contains("panicked"),
                "byte {at}: {said}"
            );
        }
    }
    assert!(other.ok(&["check"]).contains("no problem"));
    let whole = std::fs::read(&custom).unwrap();
    refused(&whole[..whole.len() - 1], "cut by one byte");
    let mut newer = whole.clone();
    newer[6] = 99;
    std::fs::write(&broken, &newer).unwrap();
    let said = desk.example("An archive of a newer version", 1, &["import", &broken.display().to_string()]);
    assert!(said.contains("1.99"), "{said}");
    // A length that lies: of the first string of the header, and of a piece of data.
    let mut lies = whole.clone();
    let first_row = whole.windows(8).position(|window| window == b"1\txxxxxx").unwrap();
    lies[first_row - 1] = 0x7f;
    refused(&lies, "a piece of 2 GB");
    let mut lies = whole.clone();
    lies[first_row - 5] = 1;
    refused(&lies, "a piece of negative length");
    // A directory that lacks a file, and one that points outside.
    // In the order of names: first the rows of tables, which have numbers.
    let data: Vec<_> = files(&folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "dat") && !path.ends_with("toc.dat"))
        .collect();
    let hidden = desk.path("hidden");
    std::fs::rename(&data[0], &hidden).unwrap();
    let said = desk.fails(1, &["import", &folder.display().to_string()]);
    assert!(said.contains("does not have the file"), "{said}");
    std::fs::rename(&hidden, &data[0]).unwrap();
    let toc = std::fs::read(folder.join("toc.dat")).unwrap();
    let name = data
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .find(|name| name.len() == 8 && !name.starts_with("blob"))
        .unwrap();
    let at = toc.windows(8).position(|window| window == name.as_bytes()).unwrap();
    let mut outside = toc.clone();
    outside[at..at + 8].copy_from_slice(b"../x.dat");
    std::fs::write(folder.join("toc.dat"), outside).unwrap();
    let said = desk.fails(1, &["import", &folder.display().to_string()]);
    assert!(said.contains("which is outside of it"), "{said}");
    let inserts = desk.path("inserts");
    dumps::pg_dump(&cluster, "d", &inserts, &["-Fc", "--inserts"]);
    assert!(desk.fails(1, &["import", &inserts.display().to_string()]).contains("INSERT"));
    assert_eq!(desk.ok(&["list", "--json"]).trim(), r#"{"format":1,"backups":[]}"#);
    assert!(desk.ok(&["check"]).contains("no problem"));
}
