//! Functions that draw: each call has random bits of its own, which the value's bits and the call's
//! number in this rendering decide, so that equal values get equal fictions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use minijinja::value::{Kwargs, Object, ObjectRepr, Value, from_args};
use minijinja::{Error, State};

use super::dates::{Moment, interval};
use super::functions::error;
use super::scan::identity;
use super::values::{float_text, is_null, null, of_column};
use crate::draw::Draw;
use crate::key::RuleKey;
use crate::transformer::{Answer, Plain, Row, Transformer};
use crate::types::Kind;

/// The longest text of `random_string`.
const MOST_CHARS: i64 = 10_000;

macro_rules! calls {
    ($($name:ident $text:literal)+) => {
        /// A function that draws.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Call { $($name,)+ }

        impl Call {
            /// All names.
            pub const NAMES: &[&str] = &[$($text,)+];

            /// A function by its name.
            pub fn named(name: &str) -> Option<Call> {
                match name { $($text => Some(Call::$name),)+ _ => None }
            }
        }
    };
}

calls! {
    Fake "fake"
    Int "random_int"
    Float "random_float"
    Bool "random_bool"
    Text "random_string"
    Date "random_date"
    NoiseInt "noise_int"
    NoiseFloat "noise_float"
    NoiseDate "noise_date"
}

/// A transformer that a template calls.
#[derive(Debug)]
pub(super) struct Fake {
    /// See [`identity`].
    pub identity: String,
    /// What its fictions are.
    pub kind: Kind,
    pub transformer: Box<dyn Transformer>,
}

/// One rendering.
#[derive(Debug)]
pub(super) struct Run {
    pub fakes: Arc<[Fake]>,
    pub key: RuleKey,
    /// The value's own bits.
    pub seed: u128,
    pub subject: Option<Draw>,
    pub text: String,
    pub canonical: Vec<u8>,
    pub calls: AtomicU32,
}

/// A function of one rendering.
#[derive(Debug)]
pub(super) struct Drawing {
    pub call: Call,
    pub run: Arc<Run>,
}

/// Transformers that a template calls see the value, and no other column.
struct NoRow;

impl Row for NoRow {
    fn plain(&self, _: usize) -> Option<&str> {
        None
    }

    fn masked(&self, _: usize) -> Option<&str> {
        None
    }
}

