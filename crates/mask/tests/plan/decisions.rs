//! Which rule a column has.

use pgark_mask::catalog::Catalog;

use super::catalogs::{of, shop, table};
use super::{codes, outcome};

/// `table.column=rule` of each column.
fn decided(body: &str, catalog: &Catalog) -> Vec<String> {
    let columns = outcome(body, catalog).columns.into_iter();
    columns
        .map(|one| {
            format!(
                "{}.{}={}",
                one.table.trim_start_matches("public."),
                one.column,
                one.rule.unwrap_or_default()
            )
        })
        .collect()
}

#[test]
fn a_table_beats_a_key_beats_a_pattern_beats_the_policy() {
    let body = "
[policy]
columns = \"keep\"
[[column]]
match = \"*.*.*_id\"
use = \"null\"
[[column]]
match = \"*.*.note\"
use = \"null\"
[table.\"public.customers\"]
columns.id = \"permute\"
columns.email = \"email\"
";
    let body = body.replace("columns.id = \"permute\"", "columns.id = \"int\"");
    assert_eq!(
        decided(&body, &shop()),
        [
            "customers.id=int",
            "customers.email=email",
            "customers.first_name=keep",
            "customers.gender=keep",
            "customers.born=keep",
            "orders.id=keep",
            "orders.customer_id=int",
            "orders.contact=email",
            "orders.total=keep",
            // The pattern: its key is kept by policy alone.
            "lines.order_id=null",
            "lines.line=keep",
            "lines.note=null",
        ]
    );
}

#[test]
fn a_key_that_is_not_followed_leaves_its_columns_to_others() {
    let body = "
[policy]
columns = \"keep\"
[table.\"public.customers\"]
columns.email = { use = \"email\", follow = false }
";
    let found = decided(body, &shop());
    assert!(found.contains(&"orders.contact=keep".to_string()), "{found:?}");
}

#[test]
fn composite_keys_and_keys_of_several_steps_are_followed_by_their_own_columns() {
    let catalog = of(vec![
        table("a", &["x int4 not null", "y text not null"]).unique("y, x"),
        table("b", &["p text", "q int4"]).foreign("p, q", 1, "y, x").unique("q, p"),
        table("c", &["r int4", "s text"]).foreign("r, s", 2, "q, p"),
    ]);
    let body =
        "[table.\"public.a\"]\ncolumns.x = \"keep\"\ncolumns.y = { use = \"permute\", keep_first = 1 }\n";
    assert_eq!(
        decided(body, &catalog),
        ["a.x=keep", "a.y=permute", "b.p=permute", "b.q=keep", "c.r=keep", "c.s=permute"]
    );
}

#[test]
fn partitions_take_their_parents_rules_unless_they_have_their_own() {
    let catalog = of(vec![
        table("events", &["id int8 not null", "who text"]),
        table("events_1", &["who text", "id int8 not null"]).child_of(1),
        table("events_2", &["id int8 not null", "who text"]).child_of(1),
    ]);
    let body = "
[[column]]
match = \"events_*.who\"
use = \"fixed\"
value = \"x\"
[table.\"public.events\"]
keep = [\"id\"]
columns.who = \"permute\"
[table.\"public.events_2\"]
columns.who = \"null\"
";
    assert_eq!(
        decided(body, &catalog),
        [
            "events.id=keep",
            "events.who=permute",
            "events_1.who=permute",
            "events_1.id=keep",
            "events_2.id=keep",
            "events_2.who=null"
        ]
    );
}

#[test]
fn a_circle_of_references_ends() {
    let catalog = of(vec![
        table("a", &["id int8 not null"]).primary("id").foreign("id", 2, "id"),
        table("b", &["id int8 not null"]).primary("id").foreign("id", 1, "id"),
        table("tree", &["id int8 not null", "above int8"]).primary("id").foreign("above", 3, "id"),
    ]);
    let body = "[[column]]\nmatch = [\"a.id\", \"tree.id\"]\nuse = \"int\"\n";
    assert_eq!(decided(body, &catalog), ["a.id=int", "b.id=int", "tree.id=int", "tree.above=int"]);
    assert_eq!(codes(body, &catalog), Vec::<String>::new());
}

#[test]
fn types_of_patterns_are_sqls_the_servers_and_domains() {
    let catalog = of(vec![table("t", &["a int4", "b varchar(9)", "c text", "d mail", "e citext"])]);
    let of_types = |types: &str| {
        let body = format!(
            "[policy]\ncolumns = \"keep\"\n[[column]]\nmatch = \"*\"\ntypes = [{types}]\nuse = \"null\"\n"
        );
        decided(&body, &catalog)
            .into_iter()
            .filter(|one| one.ends_with("=null"))
            .map(|one| one[2..3].to_string())
            .collect::<String>()
    };
    assert_eq!(of_types("\"integer\""), "a");
    assert_eq!(of_types("\"character varying\""), "b");
    // A domain is of its own type and of the one that it is over.
    assert_eq!(of_types("\"text\""), "cd");
    assert_eq!(of_types("\"mail\", \"citext\""), "de");
}

#[test]
fn a_pattern_of_types_alone_fits_by_them() {
    let catalog = of(vec![table("t", &["a int4", "b text", "c date", "d mail"])]);
    let of_types = |types: &str| {
        format!("[policy]\ncolumns = \"keep\"\n[[column]]\ntypes = [{types}]\nuse = \"null\"\n")
    };
    let found = decided(&of_types("\"date\", \"text\""), &catalog);
    assert_eq!(found, ["t.a=keep", "t.b=null", "t.c=null", "t.d=null"]);
    let about_types = |types: &str| -> Vec<String> {
        let found = codes(&of_types(types), &catalog).into_iter();
        found.filter(|one| matches!(&one[..4], "M103" | "M104")).collect()
    };
    assert_eq!(about_types("\"date\", \"uuid\""), Vec::<String>::new());
    // A type of the server's own that no column has, and one that there is not.
    assert_eq!(about_types("\"macaddr8\""), ["M104"]);
    assert_eq!(about_types("\"date\", \"dat\""), ["M103"]);
    let with_match = of_types("\"varchr\"").replace("types", "match = \"*\"\ntypes");
    assert!(codes(&with_match, &catalog).contains(&"M103".to_string()));
}
