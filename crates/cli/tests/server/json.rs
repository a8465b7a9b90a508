//! docs/json.md is true: what every command prints with `--json` has the fields that
//! docs/json.schema.json, made from the same types, describes, and no others.

use std::collections::BTreeSet;
use std::process::Command;

use pgark_testkit::Cluster;
use serde_json::Value;

use super::operators::Held;
use super::support::{Desk, files, stock, text, wait_until};

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json.schema.json");
/// The title of the document that a failed command prints.
const ERROR: &str = "error";

/// The described documents, and which of them were seen.
struct Documents {
    schema: Value,
    seen: BTreeSet<String>,
}

impl Documents {
    fn read() -> Documents {
        let schema = serde_json::from_str(&std::fs::read_to_string(SCHEMA).unwrap()).unwrap();
        Documents { schema, seen: BTreeSet::new() }
    }

    fn titles(&self) -> BTreeSet<String> {
        let documents = self.schema["anyOf"].as_array().unwrap().iter();
        documents.map(|document| document["title"].as_str().unwrap().to_string()).collect()
    }

    /// Compares a document with what is described under a title.
    #[track_caller]
    fn compare(&mut self, title: &str, document: &Value) {
        let documents = self.schema["anyOf"].as_array().unwrap();
        let described = documents.iter().find(|described| described["title"] == title).unwrap();
        let mut described = self.resolved(described).clone();
        // The number of the format is described once, for all.
        described["properties"]["format"] = self.schema["properties"]["format"].clone();
        described["required"].as_array_mut().unwrap().push("format".into());
        let mut faults = Vec::new();
        self.look(&described, document, title, &mut faults);
        assert!(faults.is_empty(), "{faults:#?} in {document:#}");
        assert_eq!(document["format"], 1);
        self.seen.insert(title.to_string());
    }

    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        match schema["$ref"].as_str() {
            Some(path) => self.schema.pointer(path.trim_start_matches('#')).unwrap(),
            None => schema,
        }
    }

    fn look(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let schema = self.resolved(schema);
        if let Some(choices) = schema.get("anyOf").or(schema.get("oneOf")).and_then(Value::as_array) {
            let fits = |choice: &&Value| {
                let mut own = Vec::new();
                self.look(choice, value, at, &mut own);
                own.is_empty()
            };
            if choices.iter().filter(fits).count() != 1 {
                faults.push(format!("{at}: {value} is not one of {choices:?}"));
            }
            return;
        }
        if schema.get("const").is_some_and(|word| word != value) {
            faults.push(format!("{at}: {value} is not {}", schema["const"]));
        }
        let types = match &schema["type"] {
            Value::Array(types) => types.iter().collect(),
            own => vec![own],
        };
        if !types.iter().any(|own| is_of_type(value, own.as_str().unwrap_or_default())) {
            faults.push(format!("{at}: {value} is not of {types:?}"));
        }
        if let Some(fields) = value.as_object() {
            let required = schema["required"].as_array().into_iter().flatten();
            for name in required.filter(|name| !fields.contains_key(name.as_str().unwrap())) {
                faults.push(format!("{at}.{name} is missing"));
            }
            for (name, field) in fields {
                let described = schema["properties"].get(name).or(schema.get("additionalProperties"));
                match described {
                    Some(described) => self.look(described, field, &format!("{at}.{name}"), faults),
                    None => faults.push(format!("{at}.{name} is not described")),
                }
            }
        }
        for (number, item) in value.as_array().into_iter().flatten().enumerate() {
            let described = schema.get("items").unwrap_or(&schema["prefixItems"][number]);
            self.look(described, item, &format!("{at}[{number}]"), faults);
        }
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        _ => false,
    }
}

/// Runs a command; its title is its first words.
struct Runner<'d> {
    desk: &'d Desk,
    documents: &'d mut Documents,
}

