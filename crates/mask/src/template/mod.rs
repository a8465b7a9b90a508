//! Templates: fictions that a rule writes itself, in minijinja (a subset of Jinja 2).
//!
//! **What it sees.** A column by its name (`last_name`), typed: integers, floats, true and false,
//! and texts; a `numeric` is a number where a float loses nothing of it, else its text, which does
//! not compute. `masked.title` is another column's fiction, `value` the plain text of the column
//! itself. A column whose name is no identifier, or the name of a function, is `row["its name"]`
//! and is in the rule's `reads`. A name that is neither column nor function is found when the rules
//! are checked.
//!
//! **NULL** is false, `is none`, and prints nothing that a text can hold: a template that prints
//! NULL alone makes NULL, and NULL inside of a text is refused. `coalesce(a, b)` and `a |
//! default('x')` say what is in its place.
//!
//! **What it can do.** minijinja's filters and tests, `fake('person.first')` (any transformer;
//! parameters are values that are there; `of=x` makes the fiction of `x` instead of the column's
//! value), the functions of `functions` and `draws`. Draws depend on the value and on the
//! call's number alone: equal values get equal fictions. There is no clock.
//!
//! **Limits.** 200,000 steps and 1 MiB of output for each value. They are against mistakes: whoever
//! writes rules is trusted.

mod dates;
mod draws;
mod functions;
mod json;
mod record;
mod scan;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use minijinja::value::{Object, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use pgark_bytes::nearest::nearest;

pub use record::Record;

use crate::finding::{Code, Finding};
use crate::key::RuleKey;
use crate::making::{Making, Read, Unfit};
use crate::rules::{Common, Literal, Rule, Setting};
use crate::transformer::{Plain, Refusal};
use crate::transformers;
use crate::types::{Kind, Target, check_text};
use draws::{Call, Drawing, Fake, Run};
use scan::FakeCall;

/// Steps of one rendering: instructions of minijinja.
const MOST_STEPS: u64 = 200_000;

/// Bytes of one rendering.
const MOST_BYTES: usize = 1 << 20;

/// Macros that call each other, so deep.
const MOST_DEEP: usize = 64;

/// The only template of an environment.
const NAME: &str = "template";

/// A compiled template.
#[derive(Debug)]
pub(crate) struct Program {
    environment: Environment<'static>,
    /// Names that the template reads, and what they are, in one order.
    names: Arc<[String]>,
    roots: Vec<Root>,
    /// Members of `row` and `masked`.
    plain: Members,
    masked: Members,
    fakes: Arc<[Fake]>,
    key: RuleKey,
}

/// What a name of the template is.
#[derive(Clone, Debug)]
enum Root {
    Column(usize, Kind),
    Value,
    Row,
    Masked,
    Call(Call),
}

/// Columns by their names.
#[derive(Debug)]
struct Members {
    names: Arc<[String]>,
    columns: Vec<(usize, Kind)>,
}

/// Names with their values, in one order.
#[derive(Debug)]
struct Scope {
    names: Arc<[String]>,
    values: Vec<Value>,
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let at = self.names.iter().position(|name| name == key)?;
        self.values.get(at).cloned()
    }
}

impl Members {
    fn new(columns: Vec<(String, usize, Kind)>) -> Members {
        let names = columns.iter().map(|(name, ..)| name.clone()).collect();
        Members { names, columns: columns.into_iter().map(|(_, column, kind)| (column, kind)).collect() }
    }

    fn of(&self, text: impl Fn(usize) -> Option<String>) -> Value {
        let value = |(column, kind): &(usize, Kind)| values::of_column(kind, text(*column).as_deref());
        let values = self.columns.iter().map(value).collect();
        Value::from_object(Scope { names: Arc::clone(&self.names), values })
    }
}

/// Names that are no columns.
fn is_reserved(name: &str) -> bool {
    matches!(name, "value" | "row" | "masked")
        || Call::NAMES.contains(&name)
        || functions::NAMES.contains(&name)
}

