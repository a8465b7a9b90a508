//! `generalise`. What is general already stays as it is.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::dates::{self, Shape, Time, Unit};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::types::{Decimal, Kind, network};

/// How a kind is generalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Number,
    Time,
    Network,
}

impl Form {
    pub fn of(kind: &Kind) -> Option<Form> {
        Some(match kind {
            Kind::Text(_) | Kind::Char(_) | Kind::Citext | Kind::Name => Form::Text,
            Kind::Int(_) | Kind::Numeric(_) | Kind::Float(_) => Form::Number,
            Kind::Date | Kind::Timestamp | Kind::TimestampTz => Form::Time,
            Kind::Inet | Kind::Cidr => Form::Network,
            _ => return None,
        })
    }

    fn parameters(self) -> &'static [&'static str] {
        match self {
            Form::Text => &["keep", "fill"],
            Form::Number => &["buckets"],
            Form::Time => &["unit"],
            Form::Network => &["prefix", "prefix6"],
        }
    }
}

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let Some(form) = Form::of(making.kind()) else {
        return Err(making.fault(Code::UnfitType, "use", "the column cannot be generalised", ""));
    };
    for name in ["keep", "fill", "buckets", "unit", "prefix", "prefix6"] {
        if making.setting(name).is_some() && !form.parameters().contains(&name) {
            let message = format!("{name} is not for a column of {}", making.target().sql_type);
            return Err(making.fault(Code::WrongValue, name, message, form.parameters().join(", ")));
        }
    }
    match form {
        Form::Text => text(making),
        Form::Number => number(making),
        Form::Time => time(making),
        Form::Network => networks(making),
    }
}

fn missing(making: &mut Making<'_>, name: &str) -> Unfit {
    let message = format!("generalise of {} needs {name}", making.target().sql_type);
    making.fault(Code::ParameterMissing, name, message, "")
}

fn text(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let Some(keep) = making.integer("keep") else { return Err(missing(making, "keep")) };
    let Some(keep) = usize::try_from(keep).ok() else {
        return Err(making.fault(Code::ValueOutside, "keep", "keep is not below 0", ""));
    };
    if making.target().most_chars().is_some_and(|most| keep >= most as usize) {
        let message = "the column has no more characters than are kept";
        return Err(making.fault(Code::ChangesNothing, "keep", message, ""));
    }
    let fill = match making.text("fill") {
        None => None,
        Some(fill) => {
            let mut chars = fill.chars();
            match (chars.next(), chars.next()) {
                (Some(fill), None) => Some(fill),
                _ => return Err(making.fault(Code::ValueOutside, "fill", "fill is one character", "")),
            }
        }
    };
    Ok(Box::new(Text { keep, fill }))
}

#[derive(Debug)]
struct Text {
    keep: usize,
    fill: Option<char>,
}

impl Transformer for Text {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let mut chars = plain.text.chars();
        out.extend(chars.by_ref().take(self.keep));
        if let Some(fill) = self.fill {
            out.extend(chars.map(|_| fill));
        }
        Ok(if plain.is_null { Answer::Null } else { Answer::Text })
    }
}

fn number(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let Some(setting) = making.setting("buckets") else { return Err(missing(making, "buckets")) };
    let width =
        setting.value.scalar().and_then(|text| Decimal::parse(&text)).filter(|width| width.digits > 0);
    let Some(width) = width else {
        return Err(making.fault(Code::ValueOutside, "buckets", "buckets is a number above 0", ""));
    };
    let is_whole = matches!(making.kind(), Kind::Int(_));
    if is_whole && width.digits % 10i128.pow(width.scale) != 0 {
        return Err(making.fault(Code::ValueOutside, "buckets", "buckets of integers is an integer", ""));
    }
    if is_whole && width.floor() == 1 {
        return Err(making.fault(Code::ChangesNothing, "buckets", "each integer is a multiple of 1", ""));
    }
    Ok(Box::new(Number { width, kind: making.kind().clone() }))
}

