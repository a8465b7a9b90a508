//! The round-trip oracle: what of a database must be the same after a backup and restore.
//!
//! A [`Snapshot`] is taken with `pg_dump -s` and with SQL through `psql`, as superuser, and holds
//! text only; two are compared with [`diff`] or [`assert_same`]. It leaves out what a restore may
//! change: object ids, physical order, transaction ids, and the random `\restrict` token and
//! version comments of pg_dump.

use std::collections::BTreeMap;

use crate::Cluster;

/// Count and hash of a table's own rows (not those of its children), independent of their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowHash {
    /// Number of rows.
    pub rows: u64,
    /// Sum of the 64-bit hashes of all rows' text forms, in decimal. `unpopulated` for a
    /// materialised view without data.
    pub hash: String,
}

/// A large object's observable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeObject {
    /// Size in bytes.
    pub size: u64,
    /// MD5 of the content.
    pub md5: String,
    /// The owner's name.
    pub owner: String,
    /// Privileges, sorted, with the defaults written out.
    pub acl: String,
    /// The comment, empty if none.
    pub comment: String,
}

/// One database at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The text of `pg_dump -s`.
    pub schema: String,
    /// By qualified, quoted name: plain tables, leaf partitions, materialised views, of extensions
    /// too.
    pub tables: BTreeMap<String, RowHash>,
    /// By qualified name: `last_value` and `is_called`.
    pub sequences: BTreeMap<String, String>,
    /// By object id.
    pub large_objects: BTreeMap<u32, LargeObject>,
    /// Properties of the database itself, by name: encoding, locale, owner, privileges, comment,
    /// settings, ….
    pub database: BTreeMap<String, String>,
}

/// Fixes every setting that the text form of a value depends on; the database may set others.
const PIN: &str = "SET search_path = '';\nSET DateStyle = 'ISO, YMD';\nSET IntervalStyle = postgres;\nSET TimeZone = 'UTC';\n\
    SET extra_float_digits = 1;\nSET bytea_output = hex;\nSET lc_monetary = 'C';\nSET xmloption = content;\n\
    SET statement_timeout = 0;\nSET row_security = off;\nSET standard_conforming_strings = on;\nSET array_nulls = on;\n\
    SET quote_all_identifiers = off;\nSET default_transaction_read_only = off;\n";

/// A qualified name on one line: newlines in names would break psql's output apart.
const KEY: &str = "replace(replace(format('%I.%I', n.nspname, c.relname), '\\', '\\\\'), E'\\n', '\\n')";

impl Snapshot {
    /// Takes the state of `db`, with the cluster's own `pg_dump`.
    pub fn take(cluster: &Cluster, db: &str) -> Snapshot {
        Snapshot {
            schema: schema(cluster, db),
            tables: tables(cluster, db),
            sequences: sequences(cluster, db),
            large_objects: large_objects(cluster, db),
            database: database(cluster, db),
        }
    }
}

/// The row hashes alone: by qualified table name.
pub fn row_hashes(snapshot: &Snapshot) -> &BTreeMap<String, RowHash> {
    &snapshot.tables
}

/// All differences, one readable line each; empty if the two are the same.
pub fn diff(a: &Snapshot, b: &Snapshot) -> Vec<String> {
    let mut differences = Vec::new();
    diff_text(&a.schema, &b.schema, &mut differences);
    diff_maps("rows of", &a.tables, &b.tables, &mut differences);
    diff_maps("sequence", &a.sequences, &b.sequences, &mut differences);
    diff_maps("large object", &a.large_objects, &b.large_objects, &mut differences);
    diff_maps("database property", &a.database, &b.database, &mut differences);
    differences
}

/// Fails the test if the two differ, and says in what.
///
/// # Panics
/// If they differ.
pub fn assert_same(a: &Snapshot, b: &Snapshot) {
    let differences = diff(a, b);
    let shown = differences.iter().take(60).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} differences (- first, + second):\n{shown}", differences.len());
}

