//! What a backup records of a database for masking: `/db/DB/catalog.json`.

use std::collections::{BTreeMap, BTreeSet};

use pgark_testkit::{Cluster, available_majors, in_full, shop, zoo};
use serde_json::{Value, json};

use super::support::Desk;

/// What the fixtures do not have.
const MORE: &str = "
    CREATE DOMAIN name_of AS varchar(40) DEFAULT 'nobody' NOT NULL CONSTRAINT no_digit CHECK (VALUE !~ '[0-9]');
    CREATE DOMAIN short_name AS name_of CHECK (length(VALUE) < 10);
    CREATE TYPE part AS (label short_name, at date);
    CREATE TABLE country (code char(2), region text COLLATE \"C\", name short_name, PRIMARY KEY (code), UNIQUE (region, code));
    CREATE TABLE town (id int, here char(2), area text COLLATE \"C\", parts part[],
      upper_area text GENERATED ALWAYS AS (upper(area) || here) STORED,
      CONSTRAINT in_region FOREIGN KEY (here, area) REFERENCES country (code, region) ON UPDATE CASCADE,
      CONSTRAINT in_country FOREIGN KEY (here) REFERENCES country);
    CREATE UNIQUE INDEX town_lower ON town (lower(area), here COLLATE \"C\") INCLUDE (id) WHERE id > 5 AND upper_area <> 'X';
    CREATE TABLE events (at timestamp, town int, note text) PARTITION BY RANGE ((at::date), town);
    CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (MINVALUE, MINVALUE) TO ('2020-01-01', 7);
    CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
    CREATE TRIGGER comes BEFORE INSERT OR UPDATE ON town FOR EACH ROW EXECUTE FUNCTION nothing();
    CREATE TRIGGER is_off BEFORE INSERT ON town FOR EACH ROW EXECUTE FUNCTION nothing();
    CREATE TRIGGER goes BEFORE DELETE ON town FOR EACH ROW EXECUTE FUNCTION nothing();
    ALTER TABLE town DISABLE TRIGGER is_off;
    CREATE POLICY of_town ON town USING (area = current_user) WITH CHECK (id > 0);
    CREATE TEMPORARY TABLE not_there (a int);";

/// The facts of a database in a backup, as they lie in it.
fn text(desk: &Desk, id: &str, database: &str) -> String {
    desk.ok(&["cat", &format!("{id}:/db/{database}/catalog.json")])
}

fn facts(desk: &Desk, id: &str, database: &str) -> Value {
    serde_json::from_str(&text(desk, id, database)).unwrap()
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().map_or(&[], Vec::as_slice)
}

/// The one of this name in a list of the facts.
#[track_caller]
fn named<'a>(of: &'a Value, member: &str, name: &str) -> &'a Value {
    let mut found = list(of, member).iter().filter(|one| one["name"] == name);
    let one = found.next().unwrap_or_else(|| panic!("no {name} among the {member} of {of}"));
    assert!(found.next().is_none(), "two {name} among the {member}");
    one
}

/// Foreign keys as `table(columns) -> table(columns)`.
fn keys(catalog: &Value) -> BTreeSet<String> {
    let names: BTreeMap<u64, String> = list(catalog, "tables")
        .iter()
        .map(|table| (table["oid"].as_u64().unwrap(), table["name"].as_str().unwrap().to_string()))
        .collect();
    let columns = |of: &Value| -> String {
        let columns: Vec<&str> = list(of, "columns").iter().map(|name| name.as_str().unwrap()).collect();
        columns.join(", ")
    };
    let mut keys = BTreeSet::new();
    for table in list(catalog, "tables") {
        for key in list(table, "constraints").iter().filter(|key| key["kind"] == "f") {
            let to = &key["references"];
            keys.insert(format!(
                "{}({}) -> {}({})",
                table["name"].as_str().unwrap(),
                columns(key),
                names[&to["table"].as_u64().unwrap()],
                columns(to)
            ));
        }
    }
    keys
}

/// The same, by other means: the definitions of the foreign keys that someone made.
const KEYS: &str = "SELECT format('%s(%s) -> %s(%s)', c.relname,
      (SELECT string_agg(attname, ', ' ORDER BY array_position(k.conkey, attnum)) FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey)),
      p.relname,
      (SELECT string_agg(attname, ', ' ORDER BY array_position(k.confkey, attnum)) FROM pg_attribute WHERE attrelid = confrelid AND attnum = ANY (confkey)))
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid
    WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1";

