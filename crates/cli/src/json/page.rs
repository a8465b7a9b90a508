//! docs/json.md and docs/json.schema.json, made from the types of the documents: the test fails
//! when they are not what the types say. `PGARK_WRITE_DOCS=1 cargo test -p pgark json` writes them
//! again.

use std::collections::BTreeSet;

use clap::CommandFactory;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{Failed, Printed};
use crate::args::Args;
use crate::args::handbook::wrapped;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json.md");
const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json.schema.json");
/// The title of the document that a failed command prints.
const ERROR: &str = "error";

const INTRODUCTION: [&str; 6] = [
    "Every command that prints facts has `--json`. It then prints one JSON object on standard output, \
     in one line, and nothing else there. Log lines and progress go to standard error, as without it.",
    "A command that fails prints one object on standard error instead ([Errors](#errors)), after its log \
     lines. Wrong options are such a failure, too. The exit code says whether a command succeeded \
     (`pgark --help` lists the codes); some commands print their result and end with a code other than 0: \
     `check` with 1 if there are problems, `backup` and `restore` with 3 if something is missing.",
    "Each document begins with `\"format\": 1`, the number of the format of all documents. It grows when \
     a field is removed or renamed, or when its type or its meaning changes. It stays the same when a \
     field is added, or when a field that contains one of several words can contain another: programs \
     that read these documents should ignore what they do not know.",
    "Times are RFC 3339 in UTC, such as `2026-11-21T03:00:00.123456789Z`; the number of decimal places \
     varies. Sizes are numbers of bytes, durations are numbers of seconds. An id of a backup has 16 hex \
     digits. Names of tables, roles and so on are text as PostgreSQL shows it.",
    "*Optional* fields can be absent; all others are always there. `null` and absent mean what the field's \
     description says.",
    "[json.schema.json](json.schema.json) describes the same as a JSON Schema (draft 2020-12).",
];

/// What every document may be: as JSON Schema, with one alternative for each command, and one for
/// errors.
fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut failed = generator.subschema_for::<Failed>();
    failed.insert("title".into(), ERROR.into());
    let told = "What a command that fails prints on standard error.";
    failed.insert("description".into(), told.into());
    let mut root = generator.into_root_schema_for::<Printed<'_>>().to_value();
    root["anyOf"].as_array_mut().unwrap().push(failed.to_value());
    root["title"] = "What pgark prints with --json".into();
    root["description"] = "Each alternative is named by its command; docs/json.md explains them.".into();
    tidy(&mut root);
    root
}

/// Comments of several lines become one.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = in_one_line(text);
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads a schema.
struct Reader<'s> {
    root: &'s Value,
}

impl<'s> Reader<'s> {
    fn documents(&self) -> impl Iterator<Item = (&'s str, &'s Value)> {
        let found = self.root["anyOf"].as_array().unwrap().iter();
        found.map(|document| (document["title"].as_str().unwrap(), document))
    }

    /// The type that a schema refers to.
    fn named(&self, schema: &'s Value) -> Option<&'s str> {
        schema["$ref"].as_str().map(|path| path.trim_start_matches("#/$defs/"))
    }

    fn definition(&self, name: &str) -> &'s Value {
        &self.root["$defs"][name]
    }

