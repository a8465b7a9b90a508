//! Unique keys: which ones are proved while rows are masked, and what rows are to them.

use std::collections::HashMap;

use pgark_mask::catalog::{Catalog, CollationFacts};
use pgark_mask::finding::Code;
use pgark_mask::plan::{Masker, Plan};
use pgark_mask::row::RawRow;

use super::catalogs::{NewTable, of, table};
use super::{field, outcome, plan};

const KEEP: &str = "[policy]\ncolumns = \"keep\"\ndefinitions = \"keep\"\n[table.\"public.t\"]\n";

/// The rule of each fiction here is the same text, so that keys meet.
fn fixed(column: &str) -> String {
    format!("columns.{column} = {{ use = \"fixed\", value = \"f\" }}\n")
}

/// The names of the keys to prove, and `constraint: message` of each M121.
fn keys_of(body: &str, catalog: &Catalog) -> (Vec<String>, Vec<String>) {
    let outcome = outcome(&format!("{KEEP}{body}"), catalog);
    let said = outcome.findings.iter().filter(|finding| finding.code == Code::UniqueAtRun);
    let said = said.map(|finding| {
        let is_proved = finding.message.contains("a duplicate ends the backup");
        let is_unknown = finding.message.contains("is not known");
        assert!(is_proved != is_unknown, "{}", finding.message);
        assert!(finding.message.contains(finding.constraint.as_deref().unwrap()));
        let column = finding.column.as_deref().unwrap();
        format!(
            "{}.{column} {}",
            finding.constraint.as_deref().unwrap(),
            if is_proved { "proved" } else { "unknown" }
        )
    });
    let said = said.collect();
    let plan = outcome.plan.unwrap_or_else(|| panic!("{:#?}", outcome.findings));
    let names = plan.table(1).unwrap().keys_to_prove().iter().map(|key| key.name().to_string());
    (names.collect(), said)
}

/// Of each row: what it is to each key, as small numbers: equal ones for equal keys; `-` takes no
/// part. A dropped row is empty.
fn numbers(plan: &Plan, oid: u32, rows: &[&str]) -> Vec<String> {
    let mut masker = Masker::new(plan.table(oid).unwrap());
    let mut known: Vec<HashMap<u64, usize>> = vec![HashMap::new(); masker_keys(plan, oid)];
    let mut shown = Vec::new();
    for row in rows {
        masker.mask(RawRow::new(row.as_bytes())).unwrap();
        let all = masker.key_hashes().iter().zip(&mut known).map(|(hash, known)| match hash {
            None => "-".to_string(),
            Some(hash) => {
                let next = known.len();
                known.entry(*hash).or_insert(next).to_string()
            }
        });
        shown.push(all.collect::<Vec<_>>().join(" "));
    }
    shown
}

fn masker_keys(plan: &Plan, oid: u32) -> usize {
    plan.table(oid).unwrap().keys_to_prove().len()
}

fn proved(body: &str, catalog: &Catalog, rows: &[&str]) -> Vec<String> {
    numbers(&plan(&format!("{KEEP}{body}"), catalog), 1, rows)
}

fn of_one(table: NewTable) -> Catalog {
    of(vec![table])
}

#[test]
fn a_composite_key_with_a_masked_column() {
    let catalog = of_one(table("t", &["a text", "b text"]).unique("a, b"));
    let (keys, said) = keys_of(&fixed("a"), &catalog);
    assert_eq!((keys, said), (vec!["t_a_b_u".into()], vec!["t_a_b_u.a proved".into()]));
    // The plain value of a says nothing; a NULL is another one each time.
    let rows = ["x\t1", "y\t1", "y\t2", "\\N\t1", "\\N\t1", "z\t\\N"];
    assert_eq!(proved(&fixed("a"), &catalog, &rows), ["0", "0", "1", "-", "-", "-"]);
    // Nothing is masked, or nothing can become equal: nothing is proved.
    for body in ["", "columns.a = \"null\"", "columns.a = { use = \"permute\", unique = true }"] {
        assert_eq!(keys_of(body, &catalog), (vec![], vec![]), "{body}");
    }
    // `unique` was not asked for.
    assert_eq!(keys_of("columns.a = \"permute\"", &catalog).0, ["t_a_b_u"]);
}

