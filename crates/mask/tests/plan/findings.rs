//! What is found, each code that needs a catalog.

use pgark_mask::catalog::{Catalog, ConstraintFacts, IndexFacts};
use pgark_mask::finding::{Code, Severity};

use super::catalogs::{of, shop, table};
use super::{codes, outcome};

const KEEP: &str = "[policy]\ncolumns = \"keep\"\n";

/// Codes of warnings that a policy of keeping brings are left out.
pub fn beside_kept(body: &str, catalog: &Catalog) -> Vec<String> {
    let found = codes(&format!("{KEEP}{body}"), catalog);
    found.into_iter().filter(|one| !one.starts_with("M152") && !one.starts_with("M154")).collect()
}

#[test]
fn names_that_the_database_does_not_have() {
    let catalog = of(vec![table("t", &["a text"])]);
    for (body, found) in [
        ("[table.\"public.x\"]\ncolumns.a = \"null\"", "M101"),
        ("[table.\"public.t\"]\ncolumns.b = \"null\"", "M102"),
        ("[table.\"public.t\"]\nkeep = [\"b\"]", "M102"),
        ("[table.\"public.t\"]\nsubject = \"b\"", "M102"),
        ("[[column]]\nmatch = \"*.*.b\"\nuse = \"null\"", "M104"),
        ("[table.\"public.t\"]\ntype = { a = \"int5\" }", "M103"),
        ("[[reference]]\nfrom = \"public.t(a)\"\nto = \"public.x(a)\"", "M101"),
        ("[[reference]]\nfrom = \"public.t(b)\"\nto = \"public.t(a)\"", "M102"),
    ] {
        assert_eq!(beside_kept(body, &catalog), [found], "{body}");
    }
}

#[test]
fn each_column_that_no_rule_speaks_of() {
    let catalog = of(vec![table("t", &["a text", "b date"])]);
    assert_eq!(codes("", &catalog), ["M150 public.t.a", "M150 public.t.b"]);
    assert_eq!(codes(KEEP, &catalog), ["M152 public.t.a", "M152 public.t.b"]);
    let auto = codes("[policy]\ncolumns = \"auto\"", &catalog);
    assert_eq!(auto, ["M151 public.t.a", "M151 public.t.b"]);
}

#[test]
fn what_a_column_does_not_take() {
    let catalog = of(vec![table("t", &["a text not null", "b int4", "c uuid"])]);
    for (body, found) in [
        ("columns.a = \"null\"", "M112 public.t.a"),
        ("columns.b = \"email\"", "M110 public.t.b"),
        ("columns.b = { use = \"fixed\", value = \"many\" }", "M111 public.t.b"),
        (
            "columns.a = { use = \"fixed\", value = \"x\", when = \"b > 1\", otherwise = \"null\" }",
            "M112 public.t.a",
        ),
        (
            "columns.a = { use = \"fixed\", value = \"x\", when = \"nobody > 1\", otherwise = \"keep\" }",
            "M102",
        ),
    ] {
        let found_now = beside_kept(&format!("[table.\"public.t\"]\n{body}"), &catalog);
        assert!(found_now.iter().any(|one| one.starts_with(found)), "{body}: {found_now:?}");
    }
}

#[test]
fn a_tables_condition_reads_no_fictions() {
    let catalog = of(vec![table("t", &["a text", "n int4"])]);
    let found = |when: &str| {
        beside_kept(
            &format!(
                "[table.\"public.t\"]\nwhen = \"{when}\"\notherwise = \"drop\"\ncolumns.a = \"permute\""
            ),
            &catalog,
        )
    };
    assert_eq!(found("a = 'x'"), Vec::<String>::new());
    assert_eq!(found("n > 1 and masked.a = 'x'"), ["M007 public.t"]);
    // A column's condition may: its fiction is made after the other one.
    let column = "[table.\"public.t\"]\ncolumns.a = \"permute\"\ncolumns.n = { use = \"int\", when = \"masked.a = 'x'\", otherwise = \"null\" }";
    assert_eq!(beside_kept(column, &catalog), Vec::<String>::new());
}

