//! `--clean`: what the target will no longer have, compared with what this run brings back.
//!
//! A DROP takes more than it names: with a partitioned table its partitions, with any table its
//! indexes, triggers, policies and memberships of publications, with an extension everything that
//! it made. And a restore may bring less than the drops take: a table without its rows
//! (`--schema-only`, a backup made with `--exclude-table-data`), a parent without the partitions
//! that are younger than the backup. So the plan follows the catalog's dependencies, as the
//! server's own DROP does, and whatever is not found again among the selected entries, by kind and
//! name, refuses the restore before anything is touched. So does whatever else depends on what is
//! dropped: nothing is ever dropped by CASCADE.
//!
//! The plan is made twice: first for all databases, with reading queries only; then within the
//! transaction that drops, with the tables locked. Behind the drops the catalog is read again: what
//! is gone and was not in the plan undoes the transaction.

mod drops;
mod inventory;

use std::collections::{HashMap, HashSet};

use pgark_bytes::archive::TocEntry;
use pgark_bytes::archive::identity::{Identity, made, qualified, words_of_definition};
use pgark_bytes::sql::quote_literal_bytes;
use pgark_pg::Connection;

use self::inventory::{Address, Inventory, Object};
use super::place::DatabaseRestore;
use super::report::PlannedDrop;
use super::target;
use crate::OpsError;
use crate::advice::{Advice, Setting, advice};
use crate::error::Doing;
use crate::watch::Watch;

pub(super) use drops::drop_all;

/// What `--clean` means for one database.
#[derive(Default)]
pub(super) struct Drops {
    /// Everything that is dropped, parts of others left out.
    pub list: Vec<PlannedDrop>,
    /// What would be lost.
    pub losses: Vec<String>,
    /// What depends on something that is dropped, and stays.
    pub obstacles: Vec<String>,
    /// Everything that is dropped.
    dropped: HashSet<Address>,
    /// Names of the tables among it.
    tables: Vec<Vec<u8>>,
}

/// Catalogs of which the archive's names and the server's are sure to agree.
const SURE: [&str; 9] = [
    "pg_class",
    "pg_rewrite",
    "pg_constraint",
    "pg_trigger",
    "pg_policy",
    "pg_proc",
    "pg_type",
    "pg_statistic_ext",
    "pg_publication_rel",
];

/// How the places of what comes are found.
struct Coming<'a> {
    /// Everything that the run makes.
    made: HashSet<Identity>,
    /// What the archive's own statements drop.
    named: HashSet<Identity>,
    /// Relations whose rows, contents or value come.
    filled: HashSet<Vec<u8>>,
    /// Tables by name.
    tables: HashMap<Vec<u8>, &'a TocEntry>,
    /// Partitions that are attached to their parents.
    attached: HashSet<Vec<u8>>,
}

impl<'a> Coming<'a> {
    fn of(place: &'a DatabaseRestore<'_>) -> Coming<'a> {
        let (selection, contents) = (&place.picked.selection, &place.contents);
        let mut coming = Coming {
            made: HashSet::new(),
            named: HashSet::new(),
            filled: HashSet::new(),
            tables: HashMap::new(),
            attached: HashSet::new(),
        };
        let name =
            |entry: &TocEntry| qualified(entry.namespace.as_deref().unwrap_or_default(), entry.tag_bytes());
        for entry in contents.archive.entries.iter().filter(|entry| selection.contains(entry.dump_id)) {
            match entry.kind() {
                "TABLE DATA" if contents.tables.contains_key(&entry.dump_id) => {
                    coming.filled.insert(name(entry));
                }
                "SEQUENCE SET" | "MATERIALIZED VIEW DATA" => {
                    coming.filled.insert(name(entry));
                }
                "TABLE ATTACH" => {
                    coming.attached.insert(name(entry));
                }
                "TABLE" | "FOREIGN TABLE" => {
                    coming.tables.insert(name(entry), entry);
                }
                _ => {}
            }
            let Some(identity) = made(entry) else { continue };
            let drop = entry.drop_stmt.as_deref().unwrap_or_default();
            if !drop.is_empty() && !drop.starts_with(b"--") && !place.picked.is_helper(entry.dump_id) {
                coming.named.insert(identity.clone());
            }
            coming.made.insert(identity);
        }
        coming
    }
}

