//! `/manifest.json`: facts of the cluster and of every database, with what this backup knows of its
//! own content.
//!
//! The keys of the first levels are those of the manifest, version 2, that Plakar's PostgreSQL
//! integration writes, so that its readers find what they look for; in addition there are the LSN,
//! the timeline, the snapshots' times, exact counts of rows, digests and durations. The server
//! builds the JSON of its catalogs itself; each database's part is read in the backup's own
//! snapshot.

use std::collections::{BTreeMap, HashMap};

use pgark_bytes::archive::Archive;
use pgark_bytes::archive::filter::foreign_keys;
use pgark_bytes::copy_text;
use pgark_bytes::names::shown;
use pgark_repo::{Class, PartSummary};
use serde_json::{Value, json};

use super::cluster::Survey;
use super::destination::{Destination, InEach};
use super::lead::Lead;
use super::work::Stored;
use crate::cluster::described::{ClusterFacts, json_text, now, texts};
use crate::facts::{DatabaseRead, Note};
use crate::{OpsError, paths};

/// What a database's snapshot holds: extensions, schemas, relations; each as the server's JSON text
/// (a tree of values would take ten times the memory).
#[derive(Default)]
pub(super) struct DatabaseFacts {
    extensions: Vec<String>,
    schemas: Vec<String>,
    /// With the relation's oid.
    relations: Vec<(u32, String)>,
    /// Names in the archive that are not UTF-8, and their text.
    names: BTreeMap<Vec<u8>, String>,
}

/// One database in the backup: how and when it was stored.
pub(super) struct DatabaseReport {
    pub name: String,
    pub read: DatabaseRead,
}

/// What came of one database.
pub(super) struct Finished {
    pub report: DatabaseReport,
    /// Its part of the manifest, which is written already: of many databases, that would be much to
    /// hold in memory.
    pub described: InEach<Vec<PartSummary>>,
}

impl DatabaseFacts {
    /// Reads the database in the lead's snapshot.
    pub(super) fn read(lead: &mut Lead, archive: &Archive) -> Result<DatabaseFacts, OpsError> {
        let keys = foreign_keys(archive);
        let mut names = archive.foreign_names();
        // Of a table that filters leave out, the archive has no entry.
        let parents = keys.iter().flat_map(|key| [&*key.parent.0, &*key.parent.1]);
        names.extend(parents.filter(|name| !name.is_ascii()));
        let names = lead.in_utf8(&names)?;
        let connection = &mut lead.connection;
        let doing = "describe the relations";
        // By COPY: of the rows of a query, all would be in memory twice.
        let mut relations = Vec::new();
        let sql = format!("COPY ({RELATIONS}) TO STDOUT");
        let read = connection.copy_out::<OpsError>(sql.as_bytes(), &mut |row| {
            let mut fields = copy_text::fields(row.strip_suffix(b"\n").unwrap_or(row)).map(copy_text::value);
            let (text, oid) = (fields.next().flatten(), fields.next().flatten());
            let oid = oid.and_then(|oid| std::str::from_utf8(&oid).ok()?.parse().ok());
            let oid = oid.ok_or_else(|| OpsError::refused(doing, "this is a defect of pgark"))?;
            relations.push((oid, json_text(text.as_deref())));
            Ok(())
        });
        read.map_err(|error| match error {
            OpsError::Server { source, .. } => OpsError::Server { doing: doing.into(), source },
            other => other,
        })?;
        Ok(DatabaseFacts {
            extensions: texts(
                connection,
                "SELECT pg_catalog.json_build_object('name', e.extname, 'version', e.extversion, 'schema', n.nspname) \
                 FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY e.extname",
                "read the extensions",
            )?,
            schemas: texts(
                connection,
                "SELECT pg_catalog.json_build_object('name', nspname, 'owner', pg_catalog.pg_get_userbyid(nspowner)) \
                 FROM pg_catalog.pg_namespace WHERE nspname NOT IN ('pg_catalog', 'information_schema') \
                 AND nspname !~ '^pg_(toast|temp)' ORDER BY nspname",
                "read the schemas",
            )?,
            relations,
            names,
        })
    }

    /// A name of the archive, for people.
    pub(super) fn shown(&self, name: &[u8]) -> String {
        self.names.get(name).cloned().unwrap_or_else(|| shown(name).into_owned())
    }
}

