//! What restoring an entry reads that its dependencies do not name: rows of other tables.
//!
//! A CHECK constraint, a generated column, a domain, an index or a materialised view may call a
//! function, and the function may look into another table, whatever it was declared as. The archive
//! names the function, not what the function reads. A restore by one connection gets through by its
//! order; one by many must know.
//!
//! **What is known.** The body of a function in `sql` or `plpgsql` can only read what it names: a
//! relation, another function, an operator, a type. Every word of it (also in strings and comments)
//! that is such a name counts, and what that reads counts too. Dynamic SQL, other languages and
//! functions of extensions that are not known could read anything ([`What::anything`]). C functions
//! that are declared immutable, and functions of well-known extensions, read nothing but the
//! extension's own tables.
//!
//! **What is not evaluated.** COPY brings every column, so defaults do not count.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use super::model::TocEntry;
use super::passes::data_of;
use super::selection::Selection;
use super::unnamed::partitions;
use crate::sql::{Kind, Token, tokenize};

/// Extensions whose functions look into no table but the extension's own, or only by the words of
/// [`DYNAMIC`].
const QUIET: [&str; 74] = [
    "address_standardizer",
    "adminpack",
    "amcheck",
    "autoinc",
    "bloom",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dblink",
    "dict_int",
    "dict_xsyn",
    "earthdistance",
    "file_fdw",
    "fuzzystrmatch",
    "h3",
    "h3_postgis",
    "hll",
    "hstore",
    "insert_username",
    "intagg",
    "intarray",
    "ip4r",
    "isn",
    "lo",
    "ltree",
    "moddatetime",
    "numeral",
    "old_snapshot",
    "orafce",
    "pageinspect",
    "pg_bigm",
    "pg_buffercache",
    "pg_cron",
    "pg_freespacemap",
    "pg_hint_plan",
    "pg_prewarm",
    "pg_repack",
    "pg_similarity",
    "pg_stat_statements",
    "pg_surgery",
    "pg_trgm",
    "pg_uuidv7",
    "pg_visibility",
    "pg_walinspect",
    "pgaudit",
    "pgcrypto",
    "pgrowlocks",
    "pgstattuple",
    "plperl",
    "plperlu",
    "plpgsql",
    "plpython3u",
    "pltcl",
    "pltclu",
    "plv8",
    "postgis",
    "postgis_raster",
    "postgis_sfcgal",
    "postgres_fdw",
    "prefix",
    "rum",
    "seg",
    "semver",
    "sslinfo",
    "tablefunc",
    "tcn",
    "tsm_system_rows",
    "tsm_system_time",
    "uint",
    "unaccent",
    "uuid-ossp",
    "vector",
    "xml2",
];

/// Words of a body by which it runs SQL that is in a value, or reads large objects. Longer words
/// that begin so count, too.
const DYNAMIC: [&str; 16] = [
    "execute",
    "query_to_xml",
    "cursor_to_xml",
    "table_to_xml",
    "schema_to_xml",
    "database_to_xml",
    "ts_stat",
    "ts_rewrite",
    "lo_get",
    "lo_open",
    "loread",
    "pg_largeobject",
    "dblink",
    "crosstab",
    "connectby",
    "xpath_table",
];

/// What an entry reads in addition to its own table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct What {
    /// Indexes of entries that hold rows or sequence values.
    pub rows: BTreeSet<usize>,
    /// Indexes of MATERIALIZED VIEW DATA entries.
    pub views: BTreeSet<usize>,
    /// It could read anything.
    pub anything: bool,
}

impl What {
    /// It reads nothing.
    pub fn is_nothing(&self) -> bool {
        !self.anything && self.rows.is_empty() && self.views.is_empty()
    }

    fn add(&mut self, other: &What) {
        self.rows.extend(&other.rows);
        self.views.extend(&other.views);
        self.anything |= other.anything;
    }
}

