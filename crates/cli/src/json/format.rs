//! The number that says which format a JSON document has.

/// One number for all documents. It grows when a field is removed or renamed, or when its type or
/// its meaning changes. A new field, or a new word in a field that holds one of several words, does
/// not change it.
pub const FORMAT: u32 = 1;