impl Program {
    /// Compiles a template. `extra`: columns of which it may read the plain value as well.
    pub fn compile(making: &mut Making<'_>, setting: &Setting, extra: &[String]) -> Result<Program, Unfit> {
        let text = setting.value.scalar().unwrap_or_default();
        let mut environment = environment();
        if let Err(error) = environment.add_template_owned(NAME, text.clone()) {
            return Err(broken(making, setting, &told(&error)));
        }
        let scanned = scan::scan(&text);
        for fault in &scanned.faults {
            broken(making, setting, fault);
        }
        let mut columns = Columns::default();
        let mut failed = !scanned.faults.is_empty();
        let listed = making.rule().common.reads.clone();
        for reads in &listed {
            let name = reads.value.scalar().unwrap_or_default();
            failed |= columns.read(making, &name, reads).is_err();
        }
        let names = environment.get_template(NAME).map(|template| template.undeclared_variables(true));
        let mut names: BTreeSet<String> = names.unwrap_or_default().into_iter().collect();
        // minijinja leaves out what is before a slice (`name[:3]`) and what is set from itself
        // (`{% set a = a %}`): each word of the code that can be a column is one.
        names.extend(scanned.members.iter().cloned());
        let is_read = |word: &&String| match word.as_str() {
            // Their members are what is read.
            "masked" | "row" => false,
            "value" => true,
            word => Call::named(word).is_some() || columns.position(making, word).is_some(),
        };
        let words = scanned.words.iter().chain(extra).filter(is_read);
        names.extend(words.cloned());
        let mut heads: BTreeSet<String> = BTreeSet::new();
        for name in &names {
            let mut steps = name.split('.');
            let (head, member) = (steps.next().unwrap_or_default(), steps.next());
            heads.insert(head.to_string());
            match (head, member) {
                ("masked", Some(member)) => {
                    failed |= columns.read(making, &format!("masked.{member}"), setting).is_err();
                }
                ("row", Some(member)) => failed |= columns.read(making, member, setting).is_err(),
                ("masked" | "row", None) if !columns.has(head) => {
                    let message = format!("which columns {head} reads is not seen");
                    making.fault(Code::DoesNotCompile, "value", message, "list them: reads = [\"…\"]");
                    failed = true;
                }
                _ => {}
            }
        }
        let mut roots = Vec::new();
        for head in &heads {
            match columns.root(making, head, setting) {
                Ok(root) => roots.extend(root.map(|root| (head.clone(), root))),
                Err(Unfit) => failed = true,
            }
        }
        let fakes = fakes(making, setting, &scanned.fakes);
        if failed {
            return Err(Unfit);
        }
        let (names, roots): (Vec<String>, Vec<Root>) = roots.into_iter().unzip();
        Ok(Program {
            environment,
            names: names.into(),
            roots,
            plain: Members::new(columns.plain),
            masked: Members::new(columns.masked),
            fakes: fakes?.into(),
            key: making.key().part("template"),
        })
    }

    fn context(&self, plain: &Plain<'_>) -> Value {
        let run = Arc::new(Run {
            fakes: Arc::clone(&self.fakes),
            key: self.key,
            seed: plain.draw.seed(),
            subject: plain.subject.clone(),
            text: plain.text.to_string(),
            canonical: plain.canonical.to_vec(),
            calls: AtomicU32::new(0),
        });
        let value = |root: &Root| match root {
            Root::Column(column, kind) => values::of_column(kind, plain.row.plain(*column)),
            Root::Value if plain.is_null => values::null(),
            Root::Value => Value::from(plain.text),
            Root::Row => self.plain.of(|column| plain.row.plain(column).map(str::to_string)),
            Root::Masked => self.masked.of(|column| plain.row.masked(column).map(str::to_string)),
            Root::Call(call) => Value::from_object(Drawing { call: *call, run: Arc::clone(&run) }),
        };
        let values = self.roots.iter().map(value).collect();
        Value::from_object(Scope { names: Arc::clone(&self.names), values })
    }