/// What the entries of an archive read.
pub struct Reads<'a> {
    entries: &'a [TocEntry],
    by_id: HashMap<i32, usize>,
    data_of: HashMap<i32, usize>,
    /// TABLE DATA of tables that an extension makes, in the archive's order.
    configuration: Vec<usize>,
    /// What a body may name, by lower-case name.
    names: HashMap<Vec<u8>, Vec<usize>>,
    /// Names that are no plain words, operators among them.
    odd: Vec<(Vec<u8>, usize)>,
    /// Functions, operator classes and the like by schema and name.
    qualified: HashMap<(Vec<u8>, Vec<u8>), Vec<usize>>,
    /// By dump id: partitions and inheriting tables, directly.
    children: HashMap<i32, Vec<i32>>,
    parents: HashMap<i32, Vec<i32>>,
    /// By dump id of a view: its `_RETURN` rules.
    rules: HashMap<i32, Vec<usize>>,
    /// By dump id of a sequence or materialised view: the entries of its value or contents.
    contents: HashMap<i32, Vec<usize>>,
    casts: Vec<usize>,
    default_classes: Vec<usize>,
    /// An extension that is not in [`QUIET`] is there; and the schemas that only others are in.
    has_unknown_extension: bool,
    quiet_schemas: HashSet<Vec<u8>>,
    known: HashMap<usize, Rc<What>>,
    steps: HashMap<usize, Rc<Step>>,
}

/// What one object reads by itself, and the objects that it uses.
#[derive(Debug, Default)]
struct Step {
    what: What,
    next: Vec<usize>,
}

