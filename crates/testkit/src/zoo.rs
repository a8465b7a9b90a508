//! One of every kind of object that pg_dump knows, with hostile names and values; small databases
//! in other encodings; and databases of very many tables.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Cluster;

const ZOO: &str = include_str!("../sql/zoo.sql");

/// The files of two extensions. They have what no contrib module has: configuration tables, one
/// with a condition; and in the second one with foreign keys, whose parent comes last by its name.
const EXTENSION: [(&str, &str); 4] = [
    (
        "pgark_zoo.control",
        "comment = 'configuration tables, for tests of backups'\ndefault_version = '1.0'\nrelocatable = false\n",
    ),
    (
        "pgark_zoo--1.0.sql",
        "CREATE TABLE @extschema@.zoo_config (key text PRIMARY KEY, value text);
CREATE TABLE @extschema@.zoo_settings (id int PRIMARY KEY, name text, built_in boolean NOT NULL);
CREATE TABLE @extschema@.zoo_fixed (a int);
CREATE SEQUENCE @extschema@.zoo_config_seq;
INSERT INTO @extschema@.zoo_settings VALUES (1, 'from the extension', true), (2, 'also', true);
INSERT INTO @extschema@.zoo_fixed VALUES (1), (2), (3);
CREATE FUNCTION @extschema@.zoo_version() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '1.0' $$;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.zoo_config', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.zoo_settings', 'WHERE NOT built_in');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.zoo_config_seq', '');
",
    ),
    (
        "pgark_zoo_keys.control",
        "comment = 'configuration tables with foreign keys, for tests of restores'\ndefault_version = '1.0'\nrelocatable = false\n",
    ),
    (
        "pgark_zoo_keys--1.0.sql",
        "CREATE TABLE @extschema@.a_layer (id int PRIMARY KEY, above int NOT NULL REFERENCES @extschema@.a_layer, z int);
CREATE TABLE @extschema@.z_system (id int PRIMARY KEY, note text);
ALTER TABLE @extschema@.a_layer ADD FOREIGN KEY (z) REFERENCES @extschema@.z_system (id);
CREATE SEQUENCE @extschema@.zz_seq;
CREATE TABLE @extschema@.numbered (id int GENERATED ALWAYS AS IDENTITY, v text CHECK (v <> ''));
CREATE FUNCTION @extschema@.note_of(z int) RETURNS text LANGUAGE sql STABLE AS $$ SELECT note FROM @extschema@.z_system WHERE id = z $$;
CREATE FUNCTION @extschema@.check_layer() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN IF @extschema@.note_of(NEW.z) IS NULL THEN RAISE EXCEPTION 'system % is not known', NEW.z; END IF; RETURN NEW; END$$;
CREATE TRIGGER check_layer BEFORE INSERT ON @extschema@.a_layer FOR EACH ROW EXECUTE FUNCTION @extschema@.check_layer();
SELECT pg_catalog.pg_extension_config_dump('@extschema@.a_layer', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.z_system', 'WHERE id > 0');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.zz_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.numbered', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.numbered_id_seq', '');
INSERT INTO @extschema@.z_system VALUES (0, 'built in');
",
    ),
];

/// What a zoo holds beyond the objects that every server can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zoo {
    /// The extension `pgark_zoo` with configuration tables: only where the server's share folder is
    /// writable by us.
    pub extension: bool,
}

/// Creates the database `db` where it is missing and fills it. Object names are in the schemas
/// `zoo`, `public` and one with a hostile name; large objects are 700001 to 700005; roles start
/// with `zoo`. The session settings of the database itself (`ALTER DATABASE SET`) are hostile too.
pub fn load(cluster: &Cluster, db: &str) -> Zoo {
    load_with(cluster, db, "true")
}

/// The same without contrib's extensions: for restores into servers whose packages do not have some
/// of them.
pub fn load_portable(cluster: &Cluster, db: &str) -> Zoo {
    load_with(cluster, db, "false")
}

fn load_with(cluster: &Cluster, db: &str, contrib: &str) -> Zoo {
    create_if_missing(cluster, db, "");
    let extension = install_extension(cluster);
    let variables = [("extension", if extension { "1" } else { "0" }), ("contrib", contrib)];
    cluster.sql_with(db, ZOO.as_bytes(), &variables);
    Zoo { extension }
}

/// Puts the files of the extensions `pgark_zoo` and `pgark_zoo_keys` into the server's share
/// folder; false where that is not writable. A cluster that a zoo is restored into needs them too.
/// The files stay: [`remove_extension`].
pub fn install_extension(cluster: &Cluster) -> bool {
    let folder = extension_folder(cluster);
    EXTENSION.iter().all(|(name, text)| {
        let file = folder.join(name);
        if fs::read_to_string(&file).is_ok_and(|found| found == *text) {
            return true;
        }
        // Other test processes read the file at the same time: it appears whole.
        let temporary = folder.join(format!("{name}.{}.tmp", std::process::id()));
        fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, &file)).is_ok()
    })
}