/// The plan of the drops; reads only.
pub(super) fn plan(place: &DatabaseRestore<'_>, watch: &Watch) -> Result<Drops, OpsError> {
    let mut connection = target::connect(place, watch)?;
    let doing = "find what would be dropped";
    connection.execute("BEGIN READ ONLY").doing(doing)?;
    let inventory = Inventory::read(&mut connection)?;
    let drops = Drops::of(place, &inventory, &mut connection)?;
    connection.execute("ROLLBACK").doing(doing)?;
    Ok(drops)
}

/// Relations of the target that the archive does not have: someone else made them.
pub(super) fn strangers(place: &DatabaseRestore<'_>, watch: &Watch) -> Result<Vec<String>, OpsError> {
    let mut connection = target::connect(place, watch)?;
    let inventory = Inventory::read(&mut connection)?;
    let coming = Coming::of(place);
    let all: HashSet<Address> = inventory.objects.keys().copied().collect();
    let of_extensions = of_extensions(&inventory, &all);
    let is_strange = |(address, object): &(&Address, &Object)| {
        object.catalog == "pg_class"
            && !object.is_part
            && !of_extensions.contains(*address)
            && !is_made(&coming, &inventory, object)
            // An index of a constraint that is not attached yet, a sequence of a column: they go
            // with their tables.
            && matches!(object.detail, b'r' | b'p' | b'v' | b'm' | b'f')
    };
    let strangers = inventory.objects.iter().filter(is_strange);
    Ok(strangers.map(|(_, object)| object.describe()).collect())
}

impl Drops {
    /// Follows the dependencies from what the archive's statements name.
    fn of(
        place: &DatabaseRestore<'_>,
        inventory: &Inventory,
        connection: &mut Connection,
    ) -> Result<Drops, OpsError> {
        let coming = Coming::of(place);
        let is_named = |object: &Object| {
            coming.named.contains(&Identity { catalog: object.catalog, name: object.name.clone() })
        };
        let named = inventory.objects.iter().filter(|(_, object)| !object.is_part && is_named(object));
        let dropped = with_all_that_goes(inventory, named.map(|(address, _)| *address).collect());
        let mut drops = Drops::judge(place, &coming, inventory, &dropped, connection)?;
        drops.obstacles = obstacles(inventory, &dropped, connection)?;
        drops.dropped = dropped;
        Ok(drops)
    }

    /// Compares what goes with what comes.
    fn judge(
        place: &DatabaseRestore<'_>,
        coming: &Coming<'_>,
        inventory: &Inventory,
        dropped: &HashSet<Address>,
        connection: &mut Connection,
    ) -> Result<Drops, OpsError> {
        let mut drops = Drops::default();
        let of_extensions = of_extensions(inventory, dropped);
        let columns = columns(inventory, dropped, connection)?;
        let inner = inner_parts(inventory, dropped);
        let of_parents = partitions_of_what_stays(inventory, dropped);
        let mut addresses: Vec<&Address> = dropped.iter().collect();
        addresses.sort_unstable();
        for address in addresses {
            let Some(object) = inventory.objects.get(address).filter(|object| !object.is_part) else {
                continue;
            };
            if inner.contains(address) {
                continue;
            }
            let is_relation = object.catalog == "pg_class";
            let is_filled = is_relation && matches!(object.detail, b'r' | b'm' | b'S');
            let lost = if of_extensions.contains(address) {
                // The extension brings it back, but not what users wrote into it.
                let is_of_users = is_filled && inventory.configuration.contains(&address.1);
                match is_of_users && !coming.filled.contains(&object.name) {
                    true => contents_lost(connection, *address, object)?,
                    false => None,
                }
            } else if !is_made(coming, inventory, object) {
                Some("this restore does not include it".to_string())
            } else if is_filled && !coming.filled.contains(&object.name) {
                contents_lost(connection, *address, object)?
            } else if of_parents.contains(address) && !coming.attached.contains(&object.name) {
                Some("it is a partition, and would not be attached to its parent again".to_string())
            } else {
                let missing = missing_columns(coming, object, columns.get(&address.1));
                missing.map(|names| format!("the restored object has no column {names}"))
            };
            if is_relation && matches!(object.detail, b'r' | b'p') {
                drops.tables.push(object.identity.clone());
            }
            let is_table = is_relation && matches!(object.detail, b'r' | b'm');
            let rows = (is_table && object.tuples >= 1.0).then_some(object.tuples as u64);
            let bytes = (is_table && object.bytes > 0).then_some(object.bytes);
            if let Some(why) = &lost {
                let about = rows.map(|rows| format!(" (about {rows} rows)")).unwrap_or_default();
                drops.losses.push(format!("{}{about}: {why}", object.describe()));
            }
            // An extension is named for all its members.
            if lost.is_some() || !of_extensions.contains(address) {
                drops.list.push(PlannedDrop { object: object.describe(), rows, bytes, lost });
            }
        }
        drops.losses.extend(large_objects(place, connection)?);
        Ok(drops)
    }

