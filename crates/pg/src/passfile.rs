//! The password file (PostgreSQL documentation, section 32.16): `host:port:database:user:password`, `*` matches all,
//! `\` takes the next sign as it is.

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
    let text = fs::read_to_string(file).ok()?;
    search(&text, [host, &port.to_string(), database, user])
}

fn search(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = fields(line);
        let password = (fields.len() >= 5).then(|| fields.swap_remove(4))?;
        let matches = fields
            .iter()
            .zip(wanted)
            .all(|((field, bare), wanted)| (*bare && field == "*") || field == wanted);
        (matches && !password.0.is_empty()).then_some(password.0)
    })
}

/// Fields with their escapes resolved, and whether each stood without any. The fifth reaches to the end of the line.
fn fields(line: &str) -> Vec<(String, bool)> {
    let mut fields = vec![(String::new(), true)];
    let mut signs = line.chars();
    while let Some(sign) = signs.next() {
        let last = fields.len();
        let Some((field, bare)) = fields.last_mut() else { break };
        match sign {
            '\\' => {
                *bare = false;
                field.extend(signs.next());
            }
            ':' if last < 5 => fields.push((String::new(), true)),
            _ => field.push(sign),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::search;

    #[test]
    fn the_first_matching_line_wins() {
        let file = "# a comment\nh:1:d:u:first\n*:*:d:u:wild\\:card\n\\*:1:x:u:literal\n*:*:*:*:a:b\n";
        assert_eq!(search(file, ["h", "1", "d", "u"]).as_deref(), Some("first"));
        assert_eq!(search(file, ["z", "2", "d", "u"]).as_deref(), Some("wild:card"));
        assert_eq!(search(file, ["z", "2", "e", "u"]).as_deref(), Some("a:b"));
        assert_eq!(search("h:1:d:u\n", ["h", "1", "d", "u"]), None);
        assert_eq!(search("\\*:1:x:u:literal\n", ["y", "1", "x", "u"]), None);
    }
}
