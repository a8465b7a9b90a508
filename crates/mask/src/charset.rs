//! Values in the database's encoding, as text and back.
//!
//! Fictions are made of text and are text, so that one value has one fiction in each encoding.

use std::borrow::Cow;

use pgark_bytes::encoding;

use crate::transformer::Refusal;

/// The encoding of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charset {
    /// `UTF8`.
    Utf8,
    /// `SQL_ASCII`: bytes of unknown meaning. What is not UTF-8 is read as LATIN1, so that each
    /// value has one text; fictions must be ASCII.
    Ascii,
    /// Another one, by PostgreSQL's name.
    Other(String),
}

impl Charset {
    /// By PostgreSQL's name.
    pub fn of_server(name: &str) -> Charset {
        match name {
            "UTF8" | "UNICODE" => Charset::Utf8,
            "SQL_ASCII" => Charset::Ascii,
            other => Charset::Other(other.to_string()),
        }
    }

    /// Appends the text of a value.
    pub fn decode(&self, bytes: &[u8], out: &mut String) -> Result<(), Refusal> {
        match (std::str::from_utf8(bytes), self) {
            (Ok(text), Charset::Utf8 | Charset::Ascii) => out.push_str(text),
            (Ok(text), Charset::Other(_)) if text.is_ascii() => out.push_str(text),
            (Err(_), Charset::Utf8) => return Err(Refusal::new("a value is not UTF-8")),
            (Err(_), Charset::Ascii) => out.extend(bytes.iter().map(|byte| char::from(*byte))),
            (_, Charset::Other(name)) => match encoding::of_server(name, bytes) {
                Some(text) => out.push_str(&text),
                None => return Err(Refusal::new(format!("a value cannot be read as {name}"))),
            },
        }
        Ok(())
    }

    /// The bytes of a fiction.
    pub fn encode<'t>(&self, text: &'t str) -> Result<Cow<'t, [u8]>, Refusal> {
        match self {
            Charset::Utf8 => Ok(Cow::Borrowed(text.as_bytes())),
            _ if text.is_ascii() => Ok(Cow::Borrowed(text.as_bytes())),
            Charset::Ascii => {
                Err(Refusal::new("a SQL_ASCII database takes fictions of ASCII alone; choose another locale"))
            }
            Charset::Other(name) => encoding::to_server(name, text).map(Cow::Owned).ok_or_else(|| {
                Refusal::new(format!(
                    "the fiction has characters that {name} does not have; choose another locale"
                ))
            }),
        }
    }
}