    /// Why this must not be carried out; nothing was changed yet.
    pub(super) fn refusal(&self, place: &DatabaseRestore<'_>) -> Option<OpsError> {
        let database = place.conninfo.dbname();
        if !self.obstacles.is_empty() {
            return Some(OpsError::refused(
                format!(
                    "the objects to be replaced in database {database:?} cannot be dropped: {}",
                    some(&self.obstacles)
                ),
                advice![
                    "restore what depends on it in the same run, drop it yourself, or ",
                    into_another_database(),
                    "; nothing was dropped",
                ],
            ));
        }
        if self.losses.is_empty() || place.request.accept_loss {
            return None;
        }
        Some(OpsError::refused(
            format!(
                "the drops in database {database:?} would also drop what this restore does not restore: {}",
                some(&self.losses)
            ),
            into_another_database().and(advice![
                ", or select these objects too, so that they are restored; ",
                Setting::DryRun,
                " shows everything that would be dropped, and ",
                Setting::AcceptLoss,
                " drops it permanently; nothing was changed",
            ]),
        ))
    }
}

/// The way that touches nothing that is there.
pub(super) fn into_another_database() -> Advice {
    advice!["restore into another database (", Setting::As.to("NAME"), " ", Setting::Create, ")"]
}

/// At most eight.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown}; and {more} more"),
        _ => shown,
    }
}

/// What goes with these, as DROP without CASCADE takes it.
fn with_all_that_goes(inventory: &Inventory, named: Vec<Address>) -> HashSet<Address> {
    let mut dropped: HashSet<Address> = named.iter().copied().collect();
    let mut open = named;
    while let Some(address) = open.pop() {
        for dependant in inventory.dependants_of(address) {
            // Automatic, internal, of a partition, member of an extension, automatic with an
            // extension.
            let goes =
                dependant.column == 0 && matches!(dependant.kind, b'a' | b'i' | b'P' | b'S' | b'e' | b'x');
            if goes && dropped.insert(dependant.object) {
                open.push(dependant.object);
            }
        }
    }
    dropped
}

/// The members of dropped extensions, with all that goes with them.
fn of_extensions(inventory: &Inventory, dropped: &HashSet<Address>) -> HashSet<Address> {
    let Some(&catalog) = inventory.catalogs.get("pg_extension") else { return HashSet::new() };
    let members = dropped
        .iter()
        .filter(|address| address.0 == catalog)
        .flat_map(|address| inventory.dependants_of(*address))
        .filter(|dependant| dependant.kind == b'e');
    with_all_that_goes(inventory, members.map(|dependant| dependant.object).collect())
}

/// What the server made as a part of something else that is dropped, and makes again with it: the
/// constructors of a range type, its multirange, their cast. Not relations: the sequence of an
/// identity column has a value.
fn inner_parts(inventory: &Inventory, dropped: &HashSet<Address>) -> HashSet<Address> {
    let relations = inventory.catalogs.get("pg_class").copied().unwrap_or_default();
    let inner =
        |dependant: &&inventory::Dependency| dependant.kind == b'i' && dependant.object.0 != relations;
    dropped
        .iter()
        .flat_map(|address| inventory.dependants_of(*address))
        .filter(inner)
        .map(|dependant| dependant.object)
        .collect()
}

/// Dropped partitions of parents that stay.
fn partitions_of_what_stays(inventory: &Inventory, dropped: &HashSet<Address>) -> HashSet<Address> {
    let is_parent = |address: &&Address| {
        let object = inventory.objects.get(*address);
        object.is_some_and(|object| object.catalog == "pg_class" && object.detail == b'p')
    };
    let stays = inventory.dependants.keys().filter(|address| !dropped.contains(*address)).filter(is_parent);
    stays
        .flat_map(|parent| inventory.dependants_of(*parent).iter().map(move |dependant| (parent, dependant)))
        .filter(|(parent, dependant)| {
            dependant.kind == b'a' && dependant.column == 0 && dependant.object.0 == parent.0
        })
        .map(|(_, dependant)| dependant.object)
        .filter(|address| dropped.contains(address))
        .filter(|address| {
            inventory.objects.get(address).is_some_and(|o| matches!(o.detail, b'r' | b'p' | b'f'))
        })
        .collect()
}

