#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use crate::finding::Code;
use crate::rules::Literal;
use crate::transformers::numbers::harness::Case;
use crate::types::Kind;

const TEXT: Kind = Kind::Text(None);

fn ip(kind: Kind) -> Case {
    Case::new("ip", kind)
}

fn v4(first: u32, count: u32) -> impl Iterator<Item = String> {
    (0..count).map(move |number| Ipv4Addr::from_bits(first + number).to_string())
}

#[test]
fn a_unique_ip_is_a_permutation_of_its_subnet() {
    for kind in [Kind::Inet, TEXT] {
        ip(kind.clone()).unique().text("subnet", "192.0.2.0/24").is_a_bijection(v4(0xc000_0200, 256));
        ip(kind.clone()).unique().text("subnet", "192.0.2.6/31").is_a_bijection(v4(0xc000_0206, 2));
        let v6 = (0..1024).map(|number| format!("2001:db8::{:x}", number + 1024));
        ip(kind).unique().text("subnet", "2001:db8::400/118").is_a_bijection(v6);
    }
    ip(Kind::Inet).unique().text("subnet", "10.0.0.0/15").is_a_bijection(v4(0x0a00_0000, 1 << 17));
}

#[test]
fn the_network_of_a_unique_ip_is_kept() {
    let case = ip(Kind::Inet).unique();
    let fiction = case.fiction("10.1.2.3/24").unwrap();
    assert!(fiction.starts_with("10.") && fiction.ends_with("/24"));
    assert_eq!(case.plain(&fiction).unwrap(), "10.1.2.3/24");
    assert_eq!(format!("{}/24", case.fiction("10.1.2.3").unwrap()), fiction);
}

#[test]
fn networks_are_permuted_among_those_of_their_length() {
    let case = ip(Kind::Cidr).unique().text("subnet", "10.0.0.0/8");
    case.is_a_bijection((0..256).map(|number| format!("10.{number}.0.0/16")));
    case.is_a_bijection((0..16).map(|number| format!("10.{}.0.0/12", number * 16)));
    assert!(case.fiction("8.0.0.0/7").is_err());
    // Only one network of this length is in the subnet.
    assert_eq!(case.fiction("10.0.0.0/8").unwrap(), "10.0.0.0/8");
}

#[test]
fn unique_addresses_have_subnets_that_reach_nobody() {
    let case = ip(Kind::Inet).unique();
    assert!(case.fiction("10.1.2.3").unwrap().starts_with("10."));
    assert!(case.fiction("fd12::1").unwrap().starts_with("fd"));
    let refusal = case.fiction("8.8.8.8").unwrap_err();
    assert!(!refusal.why.contains("8.8"), "{refusal}");
    assert!(case.fiction("2001:db8::1").is_err());
    let all = ip(Kind::Inet).unique().text("subnet", "0.0.0.0/0");
    assert_eq!(all.plain(&all.fiction("8.8.8.8").unwrap()).unwrap(), "8.8.8.8");
    let half = ip(Kind::Inet).unique().text("subnet", "::/1");
    assert_eq!(half.plain(&half.fiction("2001:db8::1").unwrap()).unwrap(), "2001:db8::1");
}

#[test]
fn a_text_that_is_no_usual_address_is_refused_in_a_unique_column() {
    let case = ip(TEXT).unique().text("subnet", "::/1");
    for plain in ["0:0:0:0:0:0:0:1", "2001:DB8::1", "somewhere", ""] {
        assert!(case.fiction(plain).is_err(), "{plain}");
    }
    assert!(case.fiction("2001:db8::1").is_ok());
}

#[test]
fn an_ip_is_in_its_subnet_and_never_the_plain_one() {
    let case = ip(Kind::Inet).text("subnet", "192.0.2.2/31");
    assert_eq!(case.fiction("192.0.2.2").unwrap(), "192.0.2.3");
    assert_eq!(case.fiction("192.0.2.3").unwrap(), "192.0.2.2");
    assert!(case.fiction("2001:db8::1").unwrap().starts_with("192.0.2."));
    assert!(ip(Kind::Inet).text("subnet", "192.0.2.2/32").fiction("1.2.3.4").unwrap() == "192.0.2.2");
    assert!(case.plain("192.0.2.2").is_err());
    let all = ip(Kind::Inet).text("subnet", "::/0");
    assert_ne!(all.fiction("::1").unwrap(), "::1");
}