impl Runner<'_> {
    /// A command that ends with this exit code; returns its document.
    #[track_caller]
    fn ends(&mut self, code: i32, title: &str, args: &[&str]) -> Value {
        let words: Vec<&str> = title.split(' ').chain(args.iter().copied()).chain(["--json"]).collect();
        let output = self.desk.run(&words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", text(&output.stderr));
        let printed = text(&output.stdout);
        assert_eq!(printed.lines().count(), 1, "{printed}");
        let document = serde_json::from_str(&printed).unwrap();
        self.documents.compare(title, &document);
        document
    }

    #[track_caller]
    fn ok(&mut self, title: &str, args: &[&str]) -> Value {
        self.ends(0, title, args)
    }

    /// A command that fails with this exit code; returns what it prints on standard error.
    #[track_caller]
    fn fails(&mut self, code: i32, args: &[&str]) -> Value {
        let output = self.desk.run(args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert_eq!(output.stdout.len(), 0);
        let document = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        self.documents.compare(ERROR, &document);
        assert_eq!(document["exit_code"], code);
        document
    }
}

fn id_of(document: &Value) -> String {
    document["id"].as_str().unwrap().to_string()
}

#[test]
fn every_document_is_as_described() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql(
        "d",
        "CREATE TABLE t (id int PRIMARY KEY, body text); \
         INSERT INTO t SELECT g, repeat(md5(g::text), 4) FROM generate_series(1, 4000) g; \
         CREATE TABLE secret (a int); INSERT INTO secret VALUES (1); SELECT lo_from_bytea(0, 'large')",
    );
    let info = cluster.conninfo("d");
    let mut documents = Documents::read();
    let desk = Desk::plain();
    let mut run = Runner { desk: &desk, documents: &mut documents };
    let at = |name: &str| desk.path(name).display().to_string();
    let (other, dump, out) = (at("other"), at("d.dump"), at("out"));

    run.ok("init", &["--no-encryption", "--repo", &other]);
    run.ok("storage test", &[&at("probed"), "--quick"]);
    run.ok("config check", &[]);
    run.ok("config show", &["list"]);
    run.ok("trust", &["--yes"]);

    // Backups with all that a backup can tell.
    let to = ["--dbname", &info];
    let backup = |more: &[&'static str]| [&to[..], more].concat();
    let planned = run.ok("backup --dry-run", &to);
    assert!(planned["databases"][0]["tables"][0]["bytes"].is_u64() && planned["last"].is_null(), "{planned}");
    let first = run.ok("backup", &backup(&["--row-map", "on", "--salted", "secret"]));
    assert!(run.ok("backup --dry-run", &to)["last"]["id"].is_string());
    cluster.sql("d", "UPDATE t SET body = 'new' WHERE id <= 40; CREATE ROLE app; CREATE TABLE more (a int)");
    cluster.sql("d", "ALTER SYSTEM SET checkpoint_timeout = '7min'");
    cluster.reload();
    wait_until(&cluster, "d", "SELECT current_setting('checkpoint_timeout') = '7min'");
    let second = run.ok("backup", &[&backup(&["--row-map", "on"])[..], &["--also", &other]].concat());
    assert!(second["second"]["id"].is_string() && second["tables"][0]["rows"].is_u64(), "{second}");
    let kept = run.ok("backup", &backup(&["-t", "t", "--forget-after-backup", "--keep-last", "9"]));
    assert!(kept["retention"]["decisions"][0]["keep"].is_boolean(), "{kept}");
    let (first, second) = (id_of(&first), id_of(&second));
    stock(cluster.client("pg_dump").args(["-Fc", "-f", &dump, "-d", &info]));
    run.ok("import", &[&dump]);

    let listed = run.ok("list", &[]);
    assert_eq!(listed["backups"].as_array().unwrap().len(), 4);
    let shown = run.ok("show", &[&first]);
    assert!(shown["tables"].as_array().unwrap().iter().any(|table| table["salted"] == true), "{shown}");
    let diff = run.ok("diff", &[&first, &second]);
    for part in ["tables", "objects", "settings", "globals"] {
        assert!(diff[part][0].is_object(), "{part}: {diff}");
    }
    run.ok("ls", &[&first]);
    run.ok("tag", &[&first, "--add", "x"]);
    run.ok("stats", &[]);
    let checked = run.ok("check", &["--read-data", "--max-age", "1h"]);
    assert_eq!(checked["freshness"]["judged"][0]["fresh"], true, "{checked}");
    let judged = run.ends(3, "check --max-age", &["1h", "--database", "d", "--database", "nowhere"]);
    assert!(judged["freshness"]["judged"][1]["backup"].is_null(), "{judged}");
    let planned = run.ok("forget", &["--keep-last", "1", "--dry-run", "--prune"]);
    assert!(planned["pruned"]["packs"].is_u64(), "{planned}");
    run.ok("prune", &["--dry-run"]);
    run.ok("copy", &[&desk.url(), &other]);
    run.ok("export", &[&first, "--output", &out]);
    run.ok("repair index", &[]);
    run.ok("repair objects", &["--dry-run"]);

    // Mask rules.
    let rules = at("rules.toml");
    let text = "version = 1\nkey = \"ephemeral\"\n[policy]\ncolumns = \"keep\"\n\
                [table.\"public.t\"]\ncolumns.body = \"permute\"\n\
                [[accept]]\ncode = \"M152\"\nbecause = \"a test\"\n\
                [[test]]\ntable = \"public.t\"\nrow = { id = 1, body = \"x\" }\nexpect = { id = 1 }\n";
    std::fs::write(&rules, text).unwrap();
    let checked = run.ok("mask check", &[&rules, "--dbname", &info]);
    assert!(checked["findings"][0]["accepted"].is_string(), "{checked}");
    let rows = run.ok("mask preview", &[&rules, "--dbname", &info, "--table", "t", "--rows", "2"]);
    assert!(rows["rows"][1]["values"]["body"]["masked"].is_string(), "{rows}");
    run.ok("mask value", &[&rules, "public.t.body", "x", "--dbname", &info]);
    run.ok("mask test", &[&rules]);
    run.ok("mask list", &[]);
    run.ok("mask show", &["email"]);

    // A backup that is being written, and what is left of it.
    let held = Held::start(&desk, &cluster, "d", &[]);
    let working = run.ok("sessions", &[]);
    held.kill();
    run.ok("sessions --end", &[working["sessions"][0]["id"].as_str().unwrap()]);

    // Restores: into a new database, planned, and of rows that are there already.
    run.ok("restore", &[&first, "--create", "--dbname", &cluster.conninfo("back")]);
    let planned = run.ok("restore", &[&first, "--clean", "--dry-run", "--dbname", &info]);
    assert!(planned["plan"][0]["entry"].is_i64() && planned["drops"][0]["object"].is_string(), "{planned}");
    let skipped = ["--data-only", "--table", "t", "--on-conflict", "skip", "--dbname", &info];
    let skipped = run.ok("restore", &[&[first.as_str()][..], &skipped].concat());
    assert!(skipped["skipped"][0]["examples"][0]["message"].is_string(), "{skipped}");

    // A data directory.
    let physical = run.ok("backup", &["--physical", "--dbname", &info]);
    assert!(physical["physical"]["pages"]["total"].as_u64().unwrap() > 1000, "{physical}");
    let physical = physical["id"].as_str().unwrap().to_string();
    run.ok("show", &[&physical]);
    let planned = run.ok("backup --physical --dry-run", &to);
    assert_eq!(planned["last"]["id"], physical.as_str(), "{planned}");
    let segment = cluster.psql_text("d", "SELECT pg_walfile_name(pg_switch_wal())");
    let segment = cluster.data_directory().join("pg_wal").join(segment).display().to_string();
    desk.ok(&["wal", "push", &segment]);
    run.ok("wal list", &[]);
    let point = run.ok("restore-point", &["before", "--switch-wal", "--dbname", &info]);
    let file = cluster.data_directory().join("pg_wal").join(point["segment"].as_str().unwrap());
    desk.ok(&["wal", "push", &file.display().to_string()]);
    let times = run.ok("list --times", &[]);
    let timeline = &times["timelines"][0];
    assert!(timeline["spans"][0].is_object() && timeline["restore_points"][0].is_object(), "{times}");
    let checked = run.ok("wal check", &["--read-data"]);
    assert!(checked["backups"][0].is_object() && checked["timelines"][0].is_object(), "{checked}");
    run.ok("wal adopt", &["7", "--cluster", "other"]);
    let adopted = run.ok("wal adopt", &["8", "--cluster", "other"]);
    assert_eq!(adopted["before"], serde_json::json!(["7"]), "{adopted}");
    cluster.sql("d", "UPDATE t SET body = 'newer' WHERE id <= 40; CREATE TABLE most (a int)");
    let later = id_of(&run.ok("backup", &["--physical", "--dbname", &info]));
    let diff = desk.json(&["diff", &physical, &later, "--json"]);
    assert!(diff["folders"][0].is_object() && diff["files"][0].is_object(), "{diff}");
    run.documents.compare("diff of physical backups", &diff);
    // Where its server, another user, can enter.
    let place = tempfile::TempDir::new_in("/tmp").unwrap();
    cluster.own(place.path());
    let place = place.path().join("directory").display().to_string();
    let directory = run.ok("restore --to-dir", &[&place, &physical]);
    assert!(directory["files"].as_u64().unwrap() > 100, "{directory}");
    let fetch = ["--target-name", "before", "--restore-command", "false", "--dry-run", "--delta"];
    let planned = run.ok("restore --to-dir", &[&[place.as_str(), &physical][..], &fetch].concat());
    assert!(planned["recovery"]["wal"].is_object() && planned["recovery"]["lsn"].is_string(), "{planned}");
    let directory = run.ok("restore --to-dir", &[&place, &physical, "--delta", "--start"]);
    let stop = Command::new("/bin/sh").arg("-c").arg(directory["server"]["stop"].as_str().unwrap()).status();
    assert!(directory["delta"]["pages_compared"].is_u64() && stop.unwrap().success(), "{directory}");
    std::fs::remove_dir_all(directory["server"]["socket_directory"].as_str().unwrap()).unwrap();

    // Errors, and results of commands that fail.
    let wrong = run.fails(2, &["list", "--jsn", "--json"]);
    assert_eq!((&wrong["kind"], wrong["hint"].is_string()), (&"usage".into(), true), "{wrong}");
    let missing = run.fails(2, &["diff", "--json"]);
    assert!(missing["error"].as_str().unwrap().contains("required"), "{missing}");
    assert_eq!(run.fails(2, &["config", "show", "list", "--bogus", "--json"])["kind"], "usage");
    assert_eq!(run.fails(2, &["forget", "--json"])["kind"], "usage");
    assert_eq!(run.fails(1, &["show", "0123456789abcdef", "--json"])["kind"], "failed");
    for pack in files(&desk.repo().join("packs")) {
        std::fs::remove_file(pack).unwrap();
    }
    let checked = run.ends(1, "check", &[]);
    assert!(checked["problems"][0]["backups"][0].is_string() && checked["hurt"][0]["lost"].is_array());
    let repaired = run.ends(3, "repair backups", &["--dry-run"]);
    assert!(repaired["backups"][0]["lost"].is_array(), "{repaired}");

    // Keys are those of a repository that is encrypted.
    let desk = Desk::with_identity();
    let mut run = Runner { desk: &desk, documents: &mut documents };
    let key = |name: &str| desk.path(name).display().to_string();
    stock(Command::new("age-keygen").args(["-o", &key("more.txt")]));
    let recipient = stock(Command::new("age-keygen").args(["-y", &key("more.txt")]));
    run.ok("key writer", &["db7", "--cluster", "prod", "--output", &key("db7.key")]);
    run.ok("key revoke", &["db7"]);
    run.ok("key writer", &["db8", "--output", &key("db8.key")]);
    let revoked = run.ok("key revoke", &["db8", "--compromised-since", "1h"]);
    assert!(revoked["compromised"]["since"].is_string(), "{revoked}");
    let added = run.ok("key add", &["--recipient", recipient.trim()]);
    let listed = run.ok("key list", &[]);
    assert!(listed["slots"].as_array().unwrap().len() == 2 && listed["writers"][0]["rights"].is_array());
    run.ok("key remove", &[added["slots"][0].as_str().unwrap()]);
    run.ok("key rotate", &[]);

    assert_eq!(documents.seen, documents.titles(), "each document is compared here");
}
