//! What `list` and `show` say, which backups their options choose, and how the log looks.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use pgark_testkit::Cluster;

use super::support::{Desk, text};

fn ids(desk: &Desk, args: &[&str]) -> Vec<String> {
    let listed = desk.json(&[&["list", "--json"], args].concat());
    let backups = listed["backups"].as_array().unwrap().iter();
    backups.map(|backup| backup["id"].as_str().unwrap().to_string()).collect()
}

#[test]
fn lists_fit_and_choose() {
    let cluster = Cluster::start();
    for name in ["a_database_with_a_rather_long_name", "billing", "shop"] {
        cluster.create_database(name);
        cluster.sql(name, "CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 100) g");
    }
    let desk = Desk::plain();
    let all = desk.ok(&["backup", "--all", "--dbname", &cluster.conninfo("shop")]).trim().to_string();
    let one = desk.backup(&cluster, "shop");
    desk.expects(&["filters", "whole"]);
    let part = desk
        .ok(&["backup", "--dbname", &cluster.conninfo("billing"), "--table", "t", "--cluster", "prod"])
        .trim()
        .to_string();
    desk.ok(&["tag", &one, "--add", "pinned", "--add", "before-the-migration"]);

    // The cluster has the name of its server's place, and keeps it.
    let shown = desk.json(&["show", &one, "--json"]);
    let name = shown["cluster"].as_str().unwrap();
    assert!(name.ends_with(&format!(":{}", cluster.port())), "{name}");
    assert_eq!(desk.json(&["show", &all, "--json"])["cluster"], name);
    assert_eq!(shown["tags"], serde_json::json!(["before-the-migration", "pinned"]));
    assert_ne!(shown["snapshot_time"], shown["time"], "the snapshot's time is not the end's");

    let listed = desk.ok(&["list"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 4, "{listed}");
    assert!(lines.iter().all(|line| line.chars().count() <= 100), "{listed}");
    assert!(lines[0].starts_with("ID        TIME ") && lines[0].ends_with("TAGS"), "{listed}");
    assert!(lines[1].starts_with(&format!("{}  2", &all[..8])) && lines[1].contains(" UTC  "), "{listed}");
    assert!(lines[1].contains("… ") || lines[1].contains(" + 3"), "{listed}");
    assert!(lines[2].contains("  before-"), "{listed}");
    assert!(lines[3].contains("prod") && lines[3].contains("complete (partial)"), "{listed}");
    let mut narrow = desk.command(&["list"]);
    let narrow = text(&narrow.env("COLUMNS", "80").output().unwrap().stdout);
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    let wide = desk.ok(&["list", "--wide"]);
    for whole in [
        all.as_str(),
        "a_database_with_a_rather_long_name,billing,postgres,shop",
        "before-the-migration,pinned",
    ] {
        assert!(wide.contains(whole), "{wide}");
    }

    assert_eq!(ids(&desk, &[]), [all.as_str(), &one, &part]);
    assert_eq!(ids(&desk, &["--database", "shop"]), [all.as_str(), &one]);
    assert_eq!(ids(&desk, &["--database", "billing", "--last", "1"]), [part.as_str()]);
    assert_eq!(ids(&desk, &["--tag", "pinned"]), [one.as_str()]);
    assert_eq!(ids(&desk, &["--status", "incomplete"]), [""; 0]);
    assert_eq!(ids(&desk, &["--cluster", "prod", "--status", "complete"]), [part.as_str()]);
    // A day alone: since its beginning, until its end.
    let today = shown["snapshot_time"].as_str().unwrap()[..10].to_string();
    assert_eq!(ids(&desk, &["--since", &today, "--until", &today]).len(), 3);
    assert_eq!(ids(&desk, &["--until", "2020-01-01"]), [""; 0]);
    // The snapshot before may be of the same second.
    let since = ids(&desk, &["--since", shown["snapshot_time"].as_str().unwrap()]);
    assert!(since.ends_with(&[one.clone(), part.clone()]), "{since:?}");
    assert!(desk.fails(1, &["list", "--cluster", "nobody"]).contains("prod"));
    assert!(desk.fails(2, &["list", "--since", "yesterday"]).contains("2026-11-01"));
}

/// `latest:DB` and `ID:DB` name the database, too.
#[test]
fn a_name_says_which_database() {
    let cluster = Cluster::start();
    for name in ["billing", "shop"] {
        cluster.create_database(name);
        cluster
            .sql(name, &format!("CREATE TABLE {name}_rows AS SELECT g AS id FROM generate_series(1, 10) g"));
    }
    let desk = Desk::plain();
    let info = cluster.conninfo("postgres");
    let id = desk.ok(&["backup", "--all", "--dbname", &info]).trim().to_string();
    for name in ["latest:shop", &format!("{id}:shop"), &format!("{}:shop", &id[..6])] {
        let shown = desk.json(&["show", name, "--json"]);
        assert_eq!(shown["id"], *id);
        assert_eq!(shown["tables"].as_array().unwrap().len(), 1, "{shown}");
        assert_eq!(shown["contents"][0]["database"], "shop");
        let listed = desk.ok(&["ls", name]);
        assert!(listed.contains("/db/shop/data/public.shop_rows") && !listed.contains("billing"), "{listed}");
        let sql = desk.ok(&["export", name, "--format", "plain", "--output", "-"]);
        assert!(sql.contains("shop_rows") && !sql.contains("billing_rows"), "{sql}");
        let list = desk.ok(&["restore", name, "--list"]);
        assert!(list.contains("shop_rows"), "{list}");
    }
    cluster.sql("postgres", "CREATE DATABASE shop_copy");
    desk.ok(&["restore", "latest:shop", "--dbname", &cluster.conninfo("shop_copy")]);
    assert_eq!(cluster.psql_text("shop_copy", "SELECT count(*) FROM shop_rows"), "10");
    assert!(desk.ok(&["diff", "latest:shop", &format!("{id}:shop")]).contains("no differences"));
    let said = desk.fails(1, &["show", &format!("{id}:shpo")]);
    assert!(said.contains("shpo") && said.contains("shop"), "{said}");
    for wrong in [
        vec!["restore", "latest:shop", "--database", "billing", "--dbname", &info],
        vec!["restore", "latest:shop", "--all", "--dbname", &info],
        vec!["export", "latest:shop", "--database", "billing", "--output", "x"],
        vec!["diff", "latest:shop", "latest:billing"],
    ] {
        let said = desk.fails(2, &wrong);
        assert!(said.contains("shop"), "{wrong:?}: {said}");
    }
}

/// The log of a command, on standard error and in a file, in each format.
#[test]
fn logs_are_for_people_journals_and_programs() {
    let cluster = Cluster::start();
    let desk = Desk::plain();
    let (info, file) = (cluster.conninfo("postgres"), desk.path("log"));
    let file_name = file.to_str().unwrap();
    let run =
        |args: &[&str]| desk.command(&[&["backup", "--dbname", &info], args].concat()).output().unwrap();
    let lines = text(&run(&["--log-file", file_name]).stderr);
    let is_line = |line: &str| {
        let (time, rest) = line.split_at(20);
        time.len() == 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T' && rest.starts_with("  INFO ")
    };
    assert!(lines.lines().count() > 2 && lines.lines().all(is_line), "{lines}");
    // Quiet is for the screen alone; a second run is appended.
    let first = std::fs::read_to_string(&file).unwrap();
    assert!(first.lines().all(is_line) && first.contains("is complete"), "{first}");
    assert_eq!(text(&run(&["--quiet", "--log-file", file_name]).stderr), "");
    let both = std::fs::read_to_string(&file).unwrap();
    assert!(both.len() > first.len() && both.starts_with(&first), "{both}");
    let json = text(&run(&["--log-format", "json"]).stderr);
    for line in json.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["level"], "info");
        assert!(line["time"].is_string() && line["message"].is_string(), "{line}");
    }
    // Errors are in the file, and of JSON on standard error, too.
    let failed = run(&["--maintenance-db", "x", "--log-format", "json", "--log-file", file_name]);
    assert_eq!(failed.status.code(), Some(2));
    let said = text(&failed.stderr);
    let error: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert!(
        error["level"] == "error" && error["message"].as_str().unwrap().contains("--maintenance-db"),
        "{said}"
    );
    let all = std::fs::read_to_string(&file).unwrap();
    assert!(all.lines().last().unwrap().contains("--maintenance-db"), "{all}");
    let said = text(&run(&["--log-file", "/nowhere/log"]).stderr);
    assert!(said.starts_with("error: open the log file /nowhere/log: "), "{said}");
}

