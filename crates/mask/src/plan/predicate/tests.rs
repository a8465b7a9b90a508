#![allow(clippy::unwrap_used)]

use super::*;
use crate::catalog::{CollationFacts, ColumnFacts, TypeFacts};
use crate::transformer::Row;

struct Values(Vec<Option<&'static str>>);

impl Row for Values {
    fn plain(&self, column: usize) -> Option<&str> {
        self.0.get(column).copied().flatten()
    }

    fn masked(&self, _: usize) -> Option<&str> {
        None
    }
}

/// The columns, their types, and a row of them.
fn columns() -> Vec<(&'static str, Kind, Option<&'static str>)> {
    let labels = ["sad", "ok"].map(String::from).to_vec();
    vec![
        ("a", Kind::Text(None), Some("x")),
        ("v", Kind::Text(Some(20)), Some("yes")),
        ("c", Kind::Char(4), Some("ab  ")),
        ("ci", Kind::Citext, Some("X")),
        ("n", Kind::Numeric(None), Some("1.50")),
        ("i", Kind::Int(4), Some("-1")),
        ("s", Kind::Int(2), Some("3")),
        ("b", Kind::Bool, Some("t")),
        ("d", Kind::Date, Some("2020-06-01")),
        ("ts", Kind::Timestamp, Some("2020-01-01 10:00:00")),
        ("tz", Kind::TimestampTz, Some("2020-01-01 00:30:00+01")),
        ("tm", Kind::Time, Some("10:30:00")),
        ("u", Kind::Uuid, Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("e", Kind::Enum(labels), Some("sad")),
        ("f", Kind::Float(8), Some("0.5")),
        ("g", Kind::Float(4), Some("0.1")),
        ("Up", Kind::Text(None), None),
        ("j", Kind::Jsonb, Some("{}")),
        ("text", Kind::Text(None), Some("x")),
    ]
}

fn database() -> Catalog {
    let mood = TypeFacts { kind: 'e', name: "mood".into(), ..TypeFacts::default() };
    let blind = CollationFacts { oid: 9, provider: 'i', ..CollationFacts::default() };
    Catalog {
        encoding: "UTF8".into(),
        ctype: "C.UTF-8".into(),
        provider: 'c',
        types: vec![mood],
        collations: vec![blind],
        ..Catalog::default()
    }
}

fn table() -> TableFacts {
    let facts =
        columns().into_iter().map(|(name, _, _)| ColumnFacts { name: name.into(), ..ColumnFacts::default() });
    TableFacts { columns: facts.collect(), ..TableFacts::default() }
}

/// Whether a predicate holds for the row; the outer None: it does not compile.
fn holds_in(catalog: &Catalog, table: &TableFacts, changed: &str, sql: &str) -> Option<Option<bool>> {
    let copied: Vec<(String, Target)> =
        columns().into_iter().map(|(name, kind, _)| (name.to_string(), Target::inner(kind))).collect();
    let is_changed = |at: usize| copied[at].0 == changed;
    let seen = Columns { catalog, table, copied: &copied, is_changed: &is_changed };
    let (condition, reads) = compile(sql, seen)?;
    let named = columns_in(sql, table);
    assert!(reads.iter().all(|at| named.contains(&copied[*at].0.as_str())), "{sql}: {reads:?} {named:?}");
    Some(condition.holds(&Values(columns().into_iter().map(|(_, _, value)| value).collect())).unwrap())
}

fn holds(sql: &str) -> Option<Option<bool>> {
    holds_in(&database(), &table(), "", sql)
}

/// Each as `pg_get_expr` wrote it on a server of version 15.
#[test]
fn predicates_as_the_server_writes_them() {
    for (sql, expected) in [
        ("(a IS NOT NULL)", Some(true)),
        ("(\"Up\" IS NULL)", Some(true)),
        ("(\"Up\" = 'x'::text)", None),
        ("(j IS NOT NULL)", Some(true)),
        ("(b AND ((v)::text = 'yes'::text))", Some(true)),
        (
            "((NOT b) AND ((v)::text = ANY ((ARRAY['x'::character varying, 'yes'::character varying])::text[])))",
            Some(false),
        ),
        ("((v)::text = ANY ((ARRAY['x'::character varying, 'yes'::character varying])::text[]))", Some(true)),
        ("((a = ANY (ARRAY['x'::text, 'it''s'::text])) AND (n > (0)::numeric))", Some(true)),
        ("(a = 'it''s'::text)", Some(false)),
        ("((n > 0.5) OR ((i > 5) AND (i < '-3'::integer)))", Some(true)),
        ("((f > (0.1)::double precision) AND (f < (5)::double precision))", Some(true)),
        // 0.1 as float4 is another number as float8.
        ("(g = (0.1)::double precision)", Some(false)),
        ("(g = '0.1'::double precision)", Some(false)),
        (
            "((d > '2020-01-01'::date) AND (ts >= '2020-01-01 10:00:00'::timestamp without time zone))",
            Some(true),
        ),
        ("(tz < '2020-01-01 00:00:00+00'::timestamp with time zone)", Some(true)),
        ("((e = 'sad'::mood) AND (e <> 'ok'::mood))", Some(true)),
        ("(e = ANY (ARRAY['ok'::public.mood, 'sad'::public.mood]))", Some(true)),
        ("(ci = 'x'::citext)", Some(true)),
        ("(c = 'ab'::bpchar)", Some(true)),
        ("((lower(a) = 'x'::text) AND (length((v)::text) > 2))", Some(true)),
        ("(COALESCE(\"Up\", ''::text) <> ''::text)", Some(false)),
        ("((a ~~ 'x%'::text) AND ((v)::text !~~ '_y'::text))", Some(true)),
        ("((i = '-1'::integer) AND (n = '1.5'::numeric) AND (i <> ALL (ARRAY[1, 2])))", Some(true)),
        ("(n = ANY (ARRAY[(1)::numeric, 1.5]))", Some(true)),
        ("((b IS TRUE) AND (b IS NOT FALSE) AND (b = true) AND (b IS NOT UNKNOWN))", Some(true)),
        (
            "((u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid) AND (tm > '10:00:00'::time without time zone))",
            Some(true),
        ),
        ("(((i >= '-1'::integer) AND (i <= 5)) AND (s > (2)::bigint) AND ((i)::numeric < 1.5))", Some(true)),
        ("(text = 'x'::text)", Some(true)),
    ] {
        assert_eq!(holds(sql), Some(expected), "{sql}");
    }
}

#[test]
fn what_may_mean_something_else_does_not_compile() {
    for sql in [
        "",
        "(a IS DISTINCT FROM 'x'::text)",
        "(a ~ 'x'::text)",
        "(a ~~* 'x'::text)",
        "((a COLLATE \"C\") = 'x'::text)",
        "(a < 'x'::text)",
        "(i = ANY ('{1,2}'::integer[]))",
        "(j ? 'x'::text)",
        "((a || (v)::text) = 'x'::text)",
        // As text, these compare in another way.
        "((ci)::text = 'x'::text)",
        "((c)::text = 'ab'::text)",
        "((n)::double precision = '5'::double precision)",
        "((e)::text = 'sad'::text)",
        "((COALESCE(v, ''::character varying))::text <> ''::text)",
        // The cast cuts or rounds.
        "((v)::text = 'yes and no'::character varying(3))",
        "(i = (1.5)::integer)",
        "(f = (0.1)::real)",
        "(g = ANY (ARRAY[(0.1)::double precision, (0.2)::double precision]))",
        "(a = E'x\\\\y'::text)",
        "(c ~~ 'ab%'::text)",
        "(upper(a) = 'X'::text)",
        "(unheard = 1)",
        "(now() > tz)",
        "\nCASE\n    WHEN b THEN (i > 3)\n    ELSE true\nEND",
        "(a = NULL::text)",
        "(a IS NOT NULL",
    ] {
        assert_eq!(holds(sql), None, "{sql}");
    }
}

#[test]
fn the_case_and_the_collation_have_to_be_known() {
    let icu = Catalog { provider: 'i', locale: Some("de".into()), ..database() };
    let ascii = Catalog { ctype: "C".into(), ..database() };
    for other in [&icu, &ascii] {
        assert_eq!(holds_in(other, &table(), "", "(lower(a) = 'x'::text)"), None);
        assert_eq!(holds_in(other, &table(), "", "(ci = 'x'::citext)"), None);
        assert_eq!(holds_in(other, &table(), "", "(a = 'x'::text)"), Some(Some(true)));
    }
    let mut blind = table();
    blind
        .columns
        .iter_mut()
        .filter(|column| column.name == "a")
        .for_each(|column| column.collation = Some(9));
    assert_eq!(holds_in(&database(), &blind, "", "(a = 'x'::text)"), None);
    assert_eq!(holds_in(&database(), &blind, "", "(a IS NOT NULL)"), Some(Some(true)));
    let bytes = Catalog { encoding: "SQL_ASCII".into(), ..database() };
    assert_eq!(holds_in(&bytes, &table(), "", "(length(a) > 0)"), None);
}

#[test]
fn columns_that_the_server_changes_only_count_as_null() {
    assert_eq!(holds_in(&database(), &table(), "n", "(n > (0)::numeric)"), None);
    assert_eq!(holds_in(&database(), &table(), "n", "(n IS NOT NULL)"), Some(Some(true)));
}

#[test]
fn columns_of_sql() {
    let found = |sql: &str| columns_in(sql, &table()).join(" ");
    assert_eq!(found("((v)::text = 'a'::text)"), "v");
    assert_eq!(found("((\"Up\" || \"text\") = lower(a))"), "Up text a");
    let not_null = |sql: &str| not_null_of(sql, &table()).map(|names| names.join(" "));
    assert_eq!(not_null("(a IS NOT NULL)"), Some("a".into()));
    assert_eq!(not_null("((a IS NOT NULL) AND (\"Up\" IS NOT NULL))"), Some("a Up".into()));
    assert_eq!(not_null("((a IS NOT NULL) OR (v IS NOT NULL))"), None);
    assert_eq!(not_null("((a IS NOT NULL) AND b)"), None);
    assert_eq!(not_null("(NOT (a IS NOT NULL))"), None);
    assert_eq!(not_null("(a IS NULL)"), None);
}
