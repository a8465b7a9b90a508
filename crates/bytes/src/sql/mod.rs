//! Quoting, and a tokenizer just deep enough for `pg_dump`'s output.
//!
//! Everything works on bytes: definitions in an archive are in the dump's encoding. Only encodings
//! that may be a server's are supported; in all of them the bytes of SQL's own characters never
//! occur inside another character.

mod gather;
mod keywords;
mod quote;
mod token;

pub use gather::Gather;
pub use quote::{quote_ident, quote_ident_bytes, quote_literal, quote_literal_bytes};
pub use token::{Kind, Token, split, tokenize};