impl<'a> Reads<'a> {
    /// Of an archive's entries. `None` if nothing in it can read anything: it has neither functions
    /// nor extensions.
    pub fn of(entries: &'a [TocEntry]) -> Option<Reads<'a>> {
        let may_read =
            |e: &TocEntry| is_routine(e) || (e.kind() == "EXTENSION" && e.tag_bytes() != b"plpgsql");
        if !entries.iter().any(may_read) {
            return None;
        }
        let mut reads = Reads {
            entries,
            by_id: entries.iter().enumerate().map(|(index, e)| (e.dump_id, index)).collect(),
            data_of: data_of(entries),
            configuration: configuration(entries),
            names: HashMap::new(),
            odd: Vec::new(),
            qualified: HashMap::new(),
            children: HashMap::new(),
            parents: HashMap::new(),
            rules: HashMap::new(),
            contents: HashMap::new(),
            casts: Vec::new(),
            default_classes: Vec::new(),
            has_unknown_extension: false,
            quiet_schemas: HashSet::new(),
            known: HashMap::new(),
            steps: HashMap::new(),
        };
        reads.learn_names();
        reads.learn_families();
        reads.learn_extensions();
        Some(reads)
    }

    fn learn_names(&mut self) {
        let configuration: HashSet<usize> = self.configuration.iter().copied().collect();
        for (index, entry) in self.entries.iter().enumerate() {
            let is_object = match entry.kind() {
                "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" | "SEQUENCE" | "TYPE" | "DOMAIN" => {
                    true
                }
                "OPERATOR CLASS" => {
                    self.default_classes.extend(is_default_class(entry).then_some(index));
                    true
                }
                "SEQUENCE SET" | "MATERIALIZED VIEW DATA" => {
                    if let Some(&of) = entry.dependencies.first() {
                        self.contents.entry(of).or_default().push(index);
                    }
                    false
                }
                "TABLE DATA" => configuration.contains(&index),
                "OPERATOR" => {
                    self.odd.push((entry.tag_bytes().to_vec(), index));
                    false
                }
                "CAST" => {
                    self.casts.push(index);
                    false
                }
                "RULE" if entry.tag_bytes().ends_with(b" _RETURN") => {
                    for id in &entry.dependencies {
                        self.rules.entry(*id).or_default().push(index);
                    }
                    false
                }
                _ => is_routine(entry),
            };
            if !is_object {
                continue;
            }
            let name = bare_name(entry);
            let place = (entry.namespace.clone().unwrap_or_default(), name.to_vec());
            if is_routine(entry) || entry.kind() == "OPERATOR CLASS" {
                self.qualified.entry(place).or_default().push(index);
            }
            if name.iter().all(|&byte| is_word_byte(byte)) {
                self.names.entry(name.to_ascii_lowercase()).or_default().push(index);
            } else {
                self.odd.push((name.to_ascii_lowercase(), index));
            }
        }
    }

    fn learn_families(&mut self) {
        let is_table = |id: &i32| {
            let entry = self.by_id.get(id).and_then(|&index| self.entries.get(index));
            entry.is_some_and(|entry| matches!(entry.kind(), "TABLE" | "FOREIGN TABLE"))
        };
        let mut pairs: Vec<(i32, i32)> = Vec::new();
        for (parent, below) in partitions(self.entries) {
            pairs.extend(below.into_iter().map(|child| (parent, child)));
        }
        for entry in self.entries.iter().filter(|entry| entry.kind() == "TABLE") {
            let above = entry.dependencies.iter().copied().filter(is_table);
            pairs.extend(above.filter(|id| *id != entry.dump_id).map(|parent| (parent, entry.dump_id)));
        }
        for (parent, child) in pairs {
            self.children.entry(parent).or_default().push(child);
            self.parents.entry(child).or_default().push(parent);
        }
    }

    fn learn_extensions(&mut self) {
        let mut loud: HashSet<Vec<u8>> = HashSet::new();
        for entry in self.entries.iter().filter(|entry| entry.kind() == "EXTENSION") {
            let tokens = solid(entry.defn_bytes());
            let schema = tokens.iter().position(|token| token.is_word("schema"));
            let schema = schema.and_then(|at| tokens.get(at + 1)).and_then(Token::ident).unwrap_or_default();
            if QUIET.iter().any(|name| name.as_bytes() == entry.tag_bytes()) {
                self.quiet_schemas.insert(schema);
            } else {
                self.has_unknown_extension = true;
                loud.insert(schema);
            }
        }
        self.quiet_schemas.retain(|schema| !loud.contains(schema));
    }

    /// What loading a TABLE DATA entry's rows reads. What the selection does not create is there
    /// already, with its indexes and, where they fire, its triggers.
    pub fn by_load(
        &mut self,
        data: usize,
        selection: &Selection,
        triggers_fire: bool,
        on_table: &OnTable,
    ) -> What {
        let mut what = What::default();
        let Some(entry) = self.entries.get(data).filter(|entry| entry.kind() == "TABLE DATA") else {
            return what;
        };
        let Some(&table) = entry.dependencies.first() else { return what };
        let mut seen = HashSet::from([table]);
        let mut open = vec![table];
        while let Some(id) = open.pop() {
            if let Some(&index) = self.by_id.get(&id) {
                what.add(&self.by_definition(index));
            }
            if !selection.contains(id) {
                for &index in on_table.0.get(&id).into_iter().flatten() {
                    let is_trigger = self.entries.get(index).is_some_and(|entry| entry.kind() == "TRIGGER");
                    if triggers_fire || !is_trigger {
                        what.add(&self.by_definition(index));
                    }
                }
            }
            open.extend(self.parents.get(&id).into_iter().flatten().copied().filter(|id| seen.insert(*id)));
        }
        what.rows.remove(&data);
        what
    }

    /// What making an index or a constraint, or filling a materialised view, reads.
    pub fn by_making(&mut self, index: usize) -> What {
        let Some(entry) = self.entries.get(index) else { return What::default() };
        match entry.kind() {
            "INDEX" | "CONSTRAINT" | "CHECK CONSTRAINT" | "FK CONSTRAINT" => self.by_definition(index),
            "MATERIALIZED VIEW DATA" => {
                let view = entry.dependencies.first().and_then(|id| self.by_id.get(id)).copied();
                let mut what = view.map(|view| self.by_definition(view)).unwrap_or_default();
                what.views.remove(&index);
                what
            }
            _ => What::default(),
        }
    }

    /// What evaluating the expressions of a definition reads: by the functions, types, operators
    /// that it names.
    fn by_definition(&mut self, index: usize) -> What {
        let mut what = What::default();
        let Some(entry) = self.entries.get(index) else { return what };
        let tokens = evaluated(entry);
        let mut roots: Vec<usize> = Vec::new();
        for id in &entry.dependencies {
            let Some(&root) = self.by_id.get(id) else { continue };
            let Some(object) = self.entries.get(root) else { continue };
            let counts = match object.kind() {
                // A materialised view evaluates what its views call.
                "VIEW" => entry.kind() == "MATERIALIZED VIEW",
                "TABLE" | "FOREIGN TABLE" | "MATERIALIZED VIEW" | "SEQUENCE" | "SCHEMA" => false,
                _ => {
                    !(entry.kind() == "TABLE"
                        && is_routine(object)
                        && is_only_default(entry, &tokens, object))
                }
            };
            if counts {
                roots.push(root);
            }
        }
        let is_exclusion =
            entry.kind() == "CONSTRAINT" && tokens.iter().any(|token| token.is_word("exclude"));
        if is_exclusion {
            // Its dependencies name the table only.
            let is_table = |root: &usize| {
                self.entries
                    .get(*root)
                    .is_some_and(|e| matches!(e.kind(), "TABLE" | "TABLE DATA" | "FOREIGN TABLE"))
            };
            roots.extend(self.named_in(entry.defn_bytes(), index).into_iter().filter(|root| !is_table(root)));
        }
        if entry.kind() != "FK CONSTRAINT" {
            for place in calls(&tokens, entry.kind() == "TABLE") {
                what.anything |= is_dynamic(&place.1);
                match self.qualified.get(&place) {
                    Some(found) => roots.extend(found.iter().copied().filter(|root| *root != index)),
                    None => what.anything |= self.is_loud(&place.0),
                }
            }
        }
        if matches!(entry.kind(), "INDEX" | "CONSTRAINT") {
            // The operators of a key's column may be a user's own, by the column's type.
            roots.extend(&self.default_classes);
        }
        roots.sort_unstable();
        roots.dedup();
        for root in roots {
            let reach = self.reach(root);
            what.add(&reach);
        }
        what
    }

    /// Whether an extension's function in this schema could read anything.
    fn is_loud(&self, schema: &[u8]) -> bool {
        self.has_unknown_extension && schema != b"pg_catalog" && !self.quiet_schemas.contains(schema)
    }

    /// What using an object reads, with all that it uses.
    fn reach(&mut self, from: usize) -> Rc<What> {
        if let Some(known) = self.known.get(&from) {
            return Rc::clone(known);
        }
        let mut what = What::default();
        let mut seen = HashSet::from([from]);
        let mut open = vec![from];
        while let Some(index) = open.pop() {
            let step = self.step(index);
            what.add(&step.what);
            open.extend(step.next.iter().copied().filter(|next| seen.insert(*next)));
        }
        let what = Rc::new(what);
        self.known.insert(from, Rc::clone(&what));
        what
    }

    fn step(&mut self, index: usize) -> Rc<Step> {
        if let Some(step) = self.steps.get(&index) {
            return Rc::clone(step);
        }
        let step = Rc::new(self.make_step(index));
        self.steps.insert(index, Rc::clone(&step));
        step
    }

    fn make_step(&self, index: usize) -> Step {
        let mut step = Step::default();
        let Some(entry) = self.entries.get(index) else { return step };
        let named = |step: &mut Step| {
            step.next.extend(entry.dependencies.iter().filter_map(|id| self.by_id.get(id)).copied());
        };
        match entry.kind() {
            "TABLE" => {
                // Rows of the table, and of those that a query of it reads with them.
                let mut seen = HashSet::from([entry.dump_id]);
                let mut open = vec![entry.dump_id];
                while let Some(id) = open.pop() {
                    step.what.rows.extend(self.data_of.get(&id));
                    let below = self.children.get(&id).into_iter().flatten().copied();
                    open.extend(below.filter(|id| seen.insert(*id)));
                }
            }
            "TABLE DATA" => drop(step.what.rows.insert(index)),
            "SEQUENCE" => step.what.rows.extend(self.contents.get(&entry.dump_id).into_iter().flatten()),
            "MATERIALIZED VIEW" => {
                step.what.views.extend(self.contents.get(&entry.dump_id).into_iter().flatten());
            }
            // It may lead back into this very database.
            "FOREIGN TABLE" => step.what.anything = true,
            "VIEW" => {
                named(&mut step);
                step.next.extend(self.rules.get(&entry.dump_id).into_iter().flatten());
                step.what.anything |= calls(&solid(entry.defn_bytes()), false)
                    .iter()
                    .any(|place| !self.qualified.contains_key(place) && self.is_loud(&place.0));
            }
            "EXTENSION" => step.what.rows.extend(&self.configuration),
            "FUNCTION" | "PROCEDURE" => {
                named(&mut step);
                self.routine(index, entry, &mut step);
            }
            // What a language, an access method or a server needs is not called for a row.
            "SCHEMA"
            | "PROCEDURAL LANGUAGE"
            | "ACCESS METHOD"
            | "FOREIGN DATA WRAPPER"
            | "SERVER"
            | "TABLE ATTACH"
            | "CONSTRAINT"
            | "INDEX" => {}
            // Types, operators and their classes, aggregates, casts, rules of views.
            _ => named(&mut step),
        }
        step
    }

    /// What a routine's body reads.
    fn routine(&self, index: usize, entry: &TocEntry, step: &mut Step) {
        let tokens = solid(entry.defn_bytes());
        let language = tokens.iter().position(|token| token.is_word("language"));
        let language = language.and_then(|at| tokens.get(at + 1)).and_then(Token::ident).unwrap_or_default();
        let has = |word: &str| tokens.iter().any(|token| token.is_word(word));
        let body = entry.defn_bytes().to_ascii_lowercase();
        let contains = |text: &[u8]| memchr::memmem::find(&body, text).is_some();
        match language.as_slice() {
            b"sql" | b"plpgsql" | b"internal" => {
                // An escaped name is no word.
                step.what.anything |= contains(b"u&\"") || contains(b"u&'");
                step.what.anything |= words(&body).any(is_dynamic);
                if self.has_unknown_extension {
                    // Names without a schema are looked up in a path of the function's own, if it
                    // has one.
                    let has_path = has("set") && contains(b"search_path");
                    let inner = inner_tokens(&tokens);
                    let calls = inner.iter().flat_map(|text| calls(&solid(text), false));
                    step.what.anything |= has_path
                        || calls
                            .into_iter()
                            .any(|place| !self.qualified.contains_key(&place) && self.is_loud(&place.0));
                }
                step.next.extend(self.named_in(entry.defn_bytes(), index));
                step.next.extend(&self.casts);
            }
            b"c" => step.what.anything |= !has("immutable"),
            b"plperl" | b"plperlu" | b"pltcl" | b"pltclu" => step.what.anything |= contains(b"spi_"),
            b"plpython3u" | b"plpythonu" | b"plpython2u" => {
                step.what.anything |= contains(b"plpy") || contains(b"import")
            }
            _ => step.what.anything = true,
        }
    }

    /// The objects that a text names, wherever in it. `own`: the entry itself, which does not
    /// count.
    fn named_in(&self, text: &[u8], own: usize) -> Vec<usize> {
        let text = text.to_ascii_lowercase();
        let mut found: BTreeSet<usize> = BTreeSet::new();
        for word in words(&text) {
            found.extend(self.names.get(word).into_iter().flatten());
        }
        for (name, index) in &self.odd {
            if memchr::memmem::find(&text, name).is_some() {
                found.insert(*index);
            }
        }
        found.remove(&own);
        found.into_iter().collect()
    }
}

/// Indexes, constraints and triggers by the dump id of the table that they are on.
pub struct OnTable(HashMap<i32, Vec<usize>>);

impl OnTable {
    /// Of an archive's entries.
    pub fn of(entries: &[TocEntry]) -> OnTable {
        let mut on: HashMap<i32, Vec<usize>> = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            if matches!(entry.kind(), "INDEX" | "CONSTRAINT" | "CHECK CONSTRAINT" | "TRIGGER") {
                let ids: BTreeSet<i32> = entry.dependencies.iter().copied().collect();
                for id in ids {
                    on.entry(id).or_default().push(index);
                }
            }
        }
        OnTable(on)
    }
}

