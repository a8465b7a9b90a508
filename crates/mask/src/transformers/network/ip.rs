//! Network addresses.

use std::fmt::Write;

use crate::canonical::network::Address;
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::operand::Operand;
use crate::permute::Schedule;
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::numbers::{check_source, is_bijection};
use crate::types::Kind;

/// For measurements of network devices, never routed (RFC 2544, appendix C.2.2).
const NOBODY_V4: Address = Address { is_v6: false, bits: 198 << 24 | 18 << 16, prefix: 15 };
/// For documentation, never routed (RFC 3849).
const NOBODY_V6: Address = Address { is_v6: true, bits: 0x2001_0db8 << 96, prefix: 32 };
/// Private networks (RFC 1918).
const PRIVATE_V4: Address = Address { is_v6: false, bits: 10 << 24, prefix: 8 };
/// Unique local addresses (RFC 4193).
const PRIVATE_V6: Address = Address { is_v6: true, bits: 0xfd << 120, prefix: 8 };

/// The longest addresses.
const V4_CHARACTERS: u32 = 15;
const V6_CHARACTERS: u32 = 39;

/// `ip`.
///
/// The length of a network, as in `10.1.2.3/24`, is kept. A `cidr` has no bits behind it: what
/// changes is the network's number.
#[derive(Debug)]
pub(super) struct Ip {
    subnet: Option<Operand<Address>>,
    schedule: Option<Schedule>,
    is_cidr: bool,
    is_text: bool,
    most_characters: usize,
}

/// An address as what a rule may change of it.
struct Place {
    /// The subnet that it is in.
    subnet: Address,
    /// How many bits change, below the subnet's.
    bits: u32,
    /// How many bits are behind these, all 0.
    behind: u32,
    /// The length of the network that the fiction has.
    prefix: u32,
}

impl Ip {
    pub(super) fn new(making: &mut Making<'_>) -> Result<Ip, Unfit> {
        let subnet = making.operand("subnet", subnet)?;
        let fits = |kind: &Kind| matches!(kind, Kind::Cidr | Kind::Inet) || super::is_text(kind);
        check_source(making, "subnet", &subnet, fits)?;
        let most = making.target().most_chars();
        let needed = match &subnet {
            Some(Operand::Fixed(subnet)) if subnet.is_v6 => V6_CHARACTERS,
            _ => V4_CHARACTERS,
        };
        super::fits(making, needed)?;
        let is_bijection = is_bijection(making)?;
        match &subnet {
            Some(Operand::From(_)) if is_bijection => {
                let message =
                    "a subnet that comes from a column is another one for each row: there is no permutation";
                return Err(making.fault(Code::NotInjective, "subnet", message, "give one subnet"));
            }
            Some(Operand::Fixed(subnet)) if is_bijection && subnet.prefix == subnet.most_bits() => {
                let message = "a subnet of one address leaves it as it is";
                return Err(making.fault(Code::ChangesNothing, "subnet", message, ""));
            }
            Some(Operand::Fixed(subnet)) if is_bijection && subnet.is_v6 && subnet.prefix == 0 => {
                let message = "::/0 has more addresses than can be permuted";
                return Err(making.fault(Code::ValueOutside, "subnet", message, "::/1, or smaller"));
            }
            _ => {}
        }
        Ok(Ip {
            subnet,
            schedule: is_bijection.then(|| Schedule::new(making.key())),
            is_cidr: matches!(making.kind(), Kind::Cidr),
            is_text: super::is_text(making.kind()),
            most_characters: most.map_or(usize::MAX, |most| most as usize),
        })
    }

    /// Where the fiction of an address is.
    fn place(&self, subnet: Address, own: Option<Address>) -> Place {
        let own = own.filter(|own| own.is_v6 == subnet.is_v6);
        let most = subnet.most_bits();
        let prefix = own.map_or(most, |own| own.prefix);
        // A network that is larger than the subnet becomes the subnet.
        let prefix = if self.is_cidr { prefix.max(subnet.prefix) } else { prefix };
        let end = if self.is_cidr { prefix } else { most };
        Place { subnet, bits: end - subnet.prefix, behind: most - end, prefix }
    }

