//! `[policy] columns = "auto"`: what a column becomes that no rule speaks of. Never its plain
//! value.

use crate::finding::{Code, Finding};
use crate::rules::{Common, Literal, Rule, Setting};
use crate::types::{Kind, Target};

/// The rule that `auto` means for what a column takes. `default` is its default.
pub(super) fn resolve(
    target: &Target,
    default: Option<&str>,
    table: &str,
    column: &str,
    findings: &mut Vec<Finding>,
) -> Rule {
    let has_default = default.is_some_and(is_constant);
    let (name, parameters) = match () {
        () if !target.not_null => ("null", Vec::new()),
        () if has_default => ("default", Vec::new()),
        () => of_kind(&target.kind),
    };
    let message = format!("no rule speaks of it; `auto` chose {name}");
    findings.push(Finding::new(Code::ChosenByItself, message).on(table, column));
    let parameters = parameters
        .into_iter()
        .map(|(name, value)| (name.to_string(), Setting { value, ..Setting::default() }));
    // What is NULL tells something, too.
    Rule { name: name.into(), parameters: parameters.collect(), common: Common::default(), ..Rule::default() }
}

/// A literal, with or without a cast.
fn is_constant(default: &str) -> bool {
    let value = default.split("::").next().unwrap_or(default).trim();
    let is_text = value.len() >= 2 && value.starts_with('\'') && value.ends_with('\'');
    is_text || value.parse::<f64>().is_ok() || matches!(value, "true" | "false")
}

fn of_kind(kind: &Kind) -> (&'static str, Vec<(&'static str, Literal)>) {
    let fixed = |text: &str| ("fixed", vec![("value", Literal::Text(text.into()))]);
    match kind {
        Kind::Bool => ("bool", Vec::new()),
        Kind::Int(_) => ("int", Vec::new()),
        Kind::Float(_) => fixed("0"),
        Kind::Numeric(_) => fixed("0"),
        Kind::Text(_) | Kind::Char(_) | Kind::Citext | Kind::Name => ("permute", Vec::new()),
        Kind::Date => fixed("1970-01-01"),
        Kind::Timestamp => fixed("1970-01-01 00:00:00"),
        Kind::TimestampTz => fixed("1970-01-01 00:00:00+00"),
        Kind::Time => fixed("00:00:00"),
        Kind::TimeTz => fixed("00:00:00+00"),
        Kind::Interval => fixed("00:00:00"),
        Kind::Uuid => ("uuid", Vec::new()),
        Kind::Inet | Kind::Cidr => ("ip", Vec::new()),
        Kind::Mac | Kind::Mac8 => ("mac", Vec::new()),
        Kind::Json | Kind::Jsonb => fixed("{}"),
        Kind::Bytea => fixed("\\x"),
        Kind::Enum(labels) => {
            let values = labels
                .iter()
                .map(|label| Setting { value: Literal::Text(label.clone()), ..Setting::default() });
            ("choose", vec![("values", Literal::List(values.collect()))])
        }
        Kind::Array(_) | Kind::Multirange(_) | Kind::Hstore => {
            fixed(if matches!(kind, Kind::Hstore) { "" } else { "{}" })
        }
        Kind::Range(_) => fixed("empty"),
        Kind::Xml | Kind::Composite(_) | Kind::Other(_) => ("null", Vec::new()),
    }
}

/// What to write into the file for a column that no rule speaks of.
pub(super) fn proposal(column: &str, target: Option<&Target>) -> String {
    let rule = match (super::personal::looks_like(column), target.map(|target| &target.kind)) {
        (Some("a mail address"), Some(Kind::Text(_) | Kind::Citext | Kind::Char(_))) => "email",
        (Some("a phone number"), Some(Kind::Text(_) | Kind::Citext | Kind::Char(_))) => "phone",
        (Some("a person's name"), Some(Kind::Text(_) | Kind::Citext | Kind::Char(_))) => "person.name",
        (Some("a date of birth"), Some(Kind::Date | Kind::Timestamp | Kind::TimestampTz)) => {
            return format!("columns.{column} = {{ use = \"shift\", by = \"60 days\" }}");
        }
        _ => "keep",
    };
    format!("columns.{column} = \"{rule}\"")
}