#[test]
fn hashes_depend_on_the_run_alone() {
    let catalog = of_one(table("t", &["a text", "b text"]).unique("a, b"));
    let of_run = |run: &str| {
        let mask = super::key("a key of sixteen bytes, or more");
        let run = super::key(run);
        let keys = pgark_mask::plan::Keys { mask: &mask, run: &run };
        let plan = Plan::make(&super::rules(&format!("{KEEP}{}", fixed("a"))), &catalog, keys).plan.unwrap();
        let mut masker = Masker::new(plan.table(1).unwrap());
        masker.mask(RawRow::new(b"x\ty")).unwrap();
        masker.key_hashes().to_vec()
    };
    assert_eq!(of_run("the key of this very run"), of_run("the key of this very run"));
    assert_ne!(of_run("the key of this very run"), of_run("the key of the next run"));
}

#[test]
fn nulls_that_are_equal() {
    let definition = "UNIQUE NULLS NOT DISTINCT (a, b)";
    let of_constraint = of_one(
        table("t", &["a text", "b text"])
            .unique("a, b")
            .with(|table| table.constraints[0].definition = definition.into()),
    );
    let of_index = of_one(table("t", &["a text", "b text"]).unique_index("i", "a, b", "NULLS NOT DISTINCT"));
    let rows = ["x\t1", "\\N\t1", "\\N\t1", "\\N\t\\N", "\\N\t\\N", "x\t\\N"];
    for catalog in [of_constraint, of_index] {
        assert_eq!(proved(&fixed("a"), &catalog, &rows), ["0", "1", "1", "2", "2", "3"]);
        // One NULL after the other.
        assert_eq!(proved("columns.a = \"null\"", &catalog, &["x\t1", "y\t1"]), ["0", "0"]);
    }
}

#[test]
fn a_unique_column_alone_is_unique_by_its_rule() {
    let catalog = of_one(table("t", &["a text", "n int4"]).unique("a"));
    assert_eq!(keys_of("columns.a = \"email\"", &catalog), (vec![], vec![]));
    // The index of the constraint is the same key.
    let indexed = of_one(table("t", &["a text", "n int4"]).unique("a").unique_index("t_a_u", "a", ""));
    assert_eq!(keys_of("columns.a = \"email\"", &indexed), (vec![], vec![]));
    // Fictions next to plain values: one may be the other.
    let when = "columns.a = { use = \"permute\", when = \"n > 1\", otherwise = \"keep\" }";
    assert_eq!(keys_of(when, &catalog).1, ["t_a_u.a proved"]);
    let null = "columns.a = { use = \"permute\", when = \"n > 1\", otherwise = \"null\" }";
    assert_eq!(keys_of(null, &catalog), (vec![], vec![]));
    let rows = "when = \"n > 1\"\notherwise = \"keep\"\ncolumns.a = \"permute\"";
    assert_eq!(keys_of(rows, &catalog).0, ["t_a_u"]);
}

#[test]
fn a_key_with_a_unique_column_in_it_needs_no_proof() {
    let keys = |body: &str| {
        let columns = ["id int8 not null", "tenant int4", "name text"];
        let catalog = of_one(table("t", &columns).primary("id").unique("tenant, id").unique("tenant, name"));
        keys_of(body, &catalog).0
    };
    assert_eq!(keys("columns.tenant = \"int\""), ["t_tenant_name_u"]);
    assert_eq!(keys("columns.tenant = \"int\"\ncolumns.id = \"int\""), ["t_tenant_name_u"]);
    assert_eq!(keys("columns.id = \"int\""), Vec::<String>::new());
    // A reference to a unique key is as unique as the key is.
    let catalog = of(vec![
        table("t", &["customer int8", "line int4"]).foreign("customer", 2, "id").unique("customer, line"),
        table("customers", &["id int8 not null"]).primary("id"),
    ]);
    let body = "[policy]\ncolumns = \"keep\"\n[table.\"public.customers\"]\ncolumns.id = \"int\"\n";
    let plan = plan(body, &catalog);
    assert_eq!(masker_keys(&plan, 1), 0);
}

