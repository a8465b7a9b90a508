-- Rows of distinct values under unique keys, for the memory that keeping them unique takes.
-- psql variable: rows.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET synchronous_commit = off;
CREATE TABLE members (id bigint NOT NULL, email text NOT NULL, number int NOT NULL, name text NOT NULL, city text);

INSERT INTO members
SELECT g, 'member.' || g || '@example.org', g, initcap(substr(md5(g::text), 1, 10)),
       (ARRAY['Berlin', 'Praha', 'Wien', 'Paris', 'Brno', 'Lyon', 'Bremen', 'Graz'])[1 + g % 8]
FROM generate_series(1, :rows::bigint) g;

ALTER TABLE members ADD PRIMARY KEY (id);
ALTER TABLE members ADD UNIQUE (email);
ALTER TABLE members ADD UNIQUE (number, name);
VACUUM (ANALYZE, FREEZE);