    /// Writes what the template prints. False: it is NULL.
    pub fn render(&self, plain: &Plain<'_>, out: &mut String) -> Result<bool, Refusal> {
        let mut limited = Limited(std::mem::take(out).into_bytes());
        limited.0.clear();
        let template = self.environment.get_template(NAME).map_err(|error| refusal(&error))?;
        let rendered = template.render_captured_to(self.context(plain), &mut limited).map(drop);
        rendered.map_err(|error| refusal(&error))?;
        *out = String::from_utf8(limited.0).map_err(|_| Refusal::new("a template printed no text"))?;
        if !out.contains(values::NULL) {
            return Ok(true);
        }
        if out.trim() == values::NULL { Ok(false) } else { Err(refusal(&values::null_inside())) }
    }

    /// Runs the template and reads variables that it set; None: NULL. A variable that it did not
    /// set is refused by its name.
    fn variables(&self, plain: &Plain<'_>, names: &[String]) -> Result<Vec<Option<String>>, Refusal> {
        let template = self.environment.get_template(NAME).map_err(|error| refusal(&error))?;
        let captured = template.render_captured_to(self.context(plain), Limited(Vec::new()));
        let captured = captured.map_err(|error| refusal(&error))?;
        let state = captured.state();
        let set = state.exports();
        let read = |name: &String| {
            let value = state.lookup(name).filter(|_| set.contains(&name.as_str()));
            let value = value.ok_or_else(|| {
                Refusal::new(format!("a record did not set {name} for a row; each branch must set it"))
            })?;
            values::text(&value).map_err(|error| refusal(&error))
        };
        names.iter().map(read).collect()
    }
}

/// The columns that a template reads, as members of `row` and `masked`.
#[derive(Default)]
struct Columns {
    plain: Vec<(String, usize, Kind)>,
    masked: Vec<(String, usize, Kind)>,
}

impl Columns {
    fn read(&mut self, making: &mut Making<'_>, name: &str, at: &Setting) -> Result<(), Unfit> {
        let Read { column, masked } = making.read(name, at.place)?;
        let kind = making.target_of(Read { column, masked }).map(|target| target.kind.clone());
        let members = if masked { &mut self.masked } else { &mut self.plain };
        let name = name.strip_prefix("masked.").unwrap_or(name);
        if !members.iter().any(|(_, known, _)| *known == column) {
            members.push((name.to_string(), column, kind.unwrap_or(Kind::Text(None))));
        }
        Ok(())
    }

    fn has(&self, head: &str) -> bool {
        if head == "row" { !self.plain.is_empty() } else { !self.masked.is_empty() }
    }

    fn position(&self, making: &Making<'_>, name: &str) -> Option<usize> {
        making.around.columns.iter().position(|(known, _)| known == name)
    }

    /// What a name is; None: a function that the environment has.
    fn root(&mut self, making: &mut Making<'_>, head: &str, at: &Setting) -> Result<Option<Root>, Unfit> {
        match head {
            "value" => return Ok(Some(Root::Value)),
            "row" => return Ok(Some(Root::Row)),
            "masked" => return Ok(Some(Root::Masked)),
            _ => {}
        }
        if let Some(call) = Call::named(head) {
            return Ok(Some(Root::Call(call)));
        }
        if is_reserved(head) {
            return Ok(None);
        }
        let Some(column) = self.position(making, head) else {
            let known = making.around.columns.iter().map(|(name, _)| name.as_str());
            let all = known.chain(Call::NAMES.iter().copied()).chain(functions::NAMES.iter().copied());
            let hint = nearest(head, all).map(|near| format!("did you mean {near}?")).unwrap_or_default();
            let message = format!("the template reads {head}, which is neither a column nor a function");
            return Err(making.fault_at(Code::UnknownColumn, at.place, message, hint));
        };
        self.read(making, head, at)?;
        let read = Read { column, masked: false };
        let kind = making.target_of(read).map(|target| target.kind.clone());
        Ok(kind.map(|kind| Root::Column(column, kind)))
    }
}