#[test]
fn without_a_subnet_the_family_stays_and_nobody_is_reached() {
    let is_v4 = |text: &str| text.starts_with("198.18.") || text.starts_with("198.19.");
    assert!(is_v4(&ip(Kind::Inet).fiction("8.8.8.8").unwrap()));
    assert!(ip(Kind::Inet).fiction("2a00::1").unwrap().starts_with("2001:db8:"));
    assert!(is_v4(&ip(TEXT).fiction("no address").unwrap()));
    assert!(ip(TEXT).fiction("2a00::1").unwrap().starts_with("2001:db8:"));
    // Too short a column for IPv6.
    assert!(is_v4(&ip(Kind::Text(Some(20))).fiction("2a00::1").unwrap()));
    let network = ip(Kind::Cidr).fiction("8.8.8.0/24").unwrap();
    assert!(is_v4(&network) && network.ends_with(".0/24"));
    assert_eq!(ip(Kind::Cidr).fiction("8.0.0.0/8").unwrap(), "198.18.0.0/15");
    // The blanks of char(n) say nothing.
    let padded = ip(Kind::Char(20)).fiction("8.8.8.8             ").unwrap();
    assert_eq!(padded, ip(Kind::Char(20)).fiction("8.8.8.8").unwrap());
}

#[test]
fn a_subnet_may_come_from_a_column() {
    let case = ip(Kind::Inet).from("subnet", "net", Kind::Cidr, Some("203.0.113.77/24"));
    assert!(case.fiction("1.2.3.4").unwrap().starts_with("203.0.113."));
    assert!(ip(Kind::Inet).from("subnet", "net", Kind::Cidr, None).fiction("1.2.3.4").is_err());
    assert!(ip(Kind::Inet).from("subnet", "net", Kind::Cidr, Some("nowhere")).fiction("1.2.3.4").is_err());
    assert_eq!(
        ip(Kind::Inet).unique().from("subnet", "net", Kind::Cidr, Some("10.0.0.0/8")).codes(),
        [Code::NotInjective]
    );
}

#[test]
fn a_subnet_comes_from_no_number() {
    assert_eq!(ip(Kind::Inet).from("subnet", "net", Kind::Int(4), Some("1")).codes(), [Code::UnfitType]);
    assert!(ip(Kind::Inet).from("subnet", "net", TEXT, Some("10.0.0.0/8")).fiction("1.2.3.4").is_ok());
}

#[test]
fn what_is_wrong_with_an_ip_has_its_code() {
    assert_eq!(ip(Kind::Inet).text("subnet", "10.0.0.0/33").codes(), [Code::ValueOutside]);
    assert_eq!(ip(Kind::Inet).int("subnet", 10).codes(), [Code::WrongValue]);
    assert_eq!(ip(Kind::Text(Some(14))).codes(), [Code::ValueOutside]);
    assert_eq!(ip(Kind::Text(Some(38))).text("subnet", "fd00::/8").codes(), [Code::ValueOutside]);
    assert_eq!(ip(Kind::Inet).unique().text("subnet", "10.0.0.1").codes(), [Code::ChangesNothing]);
    assert_eq!(ip(Kind::Inet).unique().text("subnet", "::/0").codes(), [Code::ValueOutside]);
    assert_eq!(ip(Kind::Inet).unique().random().codes(), [Code::NotInjective]);
    assert_eq!(ip(Kind::Int(4)).codes(), [Code::UnfitType]);
}

fn mac(kind: Kind) -> Case {
    Case::new("mac", kind)
}

fn first_byte(text: &str) -> u8 {
    u8::from_str_radix(&text[..2], 16).unwrap()
}

