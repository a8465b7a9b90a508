//! One table as CSV with a header, as the server's `COPY … TO … (FORMAT csv, HEADER)` writes it
//! (PostgreSQL 15, copyto.c, `CopyAttributeOutCSV`): NULL is nothing, an empty string is `""`.
//! psql's `\copy … csv header` reads it back.

use std::io::Write;

use pgark_bytes::archive::TocEntry;
use pgark_bytes::copy_text;
use pgark_bytes::sql::{self, Token};

use super::file::Target;
use super::plain::Bytes;
use super::source::Source;
use crate::OpsError;
use crate::error::read_all;

/// Writes the file. Returns the number of large objects: none.
pub(super) fn write(source: &Source<'_>, to: &mut Target<'_>) -> Result<u64, OpsError> {
    let entry = one_table(source)?;
    let columns = columns(entry.copy_stmt.as_deref().unwrap_or_default());
    tell_encoding(source);
    let mut stream = source.method.file(Bytes::new(to)).map_err(OpsError::Output)?;
    let mut line = Vec::new();
    write_line(&mut line, columns.iter().map(|name| Some(name.as_slice())), columns.len());
    stream.write_all(&line).map_err(OpsError::Output)?;
    // The beginning of a row whose end is still to come.
    let mut open: Vec<u8> = Vec::new();
    source.rows(entry, &mut |bytes| {
        let whole = copy_text::whole_rows(bytes);
        let (ended, begun) = bytes.split_at_checked(whole).unwrap_or((bytes, &[]));
        line.clear();
        if !ended.is_empty() {
            open.extend_from_slice(ended);
            for row in copy_text::rows(&open) {
                add_row(&mut line, row, entry, columns.len())?;
            }
            open.clear();
        }
        open.extend_from_slice(begun);
        stream.write_all(&line).map_err(OpsError::Output)
    })?;
    if !open.is_empty() {
        return Err(damaged(entry, "its last row is incomplete"));
    }
    stream.finish().map_err(OpsError::Output)?.ended()?;
    to.finish()?;
    Ok(0)
}

/// The one table whose rows are exported.
fn one_table<'s>(source: &'s Source<'_>) -> Result<&'s TocEntry, OpsError> {
    let tables: Vec<&TocEntry> =
        source.archive.entries.iter().filter(|toc| toc.had_dumper && toc.kind() == "TABLE DATA").collect();
    match tables.as_slice() {
        [one] => Ok(one),
        [] => Err(OpsError::refused(
            "no table with rows matches",
            "CSV contains the rows of one table; views and partitioned tables have no rows of their own",
        )),
        several => {
            let names: Vec<String> = several
                .iter()
                .take(10)
                .map(|toc| format!("{}.{}", toc.namespace_str(), toc.tag_str()))
                .collect();
            let more = if several.len() > names.len() { ", …" } else { "" };
            Err(OpsError::refused(
                format!("{} tables match: {}{more}", several.len(), names.join(", ")),
                "CSV contains the rows of one table: export them one by one",
            ))
        }
    }
}

/// The columns of `COPY table (a, "b c") FROM stdin;`; a table without columns names none.
fn columns(copy: &[u8]) -> Vec<Vec<u8>> {
    let tokens = sql::tokenize(copy).filter(|token| !token.is_blank());
    let inside = tokens.skip_while(|token| !token.is_symbol(b'(')).take_while(|token| !token.is_symbol(b')'));
    inside.filter_map(|token: Token<'_>| token.ident()).collect()
}

/// Values and names are in the encoding of the backup, which is the database's own.
fn tell_encoding(source: &Source<'_>) {
    match source.archive.client_encoding() {
        Some(encoding) if encoding != "UTF8" => {
            source.job.progress.info(&format!("the file is in the database's encoding, {encoding}"));
        }
        _ => {}
    }
}

fn add_row(line: &mut Vec<u8>, row: &[u8], entry: &TocEntry, columns: usize) -> Result<(), OpsError> {
    if columns == 0 {
        line.push(b'\n');
        return Ok(());
    }
    let values: Vec<_> = copy_text::fields(row).map(copy_text::value).collect();
    if values.len() != columns {
        return Err(damaged(entry, &format!("a row has {} fields for {columns} columns", values.len())));
    }
    write_line(line, values.iter().map(Option::as_deref), columns);
    Ok(())
}

fn damaged(entry: &TocEntry, what: &str) -> OpsError {
    OpsError::refused(format!("{}: {what}", entry.describe()), read_all())
}

fn write_line<'v>(line: &mut Vec<u8>, values: impl Iterator<Item = Option<&'v [u8]>>, columns: usize) {
    for (at, value) in values.enumerate() {
        if at > 0 {
            line.push(b',');
        }
        // NULL is nothing at all.
        if let Some(value) = value {
            write_value(line, value, columns == 1);
        }
    }
    line.push(b'\n');
}

fn write_value(line: &mut Vec<u8>, value: &[u8], is_alone: bool) {
    // An empty string would read as NULL, and a lone `\.` as the end of the data.
    let needs_quotes = value.is_empty()
        || (is_alone && value == b"\\.")
        || value.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if !needs_quotes {
        line.extend_from_slice(value);
        return;
    }
    line.push(b'"');
    for byte in value {
        if *byte == b'"' {
            line.push(b'"');
        }
        line.push(*byte);
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_as_the_server_does() {
        let mut line = Vec::new();
        let values: [Option<&[u8]>; 7] =
            [None, Some(b""), Some(b"a"), Some(b"a,b"), Some(b"\""), Some(b"x\ny\r"), Some(b"\\.")];
        write_line(&mut line, values.into_iter(), 7);
        assert_eq!(line, b",\"\",a,\"a,b\",\"\"\"\",\"x\ny\r\",\\.\n");
        line.clear();
        write_line(&mut line, [Some(b"\\.".as_slice())].into_iter(), 1);
        assert_eq!(line, b"\"\\.\"\n");
    }

    #[test]
    fn columns_are_those_of_the_copy_statement() {
        let named = |copy: &str| columns(copy.as_bytes());
        assert_eq!(named("COPY s.t (a, \"b c)\", \"d\"\"e\") FROM stdin;\n"), [&b"a"[..], b"b c)", b"d\"e"]);
        assert!(named("COPY public.nocol  FROM stdin;\n").is_empty());
    }
}
