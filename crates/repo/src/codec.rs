//! Canonical CBOR: one value has one encoding, and nothing else is accepted.
//!
//! Structures are encoded as arrays (minicbor's `#[cbor(array)]`). A decoded value is encoded again
//! and compared with what was read: longer integers, indefinite lengths, additional fields and
//! trailing bytes are all refused that way.

use minicbor::{Decode, Encode};

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
    let value: T = decoder.decode().map_err(|_| "it is no CBOR of the expected shape")?;
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
        let value: T = decoder.decode().map_err(|_| "it is no CBOR of the expected shape")?;
        if bytes.get(start..decoder.position()) != Some(encode(&value).as_slice()) {
            return Err("its CBOR is not canonical");
        }
        see(value)?;
    }
    Ok(())
}
