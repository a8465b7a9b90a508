//! The driver against real servers: authentication, TLS, queries, COPY, cancel, and a server that
//! dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::thread;
use std::time::Duration;

use pgark_pg::{ConnInfo, Connection, Environment, PgError};
use pgark_testkit::Cluster;

fn connect(text: &str) -> Result<Connection, PgError> {
    Connection::connect(&ConnInfo::resolve(text, &Environment::default()).unwrap())
}

fn one(connection: &mut Connection, sql: &str) -> String {
    connection.query(sql, &[]).unwrap()[0].str(0).unwrap().to_string()
}

fn tcp(cluster: &Cluster, more: &str) -> String {
    format!("host=localhost hostaddr=127.0.0.1 port={} user=postgres dbname=postgres {more}", cluster.port())
}

#[test]
fn passwords_by_scram_md5_and_in_clear() {
    for method in ["scram-sha-256", "md5", "password"] {
        let cluster = Cluster::builder().auth(method).password("it's \\ right").tcp().start();
        let mut connection = connect(&tcp(&cluster, r"password='it\'s \\ right' sslmode=disable")).unwrap();
        assert_eq!(one(&mut connection, "SELECT 1"), "1");
        let error = connect(&tcp(&cluster, "password=wrong")).err().unwrap();
        assert_eq!(error.sqlstate(), Some("28P01"), "{method}: {error}");
        assert!(error.hint().unwrap().contains("password"));
        assert!(matches!(connect(&tcp(&cluster, "")).err().unwrap(), PgError::Connect { .. }));
    }
    let cluster = Cluster::builder().auth("scram-sha-256").password("right").tcp().start();
    assert!(connect(&tcp(&cluster, "password=right require_auth=md5")).is_err());
    assert!(connect(&tcp(&cluster, "password=right require_auth=scram-sha-256")).is_ok());
    assert!(
        connect(&tcp(&cluster, "password=right channel_binding=require")).is_err(),
        "no TLS, nothing to bind to"
    );
}

#[test]
fn tls_in_every_mode() {
    let cluster = Cluster::builder().auth("scram-sha-256").password("right").tls().tcp().start();
    let root = cluster.tls_files().unwrap().ca.display().to_string();
    let secured = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    for (mode, expected) in
        [("disable", "false"), ("allow", "false"), ("prefer", "true"), ("require", "true")]
    {
        let mut connection = connect(&tcp(&cluster, &format!("password=right sslmode={mode}"))).unwrap();
        assert_eq!(one(&mut connection, secured), expected, "{mode}");
    }
    for mode in ["verify-ca", "verify-full"] {
        let with_root = format!("password=right sslmode={mode} sslrootcert={root}");
        assert_eq!(one(&mut connect(&tcp(&cluster, &with_root)).unwrap(), secured), "true");
        assert!(
            connect(&tcp(&cluster, &format!("password=right sslmode={mode}"))).is_err(),
            "no root certificate"
        );
    }
    // The chain is right, the name is not.
    let other_name = format!(
        "host=elsewhere hostaddr=127.0.0.1 port={} user=postgres dbname=postgres password=right sslrootcert={root}",
        cluster.port()
    );
    assert!(connect(&format!("{other_name} sslmode=verify-ca")).is_ok());
    let error = connect(&format!("{other_name} sslmode=verify-full")).err().unwrap().to_string();
    assert!(error.contains("elsewhere"), "{error}");
    // SCRAM-SHA-256-PLUS: required, and so used.
    assert!(connect(&tcp(&cluster, "password=right sslmode=require channel_binding=require")).is_ok());
}

#[test]
fn a_server_without_tls_refuses_where_it_is_required() {
    let cluster = Cluster::builder().tcp().start();
    assert!(connect(&tcp(&cluster, "sslmode=prefer")).is_ok());
    let error = connect(&tcp(&cluster, "sslmode=require")).err().unwrap().to_string();
    assert!(error.contains("does not support SSL"), "{error}");
    assert!(connect(&tcp(&cluster, "gssencmode=require")).err().unwrap().to_string().contains("GSSAPI"));
}

