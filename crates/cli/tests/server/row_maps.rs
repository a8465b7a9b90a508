//! Row maps through the program, on real tables: whatever happens to them, each backup gives the
//! rows that it was made of.

use std::collections::BTreeMap;

use pgark_bytes::copy_text::RowSum;
use pgark_testkit::oracle::{Snapshot, assert_same};
use pgark_testkit::{Cluster, is_full};

use super::support::Desk;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit.max(1)
    }
}

/// Tables of every kind that rows can make trouble in.
fn fill(cluster: &Cluster) {
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE plain AS SELECT g AS id, md5(g::text) AS a, repeat(md5((g * 7)::text), 4) AS b, now() AS at, 0.1 * g AS n
           FROM generate_series(1, 30000) g;
         ALTER TABLE plain ADD PRIMARY KEY (id);
         CREATE TABLE duplicates AS SELECT g % 7 AS a, 'same' AS b FROM generate_series(1, 20000) g;
         CREATE TABLE nulls AS SELECT NULL::int AS a, CASE WHEN g % 3 = 0 THEN md5(g::text) END AS b FROM generate_series(1, 5000) g;
         CREATE TABLE empty_strings AS SELECT ''::text AS a FROM generate_series(1, 3000) g;
         CREATE TABLE no_columns (); INSERT INTO no_columns SELECT FROM generate_series(1, 50);
         CREATE TABLE large AS SELECT g AS id, repeat(md5(g::text), 1000 * (1 + g % 100)) AS body FROM generate_series(1, 40) g;
         CREATE TABLE toasted AS SELECT g AS id, (SELECT string_agg(md5((g * 1000 + i)::text), '') FROM generate_series(1, 200) i) AS body
           FROM generate_series(1, 800) g;
         CREATE TABLE parted (id int, region int, body text) PARTITION BY LIST (region);
         CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
         CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2, 3);
         INSERT INTO parted SELECT g, 1 + g % 3, md5(g::text) FROM generate_series(1, 9000) g;
         CREATE TABLE computed (id int, twice int GENERATED ALWAYS AS (id * 2) STORED, body text);
         INSERT INTO computed (id, body) SELECT g, md5(g::text) FROM generate_series(1, 6000) g;",
    );
}

const TABLES: [&str; 10] = [
    "plain",
    "duplicates",
    "nulls",
    "empty_strings",
    "no_columns",
    "large",
    "toasted",
    "parted_1",
    "parted_2",
    "computed",
];

type State = BTreeMap<&'static str, RowSum>;

/// Number and hash sum of every table's rows, whatever their order.
fn state(cluster: &Cluster, db: &str) -> State {
    let of = |table| {
        let columns = if table == "computed" { " (id, body)" } else { "" };
        let mut psql = cluster.client("psql");
        psql.args([
            "-X",
            "-q",
            "-d",
            &cluster.conninfo(db),
            "-c",
            &format!("COPY {table}{columns} TO STDOUT"),
        ]);
        psql.env("PGTZ", "UTC").env("PGOPTIONS", "-c extra_float_digits=3");
        let mut sum = RowSum::default();
        sum.add(&psql.output().unwrap().stdout);
        sum
    };
    TABLES.into_iter().map(|table| (table, of(table))).collect()
}

fn stored(desk: &Desk, id: &str) -> State {
    let of = |table| {
        let output = desk.run(&["cat", &format!("{id}:/db/d/data/public.{table}")]);
        assert!(output.status.success(), "{id} {table}: {}", String::from_utf8_lossy(&output.stderr));
        let mut sum = RowSum::default();
        sum.add(&output.stdout);
        sum
    };
    TABLES.into_iter().map(|table| (table, of(table))).collect()
}

