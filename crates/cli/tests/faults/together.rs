//! Two backups at once into one repository: of the same cluster, and of different ones.

use pgark_testkit::Cluster;

use super::bench_of_faults::{Site, tell, times};
use super::support::text;

#[test]
fn two_backups_of_one_cluster_at_once() {
    let mut site = Site::new();
    site.backup();
    let info = site.info();
    let rounds = times(5, 40);
    let mut ids = Vec::new();
    for _ in 0..rounds {
        site.change();
        let pair = [(); 2].map(|()| site.desk.spawn(&["backup", "--dbname", &info, "--allow-concurrent"]));
        for child in pair {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            ids.push(text(&output.stdout).trim().to_string());
            // Both are of the same state.
            site.remember(ids.last().unwrap());
        }
        site.verify();
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2 * rounds);
    site.verify_all();
    tell("two backups of one cluster at once", 2 * rounds, "all committed, all equal, one chain");
}

#[test]
fn backups_of_two_clusters_at_once() {
    let mut site = Site::new();
    site.backup();
    let other = Cluster::start();
    other.create_database("e");
    other.sql(
        "e",
        "CREATE TABLE t AS SELECT g AS a, sha256(g::text::bytea) AS b FROM generate_series(1, 50000) g",
    );
    let sum = "SELECT sum(hashtext(t::text)::bigint) FROM t";
    let info = site.info();
    let rounds = times(4, 30);
    let mut of_other = Vec::new();
    for round in 0..rounds {
        site.change();
        other.sql("e", &format!("UPDATE t SET b = sha256((a + {round})::text::bytea) WHERE a % 3 = 0"));
        let ours = site.desk.spawn(&["backup", "--dbname", &info, "--cluster", "ours"]);
        let theirs = site.desk.spawn(&["backup", "--dbname", &other.conninfo("e"), "--cluster", "theirs"]);
        let ours = ours.wait_with_output().unwrap();
        let theirs = theirs.wait_with_output().unwrap();
        assert!(
            ours.status.success() && theirs.status.success(),
            "{} {}",
            text(&ours.stderr),
            text(&theirs.stderr)
        );
        site.remember(text(&ours.stdout).trim());
        let id = text(&theirs.stdout).trim().to_string();
        site.leave_out(&id);
        of_other.push((id, other.psql_text("e", sum)));
        site.verify();
    }
    for (number, (id, expected)) in of_other.iter().enumerate() {
        let name = format!("back{number}");
        site.desk.ok(&["restore", id, "--dbname", &other.conninfo(&name), "--create"]);
        assert_eq!(other.psql_text(&name, sum), *expected, "{id}");
        other.drop_database(&name);
    }
    site.verify_all();
    tell("backups of two clusters at once", 2 * rounds, "all committed, all equal");
}
