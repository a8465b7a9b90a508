//! The SQL that restoring one entry means, by `pg_restore`'s rules.
//!
//! An entry's definition is not all of it: the definition says nothing of the owner, the tablespace
//! and the table access method; those are set around it, from fields of the entry. Everything is
//! bytes in the dump's encoding, so the connection that executes it runs with the `client_encoding`
//! of [`session_setup`].

use super::model::{Archive, ArchiveVersion, TocEntry};
pub use super::options::Options;
pub use super::roles::required_roles;
use super::selection::Selection;
use crate::sql::{self, Kind, Token, quote_ident_bytes};

/// What a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A session setting for what follows.
    Setting,
    /// The object itself.
    Definition,
    /// Its owner.
    Owner,
    /// The access method that partitions of a partitioned table are to inherit.
    AccessMethod,
    /// Dropping it.
    Drop,
}

/// One piece of SQL to be sent as one query. It may hold several statements, which then succeed or
/// fail together; [`sql::split`] takes them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it is for.
    pub purpose: Purpose,
    /// SQL in the dump's encoding.
    pub sql: Vec<u8>,
}

impl Statement {
    fn new(purpose: Purpose, sql: Vec<u8>) -> Self {
        Statement { purpose, sql }
    }
}

/// The settings that entries need and that a connection has now. One per connection, beginning with
/// the default after [`session_setup`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionState {
    tablespace: Option<Vec<u8>>,
    table_am: Option<Vec<u8>>,
    schema: Option<Vec<u8>>,
}

/// What every connection of a restore runs first, for a server of this major version.
pub fn session_setup(archive: &Archive, server_major: i32) -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = vec![
        b"SET statement_timeout = 0;".to_vec(),
        b"SET lock_timeout = 0;".to_vec(),
        b"SET idle_in_transaction_session_timeout = 0;".to_vec(),
    ];
    if server_major >= 17 {
        out.push(b"SET transaction_timeout = 0;".to_vec());
    }
    let setting = |kind: &str, out: &mut Vec<Vec<u8>>| {
        let defn =
            archive.entries.iter().find(|e| e.kind() == kind).map(TocEntry::defn_bytes).unwrap_or_default();
        out.extend(sql::split(defn).into_iter().map(<[u8]>::to_vec));
    };
    setting("ENCODING", &mut out);
    let strings = if archive.standard_conforming_strings() { "on" } else { "off" };
    out.push(format!("SET standard_conforming_strings = {strings};").into_bytes());
    setting("SEARCHPATH", &mut out);
    out.push(b"SET check_function_bodies = false;".to_vec());
    out.push(b"SET xmloption = content;".to_vec());
    out.push(b"SET client_min_messages = warning;".to_vec());
    if !archive.standard_conforming_strings() {
        out.push(b"SET escape_string_warning = off;".to_vec());
    }
    out.push(b"SET row_security = off;".to_vec());
    out
}

/// The statements that restore `entry`, in order; for an entry with data those that come before its
/// data (see [`TocEntry::copy_stmt`]). Empty for an entry that is a setting or needs nothing.
///
/// Whether the entry is wanted at all is [`Selection`]'s business. After a DATABASE or DATABASE
/// PROPERTIES entry the caller connects to the new database, with [`session_setup`] and a fresh
/// `state`.
pub fn statements(
    archive: &Archive,
    entry: &TocEntry,
    options: &Options,
    state: &mut SessionState,
) -> Vec<Statement> {
    let mut out = Vec::new();
    if entry.is_setting() {
        return out;
    }
    settings(archive, entry, options, state, &mut out);
    for sql in definition(archive, entry, options) {
        // Some definitions are nothing but a comment.
        if !sql::split(&sql).is_empty() {
            out.push(Statement::new(Purpose::Definition, sql));
        }
    }
    if !options.no_owner {
        out.extend(owner(archive, entry).into_iter().map(|sql| Statement::new(Purpose::Owner, sql)));
    }
    if is_partitioned(entry)
        && !options.no_table_access_method
        && let Some(am) = &entry.table_am
    {
        let sql = join(&[
            b"ALTER TABLE ",
            &qualified_name(entry),
            b" SET ACCESS METHOD ",
            &quote_ident_bytes(am),
            b";",
        ]);
        out.push(Statement::new(Purpose::AccessMethod, sql));
    }
    out
}