/// Something happens to the tables.
fn change(cluster: &Cluster, random: &mut Random, round: u64) {
    let mut sql = format!(
        "UPDATE plain SET b = b || 'x', n = n + 1 WHERE (id * 31 + {round}) % 97 = 0;
         DELETE FROM plain WHERE (id * 17 + {round}) % 211 = 0;
         INSERT INTO plain (id, a, b) SELECT max(id) + 1, 'new', md5(max(id)::text) FROM plain;
         DELETE FROM duplicates WHERE ctid IN (SELECT ctid FROM duplicates OFFSET {round} * 10 LIMIT 25);
         INSERT INTO duplicates SELECT {round} % 9, 'same' FROM generate_series(1, 40);
         UPDATE nulls SET b = NULL WHERE md5(b) < '0{round:x}';
         INSERT INTO empty_strings VALUES (''); INSERT INTO no_columns DEFAULT VALUES;
         UPDATE large SET body = body || '!' WHERE id % 9 = {round} % 9;
         UPDATE toasted SET body = upper(body) WHERE id % 50 = {round} % 50;
         UPDATE parted SET region = 1 + (region % 3) WHERE id % 40 = {round} % 40;
         UPDATE computed SET id = id + 1 WHERE id % 60 = {round} % 60;"
    );
    let table = TABLES[random.below(TABLES.len() as u64) as usize];
    sql.push_str(match random.below(11) {
        0 => "VACUUM plain; VACUUM duplicates;",
        1 => "VACUUM FULL plain;",
        2 => "VACUUM FULL;",
        3 => "CREATE INDEX c ON plain (a); CLUSTER plain USING c; DROP INDEX c;",
        4 => "ALTER TABLE computed ADD COLUMN more int DEFAULT 7; ALTER TABLE computed DROP COLUMN more;",
        5 => "TRUNCATE empty_strings; INSERT INTO empty_strings SELECT '' FROM generate_series(1, 500);",
        6 => "ALTER TABLE duplicates ALTER COLUMN a TYPE bigint; ALTER TABLE nulls ADD COLUMN IF NOT EXISTS c text DEFAULT 'c';",
        7 => "DELETE FROM plain WHERE id < (SELECT min(id) + 3000 FROM plain); VACUUM FULL plain;",
        8 => "ALTER TABLE nulls DROP COLUMN IF EXISTS c;",
        9 => "INSERT INTO plain (id, a, b) SELECT g, 'again', md5(g::text) FROM generate_series(1, 30000) g ON CONFLICT DO NOTHING;",
        _ => "VACUUM;",
    });
    for statement in sql.split_inclusive(';') {
        cluster.sql("d", statement);
    }
    cluster.sql("d", &format!("VACUUM {table}"));
}

#[test]
fn every_backup_of_a_chain_gives_its_rows() {
    let cluster = Cluster::start();
    fill(&cluster);
    let desk = Desk::with_identity();
    let mut random = Random(0x0b5e_55ed);
    let mut made: Vec<(String, State)> = Vec::new();
    let info = cluster.conninfo("d");
    for round in 0..if is_full() { 30 } else { 12 } {
        let before = state(&cluster, "d");
        let mut args = vec!["backup", "--dbname", &info, "--row-map", "on", "--jobs", "2"];
        if random.below(12) == 0 {
            args.push("--condemn-dead");
        }
        made.push((desk.ok(&args).trim().to_string(), before));
        change(&cluster, &mut random, round);
        if made.len() > 4 && random.below(3) == 0 {
            let (id, _) = made.remove(random.below(made.len() as u64 - 1) as usize);
            desk.ok(&["forget", &id]);
        }
        if random.below(4) == 0 {
            desk.ok(&["prune", "--grace", "0"]);
        }
        if round % 6 == 5 {
            let (id, expected) = &made[random.below(made.len() as u64) as usize];
            assert_eq!(stored(&desk, id), *expected, "backup {id} in round {round}");
        }
    }
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
    for (id, expected) in &made {
        assert_eq!(stored(&desk, id), *expected, "backup {id}");
    }
    for (id, expected) in [&made[0], &made[made.len() - 1]] {
        desk.ok(&["restore", id, "--create", "--dbname", &cluster.conninfo("back")]);
        assert_eq!(state(&cluster, "back"), *expected);
        cluster.drop_database("back");
    }
}

fn row_map(made: &serde_json::Value, table: &str) -> serde_json::Value {
    let tables = made["tables"].as_array().unwrap();
    tables.iter().find(|detail| detail["name"] == table).unwrap()["row_map"].clone()
}