/// JSON and oid of every table, partitioned table, foreign table, view, materialised view and
/// sequence. By index scans of each relation: in a small database that is a third of what joins
/// over whole catalogs cost, in one of 4,000 tables the same.
const RELATIONS: &str = "\
SELECT pg_catalog.json_build_object('schema', n.nspname, 'name', r.relname, 'owner', pg_catalog.pg_get_userbyid(r.relowner), \
  'persistence', r.relpersistence, 'kind', r.relkind, 'tablespace', (SELECT t.spcname FROM pg_catalog.pg_tablespace t WHERE t.oid = r.reltablespace), 'row_estimate', greatest(r.reltuples, 0)::pg_catalog.int8, \
  'live_row_estimate', coalesce(pg_catalog.pg_stat_get_live_tuples(r.oid), 0), 'column_count', coalesce(cols.n, 0), 'has_primary_key', coalesce(cons.has_pk, false), \
  'has_triggers', r.relhastriggers, 'rls_enabled', r.relrowsecurity, 'rls_forced', r.relforcerowsecurity, 'is_partition', r.relispartition, \
  'partition_parent', (SELECT pn.nspname || '.' || pc.relname FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class pc ON pc.oid = h.inhparent \
     JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace WHERE h.inhrelid = r.oid ORDER BY h.inhseqno LIMIT 1), \
  'parents', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(pn.nspname, pc.relname) ORDER BY h.inhseqno), '[]') \
     FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class pc ON pc.oid = h.inhparent \
     JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace WHERE h.inhrelid = r.oid), \
  'partition_strategy', (SELECT CASE p.partstrat WHEN 'r' THEN 'range' WHEN 'l' THEN 'list' WHEN 'h' THEN 'hash' END \
     FROM pg_catalog.pg_partitioned_table p WHERE p.partrelid = r.oid), \
  'storage_options', coalesce(r.reloptions, '{}'), 'last_vacuum', pg_catalog.pg_stat_get_last_vacuum_time(r.oid), 'last_analyze', pg_catalog.pg_stat_get_last_analyze_time(r.oid), \
  'columns', coalesce(cols.j, '[]'), 'constraints', coalesce(cons.j, '[]'), 'indexes', coalesce(inds.j, '[]')), r.oid \
FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace \
CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS n, pg_catalog.json_agg(pg_catalog.json_strip_nulls(pg_catalog.json_build_object( \
    'position', a.attnum, 'name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'nullable', NOT a.attnotnull, \
    'default', (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum), 'identity', nullif(a.attidentity, ''), 'generated', nullif(a.attgenerated, ''))) \
    ORDER BY a.attnum) AS j \
  FROM pg_catalog.pg_attribute a WHERE a.attrelid = r.oid AND r.relkind <> 'S' AND a.attnum > 0 AND NOT a.attisdropped) cols \
CROSS JOIN LATERAL (SELECT pg_catalog.bool_or(k.contype = 'p') AS has_pk, pg_catalog.json_agg(pg_catalog.json_build_object( \
    'name', k.conname, 'type', k.contype, 'columns', coalesce((SELECT pg_catalog.json_agg(a.attname ORDER BY u.at) \
       FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u(num, at) \
       JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num), '[]')) ORDER BY k.conname) AS j \
  FROM pg_catalog.pg_constraint k WHERE k.conrelid = r.oid AND k.contype IN ('p', 'u', 'f', 'c', 'x')) cons \
CROSS JOIN LATERAL (SELECT pg_catalog.json_agg(pg_catalog.json_strip_nulls(pg_catalog.json_build_object( \
    'name', c.relname, 'method', (SELECT am.amname FROM pg_catalog.pg_am am WHERE am.oid = c.relam), 'definition', pg_catalog.pg_get_indexdef(i.indexrelid), 'is_unique', i.indisunique, \
    'is_primary', i.indisprimary, 'is_valid', i.indisvalid, 'is_partial', i.indpred IS NOT NULL, 'constraint_name', (SELECT k.conname FROM pg_catalog.pg_constraint k WHERE k.conrelid = i.indrelid AND k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')))) \
    ORDER BY c.relname) AS j \
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = r.oid) inds \
WHERE r.relkind IN ('r', 'p', 'f', 'm', 'v', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)' \
ORDER BY n.nspname, r.relname";

/// Members of the manifest's first level that are others each time.
const OF_THE_MOMENT: &[&str] = &["created_at"];