/// TABLE DATA entries whose table the archive does not make: an extension does, with its foreign
/// keys and triggers.
pub fn configuration(entries: &[TocEntry]) -> Vec<usize> {
    let tables: HashSet<i32> =
        entries.iter().filter(|e| matches!(e.kind(), "TABLE" | "FOREIGN TABLE")).map(|e| e.dump_id).collect();
    if !entries.iter().any(|e| e.kind() == "EXTENSION") {
        return Vec::new();
    }
    entries
        .iter()
        .enumerate()
        .filter(|(_, e)| e.kind() == "TABLE DATA")
        .filter(|(_, e)| e.dependencies.first().is_none_or(|table| !tables.contains(table)))
        .map(|(index, _)| index)
        .collect()
}

fn is_routine(entry: &TocEntry) -> bool {
    matches!(entry.kind(), "FUNCTION" | "PROCEDURE" | "AGGREGATE")
}

fn is_default_class(entry: &TocEntry) -> bool {
    entry.kind() == "OPERATOR CLASS" && solid(entry.defn_bytes()).iter().any(|token| token.is_word("default"))
}

/// A routine's tag has its arguments.
fn bare_name(entry: &TocEntry) -> &[u8] {
    let tag = entry.tag_bytes();
    if is_routine(entry) { tag.split(|byte| *byte == b'(').next().unwrap_or(tag) } else { tag }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| !is_word_byte(byte)).filter(|word| !word.is_empty())
}

