//! Canonical CBOR: one value has one encoding, and nothing else is accepted.
//!
//! Structures are encoded as arrays (minicbor's `#[cbor(array)]`). A decoded value is encoded again
//! and compared with what was read: longer integers, indefinite lengths, additional fields and
//! trailing bytes are all refused that way.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Decoder, Encode, Encoder, decode as decoding, encode as encoding};

/// The last field of every top-level structure: what later versions add without making the
/// structure unreadable. Pairs of a name and bytes, sorted by name; `null` if there are none. Who
/// rewrites a structure keeps those that it does not know.
///
/// It is always written, so that the absent values in front of it are written as `null`, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions(Vec<(String, ByteVec)>);

/// A structure has no more extensions, and each is no longer.
const MOST_EXTENSIONS: usize = 256;
const LONGEST_EXTENSION: usize = 1 << 20;

impl Extensions {
    /// These, each with another name.
    pub(crate) fn of(pairs: impl IntoIterator<Item = (&'static str, ByteVec)>) -> Extensions {
        let mut pairs: Vec<_> = pairs.into_iter().map(|(name, bytes)| (name.to_string(), bytes)).collect();
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        Extensions(pairs)
    }

    /// These bytes under a name, whatever was there.
    pub(crate) fn set(&mut self, name: &str, bytes: ByteVec) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_string(), bytes));
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
    }

    /// The bytes of one, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.as_slice())
    }
}

impl<C> Encode<C> for Extensions {
    fn encode<W: encoding::Write>(
        &self,
        e: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), encoding::Error<W::Error>> {
        match self.0.is_empty() {
            true => e.null()?.ok(),
            false => self.0.encode(e, context),
        }
    }
}

impl<'b, C> Decode<'b, C> for Extensions {
    fn decode(d: &mut Decoder<'b>, context: &mut C) -> Result<Self, decoding::Error> {
        if d.datatype()? == minicbor::data::Type::Null {
            d.null()?;
            return Ok(Extensions::default());
        }
        let pairs: Vec<(String, ByteVec)> = Decode::decode(d, context)?;
        let is_sorted = pairs.iter().zip(pairs.iter().skip(1)).all(|((a, _), (b, _))| a < b);
        let fit = pairs.len() <= MOST_EXTENSIONS
            && pairs.iter().all(|(name, bytes)| !name.is_empty() && bytes.len() <= LONGEST_EXTENSION);
        match is_sorted && fit && !pairs.is_empty() {
            true => Ok(Extensions(pairs)),
            false => Err(decoding::Error::message("extensions are not sorted, or exceed their limits")),
        }
    }
}

/// The encoding of a value.
pub(crate) fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing into a Vec cannot fail, and no encoder of ours refuses a value.
    let _ = minicbor::encode(value, &mut bytes);
    bytes
}

/// Decodes exactly one value from all of `bytes`; says what is wrong otherwise.
pub(crate) fn decode<'b, T: Decode<'b, ()> + Encode<()>>(bytes: &'b [u8]) -> Result<T, &'static str> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let value: T = decoder.decode().map_err(|_| "it is not CBOR of the expected shape")?;
    if decoder.position() != bytes.len() || encode(&value) != bytes {
        return Err("its CBOR is not canonical");
    }
    Ok(value)
}

/// Decodes a sequence of values that fills `bytes`, and shows each as soon as it is there: what is
/// wrong with one ends it before more memory is taken.
pub(crate) fn decode_each<'b, T: Decode<'b, ()> + Encode<()>>(
    bytes: &'b [u8],
    mut see: impl FnMut(T) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let mut decoder = minicbor::Decoder::new(bytes);
    while decoder.position() < bytes.len() {
        let start = decoder.position();
        let value: T = decoder.decode().map_err(|_| "it is not CBOR of the expected shape")?;
        if bytes.get(start..decoder.position()) != Some(encode(&value).as_slice()) {
            return Err("its CBOR is not canonical");
        }
        see(value)?;
    }
    Ok(())
}
