SET client_min_messages = error;
-- One object of nearly every kind, with owners, privileges and comments, and with hostile names.
CREATE ROLE alice; CREATE ROLE "Bob ""the"" builder"; CREATE ROLE "Ünï"; CREATE ROLE carol; CREATE ROLE dave;
CREATE ROLE "pol role"; CREATE ROLE erin; CREATE ROLE frank; CREATE ROLE "select"; CREATE ROLE mapped; CREATE ROLE gus;
SELECT format('GRANT ALL ON DATABASE %I TO alice', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO dave WITH GRANT OPTION', current_database()) \gexec
SELECT format('COMMENT ON DATABASE %I IS ''about DATABASE rich; it''''s''', current_database()) \gexec
SELECT format('ALTER DATABASE %I SET work_mem = ''5MB''', current_database()) \gexec
SELECT format('ALTER DATABASE %I SET search_path = public, "A b"', current_database()) \gexec
SELECT format('ALTER ROLE gus IN DATABASE %I SET statement_timeout = 0', current_database()) \gexec
SELECT format('ALTER DATABASE %I CONNECTION LIMIT 77', current_database()) \gexec
SET allow_in_place_tablespaces = true;
CREATE TABLESPACE "Fast ts" LOCATION '';
CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
CREATE EXTENSION postgres_fdw; CREATE EXTENSION file_fdw; CREATE EXTENSION hstore WITH SCHEMA public;
CREATE SCHEMA app AUTHORIZATION alice;
CREATE SCHEMA "We""ird; -- Schema" AUTHORIZATION "Bob ""the"" builder";
COMMENT ON SCHEMA app IS E'line 1\nline 2; with '' quote and \\ backslash';
GRANT USAGE ON SCHEMA app TO carol, "Ünï" WITH GRANT OPTION;
ALTER SCHEMA public OWNER TO frank;
GRANT CREATE ON SCHEMA public TO PUBLIC;
-- types
CREATE TYPE app.mood AS ENUM ('sad', 'ok;', 'hap''py'); ALTER TYPE app.mood OWNER TO alice;
CREATE TYPE app.pair AS (a int, "B b" text); COMMENT ON TYPE app.pair IS 'a pair'; COMMENT ON COLUMN app.pair."B b" IS 'col';
CREATE DOMAIN app.posint AS int DEFAULT 1 CONSTRAINT pos CHECK (VALUE > 0) NOT NULL; ALTER DOMAIN app.posint OWNER TO carol;
COMMENT ON CONSTRAINT pos ON DOMAIN app.posint IS 'positive';
CREATE TYPE app.floatrange AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE TYPE app.shelly;
CREATE FUNCTION app.shelly_in(cstring) RETURNS app.shelly LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION app.shelly_out(app.shelly) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE app.shelly (INPUT = app.shelly_in, OUTPUT = app.shelly_out, LIKE = text);
GRANT USAGE ON TYPE app.mood TO dave; REVOKE USAGE ON TYPE app.mood FROM PUBLIC;
-- functions
CREATE FUNCTION app."odd;Fn"(a int DEFAULT 3, VARIADIC b text[] DEFAULT '{x;y}') RETURNS SETOF app.pair LANGUAGE plpgsql
  SET search_path TO app, pg_temp AS $fn$ BEGIN /* ; */ RETURN QUERY SELECT 1, 'x;$$'::text; END $fn$;
ALTER FUNCTION app."odd;Fn"(int, text[]) OWNER TO "Bob ""the"" builder";
CREATE FUNCTION app.sqlstd(x int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN x > 0 THEN 1 ELSE 2 END; SELECT x + 1; END;
ALTER FUNCTION app.sqlstd(int) OWNER TO carol;
CREATE FUNCTION app.outs(INOUT a int, OUT b text, x anyelement) LANGUAGE sql AS 'SELECT a, ''b'' || $1';
REVOKE ALL ON FUNCTION app.outs(int, anyelement) FROM PUBLIC; GRANT EXECUTE ON FUNCTION app.outs(int, anyelement) TO "Ünï";
CREATE PROCEDURE app.proc(IN a int, INOUT b numeric) LANGUAGE plpgsql AS $$ BEGIN b := a; END $$; ALTER PROCEDURE app.proc(int, numeric) OWNER TO alice;
COMMENT ON PROCEDURE app.proc(int, numeric) IS 'p';
CREATE FUNCTION app.trg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE FUNCTION app.evt() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE AGGREGATE app.mysum(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0'); ALTER AGGREGATE app.mysum(int) OWNER TO alice;
CREATE AGGREGATE app.myperc(float8 ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
COMMENT ON AGGREGATE app.mysum(int) IS 'sum';
CREATE FUNCTION app.eq(app.pair, app.pair) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a = ($2).a';
CREATE FUNCTION app.lt(app.pair, app.pair) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a < ($2).a';
CREATE FUNCTION app.cmp(app.pair, app.pair) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp(($1).a, ($2).a)';
CREATE OPERATOR app.=== (LEFTARG = app.pair, RIGHTARG = app.pair, FUNCTION = app.eq, COMMUTATOR = OPERATOR(app.===));
CREATE OPERATOR app.<<< (LEFTARG = app.pair, RIGHTARG = app.pair, FUNCTION = app.lt);
ALTER OPERATOR app.=== (app.pair, app.pair) OWNER TO carol;
CREATE OPERATOR FAMILY app.pfam USING btree; ALTER OPERATOR FAMILY app.pfam USING btree OWNER TO alice;
CREATE OPERATOR CLASS app.pops FOR TYPE app.pair USING btree FAMILY app.pfam AS OPERATOR 1 app.<<<, OPERATOR 3 app.===, FUNCTION 1 app.cmp(app.pair, app.pair);
ALTER OPERATOR CLASS app.pops USING btree OWNER TO alice; COMMENT ON OPERATOR CLASS app.pops USING btree IS 'ops';
CREATE CAST (app.mood AS int) WITH INOUT AS ASSIGNMENT; COMMENT ON CAST (app.mood AS int) IS 'cast';
CREATE CONVERSION app.conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8; ALTER CONVERSION app.conv OWNER TO alice;
CREATE COLLATION app."Coll C" (LOCALE = 'C'); ALTER COLLATION app."Coll C" OWNER TO carol;
CREATE TEXT SEARCH DICTIONARY app.dict (TEMPLATE = simple); ALTER TEXT SEARCH DICTIONARY app.dict OWNER TO alice;
CREATE TEXT SEARCH CONFIGURATION app.tsc (COPY = english); ALTER TEXT SEARCH CONFIGURATION app.tsc OWNER TO alice;
CREATE TEXT SEARCH PARSER app.tsp (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype);
CREATE TEXT SEARCH TEMPLATE app.tst (LEXIZE = dsimple_lexize);
CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal));
-- tables
CREATE TABLE app.people (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL COLLATE app."Coll C", m app.mood DEFAULT 'ok;',
  up text GENERATED ALWAYS AS (upper(name)) STORED, boss int, CONSTRAINT namelen CHECK (length(name) < 100) NOT VALID, UNIQUE (name) DEFERRABLE);
ALTER TABLE app.people OWNER TO alice;
ALTER TABLE app.people ADD CONSTRAINT boss_fk FOREIGN KEY (boss) REFERENCES app.people DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE app.people ADD CONSTRAINT "late;" CHECK (id < 1000000) NOT VALID;
COMMENT ON CONSTRAINT boss_fk ON app.people IS 'fk'; COMMENT ON COLUMN app.people.name IS 'who; -- really';
INSERT INTO app.people (name, boss) VALUES ('ann', 1), (E'b\\;\no''b', 1);
CREATE TABLE app.ping (id int PRIMARY KEY, pong int); CREATE TABLE app.pong (id int PRIMARY KEY, ping int REFERENCES app.ping);
ALTER TABLE app.ping ADD FOREIGN KEY (pong) REFERENCES app.pong;
CREATE TABLE "We""ird; -- Schema"."Ta;b'le
two" ("Col""umn" int DEFAULT 7, "--x" text DEFAULT 'a;b', "/*" bytea) TABLESPACE "Fast ts";
ALTER TABLE "We""ird; -- Schema"."Ta;b'le
two" OWNER TO "Ünï";
INSERT INTO "We""ird; -- Schema"."Ta;b'le
two" VALUES (1, '\.', '\x00');
GRANT SELECT ("Col""umn"), UPDATE ON "We""ird; -- Schema"."Ta;b'le
two" TO "select", PUBLIC;
CREATE TABLE app.heapy (x int) USING heap2; CREATE TABLE app.nocols ();
CREATE TABLE app.serials (s serial, b bigserial, v int);
ALTER TABLE app.serials ALTER v SET DEFAULT 4; ALTER TABLE app.serials OWNER TO carol;
CREATE SEQUENCE app.seq START 5 INCREMENT -2 MAXVALUE 10 CYCLE; ALTER SEQUENCE app.seq OWNER TO alice; SELECT nextval('app.seq');
GRANT USAGE ON SEQUENCE app.seq TO dave;
CREATE TABLE app.part (k int, t text) PARTITION BY RANGE (k); ALTER TABLE app.part OWNER TO alice;
CREATE TABLE app.part1 PARTITION OF app.part FOR VALUES FROM (0) TO (10); CREATE TABLE app.part2 PARTITION OF app.part DEFAULT TABLESPACE "Fast ts";
CREATE INDEX part_idx ON app.part (k); ALTER TABLE app.part ADD UNIQUE (k, t);
INSERT INTO app.part SELECT g, g FROM generate_series(1, 20) g;
CREATE TABLE app.parent (a int CHECK (a > 0)); CREATE TABLE app.child (b int) INHERITS (app.parent);
CREATE UNLOGGED TABLE app.unlogged (a int); ALTER TABLE app.unlogged REPLICA IDENTITY FULL;
CREATE TABLE app.excl (r int4range, EXCLUDE USING gist (r WITH &&));
CREATE INDEX expr_idx ON app.people (lower(name)) WHERE id > 0; COMMENT ON INDEX app.expr_idx IS 'idx';
ALTER TABLE app.people CLUSTER ON people_pkey; CREATE INDEX ts_idx ON app.people (m) TABLESPACE "Fast ts";
CREATE STATISTICS app.st (ndistinct, mcv) ON id, name FROM app.people; ALTER STATISTICS app.st OWNER TO alice;
-- views and rules
CREATE VIEW app.v WITH (security_barrier) AS SELECT id, name FROM app.people WHERE name <> ';' WITH CASCADED CHECK OPTION; ALTER VIEW app.v OWNER TO carol;
COMMENT ON VIEW app.v IS 'view'; ALTER VIEW app.v ALTER COLUMN name SET DEFAULT 'x';
CREATE VIEW app.circ1 AS SELECT 1 AS a; CREATE VIEW app.circ2 AS SELECT a FROM app.circ1; CREATE OR REPLACE VIEW app.circ1 AS SELECT a FROM app.circ2;
CREATE VIEW app.grp AS SELECT id, name, count(*) FROM app.people GROUP BY id;
CREATE MATERIALIZED VIEW app.mv AS SELECT count(*) AS n FROM app.people; ALTER MATERIALIZED VIEW app.mv OWNER TO alice;
CREATE UNIQUE INDEX mv_idx ON app.mv (n); CREATE MATERIALIZED VIEW app.mv2 AS SELECT n FROM app.mv WITH NO DATA; CREATE MATERIALIZED VIEW app.mv3 AS SELECT n FROM app.mv;
CREATE RULE notify_me AS ON INSERT TO app.ping DO ALSO (NOTIFY ping; UPDATE app.pong SET ping = ping); COMMENT ON RULE notify_me ON app.ping IS 'r';
CREATE TRIGGER "T;rig" BEFORE INSERT ON app.people FOR EACH ROW WHEN (NEW.name <> ';') EXECUTE FUNCTION app.trg('a;''b'); COMMENT ON TRIGGER "T;rig" ON app.people IS 't';
ALTER TABLE app.people DISABLE TRIGGER "T;rig";
CREATE CONSTRAINT TRIGGER ct AFTER INSERT ON app.ping DEFERRABLE FOR EACH ROW EXECUTE FUNCTION app.trg();
ALTER TABLE app.people ENABLE ROW LEVEL SECURITY; ALTER TABLE app.ping FORCE ROW LEVEL SECURITY;
CREATE POLICY "to" ON app.people AS RESTRICTIVE FOR UPDATE TO "pol role", erin USING (name <> 'TO x') WITH CHECK (true); CREATE POLICY pol2 ON app.people USING (true);
COMMENT ON POLICY pol2 ON app.people IS 'pol';
-- foreign
CREATE FOREIGN DATA WRAPPER fdw OPTIONS (debug 'true'); 
CREATE SERVER remote TYPE 't' VERSION '1' FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'x;y', dbname 'it''s'); ALTER SERVER remote OWNER TO alice;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE app.ft (a int OPTIONS (force_null 'true')) SERVER files OPTIONS (filename '/dev/null', format 'csv');
ALTER FOREIGN TABLE app.ft OWNER TO carol; CREATE USER MAPPING FOR mapped SERVER remote OPTIONS (user 'u', password 'p;'); CREATE USER MAPPING FOR PUBLIC SERVER remote;
GRANT USAGE ON FOREIGN SERVER remote TO dave; GRANT USAGE ON FOREIGN DATA WRAPPER fdw TO dave; COMMENT ON SERVER remote IS 's';
-- publications, event triggers, privileges
CREATE PUBLICATION pub FOR TABLE app.people (id, name) WHERE (id > 3), app.ping WITH (publish = 'insert'); CREATE PUBLICATION puball FOR ALL TABLES; CREATE PUBLICATION pubs FOR TABLES IN SCHEMA app;
CREATE EVENT TRIGGER "Ev t" ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION app.evt(); COMMENT ON EVENT TRIGGER "Ev t" IS 'ev'; ALTER EVENT TRIGGER "Ev t" DISABLE;
CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere password=''x;y''' PUBLICATION pub WITH (connect = false, slot_name = NONE, enabled = false);
ALTER DEFAULT PRIVILEGES FOR ROLE alice IN SCHEMA app GRANT SELECT ON TABLES TO carol, PUBLIC; ALTER DEFAULT PRIVILEGES FOR ROLE "Bob ""the"" builder" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
GRANT SELECT ON app.people TO carol WITH GRANT OPTION; SET ROLE carol; GRANT SELECT ON app.people TO "Ünï", dave; RESET ROLE; REVOKE INSERT ON app.people FROM alice;
GRANT ALL ON LANGUAGE plpgsql TO erin; CREATE FUNCTION app.lang_handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler'; CREATE TRUSTED LANGUAGE mylang HANDLER app.lang_handler; ALTER LANGUAGE mylang OWNER TO alice; COMMENT ON LANGUAGE mylang IS 'l';
-- large objects
SELECT lo_from_bytea(5001, '\x0102'), lo_from_bytea(5002, '\x'), lo_from_bytea(5003, '\xff'); ALTER LARGE OBJECT 5001 OWNER TO alice; GRANT SELECT ON LARGE OBJECT 5001 TO dave;
COMMENT ON LARGE OBJECT 5002 IS 'blob;';
