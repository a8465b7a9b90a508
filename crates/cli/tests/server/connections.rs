//! What a connection needs reaches the programs that pgark runs, too.

use pgark_testkit::Cluster;

use super::support::Desk;

/// The password of an encrypted client key has no variable, and an argument would show it to
/// everybody.
#[test]
fn a_client_key_behind_a_password_serves_pg_dump_and_pg_dumpall() {
    let cluster = Cluster::builder()
        .tls()
        .hba("hostssl all postgres 127.0.0.1/32 trust clientcert=verify-full")
        .start();
    let files = cluster.tls_files().unwrap();
    let sealed = files.encrypted_client_key("open sesame");
    let info = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user=postgres dbname=postgres sslmode=verify-full sslrootcert={} \
         sslcert={} sslkey={} sslpassword='open sesame'",
        cluster.port(),
        files.ca.display(),
        files.client_cert.display(),
        sealed.display()
    );
    let desk = Desk::plain();
    let record = desk.json(&["backup", "--all", "--dbname", &info, "--json"]);
    assert_eq!(
        (&record["status"], &record["warnings"]),
        (&"complete".into(), &serde_json::json!([])),
        "{record}"
    );
    let globals = desk.ok(&["cat", &format!("{}:/globals.sql", record["id"].as_str().unwrap())]);
    assert!(globals.contains("CREATE ROLE postgres"), "{globals}");
    // The same, where a service file of the user's own says all of it.
    let service = desk.path("services.conf");
    let lines =
        info.replace("'open sesame'", "open_sesame").replace(' ', "\n").replace("open_sesame", "open sesame");
    std::fs::write(&service, format!("[prod]\n{lines}\n")).unwrap();
    let mut command = desk.command(&["backup", "--dbname", "service=prod"]);
    let output = command.env("PGSERVICEFILE", &service).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