/// What holds of the facts of any database.
#[track_caller]
fn check(cluster: &Cluster, desk: &Desk, id: &str, database: &str) -> Value {
    let text = text(desk, id, database);
    let catalog: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&catalog["format"], &catalog["database"]), (&json!(1), &json!(database)));
    assert_eq!(catalog["server_version"].as_u64().unwrap() / 10_000, u64::from(cluster.major()));
    // Each table in a line of its own, by schema and name.
    for table in list(&catalog, "tables") {
        let begin = format!("{{\"oid\":{},", table["oid"]);
        assert!(text.lines().any(|line| line.trim_start_matches(',').starts_with(&begin)), "{begin}");
    }
    let names: Vec<(&str, &str)> = list(&catalog, "tables")
        .iter()
        .map(|table| (table["schema"].as_str().unwrap(), table["name"].as_str().unwrap()))
        .collect();
    assert!(names.is_sorted(), "{names:?}");
    let count = cluster.psql_text(
        database,
        "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'f') AND relpersistence <> 't' AND relnamespace NOT IN \
         (SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast'))",
    );
    assert_eq!(names.len().to_string(), count.trim());
    // What is referred to is there.
    let oids = |member: &str| -> BTreeSet<u64> {
        list(&catalog, member).iter().map(|one| one["oid"].as_u64().unwrap()).collect()
    };
    let (types, collations, tables) = (oids("types"), oids("collations"), oids("tables"));
    for table in list(&catalog, "tables") {
        assert!(list(table, "parents").iter().all(|oid| tables.contains(&oid.as_u64().unwrap())), "{table}");
        let columns: Vec<&Value> = list(table, "columns").iter().map(|column| &column["name"]).collect();
        for column in list(table, "columns") {
            assert!(types.contains(&column["type"].as_u64().unwrap()), "{column}");
            assert!(column["collation"].as_u64().is_none_or(|oid| collations.contains(&oid)), "{column}");
        }
        let read = list(table, "constraints").iter().chain(list(table, "policies"));
        let read = read.flat_map(|one| list(one, "columns")).chain(list(table, "partition_key"));
        let mut read = read.chain(list(table, "indexes").iter().flat_map(|index| list(index, "reads")));
        assert!(read.all(|column| columns.contains(&column)), "{table}");
    }
    for made in list(&catalog, "types") {
        let of = ["element", "base", "subtype"].iter().filter_map(|member| made[member].as_u64());
        let mut of = of.chain(list(made, "attributes").iter().filter_map(|one| one["type"].as_u64()));
        assert!(of.all(|oid| types.contains(&oid)), "{made}");
    }
    let expected = cluster.psql_text(database, KEYS);
    let expected: BTreeSet<&str> = expected.lines().collect();
    let keys = keys(&catalog);
    // A partition has its parent's keys as well.
    assert!(expected.iter().all(|key| keys.contains(*key)), "{expected:#?} {keys:#?}");
    catalog
}

#[test]
fn the_shop_s_facts() {
    let cluster = Cluster::start();
    shop::load(&cluster, "shop", 1, 1);
    let desk = Desk::with_identity();
    let id = desk.backup(&cluster, "shop");
    let catalog = check(&cluster, &desk, &id, "shop");
    assert_eq!(catalog["encoding"], "UTF8");

    let orders = named(&catalog, "tables", "orders");
    assert_eq!((&orders["schema"], &orders["kind"]), (&json!("shop"), &json!("p")));
    assert_eq!(orders["partitioned_by"], "RANGE (ordered_on)");
    assert_eq!(orders["partition_key"], json!(["ordered_on"]));
    let part = named(&catalog, "tables", "orders_2024");
    assert_eq!((&part["parents"], &part["is_partition"]), (&json!([orders["oid"]]), &json!(true)));
    assert_eq!(part["bound"], "FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')");
    let items = named(&catalog, "tables", "order_items");
    let key = list(items, "constraints").iter().find(|key| key["kind"] == "f").unwrap();
    assert_eq!(key["columns"], json!(["order_id", "ordered_on"]));
    let to = json!({ "table": orders["oid"], "columns": ["id", "ordered_on"] });
    assert_eq!(key["references"], to);
    let check = list(items, "constraints").iter().find(|key| key["kind"] == "c").unwrap();
    assert_eq!(
        (&check["columns"], &check["definition"]),
        (&json!(["quantity"]), &json!("CHECK ((quantity > 0))"))
    );

    let customers = named(&catalog, "tables", "customers");
    let id_column = named(customers, "columns", "id");
    assert_eq!((&id_column["identity"], &id_column["not_null"]), (&json!("d"), &json!(true)));
    let full = named(customers, "columns", "full_name");
    assert_eq!(full["generated"], true);
    assert_eq!(full["generated_from"], json!(["given_name", "family_name"]));
    assert_eq!(named(customers, "columns", "marketing")["default"], "false");
    assert!(named(customers, "columns", "phone").get("default").is_none());
    let unique = named(customers, "indexes", "customers_email");
    assert_eq!((&unique["unique"], &unique["keys"]), (&json!(true), &json!(["email"])));
    let email = named(&catalog, "types", "email");
    assert_eq!(named(customers, "columns", "email")["type"], email["oid"]);
    assert_eq!((&email["kind"], &email["base"]), (&json!("d"), &json!(25)));
    assert_eq!(email["checks"][0]["definition"], "CHECK ((VALUE ~~ '%_@_%'::text))");
    let status = named(&catalog, "types", "order_status");
    assert_eq!(status["labels"], json!(["new", "paid", "shipped", "returned", "cancelled"]));
    let total = named(orders, "columns", "total");
    assert_eq!(
        (&total["sql_type"], &total["modifier"]),
        (&json!("numeric(12,2)"), &json!((12 << 16) + 2 + 4))
    );
}