    fn resolved(&self, schema: &'s Value) -> &'s Value {
        self.named(schema).map_or(schema, |name| self.definition(name))
    }

    /// The fields of an object: the required ones in the order of their declaration, then the
    /// others.
    fn fields(&self, object: &'s Value) -> Vec<(&'s str, &'s Value, bool)> {
        let properties = object["properties"].as_object().into_iter().flatten();
        let all: Vec<(&str, &Value)> = properties.map(|(name, field)| (name.as_str(), field)).collect();
        let required: Vec<&str> =
            object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let first = required.iter().filter_map(|name| all.iter().find(|(own, _)| own == name));
        let last = all.iter().filter(|(name, _)| !required.contains(name));
        let told = first.map(|(name, field)| (*name, *field, true));
        told.chain(last.map(|(name, field)| (*name, *field, false))).collect()
    }

    /// The type of a value, in words.
    fn words(&self, schema: &'s Value) -> String {
        if let Some(name) = self.named(schema) {
            return format!("[{name}](#{})", name.to_lowercase());
        }
        for several in ["anyOf", "oneOf"] {
            if let Some(choices) = schema[several].as_array() {
                let choices: Vec<String> = choices.iter().map(|choice| self.words(choice)).collect();
                return choices.join(" or ");
            }
        }
        match &schema["type"] {
            Value::Array(types) => {
                let types = types.iter().map(|own| self.of_type(own.as_str().unwrap(), schema));
                types.collect::<Vec<_>>().join(" or ")
            }
            own => self.of_type(own.as_str().unwrap_or_else(|| panic!("{schema} has no type")), schema),
        }
    }

    fn of_type(&self, own: &str, schema: &'s Value) -> String {
        match (own, schema.get("items"), schema["prefixItems"].as_array()) {
            ("array", Some(items), _) => format!("array of {}", self.words(items)),
            ("array", None, Some(items)) => {
                let items: Vec<String> = items.iter().map(|item| self.words(item)).collect();
                format!("array of {}: {}", items.len(), items.join(", "))
            }
            ("object", ..) if schema["additionalProperties"].is_object() => {
                format!("object: {} by name", self.words(&schema["additionalProperties"]))
            }
            ("null", ..) => "null".to_string(),
            (own, ..) => own.to_string(),
        }
    }

    /// The types that are named below a schema, with those that these name.
    fn names_below(&self, schema: &'s Value, found: &mut BTreeSet<&'s str>) {
        match schema {
            Value::Object(fields) => {
                if let Some(name) = self.named(schema).filter(|name| found.insert(name)) {
                    self.names_below(self.definition(name), found);
                }
                fields.values().for_each(|field| self.names_below(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| self.names_below(item, found)),
            _ => {}
        }
    }

    /// The fields of an object, or the words or objects that a value can be.
    fn table(&self, schema: &'s Value) -> String {
        let Some(choices) = schema["oneOf"].as_array() else { return self.fields_table(schema) };
        let rows = choices.iter().map(|choice| {
            let value = match choice.get("const") {
                Some(word) => format!("`{word}`"),
                None => format!("`{}`", self.shape(choice)),
            };
            [value, description(choice).to_string()]
        });
        table(["value", "meaning"], rows)
    }

    fn fields_table(&self, object: &'s Value) -> String {
        let fields = self.fields(object).into_iter().filter(|(name, ..)| *name != "format");
        let rows = fields.map(|(name, field, is_required)| {
            let words = self.words(field);
            let words = match is_required {
                true => words,
                // What can be absent is never null.
                false => format!("{}, optional", words.strip_suffix(" or null").unwrap_or(&words)),
            };
            [format!("`{name}`"), words, description(field).to_string()]
        });
        table(["field", "type", "meaning"], rows)
    }

    /// `{"finding": "bad", "why": string}`.
    fn shape(&self, object: &'s Value) -> String {
        let fields = self.fields(object).into_iter().map(|(name, field, _)| match field.get("const") {
            Some(word) => format!("\"{name}\": {word}"),
            None => format!("\"{name}\": {}", self.words(field)),
        });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
    }
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&head.map(str::to_string));
    text.push_str(&format!("|{}\n", "---|".repeat(N)));
    for row in rows {
        text.push_str(&line(&row.map(|cell| cell.replace('|', "\\|"))));
    }
    text
}

fn page(root: &Value) -> String {
    let reader = Reader { root };
    let mut nested = BTreeSet::new();
    for (_, document) in reader.documents() {
        let own = reader.resolved(document);
        own.as_object().unwrap().values().for_each(|field| reader.names_below(field, &mut nested));
    }
    let mut page = String::from(
        "# JSON\n\n\
         <!-- Made from the program's types by `PGARK_WRITE_DOCS=1 cargo test -p pgark json`. -->\n",
    );
    for paragraph in INTRODUCTION {
        page.push_str(&format!("\n{}", wrapped(paragraph, "", "")));
    }
    for (title, document) in reader.documents() {
        let heading = if title == ERROR { "Errors".to_string() } else { format!("pgark {title}") };
        page.push_str(&format!("\n## {heading}\n\n{}\n", wrapped(description(document), "", "")));
        match reader.named(document).filter(|name| nested.contains(name)) {
            Some(name) => {
                let link = format!("The fields of [{name}](#{}).", name.to_lowercase());
                page.push_str(&wrapped(&link, "", ""));
            }
            None => page.push_str(&reader.table(reader.resolved(document))),
        }
    }
    page.push_str("\n## Types\n");
    for name in nested {
        let schema = reader.definition(name);
        page.push_str(&format!("\n### {name}\n\n{}", wrapped(description(schema), "", "")));
        match schema["type"].as_str() {
            Some("string") => page.push_str("\nA string.\n"),
            _ => page.push_str(&format!("\n{}", reader.table(schema))),
        }
    }
    page
}

#[test]
fn docs_of_json_are_what_the_types_say() {
    let schema = schema();
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    for (path, made) in [(SCHEMA, text), (PAGE, page(&schema))] {
        if std::env::var_os("PGARK_WRITE_DOCS").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        let differs = made.lines().zip(found.lines()).find(|(new, old)| new != old);
        assert!(
            made == found,
            "{path} is not what the types say ({differs:?}): run PGARK_WRITE_DOCS=1 cargo test -p pgark json"
        );
    }
}

/// A field of which nothing is said, or only something for people who read the code.
#[test]
fn every_field_of_json_is_described() {
    fn look(schema: &Value, at: &str, faults: &mut Vec<String>) {
        if let Some(fields) = schema["properties"].as_object() {
            for (name, field) in fields {
                let at = format!("{at}.{name}");
                let told = description(field);
                let needs_none = field.get("const").is_some() || at.ends_with(".why") || name == "format";
                if (told.is_empty() && !needs_none) || told.contains("[`") || told.contains("::") {
                    faults.push(format!("{at}: {told}"));
                }
            }
        }
        match schema {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, below)| look(below, &format!("{at}/{name}"), faults));
            }
            Value::Array(items) => items.iter().for_each(|item| look(item, at, faults)),
            _ => {}
        }
    }
    let mut faults = Vec::new();
    look(&schema(), "", &mut faults);
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Commands that print no facts: content of a backup, a file for another program, an exit code for
/// a server.
const WITHOUT: [&str; 10] = [
    "cat",
    "completions",
    "config convert",
    "config default",
    "config init",
    "man",
    "mask lock",
    "wal fetch",
    "wal push",
    "wal receive",
];

