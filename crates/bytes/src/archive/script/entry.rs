//! One object of a script as an entry of an archive.

use std::collections::HashMap;
use std::ops::Range;

use super::super::model::{Archive, Section, TocEntry};
use super::super::statements::{self, Options, Purpose, SessionState};
use crate::sql::{self, Token, quote_ident_bytes, tokenize};

/// The comment above an object.
#[derive(Debug)]
pub(super) struct Heading {
    pub kind: Vec<u8>,
    pub tag: Vec<u8>,
    namespace: Vec<u8>,
    owner: Vec<u8>,
}

/// An object whose statements are being read.
#[derive(Debug)]
pub(super) struct Open {
    pub heading: Heading,
    pub copy: Option<Vec<u8>>,
    pub data: Option<Range<u64>>,
    text: Vec<Vec<u8>>,
    /// What was set when the object began; the next one's settings come before its comment.
    tablespace: Option<Vec<u8>>,
    table_am: Option<Vec<u8>>,
}

impl Heading {
    /// `-- [Data for ]Name: TAG; Type: KIND; Schema: SCHEMA; Owner: OWNER[; Tablespace: …]`.
    pub(super) fn parse(line: &[u8]) -> Option<Heading> {
        let rest = line.strip_prefix(b"-- ")?;
        let rest =
            rest.strip_prefix(b"Data for ").or_else(|| rest.strip_prefix(b"Statistics for ")).unwrap_or(rest);
        let rest = rest.strip_prefix(b"Name: ")?;
        let (tag, rest) = cut(rest, b"; Type: ")?;
        let (kind, rest) = cut(rest, b"; Schema: ")?;
        let (namespace, owner) = cut(rest, b"; Owner: ")?;
        let owner = cut(owner, b"; Tablespace: ").map_or(owner, |(owner, _)| owner);
        let named = |text: &[u8]| if text == b"-" { Vec::new() } else { text.to_vec() };
        Some(Heading {
            kind: kind.to_vec(),
            tag: tag.to_vec(),
            namespace: named(namespace),
            owner: named(owner),
        })
    }
}

/// Before and behind the last place of a mark: names may hold the same text, and are on the left.
fn cut<'t>(text: &'t [u8], mark: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = memchr::memmem::rfind(text, mark)?;
    Some((text.get(..at)?, text.get(at + mark.len()..)?))
}

impl Open {
    pub(super) fn new(heading: Heading, tablespace: Option<Vec<u8>>, table_am: Option<Vec<u8>>) -> Open {
        Open { heading, copy: None, data: None, text: Vec::new(), tablespace, table_am }
    }

    /// A statement or a comment that belongs to the object.
    pub(super) fn add(&mut self, text: &[u8]) {
        self.text.push(text.to_vec());
    }

    pub(super) fn into_entry(self, id: i32) -> TocEntry {
        let Open { heading, copy, data, mut text, tablespace, table_am } = self;
        let kind = String::from_utf8_lossy(&heading.kind).into_owned();
        if kind == "TABLE DATA" {
            // What switches triggers off and on around the rows is a restore's own business.
            text.retain(|text| text.starts_with(b"--"));
        }
        let stored = matches!(kind.as_str(), "TABLE" | "INDEX" | "CONSTRAINT" | "MATERIALIZED VIEW");
        let with_am = matches!(kind.as_str(), "TABLE" | "MATERIALIZED VIEW");
        let mut defn = text.join(&b"\n"[..]);
        if !defn.is_empty() {
            defn.push(b'\n');
        }
        let mut entry = TocEntry {
            had_dumper: data.is_some(),
            copy_stmt: Some(copy.unwrap_or_default()),
            tablespace: tablespace.filter(|_| stored),
            table_am: table_am.filter(|_| with_am),
            ..bare(id, section(&kind), heading.kind, heading.tag, defn)
        };
        entry.namespace = Some(heading.namespace);
        entry.owner = Some(heading.owner);
        if entry.kind() == "BLOB METADATA" {
            group_of_large_objects(&mut entry);
        }
        entry
    }
}