/// A terminal of this many columns in which a command runs; what it shows when that has ended.
fn in_terminal(desk: &Desk, columns: u32, args: &[&str]) -> String {
    // A server of its own each time: one that ends still holds its socket for a moment.
    static SERVERS: AtomicU32 = AtomicU32::new(0);
    let socket = desk.path(&format!("tmux-{}", SERVERS.fetch_add(1, Ordering::Relaxed)));
    let tmux = |words: &[&str]| {
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").env("LC_ALL", "C.UTF-8").arg("-S").arg(&socket).args(["-f", "/dev/null"]);
        let output = command.args(words).output().expect("tmux is installed");
        assert!(output.status.success(), "tmux {words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let ready = desk.path("ready");
    let script = desk.path("script");
    let program = desk.command(args);
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''"));
    let environment: Vec<String> = program
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_str().unwrap(), quoted(value?))))
        .collect();
    let words: Vec<String> =
        std::iter::once(program.get_program()).chain(program.get_args()).map(quoted).collect();
    std::fs::write(
        &script,
        format!(
            "env -i TERM=screen LC_ALL=C.UTF-8 {} {}\necho \"exit code $?\"\ntouch {}\nsleep 600\n",
            environment.join(" "),
            words.join(" "),
            ready.display()
        ),
    )
    .unwrap();
    let (width, run) = (columns.to_string(), format!("sh {}", script.display()));
    tmux(&["new-session", "-d", "-x", &width, "-y", "60", &run]);
    for _ in 0..600 {
        if ready.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let shown = tmux(&["capture-pane", "-p", "-S", "-200"]);
    tmux(&["kill-server"]);
    std::fs::remove_file(&ready).unwrap_or_else(|error| panic!("{error}: {shown}"));
    shown.trim_end().to_string()
}

