//! Text that psql reads outside of `\restrict`: all of it comes from [`Guard::outside`].
//!
//! psql runs backslash commands wherever it meets them outside of a string, also within a script
//! that only claims to hold SQL. Between `\restrict KEY` and `\unrestrict KEY` it runs none
//! (CVE-2025-8714), and the key is random, so no name and no definition of the source can speak.
//! Outside there are four kinds of lines: fixed comments, the two commands, and `\connect`, the one
//! line that holds a name. A name with a line break is refused there, as pg_dump refuses it: no
//! quoting of psql's carries it.

use pgark_bytes::sql;
use pgark_repo::ExposeSecret;

use crate::OpsError;
use crate::advice::{Operation, Setting, advice};

/// One piece of a script outside of `\restrict`.
pub(crate) enum Outside<'n> {
    /// A comment that is the same in every script.
    Title(&'static str),
    /// From here on psql runs no command but `\unrestrict` with the same key.
    Restrict,
    /// The end of that.
    Unrestrict,
    /// The way to another database.
    Connect(&'n [u8]),
}

/// Writes what is outside of `\restrict`, and the command itself.
pub(crate) struct Guard {
    key: Option<String>,
}

impl Guard {
    /// With a new random key; without `\restrict` where psql does not know it yet.
    pub(crate) fn new(restrict: bool) -> Result<Guard, OpsError> {
        if !restrict {
            return Ok(Guard { key: None });
        }
        let secret = crate::repository::generate_passphrase()?;
        let key = secret.expose_secret().chars().filter(char::is_ascii_alphanumeric).collect();
        Ok(Guard { key: Some(key) })
    }

    /// The text of one piece.
    pub(crate) fn outside(&self, piece: &Outside<'_>) -> Result<Vec<u8>, OpsError> {
        let command = |name: &str| match &self.key {
            Some(key) => format!("\\{name} {key}\n\n").into_bytes(),
            None => Vec::new(),
        };
        Ok(match piece {
            Outside::Title(title) => format!("--\n-- {title}\n--\n\n").into_bytes(),
            Outside::Restrict => command("restrict"),
            Outside::Unrestrict => command("unrestrict"),
            Outside::Connect(database) => connect(database)?,
        })
    }

    /// SQL of another program between the two commands, without psql's own commands of that
    /// program. What psql takes for a command here is refused by psql.
    pub(crate) fn around(&self, sql: &[u8]) -> Result<Vec<u8>, OpsError> {
        let mut text = self.outside(&Outside::Restrict)?;
        // By tokens: a line of a name in quotes may look like a command, and taking it out would
        // open the quotes.
        let mut passed = 0;
        for token in sql::tokenize(sql) {
            let rest = sql.get(token.start..).unwrap_or_default();
            let is_command = token.is_symbol(b'\\')
                && [b"\\restrict ".as_slice(), b"\\unrestrict "].iter().any(|c| rest.starts_with(c));
            if is_command && token.start >= passed {
                text.extend_from_slice(sql.get(passed..token.start).unwrap_or_default());
                passed = token.start + memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            }
        }
        text.extend_from_slice(sql.get(passed..).unwrap_or_default());
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(&self.outside(&Outside::Unrestrict)?);
        Ok(text)
    }
}

/// `\connect`, as pg_dump writes it (PostgreSQL 15, fe_utils/string_utils.c,
/// `appendPsqlMetaConnect`): a plain name bare, any other as a connection string in psql's double
/// quotes, with those of the name doubled, and its quotes and backslashes escaped.
fn connect(database: &[u8]) -> Result<Vec<u8>, OpsError> {
    if database.is_empty() || database.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
        return Err(OpsError::refused(
            format!(
                "the database name {:?} contains a line break: psql cannot connect to it from a script",
                String::from_utf8_lossy(database)
            ),
            advice![
                "export without ",
                Setting::Create,
                ", and load it into a database of another name; ",
                Operation::Restore,
                " takes any name",
            ],
        ));
    }
    let is_plain = database.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    if is_plain {
        return Ok([b"\\connect ".as_slice(), database, b"\n\n"].concat());
    }
    let mut text = b"\\connect -reuse-previous=on \"dbname='".to_vec();
    for byte in database {
        match byte {
            b'\'' | b'\\' => text.extend_from_slice(&[b'\\', *byte]),
            b'"' => text.extend_from_slice(b"\"\""),
            byte => text.push(*byte),
        }
    }
    text.extend_from_slice(b"'\"\n\n");
    Ok(text)
}

/// Whether pg_dump and pg_dumpall of this version write names into comments without line breaks in
/// them (CVE-2025-8715): 13.22, 14.19, 15.14, 16.10, 17.6 and newer.
pub(crate) fn keeps_comments_closed(version: &str) -> bool {
    let mut numbers =
        version.split(|sign: char| !sign.is_ascii_digit()).filter_map(|number| number.parse::<u32>().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let first = match major {
        13 => 22,
        14 => 19,
        15 => 14,
        16 => 10,
        17 => 6,
        18.. => 0,
        _ => return false,
    };
    minor >= first
}

/// Text of a name in a comment: no byte of it ends the comment's line, or is a control character.
pub(crate) fn in_comment(name: &[u8]) -> Vec<u8> {
    name.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_a_comment() {
        assert_eq!(in_comment(b"a\nDROP TABLE x;\r\x1b"), b"a DROP TABLE x;  ");
    }

    #[test]
    fn a_name_with_a_line_break_gets_no_connect() {
        let guard = Guard::new(true).unwrap();
        for name in ["", "a\nb", "\r", "x\n\\! echo"] {
            assert!(guard.outside(&Outside::Connect(name.as_bytes())).is_err(), "{name:?}");
        }
        let line = guard.outside(&Outside::Connect(b"a\"b'c\\")).unwrap();
        assert_eq!(line, b"\\connect -reuse-previous=on \"dbname='a\"\"b\\'c\\\\'\"\n\n");
        assert_eq!(guard.outside(&Outside::Connect(b"Shop_1.x")).unwrap(), b"\\connect Shop_1.x\n\n");
    }

    #[test]
    fn versions_that_leave_comments_open_are_known() {
        for (version, keeps) in [
            ("pg_dumpall (PostgreSQL) 15.13 (Debian 15.13-0)", false),
            ("pg_dumpall (PostgreSQL) 15.14", true),
            ("17.5", false),
            ("18beta1", true),
            ("12.22", false),
        ] {
            assert_eq!(keeps_comments_closed(version), keeps, "{version}");
        }
    }

    #[test]
    fn the_key_is_new_each_time_and_left_out_where_asked() {
        let text = |guard: &Guard| guard.outside(&Outside::Restrict).unwrap();
        let (one, other) = (Guard::new(true).unwrap(), Guard::new(true).unwrap());
        assert_ne!(text(&one), text(&other));
        assert!(text(&one).len() > 30);
        let none = Guard::new(false).unwrap();
        assert!(text(&none).is_empty());
        let around = one.around(b"\\restrict old\nSELECT 1;\n\\unrestrict old").unwrap();
        let around = String::from_utf8(around).unwrap();
        let name = b"CREATE ROLE \"a\n\\restrict x\";\n";
        let kept = none.around(name).unwrap();
        assert_eq!(kept, name, "{}", String::from_utf8_lossy(&kept));
        assert!(!around.contains("old") && around.contains("\nSELECT 1;\n\\unrestrict "), "{around}");
    }
}