    /// An address that only chance decides.
    fn drawn(&self, plain: &Plain<'_>, own: Option<Address>) -> Result<Address, Refusal> {
        let subnet = match &self.subnet {
            Some(subnet) => subnet.get(plain.row)?,
            None if own.is_some_and(|own| own.is_v6) && self.most_characters >= V6_CHARACTERS as usize => {
                NOBODY_V6
            }
            None => NOBODY_V4,
        };
        let place = self.place(subnet, own);
        let number = plain.draw.clone().wide() & mask(place.bits);
        let address = place.at(number);
        Ok(if own == Some(address) && place.bits > 0 { place.at(number ^ 1) } else { address })
    }

    /// The address that the permutation leads to.
    fn permuted(&self, schedule: &Schedule, own: Address, is_back: bool) -> Result<Address, Refusal> {
        let subnet = match &self.subnet {
            Some(Operand::Fixed(subnet)) => *subnet,
            _ if own.is_v6 => PRIVATE_V6,
            _ => PRIVATE_V4,
        };
        let place = self.place(subnet, Some(own));
        let number = place.number(own).ok_or_else(|| {
            Refusal::new(
                "an address is not in the rule's subnet: a unique rule permutes only the subnet's own",
            )
        })?;
        let size = 1_u128 << place.bits;
        let network = schedule.network(size, u128::from(place.behind));
        let number = if is_back { network.invert(schedule, number) } else { network.apply(schedule, number) };
        Ok(place.at(number))
    }

    fn own(&self, text: &str) -> Option<Address> {
        Address::parse(text.trim_end_matches(' '))
    }

    /// An address of a unique column.
    fn unique_own(&self, text: &str) -> Result<Address, Refusal> {
        let text = text.trim_end_matches(' ');
        let mut usual = String::new();
        let own = self.own(text).filter(|own| {
            self.write(*own, &mut usual);
            !self.is_text || usual == text
        });
        own.ok_or_else(|| {
            Refusal::new("a value is not an address in its usual form: a unique rule permutes only these")
        })
    }

    fn write(&self, address: Address, out: &mut String) {
        let _ = write!(out, "{}", address.ip());
        if self.is_cidr || address.prefix < address.most_bits() {
            let _ = write!(out, "/{}", address.prefix);
        }
    }

    fn finish(&self, address: Address, out: &mut String) -> Result<Answer, Refusal> {
        self.write(address, out);
        if out.len() > self.most_characters {
            return Err(Refusal::new("an address does not fit into the column"));
        }
        Ok(Answer::Text)
    }
}

impl Transformer for Ip {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        let address = match &self.schedule {
            Some(schedule) => self.permuted(schedule, self.unique_own(plain.text)?, false)?,
            None => self.drawn(plain, self.own(plain.text))?,
        };
        self.finish(address, out)
    }

    fn plain_of(&self, fiction: &str, out: &mut String) -> Result<Answer, Refusal> {
        let Some(schedule) = &self.schedule else {
            return Err(Refusal::new("only a unique rule can be turned around"));
        };
        let address = self.permuted(schedule, self.unique_own(fiction)?, true)?;
        self.finish(address, out)
    }
}

impl Place {
    /// The address of a number.
    fn at(&self, number: u128) -> Address {
        Address {
            is_v6: self.subnet.is_v6,
            bits: self.subnet.bits | number.checked_shl(self.behind).unwrap_or(0),
            prefix: self.prefix,
        }
    }

    /// The number of an address; None: it is not in the subnet.
    fn number(&self, address: Address) -> Option<u128> {
        let below = self.bits + self.behind;
        let is_inside = address.is_v6 == self.subnet.is_v6
            && address.prefix == self.prefix
            && address.bits & !mask(below) == self.subnet.bits;
        is_inside.then(|| (address.bits & mask(below)).checked_shr(self.behind).unwrap_or(0))
    }
}

/// So many of the lowest bits.
fn mask(bits: u32) -> u128 {
    1_u128.checked_shl(bits).map_or(u128::MAX, |bit| bit - 1)
}

/// A network: `10.0.0.0/8`. Bits behind its length are cut off.
fn subnet(text: &str) -> Option<Address> {
    let address = Address::parse(text)?;
    let behind = mask(address.most_bits() - address.prefix);
    Some(Address { bits: address.bits & !behind, ..address })
}