#[test]
fn partial_keys() {
    let with = |predicate: &str| {
        let columns = ["a text", "kind text", "gone timestamp", "n numeric(4,1)"];
        of_one(table("t", &columns).unique_index("i", "a, kind", &format!("WHERE {predicate}")))
    };
    let rows = ["x\tk\t\\N\t1", "y\tk\t\\N\t1", "y\tl\t\\N\t1", "z\tk\t2000-01-01 00:00:00\t1"];
    let live = with("(gone IS NULL)");
    assert_eq!(keys_of(&fixed("a"), &live).1, ["i.a proved"]);
    assert_eq!(proved(&fixed("a"), &live, &rows), ["0", "0", "1", "-"]);
    // It is the masked row that the server sees.
    let body = format!("{}columns.gone = \"null\"\n", fixed("a"));
    assert_eq!(keys_of(&body, &live).1, ["i.a proved", "i.gone proved"]);
    assert_eq!(proved(&body, &live, &rows), ["0", "0", "1", "0"]);
    // Kept keys whose rows come under the predicate only when they are masked.
    let uncovered =
        proved("columns.gone = \"null\"", &live, &["x\tk\t\\N\t1", "x\tk\t2000-01-01 00:00:00\t1"]);
    assert_eq!(uncovered, ["0", "0"]);
    let of_kind = with("((kind = 'k'::text) AND (n > 0.5))");
    assert_eq!(proved(&fixed("a"), &of_kind, &rows), ["0", "0", "-", "0"]);
    // Unknown is not true.
    assert_eq!(proved(&fixed("a"), &of_kind, &["x\tk\t\\N\t\\N"]), ["-"]);
    let unknown = with("(kind ~ 'k'::text)");
    assert_eq!(keys_of(&fixed("a"), &unknown), (vec![], vec!["i.a unknown".into()]));
    // The server rounds a fiction before it looks.
    let rounds = format!("{}columns.n = {{ use = \"fixed\", value = \"0.04\" }}\n", fixed("a"));
    assert_eq!(keys_of(&rounds, &with("(n > (0)::numeric)")).1, ["i.a unknown", "i.n unknown"]);
}

#[test]
fn partial_keys_of_a_column_that_its_rule_keeps_unique() {
    let with = |predicate: &str| of_one(table("t", &["a text", "b text"]).unique_index("i", "a", predicate));
    let email = "columns.a = \"email\"\n";
    for predicate in ["", "WHERE (b IS NULL)", "WHERE (a IS NOT NULL)", "WHERE (b ~ 'x'::text)"] {
        assert_eq!(keys_of(email, &with(predicate)), (vec![], vec![]), "{predicate}");
    }
    // Masked rows are other rows to the predicate.
    assert_eq!(keys_of(email, &with("WHERE (a <> ''::text)")).1, ["i.a proved"]);
    let both = format!("{email}columns.b = \"null\"\n");
    assert_eq!(keys_of(&both, &with("WHERE (b IS NULL)")).1, ["i.a proved", "i.b proved"]);
}

#[test]
fn keys_in_lower_and_upper_case() {
    let with = |keys: &str| of_one(table("t", &["a text", "b text"]).unique_index("i", keys, ""));
    let rows = ["ÄB\t1", "äb\t1", "ab\t1", "ÄB\t2"];
    let when = |column: &str| {
        format!(
            "columns.{column} = {{ use = \"fixed\", value = \"Q\", when = \"b = '9'\", otherwise = \"keep\" }}\n"
        )
    };
    let lower = with("lower(a), b");
    assert_eq!(keys_of(&when("a"), &lower).1, ["i.a proved"]);
    assert_eq!(proved(&when("a"), &lower, &rows), ["0", "0", "1", "2"]);
    assert_eq!(proved(&when("a"), &with("upper((a)::text), b"), &rows), ["0", "0", "1", "2"]);
    // lower(a) alone has rules that make lower case.
    assert_eq!(keys_of("columns.a = \"email\"", &with("lower(a)")), (vec![], vec![]));
    assert_eq!(keys_of("columns.a = \"email\"", &with("upper(a)")).1, ["i.a proved"]);
    assert_eq!(keys_of(&fixed("a"), &with("btrim(a), b")).1, ["i.a unknown"]);
    // ICU looks at the neighbours of a letter.
    let icu = Catalog { provider: 'i', locale: Some("de".into()), ..lower };
    assert_eq!(keys_of(&fixed("a"), &icu).1, ["i.a unknown"]);
    let ascii = Catalog { provider: 'c', ctype: "C".into(), ..icu };
    assert_eq!(proved(&when("a"), &ascii, &rows), ["0", "1", "2", "3"]);
}

