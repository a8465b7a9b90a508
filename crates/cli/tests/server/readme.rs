//! The README's examples, run line by line as they are written.
//!
//! Only names of places are replaced by the test's own. A line that is neither run nor listed as
//! one that cannot be run here fails the test, so that a new example is tried as well.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use pgark_testkit::Cluster;

use super::support::{Desk, stock, text};

const PAGE: &str = include_str!("../../../../README.md");

/// How lines begin that are not run here, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo build", "the program is built"),
    ("./", "scripts of the repository, which build and test everything"),
    ("pgark storage test s3://", "a bucket: see storages.rs"),
    ("pgark init --repo sftp://", "an SSH server: see storages.rs"),
];

/// The fenced blocks of the page.
fn blocks() -> Vec<&'static str> {
    PAGE.split("\n```").skip(1).step_by(2).map(|block| block.trim_start_matches('\n')).collect()
}

/// A place to type the README's lines at.
struct Terminal {
    desk: Desk,
    /// Variables that lines have exported, and those that psql's programs find the server by.
    variables: BTreeMap<String, String>,
    /// Names in the README, and the test's own.
    places: Vec<(&'static str, String)>,
}

impl Terminal {
    fn own(&self, line: &str) -> String {
        self.places.iter().fold(line.to_string(), |line, (theirs, ours)| line.replace(theirs, ours))
    }

    /// Runs a line to success; returns standard output.
    fn run(&mut self, line: &str) -> String {
        let line = self.own(line);
        if let Some((name, value)) = line.strip_prefix("export ").and_then(|set| set.split_once('=')) {
            self.variables.insert(name.into(), value.into());
            return String::new();
        }
        let mut command = self.desk.prepared(Command::new("/bin/sh"), &["-c", &line]);
        command
            .env_remove("PGARK_REPO")
            .envs(&self.variables)
            .current_dir(self.desk.path(""))
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}: {}\n{}", output.status, text(&output.stderr));
        text(&output.stdout)
    }
}

#[test]
fn the_examples_of_the_readme_run() {
    let cluster = Cluster::start();
    let other = Cluster::start();
    cluster.sql("postgres", "CREATE ROLE backup SUPERUSER LOGIN");
    cluster.create_database("shop");
    cluster.sql(
        "shop",
        "CREATE SCHEMA sales; CREATE SCHEMA log; CREATE TABLE log.visits (id int);
         CREATE TABLE public.customers (id int PRIMARY KEY, name text);
         CREATE TABLE sales.orders (id int PRIMARY KEY, customer int REFERENCES public.customers);
         INSERT INTO public.customers SELECT i, md5(i::text) FROM generate_series(1, 1000) i;
         INSERT INTO sales.orders SELECT i, i FROM generate_series(1, 500) i;",
    );
    let at =
        |cluster: &Cluster| format!("host={} port={}", cluster.socket_directory().display(), cluster.port());
    let desk = Desk::empty(None);
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_pgark")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let variables = [
        ("PATH", format!("{}:{}:{path}", programs.display(), cluster.bin_directory().display())),
        ("PGHOST", cluster.socket_directory().display().to_string()),
        ("PGPORT", cluster.port().to_string()),
        ("PGUSER", "postgres".into()),
    ];
    let second = desk.path("second").display().to_string();
    let places = vec![
        ("host=db.example.com", at(&cluster)),
        ("host=new.example.com", format!("{} user=postgres", at(&other))),
        ("/backup/pg", desk.repo().display().to_string()),
        ("/backup/main", desk.repo().display().to_string()),
        ("s3://second/main", second.clone()),
    ];
    let variables = variables.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    let mut terminal = Terminal { desk, variables, places };
    let count = |db: &str, table: &str| cluster.psql_text(db, &format!("SELECT count(*) FROM {table}"));

    let mut run = 0;
    let mut configuration = None;
    for block in blocks() {
        if block.contains("[repositories.main]") {
            configuration = Some(terminal.own(block));
            continue;
        }
        for line in block.lines().filter(|line| !line.is_empty()) {
            if NOT_RUN.iter().any(|(begin, _)| line.starts_with(begin)) {
                continue;
            }
            let known = ["pgark ", "export ", "age-keygen ", "createdb "];
            assert!(known.iter().any(|begin| line.starts_with(begin)), "an example of another kind: {line}");
            // What the examples take for granted.
            if line.starts_with("pgark restore") && line.contains("sales.orders") {
                cluster.sql("shop", "DROP TABLE sales.orders");
            } else if line.starts_with("pgark import") {
                let dump = terminal.desk.path("old.dump");
                stock(cluster.client("pg_dump").args(["-Fc", "-d", "shop", "-f"]).arg(dump));
            } else if line.starts_with("pgark copy") {
                terminal.run(&format!("pgark init --repo {second} --recipient age1…"));
            }
            let printed = terminal.run(line);
            run += 1;
            if line.starts_with("age-keygen") {
                let recipient = terminal.run("age-keygen -y identity.txt");
                terminal.places.push(("age1…", recipient.trim().to_string()));
            } else if line.starts_with("pgark backup")
                && !terminal.places.iter().any(|(name, _)| *name == "4f0c")
            {
                terminal.places.push(("4f0c", printed.trim()[..8].to_string()));
            }
        }
    }
    assert!(run > 25, "{run} lines");
    assert_eq!([count("shop_copy", "customers"), count("shop2", "customers")], ["1000", "1000"]);
    assert_eq!(count("shop", "sales.orders"), "500");
    assert_eq!(other.psql_text("shop", "SELECT count(*) FROM sales.orders"), "500");

    // With pgark.toml every command finds the repository.
    let folder = terminal.desk.path("config/pgark");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("pgark.toml"), configuration.unwrap()).unwrap();
    terminal.variables.remove("PGARK_REPO");
    terminal.run("pgark config check");
    let id = terminal.run("pgark backup --cluster prod");
    let id = id.trim();
    assert!(terminal.run("pgark list").contains(id));
    terminal.run(&format!("pgark restore {id}:shop --database shop --as shop3 --create"));
    assert_eq!(count("shop3", "customers"), "1000");
    terminal.run("pgark prune");
}
