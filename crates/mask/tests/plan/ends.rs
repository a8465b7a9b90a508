//! Both ends of a reference: what makes them differ is refused.

use pgark_mask::catalog::Catalog;
use pgark_mask::finding::{Code, Severity};

use super::catalogs::{of, shop, table};
use super::findings::beside_kept;
use super::{field, masked, outcome, plan};

const NOTHING: [&str; 0] = [];

/// Keys and what refers to them: a text, and whether rows count.
fn pair() -> Catalog {
    of(vec![
        table("a", &["x text not null", "n int4", "name text"]).primary("x"),
        table("b", &["y text", "n int4", "name text"]).foreign("y", 1, "x"),
    ])
}

/// The same without a foreign key.
fn free() -> Catalog {
    of(vec![table("a", &["x text", "n int4"]), table("b", &["y text", "n int4"])])
}

const REFERENCE: &str = "[[reference]]\nfrom = \"public.b(y)\"\nto = \"public.a(x)\"\n";

fn on_both(of_key: &str, of_other: &str) -> String {
    format!("[table.\"public.a\"]\n{of_key}\n[table.\"public.b\"]\n{of_other}\n")
}

/// `columns.x = { use = …, more }` and the same of `y`.
fn rules(of_key: &str, of_other: &str) -> String {
    on_both(&format!("columns.x = {{ {of_key} }}"), &format!("columns.y = {{ {of_other} }}"))
}

#[test]
fn a_reference_by_chance_is_refused_on_both_ends() {
    for rule in ["string", "hash", "email", "username"] {
        let body = format!("[table.\"public.a\"]\ncolumns.x = {{ use = \"{rule}\", engine = \"random\" }}\n");
        assert_eq!(beside_kept(&body, &pair()), ["M130 public.a.x", "M130 public.b.y"], "{rule}");
        let seeded = body.replace("\"random\"", "\"random\", seed = 7");
        assert_eq!(beside_kept(&seeded, &pair()), ["M130 public.a.x", "M130 public.b.y"], "{rule}");
        let of_the_run = body.replace("\"random\"", "\"run\"");
        assert_eq!(beside_kept(&of_the_run, &pair()), NOTHING, "{rule}");
    }
    // A reference that the schema does not have is worth a warning.
    let rule = "use = \"string\", engine = \"random\"";
    let found = beside_kept(&format!("{REFERENCE}{}", rules(rule, rule)), &free());
    assert_eq!(found, ["M132 public.a.x", "M132 public.b.y"]);
    // What is always the same cannot differ.
    let constant = "use = \"fixed\", value = \"f\", engine = \"random\"";
    assert_eq!(beside_kept(&format!("{REFERENCE}{}", rules(constant, constant)), &free()), NOTHING);
    let gone = rules("use = \"hash\"", "use = \"null\", engine = \"random\"");
    assert_eq!(beside_kept(&gone, &pair()), NOTHING);
}

#[test]
fn both_ends_are_one_rule_in_all_that_shapes_fictions() {
    let differ = ["M130 public.b.y"];
    for (key, other) in [
        ("use = \"hash\"", "use = \"hash\", engine = \"run\""),
        ("use = \"hash\", domain = \"d\"", "use = \"hash\", domain = \"d\", max_length = 24"),
        ("use = \"permute\", domain = \"d\"", "use = \"permute\", domain = \"d\", keep_first = 1"),
        ("use = \"email\", locale = \"de_DE\"", "use = \"email\", locale = \"en_US\""),
        ("use = \"hash\"", "use = \"hash\", null = \"replace\""),
    ] {
        assert_eq!(beside_kept(&rules(key, other), &pair()), differ, "{key} / {other}");
        assert_eq!(beside_kept(&rules(key, key), &pair()), NOTHING, "{key}");
    }
    // The key is unique by itself: the rule of either may say so.
    assert_eq!(beside_kept(&rules("use = \"hash\", unique = true", "use = \"hash\""), &pair()), NOTHING);
    let body = format!("{REFERENCE}{}", rules("use = \"permute\", unique = true", "use = \"permute\""));
    assert_eq!(beside_kept(&body, &free()), ["M132 public.b.y"]);
}

#[test]
fn a_null_that_refers_to_nothing_stays_null() {
    let catalog = of(vec![
        table("a", &["x text"]).unique("x").with(|table| {
            table.constraints[0].definition = "UNIQUE NULLS NOT DISTINCT (x)".into();
        }),
        table("b", &["y text"]).foreign("y", 1, "x"),
    ]);
    let body = "[policy]\ncolumns = \"keep\"\n[table.\"public.a\"]\ncolumns.x = { use = \"email\", null = \"replace\" }\n";
    let plan = plan(body, &catalog);
    assert_ne!(masked(&plan, 1, &["\\N"]), ["\\N"]);
    assert_eq!(masked(&plan, 2, &["\\N"]), ["\\N"]);
}

