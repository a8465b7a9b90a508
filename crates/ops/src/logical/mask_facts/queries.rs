//! What the catalog is asked. Each query gives one column of JSON, a row for each object, whose
//! members are those of `pgark_mask::catalog`.
//!
//! Table by table by index scans, as the manifest's relations are read: in a small database that is
//! a third of what joins over whole catalogs cost, in one of 4,000 tables the same. What only some
//! majors have is taken from the row as JSON. An oid is a number in JSON only if it is one in SQL.
//! 100 is the oid of the collation `default` in every major.

/// The database itself: the first members of the document.
pub(super) const DATABASE: &str = "\
SELECT pg_catalog.json_build_object('format', 1, 'database', d.datname, 'encoding', pg_catalog.pg_encoding_to_char(d.encoding), \
  'ctype', d.datctype, 'provider', coalesce(j.row->>'datlocprovider', 'c'), 'locale', coalesce(j.row->>'datlocale', j.row->>'daticulocale'), \
  'server_version', pg_catalog.current_setting('server_version_num')::pg_catalog.int4) \
FROM pg_catalog.pg_database d CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(d) AS row) j WHERE d.datname = pg_catalog.current_database()";

/// Every table, partitioned table and foreign table.
///
/// A foreign key to a partitioned table has a further constraint for each of its partitions, on the
/// same table: only the first one is a fact. Columns that an expression reads are its dependencies:
/// of an index and a policy they are its own, of a generated column up to 14 the column's and from
/// 15 on its expression's; of a partitioned table its key's columns depend on it.
pub(super) const TABLES: &str = "\
SELECT pg_catalog.json_build_object('oid', t.oid::pg_catalog.int8, 'schema', t.nspname, 'name', t.relname, 'kind', t.relkind, 'is_partition', t.relispartition, \
  'parents', coalesce((SELECT pg_catalog.json_agg(h.inhparent::pg_catalog.int8 ORDER BY h.inhseqno) FROM pg_catalog.pg_inherits h WHERE h.inhrelid = t.oid), '[]'), \
  'bound', CASE WHEN t.relispartition THEN (SELECT pg_catalog.pg_get_expr(c.relpartbound, c.oid) FROM pg_catalog.pg_class c WHERE c.oid = t.oid) END, \
  'partitioned_by', CASE t.relkind WHEN 'p' THEN pg_catalog.pg_get_partkeydef(t.oid) END, \
  'partition_key', coalesce(CASE t.relkind WHEN 'p' THEN \
    (SELECT pg_catalog.json_agg(r.attname ORDER BY pg_catalog.array_position(r.partattrs, r.attnum), r.attnum) FROM \
      (SELECT DISTINCT a.attnum, a.attname, p.partattrs::pg_catalog.int2[] AS partattrs FROM pg_catalog.pg_partitioned_table p \
       JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = p.partrelid AND d.objsubid > 0 \
       JOIN pg_catalog.pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = d.objsubid \
       WHERE p.partrelid = t.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = p.partrelid AND d.refobjsubid = 0 \
         AND d.deptype = 'i') r) END, '[]'), \
  'columns', coalesce(cols.j, '[]'), 'constraints', coalesce(cons.j, '[]'), 'indexes', coalesce(inds.j, '[]'), \
  'triggers', coalesce(CASE WHEN t.relhastriggers THEN \
    (SELECT pg_catalog.json_agg(g.tgname ORDER BY g.tgname) FROM pg_catalog.pg_trigger g \
     WHERE g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 4 <> 0) END, '[]'), \
  'policies', coalesce(pols.j, '[]')) \
FROM (SELECT c.oid, n.nspname, c.relname, c.relkind, c.relispartition, c.relhasindex, c.relhastriggers \
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
  WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast' \
  ORDER BY n.nspname, c.relname OFFSET 0) t \
CROSS JOIN LATERAL (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'type', a.atttypid::pg_catalog.int8, \
    'sql_type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'modifier', a.atttypmod, 'not_null', a.attnotnull, \
    'default', CASE WHEN a.atthasdef THEN (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) END, \
    'identity', nullif(a.attidentity, ''), 'generated', a.attgenerated <> '', \
    'generated_from', coalesce(CASE WHEN a.attgenerated <> '' THEN \
      (SELECT pg_catalog.json_agg(r.attname ORDER BY r.attnum) FROM (SELECT DISTINCT b.attnum, b.attname FROM pg_catalog.pg_depend d \
       JOIN pg_catalog.pg_attribute b ON b.attrelid = d.refobjid AND b.attnum = d.refobjsubid \
       WHERE (d.classid, d.objid, d.objsubid) IN (SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, a.attrelid, a.attnum::pg_catalog.int4 \
           UNION ALL SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid, f.oid, 0 FROM pg_catalog.pg_attrdef f WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum) \
         AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = a.attrelid AND d.refobjsubid <> a.attnum AND d.refobjsubid > 0) r) END, '[]'), \
    'collation', CASE WHEN a.attcollation NOT IN (0, 100) THEN a.attcollation::pg_catalog.int8 END) ORDER BY a.attnum) AS j \
  FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped) cols \
