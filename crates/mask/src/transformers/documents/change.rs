//! Greenmask's operations on a document: `set` and `delete`.

use super::json::Leaf;
use super::path::{Place, Step, parse};
use crate::finding::Code;
use crate::forms::json::{self, Scanner};
use crate::making::{Making, Unfit};
use crate::rules::{Literal, Setting};
use crate::transformer::{Plain, Refusal};

/// One operation.
#[derive(Debug)]
pub(super) struct Change {
    steps: Vec<Step>,
    to: To,
    /// A document without the path is refused.
    error_not_exist: bool,
    /// A document without the path stays as it is.
    skip_not_exist: bool,
}

/// What becomes of the value at the path.
#[derive(Debug)]
enum To {
    /// This JSON.
    Value(String),
    /// What a rule makes of it; of a value that is not there, of NULL.
    Rule(Box<Leaf>),
    /// It is removed, with its key.
    Nothing,
}

impl Change {
    /// Reads an operation.
    pub fn build(making: &mut Making<'_>, setting: &Setting) -> Result<Change, Unfit> {
        let Literal::Table(members) = &setting.value else {
            let message = format!("an operation is a table, and not {}", setting.value.what());
            return Err(making.fault_at(Code::WrongValue, setting.place, message, HINT));
        };
        let (mut steps, mut to, mut operation) = (None, None, None);
        let (mut error_not_exist, mut skip_not_exist) = (false, false);
        for (name, member) in members {
            match (name.as_str(), &member.value) {
                ("operation", Literal::Text(word)) if word == "set" || word == "delete" => {
                    operation = Some(word.as_str());
                }
                ("path", Literal::Text(path)) => match parse(path) {
                    Ok(parsed) => steps = Some((parsed, member.place)),
                    Err(why) => {
                        let message = format!("the path {path} is not right: {why}");
                        return Err(making.fault_at(Code::DoesNotCompile, member.place, message, ""));
                    }
                },
                ("value", value) => {
                    let mut text = String::new();
                    of_literal(value, &mut text);
                    to = Some(To::Value(text));
                }
                ("rule", _) => to = Some(To::Rule(Box::new(Leaf::build(making, member)?))),
                ("error_not_exist", Literal::Flag(flag)) => error_not_exist = *flag,
                ("skip_not_exist", Literal::Flag(flag)) => skip_not_exist = *flag,
                ("operation" | "path" | "error_not_exist" | "skip_not_exist", _) => {
                    let message = format!("{name} of an operation does not take this value");
                    return Err(making.fault_at(Code::WrongValue, member.place, message, HINT));
                }
                _ => {
                    let message = format!("an operation has no {name}");
                    return Err(making.fault_at(Code::ParameterUnknown, member.place, message, HINT));
                }
            }
        }
        let to = match (operation, to) {
            (Some("delete"), None) => Some(To::Nothing),
            (Some("set"), to) => to,
            _ => None,
        };
        let (Some((steps, place)), Some(to)) = (steps, to) else {
            let message = "an operation has a path, and set a value or a rule, which delete has not";
            return Err(making.fault_at(Code::ParameterMissing, setting.place, message, HINT));
        };
        let leads_to_one = steps.iter().all(|step| matches!(step, Step::Key(_) | Step::Index(_)));
        if !leads_to_one || steps.is_empty() {
            let message = "an operation's path leads to one value, by names and numbers";
            return Err(making.fault_at(Code::DoesNotCompile, place, message, "paths take $..a and [*]"));
        }
        Ok(Change { steps, to, error_not_exist, skip_not_exist })
    }

    /// Writes the document with the change.
    pub fn apply(&self, plain: &Plain<'_>, text: &str, out: &mut String) -> Result<(), Refusal> {
        let exists = find(text, &self.steps);
        if exists.is_none() && self.error_not_exist {
            return Err(Refusal::new(
                "a document does not have the path of an operation with error_not_exist",
            ));
        }
        if exists.is_none() && (self.skip_not_exist || matches!(self.to, To::Nothing)) {
            out.push_str(text);
            return Ok(());
        }
        let mut value = String::new();
        match &self.to {
            To::Value(json) => value.push_str(json),
            To::Rule(rule) => rule.write(plain, exists.unwrap_or_default(), &mut value)?,
            To::Nothing => {}
        }
        let value = (!matches!(self.to, To::Nothing)).then_some(value.as_str());
        edit(text, &self.steps, value, out)
    }
}

const HINT: &str = "{ operation = \"set\", path = \"$.a\", value = 1 }";

/// A value of the rules file as JSON.
fn of_literal(value: &Literal, out: &mut String) {
    match value {
        Literal::Text(text) | Literal::Time(text) => json::encode(text, out),
        Literal::List(list) => {
            out.push('[');
            for (number, one) in list.iter().enumerate() {
                out.push_str(if number > 0 { ", " } else { "" });
                of_literal(&one.value, out);
            }
            out.push(']');
        }
        Literal::Table(members) => {
            out.push('{');
            for (number, (key, one)) in members.iter().enumerate() {
                out.push_str(if number > 0 { ", " } else { "" });
                json::encode(key, out);
                out.push_str(": ");
                of_literal(&one.value, out);
            }
            out.push('}');
        }
        scalar => {
            let text = scalar.scalar().unwrap_or_default();
            // TOML has infinities and NaN, and JSON has not.
            let is_json = json::is_valid(&text);
            out.push_str(if is_json { &text } else { "null" });
        }
    }
}