#[test]
fn every_command_that_prints_facts_has_json() {
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, bool)>) {
        if !command.has_subcommands() {
            // `config show` hands its options on to the command that it is about.
            let has = path == "config show" || command.get_arguments().any(|arg| arg.get_id() == "json");
            found.push((path.to_string(), has));
        }
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            leaves(inner, format!("{path} {}", inner.get_name()).trim(), found);
        }
    }
    let mut found = Vec::new();
    leaves(&Args::command(), "", &mut found);
    let without: BTreeSet<&str> =
        found.iter().filter(|(_, has)| !has).map(|(path, _)| path.as_str()).collect();
    assert_eq!(without, BTreeSet::from(WITHOUT));
    let with: BTreeSet<&str> = found.iter().filter(|(_, has)| *has).map(|(path, _)| path.as_str()).collect();
    let schema = schema();
    let reader = Reader { root: &schema };
    // A title may name an option too, or what is read: `backup --dry-run`, `diff of …`.
    let command =
        |title: &'static str| move |text: &str| text.split(title).next().unwrap_or(text).to_string();
    let titles = reader.documents().map(|(title, _)| command(" of ")(&command(" --")(title)));
    let described: BTreeSet<String> = titles.filter(|title| title != ERROR).collect();
    assert_eq!(described, with.into_iter().map(str::to_string).collect());
}

#[test]
fn types_are_told_in_words() {
    let root = json!({ "$defs": { "Own": { "type": "object" } } });
    let cases = [
        (json!({ "type": "integer" }), "integer"),
        (json!({ "type": ["string", "null"] }), "string or null"),
        (json!({ "anyOf": [{ "$ref": "#/$defs/Own" }, { "type": "null" }] }), "[Own](#own) or null"),
        (json!({ "type": "array", "items": { "$ref": "#/$defs/Own" } }), "array of [Own](#own)"),
        (
            json!({ "type": "object", "additionalProperties": { "type": "integer" } }),
            "object: integer by name",
        ),
    ];
    for (schema, told) in &cases {
        assert_eq!(Reader { root: &root }.words(schema), *told);
    }
}
