//! What an entry of the table of contents says of a table's rows.

use pgark_bytes::archive::TocEntry;
use pgark_bytes::sql::quote_ident_bytes;

/// `"s"."t"` from the entry's own names: the COPY statement may name a partition's root instead.
pub(super) fn relation(toc: &TocEntry) -> Vec<u8> {
    let mut name = quote_ident_bytes(toc.namespace.as_deref().unwrap_or_default());
    name.push(b'.');
    name.extend(quote_ident_bytes(toc.tag_bytes()));
    name
}

/// The column list of `COPY s.t (a, "b)") FROM stdin;`, without its parentheses.
pub(super) fn columns(toc: &TocEntry) -> Vec<u8> {
    let statement = toc.copy_stmt.as_deref().unwrap_or_default();
    let mut in_quotes = false;
    let mut start = None;
    for (at, byte) in statement.iter().enumerate() {
        match byte {
            b'"' => in_quotes = !in_quotes,
            b'(' if !in_quotes && start.is_none() => start = Some(at + 1),
            b')' if !in_quotes => {
                return start.map(|start| statement[start..at].to_vec()).unwrap_or_default();
            }
            _ => {}
        }
    }
    Vec::new()
}
