//! `speed [ROWS [NAME…]]`: what each transformer, or each of these, costs on one core (`./bench
//! mask`). For each, a table of one column goes through a plan as the rows of a backup do; `keep`
//! is what a row costs without a fiction.
#![allow(clippy::unwrap_used, reason = "a measurement")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use pgark_mask::catalog::{Catalog, ColumnFacts, TableFacts, TypeFacts};
use pgark_mask::definition::Definition;
use pgark_mask::key::MaskKey;
use pgark_mask::plan::{Keys, Masker, Plan};
use pgark_mask::row::RawRow;
use pgark_mask::rules::Rules;
use pgark_mask::transformers;
use pgark_mask::types::Kind;

/// Each time the same rows; the fastest counts, as nothing else disturbed it.
const PASSES: u32 = 3;

/// Types of columns with their oids. A transformer is measured on the first that it takes.
const TYPES: &[(&str, u32)] = &[
    ("text", 25),
    ("numeric", 1700),
    ("int8", 20),
    ("float8", 701),
    ("bool", 16),
    ("date", 1082),
    ("jsonb", 3802),
    ("_text", 1009),
];

/// What rules say in addition to the name, where the name alone is not a rule.
const PARAMETERS: &[(&str, &str)] = &[
    ("fixed", "value = 'fiction'"),
    ("choose", "values = ['red', 'green', 'blue']"),
    ("map", "values = { new = 'old' }, else = 'other'"),
    ("replace", "regexp = '[0-9]+', replace = 'n', unchanged = 'redact'"),
    ("numeric", "min = 0, max = 1000000, decimal = 2"),
    ("float", "min = 0, max = 1000"),
    ("date", "min = '2000-01-01', max = '2020-12-31'"),
    ("epoch", "min = 0, max = 2000000000"),
    ("shift", "by = '60 days'"),
    ("generalise", "keep = 3"),
    ("json", "paths = { '$.name' = 'person.first' }, rest = 'keep'"),
    ("each", "of = 'person.first'"),
    ("free_text", "find = ['email', 'phone', 'number']"),
    ("template", "value = '{{ fake(\"person.first\") }} {{ c | length }}'"),
];

fn main() {
    let rows = std::env::args().nth(1).map_or(300_000, |count| count.parse().unwrap());
    println!("| transformer | type | ns per value | rows/s |");
    println!("|---|---|---:|---:|");
    let names: Vec<String> = std::env::args().skip(2).collect();
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    for definition in transformers::all().filter(|definition| is_wanted(definition.name)) {
        match measure(definition, rows) {
            Ok((sql_type, seconds)) => {
                let (nanoseconds, rate) = (seconds * 1e9 / rows as f64, rows as f64 / seconds);
                println!("| `{}` | {sql_type} | {nanoseconds:.0} | {rate:.0} |", definition.name);
            }
            Err(why) => println!("| `{}` | not measured: {why} | | |", definition.name),
        }
    }
}

/// The type of the column, and the seconds for so many rows.
fn measure(definition: &Definition, rows: u64) -> Result<(&'static str, f64), String> {
    let fitting = TYPES.iter().find(|(sql_type, _)| (definition.takes)(&kind(sql_type)));
    let &(sql_type, oid) = fitting.ok_or("no type of the list fits")?;
    let (rules, findings) = Rules::parse(rules(definition.name).as_bytes(), &|_| None);
    let outcome = Plan::make(&rules, &catalog(sql_type, oid), Keys { mask: &key(), run: &key() });
    let Some(plan) = outcome.plan.filter(|_| findings.is_empty()) else {
        let first = findings.into_iter().chain(outcome.findings).next();
        return Err(first.map_or_else(String::new, |finding| format!("{} {}", finding.code, finding.message)));
    };
    let table = plan.table(1).ok_or("the plan has no such table")?;
    let lines: Vec<String> = (0..rows).map(|number| value(definition.name, sql_type, number)).collect();
    let mut best = Duration::MAX;
    for _ in 0..PASSES {
        let mut masker = Masker::new(table);
        let begun = Instant::now();
        for line in &lines {
            let masked = masker.mask(RawRow::new(line.as_bytes()));
            black_box(masked.map_err(|refusal| refusal.to_string())?);
        }
        best = best.min(begun.elapsed());
    }
    Ok((sql_type, best.as_secs_f64()))
}

