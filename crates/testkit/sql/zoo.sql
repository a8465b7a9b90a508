-- One of every kind of object that pg_dump knows, with hostile names and values. Run by psql as superuser, in an
-- empty UTF-8 database. psql variables: extension (1 if the extension pgark_zoo can be created), contrib (true if contrib's
-- extensions may be used where they are there).
\set ON_ERROR_STOP on
\encoding UTF8
SET client_min_messages = error;
SET log_min_messages = fatal;
SET TimeZone = 'UTC';
SELECT current_setting('server_version_num')::int >= 140000 AS v14, current_setting('server_version_num')::int >= 150000 AS v15,
       current_setting('server_version_num')::int >= 180000 AS v18, current_database() AS db,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hstore' AND :contrib) AS hstore,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'btree_gist' AND :contrib) AS btree_gist,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgres_fdw' AND :contrib) AS postgres_fdw,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'file_fdw' AND :contrib) AS file_fdw \gset

-- Roles belong to the cluster: several zoos share them. In the order of their names, as pg_dumpall recreates them:
-- pg_dump prints the roles of a policy in the order of their object ids.
DO $$
DECLARE r text;
BEGIN
  PERFORM pg_advisory_xact_lock(4711);
  FOREACH r IN ARRAY ARRAY['Zoo "owner" é', 'zoo group', 'zoo login', 'zoo.reader''s', 'zoo_owner'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN EXECUTE format('CREATE ROLE %I', r); END IF;
  END LOOP;
  ALTER ROLE "zoo login" LOGIN CONNECTION LIMIT 5 VALID UNTIL '2099-12-31 00:00:00+00';
  ALTER ROLE "zoo login" SET work_mem = '5MB';
  IF NOT pg_has_role('zoo login', 'zoo group', 'MEMBER') THEN
    GRANT "zoo group" TO "zoo login" WITH ADMIN OPTION;
    GRANT "zoo.reader's" TO "Zoo ""owner"" é";
  END IF;
  COMMENT ON ROLE "zoo group" IS E'a group''s comment\nin two lines';
END $$;

-- The database itself.
COMMENT ON DATABASE :"db" IS E'The zoo''s "database"\nsecond line \\ é';
GRANT CREATE, TEMPORARY ON DATABASE :"db" TO "zoo.reader's" WITH GRANT OPTION;
REVOKE TEMPORARY ON DATABASE :"db" FROM PUBLIC;
ALTER DATABASE :"db" CONNECTION LIMIT 50;
ALTER DATABASE :"db" SET DateStyle = 'German, DMY';
ALTER DATABASE :"db" SET IntervalStyle = 'iso_8601';
ALTER DATABASE :"db" SET bytea_output = 'escape';
ALTER DATABASE :"db" SET extra_float_digits = -3;
ALTER DATABASE :"db" SET search_path = zoo, "$user", public;
ALTER DATABASE :"db" SET "zoo.option" = 'it''s "x" \ é';
ALTER ROLE "zoo login" IN DATABASE :"db" SET statement_timeout = '7min';
ALTER ROLE "zoo login" IN DATABASE :"db" SET search_path = "Zoo 's ""Ñ", public;

CREATE SCHEMA zoo AUTHORIZATION zoo_owner;
CREATE SCHEMA "Zoo 's ""Ñ
.%$\ " AUTHORIZATION "Zoo ""owner"" é";
COMMENT ON SCHEMA "Zoo 's ""Ñ
.%$\ " IS '-- not a comment''s end */ \restrict';
CREATE SCHEMA "empty schema";
GRANT USAGE ON SCHEMA zoo TO "zoo.reader's", PUBLIC;
GRANT CREATE ON SCHEMA public TO "zoo group";
COMMENT ON SCHEMA public IS 'public, but commented';
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_logdir() TO "zoo group"; -- a privilege on a system object
SET search_path = zoo, pg_catalog;

-- Extensions.
\if :hstore
  CREATE EXTENSION hstore SCHEMA public;
  CREATE EXTENSION pg_trgm SCHEMA zoo;
  COMMENT ON EXTENSION hstore IS 'our own comment';
  CREATE TABLE with_hstore (h public.hstore);
  INSERT INTO with_hstore VALUES ('a=>1, "b c"=>NULL'), ('"q\"uote"=>"\\\\ back"');
  CREATE INDEX ON with_hstore USING gin (h public.gin_hstore_ops);
  GRANT EXECUTE ON FUNCTION public.hstore(text, text) TO "zoo.reader's";
\endif
\if :btree_gist
  CREATE EXTENSION btree_gist SCHEMA public;
\endif
\if :extension
  -- Tables: zoo_config (all rows), zoo_settings (WHERE NOT built_in), a sequence.
  CREATE EXTENSION pgark_zoo SCHEMA zoo;
  INSERT INTO zoo.zoo_config VALUES ('added', E'tab\there'), ('also added', NULL);
  INSERT INTO zoo.zoo_settings VALUES (10, 'the user''s row', false), (11, 'another', false);
  SELECT setval('zoo.zoo_config_seq', 77) \g /dev/null
\endif

-- Types.
CREATE TYPE "Mood ""é""" AS ENUM ('sad', 'o''k', 'ha"ppy', 'néw', 'back\slash', ' spaces ');
ALTER TYPE "Mood ""é""" ADD VALUE 'between' BEFORE 'o''k';
COMMENT ON TYPE "Mood ""é""" IS 'mood';
CREATE DOMAIN positive AS int DEFAULT 1 CONSTRAINT "is > 0" CHECK (VALUE > 0) NOT NULL;
CREATE DOMAIN code AS varchar(20) COLLATE "C" CHECK (VALUE ~ '^[^''\\]*$');
COMMENT ON DOMAIN positive IS 'a domain';
COMMENT ON CONSTRAINT "is > 0" ON DOMAIN positive IS 'its constraint';
CREATE TYPE pair AS (a int, "b c" text COLLATE "C", "D" positive[]);
COMMENT ON TYPE pair IS 'composite';
COMMENT ON COLUMN pair."b c" IS 'attribute';
CREATE TYPE floats AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE TYPE nothing AS ();
CREATE TYPE mytext;
CREATE FUNCTION mytext_in(cstring) RETURNS mytext LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION mytext_out(mytext) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE mytext (INPUT = mytext_in, OUTPUT = mytext_out, LIKE = text, CATEGORY = 'S');
CREATE CAST (mytext AS text) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE FUNCTION to_pair(int) RETURNS pair LANGUAGE sql IMMUTABLE AS 'SELECT ($1, $1::text, NULL)::zoo.pair';
CREATE CAST (int AS pair) WITH FUNCTION to_pair(int) AS ASSIGNMENT;
COMMENT ON CAST (int AS pair) IS 'a cast';
CREATE TYPE "undefined shell";
GRANT USAGE ON TYPE pair TO "zoo.reader's";
REVOKE USAGE ON TYPE positive FROM PUBLIC;
CREATE COLLATION "my C" FROM "C";
COMMENT ON COLLATION "my C" IS 'collation';
DO $$ BEGIN
  CREATE COLLATION zoo.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN RAISE NOTICE 'no ICU'; END $$;

-- Functions.
CREATE FUNCTION "fün ""c"" $1"(a int DEFAULT 7, VARIADIC rest text[] DEFAULT ARRAY['x'';'], OUT b int, OUT c text) RETURNS record
  LANGUAGE plpgsql STABLE SECURITY DEFINER COST 55 PARALLEL SAFE SET search_path = zoo, pg_temp SET work_mem = '8MB' AS $f$
BEGIN -- $$ inside, 'quotes', back\slash
  b := a; c := $q$it's$q$ || coalesce(rest[1], E'\n');
END $f$;
COMMENT ON FUNCTION "fün ""c"" $1"(int, text[]) IS 'function';
REVOKE ALL ON FUNCTION "fün ""c"" $1"(int, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "fün ""c"" $1"(int, text[]) TO "zoo.reader's" WITH GRANT OPTION;
CREATE FUNCTION set_of(n int) RETURNS TABLE (i int, t text) LANGUAGE sql ROWS 3 LEAKPROOF IMMUTABLE STRICT AS 'SELECT g, g::text FROM generate_series(1, n) g';
\if :v14
  CREATE FUNCTION standard_body(x int) RETURNS int LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT x + 1; END;
\endif
CREATE PROCEDURE "do it"(INOUT x int) LANGUAGE plpgsql AS $$ BEGIN x := x * 2; END $$;
COMMENT ON PROCEDURE "do it" IS 'procedure';
CREATE FUNCTION unqualified(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 % 10';
CREATE AGGREGATE product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1', PARALLEL = SAFE, COMBINEFUNC = numeric_mul);
COMMENT ON AGGREGATE product(numeric) IS 'aggregate';
CREATE FUNCTION close_to(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT abs($1 - $2) < 3';
CREATE OPERATOR <~> (FUNCTION = close_to, LEFTARG = int, RIGHTARG = int, COMMUTATOR = <~>, NEGATOR = <!~>, RESTRICT = eqsel, JOIN = eqjoinsel);
CREATE FUNCTION far_from(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT abs($1 - $2) >= 3';
CREATE OPERATOR <!~> (FUNCTION = far_from, LEFTARG = int, RIGHTARG = int, COMMUTATOR = <!~>, NEGATOR = <~>);
CREATE FUNCTION bang(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT $1 || '!' $$;
CREATE OPERATOR !!! (FUNCTION = bang, RIGHTARG = text);
COMMENT ON OPERATOR !!! (NONE, text) IS 'prefix operator';
CREATE OPERATOR FAMILY backwards USING btree;
CREATE FUNCTION backwards_cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT pg_catalog.btint4cmp($2, $1)';
CREATE OPERATOR CLASS backwards_ops FOR TYPE int USING btree FAMILY backwards AS
  OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 backwards_cmp(int, int);
COMMENT ON OPERATOR CLASS backwards_ops USING btree IS 'class';
COMMENT ON OPERATOR FAMILY backwards USING btree IS 'family';
CREATE CONVERSION conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
COMMENT ON CONVERSION conv IS 'conversion';
CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int4recv(internal));
CREATE ACCESS METHOD zoo_heap TYPE TABLE HANDLER heap_tableam_handler;
COMMENT ON ACCESS METHOD zoo_heap IS 'access method';
CREATE TABLE other_method (a int, t text) USING zoo_heap;
INSERT INTO other_method SELECT g, repeat('x', g) FROM generate_series(1, 500) g;
CREATE TEXT SEARCH PARSER ts_parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
CREATE TEXT SEARCH TEMPLATE ts_template (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH DICTIONARY "ts dict" (TEMPLATE = ts_template, stopwords = 'english');
CREATE TEXT SEARCH CONFIGURATION "ts config" (PARSER = ts_parser);
ALTER TEXT SEARCH CONFIGURATION "ts config" ADD MAPPING FOR asciiword, word WITH "ts dict", simple;
COMMENT ON TEXT SEARCH CONFIGURATION "ts config" IS 'configuration';
COMMENT ON TEXT SEARCH DICTIONARY "ts dict" IS 'dictionary';
COMMENT ON TEXT SEARCH PARSER ts_parser IS 'parser';
COMMENT ON TEXT SEARCH TEMPLATE ts_template IS 'template';

-- Names.
CREATE TABLE "Zoo 's ""Ñ
.%$\ "."Tab.le ""x"" 'y'
new\line % $1 é " (
  "id " int PRIMARY KEY,
  " col.umn ""q"" 'a'
%s\ é$$" text DEFAULT E'de''f"ault\\\n' COLLATE "C",
  "select" int, "ctid2" int, "~row" int, t text, "tableoid " int
);
INSERT INTO "Zoo 's ""Ñ
.%$\ "."Tab.le ""x"" 'y'
new\line % $1 é " VALUES (1, DEFAULT, 1, 2, 3, E'\n', 4), (2, '\N', NULL, NULL, NULL, '\.', NULL), (3, NULL, 0, 0, 0, '', 0);
COMMENT ON TABLE "Zoo 's ""Ñ
.%$\ "."Tab.le ""x"" 'y'
new\line % $1 é " IS E'comment; DROP TABLE x; --\n\\connect nowhere\n$$';
COMMENT ON COLUMN "Zoo 's ""Ñ
.%$\ "."Tab.le ""x"" 'y'
new\line % $1 é "." col.umn ""q"" 'a'
%s\ é$$" IS 'column''s';
CREATE INDEX "in'dex ""é
\" ON "Zoo 's ""Ñ
.%$\ "."Tab.le ""x"" 'y'
new\line % $1 é " (" col.umn ""q"" 'a'
%s\ é$$");
GRANT SELECT ("id "), UPDATE (" col.umn ""q"" 'a'
%s\ é$$") ON "Zoo 's ""Ñ
.%$\ "."Tab.le ""x"" 'y'
new\line % $1 é " TO "zoo.reader's";
ALTER TABLE "Zoo 's ""Ñ
.%$\ "."Tab.le ""x"" 'y'
new\line % $1 é " OWNER TO "Zoo ""owner"" é";
CREATE TABLE "UPPER" (a int); INSERT INTO "UPPER" VALUES (1);
CREATE TABLE upper (a int); INSERT INTO upper VALUES (2);
CREATE TABLE public.same_name (a int); INSERT INTO public.same_name VALUES (1);
CREATE TABLE zoo.same_name (a int); INSERT INTO zoo.same_name VALUES (2);
CREATE TABLE "table" ("order" int PRIMARY KEY, "user" text); INSERT INTO "table" VALUES (1, 'key words');
CREATE TABLE "é234567890123456789012345678901234567890123456789012345678901" (a int); -- 62 bytes: near the limit of 63
CREATE TABLE "../../etc/passwd" (a int); INSERT INTO "../../etc/passwd" VALUES (1);

-- Values.
CREATE TABLE hostile_values (id int PRIMARY KEY, t text, b bytea);
INSERT INTO hostile_values VALUES
  (1, '\N', '\x'), (2, '\.', '\x00'), (3, E'\\\\.', '\x5c'), (4, E'a\tb\nc\rd\be\ff\vg', '\x0a0d09'), (5, '', NULL), (6, NULL, '\xdeadbeef'),
  (7, E'\n', NULL), (8, E'\r\n\\.\r\n', NULL), (9, '\', NULL), (10, '\\', NULL), (11, 'NULL', NULL), (12, '"', NULL), (13, '''', NULL),
  (14, '  lead and trail  ', NULL), (15, E'\x01\x02\x7f', decode('000102ff', 'hex')), (16, '€ 😀 é ß ‮ ́', NULL), (17, E'end\\', NULL),
  (18, repeat('long line é\', 200000), NULL), (19, '{"a": "b\nc"}', NULL), (20, 'COPY x FROM stdin;', NULL), (21, repeat(E'\\', 70000), '\x5c5c5c');
INSERT INTO hostile_values VALUES (22, NULL, decode(repeat('00ff5c0a', 150000), 'hex'));
CREATE TABLE many_types (
  id int PRIMARY KEY, i2 smallint, i8 bigint, n numeric, n2 numeric(30,10), f4 real, f8 double precision, m money, c char(5), "c1" "char", v varchar(9), nm name,
  d date, tm time, tz timetz, ts timestamp(3), tst timestamptz, iv interval, bo boolean, u uuid, ip inet, ci cidr, ma macaddr, ma8 macaddr8, bi bit(5), vb varbit,
  p point, ln line, ls lseg, bx box, pa path, po polygon, ce circle, j json, jb jsonb, jp jsonpath, tv tsvector, tq tsquery, ar int[], ar2 text[][], r int4range, nr numrange,
  tr tstzrange, mood "Mood ""é""", pr pair, prs pair[], dom positive, co code, fl floats, mt mytext, reg regclass, typ regtype, x xid, o oid, lsn pg_lsn, ov oidvector);
INSERT INTO many_types VALUES
 (1, -32768, 9223372036854775807, 'NaN', 12345678901234567890.0123456789, 'Infinity', '-Infinity', '-92233720368547758.08', 'a', 'x', 'v', 'name', 'infinity', '24:00', '23:59:59.999999-12', '-infinity', 'infinity',
  '-178000000 years', true, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', B'10101', B'', '(1e300,-0)', '{1,2,3}', '[(0,0),(1,1)]', '((1,1),(0,0))',
  '[(0,0),(1,1)]', '((0,0),(1,1),(2,0))', '<(0,0),1e-300>', '{"a":1,  "a":2, "é\u00e9\n":null}', '{"b":[1.10,"\\u0041"],"a":{}}', '$.a[*] ? (@ > 1)', '''it''''s'':1A b c:3', '''a b'' & !c:*', '{}', '{{a,NULL},{"NULL","\"q\\"}}',
  'empty', '(,)', '["2020-01-01 00:00:00+00",infinity)', 'o''k', '(1,"b ""c"" \\ ,","{1,2}")', ARRAY[(1,NULL,NULL)::pair, (NULL,'',ARRAY[5])::pair], 5, 'code', '[1.5,2.5)', 'my ''text\', 'zoo."UPPER"', 'zoo.pair', '4294967295', 4294967295, '16/B374D848', '1 2 3'),
 (2, 0, -9223372036854775808, -1e-100, -0.0000000001, 1e-45, 5e-324, '0', '', '', '', '', '4713-01-01 BC', '00:00', '00:00:00+15:59', '4713-01-01 00:00:00 BC', '294276-12-31 23:59:59.999999+00',
  '1 mon -1 day +00:00:00.000001', false, '00000000-0000-0000-0000-000000000000', '255.255.255.255', '::/0', 'ff:ff:ff:ff:ff:ff', 'ff:ff:ff:ff:ff:ff:ff:ff', B'00000', B'1', '(NaN,Infinity)', '{0,-1,0}', '[(1,2),(3,4)]', '((0,0),(0,0))',
  '((0,0),(1,1))', '((0,0))', '<(1,1),0>', 'null', 'null', 'strict $', '', '', '[-3:-2]={1,NULL}', '{}', '[1,10)', 'empty', '(,)', 'back\slash', NULL, '{}', 2147483647, '', 'empty', '', NULL, 'int[]', '0', 0, '0/0', ''),
 (3, NULL, 1, 1.10, 1.5, 0.1, 0.1 + 0.2::float8, '1.5', ' a ', E'\\', 'é', 'é', '0044-03-15 BC', '12:00:00.1', '12:00+02:30', '1999-12-31 23:59:59.999', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
\if :v14
  CREATE TABLE multiranges (a int4multirange, b datemultirange); INSERT INTO multiranges VALUES ('{[1,3),[5,9)}', '{}'), (NULL, '{(,)}');
\endif
DO $$ BEGIN
  CREATE TABLE zoo.with_xml (x xml); INSERT INTO zoo.with_xml VALUES ('<a b="é">t</a>'), ('content only');
EXCEPTION WHEN feature_not_supported THEN RAISE NOTICE 'no XML'; END $$;

-- Kinds of columns and tables.
CREATE TABLE identities (a int GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 5), b bigint GENERATED BY DEFAULT AS IDENTITY (MINVALUE -5 START -5 CYCLE), c text);
INSERT INTO identities (c) SELECT 'row ' || g FROM generate_series(1, 20) g;
CREATE TABLE generated (a int, b int GENERATED ALWAYS AS (a * 2) STORED, c text, d text GENERATED ALWAYS AS (upper(c) || '\') STORED);
INSERT INTO generated (a, c) VALUES (1, 'x'), (2, E'y\n'), (NULL, NULL);
CREATE TABLE serials (a serial PRIMARY KEY, b bigserial, c smallserial);
INSERT INTO serials DEFAULT VALUES; INSERT INTO serials DEFAULT VALUES; DELETE FROM serials WHERE a = 2;
CREATE TABLE no_columns (); INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE no_rows (a int PRIMARY KEY, b text NOT NULL);
CREATE TABLE dropped (a int, gone1 text, b text, gone2 int, c int DEFAULT 5, gone3 numeric);
INSERT INTO dropped VALUES (1, 'x', 'y', 2, 3, 4), (2, NULL, NULL, NULL, NULL, NULL);
ALTER TABLE dropped DROP COLUMN gone1, DROP COLUMN gone2, DROP COLUMN gone3, ADD COLUMN added int DEFAULT 42, ADD COLUMN d text DEFAULT 'fast default é';
INSERT INTO dropped VALUES (3, 'z');
CREATE TABLE all_dropped (a int); INSERT INTO all_dropped VALUES (1), (2); ALTER TABLE all_dropped DROP COLUMN a;
CREATE TABLE only_generated (a int GENERATED ALWAYS AS (5) STORED); INSERT INTO only_generated DEFAULT VALUES; INSERT INTO only_generated DEFAULT VALUES;
SELECT format('CREATE TABLE zoo.wide (%s)', string_agg(format('%I text DEFAULT %L', 'column ' || g, g), ', ')) FROM generate_series(1, 300) g \gexec
INSERT INTO wide DEFAULT VALUES; INSERT INTO wide ("column 300") VALUES (NULL);
CREATE UNLOGGED TABLE unlogged (a int); INSERT INTO unlogged VALUES (1), (2);
CREATE TABLE typed OF pair (PRIMARY KEY (a)); INSERT INTO typed VALUES (1, 'x', NULL);
CREATE TABLE options (a int, t text, u text) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false);
ALTER TABLE options ALTER t SET STORAGE EXTERNAL, ALTER a SET STATISTICS 500, ALTER a SET (n_distinct = -0.5), REPLICA IDENTITY FULL;
INSERT INTO options SELECT g, repeat(md5(g::text), 300), repeat('compress ', 5000) FROM generate_series(1, 50) g;
\if :v14
  ALTER TABLE options ALTER u SET COMPRESSION pglz;
\endif
\if :v18
  CREATE TABLE virtual_columns (a int, b int GENERATED ALWAYS AS (a + 1) VIRTUAL, c int CONSTRAINT c_there NOT NULL NO INHERIT); INSERT INTO virtual_columns (a, c) VALUES (1, 1);
  CREATE TABLE not_enforced (a int, CONSTRAINT positive CHECK (a > 0) NOT ENFORCED); INSERT INTO not_enforced VALUES (-1);
  CREATE TABLE temporal (id int4range, during daterange, PRIMARY KEY (id, during WITHOUT OVERLAPS)); INSERT INTO temporal VALUES ('[1,2)', '[2020-01-01,2021-01-01)');
\endif

-- Partitions.
CREATE TABLE parts (id int NOT NULL, region text, at date NOT NULL, note text) PARTITION BY RANGE (at);
CREATE TABLE parts_2024 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (region);
CREATE TABLE "parts_2024 eu" PARTITION OF parts_2024 FOR VALUES IN ('eu', 'é''"');
CREATE TABLE parts_2024_rest PARTITION OF parts_2024 DEFAULT PARTITION BY HASH (id);
CREATE TABLE parts_hash_0 PARTITION OF parts_2024_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parts_hash_1 (note text, gone int, region text, at date NOT NULL, id int NOT NULL); -- other column order
ALTER TABLE parts_hash_1 DROP COLUMN gone;
ALTER TABLE parts_2024_rest ATTACH PARTITION parts_hash_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE parts_default PARTITION OF parts (note DEFAULT 'own default', CHECK (id > 0)) DEFAULT;
CREATE TABLE parts_empty PARTITION OF parts FOR VALUES FROM (MINVALUE) TO ('1900-01-01');
INSERT INTO parts SELECT g, (ARRAY['eu', 'us', 'asia', 'é''"'])[1 + g % 4], date '2024-01-01' + g * 3, 'note ' || g FROM generate_series(1, 400) g;
ALTER TABLE parts ADD PRIMARY KEY (id, at, region);
CREATE INDEX parts_note ON parts (note);
CREATE INDEX parts_own ON "parts_2024 eu" (lower(note));
CREATE INDEX parts_unfinished ON ONLY parts (region); -- no partition has it: it stays invalid
CREATE TABLE refers_to_parts (id int, at date, region text, FOREIGN KEY (id, at, region) REFERENCES parts ON UPDATE CASCADE);
INSERT INTO refers_to_parts SELECT id, at, region FROM parts WHERE id % 7 = 0;
CREATE TABLE lone_partitioned (a int) PARTITION BY LIST (a);
COMMENT ON TABLE parts IS 'partitioned';
CREATE TABLE by_enum (m "Mood ""é""", n int) PARTITION BY HASH (m); -- hashes of an enum change with its oids
CREATE TABLE by_enum_0 PARTITION OF by_enum FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO by_enum VALUES ('sad', 1), ('o''k', 2);

-- Inheritance.
CREATE TABLE parent (id int, name text DEFAULT 'p', CHECK (id > 0), CONSTRAINT here CHECK (id < 1000) NO INHERIT);
CREATE TABLE child (extra int) INHERITS (parent);
CREATE TABLE grandchild (name text DEFAULT 'g', more text[]) INHERITS (child);
CREATE TABLE two_parents (own int) INHERITS (parent, no_rows);
INSERT INTO parent SELECT g, 'parent' FROM generate_series(1, 30) g; INSERT INTO child SELECT g, 'child', g FROM generate_series(1, 20) g;
INSERT INTO grandchild VALUES (1, 'grand', 1, '{a}'); INSERT INTO two_parents (id, a, b) VALUES (5, 6, 'b');

-- Constraints and indexes.
CREATE TABLE constrained (a int, b int, r int4range, t text, CONSTRAINT "ch'eck ""é""" CHECK (a <> b), UNIQUE (a, b) INCLUDE (t), UNIQUE (t) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT no_overlap EXCLUDE USING gist (r WITH &&) WHERE (a > 0));
INSERT INTO constrained SELECT g, g + 1, int4range(g * 10, g * 10 + 5), 't' || g FROM generate_series(1, 100) g;
ALTER TABLE constrained ADD CONSTRAINT "not valid" CHECK (a > 50) NOT VALID;
COMMENT ON CONSTRAINT no_overlap ON constrained IS 'exclusion';
CREATE INDEX "partial é" ON constrained (b DESC NULLS LAST, (a + b)) WHERE t LIKE 't1%' AND a <> 5;
CREATE INDEX ON constrained USING hash (t);
CREATE INDEX ON constrained USING brin (a) WITH (pages_per_range = 16);
CREATE INDEX ON constrained (unqualified(a));
CREATE INDEX ON constrained (a backwards_ops);
CREATE INDEX ON constrained (t COLLATE "my C" text_pattern_ops) WITH (fillfactor = 60);
CREATE INDEX ON constrained USING gin (to_tsvector('simple', t));
ALTER INDEX "partial é" ALTER COLUMN 2 SET STATISTICS 333;
COMMENT ON INDEX "partial é" IS 'index';
CREATE UNIQUE INDEX serials_identity ON serials (b); ALTER TABLE serials ALTER b SET NOT NULL; ALTER TABLE serials REPLICA IDENTITY USING INDEX serials_identity;
ALTER TABLE serials CLUSTER ON serials_pkey;
\if :v15
  CREATE TABLE null_once (a int UNIQUE NULLS NOT DISTINCT); INSERT INTO null_once VALUES (NULL), (1);
  CREATE UNLOGGED SEQUENCE unlogged_seq;
\endif
CREATE STATISTICS "stats é" (ndistinct, dependencies, mcv) ON a, b FROM constrained;
ALTER STATISTICS "stats é" SET STATISTICS 77;
COMMENT ON STATISTICS "stats é" IS 'statistics';
\if :v14
  CREATE STATISTICS expression_stats ON (a + b), (lower(t)) FROM constrained;
\endif

-- Foreign keys: cycles, to itself, in opposite directions, deferred, not valid, with actions.
CREATE TABLE egg (id int PRIMARY KEY, hen int); CREATE TABLE hen (id int PRIMARY KEY, egg int NOT NULL REFERENCES egg DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE egg ADD CONSTRAINT "eg'g" FOREIGN KEY (hen) REFERENCES hen ON DELETE SET NULL ON UPDATE CASCADE;
BEGIN; INSERT INTO hen SELECT g, g FROM generate_series(1, 50) g; INSERT INTO egg SELECT g, 51 - g FROM generate_series(1, 50) g; COMMIT;
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree); INSERT INTO tree SELECT g, nullif(g / 2, 0) FROM generate_series(1, 100) g;
CREATE TABLE orphans (a int, b text); INSERT INTO orphans VALUES (999, 'no such hen'); ALTER TABLE orphans ADD FOREIGN KEY (a) REFERENCES hen NOT VALID;
SELECT format('CREATE TABLE zoo.ring%s (id int PRIMARY KEY, other int)', g), format('INSERT INTO zoo.ring%s SELECT i, i FROM generate_series(1, 200) i', g) FROM generate_series(0, 7) g \gexec
SELECT format('ALTER TABLE zoo.ring%s ADD FOREIGN KEY (other) REFERENCES zoo.ring%s', a, b) FROM generate_series(0, 7) a, generate_series(0, 7) b WHERE a <> b \gexec

-- Sequences.
CREATE SEQUENCE "se'q ""é""" AS smallint INCREMENT -2 MAXVALUE 100 MINVALUE -100 START 50 CACHE 5 CYCLE;
SELECT nextval('"se''q ""é"""'), setval('"se''q ""é"""', 20, false) \g /dev/null
CREATE SEQUENCE never_called START 5;
CREATE SEQUENCE owned OWNED BY no_rows.a;
COMMENT ON SEQUENCE never_called IS 'sequence';
GRANT USAGE ON SEQUENCE never_called TO "zoo.reader's";

-- Views and materialised views.
CREATE VIEW "vi'ew ""é""" ("co'l", b) WITH (security_barrier) AS SELECT a, t FROM constrained WHERE t <> E'\\''' WITH LOCAL CHECK OPTION;
COMMENT ON VIEW "vi'ew ""é""" IS 'view';
COMMENT ON COLUMN "vi'ew ""é"""."co'l" IS 'column of a view';
ALTER VIEW "vi'ew ""é""" ALTER "co'l" SET DEFAULT 7;
GRANT SELECT ("co'l") ON "vi'ew ""é""" TO "zoo.reader's";
CREATE RECURSIVE VIEW counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 5;
CREATE VIEW needs_primary_key AS SELECT h.*, count(*) AS eggs FROM hen h JOIN egg e ON e.hen = h.id GROUP BY h.id;
CREATE VIEW on_view AS SELECT * FROM needs_primary_key;
\if :v15
  CREATE VIEW as_invoker WITH (security_invoker) AS SELECT 1 AS one;
\endif
CREATE MATERIALIZED VIEW "mat ""é""" AS SELECT region, count(*) AS n FROM parts GROUP BY 1;
CREATE UNIQUE INDEX ON "mat ""é""" (region);
CREATE MATERIALIZED VIEW a_mat_on_mat AS SELECT sum(n) AS total FROM "mat ""é"""; -- sorts before the one that it needs
CREATE MATERIALIZED VIEW mat_no_data AS SELECT 1 AS a WITH NO DATA;
CREATE MATERIALIZED VIEW mat_on_view AS SELECT * FROM on_view;
COMMENT ON MATERIALIZED VIEW mat_no_data IS 'without data';
CREATE FUNCTION rows_of_view() RETURNS SETOF needs_primary_key LANGUAGE sql STABLE AS 'SELECT * FROM zoo.needs_primary_key';
CREATE TABLE default_from_function (a int DEFAULT unqualified(17), b text);

-- Rules.
CREATE TABLE ruled (a int); INSERT INTO ruled VALUES (1), (2);
CREATE RULE "ru'le" AS ON INSERT TO ruled DO ALSO INSERT INTO zoo.upper VALUES (NEW.a);
CREATE RULE nothing AS ON DELETE TO ruled WHERE OLD.a = 1 DO INSTEAD NOTHING;
CREATE RULE view_insert AS ON INSERT TO on_view DO INSTEAD INSERT INTO zoo.upper VALUES (NEW.id);
ALTER TABLE ruled DISABLE RULE nothing;
COMMENT ON RULE "ru'le" ON ruled IS 'rule';

-- Triggers. The first doubles every inserted value: rows loaded after it would differ.
CREATE FUNCTION double_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := NEW.a * 2; RETURN NEW; END $$;
CREATE FUNCTION do_nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TABLE triggered (a int, b text); INSERT INTO triggered SELECT g, 'b' FROM generate_series(1, 10) g;
CREATE TRIGGER "tri'gger ""é""" BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION double_it('arg''s', E'new\nline');
CREATE TRIGGER conditional AFTER UPDATE OF b ON triggered FOR EACH ROW WHEN (OLD.b IS DISTINCT FROM NEW.b) EXECUTE FUNCTION do_nothing();
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON triggered DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION do_nothing();
CREATE TRIGGER transition AFTER INSERT ON triggered REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION do_nothing();
CREATE TRIGGER truncated BEFORE TRUNCATE ON triggered EXECUTE FUNCTION do_nothing();
CREATE TRIGGER on_parts AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION do_nothing();
ALTER TABLE "parts_2024 eu" DISABLE TRIGGER on_parts;
CREATE TRIGGER instead INSTEAD OF UPDATE ON "vi'ew ""é""" FOR EACH ROW EXECUTE FUNCTION do_nothing();
ALTER TABLE triggered DISABLE TRIGGER conditional; ALTER TABLE triggered ENABLE ALWAYS TRIGGER deferred; ALTER TABLE triggered ENABLE REPLICA TRIGGER transition;
COMMENT ON TRIGGER "tri'gger ""é""" ON triggered IS 'trigger';

-- Row security: even its owner sees nothing.
CREATE TABLE secured (id int, who text); INSERT INTO secured SELECT g, 'user ' || g FROM generate_series(1, 100) g;
ALTER TABLE secured ENABLE ROW LEVEL SECURITY; ALTER TABLE secured FORCE ROW LEVEL SECURITY;
CREATE POLICY "po'licy ""é""" ON secured AS PERMISSIVE FOR SELECT TO "zoo.reader's", "zoo group" USING (who = current_user AND id <> 5);
CREATE POLICY restrict_it ON secured AS RESTRICTIVE FOR ALL USING (id > 0) WITH CHECK (id < 10);
COMMENT ON POLICY restrict_it ON secured IS 'policy';
CREATE TABLE secured_closed (a int); INSERT INTO secured_closed VALUES (1); ALTER TABLE secured_closed ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON secured TO "zoo.reader's";

-- Foreign data.
CREATE FOREIGN DATA WRAPPER "no handler" OPTIONS (debug 'it''s');
CREATE SERVER "ser'ver" TYPE 'x' VERSION '1' FOREIGN DATA WRAPPER "no handler" OPTIONS (host 'a''b');
CREATE USER MAPPING FOR "zoo login" SERVER "ser'ver" OPTIONS (password 'hush''');
CREATE USER MAPPING FOR PUBLIC SERVER "ser'ver";
CREATE FOREIGN TABLE "foreign" (a int OPTIONS (col 'x') NOT NULL, b text DEFAULT 'x') SERVER "ser'ver" OPTIONS (t 'y');
COMMENT ON FOREIGN TABLE "foreign" IS 'foreign table';
COMMENT ON SERVER "ser'ver" IS 'server'; COMMENT ON FOREIGN DATA WRAPPER "no handler" IS 'wrapper';
GRANT USAGE ON FOREIGN SERVER "ser'ver" TO "zoo.reader's"; GRANT USAGE ON FOREIGN DATA WRAPPER "no handler" TO "zoo group";
\if :file_fdw
  CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
  CREATE FOREIGN TABLE passwd (line text) SERVER files OPTIONS (filename '/etc/hostname', format 'text');
\endif
\if :postgres_fdw
  CREATE EXTENSION postgres_fdw; CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere.invalid');
  CREATE FOREIGN TABLE unreachable (a int) SERVER elsewhere;
\endif

-- Large objects: small, empty, sparse, of 3 MB, with owner, comment and privileges.
SELECT lo_from_bytea(700001, '\x00ff5c0a2e'), lo_create(700002), lo_create(700003), lo_from_bytea(700004, decode(repeat(md5('x') || 'ff', 184000), 'hex')), lo_from_bytea(700005, 'plain') \g /dev/null
SELECT lo_put(700003, 5000000, 'the end') \g /dev/null
ALTER LARGE OBJECT 700001 OWNER TO "Zoo ""owner"" é"; ALTER LARGE OBJECT 700004 OWNER TO zoo_owner;
GRANT SELECT, UPDATE ON LARGE OBJECT 700001 TO "zoo.reader's" WITH GRANT OPTION; GRANT SELECT ON LARGE OBJECT 700002 TO PUBLIC;
REVOKE ALL ON LARGE OBJECT 700005 FROM postgres;
COMMENT ON LARGE OBJECT 700001 IS E'large ''object''\nsecond line'; COMMENT ON LARGE OBJECT 700002 IS 'empty';
CREATE TABLE refers_to_objects (lo oid); INSERT INTO refers_to_objects VALUES (700001), (700004);

-- Owners and privileges.
ALTER TABLE constrained OWNER TO zoo_owner; ALTER TABLE parts OWNER TO zoo_owner; ALTER FUNCTION set_of OWNER TO "Zoo ""owner"" é"; ALTER TYPE pair OWNER TO zoo_owner;
ALTER MATERIALIZED VIEW mat_no_data OWNER TO zoo_owner; ALTER SEQUENCE never_called OWNER TO zoo_owner; ALTER VIEW counting OWNER TO "Zoo ""owner"" é"; ALTER TABLE secured OWNER TO zoo_owner;
GRANT SELECT ON constrained TO "zoo.reader's" WITH GRANT OPTION;
SET ROLE "zoo.reader's"; GRANT SELECT ON zoo.constrained TO "zoo group"; RESET ROLE;
GRANT ALL ON parts TO PUBLIC; GRANT INSERT (a), REFERENCES (a) ON constrained TO "zoo group"; REVOKE ALL ON tree FROM postgres;
GRANT USAGE ON LANGUAGE plpgsql TO "zoo.reader's"; REVOKE USAGE ON LANGUAGE sql FROM PUBLIC; GRANT USAGE ON LANGUAGE sql TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner IN SCHEMA zoo GRANT SELECT ON TABLES TO "zoo.reader's";
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "Zoo ""owner"" é" GRANT USAGE ON SCHEMAS TO "zoo group";

-- Publications and a subscription that connects nowhere.
CREATE PUBLICATION "pub ""é""" FOR TABLE constrained, ONLY parent WITH (publish = 'insert, update');
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert, truncate', publish_via_partition_root = true);
CREATE PUBLICATION nothing_yet;
COMMENT ON PUBLICATION "pub ""é""" IS 'publication';
\if :v15
  CREATE PUBLICATION filtered FOR TABLE hen (id) WHERE (id > 10);
  CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA public, TABLE hen WITH (publish = 'insert');
\endif
CREATE SUBSCRIPTION "sub ""é""" CONNECTION 'host=nowhere.invalid dbname=''x y''' PUBLICATION a, "B" WITH (connect = false, slot_name = NONE);
COMMENT ON SUBSCRIPTION "sub ""é""" IS 'subscription';

-- An event trigger that writes rows: it must come after everything that it would see.
CREATE TABLE ddl_log (n serial, tag text);
CREATE FUNCTION log_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO zoo.ddl_log (tag) VALUES (tg_tag); END $$;
CREATE EVENT TRIGGER "event ""é""" ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE INDEX', 'CREATE FUNCTION', 'ALTER TABLE', 'CREATE VIEW') EXECUTE FUNCTION log_ddl();
COMMENT ON EVENT TRIGGER "event ""é""" IS 'event trigger';
CREATE TABLE after_event_trigger (a int);
CREATE EVENT TRIGGER asleep ON sql_drop EXECUTE FUNCTION log_ddl(); ALTER EVENT TRIGGER asleep DISABLE;
RESET search_path;