CROSS JOIN LATERAL (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', k.conname, 'kind', k.contype, \
    'columns', coalesce((SELECT pg_catalog.json_agg(a.attname ORDER BY u.at) FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u(num, at) \
       JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num), '[]'), \
    'definition', coalesce(pg_catalog.pg_get_constraintdef(k.oid), ''), \
    'references', CASE k.contype WHEN 'f' THEN pg_catalog.json_build_object('table', k.confrelid::pg_catalog.int8, 'columns', \
      coalesce((SELECT pg_catalog.json_agg(a.attname ORDER BY u.at) FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY u(num, at) \
       JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num), '[]')) END) ORDER BY k.conname) AS j \
  FROM pg_catalog.pg_constraint k WHERE k.conrelid = t.oid AND k.contype IN ('p', 'u', 'f', 'c', 'x') \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint p WHERE p.oid = k.conparentid AND p.conrelid = k.conrelid)) cons \
CROSS JOIN LATERAL (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', c.relname, 'unique', i.indisunique, \
    'keys', (SELECT pg_catalog.json_agg(a.attname ORDER BY u.at) FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY u(num, at) \
       LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.num AND u.num <> 0 WHERE u.at <= i.indnkeyatts), \
    'collations', coalesce((SELECT pg_catalog.json_agg(CASE WHEN u.oid NOT IN (0, 100) THEN u.oid::pg_catalog.int8 END ORDER BY u.at) \
       FROM pg_catalog.unnest(i.indcollation) WITH ORDINALITY u(oid, at) HAVING pg_catalog.bool_or(u.oid NOT IN (0, 100))), '[]'), \
    'expressions', coalesce(CASE WHEN i.indexprs IS NOT NULL THEN (SELECT pg_catalog.json_agg(pg_catalog.pg_get_indexdef(i.indexrelid, u.at::pg_catalog.int4, false) ORDER BY u.at) \
       FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY u(num, at) WHERE u.num = 0) END, '[]'), \
    'reads', coalesce(CASE WHEN i.indexprs IS NOT NULL OR i.indpred IS NOT NULL THEN \
      (SELECT pg_catalog.json_agg(r.attname ORDER BY r.attnum) FROM (SELECT DISTINCT a.attnum, a.attname FROM pg_catalog.pg_depend d \
       JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
       WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid AND d.objsubid = 0 \
         AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = i.indrelid AND a.attnum <> ALL (i.indkey::pg_catalog.int2[])) r) END, '[]'), \
    'predicate', pg_catalog.pg_get_expr(i.indpred, i.indrelid), \
    'definition', coalesce(pg_catalog.pg_get_indexdef(i.indexrelid), '')) ORDER BY c.relname) AS j \
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
  WHERE t.relhasindex AND i.indrelid = t.oid AND (i.indisvalid OR t.relkind = 'p') AND i.indisready) inds \
CROSS JOIN LATERAL (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', p.polname, \
    'columns', coalesce((SELECT pg_catalog.json_agg(r.attname ORDER BY r.attnum) FROM (SELECT DISTINCT a.attnum, a.attname FROM pg_catalog.pg_depend d \
       JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
       WHERE d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid = p.oid \
         AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = p.polrelid) r), '[]'), \
    'using', pg_catalog.pg_get_expr(p.polqual, p.polrelid), 'check', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)) ORDER BY p.polname) AS j \
  FROM pg_catalog.pg_policy p WHERE p.polrelid = t.oid) pols";

