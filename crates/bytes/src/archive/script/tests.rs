use super::*;

const SCRIPT: &str = r#"--
-- PostgreSQL database cluster dump
--

\restrict abc
SET client_encoding = 'UTF8';
--
-- Roles
--

CREATE ROLE app;

\unrestrict abc

--
-- Database "a b" dump
--

--
-- PostgreSQL database dump
--

-- Dumped from database version 17.2
-- Dumped by pg_dump version 17.2

SET client_encoding = 'LATIN1';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Name: a b; Type: DATABASE; Schema: -; Owner: app
--

CREATE DATABASE "a b" WITH TEMPLATE = template0 ENCODING = 'LATIN1';


ALTER DATABASE "a b" OWNER TO app;

\connect -reuse-previous=on "dbname='a b'"

SET client_encoding = 'LATIN1';

SET default_tablespace = fast;

SET default_table_access_method = heap;

--
-- Name: odd name; Type: TABLE; Schema: s; Owner: app; Tablespace: fast
--

CREATE TABLE s."odd
name" (
    a integer DEFAULT '
-- Name: no; Type: TABLE; Schema: s; Owner: app
'
);


ALTER TABLE s."odd
name" OWNER TO app;

--
-- Data for Name: odd name; Type: TABLE DATA; Schema: s; Owner: app
--

COPY s."odd
name" (a) FROM stdin;
-- Name: row; Type: TABLE; Schema: s; Owner: app
\\.
\.


--
-- Name: i; Type: INDEX; Schema: s; Owner: app
--

CREATE INDEX i ON s."odd
name" USING btree (a);


--
-- PostgreSQL database dump complete
--

--
-- PostgreSQL database cluster dump complete
--
"#;

fn read(script: &str) -> Result<Script, ScriptError> {
    read_script(&mut script.as_bytes(), None)
}

#[test]
fn a_script_becomes_archives() {
    let script = read(SCRIPT).unwrap();
    assert_eq!(script.globals, b"SET client_encoding = 'UTF8';\nCREATE ROLE app;\n");
    let [database] = script.databases.as_slice() else { panic!("{:?}", script.databases.len()) };
    let archive = &database.archive;
    assert_eq!(archive.header.dbname.as_deref(), Some(b"a b".as_slice()));
    assert_eq!(archive.client_encoding().as_deref(), Some("LATIN1"));
    assert_eq!(archive.header.version, ArchiveVersion::V1_16);
    let of = |kind: &str| archive.entries.iter().find(|entry| entry.kind() == kind).unwrap();
    let (table, rows, index, made) = (of("TABLE"), of("TABLE DATA"), of("INDEX"), of("DATABASE"));
    assert_eq!(table.tag_bytes(), b"odd\nname");
    assert_eq!((table.owner_str().as_ref(), made.owner_str().as_ref()), ("app", "app"));
    assert!(!table.defn_str().contains("OWNER") && !made.defn_str().contains("OWNER"));
    assert_eq!(table.drop_stmt.as_deref(), Some(b"DROP TABLE s.\"odd\nname\";\n".as_slice()));
    assert_eq!(table.tablespace.as_deref(), Some(b"fast".as_slice()));
    assert_eq!(
        (rows.dependencies.as_slice(), index.dependencies.as_slice()),
        ([table.dump_id].as_slice(), [table.dump_id].as_slice())
    );
    let [(id, range)] = database.data.as_slice() else { panic!("{:?}", database.data) };
    assert_eq!(*id, rows.dump_id);
    let place = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
    assert_eq!(&SCRIPT[place], "-- Name: row; Type: TABLE; Schema: s; Owner: app\n\\\\.\n\\.\n");
    assert_eq!(archive.entries.iter().filter(|entry| entry.kind() == "TABLE").count(), 1);
}

#[test]
fn what_is_cut_or_foreign_is_refused() {
    for end in [SCRIPT.len() - 60, SCRIPT.len() - 150, SCRIPT.find("\\\\.").unwrap(), 700, 30] {
        assert!(read(&SCRIPT[..end]).is_err(), "cut at {end}");
    }
    for (from, to, says) in [
        ("CREATE INDEX i", "\\! rm\nCREATE INDEX i", "not a command"),
        ("COPY s.\"odd\nname\" (a) FROM stdin;", "INSERT INTO s.t VALUES (1);", "INSERT"),
        ("CREATE ROLE app;", "CREATE DATABASE x;", "pg_dumpall 10"),
        ("SET default_tablespace = fast;", "CREATE TABLE x ();", "does not belong to any object"),
    ] {
        let changed = SCRIPT.replacen(from, to, 1);
        let error = read(&changed).map(|_| ()).map_err(|error| error.to_string());
        assert!(error.as_ref().is_err_and(|error| error.contains(says)), "{says}: {error:?}");
    }
}

#[test]
fn a_script_without_its_database_takes_the_name_that_is_given() {
    let made = SCRIPT.find("--\n-- Name: a b; Type: DATABASE").unwrap();
    let connected = SCRIPT.find("SET client_encoding = 'LATIN1';\n\nSET default_tablespace").unwrap();
    let begin = SCRIPT.find("--\n-- PostgreSQL database dump\n").unwrap();
    let end = SCRIPT.find("--\n-- PostgreSQL database cluster dump complete").unwrap();
    let nameless = format!("{}{}", &SCRIPT[begin..made], &SCRIPT[connected..end]);
    assert!(read(&nameless).unwrap_err().to_string().contains("which database"));
    let named = read_script(&mut nameless.as_bytes(), Some(b"shop")).unwrap();
    let archive = &named.databases[0].archive;
    assert_eq!(archive.header.dbname.as_deref(), Some(b"shop".as_slice()));
    let made = archive.entries.iter().find(|entry| entry.kind() == "DATABASE").unwrap();
    assert_eq!(made.defn_bytes(), b"CREATE DATABASE shop WITH TEMPLATE = template0;\n");
    // One that says its own name keeps it.
    let own = read_script(&mut SCRIPT.as_bytes(), Some(b"shop")).unwrap();
    assert_eq!(own.databases[0].archive.header.dbname.as_deref(), Some(b"a b".as_slice()));
}

#[test]
fn the_time_of_a_verbose_dump_is_read() {
    assert_eq!(read(SCRIPT).unwrap().databases[0].archive.header.created, CreatedAt::UNKNOWN);
    let of_dump = "-- Dumped by pg_dump version 17.2\n\n-- Started on 2024-06-01 12:34:56 CEST\n";
    let verbose = SCRIPT.replacen("-- Dumped by pg_dump version 17.2\n", of_dump, 1);
    let created = read(&verbose).unwrap().databases[0].archive.header.created;
    assert_eq!((created.year, created.month, created.day), (124, 5, 1));
    assert_eq!((created.hour, created.minute, created.second), (12, 34, 56));
    // In rows and in statements it is text, and a time that is none is none.
    let in_rows = SCRIPT.replacen("\\\\.\n", "-- Started on 2024-06-01 12:34:56 CEST\n", 1);
    assert_ne!(in_rows, SCRIPT);
    assert_eq!(read(&in_rows).unwrap().databases[0].archive.header.created, CreatedAt::UNKNOWN);
    for wrong in ["2024-13-01 12:34:56", "2024-06-01", "yesterday", "2024-06-01 12:34:5x"] {
        assert_eq!(CreatedAt::read(wrong.as_bytes()), None, "{wrong}");
    }
}