#[test]
fn the_zoo_s_facts() {
    let cluster = Cluster::start();
    zoo::load(&cluster, "zoo");
    let desk = Desk::with_identity();
    let id = desk.backup(&cluster, "zoo");
    zoo_s_facts(&check(&cluster, &desk, &id, "zoo"));
}

/// Of every major.
fn zoo_s_facts(catalog: &Value) {
    let oid = |name: &str| named(catalog, "tables", name)["oid"].clone();
    let two = named(catalog, "tables", "two_parents");
    assert_eq!(two["parents"], json!([oid("parent"), oid("no_rows")]));
    assert!(two.get("is_partition").is_none());
    let deep = named(catalog, "tables", "parts_hash_1");
    assert_eq!(deep["parents"], json!([oid("parts_2024_rest")]));
    let partial = named(named(catalog, "tables", "constrained"), "indexes", "partial é");
    assert_eq!(partial["keys"], json!(["b", null]));
    assert_eq!(partial["expressions"], json!(["((a + b))"]));
    assert_eq!(partial["reads"], json!(["a", "t"]));
    assert_eq!(partial["predicate"], "((t ~~ 't1%'::text) AND (a <> 5))");
    let overlap = named(named(catalog, "tables", "constrained"), "constraints", "no_overlap");
    assert_eq!((&overlap["kind"], &overlap["columns"]), (&json!("x"), &json!(["r"])));
    // One key, although the table that it refers to has many partitions.
    assert_eq!(list(named(catalog, "tables", "refers_to_parts"), "constraints").len(), 1);
    assert!(keys(catalog).contains("egg(hen) -> hen(id)"));
    let policies = list(named(catalog, "tables", "secured"), "policies");
    assert_eq!(policies[0]["columns"], json!(["id", "who"]));
    assert_eq!((&policies[1]["using"], &policies[1]["check"]), (&json!("(id > 0)"), &json!("(id < 10)")));
    let mood = named(catalog, "types", "Mood \"é\"");
    assert_eq!(list(mood, "labels")[1], "between");
    let positive = named(catalog, "types", "positive");
    assert_eq!((&positive["not_null"], &positive["default"]), (&json!(true), &json!("1")));
    let pair = named(catalog, "types", "pair");
    let plain = named(catalog, "collations", "C");
    assert_eq!((&plain["schema"], &plain["deterministic"]), (&json!("pg_catalog"), &json!(true)));
    assert_eq!(pair["attributes"][1]["collation"], plain["oid"]);
    assert_eq!(named(catalog, "types", "floats")["subtype"], 701);
    assert_eq!(named(named(catalog, "tables", "typed"), "columns", "b c")["collation"], plain["oid"]);
    let identities = named(catalog, "tables", "identities");
    assert_eq!(named(identities, "columns", "a")["identity"], "a");
}