fn solid(text: &[u8]) -> Vec<Token<'_>> {
    tokenize(text).filter(|token| !token.is_blank()).collect()
}

/// The texts in the strings of a definition: a routine's body is one of them.
fn inner_tokens<'t>(tokens: &[Token<'t>]) -> Vec<&'t [u8]> {
    let strings = tokens.iter().filter(|token| matches!(token.kind, Kind::DollarString | Kind::String));
    strings.map(|token| token.text.trim_ascii()).map(without_quotes).collect()
}

fn without_quotes(text: &[u8]) -> &[u8] {
    let end = match text.first() {
        Some(b'$') => text.iter().skip(1).position(|byte| *byte == b'$').map_or(1, |at| at + 2),
        _ => text.iter().position(|byte| *byte == b'\'').map_or(1, |at| at + 1),
    };
    text.get(end..text.len().saturating_sub(if text.first() == Some(&b'$') { end } else { 1 }))
        .unwrap_or_default()
}

/// The tokens of a definition that are evaluated when rows come: of a table all but its defaults.
fn evaluated(entry: &TocEntry) -> Vec<Token<'_>> {
    let tokens = solid(entry.defn_bytes());
    if entry.kind() != "TABLE" {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len());
    let (mut depth, mut in_default) = (0usize, false);
    for token in tokens {
        match token.kind {
            Kind::Symbol(b'(' | b'[') => depth += 1,
            Kind::Symbol(b')' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        let ends = depth == 0
            || depth == 1
                && (token.is_symbol(b',')
                    || ["not", "constraint", "check", "generated"].iter().any(|word| token.is_word(word)));
        if in_default && ends {
            in_default = false;
        }
        in_default |= depth == 1 && token.is_word("default");
        if !in_default {
            out.push(token);
        }
    }
    out
}

/// A table's definition uses the routine in a default, and nowhere else.
fn is_only_default(table: &TocEntry, evaluated: &[Token<'_>], routine: &TocEntry) -> bool {
    let name = bare_name(routine);
    let names = |token: &Token<'_>| token.ident().is_some_and(|ident| ident == name);
    !evaluated.iter().any(names) && solid(table.defn_bytes()).iter().any(names)
}

fn is_dynamic(word: &[u8]) -> bool {
    DYNAMIC.iter().any(|dynamic| word.starts_with(dynamic.as_bytes()))
}

/// The schema and name of every function that is called with its schema. `has_columns`: the
/// definition of a table.
fn calls(tokens: &[Token<'_>], has_columns: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Symbol(b'(') => depth += 1,
            Kind::Symbol(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is = |n: usize, symbol: u8| tokens.get(at + n).is_some_and(|token| token.is_symbol(symbol));
        if !is(1, b'.') || !is(3, b'(') {
            continue;
        }
        // A column's type, or a cast to one, with a modifier.
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        let is_type = before.is_some_and(|before| {
            before.is_symbol(b':')
                || (has_columns && depth == 1 && matches!(before.kind, Kind::Word | Kind::QuotedIdent))
        });
        // The table itself: `CREATE TABLE s.t (`.
        let is_head =
            depth == 0 && before.is_some_and(|before| before.is_word("table") || before.is_word("exists"));
        if let (Some(schema), Some(name)) = (token.ident(), tokens.get(at + 2).and_then(Token::ident))
            && !is_type
            && !is_head
        {
            found.push((schema, name));
        }
    }
    found
}
