//! `ip`, `mac`, `uuid`.

mod ip;
mod mac;
mod uuid;

use crate::definition::{Definition, Injective, Parameter, Takes};
use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::types::Kind;

/// This family.
pub const ALL: &[Definition] = &[
    Definition {
        name: "ip",
        summary: "An address of a subnet. With unique, a permutation of the subnet's addresses.",
        parameters: &[Parameter::new(
            "subnet",
            Takes::Text,
            "198.18.0.0/15 or 2001:db8::/32; with unique 10.0.0.0/8 or fd00::/8",
            "The network of the addresses, as 10.0.0.0/8. Without it, the fiction is of the plain \
                 address's family and reaches nobody.",
        )
        .dynamic()],
        takes: |kind| is_text(kind) || matches!(kind, Kind::Inet | Kind::Cidr),
        types: "inet, cidr, text, varchar, char, citext",
        injective: Injective::Bijection,
        greenmask: &["RandomIp"],
        build: |making| Ok(Box::new(ip::Ip::new(making)?)),
    },
    Definition {
        name: "mac",
        summary: "A MAC address. With unique, a permutation; bits that the rule says nothing of then stay.",
        parameters: &[
            Parameter::new("keep_vendor", Takes::Flag, "false", "The first three bytes stay."),
            Parameter::new(
                "cast",
                Takes::Word(&["individual", "group", "any"]),
                "any",
                "Whether it is the address of one device or of a group (the lowest bit of the first byte).",
            ),
            Parameter::new(
                "management",
                Takes::Word(&["universal", "local", "any"]),
                "any",
                "Whether a vendor or an administrator gave it (the second bit of the first byte).",
            ),
        ],
        takes: |kind| is_text(kind) || matches!(kind, Kind::Mac | Kind::Mac8),
        types: "macaddr, macaddr8, text, varchar, char, citext",
        injective: Injective::Bijection,
        greenmask: &["RandomMac"],
        build: |making| Ok(Box::new(mac::MacAddress::new(making)?)),
    },
    Definition {
        name: "uuid",
        summary: "A random UUID (version 4). With unique, a permutation of the 122 bits next to version and \
                  variant, which stay as they are.",
        parameters: &[],
        takes: |kind| is_text(kind) || matches!(kind, Kind::Uuid),
        types: "uuid, text, varchar, char, citext",
        injective: Injective::Bijection,
        greenmask: &["RandomUuid"],
        build: |making| Ok(Box::new(uuid::Uuid::new(making)?)),
    },
];

fn is_text(kind: &Kind) -> bool {
    matches!(kind, Kind::Text(_) | Kind::Char(_) | Kind::Citext)
}

/// A finding if a text column is too short.
fn fits(making: &mut Making<'_>, characters: u32) -> Result<(), Unfit> {
    match making.target().most_chars() {
        Some(most) if most < characters => {
            let message =
                format!("{} makes {characters} characters, and the column holds {most}", making.rule().name);
            Err(making.fault(Code::ValueOutside, "use", message, ""))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