#[test]
fn facts_that_the_fixtures_do_not_have() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", MORE);
    let desk = Desk::with_identity();
    let id = desk.backup(&cluster, "d");
    more_facts(&check(&cluster, &desk, &id, "d"));

    // A role that has no right to read the tables, and filters that leave them out, read the same.
    cluster.sql("d", "CREATE ROLE plain LOGIN; CREATE TABLE mine (a int); GRANT SELECT ON mine TO plain");
    desk.expects(&["GRANT ", "is missing"]);
    let plain = cluster.conninfo_as("d", "plain", None);
    let few = desk.run(&["backup", "--dbname", &plain, "--keep-going"]);
    assert_eq!(few.status.code(), Some(3), "{}", super::support::text(&few.stderr));
    let few = super::support::text(&few.stdout);
    let filtered = desk.ok(&["backup", "--dbname", &cluster.conninfo("d"), "--table", "mine"]);
    let whole = desk.backup(&cluster, "d");
    let all = text(&desk, &whole, "d");
    assert_eq!(text(&desk, few.trim(), "d"), all);
    assert_eq!(text(&desk, filtered.trim(), "d"), all);

    // A non-deterministic collation, where the server has ICU.
    let icu =
        "CREATE COLLATION public.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";
    if cluster.try_sql("d", icu).is_ok() {
        cluster.sql("d", "CREATE TABLE loose_text (t text COLLATE public.loose UNIQUE)");
        let id = desk.backup(&cluster, "d");
        let catalog = check(&cluster, &desk, &id, "d");
        let loose = named(&catalog, "collations", "loose");
        assert_eq!((&loose["provider"], &loose["deterministic"]), (&json!("i"), &json!(false)));
        assert_eq!(loose["locale"], "und-u-ks-level2");
        let table = named(&catalog, "tables", "loose_text");
        assert_eq!(named(table, "columns", "t")["collation"], loose["oid"]);
        assert_eq!(table["indexes"][0]["collations"], json!([loose["oid"]]));
    }
}

/// Of every major.
fn more_facts(catalog: &Value) {
    let town = named(catalog, "tables", "town");
    let country = named(catalog, "tables", "country");
    let to = |columns: &[&str]| json!({ "table": country["oid"], "columns": columns });
    let in_region = named(town, "constraints", "in_region");
    assert_eq!(in_region["columns"], json!(["here", "area"]));
    assert_eq!(in_region["references"], to(&["code", "region"]));
    assert_eq!(named(town, "constraints", "in_country")["references"], to(&["code"]));
    assert_eq!(named(town, "columns", "upper_area")["generated_from"], json!(["here", "area"]));
    assert_eq!(town["triggers"], json!(["comes"]));
    assert_eq!(named(town, "policies", "of_town")["columns"], json!(["id", "area"]));
    let index = named(town, "indexes", "town_lower");
    assert_eq!(index["keys"], json!([null, "here"]));
    // The column `id` is included, and read; it is one of the index in any case.
    assert_eq!(index["reads"], json!(["area", "upper_area"]));
    let plain = named(catalog, "collations", "C");
    assert_eq!(index["collations"], json!([plain["oid"], plain["oid"]]));

    let short = named(catalog, "types", "short_name");
    let long = named(catalog, "types", "name_of");
    assert_eq!((&short["base"], &long["base"]), (&long["oid"], &json!(1043)));
    assert_eq!((&long["modifier"], &long["not_null"]), (&json!(44), &json!(true)));
    assert_eq!(long["checks"][0]["name"], "no_digit");
    assert_eq!(long["default"], "'nobody'::character varying");
    let part = named(catalog, "types", "part");
    assert_eq!((&part["kind"], &part["attributes"][0]["type"]), (&json!("c"), &short["oid"]));
    assert_eq!(named(catalog, "types", "_part")["element"], part["oid"]);
    let events = named(catalog, "tables", "events");
    assert_eq!(events["partition_key"], json!(["town", "at"]));
    assert_eq!(events["partitioned_by"], "RANGE (((at)::date), town)");
    let bound = named(catalog, "tables", "events_old")["bound"].as_str().unwrap();
    assert!(bound.contains("TO ('2020-01-01', 7)"), "{bound}");
}

/// Names of every encoding, and of none.
#[test]
fn facts_in_other_encodings() {
    let cluster = Cluster::start();
    zoo::load_latin1(&cluster, "alt");
    zoo::load_sql_ascii(&cluster, "raw");
    let desk = Desk::with_identity();
    let id = desk.backup(&cluster, "alt");
    let catalog = check(&cluster, &desk, &id, "alt");
    assert_eq!(catalog["encoding"], "LATIN1");
    let table = named(&catalog, "tables", "täble ÿ");
    assert_eq!(table["schema"], "schéma");
    assert_eq!(named(table, "columns", "ñ")["default"], "'défaut'::text");
    assert_eq!(named(&catalog, "types", "humör")["labels"], json!(["bäd", "gôod"]));

    let id = desk.backup(&cluster, "raw");
    let catalog = facts(&desk, &id, "raw");
    assert_eq!(catalog["encoding"], "SQL_ASCII");
    let shown = list(&catalog, "tables")[0]["name"].as_str().unwrap();
    assert_eq!(shown, "latin \\xE9");
    assert_eq!(catalog["tables"][0]["indexes"][0]["name"], "i \\xE9");
    assert_eq!(catalog["tables"][0]["columns"][1]["name"], "utf8 é");
}

