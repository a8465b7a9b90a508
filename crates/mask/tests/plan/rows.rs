//! What becomes of rows.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::catalogs::{of, shop, table};
use super::{field, key, masked, outcome_with, plan};

#[test]
fn columns_without_a_rule_keep_every_byte() {
    let catalog = of(vec![table("t", &["a text", "b text", "c text"])]);
    let plan = plan(
        "[table.\"public.t\"]\nkeep = [\"a\", \"c\"]\ncolumns.b = { use = \"fixed\", value = \"x\" }",
        &catalog,
    );
    let rows = ["\\N\ty\t", "\\\\N\t\\N\t\\.", "a\\tb\\x\tz\té\u{1}\\010", "\t\t"];
    assert_eq!(masked(&plan, 1, &rows), ["\\N\tx\t", "\\\\N\t\\N\t\\.", "a\\tb\\x\tx\té\u{1}\\010", "\tx\t"]);
}

#[test]
fn fictions_are_escaped_as_the_server_does() {
    let catalog = of(vec![table("t", &["a text"])]);
    let plan = plan(
        "[table.\"public.t\"]\ncolumns.a = { use = \"fixed\", value = \"tab\\t, line\\n, \\\\N\" }",
        &catalog,
    );
    assert_eq!(masked(&plan, 1, &["x"]), ["tab\\t, line\\n, \\\\N"]);
}

