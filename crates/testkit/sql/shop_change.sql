-- Changes about 1 % of the shop's rows: most updated, some inserted, some deleted. Each call changes other rows.
\set ON_ERROR_STOP on
\encoding UTF8
SET client_min_messages = warning;
SET search_path = shop, pg_catalog;
SELECT nextval('change_round_seq') AS round \gset
BEGIN;
UPDATE customers SET notes = 'Changed in round ' || :round || ', number ' || id, marketing = NOT marketing WHERE h(id, 900 + :round) % 100 = 0;
UPDATE orders SET status = 'shipped', remark = 'round ' || :round WHERE h(id, 910 + :round) % 100 = 0;
UPDATE order_items SET quantity = quantity + 1 WHERE h(order_id * 8 + line, 920 + :round) % 100 = 0;
UPDATE documents SET body = body || 'Addendum ' || :round || E'\n', meta = meta || jsonb_build_object('round', :round) WHERE h(id, 930 + :round) % 100 = 0;
DELETE FROM order_items WHERE h(order_id * 8 + line, 940 + :round) % 1000 = 0;
DELETE FROM documents WHERE picture IS NULL AND h(id, 950 + :round) % 1000 = 0;
WITH top AS (SELECT max(id) AS id FROM orders), fresh AS (
  INSERT INTO orders SELECT top.id + i, date '2026-06-01' + i::int % 100, o.customer_id, 'new', o.total, nextval('invoice_no_seq'), o.ship_to, 'again'
  FROM top, (SELECT row_number() OVER (ORDER BY id) AS i, * FROM orders WHERE h(id, 960 + :round) % 500 = 0) AS o RETURNING id, ordered_on)
INSERT INTO order_items SELECT id, 1, ordered_on, 'SKU-NEW-' || :round, 1, 9.99 FROM fresh;
INSERT INTO customers (given_name, family_name, email, phone)
  SELECT 'New', 'Customer', 'new.' || :round || '.' || i || '@example.com', '+44 20 ' || i FROM generate_series(1, (SELECT count(*) / 500 + 1 FROM customers)) i;
SELECT lo_put(picture, 0, 'changed'::bytea || int4send(:round)) FROM documents WHERE picture IS NOT NULL AND h(id, 970 + :round) % 100 = 0 \g /dev/null
UPDATE documents SET picture = lo_from_bytea(0, decode(repeat(md5(id || '.' || :round), 200), 'hex'))
  WHERE id = (SELECT min(id) FROM documents WHERE picture IS NULL);
COMMIT;
REFRESH MATERIALIZED VIEW revenue;