fn bare(id: i32, section: Section, kind: Vec<u8>, tag: Vec<u8>, defn: Vec<u8>) -> TocEntry {
    let oid = std::str::from_utf8(&tag)
        .ok()
        .filter(|_| kind == b"BLOB")
        .and_then(|tag| tag.parse().ok())
        .unwrap_or(0);
    TocEntry {
        dump_id: id,
        had_dumper: false,
        table_oid: 0,
        oid,
        tag: Some(tag),
        desc: Some(kind),
        section,
        defn: Some(defn),
        drop_stmt: Some(Vec::new()),
        copy_stmt: Some(Vec::new()),
        namespace: Some(Vec::new()),
        tablespace: None,
        table_am: None,
        relkind: Some(0),
        owner: Some(Vec::new()),
        with_oids: Some(b"false".to_vec()),
        dependencies: Vec::new(),
        file_name: Some(Vec::new()),
        offset: None,
        shown: None,
    }
}

/// ENCODING, STDSTRINGS or SEARCHPATH.
pub(super) fn setting(id: i32, kind: &str, sql: &[u8]) -> TocEntry {
    bare(id, Section::PreData, kind.into(), kind.into(), sql.to_vec())
}

/// A database that the script takes to be there.
pub(super) fn database(id: i32, name: &[u8]) -> TocEntry {
    let defn =
        [b"CREATE DATABASE ", quote_ident_bytes(name).as_slice(), b" WITH TEMPLATE = template0;\n"].concat();
    bare(id, Section::PreData, b"DATABASE".to_vec(), name.to_vec(), defn)
}

fn section(kind: &str) -> Section {
    match kind {
        "ACL" | "COMMENT" | "SECURITY LABEL" => Section::None,
        "TABLE DATA" | "SEQUENCE SET" | "BLOBS" | "STATISTICS DATA" => Section::Data,
        "INDEX"
        | "INDEX ATTACH"
        | "CONSTRAINT"
        | "FK CONSTRAINT"
        | "CHECK CONSTRAINT"
        | "TRIGGER"
        | "RULE"
        | "POLICY"
        | "ROW SECURITY"
        | "EVENT TRIGGER"
        | "MATERIALIZED VIEW DATA"
        | "PUBLICATION"
        | "PUBLICATION TABLE"
        | "PUBLICATION TABLES IN SCHEMA"
        | "SUBSCRIPTION"
        | "SUBSCRIPTION TABLE"
        | "STATISTICS"
        | "DEFAULT ACL" => Section::PostData,
        _ => Section::PreData,
    }
}

/// From 17 on a group of large objects is one object, with a call for each; an archive lists the
/// numbers.
fn group_of_large_objects(entry: &mut TocEntry) {
    let defn = entry.defn.take().unwrap_or_default();
    let mut numbers = Vec::new();
    let mut owner = None;
    for statement in sql::split(&defn) {
        let tokens: Vec<Token<'_>> = tokenize(statement).filter(|token| !token.is_blank()).collect();
        if tokens.iter().any(|token| token.is_word("lo_create")) {
            let number = tokens.iter().find_map(|token| token.text.strip_prefix(b"'")?.strip_suffix(b"'"));
            numbers.extend_from_slice(number.unwrap_or_default());
            numbers.push(b'\n');
        } else if tokens.first().is_some_and(|token| token.is_word("alter")) {
            owner = owner.or_else(|| owner_of(statement).map(|(_, owner)| owner));
        }
    }
    entry.defn = Some(numbers);
    entry.drop_stmt = Some(b"-- dropped one by one\n".to_vec());
    entry.owner = Some(owner.unwrap_or_default());
}

/// Names with line feeds are written with blanks in comments: those that occur in the SQL are put
/// back.
pub(super) fn true_names(entries: &mut [TocEntry]) {
    let mut names: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    for entry in entries.iter() {
        let sql = [entry.defn_bytes(), entry.copy_stmt.as_deref().unwrap_or_default()].concat();
        for name in tokenize(&sql).filter_map(|token| token.ident()) {
            if name.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
                names.insert(shown(&name), name);
            }
        }
    }
    if names.is_empty() {
        return;
    }
    for entry in entries {
        for field in [&mut entry.tag, &mut entry.namespace, &mut entry.owner].into_iter().flatten() {
            if let Some(name) = names.get(field) {
                field.clone_from(name);
            }
        }
    }
}

