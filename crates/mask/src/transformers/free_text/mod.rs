//! `free_text`: what is found inside of prose.

mod find;
mod known;
#[cfg(test)]
mod tests;

use super::inner::{Inner, rule_named, rule_of};
use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::rules::Literal;
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::{Kind, Target};
use find::{Found, What};
use known::Known;

/// This family.
pub const ALL: &[Definition] = &[Definition {
    name: "free_text",
    summary: "Replaces what it finds inside of prose: addresses, numbers, and the values of other columns of the row.",
    parameters: &[
        Parameter::new(
            "find",
            Takes::Texts,
            "",
            "What is looked for by its form: email, phone, iban, card, url, ip, uuid, number.",
        ),
        Parameter::new(
            "rules",
            Takes::Rules,
            "the transformer of the same name; permute of numbers",
            "From what is looked for to the rule that replaces it.",
        ),
        Parameter::new(
            "known",
            Takes::Texts,
            "",
            "Columns of the same row: where the plain value of one is in the text as a whole word, in any case, its \
             fiction comes there.",
        ),
        Parameter::new(
            "rest",
            Takes::Word(&["keep", "redact"]),
            "keep",
            "What becomes of everything else: keep, or redact: each letter and digit becomes a star.",
        ),
    ],
    takes: |kind| matches!(kind, Kind::Text(_) | Kind::Char(_) | Kind::Citext),
    types: "text, varchar, char, citext",
    injective: Injective::No,
    greenmask: &[],
    build,
}];

fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let mut rules = Vec::new();
    if let Some(Literal::Table(members)) = making.setting("rules").map(|setting| &setting.value) {
        for (name, setting) in members {
            rules.push((name.clone(), rule_of(making, setting)?, setting.place));
        }
    }
    let place = making.setting("find").map_or(making.rule().place, |setting| setting.place);
    let names = making.texts("find").unwrap_or_default();
    for (name, _, place) in &rules {
        if !names.contains(name) {
            let message = format!("there is a rule for {name}, and find does not look for it");
            return Err(making.fault_at(Code::WrongValue, *place, message, ""));
        }
    }
    let target = Target::inner(Kind::Text(None));
    let mut finders = Vec::new();
    for name in &names {
        let Some(what) = What::named(name) else {
            let message = format!("find does not know {name}");
            return Err(making.fault_at(Code::WrongValue, place, message, What::NAMES.join(", ")));
        };
        if finders.iter().any(|(known, _)| *known == what) {
            return Err(making.fault_at(Code::WrongValue, place, format!("find has {name} twice"), ""));
        }
        let given = rules.iter().find(|(known, ..)| known == name).map(|(_, rule, _)| rule.clone());
        let rule = given.unwrap_or_else(|| rule_named(what.transformer(), place));
        finders.push((what, Inner::build(making, &rule, &target)?));
    }
    let known = Known::build(making)?;
    let redacts = making.text("rest") == Some("redact");
    if finders.is_empty() && known.is_empty() && !redacts {
        let message = "the rule looks for nothing";
        return Err(making.fault(Code::ChangesNothing, "find", message, "find, known, or rest = \"redact\""));
    }
    let scanners = find::Scanners::new(finders.iter().map(|(what, _)| *what));
    let Some(scanners) = scanners else {
        return Err(making.fault(Code::DoesNotCompile, "find", "a pattern does not compile", ""));
    };
    let most = making.target().most_chars();
    Ok(Box::new(FreeText { finders, scanners, known, redacts, most }))
}

#[derive(Debug)]
struct FreeText {
    finders: Vec<(What, Inner)>,
    scanners: find::Scanners,
    known: Known,
    redacts: bool,
    /// The most characters of the column.
    most: Option<u32>,
}

impl FreeText {
    fn rest(&self, text: &str, out: &mut String) {
        if self.redacts {
            out.extend(text.chars().map(star));
        } else {
            out.push_str(text);
        }
    }

    /// Appends the fiction of what was found. What its transformer refuses is not a value of its
    /// kind: it is redacted.
    fn replace(&self, plain: &Plain<'_>, found: &Found, text: &str, out: &mut String) {
        if let Some(column) = found.column {
            match plain.row.masked(column) {
                Some(masked) if !masked.is_empty() => out.push_str(masked),
                _ => out.extend(text.chars().map(star)),
            }
            return;
        }
        let inner = self.finders.iter().find(|(what, _)| Some(*what) == found.what).map(|(_, inner)| inner);
        let mut fiction = String::new();
        match inner.map(|inner| inner.fiction(plain, Some(text), &mut fiction)) {
            Some(Ok(true)) => out.push_str(&fiction),
            _ => out.extend(text.chars().map(star)),
        }
    }
}

fn star(c: char) -> char {
    if c.is_alphanumeric() { '*' } else { c }
}

impl Transformer for FreeText {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if plain.is_null {
            return Ok(Answer::Null);
        }
        let mut all = Vec::new();
        self.known.find(plain, &mut all);
        self.scanners.find(plain.text, &mut all);
        let mut written = 0;
        for found in find::without_overlaps(all) {
            self.rest(plain.text.get(written..found.range.start).unwrap_or_default(), out);
            let text = plain.text.get(found.range.clone()).unwrap_or_default();
            self.replace(plain, &found, text, out);
            written = found.range.end;
        }
        self.rest(plain.text.get(written..).unwrap_or_default(), out);
        if let Some(most) = self.most
            && let Some((end, _)) = out.char_indices().nth(most as usize)
        {
            out.truncate(end);
        }
        Ok(Answer::Text)
    }
}