/// At 60, 80 and 120 columns: no line is broken by the terminal, nothing but what is said.
#[test]
fn a_terminal_shows_steps_and_tables() {
    let cluster = Cluster::start();
    cluster.create_database("shop");
    cluster.sql("shop", "CREATE TABLE orders AS SELECT g AS id, sha512(g::text::bytea)::text AS t FROM generate_series(1, 30000) g");
    let desk = Desk::plain();
    let info = cluster.conninfo("shop");
    for columns in [60, 80, 120] {
        let shown = in_terminal(&desk, columns, &["backup", "--dbname", &info]);
        assert!(shown.ends_with("exit code 0"), "{columns}: {shown}");
        assert!(shown.lines().any(|line| line.starts_with("copying tables: ")), "{columns}: {shown}");
        assert!(!shown.contains("INFO") && !shown.contains("\u{1b}"), "{columns}: {shown}");
        let target = format!("shop_{columns}");
        let shown = in_terminal(
            &desk,
            columns,
            &["restore", "latest", "--dbname", &info, "--as", &target, "--create"],
        );
        assert!(shown.ends_with("exit code 0"), "{columns}: {shown}");
        assert!(
            shown.lines().any(|line| line.starts_with("restoring rows and indexes: ")),
            "{columns}: {shown}"
        );
        let listed = in_terminal(&desk, columns, &["list"]);
        // The title, a line for each backup so far, the exit code: none is broken in two.
        let backups = ids(&desk, &[]).len();
        assert_eq!(listed.lines().count(), backups + 2, "{columns}: {listed}");
        let failed = in_terminal(&desk, columns, &["show", "nothing"]);
        assert!(failed.starts_with("error: ") && failed.ends_with("exit code 2"), "{columns}: {failed}");
    }
}