/// The members of an object or elements of a list, one after the other.
struct Members<'t> {
    scanner: Scanner<'t>,
    is_object: bool,
    index: i64,
    is_over: bool,
}

/// One member: where it begins, where its value begins and ends, and what leads to it.
struct Member {
    from: usize,
    value: std::ops::Range<usize>,
    key: String,
    index: i64,
}

impl<'t> Members<'t> {
    /// None: the value is a scalar.
    fn of(text: &'t str) -> Option<Members<'t>> {
        let mut scanner = Scanner::new(text);
        let is_object = scanner.take(b'{');
        if !is_object && !scanner.take(b'[') {
            return None;
        }
        let is_over = scanner.take(if is_object { b'}' } else { b']' });
        Some(Members { scanner, is_object, index: 0, is_over })
    }

    fn next(&mut self) -> Option<Member> {
        if self.is_over {
            return None;
        }
        self.scanner.peek();
        let from = self.scanner.position();
        let mut key = String::new();
        if self.is_object {
            json::decode(self.scanner.string()?, &mut key);
            self.scanner.take(b':');
        }
        self.scanner.peek();
        let start = self.scanner.position();
        self.scanner.value(0)?;
        let member = Member { from, value: start..self.scanner.position(), key, index: self.index };
        self.index += 1;
        if !self.scanner.take(b',') {
            self.is_over = true;
            self.scanner.take(if self.is_object { b'}' } else { b']' });
        }
        Some(member)
    }
}

impl Member {
    fn fits(&self, step: &Step, is_object: bool) -> bool {
        step.fits(if is_object { Place::Key(&self.key) } else { Place::Index(self.index) })
    }
}

/// The first value at the path.
fn find<'t>(text: &'t str, steps: &[Step]) -> Option<&'t str> {
    let Some((step, after)) = steps.split_first() else { return Some(text) };
    let mut members = Members::of(text)?;
    let is_object = members.is_object;
    while let Some(member) = members.next() {
        if member.fits(step, is_object)
            && let Some(found) = text.get(member.value.clone()).and_then(|value| find(value, after))
        {
            return Some(found);
        }
    }
    None
}

/// Writes a value whose value at the path is another one, or (None) is removed. What does not have
/// on the way there is made.
fn edit(text: &str, steps: &[Step], to: Option<&str>, out: &mut String) -> Result<(), Refusal> {
    let Some((step, after)) = steps.split_first() else {
        out.push_str(to.unwrap_or_default());
        return Ok(());
    };
    let Some(mut members) = Members::of(text) else {
        return Err(Refusal::new(
            "the path of an operation leads through a value that is not an object or list",
        ));
    };
    let is_object = members.is_object;
    let removes_here = after.is_empty() && to.is_none();
    // Duplicates of a key are changed alike.
    let (mut written, mut fits_any, mut count) = (0, false, 0);
    let mut kept = Vec::new();
    while let Some(member) = members.next() {
        count += 1;
        if !member.fits(step, is_object) {
            kept.push(member.from..member.value.end);
            continue;
        }
        fits_any = true;
        if !removes_here {
            out.push_str(text.get(written..member.value.start).unwrap_or_default());
            written = member.value.end;
            edit(text.get(member.value).unwrap_or_default(), after, to, out)?;
        }
    }
    if removes_here {
        out.push(if is_object { '{' } else { '[' });
        for (number, range) in kept.into_iter().enumerate() {
            out.push_str(if number > 0 { ", " } else { "" });
            out.push_str(text.get(range).unwrap_or_default());
        }
        out.push(if is_object { '}' } else { ']' });
        return Ok(());
    }
    let end = text.trim_end().len().saturating_sub(1);
    match to {
        Some(to) if !fits_any => {
            let mut added = String::new();
            match (step, is_object) {
                (Step::Key(name), true) => {
                    json::encode(name, &mut added);
                    added.push_str(": ");
                }
                (Step::Index(index), false) if *index == -1 || *index == count => {}
                _ => {
                    return Err(Refusal::new("the path of an operation does not fit the document"));
                }
            }
            make(after, to, &mut added)?;
            out.push_str(text.get(..end).unwrap_or_default().trim_end());
            out.push_str(if count > 0 { ", " } else { "" });
            out.push_str(&added);
            out.push_str(text.get(end..).unwrap_or_default());
        }
        _ => out.push_str(text.get(written..).unwrap_or_default()),
    }
    Ok(())
}

/// A new value with what the path still has before it.
fn make(steps: &[Step], to: &str, out: &mut String) -> Result<(), Refusal> {
    match steps.split_first() {
        None => out.push_str(to),
        Some((Step::Key(name), after)) => {
            out.push('{');
            json::encode(name, out);
            out.push_str(": ");
            make(after, to, out)?;
            out.push('}');
        }
        Some((Step::Index(-1 | 0), after)) => {
            out.push('[');
            make(after, to, out)?;
            out.push(']');
        }
        Some(_) => return Err(Refusal::new("the path of an operation leads behind the end of a list")),
    }
    Ok(())
}