/// Types with what they are made of: elements, the base of a domain, attributes, bounds. In the
/// place of `{OIDS}` comes the list of the oids to begin with.
pub(super) fn types(oids: &str) -> String {
    TYPES.replace("{OIDS}", &format!("{{{oids}}}"))
}

const TYPES: &str = "\
WITH RECURSIVE used(oid) AS ( \
  SELECT u.oid FROM pg_catalog.unnest('{OIDS}'::pg_catalog.oid[]) u(oid) \
  UNION \
  SELECT p.oid FROM used u JOIN pg_catalog.pg_type y ON y.oid = u.oid CROSS JOIN LATERAL ( \
    SELECT y.typelem AS oid WHERE y.typtype = 'b' AND y.typlen = -1 AND y.typstorage <> 'p' \
    UNION ALL SELECT y.typbasetype WHERE y.typtype = 'd' \
    UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE y.typtype = 'c' AND a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped \
    UNION ALL SELECT g.rngsubtype FROM pg_catalog.pg_range g WHERE y.typtype = 'r' AND g.rngtypid = y.oid \
    UNION ALL SELECT g.rngsubtype FROM pg_catalog.pg_range g WHERE y.typtype = 'm' AND pg_catalog.to_jsonb(g)->>'rngmultitypid' = y.oid::pg_catalog.text) p \
  WHERE p.oid <> 0) \
SELECT pg_catalog.json_build_object('oid', y.oid::pg_catalog.int8, 'schema', n.nspname, 'name', y.typname, 'kind', y.typtype, \
  'element', CASE WHEN y.typtype = 'b' AND y.typlen = -1 AND y.typstorage <> 'p' AND y.typelem <> 0 THEN y.typelem::pg_catalog.int8 END, \
  'base', CASE y.typtype WHEN 'd' THEN y.typbasetype::pg_catalog.int8 END, 'modifier', y.typtypmod, 'not_null', y.typnotnull, \
  'default', CASE y.typtype WHEN 'd' THEN coalesce(pg_catalog.pg_get_expr(y.typdefaultbin, 0), y.typdefault) END, \
  'checks', coalesce(CASE y.typtype WHEN 'd' THEN (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', k.conname, \
      'definition', coalesce(pg_catalog.pg_get_constraintdef(k.oid), '')) ORDER BY k.conname) \
    FROM pg_catalog.pg_constraint k WHERE k.contypid = y.oid AND k.contype = 'c') END, '[]'), \
  'labels', coalesce(CASE y.typtype WHEN 'e' THEN (SELECT pg_catalog.json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = y.oid) END, '[]'), \
  'attributes', coalesce(CASE y.typtype WHEN 'c' THEN (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'type', a.atttypid::pg_catalog.int8, \
      'modifier', a.atttypmod, 'collation', CASE WHEN a.attcollation NOT IN (0, 100) THEN a.attcollation::pg_catalog.int8 END) ORDER BY a.attnum) \
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped) END, '[]'), \
  'subtype', CASE WHEN y.typtype IN ('r', 'm') THEN (SELECT g.rngsubtype::pg_catalog.int8 FROM pg_catalog.pg_range g \
    WHERE g.rngtypid = y.oid OR pg_catalog.to_jsonb(g)->>'rngmultitypid' = y.oid::pg_catalog.text) END, \
  'extension', (SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid \
    WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = y.oid AND d.objsubid = 0 \
      AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e')) \
FROM used u JOIN pg_catalog.pg_type y ON y.oid = u.oid JOIN pg_catalog.pg_namespace n ON n.oid = y.typnamespace ORDER BY n.nspname, y.typname";

/// Collations. `{OIDS}` is the list of their oids.
pub(super) fn collations(oids: &str) -> String {
    COLLATIONS.replace("{OIDS}", &format!("{{{oids}}}"))
}

const COLLATIONS: &str = "\
SELECT pg_catalog.json_build_object('oid', c.oid::pg_catalog.int8, 'schema', n.nspname, 'name', c.collname, 'provider', c.collprovider, \
  'locale', coalesce(j.row->>'colllocale', j.row->>'colliculocale', CASE c.collprovider WHEN 'i' THEN j.row->>'collcollate' ELSE j.row->>'collctype' END), \
  'rules', j.row->>'collicurules', 'deterministic', c.collisdeterministic) \
FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace \
CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(c) AS row) j \
WHERE c.oid = ANY ('{OIDS}'::pg_catalog.oid[]) ORDER BY n.nspname, c.collname";
