//! What the program says to usual mistakes with servers: each hint is the next step.

use pgark_testkit::Cluster;
use pgark_testkit::storage::{Login, Moto, Sshd};

use super::support::{Desk, Home, text};

#[test]
fn an_unknown_ssh_host_is_told_how_it_becomes_known() {
    let sshd = Sshd::start(Login::Key);
    let desk = Desk::empty(Some(Home::sftp(&sshd, sshd.port())));
    let known = desk.path(".ssh/known_hosts");
    std::fs::remove_file(&known).unwrap();
    let said = desk.example("The SSH host is unknown", 1, &["init", "--no-encryption"]);
    let scan = format!("`ssh-keyscan -p {} {} >> {}`", sshd.port(), sshd.address(), known.display());
    for words in ["the host is unknown: its ssh-", "SHA256:", "compare the fingerprint", &scan] {
        assert!(said.contains(words), "no {words:?} in: {said}");
    }
    assert!(!said.contains("was changed"), "{said}");
    // The line does what it says.
    let line = scan.trim_matches('`');
    let added = std::process::Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(added.status.success(), "{}", text(&added.stderr));
    desk.ok(&["init", "--no-encryption"]);
    // Another key than the known one is another matter.
    std::fs::copy(sshd.wrong_known_hosts(sshd.port()), &known).unwrap();
    let said = desk.fails(1, &["list"]);
    assert!(said.contains("was changed") && said.contains("ssh-keygen -R"), "{said}");
}

#[test]
fn a_bad_certificate_of_a_server_says_whose_and_since_when() {
    let cluster = Cluster::builder().tls().start();
    let files = cluster.tls_files().unwrap().clone();
    let desk = Desk::plain();
    let backup = |root: &std::path::Path| {
        let conninfo = format!(
            "host=localhost hostaddr=127.0.0.1 port={} user=postgres dbname=postgres sslmode=verify-full sslrootcert={}",
            cluster.port(),
            root.display()
        );
        desk.fails(1, &["backup", "--dbname", &conninfo])
    };
    let expect = |said: String, words: &[&str]| {
        for word in words {
            assert!(said.contains(word), "no {word:?} in: {said}");
        }
    };
    let issuer = "(CN=localhost, issued by CN=pgark test ca)";
    expect(
        backup(&files.other_ca),
        &["(authority CN=pgark test ca)", "hint: sslrootcert must name a file with the certificate"],
    );
    files.replace_server("elsewhere", "subjectAltName=DNS:elsewhere");
    cluster.restart();
    expect(
        backup(&files.ca),
        &["does not match host name \"localhost\"", "hint: connect by a name that is in"],
    );
    files.expire_server("localhost");
    cluster.restart();
    let said = backup(&files.ca);
    super::support::example("The server's certificate has expired", 1, &said);
    expect(
        said,
        &["it expired on Feb 1 00:00:00 2020 GMT", issuer, "hint: whoever runs the server must renew it"],
    );
}

#[test]
fn an_expired_certificate_of_a_storage_says_since_when() {
    let (_moto, endpoint, certificate) = Moto::behind_own_certificate("bucket", "IP:127.0.0.1", true);
    let desk = Desk::empty(Some(Home::s3("s3://bucket/x", &endpoint, "a", "b")));
    let option = format!("ca_file={}", certificate.display());
    let said =
        desk.example("The storage's certificate has expired", 1, &["list", "--storage-option", &option]);
    for words in
        ["expired on 2020-02-01 00:00:00 UTC", "127.0.0.1", "hint: whoever runs the storage must renew it"]
    {
        assert!(said.contains(words), "no {words:?} in: {said}");
    }
}

/// Rows are data: the log has them where somebody asks for them.
#[test]
fn skipped_rows_are_in_the_log_with_v() {
    let cluster = Cluster::start();
    cluster.create_database("d");
    cluster.sql("d", "CREATE TABLE t (id int PRIMARY KEY, secret text); INSERT INTO t VALUES (1, 'hunter2')");
    let desk = Desk::plain();
    let id = desk.backup(&cluster, "d");
    let dbname = cluster.conninfo("d");
    let skip = ["restore", &id, "--dbname", &dbname, "--data-only", "--on-conflict", "skip"];
    let said = text(&desk.run(&skip).stderr);
    assert!(said.contains("public.t: 1 rows were skipped") && said.contains("-v writes the first"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    let said = text(&desk.run(&[&skip[..], &["-v"]].concat()).stderr);
    assert!(said.contains("hunter2") && said.contains("a row with the same key exists"), "{said}");
    let report = desk.run(&[&skip[..], &["--json"]].concat());
    assert!(text(&report.stdout).contains("hunter2"), "{}", text(&report.stdout));
}