/// The statements of `pg_restore --clean --if-exists`, in the archive's reverse order, each with
/// the index of its entry. Where the database itself is created, dropping it is all there is to
/// drop.
pub fn drop_statements(
    archive: &Archive,
    selection: &Selection,
    options: &Options,
) -> Vec<(usize, Statement)> {
    let mut out = Vec::new();
    let mut state = SessionState::default();
    for (index, entry) in archive.entries.iter().enumerate().rev() {
        if !selection.contains(entry.dump_id) || entry.is_setting() {
            continue;
        }
        if options.create_database && !matches!(entry.kind(), "DATABASE" | "DATABASE PROPERTIES") {
            continue;
        }
        let Some(drop) = entry.drop_stmt.as_deref() else { continue };
        let mut before = Vec::new();
        search_path(archive, entry, &mut state, &mut before);
        out.extend(before.into_iter().map(|s| (index, s)));
        for sql in drop_if_exists(entry, drop) {
            if !sql::split(&sql).is_empty() {
                out.push((index, Statement::new(Purpose::Drop, sql)));
            }
        }
    }
    out
}

/// `definition` with the name of the database changed: for DATABASE and DATABASE PROPERTIES entries
/// and for privileges, comments and labels of a database (their statements, definitions and drops
/// alike).
///
/// Token-exact: only the identifier behind `{ALTER|CREATE|DROP|ON|IN} DATABASE [IF EXISTS]` and the
/// literal behind `datname =` change, and only where they are `from`.
pub fn rename_database(definition: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let tokens: Vec<Token<'_>> = sql::tokenize(definition).filter(|t| !t.is_blank()).collect();
    let mut out = Vec::with_capacity(definition.len() + to.len());
    let mut copied = 0;
    let mut replaced = false;
    for (index, token) in tokens.iter().enumerate() {
        let back = |n: usize| index.checked_sub(n).and_then(|i| tokens.get(i));
        let word = |n: usize, w: &str| back(n).is_some_and(|t| t.is_word(w));
        if token.is_symbol(b';') {
            replaced = false;
            continue;
        }
        let skip = if word(1, "exists") && word(2, "if") { 2 } else { 0 };
        let names_it = !replaced
            && word(skip + 1, "database")
            && ["alter", "create", "drop", "on", "in"].iter().any(|w| word(skip + 2, w))
            && token.ident().is_some_and(|name| name == from);
        let literal = token.kind == Kind::String
            && back(1).is_some_and(|t| t.is_symbol(b'='))
            && word(2, "datname")
            && token.text == sql::quote_literal_bytes(from);
        let new = match (names_it, literal) {
            (true, _) => quote_ident_bytes(to),
            (false, true) => sql::quote_literal_bytes(to),
            (false, false) => continue,
        };
        replaced |= names_it;
        out.extend_from_slice(definition.get(copied..token.start).unwrap_or_default());
        out.extend_from_slice(&new);
        copied = token.end();
    }
    out.extend_from_slice(definition.get(copied..).unwrap_or_default());
    out
}

/// `CREATE DATABASE` without what a server of this major does not know: a newer pg_dump writes
/// `LOCALE_PROVIDER = libc` for every database, which servers before 15 refuse. They have no other
/// provider.
pub fn for_server(definition: &[u8], server_major: i32) -> Vec<u8> {
    if server_major >= 15 {
        return definition.to_vec();
    }
    let tokens: Vec<Token<'_>> = sql::tokenize(definition).filter(|t| !t.is_blank()).collect();
    let clause = tokens.windows(3).find_map(|three| match three {
        [name, sign, value]
            if name.is_word("locale_provider") && sign.is_symbol(b'=') && value.is_word("libc") =>
        {
            Some(name.start..value.end())
        }
        _ => None,
    });
    cut_out(definition, clause)
}