/// A narrow table is mapped where the server has counted updates: over a week that costs less,
/// though the first backup is larger.
#[test]
fn narrow_tables_are_mapped_where_rows_change() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    let rows = "SELECT g AS id, 'SKU-' || hashint4(g) % 40000 AS sku, hashint4(-g) % 20000 AS price \
                FROM generate_series(1, 60000) g";
    cluster.sql("d", &format!("CREATE TABLE live AS {rows}; CREATE TABLE still AS {rows}"));
    cluster.sql("d", "UPDATE live SET price = 1 WHERE id % 100 = 0");
    let desk = Desk::plain();
    let backup = || desk.json(&["backup", "--dbname", &cluster.conninfo("d"), "--json"]);
    let added = |backup: &serde_json::Value, table: &str| {
        let tables = backup["tables"].as_array().unwrap();
        tables.iter().find(|detail| detail["name"] == table).unwrap()["bytes_added"].as_u64().unwrap()
    };
    let first = backup();
    assert!(!row_map(&first, "live").is_null() && row_map(&first, "still").is_null(), "{first}");
    let (live, still) = (added(&first, "live"), added(&first, "still"));
    assert!(live < 2 * still, "{live} and {still}");
    cluster.sql(
        "d",
        "UPDATE live SET price = 2 WHERE id % 100 = 1; UPDATE still SET price = 2 WHERE id % 100 = 1",
    );
    let second = backup();
    // The one was prepared; the other is stored whole once more, and is prepared from now on.
    assert_eq!(row_map(&second, "live")["rows_new"], 600);
    assert!(added(&second, "live") * 20 < live, "{second}");
    assert!(!row_map(&second, "still").is_null(), "{second}");
    cluster.sql("d", "UPDATE still SET price = 3 WHERE id % 100 = 2");
    let third = backup();
    assert_eq!(row_map(&third, "still")["rows_new"], 600);
    assert!(added(&third, "still") * 20 < still, "{third}");
}

/// What a backup says of each table, which tables are mapped, and why a part was stored whole.
#[test]
fn backups_tell_what_they_stored() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE events AS SELECT g AS id, sha512(g::text::bytea)::text AS body FROM generate_series(1, 40000) g;
         CREATE TABLE narrow AS SELECT g AS id, 7 AS n FROM generate_series(1, 100000) g;
         CREATE TABLE small AS SELECT g AS id, sha512(g::text::bytea)::text AS body FROM generate_series(1, 20) g;",
    );
    let desk = Desk::with_identity();
    let info = cluster.conninfo("d");
    let backup = |more: &[&str]| desk.json(&[&["backup", "--dbname", &info, "--json"], more].concat());
    let first = backup(&[]);
    assert_eq!(row_map(&first, "events")["rows_new"], 40_000);
    assert_eq!(row_map(&first, "events")["whole"]["first"], row_map(&first, "events")["parts"]);
    assert!(row_map(&first, "narrow").is_null() && row_map(&first, "small").is_null(), "{first}");
    cluster.sql("d", "UPDATE events SET body = 'changed' WHERE id % 1000 = 0");
    let second = backup(&[]);
    assert_eq!(row_map(&second, "events")["rows_new"], 40);
    assert!(row_map(&second, "events")["whole"].is_null());
    assert!(second["bytes_added"].as_u64().unwrap() * 20 < first["bytes_added"].as_u64().unwrap());
    let shown = desk.ok(&["show", second["id"].as_str().unwrap()]);
    let line = shown.lines().find(|line| line.starts_with("public.events")).unwrap();
    assert!(line.contains("40 000") && line.split_whitespace().any(|word| word == "40"), "{line}");
    let line = shown.lines().find(|line| line.starts_with("public.narrow")).unwrap();
    assert!(line.contains(" - "), "{line}");
    // A column more; money has the same text under every setting of the server.
    cluster.sql("d", "ALTER TABLE events ADD COLUMN price money DEFAULT '1.50'");
    let altered = backup(&[]);
    assert!(row_map(&altered, "events")["whole"]["columns"].as_u64().unwrap() > 0, "{altered}");
    let options = format!("{info} options='-c lc_monetary=POSIX -c DateStyle=German -c bytea_output=escape'");
    let other = desk.json(&["backup", "--dbname", &options, "--json"]);
    assert_eq!(row_map(&other, "events")["rows_new"], 0, "{other}");
    // Everything that was said of tables holds: on, off, by pattern, from the file.
    let on = backup(&["--row-map", "on"]);
    assert!(["events", "narrow", "small"].iter().all(|table| !row_map(&on, table).is_null()), "{on}");
    let off = backup(&["--row-map", "off"]);
    assert!(row_map(&off, "events").is_null());
    let some = backup(&[
        "--row-map",
        "off",
        "--row-map-on",
        "e*",
        "--row-map-on",
        "small",
        "--row-map-off",
        "public.small",
    ]);
    assert!(!row_map(&some, "events").is_null() && row_map(&some, "small").is_null(), "{some}");
    let config = desk.path("pgark.toml");
    std::fs::write(&config, "[clusters.c]\nrow_map = \"off\"\n[clusters.c.databases.d]\nrow_map = \"on\"\nrow_map_off = [\"narrow\"]\n")
        .unwrap();
    let filed = backup(&["--cluster", "c", "--config", config.to_str().unwrap()]);
    assert!(!row_map(&filed, "small").is_null() && row_map(&filed, "narrow").is_null(), "{filed}");
    assert!(desk.fails(2, &["backup", "--dbname", &info, "--row-map-on", "a.b.c.d"]).contains("a.b.c.d"));
    // --full leans on nothing, and the next backup leans on it.
    let full = backup(&["--full"]);
    assert_eq!(row_map(&full, "events")["rows_new"], 40_000);
    assert_eq!(row_map(&backup(&[]), "events")["rows_new"], 0);
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
}

