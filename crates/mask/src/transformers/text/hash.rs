//! `hash`.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use sha3::{Sha3_224, Sha3_256, Sha3_384, Sha3_512};

use crate::finding::Code;
use crate::making::{Making, Unfit};
use crate::transformer::{Answer, Plain, Refusal, Transformer};
use crate::transformers::fitting::{WIDE_BITS, another, integer_within, not_injective, room, too_short};
use crate::types::Kind;

macro_rules! functions {
    ($($name:ident $digits:literal $($text:literal)+;)+) => {
        /// Their names.
        pub(super) const FUNCTIONS: &[&str] = &[$($($text,)+)+];

        #[derive(Clone, Copy, Debug)]
        enum Function { $($name,)+ }

        impl Function {
            fn named(name: &str) -> Option<Function> {
                match name { $($($text)|+ => Some(Function::$name),)+ _ => None }
            }

            /// Hexadecimal digits of a digest.
            fn digits(self) -> usize {
                match self { $(Function::$name => $digits,)+ }
            }
        }
    };
}

functions! {
    Keyed 32 "keyed";
    Md5 32 "md5";
    Sha1 40 "sha1";
    Sha256 64 "sha256";
    Sha512 128 "sha512";
    Sha3x224 56 "sha3-224";
    Sha3x256 64 "sha3-256" "sha3-254";
    Sha3x384 96 "sha3-384";
    Sha3x512 128 "sha3-512";
}

#[derive(Debug)]
struct Hash {
    kind: Kind,
    function: Function,
    salt: Option<String>,
    length: usize,
}

pub(super) fn build(making: &mut Making<'_>) -> Result<Box<dyn Transformer>, Unfit> {
    let function = making.text("function").and_then(Function::named).unwrap_or(Function::Keyed);
    let salt = making.text("salt").map(str::to_string);
    if salt.is_some() && matches!(function, Function::Keyed) {
        let message = "the keyed digest has the mask key and takes no salt";
        return Err(making.fault(Code::WrongValue, "salt", message, "function = \"sha3-256\""));
    }
    let stated = integer_within(making, "max_length", 0, 128)?.filter(|most| *most > 0);
    let room = room(making);
    if let (Some(stated), Some(room)) = (stated, room)
        && stated.min(function.digits()) > room
    {
        return Err(too_short(making, stated));
    }
    let length = function.digits().min(stated.unwrap_or(usize::MAX)).min(room.unwrap_or(usize::MAX));
    let wide = (WIDE_BITS / 4.0) as usize;
    if making.is_unique() && length < wide {
        let parameter = if stated.is_some() { "max_length" } else { "use" };
        let why = format!("96 bits of a digest need {wide} digits");
        return Err(not_injective(making, parameter, why, ""));
    }
    Ok(Box::new(Hash { kind: making.kind().clone(), function, salt, length }))
}

impl Transformer for Hash {
    fn fiction(&self, plain: &Plain<'_>, out: &mut String) -> Result<Answer, Refusal> {
        another(&self.kind, plain, out, |draw, out| {
            let seed = draw.seed().to_be_bytes();
            // Without a salt it is the digest of bits that depend on the mask key: nobody who does
            // not have the key can guess a value and compare.
            let (salt, value): (&[u8], &[u8]) = match &self.salt {
                Some(salt) => (salt.as_bytes(), plain.canonical),
                None => (&[], &seed),
            };
            match self.function {
                Function::Keyed => hexadecimal(&seed, out),
                Function::Md5 => digest::<Md5>(salt, value, out),
                Function::Sha1 => digest::<Sha1>(salt, value, out),
                Function::Sha256 => digest::<Sha256>(salt, value, out),
                Function::Sha512 => digest::<Sha512>(salt, value, out),
                Function::Sha3x224 => digest::<Sha3_224>(salt, value, out),
                Function::Sha3x256 => digest::<Sha3_256>(salt, value, out),
                Function::Sha3x384 => digest::<Sha3_384>(salt, value, out),
                Function::Sha3x512 => digest::<Sha3_512>(salt, value, out),
            }
            out.truncate(self.length);
            Ok(())
        })
    }
}

fn digest<D: Digest>(salt: &[u8], value: &[u8], out: &mut String) {
    let digest = D::new().chain_update(salt).chain_update(value).finalize();
    hexadecimal(&digest, out);
}

fn hexadecimal(bytes: &[u8], out: &mut String) {
    let digit = |half: u8| char::from(if half < 10 { b'0' + half } else { b'a' - 10 + half });
    out.reserve(2 * bytes.len());
    for byte in bytes {
        out.push(digit(byte >> 4));
        out.push(digit(byte & 15));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transformers::fitting::tests::case;

    #[test]
    fn salted_digests_are_the_published_ones() {
        // RFC 1321, FIPS 180-2 and FIPS 202 (examples of NIST): the digests of "abc".
        for (function, starts) in [
            ("md5", "900150983cd24fb0"),
            ("sha1", "a9993e364706816a"),
            ("sha256", "ba7816bf8f01cfea"),
            ("sha512", "ddaf35a193617aba"),
            ("sha3-224", "e642824c3f8cf24a"),
            ("sha3-254", "3a985da74fe225b2"),
            ("sha3-256", "3a985da74fe225b2"),
            ("sha3-384", "ec01498288516fc9"),
            ("sha3-512", "b751850b1a57168a"),
        ] {
            for (salt, value) in [("", "abc"), ("a", "bc")] {
                let fiction = case("hash").with("function", function).with("salt", salt).fiction(value);
                assert!(fiction.starts_with(starts), "{function}: {fiction}");
                assert_eq!(fiction.len(), Function::named(function).map_or(0, Function::digits));
            }
        }
    }

    #[test]
    fn unsalted_digests_depend_on_the_key() {
        for function in FUNCTIONS {
            let length = Function::named(function).map_or(0, Function::digits);
            case("hash").with("function", *function).holds(&["abc", "", "Anna"], |_, f| {
                f.len() == length && f.bytes().all(|b| b.is_ascii_hexdigit())
            });
        }
        case("hash").unique().keeps_apart((0..2000).map(|n| n.to_string()));
    }

    #[test]
    fn lengths() {
        assert_eq!(case("hash").with("max_length", 8).fiction("a").len(), 8);
        assert_eq!(case("hash").with("max_length", 0).fiction("a").len(), 32);
        assert_eq!(case("hash").of(Kind::Text(Some(10))).fiction("a").len(), 10);
        assert_eq!(case("hash").of(Kind::Text(Some(10))).with("max_length", 11).code(), "M111");
        assert_eq!(case("hash").with("max_length", 129).code(), "M111");
        assert_eq!(case("hash").with("max_length", 23).unique().code(), "M120");
        assert_eq!(case("hash").of(Kind::Text(Some(23))).unique().code(), "M120");
        assert_eq!(case("hash").of(Kind::Text(Some(24))).unique().code(), "");
        assert_eq!(case("hash").with("function", "crc32").code(), "M006");
        assert_eq!(case("hash").with("salt", "x").code(), "M006");
    }
}
