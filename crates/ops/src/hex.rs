//! Bytes as the digits that PostgreSQL writes them in.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The bytes of an even number of digits.
pub(crate) fn decode(digits: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    decode_onto(&mut bytes, digits).then_some(bytes)
}

/// Appends the bytes; false where the text is not hex.
pub(crate) fn decode_onto(bytes: &mut Vec<u8>, digits: &[u8]) -> bool {
    let pairs = digits.chunks_exact(2);
    let even = pairs.remainder().is_empty();
    for pair in pairs {
        match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return false,
        }
    }
    even
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// The digits.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    encode_onto(&mut text, bytes);
    text
}

/// Appends the digits.
pub(crate) fn encode_onto(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_digits() {
        let mut text = String::from("\\x");
        encode_onto(&mut text, &[0, 255, 0x5c]);
        assert_eq!(text, "\\x00ff5c");
        assert_eq!(decode(b"00ff5c"), Some(vec![0, 255, 0x5c]));
        assert_eq!(
            (decode(b""), decode(b"0"), decode(b"0g"), decode(b"FF")),
            (Some(vec![]), None, None, None)
        );
    }
}
