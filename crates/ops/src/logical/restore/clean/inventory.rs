//! The objects of a target database and what depends on what, read from its catalog in one
//! encoding: the archive's.

use std::collections::{HashMap, HashSet};

use pgark_bytes::archive::identity::{has_arguments, normal, normal_before_arguments, normal_of_member};
use pgark_pg::{Connection, Row};

use crate::OpsError;
use crate::error::Doing;

const DOING: &str = "read the objects of the target";

/// Where an object is in the catalog: the catalog's own OID, and the object's.
pub(super) type Address = (u32, u32);

/// One object of the target.
pub(super) struct Object {
    pub catalog: &'static str,
    /// `table`, `view`, `table constraint`.
    pub kind: String,
    /// As the server writes it.
    pub identity: Vec<u8>,
    /// The identity in the form that archives' entries are compared in.
    pub name: Vec<u8>,
    /// It is part of another object and comes with that: a row type, the index of a constraint, a
    /// partition's share of one.
    pub is_part: bool,
    /// `relkind` of a relation, `contype` of a constraint.
    pub detail: u8,
    /// Of a CHECK constraint: its table.
    pub table: u32,
    /// Rows, as the planner counts them; negative: not known.
    pub tuples: f64,
    pub bytes: u64,
}

impl Object {
    /// Kind and name for messages.
    pub(super) fn describe(&self) -> String {
        format!("{} {}", self.kind, String::from_utf8_lossy(&self.identity))
    }
}

/// One dependency: what is dropped when `on` is dropped, and how.
pub(super) struct Dependency {
    pub object: Address,
    /// Only a column of it depends.
    pub column: u32,
    pub kind: u8,
}

/// Everything that restores might drop, of the connected database.
pub(super) struct Inventory {
    pub objects: HashMap<Address, Object>,
    pub dependants: HashMap<Address, Vec<Dependency>>,
    /// Tables of extensions whose rows are the users'.
    pub configuration: HashSet<u32>,
    /// OIDs of the catalogs by name.
    pub catalogs: HashMap<&'static str, u32>,
}

/// One kind of object: its catalog, the first major version that has it, what is part of another
/// object, and more columns.
struct Kind {
    catalog: &'static str,
    since: i32,
    is_part: &'static str,
    /// Detail, table, tuples, pages.
    more: &'static str,
}

const NOTHING: &str = "''::pg_catalog.text, 0::pg_catalog.oid, -1::pg_catalog.float8, 0::pg_catalog.int8";

const fn plain(catalog: &'static str) -> Kind {
    Kind { catalog, since: 0, is_part: "false", more: NOTHING }
}

const KINDS: [Kind; 29] = [
    Kind {
        catalog: "pg_class",
        since: 0,
        is_part: "x.relkind IN ('t', 'c') OR x.relnamespace = 'pg_toast'::pg_catalog.regnamespace \
                  OR x.relkind IN ('i', 'I') AND (x.relispartition OR EXISTS (SELECT FROM pg_catalog.pg_constraint k \
                     WHERE k.conindid = x.oid AND k.contype IN ('p', 'u', 'x')))",
        more: "x.relkind::pg_catalog.text, 0::pg_catalog.oid, x.reltuples::pg_catalog.float8, x.relpages::pg_catalog.int8",
    },
    Kind {
        catalog: "pg_constraint",
        since: 0,
        is_part: "x.contype NOT IN ('p', 'u', 'x', 'f', 'c') OR x.contype = 'c' AND (x.contypid <> 0 OR NOT x.conislocal) \
                  OR coalesce((pg_catalog.to_jsonb(x)->>'conparentid')::pg_catalog.int8, 0) <> 0",
        more: "x.contype::pg_catalog.text, x.conrelid, -1::pg_catalog.float8, 0::pg_catalog.int8",
    },
    Kind {
        catalog: "pg_trigger",
        since: 0,
        is_part: "x.tgisinternal OR coalesce((pg_catalog.to_jsonb(x)->>'tgparentid')::pg_catalog.int8, 0) <> 0",
        more: NOTHING,
    },
    Kind { catalog: "pg_rewrite", since: 0, is_part: "x.rulename = '_RETURN'", more: NOTHING },
    Kind {
        catalog: "pg_type",
        since: 0,
        is_part: "x.typtype = 'm' OR x.typelem <> 0 AND x.typcategory = 'A' OR x.typtype = 'c' AND NOT EXISTS ( \
                  SELECT FROM pg_catalog.pg_class r WHERE r.oid = x.typrelid AND r.relkind = 'c')",
        more: NOTHING,
    },
    Kind { catalog: "pg_publication", since: 10, is_part: "false", more: NOTHING },
    Kind { catalog: "pg_publication_rel", since: 10, is_part: "false", more: NOTHING },
    Kind { catalog: "pg_publication_namespace", since: 15, is_part: "false", more: NOTHING },
    Kind { catalog: "pg_statistic_ext", since: 10, is_part: "false", more: NOTHING },
    plain("pg_policy"),
    plain("pg_proc"),
    plain("pg_namespace"),
    plain("pg_extension"),
    plain("pg_collation"),
    plain("pg_conversion"),
    plain("pg_operator"),
    plain("pg_opclass"),
    plain("pg_opfamily"),
    plain("pg_cast"),
    plain("pg_transform"),
    plain("pg_language"),
    plain("pg_am"),
    plain("pg_foreign_data_wrapper"),
    plain("pg_foreign_server"),
    plain("pg_event_trigger"),
    plain("pg_ts_parser"),
    plain("pg_ts_dict"),
    plain("pg_ts_template"),
    plain("pg_ts_config"),
];