/// Large tables are several ranges, on several connections; two backups run at once, and a prune
/// beside them.
#[test]
fn several_connections_two_backups_and_a_prune() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE events AS SELECT g AS id, sha512(g::text::bytea)::text AS body FROM generate_series(1, 600000) g;
         ALTER TABLE events ADD PRIMARY KEY (id)",
    );
    let desk = Desk::with_identity();
    let info = cluster.conninfo("d");
    let first = desk.json(&["backup", "--dbname", &info, "--json", "--jobs", "4"]);
    assert!(row_map(&first, "events")["parts"].as_u64().unwrap() > 2, "{first}");
    for round in 0..3 {
        cluster.sql("d", &format!("UPDATE events SET body = md5(body) WHERE id % 600 = {round}"));
        let mut children: Vec<_> = (0..2)
            .map(|_| {
                desk.spawn(&["backup", "--dbname", &info, "--json", "--jobs", "2", "--allow-concurrent"])
            })
            .collect();
        children.push(desk.spawn(&["prune", "--grace", "0"]));
        let backups: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        for output in &backups[..2] {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(row_map(&made, "events")["rows_new"], 1000, "{made}");
        }
    }
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
    desk.ok(&["restore", "latest", "--create", "--dbname", &cluster.conninfo("back")]);
    let (mut before, after) = (Snapshot::take(&cluster, "d"), Snapshot::take(&cluster, "back"));
    before.database.clone_from(&after.database);
    assert_same(&before, &after);
    // The table is loaded by several connections. If one of them fails, no half of it stays.
    let packs = super::support::files(&desk.repo().join("packs"));
    let largest = packs.iter().max_by_key(|pack| std::fs::metadata(pack).unwrap().len()).unwrap();
    let mut bytes = std::fs::read(largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(largest, bytes).unwrap();
    let target = cluster.conninfo("half");
    let said = desk.fails(1, &["restore", "latest", "--create", "--dbname", &target, "--jobs", "3"]);
    assert!(said.contains("packs/"), "{said}");
    assert_eq!(cluster.psql_text("half", "SELECT count(*) FROM events"), "0");
}

/// Without ctid ranges (before 14) a table comes whole, and its parts follow one another: they are
/// found again all the same.
#[test]
fn successive_parts_of_one_copy() {
    let majors = Cluster::available_majors();
    let cluster = match majors.contains(&13) {
        true => Cluster::builder().major(13).start(),
        false => Cluster::start(),
    };
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE events AS SELECT g AS id, md5(g::text) || md5((g + 1)::text) AS body FROM generate_series(1, 1200000) g",
    );
    let desk = Desk::with_identity();
    let info = cluster.conninfo("d");
    let backup = || desk.json(&["backup", "--dbname", &info, "--json", "--row-map", "on"]);
    backup();
    cluster
        .sql("d", "DELETE FROM events WHERE id % 97 = 0; UPDATE events SET body = 'x' WHERE id % 1000 = 1");
    cluster.sql("d", "VACUUM FULL events");
    let second = backup();
    let new = row_map(&second, "events")["rows_new"].as_u64().unwrap();
    // 1,200 rows changed, 12,000 are gone: the parts' borders moved.
    assert!(new < 4000, "{second}");
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
}