/// `pg_dumpall -g` without its token and version comments: roles, memberships, tablespaces,
/// settings per role.
pub fn globals(cluster: &Cluster) -> String {
    let output = cluster.client("pg_dumpall").arg("-g").output().expect("run pg_dumpall");
    assert!(output.status.success(), "pg_dumpall failed: {}", String::from_utf8_lossy(&output.stderr));
    without_noise(&printable(&output.stdout))
}

fn schema(cluster: &Cluster, db: &str) -> String {
    let mut command = cluster.client("pg_dump");
    let output = command.env("PGDATABASE", db).arg("-s").output().expect("run pg_dump");
    assert!(output.status.success(), "pg_dump -s failed: {}", String::from_utf8_lossy(&output.stderr));
    without_noise(&printable(&output.stdout))
}

fn without_noise(text: &str) -> String {
    let noise =
        ["\\restrict ", "\\unrestrict ", "-- Dumped from database version", "-- Dumped by pg_dump version"];
    let mut kept = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !noise.iter().any(|start| line.starts_with(start))) {
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

fn tables(cluster: &Cluster, db: &str) -> BTreeMap<String, RowHash> {
    // The alias is one that no column has: a column would win over it.
    let generate = format!(
        "SELECT CASE WHEN c.relkind = 'm' AND NOT c.relispopulated
                THEN format('SELECT %L, 0, %L', {KEY}, 'unpopulated')
                ELSE format('SELECT %L, count(*), coalesce(sum(hashtextextended((\"~row~\".*)::text COLLATE \"C\", 0)), 0) FROM ONLY %I.%I AS \"~row~\"',
                     {KEY}, n.nspname, c.relname) END
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
         ORDER BY c.oid \\gexec\n"
    );
    rows(cluster, db, &generate, 3)
        .into_iter()
        .map(|mut row| {
            let hash = row.remove(2);
            let count = row.remove(1).parse().expect("a row count");
            (row.remove(0), RowHash { rows: count, hash })
        })
        .collect()
}

fn sequences(cluster: &Cluster, db: &str) -> BTreeMap<String, String> {
    let generate = format!(
        "SELECT format('SELECT %L, last_value::text || '' '' || is_called::text FROM %I.%I', {KEY}, n.nspname, c.relname)
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' ORDER BY c.oid \\gexec\n"
    );
    pairs(rows(cluster, db, &generate, 2))
}

fn large_objects(cluster: &Cluster, db: &str) -> BTreeMap<u32, LargeObject> {
    let query = "SELECT m.oid, length(lo.content), md5(lo.content), pg_get_userbyid(m.lomowner),
            (SELECT string_agg(a::text, ' ' ORDER BY a::text COLLATE \"C\")
               FROM unnest(coalesce(m.lomacl, acldefault('L', m.lomowner))) AS a),
            replace(coalesce(obj_description(m.oid, 'pg_largeobject'), ''), E'\\n', '\\n')
         FROM pg_catalog.pg_largeobject_metadata m, LATERAL (SELECT lo_get(m.oid) OFFSET 0) AS lo(content) ORDER BY 1;\n";
    rows(cluster, db, query, 6)
        .into_iter()
        .map(|row| {
            let mut fields = row.into_iter();
            let mut next = || fields.next().expect("six fields");
            let oid = next().parse().expect("an object id");
            let size = next().parse().expect("a size");
            (oid, LargeObject { size, md5: next(), owner: next(), acl: next(), comment: next() })
        })
        .collect()
}

fn database(cluster: &Cluster, db: &str) -> BTreeMap<String, String> {
    let query = "WITH this AS (SELECT d.* FROM pg_catalog.pg_database d WHERE d.datname = current_database())
         SELECT key, value FROM this, jsonb_each_text(to_jsonb(this)
             - '{oid,datname,datdba,datacl,dattablespace,datfrozenxid,datminmxid,datlastsysoid,encoding}'::text[])
         UNION ALL SELECT 'owner', pg_get_userbyid(datdba) FROM this
         UNION ALL SELECT 'encoding', pg_encoding_to_char(encoding) FROM this
         UNION ALL SELECT 'tablespace', spcname FROM this, pg_catalog.pg_tablespace t WHERE t.oid = dattablespace
         UNION ALL SELECT 'comment', replace(coalesce(shobj_description(oid, 'pg_database'), ''), E'\\n', '\\n') FROM this
         UNION ALL SELECT 'acl', string_agg(a::text, ' ' ORDER BY a::text COLLATE \"C\")
             FROM this, unnest(coalesce(datacl, acldefault('d', datdba))) AS a
         UNION ALL SELECT 'setting of ' || coalesce(r.rolname, 'all') || ': ' || split_part(s, '=', 1),
                replace(substr(s, strpos(s, '=') + 1), E'\\n', '\\n')
             FROM this JOIN pg_catalog.pg_db_role_setting c ON c.setdatabase = this.oid
             LEFT JOIN pg_catalog.pg_roles r ON r.oid = c.setrole, unnest(c.setconfig) AS s;\n";
    pairs(rows(cluster, db, query, 2))
}

/// Runs SQL and splits what psql prints: rows by newline, columns by the unit separator.
fn rows(cluster: &Cluster, db: &str, sql: &str, columns: usize) -> Vec<Vec<String>> {
    let script =
        format!("\\pset format unaligned\n\\pset fieldsep '\\037'\n\\pset tuples_only on\n{PIN}{sql}");
    let printed = printable(&cluster.sql_with(db, script.as_bytes(), &[]));
    let split = |line: &str| line.split('\u{1f}').map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = printed.lines().map(split).collect();
    if let Some(bad) = rows.iter().find(|row| row.len() != columns) {
        panic!("expected {columns} columns, psql printed {bad:?}");
    }
    rows
}

fn pairs(rows: Vec<Vec<String>>) -> BTreeMap<String, String> {
    rows.into_iter()
        .map(|row| {
            let mut fields = row.into_iter();
            (fields.next().unwrap_or_default(), fields.next().unwrap_or_default())
        })
        .collect()
}

/// Bytes as text without loss: what is not UTF-8 (databases in other encodings) becomes `\xNN`.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Lines that one side has more often than the other; if none, the first line where the order
/// differs.
fn diff_text(a: &str, b: &str, differences: &mut Vec<String>) {
    if a == b {
        return;
    }
    let before = differences.len();
    let mut balance: BTreeMap<&str, i64> = BTreeMap::new();
    for line in a.lines() {
        *balance.entry(line).or_default() += 1;
    }
    for line in b.lines() {
        *balance.entry(line).or_default() -= 1;
    }
    for (number, line) in a.lines().enumerate() {
        if let Some(count) = balance.get_mut(line).filter(|count| **count > 0) {
            *count -= 1;
            differences.push(format!("schema - line {}: {line}", number + 1));
        }
    }
    for (number, line) in b.lines().enumerate() {
        if let Some(count) = balance.get_mut(line).filter(|count| **count < 0) {
            *count += 1;
            differences.push(format!("schema + line {}: {line}", number + 1));
        }
    }
    if differences.len() == before {
        let at = a.lines().zip(b.lines()).position(|(left, right)| left != right).unwrap_or(0);
        let line = |text: &str| text.lines().nth(at).unwrap_or_default().to_owned();
        differences.push(format!(
            "schema: same lines in another order from line {}: {:?} / {:?}",
            at + 1,
            line(a),
            line(b)
        ));
    }
}

fn diff_maps<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    what: &str,
    a: &BTreeMap<K, V>,
    b: &BTreeMap<K, V>,
    differences: &mut Vec<String>,
) {
    for (key, left) in a {
        match b.get(key) {
            None => differences.push(format!("{what} {key:?}: only in the first: {left:?}")),
            Some(right) if right != left => differences.push(format!("{what} {key:?}: {left:?} / {right:?}")),
            Some(_) => {}
        }
    }
    for (key, right) in b.iter().filter(|(key, _)| !a.contains_key(key)) {
        differences.push(format!("{what} {key:?}: only in the second: {right:?}"));
    }
}