/// From one backup to the next they are not read again while no definition changes, and are the
/// same as if they were; what changes is seen, and is stored in proportion.
#[test]
fn facts_follow_the_definitions() {
    let cluster = Cluster::start();
    zoo::many_tables(&cluster, "many", 600);
    let desk = Desk::with_identity();
    let first = desk.backup(&cluster, "many");
    let again = desk.backup(&cluster, "many");
    let full = desk.ok(&["backup", "--dbname", &cluster.conninfo("many"), "--full"]);
    let before = text(&desk, &first, "many");
    assert_eq!(before, text(&desk, &again, "many"), "recalled");
    assert_eq!(before, text(&desk, full.trim(), "many"), "read again");

    cluster.sql("many", "ALTER TABLE many.t300 ADD COLUMN born text DEFAULT '1970-01-01'");
    let changed = desk.json(&["backup", "--dbname", &cluster.conninfo("many"), "--json"]);
    let added = changed["bytes_added"].as_u64().unwrap();
    assert!(added < 60_000, "{added} for one column");
    let id = changed["id"].as_str().unwrap();
    let catalog = check(&cluster, &desk, id, "many");
    let column = named(named(&catalog, "tables", "t300"), "columns", "born");
    assert_eq!(column["default"], "'1970-01-01'::text");
    let after = text(&desk, id, "many");
    let lines: BTreeSet<&str> = before.lines().collect();
    assert_eq!(after.lines().filter(|line| !lines.contains(line)).count(), 1);

    // It is an entry as others are: listed, and counted as the database's.
    let line = desk.json(&["ls", &format!("{id}:/db/many/catalog.json"), "--json"]);
    assert_eq!(
        (&line["entries"][0]["kind"], &line["entries"][0]["bytes_raw"]),
        (&json!("catalog"), &json!(after.len()))
    );
    let shown = desk.json(&["show", id, "--json"]);
    assert!(shown["contents"][0]["bytes_raw"].as_u64().unwrap() > after.len() as u64);
}

/// No restore needs the facts: that the server cannot give them is a warning.
#[test]
fn facts_that_the_server_refuses() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE FUNCTION is_good(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
         CREATE DOMAIN good AS text CHECK (is_good(VALUE)); CREATE TABLE broken (t good);
         CREATE TABLE mine AS SELECT 7 AS a;
         SET allow_system_table_mods = on; DELETE FROM pg_proc WHERE proname = 'is_good'",
    );
    let desk = Desk::plain();
    let args = ["backup", "--dbname", &cluster.conninfo("d"), "--table", "mine", "--json"];
    desk.expects(&["cannot be masked later"]);
    let record = desk.json(&args);
    assert_eq!(record["status"], "complete");
    let warning = record["warnings"][0].as_str().unwrap();
    assert!(warning.contains("database d") && warning.contains("cache lookup failed"), "{warning}");
    let id = record["id"].as_str().unwrap();
    let listed = desk.ok(&["ls", id]);
    assert!(listed.contains("/data/public.mine") && !listed.contains("catalog.json"), "{listed}");
    desk.ok(&["restore", id, "--create", "--dbname", &cluster.conninfo("back")]);
    assert_eq!(cluster.psql_text("back", "SELECT a FROM mine").trim(), "7");
}

#[test]
fn facts_of_every_major() {
    if !in_full("the facts for masking of every major") {
        return;
    }
    for major in available_majors().iter().map(|found| found.major) {
        let cluster = Cluster::builder().major(major).start();
        zoo::load_portable(&cluster, "zoo");
        shop::load(&cluster, "shop", 1, 1);
        cluster.create_database("d");
        cluster.sql("d", MORE);
        let desk = Desk::plain();
        let pg_dump = cluster.bin("pg_dump").display().to_string();
        let backup = |database: &str| {
            let info = cluster.conninfo(database);
            desk.ok(&["backup", "--dbname", &info, "--pg-dump", &pg_dump]).trim().to_string()
        };
        zoo_s_facts(&check(&cluster, &desk, &backup("zoo"), "zoo"));
        check(&cluster, &desk, &backup("shop"), "shop");
        more_facts(&check(&cluster, &desk, &backup("d"), "d"));
    }
}
