-- The reference shop: about 630 MB of COPY text in four tables, 6.5 million rows. The same rows every time.
-- psql variable: scale (1 is the reference size).
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET synchronous_commit = off;
CREATE TABLE customers (
    id int NOT NULL, email text NOT NULL, full_name text NOT NULL, phone text, city text, born date,
    created_at timestamptz NOT NULL, preferences jsonb);
CREATE TABLE orders (
    id int NOT NULL, customer_id int NOT NULL, status text NOT NULL, total numeric(10, 2) NOT NULL,
    placed_at timestamptz NOT NULL, note text);
CREATE TABLE order_items (
    order_id int NOT NULL, line smallint NOT NULL, product_id int NOT NULL, quantity smallint NOT NULL,
    price numeric(8, 2) NOT NULL, discount real);
CREATE TABLE documents (
    id int NOT NULL, customer_id int NOT NULL, kind text NOT NULL, title text, body text NOT NULL, meta jsonb);

INSERT INTO customers
SELECT g, 'user' || g || '.' || substr(md5(g::text), 1, 6) || '@example.' || (ARRAY['com', 'org', 'net', 'de', 'cz'])[1 + g % 5],
       (ARRAY['Anna', 'Boris', 'Clara', 'David', 'Elena', 'Filip', 'Grete', 'Hana', 'Ivan', 'Jana'])[1 + g % 10] || ' '
         || initcap(substr(md5('n' || g), 1, 8)),
       '+49 ' || (100 + g % 900) || ' ' || abs(hashint4(g)) % 10000000,
       (ARRAY['Berlin', 'Praha', 'Wien', 'Paris', 'Kraków', 'München', 'Brno', 'Lyon'])[1 + abs(hashint4(g)) % 8],
       date '1940-01-01' + abs(hashint4(g + 1)) % 25000,
       timestamptz '2018-01-01' + g * interval '7 minutes',
       jsonb_build_object('lang', (ARRAY['de', 'cs', 'fr', 'pl'])[1 + g % 4], 'newsletter', g % 3 = 0, 'score', abs(hashint4(g)) % 1000)
FROM generate_series(1, 400000 * :scale) g;

INSERT INTO orders
SELECT g, 1 + abs(hashint4(g)) % (400000 * :scale), (ARRAY['new', 'paid', 'packed', 'sent', 'done', 'returned'])[1 + g % 6],
       (abs(hashint4(g + 7)) % 100000) / 100.0, timestamptz '2019-01-01' + g * interval '83 seconds',
       CASE WHEN g % 4 = 0 THEN 'ring twice, ' || substr(md5(g::text), 1, 12) END
FROM generate_series(1, 1500000 * :scale) g;

INSERT INTO order_items
SELECT 1 + g / 3, g % 3, abs(hashint4(g)) % 50000, 1 + abs(hashint4(g + 3)) % 9, (abs(hashint4(g + 5)) % 50000) / 100.0,
       CASE WHEN g % 10 = 0 THEN 0.1 * (g % 7) END
FROM generate_series(0, 4400000 * :scale - 1) g;

INSERT INTO documents
SELECT g, 1 + abs(hashint4(g)) % (400000 * :scale), (ARRAY['invoice', 'letter', 'claim', 'contract'])[1 + g % 4],
       'Document ' || g || ' of ' || substr(md5('t' || g), 1, 10),
       (SELECT string_agg('Dear customer, regarding the ' || (ARRAY['delivery', 'invoice', 'return', 'complaint', 'contract'])[1 + abs(hashint4(g + i)) % 5]
                          || ' number ' || abs(hashint4(g * 10 + i)) || ' we found the reference ' || md5(g || '/' || i)
                          || E'\tand filed it on page ' || i || E'.\n', '' ORDER BY i) FROM generate_series(1, 8) i),
       jsonb_build_object('pages', g % 30, 'hash', md5('h' || g), 'tags', jsonb_build_array('archive', 'y' || (2015 + g % 10)))
FROM generate_series(1, 280000 * :scale) g;

ALTER TABLE customers ADD PRIMARY KEY (id);
ALTER TABLE orders ADD PRIMARY KEY (id);
ALTER TABLE order_items ADD PRIMARY KEY (order_id, line);
ALTER TABLE documents ADD PRIMARY KEY (id);
CREATE INDEX ON customers (email);
CREATE INDEX ON orders (customer_id);
CREATE INDEX ON orders (placed_at);
CREATE INDEX ON order_items (product_id);
CREATE INDEX ON documents (customer_id);
ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE documents ADD FOREIGN KEY (customer_id) REFERENCES customers (id);
VACUUM (ANALYZE, FREEZE);
