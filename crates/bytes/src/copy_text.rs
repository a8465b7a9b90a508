//! Rows and fields of `COPY … TO STDOUT` in text format with its default tab and `\N`.
//!
//! The server escapes every newline, tab and backslash inside a value, so a bare `\n` byte always
//! ends a row and a bare tab always ends a field. That is true in every server encoding (no trail
//! byte of any of them is below 0x30); in the client-only ones (SJIS, BIG5, GBK, …) a trail byte
//! may look like a backslash, so data is always dumped in a server encoding.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memrchr};

/// A NULL field, as it is in a row.
pub const NULL: &[u8] = b"\\N";

/// The line that ends COPY data in a script or a data file.
pub const END_MARKER: &[u8] = b"\\.";

/// The rows of `data`, without their newlines. A last row without a newline comes too.
pub fn rows(data: &[u8]) -> Rows<'_> {
    Rows { rest: data }
}

/// Iterator of [`rows`].
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Rows<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr(b'\n', self.rest).unwrap_or(self.rest.len());
        let (row, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        Some(row)
    }
}

/// Position behind the last whole row of `data`; 0 when no row ends in it.
pub fn whole_rows(data: &[u8]) -> usize {
    memrchr(b'\n', data).map_or(0, |n| n + 1)
}

/// Number of rows that end in `data`.
pub fn count_rows(data: &[u8]) -> u64 {
    memchr_iter(b'\n', data).count() as u64
}

/// The raw (escaped) fields of a row without its newline.
///
/// An empty row yields one empty field; that a table has no columns at all, only the caller knows.
pub fn fields(row: &[u8]) -> Fields<'_> {
    Fields { rest: Some(row) }
}

/// Iterator of [`fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        match memchr(b'\t', rest) {
            None => Some(rest),
            Some(end) => {
                let (field, tail) = rest.split_at(end);
                self.rest = tail.get(1..);
                Some(field)
            }
        }
    }
}

/// Position and raw bytes of the field number `column`, from 0.
pub fn field(row: &[u8], column: usize) -> Option<(usize, &[u8])> {
    let mut start = 0;
    for (n, raw) in fields(row).enumerate() {
        if n == column {
            return Some((start, raw));
        }
        start += raw.len() + 1;
    }
    None
}

/// The value of a raw field: `None` for NULL, borrowed when there is nothing to unescape.
pub fn value(raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    if raw == NULL { None } else { Some(unescape(raw)) }
}

/// Undoes the escapes of a raw field that is not NULL, as `COPY FROM` reads them: the letters
/// `b f n r t v`, one to three octal digits, `x` and one or two hexadecimal digits; any other
/// character stands for itself.
pub fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'\\', raw) else { return Cow::Borrowed(raw) };
    let (plain, rest) = raw.split_at(first);
    let mut out = Vec::with_capacity(raw.len());
    out.extend_from_slice(plain);
    let mut rest = rest.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some(escaped) = rest.next() else {
            out.push(b'\\'); // the server would refuse the row; keep the byte
            break;
        };
        out.push(match escaped {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'0'..=b'7' => {
                let mut code = u32::from(escaped - b'0');
                for _ in 0..2 {
                    let Some(digit) = rest.next_if(|b| (b'0'..=b'7').contains(b)) else { break };
                    code = code * 8 + u32::from(digit - b'0');
                }
                (code & 0xff) as u8
            }
            b'x' => {
                let mut code = None;
                for _ in 0..2 {
                    let Some(digit) = rest.next_if(u8::is_ascii_hexdigit) else { break };
                    let digit = char::from(digit).to_digit(16).unwrap_or(0);
                    code = Some(code.unwrap_or(0) * 16 + digit);
                }
                code.map_or(b'x', |c| (c & 0xff) as u8)
            }
            other => other,
        });
    }
    Cow::Owned(out)
}

/// Appends the escaped form of a value, byte for byte as the server writes it; `None` is NULL.
pub fn escape_into(value: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(value) = value else {
        out.extend_from_slice(NULL);
        return;
    };
    // One look at all bytes, which the compiler makes of wide instructions: few values have any of
    // these.
    let may_be_escaped = |byte: u8| byte <= b'\r' || byte == b'\\';
    if !value.iter().fold(false, |any, byte| any | may_be_escaped(*byte)) {
        out.extend_from_slice(value);
        return;
    }
    let mut plain_from = 0;
    for (at, &byte) in value.iter().enumerate() {
        let letter = match byte {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            b'\\' => b'\\',
            _ => continue,
        };
        out.extend_from_slice(value.get(plain_from..at).unwrap_or_default());
        out.extend_from_slice(&[b'\\', letter]);
        plain_from = at + 1;
    }
    out.extend_from_slice(value.get(plain_from..).unwrap_or_default());
}

/// Appends one row with its newline.
pub fn write_row<'a>(values: impl IntoIterator<Item = Option<&'a [u8]>>, out: &mut Vec<u8>) {
    for (n, value) in values.into_iter().enumerate() {
        if n > 0 {
            out.push(b'\t');
        }
        escape_into(value, out);
    }
    out.push(b'\n');
}

/// A 64-bit hash of a row (without its newline), stable across builds and machines. Not
/// cryptographic.
pub fn row_hash(row: &[u8]) -> u64 {
    const K0: u64 = 0x9e37_79b9_7f4a_7c15;
    const K1: u64 = 0xd6e8_feb8_6659_fd93;
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let mut state = K0 ^ (row.len() as u64);
    for word in row.chunks(8) {
        let mut bytes = [0u8; 8];
        for (to, from) in bytes.iter_mut().zip(word) {
            *to = *from;
        }
        state = fold(state ^ u64::from_le_bytes(bytes), K1) ^ state.rotate_left(29);
    }
    fold(state ^ K1, K0)
}

/// What a set of rows is, whatever their order: their number and the sum of their hashes. For
/// comparing a table with its copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowSum {
    /// Number of rows.
    pub rows: u64,
    /// Sum of [`row_hash`] over them.
    pub sum: u128,
}

impl RowSum {
    /// Adds every row of `data`, which holds whole rows.
    pub fn add(&mut self, data: &[u8]) {
        for row in rows(data) {
            self.rows += 1;
            self.sum = self.sum.wrapping_add(u128::from(row_hash(row)));
        }
    }
}
