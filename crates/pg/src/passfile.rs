//! The password file (PostgreSQL documentation, section 32.16): `host:port:database:user:password`,
//! `*` matches all, `\` takes the next sign as it is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The first matching line's password. A file that others may read is not used, as libpq does.
pub(crate) fn find(file: &Path, host: &str, port: u16, database: &str, user: &str) -> Option<String> {
    let meta = fs::metadata(file).ok()?;
    if !meta.is_file() {
        tracing::warn!("password file {} is not a plain file", file.display());
        return None;
    }
    if meta.mode() & 0o077 != 0 {
        tracing::warn!(
            "password file {} has group or world access; permissions should be u=rw (0600) or less: it is not used",
            file.display()
        );
        return None;
    }
    let text = fs::read(file).ok()?;
    let password = search(&text, [host, &port.to_string(), database, user])?;
    let text = String::from_utf8(password);
    if text.is_err() {
        tracing::warn!("the password of password file {} is not UTF-8: it is not used", file.display());
    }
    text.ok().filter(|password| !password.is_empty())
}

/// The first matching line decides, even where its password is empty.
fn search(text: &[u8], wanted: [&str; 4]) -> Option<Vec<u8>> {
    text.split(|byte| *byte == b'\n')
        // libpq takes off any number of carriage returns at the end.
        .map(|line| line.get(..line.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at + 1)))
        .map(Option::unwrap_or_default)
        .filter(|line| !line.starts_with(b"#"))
        .find_map(|line| {
            let fields = fields(line);
            let (password, key) = fields.split_last().filter(|_| fields.len() == 5)?;
            let matches = key
                .iter()
                .zip(wanted)
                .all(|((field, bare), wanted)| (*bare && field == b"*") || field == wanted.as_bytes());
            matches.then(|| password.0.clone())
        })
}

/// The first five fields with their escapes resolved, and whether each had none. A bare `:` ends
/// the fifth too.
fn fields(line: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let mut fields = Vec::new();
    let mut field = (Vec::new(), true);
    let mut bytes = line.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                field.1 = false;
                // As the last byte of a line it is a sign of the password like any other.
                field.0.push(*bytes.next().unwrap_or(byte));
            }
            b':' => {
                fields.push(std::mem::replace(&mut field, (Vec::new(), true)));
                if fields.len() == 5 {
                    return fields;
                }
            }
            _ => field.0.push(*byte),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::search;

    fn found(text: &str, wanted: [&str; 4]) -> Option<String> {
        search(text.as_bytes(), wanted).map(|password| String::from_utf8(password).unwrap())
    }

    #[test]
    fn the_first_matching_line_wins() {
        let file = "# a comment\nh:1:d:u:first\n*:*:d:u:wild\\:card\n\\*:1:x:u:literal\n*:*:*:*:a:b\n";
        assert_eq!(found(file, ["h", "1", "d", "u"]).as_deref(), Some("first"));
        assert_eq!(found(file, ["z", "2", "d", "u"]).as_deref(), Some("wild:card"));
        assert_eq!(found(file, ["z", "2", "e", "u"]).as_deref(), Some("a"));
        assert_eq!(found("h:1:d:u\n", ["h", "1", "d", "u"]), None);
        assert_eq!(found("\\*:1:x:u:literal\n", ["y", "1", "x", "u"]), None);
        assert_eq!(found("h:1:d:u:\n*:*:*:*:p\n", ["h", "1", "d", "u"]).as_deref(), Some(""));
        assert_eq!(found("h:1:d:u:p\\", ["h", "1", "d", "u"]).as_deref(), Some("p\\"));
        assert_eq!(found("h:1:d:u:p\r\n", ["h", "1", "d", "u"]).as_deref(), Some("p"));
    }

    #[test]
    fn bytes_of_another_encoding_spoil_no_other_line() {
        let file = b"# caf\xe9\nx:1:d:u:\xe9\nh:1:d:u:right\n";
        assert_eq!(search(file, ["h", "1", "d", "u"]).as_deref(), Some(b"right".as_slice()));
    }
}
