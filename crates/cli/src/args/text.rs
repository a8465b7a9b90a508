//! Names and patterns from terminals that are not UTF-8.
//!
//! Arguments are bytes in the encoding of the user's locale; everything behind here is UTF-8. Files
//! keep the bytes of their names.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::environment::variable;

/// Takes UTF-8, or what the locale's encoding makes of the bytes.
pub fn text() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|raw: OsString| {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable).next();
        let locale = locale.map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
        of_locale(raw, &locale)
    })
}

fn of_locale(raw: OsString, locale: &str) -> Result<String, String> {
    let bytes = raw.into_vec();
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error.into_bytes(),
    };
    pgark_ops::text_of_locale(locale, &bytes).ok_or_else(|| {
        let locale = if locale.is_empty() { "C" } else { locale };
        format!(
            "it is not UTF-8, nor text in the encoding of the locale {locale} (LC_ALL, LC_CTYPE, LANG); write bytes of a name \
             that are not text as \\xE9, outside double quotes"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::of_locale;

    #[test]
    fn names_are_text_whatever_the_terminal() {
        let read = |bytes: &[u8], locale: &str| of_locale(OsString::from_vec(bytes.to_vec()), locale);
        assert_eq!(read("日本".as_bytes(), "C").unwrap(), "日本");
        assert_eq!(read("日本".as_bytes(), "ja_JP.eucJP").unwrap(), "日本");
        assert_eq!(read(b"\xc6\xfc\xcb\xdc", "ja_JP.eucJP").unwrap(), "日本");
        assert_eq!(read(b"t\xe4glich", "de_DE@euro").unwrap(), "täglich");
        assert!(read(b"t\xe4glich", "").unwrap_err().contains("locale C"));
    }
}