/// The first OID that `initdb` does not give away, and the schema `public`, which users change.
const OF_USERS: &str = "(x.oid >= 16384 OR x.oid = 2200)";

fn every_object(version: i32) -> String {
    let of_kind = |kind: &Kind| {
        format!(
            "SELECT '{0}'::pg_catalog.text AS catalog, x.oid AS oid, {1} AS is_part, {2} FROM pg_catalog.{0} x WHERE {OF_USERS}",
            kind.catalog, kind.is_part, kind.more
        )
    };
    let known = KINDS.iter().filter(|kind| version >= kind.since * 10_000);
    known.map(of_kind).collect::<Vec<_>>().join(" UNION ALL ")
}

fn number<T: std::str::FromStr + Default>(row: &Row, column: usize) -> T {
    let text = row.get(column).and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn rows(connection: &mut Connection, sql: &str) -> Result<Vec<Row>, OpsError> {
    // Not as a prepared statement: names come in the session's own encoding.
    let results = connection.simple(sql).doing(DOING)?;
    Ok(results.into_iter().flat_map(|result| result.rows).collect())
}

impl Inventory {
    pub(super) fn read(connection: &mut Connection) -> Result<Inventory, OpsError> {
        const BLOCK: u64 = 8192;
        let catalogs = catalogs(connection)?;
        // Filtered within: a name is made only of what is nobody's part.
        let sql = format!(
            "SELECT o.catalog, o.oid, o.is_part, o.detail, o.tab, o.tuples, o.pages, i.type, i.identity \
             FROM ({}) AS o (catalog, oid, is_part, detail, tab, tuples, pages) \
             LEFT JOIN LATERAL (SELECT n.type, n.identity FROM pg_catalog.pg_identify_object( \
                 ('pg_catalog.' || o.catalog)::pg_catalog.regclass, o.oid, 0) n WHERE NOT o.is_part) i ON true",
            every_object(connection.server_version())
        );
        let mut objects = HashMap::new();
        for row in rows(connection, &sql)? {
            let name = row.get(0).unwrap_or_default();
            let Some(kind) = KINDS.iter().find(|kind| kind.catalog.as_bytes() == name) else { continue };
            let Some(&catalog) = catalogs.get(kind.catalog) else { continue };
            let identity = row.get(8).unwrap_or_default().to_vec();
            let name = match kind.catalog {
                catalog if has_arguments(catalog) => normal_before_arguments(&identity),
                "pg_publication_rel" | "pg_publication_namespace" => normal_of_member(&identity),
                _ => normal(&identity),
            };
            let object = Object {
                catalog: kind.catalog,
                kind: String::from_utf8_lossy(row.get(7).unwrap_or_default()).into_owned(),
                name,
                identity,
                is_part: row.get(2) == Some(b"t"),
                detail: row.get(3).and_then(|detail| detail.first()).copied().unwrap_or_default(),
                table: number(&row, 4),
                tuples: number(&row, 5),
                bytes: number::<u64>(&row, 6) * BLOCK,
            };
            objects.insert((catalog, number(&row, 1)), object);
        }
        let configuration = rows(connection, "SELECT unnest(extconfig) FROM pg_catalog.pg_extension")?;
        let configuration = configuration.iter().map(|row| number(row, 0)).collect();
        let dependants = dependants(connection)?;
        Ok(Inventory { objects, dependants, configuration, catalogs })
    }

    /// The objects that are there now.
    pub(super) fn present(&self, connection: &mut Connection) -> Result<HashSet<Address>, OpsError> {
        let sql = format!(
            "SELECT o.catalog, o.oid FROM ({}) AS o (catalog, oid, is_part, detail, tab, tuples, pages)",
            every_object(connection.server_version())
        );
        let mut present = HashSet::new();
        for row in rows(connection, &sql)? {
            let name = std::str::from_utf8(row.get(0).unwrap_or_default()).unwrap_or_default();
            present.extend(self.catalogs.get(name).map(|catalog| (*catalog, number(&row, 1))));
        }
        Ok(present)
    }

    pub(super) fn dependants_of(&self, address: Address) -> &[Dependency] {
        self.dependants.get(&address).map_or(&[], Vec::as_slice)
    }
}

fn catalogs(connection: &mut Connection) -> Result<HashMap<&'static str, u32>, OpsError> {
    let sql = "SELECT relname, oid FROM pg_catalog.pg_class WHERE oid < 16384 AND relkind = 'r'";
    let mut catalogs = HashMap::new();
    for row in rows(connection, sql)? {
        let kind = KINDS.iter().find(|kind| Some(kind.catalog.as_bytes()) == row.get(0));
        catalogs.extend(kind.map(|kind| (kind.catalog, number(&row, 1))));
    }
    Ok(catalogs)
}

fn dependants(connection: &mut Connection) -> Result<HashMap<Address, Vec<Dependency>>, OpsError> {
    let sql = "SELECT classid, objid, objsubid, deptype, refclassid, refobjid FROM pg_catalog.pg_depend \
               WHERE objid >= 16384 AND (refobjid >= 16384 OR refobjid = 2200)";
    let mut dependants: HashMap<Address, Vec<Dependency>> = HashMap::new();
    for row in rows(connection, sql)? {
        let kind = row.get(3).and_then(|kind| kind.first()).copied().unwrap_or_default();
        dependants.entry((number(&row, 4), number(&row, 5))).or_default().push(Dependency {
            object: (number(&row, 0), number(&row, 1)),
            column: number(&row, 2),
            kind,
        });
    }
    Ok(dependants)
}
