//! Rows of a query, as text.

use std::str::FromStr;

use crate::PgError;

/// One row: a value or NULL per column, in the server's text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub(crate) Vec<Option<Vec<u8>>>);

impl Row {
    /// The bytes of a column; `None` for NULL and for a column that is not there.
    pub fn get(&self, column: usize) -> Option<&[u8]> {
        self.0.get(column)?.as_deref()
    }

    /// A column's text; NULL is an error.
    pub fn str(&self, column: usize) -> Result<&str, PgError> {
        self.opt_str(column)?.ok_or(PgError::Value { column, what: "it is NULL" })
    }

    /// A column's text, or `None` for NULL.
    pub fn opt_str(&self, column: usize) -> Result<Option<&str>, PgError> {
        match self.0.get(column) {
            None => Err(PgError::Value { column, what: "the row has no such column" }),
            Some(None) => Ok(None),
            Some(Some(bytes)) => std::str::from_utf8(bytes)
                .map(Some)
                .map_err(|_| PgError::Value { column, what: "it is not UTF-8" }),
        }
    }

    /// A column's value.
    pub fn parse<T: FromStr>(&self, column: usize) -> Result<T, PgError> {
        self.str(column)?.parse().map_err(|_| PgError::Value { column, what: "it has an unexpected format" })
    }

    /// Of a DataRow message.
    pub(crate) fn of_message(body: &[u8]) -> Result<Row, PgError> {
        let short = || PgError::Protocol("a row is shorter than announced".into());
        let count = body
            .get(..2)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u16::from_be_bytes)
            .ok_or_else(short)?;
        let mut rest = body.get(2..).unwrap_or_default();
        let mut values = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let length = rest
                .get(..4)
                .and_then(|bytes| bytes.try_into().ok())
                .map(i32::from_be_bytes)
                .ok_or_else(short)?;
            rest = rest.get(4..).unwrap_or_default();
            match usize::try_from(length) {
                Err(_) => values.push(None),
                Ok(length) => {
                    values.push(Some(rest.get(..length).ok_or_else(short)?.to_vec()));
                    rest = rest.get(length..).unwrap_or_default();
                }
            }
        }
        Ok(Row(values))
    }
}