/// Writes the manifest in parts, so that it is stored in proportion to what changed: what is
/// another thing each time is a part for itself, and so is each database.
pub(super) fn manifest(
    destination: &Destination<'_>,
    cluster: &str,
    survey: &Survey,
    facts: &ClusterFacts,
    finished: &[Finished],
) -> Result<(), OpsError> {
    let single = match finished {
        [one] => Some(one.report.name.clone()),
        _ => None,
    };
    let backed_up: HashMap<&str, &Finished> =
        finished.iter().map(|database| (&*database.report.name, database)).collect();
    let head = json!({
        "version": 2,
        "created_at": now(),
        "connector": "postgresql",
        "host": survey.connection.host(),
        "port": survey.connection.port().to_string(),
        "server_version": survey.server_version_text,
        "server_version_num": survey.server_version,
        "pg_dump_version": survey.tool.version,
        "cluster_system_identifier": survey.system_identifier,
        "in_recovery": survey.in_recovery,
        "database": single,
        "dump_format": "pgark",
        "program": format!("pgark {}", env!("CARGO_PKG_VERSION")),
        "cluster": cluster,
        "timeline": survey.timeline,
        "cluster_config": facts.config,
        "roles": facts.roles,
        "tablespaces": facts.tablespaces,
    });
    let parts = destination.pieces(|out, which| {
        for (number, (name, value)) in head.as_object().into_iter().flatten().enumerate() {
            let is_of_the_moment = OF_THE_MOMENT.contains(&name.as_str());
            if is_of_the_moment {
                out.cut()?;
            }
            out.text(if number == 0 { "{" } else { "," })?;
            out.text(&format!("{}:{value}", Value::from(name.as_str())))?;
            if is_of_the_moment {
                out.cut()?;
            }
        }
        out.text(",\"databases\":[")?;
        for (number, value) in facts.databases.iter().enumerate() {
            if number > 0 {
                out.text(",")?;
            }
            let name = value.get("name").and_then(Value::as_str).unwrap_or_default();
            let text = value.to_string();
            match backed_up.get(name) {
                Some(database) => {
                    out.text(open(&text))?;
                    out.parts(database.described.of(which).map(Vec::as_slice).unwrap_or_default())?;
                    out.text("}")?;
                }
                None => out.text(&text)?,
            }
        }
        out.text("]}")
    })?;
    let mut entry = destination.entry(paths::MANIFEST, Class::Metadata);
    entry.add(parts);
    entry.finish(InEach::same(Note::Manifest))
}

/// A JSON object that goes on.
fn open(object: &str) -> &str {
    object.strip_suffix('}').unwrap_or(object)
}

/// What is inside of a database, and what this backup holds of it: more members of the database's
/// object. `toc_digest`: of its definitions.
pub(super) fn database(
    destination: &Destination<'_>,
    report: &DatabaseReport,
    facts: &DatabaseFacts,
    stored: &Stored,
    toc_digest: &InEach<String>,
) -> Result<InEach<Vec<PartSummary>>, OpsError> {
    let by_oid: HashMap<u32, _> = stored.tables.iter().map(|table| (table.oid, table)).collect();
    destination.pieces(|out, which| {
        out.text(&format!(
            ",\"extensions\":[{}],\"schemas\":[{}],\"relations\":[",
            facts.extensions.join(","),
            facts.schemas.join(",")
        ))?;
        for (number, (oid, text)) in facts.relations.iter().enumerate() {
            if number > 0 {
                out.text(",")?;
            }
            match by_oid.get(oid) {
                Some(table) => {
                    let digests = Value::from(table.digests.of(which).cloned().unwrap_or_default());
                    let (rows, bytes) = (table.rows, table.bytes_raw);
                    out.text(open(text))?;
                    out.text(&format!(",\"rows\":{rows},\"bytes\":{bytes},\"digests\":{digests}}}"))?;
                }
                None => out.text(text)?,
            }
            out.end_record(&oid.to_be_bytes())?;
        }
        let backup = json!({
            "snapshot_time": report.read.snapshot_time,
            "lsn": report.read.lsn,
            "seconds": report.read.seconds,
            "tables": stored.tables.len(),
            "rows": stored.tables.iter().map(|table| table.rows).sum::<u64>(),
            "large_objects": stored.large_objects,
            "toc_digest": toc_digest.of(which),
            "filters": (!report.read.filters.is_default()).then_some(&report.read.filters),
        });
        out.text("]")?;
        // Times and the LSN are others each time.
        out.cut()?;
        out.text(&format!(",\"backup\":{backup}"))?;
        if !facts.names.is_empty() {
            out.cut()?;
            let names: BTreeMap<String, &String> =
                facts.names.iter().map(|(name, text)| (crate::hex::encode(name), text)).collect();
            out.text(&format!(",\"names\":{}", json!(names)))?;
        }
        Ok(())
    })
}
