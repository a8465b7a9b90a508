//! A row as COPY writes it, plain and masked.

/// A plain row of `COPY … TO STDOUT` in text format, without its newline.
#[derive(Clone, Copy, Debug)]
pub struct RawRow<'a>(&'a [u8]);

impl<'a> RawRow<'a> {
    /// A row; a newline at its end is left out.
    pub fn new(row: &'a [u8]) -> RawRow<'a> {
        RawRow(row.strip_suffix(b"\n").unwrap_or(row))
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// A masked row of COPY text, with its newline.
///
/// Only [`crate::plan::Masker::mask`] makes one: what takes a `MaskedRow` cannot be given a plain
/// row, because such a program does not compile.
///
/// ```compile_fail
/// let row = pgark_mask::row::MaskedRow(b"1\tAnna\n");
/// ```
///
/// ```compile_fail
/// use pgark_mask::row::{MaskedRow, RawRow};
/// fn store(_: MaskedRow<'_>) {}
/// store(RawRow::new(b"1\tAnna\n"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MaskedRow<'a>(&'a [u8]);

impl<'a> MaskedRow<'a> {
    pub(crate) fn new(row: &'a [u8]) -> MaskedRow<'a> {
        MaskedRow(row)
    }

    /// The row with its newline.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}