#[test]
fn the_first_host_that_is_as_asked() {
    let cluster = Cluster::builder().tcp().start();
    let port = cluster.port();
    let info = format!("host=127.0.0.1,127.0.0.1 port=1,{port} user=postgres dbname=postgres");
    assert_eq!(connect(&info).unwrap().port(), port);
    assert!(connect(&format!("{info} target_session_attrs=read-write")).is_ok());
    assert!(connect(&format!("{info} target_session_attrs=prefer-standby")).is_ok());
    let error = connect(&format!("{info} target_session_attrs=standby")).err().unwrap().to_string();
    assert!(error.contains("port 1:") && error.contains("primary"), "{error}");
}

#[test]
fn password_and_service_files_as_libpq_reads_them() {
    let cluster = Cluster::builder().auth("scram-sha-256").password("right").tcp().start();
    let home = std::env::temp_dir().join(format!("pgark-pg-home-{}", std::process::id()));
    std::fs::create_dir_all(&home).unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let path = home.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let service =
        format!("[main]\nhost=127.0.0.1\nport={}\nuser=postgres\ndbname=postgres\n", cluster.port());
    write(".pg_service.conf", &service, 0o644);
    let environment = |home: &Path| Environment {
        vars: [("PGSERVICE".to_string(), "main".to_string())].into(),
        home: Some(home.to_path_buf()),
        user: "nobody".into(),
    };
    let attempt = || Connection::connect(&ConnInfo::resolve("", &environment(&home)).unwrap()).is_ok();
    assert!(!attempt(), "no password file");
    write(".pgpass", "127.0.0.1:*:postgres:postgres:right\n", 0o600);
    assert!(attempt());
    write(".pgpass", "127.0.0.1:*:postgres:postgres:right\n", 0o644);
    assert!(!attempt(), "others may read the file");
    // The real libpq judges the same files in the same way.
    for (mode, expected) in [(0o600, true), (0o644, false)] {
        write(".pgpass", "127.0.0.1:*:postgres:postgres:right\n", mode);
        let status = std::process::Command::new(cluster.bin("psql"))
            .args(["-X", "-w", "-c", "SELECT 1", "service=main"])
            .env("PGSERVICEFILE", home.join(".pg_service.conf"))
            .env("PGPASSFILE", home.join(".pgpass"))
            .output()
            .unwrap();
        assert_eq!(status.status.success(), expected);
    }
    std::fs::remove_dir_all(&home).unwrap();
}

#[test]
fn queries_and_errors() {
    let cluster = Cluster::start();
    let mut connection = connect(&cluster.conninfo("postgres")).unwrap();
    let results = connection
        .simple("SELECT 1 AS a, NULL AS b; CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1), (2)")
        .unwrap();
    assert_eq!(results.len(), 3);
    assert_eq!(results[0].columns, ["a", "b"]);
    assert_eq!((results[0].rows[0].get(0), results[0].rows[0].get(1)), (Some(b"1".as_slice()), None));
    assert_eq!(results[2].tag, "INSERT 0 2");
    let rows = connection.query("SELECT $1::int + 1, $2::text", &[Some("41"), None]).unwrap();
    assert_eq!((rows[0].parse::<i32>(0).unwrap(), rows[0].opt_str(1).unwrap()), (42, None));
    let error = connection.query("SELECT 1/0", &[]).unwrap_err();
    assert!(error.is_refusal() && error.sqlstate() == Some("22012"), "{error}");
    let error = connection.simple("SELECT 1; SELECT nonsense").unwrap_err();
    assert_eq!(error.sqlstate(), Some("42703"));
    assert_eq!(one(&mut connection, "SELECT 'still usable'"), "still usable");
    assert!(connection.execute("SELECT '\0'").is_err());
    connection.execute("DO $$ BEGIN RAISE NOTICE 'hello'; END $$").unwrap();
    assert_eq!(connection.take_notices()[0].message, "hello");
    assert_eq!(connection.server_version() / 10_000, i32::try_from(cluster.major()).unwrap());
    // A refusal that ends the session is no refusal of one statement: nobody may go on behind it.
    for sql in ["SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(5)", "SELECT 'too late'"] {
        let error = connection.query(sql, &[]).unwrap_err();
        assert!(!error.is_refusal(), "{error}");
    }
}

