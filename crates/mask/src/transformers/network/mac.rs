//! MAC addresses of six and of eight bytes (IEEE 802, section 8: EUI-48 and EUI-64).

use super::fits;
use crate::canonical::network::{Mac, hex_digit};
use crate::making::{Making, Unfit};
use crate::permute::Schedule;
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::numbers::is_bijection;
use crate::types::Kind;

/// The lowest bit of the first of six bytes: a group.
const GROUP: u64 = 1 << 40;
/// The second bit: local.
const LOCAL: u64 = 1 << 41;
/// The last three of six bytes.
const DEVICE: u64 = (1 << 24) - 1;
/// What six bytes get in their middle to become eight.
const EXTENSION: u64 = 0xfffe;

/// `mac`.
///
/// Eight bytes are taken as six with two in their middle. FF and FE there mean six bytes in the
/// longer form: the fiction is that of the six, also where a `macaddr` refers to a `macaddr8`.
#[derive(Debug)]
pub(super) struct MacAddress {
    keep_vendor: bool,
    is_group: Option<bool>,
    is_local: Option<bool>,
    schedule: Option<Schedule>,
    is_eight: bool,
    is_text: bool,
    /// Of a text column: it can hold eight bytes.
    holds_eight: bool,
}

impl MacAddress {
    pub(super) fn new(making: &mut Making<'_>) -> Result<MacAddress, Unfit> {
        fits(making, 17)?;
        let is_bijection = is_bijection(making)?;
        Ok(MacAddress {
            keep_vendor: making.flag("keep_vendor", false),
            is_group: match making.text("cast") {
                Some("individual") => Some(false),
                Some("group") => Some(true),
                _ => None,
            },
            is_local: match making.text("management") {
                Some("universal") => Some(false),
                Some("local") => Some(true),
                _ => None,
            },
            schedule: is_bijection.then(|| Schedule::new(making.key())),
            is_eight: matches!(making.kind(), Kind::Mac8),
            is_text: super::is_text(making.kind()),
            holds_eight: making.target().most_chars().is_none_or(|most| most >= 23),
        })
    }

    /// Six bytes with the flags that the rule asks for.
    fn flagged(&self, mut six: u64) -> u64 {
        for (flag, is_set) in [(GROUP, self.is_group), (LOCAL, self.is_local)] {
            match is_set {
                Some(true) => six |= flag,
                Some(false) => six &= !flag,
                None => {}
            }
        }
        six
    }

    /// A random address.
    fn drawn(&self, plain: &Plain<'_>) -> (u64, Option<u64>) {
        let own = Mac::parse(plain.text.trim_end_matches(' '));
        let mut draw = plain.draw.clone();
        let mut six = draw.word() >> 16;
        // A text of eight bytes may be shorter than the fiction, which has colons.
        let is_eight = self.is_eight || own.is_some_and(|own| own.is_eight && self.holds_eight);
        let parts = own.map(|own| parts(own.eight()));
        if let Some((vendor, _)) = parts.filter(|_| self.keep_vendor) {
            six = (vendor & !DEVICE) | (six & DEVICE);
        }
        six = self.flagged(six);
        // An address of eight bytes that is not six in disguise stays one of these.
        let middle = match parts {
            Some((_, middle)) if middle != EXTENSION => draw.below(EXTENSION),
            _ => EXTENSION,
        };
        if parts == Some((six, middle)) {
            six ^= 1;
        }
        (six, is_eight.then_some(middle))
    }

    /// What an address becomes by the permutation.
    fn permuted(
        &self,
        schedule: &Schedule,
        text: &str,
        is_back: bool,
    ) -> Result<(u64, Option<u64>), Refusal> {
        let text = text.trim_end_matches(' ');
        let own = Mac::parse(text).filter(|own| !self.is_text || is_usual(text, *own));
        let own = own.ok_or_else(|| {
            Refusal::new(
                "a value is not a MAC address as the server writes it: a unique rule permutes only these",
            )
        })?;
        let (six, middle) = parts(own.eight());
        if self.flagged(six) != six {
            return Err(Refusal::new(
                "an address is not of the rule's cast or management: a unique rule permutes only these",
            ));
        }
        let device_bits = if self.keep_vendor { 24 } else { 46 };
        let place = if self.keep_vendor { six & DEVICE } else { (six & (GROUP - 1)) | ((six >> 42) << 40) };
        // The middle two bytes are one of 65,535: all but FF FE.
        let (middles, middle_place) = match middle {
            EXTENSION => (1, 0),
            middle if middle > EXTENSION => (u128::from(u16::MAX), middle - 1),
            middle => (u128::from(u16::MAX), middle),
        };
        let network = schedule.network(middles << device_bits, middles);
        let number = u128::from(place) * middles + u128::from(middle_place);
        let number = if is_back { network.invert(schedule, number) } else { network.apply(schedule, number) };
        let (place, middle_place) = ((number / middles) as u64, (number % middles) as u64);
        let changed = if self.keep_vendor {
            (six & !DEVICE) | place
        } else {
            (six & (GROUP | LOCAL)) | (place & (GROUP - 1)) | ((place >> 40) << 42)
        };
        let middle = match middle {
            EXTENSION => EXTENSION,
            _ if middle_place >= EXTENSION => middle_place + 1,
            _ => middle_place,
        };
        Ok((changed, (own.is_eight || self.is_eight).then_some(middle)))
    }
}

impl Transformer for MacAddress {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let (six, middle) = match &self.schedule {
            Some(schedule) => self.permuted(schedule, plain.text, false)?,
            None => self.drawn(plain),
        };
        write(six, middle, out);
        Ok(Answer::Text)
    }

    fn plain_of(&self, fiction: &str, out: &mut String) -> Result<Answer, Refusal> {
        let Some(schedule) = &self.schedule else {
            return Err(Refusal::new("only a unique rule can be turned around"));
        };
        let (six, middle) = self.permuted(schedule, fiction, true)?;
        write(six, middle, out);
        Ok(Answer::Text)
    }
}

/// Eight bytes as six and the two in their middle.
fn parts(eight: u64) -> (u64, u64) {
    (((eight >> 40) << 24) | (eight & DEVICE), (eight >> 24) & 0xffff)
}

/// The bytes of an address: six, or eight if there is a middle.
fn bytes(six: u64, middle: Option<u64>) -> impl Iterator<Item = u8> {
    let (bits, count) = match middle {
        Some(middle) => (((six >> 24) << 40) | (middle << 24) | (six & DEVICE), 8),
        None => (six, 6),
    };
    (0..count).rev().map(move |place| (bits >> (8 * place)) as u8)
}

/// Appends an address as the server writes it.
fn write(six: u64, middle: Option<u64>, out: &mut String) {
    for (index, byte) in bytes(six, middle).enumerate() {
        if index > 0 {
            out.push(':');
        }
        out.push(char::from(hex_digit(byte >> 4)));
        out.push(char::from(hex_digit(byte)));
    }
}

/// The text is the one that the server writes: another text of the same address is another value.
fn is_usual(text: &str, address: Mac) -> bool {
    let length = if address.is_eight { 23 } else { 17 };
    text.len() == length
        && text.bytes().enumerate().all(|(index, byte)| match index % 3 {
            2 => byte == b':',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}