/// Everything that the packs of an unencrypted repository hold in the clear: chunks as they are,
/// and those that are compressed.
fn everything(desk: &Desk) -> Vec<u8> {
    let mut found = Vec::new();
    for pack in super::support::files(&desk.repo().join("packs")) {
        let bytes = std::fs::read(pack).unwrap();
        for (at, _) in bytes.windows(4).enumerate().filter(|(_, four)| *four == [0x28, 0xb5, 0x2f, 0xfd]) {
            let frame = std::io::BufReader::new(&bytes[at..]);
            let mut opened = Vec::new();
            let decoder = zstd::stream::read::Decoder::with_buffer(frame).unwrap().single_frame();
            if std::io::copy(&mut { decoder }, &mut opened).is_ok() {
                found.extend_from_slice(&opened);
            }
        }
        found.extend_from_slice(&bytes);
    }
    found
}

fn holds(desk: &Desk, wanted: &str) -> bool {
    everything(desk).windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

/// The commands of docs/rowmaps.md, word by word, erase a row; and each of its steps is needed.
#[test]
fn the_documented_erasure_erases() {
    let page = include_str!("../../../../docs/rowmaps.md");
    let section = page.split("## Deleted rows, and erasing them").nth(1).unwrap();
    let block = section.split("```").nth(1).unwrap();
    let steps: Vec<&str> = block
        .lines()
        .filter_map(|line| Some(line.split('#').next()?.trim()))
        .filter(|line| !line.is_empty())
        .collect();
    assert!(steps.len() >= 3 && steps.iter().all(|step| step.starts_with("pgark ")), "{block}");
    let cluster = Cluster::start();
    cluster.create_database("shop");
    cluster.sql(
        "shop",
        "CREATE TABLE people AS SELECT g AS id, sha512(g::text::bytea)::text AS body FROM generate_series(1, 20000) g;
         CREATE TABLE tiny AS SELECT g AS id, 'secret number ' || g AS body FROM generate_series(1, 30) g;
         UPDATE people SET body = 'the secret of person ' || id || ' ' || md5(id::text) WHERE id % 9000 = 7;",
    );
    let desk = Desk::plain();
    let info = cluster.conninfo("shop");
    let secrets = [
        format!("the secret of person 9007 {}", cluster.psql_text("shop", "SELECT md5('9007')")),
        "secret number 17\n".to_string(),
    ];
    for round in 0..2 {
        desk.ok(&["backup", "--dbname", &info]);
        cluster.sql("shop", &format!("UPDATE people SET body = 'changed' WHERE id % 1000 = {round}"));
    }
    cluster.sql("shop", "DELETE FROM people WHERE id = 9007; DELETE FROM tiny WHERE id = 17");
    assert!(secrets.iter().all(|secret| holds(&desk, secret)));
    let before: Vec<String> = desk.json(&["list", "--json"])["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|backup| backup["id"].as_str().unwrap().to_string())
        .collect();
    for step in &steps {
        assert!(secrets.iter().any(|secret| holds(&desk, secret)), "erased before {step:?}");
        let mut args: Vec<&str> = Vec::new();
        for word in step.split_whitespace().skip(1) {
            match word {
                "shop" => args.push(&info),
                "ID" => args.extend(before.iter().map(String::as_str)),
                "..." => {}
                word => args.push(word),
            }
        }
        desk.ok(&args);
    }
    for secret in &secrets {
        assert!(!holds(&desk, secret), "{secret:?} is still there");
    }
    assert!(desk.ok(&["check", "--read-data"]).contains("no problem"));
    desk.ok(&["restore", "latest", "--create", "--dbname", &cluster.conninfo("back")]);
    assert_eq!(cluster.psql_text("back", "SELECT count(*) FROM people"), "19999");
}
