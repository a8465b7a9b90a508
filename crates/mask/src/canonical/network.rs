//! Network addresses and UUIDs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::scan;

/// An `inet` or `cidr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// IPv6.
    pub(crate) is_v6: bool,
    /// The address; IPv4 in the lower 32 bits.
    pub(crate) bits: u128,
    /// The network's length in bits.
    pub(crate) prefix: u32,
}

impl Address {
    /// `10.0.0.1`, `10.0.0.0/8`, `::1/64`.
    pub(crate) fn parse(text: &str) -> Option<Address> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let (is_v6, bits) = match address.parse().ok()? {
            IpAddr::V4(address) => (false, u128::from(address.to_bits())),
            IpAddr::V6(address) => (true, address.to_bits()),
        };
        let most = if is_v6 { 128 } else { 32 };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        (prefix <= most).then_some(Address { is_v6, bits, prefix })
    }

    /// Bits of an address of its family.
    pub(crate) fn most_bits(&self) -> u32 {
        if self.is_v6 { 128 } else { 32 }
    }

    /// The address alone.
    pub(crate) fn ip(&self) -> IpAddr {
        match u32::try_from(self.bits) {
            Ok(bits) if !self.is_v6 => IpAddr::V4(Ipv4Addr::from_bits(bits)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(self.bits)),
        }
    }

    /// Appends family, length of the network and address.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[if self.is_v6 { 6 } else { 4 }, self.prefix as u8]);
        match u32::try_from(self.bits) {
            Ok(bits) if !self.is_v6 => out.extend_from_slice(&bits.to_be_bytes()),
            _ => out.extend_from_slice(&self.bits.to_be_bytes()),
        }
    }
}

/// A `macaddr` or `macaddr8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mac {
    /// Its bytes as a number.
    pub(crate) bits: u64,
    /// It has eight bytes.
    pub(crate) is_eight: bool,
}

impl Mac {
    /// `08:00:2b:01:02:03` and the other ways of writing it, with `:`, `-`, `.` or nothing between
    /// the digits.
    pub(crate) fn parse(text: &str) -> Option<Mac> {
        let mut bits = 0_u64;
        let mut count = 0;
        for byte in text.bytes() {
            if matches!(byte, b':' | b'-' | b'.') {
                continue;
            }
            bits = (bits << 4) | u64::from(scan::hex(byte)?);
            count += 1;
        }
        matches!(count, 12 | 16).then_some(Mac { bits, is_eight: count == 16 })
    }

    /// As eight bytes: FF and FE come into the middle of six, as the cast to `macaddr8` has it.
    pub(crate) fn eight(&self) -> u64 {
        if self.is_eight {
            return self.bits;
        }
        ((self.bits >> 24) << 40) | (0xff_fe << 24) | (self.bits & 0xff_ffff)
    }
}

/// A UUID, with or without hyphens and braces.
pub(crate) fn uuid(text: &str) -> Option<u128> {
    let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let mut bits = 0_u128;
    let mut count = 0;
    for byte in text.bytes().filter(|byte| *byte != b'-') {
        bits = (bits << 4) | u128::from(scan::hex(byte)?);
        count += 1;
    }
    (count == 32).then_some(bits)
}

/// Each character of a UUID as the server writes it.
pub(crate) fn uuid_text(bits: u128) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let mut shift = 128_u32;
    for (index, place) in text.iter_mut().enumerate() {
        if !matches!(index, 8 | 13 | 18 | 23) {
            shift = shift.saturating_sub(4);
            *place = hex_digit((bits >> shift) as u8);
        }
    }
    text
}

/// The digit of the lower four bits.
pub(crate) fn hex_digit(bits: u8) -> u8 {
    let digit = bits & 15;
    if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
}

/// The UUID is written as the server writes it.
pub(crate) fn is_usual_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

pub(super) fn write_uuid(text: &str, out: &mut Vec<u8>) -> Option<()> {
    if is_usual_uuid(text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend_from_slice(&uuid_text(uuid(text)?));
    }
    Some(())
}
