#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;
use crate::rules::Rule;
use crate::rules::{Engine, KeyEncoding, KeySource, Otherwise, Unspoken};

const SHOP: &str = include_str!("examples/shop.toml");
const TENANT: &str = include_str!("examples/tenant.toml");
const CLINIC: &str = include_str!("examples/clinic.toml");

const HEAD: &str = "version = 1\nkey = \"ephemeral\"\n";

fn parse(text: &str) -> (Rules, Vec<String>) {
    let variables = |name: &str| (name == "SET").then(|| "set".to_string());
    let (rules, findings) = Rules::parse(text.as_bytes(), &variables);
    let shown = |finding: &Finding| {
        let place = finding.place.unwrap();
        let hint = if finding.hint.is_empty() { String::new() } else { format!(" [{}]", finding.hint) };
        format!("{}:{} {} {}{hint}", place.line, place.column, finding.code, finding.message)
    };
    (rules, findings.iter().map(shown).collect())
}

#[test]
fn a_record_has_nothing_that_would_be_without_effect() {
    for (key, value) in [
        ("unique", "true"),
        ("null", "\"replace\""),
        ("seed", "7"),
        ("when", "\"x > 1\""),
        ("otherwise", "\"keep\""),
        ("follow", "false"),
        ("children", "false"),
        ("locale", "\"de_DE\""),
    ] {
        let record = format!("record = {{ value = \"{{% set x = 1 %}}\", {key} = {value} }}");
        let (_, found) = parse(&format!("{HEAD}[table.\"a.b\"]\n{record}\n"));
        let column = record.find(&format!("{key} =")).unwrap() + key.len() + 4;
        let start = format!("4:{column} M005 a record does not have {key} [");
        assert!(found.len() == 1 && found[0].starts_with(&start), "{found:?}");
    }
    let rest = "engine = \"run\", domain = \"d\", reads = [\"y\"], columns = [\"x\"]";
    let record = format!("record = {{ value = \"{{% set x = 1 %}}\", {rest} }}");
    assert_eq!(parse(&format!("{HEAD}[table.\"a.b\"]\n{record}\n")).1, Vec::<String>::new());
}

#[test]
fn a_shop_is_read() {
    let (rules, findings) = parse(SHOP);
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!(rules.vocabulary, 1);
    assert_eq!(rules.locale, Some(("de_DE".into(), Place { line: 4, column: 10 })));
    let environment = KeySource::Environment { name: "PGARK_MASK_KEY".into(), encoding: KeyEncoding::Plain };
    assert_eq!(rules.key.as_ref().unwrap().0, environment);
    assert_eq!(rules.policy.columns, Unspoken::Refuse);
    let login = &rules.kind("login").unwrap().rule;
    assert_eq!((login.name.as_str(), login.common.unique), ("email", Some(true)));
    // A list is the transformer's own parameter.
    assert_eq!((login.parameters[0].0.as_str(), &login.common.domain), ("domain", &None));
    assert_eq!(rules.kind("logout"), None);
    let names: Vec<&str> = rules.tables.iter().map(|table| table.table.as_str()).collect();
    assert_eq!(names, ["public.customers", "public.orders", "public.order_items"]);
    let customers = &rules.tables[0];
    let columns: Vec<&str> = customers.columns.iter().map(|(column, _)| column.as_str()).collect();
    assert_eq!(columns[..4], ["id", "email", "first_name", "last_name"]);
    assert_eq!(customers.subject.as_ref().unwrap().value, Literal::Text("id".into()));
    let (_, phone) = &customers.columns[5];
    assert_eq!((phone.name.as_str(), phone.place), ("phone", Place { line: 24, column: 25 }));
    assert_eq!(rules.tables[1].keep.len(), 5);
    assert_eq!(rules.tables[2].keep[0].value, Literal::Text("*".into()));
    assert_eq!(rules.hash, blake3::hash(SHOP.as_bytes()).to_hex().to_string());
}

#[test]
fn what_a_later_version_has_is_refused_one_by_one() {
    let (rules, findings) = parse(TENANT);
    assert_eq!(findings, ["34:2 M002 this version of pgark does not have [subset]"]);
    assert_eq!((rules.patterns.len(), rules.references.len()), (3, 2));
    assert_eq!(rules.patterns[0].types.len(), 3);
    assert_eq!(rules.patterns[2].matches.len(), 4);
    assert!(rules.references[0].when.is_some());
    assert!(rules.tables[0].rows_none);
    let (rules, findings) = parse(CLINIC);
    assert_eq!(
        findings,
        [
            "9:10 M002 this version of pgark does not have [program.pseudonym]",
            "23:23 M003 this version of pgark does not have the transformer program",
            "34:1 M002 this version of pgark does not have [[report.k_anonymity]]",
        ]
    );
    let patients = &rules.tables[0];
    assert_eq!(patients.otherwise.unwrap().0, Otherwise::Keep);
    assert_eq!(patients.types[0].0, "external_ref");
    let name = patients.columns.iter().find(|(column, _)| column == "full_name").unwrap();
    assert_eq!(name.1.common.reads[0].value, Literal::Text("last_name".into()));
    assert_eq!((rules.tests.len(), rules.tests[0].row.len(), rules.tests[0].expect.len()), (1, 5, 3));
}

