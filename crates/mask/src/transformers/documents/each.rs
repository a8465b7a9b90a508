//! `each`.

use std::cmp::Ordering;

use super::super::inner::{Inner, rule_of};
use super::{Rest, changes_nothing};
use crate::finding::Code;
use crate::forms::range::Bounds;
use crate::forms::{array, composite, hstore, range};
use crate::making::{Making, Unfit};
use crate::rules::{Literal, Rule};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::{Kind, Target, order};

/// Parameters that are `each`'s own.
const OWN: &[&str] = &["of", "fields", "keys", "rest"];

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let of = of(making)?;
    let fit: &[&str] = match making.kind() {
        Kind::Composite(_) => &["of", "fields", "rest"],
        Kind::Hstore => &["of", "keys", "rest"],
        _ => &["of"],
    };
    for name in OWN {
        if making.setting(name).is_some() && !fit.contains(name) {
            let message = format!("{name} is not for a column of {}", making.target().sql_type);
            return Err(making.fault(Code::WrongValue, name, message, fit.join(", ")));
        }
    }
    if of.is_some() && making.setting("rest").is_some() {
        let message = "of is the rule of all the others, so that there is no rest";
        return Err(making.fault(Code::WrongValue, "rest", message, ""));
    }
    match making.kind() {
        Kind::Array(kind) => Ok(Box::new(OfArray(one(making, of, kind)?))),
        Kind::Range(kind) | Kind::Multirange(kind) => {
            let is_many = matches!(making.kind(), Kind::Multirange(_));
            Ok(Box::new(OfRange { inner: one(making, of, kind)?, kind: kind.as_ref().clone(), is_many }))
        }
        Kind::Composite(attributes) => fields(making, of, attributes),
        _ => keys(making, of),
    }
}

/// The rule that `of` names, with the parameters that are given with it.
fn of(making: &mut Making<'_>) -> Result<Option<Rule>, Unfit> {
    let beside: Vec<_> =
        making.rule().parameters.iter().filter(|(name, _)| !OWN.contains(&name.as_str())).cloned().collect();
    let of = match making.setting("of") {
        Some(setting) => Some((setting, rule_of(making, setting)?)),
        None => None,
    };
    match of {
        Some((setting, mut rule)) if beside.is_empty() || matches!(setting.value, Literal::Text(_)) => {
            rule.parameters.extend(beside);
            Ok(Some(rule))
        }
        None if beside.is_empty() => Ok(None),
        _ => {
            let (name, place) = beside.first().map_or(("", making.rule().place), |(name, s)| (name, s.place));
            let message = format!("each has no parameter {name}");
            Err(making.fault_at(Code::ParameterUnknown, place, message, "it goes into of = { use = … }"))
        }
    }
}

/// The rule of all elements.
fn one(making: &mut Making<'_>, rule: Option<Rule>, kind: &Kind) -> Result<Inner, Unfit> {
    let Some(rule) = rule else {
        return Err(making.fault(Code::ParameterMissing, "of", "each needs of", "of = \"word\""));
    };
    if rule.name == "keep" {
        return Err(changes_nothing(making, "of"));
    }
    Inner::build(making, &rule, &Target::inner(kind.clone()))
}

/// What becomes of an attribute or of a value of hstore.
#[derive(Debug)]
enum Way {
    Rule(Box<Inner>),
    Rest(Rest),
}

impl Way {
    fn value(&self, plain: &Plain<'_>, value: Option<&str>, out: &mut String) -> Result<bool, Refusal> {
        match (self, value) {
            (Way::Rule(inner), _) => inner.fiction(plain, value, out),
            (Way::Rest(_), None) => Ok(false),
            (Way::Rest(Rest::Null), Some(_)) => Ok(false),
            (Way::Rest(Rest::Keep), Some(value)) => {
                out.push_str(value);
                Ok(true)
            }
            (Way::Rest(Rest::Refuse), Some(_)) => {
                Err(Refusal::new("the value has a part that no rule speaks of, and rest is \"refuse\""))
            }
        }
    }
}

/// Rules by name, in the file's order.
fn named(
    making: &mut Making<'_>,
    parameter: &str,
) -> Result<Vec<(String, Rule, crate::finding::Place)>, Unfit> {
    let Some(Literal::Table(members)) = making.setting(parameter).map(|setting| &setting.value) else {
        return Ok(Vec::new());
    };
    let mut rules = Vec::new();
    for (name, setting) in members {
        rules.push((name.clone(), rule_of(making, setting)?, setting.place));
    }
    Ok(rules)
}