#[derive(Debug)]
struct Number {
    width: Decimal,
    kind: Kind,
}

impl Number {
    fn bucket(&self, number: Decimal) -> Option<Decimal> {
        let scale = self.width.scale.max(number.scale);
        let (width, digits) = (self.width.rescale(scale)?.digits, number.rescale(scale)?.digits);
        Decimal { digits: digits.div_euclid(width) * width, scale }.rescale(self.width.scale)
    }
}

impl Transformer for Number {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if plain.is_null {
            return Ok(Answer::Null);
        }
        if matches!(plain.text, "NaN" | "Infinity" | "-Infinity") {
            // These are in no bucket, and tell of nobody.
            out.push_str(plain.text);
            return Ok(Answer::Text);
        }
        let Some(bucket) = Decimal::parse(plain.text).and_then(|number| self.bucket(number)) else {
            return Err(Refusal::new("generalise takes numbers of at most 36 digits"));
        };
        // Writing into a String cannot fail.
        let _ = write!(out, "{bucket}");
        let target = crate::types::Target::inner(self.kind.clone());
        if crate::types::check_text(&target, out).is_err() {
            return Err(Refusal::new("the bucket of a value begins outside of the column's type"));
        }
        Ok(Answer::Text)
    }
}

fn time(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let (Some(unit), Some(shape)) = (making.text("unit").and_then(Unit::named), Shape::of(making.kind()))
    else {
        return Err(missing(making, "unit"));
    };
    if unit >= Unit::least_of(shape) {
        let message = "each value begins such a unit already";
        return Err(making.fault(Code::ChangesNothing, "unit", message, "unit = \"month\""));
    }
    Ok(Box::new(Cut { unit, shape }))
}

#[derive(Debug)]
struct Cut {
    unit: Unit,
    shape: Shape,
}

impl Transformer for Cut {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if plain.is_null {
            return Ok(Answer::Null);
        }
        let Some(read) = dates::parse(plain.text) else {
            return Err(Refusal::new("the value is not a date"));
        };
        let time = match read.time {
            Time::At(moment) => match self.unit.floor(moment) {
                Some(cut) => Time::At(cut),
                None => return Err(Refusal::new("the unit of a value begins before the first date")),
            },
            infinite => infinite,
        };
        dates::write(self.shape, time, out);
        Ok(Answer::Text)
    }
}

fn networks(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let mut prefix = |name: &str, otherwise: i64, most: i64| {
        let bits = making.integer(name).unwrap_or(otherwise);
        match u8::try_from(bits).ok().filter(|_| bits < most) {
            Some(bits) => Ok(bits),
            None => {
                let message = format!("{name} is from 0 to {}", most - 1);
                Err(making.fault(Code::ValueOutside, name, message, ""))
            }
        }
    };
    Ok(Box::new(Networks { of_v4: prefix("prefix", 24, 32)?, of_v6: prefix("prefix6", 48, 128)? }))
}

#[derive(Debug)]
struct Networks {
    of_v4: u8,
    of_v6: u8,
}

impl Transformer for Networks {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        if plain.is_null {
            return Ok(Answer::Null);
        }
        let Some((address, bits)) = network(plain.text) else {
            return Err(Refusal::new("the value is not an address"));
        };
        // A network that is wider already stays so.
        let (network, bits): (IpAddr, u8) = match address {
            IpAddr::V4(address) => {
                let bits = bits.min(self.of_v4);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                (Ipv4Addr::from_bits(address.to_bits() & mask).into(), bits)
            }
            IpAddr::V6(address) => {
                let bits = bits.min(self.of_v6);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                (Ipv6Addr::from_bits(address.to_bits() & mask).into(), bits)
            }
        };
        // Writing into a String cannot fail.
        let _ = write!(out, "{network}/{bits}");
        Ok(Answer::Text)
    }
}