#[test]
fn a_tables_condition_makes_no_null_where_null_is_refused() {
    let catalog = of(vec![table("t", &["a text not null", "b text", "c text not null", "n int4"])]);
    let found = |body: &str, otherwise: &str| {
        let table = format!("[table.\"public.t\"]\nwhen = \"n > 1\"\notherwise = \"{otherwise}\"\n{body}");
        beside_kept(&table, &catalog)
    };
    assert_eq!(found("columns.a = \"permute\"\ncolumns.b = \"permute\"", "null"), ["M112 public.t.a"]);
    assert_eq!(found("columns.b = \"permute\"", "null"), Vec::<String>::new());
    assert_eq!(found("columns.a = \"permute\"", "drop"), Vec::<String>::new());
    assert_eq!(found("record = \"{% set c = 'x' %}\"", "null"), ["M112 public.t.c"]);
}

#[test]
fn unique_columns_need_rules_that_keep_values_apart() {
    let catalog = of(vec![
        table("t", &["a text not null", "b text", "c text", "d text", "e text"])
            .primary("a")
            .unique("b")
            .unique("d, e")
            .unique_lower("c"),
    ]);
    let found = |body: &str| beside_kept(&format!("[table.\"public.t\"]\n{body}"), &catalog);
    assert_eq!(found("columns.a = \"person.first\""), ["M120 public.t.a"]);
    assert_eq!(found("columns.b = \"person.first\""), ["M120 public.t.b"]);
    assert_eq!(found("columns.c = \"person.first\""), ["M120 public.t.c"]);
    assert_eq!(found("columns.d = \"person.first\""), ["M121 public.t.d"]);
    assert_eq!(
        found("columns.a = \"email\"\ncolumns.b = \"permute\"\ncolumns.c = \"email\""),
        Vec::<String>::new()
    );
    assert_eq!(found("columns.b = { use = \"permute\", engine = \"random\" }"), ["M120 public.t.b"]);
    assert_eq!(found("columns.b = \"null\""), Vec::<String>::new());
}

#[test]
fn nulls_of_a_unique_column_have_no_fiction() {
    let columns = ["a text", "b text not null", "c text", "d text", "n int4"];
    let index = |table: super::catalogs::NewTable, rest: &str| table.unique_index("i", "d", rest);
    let base = || table("t", &columns).unique("a").unique("b").unique_lower("c");
    let catalog = of(vec![index(base(), "")]);
    let equal = of(vec![index(base(), "NULLS NOT DISTINCT")]);
    let found = |rule: &str, column: &str, catalog| {
        beside_kept(
            &format!("[table.\"public.t\"]\ncolumns.{column} = {{ use = {rule}, null = \"replace\" }}"),
            catalog,
        )
    };
    for rule in
        ["\"email\"", "\"string\"", "\"hash\"", "\"url\"", "\"username\"", "\"password\"", "\"domain\""]
    {
        assert_eq!(found(rule, "a", &catalog), ["M120 public.t.a"], "{rule}");
    }
    assert_eq!(found("\"email\"", "c", &catalog), ["M120 public.t.c"]);
    assert_eq!(found("\"email\"", "d", &catalog), ["M120 public.t.d"]);
    // There is no NULL, or at most one.
    assert_eq!(found("\"email\"", "b", &catalog), Vec::<String>::new());
    assert!(found("\"email\"", "d", &equal).iter().all(|one| one.starts_with("M121")));
    // By row, each NULL has its own fiction.
    assert!(
        !found("\"string\", engine = \"random\"", "a", &catalog).contains(&"M120 public.t.a".to_string())
    );
}