#[test]
fn a_condition_does_not_come_through_a_reference() {
    let when = |rule: &str, otherwise: &str| {
        format!("use = \"{rule}\", when = \"n > 1\", otherwise = \"{otherwise}\"")
    };
    let inherited =
        |otherwise: &str| format!("[table.\"public.a\"]\ncolumns.x = {{ {} }}\n", when("hash", otherwise));
    let found = beside_kept(&inherited("keep"), &pair());
    assert!(found.contains(&"M130 public.a.x".to_string()), "{found:?}");
    // The other table has no such column, and is not asked for one.
    let other = of(vec![
        table("a", &["x text not null", "n int4"]).primary("x"),
        table("b", &["y text"]).foreign("y", 1, "x"),
    ]);
    let errors = |body: &str, catalog: &Catalog| -> Vec<String> {
        let outcome = outcome(&format!("[policy]\ncolumns = \"keep\"\n{body}"), catalog);
        let errors = outcome.findings.iter().filter(|finding| finding.severity == Severity::Error);
        errors
            .map(|finding| format!("{} {}", finding.code, finding.column.as_deref().unwrap_or("")))
            .collect()
    };
    assert_eq!(errors(&inherited("keep"), &other), ["M130 x"]);
    // Both ends say the same.
    let both = rules(&when("hash", "keep"), &when("hash", "keep"));
    assert_eq!(errors(&both, &pair()), NOTHING);
    let differ = rules(&when("hash", "keep"), &when("hash", "keep").replace("n > 1", "n > 2"));
    assert_eq!(errors(&differ, &pair()), ["M130 x"]);
    // Of the column that refers alone: plain values refer to nothing, NULL may.
    assert_eq!(errors(&rules("use = \"hash\"", &when("hash", "keep")), &pair()), ["M130 y"]);
    assert_eq!(errors(&rules("use = \"hash\"", &when("hash", "null")), &pair()), NOTHING);
    assert_eq!(errors(&rules("use = \"hash\"", &when("null", "keep")), &pair()), ["M130 y"]);
}

#[test]
fn rows_that_stay_as_they_are_refer_to_nothing() {
    let when = |otherwise: &str| format!("when = \"n > 1\"\notherwise = \"{otherwise}\"");
    let found = |of_key: &str, of_other: &str| -> Vec<String> {
        let body = on_both(&format!("{of_key}\ncolumns.x = \"hash\""), of_other);
        let found = beside_kept(&body, &pair()).into_iter();
        found.filter(|one| one.starts_with("M130")).collect()
    };
    assert_eq!(found(&when("keep"), ""), ["M130 public.a.x"]);
    assert_eq!(found("", &when("keep")), ["M130 public.b.y"]);
    assert_eq!(found("", &when("null")), NOTHING);
    assert_eq!(found(&when("drop"), &when("drop")), NOTHING);
    // No column of a reference is masked.
    let body = on_both(&format!("{}\ncolumns.name = \"hash\"", when("keep")), &when("keep"));
    assert!(beside_kept(&body, &pair()).iter().all(|one| one.starts_with("M153")));
    let of_key = of(vec![
        table("a", &["x text", "n int4"]).unique("x"),
        table("b", &["y text", "n int4"]).foreign("y", 1, "x"),
    ]);
    let body = on_both(&format!("{}\ncolumns.x = \"hash\"", when("null")), "");
    assert_eq!(beside_kept(&body, &of_key), ["M130 public.a.x"]);
}

#[test]
fn a_rule_that_reads_its_row_does_not_come_through_a_reference() {
    let body = "[[column]]\nmatch = \"a.x\"\nuse = \"template\"\nvalue = \"{{ name }}\"\n";
    let catalog = of(vec![
        table("a", &["x text", "name text"]),
        table("b", &["y text", "name text"]).foreign("y", 1, "x"),
    ]);
    assert_eq!(beside_kept(body, &catalog), ["M130 public.b.y"]);
    let own = body.replace("{{ name }}", "{{ value | upper }}");
    assert_eq!(beside_kept(&own, &catalog), NOTHING);
}

#[test]
fn what_auto_chooses_for_a_key_holds_for_what_refers_to_it() {
    let catalog = of(vec![
        table("a", &["x int8 not null", "t text"]).primary("x"),
        table("b", &["y int8", "z int4 not null"])
            .foreign("y", 1, "x")
            .foreign("z", 1, "x")
            .change("z", |column| column.default = Some("0".into())),
        table("c", &["t text not null"]).foreign("t", 1, "t"),
    ]);
    let body = "[policy]\ncolumns = \"auto\"\n";
    let plan = plan(body, &catalog);
    let key = masked(&plan, 1, &["7\tAnna"]);
    let other = masked(&plan, 2, &["7\t7", "\\N\t7"]);
    assert_ne!(field(&key[0], 0), "7");
    assert_eq!((field(&other[0], 0), field(&other[0], 1)), (field(&key[0], 0), field(&key[0], 0)));
    assert_eq!(field(&other[1], 0), "\\N");
    // NULL would be a key to one end only.
    assert_eq!(field(&key[0], 1), masked(&plan, 3, &["Anna"])[0]);
    let outcome = outcome(body, &catalog);
    let said = outcome.findings.iter().filter(|finding| finding.code == Code::ChosenByItself);
    let said: Vec<&str> = said.map(|finding| finding.message.rsplit(' ').next().unwrap()).collect();
    assert_eq!(said, ["permute", "int", "int", "int", "permute"]);
    assert!(super::outcome(body, &shop()).plan.is_some());
}