/// Builds the transformers that a template calls.
fn fakes(making: &mut Making<'_>, setting: &Setting, calls: &[FakeCall]) -> Result<Vec<Fake>, Unfit> {
    let mut fakes: Vec<Fake> = Vec::new();
    let mut failed = false;
    for call in calls {
        let identity = call.identity();
        if fakes.iter().any(|fake| fake.identity == identity) {
            continue;
        }
        let name = &call.name;
        if matches!(name.as_str(), "template" | "record") {
            broken(making, setting, &format!("fake('{name}') would be a template inside of a template"));
            failed = true;
            continue;
        }
        let at = |value: Literal| Setting { value, place: setting.place };
        let mut members = vec![("use".to_string(), at(Literal::Text(name.clone())))];
        members.extend(call.parameters.iter().map(|(key, value)| (key.clone(), at(value.clone()))));
        let mut findings: Vec<Finding> = Vec::new();
        let rule = Rule::read(&at(Literal::Table(members)), &mut findings);
        if rule.common != Common::default() {
            let message = format!("fake('{name}') has a parameter that only the rule of a column can have");
            making.fault_at(Code::ParameterUnknown, setting.place, message, "give it to the rule itself");
            failed = true;
        }
        for finding in findings {
            making.fault_at(finding.code, setting.place, finding.message, finding.hint);
            failed = true;
        }
        let target = target(making, name);
        match making.nested(&rule, &target, &identity) {
            Ok(transformer) => fakes.push(Fake { identity, kind: target.kind, transformer }),
            Err(Unfit) => failed = true,
        }
    }
    if failed { Err(Unfit) } else { Ok(fakes) }
}

/// What a transformer that a template calls makes: a text if it can, else the column's type if it
/// can, else the first of some.
fn target(making: &Making<'_>, name: &str) -> Target {
    let kinds = [
        Kind::Text(None),
        making.kind().clone(),
        Kind::Int(8),
        Kind::Numeric(None),
        Kind::Float(8),
        Kind::Date,
        Kind::Timestamp,
        Kind::Bool,
        Kind::Uuid,
        Kind::Inet,
        Kind::Mac,
        Kind::Json,
    ];
    let takes = transformers::named(name).map(|definition| definition.takes);
    let kind = kinds.into_iter().find(|kind| takes.is_none_or(|takes| takes(kind)));
    Target {
        kind: kind.unwrap_or(Kind::Text(None)),
        sql_type: "text".to_string(),
        not_null: false,
        domain_checks: Vec::new(),
    }
}

/// Whether a column takes what a template printed, and the form in which COPY writes it.
pub(crate) fn settled(target: &Target, out: &mut String) -> Result<(), Refusal> {
    if target.kind == Kind::Bool {
        match out.as_str() {
            "true" => *out = "t".to_string(),
            "false" => *out = "f".to_string(),
            _ => {}
        }
    }
    let length = out.chars().count();
    if let Some(most) = target.most_chars().filter(|most| length > *most as usize) {
        let message = format!("a template printed {length} characters, and the column takes {most}");
        return Err(Refusal::new(message));
    }
    // The value itself is told to nobody.
    check_text(target, out)
        .map_err(|_| Refusal::new(format!("a template printed what {} does not take", target.sql_type)))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(MOST_STEPS));
    environment.set_recursion_limit(MOST_DEEP);
    environment.set_formatter(|out, _, value| values::write(value, out));
    functions::add(&mut environment);
    environment
}

fn broken(making: &mut Making<'_>, setting: &Setting, why: &str) -> Unfit {
    let message = format!("the template does not compile: {why}");
    making.fault_at(Code::DoesNotCompile, setting.place, message, "")
}

/// An error of compilation: of it the whole text is shown, since it only speaks of the template.
fn told(error: &Error) -> String {
    let line = error.line().map(|line| format!(" (in its line {line})")).unwrap_or_default();
    format!("{}{line}", error.detail().map_or_else(|| error.kind().to_string(), str::to_string))
}

/// An error of a row: minijinja's own texts may hold values, so only its kind is shown.
fn refusal(error: &Error) -> Refusal {
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let why = match (error.detail().and_then(|detail| detail.strip_prefix("masking: ")), error.kind()) {
        (Some(ours), _) => ours.to_string(),
        (None, ErrorKind::OutOfFuel) => format!("it takes more than {MOST_STEPS} steps"),
        (None, ErrorKind::WriteFailure) => format!("it prints more than {MOST_BYTES} bytes"),
        (None, kind) => kind.to_string(),
    };
    Refusal::new(format!("a template failed{line}: {why}"))
}

/// Takes at most [`MOST_BYTES`].
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_BYTES {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