fn fields(
    making: &mut Making<'_>,
    of: Option<Rule>,
    attributes: &[(String, Kind)],
) -> Result<Box<dyn Transformer>, Unfit> {
    let named = named(making, "fields")?;
    for (name, _, place) in &named {
        if !attributes.iter().any(|(known, _)| known == name) {
            let message = format!("the type has no attribute {name}");
            let known: Vec<&str> = attributes.iter().map(|(name, _)| name.as_str()).collect();
            return Err(making.fault_at(Code::UnknownColumn, *place, message, known.join(", ")));
        }
    }
    let rest = Rest::of(making);
    let (mut ways, mut without, mut changes) = (Vec::new(), Vec::new(), false);
    for (name, kind) in attributes {
        let rule = named.iter().find(|(known, ..)| known == name).map(|(_, rule, _)| rule).or(of.as_ref());
        changes |= rule.map_or(rest != Rest::Keep, |rule| rule.name != "keep");
        ways.push(match rule {
            Some(rule) => Way::Rule(Box::new(Inner::build(making, rule, &Target::inner(kind.clone()))?)),
            None => {
                without.push(name.as_str());
                Way::Rest(rest)
            }
        });
    }
    // Attributes are known before the first row.
    if rest == Rest::Refuse && !without.is_empty() {
        let message = format!("no rule speaks of {}", without.join(", "));
        return Err(making.fault(Code::Undecided, "fields", message, "rest = \"keep\" or \"null\""));
    }
    if !changes {
        return Err(changes_nothing(making, "fields"));
    }
    let names = attributes.iter().map(|(name, _)| name.clone()).collect();
    Ok(Box::new(OfComposite { names, ways }))
}

fn keys(making: &mut Making<'_>, of: Option<Rule>) -> Result<Box<dyn Transformer>, Unfit> {
    let target = Target::inner(Kind::Text(None));
    let (mut ways, mut changes) = (Vec::new(), false);
    for (name, rule, _) in named(making, "keys")? {
        changes |= rule.name != "keep";
        ways.push((name, Way::Rule(Box::new(Inner::build(making, &rule, &target)?))));
    }
    let rest = Rest::of(making);
    changes |= of.as_ref().map_or(rest != Rest::Keep, |rule| rule.name != "keep");
    if !changes {
        return Err(changes_nothing(making, "keys"));
    }
    let others = match of {
        Some(rule) => Way::Rule(Box::new(Inner::build(making, &rule, &target)?)),
        None => Way::Rest(rest),
    };
    Ok(Box::new(OfHstore { ways, others }))
}

#[derive(Debug)]
struct OfArray(Inner);

impl Transformer for OfArray {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if plain.is_null {
            return Ok(Answer::Null);
        }
        array::each(plain.text, &mut |value, out| self.0.fiction(plain, value, out), out)?;
        Ok(Answer::Text)
    }
}

#[derive(Debug)]
struct OfComposite {
    names: Vec<String>,
    ways: Vec<Way>,
}

impl Transformer for OfComposite {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if plain.is_null {
            return Ok(Answer::Null);
        }
        let mut ways = self.ways.iter();
        let mut of = |_: &str, value: Option<&str>, out: &mut String| match ways.next() {
            Some(way) => way.value(plain, value, out),
            None => Ok(false),
        };
        composite::each(plain.text, self.names.iter().map(String::as_str), &mut of, out)?;
        Ok(Answer::Text)
    }
}

#[derive(Debug)]
struct OfHstore {
    ways: Vec<(String, Way)>,
    others: Way,
}

impl Transformer for OfHstore {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if plain.is_null {
            return Ok(Answer::Null);
        }
        let mut of = |key: &str, value: Option<&str>, out: &mut String| {
            let way = self.ways.iter().find(|(known, _)| known == key).map(|(_, way)| way);
            way.unwrap_or(&self.others).value(plain, value, out)
        };
        hstore::each(plain.text, &mut of, out)?;
        Ok(Answer::Text)
    }
}

#[derive(Debug)]
struct OfRange {
    inner: Inner,
    kind: Kind,
    is_many: bool,
}

impl OfRange {
    fn bounds(&self, plain: &Plain<'_>, bounds: Bounds, out: &mut String) -> Result<(), Refusal> {
        let fiction = |bound: Option<String>| -> Result<Option<String>, Refusal> {
            let Some(bound) = bound else { return Ok(None) };
            let mut text = String::new();
            Ok(self.inner.fiction(plain, Some(&bound), &mut text)?.then_some(text))
        };
        let mut masked = Bounds { lower: fiction(bounds.lower)?, upper: fiction(bounds.upper)?, ..bounds };
        if let (Some(lower), Some(upper)) = (&masked.lower, &masked.upper) {
            match order(&self.kind, lower, upper) {
                Some(Ordering::Less) => {}
                // A range of one value is not empty.
                Some(Ordering::Equal) => (masked.with_lower, masked.with_upper) = (true, true),
                Some(Ordering::Greater) => std::mem::swap(&mut masked.lower, &mut masked.upper),
                None => return Err(Refusal::new("the bounds of a range cannot be brought into their order")),
            }
        }
        masked.write(out);
        Ok(())
    }
}

impl Transformer for OfRange {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if plain.is_null {
            return Ok(Answer::Null);
        }
        let mut of = |bounds: Bounds, out: &mut String| self.bounds(plain, bounds, out);
        if self.is_many {
            range::many(plain.text, &mut of, out)?;
        } else {
            range::one(plain.text, &mut of, out)?;
        }
        Ok(Answer::Text)
    }
}