impl Run {
    /// The bits of the next call.
    fn draw(&self) -> Draw {
        let mut bytes = [0; 20];
        let (seed, number) = bytes.split_at_mut(16);
        seed.copy_from_slice(&self.seed.to_le_bytes());
        number.copy_from_slice(&self.calls.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        Draw::from_seed(self.key, self.key.hash(&bytes))
    }

    fn fake(&self, name: &str, parameters: Kwargs) -> Result<Value, Error> {
        let mut texts = BTreeMap::new();
        let mut of = None;
        for key in parameters.args() {
            let value: Value = parameters.get(key)?;
            if key == "of" {
                of = Some(value);
            } else {
                texts.insert(key.to_string(), parameter(&value));
            }
        }
        let wanted = identity(name, &texts);
        let Some(fake) = self.fakes.iter().find(|fake| fake.identity == wanted) else {
            return Err(error(format!("fake('{name}') is called in a form that was not found in the text")));
        };
        let (text, canonical, draw) = match of {
            None => (self.text.clone(), self.canonical.clone(), self.draw()),
            Some(of) if is_null(&of) => return Ok(of),
            Some(of) => {
                let text = super::values::text(&of)?.unwrap_or_default();
                let draw = Draw::of(self.key.part(&wanted), text.as_bytes());
                (text.clone(), text.into_bytes(), draw)
            }
        };
        let plain = Plain {
            text: &text,
            canonical: &canonical,
            is_null: false,
            draw,
            subject: self.subject.clone(),
            row: &NoRow,
        };
        let mut out = String::new();
        match fake.transformer.fiction(&plain, &mut out).map_err(|refusal| error(refusal.why))? {
            Answer::Text => Ok(of_column(&fake.kind, Some(&out))),
            Answer::Null => Ok(null()),
            Answer::Same => Ok(of_column(&fake.kind, Some(&text))),
        }
    }

    fn call(&self, call: Call, arguments: &[Value]) -> Result<Value, Error> {
        let of_null = matches!(call, Call::NoiseInt | Call::NoiseFloat | Call::NoiseDate);
        if of_null && arguments.first().is_some_and(is_null) {
            // It draws all the same, so that later calls do not depend on it.
            self.draw();
            return Ok(null());
        }
        match call {
            Call::Fake => {
                let (name, parameters): (&str, Kwargs) = from_args(arguments)?;
                self.fake(name, parameters)
            }
            Call::Int => {
                let (least, most): (i64, i64) = from_args(arguments)?;
                ordered(least <= most)?;
                Ok(Value::from(self.draw().between(least, most)))
            }
            Call::Float => {
                let (least, most, decimals): (f64, f64, Option<u32>) = from_args(arguments)?;
                ordered(least <= most)?;
                let number = least + (most - least) * self.draw().fraction();
                Ok(Value::from(rounded(number, decimals.unwrap_or(4)).clamp(least, most)))
            }
            Call::Bool => {
                let () = from_args(arguments)?;
                Ok(Value::from(self.draw().below(2) == 1))
            }
            Call::Text => {
                let (least, most, signs): (i64, i64, Option<&str>) = from_args(arguments)?;
                ordered(0 <= least && least <= most && most <= MOST_CHARS)?;
                self.random_text(least, most, signs)
            }
            Call::Date => {
                let (from, to): (&str, &str) = from_args(arguments)?;
                let (Some(from), Some(to)) = (Moment::read(from), Moment::read(to)) else {
                    return Err(error("random_date takes two dates or timestamps in ISO form"));
                };
                let between = from.between(&to, &mut self.draw());
                let between = between.ok_or_else(|| error("random_date has a range that does not fit"))?;
                Ok(Value::from(between.text()))
            }
            Call::NoiseInt => {
                let (value, ratio): (i64, f64) = from_args(arguments)?;
                let by = self.noise(ratio)?;
                Ok(Value::from((value as f64 * by).round().clamp(i64::MIN as f64, i64::MAX as f64) as i64))
            }
            Call::NoiseFloat => {
                let (value, ratio, decimals): (f64, f64, Option<u32>) = from_args(arguments)?;
                let by = self.noise(ratio)?;
                Ok(Value::from(rounded(value * by, decimals.unwrap_or(4))))
            }
            Call::NoiseDate => {
                let (value, by): (Value, &str) = from_args(arguments)?;
                let moment = Moment::read(&value.to_string());
                let moment =
                    moment.ok_or_else(|| error("noise_date takes a date or timestamp in ISO form"))?;
                let span = interval(by).map(|span| span.abs());
                let ends = span.and_then(|span| Some((moment.moved(span.negate())?, moment.moved(span)?)));
                let (from, to) = ends.ok_or_else(|| error("noise_date has an interval that does not fit"))?;
                let between = from.between(&to, &mut self.draw());
                let between = between.ok_or_else(|| error("noise_date has an interval that does not fit"))?;
                Ok(Value::from(between.text()))
            }
        }
    }

    /// From 1 - ratio to 1 + ratio.
    fn noise(&self, ratio: f64) -> Result<f64, Error> {
        ordered((0.0..=1.0).contains(&ratio))?;
        Ok(1.0 + ratio * (2.0 * self.draw().fraction() - 1.0))
    }

    fn random_text(&self, least: i64, most: i64, signs: Option<&str>) -> Result<Value, Error> {
        const SIGNS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let signs: Vec<char> = signs.unwrap_or(SIGNS).chars().collect();
        if signs.is_empty() {
            return Err(error("random_string has no characters"));
        }
        let mut draw = self.draw();
        let length = draw.between(least, most);
        let text: String = (0..length).filter_map(|_| draw.one_of(&signs)).collect();
        Ok(Value::from(text))
    }
}

fn ordered(holds: bool) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(error("a function that draws has a range that does not fit")) }
}

fn rounded(number: f64, decimals: u32) -> f64 {
    let scale = 10f64.powi(decimals.min(15) as i32);
    let scaled = (number * scale).round() / scale;
    if scaled.is_finite() { scaled } else { number }
}

/// A parameter as [`super::scan::FakeCall::identity`] writes it.
fn parameter(value: &Value) -> String {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::Number if !value.is_integer() => {
            f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float_text)
        }
        ValueKind::Seq => {
            let items = value.try_iter().into_iter().flatten();
            items.map(|item| parameter(&item)).collect::<Vec<_>>().join("\u{3}")
        }
        _ => value.to_string(),
    }
}

impl Object for Drawing {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &State<'_, '_>, arguments: &[Value]) -> Result<Value, Error> {
        self.run.call(self.call, arguments)
    }
}
