//! Certificates of both sides: what psql accepts we accept, what it refuses we refuse.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pgark_pg::{ConnInfo, Connection, Environment};
use pgark_testkit::Cluster;

struct Case<'a> {
    cluster: &'a Cluster,
    base: String,
}

impl Case<'_> {
    /// Both connect, or neither does; our error then holds the words.
    #[track_caller]
    fn same(&self, more: &str, accepted: bool, words: &str) {
        let text = format!("{} {more}", self.base);
        let mut psql = self.cluster.client("psql");
        psql.args(["-X", "-At", "-c", "SELECT 1", "-d", &text])
            .env("HOME", "/nonexistent")
            .env_remove("PGHOST");
        let theirs = psql.output().unwrap();
        let said = String::from_utf8_lossy(&theirs.stderr).into_owned();
        assert_eq!(theirs.status.success(), accepted, "psql on {more}: {said}");
        let ours = ConnInfo::resolve(&text, &Environment::default())
            .map_err(|error| error.to_string())
            .and_then(|info| Connection::connect(&info).map_err(|error| error.to_string()));
        match ours {
            Ok(_) => assert!(accepted, "we connect with {more}, psql says {said}"),
            Err(error) => {
                assert!(!accepted, "we refuse {more}, psql connects: {error}");
                assert!(error.contains(words), "{more}: {words:?} is not in {error:?}; psql: {said}");
            }
        }
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn client_certificates() {
    let cluster = Cluster::builder()
        .tls()
        .hba("hostssl all postgres 127.0.0.1/32 trust clientcert=verify-full")
        .start();
    let files = cluster.tls_files().unwrap();
    let base = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user=postgres dbname=postgres sslmode=verify-full sslrootcert={}",
        cluster.port(),
        show(&files.ca)
    );
    let case = Case { cluster: &cluster, base };
    let (cert, key) = (show(&files.client_cert), show(&files.client_key));
    let sealed = show(&files.encrypted_client_key("open sesame"));
    case.same(&format!("sslcert={cert} sslkey={key}"), true, "");
    case.same("", false, "certificate");
    case.same(&format!("sslcert={cert}"), false, "private key");
    case.same(&format!("sslcert={cert} sslkey=/nowhere/key"), false, "/nowhere/key");
    case.same(&format!("sslcert=/nowhere/cert sslkey={key}"), false, "certificate");
    case.same(&format!("sslcert={cert} sslkey={sealed} sslpassword='open sesame'"), true, "");
    case.same(&format!("sslcert={cert} sslkey={sealed} sslpassword=wrong"), false, "private key");
    // A certificate and another's key; the server's own certificate, whose name is no role's.
    case.same(&format!("sslcert={cert} sslkey={}", show(&files.server_key)), false, "key");
    let (server_cert, server_key) = (show(&files.server_cert), show(&files.server_key));
    let own_key = format!("{server_key}.of-client");
    std::fs::copy(&server_key, &own_key).unwrap();
    std::fs::set_permissions(&own_key, std::fs::Permissions::from_mode(0o600)).unwrap();
    case.same(&format!("sslcert={server_cert} sslkey={own_key}"), false, "");
    // A key that others may read.
    let open = format!("{key}.open");
    std::fs::copy(&key, &open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    case.same(&format!("sslcert={cert} sslkey={open}"), false, "permissions");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o600)).unwrap();
    case.same(&format!("sslcert={cert} sslkey={open}"), true, "");
    // Not psql's affair on 15: the certificate is held back on request.
    let info = format!("{} sslcert={cert} sslkey={key} sslcertmode=disable", case.base);
    let held_back = Connection::connect(&ConnInfo::resolve(&info, &Environment::default()).unwrap());
    assert!(held_back.err().unwrap().to_string().contains("certificate"));
    let info = info.replace("sslcertmode=disable", "sslcertmode=allow");
    assert!(Connection::connect(&ConnInfo::resolve(&info, &Environment::default()).unwrap()).is_ok());
}

#[test]
fn revoked_certificates_and_versions() {
    let cluster = Cluster::builder().tls().conf("ssl_min_protocol_version = 'TLSv1.2'").start();
    let files = cluster.tls_files().unwrap();
    let (empty, revoked) = files.revocation_lists();
    let (empty, revoked) = (show(&empty), show(&revoked));
    let base =
        format!("host=localhost hostaddr=127.0.0.1 port={} user=postgres dbname=postgres", cluster.port());
    let case = Case { cluster: &cluster, base };
    let root = format!("sslrootcert={}", show(&files.ca));
    for mode in ["require", "verify-ca", "verify-full"] {
        case.same(&format!("sslmode={mode} {root}"), true, "");
        case.same(&format!("sslmode={mode} {root} sslcrl={empty}"), true, "");
        case.same(&format!("sslmode={mode} {root} sslcrl={revoked}"), false, "revoked");
        case.same(&format!("sslmode={mode} sslrootcert={}", show(&files.other_ca)), false, "certificate");
    }
    // A folder of lists, by the hash of the authority's name.
    let folder = files.ca.parent().unwrap().join("lists");
    std::fs::create_dir(&folder).unwrap();
    let hash = std::process::Command::new("openssl")
        .args(["crl", "-hash", "-noout", "-in", &revoked])
        .output()
        .unwrap();
    let hash = String::from_utf8(hash.stdout).unwrap();
    std::fs::copy(&revoked, folder.join(format!("{}.r0", hash.trim()))).unwrap();
    case.same(&format!("sslmode=verify-full {root} sslcrldir={}", show(&folder)), false, "revoked");
    case.same(&format!("sslmode=verify-full {root} ssl_max_protocol_version=TLSv1.2"), true, "");
    case.same(&format!("sslmode=verify-full {root} ssl_min_protocol_version=TLSv1.3"), true, "");
    case.same("sslmode=require ssl_max_protocol_version=TLSv1.1", false, "");
    case.same("sslmode=require ssl_min_protocol_version=TLSv9", false, "TLSv9");
    case.same("sslmode=verify-full", false, "root certificate");
    case.same("sslmode=verify-full sslrootcert=/nowhere/root.crt", false, "/nowhere/root.crt");
}