#[test]
fn a_mac_has_the_flags_that_are_asked_for() {
    let plains = ["08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:00"];
    for (cast, bit) in [("individual", 0), ("group", 1)] {
        for (management, local) in [("universal", 0), ("local", 2)] {
            let case = mac(Kind::Mac).text("cast", cast).text("management", management);
            for plain in plains {
                let fiction = case.fiction(plain).unwrap();
                assert_eq!(first_byte(&fiction) & 3, bit | local, "{fiction}");
                assert_ne!(fiction, plain);
                assert_eq!(fiction.len(), 17);
            }
            let vendor = mac(Kind::Mac)
                .text("cast", cast)
                .text("management", management)
                .with("keep_vendor", Literal::Flag(true));
            let fiction = vendor.fiction("08:00:2b:01:02:03").unwrap();
            assert_eq!(first_byte(&fiction), 8 | bit | local);
            assert_eq!(&fiction[2..8], ":00:2b");
        }
    }
    let fictions: BTreeSet<u8> = (0..200)
        .map(|number| {
            first_byte(&mac(Kind::Mac).fiction(&format!("08:00:2b:01:02:{number:02x}")).unwrap()) & 3
        })
        .collect();
    assert_eq!(fictions, BTreeSet::from([0, 1, 2, 3]));
}

#[test]
fn a_unique_mac_keeps_the_bits_that_the_rule_does_not_name() {
    let case = mac(Kind::Mac).unique();
    for plain in ["08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:00", "01:00:5e:00:00:01"] {
        let fiction = case.fiction(plain).unwrap();
        assert_ne!(fiction, plain);
        assert_eq!(first_byte(&fiction) & 3, first_byte(plain) & 3);
        assert_eq!(case.plain(&fiction).unwrap(), plain);
    }
    let group = mac(Kind::Mac).unique().text("cast", "group");
    assert!(group.fiction("01:00:5e:00:00:01").is_ok());
    assert!(group.fiction("08:00:2b:01:02:03").is_err());
}

#[test]
fn the_devices_of_a_vendor_are_permuted() {
    let case = mac(Kind::Mac).unique().with("keep_vendor", Literal::Flag(true));
    let transformer = case.build().unwrap();
    let mut fictions = BTreeSet::new();
    for number in 0..20_000_u32 {
        let plain = format!("08:00:2b:{:02x}:{:02x}:{:02x}", number >> 16, (number >> 8) & 255, number & 255);
        let fiction = case.fiction_of(transformer.as_ref(), &plain, 0).unwrap();
        assert!(fiction.starts_with("08:00:2b:") && fiction != plain);
        assert!(fictions.insert(fiction));
    }
}

#[test]
fn six_and_eight_bytes_of_one_address_agree() {
    for keep in [false, true] {
        let six = mac(Kind::Mac).unique().with("keep_vendor", Literal::Flag(keep));
        let eight = mac(Kind::Mac8).unique().with("keep_vendor", Literal::Flag(keep));
        let short = six.fiction("08:00:2b:01:02:03").unwrap();
        let long = eight.fiction("08:00:2b:ff:fe:01:02:03").unwrap();
        assert_eq!(long, format!("{}:ff:fe:{}", &short[..8], &short[9..]));
        for plain in ["08:00:2b:ff:ff:01:02:03", "08:00:2b:00:00:01:02:03", "08:00:2b:ff:fd:ff:ff:ff"] {
            let fiction = eight.fiction(plain).unwrap();
            assert_ne!(&fiction[9..14], "ff:fe");
            assert_ne!(fiction, plain);
            assert_eq!(eight.plain(&fiction).unwrap(), plain);
        }
    }
    let drawn = mac(Kind::Mac8).fiction("08:00:2b:ff:fe:01:02:03").unwrap();
    assert_eq!((drawn.len(), &drawn[9..14]), (23, "ff:fe"));
}

#[test]
fn a_short_text_column_gets_six_bytes() {
    assert_eq!(mac(Kind::Text(Some(20))).fiction("08002bfffe010203").unwrap().len(), 17);
    assert_eq!(mac(Kind::Text(Some(23))).fiction("08002bfffe010203").unwrap().len(), 23);
}

#[test]
fn what_is_wrong_with_a_mac_has_its_code() {
    assert_eq!(mac(Kind::Mac).text("cast", "many").codes(), [Code::WrongValue]);
    assert_eq!(mac(Kind::Mac).text("management", "none").codes(), [Code::WrongValue]);
    assert_eq!(mac(Kind::Mac).text("keep_vendor", "yes").codes(), [Code::WrongValue]);
    assert_eq!(mac(Kind::Text(Some(16))).codes(), [Code::ValueOutside]);
    assert_eq!(mac(Kind::Mac).unique().random().codes(), [Code::NotInjective]);
    for plain in ["AA-BB-CC-00-11-22", "AA:BB:CC:00:11:22", "none"] {
        assert!(mac(TEXT).unique().fiction(plain).is_err());
        assert_eq!(mac(TEXT).fiction(plain).unwrap().len(), 17);
    }
}

