//! docs/masking.md has every code and every transformer, as the code has them.
//! `PGARK_WRITE_DOCS=1` writes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write;

use pgark_mask::definition::{Injective, Takes};
use pgark_mask::finding::{Code, Severity};
use pgark_mask::transformers;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/masking.md");

fn findings() -> String {
    let mut text = String::from("| code | severity | finding |\n|---|---|---|\n");
    for code in Code::ALL {
        let severity = match code.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        writeln!(text, "| {code} | {severity} | {} |", code.meaning()).unwrap();
    }
    text
}

/// Lines of at most 100 characters.
fn wrapped(text: &str) -> String {
    let (mut wrapped, mut length) = (String::new(), 0);
    for word in text.split(' ') {
        let width = word.chars().count();
        if length > 0 && length + 1 + width > 100 {
            wrapped.push('\n');
            length = 0;
        } else if length > 0 {
            wrapped.push(' ');
            length += 1;
        }
        wrapped.push_str(word);
        length += width;
    }
    wrapped
}

fn transformers() -> String {
    let mut text = String::new();
    for definition in transformers::all() {
        let unique = match definition.injective {
            Injective::Bijection => "a bijection",
            Injective::Width => "by width",
            Injective::AsItIs => "as it is",
            Injective::OnlyNull => "NULL only",
            Injective::No => "no",
            Injective::Depends => "it depends on its parameters",
        };
        writeln!(text, "### `{}`\n\n{}\n", definition.name, wrapped(definition.summary)).unwrap();
        let mut promise = format!("Types: {}. Unique: {unique}.", definition.types);
        if !definition.greenmask.is_empty() {
            promise.push_str(&format!(" Greenmask: {}.", definition.greenmask.join(", ")));
        }
        writeln!(text, "{}\n", wrapped(&promise)).unwrap();
        if definition.parameters.is_empty() {
            continue;
        }
        text.push_str("| parameter | takes | default | meaning |\n|---|---|---|---|\n");
        for parameter in definition.parameters {
            let takes = match parameter.takes {
                Takes::Word(words) => words.join(", "),
                other => other.shown().to_string(),
            };
            let dynamic = if parameter.dynamic { ", or a column's" } else { "" };
            let default = match (parameter.required, parameter.default) {
                (true, _) => "required".to_string(),
                (false, default) => default.replace('|', "\\|"),
            };
            let meaning = parameter.meaning.replace('|', "\\|");
            writeln!(text, "| `{}` | {takes}{dynamic} | {default} | {meaning} |", parameter.name).unwrap();
        }
        text.push('\n');
    }
    text.trim_end().to_string() + "\n"
}

/// The page with what is between these marks replaced.
fn with(page: &str, name: &str, content: &str) -> String {
    let begin = format!("<!-- {name}: written by `PGARK_WRITE_DOCS=1 cargo test` -->\n");
    let end = format!("<!-- end of {name} -->");
    let from = page.find(&begin).expect("the page has the mark") + begin.len();
    let to = page.find(&end).expect("the page has the other mark");
    format!("{}\n{content}\n{}", &page[..from], &page[to..])
}

#[test]
fn the_page_says_what_the_code_does() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let wanted = with(&with(&page, "findings", &findings()), "transformers", &transformers());
    if std::env::var_os("PGARK_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, &wanted).unwrap();
    }
    let now = std::fs::read_to_string(PAGE).unwrap();
    assert!(now == wanted, "docs/masking.md differs; PGARK_WRITE_DOCS=1 cargo test --test docs writes it");
}

#[test]
fn each_transformer_of_greenmask_has_one_of_ours() {
    // Other programs come later.
    const LATER: [&str; 1] = ["Cmd"];
    const GREENMASK: [&str; 51] = [
        "RandomInt",
        "RandomFloat",
        "RandomNumeric",
        "RandomBool",
        "RandomDate",
        "RandomUnixTimestamp",
        "RandomString",
        "RandomUuid",
        "RandomChoice",
        "RandomEmail",
        "RandomIp",
        "RandomMac",
        "RandomPerson",
        "RandomCompany",
        "RealAddress",
        "NoiseInt",
        "NoiseFloat",
        "NoiseNumeric",
        "NoiseDate",
        "Hash",
        "Masking",
        "RegexpReplace",
        "Replace",
        "SetNull",
        "Dict",
        "Json",
        "Template",
        "TemplateRecord",
        "Cmd",
        "RandomMonthName",
        "RandomDayOfWeek",
        "RandomCentury",
        "RandomTimezone",
        "RandomDomainName",
        "RandomURL",
        "RandomUsername",
        "RandomPassword",
        "RandomWord",
        "RandomSentence",
        "RandomParagraph",
        "RandomCCType",
        "RandomCurrency",
        "RandomAmountWithCurrency",
        "RandomPhoneNumber",
        "RandomTollFreePhoneNumber",
        "RandomE164PhoneNumber",
        "RandomYearString",
        "RandomDayOfMonth",
        "RandomCCNumber",
        "RandomLatitude",
        "RandomLongitude",
    ];
    for name in GREENMASK {
        let ours = transformers::all().any(|definition| definition.greenmask.contains(&name));
        assert_eq!(ours, !LATER.contains(&name), "{name}");
    }
    for definition in transformers::all() {
        for name in definition.greenmask {
            assert!(GREENMASK.contains(name), "{}: Greenmask has no {name}", definition.name);
        }
    }
}