/// A name as pg_dump writes it into a comment.
fn shown(name: &[u8]) -> Vec<u8> {
    name.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

/// Object and owner of `ALTER object OWNER TO owner;`.
fn owner_of(statement: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let tokens: Vec<Token<'_>> = tokenize(statement).filter(|token| !token.is_blank()).collect();
    let [.., owner, to, name, end] = tokens.as_slice() else { return None };
    let begins =
        tokens.first()?.is_word("alter") && owner.is_word("owner") && to.is_word("to") && end.is_symbol(b';');
    let object = statement.get(tokens.first()?.end()..owner.start)?.trim_ascii();
    begins.then_some((object, name.ident()?))
}

/// Takes the owners' statements out of the definitions into the field, with a drop statement next
/// to it, wherever a restore of the entry then says the very same.
pub(super) fn owners(archive: &mut Archive) {
    for at in 0..archive.entries.len() {
        let Some(entry) = archive.entries.get(at) else { continue };
        if let Some(changed) = with_owner(archive, entry).or_else(|| droppable_key(entry))
            && let Some(entry) = archive.entries.get_mut(at)
        {
            *entry = changed;
        }
    }
}

fn with_owner(archive: &Archive, entry: &TocEntry) -> Option<TocEntry> {
    let statements = sql::split(entry.defn_bytes());
    let (place, (object, owner)) =
        statements.iter().enumerate().find_map(|(place, statement)| Some((place, owner_of(statement)?)))?;
    let kind = entry.kind();
    let named = [kind, "TABLE"].iter().find_map(|kind| object.strip_prefix(kind.as_bytes()));
    let drop = match (kind, named) {
        ("BLOB", _) => [b"SELECT pg_catalog.lo_unlink('", entry.tag_bytes(), b"');\n"].concat(),
        (_, Some(name)) => [b"DROP ", kind.as_bytes(), name, b";\n"].concat(),
        (_, None) => return None,
    };
    let comments = entry.defn_bytes().split(|byte| *byte == b'\n').take_while(|line| line.starts_with(b"--"));
    let kept = statements.iter().enumerate().filter(|(at, _)| *at != place).map(|(_, statement)| *statement);
    let mut defn = comments.chain(kept).collect::<Vec<_>>().join(&b"\n"[..]);
    defn.push(b'\n');
    let changed = TocEntry { defn: Some(defn), drop_stmt: Some(drop), owner: Some(owner), ..entry.clone() };
    let said = statements::statements(archive, &changed, &Options::default(), &mut SessionState::default());
    let same = said.iter().any(|said| {
        said.purpose == Purpose::Owner
            && statements.get(place).is_some_and(|own| says_the_same(&said.sql, own))
    });
    same.then_some(changed)
}

/// The same words and names: --quote-all-identifiers writes quotes around names that need none.
fn says_the_same(one: &[u8], other: &[u8]) -> bool {
    let words = |sql: &[u8]| -> Vec<Vec<u8>> {
        let tokens = tokenize(sql).filter(|token| !token.is_blank());
        tokens.map(|token| token.ident().unwrap_or_else(|| token.text.to_vec())).collect()
    };
    words(one) == words(other)
}

/// A foreign key, which would keep its tables from being dropped.
fn droppable_key(entry: &TocEntry) -> Option<TocEntry> {
    if entry.kind() != "FK CONSTRAINT" {
        return None;
    }
    let defn = entry.defn_bytes();
    let tokens: Vec<Token<'_>> = tokenize(defn).filter(|token| !token.is_blank()).collect();
    let add =
        tokens.windows(2).find(|two| two.iter().map(|t| t.text).eq([b"ADD".as_slice(), b"CONSTRAINT"]))?;
    let [add, constraint] = add else { return None };
    let name = tokens.iter().find(|token| token.start > constraint.start)?;
    let table = defn.get(..add.start)?.trim_ascii();
    let drop = [table, b" DROP CONSTRAINT ", name.text, b";\n"].concat();
    Some(TocEntry { drop_stmt: Some(drop), ..entry.clone() })
}