/// Removes the extension's files again. `./test` does the same at its end for all majors.
pub fn remove_extension(cluster: &Cluster) {
    for (name, _) in EXTENSION {
        let _ = fs::remove_file(extension_folder(cluster).join(name));
    }
}

/// A small zoo in a LATIN1 database: names and values above 0x7f, on all of COPY's paths.
pub fn load_latin1(cluster: &Cluster, db: &str) {
    create_if_missing(cluster, db, "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    let sql = "\\encoding LATIN1
CREATE SCHEMA \"schéma\";
CREATE TABLE \"schéma\".\"täble ÿ\" (\"çol\" int PRIMARY KEY, \"ñ\" text DEFAULT 'défaut');
INSERT INTO \"schéma\".\"täble ÿ\" SELECT g, 'é' || g || E'\\\\ü\\n\\t\\\\N' FROM generate_series(1, 500) g;
INSERT INTO \"schéma\".\"täble ÿ\" VALUES (0, '\u{a0}¡ÿþ\u{80}\u{9f}'), (-1, NULL), (-2, DEFAULT);
COMMENT ON TABLE \"schéma\".\"täble ÿ\" IS 'commentaire é';
CREATE INDEX \"ïndex\" ON \"schéma\".\"täble ÿ\" (\"ñ\");
CREATE VIEW \"vüe\" AS SELECT * FROM \"schéma\".\"täble ÿ\" WHERE \"ñ\" <> 'é';
CREATE TYPE \"humör\" AS ENUM ('bäd', 'gôod');
CREATE TABLE moods (m \"humör\"); INSERT INTO moods VALUES ('bäd'), ('gôod');
CREATE FUNCTION \"fonctïon\"() RETURNS text LANGUAGE sql AS $$ SELECT 'é'::text $$;
SELECT lo_from_bytea(710001, convert_to('é', 'LATIN1')) \\g /dev/null
COMMENT ON LARGE OBJECT 710001 IS 'ôbjet';
";
    let bytes: Vec<u8> =
        sql.chars().map(|character| u8::try_from(character).expect("a LATIN1 character")).collect();
    cluster.sql_with(db, &bytes, &[]);
}

/// A small zoo in a SQL_ASCII database: bytes that are valid in no single encoding.
pub fn load_sql_ascii(cluster: &Cluster, db: &str) {
    create_if_missing(cluster, db, "ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0");
    let mut sql =
        b"\\encoding SQL_ASCII\nCREATE TABLE \"latin \xe9\" (id int, \"utf8 \xc3\xa9\" text);\n".to_vec();
    sql.extend_from_slice(b"INSERT INTO \"latin \xe9\" VALUES (1, 'latin \xe9\xff'), (2, 'utf8 \xc3\xa9'), (3, E'both \xff\\n\xc3\\t\\\\');\n");
    sql.extend_from_slice(
        b"INSERT INTO \"latin \xe9\" SELECT g, '\x80\x81' || g FROM generate_series(4, 300) g;\n",
    );
    sql.extend_from_slice(b"COMMENT ON TABLE \"latin \xe9\" IS 'comment \xfe';\nCREATE INDEX \"i \xe9\" ON \"latin \xe9\" (\"utf8 \xc3\xa9\");\n");
    cluster.sql_with(db, &sql, &[]);
}

/// Creates the database `db` where it is missing, with `count` small tables in schema `many`: a
/// primary key, a check, a comment, a foreign key to the table before, and three rows each.
pub fn many_tables(cluster: &Cluster, db: &str, count: u32) {
    create_if_missing(cluster, db, "");
    // One transaction would need more locks than the server has by default.
    let sql = format!(
        "CREATE SCHEMA many;
DO $$
BEGIN
  FOR i IN 1 .. {count} LOOP
    EXECUTE format('CREATE TABLE many.t%s (id int PRIMARY KEY, before int, note text CHECK (note <> %L))', i, 'bad');
    EXECUTE format('INSERT INTO many.t%s SELECT g, 4 - g, %L FROM generate_series(1, 3) g', i, 'row of ' || i);
    EXECUTE format('COMMENT ON TABLE many.t%s IS %L', i, 'table ' || i);
    IF i > 1 THEN EXECUTE format('ALTER TABLE many.t%s ADD FOREIGN KEY (before) REFERENCES many.t%s', i, i - 1); END IF;
    IF i % 200 = 0 THEN COMMIT; END IF;
  END LOOP;
END $$;"
    );
    cluster.sql(db, &sql);
}

fn extension_folder(cluster: &Cluster) -> PathBuf {
    let share = cluster.psql_text("postgres", "SELECT setting FROM pg_config WHERE name = 'SHAREDIR'");
    Path::new(&share).join("extension")
}

fn create_if_missing(cluster: &Cluster, db: &str, options: &str) {
    let (literal, identifier) = (db.replace('\'', "''"), db.replace('"', "\"\""));
    if cluster
        .psql_text("postgres", &format!("SELECT 1 FROM pg_database WHERE datname = '{literal}'"))
        .is_empty()
    {
        cluster.sql("postgres", &format!("CREATE DATABASE \"{identifier}\" {options};"));
    }
}