#[test]
fn every_problem_is_found_at_once() {
    let (_, findings) = parse(
        "version = 2\nlocal = \"de_DE\"\nkey = \"0123456789abcdef0123\"\n\
         [policy]\ncolumns = \"all\"\ncolums = 1\n\
         [kind.x]\nunique = 1\n\
         [table.\"public.a\"]\ncolumns.b = 7\nemail = { use = \"keep\" }\nkep = []\n",
    );
    assert_eq!(
        findings,
        [
            "1:11 M006 this version of pgark does not know version 2 [version = 1]",
            "2:1 M002 a rules file has no key local [did you mean locale?]",
            "3:7 M009 the mask key must not be in the rules themselves \
             [{ env = \"…\" }, { file = \"…\" }, { command = [\"…\"] } or \"ephemeral\"]",
            "5:11 M006 columns is \"all\"; it takes refuse, auto, keep",
            "6:1 M002 [policy] has no key colums [did you mean columns?]",
            "7:1 M004 the rule does not say what it uses [use = \"…\"]",
            "8:10 M006 unique is 1; it takes true or false",
            "10:13 M006 a rule is a name or a table, not an integer [{ use = \"…\", … }]",
            "11:1 M002 a table has no key email [a column's rule is written columns.email = …]",
            "12:1 M002 a table has no key kep [did you mean keep?]",
        ]
    );
}

/// Each text, after `HEAD`, has one finding.
#[test]
fn each_mistake_has_its_code() {
    for (text, found) in [
        ("a = \n", "M001"),
        ("version = 1\n", "M001"),
        (
            "[table.public.a]\ncolumns.x = \"keep\"\n",
            "M006 public is not schema.table [[table.\"public.a\"]]",
        ),
        ("table = 1\n", "M006 table contains sections"),
        ("column = 1\n", "M006 column is a list of sections"),
        ("column = [1]\n", "M006 column is a list of sections"),
        ("locale = \"\"\n", "M006 locale is \"\"; it takes a string that is not empty"),
        ("vocabulary = 9\n", "M006 this version of pgark does not know vocabulary 9"),
        ("[kind.keep]\nuse = \"null\"\n", "M006 a transformer is called keep already"),
        ("[kind.a]\nuse = \"a\"\n", "M006 the kind a leads to itself"),
        ("[kind.a]\nuse = 1\n", "M006 use is 1; it takes the name"),
        ("[kind.a]\nuse = \"keep\"\nwhen = \"x\"\n", "M004 when needs otherwise"),
        ("[kind.a]\nuse = \"keep\"\notherwise = \"keep\"\n", "M006 otherwise needs when"),
        ("[kind.a]\nuse = \"keep\"\nwhen = \"x\"\notherwise = \"drop\"\n", "M006 only a whole row"),
        ("[kind.a]\nuse = \"keep\"\nnull = true\n", "M006 null is true"),
        ("[kind.a]\nuse = \"keep\"\nengine = \"hash\"\n", "M006 engine is \"hash\""),
        ("[kind.a]\nuse = \"keep\"\nseed = 1\n", "M006 seed is only for"),
        ("[kind.a]\nuse = \"keep\"\nreads = [1]\n", "M006 reads is a list"),
        ("[kind.a]\nuse = \"query\"\n", "M003 this version of pgark does not have the transformer query"),
        ("[[column]]\nuse = \"keep\"\n", "M006 [[column]] needs match or types"),
        ("[[reference]]\nfrom = \"a.b(c)\"\n", "M006 [[reference]] needs to"),
        ("[[reference]]\nfrom = \"a(c)\"\nto = \"a.b(c)\"\n", "M006 from is \"a(c)\"; it takes"),
        ("[[accept]]\ncode = \"M140\"\n", "M006 [[accept]] needs because"),
        (
            "[[accept]]\ncode = \"M999\"\nbecause = \"x\"\n",
            "M006 there is not a code M999 [did you mean M009?]",
        ),
        ("[[accept]]\ncode = \"M120\"\nbecause = \"x\"\n", "M006 M120 is an error, which cannot be accepted"),
        ("[[accept]]\ncode = \"M160\"\nbecause = \"x\"\n", "M006 M160 is an error"),
        ("[[test]]\nexpect = { a = 1 }\n", "M006 [[test]] needs table"),
        ("[[test]]\ntable = \"a.b\"\n", "M006 [[test]] needs expect"),
        ("[[test]]\ntable = \"a.b\"\nexpect = { a = {} }\n", "M006 a is a table"),
        ("[table.\"a.b\"]\nrows = \"some\"\n", "M006 rows is \"some\""),
        ("[table.\"a.b\"]\nwhen = \"x\"\n", "M004 when needs otherwise"),
        ("[table.\"a.b\"]\nkeep = [\"c\"]\ncolumns.c = \"null\"\n", "M006 c is kept here, and has a rule"),
        ("[table.\"a.b\"]\nrecord = 1\n", "M006 record is 1"),
        ("[table.\"a.b\"]\nrecord = { use = \"x\" }\n", "M006 record always uses record"),
        ("[table.\"a.b\"]\ntype = { c = 1 }\n", "M006 c is 1; it takes the name of a type"),
        ("[table.\"a.b\"]\ncolumns.c = \"$NOTHING\"\n", "M008 the environment variable NOTHING is not set"),
        (
            "[table.\"a.b\"]\ncolumns.c = \"${NOTHING?say it}\"\n",
            "M008 the environment variable NOTHING is not set: say it",
        ),
        ("[table.\"a.b\"]\ncolumns.c = \"${SET\"\n", "M006 a variable is not closed"),
        ("[policy]\ncolumns = 99999999999999999999\n", "M006"),
    ] {
        let (_, findings) = parse(&format!("{HEAD}{text}"));
        assert!(
            findings.iter().any(|said| said.split_once(' ').unwrap().1.starts_with(found)),
            "{text}: {findings:?}"
        );
        let most = if text.contains("99999") { 2 } else { 1 };
        assert!(findings.len() <= most, "{text}: {findings:?}");
    }
    for (text, found) in [
        ("", "1:1 M006 the file does not say which version"),
        ("version = 1\n", "1:1 M009 the file does not say where the mask key comes from"),
        ("version = 1\nkey = { env = \"A\", file = \"b\" }\n", "2:7 M009 key names one place"),
        ("version = 1\nkey = { encoding = \"hex\" }\n", "2:7 M009 key names one place"),
        ("version = 1\nkey = { enw = \"A\" }\n", "2:9 M002 key has no key enw [did you mean env?]"),
    ] {
        let (_, findings) = parse(text);
        assert!(findings.iter().any(|said| said.starts_with(found)), "{text}: {findings:?}");
    }
    let (_, findings) = Rules::parse(b"version = 1\n# \xff", &|_| None);
    assert_eq!((findings[0].code, findings[0].place), (Code::NotToml, Some(Place { line: 2, column: 3 })));
}