/// What a type of [`TYPES`] is.
fn kind(sql_type: &str) -> Kind {
    match sql_type.strip_prefix('_') {
        Some(element) => Kind::Array(Box::new(kind(element))),
        None => Kind::named(sql_type).unwrap(),
    }
}

fn key() -> MaskKey {
    MaskKey::new(b"a key of more than sixteen bytes".to_vec()).unwrap()
}

/// A rules file for the only column.
fn rules(name: &str) -> String {
    let parameters = PARAMETERS.iter().find(|(known, _)| *known == name);
    let parameters = parameters.map_or_else(String::new, |(_, parameters)| format!(", {parameters}"));
    let rule = match name {
        // A rule of the whole table.
        "record" => "record = '{% set c = fake(\"person.first\") %}'".to_string(),
        _ => format!("columns.c = {{ use = '{name}'{parameters} }}"),
    };
    format!("version = 1\nvocabulary = 1\nkey = 'ephemeral'\n[table.'public.t']\n{rule}\n")
}

/// A database with one table of one column.
fn catalog(sql_type: &str, oid: u32) -> Catalog {
    let types = TYPES.iter().map(|(name, oid)| TypeFacts {
        oid: *oid,
        schema: "pg_catalog".into(),
        name: (*name).into(),
        kind: 'b',
        element: name.strip_prefix('_').map(|_| 25),
        modifier: -1,
        ..TypeFacts::default()
    });
    let column = ColumnFacts {
        name: "c".into(),
        r#type: oid,
        sql_type: sql_type.into(),
        modifier: -1,
        ..ColumnFacts::default()
    };
    let table = TableFacts {
        oid: 1,
        schema: "public".into(),
        name: "t".into(),
        kind: 'r',
        columns: vec![column],
        ..TableFacts::default()
    };
    Catalog {
        format: 1,
        database: "speed".into(),
        encoding: "UTF8".into(),
        ctype: "C.UTF-8".into(),
        server_version: 150_000,
        types: types.collect(),
        tables: vec![table],
        ..Catalog::default()
    }
}

/// A plain value as COPY writes it: of the form that the transformer is for, else of the type.
fn value(name: &str, sql_type: &str, number: u64) -> String {
    // Spread, so that neighbours have little in common, and the same in each run.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    let person = ["Anna", "Boris", "Clara", "David", "Elena", "Filip", "Grete"][(spread % 7) as usize];
    match (name, sql_type) {
        ("email", _) => format!("{person}.{number}@firm.example"),
        ("url" | "domain", _) => format!("https://www{}.firm.example/page/{number}", spread % 100),
        ("ip", _) => format!("10.{}.{}.{}", spread % 250, spread / 250 % 250, spread / 62_500 % 250),
        ("mac", _) => format!("08:00:2b:01:{:02x}:{:02x}", spread % 256, spread / 256 % 256),
        ("uuid", _) => format!("{:08x}-0a1b-4c2d-8e3f-{spread:012x}", number % (1 << 32)),
        ("phone", _) => format!("+49 30 {:07}", spread % 10_000_000),
        ("card", _) => format!("4{:015}", spread % 1_000_000_000_000_000),
        ("iban", _) => format!("DE89{:018}", spread % 1_000_000_000_000_000),
        ("bic", _) => "DEUTDEFF500".to_string(),
        ("vat", _) => format!("DE{:09}", spread % 1_000_000_000),
        ("person.gender", _) => ["m", "f"][(spread % 2) as usize].to_string(),
        ("free_text", _) => {
            format!("{person} called from +49 30 {:07}, see order {number}", spread % 10_000_000)
        }
        (_, "numeric") => format!("{}.{:02}", spread % 10_000, spread % 100),
        (_, "int8") => (spread % 1_000_000_000).to_string(),
        (_, "float8") => format!("{}.5", spread % 1000),
        (_, "bool") => ["t", "f"][(spread % 2) as usize].to_string(),
        (_, "date") => {
            format!("{}-{:02}-{:02}", 1950 + spread % 60, 1 + spread / 60 % 12, 1 + spread / 720 % 28)
        }
        (_, "jsonb") => format!("{{\"id\": {number}, \"name\": \"{person}\", \"tags\": [\"a\", \"b\"]}}"),
        (_, "_text") => format!("{{{person},Karel,\"Lena {}\"}}", spread % 100),
        _ => format!("{person} {}", spread % 1_000_000),
    }
}
