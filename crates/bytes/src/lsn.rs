//! Positions in the WAL.

use std::fmt;
use std::str::FromStr;

/// A log sequence number: a byte's position in the WAL of one timeline. As text, two hexadecimal
/// numbers of 32 bits each: `16/B374D848`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// Text that is not an LSN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid LSN {text:?}: expected two hexadecimal numbers, such as 16/B374D848")]
pub struct InvalidLsn {
    /// The text.
    pub text: String,
}

impl FromStr for Lsn {
    type Err = InvalidLsn;

    /// As the server's type `pg_lsn` reads it: at most eight digits on either side, no sign, no
    /// blank.
    fn from_str(text: &str) -> Result<Lsn, InvalidLsn> {
        let half = |digits: &str| {
            let is_half = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            is_half.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
        };
        text.split_once('/')
            .and_then(|(high, low)| Some(Lsn((half(high)? << 32) | half(low)?)))
            .ok_or_else(|| InvalidLsn { text: text.to_owned() })
    }
}