#[test]
fn values_are_equal_as_the_server_says() {
    let columns = ["a text", "n numeric", "m numeric(6,2)", "c bpchar(4)", "ci citext", "d timestamp"];
    let on = |keys: &str| of_one(table("t", &columns).unique(keys));
    let row = |n: &str, m: &str, c: &str, ci: &str| format!("x\t{n}\t{m}\t{c}\t{ci}\t2000-01-01 00:00:00");
    let rows = [row("1.0", "1", "ab  ", "Ab"), row("1.00", "1.00", "ab", "aB"), row("1.01", "2", "b", "b")];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    for keys in ["a, n", "a, m", "a, c", "a, ci"] {
        assert_eq!(proved(&fixed("a"), &on(keys), &rows), ["0", "0", "1"], "{keys}");
    }
    // The server rounds what a rule writes.
    let rounded = "columns.m = { use = \"template\", value = \"{{ 1.001 if c == 'b' else 0.999 }}\" }";
    assert_eq!(proved(rounded, &on("a, m"), &rows), ["0", "0", "0"]);
    // As many rounded times as there are may be equal.
    let seconds = of_one(table("t", &columns).unique("a, d").change("d", |column| column.modifier = 0));
    let shift = "columns.d = { use = \"shift\", by = \"60 days\" }";
    assert_eq!(keys_of(shift, &seconds).1, ["t_a_d_u.d unknown"]);
    assert_eq!(keys_of(shift, &on("a, d")).1, ["t_a_d_u.d proved"]);
}

#[test]
fn collations_that_only_the_server_knows() {
    let blind = |change: fn(&mut pgark_mask::catalog::TableFacts)| {
        of_one(table("t", &["a text", "b text"]).unique_index("i", "a, b", "").with(change))
    };
    assert_eq!(keys_of(&fixed("a"), &blind(|_| {})).1, ["i.a proved"]);
    // 9000 is not deterministic.
    let of_index = blind(|table| table.indexes[0].collations = vec![None, Some(9000)]);
    assert_eq!(keys_of(&fixed("a"), &of_index).1, ["i.a unknown"]);
    // Also where the rule keeps values apart: the index may call them equal.
    let alone = of_one(
        table("t", &["a text"])
            .unique_index("i", "a", "")
            .with(|table| table.indexes[0].collations = vec![Some(9000)]),
    );
    assert_eq!(keys_of("columns.a = \"email\"", &alone).1, ["i.a unknown"]);
    let known = CollationFacts { oid: 9000, deterministic: true, ..CollationFacts::default() };
    let known = Catalog { collations: vec![known], ..of_index };
    assert_eq!(keys_of(&fixed("a"), &known).1, ["i.a proved"]);
}

#[test]
fn columns_that_a_record_sets() {
    let catalog = of_one(table("t", &["a text", "b text", "n int4"]).unique("a").unique("b, n"));
    let record = "record = \"{% set a = n %}{% set b = null() if n == 2 else 'same' %}\"\n";
    let (keys, said) = keys_of(record, &catalog);
    assert_eq!(keys, ["t_a_u", "t_b_n_u"]);
    assert_eq!(said, ["t_a_u.a proved", "t_b_n_u.b proved"]);
    let rows = ["x\ty\t1", "z\ty\t1", "z\ty\t2", "z\ty\t3"];
    assert_eq!(proved(record, &catalog, &rows), ["0 0", "0 0", "1 -", "2 1"]);
}

#[test]
fn plain_rows_take_part_and_dropped_rows_do_not() {
    let catalog = of_one(table("t", &["a text", "n int4"]).unique("a, n"));
    let rows = ["f\t1", "x\t2", "f\t2", "x\t1"];
    let of = |otherwise: &str| {
        let body = format!("when = \"n > 1\"\notherwise = \"{otherwise}\"\n{}", fixed("a"));
        proved(&body, &catalog, &rows)
    };
    assert_eq!(of("keep"), ["0", "1", "1", "2"]);
    assert_eq!(of("null"), ["-", "0", "0", "-"]);
    assert_eq!(of("drop"), ["", "0", "0", ""]);
}