#[test]
fn what_the_use_of_a_kind_says_of_null_counts() {
    let catalog = of(vec![table("t", &["a text", "b text", "c text"])]);
    let body = "
[kind.nick]
use = \"fixed\"
value = \"f\"
null = \"replace\"
[table.\"public.t\"]
columns.a = { use = \"nick\", null = \"keep\" }
columns.b = \"nick\"
columns.c = { use = \"nick\", null = \"replace\" }
";
    assert_eq!(super::masked(&super::plan(body, &catalog), 1, &["\\N\t\\N\t\\N"]), ["\\N\tf\tf"]);
}

#[test]
fn an_index_in_lower_case_next_to_a_plain_one() {
    let plain = of(vec![table("t", &["c text"]).unique("c")]);
    let both = of(vec![table("t", &["c text"]).unique("c").unique_lower("c")]);
    let body = "[table.\"public.t\"]\ncolumns.c = \"permute\"";
    assert_eq!(beside_kept(body, &both), Vec::<String>::new());
    let of_catalog = |catalog| super::masked(&super::plan(body, catalog), 1, &["ABCDEFGH", "abcdefgi"]);
    assert!(of_catalog(&plain)[0].chars().all(|one| one.is_ascii_uppercase()));
    assert!(of_catalog(&both).iter().all(|row| row.chars().all(|one| one.is_ascii_lowercase())));
}

#[test]
fn both_ends_of_a_reference_have_one_rule() {
    let found = |body: &str| beside_kept(body, &shop());
    let differs = "[table.\"public.customers\"]\ncolumns.email = \"email\"\n[table.\"public.orders\"]\ncolumns.contact = \"person.first\"";
    assert_eq!(found(differs), ["M130 public.orders.contact"]);
    let kept = "[table.\"public.customers\"]\ncolumns.email = \"email\"\n[table.\"public.orders\"]\ncolumns.contact = \"keep\"";
    assert_eq!(found(kept), ["M130 public.orders.contact"]);
    let gone = "[table.\"public.customers\"]\ncolumns.email = \"email\"\n[table.\"public.orders\"]\ncolumns.contact = \"null\"";
    assert_eq!(found(gone), Vec::<String>::new());
    let one_kind = "[kind.login]\nuse = \"email\"\n[table.\"public.customers\"]\ncolumns.email = \"login\"\n[table.\"public.orders\"]\ncolumns.contact = \"login\"";
    assert_eq!(found(one_kind), Vec::<String>::new());
}

#[test]
fn a_column_whose_references_lead_to_different_rules() {
    let catalog = of(vec![
        table("a", &["id int8 not null"]).primary("id"),
        table("b", &["id int8 not null"]).primary("id"),
        table("c", &["id int8"]).foreign("id", 1, "id").foreign("id", 2, "id"),
    ]);
    let body = "[table.\"public.a\"]\ncolumns.id = { use = \"int\", domain = \"a\" }\n[table.\"public.b\"]\ncolumns.id = { use = \"int\", domain = \"b\" }";
    let found = beside_kept(body, &catalog);
    assert!(found.contains(&"M130 public.c.id".to_string()), "{found:?}");
}

#[test]
fn ends_of_a_reference_without_a_common_form() {
    let blind = of(vec![
        table("a", &["x text not null"]).primary("x").change("x", |column| column.collation = Some(9000)),
        table("b", &["y text"]).foreign("y", 1, "x"),
    ]);
    let body = "[table.\"public.a\"]\ncolumns.x = \"permute\"";
    let found = beside_kept(body, &blind);
    assert!(found.iter().all(|one| one.starts_with("M131")) && !found.is_empty(), "{found:?}");
    let zones = of(vec![
        table("a", &["x timestamptz not null"]).primary("x"),
        table("b", &["y date"]).foreign("y", 1, "x"),
    ]);
    let body =
        "[table.\"public.a\"]\ncolumns.x = { use = \"date\", min = \"2000-01-01\", max = \"2020-01-01\" }";
    let found = beside_kept(body, &zones);
    assert!(found.iter().any(|one| one.starts_with("M131")), "{found:?}");
}

#[test]
fn citext_folds_as_the_database_does_or_is_refused() {
    let of_provider = |provider: char, locale: Option<&str>| Catalog {
        provider,
        locale: locale.map(String::from),
        ..of(vec![table("t", &["a citext", "b text"])])
    };
    let rule = |rule: &str| format!("[table.\"public.t\"]\ncolumns.a = {rule}\ncolumns.b = \"hash\"");
    let (email, fixed) = (rule("\"email\""), rule("{ use = \"fixed\", value = \"f\" }"));
    let (icu, fast) = (of_provider('i', Some("de-DE")), of_provider('b', Some("PG_UNICODE_FAST")));
    for catalog in [&icu, &fast] {
        assert_eq!(beside_kept(&email, catalog), ["M131 public.t.a"]);
        // These look at no value.
        assert_eq!(beside_kept(&fixed, catalog), Vec::<String>::new());
        assert_eq!(beside_kept(&rule("\"null\""), catalog), Vec::<String>::new());
    }
    let masked =
        |catalog: &Catalog| super::masked(&super::plan(&email, catalog), 1, &["ÄB@c.de\t", "äb@C.de\t"]);
    for (catalog, are_equal) in [
        (of_provider('c', None), true),
        (of_provider('b', Some("C.UTF-8")), true),
        (of_provider('b', Some("C")), false),
    ] {
        let rows = masked(&catalog);
        assert_eq!(rows[0] == rows[1], are_equal, "{:?}", catalog.locale);
    }
}

#[test]
fn constraints_that_read_a_masked_column() {
    let catalog = of(vec![table("t", &["a text", "b mail", "c int4"]).check("a", "CHECK ((a <> ''::text))")]);
    let found = |body: &str| beside_kept(&format!("[table.\"public.t\"]\n{body}"), &catalog);
    assert_eq!(found("columns.a = \"permute\""), ["M140 public.t.a"]);
    assert_eq!(found("columns.b = \"email\""), ["M140 public.t.b"]);
    assert_eq!(found("columns.c = \"int\""), Vec::<String>::new());
}

#[test]
fn generated_columns_have_no_rule() {
    let generated = |column: &mut pgark_mask::catalog::ColumnFacts| {
        (column.generated, column.generated_from) = (true, vec!["a".into()]);
    };
    let catalog = of(vec![table("t", &["a text", "b text"]).change("b", generated)]);
    assert_eq!(
        beside_kept("[table.\"public.t\"]\ncolumns.a = \"permute\"\ncolumns.b = \"null\"", &catalog),
        ["M141 public.t.b", "M140 public.t.a"]
    );
    assert_eq!(beside_kept("[table.\"public.t\"]\ncolumns.a = \"keep\"", &catalog), ["M142 public.t.b"]);
    // The server computes it of the fiction.
    assert_eq!(beside_kept("[table.\"public.t\"]\ncolumns.a = \"permute\"", &catalog), ["M140 public.t.a"]);
}

#[test]
fn what_an_exclude_and_a_check_of_whole_rows_read() {
    let constraint = |name: &str, kind: char, columns: &[&str], definition: &str| ConstraintFacts {
        name: name.into(),
        kind,
        columns: columns.iter().map(|column| column.to_string()).collect(),
        definition: definition.into(),
        ..ConstraintFacts::default()
    };
    let columns = ["a text", "b text", "c text", "d text"];
    let found = |added: &[ConstraintFacts], column: &str| {
        let catalog = of(vec![table("t", &columns).with(|facts| {
            facts.constraints.extend_from_slice(added);
            facts.indexes.push(IndexFacts {
                name: "x".into(),
                keys: vec![Some("a".into()), None],
                expressions: vec!["lower(b)".into()],
                reads: vec!["b".into(), "c".into()],
                predicate: Some("(c IS NOT NULL)".into()),
                ..IndexFacts::default()
            });
        })]);
        beside_kept(&format!("[table.\"public.t\"]\ncolumns.{column} = \"hash\""), &catalog)
    };
    let exclude = constraint(
        "x",
        'x',
        &["a"],
        "EXCLUDE USING gist (a WITH =, lower(b) WITH =) WHERE ((c IS NOT NULL))",
    );
    for (column, is_read) in [("a", true), ("b", true), ("c", true), ("d", false)] {
        let expected: Vec<String> = is_read.then(|| format!("M140 public.t.{column}")).into_iter().collect();
        assert_eq!(found(std::slice::from_ref(&exclude), column), expected);
    }
    for (definition, is_read) in [
        ("CHECK (f(t.*))", true),
        ("CHECK (f(\"t\".*))", true),
        ("CHECK ((f(u.*) AND ('t.*'::text <> ''::text)))", false),
    ] {
        let check = constraint("whole", 'c', &[], definition);
        assert_eq!(!found(&[check], "d").is_empty(), is_read, "{definition}");
    }
}

#[test]
fn kept_values_that_nobody_can_look_into() {
    let catalog = of(vec![table("t", &["a bytea", "b xml", "c text", "d bytea", "e bytea"])]);
    let body = "
[policy]
columns = \"keep\"
[[column]]
match = \"t.d\"
use = \"keep\"
[table.\"public.t\"]
keep = [\"e\"]
";
    let outcome = outcome(body, &catalog);
    let found: Vec<_> = outcome.findings.iter().filter(|one| one.code.as_str() == "M161").collect();
    let columns: Vec<_> = found.iter().map(|one| one.column.as_deref().unwrap()).collect();
    assert_eq!(columns, ["a", "b"]);
    assert!(outcome.plan.is_some());
}

#[test]
fn rules_that_change_nothing_and_parameters_that_there_are_not() {
    let catalog = of(vec![table("t", &["a varchar(4)", "b text"]), table("u", &["c text"])]);
    let found = |body: &str| beside_kept(&format!("[table.\"public.t\"]\n{body}\n"), &catalog);
    assert_eq!(found("columns.a = { use = \"permute\", keep_last = 4 }"), ["M155 public.t.a"]);
    assert_eq!(
        found("columns.b = { use = \"replace\", regexp = \"x\", replace = \"$0\" }"),
        ["M155 public.t.b"]
    );
    assert_eq!(found("columns.b = { use = \"permute\", keep_frist = 1 }"), ["M005 public.t.b"]);
    let kinds = "
[kind.one]
use = \"hash\"
[kind.other]
use = \"hash\"
[[reference]]
from = \"public.u(c)\"
to = \"public.t(b)\"
[table.\"public.t\"]
columns.b = \"one\"
[table.\"public.u\"]
columns.c = \"other\"
";
    assert_eq!(beside_kept(kinds, &catalog), ["M132 public.u.c"]);
    assert!(outcome(&format!("{KEEP}{kinds}"), &catalog).plan.is_some());
}

#[test]
fn what_stays_plain_is_said() {
    let catalog = of(vec![table("t", &["a text", "n int4", "email text"])]);
    let found = codes("[table.\"public.t\"]\nkeep = \"*\"\n", &catalog);
    assert_eq!(found, ["M154 public.t.email"]);
    let rows = "[table.\"public.t\"]\nwhen = \"n > 1\"\notherwise = \"keep\"\nkeep = [\"n\", \"email\"]\ncolumns.a = \"permute\"\n";
    assert_eq!(codes(rows, &catalog), ["M153 public.t", "M154 public.t.email"]);
}

#[test]
fn what_is_accepted_says_why_and_errors_cannot_be() {
    let catalog = of(vec![table("t", &["email text"])]);
    let body = "[table.\"public.t\"]\nkeep = \"*\"\n[[accept]]\ncode = \"M154\"\ntable = \"public.t\"\ncolumn = \"email\"\nbecause = \"it is empty\"\n";
    let finding = &outcome(body, &catalog).findings[0];
    assert_eq!(finding.accepted.as_deref(), Some("it is empty"));
}

#[test]
fn fictions_that_read_each_other() {
    let catalog = of(vec![table("t", &["a text", "b text"])]);
    let body = "[table.\"public.t\"]\ncolumns.a = { use = \"template\", value = \"{{ masked.b }}\" }\ncolumns.b = { use = \"template\", value = \"{{ masked.a }}\" }";
    assert_eq!(codes(body, &catalog), ["M007 public.t"]);
}

#[test]
fn plain_texts_in_definitions() {
    let default =
        |column: &mut pgark_mask::catalog::ColumnFacts| column.default = Some("'Anna'::text".into());
    let catalog = of(vec![
        table("t", &["a text", "b text", "c text"])
            .change("a", default)
            .change("c", default)
            .check("b", "CHECK ((b <> 'Bert'::text))"),
    ]);
    let rules = "[table.\"public.t\"]\nkeep = [\"c\"]\ncolumns.a = \"permute\"\ncolumns.b = \"permute\"\n";
    let found = |policy: &str| codes(&format!("[policy]\ndefinitions = \"{policy}\"\n{rules}"), &catalog);
    let refused: std::collections::BTreeSet<String> = found("refuse").into_iter().collect();
    assert_eq!(Vec::from_iter(refused), ["M140 public.t.b", "M160 public.t.a", "M160 public.t.b"]);
    assert_eq!(found("keep"), ["M140 public.t.b"]);
    let warned = outcome(&format!("[policy]\ndefinitions = \"warn\"\n{rules}"), &catalog);
    assert!(warned.plan.is_some());
}

#[test]
fn what_this_version_does_not_have_is_said() {
    let catalog = of(vec![table("t", &["a text", "b text"]), table("u", &["a text"])]);
    for body in [
        "[table.\"public.t\"]\nquery = \"select 1\"\n",
        "[[reference]]\nfrom = \"public.t(a)\"\nto = \"public.u(a)\"\nwhen = \"b = 'x'\"\n",
        "[[reference]]\nfrom = \"public.t((lower(a)))\"\nto = \"public.u(a)\"\n",
    ] {
        let found = beside_kept(body, &catalog);
        assert_eq!(found.len(), 1, "{body}: {found:?}");
        assert!(found[0].starts_with("M00"), "{body}: {found:?}");
    }
}

#[test]
fn a_table_without_rows_needs_no_rules() {
    let catalog = of(vec![table("t", &["a text"])]);
    let body = "[table.\"public.t\"]\nrows = \"none\"\n";
    assert_eq!(codes(body, &catalog), Vec::<String>::new());
    assert_eq!(super::masked(&super::plan(body, &catalog), 1, &["x", "y"]), Vec::<String>::new());
}

/// A fiction of a partition key may fit another partition, or none.
#[test]
fn masked_partition_keys_need_a_partition_for_every_fiction() {
    let columns = ["region text", "id int8"];
    let catalog = |by: &str, bound: &str| {
        let mut catalog = of(vec![
            table("sales", &columns),
            table("sales_eu", &columns).child_of(1),
            table("sales_rest", &columns).child_of(1),
            table("sales_rest_1", &columns).child_of(3),
        ]);
        catalog.tables[0].partition_key = vec!["region".into()];
        catalog.tables[0].partitioned_by = Some(format!("{by} (region)"));
        catalog.tables[1].bound = Some("FOR VALUES IN ('eu')".into());
        catalog.tables[2].bound = Some(bound.into());
        catalog
    };
    let body = "[table.\"public.sales\"]\nkeep = [\"id\"]\ncolumns.region = \"permute\"\n";
    for (by, bound, is_right) in [
        ("LIST", "FOR VALUES IN ('us')", false),
        ("LIST", "DEFAULT", true),
        ("HASH", "FOR VALUES WITH (modulus 2, remainder 1)", true),
    ] {
        let outcome = outcome(body, &catalog(by, bound));
        let found: Vec<_> = outcome.findings.iter().filter(|one| one.code == Code::Constrained).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].severity == Severity::Error, !is_right, "{by} {bound}");
        let Some(plan) = outcome.plan else { continue };
        // The leaf is loaded through the topmost table; tables that have no partitions are not.
        assert_eq!([1, 2, 4].map(|oid| plan.table(oid).unwrap().loaded_through), [None, Some(1), Some(1)]);
    }
    let kept = "[table.\"public.sales\"]\nkeep = \"*\"\n";
    let kept = outcome(kept, &catalog("LIST", "FOR VALUES IN ('us')"));
    assert_eq!(kept.plan.unwrap().table(2).unwrap().loaded_through, None);
}
