-- Ten columns of texts and numbers. The same rows every time.
-- psql variables: rows; phrases of a note (18: about 370 bytes a row of COPY text, 2: about 150).
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET synchronous_commit = off;
-- No key: each column can have any rule.
CREATE TABLE people (
    id bigint NOT NULL, first_name text NOT NULL, last_name text NOT NULL, email text NOT NULL, phone text, token text,
    city text, amount numeric(10, 2), visits int, note text);

INSERT INTO people
SELECT g, first, last, lower(first) || '.' || g || '@customers.' || (ARRAY['example.com', 'example.org', 'example.net'])[1 + h % 3],
       '+49 30 ' || lpad((h % 10000000)::text, 7, '0'), md5(g::text),
       (ARRAY['Berlin', 'Praha', 'Wien', 'Paris', 'Brno', 'Lyon', 'Bremen', 'Graz'])[1 + h / 5 % 8],
       (h % 1000000) / 100.0, h / 7 % 1000,
       (SELECT string_agg((ARRAY['called again', 'the delivery', 'asked for it', 'second invoice', 'by mail only', 'complained of',
                                 'a broken lid', 'is away until', 'next month', 'new address', 'last week', 'paid in cash', 'third reminder',
                                 'ordered more', 'spare parts', 'as before', 'returned two', 'of five items', 'was promised', 'a reply on',
                                 'Monday morning', 'needs papers', 'in English', 'recommends us', 'to colleagues', 'no complaints',
                                 'lost the key', 'wrong colour', 'the old price', 'before noon', 'ring the bell', 'at the gate'])
                          [1 + (hashint8(g * 32 + i) & 31)], ', ') FROM generate_series(1, :phrases) i)
FROM generate_series(1, :rows::bigint) g,
     LATERAL (SELECT abs(hashint8(g)::bigint) AS h) drawn,
     LATERAL (SELECT (ARRAY['Anna', 'Boris', 'Clara', 'David', 'Elena', 'Filip', 'Grete', 'Hana', 'Ivan', 'Jana', 'Karel', 'Lena',
                            'Marek', 'Nora', 'Otto', 'Petra'])[1 + h / 11 % 16] AS first,
                     (ARRAY['Berg', 'Horn', 'Klein', 'Linden', 'Mayer', 'Novak', 'Peters', 'Roth', 'Sommer', 'Winter'])[1 + h / 13 % 10]
                       || (ARRAY['', 'mann', 'hof', 'stein', 'bach', 'feld', 'er', 'ova'])[1 + h / 17 % 8] AS last) names;
VACUUM (ANALYZE, FREEZE);