/// Takes the owner out of the entry itself: whoever restores it, by whatever program, owns it.
pub fn without_owner(entry: &mut TocEntry) {
    // Old archives name the owner of a schema in its definition.
    if entry.kind() == "SCHEMA" && !entry.defn_bytes().starts_with(b"--") {
        let plain = join(&[b"CREATE SCHEMA ", &quote_ident_bytes(entry.tag_bytes()), b";\n"]);
        entry.defn = Some(plain);
    }
    entry.owner = Some(Vec::new());
}

/// `CREATE DATABASE` without its `TABLESPACE = name`.
pub fn without_tablespace(definition: &[u8]) -> Vec<u8> {
    let tokens: Vec<Token<'_>> = sql::tokenize(definition).filter(|t| !t.is_blank()).collect();
    let clause = tokens.windows(3).find_map(|three| match three {
        [name, sign, value] if name.is_word("tablespace") && sign.is_symbol(b'=') => {
            Some(name.start..value.end())
        }
        _ => None,
    });
    cut_out(definition, clause)
}

/// The text without a clause, and without the white space in front of it.
fn cut_out(definition: &[u8], clause: Option<std::ops::Range<usize>>) -> Vec<u8> {
    let Some(clause) = clause else { return definition.to_vec() };
    join(&[
        definition.get(..clause.start).unwrap_or_default().trim_ascii_end(),
        definition.get(clause.end..).unwrap_or_default(),
    ])
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn present(text: &Option<Vec<u8>>) -> Option<&[u8]> {
    text.as_deref().filter(|t| !t.is_empty())
}

/// The quoted `schema.tag`, or `tag` where the entry is in no schema: a relation's name as SQL
/// needs it, for the kinds whose tag is a bare name (TABLE, TABLE DATA, VIEW, SEQUENCE, …).
pub fn qualified_name(entry: &TocEntry) -> Vec<u8> {
    let tag = quote_ident_bytes(entry.tag_bytes());
    match present(&entry.namespace) {
        Some(namespace) => join(&[&quote_ident_bytes(namespace), b".", &tag]),
        None => tag,
    }
}

fn is_partitioned(entry: &TocEntry) -> bool {
    entry.relkind == Some(i32::from(b'p'))
}

fn settings(
    archive: &Archive,
    entry: &TocEntry,
    options: &Options,
    state: &mut SessionState,
    out: &mut Vec<Statement>,
) {
    search_path(archive, entry, state, out);
    if !options.no_tablespaces && entry.tablespace.is_some() && entry.tablespace != state.tablespace {
        let sql = match present(&entry.tablespace) {
            None => b"SET default_tablespace = '';".to_vec(),
            Some(name) => join(&[b"SET default_tablespace = ", &quote_ident_bytes(name), b";"]),
        };
        out.push(Statement::new(Purpose::Setting, sql));
        state.tablespace.clone_from(&entry.tablespace);
    }
    // A partitioned table has no storage, so an access method that does not have it cannot be in
    // the way.
    if !options.no_table_access_method
        && !is_partitioned(entry)
        && let Some(am) = &entry.table_am
        && entry.table_am != state.table_am
    {
        let sql = join(&[b"SET default_table_access_method = ", &quote_ident_bytes(am), b";"]);
        out.push(Statement::new(Purpose::Setting, sql));
        state.table_am.clone_from(&entry.table_am);
    }
}

/// Archives without a SEARCHPATH entry (1.12 from old minors) have unqualified names in their
/// definitions.
fn search_path(archive: &Archive, entry: &TocEntry, state: &mut SessionState, out: &mut Vec<Statement>) {
    let Some(namespace) = present(&entry.namespace) else { return };
    if state.schema.as_deref() == Some(namespace) || archive.entries.iter().any(|e| e.kind() == "SEARCHPATH")
    {
        return;
    }
    let mut sql = join(&[b"SET search_path = ", &quote_ident_bytes(namespace)]);
    if namespace != b"pg_catalog" {
        sql.extend_from_slice(b", pg_catalog");
    }
    sql.push(b';');
    out.push(Statement::new(Purpose::Setting, sql));
    state.schema = Some(namespace.to_vec());
}

fn definition(archive: &Archive, entry: &TocEntry, options: &Options) -> Vec<Vec<u8>> {
    let defn = entry.defn_bytes();
    match entry.kind() {
        // Old archives put AUTHORIZATION here. A comment means that the schema already exists.
        "DATABASE" if options.no_tablespaces => vec![without_tablespace(defn)],
        "SCHEMA" if options.no_owner && !defn.starts_with(b"--") => {
            vec![join(&[b"CREATE SCHEMA ", &quote_ident_bytes(entry.tag_bytes()), b";"])]
        }
        "BLOB METADATA" => per_large_object(entry, b"SELECT pg_catalog.lo_create('", b"');"),
        // One copy of the commands stands for a whole group of large objects, which the first
        // dependency lists.
        "ACL" if entry.tag_bytes().starts_with(b"LARGE OBJECTS") => {
            let group = entry.dependencies.first().and_then(|&id| archive.entry(id));
            match group.filter(|e| e.kind() == "BLOB METADATA") {
                Some(group) => sql::split(defn).into_iter().flat_map(|s| for_group(s, group)).collect(),
                None => vec![defn.to_vec()],
            }
        }
        _ => vec![defn.to_vec()],
    }
}

/// How many large objects' statements are sent as one query.
const LARGE_OBJECTS_PER_QUERY: usize = 1000;

/// `begin <oid> end` for each large object of a BLOB METADATA entry.
fn per_large_object(group: &TocEntry, begin: &[u8], end: &[u8]) -> Vec<Vec<u8>> {
    let oids: Vec<&[u8]> =
        group.defn_bytes().split(|&b| b == b'\n').map(<[u8]>::trim_ascii).filter(|o| !o.is_empty()).collect();
    oids.chunks(LARGE_OBJECTS_PER_QUERY)
        .map(|oids| oids.iter().map(|oid| join(&[begin, oid, end])).collect::<Vec<_>>().join(&b'\n'))
        .collect()
}

/// A command on `LARGE OBJECT <number>` for each of the group; any other command as it is.
fn for_group(command: &[u8], group: &TocEntry) -> Vec<Vec<u8>> {
    let tokens: Vec<Token<'_>> = sql::tokenize(command).filter(|t| !t.is_blank()).collect();
    let number = tokens.windows(3).find_map(|w| match w {
        [a, b, c] if a.is_word("large") && b.is_word("object") && c.kind == Kind::Number => Some(c),
        _ => None,
    });
    match number {
        None => vec![command.to_vec()],
        Some(n) => {
            let (before, rest) = command.split_at(n.start);
            per_large_object(group, before, rest.get(n.text.len()..).unwrap_or_default())
        }
    }
}

/// Kinds that are `<kind> [schema.]name` in ALTER … OWNER.
const PLAIN_KINDS: &[&str] = &[
    "COLLATION",
    "CONVERSION",
    "DATABASE",
    "DOMAIN",
    "EVENT TRIGGER",
    "FOREIGN DATA WRAPPER",
    "FOREIGN TABLE",
    "MATERIALIZED VIEW",
    "PROCEDURAL LANGUAGE",
    "PUBLICATION",
    "SCHEMA",
    "SEQUENCE",
    "SERVER",
    "STATISTICS",
    "SUBSCRIPTION",
    "TABLE",
    "TEXT SEARCH CONFIGURATION",
    "TEXT SEARCH DICTIONARY",
    "TYPE",
    "VIEW",
];

/// Kinds whose name needs arguments or an access method: exactly what their drop statement says.
const KINDS_NAMED_BY_DROP: &[&str] =
    &["AGGREGATE", "FUNCTION", "OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY", "PROCEDURE"];

/// Whether restoring the entry sets an owner, and which.
pub(super) fn owner_name(entry: &TocEntry) -> Option<&[u8]> {
    present(&entry.drop_stmt)?;
    let owner = present(&entry.owner)?;
    let kind = entry.kind();
    let owned = PLAIN_KINDS.contains(&kind)
        || KINDS_NAMED_BY_DROP.contains(&kind)
        || matches!(kind, "BLOB" | "BLOB METADATA");
    owned.then_some(owner)
}

fn owner(archive: &Archive, entry: &TocEntry) -> Vec<Vec<u8>> {
    let Some(owner) = owner_name(entry) else { return Vec::new() };
    let owner = quote_ident_bytes(owner);
    let kind = entry.kind();
    let object = if kind == "BLOB METADATA" {
        return per_large_object(entry, b"ALTER LARGE OBJECT ", &join(&[b" OWNER TO ", &owner, b";"]));
    } else if kind == "BLOB" {
        join(&[b"LARGE OBJECT ", entry.tag_bytes()])
    } else if KINDS_NAMED_BY_DROP.contains(&kind) {
        let drop = entry.drop_stmt.as_deref().unwrap_or_default();
        let object = drop.strip_prefix(b"DROP ").unwrap_or(drop);
        let end = object.iter().rposition(|b| !matches!(b, b';' | b'\n')).map_or(0, |last| last + 1);
        object.get(..end).unwrap_or_default().to_vec()
    } else {
        // Up to 15 pg_restore says TABLE for every relation; the server takes both.
        let old = archive.header.version < ArchiveVersion::V1_15;
        let relation = matches!(kind, "VIEW" | "SEQUENCE" | "MATERIALIZED VIEW");
        let word = if old && relation { "TABLE" } else { kind };
        join(&[word.as_bytes(), b" ", &qualified_name(entry)])
    };
    vec![join(&[b"ALTER ", &object, b" OWNER TO ", &owner, b";"])]
}

fn drop_if_exists(entry: &TocEntry, drop: &[u8]) -> Vec<Vec<u8>> {
    const UNLINK: &[u8] =
        b"SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = '";
    let kind = entry.kind();
    if kind == "BLOB METADATA" {
        return per_large_object(entry, UNLINK, b"';");
    }
    if drop.is_empty() || drop.starts_with(b"--") {
        return Vec::new();
    }
    if kind == "BLOB" {
        return vec![join(&[UNLINK, entry.oid.to_string().as_bytes(), b"';"])];
    }
    let (table, rest) = match drop.strip_prefix(b"ALTER TABLE") {
        Some(rest) => (&b"ALTER TABLE IF EXISTS"[..], rest),
        None => (&b""[..], drop),
    };
    // These have no IF EXISTS of their own; a view is "dropped" by replacing it with one that has
    // no rule.
    if matches!(kind, "DEFAULT" | "DATABASE PROPERTIES") || rest.starts_with(b"CREATE OR REPLACE VIEW") {
        return vec![join(&[table, rest])];
    }
    let clause = match kind {
        "CONSTRAINT" | "CHECK CONSTRAINT" | "FK CONSTRAINT" => "DROP CONSTRAINT".to_owned(),
        kind => format!("DROP {kind}"),
    };
    let Some(at) = memchr::memmem::find(rest, clause.as_bytes()) else {
        return vec![join(&[table, rest])];
    };
    let (before, after) = rest.split_at(at + clause.len());
    vec![join(&[table, before, b" IF EXISTS", after])]
}