#[test]
fn copy_out_and_in_with_errors_in_the_middle() {
    let cluster = Cluster::start();
    let mut connection = connect(&cluster.conninfo("postgres")).unwrap();
    connection.execute("CREATE TABLE t (a int, b text)").unwrap();
    connection.execute("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 50000) g").unwrap();
    let mut text = Vec::new();
    let rows = connection
        .copy_out::<PgError>(b"COPY t TO STDOUT", &mut |data| {
            text.extend_from_slice(data);
            Ok(())
        })
        .unwrap();
    assert_eq!((rows, memchr::memchr_iter(b'\n', &text).count()), (50_000, 50_000));
    // A row larger than every buffer.
    let mut longest = 0;
    connection
        .copy_out::<PgError>(b"COPY (SELECT repeat('y', 40000000)) TO STDOUT", &mut |data| {
            longest = longest.max(data.len());
            Ok(())
        })
        .unwrap();
    assert_eq!(longest, 40_000_001);
    // The receiver fails: the connection stays usable.
    let error =
        connection.copy_out::<PgError>(b"COPY t TO STDOUT", &mut |_| Err(PgError::Broken)).unwrap_err();
    assert!(matches!(error, PgError::Broken));
    // The server fails in the middle.
    let error = connection
        .copy_out::<PgError>(
            b"COPY (SELECT 1 / (1000 - g) FROM generate_series(1, 5000) g) TO STDOUT",
            &mut |_| Ok(()),
        )
        .unwrap_err();
    assert_eq!(error.sqlstate(), Some("22012"));

    connection.execute("CREATE TABLE u (LIKE t)").unwrap();
    let mut copy = connection.copy_in(b"COPY u FROM STDIN").unwrap();
    text.chunks(7_001).for_each(|piece| copy.write(piece).unwrap());
    assert_eq!(copy.finish().unwrap(), 50_000);
    // A bad row: the server's own words, long before the end of the data.
    let mut copy = connection.copy_in(b"COPY u FROM STDIN").unwrap();
    let mut result = copy.write(b"not a number\tx\n");
    // The server reads the bad row before what fills its buffers and ours: long before so many
    // bytes.
    for _ in 0..200 {
        if result.is_err() {
            break;
        }
        result = copy.write(&text);
    }
    assert_eq!(result.unwrap_err().sqlstate(), Some("22P02"));
    drop(copy);
    // Dropped without an end: nothing stays.
    let mut copy = connection.copy_in(b"COPY u FROM STDIN").unwrap();
    copy.write(&text).unwrap();
    drop(copy);
    assert_eq!(one(&mut connection, "SELECT count(*)::text FROM u"), "50000");
}

#[test]
fn cancel_and_shutdown_from_another_thread() {
    let cluster = Cluster::start();
    let mut connection = connect(&cluster.conninfo("postgres")).unwrap();
    let canceller = connection.canceller();
    // A cancel that comes before the statement ends nothing.
    let sleeps = || {
        let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        while cluster.psql_text("postgres", asleep) == "0" {
            thread::sleep(Duration::from_millis(10));
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            sleeps();
            canceller.cancel().unwrap();
        });
        assert_eq!(connection.execute("SELECT pg_sleep(600)").unwrap_err().sqlstate(), Some("57014"));
    });
    assert_eq!(one(&mut connection, "SELECT 'usable'"), "usable");
    let canceller = connection.canceller();
    thread::scope(|scope| {
        scope.spawn(|| {
            sleeps();
            canceller.shutdown();
        });
        assert!(connection.execute("SELECT pg_sleep(600)").is_err());
    });
    assert!(connection.execute("SELECT 1").is_err(), "a broken connection says so");
}

#[test]
fn a_server_that_dies_in_the_middle_of_a_copy() {
    let cluster = Cluster::start();
    let mut connection = connect(&cluster.conninfo("postgres")).unwrap();
    let mut rows = 0;
    let result = connection.copy_out::<PgError>(
        b"COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000000)) TO STDOUT",
        &mut |_| {
            rows += 1;
            if rows == 1000 {
                cluster.crash();
            }
            Ok(())
        },
    );
    assert!(matches!(result, Err(PgError::Closed(_) | PgError::Db(_))), "{result:?}");
}