fn is_made(coming: &Coming<'_>, inventory: &Inventory, object: &Object) -> bool {
    if coming.made.contains(&Identity { catalog: object.catalog, name: object.name.clone() }) {
        return true;
    }
    // A CHECK constraint is written within its table's definition.
    let table = || inventory.objects.get(&(*inventory.catalogs.get("pg_class")?, object.table));
    let name = || object.name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    object.catalog == "pg_constraint"
        && object.detail == b'c'
        && table()
            .and_then(|table| coming.tables.get(&table.name))
            .is_some_and(|entry| words_of_definition(entry).contains(&name()))
}

/// Columns of the target's table that its definition in the archive does not have.
fn missing_columns(coming: &Coming<'_>, object: &Object, columns: Option<&Vec<Vec<u8>>>) -> Option<String> {
    let words = words_of_definition(coming.tables.get(&object.name)?);
    let is_relation = object.catalog == "pg_class";
    let missing: Vec<String> = columns
        .filter(|_| is_relation)?
        .iter()
        .filter(|column| !words.contains(*column))
        .map(|column| String::from_utf8_lossy(column).into_owned())
        .collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

/// Columns of dropped tables that are the tables' own.
fn columns(
    inventory: &Inventory,
    dropped: &HashSet<Address>,
    connection: &mut Connection,
) -> Result<HashMap<u32, Vec<Vec<u8>>>, OpsError> {
    let is_table = |address: &&Address| {
        inventory
            .objects
            .get(address)
            .is_some_and(|object| object.catalog == "pg_class" && matches!(object.detail, b'r' | b'p' | b'f'))
    };
    let tables: Vec<String> = dropped.iter().filter(is_table).map(|address| address.1.to_string()).collect();
    let mut columns: HashMap<u32, Vec<Vec<u8>>> = HashMap::new();
    if tables.is_empty() {
        return Ok(columns);
    }
    let sql = format!(
        "SELECT a.attrelid, a.attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attinhcount = 0 AND c.reloftype = 0 \
         AND a.attrelid IN ({}) ORDER BY a.attnum",
        tables.join(", ")
    );
    for row in connection.simple(&sql).doing("read columns of the target")?.iter().flat_map(|r| &r.rows) {
        let table = row.parse(0).doing("read columns of the target")?;
        columns.entry(table).or_default().push(row.get(1).unwrap_or_default().to_vec());
    }
    Ok(columns)
}

/// Why a relation loses something whose contents do not come: it has any.
fn contents_lost(
    connection: &mut Connection,
    address: Address,
    object: &Object,
) -> Result<Option<String>, OpsError> {
    let doing = "find out whether tables of the target have rows";
    let (sql, why) = match object.detail {
        b'S' => (
            format!("SELECT pg_catalog.pg_sequence_last_value({}) IS NOT NULL", address.1).into_bytes(),
            "it is in use, and this restore does not include its value",
        ),
        b'm' => (
            format!("SELECT relispopulated FROM pg_catalog.pg_class WHERE oid = {}", address.1).into_bytes(),
            "it is filled, and this restore does not fill it",
        ),
        _ => (
            [b"SELECT EXISTS (SELECT FROM ONLY ".as_slice(), &object.identity, b")"].concat(),
            "it has rows, and this restore does not include them",
        ),
    };
    connection.execute("SAVEPOINT look").doing(doing)?;
    let holds_any = match connection.simple_bytes(&sql).doing(doing) {
        Ok(results) => results.iter().flat_map(|result| &result.rows).any(|row| row.get(0) != Some(b"f")),
        // Who may not look does not know.
        Err(error) if error.is_refusal() => {
            connection.execute("ROLLBACK TO SAVEPOINT look").doing(doing)?;
            true
        }
        Err(error) => return Err(error),
    };
    connection.execute("RELEASE SAVEPOINT look").doing(doing)?;
    Ok(holds_any.then(|| why.to_string()))
}

/// Large objects that go and whose contents the backup does not have.
fn large_objects(
    place: &DatabaseRestore<'_>,
    connection: &mut Connection,
) -> Result<Option<String>, OpsError> {
    let selected = |entry: &&TocEntry| place.picked.selection.contains(entry.dump_id);
    let entries = || place.contents.archive.entries.iter().filter(selected);
    let come = entries().any(|entry| entry.kind() == "BLOBS")
        && place.contents.large_objects.is_some()
        && !place.lacks_large_objects;
    if come {
        return Ok(None);
    }
    let mut oids = Vec::new();
    for entry in entries() {
        match entry.kind() {
            "BLOB" => oids.push(entry.oid.to_string()),
            "BLOB METADATA" => {
                let lines = entry.defn_str().lines().map(|line| line.trim().to_string()).collect::<Vec<_>>();
                oids.extend(lines.into_iter().filter(|line| line.parse::<u32>().is_ok()));
            }
            _ => {}
        }
    }
    if oids.is_empty() {
        return Ok(None);
    }
    let doing = "find large objects in the target";
    let sql =
        format!("SELECT count(*) FROM pg_catalog.pg_largeobject_metadata WHERE oid IN ({})", oids.join(", "));
    let results = connection.simple(&sql).doing(doing)?;
    let there: u64 = match results.first().and_then(|result| result.rows.first()) {
        Some(row) => row.parse(0).doing(doing)?,
        None => 0,
    };
    Ok((there > 0).then(|| format!("{there} large objects: this restore does not include their contents")))
}

/// What depends on something that goes and is not itself among it: the server would refuse the
/// drop.
fn obstacles(
    inventory: &Inventory,
    dropped: &HashSet<Address>,
    connection: &mut Connection,
) -> Result<Vec<String>, OpsError> {
    const MOST: usize = 20;
    let sure: HashSet<u32> = SURE.iter().filter_map(|name| inventory.catalogs.get(name)).copied().collect();
    let mut found: HashSet<(Address, u32, Address)> = HashSet::new();
    for address in dropped {
        for dependant in inventory.dependants_of(*address) {
            let stays = !dropped.contains(&dependant.object) && sure.contains(&dependant.object.0);
            if stays && dependant.kind == b'n' {
                found.insert((dependant.object, dependant.column, *address));
            }
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_unstable();
    // A foreign key depends on a table and on its index; one of them is enough to know.
    found.dedup_by_key(|(object, _, _)| *object);
    let more = found.len().saturating_sub(MOST);
    found.truncate(MOST);
    let mut named = Vec::new();
    let doing = "find what depends on objects of the target";
    for ((catalog, oid), column, on) in found {
        let sql = format!(
            "SELECT coalesce((SELECT pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, r.ev_class, 0) \
               FROM pg_catalog.pg_rewrite r WHERE r.oid = {oid} AND r.rulename = '_RETURN' \
               AND 'pg_catalog.pg_rewrite'::pg_catalog.regclass = {catalog}), \
             pg_catalog.pg_describe_object({catalog}, {oid}, {column})), pg_catalog.pg_describe_object({}, {}, 0)",
            on.0, on.1
        );
        for row in connection.simple(&sql).doing(doing)?.iter().flat_map(|result| &result.rows) {
            let text = |column| String::from_utf8_lossy(row.get(column).unwrap_or(b"an object")).into_owned();
            named.push(format!("{} depends on {}", text(0), text(1)));
        }
    }
    named.dedup();
    if more > 0 {
        named.push(format!("{more} more dependencies"));
    }
    Ok(named)
}

/// For a statement that makes a view no longer depend on anything: its own columns, each NULL.
/// Views that need each other in a circle can be dropped one by one then. Not the archive's own
/// statement, which is for the view as the archive has it: its types might not exist here, and its
/// columns may be others.
fn hollow(connection: &mut Connection, schema: &[u8], view: &[u8]) -> Result<Option<Vec<u8>>, OpsError> {
    let doing = "read views of the target";
    let sql = [
        b"SELECT 'CREATE OR REPLACE VIEW ' || pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) || \
          ' AS SELECT ' || coalesce((SELECT pg_catalog.string_agg('NULL::' || pg_catalog.format_type(a.atttypid, a.atttypmod) || \
             CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE ' || (SELECT pg_catalog.quote_ident(m.nspname) || '.' || \
                pg_catalog.quote_ident(l.collname) FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace m \
                ON m.oid = l.collnamespace WHERE l.oid = a.attcollation) ELSE '' END || \
             ' AS ' || pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a \
             JOIN pg_catalog.pg_type t ON t.oid = a.atttypid WHERE a.attrelid = c.oid AND a.attnum > 0), '') \
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
          WHERE c.relkind = 'v' AND n.nspname = "
            .as_slice(),
        &quote_literal_bytes(schema),
        b" AND c.relname = ",
        &quote_literal_bytes(view),
    ]
    .concat();
    let results = connection.simple_bytes(&sql).doing(doing)?;
    let row = results.iter().flat_map(|result| &result.rows).next();
    Ok(row.and_then(|row| row.get(0)).map(<[u8]>::to_vec))
}