#[test]
fn what_is_right_is_taken() {
    let (rules, findings) = parse(&format!(
        "{HEAD}[policy]\ndefinitions = \"warn\"\n[[accept]]\ncode = \"M160\"\nbecause = \"known\"\n\
         [kind.k]\nuse = \"keep\"\nengine = \"random\"\nseed = 7\ndomain = \"d\"\nwhen = \"a = 1\"\notherwise = \"null\"\n\
         null = \"replace\"\nfollow = false\nchildren = false\nlocale = \"${{SET}}\"\n\
         [table.\"a.b\"]\nrecord = \"{{% set x = 1 %}}\"\nwhen = \"x\"\notherwise = \"drop\"\nquery = \"select $$1\"\n"
    ));
    assert_eq!(findings, Vec::<String>::new());
    let common = &rules.kinds[0].rule.common;
    assert_eq!(
        (common.engine, common.seed, common.domain.as_deref()),
        (Some(Engine::Random), Some(7), Some("d"))
    );
    assert_eq!(
        (common.follow, common.children, common.replaces_null),
        (Some(false), Some(false), Some(true))
    );
    assert_eq!(common.otherwise.unwrap().0, Otherwise::Null);
    assert_eq!(common.locale.as_ref().unwrap().value, Literal::Text("set".into()));
    let record = rules.tables[0].record.as_ref().unwrap();
    assert_eq!((record.name.as_str(), record.parameters[0].0.as_str()), ("record", "value"));
    assert_eq!(rules.tables[0].query.as_ref().unwrap().value, Literal::Text("select $1".into()));
    assert_eq!(rules.accepted.len(), 1);
}

#[test]
fn a_nested_rule_is_read() {
    let mut findings = Vec::new();
    let of = Setting { value: Literal::Text("choose".into()), place: Place { line: 3, column: 4 } };
    let rule = Rule::read(&of, &mut findings);
    assert_eq!((rule.name.as_str(), rule.place.line, findings.len()), ("choose", 3, 0));
    Rule::read(&Setting { value: Literal::Flag(true), ..of }, &mut findings);
    assert_eq!(findings.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Rules::parse(&bytes, &|_| None);
    }

    /// Parts of the examples that are cut out, doubled or replaced.
    #[test]
    fn any_change_of_an_example_is_read_or_refused(
        which in 0..3usize,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..40usize, "\\PC{0,6}|[\\[\\]{}=\",.$#\n]{1,3}"), 1..6),
    ) {
        let mut text: Vec<char> = [SHOP, TENANT, CLINIC][which].chars().collect();
        for (at, cut, insert) in edits {
            let at = at.index(text.len());
            let end = (at + cut).min(text.len() - 1);
            text.splice(at..end.max(at), insert.chars());
        }
        let text: String = text.into_iter().collect();
        let (_, findings) = Rules::parse(text.as_bytes(), &|_| None);
        let lines = text.lines().count() as u32 + 1;
        for finding in findings {
            let place = finding.place.unwrap();
            prop_assert!(place.line >= 1 && place.line <= lines && place.column >= 1);
        }
    }
}