#[test]
fn generated_columns_and_types_of_many_texts() {
    let generated =
        of_one(table("t", &["a text", "b text", "c text"]).unique("b, c").change("b", |column| {
            (column.generated, column.generated_from) = (true, vec!["a".into()]);
        }));
    assert_eq!(keys_of(&fixed("a"), &generated), (vec![], vec!["t_b_c_u.b unknown".into()]));
    assert_eq!(keys_of(&fixed("c"), &generated).1, ["t_b_c_u.c unknown"]);
    let document = of_one(table("t", &["a text", "j jsonb"]).unique("a, j"));
    assert_eq!(keys_of(&fixed("a"), &document).1, ["t_a_j_u.a proved"]);
    let body = "columns.j = { use = \"fixed\", value = \"{}\" }";
    assert_eq!(keys_of(body, &document).1, ["t_a_j_u.j unknown"]);
    let period = of_one(table("t", &["a text", "d date"]).unique("a, d").with(|table| {
        table.constraints[0].definition = "UNIQUE (a, d WITHOUT OVERLAPS)".into();
    }));
    assert_eq!(keys_of(&fixed("a"), &period).1, ["t_a_d_u.a unknown"]);
}

#[test]
fn partitions_have_the_key_of_their_table_together() {
    let columns = ["a text", "day date"];
    let catalog = of(vec![
        table("t", &columns).unique("a, day"),
        table("t_1", &columns).unique("a, day").child_of(1),
        table("t_2", &["day date", "a text"]).unique("a, day").child_of(1),
        // A key that the whole does not have.
        table("t_3", &columns).unique("day, a").child_of(1),
    ]);
    let body = format!("{KEEP}{}", fixed("a"));
    let plan = plan(&body, &catalog);
    let of = |oid: u32| plan.table(oid).unwrap().keys_to_prove()[0].domain();
    assert_eq!((of(1), of(1)), (of(2), of(3)));
    assert_ne!(of(1), of(4));
    let hash = |oid: u32, row: &str| {
        let mut masker = Masker::new(plan.table(oid).unwrap());
        masker.mask(RawRow::new(row.as_bytes())).unwrap();
        masker.key_hashes()[0].unwrap()
    };
    assert_eq!(hash(2, "x\t2000-01-01"), hash(3, "2000-01-01\ty"));
    assert_ne!(hash(2, "x\t2000-01-01"), hash(4, "x\t2000-01-01"));
    // A rule that keeps values apart does so in one table: another partition has another one.
    let apart = "columns.a = { use = \"permute\", unique = true }\n";
    let count = |body: &str| masker_keys(&super::plan(body, &catalog), 2);
    assert_eq!(count(&format!("{KEEP}{apart}")), 0);
    let other = "[table.\"public.t_2\"]\ncolumns.a = { use = \"email\", unique = true }\n";
    assert_eq!(count(&format!("{KEEP}{apart}{other}")), 1);
    // Its plain rows may meet the fictions of another partition.
    let kept = format!("{KEEP}keep = [\"a\"]\n{other}");
    let plan = super::plan(&kept, &catalog);
    assert_eq!([1, 2, 3, 4].map(|oid| masker_keys(&plan, oid)), [1, 1, 1, 0]);
}

#[test]
fn indexes_of_the_same_columns_are_proved_once() {
    let catalog =
        of_one(table("t", &["a text", "b text"]).unique_index("i", "a, b", "").unique_index("j", "a, b", ""));
    let (keys, said) = keys_of(&fixed("a"), &catalog);
    assert_eq!((keys, said), (vec!["i".into()], vec!["i.a proved".into(), "j.a proved".into()]));
}

#[test]
fn a_value_that_a_key_cannot_be_proved_with_is_refused_and_not_shown() {
    let catalog = of_one(table("t", &["a text", "d date"]).unique("a, d"));
    let plan = plan(&format!("{KEEP}{}", fixed("a")), &catalog);
    let mut masker = Masker::new(plan.table(1).unwrap());
    let refused = masker.mask(RawRow::new(b"x\t5 March 2001")).unwrap_err().to_string();
    assert!(refused.contains("t_a_d_u") && !refused.contains("2001"), "{refused}");
    assert!(masker.key_hashes().is_empty());
    let row = masker.mask(RawRow::new(b"x\t2001-03-05")).unwrap().unwrap();
    assert_eq!(field(std::str::from_utf8(row.as_bytes()).unwrap(), 0), "f");
    assert_eq!(masker.key_hashes().len(), 1);
}