#[test]
fn joins_hold_across_tables_and_types() {
    let body = "
[policy]
columns = \"keep\"
[table.\"public.customers\"]
columns.id = \"int\"
columns.email = \"email\"
[table.\"public.orders\"]
columns.id = \"int\"
";
    let plan = plan(body, &shop());
    let customers =
        masked(&plan, 1, &["1\ta@x.example\tAnna\tf\t2000-01-01", "2\tb@x.example\t\\N\t\\N\t\\N"]);
    let orders = masked(&plan, 2, &["10\t1\ta@x.example\t5", "11\t2\tb@x.example\t6", "12\t\\N\t\\N\t7"]);
    let lines = masked(&plan, 3, &["10\t1\tx", "11\t1\ty"]);
    assert_ne!(field(&customers[0], 0), "1");
    assert_eq!(field(&customers[0], 0), field(&orders[0], 1));
    assert_eq!(field(&customers[1], 1), field(&orders[1], 2));
    assert_eq!(field(&orders[0], 0), field(&lines[0], 0));
    assert_eq!((field(&orders[2], 1), field(&orders[2], 2)), ("\\N", "\\N"));
    // An order is referred to by an int4: its fiction fits there.
    assert!(field(&lines[0], 0).parse::<i32>().is_ok());
}

#[test]
fn another_key_gives_other_fictions_and_the_same_key_the_same() {
    let catalog = of(vec![table("t", &["a text"])]);
    let body = "[table.\"public.t\"]\ncolumns.a = \"email\"";
    let of_key = |text: &str| {
        masked(outcome_with(body, &catalog, &key(text)).plan.as_ref().unwrap(), 1, &["x@y.example"])
    };
    assert_eq!(of_key("one key of sixteen bytes"), of_key("one key of sixteen bytes"));
    assert_ne!(of_key("one key of sixteen bytes"), of_key("another key of some bytes"));
}

#[test]
fn a_person_is_one_person_in_all_tables() {
    let catalog = of(vec![
        table("people", &["id int8 not null", "first text", "born date"]).primary("id"),
        table("visits", &["person int8", "name text", "day date"]).foreign("person", 1, "id"),
    ]);
    let body = "
[table.\"public.people\"]
subject = \"id\"
keep = [\"id\"]
columns.first = \"person.first\"
columns.born = { use = \"shift\", by = \"60 days\" }
[table.\"public.visits\"]
subject = \"person\"
columns.name = \"person.first\"
columns.day = { use = \"shift\", by = \"60 days\" }
";
    let plan = plan(body, &catalog);
    let people = masked(&plan, 1, &["1\tAnna\t2000-01-01", "2\tAnna\t2000-01-01"]);
    let visits = masked(&plan, 2, &["1\tANNA\t2000-01-01", "2\tann\t2000-01-01"]);
    for (person, visit) in people.iter().zip(&visits) {
        assert_eq!(field(person, 1), field(visit, 1));
        assert_eq!(field(person, 2), field(visit, 2));
    }
    // One name of two people: two fictions.
    assert_ne!((field(&people[0], 1), field(&people[0], 2)), (field(&people[1], 1), field(&people[1], 2)));
}

#[test]
fn a_person_of_a_run_is_another_one_in_the_next_run() {
    let columns = ["id int8 not null", "first text", "mail text", "city text", "born date"];
    let catalog = of(vec![table("people", &columns).primary("id")]);
    let of_run = |engine: &str, run: &str, rows: &[&str]| {
        let rule = |name: &str| format!("{{ use = \"{name}\", engine = \"{engine}\" }}");
        let body = format!(
            "[table.\"public.people\"]\nsubject = \"id\"\nkeep = [\"id\"]\ncolumns.first = {}\ncolumns.mail = {}\ncolumns.city = {}\ncolumns.born = {{ use = \"shift\", by = \"9000 days\", engine = \"{engine}\" }}",
            rule("person.first"),
            rule("email"),
            rule("address.city"),
        );
        let (mask, run) = (key("a key of sixteen bytes, or more"), key(run));
        let keys = pgark_mask::plan::Keys { mask: &mask, run: &run };
        let plan = pgark_mask::plan::Plan::make(&super::rules(&body), &catalog, keys).plan.unwrap();
        masked(&plan, 1, rows)
    };
    let rows: Vec<String> = (1..9).map(|id| format!("{id}\tAnna\ta@b.example\tBonn\t2000-01-01")).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let column = |rows: &[String], at: usize| -> Vec<String> {
        rows.iter().map(|row| field(row, at).to_string()).collect()
    };
    for (engine, is_linked) in [("keyed", true), ("run", false), ("random", false)] {
        let one = of_run(engine, "the key of this very run", &rows);
        let next = of_run(engine, "the key of the next run!", &rows);
        assert_eq!(one, of_run(engine, "the key of this very run", &rows), "{engine}");
        for at in 1..5 {
            assert_eq!(column(&one, at) == column(&next, at), is_linked, "{engine} {at}");
        }
    }
    // A subject decides for all its rows; by chance, each row decides for itself.
    let twice = ["1\tAnna\ta@b.example\tBonn\t2000-01-01", "1\tAnna\ta@b.example\tBonn\t2000-01-02"];
    let shifted = |engine: &str| {
        let rows = of_run(engine, "the key of this very run", &twice);
        (field(&rows[0], 1) == field(&rows[1], 1), field(&rows[0], 3) == field(&rows[1], 3))
    };
    assert_eq!(shifted("run"), (true, true));
    assert_ne!(shifted("random"), (true, true));
}

#[test]
fn conditions_choose_rows_and_unknown_is_not_true() {
    let catalog = of(vec![table("t", &["a text", "n int4"])]);
    let rows = ["x\t1", "x\t2", "x\t\\N"];
    let of_table = |otherwise: &str| {
        let body = format!(
            "[table.\"public.t\"]\nwhen = \"n > 1\"\notherwise = \"{otherwise}\"\nkeep = [\"n\"]\ncolumns.a = {{ use = \"fixed\", value = \"f\" }}"
        );
        masked(&plan(&body, &catalog), 1, &rows)
    };
    assert_eq!(of_table("keep"), ["x\t1", "f\t2", "x\t\\N"]);
    assert_eq!(of_table("null"), ["\\N\t1", "f\t2", "\\N\t\\N"]);
    assert_eq!(of_table("drop"), ["f\t2"]);
    let of_column = "[table.\"public.t\"]\nkeep = [\"n\"]\ncolumns.a = { use = \"fixed\", value = \"f\", when = \"n > 1\", otherwise = \"null\" }";
    assert_eq!(masked(&plan(of_column, &catalog), 1, &rows), ["\\N\t1", "f\t2", "\\N\t\\N"]);
}

#[test]
fn a_row_of_another_shape_is_refused() {
    let catalog = of(vec![table("t", &["a text", "n int4"]), table("none", &[])]);
    let plan = plan("[table.\"public.t\"]\nkeep = [\"n\"]\ncolumns.a = \"permute\"", &catalog);
    let mut masker = pgark_mask::plan::Masker::new(plan.table(1).unwrap());
    let refused = masker.mask(pgark_mask::row::RawRow::new(b"secret\n")).unwrap_err().to_string();
    assert!(refused.contains("1 fields") && !refused.contains("secret"), "{refused}");
    assert_eq!(masked(&plan, 2, &["", ""]), ["", ""]);
}

proptest! {
    /// Whatever bytes a value has: kept columns stay, NULL stays, and a permutation gives different
    /// fictions to different values.
    #[test]
    fn any_text(values in proptest::collection::btree_set("\\PC{0,12}", 1..40)) {
        let catalog = of(vec![table("t", &["a text not null", "b text"]).primary("a")]);
        let plan = plan("[table.\"public.t\"]\nkeep = [\"b\"]\ncolumns.a = \"permute\"", &catalog);
        let rows: Vec<String> = values.iter().map(|value| {
            let mut row = Vec::new();
            pgark_bytes::copy_text::write_row([Some(value.as_bytes()), None], &mut row);
            String::from_utf8(row).unwrap()
        }).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let fictions = masked(&plan, 1, &rows);
        let different: BTreeSet<&str> = fictions.iter().map(|row| field(row, 0)).collect();
        prop_assert_eq!(different.len(), values.len());
        prop_assert!(fictions.iter().all(|row| field(row, 1) == "\\N"));
    }
}

#[test]
fn a_record_sets_several_columns_of_a_row() {
    let catalog = of(vec![table("t", &["a text not null", "b text", "n int4"])]);
    let body = "[table.\"public.t\"]\nkeep = [\"n\"]\nrecord = \"{% set a = a | upper %}{% set b = null() if n is none else n + 1 %}\"\n";
    let plan = plan(body, &catalog);
    assert_eq!(masked(&plan, 1, &["x\ty\t1", "z\ty\t\\N"]), ["X\t2\t1", "Z\t\\N\t\\N"]);
    let twice = format!("{body}columns.b = \"null\"\n");
    assert_eq!(super::codes(&twice, &catalog), ["M006 public.t.b"]);
}

#[test]
fn kinds_lead_to_kinds_and_are_known_inside_of_rules() {
    let kinds = "
[kind.note]
use = \"fixed\"
value = \"f\"
null = \"replace\"
[kind.remark]
use = \"note\"
value = \"g\"
[kind.apart]
use = \"hash\"
unique = true
";
    let catalog = of(vec![table("t", &["a text", "j jsonb", "l _text", "p text"])]);
    let rules = "[table.\"public.t\"]
columns.a = \"remark\"
columns.j = { use = \"json\", paths = { \"$.x\" = \"remark\", \"$.y\" = { use = \"note\", value = \"h\" } }, rest = \"keep\" }
columns.l = { use = \"each\", of = { use = \"remark\", null = \"keep\" } }
columns.p = { use = \"free_text\", find = [\"email\"], rules = { email = \"note\" } }
";
    let plan = plan(&format!("{kinds}{rules}"), &catalog);
    let row = "\\N\t{\"x\": \"1\", \"y\": null}\t{Anna,NULL}\tto a@b.example now";
    let masked = masked(&plan, 1, &[row]);
    assert_eq!(field(&masked[0], 0), "g");
    let document = field(&masked[0], 1).replace(' ', "");
    assert_eq!(document, "{\"x\":\"g\",\"y\":\"h\"}");
    assert_eq!(field(&masked[0], 2), "{g,NULL}");
    assert_eq!(field(&masked[0], 3), "to f now");
    // Another kind inside of a rule is another plan.
    let other = super::plan(&format!("{kinds}{rules}").replace("\"f\"", "\"e\""), &catalog);
    assert_ne!(plan.table(1).unwrap().identity, other.table(1).unwrap().identity);
    let unfit = rules.replace("of = { use = \"remark\", null = \"keep\" }", "of = \"apart\"");
    assert_eq!(super::codes(&format!("{kinds}{unfit}"), &catalog), ["M005 public.t.l"]);
}