fn uuid(kind: Kind) -> Case {
    Case::new("uuid", kind)
}

#[test]
fn a_uuid_is_random_and_of_version_4() {
    for kind in [Kind::Uuid, TEXT, Kind::Char(36)] {
        let fiction = uuid(kind.clone()).fiction("a0eebc99-9c0b-1ef8-bb6d-6bb9bd380a11").unwrap();
        assert_eq!(fiction.len(), 36);
        assert_eq!(&fiction[14..15], "4");
        assert!(matches!(&fiction[19..20], "8" | "9" | "a" | "b"));
        assert_ne!(fiction, uuid(kind).key(2).fiction("a0eebc99-9c0b-1ef8-bb6d-6bb9bd380a11").unwrap());
    }
    assert_eq!(uuid(TEXT).fiction("not one").unwrap().len(), 36);
}

#[test]
fn a_unique_uuid_keeps_its_version_and_variant() {
    let case = uuid(Kind::Uuid).unique();
    for version in ["1", "4", "7", "0", "f"] {
        for variant in ["0", "8", "b", "c", "f"] {
            let plain = format!("a0eebc99-9c0b-{version}ef8-{variant}b6d-6bb9bd380a11");
            let fiction = case.fiction(&plain).unwrap();
            assert_ne!(fiction, plain);
            assert_eq!(&fiction[14..15], version);
            let top = |text: &str| u8::from_str_radix(&text[19..20], 16).unwrap() >> 2;
            assert_eq!(top(&fiction), top(&plain));
            assert_eq!(case.plain(&fiction).unwrap(), plain);
        }
    }
    let text = uuid(TEXT).unique();
    let plain = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    assert_eq!(text.fiction(plain).unwrap(), case.fiction(plain).unwrap());
    assert!(text.fiction(&plain.to_uppercase()).is_err());
    assert!(case.fiction(&plain.to_uppercase()).is_ok());
}

#[test]
fn what_is_wrong_with_a_uuid_has_its_code() {
    assert_eq!(uuid(Kind::Text(Some(35))).codes(), [Code::ValueOutside]);
    assert_eq!(uuid(Kind::Uuid).int("version", 4).codes(), [Code::ParameterUnknown]);
    assert_eq!(uuid(Kind::Uuid).unique().random().codes(), [Code::NotInjective]);
    assert_eq!(Case { replaces_null: true, ..uuid(Kind::Uuid).unique() }.codes(), [Code::NotInjective]);
}

proptest! {
    #[test]
    fn any_uuid_can_be_turned_around(bits: u128) {
        let plain: String = crate::canonical::network::uuid_text(bits).map(char::from).iter().collect();
        let case = uuid(Kind::Uuid).unique();
        let fiction = case.fiction(&plain).unwrap();
        prop_assert_ne!(&fiction, &plain);
        prop_assert_eq!(case.plain(&fiction).unwrap(), plain);
    }

    #[test]
    fn any_mac_can_be_turned_around(bits: u64, is_eight: bool, keep: bool) {
        let count = if is_eight { 8 } else { 6 };
        let bytes: Vec<String> = bits.to_be_bytes().iter().take(count).map(|byte| format!("{byte:02x}")).collect();
        let plain = bytes.join(":");
        let kind = if is_eight { Kind::Mac8 } else { Kind::Mac };
        let case = mac(kind).unique().with("keep_vendor", Literal::Flag(keep));
        let fiction = case.fiction(&plain).unwrap();
        prop_assert_ne!(&fiction, &plain);
        prop_assert_eq!(case.plain(&fiction).unwrap(), plain);
    }

    #[test]
    fn any_address_stays_in_the_subnet(bits: u32, prefix in 0_u32..=32, own: u32) {
        let subnet = format!("{}/{prefix}", Ipv4Addr::from_bits(bits));
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        let plain = Ipv4Addr::from_bits(own).to_string();
        let fiction = ip(Kind::Inet).text("subnet", &subnet).fiction(&plain).unwrap();
        let IpAddr::V4(address) = fiction.parse().unwrap() else { panic!("{fiction}") };
        prop_assert_eq!(address.to_bits() & mask, bits & mask);
        prop_assert!(prefix == 32 || fiction != plain);
    }
}
